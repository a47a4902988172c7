"""
Schedules at a glance
=====================

Draw schedules over 100 steps, family by family, and find a first learning rate with a range test.
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

import gradchain as gc

# %%
# Each schedule is a function of the step; an array of steps gives the whole curve.

FAMILIES = {
    "decays": {
        "linear": gc.linear_schedule(1.0, 0.0, 100),
        "polynomial": gc.polynomial_schedule(1.0, 0.0, 2.0, 100),
        "half a cosine": gc.cosine_decay_schedule(1.0, 100),
        "exponential": gc.exponential_decay(1.0, 30, 0.5),
        "inverse time": gc.schedules.inverse_time_decay_schedule(1.0, 20, 1.0),
        "REX": gc.schedules.rex_schedule(1.0, 100),
        "sigmoid": gc.schedules.sigmoid_schedule(1.0, 0.0, 100),
    },
    "with a warm-up": {
        "cosine": gc.warmup_cosine_decay_schedule(0.0, 1.0, 10, 100),
        "inverse root": gc.schedules.inverse_sqrt_schedule(0.0, 1.0, 10),
        "WSD, root": gc.schedules.warmup_stable_decay_schedule(0.0, 1.0, 10, 50, 40),
        "WSD, line": gc.schedules.warmup_stable_decay_schedule(
            0.0, 1.0, 10, 50, 40, shape="linear"
        ),
        "one cycle, cosine": gc.cosine_onecycle_schedule(100, 1.0),
        "one cycle, lines": gc.linear_onecycle_schedule(100, 1.0),
    },
    "cycles": {
        "a wave": gc.schedules.cosine_annealing_schedule(1.0, 20),
        "restarts": gc.schedules.cosine_restarts_schedule(1.0, 15, t_mult=2, m_mult=0.8),
        "triangles": gc.schedules.cyclic_schedule(0.0, 1.0, 10, 15, "triangular2"),
        "Chebyshev": gc.schedules.chebyshev_schedule(0.05, 32),
    },
    "made of others": {
        "a * b": gc.linear_schedule(0.0, 1.0, 20) * gc.exponential_decay(1.0, 40, 0.5),
        "a.until(40) | b": gc.schedules.rex_schedule(1.0, 60).until(40)
        | gc.cosine_decay_schedule(0.8, 60),
        "a.repeat(25)": gc.schedules.rex_schedule(0.7, 25).repeat(25),
        "a.clip(0.2, 0.5)": gc.schedules.cosine_annealing_schedule(0.6, 20).clip(0.2, 0.5),
        "stairs": gc.exponential_decay(1.0, 20, 0.6, staircase=True),
    },
}

fig, axes = plt.subplots(2, 2, figsize=(12, 7), sharex=True, layout="constrained")
for ax, (title, schedules) in zip(axes.flat, FAMILIES.items(), strict=True):
    for label, schedule in schedules.items():
        gc.plot.schedule(schedule, 101, ax, label=label)
    ax.set(title=title, xlabel="step", ylabel="learning rate")
    ax.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
plt.show()

# %% A range test: a linear classifier of handwritten digits, in mini-batches of 64, while the rate
# grows.

images, labels = load_digits(return_X_y=True)
x, y = jnp.asarray(images / 16), jnp.asarray(labels)


def loss(weights: jax.Array, batch: jax.Array) -> jax.Array:
    return -jnp.take_along_axis(
        jax.nn.log_softmax(x[batch] @ weights), y[batch][:, None], 1
    ).mean()


batches = jax.random.permutation(jax.random.key(0), len(x))[: 28 * 64].reshape(28, 64)
found = gc.schedules.find_learning_rate(
    jax.value_and_grad(loss), jnp.zeros((64, 10)), gc.adam, batches, low=1e-5, high=1e2
)
gc.plot.learning_rate_range(found)
print(f"begin with {found.steepest:.3f}, stay below {found.decade_below:.3f}")
plt.show()
