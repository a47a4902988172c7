"""Directions scaled by an estimate of the Hessian's diagonal that is made every few steps only.

They are given the loss as ``value_fn=``, a function of the parameters that closes over the batch:
``tx.update(grads, state, params, value_fn=lambda params: loss(params, batch))``. At a step that makes an estimate they
differentiate it once more, along one random vector of signs; at the others it is not evaluated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gradchain.call import Hyper
from gradchain.checks import check_at_least, check_one_of
from gradchain.core import transform
from gradchain.curvature.products import hessian_vector_product
from gradchain.lift import treewise
from gradchain.numerics import abs2, debias, ema, mean_along, safe_divide, safe_sqrt
from gradchain.slots import like_param
from gradchain.trees import map_leaves, rademacher_like, step_key

ESTIMATORS = ("hutchinson", "gauss_newton_bartlett")
AVERAGES = ("spatial", "spatial_last")


@transform
def scale_by_sophia(
    b1: Hyper = 0.96,
    b2: Hyper = 0.99,
    eps: Hyper = 1e-12,
    gamma: Hyper = 0.01,
    update_every: int = 10,
    estimator: str = "hutchinson",
    batch_size: int | None = None,
    seed: int = 0,
) -> Any:
    r"""Sophia's direction: a momentum divided by the Hessian's diagonal, each element clipped to magnitude 1.

    .. math::
        m \leftarrow \beta_1 m + (1-\beta_1) g, \quad
        h \leftarrow \beta_2 h + (1-\beta_2) \hat h \text{ at every } k\text{-th step}, \quad
        u = \mathrm{clip}\left(\frac{m}{\max(\gamma h, \epsilon)}, 1\right)

    Where the curvature :math:`h` is negative or small, the direction is the sign of the momentum. The estimate
    :math:`\hat h` of the diagonal is made at the first step and each ``update_every`` after:

    - ``estimator="hutchinson"`` (Sophia-H): :math:`z \odot \nabla^2 f(p) z` for a vector :math:`z` of random signs,
      from ``update(..., value_fn=loss)``. Its error in an element comes from what stands beside the diagonal.
    - ``estimator="gauss_newton_bartlett"`` (Sophia-G): :math:`B\, \hat g \odot \hat g`, never negative, where
      :math:`\hat g` is the gradient of ``sampled_value_fn(params, key)``: the mean loss of a batch of :math:`B`
      examples whose labels are drawn from the model's own predictions.

    An estimate that is not finite leaves the average as it is. Of a complex parameter the curvature is the mean of
    those along its two parts. ``update(..., key=key)`` draws signs or labels from a key of your own instead.

    Args:
        b1: decay :math:`\beta_1` of the momentum ``mu``, in [0, 1).
        b2: decay :math:`\beta_2` of the average ``hessian``, in [0, 1), at each estimate.
        eps: :math:`\epsilon`, the least curvature.
        gamma: :math:`\gamma`, how much of the curvature to divide by: the more, the fewer elements are clipped. The
            authors tune it until between a tenth and a half are not; 0.01 for Sophia-H, 0.05 for Sophia-G.
        update_every: steps :math:`k` from one estimate to the next.
        estimator: ``"hutchinson"`` or ``"gauss_newton_bartlett"``.
        batch_size: the number :math:`B` of examples that ``sampled_value_fn`` is the mean of; for
            ``"gauss_newton_bartlett"`` only, which needs it.
        seed: chooses the random signs or labels.

    Raises:
        ValueError: if ``estimator`` is neither, ``update_every`` or ``batch_size`` is less than 1, or ``batch_size``
            is missing or not asked for.
        TypeError: if ``update`` is called without the function that the estimator needs.

    Source: Liu, Li, Hall, Liang & Ma, "Sophia: A Scalable Stochastic Second-order Optimizer for Language Model
    Pre-training", 2023, https://arxiv.org/abs/2305.14342

    Example:
        >>> tx, params = scale_by_sophia(b1=0.0, b2=0.0, gamma=1.0), jnp.array([0.5, 2.0])
        >>> value_fn = lambda p: 8.0 * p[0] ** 2 + jnp.cos(p[1])  # 16 along the first, cos along the other
        >>> grads = jax.grad(value_fn)(params)
        >>> print(tx.update(grads, tx.init(params), params, value_fn=value_fn)[0])
        [ 0.5 -1. ]

        Sophia-G draws labels from the logits:

        >>> from gradchain import losses
        >>> x = jnp.array([[1.0, 0.0], [0.0, 2.0]])
        >>> def sampled_value_fn(params, key):
        ...     logits = x @ params
        ...     labels = jax.random.categorical(key, jax.lax.stop_gradient(logits))
        ...     return losses.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
        >>> tx = scale_by_sophia(estimator="gauss_newton_bartlett", batch_size=len(x))
        >>> params = grads = jnp.ones((2, 3))
        >>> updates, state = tx.update(grads, tx.init(params), params, sampled_value_fn=sampled_value_fn)
        >>> print(bool((state["scale_by_sophia"]["hessian"] > 0).all()))
        True
    """
    check_at_least("scale_by_sophia", 1, update_every=update_every, batch_size=batch_size)
    check_one_of("scale_by_sophia", ESTIMATORS, estimator=estimator)
    is_sampled = estimator == "gauss_newton_bartlett"
    if is_sampled != (batch_size is not None):
        raise ValueError(
            f"scale_by_sophia: estimator={estimator!r} with batch_size={batch_size!r}; 'gauss_newton_bartlett' needs"
            " the number of examples that sampled_value_fn is the mean of, and 'hutchinson' has no use for one."
        )

    def direction(g, s, t, estimate):
        mu = map_leaves(lambda g, m: ema(g, m, b1), g, s["mu"])
        hessian = _every(update_every, t, estimate, lambda new, old: ema(new, old, b2), s["hessian"])
        # |m| / max(|m|, d) is min(|m| / d, 1) for any d > 0, however small.
        divide = lambda m, h: safe_divide(m, jnp.maximum(jnp.abs(m), jnp.maximum(gamma * h, eps)))
        return map_leaves(divide, mu, hessian), {"mu": mu, "hessian": hessian}

    def by_hutchinson(g, s, p, t, value_fn, key=None):
        return direction(g, s, t, lambda: _hutchinson(value_fn, p, step_key(seed, t, key)))

    def by_samples(g, s, p, t, sampled_value_fn, key=None):
        grads = lambda: jax.grad(sampled_value_fn)(p, step_key(seed, t, key))
        return direction(g, s, t, lambda: map_leaves(lambda x: (batch_size or 1) * abs2(x) / _parts(x), grads()))

    return treewise(by_samples if is_sampled else by_hutchinson, mu=like_param, hessian=like_param(real=True))


@transform
def scale_by_adahessian(
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-4,
    hessian_power: Hyper = 1.0,
    update_every: int = 1,
    average: str | None = "spatial",
    seed: int = 0,
) -> Any:
    r"""AdaHessian's direction: Adam's with the Hessian's diagonal in the place of the gradient in the second moment.

    .. math::
        m \leftarrow \beta_1 m + (1-\beta_1) g, \quad v \leftarrow \beta_2 v + (1-\beta_2) \hat h^2, \quad
        u = \frac{m / (1-\beta_1^t)}{\left(v / (1-\beta_2^n)\right)^{k/2} + \epsilon}

    The diagonal :math:`\hat h` is estimated as :math:`z \odot \nabla^2 f(p) z` for a vector :math:`z` of random signs,
    from ``update(..., value_fn=loss)``; :math:`n` counts the estimates. One that is not finite leaves :math:`v` as it
    is. Of a complex parameter the curvature is the mean of those along its two parts. ``update(..., key=key)`` draws
    the signs from a key of your own instead.

    Args:
        b1: decay :math:`\beta_1` of the first moment ``mu``, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment ``nu``, in [0, 1), at each estimate.
        eps: :math:`\epsilon`, in the units of the curvature to the power of :math:`k`, bounds the direction where the
            loss is flat.
        hessian_power: the power :math:`k` of the curvature, in [0, 1]: 1 is Newton's, 0 plain momentum.
        update_every: steps from one estimate to the next.
        average: over which dimensions :math:`\hat h` is replaced by its mean, in leaves of four dimensions or more,
            the kernels of convolutions: ``"spatial"``, all but the last two, as Flax lays them out; ``"spatial_last"``,
            all but the first two, as PyTorch does; ``None``, over none.
        seed: chooses the random signs.

    Raises:
        ValueError: if ``average`` is none of these, or ``update_every`` is less than 1.
        TypeError: if ``update`` is called without ``value_fn``.

    Source: Yao, Gholami, Shen, Mustafa, Keutzer & Mahoney, "ADAHESSIAN: An Adaptive Second Order Optimizer for Machine
    Learning", 2021, https://arxiv.org/abs/2006.00719

    Example:
        >>> tx, params = scale_by_adahessian(eps=0.0), jnp.array([0.5, 2.0])
        >>> value_fn = lambda p: 8.0 * p[0] ** 2 - p[1] ** 2
        >>> grads = jax.grad(value_fn)(params)
        >>> print(tx.update(grads, tx.init(params), params, value_fn=value_fn)[0].round(3))  # Newton's step, |h| for h
        [ 0.5 -2. ]
    """
    check_at_least("scale_by_adahessian", 1, update_every=update_every)
    if average is not None:
        check_one_of("scale_by_adahessian", AVERAGES, average=average)

    def rule(g, s, p, t, value_fn, key=None):
        def estimate():
            diagonal = _hutchinson(value_fn, p, step_key(seed, t, key))
            return map_leaves(lambda h: jnp.square(_spatial_mean(h, average)), diagonal)

        estimates = jnp.floor((t - 1) / update_every) + 1
        mu = map_leaves(lambda g, m: ema(g, m, b1), g, s["mu"])
        nu = _every(update_every, t, estimate, lambda new, old: ema(new, old, b2), s["nu"])
        size = lambda v: _power(safe_sqrt(debias(v, b2, estimates)), hessian_power)
        divide = lambda m, v: safe_divide(debias(m, b1, t), size(v) + eps)
        return map_leaves(divide, mu, nu), {"mu": mu, "nu": nu}

    return treewise(rule, mu=like_param, nu=like_param(real=True))


def _hutchinson(value_fn: Callable, p: Any, key: jax.Array) -> Any:
    """An unbiased estimate of the Hessian's diagonal, exact where there is nothing beside it."""
    signs = rademacher_like(key, p)
    products = hessian_vector_product(value_fn, p, signs)
    return map_leaves(lambda z, x: (jnp.conj(z) * x).real / _parts(z), signs, products)


def _every(steps: int, t: Any, estimate: Callable, fold: Callable, slot: Any) -> Any:
    """The slot with a new estimate folded in at the first step and each so many after, else as it is."""
    keep_finite = lambda old, new: jnp.where(jnp.isfinite(new), fold(new, old), old)
    look = lambda: map_leaves(keep_finite, slot, estimate())
    return lax.cond((t.astype(jnp.int32) - 1) % steps == 0, look, lambda: slot)


def _parts(x: jax.Array) -> float:
    """How many real numbers an element is."""
    return 2.0 if jnp.iscomplexobj(x) else 1.0


def _spatial_mean(h: jax.Array, average: str | None) -> jax.Array:
    if average is None or h.ndim < 4:
        return h
    dims = range(h.ndim - 2) if average == "spatial" else range(2, h.ndim)
    return jnp.broadcast_to(mean_along(h, tuple(dims)), h.shape)


def _power(x: jax.Array, k: Any) -> jax.Array:
    """``x**k`` for x of 0 or more, with slopes that are numbers at 0 too."""
    if isinstance(k, float) and k == 1.0:
        return x
    return jnp.where(x > 0, jnp.where(x > 0, x, 1.0) ** k, jnp.zeros_like(x))
