"""A picture of an episode so far: price with trades, weight, equity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

WIDTH_INCHES, HEIGHT_INCHES, DPI = 8.0, 5.0, 80


def draw_episode(steps: list[dict[str, Any]], title: str) -> NDArray[np.uint8]:
    """Draw the infos of an episode, the one of ``reset`` first; ``[height, width, 3]``.

    Each info needs ``date``, ``close``, ``fill_price``, ``units``, ``traded`` and ``equity``.
    """
    frame = pd.DataFrame(steps)
    figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), dpi=DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    price, weight, equity = figure.subplots(3, 1, sharex=True, height_ratios=(3, 1, 2))
    price.plot(frame["date"], frame["close"], color="#444444", linewidth=1.1)
    change = np.sign(frame["units"].diff().fillna(0.0)).where(frame["traded"] > 0, 0.0)
    for side, marker, colour in ((1, "^", "#2ca02c"), (-1, "v", "#d62728")):
        trades = frame[change == side]
        price.scatter(trades["date"], trades["fill_price"], marker=marker, color=colour, s=18, zorder=3)
    price.set_ylabel("price")
    price.set_title(title, loc="left", fontsize=9)
    held = frame["units"] * frame["close"] / frame["equity"].where(frame["equity"] > 0)
    weight.fill_between(frame["date"], held.fillna(0.0), step="post", color="#1f77b4", alpha=0.6)
    weight.axhline(0.0, color="black", linewidth=0.5)
    weight.set_ylabel("weight")
    equity.plot(frame["date"], frame["equity"] / frame["equity"].iloc[0], color="#9467bd", linewidth=1.1)
    equity.axhline(1.0, color="black", linewidth=0.5)
    equity.set_ylabel("equity")
    for axes in (price, weight, equity):
        axes.grid(alpha=0.25)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    return pixels[:, :, :3].copy()
