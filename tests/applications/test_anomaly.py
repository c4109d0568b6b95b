"""The anomaly score: its two terms, its law on the linear model, its ranking, bad input."""

import math
from itertools import combinations
from statistics import mean

import pytest
import torch
from helpers import F64, images, net, normal, seeded
from sklearn.metrics import average_precision_score
from torch import nn

from mcmcot_lite import LinearGenerator, anomaly_score, infer, log_joint, score_of_latents
from mcmcot_lite.linear import log_marginal, posterior
from mcmcot_lite.metrics import auprc

HOW = {"d": 2, "sigma": 0.3, "s": 0.1, "K": 5}


def test_it_is_the_negative_log_joint_at_the_inferred_latent():
    g, x = net(), images(9)
    found = anomaly_score(g, x, **HOW, rng=seeded(1))
    z = infer(g, x, **HOW, rng=seeded(1)).z
    assert torch.equal(found.z, z)
    assert torch.allclose(found.total, -log_joint(g, z, x, sigma=0.3))
    assert torch.allclose(found.prior, z.square().sum(1) / 2)
    assert torch.equal(found.total, found.reconstruction + found.prior)
    start = normal(3, 9, 2).float()
    warm = anomaly_score(g, x, start, sigma=0.3, s=0.1, K=0, rng=seeded())
    assert torch.equal(warm.z, start)
    parts = score_of_latents(g, z, x, sigma=0.3, batch_size=2)
    assert torch.allclose(parts.total, found.total)


def test_at_the_posterior_mean_of_a_linear_model_it_ranks_as_the_exact_log_marginal():
    """There -log p(x) = score + constant: the posterior's covariance is the same for all images."""
    theta, mu = normal(0, 9, 2), normal(1, 9)
    x = normal(2, 50, 9)
    z = posterior(x, theta, 0.4, mu).mean
    found = score_of_latents(LinearGenerator(theta, mu), z, x, sigma=0.4)
    gap = found.total + log_marginal(x, theta, 0.4, mu)
    assert torch.allclose(gap, gap[:1].expand(50), rtol=1e-9)


def test_it_finds_what_the_model_cannot_draw():
    theta, mu = 2 * normal(0, 30, 2), normal(1, 30)
    rng = seeded(5)
    z = torch.randn(200, 2, generator=rng, dtype=F64)
    x = z @ theta.mT + mu + 0.3 * torch.randn(200, 30, generator=rng, dtype=F64)
    odd = torch.arange(200) < 20
    x[odd] += 1.0 * torch.randn(20, 30, generator=rng, dtype=F64)
    g = LinearGenerator(theta, mu)
    found = anomaly_score(g, x, d=2, sigma=0.3, s=0.03, K=300, rng=rng)
    assert auprc(found.total, odd) > 0.99
    want = average_precision_score(odd, found.total)
    assert auprc(found.total, odd) == pytest.approx(want)


def test_hidden_pixels_are_never_read():
    g, x = net(), images(9)
    m = torch.rand(x.shape, generator=seeded(2)) > 0.5
    found = anomaly_score(g, x, **HOW, mask=m, rng=seeded(1))
    again = anomaly_score(g, x.masked_fill(~m, math.nan), **HOW, mask=m, rng=seeded(1))
    assert torch.equal(found.total, again.total)
    assert torch.allclose(found.total, -log_joint(g, found.z, x, sigma=0.3, mask=m))


def test_a_learned_prior():
    g, x, z = net(), images(9), normal(0, 9, 2).float()
    flat = score_of_latents(g, z, x, sigma=0.3, log_prior=lambda z: 0 * z[:, 0])
    assert torch.equal(flat.total, flat.reconstruction)
    tilted = score_of_latents(
        g, z, x, sigma=0.3, log_prior=lambda z: z[:, 0] - z.square().sum(1) / 2
    )
    normal_prior = score_of_latents(g, z, x, sigma=0.3)
    assert torch.allclose(tilted.prior, normal_prior.prior - z[:, 0])


X = images(6)
BAD = [
    ({"x": X.numpy()}, TypeError, "x must be a torch.Tensor"),
    ({"x": X.masked_fill(X > 0.5, math.nan)}, ValueError, "NaN or infinity in image 0"),
    ({"d": None}, TypeError, "d must be a whole number"),
    ({"d": 5}, ValueError, "d must be the number of latents that g takes; got 5.*built for d = 2"),
    ({"x": X.double()}, ValueError, "x must have the dtype of the parameters of g, torch.float32"),
    ({"sigma": -1.0}, ValueError, "sigma must"),
    ({"s": 2.0}, ValueError, "s must lie in"),
    ({"K": 1.5}, TypeError, "K must be a whole number"),
    ({"rng": None}, TypeError, "rng must be a torch.Generator"),
    ({"mask": torch.ones(2)}, ValueError, "mask must have the shape"),
    ({"batch_size": 0}, ValueError, "batch_size must be"),
    ({"batchnorm": 1}, TypeError, "batchnorm must be one of"),
]


@pytest.mark.parametrize(("change", "kind", "says"), BAD)
def test_it_refuses(change, kind, says):
    rng = seeded()
    before = rng.get_state()
    values = {"x": X, **HOW, "rng": rng} | change
    with pytest.raises(kind, match=says):
        anomaly_score(net(), values.pop("x"), **values)
    assert torch.equal(rng.get_state(), before)


def test_score_of_latents_refuses():
    g, z = net(), torch.zeros(6, 2)
    with pytest.raises(ValueError, match="z must have one row"):
        score_of_latents(g, z[:2], X, sigma=0.3)
    with pytest.raises(TypeError, match="log_prior must be a function"):
        score_of_latents(g, z, X, sigma=0.3, log_prior=3)
    with pytest.raises(ValueError, match=r"log_prior\(z\) must have shape"):
        score_of_latents(g, z, X, sigma=0.3, log_prior=lambda z: z)
    normed = nn.Sequential(nn.Linear(2, 12), nn.BatchNorm1d(12), nn.Unflatten(1, (1, 3, 4)))
    with pytest.raises(ValueError, match="'batch' needs 2 images in every batch; got 1 images"):
        score_of_latents(normed, z[:1], X[:1], sigma=0.3, batchnorm="batch")
    with pytest.raises(FloatingPointError, match="anomaly_score must fit"):
        score_of_latents(g, z + 1e20, X, sigma=0.3)


def test_the_marking_notes_of_the_exam():
    """Twelve images, three odd: 1, 2/4, 3/6 in (a); all 220 rankings in (b); one swap in (c)."""

    def average(places):
        hit = torch.tensor([place in places for place in range(1, 13)])
        return float(auprc(torch.arange(12, 0, -1.0), hit))

    assert average((1, 4, 6)) == pytest.approx(2 / 3)
    assert average((1, 5, 6)) == pytest.approx((1 + 2 / 5 + 3 / 6) / 3)
    rankings = list(combinations(range(1, 13), 3))
    assert len(rankings) == 220
    assert mean(map(average, rankings)) == pytest.approx(0.39, abs=0.005)
