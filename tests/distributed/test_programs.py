"""How often the instructions of a compiled program run."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from gradchain.distributed.programs import instructions, runs


def kinds(function, *arguments):
    """How often each sine of a program runs, and whether that is sure."""
    program = jax.jit(function).lower(*arguments).compile().as_text()
    found = list(runs(program))
    return [(r.times, r.when) for r in found if r.instruction.kind == "sine"]


def loop(length):
    return lambda x: lax.fori_loop(0, length, lambda i, x: jnp.sin(x), x)


def test_a_loop_runs_as_often_as_it_says():
    assert kinds(loop(7), jnp.ones(9)) == [(7, "always")]


def test_loops_in_loops_multiply():
    twice = lambda x: lax.fori_loop(0, 3, lambda i, x: loop(5)(x) + 1, x)
    assert kinds(twice, jnp.ones(9)) == [(15, "always")]


def test_a_loop_of_unknown_length_is_marked():
    endless = lambda x: lax.while_loop(lambda x: x.max() < 0.9, jnp.sin, x)
    assert kinds(endless, jnp.ones(9)) == [(1, "in a loop")]


def test_a_branch_in_a_loop_is_marked():
    either = lambda i, x: lax.cond(i % 2 == 0, jnp.sin, lambda x: x, x)
    found = kinds(lambda x: lax.fori_loop(0, 4, either, x), jnp.ones(9))
    assert found == [(4, "in a branch")]


def test_the_name_of_an_instruction_is_read():
    program = jax.jit(jnp.sin).lower(jnp.ones(3)).compile().as_text()
    found = [i for part in instructions(program).values() for i in part if i.kind == "sine"]
    assert [i.result for i in found] == ["f32[3]{0}"]
    assert found[0].line.find(found[0].name) >= 0


def test_a_text_that_is_no_program_is_refused():
    text = "must be the text of a compiled program, .* begins with 'module @jit'"
    with pytest.raises(ValueError, match=text):
        list(runs("module @jit"))
