"""frozen: a fixed function inside, everything as before outside, whatever happens."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mcmcot_lite import frozen, mnist_generator
from mcmcot_lite.freezing import batch_norms, buffers_restored

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def fixed_draws() -> Iterator[None]:
    """PyTorch's own generator starts alike in every test, whatever ran before."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def network(track: bool = True, seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        norm = nn.BatchNorm1d(5, track_running_stats=track)
        g = nn.Sequential(nn.Linear(2, 5), norm, nn.Dropout(0.5), nn.Sequential(nn.Linear(5, 3)))
        g(torch.randn(40, 2))
    return g


def state(g: nn.Module) -> list[Any]:
    rows: list[Any] = [v.clone() for v in g.state_dict().values()]
    rows += [p.requires_grad for p in g.parameters()]
    rows += [m.training for m in g.modules()]
    rows += [getattr(m, "track_running_stats", None) for m in g.modules()]
    return rows


def same(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and all(
        torch.equal(u, v) if isinstance(u, Tensor) else u is v for u, v in zip(a, b, strict=True)
    )


def mixed(g: nn.Sequential) -> nn.Sequential:
    """Some parameters fixed, some parts in training mode: none of it may be lost."""
    g.train()
    g[2].eval()
    g[0].weight.requires_grad_(False)
    return g


@pytest.mark.parametrize("batchnorm", ["running", "batch"])
@pytest.mark.parametrize("track", [True, False])
def test_inside_fixed_outside_as_before(batchnorm: str, track: bool) -> None:
    g = mixed(network(track))
    before, z = state(g), torch.randn(6, 2)
    with frozen(g, batchnorm):
        assert not any(p.requires_grad for p in g.parameters())
        first = g(z)
        assert not first.requires_grad
        assert torch.equal(g(z), first)  # no dropout, nothing moves
    assert same(state(g), before)


def test_the_two_readings_of_batchnorm() -> None:
    g, z = network(), torch.randn(6, 2)
    h = g[0](z)
    norm = g[1]
    with frozen(g, "running"):
        running = g[1](h)
    with frozen(g, "batch"):
        batch = g[1](h)
    stored = (h - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
    own = (h - h.mean(0)) / (h.var(0, unbiased=False) + norm.eps).sqrt()
    torch.testing.assert_close(running, stored)
    torch.testing.assert_close(batch, own)


@pytest.mark.parametrize("batchnorm", ["running", "batch"])
def test_without_stored_averages_the_batch_is_used(batchnorm: str) -> None:
    g, z = network(track=False), torch.randn(6, 2)
    h = g[0](z)
    own = (h - h.mean(0)) / (h.var(0, unbiased=False) + g[1].eps).sqrt()
    with frozen(g, batchnorm):
        torch.testing.assert_close(g[1](h), own)


@pytest.mark.parametrize("batchnorm", ["running", "batch"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, GeneratorExit])
def test_errors_leave_everything_as_before(batchnorm: str, error: type[BaseException]) -> None:
    g = mixed(network())
    before = state(g)

    def fails() -> None:
        with frozen(g, batchnorm):
            raise error

    with pytest.raises(error):
        fails()
    assert same(state(g), before)


def test_any_nesting() -> None:
    g, z = mixed(network()), torch.randn(6, 2)
    want = {}
    for kind in ("running", "batch"):
        with frozen(g, kind):
            want[kind] = g(z)
    before = state(g)
    for outer, inner in itertools.product(want, want):
        with frozen(g, outer):
            inside = state(g)
            with frozen(g, inner):
                assert torch.equal(g(z), want[inner]), (outer, inner)
            assert same(state(g), inside)
            assert torch.equal(g(z), want[outer])
        assert same(state(g), before)


def test_plain_functions_pass_through() -> None:
    for g in (torch.sin, lambda z: z, network):
        for kind in ("running", "batch"):
            with frozen(g, kind):
                pass
        assert batch_norms(g) == []


def test_batch_norms_finds_them_all() -> None:
    assert len(batch_norms(network())) == 1
    assert len(batch_norms(mnist_generator(width=0.01))) == 3


@pytest.mark.parametrize("g", [None, 3, "g", torch.zeros(2)])
def test_g_must_be_callable(g: object) -> None:
    with pytest.raises(TypeError, match=r"^g must be callable; got .*function\.$"), frozen(g):
        pass


@pytest.mark.parametrize(
    ("kind", "error"), [("eval", ValueError), ("", ValueError), (None, TypeError), (1, TypeError)]
)
def test_batchnorm_is_one_of_two(kind: Any, error: type[Exception]) -> None:
    g = mixed(network())
    before = state(g)
    with (
        pytest.raises(error, match=r"^batchnorm must be one of 'running', 'batch'"),
        frozen(g, kind),
    ):
        pass
    assert same(state(g), before)


def test_buffers_are_restored_only_on_error() -> None:
    g = network().train()
    before = state(g)

    def run(error: type[Exception] | None) -> None:
        with buffers_restored(g):
            g(torch.randn(6, 2))
            if error is not None:
                raise error

    with pytest.raises(ValueError, match=r"^$"):
        run(ValueError)
    assert same(state(g), before)
    run(None)
    assert not same(state(g), before)
    with buffers_restored(torch.sin):
        pass
