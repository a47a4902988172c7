"""Private means of gradients of examples: the noise and the key of optax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain as gc
import gradchain.as_optax as spoken

PARAMS = {"w": np.array([[0.5, -1.0]]), "b": np.array(0.25)}
GRADS = np.random.default_rng(2).normal(size=(6, 5, 3))

CALLS = {
    "alone": lambda lib: lib.contrib.differentially_private_aggregate(0.7, 1.5, key=3),
    "random key": lambda lib: lib.contrib.differentially_private_aggregate(
        0.7, 1.5, jax.random.key(7)
    ),
    "in a chain": lambda lib: lib.chain(
        lib.contrib.differentially_private_aggregate(0.7, 1.5, key=3), lib.adam(0.1)
    ),
    "dpsgd": lambda lib: lib.contrib.dpsgd(0.1, 0.7, 1.5, seed=1),
    "dpsgd with momentum": lambda lib: lib.contrib.dpsgd(
        lib.linear_schedule(0.1, 0.0, 9), 0.7, 1.5, 1, momentum=0.9, nesterov=True
    ),
}


def grads_of(g, dtype=jnp.float64):
    return {"w": jnp.asarray(g[:, None, :2], dtype), "b": jnp.asarray(g[:, 2], dtype)}


def walk(tx):
    """The updates of each step and the last state, in 64 bits."""
    params = jax.tree.map(jnp.asarray, PARAMS)
    state, found, update = tx.init(params), [], jax.jit(tx.update)
    for g in GRADS:
        updates, state = update(grads_of(g), state, params)
        found.append(updates)
    return found, state


def form(state):
    names = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(state)]
    return names, [x.dtype for x in jax.tree.leaves(state)]


@pytest.mark.usefixtures("jax_as_users_have_it")
@pytest.mark.parametrize("name", CALLS)
def test_noise_updates_and_states_are_those_of_optax(name):
    with jax.enable_x64(True):
        (found, state), (expected, reference) = (
            walk(CALLS[name](library)) for library in (spoken, optax)
        )
        assert form(state) == form(reference)
        # A schedule of optax is computed in float32.
        rtol = 1e-6 if "momentum" in name else 1e-12
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol), found, expected)
        as_numbers = spoken.tree_utils.tree_unwrap_random_key_data
        pairs = zip(
            *(jax.tree.leaves(as_numbers(s)) for s in (state, reference)),
            strict=True,
        )
        for a, b in pairs:
            np.testing.assert_allclose(a, b, rtol)


def test_it_goes_into_native_chains():
    private = spoken.contrib.differentially_private_aggregate(0.7, 0.0, key=3)
    tx = gc.chain(private, gc.scale(-1.0))
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), PARAMS)
    grads = grads_of(GRADS[0], jnp.float32)
    updates, _ = tx.update(grads, tx.init(params), params)
    expected, _ = gc.per_example_global_norm_clip(grads, 0.7)
    close = lambda a, b: np.testing.assert_allclose(a, -b / 5, rtol=1e-6)
    jax.tree.map(close, updates, expected)


def test_shards_of_parameters_have_noise_of_their_own():
    mesh = jax.make_mesh((2,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    tx = spoken.contrib.differentially_private_aggregate(0.5, 1.0, key=3)
    place = {"examples": jax.P(None, "x"), "params": jax.P("x")}
    state = tx.init(jnp.zeros(4))

    def update(grads, params):
        return tx.update(grads, state, params)[0]

    on_mesh = jax.shard_map(
        update, mesh=mesh, in_specs=tuple(place.values()), out_specs=place["params"]
    )
    noise = jax.jit(on_mesh)(jnp.zeros((3, 4)), jnp.zeros(4))
    assert np.unique(noise).size == 4


def test_wrong_arguments_are_named():
    make = spoken.contrib.differentially_private_aggregate
    with pytest.raises(ValueError, match="noise_multiplier"):
        make(1.0, -1.0)
    with pytest.raises(ValueError, match="Only one of seed or key"):
        make(1.0, 1.0, key=1, seed=1)
    tx = make(1.0, 1.0)
    params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), PARAMS)
    with pytest.raises(ValueError, match=r"'b' has a gradient of shape .*one gradient per"):
        tx.update(params, tx.init(params), params)
