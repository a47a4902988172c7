"""Polar factors: bands of singular values, forms and precisions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st

import gradchain as gc
from gradchain.numerics import polar

pytestmark = pytest.mark.rotated(1)  # they take long

#: The bands that ``orthogonalize`` states, for singular values of a hundredth of the norm or more.
BANDS = {
    "quintic": (0.68, 1.14),
    "optimized": (0.97, 1.04),
    "polar_express": (0.87, 1.13),
    "cans": (0.88, 1.12),
    "turbo": (0.76, 1.09),
    "deepseek": (0.99, 1.01),
    "cubic": (0.77, 1.31),
}
TOP = 1.31  # no singular value is above it, however small it was


def parts(
    seed: int, m: int, n: int, rank: int, condition: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The singular vectors and values of a matrix of a rank and a condition number."""
    rng = np.random.default_rng(seed)
    rank = min(rank, m, n)
    left, _ = np.linalg.qr(rng.standard_normal((m, rank)))
    right, _ = np.linalg.qr(rng.standard_normal((n, rank)))
    values = np.geomspace(1.0, 1.0 / condition, rank) if rank > 1 else np.ones(rank)
    return left, values, right


def matrix(seed: int, m: int, n: int, rank: int, condition: float, size: float) -> np.ndarray:
    """The matrix itself, in float64."""
    left, values, right = parts(seed, m, n, rank, condition)
    return size * (left * values) @ right.T


def check_band(name: str, of: tuple, size: float, form: str = "auto") -> None:
    """Whether singular values are in the band, and directions are kept."""
    left, values, right = parts(*of)
    g = size * (left * values) @ right.T
    tx = gc.orthogonalize(name, form=form)
    x = jnp.asarray(g, jnp.float32)
    u = np.asarray(tx.update(x, tx.init(x))[0], np.float64)
    assert np.all(np.isfinite(u))
    low, high = BANDS[name]
    clear = values / np.linalg.norm(values) > 0.01
    made = left.T @ u @ right
    kept = np.diag(made)[clear]
    assert np.all(kept >= low - 0.01)
    assert np.all(kept <= high + 0.01)
    # What has a hundredth of the norm or more is not mixed with others.
    off = made[clear][:, clear] - np.diag(kept)
    assert np.abs(off).max(initial=0.0) < 0.01
    assert np.linalg.norm(u, 2) <= TOP + 0.01


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(sorted(BANDS)),
    st.tuples(st.integers(1, 600), st.integers(1, 600)),
    st.floats(0.0, 6.0),
    st.floats(-30.0, 30.0),
    st.integers(1, 600),
)
# Ten steps made -1e-7, where a matrix of low rank has 0, explode in the Gram form.
@example("deepseek", (2, 203), 4.0, 0.0, 3)
@example("deepseek", (65, 140), 0.0, 0.0, 35)
def test_singular_values_come_into_the_band(name, shape, condition, size, rank):
    check_band(name, (rank, *shape, rank, 10.0**condition), 10.0**size)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["standard", "gram"])
@pytest.mark.parametrize("name", BANDS)
def test_all_sets_bring_all_shapes_into_the_band(name, form):
    for seed, (m, n) in enumerate([(1, 1), (1, 600), (600, 2), (64, 64), (300, 500), (600, 600)]):
        for i, (rank, condition) in enumerate([(1, 1.0), (3, 1e3), (600, 1.0), (600, 1e6)]):
            size = (1e-30, 1.0, 1e30)[(seed + i) % 3]
            check_band(name, (seed, m, n, rank, condition), size, form)


@pytest.mark.parametrize("name", [*BANDS, "svd", "qdwh"])
def test_zero_stays_zero_and_one_row_becomes_a_unit(name):
    tx = gc.orthogonalize(name)
    g = {"row": jnp.asarray([[3e-30, 4e-30]]), "zero": jnp.zeros((3, 4))}
    u, _ = tx.update(g, tx.init(g))
    np.testing.assert_array_equal(u["zero"], 0.0)
    low, high = BANDS.get(name, (0.999, 1.001))
    assert low <= float(jnp.linalg.norm(u["row"])) <= high
    np.testing.assert_allclose(u["row"][0, 1] / u["row"][0, 0], 4 / 3, rtol=1e-5)


def test_both_forms_are_the_same_polynomial():
    g = jnp.asarray(matrix(0, 24, 90, 24, 30.0, 1.0), jnp.float32)[None]
    x = polar.unit_length(g)
    for name in polar.COEFFICIENTS:
        rows = polar.coefficients_of(name, None)
        plain = polar.newton_schulz(x, rows, "standard")
        for restart in (None, 2, 3):
            gram = polar.newton_schulz(x, rows, "gram", restart)
            np.testing.assert_allclose(gram, plain, atol=2e-5)


@pytest.mark.parametrize("precision", ["mixed", "bfloat16"])
def test_low_precision_keeps_the_direction(precision):
    g = jnp.asarray(matrix(1, 64, 200, 64, 30.0, 1.0), jnp.float32)
    exact = gc.orthogonalize("svd")
    for form in ("standard", "gram"):
        tx = gc.orthogonalize("polar_express", precision=precision, form=form)
        u, _ = tx.update(g, tx.init(g))
        right, _ = exact.update(g, exact.init(g))
        cosine = jnp.sum(u * right) / jnp.linalg.norm(u) / jnp.linalg.norm(right)
        assert u.dtype == jnp.float32
        assert cosine > 0.98


@pytest.mark.parametrize("normalize", polar.NORMS)
def test_norms_bound_the_largest_singular_value(normalize):
    g = jnp.asarray(matrix(2, 12, 30, 12, 30.0, 1e20), jnp.float32)[None]
    x = polar.unit_length(g, normalize)
    assert float(jnp.linalg.norm(x[0], 2)) <= 1 + 1e-5
    tx = gc.orthogonalize("deepseek", normalize=normalize)
    u, _ = tx.update(g[0], tx.init(g[0]))
    np.testing.assert_allclose(jnp.linalg.svd(u, compute_uv=False), 1.0, atol=0.01)


def test_the_gram_form_has_fewer_operations_where_it_says_so():
    rows = polar.coefficients_of("quintic", None)
    flops = {}
    for form in ("standard", "gram"):
        f = lambda x, form=form: polar.newton_schulz(x, rows, form)
        program = jax.jit(f).lower(jnp.zeros((1, 64, 256))).compile()
        flops[form] = program.cost_analysis()["flops"]
    counted = polar.operations(64, 256, rows, 5) / polar.operations(64, 256, rows, 1)
    assert flops["gram"] / flops["standard"] == pytest.approx(counted, rel=0.05)
    assert counted < 0.6


def test_exact_methods_agree():
    g = jnp.asarray(matrix(3, 9, 5, 5, 1e3, 1.0), jnp.float32)
    made = []
    for name in ("svd", "qdwh"):
        tx = gc.orthogonalize(name)
        made.append(tx.update(g, tx.init(g))[0])
    np.testing.assert_allclose(made[0], made[1], atol=1e-4)
    np.testing.assert_allclose(made[0].T @ made[0], jnp.eye(5), atol=1e-4)


@pytest.mark.parametrize(
    "rows", [[], [(1.0, 2.0)], (3.4445, -4.7750, 2.0315)], ids=["none", "of two", "one row"]
)
def test_coefficients_are_rows_of_three(rows):
    tx, g = gc.orthogonalize(rows), jnp.eye(2)
    with pytest.raises(ValueError, match=r"one row \(a, b, c\) for each step"):
        tx.update(g, tx.init(g))
