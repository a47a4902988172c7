"""Parameters of few bits follow those of float32, and what stands around them changes nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.training.train_state import TrainState

import gradchain as gc

pytestmark = pytest.mark.usefixtures("jax_as_users_have_it")
STEPS = 500
SHAPES = {"bias": (5,), "kernel": (4, 3)}
rng = np.random.default_rng(0)
START = {k: jnp.asarray(rng.standard_normal(s), jnp.bfloat16) for k, s in SHAPES.items()}
GRADS = {
    k: jnp.asarray(rng.standard_normal((STEPS, *s)), jnp.bfloat16) for k, s in SHAPES.items()
}

adamw = lambda: gc.adamw(1e-3, weight_decay=0.1)
wide = lambda tree: jax.tree.map(lambda x: x.astype(jnp.float32), tree)
to_even = lambda tree: jax.tree.map(lambda x: x.astype(jnp.bfloat16), tree)


@jax.jit
def away(tree):
    """To bfloat16, ties of exactly half away from zero."""

    def one(x):
        bits = jax.lax.bitcast_convert_type(x, jnp.uint32) + jnp.uint32(0x8000)
        bits = bits & jnp.uint32(0xFFFF0000)
        return jax.lax.bitcast_convert_type(bits, jnp.float32).astype(jnp.bfloat16)

    return jax.tree.map(one, tree)


def by_step(tx, p, state, g):
    return tx.step(g, state, p)


def by_update(tx, p, state, g):
    u, state = tx.update(g, state, p)
    return optax.apply_updates(p, u), state


def trajectory(tx, p, way=by_step, steps=STEPS):
    """The parameters and the states of all steps."""

    def one(carry, g):
        p, state = way(tx, *carry, g)
        return (p, state), (p, state)

    grads = jax.tree.map(lambda x: x[:steps], GRADS)
    return jax.jit(lambda p: jax.lax.scan(one, (p, tx.init(p)), grads)[1])(p)


def assert_same(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        assert np.array_equal(np.asarray(x, np.float32), np.asarray(y, np.float32))


def exact(p, low, bits=16):
    """The float32 parameters that ``split_weights`` keeps in two parts."""

    def one(p, low):
        high = np.asarray(p.astype(jnp.float32)).view(np.uint32) >> 16
        low = np.asarray(low, np.uint32)
        high = high - (low >= 1 << (bits - 1))
        return jnp.asarray(
            ((high << 16) | (low << (16 - bits))).astype(np.uint32).view(np.float32)
        )

    return jax.tree.map(one, p, low)


@pytest.fixture(scope="module")
def in_float32():
    """The parameters of float32 ones, of all steps."""
    return trajectory(adamw(), wide(START))[0]


@pytest.mark.parametrize("way", [by_step, by_update])
def test_parameters_with_a_master_are_the_rounded_ones_of_float32(in_float32, way):
    p, state = trajectory(gc.master_weights(adamw()), START, way)
    assert_same(state["master_weights"]["master"], in_float32)
    assert_same(p, to_even(in_float32))


@pytest.mark.parametrize("way", [by_step, by_update])
def test_both_parts_of_split_parameters_are_those_of_float32(in_float32, way):
    """Ties of exactly half are rounded away from zero, so that the lower part has 16 bits."""
    p, state = trajectory(gc.split_weights(adamw()), START, way)
    assert_same(exact(p, state["split_weights"]["low"]), in_float32)
    assert_same(p, away(in_float32))


def test_split_parameters_of_24_bits_are_close(in_float32):
    p, state = trajectory(gc.split_weights(adamw(), bits=8), START)
    found = exact(p, state["split_weights"]["low"], bits=8)
    for k, x in found.items():
        assert np.max(np.abs(x - in_float32[k])) < 1e-3


def test_others_come_nearer_than_plain_bfloat16(in_float32):
    error = lambda tx: max(
        float(np.sqrt(np.mean((np.asarray(x[-1], np.float32) - in_float32[k][-1]) ** 2)))
        for k, x in trajectory(tx, START)[0].items()
    )
    plain = error(adamw())
    assert error(gc.kahan(adamw())) < plain / 3
    assert error(gc.stochastic_rounding(adamw())) < plain


AROUND = {
    "groups": lambda tx: gc.groups([("*kernel", tx()), ("*bias", tx())]),
    "partition": lambda tx: gc.partition({"a": tx(), "b": tx()}, {"kernel": "a", "bias": "b"}),
    "apply_if_finite": lambda tx: gc.skip_nonfinite(tx()),
    "storage": lambda tx: gc.storage(tx(), "float32"),
    "average_weights": lambda tx: gc.average_weights(tx(), 0.9),
    "watch": lambda tx: gc.watch(tx()),
    "tunable": lambda tx: gc.tunable(tx()),
}


@pytest.mark.rotated(2)
@pytest.mark.parametrize("outer", AROUND)
@pytest.mark.parametrize("make", [gc.master_weights, gc.split_weights, gc.kahan])
def test_wrappers_around_it_leave_the_parameters_as_they_are(make, outer):
    inner = lambda: make(adamw())
    for way in (by_step, by_update):
        found = trajectory(AROUND[outer](inner), START, way, 40)[0]
        assert_same(found, trajectory(inner(), START, way, 40)[0])


@pytest.mark.parametrize("make", [gc.master_weights, gc.split_weights, gc.kahan])
@pytest.mark.parametrize("outer", ["groups", "partition", "apply_if_finite", "storage"])
def test_it_may_stand_around_wrappers(make, outer):
    found = trajectory(make(AROUND[outer](adamw)), START, steps=40)[0]
    assert_same(found, trajectory(make(adamw()), START, steps=40)[0])


def test_accumulation_moves_parameters_at_every_second_step():
    p, _ = trajectory(gc.accumulate(gc.master_weights(gc.sgd(1e-3)), every=2), START, steps=20)
    for x in p.values():
        assert np.array_equal(x[0::2][1:], x[1::2][:-1])
    last, _ = trajectory(gc.master_weights(gc.accumulate(gc.sgd(1e-3), every=2)), START, steps=20)
    assert_same(jax.tree.map(lambda x: x[-1], p), jax.tree.map(lambda x: x[-1], last))


def test_a_bad_gradient_changes_nothing():
    tx = gc.skip_nonfinite(gc.split_weights(adamw()))
    state = tx.init(START)
    bad = jax.tree.map(lambda x: x.at[0].set(jnp.nan), jax.tree.map(lambda g: g[0], GRADS))
    p, new = tx.step(bad, state, START)
    assert_same(p, START)
    assert_same(new["skip_nonfinite"]["inner"], state["skip_nonfinite"]["inner"])


def test_flax_needs_to_know_nothing_of_it():
    class Linear(nnx.Module):
        def __init__(self):
            self.w = nnx.Param(START["kernel"])

    model = Linear()
    tx = gc.master_weights(adamw())
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    train = TrainState.create(apply_fn=None, params={"w": START["kernel"]}, tx=tx)
    p, state = {"w": START["kernel"]}, tx.init({"w": START["kernel"]})
    for g in GRADS["kernel"][:20]:
        grads = nnx.State({"w": nnx.Param(g)})
        optimizer.update(model, grads)
        train = train.apply_gradients(grads={"w": g})
        p, state = tx.step({"w": g}, state, p)
    assert model.w[...].dtype == train.params["w"].dtype == jnp.bfloat16
    assert_same(model.w[...], p["w"])
    assert_same(train.params, p)


@pytest.mark.parametrize(
    "make", [gc.master_weights, gc.split_weights, gc.kahan, gc.stochastic_rounding]
)
def test_leaves_of_float32_are_untouched_and_have_no_slots(make):
    mixed = {"kernel": START["kernel"], "bias": START["bias"].astype(jnp.float32)}
    tx = make(adamw())
    p, state = trajectory(tx, mixed, steps=20)
    assert_same(p["bias"], trajectory(adamw(), mixed, steps=20)[0]["bias"])
    slots = {k: v for k, v in state[make.__name__].items() if k not in ("inner", "count")}
    for slot in slots.values():
        assert slot["bias"] is None
        assert slot["kernel"] is not None


def test_parameters_that_are_set_from_outside_count():
    tx = gc.master_weights(gc.sgd(0.125))
    state = tx.init(START)
    set_ = jax.tree.map(lambda x: x + jnp.bfloat16(1), START)
    zero = jax.tree.map(jnp.zeros_like, START)
    p, state = tx.step(zero, state, set_)
    assert_same(p, set_)
    assert_same(state["master_weights"]["master"], wide(set_))


@pytest.mark.parametrize("make", [gc.split_weights, gc.stochastic_rounding])
def test_parameters_of_float16_are_refused_with_a_way_out(make):
    p = jnp.ones(2, jnp.float16)
    tx = make(gc.sgd(0.1))
    with pytest.raises(ValueError, match=r"is float16, not bfloat16\. master_weights and kahan"):
        tx.update(p, tx.init(p), p)


@pytest.mark.parametrize("make", [gc.master_weights, gc.kahan])
def test_parameters_of_float16_lose_nothing(make):
    p = jnp.ones(2, jnp.float16)
    tx = make(gc.sgd(1e-5))
    state = tx.init(p)
    for _ in range(100):
        p, state = tx.step(jnp.ones_like(p), state, p)
    assert np.allclose(p, 0.999, atol=5e-4)


def test_other_numbers_of_low_bits_are_refused():
    with pytest.raises(ValueError, match="bits must be 8 or 16, not 4"):
        gc.split_weights(gc.sgd(0.1), bits=4).init(START)


def test_chance_is_the_same_again_and_differs_from_step_to_step():
    tx = gc.stochastic_rounding(gc.sgd(1e-3), seed=1)
    one, same = (trajectory(tx, START, steps=10)[0] for _ in range(2))
    assert_same(one, same)
    other = trajectory(gc.stochastic_rounding(gc.sgd(1e-3), seed=2), START, steps=10)[0]
    assert not np.array_equal(one["kernel"], other["kernel"])


def test_it_goes_on_where_a_serializer_stopped():
    tx = gc.split_weights(adamw())
    p, state = trajectory(tx, START, steps=3)
    p, state = (jax.tree.map(lambda x: np.asarray(x[-1]), tree) for tree in (p, state))
    g = jax.tree.map(lambda g: g[3], GRADS)
    assert_same(
        tx.step(g, state, p)[0], jax.tree.map(lambda x: x[3], trajectory(tx, START, steps=4)[0])
    )


def test_split_weights_that_come_to_zero_stay_numbers():
    tx = gc.split_weights(gc.sgd(1e-3))
    p = jnp.ones(4, jnp.bfloat16)
    _, state = tx.step(p, tx.init(p), p)
    assert np.all(np.isfinite(np.asarray(tx.step(p, state, p * 0)[0], np.float32)))


WRAPPERS = {w.__name__: w for w in (gc.master_weights, gc.split_weights, gc.kahan)}
WRAPPERS["stochastic_rounding"] = gc.stochastic_rounding
each_wrapper = pytest.mark.parametrize("wrapper", WRAPPERS)


@each_wrapper
def test_float64_beside_bfloat16(wrapper):
    with jax.enable_x64(True):
        p = {"narrow": jnp.ones((4, 4), jnp.bfloat16), "wide": jnp.ones(3, jnp.float64)}
        tx = WRAPPERS[wrapper](gc.sgd(0.25))
        state = tx.init(p)
        for _ in range(2):
            p, state = tx.step(jax.tree.map(jnp.ones_like, p), state, p)
        assert p["narrow"].dtype == jnp.bfloat16 and p["wide"].dtype == jnp.float64
        assert all(np.all(np.asarray(x, np.float64) == 0.5) for x in p.values())


@each_wrapper
def test_one_block_at_a_time(wrapper):
    p = {"stack": jnp.ones((4, 3), jnp.bfloat16)}
    tx = gc.block_training(WRAPPERS[wrapper](gc.sgd(0.25)), blocks=2, every=1)
    state, step = tx.init(p), jax.jit(tx.step)
    p, state = step(p, state, p)
    assert np.asarray(p["stack"], np.float32)[:, 0].tolist() == [0.75, 0.75, 1, 1]
    p, state = step(jax.tree.map(jnp.ones_like, p), state, p)
    assert np.asarray(p["stack"], np.float32)[:, 0].tolist() == [0.75] * 4


def test_low_bits_of_another_width_are_not_carried_over():
    sixteen, eight = (gc.split_weights(gc.sgd(1e-3), bits) for bits in (16, 8))
    p = jnp.ones(2, jnp.bfloat16)
    p, state = sixteen.step(p, sixteen.init(p), p)
    assert np.all(state["split_weights"]["low"] != 0)
    adopted, report = gc.adopt_state(eight, state, p)
    assert np.all(adopted["split_weights"]["low"] == 0)
    assert "low" in str(report)


def test_small_steps_of_float16_are_not_lost():
    p, tx = jnp.full(2, 1e-3, jnp.float16), gc.kahan(gc.sgd(1e-8))
    step = lambda carry, _: (tx.step(jnp.ones_like(p), carry[1], carry[0]), None)
    (p, _), _ = jax.lax.scan(step, (p, tx.init(p)), length=5000)
    np.testing.assert_allclose(np.asarray(p, np.float32), 0.00095, rtol=2e-3)


@pytest.mark.parametrize("value", [0.0, 1e-4], ids=["zero", "small"])
def test_a_residue_of_another_parameter_is_left(value):
    p, tx = jnp.ones(2, jnp.bfloat16), gc.kahan(gc.sgd(1e-3))
    _, state = tx.step(p, tx.init(p), p)
    set_ = jnp.full(2, value, jnp.bfloat16)
    assert_same(tx.step(jnp.zeros_like(p), state, set_)[0], set_)
