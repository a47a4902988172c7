"""Rows of ``gradchain.core.transformation``."""

import optax

import gradchain as gc
from tests.laws import user_transforms
from tests.laws.row import (
    FUNCTION,
    NO_NUMBERS,
    NO_OWN_NUMBERS,
    Row,
    is_matrix,
    matrices,
    warm_up,
    warm_up_twin,
)
from tests.laws.twins import Chain, Groups, Scheduled
from tests.optimizers.adam import Adam, AdamW
from tests.transforms.clipping import Clip, ClipNorm
from tests.transforms.momentum import Momentum
from tests.transforms.scaling import ByStep, Identity
from tests.wrappers.groups import Zero

ROWS = [
    Row(
        "chain-freeze",
        lambda: gc.chain(
            gc.clip_by_global_norm(0.5),
            gc.scale_by_adam(),
            gc.freeze("*bias"),
            gc.freeze("scale"),
        ),
        lambda: Groups(
            {"yes": Zero(), "no": Chain(ClipNorm(0.5), Adam())},
            lambda name, x: "yes" if name.endswith("bias") or name == "scale" else "no",
        ),
        reasons=NO_OWN_NUMBERS,
    ),
    Row("chain-empty", lambda: gc.chain(), Identity, reasons=NO_NUMBERS),
    Row(
        "chain",
        lambda: gc.chain(
            gc.clip_by_global_norm(1.0),
            gc.chain(gc.add_momentum(0.5).named("first"), gc.add_momentum(0.5)),
            gc.clip(0.5),
            gc.add_momentum(0.7, nesterov=True),
            gc.scale_by_schedule(warm_up()),
        ),
        lambda: Chain(
            ClipNorm(1.0),
            Momentum(0.5),
            Momentum(0.5),
            Clip(0.5),
            Momentum(0.7, nesterov=True),
            ByStep(warm_up_twin),
        ),
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "chain-named",
        lambda: gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(warm_up(), where=matrices)).named(
            "both"
        ),
        lambda: Chain(
            ClipNorm(1.0),
            Scheduled(
                AdamW(0.1, weight_decay=1e-4, chosen=is_matrix), learning_rate=warm_up_twin
            ),
        ),
        needs_params=True,
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "GradientTransformation",
        lambda: gc.GradientTransformation(user_transforms.init_sum, user_transforms.add_to_sum),
        lambda: Momentum(0.5),
        lambda: optax.trace(0.5),
        reasons=NO_NUMBERS
        | FUNCTION
        | {"keeps_the_layout_of_its_state": "inside jit, the zeros of a function lie anywhere"},
    ),
]
