"""Functions of a batch by parts, beside the whole batch and optax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain.as_optax as spoken
from gradchain.as_optax.microbatching import (
    AccumulationType,
    Accumulator,
    micro_grad,
    micro_vmap,
    microbatch,
    reshape_batch_axis,
)

MEAN, SUM, RUNNING, CONCAT = AccumulationType
X = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)


def in_all_ways(scale, x, *, y):
    """One result for each way."""
    return {"rows": (x * y, x + scale), "sum": jnp.sum(x, 0) * scale, "mean": jnp.mean(x * y)}


WAYS = {"rows": CONCAT, "sum": SUM, "mean": MEAN}


def close(found, expected, rtol=1e-5):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-6), found, expected
    )


@pytest.mark.parametrize("size", [1, 2, 6])
def test_parts_make_the_whole(size):
    f = microbatch(in_all_ways, 1, size, WAYS, argnames="y")
    close(f(jnp.float32(2.0), X, y=X + 1), in_all_ways(jnp.float32(2.0), X, y=X + 1))


def test_axes_belong_to_positions_and_names():
    f = lambda x, y: x @ y
    by_parts = microbatch(f, -2, 2, SUM, argnames="y", in_axes=(1, 0))
    close(by_parts(X.T, y=X), X.T @ X)
    # An axis may be counted from the end.
    close(microbatch(jnp.sum, 0, 3, in_axes=-1)(X.T), X.sum())


def test_the_rows_of_parts_are_those_of_optax():
    x = jnp.arange(12).reshape(2, 6)
    for axis, size in ((0, 1), (1, 3)):
        expected = optax.microbatching.reshape_batch_axis(x, size, axis)
        np.testing.assert_array_equal(reshape_batch_axis(x, size, axis), expected)
    f = lambda x: x[:-1] @ x[1:]
    x = jnp.arange(6.0)
    assert microbatch(f, 0, 3)(x) == optax.microbatch(f, 0, 3)(x) == 0 * 2 + 2 * 4 + 1 * 3 + 3 * 5


@pytest.mark.parametrize("way", AccumulationType, ids=lambda way: way.name)
def test_fewer_parts_may_run_and_their_number_be_traced(way):
    x = jnp.arange(8.0)
    run = lambda library, way: jax.jit(
        lambda n: library.microbatch(lambda x: 2 * x, 0, 2, way, num_real_microbatches=n)(x)
    )(3)
    theirs = optax.microbatching.AccumulationType[way.name]
    close(run(spoken, way), run(optax, theirs))


def test_sums_of_short_floats_are_kept_in_float32():
    x = jnp.full(1024, 1 / 128, jnp.bfloat16)
    for way in (SUM, MEAN, RUNNING):
        found = microbatch(jnp.sum, 0, 1, way)(x)
        expected = 8.0 if way is SUM else 1 / 128
        assert found.dtype == jnp.bfloat16
        assert float(found) == expected, way
    # 1 + 1/128 is no bfloat16: in optax the sum ends near 2.
    assert float(optax.microbatch(jnp.sum, 0, 1)(x)) < 4


def test_an_accumulator_of_ones_own_has_the_carry_it_likes():
    largest = Accumulator(
        init=lambda x: jnp.full(x.shape, -jnp.inf, x.dtype),
        update=lambda carry, x, i: jnp.maximum(carry, x),
        finalize=lambda carry: carry,
        aggregate=lambda x: jnp.max(x, 0),
    )
    assert microbatch(jnp.max, 0, 2, largest)(X) == X.max()
    assert micro_vmap(jnp.max, microbatch_size=3, accumulator=largest)(X) == X.max()


def test_the_memory_is_that_of_a_part():
    x = jnp.ones((1024, 8))
    wide = lambda x: jnp.sum(
        jnp.sin(x[:, :, None] * jnp.arange(64.0)[None, None]) @ jnp.ones((64, 2))
    )
    needed = lambda f: jax.jit(f).lower(x).compile().memory_analysis().temp_size_in_bytes
    assert needed(microbatch(wide, 0, 16)) < needed(wide) / 8


def test_vmap_by_parts_is_vmap():
    f = lambda x, c, *, y: {"at": x * c, "total": jnp.sum(x + y)}
    given = (X.T, jnp.float32(3.0))
    expected = jax.vmap(f, (1, None))(*given, y=X)
    close(micro_vmap(f, (1, None), microbatch_size=2)(*given, y=X), expected)
    close(micro_vmap(f, (1,))(*given, y=X), expected)
    by_sum = micro_vmap(f, (1,), microbatch_size=3, accumulator=SUM)(*given, y=X)
    close(by_sum, jax.tree.map(lambda x: x.sum(0), expected))
    two = micro_vmap(jnp.dot, microbatch_size=2)(X, X)
    close(two, (X * X).sum(1))


@pytest.mark.parametrize("keep", [True, False], ids=["batches of one", "examples"])
@pytest.mark.parametrize("size", [None, 2], ids=["at once", "by parts"])
def test_gradients_of_examples_are_joined(keep, size):
    def loss(w, x, y):
        assert x.ndim == 1 + keep
        return jnp.mean(jnp.square(x @ w - y)) / 2, {"shape": x.sum()}

    w, y = jnp.array([0.5, -1.0]), jnp.asarray(X[:, 0] * 2)
    options = {
        "has_aux": True,
        "batch_argnums": (1, 2),
        "keep_batch_dim": keep,
        "microbatch_size": size,
        "transform_fn": lambda g: (g, g**2),
        "metrics_fn": jnp.linalg.norm,
    }
    (grads, squares), each = micro_grad(loss, accumulator=MEAN, **options)(w, jnp.asarray(X), y)
    residual = X @ w - y
    per_example = residual[:, None] * X
    close(grads, per_example.mean(0))
    close(squares, (per_example**2).mean(0))
    close(each.values, residual**2 / 2)
    close(each.metrics, np.linalg.norm(per_example, axis=1))
    close(each.aux["shape"], X.sum(1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: microbatch(jnp.sum, 0, 4)(X), "batch_size=6 must be divisible .*=4"),
        (lambda: reshape_batch_axis(X, 4), "batch_size=6 must be divisible"),
        (lambda: microbatch(jnp.add, (0, 1), 2)(X, X[:4]), r"equal size, not \[4, 6\]"),
        (lambda: microbatch(jnp.sum, (), 2)(X), "no argument has a batch axis"),
        (lambda: microbatch(jnp.sum, 0, 2, MEAN)(X.astype(int)), "MEAN needs floating-point"),
        (lambda: microbatch(jnp.sum, 0, 2, "mean")(X), "'mean', neither an Accumulator"),
        (lambda: micro_vmap(jnp.sum, out_axes=1), "out_axes=1"),
    ],
    ids=["size", "axis", "unequal", "none", "integers", "way", "out_axes"],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises((ValueError, NotImplementedError), match=message):
        call()


def test_sharded_batches_are_split_where_they_lie():
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Explicit,))
    sharding = jax.sharding.NamedSharding(mesh, jax.P("data"))
    with jax.set_mesh(mesh):
        x = jax.device_put(np.arange(12.0, dtype=np.float32).reshape(4, 3), sharding)
        parts = jax.jit(lambda x: reshape_batch_axis(x, 2))(x)
        assert parts.sharding.spec == jax.P(None, "data", None)
        found = jax.jit(microbatch(lambda x: 2 * x, 0, 2, CONCAT))(x)
    np.testing.assert_array_equal(found, 2 * x)
    assert found.sharding.is_equivalent_to(sharding, 2)
