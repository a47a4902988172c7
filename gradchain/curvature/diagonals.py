"""Diagonals and traces of symmetric operators on trees.

They are exact, by one product for each number, or estimated. Every function returns an
``Estimate``; an exact one has a standard error of zero. A complex parameter is a pair of reals: its
place on a diagonal holds the entry of its real part, and ``1j`` times that of its imaginary part.
"""

from __future__ import annotations

from typing import Any

import chex
import jax
import jax.numpy as jnp

from gradchain.core.plain import checks_numbers
from gradchain.core.ranges import PositiveInt
from gradchain.core.types import Params, Tree
from gradchain.curvature.estimates import (
    CHUNK,
    Estimate,
    average,
    check_method,
    exact_diagonal,
    hutch_plus_plus,
    hutchinson_sample,
)
from gradchain.curvature.products import (
    ScalarFn,
    TreeFn,
    gauss_newton_operator,
    hessian_operator,
    linearization,
)
from gradchain.curvature.vectors import Operator, map_basis
from gradchain.tree.mapping import upcast
from gradchain.tree.norms import dot
from gradchain.tree.random import rademacher_like


@checks_numbers
def diagonal(
    operator: Operator,
    like: Tree,
    *,
    method: str = "exact",
    key: chex.PRNGKey | None = None,
    samples: PositiveInt | None = None,
    chunk: PositiveInt | None = None,
) -> Estimate:
    r"""The diagonal of a symmetric operator.

    Args:
        operator: a symmetric linear function of trees.
        like: a tree of the form that it takes.
        method: ``"exact"`` makes a product for each number of the tree; ``"hutchinson"`` averages
            :math:`z \odot A z` over random vectors :math:`z` of ones and minus ones.
        key: the random key, for ``"hutchinson"``.
        samples: the number of random vectors, 100 if not given.
        chunk: how many products of ``"exact"`` are made at a time, 16 if not given: it takes the
            memory of so many.

    Returns:
        Trees like ``like``.

    Source: Bekas, Kokiopoulou & Saad, "An Estimator for the Diagonal of a Matrix", 2007,
    https://doi.org/10.1016/j.apnum.2007.01.003

    Example:
        >>> matrix = jnp.array([[2.0, 1.0], [1.0, 5.0]])
        >>> print(diagonal(lambda v: matrix @ v, jnp.zeros(2)).value)
        [2. 5.]
    """
    check_method("diagonal", ("exact", "hutchinson"), method, key, samples, chunk)
    like = upcast(like)
    if method == "exact":
        return exact_diagonal(lambda v: dot(v, operator(v)), like, chunk)
    return average(lambda key: hutchinson_sample(operator, like, key), key, samples)


@checks_numbers
def hessian_diagonal(
    fun: ScalarFn,
    params: Params,
    *args: Any,
    method: str = "exact",
    key: chex.PRNGKey | None = None,
    samples: PositiveInt | None = None,
    chunk: PositiveInt | None = None,
) -> Estimate:
    """The diagonal of the Hessian of a function.

    Args:
        fun: from parameters, and ``args``, to a scalar.
        params: the point, a tree.
        args: further arguments of ``fun``.
        method: ``"exact"`` or ``"hutchinson"``, as for ``diagonal``.
        key: the random key, for ``"hutchinson"``.
        samples: the number of random vectors, 100 if not given.
        chunk: how many products of ``"exact"`` are made at a time, 16 if not given: it takes the
            memory of so many.

    Example:
        >>> print(hessian_diagonal(lambda p: jnp.sum(p**3), jnp.array([1.0, 2.0])).value)
        [ 6. 12.]
    """
    operator = hessian_operator(fun, params, *args)
    return diagonal(
        operator,
        params,
        method=method,
        key=key,
        samples=samples,
        chunk=chunk,
    )


@checks_numbers
def gauss_newton_diagonal(
    model_fn: TreeFn,
    loss_fn: ScalarFn,
    params: Params,
    *,
    method: str = "exact",
    key: chex.PRNGKey | None = None,
    samples: PositiveInt | None = None,
    chunk: PositiveInt | None = None,
) -> Estimate:
    """The diagonal of the generalised Gauss-Newton matrix at a point.

    Args:
        model_fn: from parameters to a tree of outputs.
        loss_fn: from outputs to a scalar.
        params: the point, a tree.
        method: ``"exact"`` or ``"hutchinson"``, as for ``diagonal``.
        key: the random key, for ``"hutchinson"``.
        samples: the number of random vectors, 100 if not given.
        chunk: how many products of ``"exact"`` are made at a time, 16 if not given: it takes the
            memory of so many.

    Example:
        >>> half_square = lambda y: 0.5 * jnp.sum(y**2)
        >>> print(gauss_newton_diagonal(lambda p: p**2, half_square, jnp.array([1.0, 3.0])).value)
        [ 4. 36.]
    """
    if method != "exact":
        operator = gauss_newton_operator(model_fn, loss_fn, params)
        return diagonal(
            operator,
            params,
            method=method,
            key=key,
            samples=samples,
            chunk=chunk,
        )
    check_method(
        "gauss_newton_diagonal",
        ("exact", "hutchinson"),
        method,
        key,
        samples,
        chunk,
    )
    at = linearization(model_fn, params)
    loss_product = hessian_operator(loss_fn, at.outputs)

    # Without the way back through the model.
    def form(v: Params) -> jax.Array:
        outputs = upcast(at.forward(v))
        return dot(outputs, loss_product(outputs))

    return exact_diagonal(form, upcast(params), chunk)


@checks_numbers
def trace(
    operator: Operator,
    like: Tree,
    *,
    method: str = "hutchinson",
    key: chex.PRNGKey | None = None,
    samples: PositiveInt | None = None,
    chunk: PositiveInt | None = None,
) -> Estimate:
    r"""The trace of a symmetric operator.

    ``"hutchinson"`` averages :math:`z^T A z` over random vectors of ones and minus ones.
    ``"hutch++"`` spends a third of its products on a basis :math:`Q` of the largest eigenvalues,
    whose part is then exact, and estimates the rest:

    .. math::
        \mathrm{tr}(Q^T A Q) + \mathrm{E}\,[ z^T (I - Q Q^T)\, A\, (I - Q Q^T) z ]

    Args:
        operator: a symmetric linear function of trees.
        like: a tree of the form that it takes.
        method: ``"hutchinson"``, ``"hutch++"`` or ``"exact"``, which makes a product for each
            number of the tree.
        key: the random key, for both estimates.
        samples: how many products an estimate makes, 100 if not given. ``"hutch++"`` keeps a third
            of so many vectors in memory.
        chunk: how many products of ``"exact"`` are made at a time, 16 if not given: it takes the
            memory of so many.

    Source: Meyer, Musco, Musco & Woodruff, "Hutch++: Optimal Stochastic Trace Estimation", 2021,
    https://arxiv.org/abs/2010.09649

    Example:
        >>> operator = lambda v: jnp.array([1.0, 2.0, 6.0]) * v
        >>> found = trace(operator, jnp.zeros(3), key=jax.random.key(0))
        >>> print(found.value, found.standard_error)
        9.0 0.0
    """
    check_method(
        "trace",
        ("hutchinson", "hutch++", "exact"),
        method,
        key,
        samples,
        chunk,
    )
    like = upcast(like)
    if method == "exact":
        total = jnp.sum(
            map_basis(
                lambda v: dot(v, operator(v)),
                like,
                chunk or CHUNK,
            )
        )
        return Estimate(total, jnp.zeros_like(total))
    if method == "hutch++":
        return hutch_plus_plus(operator, like, key, samples)

    def sample(key: chex.PRNGKey) -> jax.Array:
        z = rademacher_like(key, like)
        return dot(z, operator(z))

    return average(sample, key, samples)


@checks_numbers
def hessian_trace(
    fun: ScalarFn,
    params: Params,
    *args: Any,
    method: str = "hutchinson",
    key: chex.PRNGKey | None = None,
    samples: PositiveInt | None = None,
    chunk: PositiveInt | None = None,
) -> Estimate:
    """The trace of the Hessian of a function.

    It is the sum of the eigenvalues.

    Args:
        fun: from parameters, and ``args``, to a scalar.
        params: the point, a tree.
        args: further arguments of ``fun``.
        method: ``"hutchinson"``, ``"hutch++"`` or ``"exact"``, as for ``trace``.
        key: the random key, for both estimates.
        samples: how many products an estimate makes, 100 if not given.
        chunk: how many products of ``"exact"`` are made at a time, 16 if not given: it takes the
            memory of so many.

    Example:
        >>> loss, params = lambda p: jnp.sum(p**3), jnp.array([1.0, 2.0])
        >>> print(hessian_trace(loss, params, method="exact").value)
        18.0
    """
    operator = hessian_operator(fun, params, *args)
    return trace(
        operator,
        params,
        method=method,
        key=key,
        samples=samples,
        chunk=chunk,
    )
