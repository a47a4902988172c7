"""No two decompositions run at the same time.

Under ``jax.vmap`` on a CPU each hands its matrices to the threads of XLA, and waits for them on one
of these threads. As many at once as there are threads wait for ever (jaxlib 0.10).
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import gradchain as gc
from gradchain.curvature.damped import solve_dense, solve_semidefinite
from gradchain.minimization.fit import _estimate
from gradchain.numerics.matrix_roots import inverse_root
from gradchain.searches.damping import damped_step, step_within
from tests.support.jaxprs import decompositions_at_once

ROOT = Path(__file__).parents[2]
KEY = jax.random.key(0)
SCALES, ONE = jnp.ones(3), jnp.ones(())


def operator(v):
    return jnp.arange(1.0, 4.0) * v


def updated(tx, **extra):
    def step(p):
        return tx.update(2 * p, tx.init(p), p, **extra)[0]

    return step


def stepped(tx):
    """The new state too: at the first step the update may need no decomposition."""
    return lambda p: tx.update(2 * p, tx.init(p), p)


def loss(p):
    return jnp.sum(p**4)


#: By file, functions of a vector of three numbers or a matrix of 5 rows that come to each of its
#: decompositions. Of a tree of many leaves each leaf has its own: there is only one here.
CASES = {
    "curvature/damped.py": [
        lambda g: solve_dense(operator, g[0], 0.1),
        lambda g: solve_semidefinite(operator, g[0], 0.1),
    ],
    "curvature/spectrum.py": [
        lambda x: gc.curvature.spectral_density(operator, x[0], key=KEY, steps=3),
        lambda x: gc.curvature.extreme_eigenvalues(operator, x[0], key=KEY, steps=3),
        lambda x: gc.curvature.ritz_pairs(gc.curvature.lanczos(operator, x[0], 3)),
    ],
    "minimization/fit.py": [lambda j: _estimate(j, None, ONE, None, False)],
    "numerics/polar.py": [
        updated(gc.orthogonalize("svd", where="*")),
        updated(gc.orthogonalize("qdwh", where="*")),
        updated(gc.orthogonalize(normalize="spectral", where="*")),
        updated(gc.spectral_map(jnp.sqrt, where="*")),
        lambda x: gc.orthogonalize("svd").update({"one": x, "two": x[1:]}, {})[0],
    ],
    "optimizers/matrix/alice.py": [stepped(gc.scale_by_alice(2, 1, where="*"))],
    "optimizers/matrix/conda.py": [stepped(gc.scale_by_conda(where="*"))],
    "optimizers/matrix/dion.py": [updated(gc.scale_by_dion(rank=2, where="*"))],
    "optimizers/matrix/sketchy.py": [stepped(gc.scale_by_sketchy(2, where="*"))],
    "optimizers/lra_factors.py": [stepped(gc.scale_by_psgd_lra(rank=2))],
    "optimizers/second_order/lbfgs.py": [updated(gc.scale_by_lbfgs(form="compact"))],
    "optimizers/second_order/lbfgsb.py": [
        lambda x: gc.minimize(loss, x[0], gc.lbfgsb(), bounds=(-1.0, 1.0)).params
    ],
    "projections.py": [
        gc.projections.projection_spectral_ball,
        updated(gc.project(gc.constraints.spectral_ball())),
        gc.projections.projection_stiefel,
    ],
    "searches/damping.py": [
        lambda j: damped_step(j, j[:, 0], SCALES, ONE),
        lambda j: step_within(j, j[:, 0], SCALES, ONE, ONE),
        lambda j: gc.least_squares(lambda p: j @ p - 1.0, SCALES).params,
    ],
    "transforms/isospectral.py": [updated(gc.isospectral("*"))],
    "numerics/matrix_roots.py": [
        lambda x: inverse_root(x.T[None] @ x, 4.0),
        stepped(gc.scale_by_soap(where="*")),
        *(stepped(gc.scale_by_shampoo(roots=roots, where="*")) for roots in ("eigh", "qr")),
    ],
    "wrappers/low_rank.py": [updated(gc.low_rank(gc.scale_by_adam(), rank=2))],
}


#: The one file that calls decompositions of JAX which do not end on an infinity.
MAKER = ROOT / "gradchain/numerics/decompositions.py"
FILES = set(ROOT.joinpath("gradchain").rglob("*.py")) - {MAKER}


def test_every_file_with_a_decomposition_has_a_case():
    solver = re.compile(
        r"linalg\.(inv|lstsq|pinv|slogdet|solve|solve_triangular|cho_factor|cho_solve|lu)\b"
        r"|decompositions\.\w+\("
    )
    found = {path for path in FILES if solver.search(path.read_text())}
    assert {str(path.relative_to(ROOT / "gradchain")) for path in found} == set(CASES)


def test_no_other_file_decomposes_what_may_be_infinite():
    """On a CPU the singular values of an infinite matrix are sought for ever (jaxlib 0.10)."""
    bare = re.compile(
        r"linalg\.(cholesky|eig|eigh|eigvalsh|lstsq|matrix_rank|pinv|polar|qdwh|qr"
        r"|schur|svd|svdvals)\("
    )
    code = {f: [line for line in f.read_text().split("\n") if ">>>" not in line] for f in FILES}
    found = {f"{f.relative_to(ROOT)}: {x}" for f in FILES for x in code[f] if bare.search(x)}
    assert not found


@pytest.mark.parametrize(
    "function",
    [pytest.param(f, id=f"{file}-{i}") for file, fs in CASES.items() for i, f in enumerate(fs)],
)
def test_one_decomposition_waits_for_the_other(function):
    program = jax.make_jaxpr(jax.vmap(function))(jnp.ones((2, 5, 3))).jaxpr
    pairs, number = decompositions_at_once(program)
    assert number, "it has no decomposition"
    assert not pairs


def test_two_at_once_are_found():
    def both(x):
        q, r = jnp.linalg.qr(x)
        return q, jnp.linalg.svd(r)

    def one_by_one(x):
        return jnp.linalg.svd(jnp.linalg.qr(x, mode="r"))

    found = lambda f: decompositions_at_once(jax.make_jaxpr(f)(jnp.ones((5, 3))).jaxpr)
    assert found(both) == ([("householder_product", "svd")], 3)
    assert found(one_by_one) == ([], 2)


FITS = """
import jax, jax.numpy as jnp
import gradchain as gc

t = jnp.linspace(0.0, 10.0, 80)


def law(p):
    return p[4] + p[0] * jnp.exp(-p[1] * t) * jnp.cos(p[2] * t + p[3])


def fit(key):
    y = law(jnp.array([0.5, 0.15, 3.0, 0.4, 0.1])) + 0.03 * jax.random.normal(key, t.shape)
    return gc.least_squares(lambda p: law(p) - y, jnp.array([0.4, 0.1, 2.8, 0.0, 0.0])).params


jax.config.update("jax_enable_x64", True)
print(jax.jit(jax.vmap(fit))(jax.random.split(jax.random.key(0), 2000)).mean(0)[2])
"""


@pytest.mark.slow
def test_thousands_of_fits_on_two_threads_end():
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT), "NPROC": "2"}
    run = subprocess.run(
        [sys.executable, "-c", FITS],
        env=environment,
        timeout=120,
        check=True,
        capture_output=True,
    )
    assert abs(float(run.stdout) - 3.0) < 1e-3
