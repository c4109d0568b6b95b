r"""Algorithm 1, line by line, in its two orders.

The printed algorithm, one iteration k, with the line numbers of the paper::

    z_hat = infer(g, x, z_hat)                # 6   K Langevin steps for every image, Eq. (9)
    if k % L == 0:                            # 8
        T_hat = transport(z_hat, z)           # 9   Algorithm 2
        z_hat = mix(z_hat, z, T_hat, alpha)   # 10  Eq. (12)
    learn(g, x, z_hat)                        # 13  Eqs. (5), (6): Adam on the mean of Eq. (7)

Here it is data: :func:`printed` names the stages of an iteration, a stage is work on one batch of
images after another, and :func:`iterations` does it. :func:`released` is the order of the authors'
script: each batch takes K steps and L2 learning steps at once, L passes over the data make one
iteration, then one correction, then ``regression`` passes of plain learning on the corrected pairs.
Departs: chains start at independent prior draws, and all pairs are regressed, where the script
starts the chains at the targets and regresses the matched pairs only. With a mask the same lines
are Algorithm 3 (Eqs. 15 to 19); with alpha = 0 they are alternating back-propagation (ABP).

A run can stop after any batch and go on from its :class:`State`, to the same bits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from statistics import fmean
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mcmcot_lite import checks
from mcmcot_lite.engine import Engine, out_of_memory
from mcmcot_lite.freezing import frozen
from mcmcot_lite.settings import Settings
from mcmcot_lite.transport import TransportMap, mix, transport
from mcmcot_lite.transport.scan import shared
from mcmcot_lite.world import ALONE, World

__all__ = [
    "SCHEDULE",
    "Iteration",
    "Run",
    "Stage",
    "State",
    "batches_in",
    "check_sound",
    "iterations",
    "named",
    "printed",
    "released",
]

SOME = 2  # chains whose images are looked at before a state is trusted


@dataclass(frozen=True, eq=False)
class Iteration:
    """State after one iteration, as a callback receives it.

    Attributes:
        k: its number, from 1.
        inferred: latents as inference left them, before any correction, (n, d).
        z_hat: latents at the end of the iteration (the chains), (n, d).
        z: prior samples of the last correction, (n, d).
        T: transport map of this iteration, or None without a correction.
        mse: mean squared error per visible pixel, over the learning steps of the last pass.
        seconds: what "inference", "transport" and "learning" took in it.
    """

    k: int
    inferred: Tensor
    z_hat: Tensor
    z: Tensor
    T: TransportMap | None
    mse: float
    seconds: dict[str, float]


@dataclass(eq=False)
class State:
    """All that a run carries from one batch to the next, besides the weights and the optimiser.

    Attributes:
        z_hat: the chains of this process's images, (m, d); written in place.
        z: prior samples, (n, d), the same in every process.
        h: potentials of the last map, a warm start for the next.
        k, stage, batch: the next batch to do: iteration (from 1), stage and batch (from 0).
        order: the images in the order of the present stage, (n,).
        inferred, T: as in :class:`Iteration`, for this process's images.
        errors: mean squared errors of the batches learned in the last pass.
        seconds: as in :class:`Iteration`, so far.
    """

    z_hat: Tensor
    z: Tensor
    h: Tensor | None = None
    k: int = 1
    stage: int = 0
    batch: int = 0
    order: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))
    inferred: Tensor | None = None
    T: TransportMap | None = None
    errors: list[float] = field(default_factory=list[float])
    seconds: dict[str, float] = field(default_factory=dict[str, float])


@dataclass(eq=False)
class Run:
    """What the stages work with. x and mask hold this process's images; there are n in all."""

    g: nn.Module
    x: Tensor
    mask: Tensor | None
    n: int
    settings: Settings
    rng: torch.Generator
    optimiser: torch.optim.Optimizer
    engine: Engine
    state: State
    world: World = ALONE

    def own(self, i: Tensor) -> tuple[Tensor, Tensor]:
        """Of the batch i: this process's rows of x, and their places in the batch."""
        place = (i % self.world.size == self.world.rank).nonzero()[:, 0]
        return i[place] // self.world.size, place

    def normal(self, m: int) -> Tensor:
        """N(0, I) for m latents."""
        return normal(m, self.settings.d, like=self.state.z_hat, rng=self.rng)

    def noise(self, m: int, place: Tensor) -> Iterator[Tensor]:
        """What K steps of m chains draw, (m, d) each: the rows of this process."""
        for _ in range(self.settings.K):
            yield self.normal(m)[place]

    @contextmanager
    def phase(self, name: str) -> Generator[None]:
        """Context whose seconds count as those of a phase; each ends by waiting for the device."""
        begin = time.perf_counter()
        yield
        spent = self.state.seconds
        spent[name] = spent.get(name, 0.0) + time.perf_counter() - begin

    def visible(self, rows: Tensor) -> Tensor | None:
        """The mask of some of this process's images."""
        return None if self.mask is None else self.mask[rows]


class Stage(NamedTuple):
    """Work on each batch of a pass over the images, in order or shuffled; or on all at once."""

    work: Callable[[Run, Tensor], None]
    order: str  # "sorted", "random" or "all"


def infer(run: Run, i: Tensor) -> None:
    """Line 6, for the images i: Eq. (9), Eq. (19) with a mask."""
    st, z_hat = run.settings, run.state.z_hat
    rows, place = run.own(i)
    start = z_hat[rows] if st.chains == "persistent" else run.normal(len(i))[place]
    x, mask, noise = run.x[rows], run.visible(rows), run.noise(len(i), place)
    with run.phase("inference"):
        z_hat[rows] = run.engine.infer(run.g, start, x, mask, noise, st, run.world)


def correct(run: Run, _: Tensor) -> None:
    """Lines 9 and 10."""
    st, now = run.settings, run.state
    now.inferred = now.z_hat
    if st.targets == "fresh":
        now.z = run.normal(run.n)
    z_hat = run.world.gather(now.z_hat, run.n)
    # The exact solver starts as well by itself: benchmarks/transport.py, group "warm".
    keeps = st.reuse_h and st.targets == "fixed" and st.transport == "semidual"
    h0 = now.h if keeps else None
    with run.phase("transport"), shared(run.world), room(st.transport, z_hat):
        T = transport(z_hat, now.z, method=st.transport, eps=st.eps, rng=run.rng, h0=h0)  # 9
    run.world.share(T.index, T.bijection, T.h)  # to the bit, on machines of different kinds
    now.z_hat = run.world.rows(mix(z_hat, now.z, T, st.alpha)).clone()  # 10
    now.T, now.h = T, T.h.clone()  # a callback may write into T


@contextmanager
def room(method: str, z_hat: Tensor) -> Generator[None, None, None]:
    """Around a map: it has no batch to halve, so where memory ends, the error says what to try."""
    try:
        yield
    except Exception as error:
        if not out_of_memory(error):
            raise
        n, d = z_hat.shape
        rule = f"must fit into the memory of {z_hat.device}"
        got = f"none left, for the map of {n} latents of {d} numbers by '{method}'"
        other = "transport='semidual', which needs the least; " if method != "semidual" else ""
        remedy = f"Try {other}fewer images, or another device. Checkpoints made before it stay."
        raise checks.fail("transport", rule, got, remedy, MemoryError) from error


def learn(run: Run, i: Tensor, steps: int | None = None) -> None:
    """Line 13, L2 times, on the pairs of the images i: Eqs. (5) to (7), (17)."""
    rows, _ = run.own(i)
    pairs = run.x[rows], run.state.z_hat[rows], run.visible(rows)
    L2 = run.settings.L2 if steps is None else steps
    with run.phase("learning"):
        errors = [
            run.engine.learn(run.g, *pairs, run.optimiser, run.settings, len(i), run.world)
            for _ in range(L2)
        ]
    run.state.errors.append(fmean(errors))


def infer_and_learn(run: Run, i: Tensor) -> None:
    """The released order: a batch learns as soon as its chains have moved."""
    infer(run, i)
    learn(run, i)


def regress(run: Run, i: Tensor) -> None:
    """The released order, after a correction: one learning step, the chains at rest."""
    learn(run, i, 1)


def printed(st: Settings, k: int) -> Iterator[Stage]:
    """Iteration k of Algorithm 1, line for line."""
    yield Stage(infer, "sorted")  # 6
    if st.alpha > 0 and k % st.L == 0:  # 8
        yield Stage(correct, "all")  # 9, 10
    yield Stage(learn, "random")  # 13


def released(st: Settings, k: int) -> Iterator[Stage]:
    """The order of the authors' script: L passes of (infer, learn) by batch, correct, regress."""
    for _ in range(st.L):
        yield Stage(infer_and_learn, "random")
    if st.alpha > 0:
        yield Stage(correct, "all")
    for _ in range(st.regression):
        yield Stage(regress, "random")


SCHEDULE = {"printed": printed, "released": released}


def iterations(run: Run) -> Iterator[Iteration | None]:
    """Runs from the present state to the end; yields None after each batch, then the iteration.

    Whenever it yields, the state is whole: a run stopped there goes on from it.
    """
    now, st = run.state, run.settings
    while now.k <= st.iterations:
        for stage in islice(SCHEDULE[st.schedule](st, now.k), now.stage, None):
            if now.batch == 0:
                _begin(run, stage)
            batches = now.order.tensor_split(_parts(run, stage))  # sizes differ by at most 1
            for i in batches[now.batch :]:
                with named(now.k, st):
                    stage.work(run, i)
                now.batch += 1
                yield None
            now.stage, now.batch = now.stage + 1, 0
        yield _end(run)


def batches_in(run: Run) -> tuple[int, int]:
    """How many batches a whole run has, and how many of them are done."""
    now, st = run.state, run.settings
    a_pass, corrects = -(-run.n // st.batch_size), st.alpha > 0

    def until(k: int) -> int:
        """In the first k iterations."""
        if st.schedule == "printed":
            return 2 * a_pass * k + corrects * (k // st.L)
        return ((st.L + st.regression) * a_pass + corrects) * k

    total = until(st.iterations)
    if now.k > st.iterations:
        return total, total
    before = islice(SCHEDULE[st.schedule](st, now.k), now.stage)
    return total, until(now.k - 1) + sum(_parts(run, stage) for stage in before) + now.batch


def _parts(run: Run, stage: Stage) -> int:
    """Batches of a stage."""
    return 1 if stage.order == "all" else -(-run.n // run.settings.batch_size)


@contextmanager
def named(k: int, st: Settings) -> Generator[None]:
    """Context that adds the iteration and both step sizes to the error of diverging numbers."""
    try:
        yield
    except FloatingPointError as error:
        text = f"Iteration {k}: {error} (This run has s = {st.s:g}, lr = {st.lr:g}.)"
        raise FloatingPointError(text) from error


def _begin(run: Run, stage: Stage) -> None:
    """Before the first batch of a stage."""
    device = run.state.z_hat.device
    if stage.order == "random":
        run.state.order = torch.randperm(run.n, generator=run.rng, device=device)
        run.state.errors = []
    else:
        run.state.order = torch.arange(run.n, device=device)


def _end(run: Run) -> Iteration:
    """After the last stage: the iteration, and the state at the start of the next one."""
    now, gather = run.state, run.world.gather
    check_sound(run)
    inferred = now.z_hat if now.inferred is None else now.inferred
    latents = gather(inferred, run.n), gather(now.z_hat, run.n)
    done = Iteration(now.k, *latents, now.z, now.T, fmean(now.errors), now.seconds)
    now.k, now.stage, now.inferred, now.T, now.seconds = now.k + 1, 0, None, None, {}
    return done


def check_sound(run: Run) -> None:
    """A run can go on from here: weights, chains and the images of some chains are finite.

    Raises:
        FloatingPointError: not so, in one process at least. With the iteration and the step sizes.
    """
    now, g = run.state, run.g
    with torch.no_grad(), frozen(g):
        held = [v for state in run.optimiser.state.values() for v in state.values()]
        moments = [v for v in held if isinstance(v, Tensor) and v.ndim]
        numbers = [g(now.z_hat[:SOME]), now.z_hat, *g.state_dict().values(), *moments]
        finite = torch.stack([torch.isfinite(v).all() for v in numbers]).all()
    ok = not run.world.any(not bool(finite), now.z_hat.device)
    rule, got = "must stay finite while it learns", "NaN or infinity in weights, Adam or chains"
    with named(now.k, run.settings):
        checks.require(ok, "g", rule, got, "Try a smaller lr.", FloatingPointError)


def normal(*shape: int, like: Tensor, rng: torch.Generator) -> Tensor:
    """Independent N(0, 1) entries with the device and dtype of ``like``."""
    return torch.randn(shape, generator=rng, device=like.device, dtype=like.dtype)
