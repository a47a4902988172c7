"""Tests of adan beside the laws."""

import numpy as np

import gradchain as gc
from tests.support.runs import scalar_updates


def test_adan_sees_no_difference_at_the_first_step():
    np.testing.assert_allclose(scalar_updates(gc.scale_by_adan(), [2.0, 2.0]), 1.0, rtol=1e-6)
    ahead = scalar_updates(gc.scale_by_adan(b1=0.0, b2=0.5, b3=0.0), [2.0, 4.0])[1]
    np.testing.assert_allclose(
        ahead, (4.0 + 0.5 * (0.5 * 2.0 / 0.75)) / (4.0 + 0.5 * 2.0), rtol=1e-6
    )
