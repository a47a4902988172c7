"""Owners on eight simulated devices: each matrix is updated once, and its state lies with one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

import gradchain as gc
from gradchain.distributed import collectives, owned, owners, wire_bytes
from tests.laws.samples import assert_close

pytestmark = pytest.mark.rotated(1)  # they take long

MESH = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
SHAPES = {"bias": (8,), "down": (16, 8), "layers": (3, 8, 16), "up": (8, 16), "wide": (8, 16)}
SPLIT = dict.fromkeys(SHAPES, P("data")) | {"layers": P(None, "data")}
OTHERS = dict.fromkeys(SHAPES, P()) | {"down": P(None, "data"), "wide": P(None, "data")}
WAYS = {"in common": dict.fromkeys(SHAPES, P()), "split": SPLIT, "mixed": OTHERS}


def trees(shapes=None):
    shapes = SHAPES if shapes is None else shapes
    draw = lambda seed: {
        k: jax.random.normal(jax.random.key(10 * seed + i), shape)
        for i, (k, shape) in enumerate(shapes.items())
    }
    return draw(1), [draw(2), draw(3)]


def state_of(tx, params):
    with jax.set_mesh(MESH):
        state = jax.jit(tx.init)(params)
    return state, jax.tree.map(lambda axis: P(axis) if axis else P(), owned(tx, state))


def on_devices(tx, specs, of_state):
    return jax.jit(
        jax.shard_map(
            lambda g, s, p: tx.update(g, s, p, specs=specs),
            mesh=MESH,
            in_specs=(specs, of_state, specs),
            out_specs=(specs, of_state),
        )
    )


INNER = {
    "muon": lambda: gc.chain(gc.add_momentum(0.9, nesterov=True), gc.orthogonalize(adjust="rms")),
    "shampoo": gc.scale_by_shampoo,
    "soap": lambda: gc.in_eigenbasis(
        gc.scale_by_adam(), refresh=gc.refresh.every(1), sides="shorter"
    ),
    "decay": lambda: gc.chain(gc.orthogonalize(), gc.add_decayed_weights(0.1)),
    "normuon": gc.scale_by_normuon,
    "psgd": lambda: gc.scale_by_psgd_kron(refresh=gc.refresh.every(1)),
    "stored": lambda: gc.storage(gc.chain(gc.add_momentum(0.9), gc.orthogonalize()), "bfloat16"),
}
CASES = [
    pytest.param(name, way, id=f"{name}-{way}", marks=[pytest.mark.rotated(2)] * (name != "muon"))
    for name in INNER
    for way in WAYS
]


@pytest.mark.parametrize(("name", "way"), CASES)
def test_updates_are_those_of_one_device(name, way):
    tx, specs = owners(INNER[name](), "data"), WAYS[way]
    params, grads = trees()
    state, of_state = state_of(tx, params)
    alone, alone_state = owners(INNER[name](), "elsewhere"), None
    alone_state = alone.init(params)
    step = on_devices(tx, specs, of_state)
    for g in grads:
        expected, alone_state = alone.update(g, alone_state, params)
        found, state = step(g, state, params)
        assert_close(found, expected, 2e-4 if name in ("psgd", "stored") else 1e-4)


def test_on_one_device_owners_change_nothing():
    params, (g, _) = trees()
    for name in ("muon", "soap"):
        tx, inner = owners(INNER[name]()), gc.masked(INNER[name](), gc.weight_matrices())
        found, expected = (t.update(g, t.init(params), params)[0] for t in (tx, inner))
        assert_close(found, expected, 1e-5)


def test_each_state_lies_with_its_owner():
    params, _ = trees()
    tx = owners(gc.scale_by_shampoo(), "data")
    state, of_state = state_of(tx, params)
    (slots,) = state["owners"]["inner"].values()
    stacks = {x.shape[0] for x in jax.tree.leaves(slots) if x.ndim}
    assert stacks == {8}  # 5 wide matrices and a tall one: one for each device
    assert {str(s) for s in jax.tree.leaves(of_state)} <= {str(P("data")), str(P())}


def of_a_model():
    shapes = {"qkv": (32, 96), "out": (32, 32), "up": (32, 128), "down": (128, 32)}
    return {
        f"{name}_{i}": jax.random.normal(jax.random.key(i), shape)
        for i in range(12)
        for name, shape in shapes.items()
    }


def compiled(tx, params, spec):
    specs = dict.fromkeys(params, spec)
    state, of_state = state_of(tx, params)
    return on_devices(tx, specs, of_state).lower(params, state, params).compile()


def operations(program):
    return program.cost_analysis()["flops"]


def test_each_matrix_is_orthogonalized_once():
    """The model of the issue, eight times as narrow: 48 matrices of 12 layers."""
    params, inner = of_a_model(), gc.chain(gc.add_momentum(0.9), gc.orthogonalize())
    alone = jax.jit(inner.update).lower(params, inner.init(params)).compile()
    tx = owners(inner, "data")
    for spec, kind, most in ((P(), "all-gather", 4), (P("data"), "all-to-all", 8)):
        program = compiled(tx, params, spec)
        assert operations(program) <= 1.4 / 8 * operations(alone)
        found = collectives(program)
        assert {x.kind for x in found} == {kind}
        assert sum(x.count for x in found) <= most
        whole = sum(x.size * 4 for x in params.values())
        once = 16 / 12 * 7 / 8 * whole  # twelve matrices for eight devices are sixteen
        assert wire_bytes(found) <= (once if kind == "all-gather" else 2 * once / 8) * 1.01


# ----------------------------------------------------------------------------------- wrong calls


@pytest.mark.parametrize(
    ("inner", "name"),
    [
        (gc.adafactor(0.1), "scale_by_factored_rms"),
        (gc.chain(gc.orthogonalize(), gc.clip_by_global_norm(1.0)), "clip_by_global_norm"),
        (gc.lookahead(gc.lamb(0.1)), "scale_by_trust_ratio"),
        (gc.low_rank(gc.scale_by_adam(), 2), "low_rank"),
        (gc.scale_by_psgd_kron(fit_to="hessian"), "scale_by_psgd_kron"),
    ],
    ids=["adafactor", "norm", "lamb", "low_rank", "hessian"],
)
def test_what_looks_at_more_than_a_matrix_is_refused(inner, name):
    with pytest.raises(ValueError, match=f"owners: {name} looks at more than one matrix"):
        owners(inner).init(trees()[0])


def test_a_state_of_another_number_of_devices_is_told():
    params, (g, _) = trees()
    tx = owners(gc.add_momentum(0.9), "data")
    of_state = state_of(tx, params)[1]
    with pytest.raises(ValueError, match=r"add_momentum.*8x16.*needs shape \[1, 8, 16\]"):
        on_devices(tx, SPLIT, jax.tree.map(lambda _: P(), of_state))(g, tx.init(params), params)


def test_split_leaves_need_specs():
    params, (g, _) = trees()
    tx = owners(gc.orthogonalize(), "data")
    run = jax.shard_map(
        lambda g: tx.update(g, {})[0], mesh=MESH, in_specs=(SPLIT,), out_specs=SPLIT
    )
    with pytest.raises(ValueError, match=r"owners: .*'down' is split over .*'data'.*specs=specs"):
        run(g)
    assert np.isfinite(params["up"]).all()


def test_a_state_that_is_made_on_a_mesh_lies_with_its_owners():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    params = {f"layer{i}": jnp.ones((8, 4)) for i in range(16)}
    tx = gc.distributed.owners(gc.scale_by_muon())
    with jax.set_mesh(mesh):
        (x,) = [x for x in jax.tree.leaves(tx.init(params)) if x.ndim]
    assert x.shape == (16, 8, 4)
    assert x.addressable_shards[0].data.shape == (2, 8, 4)
