"""Owners on eight simulated devices: each matrix is updated once, and its state lies with one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

import gradchain as gc
from gradchain.distributed import (
    collectives,
    init_sharded,
    owned,
    owners,
    set_owners,
    state_sharding,
    state_specs,
    wire_bytes,
)
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
        # Padded to sixteen of each shape they would be 1.33.
        assert operations(program) <= 1.15 / 8 * operations(alone)
        found = collectives(program)
        assert {x.kind for x in found} == {kind}
        assert sum(x.count for x in found) <= most
        whole = sum(x.size * 4 for x in params.values())
        once = 16 / 12 * 7 / 8 * whole  # twelve matrices for eight devices are sixteen
        assert wire_bytes(found) <= (once if kind == "all-gather" else 2 * once / 8) * 1.01


def test_what_is_left_over_goes_to_those_that_have_the_least_to_do():
    """Five, seven and nine matrices: each device of eight has at most one of the rest of each."""
    counts = {"narrow": (5, (8, 8)), "middle": (7, (8, 16)), "wide": (9, (8, 32))}
    shapes = {f"{k}{i}": shape for k, (n, shape) in counts.items() for i in range(n)}
    params, inner = trees(shapes)[0], gc.orthogonalize("quintic", form="standard")
    tx, specs = owners(inner, "data"), dict.fromkeys(shapes, P())
    run = lambda g: tx.update(g, {}, specs=specs)[0]
    run = jax.shard_map(run, mesh=MESH, in_specs=(specs,), out_specs=specs)
    dealt = jax.jit(run).lower(params).compile()
    each = {shape: jax.jit(lambda g: inner.update(g, {})[0]) for _, shape in counts.values()}
    cost = {s: operations(f.lower(jnp.ones(s)).compile()) for s, f in each.items()}
    padded = cost[8, 8] + cost[8, 16] + 2 * cost[8, 32]
    assert operations(dealt) <= 0.85 * padded
    assert_close(
        jax.jit(run)(params), {k: inner.update(x, {})[0] for k, x in params.items()}, 1e-4
    )


def test_numbers_of_a_stack_are_the_same_on_all_devices():
    shapes = {"narrow": (8, 8), "wide": (8, 16)}  # no device has both
    params, (g, _) = trees(shapes)
    tx, specs = owners(gc.nadam(0.1), "data"), dict.fromkeys(shapes, P())
    state = init_sharded(tx, params, None, MESH)
    of_state = state_specs(tx, params, None, MESH)
    found, _ = on_devices(tx, specs, of_state)(g, state, params)
    alone = gc.nadam(0.1)
    assert_close(found, alone.update(g, alone.init(params), params)[0], 1e-5)


# ------------------------------------------------------------------------------ whole chains


@pytest.mark.parametrize("kind", ["Auto", "Explicit"])
def test_a_chain_with_owners_says_where_its_state_lies(kind):
    types = (getattr(jax.sharding.AxisType, kind),)
    mesh = jax.make_mesh((8,), ("data",), axis_types=types)
    params, _ = trees()
    own = owners(gc.scale_by_shampoo(), "data")
    tx = gc.chain(gc.distributed.exchange("int8", error_feedback=1.0), gc.add_momentum(0.9), own)
    specs = state_specs(tx, params, SPLIT, mesh)
    assert specs["exchange"]["residual"]["up"] == P("data")
    assert specs["add_momentum"]["momentum"]["layers"] == P(None, "data", None)
    (slots,) = specs["owners"]["inner"].values()
    assert slots["mu"] == dict.fromkeys(("16x8_rest", "8x16_rest"), P("data", None, None))
    assert slots["count"] == P()
    state = init_sharded(tx, params, SPLIT, mesh)
    (slots,) = state["owners"]["inner"].values()
    assert slots["mu"]["8x16_rest"].addressable_shards[0].data.shape == (1, 8, 16)


def test_a_chain_with_owners_runs_by_its_specs():
    params, grads = trees()
    make = lambda: gc.chain(gc.add_momentum(0.9), owners(gc.orthogonalize(), "data"))
    tx, alone, alone_state = make(), make(), make().init(params)
    of_state = state_specs(tx, params, SPLIT, MESH)
    state = init_sharded(tx, params, SPLIT, MESH)
    step = on_devices(tx, SPLIT, of_state)
    for g in grads:
        expected, alone_state = alone.update(g, alone_state, params)
        found, state = step(g, state, params)
        assert_close(found, expected, 1e-4)


def test_adafactor_is_in_owners_what_looks_at_matrices_and_behind_what_looks_at_leaves():
    params, grads = trees({k: x for k, x in SHAPES.items() if k != "layers"})
    options = {"min_dim_size_to_factor": 2, "dims": "last"}
    tx = gc.chain(
        owners(gc.scale_by_factored_rms(**options), "data"),
        gc.clip_by_block_rms(1.0),
        gc.scale_by_learning_rate(0.1),
        gc.scale_by_param_block_rms(),
    )
    only = {k: x for k, x in SPLIT.items() if k in params}
    alone = gc.adafactor(0.1, **options)
    alone_state = alone.init(params)
    state = init_sharded(tx, params, only, MESH)
    step = on_devices(tx, only, state_specs(tx, params, only, MESH))
    for g in grads:
        expected, alone_state = alone.update(g, alone_state, params)
        found, state = step(g, state, params)
        del expected["bias"], found["bias"]  # no matrix: it passes owners as it is
        assert_close(found, expected, 1e-5)


# ------------------------------------------------------------------- other numbers of devices


@pytest.mark.parametrize("name", ["muon", "shampoo", "stored"])
def test_training_goes_on_with_another_number_of_devices(name):
    """A step on eight devices, saved as of one, then a step on four."""
    params, grads = trees()
    tx = owners(INNER[name](), "data")
    alone_state = tx.init(params)
    state = init_sharded(tx, params, None, MESH)
    for g, number in zip(grads, (8, 4), strict=True):
        mesh = jax.sharding.Mesh(np.array(jax.devices()[:number]), ("data",))
        specs = dict.fromkeys(params, P("data")) | {"layers": P(None, "data")}
        dealt = set_owners(tx, state, params, number)
        dealt = jax.device_put(dealt, state_sharding(tx, params, specs, mesh))
        of_state = state_specs(tx, params, specs, mesh)
        step = jax.shard_map(
            lambda g, s, p, specs=specs: tx.update(g, s, p, specs=specs),
            mesh=mesh,
            in_specs=(specs, of_state, specs),
            out_specs=(specs, of_state),
        )
        found, dealt = jax.jit(step)(g, dealt, params)
        expected, alone_state = tx.update(g, alone_state, params)
        assert_close(found, expected, 2e-4)
        state = jax.device_get(set_owners(tx, dealt, params, 1))
        assert_close(state, alone_state, 2e-4)


@pytest.mark.parametrize("codec", ["int8", None], ids=["int8", "float32"])
def test_a_state_is_the_same_after_it_was_dealt_to_others(codec):
    params, (g, _) = trees()
    tx = owners(gc.storage(gc.scale_by_adam(), codec, least_size=0))
    state = tx.update(g, tx.init(params), params)[1]
    moved = state
    for number in (8, 3, 5, 2, 1):
        moved = set_owners(tx, moved, params, number)
    jax.tree.map(np.testing.assert_array_equal, moved, state)


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


def test_steps_are_for_matrices_alone():
    """Beside them a bias would pass as its gradient, and go uphill."""
    params, (g, _) = trees()
    with pytest.raises(ValueError, match=r"owners: 'bias' would pass .* uphill.*default=adamw"):
        owners(gc.muon(0.1)).init(params)
    kernels = gc.weight_matrices(embeddings=False)
    apart = lambda inner: gc.groups([(kernels, inner)], default=gc.adamw(0.1))
    tx, alone = apart(owners(gc.muon(0.1))), apart(gc.muon(0.1))
    found, expected = (t.update(g, t.init(params), params)[0] for t in (tx, alone))
    assert_close(found, expected, 1e-5)


def test_a_state_of_another_number_of_devices_is_told():
    params, (g, _) = trees()
    tx = owners(gc.add_momentum(0.9), "data")
    state = tx.init(params)
    step = on_devices(tx, SPLIT, jax.tree.map(lambda _: P(), state))
    with pytest.raises(ValueError, match=r"the stacks '16x8', '8x16'.*set_owners.*params, 8\)"):
        step(g, state, params)
    state = set_owners(tx, state, params, 8)
    step = on_devices(tx, SPLIT, jax.tree.map(lambda _: P(), state))
    with pytest.raises(ValueError, match=r"of lengths \[8, 8\].*\[1, 1\] for each.*state_specs"):
        step(g, state, params)


def test_only_a_state_of_these_parameters_is_dealt_again():
    params, _ = trees()
    tx = owners(gc.add_momentum(0.9), "data")
    state = tx.init(params)
    with pytest.raises(ValueError, match="set_owners: no owners are in tx"):
        set_owners(gc.add_momentum(0.9), state, params, 2)
    with pytest.raises(ValueError, match="devices must be at least 1, not 0"):
        set_owners(tx, state, params, 0)
    with pytest.raises(ValueError, match=r"has '16x8', '8x16' at .*add_momentum/momentum'"):
        set_owners(tx, state, {"other": jnp.ones((4, 4))}, 2)
    with pytest.raises(ValueError, match=r"does not have .* rows in every array"):
        set_owners(tx, state, {k: x for k, x in params.items() if k != "up"}, 2)


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
