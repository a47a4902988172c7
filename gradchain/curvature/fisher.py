r"""The Fisher information of a model.

There are products, diagonals and, by ``dense``, whole matrices. Of the *true* Fisher matrix the
targets are drawn from the model itself: it is the expectation, over targets from :math:`p(y \mid
z)` at the model's outputs :math:`z`, of :math:`g g^T`, where :math:`g` is the gradient of the
log-likelihood. For the likelihoods here it is also the Gauss-Newton matrix. Of the *empirical*
Fisher matrix the targets are those of the data, and it is neither.

All are means over examples; the log-likelihood of one example is the sum over all that the
example holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.errors import check_one_of, shape_dtype
from gradchain.core.plain import checks_numbers
from gradchain.core.ranges import PositiveInt
from gradchain.core.types import Params, Tree
from gradchain.curvature.diagonals import diagonal, gauss_newton_diagonal
from gradchain.curvature.estimates import CHUNK, Estimate, average, by_parts, check_method
from gradchain.curvature.products import ScalarFn, TreeFn, gauss_newton_operator, linearization
from gradchain.curvature.vectors import Operator
from gradchain.tree.mapping import upcast

# For targets y of an exponential family with natural parameters z, log p(y | z) = y z - A(z) + ...,
# so that the gradient in z is y - A'(z), and the Fisher information is A''(z), whatever y is.
_LOG_PARTITION: dict[str, Callable[[jax.Array], jax.Array]] = {
    "categorical": lambda z: jax.nn.logsumexp(z, axis=-1),
    "normal": lambda z: 0.5 * jnp.square(z),
    "bernoulli": jax.nn.softplus,
    "poisson": jnp.exp,
}

_DRAW: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "categorical": lambda key, z: jax.nn.one_hot(
        jax.random.categorical(key, z), z.shape[-1], dtype=z.dtype
    ),
    "normal": lambda key, z: z + jax.random.normal(key, z.shape, z.dtype),
    "bernoulli": lambda key, z: jax.random.bernoulli(key, jax.nn.sigmoid(z)).astype(z.dtype),
    "poisson": lambda key, z: jax.random.poisson(key, jnp.exp(z)).astype(z.dtype),
}


@checks_numbers
def fisher_operator(
    model_fn: TreeFn,
    params: Params,
    likelihood: str,
    *,
    key: chex.PRNGKey | None = None,
    samples: PositiveInt | None = None,
) -> Operator:
    r"""The true Fisher matrix, as an operator.

    .. math::
        F = \frac{1}{n} \sum_{i=1}^n \mathrm{E}_{y \sim p(y \mid z_i)} [g_i g_i^T], \quad
        g_i = \nabla_p \log p(y \mid z_i)

    Without a key the expectation is exact; with one it is a mean over targets that are drawn.

    Args:
        model_fn: from parameters to the outputs :math:`z` for a batch, one array; the first
            dimension counts the examples.
        params: the point, a tree.
        likelihood: the meaning of the outputs: ``"categorical"``, logits with the classes along the
            last dimension; ``"normal"``, means of a variance of 1; ``"bernoulli"``, logits;
            ``"poisson"``, logarithms of rates.
        key: the random key of the targets.
        samples: how many targets are drawn for each example, 1 if not given.

    Returns:
        A function from a tree like ``params`` to another one.

    Source: Amari, "Natural Gradient Works Efficiently in Learning", 1998,
    https://doi.org/10.1162/089976698300017746

    Example:
        >>> x = jnp.array([[1.0, 0.0], [0.0, 2.0]])
        >>> print(fisher_operator(lambda w: x @ w, jnp.zeros(2), "bernoulli")(jnp.ones(2)))
        [0.125 0.5  ]
    """
    if key is None:
        _check_nothing_drawn("fisher_operator", samples)
        loss_fn = _mean_log_partition("fisher_operator", likelihood)
        return gauss_newton_operator(model_fn, loss_fn, params)
    at = linearization(model_fn, params)
    slope = _slopes("fisher_operator", likelihood, at.outputs)
    slopes = jax.vmap(slope)(jax.random.split(key, samples or 1))

    def product(vector: Params) -> Params:
        change = upcast(at.forward(vector))
        within = tuple(range(2, slopes.ndim))
        along = jnp.sum(slopes * change[None], axis=within, keepdims=True)
        count = slopes.shape[0] * slopes.shape[1]
        average = jnp.sum(slopes * along, axis=0) / count
        return at.adjoint(average)

    return product


@checks_numbers
def fisher_vector_product(
    model_fn: TreeFn,
    params: Params,
    vector: Params,
    likelihood: str,
    *,
    key: chex.PRNGKey | None = None,
    samples: PositiveInt | None = None,
) -> Params:
    """The product of the true Fisher matrix and a vector.

    For the matrix see ``fisher_operator``.

    Args:
        model_fn: from parameters to the outputs for a batch, one array; the first dimension counts
            the examples.
        params: the point, a tree.
        vector: a tree like ``params``.
        likelihood: ``"categorical"``, ``"normal"``, ``"bernoulli"`` or ``"poisson"``.
        key: the random key of the targets; without one the expectation is exact.
        samples: how many targets are drawn for each example, 1 if not given.

    Example:
        >>> x = jnp.array([[1.0, 0.0], [0.0, 2.0]])
        >>> print(fisher_vector_product(lambda w: x @ w, jnp.zeros(2), jnp.ones(2), "normal"))
        [0.5 2. ]
    """
    return fisher_operator(
        model_fn,
        params,
        likelihood,
        key=key,
        samples=samples,
    )(vector)


@checks_numbers
def fisher_diagonal(
    model_fn: TreeFn,
    params: Params,
    likelihood: str,
    *,
    method: str = "exact",
    key: chex.PRNGKey | None = None,
    samples: PositiveInt | None = None,
    chunk: PositiveInt | None = None,
) -> Estimate:
    r"""The diagonal of the true Fisher matrix.

    Args:
        model_fn: from parameters to the outputs for a batch, one array; the first dimension counts
            the examples.
        params: the point, a tree.
        likelihood: ``"categorical"``, ``"normal"``, ``"bernoulli"`` or ``"poisson"``, as for
            ``fisher_operator``.
        method: ``"exact"``, one product for each parameter; ``"hutchinson"``, as for ``diagonal``;
            or ``"sampled"``, which draws a target for each example and takes :math:`\frac{1}{n}
            (\sum_i g_i)^2`: a gradient for each sample, never negative, unbiased as targets of
            different examples are independent.
        key: the random key, for the estimates.
        samples: the number of random vectors or of draws, 100 if not given.
        chunk: how many products of ``"exact"`` are made at a time, 16 if not given: it takes the
            memory of so many.

    Source: Liu, Li, Hall, Liang & Ma, "Sophia: A Scalable Stochastic Second-order Optimizer for
    Language Model Pre-training", 2023, https://arxiv.org/abs/2305.14342, for ``"sampled"``

    Example:
        >>> x = jnp.array([[1.0, 0.0], [0.0, 2.0]])
        >>> print(fisher_diagonal(lambda w: x @ w, jnp.zeros(2), "bernoulli").value)
        [0.125 0.5  ]
    """
    check_method(
        "fisher_diagonal",
        ("exact", "hutchinson", "sampled"),
        method,
        key,
        samples,
        chunk,
    )
    if method == "exact":
        loss_fn = _mean_log_partition("fisher_diagonal", likelihood)
        return gauss_newton_diagonal(model_fn, loss_fn, params, chunk=chunk)
    if method == "hutchinson":
        operator = fisher_operator(model_fn, params, likelihood)
        return diagonal(operator, params, method=method, key=key, samples=samples)
    at = linearization(model_fn, params)
    slope = _slopes("fisher_diagonal", likelihood, at.outputs)

    def sample(key: chex.PRNGKey) -> Params:
        drawn = slope(key)
        square = lambda g: by_parts(jnp.square, g) / drawn.shape[0]
        return jax.tree.map(square, at.adjoint(drawn))

    return average(sample, key, samples)


def empirical_fisher_operator(
    loss_fn: ScalarFn,
    params: Params,
    *batch: Tree,
) -> Operator:
    r"""The empirical Fisher matrix of a batch, as an operator.

    .. math::
        F = \frac{1}{n} \sum_{i=1}^n g_i g_i^T, \quad g_i = \nabla_p \ell(p, x_i)

    No gradient of a single example is kept: a product takes the memory of a gradient of the batch.

    Args:
        loss_fn: from parameters and the parts of one example to its loss, the negative logarithm of
            its likelihood.
        params: the point, a tree.
        batch: trees of arrays whose first dimension counts the examples.

    Returns:
        A function from a tree like ``params`` to another one.

    Source: Kunstner, Balles & Hennig, "Limitations of the Empirical Fisher Approximation for
    Natural Gradient Descent", 2019, https://arxiv.org/abs/1905.12558

    Example:
        >>> loss = lambda w, x, y: 0.5 * (x * w - y) ** 2
        >>> x, y = jnp.array([1.0, 2.0]), jnp.array([3.0, 1.0])
        >>> print(empirical_fisher_operator(loss, 1.0, x, y)(1.0))
        4.0
    """
    number = _examples("empirical_fisher_operator", batch)
    losses = lambda p: jax.vmap(lambda *example: loss_fn(p, *example))(*batch)
    at = linearization(losses, params)
    return lambda vector: at.adjoint(at.forward(vector) / number)


def empirical_fisher_vector_product(
    loss_fn: ScalarFn, params: Params, vector: Params, *batch: Tree
) -> Params:
    """The product of the empirical Fisher matrix and a vector.

    For the matrix see ``empirical_fisher_operator``.

    Args:
        loss_fn: from parameters and the parts of one example to its loss.
        params: the point, a tree.
        vector: a tree like ``params``.
        batch: trees of arrays whose first dimension counts the examples.

    Example:
        >>> loss = lambda w, x, y: 0.5 * (x * w - y) ** 2
        >>> x, y = jnp.array([1.0, 2.0]), jnp.array([3.0, 1.0])
        >>> print(empirical_fisher_vector_product(loss, 1.0, 2.0, x, y))
        8.0
    """
    return empirical_fisher_operator(loss_fn, params, *batch)(vector)


@checks_numbers
def empirical_fisher_diagonal(
    loss_fn: ScalarFn, params: Params, *batch: Tree, chunk: PositiveInt = CHUNK
) -> Params:
    r"""The diagonal of the empirical Fisher matrix of a batch.

    It is the mean of the squared gradients of the examples.

    Args:
        loss_fn: from parameters and the parts of one example to its loss.
        params: the point, a tree.
        batch: trees of arrays whose first dimension counts the examples.
        chunk: how many gradients are made at a time: it takes the memory of so many.

    Returns:
        A tree like ``params``. It is exact.

    Example:
        >>> loss = lambda w, x, y: 0.5 * (x * w - y) ** 2
        >>> x, y = jnp.array([1.0, 2.0]), jnp.array([3.0, 1.0])
        >>> print(empirical_fisher_diagonal(loss, 1.0, x, y))
        4.0
    """
    number = _examples("empirical_fisher_diagonal", batch)
    params = upcast(params)
    one = lambda example: jax.grad(loss_fn)(params, *example)
    squares = lambda g: by_parts(lambda part: jnp.sum(jnp.square(part), axis=0), g)
    some = lambda examples: jax.tree.map(squares, jax.vmap(one)(examples))

    chunk = min(chunk, number)
    whole = number - number % chunk
    rows = jax.tree.map(lambda x: x[:whole].reshape(-1, chunk, *x.shape[1:]), batch)
    add = lambda total, examples: (jax.tree.map(jnp.add, total, examples), None)
    zero = jax.tree.map(jnp.zeros_like, params)
    total, _ = lax.scan(
        lambda total, examples: add(total, some(examples)),
        zero,
        rows,
    )
    if whole < number:
        total, _ = add(total, some(jax.tree.map(lambda x: x[whole:], batch)))
    return jax.tree.map(lambda x: x / number, total)


# ------------------------------------------------------------------------------------------- checks


def _examples(name: str, batch: Tree) -> int:
    """The number of examples in a batch."""
    leaves = jax.tree.leaves(batch)
    numbers = {jnp.shape(x)[0] if jnp.ndim(x) else 0 for x in leaves}
    if len(numbers) != 1 or 0 in numbers:
        shapes = ", ".join(shape_dtype(jnp.asarray(x)) for x in leaves[:5]) or "nothing"
        raise ValueError(
            f"{name}: the batch holds {shapes}. Give arrays whose first dimension"
            " counts the examples."
        )
    return numbers.pop()


def _check_nothing_drawn(name: str, samples: int | None) -> None:
    if samples is not None:
        raise ValueError(
            f"{name}: samples={samples!r} are drawn with a key: give one, or leave out samples."
        )


def _check_outputs(name: str, likelihood: str, outputs: Any) -> None:
    check_one_of(name, _LOG_PARTITION, likelihood=likelihood)
    least = 2 if likelihood == "categorical" else 1
    is_array = hasattr(outputs, "shape") and outputs.ndim >= least
    if not is_array or outputs.dtype.kind == "c" or not outputs.size:
        found = shape_dtype(outputs)
        raise ValueError(
            f"{name}: the model gives {found}; {likelihood!r} takes real numbers of"
            f" {least} dimensions or more, of which the first counts the examples."
        )


def _mean_log_partition(name: str, likelihood: str) -> Callable[[jax.Array], jax.Array]:
    def loss_fn(outputs: jax.Array) -> jax.Array:
        _check_outputs(name, likelihood, outputs)
        return jnp.sum(_LOG_PARTITION[likelihood](outputs)) / outputs.shape[0]

    return loss_fn


def _slopes(
    name: str,
    likelihood: str,
    outputs: jax.Array,
) -> Callable[[jax.Array], jax.Array]:
    """A function from a key to gradients for drawn targets.

    They are gradients, in the outputs, of the negative log-likelihood.
    """
    _check_outputs(name, likelihood, outputs)
    outputs = upcast(outputs)
    means = jax.grad(lambda z: jnp.sum(_LOG_PARTITION[likelihood](z)))(outputs)
    return lambda key: means - _DRAW[likelihood](key, outputs)
