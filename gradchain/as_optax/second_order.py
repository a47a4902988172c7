"""``optax.second_order``: curvature as vectors of all parameters.

The losses are ``f(params, inputs, targets)``.
``gradchain.curvature`` has the same and more of any function of trees.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from gradchain.core.types import Params
from gradchain.curvature.diagonals import hessian_diagonal
from gradchain.curvature.products import hessian_vector_product


def hvp(
    loss: Callable[..., Any],
    v: jax.Array,
    params: Params,
    inputs: Any,
    targets: Any,
) -> Any:
    """The product of Hessian and vector, as a tree."""
    tree = ravel_pytree(params)[1](v)
    return hessian_vector_product(loss, params, tree, inputs, targets)


def hessian_diag(
    loss: Callable[..., Any],
    params: Params,
    inputs: Any,
    targets: Any,
) -> jax.Array:
    """The diagonal of the Hessian, as a vector.

    It takes one product for each parameter.
    """
    return ravel_pytree(hessian_diagonal(loss, params, inputs, targets).value)[0]


def fisher_diag(
    negative_log_likelihood: Callable[..., Any],
    params: Params,
    inputs: Any,
    targets: Any,
) -> jax.Array:
    """The squared gradient of a loss, as a vector."""
    grad = jax.grad(negative_log_likelihood)(params, inputs, targets)
    return jnp.square(ravel_pytree(grad)[0])
