"""The advice of a ledger, for its view: reading it, and saying it."""
