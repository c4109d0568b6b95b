"""Rows to JSON and back: complete or not there at all."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.machine import model

__all__ = ["RESULTS", "machine", "read", "where", "write"]

RESULTS = Path(__file__).resolve().parent.parent / "results" / "experiments"
PACKAGES = ("torch", "numpy", "scipy", "pot", "normflows")


def where(name: str, size: str, folder: Path = RESULTS) -> Path:
    """The file of an experiment."""
    return folder / f"{name}-{size}.json"


def machine(device: str = "cpu") -> dict[str, Any]:
    """What the numbers were made on."""
    versions = {name: version(name) for name in PACKAGES}
    return {"device": model(device), "python": platform.python_version(), "versions": versions}


def write(path: Path, record: dict[str, Any]) -> None:
    """Atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(record, indent=1) + "\n")
    part.replace(path)


def read(name: str, size: str = "cpu", folder: Path = RESULTS) -> dict[str, Any]:
    """The record of an experiment; an error that says how to make it, where it is missing."""
    path = where(name, size, folder)
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        made = f"python -m experiments {name} --size {size}"
        raise FileNotFoundError(
            f"{path.name} is missing from {path.parent}; make it: {made}"
        ) from None
