"""Rows of gradient descent, its momenta and its step lengths."""

import optax

import gradchain as gc
from tests.references import momentum as twins
from tests.references.momentum import Downhill
from tests.row import Row

SHARDS_DRAW = {"is_the_same_when_split_under_shard_map": "each shard draws numbers of its own"}
# normal numbers are drawn in float32, and their last digit differs from one way to compile to
# another
DRAWN = 2e-7
IN_A_TUPLE = {"takes_schedules": "its numbers are in a tuple, which takes no schedules"}
VALUE = {"value": 0.7}

ROWS = [
    Row(
        "add_momentum-dampening",
        lambda: gc.add_momentum(0.8, dampening=0.3),
        lambda: twins.Dampened(0.8, 0.3),
    ),
    Row(
        "add_momentum-dampening_nesterov",
        lambda: gc.add_momentum(0.8, nesterov=True, dampening=0.3),
        lambda: twins.Dampened(0.8, 0.3, nesterov=True),
    ),
    Row(
        "sgd-dampening",
        lambda: gc.sgd(0.1, 0.9, dampening=0.1),
        lambda: twins.Dampened(0.9, 0.1, learning_rate=0.1),
    ),
    Row(
        "average_updates",
        lambda: gc.average_updates(0.95),
        lambda: twins.Average(0.95),
        lambda: optax.ema(0.95),
    ),
    Row(
        "average_updates-biased",
        lambda: gc.average_updates(0.8, debias=False),
        lambda: twins.Average(0.8, debias=False),
        lambda: optax.ema(0.8, debias=False),
    ),
    Row("scale_by_aggmo", lambda: gc.scale_by_aggmo(), twins.AggMo, reasons=IN_A_TUPLE),
    Row("aggmo", lambda: gc.aggmo(0.1, (0.5, 0.9)), lambda: Downhill(twins.AggMo((0.5, 0.9)), 0.1)),
    Row(
        "scale_by_qhm",
        lambda: gc.scale_by_qhm(0.9, 0.6),
        lambda: twins.Qhm(0.9, 0.6),
        # a parameter comes back to a quarter of where it started, with the rounding of the way
        tolerance=2.0,
    ),
    Row("qhm", lambda: gc.qhm(0.1), lambda: Downhill(twins.Qhm(), 0.1)),
    Row(
        "scale_by_asgd",
        lambda: gc.scale_by_asgd(0.1, 0.3, 0.6, 2),
        lambda: twins.Asgd(0.1, 0.3, 0.6, 2),
        needs_params=True,
    ),
    Row(
        "asgd",
        lambda: gc.asgd(0.1, t0=1e4),
        lambda: twins.Asgd(0.1, t0=1e4, sign=-1.0),
        needs_params=True,
    ),
    Row(
        "add_noise",
        lambda: gc.add_noise(0.04, 0.7, 3),
        lambda: twins.Noise(0.04, 0.7, 3),
        float64=DRAWN,
        reasons=SHARDS_DRAW,
    ),
    Row(
        "noisy_sgd",
        lambda: gc.noisy_sgd(0.1),
        lambda: Downhill(twins.Noise(), 0.1),
        float64=DRAWN,
        reasons=SHARDS_DRAW,
    ),
    Row(
        "scale_by_optimistic_gradient",
        lambda: gc.scale_by_optimistic_gradient(0.7, 0.4),
        lambda: twins.Optimistic(0.7, 0.4),
        lambda: optax.scale_by_optimistic_gradient(0.7, 0.4),
    ),
    Row(
        "optimistic_gradient_descent",
        lambda: gc.optimistic_gradient_descent(0.1),
        lambda: Downhill(twins.Optimistic(), 0.1),
        lambda: optax.optimistic_gradient_descent(0.1),
    ),
    Row(
        "scale_by_polyak",
        lambda: gc.scale_by_polyak(),
        twins.Polyak,
        lambda: optax.scale_by_polyak(),
        extra=VALUE,
    ),
    Row(
        "scale_by_polyak-below",
        lambda: gc.scale_by_polyak(1.0, 0.5, 0.1),
        lambda: twins.Polyak(1.0, 0.5, 0.1),
        lambda: optax.scale_by_polyak(1.0, 0.5, 0.1),
        extra=VALUE,
    ),
    Row(
        "scale_by_polyak-sps_plus",
        lambda: gc.scale_by_polyak(1.0, variant="sps+"),
        lambda: twins.Polyak(1.0, variant="sps+"),
        lambda: optax.scale_by_polyak(1.0, variant="sps+"),
        extra=VALUE,
    ),
    Row(
        "polyak_sgd",
        lambda: gc.polyak_sgd(0.02, f_min=-0.5, eps=0.01),
        lambda: twins.PolyakSgd(-0.5, 0.02, 0.01),
        lambda: optax.polyak_sgd(0.02, f_min=-0.5, eps=0.01),
        extra=VALUE,
    ),
    Row(
        "scale_by_rprop",
        lambda: gc.scale_by_rprop(0.1, 0.6, 1.3, 0.07, 0.15),
        lambda: twins.Rprop(0.1, 0.6, 1.3, 0.07, 0.15),
    ),
    Row("rprop", lambda: gc.rprop(0.1), lambda: twins.Rprop(0.1, sign=-1.0)),
]
