"""What works in a subspace: shapes, directions, optax, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain as gc
from tests.laws import samples

SHAPES = {"bias": (3,), "kernel": (8, 3), "wide": (3, 8)}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.complex64])
def test_the_state_of_the_inner_transformation_has_the_projected_shapes(dtype):
    p = {
        "bias": jnp.zeros(3, dtype),
        "kernel": jnp.zeros((8, 4), dtype),
        "stack": jnp.zeros((5, 4, 8), dtype),
    }
    state = gc.low_rank(gc.scale_by_adam(), 2).init(p)["low_rank"]
    shapes = lambda tree: jax.tree.map(jnp.shape, tree)
    assert shapes(state["basis"]) == {"bias": None, "kernel": (8, 2), "stack": (5, 8, 2)}
    assert shapes(state["inner"]["scale_by_adam"]["mu"]) == {
        "bias": (3,),
        "kernel": (2, 4),
        "stack": (5, 4, 2),
    }
    assert state["inner"]["scale_by_adam"]["mu"]["kernel"].dtype == dtype
    state = gc.low_rank(gc.scale_by_adam(), 2, compress="shorter").init(p)["low_rank"]
    assert shapes(state["basis"]) == {"bias": None, "kernel": (4, 2), "stack": (5, 4, 2)}
    assert shapes(state["inner"]["scale_by_adam"]["nu"]) == {
        "bias": (3,),
        "kernel": (8, 2),
        "stack": (5, 2, 8),
    }


def test_it_is_galore_of_optax_while_the_basis_stays():
    # Later the bases of optax may change their signs, and moments meet gradients of the other sign.
    ours, theirs = (
        gc.low_rank(gc.scale_by_adam(), 2, scale=0.5),
        optax.contrib.scale_by_galore(2, scale=0.5),
    )
    with jax.enable_x64(True):
        p, grads = samples.params(jnp.float64, SHAPES), samples.gradients(jnp.float64, 10, SHAPES)
        updates, _, _ = samples.compiled_run(ours, p, grads)
        with jax.numpy_dtype_promotion("standard"):
            expected, _, _ = jax.jit(samples.run, static_argnums=0)(theirs, p, grads)
    samples.assert_close(updates, expected, 1e-5)  # whose basis is found in float32


@pytest.mark.parametrize("compress", ["longer", "shorter"])
def test_a_gradient_of_low_rank_passes_as_it_is(compress):
    rng = np.random.default_rng(0)
    g = jnp.asarray(rng.standard_normal((8, 2)) @ rng.standard_normal((2, 5)), jnp.float32)
    tx = gc.low_rank(gc.identity(), 2, compress=compress)
    np.testing.assert_allclose(tx.update(g, tx.init(g))[0], g, atol=1e-5)


def test_the_basis_is_renewed_when_it_is_time_and_not_by_a_zero_gradient():
    tx = gc.low_rank(gc.identity(), 1, update_every=2)
    first, second = jnp.zeros((3, 2)).at[0, 0].set(1.0), jnp.zeros((3, 2)).at[1, 1].set(1.0)
    state = tx.init(first)
    update = lambda g, state: tx.update(g, state)
    for g, column in ((first, 0), (second, 0), (second, 1), (second, 1), (0 * first, 1)):
        _, state = update(g, state)
        np.testing.assert_allclose(state["low_rank"]["basis"][:, 0], np.eye(3)[column], atol=1e-6)


def test_the_basis_keeps_its_signs():
    g = samples.gradients(jnp.float32, 2, {"kernel": (6, 4)})["kernel"][0]
    tx = gc.low_rank(gc.identity(), 2)
    bases = [tx.update(x, tx.init(x))[1]["low_rank"]["basis"] for x in (g, -g)]
    np.testing.assert_allclose(*bases, atol=1e-5)
    assert np.all(np.max(bases[0], axis=0) == np.max(np.abs(bases[0]), axis=0))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rank": 0}, "low_rank: rank must be 1 or more, not 0"),
        ({"update_every": 0}, "low_rank: update_every must be 1 or more"),
        (
            {"compress": "both"},
            "low_rank: compress must be one of 'longer', 'shorter', not 'both'",
        ),
    ],
)
def test_wrong_arguments_of_low_rank_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        gc.low_rank(gc.identity(), **wrong).init(jnp.zeros((2, 2)))
