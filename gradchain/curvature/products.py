r"""Products with Hessians, Gauss-Newton matrices and Jacobians.

They are matrices of a function of a tree, and never made whole. ``*_operator`` functions do the
work that does not depend on the vector once, and return a function from vector to product, as
Lanczos' method, conjugate gradients and estimators of traces need it. ``*_vector_product``
functions make one product.

Parameters and vectors are taken in float32 at least, and so are the results. ``None`` leaves are
holes: they take no part. A complex parameter is the pair of its real and imaginary parts: vectors
are complex numbers :math:`x + iy` that stand for such pairs, inner products are
:math:`\mathrm{Re}\, \bar a^T b`, and every operator here is linear and adjoint in that sense, with
real factors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from gradchain.core.plain import checks_numbers
from gradchain.core.ranges import PositiveInt
from gradchain.core.types import Params, Tree, Updates
from gradchain.curvature.vectors import Operator, map_basis, to_vector, vector_like
from gradchain.tree.mapping import upcast

ScalarFn: TypeAlias = Callable[..., jax.Array]
"""From parameters, and further arguments, to a scalar."""

TreeFn: TypeAlias = Callable[..., Tree]
"""From parameters, and further arguments, to a tree."""


def _conj(tree: Tree) -> Tree:
    return jax.tree.map(lambda x: jnp.conj(x) if jnp.iscomplexobj(x) else x, tree)


def _uphill(fun: ScalarFn, args: tuple[Any, ...]) -> Callable[[Params], Updates]:
    """The gradient of a scalar function.

    For complex parameters ``jax.grad`` gives its conjugate.
    """
    return lambda params: _conj(jax.grad(fun)(params, *args))


# ----------------------------------------------------------------------------------------- Hessians


def hessian_operator(fun: ScalarFn, params: Params, *args: Any) -> Operator:
    r"""The Hessian of a function, as an operator.

    It is a function from vector to product :math:`v \mapsto \nabla^2 f(p) v`. The gradient is
    linearised once: each product then costs about one gradient, and the intermediate results of the
    network are kept in memory for as long as the operator is.

    Args:
        fun: from parameters, and ``args``, to a scalar.
        params: the point, a tree.
        args: further arguments of ``fun``.

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


def hessian_vector_product(
    fun: ScalarFn,
    params: Params,
    vector: Params,
    *args: Any,
) -> Params:
    r"""The product :math:`\nabla^2 f(p) v` of the Hessian and a vector.

    It is a derivative of the gradient along ``vector``, and costs about two gradients. Where many
    products are needed at one point, see ``hessian_operator``.

    Args:
        fun: from parameters, and ``args``, to a scalar.
        params: the point, a tree.
        vector: a tree like ``params``.
        args: further arguments of ``fun``.

    Raises:
        ValueError: naming the path, if ``vector`` is not like ``params``.

    Source: Pearlmutter, "Fast Exact Multiplication by the Hessian", 1994,
    https://doi.org/10.1162/neco.1994.6.1.147

    Example:
        >>> params, vector = jnp.array([1.0, 2.0]), jnp.array([1.0, -1.0])
        >>> print(hessian_vector_product(lambda x: jnp.sum(x**3), params, vector))
        [  6. -12.]
    """
    params = upcast(params)
    vector = vector_like("hessian_vector_product", vector, params)
    return jax.jvp(_uphill(fun, args), (params,), (vector,))[1]


# ---------------------------------------------------------------------------------------- Jacobians


class Linearization(NamedTuple):
    """A function near a point, as ``linearization`` makes it.

    Attributes:
        outputs: its value there.
        forward: from a change of the parameters to that of the outputs.
        adjoint: the adjoint of ``forward``, from outputs to parameters.
    """

    outputs: Tree
    forward: Operator
    adjoint: Operator


def linearization(fun: TreeFn, params: Params, *args: Any) -> Linearization:
    r"""Linearise a function at a point.

    That gives its value there, and products with its Jacobian :math:`J` and the adjoint
    :math:`J^*`. The function itself is evaluated once, however many products follow.

    Args:
        fun: from parameters, and ``args``, to a tree of outputs.
        params: the point, a tree.
        args: further arguments of ``fun``.

    Example:
        >>> at = linearization(lambda x: x**2, jnp.array([1.0, 3.0]))
        >>> print(at.outputs, at.forward(jnp.ones(2)), at.adjoint(jnp.array([0.0, 1.0])))
        [1. 9.] [2. 6.] [0. 6.]
    """
    params = upcast(params)
    outputs, forward = jax.linearize(lambda p: fun(p, *args), params)
    transpose = jax.linear_transpose(forward, params)

    def adjoint(cotangent: Tree) -> Params:
        # JAX transposes without a conjugate: the adjoint has one on both sides.
        cotangent = vector_like("linearization.adjoint", cotangent, outputs)
        return _conj(transpose(_conj(cotangent))[0])

    tangent = lambda v: vector_like("linearization.forward", v, params)
    return Linearization(outputs, lambda v: forward(tangent(v)), adjoint)


def jacobian_vector_product(
    fun: TreeFn,
    params: Params,
    vector: Params,
    *args: Any,
) -> Tree:
    """The derivative of a function along a vector, :math:`J v`.

    Args:
        fun: from parameters, and ``args``, to a tree of outputs.
        params: the point, a tree.
        vector: a tree like ``params``.
        args: further arguments of ``fun``.

    Returns:
        A tree like the outputs.

    Example:
        >>> print(jacobian_vector_product(jnp.sin, jnp.zeros(2), jnp.array([1.0, 2.0])))
        [1. 2.]
    """
    params = upcast(params)
    vector = vector_like("jacobian_vector_product", vector, params)
    return jax.jvp(lambda p: fun(p, *args), (params,), (vector,))[1]


def vector_jacobian_product(
    fun: TreeFn,
    params: Params,
    vector: Tree,
    *args: Any,
) -> Params:
    r"""The product :math:`J^* u` of the Jacobian's adjoint and a vector.

    Args:
        fun: from parameters, and ``args``, to a tree of outputs.
        params: the point, a tree.
        vector: a tree like the outputs.
        args: further arguments of ``fun``.

    Returns:
        A tree like ``params``. For complex parameters it is the direction uphill of :math:`\langle
        u, f \rangle`, the conjugate of that of ``jax.vjp``.

    Example:
        >>> print(vector_jacobian_product(jnp.cumsum, jnp.zeros(3), jnp.array([0.0, 1.0, 0.0])))
        [1. 1. 0.]
    """
    outputs, transpose = jax.vjp(lambda p: fun(p, *args), upcast(params))
    vector = vector_like("vector_jacobian_product", vector, outputs)
    return _conj(transpose(_conj(vector))[0])


# ------------------------------------------------------------------------------------- Gauss-Newton


def gauss_newton_operator(
    model_fn: TreeFn,
    loss_fn: ScalarFn,
    params: Params,
) -> Operator:
    r"""The generalised Gauss-Newton matrix, as an operator.

    It is a function :math:`v \mapsto J^* H J v`, with the Jacobian :math:`J` of the model's outputs
    and the Hessian :math:`H` of the loss in them: the Hessian of ``loss_fn(model_fn(params))``
    without the curvature of the model. It has no negative eigenvalue where the loss is convex in
    the outputs. The model is linearised once.

    Args:
        model_fn: from parameters to a tree of outputs.
        loss_fn: from outputs to a scalar.
        params: the point, a tree.

    Returns:
        A function from a tree like ``params`` to another one.

    Source: Schraudolph, "Fast Curvature Matrix-Vector Products for Second-Order Gradient Descent",
    2002, https://doi.org/10.1162/08997660260028683

    Example:
        >>> loss, params = lambda y: jnp.sum(y**2), jnp.array([1.0, 3.0])
        >>> product = gauss_newton_operator(lambda p: p**2, loss, params)
        >>> print(product(jnp.ones(2)))  # the Hessian of p**4 has 12 and 108
        [ 8. 72.]
    """
    at = linearization(model_fn, params)
    loss_product = hessian_operator(loss_fn, at.outputs)
    return lambda vector: at.adjoint(loss_product(at.forward(vector)))


def gauss_newton_vector_product(
    model_fn: TreeFn, loss_fn: ScalarFn, params: Params, vector: Params
) -> Params:
    r"""The product :math:`J^* H J v` with the Gauss-Newton matrix.

    For the matrix see ``gauss_newton_operator``.

    Args:
        model_fn: from parameters to a tree of outputs.
        loss_fn: from outputs to a scalar.
        params: the point, a tree.
        vector: a tree like ``params``.

    Example:
        >>> half_square, params = lambda y: 0.5 * jnp.sum(y**2), jnp.array([1.0, 3.0])
        >>> print(gauss_newton_vector_product(lambda p: p**2, half_square, params, jnp.ones(2)))
        [ 4. 36.]
    """
    return gauss_newton_operator(model_fn, loss_fn, params)(vector)


@checks_numbers
def dense(operator: Operator, like: Tree, *, chunk: PositiveInt = 16) -> jax.Array:
    """The whole matrix of an operator.

    It is for small trees and for tests.

    Args:
        operator: a linear function from trees like ``like`` to such trees.
        like: a tree of arrays. Its numbers are counted leaf by leaf; of a complex leaf first all
            real parts, then all imaginary ones.
        chunk: how many columns are made at a time: the memory of so many products.

    Returns:
        A square matrix of real numbers.

    Example:
        >>> params = {"a": 3.0, "b": 5.0}
        >>> print(dense(hessian_operator(lambda p: p["a"] ** 2 * p["b"], params), params))
        [[10.  6.]
         [ 6.  0.]]
    """
    return map_basis(lambda vector: to_vector(operator(vector))[0], like, chunk).T
