"""Rows of the two forms of ZeRO-1: states in parts change no number."""

import jax

import gradchain as gc
from gradchain.distributed import zero1, zero1_flat
from tests.distributed.exchange import SHARDS
from tests.laws.row import NO_OWN_NUMBERS, Row
from tests.optimizers.adam import AdamW

#: Of one device, so that what is split is whole: ``test_zero`` has meshes of eight.
MESH = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))

FLAT = {
    "keeps_holes": "a parameter without a gradient is refused: all leaves are one vector",
}
NO_TEXT = "a mesh is of devices, and has no text"
OF_ONE = {
    "prints_as_its_recipe": NO_TEXT,
    "survives_json": NO_TEXT,
    "is_equal_to_its_like": "a device cannot be pickled",
    "is_stable_from_step_to_step": "the parameters of the law are on no mesh before the step",
    "is_split_as_its_parameters": "it splits slots itself, over a mesh of its own",
    "is_the_same_when_split_under_jit": "the mesh of this row is another; test_zero.py has one",
}
ROWS = [
    Row(
        "zero1",
        lambda: zero1(gc.adamw(0.1, weight_decay=0.1), mesh=MESH),
        lambda: AdamW(0.1, weight_decay=0.1),
        needs_params=True,
        reasons=SHARDS | NO_OWN_NUMBERS | OF_ONE,
    ),
    Row(
        "zero1_flat",
        lambda: zero1_flat(gc.adamw(0.1, weight_decay=0.1), multiple=8),
        lambda: AdamW(0.1, weight_decay=0.1),
        needs_params=True,
        reasons=SHARDS | NO_OWN_NUMBERS | FLAT,
    ),
]
