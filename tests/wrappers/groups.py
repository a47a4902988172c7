"""Twins from the papers, and rows, of ``gradchain.wrappers.groups``."""

import re
from dataclasses import dataclass

import optax

import gradchain as gc
from tests.laws.row import NO_NUMBERS, NO_OWN_NUMBERS, Row, matrices, warm_up, warm_up_twin
from tests.laws.twins import Chain, Groups, Scheduled, Tree, Twin, zeros
from tests.optimizers.adam import Adam, AdamW
from tests.optimizers.sgd import Sgd
from tests.transforms.clipping import ClipNorm


@dataclass
class Zero(Twin):
    """u = 0"""

    def update(self, g: Tree, p: Tree) -> Tree:
        return zeros(g)


adamw_twin = lambda weight_decay: Scheduled(
    AdamW(0.1, weight_decay=weight_decay), learning_rate=warm_up_twin
)


ROWS = [
    Row("freeze", lambda: gc.freeze(), Zero, optax.set_to_zero, reasons=NO_NUMBERS),
    Row(
        "groups",
        lambda: gc.groups(
            [("*bias", {"weight_decay": 0.0}), ("*scale", gc.freeze())],
            default=gc.adamw(warm_up()),
        ),
        lambda: Groups(
            {"bias": adamw_twin(0.0), "scale": Zero(), "rest": adamw_twin(1e-4)},
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
        lambda: Groups(
            {
                "chosen": Chain(ClipNorm(1.0), Sgd(0.1, 0.9)),
                "matrices": Zero(),
                "rest": Scheduled(Adam(), b1=warm_up_twin),
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
