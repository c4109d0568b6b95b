"""How the work of a batch is computed: precision, memory, compilation. Not what is computed.

:class:`Compute` holds the choices. :class:`Engine` carries them out for the two stages that cost
time, inference and learning, and survives a device that runs out of memory: it takes fewer images
at once and says so.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from mcmcot_lite import checks
from mcmcot_lite.density import raw_score
from mcmcot_lite.freezing import (
    batch_norms,
    buffers_restored,
    couples,
    frozen,
    inference_form,
    lowered,
)
from mcmcot_lite.graphs import Recorded
from mcmcot_lite.langevin import walk
from mcmcot_lite.learning import raw_learn
from mcmcot_lite.settings import Settings
from mcmcot_lite.synced import synced
from mcmcot_lite.world import ALONE, World

__all__ = ["PRECISIONS", "Compute", "Engine", "as_float", "resolved"]

PRECISIONS = ("auto", "fp32", "tf32", "bf16", "fp16")
LOW = {"bf16": torch.bfloat16, "fp16": torch.float16}
NOISE = 1 << 24  # random numbers held at once: 64 MiB
MOST = 4  # recordings of CUDA graphs: two sizes of batches, each with a smaller last chunk
LIMIT = 1e3  # a latent this large is 1,000 standard deviations of the prior away: it diverges


@dataclass(frozen=True, kw_only=True)
class Compute:
    """How a run is computed. A run may be resumed with others.

    Attributes:
        precision: ``"fp32"``; ``"tf32"``, ``"bf16"`` or ``"fp16"`` for the products inside the
            network on a GPU (chains, residuals, weights and Adam's state stay float32); or
            ``"auto"``: bf16 on GPUs from compute capability 8.0 on, fp16 on 7.x, else fp32.
        chunk: images that inference takes through the network at once; None lets the engine choose:
            on a CPU as many as the caches serve well, on a GPU the batch, or less where its memory
            would exceed the device's.
        compile: run ``torch.compile`` on the network that infers.
        graphs: replay each Langevin step as a CUDA graph.
        channels_last: store convolution weights with the channels last, as the fastest kernels of
            GPUs and CPUs read them.
    """

    precision: str = "auto"
    chunk: int | None = None
    compile: bool = False
    graphs: bool = False
    channels_last: bool = True

    def __post_init__(self) -> None:
        checks.choice("precision", self.precision, PRECISIONS)
        if self.chunk is not None:
            object.__setattr__(self, "chunk", checks.integer("chunk", self.chunk, 1))
        for name in ("compile", "graphs", "channels_last"):
            checks.boolean(name, getattr(self, name))


def resolved(precision: str, device: torch.device) -> str:
    """What ``"auto"`` means on this device."""
    if precision != "auto":
        return precision
    if device.type != "cuda":
        return "fp32"
    major, _ = torch.cuda.get_device_capability(device)
    return "bf16" if major >= 8 else "fp16" if major == 7 else "fp32"


def as_float(x: Tensor, x_range: tuple[float, float] | None, dtype: torch.dtype) -> Tensor:
    """Images as numbers: bytes 0 to 255 become x_range, low to high; others pass unchanged."""
    if x.dtype != torch.uint8:
        return x
    low, high = x_range or (0.0, 1.0)
    out = x.to(dtype).div_(255 / (high - low))
    return out.add_(low) if low else out


class Engine:
    """Does the work of a batch, as a :class:`Compute` asks.

    Attributes:
        precision: what "auto" became.
        chunk: images at once in inference; None for the whole batch.
        parts: parts of a batch that learning takes one after another, adding up the gradients.
        short: whether the device has run out of memory.
    """

    def __init__(self, compute: Compute, device: torch.device, dtype: torch.dtype) -> None:
        self.compute = compute
        self.device = device
        self.dtype = dtype
        self.precision = resolved(compute.precision, device)
        if dtype == torch.float64:
            self.precision = "fp32"  # nothing is lowered: float64 was asked for
        self.chunk = compute.chunk
        self.parts = 1
        self.short = False  # the device ran out of memory
        scaled = self.precision == "fp16" and device.type == "cuda"
        self.scaler = torch.amp.GradScaler(device.type) if scaled else None
        self._form: tuple[nn.Module, nn.Module] | None = None  # g, and what infers for it
        self._kept: nn.Module | None = None  # a folded copy that stays in its place
        self._compiled: Any = None
        self._recorded: dict[object, Recorded] = {}

    def autocast(self) -> AbstractContextManager[object]:
        """Context of the products inside the network."""
        low = LOW.get(self.precision)
        if low is None:
            return nullcontext()
        return torch.autocast(self.device.type, low)

    def lay_out(self, g: nn.Module) -> None:
        """Puts the weights into the memory layout of the run; to be done before Adam is made."""
        if self.compute.channels_last:
            g.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    @contextmanager
    def running(self, g: nn.Module, world: World = ALONE) -> Generator[None]:
        """Context of a run: g's layout, and its BatchNorm over several processes."""
        self.lay_out(g)
        with synced(g, world):
            yield

    @contextmanager
    def _tf32(self) -> Generator[None]:
        """Context of inference and learning: whether products of float32 use TF32.

        Not of a correction: there TF32 would blur the scores, and the proof with them.
        """
        if self.device.type != "cuda":
            yield
            return
        flags: list[Any] = [torch.backends.cuda.matmul, torch.backends.cudnn]
        try:
            before = [flag.allow_tf32 for flag in flags]
        except RuntimeError:  # set through PyTorch's newer interface: then it is the user's choice
            yield
            return
        try:
            for flag in flags:
                flag.allow_tf32 = self.precision != "fp32"
            yield
        finally:
            for flag, was in zip(flags, before, strict=True):
                flag.allow_tf32 = was

    def infer(
        self,
        g: nn.Module,
        z: Tensor,
        x: Tensor,
        mask: Tensor | None,
        noise: Iterable[Tensor],
        st: Settings,
        world: World = ALONE,
    ) -> Tensor:
        """The chains z after one Langevin step for each draw of the noise.

        Raises:
            FloatingPointError: when a chain diverges.
        """
        with frozen(g, st.batchnorm), self._tf32():
            f = self._inference_form(g, st)
            coupled = couples(g, st.batchnorm)
            if coupled and not self.short:
                self.chunk = None  # a chunk would be normalised by itself
            draws = iter(noise)
            while E := list(islice(draws, max(1, NOISE // max(1, z.numel())))):
                work = partial(self._walk, f, z, x, mask, E, st)
                z = self._fitting(work, len(x), coupled, world)
        return _near(z, st)

    def _walk(
        self,
        f: nn.Module,
        z: Tensor,
        x: Tensor,
        mask: Tensor | None,
        noise: list[Tensor],
        st: Settings,
    ) -> Tensor:
        """All chains, chunk by chunk."""
        done: list[Tensor] = []
        for at in _slices(len(z), self.chunk):
            images = as_float(x[at], st.x_range, z.dtype)
            hidden = None if mask is None else mask[at]
            score = self._ready(f, z[at], images, hidden, st.sigma)
            done.append(walk(score, z[at], st.s, [e[at] for e in noise]))
        return done[0] if len(done) == 1 else torch.cat(done)

    def _ready(
        self, f: nn.Module, z: Tensor, x: Tensor, mask: Tensor | None, sigma: float
    ) -> Callable[[Tensor], Tensor]:
        """The score of these images as a function of the latents."""

        def score(z: Tensor, x: Tensor, mask: Tensor | None) -> Tensor:
            with self.autocast():
                return raw_score(f, z, x, sigma, mask)

        if not (self.compute.graphs and self.device.type == "cuda"):
            return partial(score, x=x, mask=mask)
        key = (id(f), z.shape, mask is None, sigma)
        if key not in self._recorded:
            if len(self._recorded) >= MOST:  # batches of many sizes: each recording holds memory
                return partial(score, x=x, mask=mask)
            self._recorded[key] = Recorded(score, z, x, mask)
        self._recorded[key].load(x, mask)
        return self._recorded[key]

    def _inference_form(self, g: nn.Module, st: Settings) -> nn.Module:
        """g, or its folded copy, kept until g learns; compiled if asked.

        The settings alone decide which: a run that goes on in the middle must not decide otherwise.
        """
        if self._form is None or self._form[0] is not g:
            form = inference_form(g, st.batchnorm, st.K * st.batch_size)
            if form is not g and self.precision in LOW and not batch_norms(form):
                form = lowered(form, LOW[self.precision])  # autocast would do it at each step
            if form is not g and self._kept is not None:  # in place: recordings know the addresses
                for old, new in zip(self._kept.parameters(), form.parameters(), strict=True):
                    old.copy_(new)
                form = self._kept
            elif form is not g and (self.compute.graphs or self.compute.compile):
                self._kept = form
            if self.compute.compile:
                if self._compiled is None:
                    self._compiled = torch.compile(form)
                form = self._compiled
            self._form = g, form
        return self._form[1]

    def weights_changed(self) -> None:
        """To be called when g has learned: the next inference folds it again."""
        self._form = None

    def learn(
        self,
        g: nn.Module,
        x: Tensor,
        z_hat: Tensor,
        mask: Tensor | None,
        optimiser: torch.optim.Optimizer,
        st: Settings,
        n: int,
        world: World = ALONE,
    ) -> float:
        """One learning step on a batch of n pairs, of which these are this process's.

        Returns the mean squared error before it.
        """
        self.weights_changed()

        def step() -> float:
            with buffers_restored(g), self._tf32():
                return raw_learn(
                    g,
                    as_float(x, st.x_range, z_hat.dtype),
                    z_hat,
                    optimiser,
                    st.sigma,
                    mask,
                    n=n,
                    world=world,
                    parts=self.parts,
                    scaler=self.scaler,
                    autocast=self.autocast,
                )

        while True:
            try:
                mse = step()
                optimiser.zero_grad(set_to_none=True)  # gradients are as large as the weights
                return mse
            except Exception as error:
                coupled = world.size > 1 and batch_norms(g)
                least = 4 if batch_norms(g) else 2  # images in two parts
                if not out_of_memory(error) or coupled or least * self.parts > len(x):
                    raise
            self.parts *= 2
            begun_anew(optimiser)
            self._release()
            warnings.warn(
                f"The device ran out of memory while learning: batches of {n} images are now "
                f"learned in {self.parts} parts whose gradients are added"
                + (" (BatchNorm normalises each part by itself)." if batch_norms(g) else "."),
                stacklevel=2,
            )

    def _fitting(self, work: Callable[[], Tensor], m: int, coupled: bool, world: World) -> Tensor:
        """Does the work; takes half as many images at once when the memory does not suffice.

        Not where other processes share the batch of a BatchNorm layer: they could not follow.
        """
        while True:
            try:
                return work()
            except Exception as error:
                at_once = min(m, self.chunk or m)
                if not out_of_memory(error) or at_once == 1 or (coupled and world.size > 1):
                    raise
            self.chunk, self.short = at_once // 2, True
            self._release()
            warnings.warn(
                f"The device ran out of memory while inferring: {self.chunk} images are now taken "
                f"at once, not {at_once}"
                + (" (BatchNorm normalises each part by itself)." if coupled else "."),
                stacklevel=2,
            )

    def _release(self) -> None:
        """Gives the device what is kept for speed alone: recordings, and cached blocks."""
        self._recorded.clear()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def shortage(self) -> dict[str, Any]:
        """What a lack of memory has changed so far, for a checkpoint."""
        return {"chunk": self.chunk, "parts": self.parts, "short": self.short}

    def restore(self, shortage: dict[str, Any]) -> None:
        """Goes on as a run that had run short of memory; a chunk that was asked for stays."""
        if shortage["short"] and self.compute.chunk is None:
            self.chunk, self.short = shortage["chunk"], True
        self.parts = shortage["parts"]


def _slices(n: int, chunk: int | None) -> list[slice]:
    """Parts of n rows: at least one, even of no rows."""
    step = chunk or max(n, 1)
    return [slice(i, i + step) for i in range(0, max(n, 1), step)]


def _near(z: Tensor, st: Settings) -> Tensor:
    """The chains, unless one has left for infinity. One wait for the device."""
    far = int((~(z.abs() < LIMIT).all(1)).sum())
    got = f"{far} of {len(z)} chains beyond it within {st.K} steps of s = {st.s:g}"
    rule = f"must stay finite and below {LIMIT:g} in every coordinate"
    remedy = (
        f"Try a smaller s, for example {st.s / 3:.2g}, or a larger sigma than {st.sigma:g}; or a "
        f"smaller lr than {st.lr:g}, if learning came before."
    )
    checks.require(far == 0, "z", rule, got, remedy, FloatingPointError)
    return z


def begun_anew(optimiser: torch.optim.Optimizer) -> None:
    """Drops what Adam had begun to allocate when a step broke off: it would never finish it."""
    for p, state in list(optimiser.state.items()):
        if "step" in state and not {"exp_avg", "exp_avg_sq"} <= state.keys():
            del optimiser.state[p]


NO_MEMORY = (  # of CUDA, cuBLAS and cuDNN, the C++ library, PyTorch on Linux and on Windows
    "out of memory",
    "ALLOC_FAILED",
    "bad_alloc",
    "can't allocate memory",
    "not enough memory",
)


def out_of_memory(error: BaseException) -> bool:
    """Whether the device, or the machine, had no memory left; also while a graph was recorded,
    whose own end then fails on top of it.
    """
    if isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)):
        return True
    if isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY):
        return True
    return error.__context__ is not None and out_of_memory(error.__context__)
