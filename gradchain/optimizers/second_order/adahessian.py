"""AdaHessian (Yao et al., 2021): Adam with Hessian diagonals."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gradchain.core.errors import check_one_of
from gradchain.core.ranges import Decay, Fraction, Hyper, NonNegative, PositiveInt
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.core.trees import treewise
from gradchain.core.types import Where
from gradchain.numerics.arithmetic import debias, ema, safe_divide
from gradchain.numerics.counting import increment, quotient
from gradchain.numerics.reductions import mean_along
from gradchain.numerics.roots import power, root
from gradchain.optimizers.second_order.sophia import every_few_steps, hutchinson_diagonal
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.transforms.weight_decay import add_decayed_weights
from gradchain.tree.mapping import map_leaves
from gradchain.tree.random import step_key

AVERAGES = ("spatial", "spatial_last")


@transform(roles="adaptive momentum")
def scale_by_adahessian(
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-4,
    hessian_power: Fraction = 1.0,
    update_every: PositiveInt = 1,
    average: str | None = "spatial",
    seed: int = 0,
) -> Body:
    r"""AdaHessian's direction: a momentum over the averaged Hessian diagonal.

    It is Adam's, with the Hessian's diagonal in the place of the gradient in the second moment.

    .. math::
        m \leftarrow \beta_1 m + (1-\beta_1) g, \quad v \leftarrow \beta_2 v + (1-\beta_2) \hat h^2,
        \quad u = \frac{m / (1-\beta_1^t)}{\left(v / (1-\beta_2^n)\right)^{k/2} + \epsilon}

    The diagonal :math:`\hat h` is estimated as :math:`z \odot \nabla^2 f(p) z` for a vector
    :math:`z` of random signs, from ``update(..., value_fn=loss)``; :math:`n` counts the estimates.
    One that is not finite leaves :math:`v` as it is. Of a complex parameter the curvature is the
    mean of those along its two parts. ``update(..., key=key)`` draws the signs from a key of your
    own instead.

    Args:
        b1: decay :math:`\beta_1` of the first moment ``mu``, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment ``nu``, in [0, 1), at each estimate.
        eps: :math:`\epsilon`, in the units of the curvature to the power of :math:`k`, bounds the
            direction where the loss is flat.
        hessian_power: the power :math:`k` of the curvature, in [0, 1]: 1 is Newton's, 0 plain
            momentum.
        update_every: steps from one estimate to the next.
        average: over which dimensions :math:`\hat h` is replaced by its mean, in leaves of four
            dimensions or more, the kernels of convolutions: ``"spatial"``, all but the last two, as
            Flax lays them out; ``"spatial_last"``, all but the first two, as PyTorch does;
            ``None``, over none.
        seed: chooses the random signs.

    Raises:
        ValueError: if ``average`` is none of these, or ``update_every`` is less than 1.
        TypeError: if ``update`` is called without ``value_fn``.

    Source: Yao, Gholami, Shen, Mustafa, Keutzer & Mahoney, "ADAHESSIAN: An Adaptive Second Order
    Optimizer for Machine Learning", 2021, https://arxiv.org/abs/2006.00719

    Example:
        >>> tx, params = scale_by_adahessian(eps=0.0), jnp.array([0.5, 2.0])
        >>> value_fn = lambda p: 8.0 * p[0] ** 2 - p[1] ** 2
        >>> grads = jax.grad(value_fn)(params)
        >>> updates, _ = tx.update(grads, tx.init(params), params, value_fn=value_fn)
        >>> print(updates.round(3))  # Newton's step, |h| for h
        [ 0.5 -2. ]
    """
    if average is not None:
        check_one_of("scale_by_adahessian", AVERAGES, average=average)

    def rule(g, s, p, t, count, value_fn, key=None):
        def estimate():
            diagonal = hutchinson_diagonal(value_fn, p, step_key(seed, count, key))
            return map_leaves(lambda h: jnp.square(_spatial_mean(h, average)), diagonal)

        estimates = increment(quotient(count, update_every)).astype(t.dtype)
        mu = map_leaves(lambda g, m: ema(g, m, b1), g, s["mu"])
        fold = lambda new, old: ema(new, old, b2)
        nu = every_few_steps(update_every, count, estimate, fold, s["nu"])

        def divide(m, v):
            size = _power(root(debias(v, b2, estimates)), hessian_power)
            return safe_divide(debias(m, b1, t), size + eps)

        return map_leaves(divide, mu, nu), {"mu": mu, "nu": nu}

    return treewise(rule, mu=like_param, nu=like_param(real=True))


def _spatial_mean(h: jax.Array, average: str | None) -> jax.Array:
    """The mean along dimensions, in the shape of ``h``."""
    if average is None or h.ndim < 4:
        return h
    dims = range(h.ndim - 2) if average == "spatial" else range(2, h.ndim)
    return jnp.broadcast_to(mean_along(h, tuple(dims)), h.shape)


def _power(x: jax.Array, k: float | jax.Array) -> jax.Array:
    return x if isinstance(k, float) and k == 1.0 else power(x, k)


@recipe
def adahessian(
    learning_rate: Hyper,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-4,
    weight_decay: NonNegative = 1e-4,
    where: Where | None = None,
    *,
    hessian_power: Fraction = 1.0,
    update_every: PositiveInt = 1,
    average: str | None = "spatial",
    seed: int = 0,
) -> GradientTransformation:
    """AdaHessian with decoupled weight decay.

    It is ``scale_by_adahessian``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule, without units where ``hessian_power`` is 1; 0.15
            in the paper.
        b1: decay of the first moment.
        b2: decay of the second moment, at each estimate.
        eps: bounds the direction where the loss is flat.
        weight_decay: the decay, multiplied by the learning rate.
        where: the leaves that decay; see ``add_decayed_weights``.
        hessian_power: the power of the curvature, in [0, 1].
        update_every: steps from one estimate of the diagonal to the next.
        average: over which dimensions of kernels the diagonal is averaged.
        seed: chooses the random signs.

    Source: see ``scale_by_adahessian``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = adahessian(0.5, eps=0.0, weight_decay=0.0), jnp.array([1.0, 3.0])
        >>> grads, value_fn = jnp.array([4.0, 6.0]), lambda p: 2.0 * p[0] ** 2 + p[1] ** 2
        >>> params, state = tx.step(grads, tx.init(params), params, value_fn=value_fn)
        >>> print(params.round(2))
        [0.5 1.5]
    """
    return chain(
        scale_by_adahessian(b1, b2, eps, hessian_power, update_every, average, seed),
        add_decayed_weights(weight_decay, where),
        scale_by_learning_rate(learning_rate),
    )
