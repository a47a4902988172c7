"""Folds: a leaf of any dimensions seen as matrices.

A kernel of a convolution has four dimensions, one of Flax's attention three, layers that ``scan``
stacks one more each. A fold says which dimensions are rows, which are columns, and which count
matrices. ``fold_of`` knows the usual ones by name and shape; others are written as a pattern such
as ``"d h k -> d (h k)"``.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from gradchain.core.types import Shape
from gradchain.tree.paths import Leaf, is_hole
from gradchain.tree.selecting import path_test

_GROUP = re.compile(r"\(([^()]*)\)|(\S+)")
_NAME = re.compile(r"(?:(?P<name>[A-Za-z_]\w*)(?:=(?P<size>\d+))?|(?P<number>\d+))$")
_INPUTS = ("query", "key", "value", "q_proj", "k_proj", "v_proj")
_CONVOLUTION = re.compile(r"conv", re.IGNORECASE)


@dataclass(frozen=True)
class Fold:
    """How one leaf is seen as a batch of matrices.

    Attributes:
        shape: the shape of the leaf.
        parts: its shape with the dimensions divided that a pattern divides.
        order: the places of the parts: those that count matrices, those of rows, those of columns.
        lead: the dimensions that count matrices.
        matrix: rows and columns of one matrix.
    """

    shape: Shape
    parts: Shape
    order: tuple[int, ...]
    lead: Shape
    matrix: tuple[int, int]

    @property
    def count(self) -> int:
        """The number of matrices."""
        return math.prod(self.lead)

    @property
    def is_trivial(self) -> bool:
        """Whether matrices are the last two dimensions."""
        return self.parts == self.shape and self.shape == (*self.lead, *self.matrix)

    @property
    def is_plain(self) -> bool:
        """Whether besides they stand in their order."""
        return self.is_trivial and self.order == tuple(range(len(self.order)))

    def open(self, x: jax.Array) -> jax.Array:
        """The matrices of a leaf, ``(count, rows, columns)``."""
        if not self.is_plain:
            x = jnp.transpose(
                x.reshape(self.parts),
                self.order,
            )
        return x.reshape(self.count, *self.matrix)

    def close(self, x: jax.Array) -> jax.Array:
        """The leaf whose matrices are ``x``."""
        parts = tuple(self.parts[i] for i in self.order)
        x = x.reshape(parts)
        if self.order != tuple(range(len(self.order))):
            x = jnp.transpose(
                x,
                sorted(range(len(self.order)), key=self.order.__getitem__),
            )
        return x.reshape(self.shape)


def fold_by(shape: Shape, rows: int, columns: int) -> Fold:
    """The fold of the last dimensions.

    ``rows`` of them are rows, ``columns`` columns; the others count matrices.
    """
    split = len(shape) - columns
    lead = shape[: split - rows]
    matrix = math.prod(shape[split - rows : split]), math.prod(shape[split:])
    return Fold(
        shape,
        shape,
        tuple(range(len(shape))),
        lead,
        matrix,
    )


@functools.lru_cache(maxsize=4096)
def fold_by_pattern(pattern: str, shape: Shape) -> Fold:
    """The fold that a pattern such as ``"d h k -> d (h k)"`` says.

    On the left stands a name for each dimension, on the right those that count matrices, then the
    rows, then the columns; names in brackets belong together. On the left brackets divide a
    dimension: ``"d (3 n) -> 3 d n"`` are three matrices, ``"d (h=8 k) -> h d k"`` one for each of 8
    heads.

    Raises:
        ValueError: if the pattern is none, or does not fit the shape.
    """
    sides = pattern.split("->")
    if len(sides) != 2:
        raise _refused(pattern, "it needs one '->'")
    left, right = (_groups(pattern, side) for side in sides)
    if len(left) != len(shape):
        raise _refused(pattern, f"it names {len(left)} dimensions, and {list(shape)} has others")
    if len(right) < 2:
        raise _refused(pattern, "rows and columns stand on the right")
    sizes: dict[str, int] = {}
    for group, length in zip(left, shape, strict=True):
        sizes |= _sizes(pattern, group, length)
    names = [name for group in left for name, _ in group]
    used = [name for group in right for name, _ in group]
    if sorted(names) != sorted(used) or len(set(names)) != len(names):
        raise _refused(pattern, "each name stands once on either side")
    lengths = [math.prod(sizes[name] for name, _ in group) for group in right]
    parts, order = tuple(sizes[name] for name in names), tuple(names.index(n) for n in used)
    rows, columns = lengths[-2:]
    return Fold(
        shape,
        parts,
        order,
        tuple(lengths[:-2]),
        (rows, columns),
    )


def _groups(pattern: str, side: str) -> list[list[tuple[str, int | None]]]:
    """The names in each dimension of a side."""
    return [
        [_named(pattern, word) for word in (inner or single).split()]
        for inner, single in _GROUP.findall(side)
    ]


def _named(pattern: str, word: str) -> tuple[str, int | None]:
    """The name of a dimension, with its size if written."""
    found = _NAME.match(word)
    if found is None:
        raise _refused(pattern, f"{word!r} is no name of a dimension")
    if found["number"]:
        return word, int(word)
    return found["name"], int(found["size"]) if found["size"] else None


def _sizes(pattern: str, group: list[tuple[str, int | None]], length: int) -> dict[str, int]:
    """The sizes of the names that divide a dimension."""
    open_names = [name for name, size in group if size is None]
    known = math.prod(size for _, size in group if size is not None)
    if len(open_names) > 1:
        way = f"write a size, for example {open_names[0]}=8"
        raise _refused(pattern, f"{' and '.join(open_names)} divide one dimension: {way}")
    rest, remains = divmod(length, known) if known else (0, length)
    if remains or (not open_names and rest != 1):
        raise _refused(pattern, f"a dimension of length {length} is not {known} times another")
    return {name: rest if size is None else size for name, size in group}


def _refused(pattern: str, why: str) -> ValueError:
    return ValueError(
        f"fold: {pattern!r} does not say matrices: {why}. A pattern is for example 'd h k -> d (h"
        " k)': a name for each dimension, then what counts matrices, rows, columns."
    )


def modules_of(leaves: Sequence[tuple[str, Leaf]]) -> frozenset[str]:
    """The modules of a tree, by paths.

    A hole is a leaf, or a module that is left out: a part of a tree has the folds of the whole.
    """
    above = {path.rpartition("/")[0] for path, _ in leaves}
    return frozenset(above | {path for path, x in leaves if is_hole(x)})


def fold_of(path: str, leaf: Leaf, paths: frozenset[str], fold: Mapping[str, str] | None) -> Fold:
    """The fold of a leaf of two dimensions or more.

    Args:
        path: the path of the leaf.
        leaf: an array, or its shape.
        paths: the modules of the tree, by which attention is known; see ``modules_of``.
        fold: patterns by globs on paths; the first that fits counts.

    Raises:
        ValueError: naming the path, if its pattern does not fit.
    """
    shape = tuple(leaf.shape)
    for glob, pattern in (fold or {}).items():
        if path_test(glob)(path):
            try:
                return fold_by_pattern(pattern, shape)
            except ValueError as error:
                raise ValueError(f"{path!r}: {error}") from None
    module, _, _ = path.rpartition("/")
    above, _, name = module.rpartition("/")
    beside = f"{above}/" if above else ""
    is_attention = any(f"{beside}{name}" in paths for name in _INPUTS)
    if len(shape) > 2 and is_attention and name in _INPUTS:
        return fold_by(shape, 1, 2)
    if len(shape) > 2 and is_attention and name in ("out", "o_proj"):
        return fold_by(shape, 2, 1)
    if len(shape) > 3 or (len(shape) == 3 and _CONVOLUTION.search(name)):
        return fold_by(
            shape,
            len(shape) - 1,
            1,
        )
    return fold_by(shape, 1, 1)


def check_is_matrix(path: str, leaf: Leaf) -> None:
    """Refuse a leaf of fewer than two dimensions."""
    if leaf is not None and jnp.ndim(leaf) < 2:
        raise ValueError(
            f"{path!r} has shape {list(jnp.shape(leaf))}: a matrix transformation needs"
            " two dimensions or more. Choose leaves with where=gc.ndim_at_least(2), or"
            " give the others a transformation of their own with partition."
        )
