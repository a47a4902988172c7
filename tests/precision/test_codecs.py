"""Codecs keep what their docstrings say, for arrays of every shape and size."""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings

import gradchain as gc
from gradchain import precision
from gradchain.precision import blocks
from gradchain.precision.blocks import Blocks
from tests.precision.codecs import CASTS, CODECS

pytestmark = pytest.mark.rotated(1)  # they take long

few = settings(max_examples=8, deadline=None, derandomize=True)
each_codec = pytest.mark.parametrize("row", CODECS, ids=lambda row: row.name)
WITH_BLOCKS = [row for row in CODECS if row.bound is not None]
each_with_blocks = pytest.mark.parametrize("row", WITH_BLOCKS, ids=lambda row: row.name)

shapes = st.sampled_from([(3, 0), (), (5,), (257,), (300, 3), (2, 65), (2, 3, 257), (2, 3, 4, 5)])


def drawn(shape, seed, exponent, dtype=np.float32):
    """Numbers of both signs, of six decades around a size, some of them zero."""
    rng = np.random.default_rng(seed)
    size = 10.0**exponent * 10.0 ** rng.uniform(-6, 0, shape)
    x = np.where(rng.random(shape) < 0.1, 0.0, rng.choice([-1.0, 1.0], shape) * size)
    return np.asarray(x, dtype)


arrays = st.builds(drawn, shapes, st.integers(0, 999), st.floats(-30, 30))


def there_and_back(codec, x, key=None):
    """What comes back, in float64."""
    with jax.disable_jit(key is None):  # to compile for each shape would take most of the time
        kept = codec.encode(jnp.asarray(x), key)
        like = jax.ShapeDtypeStruct(x.shape, x.dtype)
        return np.asarray(codec.decode(kept, like), np.float64)


def block_of(codec, shape):
    """The number of the block of each element: by places along the dimension that is parted."""
    shape = shape or (1,)
    block, axis = codec.arguments["block"], codec.arguments["axis"]
    if axis is None:
        last = len(shape) - 1
        axis = last if shape[last] >= 64 else max(range(len(shape)), key=lambda i: (shape[i], i))
    places = list(np.indices(shape))
    places[axis] = places[axis] // (block or max(shape[axis], 1))
    return np.ravel_multi_index(places, shape) if 0 not in shape else np.zeros(shape, int)


def largest_of_block(x, numbers):
    """The largest magnitude in the block of each element."""
    largest = {i: np.max(np.abs(x[numbers == i])) for i in np.unique(numbers)}
    return np.vectorize(largest.get, otypes=[np.float64])(numbers)


@pytest.mark.rotated(2)
@each_with_blocks
@few
@given(arrays)
@example(np.zeros((2, 65), np.float32))
def test_errors_are_in_bounds_and_signs_and_order_are_kept(row, x):
    codec = row.make()
    back = there_and_back(codec, x).reshape(x.shape or (1,))
    x = x.astype(np.float64).reshape(x.shape or (1,))
    scale = largest_of_block(x, block_of(codec, x.shape))
    meant = x if row.is_signed else np.maximum(x, 0)
    share = np.divide(np.abs(meant), scale, out=np.zeros_like(x), where=scale > 0)
    # What float32 rounds: the share, the code before it is rounded, and what comes back.
    slack = 1e-6 * (share + row.bound(share)) + 3e-7 * share * 40
    assert np.all(np.abs(back - meant) <= scale * (row.bound(share) + slack))
    # Zero stays zero, no sign turns, and the order is kept.
    assert not back[x == 0].any()
    assert np.all(back * np.sign(x) >= 0)
    numbers = block_of(codec, x.shape)
    for i in np.unique(numbers):
        own = np.argsort(x[numbers == i])
        assert np.all(np.diff(back[numbers == i][own]) >= 0)


@pytest.mark.rotated(2)
@each_with_blocks
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_makes_its_block_nan_and_no_other(row, bad):
    codec = row.make()
    x = drawn((600, 2), 0, 0.0)
    numbers = block_of(codec, x.shape)
    x[3, 1] = bad
    back = there_and_back(codec, x)
    assert np.array_equal(np.isnan(back), numbers == numbers[3, 1])


@pytest.mark.rotated(2)
@pytest.mark.parametrize(
    "row",
    [row for row in CODECS if row.bound is None and row.name != "cast-float64"],
    ids=lambda row: row.name,
)
@few
@given(arrays)
def test_casts_round_to_nearest_and_never_to_infinity(row, x):
    codec = row.make()
    least, bits, most = CASTS[codec.arguments["dtype"]]
    back = there_and_back(codec, x)
    meant = np.clip(x.astype(np.float64), -most, most)
    assert np.all(np.abs(back - meant) <= np.maximum(np.abs(meant), least) * 2.0 ** -(bits + 1))
    assert np.all(back * np.sign(x) >= 0)
    for bad in (np.nan, np.inf, -np.inf):
        found = there_and_back(codec, np.array([bad, 1.0], np.float32))
        assert np.array_equal(found, [bad, 1.0], equal_nan=True) or "float8_e4m3fn" in row.name


@pytest.mark.rotated(2)
@each_codec
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
def test_dtypes_and_shapes_come_back(row, dtype):
    with jax.enable_x64(True):
        for shape in [(0,), (), (2, 70)]:
            x = jnp.asarray(drawn(shape, 0, 0.0, dtype))
            codec = row.make()
            back = codec.decode(codec.encode(x), jax.typeof(x))
            assert (back.shape, back.dtype) == (shape, dtype)


@pytest.mark.parametrize(("length", "axis"), [(0, 0), (1, 1), (7, 0), (8, -1)])
def test_two_codes_stand_in_one_byte(length, axis):
    shape = (length, 3) if axis == 0 else (3, length)
    codes = np.random.default_rng(0).integers(-8, 8, shape)
    packed = blocks._packed(jnp.asarray(codes, jnp.int8), axis)
    assert packed.dtype == jnp.uint8
    assert packed.shape[axis] == (length + 1) // 2
    assert np.array_equal(blocks._unpacked(packed, axis, length), codes)


# ------------------------------------------------------------------------------------- by chance

DRAWS = 2000
with_chance = [row for row in CODECS if row.has_chance]


@pytest.mark.rotated(2)
@pytest.mark.parametrize("row", with_chance, ids=lambda row: row.name)
def test_by_chance_it_is_right_on_average_and_one_of_two(row):
    codec = row.make()
    rng = np.random.default_rng(1)
    x = rng.uniform(0.05, 1.0, 64) * (rng.choice([-1, 1], 64) if row.is_signed else 1)
    x = np.asarray(x, np.float32)
    keys = jax.random.split(jax.random.key(0), DRAWS)
    there = lambda key: codec.decode(
        codec.encode(jnp.asarray(x), key), jax.typeof(jnp.asarray(x))
    )
    found = np.asarray(jax.vmap(there)(keys), np.float64)
    spread = np.std(found, axis=0) / np.sqrt(DRAWS)
    # What happens once in thousands of draws may not have been seen.
    digits = CASTS[row.name.removeprefix("cast-")][1] if row.bound is None else 0
    gap = 2 * row.bound(np.abs(x)) if row.bound else np.abs(x) * 2.0**-digits
    rare = 10 * gap / DRAWS
    assert np.all(np.abs(found.mean(axis=0) - x) <= 5 * spread + rare + 1e-6 * np.abs(x))
    assert max(len(np.unique(column)) for column in found.T) == 2


@pytest.mark.rotated(2)
@pytest.mark.parametrize("row", with_chance, ids=lambda row: row.name)
def test_chance_is_the_same_again_for_the_same_key(row):
    x, codec = drawn((600,), 0, 0.0), row.make()
    one, same, other = (there_and_back(codec, x, jax.random.key(i)) for i in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert not one[x == 0].any()


def test_what_loses_nothing_has_no_chance():
    x = jnp.asarray(drawn((600,), 0, 0.0))
    assert np.array_equal(gc.precision.cast("float32").encode(x, jax.random.key(0)), x)


@pytest.mark.parametrize("dtype", ["float16", "float8_e4m3fn", "float8_e5m2"])
def test_ends_of_a_float_are_kept_by_chance(dtype):
    kinds = jnp.finfo(dtype)
    ends = jnp.array([0.0, float(kinds.max), 1e30, jnp.inf, -jnp.inf, jnp.nan, -float(kinds.max)])
    for seed in range(20):
        kept = gc.precision.cast(dtype).encode(ends, jax.random.key(seed)).astype(jnp.float32)
        expected = [0, kinds.max, kinds.max, *gc.precision.cast(dtype).encode(ends)[3:]]
        assert np.array_equal(kept, np.array(expected, np.float32), equal_nan=True)
    tiny = jnp.full(1000, 0.3 * float(kinds.smallest_subnormal))
    kept = gc.precision.cast(dtype).encode(-tiny, jax.random.key(0)).astype(jnp.float32)
    assert set(np.unique(kept / float(kinds.smallest_subnormal))) == {-1.0, 0.0}


# ----------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("make", [gc.precision.linear, gc.precision.log])
def test_other_numbers_of_bits_are_refused(make):
    with pytest.raises(ValueError, match="bits must be 4, 8 or 16, not 5"):
        gc.storage(gc.sgd(0.1, 0.9), make(5)).init(jnp.ones(2))


def test_another_dtype_is_refused():
    with pytest.raises(ValueError, match=r"cast: dtype.*'float16'"):
        gc.precision.cast("int8").encode(jnp.ones(2))


def test_blocks_lie_along_the_last_dimension_or_the_longest():
    assert Blocks.of((300, 64), 256, None) == Blocks(1, 64, 64)
    assert Blocks.of((300, 63), 256, None) == Blocks(0, 300, 256)
    assert Blocks.of((2, 3, 4), 256, None) == Blocks(2, 4, 4)
    assert Blocks.of((300, 64), 256, -2) == Blocks(0, 300, 256)
    assert Blocks.of((300, 64), None, 0) == Blocks(0, 300, 300)


# ------------------------------------------------------------------------------------------ bytes

N = 1 << 20
#: Bytes of the state per parameter, beside the counter of steps.
BYTES = {
    "int8": (lambda: gc.storage(gc.adam(1e-3), "int8"), jnp.float32, 2 + 8 / 256),
    "int8 and log": (
        lambda: gc.storage(gc.adam(1e-3), mu="int8", nu="uint8_log"),
        jnp.float32,
        2 + 8 / 256,
    ),
    "int4": (lambda: gc.storage(gc.adam(1e-3), "int4"), jnp.float32, 1 + 8 / 256),
    "int16": (lambda: gc.storage(gc.adam(1e-3), "int16"), jnp.float32, 4 + 8 / 256),
    "bfloat16": (lambda: gc.storage(gc.adam(1e-3), "bfloat16"), jnp.float32, 4),
    "float32": (lambda: gc.adam(1e-3), jnp.float32, 8),
    "split": (
        lambda: gc.storage(gc.split_weights(gc.adam(1e-3)), mu="bfloat16", nu="bfloat16"),
        jnp.bfloat16,
        2 + 4,
    ),
    "split, outside": (
        lambda: gc.split_weights(gc.storage(gc.adam(1e-3), "bfloat16")),
        jnp.bfloat16,
        2 + 4,
    ),
    "split in 8": (lambda: gc.split_weights(gc.sgd(1e-3), bits=8), jnp.bfloat16, 1),
    "master": (lambda: gc.master_weights(gc.sgd(1e-3)), jnp.bfloat16, 4),
    "kahan": (lambda: gc.kahan(gc.sgd(1e-3)), jnp.bfloat16, 2),
    "by chance": (lambda: gc.stochastic_rounding(gc.sgd(1e-3)), jnp.bfloat16, 0),
}


@pytest.mark.rotated(2)
@pytest.mark.parametrize("name", BYTES)
def test_bytes_are_those_of_the_formula(name):
    make, dtype, expected = BYTES[name]
    tx = make()
    p = {"kernel": jnp.ones((1024, 1024), dtype)}
    state = tx.init(p)
    after = jax.eval_shape(tx.update, p, state, p)[1]
    for found in (jax.eval_shape(tx.init, p), state, after):
        leaves = jax.tree.leaves(found)
        assert sum(x.size * x.dtype.itemsize for x in leaves if x.ndim) == expected * N
        assert sum(x.size * x.dtype.itemsize for x in leaves if not x.ndim) <= 8  # clocks
    assert sum(x.nbytes for x in jax.tree.leaves(state) if x.ndim) == expected * N


@pytest.mark.parametrize("name", precision.CODECS)
def test_blocks_of_huge_numbers_are_kept(name):
    x = jnp.full((2, 256), 2e38).at[:, ::3].set(0.0)
    codec = precision.CODECS[name]
    encode, decode = jax.jit(codec.encode), jax.jit(codec.decode, static_argnums=1)
    kept = decode(encode(x), jax.ShapeDtypeStruct(x.shape, x.dtype))
    np.testing.assert_allclose(np.asarray(kept), np.asarray(x), rtol=1e-6)


def test_an_axis_that_an_array_lacks_is_named():
    tx = gc.storage(gc.sgd(0.1, 0.9), gc.precision.linear(axis=5))
    with pytest.raises(ValueError, match=r"along axis 5 need .* not one of shape \[8192\]"):
        tx.init(jnp.ones(8192))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.dtype("bfloat16")], ids=["type", "dtype"])
def test_a_dtype_is_asked_for_by_name(dtype):
    with pytest.raises(TypeError, match="write 'bfloat16'"):
        gc.storage(gc.sgd(0.1, 0.9), momentum=dtype).init(jnp.ones(2))


@pytest.mark.parametrize("name", precision.CODECS)
def test_float16_arrays_are_kept(name):
    x = jnp.full((2, 256), 60000.0, jnp.float16).at[:, ::3].set(0.0)
    kept = precision.CODECS[name].encode(x)
    made = precision.CODECS[name].decode(kept, jax.ShapeDtypeStruct(x.shape, x.dtype))
    np.testing.assert_allclose(np.asarray(made, np.float32), np.asarray(x, np.float32), rtol=2e-3)
