"""Local training: replicas that meet, bit for bit, and what they send."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec as P

import gradchain as gc
from tests.distributed.replicated import mesh_of, normal, ways

pytestmark = pytest.mark.rotated(1)  # they take long

REPLICAS = 4
OUTER = gc.sgd(0.7, 0.9, nesterov=True)


def start(tx, params, replicas=REPLICAS):
    """The compiled step, and parameters and state of all replicas."""
    step = jax.jit(ways.on_replicas(tx.step, mesh_of(replicas, "replica")))
    return step, *ways.stack_replicas((params, tx.init(params)), replicas)


def gradients(step, params):
    """Another for each replica, step and leaf."""
    keys = iter(jax.random.split(jax.random.key(step), 8))
    return jax.tree.map(lambda x: jax.random.normal(next(keys), x.shape).astype(x.dtype), params)


def trained(tx, params, steps, replicas=REPLICAS):
    step, params, state = start(tx, params, replicas)
    for i in range(steps):
        params, state = step(gradients(i, params), state, params)
    return params, state


def are_equal(params):
    return [bool((x == x[:1]).all()) for x in jax.tree.leaves(params)]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("wire", [None, "int8"])
def test_replicas_that_have_met_are_equal_bit_for_bit(wire, dtype):
    # As large steps as turn signs: of such parameters x + (y - x) is often not y.
    tx = ways.diloco(gc.adamw(1.0), OUTER, every=3, wire=wire)
    step, params, state = start(tx, {"w": normal(64, 8).astype(dtype), "b": jnp.zeros(8, dtype)})
    for i in range(7):
        params, state = step(gradients(i, params), state, params)
        assert are_equal(params) == [(i + 1) % 3 == 0] * 2
        if (i + 1) % 3 == 0:
            slow = gc.eval_params(state, params)
            assert jax.tree.all(jax.tree.map(lambda x, y: bool((x == y).all()), params, slow))


def test_with_one_replica_it_is_lookahead_and_needs_no_mesh():
    params = {"w": normal(8, 4)}
    tx = ways.diloco(gc.sgd(0.1, 0.9), gc.sgd(0.5), every=2)
    over_one, _ = trained(tx, params, 4, replicas=1)
    alone, other = params, params
    lookahead = gc.lookahead(gc.sgd(0.1, 0.9), 2, 0.5)
    state, other_state = tx.init(params), lookahead.init(params)
    for i in range(4):
        g = jax.tree.map(lambda x: x[0], gradients(i, jax.tree.map(lambda x: x[None], params)))
        alone, state = tx.step(g, state, alone)
        other, other_state = lookahead.step(g, other_state, other)
    np.testing.assert_allclose(over_one["w"][0], alone["w"], atol=1e-6)
    np.testing.assert_allclose(other["w"], alone["w"], atol=1e-6)


def test_local_sgd_is_the_mean_of_replicas_that_trained_apart():
    params = {"w": normal(6, 5)}
    found, _ = trained(ways.local_sgd(gc.adam(0.1), every=4), params, 4)
    alone, tx = [], gc.adam(0.1)
    for replica in range(REPLICAS):
        own, state = params, tx.init(params)
        for i in range(4):
            g = gradients(i, jax.tree.map(lambda x: jnp.stack([x] * REPLICAS), params))
            own, state = tx.step({"w": g["w"][replica]}, state, own)
        alone.append(own["w"])
    np.testing.assert_allclose(found["w"][0], sum(alone) / REPLICAS, atol=1e-6)


@pytest.mark.parametrize(
    "inner",
    [gc.lamb(0.1), gc.chain(gc.clip_by_global_norm(0.1), gc.sgd(1.0)), gc.muon(0.1, 0.1)],
    ids=["lamb", "clip", "muon"],
)
def test_norms_inside_are_those_of_each_replica(inner):
    """MuLoCo, with ``muon``: types say that all differs between replicas, and nothing is summed."""
    params = {"w": normal(8, 6), "b": normal(6)}
    found, _ = trained(ways.diloco(inner, gc.sgd(1.0), every=5), params, 1)
    g = gradients(0, jax.tree.map(lambda x: jnp.stack([x] * REPLICAS), params))
    for replica in range(REPLICAS):
        own, _ = inner.step({k: x[replica] for k, x in g.items()}, inner.init(params), params)
        np.testing.assert_allclose(found["w"][replica], own["w"], atol=1e-5)


@pytest.mark.parametrize("server", [gc.sgd(1.0, 0.9), gc.adam(0.01)], ids=["FedAvgM", "FedAdam"])
def test_the_outer_optimizer_is_a_server_of_clients(server):
    """Reddi et al., Algorithm 2: the mean of the clients' ways is the server's gradient."""
    params, rate = jnp.ones(5), 0.1
    tx = ways.diloco(gc.sgd(rate), server, every=2)
    found, _ = trained(tx, params, 4)
    stacked = jnp.stack([params] * REPLICAS)
    expected, state = params, server.init(params)
    for round_ in range(2):
        way = sum(rate * gradients(2 * round_ + i, stacked).mean(0) for i in range(2))
        expected, state = server.step(way, state, expected)
    np.testing.assert_allclose(found[0], expected, atol=1e-5)


def exchanged_in(tx, shape):
    """The collectives of a compiled step, nothing of it allocated."""
    params = jax.ShapeDtypeStruct(shape, jnp.float32)
    over = NamedSharding(mesh_of(2, "replica"), P("replica"))
    given = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((2, *x.shape), x.dtype, sharding=over),
        (params, tx.init(params), params),
    )
    step = jax.jit(ways.on_replicas(tx.step, mesh_of(2, "replica")))
    return ways.collectives(step.lower(*given).compile())


@pytest.mark.parametrize(("wire", "ratio"), [(None, 1), ("int8", 3.9), (ways.top_k(100), 90)])
def test_everything_is_sent_at_meetings_alone(wire, ratio):
    """So that of the bytes of each step 1/every are left."""
    shape = (256, 256)
    found = exchanged_in(ways.diloco(gc.adam(0.1), OUTER, every=100, wire=wire), shape)
    assert found and {one.when for one in found} == {"in a branch"}
    assert 2 * 4 * 256 * 256 // 2 / ways.wire_bytes(found) >= ratio


def test_fragments_meet_at_different_steps_and_each_as_often():
    params = {name: normal(4, seed=i) for i, name in enumerate("abc")}
    tx = ways.diloco(gc.sgd(0.1), OUTER, every=6, fragments=3)
    step, params, state = start(tx, params)
    met = {name: [] for name in params}
    for i in range(1, 13):
        params, state = step(gradients(i, params), state, params)
        for name, equal in zip(params, are_equal(params), strict=True):
            met[name] += [i] * equal
    assert met == {"a": [6, 12], "b": [4, 10], "c": [2, 8]}


def test_error_feedback_makes_sparse_meetings_meet():
    """Of a mean of 1 all is sent in time; without feedback three quarters never are."""
    left = {}
    for error_feedback in (None, 1.0):
        wire = ways.top_k(one_in=4, block=None)
        tx = ways.local_sgd(gc.sgd(0.1), 2, wire=wire, error_feedback=error_feedback)
        step, params, state = start(tx, jnp.ones(32) * jnp.arange(1.0, 33.0))
        for _ in range(120):
            params, state = step(params, state, params)  # the gradient of half the squares
        left[error_feedback] = float(jnp.abs(params).max())
    assert left[1.0] < 0.01 < left[None]


def test_error_feedback_is_refused_where_the_result_is_no_mean():
    tx = ways.diloco(gc.sgd(0.1), OUTER, 2, wire=ways.vote(), error_feedback=1.0)
    with pytest.raises(ValueError, match=r"diloco: error_feedback=1.0 .* vote\(\) is none"):
        tx.init(jnp.ones(2))


@pytest.mark.parametrize("replicas", [2, 6])
def test_replicas_may_leave_and_join(replicas):
    wire = ways.top_k(one_in=4)
    tx = ways.diloco(gc.adam(0.1), OUTER, every=2, wire=wire, error_feedback=1.0)
    params, state = trained(tx, jnp.ones(16), 3)
    new, new_state = ways.restart_replicas(tx, params, state, replicas)
    slow = state["diloco"]["slow_params"]
    np.testing.assert_array_equal(new, jnp.stack([slow[0]] * replicas))
    pending = state["diloco"]["residual"].mean(0)
    np.testing.assert_allclose(new_state["diloco"]["residual"].mean(0), pending, atol=1e-6)
    mu = lambda state: state["diloco"]["inner"]["scale_by_adam"]["mu"]
    for replica in range(replicas):
        np.testing.assert_array_equal(mu(new_state)[replica], mu(state)[replica % REPLICAS])
    mesh = mesh_of(replicas, "replica")
    new, new_state = jax.device_put((new, new_state), NamedSharding(mesh, P("replica")))
    step = jax.jit(ways.on_replicas(tx.step, mesh))
    assert are_equal(step(gradients(3, new), new_state, new)[0]) == [True]


def test_what_has_no_meetings_cannot_be_restarted():
    tx = gc.sgd(0.1)
    with pytest.raises(ValueError, match="no diloco or local_sgd is in tx"):
        ways.restart_replicas(tx, jnp.ones((2, 3)), {}, 3)


def test_calls_that_would_change_nothing_are_refused():
    tx, params = ways.diloco(gc.adam(0.1), OUTER, every=2), jnp.ones(3)
    with pytest.raises(ValueError, match=r"stack_replicas.*restart_replicas"):
        ways.set_replicas(tx, tx.init(params), 4)
    with pytest.raises(ValueError, match=r"of one replica.* stack_replicas\(.*, 4\)"):
        ways.restart_replicas(tx, params, tx.init(params), 4)
    with pytest.raises(TypeError, match=r"on_replicas: mesh must be a jax\.sharding\.Mesh"):
        ways.on_replicas(tx.step, None)


def test_the_axis_has_to_be_in_the_mesh():
    with pytest.raises(ValueError, match=r"on_replicas: axis='data' is no axis .* 'replica'"):
        ways.on_replicas(OUTER.step, mesh_of(2, "replica"), "data")
    tx = ways.diloco(gc.sgd(0.1), OUTER, 2, axis="workers")
    with pytest.raises(ValueError, match=r"diloco: axis='workers' is no axis .* 'replica'"):
        trained(tx, jnp.ones(3), 1)
