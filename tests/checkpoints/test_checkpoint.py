"""A state written to disk and read back without a template goes on bit for bit."""

import collections

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from flax import nnx
from flax.core import freeze

import gradchain as gc
from tests.support.checkpoints import through_msgpack, through_orbax

pytestmark = pytest.mark.rotated(3)  # they take long

Layer = collections.namedtuple("Layer", ["kernel", "bias"])
PARAMS = {
    "dense": {"kernel": jnp.linspace(-1.0, 1.0, 6).reshape(3, 2), "bias": jnp.full(2, 0.5)},
    "head": {"kernel": jnp.linspace(1.0, 2.0, 2).reshape(2, 1), "bias": None},
}
RATE = gc.warmup_cosine_decay_schedule(0.0, 0.1, warmup_steps=3, decay_steps=12)
IS_KERNEL = gc.path_matches("kernel$")
TRANSFORMATIONS = {
    "adamw": gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(0.1, where=gc.ndim_at_least(2))),
    "partition": gc.partition(
        {"kernels": gc.adamw(RATE), "rest": gc.sgd(0.1, momentum=0.9)},
        lambda path, x: "kernels" if path.endswith("kernel") else "rest",
    ),
    "masked": gc.chain(gc.masked(gc.scale_by_adam(), IS_KERNEL), gc.scale_by_learning_rate(0.1)),
    "sgd": gc.sgd(RATE, momentum=0.9, nesterov=True),
    "named": gc.chain(gc.add_momentum(0.5), gc.add_momentum(0.9), gc.adam(RATE).named("fine")),
    "scheduled b1": gc.adam(0.1, b1=gc.linear_schedule(0.5, 0.9, 6)),
    "groups": gc.groups(
        [("head/*", gc.freeze()), ("*bias", {"weight_decay": 0.0})], default=gc.adamw(RATE)
    ),
    "freeze": gc.chain(gc.clip_by_global_norm(1.0), gc.freeze("dense/bias"), gc.adamw(RATE)),
    "accumulate": gc.accumulate(
        gc.chain(gc.freeze("head/*"), gc.adamw(RATE)), every=3
    ),  # in the middle of a step
    "wrappers": gc.lookahead(gc.accumulate(gc.sgd(RATE, momentum=0.9), every=3), sync_period=2),
    "stateless": gc.chain(gc.clip(1.0), gc.scale(-0.1)),
}


SERIALIZERS = [through_orbax, through_msgpack]


@jax.jit
def train_step(tx, params, state):
    grads = jax.grad(
        lambda p: sum(jnp.sum(gc.numerics.abs2(jnp.sin(3.0 * x))) for x in jax.tree.leaves(p))
    )(params)
    updates, state = tx.update(grads, state, params)
    return gc.apply_updates(params, updates), state


def train(tx, params, state, steps):
    for _ in range(steps):
        params, state = train_step(tx, params, state)
    return params, state


def assert_goes_on(tx, params, serialize, folder):
    params, state = train(tx, params, tx.init(params), 4)
    restored = serialize(state, folder)
    assert_identical(train(tx, params, restored, 4), train(tx, params, state, 4))


def assert_identical(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def paths(state):
    return {
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, _ in jax.tree.leaves_with_path(state)
    }


@pytest.mark.rotated(2)
@pytest.mark.parametrize("serialize", SERIALIZERS)
@pytest.mark.parametrize("name", [name for name in TRANSFORMATIONS if name != "stateless"])
def test_a_restored_state_goes_on_bit_for_bit(name, serialize, tmp_path):
    assert_goes_on(TRANSFORMATIONS[name], PARAMS, serialize, tmp_path)


def test_a_state_without_arrays_goes_through_msgpack(tmp_path):  # orbax writes no empty trees
    assert_goes_on(TRANSFORMATIONS["stateless"], PARAMS, through_msgpack, tmp_path)


@pytest.mark.parametrize("serialize", SERIALIZERS)
@pytest.mark.parametrize(
    "dtype", [jnp.bfloat16, jnp.float16, jnp.complex64], ids=lambda x: x.__name__
)
def test_in_every_precision(dtype, serialize, tmp_path):
    params = jax.tree.map(lambda x: x.astype(dtype), PARAMS)
    assert_goes_on(gc.sgd(RATE, momentum=0.9), params, serialize, tmp_path)


A, B = PARAMS["dense"]["kernel"], PARAMS["dense"]["bias"]
CONTAINERS = {
    "list": [{"kernel": A}, {"kernel": A + 1, "bias": B}],
    "tuple": ((A, B), (A + 1, None)),
    "namedtuple": {"first": Layer(A, B), "second": Layer(A + 1, None)},
    "integer keys": {0: A, 1: B},
    "frozen": freeze({"dense": {"kernel": A, "bias": B}}),
    "one array": A,
    "eleven": [jnp.full(2, float(i)) for i in range(11)],  # whose names do not sort like numbers
}


@pytest.mark.parametrize("serialize", SERIALIZERS)
@pytest.mark.parametrize("name", CONTAINERS)
def test_containers_that_a_serializer_does_not_keep(name, serialize, tmp_path):
    """Tuples come back as lists or dicts, integer keys as strings: leaves are matched by path."""
    assert_goes_on(TRANSFORMATIONS["adamw"], CONTAINERS[name], serialize, tmp_path)


def test_a_restored_state_of_other_parameters_is_an_error():
    tx = gc.adam(0.1)
    state = tx.init((A, B, A))
    message = (
        "slot 'mu' in the state of 'scale_by_adam' has nothing for 'dense/bias'.*has '0', '1', "
        "'2' beside"
    )
    with pytest.raises(ValueError, match=message):
        tx.update(PARAMS, state, PARAMS)


def test_an_nnx_optimizer_goes_on_from_orbax(tmp_path):
    x = jnp.linspace(-1.0, 1.0, 12).reshape(4, 3)

    def new():
        model = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
        return model, nnx.Optimizer(
            model, gc.adamw(RATE, where=gc.ndim_at_least(2)), wrt=nnx.Param
        )

    @nnx.jit
    def step(model, optimizer):
        optimizer.update(model, nnx.grad(lambda model: jnp.sum(jnp.sin(model(x)) ** 2))(model))

    def pure(pair):
        return nnx.to_pure_dict(nnx.state(pair))

    pair = new()
    for _ in range(4):
        step(*pair)
    restored = new()
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(
            tmp_path / "state", {"model": pure(pair[0]), "optimizer": pure(pair[1])}
        )
        checkpointer.wait_until_finished()
        found = checkpointer.restore(tmp_path / "state")
    for node, name in zip(restored, ("model", "optimizer"), strict=True):
        state = nnx.state(node)
        nnx.replace_by_pure_dict(state, found[name])
        nnx.update(node, state)
    for _ in range(4):
        step(*pair)
        step(*restored)
    assert_identical(pure(restored), pure(pair))


ADAM_PATHS = {
    "scale_by_adam/count",
    "scale_by_learning_rate/count",
    *(
        f"scale_by_adam/{slot}/{path}"
        for slot in ("mu", "nu")
        for path in ("dense/bias", "dense/kernel", "head/kernel")
    ),
}


@pytest.mark.parametrize(
    "tx",
    [
        gc.adam(0.1),
        gc.adamw(0.1),
        gc.adamw(RATE),
        gc.adamw(RATE, b1=gc.linear_schedule(0.8, 0.9, 10)),
        gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(0.1)),
        gc.chain(gc.clip(1.0), gc.clip_by_global_norm(1.0), gc.chain(gc.chain(gc.adamw(0.1)))),
        gc.chain(
            gc.scale_by_adam(), gc.add_decayed_weights(0.1), gc.scale_by_learning_rate(RATE)
        ),
    ],
    ids=repr,
)
def test_no_path_moves(tx):
    """Nor with a clip in front, a schedule in the place of a number, nor with the way that the
    chain is written.
    """
    assert paths(tx.init(PARAMS)) == ADAM_PATHS


def test_a_run_goes_on_with_a_clip_and_a_schedule_that_it_did_not_begin_with(tmp_path):
    before = gc.adamw(0.1)
    params, state = train(before, PARAMS, before.init(PARAMS), 4)
    restored = through_orbax(state, tmp_path)
    # What changes nothing in the numbers: a norm that is not reached, a schedule that is constant.
    after = gc.chain(gc.clip_by_global_norm(1e6), gc.adamw(gc.constant_schedule(0.1)))
    (one, _), (other, new) = train(before, params, state, 3), train(after, params, restored, 3)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), one, other)
    assert new["scale_by_learning_rate"]["count"] == 7


@pytest.mark.rotated(2)
@pytest.mark.parametrize("serialize", SERIALIZERS)
@pytest.mark.parametrize("name", CONTAINERS)
def test_a_restored_state_goes_on_in_an_edited_chain(name, serialize, tmp_path):
    """As does the state that was never written, whatever the serializer made of its containers."""
    params, before = CONTAINERS[name], gc.adamw(0.1)
    after = gc.accumulate(gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(RATE)), every=2)
    params, state = train(before, params, before.init(params), 2)
    (one, report), (other, _) = (
        gc.adopt_state(after, x, params) for x in (serialize(state, tmp_path), state)
    )
    assert not report.dropped and not report.reshaped
    assert {path.split("/")[1] for path in report.kept} == {"inner"}
    assert_identical(train(after, params, one, 2), train(after, params, other, 2))


@pytest.mark.parametrize("serialize", SERIALIZERS)
def test_a_state_of_optax_that_a_serializer_made_plain(serialize, tmp_path):
    """Without its classes: its slots are those of just one member."""
    params = {"w": A, "b": B}
    state = optax.adamw(0.1).init(params)
    restored = serialize(flax.serialization.to_state_dict(state), tmp_path)
    _, report = gc.adopt_state(gc.adamw(0.1), restored, params)
    assert report.new == ["scale_by_learning_rate/count"] and not report.dropped


@pytest.mark.parametrize(
    "wrap",
    [
        gc.skip_nonfinite,
        gc.dynamic_loss_scale,
        lambda tx: gc.skip_nonfinite(gc.accumulate(tx, every=1)),
    ],
)
def test_parameters_in_a_list_go_on_from_messagepack_inside_a_condition(wrap):
    params = [jnp.full(2, float(i)) for i in range(12)]
    tx = wrap(gc.adam(0.1))
    _, state = tx.step(params, tx.init(params), params)
    restored = flax.serialization.msgpack_restore(flax.serialization.to_bytes(state))
    expected, _ = tx.step(params, state, params)
    found, _ = tx.step(params, restored, params)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    _, spoiled = tx.step([*params[:-1], jnp.full(2, jnp.nan)], restored, params)
    assert gc.bad_leaf(spoiled, params) == "11"


@pytest.mark.parametrize("wrap", [freeze, lambda state: jax.tree.map(nnx.Variable, state)])
def test_scale_and_bad_leaf_are_read_from_boxes(wrap):
    tx, params = gc.dynamic_loss_scale(gc.adam(0.1), initial_scale=8.0), {"w": jnp.ones(2)}
    _, state = tx.step({"w": jnp.full(2, jnp.nan)}, tx.init(params), params)
    assert gc.loss_scale(wrap(state)) == 4.0
    assert gc.bad_leaf(wrap(state), params) == "w"
