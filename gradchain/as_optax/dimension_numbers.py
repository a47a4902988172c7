"""Dimension numbers: rows and columns of a leaf."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from gradchain.core.around import Around, around
from gradchain.core.first_values import first_value
from gradchain.core.folding import Fold, fold_by_pattern
from gradchain.core.slots import Slot, shaped
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.trees import PerTree
from gradchain.core.types import Params, Shape, State, Tree
from gradchain.tree.mapping import map_leaves
from gradchain.tree.paths import flatten


class MuonDimensionNumbers(NamedTuple):
    """Inputs and outputs of a weight; other dimensions count matrices."""

    reduction_axis: Sequence[int] | int = 0
    output_axis: Sequence[int] | int = 1


class GaLoreDimensionNumbers(NamedTuple):
    """Inputs and outputs of a weight, all of its dimensions."""

    reduction_axis: Sequence[int] | int = 0
    output_axis: Sequence[int] | int = 1


DimensionNumbers: TypeAlias = MuonDimensionNumbers | GaLoreDimensionNumbers
WeightDimNumOrFn: TypeAlias = DimensionNumbers | Tree | Callable[[Params], Tree]
"""The numbers of a leaf, a tree of them or a function that returns one; ``None`` is for a leaf
that has none.
"""


def has_no_parts(x: Any) -> bool:
    """Whether ``x`` is an entry among dimension numbers."""
    return x is None or isinstance(x, DimensionNumbers)


def pattern_of(numbers: DimensionNumbers, shape: Shape) -> str:
    """The pattern of a fold, such as ``"a b c -> (a) (b c)"``.

    Raises:
        ValueError: if there are no rows or no columns, or a dimension is both.
    """
    rows, columns = _axes(numbers.reduction_axis, shape), _axes(numbers.output_axis, shape)
    if not rows or not columns or len({*rows, *columns}) < len(rows) + len(columns):
        raise ValueError(
            f"{numbers!r} for shape {list(shape)}: Normalized reduction axes and output axes must"
            f" be disjoint, and there must be both, got {rows} and {columns}."
        )
    names = string.ascii_letters[: len(shape)]
    side = lambda axes: f"({' '.join(names[i] for i in axes)})"
    count = [names[i] for i in range(len(shape)) if i not in (*rows, *columns)]
    return f"{' '.join(names)} -> {' '.join([*count, side(rows), side(columns)])}"


def _axes(axes: Sequence[int] | int, shape: Shape) -> tuple[int, ...]:
    axes = (axes,) if isinstance(axes, int) else axes
    return tuple(axis % len(shape) for axis in axes)


@dataclass(frozen=True)
class Numbers:
    """The dimension numbers of each leaf.

    Attributes:
        given: as the user wrote them.
    """

    given: WeightDimNumOrFn

    def __call__(self, tree: Tree) -> list[DimensionNumbers | None]:
        """Those given for each leaf of a tree, holes included."""
        given: Any = self.given(tree) if callable(self.given) else self.given
        found: list[DimensionNumbers | None] = []
        if has_no_parts(given):
            return [given] * len(flatten(tree)[0])
        jax.tree.map(
            lambda numbers, part: found.extend([numbers] * len(flatten(part)[0])),
            given,
            tree,
            is_leaf=has_no_parts,
        )
        return found

    def folds(self, tree: Tree) -> list[Fold | None]:
        """How each leaf is seen as matrices.

        ``None`` is for one that is not.
        """
        leaves, _ = flatten(tree)
        return [
            None if x is None else self.fold(numbers, tuple(x.shape))
            for x, numbers in zip(leaves, self(tree), strict=True)
        ]

    def fold(self, numbers: DimensionNumbers | None, shape: Shape) -> Fold | None:
        """How a leaf of these numbers is seen."""
        return None if numbers is None else fold_by_numbers(numbers, shape)


def fold_by_numbers(numbers: DimensionNumbers, shape: Shape) -> Fold:
    """The fold of a leaf.

    Raises:
        ValueError: if the numbers do not fit the shape.
    """
    if len(shape) < 2:
        raise ValueError(f"{numbers!r} is for rank >= 2, and a leaf has shape {list(shape)}.")
    return fold_by_pattern(pattern_of(numbers, shape), shape)


class Folded(Around):
    """A transformation that sees leaves as batches of matrices.

    A leaf that is none has a last dimension of 1 there, and so is no matrix of two long sides.
    """

    def __init__(self, inner: GradientTransformation, numbers: Numbers):
        super().__init__(
            self.rule,
            "tree",
            {"inner": inner},
            {},
        )
        self.numbers = numbers

    def rule(self, g, s, inner, p=None):
        """Call the transformation on folded leaves."""
        _, treedef = flatten(g)
        folds = self.numbers.folds(g)
        tree = lambda made: treedef.unflatten(made)

        def opened(x: Tree) -> Tree:
            leaves = zip(treedef.flatten_up_to(x), folds, strict=True)
            return tree([None if leaf is None else _open(leaf, fold) for leaf, fold in leaves])

        def closed(x: Tree) -> Tree:
            leaves = zip(treedef.flatten_up_to(x), folds, strict=True)
            return tree([None if leaf is None else _close(leaf, fold) for leaf, fold in leaves])

        u, new = inner(
            opened(g),
            s["inner"],
            None if p is None else opened(p),
        )
        return closed(u), {"inner": new}

    def init(self, params: Params) -> State:
        """See ``Body``."""
        leaves, treedef = flatten(params)
        folds = self.numbers.folds(params)
        seen = [
            None if x is None else first_value(_as_seen(fold), x)
            for x, fold in zip(leaves, folds, strict=True)
        ]
        state = self.members["inner"].init(treedef.unflatten(seen))
        return PerTree.init(self, params) | ({"inner": state} if state else {})


def _as_seen(fold: Fold | None) -> Slot:
    """The slot of an array as a transformation sees it."""
    return shaped(lambda shape: (*shape, 1) if fold is None else (fold.count, *fold.matrix))


def _open(x: jax.Array, fold: Fold | None) -> jax.Array:
    return x[..., None] if fold is None else fold.open(x)


def _close(x: jax.Array, fold: Fold | None) -> jax.Array:
    return x[..., 0] if fold is None else fold.close(x)


@transform
def folded(inner: GradientTransformation, numbers: Any) -> Body:
    """Show leaves to a transformation as batches of matrices.

    Args:
        inner: the transformation; it sees leaves ``(count, rows, columns)``.
        numbers: which dimensions are which, a ``Numbers``.
    """
    return Folded(inner, numbers)


@transform
def scale_by_dual_norm(inner: GradientTransformation) -> Body:
    """Multiply a direction by its product with the updates.

    The products are summed over each whole leaf.

    Args:
        inner: the transformation that makes the direction.
    """

    def rule(g, s, inner):
        u, new = inner(g, s["inner"])
        product = lambda x, y: jnp.sum(jnp.conj(x) * y) * y
        return map_leaves(product, g, u), {"inner": new}

    return around(rule, inner=inner)
