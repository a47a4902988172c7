"""Storage and all that looks at a state: reports, changed states, averages, meters, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain as gc
from tests.laws.samples import assert_close, assert_identical, assert_same_type

PARAMS = {"bias": jnp.ones(64), "kernel": jnp.linspace(0.5, 1.0, 128 * 64).reshape(128, 64)}
GRADS = jax.tree.map(lambda p: 0.1 * p, PARAMS)

bare = lambda: gc.adamw(1e-3, weight_decay=0.1)
mixed = lambda: gc.storage(bare(), "bfloat16", nu="uint8_log")


def after_steps(tx, steps=3):
    state = tx.init(PARAMS)
    for _ in range(steps):
        _, state = tx.update(GRADS, state, PARAMS)
    return state


def adam_in(state):
    return state["storage"]["inner"]["scale_by_adam"]


def test_describe_shows_slots_as_they_are_kept_and_the_bytes_of_both():
    tx = mixed()
    found = gc.describe(tx, PARAMS)
    state = tx.init(PARAMS)
    assert found.total_bytes == sum(x.nbytes for x in jax.tree.leaves(state))
    assert found.bytes_without_storage == gc.describe(bare(), PARAMS).total_bytes
    assert "; without storage 64.5 KiB" in str(found)
    slots = {s.name: s for m in found.members for s in m.slots}
    assert slots["mu"].dtypes == ("bfloat16",)
    assert slots["nu"].dtypes == ("float32", "uint8")
    assert "without storage" not in str(gc.describe(bare(), PARAMS))


def test_opened_state_has_the_paths_and_dtypes_of_the_bare_chain():
    tx = mixed()
    state = after_steps(tx)
    opened = gc.precision.opened_state(tx, state, PARAMS)["storage"]["inner"]
    expected = after_steps(bare())
    assert_same_type(opened, expected)
    assert_close(opened, expected, 0.1)


def test_opened_state_finds_storage_in_groups():
    tx = gc.groups([("bias", gc.sgd(0.1, 0.9)), ("*", gc.storage(bare(), "int8"))])
    opened = gc.precision.opened_state(tx, after_steps(tx), PARAMS)
    assert not any(
        "codes" in jax.tree_util.keystr(k) for k, _ in jax.tree.leaves_with_path(opened)
    )


def test_adopt_state_encodes_arrays_of_the_bare_chain():
    tx = mixed()
    old = after_steps(bare())
    state, report = gc.adopt_state(tx, old, PARAMS)
    assert not (report.new or report.dropped or report.reshaped)
    assert_same_type(state, tx.init(PARAMS))
    opened = gc.precision.opened_state(tx, state, PARAMS)["storage"]["inner"]
    assert_close(opened, old, 0.05)
    tx.update(GRADS, state, PARAMS)


def test_adopt_state_takes_an_opened_state_to_any_policy_and_to_none():
    tx = mixed()
    old = gc.precision.opened_state(tx, after_steps(tx), PARAMS)
    for other in (bare(), gc.storage(bare(), "int8"), gc.accumulate(mixed(), every=2)):
        state, report = gc.adopt_state(other, old, PARAMS)
        assert not report.dropped
        assert all("accumulate" in path for path in report.new)
        other.update(GRADS, state, PARAMS)


@pytest.mark.parametrize(
    "other", [bare, lambda: gc.storage(bare(), "int8"), lambda: gc.storage(bare(), "float32")]
)
def test_adopt_state_refuses_codes_that_it_cannot_read(other):
    message = r"codes at 'storage/inner/scale_by_adam/nu/kernel/codes'.*opened_state\(old_tx"
    with pytest.raises(ValueError, match=message):
        gc.adopt_state(other(), after_steps(mixed()), PARAMS)


@pytest.mark.parametrize("wrap", [lambda tx: tx, lambda tx: gc.accumulate(tx, every=2)])
def test_adopt_state_keeps_codes_of_the_same_policy(wrap):
    old = after_steps(mixed())
    state, report = gc.adopt_state(wrap(mixed()), old, PARAMS)
    assert not report.dropped
    kept = state if "storage" in state else state["accumulate"]["inner"]
    assert_identical(adam_in(kept), adam_in(old))


def test_eval_params_asks_for_an_opened_state():
    tx = gc.storage(gc.average_weights(bare(), 0.9), "int8", least_size=0)
    state = after_steps(tx)
    with pytest.raises(ValueError, match=r"'average_params' is kept in codes.*opened_state\(tx"):
        gc.eval_params(state, PARAMS)
    found = gc.eval_params(gc.precision.opened_state(tx, state, PARAMS), PARAMS)
    expected = gc.eval_params(after_steps(gc.average_weights(bare(), 0.9)), PARAMS)
    assert_close(found, expected, 0.01)


def test_eval_params_reads_an_average_that_is_kept_in_a_dtype():
    tx = gc.storage(gc.average_weights(bare(), 0.9), "bfloat16")
    found = gc.eval_params(after_steps(tx), PARAMS)
    assert_close(
        found, gc.eval_params(after_steps(gc.average_weights(bare(), 0.9)), PARAMS), 0.01
    )


def test_check_finds_what_it_finds_without():
    names = lambda tx: sorted(finding.name for finding in gc.check(tx, PARAMS))
    assert names(mixed()) == names(bare())
    chain = lambda inner: gc.chain(gc.scale_by_learning_rate(0.1), inner)
    kept = names(chain(gc.storage(gc.scale_by_adam(), "bfloat16")))
    assert kept == names(chain(gc.scale_by_adam()))


@pytest.mark.parametrize(
    "wrap", [lambda t: gc.watch(mixed()), lambda t: gc.storage(gc.watch(t), "int8")]
)
def test_watch_shows_the_same_outside_and_inside(wrap):
    last = lambda tx: {
        name.removeprefix("storage/inner/"): value
        for name, value in gc.metrics(after_steps(tx)).items()
    }
    found, expected = last(wrap(bare())), last(gc.watch(bare()))
    for name, value in expected.items():
        if "mu" not in name and "nu" not in name:
            np.testing.assert_allclose(found[name], value, rtol=0.1, atol=1e-6)


def test_hyperparams_go_through():
    found = gc.hyperparams(mixed(), after_steps(mixed()))
    assert found["storage/inner/scale_by_learning_rate/learning_rate"] == 1e-3
    assert found["storage/inner/scale_by_adam/step"] == 3


@pytest.mark.parametrize(
    "make", [lambda: gc.tunable(mixed()), lambda: gc.storage(gc.tunable(bare()), "int8")]
)
def test_set_hyperparams_works_outside_and_inside(make):
    tx = make()
    state = gc.set_hyperparams(tx.init(PARAMS), learning_rate=0.5)
    u, _ = tx.update(GRADS, state, PARAMS)
    expected, _ = gc.adamw(0.5, weight_decay=0.1).update(GRADS, bare().init(PARAMS), PARAMS)
    assert_close(u, expected, 0.01)


def test_a_state_of_another_policy_is_named_with_the_way_out():
    tx = gc.storage(bare(), "int8")
    message = (
        r"slot 'scale_by_adam/mu/kernel' in the state of 'storage' is kept as bfloat16\[128,64\],"
        r" but linear\(.*\) keeps it as codes int8\[128,64\], scales float32\[128,1\]\."
        r".*adopt_state"
    )
    with pytest.raises(ValueError, match=message):
        tx.update(GRADS, after_steps(mixed()), PARAMS)
    with pytest.raises(
        TypeError, match=r"mu/bias.*is kept as float32\[64\].*bfloat16.*adopt_state"
    ):
        mixed().update(GRADS, {"storage": {"inner": after_steps(bare())}}, PARAMS)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (
            {"momentum": "int8"},
            r"there is no slot 'momentum' in adamw.*its slots are 'mu', 'nu'\.",
        ),
        ({"*/momentum/*": "int8"}, r"no path that '\*/momentum/\*' fits.*'mu', 'nu'"),
        ({"default": "int7"}, "codec must be one of 'int16', 'int8', .*'bfloat16'.*, not 'int7'"),
        ({"default": "3"}, "codec must be one of .*, not '3'"),
        ({"count": "int8"}, "there is no slot 'count'"),
    ],
)
def test_policies_that_name_nothing_are_refused(policy, message):
    with pytest.raises(ValueError, match=message):
        gc.storage(bare(), **policy).init(PARAMS)


def test_an_integer_codec_refuses_a_complex_slot_and_says_how_to_leave_it():
    p = jnp.ones(2, jnp.complex64)
    with pytest.raises(
        ValueError, match=r"cannot keep 'scale_by_adam/mu', which is complex"
    ) as e:
        gc.storage(bare(), "int8", least_size=0).init(p)
    assert "**{'scale_by_adam/mu': None}" in str(e.value)
    gc.storage(bare(), "int8", least_size=0, **{"scale_by_adam/mu": None}).init(p)


def test_a_pattern_goes_before_a_name_and_a_name_before_the_default():
    tx = gc.storage(bare(), "float16", mu="bfloat16", **{"*/mu/kernel": "int8"})
    adam = adam_in(tx.init(PARAMS))
    assert adam["mu"]["kernel"]["codes"].dtype == jnp.int8
    assert (adam["mu"]["bias"].dtype, adam["nu"]["bias"].dtype) == (jnp.bfloat16, jnp.float16)


def test_few_elements_are_left_alone_by_codecs_with_blocks():
    adam = adam_in(gc.storage(bare(), "int8").init(PARAMS))
    assert adam["mu"]["bias"].dtype == jnp.float32
    assert adam["mu"]["kernel"]["codes"].dtype == jnp.int8


def test_a_foreign_pair_sees_arrays():
    init = lambda p: {"m": jax.tree.map(jnp.zeros_like, p)}

    def update(g, s, p=None):
        m = jax.tree.map(lambda m, g: 0.5 * m + g, s["m"], g)
        return m, {"m": m}

    tx = gc.storage((init, update), "int8")
    state = tx.init(PARAMS)
    u, state = tx.update(GRADS, state, PARAMS)
    assert_close(u, GRADS, 1e-6)
    assert jax.tree.leaves(state)[1].dtype == jnp.int8


def test_chance_is_the_same_again_for_the_same_step():
    tx = gc.storage(bare(), "int8", stochastic=True)
    assert_identical(after_steps(tx), after_steps(tx))
    other = after_steps(gc.storage(bare(), "int8", stochastic=True, seed=1))
    nearest = after_steps(gc.storage(bare(), "int8"))
    codes = lambda state: adam_in(state)["mu"]["kernel"]["codes"]
    assert not np.array_equal(codes(after_steps(tx)), codes(other))
    assert np.max(np.abs(np.asarray(codes(other), int) - np.asarray(codes(nearest), int))) <= 3


def test_names_in_a_config_and_in_a_printed_policy():
    tx = gc.storage(bare(), mu=gc.precision.linear(4), **{"*/nu/*": "uint8_log"})
    assert gc.from_config(gc.to_config(tx)) == tx
    assert "**{'*/nu/*': 'uint8_log'}" in repr(tx)


def test_a_codec_that_returns_no_pair_says_so():
    @gc.precision.codec
    def alone():
        return lambda x, key: x

    with pytest.raises(TypeError, match=r"alone: a codec is a pair of functions"):
        gc.storage(gc.sgd(0.1, 0.9), alone()).init(jnp.ones(2))


def test_a_codec_that_makes_another_shape_says_so():
    @gc.precision.codec
    def flat():
        return lambda x, key: x.ravel(), lambda parts, like: parts

    with pytest.raises(ValueError, match=r"flat\(\) makes .*must return the shape"):
        gc.storage(gc.sgd(0.1, 0.9), flat()).init(jnp.ones((2, 3)))


def test_slots_of_a_pair_have_their_names():
    tx = gc.storage(optax.adam(0.1), mu="bfloat16")
    kept = tx.init(jnp.ones(3))
    assert sorted(str(x.dtype) for x in jax.tree.leaves(kept) if x.ndim) == [
        "bfloat16",
        "float32",
    ]


def test_leaves_of_one_shape_are_kept_and_left_alone():
    p = {"bias": jnp.ones(80), "norm": jnp.ones(80)}
    tx = gc.storage(gc.adamw(1e-3), **{"*bias*": "float32"})
    found, _ = tx.step(p, tx.init(p), p)
    assert np.array_equal(found["bias"], found["norm"])
