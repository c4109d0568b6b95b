"""What a measurement was made on."""

from __future__ import annotations

import platform
import subprocess
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


def cpu() -> str:
    """What decides the rounding of a CPU's products: family, model, stepping, instructions."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    pairs = (line.partition(":")[::2] for line in reversed(lines))
    told = {key.strip(): value.strip() for key, value in pairs}
    keys = ("model name", "cpu family", "model", "stepping")
    parts = [
        told[key] if key == "model name" else f"{key} {told[key]}" for key in keys if key in told
    ]
    return ", ".join([*(parts or [platform.processor()]), torch.backends.cpu.get_cpu_capability()])


def code(root: Path) -> str:
    """The commit of a checkout, with a + where files differ from it; "unknown" without git."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(root), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        commit = git("rev-parse", "--short=12", "HEAD")
        changed = git("status", "--porcelain", "-uno", "--", "experiments", "mcmcot_lite")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + "+" * bool(changed)


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
