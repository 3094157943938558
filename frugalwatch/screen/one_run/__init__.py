"""One run in full: what its page reads from the ledger, and the lines that it shows."""
