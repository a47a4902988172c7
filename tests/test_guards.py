"""Guards: nothing that is not finite gets in, what is left out is counted, and all else is as without them."""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import gradchain as gc
from tests.random_trees import few
from tests.references import guards as references
from tests.references import recipes
from tests.samples import assert_close, assert_identical, assert_same_type
from tests.table import ROWS

fewer = settings(few, max_examples=15)
INF, NAN = float("inf"), float("nan")
GUARDS = [
    pytest.param(lambda tx: gc.skip_nonfinite(tx), id="skip_nonfinite"),
    pytest.param(lambda tx: gc.skip_nonfinite(tx, locate=True), id="locate"),
    pytest.param(lambda tx: gc.dynamic_loss_scale(tx, initial_scale=1.0, max_scale=1.0), id="dynamic_loss_scale"),
    pytest.param(lambda tx: gc.skip_spikes(tx), id="skip_spikes"),
]
each_guard = pytest.mark.parametrize("guard", GUARDS)


def own(state):
    (entry,) = state.values()
    return entry


def counts(state):
    return int(own(state)["skipped"]), int(own(state)["skipped_in_a_row"])


def run(tx, grads, params, **extra):
    """Parameters and state after each of some gradients."""
    state, step, made = tx.init(params), jax.jit(tx.step), []
    for g in grads:
        params, state = step(g, state, params, **extra)
        made.append((params, state))
    return made


# ------------------------------------------------------------------------------------------------------- what all share


@each_guard
@pytest.mark.parametrize("bad", [INF, -INF, NAN, 1e30, -1e38], ids=str)
def test_a_bad_step_is_no_step(guard, bad):
    params = {"a": jnp.ones(3), "b": jnp.ones(())}
    good = {"a": jnp.full(3, 0.5), "b": jnp.float32(0.25)}
    spoiled = {"a": jnp.array([0.5, bad, 0.5]), "b": jnp.float32(0.25)}
    tx = guard(gc.adamw(0.1))
    with_bad = run(tx, [good, spoiled, spoiled, good], params)
    without = run(gc.adamw(0.1), [good, good], params)
    assert [counts(state) for _, state in with_bad] == [(0, 0), (1, 1), (2, 2), (2, 0)]
    assert_identical(with_bad[2][0], with_bad[0][0])
    assert_identical(own(with_bad[2][1])["inner"], own(with_bad[0][1])["inner"])
    assert_close(with_bad[3][0], without[1][0], 1e-6)
    assert_close(own(with_bad[3][1])["inner"], without[1][1], 1e-6)
    assert int(own(with_bad[3][1])["inner"]["scale_by_adam"]["count"]) == 2


@each_guard
def test_a_loss_that_is_not_finite_is_a_bad_step(guard):
    tx, params = guard(gc.sgd(0.1, 0.9)), jnp.ones(2)
    made = [run(tx, [jnp.ones(2)], params, value=jnp.float32(value))[0] for value in (1.0, NAN, INF)]
    assert [counts(state) for _, state in made] == [(0, 0), (1, 1), (1, 1)]
    assert_identical(made[1][0], params)


@each_guard
def test_the_loss_reaches_what_is_inside(guard):
    tx = guard(gc.reduce_on_plateau(0.5, patience=1))
    state = tx.init(jnp.ones(1))
    for _ in range(2):
        u, state = tx.update(jnp.ones(1), state, jnp.ones(1), value=3.0)
    np.testing.assert_array_equal(u, [0.5])


@each_guard
def test_parameters_never_overflow(guard):
    """A finite update is left out where it would make a parameter infinite, in the dtype that this is kept in."""
    for dtype, size, gradient in ((jnp.float32, 3e38, 3e37), (jnp.float16, 6e4, 4e3)):
        params = jnp.full(2, size, dtype)
        made = run(guard(gc.sgd(-1.0)), [jnp.full(2, gradient, dtype)] * 3, params)
        sizes = [np.asarray(p, np.float64) for p, _ in made]
        assert np.all(np.isfinite(sizes[-1]))
        assert sizes[-1][0] > size
        assert counts(made[-1][1])[0] >= 1


@each_guard
def test_an_update_never_overflows_in_the_dtype_of_its_gradient(guard):
    tx, params = guard(gc.scale(100.0)), jnp.zeros(2)
    u, state = tx.update(jnp.full(2, 1e3, jnp.float16), tx.init(params), params)
    np.testing.assert_array_equal(u, [0.0, 0.0])
    assert counts(state) == (1, 1)


@each_guard
def test_works_without_parameters(guard):
    tx = guard(gc.scale_by_adam())
    state = tx.init(jnp.zeros(2))
    for g, skipped in ((1.0, 0), (1e30, 1), (1.0, 1)):
        u, state = tx.update(jnp.full(2, g), state)
        assert np.all(np.isfinite(u))
        assert counts(state)[0] == skipped


@each_guard
def test_an_infinity_that_was_there_before_may_stay(guard):
    """As the best value so far does, in a foreign state that starts with one."""
    best = gc.GradientTransformation(
        lambda params: {"best": jnp.full(3, INF)},
        lambda g, state, params=None: (g, {"best": state["best"].at[0].set(g[0])}),
    )
    made = run(guard(best), [jnp.ones(1), jnp.full(1, 2.0)], jnp.zeros(1))
    assert counts(made[-1][1]) == (0, 0)
    np.testing.assert_array_equal(own(own(made[-1][1])["inner"])["best"], [2.0, INF, INF])


@each_guard
def test_large_numbers_whose_sum_overflows_are_finite(guard):
    tx, params = guard(gc.scale(1.0)), jnp.zeros(4)
    u, state = tx.update(jnp.full(4, 3e38), tx.init(params), params)
    assert counts(state) == (0, 0)
    np.testing.assert_array_equal(u, jnp.full(4, 3e38))


@each_guard
def test_frozen_leaves_have_no_part(guard):
    params = {"encoder": jnp.ones(2), "head": jnp.ones(2)}
    frozen = gc.groups([("encoder", gc.freeze())], default=gc.adam(0.1))
    for tx in (guard(frozen), gc.chain(guard(gc.adam(0.1)), gc.freeze("encoder"))):
        state = tx.init(params)
        updates, state = tx.update({"encoder": jnp.full(2, NAN), "head": jnp.ones(2)}, state, params)
        np.testing.assert_array_equal(updates["encoder"], [0.0, 0.0])
        assert np.all(updates["head"] < 0)
        assert counts(state) == (0, 0)


@each_guard
def test_the_inner_update_is_computed_once_and_in_a_branch(guard):
    tx, calls = guard(gc.GradientTransformation(lambda p: {}, lambda g, s, p=None: (calls.append(0) or g, s))), []
    p = jnp.ones(3)
    jaxpr = jax.make_jaxpr(tx.update)(p, tx.init(p), p)
    assert len(calls) == 1
    assert "cond[" in str(jaxpr)


@each_guard
def test_a_scan_is_the_loop(guard):
    tx, params = guard(gc.adam(0.1)), jnp.ones(2)
    grads = jnp.array([[1.0, 2.0], [1.0, NAN], [INF, 0.0], [0.5, 0.5]])
    (p, state), _ = jax.lax.scan(lambda c, g: (tx.step(g, c[1], c[0]), None), (params, tx.init(params)), grads)
    made = run(tx, list(grads), params)
    assert_close((p, state), made[-1], 1e-6)
    assert counts(state) == (2, 0)


def test_guards_inside_guards():
    tx, params = gc.skip_nonfinite(gc.dynamic_loss_scale(gc.skip_spikes(gc.adam(0.1)), 4.0), locate=True), jnp.ones(2)
    made = run(tx, [jnp.ones(2), jnp.full(2, NAN), jnp.ones(2)], params)
    assert counts(made[-1][1]) == (1, 0)
    assert float(gc.loss_scale(made[-1][1])) == 4.0  # the outer one let nothing of the bad step in


# ------------------------------------------------------------------------------------------------------------ any chain

# Recipes and directions that need neither an extra argument nor matrices.
plain = [
    row
    for row in ROWS
    if not row.extra
    and not row.make().freezes  # a frozen leaf may be given anything
    and not {"takes_trees_of_every_kind", "keeps_holes"} & row.reasons.keys()
    and row.make().locality in ("element", "leaf", "tree")
]
VALUES = st.sampled_from([0.0, 1.0, -0.5, 1.0, 0.25, 1e-38, -1e38, 1e38, INF, -INF, NAN])
PARAMS = {"a": jnp.array([0.5, -1.0]), "b": jnp.float32(2.0)}


def tree_of(numbers):
    return {"a": jnp.array(numbers[:2], jnp.float32), "b": jnp.float32(numbers[2])}


def check_that_nothing_gets_in(members, grads, guard):
    bare = gc.chain(*(row.make() for row in members))
    tx = guard(bare)
    params, state = PARAMS, tx.init(PARAMS)
    for g in grads:
        inner = own(state).get("inner", {})
        expected_params, expected_state = bare.step(g, inner, params)
        new_params, new_state = tx.step(g, state, params)
        assert_same_type(new_state, state)
        assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves((new_params, new_state)))
        everything = (g, expected_params, expected_state)
        if all(np.all(np.isfinite(x)) for x in jax.tree.leaves(everything)):
            assert counts(new_state)[1] == 0
            assert_identical(new_params, expected_params)
            assert_identical(own(new_state).get("inner", {}), expected_state)
        else:
            assert counts(new_state)[1] == counts(state)[1] + 1
            assert_identical(new_params, params)
            assert_identical(own(new_state).get("inner", {}), inner)
        params, state = new_params, new_state


chains = st.lists(st.sampled_from(plain), min_size=1, max_size=3)
gradients = st.lists(st.lists(VALUES, min_size=3, max_size=3).map(tree_of), min_size=1, max_size=4)


@pytest.mark.usefixtures("without_jit")
class TestAnyChain:
    @fewer
    @given(chains, gradients)
    def test_nothing_that_is_not_finite_gets_in_and_all_else_is_as_before(self, members, grads):
        check_that_nothing_gets_in(members, grads, gc.skip_nonfinite)

    @fewer
    @given(chains, gradients)
    def test_and_if_it_is_told_where(self, members, grads):
        check_that_nothing_gets_in(members, grads, lambda tx: gc.skip_nonfinite(tx, locate=True))

    @pytest.mark.slow
    @settings(few, max_examples=300)
    @given(chains, gradients)
    def test_nothing_gets_in_at_length(self, members, grads):
        check_that_nothing_gets_in(members, grads, gc.skip_nonfinite)


# -------------------------------------------------------------------------------------------------- where a leaf is bad


LAYERS = {"bias": jnp.ones(2), "hole": None, "layers": [{"kernel": jnp.ones((2, 2))}, {"kernel": jnp.ones((2, 2))}]}
ONES = jax.tree.map(jnp.ones_like, LAYERS)


def with_bad(number, *layers):
    bad = [{"kernel": x["kernel"] * (number if i in layers else 1.0)} for i, x in enumerate(ONES["layers"])]
    return {**ONES, "layers": bad}


@pytest.mark.parametrize(
    ("grads", "expected"),
    [
        (ONES, None),
        (with_bad(NAN, 1), "layers/1/kernel"),
        (with_bad(INF, 0, 1), "layers/0/kernel"),
        (with_bad(1e30, 1), "scale_by_adam/nu/layers/1/kernel"),
    ],
)
@pytest.mark.parametrize("jit", [True, False], ids=["jit", "eager"])
def test_the_first_bad_leaf_is_found(grads, expected, jit):
    tx = gc.skip_nonfinite(gc.adam(0.1), locate=True)
    update = jax.jit(tx.update) if jit else tx.update
    _, state = update(grads, tx.init(LAYERS), LAYERS)
    assert gc.bad_leaf(state, LAYERS) == expected
    _, state = update(ONES, state, LAYERS)
    assert gc.bad_leaf(state, LAYERS) == expected  # of the last step that was left out


def test_a_bad_leaf_behind_frozen_ones_has_its_own_path():
    tx = gc.skip_nonfinite(gc.groups([("bias", gc.freeze())], default=gc.adam(0.1)), locate=True)
    _, state = tx.update(with_bad(NAN, 1), tx.init(LAYERS), LAYERS)
    assert gc.bad_leaf(state, LAYERS) == "layers/1/kernel"


def test_a_parameter_that_would_overflow_and_a_bad_loss_are_found():
    tx = gc.skip_nonfinite(gc.sgd(-1.0), locate=True)
    params = {"a": jnp.zeros(1), "b": jnp.full(1, 3e38)}
    grads = {"a": jnp.ones(1), "b": jnp.full(1, 1e38)}
    _, state = tx.update(grads, tx.init(params), params)
    assert gc.bad_leaf(state, params) == "b"
    _, state = tx.update(params, tx.init(params), params, value=NAN)
    assert gc.bad_leaf(state, params) == "value"


def test_a_guard_in_a_chain_and_in_a_group_is_found():
    guard = gc.skip_nonfinite(gc.adam(0.1), locate=True)
    for tx in (gc.chain(gc.scale(2.0), guard), gc.groups([("layers/*", guard)], default=gc.sgd(0.1))):
        _, state = tx.update(with_bad(NAN, 1), tx.init(LAYERS), LAYERS)
        assert gc.bad_leaf(state, LAYERS) == "layers/1/kernel"


def test_a_state_that_does_not_know_says_so():
    with pytest.raises(ValueError, match="locate=True"):
        gc.bad_leaf(gc.skip_nonfinite(gc.adam(0.1)).init(LAYERS), LAYERS)


# ----------------------------------------------------------------------------------------------------------- loss scale


def scales_of(tx, bad):
    """The scale after each step, of which some overflow."""
    params = jnp.zeros(1)
    grads = [jnp.full(1, INF) if x else jnp.ones(1) for x in bad]
    return [float(gc.loss_scale(state)) for _, state in run(tx, grads, params)]


OVERFLOWS = [bool(x) for x in np.random.default_rng(0).random(60) < 0.1]
OVERFLOWS[:6] = [True] * 6


def test_its_defaults_are_those_of_torch():
    ours = gc.dynamic_loss_scale(gc.sgd(0.1)).arguments
    theirs = torch.amp.GradScaler("cpu")
    assert ours["initial_scale"] == theirs.get_scale()
    assert ours["growth_factor"] == theirs.get_growth_factor()
    assert ours["backoff_factor"] == theirs.get_backoff_factor()
    assert ours["growth_interval"] == theirs.get_growth_interval()


def test_its_scales_are_those_of_torch():
    scaler = torch.amp.GradScaler("cpu", growth_interval=5)
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer, theirs = torch.optim.SGD([weight], 0.1), []
    for is_bad in OVERFLOWS:
        scaler.scale(weight.sum())  # it makes the scale at its first call
        weight.grad = torch.full((1,), INF if is_bad else 1.0)
        scaler.step(optimizer)
        scaler.update()
        theirs.append(scaler.get_scale())
    tx = gc.dynamic_loss_scale(gc.sgd(0.1), growth_interval=5, max_scale=2.0**60)
    assert scales_of(tx, OVERFLOWS) == theirs
    assert min(theirs) < 2**12 < 2**14 < max(theirs)  # it went down and up


@pytest.mark.parametrize("arguments", [{}, {"min_scale": 2.0**14, "max_scale": 2.0**17}, {"growth_factor": 3.0}])
def test_its_scales_are_those_of_its_twin(arguments):
    arguments = {"growth_interval": 4, **arguments}
    twin = references.LossScale(recipes.Sgd(0.1), **arguments)
    twin.init({"": np.zeros(1)})
    for is_bad in OVERFLOWS:
        twin.update({"": np.full(1, INF if is_bad else 1.0)}, {"": np.zeros(1)})
    assert scales_of(gc.dynamic_loss_scale(gc.sgd(0.1), **arguments), OVERFLOWS) == pytest.approx(twin.scales[1:])
    assert len(set(twin.scales)) > 3


def data():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 4))
    return jnp.asarray(x, jnp.float16), jnp.asarray(np.sin(x @ rng.standard_normal((4, 1))), jnp.float16)


def network(seed=0):
    rng = np.random.default_rng(seed)
    make = lambda *shape: jnp.asarray(rng.standard_normal(shape) / shape[0] ** 0.5, jnp.float32)
    return {"w1": make(4, 16), "w2": make(16, 1)}


def loss(params, scale, size=1.0):
    """A loss in float16, whose gradients half precision loses where its ``size`` is small."""
    x, y = data()
    half = jax.tree.map(lambda p: p.astype(jnp.float16), params)
    error = jnp.tanh(x @ half["w1"]) @ half["w2"] - y
    # The scale goes in before the error is squared and summed in half precision.
    return jnp.sum((error * (scale * size / error.size).astype(jnp.float16)) * error).astype(jnp.float32)


def train(tx, scale_of, size, steps=200):
    def step(carry, _):
        params, state = carry
        grads = jax.grad(lambda p: loss(p, scale_of(state), size))(params)
        params, state = tx.step(grads, state, params)
        return (params, state), scale_of(state)

    params = network()
    (params, state), scales = jax.jit(lambda c: jax.lax.scan(step, c, None, steps))((params, tx.init(params)))
    return float(loss(params, jnp.float32(1.0))), state, np.asarray(scales)


def test_half_precision_trains_only_with_the_scale():
    optimizer = gc.sgd(1e6, 0.9)  # the rate undoes the size of the loss
    start = float(loss(network(), jnp.float32(1.0)))
    without, _, _ = train(optimizer, lambda _: jnp.float32(1.0), 1e-7)
    scaled, state, _ = train(gc.dynamic_loss_scale(optimizer, 2.0**13, growth_interval=50), gc.loss_scale, 1e-7)
    assert without == start
    assert scaled < 0.1 * start
    assert counts(state)[0] == 0


def test_an_overflow_at_the_start_backs_off_and_recovers():
    tx = gc.dynamic_loss_scale(gc.adam(0.01), 2.0**24, growth_interval=40)
    end, state, scales = train(tx, gc.loss_scale, 1.0)
    assert counts(state)[0] >= 2
    assert scales[0] == 2.0**23
    assert np.any(np.diff(scales) > 0)
    assert end < 0.1
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(state))


def test_around_accumulation_each_micro_batch_counts():
    scaled = gc.dynamic_loss_scale(gc.accumulate(gc.sgd(1.0), every=2), 8.0, growth_interval=3)
    params, bad = jnp.zeros(1), [False, True, False, False, False]
    grads = [8.0, INF, 4.0, 4.0, 4.0]  # unscaled 1, -, 1, 1, 1
    made = run(scaled, [jnp.full(1, g) for g in grads], params)
    assert [float(gc.loss_scale(state)) for _, state in made] == [8.0, 4.0, 4.0, 4.0, 8.0]
    assert [float(p[0]) for p, _ in made] == [0.0, 0.0, -1.0, -1.0, -2.0]
    assert int(own(made[-1][1])["inner"]["accumulate"]["count"]) == 2
    assert scales_of(scaled, bad) == [8.0, 4.0, 4.0, 4.0, 8.0]


def test_the_scale_is_found_once_or_not_at_all():
    scaled, params = gc.dynamic_loss_scale(gc.adam(0.1), 4.0), {"loss_scale": jnp.ones(2)}
    for tx in (scaled, gc.chain(gc.clip(1.0), scaled), gc.accumulate(scaled, every=2), gc.skip_nonfinite(scaled)):
        assert float(gc.loss_scale(tx.init(params))) == 4.0
        assert float(jax.jit(gc.loss_scale)(tx.init(params))) == 4.0
    with pytest.raises(ValueError, match=r"use dynamic_loss_scale\(tx\)"):
        gc.loss_scale(gc.adam(0.1).init(params))
    with pytest.raises(ValueError, match=r"2 parts .* once"):
        gc.loss_scale(gc.dynamic_loss_scale(scaled).init(params))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"growth_interval": 0}, "growth_interval must be 1 or more, not 0"),
        ({"growth_factor": 0.5}, "growth_factor must be 1 or more, not 0.5"),
        ({"backoff_factor": 1.5}, "backoff_factor must be between 0 and 1, not 1.5"),
        ({"initial_scale": 0.0}, "initial_scale must be greater than 0, not 0.0"),
        ({"min_scale": -1.0}, "min_scale must be greater than 0, not -1.0"),
        ({"initial_scale": 0.5}, "initial_scale must be 1.0 or more, not 0.5"),
        ({"max_scale": 2.0}, "max_scale must be 65536.0 or more, not 2.0"),
    ],
)
def test_arguments_of_the_scale_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=f"dynamic_loss_scale: {message}"):
        gc.dynamic_loss_scale(gc.sgd(0.1), **arguments).init(jnp.ones(1))


# --------------------------------------------------------------------------------------------------------------- spikes


def norms(*sizes):
    return [jnp.array([0.6, 0.8]) * size for size in sizes]


def skips(tx, grads):
    """For each gradient whether its step was left out."""
    return [bool(counts(state)[1]) for _, state in run(tx, grads, jnp.zeros(2))]


def test_a_spike_is_left_out_and_does_not_move_the_statistics():
    tx = gc.skip_spikes(gc.sgd(0.1), warmup_steps=4)
    usual = norms(1.0, 1.1, 0.9, 1.05, 0.95)
    assert skips(tx, [*usual, *norms(30.0, 1.0, 1.7, 4.0)]) == [False] * 5 + [True, False, False, True]
    without = run(tx, usual, jnp.zeros(2))[-1][1]
    after = run(tx, [*usual, *norms(30.0)], jnp.zeros(2))[-1][1]
    for slot in ("mean", "variance", "taken"):
        assert_identical(own(after)[slot], own(without)[slot])


def test_nothing_finite_is_a_spike_in_the_warm_up():
    tx = gc.skip_spikes(gc.sgd(0.1), warmup_steps=3)
    grads = [*norms(1.0, 1000.0), jnp.full(2, NAN), *norms(1e-3), jnp.full(2, INF)]
    assert skips(tx, grads) == [False, False, True, False, True]


def test_a_new_level_is_taken_on_after_so_many_skips():
    tx = gc.skip_spikes(gc.sgd(0.1), warmup_steps=3, max_skips_in_a_row=4)
    grads = norms(*[1.0] * 5, *[100.0] * 12, 1e4)
    assert skips(tx, grads) == [False] * 5 + [True] * 4 + [False] * 8 + [True]


def test_a_gradient_of_zero_changes_no_statistic():
    tx = gc.skip_spikes(gc.sgd(0.1), warmup_steps=2)
    assert skips(tx, norms(1.0, 0.0, 1.1, 0.0, 1.2, 0.0, 50.0, 1.0)) == [False] * 6 + [True, False]
    for state in [state for _, state in run(tx, norms(0.0, 0.0), jnp.zeros(2))]:
        assert int(own(state)["taken"]) == 0


def test_a_smaller_norm_is_no_spike_and_a_shrinking_one_is_followed():
    sizes = [0.9**i for i in range(100)]
    assert not any(skips(gc.skip_spikes(gc.sgd(0.1), warmup_steps=5), norms(*sizes, 1e-9)))


@pytest.mark.parametrize("seed", range(3))
def test_its_choices_are_those_of_its_twin(seed):
    rng = np.random.default_rng(seed)
    sizes = np.exp(0.3 * rng.standard_normal(200) + 3.0 * (rng.random(200) < 0.1) + 2.0 * (np.arange(200) > 120))
    arguments = {"threshold": 3.0, "decay": 0.95, "warmup_steps": 10, "max_skips_in_a_row": 3}
    twin, zero = references.SkipSpikes(recipes.Sgd(0.1), **arguments), {"": np.zeros(2)}
    twin.init(zero)
    for size in sizes:
        twin.update({"": np.array([0.6, 0.8]) * size}, zero)
    assert skips(gc.skip_spikes(gc.sgd(0.1), **arguments), norms(*sizes)) == [not made for made in twin.made]
    assert 5 < sum(not made for made in twin.made) < 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"warmup_steps": 0}, "warmup_steps must be 1 or more, not 0"),
        ({"max_skips_in_a_row": 0}, "max_skips_in_a_row must be 1 or more, not 0"),
        ({"threshold": 0.0}, "threshold must be greater than 0, not 0.0"),
        ({"min_deviation": -1.0}, "min_deviation must be greater than 0, not -1.0"),
    ],
)
def test_arguments_of_spikes_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=f"skip_spikes: {message}"):
        gc.skip_spikes(gc.sgd(0.1), **arguments).init(jnp.ones(1))
