"""Step lengths from a model of the loss: MoMo, which knows what the loss cannot go below."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from gradchain.core.call import Hyper
from gradchain.core.lift import treewise
from gradchain.core.slots import Slot, like_param, scalar
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.core.types import Where
from gradchain.numerics.arithmetic import abs2, debias, ema, safe_divide
from gradchain.transforms.scaling import scale
from gradchain.transforms.weight_decay import add_decay
from gradchain.tree.mapping import map_leaves, scale_tree
from gradchain.tree.reductions import dot
from gradchain.tree.selecting import keep_leaves, select


@transform
def scale_by_momo(
    learning_rate: Hyper = 1.0,
    beta: Hyper = 0.9,
    lower_bound: Hyper = 0.0,
    weight_decay: Hyper = 0.0,
    adapt_lower_bound: bool = False,
    where: Where | None = None,
) -> Body:
    r"""The step of momentum that goes no further than where its model of the loss reaches a lower
    bound.

    With moving averages :math:`m` of the gradients, :math:`\bar f` of the losses and :math:`\gamma`
    of
    :math:`\langle g_t, x_t \rangle`, which all start at their first value, and :math:`c = 1 + \eta w`,

    .. math::
        \tau = \min\Bigl(\eta, \frac{\bigl(c\,(\bar f - f_* - \gamma) + \langle m, x_t
        \rangle\bigr)_+} {\lVert m \rVert^2}\Bigr), \quad u = \frac{\tau m + \eta w\,x_t}{c}

    Where :math:`\eta` does not cut the step, it does not change when loss and bound are multiplied
    by a number.

    Args:
        learning_rate: the longest rate :math:`\eta`, or its schedule; large, since the model does
            the rest.
        beta: decay of the three averages, in [0, 1).
        lower_bound: what the loss cannot go below, :math:`f_*`.
        weight_decay: the factor :math:`w` of the parameters, per unit of the learning rate.
        adapt_lower_bound: whether to raise the bound to what the model has reached, starting from
            ``lower_bound``.
        where: the leaves that decay; see ``add_decayed_weights``.

    Raises:
        TypeError: if ``update`` is called without ``params`` or without ``value=``, the loss.

    Source: Schaipp, Ohana, Eickenberg, Defazio & Gower, "MoMo: Momentum Models for Adaptive
    Learning Rates", 2023, https://arxiv.org/abs/2305.07583

    Example:
        >>> tx, params = scale_by_momo(), jnp.array([2.0])
        >>> print(tx.update(jnp.array([4.0]), tx.init(params), params, value=4.0)[0])  # of the loss x^2
        [1.]
    """

    def rule(g, s, p, t, value):
        averages = _averages(g, s, p, value, jnp.where(t == 1, 0.0, beta))
        share = learning_rate * weight_decay / (1 + learning_rate * weight_decay)
        slope = _slope(averages["mu"], share, where)
        tau, bound = _model_step(
            averages, averages["mu"], s, p, 1.0, learning_rate, slope, lower_bound
        )
        return _with_decay(scale_tree(averages["mu"], tau), p, share, where), averages | bound

    return treewise(rule, mu=like_param, **_scalars(lower_bound, adapt_lower_bound))


@transform
def scale_by_momo_adam(
    learning_rate: Hyper = 1e-2,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    lower_bound: Hyper = 0.0,
    weight_decay: Hyper = 0.0,
    adapt_lower_bound: bool = False,
    where: Where | None = None,
) -> Body:
    r"""The step of Adam that goes no further than where its model of the loss reaches a lower
    bound.

    With moving averages :math:`m` of the gradients, :math:`\bar f` of the losses and :math:`\gamma`
    of
    :math:`\langle g_t, x_t \rangle`, which all start at zero, :math:`D = \sqrt{v / (1-\beta_2^t)} + \epsilon`,
    :math:`\rho = 1 - \beta_1^t` and :math:`c = 1 + \eta w`,

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
        lower_bound: what the loss cannot go below, :math:`f_*`.
        weight_decay: the factor :math:`w` of the parameters, per unit of the learning rate.
        adapt_lower_bound: whether to raise the bound to what the model has reached, starting from
            ``lower_bound``.
        where: the leaves that decay; see ``add_decayed_weights``.

    Raises:
        TypeError: if ``update`` is called without ``params`` or without ``value=``, the loss.

    Source: see ``scale_by_momo``.

    Example:
        >>> tx, params = scale_by_momo_adam(10.0), jnp.array([2.0])
        >>> print(tx.update(jnp.array([4.0]), tx.init(params), params, value=4.0)[0].round(3))  # of the loss x^2
        [1.]
    """

    def rule(g, s, p, t, value):
        averages = _averages(g, s, p, value, b1)
        nu = map_leaves(lambda g, nu: ema(abs2(g), nu, b2), g, s["nu"])
        direction = map_leaves(
            lambda mu, nu: mu / (jnp.sqrt(debias(nu, b2, t)) + eps), averages["mu"], nu
        )
        rho = 1 / debias(1.0, b1, t)
        share = learning_rate * weight_decay / (1 + learning_rate * weight_decay)
        slope = _slope(averages["mu"], share, where)
        tau, bound = _model_step(averages, direction, s, p, rho, learning_rate, slope, lower_bound)
        return _with_decay(scale_tree(direction, tau), p, share, where), averages | {
            "nu": nu
        } | bound

    moments = {"mu": like_param, "nu": like_param(real=True)}
    return treewise(rule, **moments, **_scalars(lower_bound, adapt_lower_bound))


def _scalars(lower_bound: Any, adapt_lower_bound: bool) -> dict[str, Slot]:
    bound = {"lower_bound": scalar(fill=lower_bound)} if adapt_lower_bound else {}
    return {"value": scalar, "linear": scalar, **bound}


def _averages(g: Any, s: dict, p: Any, value: Any, decay: Any) -> dict:
    """The averages that make the model: of gradients, of losses, and of what the gradients make of
    the parameters.
    """
    return {
        "mu": map_leaves(lambda g, mu: ema(g, mu, decay), g, s["mu"]),
        "value": ema(value, s["value"], decay),
        "linear": ema(dot(g, p), s["linear"], decay),
    }


def _model_step(
    averages: dict,
    direction: Any,
    s: dict,
    p: Any,
    rho: Any,
    rate: Any,
    slope: Callable,
    lower_bound: Any,
) -> tuple[Any, dict]:
    """How far along ``direction`` the model reaches its bound, at most ``rate``; and the next bound
    if it adapts.

    ``slope`` is the inner product with the average gradient, after the weight decay of a step;
    ``rho`` is how much of a constant the averages hold.
    """
    mu, level = averages["mu"], averages["value"] - averages["linear"]
    adapts, bound = "lower_bound" in s, s.get("lower_bound", lower_bound)
    start = level + slope(p)
    if adapts:  # a bound above the model leaves no step: halve the way down
        bound = jnp.where(start < rho * bound, jnp.maximum(start / rho / 2, lower_bound), bound)
    gap = jnp.maximum(start - rho * bound, 0.0)
    tau = jnp.minimum(rate / rho, safe_divide(gap, slope(direction)))
    if not adapts:
        return tau, {}
    reached = (level + dot(mu, p) - tau * dot(mu, direction) / 2) / rho
    return tau, {"lower_bound": jnp.maximum(reached, lower_bound)}


def _with_decay(step: Any, p: Any, share: Any, where: Any) -> Any:
    """The proximal step of the weight decay after another: ``share`` of what that has left of the
    parameters.
    """
    return add_decay(step, map_leaves(jnp.subtract, p, step), share, where)


def _slope(mu: Any, share: Any, where: Any) -> Callable:
    """The inner product with ``mu`` of a tree whose decaying leaves have lost ``share``."""
    return lambda tree: dot(mu, tree) - share * dot(keep_leaves(select(where, tree), tree), mu)


@recipe
def momo(
    learning_rate: Hyper = 1.0,
    beta: Hyper = 0.9,
    lower_bound: Hyper = 0.0,
    weight_decay: Hyper = 0.0,
    adapt_lower_bound: bool = False,
    where: Where | None = None,
) -> GradientTransformation:
    """MoMo: ``scale_by_momo``, downhill; ``update`` needs the loss as ``value=``.

    Args:
        learning_rate: the longest rate, or its schedule.
        beta: decay of the averages.
        lower_bound: what the loss cannot go below.
        weight_decay: the factor of the parameters, per unit of the learning rate.
        adapt_lower_bound: whether to raise the bound to what the model has reached.
        where: the leaves that decay; see ``add_decayed_weights``.

    Source: see ``scale_by_momo``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = momo(), jnp.array([2.0])
        >>> params, state = tx.step(jnp.array([4.0]), tx.init(params), params, value=4.0)  # of the loss x^2
        >>> print(params)
        [1.]
    """
    return chain(
        scale_by_momo(learning_rate, beta, lower_bound, weight_decay, adapt_lower_bound, where),
        scale(-1.0),
    )


@recipe
def momo_adam(
    learning_rate: Hyper = 1e-2,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-8,
    lower_bound: Hyper = 0.0,
    weight_decay: Hyper = 0.0,
    adapt_lower_bound: bool = False,
    where: Where | None = None,
) -> GradientTransformation:
    """MoMo with Adam's direction: ``scale_by_momo_adam``, downhill; ``update`` needs the loss as
    ``value=``.

    Args:
        learning_rate: the longest rate, or its schedule.
        b1: decay of the averages of gradients and losses.
        b2: decay of the second moment.
        eps: bounds the direction where gradients vanish.
        lower_bound: what the loss cannot go below.
        weight_decay: the factor of the parameters, per unit of the learning rate.
        adapt_lower_bound: whether to raise the bound to what the model has reached.
        where: the leaves that decay; see ``add_decayed_weights``.

    Source: see ``scale_by_momo``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = momo_adam(10.0), jnp.array([2.0])
        >>> params, state = tx.step(jnp.array([4.0]), tx.init(params), params, value=4.0)  # of the loss x^2
        >>> print(params.round(3))
        [1.]
    """
    options = (lower_bound, weight_decay, adapt_lower_bound, where)
    return chain(scale_by_momo_adam(learning_rate, b1, b2, eps, *options), scale(-1.0))
