"""Policies of refresh: which matrices are computed anew, and that nothing else is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from gradchain.core.refresh import Refresh
from tests.core.refresh import POLICIES

every, with_probability, when_stale = (
    gc.refresh.every,
    gc.refresh.with_probability,
    gc.refresh.when_stale,
)


def turns(policy: Refresh, steps: int, matrices: int = 6, stale: jax.Array | None = None):
    """For each step the matrices that were computed anew."""
    place, old = np.arange(matrices), {"x": jnp.zeros(matrices)}
    found = []

    @jax.jit
    def step(count, old):
        fresh = lambda parts: {"x": parts["n"]}
        parts = {"n": jnp.full(matrices, count.astype(float) + 1.0)}
        measure = None if stale is None else lambda: stale
        return policy.apply(fresh, parts, old, count, place, measure)

    for count in range(steps):
        new = step(jnp.int32(count), old)
        found.append(np.flatnonzero(np.asarray(new["x"]) == count + 1).tolist())
        old = new
    return found


@pytest.mark.parametrize("row", [row for row in POLICIES if row.together], ids=lambda r: r.name)
def test_all_are_due_in_some_steps(row):
    found = turns(row.make(), 7)
    assert [i for i, due in enumerate(found) if len(due) == 6] == row.together


def test_staggered_matrices_take_turns():
    found = turns(every(3, staggered=True), 7)
    assert found[0] == list(range(6))
    assert [len(x) for x in found[1:]] == [2] * 6
    assert sorted(found[1] + found[2] + found[3]) == list(range(6))


def test_with_a_probability_the_share_is_right():
    found = turns(with_probability(0.3, staggered=True), 200)
    assert found[0] == list(range(6))
    share = sum(map(len, found)) / (6 * 200)
    assert 0.25 < share < 0.36
    together = turns(with_probability(0.3), 200)
    assert {len(x) for x in together} == {0, 6}
    fading = turns(with_probability(gc.linear_schedule(1.0, 0.0, 20)), 40)
    assert len(fading[1]) == 6
    assert not any(fading[20:])


def test_only_stale_matrices_are_computed():
    stale = jnp.array([0.0, 0.5, 0.05, 0.2, 0.1, 1.0])
    assert turns(when_stale(0.1), 3, stale=stale)[1:] == [[1, 3, 5]] * 2
    with pytest.raises(TypeError, match="does not measure how stale"):
        turns(when_stale(0.1), 1)


@pytest.mark.parametrize("row", POLICIES, ids=lambda row: row.name)
def test_it_is_a_value(row):
    policy = row.make()
    assert gc.from_config(gc.to_config(policy)) == policy
    assert eval(repr(policy), vars(gc.refresh)) == policy


@pytest.mark.parametrize("policy", [every(5), every(5, staggered=True)])
def test_a_step_that_refreshes_nothing_multiplies_nothing(policy):
    """The costly part is in a loop, and the program outside of it has no product."""
    place, old = np.arange(4), {"x": jnp.zeros((4, 8, 8))}
    fresh = lambda parts: {"x": parts["n"] @ parts["n"]}
    run = lambda n, count: policy.apply(fresh, {"n": n}, old, count, place)
    jaxpr = jax.make_jaxpr(run)(jnp.ones((4, 8, 8)), jnp.int32(3)).jaxpr
    outside = [equation.primitive.name for equation in jaxpr.eqns]
    assert "while" in outside
    assert "dot_general" not in outside


def test_derivatives_take_what_is_refreshed_for_a_constant():
    def loss(n):
        fresh = lambda parts: {"x": parts["n"] ** 2}
        made = every(1).apply(fresh, {"n": n}, {"x": jnp.zeros(2)}, jnp.int32(0), np.arange(2))
        return jnp.sum(made["x"] * n)

    np.testing.assert_array_equal(jax.grad(loss)(jnp.array([2.0, 3.0])), [4.0, 9.0])


@pytest.mark.parametrize("policy", [every(5), every(5, staggered=True), gc.refresh.fading()])
def test_the_compiler_leaves_what_is_costly_in_the_loop(policy):
    """It depends on nothing that the loop changes, and would be taken out for each step."""
    place, old = np.arange(4), {"x": jnp.zeros((4, 8, 8))}
    fresh = lambda parts: {"x": jnp.linalg.qr(parts["n"])[0]}
    run = lambda n, count: policy.apply(fresh, {"n": n}, old, count, place)
    program = jax.jit(run).lower(jnp.ones((4, 8, 8)), jnp.int32(3)).compile().as_text()
    entry = program[program.index("\nENTRY") :]
    assert "geqrf" in program
    assert "geqrf" not in entry
    assert "while(" in entry
