"""Forms of saved state: what does not fit is told with its place."""

import numpy as np
import pytest

from algos.common.forms import by_name, check_like, check_rows, count, flag, listed, maybe, number, record, text

FORM = record(
    optional=("c",), a=count, b=listed(number), c=maybe(text), d=by_name(flag), e=listed(count, text)
)  # fmt: skip
GOOD = {"a": 1, "b": [1, 2.5], "d": {"x": True}, "e": (3, "y"), "more": object()}


def test_what_fits_passes():
    FORM(GOOD, "it")
    FORM(GOOD | {"c": None}, "it")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"a": True}, "it.a is bool, not a whole number"),
        ({"b": [1, "x"]}, r"it.b\[1\] is str, not a number"),
        ({"b": 3}, "it.b is int, not a list"),
        ({"c": 3}, "it.c is int, not a text"),
        ({"d": {1: True}}, "it.d is dict, not a mapping of texts"),
        ({"e": (3,)}, "it.e is tuple, not a list of 2"),
    ],
)
def test_what_does_not_fit_is_named(wrong, said):
    with pytest.raises(ValueError, match=said):
        FORM(GOOD | wrong, "it")


def test_a_missing_key_is_named():
    with pytest.raises(ValueError, match="it has no 'a'"):
        FORM({}, "it")


def test_trees_of_arrays_are_alike():
    own = {"x": np.zeros((2, 3)), "y": (np.zeros(2, int),)}
    check_like(own, {"x": np.ones((2, 3), np.float32), "y": (np.ones(2, np.int32),)}, "it")
    for other in ({}, {"x": np.zeros((2, 4)), "y": own["y"]}, own | {"y": ()}, own | {"x": np.zeros((2, 3), int)}):
        with pytest.raises(ValueError, match=r"^it"):
            check_like(own, other, "it")
    check_rows(np.zeros((2, 3)), "it", (2,))
