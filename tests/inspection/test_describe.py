"""What ``describe`` says is what ``init`` makes, from shapes alone."""

import dataclasses
import json
import re

import jax
import jax.numpy as jnp
import optax
import pytest
from hypothesis import given, settings

import gradchain as gc
from gradchain.inspection.text import short
from gradchain.tree.paths import named_leaves
from tests.laws.table import ROWS
from tests.support.random_trees import trees

PARAMS = {
    "body": {"bias": jnp.ones(4), "kernel": jnp.ones((3, 4))},
    "head": {"kernel": jnp.ones((4, 1))},
    "hole": None,
}
RULES = [("body/bias", gc.freeze()), ("body/*", {"learning_rate": 0.1})]


def size(tree):
    return sum(x.nbytes for x in jax.tree.leaves(tree))


def shapes(tree):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


@pytest.mark.rotated(4)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_bytes_are_those_of_the_state(row):
    tx = row.make()
    params = {
        "dense": {"bias": jnp.ones(4, jnp.bfloat16), "kernel": jnp.ones((3, 4))},
        "scale": jnp.ones((2, 2)),
    }
    try:
        state = tx.init(params)
    except ValueError:
        pytest.skip("it does not take these parameters")
    found = gc.describe(tx, params)
    assert found.total_bytes == size(state)
    assert found == gc.describe(tx, shapes(params))
    assert str(found).count("\n") > len(found.members)


@given(trees)
@settings(max_examples=30, deadline=None)
def test_bytes_of_any_tree(tree):
    tx = gc.chain(
        gc.clip_by_global_norm(1.0), gc.accumulate(gc.adamw(0.1, where=gc.ndim_at_least(2)), 2)
    )
    found = gc.describe(tx, tree)
    assert found.total_bytes == size(tx.init(tree))
    assert (found.leaves, found.parameters) == (
        len(jax.tree.leaves(tree)),
        sum(map(jnp.size, jax.tree.leaves(tree))),
    )
    assert found.parameter_bytes == size(jax.tree.map(jnp.asarray, tree))
    assert len(found.groups) == found.leaves


def test_seventy_billion_parameters_are_described_without_one_array():
    block = {"attention": (8192, 4 * 8192), "mlp": (8192, 3 * 28672), "norm": (2, 8192)}
    params = {
        "embed": jax.ShapeDtypeStruct((128256, 8192), jnp.bfloat16),
        **{
            f"layers_{i}": {k: jax.ShapeDtypeStruct(v, jnp.bfloat16) for k, v in block.items()}
            for i in range(72)
        },
    }
    tx = gc.chain(
        gc.clip_by_global_norm(1.0),
        gc.groups([("*norm", {"weight_decay": 0.0})], default=gc.adamw(1e-3)),
    )
    before = jax.live_arrays()  # held, so that none of these ids is given to another
    found = gc.describe(tx, params)
    assert {id(x) for x in jax.live_arrays()} <= {id(x) for x in before}
    assert found.parameters > 70e9
    assert found.parameter_bytes == 2 * found.parameters
    assert (
        found.total_bytes == 2 * 4 * found.parameters + 4 * 4
    )  # two moments in float32, two clocks in two groups
    assert re.search(r"^state: 5\d\d\.\d GiB, 4\.00 times the parameters$", str(found), re.M)


def test_members_however_deep():
    found = gc.describe(
        gc.chain(gc.clip(1.0), gc.accumulate(gc.lookahead(gc.adam(0.1)), 2)), PARAMS
    )
    assert [(s.name, s.depth) for s in found.members] == [
        ("clip", 0),
        ("accumulate", 0),
        ("accumulate/inner/lookahead", 1),
        ("accumulate/inner/lookahead/inner/scale_by_adam", 2),
        ("accumulate/inner/lookahead/inner/scale_by_learning_rate", 2),
    ]
    lookahead = found.members[2]
    assert lookahead.hyperparameters == {
        "sync_period": "5",
        "slow_step_size": "0.5",
        "reset_state": "False",
        "momentum": "None",
        "nesterov": "False",
    }
    assert [(s.name, s.relation) for s in lookahead.slots] == [
        ("count", "counter"),
        ("slow_params", "like_param, a copy"),
    ]
    assert "\n    inner/scale_by_adam " in str(found)


def test_slots_say_how_they_relate_to_a_parameter():
    params = {"w": jax.ShapeDtypeStruct((256, 512), jnp.bfloat16)}
    slots = {
        s.name: s for stage in gc.describe(gc.adafactor(0.1), params).members for s in stage.slots
    }
    assert slots["v_row"].relation.startswith("drop") and slots["v_row"].dtypes == ("float32",)
    assert {slots["v_row"].bytes, slots["v_col"].bytes} == {4 * 256, 4 * 512}
    mechanic = gc.describe(gc.mechanize(gc.sgd(0.1)), params).members[0]
    assert [s.relation for s in mechanic.slots if s.name == "r"] == ["scalar(6)"]


def test_a_schedule_prints_as_itself_and_long_values_are_cut():
    (stage,) = gc.describe(gc.sgd(gc.linear_schedule(0.0, 1.0, 10)), PARAMS).members
    assert stage.hyperparameters["learning_rate"].startswith(
        "linear_schedule(init_value=0.0, end_value=1.0, trans"
    )
    assert short("a" * 100) == "'" + "a" * 56 + "..."
    assert (
        short(lambda x: x, 100)
        == "test_a_schedule_prints_as_itself_and_long_values_are_cut.<lambda>"
    )
    assert short([optax.sgd(0.1)]).count(" at 0x") == 0


def test_groups_are_resolved():
    found = gc.describe(gc.groups(RULES, default=gc.sgd(1.0)), PARAMS)
    assert found.groups == {"body/bias": "frozen", "body/kernel": "sgd_2", "head/kernel": "sgd"}
    assert [(c.name, c.rule, c.leaves, c.parameters) for c in found.choices] == [
        ("freeze (frozen)", "'body/bias'", ("body/bias",), 4),
        ("sgd_2", "'body/*'", ("body/kernel",), 12),
        ("sgd", "default", ("head/kernel",), 4),
    ]
    assert re.search(r"^groups +sgd_2 +'body/\*' +1 +12 +body/kernel$", str(found), re.M)


def test_every_kind_of_choice_is_resolved():
    tx = gc.chain(
        gc.freeze("head/*"),
        gc.partition(
            {"a": gc.masked(gc.clip(1.0), "*kernel"), "b": gc.clip(2.0)},
            lambda path, x: "ab"[x.ndim == 1],
        ),
        gc.adamw(0.1, where=gc.ndim_at_least(2)),
        gc.masked(gc.scale(2.0), "*bias", gc.scale(3.0)),
    )
    found = gc.describe(tx, PARAMS)
    assert found.groups == {
        "body/bias": "b, inner",
        "body/kernel": "a/inner, others",
        "head/kernel": "frozen",
    }
    rows = {(c.member, c.name): (c.rule, c.leaves) for c in found.choices}
    assert rows["freeze", "frozen"] == ("'head/*'", ("head/kernel",))
    assert rows["add_decayed_weights", "chosen"] == ("ndim_at_least(ndim=2)", ("body/kernel",))
    assert rows["partition/a/masked", "inner"] == ("'*kernel'", ("body/kernel",))
    assert rows["masked", "others"] == ("the others", ("body/kernel",))


def test_without_groups_all_leaves_are_in_one():
    assert set(gc.describe(gc.sgd(0.1), PARAMS).groups.values()) == {"all"}


def test_many_leaves_are_shown_by_example():
    params = {f"layer_{i}": jnp.ones(1) for i in range(10)}
    text = str(gc.describe(gc.groups([("layer_0", gc.freeze())], default=gc.sgd(0.1)), params))
    assert "layer_1, layer_2, ... 7 more" in text


def test_a_foreign_pair_is_measured_by_its_init():
    for tx in (optax.adam(0.1), gc.chain(optax.adam(0.1), gc.clip(1.0))):
        found = gc.describe(tx, PARAMS)
        assert found.total_bytes == size(
            optax.adam(0.1).init({k: v for k, v in PARAMS.items() if v is not None})
        )
        assert found.members[0].slots[0].dtypes == ("int32", "float32")
        assert found.takes == ("*",) and "passes any extra argument on" in str(found)


def test_what_update_must_be_given():
    found = gc.describe(gc.chain(gc.momo(), gc.add_noise()), PARAMS)
    assert (found.needs, found.takes) == (("params", "value"), ("key",))
    assert str(found).endswith("update needs: params, value=...\nupdate also uses: key=...")


def test_it_is_plain_data():
    found = gc.describe(gc.groups(RULES, default=gc.adamw(1.0)), PARAMS)
    assert json.loads(json.dumps(dataclasses.asdict(found)))["groups"] == found.groups
    assert found.bytes["groups/adamw/scale_by_adam"] == 4 + 2 * 16
    assert repr(found) == str(found)


def test_no_parameters_and_no_members():
    assert gc.describe(gc.adam(0.1), {}).total_bytes == 8
    found = gc.describe(gc.chain(), PARAMS)
    assert (found.members, found.total_bytes) == ((), 0)
    assert "state: 0 B, 0.00 times the parameters" in str(found)


def test_what_does_not_fit_is_an_error():
    with pytest.raises(ValueError, match="no rule fits 'head/kernel'"):
        gc.describe(gc.groups([("body/*", gc.sgd(0.1))]), PARAMS)
    with pytest.raises(TypeError, match="'steps' has dtype int32"):
        gc.describe(gc.adam(0.1), {"steps": jnp.ones(2, jnp.int32)})
    with pytest.raises(TypeError, match="describe: tx must be a transformation"):
        gc.describe("adam", PARAMS)


@pytest.mark.parametrize(
    "tx",
    [
        gc.apply_when(lambda step: step < 3, gc.freeze("head/*")),
        gc.apply_when(lambda step: step < 3, gc.sgd(0.1)),  # which freezes all at the others
        gc.switch(gc.chain(gc.freeze("head/*"), gc.sgd(0.1)), at=2, then=gc.sgd(0.1)),
        gc.parallel(gc.freeze("head/*"), gc.sgd(0.1)),
        gc.apply_when(
            lambda step: step < 3, gc.groups([("head/*", gc.freeze())], default=gc.sgd(0.1))
        ),
        gc.chain(gc.freeze("head/*"), gc.freeze("*kernel"), gc.sgd(0.1)),
        gc.groups([("head/*", gc.freeze())], default=gc.chain(gc.freeze("*bias"), gc.sgd(0.1))),
    ],
    ids=lambda tx: tx.factory.name,
)
def test_frozen_is_what_never_moves(tx):
    found = gc.describe(tx, PARAMS)
    frozen = {path for path, flag in named_leaves(tx.frozen(PARAMS)) if flag}
    assert {path for path, group in found.groups.items() if group == "frozen"} == frozen
    for choice in found.choices:
        assert frozen.issuperset(choice.leaves) or "frozen" not in choice.name


def test_it_says_how_leaves_are_seen_as_matrices():
    names = ("query", "key", "value")
    attention = {
        name: {"kernel": jnp.ones((8, 2, 4)), "bias": jnp.ones((2, 4))} for name in names
    }
    attention["out"] = {"kernel": jnp.ones((2, 4, 8)), "bias": jnp.ones(8)}
    params = {"attention": attention, "qkv": {"kernel": jnp.ones((8, 24))}}
    tx = gc.muon(1e-3, fold={"qkv/*": "d (3 n) -> 3 d n"})
    found = {fold.leaves: (fold.count, fold.matrix) for fold in gc.describe(tx, params).folds}
    assert found == {
        tuple(sorted(f"attention/{name}/kernel" for name in names)): (1, (8, 8)),
        ("attention/out/kernel",): (1, (8, 8)),
        ("qkv/kernel",): (3, (8, 8)),
    }
    text = " ".join(str(gc.describe(tx, params)).split())
    assert "[8, 24] 3 of 8 by 8 1 qkv/kernel" in text
    assert "[8, 2, 4] 1 of 8 by 8 3 attention/key/kernel" in text
    assert gc.describe(gc.soap(1e-3), params).folds == gc.describe(gc.muon(1e-3), params).folds
    assert "seen as" not in str(gc.describe(gc.adam(1e-3), params))


def test_it_says_the_shapes_of_slots_in_blocks():
    tx = gc.scale_by_shampoo(block_size=4)
    slots = gc.describe(tx, {"up": {"kernel": jnp.ones((8, 4))}}).members[0].slots
    assert {slot.name: slot.relation for slot in slots}["rows"] == "shaped [2, 4, 4]"
