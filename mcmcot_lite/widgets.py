"""Live controls for a running kernel (Colab, local Jupyter). Pages show still results instead.

A widget without a kernel moves its slider and nothing else, so the book's pages never embed one.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, cast

import torch
from torch import Tensor, nn

from mcmcot_lite import checks
from mcmcot_lite.density import Network
from mcmcot_lite.freezing import frozen

__all__ = ["latent_sliders"]


def _like_weights(g: object, z: list[float]) -> Tensor:
    """One latent vector in the dtype and on the device that g computes in now."""
    weights = g.parameters() if isinstance(g, nn.Module) else iter(())
    first = next((w for w in weights if w.is_floating_point()), torch.empty(0, dtype=torch.float32))
    return torch.tensor([z], dtype=first.dtype, device=first.device)


def _picture(g: Network, z: list[float]) -> Tensor:
    """The image g(z), (1 or 3, h, w), on the CPU."""
    rule, remedy = "must turn (1, d) into an image (1, 1 or 3, h, w)", "Check d and its output."
    try:
        with torch.no_grad(), frozen(g):
            out = cast(object, g(_like_weights(g, z)))
    except Exception as error:  # a network of the reader's may raise anything
        got = f"the error '{checks.error_text(error)}'"
        raise checks.fail("g", rule, got, remedy) from error
    if not isinstance(out, Tensor) or out.is_meta or out.ndim != 4 or out.shape[1] not in (1, 3):
        raise checks.fail("g", rule, checks.shown(out), remedy)
    return out[0].float().cpu()


def latent_sliders(g: Network, d: int, *, limit: float = 3.0) -> Any:
    """One slider per latent coordinate, and the image g(z) that they make, drawn live.

    Args:
        g: generator, (1, d) to (1, 1 or 3, h, w). A module gets z in the dtype and on the device
            of its parameters, a plain function in float32 on the CPU.
        d: number of coordinates.
        limit: sliders run from -limit to limit.

    Returns:
        An ipywidgets box; make it a cell's last expression.
    """
    if not callable(g):
        remedy = "Pass a torch.nn.Module or a function."
        raise checks.fail("g", "must be callable", checks.shown(g), remedy, TypeError)
    d = checks.integer("d", d, 1, maximum=100)
    limit = checks.number("limit", limit, above=0.0, below=1e6)
    _picture(g, [0.0] * d)  # refuses a g that cannot draw, before any slider stands
    widgets = cast(Any, import_module("ipywidgets"))
    plt = cast(Any, import_module("matplotlib.pyplot"))
    sliders = [
        widgets.FloatSlider(value=0.0, min=-limit, max=limit, step=0.1, description=f"z{i + 1}")
        for i in range(d)
    ]

    def draw(**values: float) -> None:
        image = _picture(g, list(values.values()))
        _, ax = plt.subplots(figsize=(3, 3))
        ax.imshow(image.clamp(0, 1).permute(1, 2, 0).squeeze(-1).numpy(), vmin=0, vmax=1)
        ax.axis("off")
        plt.show()

    output = widgets.interactive_output(draw, {f"z{i}": w for i, w in enumerate(sliders)})
    return widgets.VBox([*sliders, output])
