"""Wires: bytes, agreement, and what each loses."""

import json
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from tests.distributed.replicated import exchanged, normal, states, ways
from tests.distributed.wires import CODED, WIRES

pytestmark = pytest.mark.rotated(1)  # they take long

ALL = [*WIRES, *CODED]
each_wire = pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ALL])
REPLICAS = 4


def one_step(wire, x, feeds_back=True):
    """What all agree on, and what each is taken to have said."""
    params = jnp.zeros(x.shape[1:])
    tx = ways.exchange(wire, error_feedback=1.0 if feeds_back else None)
    update = exchanged(tx, params, len(x))
    agreed, state = update(x, states(tx, params, len(x)), params)
    return agreed, x - state["exchange"]["residual"] if feeds_back else x


@each_wire
def test_the_result_is_the_mean_of_what_each_has_said(row):
    if row.name == "vote":
        pytest.skip("a majority is no mean")
    x = normal(REPLICAS, 48, 37)
    agreed, said = one_step(row.make(), x)
    np.testing.assert_allclose(agreed, said.mean(0), atol=2e-6)
    if row.is_exact:
        np.testing.assert_allclose(agreed, x.mean(0), atol=1e-6)


def sent_bytes(tx, shapes, replicas):
    """What a device sends in a compiled update, nothing of it allocated."""
    given = lambda x: jax.ShapeDtypeStruct((replicas, *x.shape), x.dtype)
    state = jax.eval_shape(lambda: states(tx, shapes, replicas)) if tx.facts.keeps_state else {}
    update = exchanged(tx, shapes, replicas)
    program = update.lower(jax.tree.map(given, shapes), state, shapes).compile()
    return ways.wire_bytes(ways.collectives(program))


@each_wire
@pytest.mark.parametrize("replicas", [2, 8])
def test_the_bytes_on_the_wire(row, replicas):
    shapes = jax.ShapeDtypeStruct((1024, 512), jnp.float32)
    plain = sent_bytes(ways.exchange(ways.mean()), shapes, replicas)
    assert plain == 2 * 4 * 1024 * 512 * (replicas - 1) // replicas
    assert plain / sent_bytes(ways.exchange(row.make()), shapes, replicas) >= row.ratio


@pytest.mark.parametrize("name", ["int8", "int4", "fp8", "bfloat16"])
def test_what_is_coded_travels_in_few_bits_and_is_never_added_up(name):
    shape = jax.ShapeDtypeStruct((64, 64), jnp.float32)
    update = exchanged(ways.exchange(name), shape, 2)
    given = jax.ShapeDtypeStruct((2, 64, 64), jnp.float32)
    found = ways.collectives(update.lower(given, {}, shape).compile())
    assert {one.kind for one in found} == {"all-to-all", "all-gather"}
    largest = [one for one in found if one.bytes >= 64 * 64 // 4]
    assert {one.dtype for one in largest} <= {"s8", "u8", "s16"}


@each_wire
def test_a_wire_is_a_value(row):
    tx = ways.exchange(row.make())
    assert tx == ways.exchange(row.make()) and hash(tx) == hash(ways.exchange(row.make()))
    assert gc.from_config(json.loads(json.dumps(gc.to_config(tx)))) == tx
    assert pickle.loads(pickle.dumps(tx)) == tx


def test_an_unknown_wire_names_the_codecs():
    with pytest.raises(ValueError, match="int8"):
        ways.exchange("int7").init(jnp.ones(2))


def test_a_wire_of_ones_own_has_to_be_a_way():
    @ways.wire
    def no_way() -> Any:
        return 1

    with pytest.raises(TypeError, match="no_way: a wire is a Way, not 1"):
        no_way().way()


def test_the_majority_wins_and_ties_are_cast():
    x = jnp.array([[1.0, -2.0, 0.0, 1.0], [3.0, -0.1, 5.0, -1.0], [-9.0, 9.0, 1.0, -1.0]])
    agreed, _ = one_step(ways.vote(), x, feeds_back=False)
    np.testing.assert_array_equal(agreed, [1, -1, 1, -1])
    tied = jnp.array([[1.0, -1.0], [-1.0, 1.0]])  # the first counts the first, and so on
    np.testing.assert_array_equal(one_step(ways.vote(), tied, feeds_back=False)[0], [1, 1])


def test_top_k_takes_the_largest_of_each_block():
    x = jnp.array([[5.0, 1.0, -6.0, 2.0, 0.5, 0.25, 0.0, -1.0]])
    agreed, said = one_step(ways.top_k(one_in=2, block=4), x)
    np.testing.assert_array_equal(agreed, [5, 0, -6, 0, 0.5, 0, 0, -1])
    np.testing.assert_array_equal(said[0], agreed)


def test_cosines_are_orthonormal_and_gather_what_neighbours_share():
    from gradchain.distributed.sparse import cosines

    np.testing.assert_allclose(cosines(8) @ cosines(8).T, np.eye(8), atol=1e-12)
    smooth = jnp.linspace(1.0, 2.0, 64)[None]
    share = lambda wire: jnp.linalg.norm(one_step(wire, smooth)[0]) / jnp.linalg.norm(smooth)
    assert share(ways.dct(one_in=16)) > 0.999 > 0.4 > share(ways.top_k(one_in=16))


def test_power_sgd_is_a_power_iteration():
    """Vogels et al., Algorithm 1, in NumPy, with error feedback, for two steps."""
    x, replicas, rank = normal(2, 2, 12, 10), 2, 2
    params = jnp.zeros((12, 10))
    tx = ways.exchange(ways.power_sgd(rank), error_feedback=1.0)
    state = states(tx, params, replicas)
    update = exchanged(tx, params, replicas)
    q = np.asarray(state["exchange"]["basis"], np.float64)
    error = np.zeros((replicas, 12, 10))
    for step in range(2):
        agreed, state = update(x[step], state, params)
        m = np.asarray(x[step], np.float64) + error
        p, _ = np.linalg.qr((m @ q).mean(0))
        q = (m.transpose(0, 2, 1) @ p).mean(0)
        error = m - p @ q.T
        np.testing.assert_allclose(agreed, p @ q.T, atol=1e-5)
        np.testing.assert_allclose(state["exchange"]["residual"], error, atol=1e-5)


def test_power_sgd_leaves_alone_what_it_would_not_make_smaller():
    params = {"bias": jnp.ones(8), "tiny": jnp.ones((2, 2)), "kernel": jnp.ones((3, 3, 4, 8))}
    state = ways.exchange(ways.power_sgd(2)).init(params)["exchange"]["basis"]
    assert jax.tree.map(jnp.shape, state) == {"bias": None, "tiny": None, "kernel": (8, 2)}


RESNET18 = [
    (3, 3, 3, 64),
    *[(3, 3, 64, 64)] * 4,
    *((3, 3, 64, 128), (1, 1, 64, 128), *[(3, 3, 128, 128)] * 3),
    *((3, 3, 128, 256), (1, 1, 128, 256), *[(3, 3, 256, 256)] * 3),
    *((3, 3, 256, 512), (1, 1, 256, 512), *[(3, 3, 512, 512)] * 3),
    (512, 10),
]


@pytest.mark.slow
@pytest.mark.parametrize(("rank", "ratio"), [(1, 243), (2, 136), (4, 72)])
def test_power_sgd_on_resnet18_has_the_ratios_of_its_paper(rank, ratio):
    shapes = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in RESNET18]
    plain = sent_bytes(ways.exchange(ways.mean()), shapes, 2)
    assert plain == 4 * sum(np.prod(shape) for shape in RESNET18)
    found = plain / sent_bytes(ways.exchange(ways.power_sgd(rank)), shapes, 2)
    assert found >= ratio


@each_wire
def test_what_is_not_finite_comes_out_so_once_and_is_not_kept(row):
    """A guard behind sees it; the next step is as if it had not been."""
    error_feedback = None if row.name == "vote" else 1.0
    tx, params = ways.exchange(row.make(), error_feedback=error_feedback), jnp.zeros((8, 8))
    run, x = exchanged(tx, params, 2), normal(2, 8, 8)
    out, state = run(x.at[1, 2, 5].set(jnp.nan), states(tx, params, 2), params)
    assert not jnp.isfinite(out[2, 5])
    out, state = run(x, state, params)
    assert jax.tree.all(jax.tree.map(lambda x: bool(jnp.isfinite(x).all()), (out, state)))


def test_what_was_left_over_outlives_a_step_that_is_not_finite():
    tx, params = ways.exchange(ways.top_k(4), error_feedback=1.0), jnp.zeros(8)
    run, x = exchanged(tx, params, 2), normal(2, 8)
    _, state = run(x, states(tx, params, 2), params)
    _, after = run(jnp.full_like(x, jnp.nan), state, params)
    np.testing.assert_array_equal(after["exchange"]["residual"], state["exchange"]["residual"])


def test_who_is_not_finite_has_no_vote():
    run = exchanged(ways.exchange(ways.vote()), jnp.zeros(3), 3)
    x = jnp.array([[1.0, -1.0, 1.0], [jnp.nan] * 3, [1.0, -1.0, 1.0]])
    np.testing.assert_array_equal(run(x, {}, None)[0], [1.0, -1.0, 1.0])
    alone = x.at[2].set(jnp.inf)  # one of three is no majority
    assert jnp.isnan(run(alone, {}, None)[0]).all()
