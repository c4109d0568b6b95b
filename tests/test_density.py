"""log_joint is Eq. (7)/(16), a true density with its constant; its gradients are exact."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mcmcot_lite import MLP, LinearGenerator, grad_z, learning_gradient, log_joint
from mcmcot_lite.factor_analysis import log_marginal, posterior
from mcmcot_lite.freezing import frozen

torch.set_num_threads(1)
quick = settings(derandomize=True, deadline=None, max_examples=20, database=None)
F64 = torch.float64
BAD = (TypeError, ValueError)


def problem(
    n: int = 4, d: int = 2, shape: tuple[int, ...] = (1, 3, 2), seed: int = 0
) -> tuple[MLP, Tensor, Tensor, Tensor]:
    """A smooth network, latents, images and a mask, in float64."""
    rng = torch.Generator().manual_seed(seed)
    g = MLP(d, shape, hidden=(5,), activation=nn.Tanh, output="none", rng=rng).double()
    z = torch.randn(n, d, generator=rng, dtype=F64)
    x = torch.randn(n, *shape, generator=rng, dtype=F64)
    mask = torch.rand(n, *shape, generator=rng) < 0.6
    return g, z, x, mask


def batch_normed(d: int = 2) -> nn.Sequential:
    """A network with everything that a call could disturb: averages, counters, dropout."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(d, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3))


@pytest.fixture(autouse=True)
def fixed_draws() -> Iterator[None]:
    """PyTorch's own generator starts alike in every test, whatever ran before."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


class Snapshot:
    """Everything that a failed or a read-only call must leave as it was."""

    def __init__(self, g: object, *tensors: object) -> None:
        self.g = g
        self.tensors = [t for t in tensors if isinstance(t, Tensor) and not t.is_meta]
        self.was = self.state()

    def state(self) -> list[Any]:
        rows: list[Any] = [t.detach().clone() for t in self.tensors]
        rows.append(torch.get_rng_state())
        if isinstance(self.g, nn.Module):
            rows += [v.clone() for v in self.g.state_dict().values()]
            rows += [p.requires_grad for p in self.g.parameters()]
            rows += [None if p.grad is None else p.grad.clone() for p in self.g.parameters()]
            rows += [m.training for m in self.g.modules()]
            rows += [getattr(m, "track_running_stats", None) for m in self.g.modules()]
        return rows

    def unchanged(self) -> bool:
        return len(self.was) == len(now := self.state()) and all(
            torch.equal(a.nan_to_num(7.0), b.nan_to_num(7.0)) if isinstance(a, Tensor) else a == b
            for a, b in zip(self.was, now, strict=True)
        )


# --- the value ---------------------------------------------------------------------------------


@quick
@given(
    n=st.integers(1, 5),
    d=st.integers(1, 4),
    shape=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    sigma=st.floats(0.05, 5.0),
    masked=st.booleans(),
    seed=st.integers(0, 99),
)
def test_value_is_equation_7_and_16(
    n: int, d: int, shape: list[int], sigma: float, masked: bool, seed: int
) -> None:
    g, z, x, mask = problem(n, d, tuple(shape), seed)
    got = log_joint(g, z, x, sigma=sigma, mask=mask if masked else None).detach()
    assert got.shape == (n,)
    for i in range(n):
        gz = g(z[i : i + 1])[0].detach()
        squared = sum(
            float(a - b) ** 2
            for a, b, m in zip(x[i].flatten(), gz.flatten(), mask[i].flatten(), strict=True)
            if bool(m) or not masked
        )
        want = -squared / (2 * sigma**2) - sum(float(v) ** 2 for v in z[i]) / 2
        assert float(got[i]) == pytest.approx(want, rel=1e-12, abs=1e-12)


def test_mask_kinds_agree() -> None:
    g, z, x, mask = problem()
    one = mask[0]
    full = one.expand_as(x)
    for f in (log_joint, grad_z):
        want = f(g, z, x, sigma=0.5, mask=full)
        for m in (one, one.int(), one.double(), one.float(), full.contiguous()):
            assert torch.equal(f(g, z, x, sigma=0.5, mask=m), want)
        everything = f(g, z, x, sigma=0.5, mask=torch.ones_like(x))
        assert torch.equal(everything, f(g, z, x, sigma=0.5))
        nothing = f(g, z, x, sigma=0.5, mask=torch.zeros_like(x))
        prior = -z.square().sum(1) / 2 if f is log_joint else -z
        torch.testing.assert_close(nothing, prior)


@pytest.mark.parametrize("sigma", [0.1, 0.7, 3.0])
@pytest.mark.parametrize("masked", [False, True])
def test_with_its_constant_it_is_a_density_of_the_linear_model(sigma: float, masked: bool) -> None:
    """log p(x, z) - log p(z | x) = log p(x), at every z."""
    rng = torch.Generator().manual_seed(1)
    D, d, n = 6, 3, 5
    theta = torch.randn(D, d, generator=rng, dtype=F64)
    mu = torch.randn(D, generator=rng, dtype=F64)
    x = torch.randn(n, D, generator=rng, dtype=F64)
    z = 2 * torch.randn(n, d, generator=rng, dtype=F64)
    seen = torch.tensor([1, 0, 1, 1, 0, 1]).bool() if masked else torch.ones(D).bool()
    g = LinearGenerator(theta, mu)
    joint = log_joint(g, z, x, sigma=sigma, mask=seen if masked else None, constant=True)
    m, C = posterior(x[:, seen], theta[seen], sigma, mu[seen])
    conditional = torch.distributions.MultivariateNormal(m, C).log_prob(z)
    marginal = log_marginal(x[:, seen], theta[seen], sigma, mu[seen])
    torch.testing.assert_close(joint - conditional, marginal, rtol=1e-10, atol=1e-10)


def test_with_its_constant_it_integrates_to_one() -> None:
    """A non-linear g with d = 1 and one pixel: the trapezoidal rule on a fine grid."""
    z, x = torch.linspace(-9, 9, 1201, dtype=F64), torch.linspace(-9, 9, 1201, dtype=F64)
    pairs = torch.cartesian_prod(z, x)
    density = log_joint(
        lambda z: torch.sin(2 * z) + 0.3 * z**2 / (1 + z**2),
        pairs[:, :1], pairs[:, 1:], sigma=0.8, constant=True,
    ).exp()  # fmt: skip
    assert float(density.sum()) * float(z[1] - z[0]) ** 2 == pytest.approx(1.0, abs=1e-9)


def test_per_image_masks_count_their_own_pixels() -> None:
    g, z, x, mask = problem()
    both = log_joint(g, z, x, sigma=0.4, mask=mask, constant=True)
    bare = log_joint(g, z, x, sigma=0.4, mask=mask)
    pixels = mask.flatten(1).sum(1)
    want = -pixels / 2 * math.log(2 * math.pi * 0.4**2) - math.log(2 * math.pi)  # d = 2
    torch.testing.assert_close(both - bare, want.double())


# --- the gradients -----------------------------------------------------------------------------


def central(f: Callable[[Tensor], Tensor], at: Tensor, h: float = 1e-5) -> Tensor:
    """Central differences of a scalar function, entry by entry; error O(h^2)."""
    out = torch.zeros_like(at)
    for i in range(at.numel()):
        step = torch.zeros_like(at).flatten()
        step[i] = h
        step = step.view_as(at)
        out.view(-1)[i] = (f(at + step) - f(at - step)) / (2 * h)
    return out


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("sigma", [0.2, 1.5])
def test_gradients_by_finite_differences(masked: bool, sigma: float) -> None:
    g, z, x, mask = problem()
    kind = {"sigma": sigma, "mask": mask if masked else None}
    got = grad_z(g, z, x, **kind)
    want = central(lambda at: log_joint(g, at, x, **kind).sum().detach(), z)
    torch.testing.assert_close(got, want, rtol=1e-7, atol=1e-7)

    learned = learning_gradient(g, z, x, **kind)
    assert list(learned) == [name for name, _ in g.named_parameters()]
    for name, p in g.named_parameters():
        value = p.detach().clone()

        def mean_at(at: Tensor, p: nn.Parameter = p) -> Tensor:
            with torch.no_grad():
                p.copy_(at)
                return log_joint(g, z, x, **kind).mean()

        want = central(mean_at, value)
        with torch.no_grad():
            p.copy_(value)
        torch.testing.assert_close(learned[name], want, rtol=1e-7, atol=1e-7)


def test_gradients_are_the_printed_formulas() -> None:
    """Eqs. (8), (18), (17) on a linear g, by hand."""
    rng = torch.Generator().manual_seed(0)
    theta = torch.randn(5, 2, generator=rng, dtype=F64)
    g = LinearGenerator(theta)
    z = torch.randn(3, 2, generator=rng, dtype=F64)
    x = torch.randn(3, 5, generator=rng, dtype=F64)
    mask = torch.rand(3, 5, generator=rng) < 0.5
    left = mask * (x - z @ theta.T) / 0.3**2
    torch.testing.assert_close(grad_z(g, z, x, sigma=0.3, mask=mask), left @ theta - z)
    learned = learning_gradient(g, z, x, sigma=0.3, mask=mask)
    torch.testing.assert_close(learned["theta"], left.T @ z / 3)
    torch.testing.assert_close(learned["mu"], left.mean(0))


def test_log_joint_is_differentiable_in_everything() -> None:
    g, z, x, mask = problem(n=2)
    z.requires_grad_(True)
    x.requires_grad_(True)
    names = [name for name, _ in g.named_parameters()]

    def value(z: Tensor, x: Tensor, *params: Tensor) -> Tensor:
        with_params = lambda z: torch.func.functional_call(  # noqa: E731
            g, dict(zip(names, params, strict=True)), (z,)
        )
        return log_joint(with_params, z, x, sigma=0.5, mask=mask, constant=True)

    assert torch.autograd.gradcheck(value, (z, x, *g.parameters()))
    assert torch.autograd.gradgradcheck(lambda z: log_joint(g, z, x.detach(), sigma=0.5), (z,))


def test_learning_gradient_of_unused_and_fixed_parameters() -> None:
    class Partly(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(2, 3).double(), nn.Linear(2, 3).double()
            self.fixed = nn.Parameter(torch.ones(3, dtype=F64), requires_grad=False)

        def forward(self, z: Tensor) -> Tensor:
            return self.used(z) * self.fixed

    learned = learning_gradient(
        Partly(), torch.ones(4, 2, dtype=F64), torch.ones(4, 3, dtype=F64), sigma=1.0
    )
    assert set(learned) == {"used.weight", "used.bias", "unused.weight", "unused.bias"}
    assert not learned["unused.weight"].any()
    assert learned["used.weight"].any()


# --- hidden pixels, state, contexts ------------------------------------------------------------


@pytest.mark.parametrize("garbage", [math.nan, math.inf, -1e30, 0.0])
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_hidden_pixels_are_never_read(garbage: float, dtype: torch.dtype) -> None:
    g, z, x, mask = problem()
    g, z, x = g.to(dtype), z.to(dtype), x.to(dtype)
    spoilt = torch.where(mask, x, garbage)
    kind = {"sigma": 0.3, "mask": mask}
    for constant in (False, True):
        a, b = (log_joint(g, z, v, constant=constant, **kind) for v in (x, spoilt))
        assert torch.equal(a, b)
    assert torch.equal(grad_z(g, z, x, **kind), grad_z(g, z, spoilt, **kind))
    a, b = (learning_gradient(g, z, v, **kind) for v in (x, spoilt))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("training", [False, True])
def test_read_only_calls_change_nothing(training: bool) -> None:
    g = batch_normed().train(training)
    g[0].weight.grad = torch.ones_like(g[0].weight)
    z, x = torch.randn(4, 2), torch.randn(4, 3)
    before = Snapshot(g, z, x)
    grad_z(g, z, x, sigma=0.3)
    assert before.unchanged()
    g[2].eval()  # dropout would draw from PyTorch's generator
    before = Snapshot(g, z, x)
    learning_gradient(g, z, x, sigma=0.3)
    assert before.unchanged()


def test_grad_z_is_that_of_the_frozen_network() -> None:
    g = batch_normed().double()
    g[1].running_mean.copy_(torch.arange(6))
    z, x = torch.randn(4, 2, dtype=F64), torch.randn(4, 3, dtype=F64)
    got = grad_z(g, z, x, sigma=0.3)
    leaf = z.clone().requires_grad_(True)
    with frozen(g):
        log_joint(g, leaf, x, sigma=0.3).sum().backward()
    assert leaf.grad is not None
    torch.testing.assert_close(got, leaf.grad)
    assert all(p.grad is None for p in g.parameters())


def test_log_joint_uses_g_as_it_stands() -> None:
    g = batch_normed().double()
    g[2].eval()
    z, x = torch.randn(4, 2, dtype=F64), torch.randn(4, 3, dtype=F64)
    want = -(x - g(z)).square().sum(1) / (2 * 0.3**2) - z.square().sum(1) / 2
    torch.testing.assert_close(log_joint(g, z, x, sigma=0.3), want)
    assert int(g[1].num_batches_tracked) == 2  # one update a call, none for the checks


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_gradients_in_any_context(context: Callable[[], Any]) -> None:
    g, z, x, mask = problem()
    want = grad_z(g, z, x, sigma=0.3, mask=mask)
    learned = learning_gradient(g, z, x, sigma=0.3, mask=mask)
    value = log_joint(g, z, x, sigma=0.3, mask=mask).detach()
    with context():
        z, x, mask = z.clone(), x.clone(), mask.clone()  # inference tensors in inference mode
        assert torch.equal(grad_z(g, z, x, sigma=0.3, mask=mask), want)
        again = learning_gradient(g, z, x, sigma=0.3, mask=mask)
        assert torch.equal(log_joint(g, z, x, sigma=0.3, mask=mask), value)
    assert all(torch.equal(again[name], learned[name]) for name in learned)
    assert not any(v.requires_grad or v.is_inference() for v in again.values())


def test_inputs_that_require_grad_or_are_not_contiguous() -> None:
    g, z, x, mask = problem()
    want = grad_z(g, z, x, sigma=0.3, mask=mask)
    got = grad_z(g, z.clone().requires_grad_(), x.clone().requires_grad_(), sigma=0.3, mask=mask)
    assert torch.equal(got, want)
    assert not got.requires_grad
    z_t, x_t = z.mT.contiguous().mT, x.movedim(0, -1).contiguous().movedim(-1, 0)
    assert not z_t.is_contiguous()
    torch.testing.assert_close(grad_z(g, z_t, x_t, sigma=0.3, mask=mask), want)
    torch.testing.assert_close(log_joint(g, z_t, x_t, sigma=0.3), log_joint(g, z, x, sigma=0.3))


def test_results_share_no_memory_with_inputs() -> None:
    z, x = torch.randn(3, 2), torch.randn(3, 4)
    constant_g = lambda z: torch.zeros(len(z), 4)  # noqa: E731
    grad = grad_z(constant_g, z, x, sigma=1.0)
    assert torch.equal(grad, -z)  # flat likelihood: the prior alone
    before = z.clone()
    grad.zero_()
    assert torch.equal(z, before)


@pytest.mark.parametrize("sigma", [1, np.float32(1), np.int64(1), torch.tensor(1.0)])
def test_numbers_of_any_kind(sigma: float) -> None:
    g, z, x, _ = problem()
    assert torch.equal(log_joint(g, z, x, sigma=sigma), log_joint(g, z, x, sigma=1.0))


def test_extreme_sigma_stays_a_number() -> None:
    g, z, x, _ = problem()
    for sigma in (1e-14, 1e14):
        got = log_joint(g.float(), z.float(), x.float(), sigma=sigma, constant=True)
        assert not got.isnan().any()
    assert torch.isfinite(log_joint(g.double(), z, x, sigma=1e-14, constant=True)).all()


# --- bad input ---------------------------------------------------------------------------------

Z, X = torch.zeros(4, 2), torch.zeros(4, 3)
ONE_NAN = torch.zeros(4, 3).index_put(
    (torch.tensor([2]), torch.tensor([1])), torch.tensor(math.nan)
)
CASES: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"g": None}, TypeError, "g must be callable"),
    ({"g": torch.zeros(3, 2)}, TypeError, "g must be callable"),
    ({"z": None}, TypeError, "z must be a torch.Tensor"),
    ({"z": np.zeros((4, 2))}, TypeError, "z must be a torch.Tensor"),
    ({"z": Z.long()}, TypeError, "z must have a floating-point dtype"),
    ({"z": Z[0]}, ValueError, "z must have 2 axes"),
    ({"z": Z[:0]}, ValueError, "z must not be empty"),
    ({"z": Z[:, :0]}, ValueError, "z must not be empty"),
    ({"z": Z[:3]}, ValueError, "z must have one row for each of the 4 images"),
    ({"z": torch.zeros(4, 5)}, ValueError, "g must accept latents of shape (n, 5)"),
    ({"z": Z * math.nan}, ValueError, "z must be finite; got 8 NaN"),
    ({"z": Z + math.inf}, ValueError, "z must be finite"),
    ({"z": Z.double()}, ValueError, "x must have the dtype of z"),
    ({"z": Z.to("meta")}, ValueError, "z must hold values"),
    ({"x": None}, TypeError, "x must be a torch.Tensor"),
    ({"x": X.to(torch.uint8)}, TypeError, "x.float() / 255"),
    ({"x": X[:0]}, ValueError, "x must not be empty"),
    ({"x": X[0]}, ValueError, "x must have a batch axis first"),
    ({"x": torch.zeros(4, 4)}, ValueError, "the shape of x, (4, 4); got shape (4, 3)"),
    ({"x": torch.zeros(4, 1, 3)}, ValueError, "g(z) must have the shape of x"),
    ({"x": torch.zeros(4, 1)}, ValueError, "g(z) must have the shape of x"),
    ({"x": X.double()}, ValueError, "x must have the dtype of z"),
    ({"x": X.to("meta")}, ValueError, "x must hold values"),
    ({"x": ONE_NAN}, ValueError, "wherever it is visible; got NaN or infinity in image 2"),
    ({"z": Z.double(), "x": X.double()}, ValueError, "accept latents of shape (n, 2), torch.f"),
    ({"sigma": 0.0}, ValueError, "sigma must be greater than 0"),
    ({"sigma": -0.3}, ValueError, "it is a standard deviation; got -0.3. The paper uses 0.3."),
    ({"sigma": math.nan}, ValueError, "sigma"),
    ({"sigma": math.inf}, ValueError, "sigma"),
    ({"sigma": 1e-200}, ValueError, "its square must keep within float32"),
    ({"sigma": "0.3"}, TypeError, "sigma must be a real number"),
    ({"sigma": None}, TypeError, "sigma"),
    ({"sigma": True}, TypeError, "sigma"),
    ({"sigma": torch.ones(3)}, TypeError, "sigma"),
    ({"mask": [1, 0, 1]}, TypeError, "mask must be a torch.Tensor or None"),
    ({"mask": torch.ones(4)}, ValueError, "mask must have the shape of x"),
    ({"mask": torch.full((3,), 2)}, ValueError, "mask must hold only 0"),
    ({"mask": torch.ones(3, device="meta")}, ValueError, "mask must be on the device of x"),
    ({"x": ONE_NAN, "mask": torch.ones(3)}, ValueError, "wherever it is visible"),
]  # fmt: skip


@pytest.mark.parametrize("f", [log_joint, grad_z, learning_gradient])
@pytest.mark.parametrize(("change", "kind", "says"), CASES, ids=[c[2][:40] for c in CASES])
def test_bad_input(
    f: Callable[..., Any], change: dict[str, Any], kind: type[Exception], says: str
) -> None:
    g = batch_normed()
    call = {"g": g, "z": Z.clone(), "x": X.clone(), "sigma": 0.3, "mask": None} | change
    before = Snapshot(g, *call.values())
    if f is learning_gradient and "g" in change:
        says = "g must be a torch.nn.Module"
    with pytest.raises(kind) as error:
        f(call.pop("g"), call.pop("z"), call.pop("x"), **call)
    assert says in str(error.value)
    assert before.unchanged()


def broken(z: Tensor) -> Tensor:
    raise RuntimeError("broken inside")


@pytest.mark.parametrize(
    ("g", "kind", "says"),
    [
        (lambda z: (z, z), TypeError, "g(z) must be a torch.Tensor"),
        (lambda z: None, TypeError, "g(z) must be a torch.Tensor"),
        (lambda z: z[:, [0, 1, 7]], ValueError, "g must accept latents of shape (n, 2)"),
        (broken, ValueError, "the error 'RuntimeError: broken inside'"),
        (lambda z: torch.zeros(len(z), 3, dtype=F64), TypeError, "no wider than that of x"),
        (lambda z: torch.zeros(len(z), 3).long(), TypeError, "g(z) must have a floating-point"),
        (lambda z: torch.zeros(len(z), 3) + 0j, TypeError, "g(z) must have a floating-point"),
        (lambda z: torch.zeros(len(z), 3, device="meta"), ValueError, "on the device of x, cpu"),
        (lambda z: torch.full((len(z), 3), math.nan), ValueError, "Look for NaN in the parameters"),
        (lambda z: torch.zeros(1, 3), ValueError, "each row of latents; got shape (1, 3)"),
        (lambda z: torch.zeros(4, 3), ValueError, "got shape (4, 3) for 2 rows. Let"),
        (lambda z: torch.zeros(len(z), 3)[1:], ValueError, "one image for each row of latents"),
        (lambda z: z.sum(), ValueError, "g(z) must have the shape of x"),
        (lambda z: z.relu_()[:, [0, 1, 1]], ValueError, "g must accept latents"),
    ],
)  # fmt: skip
def test_bad_networks(g: Callable[[Tensor], Tensor], kind: type[Exception], says: str) -> None:
    z = Z.clone()
    for f in (log_joint, grad_z):
        with pytest.raises(kind) as error:
            f(g, z, X, sigma=0.3)
        assert says in str(error.value)
    assert torch.equal(z, Z)


def test_a_module_with_nan_weights_is_named() -> None:
    g = nn.Linear(2, 3)
    with torch.no_grad():
        g.weight[0, 0] = math.nan
    with pytest.raises(ValueError, match=r"g\(z\) must be finite"):
        log_joint(g, Z, X, sigma=0.3)


def test_lower_precision_networks_are_allowed() -> None:
    """As under autocast: g may compute in bfloat16 on float32 latents."""
    g = lambda z: torch.cat([z, z], 1)[:, :3].bfloat16()  # noqa: E731
    assert log_joint(g, Z, X, sigma=0.3).dtype == torch.float32
    assert grad_z(g, Z, X, sigma=0.3).dtype == torch.float32


def test_learning_gradient_needs_something_to_learn() -> None:
    class Detached(nn.Linear):
        def forward(self, z: Tensor) -> Tensor:
            return super().forward(z).detach()

    for g in (nn.Linear(2, 3).requires_grad_(False), Detached(2, 3), nn.Flatten()):
        x = X if not isinstance(g, nn.Flatten) else X[:, :2]
        with pytest.raises(ValueError, match="require a gradient and act on g"):
            learning_gradient(g, Z, x, sigma=0.3)


def test_a_failure_on_the_way_restores_the_buffers() -> None:
    """One image under BatchNorm in training mode: torch refuses, after it has counted the batch."""
    g = batch_normed().train()
    before = Snapshot(g)
    with pytest.raises(ValueError, match="z must have 2 rows or more: a BatchNorm"):
        log_joint(g, Z[:1], X[:1], sigma=0.3)
    with pytest.raises(ValueError, match="z must have 2 rows or more: a BatchNorm"):
        learning_gradient(g, Z[:1], X[:1], sigma=0.3)
    assert before.unchanged()


@pytest.mark.parametrize("value", [1, None, "yes"])
def test_constant_is_a_bool(value: object) -> None:
    with pytest.raises(TypeError, match="constant must be a bool"):
        log_joint(nn.Linear(2, 3), Z, X, sigma=0.3, constant=value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "error", [KeyError("a"), AttributeError("b"), ZeroDivisionError("c"), ValueError("d")]
)
def test_whatever_g_raises_is_told_with_its_cause(error: Exception) -> None:
    def g(z: Tensor) -> Tensor:
        raise error

    with pytest.raises(ValueError, match=r"g must accept latents.*" + type(error).__name__) as got:
        grad_z(g, Z, X, sigma=0.3)
    assert got.value.__cause__ is error


def test_a_wrong_signature_is_a_type_error() -> None:
    def g(z: Tensor, y: Tensor) -> Tensor:
        return z + y

    with pytest.raises(TypeError, match="g must accept latents"):
        log_joint(g, Z, X, sigma=0.3)  # type: ignore[arg-type]


def test_finite_input_that_overflows_is_an_error() -> None:
    g, z = LinearGenerator(torch.ones(3, 1)), torch.ones(2, 1)
    x = torch.full((2, 3), 3e38)
    with pytest.raises(FloatingPointError, match=r"^log_joint must fit into torch\.float32; got 2"):
        log_joint(g, z, x, sigma=0.3)
    with pytest.raises(FloatingPointError, match=r"^grad_z must fit into torch\.float32; got 2"):
        grad_z(g, z, x, sigma=0.3)
