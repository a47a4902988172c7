"""Tests of adaptive clipping beside the laws."""

import jax.numpy as jnp
import numpy as np

import gradchain as gc


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
