"""The VAE against exact log p(x) of a linear model, and its training against its own formula."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from helpers import normal, seeded
from scipy import stats
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from mcmcot_lite import MLP, LinearGenerator
from mcmcot_lite.baselines import VAE, MLPEncoder, fit_vae

SHAPE = (1, 3, 4)
F64 = torch.float64


def linear_model(D=7, d=3, sigma=0.5, seed=0):
    """G(z) = A z + mu with orthogonal columns, so that the exact posterior is diagonal."""
    A = torch.linalg.qr(normal(seed, D, d)).Q * torch.tensor([2.0, 1.0, 0.5], dtype=F64)[:d]
    g = LinearGenerator(A, normal(seed + 1, D))
    covariance = A @ A.mT + sigma**2 * torch.eye(D, dtype=F64)
    return g, A, MultivariateNormal(g.mu.detach(), covariance)


def exact_encoder(A, mu, sigma):
    """The affine encoder that returns the exact posterior of the linear model."""
    D, d = A.shape
    encoder = MLPEncoder(d, D, hidden=(), rng=seeded()).double()
    variance = 1 / (1 + A.square().sum(0) / sigma**2)
    W = variance[:, None] * A.mT / sigma**2
    with torch.no_grad():
        encoder.net[0].weight.copy_(torch.cat([W, torch.zeros_like(W)]))
        encoder.net[0].bias.copy_(torch.cat([-W @ mu, variance.log()]))
    return encoder


def small(seed=0, hidden=(6,)):
    rng = seeded(seed)
    return VAE(MLP(2, SHAPE, (5,), rng=rng), MLPEncoder(2, 12, hidden, rng=rng), sigma=0.3)


def images(n=20):
    return torch.rand(n, *SHAPE, generator=seeded(4))


# ---- the bound


@pytest.mark.parametrize("sigma", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("d", [1, 3])
def test_with_the_exact_posterior_every_sample_gives_log_p(sigma, d):
    """ELBO = log p(x) with no variance: log p(x|z) p(z) / p(z|x) does not depend on z."""
    g, A, law = linear_model(d=d, sigma=sigma)
    vae = VAE(g, exact_encoder(A, g.mu.detach(), sigma), sigma=sigma)
    x = 2 * normal(5, 30, 7)
    z, (mean, logvar) = normal(6, 30, d), vae.encode(x)
    posterior = Independent(Normal(mean, (logvar / 2).exp()), 1)
    joint = Independent(Normal(g(z), sigma), 1).log_prob(x)
    joint = joint + Independent(Normal(torch.zeros_like(z), 1.0), 1).log_prob(z)
    assert torch.allclose(joint - posterior.log_prob(z), law.log_prob(x), rtol=1e-9)
    # The one-sample bound has its KL in closed form, so it is exact in expectation over z.
    draws = torch.stack([vae.elbo(x, rng=seeded(k)).detach() for k in range(400)])
    error = draws.mean(0) - law.log_prob(x)
    z_score = stats.t.isf(1e-3 / (2 * 30), 399)
    assert (error.abs() < z_score * draws.std(0) / math.sqrt(400)).all()


def test_the_bound_stays_below_log_p():
    g, A, law = linear_model()
    x = normal(5, 30, 7)
    encoder = exact_encoder(A, g.mu.detach(), 0.5)
    with torch.no_grad():
        encoder.net[0].bias += 0.5 * normal(7, 6)
    vae = VAE(g, encoder, sigma=0.5)
    mean, logvar = vae.encode(x)
    variance = 1 / (1 + A.square().sum(0) / 0.25)
    exact = Independent(Normal((x - g.mu) @ A * variance / 0.25, variance.sqrt().expand(30, 3)), 1)
    gap = kl_divergence(Independent(Normal(mean, (logvar / 2).exp()), 1), exact)
    draws = torch.stack([vae.elbo(x, rng=seeded(k)).detach() for k in range(400)])
    bound, error = draws.mean(0), draws.std(0) / math.sqrt(400)
    z_score = stats.t.isf(1e-3 / (2 * 30), 399)
    assert ((bound - (law.log_prob(x) - gap)).abs() < z_score * error).all()  # gap = KL to it
    assert (gap > 0).all()
    assert (bound < law.log_prob(x) + z_score * error).all()


def test_kl_in_closed_form():
    """With a constant generator the reconstruction term has no noise: what is left is the KL."""
    g = LinearGenerator(torch.zeros(12, 2, dtype=F64), torch.zeros(12, dtype=F64))
    encoder = MLPEncoder(2, 12, (4,), rng=seeded()).double()
    vae, x = VAE(g, encoder, sigma=0.7), normal(0, 10, 12)
    mean, logvar = vae.encode(x)
    posterior = Independent(Normal(mean, (logvar / 2).exp()), 1)
    kl = kl_divergence(posterior, Independent(Normal(torch.zeros_like(mean), 1.0), 1))
    want = Independent(Normal(torch.zeros(12, dtype=F64), 0.7), 1).log_prob(x) - kl
    assert torch.allclose(vae.elbo(x, rng=seeded()), want, rtol=1e-12)


def test_gradients_by_finite_differences():
    vae = small().double()
    x = images(3).double()
    value = lambda: vae.elbo(x, rng=seeded(2)).mean()  # noqa: E731
    value().backward()
    exact = lambda: float(value().detach())  # noqa: E731
    for p in vae.parameters():
        flat, grad = p.data.view(-1), p.grad.view(-1)
        for i in range(0, len(flat), 7):
            step, start = 1e-6, float(flat[i])
            flat[i] = start + step
            high = exact()
            flat[i] = start - step
            low = exact()
            flat[i] = start
            assert (high - low) / (2 * step) == pytest.approx(float(grad[i]), rel=1e-5, abs=1e-6)


# ---- encode, infer, reconstruct, sample


def test_infer_draws_from_the_posterior():
    vae, x = small(), images(2)
    mean, logvar = vae.encode(x)
    rng, runs = seeded(1), 800
    z = torch.stack([vae.infer(x, rng=rng) for _ in range(runs)]).double()
    sd = (logvar / 2).exp().double()
    z_score = stats.norm.isf(1e-3 / (2 * 8))
    assert ((z.mean(0) - mean).abs() < z_score * sd / math.sqrt(runs)).all()
    assert ((z.var(0) / sd**2 - 1).abs() < z_score * math.sqrt(2 / runs)).all()
    assert not z.requires_grad


def test_reconstruct_and_sample():
    vae, x = small(), images()
    vae.train()
    assert torch.equal(vae.reconstruct(x), vae.g(vae.encode(x)[0]))
    y = vae.sample(9, d=2, rng=seeded(1))
    assert torch.equal(y, vae.g(torch.randn(9, 2, generator=seeded(1))))
    assert y.shape == (9, *SHAPE)
    assert not y.requires_grad
    assert vae.training
    assert vae.double().sample(2, d=2, rng=seeded()).dtype == F64


def test_inference_freezes_batchnorm_and_dropout():
    encoder = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(), MLPEncoder(2, 12, (4,), rng=seeded()))
    vae = VAE(MLP(2, SHAPE, (5,), rng=seeded()), encoder, sigma=0.3).train()
    before = copy.deepcopy(vae.state_dict())
    x = images()
    assert torch.equal(vae.infer(x, rng=seeded()), vae.infer(x, rng=seeded()))
    assert torch.equal(vae.reconstruct(x), vae.reconstruct(x))
    assert all(torch.equal(v, before[k]) for k, v in vae.state_dict().items())
    assert vae.training


def test_encoder_sizes_and_seed():
    a, b = MLPEncoder(2, 12, (4, 3), rng=seeded()), MLPEncoder(2, 12, (4, 3), rng=seeded())
    assert [m.out_features for m in a.net if isinstance(m, nn.Linear)] == [4, 3, 4]
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    mean, logvar = a(images())
    assert mean.shape == logvar.shape == (20, 2)
    assert len(MLPEncoder(2, 12, []).net) == 1


# ---- fit_vae


def weights(vae):
    return torch.cat([p.detach().flatten() for p in vae.parameters()])


def test_the_same_seed_gives_the_same_run():
    runs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed + len(runs))
        vae = small()
        run = fit_vae(vae, images(), rng=seeded(seed), epochs=3, batch_size=7, progress=False)
        runs.append((weights(vae), run.elbo))
    assert torch.equal(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    assert not torch.equal(runs[0][0], runs[2][0])


def test_training_is_adam_on_the_mean_bound():
    vae, by_hand, x = small(), small(), images()
    run = fit_vae(vae, x, rng=seeded(3), epochs=2, batch_size=8, lr=0.01, progress=False)
    adam, rng, bounds = torch.optim.Adam(by_hand.parameters(), lr=0.01), seeded(3), []
    for _ in range(2):
        total = 0.0
        for i in torch.tensor_split(torch.randperm(20, generator=rng), 3):
            adam.zero_grad()
            bound = by_hand.elbo(x[i], rng=rng).mean()
            (-bound).backward()
            adam.step()
            total += float(bound.detach()) * len(i) / 20
        bounds.append(total)
    assert torch.equal(weights(vae), weights(by_hand))
    assert run.elbo == pytest.approx(bounds, rel=1e-6)
    assert run.vae is vae
    assert not vae.training
    assert run.seconds > 0


def test_it_reaches_the_exact_likelihood_of_a_linear_model():
    """An affine encoder can hold the exact posterior: the bound rises to log p(x), not above."""
    g, _, law = linear_model(D=5, d=2, sigma=0.5)
    x = law.loc + normal(8, 400, 5) @ law.scale_tril.mT
    g.requires_grad_(False)
    vae = VAE(g, MLPEncoder(2, 5, (), rng=seeded()).double(), sigma=0.5)
    for lr in (0.1, 0.01):
        fit_vae(vae, x, rng=seeded(), epochs=60, lr=lr, progress=False, x_range=None)
    draws = torch.stack([vae.elbo(x, rng=seeded(k)).detach().mean() for k in range(50)])
    error = stats.t.isf(1e-4, 49) * float(draws.std()) / math.sqrt(50)
    truth = float(law.log_prob(x).mean())
    assert draws.mean() < truth + error
    assert draws.mean() > truth - error - 0.02  # what is left of Adam's noise, in nats


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_in_other_contexts_and_silent(context, capfd):
    want, got = small(), small()
    fit_vae(want, images(), rng=seeded(), epochs=1, progress=False)
    with context():
        fit_vae(got, images(), rng=seeded(), epochs=1, progress=False)
    assert torch.equal(weights(want), weights(got))
    assert capfd.readouterr() == ("", "")


def test_callback_and_inputs():
    calls, x = [], images().requires_grad_(True)
    run = fit_vae(
        small(),
        x,
        rng=seeded(),
        epochs=3,
        progress=False,
        callback=lambda epoch, elbo: calls.append((epoch, elbo)),
    )
    assert calls == list(enumerate(run.elbo, start=1))
    assert x.grad is None


def test_divergence_names_the_epoch():
    with pytest.raises(FloatingPointError, match=r"Epoch [12]: .*smaller lr"):
        fit_vae(small(), images(), rng=seeded(), lr=1e29, progress=False, epochs=2)


# ---- bad input

X = images()

BAD_FIT = {
    "vae": ({"vae": None}, TypeError, "vae"),
    "vae frozen": ({"vae": small().requires_grad_(False)}, ValueError, "requires_grad_"),
    "x": ({"x": None}, TypeError, "x"),
    "x bytes": ({"x": X.byte()}, TypeError, "x"),
    "x empty": ({"x": X[:0]}, ValueError, "empty"),
    "x nan": ({"x": X * math.nan}, ValueError, "finite"),
    "x other size": ({"x": X[:, :, :2]}, ValueError, "x must have 12 values an image"),
    "x other shape": ({"x": X.flatten(1)}, ValueError, "shape of x"),
    "x other dtype": ({"x": X.double()}, ValueError, "x must have the dtype of"),
    "x meta": ({"x": X.to("meta")}, ValueError, "x"),
    "rng": ({"rng": 3}, TypeError, "rng"),
    "epochs": ({"epochs": 0}, ValueError, "epochs"),
    "epochs type": ({"epochs": 1.0}, TypeError, "epochs"),
    "batch_size": ({"batch_size": 0}, ValueError, "batch_size"),
    "lr": ({"lr": 0.0}, ValueError, "lr"),
    "lr type": ({"lr": "1e-3"}, TypeError, "lr"),
    "betas": ({"betas": (0.9, 1.0)}, ValueError, "betas"),
    "betas type": ({"betas": 0.9}, TypeError, "betas"),
    "progress": ({"progress": None}, TypeError, "progress"),
    "callback": ({"callback": 3}, TypeError, "callback"),
}


@pytest.mark.parametrize(("change", "kind", "words"), BAD_FIT.values(), ids=BAD_FIT.keys())
def test_fit_refuses_and_changes_nothing(change, kind, words):
    vae, rng = small().eval(), seeded()
    before = weights(vae)
    arguments = {"vae": vae, "x": X, "rng": rng, "progress": False, "epochs": 1} | change
    with pytest.raises(kind, match=words):
        fit_vae(**arguments)
    assert torch.equal(weights(vae), before)
    assert not vae.training
    assert all(p.grad is None and p.requires_grad for p in vae.parameters())
    assert torch.equal(rng.get_state(), seeded().get_state())


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, TypeError),
        (X.byte(), TypeError),
        (X[0, 0, 0], ValueError),
        (X * math.inf, ValueError),
        (X[:, :, :2], ValueError),
        (X.double(), ValueError),
        (X.to("meta"), ValueError),
    ],
)
def test_methods_refuse_images(value, kind):
    vae, rng = small(), seeded()
    calls = (
        lambda: vae.encode(value),
        lambda: vae.elbo(value, rng=rng),
        lambda: vae.infer(value, rng=rng),
        lambda: vae.reconstruct(value),
    )
    for call in calls:
        with pytest.raises(kind, match=r"^x "):
            call()
    assert torch.equal(rng.get_state(), seeded().get_state())


@pytest.mark.parametrize(
    ("call", "kind", "name"),
    [
        (lambda v: v.elbo(X, rng=None), TypeError, "rng"),
        (lambda v: v.infer(X, rng=1), TypeError, "rng"),
        (lambda v: v.sample(0, d=2, rng=seeded()), ValueError, "n"),
        (lambda v: v.sample(2.5, d=2, rng=seeded()), TypeError, "n"),
        (lambda v: v.sample(2, d=0, rng=seeded()), ValueError, "d"),
        (lambda v: v.sample(2, d=3, rng=seeded()), ValueError, "z"),
        (lambda v: v.sample(2, d=2, rng=None), TypeError, "rng"),
        (lambda v: VAE(lambda z: z, v.encoder, sigma=0.3), TypeError, "g"),
        (lambda v: VAE(v.g, None, sigma=0.3), TypeError, "encoder"),
        (lambda v: VAE(v.g, v.encoder, sigma=0.0), ValueError, "sigma"),
        (lambda v: VAE(v.g, v.encoder, sigma="1"), TypeError, "sigma"),
        (lambda v: VAE(v.g, nn.Flatten(), sigma=0.3).encode(X), TypeError, "encoder"),
        (lambda v: VAE(v.g, MLPEncoder(3, 12), sigma=0.3).encode(X), ValueError, "z"),
        (lambda v: MLPEncoder(0, 12), ValueError, "d"),
        (lambda v: MLPEncoder(2, 0), ValueError, "pixels"),
        (lambda v: MLPEncoder(2, 12.0), TypeError, "pixels"),
        (lambda v: MLPEncoder(2, 12, 64), TypeError, "hidden"),
        (lambda v: MLPEncoder(2, 12, (64, 0)), ValueError, "hidden"),
        (lambda v: MLPEncoder(2, 12, rng=3), TypeError, "rng"),
    ],
)
def test_other_refusals(call, kind, name):
    with pytest.raises(kind) as caught:
        call(small())
    assert str(caught.value).startswith(name)


def test_batchnorm_needs_two_images_in_a_batch():
    encoder = nn.Sequential(nn.BatchNorm2d(1), MLPEncoder(2, 12, (4,), rng=seeded()))
    vae = VAE(MLP(2, SHAPE, (5,), rng=seeded()), encoder, sigma=0.3)
    with pytest.raises(ValueError, match="batch_size must leave 2 images"):
        fit_vae(vae, X[:3], rng=seeded(), batch_size=2, progress=False)
    fit_vae(vae, X[:4], rng=seeded(), batch_size=2, epochs=1, progress=False)


def test_images_keep_their_range():
    vae = small()
    before = weights(vae).clone()
    with pytest.raises(ValueError, match=r"x must lie in \[0, 1\]"):
        fit_vae(vae, 255 * X, rng=seeded(), progress=False)
    with pytest.raises(ValueError, match="x_range"):
        fit_vae(vae, X, rng=seeded(), progress=False, x_range=(1.0, 0.0))
    assert torch.equal(weights(vae), before)
    fit_vae(vae, 2 * X, rng=seeded(), epochs=1, progress=False, x_range=(0.0, 2.0))


# ---- a failed call leaves no trace


class Normed(nn.Module):
    """An encoder that normalises by the batch."""

    def __init__(self):
        super().__init__()
        self.norm, self.last = nn.BatchNorm1d(12), nn.Linear(12, 4)

    def forward(self, x):
        return self.last(self.norm(x.flatten(1))).chunk(2, 1)


@pytest.mark.parametrize("name", ["encode", "elbo"])
def test_one_image_before_a_batchnorm_in_training_mode(name):
    vae, rng = VAE(MLP(2, SHAPE, (5,), rng=seeded()), Normed(), sigma=0.3).train(), seeded()
    before, state = copy.deepcopy(vae.state_dict()), rng.get_state()
    call = vae.encode if name == "encode" else lambda x: vae.elbo(x, rng=rng)
    with pytest.raises(
        ValueError, match=r"^x must fit the network; got .* BatchNorm needs 2 images"
    ):
        call(images(1))
    assert all(torch.equal(v, before[k]) for k, v in vae.state_dict().items())
    assert torch.equal(rng.get_state(), state)


def test_an_encoder_draws_from_its_generator_alone():
    state = torch.get_rng_state()
    MLPEncoder(2, 12, rng=seeded())
    with pytest.raises(ValueError, match=r"^d must be at most"):
        MLPEncoder(10**400, 12)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("x", "kind", "words"),
    [
        (None, TypeError, "x must be a torch.Tensor"),
        (torch.zeros(2, 10), ValueError, "x must have 12 values an image"),
        (torch.zeros(12), ValueError, "x must have 12 values an image"),
        (torch.zeros(2, 12, dtype=F64), ValueError, "x must have the dtype of the encoder's"),
    ],
)
def test_an_encoder_refuses_other_images(x, kind, words):
    with pytest.raises(kind, match=f"^{words}"):
        MLPEncoder(2, 12, rng=seeded())(x)


def test_a_callback_that_takes_too_little_is_refused_at_once():
    vae, rng = small(), seeded()
    before, state = copy.deepcopy(vae.state_dict()), rng.get_state()
    with pytest.raises(TypeError, match=r"^callback must take 2 arguments"):
        fit_vae(vae, images(), rng=rng, progress=False, callback=lambda epoch: None)
    assert all(torch.equal(v, before[k]) for k, v in vae.state_dict().items())
    assert torch.equal(rng.get_state(), state)


class Explodes(nn.Module):
    """An encoder whose means overflow on bright images."""

    def forward(self, x):
        mean = x.flatten(1)[:, :2]
        return torch.where(mean > 0.5, torch.inf, mean), torch.zeros_like(mean)


@pytest.mark.parametrize("name", ["encode", "infer", "reconstruct", "elbo"])
def test_an_encoder_that_overflows_is_an_error(name):
    vae, rng = VAE(MLP(2, SHAPE, (5,), rng=seeded()), Explodes(), sigma=0.3), seeded()
    x = torch.zeros(3, *SHAPE)
    x[2] = 1.0
    state = rng.get_state()
    with pytest.raises(FloatingPointError, match="must fit into"):
        getattr(vae, name)(x, **({"rng": rng} if name in ("infer", "elbo") else {}))
    assert torch.equal(rng.get_state(), state)


def test_an_encoder_runs_under_autocast():
    encoder = MLPEncoder(2, 12, rng=seeded())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mean, _ = encoder(images(3).bfloat16())
    assert mean.dtype == torch.bfloat16
