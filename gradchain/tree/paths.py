"""Paths of leaves, and flattening that keeps holes."""

from __future__ import annotations

import contextlib
from typing import Any, TypeAlias

import jax

Tree: TypeAlias = Any
"""A pytree of arrays: a bare array, or any containers of them; ``None`` leaves are holes."""

Leaf: TypeAlias = Any
"""A leaf of a tree: an array, its shape, or anything that stands in the place of one."""

Structure: TypeAlias = Any
"""The structure of a tree, a ``PyTreeDef``."""


def is_hole(x: Leaf) -> bool:
    """Whether ``x`` is a hole (``None``)."""
    return x is None


def flatten(tree: Tree) -> tuple[list[Leaf], Structure]:
    """The leaves and the structure, with holes as leaves."""
    return jax.tree.flatten(tree, is_leaf=is_hole)


def flatten_like(treedef: Structure, tree: Tree) -> list[Leaf]:
    """The parts of ``tree`` at the leaves of ``treedef``.

    All are holes where ``tree`` is ``None``.
    """
    return [None] * treedef.num_leaves if tree is None else treedef.flatten_up_to(tree)


def path_name(path: tuple[Any, ...]) -> str:
    """The name of a key path: ``encoder/layers_3/kernel``."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def named_leaves(tree: Tree) -> list[tuple[str, Leaf]]:
    """Pairs of path and leaf, holes included.

    A box around one array, such as Flax's ``Variable`` and ``Partitioned``, adds no ``value`` to
    the path: a leaf has the same path with its box and without.
    """
    leaves = jax.tree_util.tree_leaves_with_path(tree, is_leaf=is_hole)
    paths = [path for path, _ in leaves]

    def name(i: int) -> str:
        path = paths[i]
        parent = path[:-1]
        before, after = paths[max(i - 1, 0) : i], paths[i + 1 : i + 2]
        neighbours = before + after
        is_alone = all(p[: len(parent)] != parent for p in neighbours)
        is_boxed = path[-1:] == _VALUE and is_alone
        return path_name(parent if is_boxed else path)

    return [(name(i), leaf) for i, (_, leaf) in enumerate(leaves)]


def distinct_leaves(tree: Tree) -> list[tuple[str, Leaf]]:
    """Pairs of path and leaf, no two paths alike.

    As ``named_leaves``, for whoever finds leaves by their paths.

    Raises:
        ValueError: naming both leaves, if two have the same path: ``{"a/b": x}`` and ``{"a": {"b":
            y}}`` in one tree. Two holes may have it.
    """
    named = named_leaves(tree)
    if len({path for path, _ in named}) == len(named):
        return named
    keys = [path for path, _ in jax.tree_util.tree_leaves_with_path(tree, is_leaf=is_hole)]
    first: dict[str, int] = {}
    for i, (path, leaf) in enumerate(named):
        other = first.setdefault(path, i)
        if other != i and not (leaf is None and named[other][1] is None):
            one, two = (jax.tree_util.keystr(keys[j]) for j in (other, i))
            raise ValueError(
                f"two leaves have the path {path!r}: tree{one} and tree{two}. By their paths they"
                " cannot be told apart, and one would get what belongs to the other. Rename a key:"
                " '/' stands between the names in a path."
            )
    return named


def differing_containers(a: Tree, b: Tree) -> tuple[str, str, str]:
    """Where the containers of two trees differ, and both kinds.

    Their paths are the same.
    """
    parts_of: Any = jax.tree_util.default_registry.flatten_one_level_with_keys
    kinds = type(a).__name__, type(b).__name__
    level = [((), a, b)]
    while level:
        following: list[tuple[tuple[Any, ...], Tree, Tree]] = []
        for path, x, y in level:
            if x is None or y is None:
                continue
            own, others = parts_of(x), parts_of(y)
            if type(x) is not type(y) and (own or others):
                return path_name(path), type(x).__name__, type(y).__name__
            if own is None or others is None:
                continue
            for (key, part), (_, other) in zip(own[0], others[0], strict=False):
                following.append(((*path, key), part, other))
        level = following
    return "", *kinds


def in_containers_of(like: Tree, tree: Tree) -> Tree:
    """``tree`` in the containers of ``like``.

    A serializer may have changed them. Where the two have not the same paths, ``tree`` comes back
    as it is.
    """
    with contextlib.suppress(ValueError, TypeError, KeyError):
        jax.tree.structure(like).flatten_up_to(tree)
        return tree
    paths = [path for path, _ in distinct_leaves(like)]
    found = dict(distinct_leaves(tree))
    if set(paths) != found.keys():
        return tree
    return flatten(like)[1].unflatten([found[path] for path in paths])


_VALUE = (jax.tree_util.GetAttrKey("value"),)
