"""
Paths of all first-order optimizers
===================================

Follow every first-order optimizer of gradchain that needs a gradient and a rate over two
landscapes: Rosenbrock's valley (1960), which is curved and ill-conditioned, and Himmelblau's
function (1972), which has four minima. Each takes the best rate of a sweep, the one that has the
lowest final loss there. The paths show how an optimizer moves, not how well it trains a network.
"""

import sys
from functools import partial
from inspect import Parameter, signature
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
SMALL = "--small" in sys.argv
STEPS, PER_DECADE = (200, 4) if SMALL else (400, 8)
RATES = jnp.logspace(-4, 2, 6 * PER_DECADE + 1)
SOME = ["adagrad", "adam", "lion", "rmsprop", "rprop", "sgd", "sgd, momentum 0.9"]
NAMES = ("Rosenbrock", "Himmelblau")
STARTS = jnp.array([[-1.2, 1.0], [0.0, -0.5]])
MINIMA = [[(1, 1)], [(3, 2), (-2.805, 3.131), (-3.779, -3.283), (3.584, -1.848)]]
WINDOWS = [((-1.9, 1.9), (-0.9, 2.4)), ((-5.5, 5.5), (-5.5, 5.5))]


def height(p: jax.Array, which: jax.Array) -> jax.Array:
    x, y = p[..., 0], p[..., 1]
    valley = (1 - x) ** 2 + 100 * (y - x**2) ** 2
    return jnp.where(which == 0, valley, (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2)


# %%
# A recipe takes part if a rate and gradients are all that it needs. Left out are those that ask for
# the loss, a Hessian or a noise scale, and those that step like another one here, where no
# parameter is a matrix, has a gradient of zero, or decays. `sgd` runs a second time with momentum.

TWINS = {"adamw", "adamaxw", "nadamw", "lazy_adam", "lazy_adagrad", "asgd", "noisy_sgd"}


def needs_only_a_rate(name: str) -> bool:
    known = signature(getattr(gc, name)).parameters
    asked = {k for k, p in known.items() if p.default is Parameter.empty}
    if name in TWINS or "learning_rate" not in known or asked - {"learning_rate"}:
        return False
    return not getattr(gc, name)(1.0).extras


OPTIMIZERS = {n: getattr(gc, n) for n in gc.optimizers_named() if needs_only_a_rate(n)}
OPTIMIZERS["sgd, momentum 0.9"] = partial(gc.sgd, momentum=0.9)
SHOWN = SOME if SMALL else sorted(OPTIMIZERS)


@partial(jax.jit, static_argnums=0)
@partial(jax.vmap, in_axes=(None, 0, None))
@partial(jax.vmap, in_axes=(None, None, 0))
def descend(name: str, which: jax.Array, rate: jax.Array) -> jax.Array:
    tx, start = OPTIMIZERS[name](rate), STARTS[which]

    def step(carry: tuple, _: None) -> tuple:
        p, state = carry
        p, state = tx.step(jax.grad(height)(p, which), state, p)
        return (p, state), p

    return jax.lax.scan(step, (start, tx.init(start)), length=STEPS)[1]


# %%
# The final loss is the highest of the last 20 steps, so that a path that swings over the minimum
# has not arrived. Both functions are 0 at their minima.

best: tuple[dict, dict] = ({}, {})
print("final loss and best rate, Rosenbrock and Himmelblau")
for name in SHOWN:
    paths = descend(name, jnp.arange(2), RATES)
    late = height(paths[:, :, -20:], jnp.arange(2)[:, None, None]).max(2)
    for which, final in enumerate(np.nan_to_num(np.asarray(late), nan=np.inf)):
        k = final.argmin()
        path = np.vstack([STARTS[which], paths[which, k]])
        best[which][name] = path, float(RATES[k]), float(final[k])
    shown = [f"{found[name][2]:8.1e} at rate {found[name][1]:<7.2g}" for found in best]
    print(f"{name:27}:", "  ".join(shown))

# %%
# In the valley one group throws itself far across at a high rate and comes back (`adam`, `yogi`),
# another follows the floor in short steps (`lion`, `sign_sgd`). Plain `sgd` creeps there and does
# not arrive, with momentum it does. Among four minima nearly all arrive, and at the same one.

Path("out").mkdir(exist_ok=True)
columns = 8 if len(SHOWN) > 8 else 4
for which, (name, found) in enumerate(zip(NAMES, best, strict=True)):
    rows = -(-len(found) // columns)
    fig, axes = plt.subplots(rows, columns, sharex=True, sharey=True)
    fig.set_size_inches(1.6 * columns, 1.75 * rows + 1)
    x, y = (np.linspace(*ends, 120) for ends in WINDOWS[which])
    heights = np.log10(1e-2 + height(np.stack(np.meshgrid(x, y), -1), which))
    for ax, (title, (path, rate, final)) in zip(axes.flat, found.items(), strict=False):
        ax.contour(x, y, heights, 9, colors="0.8", linewidths=0.5, linestyles="solid")
        color, label = ("C0", "arrives: loss < 0.01") if final < 0.01 else ("C3", "does not")
        ax.plot(*path.T, ".-", color=color, markersize=3, linewidth=0.9, label=label)
        ax.plot(*path[0], "ko", markersize=4, label="start")
        ax.plot(*np.transpose(MINIMA[which]), "k*", markersize=8, label="minimum")
        ax.set_title(f"{title}\nrate {float(f'{rate:.2g}'):g}", fontsize=8)
        ax.set(xlim=WINDOWS[which][0], ylim=WINDOWS[which][1])
        ax.set_xlabel("first parameter" if ax in axes[-1] else "", fontsize=8)
        ax.set_ylabel("second parameter" if ax in axes[:, 0] else "", fontsize=8)
    for ax in axes.flat[len(found) :]:
        ax.remove()
    entries = {h.get_label(): h for ax in fig.axes for h in ax.get_lines()}
    fig.legend(entries.values(), entries, loc="outside lower center", ncols=4)
    fig.suptitle(f"{name}: {STEPS} steps of {len(found)} optimizers, each at its best rate")
    fig.savefig(f"out/paths_{name.lower()}.png")
    print(f"picture: out/paths_{name.lower()}.png")
