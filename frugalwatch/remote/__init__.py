"""Sending a node's cumulative figures to the site's Prometheus-compatible server."""
