"""Noise whose key is in the state."""

import jax
import jax.numpy as jnp

from gradchain.as_optax.numerics import safe_increment
from gradchain.as_optax.states import AddNoiseState
from gradchain.as_optax.tree_utils import tree_random_like
from gradchain.as_optax.wrappers import Pair, named_pair, start_count
from gradchain.core.types import Numeric, Params, Updates


def key_of(
    key: int | jax.Array | None,
    seed: int | None = None,
) -> jax.Array:
    """A random key, which a seed may stand for.

    Raises:
        ValueError: if both are given.
    """
    if seed is not None and key is not None:
        raise ValueError("Only one of seed or key can be specified.")
    number = seed if key is None else key
    if number is None:
        number = 0
    is_seed = jnp.ndim(number) == 0 and jnp.issubdtype(jnp.result_type(number), jnp.integer)
    return jax.random.key(number) if is_seed else jnp.asarray(number)


def add_noise(
    eta: Numeric,
    gamma: Numeric,
    key: int | jax.Array | None = None,
    *,
    seed: int | None = None,
) -> Pair:
    r"""Add noise that fades, of variance :math:`\eta / t^\gamma`.

    ``key`` is a random key, or an integer, its seed.
    """
    first = key_of(key, seed)

    def init(params: Params) -> AddNoiseState:
        return AddNoiseState(start_count(), first)

    def update(
        updates: Updates, state: AddNoiseState, params: Params = None
    ) -> tuple[Updates, AddNoiseState]:
        count = safe_increment(state.count)
        deviation = jnp.sqrt(eta / count**gamma)
        next_key, own_key = jax.random.split(state.rng_key)
        noise = tree_random_like(own_key, updates, jax.random.normal)
        noisy = jax.tree.map(lambda g, x: (g + deviation * x).astype(g.dtype), updates, noise)
        return noisy, AddNoiseState(count, next_key)

    return named_pair("add_noise", init, update)
