"""Programs that call a model over and over, so that a file, a capture or a workload is a command.

They run in the job's interpreter (CPython 3.9 or later) with the standard library and what the job
has: torch, or onnxruntime with numpy. Nothing else of ours is imported there.
"""
