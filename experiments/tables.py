"""A results file as the book reads it: means over the seeds, one line about how it was made."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scipy import stats

from experiments import record
from experiments.runner import wanted

__all__ = ["Grid", "Paired", "Table", "paper"]


class Grid:
    """Rows under a head, as Markdown; the first column is text, the others are numbers.

    Args:
        head: of the columns.
        rows: of as many entries each; None is shown as a dash.
    """

    def __init__(self, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        self.head, self.rows = list(head), [list(row) for row in rows]
        if any(len(row) != len(self.head) for row in self.rows):
            raise ValueError(f"rows must have {len(self.head)} entries, as the head has")

    def _repr_markdown_(self) -> str:
        lines = [self.head, [":--"] + ["--:"] * (len(self.head) - 1), *self.rows]
        return "\n".join(f"| {' | '.join(map(_entry, row))} |" for row in lines)

    __repr__ = _repr_markdown_


def _entry(value: object) -> str:
    """As text that keeps together what belongs together, with a minus where one is meant."""
    text = "–" if value is None else str(value).replace("MCMC-OT", "MCMC\N{NON-BREAKING HYPHEN}OT")
    text = re.sub(r"(?<![\w-])-(?=\d)", "\N{MINUS SIGN}", text)
    text = re.sub(r"\[([^],]+), ([^]]+)\]", "[\\1,\N{NO-BREAK SPACE}\\2]", text)
    for sign in ("±", "→", "×"):
        text = text.replace(f" {sign}", f"\N{NO-BREAK SPACE}{sign}")
        text = text.replace(f"{sign} ", f"{sign}\N{NO-BREAK SPACE}")
    return text


def _beyond(found: dict[str, Any]) -> dict[str, float]:
    """The signed distance to the prior beyond its floor: below 0 for a cloud that is too narrow."""
    ends = [key.removeprefix("w2_floor") for key in found if key.startswith("w2_floor")]
    return {f"beyond{end}": found[f"w2{end}"] - found[f"w2_floor{end}"] for end in ends}


class Paired(NamedTuple):
    """Differences by seed, their mean, and half of a 95 % interval of it (Student's t)."""

    each: list[float]
    mean: float
    half: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Paired:
        """From two differences or more."""
        each = list(values)
        stderr = statistics.stdev(each) / len(each) ** 0.5
        return cls(each, statistics.fmean(each), stderr * float(stats.t.isf(0.025, len(each) - 1)))

    def __format__(self, spec: str) -> str:
        digits = int(spec[1:-1])  # as in .1f
        mean, *each = (format(round(v, digits) + 0.0, f"+{spec}") for v in (self.mean, *self.each))
        return f"{mean} ± {self.half:{spec}} (by seed {', '.join(each)})"


class Table:
    """The rows of an experiment.

    Args:
        name: of the experiment.
        size: quick, cpu or gpu.
        folder: with the results.

    Raises:
        FileNotFoundError: there is none; says which command makes it.
        ValueError: a case of the experiment has no row, or lacks a seed that others have.
    """

    def __init__(self, name: str, size: str = "cpu", folder: Path = record.RESULTS) -> None:
        held = record.read(name, size, folder)
        self.name, self.size, self.title = name, size, held["title"]
        self.budget, self.settings, self.made = held["budget"], held["settings"], held["made"]
        self.rows: list[dict[str, Any]] = held["rows"]
        for found in (row["found"] for row in self.rows):
            for numbers in (found, *found.get("curve", []), *found.get("frames", [])):
                numbers |= _beyond(numbers)
        self.seeds = sorted({row["seed"] for row in self.rows})
        there = [(row["case"], row["seed"]) for row in self.rows]
        cases = wanted(name, size, {})
        lost = [f"{case} seed {k}" for k in self.seeds for case in cases if (case, k) not in there]
        if lost:
            again = f"python -m experiments {name} --size {size} --seeds {self.seeds[-1] + 1}"
            raise ValueError(f"{name}-{size}.json lacks {'; '.join(lost)}; run {again} --resume")

    def cases(self, key: str) -> list[Any]:
        """Different values of an entry of the cases, in the order of the rows."""
        return list(dict.fromkeys(row["case"][key] for row in self.rows))

    def found(self, **case: Any) -> list[dict[str, Any]]:
        """What was found in a case, by seed.

        Raises:
            KeyError: no row has such a case.
        """
        return [row["found"] for row in self._rows(case)]

    def _rows(self, case: dict[str, Any]) -> list[dict[str, Any]]:
        """Those of a case, by seed."""
        rows = [r for r in self.rows if all(r["case"].get(k) == v for k, v in case.items())]
        if not rows:
            raise KeyError(f"no row of {self.name} has {case}; run it with --resume")
        return sorted(rows, key=lambda row: row["seed"])

    def values(self, key: str, **case: Any) -> list[float]:
        """One number by seed; seeds that diverged are left out."""
        return [found[key] for found in self.found(**case) if "diverged" not in found]

    def mean(self, key: str, **case: Any) -> float:
        """Over the seeds; NaN where all diverged."""
        values = self.values(key, **case)
        return statistics.fmean(values) if values else float("nan")

    def sd(self, key: str, **case: Any) -> float:
        """Standard deviation over the seeds; NaN for less than two."""
        values = self.values(key, **case)
        return statistics.stdev(values) if len(values) > 1 else float("nan")

    def cell(self, key: str, digits: int, width: int = 0, **case: Any) -> str:
        """Mean and standard deviation, right-aligned; or that runs diverged."""
        values = self.values(key, **case)
        lost = len(self.found(**case)) - len(values)
        mean = round(self.mean(key, **case), digits) + 0.0  # no minus before a zero
        if len(values) < 2:
            text = "diverged" if lost else f"{mean:.{digits}f}"
        else:
            text = f"{mean:.{digits}f} ±{self.sd(key, **case):.{digits}f}"
            text += f" ({lost} diverged)" if lost else ""
        return text.rjust(width)

    def apart(self, key: str, a: dict[str, Any], b: dict[str, Any]) -> tuple[float, float]:
        """Ends of a 95 % interval of b minus a, runs taken as independent (Welch's t)."""
        ends = stats.ttest_ind(self.values(key, **b), self.values(key, **a), equal_var=False)
        ends = ends.confidence_interval(0.95)
        return float(ends.low), float(ends.high)

    def differs(self, key: str, a: dict[str, Any], b: dict[str, Any]) -> Paired:
        """B minus a, seed by seed: for runs that share their start and draws, as ABP's and ours."""
        x, y = ({row["seed"]: row["found"].get(key) for row in self._rows(case)} for case in (a, b))
        both = sorted(k for k in x.keys() & y.keys() if None not in (x[k], y[k]))
        return Paired.of(y[k] - x[k] for k in both)

    def told(self, **said: object) -> str:
        """How it was made, for a page to print; said: what the cases have in place of the head."""
        b, st = {**self.budget, **said}, {**self.settings, **said}
        minutes = sum(row["seconds"] for row in self.rows) / 60
        return (
            f"{len(self.rows)} runs, seeds {self.seeds}; {b['n']:,} images, d = {b['d']}, "
            f"{b['width']} of Table 1's width\n"
            f"{st['iterations']} iterations, L2 = {st['L2']}, batches of {st['batch_size']}, "
            f"lr = {st['lr']}\n"
            f"K = {st['K']}, s = {st['s']}, L = {st['L']}, alpha = {st['alpha']}\n"
            f"{self.made['device']}, one thread a run, {minutes:.0f} minutes in all; "
            f"torch {self.made['versions']['torch']}"
        )


def paper(name: str, folder: Path = record.RESULTS.parent) -> dict[str, Any]:
    """A table as the paper prints it."""
    return json.loads((folder / "paper.json").read_text())[name]
