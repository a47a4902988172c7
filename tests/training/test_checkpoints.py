"""A run that was interrupted goes on bit for bit, and its best checkpoint stays."""

import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import nnx

import gradchain as gc
from gradchain.training import Checkpoints, EarlyStopping

PARAMS = {"dense": {"kernel": jnp.ones((2, 3)), "bias": jnp.zeros(3)}, "deep": [(jnp.ones(2),)]}
TX = gc.accumulate(gc.adamw(gc.cosine_decay_schedule(0.1, 50)), every=2)
VALUES = [5.0, 4.0, 6.0, 3.0, math.nan, 7.0, 8.0, 9.0]


def identical(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, one, other)


def gradients(params, step):
    return jax.tree.map(lambda p: p * np.float32(step), params)


def loop(folder, until, patience=4, keep=1):
    """A loop as a user writes it, and all that it leaves."""
    params, state = PARAMS, TX.init(PARAMS)
    stopping = EarlyStopping(patience)
    with Checkpoints(folder, keep) as checkpoints:
        start, params, state = checkpoints.resume(params, state, stopping)
        for step in range(start + 1, until + 1):
            params, state = TX.step(gradients(params, step), state, params)
            stopping.update(step, VALUES[step - 1], params)
            checkpoints.save(step, params, state, stopping)
            if stopping.should_stop:
                break
        return params, state, stopping.state(), checkpoints.best, checkpoints.last


def test_an_interrupted_run_ends_as_one_in_one_piece(tmp_path):
    whole = loop(tmp_path / "whole", 8)
    for until in (1, 3, 5, 6):
        loop(tmp_path / "parts", until)
    parts = loop(tmp_path / "parts", 8)
    identical(parts[:2], whole[:2])
    identical(parts[2]["weights"], whole[2]["weights"])
    assert parts[3:] == whole[3:] == (4, 8)
    assert [parts[2][k] for k in ("value", "step", "waited", "not_finite")] == [3.0, 4, 4, [5]]


@pytest.mark.parametrize("keep", [1, 2])
def test_the_best_and_the_last_are_kept(tmp_path, keep):
    loop(tmp_path, 7, keep=keep)
    steps = sorted(int(path.name) for path in tmp_path.iterdir() if path.name.isdigit())
    assert steps == [4, *range(8 - keep, 8)]


def test_the_best_comes_back(tmp_path):
    at_best, _, _, _, _ = loop(tmp_path / "short", 4)
    loop(tmp_path / "long", 7)
    with Checkpoints(tmp_path / "long") as checkpoints:
        assert (checkpoints.best, checkpoints.last) == (4, 7)
        run = checkpoints.restore_best(PARAMS)
        assert (run.step, run.state) == (4, None)
        identical(run.params, at_best)
        state = checkpoints.restore_best(PARAMS, TX.init(PARAMS)).state
        assert jax.tree.structure(state) == jax.tree.structure(TX.init(PARAMS))


def test_a_new_run_begins_with_the_trees_that_were_given(tmp_path):
    with Checkpoints(tmp_path / "deep" / "run") as checkpoints:
        assert (checkpoints.best, checkpoints.last) == (None, None)
        step, params, state = checkpoints.resume(PARAMS, {})
        assert (step, params is PARAMS, state) == (0, True, {})
        with pytest.raises(ValueError, match="no checkpoint is the best"):
            checkpoints.restore_best(PARAMS)
        with pytest.raises(ValueError, match="no checkpoint of step None"):
            checkpoints.read()


def test_all_kinds_of_leaves_come_back_as_they_were(tmp_path):
    params = {
        "half": jnp.ones(3, jnp.bfloat16),
        "complex": jnp.ones(2, jnp.complex64) * 1j,
        "key": jax.random.key(3),
        "hole": None,
        "tuple": (jnp.zeros(()), [jnp.int32(7)]),
    }
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, params, {})  # of a transformation without memory
        run = checkpoints.resume(params, {})
    assert run.state == {}
    assert jax.tree.structure(run.params) == jax.tree.structure(params)
    for one, other in zip(*map(jax.tree.leaves, (run.params, params)), strict=True):
        assert one.dtype == other.dtype
        assert bool(jnp.all(one == other))


def test_a_sharded_run_comes_back_on_its_devices(tmp_path):
    mesh = jax.make_mesh((8,), ("data",))
    across = jax.NamedSharding(mesh, jax.P("data"))
    params = {"w": jax.device_put(jnp.arange(16.0), across)}
    stopping, again = EarlyStopping(), EarlyStopping()
    stopping.update(1, 1.0, params)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, params, None, stopping)
        run = checkpoints.resume(params, None, again)
    assert run.params["w"].sharding == again.best.weights["w"].sharding == across
    identical(run.params, params)


def test_an_nnx_run_goes_on(tmp_path):
    def new(seed):
        model = nnx.Linear(3, 2, rngs=nnx.Rngs(seed))
        return model, nnx.Optimizer(model, gc.adamw(0.1), wrt=nnx.Param)

    def state(pair):
        return nnx.state(pair[0]), nnx.state(pair[1])

    one, other = new(0), new(1)
    one[1].update(one[0], nnx.grad(lambda m: jnp.sum(m(jnp.ones((4, 3))) ** 2))(one[0]))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, *state(one))
        _, params, opt_state = checkpoints.resume(*state(other))
    nnx.update(other[0], params)
    nnx.update(other[1], opt_state)
    identical(nnx.to_pure_dict(nnx.state(other)), nnx.to_pure_dict(nnx.state(one)))


def test_an_edited_chain_is_led_to_adopt_state(tmp_path):
    before, after = gc.adam(0.1), gc.accumulate(gc.adam(0.1), every=2)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, PARAMS, before.init(PARAMS))
        with pytest.raises(ValueError, match=r"'state/accumulate/.*is nothing in.*adopt_state"):
            checkpoints.resume(PARAMS, after.init(PARAMS))
        state, report = gc.adopt_state(after, checkpoints.read()["state"], PARAMS)
    assert not report.dropped
    assert jax.tree.structure(state) == jax.tree.structure(after.init(PARAMS))


def test_other_shapes_and_dtypes_are_refused_by_their_path(tmp_path):
    params = {"w": jnp.ones(3)}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, params)
        message = r"'params/w' is float32\[3\] in the checkpoint, but float32\[4\]"
        with pytest.raises(ValueError, match=message):
            checkpoints.resume({"w": jnp.ones(4)})
        with pytest.raises(ValueError, match=r"but bfloat16\[3\]"):
            checkpoints.resume({"w": jnp.ones(3, jnp.bfloat16)})
        with pytest.raises(ValueError, match="'params/b' is nothing in the checkpoint"):
            checkpoints.resume(params | {"b": jnp.ones(3)})
        with pytest.raises(TypeError, match="params/f"):
            checkpoints.save(2, {"f": abs})
        with pytest.raises(ValueError, match=r"'params/empty' has shape \[0, 2\]"):
            checkpoints.save(2, {"empty": jnp.zeros((0, 2))})
        checkpoints.save(2, params)
        assert checkpoints.resume(params).step == 2


def test_a_step_that_is_there_already_is_refused(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(5, PARAMS)
        for step in (5, 4):
            with pytest.raises(ValueError, match=f"step {step} is not after .*, 5.*resume"):
                checkpoints.save(step, PARAMS)


def test_a_folder_of_something_else_is_refused(tmp_path):
    with ocp.CheckpointManager(tmp_path) as manager:
        manager.save(3, args=ocp.args.StandardSave(PARAMS))
    with pytest.raises(ValueError, match="that something else wrote"):
        Checkpoints(tmp_path)


def test_a_loop_that_raises_leaves_whole_checkpoints(tmp_path):
    def interrupted():
        with Checkpoints(tmp_path) as checkpoints:
            checkpoints.save(1, PARAMS)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with Checkpoints(tmp_path) as checkpoints:
        identical(checkpoints.resume(PARAMS).params, PARAMS)


@pytest.mark.parametrize("keep", [0, None, 1.5])
def test_keep_is_a_count(tmp_path, keep):
    with pytest.raises(ValueError, match="keep is"):
        Checkpoints(tmp_path, keep)


def test_without_orbax_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "orbax.checkpoint", None)
    with pytest.raises(ImportError, match=r'needs orbax: pip install "gradchain\[checkpoint\]"'):
        Checkpoints(tmp_path)


@pytest.mark.parametrize("saved", [nnx.state, lambda x: x], ids=["state", "object"])
def test_an_nnx_object_and_its_state_are_not_mixed(saved, tmp_path):
    model = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, gc.adam(0.1), wrt=nnx.Param)
    given = [x if saved is nnx.state else nnx.state(x) for x in (model, optimizer)]
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, saved(model), saved(optimizer))
        with pytest.raises(ValueError, match="the same kind to save and to resume"):
            checkpoints.resume(*given)
        _, report = gc.adopt_state(
            gc.adamw(0.1), checkpoints.read()["state"], nnx.state(model, nnx.Param)
        )
    assert not report.dropped and not report.new
