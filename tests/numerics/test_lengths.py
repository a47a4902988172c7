"""Tests of lengths: right at any size, plain where squares are in range, in every way."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

import gradchain as gc
from gradchain.numerics.lengths import bringing, in_range, length, length_along, rms, shortening
from gradchain.numerics.reductions import mean, total, total_along
from gradchain.tree.norms import tree_length
from tests.support.hlo import below, computations

pytestmark = pytest.mark.rotated(1)  # they take long

X = jnp.asarray(np.random.default_rng(0).standard_normal((6, 5)), jnp.float32)
EVERY = (
    2.0**-120,
    1e-30,
    1e-20,
    1e-3,
    1.0,
    1e5,
    1e19,
    1e30,
    5e37,
)  # X has numbers from 0.02 to 2.4
LENGTHS = {
    "length": (length, lambda x: np.sqrt(np.sum(np.abs(x) ** 2))),
    "rms": (rms, lambda x: np.sqrt(np.mean(np.abs(x) ** 2))),
    "length_along": (
        lambda x: length_along(x, 0),
        lambda x: np.sqrt(np.sum(np.abs(x) ** 2, 0, keepdims=True)),
    ),
    "tree_length": (
        lambda x: tree_length({"a": x[:2], "b": [x[2:]]}),
        lambda x: np.sqrt(np.sum(np.abs(x) ** 2)),
    ),
}
each_length = pytest.mark.parametrize(("ours", "exact"), LENGTHS.values(), ids=LENGTHS)
wide = lambda x: np.asarray(x, np.complex128 if jnp.iscomplexobj(x) else np.float64)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("x", [X, jax.lax.complex(X * 0.6, X * 0.8)], ids=["real", "complex"])
@each_length
def test_lengths_are_right_at_every_size(ours, exact, x, compiled):
    measure = jax.jit(ours) if compiled else ours
    for size in EVERY:
        scaled = x * jnp.asarray(size, x.dtype)
        value, unit = map(wide, measure(scaled))
        np.testing.assert_allclose(value * unit, exact(wide(scaled)), rtol=3e-7 * 4)


@each_length
def test_a_direction_is_right_at_every_size(ours, exact):
    direction = jax.jit(jax.grad(lambda x: jnp.sum(ours(x).number)))
    expected = direction(X)
    assert np.all(np.isfinite(expected)) and np.any(expected != 0)
    for size in EVERY:
        if size * np.max(exact(wide(X))) < 1e38:
            np.testing.assert_allclose(direction(X * jnp.float32(size)), expected, atol=1e-6)
    assert not np.any(direction(jnp.zeros_like(X)))


@each_length
def test_slopes_of_slopes_are_numbers(ours, exact):
    second = jax.jit(jax.hessian(lambda x: jnp.sum(ours(x).number)))
    few = X[:3, :2]
    numbers = second(few)
    step = 1e-2
    first = jax.jit(jax.grad(lambda x: jnp.sum(ours(x).number)))
    moved = few.at[0, 0].add(step), few.at[0, 0].add(-step)
    by_differences = (first(moved[0]) - first(moved[1])) / (2 * step)
    np.testing.assert_allclose(numbers[0, 0], by_differences, atol=2e-3)
    assert np.all(np.isfinite(second(jnp.zeros_like(few))))


def test_ordinary_lengths_are_the_plain_ones_bit_for_bit():
    for size in (1e-9, 1e-3, 1.0, 1e4, 1e17):
        x = X * jnp.float32(size)
        same = {
            "length": (length, lambda x: jnp.sqrt(total(jnp.square(x)))),
            "rms": (rms, lambda x: jnp.sqrt(mean(jnp.square(x)))),
            "along": (
                lambda x: length_along(x, 1),
                lambda x: jnp.sqrt(total_along(jnp.square(x), 1)),
            ),
        }
        for name, (ours, plain) in same.items():
            found, expected = jax.jit(ours)(x), jax.jit(plain)(x)
            assert np.all(found.unit == 1.0), name
            assert np.asarray(found.value).tobytes() == np.asarray(expected).tobytes(), name


def test_where_one_unit_is_out_of_range_the_others_stay_bit_for_bit():
    x = X.at[0].set(1e30).at[1].set(0.0)
    found = length_along(x, 1)
    plain = jnp.sqrt(jnp.sum(jnp.square(x), 1, keepdims=True))
    np.testing.assert_array_equal(found.number[2:], plain[2:])
    np.testing.assert_allclose(found.number[:2], [[5**0.5 * 1e30], [0.0]], rtol=1e-6)


@pytest.mark.parametrize("value", [jnp.nan, jnp.inf, -jnp.inf])
def test_what_is_not_finite_stays_so(value):
    x = X.at[1, 2].set(value)
    expected = np.nan if np.isnan(value) else np.inf
    for ours in (length, rms, tree_length):
        np.testing.assert_equal(float(ours(x).number), expected)


def test_a_batch_has_a_length_for_each():
    batch = jnp.stack([X, X * 1e30, X * 1e-30, X * 0])
    expected = [float(length(x).number) for x in batch]
    np.testing.assert_allclose(jax.vmap(lambda x: length(x).number)(batch), expected, rtol=1e-6)


def test_lengths_are_over_all_shards():
    mesh = jax.make_mesh((4,), ("a",), axis_types=(jax.sharding.AxisType.Auto,))
    x = jnp.asarray(np.random.default_rng(1).standard_normal((8, 4)), jnp.float32)
    all_of = lambda x: (gc.numerics.norm(x), rms(x).number, gc.global_norm({"a": x}))
    slopes = lambda x: jax.grad(lambda x: sum(all_of(x)))(x)
    for size in (1.0, 1e30, 1e-30, 0.0):
        here = jnp.float32(size) * x
        split = functools.partial(jax.shard_map, mesh=mesh, in_specs=P("a"))
        np.testing.assert_allclose(
            jax.jit(split(all_of, out_specs=P()))(here), all_of(here), rtol=2e-6
        )
        made = jax.jit(split(slopes, out_specs=P("a")))(here)
        np.testing.assert_allclose(made, slopes(here), atol=2e-6)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_narrow_numbers_are_added_up_in_float32(dtype):
    x = jnp.full((4096,), 300.0, dtype)  # whose square is beyond float16
    for found in (gc.numerics.norm(x), gc.global_norm([x])):
        assert found.dtype == jnp.float32
        np.testing.assert_allclose(found, 64 * float(x[0]), rtol=1e-6)


def test_doubles_have_ends_of_their_own():
    with jax.enable_x64(True):
        x = jnp.asarray(np.asarray(X, np.float64))
        for size in (1e-300, 1.0, 1e300):
            np.testing.assert_allclose(
                length(x * size).number / size, np.linalg.norm(X.ravel()), rtol=1e-6
            )
        mixed = {"a": jnp.asarray(X) * 1e30, "b": x * 1e-200}
        np.testing.assert_allclose(tree_length(mixed).number, np.linalg.norm(X) * 1e30, rtol=1e-6)


def test_factors_bring_to_a_length():
    for size in EVERY:
        x = X * jnp.float32(size)
        unit = bringing(length(x), 1.0).times(x)
        np.testing.assert_allclose(np.linalg.norm(wide(unit)), 1.0, rtol=1e-5)
        other = bringing(length(x), length(X * jnp.float32(1e30))).times(x)
        np.testing.assert_allclose(
            np.linalg.norm(wide(other)), np.linalg.norm(wide(X)) * 1e30, rtol=1e-5
        )
        short = shortening(length(x), 1.0).times(x)
        np.testing.assert_allclose(
            np.linalg.norm(wide(short)), min(1.0, np.linalg.norm(wide(x))), rtol=1e-5
        )
    zero = jnp.zeros(3)
    np.testing.assert_array_equal(bringing(length(zero), 1.0).times(zero), zero)
    np.testing.assert_array_equal(shortening(length(zero), 0.0).times(zero), zero)


def test_an_added_number_and_a_least_one_are_in_the_units_of_the_array():
    for size in (1e-30, 1.0, 1e30):
        of = length(X * jnp.float32(size))
        exact = np.linalg.norm(wide(X)) * size
        np.testing.assert_allclose(of.plus(size).number, exact + size, rtol=1e-6)
        for least in (0.0, exact / 2, exact * 2, 1e25):
            np.testing.assert_allclose(of.at_least(least).number, max(exact, least), rtol=1e-6)


def test_the_second_reading_is_in_a_branch():
    """In ordinary ranges the array is read once: the other sum is compiled, but not run."""
    program = jax.jit(lambda x: length(x).number).lower(X).compile().as_text()
    in_branches = below(program, "conditional")
    outside = [n for n in computations(program) if n not in in_branches]
    sums = lambda names: sum(
        "reduce(" in line for n in names for line in computations(program)[n]
    )
    assert "conditional(" in program and sums(in_branches) >= 1
    assert sums(outside) >= 1


def test_a_known_size_needs_no_branch():
    """Outside of jit nothing is compiled for what does not happen."""
    calls = []

    def squares(by):
        calls.append(by)
        return jnp.sum(jnp.square(X if by is None else X * by))

    in_range(squares)
    assert calls == [None]
