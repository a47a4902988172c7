"""Trees with one value for several leaves, and why they do not fit."""

from __future__ import annotations

import difflib
from typing import Any

import jax

from gradchain.tree.paths import Tree, path_name


def spread(noun: str, prefix: Tree, tree: Tree, left_out: str = "") -> Tree:
    """A tree like ``tree`` with the values of a prefix of it.

    Args:
        noun: the name of the prefix, which begins an error: ``"minimize: the lower bound"``.
        prefix: a tree in which a value stands for all leaves below its place.
        tree: the tree.
        left_out: the value that says nothing of a leaf; it is offered for names that are missing.

    Raises:
        ValueError: naming the place, and what stands there in both trees.
    """
    try:
        return jax.tree.broadcast(prefix, tree)
    except ValueError:
        text = f"{noun} does not fit the tree of parameters: {_fault(prefix, tree, left_out)}"
        raise ValueError(text) from None


def _fault(prefix: Tree, tree: Tree, left_out: str) -> str:
    """The first place where a tree is no prefix of another."""
    parts_of: Any = jax.tree_util.default_registry.flatten_one_level_with_keys
    level = [((), prefix, tree)]
    while level:
        following: list[tuple[tuple[Any, ...], Tree, Tree]] = []
        for path, x, y in level:
            one, two = parts_of(x), parts_of(y)
            if one is None:
                continue  # a value for all below
            at = f"at {path_name(path)!r} " if path else ""
            if two is None or type(x) is not type(y):
                return f"{at}it is {_kind(x)} in the place of {_kind(y)}.{_way_out(x, y)}"
            below, others = (
                {path_name((key,)): (key, c) for key, c in ps} for ps in (one[0], two[0])
            )
            if below.keys() != others.keys():
                return f"{at}{_names_that_differ(list(below), list(others), left_out)}"
            following += [((*path, key), c, others[k][1]) for k, (key, c) in below.items()]
        level = following
    return "their containers differ."


def _names_that_differ(given: list[str], known: list[str], left_out: str) -> str:
    strange = [name for name in given if name not in known]
    missing = [name for name in known if name not in given]
    text = f"{_quoted(missing)} is left out." if missing else ""
    if strange:
        close = difflib.get_close_matches(strange[0], missing or known, n=1)
        meant = f" Is {close[0]!r} meant?" if close else ""
        there = f"{_quoted(strange)} is none of the names there, which are {_quoted(known)}.{meant}"
        return f"{text} {there}".strip()
    way_out = f": give it {left_out}" if left_out else ", or one value stands for all"
    return f"{text} Every name has a value there{way_out}."


def _way_out(x: Tree, y: Tree) -> str:
    """A sentence for a row of numbers in the place of an array."""
    is_row = isinstance(x, list | tuple) and jax.tree_util.all_leaves(x)
    if is_row and hasattr(y, "shape"):
        return f" An array is one leaf: jnp.array({list(x)!r})."
    if isinstance(y, dict):
        return f" Say it by name: {{{', '.join(f'{k!r}: ...' for k in list(y)[:3])}}}."
    return ""


def _kind(x: Tree) -> str:
    if hasattr(x, "shape"):
        return "an array"
    return f"a {type(x).__name__}" if not isinstance(x, int | float) else "a number"


def _quoted(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(repr, names[:5])) + more
