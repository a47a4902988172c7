"""Flax's training loops take a transformation as it is: Linen's ``TrainState`` and
``nnx.Optimizer``.
"""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn, nnx, struct
from flax.core import FrozenDict, freeze
from flax.training.train_state import TrainState

import gradchain as gc

X = jax.random.normal(jax.random.key(1), (16, 8, 8, 1))
Y = jnp.arange(16) % 4
RATE = gc.warmup_cosine_decay_schedule(0.0, 0.05, warmup_steps=3, decay_steps=30)


@pytest.fixture(autouse=True)
def _as_flax_is_written():
    """Flax's layers broadcast, and mix Python and NumPy numbers with arrays."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


def make_tx(where=None):
    return gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(RATE, weight_decay=0.1, where=where))


def cross_entropy(logits):
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), Y[:, None], axis=1).mean()


def state_paths(state):
    return {
        jax.tree_util.keystr(path, simple=True, separator="/")
        for path, _ in jax.tree.leaves_with_path(state)
    }


# -------------------------------------------------------------------------------------------- Linen


class LinenCNN(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(4, (3, 3), name="conv")(x))
        return nn.Dense(4, name="head")(x.mean((1, 2)))


LINEN = LinenCNN()


def linen_state(tx):
    return TrainState.create(
        apply_fn=LINEN.apply, params=LINEN.init(jax.random.key(0), X)["params"], tx=tx
    )


def linen_loss(params):
    return cross_entropy(LINEN.apply({"params": params}, X))


def linen_step(state):
    loss, grads = jax.value_and_grad(linen_loss)(state.params)
    return state.apply_gradients(grads=grads), loss


def test_train_state_trains_and_does_not_retrace_for_an_equal_transformation():
    @jax.jit
    @chex.assert_max_traces(n=1)
    def step(state):
        return linen_step(state)

    for _ in range(2):
        state = linen_state(make_tx("*/kernel"))
        losses = []
        for _ in range(20):
            state, loss = step(state)
            losses.append(float(loss))
        assert losses[-1] < 0.9 * losses[0]
        assert state.step == state.opt_state["scale_by_adam"]["count"] == 20


def test_the_state_of_a_train_state_has_the_paths_of_the_parameters():
    paths = state_paths(linen_state(make_tx()).opt_state)
    assert {
        "scale_by_adam/count",
        "scale_by_adam/mu/conv/kernel",
        "scale_by_adam/nu/head/bias",
    } <= paths


def test_a_train_state_follows_plain_jax():
    tx = make_tx("*/kernel")
    state = linen_state(tx)
    params, opt_state = state.params, tx.init(state.params)

    @jax.jit
    def plain_step(params, opt_state):
        updates, opt_state = tx.update(jax.grad(linen_loss)(params), opt_state, params)
        return gc.apply_updates(params, updates), opt_state

    for _ in range(5):
        state, _ = jax.jit(linen_step)(state)
        params, opt_state = plain_step(params, opt_state)
    chex.assert_trees_all_equal(state.params, params)
    chex.assert_trees_all_equal(state.opt_state, opt_state)


def test_a_train_state_goes_through_scan():
    state, losses = jax.lax.scan(
        lambda state, _: linen_step(state), linen_state(make_tx()), length=20
    )
    assert losses[-1] < losses[0]
    assert state.step == 20


def test_frozen_params_stay_frozen():
    plain = linen_state(make_tx("*/kernel"))
    frozen = TrainState.create(apply_fn=plain.apply_fn, params=freeze(plain.params), tx=plain.tx)
    grads = jax.tree.map(jnp.ones_like, plain.params)
    for _ in range(3):
        plain = plain.apply_gradients(grads=grads)
        frozen = frozen.apply_gradients(grads=freeze(grads))
    assert isinstance(frozen.params, FrozenDict)
    chex.assert_trees_all_equal(frozen.params.unfreeze(), plain.params)


def test_partitioned_boxes_stay_and_add_nothing_to_a_path():
    init = nn.with_partitioning(nn.initializers.lecun_normal(), ("in", "out"))
    model = nn.Dense(3, kernel_init=init)
    params = model.init(jax.random.key(0), jnp.ones((1, 2)))["params"]
    seen = []
    where = lambda path, x: seen.append(path) or x.ndim > 1
    tx = gc.chain(gc.masked(gc.scale_by_adam(), where), gc.scale_by_learning_rate(0.1))
    state = TrainState.create(apply_fn=model.apply, params=params, tx=tx)

    @jax.jit
    def step(state):
        grads = jax.grad(lambda p: (model.apply({"params": p}, jnp.ones((1, 2))) ** 2).sum())(
            state.params
        )
        return state.apply_gradients(grads=grads)

    new = step(step(state))
    assert set(seen) == {"kernel", "bias"}
    mu = new.opt_state["masked"]["inner"]["scale_by_adam"]["mu"]
    for kernel in (new.params["kernel"], mu["kernel"]):
        assert isinstance(kernel, nn.Partitioned)
        assert kernel.names == ("in", "out")
        assert kernel.value.shape == (2, 3)
    assert mu["bias"] is None
    assert not jnp.array_equal(new.params["kernel"].value, params["kernel"].value)


@struct.dataclass
class Attention:
    query: jax.Array
    value: jax.Array


def test_a_value_that_is_one_of_several_is_no_box():
    x = jnp.ones(2)
    tree = {
        "attention": Attention(x, x),
        "boxed": nn.Partitioned(x, ("in",)),
        "dict": {"value": x},
    }
    seen = []
    gc.select(lambda path, x: seen.append(path), tree)
    assert seen == ["attention/query", "attention/value", "boxed", "dict/value"]


# ---------------------------------------------------------------------------------------------- NNX


class CNN(nnx.Module):
    def __init__(self, rngs, dtype=jnp.float32):
        self.conv = nnx.Conv(1, 4, (3, 3), param_dtype=dtype, rngs=rngs)
        self.norm = nnx.BatchNorm(4, param_dtype=dtype, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)
        self.heads = nnx.List([nnx.Linear(4, 4, param_dtype=dtype, rngs=rngs) for _ in range(2)])

    def __call__(self, x):
        x = self.dropout(nnx.relu(self.norm(self.conv(x))).mean((1, 2)))
        return sum(head(x) for head in self.heads)


@nnx.jit
def nnx_step(model, optimizer):
    wrt = nnx.DiffState(0, optimizer.wrt)
    loss, grads = nnx.value_and_grad(lambda model: cross_entropy(model(X)), argnums=wrt)(model)
    optimizer.update(model, grads)
    return loss


def nnx_train(tx, steps=20, wrt=nnx.Param, dtype=jnp.float32):
    model = CNN(nnx.Rngs(0), dtype)
    before = arrays(model)
    optimizer = nnx.Optimizer(model, tx, wrt=wrt)
    losses = [float(nnx_step(model, optimizer)) for _ in range(steps)]
    return optimizer, losses, before, arrays(model)


def nnx_updates(tx, steps):
    """The same without the gradients of a loss, which take long to compile."""
    model = CNN(nnx.Rngs(0))
    before = arrays(model)
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    for _ in range(steps):
        optimizer.update(model, jax.tree.map(jnp.ones_like, nnx.state(model, nnx.Param)))
    return optimizer, before, arrays(model)


def arrays(model):
    """The parameters by path, apart from the model."""
    flat = nnx.to_flat_state(nnx.state(model, nnx.Param))
    return {"/".join(map(str, path)): jnp.array(x[...]) for path, x in flat}


def moved(before, after):
    return {path for path in before if not jnp.array_equal(before[path], after[path])}


def test_nnx_optimizer_trains_with_a_schedule():
    optimizer, losses, before, after = nnx_train(make_tx(where=gc.ndim_at_least(2)))
    assert losses[-1] < 0.9 * losses[0]
    assert (
        optimizer.step[...] == optimizer.opt_state["scale_by_learning_rate"]["count"][...] == 20
    )
    assert moved(before, after) == before.keys()


def test_the_schedule_is_followed_in_an_nnx_optimizer():
    _, before, after = nnx_updates(gc.sgd(gc.linear_schedule(0.0, 0.2, 2)), steps=3)
    for path in before:  # 0, then 0.1, then 0.2
        np.testing.assert_allclose(after[path], before[path] - 0.3, rtol=1e-5, atol=1e-6)


def test_the_state_of_an_nnx_optimizer_has_the_paths_of_the_parameters():
    optimizer, *_ = nnx_updates(make_tx(), steps=1)
    paths = state_paths(nnx.as_pure(optimizer.opt_state))
    assert {
        "scale_by_adam/count",
        "scale_by_adam/mu/conv/kernel",
        "scale_by_adam/nu/heads/1/bias",
    } <= paths


def test_nnx_jit_does_not_retrace_for_an_equal_transformation():
    traces = []

    @nnx.jit
    def step(model, optimizer):
        traces.append(optimizer.tx)
        nnx_step(model, optimizer)

    for _ in range(3):
        model = CNN(nnx.Rngs(0))
        step(model, nnx.Optimizer(model, make_tx("*/kernel"), wrt=nnx.Param))
    assert len(traces) == 1


def test_an_nnx_optimizer_follows_plain_jax():
    tx = make_tx("kernel")
    model = nnx.Linear(8, 4, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    params = nnx.to_pure_dict(nnx.state(model))
    state = tx.init(params)
    loss_fn = lambda kernel, bias: cross_entropy(X[:, :, 0, 0] @ kernel + bias)
    for _ in range(5):
        optimizer.update(model, nnx.grad(lambda m: loss_fn(m.kernel[...], m.bias[...]))(model))
        params, state = tx.step(jax.grad(lambda p: loss_fn(**p))(params), state, params)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6),
        nnx.to_pure_dict(nnx.state(model)),
        params,
    )


DECAY_ONLY = gc.chain(gc.scale(0.0), gc.add_decayed_weights(0.1), gc.scale_by_learning_rate(0.1))
KERNELS = {"conv/kernel", "heads/0/kernel", "heads/1/kernel"}
SELECTIONS = [
    ("*kernel", KERNELS),
    ("conv/*", {"conv/kernel", "conv/bias"}),
    (gc.path_matches(r"^heads/\d/kernel$"), KERNELS - {"conv/kernel"}),
    (gc.ndim_at_least(2), KERNELS),
    (lambda path, x: path == "norm/scale", {"norm/scale"}),
]


@pytest.mark.parametrize(("where", "chosen"), SELECTIONS)
def test_weight_decay_reaches_what_is_selected_in_an_nnx_state(where, chosen):
    tx = DECAY_ONLY.replace(add_decayed_weights=gc.add_decayed_weights(0.1, where))
    _, before, after = nnx_updates(tx, steps=2)
    for path in before:
        np.testing.assert_allclose(
            after[path], before[path] * (0.99**2 if path in chosen else 1.0), rtol=1e-6
        )


@pytest.mark.parametrize(("where", "chosen"), SELECTIONS)
def test_members_with_a_state_see_the_same_paths_at_init_and_in_update(where, chosen):
    optimizer, before, after = nnx_updates(gc.masked(gc.adam(0.1), where, gc.freeze()), steps=2)
    assert moved(before, after) == chosen
    mu = nnx.as_pure(optimizer.opt_state)["masked"]["inner"]["scale_by_adam"]["mu"]
    assert state_paths(mu) == chosen


def test_groups_of_an_nnx_state():
    groups = {"kernels": gc.adamw(RATE), "rest": gc.sgd(0.1, momentum=0.9)}
    tx = gc.partition(groups, lambda path, x: "kernels" if path.endswith("kernel") else "rest")
    optimizer, before, after = nnx_updates(tx, steps=2)
    assert moved(before, after) == before.keys()
    state = nnx.as_pure(optimizer.opt_state)["partition"]
    assert state_paths(state["kernels"]["scale_by_adam"]["mu"]) == KERNELS
    assert state_paths(state["rest"]["add_momentum"]["momentum"]) == before.keys() - KERNELS


def test_a_mask_made_of_the_pure_state():
    mask = jax.tree.map(lambda x: x.ndim > 1, nnx.as_pure(nnx.state(CNN(nnx.Rngs(0)), nnx.Param)))
    _, before, after = nnx_updates(gc.masked(gc.adam(0.1), mask, gc.freeze()), steps=2)
    assert moved(before, after) == KERNELS


def test_a_mask_in_other_containers_is_led_to_those_of_the_parameters():
    model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    tx = gc.adamw(0.1, where={"bias": False, "kernel": True})
    with pytest.raises(
        ValueError, match=r"a dict in the place of a State. Make it of that State"
    ):
        nnx.Optimizer(model, tx, wrt=nnx.Param).update(model, nnx.state(model, nnx.Param))


def test_an_nnx_filter_chooses_what_is_trained():
    wrt = nnx.All(nnx.Param, nnx.PathContains("heads"))
    optimizer, losses, before, after = nnx_train(make_tx(), wrt=wrt)
    assert losses[-1] < losses[0]
    assert moved(before, after) == {path for path in before if path.startswith("heads")}
    assert not any("conv" in path for path in state_paths(nnx.as_pure(optimizer.opt_state)))


def test_a_layer_without_a_bias_is_a_hole():
    model = nnx.Linear(8, 4, use_bias=False, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, make_tx(), wrt=nnx.Param)
    before = model.kernel[...]
    optimizer.update(model, nnx.grad(lambda m: cross_entropy(m(X[:, :, 0, 0])))(model))
    optimizer.update(model, nnx.grad(lambda m: cross_entropy(m(X[:, :, 0, 0])))(model))
    assert not jnp.array_equal(before, model.kernel[...])


def test_low_precision_parameters_keep_float32_state():
    optimizer, losses, _, after = nnx_train(make_tx(), steps=10, dtype=jnp.bfloat16)
    assert losses[-1] < losses[0]
    assert {x.dtype for x in after.values()} == {jnp.dtype(jnp.bfloat16)}
    moments = nnx.as_pure(optimizer.opt_state)["scale_by_adam"]
    assert {x.dtype for x in jax.tree.leaves((moments["mu"], moments["nu"]))} == {
        jnp.dtype(jnp.float32)
    }


def test_a_concrete_array_as_a_learning_rate_is_no_array_to_nnx():
    nnx_updates(gc.adam(jnp.asarray(1e-3)), steps=1)


def test_extra_arguments_pass_through_an_nnx_optimizer():
    model = nnx.Linear(2, 2, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, gc.adam(0.1), wrt=nnx.Param)
    loss, grads = nnx.value_and_grad(lambda m: (m(jnp.ones((1, 2))) ** 2).sum())(model)
    optimizer.update(model, grads, value=loss)
    with pytest.raises(TypeError, match="valeu"):
        optimizer.update(model, grads, valeu=loss)


def holders(tx):
    """A state after three steps: by itself, and in all that Flax holds it in."""
    model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    for _ in range(3):
        optimizer.update(model, jax.tree.map(jnp.ones_like, nnx.state(model, nnx.Param)))
    params, pure = (nnx.as_pure(x) for x in (nnx.state(model, nnx.Param), optimizer.opt_state))
    train_state = TrainState.create(apply_fn=None, params=params, tx=tx).replace(opt_state=pure)
    state = nnx.state(optimizer)
    held = [optimizer, state, nnx.as_pure(state), state["opt_state"], optimizer.opt_state]
    return params, pure, [*held, train_state]


def test_whatever_reads_a_state_reads_it_in_what_holds_it():
    inner = gc.tunable(gc.skip_nonfinite(gc.adam(RATE)))
    tx = gc.average_weights(gc.watch(gc.dynamic_loss_scale(inner), every=1))
    params, pure, held = holders(tx)
    readers = {
        "metrics": gc.metrics,
        "hyperparams": lambda state: gc.hyperparams(tx, state),
        "eval_params": lambda state: gc.eval_params(state, params),
        "bad_leaf": lambda state: gc.bad_leaf(state, params),
        "loss_scale": gc.loss_scale,
        "adopt_state": lambda state: gc.adopt_state(tx, state, params)[0],
    }
    for name, read in readers.items():
        expected = read(pure)
        for holder in held:
            assert str(read(holder)) == str(expected), name
    assert len(gc.metrics(pure)) > 5
    assert not jnp.array_equal(gc.eval_params(pure, params)["kernel"], params["kernel"])


def test_update_says_where_the_state_is():
    tx = gc.adam(0.1)
    params, _, (optimizer, state, *_, train_state) = holders(tx)
    for holder, way_out in (
        (optimizer, r"flax\.nnx\.as_pure\(optimizer\.opt_state\)"),
        (state, r"flax\.nnx\.to_pure_dict\(state\)\['opt_state'\]"),
        (train_state, r"state\.opt_state\."),
    ):
        with pytest.raises(TypeError, match=f"Give the state that it holds: {way_out}"):
            tx.update(params, holder, params)
    with pytest.raises(TypeError, match=r"hyperparams: the state is a list.*adopt_state"):
        gc.hyperparams(tx, [1])
