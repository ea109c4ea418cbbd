"""Modules of the user's that others of the same name hide."""

import importlib
import sys

import pytest

import envs
from algos.common.dotted_path import MissingModule, import_object
from algos.common.errors import UserError
from algos.common.hidden import Guard, HiddenModule, stand_guard, why_hidden
from algos.registry import get_config_class

OURS = envs.__path__[0]
RENAME = "rename your 'envs', or move it into a package of another name"


@pytest.fixture(autouse=True)
def mine(tmp_path, monkeypatch):
    """A working folder with a package envs, a module that needs it, and a module with a name of Python's own."""
    stand_guard()  # as framework does
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "envs").mkdir()
    (tmp_path / "envs" / "mine.py").write_text("class MyEnv: pass\n")
    (tmp_path / "envs" / "wrappers.py").write_text("class MyWrapper: pass\n")
    (tmp_path / "hidden_user.py").write_text("from envs.mine import MyEnv\n")
    (tmp_path / "queue.py").write_text("class MyEnv: pass\n")
    yield tmp_path
    sys.modules.pop("hidden_user", None)


@pytest.mark.parametrize("path", ["envs.mine:MyEnv", "hidden_user:MyEnv"])
def test_a_dotted_path_into_a_hidden_package(path):
    with pytest.raises(MissingModule) as error:
        import_object(path, "key")
    assert str(error.value) == (
        f"key: no module named 'envs.mine': 'envs' is Joyride's own package {OURS}, which hides ./envs/mine.py;"
        f" {RENAME} (mine.envs.mine, say)"
    )


def test_a_class_that_the_imported_module_lacks():
    with pytest.raises(UserError, match=r"'envs\.wrappers' has no 'MyWrapper'; .* hides \./envs/wrappers\.py; rename"):
        import_object("envs.wrappers:MyWrapper", "key")
    with pytest.raises(UserError, match=r"'queue' has no 'MyEnv'; 'queue' is imported from .*, which hides \./queue"):
        import_object("queue:MyEnv", "key")
    with pytest.raises(UserError, match=r"'envs\.make' has no 'make_emv'; known: "):
        import_object("envs.make:make_emv", "key")  # a slip of the pen: nothing of the user's has it


def test_an_algorithm_says_so_too(mine):
    (mine / "algos").mkdir()
    (mine / "algos" / "__init__.py").touch()
    with pytest.raises(
        UserError, match=r"^cannot find module 'algos\.soft' of algorithm 'algos\.soft:Soft': 'algos' is"
    ):
        get_config_class("algos.soft:Soft")


def test_imports_of_a_script_say_so():
    stand_guard()
    assert [type(finder) for finder in sys.meta_path].count(Guard) == 1
    with pytest.raises(HiddenModule, match=rf"^no module named 'envs\.mine': .*{OURS}, which hides \./envs/mine\.py"):
        importlib.import_module("envs.mine")
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'algos\.nothing'$"):
        importlib.import_module("algos.nothing")
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'queue\.mine'"):
        importlib.import_module("queue.mine")


def test_what_the_users_package_itself_holds(mine):
    (mine / "envs" / "__init__.py").write_text("class MyEnv: pass\n")
    with pytest.raises(HiddenModule, match=r"hides \./envs/__init__\.py"):
        exec("from envs import MyEnv", {})


def test_nothing_is_hidden(mine):
    assert why_hidden("hidden_user") == "" and why_hidden("no_such_module.at_all") == "" and why_hidden("sys") == ""
    (mine / "envs" / "mine.py").unlink()
    assert why_hidden("envs.mine") == ""
