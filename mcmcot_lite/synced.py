"""BatchNorm of a batch that is spread over several processes: the statistics of the whole batch.

PyTorch's own SyncBatchNorm does this on GPUs only. Here each layer of g is given, for the duration,
a forward pass that sums over the processes; gradients flow back through those sums.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]

from mcmcot_lite.freezing import batch_norms
from mcmcot_lite.world import World

__all__ = ["synced"]


@contextmanager
def synced(g: nn.Module, world: World) -> Generator[None]:
    """Context in which the BatchNorm layers of g see the batches of all processes."""
    layers = batch_norms(g) if world.size > 1 else []
    for layer in layers:
        own = partial(_forward, layer, world)  # hides the class's
        setattr(own, "keeps_the_map", True)  # noqa: B010  # of stored averages, for a folded copy
        setattr(layer, "forward", own)  # noqa: B010
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _forward(layer: _BatchNorm, world: World, v: Tensor) -> Tensor:
    """What the layer does, with the mean and the variance of all processes' rows.

    Sums and counts are taken in float32 at least: 16 bits can count no further than 65,504, and
    not exactly.
    """
    own = layer.training or layer.running_mean is None or layer.running_var is None
    if not own:  # stored averages
        out: Tensor = type(layer).forward(layer, v)
        return out
    axes = [k for k in range(v.ndim) if k != 1]
    wide = (1, -1, *[1] * (v.ndim - 2))
    kind = v.dtype
    v = v if kind == torch.float64 else v.float()
    rows = v.new_tensor([v.numel() // v.shape[1]])
    sums = _total(torch.cat([v.sum(axes), rows]), world)
    count = sums[-1].detach()
    mean = sums[:-1] / count
    centred = v - mean.view(wide)
    var = _total(centred.square().sum(axes), world) / count
    if layer.training and layer.track_running_stats:
        _update(layer, mean.detach(), var.detach() * count / (count - 1))
    scaled = centred * (var + layer.eps).rsqrt().view(wide)
    if layer.affine:
        scaled = scaled * layer.weight.view(wide) + layer.bias.view(wide)
    return scaled.to(kind)


class _Sum(torch.autograd.Function):
    """The sum of a tensor over the processes; its gradient is summed as well."""

    @staticmethod
    def forward(ctx: Any, t: Tensor, world: World) -> Tensor:
        ctx.world = world
        out = t.clone()
        world.add(out)
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, None]:
        out = grad_outputs[0].contiguous().clone()
        ctx.world.add(out)
        return out, None


def _total(t: Tensor, world: World) -> Tensor:
    return cast(Tensor, _Sum.apply(t, world))


def _update(layer: _BatchNorm, mean: Tensor, var: Tensor) -> None:
    """The stored averages, as PyTorch keeps them."""
    if layer.running_mean is None or layer.running_var is None:
        return
    with torch.no_grad():
        share = layer.momentum
        if layer.num_batches_tracked is not None:
            layer.num_batches_tracked.add_(1)
            if share is None:
                share = 1.0 / float(layer.num_batches_tracked)
        share = share or 0.0
        layer.running_mean.lerp_(mean.to(layer.running_mean.dtype), share)
        layer.running_var.lerp_(var.to(layer.running_var.dtype), share)
