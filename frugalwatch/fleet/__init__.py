"""A run across nodes, as one."""
