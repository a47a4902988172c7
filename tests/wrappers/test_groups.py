"""Groups: which rule a leaf goes by, and what it means to be frozen."""

import json
import re

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given, strategies as st

import gradchain as gc
from gradchain.tree.paths import named_leaves
from tests.laws.samples import assert_identical, assert_same_type
from tests.laws.table import FOR_ANY_TREE
from tests.support.random_trees import few, other_like, own_leaves, random_mask, trees

LAYER = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
PARAMS = {"encoder": LAYER, "head": LAYER}
ONES = jax.tree.map(jnp.ones_like, PARAMS)
IS_BIAS = {"encoder": {"kernel": False, "bias": True}, "head": {"kernel": False, "bias": True}}


def update(tx, grads=ONES, params=PARAMS, **extra):
    return tx.update(grads, tx.init(params), params, **extra)[0]


def group_of_each(tx, params=PARAMS):
    """Minus the learning rate by which each leaf went, by path."""
    made = update(tx, jax.tree.map(jnp.ones_like, params), params)
    return {
        path: round(float(x.ravel()[0]), 6) for path, x in named_leaves(made) if x is not None
    }


# -------------------------------------------------------------------------------------------- rules


@pytest.mark.parametrize(
    ("where", "chosen"),
    [
        ("encoder/*", {"encoder/kernel", "encoder/bias"}),
        ("*/bias", {"encoder/bias", "head/bias"}),
        ("nothing", set()),
        (re.compile("^head/.*s$"), {"head/bias"}),
        (gc.path_matches("bias"), {"encoder/bias", "head/bias"}),
        (gc.ndim_at_least(2), {"encoder/kernel", "head/kernel"}),
        (lambda path, x: x.ndim == 1 and path.startswith("head"), {"head/bias"}),
        (lambda path, x: re.search("bias", path), {"encoder/bias", "head/bias"}),
        (IS_BIAS, {"encoder/bias", "head/bias"}),
        ({"encoder": True, "head": False}, {"encoder/kernel", "encoder/bias"}),
        (None, {"encoder/kernel", "encoder/bias", "head/kernel", "head/bias"}),
        (True, {"encoder/kernel", "encoder/bias", "head/kernel", "head/bias"}),
    ],
)
def test_a_rule_fits_the_leaves_that_it_selects(where, chosen):
    found = group_of_each(gc.groups([(where, gc.sgd(2.0))], default=gc.sgd(1.0)))
    assert found == {path: -2.0 if path in chosen else -1.0 for path, _ in named_leaves(PARAMS)}


def test_the_first_rule_that_fits_is_taken():
    rules = [
        ("encoder/bias", gc.sgd(1.0)),
        ("encoder/*", gc.sgd(2.0)),
        ("*bias", gc.sgd(3.0)),
        ("*", gc.sgd(4.0)),
    ]
    expected = {
        "encoder/bias": -1.0,
        "encoder/kernel": -2.0,
        "head/bias": -3.0,
        "head/kernel": -4.0,
    }
    assert group_of_each(gc.groups(rules)) == expected


def test_rules_may_be_tuples_and_members_foreign_pairs():
    pair = (lambda params: {}, lambda g, s, p=None: (jax.tree.map(lambda x: 5.0 * x, g), s))
    tx = gc.groups((("*bias", pair), ["*", gc.sgd(1.0)]))
    assert set(group_of_each(tx).values()) == {5.0, -1.0}


def test_a_group_has_a_state_of_its_own_under_the_name_of_its_member():
    rules = [
        ("encoder/*", gc.freeze()),
        ("*bias", {"weight_decay": 0.0}),
        ("head/*", gc.adam(0.1).named("head")),
    ]
    tx = gc.groups(rules, default=gc.adamw(0.1))
    state = tx.init(PARAMS)["groups"]
    own = lambda name: {
        path for path, x in named_leaves(state[name]["scale_by_adam"]["mu"]) if x is not None
    }
    assert list(state) == ["adamw_2", "head", "adamw"]
    assert (own("adamw_2"), own("head"), own("adamw")) == ({"head/bias"}, {"head/kernel"}, set())


def test_a_leaf_without_a_rule_is_an_error_that_names_it():
    tx = gc.groups([("*bias", gc.sgd(1.0))])
    with pytest.raises(
        ValueError,
        match=r"no rule fits 'encoder/kernel', 'head/kernel'; add one, or a default=, such",
    ):
        tx.init(PARAMS)
    with pytest.raises(ValueError, match="no rule fits 'encoder/kernel'"):
        tx.update(ONES, {}, PARAMS)
    many = {f"layer_{i}": jnp.ones(1) for i in range(8)}
    with pytest.raises(ValueError, match="'layer_4' and 3 more; add one"):
        gc.groups([]).init(many)


def test_a_leaf_that_a_function_gives_no_label_is_an_error():
    with pytest.raises(
        ValueError, match="'encoder/bias' has the label None, but transforms has only 'matrices'"
    ):
        gc.partition(
            {"matrices": gc.sgd(0.1)}, lambda path, x: "matrices" if x.ndim > 1 else None
        ).init(PARAMS)


@pytest.mark.parametrize("transforms", [[gc.sgd(0.1)], {1: gc.sgd(0.1)}], ids=repr)
def test_transforms_are_a_dict_by_label(transforms):
    with pytest.raises(
        TypeError, match=r"partition: transforms(: each key must be text| are a dict)"
    ):
        gc.partition(transforms, 1).init(PARAMS)


def test_a_function_may_choose_by_what_it_returns():
    """As ``re.search`` does, whose ``None`` is no hole: the leaf goes with the others."""
    tx = gc.masked(gc.sgd(1.0), lambda path, x: re.search("bias", path), gc.freeze())
    assert group_of_each(tx) == group_of_each(gc.masked(gc.sgd(1.0), "*bias", gc.freeze()))
    assert tx.frozen(PARAMS) == jax.tree.map(lambda is_bias: not is_bias, IS_BIAS)


@pytest.mark.parametrize(
    "where",
    [("encoder/*", "*bias"), ["*bias"], {"*bias"}, lambda path, x: "*bias"],
    ids=lambda x: type(x).__name__,
)
def test_globs_are_given_one_at_a_time(where):
    with pytest.raises(TypeError, match=r"takes one glob|globs on paths are given one at a time"):
        gc.freeze(where).init(PARAMS)


def test_the_state_of_a_group_that_is_not_there_is_an_error():
    two, one = (
        gc.groups(rules, default=gc.adam(0.1)) for rules in ([("*bias", gc.adam(0.1))], [])
    )
    with pytest.raises(
        ValueError, match="the state of 'groups' has 'adam', 'adam_2', but its members are 'adam'"
    ):
        one.update(PARAMS, two.init(PARAMS), PARAMS)


def test_holes_need_no_rule():
    params = {"a": jnp.ones(2), "hole": None}
    tx = gc.groups([("a", gc.adam(0.1))])
    updates, state = tx.update(params, tx.init(params), params)
    assert updates["hole"] is None
    assert state["groups"]["adam"]["scale_by_adam"]["mu"]["hole"] is None


@pytest.mark.parametrize("tree", [{}, (), None, {"hole": None}])
def test_no_leaves_need_no_rule(tree):
    tx = gc.groups([])
    assert tx.init(tree) == {}
    assert tx.update(tree, {}, tree) == (tree, {})


@pytest.mark.parametrize(
    ("rules", "default", "message"),
    [
        (
            [("*", {"learning_rate": 1.0})],
            None,
            "changes the default, but there is none; give default=",
        ),
        (
            [("*", {"learning_rat": 1.0})],
            gc.sgd(0.1),
            r"in the rule \('\*', {'learning_rat': 1.0}\).*'learning_rat'",
        ),
        (
            [("*", gc.sgd(0.1), 3)],
            None,
            r"a rule is a pair \(where, transformation or dict of changes\), not \('\*'",
        ),
        (["*"], gc.sgd(0.1), "a rule is a pair .*not '\\*'"),
        ({"*": gc.sgd(0.1)}, None, "a rule is a pair"),
        ([("*", 3)], None, r"the second of the rule \('\*', 3\) must be a transformation"),
        ([("*", None)], None, "the second of the rule .* must be a transformation"),
        ([(3, gc.sgd(0.1))], gc.sgd(0.1), "3 does not choose leaves"),
        (
            [({"encoder": "*bias", "head": False}, gc.sgd(0.1))],
            gc.sgd(0.1),
            "a tree of bools holds '\\*bias'",
        ),
        ([("*", gc.linear_schedule(1.0, 0.0, 5))], None, r"scale_by_learning_rate\(schedule\)"),
    ],
)
def test_rules_that_are_none(rules, default, message):
    with pytest.raises(TypeError, match=message):
        gc.groups(rules, default).init(PARAMS)


def test_a_tree_of_bools_that_does_not_fit_is_an_error():
    with pytest.raises(ValueError, match="the tree of bools does not fit the tree of parameters"):
        gc.groups([({"encoder": True}, gc.freeze())], default=gc.sgd(0.1)).init(PARAMS)


# ---------------------------------------------------------------------------------------- overrides


def test_overrides_change_the_default_and_leave_the_rest():
    default = gc.chain(
        gc.scale_by_adam(b1=0.8), gc.add_decayed_weights(0.1), gc.scale_by_learning_rate(0.2)
    )
    tx = gc.groups([("*bias", {"weight_decay": 0.0, "learning_rate": 0.4})], default=default)
    alike = gc.groups(
        [("*bias", default.replace(weight_decay=0.0, learning_rate=0.4))], default=default
    )
    assert_identical(update(tx), update(alike))


def test_an_override_replaces_a_member_by_its_name():
    default = gc.chain(gc.clip(1.0), gc.sgd(0.1))
    tx = gc.groups([("*bias", {"clip": gc.clip(0.5)})], default=default)
    assert set(group_of_each(tx).values()) == {-0.05, -0.1}


def test_overrides_are_scheduled():
    tx = gc.groups(
        [("*bias", {"learning_rate": gc.linear_schedule(1.0, 0.0, 4)})], default=gc.sgd(2.0)
    )
    state, rates = tx.init(PARAMS), []
    for _ in range(3):
        updates, state = tx.update(ONES, state, PARAMS)
        rates.append(
            (-float(updates["head"]["bias"][0]), -float(updates["head"]["kernel"][0, 0]))
        )
    assert rates == [(1.0, 2.0), (0.75, 2.0), (0.5, 2.0)]


def test_overrides_are_hyperparameters():
    tx = gc.groups([("*bias", {"learning_rate": 0.5})], default=gc.sgd(2.0))
    assert sorted(jax.tree.leaves(tx)) == [0.5, 2.0]
    traces = []

    @jax.jit
    def total(tx):
        traces.append(tx)
        return sum(map(jnp.sum, jax.tree.leaves(update(tx))))

    assert float(total(tx)) == -(8 * 2.0 + 4 * 0.5)
    assert float(total(jax.tree.map(lambda x: 2 * x, tx))) == -2 * (8 * 2.0 + 4 * 0.5)
    assert len(traces) == 1
    slope = jax.grad(
        lambda rate: total(gc.groups([("*bias", {"learning_rate": rate})], default=gc.sgd(2.0)))
    )
    assert float(slope(0.5)) == -4.0


def test_replace_reaches_the_default_and_so_all_overrides_of_it():
    tx = gc.groups([("*bias", {"weight_decay": 0.0})], default=gc.adamw(0.1))
    assert tx.replace(learning_rate=0.2) == gc.groups(
        [("*bias", {"weight_decay": 0.0})], default=gc.adamw(0.2)
    )


@pytest.mark.parametrize(
    "tx",
    [
        gc.groups([]),
        gc.groups(
            [("encoder/*", gc.freeze()), ("*bias", {"weight_decay": 0.0})], default=gc.adamw(1e-3)
        ),
        gc.groups(
            [(re.compile("bias$", re.IGNORECASE), {"learning_rate": 0.1})], default=gc.sgd(1.0)
        ),
        gc.groups(
            [(gc.ndim_at_least(2), {"learning_rate": gc.linear_schedule(0.1, 0.0, 9)})],
            default=gc.sgd(1.0),
        ),
        gc.groups([(IS_BIAS, gc.freeze("*x"))], default=gc.sgd(1.0)).named("mine"),
        gc.chain(
            gc.clip_by_global_norm(1.0), gc.groups((("*bias", gc.freeze()),), default=gc.sgd(1.0))
        ),
        gc.freeze(re.compile("^embed")),
    ],
)
def test_it_prints_and_goes_through_json(tx):
    assert eval(repr(tx), vars(gc) | {"re": re}) == tx
    assert eval(str(tx), vars(gc) | {"re": re}) == tx
    config = json.loads(json.dumps(gc.to_config(tx), allow_nan=False))
    assert gc.from_config(config) == tx
    assert hash(gc.from_config(config)) == hash(tx)


# -------------------------------------------------------------------------------------- random ones


@jax.disable_jit()
@few
@given(
    st.lists(
        st.sampled_from([row for row in FOR_ANY_TREE if not row.make().name]),
        min_size=1,
        max_size=3,
    ),
    trees,
    st.data(),
)
def test_each_group_is_as_if_it_were_alone(rows, params, data):
    masks = [random_mask(data, params) for _ in rows[1:]]
    members, grads = [row.make() for row in rows], other_like(params)
    extra = {k: v for row in rows for k, v in row.extra.items()}
    named = [member.named(f"group_{i}") for i, member in enumerate(members)]
    tx = gc.groups(list(zip(masks, named[1:], strict=True)), default=named[0])
    state = tx.init(params)
    made, new = tx.update(grads, state, params, **extra)
    assert_same_type(made, grads)
    assert_same_type(new, state)
    left = jax.tree.map(lambda x: True, params)
    for i, mask in [*enumerate(masks, start=1), (0, left)]:
        chosen = jax.tree.map(lambda free, fits: free and fits, left, mask)
        left = jax.tree.map(lambda free, fits: free and not fits, left, mask)
        p, member = own_leaves(chosen, params), members[i]
        own = {k: v for k, v in extra.items() if k in member.extras or "*" in member.extras}
        expected, expected_state = member.update(
            own_leaves(chosen, grads), member.init(p), p, **own
        )
        assert_identical(own_leaves(chosen, made), expected)
        assert_identical(new.get("groups", {}).get(f"group_{i}", {}), expected_state)


def test_five_paths_without_a_rule_are_named_all_and_of_six_one_is_counted():
    tx = gc.groups([("other", gc.sgd(0.1))])
    of = lambda names: {name: jnp.ones(1) for name in names}
    with pytest.raises(ValueError, match="no rule fits 'a', 'b', 'c', 'd', 'e'; add one"):
        tx.init(of("abcde"))
    with pytest.raises(
        ValueError, match="no rule fits 'a', 'b', 'c', 'd', 'e' and 1 more; add one"
    ):
        tx.init(of("abcdef"))
