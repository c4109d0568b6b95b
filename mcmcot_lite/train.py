"""fit: runs Algorithm 1 (or 3, with a mask), keeps its history, calls you back, saves itself.

The algorithm itself is in :mod:`mcmcot_lite.schedules`, its settings in
:mod:`mcmcot_lite.settings`, how it is computed in :mod:`mcmcot_lite.engine`, and what is saved in
:mod:`mcmcot_lite.snapshot`.
"""

from __future__ import annotations

import signal
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from mcmcot_lite import checks
from mcmcot_lite.checkpoint import Checkpoints, as_folder
from mcmcot_lite.density import Network, checked, images_and_mask
from mcmcot_lite.engine import LOW, Compute, Engine, as_float
from mcmcot_lite.freezing import batch_norms, frozen
from mcmcot_lite.langevin import infer
from mcmcot_lite.learning import check_trainable
from mcmcot_lite.memory import chosen_chunk
from mcmcot_lite.schedules import (
    Iteration,
    Run,
    State,
    batches_in,
    check_sound,
    iterations,
    normal,
)
from mcmcot_lite.settings import Settings, check_inside
from mcmcot_lite.signals import Stop, Stopped, listening
from mcmcot_lite.snapshot import Progress, fingerprint, restore, snapshot, snapshot_bytes
from mcmcot_lite.world import ALONE, World

__all__ = ["Callback", "Fit", "fit", "history_row", "reconstruct"]

Callback = Callable[[Iteration], None]
GONE = (OSError, ValueError)  # of a write to a pipe, a terminal or a file that is no more


@dataclass(frozen=True, eq=False)
class Fit:
    """Result of :func:`fit`.

    Attributes:
        g: the network, trained.
        z_hat: the chains at the end, (n, d).
        z: the last prior samples used, (n, d).
        history: one dict an iteration: ``k``, ``mse``, ``latent_mean`` (norm of the mean of the
            inferred latents) and ``latent_var`` (their mean variance; 0 and 1 under the prior),
            ``seconds`` since the start, of which ``inference_seconds``, ``learning_seconds`` and
            ``transport_seconds`` in this iteration; at corrections also ``ot_cost`` (primal),
            ``ot_dual``, ``removed``, ``ot_converged``.
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
    compute: Compute | None = None,
    out: str | Path | None = None,
    every: float = 300.0,
    world: World = ALONE,
) -> Fit:
    """Learns g from images by Algorithm 1, or Algorithm 3 with a mask.

    Args:
        g: generator, a module, (n, d) to the shape of x; trained in place, then put in
            evaluation mode.
        x: images, (n, ...): float, inside ``settings.x_range`` wherever visible; or uint8, whose 0
            to 255 stand for that range, a quarter of the memory.
        settings: :class:`Settings`.
        rng: all randomness of the run, on x's device; the same seed gives the same run.
        mask: visible pixels (1), the shape of x or of one image; hidden pixels are never read. An
            image that shows nothing is allowed, its latent is a draw of the prior; a mask that
            shows no pixel of any image is refused.
        callbacks: each is called with every :class:`Iteration`, in a copy of its own.
        progress: show a tqdm bar.
        compute: precision, memory and compilation; see :class:`Compute`.
        out: folder for checkpoints. A run that stopped there, for whatever reason, goes on from its
            last one, on a CPU to the same bits as if it had never stopped. Ctrl-C and SIGTERM then
            save before they end it.
        every: least seconds between two checkpoints; 0 saves after every batch.
        world: this process among those that share the run. Each passes its own images, those with
            numbers rank, rank + size, ..., and an rng in the same state.

    Returns:
        :class:`Fit`.

    Raises:
        TypeError, ValueError: on bad input, or a folder of another run, before g or rng change.
        FloatingPointError: when chains or weights diverge; names the iteration. The checkpoints
            before it stay.
        OSError: when the folder cannot be written.
        RuntimeError: when another process writes there.
        Stopped: after Ctrl-C or SIGTERM, saved; a KeyboardInterrupt.
    """
    mask = _check_fit(g, x, settings, rng, mask, world)
    _check_callbacks(callbacks)
    checks.boolean("progress", progress)
    every = checks.number("every", every, above=0.0, closed=(True, False), remedy="Try 300.")
    compute = _check_compute(compute)
    folder = None if out is None else Checkpoints(as_folder("out", out))
    if folder is None:
        run = _new_run(g, x.detach(), mask, settings, rng, compute, world)
        with run.engine.running(g, world):
            return _train(run, Progress([]), callbacks, progress, None)
    with folder.locked(first=world.first), listening() as stop:
        with checks.restored(rng):  # a folder that is refused costs no random number
            run = _new_run(g, x.detach(), mask, settings, rng, compute, world)
            saver = _Saver(run, folder, every, stop)
            done = saver.begin()
        with run.engine.running(g, world):
            return _train(run, done, callbacks, progress, saver)


def _new_run(
    g: nn.Module,
    x: Tensor,
    mask: Tensor | None,
    st: Settings,
    rng: torch.Generator,
    compute: Compute,
    world: World,
) -> Run:
    """A run before its first batch."""
    like = next(g.parameters())
    like = like.detach() if x.dtype == torch.uint8 else x
    images = torch.tensor([len(x)], device=x.device)
    world.add(images)
    n = int(images)
    _check_batches(g, n, st.batch_size)
    world.share(*g.state_dict().values())
    z = normal(n, st.d, like=like, rng=rng)  # input (5)
    z_hat = normal(n, st.d, like=like, rng=rng)  # chains start at the prior
    state = State(world.rows(z_hat).clone(), z)
    engine = Engine(compute, x.device, like.dtype)
    if compute.chunk is None:
        batch = -(-n // -(-n // st.batch_size))
        rows, low = -(-batch // world.size), LOW.get(engine.precision, engine.dtype)
        engine.chunk = chosen_chunk(g, rows, tuple(x.shape[1:]), st, x.device, low)
    engine.lay_out(g)
    fused = {"fused": True} if x.device.type == "cuda" else {}
    adam = torch.optim.Adam(g.parameters(), lr=st.lr, betas=st.betas, **fused)
    return Run(g, x, mask, n, st, rng, adam, engine, state, world)


def _train(
    run: Run,
    done: Progress,
    callbacks: Sequence[Callback],
    progress: bool,
    save: _Saver | None,
) -> Fit:
    """From the present state to the end."""
    st, first = run.settings, run.world.first
    begin = time.perf_counter() - done.seconds
    total, before = batches_in(run)
    with _Bar(total, before, progress and first) as bar:
        for step in iterations(run):
            done.seconds = time.perf_counter() - begin
            if step is None:
                bar.advance()
                if save:
                    save(done, end=False)
                continue
            done.history.append(history_row(step, done.seconds))
            bar.tell(f"{step.k}/{st.iterations} mse={step.mse:.4f}")
            for callback in callbacks if first else ():
                callback(_copied(step))
            if save:
                save(done, end=step.k == st.iterations)
    run.g.eval()
    z_hat = run.world.gather(run.state.z_hat, run.n)
    return Fit(run.g, z_hat, run.state.z, tuple(done.history), st, done.seconds)


class _Bar:
    """A progress bar. A terminal that is gone ends the bar, and not the run."""

    def __init__(self, total: int, done: int, shown: bool) -> None:
        self.bar: Any = None
        with suppress(*GONE):
            there = shown and sys.stderr is not None  # pyright: ignore[reportUnnecessaryComparison]
            self.bar = tqdm(
                None, "Algorithm 1", total, initial=done, disable=not there, unit="batch"
            )

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._try("close")

    def advance(self) -> None:
        """One batch more."""
        self._try("update")

    def tell(self, text: str) -> None:
        """What stands at its end, from the next batch on."""
        self._try("set_postfix_str", text, refresh=False)

    def _try(self, name: str, *values: object, **options: object) -> None:
        if self.bar is None:
            return
        try:
            getattr(self.bar, name)(*values, **options)
        except GONE:
            self.bar.disable, self.bar = True, None


class _Saver:
    """Writes checkpoints of a run when it is time, or when somebody asks the run to stop."""

    def __init__(self, run: Run, folder: Checkpoints, every: float, stop: Stop) -> None:
        self.run, self.folder, self.every, self.stop = run, folder, every, stop
        self.images = fingerprint(run)
        self.last = time.monotonic()

    def begin(self) -> Progress:
        """Goes on from the last checkpoint, or writes the first: so a folder that cannot hold one
        is found before any work is done.
        """
        loaded = self.folder.load()
        self._agree(loaded)
        if self.run.world.first:
            self.folder.check_room(snapshot_bytes(self.run))
        self.run.world.wait()  # before process 0 writes one
        if loaded is not None:
            return restore(self.run, loaded[0], self.images)
        progress = Progress([])
        self._save(progress)
        return progress

    def _agree(self, loaded: tuple[dict[str, Any], Path] | None) -> None:
        """All processes have read the same file."""
        world, name = self.run.world, "no checkpoint" if loaded is None else loaded[1].name
        stamp = -1 if loaded is None else zlib.crc32(loaded[1].read_bytes()[-64:])  # its SHA-256
        mine = torch.tensor([stamp], device=self.run.state.z_hat.device)
        first = mine.clone()
        world.share(first)
        if world.any(bool(first != mine), mine.device):
            rule, got = (
                "must show all processes the same checkpoint",
                f"{name} in process {world.rank}",
            )
            raise checks.fail("out", rule, got, "Use a folder that all of them see.", RuntimeError)

    def __call__(self, progress: Progress, *, end: bool) -> None:
        """After a batch or an iteration."""
        world, device = self.run.world, self.run.state.z_hat.device
        late = world.first and time.monotonic() - self.last >= self.every
        asked = world.any(bool(self.stop), device)
        if asked or end or world.any(late, device):
            self._save(progress)
        if asked and not end:
            k, of = self.run.state.k, self.run.settings.iterations
            text = f"Stopped in iteration {k} of {of}; saved in {self.folder.folder}. "
            number = self.stop.signal or signal.SIGTERM  # another process was asked
            raise Stopped(text + "The same call goes on from there.", number)

    def _save(self, progress: Progress) -> None:
        check_sound(self.run)  # what is stored can be gone on with
        data = snapshot(self.run, progress, self.images)
        if self.run.world.first:
            self.folder.save(data)
        self.run.world.wait()
        self.last = time.monotonic()


def _copied(step: Iteration) -> Iteration:
    """The iteration with latents that a callback may write into."""
    inferred, z_hat, z = (t.clone() for t in (step.inferred, step.z_hat, step.z))
    return replace(step, inferred=inferred, z_hat=z_hat, z=z)


def history_row(step: Iteration, seconds: float) -> dict[str, float]:
    """The history entry of one iteration."""
    latents = step.inferred
    row = {
        "k": float(step.k),
        "mse": step.mse,
        "latent_mean": float(latents.mean(0).square().sum().sqrt()),
        "latent_var": float(latents.var(0, correction=0).mean()),
        "seconds": seconds,
    }
    row |= {f"{name}_seconds": value for name, value in step.seconds.items()}
    if step.T is not None:
        row["ot_cost"], row["ot_dual"] = step.T.primal, step.T.dual
        row["removed"], row["ot_converged"] = step.T.removed, float(step.T.converged)
    return row


def _check_compute(compute: Compute | None) -> Compute:
    """A :class:`Compute`, or the default."""
    if compute is None:
        return Compute()
    if not isinstance(compute, Compute):  # pyright: ignore[reportUnnecessaryIsInstance]
        rule, remedy = "must be a Compute or None", "For example Compute(precision='fp32')."
        raise checks.fail("compute", rule, checks.shown(compute), remedy, TypeError)
    return compute


def _check_fit(
    g: nn.Module,
    x: Tensor,
    settings: Settings,
    rng: torch.Generator,
    mask: Tensor | None,
    world: World,
) -> Tensor | None:
    """All checks of :func:`fit` on what it learns from; returns the mask as bool."""
    if not isinstance(g, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance]
        remedy = "fit trains its parameters."
        raise checks.fail("g", "must be a torch.nn.Module", checks.shown(g), remedy, TypeError)
    check_trainable(g)
    check_settings(settings)
    sample = _numbers(g, x, settings.x_range)
    images_and_mask(sample, None if sample is not x else mask)
    checks.rng_on(rng, x.device)
    zeros = sample.new_zeros(len(sample), settings.d)
    given = None if sample is not x else mask
    _, visible = checked(g, zeros, sample, settings.sigma, given, drawn=True)
    if sample is not x:
        visible = checks.mask_for(x, mask)
    if visible is not None:
        remedy = "1 marks a visible pixel."
        checks.require(bool(visible.any()), "mask", "must leave a pixel visible", "none", remedy)
    if sample is x:
        check_inside(x, settings.x_range, visible)
    if world.size == 1:  # several processes have yet to count their images
        _check_batches(g, len(x), settings.batch_size)
    return visible


def _check_batches(g: nn.Module, n: int, batch_size: int) -> None:
    """BatchNorm can normalise every batch."""
    if batch_norms(g):
        rule, got = "must leave 2 images in every batch for BatchNorm", f"{batch_size} with n = {n}"
        ok = n // -(-n // batch_size) >= 2
        checks.require(ok, "batch_size", rule, got, "Choose another size.")


def _numbers(g: nn.Module, x: Tensor, x_range: tuple[float, float] | None) -> Tensor:
    """x, or its first images as numbers where they are bytes, which cannot be out of range."""
    if not isinstance(x, Tensor) or x.dtype != torch.uint8:  # pyright: ignore[reportUnnecessaryIsInstance]
        return x
    dtypes = [p.dtype for p in g.parameters() if p.dtype.is_floating_point]
    return as_float(x[:2], x_range, dtypes[0] if dtypes else torch.float32)


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
