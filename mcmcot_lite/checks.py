"""One voice for every error of the library (layer 0: imports nothing else from the package).

Each check either returns its value, narrowed and unchanged, or raises. A message always has the
same four parts: the argument, the rule (with its reason where one helps), the value got, and a
remedy. ``TypeError`` is for the wrong kind of thing, ``ValueError`` for a wrong value. Public
functions call their checks before they do any work, so a failed call changes nothing; what can
fail only on the way (a diverging chain) runs inside :func:`restored`.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from numbers import Integral, Real

import torch
from torch import Tensor

__all__ = [
    "FLOATS",
    "blocks",
    "boolean",
    "choice",
    "error_text",
    "fail",
    "finite",
    "integer",
    "is_ours",
    "latents",
    "mask_for",
    "number",
    "require",
    "restored",
    "rng_on",
    "shown",
    "takes",
    "tensor",
]

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
ADDRESS = re.compile(r" (?:object )?at 0x[0-9A-Fa-f]+")


def fail(
    name: str, rule: str, got: object, remedy: str, kind: type[Exception] = ValueError
) -> Exception:
    """Builds the exception ``name rule; got ... . remedy`` (the caller raises it)."""
    return kind(f"{name} {rule}; got {got}. {remedy}")


def require(
    ok: bool, name: str, rule: str, got: object, remedy: str, kind: type[Exception] = ValueError
) -> None:
    """Raises what :func:`fail` builds, unless ``ok``."""
    if not ok:
        raise fail(name, rule, got, remedy, kind)


def shown(value: object) -> str:
    """A wrong value in a few words: its type, and as much of it as fits."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)} and dtype {value.dtype}"
    try:
        text = ADDRESS.sub("", " ".join(repr(value).split()))
    except Exception:  # Python refuses to print ints of many digits; a repr of the user's may fail
        text = "a value that cannot be printed"
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"


def error_text(error: BaseException) -> str:
    """Kind and text of an error, without addresses in memory, which differ from run to run."""
    return f"{type(error).__name__}: {ADDRESS.sub('', str(error))}"


def is_ours(error: Exception) -> bool:
    """Whether an error already has the four parts of :func:`fail`."""
    return isinstance(error, (TypeError, ValueError)) and "; got " in str(error)


def _scalar(value: object) -> object:
    """The number in a tensor without axes; anything else as it is."""
    if isinstance(value, Tensor) and value.ndim == 0 and not value.is_meta:
        return value.item()
    return value


def boolean(name: str, value: object, remedy: str = "Pass True or False.") -> bool:
    """A real ``bool``; 0, 1 and "false" are refused, since each has surprised somebody."""
    if not isinstance(value, bool):
        raise fail(name, "must be a bool", shown(value), remedy, TypeError)
    return value


def integer(
    name: str,
    value: object,
    minimum: int,
    why: str = "",
    remedy: str = "",
    maximum: int = 2**31 - 1,
) -> int:
    """A whole number from ``minimum`` to ``maximum`` (bool and float are refused)."""
    value = _scalar(value)
    if isinstance(value, bool) or not isinstance(value, Integral):
        remedy = remedy or f"Pass an int of at least {minimum}."
        raise fail(name, "must be a whole number", shown(value), remedy, TypeError)
    value = int(value)
    rule = f"must be at least {minimum}{': ' + why if why else ''}"
    got = value if abs(value) < 10**20 else "one beyond all bounds"  # Python prints no such number
    require(value >= minimum, name, rule, got, remedy or f"Pass {minimum} or more.")
    require(value <= maximum, name, f"must be at most {maximum}", got, "Choose a smaller one.")
    return value


def number(
    name: str,
    value: object,
    *,
    above: float = -math.inf,
    below: float = math.inf,
    closed: tuple[bool, bool] = (False, False),
    why: str = "",
    remedy: str = "",
) -> float:
    """A finite real number in the interval (above, below); ``closed`` says which ends belong."""
    value = _scalar(value)
    if isinstance(value, bool) or not isinstance(value, Real):
        remedy = remedy or "Pass a float."
        raise fail(name, "must be a real number", shown(value), remedy, TypeError)
    try:
        v = float(value)
    except OverflowError:  # an int or a fraction too large for a float
        v = -math.inf if value <= -value else math.inf
    high_enough = v >= above if closed[0] else v > above
    low_enough = v <= below if closed[1] else v < below
    if below < math.inf:
        left, right = "[" if closed[0] else "(", "]" if closed[1] else ")"
        rule = f"must lie in {left}{above:g}, {below:g}{right}"
    elif above > -math.inf:
        rule = f"must be {'at least' if closed[0] else 'greater than'} {above:g} and finite"
    else:
        rule = "must be finite"
    ok = math.isfinite(v) and high_enough and low_enough
    require(ok, name, f"{rule}{': ' + why if why else ''}", v, remedy or "Choose another value.")
    return v


def finite(name: str, value: Tensor, remedy: str) -> Tensor:
    """A result without NaN and infinity: finite input may still overflow."""
    bad = value.numel() - int(torch.isfinite(value).sum())
    rule, got = f"must fit into {value.dtype}", f"{bad} NaN or infinite entries of {value.numel()}"
    require(bad == 0, name, rule, got, remedy, FloatingPointError)
    return value


def takes(name: str, function: object, *values: object) -> None:
    """A function that accepts these arguments, as far as its signature tells."""
    rule = f"must take {len(values)} argument{'s' * (len(values) != 1)}"
    if not callable(function):
        raise fail(name, "must be a function", shown(function), "Pass a function.", TypeError)
    try:
        signature = inspect.signature(function, follow_wrapped=False)  # a wrapper may add some
    except (TypeError, ValueError):  # a built-in may not tell
        return
    try:
        signature.bind(*values)
    except TypeError as error:
        got = f"{shown(function)}: {error}"
        raise fail(name, rule, got, "Give it these arguments.", TypeError) from None


def choice(name: str, value: object, allowed: tuple[str, ...]) -> str:
    """One of a few strings."""
    rule = f"must be one of {', '.join(map(repr, allowed))}"
    if not isinstance(value, str):
        raise fail(name, rule, shown(value), "Pass one of these strings.", TypeError)
    require(value in allowed, name, rule, repr(value), "Check the spelling.")
    return value


BLOCK = 1 << 20  # numbers looked at together: a check must not need as much memory as its subject


def blocks(value: Tensor) -> Iterator[slice]:
    """Slices of the first axis that hold about :data:`BLOCK` numbers each."""
    rows = max(1, BLOCK // max(1, value[:1].numel()))
    for i in range(0, len(value), rows):
        yield slice(i, i + rows)


def tensor(
    name: str,
    value: object,
    *,
    ndim: int | None = None,
    shape: tuple[int | None, ...] | None = None,
    like: Tensor | None = None,
    like_name: str = "",
    finite: bool = True,
    remedy: str = "",
) -> Tensor:
    """A dense, non-empty floating-point tensor, optionally like another one.

    Args:
        name: what the message calls it.
        value: what is checked.
        ndim: number of axes asked for.
        shape: size of each axis, ``None`` for any.
        like: another argument, checked before, whose dtype and device it shares.
        like_name: what the message calls ``like``.
        finite: refuse NaN and infinity.
        remedy: what to do about a wrong shape.
    """
    if not isinstance(value, Tensor):
        convert = "Convert it with torch.as_tensor(..., dtype=torch.float32)."
        raise fail(name, "must be a torch.Tensor", shown(value), convert, TypeError)
    convert = "Convert it with .float() (bytes of an image: x.float() / 255)."
    rule = "must have a floating-point dtype of 16, 32 or 64 bits"
    require(value.dtype in FLOATS, name, rule, value.dtype, convert, TypeError)
    dense = value.layout == torch.strided
    require(dense, name, "must be dense", value.layout, "Use .to_dense().", TypeError)
    got = f"shape {tuple(value.shape)}"
    if ndim is not None:
        require(value.ndim == ndim, name, f"must have {ndim} axes", got, remedy or "Reshape it.")
    if shape is not None:
        want = ", ".join("any" if k is None else str(k) for k in shape)
        fits = len(shape) == value.ndim and all(
            k is None or k == m for k, m in zip(shape, value.shape, strict=True)
        )
        sizes = f"Reshape it, or give it the sizes of {like_name}." if like_name else "Reshape it."
        rule = f"must have shape ({want}{',' * (len(shape) == 1)})"
        require(fits, name, rule, got, remedy or sizes)
    require(value.numel() > 0, name, "must not be empty", got, "Pass at least one value.")
    if like is not None:
        rule = f"must have the dtype of {like_name}, {like.dtype}"
        require(value.dtype == like.dtype, name, rule, value.dtype, f"Use .to({like.dtype}).")
        rule = f"must be on the device of {like_name}, {like.device}"
        require(
            value.device == like.device, name, rule, value.device, f"Use .to({str(like.device)!r})."
        )
    elif value.is_meta:
        raise fail(name, "must hold values", "a tensor on device meta", "Make it on a real device.")
    if finite:
        parts = [value] if value.ndim == 0 else [value[at] for at in blocks(value)]
        bad = int(torch.stack([(~torch.isfinite(part)).sum() for part in parts]).sum())
        got = f"{bad} NaN or infinite entries of {value.numel()}"
        require(bad == 0, name, "must be finite", got, "Find where they arise and remove them.")
    return value


def latents(name: str, value: object, like: Tensor | None = None, like_name: str = "") -> Tensor:
    """Latent vectors: a finite floating-point tensor of shape (n, d)."""
    remedy = "Latents have one row for each image: shape (n, d)."
    return tensor(name, value, ndim=2, like=like, like_name=like_name, remedy=remedy)


def mask_for(x: Tensor, mask: object) -> Tensor | None:
    """A visibility mask for images x: None, or 0/1 (or bool) of x's shape; returned as bool.

    1 means visible (Section 6). A mask of shape ``x.shape[1:]`` is shared by all images.
    """
    if mask is None:
        return None
    if not isinstance(mask, Tensor):
        remedy = "Pass ones where a pixel is visible and zeros where it is hidden."
        raise fail("mask", "must be a torch.Tensor or None", shown(mask), remedy, TypeError)
    rule = f"must have the shape of x, {tuple(x.shape)}, or of one image, {tuple(x.shape[1:])}"
    fits, spreads = mask.shape in (x.shape, x.shape[1:]), _spreads(mask, x)
    remedy = "Use mask.expand_as(x)." if spreads else "Build it with torch.ones_like(x)."
    require(fits, "mask", rule, f"shape {tuple(mask.shape)}", remedy)
    dense = mask.layout == torch.strided
    require(dense, "mask", "must be dense", mask.layout, "Use .to_dense().", TypeError)
    rule, remedy = f"must be on the device of x, {x.device}", f"Use .to({str(x.device)!r})."
    require(mask.device == x.device, "mask", rule, mask.device, remedy)
    rule, remedy = "must be bool, whole or real numbers", "Use a mask of dtype torch.bool."
    plain = not (mask.is_complex() or mask.is_quantized)
    require(plain, "mask", rule, mask.dtype, remedy, TypeError)
    if mask.dtype != torch.bool:
        others = int(((mask != 0) & (mask != 1)).sum())
        rule, got = "must hold only 0 (hidden) and 1 (visible)", f"{others} other values"
        require(others == 0, "mask", rule, got, "Threshold it first, for example mask > 0.5.")
    visible = mask.bool().expand_as(x)
    return visible.clone() if visible.is_inference() else visible  # autograd must keep it


def _spreads(mask: Tensor, x: Tensor) -> bool:
    """Whether expand_as would make the mask one of x's shape, such as one channel for three."""
    sizes = zip(reversed(mask.shape), reversed(x.shape), strict=False)
    return 0 < mask.ndim <= x.ndim and all(k in (1, m) for k, m in sizes)


def rng_on(rng: object, device: torch.device) -> torch.Generator:
    """A random generator on ``device``: the library draws from no other."""
    remedy = f"Pass torch.Generator({str(device)!r}).manual_seed(0)."
    if not isinstance(rng, torch.Generator):
        rule = "must be a torch.Generator (no hidden seeds)"
        raise fail("rng", rule, shown(rng), remedy, TypeError)
    here = rng.device
    same = here.type == device.type and len({here.index, device.index} - {None}) < 2
    require(same, "rng", f"must be on the device of the data, {device}", here, remedy)
    return rng


@contextmanager
def restored(rng: torch.Generator) -> Generator[None, None, None]:
    """Context that puts the state of ``rng`` back if its body raises."""
    state = rng.get_state()
    try:
        yield
    except BaseException:
        rng.set_state(state)
        raise
