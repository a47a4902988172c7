"""The private modules of optax that programs import have what they define."""

import importlib
import pkgutil
import typing
import warnings
from collections import abc

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradchain.as_optax as spoken
from gradchain.as_optax import _src
from tests.as_optax.test_names import is_version, public

FOREIGN = {*dir(typing), *dir(abc)}
#: by module, the names that are lacking, and why
LACKING = {
    "linesearch": dict.fromkeys(
        [
            "BacktrackingLineSearchState",
            "FLAG_CURVATURE_COND_NOT_SATISFIED",
            "FLAG_INTERVAL_NOT_FOUND",
            "FLAG_INTERVAL_TOO_SMALL",
            "FLAG_NOT_A_DESCENT_DIRECTION",
            "FLAG_NO_STEPSIZE_FOUND",
            "ZoomLinesearchState",
            "zoom_linesearch",
        ],
        "the searches are gradchain's, with states and words of their own",
    )
}
#: modules of tests of optax
TESTS = {"test_utils"}


def theirs():
    names = [m.name for m in pkgutil.iter_modules(optax._src.__path__)]
    return {n for n in names if not n.endswith("_test")} - TESTS


@is_version
def test_all_modules_are_there():
    assert {m.name for m in pkgutil.iter_modules(_src.__path__)} == theirs()
    assert all(hasattr(spoken._src, name) for name in theirs())


@is_version
def test_these_names_are_lacking():
    found = {}
    for name in sorted(theirs()):
        ours = importlib.import_module(f"gradchain.as_optax._src.{name}")
        names = public(importlib.import_module(f"optax._src.{name}"))
        found[name] = names - FOREIGN - set(dir(ours))
    assert {name: x for name, x in found.items() if x} == {n: set(x) for n, x in LACKING.items()}


def test_names_are_those_of_the_public_modules():
    assert _src.base.EmptyState is spoken.EmptyState
    assert _src.alias.adam is spoken.adam
    assert _src.combine.chain is spoken.transforms.chain


X = jnp.arange(6.0).reshape(2, 3)
MATRICES = jnp.arange(18.0).reshape(2, 3, 3)
CALLS = {
    "tile_second_to_last_dim": lambda src: src.utils.tile_second_to_last_dim(X),
    "set_diags": lambda src: src.utils.set_diags(MATRICES, X),
    "canonicalize_key": lambda src: jax.random.uniform(src.utils.canonicalize_key(3)),
    "the same key": lambda src: jax.random.uniform(src.utils.canonicalize_key(jax.random.key(3))),
    "abs_sq": lambda src: src.numerics.abs_sq(X.astype(complex) * 1j),
    "get_spectral_radius_upper_bound": lambda src: (
        src.linear_algebra.get_spectral_radius_upper_bound(MATRICES[0])
    ),
    "no matrix": lambda src: src.linear_algebra.get_spectral_radius_upper_bound(
        jnp.zeros((0, 0))
    ),
    "canonicalize_dtype": lambda src: jnp.zeros(1, src.utils.canonicalize_dtype(jnp.float64)),
}


@pytest.mark.parametrize("name", CALLS)
def test_numbers_are_those_of_optax(name):
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        expected = CALLS[name](optax._src)
    found = CALLS[name](_src)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-6)


WRONG = {
    "subdtype": lambda src: src.utils.check_subdtype(X, jnp.integer),
    "shapes": lambda src: src.utils.check_shapes_equal(X, X[0]),
    "rank": lambda src: src.utils.check_rank(X, 3),
    "diagonals of": lambda src: src.utils.set_diags(X, X),
    "one diagonal": lambda src: src.utils.set_diags(MATRICES, X[0]),
    "not square": lambda src: src.utils.set_diags(MATRICES[:, :2], X),
    "diagonals": lambda src: src.utils.set_diags(MATRICES, X[:1]),
    "abs_sq": lambda src: src.numerics.abs_sq(3.0),
}


@pytest.mark.parametrize("name", WRONG)
def test_checks_raise_as_in_optax(name):
    with pytest.raises((TypeError, ValueError)) as expected:
        WRONG[name](optax._src)
    with pytest.raises(expected.type, match=f"^{str(expected.value)[:12]}"):
        WRONG[name](_src)


def test_precision_is_that_of_the_context_and_then_as_before():
    with _src.utils.x64_precision(True):
        assert jnp.ones(1).dtype == jnp.float64
    assert jnp.ones(1).dtype == jnp.float32


def test_old_names_and_functions_warn():
    answer = _src.deprecations.deprecation_getattr(
        "here", {"old": ("Use new.", 3), "gone": ("No.", None)}
    )
    with pytest.warns(DeprecationWarning, match="Use new"):
        assert answer("old") == 3
    with pytest.raises(AttributeError, match="No"):
        answer("gone")
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        answer("other")
    old = _src.deprecations.warn_deprecated_function(abs, "new", "2.0")
    with pytest.warns(DeprecationWarning, match=r"abs is deprecated. Please use new .* 2.0"):
        assert old(-1) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _src.deprecations.warn_deprecated_function(abs)  # making it warns of nothing
