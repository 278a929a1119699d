"""Pages for people: one HTML file with its pictures inside, no outside resource, every text escaped."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import sys
import webbrowser
from pathlib import Path
from typing import Any

import matplotlib
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf", "#7f7f7f")
WIDTH_INCHES = 13.0


def render(template: Path, **values: Any) -> str:
    """The page of a template, which extends ``page.html.jinja``."""
    environment = Environment(
        loader=FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template.name).render(**values)


def axes_of(height_inches: float) -> tuple[Figure, Axes]:
    """One picture of the page's width."""
    figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
    axes = figure.subplots()
    axes.grid(alpha=0.25)
    return figure, axes


def svg(figure: Figure) -> str:
    """SVG text, the same for the same data."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "foretrade", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def data_uri(picture: str) -> str:
    """An SVG as the source of an image."""
    return "data:image/svg+xml;base64," + base64.b64encode(picture.encode()).decode()


def hash_source(script: str) -> str:
    """The script's name in a content security policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def open_in_browser(page: Path) -> bool:
    """Show a page; False where no window can be: a text browser would take over the terminal."""
    windows = sys.platform in ("darwin", "win32")
    windows = windows or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return windows and webbrowser.open(page.resolve().as_uri())
