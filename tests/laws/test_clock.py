"""The clock at its end: from 2^31 - 1 on it stands still, and nothing else changes."""

import itertools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.laws import samples
from tests.laws.laws import TRACED_DECAY
from tests.laws.row import Row
from tests.laws.samples import assert_close, at, gradients, params
from tests.laws.table import ROWS
from tests.laws.twins import Twin

TOP = 2**31 - 1
START = TOP - 2
BEFORE = 2  # updates at the start, so that moments and last gradients are there
UPDATES = 5
#: Those of which only finite numbers are asked, by the beginnings of their names.
WITHOUT_TWIN = {
    "isospectral": "where the gradient vanishes its update is the rounding of a decomposition",
    "scale_by_psgd_kron": "which steps refresh its factors is drawn by the count",
    "psgd_kron": "the same",
    "scale_by_psgd_lra": "the same",
    "psgd_lra": "the same",
    "scale_by_shampoo-blocks": "the phase of its scheduled policy is no count, and stays",
    "accumulate": "it counts micro-steps too, and is then in the middle of a step",
    "scale_by_stddev-bias": "its twin counts the gradients that it keeps",
    "stable_spam": "its twin counts from the last reset",
}
WITH_CLOCKS = ("scale_by_adahessian", "adahessian", "scale_by_sophia", "sophia")
#: What the clocks of twins are called. ``steps`` is a period, or a number of iterations.
CLOCKS = ("t", "estimates")
FIRST, THEN = slice(BEFORE), slice(BEFORE, None)
# Gradients of examples have a dimension more; their members have rows of their own.
OF_PARAMS = [row for row in ROWS if "keeps_structure_shapes_and_dtypes" not in row.reasons]
each_row = pytest.mark.parametrize("row", OF_PARAMS, ids=[row.name for row in OF_PARAMS])


def named_leaves(state: Any) -> list[tuple[str, Any]]:
    name = lambda path: jax.tree_util.keystr(path, simple=True, separator="/")
    return [(name(path), x) for path, x in jax.tree_util.tree_leaves_with_path(state)]


def is_counter(name: str, x: Any) -> bool:
    """Whether a leaf of a state counts; ``bad_leaf`` is the number of a leaf."""
    return jnp.issubdtype(x.dtype, jnp.integer) and not name.endswith("bad_leaf")


def near_the_end(state: Any) -> Any:
    """A state of which every counter is two short of the largest integer."""
    name = lambda path: jax.tree_util.keystr(path, simple=True, separator="/")
    put = lambda path, x: jnp.full_like(x, START) if is_counter(name(path), x) else x
    return jax.tree_util.tree_map_with_path(put, state)


@partial(jax.jit, static_argnums=0, static_argnames="extra")
def run_from(tx: Any, p: Any, state: Any, grads: Any, extra: tuple = ()) -> tuple[Any, Any]:
    """The updates and the states of all steps, stacked; the parameters stay."""

    def body(state: Any, g: Any) -> tuple:
        updates, state = tx.update(g, state, p, **dict(extra))
        return state, (updates, state)

    return jax.lax.scan(body, state, grads)[1]


def set_forward(twin: Any) -> int:
    """Set the clocks of a twin and its parts forward, as those of the state; their number."""
    if isinstance(twin, dict):
        return sum(map(set_forward, twin.values()))
    if isinstance(twin, list | tuple):
        return sum(map(set_forward, twin))
    if not isinstance(twin, Twin):
        return 0
    own = [name for name in CLOCKS if isinstance(vars(twin).get(name), int)]
    for name in own:
        vars(twin)[name] += START - BEFORE
    return len(own) + sum(map(set_forward, vars(twin).values()))


def run_twin(row: Row, p: Any, grads: Any) -> list[Any]:
    """The twin's updates with its clock set forward, after those of the start."""
    twin, p, g = row.twin(), samples.named(p), samples.named(grads)
    twin.init(p)
    one = lambda t: twin.update({k: x[t] for k, x in g.items()}, p, **row.extra)
    for t in range(BEFORE):
        one(t)
    set_forward(twin)
    return [one(t) for t in range(BEFORE, BEFORE + UPDATES)]


def has_clocks_alone(row: Row) -> bool:
    """Whether its counters are of steps: others of second order count points and evaluations."""
    if row.is_second_order and not row.name.startswith(WITH_CLOCKS):
        return False
    return not row.name.startswith(tuple(WITHOUT_TWIN))


def check_counters(states: Any) -> None:
    for name, steps in named_leaves(states):
        if not is_counter(name, steps):
            continue
        path = [START, *np.asarray(steps).reshape(UPDATES, -1).max(axis=1).tolist()]
        for old, new in itertools.pairwise(path):
            assert old <= new <= TOP or 0 <= new <= 100, (name, path)  # on, or anew


@each_row
@pytest.mark.rotated(20)
def test_the_clock_stands_still_at_its_end(row):
    p, tx = params(jnp.float32), row.make()
    grads = gradients(jnp.float32, BEFORE + UPDATES)
    first, then = (jax.tree.map(lambda x, s=s: x[s], grads) for s in (FIRST, THEN))
    _, states = run_from(tx, p, tx.init(p), first, **row.run)
    state = near_the_end(at(-1, states))
    updates, states = run_from(tx, p, state, then, **row.run)
    for name, x in named_leaves((updates, states)):
        assert np.all(np.isfinite(x)), name
    check_counters(states)
    if has_clocks_alone(row):
        for step, expected in enumerate(run_twin(row, p, grads)[:2]):  # up to 2^31 - 1
            assert_close(at(step, updates), expected, row.tolerance * TRACED_DECAY)
