"""The live screen. `reading` and what it loads know the ledger and no Textual; widgets no SQL."""
