"""Operators on schedules: what they make, and what it is worth."""

import json
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from gradchain.tree.limits import MAX_DEPTH

STEPS = np.arange(40)
A, B, C = (
    gc.linear_schedule(0.1, 2.0, 30),
    gc.schedules.cosine_annealing_schedule(1.0, 13),
    gc.schedules.rex_schedule(0.5, 10),
)


def plain(step):
    return 0.1 * step


def after(value, steps):
    """The values so many steps later."""
    return np.asarray(value(STEPS + steps))


a, b, p = np.asarray(A(STEPS)), np.asarray(B(STEPS)), 0.1 * STEPS
MADE = {
    "a + b": (A + B, a + b),
    "a + 1": (A + 1, a + 1),
    "1 + a": (1 + A, a + 1),
    "a - b": (A - B, a - b),
    "a - 0.5": (A - 0.5, a - 0.5),
    "1 - a": (1 - A, 1 - a),
    "-a": (-A, -a),
    "a * b": (A * B, a * b),
    "2 * a": (2 * A, 2 * a),
    "a * 0.5": (A * 0.5, a / 2),
    "sum": (sum([A, B]), a + b),
    "clip": (A.clip(0.5, 1.5), np.clip(a, 0.5, 1.5)),
    "clip to another": (A.clip(high=B), np.minimum(a, b)),
    "shift": (A.shift(5), np.concatenate([a[:1]] * 5 + [a[:-5]])),
    "repeat": (A.repeat(7), a[STEPS % 7]),
    "until": (A.until(7), a[np.minimum(STEPS, 7)]),
    "a until 7 | b": (A.until(7) | B, np.where(STEPS < 7, a, after(B, -7))),
    "a until 7 | number": (A.until(7) | 0.3, np.where(STEPS < 7, a, 0.3)),
    "three": (
        A.until(7) | B.until(5) | C,
        np.select([STEPS < 7, STEPS < 12], [a, after(B, -7)], after(C, -12)),
    ),
    "nested": (
        A.until(7) | (B.until(5) | C),
        np.select([STEPS < 7, STEPS < 12], [a, after(B, -7)], after(C, -12)),
    ),
    "cut short": ((A.until(7) | B).until(5) | C, np.where(STEPS < 5, a, after(C, -5))),
    "all": (
        (2 * (A + 1).until(9) - 0.5).clip(0.0, 3.5).repeat(20),
        np.clip(2 * (a[np.minimum(STEPS % 20, 9)] + 1) - 0.5, 0, 3.5),
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_what_operators_make_is_a_schedule_like_any_other(name):
    made, expected = MADE[name]
    assert isinstance(made, gc.Schedule)
    np.testing.assert_allclose(made(STEPS), expected, atol=1e-6)
    np.testing.assert_allclose(
        [made(int(t)) for t in (0, 6, 7, 39)], expected[[0, 6, 7, 39]], atol=1e-6
    )
    assert eval(repr(made), vars(gc) | vars(gc.schedules)) == made
    assert gc.from_config(json.loads(json.dumps(gc.to_config(made)))) == made
    assert pickle.loads(pickle.dumps(made)) == made
    again = jax.tree.map(lambda x: x, made)
    assert again == made and hash(again) == hash(made)
    assert jax.tree.map(lambda x: 1.5 * x, made) != made


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (A + plain, a + p),
        (plain + A, a + p),
        (A - plain, a - p),
        (plain - A, p - a),
        (A * plain, a * p),
        (plain * A, a * p),
        (A.until(7) | plain, np.where(STEPS < 7, a, 0.1 * (STEPS - 7))),
        (gc.schedules.until_schedule(plain, 7) | A, np.where(STEPS < 7, p, after(A, -7))),
    ],
)
def test_a_plain_function_is_an_operand(made, expected):
    np.testing.assert_allclose(made(STEPS), expected, atol=1e-6)
    np.testing.assert_allclose(jax.jit(lambda t: made(t))(5), expected[5], atol=1e-6)


@pytest.mark.parametrize("two", [2, 2.0, np.float64(2), np.float32(2), np.array(2.0)])
def test_a_number_of_any_kind_is_an_operand(two):
    assert two * A == 2 * A == gc.schedules.product_schedule(2.0, A)
    assert A * two == gc.schedules.product_schedule(A, 2.0)
    assert two + A == 2 + A
    assert A - two == A + -2.0


def test_an_array_of_jax_is_an_operand_that_stays_one():
    two = jnp.float32(2)
    for made, expected in (
        (two * A, 2 * A),
        (A * two, 2 * A),
        (A - two, A - 2),
        (two + A, A + 2),
    ):
        assert any(isinstance(x, jax.Array) for x in jax.tree.leaves(made))
        np.testing.assert_array_equal(made(STEPS), expected(STEPS))


def test_a_traced_number_is_an_operand_with_a_slope():
    slope = jax.grad(lambda x: (x * A + x)(30))(3.0)
    np.testing.assert_allclose(slope, 3.0, rtol=1e-6)


def test_one_after_another_is_one_flat_schedule():
    assert A.until(7) | B == gc.join_schedules([A, B], [7])
    assert A.until(7) | B.until(5) | C == gc.join_schedules([A, B, C], [7, 12])
    assert (A.until(7) | B.until(5)) == gc.join_schedules([A, B], [7]).until(12)


def test_one_schedule_alone_can_be_continued():
    assert gc.join_schedules([A], []).until(7) | B == gc.join_schedules([A, B], [7])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: A | B,
            TypeError,
            r"When does linear_schedule\(.*\) end\? Say first.until\(steps\) \| second",
        ),
        (lambda: plain | A, TypeError, r"Say until_schedule\(first, steps\) \| second"),
        (lambda: 0.5 | A, TypeError, r"When does 0.5 end\?"),
        (
            lambda: A + "b",
            TypeError,
            r"sum_schedule: argument 'second' must be a number or a function of the step",
        ),
        (
            lambda: A * jnp.ones(3),
            TypeError,
            r"product_schedule: argument 'second' must be a number",
        ),
        (lambda: A.until(-1), ValueError, r"until_schedule: steps must be 0 or more"),
        (lambda: A.repeat(0), ValueError, r"repeated_schedule: steps must be 1 or more"),
    ],
)
def test_what_makes_no_sense_is_an_error_at_once(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_made_schedule_is_a_learning_rate():
    tx = gc.sgd((0.5 * A).until(2) | 0.25)
    params = jnp.zeros(1)
    state = tx.init(params)
    for rate in (0.05, 0.5 * (0.1 + 1.9 / 30), 0.25, 0.25):
        updates, state = tx.update(jnp.ones(1), state, params)
        np.testing.assert_allclose(updates, [-rate], rtol=1e-6)


def counted():
    """A factory of schedules, and the values with which it was evaluated."""
    seen = []

    @gc.schedule
    def counted_schedule(step, value: gc.Hyper):
        seen.append(value)
        return value + 0.0 * step

    return counted_schedule, seen


def test_a_schedule_in_others_is_examined_once():
    """Whatever is built of it: a sum of sums, or of one schedule in two places."""
    for levels in (10, 20, 40):
        make, seen = counted()
        made = doubled = make(levels)
        for i in range(levels):
            made = make(made) + float(i)
        for _ in range(levels // 5):
            doubled = doubled + doubled
            doubled = (doubled * doubled).clip(high=doubled).shift(2).until(9)
        assert len(seen) <= levels + 1  # one for each that was made


def test_a_schedule_in_several_places_is_evaluated_once():
    make, seen = counted()
    made = rate = make(0.5)
    for _ in range(MAX_DEPTH - 1):
        made = made + made
    seen.clear()
    assert made(3) == 0.5 * 2.0 ** (MAX_DEPTH - 1)
    assert len(seen) == 1
    branches = jax.jit(lambda t: jax.lax.cond(t > 5, lambda: (rate + rate)(t), lambda: rate(t)))
    assert (branches(3), branches(6)) == (0.5, 1.0)


def test_schedules_are_nested_to_a_limit():
    made = gc.constant_schedule(0.25)
    for _ in range(MAX_DEPTH - 1):
        made = made.shift(1)
    assert made(3) == jax.jit(made)(3) == jax.grad(made)(3.0) + 0.25 == 0.25
    assert gc.from_config(gc.to_config(made)) == made
    with pytest.raises(
        ValueError, match=r"product_schedule: schedules are nested too deep: .* 100"
    ):
        2.0 * made


def test_a_copy_is_examined_like_its_original():
    """Of one that came out of a pickle, nothing is known yet."""
    made = pickle.loads(pickle.dumps(A + B.until(5)))
    assert (made + 1)(3) == (A + B.until(5) + 1)(3)
