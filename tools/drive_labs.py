"""Works the explorers and the choosers of a page."""

from __future__ import annotations

from typing import Any

from driving import Hand

# What each act of an explorer must change, and what some act must: never the control itself.
ALWAYS = {
    "cells": ["[data-area]"],
    "chains": ["[data-path]", "[data-end]"],
    "plane": ["[data-picture]"],
}
SOMETIMES = {"cells": ["[data-way]", "[data-count]", "[data-said]"]}
STATE = "svg *, [data-said]"
SIDE = 480  # of the drawing, in its own units
NEAR = 8  # of them: a point is where the mouse has left it
ARROWS = {"ArrowRight": (1, 0), "ArrowLeft": (-1, 0), "ArrowUp": (0, -1), "ArrowDown": (0, 1)}
PRESSES = 20  # of an arrow: half of the way from the middle to the rim
PICTURE = ["[data-picture]"]


def explorer(hand: Hand, figure: Any) -> None:
    """Points, sliders, buttons; after each the explorer is reset, where it can be."""
    lab = _Lab(hand, figure)
    lab.points()
    for slider in figure.locator("input[type=range]").all():
        lab.slider(slider)
    lab.buttons()
    lab.reset()
    for layer, seen in lab.seen.items():
        if len(seen) < 2:
            hand.note(figure, f"nothing changes {layer}")


class _Lab:
    """An explorer, what it draws and how it first looked."""

    def __init__(self, hand: Hand, figure: Any) -> None:
        kind = figure.get_attribute("data-lab")
        self.hand, self.figure, self.layers = hand, figure, ALWAYS[kind]
        self.seen = {layer: set[str]() for layer in SOMETIMES.get(kind, ["[data-said]"])}
        self.clicked = kind == "plane"  # a click on the plane takes the point there
        self.svg, self.back, self.step = map(
            figure.locator, ("svg", "button[data-reset]", "button[data-step]")
        )
        self.first = hand.drawn(figure, STATE)

    def changes(self, what: str, act: Any, rerun: bool = False) -> None:
        """As :meth:`Hand.changes`, for all that this explorer draws."""
        runs = [self.run] if rerun else []
        self.hand.changes(self.figure, what, act, self.layers, *runs)
        for layer, seen in self.seen.items():
            seen.add(self.hand.drawn(self.figure, layer))

    def reset(self) -> None:
        """Back to the first state, by the button for it."""
        if not self.back.count():
            return
        self.back.click()
        if self.hand.drawn(self.figure, STATE) != self.first:
            self.hand.note(self.figure, "the button reset does not lead to the first state")

    def run(self) -> None:
        """The first step again, for a control that acts on steps to come."""
        if self.step.count():
            self.reset()
            self.step.click()

    def place(self, point: Any) -> list[float]:
        """Where a point is, in units of the drawing."""
        matrix = "point => (({ e, f }) => [e, f])(point.transform.baseVal.consolidate().matrix)"
        return list(point.evaluate(matrix))

    def points(self) -> None:
        """Each point by the mouse, the first one by keys as well, and by a click on the plane."""
        points = self.figure.locator("svg [role=button]").all()
        for number, point in reversed(list(enumerate(points, 1))):  # keys move the first inward
            self.reset()
            what, (x, y) = f"a drag of point {number}", self.place(point)
            by = (0.25 if x < SIDE / 2 else -0.25), (0.2 if y < SIDE / 2 else -0.2)
            side = self.svg.bounding_box()["width"]
            self.changes(what, lambda p=point, b=by, s=side: self.hand.drag(p, b[0] * s, b[1] * s))
            self.lands(what, point, x + by[0] * SIDE, y + by[1] * SIDE)
        for key in ARROWS if points else ():
            self.arrow(key, points[0])
        if self.clicked:
            box = self.svg.bounding_box()
            there = {"x": 0.85 * box["width"], "y": 0.15 * box["height"]}
            self.changes("a click on the plane", lambda: self.svg.click(position=there))
            self.lands("a click on the plane", points[0], 0.85 * SIDE, 0.15 * SIDE)
        self.reset()

    def arrow(self, key: str, point: Any) -> None:
        """An arrow key takes a point its way."""
        point.focus()
        before = self.place(point)
        presses = range(PRESSES)
        self.changes(
            f"the key {key}", lambda: [self.hand.page.keyboard.press(key) for _ in presses]
        )
        ways = [b - a for a, b in zip(before, self.place(point), strict=True)]
        if [(way > 0) - (way < 0) for way in ways] != list(ARROWS[key]):
            self.hand.note(self.figure, f"the key {key} takes a point elsewhere")

    def lands(self, what: str, point: Any, x: float, y: float) -> None:
        """A point is where the mouse was."""
        a, b = self.place(point)
        if max(abs(a - x), abs(b - y)) > NEAR + SIDE / self.svg.bounding_box()["width"]:
            self.hand.note(self.figure, f"{what} takes it elsewhere")

    def slider(self, slider: Any) -> None:
        """Two places far from the present one and from each other, then two keys."""
        title, value = f"the slider {slider.get_attribute('data-name')}", slider.input_value()
        share = "s => (s.value - s.min) / (s.max - s.min)"
        places = (0.8, 0.3) if slider.evaluate(share) < 0.55 else (0.3, 0.8)
        for at in places:
            act = lambda at=at: self.hand.press_at(slider, at)  # noqa: E731
            self.changes(f"{title} at {at}", act, rerun=True)
        for key in ("ArrowLeft", "ArrowRight"):
            act = lambda key=key: slider.press(key)  # noqa: E731
            self.changes(f"{title} by {key}", act, rerun=True)
        slider.fill(value)

    def buttons(self) -> None:
        """A step, another noise; what plays is paused."""
        for mark in ("step", "noise"):
            button = self.figure.locator(f"button[data-{mark}]")
            if button.count():
                self.changes(f"the button {mark}", button.click)
        play = self.figure.locator("button[data-play]")
        if play.count():
            self.hand.plays(self.figure, "the button play", play.click, play.click, self.layers)


def chooser(hand: Hand, figure: Any) -> None:
    """Every entry of a menu shows a picture of its own; then the buttons of the one that turns."""
    first = hand.drawn(figure, *PICTURE)
    for menu in figure.locator("select").all():
        name, begin = menu.get_attribute("data-name"), menu.evaluate("menu => menu.selectedIndex")
        seen = {first}
        for k in range(menu.locator("option").count()):
            if k == begin:
                continue
            hand.changes(
                figure, f"entry {k + 1} of the menu {name}",
                lambda m=menu, k=k: m.select_option(index=k), PICTURE,
            )  # fmt: skip
            picture = hand.drawn(figure, *PICTURE)
            if picture in seen:
                hand.note(figure, f"entry {k + 1} of the menu {name} repeats a picture")
            seen.add(picture)
        menu.select_option(index=begin)
    for button in figure.locator("[data-turn]").all():
        way = button.get_attribute("aria-label")
        hand.changes(figure, f"the button {way}", button.click, PICTURE)
    if hand.drawn(figure, *PICTURE) != first:
        hand.note(figure, "back and on, or the first entries, do not lead to the first picture")
    play = figure.locator("[data-play]")
    if play.count():
        hand.plays(figure, "the button play", play.click, play.click, PICTURE)
