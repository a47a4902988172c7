"""Counts are moved on, compared and reduced as integers; no file adds to one in its own way."""

import ast
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain
from gradchain.core.schedule import Step
from gradchain.numerics import counting

TOP = 2**31 - 1
COUNTS = [0, 1, 7, 2**24 - 1, 2**24 + 1, 10**8 + 3, 2**30, 2**30 + 5, TOP - 1, TOP]
NUMBERS = [1, 3, 8, 2**24 + 1, 10**8 + 1, 2**30 - 3, TOP, TOP + 1, 10**12, 10**20]
FRACTIONS = [0.5, 2.25, 2**24 + 0.5, 10**8 + 1.25]
FILES = sorted(Path(gradchain.__file__).parent.rglob("*.py"))
#: What stands for a count in code, beside the slots that are declared as counters.
COUNT_NAMES = {"count", "micro_step", "mini_step", "gradient_step", "steps_since_sync"}


def held(number: int) -> int:
    return max(min(number, TOP), -TOP - 1)


@pytest.mark.parametrize("number", [*NUMBERS, -5, -TOP])
def test_differences_remainders_and_comparisons_are_exact(number):
    """For Python numbers of every size, and for traced ones in range."""
    counts = jnp.asarray(COUNTS, jnp.int32)
    ways = [lambda function, x: function(counts, x)]
    if abs(number) <= TOP:
        ways.append(lambda function, x: jax.jit(function)(counts, x))
    for way in ways:
        if number <= TOP:
            expected = [held(c - number) for c in COUNTS]
            assert way(counting.minus, number).tolist() == expected
        assert way(counting.is_before, number).tolist() == [c < number for c in COUNTS]
        if number > 0:
            assert way(counting.at_most, number).tolist() == [min(c, number) for c in COUNTS]
            assert way(counting.remainder, number).tolist() == [c % number for c in COUNTS]
            assert way(counting.quotient, number).tolist() == [c // number for c in COUNTS]
    for c in COUNTS:
        if c <= number <= TOP:
            assert counting.left_until(jnp.int32(c), number) == number - c


@pytest.mark.parametrize("number", FRACTIONS)
def test_fractions_of_steps_are_compared_exactly(number):
    counts = jnp.asarray(COUNTS, jnp.int32)
    assert counting.is_before(counts, number).tolist() == [c < number for c in COUNTS]
    near = jnp.asarray([math.floor(number) + k for k in (0, 1, 7)], jnp.int32)
    expected = [math.floor(number) + k - number for k in (0, 1, 7)]
    np.testing.assert_array_equal(counting.minus(near, number), expected)


def test_a_difference_is_held_in_the_range_of_integers():
    assert counting.minus(jnp.int32(TOP - 1), -5) == TOP
    assert counting.minus(jnp.int32(-10), TOP) == -TOP - 1
    assert jax.jit(counting.minus)(jnp.int32(TOP - 1), jnp.int32(-5)) == TOP
    assert counting.minus(jnp.int32(3), math.inf) == -math.inf


@pytest.mark.parametrize("dtype", [jnp.int8, jnp.int16, jnp.int32, jnp.uint8, jnp.uint32])
def test_a_count_stays_at_the_largest_integer_of_its_dtype(dtype):
    top = jnp.iinfo(dtype).max
    for count, following in ((0, 1), (5, 6), (top - 1, top), (top, top)):
        made = counting.increment(jnp.asarray(count, dtype))
        assert (int(made), made.dtype) == (following, dtype)


@pytest.mark.parametrize("dtype", [jnp.int64, jnp.uint64])
def test_a_wide_count_stays_at_its_largest_integer(dtype):
    with jax.enable_x64(True):
        top = jnp.iinfo(dtype).max
        assert int(counting.increment(jnp.asarray(top, dtype))) == top
        assert counting.increment(jnp.asarray(2**40, dtype)) == 2**40 + 1


def test_the_step_of_a_rule_never_turns_back():
    steps = [float(counting.step_of(jnp.int32(c), jnp.float32)) for c in (0, TOP - 1, TOP)]
    assert steps == [1.0, 2.0**31, 2.0**31]


@pytest.mark.parametrize(
    ("step", "count"),
    [
        (2**24 + 1, 2**24 + 1),
        (np.int64(2**30 + 1), 2**30 + 1),
        (np.float64(2**24 + 1), 2**24 + 1),
        (float(10**8 + 1), 10**8 + 1),
        (jnp.uint32(2**31 + 5), TOP),
        (jnp.int8(3), 3),
        (True, 1),
        (2.5, 2.5),
        (10**12, 1e12),
        (10**30, 1e30),
        (np.float16(np.inf), np.inf),
    ],
)
def test_whole_steps_are_counted(step, count):
    made = Step.of(step)
    assert made.count == np.asarray(count, made.count.dtype)
    assert made.value.dtype == made.dtype == jnp.float32


def _counters() -> set[str]:
    """The names of all slots that are declared as counters."""
    found = set(COUNT_NAMES)
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text())):
            pairs = []
            if isinstance(node, ast.keyword):
                pairs = [(node.arg, node.value)]
            if isinstance(node, ast.Dict):
                pairs = [
                    (getattr(k, "value", None), v)
                    for k, v in zip(node.keys, node.values, strict=True)
                ]
            is_counter = lambda v: getattr(getattr(v, "func", v), "id", None) == "counter"
            found |= {name for name, value in pairs if name and is_counter(value)}
    return found


def _is_counter(node: ast.expr, counters: set[str]) -> bool:
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Constant) and node.slice.value in counters
    name = getattr(node, "attr", None) or getattr(node, "id", None)
    return name in COUNT_NAMES


def _is_reduced_step(node: ast.AST) -> bool:
    """Whether the float ``t`` of a rule is reduced, or made an integer."""
    mentions_t = lambda x: any(isinstance(n, ast.Name) and n.id == "t" for n in ast.walk(x))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod | ast.FloorDiv):
        return mentions_t(node.left)
    is_cast = isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "astype"
    return is_cast and mentions_t(node.func) and "int" in ast.unparse(node.args[0])


def faults(source: str, counters: set[str]) -> list[str]:
    """The places of a file that add to a counter, or reduce a step that is a float."""
    found = []
    for node in ast.walk(ast.parse(source)):
        is_sum = isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Add)
        parts = (getattr(node, "left", None), getattr(node, "right", None))
        parts += (getattr(node, "target", None),)
        if is_sum and any(x is not None and _is_counter(x, counters) for x in parts):
            found.append(f"line {node.lineno}: {ast.unparse(node)}: see counting.increment")
        if _is_reduced_step(node):
            found.append(f"line {node.lineno}: {ast.unparse(node)}: reduce count, an integer")
    return found


def test_counts_are_moved_on_in_one_place():
    counters = _counters()
    assert {"count", "pairs", "skipped", "taken", "good_steps", "evals"} <= counters
    found = {str(file): faults(file.read_text(), counters) for file in FILES}
    assert {file: places for file, places in found.items() if places} == {}


@pytest.mark.parametrize(
    "line",
    [
        "x = (stage.count + 1).astype(real)",
        "x = s['taken'] + 1",
        "x = s['count'] + finite.astype(jnp.int32)",
        "count += 1",
        "x = (t - 1) // 3",
        "x = t.astype(jnp.int32) % 3 == 0",
    ],
)
def test_a_count_that_is_moved_on_elsewhere_is_found(line):
    assert faults(line, COUNT_NAMES | {"taken"})
