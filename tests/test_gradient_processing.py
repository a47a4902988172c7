"""Clipping, processing and multipliers: what the laws do not ask."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain as gc


def once(tx, g, params=None):
    return tx.update(g, tx.init(g if params is None else params), params)[0]


@pytest.mark.parametrize("size", [1e10, 1e25, 1e37])
def test_a_norm_whose_square_overflows_is_clipped_right(size):
    g = {"a": jnp.array([3.0, 0.0]) * size, "b": jnp.array([4.0]) * size}
    for tx in (gc.clip_by_global_norm(1.0), gc.normalize()):
        u = once(tx, g)
        np.testing.assert_allclose(np.concatenate([u["a"], u["b"]]), [0.6, 0.0, 0.8], rtol=1e-6)


def test_a_bound_of_zero_stops_everything_and_no_update_is_not_a_number():
    for tx in (gc.clip_by_global_norm(0.0), gc.clip_by_norm(0.0), gc.clip_by_block_rms(0.0)):
        for g in (jnp.zeros(3), jnp.ones(3)):
            np.testing.assert_array_equal(once(tx, g), np.zeros(3))


def test_slopes_go_through_a_clip_that_does_not_bind():
    slope = jax.grad(lambda g: jnp.sum(once(gc.clip_by_global_norm(10.0), g) ** 2))
    np.testing.assert_allclose(slope(jnp.array([1.0, 2.0])), [2.0, 4.0])


@pytest.mark.parametrize(
    "shape", [(), (4,), (4, 1), (4, 3), (2, 4, 3), (2, 2, 4, 3), (2, 2, 2, 4, 3)]
)
def test_units_are_those_of_optax(shape):
    rng = np.random.default_rng(0)
    p, g = (jnp.asarray(rng.standard_normal(shape), jnp.float32) for _ in range(2))
    with jax.numpy_rank_promotion("allow"):
        expected, _ = optax.adaptive_grad_clip(0.5).update(g, optax.EmptyState(), p)
    np.testing.assert_allclose(once(gc.adaptive_grad_clip(0.5), g, p), expected, rtol=1e-6)


def test_a_unit_may_be_a_row():
    g, p = jnp.array([[3.0, 4.0], [0.0, 0.1]]), jnp.array([[1.0, 0.0], [1.0, 0.0]])
    np.testing.assert_allclose(
        once(gc.adaptive_grad_clip(1.0, axis=1), g, p), [[0.6, 0.8], [0.0, 0.1]], rtol=1e-6
    )


def test_history_forgets_after_its_window():
    tx = gc.clip_by_history(1.0, window=2)
    state = tx.init(jnp.zeros(1))
    for g in (100.0, 1.0, 2.0):
        _, state = tx.update(jnp.array([g]), state)
    assert np.sort(state["clip_by_history"]["norms"]).tolist() == [1.0, 2.0]


def test_spikes_are_cut_and_what_is_no_number_is_not_remembered():
    tx = gc.clip_by_zscore(warmup_steps=10)
    state, rng = tx.init(jnp.zeros(1)), np.random.default_rng(0)
    for _ in range(30):
        _, state = tx.update(jnp.array([1.0 + 0.1 * rng.standard_normal()]), state)
    spike, _ = tx.update(jnp.array([50.0]), state)
    assert 0.9 < float(spike[0]) < 1.1
    for bad in (jnp.inf, jnp.nan):
        _, after = tx.update(jnp.array([bad]), state)
        for name in ("mean", "variance"):
            assert after["clip_by_zscore"][name] == state["clip_by_zscore"][name]


def test_nans_are_counted_leaf_by_leaf():
    tx, g = gc.zero_nans(), {"a": jnp.array([jnp.nan, 1.0, jnp.nan]), "b": jnp.array([jnp.inf])}
    u, state = tx.update(g, tx.init(g))
    assert u["a"].tolist() == [0.0, 1.0, 0.0]
    assert np.isinf(u["b"][0])
    assert jax.tree.map(float, state["zero_nans"]["found_nan"]) == {"a": 2.0, "b": 0.0}


def test_centralized_units_have_mean_zero():
    g = jnp.asarray(np.random.default_rng(0).standard_normal((3, 4, 5)), jnp.float32)
    for dim, others in ((0, (1, 2)), (-1, (0, 1))):
        np.testing.assert_allclose(jnp.mean(once(gc.centralize(dim), g), others), 0.0, atol=1e-6)
    np.testing.assert_array_equal(once(gc.centralize(), g[0, 0]), g[0, 0])


def test_an_orthogonal_gradient_is_orthogonal_and_as_long():
    rng = np.random.default_rng(0)
    p, g = (jnp.asarray(rng.standard_normal((4, 3)), jnp.float32) for _ in range(2))
    for scale in (1e-15, 1.0, 1e15):
        u = once(gc.orthogonal_to_weights(), g * scale, p) / scale
        assert float(jnp.sum(u * p)) == pytest.approx(0.0, abs=1e-5)
        assert float(jnp.linalg.norm(u)) == pytest.approx(float(jnp.linalg.norm(g)), rel=1e-5)
    np.testing.assert_array_equal(once(gc.orthogonal_to_weights(), 3.0 * p, p), jnp.zeros_like(p))
    np.testing.assert_allclose(once(gc.orthogonal_to_weights(), g, jnp.zeros_like(p)), g, rtol=1e-6)


def test_a_parameter_at_zero_can_leave_it():
    g = jnp.array([1.0, 2.0])
    np.testing.assert_array_equal(once(gc.scale_by_trust_ratio(), g, jnp.zeros(2)), g)
    np.testing.assert_array_equal(once(gc.scale_by_trust_ratio(), jnp.zeros(2), g), np.zeros(2))


LAYERS = {
    "embed": {"table": 1.0},
    "layers_0": {"kernel": 1.0},
    "layers_1": {"kernel": 1.0},
    "layers_11": {"kernel": 1.0},
    "head": {"kernel": 1.0},
}


def factors(tx):
    tree = jax.tree.map(jnp.float32, LAYERS)
    return {k: float(*jax.tree.leaves(v)) for k, v in once(tx, tree).items()}


def test_depths_come_from_paths_globs_or_a_function():
    found = factors(gc.layerwise_decay(0.5))
    assert found == {
        "embed": 1.0,
        "layers_0": 0.5**11,
        "layers_1": 0.5**10,
        "layers_11": 1.0,
        "head": 1.0,
    }
    found = factors(gc.layerwise_decay(0.5, {"embed/*": -1}, last=12))
    assert found == {
        "embed": 0.5**13,
        "layers_0": 0.5**12,
        "layers_1": 0.5**11,
        "layers_11": 0.5,
        "head": 1.0,
    }
    found = factors(gc.layerwise_decay(0.5, lambda path: 0 if "layers" in path else 1))
    assert found == {"embed": 1.0, "layers_0": 0.5, "layers_1": 0.5, "layers_11": 0.5, "head": 1.0}


def test_the_longest_glob_that_matches_gives_the_factor():
    found = factors(gc.scale_by_path({"layers_1/*": 2.0, "layers_*": 3.0}, 0.5))
    assert found == {"embed": 0.5, "layers_0": 3.0, "layers_1": 2.0, "layers_11": 3.0, "head": 0.5}


def test_independent_decay_does_not_know_the_learning_rate():
    p = jnp.array([2.0])
    for rate in (1e-6, 1.0):
        tx = gc.chain(gc.sgd(rate), gc.add_independent_weight_decay(0.25))
        np.testing.assert_allclose(once(tx, jnp.zeros(1), p), [-0.5])


def test_initial_weights_are_kept_only_where_they_pull():
    params = {"bias": jnp.ones(2), "kernel": jnp.ones((2, 2))}
    state = gc.decay_towards_initial(0.1, "kernel").init(params)
    assert state["decay_towards_initial"]["initial"]["bias"] is None
