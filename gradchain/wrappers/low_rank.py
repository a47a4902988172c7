"""Low-rank projection: a transformation in a subspace of each matrix."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.around import Around
from gradchain.core.errors import check_one_of
from gradchain.core.first_values import first_value
from gradchain.core.ranges import Hyper, NonNegative, PositiveInt, StaticPositiveInt
from gradchain.core.slots import Slot, shaped
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.trees import PerTree
from gradchain.core.types import Pair, Params, Shape, State, Tree, Updates
from gradchain.numerics import decompositions
from gradchain.numerics.counting import remainder
from gradchain.numerics.lengths import bounded_growth, bringing, length_along
from gradchain.numerics.polar import adjoint
from gradchain.numerics.splits import split_like, whole, whole_along
from gradchain.tree.mapping import map_leaves, tree_map_live


def is_wide_enough(shape: tuple[int, ...], rank: int) -> bool:
    """Whether matrices have more than ``rank`` rows and columns.

    Matrices are the last two dimensions of a leaf.
    """
    return len(shape) >= 2 and min(shape[-2:]) > rank


@transform
def low_rank(
    inner: GradientTransformation | Pair,
    rank: StaticPositiveInt = 128,
    update_every: PositiveInt = 200,
    scale: NonNegative = 1.0,
    compress: str = "longer",
    residual: bool = False,
    max_growth: Annotated[Hyper, "(0, inf]"] = 1.01,
) -> Body:
    r"""Apply ``inner`` in a low-rank subspace of each matrix (GaLore).

    The subspace is spanned by the ``rank`` leading singular vectors of the gradient.

    .. math::
        R = P^* g, \quad u = \alpha P\, \mathrm{inner}(R), \quad
        P = \text{the first columns of } U, \; g = U \Sigma V^*

    or :math:`R = g P`, :math:`u = \alpha\, \mathrm{inner}(R) P^*` with the columns of :math:`V`.
    The basis :math:`P` is found anew each ``update_every`` steps; a gradient that is zero leaves it
    as it is, and the first one that is not makes it. The largest element of each of its columns is
    positive, so that it does not change its sign from one time to the next.

    Matrices are the last two dimensions of a leaf. Where they are not both longer than ``rank``,
    and for vectors, ``inner`` sees the leaf as it is.

    Args:
        inner: the transformation in the subspace, such as ``scale_by_adam()``; its state has the
            shapes of the projected leaves. It is given the parameters projected too: weight decay,
            which is meant for all of them, belongs behind this.
        rank: the number of directions that is kept.
        update_every: steps for which a basis stays.
        scale: the factor :math:`\alpha` of updates from the subspace.
        compress: which dimension becomes ``rank`` long: the ``"longer"`` one, or the ``"shorter"``
            as in the paper, with a smaller basis and a larger state.

        residual: whether to add what the basis leaves out (Fira): each column of :math:`g - P R`,
            multiplied by the ratio of norms of that column of :math:`\mathrm{inner}(R)` and
            :math:`R`; rows where :math:`P` is on the right.
        max_growth: the largest growth of the residual's norm in a step; ``inf`` for no bound.

    Raises:
        ValueError: if ``compress`` is neither, or ``rank`` or ``update_every`` is less than 1.

    Source: Zhao et al., "GaLore: Memory-Efficient LLM Training by Gradient Low-Rank Projection",
    2024, https://arxiv.org/abs/2403.03507; the residual: Chen et al., "Fira: Can We Achieve
    Full-rank Training of LLMs Under Low-rank Constraint?", 2024, https://arxiv.org/abs/2410.01623

    Example:
        >>> import gradchain as gc
        >>> tx, params = low_rank(gc.scale_by_adam(), rank=2), jnp.zeros((8, 4))
        >>> state = tx.init(params)["low_rank"]
        >>> state["basis"].shape, state["inner"]["scale_by_adam"]["mu"].shape
        ((8, 2), (2, 4))
    """
    check_one_of("low_rank", ("longer", "shorter"), compress=compress)

    space = Subspace(rank, compress)

    def rule(g, s, count, inner, p=None):
        due = _due(remainder(count, update_every) == 0, s["basis"], g)
        renew = lambda old, x, due: _leading(x, rank, space.is_left(x.shape), old, due)
        basis = lax.cond(
            functools.reduce(jnp.logical_or, map(jnp.any, jax.tree.leaves(due)), False),
            lambda: map_leaves(renew, s["basis"], g, due),
            lambda: s["basis"],
        )
        shorten = lambda x, b: x if b is None else space.down(b, x)
        low = map_leaves(shorten, g, basis)
        low_params = None if p is None else map_leaves(shorten, p, basis)
        made, new = inner(low, s["inner"], low_params)
        kept = {"basis": basis, "inner": new}
        back = lambda x, b, y: y if b is None else space.up(b, y, x)
        u = map_leaves(back, g, basis, made)
        if residual:
            rest = map_leaves(space.residual, basis, g, low, made)
            bounded = lambda x, last: bounded_growth(x, last, max_growth)
            kept["length"] = s["length"]
            if jax.tree.leaves(rest):  # else no matrix is wide enough
                rest, kept["length"] = map_leaves(bounded, rest, s["length"])
            u = map_leaves(lambda x, y: x if y is None else x + y, u, rest)
        times = lambda x, b: x if b is None else scale * x
        return map_leaves(times, u, basis), kept

    exists = lambda shape: is_wide_enough(shape, rank)
    slots = {"basis": shaped(space.basis_shape)(exists=exists)}
    if residual:
        slots["length"] = shaped(lambda shape: shape[:-2])(exists=exists, real=True)
    return Projected(space.low_shape, rule, "matrix", {"inner": inner}, slots)


def _due(is_turn: jax.Array, basis: Tree, g: Updates) -> Tree:
    """Which bases are found anew."""
    return map_leaves(lambda old, x: is_turn | _is_unborn(old, x), basis, g)


@dataclass(frozen=True)
class Subspace:
    """Where matrices are projected; see ``low_rank``."""

    rank: int
    compress: str

    def is_left(self, shape: Shape) -> bool:
        """Whether the basis is on the left."""
        return (shape[-2] >= shape[-1]) == (self.compress == "longer")

    def basis_shape(self, shape: Shape) -> Shape:
        """The shape of the basis for that of a leaf."""
        return *shape[:-2], shape[-2 if self.is_left(shape) else -1], self.rank

    def low_shape(self, shape: Shape) -> Shape:
        """The shape of what is projected."""
        if not is_wide_enough(shape, self.rank):
            return shape
        if self.is_left(shape):
            return *shape[:-2], self.rank, shape[-1]
        return *shape[:-1], self.rank

    def down(self, basis: jax.Array, x: jax.Array) -> jax.Array:
        """Matrices in the subspace."""
        x = whole_along(x, (-2 if self.is_left(x.shape) else -1,))
        basis = whole_along(basis, (-2,))
        return adjoint(basis) @ x if self.is_left(x.shape) else x @ basis

    def up(self, basis: jax.Array, low: jax.Array, x: jax.Array) -> jax.Array:
        """Matrices back from the subspace, in the shape of ``x``."""
        return basis @ low if self.is_left(x.shape) else low @ adjoint(basis)

    def residual(
        self,
        basis: jax.Array,
        x: jax.Array,
        low: jax.Array,
        made: jax.Array,
    ) -> jax.Array:
        """The part outside of the subspace, scaled like the rest."""
        dim = -2 if self.is_left(x.shape) else -1
        factor = bringing(length_along(low, dim), length_along(made, dim))
        return factor.times(x - self.up(basis, low, x))


class Projected(Around):
    """A wrapper whose members see parameters of other shapes."""

    def __init__(
        self,
        low_shape: Callable[[tuple[int, ...]], tuple[int, ...]],
        rule: Callable[..., tuple[Updates, State]],
        locality: str,
        members: dict[str, GradientTransformation],
        slots: dict[str, Slot],
    ):
        super().__init__(rule, locality, members, slots)
        self.low_shape = low_shape

    def init(self, params: Params) -> State:
        """See ``Body``."""
        # In their own dtypes: what keeps the low bits of parameters goes by them.
        shorten = functools.partial(first_value, shaped(self.low_shape)(dtype="own"))
        low = tree_map_live(shorten, params)
        states = {name: m.init(low) for name, m in self.members.items()}
        inner = {name: state for name, state in states.items() if state}
        return PerTree.init(self, params) | inner


def _is_unborn(basis: jax.Array, x: jax.Array) -> jax.Array:
    """Which matrices are not zero, and have no basis yet."""
    dims = (-2, -1)
    return jnp.all(basis == 0, dims, keepdims=True) & jnp.any(x != 0, dims, keepdims=True)


def _leading(
    x: jax.Array, rank: int, is_left: bool, old: jax.Array, is_due: jax.Array
) -> jax.Array:
    """The leading singular vectors of ``x``, as columns.

    They are the left or the right ones; where ``x`` is zero or not due they are ``old``. The
    largest element of each is positive.
    """
    x = whole(x)
    u, _, vh = decompositions.svd(lax.stop_gradient(x))
    columns = (u if is_left else adjoint(vh))[..., :rank]
    size = jnp.abs(columns)
    first = jnp.argmax(size, axis=-2, keepdims=True)
    top = lambda x: jnp.take_along_axis(x, first, axis=-2)
    phase = top(columns) / top(size)
    is_zero = jnp.all(x == 0, axis=(-2, -1), keepdims=True)
    turned = columns * jnp.conj(phase)
    return split_like(jnp.where(is_due & ~is_zero, turned, whole(old)), old)
