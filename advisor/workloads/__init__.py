"""Workloads that are no command yet: model files, captures, `workload.py`.

Each becomes a command, a driver in `advisor/drivers/` with its arguments, so that everything else
replays it as any program.
"""
