"""Muown (2026): Muon of columns' directions, Adam of their lengths."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core.matrices import matrixwise
from gradchain.core.ranges import Decay, Hyper, NonNegative, StaticPositiveInt
from gradchain.core.selection import matrices_in
from gradchain.core.slots import keep, like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, recipe, transform
from gradchain.core.types import Glob, Pair, Where
from gradchain.numerics.arithmetic import debias, ema, squarable
from gradchain.numerics.lengths import norm_along
from gradchain.numerics.roots import over_root
from gradchain.optimizers.matrix.with_fallback import or_adamw
from gradchain.transforms.orthogonalize import (
    PolarFactor,
    adjustment,
    check_adjust,
)
from gradchain.wrappers.groups import groups

_COLUMN = keep(-1)(real=True)
_SLOTS: dict[str, Any] = {"momentum": like_param} | dict.fromkeys(
    ("gain", "length", "first", "second"), _COLUMN
)


@transform(roles="adaptive momentum step")
def scale_by_muown(
    learning_rate: Hyper,
    b1: Decay = 0.95,
    gain_b1: Decay = 0.9,
    gain_b2: Decay = 0.95,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0.0,
    adjust: str | None = "rms",
    coefficients: str | Sequence[tuple[float, float, float]] = "quintic",
    steps: StaticPositiveInt | None = None,
    *,
    precision: str = "float32",
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> Body:
    r"""Muown's whole step, in lengths and directions of columns.

    A column is a length times a direction, each with its own optimizer.

    .. math::
        W_{\cdot j} = \gamma_j \frac{V_{\cdot j}}{\lVert V_{\cdot j} \rVert}, \quad V \leftarrow V -
        \eta\, s\, \mathrm{polar}(m), \quad \gamma \leftarrow (1 - \eta \lambda)\,(\gamma -
        \eta\, \mathrm{adam}(\nabla_\gamma))

    with :math:`m` the average of :math:`\nabla_V`. Columns are outputs. The matrix alone is kept as
    a parameter; :math:`V` follows from it and from :math:`\lVert V_{\cdot j} \rVert`. As weights
    depend on both in a way that is not linear, the learning rate is inside.

    Args:
        learning_rate: the rate :math:`\eta` of both, or its schedule.
        b1: decay of the average of :math:`\nabla_V`.
        gain_b1: decay of Adam's average.
        gain_b2: decay of Adam's mean square.
        eps: is added to the root of the mean square.
        weight_decay: the decay :math:`\lambda` of lengths.
        adjust: the factor :math:`s`; see ``orthogonalize``.
        coefficients: of the polynomials; see ``orthogonalize``.
        steps: the number of polynomials.
        precision: of products; see ``orthogonalize``.
        where: the matrices, as for ``orthogonalize``; other leaves pass as they are.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.

    Source: "Muown: Row-Norm Control for Muon Optimization", 2026, https://arxiv.org/abs/2605.10797

    Example:
        >>> tx, p = scale_by_muown(0.1, coefficients="svd"), jnp.array([[3.0, 0.0], [4.0, 1.0]])
        >>> print(tx.update(p, tx.init(p), p)[0].round(1))
        [[-0.1  0. ]
         [-0.1 -0.1]]
    """
    check_adjust(adjust)
    factor = PolarFactor(coefficients, steps, precision=precision)
    adam = Adam(learning_rate, gain_b1, gain_b2, eps, weight_decay)

    def rule(g, s, p, t, sides):
        start = _lengths(p)
        old = lambda name: jnp.where(t == 1, start, s[name][:, None, :])
        gain, length = old("gain"), old("length")
        unit = p / gain
        slope = jnp.sum((jnp.conj(unit) * g).real, -2, keepdims=True)
        m = ema((gain / length) * (g - unit * slope), s["momentum"], b1)
        o = factor(m)
        step = learning_rate * o * adjustment(adjust, m, o, sides)
        v = unit * length - step
        length = _lengths(v)
        new, moments = adam.moved(gain, slope, s, t, p.shape[-2])
        # A column that nothing moves stays, up to the last digit.
        is_moved = (new != gain) | jnp.any(step != 0, -2, keepdims=True)
        u = jnp.where(is_moved, new * (v / length) - p, jnp.zeros_like(p))
        columns = {"gain": new, "length": length} | moments
        return u, {"momentum": m} | {k: x[:, 0, :] for k, x in columns.items()}

    return matrixwise(rule, matrices_in(where), fold, decomposes=factor.decomposes, **_SLOTS)


def _lengths(v: jax.Array) -> jax.Array:
    """The lengths of columns, never 0."""
    return jnp.maximum(norm_along(v, -2), 1e-12)


@dataclass(frozen=True)
class Adam:
    """Adam of the lengths of columns; see ``scale_by_muown``."""

    learning_rate: Any
    b1: Any
    b2: Any
    eps: Any
    weight_decay: Any

    def moved(
        self, gain: jax.Array, slope: jax.Array, s: dict[str, jax.Array], t: jax.Array, rows: int
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Lengths after a step, and the averages."""
        side = math.sqrt(rows)  # the slope is in the range of g again
        slope = squarable(slope / side)
        first = ema(slope, s["first"][:, None, :], self.b1)
        second = ema(jnp.square(slope), s["second"][:, None, :], self.b2)
        mean, square = debias(first, self.b1, t), debias(second, self.b2, t)
        pull = over_root(mean, square, self.eps / side)
        shrunk = 1 - self.learning_rate * self.weight_decay
        new = shrunk * (gain - self.learning_rate * pull)
        return new, {"first": first, "second": second}


@recipe
def muown(
    learning_rate: Hyper,
    b1: Decay = 0.95,
    gain_b1: Decay = 0.9,
    gain_b2: Decay = 0.95,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegative = 0.0,
    adjust: str | None = "rms",
    coefficients: str | Sequence[tuple[float, float, float]] = "quintic",
    steps: StaticPositiveInt | None = None,
    *,
    precision: str = "float32",
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
    fallback: GradientTransformation | Pair | None = None,
) -> GradientTransformation:
    """Muown for hidden matrices, another optimizer for the rest.

    Args:
        learning_rate: the rate, or its schedule: with ``adjust="rms"`` that of AdamW.
        b1: decay of the average of directions.
        gain_b1: decay of the average of lengths.
        gain_b2: decay of their mean square.
        eps: is added to its root.
        weight_decay: the decay of lengths, multiplied by the learning rate.
        adjust: the factor by shape; see ``orthogonalize``.
        coefficients: of the polynomials; see ``orthogonalize``.
        steps: the number of polynomials.
        precision: of products; see ``orthogonalize``.
        where: the matrices; by default ``weight_matrices(embeddings=False)``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.
        fallback: the optimizer of all other leaves; by default ``adamw`` with the same learning
            rate and decay.

    Source: see ``scale_by_muown``.

    Example:
        >>> import gradchain as gc
        >>> tx = muown(1e-3, weight_decay=0.1)  # in the place of adamw
    """
    step = scale_by_muown(
        learning_rate,
        b1,
        gain_b1,
        gain_b2,
        eps,
        weight_decay,
        adjust,
        coefficients,
        steps,
        precision=precision,
        where="*",
        fold=fold,
    )
    rest = or_adamw(fallback, learning_rate, weight_decay)
    return groups([(matrices_in(where), step.named("matrices"))], default=rest)
