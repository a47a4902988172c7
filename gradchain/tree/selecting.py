"""Choose leaves of a tree, and values for each."""

from __future__ import annotations

import dataclasses
import fnmatch
import inspect
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax

from gradchain.tree.paths import Tree, distinct_leaves, flatten, flatten_like
from gradchain.tree.prefixes import spread


@dataclasses.dataclass(frozen=True)
class OfTree:
    """A choice made by a function of the whole tree.

    Other functions that choose leaves look at one leaf and its path.

    Attributes:
        function: from a tree to the tree of choices, which may be a prefix of it.
    """

    function: Callable[[Tree], Tree]

    def __call__(self, tree: Tree) -> Tree:
        """The choices for a tree."""
        return self.function(tree)


def path_test(pattern: str | re.Pattern) -> Callable[[str], bool]:
    """Whether a path fits a pattern.

    A glob fits the whole of a path; a regular expression is found somewhere in it.
    """
    if isinstance(pattern, str):
        return lambda path: fnmatch.fnmatchcase(path, pattern)
    return lambda path: pattern.search(path) is not None


def as_expression(globs: Iterable[str]) -> str:
    """The regular expression of one of several globs."""
    return "|".join(map(_one_expression, globs))


def _one_expression(glob: str) -> str:
    text = "" if glob.startswith("*") else "^"
    for part in re.split(r"(\*|\?|\[!?[^\]]+\])", glob.strip("*")):
        if part.startswith("["):
            text += part.replace("[!", "[^")
        else:
            text += _WILD.get(part, re.escape(part))
    return text if glob.endswith("*") else f"{text}$"


_WILD = {"*": ".*", "?": "."}


def select(where: str | re.Pattern | Callable[..., Any] | Tree, tree: Tree) -> Tree:
    """Which leaves of ``tree`` a selection chooses, as bools.

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
    if isinstance(where, str | re.Pattern):
        fits = path_test(where)
        return value_per_leaf(lambda path, _: fits(path), tree, "select: the pattern")
    if isinstance(where, int | float) and not isinstance(where, bool):
        raise TypeError(
            f"select: {where!r} does not choose leaves; give a glob, a function or a tree of bools."
        )
    for choice in jax.tree.leaves(where):  # which may be a list of globs, and then fits no tree
        _refuse_text(choice, where)
    choices = value_per_leaf(where, tree, "select: the tree of bools", _as_bool)
    return jax.tree.map(_as_bool, choices)


def _as_bool(choice: object) -> bool:
    _refuse_text(choice)
    return bool(choice)


def _refuse_text(choice: object, where: object = None) -> None:
    if isinstance(choice, str):
        globs = [x for x in jax.tree.leaves(where) if isinstance(x, str)]
        expression = as_expression(globs or [choice])
        raise TypeError(
            f"select: a tree of bools holds {choice!r}; globs on paths are given one at a time."
            f" For one of several: gc.path_matches({expression!r})."
        )


def value_per_leaf(
    choice: Callable[..., Any] | Tree,
    tree: Tree,
    noun: str,
    read: Callable[[Any], Any] = lambda value: value,
) -> Tree:
    """The value that ``choice`` has for each leaf.

    Args:
        choice: ``f(path, leaf)``, whose results ``read`` converts, or a tree of values that may be
            a prefix of ``tree``.
        tree: any tree; its holes stay holes.
        noun: the name of the choice, which begins an error.
        read: the conversion of results.
    """
    if not jax.tree.leaves(tree):
        return tree  # nothing to choose from
    if isinstance(choice, OfTree):
        choice = choice(tree)
    elif callable(choice) and not is_tree_of_choices(choice):
        leaves = distinct_leaves(tree)
        try:
            values = [None if x is None else read(choice(path, x)) for path, x in leaves]
        except TypeError:
            check_asks_for_leaves(noun, choice)
            raise
        return flatten(tree)[1].unflatten(values)
    return spread(noun, choice, tree)


def check_asks_for_leaves(where: str, choice: object) -> None:
    """Refuse functions of other arguments than path and leaf.

    Raises:
        TypeError: naming the function, and the way for one of the whole tree.
    """
    if not callable(choice) or isinstance(choice, OfTree) or is_tree_of_choices(choice):
        return
    try:
        signature = inspect.signature(choice)
    except (TypeError, ValueError):
        return  # of a builtin, for example, nothing is known
    if not _takes(signature, "path", "leaf"):
        raise TypeError(
            f"{where} is asked for each leaf, f(path, leaf), but {name_of(choice)} takes"
            f" {signature}. Write it with two arguments, for example lambda path, leaf: leaf.ndim >"
            " 1, or give a tree of the answers. A function of the whole tree, like the masks of"
            " optax, is given as gc.tree.OfTree(function)."
        )


def _takes(signature: inspect.Signature, *args: str) -> bool:
    try:
        signature.bind(*args)
    except TypeError:
        return False
    return True


def name_of(function: Callable[..., Any]) -> str:
    """The name of a function, and where it was written."""
    code = getattr(function, "__code__", None)
    if code is None:
        return repr(function)
    return f"{function.__qualname__} ({Path(code.co_filename).name}, line {code.co_firstlineno})"


def is_tree_of_choices(x: Tree) -> bool:
    """Whether ``x`` is a tree of bools or of labels.

    It may be so although it can be called, as an Equinox module can.
    """
    leaves = jax.tree.leaves(x)
    return bool(leaves) and all(isinstance(leaf, bool | str) for leaf in leaves)


def merge(mask: Tree, chosen: Tree, others: Tree) -> Tree:
    """Leaves of ``chosen`` where ``mask`` is true, else of ``others``."""
    flags, treedef = flatten(mask)
    a = flatten_like(treedef, chosen)
    b = flatten_like(treedef, others)
    rows = zip(flags, a, b, strict=True)
    return treedef.unflatten([x if flag else y for flag, x, y in rows])


def keep_leaves(mask: Tree, tree: Tree) -> Tree:
    """Leaves of ``tree`` where ``mask`` is true, holes elsewhere."""
    flags, treedef = flatten(mask)
    pairs = zip(flags, flatten_like(treedef, tree), strict=True)
    return treedef.unflatten([x if flag else None for flag, x in pairs])
