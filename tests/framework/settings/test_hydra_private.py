"""What is used of Hydra's inner API does what its names say: an update of Hydra that breaks it fails here."""

from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig

from framework.settings import hydra_private
from framework.settings.hydra_private import HydraConfig


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    (tmp_path / "part" / "sub").mkdir(parents=True)
    (tmp_path / "main.yaml").write_text("defaults:\n  - part: one\n  - _self_\nsize: 1\n")
    (tmp_path / "part" / "one.yaml").write_text("a: 1\n")
    (tmp_path / "part" / "sub" / "two.yaml").write_text("a: 2\n")
    return tmp_path


def test_a_folder_of_configs_is_composed(configs: Path) -> None:
    with hydra_private.open_hydra(configs, "test") as hydra:
        composed = hydra_private.compose(hydra, "main", ["size=3"])
        assert (composed.size, composed.part, composed.hydra.job.name) == (3, {"a": 1}, "test")
        assert hydra_private.group_options(hydra, "main", "part") == ["one", "sub/two"]
        (override,) = hydra_private.parse(hydra, "size=[1,2]")
        assert (override.key_or_group, override.value()) == ("size", [1, 2])


def test_what_is_composed_without_hydra_s_own_part_is_the_same(configs: Path) -> None:
    defaults = "defaults: [{part: one}, _self_, {override hydra/job_logging: none}]\n"
    (configs / "main.yaml").write_text(defaults + "hydra: {job: {name: own}}\nsize: 1\n")
    (configs / "part" / "launched.yaml").write_text(
        "# @package _global_\ndefaults: [{override /hydra/launcher: basic}]\na: 3\n"
    )
    with hydra_private.open_hydra(configs, "test") as hydra:
        whole = dict(hydra_private.compose(hydra, "main", ["size=3", "part=sub/two", "+more=[1]"]))
        assert whole.pop("hydra").job.name == "own"
        assert hydra_private.compose_own(hydra, "main", ["size=3", "part=sub/two", "+more=[1]"]) == whole
        for needs_it in ("hydra.job.name=b", "hydra/launcher=basic", "part=launched"):
            hydra_private.compose(hydra, "main", [needs_it])
            with pytest.raises(HydraException):
                hydra_private.compose_own(hydra, "main", [needs_it])
        for wrong in ("size=1,2", "width=3", "part=three"):
            with pytest.raises(HydraException):
                hydra_private.compose_own(hydra, "main", [wrong])


def test_what_is_stored_leaves_at_the_end(configs: Path) -> None:
    mine = hydra_private.configs_of(lambda: hydra_private.store("stored", {"a": 5}, group="part"))
    with hydra_private.open_hydra(configs, "test") as hydra:
        with hydra_private.stored(mine):
            hydra_private.store("later", {"a": 6}, group="part")
            assert hydra_private.group_options(hydra, "main", "part") == ["later", "one", "stored", "sub/two"]
            assert hydra_private.compose(hydra, "main", ["part=stored"]).part.a == 5
        assert hydra_private.group_options(hydra, "main", "part") == ["one", "sub/two"]


def test_a_launcher_runs_the_task_for_each_job(configs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seen: list[tuple[int, int]] = []

    def task(config: DictConfig) -> None:
        seen.append((HydraConfig.get().job.num, config.size))

    with hydra_private.open_hydra(configs, "test") as hydra:
        launcher, here = hydra_private.launcher_of(hydra, "main", [f"hydra.sweep.dir={tmp_path}"], task)
        launcher.launch([["size=4"], ["size=5"]], initial_job_idx=0)
        elsewhere = hydra_private.launcher_of(hydra, "main", ["hydra/launcher=joblib"], task)[1]
    assert (here, elsewhere, seen) == (True, False, [(0, 4), (1, 5)])


def test_the_command_line() -> None:
    args: Any = hydra_private.args_parser().parse_args(["-m", "a=1", "--cfg", "job"])
    assert (args.multirun, args.overrides, args.cfg) == (True, ["a=1"], "job")
    assert hydra_private.words_of_line("python main.py a=1  b") == ["a=1", "b"]


def test_hydra_opens_inside_another_application(configs: Path, tmp_path: Path) -> None:
    with hydra_private.open_hydra(configs, "outer") as outer:
        with hydra_private.open_hydra(configs, "inner") as inner:
            assert GlobalHydra.instance().hydra is inner and hydra_private.compose(inner, "main", []).size == 1
        assert GlobalHydra.instance().hydra is outer
        assert hydra_private.compose(outer, "main", ["size=2"]).size == 2
        assert hydra_private.compose(outer, "main", []).hydra.job.name == "outer"  # also of its next job
    assert not GlobalHydra.instance().is_initialized()
