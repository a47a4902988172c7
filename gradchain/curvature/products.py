r"""Products with the Hessian, the Gauss-Newton matrix and the Jacobian of a function of a tree,
never made whole.

``*_operator`` functions do the work that does not depend on the vector once, and return a function
from vector to product: what Lanczos' method, conjugate gradients and estimators of traces multiply
by. ``*_vector_product`` functions make one product.

Parameters and vectors are taken in float32 at least, and so are the results. ``None`` leaves are
holes: they take no part. A complex parameter is the pair of its real and imaginary parts: vectors
are complex numbers :math:`x + iy` that stand for such pairs, inner products are
:math:`\mathrm{Re}\, \bar a^T b`, and every operator here is linear and adjoint in that sense, with
real factors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gradchain.core.errors import check_at_least
from gradchain.curvature.vectors import map_basis, to_vector, vector_like
from gradchain.tree.mapping import upcast


def _conj(tree: Any) -> Any:
    return jax.tree.map(lambda x: jnp.conj(x) if jnp.iscomplexobj(x) else x, tree)


def _uphill(fun: Callable, args: tuple) -> Callable:
    """The gradient of a scalar function; ``jax.grad`` gives its conjugate for complex parameters."""
    return lambda params: _conj(jax.grad(fun)(params, *args))


# ----------------------------------------------------------------------------------------- Hessians


def hessian_operator(fun: Callable, params: Any, *args: Any) -> Callable[[Any], Any]:
    r"""The Hessian of a function at a point, as a function from vector to product :math:`v \mapsto
    \nabla^2 f(p) v`.

    The gradient is linearised once: each product then costs about one gradient, and the
    intermediate results of the network are kept in memory for as long as the operator is.

    Args:
        fun: from parameters, and ``args``, to a scalar.
        params: the point, a tree.
        args: what else ``fun`` takes.

    Returns:
        A function from a tree like ``params`` to another one.

    Source: Pearlmutter, "Fast Exact Multiplication by the Hessian", 1994,
    https://doi.org/10.1162/neco.1994.6.1.147

    Example:
        >>> product = hessian_operator(lambda p: p["a"] ** 2 * p["b"], {"a": 3.0, "b": 5.0})
        >>> print(*(product({"a": v, "b": 0.0})["b"] for v in (1.0, 2.0)))
        6.0 12.0
    """
    params = upcast(params)
    _, product = jax.linearize(_uphill(fun, args), params)
    return lambda vector: product(vector_like("hessian_operator", vector, params))


def hessian_vector_product(fun: Callable, params: Any, vector: Any, *args: Any) -> Any:
    r"""The product :math:`\nabla^2 f(p) v`, by a derivative of the gradient along ``vector``.

    It costs about two gradients. Where many products are needed at one point, see
    ``hessian_operator``.

    Args:
        fun: from parameters, and ``args``, to a scalar.
        params: the point, a tree.
        vector: a tree like ``params``.
        args: what else ``fun`` takes.

    Raises:
        ValueError: naming the path, if ``vector`` is not like ``params``.

    Source: Pearlmutter, "Fast Exact Multiplication by the Hessian", 1994,
    https://doi.org/10.1162/neco.1994.6.1.147

    Example:
        >>> print(hessian_vector_product(lambda x: jnp.sum(x**3), jnp.array([1.0, 2.0]), jnp.array([1.0, -1.0])))
        [  6. -12.]
    """
    params = upcast(params)
    return jax.jvp(
        _uphill(fun, args), (params,), (vector_like("hessian_vector_product", vector, params),)
    )[1]


# ---------------------------------------------------------------------------------------- Jacobians


class Linearization(NamedTuple):
    """A function near a point, as ``linearization`` makes it.

    Attributes:
        outputs: its value there.
        forward: from a change of the parameters to that of the outputs.
        adjoint: the adjoint of ``forward``, from outputs to parameters.
    """

    outputs: Any
    forward: Callable[[Any], Any]
    adjoint: Callable[[Any], Any]


def linearization(fun: Callable, params: Any, *args: Any) -> Linearization:
    r"""A function's value at a point, and products with its Jacobian :math:`J` and the adjoint
    :math:`J^*`.

    The function itself is evaluated once, however many products follow.

    Args:
        fun: from parameters, and ``args``, to a tree of outputs.
        params: the point, a tree.
        args: what else ``fun`` takes.

    Example:
        >>> at = linearization(lambda x: x**2, jnp.array([1.0, 3.0]))
        >>> print(at.outputs, at.forward(jnp.ones(2)), at.adjoint(jnp.array([0.0, 1.0])))
        [1. 9.] [2. 6.] [0. 6.]
    """
    params = upcast(params)
    outputs, forward = jax.linearize(lambda p: fun(p, *args), params)
    transpose = jax.linear_transpose(forward, params)

    def adjoint(cotangent: Any) -> Any:
        # JAX transposes without a conjugate: the adjoint has one on both sides.
        return _conj(transpose(_conj(vector_like("linearization.adjoint", cotangent, outputs)))[0])

    return Linearization(
        outputs, lambda v: forward(vector_like("linearization.forward", v, params)), adjoint
    )


def jacobian_vector_product(fun: Callable, params: Any, vector: Any, *args: Any) -> Any:
    """The derivative of a function along a vector, :math:`J v`.

    Args:
        fun: from parameters, and ``args``, to a tree of outputs.
        params: the point, a tree.
        vector: a tree like ``params``.
        args: what else ``fun`` takes.

    Returns:
        A tree like the outputs.

    Example:
        >>> print(jacobian_vector_product(jnp.sin, jnp.zeros(2), jnp.array([1.0, 2.0])))
        [1. 2.]
    """
    params = upcast(params)
    vector = vector_like("jacobian_vector_product", vector, params)
    return jax.jvp(lambda p: fun(p, *args), (params,), (vector,))[1]


def vector_jacobian_product(fun: Callable, params: Any, vector: Any, *args: Any) -> Any:
    r"""The product of the adjoint of the Jacobian and a vector, :math:`J^* u`.

    Args:
        fun: from parameters, and ``args``, to a tree of outputs.
        params: the point, a tree.
        vector: a tree like the outputs.
        args: what else ``fun`` takes.

    Returns:
        A tree like ``params``. For complex parameters it is the direction uphill of :math:`\langle
        u, f \rangle`, the conjugate of what ``jax.vjp`` gives.

    Example:
        >>> print(vector_jacobian_product(jnp.cumsum, jnp.zeros(3), jnp.array([0.0, 1.0, 0.0])))
        [1. 1. 0.]
    """
    outputs, transpose = jax.vjp(lambda p: fun(p, *args), upcast(params))
    return _conj(transpose(_conj(vector_like("vector_jacobian_product", vector, outputs)))[0])


# ------------------------------------------------------------------------------------- Gauss-Newton


def gauss_newton_operator(
    model_fn: Callable, loss_fn: Callable, params: Any
) -> Callable[[Any], Any]:
    r"""The generalised Gauss-Newton matrix at a point, as a function :math:`v \mapsto J^* H J v`.

    :math:`J` is the Jacobian of the model's outputs and :math:`H` the Hessian of the loss in them:
    what remains of the Hessian of ``loss_fn(model_fn(params))`` without the curvature of the model.
    It has no negative eigenvalue where the loss is convex in the outputs. The model is linearised
    once.

    Args:
        model_fn: from parameters to a tree of outputs.
        loss_fn: from outputs to a scalar.
        params: the point, a tree.

    Returns:
        A function from a tree like ``params`` to another one.

    Source: Schraudolph, "Fast Curvature Matrix-Vector Products for Second-Order Gradient Descent",
    2002, https://doi.org/10.1162/08997660260028683

    Example:
        >>> product = gauss_newton_operator(lambda p: p**2, lambda y: jnp.sum(y**2), jnp.array([1.0, 3.0]))
        >>> print(product(jnp.ones(2)))  # the Hessian of p**4 has 12 and 108
        [ 8. 72.]
    """
    at = linearization(model_fn, params)
    loss_product = hessian_operator(loss_fn, at.outputs)
    return lambda vector: at.adjoint(loss_product(at.forward(vector)))


def gauss_newton_vector_product(
    model_fn: Callable, loss_fn: Callable, params: Any, vector: Any
) -> Any:
    r"""The product :math:`J^* H J v` with the generalised Gauss-Newton matrix; see
    ``gauss_newton_operator``.

    Args:
        model_fn: from parameters to a tree of outputs.
        loss_fn: from outputs to a scalar.
        params: the point, a tree.
        vector: a tree like ``params``.

    Example:
        >>> half_square = lambda y: 0.5 * jnp.sum(y**2)
        >>> print(gauss_newton_vector_product(lambda p: p**2, half_square, jnp.array([1.0, 3.0]), jnp.ones(2)))
        [ 4. 36.]
    """
    return gauss_newton_operator(model_fn, loss_fn, params)(vector)


def dense(operator: Callable[[Any], Any], like: Any, *, chunk: int = 16) -> jax.Array:
    """The whole matrix of an operator, for small trees and for tests.

    Args:
        operator: a linear function from trees like ``like`` to such trees.
        like: a tree of arrays. Its numbers are counted leaf by leaf; of a complex leaf first all
            real parts, then all imaginary ones.
        chunk: how many columns are made at a time: the memory of so many products.

    Returns:
        A square matrix of real numbers.

    Example:
        >>> print(dense(hessian_operator(lambda p: p["a"] ** 2 * p["b"], {"a": 3.0, "b": 5.0}), {"a": 0.0, "b": 0.0}))
        [[10.  6.]
         [ 6.  0.]]
    """
    check_at_least("dense", 1, chunk=chunk)
    return map_basis(lambda vector: to_vector(operator(vector))[0], like, chunk).T
