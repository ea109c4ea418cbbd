"""Pickles from strangers: plain containers and arrays of numbers are read, whatever else is there is refused."""

import os
import pickle
import random

import numpy as np
import pytest

from algos.common.errors import UserError
from framework.runs.safe_pickle import Array, load_plain


def unpacked(tree):
    """What was read, with numpy's own arrays."""
    if isinstance(tree, dict):
        return {key: unpacked(item) for key, item in tree.items()}
    if isinstance(tree, list):
        return [unpacked(item) for item in tree]
    return tree.value() if isinstance(tree, Array) else tree


def fields():
    """Containers and arrays of several layouts."""
    return {
        "a": np.arange(6, dtype="float32").reshape(3, 2),
        "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "swapped": np.arange(3, dtype=">i4"),
        "empty": np.zeros((0, 4), bool),
        "view": np.arange(8.0).reshape(4, 2).T.copy().T,
        "plain": [1, 2.5, None, True, "text", (3, b"bytes")],
    }


@pytest.mark.parametrize("protocol", range(6))
def test_plain_things_come_back(tmp_path, protocol):
    path = tmp_path / "demo.pkl"
    path.write_bytes(pickle.dumps([fields()], protocol))
    (got,) = unpacked(load_plain(path))
    np.testing.assert_equal(got, fields())
    assert got["a"].dtype == np.float32 and got["empty"].shape == (0, 4)


class Bomb:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_runs_code_is_refused(tmp_path, protocol):
    path, trace = tmp_path / "bomb.pkl", tmp_path / "was_here"
    for bomb in (
        Bomb(os.system, f"touch {trace}"),
        Bomb(eval, f"open({str(trace)!r}, 'w')"),
        Bomb(np.load, str(path)),
        np.array([Bomb(os.system, f"touch {trace}")], dtype=object),
        Bomb(getattr, [], "append"),
    ):
        path.write_bytes(pickle.dumps([fields(), {**fields(), "obs": bomb}], protocol))
        with pytest.raises(UserError, match=r"bomb\.pkl is refused: it names '\S+\.\S+'; only numpy arrays") as error:
            load_plain(path)
        assert "\n" not in str(error.value)
    assert not trace.exists()


@pytest.mark.parametrize("odd", [np.array([None] * 4), np.zeros(4, [("a", "f8")]), np.zeros(4, "M8[s]")])
def test_arrays_that_are_not_of_numbers_are_refused(tmp_path, odd):
    path = tmp_path / "demo.pkl"
    path.write_bytes(pickle.dumps(odd))
    with pytest.raises((UserError, TypeError, ValueError)):
        load_plain(path).value()


def test_a_lie_about_an_array_reaches_no_memory(tmp_path):
    path = tmp_path / "demo.pkl"
    content = pickle.dumps(np.arange(4, dtype="f4"), 2)
    for code in (b"O8", b"V4", b"f8", b"U2"):  # the same bytes as pointers, records, or numbers of another size
        path.write_bytes(content.replace(b"f4", code))
        with pytest.raises((UserError, TypeError, ValueError)):
            load_plain(path).value()


def test_a_file_cut_anywhere_or_spoilt_gives_a_user_error(tmp_path):
    path = tmp_path / "demo.pkl"
    content = pickle.dumps([{"a": np.arange(2, dtype="f4"), "b": (1, "two", None)}])
    for cut in range(len(content)):
        path.write_bytes(content[:cut])
        with pytest.raises(UserError, match=r"demo\.pkl is (truncated or corrupt|refused)") as error:
            load_plain(path)
        assert "\n" not in str(error.value)
    rng = random.Random(0)
    for _ in range(2000):
        spoilt = bytearray(content)
        spoilt[rng.randrange(len(spoilt))] = rng.randrange(256)
        path.write_bytes(spoilt)
        try:
            load_plain(path)
        except UserError as error:
            assert str(path) in str(error) and "\n" not in str(error)
