"""Benchmarks are run by hand: here, that what they import is still there."""

import importlib
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.stem)
def test_a_benchmark_can_be_imported(path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    before = set(sys.modules)
    importlib.import_module(f"benchmarks.{path.stem}")
    for name in set(sys.modules) - before:
        if name.startswith("benchmarks."):
            del sys.modules[name]
