"""What the pages print of a results file."""

from __future__ import annotations

import json
import math

import pytest
from scipy import stats

from experiments import record, table5
from experiments.tables import Grid, Table, paper


@pytest.fixture
def folder(tmp_path, monkeypatch):
    pairs = [(1.0, "a"), (1.0, "b"), (2.0, "a"), (2.0, "b"), (3.0, "a"), (4.0, "a")]
    monkeypatch.setattr(table5, "cases", lambda size: [{"s": s, "m": m} for s, m in pairs])
    rows = [
        {
            "case": {"s": s, "m": m},
            "seed": k,
            "found": {"fd": s + k + (m == "b") * (1 + k)},
            "seconds": 30.0,
        }
        for k in (2, 0, 1)
        for s in (1.0, 2.0)
        for m in "ab"
    ]
    rows += [
        {"case": {"s": 3.0, "m": "a"}, "seed": k, "found": found, "seconds": 1.0}
        for k, found in enumerate([{"fd": 5.0}, {"diverged": 1.0, "error": "x"}, {"fd": 7.0}])
    ]
    lost = {"diverged": 1.0, "error": "x"}
    rows += [
        {"case": {"s": 4.0, "m": "a"}, "seed": k, "found": lost, "seconds": 1.0} for k in range(3)
    ]
    st = {"iterations": 3, "L2": 1, "batch_size": 9, "K": 2, "s": 0.1, "L": 2, "alpha": 0.5}
    held = {
        "title": "A table",
        "budget": {"n": 2000, "d": 10, "width": 0.25},
        "settings": st | {"lr": 0.001},
        "made": {"device": "a machine", "versions": {"torch": "9"}},
        "rows": rows,
    }
    record.write(record.where("table5", "cpu", tmp_path), held)
    return tmp_path


def test_means_over_seeds(folder):
    t = Table("table5", folder=folder)
    assert (t.seeds, t.cases("m"), t.cases("s")) == ([0, 1, 2], ["a", "b"], [1.0, 2.0, 3.0, 4.0])
    assert t.values("fd", s=2.0, m="b") == [3.0, 5.0, 7.0]  # by seed, whatever the file's order
    assert (t.mean("fd", s=2.0, m="b"), t.sd("fd", s=2.0, m="b")) == (5.0, 2.0)
    assert t.cell("fd", 1, 12, s=2.0, m="b") == "    5.0 ±2.0"
    assert t.cell("fd", 0, s=1.0, m="a") == "2 ±1"
    t.rows[0]["found"]["fd"] = t.rows[4]["found"]["fd"] = t.rows[8]["found"]["fd"] = -0.01
    assert t.cell("fd", 1, s=1.0, m="a") == "0.0 ±0.0"  # no minus before a zero
    diff = t.differs("fd", {"s": 2.0, "m": "a"}, {"s": 2.0, "m": "b"})
    assert (diff.each, diff.mean) == ([1.0, 2.0, 3.0], 2.0)
    assert diff.half == pytest.approx(4.302653 / math.sqrt(3))  # Student's t, two degrees
    assert f"{diff:.1f}" == "+2.0 ± 2.5 (by seed +1.0, +2.0, +3.0)"
    low, high = t.apart("fd", {"s": 2.0, "m": "a"}, {"s": 2.0, "m": "b"})
    stderr = math.sqrt(1 / 3 + 4 / 3)  # Welch: variances 1 and 4, of three values each
    df = (5 / 3) ** 2 / ((1 / 3) ** 2 / 2 + (4 / 3) ** 2 / 2)
    half = stderr * stats.t.isf(0.025, df)
    assert (low, high) == pytest.approx((2 - half, 2 + half))
    with pytest.raises(KeyError, match="no row of table5"):
        t.found(s=9.0)
    told = t.told()
    for words in ("18 runs, seeds [0, 1, 2]", "2,000 images", "a machine", "6 minutes", "torch 9"):
        assert words in told
    assert "d = 2 and 3" in t.told(d="2 and 3")
    assert "90 iterations" in t.told(iterations=90)


def test_runs_that_diverged(folder):
    t = Table("table5", folder=folder)
    assert t.values("fd", s=3.0) == [5.0, 7.0]
    assert t.cell("fd", 0, s=3.0) == "6 ±1 (1 diverged)"
    assert t.cell("fd", 0, s=4.0) == "diverged"
    assert math.isnan(t.mean("fd", s=4.0))
    assert math.isnan(t.sd("fd", s=4.0))


def test_differences_are_of_common_seeds(folder):
    t = Table("table5", folder=folder)
    t.rows = [r for r in t.rows if r["case"] != {"s": 1.0, "m": "b"} or r["seed"]]
    assert t.differs("fd", {"s": 1.0, "m": "a"}, {"s": 1.0, "m": "b"}).each == [2.0, 3.0]
    # one seed of the third step diverged
    assert t.differs("fd", {"s": 1.0, "m": "a"}, {"s": 3.0, "m": "a"}).each == [4.0, 4.0]


def test_distances_beyond_the_floor_keep_their_sign(folder):
    path = record.where("table5", "cpu", folder)
    held = json.loads(path.read_text())
    ends = {"w2_before": 1.5, "w2_floor_before": 2.0, "w2": 3.0, "w2_floor": 2.5}
    step = {"k": 4, "w2": 1.0, "w2_floor": 0.25}
    held["rows"][0]["found"] |= ends | {"curve": [step], "frames": [step]}
    record.write(path, held)
    found = Table("table5", folder=folder).rows[0]["found"]
    assert (found["beyond_before"], found["beyond"]) == (-0.5, 0.5)
    assert (found["curve"][0]["beyond"], found["frames"][0]["beyond"]) == (0.75, 0.75)


def test_a_missing_row_is_named(folder):
    path = record.where("table5", "cpu", folder)
    held = json.loads(path.read_text())
    held["rows"] = held["rows"][:1] + held["rows"][2:]
    record.write(path, held)
    words = (
        r"lacks \{'s': 1.0, 'm': 'b'\} seed 2; run python -m experiments table5 .*--seeds 3 --res"
    )
    with pytest.raises(ValueError, match=words):
        Table("table5", folder=folder)


def test_a_case_without_any_row_is_named(folder, monkeypatch):
    cases = [*table5.cases(None), {"s": 5.0, "m": "a"}]
    monkeypatch.setattr(table5, "cases", lambda size: cases)
    lost = "; ".join(rf"\{{'s': 5.0, 'm': 'a'\}} seed {k}" for k in range(3))
    with pytest.raises(ValueError, match=f"lacks {lost}; run"):
        Table("table5", folder=folder)


def test_a_missing_file_says_what_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="python -m experiments table6 --size cpu"):
        Table("table6", folder=tmp_path)


def test_grids():
    grid = Grid(["s", "FD"], [[0.1, "3 ±1"], ["all", None]])
    lines = ["| s | FD |", "| :-- | --: |", "| 0.1 | 3\N{NO-BREAK SPACE}±1 |", "| all | – |"]
    assert grid._repr_markdown_().splitlines() == lines
    assert repr(grid) == grid._repr_markdown_()
    grid = Grid(["a", "b"], [["MCMC-OT", "-3 [-4, 1e-16]"], ["20-40, x-1", -0.5]])
    names, numbers = grid._repr_markdown_().splitlines()[2:]
    minus, space = "\N{MINUS SIGN}", "\N{NO-BREAK SPACE}"
    assert names == f"| MCMC\N{NON-BREAKING HYPHEN}OT | {minus}3 [{minus}4,{space}1e-16] |"
    assert numbers == "| 20-40, x-1 | \N{MINUS SIGN}0.5 |"
    with pytest.raises(ValueError, match="2 entries"):
        Grid(["s", "FD"], [[1]])


def test_the_papers_numbers():
    assert paper("table5")["s"] == [0.003, 0.015, 0.03, 0.06]
    told = json.loads((record.RESULTS.parent / "paper.json").read_text())
    for name in ("table2", "table4", "table5", "table6", "table7"):
        assert paper(name) == told[name]
