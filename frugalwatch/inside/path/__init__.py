"""The only folder of ours on a job's PYTHONPATH; it takes itself off `sys.path` at once."""
