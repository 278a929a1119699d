"""The house as designed: folders, links, names, sizes, and what an import may drag in."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import foretrade

ROOT = Path(__file__).parents[2]
FOLDERS = ("agents", "backtests", "envs", "forecasters", "markets")
ROOMS = {  # folders within them
    "foretrade.markets.known": "markets/known",
    "foretrade.markets.realistic": "markets/realistic",
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HOUSE = (*FOLDERS, *ROOMS.values(), "foretrade")
MODULES = [path for folder in HOUSE for path in sorted((ROOT / folder).glob("*.py"))]


def test_links_mapping_and_folders_agree():
    for folder in FOLDERS:
        link = ROOT / "foretrade" / folder
        assert link.is_symlink(), f"{link} is not a link"
        assert link.readlink() == Path(f"../{folder}")
    tool = PROJECT["tool"]["setuptools"]
    places = {f"foretrade.{folder}": folder for folder in FOLDERS} | ROOMS
    assert tool["packages"] == ["foretrade", *places]
    assert tool["package-dir"] == places


def test_the_public_surface_is_sorted_and_loads():
    assert foretrade.__all__ == sorted(foretrade.__all__)
    assert set(foretrade.__all__) == set(foretrade._HOMES)
    for name in foretrade.__all__:
        assert getattr(foretrade, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = foretrade.Nothing


def test_the_version_stands_in_the_changelog():
    assert PROJECT["project"]["version"] == foretrade.__version__
    assert f"## {foretrade.__version__}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_modules_are_short_and_import_absolutely(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 320
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno <= 75, f"{node.name} is too long"


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_importing_foretrade_is_cheap():
    code = (
        "import time; start = time.perf_counter(); import foretrade; import sys;"
        "print(time.perf_counter() - start, sorted({'torch', 'tensorflow', 'keras',"
        "'stable_baselines3', 'pandas'} & set(sys.modules)))"
    )
    runs = [python(code).split(" ", 1) for _ in range(3)]
    assert all(loaded.strip() == "[]" for _, loaded in runs)
    assert min(float(seconds) for seconds, _ in runs) < 0.5


def test_markets_envs_and_backtests_load_without_a_learning_framework():
    modules = [
        f"foretrade.{path.parent.name}.{path.stem}"
        for path in MODULES
        if path.parent.name in ("markets", "envs", "backtests") and path.stem != "__init__"
    ]
    imports = f"import importlib, sys; [importlib.import_module(m) for m in {modules}]"
    code = f"{imports}; print(set(sys.modules))"
    loaded = set(re.findall(r"'([^']+)'", python(code)))
    assert "foretrade.backtests.report" in loaded
    assert not {"torch", "tensorflow", "keras", "stable_baselines3"} & loaded


def test_constraints_pin_every_requirement():
    pins = (ROOT / "constraints.txt").read_text().lower().replace("_", "-")
    extras = PROJECT["project"]["optional-dependencies"]
    for requirement in (*PROJECT["project"]["dependencies"], *extras["samples"], *extras["dev"]):
        name = re.match(r"[A-Za-z0-9-]+", requirement).group().lower()
        assert name == "foretrade" or f"\n{name}==" in f"\n{pins}", f"{name} is not pinned"
