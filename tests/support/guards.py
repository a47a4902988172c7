"""What the tests of guards have in common."""

import jax


def own(state):
    (entry,) = state.values()
    return entry


def counts(state):
    return int(own(state)["skipped"]), int(own(state)["skipped_in_a_row"])


def run(tx, grads, params, **extra):
    """Parameters and state after each of some gradients."""
    state, step, made = tx.init(params), jax.jit(tx.step), []
    for g in grads:
        params, state = step(g, state, params, **extra)
        made.append((params, state))
    return made
