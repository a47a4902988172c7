"""
Vanishing and exploding gradients in a deep network
===================================================

Train a network of thirty layers in six ways, and look with ``gc.watch`` at the gradient of each
layer. On the way back through the layers the gradient is multiplied by one matrix after another, so
it shrinks or grows exponentially with depth (Hochreiter, 1991). Weights of the right size (He et
al., 2015), batch norm (Ioffe & Szegedy, 2015) and residual connections (He et al., 2016) prevent
that. Clipping (Pascanu, Mikolov & Bengio, 2013) bounds the step but not the ratio between layers.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx
from sklearn.datasets import load_digits

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
SMALL = "--small" in sys.argv
DEPTH, WIDTH, STEPS, BATCH = (20, 32, 120, 32) if SMALL else (30, 64, 1000, 128)
images, labels = load_digits(return_X_y=True)
x, y = jnp.asarray(images / 8 - 1), jnp.asarray(labels)

# %% A scan runs through the hidden layers. Two switches turn batch norm and residual connections
# on. They are arrays, so that one program trains all variants under ``vmap``.


class Deep(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        he = nnx.initializers.he_normal(batch_axis=0)
        self.first = nnx.Linear(64, WIDTH, rngs=rngs)
        self.kernels = nnx.Param(he(rngs.params(), (DEPTH, WIDTH, WIDTH)))
        self.biases = nnx.Param(jnp.zeros((DEPTH, WIDTH)))
        self.head = nnx.Linear(WIDTH, 10, rngs=rngs)

    def __call__(self, x: jax.Array, normed: jax.Array, residual: jax.Array) -> jax.Array:
        def layer(x: jax.Array, weights: tuple) -> tuple:
            h = nnx.relu(x) @ weights[0]
            h = jnp.where(normed, jax.nn.standardize(h, axis=0), h) + weights[1]
            return h + jnp.where(residual, x, 0.0), None

        x, _ = jax.lax.scan(layer, self.first(x), (self.kernels[...], self.biases[...]))
        return self.head(x)


# %% A variant is four numbers: the size of the initial weights, in units of that of He et al.;
# whether there is batch norm, and residual connections; and the norm above which is clipped.

variants = {
    "small weights": (0.4, 0, 0, jnp.inf),
    "large weights": (1.6, 0, 0, jnp.inf),
    "right weights": (1.0, 0, 0, jnp.inf),
    "small + batch norm": (0.4, 1, 0, jnp.inf),
    "small + residual": (0.4, 0, 1, jnp.inf),
    "large + clipping": (1.6, 0, 0, 1.0),
}
graph, start = nnx.split(Deep(nnx.Rngs(0)))

# %% ``gc.watch`` takes any tree of layers; around ``gc.identity()`` it only measures. The gradient
# of a bias is what comes back to its layer. That of a kernel is this, times what comes in.


@jax.jit
@jax.vmap
def train(size: jax.Array, normed: jax.Array, residual: jax.Array, limit: jax.Array) -> tuple:
    tx = gc.chain(gc.clip_by_global_norm(limit), gc.sgd(0.005, momentum=0.9))
    params = nnx.as_pure(start) | {"kernels": size * start["kernels"][...]}

    def loss_fn(params: dict, batch: jax.Array) -> jax.Array:
        logits = nnx.merge(graph, params)(x[batch], normed, residual)
        return gc.losses.softmax_cross_entropy_with_integer_labels(logits, y[batch]).mean()

    def step(carry: tuple, key: jax.Array) -> tuple:
        batch = jax.random.randint(key, (BATCH,), 0, len(x))
        loss, grads = jax.value_and_grad(loss_fn)(carry[0], batch)
        return tx.step(grads, carry[1], carry[0]), loss

    watch = gc.watch(gc.identity(), every=1, by="path")
    by_layer = lambda tree: {f"{i}": bias for i, bias in enumerate(tree["biases"])}
    grads, layers = by_layer(jax.grad(loss_fn)(params, jnp.arange(BATCH))), by_layer(params)
    found = gc.metrics(watch.update(grads, watch.init(layers), layers)[1])
    norms = jnp.stack([found[f"gradient_norm/{layer}"] for layer in layers])
    keys = jax.random.split(jax.random.key(0), STEPS)
    return norms, jax.lax.scan(step, (params, tx.init(params)), keys)[1]


found = train(*np.array([*variants.values()], np.float32).T)
norms, losses = (dict(zip(variants, np.asarray(a), strict=True)) for a in found)
for name, norm in norms.items():
    print(f"{name:18}: norm {norm[0]:.1e} in the first layer, {norm[-1]:.1e} in the last;")
    print(f"{name:18}: loss at the end {losses[name][-20:].mean():.3f}")

# %% With small weights almost nothing arrives at the first layers, and the network learns nothing.
# With large ones the first step is so long that the loss is soon infinite. Clipping keeps it
# finite, but many steps are spent on a bad start. With weights of the right size the gradient is
# about as long in the first layer as in the last. With residual connections it grows a little on
# its way back, with batch norm more so; both make the network learn in spite of small weights.

fig, axes = plt.subplots(1, 2, figsize=(10, 4.8), subplot_kw={"yscale": "log"})
for i, (name, norm) in enumerate(norms.items()):
    style = "--" if "+" in name else "-"
    axes[0].plot(np.arange(1, DEPTH + 1), norm, style, color=f"C{i}", label=name)
    axes[1].plot(np.convolve(losses[name], np.ones(10) / 10, "valid"), style, color=f"C{i}")
axes[0].set(title="first step, before clipping", xlabel="layer", ylabel="gradient norm")
axes[1].set(title="training", xlabel="step", ylabel="loss, mean of ten batches")
axes[1].text(STEPS, np.log(10), " guess", color="0.3")
axes[1].text(STEPS, 1e3, "large weights: not finite", color="C1", ha="right")
fig.legend(loc="outside lower center", ncols=3)
fig.suptitle(f"What arrives at the first of {DEPTH} layers, and what is learned")

Path("out").mkdir(exist_ok=True)
fig.savefig("out/vanishing_gradients.png")
print("picture: out/vanishing_gradients.png")
