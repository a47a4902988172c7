"""What ``estimate`` says is what a step takes, and nothing of that size is made."""

import warnings

import jax
import jax.numpy as jnp
import pytest

import gradchain as gc
from gradchain.inspection import estimate, transformer_shapes

PARAMS = {
    "dense": {"bias": jnp.ones(64, jnp.bfloat16), "kernel": jnp.ones((128, 64))},
    "hole": None,
    "scale": jnp.ones(()),
}


def size(tree):
    return sum(x.nbytes for x in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    "tx",
    [
        gc.adamw(1e-3),
        gc.sgd(1e-3),
        gc.storage(gc.adamw(1e-3), "int8", least_size=1),
        gc.accumulate(gc.lion(1e-4), 4),
        gc.master_weights(gc.adafactor(1e-2)),
    ],
    ids=["adamw", "sgd", "storage", "accumulate", "master_weights"],
)
def test_bytes_are_those_of_real_buffers(tx):
    state = tx.init(PARAMS)
    grads = jax.tree.map(jnp.ones_like, PARAMS)
    found = estimate(tx, PARAMS)
    assert found.parameter_bytes == size(PARAMS)
    assert found.gradient_bytes == size(grads)
    assert found.state_bytes == size(state)
    peaks = []
    for donated in ((0, 1, 2), (1, 2)):  # gradients where that takes less
        step = jax.jit(tx.step, donate_argnums=donated, keep_unused=True)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Some donated buffers were not usable")
            taken = step.lower(grads, state, PARAMS).compile().memory_analysis()
        peaks.append(
            taken.argument_size_in_bytes
            + taken.output_size_in_bytes
            - taken.alias_size_in_bytes
            + taken.temp_size_in_bytes
        )
    assert found.peak_bytes == min(peaks)


def test_a_step_of_adamw_needs_little_beside_its_arguments():
    shapes = {"w": jax.ShapeDtypeStruct((1024, 1024), jnp.float32)}
    assert estimate(gc.adamw(1e-3), shapes).transient_bytes < 2**12


def test_what_a_step_makes_anew_is_transient():
    shapes = {"w": jax.ShapeDtypeStruct((1024, 1024), jnp.float32)}
    assert estimate(gc.muon(1e-3), shapes).transient_bytes >= 4 * 1024**2


def test_nothing_is_allocated():
    tx = gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(1e-3))
    before = sum(x.nbytes for x in jax.live_arrays())
    found = estimate(tx, transformer_shapes(70e9, "bfloat16"))
    after = sum(x.nbytes for x in jax.live_arrays())
    assert after - before < 1024
    assert found.peak_bytes >= found.parameters * (2 + 2 + 8)


def test_extra_arguments_reach_update():
    tx = gc.chain(gc.scale_by_polyak(), gc.scale(-1.0))
    with pytest.raises(TypeError, match="needs the extra argument 'value'"):
        estimate(tx, PARAMS)
    assert estimate(tx, PARAMS, value=jnp.zeros(())).state_bytes == 0


def test_functions_reach_update_too():
    loss_fn = lambda p: jnp.sum(p["w"] ** 2)
    params = {"w": jnp.ones(64)}
    found = estimate(gc.lbfgs(), params, value=1.0, value_fn=loss_fn)
    assert found.state_bytes == size(gc.lbfgs().init(params))


def test_it_prints_as_a_table():
    shapes = {"w": jax.ShapeDtypeStruct((1024, 1024), jnp.bfloat16)}
    lines = str(estimate(gc.adam(1e-3), shapes)).splitlines()
    assert lines[0] == "1,048,576 parameters      size  bytes per parameter"
    assert lines[1] == "parameters             2.0 MiB                 2.00"
    assert lines[3] == "state                  8.0 MiB                 8.00"
    assert lines[5].startswith("peak of a step")


@pytest.mark.parametrize("count", [1e7, 124e6, 1.3e9, 7e9, 70e9, 1e12])
def test_a_transformer_has_about_as_many_parameters_as_asked(count):
    shapes = transformer_shapes(count)
    found = sum(x.size for x in jax.tree.leaves(shapes))
    assert abs(found / count - 1) < 0.11
    assert found == gc.describe(gc.sgd(1.0), shapes).parameters
    words, width = shapes["embedding"].shape
    depth = len(range(shapes["layers"]["up"].shape[0]))
    assert found == words * width + depth * (12 * width**2 + 2 * width) + width


@pytest.mark.parametrize("count", [0, 1e6, -7e9, float("nan"), float("inf")])
def test_too_small_a_transformer_is_refused(count):
    with pytest.raises(ValueError, match="parameters must be 10,000,000 or more"):
        transformer_shapes(count)
