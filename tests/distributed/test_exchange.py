"""Exchange of gradients: errors, states for several replicas, and what error feedback is for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

import gradchain as gc
from tests.distributed.replicated import exchanged, mesh_of, normal, states, ways

pytestmark = pytest.mark.rotated(1)  # they take long

REPLICAS = 4
INT8 = ways.exchange("int8", error_feedback=1.0)


def test_error_feedback_is_refused_where_the_result_is_no_mean():
    tx = ways.exchange(ways.vote(), error_feedback=1.0)
    with pytest.raises(ValueError, match=r"error_feedback=1.0 .* vote\(\) is none.* take sign"):
        tx.init(jnp.ones(2))


def test_gradients_that_are_reduced_already_are_refused_by_path():
    params = {"dense": {"kernel": jnp.ones(3)}}

    def update(params, x):
        grads = jax.grad(lambda p: jnp.sum(p["dense"]["kernel"] * x[0]))(params)
        return ways.exchange(ways.mean()).update(grads, {}, params)[0]

    mapped = jax.shard_map(update, mesh=mesh_of(2), in_specs=(P(), P("data")), out_specs=P())
    with pytest.raises(
        ValueError, match=r"'dense/kernel' is the same .*unreduced\(params, 'data'"
    ):
        mapped(params, jnp.ones((2, 3)))


def test_the_axis_has_to_be_there():
    tx = ways.exchange(ways.mean(), axis="dta")
    specs = {"mesh": mesh_of(2), "in_specs": P("data"), "out_specs": P("data")}
    with pytest.raises(ValueError, match=r"exchange: axis='dta' is no axis .* 'data'"):
        jax.shard_map(lambda g: tx.update(g, {})[0], **specs)(jnp.ones(2))
    with pytest.raises(ValueError, match="unreduced: axis='dta' is no axis"):
        jax.shard_map(lambda p: ways.unreduced(p, "dta"), **specs)(jnp.ones(2))


def test_a_state_for_one_replica_is_refused_by_several():
    params = jnp.zeros(8)
    with pytest.raises(ValueError, match="divisible"):
        exchanged(INT8, params, 2)(normal(2, 8), INT8.init(params), params)


@pytest.mark.parametrize("wire", ["int8", ways.mean(), ways.power_sgd(1)], ids=str)
def test_types_may_be_unchecked(wire):
    """With ``check_vma=False``, as in ``vmap``, arrays do not say whether they differ."""
    x, params, tx = normal(REPLICAS, 16, 8), jnp.zeros((16, 8)), ways.exchange(wire)
    state = states(tx, params, REPLICAS)
    expected, _ = exchanged(tx, params, REPLICAS)(x, state, params)
    unchecked, _ = exchanged(tx, params, REPLICAS, check_vma=False)(x, state, params)
    over = jax.vmap(lambda g: tx.update(g, state)[0], axis_name="data")(x)
    np.testing.assert_allclose(unchecked, expected, atol=1e-6)
    np.testing.assert_allclose(over[0], expected, atol=1e-6)


def train(tx, steps, batches, params, replicas=REPLICAS):
    """Least squares, each replica with data of its own."""
    specs = ways.replica_specs(tx, params)

    def step(params, state, a, b):
        loss = lambda w: jnp.mean((a[0] @ w - b[0]) ** 2)
        return tx.step(jax.grad(loss)(ways.unreduced(params)), state, params)

    mapped = jax.shard_map(
        lambda params, state, a, b: jax.lax.scan(
            lambda carry, _: (step(*carry, a, b), None), (params, state), None, steps
        )[0],
        mesh=mesh_of(replicas),
        in_specs=(P(), specs, P("data"), P("data")),
        out_specs=(P(), specs),
    )
    return jax.jit(mapped)(params, states(tx, params, replicas), *batches)


def regression(replicas=REPLICAS):
    """Inputs of several sizes, of each replica others."""
    a, b = normal(replicas, 24, 16), normal(replicas, 24, seed=1)
    a = a * jnp.exp2(jnp.arange(16.0) / 4 - 2)[None, None]
    return a, b


@pytest.mark.parametrize(
    ("wire", "left"),
    [("int4", 1e-3), (ways.sign(), 0.01), (ways.top_k(one_in=8, block=None), 0.01)],
    ids=str,
)
def test_error_feedback_is_needed_and_enough(wire, left):
    found = {}
    for way, error_feedback in ((ways.mean(), None), (wire, None), (wire, 1.0)):
        exchange = ways.exchange(way, error_feedback=error_feedback)
        tx = gc.chain(exchange, gc.sgd(gc.cosine_decay_schedule(0.05, 800)))
        found[way, error_feedback], _ = train(tx, 800, regression(), jnp.zeros(16))
    exact, without, fed_back = found.values()
    off = lambda x: np.linalg.norm(x - exact) / np.linalg.norm(exact)
    assert off(fed_back) < left < 10 * left < off(without), (off(fed_back), off(without))


def test_a_mean_makes_the_steps_of_plain_data_parallelism():
    batches = regression()
    tx = gc.chain(ways.exchange(ways.mean()), gc.clip_by_global_norm(0.5), gc.adamw(0.01))
    params, state = train(tx, 5, batches, jnp.ones(16))
    a, b = batches[0].reshape(-1, 16), batches[1].ravel()
    plain = gc.chain(gc.clip_by_global_norm(0.5), gc.adamw(0.01))
    expected, plain_state = jnp.ones(16), plain.init(jnp.ones(16))
    for _ in range(5):
        grads = jax.grad(lambda w: jnp.mean((a @ w - b) ** 2))(expected)
        expected, plain_state = plain.step(grads, plain_state, expected)
    np.testing.assert_allclose(params, expected, atol=1e-5)
    assert state.keys() == plain_state.keys()


def test_only_what_differs_between_replicas_has_a_dimension_for_them():
    tx = gc.storage(gc.chain(gc.skip_nonfinite(INT8).named("guarded"), gc.adam(0.1)))
    params = {"w": jnp.ones((4, 2))}
    state = states(tx, params, 3)
    specs = ways.replica_specs(tx, params)
    split = {
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, spec in jax.tree_util.tree_leaves_with_path(specs)
        if spec == P("data")
    }
    grown = {
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, x in jax.tree_util.tree_leaves_with_path(state)
        if x.ndim and x.shape[0] == 3
    }
    assert len(split) == 1 and "residual" in next(iter(split)) and split == grown


def test_residuals_reach_the_parameters_with_fewer_and_more_replicas():
    params = jnp.zeros(16)
    exchange = ways.exchange(ways.top_k(one_in=4), error_feedback=1.0)
    x = normal(REPLICAS, 16)
    agreed, state = exchanged(exchange, params, REPLICAS)(x, states(exchange, params, 4), params)
    pending = x.mean(0) - agreed
    for replicas in (2, 1, 6):
        new = ways.set_replicas(exchange, state, replicas)
        assert new["exchange"]["residual"].shape == (replicas, 16)
        np.testing.assert_allclose(new["exchange"]["residual"].mean(0), pending, atol=1e-6)
    with pytest.raises(ValueError, match="replicas must be at least 1, not 0"):
        ways.set_replicas(exchange, state, 0)


def test_a_nan_does_not_come_again():
    tx = ways.exchange("int8", error_feedback=1.0)
    params = {"w": jnp.zeros(8), "empty": jnp.zeros(0)}
    update, state = exchanged(tx, params, 4), states(tx, params, 4)
    grads = {"w": normal(4, 8), "empty": jnp.zeros((4, 0))}
    bad = {**grads, "w": grads["w"].at[1, 2].set(jnp.nan)}
    made, state = update(bad, state, params)
    assert not np.all(np.isfinite(made["w"]))  # it is seen
    made, state = update(grads, state, params)
    assert np.all(np.isfinite(made["w"]))
    assert np.all(np.isfinite(state["exchange"]["residual"]["w"]))


def test_check_finds_nothing_in_local_training():
    tx = ways.diloco(gc.adam(0.1), gc.sgd(0.7), every=4)
    assert not [found for found in gc.check(tx) if found.name == "missing_arguments"]


@pytest.mark.parametrize("wire", [ways.vote(), "int8"], ids=["vote", "int8"])
def test_an_explicit_axis_may_split_the_gradients(wire):
    """That of replicas is ``shard_map``'s, the other remains the compiler's."""
    mesh = jax.make_mesh((2, 2), ("data", "model"), axis_types=(AxisType.Explicit,) * 2)
    tx, x = ways.exchange(wire), normal(2, 8, 8)
    over = {"mesh": mesh, "in_specs": P("data"), "out_specs": P(), "axis_names": {"data"}}
    run = jax.jit(jax.shard_map(lambda g: tx.update(g[0], {})[0], **over))
    found = run(jax.device_put(x, NamedSharding(mesh, P("data", None, "model"))))
    assert jax.typeof(found).sharding.spec == P(None, "model")
    np.testing.assert_array_equal(found, exchanged(tx, x[0], 2)(x, {}, x[0])[0])


def test_a_guard_behind_skips_on_all_replicas_what_one_spoilt():
    params = jnp.ones(8)
    exchange = ways.exchange("int8", error_feedback=1.0)
    tx = gc.chain(exchange, gc.skip_nonfinite(gc.sgd(0.1)))
    run, x = exchanged(tx, params, 2), normal(2, 8)
    updates, state = run(x.at[0, 3].set(jnp.nan), states(tx, params, 2), params)
    assert not updates.any() and state["skip_nonfinite"]["skipped"] == 1
    updates, state = run(x, state, params)
    np.testing.assert_allclose(updates, -0.1 * x.mean(0), atol=0.01)
