"""Fifty steps in float64 end where other implementations, recorded as data, end."""

import importlib
import json
import pkgutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import golden
from tests.golden.case import gradients, start

HERE = Path(golden.__file__).parent
FAMILIES = sorted(
    m.name.removeprefix("cases_") for m in pkgutil.iter_modules([str(HERE)]) if "cases_" in m.name
)
DATA = {family: json.loads((HERE / f"{family}.json").read_text()) for family in FAMILIES}
CASES = [
    (f, case)
    for f in FAMILIES
    for case in importlib.import_module(f"tests.golden.cases_{f}").CASES
]


@pytest.mark.parametrize(("family", "case"), CASES, ids=[f"{f}-{case.name}" for f, case in CASES])
def test_follows_the_recorded_trajectory(family, case):
    recorded = DATA[family][case.name]
    assert recorded["origin"] == case.origin, "record it again"
    assert case.tolerance <= 1e-8 or case.why
    with jax.enable_x64(True):
        tx = case.ours()
        params = {name: jnp.asarray(x, jnp.float64) for name, x in start().items()}
        state = tx.init(params)
        step = jax.jit(tx.step)
        for t, grads in enumerate(gradients(), start=1):
            params, state = step(
                {name: jnp.asarray(g, jnp.float64) for name, g in grads.items()}, state, params
            )
            for name, expected in recorded["params"].get(str(t), {}).items():
                expected = np.asarray(expected)
                error = np.max(np.abs(np.asarray(params[name]) - expected)) / np.max(
                    np.abs(expected)
                )
                assert error <= case.tolerance, f"step {t}, {name}: {error:.1e}"
