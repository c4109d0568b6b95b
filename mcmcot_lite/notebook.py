"""What the first cell of every notebook of the book ends with; chapters do without it."""

from __future__ import annotations

import importlib
import os
import platform
import random
from pathlib import Path

__all__ = ["start"]

DRIVE = "/content/drive"
RUNTIME = "Runtime > Change runtime type > T4 GPU"


def start(
    root: Path,
    seed: int,
    *,
    cuda: bool,
    gpu: bool = False,
    drive: bool = False,
    fast: bool | None = None,
    mode: str | None = None,
) -> str:
    """Goes to the notebooks, seeds all generators, says versions and device; returns the device.

    Args:
        root: folder with the library; its ``notebooks`` become the working folder, its ``data``
            (a class's folder brings digits) the data folder, unless MCMCOT_DATA names one.
        seed: for Python, NumPy and PyTorch.
        cuda: whether there is a GPU.
        gpu: whether the notebook is for a GPU; without one the line says where Colab has it.
        drive: keep the cache in your Google Drive (on Colab).
        fast: size of the runs, to be printed.
        mode: the same for a notebook with more than two sizes.

    Returns:
        "cuda" or "cpu".
    """
    importlib.invalidate_caches()  # the cell before may have installed something
    import numpy as np
    import torch

    if drive:
        importlib.import_module("google.colab.drive").mount(DRIVE)
        os.environ["MCMCOT_CACHE"] = f"{DRIVE}/MyDrive/{root.name}"
    if (root / "data").is_dir():
        os.environ.setdefault("MCMCOT_DATA", str(root / "data"))
    if (root / "notebooks").is_dir():
        os.chdir(root / "notebooks")
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  (readers may use the old functions)
    torch.manual_seed(seed)
    device = "cuda" if cuda else "cpu"
    print(f"Python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}")
    print(f"device: {device}" + ("" if fast is None else f", fast mode: {fast}"))
    if mode is not None:
        print(f"mode: {mode} (look: stored results; quick: minutes; full: hours)")
    if device == "cpu" and gpu:
        print(f"No GPU. On Colab: {RUNTIME}, then run this cell again.")
    elif device == "cpu":
        print(f"No GPU, and none is needed. (Colab has one: {RUNTIME}.)")
    return device
