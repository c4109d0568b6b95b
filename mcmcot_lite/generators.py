"""Generators g: latents (n, d) -> images (n, ...). Linear, a small MLP, and the nets of Table 1.

The sizes of Table 1 are as printed. Three points the table leaves open are settled here:

- Departs: the printed last layer is Tanh, with values in (-1, 1), while the images are scaled to
  [0, 1]. The default ``output="unit"`` is (tanh + 1) / 2, as in the authors' released script;
  ``output="tanh"`` is the printed one.
- 5 x 5 transposed convolutions of stride 2 and padding 2 double a side only with output
  padding 1.
- A layer under BatchNorm has no bias of its own: BatchNorm would subtract it.

Weights start Xavier normal, biases at zero (Section 7.1). Inference may use BatchNorm in two modes,
see :func:`mcmcot_lite.frozen`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from mcmcot_lite import checks
from mcmcot_lite.world import several

__all__ = [
    "MLP",
    "LinearGenerator",
    "Table1",
    "celeba_generator",
    "mnist_generator",
    "svhn_generator",
]


class _Unit(nn.Module):
    """(tanh(a) + 1) / 2: the printed Tanh, moved to the range of the images."""

    def forward(self, a: Tensor) -> Tensor:
        return (torch.tanh(a) + 1) / 2


WIDEST = 1000  # times the sizes of Table 1
OUTPUTS = {"unit": _Unit, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "none": nn.Identity}


def _made(activation: type[nn.Module]) -> nn.Module:
    """An activation that needs no arguments."""
    try:
        return activation()
    except TypeError as error:
        rule, remedy = "must be made without arguments", "Pass nn.GELU, nn.Tanh or the like."
        raise checks.fail("activation", rule, activation.__name__, remedy, TypeError) from error


def _output(kind: str) -> nn.Module:
    return OUTPUTS[checks.choice("output", kind, tuple(OUTPUTS))]()


def _sizes(name: str, sizes: Sequence[int], example: str) -> tuple[int, ...]:
    """A list of positive whole numbers."""
    if not isinstance(sizes, (tuple, list)):  # torch.Size is a tuple
        remedy = f"For example {example}."
        raise checks.fail(name, "must be a tuple of ints", checks.shown(sizes), remedy, TypeError)
    return tuple(checks.integer(name, k, 1) for k in sizes)


def _image_shape(shape: Sequence[int], name: str = "shape") -> tuple[int, ...]:
    sizes = _sizes(name, shape, "(1, 28, 28)")
    checks.require(len(sizes) > 0, name, "must not be empty", "()", "For example (1, 28, 28).")
    return sizes


def _check_latents(z: Tensor, d: int, like: Tensor) -> None:
    """Latents of the width, dtype and device that the weights ``like`` have; values are free."""
    if several() and z.shape == (0, d):
        return  # one of several processes may have no row of a small batch
    remedy = f"This g was built for d = {d}: pass latents of shape (n, {d})."
    of = "the parameters of g"
    checks.tensor("z", z, shape=(None, d), like=like, like_name=of, finite=False, remedy=remedy)


def _xavier(module: nn.Module, rng: torch.Generator | None) -> None:
    """Xavier-normal weights and zero biases, drawn from rng (None: PyTorch's global generator)."""
    layers = [m for m in module.modules() if isinstance(m, (nn.Linear, nn.ConvTranspose2d))]
    if rng is not None:
        checks.rng_on(rng, layers[0].weight.device)
    for m in layers:
        nn.init.xavier_normal_(m.weight, generator=rng)
        if m.bias is not None:  # pyright: ignore[reportUnnecessaryComparison]
            nn.init.zeros_(m.bias)


class LinearGenerator(nn.Module):
    r"""g(z) = mu + Theta z, the factor analysis model of Section 3.1.

    Args:
        theta: (D, d); copied.
        mu: (D,), zeros when left out; copied.
        shape: shape of one image; (D,) when left out.
    """

    def __init__(
        self, theta: Tensor, mu: Tensor | None = None, shape: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        checks.tensor("theta", theta, ndim=2, remedy="Pass loadings of shape (D, d).")
        D, self.d = theta.shape
        if mu is None:
            mu = torch.zeros_like(theta[:, 0])
        checks.tensor("mu", mu, shape=(D,), like=theta, like_name="theta")
        self.shape = (D,) if shape is None else _image_shape(shape)
        rule = f"must hold the D = {D} pixels of theta"
        fits = math.prod(self.shape) == D
        checks.require(fits, "shape", rule, self.shape, "Leave it out for flat images.")
        self.theta = nn.Parameter(theta.detach().clone())
        self.mu = nn.Parameter(mu.detach().clone())

    def forward(self, z: Tensor) -> Tensor:
        """Images ``(n, *shape)`` of the latents z (n, d)."""
        _check_latents(z, self.d, self.theta)
        flat = z @ self.theta.mT + self.mu
        return flat.reshape(len(z), *self.shape)


class MLP(nn.Module):
    """A small fully connected generator for teaching: d -> hidden -> ... -> pixels.

    Args:
        d: dimension of the latents.
        shape: shape of one image.
        hidden: widths of the hidden layers; () leaves one affine layer.
        activation: a torch.nn activation class; smooth ones give smooth gradients in z.
        output: ``"sigmoid"`` (range (0, 1)), ``"unit"``, ``"tanh"`` or ``"none"``.
        rng: draws the initial weights, on their device; None uses PyTorch's global generator.
    """

    def __init__(
        self,
        d: int,
        shape: Sequence[int] = (1, 28, 28),
        hidden: Sequence[int] = (64, 128),
        activation: type[nn.Module] = nn.GELU,
        output: str = "sigmoid",
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.d, self.shape = checks.integer("d", d, 1), _image_shape(shape)
        if not (isinstance(activation, type) and issubclass(activation, nn.Module)):  # pyright: ignore[reportUnnecessaryIsInstance]
            rule, remedy = "must be a class of torch.nn", "Pass nn.GELU, not nn.GELU()."
            raise checks.fail("activation", rule, checks.shown(activation), remedy, TypeError)
        last = _output(output)
        widths = (self.d, *_sizes("hidden", hidden, "(64, 128)"))
        layers: list[nn.Module] = []
        with torch.random.fork_rng(devices=[]):  # nn.Linear draws weights that _xavier replaces
            for a, b in pairwise(widths):
                layers += [nn.Linear(a, b), _made(activation)]
            layers += [nn.Linear(widths[-1], math.prod(self.shape)), last]
        self.net = nn.Sequential(*layers)
        _xavier(self, rng)

    def forward(self, z: Tensor) -> Tensor:
        """Images ``(n, *shape)`` of the latents z (n, d)."""
        _check_latents(z, self.d, next(self.parameters()))
        return self.net(z).reshape(len(z), *self.shape)


class Table1(nn.Module):
    """A network of Table 1: linear layers, then transposed convolutions that double the side.

    Use :func:`mnist_generator`, :func:`svhn_generator` or :func:`celeba_generator`.

    Args:
        d: dimension of the latents.
        linear: widths of fully connected layers before the image (MNIST has one).
        start: (channels, side, side) of the first image-shaped layer.
        channels: output channels of the transposed convolutions, the last the image's.
        kernel: 2 (no padding) or 5 (padding 2, output padding 1); both double the side.
        output: see the module's text; the names of :class:`MLP`.
        rng: draws the initial weights, on their device; None uses PyTorch's global generator.
    """

    def __init__(
        self,
        d: int,
        linear: Sequence[int],
        start: Sequence[int],
        channels: Sequence[int],
        kernel: int,
        output: str,
        rng: torch.Generator | None,
    ) -> None:
        super().__init__()
        self.d, linear = checks.integer("d", d, 1), _sizes("linear", linear, "(1024,)")
        start, channels = _image_shape(start, "start"), _image_shape(channels, "channels")
        square = len(start) == 3 and start[1] == start[2]
        rule = "must be (channels, side, side)"
        checks.require(square, "start", rule, start, "For example (128, 7, 7).")
        checks.require(kernel in (2, 5), "kernel", "must be 2 or 5", kernel, "Table 1 has these.")
        pad, extra = (2, 1) if kernel == 5 else (0, 0)  # padding, output padding
        last = _output(output)
        c, side = start[:2]
        layers: list[nn.Module] = []
        with torch.random.fork_rng(devices=[]):  # the layers draw weights that _xavier replaces
            for a, b in pairwise((self.d, *linear)):
                layers += [nn.Linear(a, b, bias=False), nn.BatchNorm1d(b), nn.ReLU()]
            layers += [
                nn.Linear((self.d, *linear)[-1], math.prod(start), bias=False),
                nn.Unflatten(1, start),
            ]
            for i, k in enumerate(channels, start=1):
                image = i == len(channels)  # the last layer has no BatchNorm above it
                layers += [nn.BatchNorm2d(c), nn.ReLU()]
                layers.append(nn.ConvTranspose2d(c, k, kernel, 2, pad, extra, bias=image))
                c, side = k, 2 * side
        self.shape = (c, side, side)
        self.net = nn.Sequential(*layers, last)
        _xavier(self, rng)

    def forward(self, z: Tensor) -> Tensor:
        """Images ``(n, *shape)`` of the latents z (n, d)."""
        _check_latents(z, self.d, next(self.parameters()))
        return self.net(z)

    def folded(self) -> nn.Module:
        """The network in evaluation mode without BatchNorm: each is part of the layer below.

        BatchNorm with stored averages maps channel c to a_c v + b_c. The linear layer or transposed
        convolution before it takes a_c into its weights and b_c as its bias. Returns a network with
        new weights where they change; or this one where training mode, a subclass, a hook or
        another layer stands in the way.
        """
        if self.training or not self._plain():
            return self
        layers: list[nn.Module] = []
        for layer in self.net:
            if isinstance(layer, _BatchNorm):
                shape = [layers.pop()] if layers and type(layers[-1]) is nn.Unflatten else []
                below = layers.pop() if layers else layer
                merged = _merged(below, layer, bool(shape))
                if merged is None:
                    return self
                layers += [merged, *shape]
            else:
                layers.append(layer)
        return nn.Sequential(*_lean(layers))

    def streamlined(self) -> nn.Module:
        """The same layers for fewer passes over the activations: what inference runs for a batch's
        statistics, where nothing can be folded. This network where a subclass or a hook stands in
        the way.
        """
        return nn.Sequential(*_lean(list(self.net))) if self._plain() else self

    def _plain(self) -> bool:
        """Nobody has changed what the network does, or listens to a layer."""
        return type(self) is Table1 and not _hooked(self)


class _Image(nn.Module):
    """(n, side * side * c), the channels last, to (n, c, side, side) without moving a number."""

    def __init__(self, c: int, side: int) -> None:
        super().__init__()
        self.c, self.side = c, side

    def forward(self, a: Tensor) -> Tensor:
        return a.view(-1, self.side, self.side, self.c).permute(0, 3, 1, 2)


# Layers whose gradient needs their input, not their output: that may be overwritten.
_FREE = (nn.Linear, nn.ConvTranspose2d, nn.BatchNorm1d, nn.BatchNorm2d)


def _lean(layers: list[nn.Module]) -> list[nn.Module]:
    """The same function: a ReLU overwrites its input, and the linear layer below the images writes
    them as the convolution above reads them.
    """
    convolutions = [m for m in layers if isinstance(m, nn.ConvTranspose2d)]
    last = bool(convolutions) and convolutions[0].weight.is_contiguous(
        memory_format=torch.channels_last
    )
    out: list[nn.Module] = []
    for layer in layers:
        below = out[-1] if out else None
        if type(layer) is nn.ReLU:
            # Below a view: the gradient of a view that was overwritten is copied.
            at = len(out) - isinstance(below, (_Image, nn.Unflatten))
            free = at > 0 and type(out[at - 1]) in _FREE
            out.insert(at, nn.ReLU(inplace=True) if free else layer)
        elif last and type(below) is nn.Linear and _square(layer, below.out_features):
            c, side, _ = cast(nn.Unflatten, layer).unflattened_size
            out[-1:] = [_channels_last(below, c, side), _Image(c, side)]
        else:
            out.append(layer)
    return out


def _square(layer: nn.Module, pixels: int) -> bool:
    """It makes (c, side, side) of the numbers of a linear layer."""
    if type(layer) is not nn.Unflatten or layer.dim != 1:
        return False
    shape = tuple(layer.unflattened_size)
    return (
        len(shape) == 3 and shape[1] == shape[2] and math.prod(shape) == pixels and min(shape) > 0
    )


def _channels_last(linear: nn.Linear, c: int, side: int) -> nn.Linear:
    """A linear layer to (c, side, side) whose outputs come in the order (side, side, c)."""
    out = nn.Linear(linear.in_features, linear.out_features, False, "meta")
    order = linear.weight.detach().view(c, side * side, -1).transpose(0, 1)
    out.weight = nn.Parameter(order.reshape(linear.weight.shape), requires_grad=False)
    if linear.bias is not None:  # pyright: ignore[reportUnnecessaryComparison]
        bias = linear.bias.detach().view(c, side * side).T.flatten()
        out.bias = nn.Parameter(bias, requires_grad=False)
    return out


def _hooked(g: nn.Module) -> bool:
    """Whether somebody listens to a layer, or has replaced its forward pass."""
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    if any(getattr(m, name) for m in g.modules() for name in names):
        return True
    own = [m.__dict__["forward"] for m in g.modules() if "forward" in m.__dict__]
    return not all(getattr(f, "keeps_the_map", False) for f in own)  # as of mcmcot_lite.synced


def _merged(below: nn.Module, norm: _BatchNorm, unflattened: bool) -> nn.Module | None:
    """The layer below and its BatchNorm in one; None where they are of other kinds."""
    known = type(norm) in (nn.BatchNorm1d, nn.BatchNorm2d)  # not a subclass: it may do otherwise
    if not known or norm.running_var is None or not norm.affine:
        return None
    if type(below) is nn.ConvTranspose2d and not unflattened:
        return fuse_conv_bn_eval(below, norm, transpose=True)
    if type(below) is not nn.Linear or below.out_features % norm.num_features:
        return None
    wide = copy.deepcopy(norm)  # one entry for each output of the linear layer
    wide.num_features = below.out_features
    times = below.out_features // norm.num_features
    for name in ("weight", "bias", "running_mean", "running_var"):
        value = getattr(norm, name)
        if value is not None:
            value = value.detach().repeat_interleave(times)
            setattr(wide, name, nn.Parameter(value) if name in ("weight", "bias") else value)
    merged = fuse_linear_bn_eval(below, wide)
    return merged.requires_grad_(False)


def _scaled(width: float, *sizes: int) -> list[int]:
    width = checks.number("width", width, above=0.0, remedy="1 is the size of Table 1.")
    checks.require(width <= WIDEST, "width", f"must be at most {WIDEST}", width, "Try 1.")
    return [max(1, round(width * k)) for k in sizes]


def mnist_generator(
    d: int = 30, *, width: float = 1.0, output: str = "unit", rng: torch.Generator | None = None
) -> Table1:
    """Table 1, MNIST: d -> 1024 -> 7x7x128 -> 14x14x64 -> 28x28x1, transposed convolutions 2x2.

    ``width`` multiplies every hidden size; 1 is the paper's.
    """
    a, b, c = _scaled(width, 1024, 128, 64)
    return Table1(d, (a,), (b, 7, 7), (c, 1), 2, output, rng)


def svhn_generator(
    d: int = 64, *, width: float = 1.0, output: str = "unit", rng: torch.Generator | None = None
) -> Table1:
    """Table 1, SVHN: d -> 2x2x512 -> 4x4x256 -> 8x8x128 -> 16x16x64 -> 32x32x3, 5x5."""
    a, b, c, e = _scaled(width, 512, 256, 128, 64)
    return Table1(d, (), (a, 2, 2), (b, c, e, 3), 5, output, rng)


def celeba_generator(
    d: int = 64, *, width: float = 1.0, output: str = "unit", rng: torch.Generator | None = None
) -> Table1:
    """Table 1, CelebA: d -> 4x4x1024 -> 8x8x512 -> 16x16x256 -> 32x32x128 -> 64x64x3, 5x5."""
    a, b, c, e = _scaled(width, 1024, 512, 256, 128)
    return Table1(d, (), (a, 4, 4), (b, c, e, 3), 5, output, rng)
