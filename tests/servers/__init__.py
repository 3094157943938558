"""Tests against real servers; `make test-servers` fetches those and runs them."""
