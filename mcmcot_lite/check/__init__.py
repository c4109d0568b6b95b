"""Self-checks of the exercises: ``check.ex_3_6(your_step)`` for Exercise 3.6.

Each tries your function on cases of its own and looks at properties that every right answer has.
It prints that all hold, or raises :class:`Wrong` with the one that does not.
"""

from mcmcot_lite.check.applications import ex_12_6, ex_13_6, ex_14_6
from mcmcot_lite.check.correction import ex_5_5, ex_6_5, ex_7_5, ex_8_4, ex_9_4
from mcmcot_lite.check.grading import Wrong
from mcmcot_lite.check.inference import ex_1_5, ex_2_6, ex_3_6, ex_4_4, ex_4_5
from mcmcot_lite.check.others import ex_10_5, ex_11_3, ex_11_4

__all__ = [
    "Wrong",
    "ex_1_5",
    "ex_2_6",
    "ex_3_6",
    "ex_4_4",
    "ex_4_5",
    "ex_5_5",
    "ex_6_5",
    "ex_7_5",
    "ex_8_4",
    "ex_9_4",
    "ex_10_5",
    "ex_11_4",
    "ex_11_3",
    "ex_12_6",
    "ex_13_6",
    "ex_14_6",
]
