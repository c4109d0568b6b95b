"""Works every figure of a page as a reader would, by mouse, keyboard and menus.

Each must change what is seen: the figure's screenshot before and after.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

FIGURES = "[data-lab], [data-choose], .plotly-lazy"
SETTLE = 120  # milliseconds that a picture gets
PATIENCE = 6000  # and no more: a slow machine draws three dimensions without a GPU
PLAYED = 1300  # one that plays has a picture every 0.9 seconds, or sooner


class Driver:
    """Works the figures of one page, which is loaded and drawn.

    Attributes:
        problems: what did not change anything, in words.
        done: how many interactions were tried.
    """

    def __init__(self, page: Any) -> None:
        self.page, self.problems, self.done = page, [], 0

    def all(self) -> list[str]:
        """Every figure; returns the problems."""
        for figure in self.page.locator(FIGURES).all():
            figure.scroll_into_view_if_needed()
            before = self.done
            if figure.get_attribute("data-lab"):
                self.explorer(figure)
            elif figure.get_attribute("data-choose"):
                self.chooser(figure)
            else:
                self.plotly(figure)
            if self.done == before:
                self.problems.append(f"nothing to play in {self.name(figure)}")
        return self.problems

    def name(self, figure: Any) -> str:
        """What a figure is called in a report."""
        return f"the figure {(figure.get_attribute('aria-label') or '?')[:50]!r}"

    def changes(self, figure: Any, what: str, act: Callable[[], Any]) -> None:
        """Notes a problem where the figure still looks the same some time after the act."""
        before = figure.screenshot()
        act()
        self.done += 1
        for _ in range(PATIENCE // SETTLE):
            self.page.wait_for_timeout(SETTLE)
            if figure.screenshot() != before:
                return
        self.problems.append(f"{what} changes nothing in {self.name(figure)}")

    def drag(self, target: Any, across: float, down: float) -> None:
        """The mouse takes the middle of a target along."""
        target.scroll_into_view_if_needed()
        box = target.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        mouse = self.page.mouse
        mouse.move(x, y)
        mouse.down()
        mouse.move(x + across, y + down, steps=4)
        mouse.up()

    def press_at(self, target: Any, share: float) -> None:
        """A click on a slider at a share of its length."""
        box = target.bounding_box()
        target.click(position={"x": share * box["width"], "y": box["height"] / 2}, force=True)

    def explorer(self, figure: Any) -> None:
        """Points, then sliders, then buttons; reset comes last, when there is something to undo."""
        points = figure.locator("svg [role=button]")
        if points.count():
            point = points.last
            self.changes(figure, "a drag", lambda: self.drag(point, -30, 24))
            point.focus()
            self.changes(figure, "an arrow key", lambda: self.page.keyboard.press("ArrowRight"))
        for slider in figure.locator("input[type=range]").all():
            title = f"the slider {slider.get_attribute('data-name')}"
            self.changes(figure, title, lambda s=slider: self.press_at(s, 0.8))
            slider.focus()
            self.changes(figure, f"{title} by key", lambda: self.page.keyboard.press("ArrowLeft"))
        for mark in ("step", "noise", "play", "reset"):
            button = figure.locator(f"button[data-{mark}]")
            if button.count():
                self.changes(figure, f"the button {mark}", button.click)
                if mark == "play" and button.inner_text() == "Pause":
                    button.click()

    def chooser(self, figure: Any) -> None:
        """Menus, then the buttons of the one that turns."""
        for menu in figure.locator("select").all():
            if menu.locator("option").count() > 1:
                title = f"the menu {menu.get_attribute('data-name')}"
                self.changes(figure, title, lambda m=menu: m.select_option(index=1))
        for button in figure.locator("[data-turn]").all():
            self.changes(figure, "a button", button.click)
        play = figure.locator("[data-play]")
        if play.count():
            self.changes(figure, "play", play.click)
            play.click()
            still = figure.screenshot()
            self.page.wait_for_timeout(PLAYED)
            if figure.screenshot() != still:
                self.problems.append(f"pause does not hold in {self.name(figure)}")

    def keys(self, figure: Any, solid: bool, framed: bool) -> None:
        """What a figure with the focus does with keys; with the focus elsewhere, nothing."""
        figure.focus()
        self.settle()
        tried = ["Shift+ArrowRight", "ArrowDown", "-"] if solid else []  # up may be at its end
        tried += ["ArrowLeft", "ArrowRight", "End", "Home"] if framed else []
        for key in tried:
            self.changes(figure, f"the key {key}", lambda k=key: self.page.keyboard.press(k))
            self.settle()
        if framed:
            said = figure.locator("[role=status]").inner_text()
            first = figure.evaluate("figure => figure._fullLayout.sliders[0].steps[0].label")
            if not said.endswith(first):
                self.problems.append(f"the frame is not said ({said!r}) in {self.name(figure)}")
            self.space(figure)
        figure.evaluate("figure => figure.blur()")
        self.settle()
        still = figure.screenshot()
        self.page.evaluate(
            """() => ["ArrowRight", "End", " ", "ArrowUp", "+"].forEach((key) =>
              document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true })))"""
        )
        self.settle()
        if figure.screenshot() != still:
            self.problems.append(f"keys meant for the page move {self.name(figure)}")

    def space(self, figure: Any) -> None:
        """From the first frame on, a space plays; another, as soon as one more is shown, pauses."""
        first = figure.screenshot()
        self.done += 1
        self.page.keyboard.press("Space")
        for _ in range(PATIENCE // 20):
            if figure.evaluate("figure => figure._fullLayout.sliders[0].active"):
                break
            self.page.wait_for_timeout(20)
        self.page.keyboard.press("Space")
        self.settle()
        still = figure.screenshot()
        if still == first:
            self.problems.append(f"a space plays nothing in {self.name(figure)}")
        self.page.wait_for_timeout(PLAYED)
        if figure.screenshot() != still:
            self.problems.append(f"a second space does not pause {self.name(figure)}")

    def settle(self) -> None:
        """Time for the last picture, so that it is not taken for an answer to the next key."""
        self.page.wait_for_timeout(6 * SETTLE)

    def plotly(self, figure: Any) -> None:
        """In three dimensions a turn; the slider; the keys; the buttons."""
        scene = figure.locator(".gl-container canvas")
        if scene.count():
            self.changes(figure, "turning", lambda: self.drag(scene.first, 60, 20))
        rail = figure.locator(".slider-rail-touch-rect")
        if rail.count():
            self.changes(figure, "the slider", lambda: self.press_at(rail.first, 0.6))
        self.keys(figure, scene.count() > 0, rail.count() > 0)
        play = figure.locator(".updatemenu-button").first
        if play.count():
            self.press_at(rail.first, 0.02)
            self.settle()
            self.changes(figure, "play", lambda: play.click(force=True))
