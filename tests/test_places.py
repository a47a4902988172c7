"""Members know what comes before them and which leaves reach them."""

import jax.numpy as jnp
import optax
import pytest

import gradchain as gc
from gradchain.paths import named_leaves
from gradchain.places import places
from gradchain.walk import walk

PARAMS = {"body": {"bias": jnp.ones(2), "kernel": jnp.ones((2, 2))}, "head": {"kernel": jnp.ones((2, 1))}}


def by_name(tx, params=None):
    return {place.name: place for place in places(tx, params)}


def reached(place):
    return [path for path, x in named_leaves(place.params) if x is not None]


@gc.recipe
def clipped_adam(learning_rate: gc.Hyper):
    return gc.chain(gc.clip(1.0), gc.adam(learning_rate))


@pytest.mark.parametrize(
    "tx",
    [
        gc.chain(gc.clip(1.0), gc.adamw(0.1).named("all"), gc.chain()),
        gc.accumulate(gc.groups([("head/*", gc.freeze())], default=gc.lookahead(gc.adam(0.1))), every=2),
        gc.masked(gc.scale_by_adam(), "*kernel"),
        gc.chain(optax.sgd(0.1), gc.graft(gc.sgd(0.1), gc.adam(0.1))),
    ],
    ids=lambda tx: tx.factory.name,
)
def test_they_are_the_members_that_walk_finds(tx):
    state = tx.init(PARAMS)
    found, walked = places(tx, PARAMS, state), list(walk(tx, state))
    assert [(p.path, p.entry) for p in found] == [(p.path, p.entry) for p in walked]


def test_what_comes_before_what():
    inner = gc.graft(magnitude=gc.chain(gc.clip(1.0), gc.scale(2.0)), direction=gc.scale_by_sign())
    at = by_name(gc.chain(gc.centralize(), gc.accumulate(inner, 2), gc.sgd(0.1)))
    clip, scale, sign = (
        at[f"accumulate/inner/graft/{x}"] for x in ("magnitude/clip", "magnitude/scale", "direction/scale_by_sign")
    )
    assert clip.precedes(scale) and not scale.precedes(clip)
    assert not clip.precedes(sign) and not sign.precedes(clip), "they stand side by side"
    assert not at["accumulate"].precedes(clip) and not clip.precedes(at["accumulate"]), "one is inside the other"
    for place in (clip, sign, at["accumulate"]):
        assert at["centralize"].precedes(place) and place.precedes(at["scale_by_learning_rate"])


def test_groups_in_a_row_meet_where_a_leaf_goes_through_both():
    first, second = gc.masked(gc.clip(1.0), "*kernel"), gc.masked(gc.scale(2.0), "*bias")
    tx = gc.chain(first, second, gc.scale(3.0))
    names = ("masked/inner/clip", "masked_2/inner/scale", "scale")
    for params in (None, PARAMS):
        clip, scale, last = (by_name(tx, params)[name] for name in names)
        assert not clip.precedes(scale)  # not known, or known not to
        assert clip.precedes(last) and scale.precedes(last)
    kernels = by_name(gc.chain(first, gc.masked(gc.scale(2.0), "body/*")), PARAMS)
    assert kernels["masked/inner/clip"].precedes(kernels["masked_2/inner/scale"])


def test_which_leaves_reach_a_member():
    rules = [("*bias", {"learning_rate": 0.2})]
    at = by_name(gc.chain(gc.clip(1.0), gc.groups(rules, default=gc.sgd(0.1)), gc.freeze("head/*")), PARAMS)
    assert reached(at["clip"]) == ["body/bias", "body/kernel"]
    assert reached(at["freeze"]) == ["body/bias", "body/kernel", "head/kernel"]
    assert reached(at["groups/sgd/scale_by_learning_rate"]) == ["body/kernel"]
    assert reached(at["groups/sgd_2/scale_by_learning_rate"]) == ["body/bias"]


def test_members_of_one_recipe_of_the_library_are_known_by_it():
    at = by_name(gc.chain(gc.clip(1.0), gc.adamw(0.1), gc.adamp(0.1), clipped_adam(0.1)))
    recipe = {name: place.recipe for name, place in at.items()}
    assert recipe["clip"] is recipe["clip_2"] is None
    assert recipe["scale_by_adam"] == recipe["scale_by_learning_rate"] is not None
    assert recipe["remove_radial/inner/scale_by_adam"] == recipe["scale_by_learning_rate_2"] is not None
    assert (
        len({recipe["scale_by_learning_rate"], recipe["scale_by_learning_rate_2"], recipe["scale_by_learning_rate_3"]})
        == 3
    )


def test_what_update_must_be_given():
    at = by_name(gc.chain(gc.accumulate(gc.momo(), 2), gc.noisy_sgd(0.1), gc.sam(gc.sgd(0.1)), optax.sgd(0.1)))
    assert at["accumulate/inner/scale_by_momo"].needs == {"params", "value"}
    assert (at["add_noise"].needs, at["add_noise"].takes) == (set(), {"key"})
    assert at["sam"].needs == {"params", "value_fn"}
    (foreign,) = (place for place in at.values() if place.call.is_pair)
    assert (foreign.needs, foreign.takes) == (set(), {"*"})
