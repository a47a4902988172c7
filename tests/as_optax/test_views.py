"""The dialect of optax: states have its classes, key paths, dtypes and numbers."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from flax import serialization

import gradchain as gc
import gradchain.as_optax as spoken

pytestmark = pytest.mark.usefixtures("jax_as_users_have_it")

#: Calls of transformations. ``optax`` is the one or the other.
CALLS = [
    "optax.adabelief(1e-2)",
    "optax.adadelta(1e-2)",
    "optax.adafactor(1e-2, min_dim_size_to_factor=2)",
    "optax.adagrad(1e-2)",
    "optax.adam(1e-2)",
    "optax.adam(optax.cosine_decay_schedule(1e-2, 100))",
    "optax.adamax(1e-2)",
    "optax.adamaxw(1e-2)",
    "optax.adamw(1e-2, mask=MASK)",
    "optax.amsgrad(1e-2)",
    "optax.fromage(1e-2)",
    "optax.lamb(1e-2)",
    "optax.lars(1e-2, weight_decay=1e-2)",
    "optax.lbfgs(1e-2, linesearch=None)",
    "optax.lion(1e-2)",
    "optax.nadamw(1e-2)",
    "optax.noisy_sgd(1e-2, key=3)",
    "optax.novograd(1e-2)",
    "optax.optimistic_adam_v2(1e-2)",
    "optax.optimistic_gradient_descent(1e-2)",
    "optax.radam(1e-2)",
    "optax.rmsprop(1e-2, momentum=0.9)",
    "optax.rmsprop(1e-2, centered=True)",
    "optax.sgd(1e-2, momentum=0.9, nesterov=True)",
    "optax.sign_sgd(1e-2)",
    "optax.signum(1e-2)",
    "optax.sm3(1e-2)",
    "optax.yogi(1e-2)",
    "optax.contrib.acprop(1e-2, b1=0.8, b2=0.95, weight_decay=0.1)",
    "optax.contrib.ademamix(1e-2)",
    "optax.contrib.adopt(1e-2)",
    "optax.contrib.cocob()",
    "optax.contrib.dadapt_adamw(1e-1, betas=(0.8, 0.9), estim_lr0=1e-2)",
    "optax.contrib.galore(1e-2, rank=2, update_proj_gap=20)",
    "optax.contrib.mechanize(optax.sgd(1e-2))",
    "optax.contrib.muon(1e-2, weight_decay=1e-2)",
    "optax.contrib.prodigy()",
    "optax.contrib.sam(optax.sgd(1e-2), optax.chain(optax.contrib.normalize(), optax.sgd(0.1)), 3)",
    "optax.contrib.schedule_free_adamw(1e-2)",
    "optax.contrib.schedule_free_adamw(1e-2, warmup_steps=7, weight_decay=0.1)",
    "optax.contrib.schedule_free_sgd(1e-2)",
    "optax.contrib.schedule_free_sgd(1e-2, warmup_steps=7, weight_decay=0.1)",
    "optax.contrib.simplified_ademamix(1e-2)",
    "optax.add_decayed_weights(optax.linear_schedule(1e-2, 0.0, 30))",
    "optax.add_noise(1e-2, 0.5, 0)",
    "optax.apply_every(3)",
    "optax.apply_if_finite(optax.adam(1e-2), 3)",
    "optax.chain(optax.apply_if_finite(optax.adam(1e-2), 3), optax.scale(0.5))",
    "optax.chain(optax.clip_by_global_norm(1.0), optax.chain(optax.trace(0.9), optax.scale(-1)))",
    "optax.chain(optax.scale_by_adam(), optax.ema(0.9))",
    "optax.conditionally_mask(optax.adam(1e-2), lambda step: step % 2 == 0)",
    "optax.conditionally_transform(optax.adam(1e-2), lambda step: step % 2 == 0)",
    "optax.flatten(optax.adam(1e-2))",
    "optax.freeze(MASK)",
    "optax.inject_hyperparams(optax.adam)(optax.linear_schedule(1e-2, 0.0, 30))",
    "optax.inject_hyperparams(optax.sgd)(1e-2, momentum=0.9)",
    "optax.masked(optax.adam(1e-2), MASK)",
    "optax.MultiSteps(optax.adam(1e-2), 2, accumulator_dtype=jnp.float64)",
    "optax.named_chain(('a', optax.clip(1.0)), ('b', optax.adam(1e-2)))",
    "optax.partition({1: optax.adam(1e-2), 2: optax.sgd(1e-2, 0.9)}, {'dense': 1, 'bias': 2})",
    "optax.scale_by_stddev()",
    "optax.selective_transform(optax.adam(1e-2), freeze_mask=MASK)",
    "optax.zero_nans()",
]
#: Slots in dtypes of their own; only the form is compared.
IN_DTYPES = [
    "optax.adam(1e-2, mu_dtype=jnp.bfloat16)",
    "optax.contrib.muon(1e-2, mu_dtype=jnp.bfloat16)",
    "optax.contrib.schedule_free(optax.sgd(1e-2), 1e-2, state_dtype=jnp.bfloat16)",
    "optax.contrib.schedule_free_adamw(1e-2, state_dtype=jnp.bfloat16)",
    "optax.contrib.schedule_free_sgd(1e-2, state_dtype=jnp.bfloat16)",
    "optax.contrib.schedule_free_sgd(1e-2, weight_decay=0.1, state_dtype=jnp.bfloat16)",
]
MASK = {"dense": True, "bias": False}
#: Where optax is less exact: powers in Adafactor, bases in GaLore and schedules in float32.
TOLERANCE = {
    "adafactor": 1e-6,
    "linear_schedule": 1e-6,
    "muon": 1e-11,
    "prodigy": 1e-11,
    "warmup_steps": 1e-6,
}
#: Pairs that go uphill are left out here, and there are some in gradients of no function.
#: GaLore has no basis of its own in gradients of equal rows.
OTHERWISE = {
    "optax.contrib.galore(1e-2, rank=2, update_proj_gap=20)",
    "optax.lbfgs(1e-2, linesearch=None)",
}


def params_of(dtype):
    numbers = np.random.default_rng(0)
    shapes = {"dense": (4, 3), "bias": (3,)}
    return {name: jnp.asarray(numbers.normal(size=s), dtype) for name, s in shapes.items()}


def read(call, module):
    return eval(call, {"optax": module, "jnp": jnp, "MASK": MASK})


def by_names(node):
    """A state in which classes stand by their names."""
    if hasattr(node, "_fields"):
        return (type(node).__name__, *map(by_names, node))
    if isinstance(node, dict):
        return {key: by_names(x) for key, x in node.items()}
    return type(node)(map(by_names, node)) if isinstance(node, tuple | list) else None


def paths(state):
    return [jax.tree_util.keystr(keys) for keys, _ in jax.tree_util.tree_leaves_with_path(state)]


def dtypes(state):
    return [(x.shape, str(x.dtype)) for x in jax.tree.leaves(state)]


@pytest.mark.parametrize("call", [*CALLS, *IN_DTYPES])
def test_a_state_has_the_form_of_optax(call):
    made, due = (read(call, module).init(params_of("float32")) for module in (spoken, optax))
    assert by_names(made) == by_names(due)
    assert paths(made) == paths(due)
    assert dtypes(made) == dtypes(due)


def run(tx, dtype, steps=50):
    """The updates of some steps, and the last state."""
    fresh = params_of(dtype)
    slopes = jax.tree.map(lambda x: jnp.cos(jnp.arange(steps, dtype=dtype) * x[..., None]), fresh)
    takes_value = "value" in str(tx)
    extra = {"value": jnp.asarray(1.0, dtype)} if takes_value else {}

    def step(carry, grads):
        state, params = carry
        updates, state = tx.update(grads, state, params, **extra)
        return (state, optax.apply_updates(params, updates)), updates

    grads = jax.tree.map(lambda x: jnp.moveaxis(x, -1, 0), slopes)
    (state, _), made = jax.jit(lambda s: jax.lax.scan(step, (s, fresh), grads))(tx.init(fresh))
    return made, state


def numbers_of(tree):
    as_number = lambda x: (
        jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x
    )
    return [np.asarray(as_number(x)) for x in jax.tree.leaves(tree)]


@pytest.mark.rotated(1)
@pytest.mark.parametrize("call", [call for call in CALLS if call not in OTHERWISE])
def test_updates_and_states_are_those_of_optax(call):
    tolerance = next((x for name, x in TOLERANCE.items() if name in call), 1e-12)
    with jax.enable_x64(True):
        made, due = (run(read(call, module), "float64") for module in (spoken, optax))
        assert by_names(made[1]) == by_names(due[1])
        for x, y in zip(numbers_of(made), numbers_of(due), strict=True):
            assert x.shape == y.shape
            assert x.dtype == y.dtype or y.dtype == "float32"  # numbers of schedules
            np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


#: States that hold states, as checkpoints do.
NESTED = (
    "optax.chain(optax.clip(1.0), optax.masked(optax.adamw(1e-2), MASK), optax.MultiSteps("
    "optax.inject_hyperparams(optax.sgd)(0.5, momentum=0.9), 2).gradient_transformation())"
)
BOTH_WAYS = pytest.mark.parametrize(
    ("writer", "reader"), [(optax, spoken), (spoken, optax)], ids=["theirs", "ours"]
)


def goes_on(tx, state, params):
    """The parameters after three more steps."""
    for step in range(3):
        grads = jax.tree.map(lambda p, step=step: jnp.cos(p + step), params)
        updates, state = jax.jit(tx.update)(grads, state, params)
        params = optax.apply_updates(params, updates)
    return params


def written_and_read(writer, reader, carry):
    """Both transformations go on from one state, which went through a file."""
    params = params_of("float32")
    theirs, own = read(NESTED, writer), read(NESTED, reader)
    state = theirs.init(params)
    for _ in range(3):
        _, state = theirs.update(jax.tree.map(jnp.sin, params), state, params)
    restored = carry(state, own.init(params))
    assert by_names(restored) == by_names(state)
    made, due = goes_on(own, restored, params), goes_on(theirs, state, params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), made, due)


@BOTH_WAYS
def test_a_checkpoint_of_bytes_goes_both_ways(writer, reader):
    def carry(state, like):
        return serialization.from_bytes(like, serialization.to_bytes(state))

    written_and_read(writer, reader, carry)


@BOTH_WAYS
def test_a_checkpoint_of_orbax_goes_both_ways(writer, reader, tmp_path):
    def carry(state, like):
        with ocp.StandardCheckpointer() as files:
            files.save(tmp_path / "state", state)
            files.wait_until_finished()
            return files.restore(tmp_path / "state", like)

    written_and_read(writer, reader, carry)


def test_a_state_of_optax_is_taken_from_memory():
    """Its classes have the same names."""
    params = params_of("float32")
    states = [read("optax.adamw(1e-2, mask=MASK)", m).init(params) for m in (optax, spoken)]
    tx = spoken.adamw(1e-2, mask=MASK)
    made, due = (goes_on(tx, state, params) for state in states)
    jax.tree.map(np.testing.assert_array_equal, made, due)


def test_a_state_goes_to_a_chain_of_this_library_and_back():
    params = params_of("float32")
    tx, native = spoken.chain(spoken.clip(1.0), spoken.adamw(1e-2)), gc.adamw(1e-2)
    _, state = tx.update(jax.tree.map(jnp.sin, params), tx.init(params), params)
    moved, report = gc.adopt_state(native, state, params)
    assert not report.dropped and jnp.array_equal(
        moved["scale_by_adam"]["mu"]["bias"], state[1][0].mu["bias"]
    )
    back, report = gc.adopt_state(tx, moved, params)
    assert jax.tree.structure(back) == jax.tree.structure(state)
    assert all(jax.tree.leaves(jax.tree.map(jnp.array_equal, back, state)))


def test_states_are_searched_set_and_mapped():
    params = params_of("float32")
    for module in (spoken, optax):
        tx = module.inject_hyperparams(module.adam)(1e-2)
        state = tx.init(params)
        found = optax.tree_utils.tree_get(state, "mu")
        assert jax.tree.structure(found) == jax.tree.structure(params)
        changed = optax.tree_utils.tree_set(state, learning_rate=jnp.asarray(0.5))
        assert changed.hyperparams["learning_rate"] == 0.5
        assert optax.tree_utils.tree_get(changed, "ScaleByAdamState").count == 0
        mapped = module.tree_utils.tree_map_params(tx, lambda x: x + 1, state)
        assert mapped.inner_state[0].mu["bias"][0] == 1 and mapped.inner_state[0].count == 0


@pytest.mark.parametrize(
    "call", ["optax.adam(1e-2)", "optax.chain(optax.clip(1.0), optax.trace(0.9))"]
)
def test_a_transformation_is_a_pair(call):
    tx = read(call, spoken)
    assert isinstance(tx, spoken.GradientTransformation)
    assert isinstance(tx, spoken.GradientTransformationExtraArgs)
    init, update = tx
    assert tx._fields == ("init", "update") and len(tx) == 2
    state = init(params_of("float32"))
    other = tx._replace(init=lambda params: state)
    assert other.init(None) is state and other.update == update
    assert pickle.loads(pickle.dumps(tx)) == tx
    assert isinstance(gc.adam(1e-2), spoken.GradientTransformationExtraArgs)


def test_a_pair_of_ones_own_is_called_as_it_is():
    given = []

    def update(updates, state, params=None):
        given.append(state)
        return updates, state + 1

    own = spoken.GradientTransformation(lambda params: jnp.zeros(()), update)
    assert isinstance(own, spoken.GradientTransformation)
    assert not isinstance(own, spoken.GradientTransformationExtraArgs)
    params = params_of("float32")
    assert own.update is update
    assert own.init(params) == 0 and own.update(params, 5.0)[1] == 6.0
    tx = spoken.chain(own, spoken.with_extra_args_support(own), spoken.scale(2.0))
    state = tx.init(params)
    assert [x.shape for x in state[:2]] == [(), ()] and state[2] == ()
    _, state = tx.update(params, state, params, value=1.0)
    assert state[0] == state[1] == 1


def test_a_state_of_another_shape_is_refused_by_its_place():
    params = params_of("float32")
    tx = spoken.chain(spoken.clip(1.0), spoken.masked(spoken.adam(1e-2), MASK))
    state = tx.init(params)
    with pytest.raises(ValueError, match=r"state is of type dict, where a tuple of 2 is due"):
        tx.update(params, {}, params)
    with pytest.raises(ValueError, match=r"state\[1\] is of type tuple, where MaskedState"):
        tx.update(params, (state[0], ()), params)
    wrong = spoken.MaskedState((spoken.EmptyState(), spoken.EmptyState()))
    with pytest.raises(ValueError, match=r"state\[1\].inner_state\[0\] is of type EmptyState"):
        tx.update(params, (state[0], wrong), params)


def test_the_border_adds_nothing_to_the_program():
    params = params_of("float32")

    def program(tx):
        state = tx.init(params)
        text = jax.jit(tx.update).lower(params, state, params).compile().as_text()
        return sum(" fusion(" in line for line in text.splitlines()), text.count("\n")

    tx = spoken.adamw(1e-2)
    assert program(tx) <= program(tx.native)
