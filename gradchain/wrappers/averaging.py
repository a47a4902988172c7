"""Averages of parameters over steps, and weights to evaluate with."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gradchain.core.around import around
from gradchain.core.entries import entries
from gradchain.core.messages import refuse_swapped
from gradchain.core.ranges import Decay, NonNegative, PositiveInt
from gradchain.core.right_calls import called_as
from gradchain.core.slots import like_param, scalar
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Numeric, Pair, Params, Tree
from gradchain.numerics.arithmetic import compute_dtype, ema
from gradchain.numerics.counting import increment, minus, quotient, remainder
from gradchain.tree.mapping import map_leaves
from gradchain.tree.paths import distinct_leaves, flatten, named_leaves


@transform(roles="final")
def average_weights(
    inner: GradientTransformation | Pair,
    decay: Decay | None = None,
    *,
    power: NonNegative | None = None,
    start: PositiveInt = 1,
    every: PositiveInt = 1,
    debias: bool = True,
) -> Body:
    r"""Keep an average of the parameters over the steps.

    .. math::
        \bar p \leftarrow \bar p + w_n\, (p + u - \bar p)

    Parameters count as they are after an update of ``inner``; ``eval_params`` finds the average.
    The :math:`n`-th parameters that count have the weight

    - :math:`w_n = 1/n`: all are equal, as in stochastic weight averaging;
    - :math:`w_n = (1-d) / (1-d^n)` with ``decay``: an exponential moving average without a pull
      towards its start;
    - :math:`w_n = 1 - (1 - 1/n)^{\gamma+1}` with ``power``: an average over a fixed share of the
      training, in which the :math:`i`-th parameters weigh about :math:`i^\gamma`.

    Args:
        inner: a whole optimizer, whose updates are added to the parameters as they leave this
            wrapper.
        decay: the decay :math:`d` in [0, 1), or its schedule.
        power: the power :math:`\gamma \ge 0`.
        start: the first step that counts; until then the average is the present parameters.
        every: of how many steps one counts.
        debias: whether a moving average forgets where it started; else it starts as a copy of the
            first parameters, with :math:`w_n = 1-d`.

    Raises:
        ValueError: if both ``decay`` and ``power`` are given, or ``start`` or ``every`` is less
            than 1.

    Source: Polyak & Juditsky, 1992, https://doi.org/10.1137/0330046; Izmailov et al., "Averaging
    Weights Leads to Wider Optima and Better Generalization", 2018,
    https://arxiv.org/abs/1803.05407; for ``power``: Karras et al., "Analyzing and Improving the
    Training Dynamics of Diffusion Models", 2024, https://arxiv.org/abs/2312.02696

    Example:
        >>> import gradchain as gc
        >>> tx, params = average_weights(gc.sgd(1.0)), jnp.zeros(1)
        >>> state = tx.init(params)
        >>> for _ in range(3):
        ...     params, state = tx.step(jnp.array([-1.0]), state, params)
        >>> print(params, gc.eval_params(state, params))
        [3.] [2.]
    """
    if decay is not None and power is not None:
        raise ValueError(
            "average_weights: decay and power are two kinds of average; give one of them."
        )
    has_sum = decay is not None and debias

    def weights(s, n):
        """The weight of the n-th parameters, and the sum."""
        if decay is None:
            return (1 / n if power is None else _share(n, power)), {}
        if not debias:
            return 1.0 - decay, {}
        # 1 - decay^n, for a scheduled decay too
        total = decay * s["weight"] + (1 - decay)
        return (1 - decay) / total, {"weight": total}

    def rule(g, s, p, t, count, inner):
        u, new = inner(g, s["inner"], p)
        step = minus(increment(count), start)
        counts = (step >= 0) & (remainder(step, every) == 0)
        number = jnp.maximum(
            quotient(step, every) + 1,
            1,
        )
        w, sums = weights(s, number.astype(t.dtype))
        otherwise = jnp.where(step < 0, 1.0, 0.0)
        w = jnp.where(counts, w, otherwise).astype(t.dtype)
        follow = lambda u, p, mean: mean + w * ((p - mean) + u)
        sums = {k: jnp.where(counts, new_sum, s[k]) for k, new_sum in sums.items()}
        average = map_leaves(follow, u, p, s["average_params"])
        return u, {"average_params": average, **sums, "inner": new}

    slots = {"weight": scalar} if has_sum else {}
    average = like_param(copy=True)
    return around(rule, locality="element", inner=inner, average_params=average, **slots)


@transform(roles="final")
def ema_nesterov(
    inner: GradientTransformation | Pair,
    step_size: NonNegative = 0.3,
    decay: Decay = 0.99,
) -> Body:
    r"""Take gradients ahead, along an average of past steps.

    .. math::
        \theta' = p + u(p), \quad e \leftarrow \gamma e + (1-\gamma) (\theta' - \theta), \quad p
        \leftarrow \theta' + \beta e

    Here :math:`u(p)` is the update of ``inner``. The parameters :math:`p` are where gradients are
    taken. The weights :math:`\theta = p - \beta e` are behind them, and ``eval_params`` finds them.

    Args:
        inner: a whole optimizer, whose updates are added to the parameters as they leave this
            wrapper.
        step_size: how far :math:`\beta` ahead the parameters are, as a multiple of the average
            step, or its schedule: the authors let it follow the learning rate, begin after some
            hundred steps and end at 0.
        decay: the decay :math:`\gamma` of the average of steps.

    Source: Yau et al., "EMA-Nesterov", 2026, https://arxiv.org/abs/2605.25395

    Example:
        >>> import gradchain as gc
        >>> tx, params = ema_nesterov(gc.sgd(1.0), 0.5, 0.5), jnp.zeros(1)
        >>> params, state = tx.step(jnp.array([-1.0]), tx.init(params), params)
        >>> print(params, gc.eval_params(state, params))
        [1.25] [1.]
    """

    def rule(g, s, inner, p=None):
        u, new = inner(g, s["inner"], p)
        follow = lambda u, e: ema(
            s["ahead"] * e + u,
            e,
            decay,
        )
        steps = map_leaves(follow, u, s["steps"])
        # The new parameters less the old ones, of which both are ahead of the weights.
        u = map_leaves(
            lambda u, e: u + step_size * e,
            u,
            steps,
        )
        return u, {
            "ahead": jnp.asarray(step_size, s["ahead"].dtype),
            "steps": steps,
            "inner": new,
        }

    return around(
        rule,
        locality="element",
        inner=inner,
        ahead=scalar,
        steps=like_param,
    )


def _share(n: jax.Array, power: Numeric) -> jax.Array:
    """``1 - (1 - 1/n)^(power + 1)``, accurate for large n."""
    later = jnp.maximum(n, 2.0)
    return jnp.where(
        n > 1,
        -jnp.expm1((power + 1) * jnp.log1p(-1 / later)),
        1.0,
    )


# --------------------------------------------------------------------- the weights to evaluate with


@called_as("Call gc.eval_params(state, params).")
def eval_params(state: Tree, params: Params) -> Params:
    r"""The weights to evaluate with, as a state keeps them.

    They are an average of the parameters, or slow weights, in any chain, group or wrapper, foreign
    ones too: the averages of ``average_weights``, the slow weights of ``lookahead``, the weights
    behind ``ema_nesterov``, the average :math:`x` of ``schedule_free``; of any transformation, a
    slot called ``average_params``. Where there are none, and for leaves that have none, they are
    the parameters themselves. Of an average inside another wrapper's average the outer one is
    taken.

    Args:
        state: the state that ``init`` or ``update`` returned.
        params: the parameters as they are trained.

    Returns:
        A tree like ``params``, each leaf in its parameter's dtype.

    Raises:
        ValueError: if they are kept in codes by ``storage``, with the way to open them; naming the
            path, if two averages stand side by side for one leaf, or one inside
            a ``switch``, or if two leaves have the same path.

    Example:
        >>> import gradchain as gc
        >>> tx, params = gc.adam(0.1), jnp.ones(2)
        >>> print(eval_params(tx.init(params), params))
        [1. 1.]
    """
    found: dict[str, Any] = {}
    refuse_swapped("eval_params(state, params)", state, params)
    own = {path: x for path, x in named_leaves(params) if x is not None}
    _search(state, own, frozenset(), found)
    if found:
        distinct_leaves(params)
    own_type = lambda path, x: found[path].astype(jnp.result_type(x))
    pick = lambda path, x: own_type(path, x) if path in found else x
    leaves = [pick(path, x) for path, x in named_leaves(params)]
    _, treedef = flatten(params)
    return treedef.unflatten(leaves)


#: Slots that weights to evaluate with are taken from.
_WEIGHTS = {"average_params", "slow_params", "z", "steps"}


def _search(
    node: Tree, params: dict[str, Any], taken: frozenset[str], found: dict[str, Any]
) -> None:
    """Put the weights of ``node`` into ``found``, by path.

    Paths in ``taken``, which an outer average has, are left out.
    """
    node = entries(node)
    _refuse_codes(node)
    trees = {name: _slot(tree, params) for name, tree in node.items()}
    slots = {name: leaves for name, leaves in trees.items() if leaves is not None}
    weights = _weights(node, slots, params)
    own = {path: x for path, x in weights.items() if path not in taken}
    for path in own:
        if path in found:
            raise ValueError(
                f"eval_params: the state holds two averages of {path!r} side by side."
                " Wrap one around the other, or give eval_params the part of the state"
                " that is meant."
            )
    found |= own
    for name, below in node.items():
        if name not in slots:
            before = found.keys() - own.keys()
            _search(
                below,
                params,
                taken | own.keys(),
                found,
            )
            if {"first", "then"} <= node.keys() and found.keys() - own.keys() - before:
                raise ValueError(
                    f"eval_params: an average stands inside a switch, in its {name!r},"
                    " and the state does not say which of the two runs now. Put the"
                    " average around the switch."
                )


def _refuse_codes(node: dict[str, Any]) -> None:
    """Raise an error for weights that storage keeps in codes."""
    for name in _WEIGHTS & node.keys():
        paths = [path for path, x in named_leaves(node[name]) if x is not None]
        if any(path.rpartition("/")[2] == "codes" for path in paths):
            raise ValueError(
                f"eval_params: {name!r} is kept in codes, which only its storage policy can read:"
                " eval_params(gradchain.precision.opened_state(tx, state, params), params)."
            )


def _slot(tree: Tree, params: dict[str, Any]) -> dict[str, Any] | None:
    """The leaves of ``tree`` by path, if like the parameters.

    It may have holes. For a state it is ``None``.
    """
    leaves = {path: x for path, x in named_leaves(tree) if x is not None}
    return leaves if leaves.keys() <= params.keys() else None


def _weights(
    node: dict[str, Any], slots: dict[str, dict[str, jax.Array]], params: dict[str, Any]
) -> dict[str, jax.Array]:
    """The weights to evaluate with in one entry."""
    if "z" in slots and "b1" in node:  # schedule_free
        ahead = 1 / node["b1"] - 1
        average = lambda path, z: _extrapolated(params[path], z, ahead)
        return {path: average(path, z) for path, z in slots["z"].items()}
    if "steps" in slots and "ahead" in node:  # ema_nesterov
        behind = lambda path, e: _behind(
            params[path],
            e,
            node["ahead"],
        )
        return {path: behind(path, e) for path, e in slots["steps"].items()}
    kept = slots.get(
        "average_params",
        slots.get("slow_params", {}),
    )
    fits = lambda path, x: jnp.shape(x) == jnp.shape(params[path])
    return {path: x for path, x in kept.items() if fits(path, x)}


def _extrapolated(y: jax.Array, z: jax.Array, ahead: jax.Array) -> jax.Array:
    """The average :math:`x` of ``schedule_free``, from ``y`` and ``z``."""
    y = y.astype(compute_dtype(z.dtype, y.dtype))
    return y + ahead.astype(y.dtype) * (y - z)


def _behind(p: jax.Array, steps: jax.Array, ahead: jax.Array) -> jax.Array:
    """The weights behind the parameters of ``ema_nesterov``."""
    p = p.astype(compute_dtype(steps.dtype, p.dtype))
    return p - ahead.astype(p.dtype) * steps
