"""Tests of QK-Clip beside the laws."""

import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc


def module(*shapes):
    names = ("query", "key", "value")
    return {n: {"kernel": jnp.ones(s)} for n, s in zip(names, shapes, strict=True)}


def clipped(params, logits, tx=None):
    """The parameters after a step without gradients."""
    tx = gc.qk_clip(100.0) if tx is None else tx
    zeros = {"attention": {n: {"kernel": 0 * x["kernel"]} for n, x in params.items()}}
    given, state = {"attention": params}, tx.init({"attention": params})
    u, _ = tx.update(zeros, state, given, max_logits={"attention": jnp.asarray(logits)})
    p = gc.apply_updates(given, u)["attention"]
    return {n: np.asarray(x["kernel"]) for n, x in p.items()}


def test_heads_above_the_threshold_shrink_and_no_others():
    p = clipped(module((3, 2, 4), (3, 2, 4), (3, 2, 4)), [50.0, 400.0])
    for name in ("query", "key"):
        np.testing.assert_array_equal(p[name][:, 0], 1.0)
        np.testing.assert_allclose(p[name][:, 1], 0.5, rtol=1e-6)
    np.testing.assert_array_equal(p["value"], 1.0)


def test_heads_that_stand_in_one_dimension():
    p = clipped(module((3, 8), (3, 8), (3, 8)), [400.0, 50.0])
    for name in ("query", "key"):
        np.testing.assert_allclose(p[name][:, :4], 0.5, rtol=1e-6)
        np.testing.assert_array_equal(p[name][:, 4:], 1.0)


def test_keys_that_several_queries_share():
    tx = gc.qk_clip(100.0, 0.25, queries_per_key=2)
    p = clipped(module((3, 4, 2), (3, 2, 2), (3, 2, 2)), [1.0, 400.0, 200.0, 1.0], tx)
    np.testing.assert_allclose(p["query"][0, :, 0], [1, 0.25**0.25, 0.5**0.25, 1], rtol=1e-6)
    np.testing.assert_allclose(p["key"][0, :, 0], [0.25**0.75, 0.5**0.75], rtol=1e-6)


def test_stacked_layers_and_logits_that_are_not_finite():
    p = clipped(module((2, 3, 2, 1), (2, 3, 2, 1), (1,)), [[400.0, 1.0], [jnp.inf, jnp.nan]])
    np.testing.assert_allclose(p["query"][:, 0, :, 0], [[0.5, 1.0], [1.0, 1.0]], rtol=1e-6)


def test_errors_name_the_module():
    good = module((3, 2, 4), (3, 2, 4), (1,))
    with pytest.raises(ValueError, match="no parameter is called 'attention/q'; the arguments"):
        clipped(good, [1.0, 1.0], gc.qk_clip(query="q"))
    with pytest.raises(ValueError, match=r"'attention/key/kernel' of shape \[3, 2, 4\] has not"):
        clipped(good, [1.0, 1.0, 1.0])
    with pytest.raises(
        ValueError, match=r"has 2 heads, which are not groups of queries_per_key=4"
    ):
        clipped(good, [1.0, 1.0], gc.qk_clip(queries_per_key=4))
    with pytest.raises(TypeError, match="needs the extra argument 'max_logits'"):
        gc.qk_clip().update(good, {}, good)
