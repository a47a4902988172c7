"""Frozen leaves: no state, no update, and no part in anything."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

import gradchain as gc
from gradchain.tree.paths import named_leaves
from tests.laws.samples import assert_close, assert_identical, assert_same_type
from tests.laws.table import FOR_ANY_TREE
from tests.support.random_trees import few, other_like, own_leaves, random_mask, trees

pytestmark = pytest.mark.rotated(3)  # they take long

LAYER = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
PARAMS = {"encoder": LAYER, "head": LAYER}

HUGE = jax.tree.map(lambda x: 100.0 * x, LAYER)
GRADS = {
    "encoder": HUGE,
    "head": {"kernel": jnp.full((2, 2), 3.0), "bias": jnp.array([0.0, 8.0])},
}  # head: norm 10
FROZEN = [("encoder/*", gc.freeze())]
CLIP = gc.clip_by_global_norm(1.0)
rest = lambda path, x: "frozen" if path.startswith("encoder") else "live"
WAYS = {
    "chain": lambda: gc.chain(CLIP, gc.freeze("encoder/*")),
    "first in the chain": lambda: gc.chain(gc.freeze("encoder/*"), CLIP),
    "groups": lambda: gc.chain(CLIP, gc.groups(FROZEN, default=gc.identity())),
    "groups of a chain": lambda: gc.chain(
        CLIP, gc.groups([("head/*", gc.identity())], default=gc.freeze())
    ),
    "part of a group": lambda: gc.chain(CLIP, gc.groups([("*", gc.freeze("encoder/*"))])),
    "partition": lambda: gc.chain(
        CLIP, gc.partition({"frozen": gc.freeze(), "live": gc.identity()}, rest)
    ),
    "masked": lambda: gc.chain(CLIP, gc.masked(gc.identity(), "head/*", gc.freeze())),
    "masked freeze": lambda: gc.chain(CLIP, gc.masked(gc.freeze(), "encoder/*")),
    "named": lambda: gc.chain(
        CLIP, gc.chain(gc.identity(), gc.freeze("encoder/*")).named("inner")
    ),
    "clip named": lambda: gc.chain(
        CLIP.named("clip"), gc.chain(gc.freeze("encoder/*")).named("inner")
    ),
    "lookahead": lambda: gc.chain(CLIP, gc.lookahead(gc.groups(FROZEN, default=gc.identity()))),
    "around": lambda: gc.lookahead(gc.chain(CLIP, gc.groups(FROZEN, default=gc.identity()))),
    "average": lambda: gc.chain(CLIP, gc.average_weights(gc.chain(gc.freeze("encoder/*")), 0.9)),
    "accumulate": lambda: gc.chain(
        CLIP, gc.accumulate(gc.groups(FROZEN, default=gc.identity()), every=1)
    ),
    "accumulated": lambda: gc.accumulate(
        gc.chain(CLIP, gc.groups(FROZEN, default=gc.identity())), every=1
    ),
    "nested groups": lambda: gc.chain(
        CLIP, gc.groups([("*", gc.groups(FROZEN, default=gc.identity()))])
    ),
}
needs_params = {"lookahead", "around", "average", "accumulate", "accumulated"}
each_way = pytest.mark.parametrize("way", WAYS)


def check_live(updates, grads):
    """The live gradient has norm 10 and is clipped to 1; the frozen one, and what it holds, is not
    there.
    """
    assert_same_type(updates, grads)
    live = jax.tree.map(lambda g: 0.1 * g.astype(jnp.float32), GRADS["head"])
    assert_close(
        updates["head"], live, 0.01 if grads["head"]["bias"].dtype == jnp.bfloat16 else 1e-6
    )
    for x in jax.tree.leaves(updates["encoder"]):
        assert np.asarray(x, np.float32).tobytes() == bytes(4 * x.size), "not a true zero"


@pytest.mark.rotated(4)
@each_way
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=["float32", "bfloat16"])
def test_a_frozen_gradient_is_in_no_norm(way, dtype):
    tx = WAYS[way]()
    params, grads = (jax.tree.map(lambda x: x.astype(dtype), tree) for tree in (PARAMS, GRADS))
    state = tx.init(params)
    assert jax.tree.leaves(jax.tree.map(lambda _: 1, state)) == jax.tree.leaves(
        jax.tree.map(lambda _: 1, tx.init({**params, "encoder": None}))
    ), "a frozen leaf has a state"
    bad = {**grads, "encoder": jax.tree.map(lambda x: x * jnp.nan, grads["encoder"])}
    for gradient in (grads, bad):
        eager, new = tx.update(gradient, state, params)
        check_live(eager, grads)
        check_live(jax.jit(tx.update)(gradient, state, params)[0], grads)
        assert_same_type(new, state)
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(new))
        stepped, _ = tx.step(gradient, state, params)
        assert_identical(stepped["encoder"], params["encoder"])
        with jax.disable_jit():
            check_live(tx.update(gradient, state, params)[0], grads)
        if way not in needs_params:
            check_live(tx.update(gradient, state)[0], grads)


@pytest.mark.rotated(2)
@each_way
def test_a_frozen_leaf_without_a_gradient_stays_a_hole(way):
    tx = WAYS[way]()
    grads = {**GRADS, "encoder": {**HUGE, "bias": None}}
    updates, _ = tx.update(grads, tx.init(PARAMS), PARAMS)
    assert updates["encoder"]["bias"] is None
    assert not updates["encoder"]["kernel"].any()
    assert_close(updates["head"], jax.tree.map(lambda g: 0.1 * g, GRADS["head"]), 1e-6)
    params = {"encoder": None, "head": LAYER}
    updates, _ = tx.update({**GRADS, "encoder": None}, tx.init(params), params)
    assert updates["encoder"] is None
    assert_close(updates["head"], jax.tree.map(lambda g: 0.1 * g, GRADS["head"]), 1e-6)


@pytest.mark.rotated(4)
@each_way
def test_sharded_leaves_are_frozen_alike(way):
    tx = WAYS[way]()
    mesh = Mesh(np.asarray(jax.devices()).reshape(4, 2), ("a", "b"))
    wide = lambda tree: jax.tree.map(lambda x: jnp.tile(x, (4,) * x.ndim), tree)
    params, grads = wide(PARAMS), wide(GRADS)
    layer = {"kernel": P("a", "b"), "bias": P("b")}
    split = {"encoder": layer, "head": layer}
    put = lambda tree: jax.tree.map(
        lambda x, spec: jax.device_put(x, NamedSharding(mesh, spec)), tree, split
    )
    run = lambda params, grads: tx.update(grads, tx.init(params), params)[0]
    expected = run(params, grads)
    for x in jax.tree.leaves(expected["encoder"]):
        assert not x.any()
    assert float(gc.global_norm(expected["head"])) == pytest.approx(1.0, rel=1e-6)
    by_jit = jax.jit(run)(put(params), put(grads))
    by_shard_map = jax.jit(
        jax.shard_map(run, mesh=mesh, in_specs=(split, split), out_specs=split)
    )(params, grads)
    assert_close(by_jit, expected, 1e-6)
    assert_close(by_shard_map, expected, 1e-6)


def test_zeros_of_frozen_leaves_keep_the_sharding_under_jit():
    mesh = jax.make_mesh((8,), ("a",), axis_types=(jax.sharding.AxisType.Auto,))
    split = NamedSharding(mesh, P("a"))
    params = jax.device_put({"encoder": jnp.ones(8), "head": jnp.ones(8)}, split)
    tx = gc.chain(CLIP, gc.freeze("encoder"), gc.adam(0.1))
    new, _ = jax.jit(tx.step)(params, tx.init(params), params)
    assert new["encoder"].sharding.is_equivalent_to(split, 1)


@pytest.mark.parametrize("with_params", [True, False])
@pytest.mark.parametrize(
    "freeze", [gc.freeze("encoder/*"), gc.groups(FROZEN, default=gc.identity())]
)
def test_frozen_gradients_of_examples_are_in_no_norm(freeze, with_params):
    tx = gc.chain(gc.differentially_private_aggregate(1.0, 0.0), freeze)
    examples = jax.tree.map(lambda g: jnp.stack([g, -g, g]), GRADS)
    updates, _ = tx.update(examples, tx.init(PARAMS), *[PARAMS] * with_params)
    assert_same_type(updates, GRADS)
    assert_close(updates["head"], jax.tree.map(lambda g: 0.1 / 3 * g, GRADS["head"]), 1e-6)
    assert not any(x.any() for x in jax.tree.leaves(updates["encoder"]))


def test_the_loss_that_a_wrapper_asks_for_gets_all_parameters():
    def loss(params):
        return jnp.sum((params["encoder"] * params["head"]) ** 2)

    params = {"encoder": jnp.full(2, 2.0), "head": jnp.full(2, 3.0)}
    grads = jax.grad(loss)(params)
    alone = gc.sam(gc.sgd(0.1), rho=0.5)
    head_loss = lambda p: loss({"encoder": params["encoder"], "head": p["head"]})
    only_head = lambda tree: {"head": tree["head"]}
    p = only_head(params)
    expected, _ = alone.update(only_head(grads), alone.init(p), p, value_fn=head_loss)
    for tx in (
        gc.chain(alone, gc.freeze("encoder")),
        gc.groups([("encoder", gc.freeze())], default=alone),
        gc.groups([("encoder", gc.adam(0.1))], default=alone),
        gc.masked(alone, "head", gc.freeze()),
        gc.accumulate(gc.groups([("encoder", gc.freeze())], default=alone), every=1),
        gc.lookahead(gc.chain(gc.freeze("encoder"), alone).named("inner")),
    ):
        state = tx.init(params)
        for run in (tx.update, jax.jit(partial(tx.update, value_fn=loss))):
            more = {"value_fn": loss} if run == tx.update else {}
            assert_close(only_head(run(grads, state, params, **more)[0]), expected, 1e-6)


def test_the_gradient_as_an_extra_argument_is_cut_alike():
    seen = []

    def watch(updates, state, params=None, *, grad):
        seen.append([path for path, x in named_leaves(grad) if x is not None])
        return updates, state

    for tx in (
        gc.chain((lambda params: {}, watch), gc.freeze("encoder/*")),
        gc.groups(FROZEN, default=gc.GradientTransformation(lambda params: {}, watch)),
    ):
        with jax.disable_jit():
            tx.update(GRADS, tx.init(PARAMS), PARAMS, grad=GRADS)
    assert seen == [["head/bias", "head/kernel"]] * 2


def test_a_wrapper_of_two_freezes_what_both_freeze():
    both = gc.graft(
        gc.chain(gc.sgd(1.0), gc.freeze("encoder/*")), gc.chain(gc.sgd(1.0), gc.freeze("*"))
    )
    assert both.frozen(PARAMS)["encoder"] == {"kernel": True, "bias": True}
    assert both.frozen(PARAMS)["head"] == {"kernel": False, "bias": False}


def test_weights_to_evaluate_with_are_the_parameters_where_frozen():
    for wrapper in (partial(gc.average_weights, decay=0.9), gc.lookahead):
        for tx in (
            wrapper(gc.groups(FROZEN, default=gc.sgd(0.1))),
            gc.chain(CLIP, wrapper(gc.sgd(0.1)), gc.freeze("encoder/*")),
            gc.groups(FROZEN, default=wrapper(gc.sgd(0.1))),
        ):
            state, params = tx.init(PARAMS), PARAMS
            for _ in range(3):
                params, state = tx.step(GRADS, state, params)
            kept = gc.eval_params(state, params)
            assert_identical(kept["encoder"], PARAMS["encoder"])
            assert (kept["head"]["bias"][1] != params["head"]["bias"][1]).all()


def test_the_same_leaf_may_be_frozen_twice_and_all_of_them():
    tx = gc.chain(gc.freeze("encoder/*"), gc.scale_by_adam(), gc.freeze("*bias"))
    assert {path for path, flag in named_leaves(tx.frozen(PARAMS)) if not flag} == {"head/kernel"}
    everything = gc.chain(CLIP, gc.adam(0.1), gc.freeze())
    state = everything.init(PARAMS)
    assert not any(x.any() for x in jax.tree.leaves(everything.update(GRADS, state, PARAMS)[0]))
    assert [x.shape for x in jax.tree.leaves(state)] == [(), ()]  # two clocks


def test_a_frozen_group_takes_no_memory():
    size = lambda tree: sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))
    tx = gc.groups([("encoder/*", gc.freeze())], default=gc.adam(0.1))
    assert size(tx.init(PARAMS)) == 2 * size(PARAMS["head"]) + 2 * 4  # moments and two clocks


# -------------------------------------------------------------------------------------- random ones


@jax.disable_jit()
@few
@given(st.sampled_from([row for row in FOR_ANY_TREE if not row.make().freezes]), trees, st.data())
def test_what_is_frozen_might_as_well_not_be_there(row, params, data):
    frozen, grads = random_mask(data, params), other_like(params)
    live = jax.tree.map(lambda flag: not flag, frozen)
    bad = jax.tree.map(
        lambda flag, g: g * jnp.asarray(jnp.nan, g.dtype) if flag else g, frozen, grads
    )
    alone = row.make()
    p = own_leaves(live, params)
    state = alone.init(p)
    expected, expected_state = alone.update(own_leaves(live, grads), state, p, **row.extra)
    tx = gc.chain(row.make(), gc.freeze(frozen))
    assert_identical(tx.init(params), gc.chain(alone).init(p))
    updates, new = tx.update(bad, tx.init(params), params, **row.extra)
    assert_same_type(updates, grads)
    assert_identical(own_leaves(live, updates), expected)
    assert_identical(
        own_leaves(frozen, updates), own_leaves(frozen, jax.tree.map(jnp.zeros_like, params))
    )
    assert_identical(jax.tree.leaves(new), jax.tree.leaves(expected_state))
