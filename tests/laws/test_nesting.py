"""A nest of wrappers costs as much for each level, however deep it is."""

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import gradchain as gc
from gradchain.core.nests import MAX_WRAPPERS
from gradchain.core.stage import Stage
from gradchain.tree.limits import MAX_DEPTH
from tests.laws.row import Row
from tests.laws.table import ROWS
from tests.laws.test_roles import NEED_THEIR_MEMBERS, with_members

PARAMS = {"kernel": jnp.ones((4, 3)), "bias": jnp.ones(3)}
SHAPES = jax.eval_shape(lambda: PARAMS)
#: Those that do not nest, with the reason.
NOT_NESTED = {
    "block_training": "parts of parts are smaller parts",
    "lazy_rows": "its rows rest one by one, and a wrapper looks at all of them",
    "masked": "an optimizer in it leaves the others' gradients as updates, and it refuses one",
    "owners": "as masked, of leaves that are no matrices",
    "reverse_communication": "it takes a chain that ends in a search, and no other",
}

#: The first row of each wrapper.
WRAPPERS: dict[str, Row] = {}
for row in ROWS:
    tx = row.make()
    needs_own = row.name in NEED_THEIR_MEMBERS or tx.factory.name == "with_examples"
    if tx.inner and not tx.factory.composite and not needs_own:
        WRAPPERS.setdefault(tx.factory.name, row)
NESTED = sorted(WRAPPERS.keys() - NOT_NESTED.keys())


@contextmanager
def counted() -> Iterator[list[Stage]]:
    """The members that are made for a step, one by one."""
    made, init = [], Stage.__init__

    def count(self: Stage, *args: Any) -> None:
        made.append(self)
        init(self, *args)

    Stage.__init__ = count  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield made
    finally:
        Stage.__init__ = init  # pyright: ignore[reportAttributeAccessIssue]


def around(row: Row, inner: gc.GradientTransformation) -> gc.GradientTransformation:
    """The wrapper of a row around one transformation, and others that are small."""
    tx = row.make()
    others = [gc.scale(0.5)] * (len(tx.inner) - 1)
    return with_members(tx, [inner, *others])


def cost(nest: Callable[[gc.GradientTransformation], gc.GradientTransformation], rate: float):
    """How many members init and update make; ``rate`` tells programs apart."""
    tx = nest(gc.scale_by_learning_rate(gc.linear_schedule(rate, 0.0, 10)))
    extra = {name: x for row in WRAPPERS.values() for name, x in row.extra.items()}
    extra = {name: x for name, x in extra.items() if name in tx.extras}
    with counted() as made:
        state = tx.init(SHAPES)
        jax.eval_shape(lambda g, s, p: tx.update(g, s, p, **extra), SHAPES, state, SHAPES)
    return len(made)


def is_linear(costs: list[int]) -> bool:
    """Whether 20 levels cost twice more than 10 do over 5, for depths 5, 10 and 20."""
    few, more, many = costs
    return many - more <= 2 * (more - few) + 4


@pytest.mark.parametrize("name", NESTED)
@pytest.mark.rotated(4)
def test_a_nest_of_one_wrapper_costs_as_much_for_each_level(name):
    def nest(depth: int) -> Callable[[gc.GradientTransformation], gc.GradientTransformation]:
        def nested(tx: gc.GradientTransformation) -> gc.GradientTransformation:
            for _ in range(depth):
                tx = around(WRAPPERS[name], tx)
            return tx

        return nested

    costs = [cost(nest(depth), 1.0 / depth) for depth in (5, 10, 20)]
    assert is_linear(costs), costs


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.rotated(6)
def test_a_nest_of_many_wrappers_costs_as_much_for_each_level(seed):
    # In it no member may have a state, and others have one.
    names = random.Random(seed).choices([x for x in NESTED if x != "block_periodic"], k=5)

    def nest(times: int) -> Callable[[gc.GradientTransformation], gc.GradientTransformation]:
        def nested(tx: gc.GradientTransformation) -> gc.GradientTransformation:
            for name in names * times:
                tx = around(WRAPPERS[name], tx)
            return tx

        return nested

    costs = [cost(nest(times), 1.0 / times) for times in (1, 2, 4)]
    assert is_linear(costs), (names, costs)


@pytest.mark.parametrize("name", sorted(NOT_NESTED))
def test_those_that_do_not_nest_say_so(name):
    with pytest.raises(ValueError, match=name):
        around(WRAPPERS[name], around(WRAPPERS[name], gc.sgd(0.1))).init(SHAPES)


# ----------------------------------------------------------------------------------- the limit


def calls_in_each_other(run: Callable[[], Any]) -> int:
    """How many Python functions are at work at once while something runs, at most."""
    depth = most = 0

    def count(frame: Any, event: str, _: Any) -> None:
        nonlocal depth, most
        depth += (event == "call") - (event == "return")
        most = max(most, depth)

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        run()
    finally:
        sys.setprofile(before)
    return most


@pytest.mark.parametrize("name", NESTED)
@pytest.mark.rotated(4)
def test_python_has_room_for_the_deepest_nest(name):
    """With its default limit of 1,000 calls in each other, of which 250 are left to the user."""

    def room(depth: int) -> int:
        tx = gc.sgd(gc.linear_schedule(1.0 / depth, 0.0, 10))
        for _ in range(depth):
            tx = around(WRAPPERS[name], tx)
        extra = {k: x for k, x in WRAPPERS[name].extra.items() if k in tx.extras}
        state = jax.eval_shape(tx.init, SHAPES)
        step = jax.jit(lambda g, s, p: tx.update(g, s, p, **extra))
        return calls_in_each_other(lambda: step.lower(SHAPES, state, SHAPES))

    few, more = room(3), room(5)
    assert more + (MAX_WRAPPERS - 5) * (more - few) / 2 < 750


@pytest.mark.parametrize("name", NESTED)
def test_a_deeper_nest_is_refused_where_it_is_written(name):
    tx = gc.sgd(0.1)
    for _ in range(MAX_WRAPPERS):
        tx = around(WRAPPERS[name], tx)
    assert tx.factory.admitted(tx.arguments)
    deeper = around(WRAPPERS[name], tx)
    with pytest.raises(
        ValueError, match=rf"{name}: argument .* is nested too deep: it holds 32 "
    ):
        deeper.factory.admitted(deeper.arguments)


def test_chains_in_each_other_may_be_more():
    tx = gc.sgd(0.1)
    for _ in range(MAX_DEPTH - 1):
        tx = gc.chain(tx, gc.scale(0.5))
    assert len(tx.members) == MAX_DEPTH
    with pytest.raises(
        ValueError, match="chain: argument 'members' is nested too deep: 100 tran"
    ):
        gc.chain(tx, gc.scale(0.5))
    assert len(gc.chain(*tx.members.values(), gc.scale(0.5)).members) == MAX_DEPTH + 1


#: How one transformation may stand in another at two places.
TWICE = {
    "chain": lambda tx: gc.chain(tx, tx),
    "parallel": lambda tx: gc.parallel(tx, tx),
    "switch": lambda tx: gc.switch(tx, 3, tx),
    "masked": lambda tx: gc.masked(tx, "*b", tx),
    "partition": lambda tx: gc.partition({"a": tx, "b": tx}, lambda path, x: "a"),
    "groups": lambda tx: gc.groups([("*b", tx)], default=tx),
    "groups with changes": lambda tx: gc.groups([("*b", {"learning_rate": 0.5})], default=tx),
}


def doubled(twice: Callable[[Any], Any], times: int) -> gc.GradientTransformation:
    tx = gc.scale_by_learning_rate(0.1)
    for _ in range(times):
        tx = twice(tx)
    return tx


@pytest.mark.parametrize("twice", TWICE.values(), ids=TWICE)
def test_many_transformations_of_few_words_are_refused(twice):
    """Each has a state at each place, so that twice in each other is exponential."""
    small = doubled(twice, 4)
    with counted() as made:
        assert small.facts.makes_steps
    assert len(made) <= 40
    with counted() as made, pytest.raises(ValueError, match=r"holds \d,\d+ .*2,000 may be"):
        doubled(twice, 25)
    assert made == []


def test_a_config_of_few_words_is_refused():
    small = gc.to_config(doubled(TWICE["groups with changes"], 1))
    config = small
    for _ in range(12):
        config = {**small, "default": config}
    with counted() as made, pytest.raises(ValueError, match="groups holds"):
        gc.from_config(config)
    assert made == []
