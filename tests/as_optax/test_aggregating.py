"""Gradients of elements that become one, beside optax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain.as_optax as spoken

ours = spoken.experimental.aggregating
theirs = optax.experimental.aggregating
PARAMS = {"w": jnp.array([0.5, -1.0]), "b": jnp.array(0.25)}
GRADS = np.random.default_rng(1).normal(size=(6, 4, 3)).astype(np.float32)


def batches():
    """Gradients of four elements, six times."""
    return [{"w": jnp.asarray(g[:, :2]), "b": jnp.asarray(g[:, 2])} for g in GRADS]


def walk(library, of_tx):
    """The updates of each step and the last state."""
    module = library.experimental.aggregating
    tx = of_tx(library, module)
    state, found = tx.init(PARAMS), []
    with jax.numpy_dtype_promotion("standard"):
        for grads in batches():
            updates, state = tx.update(grads, state, PARAMS)
            found.append(updates)
    return tx, found, state


CHAINS = {
    "mean": lambda lib, m: m.process(
        lib.identity(), m.average_per_element_updates(0), lib.adam(0.1)
    ),
    "clip each": lambda lib, m: m.process(
        lib.stateless(lambda g, p: jax.tree.map(jnp.tanh, g)),
        m.average_incrementally_updates(0, 3),
        lib.adam(0.1),
    ),
    "over steps": lambda lib, m: m.process(
        lib.GradientTransformation(
            lib.init_empty_state, lambda g, s, p=None: (jax.tree.map(lambda x: x[0], g), s)
        ),
        m.average_incrementally_updates(None, 2),
        lib.sgd(0.1, momentum=0.9),
    ),
    "moments": lambda lib, m: m.add_mean_variance_to_opt(lib.adam(0.1), 0.8),
    "moments over steps": lambda lib, m: m.add_mean_variance_to_opt(
        lib.adam(0.1), 0.8, accumulation_steps=2
    ),
}


@pytest.mark.parametrize("name", CHAINS)
def test_updates_and_states_are_those_of_optax(name):
    (tx, found, state), (other, expected, reference) = (
        walk(library, CHAINS[name]) for library in (spoken, optax)
    )
    assert isinstance(tx, ours.Aggregator) == isinstance(other, theirs.Aggregator)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)
    assert jax.tree.map(jnp.shape, found) == jax.tree.map(jnp.shape, expected)
    jax.tree.map(close, found, expected)
    paths = lambda s: [jax.tree_util.keystr(p) for p, _ in jax.tree.leaves_with_path(s)]
    assert paths(state) == paths(reference)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(reference), strict=True):
        assert a.dtype == b.dtype
        close(a, b)
    if "moments" in name:
        means = ours.get_unbiased_mean_and_variance_ema(state)
        jax.tree.map(close, means, theirs.get_unbiased_mean_and_variance_ema(reference))


def test_moments_over_steps_are_those_of_all_elements():
    tx = ours.get_per_element_mean_and_sum_sq_diff_grads(0, 6)
    state = tx.init(PARAMS)
    for grads in batches():
        (mean, aux), state = tx.update(grads, state)
    every = GRADS.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(mean["w"], every.mean(0)[:2], rtol=1e-5)
    squares = np.square(every - every.mean(0)).sum(0)
    np.testing.assert_allclose(aux["sum_sq_diff_grads"]["b"], squares[2], rtol=1e-5)
    assert aux["sample_size"] == 24
    assert state.ready
    assert state.micro_step == 0


def test_only_aggregators_are_aggregators():
    assert isinstance(ours.average_per_element_updates(), ours.Aggregator)
    assert isinstance(ours.average_per_element_updates(), spoken.GradientTransformationExtraArgs)
    for tx in (spoken.adam(0.1), spoken.identity(), ours.accumulate_avg_updates(2)):
        assert not isinstance(tx, ours.Aggregator)


def test_the_number_of_elements_is_one():
    of = ours.get_batch_size_from_per_elt_updates
    assert of({"a": jnp.ones((2, 3, 4))}, (0, 1)) == 6
    with pytest.raises(ValueError, match=r"same batch size. Got: \[2, 3\]"):
        of([jnp.ones(2), jnp.ones(3)], 0)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"accumulation_steps must be .* not 0"):
        ours.accumulate_avg_updates(0)
    with pytest.raises(ValueError, match="add_mean_variance_to_opt makes"):
        ours.get_unbiased_mean_and_variance_ema(spoken.adam(0.1).init(PARAMS))
