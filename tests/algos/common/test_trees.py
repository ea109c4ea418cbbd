from typing import NamedTuple

import pytest

from algos.common.trees import tree_leaves, tree_map


class Pair(NamedTuple):
    left: object
    right: object


TREE = {"a": 1, "b": (2, [3, {"c": 4}]), "d": (), "e": Pair(5, (6,))}


def test_a_function_reaches_every_leaf_and_the_form_stays():
    got = tree_map(lambda leaf: 10 * leaf, TREE)
    assert got == {"a": 10, "b": (20, [30, {"c": 40}]), "d": (), "e": Pair(50, (60,))}
    assert type(got["e"]) is Pair and type(got["b"][1]) is list


def test_trees_of_one_form_are_walked_side_by_side():
    assert tree_map(lambda a, b, c: a + b * c, (1, {"x": 2}), (3, {"x": 4}), (5, {"x": 6})) == (16, {"x": 26})
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        tree_map(lambda a, b: a, (1, 2), (1,))
    with pytest.raises(KeyError):
        tree_map(lambda a, b: a, {"x": 1}, {"y": 1})


def test_leaves_in_their_order():
    assert tree_leaves(TREE) == [1, 2, 3, 4, 5, 6] and tree_leaves(7) == [7] and tree_leaves(()) == []
