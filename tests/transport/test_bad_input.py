"""Every argument of every public function of the package, wrong in every way that it can be."""

from __future__ import annotations

import math

import pytest
import torch

from mcmcot_lite.transport import (
    auction_map,
    certify,
    dual_value,
    exact_map,
    laguerre_cells,
    mix,
    semidual_map,
    transport,
)
from mcmcot_lite.transport.semidual import repair

A, B = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0))
H = torch.zeros(6)
NAN = A.clone()
NAN[3, 1] = math.nan
INF = A.clone()
INF[0, 0] = math.inf

# (value, exception, words of the message): what any function of two clouds must say of the first
CLOUD = {
    "none": (None, TypeError, "must be a torch.Tensor"),
    "list": ([[1.0]], TypeError, "must be a torch.Tensor"),
    "numpy": (A.numpy(), TypeError, "torch.as_tensor"),
    "integers": (torch.ones(6, 3, dtype=torch.long), TypeError, "floating-point"),
    "bool": (torch.ones(6, 3, dtype=torch.bool), TypeError, "floating-point"),
    "complex": (torch.ones(6, 3, dtype=torch.cfloat), TypeError, "floating-point"),
    "vector": (torch.ones(6), ValueError, "2 axes"),
    "three axes": (torch.ones(6, 3, 1), ValueError, "2 axes"),
    "scalar": (torch.tensor(1.0), ValueError, "2 axes"),
}
SECOND = {
    "none": (None, TypeError, "must be a torch.Tensor"),
    "integers": (torch.ones(6, 3, dtype=torch.long), TypeError, "floating-point"),
    "vector": (torch.ones(6), ValueError, "shape"),
    "other n": (B[:5], ValueError, r"shape \(6, 3\)"),
    "other d": (B[:, :2], ValueError, r"shape \(6, 3\)"),
    "other dtype": (B.double(), ValueError, "dtype of z_hat, torch.float32"),
    "other device": (B.to("meta"), ValueError, "device of z_hat, cpu"),
    "nan": (NAN, ValueError, "finite.*1 NaN or infinite entries of 18"),
    "inf": (INF, ValueError, "finite"),
}
FINITE = {
    "nan": (NAN, ValueError, "finite.*1 NaN or infinite entries of 18"),
    "inf": (INF, ValueError, "finite"),
}
POTENTIALS = {
    "none": (None, TypeError, "must be a torch.Tensor"),
    "list": ([0.0] * 6, TypeError, "must be a torch.Tensor"),
    "integers": (torch.zeros(6, dtype=torch.long), TypeError, "floating-point"),
    "other n": (torch.zeros(5), ValueError, r"shape \(6,\)"),
    "column": (torch.zeros(6, 1), ValueError, r"shape \(6,\)"),
    "other device": (torch.zeros(6, device="meta"), ValueError, "device"),
    "nan": (torch.full((6,), math.nan), ValueError, "finite"),
}
SHARE = {  # eps in [0, 1)
    "negative": (-0.1, ValueError, r"lie in \[0, 1\).*0\.05"),
    "one": (1.0, ValueError, r"\[0, 1\)"),
    "nan": (math.nan, ValueError, r"\[0, 1\)"),
    "string": ("0.05", TypeError, "real number"),
    "none": (None, TypeError, "real number"),
    "bool": (False, TypeError, "real number"),
}
STATE = {
    "none": (None, TypeError, "torch.Generator"),
    "seed": (0, TypeError, "torch.Generator"),
}


def cases(table):
    return pytest.mark.parametrize(("value", "kind", "words"), table.values(), ids=table.keys())


def refuses(kind, name, words, call):
    """The error names the argument and the rule, and nothing has changed."""
    inputs = A.clone(), B.clone(), H.clone()
    with pytest.raises(kind, match=words) as caught:
        call()
    assert str(caught.value).startswith(name)
    for now, was in zip((A, B, H), inputs, strict=True):
        assert torch.equal(now, was)


def generator():
    return torch.Generator().manual_seed(5)


FUNCTIONS = {
    "exact_map": lambda a, b: exact_map(a, b),
    "exact_map, sparse": lambda a, b: exact_map(a, b, gap=0.1),
    "auction_map": lambda a, b: auction_map(a, b),
    "certify": lambda a, b: certify(a, b, exact_map(A, B)),
    "semidual_map": lambda a, b: semidual_map(a, b, rng=generator()),
    "transport semidual": lambda a, b: transport(a, b, method="semidual", rng=generator()),
    "transport": lambda a, b: transport(a, b),
    "transport exact": lambda a, b: transport(a, b, method="exact", rng=generator()),
    "dual_value": lambda a, b: dual_value(a, b, H),
    "laguerre_cells": lambda a, b: laguerre_cells(a, b, H),
    "mix": lambda a, b: mix(a, b, exact_map(A, B), 0.5),
    "TransportMap": lambda a, b: exact_map(A, B)(a, b),
}
functions = pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS.keys())


@functions
@cases(CLOUD | FINITE)
def test_first_cloud(f, value, kind, words):
    refuses(kind, "z_hat", words, lambda: f(value, B))


@functions
def test_first_cloud_empty(f):
    empty = torch.ones(0, 3)
    refuses(ValueError, "z_hat", "must not be empty", lambda: f(empty, empty))
    refuses(ValueError, "z_hat", "must not be empty", lambda: f(A[:, :0], A[:, :0]))


@functions
def test_both_clouds_on_a_device_without_values(f):
    refuses(ValueError, "z", "device", lambda: f(A.to("meta"), B.to("meta")))


@functions
@cases(SECOND)
def test_second_cloud(f, value, kind, words, request):
    if f is FUNCTIONS["laguerre_cells"] and request.node.callspec.id.startswith("other n"):
        own = laguerre_cells(A, value, H[: len(value)])  # here the two numbers may differ
        assert own.shape == (len(A),)
        assert int(own.max()) < len(value)
        return
    refuses(kind, "z", words.replace("(6", "(.*"), lambda: f(A, value))


@pytest.mark.parametrize("f", [dual_value, laguerre_cells])
@cases(POTENTIALS)
def test_h(f, value, kind, words):
    refuses(kind, "h", words, lambda: f(A, B, value))


@pytest.mark.parametrize("method", ["auto", "semidual", "exact", "auction"])
@cases({k: v for k, v in POTENTIALS.items() if k != "none"})
def test_h0(method, value, kind, words):
    rng = generator()
    call = lambda: transport(A, B, method=method, rng=rng, h0=value)  # noqa: E731
    refuses(kind, "h0", words, call)
    assert torch.equal(rng.get_state(), generator().get_state())


@pytest.mark.parametrize("method", ["auto", "semidual", "exact", "auction"])
@cases(SHARE)
def test_eps(method, value, kind, words):
    rng = generator()
    refuses(kind, "eps", words, lambda: transport(A, B, method=method, rng=rng, eps=value))
    assert torch.equal(rng.get_state(), generator().get_state())


@pytest.mark.parametrize("method", ["semidual"])
@cases(STATE)
def test_rng(method, value, kind, words):
    refuses(kind, "rng", words, lambda: transport(A, B, method=method, rng=value))


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("max_steps", 0, ValueError),
        ("max_steps", 2.0, TypeError),
        ("max_steps", True, TypeError),
        ("max_steps", None, TypeError),
        ("decay", 0.0, ValueError),
        ("decay", 1.0, ValueError),
        ("decay", math.nan, ValueError),
        ("decay", "0.9", TypeError),
    ],
)
def test_limits_of_the_search(name, value, kind):
    rng = generator()
    refuses(kind, name, None, lambda: semidual_map(A, B, rng=rng, **{name: value}))
    assert torch.equal(rng.get_state(), generator().get_state())


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        ("sinkhorn", ValueError, "'auto', 'semidual', 'exact', 'auction'"),
        ("", ValueError, "'auto', 'semidual', 'exact', 'auction'"),
        (None, TypeError, "'auto', 'semidual', 'exact', 'auction'"),
        (1, TypeError, "'auto', 'semidual', 'exact', 'auction'"),
    ],
)
def test_method(value, kind, words):
    refuses(kind, "method", words, lambda: transport(A, B, method=value, rng=generator()))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (-0.1, ValueError),
        (1.1, ValueError),
        (math.nan, ValueError),
        (math.inf, ValueError),
        ("0.5", TypeError),
        (None, TypeError),
        (True, TypeError),
        (torch.tensor([0.5]), TypeError),
    ],
)
def test_alpha(value, kind):
    T = exact_map(A, B)
    refuses(kind, "alpha", None, lambda: mix(A, B, T, value))


@pytest.mark.parametrize("value", [None, 3, torch.arange(6), lambda a, b: b])
def test_map(value):
    refuses(TypeError, "T", "TransportMap", lambda: mix(A, B, value, 0.5))


def test_map_of_other_clouds():
    T = exact_map(A[:4], B[:4])
    for call in (lambda: mix(A, B, T, 0.5), lambda: T(A, B)):
        refuses(ValueError, "z_hat", "the 4 points that the map was computed for.*n = 6", call)


@pytest.mark.parametrize(
    ("cell", "n", "kind", "name"),
    [
        ([0, 1], 2, TypeError, "cell"),
        (torch.zeros(3), 3, TypeError, "cell"),
        (torch.zeros(3, 1, dtype=torch.long), 3, ValueError, "cell"),
        (torch.tensor([0, 3]), 3, ValueError, "cell"),
        (torch.tensor([0, -1]), 3, ValueError, "cell"),
        (torch.tensor([0, 1]), 0, ValueError, "n"),
        (torch.tensor([0, 1]), 2.5, TypeError, "n"),
    ],
)
def test_repair(cell, n, kind, name):
    refuses(kind, name, None, lambda: repair(cell, n, generator()))


def test_numbers_of_other_kinds_are_welcome():
    import numpy as np

    T = semidual_map(
        A, B, eps=np.float32(0.25), rng=generator(), max_steps=np.int64(7), decay=torch.tensor(0.5)
    )
    S = semidual_map(A, B, eps=0.25, rng=generator(), max_steps=7, decay=0.5)
    assert torch.equal(T.index, S.index)


LIMITS = [
    ("gap", -1e-3, ValueError),
    ("gap", 1.0, ValueError),
    ("gap", math.nan, ValueError),
    ("gap", "0.1", TypeError),
    ("gap", None, TypeError),
    ("gap", True, TypeError),
    ("time_limit", -1, ValueError),
    ("time_limit", math.inf, ValueError),
    ("time_limit", math.nan, ValueError),
    ("time_limit", "1 s", TypeError),
    ("progress", 1, TypeError),
    ("progress", None, TypeError),
]


@pytest.mark.parametrize("f", [exact_map, auction_map, transport])
@pytest.mark.parametrize(("name", "value", "kind"), LIMITS)
def test_limits_of_the_solvers(f, name, value, kind):
    refuses(kind, name, None, lambda: f(A, B, **{name: value}))


@pytest.mark.parametrize("f", [exact_map, transport])
@pytest.mark.parametrize(
    ("value", "kind"),
    [(0, ValueError), (-5.0, ValueError), (math.nan, ValueError), ("1 GB", TypeError)],
)
def test_memory(f, value, kind):
    method = {"method": "exact"} if f is transport else {}
    refuses(kind, "memory", None, lambda: f(A, B, memory=value, **method))


def test_a_budget_that_is_too_small_names_what_is_needed():
    refuses(ValueError, "memory", r"at least \d+ MiB for n = 6", lambda: exact_map(A, B, memory=1))


@pytest.mark.parametrize("f", [exact_map, auction_map, transport])
@cases({k: v for k, v in POTENTIALS.items() if k != "none"})
def test_warm_starts(f, value, kind, words):
    refuses(kind, "h0", words, lambda: f(A, B, h0=value))


@pytest.mark.parametrize("value", [None, 3, torch.arange(6)])
def test_certify_wants_a_map(value):
    refuses(TypeError, "T", "TransportMap", lambda: certify(A, B, value))


def test_certify_wants_the_clouds_of_the_map():
    refuses(ValueError, "z_hat", "6 points", lambda: certify(A[:5], B[:5], exact_map(A, B)))


def test_more_targets_than_sources_are_refused_with_the_way_out():
    for f in (exact_map, auction_map, transport):
        refuses(ValueError, "z", "shape", lambda f=f: f(A, torch.cat([B, B])))
