"""Trees: nested dicts, tuples and lists whose leaves are arrays or tensors (torch-free)."""

from collections.abc import Callable
from typing import Any

Tree = Any  # an array or tensor, or a tuple (named or not), list or dict of trees; () holds nothing


def tree_map(fn: Callable[..., Any], tree: Tree, *others: Tree) -> Tree:
    """Apply `fn` to the leaves of trees of equal structure; tuples and named tuples keep their type."""
    if isinstance(tree, dict):
        return {key: tree_map(fn, tree[key], *(other[key] for other in others)) for key in tree}
    if isinstance(tree, (tuple, list)):
        mapped = (tree_map(fn, *leaves) for leaves in zip(tree, *others, strict=True))
        return type(tree)(*mapped) if hasattr(tree, "_fields") else type(tree)(mapped)
    return fn(tree, *others)


def tree_leaves(tree: Tree) -> list[Any]:
    """Leaves in the order of the tree."""
    if isinstance(tree, dict):
        return [leaf for value in tree.values() for leaf in tree_leaves(value)]
    if isinstance(tree, (tuple, list)):
        return [leaf for value in tree for leaf in tree_leaves(value)]
    return [tree]
