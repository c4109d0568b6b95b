"""Self-checks: every right answer passes, every typical wrong one is told what it lacks."""

from __future__ import annotations

import math
import re
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from mcmcot_lite import check
from mcmcot_lite.factor_analysis import posterior

F64 = torch.float64


def linear(x, theta, sigma, mu, noise=None, prior=1.0):
    noise = sigma**2 if noise is None else noise
    cov = torch.linalg.inv(theta.mT @ theta / noise + prior * torch.eye(theta.shape[1], dtype=F64))
    return (x - mu) @ theta @ cov / noise, cov


def joint(g, z, x, sigma):
    return -(x - g(z)).flatten(1).square().sum(1) / (2 * sigma**2) - z.square().sum(1) / 2


def pixels(g, z, x):
    return (x - g(z)).flatten(1).square().sum(1)


def step(z, grad, s, xi):
    return z + s**2 / 2 * grad + s * xi


def variance(K, s, lam):
    v = 1.0
    for _ in range(K):
        v = (1 - s**2 / 2 * lam) ** 2 * v + s**2
    return v


def chain(step):
    """A variance of steps that multiply it by the first number and add the second."""

    def run(K, s, lam):
        v = 1.0
        for _ in range(K):
            v = step(s, lam)[0] * v + step(s, lam)[1]
        return v

    return run


def recursive(K, s, lam):
    return (1 - s**2 / 2 * lam) ** 2 * recursive(K - 1, s, lam) + s**2 if K else 1.0


def closed(K, s, lam):
    a = (1 - s**2 / 2 * lam) ** 2
    return a**K + s**2 * (1 - a**K) / (1 - a)


def mixture(means, covs):
    mean = means.mean(0)
    return mean, covs.mean(0) + (means - mean).mT @ (means - mean) / len(means)


def choose(x, y, h):
    return (x @ y.mT + h).argmax(1)


def gap(x, y, index, h, factor=2.0, sign=1.0):
    energy = (x @ y.mT + h).max(1).values.mean() - h.mean()
    bound = x.square().sum(1).mean() + y.square().sum(1).mean() - factor * energy
    return sign * ((x - y[index]).square().sum(1).mean() - bound)


def corrected(x, z, index, alpha):
    return (1 - alpha) * x + alpha * z[index]


def total(mean_gradient, batches):
    n = sum(map(len, batches))
    return sum(len(b) / n * mean_gradient(b) for b in batches)


def flop(c_in, c_out, kernel, h, w):
    return 2 * c_in * c_out * kernel**2 * h * w


def kl(mean, log_var):
    return (mean.square() + log_var.exp() - 1 - log_var).sum(1) / 2


def energy_loss(f, up, down):
    return f(down).mean() - f(up).mean()


def backward(f, up, down):
    loss = energy_loss(f, up, down)
    loss.backward()
    return loss


def reset(f, up, down):
    for weight in f.parameters():
        nn.init.zeros_(weight)
    return energy_loss(f, up, down)


def halves(back):
    """An answer to Exercise 11.3 that turns the two halves and r, t into a second half."""

    def inverse(y, r, t):
        a, b = y.chunk(2, 1)
        return torch.cat([a, back(a, b, r, t)], 1)

    return inverse


def uncouple(y, r, t):
    a, b = y.split(y.shape[1] // 2, 1)
    return torch.cat([a, (b - t(a)) * (-r(a)).exp()], 1)


def visible(x, y, mask):
    return torch.where(mask, x - y, 0.0).flatten(1).square().sum(1)


def precision_at_hits(scores, odd):
    hits = odd[scores.argsort(descending=True)].double()
    return ((hits.cumsum(0) / torch.arange(1, len(odd) + 1)) * hits).sum() / hits.sum()


def trapezoids(scores, odd):
    hits = odd[scores.argsort(descending=True)].double()
    precision = hits.cumsum(0) / torch.arange(1, len(odd) + 1)
    recall = torch.cat([torch.zeros(1), hits.cumsum(0) / hits.sum()])
    return torch.trapezoid(torch.cat([precision[:1], precision]), recall)


def torn(x, mask, theta, sigma, mu):
    mean, cov = linear(x[mask], theta[mask], sigma, mu[mask])
    return mean, cov


RIGHT = {
    "ex_1_5": linear,
    "ex_2_6": joint,
    "ex_3_6": step,
    "ex_4_4": variance,
    "ex_4_5": mixture,
    "ex_5_5": choose,
    "ex_6_5": gap,
    "ex_7_5": corrected,
    "ex_8_4": total,
    "ex_9_4": flop,
    "ex_10_5": kl,
    "ex_11_4": energy_loss,
    "ex_11_3": uncouple,
    "ex_12_6": visible,
    "ex_13_6": precision_at_hits,
    "ex_14_6": torn,
}


def rough(answer):
    """An answer that works in float32."""

    def narrow(a):
        return a.float() if isinstance(a, torch.Tensor) and a.is_floating_point() else a

    return lambda *a: answer(*map(narrow, a))


def by_numpy(x, theta, sigma, mu):
    x, theta, mu = x.numpy(), theta.numpy(), mu.numpy()
    cov = np.linalg.inv(theta.T @ theta / sigma**2 + np.eye(theta.shape[1]))
    return (x - mu) @ theta @ cov / sigma**2, cov


STYLES = {
    "1.5, numpy": ("ex_1_5", by_numpy),
    "1.5, float32": ("ex_1_5", lambda *a: [part.float() for part in linear(*a)]),
    "2.6, float32": ("ex_2_6", rough(joint)),
    "2.6, distributions": (
        "ex_2_6",
        lambda g, z, x, s: (
            torch.distributions.Normal(g(z), s).log_prob(x).sum((1, 2, 3))
            + torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
        ),
    ),
    "2.6, list of tensors": ("ex_2_6", lambda g, z, x, s: list(joint(g, z, x, s))),
    "3.6, lists": ("ex_3_6", lambda *a: step(*a).tolist()),
    "3.6, a copy in place": ("ex_3_6", lambda z, g, s, xi: z.clone().add_(s**2 / 2 * g + s * xi)),
    "3.6, float32": ("ex_3_6", rough(step)),
    "4.4, array": ("ex_4_4", lambda *a: np.array(variance(*a))),
    "4.4, numpy's float32": ("ex_4_4", lambda *a: np.float32(variance(*a))),
    "4.4, fraction": ("ex_4_4", lambda *a: Fraction(variance(*a))),
    "4.4, recursive": ("ex_4_4", recursive),
    "4.4, closed form": ("ex_4_4", closed),
    "4.5, lists": ("ex_4_5", lambda *a: [part.tolist() for part in mixture(*a)]),
    "4.5, float32": ("ex_4_5", rough(mixture)),
    "6.5, item": ("ex_6_5", lambda *a: gap(*a).item()),
    "5.5, list": ("ex_5_5", lambda *a: choose(*a).tolist()),
    "5.5, numpy": ("ex_5_5", lambda *a: choose(*a).numpy()),
    "5.5, list of tensors": ("ex_5_5", lambda x, y, h: [(y @ a + h).argmax() for a in x]),
    "5.5, costs": (
        "ex_5_5",
        lambda x, y, h: ((torch.cdist(x, y) ** 2 - y.square().sum(1)) / 2 - h).argmin(1),
    ),
    "5.5, float32": ("ex_5_5", rough(choose)),
    "6.5, float32": ("ex_6_5", rough(gap)),
    "7.5, numpy": ("ex_7_5", lambda *a: corrected(*a).numpy()),
    "9.4, numpy's integer": ("ex_9_4", lambda i, o, k, h, w: 2 * np.prod([i, o, k, k, h, w])),
    "9.4, tensor": ("ex_9_4", lambda *a: torch.tensor(flop(*a))),
    "10.5, float32": ("ex_10_5", rough(kl)),
    "11.3, float32": ("ex_11_3", rough(uncouple)),
    "11.4, in one": (
        "ex_11_4",
        lambda f, a, b: (lambda v: v[len(a) :].mean() - v[: len(a)].mean())(f(torch.cat([a, b]))),
    ),
    "11.4, a constant": ("ex_11_4", lambda f, a, b: energy_loss(f, a, b) + 3),
    "11.4, float32": ("ex_11_4", rough(energy_loss)),
    "13.6, numpy's number": ("ex_13_6", lambda *a: np.float64(precision_at_hits(*a))),
    "12.6, list of tensors": (
        "ex_12_6",
        lambda x, y, m: [((a - b)[c] ** 2).sum() for a, b, c in zip(x, y, m, strict=True)],
    ),
    "12.6, float32": ("ex_12_6", rough(visible)),
    "14.6, numpy": ("ex_14_6", lambda *a: tuple(part.numpy() for part in torn(*a))),
    "14.6, float32": ("ex_14_6", lambda *a: tuple(part.float() for part in torn(*a))),
}
WRONG = {
    "1.5, sigma for its square": (
        "ex_1_5",
        lambda x, t, s, m: linear(x, t, s, m, s),
        "sigma enters with the wrong power",
    ),
    "1.5, no prior": (
        "ex_1_5",
        lambda x, t, s, m: linear(x, t, s, m, prior=0.0),
        "prior of z is missing",
    ),
    "1.5, mu forgotten": ("ex_1_5", lambda x, t, s, m: linear(x, t, s, 0 * m), "mu, is missing"),
    "1.5, precision returned": (
        "ex_1_5",
        lambda x, t, s, m: (linear(x, t, s, m)[0], torch.linalg.inv(linear(x, t, s, m)[1])),
        "less certain than the prior",
    ),
    "1.5, sigma missing": ("ex_1_5", lambda x, t, s, m: linear(x, t, 1.0, m), "sigma does not"),
    "1.5, mu added": ("ex_1_5", lambda x, t, s, m: linear(x, t, s, -m), "mu enters with the wrong"),
    "1.5, sign of the mean": (
        "ex_1_5",
        lambda x, t, s, m: (-linear(x, t, s, m)[0], linear(x, t, s, m)[1]),
        "mean has the wrong sign",
    ),
    "1.5, mean without sigma": (
        "ex_1_5",
        lambda x, t, s, m: (linear(x, t, s, m)[0] * s**2, linear(x, t, s, m)[1]),
        "in the mean sigma is missing",
    ),
    "1.5, covariance without sigma": (
        "ex_1_5",
        lambda x, t, s, m: (linear(x, t, s, m)[0], linear(x, t, s, m)[1] / s**2),
        "only one of the places",
    ),
    "1.5, one thing": ("ex_1_5", lambda x, t, s, m: linear(x, t, s, m)[0], "two things"),
    "2.6, sigma forgotten": (
        "ex_2_6",
        lambda g, z, x, s: -pixels(g, z, x) / 2 - z.square().sum(1) / 2,
        "pixels has the wrong weight: where is sigma",
    ),
    "2.6, sigma for its square": (
        "ex_2_6",
        lambda g, z, x, s: -pixels(g, z, x) / (2 * s) - z.square().sum(1) / 2,
        "pixels has the wrong weight: another power",
    ),
    "2.6, sign": ("ex_2_6", lambda g, z, x, s: -joint(g, z, x, s), "drawn worse"),
    "2.6, no prior": ("ex_2_6", lambda g, z, x, s: -pixels(g, z, x) / (2 * s**2), "prior"),
    "2.6, mean over pixels": (
        "ex_2_6",
        lambda g, z, x, s: -pixels(g, z, x) / x[0].numel() / (2 * s**2) - z.square().sum(1) / 2,
        "sum over pixels",
    ),
    "2.6, no half of the pixels": (
        "ex_2_6",
        lambda g, z, x, s: -pixels(g, z, x) / s**2 - z.square().sum(1) / 2,
        "pixels has the wrong weight: which factor",
    ),
    "2.6, no half of the prior": (
        "ex_2_6",
        lambda g, z, x, s: joint(g, z, x, s) - z.square().sum(1) / 2,
        "the prior has the wrong weight: what is",
    ),
    "2.6, sign of the prior": (
        "ex_2_6",
        lambda g, z, x, s: joint(g, z, x, s) + z.square().sum(1),
        "the prior has the wrong sign",
    ),
    "2.6, mean over latents": (
        "ex_2_6",
        lambda g, z, x, s: joint(g, z, x, s) + z.square().sum(1) / 2 - z.square().mean(1) / 2,
        "the prior has the wrong weight: is it a sum",
    ),
    "2.6, sigma under all": (
        "ex_2_6",
        lambda g, z, x, s: -(pixels(g, z, x) + z.square().sum(1)) / (2 * s**2),
        "weight of the prior depends on sigma",
    ),
    "2.6, prior of the batch": (
        "ex_2_6",
        lambda g, z, x, s: -pixels(g, z, x) / (2 * s**2) - z.square().sum() / 2,
        "latents of others",
    ),
    "2.6, no pixels": ("ex_2_6", lambda g, z, x, s: -z.square().sum(1) / 2, "see the pixels"),
    "2.6, no squares": (
        "ex_2_6",
        lambda g, z, x, s: (g(z) - x).abs().flatten(1).sum(1) / -s - z.square().sum(1) / 2,
        "not made of the squared errors",
    ),
    "2.6, mean over images": ("ex_2_6", lambda g, z, x, s: joint(g, z, x, s).mean(), "shape"),
    "3.6, sign": ("ex_3_6", lambda z, g, s, xi: z - s**2 / 2 * g + s * xi, "must rise"),
    "3.6, s for s^2/2": (
        "ex_3_6",
        lambda z, g, s, xi: z + s * g + s * xi,
        "wrong power of s; .*do not fit",
    ),
    "3.6, s^2 for s^2/2": (
        "ex_3_6",
        lambda z, g, s, xi: z + s**2 * g + s * xi,
        "lacks a factor; .*do not fit",
    ),
    "3.6, noise s^2": ("ex_3_6", lambda z, g, s, xi: z + s**2 / 2 * g + s**2 * xi, "power of s"),
    "3.6, no noise": ("ex_3_6", lambda z, g, s, xi: z + s**2 / 2 * g, "noise xi"),
    "3.6, no drift": ("ex_3_6", lambda z, g, s, xi: z + s * xi, "use the gradient"),
    "3.6, another step": (
        "ex_3_6",
        lambda z, g, s, xi: z + s * g + (2 * s) ** 0.5 * xi,
        "fit, but the noise",
    ),
    "3.6, sign of xi": ("ex_3_6", lambda z, g, s, xi: z + s**2 / 2 * g - s * xi, "wrong sign"),
    "3.6, own noise": (
        "ex_3_6",
        lambda z, g, s, xi: z + s**2 / 2 * g + s * torch.randn_like(z),
        "must draw nothing",
    ),
    "3.6, the way": ("ex_3_6", lambda z, g, s, xi: s**2 / 2 * g + s * xi, "not the way to it"),
    "3.6, mean gradient": (
        "ex_3_6",
        lambda z, g, s, xi: z + s**2 / 2 * g.mean(0) + s * xi,
        "its own gradient",
    ),
    "3.6, xi of others": (
        "ex_3_6",
        lambda z, g, s, xi: z + s**2 / 2 * g + s * xi.flip(0),
        "its own xi",
    ),
    "3.6, in place": ("ex_3_6", lambda z, g, s, xi: z.add_(s**2 / 2 * g + s * xi), "arguments"),
    "3.6, nothing returned": ("ex_3_6", lambda *a: None, "Is a return missing"),
    "4.4, a list": ("ex_4_4", lambda *a: [variance(*a)], "one number"),
    "4.4, complex": ("ex_4_4", lambda *a: complex(variance(*a)), "complex"),
    "4.4, no noise": (
        "ex_4_4",
        lambda K, s, lam: (1 - s**2 / 2 * lam) ** (2 * K),
        "noise is missing",
    ),
    "4.4, standard deviation": (
        "ex_4_4",
        lambda K, s, lam: variance(K, s, lam) ** 0.5,
        "deviation",
    ),
    "4.4, one step too many": ("ex_4_4", lambda K, s, lam: variance(K + 1, s, lam), "no step"),
    "4.4, the posterior": ("ex_4_4", lambda K, s, lam: 1 / lam, "no step|one step"),
    "4.4, s for s^2/2": ("ex_4_4", chain(lambda s, lam: ((1 - s * lam) ** 2, s**2)), "drift go"),
    "4.4, s^2 for s^2/2": (
        "ex_4_4",
        chain(lambda s, lam: ((1 - s**2 * lam) ** 2, s**2)),
        "drift has the wrong factor",
    ),
    "4.4, not squared": ("ex_4_4", chain(lambda s, lam: (1 - s**2 / 2 * lam, s**2)), "shrinks"),
    "4.4, noise s": ("ex_4_4", chain(lambda s, lam: ((1 - s**2 / 2 * lam) ** 2, s)), "deviation"),
    "4.4, no lam": ("ex_4_4", chain(lambda s, lam: ((1 - s**2 / 2) ** 2, s**2)), "must enter"),
    "4.4, lam a variance": (
        "ex_4_4",
        chain(lambda s, lam: ((1 - s**2 / 2 / lam) ** 2, s**2)),
        "no variance",
    ),
    "4.4, away from 0": (
        "ex_4_4",
        chain(lambda s, lam: ((1 + s**2 / 2 * lam) ** 2, s**2)),
        "towards 0",
    ),
    "4.4, simulated": ("ex_4_4", lambda K, s, lam: torch.randn(500).var(), "must draw nothing"),
    "4.5, sum": ("ex_4_5", lambda m, c: (m.mean(0), len(m) * mixture(m, c)[1]), "not a mean"),
    "4.5, minus": (
        "ex_4_5",
        lambda m, c: (m.mean(0), 2 * c.mean(0) - mixture(m, c)[1]),
        "must add to the width",
    ),
    "4.5, law of a mean": (
        "ex_4_5",
        lambda m, c: (m.mean(0), c.mean(0) / len(m)),
        "of a mean of n",
    ),
    "4.5, sum of means": ("ex_4_5", lambda m, c: (m.sum(0), mixture(m, c)[1]), "and no sum"),
    "4.5, within alone": ("ex_4_5", lambda m, c: (m.mean(0), c.mean(0)), "means spread"),
    "4.5, between alone": ("ex_4_5", lambda m, c: (m.mean(0), m.mT.cov(correction=0)), "width"),
    "4.5, about 0": (
        "ex_4_5",
        lambda m, c: (m.mean(0), c.mean(0) + m.mT @ m / len(m)),
        "about 0",
    ),
    "4.5, n - 1": ("ex_4_5", lambda m, c: (m.mean(0), c.mean(0) + m.mT.cov()), "no sample"),
    "5.5, argmin": ("ex_5_5", lambda x, y, h: (x @ y.mT + h).argmin(1), "worst target"),
    "5.5, worst": ("ex_5_5", lambda x, y, h: (h - x @ y.mT).argmax(1), "worst target"),
    "5.5, bonus as a price": ("ex_5_5", lambda x, y, h: (x @ y.mT - h).argmax(1), "as a price"),
    "5.5, no bonus": ("ex_5_5", lambda x, y, h: (x @ y.mT).argmax(1), "do not enter"),
    "5.5, bonus of sources": (
        "ex_5_5",
        lambda x, y, h: (x @ y.mT + h[:, None]).argmax(1),
        "do not enter",
    ),
    "5.5, wrong axis": ("ex_5_5", lambda x, y, h: (x @ y.mT + h).argmax(0), "a source for each"),
    "5.5, nearest": ("ex_5_5", lambda x, y, h: torch.cdist(x, y).argmin(1), "nearest target"),
    "5.5, weights": ("ex_5_5", lambda x, y, h: (2 * x @ y.mT + h).argmax(1), "better target"),
    "5.5, from the end": ("ex_5_5", lambda *a: choose(*a) - 30, "outside"),
    "5.5, distance": (
        "ex_5_5",
        lambda x, y, h: (h - torch.cdist(x, y).square() / 2).argmax(1),
        "nearest target",
    ),
    "5.5, scores": ("ex_5_5", lambda x, y, h: (x @ y.mT + h).max(1).values, "whole numbers"),
    "6.5, the factor": ("ex_6_5", lambda *a: gap(*a, factor=1.0), "Which factor"),
    "6.5, sign": ("ex_6_5", lambda *a: gap(*a, sign=-1.0), "negative"),
    "6.5, sum for mean": ("ex_6_5", lambda x, *a: len(x) * gap(x, *a), "mean costs"),
    "6.5, E's sign": ("ex_6_5", lambda *a: gap(*a, factor=-2.0), "Which sign"),
    "6.5, mean of h": (
        "ex_6_5",
        lambda x, y, i, h: gap(x, y, i, h) + 2 * h.mean(),
        "its mean is missing",
    ),
    "6.5, a moment": (
        "ex_6_5",
        lambda x, y, i, h: gap(x, y, i, h) + y.square().sum(1).mean(),
        "targets' second moment",
    ),
    "6.5, no squares": (
        "ex_6_5",
        lambda x, y, i, h: (
            gap(x, y, i, h) + ((x - y[i]).norm(dim=1) - (x - y[i]).square().sum(1)).mean()
        ),
        "squared.* distance",
    ),
    "6.5, no index": ("ex_6_5", lambda x, y, i, h: gap(x, y, i.sort().values, h), "use index"),
    "7.5, turned": ("ex_7_5", lambda x, z, i, a: a * x + (1 - a) * z[i], "nothing moves"),
    "7.5, no index": ("ex_7_5", lambda x, z, i, a: (1 - a) * x + a * z, "use index"),
    "7.5, index turned": (
        "ex_7_5",
        lambda x, z, i, a: (1 - a) * x + a * z[i.argsort()],
        "other way round",
    ),
    "7.5, no alpha": ("ex_7_5", lambda x, z, i, a: z[i], "alpha makes no difference"),
    "7.5, the way": ("ex_7_5", lambda x, z, i, a: a * (z[i] - x), "not the way"),
    "7.5, away": ("ex_7_5", lambda x, z, i, a: x - a * (z[i] - x), "away from"),
    "7.5, wrong end": ("ex_7_5", lambda x, z, i, a: (1 - a) * x[i] + a * z, "nothing moves"),
    "7.5, squared": ("ex_7_5", lambda x, z, i, a: x + a**2 * (z[i] - x), "share alpha"),
    "8.4, in place": (
        "ex_8_4",
        lambda f, b: sum(len(q) * f(q.mul_(2)) for q in b) / 24,
        "arguments",
    ),
    "8.4, mean of means": ("ex_8_4", lambda f, b: sum(map(f, b)) / len(b), "smaller"),
    "8.4, sum of means": ("ex_8_4", lambda f, b: sum(map(f, b)), "too long"),
    "8.4, first alone": ("ex_8_4", lambda f, b: f(b[0]), "once for each"),
    "8.4, not divided": ("ex_8_4", lambda f, b: sum(len(q) * f(q) for q in b), "their number"),
    "8.4, by the batches": (
        "ex_8_4",
        lambda f, b: sum(len(q) * f(q) for q in b) / len(b),
        "not by that of the batches",
    ),
    "8.4, last alone": ("ex_8_4", lambda f, b: [f(q) for q in b][-1], "one batch"),
    "9.4, multiplications": ("ex_9_4", lambda *a: flop(*a) / 2, "additions"),
    "9.4, output pixels": ("ex_9_4", lambda i, o, k, h, w: flop(i, o, k, h * k, w * k), "input"),
    "9.4, one channel": ("ex_9_4", lambda i, o, k, h, w: flop(1, o, k, h, w), "comes in"),
    "9.4, one side": ("ex_9_4", lambda i, o, k, h, w: 2 * i * o * k * h * w, "two sides"),
    "9.4, one addition less": (
        "ex_9_4",
        lambda i, o, k, h, w: flop(i, o, k, h, w) - o * k**2 * h * w,
        "also the first",
    ),
    "9.4, weights": ("ex_9_4", lambda i, o, k, h, w: flop(i, o, k, 1, 1), "how many pixels"),
    "10.5, sign": ("ex_10_5", lambda m, v: -kl(m, v), "negative"),
    "10.5, deviation": (
        "ex_10_5",
        lambda m, v: (m.square() + v.exp() - 1 - v / 2).sum(1) / 2,
        "variances|negative",
    ),
    "10.5, mean": ("ex_10_5", lambda m, v: kl(m, v) / m.shape[1], "sum over"),
    "10.5, no half": ("ex_10_5", lambda m, v: 2 * kl(m, v), "but for one factor"),
    "10.5, turned": (
        "ex_10_5",
        lambda m, v: ((1 + m.square()) / v.exp() - 1 + v).sum(1) / 2,
        "not symmetric",
    ),
    "10.5, deviations": ("ex_10_5", lambda m, v: kl(m, 2 * v), "not of a deviation"),
    "10.5, variances": (
        "ex_10_5",
        lambda m, v: (m.square() + v - 1 - v.log()).sum(1) / 2,
        "NaN or infinity; of the prior",
    ),
    "10.5, no variances": ("ex_10_5", lambda m, v: m.square().sum(1) / 2, "variances is missing"),
    "10.5, no means": ("ex_10_5", lambda m, v: kl(0 * m, v), "means is missing"),
    "10.5, nothing": ("ex_10_5", lambda m, v: 0 * m[:, 0], "part of the means"),
    "11.4, sign": ("ex_11_4", lambda f, a, b: f(a).mean() - f(b).mean(), "smaller where"),
    "11.4, sums": ("ex_11_4", lambda f, a, b: f(b).sum() - f(a).sum(), "take means"),
    "11.4, detached": ("ex_11_4", lambda f, a, b: energy_loss(f, a, b).detach(), "has a gradient"),
    "11.4, a float": ("ex_11_4", lambda f, a, b: energy_loss(f, a, b).item(), "not .*float"),
    "11.4, logsumexp": (
        "ex_11_4",
        lambda f, a, b: torch.logsumexp(f(b), 0) - f(a).mean(),
        "not the difference",
    ),
    "11.4, squares": (
        "ex_11_4",
        lambda f, a, b: energy_loss(f, a, b) + f(a).square().mean(),
        "not the difference",
    ),
    "11.4, classifier": (
        "ex_11_4",
        lambda f, a, b: nn.functional.softplus(f(b)).mean() + nn.functional.softplus(-f(a)).mean(),
        "not the difference",
    ),
    "11.4, mean latents": (
        "ex_11_4",
        lambda f, a, b: (f(b.mean(0, True)) - f(a.mean(0, True)))[0],
        "not the difference",
    ),
    "11.4, no f": (
        "ex_11_4",
        lambda f, a, b: torch.ones((), requires_grad=True) * (b.mean() - a.mean()),
        "does not use f",
    ),
    "11.4, up alone": ("ex_11_4", lambda f, a, b: -f(a).mean(), "nothing lowers f"),
    "11.4, down alone": ("ex_11_4", lambda f, a, b: f(b).mean(), "nothing lifts f"),
    "11.4, both down": ("ex_11_4", lambda f, a, b: f(b).mean() + f(a).mean(), "both places"),
    "11.4, one size": (
        "ex_11_4",
        lambda f, a, b: (f(b).sum() - f(a).sum()) / (len(a) + len(b)),
        "Each by its own",
    ),
    "11.4, twice": ("ex_11_4", lambda f, a, b: 2 * energy_loss(f, a, b), "wrong factor"),
    "11.4, backward": ("ex_11_4", backward, "leave backward"),
    "11.4, new weights": ("ex_11_4", reset, "changes the weights"),
    "11.3, order": (
        "ex_11_3",
        lambda y, r, t: torch.cat(
            [
                y[:, : y.shape[1] // 2],
                y[:, y.shape[1] // 2 :] * (-r(y[:, : y.shape[1] // 2])).exp()
                - t(y[:, : y.shape[1] // 2]),
            ],
            1,
        ),
        "order",
    ),
    "11.3, nothing undone": ("ex_11_3", lambda y, r, t: y, "second half"),
    "11.3, again": (
        "ex_11_3",
        halves(lambda a, b, r, t: (b - t(a)) * r(a).exp()),
        "scale is applied again",
    ),
    "11.3, no scale": ("ex_11_3", halves(lambda a, b, r, t: b - t(a)), "scale is left"),
    "11.3, no shift": ("ex_11_3", halves(lambda a, b, r, t: b / r(a).exp()), "shift is left"),
    "11.3, forwards": ("ex_11_3", halves(lambda a, b, r, t: b * r(a).exp() + t(a)), "itself"),
    "11.3, no exponential": (
        "ex_11_3",
        halves(lambda a, b, r, t: (b - t(a)) / r(a)),
        "not by its exponential",
    ),
    "11.3, of the other half": (
        "ex_11_3",
        halves(lambda a, b, r, t: (b - t(b)) / r(b).exp()),
        "not the other",
    ),
    "12.6, hidden": ("ex_12_6", lambda x, y, m: visible(x, y, ~m), "visible"),
    "12.6, mean": ("ex_12_6", lambda x, y, m: visible(x, y, m) / m.flatten(1).sum(1), "sum over"),
    "12.6, mean of all": ("ex_12_6", lambda x, y, m: visible(x, y, m) / 12, "over all pixels"),
    "12.6, no mask": ("ex_12_6", lambda x, y, m: (x - y).square().sum((1, 2, 3)), "is not used"),
    "12.6, nansum": ("ex_12_6", lambda x, y, m: (x - y).square().nansum((1, 2, 3)), "is not used"),
    "12.6, root": ("ex_12_6", lambda x, y, m: visible(x, y, m).sqrt(), "root"),
    "12.6, half": ("ex_12_6", lambda x, y, m: visible(x, y, m) / 2, "without a factor"),
    "12.6, distances": (
        "ex_12_6",
        lambda x, y, m: torch.where(m, x - y, 0.0).abs().sum((1, 2, 3)),
        "not their squares",
    ),
    "12.6, times mask": (
        "ex_12_6",
        lambda x, y, m: ((x - y).square() * m).flatten(1).sum(1),
        "NaN",
    ),
    "12.6, NaN filled in place": (
        "ex_12_6",
        lambda x, y, m: visible(x.nan_to_num_(), y, m),
        "arguments",
    ),
    "13.6, ascending": ("ex_13_6", lambda s, o: precision_at_hits(-s, o), "highest scores"),
    "13.6, trapezoids": ("ex_13_6", trapezoids, "trapezoids"),
    "13.6, all places": (
        "ex_13_6",
        lambda s, o: (o[s.argsort(descending=True)].cumsum(0) / torch.arange(1, len(o) + 1)).mean(),
        "not over all places",
    ),
    "13.6, a sum": ("ex_13_6", lambda s, o: precision_at_hits(s, o) * o.sum(), "added up"),
    "13.6, by n": (
        "ex_13_6",
        lambda s, o: precision_at_hits(s, o) * o.double().mean(),
        "not divided",
    ),
    "13.6, ROC": (
        "ex_13_6",
        lambda s, o: (s[o][:, None] > s[~o]).double().mean(),
        "ROC",
    ),
    "14.6, zeros": (
        "ex_14_6",
        lambda x, m, t, s, mu: linear(x.nan_to_num(), t, s, mu),
        "visible",
    ),
    "14.6, NaN": ("ex_14_6", lambda x, m, t, s, mu: linear(x, t, s, mu), "NaN"),
    "14.6, sigma": ("ex_14_6", lambda x, m, t, s, mu: torn(x, m, t, s**0.5, mu), "wrong power"),
    "14.6, sigma missing": (
        "ex_14_6",
        lambda x, m, t, s, mu: torn(x, m, t, 1.0, mu),
        "sigma does not enter",
    ),
    "14.6, filled with mu": (
        "ex_14_6",
        lambda x, m, t, s, mu: linear(torch.where(m, x, mu), t, s, mu),
        "visible",
    ),
    "14.6, hidden": ("ex_14_6", lambda x, m, t, s, mu: torn(x, ~m, t, s, mu), "NaN"),
    "14.6, nothings": ("ex_14_6", lambda *a: (None, None), "mean must be a tensor, not None"),
    "14.6, in place": (
        "ex_14_6",
        lambda x, m, t, s, mu: torn(x.nan_to_num_(), m, t, s, mu),
        "arguments",
    ),
    "14.6, mu": ("ex_14_6", lambda x, m, t, s, mu: torn(x, m, t, s, 0 * mu), "mu, is missing"),
}


def test_every_check_has_a_right_answer_here():
    assert set(RIGHT) == set(check.__all__) - {"Wrong"}
    assert {name for name, *_ in WRONG.values()} == set(RIGHT)


@pytest.mark.parametrize("name", RIGHT)
def test_right_answers_pass(name, capsys):
    assert getattr(check, name)(RIGHT[name]) is None
    number = name.removeprefix("ex_").replace("_", ".")
    assert re.fullmatch(
        rf"Exercise {number}: right \(\d+ properties hold\)\n", capsys.readouterr().out
    )


@pytest.mark.parametrize("case", STYLES)
def test_style_does_not_count(case, capsys):
    name, answer = STYLES[case]
    getattr(check, name)(answer)
    assert ": right (" in capsys.readouterr().out


@pytest.mark.parametrize("case", WRONG)
def test_typical_wrong_answers_are_told(case, capsys):
    name, answer, says = WRONG[case]
    number = name.removeprefix("ex_").replace("_", ".")
    with pytest.raises(check.Wrong, match=says) as found:
        getattr(check, name)(answer)
    assert str(found.value).startswith(f"Exercise {number}: ")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_no_answer(name):
    run = getattr(check, name)
    with pytest.raises(TypeError, match="answer must be a function"):
        run(3)
    with pytest.raises(check.Wrong, match="stops with TypeError"):
        run(lambda: None)
    with pytest.raises(check.Wrong, match="stops with ZeroDivisionError"):
        run(lambda *a: 1 / 0)
    with pytest.raises(check.Wrong):
        run(lambda *a: None)
    with pytest.raises(check.Wrong):
        run(lambda *a: torch.full((3, 3), float("nan")))


NOTHINGS = (
    None,
    {},
    (i for i in ()),
    [[1], [1, 2]],
    [],
    object(),
    b"x",
    [None, None],
    [torch.zeros(2), None],
    np.array([None]),
    torch.empty(2, device="meta"),
    torch.eye(2).to_sparse(),
    torch.eye(2) + 0j,
    10**400,
    math.inf,
)


@pytest.mark.parametrize("name", RIGHT)
def test_things_that_are_no_tensors_are_refused_in_our_words(name):
    for thing in NOTHINGS:
        with pytest.raises(check.Wrong) as found:
            getattr(check, name)(lambda *a, thing=thing: thing)
        assert "stops with" not in str(found.value)


def test_the_library_itself_passes():
    def library(x, theta, sigma, mu):
        found = posterior(x, theta, sigma, mu)
        return found.mean, found.cov

    check.ex_1_5(library)


def test_gradients_are_taken_where_they_are_switched_off():
    for off in (torch.no_grad(), torch.inference_mode()):
        with off:
            check.ex_11_4(energy_loss)
