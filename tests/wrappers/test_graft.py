"""Tests of graft beside the laws."""

import jax.numpy as jnp
import numpy as np

import gradchain as gc
from tests.laws import samples


def test_graft_has_the_norms_of_one_and_the_directions_of_the_other():
    p, grads = samples.params(jnp.float32), samples.gradients(jnp.float32)
    g = samples.at(0, grads)
    update = lambda tx: tx.update(g, tx.init(p), p)[0]
    m, d = update(gc.sgd(0.3)), update(gc.adam(0.1))
    for name, u in samples.named(update(gc.graft(gc.sgd(0.3), gc.adam(0.1)))).items():
        length = np.linalg.norm(samples.named(m)[name])
        np.testing.assert_allclose(np.linalg.norm(u), length, rtol=1e-5)
        direction = samples.named(d)[name]
        np.testing.assert_allclose(
            np.vdot(u, direction), length * np.linalg.norm(direction), rtol=1e-5
        )
    u = update(gc.graft(gc.sgd(0.3), gc.adam(0.1), per_leaf=False))
    np.testing.assert_allclose(gc.global_norm(u), gc.global_norm(m), rtol=1e-5)
    samples.assert_close(
        gc.tree.map_leaves(lambda x: x * (gc.global_norm(d) / gc.global_norm(u)), u), d, 1e-5
    )
