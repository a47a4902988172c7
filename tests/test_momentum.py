"""What the table does not say of gradient descent: its averages, its noise, what it refuses, where
optax differs.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P

import gradchain as gc


def test_asgd_averages_the_iterates_after_t0():
    tx, params, iterates = gc.asgd(0.1, lambd=0.1, t0=3.0), jnp.array([1.0, -2.0]), []
    state = tx.init(params)
    for t in range(1, 9):
        params, state = tx.step(jnp.sin(params + t), state, params)
        iterates.append(params)
        since = (
            [params] if t <= 5 else iterates[4:]
        )  # torch's t0: step t0 + 3 is the first that averages two
        np.testing.assert_allclose(
            state["scale_by_asgd"]["average_params"], np.mean(since, axis=0), rtol=1e-6
        )


def test_the_average_of_asgd_is_that_of_torch():
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = torch.optim.ASGD([theirs], lr=0.1, lambd=0.1, t0=3.0)
    with jax.enable_x64(True):
        tx, params = gc.asgd(0.1, lambd=0.1, t0=3.0), jnp.array([1.0, -2.0])
        state = tx.init(params)
        for t in range(1, 9):
            g = np.sin(np.array([1.0, 2.0]) * t)
            theirs.grad = torch.tensor(g)
            optimizer.step()
            params, state = tx.step(jnp.asarray(g), state, params)
            # torch keeps the rate in its default dtype
            np.testing.assert_allclose(
                state["scale_by_asgd"]["average_params"],
                optimizer.state[theirs]["ax"].numpy(),
                rtol=1e-6,
            )


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


def test_polyak_needs_a_known_variant_and_the_value():
    with pytest.raises(ValueError, match=r"variant must be one of 'sps', 'sps\+', not 'adam'"):
        gc.polyak_sgd(variant="adam").init(jnp.zeros(1))
    tx = gc.polyak_sgd()
    with pytest.raises(TypeError, match="needs the extra argument 'value'"):
        tx.update(jnp.ones(1), tx.init(jnp.zeros(1)))


def test_polyak_scales_the_step_by_the_scaling_where_optax_divides_by_it():
    g, params = jnp.array([2.0]), jnp.zeros(1)
    tx, theirs = gc.polyak_sgd(10.0, scaling=0.5), optax.polyak_sgd(10.0, scaling=0.5)
    np.testing.assert_allclose(tx.update(g, tx.init(params), value=1.0)[0], -0.5 * 0.25 * g)
    with jax.numpy_dtype_promotion(
        "standard"
    ):  # optax scales the gradient before it takes its norm
        np.testing.assert_allclose(
            theirs.update(g, theirs.init(params), value=1.0)[0], -(1 / 0.5) * 0.25 * g
        )


def test_rprop_steps_at_once_where_optax_steps_one_update_later():
    params = jnp.zeros(1)
    ours, theirs = gc.rprop(0.1), optax.rprop(0.1)
    state, their_state = ours.init(params), theirs.init(params)
    for g, u, their_u in (
        (3.0, -0.1, 0.0),
        (1.0, -0.12, -0.1),
        (-1.0, 0.0, 0.0),
        (-1.0, 0.06, 0.0),
    ):
        update, state = ours.update(jnp.array([g]), state)
        with jax.numpy_dtype_promotion("standard"):
            their_update, their_state = theirs.update(jnp.array([g]), their_state)
        np.testing.assert_allclose(update, [u], rtol=1e-6)
        np.testing.assert_allclose(their_update, [their_u], rtol=1e-6)


def test_the_decays_of_aggmo_may_be_traced_in_any_precision():
    with jax.enable_x64(True):
        g, decays = jnp.ones(2, jnp.float32), (jnp.float64(0.5), jnp.float32(0.25))

        @jax.jit
        def two_steps(decays):
            tx = gc.scale_by_aggmo(decays)
            return tx.update(g, tx.update(g, tx.init(g))[1])[0]

        np.testing.assert_allclose(two_steps(decays), 1 + 0.75 / 2)
