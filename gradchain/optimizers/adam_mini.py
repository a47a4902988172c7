"""Adam-mini (Zhang et al., 2024): one second moment per block."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeAlias

import jax.numpy as jnp

from gradchain.core.errors import check_one_of
from gradchain.core.lift import leafwise
from gradchain.core.ranges import Decay, Hyper, NonNegative
from gradchain.core.slots import like_param, scalar, shaped
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.core.types import Where
from gradchain.numerics.arithmetic import debias, ema
from gradchain.numerics.lengths import with_squares
from gradchain.numerics.reductions import mean, mean_along
from gradchain.numerics.roots import root
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.transforms.weight_decay import add_decayed_weights

Blocks: TypeAlias = Callable[[tuple[int, ...]], tuple[int, ...]]
"""From the shape of a leaf to the dimensions along which elements share a second moment."""

BLOCKS = {"output": -2, "row": -1}  # the dimension that shares a second moment


@transform(roles="adaptive momentum")
def scale_by_adam_mini(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    block: str | Blocks = "output",
) -> Body:
    r"""Adam's direction with one second moment for each block.

    .. math::
        m \leftarrow \beta_1 m + (1-\beta_1) g, \quad
        v_b \leftarrow \beta_2 v_b + (1-\beta_2)\, \mathrm{mean}_{i \in b} |g_i|^2, \quad
        u_i = \frac{m_i / (1-\beta_1^t)}{\sqrt{v_b / (1-\beta_2^t)} + \epsilon}

    Args:
        b1: decay :math:`\beta_1` of the first moment ``mu``, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment ``nu``, in [0, 1).
        eps: :math:`\epsilon`, in the units of the gradient.
        block: which elements are a block. ``"output"``: those that lead to one output, all along
            the last dimension but one of a kernel ``(inputs, outputs)``; ``"row"``: those along the
            last dimension, for kernels ``(outputs, inputs)`` and for embeddings; ``"leaf"``: all.
            Or a function from the shape of a leaf to the dimensions, a tuple, along which elements
            share a block: ``lambda shape: (0, 2)`` for ``(inputs, heads, width)`` makes a head a
            block. With a name, a leaf of fewer than two dimensions is one block.

    Raises:
        ValueError: if ``block`` is another string.

    Source: Zhang et al., "Adam-mini: Use Fewer Learning Rates To Gain More", 2024,
    https://arxiv.org/abs/2406.16793

    Example:
        >>> tx, params = scale_by_adam_mini(), jnp.zeros(4)
        >>> print(tx.update(jnp.array([0.0, 0.0, 0.0, 4.0]), tx.init(params))[0].round(3))
        [0. 0. 0. 2.]
    """
    if isinstance(block, str):
        check_one_of("scale_by_adam_mini", (*BLOCKS, "leaf"), block=block)

    def shared(shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """The dimensions along which elements share a block; ``None``: all."""
        if isinstance(block, str):
            is_one_block = block == "leaf" or len(shape) < 2
            return None if is_one_block else (len(shape) + BLOCKS[block],)
        dims = tuple(sorted({d % len(shape) for d in block(shape)}))
        return None if len(dims) == len(shape) else dims

    def rule(g, s, t):
        dims = shared(g.shape)
        average = mean if dims is None else functools.partial(mean_along, dims=dims)
        g, square = with_squares(g, average)
        square = square if dims is None else jnp.squeeze(square, dims)
        mu = ema(g, s["mu"], b1)
        nu = ema(square, s["nu"], b2)
        size = root(debias(nu, b2, t)) + eps
        size = size if dims is None else jnp.expand_dims(size, dims)
        return debias(mu, b1, t) / size, {"mu": mu, "nu": nu}

    def rest(shape: tuple[int, ...]) -> tuple[int, ...]:
        dims = shared(shape)
        if dims is None:
            return ()
        return tuple(n for d, n in enumerate(shape) if d not in dims)

    nu = scalar if block == "leaf" else shaped(rest)(real=True)
    return leafwise(rule, whole=block != "leaf", mu=like_param, nu=nu)


@recipe
def adam_mini(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0.0,
    where: Where | None = None,
    block: str | Blocks = "output",
) -> GradientTransformation:
    """Adam-mini: ``scale_by_adam_mini``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the first moment.
        b2: decay of the second moments, one for each block.
        eps: bounds the direction where gradients vanish.
        weight_decay: the decay, multiplied by the learning rate.
        where: the leaves that decay; see ``add_decayed_weights``.
        block: which elements are a block; see ``scale_by_adam_mini``.

    Source: see ``scale_by_adam_mini``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = adam_mini(0.1), jnp.array([1.0, 1.0])
        >>> params, state = tx.step(jnp.array([1.0, 7.0]), tx.init(params), params)
        >>> print(params)
        [0.98 0.86]
    """
    direction = scale_by_adam_mini(b1, b2, eps, block)
    decay = add_decayed_weights(weight_decay, where)
    return chain(direction, decay, scale_by_learning_rate(learning_rate))
