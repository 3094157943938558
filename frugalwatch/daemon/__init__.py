"""The always-on sampler of a machine: its loop, what it attributes, and whom it serves."""
