"""What drives a figure: a hand that acts, looks at the picture before and after, and notes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("drive_figures.js").read_text(encoding="utf-8")
GLANCE = 40  # milliseconds between two looks


def nothing() -> None:
    """No act at all."""


def swipe(page: Any, x: float, y: float, across: float, up: float) -> None:
    """One finger goes from a point of the screen, by pixels."""
    finger = page.context.new_cdp_session(page)
    for way in range(11):
        kind = "touchMove" if way else "touchStart"
        points = [{"x": x + across * way / 10, "y": y - up * way / 10}]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    finger.detach()


class Hand:
    """Acts on one page as a reader would.

    Attributes:
        problems: what did not do what it should, in words.
        done: how many interactions were tried.
        patience: milliseconds that a picture gets to change.
        played: milliseconds in which what plays shows another picture.
    """

    def __init__(self, page: Any, patience: int = 3000, played: int = 1300) -> None:
        self.page, self.patience, self.played = page, patience, played
        self.problems: list[str] = []
        self.done = 0
        page.evaluate(SCRIPT)

    def note(self, figure: Any, problem: str) -> None:
        """Notes a problem once."""
        line = f"{problem} in the figure {(figure.get_attribute('aria-label') or '?')[:50]!r}"
        if line not in self.problems:
            self.problems.append(line)

    def drawn(self, figure: Any, layer: str) -> str:
        """One layer of the picture: a selector of its parts, or "traces" for plotly's."""
        if layer == "traces":
            return str(figure.evaluate("figure => drawnTraces(figure)"))
        return str(figure.evaluate("(figure, layer) => drawnParts(figure, layer)", layer))

    def changes(
        self,
        figure: Any,
        what: str,
        act: Callable[[], Any],
        layers: Sequence[str],
        rerun: Callable[[], Any] = nothing,
    ) -> None:
        """Notes each layer that is, some time after the act, as it was before.

        Args:
            figure: the figure.
            what: the act in words.
            act: what is done.
            layers: all of them must change.
            rerun: done before each of both looks, where an act shows only in the next run.
        """
        rerun()
        still = {layer: self.drawn(figure, layer) for layer in layers}
        act()
        self.done += 1
        rerun()
        for _ in range(max(1, self.patience // GLANCE)):
            still = {key: was for key, was in still.items() if self.drawn(figure, key) == was}
            if not still:
                return
            self.page.wait_for_timeout(GLANCE)
        self.note(figure, f"{what} does not change {', '.join(still)}")

    def plays(
        self,
        figure: Any,
        what: str,
        start: Callable[[], Any],
        pause: Callable[[], Any],
        layers: Sequence[str],
    ) -> None:
        """One act plays, another pauses as soon as a second picture is seen."""
        patience, self.patience = self.patience, self.patience + self.played
        self.changes(figure, what, start, layers)
        self.patience = patience
        pause()
        self.done += 1
        self.settle(figure, layers)
        still = [self.drawn(figure, layer) for layer in layers]
        self.page.wait_for_timeout(self.played)
        if [self.drawn(figure, layer) for layer in layers] != still:
            self.note(figure, f"{what} cannot be paused")

    def settle(self, figure: Any, layers: Sequence[str]) -> None:
        """Waits until the picture rests, so that it is not taken for an answer to the next act."""
        was: list[str] = []
        for _ in range(self.patience // GLANCE):
            now = [self.drawn(figure, layer) for layer in layers]
            if now == was:
                return
            was = now
            self.page.wait_for_timeout(3 * GLANCE)

    def drag(self, target: Any, x: float, y: float, spot: str = "freeSpot") -> None:
        """The mouse takes a target by (x, y) pixels, at a spot that the script knows to find."""
        at = target.evaluate(f"target => {spot}(target)")
        if at is None:
            return  # the picture stays as it is, which is noted
        mouse = self.page.mouse
        mouse.move(*at)
        mouse.down()
        mouse.move(at[0] + x, at[1] + y, steps=4)
        mouse.up()

    def press_at(self, target: Any, share: float) -> None:
        """A click on a slider at a share of its length, once it rests: text above it may change.

        In the middle of the screen, where the theme's "Back to top" does not lie over it.
        """
        target.evaluate("target => target.scrollIntoView({ block: 'center', behavior: 'instant' })")
        was, box = None, target.bounding_box()
        while box != was:
            self.page.wait_for_timeout(2 * GLANCE)
            was, box = box, target.bounding_box()
        target.click(position={"x": share * box["width"], "y": box["height"] / 2}, force=True)
