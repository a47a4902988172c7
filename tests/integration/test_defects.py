"""Sixteen defects that were seen in optimizer libraries for JAX, and that are none here; one test
for each.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec as P

import gradchain as gc
from gradchain.tree.paths import named_leaves

PARAMS = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
GRADS = {"kernel": jnp.full((2, 2), 0.5), "bias": jnp.full(2, 2.0)}


def cast(tree, dtype):
    return jax.tree.map(lambda x: x.astype(dtype), tree)


def paths(tree):
    return [path for path, _ in named_leaves(tree)]


def test_01_numbers_are_not_rounded_to_the_dtype_of_the_parameters():
    """b2 = 0.999 in bfloat16 is 1, and the first update not a number."""
    params, grads = cast(PARAMS, jnp.bfloat16), cast(GRADS, jnp.bfloat16)
    tx = gc.adam(1e-3)
    as_argument = jax.jit(lambda tx, *args: tx.update(*args))
    for update in (tx.update, lambda *args: as_argument(tx, *args)):
        updates, _ = update(grads, tx.init(params), params)
        np.testing.assert_allclose(updates["bias"].astype(jnp.float32), -1e-3, rtol=1e-2)


def test_02_second_moments_of_bfloat16_parameters_go_on_growing():
    """With a gradient of 1 the moment is 1 - 0.999^3000 = 0.950; kept in bfloat16 it sticks at
    0.5.
    """
    tx, params = gc.scale_by_adam(), jnp.zeros(2, jnp.bfloat16)
    step = lambda state, _: (tx.update(jnp.ones(2, jnp.bfloat16), state, params)[1], None)
    state, _ = jax.lax.scan(step, tx.init(params), length=3000)
    np.testing.assert_allclose(state["scale_by_adam"]["nu"], 1 - 0.999**3000, rtol=1e-3)


def test_03_a_zero_gradient_in_float16_gives_a_zero_update():
    """In float16 eps = 1e-8 is 0, and 0 / 0 no number."""
    params = cast(PARAMS, jnp.float16)
    tx, zeros = gc.adam(1e-3), jax.tree.map(jnp.zeros_like, params)
    updates, _ = tx.update(zeros, tx.init(params), params)
    assert not any(u.any() for u in jax.tree.leaves(updates))


def test_04_a_micro_batch_that_is_not_finite_is_dropped():
    tx = gc.accumulate(gc.sgd(1.0), every=2)
    state, params = tx.init(PARAMS), PARAMS
    for factor in (
        jnp.nan,
        1.0,
        3.0,
        5.0,
    ):  # the first step has one good micro-batch, the second two
        grads = jax.tree.map(lambda g, factor=factor: factor * g, GRADS)
        params, state = tx.step(grads, state, params)
    np.testing.assert_allclose(params["bias"], 1.0 - 2.0 - 8.0)
    assert gc.metrics(state)["accumulate/dropped"] == 1


def test_05_the_inner_optimizer_runs_once_for_all_micro_batches():
    calls = []

    def update(updates, state, params=None):
        jax.debug.callback(lambda: calls.append(None))
        return updates, state

    tx = gc.accumulate(gc.GradientTransformation(lambda params: {}, update), every=4)
    state, step = tx.init(PARAMS), jax.jit(tx.update)
    for _ in range(8):
        _, state = step(GRADS, state, PARAMS)
    jax.effects_barrier()
    assert len(calls) == 2


def test_06_metrics_keep_the_structure_of_the_state():
    tx = gc.watch(gc.chain(gc.clip_by_global_norm(1.0), gc.adam(0.1)))
    state = tx.init(PARAMS)

    def body(carry, _):
        params, state = carry
        params, state = tx.step(GRADS, state, params)
        return (params, state), gc.metrics(state)

    (_, after), metrics = jax.lax.scan(body, (PARAMS, state), length=3)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    np.testing.assert_allclose(metrics["gradient_norm"][0], gc.global_norm(GRADS), rtol=1e-6)


@pytest.mark.parametrize(
    "shapes", [((2, 1), (2, 2)), ((2, 2), (2, 1)), ((), (2,)), ((2,), (1, 2))]
)
def test_07_nothing_is_broadcast(shapes):
    tx, grad, param = (
        gc.sgd(0.1),
        {"layer": {"w": jnp.ones(shapes[0])}},
        {"layer": {"w": jnp.ones(shapes[1])}},
    )
    for run in (tx.update, tx.step, lambda grads, state, params: gc.apply_updates(params, grads)):
        with pytest.raises(
            ValueError, match=r"'layer/w': the update is float32.*Nothing is broadcast"
        ):
            run(grad, tx.init(param), param)


def test_08_weights_to_evaluate_with_are_found_in_a_chain():
    tx = gc.chain(gc.clip_by_global_norm(1.0), gc.schedule_free_sgd(0.1))
    state, params = tx.init(PARAMS), PARAMS
    for _ in range(3):
        params, state = tx.step(GRADS, state, params)
    kept = gc.eval_params(state, params)
    assert jax.tree.structure(kept) == jax.tree.structure(params)
    assert not np.allclose(kept["bias"], params["bias"])


def test_09_the_step_and_the_learning_rate_are_read_in_the_commonest_chain():
    rate = gc.linear_schedule(1.0, 0.0, 4)
    tx = gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(rate))
    _, state = tx.step(GRADS, tx.init(PARAMS), PARAMS)
    now = gc.hyperparams(tx, state)
    assert int(now["step"]) == 1
    assert float(now["learning_rate"]) == 0.75


def test_10_a_state_never_overrides_the_code():
    for make in (gc.sgd, gc.adamw, lambda rate: gc.schedule_free_sgd(rate, b1=rate), gc.lamb):
        old, new = make(0.1), make(0.001)
        updates, _ = new.update(GRADS, old.init(PARAMS), PARAMS)
        expected, _ = new.update(GRADS, new.init(PARAMS), PARAMS)
        jax.tree.map(np.testing.assert_array_equal, updates, expected)


def test_11_moments_are_split_as_their_parameters():
    """``init`` runs as it stands, on an ordinary mesh. What L-BFGS keeps of the past comes with
    L-BFGS.
    """
    mesh = jax.make_mesh((8,), ("a",), axis_types=(jax.sharding.AxisType.Auto,))
    split = NamedSharding(mesh, P("a"))
    params = {"embedding": jax.device_put(jnp.ones((16, 4)), split)}
    for tx in (
        gc.adamw(0.1),
        gc.chain(gc.clip_by_global_norm(1.0), gc.groups([], default=gc.lookahead(gc.adam(0.1)))),
    ):
        state = tx.init(params)
        _, after = jax.jit(tx.step)(params, state, params)
        for path, x in (*named_leaves(state), *named_leaves(after)):
            if path.endswith("embedding"):
                assert x.sharding.is_equivalent_to(split, 2), path


def test_12_a_clip_or_a_schedule_moves_no_path():
    tx = gc.adamw(0.1)
    expected = paths(tx.init(PARAMS))
    scheduled = gc.adamw(gc.linear_schedule(0.1, 0.0, 10))
    for edited in (
        gc.chain(gc.clip_by_global_norm(1.0), tx),
        scheduled,
        tx.replace(learning_rate=lambda step: 0.1),
    ):
        assert paths(edited.init(PARAMS)) == expected


def test_13_frozen_gradients_are_in_no_norm():
    grads = {"kernel": jnp.full((2, 2), 100.0), "bias": jnp.array([6.0, 8.0])}
    for rest in (
        gc.groups([("kernel", gc.freeze())], default=gc.sgd(1.0)),
        gc.chain(gc.freeze("kernel"), gc.sgd(1.0)),
    ):
        tx = gc.chain(gc.clip_by_global_norm(1.0), rest)
        updates, _ = tx.update(grads, tx.init(PARAMS), PARAMS)
        np.testing.assert_allclose(updates["bias"], [-0.6, -0.8], rtol=1e-6)
        assert not updates["kernel"].any()


def test_14_a_misspelt_argument_is_an_error():
    tx = gc.chain(gc.clip_by_global_norm(1.0), gc.sgd(0.1))
    for run in (tx.update, tx.step, jax.jit(tx.update)):
        with pytest.raises(TypeError, match=r"'valeu'\. Did you mean 'value'"):
            run(GRADS, tx.init(PARAMS), PARAMS, valeu=3.0)


@pytest.mark.parametrize("boundaries", [[], [1, 2], [1, 2, 3]])
def test_15_a_list_of_the_wrong_length_is_refused(boundaries):
    """Too short and too long alike. The coefficients of Muon, where the two were confused, come
    with Muon.
    """
    halves = [gc.constant_schedule(1.0), gc.constant_schedule(0.5)]
    assert float(gc.join_schedules(halves, [1])(5)) == 0.5
    with pytest.raises(ValueError, match="join_schedules"):
        gc.join_schedules(halves, boundaries)


def test_16_the_leaves_that_a_mask_leaves_out_do_not_get_their_raw_gradients():
    """A whole optimizer for some leaves says what becomes of the others; descent never turns into
    ascent.
    """
    with pytest.raises(ValueError, match=r"others=freeze\(\)"):
        gc.masked(gc.sgd(0.1), "kernel").init(PARAMS)
    tx = gc.masked(gc.sgd(0.1), "kernel", others=gc.freeze())
    params, _ = tx.step(GRADS, tx.init(PARAMS), PARAMS)
    np.testing.assert_array_equal(params["bias"], PARAMS["bias"])
    with pytest.raises(ValueError, match="no rule fits 'bias'"):
        gc.groups([("kernel", gc.sgd(0.1))]).init(PARAMS)
