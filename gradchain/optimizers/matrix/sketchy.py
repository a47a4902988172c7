"""Sketchy (Feinberg et al., 2023): Shampoo with sketched factors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core.matrices import matrixwise
from gradchain.core.ranges import Decay, Fraction, Hyper, NonNegative, StaticPositiveInt
from gradchain.core.refresh import Parts, Refresh, every
from gradchain.core.selection import matrices_in
from gradchain.core.slots import like_param, shaped
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, recipe, transform
from gradchain.core.types import Glob, Pair, Where
from gradchain.numerics import decompositions, kronecker
from gradchain.numerics.arithmetic import debias, ema, in_turn
from gradchain.numerics.polar import adjoint, multiply
from gradchain.numerics.roots import root
from gradchain.optimizers.matrix.with_fallback import with_fallback

_SIDES = {"row": -2, "column": -1}


@transform(roles="adaptive momentum")
def scale_by_sketchy(
    rank: StaticPositiveInt = 128,
    b1: Decay = 0.9,
    b2: Fraction = 0.999,
    ridge: NonNegative = 1e-7,
    refresh: Refresh = every(1),
    *,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> Body:
    r"""Sketchy's direction: Shampoo's, from sketches of factors.

    .. math::
        \beta_2\, B \Lambda B^* + (1-\beta_2)\, G G^* = U S U^*, \quad B \leftarrow U_{\le r}, \quad
        \Lambda \leftarrow S_{\le r} - s_{r+1}, \quad \rho \leftarrow \beta_2 \rho + s_{r+1}

    The factor of rows is :math:`L = B \Lambda B^* + \rho I` (frequent directions), that of columns
    :math:`R` likewise from :math:`G^* G`, and :math:`u = L^{-1/4} M R^{-1/4}` for the average
    gradient :math:`M`. All are corrected for their start. A matrix of :math:`m` rows and :math:`n`
    columns keeps :math:`mn + (m + n + 2)\, r` numbers, and three single ones.

    Args:
        rank: the columns :math:`r` of a sketch; no more than the side.
        b1: decay of the average gradient; with the number 0 there is none.
        b2: decay :math:`\beta_2` of the factors; 1 for their sum.
        ridge: is added to the diagonals, in units of the largest eigenvalue.
        refresh: when the sketches take in a gradient; in other steps they stay.
        where: the leaves that are matrices, as for ``orthogonalize``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.

    Source: Feinberg et al., "Sketchy: Memory-efficient Adaptive Regularization with Frequent
    Directions", 2023, https://arxiv.org/abs/2302.03764

    Example:
        >>> tx, g = scale_by_sketchy(rank=2), jnp.array([[3.0, 0.0], [0.0, -0.3]])
        >>> print(tx.update(g, tx.init(g))[0].round(3))
        [[ 1.  0.]
         [ 0. -1.]]
    """
    sketch = Sketch(b2)
    has_momentum = not (isinstance(b1, int | float) and b1 == 0)

    def rule(g, s, t, count, place):
        g = kronecker.squarable_matrix(g)
        old = {k: v for k, v in s.items() if k != "mu"}
        unborn = _is_empty(s) & jnp.any(g != 0, (-2, -1))
        made = refresh.apply(sketch.of, old | {"x": g}, old, count, place, unborn=unborn)
        mu = ema(g, s["mu"], b1) if has_momentum else g
        u = _whitened(debias(mu, b1, t) if has_momentum else g, made, "row", ridge)
        u = adjoint(_whitened(adjoint(u), made, "column", ridge))
        return u, made | ({"mu": mu} if has_momentum else {})

    slots: dict[str, Any] = {"mu": like_param} if has_momentum else {}
    for side, dim in _SIDES.items():
        length = lambda shape, dim=dim: min(rank, shape[dim])
        slots[f"{side}_basis"] = shaped(
            lambda shape, dim=dim, length=length: (shape[dim], length(shape))
        )
        slots[f"{side}_roots"] = shaped(lambda shape, length=length: (length(shape),))(real=True)
        slots[f"{side}_tail"] = shaped(lambda shape: ())(real=True)
    slots["share"] = shaped(lambda shape: ())(real=True)
    slots |= refresh.slots
    return matrixwise(rule, matrices_in(where), fold, decomposes=True, **slots)


@dataclass(frozen=True)
class Sketch:
    """How sketches take in gradients; see ``scale_by_sketchy``.

    Of eigenvalues their square roots are kept, which are in the units of gradients.
    """

    decay: Any

    def of(self, parts: Parts) -> Parts:
        """Sketches of both sides, and their share of gradients."""
        is_sum = isinstance(self.decay, int | float) and self.decay == 1
        new = 1.0 if is_sum else 1 - self.decay
        share = jnp.ones_like(parts["share"])
        made = {"share": share if is_sum else ema(share, parts["share"], self.decay)}
        last = None
        for side in _SIDES:
            x = parts["x"] if side == "row" else adjoint(parts["x"])
            x = x if last is None else in_turn(x, last)
            basis, roots = parts[f"{side}_basis"], parts[f"{side}_roots"]
            held = root(self.decay) * basis * roots[:, None, :]
            both = jnp.concatenate([held, root(new) * x], -1)
            left, values, _ = decompositions.svd(both)
            last, rank = left, roots.shape[-1]
            most = values[:, :rank]
            cut = values[:, rank] if values.shape[-1] > rank else jnp.zeros_like(values[:, 0])
            rest = root(most - cut[:, None]) * root(most + cut[:, None])
            tail = jnp.hypot(root(self.decay) * parts[f"{side}_tail"], cut)
            made |= {
                f"{side}_basis": left[..., :rank],
                f"{side}_roots": rest,
                f"{side}_tail": tail,
            }
        return made


def _is_empty(parts: Parts) -> jax.Array:
    """Which sketches hold no gradient yet."""
    return (parts["row_roots"][:, 0] == 0) & (parts["row_tail"] == 0)


def _whitened(
    x: jax.Array,
    parts: Parts,
    side: str,
    ridge: float | jax.Array,
) -> jax.Array:
    """Matrices, whitened from the left."""
    basis, tail = parts[f"{side}_basis"], parts[f"{side}_tail"][:, None]
    roots = jnp.concatenate([jnp.hypot(parts[f"{side}_roots"], tail), tail], -1)
    roots = roots / root(jnp.maximum(parts["share"], 1e-12))[:, None]
    roots = jnp.hypot(roots, root(ridge) * jnp.max(roots, -1, keepdims=True))
    powers = jnp.where(roots > 0, jnp.where(roots > 0, roots, 1.0) ** -0.5, 0.0)
    low = multiply(adjoint(basis), x)
    inside = multiply(basis, powers[:, :-1, None] * low)
    return inside + powers[:, -1:, None] * (x - multiply(basis, low))


@recipe
def sketchy(
    learning_rate: Hyper,
    rank: StaticPositiveInt = 128,
    b1: Decay = 0.9,
    b2: Fraction = 0.999,
    ridge: NonNegative = 1e-7,
    weight_decay: NonNegative = 0.0,
    refresh: Refresh = every(1),
    *,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
    fallback: GradientTransformation | Pair | None = None,
) -> GradientTransformation:
    """Sketchy for hidden matrices, another optimizer for the rest.

    Matrices go through ``scale_by_sketchy``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule; 0.03 in the table of starting rates.
        rank: the columns of a sketch.
        b1: decay of the average gradient.
        b2: decay of the factors; 1 for their sum.
        ridge: relative term on the diagonals.
        weight_decay: the decay of matrices, multiplied by the learning rate.
        refresh: when the sketches take in a gradient.
        where: the matrices; by default ``weight_matrices(embeddings=False)``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.
        fallback: the optimizer of all other leaves; by default ``adamw`` with the same learning
            rate and decay.

    Source: see ``scale_by_sketchy``.

    Example:
        >>> import gradchain as gc
        >>> tx = sketchy(1e-3, rank=64, refresh=gc.refresh.every(10))
    """
    direction = scale_by_sketchy(rank, b1, b2, ridge, refresh, where="*", fold=fold)
    return with_fallback(direction, learning_rate, weight_decay, where, fallback)
