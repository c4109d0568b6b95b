"""One picture out of many, chosen by menus: plain HTML that needs neither kernel nor network."""

from __future__ import annotations

import hashlib
import html
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mcmcot_lite import checks
from mcmcot_lite.figures import inputs
from mcmcot_lite.figures.labs import Explorer, png

__all__ = ["Chooser", "choose"]

MOST = 4096  # pictures: a page must stay light
HIDDEN = "position:absolute;width:1px;height:1px;margin:0;overflow:hidden;clip-path:inset(50%)"
# The sheet of all pictures is the background of a box that shows one of them.
SCRIPT = """
(function () {
  document.querySelectorAll('[data-choose="%(key)s"]').forEach(function (root) {
    if (root.dataset.ready) { return; }
    root.dataset.ready = "1";
    root.querySelector("[data-controls]").hidden = false;
    var status = root.querySelector("[data-said]");
    var menus = Array.from(root.querySelectorAll("select")), chosen = "";
    var picture = root.querySelector("[data-picture]");
    var turned = root.querySelector("select[data-turned]"), timer = null;
    var play = root.querySelector("[data-play]"), said = picture.getAttribute("aria-label");
    function show() {
      var k = 0, now = [];
      menus.forEach(function (m) {
        k = k * m.options.length + m.selectedIndex;
        now.push(m.dataset.name + ": " + m.value);
      });
      chosen = now.join(", ");
      picture.setAttribute("aria-label", said + " Now " + chosen + ".");
      var column = k %% %(columns)d, row = Math.floor(k / %(columns)d);
      picture.style.backgroundPosition =
        (100 * column / Math.max(1, %(columns)d - 1)) + "%% " +
        (100 * row / Math.max(1, %(rows)d - 1)) + "%%";
    }
    function turn(by) {
      var n = turned.options.length;
      turned.selectedIndex = (turned.selectedIndex + by + n) %% n;
      show();
    }
    function say() { status.textContent = chosen; }
    function playing(on) {
      clearInterval(timer);
      timer = on ? setInterval(function () { turn(1); }, 900) : null;
      play.textContent = on ? "Pause" : "Play";
    }
    menus.forEach(function (m) {
      m.addEventListener("change", function () { if (play) { playing(false); } show(); say(); });
    });
    root.querySelectorAll("[data-turn]").forEach(function (b) {
      b.addEventListener("click", function () {
        playing(false);
        turn(Number(b.dataset.turn));
        say();
      });
    });
    if (play) {
      play.addEventListener("click", function () {
        playing(timer === null);
        if (timer === null) { say(); }
      });
    }
    show();
  });
})();
"""


class Chooser(Explorer):
    """What :func:`choose` returns; shown as every :class:`Explorer` is."""


def choose(
    images: Tensor,
    choices: Mapping[str, Sequence[str]],
    *,
    alt: str,
    width: int = 420,
    turn: str | None = None,
    tiles: Sequence[Sequence[str]] = (),
) -> Chooser:
    """Shows one of many images; a menu for each axis of ``images`` chooses which.

    Args:
        images: (a, b, ..., c, h, w): an axis for each menu, then an image of c = 1 or 3 channels,
            shown clipped to [0, 1].
        choices: title of a menu -> its entries, as many as that axis is long, in the axes' order.
        alt: what a reader who cannot see the figure should know.
        width: of the picture, in pixels; narrower where the page is.
        turn: title of a menu that gets three buttons: back, play (an entry every 0.9 seconds,
            until it is paused), and on.
        tiles: where each picture is a table of equal tiles, their names, row by row, which are
            written over them.

    Returns:
        :class:`Chooser`. Its pictures are one PNG inside it.

    Raises:
        TypeError, ValueError: on bad input.
    """
    checks.tensor("images", images)
    named = inputs.frames("choices", choices, "entries")
    entries = {key: inputs.strings(f"choices[{key!r}]", value) for key, value in named.items()}
    sizes = tuple(len(value) for value in entries.values())
    rule = f"must have an axis for each of the {len(sizes)} menus, then (c, h, w)"
    fits = images.ndim == len(sizes) + 3 and images.shape[-3] in (1, 3)
    got, remedy = f"shape {tuple(images.shape)}", "Reshape it, or name another menu."
    checks.require(fits, "images", rule, got, remedy)
    for (key, value), n in zip(entries.items(), images.shape, strict=False):
        rule, remedy = f"must have {n} entries, as images has", "Name each of them."
        checks.require(len(value) == n, f"choices[{key!r}]", rule, len(value), remedy)
    inputs.text("alt", alt)
    width = checks.integer("width", width, 10, maximum=10_000)
    if turn is not None:
        checks.choice("turn", turn, tuple(entries))
    if not isinstance(tiles, (list, tuple)):
        rule, remedy = "must be rows of names", 'Pass [["left", "right"]].'
        raise checks.fail("tiles", rule, checks.shown(tiles), remedy, TypeError)
    tiles = [inputs.strings(f"tiles[{i}]", row) for i, row in enumerate(tiles)]
    rule, lengths = "must have rows of one length, 1 or more", [len(row) for row in tiles]
    fits = len(set(lengths)) < 2 and 0 not in lengths
    checks.require(fits, "tiles", rule, lengths, "Name each tile.")
    flat = images.detach().cpu().clamp(0, 1).flatten(0, len(sizes) - 1)
    rule, remedy = f"must hold at most {MOST} pictures", "Leave some out."
    checks.require(len(flat) <= MOST, "images", rule, len(flat), remedy)
    columns = sizes[-1]
    sheet, (h, w) = _sheet(flat, columns), flat.shape[-2:]
    key = hashlib.sha256(sheet.encode() + alt.encode()).hexdigest()[:12]
    values = {"key": key, "columns": columns, "rows": len(flat) // columns}
    quoted = html.escape(alt, quote=True)
    first = html.escape(", ".join(f"{name}: {value[0]}" for name, value in entries.items()))
    menus = "".join(_menu(name, value, name == turn) for name, value in entries.items())
    background = (
        f"background-image:url(data:image/png;base64,{sheet});"
        f"background-size:{100 * columns}% {100 * values['rows']}%;background-position:0% 0%;"
    )
    box = (
        f"width:100%;max-width:{width}px;aspect-ratio:{w}/{h};image-rendering:pixelated;"
        "border:1px solid #888;margin:0 auto;"
    )
    body = (
        f'<div data-choose="{key}" role="group" aria-label="{quoted}">'
        f'<div data-controls hidden style="margin-bottom:0.5em;text-align:center">{menus}</div>'
        f'<div data-picture role="img" aria-label="{quoted}" style="{box}{background}">'
        f"{_names(tiles)}</div>"
        f'<p data-said role="status" style="{HIDDEN}"></p>'
        f"<noscript><p>A still picture: the menus need JavaScript. Shown is {first}.</p></noscript>"
        f"<script>{SCRIPT % values}</script></div>"
    )
    return Chooser(body, alt)


def _names(tiles: Sequence[Sequence[str]]) -> str:
    """A grid over the picture with a name in the corner of each tile."""
    if not tiles:
        return ""
    look = "background:#ffffffd9;color:#111;padding:0 0.3em;font-size:0.75rem;line-height:1.35"
    names = (html.escape(name) for row in tiles for name in row)
    cells = "".join(f'<span><span style="{look}">{name}</span></span>' for name in names)
    grid = f"grid-template-columns:repeat({len(tiles[0])},1fr);grid-auto-rows:1fr"
    return f'<div style="display:grid;{grid};height:100%;text-align:left">{cells}</div>'


def _menu(name: str, entries: Sequence[str], turned: bool) -> str:
    options = "".join(f"<option>{html.escape(entry)}</option>" for entry in entries)
    quoted, mark = html.escape(name, quote=True), " data-turned" if turned else ""
    menu = (
        f'<label style="white-space:nowrap">{quoted} '
        f'<select data-name="{quoted}"{mark} style="font:inherit">{options}</select></label>'
    )
    if turned:
        style = 'type="button" style="font:inherit;margin-left:0.3em"'
        menu += (
            '<span style="white-space:nowrap">'
            f'<button data-turn="-1" aria-label="{quoted}: back" {style}>&#9664;</button>'
            f"<button data-play {style}>Play</button>"
            f'<button data-turn="1" aria-label="{quoted}: on" {style}>&#9654;</button></span>'
        )
    return f'<span style="display:inline-block;margin:0 0.5em 0.3em">{menu}</span>'


def _sheet(flat: Tensor, columns: int) -> str:
    """All pictures side by side, row by row, as a PNG in base 64."""
    n, c, h, w = flat.shape
    rows = n // columns
    grid = flat.view(rows, columns, c, h, w).permute(0, 3, 1, 4, 2).reshape(rows * h, -1, c)
    pixels = (255 * grid).round().to(torch.uint8)
    return png(pixels[:, :, 0] if c == 1 else pixels)
