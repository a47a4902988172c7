"""A large batch in parts: its value and gradient, one trace, the memory of one part, one
reduction.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec as P

import gradchain as gc
from tests.laws.samples import assert_close, assert_identical, assert_same_type
from tests.support import hlo


def loss_fn(params, batch):
    x = batch["x"]
    for w in params:
        x = jnp.tanh(x @ w)
    return jnp.mean((x - batch["y"]) ** 2)


def make(dtype=jnp.float32, layers=3, width=16, n=32):
    keys = jax.random.split(jax.random.key(0), layers + 2)
    params = [0.3 * jax.random.normal(key, (width, width), dtype) for key in keys[2:]]
    return params, {
        k: jax.random.normal(key, (n, width), dtype) for k, key in zip("xy", keys, strict=False)
    }


# ---------------------------------------------------------------------------------- what it returns


@pytest.mark.parametrize("count", [1, 2, 8, 32])
def test_it_is_the_whole_batch(count):
    params, batch = make()
    expected = jax.jit(jax.value_and_grad(loss_fn))(params, batch)
    found = jax.jit(gc.micro_batch(loss_fn, count))(params, batch)
    assert_same_type(found, expected)
    assert_close(found, expected, 1e-6)


def test_outside_jit_it_is_the_same():
    params, batch = make()
    assert_close(
        gc.micro_batch(loss_fn, 4)(params, batch),
        jax.value_and_grad(loss_fn)(params, batch),
        1e-6,
    )


def test_in_float64_it_is_exact():
    with jax.enable_x64(True):
        params, batch = make(jnp.float64)
        found = gc.micro_batch(loss_fn, 8)(params, batch)
        assert found[0].dtype == found[1][0].dtype == jnp.float64
        assert_close(found, jax.value_and_grad(loss_fn)(params, batch), 1e-13)


def test_sums_are_made_in_float32_and_come_back_in_the_dtype_of_the_parameters():
    w = jnp.zeros((), jnp.bfloat16)
    x = jnp.concatenate([jnp.full(1, 256.0), jnp.ones(255)]).astype(
        jnp.bfloat16
    )  # in bfloat16, 256 + 1 is 256
    loss = lambda w, x: (1 + w) * x[0]
    value, grad = gc.micro_batch(loss, 256)(w, x)
    assert value.dtype == grad.dtype == jnp.bfloat16
    mean = jnp.bfloat16((256 + 255) / 256)
    assert (value, grad) == (mean, mean)


@pytest.mark.parametrize("argnums", [0, 1, -2, (0, 1), (1, 0), [1]])
def test_argnums_are_those_of_value_and_grad(argnums):
    loss = lambda scale, w, x: jnp.mean((scale["s"] * x @ w) ** 2)
    args = (
        {"s": jnp.float32(2.0)},
        jnp.linspace(0.0, 1.0, 6),
        jnp.linspace(-1.0, 2.0, 48).reshape(8, 6),
    )
    expected = jax.value_and_grad(loss, argnums)(*args)
    assert_close(gc.micro_batch(loss, 4, argnums=argnums, batch_argnums=2)(*args), expected, 1e-6)


def test_complex_parameters_and_holes():
    params = {"w": jnp.array([1 + 2j, 3 - 1j], jnp.complex64), "hole": None}
    loss = lambda p, b: jnp.mean(jnp.abs(b["x"] @ p["w"]) ** 2)
    batch = {"x": jnp.linspace(-1.0, 1.0, 16).reshape(8, 2).astype(jnp.complex64), "none": None}
    found = gc.micro_batch(loss, 4)(params, batch)
    assert_close(found, jax.value_and_grad(loss)(params, batch), 1e-6)
    assert found[1]["hole"] is None


def test_further_output_is_stacked_and_in_order():
    def loss(w, x):
        return jnp.mean(w * x), {"mean": jnp.mean(x), "each": 10 * x}

    x = jnp.arange(8.0)
    (value, aux), grad = jax.jit(gc.micro_batch(loss, 4, has_aux=True))(jnp.float32(2.0), x)
    assert (float(value), float(grad)) == (7.0, 3.5)
    np.testing.assert_array_equal(
        aux["mean"], [2.0, 3.0, 4.0, 5.0]
    )  # micro-batch i is every fourth example from i on
    np.testing.assert_array_equal(aux["each"].swapaxes(0, 1).reshape(-1), 10 * x)


def test_what_is_no_batch_is_passed_as_it_is():
    seen = []

    def loss(w, offset, x, *, power, weights):
        seen.append((offset.shape, x.shape, weights.shape, power))
        return jnp.mean((w - x + offset.sum()) ** power) + weights.sum()

    args = jnp.float32(1.0), jnp.ones(3), jnp.arange(6.0)
    named = dict(power=2, weights=jnp.ones(5))
    found = gc.micro_batch(loss, 3, batch_argnums=-1)(*args, **named)
    assert seen == [((3,), (2,), (5,), 2)]
    assert_close(found, jax.value_and_grad(loss)(*args, **named), 1e-6)


def test_random_keys_are_a_batch_like_any():
    def loss(w, x, keys):
        kept = jax.vmap(lambda key: jax.random.bernoulli(key, 0.5))(keys)
        return jnp.mean(w * x * kept.astype(x.dtype))

    args = jnp.float32(1.0), jnp.arange(16.0), jax.random.split(jax.random.key(0), 16)
    found = jax.jit(gc.micro_batch(loss, 4))(*args)
    assert_close(found, jax.value_and_grad(loss)(*args), 1e-6)


def test_a_step_is_that_of_accumulate():
    params, batch = make()
    tx = gc.accumulate(gc.adamw(0.1), 4)
    small, state = params, tx.init(params)
    for i in range(4):
        grads = jax.grad(loss_fn)(small, jax.tree.map(lambda x, i=i: x[i::4], batch))
        small, state = tx.step(grads, state, small)
    _, grads = gc.micro_batch(loss_fn, 4)(params, batch)
    large, inner_state = gc.adamw(0.1).step(grads, gc.adamw(0.1).init(params), params)
    assert_close((small, state["accumulate"]["inner"]), (large, inner_state), 1e-6)


# ------------------------------------------------------------------------------------ what it costs


@pytest.mark.parametrize("has_aux", [False, True])
def test_the_loss_is_traced_once(has_aux):
    traces, (params, batch) = [], make()

    def loss(*args):
        traces.append(args)
        return (loss_fn(*args), None) if has_aux else loss_fn(*args)

    step = jax.jit(gc.micro_batch(loss, 8, has_aux=has_aux))
    for _ in range(3):
        step(params, batch)
    assert len(traces) == 1


def test_activations_are_those_of_one_micro_batch():
    params, batch = make(layers=6, width=64, n=4096)
    temporary = lambda f: (
        jax.jit(f).lower(params, batch).compile().memory_analysis().temp_size_in_bytes
    )
    whole, parts = temporary(jax.value_and_grad(loss_fn)), temporary(gc.micro_batch(loss_fn, 16))
    own = sum(x.nbytes for x in jax.tree.leaves((params, batch)))
    assert whole > 6 * 4096 * 64 * 4  # all layers of all examples
    assert parts < whole / 16 + own / 2


def split(batch):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    return mesh, jax.device_put(batch, NamedSharding(mesh, P("data")))


COLLECTIVES = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter")


def test_a_split_batch_stays_where_it_is():
    params, batch = make(n=64)
    _, batch_split = split(batch)
    step = jax.jit(gc.micro_batch(loss_fn, 8))
    text = step.lower(params, batch_split).compile().as_text()
    assert len(hlo.places(text, "while")) == 1
    (where,) = hlo.places(text, "all-reduce")  # of value and gradient of one micro-batch
    assert where in hlo.below(text, "while")
    assert not hlo.places(text, *COLLECTIVES[1:])
    assert_close(step(params, batch_split), jax.value_and_grad(loss_fn)(params, batch), 1e-6)


def test_under_shard_map_there_is_one_reduction_after_the_loop():
    params, batch = make(n=64)
    mesh, batch_split = split(batch)

    def each_device(params, batch):
        params = jax.lax.pcast(params, "data", to="varying")
        return jax.lax.pmean(gc.micro_batch(loss_fn, 8)(params, batch), "data")

    step = jax.jit(
        jax.shard_map(each_device, mesh=mesh, in_specs=(P(), P("data")), out_specs=P())
    )
    text = step.lower(params, batch_split).compile().as_text()
    assert len(hlo.places(text, "while")) == 1
    assert hlo.places(text, *COLLECTIVES) == ["ENTRY"]
    assert_close(step(params, batch_split), jax.value_and_grad(loss_fn)(params, batch), 1e-6)


def test_under_shard_map_with_parameters_in_common_the_gradient_is_the_sum_that_jax_makes():
    params, batch = make(n=64)
    mesh, batch_split = split(batch)
    on_mesh = lambda f: jax.jit(
        jax.shard_map(f, mesh=mesh, in_specs=(P(), P("data")), out_specs=(P("data"), P()))
    )
    lead = lambda f: lambda *args: (lambda value, grads: (value[None], grads))(*f(*args))
    found = on_mesh(lead(gc.micro_batch(loss_fn, 8)))(params, batch_split)
    assert_close(found, on_mesh(lead(jax.value_and_grad(loss_fn)))(params, batch_split), 1e-6)


# -------------------------------------------------------------------------------------- wrong calls


def test_a_batch_that_cannot_be_divided_is_named():
    loss = lambda params, images, *rest: jnp.float32(0.0)
    step, w = gc.micro_batch(loss, 4), jnp.ones(2)
    with pytest.raises(
        ValueError,
        match=r"'deep/x' in argument 'images' has shape \[6, 2\].*divide into 4 micro-ba",
    ):
        step(w, {"deep": {"x": jnp.ones((6, 2))}, "y": jnp.ones(8)})
    with pytest.raises(
        ValueError, match=r"argument 'images' has shape \[\], .* pass it by keyword"
    ):
        step(w, 3.0)
    with pytest.raises(ValueError, match=r"argument 2 has shape \[7\]"):
        step(w, jnp.ones(8), jnp.ones(7))


def test_other_wrong_calls():
    params, batch = make()
    with pytest.raises(ValueError, match="micro_batch: count must be 1 or more, not 0"):
        gc.micro_batch(loss_fn, 0)
    with pytest.raises(
        ValueError,
        match="no positional argument is a batch; what is passed by keyword is not divided",
    ):
        gc.micro_batch(loss_fn, 4)(params, batch=batch)
    with pytest.raises(
        ValueError, match="argnums 0 and batch_argnums \\(0, 1\\) name the same argument"
    ):
        gc.micro_batch(loss_fn, 4, batch_argnums=(0, 1))(params, batch)


def test_it_can_be_called_again_with_another_batch_size():
    params, batch = make()
    step = jax.jit(gc.micro_batch(loss_fn, 4))
    first = step(params, batch)
    half = jax.tree.map(lambda x: x[:16], batch)
    assert_close(step(params, half), jax.value_and_grad(loss_fn)(params, half), 1e-6)
    assert_identical(step(params, batch), first)


@pytest.mark.parametrize("places", [{"argnums": 3}, {"batch_argnums": 5}, {"batch_argnums": -4}])
def test_places_beyond_the_arguments_are_refused(places):
    loss_fn = lambda w, x, y: jnp.mean((w * x - y) ** 2)
    with pytest.raises(ValueError, match="beyond the 3 that were passed"):
        gc.micro_batch(loss_fn, 2, **places)(1.0, jnp.ones(4), jnp.ones(4))


def test_a_call_by_keyword_alone_is_refused():
    with pytest.raises(ValueError, match="beyond the 0 that were passed"):
        gc.micro_batch(lambda w, x: jnp.mean(w * x), 2)(w=1.0, x=jnp.ones(4))
