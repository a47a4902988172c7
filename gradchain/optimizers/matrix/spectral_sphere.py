"""Spectral Sphere (Xie et al., 2026): steps along a sphere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.matrices import matrixwise
from gradchain.core.ranges import Decay, Hyper, Positive, StaticPositiveInt
from gradchain.core.selection import matrices_in
from gradchain.core.slots import keep, like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, recipe, transform
from gradchain.core.types import Glob, Pair, Where
from gradchain.numerics.arithmetic import ema, in_turn, safe_divide
from gradchain.numerics.lengths import length_along
from gradchain.numerics.polar import adjoint, multiply, unit_length
from gradchain.optimizers.matrix.with_fallback import or_adamw
from gradchain.transforms.orthogonalize import PolarFactor, adjustment, check_adjust
from gradchain.wrappers.groups import groups


@transform(roles="adaptive momentum step")
def scale_by_spectral_sphere(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    radius: Positive | None = 1.0,
    nesterov: bool = True,
    adjust: str | None = "dion",
    coefficients: str | Sequence[tuple[float, float, float]] = "polar_express",
    steps: StaticPositiveInt | None = None,
    *,
    halvings: StaticPositiveInt = 8,
    power_steps: StaticPositiveInt = 10,
    precision: str = "float32",
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> Body:
    r"""Step along a sphere of the spectral norm.

    .. math::
        W \leftarrow \frac{R}{\sigma_1(W)} W - \eta\, s\, \Phi, \quad \Phi = \mathrm{polar}(\hat m +
        \lambda\, v_1 w_1^*) \ \text{with}\ \langle v_1 w_1^*, \Phi \rangle = 0

    for :math:`R = r \sqrt{n_\mathrm{out} / n_\mathrm{in}}`, the largest singular value
    :math:`\sigma_1` of the weights and its vectors, and the average gradient :math:`\hat m`, of
    length 1: :math:`-\Phi` descends as steeply as a matrix of spectral norm 1 can that leaves
    :math:`\sigma_1` as it is. :math:`\lambda` is found by halving an interval. Where the polar
    factor jumps between its ends, :math:`\Phi` is their mean that is tangent.

    The vectors come from the power method, which goes on from those of the step before. A step
    costs ``halvings + 2`` polar factors, where Muon has one.

    Args:
        learning_rate: the rate :math:`\eta`, or its schedule.
        b1: decay of the average gradient.
        radius: the radius :math:`r` for outputs of the size of inputs; ``None`` leaves the length
            of the weights free.
        nesterov: whether to look ahead, as in ``scale_by_muon``.
        adjust: the factor :math:`s`; see ``orthogonalize``.
        coefficients: of the polynomials; see ``orthogonalize``.
        steps: the number of polynomials.
        halvings: of the interval of :math:`\lambda`.
        power_steps: products with the weights and their adjoint in each step.
        precision: of products; see ``orthogonalize``.
        where: the matrices, as for ``orthogonalize``; other leaves pass as they are.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.

    Source: Xie et al., "Controlled LLM Training on Spectral Sphere", 2026,
    https://arxiv.org/abs/2601.08393

    Example:
        >>> tx = scale_by_spectral_sphere(0.1, coefficients="svd")
        >>> p, g = jnp.array([[2.0, 0.0], [0.0, 1.0]]), jnp.array([[1.0, 0.0], [0.0, 1.0]])
        >>> moved = p + tx.update(g, tx.init(p), p)[0]
        >>> [f"{x:.2f}" for x in jnp.diag(moved)]
        ['1.00', '0.40']
    """
    check_adjust(adjust)
    factor = PolarFactor(coefficients, steps, precision=precision)

    def rule(g, s, p, sides):
        m = ema(g, s["momentum"], b1)
        mean = ema(g, m, b1) if nesterov else m
        unit = unit_length(p)
        left, right = top_vectors(unit, s["vector"], power_steps)
        theta = multiply(left, adjoint(right))
        o = tangent_polar(factor, unit_length(mean), theta, halvings)
        u = -learning_rate * o * adjustment(adjust, mean, o, sides)
        if radius is not None:
            size = length_along(p, (-2, -1)).number * _along(theta, unit)
            goal = radius * adjustment("dion", p, p, sides)
            u = u + jnp.where(size > 0, safe_divide(goal, size) - 1, 0.0) * p
        return u, {"momentum": m, "vector": right[..., 0]}

    return matrixwise(
        rule,
        matrices_in(where),
        fold,
        decomposes=factor.decomposes,
        momentum=like_param,
        vector=keep(-1),
    )


def top_vectors(x: jax.Array, last: jax.Array, steps: int) -> tuple[jax.Array, jax.Array]:
    """The first singular vectors, by the power method.

    Args:
        x: a batch of matrices of length 1.
        last: where to begin, ``(k, n)``; for zeros at the longest row.
        steps: products with the matrices and their adjoints.

    Returns:
        The left and the right ones as columns; of a matrix of zeros zeros.
    """
    longest = jnp.argmax(jnp.sum(jnp.abs(x), -1), -1)
    row = adjoint(jnp.take_along_axis(x, longest[:, None, None], -2))
    last = last[..., None]
    right = jnp.where(jnp.all(last == 0, -2, keepdims=True), unit_length(row), last)
    turn = lambda _, y: unit_length(multiply(adjoint(x), unit_length(multiply(x, y))))
    right = lax.fori_loop(0, steps, turn, right)
    return unit_length(multiply(x, right)), right


def tangent_polar(factor: PolarFactor, x: jax.Array, normal: jax.Array, halvings: int):
    """A polar factor that is orthogonal to a normal.

    It is that of ``x`` and a multiple of the normal.

    Args:
        factor: finds polar factors.
        x: a batch of matrices of length 1.
        normal: matrices of rank 1 and length 1.
        halvings: of the interval of the multiple.
    """
    most = 2 * math.sqrt(min(x.shape[-2:]))  # there the normal outweighs all singular values
    ends = (-most * jnp.ones_like(x.real[:, :1, :1]), most * jnp.ones_like(x.real[:, :1, :1]))
    at = lambda multiple: factor(x + multiple.astype(x.dtype) * normal)

    def turn(_: int, ends: tuple) -> tuple:
        low, high = ends
        middle = (low + high) / 2
        is_low = _along(normal, at(middle)) < 0
        return jnp.where(is_low, middle, low), jnp.where(is_low, high, middle)

    low, high = lax.fori_loop(0, halvings, turn, ends)
    below = at(low)
    above = at(in_turn(high, below) if factor.decomposes else high)
    left, right = _along(normal, below), _along(normal, above)
    return below + jnp.clip(safe_divide(-left, right - left), 0.0, 1.0) * (above - below)


def _along(normal: jax.Array, x: jax.Array) -> jax.Array:
    """The inner products of two batches, ``(k, 1, 1)``."""
    return jnp.sum((jnp.conj(normal) * x).real, (-2, -1), keepdims=True)


@recipe
def spectral_sphere(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    radius: Positive | None = 1.0,
    nesterov: bool = True,
    adjust: str | None = "dion",
    coefficients: str | Sequence[tuple[float, float, float]] = "polar_express",
    steps: StaticPositiveInt | None = None,
    *,
    halvings: StaticPositiveInt = 8,
    power_steps: StaticPositiveInt = 10,
    precision: str = "float32",
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
    fallback: GradientTransformation | Pair | None = None,
) -> GradientTransformation:
    """Hidden matrices on spheres of the spectral norm.

    Weights and updates both have the size at which activations keep theirs, whatever the width, so
    that matrices need no weight decay. All other leaves go to ``fallback``.

    Args:
        learning_rate: the rate, or its schedule.
        b1: decay of the average gradient.
        radius: of the spheres; see ``scale_by_spectral_sphere``.
        nesterov: whether to look ahead.
        adjust: the factor by shape; see ``orthogonalize``.
        coefficients: of the polynomials; see ``orthogonalize``.
        steps: the number of polynomials.
        halvings: of the interval of the multiplier.
        power_steps: of the power method.
        precision: of products; see ``orthogonalize``.
        where: the matrices; by default ``weight_matrices(embeddings=False)``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.
        fallback: the optimizer of all other leaves; by default ``adamw`` with the same learning
            rate, without decay.

    Source: see ``scale_by_spectral_sphere``.

    Example:
        >>> import gradchain as gc
        >>> tx = spectral_sphere(0.01, fallback=gc.adamw(3e-4))
    """
    step = scale_by_spectral_sphere(
        learning_rate,
        b1,
        radius,
        nesterov,
        adjust,
        coefficients,
        steps,
        halvings=halvings,
        power_steps=power_steps,
        precision=precision,
        where="*",
        fold=fold,
    )
    rest = or_adamw(fallback, learning_rate, 0.0)
    return groups([(matrices_in(where), step.named("matrices"))], default=rest)
