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
    old |= {name: jnp.zeros(matrices) for name in policy.slots}
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


def test_turns_go_on_to_the_end_of_the_clock():
    """Each matrix has one turn in five steps, also where the sum with it would be out of range."""
    policy, place = every(5, staggered=True), np.arange(6)
    fresh, old = (lambda parts: {"x": parts["n"]}), {"x": jnp.zeros(6)}
    step = jax.jit(lambda count: policy.apply(fresh, {"n": jnp.ones(6)}, old, count, place)["x"])
    found = sum(np.asarray(step(jnp.int32(2**31 - 1 - i))) for i in range(5))
    np.testing.assert_array_equal(found, 1.0)


def test_a_schedule_that_is_constant_is_its_number():
    """Also after a million steps, where rounding errors of the phase have summed up."""
    for n in (1, 3, 7, 10, 100):
        assert turns(every(lambda t: n), 250) == turns(every(n), 250)  # noqa: B023

    @jax.jit
    def found(policy):
        fresh, one = (lambda parts: {"x": parts["n"]}), np.arange(1)

        def step(old, count):
            new = policy.apply(fresh, {"n": count[None]}, old, count, one)
            return new, new["x"][0]

        old = {"x": jnp.zeros(1, jnp.int32), "phase": jnp.zeros(1)}
        return jax.lax.scan(step, old, jnp.arange(1_000_000))[1]

    last = np.asarray(found(every(gc.constant_schedule(7))))
    assert np.max(np.diff(np.unique(last))) <= 8


def test_a_schedule_renews_when_its_shares_sum_to_one():
    ramp = every(gc.linear_schedule(1.0, 20.0, 200))
    at = [i for i, due in enumerate(turns(ramp, 400)) if due]
    gaps = np.diff(at)
    assert gaps[0] == 1
    assert np.all(np.diff(gaps) >= -1)
    assert set(gaps[-5:]) == {20}
    steps = np.array([float(gc.linear_schedule(1.0, 20.0, 200)(i)) for i in range(400)])
    np.testing.assert_allclose(len(at), np.sum(1 / steps), atol=1)
    steep = every(lambda t: 1 + t / 10)  # the remainder of the count would stop after 11 times
    at = [i for i, due in enumerate(turns(steep, 2000)) if due]
    np.testing.assert_allclose(len(at), np.sum(1 / (1 + np.arange(2000) / 10)), atol=1)


def test_staggered_matrices_of_a_schedule_take_turns_at_each_number():
    found = turns(every(gc.piecewise_constant_schedule(4, {200: 2.5}), staggered=True), 400, 40)
    counts = np.array([len(due) for due in found])
    assert set(counts[5:200]) <= {9, 10, 11}
    assert set(counts[205:]) <= {3, 4, 5}
    for matrix in (0, 7, 39):
        gaps = np.diff([i for i, due in enumerate(found) if matrix in due])
        assert set(gaps[2:40]) == {4}
        assert set(gaps[-15:]) == {10}


def test_a_rule_without_the_slots_of_a_schedule_is_told():
    policy = every(lambda t: 3)
    with pytest.raises(TypeError, match=r"must declare \*\*refresh.slots"):
        policy.apply(lambda x: x, {}, {}, jnp.int32(0), np.arange(2))
    for steps in (0, 2.5, "3"):
        with pytest.raises((TypeError, ValueError), match="every: "):
            every(steps)
    assert repr(every(3.0)) == "every(steps=3, staggered=False)"


MIXED = {
    "adapters": (40, 4, 8),
    "attention": (48, 8, 8),
    "down": (12, 32, 8),
    "experts": (32, 16, 32),
    "large": (7, 40, 32),
    "up": (12, 8, 32),
    "wide": (5, 32, 48),
}


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_turns_of_a_mixed_tree_cost_about_the_same(n):
    """By the cubes of the sides that are due at each step."""
    made: dict[int, float] = {}

    def rule(g, s, place):
        made.update(dict.fromkeys(place.tolist(), sum(float(m) ** 3 for m in g.shape[1:])))
        return g, s

    tree = {k: jnp.zeros(shape) for k, shape in MIXED.items()}
    tx = gc.transform(lambda: gc.matrixwise(rule))()
    tx.update(tree, tx.init(tree), tree)
    costs = np.array([made[i] for i in range(len(made))])
    assert np.all(np.diff(costs) <= 0)
    found = turns(every(n, staggered=True), 2 * n + 1, len(costs))[1:]
    work = np.array([sum(costs[due]) for due in found])
    assert np.max(work) - np.min(work) <= costs[0]
    assert np.max(work) <= 1.05 * np.median(work)


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


#: As the page on matrix methods says.
MEASURING = {"soap", "kl_shampoo", "kl_soap", "splus", "conda"}
REFRESHED = ["alice", "psgd_kron", "psgd_lra", "shampoo", "sketchy", *sorted(MEASURING)]


@pytest.mark.parametrize("name", REFRESHED)
def test_a_method_measures_how_stale_it_is_or_refuses(name):
    params = {"kernel": jnp.ones((4, 6))}
    tx = getattr(gc, name)(1e-3, refresh=when_stale(0.1))
    update = lambda: jax.eval_shape(tx.update, params, tx.init(params), params)
    if name in MEASURING:
        update()
    else:
        with pytest.raises(TypeError, match="does not measure how stale"):
            update()


@pytest.mark.parametrize("row", POLICIES, ids=lambda row: row.name)
def test_it_is_a_value(row):
    policy = row.make()
    assert gc.from_config(gc.to_config(policy)) == policy
    assert eval(repr(policy), vars(gc.refresh) | vars(gc.schedules)) == policy


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


@pytest.mark.parametrize("value", [10, "every(10)", gc.refresh.every], ids=["int", "str", "def"])
def test_what_is_no_policy_is_refused_with_an_example(value):
    with pytest.raises(TypeError, match=r"argument 'refresh'.*gc\.refresh\.every\(10\)"):
        gc.soap(1e-3, refresh=value)
