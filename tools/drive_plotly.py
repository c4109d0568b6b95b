"""Works plotly's figures: slider, keys, the buttons that play and pause, a turn, a swipe."""

from __future__ import annotations

from typing import Any

from driving import GLANCE, Hand, swipe

TRACES = ["traces"]
TURNS = ["Shift+ArrowRight", "Shift+ArrowLeft", "ArrowDown", "ArrowUp", "-", "+"]
FRAMES = ["ArrowLeft", "ArrowRight", "End", "Home"]
SWIPE, SCROLLED = 200, 100  # pixels of a finger's way, and the least that the page follows


def figure_of_plotly(hand: Hand, figure: Any) -> None:
    """In three dimensions a turn; the slider; the keys; the buttons; under a finger the page."""
    for name in figure.evaluate("figure => repeatedFrames(figure)"):
        hand.note(figure, f"the frame {name} repeats the one before it")
    scene, rail = map(figure.locator, (".gl-container canvas", ".slider-rail-touch-rect"))
    if scene.count():
        hand.settle(figure, TRACES)
        hand.changes(figure, "turning", lambda: _turn(hand, scene.first), TRACES)
    for share in (0.6, 0.3) if rail.count() else ():
        hand.settle(figure, TRACES)
        act = lambda share=share: hand.press_at(rail.first, share)  # noqa: E731
        hand.changes(figure, f"the slider at {share}", act, TRACES)
    _keys(hand, figure, scene.count() > 0, rail.count() > 0)
    buttons = figure.locator(".updatemenu-button")
    if buttons.count():
        figure.press("Home")
        hand.settle(figure, TRACES)
        play, pause = (lambda k=k: buttons.nth(k).click(force=True) for k in range(2))
        hand.plays(figure, "the button play", play, pause, TRACES)
    if not scene.count() and hand.page.evaluate("navigator.maxTouchPoints > 0"):
        _swipe(hand, figure)


def _turn(hand: Hand, scene: Any) -> None:
    """Two drags the same way: a scene that is still being drawn may miss the first."""
    for _ in range(2):
        hand.drag(scene, 60, 20, "middle")
        hand.page.wait_for_timeout(8 * GLANCE)


def _keys(hand: Hand, figure: Any, solid: bool, framed: bool) -> None:
    """What a figure with the focus does with keys; with the focus elsewhere, nothing."""
    figure.focus()
    for key in (TURNS if solid else []) + (FRAMES if framed else []):
        hand.settle(figure, TRACES)
        press = lambda key=key: hand.page.keyboard.press(key)  # noqa: E731
        hand.changes(figure, f"the key {key}", press, TRACES)
    if framed:
        hand.settle(figure, TRACES)
        said = figure.locator("[role=status]").inner_text()
        first = figure.evaluate("figure => figure._fullLayout.sliders[0].steps[0].label")
        if not said.endswith(first):
            hand.note(figure, f"the frame is not said ({said!r})")
        space = lambda: hand.page.keyboard.press("Space")  # noqa: E731
        hand.plays(figure, "a space", space, space, TRACES)
    figure.evaluate("figure => figure.blur()")
    hand.settle(figure, TRACES)
    still = hand.drawn(figure, *TRACES)
    hand.page.evaluate(
        """() => ["ArrowRight", "End", " ", "ArrowUp", "+"].forEach((key) =>
          document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true })))"""
    )
    hand.page.wait_for_timeout(hand.played / 2)
    if hand.drawn(figure, *TRACES) != still:
        hand.note(figure, "keys meant for the page move what is seen")


def _swipe(hand: Hand, figure: Any) -> None:
    """A finger that goes up over the plot scrolls the page and leaves the axes as they are."""
    plot = figure.locator(".nsewdrag").first
    plot.evaluate("plot => plot.scrollIntoView({ block: 'center', behavior: 'instant' })")
    axes = """figure => Object.entries(figure._fullLayout)
      .filter(([key]) => /^[xy]axis/.test(key)).map(([, { range }]) => range.join())"""
    ranges, above = figure.evaluate(axes), hand.page.evaluate("scrollY")
    box = plot.bounding_box()
    swipe(hand.page, box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, 0, SWIPE)
    hand.done += 1
    hand.page.wait_for_timeout(hand.played / 2)
    if hand.page.evaluate("scrollY") - above < SCROLLED:
        hand.note(figure, "a swipe does not scroll the page")
    if figure.evaluate(axes) != ranges:
        hand.note(figure, "a swipe moves the axes")
