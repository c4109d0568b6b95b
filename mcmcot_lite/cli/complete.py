"""``inpaint``: hides part of images that the run has not seen, and completes them (Section 7.4)."""

from __future__ import annotations

import argparse
from dataclasses import replace

import torch
from torch import Tensor

from mcmcot_lite import checks, data, fills, masks
from mcmcot_lite.cli import pictures
from mcmcot_lite.cli.inputs import images_of, real, whole
from mcmcot_lite.cli.read import MOST, Opened, opened, picture
from mcmcot_lite.engine import as_float
from mcmcot_lite.inpainting import inpaint
from mcmcot_lite.langevin import check_s
from mcmcot_lite.metrics import mse

__all__ = ["complete"]

FEW = 8  # images, where no number is given
GREY = 0.5  # of hidden pixels in the picture


def complete(args: argparse.Namespace) -> None:
    """The command: a row for each image: whole, shown, its completions, their mean."""
    n = None if args.n is None else whole("n", args.n)
    m = whole("completions", args.completions)
    seed, kind = whole("seed", args.seed, 0), checks.choice("mask", args.mask, tuple(masks.KINDS))
    K, s = whole("K", args.K, 0), None if args.s is None else check_s(real("s", args.s, "0.1"))
    to, run = picture(args, "inpainted.png"), opened(args)
    st = run.preset.settings
    x, known, source = _images(args, run, n)
    n = len(x)
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
        f"mean image {mse(x, fills.fill_mean(x, mask, known), ~mask):.6f}, "
        f"nearest pixel {mse(x, fills.fill_nearest_pixel(x, mask), ~mask):.6f}"
    )


def _images(
    args: argparse.Namespace, run: Opened, n: int | None
) -> tuple[Tensor, Tensor | None, str]:
    """N images, some that the run was trained on, and whose the n are.

    They are the first of a folder, or those that follow the run's own; without n the first 8, or
    as many as there are.
    """
    preset, asked, n = run.preset, n, FEW if n is None else n
    if args.images is not None:
        like = pictures.decoded(run.g, torch.zeros(2, preset.settings.d))
        square, grey = like.shape[-1], like.shape[1] == 1
        found = data.image_folder(args.images, size=square, crop=None, grey=grey, limit=n)
        new, known, source = found.x, None, f"of {found.source}"
        rule, remedy = f"must be at most {len(new)}, all there are", "Take fewer images."
    else:
        seen = len(run.z_hat)
        most = seen + n if preset.dataset == "celeba" else None  # whose reader can stop early
        found = images_of(replace(preset, n=most), args)
        run.require_own(found.x[:seen], found.source)
        new, known, source = found.x[seen:], found.x[: min(seen, MOST)], "new to the run"
        rule = f"must be at most {len(new)}: the run was trained on {seen} of {len(found)} images"
        remedy = "Take fewer images, or pass --images FOLDER with pictures of yours."
    n = min(n, len(new)) if asked is None and len(new) else n
    checks.require(n <= len(new), "n", rule, n, remedy)
    to, limits = run.device, preset.settings.x_range
    x = as_float(new[:n].to(to), limits, torch.float32)
    return x, None if known is None else as_float(known.to(to), limits, torch.float32), source
