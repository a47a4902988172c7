"""Rows of the recipes that go by signs, and of those whose rate is set leaf by leaf."""

import optax

import gradchain as gc
from tests.references import layerwise as twins, transforms as plain
from tests.row import Row, matrices, warm_up, warm_up_twin

# The threshold stands where neither leaf of the samples is near it, with some leaves on either
# side.
DELTA = 1.2

ROWS = [
    Row("scale_by_lion", lambda: gc.scale_by_lion(), twins.Lion, optax.scale_by_lion),
    Row(
        "lion",
        lambda: gc.lion(0.01, weight_decay=0.1),
        lambda: twins.Lion(learning_rate=0.01, weight_decay=0.1),
        lambda: optax.lion(0.01, weight_decay=0.1),
        needs_params=True,
    ),
    Row(
        "sign_sgd",
        lambda: gc.sign_sgd(0.01),
        lambda: twins.Signum(0.01, beta=0.0),
        lambda: optax.sign_sgd(0.01),
    ),
    Row("signum", lambda: gc.signum(0.01), lambda: twins.Signum(0.01), lambda: optax.signum(0.01)),
    Row(
        "tiger",
        lambda: gc.tiger(0.01, weight_decay=0.1),
        lambda: twins.Tiger(0.01, weight_decay=0.1),
        needs_params=True,
    ),
    Row(
        "lars",
        lambda: gc.lars(0.5, weight_decay=0.1),
        lambda: twins.Lars(0.5, weight_decay=0.1),
        lambda: optax.lars(0.5, weight_decay=0.1),
        needs_params=True,
    ),
    Row(
        "lars-where",
        lambda: gc.lars(0.5, 0.1, matrices, 0.01, 1e-3, 0.8, nesterov=True),
        lambda: twins.Lars(0.5, 0.1, 0.01, 1e-3, 0.8, nesterov=True, chosen=lambda x: x.ndim >= 2),
        needs_params=True,
    ),
    Row(
        "lamb",
        lambda: gc.lamb(0.01, weight_decay=0.1),
        lambda: twins.Lamb(0.01, weight_decay=0.1),
        lambda: optax.lamb(0.01, weight_decay=0.1),
        needs_params=True,
    ),
    Row(
        "scale_by_novograd",
        lambda: gc.scale_by_novograd(weight_decay=0.1),
        lambda: twins.NovoGrad(weight_decay=0.1),
        lambda: optax.scale_by_novograd(weight_decay=0.1),
        needs_params=True,
    ),
    Row(
        "novograd",
        lambda: gc.novograd(0.01, weight_decay=0.1),
        lambda: twins.NovoGrad(eps=1e-6, learning_rate=0.01, weight_decay=0.1),
        lambda: optax.novograd(0.01, weight_decay=0.1),
        needs_params=True,
    ),
    Row(
        "correct_growth",
        lambda: gc.correct_growth(0.3),
        lambda: twins.Growth(0.3),
        needs_params=True,
    ),
    Row(
        "fromage",
        lambda: gc.fromage(0.1),
        lambda: twins.Fromage(0.1),
        lambda: optax.fromage(0.1),
        needs_params=True,
    ),
    Row(
        "remove_radial",
        lambda: gc.remove_radial(gc.scale_by_adam(b1=warm_up()), DELTA, 0.1),
        lambda: twins.Radial(plain.Scheduled(plain.Adam(), b1=warm_up_twin), DELTA, 0.1),
        needs_params=True,
    ),
    Row(
        "sgdp",
        lambda: gc.sgdp(0.1, weight_decay=0.1, delta=DELTA),
        lambda: twins.Radial(plain.Momentum(0.9), DELTA, 0.1, learning_rate=0.1),
        needs_params=True,
        reasons={"takes_schedules": "its twin is made of two, see remove_radial and add_momentum"},
    ),
    Row(
        "adamp",
        lambda: gc.adamp(0.01, weight_decay=0.1, delta=DELTA),
        lambda: twins.Radial(plain.Adam(), DELTA, 0.1, learning_rate=0.01),
        needs_params=True,
        reasons={"takes_schedules": "its twin is made of two, see remove_radial and scale_by_adam"},
    ),
]
