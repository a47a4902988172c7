"""Optimizers of second order: directions, line searches and rates put together."""

from __future__ import annotations

from typing import Any

from gradchain.call import Hyper
from gradchain.core import GradientTransformation, chain, recipe
from gradchain.curvature.diagonal_directions import scale_by_adahessian, scale_by_sophia
from gradchain.curvature.line_search.strong_wolfe import strong_wolfe
from gradchain.curvature.quasi_newton import scale_by_lbfgs
from gradchain.transforms.basic import scale, scale_by_learning_rate
from gradchain.transforms.decay import add_decayed_weights


@recipe
def sophia(
    learning_rate: Hyper,
    b1: Hyper = 0.96,
    b2: Hyper = 0.99,
    eps: Hyper = 1e-12,
    weight_decay: Hyper = 1e-4,
    where: Any = None,
    *,
    gamma: Hyper = 0.01,
    update_every: int = 10,
    estimator: str = "hutchinson",
    batch_size: int | None = None,
    seed: int = 0,
) -> Any:
    """Sophia with decoupled weight decay: ``scale_by_sophia``, ``add_decayed_weights``, then the learning rate.

    Args:
        learning_rate: the rate, or its schedule: the most that an element moves in a step, weight decay aside. About
            what suits ``lion``, and a little less than what suits ``adamw``.
        b1: decay of the momentum.
        b2: decay of the average of the Hessian's diagonal, at each estimate.
        eps: the least curvature.
        weight_decay: the decay, multiplied by the learning rate.
        where: the leaves that decay; see ``add_decayed_weights``.
        gamma: how much of the curvature to divide by.
        update_every: steps from one estimate of the diagonal to the next.
        estimator: ``"hutchinson"``, from ``value_fn=``, or ``"gauss_newton_bartlett"``, from ``sampled_value_fn=``.
        batch_size: the number of examples that ``sampled_value_fn`` is the mean of.
        seed: chooses the random signs or labels.

    Source: see ``scale_by_sophia``.

    Example:
        >>> import jax.numpy as jnp
        >>> tx, params = sophia(0.25, b1=0.0, b2=0.0, weight_decay=0.0, gamma=1.0), jnp.array([1.0, 1.0])
        >>> value_fn = lambda p: 2.0 * p[0] ** 2 - p[1] ** 2
        >>> params, state = tx.step(jnp.array([2.0, -2.0]), tx.init(params), params, value_fn=value_fn)
        >>> print(params)
        [0.875 1.25 ]
    """
    return chain(
        scale_by_sophia(b1, b2, eps, gamma, update_every, estimator, batch_size, seed),
        add_decayed_weights(weight_decay, where),
        scale_by_learning_rate(learning_rate),
    )


@recipe
def adahessian(
    learning_rate: Hyper,
    b1: Hyper = 0.9,
    b2: Hyper = 0.999,
    eps: Hyper = 1e-4,
    weight_decay: Hyper = 1e-4,
    where: Any = None,
    *,
    hessian_power: Hyper = 1.0,
    update_every: int = 1,
    average: str | None = "spatial",
    seed: int = 0,
) -> Any:
    """AdaHessian with decoupled weight decay: ``scale_by_adahessian``, ``add_decayed_weights``, the learning rate.

    Args:
        learning_rate: the rate, or its schedule, without units where ``hessian_power`` is 1; 0.15 in the paper.
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
        >>> value_fn = lambda p: 2.0 * p[0] ** 2 + p[1] ** 2
        >>> params, state = tx.step(jnp.array([4.0, 6.0]), tx.init(params), params, value_fn=value_fn)
        >>> print(params.round(2))
        [0.5 1.5]
    """
    return chain(
        scale_by_adahessian(b1, b2, eps, hessian_power, update_every, average, seed),
        add_decayed_weights(weight_decay, where),
        scale_by_learning_rate(learning_rate),
    )


@recipe
def lbfgs(memory_size: int = 10, line_search: GradientTransformation | None = None) -> Any:
    """L-BFGS: Newton's direction from the last steps and changes of the gradient, then a line search.

    Args:
        memory_size: how many pairs of a step and its change of the gradient to keep.
        line_search: what follows the direction, ``strong_wolfe()`` by default; ``scale(0.1)`` is a fixed rate.

    Source: Liu & Nocedal, "On the limited memory BFGS method for large scale optimization", 1989,
    https://doi.org/10.1007/BF01589116

    Example:
        >>> import jax.numpy as jnp
        >>> import gradchain as gc
        >>> result = gc.minimize(lambda p: jnp.sum((p - 1.0) ** 4), jnp.zeros(2), gc.lbfgs())
        >>> print(result.status.words)
        converged: the gradient is within the tolerance
    """
    return chain(scale_by_lbfgs(memory_size), scale(-1.0), strong_wolfe() if line_search is None else line_search)
