"""No notebook takes more memory than Colab has; measured by benchmarks/notebooks.py."""

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COLAB = 12  # GB, of which the system takes some


def test_every_notebook_was_measured_and_fits() -> None:
    told = json.loads((ROOT / "results" / "notebooks.json").read_text(encoding="utf-8"))
    assert set(told["gigabytes"]) == {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert min(told["gigabytes"].values()) > 0
    assert max(told["gigabytes"].values()) < COLAB / 2
    assert told["machine"]["python"].startswith("3.13.")
    pinned = (ROOT / "constraints-colab.txt").read_text(encoding="utf-8")
    assert f"torch=={told['machine']['torch'].partition('+')[0]}\n" in pinned
