"""Two leaves whose paths read alike are refused wherever a path is a key, and both are named."""

import dataclasses
import re

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from gradchain.checkpoints.foreign import read
from gradchain.tree.paths import distinct_leaves, in_containers_of


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Pair:
    a: jax.Array
    b: jax.Array


X = jnp.array([1.0, 2.0])
#: By kind of container: a tree, the path that two of its leaves have, and their keys.
TREES = {
    "tuple": ({"x/0": X, "x": (2 * X,)}, "x/0", ("['x'][0]", "['x/0']")),
    "list": ({"x": [X, 2 * X], "x/1": 3 * X}, "x/1", ("['x'][1]", "['x/1']")),
    "dict": ({"x/y": X, "x": {"y": 2 * X}}, "x/y", ("['x']['y']", "['x/y']")),
    "deep": ({"a": {"b/c": X}, "a/b": {"c": 2 * X}}, "a/b/c", ("['a']['b/c']", "['a/b']['c']")),
    "dataclass": ({"x/a": X, "x": Pair(2 * X, 3 * X)}, "x/a", ("['x'].a", "['x/a']")),
}
ADAM = gc.adam(0.1)


def after(tx, params):
    """Parameters and state after a step in which each leaf has another gradient."""
    return tx.step(params, tx.init(params), params)


def restored(tx, params):
    """The state after a step, as msgpack has it: all containers are dicts."""
    _, state = after(tx, params)
    return flax.serialization.msgpack_restore(flax.serialization.to_bytes(state))


USES = {
    "adopt_state": lambda t: gc.adopt_state(ADAM, ADAM.init(t), t),
    "a foreign state": lambda t: read(t),
    "average_weights": lambda t: gc.eval_params(gc.average_weights(ADAM).init(t), t),
    "switch that carries": lambda t: after(gc.switch(ADAM, 1, ADAM, carry=("mu",)), t),
    "a glob": lambda t: gc.select("*", t),
    "an expression": lambda t: gc.select(re.compile("x"), t),
    "a function of the path": lambda t: gc.select(lambda path, x: True, t),
    "freeze": lambda t: gc.freeze("*").init(t),
    "weight decay": lambda t: after(gc.adamw(0.1, where=gc.ndim_at_least(1)), t),
    "labels": lambda t: gc.partition({"a": ADAM}, lambda path, x: "a").init(t),
    "groups": lambda t: gc.groups([("*", ADAM)]).init(t),
    "masked": lambda t: gc.masked(ADAM, "*", gc.freeze()).init(t),
    "factors by path": lambda t: after(gc.scale_by_path({"*": 2.0}), t),
    "depths by path": lambda t: after(gc.layerwise_decay(0.5), t),
    "noise": lambda t: after(gc.add_noise(0.1, 0.5, 0), t),
    "random vectors": lambda t: gc.tree.normal_like(jax.random.key(0), t),
    "watch by path": lambda t: gc.watch(ADAM, by="path").init(t),
    "watch by a function": lambda t: gc.watch(ADAM, by=lambda path, x: path).init(t),
    "describe": lambda t: gc.describe(ADAM, t),
}


@pytest.mark.parametrize("kind", TREES)
@pytest.mark.parametrize("use", USES)
def test_a_path_of_two_leaves_is_refused_wherever_it_is_a_key(use, kind):
    tree, path, keys = TREES[kind]
    with pytest.raises(ValueError, match="two leaves have the path") as error:
        USES[use](tree)
    assert repr(path) in str(error.value)
    assert all(f"tree{key}" in str(error.value) for key in keys)


#: How often a slot is looked for: a leaf each, all together, matrix by matrix, in a wrapper.
MEMBERS = {
    "elementwise": lambda: gc.scale_by_adam(),
    "leafwise": lambda: gc.scale_by_novograd(),
    "treewise": lambda: gc.scale_by_dadapt_adam(),
    "wrapper": lambda: gc.average_weights(gc.add_momentum(0.9)),
}


@pytest.mark.parametrize("kind", ["tuple", "list"])
@pytest.mark.parametrize("member", MEMBERS)
def test_a_state_whose_containers_a_serializer_has_changed_is_refused(member, kind):
    tree, path, keys = TREES[kind]
    tx = MEMBERS[member]()
    for go_on in (tx.update, lambda g, s, p: gc.adopt_state(tx, s, p)):
        with pytest.raises(ValueError, match=f"two leaves have the path '{path}'") as error:
            go_on(tree, restored(tx, tree), tree)
        assert all(f"tree{key}" in str(error.value) for key in keys)


@pytest.mark.parametrize("kind", TREES)
def test_nothing_else_minds_it(kind):
    tree, *_ = TREES[kind]
    params, state = after(ADAM, tree)
    expected, _ = after(ADAM, jax.tree.leaves(tree))
    jax.tree.map(np.testing.assert_array_equal, jax.tree.leaves(params), expected)
    assert gc.eval_params(state, params) is not None
    after(gc.lookahead(ADAM, reset_state=True), tree)
    params, state = after(gc.watch(ADAM, every=1), tree)
    assert float(gc.metrics(state)["exploding"]) == 0.0
    assert gc.check(ADAM, tree) is not None


def test_a_leaf_and_a_hole_are_refused_two_holes_are_not():
    with pytest.raises(ValueError, match="two leaves have the path 'x/0'"):
        distinct_leaves({"x/0": None, "x": (X,)})
    assert [path for path, _ in distinct_leaves({"x/0": None, "x": (None,)})] == ["x/0", "x/0"]


def test_containers_are_not_mended_by_a_path_of_two_leaves():
    tree, *_ = TREES["tuple"]
    with pytest.raises(ValueError, match="two leaves have the path 'x/0'"):
        in_containers_of(tree, {"x/0": X, "x": {"0": X}})


def test_labels_that_make_one_path_of_two_are_refused():
    tx = gc.partition(
        {"a/b": gc.sgd(0.1), "a": gc.chain(gc.sgd(0.2)).named("b")},
        lambda path, x: "a/b" if path == "u" else "a",
    )
    params = {"u": X, "v": X}
    with pytest.raises(ValueError, match=r"hyperparams: two members have .* at the same path"):
        gc.hyperparams(tx, tx.init(params))
