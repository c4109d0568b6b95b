"""Section 7.4 on small faces: new ones of 32 x 32 completed. Numbers alone: no face is stored."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from experiments import inpainting, table8_faces
from experiments.sizes import Size

TITLE = "Inpainting of new faces of 32 x 32 (Section 7.4)"


def budget(size: Size) -> Size:
    """That of Table 8's small faces, twice as many of them."""
    small = table8_faces.budget(size)
    return replace(small, n=2000) if size.n >= 1000 and size.width < 1 else small


def changes(case: dict[str, Any], size: Size) -> dict[str, Any]:
    """Of the settings."""
    return inpainting.changes(case, size)


def cases(size: Size) -> list[dict[str, Any]]:
    """Each generator."""
    return [{"dataset": "faces_32", "method": m} for m in ("VAE", *inpainting.CHAINS)]


def run(case: dict[str, Any], size: Size, seed: int) -> dict[str, Any]:
    """Trains on whole faces; completes others."""
    return inpainting.run(case, size, seed)
