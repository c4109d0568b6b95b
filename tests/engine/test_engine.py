"""How a run is computed does not decide what is: chunks, bytes, precision, little memory."""

from __future__ import annotations

import copy
import math
import shutil
import sys
import warnings

import pytest
import torch
from helpers import SHAPE, images, net, seeded, settings
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from mcmcot_lite import (
    MLP,
    Compute,
    LinearGenerator,
    Settings,
    engine,
    fit,
    infer,
    mnist_generator,
    svhn_generator,
)
from mcmcot_lite.density import raw_grad_z, raw_score
from mcmcot_lite.engine import Engine, as_float
from mcmcot_lite.freezing import couples, frozen, inference_form
from mcmcot_lite.langevin import walk

F64 = torch.float64


def train(st=None, g=None, x=None, **values):
    g = net() if g is None else g
    x = images() if x is None else x
    return fit(g, x, st or settings(), rng=seeded(3), progress=False, **values)


# ---- the gradient without the value


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("sigma", [0.1, 0.3, 2.0])
def test_the_score_is_the_gradient_of_the_log_joint(masked, sigma):
    g, z = net().double(), torch.randn(23, 2, generator=seeded(), dtype=F64)
    x = images().double()
    mask = torch.rand(x.shape, generator=seeded(5)) < 0.6 if masked else None
    with frozen(g):
        want = raw_grad_z(g, z, x, sigma, mask)[1]
        got = raw_score(g, z, x, sigma, mask)
    assert torch.allclose(got, want, rtol=1e-11, atol=1e-11)


def test_a_g_that_ignores_z_leaves_the_prior():
    z, x = torch.randn(4, 2), torch.rand(4, 3)
    assert torch.equal(raw_score(lambda z: torch.ones(4, 3), z, x, 0.3, None), -z)


# ---- folded networks


def trained(make, seed=0):
    """A network with averages and weights as after some learning, in evaluation mode."""
    g = make(width=0.05, rng=seeded(seed)).double()
    rng = seeded(seed + 1)
    for p in g.parameters():
        p.data += 0.1 * torch.randn(p.shape, generator=rng, dtype=F64)
    for _ in range(3):
        g(torch.randn(16, g.d, generator=rng, dtype=F64))
    return g.eval()


@pytest.mark.parametrize("make", [mnist_generator, svhn_generator])
def test_folded_networks_are_the_same_function(make):
    g = trained(make)
    z = torch.randn(9, g.d, generator=seeded(2), dtype=F64)
    f = g.folded()
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in f.modules())
    assert torch.allclose(f(z), g(z), rtol=1e-12, atol=1e-12)
    assert all(p.requires_grad for p in g.parameters())
    x = torch.rand(g(z).shape, generator=seeded(), dtype=F64)
    with frozen(g):
        pair = [raw_score(h, z, x, 0.3, None) for h in (g, f)]
    assert torch.allclose(*pair, rtol=1e-9, atol=1e-9)


def test_what_cannot_be_folded_stays_as_it_is():
    g = trained(mnist_generator)
    assert g.train().folded() is g  # batch statistics are no affine map
    g.eval()
    handle = g.net[0].register_forward_hook(lambda *_: None)
    assert g.folded() is g
    handle.remove()
    assert g.folded() is not g
    g.net[1].running_var = None
    assert g.folded() is g

    class Other(type(g)):
        def forward(self, z):
            return 0.5 * super().forward(z)

    h = trained(mnist_generator)
    h.__class__ = Other
    assert h.folded() is h
    odd = trained(mnist_generator)
    odd.net.insert(1, nn.ReLU())  # BatchNorm is no longer next to a linear layer
    assert odd.folded() is odd
    assert inference_form(net(), "running", 10**9) is not None


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("make", [mnist_generator, svhn_generator])
def test_streamlined_networks_are_the_same_function(make, last):
    """With a batch's statistics: the same images, gradients and flags, in both layouts."""
    g = trained(make)
    if last:
        g.to(memory_format=torch.channels_last)
    z = torch.randn(9, g.d, generator=seeded(2), dtype=F64)
    before = {k: v.clone() for k, v in g.state_dict().items()}
    with frozen(g, "batch"):
        f = inference_form(g, "batch", 10**9)
        assert f is not g
        assert torch.allclose(f(z), g(z), rtol=1e-12, atol=1e-12)
        x = torch.rand(g(z).shape, generator=seeded(), dtype=F64)
        pair = [raw_score(h, z, x, 0.3, None) for h in (g, f)]
        assert torch.allclose(*pair, rtol=1e-9, atol=1e-9)
        alone = f(z[:4])
        assert not torch.allclose(alone, f(z)[:4], atol=1e-3)  # the batch couples them
    assert all(torch.equal(v, before[k]) for k, v in g.state_dict().items())
    assert all(p.requires_grad for p in g.parameters())
    assert not any(m.inplace for m in g.modules() if isinstance(m, nn.ReLU))


@pytest.mark.parametrize("at", range(1, 11))
@pytest.mark.parametrize("layer", [nn.ReLU, nn.Tanh, nn.Sigmoid])
def test_only_what_no_gradient_needs_is_overwritten(at, layer):
    """Whatever stands before a ReLU: its gradient may need its output."""
    g = trained(mnist_generator)
    g.net.insert(at, layer())
    z = torch.randn(9, g.d, generator=seeded(2), dtype=F64)
    for batchnorm in ("running", "batch"):
        with frozen(g, batchnorm):
            f = inference_form(g, batchnorm, 10**9)
            x = torch.rand(g(z).shape, generator=seeded(), dtype=F64)
            pair = [raw_score(h, z, x, 0.3, None) for h in (g, f)]
        assert torch.allclose(*pair, rtol=1e-9, atol=1e-9)


class Halved(nn.Module):
    """A layer whose forward pass is another one than its class's."""

    def forward(self, v):
        return 0.5 * super().forward(v)


def changed(name):
    """MNIST's network of Table 1 with one thing changed that its forms must not lose."""
    g = trained(mnist_generator)
    k = [m.num_features for m in g.modules() if hasattr(m, "num_features")]
    kind, _, at = name.partition(" ")
    if kind == "subclass":
        layer = g.net[int(at)]
        layer.__class__ = type("Other", (Halved, type(layer)), {})
    elif kind == "instance":
        layer = g if at == "g" else g.net[int(at)]
        own = layer.forward
        layer.forward = lambda v: 0.5 * own(v)
    elif kind == "call":
        call = lambda self, z: 0.5 * nn.Module.__call__(self, z)  # noqa: E731
        g.__class__ = type("Other", (type(g),), {"__call__": call})
    elif kind == "plain":  # BatchNorm without weights
        kind_of = nn.BatchNorm1d if at == "1" else nn.BatchNorm2d
        g.net[int(at)] = kind_of(k[0 if at == "1" else 1], affine=False).double().eval()
    elif kind == "spectral":
        nn.utils.parametrizations.spectral_norm(g.net[int(at)])
    elif kind == "unflatten":
        g.net[4] = nn.Unflatten(1, (-1, 7, 7))
    elif kind == "flat":
        g.net = nn.Sequential(*list(g.net)[:4], nn.Unflatten(1, (-1, 7, 14)), nn.ReLU()).eval()
    elif kind == "backward":
        g.net[int(at)].register_full_backward_hook(lambda _, grads, __: (2 * grads[0],))
    return g


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("batchnorm", ["running", "batch"])
@pytest.mark.parametrize(
    "name",
    [f"subclass {k}" for k in (0, 1, 2, 3, 5, 6, 7, 8)]
    + ["instance g", "instance 1", "instance 2", "call", "plain 1", "plain 5", "spectral 0"]
    + ["spectral 7", "unflatten", "flat", "backward 0", "backward 6"],
)
def test_a_changed_network_is_inferred_as_it_is(name, batchnorm, last):
    g = changed(name)
    if last:
        g.to(memory_format=torch.channels_last)
    z = torch.randn(9, g.d, generator=seeded(2), dtype=F64)
    with frozen(g, batchnorm):
        f = inference_form(g, batchnorm, 10**9)
        want = g(z)
        assert torch.allclose(f(z), want, rtol=1e-11, atol=1e-11)
        x = torch.rand(want.shape, generator=seeded(), dtype=F64)
        pair = [raw_score(h, z, x, 0.3, None) for h in (g, f)]
    assert torch.allclose(*pair, rtol=1e-9, atol=1e-9)


def test_a_layer_that_always_uses_the_batch_is_never_cut():
    """BatchNorm without stored averages couples the images in either reading."""
    g = nn.Sequential(
        nn.Linear(2, 8), nn.BatchNorm1d(8, track_running_stats=False), nn.Linear(8, 12)
    )
    g = nn.Sequential(g, nn.Unflatten(1, (1, 3, 4)), nn.Sigmoid()).double()
    assert couples(g, "running")
    st, x = settings(K=3, iterations=1), images().double()
    whole = train(st, copy.deepcopy(g), x)
    cut = train(st, g, x, compute=Compute(chunk=4))
    assert torch.equal(whole.z_hat, cut.z_hat)


def test_nobody_who_listens_is_bypassed():
    g = trained(mnist_generator)
    handle = g.net[0].register_forward_hook(lambda *_: None)
    assert inference_form(g, "batch", 10**9) is g
    handle.remove()
    assert inference_form(g, "batch", 10**9) is not g


@pytest.mark.parametrize("batch_size", [None, 100])
def test_inference_is_the_same_folded_or_not(batch_size, monkeypatch):
    g = trained(mnist_generator)
    x = torch.rand(300, 1, 28, 28, generator=seeded(), dtype=F64)
    arguments = dict(d=30, sigma=0.3, s=0.03, K=5, batch_size=batch_size)
    folded = infer(g, x, rng=seeded(1), **arguments).z
    monkeypatch.setattr(sys.modules["mcmcot_lite.freezing"], "WORTH", 10**12)
    assert torch.allclose(folded, infer(g, x, rng=seeded(1), **arguments).z, atol=1e-9)


# ---- chunks, bytes


@pytest.mark.parametrize("schedule", ["printed", "released"])
@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_a_run_does_not_depend_on_the_chunk(chunk, schedule):
    st, x = settings(schedule=schedule), images().double()
    whole = train(st, net().double(), x)
    got = train(st, net().double(), x, compute=Compute(chunk=chunk))
    assert torch.allclose(got.z_hat, whole.z_hat, rtol=1e-9, atol=1e-9)


def test_a_run_does_not_depend_on_how_much_noise_is_held(monkeypatch):
    whole = train()
    monkeypatch.setattr(engine, "NOISE", 1)
    got = train()
    assert torch.equal(got.z_hat, whole.z_hat)


@pytest.mark.parametrize("x_range", [(0.0, 1.0), (-1.0, 1.0), None])
@pytest.mark.parametrize("masked", [False, True])
def test_bytes_are_the_same_images(x_range, masked):
    x = torch.randint(0, 256, (23, *SHAPE), generator=seeded(), dtype=torch.uint8)
    mask = torch.rand(SHAPE, generator=seeded(5)) < 0.6 if masked else None
    st = settings(x_range=x_range)
    low, high = x_range or (0, 1)
    floats = x.float() / (255 / (high - low)) + low
    a, b = train(st, x=x, mask=mask), train(st, x=floats, mask=mask)
    assert torch.equal(a.z_hat, b.z_hat)
    assert torch.equal(as_float(x, (0.0, 1.0), torch.float32), x / 255)


def test_chunks_are_not_used_where_batchnorm_couples_a_batch():
    x = torch.rand(20, 1, 28, 28, generator=seeded())
    st = settings(d=3, s=0.02, batchnorm="batch", batch_size=10)

    def run(**values):
        return train(st, mnist_generator(3, width=0.02, rng=seeded()), x, **values)

    assert torch.equal(run().z_hat, run(compute=Compute(chunk=3)).z_hat)


# ---- a device with little memory


class Small(nn.Module):
    """A network on a device that holds only so many images."""

    def __init__(self, most, g=None, kind=torch.cuda.OutOfMemoryError):
        super().__init__()
        self.g, self.most, self.kind = g or net(), most, kind

    def forward(self, z):
        if len(z) > self.most:
            raise self.kind("out of memory: can't allocate memory")
        return self.g(z)


@pytest.mark.parametrize("kind", [torch.cuda.OutOfMemoryError, MemoryError, RuntimeError])
def test_little_memory_halves_the_batch_and_says_so(kind):
    st, x = settings(batch_size=12, iterations=2), images().double()
    whole = train(st, net().double(), x)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        got = train(st, Small(4, kind=kind).double(), x)
    texts = [str(w.message) for w in said]
    assert texts[0] == (
        "The device ran out of memory while inferring: 6 images are now taken at once, not 12."
    )
    assert "3 images are now taken at once, not 6" in texts[1]
    assert "learned in 4 parts whose gradients are added." in texts[-1]
    assert len(texts) == 4
    assert torch.allclose(got.z_hat, whole.z_hat, rtol=1e-9, atol=1e-9)  # the same run
    for a, b in zip(got.history, whole.history, strict=True):
        assert a["mse"] == pytest.approx(b["mse"], rel=1e-9)


@pytest.mark.filterwarnings("ignore:The device ran out of memory while inferring")
def test_batchnorm_normalises_the_parts_and_says_so():
    g = Small(6, nn.Sequential(nn.Linear(2, 12), nn.BatchNorm1d(12), nn.Unflatten(1, SHAPE)))
    with pytest.warns(UserWarning, match="BatchNorm normalises each part by itself"):
        run = train(settings(batch_size=12, iterations=1), g)
    assert math.isfinite(run.history[0]["mse"])
    count = g.g[1].num_batches_tracked  # an attempt that failed leaves no trace
    assert int(count) == 2 * 2 * 2  # batches, L2, parts


@pytest.mark.filterwarnings("ignore:The device ran out of memory")
def test_memory_for_not_even_one_image_is_an_error():
    class Full(Small):
        def forward(self, z):
            if torch.is_grad_enabled():  # the trial before the run passes
                raise torch.cuda.OutOfMemoryError("out of memory")
            return self.g(z)

    with pytest.raises(torch.cuda.OutOfMemoryError):
        train(g=Full(0))


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.g, self.calls = net(), 0

        def forward(self, z):
            self.calls += 1
            if self.calls > 3:
                raise RuntimeError("something else")
            return self.g(z)

    with pytest.raises(RuntimeError, match="something else"):
        train(g=Broken())


# ---- no number is asked of the device inside the loop


class Waits(TorchDispatchMode):
    """Counts operations that wait for a device and bring a number back."""

    NAMES = ("_local_scalar_dense", "nonzero", "item", "is_nonzero", "equal", "_to_copy", "unique")

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in self.NAMES:
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    "make", [lambda: MLP(2, rng=seeded()), lambda: mnist_generator(2, width=0.02)]
)
def test_the_langevin_loop_waits_for_nothing(make, masked):
    g, x = make(), torch.rand(8, 1, 28, 28, generator=seeded())
    mask = x < 0.5 if masked else None
    noise = list(torch.randn(5, 8, 2, generator=seeded(1)))
    with frozen(g), Waits() as waits:
        walk(lambda z: raw_score(g, z, x, 0.3, mask), noise[0], 0.03, noise)
    assert waits.found == []
    st = settings(K=5)
    work = Engine(Compute(), torch.device("cpu"), torch.float32)
    with Waits() as waits:
        work.infer(g, noise[0], x, mask, noise, st)
    assert len(waits.found) == 1  # after the loop: has a chain diverged?


# ---- precision


def test_low_precision_stays_near():
    """K = 50 steps with the same noise: mean difference below 2 % of the latents' deviation."""
    g = trained(mnist_generator).float()
    rng = seeded(5)
    x = g(torch.randn(64, 30, generator=rng)).detach() + 0.05 * torch.randn(
        64, 1, 28, 28, generator=rng
    )
    z, noise = (
        torch.randn(64, 30, generator=rng),
        [torch.randn(64, 30, generator=rng) for _ in range(50)],
    )
    st = Settings(d=30, K=50, s=0.03)

    def after(precision):
        work = Engine(Compute(precision=precision), torch.device("cpu"), torch.float32)
        return work.infer(g, z, x, None, noise, st)

    exact, low = after("fp32"), after("bf16")
    assert not torch.equal(exact, low)
    assert float((low - exact).abs().mean() / exact.std()) < 0.02
    assert low.dtype == torch.float32


def test_low_precision_learns_as_well():
    x = images(200)
    st = settings(batch_size=50, iterations=30, lr=1e-2)
    errors = {
        p: train(st, x=x, compute=Compute(precision=p)).history[-1]["mse"] for p in ("fp32", "bf16")
    }
    assert errors["bf16"] == pytest.approx(errors["fp32"], rel=0.03)


def test_float64_is_never_lowered():
    g = net().double()
    a = train(g=g, x=images().double(), compute=Compute(precision="bf16"))
    b = train(g=net().double(), x=images().double())
    assert torch.equal(a.z_hat, b.z_hat)


@pytest.mark.parametrize(
    ("values", "kind", "words"),
    [
        ({"precision": "half"}, ValueError, "precision must be one of 'auto'"),
        ({"precision": 16}, TypeError, "precision"),
        ({"chunk": 0}, ValueError, "chunk must be at least 1"),
        ({"chunk": 2.5}, TypeError, "chunk"),
        ({"compile": 1}, TypeError, "compile must be a bool"),
        ({"channels_last": None}, TypeError, "channels_last"),
    ],
)
def test_bad_choices(values, kind, words):
    with pytest.raises(kind, match=f"^{words}"):
        Compute(**values)
    with pytest.raises(TypeError, match="compute must be a Compute or None"):
        train(compute={"precision": "fp32"})


def test_exploding_latents_stop_the_run():
    """Not yet infinite, but 10,000 deviations away: said at once, with the step and what to try."""
    g = LinearGenerator(1e2 * torch.ones(4, 2))
    st = Settings(d=2, s=0.1, K=2, iterations=50, x_range=None)
    with pytest.raises(
        FloatingPointError, match=r"Iteration \d: z must stay finite.*s = 0\.1.*smaller s"
    ):
        fit(g, torch.rand(5, 4), st, rng=seeded(), progress=False)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch's compiler itself
@pytest.mark.skipif(shutil.which("g++") is None, reason="on a CPU it needs a C++ compiler")
def test_a_compiled_network_makes_the_same_run():
    """Also when it learns in between, and for batches whose sizes differ by one."""
    x = torch.rand(39, 1, 28, 28, generator=seeded())
    st = settings(d=3, s=0.02, K=60, batch_size=20, iterations=2)  # long enough to be folded
    plain, compiled = (
        train(st, mnist_generator(3, width=0.02, rng=seeded()), x, compute=Compute(compile=choice))
        for choice in (False, True)
    )
    assert torch.allclose(plain.z_hat, compiled.z_hat, atol=1e-4)
    assert compiled.history[-1]["mse"] == pytest.approx(plain.history[-1]["mse"], rel=1e-4)


def test_the_exam_on_a_rounded_chain():
    """Marking notes of chapter 8: a drift rounded by itself is lost; beside noise it is kept."""
    n, s = 4_000_000, 0.03
    z = torch.linspace(1.0, 1.9, n).bfloat16()
    noise, drift = s * torch.randn(n, generator=seeded()), s**2 / 2
    assert torch.equal((z.float() + drift).bfloat16(), z)
    moved = (z.float() + drift + noise).bfloat16().float() - z.float()
    stderr = s / n**0.5  # rounding adds a little to the deviation: 2^-7 / sqrt(12)
    assert abs(moved.mean().item() - drift) < 5 * stderr
    assert drift > 20 * stderr
