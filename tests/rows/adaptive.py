"""Rows of what has a rate for each parameter."""

import jax
import optax

import gradchain as gc
from tests.references import adaptive as twins
from tests.references.momentum import Downhill
from tests.row import Row, is_matrix, matrices

ROWS = [
    Row(
        "scale_by_rss-eps_outside",
        lambda: gc.scale_by_rss(0.2, 1e-3, eps_in_sqrt=False),
        lambda: twins.Adagrad(0.2, 1e-3),
    ),
    Row(
        "adagrad-eps_outside",
        lambda: gc.adagrad(0.1, 0.0, eps_in_sqrt=False),
        lambda: Downhill(twins.Adagrad(0.0), 0.1),
    ),
    Row("scale_by_stddev", lambda: gc.scale_by_stddev(), twins.StdDev, optax.scale_by_stddev),
    Row(
        "scale_by_stddev-eps_outside",
        lambda: gc.scale_by_stddev(0.8, 1e-3, 0.1, eps_in_sqrt=False),
        lambda: twins.StdDev(0.8, 1e-3, 0.1, eps_in_sqrt=False),
        lambda: optax.scale_by_stddev(0.8, 1e-3, 0.1, eps_in_sqrt=False),
    ),
    Row(
        "scale_by_stddev-bias_correction",
        # The variance is 0 at the first step; optax has the rounding of v - |m|^2 there.
        lambda: gc.scale_by_stddev(0.95, 0.1, bias_correction=True),
        lambda: twins.StdDev(0.95, 0.1, bias_correction=True),
        # a parameter comes back to a fifth of where it started, with the rounding of the way
        tolerance=2.0,
    ),
    Row(
        "rmsprop-centered",
        lambda: gc.rmsprop(0.01, centered=True, momentum=0.9),
        lambda: twins.CenteredRmsProp(momentum=0.9),
        lambda: optax.rmsprop(0.01, centered=True, momentum=0.9),
    ),
    Row(
        "scale_by_adadelta", lambda: gc.scale_by_adadelta(), twins.Adadelta, optax.scale_by_adadelta
    ),
    Row(
        "adadelta",
        lambda: gc.adadelta(),
        lambda: twins.Adadelta(learning_rate=1.0),
        lambda: optax.adadelta(1.0),
    ),
    Row(
        "adadelta-decay",
        lambda: gc.adadelta(0.5, 0.8, 1e-4, 0.1, matrices),
        lambda: twins.Adadelta(0.8, 1e-4, 0.5, 0.1, is_matrix),
        lambda: optax.adadelta(
            0.5, 0.8, 1e-4, 0.1, lambda tree: jax.tree.map(lambda x: x.ndim >= 2, tree)
        ),
        needs_params=True,
    ),
    Row("scale_by_qhadam", lambda: gc.scale_by_qhadam(), twins.QhAdam),
    Row(
        "qhadam",
        lambda: gc.qhadam(0.01, 0.9, 0.99, 0.6, 0.8, 1e-4),
        lambda: Downhill(twins.QhAdam(0.9, 0.99, 0.6, 0.8, 1e-4), 0.01),
    ),
    Row(
        "scale_by_ftrl",
        lambda: gc.scale_by_ftrl(0.5, -0.4, 0.2, 0.05, 0.1, 0.5),
        lambda: twins.Ftrl(0.5, -0.4, 0.2, 0.05, 0.1, 0.5),
        needs_params=True,
        tolerance=8.0,  # the update is a difference of parameters
    ),
    Row(
        "ftrl",
        lambda: gc.ftrl(2.0),
        lambda: twins.Ftrl(2.0, sign=-1.0),
        needs_params=True,
        tolerance=8.0,
    ),  # as above
    Row(
        "optimistic_adam",
        lambda: gc.optimistic_adam(0.01),
        lambda: twins.OptimisticAdam(0.01),
        lambda: optax.optimistic_adam_v2(0.01),
    ),
    Row(
        "optimistic_adam-options",
        lambda: gc.optimistic_adam(
            0.01, alpha=0.8, beta=0.3, b1=0.8, b2=0.99, eps_root=1e-4, nesterov=False
        ),
        lambda: twins.OptimisticAdam(0.01, 0.8, 0.3, 0.8, 0.99, eps_root=1e-4, nesterov=False),
        lambda: optax.optimistic_adam_v2(
            0.01, alpha=0.8, beta=0.3, b1=0.8, b2=0.99, eps_root=1e-4, nesterov=False
        ),
    ),
]
