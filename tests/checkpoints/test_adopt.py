"""A state carried over to an edited chain keeps what both have, and the report accounts for every
array.
"""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn, nnx
from hypothesis import HealthCheck, given, settings

import gradchain as gc
from gradchain.checkpoints.foreign import read
from gradchain.tree.paths import named_leaves
from tests.laws import samples
from tests.support.random_edits import (
    KINDS,
    RATE,
    SHAPES,
    build,
    chains_and_edits,
    everyone,
    may_have_been_renamed,
    slots,
)

PARAMS = {name: np.ones(shape, np.float32) for name, shape in SHAPES.items()}


def live(state):
    return {path: x for path, x in named_leaves(state) if x is not None}


def assert_accounts_for_all(report, old, new):
    """Each array of the new state, and each of the old one, is in just one list."""
    assert sorted(report.kept + report.new + report.reshaped) == sorted(live(new))
    used = {report.sources[path] for path in report.kept + report.reshaped}
    assert used.isdisjoint(report.dropped)
    assert sorted([*used, *report.dropped]) == sorted({leaf.path for leaf in read(old)})


def numbered(state):
    """The state with numbers that tell its arrays apart: each array of a leaf its own, a number
    that of its stage.
    """
    leaves, treedef = jax.tree.flatten(state)
    named = list(live(state))
    tags = {stage: 1000 + i for i, stage in enumerate(sorted({p.split("/")[-2] for p in named}))}
    own = lambda i, path: i + 1 if path.split("/")[-1] in SHAPES else tags[path.split("/")[-2]]
    return treedef.unflatten(
        [
            np.full(x.shape, own(i, p), x.dtype)
            for i, (p, x) in enumerate(zip(named, leaves, strict=True))
        ]
    )


# ------------------------------------------------------------------------------------- random edits


def check_edit(edits):
    before, after = edits
    old = numbered(build(before).init(PARAMS))
    tx = build(after)
    state, report = gc.adopt_state(tx, old, PARAMS)
    assert_accounts_for_all(report, old, state)
    assert not report.reshaped
    was, now = live(old), live(state)
    ends = lambda named, *end: [p for p in named if f"/{p}".endswith("/" + "/".join(end))]

    held, renamed = slots(before), may_have_been_renamed(before, after)
    new_name = {
        name: name
        for name in {m.name for m in everyone(before)} & {m.name for m in everyone(after)}
    } | renamed
    kept = set()
    for (name, slot), leaves in held.items():
        wanted = slots(after).get((new_name.get(name), slot), [])
        for leaf in {*leaves} & {*wanted}:
            (source,), (path,) = (
                ends(was, name, slot, leaf),
                ends(now, new_name[name], slot, leaf),
            )
            assert report.sources[path] == source
            np.testing.assert_array_equal(now[path], was[source])
            kept.add(path.removesuffix(f"/{slot}/{leaf}"))
    for m in everyone(after):
        _, _, per_leaf, numbers = KINDS[m.kind]
        for number in numbers:
            sources = [
                p
                for name, new in new_name.items()
                if new == m.name
                for p in ends(was, name, number)
            ]
            for path in ends(now, m.name, number):
                entry = path.removesuffix(f"/{number}")
                if sources and (entry in kept or not (per_leaf or m.name in renamed.values())):
                    assert path in report.kept
                    np.testing.assert_array_equal(now[path], was[sources[0]])
                own = {p for p in now for slot in per_leaf if p.startswith(f"{entry}/{slot}/")}
                if own and own <= set(report.new):  # no clock without the slots that it is for
                    assert path in report.new
    return report


few = settings(
    deadline=None, max_examples=100, derandomize=True, suppress_health_check=list(HealthCheck)
)

may_lose_all = pytest.mark.filterwarnings("ignore:adopt_state. nothing of the old state")


@may_lose_all
@few
@given(chains_and_edits())
def test_no_slot_is_lost_that_both_chains_have(edits):
    check_edit(edits)


@pytest.mark.slow
@may_lose_all
@settings(few, max_examples=10_000)
@given(chains_and_edits())
def test_no_slot_is_lost_in_10000_random_edits(edits):
    check_edit(edits)


# --------------------------------------------------------------------------------------- one by one


def adopted(after, before, **changes):
    """The report, after all rows of it were checked against the numbers in the old state."""
    old, params = numbered(before.init(PARAMS)), PARAMS | changes
    state, report = gc.adopt_state(after, old, params)
    samples.assert_same_type(state, after.init(params))
    assert_accounts_for_all(report, old, state)
    was, now = live(old), live(state)
    for path in report.kept:
        np.testing.assert_array_equal(now[path], was[report.sources[path]])
    return report


ADAM = {f"scale_by_adam/{slot}/{leaf}" for slot in ("mu", "nu") for leaf in SHAPES}
WRAPPED = {
    "accumulate": lambda tx: gc.accumulate(tx, every=2),
    "lookahead": gc.lookahead,
    "skip_nonfinite": gc.skip_nonfinite,
    "skip_spikes": gc.skip_spikes,
    "dynamic_loss_scale": gc.dynamic_loss_scale,
    "tunable": gc.tunable,
    "watch": gc.watch,
    "masked": lambda tx: gc.masked(tx, re.compile("."), gc.freeze()),
    "partition": lambda tx: gc.partition({"one": tx}, lambda path, x: "one"),
    "groups": lambda tx: gc.groups([("b", {"weight_decay": 0.0})], default=tx),
    "named": lambda tx: tx.named("mine"),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_wrap_and_unwrap(name):
    tx = gc.adamw(0.1)
    around = WRAPPED[name](tx)
    wrapped, unwrapped = adopted(around, tx), adopted(tx, around)
    assert set(wrapped.sources.values()) == ADAM | {
        "scale_by_adam/count",
        "scale_by_learning_rate/count",
    }
    assert set(unwrapped.kept) == ADAM | {"scale_by_adam/count", "scale_by_learning_rate/count"}
    assert not wrapped.dropped and not unwrapped.new


def test_what_only_has_the_name_of_a_stage_is_not_its_state():
    tx = gc.skip_nonfinite(gc.adam(0.1))
    old = tx.init(PARAMS) | {"log": {"skip_nonfinite": {"skipped": np.int32(7)}}}
    state, report = gc.adopt_state(gc.lookahead(tx), old, PARAMS)
    assert state["lookahead"]["inner"]["skip_nonfinite"]["skipped"] == 0
    assert report.dropped == ["log/skip_nonfinite/skipped"]


def test_no_edit_that_leaves_the_slots_as_they_are_changes_anything():
    before = gc.adamw(0.1)
    as_chain = gc.chain(
        gc.scale_by_adam(), gc.add_decayed_weights(0.1), gc.scale_by_learning_rate(0.1)
    )
    for after in (
        gc.adamw(RATE),
        gc.chain(gc.clip(1.0), before),
        as_chain,
        before.replace(b1=0.8),
    ):
        report = adopted(after, before)
        assert len(report.kept) == 8 and not report.new and not report.dropped
        assert all(path == source for path, source in report.sources.items())


def test_a_schedule_of_another_number_begins_at_its_first_step():
    assert adopted(gc.adamw(0.1, weight_decay=RATE), gc.adamw(0.1)).new == [
        "add_decayed_weights/count"
    ]


@may_lose_all
def test_another_transformation_is_no_renamed_one():
    """Though its slots have the same names: they do not mean the same."""
    report = adopted(gc.adabelief(0.1), gc.adam(0.1))
    assert report.kept == ["scale_by_learning_rate/count"]
    assert set(report.dropped) == ADAM | {"scale_by_adam/count"}
    named = adopted(gc.scale_by_belief().named("mine"), gc.scale_by_adam())
    assert not named.kept


def test_a_renamed_member_keeps_its_state():
    report = adopted(
        gc.chain(gc.scale_by_adam().named("mine"), gc.scale(0.1)), gc.scale_by_adam()
    )
    assert len(report.kept) == 7 and not report.new
    assert not adopted(gc.scale_by_adam().named("yours"), gc.scale_by_adam().named("mine")).new
    clock = adopted(
        gc.scale_by_learning_rate(RATE).named("mine"), gc.scale_by_learning_rate(RATE)
    )
    assert clock.kept == ["mine/count"]


@may_lose_all
def test_two_renamed_members_are_not_told_apart():
    before = gc.chain(gc.add_momentum(0.5).named("a"), gc.add_momentum(0.9).named("b"))
    after = gc.chain(gc.add_momentum(0.5).named("c"), gc.add_momentum(0.9).named("d"))
    report = adopted(after, before)
    assert len(report.new) == 6 and len(report.dropped) == 6
    assert "renamed? 'a/momentum/" in str(report)


def test_a_clock_goes_with_the_slots_of_its_stage():
    old = gc.adam(0.1).init(PARAMS)
    old["scale_by_adam"]["count"] = np.int32(5)
    twice = gc.chain(gc.masked(gc.scale_by_adam(), "w"), gc.adam(0.1))
    state, _ = gc.adopt_state(twice, old, PARAMS)
    assert state["scale_by_adam"]["count"] == 5
    assert (
        state["masked"]["inner"]["scale_by_adam"]["count"] == 0
    )  # its moments are zero: corrected as at the start


def test_groups_that_split_and_meet():
    whole, split = gc.adamw(0.1), gc.groups([("w", {"b1": 0.8})], default=gc.adamw(0.1))
    old = whole.init(PARAMS)
    old["scale_by_adam"]["count"] = old["scale_by_learning_rate"]["count"] = np.int32(5)
    state, report = gc.adopt_state(split, old, PARAMS)
    assert [int(x) for path, x in live(state).items() if path.endswith("count")] == [5] * 4
    assert not report.new and not report.dropped
    donated = jax.jit(lambda s: jax.tree.map(lambda x: x + x, s), donate_argnums=0)(
        state
    )  # no buffer is there twice
    state = jax.tree.map(lambda x: x // 2 if x.dtype == jnp.int32 else x, donated)
    back, report = gc.adopt_state(whole, state, PARAMS)
    assert back["scale_by_adam"]["count"] == 5 and not report.new
    assert {path.split("/")[-1] for path in report.dropped} == {
        "count"
    }  # of two clocks that show the same
    state["groups"]["adamw_2"]["scale_by_adam"]["count"] += 1
    message = (
        "'scale_by_adam/count' could come from 'groups/adamw.*/scale_by_adam/count = 5', .* = 6' "
        "alike"
    )
    with pytest.raises(ValueError, match=message):
        gc.adopt_state(whole, state, PARAMS)


def test_a_group_takes_the_clock_from_which_its_slots_come():
    """Not that of the group whose name it has now."""
    before = gc.partition(
        {"a": gc.adam(0.1), "b": gc.adam(0.1)}, lambda path, x: "a" if path == "w" else "b"
    )
    old = before.init(PARAMS)
    for label, count in (("a", 5), ("b", 7)):
        for stage in old["partition"][label].values():
            stage["count"] = np.int32(count)
    swapped = before.replace(param_labels=lambda path, x: "b" if path == "w" else "a")
    state, report = gc.adopt_state(swapped, old, PARAMS)
    assert not report.new and not report.dropped
    for label, count in (("a", 7), ("b", 5)):
        assert [stage["count"] for stage in state["partition"][label].values()] == [count] * 2


def test_ambiguity_is_an_error_that_names_both():
    one, two = (
        gc.scale_by_adam(),
        gc.chain(
            gc.chain(gc.scale_by_adam()).named("a"), gc.chain(gc.scale_by_adam()).named("b")
        ),
    )
    with pytest.raises(
        ValueError, match=r"'scale_by_adam/mu/b' could come from 'a/.*mu/b', 'b/.*mu/b' alike"
    ):
        gc.adopt_state(one, two.init(PARAMS), PARAMS)
    with pytest.raises(
        ValueError,
        match=r"'scale_by_adam/mu/b' of the old state could go to 'a/.*mu/b', 'b/.*mu/b' alike",
    ):
        gc.adopt_state(two, one.init(PARAMS), PARAMS)
    old = two.init(PARAMS)
    del old["a"]
    assert set(gc.adopt_state(one, old, PARAMS)[1].sources.values()) >= {"b/scale_by_adam/mu/b"}


def test_the_nearest_of_several_is_taken():
    inner = gc.chain(gc.masked(gc.scale_by_adam(), re.compile(".")), gc.scale_by_adam())
    report = adopted(gc.accumulate(inner, every=2), inner)
    assert not report.dropped
    assert report.sources["accumulate/inner/scale_by_adam/mu/w"] == "scale_by_adam/mu/w"
    assert (
        report.sources["accumulate/inner/masked/inner/scale_by_adam/mu/w"]
        == "masked/inner/scale_by_adam/mu/w"
    )


def test_another_shape_or_leaf_starts_new():
    tx = gc.scale_by_adam()
    report = adopted(tx, tx, w=np.ones((2, 4), np.float32), more=np.ones(2, np.float32))
    assert report.reshaped == ["scale_by_adam/mu/w", "scale_by_adam/nu/w"]
    assert report.new == ["scale_by_adam/mu/more", "scale_by_adam/nu/more"]
    assert "was float32[2,3]" in str(report)


def test_another_dtype_is_cast_and_noted():
    tx = gc.scale_by_adam()
    old = jax.tree.map(
        lambda x: np.asarray(x, np.float64) if x.ndim else x, numbered(tx.init(PARAMS))
    )
    state, report = gc.adopt_state(tx, old, PARAMS)
    assert {x.dtype for x in jax.tree.leaves(state["scale_by_adam"]["mu"])} == {
        jnp.dtype(jnp.float32)
    }
    assert "cast from float64" in str(report)
    of_complex, report = gc.adopt_state(tx, jax.tree.map(lambda x: x + 0j, old), PARAMS)
    assert not report.kept and "was complex128" in str(report)
    jax.tree.map(np.testing.assert_array_equal, of_complex, tx.init(PARAMS))


def test_the_report_prints_as_a_table():
    report = adopted(gc.chain(gc.add_momentum(), gc.scale_by_adam().named("mine")), gc.adam(0.1))
    assert str(report).splitlines() == [
        "status   slot                          arrays  was                  note",
        "new      add_momentum/momentum         3",
        "kept     mine/count                    1       scale_by_adam/count",
        "kept     mine/mu                       3       scale_by_adam/mu",
        "kept     mine/nu                       3       scale_by_adam/nu",
        "dropped  scale_by_learning_rate/count  1",
    ]


def test_a_new_state_has_the_sharding_of_init():
    mesh = jax.make_mesh((4,), ("x",))
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
    params = {"w": jax.device_put(np.ones((4, 2), np.float32), split)}
    tx = gc.scale_by_adam()
    old = jax.tree.map(np.asarray, tx.init(params))
    state, _ = gc.adopt_state(gc.chain(gc.clip(1.0), tx), old, params)
    for x, like in zip(jax.tree.leaves(state), jax.tree.leaves(tx.init(params)), strict=True):
        assert x.sharding == like.sharding


def test_shapes_alone_give_the_report():
    shapes = jax.eval_shape(lambda: PARAMS)
    tx = gc.adam(0.1)
    old = gc.chain(gc.clip(1.0), gc.scale_by_adam()).init(shapes)
    state, report = gc.adopt_state(tx, old, shapes)
    assert len(report.kept) == 7 and report.new == ["scale_by_learning_rate/count"]
    assert all(isinstance(x, jax.ShapeDtypeStruct) for x in jax.tree.leaves(state))


@pytest.mark.parametrize(
    "params", [np.ones((), np.float32), [np.ones(2, np.float32), (np.ones(3, np.float32),)]]
)
def test_other_trees_of_parameters(params):
    tx = gc.adam(0.1)
    state, report = gc.adopt_state(gc.lookahead(tx), tx.init(params), params)
    assert not report.dropped
    assert {path.split("/")[1] for path in report.new} == {"slow_params", "count"}
    _, report = gc.adopt_state(tx, state, params)
    assert not report.new


def test_a_wrapper_written_as_a_pair():
    """Its state is as it likes: what is in it is found by the paths of the parameters."""

    def twice(inner):
        def update(updates, state, params=None):
            updates, new = inner.update(updates, state["inner"], params)
            return updates, {"calls": state["calls"] + 1, "inner": new}

        return gc.GradientTransformation(
            lambda p: {"calls": jnp.zeros((), jnp.int32), "inner": inner.init(p)}, update
        )

    tx = gc.adam(0.1)
    report = adopted(twice(tx), tx)
    assert len(report.kept) == 8 and len(report.new) == 1 and not report.dropped
    assert len(adopted(tx, twice(tx)).kept) == 8


def test_of_two_that_share_as_many_names_the_one_with_fewer_others_is_taken():
    old = gc.lookahead(
        gc.chain(gc.masked(gc.scale_by_adam(), re.compile(".")), gc.scale_by_adam())
    )
    report = adopted(gc.accumulate(gc.scale_by_adam(), every=2), old)
    assert (
        report.sources["accumulate/inner/scale_by_adam/mu/w"]
        == "lookahead/inner/scale_by_adam/mu/w"
    )


def test_what_only_has_the_name_of_a_stage_is_no_rival_of_it():
    """Where no slots of leaves say from which chain a number comes."""
    tx = gc.skip_nonfinite(gc.sgd(0.1))
    old = tx.init(PARAMS) | {"log": {"skip_nonfinite": {"skipped": np.int32(7)}}}
    state, report = gc.adopt_state(
        gc.masked(tx, re.compile("."), others=gc.freeze()), old, PARAMS
    )
    assert state["masked"]["inner"]["skip_nonfinite"]["skipped"] == 0
    assert report.dropped == ["log/skip_nonfinite/skipped"]


@pytest.mark.parametrize(
    "box", [lambda x: nn.Partitioned(x, (None,) * x.ndim), nnx.Param], ids=["Linen", "NNX"]
)
def test_what_is_kept_of_boxed_parameters_is_in_the_state(box):
    params = {"w": box(jnp.ones(2)), "b": box(jnp.zeros(1))}
    tx = gc.adam(0.1)
    old = jax.tree.map(lambda x: x + 3, tx.init(params))
    state, report = gc.adopt_state(gc.chain(gc.clip(1.0), tx), old, params)
    assert not report.new and not report.dropped
    samples.assert_identical(jax.tree.leaves(state), jax.tree.leaves(old))
    assert jax.tree.structure(state) == jax.tree.structure(tx.init(params))
