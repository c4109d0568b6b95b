r"""The variational auto-encoder: inference by a second network (Kingma and Welling, 2014).

The encoder names a normal law q(z|x) = N(m(x), diag v(x)) for each image. Training raises the
evidence lower bound

.. math::  \mathrm{ELBO}(x) = \mathbb E_{q(z|x)} \log p(x|z)
           - \mathrm{KL}\big(q(z|x) \,\|\, \mathcal N(0, I)\big) \le \log p(x),

in nats, with p(x|z) = N(g(z), sigma^2 I) and all its constants, so that the bound can be held
against an exact log p(x) where there is one. One sample of z per image and step, by
reparameterisation; the KL term in closed form.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from mcmcot_lite import checks
from mcmcot_lite.baselines.encoder import MLPEncoder
from mcmcot_lite.density import OVERFLOW, check_sigma, checked, images_and_mask
from mcmcot_lite.frozen import batch_norms, buffers_restored, frozen
from mcmcot_lite.learning import check_trainable
from mcmcot_lite.settings import check_betas, check_inside, check_lr, check_range

__all__ = ["VAE", "MLPEncoder", "VAEFit", "fit_vae"]


BATCH = "In training mode BatchNorm needs 2 images or more."


class VAE(nn.Module):
    """A generator with an amortised encoder.

    Args:
        g: generator, a module, (n, d) to the images' shape.
        encoder: module from images to (means, log variances), each (n, d).
        sigma: pixel noise, > 0.
    """

    def __init__(self, g: nn.Module, encoder: nn.Module, *, sigma: float) -> None:
        super().__init__()
        for name, module in (("g", g), ("encoder", encoder)):
            if not isinstance(module, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance]
                rule, got = "must be a torch.nn.Module", checks.shown(module)
                raise checks.fail(name, rule, got, "Wrap it in a module.", TypeError)
        self.sigma = check_sigma(sigma)
        self.g, self.encoder = g, encoder

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log variances of q(z|x), each (n, d), for images x, (n, ...)."""
        self.check(x)
        with buffers_restored(self):
            return _finite(cast("tuple[Tensor, Tensor]", _tried("x", self.encoder, x, BATCH)))

    def elbo(self, x: Tensor, *, rng: torch.Generator) -> Tensor:
        """One-sample estimate of the bound for each image, (n,), in nats; unbiased.

        Args:
            x: images, (n, ...).
            rng: draws z, on x's device.
        """
        self.check(x)
        rng = checks.rng_on(rng, x.device)
        with buffers_restored(self), checks.restored(rng):
            return checks.finite("elbo", _raw_elbo(self, x, rng), OVERFLOW)

    @torch.no_grad()
    def infer(self, x: Tensor, *, rng: torch.Generator) -> Tensor:
        """A sample z ~ q(z|x) for each image, (n, d): together, the aggregated posterior."""
        self.check(x)
        rng = checks.rng_on(rng, x.device)
        with frozen(self), checks.restored(rng):
            mean, logvar = _finite(self.encoder(x))
            return checks.finite("infer", _draw(mean, logvar, rng), OVERFLOW)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """G at the mean of q(z|x), of x's shape."""
        self.check(x)
        with frozen(self):
            return checks.finite("reconstruct", self.g(_finite(self.encoder(x))[0]), OVERFLOW)

    @torch.no_grad()
    def sample(self, n: int, *, d: int, rng: torch.Generator) -> Tensor:
        """G at n draws from the prior, (n, ...), on the device of rng, which must be g's."""
        n, d = checks.integer("n", n, 1), checks.integer("d", d, 1)
        like = next(self.g.parameters(), torch.empty(0))
        rng = checks.rng_on(rng, like.device)
        with frozen(self):
            _tried("d", self.g, like.new_zeros(2, d), "Pass the d that g was built for.")
            return self.g(torch.randn(n, d, generator=rng, device=like.device, dtype=like.dtype))

    def check(self, x: Tensor) -> None:
        """Refuses images that encoder and generator cannot take, by a trial on two of them."""
        images_and_mask(x, None)
        pair = x[:1].detach().expand(2, *x.shape[1:])
        with torch.no_grad(), frozen(self):
            out = _tried("x", self.encoder, pair, "Match shape, dtype and device.")
        rule, got = "must return a tuple (means, log variances)", checks.shown(out)
        is_pair = isinstance(out, tuple) and len(cast("Sequence[object]", out)) == 2
        checks.require(is_pair, "encoder", rule, got, "Each has shape (n, d).", TypeError)
        mean, logvar = cast(tuple[Tensor, Tensor], out)
        checked(self.g, mean, pair, self.sigma, None, "encoder's means")
        shape, name = tuple(mean.shape), "encoder's means"
        checks.tensor("encoder's log variances", logvar, shape=shape, like=mean, like_name=name)


def _finite(law: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Means and log variances without NaN and infinity."""
    for name, value in zip(("means", "log variances"), law, strict=True):
        checks.finite(f"encoder's {name}", value.detach(), OVERFLOW)
    return law


def _raw_elbo(vae: VAE, x: Tensor, rng: torch.Generator) -> Tensor:
    """:meth:`VAE.elbo` without checks of x."""
    mean, logvar = cast("tuple[Tensor, Tensor]", _tried("x", vae.encoder, x, BATCH))
    decoded = cast(Tensor, _tried("x", vae.g, _draw(mean, logvar, rng), BATCH))
    squared = (x - decoded).flatten(1).square().sum(1)
    constant = x[0].numel() * (math.log(2 * math.pi) / 2 + math.log(vae.sigma))
    kl = (mean.square() + logvar.exp() - 1 - logvar).sum(1) / 2
    return -squared / (2 * vae.sigma**2) - constant - kl


def _tried(name: str, network: nn.Module, value: Tensor, remedy: str) -> object:
    """Network(value), with a clear error if it cannot take it."""
    try:
        return network(value)
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception as error:  # a network of the reader's may raise anything
        if checks.is_ours(error):
            raise
        why = f"the error '{checks.error_text(error)}'"
        got = f"shape {tuple(value.shape[1:])} for each, {value.dtype}, and {why}"
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise checks.fail(name, "must fit the network", got, remedy, kind) from error


def _draw(mean: Tensor, logvar: Tensor, rng: torch.Generator) -> Tensor:
    """A sample of N(mean, exp(logvar)), differentiable in both, (n, d)."""
    noise = torch.randn(mean.shape, generator=rng, device=mean.device, dtype=mean.dtype)
    return mean + (logvar / 2).exp() * noise


@dataclass(frozen=True, eq=False)
class VAEFit:
    """Result of :func:`fit_vae`: the model, the mean ELBO of each epoch, and wall time."""

    vae: VAE
    elbo: tuple[float, ...] = field(repr=False)
    seconds: float


@torch.inference_mode(False)
def fit_vae(
    vae: VAE,
    x: Tensor,
    *,
    rng: torch.Generator,
    epochs: int = 60,
    batch_size: int = 100,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    progress: bool = True,
    callback: Callable[[int, float], None] | None = None,
    x_range: tuple[float, float] | None = (0.0, 1.0),
) -> VAEFit:
    """Trains encoder and generator together, by Adam on the mean one-sample ELBO.

    Args:
        vae: trained in place, then put in evaluation mode.
        x: images, (n, ...), inside ``x_range``.
        rng: shuffles and samples; on x's device.
        epochs: passes over x.
        batch_size: images a step, capped at n.
        lr: Adam's rate.
        betas: Adam's decay rates.
        progress: show a tqdm bar.
        callback: called with (epoch, mean ELBO) after each epoch.
        x_range: the range (low, high) of the images; None allows any.

    Raises:
        TypeError, ValueError: on bad input, before vae or rng change.
        FloatingPointError: when the bound or a weight diverges; names the epoch.
    """
    if not isinstance(vae, VAE):  # pyright: ignore[reportUnnecessaryIsInstance]
        remedy = "Pass VAE(g, encoder, sigma=0.3)."
        raise checks.fail("vae", "must be a VAE", checks.shown(vae), remedy, TypeError)
    check_trainable(vae)
    vae.check(x)
    check_inside(x, check_range(x_range), None)
    rng = checks.rng_on(rng, x.device)
    epochs = checks.integer("epochs", epochs, 1)
    parts = -(-len(x) // checks.integer("batch_size", batch_size, 1))
    if batch_norms(vae):
        rule, got = "must leave 2 images in every batch for BatchNorm", f"{parts} batches"
        ok, remedy = len(x) // parts >= 2, "Choose another size."
        checks.require(ok, "batch_size", rule, f"{got} of n = {len(x)}", remedy)
    lr, betas = check_lr(lr), check_betas(betas)
    checks.boolean("progress", progress)
    if callback is not None:
        checks.takes("callback", callback, 1, 0.0)
    optimiser = torch.optim.Adam(vae.parameters(), lr=lr, betas=betas)
    history: list[float] = []
    begin = time.perf_counter()
    for epoch in tqdm(range(1, epochs + 1), disable=not progress, desc="VAE"):
        vae.train()
        order = torch.randperm(len(x), generator=rng, device=x.device)
        total = 0.0
        for i in torch.tensor_split(order, parts):
            optimiser.zero_grad(set_to_none=True)
            with torch.enable_grad():
                bound = _raw_elbo(vae, x.detach()[i], rng).mean()
                (-bound).backward()  # pyright: ignore[reportUnknownMemberType]
            optimiser.step()
            total += float(bound.detach()) * len(i) / len(x)
        if not (math.isfinite(total) and all(bool(p.isfinite().all()) for p in vae.parameters())):
            raise FloatingPointError(f"Epoch {epoch}: ELBO or weights diverged. Try a smaller lr.")
        history.append(total)
        if callback is not None:
            callback(epoch, total)
    vae.eval()
    return VAEFit(vae, tuple(history), time.perf_counter() - begin)
