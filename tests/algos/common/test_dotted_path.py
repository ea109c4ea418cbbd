"""Dotted paths: what they find, and what is said of those that find nothing."""

import math
import sys

import pytest

from algos.common.dotted_path import (
    MalformedPath,
    MissingModule,
    check_kwargs,
    import_module,
    import_object,
    path_of,
)
from algos.common.errors import UserError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A working folder with a package of the user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "dotted").mkdir()
    (tmp_path / "dotted" / "things.py").write_text("class Thing: pass\n")
    (tmp_path / "dotted" / "broken.py").write_text("import dotted_package_that_is_missing\n")
    (tmp_path / "dotted" / "wrong.py").write_text("raise ValueError('of its own')\n")
    (tmp_path / "dotted" / "script.py").write_text("import sys\nclass Thing: pass\nsys.exit(2)\n")
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "dotted"]:
        del sys.modules[name]


@pytest.mark.parametrize("path", ["math:tau", "math.tau"])
def test_a_colon_or_a_dot_before_the_name(path):
    assert import_object(path) == math.tau


def test_the_working_folder_is_searched():
    thing = import_object("dotted.things:Thing")
    assert thing.__name__ == "Thing" and import_module("dotted.things").Thing is thing


@pytest.mark.parametrize("path", ["", "math", ":tau", "math:", ".math:tau", "..math.tau"])
def test_what_cannot_name_a_class(path):
    with pytest.raises(MalformedPath, match=r"^key=x must look like package\.module:Class$"):
        import_object(path, "key=x")


@pytest.mark.parametrize(
    ("path", "missing"), [("dottd.things:Thing", "dottd"), ("dotted.thngs:Thing", "dotted.thngs"), ("a b:Thing", "a b")]
)
def test_a_missing_module_is_named(path, missing):
    with pytest.raises(MissingModule) as error:
        import_object(path, f"key={path}")
    assert error.value.name == missing
    assert str(error.value) == f"key={path}: no module named {missing!r} here or among the installed packages"
    with pytest.raises(MissingModule, match=f"^no module named '{missing}' here"):
        import_object(path)


def test_a_missing_name_gets_the_nearest_class():
    with pytest.raises(UserError, match=r"^key: module 'dotted\.things' has no 'Ting'; did you mean 'Thing'\?$"):
        import_object("dotted.things:Ting", "key")


@pytest.mark.parametrize(("module", "kind"), [("broken", ModuleNotFoundError), ("wrong", ValueError)])
def test_an_error_inside_the_module_passes_through(module, kind):
    with pytest.raises(kind, match=r"dotted_package_that_is_missing|of its own"):
        import_object(f"dotted.{module}:Thing", "key")


def test_a_module_that_ends_the_program_is_told():
    with pytest.raises(UserError, match=r"^key: module 'dotted\.script' calls sys\.exit\(2\) when it is imported; put"):
        import_object("dotted.script:Thing", "key")


def made_of(first, size, *, scale=1.0):
    """What a config names."""


def test_arguments_are_compared_with_the_signature():
    check_kwargs(made_of, {"size": 1, "scale": 2.0}, "key", given=1)
    check_kwargs(lambda **rest: rest, {"anything": 1}, "key")
    check_kwargs(dict, {"no": "signature"}, "key")
    with pytest.raises(UserError, match=r"^key has no parameter 'scael'; did you mean 'scale'\?$"):
        check_kwargs(made_of, {"size": 1, "scael": 2.0}, "key", given=1)
    with pytest.raises(UserError, match=r"^key needs the parameter 'size'$"):
        check_kwargs(made_of, {}, "key", given=1)


def test_the_path_of_a_class_leads_back_to_it(monkeypatch):
    thing = import_object("dotted.things:Thing")
    assert path_of(thing, "key") == "dotted.things:Thing" and import_object(path_of(thing, "key")) is thing
    monkeypatch.setattr(sys.modules["dotted.things"], "Thing", int)
    with pytest.raises(UserError, match=r"key: dotted.things:Thing is no longer the class that was given"):
        path_of(thing, "key")


def test_a_class_inside_a_function_has_no_path():
    class Local:
        pass

    with pytest.raises(UserError, match=r"key: .*<locals>.Local is defined inside a function or class"):
        path_of(Local, "key")
