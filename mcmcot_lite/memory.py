"""How much memory a run takes on its device, told before it starts.

The network is run on tensors without data (PyTorch's device "meta") while a meter adds up what is
alive: the peak of a pass costs milliseconds to learn, for any number of images. What the kernels of
a library take for themselves is not seen.
"""

from __future__ import annotations

import copy
import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from mcmcot_lite import checks
from mcmcot_lite.density import raw_log_joint, raw_score
from mcmcot_lite.engine import LOW, NOISE, Compute, resolved
from mcmcot_lite.frozen import batch_norms, frozen, inference_form
from mcmcot_lite.settings import Settings
from mcmcot_lite.transport import SMALL
from mcmcot_lite.transport.pricing import GROUPS
from mcmcot_lite.transport.scan import TILE

__all__ = ["Memory", "chosen_chunk", "pass_bytes", "predict_memory"]

META = torch.device("meta")
# Of benchmarks/langevin.py's networks on a CPU with 32 MiB of cache: the MLP is fastest with 1,000
# images at once, MNIST's network with 250 (45 MiB), SVHN's with 128 to 256, CelebA's with 64.
CACHE = 48 << 20
FEWEST, MANY = 64, 1000  # below, reading the weights costs; above, nothing is gained


class _Meter(TorchDispatchMode):
    """Adds up the bytes of the storages that are alive; remembers the peak."""

    def __init__(self, there: list[Tensor]) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known: dict[int, Any] = {}
        for t in there:  # before the work: not counted
            self.known[_key(t.untyped_storage())] = t

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for t in tree_iter(out):
            if isinstance(t, Tensor):
                self._see(t.untyped_storage())
        return out

    def _see(self, storage: Any) -> None:
        key = _key(storage)
        if key in self.known:
            return
        size = storage.nbytes()

        def gone(_: object) -> None:
            self.known.pop(key, None)
            self.now -= size

        self.known[key] = weakref.ref(storage, gone)
        self.now += size
        self.peak = max(self.peak, self.now)


def _key(storage: Any) -> int:
    """Names a storage while it lives; without data it has no address."""
    return storage._cdata


@dataclass(frozen=True)
class Memory:
    """Peak bytes of a run on its device, by what takes them.

    Attributes:
        weights: parameters, Adam's two moments, and buffers; gradients count as learning.
        images: the images, as they are stored.
        latents: chains, targets, and the copies that a correction makes.
        inference: activations while a chunk is inferred, with its folded weights and noise.
        learning: activations and gradients while a batch is learned.
        transport: what a correction takes; on a GPU the tiles of scores, on a CPU the solver.

    This counts what tensors hold. An allocator may keep blocks besides that are free again: the C
    library's on a CPU, mostly where blocks are small, and PyTorch's on a GPU. Libraries of
    convolutions take scratch: in runs below some 150 MiB on a CPU, up to a quarter more was seen,
    mostly in 16 bits. The correction counted is the exact one; the others take less.
    """

    weights: float
    images: float
    latents: float
    inference: float
    learning: float
    transport: float

    @property
    def total(self) -> float:
        """All that is alive at the worst moment."""
        return (
            self.weights
            + self.images
            + self.latents
            + max(self.inference, self.learning, self.transport)
        )

    def __str__(self) -> str:
        parts = ("weights", "images", "latents", "inference", "learning", "transport")
        shown = ", ".join(f"{name} {getattr(self, name) / 2**20:,.0f}" for name in parts)
        return f"{self.total / 2**20:,.0f} MiB ({shown})"


def _peak(work: Callable[[], object], there: list[Tensor]) -> int:
    with _Meter(there) as meter:
        work()
    return meter.peak


def pass_bytes(
    g: nn.Module,
    images: int,
    d: int,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    *,
    learning: bool = False,
    batchnorm: str = "running",
) -> int:
    """Peak bytes of one pass forwards and backwards, beyond what was there before it.

    Args:
        g: the network, on any device; a copy without data is run.
        images: how many go through it at once.
        d: dimension of the latents.
        shape: of one image.
        dtype: of the activations.
        learning: gradients for the weights, not for the latents.
        batchnorm: during inference, see :mod:`mcmcot_lite.frozen`.
    """
    ghost = copy.deepcopy(g).to(META, dtype)
    z = torch.empty(images, d, dtype=dtype, device=META)
    x = torch.empty(images, *shape, dtype=dtype, device=META)

    def infer() -> None:
        with frozen(ghost, batchnorm):
            raw_score(inference_form(ghost, batchnorm, 10**9), z, x, 1.0, None)

    def learn() -> None:
        ghost.train()
        learned = [p for p in ghost.parameters() if p.requires_grad]
        with torch.enable_grad():
            loss = raw_log_joint(ghost, z, x, 1.0).sum()
        torch.autograd.grad(loss, learned, allow_unused=True)

    there = [z, x, *ghost.parameters(), *ghost.buffers()]
    return _peak(learn if learning else infer, there)


@torch.inference_mode(False)
def predict_memory(
    g: nn.Module,
    n: int,
    shape: tuple[int, ...],
    settings: Settings,
    compute: Compute | None = None,
    *,
    device: str | torch.device = "cpu",
    stored: int = 1,
    processes: int = 1,
) -> Memory:
    """Peak memory of :func:`mcmcot_lite.fit` on its device.

    Args:
        g: the network.
        n: images in this process.
        shape: of one image.
        settings: of the run.
        compute: of the run.
        device: where it is to run; it need not be here.
        stored: bytes of a stored pixel: 1 for uint8, 4 for float32.
        processes: how many share the run; each takes its part of a batch.
    """
    device, st = torch.device(device), settings
    compute = compute or Compute()
    n = checks.integer("n", n, 1)
    stored = checks.integer("stored", stored, 1)
    dtype = next(p.dtype for p in g.parameters())
    size = dtype.itemsize
    precision = compute.precision
    if precision == "auto":  # of a GPU that is not here: as on recent ones
        here = device.type != "cuda" or torch.cuda.is_available()
        precision = resolved(precision, device) if here else "bf16"
    low = LOW.get(precision, dtype) if dtype != torch.float64 else dtype
    pixels = math.prod(shape)
    processes = checks.integer("processes", processes, 1)
    batch = -(-n // -(-n * processes // st.batch_size))
    chunk = compute.chunk
    if chunk is None and (device.type == "cpu" or torch.cuda.is_available()):
        chunk = chosen_chunk(g, batch, shape, st, device, low)
    chunk = batch if st.batchnorm == "batch" else min(batch, chunk or batch)
    weights = sum(p.numel() * p.element_size() for p in g.parameters())
    buffers = sum(b.numel() * b.element_size() for b in g.buffers())
    learned = sum(p.numel() * p.element_size() for p in g.parameters() if p.requires_grad)
    as_numbers = pixels * size if stored != size else 0  # a batch of bytes becomes floats
    cast = weights // 2 if low != dtype else 0  # autocast's copies of the weights
    noise = min(st.K * batch * st.d, max(NOISE, batch * st.d)) * size if chunk < batch else 0
    gathered = batch * (pixels * stored + 3 * st.d * size)
    infer = pass_bytes(g, chunk, st.d, shape, low, batchnorm=st.batchnorm)
    learn = pass_bytes(g, batch, st.d, shape, low, learning=True)
    if device.type == "cpu":  # Adam's step on one weight after another
        largest = max(p.numel() * p.element_size() for p in g.parameters())
        learn = max(learn, learned + 2 * largest)
    # On a GPU: a tile of scores, the best of each group for each row, the clouds in two dtypes.
    tiles = 4 * math.prod(TILE.get(device.type, TILE["cuda"])) + n * (GROUPS * 12 + 32 * st.d)
    if device.type == "cpu":
        tiles = usual_transport(n, st.d) if n > SMALL else 16 * n * n  # the table, and POT's copy
    return Memory(
        weights=weights + buffers + 2 * learned,
        images=n * pixels * stored,
        latents=3 * n * st.d * size,
        inference=infer + gathered + chunk * as_numbers + noise + cast,
        learning=learn + gathered + batch * as_numbers + cast,
        transport=tiles if st.alpha > 0 else 0,
    )


def usual_transport(n: int, d: int) -> int:
    """Bytes that a correction takes on a CPU, for latents that are no extreme.

    A line through what processes took whose allocator returns freed blocks at once, n from 3,000 to
    20,000; `results/transport.json` has up to 25 % more, up to n = 60,000, where it does not. Tight
    clusters take up to twice as much; ``transport.memory_needed`` is a bound for all.
    """
    return (6 << 20) + n * (3700 + 45 * d)


def chosen_chunk(
    g: nn.Module,
    rows: int,
    shape: tuple[int, ...],
    settings: Settings,
    device: torch.device,
    dtype: torch.dtype,
) -> int | None:
    """Images that inference takes at once where :class:`Compute` leaves it open.

    On a CPU as many as :data:`CACHE` holds the activations of, in equal parts: the activations of a
    large batch would travel to the memory and back at each step. On a GPU the batch, halved until
    its pass fits into 80 % of the free memory.

    Args:
        g: the network.
        rows: images of a batch in this process.
        shape: of one image.
        settings: of the run.
        device: that of the run, which is here.
        dtype: of the activations.

    Returns:
        The number; None for a whole batch, also where BatchNorm couples it, or where g cannot run
        without data.
    """
    coupled = settings.batchnorm == "batch" and bool(batch_norms(g))
    if coupled or (device.type == "cpu" and rows <= FEWEST):
        return None

    def taken(images: int) -> int:
        return pass_bytes(g, images, settings.d, shape, dtype)

    try:
        if device.type == "cpu":
            each = (taken(2 * MANY) - taken(MANY)) / MANY
            most = round(min(max(CACHE / max(each, 1.0), FEWEST), MANY))
            parts = -(-rows // most)
        else:
            free, _ = torch.cuda.mem_get_info(device)
            parts = 1
            while parts < rows and taken(-(-rows // parts)) > 0.8 * free:
                parts *= 2
    except Exception:  # whatever its layers do without data: then nothing is foretold
        return None
    return None if parts <= 1 else -(-rows // parts)
