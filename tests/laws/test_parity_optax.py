"""The same numbers as optax where the definitions agree, and why not where they do not."""

import contextlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain as gc
from gradchain.core.factory import FACTORIES
from tests.laws import samples
from tests.laws.table import ROWS

is_first_order_recipe = lambda f: (
    f.composite
    and f.function.__module__.startswith("gradchain.optimizers")
    and ".second_order" not in f.function.__module__
)
RECIPES = {name for name, f in FACTORIES.items() if is_first_order_recipe(f)}
SHAPES = {
    name: shape for name, shape in samples.SHAPES.items() if name != "hole"
}  # optax takes no holes everywhere
comparable = [row for row in ROWS if row.optax is not None]
each_row = pytest.mark.parametrize("row", comparable, ids=[row.name for row in comparable])


def run(tx, params, grads, step, extra):
    """All steps in one scan, with optax's own functions."""

    def body(carry, g):
        p, state = carry
        updates, state = tx.update(g, state, p, **extra)
        return (optax.apply_updates(p, jax.tree.map(lambda u: step * u, updates)), state), updates

    (p, state), updates = jax.lax.scan(body, (params, tx.init(params)), grads)
    return updates, p, state


def both(row, dtype):
    """Updates, parameters and state after 200 steps, ours and theirs, and the parameters of the
    twin.
    """
    step = 1.0 if row.name.split("-")[0] in RECIPES else samples.STEP
    p, grads = samples.params(dtype, SHAPES), samples.gradients(dtype, 200, SHAPES)
    ours = samples.compiled_run(row.make(), p, grads, step, **row.run)
    with in_optax():
        theirs = jax.jit(partial(run, extra=row.extra), static_argnums=0)(
            row.optax(), p, grads, step
        )
    return ours, theirs, samples.run_twin(row.twin(), p, grads, step, **row.run)[1]


@contextlib.contextmanager
def in_optax():
    """It promotes dtypes and broadcasts."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.mark.rotated(6)
@each_row
def test_200_steps_in_float32_end_where_those_of_optax_do(row):
    (_, ours, _), (_, theirs, _), exact = both(row, jnp.float32)
    # With b2 = 0.999 optax is further than 1e-6 from the truth: it takes 1 - b2**t in float32,
    # where five of the seven digits cancel at first. What is more than 1e-6 between us has to be
    # its own error.
    ours, theirs = samples.named(ours), samples.named(theirs)
    for name, x in ours.items():
        size = np.max(np.abs(exact[name]), initial=0.0)
        assert np.all(
            np.abs(x - theirs[name])
            <= row.tolerance * 1e-6 * size + np.abs(theirs[name] - exact[name])
        ), name
        assert np.all(np.abs(x - theirs[name]) <= row.tolerance * 1e-5 * size), name


@pytest.mark.rotated(6)
@each_row
def test_200_steps_in_float64_are_those_of_optax(row):
    with jax.enable_x64(True):
        (updates, p, _), (expected_updates, expected, _), _ = both(row, jnp.float64)
        samples.assert_close(updates, expected_updates, row.tolerance * 1e-12)
        samples.assert_close(p, expected, row.tolerance * 1e-12)


# ------------------------------------------------------------------------- where ours is not theirs


def nu_after_3000_steps(tx, find, dtype):
    p, g = jnp.ones(4, dtype), jnp.ones(4, dtype)
    body = lambda state, _: (tx.update(g, state, p)[1], None)
    return find(jax.jit(lambda: jax.lax.scan(body, tx.init(p), length=3000)[0])())


def test_the_second_moment_of_bfloat16_parameters_grows_because_slots_are_float32():
    nu = nu_after_3000_steps(
        gc.scale_by_adam(), lambda state: state["scale_by_adam"]["nu"], jnp.bfloat16
    )
    assert nu.dtype == jnp.float32
    np.testing.assert_allclose(nu, 1 - 0.999**3000, rtol=0.01)
    np.testing.assert_allclose(nu, 0.950, rtol=0.01)
    with in_optax():
        stuck = nu_after_3000_steps(optax.scale_by_adam(), lambda state: state.nu, jnp.bfloat16)
    np.testing.assert_allclose(
        stuck.astype(jnp.float32), 0.5, rtol=0.01
    )  # b2 nu + (1 - b2) g^2 rounds to nu


def test_a_zero_gradient_in_float16_is_a_zero_update_because_eps_is_float32():
    p = jnp.ones(4, jnp.float16)
    ours = gc.adam(1e-3)
    update, _ = ours.update(jnp.zeros_like(p), ours.init(p), p)
    assert update.dtype == jnp.float16
    assert np.all(np.asarray(update) == 0)
    with in_optax():
        theirs = optax.adam(1e-3)
        assert np.all(
            np.isnan(theirs.update(jnp.zeros_like(p), theirs.init(p), p)[0])
        )  # eps = 1e-8 rounds to 0


def test_b2_stays_what_it_is_beside_bfloat16_because_numbers_are_never_narrowed():
    p, g = jnp.ones(4, jnp.bfloat16), jnp.full(4, 2.0, jnp.bfloat16)

    @jax.jit
    def second_moment(b2):
        tx = gc.scale_by_adam(b2=b2)
        return tx.update(g, tx.init(p), p)[1]["scale_by_adam"]["nu"]

    # 1 - 0.999 in float32 has five digits; in bfloat16, where 0.999 is 1, it would have none.
    np.testing.assert_allclose(second_moment(0.999), 4e-3, rtol=2e-5)
    np.testing.assert_allclose(second_moment(jnp.float32(0.999)), 4e-3, rtol=2e-5)
    with in_optax():
        theirs = optax.inject_hyperparams(optax.scale_by_adam)(b2=0.999)
        _, state = theirs.update(g, theirs.init(p), p)
        assert np.all(np.asarray(state.inner_state.nu.astype(jnp.float32)) == 0)


def test_the_first_step_of_adam_has_all_digits_because_of_expm1():
    p, g = jnp.zeros(4), jnp.array([1.0, -2.0, 3e-3, 0.7])
    exact = np.sign(g)  # g / (|g| + eps), and eps is beyond the digits of float32
    error = lambda tx: float(np.max(np.abs(jax.jit(tx.update)(g, tx.init(p), p)[0] - exact)))
    assert error(gc.scale_by_adam(eps=1e-12)) < 2e-7
    with in_optax():
        assert error(optax.scale_by_adam(eps=1e-12)) > 1e-6


def test_clip_bounds_both_parts_of_a_complex_number_which_optax_does_not_take():
    g = jnp.array([3.0 - 0.5j, 0.1 + 2.0j], jnp.complex64)
    tx = gc.clip(1.0)
    np.testing.assert_array_equal(
        tx.update(g, tx.init(g))[0], np.array([1.0 - 0.5j, 0.1 + 1.0j], np.complex64)
    )
    with in_optax(), pytest.raises(ValueError, match="complex"):
        optax.clip(1.0).update(g, optax.EmptyState())


def test_masked_refuses_to_leave_raw_gradients_as_updates():
    p = {"bias": jnp.ones(2), "kernel": jnp.ones((2, 2))}
    with pytest.raises(
        ValueError, match=r"would get their raw gradients as updates. Say others=freeze\(\)"
    ):
        gc.masked(gc.sgd(0.1), "*kernel").init(p)
    theirs = optax.masked(optax.sgd(0.1), {"bias": False, "kernel": True})
    updates, _ = theirs.update(p, theirs.init(p), p)
    np.testing.assert_array_equal(updates["bias"], 1.0)  # uphill, at full length
