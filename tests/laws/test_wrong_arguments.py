"""Arguments of transformations and recipes that are out of range: the error names them."""

import re

import jax.numpy as jnp
import pytest

import gradchain as gc


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: gc.clip_by_history(window=0),
            "clip_by_history: window must be 1 or more, not 0",
        ),
        (lambda: gc.clip_by_history(1.5), "clip_by_history: quantile must be in [0, 1], not 1.5"),
        (
            lambda: gc.clip_by_zscore(warmup_steps=0),
            "clip_by_zscore: warmup_steps must be 1 or more, not 0",
        ),
        (lambda: gc.aggmo(0.1, ()), "scale_by_aggmo: decays must hold one number or more"),
        (lambda: gc.apollo(0.1, rank=0), "apollo: rank must be 1 or more, not 0"),
        (
            lambda: gc.apollo(0.1, update_every=-1),
            "apollo: update_every must be 1 or more, not -1",
        ),
        (
            lambda: gc.apollo(0.1, scale_by="row"),
            "scale_by must be one of 'channel', 'tensor', not 'row'",
        ),
        (
            lambda: gc.spam(0.1, reset_every=0),
            "spam: reset_every must be 1 or more, not 0",
        ),
        (
            lambda: gc.spam(0.1, warmup_steps=-1),
            "spam: warmup_steps must be 0 or more, not -1",
        ),
        (
            lambda: gc.stable_spam(0.1, reset_every=0),
            "stable_spam: reset_every must be 1 or more, not 0",
        ),
        (
            lambda: gc.polyak_sgd(variant="best"),
            "variant must be one of 'sps', 'sps+', not 'best'",
        ),
    ],
)
def test_a_wrong_argument_is_named(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make().init(jnp.zeros((2, 3)))


@pytest.mark.parametrize(
    ("tx", "message"),
    [
        (
            gc.centralize(output_dim=2),
            "centralize: a leaf of shape [2, 3] has no dimension output_dim=2",
        ),
        (
            gc.adaptive_grad_clip(0.1, axis=2),
            "an array of shape [2, 3] has not all of the dimensions (2,)",
        ),
    ],
)
def test_a_dimension_that_a_leaf_lacks_is_named(tx, message):
    p = jnp.zeros((2, 3))
    with pytest.raises(ValueError, match=re.escape(message)):
        tx.update(p, tx.init(p), p)
