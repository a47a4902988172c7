"""Selections: which leaves of a tree, as values."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec

import jax

from gradchain.core.call import Call, decorator

P = ParamSpec("P")


class Selection(Call):
    """A choice of leaves that remembers how it was made."""

    tag = "@selection"
    __slots__ = ()

    def __call__(self, path: str, leaf: Any) -> bool:
        """Whether the leaf at ``path`` is chosen."""
        return self.factory.call(self.arguments, path, leaf)


def selection(
    function: Callable[Concatenate[str, Any, P], bool],
) -> Callable[P, Selection]:
    """Make a factory of selections from a function whose first two arguments are a path and a leaf."""
    return decorator(Selection, coming=2)(function)


@selection
def ndim_at_least(path: str, leaf: Any, ndim: int) -> bool:
    """Select the leaves with ``ndim`` dimensions or more: with 2, kernels and embeddings but no
    biases or scales.

    Example:
        >>> ndim_at_least(2)("dense/bias", jax.numpy.zeros(3))
        False
    """
    return jax.numpy.ndim(leaf) >= ndim


@selection
def path_matches(path: str, leaf: Any, pattern: str) -> bool:
    """Select the leaves in whose path (``encoder/layers_3/kernel``) the regular expression
    ``pattern`` is found.

    Example:
        >>> path_matches("bias|scale$")("norm/scale", None)
        True
    """
    return re.search(pattern, path) is not None
