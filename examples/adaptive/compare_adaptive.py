"""
Adaptive methods compared over equal sweeps of rates
====================================================

Compare thirteen adaptive methods and plain gradient descent, each with nine rates and five seeds. A
comparison is fair only if every method gets the same effort of tuning (Choi et al., 2019). So the
rates of each cover two and a half decades around its usual one, and a validation set chooses among
them. An optimizer is a tree of its hyperparameters, so ``jax.vmap`` over rates and seeds makes one
program for each method. Held-out accuracy comes with its interval, and with the time of a step.
"""

import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx
from rich.progress import track
from scipy import stats
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
SMALL = "--small" in sys.argv
STEPS, SEEDS, RATES, WIDTH = (60, 3, 5, 16) if SMALL else (400, 5, 9, 32)
BATCH = 64
middles = {"adagrad": 0.1, "adadelta": 10.0, "lion": 1e-3, "sgd": 0.3}  # 0.01 for all others
order = ["adagrad", "adadelta", "rmsprop", "adam", "adamw", "nadam", "amsgrad", "adamax"]
order += ["adabelief", "radam", "yogi", "adan", "lion", "sgd"]
middles = {n: middles.get(n, 0.01) for n in order if not SMALL or n in ("adam", "lion")}

# %% Data: half of the 1,797 images to train on, a quarter to choose the rate, a quarter held out.

images, labels = load_digits(return_X_y=True)
x, x_rest, y, y_rest = train_test_split(images / 16, labels, train_size=0.5, random_state=0)
split = train_test_split(x_rest, y_rest, test_size=0.5, random_state=0)
x, y, x_valid, x_held, y_valid, y_held = map(jnp.asarray, (x, y, *split))


# %% A seed chooses the first weights and the batches, the same for all methods and rates.


def train(tx: gc.GradientTransformation, key: jax.Array) -> tuple:
    rngs = nnx.Rngs(key)
    layers = nnx.Linear(64, WIDTH, rngs=rngs), nnx.relu, nnx.Linear(WIDTH, 10, rngs=rngs)
    graph, params = nnx.split(nnx.Sequential(*layers))
    params = nnx.as_pure(params)
    batches = jax.random.randint(key, (STEPS, BATCH), 0, len(x))

    def loss_fn(params: dict, x: jax.Array, y: jax.Array) -> jax.Array:
        logits = nnx.merge(graph, params)(x)
        return gc.losses.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    def step(carry: tuple, batch: jax.Array) -> tuple:
        params, state = carry
        return tx.step(jax.grad(loss_fn)(params, x[batch], y[batch]), state, params), None

    params = jax.lax.scan(step, (params, tx.init(params)), batches)[0][0]
    held = nnx.merge(graph, params)(x_held).argmax(axis=1) == y_held
    return loss_fn(params, x_valid, y_valid), held.mean()


# %% One program for each method is compiled, and then run for all rates and seeds at once. The time
# is that of the processor, of all its cores together.

population = jax.jit(jax.vmap(jax.vmap(train, in_axes=(None, 0)), in_axes=(0, None)))
keys = jax.random.split(jax.random.key(0), SEEDS)
factors = 10 ** np.linspace(-1.25, 1.25, RATES)
found = {}
for name in track(middles, "methods"):
    sweep = jax.vmap(getattr(gc, name))(jnp.asarray(middles[name] * factors))
    program = population.lower(sweep, keys).compile()
    start = time.process_time()
    loss, accuracy = jax.block_until_ready(program(sweep, keys))
    cost = (time.process_time() - start) / (STEPS * RATES * SEEDS) * 1e6
    found[name] = 100 * np.asarray(accuracy), int(np.nanargmin(loss.mean(axis=1))), cost


def interval(values: np.ndarray) -> tuple[float, float]:
    return values.mean(), stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)


adam = found["adam"][0][found["adam"][1]]
for name, (accuracy, best, cost) in found.items():
    text = "{:9}: rate {:.1e}, held out {:.1f}% +- {:.1f}, "
    text += "than adam {:+.1f} +- {:.1f}, a step {:.0f} us"
    both = *interval(accuracy[best]), *interval(accuracy[best] - adam)
    print(text.format(name, middles[name] * factors[best], *both, cost))

# %% Most methods end close together, over a wide range of rates. Of the thirteen differences to
# Adam, two leave out zero: yogi +1.1 +- 1.0 points and lion -0.9 +- 0.5. The intervals are not
# corrected for thirteen comparisons, so this is little evidence, and from one small network on one
# easy data set. The time of a step is mostly that of the network, and of a busy machine.

shape = {"figsize": (10, 6), "width_ratios": (4, 2, 1)}
fig, (left, middle, right) = plt.subplots(1, 3, sharey=True, **shape)
accuracies, best, cost = map(np.array, zip(*found.values(), strict=True))
rows = np.arange(len(found))
image = left.pcolormesh(factors, rows, accuracies.mean(axis=2), vmin=80, vmax=97)
left.plot(factors[best], rows, "o", color="C3")
left.set(xscale="log", xlabel="rate, as a multiple of the one beside the name")
left.set_yticks(rows, [f"{name}, {middles[name]:g}" for name in found])
left.set(title="every rate (red: chosen by validation loss)", ylim=(len(rows) - 0.5, -0.5))
left.grid(visible=False)
fig.colorbar(image, ax=left, label="accuracy, %", extend="min", location="bottom", aspect=40)
mean, spread = np.array([interval(a[i]) for a, i, _ in found.values()]).T
middle.errorbar(mean, rows, xerr=spread, fmt="o", color="C3", capsize=3)
middle.set(xlabel="held-out accuracy, %", title="chosen rate, 95% interval")
right.barh(rows, cost, color="0.6")
right.set(xlabel="time, µs", title="a step")
fig.suptitle(f"{len(found)} methods, with equal sweeps of their rates, end close together")

Path("out").mkdir(exist_ok=True)
fig.savefig("out/compare_adaptive.png")
print("picture: out/compare_adaptive.png")
