"""Averages over random vectors, with their standard errors.

Exact diagonals are here as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax import lax

from gradchain.core.errors import check_at_least, check_one_of
from gradchain.core.types import Tree
from gradchain.curvature.orthogonal import orthogonal_to, orthonormal
from gradchain.curvature.vectors import Operator, map_basis, to_vector
from gradchain.tree.norms import dot
from gradchain.tree.random import rademacher_like

SAMPLES = 100

CHUNK = 16  # products at a time


class Estimate(NamedTuple):
    """An estimate and how far off it may be.

    Attributes:
        value: a number, or a tree of them.
        standard_error: of each number: the standard deviation of the samples over the root of how
            many there are.
    """

    value: Tree
    standard_error: Tree


def hutchinson_sample(operator: Operator, like: Tree, key: chex.PRNGKey) -> Tree:
    r"""One sample of a diagonal, :math:`z \odot A z`, whose mean it is."""
    z = rademacher_like(key, like)
    return jax.tree.map(lambda x, y: by_parts(jnp.multiply, x, y), z, operator(z))


def by_parts(fun: Callable[..., jax.Array], *xs: jax.Array) -> jax.Array:
    """Apply a function to real and imaginary parts each."""
    if not jnp.iscomplexobj(xs[0]):
        return fun(*xs)
    real = fun(*(x.real for x in xs))
    imaginary = fun(*(x.imag for x in xs))
    return lax.complex(real, imaginary)


def average(
    sample: Callable[[chex.PRNGKey], Tree],
    key: Any,
    samples: int | None,
) -> Estimate:
    """The mean of ``sample(key)`` over random keys.

    They are taken one after another: it keeps two trees, however many samples there are.
    """
    number = samples or SAMPLES
    form = jax.eval_shape(sample, key)
    zero = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), form)

    def add(i: jax.Array, sums: tuple[Tree, Tree]) -> tuple[Tree, Tree]:
        mean, spread = sums  # of what came before, and the sum of squared distances from it
        x = sample(jax.random.fold_in(key, i))
        count = 1.0 + i
        gap = jax.tree.map(jnp.subtract, x, mean)
        mean = jax.tree.map(lambda m, d: m + d / count.astype(d.dtype), mean, gap)
        square = lambda s, d, y, m: s + by_parts(jnp.multiply, d, y - m)
        return mean, jax.tree.map(square, spread, gap, x, mean)

    mean, spread = lax.fori_loop(0, number, add, (zero, zero))
    count = number * (number - 1)
    error = lambda s: by_parts(lambda part: jnp.sqrt(part / count), s)
    return Estimate(mean, jax.tree.map(error, spread))


def exact_diagonal(
    form: Callable[[Tree], jax.Array],
    like: Tree,
    chunk: int | None,
) -> Estimate:
    """The values of a quadratic form on the standard basis."""
    _, to_tree = to_vector(like)
    products = map_basis(form, like, chunk or CHUNK)
    found = to_tree(products)
    return Estimate(found, jax.tree.map(jnp.zeros_like, found))


def hutch_plus_plus(
    operator: Operator,
    like: Tree,
    key: Any,
    samples: int | None,
) -> Estimate:
    """A trace by the method Hutch++.

    In the span of some products it is exact; for the rest it is an estimate.
    """
    number = (samples or SAMPLES) // 3
    sketch_key, rest_key = jax.random.split(key)
    product = lambda key: operator(rademacher_like(key, like))
    sketch = lax.map(product, jax.random.split(sketch_key, number))
    basis = orthonormal(sketch)

    def inside(i: jax.Array) -> jax.Array:
        q = jax.tree.map(lambda rows: rows[i], basis)
        return dot(q, operator(q))

    def outside(key: chex.PRNGKey) -> jax.Array:
        z = orthogonal_to(basis, rademacher_like(key, like))
        return dot(z, operator(z))

    rest = average(outside, rest_key, number)
    known = jnp.sum(lax.map(inside, jnp.arange(number)))
    return Estimate(known + rest.value, rest.standard_error)


def check_method(
    name: str,
    known: tuple[str, ...],
    method: str,
    key: chex.PRNGKey | None,
    samples: int | None,
    chunk: int | None,
) -> None:
    """Refuse unknown methods, and arguments that do not fit.

    These are missing, or are given although the method would not use them.
    """
    check_one_of(name, known, method=method)
    if method == "exact":
        if key is not None or samples is not None:
            raise ValueError(
                f"{name}: method='exact' draws nothing; leave out key and samples, or"
                " name a method."
            )
        return
    if key is None:
        raise ValueError(
            f"{name}: method={method!r} draws random vectors: give a key, such as"
            " jax.random.key(0)."
        )
    if chunk is not None:
        raise ValueError(
            f"{name}: method={method!r} makes one product at a time: chunk={chunk!r} is"
            " for 'exact'."
        )
    # Fewer have no standard error.
    check_at_least(name, 6 if method == "hutch++" else 2, samples=samples)
