"""What keeps less than one second moment for each weight: slots, errors, and optax where the laws
do not ask.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain as gc
from tests import samples

SHAPES = {"bias": (3,), "kernel": (3, 2), "stack": (2, 4, 3)}


def both(ours, theirs, dtype=jnp.float64, steps=20):
    """The parameters after some steps of ours and of optax's."""
    with jax.enable_x64(dtype == jnp.float64):
        p, grads = samples.params(dtype, SHAPES), samples.gradients(dtype, steps, SHAPES)
        _, expected_p, _ = samples.compiled_run(ours, p, grads, 1.0)
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            _, p, _ = jax.jit(samples.run, static_argnums=(0, 3))(theirs, p, grads, 1.0)
    return expected_p, p


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, {}),
        (
            {"momentum": 0.8, "weight_decay_rate": 0.01},
            {"momentum": 0.8, "weight_decay_rate": 0.01},
        ),
        ({"clipping_threshold": None}, {"clipping_threshold": None}),
        (
            {"multiply_by_parameter_scale": False, "factored": False},
            {"multiply_by_parameter_scale": False, "factored": False},
        ),
    ],
)
def test_adafactor_is_that_of_optax_but_for_its_decay_in_float32(ours, theirs):
    ours, theirs = (
        gc.adafactor(0.05, 2, **ours),
        optax.adafactor(0.05, 2, **theirs, dtype_momentum=jnp.float64),
    )
    samples.assert_close(*both(ours, theirs), 1e-6)


def test_adafactor_without_a_rate_takes_steps_of_the_size_of_the_parameters_as_in_optax():
    samples.assert_close(*both(gc.adafactor(None, 2), optax.adafactor(None, 2)), 1e-5)


def test_sm3_is_that_of_optax():
    samples.assert_close(*both(gc.sm3(0.1), optax.sm3(0.1)), 1e-12)


def test_the_largest_dimensions_are_factored_unless_the_last_are_asked_for():
    p = {"a": jnp.zeros((5, 2, 7)), "b": jnp.zeros((2, 2)), "c": jnp.zeros(9)}
    state = gc.scale_by_factored_rms(min_dim_size_to_factor=3).init(p)["scale_by_factored_rms"]
    assert (state["v_row"]["a"].shape, state["v_col"]["a"].shape) == ((5, 2), (2, 7))
    assert jax.tree.map(jnp.shape, state["v"]) == {"a": None, "b": (2, 2), "c": (9,)}
    state = gc.scale_by_factored_rms(min_dim_size_to_factor=2, dims="last").init(p)[
        "scale_by_factored_rms"
    ]
    assert (state["v_row"]["a"].shape, state["v_col"]["a"].shape) == ((5, 2), (5, 7))


def test_a_row_without_a_gradient_beside_a_huge_one_has_a_zero_update():
    g = jnp.array([[0.0, 0.0], [1e18, 1e18]])
    tx = gc.scale_by_factored_rms(min_dim_size_to_factor=2)
    np.testing.assert_allclose(tx.update(g, tx.init(g))[0], [[0.0, 0.0], [1.0, 1.0]], rtol=1e-6)


@pytest.mark.parametrize(
    "make", [gc.scale_by_factored_rms, lambda dims: gc.adafactor(0.1, dims=dims)]
)
def test_other_dimensions_are_refused(make):
    with pytest.raises(ValueError, match="dims must be one of 'largest', 'last', not 'first'"):
        make(dims="first").init(jnp.zeros((2, 2)))


def test_sm3_keeps_a_vector_for_each_dimension_and_takes_up_to_six():
    tx = gc.scale_by_sm3()
    state = tx.init({"a": jnp.zeros((2, 3, 4)), "b": jnp.zeros(())})["scale_by_sm3"]
    shapes = {k: jax.tree.map(jnp.shape, v) for k, v in state.items() if k != "mu"}
    assert [shapes[f"axis_{i}"]["a"] for i in range(6)] == [(2,), (3,), (4,), None, None, None]
    assert shapes["single"] == {"a": None, "b": ()}
    assert shapes["axis_0"]["b"] is None
    tx.init(jnp.zeros((1,) * 6))
    with pytest.raises(
        ValueError, match=r"shape \[1, 1, 1, 1, 1, 1, 1\] has more than 6 dimensions"
    ):
        tx.init(jnp.zeros((1,) * 7))


def test_adam_mini_keeps_one_number_for_each_block():
    p = {"bias": jnp.zeros(4), "kernel": jnp.zeros((3, 4)), "attention": jnp.zeros((3, 2, 5))}
    nu = lambda block: jax.tree.map(
        jnp.shape, gc.scale_by_adam_mini(block=block).init(p)["scale_by_adam_mini"]["nu"]
    )
    assert nu("output") == {"bias": (), "kernel": (4,), "attention": (3, 5)}
    assert nu("row") == {"bias": (), "kernel": (3,), "attention": (3, 2)}
    assert nu("leaf") == {"bias": (), "kernel": (), "attention": ()}
    assert nu(lambda shape: (0, -1) if len(shape) > 2 else ()) == {
        "bias": (4,),
        "kernel": (3, 4),
        "attention": (2,),
    }
    with pytest.raises(
        ValueError, match="block must be one of 'output', 'row', 'leaf', not 'head'"
    ):
        gc.scale_by_adam_mini(block="head").init(p)


def test_adam_mini_with_a_block_for_each_element_is_adam():
    mini, adam = gc.scale_by_adam_mini(block=no_dims), gc.scale_by_adam()
    p, grads = samples.params(jnp.float32, SHAPES), samples.gradients(jnp.float32, shapes=SHAPES)
    samples.assert_close(
        samples.compiled_run(mini, p, grads)[0], samples.compiled_run(adam, p, grads)[0], 1e-6
    )


def no_dims(shape):
    return ()


def test_amos_stops_by_itself():
    tx, p = gc.amos(0.5, 0.9), jnp.ones((3, 2))
    state = tx.init(p)
    sizes = []
    for _ in range(50):
        u, state = tx.update(jnp.ones_like(p), state, p)
        sizes.append(float(gc.global_norm(u)))
    assert sizes[-1] < 0.3 * sizes[0]


def test_amos_rests_while_its_rate_is_zero():
    tx, p = gc.amos(gc.linear_schedule(0.0, 0.5, 2)), jnp.ones((3, 2))
    u, state = tx.update(jnp.ones_like(p), tx.init(p), p)
    np.testing.assert_array_equal(u, 0.0)
    assert np.all(np.isfinite(tx.update(jnp.ones_like(p), state, p)[0]))
