"""How much memory a run takes on its device, told before it starts.

The passes through the network are metered without data (:mod:`mcmcot_lite.meter`); the rest is
counted, and what a correction takes was measured (:mod:`mcmcot_lite.transport.footprint`).
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import nn

from mcmcot_lite import checks
from mcmcot_lite.engine import LOW, NOISE, Compute, resolved
from mcmcot_lite.freezing import couples
from mcmcot_lite.learning import check_trainable
from mcmcot_lite.meter import folded_bytes, metered, pass_bytes
from mcmcot_lite.settings import Settings
from mcmcot_lite.transport.footprint import correction_bytes

__all__ = ["Memory", "chosen_chunk", "predict_memory"]

# Of benchmarks/langevin.py's networks on a CPU with 32 MiB of cache: the MLP is fastest with 1,000
# images at once, MNIST's network with 250 (45 MiB), SVHN's with 128 to 256, CelebA's with 64.
CACHE = 48 << 20
FEWEST, MANY = 64, 1000  # below, reading the weights costs; above, nothing is gained
# What importing takes, measured (results/memory.json): a first run imports PyTorch's compiler
# (Adam asks for it, and so does the meter) and reads some of PyTorch's own code; a correction
# imports the others.
FIRST = {"torch._dynamo": 89 << 20}
SOLVER = {"scipy.sparse": 11 << 20, "ot": 122 << 20}


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
        libraries: on a CPU, those that this process had yet to load before it was asked, PyTorch's
            compiler and the solver's; and the code that oneDNN makes and keeps for each shape.

    This counts what tensors hold, and what convolutions take for themselves on a CPU. An allocator
    may keep blocks besides that are free again: PyTorch's on a GPU, the C library's on a CPU. With
    glibc's as it comes a process was seen to keep 5 to 62 % more (results/memory.json); with
    ``MALLOC_MMAP_THRESHOLD_=100000`` in its environment it takes what is told, and more time.
    """

    weights: float
    images: float
    latents: float
    inference: float
    learning: float
    transport: float
    libraries: float = 0.0

    @property
    def total(self) -> float:
        """All that is alive at the worst moment."""
        return (
            self.weights
            + self.images
            + self.latents
            + self.libraries
            + max(self.inference, self.learning, self.transport)
        )

    def __str__(self) -> str:
        parts = ("weights", "images", "latents", "inference", "learning", "transport", "libraries")
        shown = ", ".join(f"{name} {getattr(self, name) / 2**20:,.0f}" for name in parts)
        return f"{self.total / 2**20:,.0f} MiB ({shown})"


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

    Raises:
        TypeError, ValueError: on bad input, or where g cannot run on tensors without data.
    """
    device, st, compute = _checked(g, settings, compute, device), settings, compute or Compute()
    shape = _shape(shape)
    needed = FIRST | (SOLVER if st.alpha > 0 and st.transport != "auction" else {})
    missing = sum(size for name, size in needed.items() if name not in sys.modules)
    n = checks.integer("n", n, 1)
    dtype = next(p.dtype for p in g.parameters())
    size = dtype.itemsize
    stored = checks.integer("stored", stored, 1)
    rule, remedy = f"must be 1 or {size}", f"1 for uint8, {size} for {dtype}."
    checks.require(stored in (1, size), "stored", rule, stored, remedy)
    precision = compute.precision
    if precision == "auto":  # of a GPU that is not here: as on recent ones
        here = device.type != "cuda" or torch.cuda.is_available()
        precision = resolved(precision, device) if here else "bf16"
    low = LOW.get(precision, dtype) if dtype != torch.float64 else dtype
    pixels = math.prod(shape)
    processes = checks.integer("processes", processes, 1)
    everyone = n * processes  # a correction maps the latents of all, in each process
    parts = -(-everyone // st.batch_size)  # batches of a pass
    batch = -(-n // parts)
    chunk = compute.chunk
    if chunk is None and (device.type == "cpu" or torch.cuda.is_available()):
        chunk = chosen_chunk(g, batch, shape, st, device, low)
    chunk = batch if couples(g, st.batchnorm) else min(batch, chunk or batch)
    weights = sum(p.numel() * p.element_size() for p in g.parameters())
    buffers = sum(b.numel() * b.element_size() for b in g.buffers())
    learned = sum(p.numel() * p.element_size() for p in g.parameters() if p.requires_grad)
    as_numbers = pixels * size if stored != size else 0  # a batch of bytes becomes floats
    noise = min(st.K, max(1, NOISE // (batch * st.d))) * batch * st.d * size
    gathered = batch * (pixels * stored + 3 * st.d * size)
    meter = partial(
        metered,
        g,
        d=st.d,
        shape=shape,
        dtype=low,
        batchnorm=st.batchnorm,
        device=device,
        channels_last=compute.channels_last,
    )
    try:
        inferring, learning = meter(images=chunk), meter(images=batch, learning=True)
    except Exception as error:  # g is the reader's, and may raise anything
        if checks.is_ours(error):
            raise
        rule = f"must make images {shape} of latents (n, {st.d}) without data (device 'meta')"
        got, remedy = (
            f"the error '{checks.error_text(error)}'",
            "Match d and shape with those of g.",
        )
        raise checks.fail("g", rule, got, remedy) from error
    learn = learning.peak
    if device.type == "cpu":  # Adam's step on one weight after another
        largest = max(p.numel() * p.element_size() for p in g.parameters())
        learn = max(learn, learned + 2 * largest)
    sizes = {batch, everyone // (processes * parts)} - {0}
    chunks = {k for m in sizes for k in (min(m, chunk), m % chunk)} - {0}
    kernels = len(chunks) * inferring.kernels + len(sizes) * learning.kernels
    folded = folded_bytes(g, low, st.batchnorm)  # it stays until g learns
    corrects = st.alpha > 0
    solver = correction_bytes(everyone, st.d, st.transport, st.eps, device.type) if corrects else 0
    return Memory(
        weights=weights + buffers + 2 * learned,
        images=n * pixels * stored,
        latents=(n + 2 * everyone) * st.d * size,
        inference=inferring.peak + gathered + chunk * as_numbers + noise,
        learning=learn + gathered + batch * as_numbers,
        transport=solver + folded if corrects else 0,
        libraries=missing + kernels if device.type == "cpu" else 0,
    )


def _checked(g: object, settings: object, compute: object, device: object) -> torch.device:
    """The device; refuses arguments of other kinds."""
    kinds = (("g", g, nn.Module), ("settings", settings, Settings))
    if compute is not None:
        kinds = (*kinds, ("compute", compute, Compute))
    for name, value, kind in kinds:
        if not isinstance(value, kind):
            rule, remedy = f"must be a {kind.__name__}", f"Pass a {kind.__name__}, as to fit."
            raise checks.fail(name, rule, checks.shown(value), remedy, TypeError)
    assert isinstance(g, nn.Module)
    floats = [p for p in g.parameters() if p.is_floating_point()]
    rule, remedy = "must hold floating-point parameters", "Pass a network that can learn."
    ok = bool(floats) and len(floats) == len(list(g.parameters()))
    checks.require(ok, "g", rule, "none, or others", remedy)
    check_trainable(g)
    rule, remedy = "must be a device of type 'cpu' or 'cuda'", "Pass 'cpu' or 'cuda'."
    if not isinstance(device, (str, torch.device)):
        raise checks.fail("device", rule, checks.shown(device), remedy, TypeError)
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise checks.fail("device", rule, repr(device), remedy) from error
    checks.require(found.type in ("cpu", "cuda"), "device", rule, repr(device), remedy)
    return found


def _shape(shape: object) -> tuple[int, ...]:
    """The shape of an image: positive sizes."""
    remedy, listed = "For example (1, 28, 28).", isinstance(shape, (tuple, list))
    sizes = cast("tuple[object, ...]", shape) if listed else ()
    rule = "must be a tuple of sizes"
    checks.require(bool(sizes), "shape", rule, checks.shown(shape), remedy, TypeError)
    return tuple(checks.integer("shape", k, 1) for k in sizes)


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
    if couples(g, settings.batchnorm) or (device.type == "cpu" and rows <= FEWEST):
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
