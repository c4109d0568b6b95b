"""What a measurement was made on."""

from __future__ import annotations

import platform
from pathlib import Path

import torch


def name(device: str = "cpu") -> str:
    """The GPU's name, or the CPU's model and the threads that PyTorch uses."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    threads = torch.get_num_threads()
    model = models[0] if models else platform.processor() or platform.machine()
    return f"{model}, {threads} thread{'s' if threads > 1 else ''}"
