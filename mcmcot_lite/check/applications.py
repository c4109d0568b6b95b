"""Self-checks of Chapters 12 to 14: visible pixels, rankings, posteriors of images with holes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mcmcot_lite.check.grading import F64, Exercise, draws
from mcmcot_lite.check.linear import law, try_law

__all__ = ["ex_12_6", "ex_13_6", "ex_14_6"]


def ex_12_6(error: Callable[..., Any]) -> None:
    """Visible error, Eq. (16): ``error(x, y, mask)`` -> (n,), squares of visible pixels, summed."""
    e = Exercise("12.6", error, "error(x, y, mask)")
    n, shape = 5, (1, 3, 4)
    x, y = draws(1, n, *shape), draws(2, n, *shape)
    mask = draws(3, n, *shape) > 0
    square = (x - y).square()
    seen, hidden = ((square * m).flatten(1).sum(1) for m in (mask, ~mask))
    lengths = (x - y).abs() * mask
    e.near(
        e.tensor(e.call(x, y, mask), (n,)),
        seen,
        "it is not the sum of squares over the visible pixels.",
        {
            "1 marks a *visible* pixel.": hidden,
            "hidden pixels count, too: the mask is not used.": square.flatten(1).sum(1),
            "that is a mean over visible pixels; a log likelihood is a sum over pixels.": seen
            / mask.flatten(1).sum(1),
            "that is a mean over all pixels; a log likelihood is a sum over pixels.": seen
            / square[0].numel(),
            "that is a length, the root of what is asked for.": seen.sqrt(),
            "those are distances, pixel by pixel, and not their squares.": lengths.flatten(1).sum(
                1
            ),
            "the sum of squares alone, without a factor before it.": seen / 2,
        },
    )
    whole = torch.ones_like(mask)
    found = e.tensor(e.call(x, y, whole), (n,))
    e.near(found, square.flatten(1).sum(1), "it is wrong where all pixels are visible.")
    found = e.tensor(e.call(x, y, ~whole), (n,))
    e.near(found, torch.zeros(n), "an image that is hidden altogether adds no error.")
    value = e.call(x.masked_fill(~mask, float("nan")), y, mask)
    why = "NaN in a hidden pixel reaches the sum: hidden pixels must not be read. (0 * NaN is NaN.)"
    e.near(e.tensor(value, (n,), nan=why), seen, "it changes where hidden pixels hold NaN.")
    e.done()


def precisions(scores: Tensor, odd: Tensor) -> tuple[Tensor, Tensor]:
    """The hits in the order of the scores, and the precision at each place."""
    hits = odd[scores.argsort(descending=True)].double()
    return hits, hits.cumsum(0) / torch.arange(1, len(odd) + 1)


def mean_at_hits(scores: Tensor, odd: Tensor) -> float:
    """What Exercise 13.6 asks for."""
    hits, precision = precisions(scores, odd)
    return float((precision * hits).sum() / hits.sum())


def ex_13_6(average_precision: Callable[[Tensor, Tensor], Any]) -> None:
    """AUPRC: ``average_precision(scores, odd)``, mean of the precision at each hit; no ties."""
    e = Exercise("13.6", average_precision, "average_precision(scores, odd)")
    up = torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0], dtype=F64)
    two = torch.tensor([True, True, False, False, False])
    cases = [(draws(seed, 200), draws(seed + 5, 200) > 1) for seed in range(3)]
    for scores, odd in (*cases, (up, two), (-up, two), (up.roll(1), two)):
        hits, precision = precisions(scores, odd)
        recall = hits.cumsum(0) / hits.sum()
        start = torch.cat([torch.zeros(1), recall])
        trapezoids = "those are trapezoids; take the precision *at* each hit."
        curves = [torch.trapezoid(precision, recall)] + [
            torch.trapezoid(torch.cat([first, precision]), start)
            for first in (torch.ones(1), precision[:1])
        ]
        found, right = e.number(scores, odd), mean_at_hits(scores, odd)
        for curve in curves:
            e.slips(found, right, {trapezoids: curve})
        below = (1 - hits) @ hits.cumsum(0) / (hits.sum() * (1 - hits).sum())
        e.near(
            found,
            right,
            "it is not the mean of the precision at each hit.",
            {
                "the highest scores come first.": mean_at_hits(-scores, odd),
                "take the mean over the odd images, not over all places.": precision.mean(),
                "those precisions are added up, and their mean is asked for.": hits @ precision,
                "they are added up rightly, but not divided so that it is their mean.": hits
                @ precision
                / len(odd),
                "that is the area under the ROC curve; precision counts alarms.": below,
                "that is the mean of the recall.": hits @ recall / hits.sum(),
            },
        )
        moved = e.number(3 * scores + 7, odd)
        e.near(moved, right, "only the order of the scores may count.")
    e.done()


def ex_14_6(posterior: Callable[..., Any]) -> None:
    """One image with holes: ``posterior(x, mask, theta, sigma, mu)`` -> mean (d,), cov (d, d)."""
    e = Exercise("14.6", posterior, "posterior(x, mask, theta, sigma, mu)")
    D, d, sigma = 7, 2, 0.4
    for seed in range(3):
        theta, mu, x = draws(seed, D, d), draws(seed + 5, D), draws(seed + 9, D)
        mask = draws(seed + 13, D) > (0.0, -9.0, 9.0)[seed]  # some, all, none
        torn = x.masked_fill(~mask, float("nan"))
        found = e.pair(e.call(torn, mask, theta, sigma, mu))
        nan = "NaN: hidden pixels must not be read."
        mean = e.tensor(found[0], (d,), "the mean", nan)
        cov = e.tensor(found[1], (d, d), "the covariance", nan)
        if not bool(mask.any()):
            why = "where nothing is shown, the posterior is the prior."
            e.near(cov, torch.eye(d), why)
            e.near(mean, torch.zeros(d), why)
            continue
        seen, every = (law(x[m], theta[m], sigma**2, mu[m])[1] for m in (mask, mask | True))
        e.slips(cov, seen, {"the curvature must be a sum over *visible* pixels alone.": every})
        try_law(e, mean, cov, x[mask], theta[mask], sigma, mu[mask])
    e.done()
