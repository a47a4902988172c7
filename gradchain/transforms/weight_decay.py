"""Weight decay and other penalties as members of a chain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from gradchain.core.lift import elementwise
from gradchain.core.partition import masked
from gradchain.core.ranges import Fraction, Hyper, NonNegative, Positive
from gradchain.core.slots import like_param
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, transform
from gradchain.core.types import Numeric, Params, Updates, Where
from gradchain.tree.mapping import map_leaves
from gradchain.tree.selecting import keep_leaves, select


@transform(roles="decay")
def add_decayed_weights(weight_decay: NonNegative, where: Where | None = None) -> Body:
    r"""Add a multiple of the parameters: :math:`u = g + \lambda p`.

    After an adaptive direction this is decoupled weight decay (AdamW); before one it is L2
    regularisation.

    Args:
        weight_decay: the factor :math:`\lambda \ge 0`, per unit of learning rate where one follows.
        where: the leaves that decay: a glob on paths, ``f(path, leaf) -> bool`` such as
            ``weight_matrices()``, or a tree of bools; by default all.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: Loshchilov & Hutter, "Decoupled Weight Decay Regularization", 2019,
    https://arxiv.org/abs/1711.05101

    Example:
        >>> tx, params = add_decayed_weights(0.1), jnp.array([2.0])
        >>> print(tx.update(jnp.zeros(1), tx.init(params), params)[0])
        [0.2]
    """
    return elementwise(lambda g, p: g + weight_decay * p, where)


def decaying(
    make: Callable[[Any], GradientTransformation],
    weight_decay: Numeric,
    where: Where | None,
) -> GradientTransformation:
    """``make(weight_decay)`` for the leaves that decay, ``make(0.0)`` for the others.

    It is for rules that have the decay inside.
    """
    tx = make(weight_decay)
    return tx if where is None else masked(tx, where, make(0.0))


def add_decay(
    updates: Updates,
    params: Params,
    factor: Numeric,
    where: Where | None,
) -> Updates:
    """Add a multiple of the decaying parameters to the updates."""
    chosen = keep_leaves(select(where, params), params)
    return map_leaves(
        lambda u, p: u if p is None else u + factor * p,
        updates,
        chosen,
    )


@transform(roles="decay final")
def add_independent_weight_decay(
    weight_decay: Fraction,
    where: Where | None = None,
) -> Body:
    r"""Weight decay independent of the learning rate: :math:`u = g - \lambda p`.

    It stands after ``scale_by_learning_rate``, so that each step removes the share
    :math:`\lambda` of a parameter.

    Args:
        weight_decay: the share :math:`\lambda` in [0, 1] per step, much smaller than that of
            ``add_decayed_weights``.
        where: the leaves that decay; see ``add_decayed_weights``.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: Loshchilov & Hutter, "Decoupled Weight Decay Regularization", 2019,
    https://arxiv.org/abs/1711.05101

    Example:
        >>> import gradchain as gc
        >>> tx, params = gc.chain(gc.sgd(0.5), add_independent_weight_decay(0.25)), jnp.array([2.0])
        >>> print(tx.update(jnp.ones(1), tx.init(params), params)[0])
        [-1.]
    """
    return elementwise(lambda g, p: g - weight_decay * p, where)


@transform(roles="decay")
def add_corrected_weight_decay(
    weight_decay: NonNegative,
    learning_rate: Hyper,
    max_learning_rate: Positive,
    where: Where | None = None,
) -> Body:
    r"""Weight decay in proportion to the learning rate.

    .. math::
        u = g + \lambda \frac{\eta_t}{\eta_{\max}} p

    With ``scale_by_learning_rate(learning_rate)`` after it the decay is in proportion to the square
    of the rate, which keeps the ratio of gradient to weight norms of normalized layers steady while
    the rate falls.

    Args:
        weight_decay: the factor :math:`\lambda` at the largest learning rate.
        learning_rate: the rate :math:`\eta`, or the schedule of the rate that follows.
        max_learning_rate: its largest value :math:`\eta_{\max}`.
        where: the leaves that decay; see ``add_decayed_weights``.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: Defazio, "Why Gradients Rapidly Increase Near the End of Training", 2025,
    https://arxiv.org/abs/2506.02285

    Example:
        >>> tx, params = add_corrected_weight_decay(0.5, 0.1, 0.2), jnp.array([2.0])
        >>> print(tx.update(jnp.zeros(1), tx.init(params), params)[0])
        [0.5]
    """

    def rule(g, p):
        return g + weight_decay * learning_rate / max_learning_rate * p

    return elementwise(rule, where)


@transform(roles="decay")
def add_cautious_weight_decay(weight_decay: NonNegative, where: Where | None = None) -> Body:
    r"""Decay only the elements that the step shrinks anyway.

    .. math::
        u = g + \lambda p \, [g p \ge 0]

    Args:
        weight_decay: the factor :math:`\lambda`, as of ``add_decayed_weights``.
        where: the leaves that decay; see ``add_decayed_weights``.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: Chen et al., "Cautious Weight Decay", 2025, https://arxiv.org/abs/2510.12402

    Example:
        >>> tx, params = add_cautious_weight_decay(0.5), jnp.array([2.0, 2.0])
        >>> print(tx.update(jnp.array([1.0, -1.0]), tx.init(params), params)[0])
        [ 2. -1.]
    """

    def rule(g, p):
        agree = (jnp.conj(g) * p).real >= 0
        return g + jnp.where(agree, weight_decay * p, jnp.zeros_like(p))

    return elementwise(rule, where)


@transform(roles="decay")
def decay_towards_initial(weight_decay: NonNegative, where: Where | None = None) -> Body:
    r"""Decay towards the initial parameters: :math:`u = g + \lambda (p - p_0)`.

    For fine-tuning. Before an adaptive direction it is the L2-SP penalty, after one it is
    decoupled.

    Args:
        weight_decay: the factor :math:`\lambda`, as of ``add_decayed_weights``.
        where: the leaves that are pulled, which keep a copy of their start; see
            ``add_decayed_weights``.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: Li, Grandvalet & Davoine, "Explicit Inductive Bias for Transfer Learning with
    Convolutional Networks", 2018, https://arxiv.org/abs/1802.01483

    Example:
        >>> tx = decay_towards_initial(0.5)
        >>> state = tx.init(jnp.array([2.0]))
        >>> print(tx.update(jnp.zeros(1), state, jnp.array([3.0]))[0])
        [0.5]
    """

    def rule(g, s, p):
        return g + weight_decay * (p - s["initial"]), {"initial": s["initial"]}

    return elementwise(rule, where, initial=like_param(copy=True))


@transform(roles="decay")
def add_l1(strength: NonNegative, where: Where | None = None) -> Body:
    r"""Add the slope of the L1 penalty :math:`\lambda \lVert p \rVert_1`.

    .. math::
        u = g + \lambda \, \mathrm{sign}(p)

    The slope alone never makes a parameter zero; ``prox(l1(...))`` after the step does.

    Args:
        strength: the factor :math:`\lambda`, in the units of the gradient.
        where: the leaves that are penalized; see ``add_decayed_weights``.

    Raises:
        TypeError: if ``update`` is called without ``params``.

    Source: Tibshirani, "Regression Shrinkage and Selection via the Lasso", 1996,
    https://doi.org/10.1111/j.2517-6161.1996.tb02080.x

    Example:
        >>> tx, params = add_l1(0.5), jnp.array([2.0, 0.0])
        >>> print(tx.update(jnp.ones(2), tx.init(params), params)[0])
        [1.5 1. ]
    """
    return elementwise(lambda g, p: g + strength * jnp.sign(p), where)
