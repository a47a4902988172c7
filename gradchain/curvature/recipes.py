"""Optimizers of second order: directions, line searches and rates put together."""

from __future__ import annotations

from typing import Any

from gradchain.call import Hyper
from gradchain.core import GradientTransformation, chain, recipe
from gradchain.curvature.diagonal_directions import scale_by_adahessian, scale_by_sophia
from gradchain.curvature.lbfgsb import scale_by_lbfgsb
from gradchain.curvature.line_search.strong_wolfe import strong_wolfe
from gradchain.curvature.nonlinear_cg import scale_by_nonlinear_cg
from gradchain.curvature.quasi_newton import scale_by_bfgs, scale_by_dfp, scale_by_lbfgs
from gradchain.transforms.basic import scale, scale_by_learning_rate
from gradchain.transforms.decay import add_decayed_weights


def searched(direction: GradientTransformation, line_search: GradientTransformation | None) -> Any:
    """A direction, downhill, and how far to go along it: by ``strong_wolfe()`` unless something else is given."""
    return chain(direction, scale(-1.0), strong_wolfe() if line_search is None else line_search)


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
def lbfgs(memory_size: int = 10, line_search: GradientTransformation | None = None, *, form: str = "two_loop") -> Any:
    """L-BFGS: Newton's direction from the last steps and changes of the gradient, then a line search.

    ``update`` needs the loss, ``value_fn=``, unless ``line_search`` is a fixed rate.

    Args:
        memory_size: how many pairs of a step and its change of the gradient to keep.
        line_search: what follows the direction, ``strong_wolfe()`` by default; ``scale(0.1)`` is a fixed rate.
        form: ``"two_loop"``, or ``"compact"`` for parameters that are split over devices; see ``scale_by_lbfgs``.

    Source: Liu & Nocedal, "On the limited memory BFGS method for large scale optimization", 1989,
    https://doi.org/10.1007/BF01589116

    Example:
        >>> import jax.numpy as jnp
        >>> import gradchain as gc
        >>> result = gc.minimize(lambda p: jnp.sum((p - 1.0) ** 4), jnp.zeros(2), gc.lbfgs())
        >>> print(result.status.words)
        converged: the gradient is within the tolerance
    """
    return searched(scale_by_lbfgs(memory_size, form), line_search)


@recipe
def lbfgsb(memory_size: int = 10, line_search: GradientTransformation | None = None) -> Any:
    """L-BFGS-B: L-BFGS in a box; ``minimize(..., bounds=...)`` gives it the bounds.

    Args:
        memory_size: how many pairs of a step and its change of the gradient to keep.
        line_search: what follows the step, ``strong_wolfe(max_step=1.0)`` by default: longer steps may leave the box.

    Source: Byrd, Lu, Nocedal & Zhu, "A Limited Memory Algorithm for Bound Constrained Optimization", 1995,
    https://doi.org/10.1137/0916069

    Example:
        >>> import jax.numpy as jnp
        >>> import gradchain as gc
        >>> loss = lambda p: (p[0] - 3.0) ** 2 + (p[1] - p[0]) ** 2
        >>> print(gc.minimize(loss, jnp.zeros(2), gc.lbfgsb(), bounds=(0.0, 2.0)).params)
        [2. 2.]
    """
    return searched(scale_by_lbfgsb(memory_size), strong_wolfe(max_step=1.0) if line_search is None else line_search)


@recipe
def bfgs(line_search: GradientTransformation | None = None) -> Any:
    """BFGS: Newton's direction from all steps and changes of the gradient, as one dense matrix, then a line search.

    For some thousand parameters at most; ``lbfgs`` does with a few arrays. ``update`` needs the loss, ``value_fn=``,
    unless ``line_search`` is a fixed rate.

    Args:
        line_search: see ``lbfgs``.

    Source: Fletcher, "A New Approach to Variable Metric Algorithms", 1970, https://doi.org/10.1093/comjnl/13.3.317;
    and see ``scale_by_bfgs``.

    Example:
        >>> import jax.numpy as jnp
        >>> import gradchain as gc
        >>> result = gc.minimize(lambda p: jnp.sum(jnp.cosh(p - 1.0)), jnp.zeros(2), bfgs())
        >>> print(result.params.round(3))
        [1. 1.]
    """
    return searched(scale_by_bfgs(), line_search)


@recipe
def dfp(line_search: GradientTransformation | None = None) -> Any:
    """The method of Davidon, Fletcher & Powell: as ``bfgs``, with the older formula for the matrix.

    It needs a line search that is more exact than ``bfgs`` does, hence another default.

    Args:
        line_search: what follows the direction, ``strong_wolfe(c2=0.1)`` by default.

    Source: Fletcher & Powell, "A Rapidly Convergent Descent Method for Minimization", 1963,
    https://doi.org/10.1093/comjnl/6.2.163

    Example:
        >>> import jax.numpy as jnp
        >>> import gradchain as gc
        >>> result = gc.minimize(lambda p: jnp.sum(jnp.cosh(p - 1.0)), jnp.zeros(2), dfp())
        >>> print(result.params.round(3))
        [1. 1.]
    """
    return searched(scale_by_dfp(), strong_wolfe(c2=0.1) if line_search is None else line_search)


@recipe
def nonlinear_cg(
    method: str = "polak_ribiere",
    line_search: GradientTransformation | None = None,
    *,
    restart_every: int | None = None,
    restart_threshold: Hyper | None = None,
) -> Any:
    """Nonlinear conjugate gradients: the gradient and the last direction, then a line search.

    It remembers two arrays like the parameters, less than ``lbfgs`` with two pairs, and takes more steps. ``update``
    needs the loss, ``value_fn=``, unless ``line_search`` is a fixed rate.

    Args:
        method: ``"polak_ribiere"``, ``"fletcher_reeves"``, ``"hestenes_stiefel"``, ``"dai_yuan"`` or
            ``"hager_zhang"``; see ``scale_by_nonlinear_cg``.
        line_search: what follows the direction, ``strong_wolfe(c2=0.1, guess="previous")`` by default.
        restart_every: see ``scale_by_nonlinear_cg``.
        restart_threshold: see ``scale_by_nonlinear_cg``.

    Source: Polak & Ribiere, "Note sur la convergence de methodes de directions conjuguees", 1969,
    https://doi.org/10.1051/m2an/196903R100351; and see ``scale_by_nonlinear_cg``.

    Example:
        >>> import jax.numpy as jnp
        >>> import gradchain as gc
        >>> result = gc.minimize(lambda p: jnp.sum(jnp.cosh(p - 1.0)), jnp.zeros(2), nonlinear_cg())
        >>> print(result.params.round(3))
        [1. 1.]
    """
    direction = scale_by_nonlinear_cg(method, restart_every, restart_threshold)
    return searched(direction, strong_wolfe(c2=0.1, guess="previous") if line_search is None else line_search)
