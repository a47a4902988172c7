"""Choose leaves of a tree, and values for each."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from collections.abc import Callable
from typing import Any

import jax

from gradchain.tree.paths import flatten, flatten_like, named_leaves


@dataclasses.dataclass(frozen=True)
class OfTree:
    """A choice made by a function of the whole tree, where others look at one leaf and its path.

    Attributes:
        function: from a tree to the tree of choices, which may be a prefix of it.
    """

    function: Callable[[Any], Any]

    def __call__(self, tree: Any) -> Any:
        """The choices for a tree."""
        return self.function(tree)


def select(where: Any, tree: Any) -> Any:
    """The tree of bools that says which leaves of ``tree`` a selection chooses.

    Args:
        where: ``None`` (every leaf), a glob on paths such as ``"*/kernel"`` (``*`` crosses ``/``),
            a compiled regular expression that is found in them, a function ``f(path, leaf) ->
            bool``, a tree of bools that may be a prefix of ``tree``, or ``OfTree``, which makes
            one.
        tree: any tree; its holes stay holes.

    Example:
        >>> select("*/kernel", {"dense": {"bias": 1.0, "kernel": 2.0}})
        {'dense': {'bias': False, 'kernel': True}}
    """
    if where is None:
        return jax.tree.map(lambda _: True, tree)
    if isinstance(where, str):
        return value_per_leaf(
            lambda path, _: fnmatch.fnmatchcase(path, where), tree, "select: the glob"
        )
    if isinstance(where, re.Pattern):
        return value_per_leaf(
            lambda path, _: where.search(path) is not None, tree, "select: the expression"
        )
    if isinstance(where, int | float) and not isinstance(where, bool):
        raise TypeError(
            f"select: {where!r} does not choose leaves; give a glob, a function or a tree of bools."
        )
    for choice in jax.tree.leaves(where):  # which may be a list of globs, and then fits no tree
        _refuse_text(choice)
    return jax.tree.map(
        _as_bool, value_per_leaf(where, tree, "select: the tree of bools", _as_bool)
    )


def _as_bool(choice: Any) -> bool:
    _refuse_text(choice)
    return bool(choice)


def _refuse_text(choice: Any) -> None:
    if isinstance(choice, str):
        raise TypeError(
            f"select: a tree of bools holds {choice!r}; globs on paths are given one at a time."
        )


def value_per_leaf(choice: Any, tree: Any, what: str, read: Callable = lambda value: value) -> Any:
    """The tree of ``read(choice(path, leaf))``, or the tree ``choice``, which may be a prefix.

    ``what`` begins an error.
    """
    if not jax.tree.leaves(tree):
        return tree  # nothing to choose from
    if isinstance(choice, OfTree):
        choice = choice(tree)
    elif callable(choice) and not is_tree_of_choices(choice):
        values = [None if x is None else read(choice(path, x)) for path, x in named_leaves(tree)]
        return flatten(tree)[1].unflatten(values)
    try:
        return jax.tree.broadcast(choice, tree)
    except ValueError as error:
        raise ValueError(f"{what} does not fit the tree of parameters: {error}") from None


def is_tree_of_choices(x: Any) -> bool:
    """Whether something that can be called, as an Equinox module can, is a tree of bools or of
    labels.
    """
    leaves = jax.tree.leaves(x)
    return bool(leaves) and all(isinstance(leaf, bool | str) for leaf in leaves)


def merge(mask: Any, chosen: Any, others: Any) -> Any:
    """The tree that takes its leaves from ``chosen`` where ``mask`` is true, else from ``others``."""
    flags, treedef = flatten(mask)
    pairs = zip(flags, flatten_like(treedef, chosen), flatten_like(treedef, others), strict=True)
    return treedef.unflatten([a if flag else b for flag, a, b in pairs])


def keep_leaves(mask: Any, tree: Any) -> Any:
    """The leaves of ``tree`` where ``mask`` is true, with holes elsewhere."""
    flags, treedef = flatten(mask)
    leaves = flatten_like(treedef, tree)
    return treedef.unflatten([x if flag else None for flag, x in zip(flags, leaves, strict=True)])
