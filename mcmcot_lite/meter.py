"""What a pass through a network takes, learned without data in a fraction of a second.

The network runs on tensors of PyTorch's device "meta", which have shapes and no values, while a
:class:`Meter` adds up what is alive. What an operation takes for itself, beyond its inputs and
outputs, no tensor shows; for the convolutions of a CPU :func:`scratch` knows it.
"""

from __future__ import annotations

import copy
import math
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call  # pyright: ignore[reportUnknownVariableType]
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from mcmcot_lite.density import raw_log_joint, raw_score
from mcmcot_lite.freezing import batch_norms, frozen, inference_form, lowered

__all__ = ["Meter", "Pass", "folded_bytes", "metered", "pass_bytes", "scratch"]

META = torch.device("meta")
Scratch = Callable[[Any, Any, Any], int]  # operation, arguments, result -> bytes
# What oneDNN keeps of an operation on tensors of one shape: its code, made when needed. Measured
# (results/memory.json, "kernels").
CONVOLUTION, LOW_PRODUCT = 130_000, 615_000
PRODUCTS = ("aten.addmm.default", "aten.mm.default")


class Meter(TorchDispatchMode):
    """Adds up the bytes of the storages that are alive; remembers the peak.

    Args:
        there: tensors from before the work, which are not counted.
        scratch: bytes that an operation takes besides its result.

    Attributes:
        peak: most bytes alive at once.
        kernels: bytes that a CPU's library keeps of the operations seen.
    """

    def __init__(self, there: list[Tensor], scratch: Scratch | None = None) -> None:
        super().__init__()
        self.now = self.peak = self.kernels = 0
        self.scratch = scratch
        self.known: dict[int, Any] = {}
        for t in there:
            self.known[_key(t.untyped_storage())] = t

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for t in tree_iter(out):
            if isinstance(t, Tensor):
                self._see(t.untyped_storage())
        self.kernels += _kernels(func, args)
        if self.scratch is not None:
            self.peak = max(self.peak, self.now + self.scratch(func, args, out))
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


def onednn(dtype: torch.dtype) -> bool:
    """Whether oneDNN computes a dtype on this CPU; bf16 and fp16 need the CPU's instructions."""
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    if dtype == torch.float16:
        return bool(torch.ops.mkldnn._is_mkldnn_fp16_supported())
    return dtype == torch.float32


def _kernels(func: Any, args: Any) -> int:
    """Bytes of the code that oneDNN makes and keeps for an operation on a CPU."""
    if func is torch.ops.aten.convolution.default:
        return CONVOLUTION * onednn(args[0].dtype)
    if func is torch.ops.aten.convolution_backward.default:
        return sum(args[10][:2]) * CONVOLUTION * onednn(args[0].dtype)
    low = str(func) in PRODUCTS and args[-1].dtype in (torch.bfloat16, torch.float16)
    return LOW_PRODUCT * (low and onednn(args[-1].dtype))


def scratch(func: Any, args: Any, out: Any, *, channels_last: bool) -> int:
    """Bytes that a convolution takes on a CPU besides its result; 0 for other operations.

    Measured, each operation by itself, as the growth of a process (results/memory.json). oneDNN
    copies the weights into an order of its own, and back for their gradients; where the channels
    are not last, the activations as well. float64, and bf16 and fp16 on a CPU without instructions
    for them, it leaves to PyTorch, which writes out each window of the image.

    Args:
        func, args, out: as a dispatch mode receives them.
        channels_last: the layout of weights and activations.
    """
    aten = torch.ops.aten
    if func is aten.convolution.default:
        image, weight, transposed, backward = args[0], args[1], args[6], False
        result, wanted = out, (False, False)
    elif func is aten.convolution_backward.default:
        result, image, weight, transposed, backward = *args[:3], args[7], True
        wanted = args[10][:2]
    else:
        return 0
    X, Y, W = (t.numel() * t.element_size() for t in (image, result, weight))
    if not onednn(image.dtype):
        small = result if not transposed else image  # windows lie at the pixels of the smaller one
        windows = math.prod(small.shape[2:]) * len(image) * math.prod(weight.shape[1:])
        windows *= image.element_size()
        single = all(k == 1 for k in weight.shape[2:])
        writes = wanted[1] if backward and not transposed else not backward
        return windows if writes and not single else 0
    if channels_last:
        return W * (1 + (backward and wanted[1]))
    if not backward:
        return max(X + W, 2 * Y) if transposed else max(X + W, Y)
    if not wanted[1]:
        return max(Y + W, X if transposed else 2 * X)
    return X + Y + (2 * W if image.dtype != torch.float32 else 0)


def _lowered(g: nn.Module, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """The network under autocast: copies of its weights in a dtype, BatchNorm's as they are."""
    if next(g.parameters()).dtype == dtype:
        return g
    norms = {id(p) for m in batch_norms(g) for p in m.parameters()}

    def called(z: Tensor) -> Tensor:
        low = {k: p if id(p) in norms else p.to(dtype) for k, p in g.named_parameters()}
        return functional_call(g, low, (z.to(dtype),))

    return called


def _fed(form: nn.Module, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """An inference form that gets its latents in a dtype."""
    return lambda z: form(z.to(dtype))


class Pass(NamedTuple):
    """What a pass takes.

    Attributes:
        peak: most bytes alive at once, beyond what was there before it.
        kernels: bytes that a CPU's library keeps after it, once for each number of images.
    """

    peak: int
    kernels: int


def metered(
    g: nn.Module,
    images: int,
    d: int,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    *,
    learning: bool = False,
    batchnorm: str = "running",
    device: torch.device | str = "cpu",
    channels_last: bool = True,
) -> Pass:
    """A pass forwards and backwards.

    Args:
        g: the network, on any device; a copy without data is run.
        images: how many go through it at once.
        d: dimension of the latents.
        shape: of one image.
        dtype: of the activations; where it is not that of g, g runs under autocast.
        learning: gradients for the weights, not for the latents.
        batchnorm: during inference, see :func:`mcmcot_lite.frozen`.
        device: on a CPU, what convolutions take for themselves is added.
        channels_last: the layout of the weights; it decides what that is.
    """
    ghost = copy.deepcopy(g).to(META)
    if channels_last:
        ghost.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    like = next(ghost.parameters())
    z = torch.empty(images, d, dtype=like.dtype, device=META)
    x = torch.empty(images, *shape, dtype=like.dtype, device=META)

    def infer() -> None:
        with frozen(ghost, batchnorm):
            form = inference_form(ghost, batchnorm, 10**9)
            if batch_norms(form) or form is ghost:
                raw_score(_lowered(form, dtype), z, x, 1.0, None)
                return
            form = form if dtype == like.dtype else lowered(form, dtype)
            raw_score(_fed(form, dtype), z, x, 1.0, None)

    def learn() -> None:
        ghost.train()
        learned = [p for p in ghost.parameters() if p.requires_grad]
        with torch.enable_grad():
            loss = raw_log_joint(_lowered(ghost, dtype), z, x, 1.0).sum()
        torch.autograd.grad(loss, learned, allow_unused=True)

    there = [z, x, *ghost.parameters(), *ghost.buffers()]
    extra = partial(scratch, channels_last=channels_last)
    cpu = torch.device(device).type == "cpu"
    with Meter(there, extra if cpu else None) as meter:
        (learn if learning else infer)()
    return Pass(meter.peak, meter.kernels if cpu else 0)


def pass_bytes(
    g: nn.Module,
    images: int,
    d: int,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    **how: Any,
) -> int:
    """The peak of a pass as :func:`metered` finds it, with the same arguments."""
    return metered(g, images, d, shape, dtype, **how).peak


def folded_bytes(g: nn.Module, dtype: torch.dtype, batchnorm: str) -> int:
    """Bytes of what infers for g besides g itself: its folded copy, or nothing."""
    ghost = copy.deepcopy(g).to(META)
    with frozen(ghost, batchnorm):
        form = inference_form(ghost, batchnorm, 10**9)
    own = {id(p) for p in ghost.parameters()}
    new = [p for p in form.parameters() if id(p) not in own] if form is not ghost else []
    return sum(p.numel() * min(p.element_size(), dtype.itemsize) for p in new)
