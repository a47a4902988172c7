"""Rows of control flow."""

import jax.numpy as jnp
import numpy as np

import gradchain as gc
from tests.references import control as references, recipes, transforms as twins
from tests.row import FUNCTION, NO_OWN_NUMBERS, Row, warm_up, warm_up_twin

every_third = lambda: gc.linear_schedule(1.0, 0.0, 1).repeat(3)
late = lambda step, value: (step > 0) & (value > 1.0)
larger = lambda a, b: jnp.where(jnp.abs(a) > jnp.abs(b), a, b)
larger_twin = lambda a, b: np.where(np.abs(a) > np.abs(b), a, b)

ROWS = [
    Row(
        "apply_when",
        lambda: gc.apply_when(
            every_third(), gc.chain(gc.scale_by_adam(), gc.scale_by_schedule(warm_up()))
        ),
        lambda: references.ApplyWhen(
            lambda t: t % 3 == 0, twins.Chain(twins.Adam(), twins.ByStep(warm_up_twin))
        ),
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "apply_when-optimizer",
        lambda: gc.apply_when(every_third(), gc.adamw(0.1, weight_decay=0.1)),
        lambda: references.ApplyWhen(
            lambda t: t % 3 == 0, recipes.AdamW(0.1, weight_decay=0.1), twins.Zero()
        ),
        needs_params=True,
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "apply_when-value",
        lambda: gc.apply_when(late, gc.add_momentum(0.8), others=gc.scale(0.5)),
        lambda: references.ApplyWhen(late, twins.Momentum(0.8), twins.Scale(0.5)),
        extra={"value": 1.5},
        reasons=NO_OWN_NUMBERS | FUNCTION,
    ),
    Row(
        "switch",
        lambda: gc.switch(gc.adamw(warm_up()), at=2, then=gc.sgd(warm_up(), 0.9)),
        lambda: references.Switch(
            twins.Scheduled(recipes.AdamW(0.1, weight_decay=1e-4), learning_rate=warm_up_twin),
            2,
            twins.Scheduled(recipes.Sgd(0.1, 0.9), learning_rate=warm_up_twin),
        ),
        needs_params=True,
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "switch-carry",
        lambda: gc.switch(
            gc.scale_by_adam(), at=3, then=gc.add_momentum(0.8), carry={"mu": "momentum"}
        ),
        lambda: references.Switch(twins.Adam(), 3, twins.Momentum(0.8), {"m": "m"}),
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "switch-clock",
        lambda: gc.switch(
            gc.scale_by_adam(), at=2, then=gc.scale_by_adam(eps=0.01), carry=("mu", "nu", "count")
        ),
        lambda: references.Switch(twins.Adam(), 2, twins.Adam(eps=0.01), {k: k for k in "mvt"}),
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "parallel",
        lambda: gc.parallel(
            gc.scale_by_adam(), gc.chain(gc.add_momentum(0.8), gc.scale_by_schedule(warm_up()))
        ),
        lambda: references.Parallel(
            twins.Adam(), twins.Chain(twins.Momentum(0.8), twins.ByStep(warm_up_twin))
        ),
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "parallel-mean",
        lambda: gc.parallel(
            gc.scale(0.5),
            gc.add_momentum(0.9),
            gc.add_momentum(0.99),
            gc.adamw(0.1).named("last"),
            merge="mean",
        ),
        lambda: references.Parallel(
            twins.Scale(0.5),
            twins.Momentum(0.9),
            twins.Momentum(0.99),
            recipes.AdamW(0.1, weight_decay=1e-4),
            merge=lambda *us: sum(us) / len(us),
        ),
        needs_params=True,
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "parallel-function",
        lambda: gc.parallel(gc.clip(1.0), gc.scale(0.3), merge=larger),
        lambda: references.Parallel(twins.Clip(1.0), twins.Scale(0.3), merge=larger_twin),
        reasons=NO_OWN_NUMBERS | FUNCTION,
    ),
]
