"""The one place that knows where the checkout is."""

from pathlib import Path

import main
from framework.runs.checkout import ROOT


def test_it_is_the_folder_of_the_program():
    assert Path(main.__file__).resolve().parent == ROOT
    assert (ROOT / "config" / "config.yaml").is_file() and (ROOT / "docs").is_dir()


def test_no_other_file_of_the_framework_looks_for_it():
    found = [path.name for path in (ROOT / "framework").rglob("*.py") if "Path(__file__)" in path.read_text()]
    assert found == ["checkout.py"]
