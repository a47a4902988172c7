"""Newton's method and its relatives: directions from products with a curvature matrix, then a line search or a rate."""

from __future__ import annotations

from typing import Any

from gradchain.call import Hyper
from gradchain.core import GradientTransformation, chain, recipe
from gradchain.curvature.damped import Preconditioner
from gradchain.curvature.gauss_newton import scale_by_gauss_newton, scale_by_natural_gradient
from gradchain.curvature.hessian_free import scale_by_hessian_free
from gradchain.curvature.newton import scale_by_newton, scale_by_newton_cg
from gradchain.curvature.recipes import searched
from gradchain.transforms.basic import scale_by_learning_rate


@recipe
def newton(damping: Hyper = 0.0, line_search: GradientTransformation | None = None) -> Any:
    """Newton's method with a whole Hessian, made positive definite: ``scale_by_newton``, then a line search.

    ``update`` needs the loss, ``value_fn=``.

    Args:
        damping: what is added to the curvature.
        line_search: what follows the direction, ``strong_wolfe()`` by default; ``scale(1.0)`` takes it as it is.

    Source: see ``scale_by_newton``.

    Example:
        >>> import jax.numpy as jnp
        >>> import gradchain as gc
        >>> result = gc.minimize(lambda p: jnp.sum(jnp.cosh(p - 1.0)), jnp.zeros(2), newton())
        >>> print(result.params.round(3))
        [1. 1.]
    """
    return searched(scale_by_newton(damping), line_search)


@recipe
def newton_cg(
    damping: Hyper = 0.0,
    tol: Hyper | None = None,
    max_steps: int | None = None,
    preconditioner: Preconditioner = None,
    line_search: GradientTransformation | None = None,
    seed: int = 0,
) -> Any:
    """Newton's method by conjugate gradients: ``scale_by_newton_cg``, then a line search.

    ``update`` needs the loss, ``value_fn=``.

    Args:
        damping: what is added to the curvature.
        tol: the accuracy of the direction, relative to the gradient; ``None``: as ``scale_by_newton_cg`` chooses it.
        max_steps: the number of Hessian-vector products for a direction, at most; ``None``: twice the parameters.
        preconditioner: ``None``, ``"hutchinson"`` or a function; see ``scale_by_newton_cg``.
        line_search: what follows the direction, ``strong_wolfe()`` by default; ``scale(1.0)`` takes it as it is.
        seed: chooses the random vectors of ``"hutchinson"``.

    Source: see ``scale_by_newton_cg``.

    Example:
        >>> import jax.numpy as jnp
        >>> import gradchain as gc
        >>> result = gc.minimize(lambda p: jnp.sum(jnp.cosh(p - 1.0)), jnp.zeros(2), newton_cg())
        >>> print(result.params.round(3))
        [1. 1.]
    """
    return searched(scale_by_newton_cg(damping, tol, max_steps, preconditioner, seed), line_search)


@recipe
def gauss_newton(
    damping: Hyper = 0.0,
    tol: Hyper | None = None,
    max_steps: int | None = None,
    preconditioner: Preconditioner = None,
    solver: str = "cg",
    line_search: GradientTransformation | None = None,
    seed: int = 0,
) -> Any:
    """The Gauss-Newton method: ``scale_by_gauss_newton``, then a line search.

    ``update`` needs ``model_fn=`` and, unless the outputs are residuals, ``loss_fn=``; a line search needs the loss of
    the parameters too, ``value_fn=``.

    Args:
        damping: what is added to the curvature.
        tol: the accuracy of the direction, relative to the gradient; ``None``: as ``scale_by_gauss_newton`` chooses it.
        max_steps: the number of products for a direction, at most; ``None``: twice the parameters.
        preconditioner: ``None``, ``"hutchinson"`` or a function; see ``scale_by_newton_cg``.
        solver: ``"cg"``, or ``"dense"`` for few parameters.
        line_search: what follows the direction, ``strong_wolfe()`` by default; ``scale(1.0)`` takes it as it is.
        seed: chooses the random vectors of ``"hutchinson"``.

    Source: see ``scale_by_gauss_newton``.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import gradchain as gc
        >>> tx, params = gauss_newton(tol=0.0, line_search=gc.scale(1.0)), jnp.array([3.0, 1.0])
        >>> residuals = lambda p: jnp.array([p[0] - 1.0, 10.0 * (p[1] - 2.0)])
        >>> grads = jax.grad(lambda p: 0.5 * (residuals(p) ** 2).sum())(params)
        >>> print(tx.step(grads, tx.init(params), params, model_fn=residuals)[0].round())
        [1. 2.]
    """
    return searched(scale_by_gauss_newton(damping, tol, max_steps, preconditioner, solver, seed), line_search)


@recipe
def natural_gradient(
    learning_rate: Hyper,
    likelihood: str,
    damping: Hyper = 1e-3,
    tol: Hyper = 1e-3,
    max_steps: int | None = 50,
) -> Any:
    """Natural gradient descent: ``scale_by_natural_gradient``, then the learning rate.

    ``update`` needs ``model_fn=``, from parameters to the natural parameters of the targets' distribution.

    Args:
        learning_rate: the rate, or its schedule: the share of the step that would be right for a quadratic, 1 at most.
        likelihood: ``"categorical"``, ``"normal"``, ``"bernoulli"`` or ``"poisson"``.
        damping: what is added to the Fisher matrix.
        tol: the accuracy of the direction, relative to the gradient.
        max_steps: the number of products for a direction, at most.

    Source: see ``scale_by_natural_gradient``.

    Example:
        >>> import jax.numpy as jnp
        >>> x, y = jnp.array([[1.0, 0.0], [0.0, 2.0]]), jnp.array([3.0, 4.0])
        >>> tx, params = natural_gradient(1.0, "normal", damping=0.0), jnp.zeros(2)
        >>> grads = x.T @ (x @ params - y) / 2
        >>> print(tx.step(grads, tx.init(params), params, model_fn=lambda w: x @ w)[0].round())
        [3. 2.]
    """
    direction = scale_by_natural_gradient(likelihood, damping, tol, max_steps)
    return chain(direction, scale_by_learning_rate(learning_rate))


@recipe
def hessian_free(
    damping: Hyper = 1.0,
    decay: Hyper = 0.95,
    max_steps: int = 250,
    line_search: GradientTransformation | None = None,
) -> Any:
    """Hessian-free optimization: ``scale_by_hessian_free``, then a line search.

    ``update`` needs ``model_fn=`` and, unless the outputs are residuals, ``loss_fn=``; a line search needs the loss of
    the parameters too, ``value_fn=``.

    Args:
        damping: what is added to the curvature at first; it adapts.
        decay: what the last direction is multiplied by, where conjugate gradients begin.
        max_steps: the number of products for a direction, at most.
        line_search: what follows the direction, ``strong_wolfe()`` by default; ``scale(1.0)`` takes it as it is.

    Source: see ``scale_by_hessian_free``.

    Example:
        >>> import jax.numpy as jnp
        >>> import gradchain as gc
        >>> tx, params = hessian_free(line_search=gc.scale(1.0)), jnp.array([3.0])
        >>> print(tx.step(params, tx.init(params), params, model_fn=lambda p: p)[0])
        [1.5]
    """
    return searched(scale_by_hessian_free(damping, decay, max_steps), line_search)
