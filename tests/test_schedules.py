"""Algorithm 1 against the paper, line for line: replayed by hand, traced, and step by step."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
from helpers import SHAPE, images, net, same, seeded, settings
from torch import nn

from mcmcot_lite import (
    LinearGenerator,
    engine,
    fit,
    infer,
    learn,
    learning_gradient,
    mix,
    schedules,
    transport,
)

# ---- the printed order, and the released one, written once more with the public functions


class Book:
    """What a reader would write: the lines of the paper, with public functions only."""

    def __init__(self, g, x, st, seed, mask=None):
        self.g, self.x, self.st, self.rng, self.mask = g, x, st, seeded(seed), mask
        self.z = torch.randn(len(x), st.d, generator=self.rng)
        self.z_hat = torch.randn(len(x), st.d, generator=self.rng)
        self.adam = torch.optim.Adam(g.parameters(), lr=st.lr, betas=st.betas)
        self.h = None

    def batches(self):
        order = torch.randperm(len(self.x), generator=self.rng)
        return torch.tensor_split(order, math.ceil(len(self.x) / self.st.batch_size))

    def visible(self, i):
        return None if self.mask is None else self.mask[i]

    def infer(self, i):
        st = self.st
        start = {"z0": self.z_hat[i]} if st.chains == "persistent" else {"d": st.d}
        return infer(
            self.g,
            self.x[i],
            **start,
            sigma=st.sigma,
            s=st.s,
            K=st.K,
            rng=self.rng,
            mask=self.visible(i),
            batch_size=st.batch_size,
        ).z

    def correct(self):
        st = self.st
        if st.targets == "fresh":
            self.z, self.h = torch.randn(self.z.shape, generator=self.rng), None
        T = transport.transport(
            self.z_hat, self.z, method=st.transport, eps=st.eps, rng=self.rng, h0=self.h
        )
        self.h = T.h if st.reuse_h and st.targets == "fixed" else None
        self.z_hat = mix(self.z_hat, self.z, T, st.alpha)

    def learn(self, i, steps):
        pairs = self.g, self.x[i], self.z_hat[i], self.adam
        for _ in range(steps):
            learn(*pairs, sigma=self.st.sigma, mask=self.visible(i))

    def printed(self):
        for k in range(1, self.st.iterations + 1):
            self.z_hat = self.infer(slice(None))
            if k % self.st.L == 0 and self.st.alpha > 0:
                self.correct()
            for i in self.batches():
                self.learn(i, self.st.L2)

    def released(self):
        for _ in range(self.st.iterations):
            for _ in range(self.st.L):
                for i in self.batches():
                    self.z_hat[i] = self.infer(i)
                    self.learn(i, self.st.L2)
            if self.st.alpha > 0:
                self.correct()
            for _ in range(self.st.regression):
                for i in self.batches():
                    self.learn(i, 1)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"alpha": 0.0},
        {"alpha": 1.0, "transport": "exact"},
        {"chains": "noise"},
        {"targets": "fresh"},
        {"reuse_h": False, "L": 1},
        {"batch_size": 100, "L": 3, "K": 0},
    ],
    ids=str,
)
@pytest.mark.parametrize("schedule", ["printed", "released"])
def test_fit_is_the_algorithm_bit_for_bit(schedule, values, masked):
    st = settings(schedule=schedule, **values)
    if schedule == "released":
        st = replace(st, iterations=2, regression=2)
    x = images()
    mask = torch.rand(x.shape, generator=seeded(9)) < 0.6 if masked else None
    g, by_hand = net(), net()
    run = fit(g, x, st, rng=seeded(3), mask=mask, progress=False)
    book = Book(by_hand, x, st, 3, mask)
    getattr(book, schedule)()
    assert same(g, by_hand)
    assert torch.equal(run.z_hat, book.z_hat)
    assert torch.equal(run.z, book.z)


# ---- the order of the calls


@pytest.fixture
def trace(monkeypatch):
    """Every call of the four lines: (name, its arguments, its named ones, its result)."""
    calls = []

    def spy(owner, name):
        real = getattr(owner, name)

        def wrapped(*args, **kwargs):
            out = real(*args, **kwargs)
            calls.append((name, args, kwargs, out))
            return out

        monkeypatch.setattr(owner, name, wrapped)

    spy(engine.Engine, "infer")
    spy(engine, "raw_learn")
    spy(schedules, "transport")
    spy(schedules, "mix")
    return calls


def test_printed_order(trace):
    st = settings(iterations=7, L=3, batch_size=8)
    fit(net(), images(), st, rng=seeded(), progress=False)
    inference, learning = ["infer"] * 3, ["raw_learn"] * 3 * 2  # 3 batches, L2 = 2
    want = []
    for k in range(1, 8):
        want += [*inference, *(["transport", "mix"] if k % 3 == 0 else []), *learning]
    assert [name for name, *_ in trace] == want


def test_each_line_takes_what_the_line_before_gave(trace):
    x = images()
    fit(net(), x, settings(iterations=2, L=2, batch_size=50), rng=seeded(), progress=False)
    (_, _, _, first), learn1, _, (_, second_in, _, second) = trace[:4]
    assert torch.equal(learn1[1][2].sort(0).values, first.sort(0).values)  # a permutation
    assert torch.equal(second_in[2], first)  # persistent chains
    assert torch.equal(second_in[3], x)  # line 6: every image
    _, transport_in, _, T = trace[4]
    assert torch.equal(transport_in[0], second)  # line 9: from the inferred latents
    _, mix_in, _, mixed = trace[5]
    assert torch.equal(mix_in[0], second)
    assert (mix_in[2] is T, mix_in[3]) == (True, 0.5)
    learned = trace[6][1]
    assert torch.equal(learned[2].sort(0).values, mixed.sort(0).values)  # line 13: corrected
    assert not torch.equal(mixed, second)
    order = (learned[1].flatten(1)[:, None] == x.flatten(1)).all(2).int().argmax(1)
    assert torch.equal(learned[2], mixed[order])  # each image with its own latents


def test_alpha_zero_never_calls_transport(trace):
    for schedule in ("printed", "released"):
        st = settings(alpha=0.0, L=1, schedule=schedule)
        run = fit(net(), images(), st, rng=seeded(), progress=False)
        assert not any(row.keys() & {"ot_cost", "removed"} for row in run.history)
    assert {name for name, *_ in trace} == {"infer", "raw_learn"}


def test_released_order(trace):
    st = settings(schedule="released", iterations=2, L=2, regression=3, batch_size=8)
    fit(net(), images(), st, rng=seeded(), progress=False)
    one_pass = ["infer", "raw_learn", "raw_learn"] * 3
    once = [*(one_pass * 2), "transport", "mix", *(["raw_learn"] * 3 * 3)]
    assert [name for name, *_ in trace] == once * 2


def test_warm_start_of_h(trace):
    def starts(**values):
        trace.clear()
        fit(net(), images(), settings(L=1, **values), rng=seeded(), progress=False)
        found = [call for call in trace if call[0] == "transport"]
        return [call[2]["h0"] for call in found], [call[3].h for call in found]

    h0, h = starts()
    assert h0[0] is None
    assert all(torch.equal(a, b) for a, b in zip(h0[1:], h[:-1], strict=True))
    assert all(a is None for a in starts(reuse_h=False)[0])
    assert all(a is None for a in starts(targets="fresh")[0])


def test_targets_are_drawn_once_or_afresh():
    def targets(**values):
        seen = []
        st = settings(L=1, iterations=3, **values)
        fit(net(), images(), st, rng=seeded(), progress=False, callbacks=[lambda s: seen.append(s)])
        return [s.z for s in seen]

    a, b, c = targets()
    assert torch.equal(a, b)
    assert torch.equal(b, c)
    a, b, c = targets(targets="fresh")
    assert not torch.equal(a, b)
    assert not torch.equal(b, c)


def test_batches_cover_every_image_once(trace):
    x = images()
    number = {tuple(row.tolist()): i for i, row in enumerate(x.flatten(1))}
    fit(net(), x, settings(iterations=2, L2=1), rng=seeded(), progress=False)

    def batches(name, place):
        kept = [args[place].flatten(1).tolist() for kind, args, *_ in trace if kind == name]
        found = [[number[tuple(row)] for row in rows] for rows in kept]
        for four in (found[:4], found[4:]):
            assert sorted(map(len, four)) == [5, 6, 6, 6]
        return [i for part in found[:4] for i in part], [i for part in found[4:] for i in part]

    first, second = batches("infer", 3)
    assert first == second == list(range(23))  # in their order
    first, second = batches("raw_learn", 1)
    assert sorted(first) == sorted(second) == list(range(23))
    assert len({tuple(first), tuple(second), tuple(range(23))}) == 3


# ---- learn


def linear(seed=0, D=6, d=2, dtype=torch.float64):
    rng = seeded(seed)
    return LinearGenerator(
        torch.randn(D, d, generator=rng, dtype=dtype), torch.randn(D, generator=rng, dtype=dtype)
    )


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("sigma", [0.1, 1.0, 3.0])
def test_learn_is_the_analytic_gradient_step(masked, sigma):
    g, rng = linear(), seeded(1)
    x = torch.randn(9, 6, generator=rng, dtype=torch.float64)
    z = torch.randn(9, 2, generator=rng, dtype=torch.float64)
    mask = torch.rand(9, 6, generator=rng) < 0.7
    m = mask.double() if masked else torch.ones(9, 6, dtype=torch.float64)
    theta, mu = g.theta.detach().clone(), g.mu.detach().clone()
    residual = m * (x - z @ theta.mT - mu)
    rate = 1e-3
    optimiser = torch.optim.SGD(g.parameters(), lr=rate)
    error = learn(g, x, z, optimiser, sigma=sigma, mask=mask if masked else None)
    want = theta + rate * residual.mT @ z / (9 * sigma**2)
    assert torch.allclose(g.theta, want, rtol=1e-12, atol=1e-12)
    assert torch.allclose(g.mu, mu + rate * residual.mean(0) / sigma**2, rtol=1e-12, atol=1e-12)
    assert error == pytest.approx(float(residual.square().sum() / m.sum()), rel=1e-10)
    assert g.training


def test_learn_follows_the_learning_gradient():
    g = net().double()
    x, z = images().double(), torch.randn(23, 2, generator=seeded(2), dtype=torch.float64)
    before = {k: p.detach().clone() for k, p in g.named_parameters()}
    gradient = learning_gradient(g, z, x, sigma=0.3)
    learn(g, x, z, torch.optim.SGD(g.parameters(), lr=0.01), sigma=0.3)
    for k, p in g.named_parameters():
        assert torch.allclose(p, before[k] + 0.01 * gradient[k], rtol=1e-12, atol=1e-14)


def test_learn_raises_the_log_joint_and_leaves_its_inputs_alone():
    g = net()
    x, z = images().requires_grad_(True), torch.randn(23, 2, generator=seeded(2))
    z.requires_grad_(True)
    adam = torch.optim.Adam(g.parameters(), lr=1e-2)
    errors = [learn(g, x, z, adam, sigma=0.3) for _ in range(50)]
    assert errors[-1] < errors[0]
    assert x.grad is None
    assert z.grad is None


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_learn_in_other_contexts(context):
    want, got = net(), net()
    for g, inside in ((want, False), (got, True)):
        sgd = torch.optim.SGD(g.parameters(), lr=0.1)
        if inside:
            with context():
                learn(g, images(), torch.randn(23, 2, generator=seeded(2)), sgd, sigma=0.3)
        else:
            learn(g, images(), torch.randn(23, 2, generator=seeded(2)), sgd, sigma=0.3)
    assert same(want, got)


X, Z = images(), torch.randn(23, 2, generator=seeded(2))


@pytest.mark.parametrize(
    ("change", "kind", "name"),
    [
        ({"g": lambda z: z}, TypeError, "g must be a torch.nn.Module"),
        ({"g": net(3)}, ValueError, "z"),
        ({"g": net().requires_grad_(False)}, ValueError, "g must have parameters"),
        ({"x": X[:5]}, ValueError, "z_hat"),
        ({"x": X[:, :, :2]}, ValueError, "g(z)"),
        ({"x": X.double()}, ValueError, "x"),
        ({"x": X * math.nan}, ValueError, "x"),
        ({"x": None}, TypeError, "x"),
        ({"x": X.to("meta")}, ValueError, "x"),
        ({"z_hat": Z[:, :1]}, ValueError, "z"),
        ({"g": nn.Linear(3, 12)}, ValueError, "g must accept"),
        ({"z_hat": Z[:, 0]}, ValueError, "z_hat"),
        ({"z_hat": Z * math.inf}, ValueError, "z_hat"),
        ({"z_hat": Z.to("meta")}, ValueError, "z_hat"),
        ({"optimiser": None}, TypeError, "optimiser"),
        ({"optimiser": 1e-3}, TypeError, "optimiser"),
        ({"optimiser": torch.optim.Adam(net().parameters())}, ValueError, "optimiser must hold"),
        ({"sigma": 0.0}, ValueError, "sigma"),
        ({"sigma": "0.3"}, TypeError, "sigma"),
        ({"mask": torch.ones(2)}, ValueError, "mask"),
        ({"mask": 2 * torch.ones_like(X)}, ValueError, "mask"),
        ({"mask": "all"}, TypeError, "mask"),
    ],
)
def test_learn_refuses_and_changes_nothing(change, kind, name):
    g = nn.Sequential(net(), nn.Dropout(0.5)).eval()
    adam = torch.optim.Adam(g.parameters())
    before = copy.deepcopy(g.state_dict())
    arguments = {"g": g, "x": X, "z_hat": Z, "optimiser": adam, "sigma": 0.3} | change
    with pytest.raises(kind) as caught:
        learn(**arguments)
    assert str(caught.value).startswith(name)
    assert all(torch.equal(v, before[k]) for k, v in g.state_dict().items())
    assert not any(m.training for m in g.modules())
    assert all(p.grad is None for p in g.parameters())
    assert not adam.state


def normed():
    """A net with BatchNorm in evaluation mode, and gradients left by somebody."""
    g = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 12), nn.Unflatten(1, SHAPE))
    for p in g.parameters():
        p.grad = torch.ones_like(p)
    return g.eval()


def unchanged(g, before):
    same_state = all(torch.equal(v, before[k]) for k, v in g.state_dict().items())
    same_grad = all(torch.equal(p.grad, torch.ones_like(p)) for p in g.parameters())
    return same_state and same_grad and not any(m.training for m in g.modules())


@pytest.mark.parametrize(
    ("n", "scale", "make", "kind", "words"),
    [
        (1, 1.0, torch.optim.Adam, ValueError, "x must hold 2 images or more for BatchNorm"),
        (9, 1.0, torch.optim.LBFGS, ValueError, "optimiser must step without a closure"),
        (9, 1e30, torch.optim.Adam, FloatingPointError, "g must keep the loss finite"),
    ],
)
def test_a_failed_learning_step_changes_nothing(n, scale, make, kind, words):
    g = normed()
    before = copy.deepcopy(g.state_dict())
    with pytest.raises(kind, match=words):
        learn(g, X[:n], Z[:n] * scale, make(g.parameters()), sigma=0.3)
    assert unchanged(g, before)


def test_an_error_inside_g_while_it_learns_changes_nothing():
    class Fails(nn.Module):
        def forward(self, x):
            if self.training:
                raise RuntimeError("only in training")
            return x

    g = nn.Sequential(normed(), Fails()).eval()
    before = copy.deepcopy(g.state_dict())
    with pytest.raises(RuntimeError, match="only in training"):
        learn(g, X, Z, torch.optim.SGD(g.parameters()), sigma=0.3)
    assert unchanged(g, before)


def test_a_finite_loss_with_an_infinite_gradient_changes_nothing():
    class Root(nn.Module):
        def forward(self, x):
            return (x * (x > 0)).sqrt()  # slope NaN wherever x <= 0

    g = nn.Sequential(normed(), Root()).eval()
    before = copy.deepcopy(g.state_dict())
    with pytest.raises(FloatingPointError, match="g must have finite gradients"):
        learn(g, X, Z, torch.optim.Adam(g.parameters()), sigma=0.3)
    assert unchanged(g, before)


def test_an_optimiser_of_a_part_serves_when_the_rest_is_frozen():
    g = net()
    last = list(g.parameters())[-1]
    adam = torch.optim.Adam([last])
    with pytest.raises(ValueError, match="optimiser must hold all trainable parameters"):
        learn(g, X, Z, adam, sigma=0.3)
    g.requires_grad_(False)
    last.requires_grad_(True)
    assert learn(g, X, Z, adam, sigma=0.3) > 0


def test_half_precision_gradients_whose_sum_overflows_are_finite():
    g = nn.Linear(2, 4000, bias=False).half()
    with torch.no_grad():
        g.weight.fill_(0.1)
    z, x = torch.ones(4, 2).half(), torch.ones(4, 4000).half()
    sgd = torch.optim.SGD(g.parameters(), lr=1e-6)
    assert math.isfinite(learn(g, x, z, sgd, sigma=0.2))


def test_a_g_that_ignores_its_parameters_is_named():
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = nn.Parameter(torch.zeros(1))

        def forward(self, z):
            return z.new_zeros(len(z), *SHAPE)

    g = Constant()
    with pytest.raises(
        ValueError, match=r"^g must return an output that depends on its parameters"
    ):
        learn(g, X, Z, torch.optim.SGD(g.parameters()), sigma=0.3)
