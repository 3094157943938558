"""Sessions with the shape of the real ones; a "model" is JSON that says what goes in.

    {"inputs": [["x", "tensor(float)", ["batch", 4]]], "factor": 2.0, "burn_s": 0.0}

It answers each input times the factor, summed over the last dimension. With more than one thread a
request burns ten times the CPU seconds, so that one thread saves visibly.
"""

import json
import os
import time


class GraphOptimizationLevel:
    """The real one is an enumeration of these names."""

    ORT_DISABLE_ALL = "GraphOptimizationLevel.ORT_DISABLE_ALL"
    ORT_ENABLE_ALL = "GraphOptimizationLevel.ORT_ENABLE_ALL"


class SessionOptions:
    def __init__(self):
        self.intra_op_num_threads = 0
        self.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_ALL
        self.entries = {}

    def add_session_config_entry(self, key, value):
        self.entries[key] = value

    def get_session_config_entry(self, key):
        if key not in self.entries:
            raise RuntimeError(key)
        return self.entries[key]


class C:
    """What is compiled in the real one."""

    SessionOptions = SessionOptions
    GraphOptimizationLevel = GraphOptimizationLevel


class Described:
    def __init__(self, name, kind, shape):
        self.name, self.type, self.shape = name, kind, shape


class Session:
    def run(self, output_names, input_feed, run_options=None):
        threads = self._options.intra_op_num_threads
        until = time.process_time() + self._model.get("burn_s", 0.0) * (1 if threads == 1 else 10)
        for name, _, shape in self._model["inputs"]:
            found = input_feed[name]
            if found.ndim != len(shape):
                raise ValueError(f"invalid rank of {name}: {found.ndim}")
        while time.process_time() < until:
            sum(range(1000))
        first = input_feed[self._model["inputs"][0][0]]
        return [(first * self._model["factor"]).sum(-1, keepdims=True).astype("float32")]


class InferenceSession(Session):
    def __init__(self, path_or_bytes, sess_options=None, providers=None):
        self._model_path = path_or_bytes if isinstance(path_or_bytes, (str, os.PathLike)) else None
        self._options = sess_options or SessionOptions()
        text = path_or_bytes
        if self._model_path is not None:
            with open(self._model_path) as file:
                text = file.read()
        self._model = json.loads(text)

    def get_inputs(self):
        return [Described(*each) for each in self._model["inputs"]]

    def get_outputs(self):
        return [Described("y", "tensor(float)", ["batch", 1])]

    def get_providers(self):
        return ["CPUExecutionProvider"]

    def get_session_options(self):
        return self._options
