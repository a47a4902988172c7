"""Tests of noise beside the laws."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P

import gradchain as gc


def test_noise_depends_on_seed_step_and_path_alone():
    g = {"a": jnp.zeros(1000), "b": jnp.zeros(1000)}
    tx = gc.add_noise(eta=4.0, gamma=1.0, seed=1)
    first, state = tx.update(g, tx.init(g))
    second, _ = tx.update(g, state)
    np.testing.assert_allclose(jnp.std(first["a"]), 2.0, rtol=0.1)
    np.testing.assert_allclose(jnp.std(second["a"]), 2.0 / 2**0.5, rtol=0.1)
    draws = [
        first["a"],
        first["b"],
        second["a"],
        gc.add_noise(4.0, 1.0, seed=2).update(g, tx.init(g))[0]["a"],
    ]
    assert np.all(np.abs(np.corrcoef(draws) - np.eye(4)) < 0.15)
    np.testing.assert_array_equal(
        tx.update({"a": g["a"]}, tx.init({"a": g["a"]}))[0]["a"], first["a"]
    )


def test_noise_takes_a_key():
    g, tx = jnp.zeros(5), gc.add_noise(eta=1.0, gamma=0.0)
    state = tx.init(g)
    draws = [tx.update(g, state, key=jax.random.key(i))[0] for i in (0, 0, 1)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert np.all(draws[0] != draws[2])


def test_each_shard_draws_noise_of_its_own():
    mesh = jax.make_mesh((8,), ("a",), axis_types=(jax.sharding.AxisType.Auto,))
    tx, g = gc.add_noise(eta=1.0), {"split": jnp.zeros(8), "whole": jnp.zeros(3)}
    draw = lambda g: tx.update(g, tx.init(g))[0]
    specs = {"split": P("a"), "whole": P()}
    noise = jax.jit(jax.shard_map(draw, mesh=mesh, in_specs=(specs,), out_specs=specs))(g)
    assert len(set(np.asarray(noise["split"]).tolist())) == 8
    np.testing.assert_allclose(noise["whole"], draw(g)["whole"], rtol=1e-6)
