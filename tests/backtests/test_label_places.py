"""Names of points lie on no other name and on no point."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from foretrade.backtests.label_places import DOT, name_boxes

PAGE = (0.0, 0.0, 400.0, 250.0)


def apart(one, other) -> bool:
    beside = one[2] <= other[0] or other[2] <= one[0]
    return beside or one[3] <= other[1] or other[3] <= one[1]


@pytest.mark.parametrize("spread", [0.0, 3.0, 40.0])
def test_names_do_not_meet(spread):
    """Also of points that lie on each other, and at the edge of the page."""
    generator = np.random.default_rng(0)
    points = [(390.0 - x, 120.0 + y) for x, y in generator.uniform(0, spread + 1e-9, (12, 2))]
    names = [f"forecaster_{k}" for k in range(12)]
    boxes = name_boxes(points, names, PAGE)
    assert all(apart(*pair) for pair in combinations(boxes, 2))
    dots = [(x - DOT, y - DOT, x + DOT, y + DOT) for x, y in points]
    assert all(apart(box, dot) for box in boxes for dot in dots)
    assert all(
        PAGE[0] <= b[0] and PAGE[1] <= b[1] and b[2] <= PAGE[2] and b[3] <= PAGE[3] for b in boxes
    )


def test_a_name_alone_stands_at_the_upper_right():
    (box,) = name_boxes([(100.0, 100.0)], ["ridge"], PAGE)
    assert (box[0], box[1]) == (105.0, 103.0)
