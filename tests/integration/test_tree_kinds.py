"""The same rules say the same of a model in every kind of tree: Flax's, Equinox's, dataclasses,
named tuples.
"""

import re
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import flax.struct
import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn, nnx
from flax.core import FrozenDict

import gradchain as gc
from gradchain.tree.paths import named_leaves
from tests.laws.samples import assert_identical

LAYER = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
PARAMS = {"encoder": LAYER, "head": LAYER}
HUGE = jax.tree.map(lambda x: 100.0 * x, LAYER)
GRADS = {
    "encoder": HUGE,
    "head": {"kernel": jnp.full((2, 2), 3.0), "bias": jnp.array([0.0, 8.0])},
}  # head: norm 10
CLIP = gc.clip_by_global_norm(1.0)


class NNXLayer(nnx.Module):
    def __init__(self, kernel, bias):
        self.kernel, self.bias = nnx.Param(kernel), nnx.Param(bias)


class NNXModel(nnx.Module):
    def __init__(self, encoder, head):
        self.encoder, self.head = NNXLayer(**encoder), NNXLayer(**head)


class EquinoxLayer(eqx.Module):
    kernel: jax.Array
    bias: jax.Array
    activation: Callable = jax.nn.relu


class EquinoxModel(eqx.Module):
    encoder: EquinoxLayer
    head: EquinoxLayer


@jax.tree_util.register_dataclass
@dataclass
class Layer:
    bias: jax.Array
    kernel: jax.Array


@jax.tree_util.register_dataclass
@dataclass
class Model:
    head: Layer
    encoder: Layer


@flax.struct.dataclass
class FlaxLayer:
    kernel: jax.Array
    bias: jax.Array
    name: str = flax.struct.field(pytree_node=False, default="layer")


@flax.struct.dataclass
class FlaxModel:
    encoder: FlaxLayer
    head: FlaxLayer


TupleLayer = namedtuple("TupleLayer", ["kernel", "bias"])
TupleModel = namedtuple("TupleModel", ["encoder", "head"])
nested = lambda outer, inner: (
    lambda tree: outer(**{name: inner(**layer) for name, layer in tree.items()})
)
CONTAINERS = {
    "dict": dict,
    "FrozenDict": FrozenDict,
    "Partitioned": lambda tree: jax.tree.map(lambda x: nn.Partitioned(x, (None,) * x.ndim), tree),
    "nnx.State": lambda tree: nnx.state(NNXModel(**tree), nnx.Param),
    "nnx pure state": lambda tree: nnx.as_pure(nnx.state(NNXModel(**tree), nnx.Param)),
    "Equinox": lambda tree: eqx.filter(nested(EquinoxModel, EquinoxLayer)(tree), eqx.is_array),
    "dataclass": nested(Model, Layer),
    "flax.struct": nested(FlaxModel, FlaxLayer),
    "namedtuple": nested(TupleModel, TupleLayer),
}
each_container = pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS)
by_path = lambda tree: {path: x for path, x in named_leaves(tree) if x is not None}


@each_container
def test_paths_are_the_same_in_every_kind_of_tree(make):
    assert by_path(make(PARAMS)).keys() == by_path(PARAMS).keys()


@pytest.mark.rotated(4)
@each_container
@pytest.mark.parametrize(
    "tx",
    [
        gc.chain(CLIP, gc.freeze("encoder/*"), gc.adamw(0.1)),
        gc.chain(
            CLIP,
            gc.groups(
                [("encoder/*", gc.freeze()), ("*bias", {"weight_decay": 0.0})], gc.adamw(0.1)
            ),
        ),
        gc.groups(
            [(re.compile("^encoder/kernel$"), gc.freeze()), ("encoder/*", gc.sgd(0.1, 0.9))],
            gc.adam(0.1),
        ),
        gc.lookahead(
            gc.groups([(gc.path_matches("bias"), gc.freeze())], gc.sgd(0.1)), sync_period=2
        ),
    ],
    ids=["freeze", "groups", "regex", "lookahead"],
)
def test_rules_say_the_same_in_every_kind_of_tree(make, tx):
    def train(make):
        params, grads = make(PARAMS), make(GRADS)
        state = tx.init(params)
        for _ in range(3):
            params, state = jax.jit(tx.step)(grads, state, params)
        return params, state

    params, state = train(make)
    expected, expected_state = train(dict)
    assert jax.tree.structure(params) == jax.tree.structure(make(PARAMS))
    assert_identical(by_path(params), by_path(expected))
    assert_identical(by_path(state), by_path(expected_state))


@each_container
def test_a_mask_of_the_same_kind_says_the_same(make):
    params = make(PARAMS)
    tx = gc.groups([(jax.tree.map(lambda x: x.ndim == 1, params), gc.freeze())], gc.sgd(0.1))
    updates, _ = tx.update(params, tx.init(params), params)
    made = {path: bool(x.any()) for path, x in by_path(updates).items()}
    assert made == {path: path.endswith("kernel") for path in by_path(PARAMS)}


def test_what_is_no_array_is_a_hole_and_with_an_update_refused_by_name():
    model = nested(EquinoxModel, EquinoxLayer)(PARAMS)
    tx, params = (
        gc.groups([("encoder/*", gc.freeze())], default=gc.adam(0.1)),
        eqx.filter(model, eqx.is_array),
    )
    assert_identical(by_path(tx.init(model)), by_path(tx.init(params)))
    assert_identical(
        by_path(tx.update(params, tx.init(model), model)),
        by_path(tx.update(params, tx.init(params), params)),
    )
    state, grads = tx.init(params), eqx.tree_at(lambda m: m.head.activation, model, jnp.ones(2))
    way_out = "not an array. Give it only the arrays.*eqx.filter"
    for run in (tx.update, tx.step):
        with pytest.raises(TypeError, match=f"update: 'encoder/activation' is a .*{way_out}"):
            run(model, state, model)
        with pytest.raises(TypeError, match=f"update: 'head/activation' is a .*{way_out}"):
            run(eqx.filter(grads, eqx.is_array), state, model)
