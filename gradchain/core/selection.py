"""Selections: which leaves of a tree, as values."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec

import jax

from gradchain.core.call import Call
from gradchain.core.factory import decorator
from gradchain.tree.paths import Leaf

P = ParamSpec("P")


class Selection(Call):
    """A choice of leaves that remembers how it was made."""

    tag = "@selection"
    __slots__ = ()

    def __call__(self, path: str, leaf: Leaf) -> bool:
        """Whether the leaf at ``path`` is chosen."""
        return self.factory.call(self.arguments, path, leaf)


def selection(function: Callable[Concatenate[str, Any, P], bool]) -> Callable[P, Selection]:
    """Make a factory of selections from a function.

    The first two arguments of the function are a path and a leaf.
    """
    return decorator(Selection, coming=2)(function)


@selection
def ndim_at_least(path: str, leaf: Leaf, ndim: int) -> bool:
    """Select the leaves with ``ndim`` dimensions or more.

    With 2, these are kernels and embeddings but no biases or scales.

    Example:
        >>> ndim_at_least(2)("dense/bias", jax.numpy.zeros(3))
        False
    """
    return jax.numpy.ndim(leaf) >= ndim


@selection
def path_matches(path: str, leaf: Leaf, pattern: str) -> bool:
    """Select the leaves whose path matches a regular expression.

    The ``pattern`` is searched anywhere in the path (``encoder/layers_3/kernel``).

    Example:
        >>> path_matches("bias|scale$")("norm/scale", None)
        True
    """
    return re.search(pattern, path) is not None
