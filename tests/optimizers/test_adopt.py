"""Tests of adopt beside the laws."""

import numpy as np

import gradchain as gc
from tests.support.runs import scalar_updates


def test_the_first_step_of_adopt_only_measures():
    updates = scalar_updates(gc.adopt(0.1, b1=0.0), [5.0, 5.0, -50.0])
    np.testing.assert_allclose(updates, [0.0, -0.1, 0.1 * 2**0.25], rtol=1e-6)
    free = scalar_updates(
        gc.adopt(0.1, b1=0.0, b2=0.0, clip_value=float("inf")), [5.0, 5.0, -50.0]
    )
    np.testing.assert_allclose(free, [0.0, -0.1, 1.0], rtol=1e-6)


def test_a_schedule_bounds_the_steps_of_adopt():
    tx = gc.scale_by_adopt(b1=0.0, b2=0.0, clip_value=lambda step: 1.0 / step.astype(float))
    np.testing.assert_allclose(scalar_updates(tx, [1.0, 9.0, 81.0]), [0.0, 1.0, 0.5])
