"""What every baseline is: a module that infers, reconstructs and samples; and one way to train it.

A baseline states what it raises, its ``objective``: a number for each image whose gradient is that
of its paper. :func:`fit_model` raises the mean of it by Adam, in the same loop for all, so that
equal epochs mean equal numbers of steps.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from mcmcot_lite import checks
from mcmcot_lite.baselines.tried import tried
from mcmcot_lite.density import OVERFLOW, images_and_mask
from mcmcot_lite.freezing import batch_norms, frozen
from mcmcot_lite.learning import check_trainable
from mcmcot_lite.settings import check_betas, check_inside, check_lr, check_range

__all__ = ["Masked", "Model", "ModelFit", "fit_model"]


class Model(nn.Module, ABC):
    """A baseline.

    Images x are (n, ...), latents (n, d). Every method that draws takes ``rng``, on x's device.
    """

    label: ClassVar[str] = "model"  # at the progress bar
    raised: ClassVar[str] = "objective"  # what the objective is called in messages
    remedy: ClassVar[str] = "Try a smaller lr."  # where training diverges
    trained_by: ClassVar[str] = ""  # a method of its own, where fit_model would train another thing
    g: nn.Module

    @abstractmethod
    def check(self, x: Tensor) -> None:
        """Refuses images that the model cannot take, before anything is drawn or changed."""

    @abstractmethod
    def raw_objective(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """What training raises, for each image, (n,), without checks; differentiable."""

    @abstractmethod
    def infer(self, x: Tensor, *, rng: torch.Generator) -> Tensor:
        """Latents of the images, (n, d): together, the aggregated posterior."""

    @abstractmethod
    def reconstruct(self, x: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """The images, decoded from what was inferred, of x's shape; rng where that draws."""

    @abstractmethod
    def sample_prior(self, n: int, *, rng: torch.Generator) -> Tensor:
        """Latents of n new images, (n, d): what :meth:`infer` should look like, all together."""

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """The images of latents z, (n, ...)."""
        checks.latents("z", z)
        with frozen(self):
            y = cast(Tensor, tried("z", self.g, z, "Match d, dtype and device."))
            return checks.finite("decode", y, OVERFLOW)

    @torch.no_grad()
    def sample(self, n: int, *, rng: torch.Generator) -> Tensor:
        """New images, (n, ...): those of n latents of :meth:`sample_prior`, on g's device."""
        return self.decode(self.sample_prior(n, rng=rng))

    def begin(self, epoch: int, x: Tensor, rng: torch.Generator) -> None:
        """What a model sets before an epoch of training, 1, 2, ..., on images x: mostly nothing."""

    def groups(self, lr: float) -> list[dict[str, Any]]:
        """The parameters and their rates, as an optimiser takes them."""
        return [{"params": list(self.parameters()), "lr": lr}]


class Masked(Model):
    """A baseline that can learn from incomplete images."""

    @abstractmethod
    def raw_objective(self, x: Tensor, rng: torch.Generator, mask: Tensor | None = None) -> Tensor:
        """The objective of the visible pixels alone; x is 0 where the mask hides it."""


@dataclass(frozen=True, eq=False)
class ModelFit:
    """Result of :func:`fit_model`: the model, the mean objective of each epoch, and wall time."""

    model: Model
    objective: tuple[float, ...] = field(repr=False)
    seconds: float


@torch.inference_mode(False)
def fit_model(
    model: Model,
    x: Tensor,
    *,
    rng: torch.Generator,
    mask: Tensor | None = None,
    epochs: int = 60,
    batch_size: int = 100,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    progress: bool = True,
    callback: Callable[[int, float], None] | None = None,
    x_range: tuple[float, float] | None = (0.0, 1.0),
) -> ModelFit:
    """Trains all parameters of a baseline, by Adam on the mean of its objective.

    Args:
        model: trained in place, then put in evaluation mode.
        x: images, (n, ...), inside ``x_range``.
        rng: shuffles and samples; on x's device.
        mask: visible pixels (1), the shape of x or of one image, for a model that learns from
            incomplete images: a VAE. Hidden pixels may hold anything and are never read.
        epochs: passes over x.
        batch_size: images a step, capped at n.
        lr: Adam's rate.
        betas: Adam's decay rates.
        progress: show a tqdm bar.
        callback: called with (epoch, mean objective) after each epoch.
        x_range: the range (low, high) of the images; None allows any.

    Raises:
        TypeError, ValueError: on bad input, before model or rng change.
        FloatingPointError: when the objective or a weight diverges; names the epoch. The weights
            are then those of its end: build the model anew.
    """
    if not isinstance(model, Model):  # pyright: ignore[reportUnnecessaryIsInstance]
        remedy = "Pass one of mcmcot_lite.baselines."
        raise checks.fail("model", "must be a baseline", checks.shown(model), remedy, TypeError)
    own, remedy = model.trained_by, f"Call model.{model.trained_by}(x, rng=rng)."
    rule = "must be one that fit_model trains"
    checks.require(not own, "model", rule, model.label, remedy)
    check_trainable(model)
    rule, remedy = "must be left out: the model cannot hide pixels", "Use a VAE, or ABP."
    takes_mask = isinstance(model, Masked)
    checks.require(mask is None or takes_mask, "mask", rule, model.label, remedy)
    visible = images_and_mask(x, mask)
    if visible is not None:
        remedy = "1 marks a visible pixel."
        checks.require(bool(visible.any()), "mask", "must leave a pixel visible", "none", remedy)
        x = torch.where(visible, x, 0.0)
    model.check(x)
    check_inside(x, check_range(x_range), visible)
    rng = checks.rng_on(rng, x.device)
    epochs = checks.integer("epochs", epochs, 1)
    parts = -(-len(x) // checks.integer("batch_size", batch_size, 1))
    if batch_norms(model):
        rule, got = "must leave 2 images in every batch for BatchNorm", f"{parts} batches"
        ok, remedy = len(x) // parts >= 2, "Choose another size."
        checks.require(ok, "batch_size", rule, f"{got} of n = {len(x)}", remedy)
    lr, betas = check_lr(lr), check_betas(betas)
    checks.boolean("progress", progress)
    if callback is not None:
        checks.takes("callback", callback, 1, 0.0)
    groups = model.groups(lr)
    learns = any(p.requires_grad for group in groups for p in group["params"])
    rule, remedy = "must have parameters that learn now", "Call requires_grad_(True) on that part."
    checks.require(learns, "model", rule, "frozen ones", remedy)
    optimiser = torch.optim.Adam(groups, betas=betas)
    history: list[float] = []
    begin = time.perf_counter()
    for epoch in tqdm(range(1, epochs + 1), disable=not progress, desc=model.label):
        model.train()
        model.begin(epoch, x.detach(), rng)
        order = torch.randperm(len(x), generator=rng, device=x.device)
        total = 0.0
        for i in torch.tensor_split(order, parts):
            optimiser.zero_grad(set_to_none=True)
            with torch.enable_grad():
                seen = x.detach()[i]
                if visible is None:
                    mean = model.raw_objective(seen, rng).mean()
                else:
                    mean = cast(Masked, model).raw_objective(seen, rng, visible[i]).mean()
                (-mean).backward()  # pyright: ignore[reportUnknownMemberType]
            optimiser.step()
            total += float(mean.detach()) * len(i) / len(x)
        sound = all(bool(p.isfinite().all()) for p in model.parameters())
        if not (math.isfinite(total) and sound):
            what = f"{model.raised} or weights diverged"
            raise FloatingPointError(f"Epoch {epoch}: {what}. {model.remedy}")
        history.append(total)
        if callback is not None:
            callback(epoch, total)
    model.eval()
    return ModelFit(model, tuple(history), time.perf_counter() - begin)
