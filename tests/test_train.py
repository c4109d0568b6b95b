"""fit and reconstruct: same seed same run, honest history, nothing changed by a refusal."""

from __future__ import annotations

import copy
import json
import math
import warnings
from dataclasses import replace

import pytest
import torch
from helpers import SHAPE, images, net, same_runs, seeded, settings
from scipy import stats
from torch import nn

from mcmcot_lite import (
    MLP,
    LinearGenerator,
    Settings,
    exact_map,
    fit,
    infer,
    mnist_generator,
    reconstruct,
)
from mcmcot_lite.transport import correct


def train(g=None, x=None, st=None, seed=3, **values):
    g = net() if g is None else g
    x = images() if x is None else x
    return fit(g, x, st or settings(), rng=seeded(seed), progress=False, **values)


# ---- one seed, one run


@pytest.mark.parametrize("schedule", ["printed", "released"])
def test_the_same_seed_gives_the_same_run(schedule):
    st = settings(schedule=schedule)
    torch.manual_seed(0)
    first = train(st=st)
    torch.manual_seed(1)  # the global generator has no say
    assert same_runs(first, train(st=st))
    assert not same_runs(first, train(st=st, seed=4))


def test_the_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    train()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_in_other_contexts(context):
    mask = torch.rand(SHAPE, generator=seeded(7)) < 0.5
    want = train(mask=mask)
    g = net()
    with context():
        got = train(g=g, x=images(), mask=mask.clone())
        y, z_hat = reconstruct(g, images(), settings(), rng=seeded())
    assert same_runs(want, got)
    plain = reconstruct(g, images(), settings(), rng=seeded())
    assert torch.equal(y, plain[0])
    assert torch.equal(z_hat, plain[1])


def test_inputs_are_left_alone():
    x, mask = images(), torch.ones(SHAPE)
    x.requires_grad_(True)
    before = x.detach().clone()
    wide = torch.stack([x.detach(), 1 - x.detach()], -1)[..., 0]  # not contiguous
    a, b = train(x=x, mask=mask), train(x=wide, mask=mask)
    assert torch.equal(x, before)
    assert x.grad is None
    assert same_runs(a, b)
    assert not a.z_hat.requires_grad


@pytest.mark.parametrize("schedule", ["printed", "released"])
@pytest.mark.parametrize("junk", [math.nan, math.inf, -7.0])
def test_hidden_pixels_are_never_read(schedule, junk):
    """Algorithm 3: whatever stands behind the mask, the run is the same to the bit."""
    st = settings(schedule=schedule, iterations=2)
    mask = torch.rand(23, *SHAPE, generator=seeded(5)) < 0.6
    clean = train(x=images(), st=st, mask=mask)
    dirty = images().masked_fill(~mask, junk)
    run = train(x=dirty, st=st, mask=mask.float())
    assert same_runs(clean, run)
    y = [
        reconstruct(r.g, x, st, rng=seeded(), mask=mask)
        for r, x in ((clean, images()), (run, dirty))
    ]
    assert torch.equal(y[0][0], y[1][0])
    assert torch.equal(y[0][1], y[1][1])
    assert not same_runs(clean, train(x=images(), st=st))  # the mask does matter


def test_a_mask_of_one_image_serves_all():
    mask = torch.rand(SHAPE, generator=seeded(5)) < 0.6
    assert same_runs(train(mask=mask), train(mask=mask.expand(23, *SHAPE)))
    everything = torch.ones(SHAPE, dtype=torch.bool)
    assert torch.allclose(train(mask=everything).z_hat, train().z_hat, rtol=1e-4, atol=1e-5)


# ---- what a run reports


def test_history_tells_what_happened():
    seen = []
    run = train(st=settings(iterations=6, L=3), callbacks=[seen.append])
    assert [s.k for s in seen] == [row["k"] for row in run.history] == list(range(1, 7))
    for step, row in zip(seen, run.history, strict=True):
        a = step.inferred.double()
        assert row["latent_mean"] == pytest.approx(float(a.mean(0).norm()), rel=1e-5)
        assert row["latent_var"] == pytest.approx(float(a.var(0, correction=0).mean()), rel=1e-5)
        assert row["mse"] == step.mse > 0
        corrected = step.k % 3 == 0
        assert ("ot_cost" in row) == corrected == (step.T is not None)
        if corrected:
            moves = a - step.z.double()[step.T.bijection]
            assert row["ot_cost"] == pytest.approx(float(moves.square().sum(1).mean()), rel=1e-12)
            assert row["ot_dual"] <= row["ot_cost"] + 1e-12
            assert row["removed"] == pytest.approx(float((step.T.index < 0).double().mean()))
            assert row["ot_converged"] == float(row["removed"] <= 0.05)
        else:
            assert torch.equal(step.inferred, step.z_hat)
    seconds = [row["seconds"] for row in run.history]
    assert seconds == sorted(seconds)
    assert seconds[-1] <= run.seconds
    assert torch.equal(run.z_hat, seen[-1].z_hat)
    assert torch.equal(run.z, seen[-1].z)


def test_snapshots_given_to_callbacks_stay_as_they_were():
    for schedule in ("printed", "released"):
        seen, copies = [], []

        def keep(step, seen=seen, copies=copies):
            seen.append(step)
            copies.append((step.inferred.clone(), step.z_hat.clone()))

        train(st=settings(schedule=schedule, alpha=0.0), callbacks=[keep])
        for step, (inferred, z_hat) in zip(seen, copies, strict=True):
            assert torch.equal(step.inferred, inferred)
            assert torch.equal(step.z_hat, z_hat)


def test_callbacks_are_called_in_order_and_do_not_change_the_run():
    calls = []
    run = train(callbacks=(lambda s: calls.append(("a", s.k)), lambda s: calls.append(("b", s.k))))
    assert calls == [(name, k) for k in range(1, 5) for name in "ab"]
    assert same_runs(run, train())

    class Enough(Exception):
        pass

    def stop(step):
        raise Enough

    with pytest.raises(Enough):
        train(callbacks=[stop])

    def overflow(step):
        raise FloatingPointError("the callback's own")

    with pytest.raises(FloatingPointError, match=r"^the callback's own$"):
        train(callbacks=[overflow])


def test_curve_and_record():
    run = train(st=settings(iterations=5, L=2))
    k, cost = run.curve("ot_cost")
    assert k == [2, 4]
    assert cost == [run.history[1]["ot_cost"], run.history[3]["ot_cost"]]
    assert len(run.curve("mse")[0]) == 5
    with pytest.raises(ValueError, match=r"name must be one of .*'ot_cost'.*got 'loss'"):
        run.curve("loss")
    with pytest.raises(TypeError, match="name"):
        run.curve(3)
    record = json.loads(json.dumps(run.record()))
    assert record["settings"]["K"] == 3
    assert record["history"][1]["ot_cost"] == cost[0]
    run.record()["history"].clear()
    assert len(run.history) == 5
    assert "history" not in repr(run)


def test_silence(capfd):
    train()
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm may miss ipywidgets in a notebook
        fit(net(), images(), settings(), rng=seeded())
    out, err = capfd.readouterr()
    assert out == ""
    assert "Algorithm 1" in err


# ---- the network


def test_frozen_parts_stay_and_modes_end_in_evaluation():
    g = net()
    g.net[0].requires_grad_(False)
    before = g.net[0].weight.clone()
    run = train(g=g)
    assert run.g is g
    assert torch.equal(g.net[0].weight, before)
    assert not g.net[0].weight.requires_grad
    assert not any(m.training for m in g.modules())


@pytest.mark.parametrize("batchnorm", ["running", "batch"])
@pytest.mark.parametrize("schedule", ["printed", "released"])
def test_batchnorm_and_dropout(batchnorm, schedule):
    g = nn.Sequential(mnist_generator(3, width=0.02, rng=seeded()), nn.Dropout(0.1))
    torch.manual_seed(0)  # dropout draws from the global generator
    x = torch.rand(10, 1, 28, 28, generator=seeded())
    st = settings(d=3, s=0.02, batchnorm=batchnorm, schedule=schedule, batch_size=5, iterations=2)
    run = train(g=g, x=x, st=st)
    assert all(math.isfinite(row["mse"]) for row in run.history)
    count = g[0].net[1].num_batches_tracked
    passes = st.iterations * (1 if schedule == "printed" else st.L)
    assert int(count) == passes * 2 * st.L2  # inference and checks leave the statistics alone
    y, z_hat = reconstruct(g, x, st, rng=seeded())
    assert y.shape == x.shape
    assert int(g[0].net[1].num_batches_tracked) == int(count)
    assert z_hat.shape == (10, 3)


@pytest.mark.parametrize(("n", "d"), [(1, 1), (1, 3), (2, 1)])
@pytest.mark.parametrize("schedule", ["printed", "released"])
def test_smallest_sizes(n, d, schedule):
    run = train(g=net(d), x=images(n), st=settings(d=d, schedule=schedule, L=1))
    assert run.z_hat.shape == (n, d)
    assert run.history[0]["latent_var"] >= 0


def test_float64_throughout():
    run = train(g=net().double(), x=images().double())
    assert run.z_hat.dtype == run.z.dtype == torch.float64


# ---- reconstruct


def test_reconstruct_is_inference_without_correction():
    g, x, st = net(), images(), settings()
    g.train()
    y, z_hat = reconstruct(g, x, st, rng=seeded(8))
    want = infer(g, x, d=2, sigma=st.sigma, s=st.s, K=st.K, rng=seeded(8), batch_size=6).z
    assert torch.equal(z_hat, want)
    assert torch.allclose(y, g(want))
    assert not y.requires_grad
    assert g.training
    start = torch.randn(23, 2, generator=seeded(9))
    y, z_hat = reconstruct(g, x, replace(st, K=0), rng=seeded(8), z0=start)
    assert torch.equal(z_hat, start)
    assert z_hat.data_ptr() != start.data_ptr()


def test_reconstruct_takes_a_plain_function():
    plain = lambda z: torch.sigmoid(z @ torch.ones(2, 12)).unflatten(1, SHAPE)  # noqa: E731
    y, _ = reconstruct(plain, images(), settings(), rng=seeded())
    assert y.shape == (23, *SHAPE)


# ---- divergence


def test_diverging_chains_name_the_iteration_and_the_step():
    g = LinearGenerator(1e4 * torch.ones(4, 2))
    st = Settings(d=2, s=1.5, K=50, iterations=3, x_range=None)
    with pytest.raises(FloatingPointError, match=r"Iteration 1: .*smaller s"):
        fit(g, torch.rand(5, 4), st, rng=seeded(), progress=False)


@pytest.mark.parametrize("schedule", ["printed", "released"])
def test_diverging_weights_name_the_iteration_and_the_rate(schedule):
    calls = []
    g = LinearGenerator(torch.ones(4, 2))
    st = Settings(d=2, K=0, lr=1e29, alpha=0, L=1, iterations=9, x_range=None, schedule=schedule)
    with pytest.raises(FloatingPointError, match=r"Iteration 1: .*smaller lr"):
        fit(g, torch.rand(5, 4), st, rng=seeded(), progress=False, callbacks=[calls.append])
    assert not calls


def test_nan_in_a_later_iteration_is_found_there():
    g = net()

    def poison(step):
        if step.k == 2:
            with torch.no_grad():
                g.net[0].weight.fill_(math.nan)

    with pytest.raises((FloatingPointError, ValueError), match="finite"):
        train(g=g, callbacks=[poison])


# ---- bad input

X = images()
GOOD = {"g": None, "x": X, "settings": settings(), "rng": None, "mask": None, "callbacks": ()}


def outside(value):
    x = images()
    x[3, 0, 1, 2] = value
    return x


BAD_FIT = {
    "g function": ({"g": lambda z: z}, TypeError, "g must be a torch.nn.Module"),
    "g none": ({"g": 3}, TypeError, "g must be a torch.nn.Module"),
    "g other d": ({"g": net(3)}, ValueError, "built for d = 3"),
    "g plain other d": ({"g": nn.Linear(3, 12)}, ValueError, r"accept latents of shape \(n, 2\)"),
    "g other shape": ({"g": MLP(2, (1, 4, 3))}, ValueError, r"shape of x, \(23, 1, 3, 4\)"),
    "g other dtype": ({"g": net().double()}, ValueError, "dtype"),
    "g other device": ({"g": net().to("meta")}, (ValueError, TypeError), "device"),
    "g frozen": ({"g": net().requires_grad_(False)}, ValueError, r"requires_grad_\(True\)"),
    "g without weights": ({"g": nn.Identity()}, ValueError, "parameters"),
    "g nan": ({"g": MLP(2, SHAPE, (5,), output="none")}, ValueError, "finite"),
    "x none": ({"x": None}, TypeError, "x must be a torch.Tensor"),
    "x numpy": ({"x": X.numpy()}, TypeError, "x must be a torch.Tensor"),
    "x integers": ({"x": (255 * X).int()}, TypeError, r"/ 255"),
    "x bytes, empty": ({"x": (255 * X).byte()[:0]}, ValueError, "empty"),
    "x bytes, one image": ({"x": (255 * X).byte()[0, 0, 0]}, ValueError, "batch axis"),
    "x bytes, other shape": ({"x": (255 * X).byte()[:, :, :2]}, ValueError, "shape of x"),
    "x bytes, mask": ({"x": (255 * X).byte(), "mask": torch.ones(2)}, ValueError, "mask"),
    "x one image": ({"x": X[0, 0, 0]}, ValueError, "batch axis"),
    "x empty": ({"x": X[:0]}, ValueError, "empty"),
    "x nan": ({"x": outside(math.nan)}, ValueError, "finite.*image 3"),
    "x inf": ({"x": outside(math.inf)}, ValueError, "finite.*image 3"),
    "x above": ({"x": outside(1.5)}, ValueError, r"\[0, 1\].*1\.5.*255"),
    "x below": ({"x": outside(-0.5)}, ValueError, r"\[0, 1\].*-0\.5"),
    "x meta": ({"x": X.to("meta")}, ValueError, "device|values"),
    "settings dict": ({"settings": {"d": 2}}, TypeError, r"Settings\(d=2\)"),
    "settings none": ({"settings": None}, TypeError, "Settings"),
    "d": ({"settings": settings(d=5)}, ValueError, "d = 2"),
    "rng none": ({"rng": 0}, TypeError, "torch.Generator"),
    "mask shape": ({"mask": torch.ones(3, 4)}, ValueError, "mask"),
    "mask values": ({"mask": 0.5 * torch.ones(SHAPE)}, ValueError, "0 .hidden. and 1"),
    "mask list": ({"mask": [1]}, TypeError, "mask"),
    "mask device": ({"mask": torch.ones(SHAPE, device="meta")}, ValueError, "device"),
    "mask hides all": ({"mask": torch.zeros(SHAPE)}, ValueError, "leave a pixel visible"),
    "callbacks function": ({"callbacks": print}, TypeError, r"callbacks=\[f\]"),
    "callbacks none": ({"callbacks": None}, TypeError, "callbacks"),
    "callbacks of numbers": ({"callbacks": [1]}, TypeError, "callbacks"),
    "progress": ({"progress": 1}, TypeError, "progress must be a bool"),
}


@pytest.mark.parametrize(("change", "kind", "words"), BAD_FIT.values(), ids=BAD_FIT.keys())
def test_fit_refuses_and_changes_nothing(change, kind, words):
    change = dict(change)
    g = change.pop("g", net())
    if words == "finite" and isinstance(g, nn.Module):
        nn.init.constant_(g.net[0].bias, math.nan)
    if isinstance(g, nn.Module) and g.state_dict():
        g.eval()
    rng = seeded(3)
    before = copy.deepcopy(g.state_dict()) if isinstance(g, nn.Module) else {}
    asked = [p.requires_grad for p in g.parameters()] if isinstance(g, nn.Module) else []
    arguments = {"x": X, "settings": settings(), "rng": rng, "progress": False} | change
    with pytest.raises(kind, match=words):
        fit(g, **arguments)
    assert torch.equal(rng.get_state(), seeded(3).get_state())
    if isinstance(g, nn.Module) and not any(p.is_meta for p in g.parameters()):
        for key, value in g.state_dict().items():
            assert torch.equal(value.nan_to_num(7), before[key].nan_to_num(7))
        assert asked == [p.requires_grad for p in g.parameters()]
        assert not any(p.grad is not None for p in g.parameters())
        assert not g.training or not g.state_dict()


def test_sizes_that_cannot_work_are_refused_before_the_run():
    g = mnist_generator(2, width=0.02, rng=seeded())
    before = copy.deepcopy(g.state_dict())
    with pytest.raises(ValueError, match=r"batch_size must leave 2 images.*got 2 with n = 3"):
        fit(g, torch.rand(3, 1, 28, 28), settings(batch_size=2), rng=seeded(), progress=False)
    assert all(torch.equal(v, before[k]) for k, v in g.state_dict().items())


@pytest.mark.parametrize("transport", ["exact", "auto"])
def test_exact_transport_of_any_size_starts_by_itself(transport, monkeypatch):
    """2,100 images, two corrections: the last potentials would gain nothing."""
    starts = []

    def spy(*clouds, h0, **kw):
        starts.append(h0)
        return exact_map(*clouds, h0=h0, **kw)

    monkeypatch.setattr(correct, "exact_map", spy)
    x = torch.rand(2100, 2, generator=seeded())
    st = Settings(d=2, transport=transport, iterations=2, L=1, K=1, x_range=None)
    run = fit(LinearGenerator(torch.ones(2, 2)), x, st, rng=seeded(), progress=False)
    assert run.curve("removed")[1] == [0.0, 0.0]
    assert run.curve("ot_converged")[1] == [1.0, 1.0]
    assert starts == [None, None]


def test_any_range_when_asked():
    train(x=5 * images() - 2, st=settings(x_range=None))
    train(x=2 * images() - 1, st=settings(x_range=(-1, 1)))
    hidden = outside(9.0)
    train(x=hidden, mask=hidden <= 1)  # only what is visible must keep the range


BAD_RECONSTRUCT = {
    "g": ({"g": 3}, TypeError, "callable"),
    "x": ({"x": X[:, :, :2]}, ValueError, "shape of x"),
    "x nan": ({"x": outside(math.nan)}, ValueError, "finite"),
    "settings": ({"settings": None}, TypeError, "Settings"),
    "d": ({"settings": settings(d=5)}, ValueError, "d = 2"),
    "rng": ({"rng": None}, TypeError, "torch.Generator"),
    "z0 rows": ({"z0": torch.zeros(5, 2)}, ValueError, "z0"),
    "z0 columns": ({"z0": torch.zeros(23, 1)}, ValueError, "d|z0"),
    "z0 dtype": ({"z0": torch.zeros(23, 2).double()}, ValueError, "dtype"),
    "z0 nan": ({"z0": torch.full((23, 2), math.nan)}, ValueError, "z0.*finite"),
    "z0 list": ({"z0": [0.0]}, TypeError, "z0"),
    "mask": ({"mask": torch.ones(2)}, ValueError, "mask"),
}


@pytest.mark.parametrize(
    ("change", "kind", "words"), BAD_RECONSTRUCT.values(), ids=BAD_RECONSTRUCT.keys()
)
def test_reconstruct_refuses_and_changes_nothing(change, kind, words):
    rng, g = seeded(3), net().train()
    before = copy.deepcopy(g.state_dict())
    arguments = {"g": g, "x": X, "settings": settings(), "rng": rng} | change
    with pytest.raises(kind, match=words):
        reconstruct(**arguments)
    assert torch.equal(rng.get_state(), seeded(3).get_state())
    assert all(torch.equal(v, before[k]) for k, v in g.state_dict().items())
    assert g.training


# ---- it learns


@pytest.mark.parametrize("schedule", ["printed", "released"])
@pytest.mark.parametrize("alpha", [0.0, 0.5])
@pytest.mark.parametrize("d", [1, 2])
def test_a_linear_generator_learns_the_ppca_subspace(d, alpha, schedule):
    """Probabilistic PCA: the likelihood is highest where theta spans the leading eigenvectors."""
    rng, n, D, sigma = seeded(d), 200, 8, 0.3
    scale = torch.tensor([3.0, 2.0])[:d]
    theta = torch.linalg.qr(torch.randn(D, d, generator=rng, dtype=torch.float64)).Q * scale
    x = torch.randn(n, d, generator=rng, dtype=torch.float64) @ theta.mT
    x = x + sigma * torch.randn(n, D, generator=rng, dtype=torch.float64)
    x = x - x.mean(0)
    pca = torch.linalg.eigh(x.mT @ x).eigenvectors[:, -d:]
    g = LinearGenerator(torch.randn(D, d, generator=rng, dtype=torch.float64))
    outer = 40 if schedule == "printed" else 8
    for lr in (0.1, 0.01):  # large steps to arrive, small ones to settle
        st = Settings(
            d=d,
            sigma=sigma,
            s=0.1,
            K=10,
            L=5,
            alpha=alpha,
            transport="exact",
            iterations=outer,
            schedule=schedule,
            lr=lr,
            x_range=None,
        )
        fit(g, x, st, rng=rng, progress=False)
    basis = torch.linalg.qr(g.theta.detach()).Q
    tilt = basis - pca @ (pca.mT @ basis)  # what of the learned basis leaves the PCA subspace
    # Each learned direction is a regression on n noisy latents: its error in each of the D - d
    # other directions has the variance sigma^2 / (n scale^2).
    statistic = n * float((tilt.square().sum(0)).sum()) * float(scale.min()) ** 2 / sigma**2
    assert statistic < stats.chi2.isf(1e-3 / 8, d * (D - d))


def test_reconstruct_keeps_the_range_of_its_settings():
    rng = seeded()
    state = rng.get_state()
    with pytest.raises(ValueError, match=r"x must lie in \[0, 1\]"):
        reconstruct(net(), 255 * images(), settings(), rng=rng)
    assert torch.equal(rng.get_state(), state)
    reconstruct(net(), 2 * images(), settings(x_range=(0.0, 2.0)), rng=rng)
    reconstruct(net(), -images(), settings(x_range=None), rng=rng)


@pytest.mark.parametrize("schedule", ["printed", "released"])
def test_a_callback_that_writes_does_not_reach_the_run(schedule):
    def vandal(step):
        for t in (step.inferred, step.z_hat, step.z, *(() if step.T is None else (step.T.h,))):
            t.fill_(math.nan)

    st = settings(schedule=schedule, L=1)
    kind = {"rng": seeded(), "progress": False}
    clean = fit(net(), images(), st, **kind)
    got = fit(net(), images(), st, callbacks=[vandal], **kind | {"rng": seeded()})
    assert torch.equal(got.z_hat, clean.z_hat)
    assert torch.equal(got.z, clean.z)


def test_a_callback_without_an_argument_is_refused_at_once():
    g, rng = net(), seeded()
    before, state = copy.deepcopy(g.state_dict()), rng.get_state()
    with pytest.raises(TypeError, match=r"^callbacks\[0\] must take 1 argument"):
        fit(g, images(), settings(), rng=rng, progress=False, callbacks=[lambda: None])
    assert all(torch.equal(v, before[k]) for k, v in g.state_dict().items())
    assert torch.equal(rng.get_state(), state)
