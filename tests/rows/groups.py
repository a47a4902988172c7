"""Rows of groups; what they are for is tested in ``tests/test_groups.py``."""

import re

import gradchain as gc
from tests.references import recipes, transforms as twins
from tests.row import NO_OWN_NUMBERS, Row, matrices, warm_up, warm_up_twin

adamw_twin = lambda weight_decay: twins.Scheduled(
    recipes.AdamW(0.1, weight_decay=weight_decay), learning_rate=warm_up_twin
)

ROWS = [
    Row(
        "groups",
        lambda: gc.groups(
            [("*bias", {"weight_decay": 0.0}), ("*scale", gc.freeze())], default=gc.adamw(warm_up())
        ),
        lambda: twins.Groups(
            {"bias": adamw_twin(0.0), "scale": twins.Zero(), "rest": adamw_twin(1e-4)},
            lambda name, x: name.split("/")[-1] if name.endswith(("bias", "scale")) else "rest",
        ),
        needs_params=True,
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "groups-complete",
        lambda: gc.groups(
            [
                (
                    re.compile("kernel|stack/1"),
                    gc.chain(gc.clip_by_global_norm(1.0), gc.sgd(0.1, 0.9)),
                ),
                (matrices, gc.freeze()),
                ("*", gc.scale_by_adam(b1=warm_up())),
            ]
        ),
        lambda: twins.Groups(
            {
                "chosen": twins.Chain(twins.ClipNorm(1.0), recipes.Sgd(0.1, 0.9)),
                "matrices": twins.Zero(),
                "rest": twins.Scheduled(twins.Adam(), b1=warm_up_twin),
            },
            lambda name, x: (
                "chosen"
                if "kernel" in name or name.endswith("stack/1")
                else "matrices"
                if x.ndim > 1
                else "rest"
            ),
        ),
        reasons=NO_OWN_NUMBERS
        | dict.fromkeys(
            ["prints_as_its_recipe"], "its text needs the module re, which these laws do not give"
        ),
    ),
]
