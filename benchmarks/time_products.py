"""What a Hessian-vector product costs, in gradients: ``python -m benchmarks.time_products``.

The network is an MLP on scikit-learn's digits. Contestants take turns, and the fastest call of each
counts.
"""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from sklearn.datasets import load_digits

from gradchain import curvature

TURNS, PRODUCTS = 100, 32


class MLP(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(10)(nn.tanh(nn.Dense(32)(x)))


def seconds(calls: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """The fastest of many calls of each."""
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(TURNS):
        for name, call in calls.items():
            start = time.perf_counter()
            jax.block_until_ready(call())
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def measure(x: jax.Array, y: jax.Array) -> str:
    """A line of what was found on these examples."""
    params = MLP().init(jax.random.key(0), x)["params"]
    loss = lambda p: -jnp.mean(jnp.sum(y * jax.nn.log_softmax(MLP().apply({"params": p}, x)), 1))
    vectors = jax.tree.map(lambda v: jnp.stack([v] * PRODUCTS), params)
    gradient = jax.jit(jax.grad(loss))
    one = jax.jit(lambda p, v: curvature.hessian_vector_product(loss, p, v))
    many = jax.jit(lambda p, vs: jax.lax.map(curvature.hessian_operator(loss, p), vs))
    found = seconds(
        {
            "gradient": lambda: gradient(params),
            "one": lambda: one(params, params),
            "many": lambda: many(params, vectors),
        }
    )
    unit = found["gradient"]
    return (
        f"{len(x)} examples: a gradient {1e6 * unit:.0f} us; one product"
        f" {found['one'] / unit:.2f} gradients;"
        f" of many at one point {found['many'] / PRODUCTS / unit:.2f}"
    )


def main() -> None:
    images, labels = load_digits(return_X_y=True)
    for number in (256, len(images)):
        print(
            measure(
                jnp.asarray(images[:number] / 16, jnp.float32),
                jax.nn.one_hot(labels[:number], 10),
            )
        )


if __name__ == "__main__":
    main()
