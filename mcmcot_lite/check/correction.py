"""Self-checks of Chapters 5 to 9: cells, certificates, the correction, long runs, their cost."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from mcmcot_lite.check.grading import F64, Exercise, draws, same

__all__ = ["ex_5_5", "ex_6_5", "ex_7_5", "ex_8_4", "ex_9_4"]


def places(e: Exercise, found: Any, n: int) -> Tensor:
    """The answer as n places in a cloud of n points: whole numbers in a tensor, array or list."""
    index = e.tensor(found, (n,))
    why = "return the indices of the targets, whole numbers in a tensor of shape (n,)."
    e.hold(torch.equal(index, index.round()), why)
    e.hold(bool(((index >= 0) & (index < n)).all()), "an index is outside 0 ... n - 1.")
    return index.long()


def ex_5_5(choose: Callable[[Tensor, Tensor, Tensor], Any]) -> None:
    """Cells: ``choose(z_hat, z, h)`` -> (n,), the index of each source's target, Eq. (14)."""
    e = Exercise("5.5", choose, "choose(z_hat, z, h)")
    n, d = 30, 2
    for seed in range(3):
        x, y, h = draws(seed, n, d), draws(seed + 5, n, d) + 1, draws(seed + 9, n)
        score, far = x @ y.mT, torch.cdist(x, y)
        index = places(e, e.call(x, y, h), n)
        best = (score + h).max(1).values
        mine = score.gather(1, index[:, None])[:, 0] + h[index]
        near = "it takes the nearest target: in E a score is an inner product."
        mistakes = {
            "each source takes its worst target: the least score, bonus included.": -score - h,
            "each source takes its worst target; the bonus has the right sign.": h - score,
            "the bonus enters as a price: a target with a huge bonus must be chosen.": score - h,
            "the bonuses do not enter: a target with a huge bonus must be chosen.": score,
            "it chooses a source for each target, not a target for each source.": (score + h).mT,
            near: h - far.square() / 2,
        }
        for why, other in (*mistakes.items(), *((near, h - p) for p in (far, far**2, far + h))):
            if not same(mine, best) and torch.equal(index, other.argmax(1)):
                raise e.wrong(why)
        e.near(mine, best, "some source has a better target, bonus included.")
        raised = h.clone()
        raised[3] += 1e3
        everybody = (places(e, e.call(x, y, raised), n) == 3).all()
        e.hold(everybody, "a target with a huge bonus must be chosen by everybody.")
        plain = places(e, e.call(x, y, torch.zeros(n, dtype=F64)), n)
        mine = score.gather(1, plain[:, None])[:, 0]
        e.near(mine, score.max(1).values, "without bonuses some source has a better target.")
    e.done()


def ex_6_5(gap: Callable[..., Any]) -> None:
    """Certificate: ``gap(z_hat, z, index, h)``, mean cost of the map minus the dual bound."""
    e = Exercise("6.5", gap, "gap(z_hat, z, index, h)")
    n, d = 6, 3
    for seed in range(3):
        x, y, h = draws(seed, n, d), draws(seed + 5, n, d), draws(seed + 9, n)
        cost = torch.cdist(x, y).square()
        rows = torch.arange(n)
        maps = [torch.tensor(p) for p in itertools.permutations(range(n))]
        price = torch.stack([cost[rows, p].mean() for p in maps])
        best, worst = maps[int(price.argmin())], maps[int(price.argmax())]
        found = e.number(x, y, best, h)
        bound = x.square().sum(1).mean() + y.square().sum(1).mean()
        cells = (x @ y.mT + h).max(1).values.mean()
        energy, low = cells - h.mean(), price.min()
        right = low - (bound - 2 * energy)
        e.slips(
            found,
            right,
            {
                "a gap is never negative: the map costs more than the bound, not less.": -right,
                "the bound is not D(h). Which factor stands before E(h)?": right - energy,
                "the bound is not D(h). Which sign has E(h)?": right - 4 * energy,
                "the sources' second moment is missing in D(h).": right + x.square().sum(1).mean(),
                "the targets' second moment is missing in D(h).": right + y.square().sum(1).mean(),
                "a constant added to h must change nothing: its mean is missing.": right
                + 2 * h.mean(),
                "in D(h) each source takes its best target, not its worst.": low
                - bound
                + 2 * ((x @ y.mT + h).min(1).values.mean() - h.mean()),
                "in D(h) each source takes its target, and not each target its source.": low
                - bound
                + 2 * ((x @ y.mT + h).max(0).values.mean() - h.mean()),
                "that is the bound alone.": bound - 2 * energy,
                "that is the cost of the map alone.": low,
            },
        )
        e.hold(found >= -1e-4, "a gap is never negative: no map costs less than D(h).")
        ends = [cost[rows, p].sqrt().mean() for p in (worst, best)]
        spread = price.max() - price.min()
        e.near(
            e.number(x, y, worst, h) - found,
            spread,
            "two maps, one h: their gaps must differ as their mean costs do.",
            {
                "a cost is a *squared* distance.": ends[0] - ends[1],
                "mean costs are asked for, and no sums.": n * spread,
                "the map does not enter: use index.": 0.0,
                "mean costs are over the sources, not over coordinates, too.": spread / d,
            },
        )
        why = "a constant added to h must change nothing."
        e.near(e.number(x, y, best, h + 3.0), found, why)
        e.near(found, right, "the bound is not D(h).")
        # Targets that are the sources: with h_j = -|z_j|^2 / 2 the bound is 0, and so is the map.
        why = "from a cloud to itself, with the right bonuses, the gap is 0."
        e.near(e.number(x, x, rows, -x.square().sum(1) / 2), 0.0, why)
    e.done()


def ex_7_5(corrected: Callable[..., Any]) -> None:
    """The correction: ``corrected(z_hat, z, index, alpha)`` -> (n, d), Eq. (12)."""
    e = Exercise("7.5", corrected, "corrected(z_hat, z, index, alpha)")
    n, d = 7, 3
    x, z = draws(1, n, d), draws(2, n, d)
    index = torch.tensor([3, 0, 6, 1, 5, 2, 4])

    def moved(alpha: float) -> Tensor:
        return e.tensor(e.call(x, z, index, alpha), (n, d))

    nothing, whole = moved(0.0), moved(1.0)
    e.hold(not same(nothing, whole), "alpha makes no difference.")
    way = "return the new places of the latents, not the way to them."
    e.near(nothing, x, "with alpha = 0 nothing moves.", {way: torch.zeros(n, d)})
    e.near(
        whole,
        z[index],
        "with alpha = 1 each latent arrives at its target.",
        {
            "each latent has a target of its own: use index.": z,
            "latent i goes to z[index[i]]; you use index the other way round.": z[index.argsort()],
            "it goes away from its target.": 2 * x - z[index],
        },
    )
    for alpha in (0.1, 0.5, 0.8):
        why = "it must go a share alpha of the way."
        e.near(moved(alpha) - x, alpha * (whole - x), why)
    e.done()


def ex_8_4(total: Callable[..., Any]) -> None:
    """A batch in parts: ``total(mean_gradient, batches)`` -> the mean gradient of all images.

    ``mean_gradient(batch)`` is the mean over one batch; batches may differ in size.
    """
    e = Exercise("8.4", total, "total(mean_gradient, batches)")
    rows = draws(4, 12, 3)
    seen: list[int] = []

    def mean_gradient(batch: Tensor) -> Tensor:
        seen.append(len(batch))
        return batch.mean(0)

    for sizes in ((4, 4, 4), (5, 5, 2), (12,), (1, 11)):
        seen.clear()
        parts = cast("tuple[Tensor, ...]", rows.split(sizes))
        found = e.tensor(e.call(mean_gradient, parts), (3,))
        e.hold(sorted(seen) == sorted(sizes), "call mean_gradient once for each batch.")
        means = torch.stack([part.mean(0) for part in parts])
        e.near(
            found,
            rows.mean(0),
            "the batches do not enter by their sizes.",
            {
                "the last batch may be smaller: its images must not count for more than others.": (
                    means.mean(0)
                ),
                "that is a sum of means, too long.": means.sum(0),
                "that is the sum over all images; divide by their number.": rows.sum(0),
                "divide by the number of all images, not by that of the batches.": rows.sum(0)
                / len(sizes),
                "divide by the number of all images, once.": rows.mean(0) / len(sizes),
                "that is the gradient of one batch.": means[-1],
            },
        )
    e.done()


def ex_9_4(operations: Callable[..., Any]) -> None:
    """Cost: ``operations(c_in, c_out, kernel, h_in, w_in)`` of a transposed convolution, forwards.

    For one image, no bias, no padding; a multiplication and an addition are two operations.
    """
    e = Exercise("9.4", operations, "operations(c_in, c_out, kernel, h_in, w_in)")
    for c_in, c_out, kernel, h, w in ((3, 5, 4, 7, 11), (8, 4, 2, 5, 3), (1, 1, 1, 6, 2)):
        found = e.number(c_in, c_out, kernel, h, w)
        # Each input pixel of each channel is multiplied by every weight of that channel.
        exact = 2 * (c_in * c_out * kernel**2) * h * w
        outputs = c_out * kernel**2 * h * w
        once = "each weight meets each *input* pixel once, not each output pixel."
        e.near(
            found,
            exact,
            "count how often each weight is used in one image.",
            {
                "count the additions, too.": exact / 2,
                once: exact * kernel**2,
                "a kernel has two sides.": exact / kernel,
                "each channel that comes in has weights of its own.": exact / c_in,
                "each channel that goes out has weights of its own.": exact / c_out,
                "how many pixels has the input?": exact / (h * w),
                "count an addition with each multiplication, also the first, to 0.": exact
                - outputs,
                "for one image, forwards, no factor is left but that of the additions.": 2 * exact,
            },
        )
    e.done()
