"""What to hold a model's completions against: hidden pixels filled without one.

Each function takes images x, (n, ...), and a mask, and returns images of x's shape whose visible
pixels are x's and whose hidden pixels, which are never read, are filled.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from mcmcot_lite import checks
from mcmcot_lite.density import given_mask, images_and_mask

__all__ = ["fill_mean", "fill_nearest_image", "fill_nearest_pixel"]

CELLS = 1 << 24  # numbers in a block of distances


def fill_mean(
    x: Tensor, mask: Tensor, train: Tensor | None = None, train_mask: Tensor | None = None
) -> Tensor:
    """Each hidden pixel becomes the mean of that pixel over the images that show it.

    Args:
        x: images, (n, ...); hidden pixels may hold anything.
        mask: visible pixels (1), the shape of x or of one image.
        train: images whose means are taken, (m, ...); without them, x itself.
        train_mask: their visible pixels; without it, all of them.

    Returns:
        (n, ...). A pixel that no image shows becomes the mean of all that is shown.

    Raises:
        TypeError, ValueError: on bad input, or where no pixel at all is shown.
        FloatingPointError: where sums over images overflow float64.
    """
    visible = given_mask(x, mask)
    name = "mask" if train is None else "train_mask"
    if train is None:
        rule, remedy = "must be left out without train", "Pass train as well."
        got = "a mask"
        checks.require(train_mask is None, "train_mask", rule, got, remedy)
        train, shown = x, visible
    else:
        shown = _like("train", train, x, train_mask)
    count = shown.sum(0)
    rule, remedy = "must leave a pixel visible", "1 marks a visible pixel."
    checks.require(bool(count.any()), name, rule, "none", remedy)
    total = torch.where(shown, train, 0.0).double().sum(0)
    mean = torch.where(count > 0, total / count.clamp(min=1), total.sum() / count.sum())
    mean = checks.finite("mean image", mean, "Divide the images by a large number.")
    return torch.where(visible, x, mean.to(x.dtype))


def fill_nearest_image(x: Tensor, mask: Tensor, train: Tensor) -> Tensor:
    """Hidden pixels become those of the training image that is nearest in the visible ones.

    Args:
        x: images, (n, ...); hidden pixels may hold anything.
        mask: visible pixels (1), the shape of x or of one image.
        train: whole images, (m, ...).

    Returns:
        (n, ...). An image that shows nothing becomes the first of train.

    Raises:
        TypeError, ValueError: on bad input.
        FloatingPointError: where squares overflow float64, in which distances are computed.
    """
    visible = given_mask(x, mask)
    _like("train", train, x, None)
    y = train.flatten(1).double()
    centre = y.mean(0)
    y = y - centre  # what all images share would cancel, and take digits with it
    filled = torch.empty_like(x)
    squares = y.square()
    parts = -(-len(x) // max(1, CELLS // len(y)))
    for part in torch.arange(len(x), device=x.device).tensor_split(parts):
        seen = visible[part].flatten(1)
        shown = torch.where(seen, x[part].flatten(1).double() - centre, 0.0)
        far = seen.double() @ squares.mT - 2 * shown @ y.mT  # less |shown|^2, the same for all
        checks.finite("distance of images", far, "Divide x and train by a large number.")
        filled[part] = torch.where(visible[part], x[part], train[far.argmin(1)])
    return filled


def fill_nearest_pixel(x: Tensor, mask: Tensor) -> Tensor:
    """Each hidden pixel becomes the nearest visible one of its image and channel.

    Args:
        x: images, (n, H, W) or (n, C, H, W); hidden pixels may hold anything.
        mask: visible pixels (1), the shape of x or of one image.

    Returns:
        (n, ...).

    Raises:
        TypeError, ValueError: on bad input, or an image that shows nothing in some channel.
    """
    from scipy import ndimage  # here: it takes half as long to import as torch does

    visible = given_mask(x, mask)
    rule, remedy = "must be (n, H, W) or (n, C, H, W)", "Reshape it."
    checks.require(x.ndim in (3, 4), "x", rule, f"shape {tuple(x.shape)}", remedy)
    planes, seen = x.flatten(0, -3), visible.flatten(0, -3)
    blank = (~seen.flatten(1).any(1)).nonzero()
    image = "" if len(blank) == 0 else f"image {int(blank[0]) * len(x) // len(planes)}"
    rule = "must leave a pixel of each image and channel visible"
    checks.require(not image, "mask", rule, f"none in {image}", "Use fill_mean there.")
    filled = torch.empty_like(planes)
    nearest = cast(Any, ndimage).distance_transform_edt
    for i in range(len(planes)):
        hidden = (~seen[i]).cpu().numpy()
        places = nearest(hidden, return_distances=False, return_indices=True)
        rows, columns = torch.as_tensor(places, device=x.device).long()
        filled[i] = planes[i][rows, columns]
    return filled.view_as(x)


def _like(name: str, train: Tensor, x: Tensor, mask: Tensor | None) -> Tensor:
    """Checks training images; returns where they are visible."""
    shape = (None, *x.shape[1:])
    checks.tensor(name, train, shape=shape, like=x, like_name="x", finite=False)
    shown = images_and_mask(train, mask, name)
    return torch.ones_like(train, dtype=torch.bool) if shown is None else shown
