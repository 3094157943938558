"""Whether this machine has an NVIDIA driver, decided with a few stat calls, and why not.

Importing pynvml costs 35 to 50 ms of CPU, which a machine without a GPU should not pay. So the
question is put to the file system first. A driver is taken to be there if one of these exists:

- `libnvidia-ml.so.1` in a folder of LD_LIBRARY_PATH (also how the tests hand in their stand-in);
- `/proc/driver/nvidia` (below the host's own root of /proc);
- `/dev/nvidiactl`, `/dev/nvgpu`, or `/dev/dxg` together with WSL's library folder, unless the
  host's /proc was moved elsewhere (a fake machine, whose devices are not this machine's).
"""

from __future__ import annotations

import os
from typing import Final

from collectors.host import Host

LIBRARY: Final = "libnvidia-ml.so.1"
WSL_FOLDER: Final = "/usr/lib/wsl/lib"
_FOLDERS: Final = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/lib64/nvidia",
    "/usr/local/nvidia/lib64",  # where container runtimes on Kubernetes mount it
    "/run/opengl-driver/lib",  # NixOS
    WSL_FOLDER,
)
_NVIDIA_PCI_VENDOR: Final = "0x10de"
_DISPLAY_CLASSES: Final = ("0x0300", "0x0302")


def might_be_present(host: Host) -> bool:
    """False if there is certainly no NVIDIA driver here. Costs a few stat calls (< 0.1 ms)."""
    if _library_in_search_path() or os.path.exists(host.proc("driver", "nvidia")):
        return True
    if host.procfs != "/proc":
        return False
    if os.path.exists("/dev/nvidiactl") or os.path.exists("/dev/nvgpu"):
        return True
    return os.path.exists("/dev/dxg") and os.path.exists(os.path.join(WSL_FOLDER, LIBRARY))


def _library_in_search_path() -> str | None:
    for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":"):
        path = os.path.join(folder, LIBRARY)
        if folder and os.path.exists(path):
            return path
    return None


def explain_absence(host: Host) -> tuple[str, str]:
    """Reason and remedy where `might_be_present()` is False."""
    if _has_card(host):
        return (
            "an NVIDIA card is here but its kernel driver is not loaded",
            "sudo modprobe nvidia, or install the NVIDIA driver",
        )
    if host.procfs == "/proc" and any(
        os.path.exists(os.path.join(folder, LIBRARY)) for folder in _FOLDERS
    ):
        return (
            f"{LIBRARY} is installed but no NVIDIA kernel driver is loaded",
            "sudo modprobe nvidia; in a container: start it with --gpus all",
        )
    return ("no NVIDIA card or driver found", "")


def _has_card(host: Host) -> bool:
    root = host.sys("bus", "pci", "devices")
    try:
        slots = os.listdir(root)
    except OSError:
        return False
    return any(
        _first_word(os.path.join(root, slot, "vendor")) == _NVIDIA_PCI_VENDOR
        and _first_word(os.path.join(root, slot, "class")).startswith(_DISPLAY_CLASSES)
        for slot in slots
    )


def _first_word(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read(32).strip()
    except (OSError, UnicodeDecodeError):
        return ""


def preload_library() -> None:
    """Load the library by its path where the loader would not find it, as on some WSL set-ups.

    pynvml asks the loader for `libnvidia-ml.so.1`; one that is loaded already answers to that name.
    Does nothing if the loader finds it or no folder has it.
    """
    import ctypes

    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        for folder in _FOLDERS:
            path = os.path.join(folder, LIBRARY)
            if os.path.exists(path):
                try:
                    ctypes.CDLL(path)
                except OSError:
                    continue
                return


# NVML's return codes that `nvmlInit` and the listing of devices are known to give (nvml.h).
_INIT_ERRORS: Final = {
    4: (
        "the NVIDIA driver refuses this user (no permission)",
        "ls -l /dev/nvidiactl /dev/nvidia0; join the group that owns them: "
        "sudo usermod -aG video $USER",
    ),
    9: (
        "the NVIDIA kernel driver is not loaded",
        "sudo modprobe nvidia; in a container: start it with --gpus all",
    ),
    12: (
        f"the NVIDIA driver is here but {LIBRARY} is not",
        "install the driver's utilities (Debian, Ubuntu: libnvidia-ml1 or nvidia-utils); "
        "in a container: NVIDIA_DRIVER_CAPABILITIES=compute,utility",
    ),
    13: (
        f"{LIBRARY} is too old or not NVIDIA's",
        "install the driver's own utilities package",
    ),
    15: ("the GPU has fallen off the bus", "sudo dmesg | grep Xid; then reboot"),
    18: (
        "the NVIDIA library and the loaded kernel driver have different versions "
        "(the driver was updated since the last boot)",
        "reboot",
    ),
}
NO_DEVICES: Final = (
    "the NVIDIA driver sees no GPU",
    "nvidia-smi -L; in a container: start it with --gpus all",
)
# Reasons with which no job could use a GPU either, so that none is missing from its figures.
NOTHING_TO_USE: Final = frozenset({NO_DEVICES[0], _INIT_ERRORS[9][0]})


def explain_error(code: int, text: str) -> tuple[str, str]:
    """Reason and remedy for an NVML return code."""
    known = _INIT_ERRORS.get(code)
    return known if known is not None else (f"NVML says: {text} ({code})", "nvidia-smi")
