"""
Watch a training run: a gradient that vanishes
==============================================

Find out with ``watch`` why a deep network of sigmoids learns nothing. Its loss does not show it,
but the gradient shrinks from layer to layer, and almost nothing of it arrives at the first ones.
Rectifiers, and initial weights of the right size, solve the problem.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
DEPTH, WIDTH, EVERY, BATCH = 8, 64, 10, 64
STEPS = 120 if "--small" in sys.argv else 400
images, labels = load_digits(return_X_y=True)
x, y = jnp.asarray(images / 8 - 1), jnp.asarray(labels)
held_out = jnp.arange(len(x)) % 5 == 0
train_x, train_y = x[~held_out], y[~held_out]


def start(gain: float) -> dict:
    sizes = [x.shape[1], *[WIDTH] * DEPTH, 10]
    keys = jax.random.split(jax.random.key(0), DEPTH + 1)
    layer = lambda key, m, n: {
        "kernel": gain * jax.random.normal(key, (m, n)) / m**0.5,
        "bias": jnp.zeros(n),
    }
    return {f"layer_{i}": layer(key, *sizes[i : i + 2]) for i, key in enumerate(keys)}


def logits(params: dict, x: jax.Array, activation: Callable) -> jax.Array:
    for i in range(DEPTH + 1):
        x = (x if i == 0 else activation(x)) @ params[f"layer_{i}"]["kernel"] + params[
            f"layer_{i}"
        ]["bias"]
    return x


# %% An optimizer under ``watch`` is an optimizer like any other. Its measurements, of the first
# step and of each tenth, are in its state. With ``by``, the kernel and the bias of a layer are
# measured together.

tx = gc.chain(
    gc.clip_by_global_norm(1.0), gc.sgd(gc.warmup_cosine_decay_schedule(0.0, 0.1, 50, STEPS), 0.9)
)
tx = gc.watch(tx, every=EVERY, by=lambda path, leaf: path.split("/")[0])


def fit(name: str, activation: Callable, gain: float) -> None:
    @jax.jit
    def ten_steps(params: dict, state: dict, key: jax.Array) -> tuple:
        def step(carry: tuple, key: jax.Array) -> tuple:
            params, state = carry
            batch = jax.random.randint(key, (BATCH,), 0, len(train_x))
            score = lambda p: jax.nn.log_softmax(logits(p, train_x[batch], activation))
            loss = lambda p: -jnp.take_along_axis(score(p), train_y[batch][:, None], 1).mean()
            value, grads = jax.value_and_grad(loss)(params)
            return tx.step(grads, state, params), value

        (params, state), losses = jax.lax.scan(
            step, (params, state), jax.random.split(key, EVERY)
        )
        return params, state, losses.mean()

    params, history = start(gain), gc.telemetry.History()
    state = tx.init(params)
    with gc.telemetry.LiveTable(
        ["loss", "gradient_norm", "update_ratio", "*_factor", "*learning_rate", "vanishing"]
    ) as table:
        for t in range(EVERY, STEPS + 1, EVERY):
            params, state, loss = ten_steps(params, state, jax.random.key(t))
            for writer in (table, history):
                writer.write(t, {"loss": loss, **gc.metrics(state)})
            if t == EVERY:
                first = gc.telemetry.unhealthy_layers(gc.metrics(state))
    accuracy = jnp.mean(jnp.argmax(logits(params, x[held_out], activation), 1) == y[held_out])
    found = f"loss {loss:.3f}, held-out accuracy {accuracy:.3f}"
    print(f"{name}: {found}; unhealthy at first: {first or 'no layer'}")

    fig = gc.plot.plot_history(history)
    fig.suptitle(name)
    Path("out").mkdir(exist_ok=True)
    fig.savefig(f"out/watch_{name.split()[0]}.png", dpi=100)
    print(f"picture: out/watch_{name.split()[0]}.png")


# %%
# Sigmoids: the loss stays at that of a random guess, 2.3, and the first layers are marked.

fit("sigmoids", jax.nn.sigmoid, gain=1.0)

# %% Rectifiers, and weights larger by the root of two, because rectifiers let half of the gradient
# through.

fit("rectifiers and larger weights", jax.nn.relu, gain=2**0.5)
plt.show()
