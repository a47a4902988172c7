"""ZeRO-1: each device keeps and updates its part, and the parameters are those of data parallel."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec as P

import gradchain as gc
from gradchain.distributed import (
    abstract_state,
    collectives,
    fsdp_specs,
    init_sharded,
    state_specs,
    unreduced,
    zero1,
    zero1_flat,
)

KINDS = [AxisType.Auto, AxisType.Explicit]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=["auto", "explicit"])
FLOAT64 = dict.fromkeys(["adafactor", "soap", "lbfgs"])  # they magnify what float32 rounds
CASES = {
    "adamw": lambda: gc.adamw(1e-3),
    "adafactor": lambda: gc.adafactor(1e-3),
    "lamb": lambda: gc.lamb(1e-3),
    "muon": lambda: gc.muon(1e-3),
    "soap": lambda: gc.soap(1e-3),
    "lbfgs": lambda: gc.lbfgs(),
}
SLOW = {"adafactor", "lamb", "soap", "lbfgs", "muon"}
each_case = pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in CASES]
)


def mesh_of(number, kind=AxisType.Auto):
    return Mesh(np.array(jax.devices()[:number]), ("data",), axis_types=(kind,))


def problem(dtype, width=64):
    draw = lambda seed, *shape: jax.random.normal(jax.random.key(seed), shape, dtype)
    params = {
        "inner": draw(0, 16, width) / 4,
        "bias": jnp.zeros(width, dtype),
        "outer": draw(1, width, 8) / 8,
    }
    x = draw(2, 32, 16)
    return params, x, jnp.sin(x @ draw(3, 16, 8))


def loss_fn(params, x, y):
    hidden = jnp.tanh(x @ params["inner"] + params["bias"][None])
    return jnp.mean((hidden @ params["outer"] - y) ** 2)


def extra_of(tx, value, x, y):
    wanted = {"value": value, "value_fn": lambda p: loss_fn(p, x, y)}
    return {k: v for k, v in wanted.items() if k in tx.extras}


def train(tx, kind, dtype, steps=20):
    mesh = mesh_of(8, kind)
    params, x, y = problem(dtype)
    params = jax.device_put(params, NamedSharding(mesh, P()))
    x, y = jax.device_put((x, y), NamedSharding(mesh, P("data")))

    @jax.jit
    def step(params, state, x, y):
        value, grads = jax.value_and_grad(loss_fn)(params, x, y)
        updates, state = tx.update(grads, state, params, **extra_of(tx, value, x, y))
        return gc.apply_updates(params, updates), state

    with jax.set_mesh(mesh):
        state = first = tx.init(params)
        for _ in range(steps):
            params, state = step(params, state, x, y)
    return params, first, state


def bytes_of(tree):
    return sum(x.addressable_shards[0].data.nbytes for x in jax.tree.leaves(tree))


@each_kind
@each_case
def test_zero1_is_data_parallel_in_an_eighth_of_the_bytes(name, kind):
    if kind == AxisType.Explicit and name == "lbfgs":
        pytest.skip(
            "the loss is evaluated at parts, which explicit axes do not mix by themselves"
        )
    dtype = jnp.float64 if name in FLOAT64 else jnp.float32
    with jax.enable_x64(name in FLOAT64):
        params, _, whole = train(CASES[name](), kind, dtype)
        made, first, state = train(zero1(CASES[name]()), kind, dtype)
        worst = max(float(jnp.max(jnp.abs(params[k] - made[k]))) for k in params)
    assert bytes_of(first) == bytes_of(state)  # the layout stays
    assert bytes_of(state) <= bytes_of(whole) * (1 / 8 + 0.01)
    assert worst <= 1e-6
    assert all(x.sharding.is_fully_replicated for x in jax.tree.leaves(made))


def scattered(params, specs, mesh, x, y):
    """The mean gradient in parts: ``psum_scatter`` of what each device has of its examples."""

    def local(params, x, y):
        grads = jax.grad(loss_fn)(unreduced(params), x, y)
        dims = jax.tree.map(lambda spec: spec.index("data"), specs)
        add = lambda g, dim: jax.lax.psum_scatter(g, "data", scatter_dimension=dim, tiled=True)
        return jax.tree.map(lambda g, dim: add(g, dim) / 8, grads, dims)

    given = (P(), P("data"), P("data"))
    return jax.shard_map(local, mesh=mesh, in_specs=given, out_specs=specs)(params, x, y)


def constrained(params, specs, mesh, x, y):
    on = jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs)
    return jax.lax.with_sharding_constraint(jax.grad(loss_fn)(params, x, y), on)


@pytest.mark.parametrize("gradients", [constrained, scattered])
def test_gradients_in_parts_too_are_zero2(gradients):
    mesh, (params, x, y) = mesh_of(8), problem(jnp.float32)
    tx, specs = zero1(gc.adamw(1e-2), mesh=mesh), fsdp_specs(params, mesh)

    @jax.jit
    def step(params, state, x, y):
        return tx.step(gradients(params, specs, mesh, x, y), state, params)

    expected = gc.adamw(1e-2)
    expected, _ = expected.step(jax.grad(loss_fn)(params, x, y), expected.init(params), params)
    params = jax.device_put(params, NamedSharding(mesh, P()))
    x, y = jax.device_put((x, y), NamedSharding(mesh, P("data")))
    state = tx.init(params)
    compiled = step.lower(params, state, x, y).compile()
    made, _ = compiled(params, state, x, y)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), made, expected)
    found = {one.kind for one in collectives(compiled)}
    # The compiler for CPUs sums and cuts where those for TPUs find a reduce-scatter.
    assert found == {"all-gather", "all-reduce" if gradients is constrained else "reduce-scatter"}


def test_slots_in_few_bytes_are_in_parts_too():
    tx = zero1(gc.storage(gc.adamw(1e-3), mu="bfloat16", nu="uint8_log", least_size=8))
    _, _, state = train(tx, AxisType.Auto, jnp.float32, steps=2)
    kept = state["zero1"]["inner"]["storage"]["inner"]["scale_by_adam"]
    for x in (kept["mu"]["inner"], kept["nu"]["inner"]["codes"]):
        assert x.addressable_shards[0].data.size * 8 == x.size
    assert kept["nu"]["inner"]["codes"].dtype == jnp.uint8


def test_zero_with_parameters_in_parts_over_another_axis():
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    params, *_ = problem(jnp.float32)
    specs = {"inner": P(None, "model"), "bias": P("model"), "outer": P("model")}
    put = lambda x, spec: jax.device_put(x, NamedSharding(mesh, spec))
    params = jax.tree.map(put, params, specs)
    with pytest.raises(ValueError, match=r"zero1: 'bias' is split by .* give param_specs="):
        zero1(gc.adam(0.1)).init(params)
    tx = zero1(gc.adam(0.1), param_specs=specs)
    state = tx.init(params)
    updates, after = tx.update(params, state, params)
    for entry in (state, after):
        mu = entry["zero1"]["inner"]["scale_by_adam"]["mu"]["inner"]
        assert mu.addressable_shards[0].data.size * 8 == mu.size
    assert updates["inner"].sharding.is_equivalent_to(params["inner"].sharding, 2)


@pytest.mark.parametrize("is_typed", [False, True], ids=["auto_data", "explicit_data"])
def test_zero_where_the_axes_of_a_mesh_are_of_two_types(is_typed):
    kinds = KINDS[::-1] if is_typed else KINDS
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=tuple(kinds))
    own = {"w": jax.random.normal(jax.random.key(0), (16, 24)), "b": jnp.arange(24.0)}
    specs = {"w": P(None, "model"), "b": P("model")}
    put = lambda x, spec: jax.device_put(x, NamedSharding(mesh, spec))
    params, plain = jax.tree.map(put, own, specs), gc.adam(0.1)
    tx = zero1(plain, param_specs=specs if is_typed else None)
    with jax.set_mesh(mesh):
        state = tx.init(params)
        made, after = jax.jit(tx.step)(params, state, params)
    alone, _ = plain.step(own, plain.init(own), own)
    for entry in (state, after):
        mu = entry["zero1"]["inner"]["scale_by_adam"]["mu"]
        assert mu["w"].sharding.spec == P("data", "model")
        assert mu["b"].sharding.spec == P("model")  # jit lets types share no dimension
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), made, alone)
    assert {k: x.sharding.spec for k, x in made.items()} == specs
    if is_typed:
        with pytest.raises(ValueError, match=r"'b' is split by .*model.* give param_specs="):
            zero1(plain).init(params)


def test_zero1_says_what_it_lacks():
    with pytest.raises(ValueError, match=r"zero1: it is not known .* give mesh="):
        zero1(gc.adam(0.1)).init({"w": jnp.ones(8)})
    with pytest.raises(ValueError, match="zero1: axis 'batch' is none of the mesh"):
        zero1(gc.adam(0.1), axis="batch", mesh=mesh_of(8)).init({"w": jnp.ones(8)})
    run = jax.shard_map(
        lambda p: zero1(gc.scale(0.1)).update(p, {}, p)[0],
        mesh=mesh_of(8),
        in_specs=P(),
        out_specs=P(),
    )
    with pytest.raises(ValueError, match="use zero1_flat there"):
        run(jnp.ones(8))


# ------------------------------------------------------------------------------- the flat form

MULTIPLE = 24


def flat_step(tx, mesh, state):
    specs = jax.tree.map(lambda x: P("data") if x.ndim else P(), state)

    def step(params, state, x, y):
        grads = jax.grad(loss_fn)(unreduced(params), x, y)
        updates, state = tx.update(grads, state, params)
        return gc.apply_updates(params, updates), state

    given = (P(), specs, P("data"), P("data"))
    return jax.jit(jax.shard_map(step, mesh=mesh, in_specs=given, out_specs=(P(), specs)))


@pytest.mark.parametrize("number", [8, 3, 1])
def test_the_flat_form_is_data_parallel_with_leaves_of_any_size(number):
    params, x, y = problem(jnp.float32, width=13)
    x, y = x[:24], y[:24]
    plain, flat = gc.adamw(1e-3), zero1_flat(gc.adamw(1e-3), multiple=MULTIPLE)
    expected, own = params, plain.init(params)
    made, state = params, flat.init(params)
    step = flat_step(flat, mesh_of(number), state)
    for _ in range(20):
        expected, own = plain.step(jax.grad(loss_fn)(expected, x, y), own, expected)
        made, state = step(made, state, x, y)
    worst = max(float(jnp.max(jnp.abs(expected[k] - made[k]))) for k in params)
    assert worst <= 1e-6
    mu = state["zero1_flat"]["inner"]["scale_by_adam"]["mu"]["float32"]
    assert mu.addressable_shards[0].data.size * number == mu.size


def test_the_flat_form_sends_each_dtype_once_there_and_back():
    params, x, y = problem(jnp.float32)
    params["bias"] = params["bias"].astype(jnp.float16)
    tx = zero1_flat(gc.adamw(1e-3), multiple=MULTIPLE)
    with jax.numpy_dtype_promotion("standard"):
        step = flat_step(tx, mesh_of(8), tx.init(params))
        text = step.lower(params, tx.init(params), x, y).compile().as_text()
    count = lambda kind: len(re.findall(rf" {kind}(-start)?\(", text))
    assert (count("reduce-scatter"), count("all-gather"), count("all-reduce")) == (2, 2, 0)


@pytest.mark.parametrize("codec", ["float32", "int4"])
def test_the_flat_state_goes_on_with_another_number_of_replicas(tmp_path, codec):
    params, x, y = problem(jnp.float32, width=13)
    x, y = x[:24], y[:24]
    inner = gc.storage(gc.adamw(1e-3), mu=codec, least_size=0)  # codes of 4 bits: two in a byte
    tx = zero1_flat(inner, multiple=MULTIPLE)
    params, state = flat_step(tx, mesh_of(8), tx.init(params))(params, tx.init(params), x, y)
    with ocp.StandardCheckpointer() as saver:
        saver.save(tmp_path / "state", state)
    on = lambda x, mesh: NamedSharding(mesh, P("data") if x.ndim else P())
    for number in (3, 1):
        mesh = mesh_of(number)
        target = jax.tree.map(
            lambda x, mesh=mesh: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=on(x, mesh)),
            state,
        )
        with ocp.StandardCheckpointer() as saver:
            back = saver.restore(tmp_path / "state", target)
        jax.tree.map(np.testing.assert_array_equal, back, state)
        after, _ = flat_step(tx, mesh, back)(jax.device_get(params), back, x, y)
        expected, _ = flat_step(tx, mesh_of(8), state)(params, state, x, y)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), after, expected)


@pytest.mark.parametrize("codec", ["float32", "int8"])
def test_the_flat_state_lies_where_state_specs_says(codec):
    params, x, y = problem(jnp.float32, width=13)
    x, y, mesh = x[:24], y[:24], mesh_of(8)
    tx = zero1_flat(gc.storage(gc.adamw(1e-3), codec, least_size=0), multiple=MULTIPLE)
    state = init_sharded(tx, params, None, mesh)
    rows = jax.tree.map(lambda x: P("data") if x.ndim else P(), state)
    specs = state_specs(tx, params, None, mesh)
    lay = lambda tree: jax.tree.map(lambda spec, x: NamedSharding(mesh, spec), tree, state)
    same = lambda a, b, x: (
        a.is_equivalent_to(b, x.ndim) and x.sharding.is_equivalent_to(b, x.ndim)
    )
    assert all(jax.tree.leaves(jax.tree.map(same, lay(specs), lay(rows), state)))
    made, _ = flat_step(tx, mesh, state)(params, state, x, y)
    expected, _ = flat_step(tx, mesh, state)(params, tx.init(params), x, y)
    jax.tree.map(np.testing.assert_array_equal, made, expected)
    with pytest.raises(ValueError, match="5 replicas along 'data' do not divide multiple=24"):
        init_sharded(tx, params, None, mesh_of(5))


@pytest.mark.parametrize(
    ("tx", "reason"),
    [
        (gc.lamb(0.1), "'scale_by_trust_ratio' is local to a leaf"),
        (
            gc.chain(gc.clip_by_global_norm(1.0), gc.sgd(0.1)),
            "'clip_by_global_norm' is local to a",
        ),
        (gc.adamw(0.1, where=gc.ndim_at_least(2)), "'add_decayed_weights' chooses leaves"),
        (gc.lookahead(gc.lamb(0.1)), "'lookahead/inner/scale_by_trust_ratio' is local"),
    ],
    ids=["leaf", "tree", "where", "inside"],
)
def test_the_flat_form_refuses_what_looks_further(tx, reason):
    with pytest.raises(ValueError, match=f"zero1_flat: {reason}.*Take zero1"):
        zero1_flat(tx).init({"w": jnp.ones((4, 4))})


def test_the_flat_form_refuses_what_would_be_wrong():
    tx = zero1_flat(gc.sgd(0.1), multiple=8)
    run = lambda g, n: jax.shard_map(
        lambda g: tx.update(g, {})[0], mesh=mesh_of(n), in_specs=P(), out_specs=P()
    )(g)
    with pytest.raises(ValueError, match="gradient at 'w' is the same on all replicas"):
        run({"w": jnp.ones(8)}, 8)
    with pytest.raises(ValueError, match="3 replicas along 'data' do not divide multiple=8"):
        run({"w": jnp.ones(8)}, 3)


def test_blocks_of_codecs_lie_whole_in_the_rows_of_the_flat_form():
    tx = zero1_flat(gc.storage(gc.adamw(1e-3), "int8"))
    state = jax.eval_shape(tx.init, {"w": jax.ShapeDtypeStruct((257, 3), jnp.float32)})
    kept = state["zero1_flat"]["inner"]["storage"]["inner"]["scale_by_adam"]["mu"]["float32"]
    rows, columns = kept["codes"].shape
    assert (columns, kept["scales"].shape) == (256, (rows, 1))
    assert not [n for n in (2, 3, 4, 5, 6, 7, 8, 16, 32) if rows % n]


def test_the_flat_form_needs_types_that_name_axes():
    tx = zero1_flat(gc.sgd(0.1), multiple=8)
    run = jax.shard_map(
        lambda g: tx.update(g, {})[0],
        mesh=mesh_of(8),
        in_specs=P(),
        out_specs=P(),
        check_vma=False,
    )
    with pytest.raises(ValueError, match=r"zero1_flat: inside shard_map\(check_vma=False\)"):
        run({"w": jnp.ones(8)})


def test_a_state_of_zero1_is_restored_in_parts():
    params = {"w": jax.ShapeDtypeStruct((16, 8), jnp.float32)}
    mesh = mesh_of(4)
    state = abstract_state(zero1(gc.adam(0.1)), params, None, mesh)
    assert state["zero1"]["inner"]["scale_by_adam"]["mu"]["w"].sharding.spec == P("data", None)


@each_kind
def test_a_zero_that_holds_its_mesh_is_planned_as_it_runs(kind):
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(kind,) * 2)
    params = {"scale": jnp.ones(()), "w": jnp.ones((8, 8))}
    tx = zero1(gc.storage(gc.sgd(0.1, 0.9), "int8", least_size=0), mesh=mesh)
    state = tx.init(params)
    _, after = jax.jit(tx.step)(params, state, params)
    where = lambda tree: [
        (x.shape, [part for part in x.sharding.spec if part]) for x in jax.tree.leaves(tree)
    ]
    for on in (mesh, mesh.abstract_mesh):
        target = abstract_state(tx, params, None, on)
        assert where(state) == where(after) == where(target)


def test_describe_and_check_see_where_parameters_lie():
    params = jax.device_put({"w": jnp.ones((16, 8))}, NamedSharding(mesh_of(8), P()))
    tx = zero1(gc.adam(0.1))
    assert "scale_by_adam" in str(gc.describe(tx, params))
    assert not gc.check(tx, params=params)


@pytest.mark.parametrize("shape", [(32, 512), (512, 32)], ids=["wide", "tall"])
@pytest.mark.parametrize("codec", ["int8_log", "int4"])
def test_codes_whose_blocks_do_not_divide_run_on_explicit_axes(codec, shape):
    mesh = mesh_of(8, AxisType.Explicit)
    own = {"w": jax.random.normal(jax.random.key(0), shape)}
    params = jax.device_put(own, NamedSharding(mesh, P()))
    kept = gc.storage(gc.sgd(0.1, 0.9), codec)
    tx = zero1(kept)
    with jax.set_mesh(mesh):
        state, step = tx.init(params), jax.jit(tx.step)
        for _ in range(2):
            params, state = step(params, state, params)
    alone, state = own, kept.init(own)
    for _ in range(2):
        alone, state = kept.step(alone, state, alone)
    np.testing.assert_allclose(np.asarray(params["w"]), np.asarray(alone["w"]), atol=1e-5)
