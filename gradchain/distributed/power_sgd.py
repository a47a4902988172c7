"""PowerSGD: gradients as products of thin matrices."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.ranges import StaticPositiveInt
from gradchain.core.slots import shaped
from gradchain.core.types import Shape
from gradchain.distributed.wires import Kept, Way, mean_of, wire
from gradchain.numerics.decompositions import qr


@wire
def power_sgd(rank: StaticPositiveInt = 2) -> Way:
    r"""Send gradients as products of two thin matrices.

    One step of a power iteration, which goes on from step to step, finds the directions in which
    the mean gradient is largest:

    .. math::
        P = \operatorname{orth}\left(\tfrac1n \sum_i M_i Q\right), \qquad
        Q \leftarrow \tfrac1n \sum_i M_i^\top P, \qquad u = P Q^\top

    A leaf of more than two dimensions is a matrix of its last by all others. Vectors, and matrices
    that two thin ones would not make smaller, are sent as they are. It wants error feedback. The
    slot ``basis`` has :math:`Q`, the same on all replicas. Both sums are plain all-reduces.

    Args:
        rank: the columns of :math:`P` and :math:`Q`.

    Source: Vogels, Karimireddy & Jaggi, "PowerSGD: Practical Low-Rank Gradient Compression for
    Distributed Optimization", 2019, https://arxiv.org/abs/1905.13727

    Example:
        >>> import gradchain as gc
        >>> tx = gc.distributed.exchange(gc.distributed.power_sgd(rank=1))
        >>> gradient = jnp.outer(jnp.arange(3.0), jnp.ones(4))
        >>> updates, state = tx.update(gradient, tx.init(gradient))
        >>> print(updates.round(4)[2], state["exchange"]["basis"].shape)
        [2. 2. 2. 2.] (4, 1)
    """

    def send(
        x: jax.Array,
        s: Kept,
        axis: str | None,
    ) -> tuple[jax.Array, jax.Array, Kept]:
        if "basis" not in s:
            return mean_of(x, axis), x, s
        m = x.reshape(sides(x.shape))
        left, _ = qr(mean_of(_product(m, s["basis"]), axis))
        right = mean_of(_product(m.conj().T, left), axis)
        agreed = _product(left, right.conj().T).reshape(x.shape)
        is_well = jnp.isfinite(right).all()  # else no later step could be made
        return agreed, agreed, {"basis": jnp.where(is_well, right, s["basis"])}

    def start(x: jax.Array) -> jax.Array:
        shape = (x.shape[-1], rank)
        return jax.random.normal(jax.random.key(0), shape).astype(x.dtype)

    basis = shaped(lambda shape: (shape[-1], rank))
    exists = lambda shape: is_thinner(shape, rank)
    return Way(send, {"basis": basis(start=start, exists=exists)})


def sides(shape: Shape) -> tuple[int, int]:
    """The sides of a leaf as one matrix."""
    return math.prod(shape[:-1]), shape[-1]


def is_thinner(shape: Shape, rank: int) -> bool:
    """Whether a leaf is a matrix larger than thin ones."""
    if len(shape) < 2:
        return False
    rows, columns = sides(shape)
    return rank * (rows + columns) < rows * columns


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(
        a,
        b,
        precision=lax.Precision.HIGHEST,
    )
