"""Trees with one value for several leaves."""

from __future__ import annotations

import difflib
from typing import Any

import jax

from gradchain.tree.paths import Tree, path_name


def spread(noun: str, prefix: Tree, tree: Tree, left_out: str = "") -> Tree:
    """A tree with the values of its prefix.

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
    """The first place where it is no prefix."""
    level = [((), prefix, tree)]
    while level:
        following: list[tuple[tuple[Any, ...], Tree, Tree]] = []
        for path, x, y in level:
            own, others = _parts(x), _parts(y)
            if own is None:
                continue  # a value for all below
            at = f"at {path_name(path)!r} " if path else ""
            if others is None or type(x) is not type(y):
                kinds = f"{_kind(x)} in the place of {_kind(y)}"
                return f"{at}it is {kinds}.{_way_out(x, y)}"
            if own.keys() != others.keys():
                return at + _names_that_differ(list(own), list(others), left_out)
            for name, (key, part) in own.items():
                _, other = others[name]
                following.append(((*path, key), part, other))
        level = following
    return "their containers differ."


def _parts(x: Tree) -> dict[str, tuple[Any, Tree]] | None:
    """The parts of a container by name, with their keys."""
    parts_of: Any = jax.tree_util.default_registry.flatten_one_level_with_keys
    found = parts_of(x)
    if found is None:
        return None
    return {path_name((key,)): (key, part) for key, part in found[0]}


def _names_that_differ(given: list[str], known: list[str], left_out: str) -> str:
    strange = [name for name in given if name not in known]
    missing = [name for name in known if name not in given]
    text = f"{_quoted(missing)} is left out." if missing else ""
    if not strange:
        way_out = f": give it {left_out}" if left_out else ", or one value stands for all"
        return f"{text} Every name has a value there{way_out}."
    close = difflib.get_close_matches(strange[0], missing or known, n=1)
    meant = f" Is {close[0]!r} meant?" if close else ""
    names = f"none of the names there, which are {_quoted(known)}"
    return f"{text} {_quoted(strange)} is {names}.{meant}".strip()


def _way_out(x: Tree, y: Tree) -> str:
    """A sentence on the form that is meant."""
    is_row = isinstance(x, list | tuple) and jax.tree_util.all_leaves(x)
    if is_row and hasattr(y, "shape"):
        return f" An array is one leaf: jnp.array({list(x)!r})."
    if not isinstance(y, dict):
        is_tree = not jax.tree_util.all_leaves([y])
        return (
            f" Make it of that {type(y).__name__}: jax.tree.map(lambda x: ..., params)." * is_tree
        )
    names = [f"{name!r}: ..." for name in list(y)[:3]]
    return f" Say it by name: {{{', '.join(names)}}}."


def _kind(x: Tree) -> str:
    if hasattr(x, "shape"):
        return "an array"
    if isinstance(x, int | float):
        return "a number"
    return f"a {type(x).__name__}"


def _quoted(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(map(repr, names[:5])) + more
