"""Leaves as matrices: patterns, names, and how batches are made."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from hypothesis import given, settings, strategies as st

import gradchain as gc
from gradchain.core.folding import fold_by_pattern, fold_of

MODULES = frozenset({"a/query", "a/key", "a/value", "a/out", "b/out"})


def matrix_of(path, shape, fold=None):
    found = fold_of(path, jax.ShapeDtypeStruct(shape, jnp.float32), MODULES, fold)
    return found.lead, found.matrix


@pytest.mark.parametrize(
    ("path", "shape", "expected"),
    [
        ("dense/kernel", (4, 6), ((), (4, 6))),
        ("layers/dense/kernel", (3, 4, 6), ((3,), (4, 6))),
        ("Conv_0/kernel", (3, 3, 4, 6), ((), (36, 6))),
        ("conv/kernel", (3, 4, 6), ((), (12, 6))),
        ("volume/kernel", (2, 2, 2, 4, 6), ((), (32, 6))),
        ("a/query/kernel", (8, 2, 4), ((), (8, 8))),
        ("a/value/kernel", (5, 8, 2, 4), ((5,), (8, 8))),
        ("a/out/kernel", (2, 4, 8), ((), (8, 8))),
        ("b/out/kernel", (5, 4, 8), ((5,), (4, 8))),  # no attention: it has no query
    ],
)
def test_usual_leaves_are_known_by_name_and_shape(path, shape, expected):
    assert matrix_of(path, shape) == expected


@pytest.mark.parametrize(
    ("pattern", "shape", "expected"),
    [
        ("d h k -> d (h k)", (8, 2, 4), ((), (8, 8))),
        ("d h k -> h d k", (8, 2, 4), ((2,), (8, 4))),
        ("d (3 n) -> 3 d n", (8, 12), ((3,), (8, 4))),
        ("d (h=2 k) -> h d k", (8, 10), ((2,), (8, 5))),
        ("o i -> i o", (8, 10), ((), (10, 8))),
    ],
)
def test_a_pattern_says_rows_columns_and_the_rest(pattern, shape, expected):
    assert matrix_of("x", shape, {"*": pattern}) == expected


@pytest.mark.parametrize(
    ("pattern", "shape", "why"),
    [
        ("d n", (2, 3), "needs one '->'"),
        ("d n -> d n", (2, 3, 4), "2 dimensions"),
        ("d n -> d", (2, 3), "rows and columns"),
        ("d (h k) -> h d k", (2, 6), "h=8"),
        ("d (4 k) -> 4 d k", (2, 6), "not 4 times"),
        ("d n -> d m", (2, 3), "once on either side"),
        ("d n! -> d n!", (2, 3), "no name"),
    ],
)
def test_a_pattern_that_fits_not_is_refused_with_its_path(pattern, shape, why):
    with pytest.raises(ValueError, match=f"'q/kernel'.*{why}"):
        matrix_of("q/kernel", shape, {"q/*": pattern})


@settings(max_examples=50, deadline=None)
@pytest.mark.rotated(1)
@given(st.permutations("abcd"), st.tuples(*[st.integers(1, 4)] * 4))
def test_to_open_and_to_close_is_to_leave(order, shape):
    fold = fold_by_pattern(f"a b c d -> {order[0]} ({order[1]} {order[2]}) {order[3]}", shape)
    x = jnp.arange(np.prod(shape)).reshape(shape)
    np.testing.assert_array_equal(fold.close(fold.open(x)), x)
    expected = jnp.einsum(f"abcd->{''.join(order)}", x).reshape(fold.count, *fold.matrix)
    np.testing.assert_array_equal(fold.open(x), expected)


def shapes_seen(params, **options):
    """The batches that a rule is given."""
    seen = []

    def rule(g, s, place, sides):
        seen.append((g.shape, place.tolist(), sides.tolist()))
        return 2.0 * g, {"sum": s["sum"] + g}

    @gc.transform
    def noting():
        return gc.matrixwise(rule, gc.weight_matrices(), sum=gc.slots.like_param, **options)

    try:
        tx = noting()
        state = tx.init(params)
        seen.clear()
        u, state = tx.update(params, state, params)
    finally:
        from gradchain.core.factory import FACTORIES

        del FACTORIES["noting"]
    return seen, u, state["noting"]["sum"]


def test_attention_of_linen_and_nnx_needs_no_labels():
    x = jnp.ones((1, 3, 8))
    layer = linen.MultiHeadDotProductAttention(num_heads=2)
    params = layer.init(jax.random.key(0), x)["params"]
    seen, u, _ = shapes_seen(params)
    assert [shape for shape, _, _ in seen] == [(4, 8, 8)]
    np.testing.assert_array_equal(u["query"]["kernel"], 2.0 * params["query"]["kernel"])
    np.testing.assert_array_equal(u["query"]["bias"], params["query"]["bias"])
    layer = nnx.MultiHeadAttention(2, 8, decode=False, rngs=nnx.Rngs(0))
    seen, _, _ = shapes_seen(nnx.state(layer, nnx.Param))
    assert [shape for shape, _, _ in seen] == [(4, 8, 8)]


def test_twins_come_wide_in_one_batch():
    params = {"down": jnp.ones((6, 4)), "up": jnp.arange(24.0).reshape(4, 6)}
    seen, u, kept = shapes_seen(params, twins=True)
    assert seen == [((2, 4, 6), [0, 1], [[6, 4], [4, 6]])]
    for name, x in params.items():
        np.testing.assert_array_equal(u[name], 2.0 * x)
        np.testing.assert_array_equal(kept[name], x)


def test_nearly_equal_matrices_are_padded():
    params = {"x": jnp.ones((10, 10)), "y": jnp.ones((10, 9)), "z": jnp.ones((10, 4))}
    seen, u, kept = shapes_seen(params, pad=0.2)
    assert [(shape, sides) for shape, _, sides in seen] == [
        ((2, 10, 10), [[10, 10], [10, 9]]),
        ((1, 10, 4), [[10, 4]]),
    ]
    assert jax.tree.map(jnp.shape, u) == jax.tree.map(jnp.shape, params)
    assert jax.tree.map(jnp.shape, kept) == jax.tree.map(jnp.shape, params)


def test_a_packed_gram_is_one_triangle_and_the_same_matrix():
    @gc.transform
    def kept(packed: bool):
        def rule(g, s):
            gram = s["gram"] + g @ jnp.swapaxes(g, -1, -2)
            return gram @ g, {"gram": gram}

        return gc.matrixwise(rule, gram=gc.slots.gram(-2)(packed=packed, fill=0.5))

    g = jax.random.normal(jax.random.key(0), (2, 3, 4))
    found = []
    for packed, shape in ((False, (2, 3, 3)), (True, (2, 6))):
        tx = kept(packed)
        state = tx.init(g)
        assert state["kept"]["gram"].shape == shape
        for _ in range(2):
            u, state = tx.update(g, state)
        found.append(u)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


@pytest.mark.parametrize("kind", [jax.sharding.AxisType.Auto, jax.sharding.AxisType.Explicit])
def test_matrices_split_over_a_mesh_give_the_same_update(kind):
    mesh = jax.make_mesh((4, 2), ("x", "y"), axis_types=(kind, kind))
    shapes = {"up": (8, 16), "down": (16, 8), "stack": (4, 8, 6), "conv": (2, 2, 4, 8)}
    specs = {
        "up": ("x", "y"),
        "down": ("x",),
        "stack": ("x", None, "y"),
        "conv": (None, None, "x"),
    }
    keys = jax.random.split(jax.random.key(0), len(shapes))
    whole = {k: jax.random.normal(key, shapes[k]) for k, key in zip(shapes, keys, strict=True)}
    tx = gc.muon(0.1)
    right, state = tx.step(whole, tx.init(whole), whole)
    right, _ = tx.step(whole, state, right)
    place = lambda k: jax.NamedSharding(mesh, jax.P(*specs[k]))
    split = {k: jax.device_put(x, place(k)) for k, x in whole.items()}
    with jax.set_mesh(mesh):
        params, state = jax.jit(tx.step)(split, jax.jit(tx.init)(split), split)
        params, state = jax.jit(tx.step)(split, state, params)
    for k, x in right.items():
        np.testing.assert_allclose(params[k], x, rtol=1e-5, atol=1e-5)
        if kind == jax.sharding.AxisType.Explicit:
            assert params[k].sharding.is_equivalent_to(place(k), params[k].ndim)


ATTENTION = {
    "query": {"kernel": jnp.ones((32, 4, 8))},
    "key": {"kernel": jnp.ones((32, 4, 8))},
    "value": {"kernel": jnp.ones((32, 4, 8))},
    "out": {"kernel": jnp.ones((4, 8, 32))},
}
BESIDE = {"mlp": {"kernel": jnp.ones((3, 4, 6))}}


@pytest.mark.parametrize(
    "left_out",
    [
        {"query": None},
        {"query": {"kernel": None}},
        {"query": None, "key": None, "value": None},
        {"key": {"kernel": None}, "value": None},
    ],
)
def test_holes_change_no_fold(left_out):
    """A frozen projection, or one in another group, leaves the others what they are."""
    wholes, _, _ = shapes_seen({"attn": ATTENTION} | BESIDE)
    parts, _, _ = shapes_seen({"attn": ATTENTION | left_out} | BESIDE)
    assert {shape[1:] for shape, _, _ in parts} <= {shape[1:] for shape, _, _ in wholes}
    assert (32, 32) in {shape[1:] for shape, _, _ in parts}


@pytest.mark.parametrize("name", ["query", "key", "value"])
def test_one_projection_is_enough_to_know_attention(name):
    found, _, _ = shapes_seen({"attn": {k: ATTENTION[k] for k in (name, "out")}})
    assert [shape for shape, _, _ in found] == [(2, 32, 32)]
