"""The recovery error: the mean absolute difference on hidden pixels alone."""

import math

import pytest
import torch
from helpers import normal

from mcmcot_lite.metrics import recovery_error

X, Y = normal(0, 5, 2, 3), normal(1, 5, 2, 3)
M = normal(2, 5, 2, 3) > 0


def test_it_is_the_mean_over_hidden_pixels():
    want = sum(
        abs(float(x) - float(y))
        for x, y, m in zip(X.flatten(), Y.flatten(), M.flatten(), strict=True)
        if not m
    )
    assert recovery_error(X, Y, M) == pytest.approx(want / int((~M).sum()))
    assert recovery_error(X, torch.where(M, Y, X), M) == 0
    one = torch.ones(2, 3)
    one[0, 1] = 0
    assert recovery_error(X, Y, one) == pytest.approx(float((X - Y)[:, 0, 1].abs().mean()))


@pytest.mark.parametrize(
    ("x", "y", "mask", "kind", "says"),
    [
        (X, Y, torch.ones(2, 3), ValueError, "mask must hide a pixel"),
        (X, Y, None, TypeError, "mask must be a torch"),
        (X, Y, M[:2], ValueError, "mask must have the shape"),
        (X, Y[:2], M, ValueError, "y must have shape"),
        (X, Y * math.nan, M, ValueError, "y must be finite"),
        (X * math.nan, Y, M, ValueError, "image 0"),
    ],
)
def test_it_refuses(x, y, mask, kind, says):
    with pytest.raises(kind, match=says):
        recovery_error(x, y, mask)
