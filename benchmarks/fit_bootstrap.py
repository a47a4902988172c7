"""``python -m benchmarks.fit_bootstrap``: 1,000 logistic regressions at once, beside SciPy's one
after another.

The data are scikit-learn's breast cancer, standardised: 569 examples, 30 features and an intercept.
A bootstrap sample is a vector of weights, how often each example was drawn. Both minimize the same
loss from zero to the same tolerance of the gradient: ``gradchain.minimize`` under one ``vmap``,
SciPy's L-BFGS-B once for each sample, with a value and gradient that JAX has compiled. What
compiling takes is measured apart.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from sklearn.datasets import load_breast_cancer

import gradchain as gc

L2 = 1e-2
TOL = 1e-4


def load(samples: int, dtype: Any, seed: int = 0) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Features with a column of ones, labels of 1 and -1, weights of bootstrap samples."""
    x, y = load_breast_cancer(return_X_y=True)
    x = np.column_stack([(x - x.mean(0)) / x.std(0), np.ones(len(x))])
    drawn = np.random.default_rng(seed).multinomial(
        len(x), np.full(len(x), 1 / len(x)), size=samples
    )
    return (
        jnp.asarray(x, dtype),
        jnp.asarray(2 * y - 1, dtype),
        jnp.asarray(drawn / len(x), dtype),
    )


def loss(w: jax.Array, weights: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """The weighted mean of the logistic loss, and a penalty."""
    return weights @ jax.nn.softplus(-y * (x @ w)) + L2 * (w @ w) / 2


def with_gradchain(x: jax.Array, y: jax.Array, tx: gc.GradientTransformation) -> Callable:
    """From the weights of all samples to all fits."""
    one = lambda weights: gc.minimize(
        loss, jnp.zeros(x.shape[1], x.dtype), tx, args=(weights, x, y), tol=TOL
    )
    return jax.jit(jax.vmap(one))


def with_scipy(x: jax.Array, y: jax.Array) -> Callable:
    """From the weights of one sample to its fit."""
    value_and_grad = jax.jit(jax.value_and_grad(loss))

    def fun(w: np.ndarray, weights: jax.Array) -> tuple[float, np.ndarray]:
        value, grad = value_and_grad(jnp.asarray(w, x.dtype), weights, x, y)
        return float(value), np.asarray(grad, np.float64)

    options = {"gtol": TOL, "ftol": 0.0, "maxcor": 10}
    start = np.zeros(x.shape[1])
    return lambda weights: scipy.optimize.minimize(
        fun, start, args=(weights,), jac=True, method="L-BFGS-B", options=options
    )


def seconds(function: Callable) -> tuple[float, Any]:
    begun = time.perf_counter()
    result = jax.block_until_ready(function())
    return time.perf_counter() - begun, result


def run(samples: int, turns: int, tx: gc.GradientTransformation) -> dict[str, float]:
    """Seconds of both, the medians of turns that they take one after another, and how far their
    fits are apart.
    """
    x, y, weights = load(samples, jnp.result_type(float))
    ours, theirs = with_gradchain(x, y, tx), with_scipy(x, y)
    compiling, compiled = seconds(lambda: ours.lower(weights).compile())
    _, first = seconds(lambda: theirs(weights[0]).fun)  # compiles the gradient
    times: dict[str, list[float]] = {"gradchain": [], "scipy": []}
    fits, found = [], compiled(weights)
    for _ in range(turns):
        times["gradchain"].append(seconds(lambda: compiled(weights))[0])
        took, fits = seconds(lambda: [theirs(w) for w in weights])
        times["scipy"].append(took)
    medians = {name: float(np.median(x)) for name, x in times.items()}
    gap = np.abs(np.asarray(found.params) - np.stack([fit.x for fit in fits])).max()
    return {
        **medians,
        "ratio": medians["scipy"] / medians["gradchain"],
        "compiling": compiling,
        "gap": float(gap),
        "converged": float(np.mean(found.code == gc.minimization.Status.CONVERGED_GRADIENT)),
        "evals": float(np.mean(found.evals)),
        "turns": float(np.max(found.evals)),
        "scipy evals": float(np.mean([fit.nfev for fit in fits])),
        "first": float(first),
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser("python -m benchmarks.fit_bootstrap", description=__doc__)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--float64", action="store_true", help="in float64; float32 if not said")
    options = parser.parse_args()
    with jax.enable_x64(options.float64):
        for name, tx in (("two_loop", gc.lbfgs()), ("compact", gc.lbfgs(form="compact"))):
            r = run(options.samples, options.turns, tx)
            print(
                f"{options.samples} fits in {jnp.result_type(float)}, lbfgs, {name}:"
                f" gradchain {r['gradchain']:.3f} s,"
                f" scipy {r['scipy']:.3f} s, {r['ratio']:.1f}x; compiling"
                f" {r['compiling']:.1f} s is not counted\n"
                f"  evaluations: {r['evals']:.1f} in the mean, {r['turns']:.0f} at most,"
                f" scipy {r['scipy evals']:.1f};"
                f" converged by gradient {r['converged']:.1%}; parameters differ by"
                f" {r['gap']:.1e} at most",
                flush=True,
            )


if __name__ == "__main__":
    main()
