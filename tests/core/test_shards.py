"""Members that look along dimensions, inside ``shard_map``."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec as P

import gradchain as gc
from tests.laws.samples import assert_close, assert_identical

SPECS = {
    "bias": P("a"),
    "kernel": P("a", "b"),
    "layers": P(("b", "a")),
    "other": P(None, ("b", "a")),
}
SHAPES = {"bias": (8,), "kernel": (8, 4), "layers": (8, 3, 2), "other": (4, 8)}
GRADS = {
    name: jax.random.normal(jax.random.key(i), shape)
    for i, (name, shape) in enumerate(SHAPES.items())
}
PARAMS = {name: 2.0 * x + 1.0 for name, x in GRADS.items()}
MATRICES = {name: x for name, x in GRADS.items() if x.ndim > 1}


def updates_of(tx, specs=SPECS, names=SHAPES, *, extra=None, check_vma=True):
    """The first updates, from shards with their state made in ``shard_map`` if it has no shape."""
    mesh = jax.make_mesh((4, 2), ("a", "b"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    split = {name: SPECS[name] for name in names}
    grads, params = ({name: tree[name] for name in names} for tree in (GRADS, PARAMS))
    given = {} if specs is None else {"specs": specs}

    def update(g, p):
        return tx.update(g, tx.init(p), p, **given, **(extra or {}))[0]

    run = jax.shard_map(
        update, mesh=mesh, in_specs=(split, split), out_specs=split, check_vma=check_vma
    )
    return jax.jit(run), (grads, params)


def split_equals_whole(tx, names=SHAPES):
    specs = {name: SPECS[name] for name in names}
    run, (g, p) = updates_of(tx, specs, names)
    assert_close(run(g, p), tx.update(g, tx.init(p), p)[0], 1e-5)


MUON = gc.chain(gc.orthogonalize(), gc.add_decayed_weights(0.1))
WRAPPED = {
    "chain": MUON,
    "named": MUON.named("mine"),
    "lookahead": gc.lookahead(MUON, 2),
    "accumulate": gc.accumulate(MUON, 1),
    "groups": gc.groups([("kernel", MUON)], default=gc.sgd(0.1)),
    "masked": gc.masked(gc.orthogonalize(), "kernel"),
    "between": gc.chain(gc.clip_by_global_norm(1.0), gc.centralize(), gc.clip_by_block_rms(1.0)),
    "freeze": gc.chain(MUON, gc.freeze("other")),
    "watch": gc.watch(MUON),
}


@pytest.mark.rotated(1)
@pytest.mark.parametrize("name", WRAPPED)
def test_specs_reach_members_in_wrappers(name):
    split_equals_whole(WRAPPED[name])


def collectives(tx, names):
    run, given = updates_of(tx, {name: SPECS[name] for name in names}, names)
    text = run.lower(*given).compile().as_text()
    return text.count(" all-gather("), text.count(" all-reduce(")


def test_specs_reach_members_that_have_no_leaves():
    split_equals_whole(gc.muon(0.1), ["bias"])


def test_only_what_is_looked_along_is_gathered():
    assert collectives(gc.orthogonalize(), ["other"]) == (1, 0)
    assert collectives(gc.orthogonalize(), ["kernel"]) == (2, 0)  # along two dimensions
    assert collectives(gc.orthogonalize(), ["layers"]) == (0, 0)  # which are whole in each layer
    split_equals_whole(gc.orthogonalize(), ["layers"])
    assert collectives(gc.adamw(0.1), [*SHAPES]) == (0, 0)


def test_matrices_of_one_shape_may_be_split_differently():
    names = ["kernel", "layers"]
    split_equals_whole(gc.orthogonalize(), names)


@pytest.mark.parametrize(
    "name", ["orthogonalize", "scale_by_came", "scale_by_sm3", "in_eigenbasis"]
)
def test_without_specs_a_split_leaf_is_refused(name):
    tx = getattr(gc, name)(*[gc.scale_by_adam()] * (name == "in_eigenbasis"))
    run, given = updates_of(gc.chain(gc.clip(1.0), tx), None, ["kernel"])
    text = rf"{name}: inside shard_map 'kernel' is split over the mesh axes 'a', 'b'.*specs=specs"
    with pytest.raises(ValueError, match=text):
        run(*given)


WRONG = {
    "an axis less": ({"kernel": P("a")}, r"'kernel' is split over .*'a', 'b', but by specs as P"),
    "another tree": ({"kernels": P("a", "b")}, "specs needs the structure of the parameters"),
    "one for all": (P("a", "b"), "specs needs the structure of the parameters"),
    "a hole": ({"kernel": None}, "Call update"),
}


@pytest.mark.parametrize("what", WRONG)
def test_specs_that_do_not_fit_are_told(what):
    specs, text = WRONG[what]
    run, given = updates_of(gc.orthogonalize(), specs, ["kernel"])
    with pytest.raises(ValueError, match=text):
        run(*given)


def test_a_state_of_shards_is_refused():
    run, given = updates_of(gc.scale_by_shampoo(), {"kernel": SPECS["kernel"]}, ["kernel"])
    with pytest.raises(
        ValueError, match=r"'scale_by_shampoo' is not that of whole parameters.*jit"
    ):
        run(*given)


def test_where_types_do_not_say_what_is_split_whole_matrices_are_refused():
    run, given = updates_of(gc.orthogonalize(), check_vma=False)
    with pytest.raises(ValueError, match=r"check_vma=False"):
        run(*given)


def test_a_function_of_shards_is_refused():
    tx = gc.scale_by_psgd_kron(fit_to="hessian")
    extra = {"value_fn": lambda p: jnp.sum(p["other"] ** 2)}
    run, given = updates_of(tx, {"other": SPECS["other"]}, ["other"], extra=extra)
    with pytest.raises(
        ValueError, match=r"value_fn is a function of parameters, and .*'other' is"
    ):
        run(*given)


@pytest.mark.parametrize("tx", [gc.orthogonalize(), gc.adamw(0.1)], ids=["muon", "adamw"])
def test_outside_shard_map_specs_change_nothing(tx):
    state = tx.init(PARAMS)
    expected = tx.update(GRADS, state, PARAMS)
    assert_identical(tx.update(GRADS, state, PARAMS, specs=SPECS), expected)
    run = jax.jit(lambda g, s, p: tx.update(g, s, p, specs=SPECS))
    assert_close(run(GRADS, state, PARAMS), expected, 1e-4)
    tx.step(GRADS, state, PARAMS, specs=SPECS)
