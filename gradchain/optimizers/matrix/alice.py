"""Alice (Gong et al., 2025): Adam in a subspace."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from gradchain.core.matrices import matrixwise
from gradchain.core.ranges import Decay, Hyper, NonNegative, StaticPositiveInt
from gradchain.core.refresh import Parts, Refresh, at_start, every
from gradchain.core.selection import matrices_in
from gradchain.core.slots import Slot, shaped
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, recipe, transform
from gradchain.core.types import Glob, Pair, Shape, Where
from gradchain.numerics import decompositions, kronecker
from gradchain.numerics.arithmetic import abs2, debias, ema, safe_divide
from gradchain.numerics.lengths import bounded_growth
from gradchain.numerics.polar import adjoint, multiply, unit_length
from gradchain.numerics.roots import over_root, root
from gradchain.optimizers.matrix.psgd_kron import probe
from gradchain.optimizers.matrix.with_fallback import with_fallback


@transform(roles="adaptive momentum")
def scale_by_alice(
    rank: StaticPositiveInt = 256,
    leading: StaticPositiveInt = 40,
    b1: Decay = 0.9,
    b2: Decay = 0.9,
    b3: Decay = 0.999,
    outside: NonNegative = 0.4,
    refresh: Refresh = every(200),
    *,
    max_growth: Annotated[Hyper, "(0, inf]"] = 1.01,
    eps: NonNegative = 1e-8,
    seed: int = 0,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> Body:
    r"""Alice's direction: Adam in a subspace, columns scaled outside.

    .. math::
        R = U^* G, \quad u = U\, \mathrm{Adam}(R) + \alpha \sqrt{m - r}\, \frac{G - U R}{\sqrt p},
        \quad p_j \leftarrow \beta_1 p_j + (1-\beta_1) \sum_i |G - U R|_{ij}^2

    for a matrix of :math:`m` rows, which are its shorter side, and a basis :math:`U` of :math:`r`
    columns. At the first step these are singular vectors of the gradient. Later ``leading`` of them
    come from a power iteration with :math:`\beta_3 U Q U^* + (1-\beta_3)\, G G^*`, where :math:`Q`
    is the average of :math:`R R^*`, and the others are drawn at random from what :math:`U` has left
    out; :math:`Q` and the first moment go over to the new basis. All averages are corrected for
    their start. The norm of the part outside grows by no more than ``max_growth`` in a step.

    Args:
        rank: :math:`r`; no more than the shorter side.
        leading: how many columns are found, not drawn.
        b1: decay :math:`\beta_1` of the first moment, and of :math:`p`.
        b2: decay of the second moment.
        b3: decay :math:`\beta_3` of :math:`Q`; 0 for the latest gradient alone.
        outside: the factor :math:`\alpha` of what is outside the subspace.
        refresh: when :math:`U` is found anew.
        max_growth: the largest growth of that part's norm; ``inf`` for no bound.
        eps: Adam's term against division by zero.
        seed: of the draws; matrices of equal shape have the same.
        where: the leaves that are matrices, as for ``orthogonalize``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.

    Source: Gong, Scetbon, Ma & Meeds, "Towards Efficient Optimizer Design for LLM via Structured
    Fisher Approximation with a Low-Rank Extension", 2025, https://arxiv.org/abs/2502.07752

    Example:
        >>> tx, g = scale_by_alice(rank=1, outside=0.1), jnp.array([[3.0, 0.0], [0.0, -0.3]])
        >>> print(tx.update(g, tx.init(g))[0].round(3))
        [[ 1.   0. ]
         [ 0.  -0.1]]
    """
    first = functools.partial(_first_basis, rank)

    def rule(g, s, t, count, place):
        x = _wide(kronecker.squarable_matrix(g))
        kept = {k: s[k] for k in ("basis", "gram", "mu", *refresh.slots)}
        kept |= at_start(first, {"x": x}, {"basis": s["basis"]}, count)
        renewal = Renewal(leading, b3, seed, count)
        made = refresh.apply(renewal.of, kept | {"x": x}, kept, count, place)
        basis = made["basis"]
        low = multiply(adjoint(basis), x)
        made["gram"] = ema(kronecker.gram_of_rows(low), made["gram"], b3)
        mu = made["mu"] = ema(low, made["mu"], b1)
        nu = made["nu"] = ema(abs2(low), s["nu"], b2)
        u = multiply(basis, over_root(debias(mu, b1, t), debias(nu, b2, t), eps))
        rest = _outside(x, multiply(basis, low))
        made["rest"] = ema(jnp.sum(abs2(rest), -2), s["rest"], b1)
        rest = safe_divide(rest, root(debias(made["rest"], b1, t))[:, None, :])
        rest = math.sqrt(x.shape[-2] - basis.shape[-1]) * rest
        rest, made["length"] = bounded_growth(rest, s["length"], max_growth)
        u = u + outside * rest
        return (u if _is_wide(g.shape) else adjoint(u)), made

    slots: dict[str, Any] = _slots(rank) | refresh.slots
    return matrixwise(rule, matrices_in(where), fold, decomposes=True, **slots)


def _slots(rank: int) -> dict[str, Any]:
    """The slots of a matrix; the shorter side comes first."""

    def of(shape_of: Callable[[int, int, int], Shape]) -> Slot:
        def shape(matrix: Shape) -> Shape:
            short, long = sorted(matrix[-2:])
            return shape_of(short, long, min(rank, short))

        return shaped(shape)

    moment = of(lambda short, long, r: (r, long))
    return {
        "basis": of(lambda short, long, r: (short, r)),
        "gram": of(lambda short, long, r: (r, r)),
        "mu": moment,
        "nu": moment(real=True),
        "rest": of(lambda short, long, r: (long,))(real=True),
        "length": of(lambda short, long, r: ())(real=True),
    }


def _is_wide(shape: Shape) -> bool:
    return shape[-2] <= shape[-1]


def _wide(x: jax.Array) -> jax.Array:
    """Matrices whose rows are the shorter side."""
    return x if _is_wide(x.shape) else adjoint(x)


def _first_basis(rank: int, parts: Parts) -> Parts:
    """The leading left singular vectors."""
    left, _, _ = decompositions.svd(unit_length(parts["x"]))
    return {"basis": left[..., :rank]}


def _outside(x: jax.Array, inside: jax.Array) -> jax.Array:
    """The part outside of a subspace, without rounding errors."""
    rest = x - inside
    square, whole = (jnp.sum(abs2(y), -2, keepdims=True) for y in (rest, x))
    least = x.shape[-2] * (4 * float(jnp.finfo(x.dtype).eps)) ** 2
    return jnp.where(square > least * whole, rest, 0.0)


@dataclass(frozen=True)
class Renewal:
    """How the basis is found anew; see ``scale_by_alice``."""

    leading: int
    decay: Any
    seed: int
    count: jax.Array

    def of(self, parts: Parts) -> Parts:
        """A basis near the old one, and what follows it.

        At the first step the basis is fresh already.
        """
        x, old, gram = parts["x"], parts["basis"], parts["gram"]

        def times(y: jax.Array) -> jax.Array:
            kept = multiply(old, multiply(gram, multiply(adjoint(old), y)))
            return ema(multiply(x, multiply(adjoint(x), y)), kept, self.decay)

        new, _ = decompositions.qr(times(old))
        _, turn = decompositions.eigh(multiply(adjoint(new), times(new)))
        new = self.switched(multiply(new, jnp.flip(turn, -1)))
        new = jnp.where(self.count == 0, old, new)
        change = multiply(adjoint(new), old)
        gram = multiply(multiply(change, gram), adjoint(change))
        return {"basis": new, "gram": gram, "mu": multiply(change, parts["mu"])}

    def switched(self, basis: jax.Array) -> jax.Array:
        """The leading columns, and others drawn outside of all."""
        count, side, rank = basis.shape
        drawn = rank - self.leading
        if drawn <= 0:
            return basis
        noise = probe(self.seed, self.count, (side, drawn), basis.dtype)
        noise = jnp.broadcast_to(noise, (count, side, drawn))
        noise = noise - multiply(basis, multiply(adjoint(basis), noise))
        return decompositions.qr(jnp.concatenate([basis[..., : self.leading], noise], -1))[0]


@recipe
def alice(
    learning_rate: Hyper,
    rank: StaticPositiveInt = 256,
    leading: StaticPositiveInt = 40,
    b1: Decay = 0.9,
    b2: Decay = 0.9,
    b3: Decay = 0.999,
    outside: NonNegative = 0.4,
    weight_decay: NonNegative = 0.0,
    refresh: Refresh = every(200),
    *,
    max_growth: Annotated[Hyper, "(0, inf]"] = 1.01,
    eps: NonNegative = 1e-8,
    seed: int = 0,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
    fallback: GradientTransformation | Pair | None = None,
) -> GradientTransformation:
    """Alice for hidden matrices, another optimizer for the rest.

    Matrices go through ``scale_by_alice``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule; that of the authors is 0.006.
        rank: of the subspace.
        leading: how many of its columns are found, not drawn.
        b1: decay of the first moment.
        b2: decay of the second moment.
        b3: decay of the average in the subspace.
        outside: the factor of what is outside.
        weight_decay: the decay of matrices, multiplied by the learning rate.
        refresh: when the basis is found anew.
        max_growth: the largest growth of the norm outside.
        eps: term against division by zero.
        seed: of the draws.
        where: the matrices; by default ``weight_matrices(embeddings=False)``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.
        fallback: the optimizer of all other leaves; by default ``adamw`` with the same learning
            rate and decay.

    Source: see ``scale_by_alice``.

    Example:
        >>> import gradchain as gc
        >>> tx = alice(6e-3, rank=128, refresh=gc.refresh.every(200, staggered=True))
    """
    direction = scale_by_alice(
        rank,
        leading,
        b1,
        b2,
        b3,
        outside,
        refresh,
        max_growth=max_growth,
        eps=eps,
        seed=seed,
        where="*",
        fold=fold,
    )
    return with_fallback(direction, learning_rate, weight_decay, where, fallback)
