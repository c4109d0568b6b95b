"""Self-checks of Chapters 12 to 14: visible pixels, rankings, posteriors of images with holes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mcmcot_lite.check.grading import F64, Exercise, draws

__all__ = ["ex_12_6", "ex_13_6", "ex_14_6"]


def ex_12_6(error: Callable[..., Any]) -> None:
    """Visible error, Eq. (16): ``error(x, y, mask)`` -> (n,), squares of visible pixels, summed."""
    e = Exercise("12.6", error, "error(x, y, mask)")
    n, shape = 5, (1, 3, 4)
    x, y = draws(1, n, *shape), draws(2, n, *shape)
    mask = draws(3, n, *shape) > 0
    square = (x - y).square()
    found = e.tensor(e.call(x, y, mask), (n,))
    seen, hidden = ((square * m).flatten(1).sum(1) for m in (mask, ~mask))
    e.hold(not torch.allclose(found, hidden), "1 marks a *visible* pixel.")
    share = mask.flatten(1).sum(1)
    e.hold(not torch.allclose(found, seen / share), "a log likelihood is a sum over pixels.")
    e.near(found, seen, "it is not the sum of squares over the visible pixels.")
    whole = torch.ones_like(mask)
    e.near(e.tensor(e.call(x, y, whole), (n,)), square.flatten(1).sum(1), "all visible: wrong.")
    torn = x.masked_fill(~mask, float("nan"))
    why = "NaN in a hidden pixel reaches the sum: hidden pixels must not be read. (0 * NaN is NaN.)"
    value = e.call(torn, y, mask)
    finite = isinstance(value, Tensor) and bool(torch.isfinite(value).all())
    e.hold(finite, why)
    e.near(e.tensor(value, (n,)), seen, why)
    e.done()


def ex_13_6(average_precision: Callable[[Tensor, Tensor], Any]) -> None:
    """AUPRC: ``average_precision(scores, odd)``, mean of the precision at each hit; no ties."""
    e = Exercise("13.6", average_precision, "average_precision(scores, odd)")

    def number(scores: Tensor, odd: Tensor) -> float:
        return float(e.tensor(e.call(scores, odd), ()))

    odd = torch.tensor([True, True, False, False, False])
    up = torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0], dtype=F64)
    e.near(number(up, odd), 1.0, "if all odd images have the highest scores, it is 1.")
    worst = number(-up, odd)
    e.near(worst, (1 / 4 + 2 / 5) / 2, "if they have the lowest, hits come late: it is wrong.")
    mixed = torch.tensor([1.0, 5.0, 4.0, 3.0, 2.0], dtype=F64)
    e.near(number(mixed, odd), (1 + 2 / 5) / 2, "hits at places 1 and 5 of 5: it is wrong.")
    for seed in range(3):
        scores = draws(seed, 200)
        odd = draws(seed + 5, 200) > 1
        hits = odd[scores.argsort(descending=True)].double()
        precision = hits.cumsum(0) / torch.arange(1, 201)
        want = float((precision * hits).sum() / hits.sum())
        trapezoid = float(torch.trapezoid(precision, hits.cumsum(0) / hits.sum()))
        found = number(scores, odd)
        why = "those are trapezoids; take the precision *at* each hit."
        e.hold(abs(found - trapezoid) > 1e-9, why)
        e.near(found, want, "it is not the mean of the precision at each hit.")
        e.near(number(3 * scores + 7, odd), want, "only the order of the scores may count.")
    e.done()


def ex_14_6(posterior: Callable[..., Any]) -> None:
    """One image with holes: ``posterior(x, mask, theta, sigma, mu)`` -> mean (d,), cov (d, d)."""
    e = Exercise("14.6", posterior, "posterior(x, mask, theta, sigma, mu)")
    D, d, sigma = 7, 2, 0.4
    eye = torch.eye(d, dtype=F64)
    for seed in range(3):
        theta, mu, x = draws(seed, D, d), draws(seed + 5, D), draws(seed + 9, D)
        mask = draws(seed + 13, D) > (0.0, -9.0, 9.0)[seed]  # some, all, none
        torn = x.masked_fill(~mask, float("nan"))
        found = e.pair(e.call(torn, mask, theta, sigma, mu))
        nan = "NaN: hidden pixels must not be read."
        for part in found:
            e.hold(isinstance(part, Tensor) and not bool(part.isnan().any()), nan)
        mean = e.tensor(found[0], (d,), "the mean")
        cov = e.tensor(found[1], (d, d), "the covariance")
        seen = theta[mask]
        if not bool(mask.any()):
            e.near(cov, eye, "where nothing is shown, the posterior is the prior.")
        why = "the curvature must be a sum over *visible* pixels alone."
        e.near((seen.mT @ seen / sigma**2 + eye) @ cov, eye, why)
        slope = (x[mask] - mu[mask] - seen @ mean) @ seen / sigma**2
        e.near(slope, mean, "at your mean the visible pixels and the prior still pull.")
    e.done()
