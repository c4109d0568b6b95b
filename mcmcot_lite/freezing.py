"""The generator while it serves inference: weights fixed, nothing recorded, BatchNorm as stated.

During inference only z moves. :func:`frozen` makes that literal: inside it no parameter of g asks
for a gradient, dropout is off, and no BatchNorm statistic is updated. On leaving, also through an
error, every flag is as it was.

BatchNorm has two readings, and the paper does not say which one it uses:

- ``"running"``: the stored averages. The posterior of an image then depends on that image alone,
  as Eq. (8) has it. The library's default.
- ``"batch"``: the statistics of the current batch, as the authors' released script has it.
  The chains of one batch are then coupled.

A BatchNorm layer made with ``track_running_stats=False`` stores no averages and uses those of the
batch in either reading.

With stored averages a BatchNorm layer is an affine map, which the layer below can take over. A
generator that knows how offers a method ``folded()``, as those of Table 1 do; inference then runs
the folded copy: the same function, without the layers' passes over the activations. With the
statistics of a batch nothing folds; such a g may offer ``streamlined()``, the same layers without
copies of the activations.
"""

from __future__ import annotations

import copy
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]

from mcmcot_lite import checks

__all__ = [
    "BATCHNORM",
    "batch_norms",
    "batches",
    "buffers_restored",
    "couples",
    "frozen",
    "inference_form",
    "learning_restored",
    "lowered",
]

BATCHNORM = ("running", "batch")
WORTH = 1_000  # image-steps from which folding pays: it costs a few copies of the weights


def batch_norms(g: object) -> list[_BatchNorm]:
    """The BatchNorm layers of g; none in a plain function."""
    return [m for m in g.modules() if isinstance(m, _BatchNorm)] if isinstance(g, nn.Module) else []


def couples(g: object, batchnorm: str) -> bool:
    """Whether the images of a batch depend on each other while g is frozen."""
    return any(batchnorm == "batch" or m.running_mean is None for m in batch_norms(g))


def batches(g: object, n: int, batch_size: int | None, batchnorm: str) -> int:
    """How many batches n images make, of at most ``batch_size``: whether each can be normalised."""
    checks.choice("batchnorm", batchnorm, BATCHNORM)
    size = n if batch_size is None else checks.integer("batch_size", batch_size, 1)
    parts = -(-n // size)
    enough = batchnorm != "batch" or n >= 2 * parts or not batch_norms(g)
    rule, got = "'batch' needs 2 images in every batch", f"{n} images in {parts} batches"
    remedy = "Use larger batches, or batchnorm='running'."
    checks.require(enough, "batchnorm", rule, got, remedy)
    return parts


@contextmanager
def frozen(g: object, batchnorm: str = "running") -> Generator[None, None, None]:
    """Context in which g is a fixed function of z; a plain function g passes through unchanged.

    Args:
        g: the generator.
        batchnorm: what BatchNorm normalises by: ``"running"``, its stored averages, so that an
            image's posterior is its own (Eq. (8)); or ``"batch"``, the statistics of the current
            batch, which couples its chains, as the authors' released script has it.
    """
    checks.choice("batchnorm", batchnorm, BATCHNORM)
    if not callable(g):
        remedy = "Pass a torch.nn.Module or a function."
        raise checks.fail("g", "must be callable", checks.shown(g), remedy, TypeError)
    if not isinstance(g, nn.Module):
        yield
        return
    asked = [p for p in g.parameters() if p.requires_grad]
    modes = [(m, m.training) for m in g.modules()]
    norms = [(m, m.track_running_stats) for m in batch_norms(g)]
    try:
        for p in asked:
            p.requires_grad_(False)
        for m, _ in modes:
            m.training = False
        if batchnorm == "batch":
            for m, _ in norms:  # batch statistics, and no update of the stored ones
                m.training, m.track_running_stats = True, False
        yield
    finally:
        for p in asked:
            p.requires_grad_(True)
        for m, was in modes:
            m.training = was
        for m, was in norms:
            m.track_running_stats = was


def inference_form(g: Any, batchnorm: str, steps: int) -> Any:
    """What to call for a g that is :func:`frozen`: another form of it where that pays, else g.

    The form is folded; or, for a batch's statistics, streamlined, where g offers that method.

    Args:
        g: the generator.
        batchnorm: as it is frozen.
        steps: image-steps to come; the copies are worth making for many.
    """
    make = getattr(g, "folded" if batchnorm == "running" else "streamlined", None)
    if make is None or steps < WORTH:
        return g
    with torch.no_grad():
        return make()


def lowered(form: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy of an inference form with numbers of another dtype; the form is not changed."""
    low: dict[int, Any] = {
        id(p): nn.Parameter(p.detach().to(dtype), requires_grad=False) for p in form.parameters()
    }
    low |= {id(b): b.to(dtype) for b in form.buffers() if b.is_floating_point()}
    return copy.deepcopy(form, low)  # it finds the copies of the tensors made already


@contextmanager
def buffers_restored(g: object) -> Generator[None, None, None]:
    """Context that puts the buffers of g back if its body raises: a failed call changes nothing."""
    kept = [(b, b.clone()) for b in g.buffers()] if isinstance(g, nn.Module) else []
    try:
        yield
    except BaseException:
        for b, was in kept:
            b.copy_(was)
        raise


@contextmanager
def learning_restored(g: nn.Module) -> Generator[None, None, None]:
    """:func:`buffers_restored`, which puts back training flags and ``.grad`` of g as well."""
    modes = [(m, m.training) for m in g.modules()]
    grads = [(p, p.grad) for p in g.parameters()]
    try:
        with buffers_restored(g):
            yield
    except BaseException:
        for m, was in modes:
            m.training = was
        for p, grad in grads:
            p.grad = grad
        raise
