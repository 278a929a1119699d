"""A headless Chromium: pages as a reader's browser meets them."""

from __future__ import annotations

import base64
import hashlib
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


CLICK = """
const asked = document.getElementById("asked").dataset;
const table = document.querySelector(`[aria-label="${asked.table}"] table`);
for (let k = 0; k < asked.clicks; k++) table.tHead.rows[0].cells[asked.column].click();
const texts = [...table.tBodies[0].rows].map(row => row.cells[asked.column].textContent.trim());
document.body.dataset.found = JSON.stringify(texts);
"""
FRAMED = """
const frame = document.querySelector("iframe");
const beyond = (picture) => {
  const seen = [...picture.querySelectorAll("text")].filter(t => t.getAttribute("opacity") !== "0");
  const edges = seen.map(text => text.getBoundingClientRect().right);
  return Math.max(...edges) - picture.closest("figure").getBoundingClientRect().right;
};
const measure = () => {
  const pictures = [...frame.contentDocument.querySelectorAll("figure svg")];
  document.body.dataset.found = JSON.stringify(pictures.map(beyond));
};
const begin = () => {
  if (frame.contentDocument?.documentElement.dataset.ready !== "yes") return setTimeout(begin, 100);
  frame.width = 390;
  setTimeout(measure, 4000);
};
begin();
"""


def overhang_on_a_phone(html: str, folder: Path, drawn_at: int = 390) -> list[float]:
    """By how many pixels the texts of each picture go beyond a page of 390 pixels.

    Args:
        drawn_at: How wide the page was when its script drew the pictures; then it became narrower.
    """
    frame = f'<iframe width="{drawn_at}" height="800" srcdoc="{escape(html)}"></iframe>'
    holder = folder / "holder.html"
    holder.write_text(f"<!doctype html><body>{frame}<script>{FRAMED}</script></body>")
    shown = browse(folder, "--dump-dom", holder.as_uri()).stdout
    found = re.findall(r'data-found="(.*?)"', shown.rsplit("<body", 1)[-1])
    return [float(value) for value in json.loads(unescape(found[0]))]


def sorted_by_clicks(html: str, folder: Path, table: str, column: int, clicks: int = 1) -> list[str]:
    """Texts of a column after its heading was clicked; ``table`` is the table's label."""
    path = folder / "clicked.html"
    digest = base64.b64encode(hashlib.sha256(CLICK.encode()).digest()).decode()
    html = html.replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
    asked = f'<p id="asked" data-table="{table}" data-column="{column}" data-clicks="{clicks}"></p>'
    before, _, after = html.rpartition("</body>")  # scripts may hold it too
    path.write_text(f'{before}{asked}<script type="module">{CLICK}</script></body>{after}')
    (found,) = re.findall(r'data-found="(.*?)"', browse(folder, "--dump-dom", path.as_uri()).stdout)
    return list(json.loads(unescape(found)))


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
