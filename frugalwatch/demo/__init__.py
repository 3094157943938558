"""`frugalwatch demo`: a recording of scripted devices, played into a ledger that is thrown away."""
