"""The gradient noise scale against covariances that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradchain.curvature import NoiseScale, gradient_noise_scale

G = {"a": np.array([0.5, -1.0, 0.0]), "b": np.array([[0.25, 0.5]])}
FACTORS = np.random.default_rng(0).standard_normal((5, 5))  # of the covariance, F F^T
LENGTH, VARIANCE = sum(np.sum(g**2) for g in G.values()), np.sum(FACTORS**2)


def drawn(key, *shape):
    """Gradients of single examples, with the mean ``G`` and the covariance ``F F^T``."""
    noise = jax.random.normal(key, (*shape, 5)) @ FACTORS.T
    around = lambda g, noise: jnp.broadcast_to(g, noise.shape) + noise
    return {
        "a": around(G["a"], noise[..., :3]),
        "b": around(G["b"], noise[..., None, 3:]),
        "hole": None,
    }


@pytest.mark.parametrize(("n", "batch_size"), [(2, 1), (2, 8), (16, 1), (5, 3)])
def test_both_estimates_are_without_bias(n, batch_size):
    def once(key):
        batches = jax.tree.map(lambda g: g.mean(1), drawn(key, n, batch_size))
        return gradient_noise_scale(batches, batch_size)

    times = 100_000
    found = jax.jit(jax.vmap(once))(jax.random.split(jax.random.key(1), times))
    for estimates, truth in ((found.squared_norm, LENGTH), (found.variance, VARIANCE)):
        error = estimates.std() / times**0.5
        assert abs(estimates.mean() - truth) < 4 * error < 0.1 * truth
    means = jax.tree.map(jnp.mean, found)
    np.testing.assert_allclose(means.scale, VARIANCE / LENGTH, rtol=0.1)
    assert found.squared_norm.min() < 0  # which a mean over steps mends


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.complex64])
def test_it_is_the_formula_of_the_paper(dtype):
    n, b = 6, 4
    grads = jax.tree.map(lambda g: g.astype(dtype), drawn(jax.random.key(2), n))
    grads["a"] = grads["a"] * jnp.asarray(1 + (1j if dtype == jnp.complex64 else 0), dtype)
    kind = np.complex128 if dtype == jnp.complex64 else np.float64
    rows = np.concatenate([np.asarray(x, kind).reshape(n, -1) for x in jax.tree.leaves(grads)], 1)
    small = np.mean(np.sum(np.abs(rows) ** 2, axis=1))
    big = np.sum(np.abs(rows.mean(0)) ** 2)
    found = jax.jit(gradient_noise_scale, static_argnums=1)(grads, b)
    assert found.squared_norm.dtype == found.variance.dtype == jnp.float32
    np.testing.assert_allclose(found.variance, (small - big) / (1 / b - 1 / (n * b)), rtol=1e-5)
    np.testing.assert_allclose(
        found.squared_norm, (n * b * big - b * small) / (n * b - b), rtol=1e-5
    )
    np.testing.assert_allclose(found.scale, found.variance / found.squared_norm)


def test_small_noise_on_a_long_gradient_is_not_lost():
    found = gradient_noise_scale(1e3 + jnp.array([[-0.125], [0.125]]))
    np.testing.assert_allclose(found.variance, 2 * 0.125**2)


def test_it_is_that_of_a_regression():
    """Of the loss (w x - y)^2 / 2 at w = 0 with y = x + noise the gradient is -x y."""
    x, noise = jax.random.normal(jax.random.key(3), (2, 100_000))
    loss = lambda w, x, y: (w * x - y) ** 2 / 2
    each = jax.vmap(jax.grad(loss), (None, 0, 0))(0.0, x, x + noise)
    np.testing.assert_allclose(gradient_noise_scale(each).scale, 3.0, rtol=0.05)  # E x^4 + 1 - 1


def test_a_scan_stacks_the_estimates_of_its_steps():
    step = lambda carry, key: (carry, gradient_noise_scale(drawn(key, 4)))
    _, found = jax.lax.scan(step, None, jax.random.split(jax.random.key(4), 3))
    assert isinstance(found, NoiseScale)
    assert found.scale.shape == (3,)


@pytest.mark.parametrize("way", ["jit", "shard_map"])
def test_parameters_may_be_split_over_devices(way):
    mesh = jax.make_mesh((8,), ("model",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec
    grads = jax.random.normal(jax.random.key(5), (4, 16))
    put = jax.device_put(grads, jax.sharding.NamedSharding(mesh, spec(None, "model")))
    measure = gradient_noise_scale
    if way == "shard_map":
        measure = jax.shard_map(
            measure, mesh=mesh, in_specs=spec(None, "model"), out_specs=spec()
        )
    found, expected = jax.jit(measure)(put), gradient_noise_scale(grads)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("grads", "message"),
    [
        ({"a": jnp.ones(3), "b": jnp.ones((2, 3))}, r"a float32\[3\], b float32\[2,3\]"),
        ({"a": jnp.ones((1, 3))}, r"two or more gradients .* there are a float32\[1,3\]"),
        (jnp.ones(()), r"there are the whole float32\[\]"),
        ({"a": None}, "there are none"),
    ],
)
def test_gradients_that_are_not_stacked_are_refused(grads, message):
    with pytest.raises(ValueError, match=f"gradient_noise_scale: .*{message}"):
        gradient_noise_scale(grads)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "4"])
def test_the_examples_of_a_batch_are_a_whole_number(wrong):
    with pytest.raises((ValueError, TypeError), match="gradient_noise_scale: batch_size must be"):
        gradient_noise_scale(jnp.ones((2, 3)), wrong)
