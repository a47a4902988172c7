"""Selections: which leaves of a tree, as values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Concatenate, ParamSpec

from gradchain.core.call import Call
from gradchain.core.factory import decorator
from gradchain.core.ranges import NonNegativeInt
from gradchain.core.types import Where
from gradchain.tree.paths import Leaf
from gradchain.tree.selecting import path_test

P = ParamSpec("P")


class Selection(Call):
    """A choice of leaves that remembers how it was made.

    ``~a`` chooses the others, ``a & b`` the leaves that both choose, ``a | b`` those of either. The
    other one may also be a glob, an expression or a function of path and leaf.

    Example:
        >>> import gradchain as gc
        >>> import jax.numpy as jnp
        >>> params = {"up": {"kernel": jnp.zeros((2, 3))}, "head": {"kernel": jnp.zeros((3, 4))}}
        >>> gc.select(gc.weight_matrices() & ~gc.path_matches("head"), params)
        {'head': {'kernel': False}, 'up': {'kernel': True}}
    """

    tag = "@selection"
    __slots__ = ()

    def __call__(self, path: str, leaf: Leaf) -> bool:
        """Whether the leaf at ``path`` is chosen."""
        return self.factory.call(self.arguments, path, leaf)

    def __invert__(self) -> Selection:
        return all_but(self)

    def __and__(self, other: Where) -> Selection:
        return chosen_by_both(self, other)

    def __rand__(self, other: Where) -> Selection:
        return chosen_by_both(other, self)

    def __or__(self, other: Where) -> Selection:
        return chosen_by_either(self, other)

    def __ror__(self, other: Where) -> Selection:
        return chosen_by_either(other, self)


def selection(function: Callable[Concatenate[str, Any, P], bool]) -> Callable[P, Selection]:
    """Make a factory of selections from a function.

    The first two arguments of the function are a path and a leaf.
    """
    return decorator(Selection, coming=2)(function)


@selection
def ndim_at_least(path: str, leaf: Leaf, ndim: NonNegativeInt) -> bool:
    """Select the leaves with ``ndim`` dimensions or more.

    For weight decay there is ``weight_matrices()``: biases of attention have 2 dimensions too.

    Example:
        >>> import jax.numpy as jnp
        >>> ndim_at_least(2)("dense/bias", jnp.zeros(3))
        False
    """
    return getattr(leaf, "ndim", 0) >= ndim


# The dimensions alone do not tell: a bias of attention has one for the heads, and in layers that
# are stacked by scan or vmap everything has one more.
_VECTOR = re.compile(r"bias|scale|offset|gamma|(?:^|_)(?:beta|shift)(?:_|\d|$)|^cls$|tokens?$")
_LETTER = re.compile(r"b(?:_|\d|$)|g$")  # as written: B is a matrix, of LoRA for example
_NORM = re.compile(r"norm(?!al)|(?:^|_)(?:ln|bn|gn)(?:_|\d|$)")
_EMBEDDING = re.compile(r"embed|^wte$|^wpe$")


@selection
def weight_matrices(path: str, leaf: Leaf, embeddings: bool = True) -> bool:
    """Select weight matrices by shape and name, for weight decay.

    They have two dimensions or more, and no name of a vector: ``bias`` and ``scale`` do not decay
    however many dimensions they have (biases of attention have one for the heads, stacked layers
    one for the layers). It knows the names of Flax Linen, NNX, Equinox and Haiku:

    - ``kernel``, ``weight``, ``w`` and all other names are matrices;
    - ``bias``, ``b``, ``scale``, ``offset``, ``gamma``, ``beta`` and learned tokens (``cls``) are
      none, nor are longer names with these words (``attention_bias``, ``bias_n``);
    - nor is what stands in a module named as a norm (``norm``, ``layer_norm``, ``ln_1``, ``bn``),
      where Equinox calls the scale ``weight``;
    - the index of a list is no name: ``norms/0/weight`` stands in ``norms``.

    Layers of Equinox that are stacked, and whose norm has no name of its own (a part of
    ``Sequential``), cannot be told from matrices: name them in a function of your own.

    Args:
        embeddings: whether embeddings (``embedding``, ``embeddings``, ``wte``, ``pos_embed``, or
            what stands in a module called so) are among them, as in GPT-2; else they do not decay,
            as is usual where most rows have no gradient in a step.

    Example:
        >>> import gradchain as gc
        >>> import jax.numpy as jnp
        >>> attention = {"kernel": jnp.zeros((8, 2, 4)), "bias": jnp.zeros((2, 4))}
        >>> gc.select(weight_matrices(), {"query": attention})
        {'query': {'bias': False, 'kernel': True}}
    """
    if getattr(leaf, "ndim", 0) < 2:
        return False
    name, module = _last_names(path)
    if name == "kernel":
        return True
    in_words, of_module = _words(name), _words(module)
    is_vector = _VECTOR.search(in_words) or _LETTER.match(name) or _NORM.search(in_words)
    if is_vector or _NORM.search(of_module):
        return False
    return embeddings or not (_EMBEDDING.search(in_words) or _EMBEDDING.search(of_module))


def matrices_in(where: Where | None) -> Where:
    """The leaves that are matrices.

    By default they are the hidden weight matrices.
    """
    return weight_matrices(embeddings=False) if where is None else where


def _last_names(path: str) -> tuple[str, str]:
    """The names of a leaf and of its module."""
    names = [part for part in path.split("/") if not part.isdigit()]
    module, name = ["", "", *names][-2:]
    return name, module


def _words(name: str) -> str:
    """``layer_norm_0`` for ``LayerNorm_0``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


@selection
def path_matches(path: str, leaf: Leaf, pattern: str) -> bool:
    """Select the leaves whose path matches a regular expression.

    The ``pattern`` is searched anywhere in the path (``encoder/layers_3/kernel``).

    Example:
        >>> path_matches("bias|scale$")("norm/scale", None)
        True
    """
    return re.search(pattern, path) is not None


@selection
def all_but(path: str, leaf: Leaf, where: Where) -> bool:
    """Select the leaves that another selection leaves out, ``~where``.

    Example:
        >>> (~path_matches("head"))("head/kernel", None)
        False
    """
    return not _chooses(where, path, leaf)


@selection
def chosen_by_both(path: str, leaf: Leaf, first: Where, second: Where) -> bool:
    """Select the leaves that both choose, ``first & second``.

    Example:
        >>> (path_matches("head") & "*/kernel")("head/bias", None)
        False
    """
    return _chooses(first, path, leaf) and _chooses(second, path, leaf)


@selection
def chosen_by_either(path: str, leaf: Leaf, first: Where, second: Where) -> bool:
    """Select the leaves that one of two chooses, ``first | second``.

    Example:
        >>> (path_matches("head") | "*/kernel")("up/kernel", None)
        True
    """
    return _chooses(first, path, leaf) or _chooses(second, path, leaf)


def _chooses(where: Where, path: str, leaf: Leaf) -> bool:
    if isinstance(where, str | re.Pattern):
        return path_test(where)(path)
    if not callable(where):
        raise TypeError(
            f"a selection goes together with a glob or a function of path and leaf, not {where!r}."
        )
    return bool(where(path, leaf))


def is_pattern(where: object) -> bool:
    """Whether a choice names paths that should exist.

    A function may be for any tree.
    """
    return isinstance(where, str | re.Pattern) or (
        isinstance(where, Selection) and "pattern" in where.arguments
    )


def patterns_in(where: object) -> Iterator[Any]:
    """The patterns that a choice is made of."""
    if is_pattern(where):
        yield where
    elif isinstance(where, Selection):
        for part in where.arguments.values():
            yield from patterns_in(part)
