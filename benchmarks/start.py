"""What `import mcmcot_lite` costs, and its first use, beside `import torch`, which any user pays.

    python benchmarks/start.py [--repeats 9]

Fresh processes, in turns; medians, the ratio of a first use to torch, and the packages that only
the library loads go to `results/start.json`.
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


LINES = {
    "torch": "import torch",
    "mcmcot_lite": "import mcmcot_lite",
    "from mcmcot_lite import fit": "from mcmcot_lite import fit",
}


def seconds(line: str) -> float:
    """Wall time of a fresh process that runs a line."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", line], check=True)
    return time.perf_counter() - start


def packages(line: str) -> set[str]:
    """The top-level packages in memory after a line."""
    command = [sys.executable, "-c", f"{line}{PACKAGES}"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9, help="processes of each kind")
    repeats = parser.parse_args().repeats
    first = "from mcmcot_lite import fit"
    own = packages(LINES[first]) - packages(LINES["torch"]) - sys.stdlib_module_names
    times: dict[str, list[float]] = {name: [] for name in LINES}
    for _ in range(repeats):
        for name, taken in times.items():
            taken.append(seconds(LINES[name]))
    median = {name: statistics.median(taken) for name, taken in times.items()}
    report = {
        "machine": machine.record(),
        "repeats": repeats,
        "seconds": {name: round(value, 3) for name, value in median.items()},
        "ratio": round(median[first] / median["torch"], 3),
        "packages": sorted(name for name in own if not name.startswith("_")),
    }
    print(json.dumps(report, indent=1))
    RESULT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
