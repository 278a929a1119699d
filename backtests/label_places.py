"""Where names of points are written so that they lie on no point and on no other name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes

Box = tuple[float, float, float, float]  # left, bottom, right, top, in points

SIZE = 8.0  # of the letters
WIDTH = 0.57  # of a letter, of its size
DOT = 4.0
FAR = 15.0  # a name further up or down than this needs a line to its point


def write_names(axes: Axes, places: Sequence[tuple[float, float]], names: Sequence[str]) -> None:
    """Write each name beside its point, given in the units of the axes, whose layout is settled."""
    scale = 72 / axes.figure.dpi
    points = [tuple(scale * axes.transData.transform(place)) for place in places]
    left, bottom, right, top = (scale * edge for edge in axes.bbox.extents)
    boxes = name_boxes([(x, y) for x, y in points], names, (left, bottom, right, top))
    for place, (x, y), box, name in zip(places, points, boxes, names, strict=True):
        shift = (box[0] - x, box[1] - y)
        line = {"arrowstyle": "-", "linewidth": 0.5, "color": "#5a6572"}
        text = axes.annotate(
            name,
            place,
            xytext=shift,
            textcoords="offset points",
            fontsize=SIZE,
            arrowprops=line if abs(shift[1]) > FAR else None,
        )
        text.set_in_layout(False)  # else the axes would move, and with them the points


def name_boxes(points: Sequence[tuple[float, float]], names: Sequence[str], page: Box) -> list[Box]:
    """The room of each name: the nearest place beside its point that is free and on the page."""
    taken = [(x - DOT, y - DOT, x + DOT, y + DOT) for x, y in points]
    boxes = []
    for (x, y), name in zip(points, names, strict=True):
        tried = list(_candidates(x, y, WIDTH * SIZE * len(name), len(names)))
        free = (box for box in tried if _inside(box, page) and not any(_meet(box, t) for t in taken))
        boxes.append(next(free, tried[0]))
        taken.append(boxes[-1])
    return boxes


def _candidates(x: float, y: float, width: float, count: int) -> Iterator[Box]:
    """To the right or left of a point, ever further up and down."""
    for step in range(2 * count + 2):
        for up in (3 + SIZE * step / 2, -SIZE - 3 - SIZE * step / 2):
            for left in (x + DOT + 1, x - DOT - 1 - width):
                yield left, y + up, left + width, y + up + SIZE + 1


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _inside(box: Box, page: Box) -> bool:
    return page[0] <= box[0] and page[1] <= box[1] and box[2] <= page[2] and box[3] <= page[3]
