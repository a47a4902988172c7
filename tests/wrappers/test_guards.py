"""Guards: nothing that is not finite gets in, what is left out is counted, and all else is as
without them.
"""

import chex
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

import gradchain as gc
from gradchain.core.walk import without_observations
from tests.laws.samples import assert_close, assert_identical, assert_same_type
from tests.laws.table import ROWS
from tests.support.guards import counts, own, run
from tests.support.random_trees import few

pytestmark = pytest.mark.rotated(3)  # they take long

fewer = settings(few, max_examples=15)
INF, NAN = float("inf"), float("nan")
GUARDS = [
    pytest.param(lambda tx: gc.skip_nonfinite(tx), id="skip_nonfinite"),
    pytest.param(
        lambda tx: gc.dynamic_loss_scale(tx, initial_scale=1.0, max_scale=1.0),
        id="dynamic_loss_scale",
    ),
    pytest.param(lambda tx: gc.skip_spikes(tx), id="skip_spikes"),
]
each_guard = pytest.mark.parametrize("guard", GUARDS)


# ----------------------------------------------------------------------------------- what all share


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
    made = [
        run(tx, [jnp.ones(2)], params, value=jnp.float32(value))[0] for value in (1.0, NAN, INF)
    ]
    assert [counts(state) for _, state in made] == [(0, 0), (1, 1), (1, 1)]
    assert_identical(made[1][0], params)


@each_guard
def test_the_loss_reaches_what_is_inside(guard):
    tx = guard(gc.reduce_on_plateau(0.5, patience=1))
    state = tx.init(jnp.ones(1))
    _, state = tx.update(jnp.ones(1), state, jnp.ones(1), value=3.0)
    u, _ = tx.update(jnp.ones(1), state, jnp.ones(1), value=3.0)
    np.testing.assert_array_equal(u, [0.5])


@each_guard
def test_parameters_never_overflow(guard):
    """A finite update is left out where it would make a parameter infinite, in the dtype that this
    is kept in.
    """
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
    for gradient, skipped in ((1.0, 0), (1e30, 1), (1.0, 1)):
        updates, state = tx.update(jnp.full(2, gradient), state)
        assert np.all(np.isfinite(updates))
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
        updates, state = tx.update(
            {"encoder": jnp.full(2, NAN), "head": jnp.ones(2)}, state, params
        )
        np.testing.assert_array_equal(updates["encoder"], [0.0, 0.0])
        assert np.all(updates["head"] < 0)
        assert counts(state) == (0, 0)


@each_guard
def test_the_inner_update_is_computed_once_and_in_a_branch(guard):
    tx, calls = (
        guard(
            gc.GradientTransformation(
                lambda p: {}, lambda g, s, p=None: (calls.append(0) or g, s)
            )
        ),
        [],
    )
    p = jnp.ones(3)
    jaxpr = jax.make_jaxpr(tx.update)(p, tx.init(p), p)
    assert len(calls) == 1
    assert "cond[" in str(jaxpr)


@each_guard
def test_a_scan_is_the_loop(guard):
    tx, params = guard(gc.adam(0.1)), jnp.ones(2)
    grads = jnp.array([[1.0, 2.0], [1.0, NAN], [INF, 0.0], [0.5, 0.5]])
    (p, state), _ = jax.lax.scan(
        lambda c, g: (tx.step(g, c[1], c[0]), None), (params, tx.init(params)), grads
    )
    made = run(tx, list(grads), params)
    assert_close((p, state), made[-1], 1e-6)
    assert counts(state) == (2, 0)


def test_guards_inside_guards():
    tx, params = (
        gc.skip_nonfinite(gc.dynamic_loss_scale(gc.skip_spikes(gc.adam(0.1)), 4.0)),
        jnp.ones(2),
    )
    made = run(tx, [jnp.ones(2), jnp.full(2, NAN), jnp.ones(2)], params)
    assert counts(made[-1][1]) == (1, 0)
    # The outer one let nothing of the bad step in.
    assert float(gc.loss_scale(made[-1][1])) == 4.0


# ---------------------------------------------------------------------------------------- any chain

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
        # A watch shows a norm that is infinite as it is.
        kept = without_observations(tx, new_state)
        chex.assert_tree_all_finite((new_params, kept))
        everything = (g, expected_params, without_observations(bare, expected_state))
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
gradients = st.lists(
    st.lists(VALUES, min_size=3, max_size=3).map(tree_of), min_size=1, max_size=4
)


# Some rows choose by names that the leaves here do not have.
@pytest.mark.filterwarnings("ignore::gradchain.core.idle.IdlePatternWarning")
@pytest.mark.usefixtures("without_jit")
class TestAnyChain:
    @fewer
    @given(chains, gradients)
    def test_nothing_that_is_not_finite_gets_in_and_all_else_is_as_before(self, members, grads):
        check_that_nothing_gets_in(members, grads, gc.skip_nonfinite)

    @fewer
    @given(chains, gradients)
    def test_and_with_the_gradients_of_a_scaled_loss(self, members, grads):
        no_scale = lambda tx: gc.dynamic_loss_scale(tx, initial_scale=1.0, max_scale=1.0)
        check_that_nothing_gets_in(members, grads, no_scale)

    @pytest.mark.slow
    @settings(few, max_examples=300)
    @given(chains, gradients)
    def test_nothing_gets_in_at_length(self, members, grads):
        check_that_nothing_gets_in(members, grads, gc.skip_nonfinite)


# ------------------------------------------------------------------------------ where a leaf is bad


LAYERS = {
    "bias": jnp.ones(2),
    "hole": None,
    "layers": [{"kernel": jnp.ones((2, 2))}, {"kernel": jnp.ones((2, 2))}],
}
ONES = jax.tree.map(jnp.ones_like, LAYERS)


def with_bad(number, *layers):
    bad = [
        {"kernel": x["kernel"] * (number if i in layers else 1.0)}
        for i, x in enumerate(ONES["layers"])
    ]
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
    tx = gc.skip_nonfinite(gc.adam(0.1))
    update = jax.jit(tx.update) if jit else tx.update
    _, state = update(grads, tx.init(LAYERS), LAYERS)
    assert gc.bad_leaf(state, LAYERS) == expected
    _, state = update(ONES, state, LAYERS)
    assert gc.bad_leaf(state, LAYERS) == expected  # of the last step that was left out


def test_a_bad_leaf_behind_frozen_ones_has_its_own_path():
    tx = gc.skip_nonfinite(gc.groups([("bias", gc.freeze())], default=gc.adam(0.1)))
    _, state = tx.update(with_bad(NAN, 1), tx.init(LAYERS), LAYERS)
    assert gc.bad_leaf(state, LAYERS) == "layers/1/kernel"


def test_a_parameter_that_would_overflow_and_a_bad_loss_are_found():
    tx = gc.skip_nonfinite(gc.sgd(-1.0))
    params = {"a": jnp.zeros(1), "b": jnp.full(1, 3e38)}
    grads = {"a": jnp.ones(1), "b": jnp.full(1, 1e38)}
    _, state = tx.update(grads, tx.init(params), params)
    assert gc.bad_leaf(state, params) == "b"
    _, state = tx.update(params, tx.init(params), params, value=NAN)
    assert gc.bad_leaf(state, params) == "value"


def test_a_guard_in_a_chain_and_in_a_group_is_found():
    guard = gc.skip_nonfinite(gc.adam(0.1))
    for tx in (
        gc.chain(gc.scale(2.0), guard),
        gc.groups([("layers/*", guard)], default=gc.sgd(0.1)),
    ):
        _, state = tx.update(with_bad(NAN, 1), tx.init(LAYERS), LAYERS)
        assert gc.bad_leaf(state, LAYERS) == "layers/1/kernel"


@each_guard
def test_every_guard_knows_it(guard):
    tx = guard(gc.adam(0.1))
    _, state = tx.update(with_bad(NAN, 1), tx.init(LAYERS), LAYERS)
    assert gc.bad_leaf(state, LAYERS) == "layers/1/kernel"


def test_a_spike_is_no_bad_leaf():
    tx = gc.skip_spikes(gc.adam(0.1), warmup_steps=1)
    _, state = run(tx, [ONES, with_bad(1e6, 0)], LAYERS)[-1]
    assert counts(state) == (1, 1)
    assert gc.bad_leaf(state, LAYERS) is None


def test_a_state_without_a_guard_says_so():
    with pytest.raises(ValueError, match=r"skip_nonfinite\(tx\)"):
        gc.bad_leaf(gc.adam(0.1).init(LAYERS), LAYERS)


def test_the_first_leaf_and_then_another_and_the_first_again():
    params = {"a": jnp.ones(2), "b": jnp.ones(2)}
    spoiled = lambda name: params | {name: jnp.array([1.0, NAN])}
    seen = run(
        gc.skip_nonfinite(gc.sgd(0.1)), [spoiled("a"), spoiled("b"), params, spoiled("a")], params
    )
    assert [gc.bad_leaf(state, params) for _, state in seen] == ["a", "b", "b", "a"]


def test_a_watch_inside_shows_what_overflows_and_changes_nothing():
    """The square of 1e25 is no number in float32, nor is the norm of 3e38 thrice, but the clip
    makes a step of each.
    """
    params = {"w": jnp.ones(3)}
    clipped = gc.chain(
        gc.clip_by_global_norm(1.0), gc.scale_by_adam(), gc.scale_by_learning_rate(0.1)
    )
    plain, watched = gc.skip_nonfinite(clipped), gc.skip_nonfinite(gc.watch(clipped, every=1))
    for size, norm in ((1e25, 1e25 * 3**0.5), (3e38, INF)):
        huge = {"w": jnp.array([size, size, -size])}
        expected, _ = plain.step(huge, plain.init(params), params)
        made, state = watched.step(huge, watched.init(params), params)
        np.testing.assert_array_equal(made["w"], expected["w"])
        assert jnp.all(made["w"] != params["w"])
        assert state["skip_nonfinite"]["skipped"] == 0 and gc.bad_leaf(state, params) is None
        shown = gc.metrics(state)["skip_nonfinite/inner/clip_by_global_norm/norm_in"]
        np.testing.assert_allclose(shown, norm, rtol=1e-6)
