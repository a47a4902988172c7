"""MoMo (Schaipp et al., 2023): model-based step lengths.

A step ends where a model of the loss reaches a bound that the loss cannot go below.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gradchain.core.ranges import Decay, Finite, Hyper, NonNegative
from gradchain.core.roles import with_roles
from gradchain.core.slots import Slot, like_param, scalar
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.core.trees import treewise
from gradchain.core.types import Params, State, Tree, Updates, Where
from gradchain.numerics.arithmetic import abs2, debias, ema, safe_divide, squarable
from gradchain.numerics.roots import over_root
from gradchain.transforms.scaling import scale
from gradchain.transforms.weight_decay import add_decay
from gradchain.tree.mapping import map_leaves, scale_tree
from gradchain.tree.norms import dot, squarable_tree
from gradchain.tree.selecting import keep_leaves, select


@transform(roles="momentum")
def scale_by_momo(
    learning_rate: Hyper = 1.0,
    beta: Decay = 0.9,
    lower_bound: Finite = 0.0,
    weight_decay: NonNegative = 0.0,
    adapt_lower_bound: bool = False,
    where: Where | None = None,
) -> Body:
    r"""MoMo: momentum with a step length from a loss model.

    The step goes no further than where its model of the loss reaches a lower bound.

    With moving averages :math:`m` of the gradients, :math:`\bar f` of the losses and :math:`\gamma`
    of :math:`\langle g_t, x_t \rangle`, which all start at their first value, and
    :math:`c = 1 + \eta w`,

    .. math::
        \tau = \min\Bigl(\eta, \frac{\bigl(c\,(\bar f - f_* - \gamma) + \langle m, x_t
        \rangle\bigr)_+} {\lVert m \rVert^2}\Bigr), \quad u = \frac{\tau m + \eta w\,x_t}{c}

    Where :math:`\eta` does not cut the step, it does not change when loss and bound are multiplied
    by a number.

    Args:
        learning_rate: the longest rate :math:`\eta`, or its schedule; large, since the model does
            the rest.
        beta: decay of the three averages, in [0, 1).
        lower_bound: a bound :math:`f_*` that the loss cannot go below.
        weight_decay: the factor :math:`w` of the parameters, per unit of the learning rate.
        adapt_lower_bound: whether to raise the bound, from ``lower_bound`` on, to the values that
            the model has reached.
        where: the leaves that decay; see ``add_decayed_weights``.

    Raises:
        TypeError: if ``update`` is called without ``params`` or without ``value=``, the loss.

    Source: Schaipp, Ohana, Eickenberg, Defazio & Gower, "MoMo: Momentum Models for Adaptive
    Learning Rates", 2023, https://arxiv.org/abs/2305.07583

    Example:
        >>> tx, params = scale_by_momo(), jnp.array([2.0])  # the loss is x^2
        >>> print(tx.update(jnp.array([4.0]), tx.init(params), params, value=4.0)[0])
        [1.]
    """

    def rule(g, s, p, t, value):
        g = squarable_tree(g)
        averages = _averages(g, s, p, value, jnp.where(t == 1, 0.0, beta))
        mu = averages["mu"]
        share = learning_rate * weight_decay / (1 + learning_rate * weight_decay)
        slope = _slope(mu, share, where)
        bounds = (s.get("lower_bound"), lower_bound)
        tau, bound = _model_step(averages, mu, p, 1.0, learning_rate, slope, *bounds)
        return _with_decay(scale_tree(mu, tau), p, share, where), averages | bound

    return treewise(rule, mu=like_param, **_scalars(lower_bound, adapt_lower_bound))


@transform(roles="adaptive momentum")
def scale_by_momo_adam(
    learning_rate: Hyper = 1e-2,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    lower_bound: Finite = 0.0,
    weight_decay: NonNegative = 0.0,
    adapt_lower_bound: bool = False,
    where: Where | None = None,
) -> Body:
    r"""MoMo-Adam: Adam with a step length from a loss model.

    The step goes no further than where its model of the loss reaches a lower bound.

    With moving averages :math:`m` of the gradients, :math:`\bar f` of the losses and :math:`\gamma`
    of :math:`\langle g_t, x_t \rangle`, which all start at zero,
    :math:`D = \sqrt{v / (1-\beta_2^t)} + \epsilon`, :math:`\rho = 1 - \beta_1^t` and
    :math:`c = 1 + \eta w`,

    .. math::
        \tau = \min\Bigl(\frac{\eta}{\rho}, \frac{\bigl(c\,(\bar f - \rho f_* - \gamma)
        + \langle m, x_t \rangle\bigr)_+} {\langle m, m / D \rangle}\Bigr), \quad
        u = \frac{\tau\,m / D + \eta w\,x_t}{c}

    Without :math:`\epsilon` it does not change when loss and bound are multiplied by a number; with
    it the direction is smaller by a part :math:`\epsilon / |g|`.

    Args:
        learning_rate: the longest rate :math:`\eta`, or its schedule.
        b1: decay :math:`\beta_1` of the three averages, in [0, 1).
        b2: decay :math:`\beta_2` of the second moment ``nu``, in [0, 1).
        eps: :math:`\epsilon`, in the units of the gradient.
        lower_bound: a bound :math:`f_*` that the loss cannot go below.
        weight_decay: the factor :math:`w` of the parameters, per unit of the learning rate.
        adapt_lower_bound: whether to raise the bound, from ``lower_bound`` on, to the values that
            the model has reached.
        where: the leaves that decay; see ``add_decayed_weights``.

    Raises:
        TypeError: if ``update`` is called without ``params`` or without ``value=``, the loss.

    Source: see ``scale_by_momo``.

    Example:
        >>> tx, params = scale_by_momo_adam(10.0), jnp.array([2.0])  # the loss is x^2
        >>> print(tx.update(jnp.array([4.0]), tx.init(params), params, value=4.0)[0].round(3))
        [1.]
    """

    def rule(g, s, p, t, value):
        g = map_leaves(squarable, g)
        averages = _averages(g, s, p, value, b1)
        nu = map_leaves(lambda g, nu: ema(abs2(g), nu, b2), g, s["nu"])
        over_size = lambda mu, nu: over_root(mu, debias(nu, b2, t), eps)
        direction = map_leaves(over_size, averages["mu"], nu)
        rho = 1 / debias(1.0, b1, t)
        share = learning_rate * weight_decay / (1 + learning_rate * weight_decay)
        slope = _slope(averages["mu"], share, where)
        bounds = (s.get("lower_bound"), lower_bound)
        tau, bound = _model_step(
            averages,
            direction,
            p,
            rho,
            learning_rate,
            slope,
            *bounds,
        )
        new = averages | {"nu": nu} | bound
        return _with_decay(scale_tree(direction, tau), p, share, where), new

    moments = {"mu": like_param, "nu": like_param(real=True)}
    return treewise(rule, **moments, **_scalars(lower_bound, adapt_lower_bound))


def _scalars(
    lower_bound: float | jax.Array,
    adapt_lower_bound: bool,
) -> dict[str, Slot]:
    """Slots of the averages that are numbers, and the bound."""
    bound = {"lower_bound": scalar(fill=lower_bound)} if adapt_lower_bound else {}
    return {"value": scalar, "linear": scalar, **bound}


def _averages(
    g: Updates,
    s: State,
    p: Params,
    value: jax.Array,
    decay: float | jax.Array,
) -> State:
    """The new averages, from which the model is made.

    They are of gradients, of losses, and of the inner products of gradients and parameters.
    """
    return {
        "mu": map_leaves(lambda g, mu: ema(g, mu, decay), g, s["mu"]),
        "value": ema(value, s["value"], decay),
        "linear": ema(dot(g, p), s["linear"], decay),
    }


def _model_step(
    averages: State,
    direction: Updates,
    p: Params,
    rho: float | jax.Array,
    rate: float | jax.Array,
    slope: Callable[[Tree], jax.Array],
    adapted: jax.Array | None,
    lower_bound: float | jax.Array,
) -> tuple[jax.Array, State]:
    """The step length along ``direction``, and the next bound.

    At this length the model reaches its bound, unless it is cut to ``rate``.

    Args:
        averages: see ``_averages``.
        direction: the direction of the step, uphill.
        p: the parameters.
        rho: how much of a constant the averages hold.
        rate: the longest step.
        slope: the inner product with the average gradient, after the weight decay of a step.
        adapted: the present bound if it adapts; ``None``: it stays at ``lower_bound``.
        lower_bound: the bound that the loss cannot go below.
    """
    mu = averages["mu"]
    level = averages["value"] - averages["linear"]
    bound = lower_bound if adapted is None else adapted
    start = level + slope(p)
    if adapted is not None:  # a bound above the model leaves no step: halve the way down
        bound = jnp.where(
            start < rho * bound,
            jnp.maximum(start / rho / 2, lower_bound),
            bound,
        )
    gap = jnp.maximum(start - rho * bound, 0.0)
    divisor = slope(direction)
    tau = jnp.minimum(rate / rho, safe_divide(gap, divisor))
    # The product of small numbers may be 0 where they are not: no step that is cut is too long.
    tau = jnp.where((divisor == 0) & (gap > 0), rate / rho, tau)
    if adapted is None:
        return tau, {}
    reached = (level + dot(mu, p) - tau * dot(mu, direction) / 2) / rho
    return tau, {"lower_bound": jnp.maximum(reached, lower_bound)}


def _with_decay(
    step: Updates,
    p: Params,
    share: float | jax.Array,
    where: Where | None,
) -> Updates:
    """The proximal step of weight decay, after another step.

    Leaves that decay lose ``share`` of the parameters that ``step`` has left.
    """
    return add_decay(step, map_leaves(jnp.subtract, p, step), share, where)


def _slope(
    mu: Updates, share: float | jax.Array, where: Where | None
) -> Callable[[Tree], jax.Array]:
    """A function of trees: their inner product with ``mu``.

    Leaves that decay count without ``share`` of themselves.
    """
    decaying = lambda tree: keep_leaves(select(where, tree), tree)
    return lambda tree: dot(mu, tree) - share * dot(decaying(tree), mu)


@recipe
@with_roles("step")
def momo(
    learning_rate: Hyper = 1.0,
    beta: Decay = 0.9,
    lower_bound: Finite = 0.0,
    weight_decay: NonNegative = 0.0,
    adapt_lower_bound: bool = False,
    where: Where | None = None,
) -> GradientTransformation:
    """MoMo: ``scale_by_momo``, downhill; ``update`` needs the loss as ``value=``.

    Args:
        learning_rate: the longest rate, or its schedule.
        beta: decay of the averages.
        lower_bound: a bound that the loss cannot go below.
        weight_decay: the factor of the parameters, per unit of the learning rate.
        adapt_lower_bound: whether to raise the bound to the values that the model has reached.
        where: the leaves that decay; see ``add_decayed_weights``.

    Source: see ``scale_by_momo``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = momo(), jnp.array([2.0])  # the loss is x^2
        >>> params, state = tx.step(jnp.array([4.0]), tx.init(params), params, value=4.0)
        >>> print(params)
        [1.]
    """
    options = (lower_bound, weight_decay, adapt_lower_bound, where)
    return chain(scale_by_momo(learning_rate, beta, *options), scale(-1.0))


@recipe
@with_roles("step")
def momo_adam(
    learning_rate: Hyper = 1e-2,
    b1: Decay = 0.9,
    b2: Decay = 0.999,
    eps: NonNegative = 1e-8,
    lower_bound: Finite = 0.0,
    weight_decay: NonNegative = 0.0,
    adapt_lower_bound: bool = False,
    where: Where | None = None,
) -> GradientTransformation:
    """MoMo with Adam's direction: ``scale_by_momo_adam``, downhill.

    ``update`` needs the loss as ``value=``.

    Args:
        learning_rate: the longest rate, or its schedule.
        b1: decay of the averages of gradients and losses.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        lower_bound: a bound that the loss cannot go below.
        weight_decay: the factor of the parameters, per unit of the learning rate.
        adapt_lower_bound: whether to raise the bound to the values that the model has reached.
        where: the leaves that decay; see ``add_decayed_weights``.

    Source: see ``scale_by_momo``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = momo_adam(10.0), jnp.array([2.0])  # the loss is x^2
        >>> params, state = tx.step(jnp.array([4.0]), tx.init(params), params, value=4.0)
        >>> print(params.round(3))
        [1.]
    """
    options = (lower_bound, weight_decay, adapt_lower_bound, where)
    return chain(
        scale_by_momo_adam(
            learning_rate,
            b1,
            b2,
            eps,
            *options,
        ),
        scale(-1.0),
    )
