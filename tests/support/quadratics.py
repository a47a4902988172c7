"""Quadratic functions, exact steps on them, and conjugate gradients."""

import jax
import jax.numpy as jnp
import numpy as np

from gradchain.curvature.vectors import to_vector

N = 6


def hessian(size=N, condition=100.0, seed=0):
    rng = np.random.default_rng(seed)
    q = np.linalg.qr(rng.standard_normal((size, size)))[0]
    return q @ np.diag(np.geomspace(1.0, condition, size)) @ q.T


def tree(x):
    """The same numbers in leaves of several kinds."""
    return {
        "a": x[0],
        "b": [x[1:3], jnp.zeros((0, 2), x.dtype)],
        "hole": None,
        "c": x[3:].reshape(3, -1),
    }


def entry(state):
    (only,) = state.values()
    return only


def exact_steps(tx, a, x, steps):
    """The points of a minimization of x'Ax / 2 with exact line searches, and the state at the
    end.
    """
    to_tree = to_vector(tree(x))[1]

    @jax.jit
    def step(x, state):
        g = a @ x
        u, state = tx.update(to_tree(g), state, to_tree(x))
        d = to_vector(u)[0]
        curvature = d @ a @ d
        return x - jnp.where(
            curvature > 0, g @ d / jnp.where(curvature > 0, curvature, 1.0), 0.0
        ) * d, state

    points, state = [x], tx.init(to_tree(x))
    for _ in range(steps):
        x, state = step(x, state)
        points.append(x)
    return jnp.stack(points), entry(state)


def conjugate_gradients(a, x, steps):
    """Hestenes & Stiefel, 1952"""
    points, r = [x], -a @ x
    d = r
    for _ in range(steps):
        alpha = r @ r / (d @ a @ d)
        x, new = x + alpha * d, r - alpha * a @ d
        d, r = new + (new @ new) / (r @ r) * d, new
        points.append(x)
    return np.stack(points)


def fixed_steps(tx, loss, p, steps, rate):
    """The points of a descent at a fixed rate, and the state at the end."""

    def body(carry, _):
        p, state = carry
        u, state = tx.update(jax.grad(loss)(p), state, p)
        p = jax.tree.map(lambda x, u: x - rate * u, p, u)
        return (p, state), p

    (_, state), points = jax.jit(lambda p: jax.lax.scan(body, (p, tx.init(p)), length=steps))(p)
    return points, state
