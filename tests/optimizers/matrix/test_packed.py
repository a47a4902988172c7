"""One triangle of a symmetric factor is the factor."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc

SHAPES = {"a": (6, 4), "b": (4, 6), "c": (5, 5), "d": (2, 4, 6)}
often = gc.refresh.every(2)
CASES = {
    "in_eigenbasis": lambda **k: gc.in_eigenbasis(gc.scale_by_lion(), refresh=often, **k),
    "kl_shampoo": lambda **k: gc.kl_shampoo(0.1, refresh=often, **k),
    "kl_soap": lambda **k: gc.kl_soap(0.1, refresh=often, **k),
    "scale_by_kl_shampoo": lambda **k: gc.scale_by_kl_shampoo(refresh=often, **k),
    "scale_by_shampoo": lambda **k: gc.scale_by_shampoo(refresh=often, ridge=1e-3, **k),
    "scale_by_soap": lambda **k: gc.scale_by_soap(refresh=often, **k),
    "shampoo": lambda **k: gc.shampoo(0.1, ridge=1e-3, refresh=often, **k),
    "shampoo-blocks": lambda **k: gc.shampoo(
        0.1, ridge=1e-3, refresh=often, block_size=3, roots="qr", **k
    ),
    "soap": lambda **k: gc.soap(0.1, refresh=often, **k),
}


def drawn(seed: int, dtype: object = jnp.float64):
    """A tree of matrices."""
    rng = np.random.default_rng(seed)
    made = {k: rng.normal(size=v) for k, v in SHAPES.items()}
    if jnp.issubdtype(dtype, jnp.complexfloating):
        made = {k: x + 1j * rng.normal(size=x.shape) for k, x in made.items()}
    return {k: jnp.asarray(x, dtype) for k, x in made.items()}


@pytest.mark.rotated(3)
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_the_trajectory_is_the_same(name, dtype):
    with jax.enable_x64(True):
        params, found = drawn(0, dtype), []
        for packed in (False, True):
            tx, made = CASES[name](packed=packed, where="*"), []
            state, update = tx.init(params), jax.jit(tx.update)
            for i in range(5):
                u, state = update(drawn(i, dtype), state, params)
                made.append(u)
            found.append(made)
        same = lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-9)
        jax.tree.map(same, *found)


@pytest.mark.parametrize(("name", "symmetric"), [("scale_by_shampoo", 2), ("scale_by_soap", 1)])
def test_the_bytes_are_those_of_triangles(name, symmetric):
    """n (n + 1) / 2 numbers in the place of n^2, of each side and each symmetric slot."""
    params = {"kernel": jax.ShapeDtypeStruct((300, 700), jnp.float32)}
    whole, packed = (
        gc.describe(CASES[name](packed=flag, where="*"), params) for flag in (False, True)
    )
    triangle = lambda n: n * n - n * (n + 1) // 2
    saved = 4 * symmetric * (triangle(300) + triangle(700))
    assert whole.total_bytes - packed.total_bytes == saved
    assert "packed" in str(packed)
    assert "packed" not in str(whole).replace("packed=False", "")
