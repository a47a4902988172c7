"""Eigenvalues of symmetric operators on trees.

There are Lanczos' method, power iteration and the sharpness. An operator is a function from a tree
to a tree of the same form, linear and symmetric, such as ``hessian_operator`` makes. A tree
``like`` says that form; its values do not matter.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.plain import checks_numbers
from gradchain.core.ranges import PositiveInt
from gradchain.core.types import Numeric, Params, Tree
from gradchain.curvature.orthogonal import (
    combination,
    direction,
    empty_rows,
    orthogonal_to,
    scaled,
    with_row,
)
from gradchain.curvature.products import ScalarFn, hessian_operator
from gradchain.curvature.vectors import Operator
from gradchain.numerics import decompositions
from gradchain.tree.mapping import upcast
from gradchain.tree.norms import dot, scaled_norm
from gradchain.tree.random import normal_like


class Lanczos(NamedTuple):
    """The result of ``lanczos``.

    Attributes:
        alphas: the diagonal of the tridiagonal matrix, ``steps`` numbers.
        betas: the numbers beside it, one less.
        residual: the number that would come next: how far the basis is from being invariant.
        basis: the orthonormal vectors, stacked along a first dimension of each leaf.
    """

    alphas: jax.Array
    betas: jax.Array
    residual: jax.Array
    basis: Tree

    def eigh(self) -> tuple[jax.Array, jax.Array]:
        """Eigenvalues and eigenvectors of the tridiagonal matrix.

        The eigenvalues are in ascending order, the eigenvectors are columns.
        """
        beside = jnp.diag(self.betas, 1)
        return decompositions.eigh(jnp.diag(self.alphas) + beside + beside.T)


class RitzPairs(NamedTuple):
    """Approximate eigenvalues and eigenvectors.

    Attributes:
        values: in ascending order.
        vectors: stacked along a first dimension of each leaf.
        errors: a bound for each value: so far away, at most, is an eigenvalue of the operator.
            Infinite for values that stand in for those of an exhausted space, whose vectors are
            zero.
    """

    values: jax.Array
    vectors: Tree
    errors: jax.Array


@checks_numbers
def lanczos(operator: Operator, start: Tree, steps: PositiveInt) -> Lanczos:
    r"""Project a symmetric operator on a Krylov space.

    Lanczos' method builds it from a vector:

    .. math::
        A Q = Q T + \beta_m q_{m+1} e_m^T, \quad q_1 = \frac{v}{\lVert v \rVert}

    with :math:`T` tridiagonal. Each new vector is made orthogonal to all before, so that no
    eigenvalue appears twice. If the space is exhausted before ``steps`` are made, the vectors that
    follow and their betas are zero, and their alphas repeat the first: no eigenvalue of :math:`T`
    lies outside of the spectrum for it. A start of zero gives zeros.

    Args:
        operator: a symmetric linear function of trees.
        start: the vector :math:`v`.
        steps: the number of products :math:`m`; so many vectors are kept in memory.

    Source: Lanczos, "An Iteration Method for the Solution of the Eigenvalue Problem", 1950,
    https://doi.org/10.6028/jres.045.026

    Example:
        >>> found = lanczos(lambda v: jnp.array([1.0, 2.0, 4.0]) * v, jnp.ones(3), 3)
        >>> print(ritz_pairs(found).values.round(4))
        [1. 2. 4.]
    """
    first, _ = direction(upcast(start))

    def step(
        carry: tuple[Tree, Tree, jax.Array, jax.Array], i: jax.Array
    ) -> tuple[tuple[Tree, Tree, jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
        basis, q, alpha_0, largest = carry
        basis = with_row(basis, i, q)
        image = upcast(operator(q))
        alpha = dot(q, image)
        alpha_0 = jnp.where(i == 0, alpha, alpha_0)
        alpha = jnp.where(dot(q, q) < 0.5, alpha_0, alpha)
        largest = jnp.maximum(largest, scaled_norm(image))
        negligible = 10 * jnp.finfo(largest.dtype).eps * largest
        q, beta = direction(orthogonal_to(basis, image), negligible)
        return (basis, q, alpha_0, largest), (alpha, beta)

    zero = jnp.zeros_like(dot(first, first))
    carry = (empty_rows(first, steps), first, zero, zero)
    (basis, *_), (alphas, betas) = lax.scan(step, carry, jnp.arange(steps))
    return Lanczos(alphas, betas[:-1], betas[-1], basis)


def ritz_pairs(found: Lanczos) -> RitzPairs:
    """Approximate eigenvalues and eigenvectors from ``lanczos``.

    The eigenvalues are those of the tridiagonal matrix. Those at the ends of the spectrum come near
    to eigenvalues of the operator first.

    Args:
        found: the result of ``lanczos``.

    Example:
        >>> pairs = ritz_pairs(lanczos(lambda v: jnp.array([1.0, 2.0, 9.0]) * v, jnp.ones(3), 3))
        >>> print(jnp.abs(pairs.vectors[-1]).round(4))
        [0. 0. 1.]
    """
    values, weights = found.eigh()
    vectors = jax.vmap(combination, (1, None))(weights, found.basis)
    errors = jnp.abs(found.residual * weights[-1])
    squares = jax.vmap(lambda v: dot(v, v))(vectors)
    return RitzPairs(values, vectors, jnp.where(squares > 0.5, errors, jnp.inf))


class ExtremeEigenvalues(NamedTuple):
    """The two ends of a spectrum.

    Attributes:
        smallest: the smallest eigenvalue.
        largest: the largest.
        smallest_error: so far from ``smallest``, at most, there is an eigenvalue.
        largest_error: likewise.
    """

    smallest: jax.Array
    largest: jax.Array
    smallest_error: jax.Array
    largest_error: jax.Array


@checks_numbers
def extreme_eigenvalues(
    operator: Operator, like: Tree, *, key: chex.PRNGKey, steps: PositiveInt = 32
) -> ExtremeEigenvalues:
    """The smallest and the largest eigenvalue of an operator.

    The operator is symmetric; Lanczos' method starts from a random vector.

    Args:
        operator: a symmetric linear function of trees.
        like: a tree of the form that ``operator`` takes.
        key: the random key of the start.
        steps: the number of products; so many vectors are kept in memory.

    Example:
        >>> operator = lambda v: jnp.arange(-3.0, 7.0) * v
        >>> found = extreme_eigenvalues(operator, jnp.zeros(10), key=jax.random.key(0))
        >>> print(f"{found.smallest:.4f} {found.largest:.4f}")
        -3.0000 6.0000
    """
    found = lanczos(operator, normal_like(key, upcast(like)), steps)
    values, weights = found.eigh()
    errors = jnp.abs(found.residual * weights[-1])
    return ExtremeEigenvalues(values[0], values[-1], errors[0], errors[-1])


@checks_numbers
def sharpness(
    fun: ScalarFn, params: Params, *args: Any, key: chex.PRNGKey, steps: PositiveInt = 32
) -> jax.Array:
    r"""The largest eigenvalue of the Hessian of a loss.

    It is :math:`\lambda_{\max}(\nabla^2 f(p))`. Gradient descent with the learning rate
    :math:`\eta` cannot stay where the sharpness is above :math:`2 / \eta`.

    Args:
        fun: from parameters, and ``args``, to a scalar.
        params: the point, a tree.
        args: further arguments of ``fun``.
        key: the random key of the start.
        steps: the number of Hessian-vector products, as for ``extreme_eigenvalues``.

    Source: Cohen, Kaur, Li, Kolter & Talwalkar, "Gradient Descent on Neural Networks Typically
    Occurs at the Edge of Stability", 2021, https://arxiv.org/abs/2103.00065

    Example:
        >>> loss = lambda p: 5 * p["a"] ** 2 + p["b"] ** 2
        >>> print(f'{sharpness(loss, {"a": 1.0, "b": 2.0}, key=jax.random.key(0)):.3f}')
        10.000
    """
    operator = hessian_operator(fun, params, *args)
    return extreme_eigenvalues(operator, params, key=key, steps=steps).largest


class PowerIteration(NamedTuple):
    r"""The result of ``power_iteration``.

    Attributes:
        value: the eigenvalue of the largest magnitude.
        vector: its eigenvector, of norm 1.
        error: the norm of :math:`A v - \lambda v`: so far from ``value``, at most, there is an
            eigenvalue.
        steps: the number of products.
    """

    value: jax.Array
    vector: Tree
    error: jax.Array
    steps: jax.Array


@checks_numbers
def power_iteration(
    operator: Operator,
    like: Tree,
    *,
    key: chex.PRNGKey,
    steps: PositiveInt = 100,
    tol: Annotated[Numeric, "[0, inf]"] = 1e-4,
) -> PowerIteration:
    r"""The eigenvalue of the largest magnitude.

    It comes from multiplying a random vector again and again:

    .. math::
        v \leftarrow \frac{A v}{\lVert A v \rVert}, \quad \lambda = v^T A v

    It keeps two vectors, where ``lanczos`` keeps one for each product, and needs many more
    products.

    Args:
        operator: a symmetric linear function of trees.
        like: a tree of the form that ``operator`` takes.
        key: the random key of the start.
        steps: the number of products, at most.
        tol: it stops when :math:`\lVert A v - \lambda v \rVert \le \mathrm{tol}\, |\lambda|`.

    Source: von Mises & Pollaczek-Geiringer, "Praktische Verfahren der Gleichungsauflösung", 1929,
    https://doi.org/10.1002/zamm.19290090206

    Example:
        >>> operator = lambda v: jnp.array([1.0, -5.0]) * v
        >>> found = power_iteration(operator, jnp.zeros(2), key=jax.random.key(0))
        >>> print(f"{found.value:.4f}")
        -5.0000
    """
    first, _ = direction(normal_like(key, upcast(like)))

    def measured(q: Tree, count: Numeric) -> tuple[PowerIteration, Tree]:
        image = upcast(operator(q))
        value = dot(q, image)
        rest = jax.tree.map(jnp.subtract, image, scaled(q, value))
        return PowerIteration(value, q, scaled_norm(rest), jnp.int32(count)), image

    def step(carry: tuple[PowerIteration, Tree]) -> tuple[PowerIteration, Tree]:
        found, image = carry
        return measured(direction(image)[0], found.steps + 1)

    def is_unfinished(carry: tuple[PowerIteration, Tree]) -> jax.Array:
        found, _ = carry
        return (found.steps < steps) & ~(found.error <= tol * jnp.abs(found.value))

    return lax.while_loop(is_unfinished, step, measured(first, 1))[0]
