"""Self-checks of Chapters 5 to 9: cells, certificates, the correction, long runs, their cost."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from mcmcot_lite.check.grading import Exercise, draws

__all__ = ["ex_5_5", "ex_6_5", "ex_7_5", "ex_8_4", "ex_9_4"]


def ex_5_5(choose: Callable[[Tensor, Tensor, Tensor], Any]) -> None:
    """Cells: ``choose(z_hat, z, h)`` -> (n,), the index of each source's target, Eq. (14)."""
    e = Exercise("5.5", choose, "choose(z_hat, z, h)")
    n, d = 30, 2
    for seed in range(3):
        x, y, h = draws(seed, n, d), draws(seed + 5, n, d) + 1, draws(seed + 9, n)
        plain, found = (e.call(x, y, b) for b in (torch.zeros(n, dtype=x.dtype), h))
        for index in (plain, found):
            whole = isinstance(index, Tensor) and not index.is_floating_point()
            e.hold(whole, "return the indices of the targets, whole numbers in a tensor.")
        index = e.tensor(found, (n,)).long()
        e.hold(bool(((index >= 0) & (index < n)).all()), "an index is outside 0 ... n - 1.")
        raised = h.clone()
        raised[3] += 1e3
        e.hold(
            (e.tensor(e.call(x, y, raised), (n,)) == 3).all(),
            "a target with a huge bonus must be chosen by everybody.",
        )
        score = x @ y.mT
        e.hold(
            not torch.equal(e.tensor(plain, (n,)).long(), score.argmin(1)),
            "without bonuses each source takes its worst target.",
        )
        e.hold(
            not torch.equal(e.tensor(plain, (n,)).long(), torch.cdist(x, y).argmin(1)),
            "without bonuses it takes the nearest target: in E a score is an inner product.",
        )
        mine = score.gather(1, index[:, None])[:, 0] + h[index]
        e.near(mine, (score + h).max(1).values, "some source has a better target, bonus included.")
    e.done()


def ex_6_5(gap: Callable[..., Any]) -> None:
    """Certificate: ``gap(z_hat, z, index, h)``, mean cost of the map minus the dual bound."""
    e = Exercise("6.5", gap, "gap(z_hat, z, index, h)")
    n, d = 6, 2
    for seed in range(3):
        x, y, h = draws(seed, n, d), draws(seed + 5, n, d), draws(seed + 9, n)
        cost = torch.cdist(x, y).square()
        rows = torch.arange(n)
        maps = [torch.tensor(p) for p in itertools.permutations(range(n))]
        price = torch.stack([cost[rows, p].mean() for p in maps])
        best, worst = maps[int(price.argmin())], maps[int(price.argmax())]

        def number(index: Tensor, h: Tensor, x: Tensor = x, y: Tensor = y) -> float:
            return float(e.tensor(e.call(x, y, index, h), ()))

        e.hold(number(best, h) >= -1e-9, "a gap is never negative: no map costs less than D(h).")
        e.near(
            number(worst, h) - number(best, h),
            float(price.max() - price.min()),
            "two maps, one h: their gaps must differ as their mean costs do.",
        )
        e.near(number(best, h + 3.0), number(best, h), "a constant added to h must change nothing.")
        bound = x.square().sum(1).mean() + y.square().sum(1).mean()
        energy = (x @ y.mT + h).max(1).values.mean() - h.mean()
        e.near(
            number(best, h),
            float(price.min() - (bound - 2 * energy)),
            "the bound is not D(h). Which factor stands before E(h)?",
        )
        # Targets that are the sources: with h_j = -|z_j|^2 / 2 the bound is 0, and so is the map.
        own = -x.square().sum(1) / 2
        e.near(
            float(e.tensor(e.call(x, x, rows, own), ())),
            0.0,
            "from a cloud to itself, with the right bonuses, the gap is 0.",
        )
    e.done()


def ex_7_5(corrected: Callable[..., Any]) -> None:
    """The correction: ``corrected(z_hat, z, index, alpha)`` -> (n, d), Eq. (12)."""
    e = Exercise("7.5", corrected, "corrected(z_hat, z, index, alpha)")
    n, d = 7, 3
    x, z = draws(1, n, d), draws(2, n, d)
    index = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    e.near(
        e.tensor(e.call(x, z, index, 0.0), (n, d)),
        x,
        "with alpha = 0 nothing moves.",
    )
    whole = e.tensor(e.call(x, z, index, 1.0), (n, d))
    e.hold(not torch.allclose(whole, z), "each latent has a target of its own: use index.")
    e.near(whole, z[index], "with alpha = 1 each latent arrives at its target.")
    for alpha in (0.1, 0.5, 0.8):
        part = e.tensor(e.call(x, z, index, alpha), (n, d))
        e.near(part - x, alpha * (whole - x), "it must go a share alpha of the way.")
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
        summed = torch.stack([part.mean(0) for part in parts]).sum(0)
        alone = len(sizes) == 1
        e.hold(alone or not torch.allclose(found, summed), "that is a sum of means, too long.")
        why = "the last batch may be smaller: its images must not count for more than others."
        e.near(found, rows.mean(0), why)
    e.done()


def ex_9_4(operations: Callable[..., Any]) -> None:
    """Cost: ``operations(c_in, c_out, kernel, h_in, w_in)`` of a transposed convolution, forwards.

    For one image, no bias, no padding; a multiplication and an addition are two operations.
    """
    e = Exercise("9.4", operations, "operations(c_in, c_out, kernel, h_in, w_in)")
    for c_in, c_out, kernel, h, w in ((3, 5, 2, 7, 7), (8, 4, 4, 5, 3), (1, 1, 1, 6, 2)):
        found = float(e.tensor(e.call(c_in, c_out, kernel, h, w), ()))
        layer = torch.nn.ConvTranspose2d(c_in, c_out, kernel, stride=kernel, bias=False)
        # Each input pixel of each channel is multiplied by every weight of that channel.
        weights = layer.weight.numel() / c_in
        exact = 2 * weights * c_in * h * w
        e.hold(found != exact / 2, "count the additions, too.")
        e.hold(
            found != exact * kernel**2 or kernel == 1,
            "each weight meets each *input* pixel once, not each output pixel.",
        )
        e.near(found, exact, "count how often each weight is used in one image.")
    e.done()
