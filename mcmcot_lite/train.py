"""fit: runs Algorithm 1 (or 3, with a mask), keeps its history, calls you back.

The algorithm itself is in :mod:`mcmcot_lite.schedules`, its settings in
:mod:`mcmcot_lite.settings`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from mcmcot_lite import checks
from mcmcot_lite.density import Network, checked, images_and_mask
from mcmcot_lite.frozen import batch_norms, frozen
from mcmcot_lite.langevin import infer
from mcmcot_lite.schedules import SCHEDULE, Iteration, Run, check_trainable, normal
from mcmcot_lite.settings import Settings, check_inside

__all__ = ["Callback", "Fit", "fit", "reconstruct"]

Callback = Callable[[Iteration], None]


@dataclass(frozen=True, eq=False)
class Fit:
    """Result of :func:`fit`.

    Attributes:
        g: the network, trained.
        z_hat: the chains at the end, (n, d).
        z: the last prior samples used, (n, d).
        history: one dict an iteration: ``k``, ``mse``, ``latent_mean`` (norm of the mean of the
            inferred latents) and ``latent_var`` (their mean variance; 0 and 1 under the prior),
            ``seconds`` since the start; at corrections also ``ot_cost`` (primal), ``ot_dual``,
            ``removed``, ``ot_converged``.
        settings: what was asked for.
        seconds: wall time.
    """

    g: nn.Module
    z_hat: Tensor
    z: Tensor
    history: tuple[dict[str, float], ...] = field(repr=False)
    settings: Settings
    seconds: float

    def curve(self, name: str) -> tuple[list[float], list[float]]:
        """(iterations, values) of one entry of the history, where it is present."""
        checks.choice("name", name, tuple(sorted({key for row in self.history for key in row})))
        rows = [row for row in self.history if name in row]
        return [row["k"] for row in rows], [row[name] for row in rows]

    def record(self) -> dict[str, object]:
        """Settings, history and seconds as plain data, for a JSON file."""
        return {
            "settings": asdict(self.settings),
            "history": [dict(row) for row in self.history],
            "seconds": self.seconds,
        }


@torch.inference_mode(False)
def fit(
    g: nn.Module,
    x: Tensor,
    settings: Settings,
    *,
    rng: torch.Generator,
    mask: Tensor | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
) -> Fit:
    """Learns g from images by Algorithm 1, or Algorithm 3 with a mask.

    Args:
        g: generator, a module, (n, d) to the shape of x; trained in place, then put in
            evaluation mode.
        x: images, (n, ...), float, inside ``settings.x_range`` wherever visible.
        settings: :class:`Settings`.
        rng: all randomness of the run, on x's device; the same seed gives the same run.
        mask: visible pixels (1), the shape of x or of one image; hidden pixels are never read.
        callbacks: each is called with every :class:`Iteration`, in a copy of its own.
        progress: show a tqdm bar.

    Returns:
        :class:`Fit`.

    Raises:
        TypeError, ValueError: on bad input, before g or rng change.
        FloatingPointError: when chains or weights diverge; names the iteration.
    """
    mask = _check_fit(g, x, settings, rng, mask)
    _check_callbacks(callbacks)
    checks.boolean("progress", progress)
    x = x.detach()
    z = normal(len(x), settings.d, like=x, rng=rng)  # input (5)
    z_hat = normal(len(x), settings.d, like=x, rng=rng)  # chains start at the prior
    optimiser = torch.optim.Adam(g.parameters(), lr=settings.lr, betas=settings.betas)
    run = Run(g, x, mask, settings, rng, optimiser)
    steps = SCHEDULE[settings.schedule](run, z_hat, z)
    history: list[dict[str, float]] = []
    begin = time.perf_counter()
    with tqdm(total=settings.iterations, disable=not progress, desc="Algorithm 1") as bar:
        for k in range(1, settings.iterations + 1):
            try:
                step = next(steps)
                _check_learned(g, step)
            except FloatingPointError as error:
                raise FloatingPointError(f"Iteration {k}: {error}") from error
            z_hat, z = step.z_hat, step.z
            history.append(_row(step, time.perf_counter() - begin))
            bar.set_postfix_str(f"mse={step.mse:.4f}", refresh=False)
            bar.update()
            for callback in callbacks:
                callback(_copied(step))
    g.eval()
    return Fit(g, z_hat, z, tuple(history), settings, time.perf_counter() - begin)


def _copied(step: Iteration) -> Iteration:
    """The iteration with latents that a callback may write into."""
    inferred, z_hat, z = (t.clone() for t in (step.inferred, step.z_hat, step.z))
    return replace(step, inferred=inferred, z_hat=z_hat, z=z)


def _row(step: Iteration, seconds: float) -> dict[str, float]:
    """The history entry of one iteration."""
    latents = step.inferred
    row = {
        "k": float(step.k),
        "mse": step.mse,
        "latent_mean": float(latents.mean(0).square().sum().sqrt()),
        "latent_var": float(latents.var(0, correction=0).mean()),
        "seconds": seconds,
    }
    if step.T is not None:
        row["ot_cost"], row["ot_dual"] = step.T.primal, step.T.dual
        row["removed"], row["ot_converged"] = step.T.removed, float(step.T.converged)
    return row


def _check_learned(g: nn.Module, step: Iteration) -> None:
    """The loss was finite before the last learning step, and g still returns numbers after it."""
    with torch.no_grad(), frozen(g):
        ok = math.isfinite(step.mse) and bool(torch.isfinite(g(step.z_hat[:2])).all())
    got, remedy = f"mse {step.mse:g}, then NaN or infinite images", "Try a smaller lr."
    checks.require(ok, "g", "must stay finite while it learns", got, remedy, FloatingPointError)


def _check_fit(
    g: nn.Module, x: Tensor, settings: Settings, rng: torch.Generator, mask: Tensor | None
) -> Tensor | None:
    """All checks of :func:`fit` on what it learns from; returns the mask as bool."""
    if not isinstance(g, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance]
        remedy = "fit trains its parameters."
        raise checks.fail("g", "must be a torch.nn.Module", checks.shown(g), remedy, TypeError)
    check_trainable(g)
    check_settings(settings)
    images_and_mask(x, mask)
    checks.rng_on(rng, x.device)
    _, visible = checked(g, x.new_zeros(len(x), settings.d), x, settings.sigma, mask)
    if visible is not None:
        remedy = "1 marks a visible pixel."
        checks.require(bool(visible.any()), "mask", "must leave a pixel visible", "none", remedy)
    check_inside(x, settings.x_range, visible)
    n = len(x)
    if batch_norms(g):
        rule, got = "must leave 2 images in every batch for BatchNorm", f"{settings.batch_size}"
        ok = n // -(-n // settings.batch_size) >= 2
        checks.require(ok, "batch_size", rule, f"{got} with n = {n}", "Choose another size.")
    return visible


def check_settings(settings: object) -> None:
    """A :class:`Settings`, not a dict of its values."""
    if not isinstance(settings, Settings):
        rule, remedy = "must be a Settings", "For example Settings(d=2)."
        raise checks.fail("settings", rule, checks.shown(settings), remedy, TypeError)


def _check_callbacks(callbacks: Sequence[Callback]) -> None:
    rule, remedy = "must be a list or tuple of functions", "Wrap a single one: callbacks=[f]."
    got = checks.shown(callbacks)
    ok = isinstance(callbacks, (list, tuple)) and all(callable(f) for f in callbacks)
    checks.require(ok, "callbacks", rule, got, remedy, TypeError)
    for i, f in enumerate(callbacks):
        checks.takes(f"callbacks[{i}]", f, None)


def reconstruct(
    g: Network,
    x: Tensor,
    settings: Settings,
    *,
    rng: torch.Generator,
    z0: Tensor | None = None,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Infers latents as in training, without correction, and decodes them.

    Args:
        g: generator, in any mode; used with fixed weights, and BatchNorm as ``settings.batchnorm``.
        x: images, (n, ...), inside ``settings.x_range`` wherever visible.
        settings: its d, sigma, s, K, batch_size, batchnorm and x_range are used.
        rng: source of the noise.
        z0: start of the chains, (n, d), e.g. ``fit(...).z_hat``; None starts at noise.
        mask: visible pixels.

    Returns:
        (images g(z_hat) of x's shape, latents z_hat (n, d)), without gradients.

    Raises:
        TypeError, ValueError, FloatingPointError: as :func:`mcmcot_lite.infer`, and ValueError on
            images outside their range.
    """
    check_settings(settings)
    st = settings
    check_inside(x, st.x_range, images_and_mask(x, mask))
    z_hat = infer(
        g,
        x,
        z0,
        d=st.d,
        sigma=st.sigma,
        s=st.s,
        K=st.K,
        rng=rng,
        mask=mask,
        batch_size=st.batch_size,
        batchnorm=st.batchnorm,
    ).z
    parts = torch.tensor_split(z_hat, -(-len(x) // st.batch_size))
    with torch.no_grad(), frozen(g, st.batchnorm):
        return torch.cat([g(part) for part in parts]), z_hat
