"""Rows to JSON and back: complete or not there at all."""

from __future__ import annotations

import json
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import machine as measured_on

__all__ = ["RESULTS", "made", "machine", "read", "set_aside", "where", "write"]

RESULTS = Path(__file__).resolve().parent.parent / "results" / "experiments"
HEAD = {"title", "budget", "settings", "made", "rows"}  # what a page needs of a file
PACKAGES = ("torch", "numpy", "scipy", "pot", "normflows")


def where(name: str, size: str, folder: Path = RESULTS) -> Path:
    """The file of an experiment."""
    return folder / f"{name}-{size}.json"


def machine(device: str = "cpu") -> dict[str, Any]:
    """What the numbers were made on."""
    versions = {name: version(name) for name in PACKAGES}
    return {
        "device": measured_on.model(device),
        "python": platform.python_version(),
        "versions": versions,
    }


@cache
def made() -> dict[str, str]:
    """Of one row: the CPU, which decides rounding, and the code. Rows may be made apart."""
    return {"cpu": measured_on.cpu(), "code": measured_on.code(RESULTS.parent.parent)}


def write(path: Path, record: dict[str, Any]) -> None:
    """Atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(record, indent=1) + "\n")
    part.replace(path)


def set_aside(path: Path) -> None:
    """Keeps a file that is about to be made anew: unless one is kept that holds more rows."""
    old = path.with_suffix(".old.json")
    if path.exists() and _rows(path) >= _rows(old):
        path.replace(old)


def _rows(path: Path) -> int:
    """How many a file holds; none where it is not there or cannot be read."""
    try:
        return len(json.loads(path.read_text())["rows"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def read(name: str, size: str = "cpu", folder: Path = RESULTS) -> dict[str, Any]:
    """The record of an experiment; an error that says how to make it, where it is missing."""
    path = where(name, size, folder)
    try:
        held = json.loads(path.read_text())
    except FileNotFoundError:
        made = f"python -m experiments {name} --size {size}"
        raise FileNotFoundError(
            f"{path.name} is missing from {path.parent}; make it: {made}"
        ) from None
    except json.JSONDecodeError:
        held = None
    whole = isinstance(held, dict) and held.keys() >= HEAD and isinstance(held["rows"], list)
    if not (whole and held["rows"]):
        raise ValueError(f"{path} is no record of an experiment; move it away, or make it again.")
    return held
