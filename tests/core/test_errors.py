"""A wrong call says what is wrong: the path, the shapes, the cause and the way out."""

import jax
import jax.numpy as jnp
import pytest

import gradchain as gc

PARAMS = {"encoder": {"kernel": jnp.ones((2, 2)), "bias": jnp.zeros(2)}, "head": jnp.ones((2, 1))}
GRADS = jax.tree.map(jnp.ones_like, PARAMS)
TX = gc.adamw(1e-3)
STATE = TX.init(PARAMS)


def with_kernel(kernel):
    return {**GRADS, "encoder": {**GRADS["encoder"], "kernel": kernel}}


def says(error, *parts):
    """``pytest.raises`` for a message that contains all ``parts``."""
    return pytest.raises(error, match="(?s)" + "".join(f"(?=.*{part})" for part in parts))


def test_a_gradient_is_never_broadcast_to_its_parameter():
    with says(
        ValueError,
        "'encoder/kernel'",
        r"float32\[2,1\]",
        r"float32\[2,2\]",
        "Nothing is broadcast",
        "argnums",
    ):
        TX.update(with_kernel(jnp.ones((2, 1))), STATE, PARAMS)


def test_a_parameter_never_grows_to_its_gradient():
    with says(
        ValueError,
        "'head'",
        r"float32\[2,2\]",
        r"parameter float32\[2,1\]",
        "Nothing is broadcast",
    ):
        TX.update({**GRADS, "head": jnp.ones((2, 2))}, STATE, PARAMS)


@pytest.mark.parametrize("call", [TX.step, jax.jit(TX.step)], ids=["eager", "jit"])
def test_the_checks_hold_wherever_it_runs(call):
    with says(ValueError, "'head'", "Nothing is broadcast"):
        call({**GRADS, "head": jnp.ones((2, 2))}, STATE, PARAMS)


def test_apply_updates_never_broadcasts():
    with says(ValueError, "'w'", r"float32\[2,2\]", r"float32\[2,1\]", "Nothing is broadcast"):
        gc.apply_updates({"w": jnp.ones((2, 1))}, {"w": jnp.ones((2, 2))})


def test_without_params_the_shape_is_checked_against_the_state():
    adam = gc.scale_by_adam()
    state = adam.init(PARAMS)
    with says(
        ValueError,
        "'scale_by_adam'",
        "slot 'mu'",
        "'head'",
        r"shape \[2, 2\]",
        "other parameters",
        "init",
    ):
        adam.update({**GRADS, "head": jnp.ones((2, 2))}, state)


def test_a_missing_leaf_is_named():
    with says(
        ValueError,
        "Missing in updates: 'encoder/bias', 'encoder/kernel'",
        "gradients of these parameters",
    ):
        TX.update({"head": GRADS["head"], "encoder": {}}, STATE, PARAMS)


def test_a_leaf_too_many_is_named():
    with says(ValueError, "Not in params: 'tail'"):
        TX.update({**GRADS, "tail": jnp.ones(1)}, STATE, PARAMS)


def test_other_containers_of_the_same_paths_are_named():
    with says(ValueError, "same paths", "the whole tree updates have a list and params a tuple"):
        gc.sgd(0.1).update([jnp.ones(1)], gc.sgd(0.1).init((jnp.ones(1),)), (jnp.ones(1),))


def test_swapped_grads_and_state_are_recognised():
    with says(ValueError, "looks like the state", "Swapped", r"update\(grads, state, params\)"):
        TX.update(STATE, GRADS, PARAMS)


def test_a_misspelt_extra_argument_offers_the_nearest_name():
    with says(TypeError, "'valeu'", "Did you mean 'value'"):
        TX.update(GRADS, STATE, PARAMS, valeu=1.0)


def test_an_extra_argument_that_is_like_no_other_lists_the_known_ones():
    with says(TypeError, "'qqq'", "Known here", "'grad', 'key', 'specs', 'value', 'value_fn'"):
        TX.update(GRADS, STATE, PARAMS, qqq=1.0)


@pytest.mark.parametrize("name", ["value", "grad", "key"])
def test_the_words_of_the_field_are_tolerated(name):
    TX.update(GRADS, STATE, PARAMS, **{name: jnp.ones(())})


def test_a_value_function_is_tolerated_and_runs_uncompiled():
    TX.update(GRADS, STATE, PARAMS, value_fn=lambda params: 0.0)


@pytest.mark.parametrize(
    "leaf", [jnp.arange(3), jnp.array([True]), 3], ids=["int", "bool", "python int"]
)
def test_parameters_of_which_no_gradient_moves_any_are_refused_with_a_path(leaf):
    with says(TypeError, "'embedding/ids'", "(?:int32|bool)", "no gradient can update", "1.0"):
        TX.init({"embedding": {"ids": leaf, "name": "words"}})


def test_an_integer_gradient_is_refused():
    with says(ValueError, "'head'", "int32", "float32", "not a gradient"):
        TX.update({**GRADS, "head": jnp.ones((2, 1), jnp.int32)}, STATE, PARAMS)


def test_a_complex_gradient_of_a_real_parameter_is_refused():
    with says(ValueError, "'head'", "complex64", "float32", "one real, one complex"):
        TX.update({**GRADS, "head": jnp.ones((2, 1), jnp.complex64)}, STATE, PARAMS)


def test_a_gradient_where_the_parameter_is_a_hole_is_refused():
    with says(ValueError, "'head'", "its parameter is None"):
        TX.update(GRADS, STATE, {**PARAMS, "head": None})


def test_the_state_of_another_chain_is_recognised():
    other = gc.sgd(0.1, momentum=0.9).init(PARAMS)
    with says(
        ValueError,
        "another transformation",
        "lacks 'scale_by_adam'",
        "has 'add_momentum'",
        r"init\(params\)",
    ):
        TX.update(GRADS, other, PARAMS)


def test_the_state_of_another_member_is_recognised():
    with says(ValueError, "'scale_by_adam'", "has 'count', 'mu'", "needs 'count', 'mu', 'nu'"):
        TX.update(
            GRADS,
            {**STATE, "scale_by_adam": {"count": jnp.zeros((), jnp.int32), "mu": GRADS}},
            PARAMS,
        )


def test_no_state_at_all_is_recognised():
    with says(TypeError, "state is a NoneType", r"init\(params\)"):
        TX.update(GRADS, None, PARAMS)


def test_params_that_a_member_needs_are_asked_for():
    with says(TypeError, "'add_decayed_weights' needs params", r"update\(grads, state, params\)"):
        TX.update(GRADS, STATE)


def test_an_extra_argument_that_a_member_needs_is_asked_for():
    @gc.transform
    def scale_by_value_in_checks():
        return gc.elementwise(lambda g, value: g * value)

    tx = scale_by_value_in_checks()
    with says(TypeError, "'scale_by_value_in_checks' needs the extra argument 'value'", "value="):
        tx.update(GRADS, tx.init(PARAMS), PARAMS)


def test_a_matrix_rule_refuses_a_vector_with_its_path():
    @gc.transform
    def transposed_in_checks():
        return gc.matrixwise(lambda g: -g)

    with says(ValueError, "'encoder/bias'", "two dimensions", "where=gc.ndim_at_least"):
        transposed_in_checks().init(PARAMS)


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (
            lambda: gc.sgd("fast"),
            ["sgd", "'learning_rate'", "'fast'", "number or a function of the step"],
        ),
        (lambda: gc.adam(True), ["adam", "'learning_rate'", "True"]),
        (lambda: gc.adam(None), ["adam", "'learning_rate'", "None"]),
        (lambda: gc.adam(1e-3, beta1=0.9), ["adam", "'beta1'", r"adam\(learning_rate"]),
        (lambda: gc.clip(jnp.ones(3)), ["clip", "'max_delta'", "number"]),
        (lambda: gc.chain(gc.clip(1.0), 3), ["chain", "transformation", "3"]),
        (
            lambda: gc.chain(gc.constant_schedule(1.0)),
            ["chain", r"scale_by_learning_rate\(schedule\)"],
        ),
        (
            lambda: gc.adam(1e-3).replace(lr=1),
            ["no member has an argument 'lr'", "scale_by_adam"],
        ),
        (
            lambda: gc.chain(gc.sgd(1.0), gc.sgd(1.0)).replace(learning_rate=1),
            ["2 members have", "learning_rate"],
        ),
        (
            lambda: gc.linear_schedule(0.0, 1.0, 5).replace(steps=3),
            ["no argument 'steps'", "transition_steps"],
        ),
        (lambda: gc.masked(gc.clip(1.0), {"a": {1, 2}}), ["masked", "'where'", "hashed"]),
    ],
)
def test_a_wrong_argument_is_named_when_it_is_given(make, parts):
    with says(TypeError, *parts):
        make()


@pytest.mark.parametrize("name", ["", "a/b", 3])
def test_a_wrong_name_is_refused(name):
    with says(ValueError, "named", "non-empty string"):
        gc.clip(1.0).named(name)


def test_an_unknown_member_lists_the_members():
    with says(KeyError, "no member named 'adam'", "'scale_by_adam'"):
        TX["adam"]


def test_a_rule_that_forgets_a_slot_is_told():
    @gc.transform
    def forgetful_in_checks():
        return gc.elementwise(lambda g, s: (g, {}), mu=gc.slots.like_param)

    tx = forgetful_in_checks()
    with says(ValueError, "forgetful_in_checks", "must return its slots 'mu'"):
        tx.update(GRADS, tx.init(PARAMS))


def test_a_rule_that_changes_the_shape_is_told():
    @gc.transform
    def summing_in_checks():
        return gc.elementwise(lambda g: g.sum())

    tx = summing_in_checks()
    with says(ValueError, "summing_in_checks", "an update of shape"):
        tx.update(GRADS, tx.init(PARAMS))


def test_an_update_that_is_not_reduced_is_told_inside_shard_map():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec

    def step(params, batch):
        varying = jax.tree.map(lambda p: jax.lax.pcast(p, "data", to="varying"), params)
        grads = jax.grad(lambda p: jnp.sum(p * batch))(varying)
        return TX.update(grads, TX.init(params), params)[0]

    run = jax.shard_map(step, mesh=mesh, in_specs=(spec(), spec("data")), out_specs=spec())
    with says(ValueError, "different mesh axes", "'data'", "pmean"):
        run(jnp.ones(()), jnp.ones(8))


def test_an_array_of_rates_is_told_to_be_mapped():
    with pytest.raises(TypeError, match=r"not float32\[3\]\. .* jax\.vmap\(gc\.adam\)\(rates\)"):
        gc.adam(jnp.ones(3))
