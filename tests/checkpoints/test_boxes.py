"""A state that was written with boxes around its arrays is adopted like one without."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn, nnx
from flax.training.train_state import TrainState

import gradchain as gc
from gradchain.training import Checkpoints
from tests.laws import samples

BEFORE = gc.adamw(0.1)
AFTER = gc.accumulate(gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(0.1)), every=2)
INNER = "accumulate/inner/"


class Model(nnx.Module):
    """Its parameter has the name that a box has in a file."""

    def __init__(self):
        self.dense = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
        self.value = nnx.Param(jnp.ones(2))


def written(folder, node):
    """An ``nnx.Optimizer`` as orbax gives it back without a template."""
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(1, nnx.state(node.model), nnx.state(node.optimizer))
    with Checkpoints(folder) as checkpoints:
        return checkpoints.read()["state"]


class Trained:
    def __init__(self, model):
        self.model, self.optimizer = model, nnx.Optimizer(model, BEFORE, wrt=nnx.Param)
        self.params = nnx.as_pure(nnx.state(model, nnx.Param))
        for i in range(3):
            grads = jax.tree.map(lambda x, i=i: x + i, nnx.state(model, nnx.Param))
            self.optimizer.update(model, grads)


@pytest.mark.parametrize("model", [lambda: nnx.Linear(3, 2, rngs=nnx.Rngs(0)), Model])
@pytest.mark.parametrize("tx", [BEFORE, AFTER], ids=["same", "edited"])
def test_an_nnx_optimizer_goes_on_in_an_edited_chain(model, tx, tmp_path):
    trained = Trained(model())
    old = written(tmp_path, trained)
    expected, report = gc.adopt_state(
        tx, nnx.as_pure(trained.optimizer.opt_state), trained.params
    )
    pure = nnx.as_pure(nnx.state(trained.optimizer))
    held = [trained.optimizer, nnx.state(trained.optimizer), pure, old, old["opt_state"]]
    for state in [*held, {"optimizer": old["opt_state"]}]:
        adopted, found = gc.adopt_state(tx, state, trained.params)
        samples.assert_identical(adopted, expected)
        assert not found.dropped
        assert (found.kept, found.new) == (report.kept, report.new)
    inner = expected if tx is BEFORE else expected["accumulate"]["inner"]
    assert inner["scale_by_adam"]["count"] == 3


def test_the_adopted_state_is_put_into_an_nnx_optimizer(tmp_path):
    trained = Trained(Model())
    state, _ = gc.adopt_state(AFTER, written(tmp_path, trained), trained.params)
    optimizer = nnx.Optimizer(trained.model, AFTER, wrt=nnx.Param)
    nnx.update(optimizer.opt_state, state)
    samples.assert_identical(nnx.as_pure(optimizer.opt_state), state)
    assert nnx.as_pure(optimizer.opt_state)["accumulate"]["inner"]["scale_by_adam"]["count"] == 3


def test_of_boxes_around_some_parameters():
    """As Linen's ``Partitioned``, which is beside arrays without one, is written."""
    params = {"kernel": nn.Partitioned(jnp.ones((2, 2)), (None, None)), "bias": jnp.ones(2)}
    new = jax.tree.map(lambda x: x + 3, BEFORE.init(params))
    is_box = lambda x: isinstance(x, nn.Partitioned)
    plain = lambda x: {"value": np.asarray(x.value)} if is_box(x) else np.asarray(x)
    old = jax.tree.map(plain, new, is_leaf=is_box)
    adopted, report = gc.adopt_state(AFTER, old, params)
    assert not report.dropped and f"{INNER}scale_by_adam/mu/kernel" in report.kept
    samples.assert_identical(
        jax.tree.leaves(adopted["accumulate"]["inner"]), jax.tree.leaves(new)
    )


@pytest.mark.parametrize("params", [{"value": jnp.ones(2)}, {"a": {"value": jnp.ones(2)}}])
@pytest.mark.parametrize("tx", [gc.lion(0.1), gc.adam(0.1)], ids=["lion", "adam"])
def test_a_parameter_called_value_has_no_box(params, tx):
    old = jax.tree.map(lambda x: x + 3, tx.init(params))
    adopted, report = gc.adopt_state(tx, old, params)
    assert not report.dropped and not report.new
    samples.assert_identical(adopted, old)


def test_the_state_is_taken_out_of_a_train_state():
    params = {"w": jnp.ones(2)}
    held = TrainState.create(apply_fn=None, params=params, tx=BEFORE)
    as_written = {"step": 0, "params": params, "opt_state": held.opt_state}
    for state in (held, as_written):
        adopted, report = gc.adopt_state(AFTER, state, params)
        assert not report.dropped
        samples.assert_identical(adopted["accumulate"]["inner"], held.opt_state)


def test_a_state_of_which_nothing_has_a_place_is_said_aloud():
    params = {"w": jnp.ones(2)}
    other = gc.scale_by_adam().init({"v": jnp.ones(2)})["scale_by_adam"]["mu"]
    with pytest.warns(UserWarning, match="nothing of the old state.*'v' .1 arrays. is dropped"):
        gc.adopt_state(gc.lion(0.1), other, params)
