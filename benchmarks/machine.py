"""What a measurement was made on."""

from __future__ import annotations

import platform
import time
from pathlib import Path

import torch


def model(device: str = "cpu") -> str:
    """The GPU's name, or the CPU's model."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def name(device: str = "cpu") -> str:
    """The GPU's name, or the CPU's model and the threads that PyTorch uses."""
    if device == "cuda":
        return model(device)
    threads = torch.get_num_threads()
    return f"{model(device)}, {threads} thread{'s' if threads > 1 else ''}"


def record(device: str = "cpu") -> dict[str, str]:
    """The machine, the versions and the day, for a JSON file."""
    return {
        "device": name(device),
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
    }
