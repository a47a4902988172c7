"""Search of trees by name: the values, paths and order of optax."""

import collections
import random

import optax
import pytest

import gradchain.as_optax as spoken

Pair = collections.namedtuple("Pair", "a b")


def random_tree(draw, depth):
    kind = draw.choice(["leaf", "dict", "pair", "tuple", "list"]) if depth else "leaf"
    if kind == "leaf":
        return draw.choice([1.0, 2, "text", None])
    if kind == "dict":
        names = draw.sample("cba", draw.randint(1, 3))
        return {name: random_tree(draw, depth - 1) for name in names}
    parts = [random_tree(draw, depth - 1) for _ in range(2)]
    return Pair(*parts) if kind == "pair" else tuple(parts) if kind == "tuple" else parts


@pytest.mark.parametrize("key", ["a", "c", "Pair"])
def test_values_are_found_in_the_order_of_optax(key):
    some = 0
    for seed in range(300):
        tree = random_tree(random.Random(seed), 4)
        made, due = (m.tree_utils.tree_get_all_with_path(tree, key) for m in (spoken, optax))
        as_text = lambda found: [(*map(str, path), value) for path, value in found]
        assert as_text(made) == as_text(due)
        some += len(due) > 2
    assert some > 30


def test_all_values_of_a_name_are_set():
    """Those behind a tuple inside of a container of that name too."""
    tree = {"a": 1.0, "b": (Pair(2.0, 3.0), [{"a": "text"}])}
    numbers = lambda path, value: isinstance(value, float)
    new = spoken.tree_utils.tree_set(tree, numbers, a=9.0)
    assert new == {"a": 9.0, "b": (Pair(9.0, 3.0), [{"a": "text"}])}
