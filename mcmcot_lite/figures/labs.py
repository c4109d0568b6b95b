"""What the explorers share: a still picture in SVG that a script of the same file moves.

The HTML needs neither kernel nor network. Without JavaScript the still remains.
"""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, cast

from PIL import Image
from torch import Tensor

__all__ = ["SIDE", "SVG", "Explorer", "axes", "button", "explorer", "place", "png", "slider"]

SIDE = 480  # pixels of a plane's drawing, before the page scales it
SVG = (  # the latent plane
    f'<svg viewBox="0 0 {SIDE} {SIDE}" role="group" aria-label="the latent plane" '
    'style="width:100%;height:auto;background:#fff;border:1px solid #888">'
)


class Explorer:
    """A figure in plain HTML, which a notebook and the book's pages show as it is.

    Attributes:
        html: the figure.
        alt: what a reader who cannot see it should know.
    """

    def __init__(self, html: str, alt: str) -> None:
        self.html, self.alt = html, alt

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.alt!r})"


def place(point: Sequence[float], limit: float) -> tuple[float, float]:
    """A point of the plane in pixels of the drawing, as ``lab.scale`` has it."""
    across, up = ((v + limit) / (2 * limit) * SIDE for v in point)
    return round(across, 1), round(SIDE - up, 1)


def axes(limit: float) -> str:
    """Whole numbers along both axes, and the names of the coordinates."""
    step = max(1, round(limit / 3))
    ticks = range(-step * int(limit // step), int(limit) + 1, step)
    look = 'font-size="15" fill="#444" style="pointer-events:none;user-select:none"'
    drawn: list[str] = []
    for v in ticks:
        if abs(v) > 0.93 * limit:
            continue
        a, b = place((v, v), limit)
        shown = str(v).replace("-", "\N{MINUS SIGN}")
        drawn.append(f'<path d="M{a},{SIDE}v-5M0,{b}h5" stroke="#444"/>')
        drawn.append(f'<text x="{a}" y="{SIDE - 8}" text-anchor="middle" {look}>{shown}</text>')
        if v > -0.8 * limit:
            drawn.append(f'<text x="8" y="{b + 5}" {look}>{shown}</text>')
    drawn.append(f'<text x="{SIDE - 24}" y="{SIDE - 8}" {look}>z\N{SUBSCRIPT ONE}</text>')
    drawn.append(f'<text x="8" y="20" {look}>z\N{SUBSCRIPT TWO}</text>')
    return "".join(drawn)


def png(pixels: Tensor) -> str:
    """(h, w) or (h, w, 3) bytes as a PNG in base 64."""
    with io.BytesIO() as file:
        Image.fromarray(cast(Any, pixels.numpy())).save(file, "PNG", optimize=True)
        return base64.b64encode(file.getvalue()).decode()


def slider(name: str, low: float, high: float, value: float, step: float, log: bool = False) -> str:
    """A control with its number beside it; with ``log`` low, high, value, step are logarithms."""
    mark = ' data-log="yes"' if log else ""
    title = html.escape(name, quote=True)
    return (
        '<label style="display:inline-flex;align-items:center;gap:0.4em;margin:0 0.5em">'
        f'{title} <input type="range" data-name="{title}" min="{low:g}" max="{high:g}" '
        f'step="{step:g}" value="{value:g}"{mark} style="width:7em">'
        f'<output data-name="{title}" style="min-width:3em"></output></label>'
    )


def button(mark: str, words: str) -> str:
    """A control that is pressed."""
    return f'<button type="button" data-{mark} style="font:inherit;margin:0 0.2em">{words}</button>'


def explorer(
    kind: str,
    *,
    alt: str,
    stage: str,
    controls: Sequence[str],
    data: dict[str, Any],
    said: str,
    width: int,
) -> Explorer:
    """The figure: picture, controls, a line that says in words what is seen, data and script.

    Args:
        kind: of explorer, the name of its script.
        alt: what a reader who cannot see it should know.
        stage: the picture, HTML.
        controls: HTML of each.
        data: for the script.
        said: the line in words, for the still.
        width: in pixels; narrower where the page is.
    """
    scripts = files("mcmcot_lite.figures") / "js"
    code = "".join((scripts / f"{name}.js").read_text("utf-8") for name in ("lab", kind))
    payload = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    quoted = html.escape(alt, quote=True)
    line = "margin:0.4em 0;text-align:center;line-height:2"
    text = (
        f'<div data-lab="{kind}" role="group" aria-label="{quoted}" '
        f'style="max-width:{width}px;margin:0 auto">{stage}'
        f'<div data-controls hidden style="{line}">{"".join(controls)}</div>'
        f'<p data-said role="status" style="text-align:center;min-height:3.2em">{said}</p>'
        "<noscript><p>A still picture: the controls need JavaScript.</p></noscript>"
        f'<script type="application/json">{payload}</script>'
        f"<script>(() => {{\n{code}}})();</script></div>"
    )
    return Explorer(text, alt)
