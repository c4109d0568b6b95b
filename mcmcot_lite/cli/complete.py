"""``inpaint``: hides part of images that the run has not seen, and completes them (Section 7.4)."""

from __future__ import annotations

import argparse
from dataclasses import replace

import torch
from torch import Tensor

from mcmcot_lite import checks, data, fills, masks
from mcmcot_lite.cli import pictures
from mcmcot_lite.cli.inputs import images_of, real, whole
from mcmcot_lite.cli.read import Opened, opened, picture
from mcmcot_lite.engine import as_float
from mcmcot_lite.inpainting import inpaint
from mcmcot_lite.langevin import check_s
from mcmcot_lite.metrics import mse

__all__ = ["complete"]

GREY = 0.5  # of hidden pixels in the picture


def complete(args: argparse.Namespace) -> None:
    """The command: a row for each image: whole, shown, its completions, their mean."""
    n, m = whole("n", args.n), whole("completions", args.completions)
    seed, kind = whole("seed", args.seed, 0), checks.choice("mask", args.mask, tuple(masks.KINDS))
    K, s = whole("K", args.K, 0), None if args.s is None else check_s(real("s", args.s))
    to, run = picture(args, "inpainted.png"), opened(args)
    st = run.preset.settings
    x, source = _images(args, run, n)
    rng = run.rng(seed)
    mask = masks.of_paper(kind, n, x.shape[1:], rng=rng)
    s = st.s if s is None else s
    done = inpaint(
        run.g,
        x,
        mask,
        d=st.d,
        sigma=st.sigma,
        s=s,
        K=K,
        rng=rng,
        completions=m,
        batch_size=st.batch_size,
    )
    mean = done.images.mean(0)
    low, high = st.x_range or (0.0, 1.0)
    rows = [x, torch.where(mask, x, low + GREY * (high - low)), *done.images, mean]
    pictures.save(pictures.unit(torch.stack(rows, 1).flatten(0, 1), st.x_range), m + 3, to)
    spread = f"; diversity {float(done.diversity.mean()):.4f}" if m > 1 else ""
    print(
        f"{to}\n{n} images ({source}), mask {kind}, {K} steps of {s:g}\n"
        f"mse of hidden pixels {mse(x, mean, ~mask):.6f} (mean of {m}){spread}; "
        f"mean image {mse(x, fills.fill_mean(x, mask), ~mask):.6f}, "
        f"nearest pixel {mse(x, fills.fill_nearest_pixel(x, mask), ~mask):.6f}"
    )


def _images(args: argparse.Namespace, run: Opened, n: int) -> tuple[Tensor, str]:
    """The first n of a folder, or those that come after the run's own; and whose they are."""
    preset, seen = run.preset, len(run.z_hat)
    if args.images is not None:
        like = pictures.decoded(run.g, torch.zeros(2, preset.settings.d))
        square, grey = like.shape[-1], like.shape[1] == 1
        found = data.image_folder(args.images, size=square, crop=None, grey=grey, limit=n)
        first, source = 0, f"of {found.source}"
    else:
        more = replace(preset, n=seen + n)
        found, first, source = images_of(more, args), seen, "new to the run"
    left = len(found) - first
    remedy = "Take fewer, or pass --images FOLDER with pictures of yours."
    checks.require(n <= left, "n", f"must be at most {left}, all there are", n, remedy)
    x = found.x[first : first + n].to(run.device)
    return as_float(x, preset.settings.x_range, torch.float32), source
