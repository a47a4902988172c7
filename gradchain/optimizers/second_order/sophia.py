"""Sophia (Liu et al., 2023): clipped momentum over Hessian diagonals."""

from __future__ import annotations

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.errors import check_one_of
from gradchain.core.ranges import Decay, Hyper, NonNegative, PositiveInt, StaticPositiveInt
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.core.trees import treewise
from gradchain.core.types import Params, Tree, Where
from gradchain.curvature.products import hessian_vector_product
from gradchain.numerics.arithmetic import abs2, ema, safe_divide
from gradchain.numerics.counting import remainder
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.transforms.weight_decay import add_decayed_weights
from gradchain.tree.mapping import map_leaves
from gradchain.tree.random import rademacher_like, step_key

ESTIMATORS = ("hutchinson", "gauss_newton_bartlett")


@transform(roles="adaptive momentum")
def scale_by_sophia(
    b1: Decay = 0.96,
    b2: Decay = 0.99,
    eps: NonNegative = 1e-12,
    gamma: NonNegative = 0.01,
    update_every: PositiveInt = 10,
    estimator: str = "hutchinson",
    batch_size: StaticPositiveInt | None = None,
    seed: int = 0,
) -> Body:
    r"""Sophia's direction: momentum over the Hessian's diagonal, clipped to 1.

    .. math::
        m \leftarrow \beta_1 m + (1-\beta_1) g, \quad
        h \leftarrow \beta_2 h + (1-\beta_2) \hat h \text{ at every } k\text{-th step}, \quad
        u = \mathrm{clip}\left(\frac{m}{\max(\gamma h, \epsilon)}, 1\right)

    Where the curvature :math:`h` is negative or small, the direction is the sign of the momentum.
    The estimate :math:`\hat h` of the diagonal is made at the first step and each ``update_every``
    after:

    - ``estimator="hutchinson"`` (Sophia-H): :math:`z \odot \nabla^2 f(p) z` for a vector :math:`z`
      of random signs, from ``update(..., value_fn=loss)``. The error of an element comes from the
      entries beside the diagonal.
    - ``estimator="gauss_newton_bartlett"`` (Sophia-G): :math:`B\, \hat g \odot \hat g`, never
      negative, where :math:`\hat g` is the gradient of ``sampled_value_fn(params, key)``: the mean
      loss of a batch of :math:`B` examples whose labels are drawn from the model's own predictions.

    An estimate that is not finite leaves the average as it is. Of a complex parameter the curvature
    is the mean of those along its two parts. ``update(..., key=key)`` draws signs or labels from a
    key of your own instead.

    Args:
        b1: decay :math:`\beta_1` of the momentum ``mu``, in [0, 1).
        b2: decay :math:`\beta_2` of the average ``hessian``, in [0, 1), at each estimate.
        eps: :math:`\epsilon`, the least curvature.
        gamma: :math:`\gamma`, how much of the curvature to divide by: the more, the fewer elements
            are clipped. The authors tune it until between a tenth and a half are not; 0.01 for
            Sophia-H, 0.05 for Sophia-G.
        update_every: steps :math:`k` from one estimate to the next.
        estimator: ``"hutchinson"`` or ``"gauss_newton_bartlett"``.
        batch_size: the number :math:`B` of examples that ``sampled_value_fn`` is the mean of; for
            ``"gauss_newton_bartlett"`` only, which needs it.
        seed: chooses the random signs or labels.

    Raises:
        ValueError: if ``estimator`` is neither, ``update_every`` or ``batch_size`` is less than 1,
            or ``batch_size`` is missing or not asked for.
        TypeError: if ``update`` is called without the function that the estimator needs.

    Source: Liu, Li, Hall, Liang & Ma, "Sophia: A Scalable Stochastic Second-order Optimizer for
    Language Model Pre-training", 2023, https://arxiv.org/abs/2305.14342

    Example:
        >>> tx, params = scale_by_sophia(b1=0.0, b2=0.0, gamma=1.0), jnp.array([0.5, 2.0])
        >>> value_fn = lambda p: 8.0 * p[0] ** 2 + jnp.cos(p[1])  # curvatures 16 and -cos
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
        >>> extra = {"sampled_value_fn": sampled_value_fn}
        >>> updates, state = tx.update(grads, tx.init(params), params, **extra)
        >>> print(bool((state["scale_by_sophia"]["hessian"] > 0).all()))
        True
    """
    check_one_of("scale_by_sophia", ESTIMATORS, estimator=estimator)
    is_sampled = estimator == "gauss_newton_bartlett"
    if is_sampled != (batch_size is not None):
        raise ValueError(
            f"scale_by_sophia: estimator={estimator!r} with batch_size={batch_size!r};"
            " 'gauss_newton_bartlett' needs the number of examples that sampled_value_fn is"
            " the mean of, and 'hutchinson' has no use for one."
        )

    def divide(m, h):
        # |m| / max(|m|, d) is min(|m| / d, 1) for any d > 0, however small
        size = jnp.maximum(gamma * h, eps)
        return safe_divide(m, jnp.maximum(jnp.abs(m), size))

    def direction(g, s, count, estimate):
        mu = map_leaves(lambda g, m: ema(g, m, b1), g, s["mu"])
        fold = lambda new, old: ema(new, old, b2)
        hessian = every_few_steps(update_every, count, estimate, fold, s["hessian"])
        return map_leaves(divide, mu, hessian), {"mu": mu, "hessian": hessian}

    def by_hutchinson(g, s, p, count, value_fn, key=None):
        estimate = lambda: hutchinson_diagonal(
            value_fn,
            p,
            step_key(seed, count, key),
        )
        return direction(g, s, count, estimate)

    def by_samples(g, s, p, count, sampled_value_fn, key=None):
        def estimate():
            grads = jax.grad(sampled_value_fn)(p, step_key(seed, count, key))
            return map_leaves(lambda x: (batch_size or 1) * abs2(x) / _parts(x), grads)

        return direction(g, s, count, estimate)

    rule = by_samples if is_sampled else by_hutchinson
    return treewise(rule, mu=like_param, hessian=like_param(real=True))


def hutchinson_diagonal(
    value_fn: Callable[[Params], jax.Array], p: Params, key: chex.PRNGKey
) -> Tree:
    """Hutchinson's unbiased estimate of the Hessian's diagonal.

    It is exact where the Hessian is diagonal.
    """
    signs = rademacher_like(key, p)
    products = hessian_vector_product(value_fn, p, signs)
    return map_leaves(
        lambda z, x: (jnp.conj(z) * x).real / _parts(z),
        signs,
        products,
    )


def every_few_steps(
    steps: int,
    count: jax.Array,
    estimate: Callable[[], Tree],
    fold: Callable[[jax.Array, jax.Array], jax.Array],
    slot: Tree,
) -> Tree:
    """Fold a new estimate into a slot every few steps.

    The first step is one of them. At other steps, and where the estimate is not finite, the slot
    stays as it is.
    """
    keep_finite = lambda old, new: jnp.where(jnp.isfinite(new), fold(new, old), old)
    look = lambda: map_leaves(keep_finite, slot, estimate())
    return lax.cond(remainder(count, steps) == 0, look, lambda: slot)


def _parts(x: jax.Array) -> float:
    """How many real numbers make an element."""
    return 2.0 if jnp.iscomplexobj(x) else 1.0


@recipe
def sophia(
    learning_rate: Hyper,
    b1: Decay = 0.96,
    b2: Decay = 0.99,
    eps: NonNegative = 1e-12,
    weight_decay: NonNegative = 1e-4,
    where: Where | None = None,
    *,
    gamma: NonNegative = 0.01,
    update_every: PositiveInt = 10,
    estimator: str = "hutchinson",
    batch_size: StaticPositiveInt | None = None,
    seed: int = 0,
) -> GradientTransformation:
    """Sophia with decoupled weight decay.

    It is ``scale_by_sophia``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule: the most that an element moves in a step, weight
            decay aside. About the rate for ``lion``, and a little less than that for ``adamw``.
        b1: decay of the momentum.
        b2: decay of the average of the Hessian's diagonal, at each estimate.
        eps: the least curvature.
        weight_decay: the decay, multiplied by the learning rate.
        where: the leaves that decay; see ``add_decayed_weights``.
        gamma: how much of the curvature to divide by.
        update_every: steps from one estimate of the diagonal to the next.
        estimator: ``"hutchinson"``, from ``value_fn=``, or ``"gauss_newton_bartlett"``, from
            ``sampled_value_fn=``.
        batch_size: the number of examples that ``sampled_value_fn`` is the mean of.
        seed: chooses the random signs or labels.

    Source: see ``scale_by_sophia``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx = sophia(0.25, b1=0.0, b2=0.0, weight_decay=0.0, gamma=1.0)
        >>> params, grads = jnp.array([1.0, 1.0]), jnp.array([2.0, -2.0])
        >>> value_fn = lambda p: 2.0 * p[0] ** 2 - p[1] ** 2
        >>> params, state = tx.step(grads, tx.init(params), params, value_fn=value_fn)
        >>> print(params)
        [0.875 1.25 ]
    """
    return chain(
        scale_by_sophia(
            b1,
            b2,
            eps,
            gamma,
            update_every,
            estimator,
            batch_size,
            seed,
        ),
        add_decayed_weights(weight_decay, where),
        scale_by_learning_rate(learning_rate),
    )
