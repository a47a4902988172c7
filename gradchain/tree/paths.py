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
    """The parts of ``tree`` at the leaves of ``treedef``; a tree of holes where ``tree`` is
    ``None``.
    """
    return [None] * treedef.num_leaves if tree is None else treedef.flatten_up_to(tree)


def path_name(path: tuple) -> str:
    """The name of a key path: ``encoder/layers_3/kernel``."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def named_leaves(tree: Any) -> list[tuple[str, Any]]:
    """Pairs of path and leaf, holes included.

    A box around one array, such as Flax's ``Variable`` and ``Partitioned``, adds no ``value`` to
    the path: a leaf has the same path with its box and without.
    """
    leaves = jax.tree_util.tree_leaves_with_path(tree, is_leaf=is_hole)
    paths = [path for path, _ in leaves]

    def name(i: int) -> str:
        path, parent = paths[i], paths[i][:-1]
        is_alone = all(
            p[: len(parent)] != parent for p in (*paths[max(i - 1, 0) : i], *paths[i + 1 : i + 2])
        )
        return path_name(parent if path[-1:] == _VALUE and is_alone else path)

    return [(name(i), leaf) for i, (_, leaf) in enumerate(leaves)]


def in_containers_of(like: Any, tree: Any) -> Any:
    """``tree`` in the containers of ``like``, where both have the same paths: a serializer may have
    changed them.
    """
    if jax.tree.structure(tree) == jax.tree.structure(like):
        return tree
    paths, found = [path for path, _ in named_leaves(like)], dict(named_leaves(tree))
    return (
        flatten(like)[1].unflatten([found[path] for path in paths])
        if set(paths) == found.keys()
        else tree
    )


_VALUE = (jax.tree_util.GetAttrKey("value"),)
