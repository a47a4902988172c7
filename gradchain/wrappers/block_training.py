"""Train one block of layers at a time."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.advice import brief
from gradchain.core.ranges import PositiveInt, StaticPositiveInt
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Pair, Shape
from gradchain.numerics.counting import quotient, remainder
from gradchain.numerics.splits import whole_along
from gradchain.tree.mapping import map_leaves
from gradchain.wrappers.lookahead import chosen_state
from gradchain.wrappers.low_rank import Projected


@transform
def block_training(
    inner: GradientTransformation | Pair, blocks: StaticPositiveInt, every: PositiveInt = 100
) -> Body:
    r"""Train one block of stacked layers at a time (BAdam).

    Each leaf is parted along its first dimension, that of the layers in a model as ``jax.lax.scan``
    takes them. For ``every`` steps ``inner`` sees one of the parts and the others rest; then comes
    the next, for which it starts anew. So there is a state of one block alone, :math:`1/B` of the
    usual one.

    .. math::
        b = \lfloor t / k \rfloor \bmod B, \qquad
        (u_b, s) = \mathrm{inner}(g_b, s, \theta_b), \qquad u_{\ne b} = 0

    A schedule in ``inner`` starts anew with each block; one for the whole run stands behind this:
    ``chain(block_training(scale_by_adam(), 8), scale_by_learning_rate(rate))``. Weight decay
    belongs into ``inner``, else it moves the blocks that rest. Leaves that are not stacked, such as
    an embedding, want a transformation of their own in ``groups``.

    Args:
        inner: the transformation of a block; its state has the shapes of the parts.
        blocks: how many there are, most often as many as layers, or a divisor. A first dimension
            that is no multiple has a last part that reaches back into the one before; a single
            number is in every block.
        every: for how many steps a block is trained at a time.

    Raises:
        ValueError: if ``blocks`` or ``every`` is less than 1, or another one is in ``inner``.

    Source: Luo et al., "BAdam: A Memory Efficient Full Parameter Optimization Method for Large
    Language Models", 2024, https://arxiv.org/abs/2404.02827

    Example:
        >>> import gradchain as gc
        >>> tx, params = block_training(gc.sgd(1.0), blocks=2, every=1), jnp.zeros(4)
        >>> state = tx.init(params)
        >>> for _ in range(2):
        ...     params, state = tx.step(-jnp.ones(4), state, params)
        ...     print(params)
        [1. 1. 0. 0.]
        [1. 1. 1. 1.]
    """
    if _has_blocks(inner):
        raise ValueError(
            f"block_training: there is another block_training in {brief(inner)}. Parts of parts are"
            " smaller parts: multiply the two numbers of blocks."
        )
    start_anew = inner.init

    def rule(g, s, count, dtypes, inner, p=None):
        block = remainder(quotient(count, every), blocks).astype(jnp.int32)
        part = lambda tree: map_leaves(lambda x: _part(x, blocks, block), tree)
        seen = dtypes[0] if dtypes[1] is None else dtypes[1]
        begins = remainder(count, every) == 0
        state = chosen_state(begins, start_anew(part(seen)), s["inner"])
        u, new = inner(part(g), state, None if p is None else part(p))
        return map_leaves(lambda u, x: _among_zeros(u, x, block), u, g), {"inner": new}

    part_shape = lambda shape: _part_shape(shape, blocks)
    return Projected(part_shape, rule, "matrix", {"inner": inner}, {})


def _has_blocks(tx: GradientTransformation) -> bool:
    """Whether it is, or holds, a ``block_training``."""
    return tx.factory.name == block_training.__name__ or any(map(_has_blocks, tx.inner))


def _part_shape(shape: Shape, blocks: int) -> Shape:
    """The shape of a part of a leaf."""
    return (-(-shape[0] // blocks), *shape[1:]) if shape else shape


def _part(x: jax.Array, blocks: int, block: jax.Array) -> jax.Array:
    """The part of a leaf that belongs to a block."""
    if not x.ndim:
        return x
    x = whole_along(x, (0,))
    length = _part_shape(x.shape, blocks)[0]
    return lax.dynamic_slice_in_dim(x, block * length, length)  # the last one reaches back


def _among_zeros(part: jax.Array, x: jax.Array, block: jax.Array) -> jax.Array:
    """A part in its place, and zeros elsewhere."""
    if not x.ndim:
        return part
    # Read row by row, so that it fuses with what follows: zeros, written to in part, would be an
    # array as large as the parameters.
    start = jnp.minimum(block * len(part), len(x) - len(part))
    row = jnp.arange(len(x), dtype=jnp.int32) - start
    is_own = ((row >= 0) & (row < len(part))).reshape(-1, *(1,) * (x.ndim - 1))
    return jnp.where(is_own, jnp.take(part, row, axis=0, mode="clip"), jnp.zeros((), x.dtype))
