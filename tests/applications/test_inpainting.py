"""Inpainting against the exact conditional of a linear model; what it leaves alone; bad input."""

import math
from fractions import Fraction
from typing import Any

import pytest
import torch
from helpers import F64, check_gaussian, images, net, normal, seeded
from torch import nn

from mcmcot_lite import LinearGenerator, infer, inpaint, masks, recover
from mcmcot_lite.linear import posterior
from mcmcot_lite.short_run import k_step_law, largest_stable_step

HOW: dict[str, Any] = {"d": 2, "sigma": 0.3, "s": 0.1, "K": 5}


def linear(D: int = 9, d: int = 2) -> tuple[LinearGenerator, Any]:
    theta, mu = normal(0, D, d), normal(1, D)
    return LinearGenerator(theta, mu), (theta, mu)


def test_completions_follow_the_law_of_k_steps_and_noise():
    """Exact at any K and s: hidden pixels of g(z) are A_h z + mu_h with z of the K-step law."""
    g, (theta, mu) = linear()
    x, seen = normal(2, 1, 9), torch.tensor([1, 1, 0, 1, 0, 1, 0, 1, 1]).bool()
    sigma, s, K, m = 0.4, 0.15, 12, 20_000
    law = k_step_law(x[:, seen], theta[seen], sigma, s=s, K=K, mu=mu[seen])
    spoiled = x.masked_fill(~seen, math.nan).expand(m, -1)
    how = {"d": 2, "sigma": sigma, "s": s, "K": K}
    plain = inpaint(g, spoiled, seen, **how, rng=seeded(3))
    check_gaussian(plain.z[0].to(F64), law.mean, law.cov)
    noisy = inpaint(g, spoiled, seen, **how, noise=True, rng=seeded(3))
    lost = ~seen
    mean = law.mean @ theta[lost].mT + mu[lost]
    cov = theta[lost] @ law.cov @ theta[lost].mT + sigma**2 * torch.eye(3, dtype=F64)
    check_gaussian(noisy.images[0][:, lost], mean, cov)


def test_many_small_steps_give_the_exact_conditional_of_hidden_given_visible():
    """p(x_h | x_v) of the joint normal law of all pixels, by the formula of conditioning."""
    g, (theta, mu) = linear()
    x, seen = normal(2, 1, 9), torch.tensor([1, 1, 0, 1, 0, 1, 0, 1, 1]).bool()
    lost, sigma = ~seen, 0.5
    joint = theta @ theta.mT + sigma**2 * torch.eye(9, dtype=F64)
    gain = joint[lost][:, seen] @ torch.linalg.inv(joint[seen][:, seen])
    mean = mu[lost] + (x[0, seen] - mu[seen]) @ gain.mT
    cov = joint[lost][:, lost] - gain @ joint[seen][:, lost]
    s, K = 0.1 * largest_stable_step(theta[seen], sigma), 1500
    law = k_step_law(x[:, seen], theta[seen], sigma, s=s, K=K, mu=mu[seen])
    exact = posterior(x[:, seen], theta[seen], sigma, mu[seen])
    bias = (law.cov - exact.cov).abs().max() / exact.cov.abs().max()
    assert float(bias) < 0.01  # the step's own, below what 4,000 draws can see
    done = inpaint(
        g, x.expand(4000, -1), seen, d=2, sigma=sigma, s=s, K=K, noise=True, rng=seeded(1)
    )
    check_gaussian(done.images[0][:, lost], mean, cov)


def test_spread_is_that_of_the_completions():
    g, (theta, mu) = linear()
    x, seen = normal(2, 3, 9), torch.rand(3, 9, generator=seeded(5)) > 0.4
    done = inpaint(g, x, seen, d=2, sigma=0.4, s=0.15, K=12, completions=400, rng=seeded(3))
    assert done.images.shape == (400, 3, 9)
    assert done.z.shape == (400, 3, 2)
    for i in range(3):
        law = k_step_law(x[i : i + 1, seen[i]], theta[seen[i]], 0.4, s=0.15, K=12, mu=mu[seen[i]])
        sd = (theta @ law.cov * theta).sum(1).sqrt() * ~seen[i]
        assert torch.allclose(done.spread[i], sd, rtol=5 / (2 * 400) ** 0.5)  # 5 standard errors
        assert float(done.diversity[i]) == pytest.approx(float(done.spread[i][~seen[i]].mean()))


def test_hidden_pixels_are_never_read_and_visible_ones_returned_bit_for_bit():
    g, x = net(), images(9)
    m = masks.salt_and_pepper(9, x.shape[1:], share=0.5, patch=1, rng=seeded())
    done = inpaint(g, x, m, **HOW, completions=2, rng=seeded(1))
    for garbage in (math.nan, math.inf, -1e30, 0.5):
        spoiled = x.masked_fill(~m, garbage)
        again = inpaint(g, spoiled, m, **HOW, completions=2, rng=seeded(1))
        assert torch.equal(again.images, done.images)
        assert torch.equal(again.z, done.z)
    for y in done.images:
        assert torch.equal(y[m], x[m])
        assert not torch.equal(y[~m], x[~m])


def test_chains_are_those_of_infer():
    g, x = net(), images(9)
    m = masks.salt_and_pepper(9, x.shape[1:], share=0.5, patch=1, rng=seeded())
    rng = seeded(4)
    want = [infer(g, x, **HOW, mask=m, rng=rng).z for _ in range(3)]
    done = inpaint(g, x, m, **HOW, completions=3, rng=seeded(4))
    assert torch.equal(done.z, torch.stack(want))
    assert torch.equal(done.images[1], recover(g, want[1], x, m))
    assert not torch.equal(done.images[0], done.images[1])
    parts = inpaint(g, x, m, **HOW, batch_size=4, rng=seeded(4))
    assert parts.images.shape == (1, 9, *x.shape[1:])


def test_all_visible_is_the_image_and_all_hidden_a_draw_of_the_model():
    g, x = net(), images(500)
    done = inpaint(g, x, torch.ones_like(x), **HOW, completions=2, rng=seeded())
    assert torch.equal(done.images[0], x)
    assert bool(done.diversity.isnan().all())
    n = 4000
    blind = inpaint(
        g, torch.full((n, *x.shape[1:]), math.nan), torch.zeros_like(x[0]), **HOW, rng=seeded()
    )
    z = blind.z[0].to(F64)
    # K steps without data: z <- (1 - s^2/2) z + s e keeps N(0, v) with this v
    v = 1.0
    for _ in range(HOW["K"]):
        v = (1 - HOW["s"] ** 2 / 2) ** 2 * v + HOW["s"] ** 2
    check_gaussian(z, torch.zeros(2, dtype=F64), v * torch.eye(2, dtype=F64))
    assert torch.equal(blind.images[0], g(blind.z[0]).detach())


def test_the_generator_is_as_before():
    g = normed().train()
    before = {k: v.clone() for k, v in g.state_dict().items()}
    x, m = images(6), torch.rand(1, 3, 4, generator=seeded()) > 0.5
    for batchnorm in ("running", "batch"):
        inpaint(g, x, m, **HOW, batchnorm=batchnorm, rng=seeded())
    assert g.training
    assert all(p.requires_grad for p in g.parameters())
    assert all(torch.equal(v, before[k]) for k, v in g.state_dict().items())


X, M = images(6), torch.rand(6, 1, 3, 4, generator=seeded()) > 0.5
NAN = X.masked_fill(torch.arange(6).view(6, 1, 1, 1) == 3, math.nan)
BAD = [
    ({"mask": None}, TypeError, "mask must be a torch.Tensor"),
    ({"mask": [1]}, TypeError, "mask must be a torch.Tensor or None"),
    ({"mask": M[:3]}, ValueError, "mask must have the shape of x"),
    ({"mask": M.float() * 2}, ValueError, "mask must hold only 0"),
    ({"x": NAN}, ValueError, "NaN or infinity in image 3"),
    ({"x": X.numpy()}, TypeError, "x must be a torch.Tensor"),
    ({"d": 3}, ValueError, "d must be the number of latents that g takes; got 3.*built for d = 2"),
    ({"x": X.double()}, ValueError, "x must have the dtype of the parameters of g, torch.float32"),
    ({"mask": M.to_sparse()}, TypeError, "mask must be dense"),
    ({"mask": M[:, :, :, :1]}, ValueError, "mask must have.*Use mask.expand_as"),
    ({"mask": torch.ones(2)}, ValueError, "mask must have.*Build it with torch.ones_like"),
    ({"d": None}, TypeError, "d must be a whole number"),
    ({"sigma": 0.0}, ValueError, "sigma must be greater than 0"),
    ({"s": 3.0}, ValueError, "s must lie in"),
    ({"K": -1}, ValueError, "K must be at least 0"),
    ({"completions": 0}, ValueError, "completions must be at least 1"),
    ({"completions": 1.5}, TypeError, "completions must be a whole number"),
    ({"noise": 1}, TypeError, "noise must be a bool"),
    ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
    ({"batchnorm": "eval"}, ValueError, "batchnorm must be one of"),
    ({"rng": 0}, TypeError, "rng must be a torch.Generator"),
    ({"g": 3}, TypeError, "g must be callable"),
]


@pytest.mark.parametrize(("change", "kind", "says"), BAD)
def test_inpaint_refuses(change, kind, says):
    rng = seeded()
    before = rng.get_state()
    values = {"g": net(), "x": X, "mask": M, **HOW, "rng": rng} | change
    with pytest.raises(kind, match=says):
        inpaint(values.pop("g"), values.pop("x"), values.pop("mask"), **values)
    assert torch.equal(rng.get_state(), before)


def test_a_chain_that_diverges_puts_rng_back():
    g, _ = linear()
    rng = seeded()
    before = rng.get_state()
    x = normal(2, 3, 9)
    with pytest.raises(FloatingPointError, match="smaller s"):
        inpaint(g, x, torch.ones(9), d=2, sigma=1e-3, s=1.9, K=300, completions=2, rng=rng)
    assert torch.equal(rng.get_state(), before)


def test_sigma_may_be_any_real_number():
    noisy, plain = (
        inpaint(net(), X, M, **HOW | {"sigma": sigma}, noise=True, rng=seeded()).images
        for sigma in (Fraction(3, 10), 0.3)
    )
    assert torch.equal(noisy, plain)


def test_one_completion_has_no_spread():
    done = inpaint(net(), X, M, **HOW, rng=seeded())
    with pytest.raises(ValueError, match="completions must be 2 or more"):
        _ = done.spread


def normed():
    return nn.Sequential(nn.Linear(2, 12), nn.BatchNorm1d(12), nn.Unflatten(1, (1, 3, 4)))


def test_recover_refuses():
    z = torch.zeros(6, 2)
    with pytest.raises(ValueError, match="z must have one row"):
        recover(net(), z[:3], X, M)
    with pytest.raises(ValueError, match="mask must have the shape"):
        recover(net(), z, X, M[:2])
    with pytest.raises(TypeError, match=r"mask must be a torch\.Tensor"):
        recover(net(), z, X, None)
    with pytest.raises(ValueError, match="NaN or infinity in image 3"):
        recover(net(), z, NAN, M | True)
    with pytest.raises(
        ValueError, match="'batch' needs 2 images in every batch; got 6 images in 6"
    ):
        recover(normed(), z, X, M, batch_size=1, batchnorm="batch")
    assert recover(normed(), z, X, M, batch_size=2, batchnorm="batch").isfinite().all()


def test_the_users_own_module_is_spoken_of_in_terms_of_x():
    own = nn.Sequential(nn.Linear(2, 12), nn.Unflatten(1, (1, 3, 4)))
    rule = r"^x must have the dtype of the parameters of g, torch.float32; got torch.float64\. "
    with pytest.raises(ValueError, match=rule):
        inpaint(own, X.double(), M, **HOW, rng=seeded())
    with pytest.raises(ValueError, match=r"^g must accept latents of shape \(n, 3\)"):
        inpaint(own, X, M, **HOW | {"d": 3}, rng=seeded())
