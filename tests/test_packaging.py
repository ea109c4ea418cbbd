"""What pip installs: all packages, config/ inside framework, the command; and `import joyride` from any folder."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from setuptools.config.pyprojecttoml import read_configuration

import framework
import joyride

ROOT = Path(__file__).resolve().parent.parent
SETUP = read_configuration(ROOT / "pyproject.toml", expand=False)["tool"]["setuptools"]
USE = "from {} import Experiment; print(Experiment(algo='PPO', env='Acrobot-v1').algorithm.obs_space.shape)"


def run(code: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run a script of the user's, in the user's folder, behind which the checkout lies on the path."""
    (cwd / "script.py").write_text(code)
    path = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    return subprocess.run([sys.executable, "script.py"], cwd=cwd, env=path, capture_output=True, text=True, timeout=120)


def test_every_package_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, list[str]] = {}
    monkeypatch.setattr("setuptools.setup", lambda **settings: given.update(settings))
    monkeypatch.chdir(ROOT)
    runpy.run_path("setup.py")
    found = {path.parent for top in ("algos", "envs", "framework") for path in Path(top).rglob("*.py")}
    assert {*given["packages"]} == {*(".".join(path.parts) for path in found), "framework.config"}
    assert SETUP["package-dir"] == {"framework.config": "config"} and SETUP["py-modules"] == ["joyride"]


def test_every_file_of_config_is_installed() -> None:
    (pattern,) = SETUP["package-data"]["framework.config"]
    files = {path for path in (ROOT / "config").rglob("*") if path.is_file()}
    assert files and files == {*(ROOT / "config").glob(pattern)}


def test_joyride_has_the_names_of_framework() -> None:
    assert joyride.__all__ == framework.__all__ and dir(joyride) == dir(framework)
    assert all(getattr(joyride, name) is getattr(framework, name) for name in joyride.__all__)
    assert joyride.PPO is framework.PPO and joyride.PPOConfig(lr=1e-3).lr == 1e-3
    with pytest.raises(AttributeError, match="'joyride' has no attribute 'Experimnt'"):
        joyride.Experimnt  # noqa: B018
    version = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert version is not None and version[1] == joyride.__version__ == framework.__version__


def test_importing_joyride_loads_nothing_heavy(tmp_path: Path) -> None:
    code = "import sys, joyride; dir(joyride); print({'torch', 'numpy', 'gymnasium', 'hydra'} & {*sys.modules})"
    assert run(code, tmp_path).stdout == "set()\n"


def test_the_command_is_the_program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["joyride", "sede=1"])
    assert joyride.main() == 2 and "did you mean 'general_cfg.seed'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["joyride", "framework"])
def test_beside_packages_of_the_users_of_the_same_names(name: str, tmp_path: Path) -> None:
    for package in ("envs", "algos"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("MINE = True\n")
    if name == "joyride":
        (tmp_path / "framework.py").write_text("MINE = True\n")
    done = run(USE.format(name), tmp_path)
    assert (done.stdout, done.returncode) == ("(6,)\n", 0), done.stderr


@pytest.mark.parametrize(("own", "ours"), [("envs", "framework"), ("algos", "joyride"), ("framework", "joyride")])
def test_one_that_is_imported_already_is_named(own: str, ours: str, tmp_path: Path) -> None:
    (tmp_path / f"{own}.py").write_text("MINE = True\n")
    error = run(f"import {own}\nimport {ours}\n", tmp_path).stderr.splitlines()[-1]
    assert error == (
        f"ImportError: Joyride has a package named {own!r} ({ROOT / own}), but another {own!r} is already imported:"
        f" {tmp_path / own}.py. Rename that one, or move it into another package"
    )


def test_the_locks_agree_and_name_no_place() -> None:
    pinned: dict[tuple[str, str], str] = {}
    for name in ("requirements.lock", "requirements-dev.lock", "requirements-docs.lock"):
        text = (ROOT / name).read_text()
        assert "://" not in text and "index" not in text
        for package, version, marker in re.findall(r"^([\w.-]+)==(\S+)(?: ; (.*))?$", text, re.MULTILINE):
            for older in (True, False):
                if not marker or ("<" in marker) == older:
                    assert pinned.setdefault((package, str(older)), version) == version, f"{name}: {package}"
