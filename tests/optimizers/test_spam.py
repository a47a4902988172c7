"""Tests of spam beside the laws."""

import jax.numpy as jnp
import numpy as np

import gradchain as gc
from tests.support.runs import after_quiet_steps


def test_spam_clips_the_element_that_spikes_and_no_other():
    spike = jnp.array([1000.0, 1.0, 1.0, 1.0])
    clipping, tolerant = (
        gc.scale_by_spam(b2=0.9, threshold=threshold) for threshold in (4.0, 1e9)
    )
    mu = lambda tx, g: after_quiet_steps(tx, g)[1]["scale_by_spam"]["mu"]
    quiet, clipped = mu(clipping, jnp.ones(4)), mu(clipping, spike)
    np.testing.assert_array_equal(clipped[1:], quiet[1:])
    assert quiet[0] < clipped[0] < 1.5
    assert mu(tolerant, spike)[0] > 100


def test_spam_does_not_silence_an_element_whose_first_gradient_comes_late():
    tx, p = gc.scale_by_spam(clip_after=1), jnp.zeros(2)
    state = tx.init(p)
    for _ in range(3):
        _, state = tx.update(jnp.array([1.0, 0.0]), state)
    assert tx.update(jnp.array([1.0, 1.0]), state)[0][1] > 0


def test_spam_forgets_and_starts_slowly():
    tx, g = gc.scale_by_spam(reset_every=5, warmup_steps=3), jnp.ones(1)
    state, sizes = tx.init(g), []
    for _ in range(8):
        u, state = tx.update(g, state)
        sizes.append(float(u[0]))
    np.testing.assert_allclose(sizes[:4], 1.0, rtol=1e-5)
    assert sizes[4] < 0.7 * sizes[3]
    np.testing.assert_allclose(
        sizes[4] / sizes[3], (0.1 / (1 - 0.9**5)) / (1e-3 / (1 - 0.999**5)) ** 0.5 * 0.155, 0.01
    )


def test_stable_spam_leaves_a_leaf_without_a_gradient_alone():
    tx, p = gc.scale_by_stable_spam(), {"a": jnp.ones(2), "b": jnp.ones(2)}
    _, before = tx.update(p, tx.init(p))
    updates, after = tx.update({"a": p["a"], "b": jnp.zeros(2)}, before)
    np.testing.assert_array_equal(updates["b"], 0.0)
    for slot in ("mu", "nu", "size", "square"):
        np.testing.assert_array_equal(
            after["scale_by_stable_spam"][slot]["b"], before["scale_by_stable_spam"][slot]["b"]
        )
