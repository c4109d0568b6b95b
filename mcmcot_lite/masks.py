"""Masks that hide part of every image (Sections 7.4 and 7.8): 1 is visible, as in Section 6.

Each function returns a bool tensor of shape ``(n, *shape)``, True where a pixel is visible; the
channels of a pixel are hidden together. How much is hidden is exact, the same for every image:

- :func:`patches`: ``count`` patches of h x w pixels that do not overlap hide ``count * h * w``;
- :func:`salt_and_pepper`: patches of a few pixels, hanging over the border, that overlap freely,
  hide ``round(share * (H * W))``. The last one is cut where a whole one would hide more.

:func:`of_paper` names the six of Section 7.4, at the size of your images.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from mcmcot_lite import checks

__all__ = ["KINDS", "of_paper", "patches", "salt_and_pepper"]

TRIES = 1000  # placements of an image, all patches at once
MOVES = 200  # of each patch, where none of them was free of overlap
TOGETHER = 256  # images a draw: bounds the memory


def patches(
    n: int,
    shape: Sequence[int],
    *,
    size: int | tuple[int, int],
    count: int = 1,
    rng: torch.Generator,
) -> Tensor:
    """Rectangular patches at random places, inside the image and without overlap.

    All placements without overlap are equally probable. Where so little is free that a thousand
    random ones overlap, they are nearly so: 200 random moves of each patch from a regular one.

    Args:
        n: masks, one an image.
        shape: of an image, (H, W) or (C, H, W).
        size: pixels of a patch's side, or its (height, width).
        count: patches an image.
        rng: draws the places; the masks are on its device.

    Returns:
        Bool, ``(n, *shape)``: ``count * height * width`` pixels of each image are False.

    Raises:
        TypeError, ValueError: on bad input, or more patches than there is room for; rng is then as
            it was.
    """
    n, (H, W) = checks.integer("n", n, 1), _pixels(shape)
    h, w = _sides(size, H, W)
    count = checks.integer("count", count, 1)
    rng = checks.rng_on(rng, getattr(rng, "device", torch.device("cpu")))
    room, remedy = (H // h) * (W // w), "Use fewer or smaller patches."
    rule = f"must find room for its patches of {h} x {w} in {H} x {W}: {room} at most"
    checks.require(count <= room, "count", rule, count, remedy)
    device = rng.device
    visible = torch.ones(n, H, W, dtype=torch.bool, device=device)
    rows, columns = torch.arange(H, device=device), torch.arange(W, device=device)
    with checks.restored(rng):
        for part in visible.tensor_split(-(-n // TOGETHER)):
            top, left = _placed(len(part), (H - h + 1, W - w + 1), (h, w), count, rng)
            for k in range(count):
                inside = (rows >= top[:, k, None]) & (rows < top[:, k, None] + h)
                across = (columns >= left[:, k, None]) & (columns < left[:, k, None] + w)
                part &= ~(inside[:, :, None] & across[:, None, :])
    return _for_images(visible, shape)


def salt_and_pepper(
    n: int, shape: Sequence[int], *, share: float, patch: int = 3, rng: torch.Generator
) -> Tensor:
    """Small square patches at random places, one after another until a share is hidden.

    A patch may hang over the border, so every pixel is as probably hidden as any other at the first
    patch. Places are drawn without repetition.

    Args:
        n: masks, one an image.
        shape: of an image, (H, W) or (C, H, W).
        share: of the pixels that are hidden, in [0, 1].
        patch: pixels of a patch's side; 1 hides single pixels.
        rng: draws the places; the masks are on its device.

    Returns:
        Bool, ``(n, *shape)``: ``round(share * (H * W))`` pixels of each image are False.

    Raises:
        TypeError, ValueError: on bad input; rng is then as it was.
    """
    n, (H, W) = checks.integer("n", n, 1), _pixels(shape)
    why = "it is a share of the pixels"
    share = checks.number("share", share, above=0, below=1, closed=(True, True), why=why)
    p, _ = _sides(checks.integer("patch", patch, 1), H, W, "patch")
    rng = checks.rng_on(rng, getattr(rng, "device", torch.device("cpu")))
    hidden, device = round(share * (H * W)), rng.device
    visible = torch.ones(n, H * W, dtype=torch.bool, device=device)
    with checks.restored(rng):
        for part in visible.tensor_split(-(-n // TOGETHER)):
            size = (len(part), H + p - 1, W + p - 1)
            turn = torch.rand(size, generator=rng, device=device)  # of the patch that ends here
            first = -max_pool2d(-turn[:, None], p, stride=1)  # the earliest that covers a pixel
            # The pixels of one patch share its turn: shuffled first, a stable sort cuts it anywhere
            mix = torch.rand(len(part), H * W, generator=rng, device=device).argsort(1)
            order = mix.gather(1, first.flatten(1).gather(1, mix).sort(dim=1, stable=True).indices)
            part.scatter_(1, order[:, :hidden], False)
    return _for_images(visible.view(n, H, W), shape)


def _two(n: int, shape: Sequence[int], *, rng: torch.Generator) -> Tensor:
    rule, got = "must have 2 pixels or more for two patches", tuple(shape)
    room = _pixels(shape) != (1, 1)
    checks.require(room, "shape", rule, got, "Use larger images, or another kind.")
    return patches(n, shape, size=_scaled(16, shape), count=2, rng=rng)


def _salt(n: int, shape: Sequence[int], *, share: float, rng: torch.Generator) -> Tensor:
    patch = min(3, *_pixels(shape))
    return salt_and_pepper(n, shape, share=share, patch=patch, rng=rng)


def _square(n: int, shape: Sequence[int], *, side: int, rng: torch.Generator) -> Tensor:
    return patches(n, shape, size=_scaled(side, shape), rng=rng)


KINDS = {
    "two patches": _two,
    "square 32": partial(_square, side=32),
    "square 45": partial(_square, side=45),
    "salt 50": partial(_salt, share=0.5),
    "salt 70": partial(_salt, share=0.7),
    "salt 90": partial(_salt, share=0.9),
}
"""The masks of Section 7.4."""


def of_paper(kind: str, n: int, shape: Sequence[int], *, rng: torch.Generator) -> Tensor:
    """One of the six masks of Section 7.4: sides are those printed where images are 64 x 64.

    Args:
        kind: a key of :data:`KINDS`: ``"two patches"`` of 16 x 16, ``"square 32"``,
            ``"square 45"``, or ``"salt 50"``, ``"salt 70"``, ``"salt 90"`` of 3 x 3.
        n: masks, one an image.
        shape: of an image, (H, W) or (C, H, W). Sides of squares are scaled by its smaller side
            over 64, to whole pixels; the 3 x 3 patches are not, but fit into a side below 3.
        rng: draws the places; the masks are on its device.

    Returns:
        Bool, ``(n, *shape)``.

    Raises:
        TypeError, ValueError: on bad input.
    """
    checks.choice("kind", kind, tuple(KINDS))
    return KINDS[kind](n, shape, rng=rng)


def _scaled(side: int, shape: Sequence[int]) -> int:
    """A side of the paper's 64 x 64 images, in whole pixels of these."""
    return max(1, round(side * min(_pixels(shape)) / 64))


def _pixels(shape: Sequence[int]) -> tuple[int, int]:
    """Height and width of an image."""
    rule, remedy = "must be (H, W) or (C, H, W)", "For images x pass x.shape[1:]."
    is_shape = isinstance(shape, Sequence) and not isinstance(shape, (str, bytes))  # pyright: ignore[reportUnnecessaryIsInstance]
    if not is_shape:
        raise checks.fail("shape", rule, checks.shown(shape), remedy, TypeError)
    checks.require(len(shape) in (2, 3), "shape", rule, tuple(shape), remedy)
    for i, k in enumerate(shape):
        checks.integer(f"shape[{i}]", k, 1, remedy=remedy)
    return shape[-2], shape[-1]


def _sides(size: int | tuple[int, int], H: int, W: int, name: str = "size") -> tuple[int, int]:
    """Height and width of a patch that fits."""
    pair = size if isinstance(size, (tuple, list)) else (size, size)
    rule, remedy = "must be a whole number or (height, width)", "Pass 16, say."
    checks.require(len(pair) == 2, name, rule, checks.shown(size), remedy)
    h, w = (checks.integer(name, k, 1, remedy=remedy) for k in pair)
    rule = f"must fit into an image of {H} x {W}"
    checks.require(h <= H and w <= W, name, rule, f"{h} x {w}", "Use a smaller one.")
    return h, w


def _placed(
    n: int, places: tuple[int, int], size: tuple[int, int], count: int, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Top and left ends, each (n, count), drawn again until no two patches of an image overlap."""
    corner = torch.zeros(2, n, count, dtype=torch.long, device=rng.device)
    todo = torch.arange(n, device=rng.device)
    for _ in range(TRIES):
        new = torch.stack(
            [torch.randint(k, (len(todo), count), generator=rng, device=rng.device) for k in places]
        )
        corner[:, todo] = new
        far = [(new[i, :, :, None] - new[i, :, None, :]).abs() >= size[i] for i in range(2)]
        same = torch.eye(count, dtype=torch.bool, device=rng.device)
        todo = todo[~(far[0] | far[1] | same).flatten(1).all(1)]
        if len(todo) == 0:
            return corner[0], corner[1]
    corner[:, todo] = _moved(len(todo), places, size, count, rng)
    return corner[0], corner[1]


def _moved(
    n: int, places: tuple[int, int], size: tuple[int, int], count: int, rng: torch.Generator
) -> Tensor:
    """Ends (2, n, count) without overlap: Metropolis moves from cells of a regular grid.

    A move to a free place is as probable as the one back, so all placements that can be reached are
    equally probable in the end.
    """
    down, across = ((k - 1) // side + 1 for k, side in zip(places, size, strict=True))
    cells = torch.rand(n, down * across, generator=rng, device=rng.device).argsort(1)[:, :count]
    at = torch.stack([cells // across * size[0], cells % across * size[1]])
    for move in range(MOVES * count):
        new = torch.stack(
            [torch.randint(k, (n, 1), generator=rng, device=rng.device) for k in places]
        )
        far = [(at[i] - new[i]).abs() >= size[i] for i in range(2)]
        apart = far[0] | far[1]
        apart[:, move % count] = True
        free = apart.all(1)
        at[:, free, move % count] = new[:, free, 0]
    return at


def _for_images(visible: Tensor, shape: Sequence[int]) -> Tensor:
    """The same for each channel, ``(n, *shape)``."""
    if len(shape) == 2:
        return visible
    return visible[:, None].expand(-1, shape[0], -1, -1).contiguous()
