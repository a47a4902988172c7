"""
Games: plain steps spiral out, optimistic steps spiral in
=========================================================

Play two games in which one player descends what the other one ascends. The first is the product of
their two numbers. The second is the smallest generative adversarial network, the Dirac-GAN of
Mescheder, Geiger & Nowozin (2018). Plain steps turn around the equilibrium and move away from it.
Optimistic steps (Daskalakis et al., 2018) add the change of the gradient, and so look one step
ahead. They come closer in turns.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
SMALL = "--small" in sys.argv
STEPS = 400 if SMALL else 1000

# %% In the Dirac-GAN the data are one point at zero, the generator is one point ``x``, and the
# discriminator is a line of slope ``y``. In both games the equilibrium is at zero. ``x`` descends,
# ``y`` ascends, so the sign of its gradient is turned. Then one optimizer serves both players.


def product(x: jax.Array, y: jax.Array) -> jax.Array:
    return x * y


def dirac_gan(x: jax.Array, y: jax.Array) -> jax.Array:
    real, fake = jnp.zeros(()), x
    return jax.nn.log_sigmoid(y * real) + jax.nn.log_sigmoid(-y * fake)


def play(game: Callable, tx: gc.GradientTransformation) -> np.ndarray:
    def step(carry: tuple, _: None) -> tuple:
        players, state = carry
        down, up = jax.grad(game, argnums=(0, 1))(players["x"], players["y"])
        players, state = tx.step({"x": down, "y": -up}, state, players)
        return (players, state), jnp.stack([players["x"], players["y"]])

    players = {"x": jnp.array(0.6), "y": jnp.array(0.6)}
    path = jax.jit(lambda: jax.lax.scan(step, (players, tx.init(players)), length=STEPS)[1])()
    return np.concatenate([[[0.6, 0.6]], path])


# %%
# The same rate for all that follow the gradient, and a smaller one for Adam.

games = {"a product": product, "a Dirac-GAN": dirac_gan}
optimizers = {
    "gradient descent": gc.sgd(0.1),
    "with momentum": gc.sgd(0.1, momentum=0.5),
    "Adam": gc.adam(0.02, b1=0.5),
    "optimistic": gc.optimistic_gradient_descent(0.1),
    "optimistic Adam": gc.optimistic_adam(0.02, b1=0.5, nesterov=False),
}
paths = {}
for game, fun in games.items():
    for name, tx in optimizers.items():
        paths[game, name] = play(fun, tx)
        far = np.linalg.norm(paths[game, name], axis=1)
        print(f"{game:11} {name:16}: distance {far[0]:.2f} at first, {far[-1]:.2e} at the end")

# %% Plain steps turn outwards, and momentum makes it worse. Optimistic steps come closer in each
# turn, in both games. Adam also moves away. With the optimistic term it stays about where it
# began, because its steps do not get shorter near the equilibrium.

fig, axes = plt.subplots(2, 2, figsize=(9, 8), width_ratios=(1, 1.15))
for row, (game, size) in zip(axes, {"a product": 1.8, "a Dirac-GAN": 1.5}.items(), strict=True):
    for color, name in enumerate(optimizers):
        path = paths[game, name]
        if name in ("gradient descent", "optimistic"):
            row[0].plot(*path[:300].T, color=f"C{color}", linewidth=1)
            row[0].plot(*path[300], "s", color=f"C{color}", markersize=7)
        row[1].plot(np.linalg.norm(path, axis=1), color=f"C{color}", label=name)
    row[0].plot(0.6, 0.6, "ko", markersize=6)
    row[0].plot(0, 0, "k+", markersize=12)
    row[0].set(xlim=(-size, size), ylim=(-size, size), aspect="equal")
    row[0].set(
        title=f"{game}: 300 steps from dot to square", xlabel="x, descends", ylabel="y, ascends"
    )
    row[1].set(yscale="log", ylim=(3e-3, 30), xlabel="step", ylabel="distance to the equilibrium")
axes[0, 1].legend(loc="upper right", bbox_to_anchor=(1.0, 0.62))
fig.suptitle("In a game plain steps (blue) spiral out, optimistic steps (red) spiral in")

Path("out").mkdir(exist_ok=True)
fig.savefig("out/game.png")
print("picture: out/game.png")
