"""Small trees of many kinds of leaves, and how the laws run and compare what they hold."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

import gradchain as gc

SHAPES = {
    "dense": {"bias": (3,), "kernel": (3, 2)},
    "empty": (0, 2),
    "hole": None,
    "scale": (),
    "stack": [(3,), (2, 3, 2)],
}
STEPS = 4
STEP = 0.1  # what moves the parameters in these tests is a tenth of the update


def _is_shape(x: Any) -> bool:
    return x is None or isinstance(x, tuple)


def of_shapes(make: Any, shapes: Any = None) -> Any:
    """The tree of ``make(path, shape)``, with the holes of ``shapes``."""
    name = lambda path: jax.tree_util.keystr(path, simple=True, separator="/")
    one = lambda path, shape: None if shape is None else make(name(path), shape)
    return jax.tree_util.tree_map_with_path(
        one, SHAPES if shapes is None else shapes, is_leaf=_is_shape
    )


def _draw(rng: np.random.Generator, shape: tuple, dtype: Any) -> np.ndarray:
    x = rng.standard_normal(shape)
    return np.asarray(x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x)


def params(dtype: Any, shapes: Any = None, seed: int = 0) -> Any:
    """Parameters of order 1."""
    rng = np.random.default_rng(seed)
    return of_shapes(lambda path, shape: jnp.asarray(_draw(rng, shape, dtype), dtype), shapes)


def gradients(dtype: Any, steps: int = STEPS, shapes: Any = None, seed: int = 1) -> Any:
    """Gradients of ``steps`` steps, stacked, with sizes that vary by orders of magnitude and some
    zeros.
    """
    rng = np.random.default_rng(seed)

    def make(path: str, shape: tuple) -> jax.Array:
        size = np.exp(rng.standard_normal(steps)).reshape(-1, *[1] * len(shape))
        g = _draw(rng, (steps, *shape), dtype) * size * (rng.random((steps, *shape)) > 0.1)
        g[steps // 2] = 0.0
        return jnp.asarray(g, dtype)

    return of_shapes(make, shapes)


def constant(value: Any, dtype: Any, steps: int = STEPS) -> Any:
    """The same gradient at every step; for complex dtypes of the same size in another direction."""
    value = value * (0.6 + 0.8j) if np.dtype(dtype).kind == "c" else value
    return of_shapes(lambda path, shape: jnp.full((steps, *shape), value, dtype))


def at(step: int, stacked: Any) -> Any:
    return jax.tree.map(lambda x: x[step], stacked)


def named(tree: Any) -> dict[str, np.ndarray]:
    """The leaves by path, in float64 or complex128: what a twin works on."""
    name = lambda path: jax.tree_util.keystr(path, simple=True, separator="/")
    wide = lambda x: np.asarray(x).astype(np.complex128 if jnp.iscomplexobj(x) else np.float64)
    return {name(path): wide(x) for path, x in jax.tree_util.tree_leaves_with_path(tree)}


def run(
    tx: Any, params: Any, grads: Any, step: float = STEP, extra: tuple = (), state: Any = None
) -> tuple[Any, Any, Any]:
    """All steps in one scan: the stacked updates, the parameters and the state at the end.

    It goes on from ``state``, or begins. ``extra`` holds pairs of the name of an extra argument
    and its value, the same at each step.
    """

    def body(carry: tuple, g: Any) -> tuple:
        p, state = carry
        updates, state = tx.update(g, state, p, **dict(extra))
        return (gc.apply_updates(p, jax.tree.map(lambda u: step * u, updates)), state), updates

    state = tx.init(params) if state is None else state
    (p, state), updates = jax.lax.scan(body, (params, state), grads)
    return updates, p, state


compiled_run = jax.jit(
    run, static_argnums=0, static_argnames="extra"
)  # the laws share what it compiles: they all ask for STEPS steps
run_with_argument = jax.jit(run, static_argnames="extra")


def run_twin(
    twin: Any, params: Any, grads: Any, step: float = STEP, extra: tuple = ()
) -> tuple[dict, dict]:
    """The same for a twin, in float64: the stacked updates and the parameters at the end."""
    p, g = named(params), named(grads)
    twin.init(p)
    updates = []
    for t in range(len(next(iter(g.values())))):
        updates.append(twin.update({k: x[t] for k, x in g.items()}, p, **dict(extra)))
        p = {k: p[k] + step * u for k, u in updates[-1].items()}
    return {k: np.stack([u[k] for u in updates]) for k in p}, p


def assert_same_type(a: Any, b: Any) -> None:
    """Equal structure, shapes and dtypes."""
    chex.assert_trees_all_equal_structs(a, b)
    chex.assert_trees_all_equal_shapes_and_dtypes(a, b)


def assert_identical(a: Any, b: Any) -> None:
    """Equal bit for bit."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for (path, x), y in zip(
        jax.tree_util.tree_leaves_with_path(a), jax.tree.leaves(b), strict=True
    ):
        x, y = np.asarray(x), np.asarray(y)
        assert (x.dtype, x.shape) == (y.dtype, y.shape), jax.tree_util.keystr(path)
        assert x.tobytes() == y.tobytes(), jax.tree_util.keystr(path)


def assert_close(a: Any, b: Any, tolerance: float) -> None:
    """Equal leaf by leaf, within ``tolerance`` times the largest magnitude in the leaf.

    The measure is of the whole leaf and not of each element: where a sum of past gradients cancels,
    its error is in proportion to what was summed.
    """
    a, b = named(a), named(b)
    assert a.keys() == b.keys()
    for name, x in a.items():
        y = b[name]
        assert x.shape == y.shape, name
        if x.size:
            error, size = np.max(np.abs(x - y)), np.max(np.abs(y))
            assert error <= tolerance * size, f"{name}: {error:.2e} of {size:.2e}"
