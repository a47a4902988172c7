"""Rows of ``gradchain.core.partition``."""

import gradchain as gc
from tests.laws import user_transforms
from tests.laws.row import (
    FUNCTION,
    NO_OWN_NUMBERS,
    Row,
    is_matrix,
    matrices,
    warm_up,
    warm_up_twin,
)
from tests.laws.twins import Chain, Groups, Scheduled
from tests.optimizers.adam import Adam, AdamW
from tests.optimizers.sgd import Sgd
from tests.transforms.clipping import ClipNorm
from tests.transforms.scaling import Identity
from tests.wrappers.groups import Zero

ROWS = [
    Row(
        "masked",
        lambda: gc.masked(gc.scale_by_adam(b1=warm_up()), "*kernel"),
        lambda: Groups(
            {"yes": Scheduled(Adam(), b1=warm_up_twin), "no": Identity()},
            lambda name, x: "yes" if "kernel" in name else "no",
        ),
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "masked-others",
        lambda: gc.masked(
            gc.adamw(warm_up(), where=matrices), gc.path_matches("kernel|bias"), gc.freeze()
        ),
        lambda: Groups(
            {
                "yes": Scheduled(
                    AdamW(0.1, weight_decay=1e-4, chosen=is_matrix),
                    learning_rate=warm_up_twin,
                ),
                "no": Zero(),
            },
            lambda name, x: "yes" if "kernel" in name or "bias" in name else "no",
        ),
        needs_params=True,
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "partition",
        lambda: gc.partition(
            {
                "matrices": gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(warm_up())),
                "rest": gc.sgd(0.1, 0.9),
            },
            user_transforms.group_of,
        ),
        lambda: Groups(
            {
                "matrices": Chain(
                    ClipNorm(1.0),
                    Scheduled(AdamW(0.1, weight_decay=1e-4), learning_rate=warm_up_twin),
                ),
                "rest": Sgd(0.1, 0.9),
            },
            user_transforms.group_of,
        ),
        needs_params=True,
        reasons=NO_OWN_NUMBERS | FUNCTION,
    ),
]
