r"""Gauss-Newton (Schraudolph, 2002) and natural gradient (Amari, 1998).

The directions come from the Gauss-Newton matrix :math:`J^* H J` of a model and a loss of its
outputs. They take the model as ``model_fn=``, from parameters to a tree of outputs, and the loss as
``loss_fn=``, from outputs to a scalar; both close over the batch. Without ``loss_fn`` it is half
the sum of squares: the outputs are residuals. The gradient ``g`` is that of
``loss_fn(model_fn(params))``, of which the matrix is the Hessian without the curvature of the
model: it is never negative where the loss is convex in the outputs. The directions point uphill, as
the gradient does; where one does not, or is not finite, it is the gradient itself.
"""

from __future__ import annotations

import jax

from gradchain.core.errors import check_one_of
from gradchain.core.ranges import Hyper, NonNegative, PositiveInt
from gradchain.core.roles import with_roles
from gradchain.core.stage import Body
from gradchain.core.transformation import GradientTransformation, chain, recipe, transform
from gradchain.core.trees import treewise
from gradchain.core.types import Tree
from gradchain.curvature.damped import (
    Preconditioner,
    along_gradient,
    check_preconditioner,
    forced,
    forcing,
    solve_cg,
    solve_semidefinite,
)
from gradchain.curvature.fisher import fisher_operator
from gradchain.curvature.products import gauss_newton_operator
from gradchain.optimizers.second_order.searched import with_line_search
from gradchain.transforms.scaling import scale_by_learning_rate
from gradchain.tree.norms import dot
from gradchain.tree.random import step_key

LIKELIHOODS = ("categorical", "normal", "bernoulli", "poisson")


def half_sum_of_squares(outputs: Tree) -> jax.Array:
    """The loss of residuals, where no other is given."""
    return 0.5 * dot(outputs, outputs)


@transform
def scale_by_gauss_newton(
    damping: NonNegative = 0.0,
    tol: NonNegative | None = None,
    max_steps: PositiveInt | None = None,
    preconditioner: Preconditioner = None,
    solver: str = "cg",
    seed: int = 0,
) -> Body:
    r"""The Gauss-Newton direction :math:`u = (J^* H J + \lambda I)^{-1} g`.

    ``update`` takes ``model_fn=``, from parameters to outputs, and ``loss_fn=``, from outputs to a
    number, of which half the sum of squares is the default.

    Args:
        damping: :math:`\lambda`, in units of the curvature. With more parameters than outputs the
            matrix is singular: then it keeps the direction short.
        tol: the accuracy of the direction, relative to the gradient; ``None`` as for
            ``scale_by_newton_cg``. For ``solver="cg"``, as are the next two.
        max_steps: the number of products, at most; ``None``: twice as many as there are parameters.
        preconditioner: ``None``, ``"hutchinson"`` or a function, as for ``scale_by_newton_cg``.
        solver: ``"cg"``, conjugate gradients on products with the matrix; or ``"dense"``, which
            makes the matrix whole and decomposes it, for up to a few thousand parameters. Where the
            matrix is singular, ``"dense"`` without damping takes eigenvalues below the rounding for
            the rounding.
        seed: chooses the random vectors of ``"hutchinson"``; ``update(..., key=key)`` draws them
            from a key instead.

    Raises:
        ValueError: if an argument is out of range.

    Source: Nocedal & Wright, "Numerical Optimization", 2006, section 10.3; Schraudolph, "Fast
    Curvature Matrix-Vector Products for Second-Order Gradient Descent", 2002,
    https://doi.org/10.1162/08997660260028683

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> tx, params = scale_by_gauss_newton(solver="dense"), jnp.array([3.0, 1.0])
        >>> residuals = lambda p: jnp.array([p[0] - 1.0, 10.0 * (p[1] - 2.0), p[0] - 1.0])
        >>> grads = jax.grad(lambda p: 0.5 * (residuals(p) ** 2).sum())(params)
        >>> print(tx.update(grads, tx.init(params), params, model_fn=residuals)[0].round(4))
        [ 2. -1.]
    """
    check_preconditioner("scale_by_gauss_newton", preconditioner)
    check_one_of("scale_by_gauss_newton", ["cg", "dense"], solver=solver)
    if solver == "dense" and not (tol is max_steps is preconditioner is None):
        raise ValueError(
            "scale_by_gauss_newton: tol, max_steps and preconditioner are for solver='cg';"
            " leave them out."
        )

    def rule(g, s, p, model_fn, loss_fn=half_sum_of_squares, key=None):
        operator = gauss_newton_operator(model_fn, loss_fn, p)
        if solver == "dense":
            return along_gradient(solve_semidefinite(operator, g, damping), g), {}
        accuracy, new = forcing(g, s, tol)
        limits = {"tol": accuracy, "max_steps": max_steps}
        u, _ = solve_cg(operator, g, p, damping, preconditioner, key, **limits)
        return along_gradient(u, g), new

    def rule_at_random(
        g,
        s,
        p,
        count,
        model_fn,
        loss_fn=half_sum_of_squares,
        key=None,
    ):
        return rule(g, s, p, model_fn, loss_fn, step_key(seed, count, key))

    slots = forced(tol) if solver == "cg" else {}
    return treewise(rule_at_random if preconditioner == "hutchinson" else rule, **slots)


@transform
def scale_by_natural_gradient(
    likelihood: str,
    damping: NonNegative = 1e-3,
    tol: NonNegative = 1e-3,
    max_steps: PositiveInt | None = 50,
) -> Body:
    r"""The natural gradient :math:`u = (F + \lambda I)^{-1} g`.

    :math:`F` is the true Fisher matrix of a model:

    .. math::
        F = \frac{1}{n} \sum_{i=1}^n \mathrm{E}_{y \sim p(y \mid z_i)} [g_i g_i^T], \quad
        g_i = \nabla_p \log p(y \mid z_i)

    The outputs :math:`z` of ``update(..., model_fn=model_fn)`` are the natural parameters of the
    distribution of the targets: one array, whose first dimension counts the examples. The loss
    whose gradient is given should be the mean of the negative logarithm of the likelihood. Without
    damping the path of the model does not depend on how it is parameterised, as far as steps are
    short. It is found by conjugate gradients; see ``fisher_operator``.

    Args:
        likelihood: the meaning of the outputs: ``"categorical"``, logits with the classes along the
            last dimension; ``"normal"``, means of a variance of 1; ``"bernoulli"``, logits;
            ``"poisson"``, logarithms of rates.
        damping: :math:`\lambda`, in units of the curvature.
        tol: the accuracy of the direction, relative to the gradient.
        max_steps: the number of products, at most; ``None``: twice as many as there are parameters.

    Raises:
        ValueError: if ``likelihood`` is unknown, or another argument out of range.

    Source: Amari, "Natural Gradient Works Efficiently in Learning", 1998,
    https://doi.org/10.1162/089976698300017746; Martens, "New Insights and Perspectives on the
    Natural Gradient Method", 2020, https://arxiv.org/abs/1412.1193

    Example:
        >>> import jax.numpy as jnp
        >>> x = jnp.array([[1.0, 0.0], [0.0, 2.0]])
        >>> tx, params = scale_by_natural_gradient("normal", damping=0.0), jnp.ones(2)
        >>> grads = x.T @ (x @ params) / 2
        >>> print(tx.update(grads, tx.init(params), params, model_fn=lambda w: x @ w)[0].round(4))
        [1. 1.]
    """
    check_one_of("scale_by_natural_gradient", LIKELIHOODS, likelihood=likelihood)

    def rule(g, p, model_fn):
        operator = fisher_operator(model_fn, p, likelihood)
        u, _ = solve_cg(operator, g, p, damping, tol=tol, max_steps=max_steps)
        return along_gradient(u, g)

    return treewise(rule)


@recipe
@with_roles("step")
def gauss_newton(
    damping: NonNegative = 0.0,
    tol: NonNegative | None = None,
    max_steps: PositiveInt | None = None,
    preconditioner: Preconditioner = None,
    solver: str = "cg",
    line_search: GradientTransformation | None = None,
    seed: int = 0,
) -> GradientTransformation:
    """The Gauss-Newton method: ``scale_by_gauss_newton``, then a line search.

    ``update`` needs ``model_fn=`` and, unless the outputs are residuals, ``loss_fn=``; a line
    search needs the loss of the parameters too, ``value_fn=``.

    Args:
        damping: is added to the curvature.
        tol: the accuracy of the direction, relative to the gradient; ``None``: as
            ``scale_by_gauss_newton`` chooses it.
        max_steps: the number of products for a direction, at most; ``None``: twice the parameters.
        preconditioner: ``None``, ``"hutchinson"`` or a function; see ``scale_by_newton_cg``.
        solver: ``"cg"``, or ``"dense"`` for few parameters.
        line_search: follows the direction; ``strong_wolfe()`` by default, and ``scale(1.0)`` takes
            the direction as it is.
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
    direction = scale_by_gauss_newton(
        damping,
        tol,
        max_steps,
        preconditioner,
        solver,
        seed,
    )
    return with_line_search(direction, line_search)


@recipe
def natural_gradient(
    learning_rate: Hyper,
    likelihood: str,
    damping: NonNegative = 1e-3,
    tol: NonNegative = 1e-3,
    max_steps: PositiveInt | None = 50,
) -> GradientTransformation:
    """Natural gradient descent: ``scale_by_natural_gradient``, then the learning rate.

    ``update`` needs ``model_fn=``, from parameters to the natural parameters of the targets'
    distribution.

    Args:
        learning_rate: the rate, or its schedule: the share of the step that would be right for a
            quadratic, 1 at most.
        likelihood: ``"categorical"``, ``"normal"``, ``"bernoulli"`` or ``"poisson"``.
        damping: is added to the Fisher matrix.
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
