"""Every member of a transformation is found, however deep, beside its part of the state."""

import jax
import jax.numpy as jnp
import optax
import pytest

import gradchain as gc
from gradchain.walk import walk

PARAMS = {"dense": {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)}, "head": {"kernel": jnp.ones((2, 1))}}
RATE = gc.linear_schedule(1.0, 0.0, 10)


def names(tx):
    return [part.name for part in walk(tx)]


@pytest.mark.parametrize(
    ("tx", "expected"),
    [
        (gc.adam(0.1), ["scale_by_adam", "scale_by_learning_rate"]),
        (gc.chain(gc.clip(1.0), gc.clip(2.0).named("tight"), gc.clip(3.0)), ["clip", "tight", "clip_2"]),
        (gc.chain(gc.sgd(0.1).named("all"), gc.clip(1.0)), ["all", "all/scale_by_learning_rate", "clip"]),
        (gc.chain(), []),
        (optax.sgd(0.1), None),
    ],
)
def test_members_of_a_chain(tx, expected):
    tx = gc.chain(tx)
    assert names(tx) == (list(tx.stages) if expected is None else expected)


def test_members_of_wrappers_and_groups():
    inner = gc.groups([("head/*", gc.freeze()), ("*bias", {"learning_rate": 0.1})], default=gc.sgd(0.2))
    assert names(gc.accumulate(gc.chain(gc.clip(1.0), inner), every=2)) == [
        "accumulate",
        "accumulate/inner/clip",
        "accumulate/inner/groups",
        "accumulate/inner/groups/freeze/freeze",
        "accumulate/inner/groups/sgd_2/scale_by_learning_rate",
        "accumulate/inner/groups/sgd/scale_by_learning_rate",
    ]


@pytest.mark.parametrize(
    "tx",
    [
        gc.chain(gc.clip(1.0), gc.adamw(RATE)),
        gc.accumulate(gc.lookahead(gc.adam(RATE)), every=2),
        gc.partition(
            {"a": gc.adam(RATE), "b": gc.sgd(0.1, momentum=0.9).named("slow")}, lambda path, x: "ab"[x.ndim > 1]
        ),
        gc.groups([("head/*", gc.freeze())], default=gc.chain(gc.adam(RATE)).named("rest")),
        gc.masked(gc.scale_by_adam(), "*kernel"),
        gc.graft(gc.sgd(0.1), gc.adam(0.1)),
    ],
    ids=lambda tx: tx.factory.name,
)
def test_each_entry_is_what_stands_under_its_path(tx):
    state = tx.init(PARAMS)
    for part in walk(tx, state):
        entry = state
        for name in part.path:
            entry = entry.get(name, {})
        assert entry is part.entry or entry == part.entry == {}, part.name
        if part.stage.body.slot_names is not None:
            assert set(part.entry) - {"count"} == part.stage.body.slot_names - {"count"}, part.name


def test_no_slot_stands_outside():
    """What walk finds and the names of members are all that a state holds."""
    tx = gc.accumulate(gc.groups([("*bias", gc.adam(0.1))], default=gc.lookahead(gc.adamw(RATE))), every=2)
    state = tx.init(PARAMS)
    slots = [part.entry[name] for part in walk(tx, state) for name in part.entry if name not in part.stage.body.members]
    assert len(jax.tree.leaves(slots)) == len(jax.tree.leaves(state))


def test_schedules_are_evaluated_at_the_clock_of_their_member():
    tx = gc.accumulate(gc.sgd(RATE), every=2)
    state, params = tx.init(PARAMS), PARAMS
    for _ in range(4):
        params, state = tx.step(PARAMS, state, params)
    numbers = {part.name: part.stage.numbers for part in walk(tx, state)}
    assert float(numbers["accumulate/inner/scale_by_learning_rate"]["learning_rate"]) == pytest.approx(0.8)


def test_it_works_under_a_trace():
    tx = gc.adam(RATE)
    read = lambda state: [p.stage.numbers["learning_rate"] for p in walk(tx, state) if "scale_by_lea" in p.name]
    assert float(jax.jit(read)(tx.init(PARAMS))[0]) == 1.0


def test_the_shapes_of_a_state_will_do():
    tx = gc.adam(RATE)
    parts = list(walk(tx, jax.eval_shape(tx.init, PARAMS)))
    assert [part.stage.numbers.get("learning_rate") for part in parts] == [None, 1.0]
    assert parts[0].entry["mu"]["head"]["kernel"].shape == (2, 1)
