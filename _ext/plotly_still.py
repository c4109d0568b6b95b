"""A plotly figure as a small PNG, drawn by matplotlib from the figure's own JSON.

The book shows it where the figure itself is not drawn: without JavaScript, on paper, and until the
reader comes near. Frames are reduced to the last, under the title that the slider gives it. What
the module does not know (a kind of trace, a symbol, a shape) is an error that names it, so that a
new kind of figure cannot pass as a picture with something missing.
"""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from PIL import Image

__all__ = ["StillError", "png"]

WIDTH, DPI = 690, 100  # pixels: the column of a page
COLOURS = 64  # in the PNG's palette
POINT = 72 / DPI  # a pixel of plotly's, in points of matplotlib's
DEFAULT_HEIGHT, DEFAULT_FONT = 450, 12  # plotly's own
TEXT = 19  # pixels at least: a phone shows the picture at half its width, and 9 can be read
TICKS = 5  # intervals of an axis at most: there is room for no more
SOLID_SIZE = 1.8  # plotly draws a marker in space larger than its size says
DASHES = {"solid": "-", "dot": ":", "dash": "--"}
SYMBOLS = {"circle": "o", "diamond": "D"}


class StillError(ValueError):
    """A figure has something that this module cannot draw."""


def png(figure: dict[str, Any]) -> bytes:
    """The last frame of a figure, given as plotly's JSON."""
    layout, (traces, title) = figure.get("layout", {}), last_frame(figure)
    height = layout.get("height") or DEFAULT_HEIGHT
    size = max((layout.get("font") or {}).get("size", DEFAULT_FONT), TEXT) * POINT
    solid = any(trace_type(trace) in SOLID for trace in traces)
    with rc_context({"font.size": size, "axes.titlesize": size * 1.2, "axes.axisbelow": True}):
        page = Figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI, layout="constrained")
        ax = page.add_subplot(projection="3d" if solid else None)
        (solid_axes if solid else flat_axes)(ax, layout)
        for level, trace in enumerate(traces, 2):
            draw(ax, trace, level, solid, layout.get("showlegend", True))
        if ax.get_legend_handles_labels()[0]:
            page.legend(loc="outside upper left", ncols=10, frameon=False)
        if title:
            page.supxlabel(title, fontsize=size * 1.2)
        raw = io.BytesIO()
        page.savefig(raw)
    small = io.BytesIO()
    image = Image.open(raw).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    image.save(small, "PNG", optimize=True)
    return small.getvalue()


def last_frame(figure: dict[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """The traces as the last frame leaves them, and that frame's title."""
    traces = [dict(trace) for trace in figure.get("data", [])]
    frames = figure.get("frames") or []
    if not frames:
        return traces, ""
    changed = frames[-1].get("data", [])
    for k, new in zip(frames[-1].get("traces") or range(len(changed)), changed, strict=True):
        traces[k] |= new
    sliders = figure.get("layout", {}).get("sliders") or [{}]
    prefix = (sliders[0].get("currentvalue") or {}).get("prefix", "")
    return traces, f"{prefix}{frames[-1].get('name', '')}"


def trace_type(trace: dict[str, Any]) -> str:
    """The type of a trace; plotly's default is scatter."""
    return trace.get("type", "scatter")


def known(table: dict[str, Any], key: Any, what: str) -> Any:
    """The entry of a table, or an error that names what is not in it."""
    if key not in table:
        choice = ", ".join(map(str, table))
        raise StillError(f"no still for the {what} {key!r}: plotly_still.py knows {choice}")
    return table[key]


def draw(ax: Any, trace: dict[str, Any], level: int, solid: bool, legend: bool) -> None:
    """One trace, in front of those before it."""
    kind = trace_type(trace)
    known(SOLID if solid else FLAT, kind, "trace type")(ax, trace, level)
    if legend and trace.get("name") and trace.get("showlegend"):
        ax.plot(*[[]] * (3 if solid else 2), "o", color=marker_colour(trace), label=trace["name"])


def marker_colour(trace: dict[str, Any]) -> Any:
    """One colour, or one for each point."""
    return (trace.get("marker") or {}).get("color", "#636efa")  # plotly's first


def modes(trace: dict[str, Any]) -> list[str]:
    """The parts of a trace's mode, each of them known."""
    parts = str(trace.get("mode") or "lines").split("+")
    for part in parts:
        known({"lines": 1, "markers": 1, "text": 1}, part, "mode")
    return parts


def scatter(ax: Any, trace: dict[str, Any], level: int) -> None:
    """Filled polygons, lines, markers and texts in the plane or in space."""
    names = "xyz" if trace_type(trace) == "scatter3d" else "xy"
    points = [p for p in zip(*(trace[n] for n in names), strict=True) if None not in p]
    if not points:
        return
    columns, parts = list(zip(*points, strict=True)), modes(trace)
    fill = known({"none": False, "toself": True}, trace.get("fill") or "none", "fill")
    if fill:
        ax.fill(*columns, color=trace["fillcolor"], lw=0, zorder=level)
    font = trace.get("textfont") or {}
    given = font.get("size", DEFAULT_FONT)
    size = max(given, TEXT)
    if "lines" in parts:
        line = trace.get("line") or {}
        look = {"color": line.get("color"), "lw": line.get("width", 2) * POINT}
        dash = known(DASHES, line.get("dash", "solid"), "dash")
        ax.plot(*columns, ls=dash, zorder=level, **look)
    if "markers" in parts:
        marker = trace.get("marker") or {}
        rim = marker.get("line") or {}
        symbol = known(SYMBOLS, marker.get("symbol", "circle"), "symbol")
        scale = math.sqrt(0.5) if symbol == "D" else 1  # matplotlib's size is that of a side
        scale *= SOLID_SIZE if len(columns) == 3 else 1
        scale *= size / given if "text" in parts else 1  # it holds its text
        ax.scatter(
            *columns,
            s=(marker.get("size", 6) * scale * POINT) ** 2,
            c=marker_colour(trace),
            marker=symbol,
            alpha=marker.get("opacity"),
            edgecolors=rim.get("color", "none"),
            linewidths=rim.get("width", 0) * POINT,
            zorder=level,
            **({"depthshade": False} if len(columns) == 3 else {}),
        )
    if "text" in parts:
        look = {"color": font.get("color"), "fontsize": size * POINT}
        for *place, word in zip(*columns, trace["text"], strict=True):
            ax.text(*place, word, ha="center", va="center", zorder=level, **look)


def surface(ax: Any, trace: dict[str, Any], level: int) -> None:
    """A height over a grid, coloured by it."""
    x, y = np.meshgrid(trace["x"], trace["y"])
    colours = LinearSegmentedColormap.from_list("still", trace["colorscale"])
    look = {"cmap": colours, "alpha": trace.get("opacity"), "lw": 0, "zorder": level}
    ax.plot_surface(x, y, np.array(trace["z"]), rcount=60, ccount=60, **look)


FLAT = {"scatter": scatter}
SOLID = {"scatter3d": scatter, "surface": surface}


def name_axis(ax: Any, name: str, axis: dict[str, Any]) -> None:
    """Title, range and number of ticks of one axis."""
    title = axis.get("title") or ""
    getattr(ax, f"set_{name}label")(title.get("text", "") if isinstance(title, dict) else title)
    if "range" in axis:
        getattr(ax, f"set_{name}lim")(*axis["range"])
    ax.locator_params(name, nbins=min(axis.get("nticks", TICKS), TICKS))


def flat_axes(ax: Any, layout: dict[str, Any]) -> None:
    """Axes of the plane, with the shapes that stand on them."""
    for name in "xy":
        name_axis(ax, name, layout.get(f"{name}axis") or {})
    if (layout.get("yaxis") or {}).get("scaleanchor"):
        ax.set_aspect("equal")
    ax.grid(color="#d1d5da")
    ax.spines[:].set_color("#d1d5da")
    ax.tick_params(length=0)
    for shape in layout.get("shapes") or []:
        known({"circle": 1}, shape.get("type"), "shape")
        x0, x1, y0, y1 = (shape[key] for key in ("x0", "x1", "y0", "y1"))
        line = shape.get("line") or {}
        look = {"ec": line.get("color"), "lw": line.get("width", 2) * POINT, "fc": "none"}
        dash = known(DASHES, line.get("dash", "solid"), "dash")
        middle = ((x0 + x1) / 2, (y0 + y1) / 2)
        ax.add_patch(Ellipse(middle, abs(x1 - x0), abs(y1 - y0), ls=dash, zorder=50, **look))


def solid_axes(ax: Any, layout: dict[str, Any]) -> None:
    """Axes of space, seen from where plotly's camera stands."""
    scene = layout.get("scene") or {}
    for name in "xyz":
        name_axis(ax, name, scene.get(f"{name}axis") or {})
        getattr(ax, f"{name}axis").set_pane_color((1, 1, 1, 0))
    camera = scene.get("camera") or {}
    eye = {"x": 1.25, "y": 1.25, "z": 1.25, **camera.get("eye", {})}
    way = [eye[name] - (camera.get("center") or {}).get(name, 0) for name in "xyz"]
    ax.view_init(
        math.degrees(math.atan2(way[2], math.hypot(*way[:2]))),
        math.degrees(math.atan2(way[1], way[0])),
    )
    ratio = scene.get("aspectratio") or {}
    ax.set_box_aspect([ratio.get(name, 1) for name in "xyz"], zoom=0.95)
    ax.computed_zorder = False  # markers stand on a surface, not in it
