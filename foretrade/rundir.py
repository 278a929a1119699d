"""The run directory: a manifest, and steps that are not done twice."""

from __future__ import annotations

import fcntl
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foretrade.config import ConfigError, Experiment, from_dict
from foretrade.errors import ForetradeError
from foretrade.storage import (
    code_hash,
    content_hash,
    file_hash,
    library_versions,
    read_json,
    write_json,
)

FORMAT = 1
CODE = {  # folders whose source a step depends on
    "forecast": ("markets", "forecasters"),
    "train": ("markets", "envs", "agents"),
    "backtest": ("", "markets", "forecasters", "envs", "agents", "backtests"),
    "report": ("", "markets", "forecasters", "backtests"),
    "league": ("", "markets", "forecasters", "envs", "agents", "backtests"),
    "tune": ("", "markets", "forecasters", "envs", "agents", "backtests"),
}
LIBRARIES = (
    "foretrade", "arch", "gymnasium", "keras", "lightgbm", "numba", "numpy", "pandas", "pyarrow",
    "quantstats", "scikit-learn", "scipy", "stable-baselines3", "ta-lib", "tensorflow", "torch",
)  # fmt: skip


class RunError(ForetradeError):
    """A run directory that cannot be used as asked."""


@dataclass(frozen=True)
class RunDirectory:
    """One experiment on disk.

    ``manifest.json`` holds the configuration and the data, and for each step a key (hash of
    everything it depends on), the hashes of its outputs, the revision and library versions that
    made them, and its wall time; and the end of the ledger of trials beside it.
    """

    path: Path
    config: Experiment

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """An existing run.

        Raises:
            RunError: There is none, or its manifest cannot be used.
        """
        if not (path / "manifest.json").is_file():
            raise RunError(f"{path}: no run there (no manifest.json); start one with 'foretrade run'")
        try:
            return cls(path, from_dict(read_json(path / "manifest.json")["config"]))
        except (ConfigError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{path}/manifest.json cannot be used: {error}") from error

    @classmethod
    def create(cls, path: Path, config: Experiment) -> RunDirectory:
        """A new run, or the unfinished or finished one of the same configuration.

        Nothing is written before the first step has something to write.

        Raises:
            RunError: The folder holds a run of another configuration, or something else.
        """
        if (path / "manifest.json").is_file():
            found = cls.open(path)
            if found.config != config:
                raise RunError(
                    f"{path}: holds a run of another configuration (it differs in "
                    f"{_first_difference(found.config.as_dict(), config.as_dict())}); "
                    "choose another --out"
                )
        elif path.exists() and not path.is_dir():
            raise RunError(f"{path}: is a file; --out names a folder")
        elif path.exists() and any(path.iterdir()):
            raise RunError(f"{path}: not empty, and no run; choose another --out")
        return cls(path, config)

    @property
    def manifest(self) -> dict[str, Any]:
        path = self.path / "manifest.json"
        if path.is_file():
            manifest: dict[str, Any] = read_json(path)
            return manifest
        return {
            "format": FORMAT,
            "config": self.config.as_dict(),
            "config_hash": self.config.config_hash,
            "seeds": list(self.config.policy_seeds),
            "data": {},
            "steps": {},
        }

    def record_data(self, facts: dict[str, Any]) -> None:
        """Note which data the run stands on.

        Raises:
            RunError: An earlier step stood on other data.
        """
        with self._alone():
            manifest = self.manifest
            if manifest["data"] and manifest["data"]["hash"] != facts["hash"]:
                raise RunError(
                    f"{self.path}: the data of {facts['source']} has changed since the run was begun; "
                    "choose another --out"
                )
            if manifest["data"] != facts:
                write_json(self.path / "manifest.json", manifest | {"data": facts})

    def record_trials(self, head: dict[str, Any]) -> None:
        """Note the end of the ledger of trials, so that lines missing there are seen.

        Worker processes note ends in any order; the last line counts.
        """
        with self._alone():
            manifest = self.manifest
            if manifest.get("trials", {"length": 0})["length"] < head["length"]:
                write_json(self.path / "manifest.json", manifest | {"trials": head})

    def step(self, name: str, after: str | None, inputs: str, work: Callable[[], list[Path]]) -> bool:
        """Do a step unless it is done: same key, outputs present and unchanged.

        Args:
            after: Step whose outputs this one reads.
            inputs: Hash of what the step reads that no other step has made.
            work: Does it, and returns the files it wrote.

        Returns:
            Whether there was anything to do.

        Raises:
            RunError: The step before has not been done, or its outputs were changed or deleted.
        """
        key = self._key(name, after, inputs)
        if self._is_done(name, key):
            return False
        started = time.perf_counter()
        outputs = work()
        record = {
            "key": key,
            "outputs": {str(p.relative_to(self.path)): file_hash(p) for p in sorted(outputs)},
            "seconds": round(time.perf_counter() - started, 1),
            "revision": code_revision(),
            "versions": [*library_versions(*LIBRARIES), f"python=={platform.python_version()}"],
        }
        with self._alone():
            manifest = self.manifest
            manifest["steps"][name] = record
            write_json(self.path / "manifest.json", manifest)
        return True

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process changes the manifest meanwhile; the lock ends with its process."""
        self.path.mkdir(parents=True, exist_ok=True)
        folder = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _key(self, name: str, after: str | None, inputs: str) -> str:
        steps = self.manifest["steps"]
        before = {}
        if after is not None:
            if after not in steps or not self._outputs_intact(steps[after]):
                raise RunError(
                    f"{self.path}: step {after!r} is not done; run 'foretrade {after} {self.path}' first"
                )
            before = steps[after]["outputs"]
        config, code = self.config.as_dict(), code_hash(*CODE[name])
        return content_hash(name, config, inputs, before, code, library_versions(*LIBRARIES))

    def _is_done(self, name: str, key: str) -> bool:
        record = self.manifest["steps"].get(name)
        return record is not None and record["key"] == key and self._outputs_intact(record)

    def _outputs_intact(self, record: dict[str, Any]) -> bool:
        return all(
            (self.path / name).is_file() and file_hash(self.path / name) == digest
            for name, digest in record["outputs"].items()
        )


def code_revision() -> str:
    """Git revision of the checkout the package runs from, with ``+`` if it was changed; or ``""``."""
    folder = Path(__file__).parent
    try:
        revision = _git(folder, "rev-parse", "HEAD")
        return revision + ("+" if _git(folder, "status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=True, text=True)
    return done.stdout.strip()


def _first_difference(left: dict[str, Any], right: dict[str, Any], prefix: str = "") -> str:
    for key, value in left.items():
        if isinstance(value, dict) and isinstance(right.get(key), dict):
            found = _first_difference(value, right[key], f"{prefix}{key}.")
            if found:
                return found
        elif value != right.get(key):
            return f"{prefix}{key}: {value!r} there, {right.get(key)!r} here"
    return ""
