"""The sparse solver against SciPy, and what its parts promise: scan, pricing, potentials, start."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from mcmcot_lite.transport import candidates as candidates_module
from mcmcot_lite.transport import certify, exact_map, scan
from mcmcot_lite.transport import exact as exact_module
from mcmcot_lite.transport import multiscale as multiscale_module
from mcmcot_lite.transport import start as start_module
from mcmcot_lite.transport.candidates import candidates, look, refined
from mcmcot_lite.transport.clock import Clock
from mcmcot_lite.transport.duals import lowered
from mcmcot_lite.transport.gaussian import bounded, brenier, spectrum
from mcmcot_lite.transport.generation import assignments
from mcmcot_lite.transport.graph import Graph, staircase
from mcmcot_lite.transport.limits import memory_needed
from mcmcot_lite.transport.line import product, radial
from mcmcot_lite.transport.multiscale import cells, multiscale
from mcmcot_lite.transport.pricing import Pricing
from mcmcot_lite.transport.scan import peaks, roundoff, row_best
from mcmcot_lite.transport.scores import dual_value
from mcmcot_lite.transport.smooth import smooth
from mcmcot_lite.transport.start import first_graph, wider_graph

EPS = np.finfo(np.float64).eps


def gauss(n: int, d: int, r: np.random.Generator) -> np.ndarray:
    return r.normal(size=(n, d))


def blobs(n, d, r):
    return 0.4 * r.normal(size=(n, d)) + 2 * np.where(r.random((n, 1)) < 0.3, 1, -1)


def clusters(n, d, r):
    return r.normal(size=(7, d))[r.integers(0, 7, n)] + 0.01 * r.normal(size=(n, d))


def heavy(n, d, r):
    return r.standard_cauchy((n, d))


def lattice(n, d, r):
    return np.round(r.normal(size=(n, d)))


def doubled(n, d, r):
    return r.normal(size=(n, d))[np.arange(n) // 2]


def collinear(n, d, r):
    return r.normal(size=(n, 1)) * r.normal(size=(1, d)) + r.normal(size=(1, d))


def outlier(n, d, r):
    x = r.normal(size=(n, d))
    x[0] += 1e6
    return x


def moved(n, d, r):
    return r.normal(size=(n, d)) + 1e4


def tiny(n, d, r):
    return 1e-6 * r.normal(size=(n, d))


def huge(n, d, r):
    return 1e6 * r.normal(size=(n, d))


def flat(n, d, r):
    x = r.normal(size=(n, d))
    x[:, -1] = 3
    return x


def sphere(n, d, r):
    x = r.normal(size=(n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def ring(n, d, r):
    x, t = np.zeros((n, d)), 2 * np.pi * r.random(n)
    x[:, 0], x[:, -1] = np.cos(t), np.sin(t)
    return x


def cube(n, d, r):
    return r.random((n, d))


def moons(n, d, r):
    x, t, up = 0.05 * r.normal(size=(n, d)), np.pi * r.random(n), r.random(n) < 0.5
    x[:, 0] += np.where(up, np.cos(t), 1 - np.cos(t))
    x[:, -1] += np.where(up, np.sin(t), 0.5 - np.sin(t))
    return x


KINDS = {
    f.__name__: f
    for f in (
        *(gauss, blobs, clusters, heavy, lattice, doubled, collinear, outlier, moved, tiny, huge),
        *(flat, sphere, ring, cube, moons),
    )
}


def instance(kind: str, other: str, n: int, d: int, seed: int) -> tuple[Tensor, Tensor]:
    r = np.random.default_rng([seed, n, d, *kind.encode()])
    x = KINDS[kind](n, d, r)
    y = x[r.permutation(n)] if other == "same" else KINDS[other](n, d, r)
    return torch.as_tensor(x), torch.as_tensor(y)


def optimum(x: Tensor, y: Tensor) -> float:
    cost = ((x[:, None] - y[None]) ** 2).sum(-1).numpy()
    return float(cost[linear_sum_assignment(cost)].mean())


@pytest.fixture(autouse=True)
def sparse(monkeypatch):
    """Every n takes the sparse graph."""
    monkeypatch.setattr(exact_module, "DENSE", 0)


@pytest.mark.parametrize("other", ["gauss", "same", "lattice", "moons"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("n", "d"), [(2, 2), (5, 64), (17, 2), (60, 3), (150, 8), (250, 2), (400, 30), (600, 64)]
)
def test_optimum_of_scipy_to_1e_9(kind, other, n, d):
    """576 instances; the rounding of coordinates far from the origin is allowed for."""
    x, y = instance(kind, other, n, d, seed=0)
    T, want = exact_map(x, y), optimum(x, y)
    far = float(x.abs().max() + y.abs().max())
    spread = float(x.var(0).sum() + y.var(0).sum())
    slack = 1e-9 * want + 64 * EPS * d * (spread + far * (spread**0.5 + EPS * far))
    assert abs(T.primal - want) <= slack
    assert T.dual <= want + slack
    assert T.gap >= -slack
    assert (T.status, T.certified) == ("optimal", True)
    assert torch.equal(T.index.sort().values, torch.arange(n))
    assert certify(x, y, T).certified


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [2, 3, 20])
def test_gap_asked_for_is_proven(kind, d):
    x, y = instance(kind, "gauss", 500, d, seed=1)
    T, want = exact_map(x, y, gap=1e-2), optimum(x, y)
    assert T.certified
    assert T.status in {"gap reached", "optimal"}
    assert T.dual <= want * (1 + 1e-9)
    assert T.primal >= want * (1 - 1e-9)
    assert T.primal <= want / (1 - 1e-2) * (1 + 1e-9)
    assert certify(x, y, T).certified


@pytest.mark.parametrize("d", [2, 30])
def test_row_order_tiles_and_threads_change_nothing(d, monkeypatch):
    x, y = instance("blobs", "gauss", 500, d, seed=2)
    T = exact_map(x, y)
    p, q = (torch.randperm(500, generator=torch.Generator().manual_seed(s)) for s in (3, 4))
    moved = exact_map(x[p], y[q])
    assert torch.equal(q[moved.index], T.index[p])
    monkeypatch.setitem(scan.TILE, "cpu", (7, 33))
    assert torch.equal(exact_map(x, y).index, T.index)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(exact_map(x, y).index, T.index)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_coarser_float32_products_cannot_spoil_the_proof(precision):
    x, y = instance("gauss", "moons", 300, 5, seed=3)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(precision)
        T = exact_map(x, y)
    finally:
        torch.set_float32_matmul_precision(before)
    assert T.certified
    assert certify(x, y, T).certified
    assert T.primal == pytest.approx(optimum(x, y), rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_lower_precision_inputs(dtype):
    x, y = (t.to(dtype) for t in instance("gauss", "gauss", 300, 4, seed=4))
    T = exact_map(x, y)
    assert T.certified
    assert T.primal == pytest.approx(optimum(x.double(), y.double()), rel=1e-9)


@pytest.mark.parametrize("groups", [1, 5, 64, 100])
@pytest.mark.parametrize("tile", [(512, 2048), (3, 7)])
def test_peaks_are_the_best_of_their_groups(groups, tile, monkeypatch, rng):
    monkeypatch.setitem(scan.TILE, "cpu", tile)
    x, y = torch.randn(9, 3, generator=rng), torch.randn(100, 3, generator=rng)
    h = torch.randn(100, generator=rng)
    value, column = peaks(x, y, h, groups, Clock())
    score = x @ y.mT + h
    width = -(-100 // groups)
    for g, part in enumerate(torch.split(score, width, 1)):
        torch.testing.assert_close(value[:, g], part.max(1).values, atol=1e-5, rtol=0)
        assert (column[:, g] // width == g).all()
    torch.testing.assert_close(score.gather(1, column), value, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("size", "shift"), [(1.0, 0.0), (1e3, 0.0), (1.0, 50.0)])
@pytest.mark.parametrize("d", [1, 2, 64])
def test_roundoff_bounds_the_error_of_float32(d, size, shift, rng):
    x = size * torch.randn(50, d, generator=rng, dtype=torch.float64) + shift
    y = torch.randn(70, d, generator=rng, dtype=torch.float64)
    h = 10 * torch.randn(70, generator=rng, dtype=torch.float64)
    single = torch.addmm(h.float(), x.float(), y.float().mT).double()
    error = (single - (x @ y.mT + h)).abs().max(1).values
    assert (error <= roundoff(x, y, h)).all()


def test_pricing_finds_the_one_better_pair_and_settles_the_rest(rng):
    x, y = torch.randn(2, 300, 4, generator=rng, dtype=torch.float64)
    T = exact_map(x, y)
    h = T.h.numpy()
    own = ((x * y[T.index]).sum(1) + T.h[T.index]).numpy()
    tol = np.full(300, 1e-12)
    content = Pricing(x, y)(own, h, tol, Clock(), fallen=False)
    assert len(content.row) == 0
    np.testing.assert_allclose(content.best, own, atol=1e-13)
    poor = own.copy()
    poor[17] -= 1e-9  # less than float32 can see
    found = Pricing(x, y)(poor, h, tol, Clock(), fallen=False)
    assert set(found.row) == {17}
    assert int(T.index[17]) in found.column


def test_lowered_potentials_prove_a_matching_and_fall_least(rng):
    x, y = torch.randn(2, 40, 3, generator=rng, dtype=torch.float64)
    best = exact_map(x, y)
    match = best.index.numpy()
    graph = Graph(x, y, *(t.reshape(-1) for t in np.indices((40, 40))))  # all pairs
    start = best.h.numpy() + 0.3 * torch.rand(40, generator=rng).double().numpy()
    h = lowered(graph, match, start, 1e-14, Clock())
    own = graph.benefit.reshape(40, 40)[range(40), match] + h[match]
    np.testing.assert_allclose(graph.row_best(h), own, atol=1e-12)
    assert (h <= start).all()
    # The largest such h: the shortest path from any start, by the plain O(n^3) recursion.
    w = graph.benefit.reshape(40, 40)
    want = start.copy()
    for _ in range(40):
        want = np.minimum(want, (want[match] + w[range(40), match])[:, None] - w).min(0)
    np.testing.assert_allclose(h, want, atol=1e-12)


def test_joined_graph_equals_one_made_at_once(rng):
    x, y = torch.randn(2, 30, 3, generator=rng, dtype=torch.float64)
    r = np.random.default_rng(0)
    row, column = r.integers(0, 30, (2, 200))
    whole, part = Graph(x, y, row, column), Graph(x, y, row[:50], column[:50])
    _ = part.by_column  # cached, and not kept for the larger graph
    both = part.joined(row[50:], column[50:])
    for name in ("key", "row", "column", "first", "benefit"):
        np.testing.assert_array_equal(getattr(both, name), getattr(whole, name))
    np.testing.assert_array_equal(both.by_column[0], whole.by_column[0])
    np.testing.assert_allclose(whole.benefit, (x @ y.mT).numpy()[whole.row, whole.column])


@pytest.mark.parametrize("masses", [(np.ones(6), np.ones(6)), ([3, 1, 2], [1, 1, 1, 3])])
def test_staircase_is_a_feasible_plan(masses, rng):
    a, b = (np.asarray(t, dtype=float) for t in masses)
    x, y = (torch.randn(len(t), 2, generator=rng, dtype=torch.float64) for t in (a, b))
    i, j = staircase(x, y, a, b)
    assert len(i) <= len(a) + len(b) - 1
    from scipy.optimize import linprog

    rows = np.array([[i[e] == r for e in range(len(i))] for r in range(len(a))], dtype=float)
    columns = np.array([[j[e] == c for e in range(len(j))] for c in range(len(b))], dtype=float)
    plan = linprog(np.zeros(len(i)), A_eq=np.vstack([rows, columns]), b_eq=np.concatenate([a, b]))
    assert plan.status == 0


def test_candidates_give_every_column_a_row(rng):
    x, y = torch.randn(2, 300, 20, generator=rng, dtype=torch.float64)
    ones, h = np.ones(300), brenier(x, y).numpy()
    graph, spread = candidates(x, y, h, ones, ones, Clock(), k=10, few=5)
    assert np.bincount(graph.row, minlength=300).min() >= 10
    assert np.bincount(graph.column, minlength=300).min() >= 5
    assert spread > 0


def test_smooth_is_sinkhorn(rng):
    """On the full graph with masses, it solves the entropic problem: rows and columns add up."""
    x, y = (torch.randn(n, 2, generator=rng, dtype=torch.float64) for n in (6, 9))
    a, b = np.array([1, 2, 1, 2, 1, 2.0]), np.ones(9)
    graph = Graph(x, y, *(t.reshape(-1) for t in np.indices((6, 9))))
    h = smooth(graph, np.zeros(9), a, b, 0.5, 500)
    score = (x @ y.mT).numpy() + h
    rows = np.exp(score / 0.5)
    plan = a[:, None] * rows / rows.sum(1, keepdims=True)
    np.testing.assert_allclose(plan.sum(0), b, atol=1e-9)


def test_cells_hold_every_point_once_and_are_even(rng):
    x = torch.randn(1000, 3, generator=rng, dtype=torch.float64)
    label = cells(x, 4)
    size = np.bincount(label)
    assert size.sum() == 1000
    assert set(size) <= {3, 4}


def test_gelbrich_bounds_every_pairing_and_is_reached_by_gaussians(rng):
    x, y = torch.randn(2, 500, 4, generator=rng, dtype=torch.float64)
    x = (x - x.mean(0)) @ torch.randn(4, 4, generator=rng, dtype=torch.float64)
    y = y - y.mean(0)
    T = exact_map(x, y)
    gain = float((x * y[T.index]).sum(1).mean())
    gelbrich = float(spectrum(x, y).sum())
    assert gain <= bounded(x, y)[1]
    assert bounded(x, y)[1] == pytest.approx(gelbrich, rel=1e-6)
    # y -> M y maps the law of y to that of x, so x = M y paired with y attains the bound.
    h = brenier(x, y)
    M = torch.zeros(4, 4, dtype=torch.float64)
    for i in range(4):
        for j in range(4):
            e, f = torch.eye(4, dtype=torch.float64)[[i, j]]
            quadratic = lambda v: -2 * brenier_at(x, y, v)  # noqa: E731
            M[i, j] = (quadratic(e + f) - quadratic(e) - quadratic(f)) / 2
    linear = y @ M
    torch.testing.assert_close(linear.mT @ linear / 500, x.mT @ x / 500)
    assert float((linear * y).sum(1).mean()) == pytest.approx(gelbrich, rel=1e-6)
    torch.testing.assert_close(h, -(linear * y).sum(1) / 2)


def brenier_at(x: Tensor, y: Tensor, v: Tensor) -> Tensor:
    """The quadratic form of brenier at any point, read off from a copy of y with v far out."""
    from mcmcot_lite.transport.gaussian import _covariance, _power

    A, B = _covariance(x), _covariance(y)
    root, inverse = _power(B, 0.5), _power(B, -0.5)
    return -(v @ inverse @ _power(root @ A @ root, 0.5) @ inverse @ v) / 2


@pytest.mark.parametrize("kind", ["blobs", "ring", "clusters", "outlier", "lattice"])
@pytest.mark.parametrize("few", [16, 3])
def test_the_pyramid_starts_near_the_optimum(kind, few, monkeypatch):
    """Its potentials alone bound the optimum within five percent; zeros are far off."""
    monkeypatch.setattr(multiscale_module, "FEW", few)  # 3: too thin, so that MANY come in
    x, y = instance(kind, "gauss", 3000, 2, seed=5)
    x, y = x - x.mean(0), y - y.mean(0)
    h = torch.from_numpy(multiscale(x, y, Clock()))
    want = exact_map(x, y).primal
    start, zero = dual_value(x, y, h), dual_value(x, y, torch.zeros(3000, dtype=torch.float64))
    assert want * 0.95 <= start <= want * (1 + 1e-9)
    assert zero < want - 2 * (want - start)


def test_rounds_close_in_from_both_sides(rng):
    x, y = torch.randn(2, 400, 10, generator=rng, dtype=torch.float64)
    ones, h = np.ones(400), np.zeros(400)
    graph, _ = candidates(x, y, h, ones, ones, Clock(), k=3, few=1)  # a poor graph: many rounds
    steps = list(assignments(graph, h, Clock(), near=True))
    assert len(steps) > 2
    assert [s.violated for s in steps][-1] == 0
    gains = [s.gain for s in steps]
    assert gains == sorted(gains)  # a larger graph is never worse
    assert all(s.ceiling >= gains[-1] - 1e-12 for s in steps)
    assert steps[-1].ceiling == pytest.approx(gains[-1], rel=1e-12)
    for before, after in itertools.pairwise(steps):
        assert (after.h <= before.h).all()


def test_a_start_that_misleads_is_not_taken(rng):
    """Far potentials cost nothing: the Gaussian start is compared with them first."""
    x, y = torch.randn(2, 800, 3, generator=rng, dtype=torch.float64)
    T = exact_map(x, y)
    far = 5 * torch.randn(800, generator=rng, dtype=torch.float64)
    for h0 in (T.h, T.h + 3, far, torch.zeros(800)):
        again = exact_map(x, y, h0=h0)
        assert again.certified
        assert torch.equal(again.index, T.index)
        assert again.rounds <= T.rounds + 1


@pytest.mark.parametrize("kind", ["gauss", "clusters", "lattice", "outlier", "heavy"])
@pytest.mark.parametrize("d", [2, 30])
def test_a_look_bounds_every_score(kind, d):
    """Float32, displaced points and all: no score of a group exceeds its value and the slack."""
    x, y = instance(kind, "gauss", 400, d, seed=6)
    h = np.random.default_rng(0).normal(size=400)
    seen = look(x, y, h, Clock(), groups=16)
    score = (x @ y.mT).numpy() + h
    bound = seen.value.double().numpy() + seen.slack.numpy()[:, None]
    for g in range(16):
        assert (score[:, 25 * g : 25 * (g + 1)].max(1) <= bound[:, g]).all()
    assert (score.max(1) <= seen.best()).all()


@pytest.mark.parametrize("falls", [0.0, 1e-9, 1e-3, 1.0])
def test_old_bounds_serve_while_h_falls(falls, rng):
    """Priced from a look made at higher potentials, or afresh: the same pairs, the same maxima."""
    x, y = torch.randn(2, 300, 4, generator=rng, dtype=torch.float64)
    r = np.random.default_rng(0)
    h = r.normal(size=300)  # at an optimum the second best of a row may tie with its best
    seen = look(x, y, h, Clock())
    lower = h - falls * r.random(300) ** 8
    score = (x @ y.mT).numpy() + lower
    own = np.sort(score, 1)[:, -2]  # every row is beaten by one pair
    tol = np.full(300, 1e-12)
    pricing = Pricing(x, y, seen)
    found = pricing(own, lower, tol, Clock(), fallen=True)
    assert sorted(zip(found.row, found.column, strict=True)) == list(enumerate(score.argmax(1)))
    np.testing.assert_allclose(found.best, score.max(1), atol=1e-13)
    own = score.max(1)
    content = pricing(own, lower, tol, Clock(), fallen=True)
    assert len(content.row) == 0
    np.testing.assert_allclose(content.best, own, atol=1e-13)
    last = lower - falls * r.random(300) ** 8  # again, with bounds that were renewed in part
    score = (x @ y.mT).numpy() + last
    again = pricing(np.sort(score, 1)[:, -2], last, tol, Clock(), fallen=True)
    assert set(again.row) >= set(np.flatnonzero(score.max(1) - np.sort(score, 1)[:, -2] > 1e-12))
    assert (again.best <= score.max(1) + 1e-13).all()


def test_a_row_adds_its_worst_pairs_only(rng):
    x, y = torch.randn(2, 200, 3, generator=rng, dtype=torch.float64)
    h = np.zeros(200)
    score = (x @ y.mT).numpy()
    found = Pricing(x, y, look(x, y, h, Clock()))(
        score.min(1), h, np.full(200, 1e-12), Clock(), fallen=True
    )
    assert np.bincount(found.row).tolist() == [8] * 200
    assert (np.isin(np.arange(200) * 200 + score.argmax(1), found.row * 200 + found.column)).all()


def test_refined_keeps_a_matching_and_the_best_of_each_side(rng):
    x, y = torch.randn(2, 300, 20, generator=rng, dtype=torch.float64)
    ones, h = np.ones(300), brenier(x, y).numpy()
    graph, _ = candidates(x, y, h, ones, ones, Clock(), k=16, few=12)
    seen = look(x, y, h, Clock())
    small = refined(graph, seen, h, k=8, few=3)
    assert len(small.row) < len(graph.row)
    assert np.bincount(small.row, minlength=300).min() >= 8
    assert np.bincount(small.column, minlength=300).min() >= 3
    i, j = staircase(x, y, ones, ones)
    assert np.isin(i * 300 + j, small.key).all()
    own = (x @ y.mT).numpy() + h
    assert np.isin(np.arange(300) * 300 + own.argmax(1), small.key).all()


def test_the_bound_of_a_look_comes_first(rng):
    """One round before any price: what gap > 0 may stop at."""
    x, y = torch.randn(2, 500, 10, generator=rng, dtype=torch.float64)
    at = first_graph(x - x.mean(0), y - y.mean(0), None, Clock())
    first, second, *_ = assignments(at.graph, at.h, Clock(), near=True, seen=at.seen)
    assert first.violated == -1
    assert first.gain == second.gain
    assert first.ceiling >= second.ceiling >= second.gain
    assert (first.h == at.h).all()
    T = exact_map(x, y)
    for h, ceiling in ((first.h, first.ceiling), (second.h, second.ceiling)):
        score = (at.graph.x @ at.graph.y.mT).numpy() + h
        assert score.max(1).mean() - h.mean() <= ceiling + 1e-12
    assert T.history[0] > T.history[1] >= 0


@pytest.mark.parametrize("d", [2, 16])
def test_potentials_that_are_good_spare_looks(d, rng, monkeypatch):
    """A look on a sample says that they are, one at all pairs does the rest."""
    x, y = torch.randn(2, 1000, d, generator=rng, dtype=torch.float64)
    T = exact_map(0.5 * x, y)
    moved = 0.25 * x + 0.5 * y[T.index]
    h = (T.h - y.square().sum(1) / 2) / 2  # proves the same map optimal for the moved cloud
    rows = []
    real = candidates_module.look
    monkeypatch.setattr(start_module, "SAMPLE", 100)
    monkeypatch.setattr(start_module, "look", lambda *a: rows.append(len(a[0])) or real(*a))
    again = exact_map(moved, y, h0=h)
    assert torch.equal(again.index, T.index)
    assert again.certified
    assert rows == [1000]
    poor = h + torch.randn(1000, generator=rng, dtype=torch.float64)
    assert torch.equal(exact_map(moved, y, h0=poor).index, T.index)
    assert start_module._serves(moved, y, h)
    assert not start_module._serves(moved, y, poor)


@pytest.mark.parametrize("d", [1, 3, 40])
@pytest.mark.parametrize("shape", [product, radial])
def test_guesses_of_other_shapes_are_exact_for_their_maps(shape, d, rng):
    """The bound that they prove is the cost of a map that increases by coordinate, or by length."""
    x = torch.randn(200, d, generator=rng, dtype=torch.float64) ** 3
    y = x * (1 + x.square().sum(1, keepdim=True)) if shape is radial else torch.exp(x.clamp(max=9))
    order = torch.randperm(200, generator=rng)
    h = torch.empty(200, dtype=torch.float64)
    h[order] = shape(x, y[order])  # they belong to points, not places
    gain = float((x * y).sum(1).mean())
    value = float((x @ y.mT + h).max(1).values.mean() - h.mean())
    assert value == pytest.approx(gain, rel=1e-12)
    assert float(h.mean()) == pytest.approx(0, abs=1e-9 * float(h.abs().max()))


def test_the_guess_is_the_one_of_the_lowest_bound(rng):
    x = torch.randn(400, 5, generator=rng, dtype=torch.float64)
    root = torch.randn(5, 5, generator=rng, dtype=torch.float64)
    images = {
        "brenier": x @ root @ root.mT,
        "product": torch.sinh(2 * x),
        "radial": x * x.square().sum(1, keepdim=True),
    }
    guesses = {"brenier": brenier, "product": product, "radial": radial}
    for name, y in images.items():
        torch.testing.assert_close(start_module._guess(x, y, Clock()), guesses[name](x, y))


def test_best_columns_of_a_graph_and_of_a_look(rng):
    x, y = torch.randn(2, 90, 4, generator=rng, dtype=torch.float64)
    h = np.random.default_rng(0).normal(size=90)
    score = x @ y.mT + torch.from_numpy(h)
    i, j = np.divmod(np.arange(90 * 90), 90)
    assert (Graph(x, y, i, j).best_columns(h) == score.argmax(1).numpy()).all()
    assert (look(x, y, h, Clock()).best_columns() == score.argmax(1).numpy()).mean() > 0.95
    for room in (1, 500, 10**6):  # rows in blocks of 1, of 5, all
        value, column = row_best(x, y, torch.from_numpy(h), room)
        torch.testing.assert_close(value, score.max(1).values)
        assert torch.equal(column, score.argmax(1))


@pytest.mark.parametrize("kind", ["ring", "clusters", "gauss"])
@pytest.mark.parametrize("d", [3, 8])
def test_a_thin_first_graph_is_replaced_by_a_wider_one(kind, d, monkeypatch):
    """Three times the candidates: a better map and a better bound; the optimum is the same."""
    x, y = instance(kind, "gauss", 1500, d, seed=7)
    x, y = x - x.mean(0), y - y.mean(0)
    monkeypatch.setattr(exact_module, "THIN", float("inf"))
    T = exact_map(x, y)
    at = first_graph(x, y, None, Clock())
    wide = wider_graph(x, y, at, Clock())
    assert np.bincount(wide.graph.row, minlength=1500).min() >= 16
    assert np.bincount(wide.graph.column, minlength=1500).min() >= 1
    first, second = (next(assignments(s.graph, s.h, Clock(), near=s.near, seen=s.seen))
                     for s in (at, wide))  # fmt: skip
    assert second.ceiling - second.gain < first.ceiling - first.gain
    monkeypatch.setattr(exact_module, "THIN", 0.0)  # every graph is
    again = exact_map(x, y)
    assert again.certified
    assert again.primal == pytest.approx(T.primal, rel=1e-12)
    assert again.history[1] < again.history[0]
    few = exact_map(x, y, memory=memory_needed(1500, d, 30 * 1500))  # not enough for a wider one
    assert few.history[0] == pytest.approx(T.history[0], rel=1e-6)
    assert few.certified or few.status == "memory limit"


@pytest.mark.parametrize(("n", "d"), [(40, 3), (30, 1500), (1300, 1100)])
@pytest.mark.parametrize("flat", [False, True])
def test_the_first_bound_belongs_to_its_potentials(n, d, flat, rng):
    """E(h) of the start never exceeds the ceiling that comes with it."""
    x, y = torch.randn(2, n, d, generator=rng, dtype=torch.float64)
    if flat:  # each varies where the other does not
        x[:, : d // 2 + 1], y[:, d // 2 + 1 :] = 0.0, 0.0
    x, y = x - x.mean(0), y - y.mean(0)
    h, ceiling = bounded(x, y)
    value = float((x @ y.mT + h).max(1).values.mean() - h.mean())
    assert value <= ceiling + 1e-9 * (x.square().sum(1).mean() + y.square().sum(1).mean())
    if not flat:
        assert ceiling < float((x.square().sum(1) + y.square().sum(1)).mean()) / 2 + 1e-9
