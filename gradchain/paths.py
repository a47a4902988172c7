"""Paths of leaves, and flattening that keeps holes."""

from __future__ import annotations

from typing import Any

import jax


def is_hole(x: Any) -> bool:
    """Whether ``x`` is a hole (``None``)."""
    return x is None


def flatten(tree: Any) -> tuple[list, Any]:
    """The leaves of ``tree``, holes included, and its structure in which holes are leaves."""
    return jax.tree.flatten(tree, is_leaf=is_hole)


def flatten_like(treedef: Any, tree: Any) -> list:
    """The parts of ``tree`` at the leaves of ``treedef``; a tree of holes where ``tree`` is ``None``."""
    return [None] * treedef.num_leaves if tree is None else treedef.flatten_up_to(tree)


def path_name(path: tuple) -> str:
    """The name of a key path: ``encoder/layers_3/kernel``."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def named_leaves(tree: Any) -> list[tuple[str, Any]]:
    """Pairs of path and leaf, holes included."""
    leaves = jax.tree_util.tree_leaves_with_path(tree, is_leaf=is_hole)
    return [(path_name(path), leaf) for path, leaf in leaves]
