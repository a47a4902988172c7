"""Adafactor (Shazeer & Stern, 2018): factored second moments."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from gradchain.core.errors import check_one_of
from gradchain.core.lift import leafwise
from gradchain.core.ranges import Decay, Hyper, Limit, NonNegative, StaticNonNegativeInt
from gradchain.core.slots import Slot, drop, like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.core.types import Dtype, Numeric, Where
from gradchain.numerics.arithmetic import abs2, real_dtype
from gradchain.numerics.counting import minus
from gradchain.numerics.lengths import run_one
from gradchain.numerics.roots import power, root
from gradchain.transforms.clipping import clip_by_block_rms
from gradchain.transforms.momentum import average_updates
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.transforms.trust_ratio import scale_by_param_block_rms
from gradchain.transforms.weight_decay import add_independent_weight_decay

LARGEST, LAST = "largest", "last"  # which two dimensions are factored

Pair: TypeAlias = tuple[int, int]
"""The two dimensions of a leaf that are factored."""


def factored_dims(
    shape: tuple[int, ...],
    dims: str = LAST,
    least: int = 1,
) -> Pair | None:
    """The two dimensions that are factored, or ``None``.

    Of the largest two dimensions the larger comes last. ``None``: the leaf keeps its second moment
    whole, since it has fewer than two dimensions, or one of the two is shorter than ``least``.
    """
    order = list(range(len(shape)))
    if dims == LARGEST:
        order.sort(key=shape.__getitem__)
    if len(shape) < 2 or min(shape[d] for d in order[-2:]) < least:
        return None
    return order[-2], order[-1]


def factored_slots(
    dims_of: Callable[[tuple[int, ...]], Pair | None],
    name: str,
) -> dict[str, Slot]:
    """Slots of a factored second moment: row and column means.

    A leaf without a pair of dimensions to factor keeps all of it, in the slot ``name``.
    """
    is_factored = lambda shape: dims_of(shape) is not None

    def reduced_over(i: int) -> Slot:
        dim = lambda shape: (dims_of(shape) or (0, 0))[i]
        slot = drop(dim)
        return slot(real=True, exists=is_factored)

    whole = like_param(real=True, exists=lambda shape: not is_factored(shape))
    return {f"{name}_row": reduced_over(1), f"{name}_col": reduced_over(0), name: whole}


def row_mean(row: jax.Array, dims: Pair) -> jax.Array:
    """The mean of row means along the other factored dimension.

    That dimension stays, with length 1.
    """
    return jnp.mean(row, axis=dims[0] - (dims[0] > dims[1]), keepdims=True)


def inverse_root(row: jax.Array, col: jax.Array, dims: Pair) -> jax.Array:
    r"""One over the root of rows times columns, :math:`\sqrt{\bar r / (r c)}`.

    The roots are taken one by one: a quotient of squares may be out of range where the root is not.
    """
    rows = root(row_mean(row, dims)) / root(row)
    return jnp.expand_dims(rows, dims[1]) / jnp.expand_dims(root(col), dims[0])


class Moment(NamedTuple):
    """A factored second moment of scaled numbers.

    They were multiplied by ``by``, a power of two.
    """

    row: jax.Array
    col: jax.Array
    by: jax.Array
    dims: Pair

    @property
    def slots(self) -> tuple[jax.Array, jax.Array]:
        """Row and column means, as they are kept.

        The largest number stands for larger ones.
        """
        top = jnp.finfo(self.row.dtype).max
        kept = lambda x: jnp.minimum(x / self.by / self.by, top)
        return kept(self.row), kept(self.col)

    def divide(self, x: jax.Array) -> jax.Array:
        """``x`` over the root mean square."""
        return x * self.by * inverse_root(self.row, self.col, self.dims)


def whole_moment(
    x: jax.Array,
    eps: Numeric,
    average: Callable[[jax.Array, jax.Array], jax.Array],
    old: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The moving average of ``|x|^2 + eps``, element by element.

    Returns:
        The average of numbers multiplied by a power of two, 1 unless their squares are too large;
        that power; and the average as it is kept, the largest number for larger ones.
    """
    info = jnp.finfo(old.dtype)
    is_usual = jnp.isfinite(abs2(x))
    by = jnp.where(is_usual, 1.0, 2.0 ** (-info.maxexp * 5 // 8))
    v = average(abs2(x * by) + eps * by * by, old * by * by)
    return v, by, jnp.minimum(v / by / by, info.max)


def factored_moment(
    x: jax.Array,
    eps: Numeric,
    dims: Pair,
    average: Callable[[jax.Array, jax.Array], jax.Array],
    row: jax.Array,
    col: jax.Array,
) -> Moment:
    """The moving averages of ``|x|^2 + eps``, as row and column means.

    The squares may be too large for their dtype: then, and only then, they are taken again of
    smaller numbers.

    Args:
        x: the array.
        eps: is added to the squares.
        dims: the dimensions that are factored.
        average: from the new mean and the old one to the average.
        row: the row means so far.
        col: the column means so far.
    """
    small = 2.0 ** (-jnp.finfo(row.dtype).maxexp * 5 // 8)

    def means(by: float | jax.Array) -> tuple[jax.Array, jax.Array]:
        square = abs2(x * by) + eps * by * by if isinstance(by, jax.Array) else abs2(x) + eps
        of_row, of_col = (jnp.mean(square, axis=d) for d in reversed(dims))
        return average(of_row, row * by * by), average(of_col, col * by * by)

    plain = means(1.0)
    is_usual = jnp.isfinite(jnp.sum(plain[0]))
    # An array: of two constants the compiler makes one, which underflows.
    by = jnp.where(is_usual, 1.0, small)
    new_row, new_col = run_one(is_usual, lambda: plain, lambda: means(by))
    return Moment(new_row, new_col, by, dims)


@transform(roles="adaptive")
def scale_by_factored_rms(
    factored: bool = True,
    decay_rate: NonNegative = 0.8,
    step_offset: int = 0,
    min_dim_size_to_factor: StaticNonNegativeInt = 128,
    epsilon: NonNegative = 1e-30,
    *,
    max_decay: Decay | None = None,
    dims: str = LARGEST,
    add_epsilon: bool = True,
) -> Body:
    r"""Adafactor's direction: divide by a factored root mean square.

    Of the mean square only row and column means are kept.

    .. math::
        r \leftarrow \beta_t r + (1-\beta_t)\, \mathrm{mean}_j (|g|^2 + \epsilon), \quad
        c \leftarrow \beta_t c + (1-\beta_t)\, \mathrm{mean}_i (|g|^2 + \epsilon), \quad
        u_{ij} = g_{ij} \sqrt{\frac{\mathrm{mean}(r)}{r_i c_j}}, \quad \beta_t = 1 - t^{-\gamma}

    A leaf without two such dimensions keeps its mean square whole, :math:`u = g / \sqrt{v}`.

    Args:
        factored: whether to factor at all.
        decay_rate: the exponent :math:`\gamma \ge 0` of the decay.
        step_offset: is subtracted from the step :math:`t`, for a fine-tuning that began there. Up
            to the step after it the decay is that of a first step, 0.
        min_dim_size_to_factor: both dimensions have to be as long for a leaf to be factored.
        epsilon: :math:`\epsilon`, in squared units of the gradient.
        max_decay: the largest :math:`\beta_t`, in [0, 1), so that the average does not become one
            over all steps; by default none.
        dims: the two dimensions that are factored, the ``"largest"`` or the ``"last"``; the others
            are a batch.
        add_epsilon: whether :math:`\epsilon` is added to the squares; else the estimate of
            :math:`|g|^2` is at least :math:`\epsilon`, and the mean of :math:`r` at least
            :math:`\sqrt{\epsilon}`, as in torch.

    Raises:
        ValueError: if ``dims`` is neither.

    Source: Shazeer & Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", 2018,
    https://arxiv.org/abs/1804.04235; ``max_decay``: Zhai et al., "Scaling Vision Transformers",
    2022, https://arxiv.org/abs/2106.04560

    Example:
        >>> tx, params = scale_by_factored_rms(min_dim_size_to_factor=2), jnp.zeros((2, 2))
        >>> print(tx.update(jnp.array([[1.0, 2.0], [2.0, 4.0]]), tx.init(params))[0].round(3))
        [[1. 1.]
         [1. 1.]]
    """
    check_one_of("scale_by_factored_rms", (LARGEST, LAST), dims=dims)
    least = max(min_dim_size_to_factor, 1)

    def weight_at(count: jax.Array, dtype: Dtype) -> jax.Array:
        # Before the offset, as at the first step after it: there is no average to keep.
        step = jnp.maximum(minus(count, step_offset - 1), 1).astype(dtype)
        weight = power(step, -decay_rate)
        return weight if max_decay is None else jnp.maximum(weight, 1 - max_decay)

    dims_of = lambda shape: factored_dims(shape, dims, least) if factored else None
    body = over_factored_rms(weight_at, dims_of, epsilon, add_epsilon)
    body.by_matrix = dims == LAST or not factored  # else a stack's own length may be factored
    return body


def over_factored_rms(
    weight_at: Callable[[jax.Array, Dtype], jax.Array],
    dims_of: Callable[[tuple[int, ...]], Pair | None],
    epsilon: Numeric,
    add_epsilon: bool = True,
) -> Body:
    """Divide by a factored root mean square.

    Args:
        weight_at: from the count of steps and a dtype to the weight of the new square.
        dims_of: from a shape to the dimensions that are factored.
        epsilon: see ``scale_by_factored_rms``.
        add_epsilon: see there.
    """

    def rule(g, s, count):
        weight = weight_at(count, real_dtype(g.dtype))
        average = lambda new, old: (1 - weight) * old + weight * new
        added = epsilon if add_epsilon else 0.0
        pair = dims_of(g.shape)
        if pair is None:
            v, by, kept = whole_moment(g, added, average, s["v"])
            v = v if add_epsilon else jnp.maximum(v, epsilon * by * by)
            return g * by / root(v), {"v": kept}
        moment = factored_moment(g, added, pair, average, s["v_row"], s["v_col"])
        new = dict(zip(("v_row", "v_col"), moment.slots, strict=True))
        if add_epsilon:
            return moment.divide(g), new
        row, col, by, _ = moment
        rows = row / jnp.maximum(row_mean(row, pair), root(epsilon) * by * by)
        estimate = jnp.expand_dims(rows, pair[1]) * jnp.expand_dims(col, pair[0])
        return g * by / root(jnp.maximum(estimate, epsilon * by * by)), new

    return leafwise(rule, whole=True, **factored_slots(dims_of, "v"))


@recipe
def adafactor(
    learning_rate: Hyper | None = None,
    min_dim_size_to_factor: StaticNonNegativeInt = 128,
    decay_rate: NonNegative = 0.8,
    decay_offset: int = 0,
    multiply_by_parameter_scale: bool = True,
    clipping_threshold: Limit | None = 1.0,
    momentum: Decay | None = None,
    weight_decay_rate: NonNegative | None = None,
    eps: NonNegative = 1e-30,
    factored: bool = True,
    where: Where | None = None,
    *,
    max_decay: Decay | None = None,
    dims: str = LARGEST,
    add_eps: bool = True,
) -> GradientTransformation:
    r"""Adafactor: factored second moments, bounded steps in proportion to parameters.

    Row and column means are all that it keeps by default.

    torch's definition is ``adafactor(rate, 1, clipping_threshold=d, eps=eps1**2, dims="last",
    add_eps=False)`` with the schedule ``rate`` :math:`\min(\eta, 1/\sqrt{t})`.

    Args:
        learning_rate: the rate, or its schedule, as a part of the size of a parameter; by default
            1.
        min_dim_size_to_factor: both dimensions have to be as long for a leaf to be factored.
        decay_rate: the exponent of the decay of the second moment.
        decay_offset: the step at which a fine-tuning began; see ``scale_by_factored_rms``.
        multiply_by_parameter_scale: whether steps are in proportion to the root mean square of a
            leaf's parameter.
        clipping_threshold: the largest root mean square of a leaf's direction; ``None`` for no
            bound.
        momentum: decay of a moving average of steps; ``None`` keeps none.
        weight_decay_rate: decay, not multiplied by the learning rate; ``None`` for none.
        eps: see ``scale_by_factored_rms``.
        factored: whether to factor at all.
        where: the leaves that decay; see ``add_decayed_weights``.
        max_decay: see ``scale_by_factored_rms``.
        dims: see ``scale_by_factored_rms``.
        add_eps: see ``scale_by_factored_rms``.

    Source: see ``scale_by_factored_rms``, ``clip_by_block_rms`` and ``scale_by_param_block_rms``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = adafactor(0.1), jnp.array([2.0])
        >>> params, state = tx.step(jnp.array([5.0]), tx.init(params), params)
        >>> print(params)
        [1.8]
    """
    numbers = (factored, decay_rate, decay_offset, min_dim_size_to_factor, eps)
    options = {"max_decay": max_decay, "dims": dims, "add_epsilon": add_eps}
    direction = scale_by_factored_rms(*numbers, **options)
    bound = [] if clipping_threshold is None else [clip_by_block_rms(clipping_threshold)]
    rate = scale_by_learning_rate(1.0 if learning_rate is None else learning_rate)
    size = [scale_by_param_block_rms()] if multiply_by_parameter_scale else []
    memory = [] if momentum is None else [average_updates(momentum, debias=False)]
    decay = []
    if weight_decay_rate is not None:
        decay = [add_independent_weight_decay(weight_decay_rate, where)]
    return chain(direction, *bound, rate, *size, *memory, *decay)
