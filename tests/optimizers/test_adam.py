"""Tests of adam beside the laws."""

import numpy as np

import gradchain as gc
from tests.support.runs import scalar_updates


def test_adamc_decays_by_the_square_of_the_rate():
    tx = gc.adamc(gc.linear_schedule(0.1, 0.0, 2), max_learning_rate=0.2, weight_decay=1.0)
    np.testing.assert_allclose(
        scalar_updates(tx, [0.0, 0.0, 0.0], params=4.0), [-0.2, -0.05, 0.0], rtol=1e-6
    )
