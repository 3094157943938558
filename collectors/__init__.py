"""What hardware says about energy: one file a power source, and nothing above it."""

from collectors.base import (
    Boundary,
    Collector,
    Condition,
    Device,
    Domain,
    Gap,
    GapCause,
    Observation,
    Origin,
    Probe,
    ProcessUtilization,
    Reading,
)

__all__ = [
    "Boundary",
    "Collector",
    "Condition",
    "Device",
    "Domain",
    "Gap",
    "GapCause",
    "Observation",
    "Origin",
    "Probe",
    "ProcessUtilization",
    "Reading",
]
