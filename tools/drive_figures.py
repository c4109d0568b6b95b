"""Works every figure of a page as a reader would, by mouse, finger, keyboard and menus.

Each act must change the picture; what shows only that a control was used, such as a slider's thumb
and number, does not count.
"""

from __future__ import annotations

from typing import Any

from drive_labs import chooser, explorer
from drive_plotly import figure_of_plotly
from driving import Hand

FIGURES = {"[data-lab]": explorer, "[data-choose]": chooser, ".plotly-lazy": figure_of_plotly}
PATIENCE = 6000  # milliseconds: a slow machine draws three dimensions without a GPU


class Driver:
    """Works the figures of one page, which is loaded and drawn.

    Attributes:
        problems: what did not do what it should, in words.
        done: how many interactions were tried.
    """

    def __init__(self, page: Any) -> None:
        self.page, self.hand = page, Hand(page, PATIENCE)

    @property
    def problems(self) -> list[str]:
        """What did not do what it should."""
        return self.hand.problems

    @property
    def done(self) -> int:
        """How many interactions were tried."""
        return self.hand.done

    def all(self) -> list[str]:
        """Every figure; returns the problems."""
        for selector, work in FIGURES.items():
            for figure in self.page.locator(selector).all():
                figure.scroll_into_view_if_needed()
                before = self.done
                work(self.hand, figure)
                if self.done == before:
                    self.hand.note(figure, "there is nothing to play")
        return self.problems
