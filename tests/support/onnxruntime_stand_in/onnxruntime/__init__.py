"""Stands in for ONNX Runtime, which the environment of the tests need not have."""

from onnxruntime.capi.onnxruntime_inference_collection import (
    GraphOptimizationLevel,
    InferenceSession,
    SessionOptions,
)

__all__ = ["GraphOptimizationLevel", "InferenceSession", "SessionOptions"]


def get_available_providers():
    return ["CPUExecutionProvider"]
