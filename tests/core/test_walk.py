"""Every member of a transformation is found, however deep, beside its part of the state."""

import jax
import jax.numpy as jnp
import optax
import pytest

import gradchain as gc
from gradchain.core.walk import walk
from gradchain.tree.paths import named_leaves

PARAMS = {
    "dense": {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)},
    "head": {"kernel": jnp.ones((2, 1))},
}
RATE = gc.linear_schedule(1.0, 0.0, 10)


def names(tx):
    return [part.name for part in walk(tx)]


@pytest.mark.parametrize(
    ("tx", "expected"),
    [
        (gc.adam(0.1), ["scale_by_adam", "scale_by_learning_rate"]),
        (
            gc.chain(gc.clip(1.0), gc.clip(2.0).named("tight"), gc.clip(3.0)),
            ["clip", "tight", "clip_2"],
        ),
        (
            gc.chain(gc.sgd(0.1).named("all"), gc.clip(1.0)),
            ["all", "all/scale_by_learning_rate", "clip"],
        ),
        (gc.chain(), []),
        (optax.sgd(0.1), None),
    ],
)
def test_members_of_a_chain(tx, expected):
    tx = gc.chain(tx)
    assert names(tx) == (list(tx.members) if expected is None else expected)


def test_members_of_wrappers_and_groups():
    inner = gc.groups(
        [("head/*", gc.freeze()), ("*bias", {"learning_rate": 0.1})], default=gc.sgd(0.2)
    )
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
            {"a": gc.adam(RATE), "b": gc.sgd(0.1, momentum=0.9).named("slow")},
            lambda path, x: "ab"[x.ndim > 1],
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
            assert set(part.entry) - {"count"} == part.stage.body.slot_names - {"count"}, (
                part.name
            )


def test_no_slot_stands_outside():
    """What walk finds and the names of members are all that a state holds."""
    tx = gc.accumulate(
        gc.groups([("*bias", gc.adam(0.1))], default=gc.lookahead(gc.adamw(RATE))), every=2
    )
    state = tx.init(PARAMS)
    slots = [
        part.entry[name]
        for part in walk(tx, state)
        for name in part.entry
        if name not in part.stage.body.members
    ]
    assert len(jax.tree.leaves(slots)) == len(jax.tree.leaves(state))


def test_schedules_are_evaluated_at_the_clock_of_their_member():
    tx = gc.accumulate(gc.sgd(RATE), every=2)
    state, params = tx.init(PARAMS), PARAMS
    for _ in range(4):
        params, state = tx.step(PARAMS, state, params)
    numbers = {part.name: part.stage.numbers for part in walk(tx, state)}
    assert float(
        numbers["accumulate/inner/scale_by_learning_rate"]["learning_rate"]
    ) == pytest.approx(0.8)


def test_it_works_under_a_trace():
    tx = gc.adam(RATE)
    read = lambda state: [
        p.stage.numbers["learning_rate"] for p in walk(tx, state) if "scale_by_lea" in p.name
    ]
    assert float(jax.jit(read)(tx.init(PARAMS))[0]) == 1.0


def test_the_shapes_of_a_state_will_do():
    tx = gc.adam(RATE)
    parts = list(walk(tx, jax.eval_shape(tx.init, PARAMS)))
    assert [part.stage.numbers.get("learning_rate") for part in parts] == [None, 1.0]
    assert parts[0].entry["mu"]["head"]["kernel"].shape == (2, 1)


# --------------------------------------------------------------------------------- where they stand

TREE = {
    "body": {"bias": jnp.ones(2), "kernel": jnp.ones((2, 2))},
    "head": {"kernel": jnp.ones((2, 1))},
}


def by_name(tx, params=None):
    return {part.name: part for part in walk(tx, None, params)}


def reached(part):
    return [path for path, x in named_leaves(part.params) if x is not None]


@gc.recipe
def clipped_adam(learning_rate: gc.Hyper):
    return gc.chain(gc.clip(1.0), gc.adam(learning_rate))


def test_what_comes_before_what():
    inner = gc.graft(
        magnitude=gc.chain(gc.clip(1.0), gc.scale(2.0)), direction=gc.scale_by_sign()
    )
    at = by_name(gc.chain(gc.centralize(), gc.accumulate(inner, 2), gc.sgd(0.1)))
    clip, scale, sign = (
        at[f"accumulate/inner/graft/{x}"]
        for x in ("magnitude/clip", "magnitude/scale", "direction/scale_by_sign")
    )
    assert clip.precedes(scale) and not scale.precedes(clip)
    assert not clip.precedes(sign) and not sign.precedes(clip), "they stand side by side"
    assert not at["accumulate"].precedes(clip) and not clip.precedes(at["accumulate"]), (
        "one is inside the other"
    )
    for part in (clip, sign, at["accumulate"]):
        assert at["centralize"].precedes(part) and part.precedes(at["scale_by_learning_rate"])


def test_groups_in_a_row_meet_where_a_leaf_goes_through_both():
    first, second = gc.masked(gc.clip(1.0), "*kernel"), gc.masked(gc.scale(2.0), "*bias")
    tx = gc.chain(first, second, gc.scale(3.0))
    names = ("masked/inner/clip", "masked_2/inner/scale", "scale")
    for params in (None, TREE):
        clip, scale, last = (by_name(tx, params)[name] for name in names)
        assert not clip.precedes(scale)  # not known, or known not to
        assert clip.precedes(last) and scale.precedes(last)
    kernels = by_name(gc.chain(first, gc.masked(gc.scale(2.0), "body/*")), TREE)
    assert kernels["masked/inner/clip"].precedes(kernels["masked_2/inner/scale"])


def test_which_leaves_reach_a_member():
    rules = [("*bias", {"learning_rate": 0.2})]
    at = by_name(
        gc.chain(gc.clip(1.0), gc.groups(rules, default=gc.sgd(0.1)), gc.freeze("head/*")), TREE
    )
    assert reached(at["clip"]) == ["body/bias", "body/kernel"]
    assert reached(at["freeze"]) == ["body/bias", "body/kernel", "head/kernel"]
    assert reached(at["groups/sgd/scale_by_learning_rate"]) == ["body/kernel"]
    assert reached(at["groups/sgd_2/scale_by_learning_rate"]) == ["body/bias"]


def test_members_of_one_recipe_of_the_library_are_known_by_it():
    at = by_name(gc.chain(gc.clip(1.0), gc.adamw(0.1), gc.adamp(0.1), clipped_adam(0.1)))
    recipe = {name: part.recipe for name, part in at.items()}
    assert recipe["clip"] is recipe["clip_2"] is None
    assert recipe["scale_by_adam"] == recipe["scale_by_learning_rate"] is not None
    assert (
        recipe["remove_radial/inner/scale_by_adam"]
        == recipe["scale_by_learning_rate_2"]
        is not None
    )
    assert (
        len(
            {
                recipe["scale_by_learning_rate"],
                recipe["scale_by_learning_rate_2"],
                recipe["scale_by_learning_rate_3"],
            }
        )
        == 3
    )


def test_what_update_must_be_given():
    at = by_name(
        gc.chain(
            gc.accumulate(gc.momo(), 2), gc.noisy_sgd(0.1), gc.sam(gc.sgd(0.1)), optax.sgd(0.1)
        )
    )
    assert at["accumulate/inner/scale_by_momo"].needs == {"params", "value"}
    assert (at["add_noise"].needs, at["add_noise"].takes) == (set(), {"key"})
    assert at["sam"].needs == {"params", "value_fn"}
    (foreign,) = (part for part in at.values() if part.call.is_pair)
    assert (foreign.needs, foreign.takes) == (set(), {"*"})


def test_what_freezes_sees_all_leaves_and_others_see_the_rest():
    at = by_name(gc.chain(gc.freeze("head/*"), gc.freeze("*kernel"), gc.sgd(0.1)), TREE)
    assert (
        reached(at["freeze"])
        == reached(at["freeze_2"])
        == ["body/bias", "body/kernel", "head/kernel"]
    )
    assert reached(at["scale_by_learning_rate"]) == ["body/bias"]


def test_what_a_member_needs_is_not_among_what_it_takes():
    (part,) = walk(gc.scale_by_polyak())
    assert "value" in part.needs and not part.needs & part.takes


def test_what_a_guard_asks_of_the_library_is_no_extra_argument():
    (guard, *_) = walk(gc.skip_nonfinite(gc.adam(0.1)))
    assert guard.takes == {"value"} and guard.needs == set()
    assert gc.skip_nonfinite(gc.adam(0.1)).extras == {"value"}
