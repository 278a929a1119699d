from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from foretrade.storage import atomic_path, content_hash, read_json, write_json, write_text


def test_hashes_tell_values_and_shapes_apart():
    values = [
        1, 1.0, True, "1", None, b"1", [1], [[1]], {"a": 1}, {"a": 2}, np.zeros(2), np.zeros((1, 2)),
        np.zeros(2, np.float32), Ridge(), Ridge(alpha=2.0), np.mean,
    ]  # fmt: skip
    assert len({content_hash(value) for value in values}) == len(values)
    assert content_hash({"b": 1, "a": 2}) == content_hash({"a": 2, "b": 1})
    with pytest.raises(TypeError, match="no stable identity"):
        content_hash(object())


def test_a_failed_write_leaves_the_old_content(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def write_half() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_half()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_folders_are_replaced_whole(tmp_path):
    for number in (1, 2):
        with atomic_path(tmp_path / "folder") as temporary:
            temporary.mkdir()
            (temporary / f"{number}.txt").write_text("x")
    assert [p.name for p in (tmp_path / "folder").iterdir()] == ["2.txt"]


def test_json_is_strict(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"x": float("nan")})
    (tmp_path / "y.json").write_text("{")
    with pytest.raises(ValueError, match=r"y.json is not valid JSON .*delete it"):
        read_json(tmp_path / "y.json")
