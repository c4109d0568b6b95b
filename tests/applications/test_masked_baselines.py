"""VAE, ABP and Algorithm 3 on incomplete images: exact bounds, hidden pixels never read."""

import math

import pytest
import torch
from helpers import images, net, normal, same, seeded, settings
from torch import nn

from mcmcot_lite import LinearGenerator, fit, incomplete
from mcmcot_lite.baselines import ABP, RAE, VAE, Corrected, MLPEncoder, fit_model
from mcmcot_lite.baselines.encoder import MLPEmbedding

SHAPE = (1, 3, 4)
M = torch.rand(23, *SHAPE, generator=seeded(9)) > 0.4


def vae(seed=0):
    return VAE(net(seed=seed), MLPEncoder(2, 12, (6,), rng=seeded(seed)), sigma=0.3)


def test_the_masked_bound_is_exact_on_a_linear_model():
    """E of the bound = log p(x_v) - KL(q, posterior), in closed form, for diagonal q."""
    theta, mu, sigma = normal(0, 9, 2), normal(1, 9), 0.4
    x, m = normal(2, 1, 9), torch.tensor([1, 0, 1, 1, 0, 1, 1, 0, 1]).bool()
    mean, logvar = normal(3, 1, 2), normal(4, 1, 2) - 3

    class Encoder(nn.Module):
        d = 2

        def forward(self, x):
            return mean.expand(len(x), 2), logvar.expand(len(x), 2)

    model = VAE(LinearGenerator(theta, mu), Encoder(), sigma=sigma)
    n = 40_000
    spoiled = x.masked_fill(~m, math.nan).expand(n, 9)
    each = model.elbo(spoiled, rng=seeded(5), mask=m).detach()
    law = incomplete.posterior(x, m, theta, sigma, mu)
    P = torch.linalg.inv(law.cov[0])
    gap = mean[0] - law.mean[0]
    var = logvar.exp().diagflat()
    kl = 0.5 * ((P @ var).trace() + gap @ P @ gap - 2 - torch.logdet(P @ var))
    want = float(incomplete.log_marginal(x, m, theta, sigma, mu)[0] - kl)
    assert float(each.mean()) == pytest.approx(want, abs=5 * float(each.std()) / n**0.5)
    assert float(each.std()) / n**0.5 < 0.05  # a factor of sigma or a pixel too many would show


@pytest.mark.parametrize("garbage", [math.nan, math.inf, -7.0])
def test_training_never_reads_hidden_pixels(garbage):
    x = images()
    spoiled = x.masked_fill(~M, garbage)
    runs = []
    for seen in (x, spoiled):
        a = vae()
        fit_model(a, seen, mask=M, epochs=3, batch_size=6, rng=seeded(1), progress=False)
        b = Corrected(net(), settings())
        b.train_by(seen, mask=M, rng=seeded(1), progress=False)
        g = net()
        z = fit(g, seen, settings(), mask=M, rng=seeded(1), progress=False).z_hat
        found = [
            a.reconstruct(seen, mask=M),
            a.infer(seen, mask=M, rng=seeded(2)),
            a.elbo(seen, mask=M, rng=seeded(2)),
            *a.encode(seen, M),
            b.infer(seen, mask=M, rng=seeded(2)),
            b.reconstruct(seen, mask=M, rng=seeded(2)),
            b.log_joint(seen, b.z_hat, M),
            z,
        ]
        runs.append((a, b, g, found))
    for k in range(3):
        assert same(runs[0][k], runs[1][k])
    assert all(torch.equal(p, q) for p, q in zip(runs[0][3], runs[1][3], strict=True))
    assert torch.equal(runs[0][1].z_hat, runs[0][3][-1])


def test_a_mask_of_ones_changes_nothing():
    x, ones = images(), torch.ones(SHAPE)
    a, b = vae(), vae()
    fit_model(a, x, epochs=3, batch_size=6, rng=seeded(1), progress=False)
    fit_model(b, x, mask=ones, epochs=3, batch_size=6, rng=seeded(1), progress=False)
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.allclose(p, q, atol=1e-6)
    assert torch.allclose(a.elbo(x, rng=seeded()), a.elbo(x, rng=seeded(), mask=ones))


def test_abp_takes_a_mask_too():
    g = net()
    abp = ABP(g, settings())
    abp.train_by(images(), mask=M, rng=seeded(1), progress=False)
    other = net()
    fit(other, images(), settings(alpha=0.0), mask=M, rng=seeded(1), progress=False)
    assert same(g, other)


def test_bad_masks_change_nothing():
    x = images()
    model, rng = vae(), seeded()
    weights = [p.clone() for p in model.parameters()]
    for mask, says in [
        (torch.zeros(SHAPE), "mask must leave a pixel visible"),
        (torch.ones(3), "mask must have the shape of x"),
        (torch.full(SHAPE, 0.5), "mask must hold only 0"),
    ]:
        with pytest.raises(ValueError, match=says):
            fit_model(model, x, mask=mask, rng=rng, progress=False)
    x[4][M[4]] = math.nan
    with pytest.raises(ValueError, match="NaN or infinity in image 4"):
        fit_model(model, x, mask=M, rng=rng, progress=False)
    x[4] = 2.0
    with pytest.raises(ValueError, match="x must"):
        fit_model(model, x, mask=M, rng=rng, progress=False)
    rae = RAE(net(), MLPEmbedding(2, 12, (6,), rng=seeded()))
    with pytest.raises(ValueError, match=r"mask must be left out.*RAE"):
        fit_model(rae, images(), mask=M, rng=rng, progress=False)
    assert torch.equal(rng.get_state(), seeded().get_state())
    assert all(torch.equal(p, q) for p, q in zip(weights, model.parameters(), strict=True))
