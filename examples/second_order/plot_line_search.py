"""
Which steps a line search accepts
=================================

See a loss along one direction, the steps that meet the conditions of each line search, and the
steps that each search tries.
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt

import gradchain as gc


def loss(p):
    return (p - 2.4) ** 2 / 4 + 0.3 * jnp.cos(3 * p)


# %% The conditions compare the loss with lines from the start. Their constants are larger here than
# by default, where nearly all steps that go downhill meet them.

C1, C2 = 0.2, 0.5
steps = jnp.linspace(0, 6, 1201)
values, slopes = jax.vmap(jax.value_and_grad(loss))(steps)
start, slope = values[0], slopes[0]
falls = values <= start + C1 * steps * slope
CONDITIONS = {
    "Armijo: it falls enough": falls,
    "Goldstein: and is not too short": falls & (values >= start + (1 - C1) * steps * slope),
    "Wolfe: and the slope has risen": falls & (slopes >= C2 * slope),
    "strong Wolfe: and it is small": falls & (jnp.abs(slopes) <= C2 * jnp.abs(slope)),
}

# %%
# ``reverse_communication`` returns each point that a search asks for, so trials can be recorded.

SEARCHES = {
    "backtracking, Armijo": gc.backtracking("armijo", C1),
    "backtracking, Goldstein": gc.backtracking("goldstein", C1),
    "hager_zhang": gc.hager_zhang(C1, C2),
    "strong_wolfe": gc.strong_wolfe(C1, C2),
}


def trials(search, first):
    """The points that a search tries along the negative gradient; the last one is accepted."""
    tx, p = gc.reverse_communication(gc.chain(gc.scale(first / slope), search)), jnp.zeros(())
    state, tried = tx.init(p), []
    while True:
        value, grad = jax.value_and_grad(loss)(p)
        p, state = tx.step(grad, state, p, value=value)
        if state["reverse_communication"]["steps"] > 0:
            return tried
        tried.append(float(p))


# %% At the top the loss with the lines of the conditions, then the steps where each condition
# holds. Below are the trials in order, from a first step that is too short and from one that is too
# long. The last one is accepted.

fig, (above, middle, *below) = plt.subplots(
    4, 1, figsize=(8, 9), sharex=True, height_ratios=(4, 2, 2, 2)
)
fig.set_layout_engine("constrained")
above.plot(steps, values, "k", linewidth=2)
for share, style in ((C1, "C0--"), (1 - C1, "C1--")):
    above.plot(
        steps,
        start + share * steps * slope,
        style,
        label=f"from the start with {share:.1f} of its slope",
    )
above.set(ylabel="loss", ylim=(-0.4, 2.4))
above.set(title="the loss along the direction, and the lines of the conditions")
above.legend(frameon=False)
for i, holds in enumerate(CONDITIONS.values()):
    middle.fill_between(steps, -i - 0.3, -i + 0.3, where=holds, color=f"C{i}", linewidth=0)
middle.set(yticks=[-i for i in range(4)], yticklabels=CONDITIONS, ylim=(-3.6, 0.6))
middle.set(title="steps that meet each condition")
for ax, first in zip(below, (0.25, 5.8), strict=True):
    for i, (name, search) in enumerate(SEARCHES.items()):
        tried = trials(search, first)
        print(f"{name:24} tries {', '.join(f'{step:.2f}' for step in tried)}")
        ax.plot(tried, [-i] * len(tried), f"C{i}-", alpha=0.3)
        ax.plot(tried[:-1], [-i] * (len(tried) - 1), f"C{i}o", fillstyle="none")
        ax.plot(tried[-1], -i, f"C{i}o")
        for number, step in enumerate(tried, start=1):
            ax.annotate(
                str(number),
                (step, -i),
                (0, 5),
                textcoords="offset points",
                ha="center",
                fontsize="x-small",
            )
    ax.set(yticks=[-i for i in range(4)], yticklabels=SEARCHES, ylim=(-3.6, 0.8))
    ax.set(title=f"trials in order from a first step of {first}; the full dot is accepted")
below[-1].set(xlabel="length of the step")
plt.show()
