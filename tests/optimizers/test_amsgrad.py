"""Tests of amsgrad beside the laws."""

import numpy as np

import gradchain as gc
from tests.support.runs import scalar_updates


def test_amsgrad_never_speeds_up_again():
    grads = [100.0] + [1.0] * 20
    ams, plain = (
        scalar_updates(gc.scale_by_amsgrad(b1=0.0, b2=0.5), grads),
        scalar_updates(gc.scale_by_adam(b1=0.0, b2=0.5), grads),
    )
    np.testing.assert_allclose(ams[-1], 0.01, rtol=1e-5)
    np.testing.assert_allclose(plain[-1], 1.0, rtol=0.01)
