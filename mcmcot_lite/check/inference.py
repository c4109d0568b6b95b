"""Self-checks of Chapters 1 to 4: linear posterior, log joint, Langevin step, short runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from mcmcot_lite.check.grading import F64, Exercise, draws, same
from mcmcot_lite.check.linear import try_law

__all__ = ["ex_1_5", "ex_2_6", "ex_3_6", "ex_4_4", "ex_4_5"]


def ex_1_5(posterior: Callable[[Tensor, Tensor, float, Tensor], Any]) -> None:
    """Linear posterior: ``posterior(x, theta, sigma, mu)`` -> mean (n, d), covariance (d, d)."""
    e = Exercise("1.5", posterior, "posterior(x, theta, sigma, mu)")
    for seed, (n, D, d, sigma) in enumerate([(4, 6, 2, 0.5), (3, 5, 3, 2.0), (1, 4, 1, 0.1)]):
        theta, mu, x = draws(seed, D, d), draws(seed + 10, D), draws(seed + 20, n, D)
        found = e.pair(e.call(x, theta, sigma, mu))
        mean = e.tensor(found[0], (n, d), "the mean")
        cov = e.tensor(found[1], (d, d), "the covariance")
        try_law(e, mean, cov, x, theta, sigma, mu)
    e.done()


def try_weights(e: Exercise, w: tuple[float, float], s: tuple[float, float], pixels: int) -> None:
    """Whether the pixels' weights at two sigmas are right, as multiples of the right ones."""
    turned = all(a < 0 for a in w) and not same(w[0], 0.0)
    e.hold(not turned, "it is larger where the image is drawn worse.")
    e.hold(not (same(w[0], 0.0) and same(w[1], 0.0)), "it does not see the pixels of x.")
    wrong = "the error of the pixels has the wrong weight: "
    for power, why in (
        (2, "where is sigma?"),
        *((p, "another power of sigma.") for p in (1, -1, -2)),
    ):
        e.hold(not same(w[0] * s[1] ** power, w[1] * s[0] ** power), wrong + why)
    e.hold(not same(w[0] * pixels, 1.0), wrong + "is it a sum over pixels?")
    factor = "which factor does the logarithm of a normal density have?"
    e.hold(not same(w[0], 2.0), wrong + factor)
    e.hold(
        same(w[0], 1.0) and same(w[1], 1.0),
        wrong + "is it a sum over all pixels, and how does it depend on sigma?",
    )


def try_prior(e: Exercise, v: tuple[float, float], d: int) -> None:
    """Whether the prior's weights at two sigmas are right, as multiples of the right ones."""
    e.hold(not (same(v[0], 0.0) and same(v[1], 0.0)), "it does not see the prior of z.")
    e.hold(min(v) > 0, "the prior has the wrong sign: it must fall as z leaves 0.")
    e.hold(same(v[0], v[1]), "the weight of the prior depends on sigma; only the pixels' may.")
    e.hold(not same(v[0] * d, 1.0), "the prior has the wrong weight: is it a sum over latents?")
    why = "the prior has the wrong weight: what is the logarithm of the density of N(0, I)?"
    e.hold(same(v[0], 1.0), why)


def ex_2_6(log_joint: Callable[..., Any]) -> None:
    """Log joint up to a constant: ``log_joint(g, z, x, sigma)`` -> (n,), one for each image."""
    e = Exercise("2.6", log_joint, "log_joint(g, z, x, sigma)")
    n, d, shape = 5, 3, (1, 2, 4)
    A = draws(0, 2, 4, d)

    def g(z: Tensor) -> Tensor:
        return torch.tanh(torch.einsum("hwd,nd->nhw", A.to(z.dtype), z))[:, None]

    sigmas = (0.3, 2.0)
    weights: list[tuple[float, float]] = []
    for seed, sigma in enumerate(sigmas):
        z, other, x = draws(seed + 1, n, d), draws(seed + 2, n, d), draws(seed + 3, n, *shape)
        found = e.tensor(e.call(g, z, x, sigma), (n,))
        moved = e.tensor(e.call(g, other, x, sigma), (n,))
        one = e.tensor(e.call(g, torch.cat([other[:1], z[1:]]), x, sigma), (n,))
        e.near(one[1:], found[1:], "the number of an image depends on the latents of others.")
        # What it gains from ``other`` to ``z``, as so much of the pixels and so much of the prior.
        drawn = [(x - g(a)).flatten(1).square().sum(1) / 2 for a in (z, other)]
        error, norm = drawn[0] - drawn[1], (z.square() - other.square()).sum(1) / 2
        table = torch.stack([-error / sigma**2, -norm], 1)
        gain = found - moved
        both = cast(Tensor, torch.linalg.solve(table.mT @ table, table.mT @ gain))
        weights.append((float(both[0]), float(both[1])))
        why = "it is not made of the squared errors of the pixels and the squared length of z."
        e.near(table @ both, gain, why)
    (w0, v0), (w1, v1) = weights
    try_weights(e, (w0, w1), sigmas, A[:, :, 0].numel())
    try_prior(e, (v0, v1), d)
    e.done()


def ex_3_6(step: Callable[[Tensor, Tensor, float, Tensor], Any]) -> None:
    """One Langevin step: ``step(z, grad, s, xi)`` -> (n, d); grad of log p, xi standard normal."""
    e = Exercise("3.6", step, "step(z, grad, s, xi)")
    n, d = 6, 2
    z, grad, xi = draws(1, n, d), draws(2, n, d), draws(3, n, d)
    still = torch.zeros(n, d, dtype=F64)
    scale = "the noise of a step of size s has the wrong scale"
    fit = "drift and noise do not fit: on N(0, 1) the variance would not stay near 1."
    for s in (0.1, 0.7):
        stays = "without slope and noise a chain stays where it is"
        found = e.steady((n, d), z, still, s, still)
        e.near(found, z, f"{stays}.", {f"{stays}; return the new place, not the way to it.": still})
        drift = e.tensor(e.call(z, grad, s, still), (n, d)) - z
        noise = e.tensor(e.call(z, still, s, xi), (n, d)) - z
        e.hold(not same(drift, still), "it does not use the gradient.")
        e.hold(not same(noise, still), "it does not use the noise xi.")
        e.hold((drift * grad).sum() > 0, "without noise the log density must rise.")
        # On N(0, I) the noise of a step must make up for what the drift takes away:
        # a variance v = 1 stays near 1 for a small step.
        by_drift = float((drift * grad).sum() / grad.square().sum())
        by_noise = float((noise * xi).sum() / xi.square().sum())
        e.near(drift, by_drift * grad, "the drift of each latent must follow its own gradient.")
        e.near(noise, by_noise * xi, "the noise of each latent must be a multiple of its own xi.")
        e.hold(by_noise > 0, "the noise has the wrong sign: it is xi itself that moves a chain.")
        fits = same(by_drift, by_noise**2 / 2) and not same(by_noise, s)
        e.hold(not fits, f"drift and noise fit, but {scale}.")
        for other in (s**2, s**0.5):
            e.slips(by_noise, s, {f"{scale}: another power of s.": other})
        e.near(by_noise, s, f"{scale}.")
        power, factor = (
            f"the drift has the wrong power of s; {fit}",
            f"the drift lacks a factor; {fit}",
        )
        e.near(by_drift, by_noise**2 / 2, fit, {power: s, factor: s**2})
        whole = e.tensor(e.call(z, grad, s, xi), (n, d))
        e.near(whole - z, drift + noise, "drift and noise must add up.")
    e.done()


def ex_4_4(variance: Callable[[int, float, float], Any]) -> None:
    """Short run: ``variance(K, s, lam)`` of a chain from N(0, 1) on a normal of precision lam."""
    e = Exercise("4.4", variance, "variance(K, s, lam)")
    for s, lam in ((0.3, 1.6), (0.2, 9.0), (0.5, 4.0)):
        found = float(e.steady((), 0, s, lam))
        e.near(found, 1.0, "after no step the variance is that of the start, 1.")
        shrink = 1 - s**2 / 2 * lam
        right = shrink**2 + s**2
        e.near(
            e.number(1, s, lam),
            right,
            "one step is wrong: what does it do to the spread, and what does its noise add?",
            {
                "one step is wrong: its noise is missing.": shrink**2,
                "one step is wrong: does the noise add its variance or its deviation?": shrink**2
                + s,
                "one step is wrong: it shrinks a deviation by a factor; and a variance?": shrink
                + s**2,
                "one step is wrong: how far does its drift go?": (1 - s * lam) ** 2 + s**2,
                "one step is wrong: its drift has the wrong factor.": (1 - s**2 * lam) ** 2 + s**2,
                "one step is wrong: the precision lam must enter.": (1 - s**2 / 2) ** 2 + s**2,
                "one step is wrong: lam is a precision, and no variance.": (1 - s**2 / 2 / lam) ** 2
                + s**2,
                "one step is wrong: its noise has the wrong factor.": shrink**2 + s**2 / 2,
                "one step is wrong: the drift must pull towards 0.": (2 - shrink) ** 2 + s**2,
                "that is a standard deviation.": right**0.5,
                "that is the limit after many steps.": 1 / lam,
            },
        )
        why = "a step from 6 to 7 is not like a step from 0 to 1."
        e.near(e.number(7, s, lam), shrink**2 * e.number(6, s, lam) + s**2, why)
        limit = 1 / (lam * (1 - s**2 * lam / 4))
        e.near(e.number(400, s, lam), limit, "a very long chain ends at another variance.")
    e.done()


def ex_4_5(aggregate: Callable[[Tensor, Tensor], Any]) -> None:
    """Aggregated law: ``aggregate(means, covs)`` -> mean (d,), covariance (d, d) of the mixture."""
    e = Exercise("4.5", aggregate, "aggregate(means, covs)")
    for seed, (n, d) in enumerate([(5, 2), (40, 3)]):
        means, root = draws(seed, n, d), draws(seed + 5, n, d, d)
        covs = root @ root.mT
        found = e.pair(e.call(means, covs))
        mean = e.tensor(found[0], (d,), "the mean")
        cov = e.tensor(found[1], (d, d), "the covariance")
        summed = {"the mean of the mixture is a mean over images, and no sum.": means.sum(0)}
        e.near(mean, means.mean(0), "the mean of the mixture is wrong.", summed)
        within, spread = covs.mean(0), means - mean
        between = spread.mT @ spread / n
        sample = n / (n - 1) * between
        divide = "divide by n: the mixture is a law, no sample."
        e.near(
            cov,
            within + between,
            "second moments do not add up.",
            {
                "images differ: their means spread, too, and that is missing.": within,
                "each posterior has a width, too: it is missing.": between,
                "each posterior has a width, too: it is missing; and " + divide: sample,
                "that is the second moment about 0, not about the mean.": within
                + means.mT @ means / n,
                "the mixture is a law, no sample that one mean was fitted to.": within + sample,
                "that is a sum over images, not a mean.": n * (within + between),
                "the spread of the means must add to the width.": within - between,
                "the widths are added up over the images; their mean counts.": covs.sum(0)
                + between,
                "the spread of the means is added up over the images; its mean counts.": within
                + n * between,
                "that is the law of a mean of n latents, not of one latent.": within / n,
            },
        )
    e.done()
