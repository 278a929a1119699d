"""A headless Chromium: pages as a reader's browser meets them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path

import pytest

needs_browser = pytest.mark.skipif(not shutil.which("chromium"), reason="no browser here")
MEASURES = """
const frame = document.querySelector("iframe");
frame.onload = () => {
  const page = frame.contentDocument, html = page.documentElement;
  const seen = [...page.querySelectorAll(".verdict, table")].filter(e => e.getClientRects().length);
  document.body.dataset.found = JSON.stringify({
    width: html.clientWidth,
    needed: Math.max(html.scrollWidth, page.body.scrollWidth),
    seen: seen.map(element => element.className === "verdict" ? "verdict" : "table"),
    drawn: page.querySelectorAll("figure svg").length,
    loaded: [...page.images].filter(image => image.naturalWidth > 0).length,
  });
};
"""


def browse(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Open a page without a window, and without what a browser does by itself."""
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--enable-logging=stderr")
    quiet = ("--disable-background-networking", "--disable-component-update", "--disable-sync")
    own = (f"--user-data-dir={folder / 'profile'}", "--v=0", "--virtual-time-budget=20000")
    return subprocess.run(
        ["chromium", *flags, *quiet, *own, *arguments],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip


def without_scripts(html: str) -> str:
    """What is there before any script runs."""
    return re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)


def assert_readable_on_a_phone(html: str, folder: Path) -> None:
    """400 pixels wide, in a frame that lets no script run: nothing has to be scrolled sideways.

    Wide tables scroll by themselves; the verdict is seen first, then every table and picture.
    """
    frame = f'<iframe sandbox="allow-same-origin" width="400" height="800" srcdoc="{escape(html)}">'
    holder = folder / "holder.html"
    holder.write_text(f"<!doctype html><body>{frame}</iframe><script>{MEASURES}</script></body>")
    shown = browse(folder, "--dump-dom", holder.as_uri()).stdout
    (found,) = re.findall(r'data-found="(.*?)"', shown)
    measured = json.loads(unescape(found))
    assert measured["needed"] <= measured["width"] <= 400
    tables = without_scripts(html).count("<table")
    assert measured["seen"] == ["verdict"] + ["table"] * tables
    assert tables >= 3
    assert measured["drawn"] == 0
    assert measured["loaded"] == html.count('<img src="data:') >= 3
