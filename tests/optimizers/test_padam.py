"""Tests of padam beside the laws."""

import numpy as np

import gradchain as gc
from tests.support.runs import scalar_updates


def test_padam_goes_from_sgd_to_adam():
    grads = [3.0, -4.0, 0.5]
    adam = scalar_updates(gc.scale_by_adam(), grads)
    np.testing.assert_allclose(
        scalar_updates(gc.scale_by_padam(partial=0.5, amsgrad=False), grads), adam, rtol=1e-5
    )
    sgd = gc.scale_by_padam(b2=0.0, partial=0.0)  # which leaves Adam's corrected first moment
    np.testing.assert_allclose(scalar_updates(sgd, grads)[0], 3.0, rtol=1e-6)
