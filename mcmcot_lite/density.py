r"""The joint density of images and latents, in one place (Eqs. 7 and 16).

The model draws a latent vector ``z ~ N(0, I_d)`` and an image ``x = g(z) + noise`` whose pixels
carry independent noise of standard deviation ``sigma``. Hence

.. math::  \log p(x, z) = -\frac{1}{2\sigma^2} \| M \odot (x - g(z)) \|^2
           - \frac12 \|z\|^2 + \text{const},

with a mask M of visible pixels (Eq. 16), all ones for whole images (Eq. 7). Everything else in the
library differentiates this one function: in z to infer (Eqs. 8, 18), in the parameters of g to
learn (Eqs. 5 to 7, 17). So the two can never disagree about a factor of ``sigma``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from mcmcot_lite import checks
from mcmcot_lite.freezing import buffers_restored, frozen

__all__ = ["Network", "grad_z", "learning_gradient", "log_joint"]

Network = Callable[[Tensor], Tensor]
"""Any map from latents (n, d) to images (n, ...): the generator g. A module or a plain function."""

OVERFLOW = "Scale images and latents down, use a larger sigma, or float64."


def raw_log_joint(
    g: Network, z: Tensor, x: Tensor, sigma: float, mask: Tensor | None = None
) -> Tensor:
    """Eq. (7)/(16) without checks or constant, shape (n,): what the loops of the library call.

    Hidden pixels are replaced before they meet any arithmetic, so they may hold anything, NaN too.
    """
    try:
        gz = g(z)
    except ValueError as error:
        if len(z) > 1 or "more than 1 value per channel" not in str(error):
            raise
        rule = "must have 2 rows or more: a BatchNorm layer of g normalises by the batch"
        raise checks.fail("z", rule, "1 row", "Call g.eval(), or pass more pairs.") from error
    if gz.shape != x.shape:  # broadcasting would hide it
        raise _wrong_shape(gz.shape, x.shape)
    residual = x - gz
    if mask is not None:
        residual = torch.where(mask, residual, 0.0)
    squared = residual.flatten(1).square().sum(1)
    return -squared / (2 * sigma**2) - z.square().sum(1) / 2


def _wrong_shape(got: torch.Size, want: torch.Size) -> Exception:
    rule = f"must have the shape of x, {tuple(want)}"
    remedy = "Reshape x, or build g for this image shape."
    return checks.fail("g(z)", rule, f"shape {tuple(got)}", remedy)


def checked(
    g: Network,
    z: Tensor,
    x: Tensor,
    sigma: float,
    mask: Tensor | None,
    name: str = "z",
    drawn: bool = False,
) -> tuple[float, Tensor | None]:
    """Checks the arguments shared by every function of (g, z, x, sigma, mask).

    Returns sigma as a float and the mask as bool. ``name`` is what messages call z; ``drawn``: the
    user gave none, only its dimension d, and dtype and device are those of x.
    """
    checks.latents(name, z)
    visible = images_and_mask(x, mask)
    checks.tensor("x", x, like=z, like_name=name, finite=False)
    rule = f"must have one row for each of the {len(x)} images in x"
    checks.require(len(z) == len(x), name, rule, f"{len(z)} rows", "Pass one vector per image.")
    sigma = check_sigma(sigma)
    _check_network(g, z, x, drawn)
    return sigma, visible


def _check_network(g: Network, z: Tensor, x: Tensor, drawn: bool) -> None:
    """Tries g on a row of z: it must accept it and return finite images like x.

    The trial is in evaluation mode without gradients, so it changes nothing in g. It has two
    equal rows because a BatchNorm without stored averages refuses a single one.
    """
    if not callable(g):
        rule = "must be callable: latents (n, d) -> images (n, ...)"
        remedy = "Pass a torch.nn.Module or a function."
        raise checks.fail("g", rule, checks.shown(g), remedy, TypeError)
    try:
        with torch.no_grad(), frozen(g):
            gz = g(z[:1].detach().expand(2, -1))
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception as error:  # g is the reader's, and may raise anything
        told = _of_drawn(g, z, x, error) if drawn else None
        if told is not None or checks.is_ours(error):
            raise (told or error) from None
        d = z.shape[1]
        rule = f"must accept latents of shape (n, {d}), {z.dtype}, on {z.device}"
        remedy = "Match d, dtype and device with those of g."
        kind = TypeError if isinstance(error, TypeError) else ValueError
        got = f"the error '{checks.error_text(error)}'"
        raise checks.fail("g", rule, got, remedy, kind) from error
    if not isinstance(gz, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]
        remedy = "Return one tensor of shape (n, ...)."
        raise checks.fail("g(z)", "must be a torch.Tensor", checks.shown(gz), remedy, TypeError)
    if gz.shape[1:] != x.shape[1:]:
        raise _wrong_shape(torch.Size((len(x), *gz.shape[1:])), x.shape)
    rule, got = "must have one image for each row of latents", f"shape {tuple(gz.shape)} for 2 rows"
    checks.require(len(gz) == 2, "g(z)", rule, got, "Let the first size follow len(z).")
    rule, remedy = f"must be on the device of x, {x.device}", "Move g or x."
    checks.require(gz.device == x.device, "g(z)", rule, gz.device, remedy)
    fits = gz.is_floating_point() and torch.promote_types(gz.dtype, x.dtype) == x.dtype
    rule = f"must have a floating-point dtype no wider than that of x, {x.dtype}"
    checks.require(fits, "g(z)", rule, gz.dtype, "Convert g, or x and z.", TypeError)
    finite, remedy = bool(torch.isfinite(gz).all()), "Look for NaN in the parameters of g."
    checks.require(finite, "g(z)", "must be finite", "NaN or infinity", remedy)


def _of_drawn(g: Network, z: Tensor, x: Tensor, error: Exception) -> Exception | None:
    """What g refuses in latents that the user did not pass, in terms of what was passed."""
    own = g.parameters() if isinstance(g, nn.Module) else iter(())
    like = next((p for p in own if p.is_floating_point()), x)
    if like.dtype != x.dtype:
        rule, remedy = (
            f"must have the dtype of the parameters of g, {like.dtype}",
            "Convert x or g.",
        )
        return checks.fail("x", rule, x.dtype, remedy)
    if like.device != x.device:
        rule, remedy = f"must be on the device of g, {like.device}", "Move x or g."
        return checks.fail("x", rule, x.device, remedy)
    if not checks.is_ours(error):  # of a module that is not the library's: it may be anything
        return None
    rule, got = "must be the number of latents that g takes", f"{z.shape[1]}: {error}"
    return checks.fail("d", rule, got, "Pass the d that g was built with.")


def check_sigma(sigma: float | Tensor) -> float:
    """The noise level of the pixels: positive, and neither it nor its square out of range."""
    why, remedy = "it is a standard deviation", "The paper uses 0.3."
    sigma = checks.number("sigma", sigma, above=0.0, why=why, remedy=remedy)
    why = "its square must keep within float32"
    return checks.number("sigma", sigma, above=1e-15, below=1e15, why=why, remedy=remedy)


def images_and_mask(x: Tensor, mask: Tensor | None, name: str = "x") -> Tensor | None:
    """Checks images (finite wherever they are visible) and returns the mask as bool, or None.

    ``name`` is what messages call them.
    """
    checks.tensor(name, x, finite=False)
    rule, got = "must have a batch axis first: (n, ...)", f"shape {tuple(x.shape)}"
    checks.require(x.ndim >= 2, name, rule, got, f"Use {name}[None] for one image.")
    visible = checks.mask_for(x, mask)
    for at in checks.blocks(x):
        ok = torch.isfinite(x[at])
        ok = ok if visible is None else ok | ~visible[at]
        if not bool(ok.all()):
            image = at.start + int((~ok).flatten(1).any(1).nonzero()[0, 0])
            got = f"NaN or infinity in image {image}"
            remedy = "Hide those pixels with a mask, or remove the image."
            raise checks.fail(name, "must be finite wherever it is visible", got, remedy)
    return visible


def given_mask(x: Tensor, mask: Tensor | None) -> Tensor:
    """:func:`images_and_mask` where a mask must be given."""
    visible = images_and_mask(x, mask)
    if visible is None:
        remedy = "Pass ones where a pixel is visible and zeros where it is hidden."
        raise checks.fail("mask", "must be a torch.Tensor", checks.shown(mask), remedy, TypeError)
    return visible


def log_joint(
    g: Network,
    z: Tensor,
    x: Tensor,
    *,
    sigma: float,
    mask: Tensor | None = None,
    constant: bool = False,
) -> Tensor:
    r"""Log of the joint density of each pair, Eq. (7), or Eq. (16) with a mask.

    g is called as it stands: a module in training mode normalises by the batch and updates its
    BatchNorm averages. Wrap the call in :func:`mcmcot_lite.frozen` for what inference sees.

    Args:
        g: the generator, latents (n, d) to images (n, ...).
        z: latents, shape (n, d).
        x: images, shape (n, ...), the shape that g returns; any finite values, on purpose: the
            density is defined for all, and only training asks for a range.
        sigma: standard deviation of the pixel noise, > 0.
        mask: 1 where a pixel is visible, 0 where hidden; the shape of x or of one image.
        constant: add :math:`-\frac{D}{2}\log 2\pi\sigma^2 - \frac{d}{2}\log 2\pi` (D counts visible
            pixels), which Eq. (7) leaves out; then ``exp`` of the result is a true density.

    Returns:
        Shape (n,), in nats, differentiable in z, x and the parameters of g.

    Raises:
        TypeError, ValueError: on wrong types, shapes, dtypes, devices, NaN, or sigma <= 0; and on
            a single pair where BatchNorm, in training mode, cannot normalise it.
        FloatingPointError: when the result overflows.
    """
    checks.boolean("constant", constant)
    sigma, visible = checked(g, z, x, sigma, mask)
    with buffers_restored(g):
        out = raw_log_joint(g, z, x, sigma, visible)
        if constant:
            pixels = x[0].numel() if visible is None else visible.flatten(1).sum(1).to(out.dtype)
            out = out - pixels * (math.log(2 * math.pi) / 2 + math.log(sigma))
            out = out - z.shape[1] * math.log(2 * math.pi) / 2
        checks.finite("log_joint", out.detach(), OVERFLOW)
    return out


@torch.inference_mode(False)
def grad_z(g: Network, z: Tensor, x: Tensor, *, sigma: float, mask: Tensor | None = None) -> Tensor:
    r"""Gradient of the log posterior in z, :math:`\nabla_z \log p(z \mid x)`: Eq. (8), Eq. (18).

    It equals the gradient of :func:`log_joint`, because p(x) does not depend on z. g is frozen, as
    in every inference: no dropout, stored BatchNorm averages (:func:`mcmcot_lite.frozen`).
    Arguments and errors as :func:`log_joint`. Returns shape (n, d), detached.
    """
    sigma, visible = checked(g, z, x, sigma, mask)
    with frozen(g):
        grad = raw_score(g, z.detach(), x.detach(), sigma, visible)
    return checks.finite("grad_z", grad, OVERFLOW)


def raw_score(g: Network, z: Tensor, x: Tensor, sigma: float, mask: Tensor | None) -> Tensor:
    r"""The gradient of :func:`raw_log_joint` in z, (n, d), without its value.

    :math:`J_g(z)^\top (M \odot (x - g(z))) / \sigma^2 - z`, J_g the Jacobian of g: the residual
    goes through g backwards, and no pass over the pixels is spent on squaring and summing it.
    """
    with torch.enable_grad():
        leaf = z.detach().clone().requires_grad_(True)
        gz = g(leaf)
        if gz.shape != x.shape:
            raise _wrong_shape(gz.shape, x.shape)
        gz = gz.to(x.dtype)  # as under autocast
        residual = torch.sub(x.detach(), gz.detach())
        if mask is not None:
            residual = torch.where(mask, residual, 0.0)
        if not gz.requires_grad:  # g ignores its input
            return -z
        (pull,) = torch.autograd.grad(gz, leaf, residual, materialize_grads=True)
    return pull / sigma**2 - z  # divided last: before, it might leave the range of fp16


def raw_grad_z(
    g: Network, z: Tensor, x: Tensor, sigma: float, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The unchecked pair (log joint (n,), its gradient in z (n, d)), both detached."""
    with torch.enable_grad():
        leaf = z.detach().clone().requires_grad_(True)
        value = raw_log_joint(g, leaf, x, sigma, mask)
        (grad,) = torch.autograd.grad(value.sum(), leaf)
    return value.detach(), grad


@torch.inference_mode(False)
def learning_gradient(
    g: nn.Module, z: Tensor, x: Tensor, *, sigma: float, mask: Tensor | None = None
) -> dict[str, Tensor]:
    r"""Learning gradient, Eqs. (5) to (7) and (17), averaged over the n pairs.

    For each parameter :math:`\theta` of g:
    :math:`\frac1n \sum_i \frac{1}{\sigma^2} (M \odot (x_i - g(z_i)))\, \nabla_\theta g(z_i)`.
    g is called in the mode it is in. Nothing of it changes, neither the ``.grad`` of a parameter
    nor a BatchNorm average. Other arguments and errors as :func:`log_joint`.

    Returns:
        Parameter name -> gradient of the parameter's shape, detached; for those that require one.
    """
    if not isinstance(g, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance]
        rule = "must be a torch.nn.Module (its parameters are differentiated)"
        raise checks.fail("g", rule, checks.shown(g), "Wrap the function in a module.", TypeError)
    sigma, visible = checked(g, z, x, sigma, mask)
    params = {name: p for name, p in g.named_parameters() if p.requires_grad}
    buffers = {name: b.clone() for name, b in g.named_buffers()}  # BatchNorm writes into these

    def same_g(z: Tensor) -> Tensor:
        return torch.func.functional_call(g, buffers, (z,))

    with torch.enable_grad():
        value = raw_log_joint(same_g, z.detach().clone(), x.detach(), sigma, visible).mean()
        rule = "must have parameters that require a gradient and act on g(z)"
        checks.require(value.requires_grad, "g", rule, "none", "Call g.requires_grad_(True).")
        grads = torch.autograd.grad(value, list(params.values()), materialize_grads=True)
    return dict(zip(params, grads, strict=True))
