"""GaLore, with optax's arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.as_optax.adapters import accept_any_extra, where_of
from gradchain.as_optax.base import MaskOrFn, ScalarOrSchedule
from gradchain.as_optax.contrib_states import GaLoreState
from gradchain.as_optax.dialect import GradientTransformationExtraArgs
from gradchain.as_optax.dimension_numbers import (
    DimensionNumbers,
    GaLoreDimensionNumbers as GaLoreDimensionNumbers,
    Numbers,
    WeightDimNumOrFn,
    fold_by_numbers,
    has_no_parts,
)
from gradchain.as_optax.numerics import safe_increment
from gradchain.as_optax.tree_utils import tree_cast_like
from gradchain.as_optax.wrappers import Pair, named_pair, start_count
from gradchain.core.folding import Fold
from gradchain.core.transformation import GradientTransformation, chain
from gradchain.core.types import Pair as AnyPair, Params, Shape, Tree, Updates
from gradchain.numerics.decompositions import svd
from gradchain.numerics.polar import adjoint
from gradchain.optimizers.adam import scale_by_adam
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.transforms.weight_decay import add_decayed_weights
from gradchain.tree.paths import flatten


def galore(
    learning_rate: ScalarOrSchedule,
    rank: int = 128,
    update_proj_gap: int = 200,
    scale: float = 1.0,
    base_optimizer: GradientTransformation | AnyPair | None = None,
    weight_decay: float = 0.0,
    mask: MaskOrFn = None,
    weight_dimension_numbers: WeightDimNumOrFn = None,
) -> GradientTransformationExtraArgs:
    """GaLore: ``scale_by_galore``, decoupled weight decay, then the learning rate."""
    direction = scale_by_galore(
        rank, update_proj_gap, scale, base_optimizer, weight_dimension_numbers
    )
    decay = add_decayed_weights(weight_decay, where_of(mask))
    return accept_any_extra(chain(direction, decay, scale_by_learning_rate(learning_rate)))


def scale_by_galore(
    rank: int = 128,
    update_proj_gap: int = 200,
    scale: float = 1.0,
    base_optimizer: GradientTransformation | AnyPair | None = None,
    weight_dimension_numbers: WeightDimNumOrFn = None,
) -> Pair:
    """A direction in the span of the leading singular vectors.

    The direction is by default Adam's. Without dimension numbers, leaves of two dimensions are
    matrices, and others are seen as they are. Where a matrix has fewer rows or columns than
    ``rank``, all of its singular vectors are taken. ``gradchain.low_rank`` leaves such a matrix as
    it is, and waits with its basis for a gradient that is not zero.

    Raises:
        ValueError: if ``rank`` or ``update_proj_gap`` is less than 1.
    """
    for name, number in (("rank", rank), ("update_proj_gap", update_proj_gap)):
        if number < 1:
            raise ValueError(f"scale_by_galore: {name} must be positive, not {number}.")
    inner = accept_any_extra(scale_by_adam() if base_optimizer is None else base_optimizer)
    numbers = ForGaLore(weight_dimension_numbers)

    def spaces_of(tree: Tree) -> list[Subspace | None]:
        folds = numbers.folds(tree)
        return [None if fold is None else Subspace(fold, rank) for fold in folds]

    def init(params: Params) -> GaLoreState:
        leaves, treedef = flatten(params)
        spaces = spaces_of(params)
        nowhere = [None if x is None else jnp.zeros((0, 0), x.dtype) for x in leaves]
        bases = _map(lambda space, _, x: space.zeros(x), spaces, nowhere, leaves)
        low = _map(Subspace.down, spaces, leaves, bases)
        start = inner.init(treedef.unflatten(low))
        return GaLoreState(start_count(), start, treedef.unflatten(bases))

    def update(
        updates: Updates, state: GaLoreState, params: Params = None, **extra: Any
    ) -> tuple[Updates, GaLoreState]:
        leaves, treedef = flatten(updates)
        spaces = spaces_of(updates)
        is_due = state.count % update_proj_gap == 0
        renew = lambda space, old, x: space.leading(x, old, is_due)
        bases = _map(renew, spaces, treedef.flatten_up_to(state.projector), leaves)
        low = treedef.unflatten(_map(Subspace.down, spaces, leaves, bases))
        made, new = inner.update(low, state.base_optimizer_state, None, **extra)
        back = lambda space, u, basis: scale * space.up(u, basis)
        found = _map(back, spaces, treedef.flatten_up_to(made), bases)
        new = GaLoreState(safe_increment(state.count), new, treedef.unflatten(bases))
        return tree_cast_like(treedef.unflatten(found), updates), new

    return named_pair("scale_by_galore", init, update)


def _map(
    fun: Callable[..., Any], spaces: Sequence[Subspace | None], *rows: Sequence[Any]
) -> list[Any]:
    """Map projected leaves; others are of the first row."""
    columns = zip(spaces, *rows, strict=True)
    return [x if space is None else fun(space, x, *rest) for space, x, *rest in columns]


@dataclass(frozen=True)
class Subspace:
    """Where one leaf is projected.

    Attributes:
        fold: how the leaf is seen as a matrix.
        most: the largest number of directions.
    """

    fold: Fold
    most: int

    @property
    def rank(self) -> int:
        """The number of directions."""
        return min(self.most, *self.fold.matrix)

    @property
    def is_left(self) -> bool:
        """Whether rows are projected: as many as columns, or more."""
        rows, columns = self.fold.matrix
        return rows >= columns

    def zeros(self, x: jax.Array) -> jax.Array:
        """A basis before the first."""
        return jnp.zeros((max(self.fold.matrix), self.rank), x.dtype)

    def leading(self, x: jax.Array, old: jax.Array, is_due: jax.Array) -> jax.Array:
        """The leading singular vectors if due, else the old ones."""

        def renew() -> jax.Array:
            matrix = self.fold.open(x)[0]
            # In float32 even of float64: the signs of the vectors are those of optax.
            is_complex = jnp.iscomplexobj(matrix)
            left, _, right = svd(matrix.astype(jnp.complex64 if is_complex else jnp.float32))
            columns = left if self.is_left else adjoint(right)
            return columns[:, : self.rank].astype(old.dtype)

        return lax.cond(is_due, renew, lambda: old)

    def down(self, x: jax.Array, basis: jax.Array) -> jax.Array:
        """A leaf in the subspace."""
        matrix = self.fold.open(x)[0]
        return adjoint(basis) @ matrix if self.is_left else matrix @ basis

    def up(self, low: jax.Array, basis: jax.Array) -> jax.Array:
        """A leaf from the subspace."""
        matrix = basis @ low if self.is_left else low @ adjoint(basis)
        return self.fold.close(matrix[None])


class ForGaLore(Numbers):
    """Dimension numbers that leave no dimension out."""

    def fold(self, numbers: DimensionNumbers | None, shape: Shape) -> Fold | None:
        """See ``Numbers``.

        Raises:
            ValueError: if the numbers do not name all dimensions.
        """
        if numbers is None:
            is_matrix = self.given is None and len(shape) == 2
            return fold_by_numbers(GaLoreDimensionNumbers(), shape) if is_matrix else None
        if len(shape) < 2 and has_no_parts(self.given):  # one for all leaves, but for vectors
            return None
        fold = fold_by_numbers(numbers, shape)
        if fold.lead:
            raise ValueError(
                f"{numbers!r}: All axes must be specified, and the shape is {list(shape)}."
            )
        return fold
