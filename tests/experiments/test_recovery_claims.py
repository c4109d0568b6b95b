"""What the runs of Table 8 show, held against the numbers that they left (clothes, 3 seeds).

Ours is the method whose last correction leaves time to learn, "settled" on the page. Not held here
because it is not so: that it is at or below ABP in *squared* error at every level (it is at 13 of
14), and that the method as the other tables run it, which ends with a correction, is.
"""

from __future__ import annotations

from itertools import pairwise
from statistics import mean, stdev

import pytest

from experiments.table8 import LEVELS, NAMES, SETTLED
from experiments.tables import Table

EVERY = (*NAMES, SETTLED)


@pytest.fixture(scope="module")
def runs() -> Table:
    return Table("table8")


@pytest.mark.parametrize("method", EVERY)
def test_error_grows_with_what_is_hidden(runs, method):
    found = {at: runs.mean("mse", mask=at[0], level=at[1], method=method) for at in LEVELS}
    for kind in ("square", "salt"):
        family = [found[at] for at in LEVELS if at[0] == kind]
        assert len(family) == 7
        assert all(a < b for a, b in pairwise(family))


@pytest.mark.parametrize("method", EVERY)
def test_half_the_error_of_the_mean_image_or_less(runs, method):
    case = {"mask": "salt", "level": 50, "method": method}
    for mine, other in zip(
        runs.values("mse", **case), runs.values("mse_mean", **case), strict=True
    ):
        assert 2 * mine < other


def excess(runs: Table, at: tuple[str, int], key: str) -> tuple[float, float]:
    """Error of ours less that of ABP: the mean over the seeds, and its standard error."""
    case = {"mask": at[0], "level": at[1]}
    each = runs.differs(key, case | {"method": "ABP"}, case | {"method": SETTLED}).each
    assert len(each) >= 3
    return mean(each), stdev(each) / len(each) ** 0.5


@pytest.mark.parametrize("at", LEVELS)
def test_ours_is_at_or_below_abp_within_the_standard_error(runs, at):
    """In the mean absolute error of a hidden pixel."""
    more, error = excess(runs, at, "error")
    assert more <= error


def test_squares_punish_few_large_errors(runs):
    """The one level where it does not hold for squared errors, by less than a percent."""
    over = [at for at in LEVELS if excess(runs, at, "mse")[0] > excess(runs, at, "mse")[1]]
    assert over == [("square", 20)]
    rival = runs.mean("mse", mask="square", level=20, method="ABP")
    assert excess(runs, over[0], "mse")[0] < 0.01 * rival
