"""Tests of adabound beside the laws."""

import numpy as np

import gradchain as gc
from tests.support.runs import scalar_updates


def test_adabound_begins_as_adam_and_ends_as_sgd():
    tx = gc.scale_by_adabound(b1=0.0, b2=0.9, final_scale=0.5, gamma=10.0)
    np.testing.assert_allclose(scalar_updates(tx, [3.0] * 2000)[-1], 1.5, rtol=1e-3)
    free = gc.scale_by_adabound(b1=0.0, b2=0.9, gamma=1e-9)
    np.testing.assert_allclose(
        scalar_updates(free, [3.0, -4.0]),
        scalar_updates(gc.scale_by_adam(b1=0.0, b2=0.9), [3.0, -4.0]),
        rtol=1e-5,
    )
