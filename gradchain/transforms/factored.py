"""Directions from second moments that are kept as a vector for each dimension, and scales of whole parameters."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.call import Hyper
from gradchain.checks import check_one_of
from gradchain.core import transform
from gradchain.lift import leafwise
from gradchain.numerics import abs2, ema, mean, safe_sqrt, shrink, total
from gradchain.slots import Slot, drop, keep, like_param, scalar

LARGEST, LAST = "largest", "last"  # which two dimensions are factored
MOST = 6  # dimensions that a leaf of SM3 may have


def factored_dims(shape: tuple[int, ...], dims: str = LAST, least: int = 1) -> tuple[int, int] | None:
    """The two dimensions that are factored, the larger last; ``None`` where the leaf keeps its second moment whole."""
    order = list(range(len(shape))) if dims == LAST else sorted(range(len(shape)), key=shape.__getitem__)
    if len(shape) < 2 or min(shape[d] for d in order[-2:]) < least:
        return None
    return order[-2], order[-1]


def factored_slots(dims_of: Callable, name: str) -> dict[str, Slot]:
    """The slots of a second moment: the means over either dimension, or all of it where there is no such pair."""
    is_factored = lambda shape: dims_of(shape) is not None
    return {
        f"{name}_row": drop(lambda shape: dims_of(shape)[1])(real=True, exists=is_factored),
        f"{name}_col": drop(lambda shape: dims_of(shape)[0])(real=True, exists=is_factored),
        name: like_param(real=True, exists=lambda shape: not is_factored(shape)),
    }


def row_mean(row: jax.Array, dims: tuple[int, int]) -> jax.Array:
    """The mean of the row means over the other factored dimension, which stays with length 1."""
    return jnp.mean(row, axis=dims[0] - (dims[0] > dims[1]), keepdims=True)


def inverse_root(row: jax.Array, col: jax.Array, dims: tuple[int, int]) -> jax.Array:
    r"""One over the root of the product of rows and columns, :math:`\sqrt{\bar r / (r c)}`.

    The roots are taken one by one: a quotient of squares may be out of range where the root is not.
    """
    rows = jnp.sqrt(row_mean(row, dims)) / jnp.sqrt(row)
    return jnp.expand_dims(rows, dims[1]) / jnp.expand_dims(jnp.sqrt(col), dims[0])


@transform
def scale_by_factored_rms(
    factored: bool = True,
    decay_rate: Hyper = 0.8,
    step_offset: int = 0,
    min_dim_size_to_factor: int = 128,
    epsilon: Hyper = 1e-30,
    *,
    max_decay: Hyper | None = None,
    dims: str = LARGEST,
    add_epsilon: bool = True,
) -> Any:
    r"""Adafactor's direction: divide by the root of a mean square that is kept as row and column means.

    .. math::
        r \leftarrow \beta_t r + (1-\beta_t)\, \mathrm{mean}_j (|g|^2 + \epsilon), \quad
        c \leftarrow \beta_t c + (1-\beta_t)\, \mathrm{mean}_i (|g|^2 + \epsilon), \quad
        u_{ij} = g_{ij} \sqrt{\frac{\mathrm{mean}(r)}{r_i c_j}}, \quad \beta_t = 1 - t^{-\gamma}

    A leaf without two such dimensions keeps its mean square whole, :math:`u = g / \sqrt{v}`.

    Args:
        factored: whether to factor at all.
        decay_rate: the exponent :math:`\gamma > 0` of the decay.
        step_offset: what is taken from the step :math:`t`, for a fine-tuning that began there.
        min_dim_size_to_factor: both dimensions have to be as long for a leaf to be factored.
        epsilon: :math:`\epsilon`, in squared units of the gradient.
        max_decay: the largest :math:`\beta_t`, in [0, 1), so that the average does not become one over all steps; by
            default none.
        dims: the two dimensions that are factored, the ``"largest"`` or the ``"last"``; the others are a batch.
        add_epsilon: whether :math:`\epsilon` is added to the squares; else the estimate of :math:`|g|^2` is at least
            :math:`\epsilon`, and the mean of :math:`r` at least :math:`\sqrt{\epsilon}`, as in torch.

    Raises:
        ValueError: if ``dims`` is neither.

    Source: Shazeer & Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", 2018,
    https://arxiv.org/abs/1804.04235; ``max_decay``: Zhai et al., "Scaling Vision Transformers", 2022,
    https://arxiv.org/abs/2106.04560

    Example:
        >>> tx, params = scale_by_factored_rms(min_dim_size_to_factor=2), jnp.zeros((2, 2))
        >>> print(tx.update(jnp.array([[1.0, 2.0], [2.0, 4.0]]), tx.init(params))[0].round(3))
        [[1. 1.]
         [1. 1.]]
    """
    check_one_of("scale_by_factored_rms", (LARGEST, LAST), dims=dims)
    dims_of = lambda shape: factored_dims(shape, dims, max(min_dim_size_to_factor, 1)) if factored else None

    def rule(g, s, t):
        weight = (t - step_offset) ** -decay_rate
        if max_decay is not None:
            weight = jnp.maximum(weight, 1 - max_decay)
        average = lambda new, old: (1 - weight) * old + weight * new
        square = abs2(g) + epsilon if add_epsilon else abs2(g)
        pair = dims_of(g.shape)
        if pair is None:
            v = average(square, s["v"])
            return g / jnp.sqrt(v if add_epsilon else jnp.maximum(v, epsilon)), {"v": v}
        row = average(jnp.mean(square, axis=pair[1]), s["v_row"])
        col = average(jnp.mean(square, axis=pair[0]), s["v_col"])
        if add_epsilon:
            return g * inverse_root(row, col, pair), {"v_row": row, "v_col": col}
        rows = row / jnp.maximum(row_mean(row, pair), epsilon**0.5)
        estimate = jnp.expand_dims(rows, pair[1]) * jnp.expand_dims(col, pair[0])
        return g / jnp.sqrt(jnp.maximum(estimate, epsilon)), {"v_row": row, "v_col": col}

    return leafwise(rule, whole=True, **factored_slots(dims_of, "v"))


@transform
def scale_by_came(
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    b3: Hyper = 0.9999,
    clipping_threshold: Hyper = 1.0,
    eps1: Hyper = 1e-30,
    eps2: Hyper = 1e-16,
) -> Any:
    r"""CAME's direction: an average of factored directions, over the root of how far each was from that average.

    .. math::
        \hat u = \frac{g}{\sqrt{F(|g|^2 + \epsilon_1)}}, \quad
        m \leftarrow \beta_1 m + (1-\beta_1) \frac{\hat u}{\max(1, \mathrm{rms}(\hat u) / d)}, \quad
        u = \frac{m}{\sqrt{F'(|\hat u - m|^2 + \epsilon_2)}}

    :math:`F` and :math:`F'` are moving averages with decays :math:`\beta_2` and :math:`\beta_3`, kept as row and column
    means over the last two dimensions. A leaf of fewer dimensions keeps :math:`F` whole, and its update is :math:`m`.

    Args:
        b1: decay :math:`\beta_1` of the average direction.
        b2: decay :math:`\beta_2` of the squares of the gradient.
        b3: decay :math:`\beta_3` of the squares of the instability.
        clipping_threshold: the largest root mean square :math:`d` of a direction.
        eps1: :math:`\epsilon_1`, in squared units of the gradient.
        eps2: :math:`\epsilon_2`, a pure number.

    Source: Luo et al., "CAME: Confidence-guided Adaptive Memory Efficient Optimization", 2023,
    https://arxiv.org/abs/2307.02047

    Example:
        >>> tx, params = scale_by_came(b1=0.5), jnp.zeros(2)
        >>> print(tx.update(jnp.array([3.0, -3.0]), tx.init(params))[0].round(3))
        [ 0.5 -0.5]
    """

    def rule(g, s):
        pair = factored_dims(g.shape)

        def scale(square, decay, name):
            """One over the root of the average of squares, and the new slots of that average."""
            if pair is None:
                v = ema(square, s[name], decay)
                return 1 / jnp.sqrt(v), {name: v}
            row = ema(jnp.mean(square, axis=pair[1]), s[f"{name}_row"], decay)
            col = ema(jnp.mean(square, axis=pair[0]), s[f"{name}_col"], decay)
            return inverse_root(row, col, pair), {f"{name}_row": row, f"{name}_col": col}

        inverse, v = scale(abs2(g) + eps1, b2, "v")
        u = g * inverse
        u = u * shrink(jnp.sqrt(mean(abs2(u))), clipping_threshold)
        mu = ema(u, s["mu"], b1)
        if pair is None:
            return mu, {"mu": mu, **v}
        inverse, instability = scale(abs2(u - mu) + eps2, b3, "instability")
        return mu * inverse, {"mu": mu, **v, **instability}

    slots = factored_slots(factored_dims, "v")
    instability = factored_slots(factored_dims, "instability")
    del instability["instability"]  # which a leaf that is not factored does without
    return leafwise(rule, whole=True, mu=like_param, **slots, **instability)


@transform
def scale_by_sm3(b1: Hyper = 0.9, b2: Hyper = 1.0, eps: Hyper = 1e-8) -> Any:
    r"""SM3's direction: the square of an element is bounded by what each of its rows, columns ... has seen.

    .. math::
        v_{ij\dots} = \min(a^0_i, a^1_j, \dots) + |g_{ij\dots}|^2, \quad
        a^0_i \leftarrow \max_{j\dots} v_{ij\dots}, \; \dots, \quad
        m \leftarrow \beta_1 m + (1-\beta_1) \frac{g}{\sqrt{v + \epsilon}}, \quad u = m

    where :math:`0 / 0 = 0`. A leaf has one vector for each dimension, ``axis_0`` to ``axis_5``, and a number
    ``single`` if it has none.

    Args:
        b1: decay :math:`\beta_1` of the average direction, in [0, 1).
        b2: with a number :math:`\beta_2` below 1, decay of the squares:
            :math:`v = \beta_2 \min(\dots) + (1-\beta_2) |g|^2`; 1 sums them.
        eps: :math:`\epsilon`, in squared units of the gradient.

    Raises:
        ValueError: for a leaf of more than six dimensions.

    Source: Anil et al., "Memory-Efficient Adaptive Optimization", 2019, https://arxiv.org/abs/1901.11150, SM3-II

    Example:
        >>> tx, params = scale_by_sm3(b1=0.5, eps=0.0), jnp.zeros((2, 2))
        >>> updates, state = tx.update(jnp.array([[3.0, 0.0], [0.0, -4.0]]), tx.init(params))
        >>> print(updates, state["scale_by_sm3"]["axis_0"])
        [[ 0.5  0. ]
         [ 0.  -0.5]] [ 9. 16.]
    """

    def rule(g, s):
        axes = [k for k in s if k != "mu"]
        bounds = [_along(s[k], dim, g.ndim) for dim, k in enumerate(axes)]
        weight = jnp.where(b2 < 1, 1 - b2, 1.0)
        v = b2 * functools.reduce(jnp.minimum, bounds) + weight * abs2(g)
        seen = v > 0
        u = jnp.where(seen, g / jnp.sqrt(jnp.where(seen, v, 1.0) + eps), jnp.zeros_like(g))
        mu = ema(u, s["mu"], b1)
        return mu, {"mu": mu} | {k: _largest_along(v, dim) for dim, k in enumerate(axes)}

    single = scalar(exists=lambda shape: not shape)
    return leafwise(rule, whole=True, mu=like_param, single=single, **{f"axis_{i}": _axis(i) for i in range(MOST)})


def _axis(dim: int) -> Slot:
    def exists(shape: tuple[int, ...]) -> bool:
        if len(shape) > MOST:
            raise ValueError(
                f"scale_by_sm3: a leaf of shape {list(shape)} has more than {MOST} dimensions; reshape it."
            )
        return dim < len(shape)

    return keep(dim)(real=True, exists=exists)


def _along(bound: jax.Array, dim: int, ndim: int) -> jax.Array:
    """A vector along dimension ``dim`` of an array of ``ndim`` dimensions; a number stays one."""
    return bound.reshape([-1 if i == dim else 1 for i in range(ndim)])


def _largest_along(v: jax.Array, dim: int) -> jax.Array:
    return jnp.max(v, axis=tuple(i for i in range(v.ndim) if i != dim), initial=0.0)


@transform
def scale_by_param_block_rms(min_scale: Hyper = 1e-3) -> Any:
    r"""Multiply each leaf by the root mean square of its parameter: :math:`u = g \max(\mathrm{rms}(p), s)`.

    Args:
        min_scale: the least factor :math:`s`, in the units of the parameters.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: see ``scale_by_factored_rms``.

    Example:
        >>> tx, params = scale_by_param_block_rms(), jnp.array([3.0, -3.0])
        >>> print(tx.update(jnp.array([1.0, 2.0]), tx.init(params), params)[0])
        [3. 6.]
    """
    return leafwise(lambda g, p: g * jnp.maximum(safe_sqrt(mean(abs2(p))), min_scale))


@transform
def scale_by_param_block_norm(min_scale: Hyper = 1e-3) -> Any:
    r"""Multiply each leaf by the norm of its parameter: :math:`u = g \max(\lVert p \rVert, s)`.

    Args:
        min_scale: the least factor :math:`s`, in the units of the parameters.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: You et al., "Large Batch Training of Convolutional Networks", 2017, https://arxiv.org/abs/1708.03888

    Example:
        >>> tx, params = scale_by_param_block_norm(), jnp.array([3.0, 4.0])
        >>> print(tx.update(jnp.array([1.0, 2.0]), tx.init(params), params)[0])
        [ 5. 10.]
    """
    return leafwise(lambda g, p: g * jnp.maximum(safe_sqrt(total(abs2(p))), min_scale))
