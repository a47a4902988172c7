"""What the laws do not say of directions in eigenbases."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc

SHAPES = {"a": (6, 4), "b": (4, 6), "c": (2, 6, 4)}
rng = np.random.default_rng(0)
PARAMS = {k: jnp.asarray(rng.standard_normal(shape)) for k, shape in SHAPES.items()}
GRADS = [
    {k: jnp.asarray(rng.standard_normal(shape)) for k, shape in SHAPES.items()} for _ in range(8)
]


def run(tx, grads=GRADS):
    state, update = tx.init(PARAMS), jax.jit(tx.update)
    for g in grads:
        u, state = update(g, state, PARAMS)
    return u, state


@pytest.mark.parametrize("name", ["lion", "laprop", "ademamix", "factored_rms"])
def test_any_direction_may_be_inside(name):
    inner = getattr(gc, f"scale_by_{name}")()
    u, _ = run(gc.in_eigenbasis(inner, refresh=gc.refresh.every(3), where="*"))
    assert all(np.all(np.isfinite(x)) and np.any(x) for x in u.values())


def test_the_first_moment_does_not_depend_on_the_basis():
    inside = gc.in_eigenbasis(gc.average_updates(0.9), refresh=gc.refresh.every(2), where="*")
    u, _ = run(inside)
    expected, _ = run(gc.average_updates(0.9), GRADS[1:])  # the first gradient is skipped
    for k, x in u.items():
        np.testing.assert_allclose(x, expected[k], atol=1e-5)


def test_matrices_in_turn_have_the_bases_of_their_own_steps():
    once, in_turn = (
        run(gc.scale_by_soap(refresh=gc.refresh.every(100, staggered=staggered), where="*"))[1]
        for staggered in (False, True)
    )
    moved = {
        k: not np.allclose(once["in_eigenbasis"]["row_basis"][k], x, atol=1e-5)
        for k, x in in_turn["in_eigenbasis"]["row_basis"].items()
    }
    assert not any(moved.values())  # the first turns come after 92 steps and more


def test_a_long_side_has_no_basis():
    state = gc.scale_by_soap(max_precond_dim=5, where="*").init(PARAMS)["in_eigenbasis"]
    assert state["row_basis"]["a"] is None
    assert state["column_basis"]["a"].shape == (4, 4)


def test_the_state_has_the_size_of_the_formula():
    params = {"kernel": jnp.zeros((64, 32))}
    m, n = 64, 32
    sizes = {
        gc.scale_by_soap(): 2 * m * n + 2 * m**2 + 2 * n**2,
        gc.scale_by_shampoo(): m * n + 2 * m**2 + 2 * n**2,
        gc.scale_by_kl_shampoo(): m * n + 2 * m**2 + 2 * n**2 + m + n,
    }
    for tx, numbers in sizes.items():
        leaves = [x for x in jax.tree.leaves(tx.init(params)) if x.dtype == jnp.float32]
        assert sum(x.size for x in leaves) == numbers, tx


def test_soap_then_orthogonalized():
    tx = gc.chain(gc.scale_by_soap(where="*"), gc.orthogonalize("svd", where="*"))
    u, _ = run(tx)
    values = np.linalg.svd(u["a"], compute_uv=False)
    np.testing.assert_allclose(values, 1.0, atol=1e-5)


def test_when_stale_measures_what_is_off_the_diagonal():
    never, _ = run(gc.scale_by_soap(refresh=gc.refresh.when_stale(1.0), where="*"))
    rarely, _ = run(gc.scale_by_soap(refresh=gc.refresh.every(100), where="*"))
    often, _ = run(gc.scale_by_soap(refresh=gc.refresh.when_stale(0.0), where="*"))
    always, _ = run(gc.scale_by_soap(refresh=gc.refresh.every(1), where="*"))
    for k in SHAPES:
        np.testing.assert_allclose(never[k], rarely[k], atol=1e-5)
        np.testing.assert_allclose(often[k], always[k], atol=1e-4)


def test_eigenvalues_are_needed_to_divide():
    with pytest.raises(ValueError, match='divide=True needs the eigenvalues of estimate="kl"'):
        gc.in_eigenbasis(gc.scale_by_adam(), divide=True).init(PARAMS)


def test_names_are_checked():
    with pytest.raises(ValueError, match="sides"):
        gc.in_eigenbasis(gc.scale_by_adam(), sides="left").init(PARAMS)
    with pytest.raises(ValueError, match="roots"):
        gc.scale_by_shampoo(roots="svd", where="*").init(PARAMS)
