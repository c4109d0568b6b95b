"""What `import mcmcot_lite` costs beside `import torch`, which any user pays.

    python benchmarks/start.py [--repeats 9]

Fresh processes, the two in turns; medians, their ratio and the packages that only the library loads
go to `results/start.json`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import machine

RESULT = Path(__file__).resolve().parent.parent / "results" / "start.json"
PACKAGES = "; import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"


def seconds(module: str) -> float:
    """Wall time of a fresh process that imports a module."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
    return time.perf_counter() - start


def packages(module: str) -> set[str]:
    """The top-level packages in memory after an import."""
    command = [sys.executable, "-c", f"import {module}{PACKAGES}"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9, help="processes of each kind")
    repeats = parser.parse_args().repeats
    own = packages("mcmcot_lite") - packages("torch") - sys.stdlib_module_names
    times: dict[str, list[float]] = {"torch": [], "mcmcot_lite": []}
    for _ in range(repeats):
        for module, taken in times.items():
            taken.append(seconds(module))
    median = {module: statistics.median(taken) for module, taken in times.items()}
    report = {
        "machine": machine.record(),
        "repeats": repeats,
        "seconds": {module: round(value, 3) for module, value in median.items()},
        "ratio": round(median["mcmcot_lite"] / median["torch"], 3),
        "packages": sorted(name for name in own if not name.startswith("_")),
    }
    print(json.dumps(report, indent=1))
    RESULT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
