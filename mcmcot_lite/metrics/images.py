"""How far images are from their reconstructions, and generated images from real ones."""

from __future__ import annotations

from collections.abc import Callable
from statistics import stdev

import torch
from torch import Tensor

from mcmcot_lite import checks
from mcmcot_lite.density import given_mask, images_and_mask
from mcmcot_lite.transport.gaussian import spectrum

__all__ = ["bootstrap_stderr", "frechet_distance", "mse", "recovery_error"]


def frechet_distance(a: Tensor, b: Tensor) -> float:
    r"""Frechet distance between Gaussians fitted to two sets of features (Heusel et al., 2017).

    With means m and covariances C (divided by n - 1),
    :math:`|m_a - m_b|^2 + \mathrm{tr}(C_a + C_b - 2 (C_b^{1/2} C_a C_b^{1/2})^{1/2})`: the squared
    2-Wasserstein distance of the two Gaussians. It is the FID of the literature only if the
    features are those of its Inception network; say which features you used, and how many samples:
    few samples bias it upwards.

    Args:
        a: features, (n, d), n >= 2.
        b: features of the other set, (m, d), m >= 2, of a's dtype and device.

    Raises:
        TypeError, ValueError: on bad input.
        FloatingPointError: where squares of squares of the features overflow.
    """
    checks.latents("a", a)
    checks.tensor("b", b, shape=(None, a.shape[1]), like=a, like_name="a")
    for name, t in (("a", a), ("b", b)):
        remedy = "A covariance needs two samples, and many more than d to be worth anything."
        checks.require(len(t) >= 2, name, "must hold 2 samples or more", len(t), remedy)
    a, b = a.detach().double(), b.detach().double()
    x, y = a - a.mean(0), b - b.mean(0)
    x, y = x * (len(x) / (len(x) - 1)) ** 0.5, y * (len(y) / (len(y) - 1)) ** 0.5
    spread = float(x.square().sum(1).mean() + y.square().sum(1).mean())
    between = float((a.mean(0) - b.mean(0)).square().sum())
    rule, far = "must lie, with b, within 1e70 of their means", (spread + between) ** 0.5
    remedy = "Scale the features: squares of squares overflow."
    checks.require(far < 1e70, "a", rule, f"{far:.3g}", remedy, FloatingPointError)
    return max(0.0, between + spread - 2 * float(spectrum(x, y).sum()))


def bootstrap_stderr(
    metric: Callable[..., float], *samples: Tensor, rng: torch.Generator, repeats: int = 50
) -> float:
    """Standard error of ``metric(*samples)`` over the samples, by resampling (Efron, 1979).

    Each sample is drawn anew from its own rows, with replacement, independently of the others: rows
    that belong together, such as a score and its label, are columns of one sample. The
    error says how far the number moves when other samples of the same sizes are taken. It does not
    tell of a bias, which a Frechet distance of few samples has.

    Args:
        metric: takes tensors of the samples' shapes and returns a number.
        samples: one or more, each (n, ...), n >= 2.
        rng: draws the rows; on the samples' device.
        repeats: resamplings, >= 2.

    Raises:
        TypeError, ValueError: on bad input, before rng is drawn from.
    """
    checks.require(bool(samples), "samples", "must be given", "none", "Pass metric(a), say a.")
    for i, sample in enumerate(samples):
        checks.tensor(f"samples[{i}]", sample, finite=False)
        few, remedy = sample.ndim == 0 or len(sample) < 2, "A spread needs two."
        got = "a single number" if sample.ndim == 0 else len(sample)
        checks.require(not few, f"samples[{i}]", "must have 2 rows or more", got, remedy)
    checks.takes("metric", metric, *samples)
    rng = checks.rng_on(rng, samples[0].device)
    repeats = checks.integer("repeats", repeats, 2, why="a standard error needs two")

    def again(sample: Tensor) -> Tensor:
        n = len(sample)
        return sample[torch.randint(n, (n,), generator=rng, device=rng.device)]

    with checks.restored(rng):
        found = (metric(*(again(s) for s in samples)) for _ in range(repeats))
        return stdev(checks.number("metric's result", value) for value in found)


def mse(x: Tensor, y: Tensor, mask: Tensor | None = None) -> float:
    """Mean squared error per pixel between images x and y, (n, ...); of visible pixels, if masked.

    Args:
        x: images.
        y: other images, of the shape, dtype and device of x.
        mask: visible pixels (1), the shape of x or of one image; hidden ones may hold anything.

    Raises:
        TypeError, ValueError: on bad input, or a mask that hides every pixel.
    """
    visible = images_and_mask(x, mask)
    checks.tensor("y", y, shape=tuple(x.shape), like=x, like_name="x", finite=visible is None)
    error = (x.detach().double() - y.detach().double()).square()
    if visible is None:
        return float(checks.finite("mse", error.mean(), "Scale the images down."))
    error = error[visible]
    remedy = "1 marks a visible pixel."
    checks.require(len(error) > 0, "mask", "must leave a pixel visible", "none", remedy)
    bad, remedy = int((~torch.isfinite(error)).sum()), "Look for NaN in y."
    got = f"{bad} NaN or infinite entries"
    checks.require(bad == 0, "y", "must be finite wherever it is visible", got, remedy)
    return float(error.mean())


def recovery_error(x: Tensor, y: Tensor, mask: Tensor) -> float:
    """Mean absolute difference per hidden pixel: one reading of Section 7.8's recovery error.

    The paper calls it the average per pixel difference; :func:`mse` with ``~mask`` is the other.

    Args:
        x: images, whole, (n, ...).
        y: their recoveries, of the shape, dtype and device of x.
        mask: visible pixels (1), which play no part; the shape of x or of one image.

    Raises:
        TypeError, ValueError: on bad input, or a mask that hides no pixel.
    """
    images_and_mask(x, None)
    hidden = ~given_mask(x, mask)
    checks.tensor("y", y, shape=tuple(x.shape), like=x, like_name="x")
    remedy = "0 marks a hidden pixel."
    checks.require(bool(hidden.any()), "mask", "must hide a pixel", "none hidden", remedy)
    error = (x.detach().double() - y.detach().double()).abs()[hidden].mean()
    return float(checks.finite("recovery_error", error, "Scale the images down."))
