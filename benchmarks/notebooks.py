"""How much memory each notebook takes, from the first cell to the last.

    python benchmarks/notebooks.py [NAME ...]

Each notebook runs in a kernel of its own; the largest resident size that the system counted for the
kernel goes to `results/notebooks.json`, with the versions. Run it under those of Colab (the
environment of `make colab`): Colab's machines have some 12 GB.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path

import machine
import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "results" / "notebooks.json"


def peak(path: Path) -> float:
    """Runs a notebook; gigabytes (1e9 bytes) of its kernel at the largest. Once a process."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": path.parent}}).execute()
    kilobytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return kilobytes * 1024 / 1e9


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="notebooks, without .ipynb; all by default")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    paths = sorted((ROOT / "notebooks").glob("*.ipynb"))
    if unknown := set(given.names) - {path.stem for path in paths}:
        parser.error(f"no notebook {', '.join(sorted(unknown))}")
    paths = [path for path in paths if not given.names or path.stem in given.names]
    if given.one:
        print(peak(paths[0]))
        return
    found = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    kept = found.get("gigabytes", {}) if given.names else {}
    for path in paths:
        command = [sys.executable, __file__, path.stem, "--one"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{path.stem}: {done.stderr}")
        kept[path.stem] = round(float(done.stdout.split()[-1]), 2)
        print(f"{path.stem:20} {kept[path.stem]:.2f} GB", flush=True)
    report = {"machine": machine.record(), "gigabytes": dict(sorted(kept.items()))}
    RESULT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
