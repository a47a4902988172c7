"""Steps inside the backward pass are the usual ones, and one layer's gradient lives at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec as P

import gradchain as gc
from gradchain.training import layer_steps

DEPTH, WIDTH, BATCH = 8, 64, 4


def layer(p, x):
    return x + jnp.tanh(x @ p["up"] + p["bias"][None]) @ p["down"]


def stacked(depth=DEPTH, width=WIDTH):
    up, down = (jax.random.normal(jax.random.key(i), (depth, width, width)) for i in range(2))
    return {"bias": jnp.zeros((depth, width)), "down": down / 16, "up": up / 8}


def loss_of(y):
    return jnp.mean((y - 1.0) ** 2)


def usual(tx, layers, state, x):
    """The same with all gradients, layers computed again as they are there."""

    def loss_fn(layers):
        forward = lambda x, p: (jax.checkpoint(layer)(p, x), None)
        return loss_of(jax.lax.scan(forward, x, layers)[0])

    loss, grads = jax.value_and_grad(loss_fn)(layers)
    layers, state = jax.vmap(tx.step)(grads, state, layers)
    return loss, layers, state


def in_backward(tx, layers, state, x):
    y, backward = layer_steps(tx, layer, layers, state, x)
    loss, y_bar = jax.value_and_grad(loss_of)(y)
    layers, state, _ = backward(y_bar)
    return loss, layers, state


@pytest.mark.rotated(2)
@pytest.mark.parametrize(
    "tx",
    [
        gc.adamw(gc.linear_schedule(1e-3, 1e-4, 5)),
        gc.sgd(0.1, momentum=0.9),
        gc.chain(gc.clip_by_norm(0.01), gc.lion(1e-3)),
        gc.adafactor(1e-3),
        gc.lamb(1e-3),
        gc.muon(1e-3),
        gc.storage(gc.adamw(1e-3), mu="bfloat16", nu="int8_log", least_size=64),
        gc.groups([("bias", gc.freeze())], default=gc.adam(1e-3)),
    ],
    ids=lambda tx: tx.factory.name,
)
def test_steps_are_the_usual_ones(tx):
    x, found = jnp.ones((BATCH, WIDTH)), {}
    for way in (usual, in_backward):
        layers = stacked()
        state, run = jax.vmap(tx.init)(layers), jax.jit(way, static_argnums=0)
        losses = []
        for _ in range(3):
            loss, layers, state = run(tx, layers, state, x)
            losses.append(float(loss))
        found[way] = losses, layers, state
    assert losses[-1] < losses[0]
    pairs = zip(*(jax.tree.leaves(found[way]) for way in (usual, in_backward)), strict=True)
    for a, b in pairs:
        np.testing.assert_allclose(
            np.asarray(a, np.float64), np.asarray(b, np.float64), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize(
    "tx",
    [
        gc.split_weights(gc.storage(gc.adamw(1e-3), "bfloat16")),
        gc.stochastic_rounding(gc.lion(1e-3)),
    ],
    ids=lambda tx: tx.factory.name,
)
def test_parameters_of_few_bits_are_rounded_as_in_usual_steps(tx):
    x, found = jnp.ones((BATCH, WIDTH), jnp.bfloat16), {}
    for way in (usual, in_backward):
        layers = jax.tree.map(lambda a: a.astype(jnp.bfloat16), stacked())
        state, run = jax.vmap(tx.init)(layers), jax.jit(way, static_argnums=0)
        for _ in range(3):
            _, layers, state = run(tx, layers, state, x)
        found[way] = layers
    jax.tree.map(np.testing.assert_array_equal, found[usual], found[in_backward])


def test_temporaries_are_those_of_a_few_layers():
    tx, depth, width = gc.adamw(1e-3), 32, 128
    layers = jax.eval_shape(lambda: stacked(depth, width))
    state = jax.eval_shape(jax.vmap(tx.init), layers)
    x = jax.ShapeDtypeStruct((BATCH, width), jnp.float32)
    temporary = {}
    for way in (usual, in_backward):
        step = jax.jit(lambda *a, way=way: way(tx, *a), donate_argnums=(0, 1))
        found = step.lower(layers, state, x).compile().memory_analysis()
        temporary[way] = found.temp_size_in_bytes
        assert found.alias_size_in_bytes >= found.output_size_in_bytes - 4096  # all in place
    gradient = sum(4 * a.size for a in jax.tree.leaves(layers))
    assert temporary[usual] > gradient
    assert temporary[in_backward] < gradient / 4  # of 32 layers, those of 8 at most


def test_a_whole_model_makes_its_usual_step():
    tx = gc.adam(1e-2)
    params = {"embed": jnp.ones((5, WIDTH)), "head": jnp.ones((WIDTH, 5)), "layers": stacked()}
    rest = lambda tree: {k: v for k, v in tree.items() if k != "layers"}
    words = jnp.array([0, 3, 4])
    head_loss = lambda head, y: gc.losses.softmax_cross_entropy_with_integer_labels(
        y @ head, (words + 1) % 5
    ).mean()

    def usual(params, state):
        def loss_fn(params):
            x = params["embed"][words]
            y = jax.lax.scan(lambda x, p: (layer(p, x), None), x, params["layers"])[0]
            return head_loss(params["head"], y)

        grads = jax.grad(loss_fn)(params)
        layers, own = jax.vmap(tx.step)(grads["layers"], state["layers"], params["layers"])
        others, state = tx.step(rest(grads), state["rest"], rest(params))
        return others | {"layers": layers}, {"layers": own, "rest": state}

    def in_backward(params, state):
        x, to_embed = jax.vjp(lambda embed: embed[words], params["embed"])
        y, backward = layer_steps(tx, layer, params["layers"], state["layers"], x)
        head, y_bar = jax.grad(head_loss, (0, 1))(params["head"], y)
        layers, own, x_bar = backward(y_bar)
        (embed,) = to_embed(x_bar)
        grads = {"embed": embed, "head": head}
        others, state = tx.step(grads, state["rest"], rest(params))
        return others | {"layers": layers}, {"layers": own, "rest": state}

    state = {"layers": jax.vmap(tx.init)(params["layers"]), "rest": tx.init(rest(params))}
    found = [jax.jit(way)(params, state) for way in (usual, in_backward)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), *found)


def test_layers_that_are_split_over_devices_make_the_same_steps():
    mesh = jax.make_mesh((8,), ("a",), axis_types=(jax.sharding.AxisType.Auto,))
    split = lambda *spec: NamedSharding(mesh, P(*spec))
    tx, layers, x = gc.adamw(1e-3), stacked(), jnp.ones((8, WIDTH))
    places = {
        "bias": split(None, "a"),
        "down": split(None, "a", None),
        "up": split(None, None, "a"),
    }
    run, found = jax.jit(in_backward, static_argnums=0), []
    for own in (layers, jax.device_put(layers, places)):
        state = jax.vmap(tx.init)(own)
        found.append(run(tx, own, state, x)[1:])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), *found)
    assert found[1][0]["up"].sharding.is_equivalent_to(places["up"], 3)
    mu = found[1][1]["scale_by_adam"]["mu"]["up"]
    assert mu.addressable_shards[0].data.shape == (DEPTH, WIDTH, WIDTH // 8)


@gc.transform
def times_value():
    return gc.elementwise(lambda g, value: -value * g)


def test_extra_arguments_reach_each_layer():
    layers, x, moved = stacked(), jnp.ones((1, WIDTH)), []
    for value in (1.0, 2.0):
        y, backward = layer_steps(times_value(), layer, layers, {}, x, value=jnp.array(value))
        new, _, _ = backward(jnp.ones_like(y))
        moved.append(new["down"] - layers["down"])
    np.testing.assert_allclose(2 * moved[0], moved[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("tx", "name"),
    [
        (gc.chain(gc.clip_by_global_norm(1.0), gc.adam(1e-3)), "clip_by_global_norm"),
        (gc.chain(gc.accumulate(gc.adam(1e-3), 2)), "accumulate"),
        (
            gc.lookahead(gc.chain(gc.clip_by_global_norm(1.0), gc.sgd(1e-3))),
            "lookahead/inner/clip_by_global_norm",
        ),
        (optax.adam(1e-3), "chain"),
    ],
)
def test_members_that_look_at_all_leaves_are_refused(tx, name):
    text = f"layer_steps: .*{name}.* looks at all leaves together.* such as clip_by_norm"
    with pytest.raises(ValueError, match=text):
        layer_steps(tx, layer, stacked(), {}, jnp.ones((1, WIDTH)))


def test_a_state_that_is_not_stacked_is_refused():
    tx, layers = gc.adam(1e-3), stacked()
    text = r"must have the layers as its first dimension, .* jax\.vmap\(tx\.init\)\(layers\)"
    with pytest.raises(ValueError, match=text):
        layer_steps(tx, layer, layers, tx.init(layers), jnp.ones((1, WIDTH)))
