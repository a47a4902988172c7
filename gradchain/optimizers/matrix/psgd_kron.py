"""PSGD with Kronecker factors (Li, 2015; 2024): whitened momentum."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core.errors import check_one_of
from gradchain.core.matrices import matrixwise
from gradchain.core.ranges import (
    Decay,
    Fraction,
    Hyper,
    Limit,
    NonNegative,
    Positive,
    StaticPositiveInt,
)
from gradchain.core.refresh import Parts, Refresh, fading
from gradchain.core.selection import matrices_in
from gradchain.core.slots import like_param, shaped
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, recipe, transform
from gradchain.core.types import Glob, Pair, Params, Shape, Tree, Where
from gradchain.curvature.products import hessian_vector_product
from gradchain.numerics.arithmetic import debias, ema
from gradchain.optimizers.matrix import kron_factors as factors
from gradchain.optimizers.matrix.with_fallback import with_fallback
from gradchain.tree.mapping import map_leaves
from gradchain.tree.norms import all_finite
from gradchain.tree.random import normal_like, step_key

#: What preconditioners of PSGD are fitted to.
FITS = ("momentum", "gradient", "hessian")
#: The damping of the authors: the root of float32's precision.
DAMPING = 2.0**-11.5
#: How often factors act on an update; see ``scale_by_psgd_kron``.
APPLICATIONS = {"twice": factors.precondition, "once": factors.act}


@transform(roles="adaptive momentum")
def scale_by_psgd_kron(
    b1: Decay = 0.9,
    refresh: Refresh = fading(),
    preconditioner_rate: Fraction = 0.1,
    memory_save_mode: str | None = None,
    max_size_triangular: StaticPositiveInt = 8192,
    *,
    form: str = "triangular",
    fit_to: str = "momentum",
    apply: str = "twice",
    init_scale: Positive | None = None,
    max_rms: Limit = 1.1,
    damping: NonNegative = DAMPING,
    bound_decay: Decay = 0.9,
    seed: int = 0,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
) -> Body:
    r"""PSGD's direction: momentum, whitened by two Kronecker factors.

    .. math::
        m \leftarrow \beta m + (1-\beta) g, \quad
        u = Q_r^* Q_r\, \hat m\, Q_c^T \bar Q_c, \quad
        Q_i \leftarrow Q_i - \mu\, \frac{\mathrm{triu}(A A^* - B B^*)}
        {\lVert A A^* + B B^* \rVert} Q_i

    for :math:`A = Q_r \hat m Q_c^T` and :math:`B = Q_r^{-*} V \bar Q_c^{-1}`, where :math:`V` is
    normal noise: in the mean the two are equal when updates have no correlations and the mean
    square 1. Each matrix of :math:`m` rows and :math:`n` columns keeps :math:`mn` numbers of
    momentum, and :math:`m(m+1)/2 + n(n+1)/2` of factors.

    Other forms have no inverse. For :math:`Y` preconditioned, each factor follows :math:`Y Y^* - n
    I`, divided by a bound of its norm: ``"quad"`` keeps symmetric factors, :math:`(1 - \mu E / 2) Q
    (1 - \mu E / 2)`; ``"procrustes"`` takes :math:`Q - \mu E Q` and turns it towards its symmetric
    factor, which keeps whole squares.

    With ``fit_to="hessian"`` the factors are fitted to pairs of normal noise :math:`V` and the
    Hessian's product with it, from ``update(..., value_fn=loss)``, in the place of :math:`\hat m`;
    then the preconditioner comes near the inverse of the Hessian, with its eigenvalues taken
    positive. ``update(..., key=key)`` draws :math:`V` from a key of your own. A product costs about
    two gradients, in the steps of ``refresh`` alone.

    A gradient of zero changes no factor, nor does a product that is not finite.

    Args:
        b1: the decay :math:`\beta` of the average, corrected for its start.
        refresh: when factors are fitted; by default at each of the first 500 steps, then with a
            probability that falls to 0.03.
        preconditioner_rate: the rate :math:`\mu` of a fit.
        memory_save_mode: ``None`` for two squares; ``"one_diag"`` for a diagonal in the place of
            the larger, ``"smart_one_diag"`` only if one is larger, ``"all_diag"`` for two
            diagonals.
        max_size_triangular: a longer side has a diagonal.
        form: ``"triangular"``, ``"quad"`` or ``"procrustes"``.
        fit_to: whether factors are fitted to the ``"momentum"``, to the ``"gradient"`` or to
            products with the ``"hessian"``.
        apply: whether factors act ``"twice"``, as in the formula, or ``"once"``, :math:`Q_r \hat m
            Q_c^T`: by the root of the preconditioner, as QSGD does with ``"procrustes"``. A
            gradient of 100 times the size then makes an update of 10 times, up to ``max_rms``.
        init_scale: of the first preconditioner, a multiple of the identity; by default one over
            the root mean square of the first gradient, or product, that is not zero.
        max_rms: the largest root mean square of an update.
        damping: the share of noise in what factors are fitted to.
        bound_decay: the decay of the bounds of other forms than ``"triangular"``.
        seed: of the noise; matrices of equal shape have the same.
        where: the leaves that are matrices, as for ``orthogonalize``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.

    Raises:
        ValueError: if ``form``, ``fit_to``, ``apply`` or ``memory_save_mode`` is not known.
        TypeError: if ``update`` is called without the function that ``"hessian"`` needs.

    Source: Li, "Preconditioned Stochastic Gradient Descent", 2015,
    https://arxiv.org/abs/1512.04202; Li, "Stochastic Hessian Fittings with Lie Groups", 2024,
    https://arxiv.org/abs/2402.11858; QSGD: HeavyBall, 2026,
    https://github.com/HomebrewML/HeavyBall

    Example:
        >>> tx = scale_by_psgd_kron()
        >>> state = tx.init(jnp.zeros((8, 4)))["scale_by_psgd_kron"]
        >>> state["rows"].shape, state["columns"].shape  # triangles
        ((36,), (10,))
    """
    _check(form, fit_to, apply, memory_save_mode)
    layout = factors.Layout(form, memory_save_mode, max_size_triangular)
    fit = Fit(layout, preconditioner_rate, bound_decay, damping, init_scale, seed)
    preconditioned = APPLICATIONS[apply]

    def rule(g, s, t, count, place, beside):
        mu = ema(g, s["mu"], b1)
        mean = debias(mu, b1, t)
        old = {name: value for name, value in s.items() if name != "mu"}
        parts = beside or {"x": mean if fit_to == "momentum" else g}
        fresh = lambda parts: fit.of(parts, count)
        unborn = _is_unborn(old, parts["x"])
        new = refresh.apply(fresh, parts | old, old, count, place, unborn=unborn)
        q = layout.open(new, g.shape[1:])
        return _bounded(lambda x: preconditioned(q, x), mean, max_rms), {"mu": mu} | new

    def pairs(p, count, place, value_fn, key=None):
        key, none = step_key(seed, count, key), map_leaves(jnp.zeros_like, p)
        fresh = lambda parts: hessian_pair(value_fn, parts["p"], key)
        old = {"probe": none, "x": none}
        return refresh.apply_to_trees(fresh, {"p": p}, old, count, place)

    beside = pairs if fit_to == "hessian" else None
    slots: dict[str, Any] = _slots(layout) | refresh.slots
    return matrixwise(rule, matrices_in(where), fold, decomposes=True, beside=beside, **slots)


def _check(form: str, fit_to: str, apply: str, mode: str | None) -> None:
    """Refuse names that are not known."""
    check_one_of("scale_by_psgd_kron", factors.FORMS, form=form)
    check_one_of("scale_by_psgd_kron", FITS, fit_to=fit_to)
    check_one_of("scale_by_psgd_kron", APPLICATIONS, apply=apply)
    if mode is not None:
        check_one_of("scale_by_psgd_kron", factors.MODES, memory_save_mode=mode)


def _slots(layout: factors.Layout) -> dict[str, Any]:
    """Momentum, factors, and bounds of forms that have them."""
    kept = lambda dim: shaped(lambda shape: layout.kept_shape(shape, dim))
    slots: dict[str, Any] = {"mu": like_param, "rows": kept(-2), "columns": kept(-1)}
    if layout.form != "triangular":
        number = shaped(lambda shape: ())(real=True)
        slots |= {"rows_bound": number, "columns_bound": number}
    return slots


def _is_unborn(old: Parts, x: jax.Array) -> jax.Array:
    """Which matrices are not zero, and have no factors yet."""
    is_zero = jnp.all(old["rows"] == 0, range(1, old["rows"].ndim))
    return is_zero & jnp.any(x != 0, (-2, -1))


@dataclass(frozen=True)
class Fit:
    """How factors are fitted; see ``scale_by_psgd_kron``."""

    layout: factors.Layout
    rate: Any
    bound_decay: Any
    damping: Any
    init_scale: Any
    seed: int

    def of(self, parts: dict[str, jax.Array], count: jax.Array) -> dict[str, jax.Array]:
        """Fit to the matrices ``x``, from what was kept.

        Without the ``probe`` that belongs to them they are whitened.
        """
        x, form = parts["x"], self.layout.form
        shape = x.shape[1:]
        q = factors.begun(self.layout.open(parts, shape), x, self.init_scale)
        q = factors.balanced(q)
        noise = probe(self.seed, count, shape, x.dtype)
        size = jnp.mean(jnp.abs(x), factors.DIMS, keepdims=True)
        noisy = x + self.damping * size * noise
        bounds = {}
        if form == "triangular":
            q = factors.fit_triangular(q, noisy, parts.get("probe", noise), self.rate)
        else:
            last = parts["rows_bound"], parts["columns_bound"]
            pair, numbers = (noisy, parts.get("probe")), (self.rate, self.bound_decay)
            q, (rows, columns) = factors.fit_inverse_free(q, last, *pair, *numbers, form)
            bounds = {"rows_bound": rows, "columns_bound": columns}
        made, is_zero = self.layout.close(q) | bounds, jnp.all(x == 0, factors.DIMS)
        along = lambda y: is_zero.reshape(-1, *[1] * (y.ndim - 1))
        return {name: jnp.where(along(y), parts[name], y) for name, y in made.items()}


def probe(seed: int, count: jax.Array, shape: Shape, dtype: jnp.dtype) -> jax.Array:
    """Normal noise for all matrices of a shape, ``(1, m, n)``.

    It is drawn in float32, so that it is the same in each precision.
    """
    key = jax.random.fold_in(
        jax.random.key(seed),
        count,
    )
    if not jnp.issubdtype(dtype, jnp.complexfloating):
        return jax.random.normal(
            key,
            (1, *shape),
            jnp.float32,
        ).astype(dtype)
    parts = (
        jax.random.normal(
            key,
            (2, 1, *shape),
            jnp.float32,
        )
        * 0.5**0.5
    )
    return jax.lax.complex(
        parts[0],
        parts[1],
    ).astype(dtype)


def hessian_pair(
    value_fn: Callable[[Params], jax.Array],
    p: Params,
    key: jax.Array,
) -> dict[str, Tree]:
    """Normal noise, ``probe``, and the Hessian's product with it, ``x``.

    A product that is not finite is zero.
    """
    noise = normal_like(key, p)
    product = hessian_vector_product(value_fn, p, noise)
    is_finite = all_finite(product)
    return {"probe": noise, "x": map_leaves(lambda x: jnp.where(is_finite, x, 0), product)}


def _bounded(
    function: Callable[[jax.Array], jax.Array], x: jax.Array, max_rms: float | jax.Array
) -> jax.Array:
    """Preconditioned matrices, shortened to a root mean square."""
    limit = max_rms * math.sqrt(x.shape[-2] * x.shape[-1])
    return factors.shortened(function, x, limit)


@recipe
def psgd_kron(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    weight_decay: NonNegative = 0.0,
    refresh: Refresh = fading(),
    preconditioner_rate: Fraction = 0.1,
    memory_save_mode: str | None = None,
    max_size_triangular: StaticPositiveInt = 8192,
    *,
    form: str = "triangular",
    fit_to: str = "momentum",
    apply: str = "twice",
    init_scale: Positive | None = None,
    max_rms: Limit = 1.1,
    damping: NonNegative = DAMPING,
    bound_decay: Decay = 0.9,
    seed: int = 0,
    where: Where | None = None,
    fold: Mapping[Glob, str] | None = None,
    fallback: GradientTransformation | Pair | None = None,
) -> GradientTransformation:
    """PSGD with Kronecker factors for matrices, ``fallback`` for the rest.

    Matrices go through ``scale_by_psgd_kron``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule: about a third of that of AdamW.
        b1: the decay of the average.
        weight_decay: the decay of matrices, multiplied by the learning rate.
        refresh: when factors are fitted; see ``scale_by_psgd_kron``.
        preconditioner_rate: the rate of a fit.
        memory_save_mode: which factors are diagonals; see ``scale_by_psgd_kron``.
        max_size_triangular: a longer side has a diagonal.
        form: ``"triangular"``, ``"quad"`` or ``"procrustes"``.
        fit_to: ``"momentum"``, ``"gradient"``, or ``"hessian"``, from ``value_fn=``.
        apply: whether factors act ``"twice"`` or, as in QSGD, ``"once"``.
        init_scale: of the first preconditioner.
        max_rms: the largest root mean square of an update.
        damping: the share of noise in what factors are fitted to.
        bound_decay: of the bounds of other forms than ``"triangular"``.
        seed: of the noise.
        where: the matrices; by default ``weight_matrices(embeddings=False)``.
        fold: how leaves are seen as matrices; see ``gc.matrixwise``.
        fallback: the optimizer of all other leaves; by default ``adamw`` with the same learning
            rate and decay.

    Source: see ``scale_by_psgd_kron``.

    Example:
        >>> import gradchain as gc
        >>> tx = psgd_kron(3e-4, memory_save_mode="smart_one_diag")
        >>> tx = psgd_kron(3e-4, refresh=gc.refresh.every(10), form="quad")
    """
    direction = scale_by_psgd_kron(
        b1,
        refresh,
        preconditioner_rate,
        memory_save_mode,
        max_size_triangular,
        form=form,
        fit_to=fit_to,
        apply=apply,
        init_scale=init_scale,
        max_rms=max_rms,
        damping=damping,
        bound_decay=bound_decay,
        seed=seed,
        where="*",
        fold=fold,
    )
    return with_fallback(direction, learning_rate, weight_decay, where, fallback)
