"""Rows of the two forms of ZeRO-1: parts change no number."""

import jax

import gradchain as gc
from tests.laws.row import FUNCTION, NO_OWN_NUMBERS, Row
from tests.laws.twins import Chain
from tests.optimizers.adam import AdamW
from tests.optimizers.sgd import Sgd
from tests.transforms.clipping import ClipNorm

REASONS = NO_OWN_NUMBERS | {
    "is_the_same_when_split_under_shard_map": "inside shard_map its axis has to be there;"
    " test_zero.py has the flat form so",
    "is_each_replicas_own": "inside shard_map its axis has to be there",
}
A_MESH = dict.fromkeys(FUNCTION, "it holds a mesh, which has no text")


def mesh() -> jax.sharding.Mesh:
    return jax.make_mesh((4, 2), ("a", "b"), axis_types=(jax.sharding.AxisType.Auto,) * 2)


OWN_PARTS = "it splits slots itself, over the axis of its mesh alone"
OF_A_MESH = {
    "is_stable_from_step_to_step": "the parameters of the law are on no mesh before the step",
    "keeps_the_layout_of_its_state": OWN_PARTS,
    "is_split_as_its_parameters": OWN_PARTS,
}
ONE_VECTOR = {
    "keeps_holes": "a parameter without a gradient is refused: all leaves are one vector",
    "keeps_the_layout_of_its_state": "leaves in parts make no vector on explicit axes",
    "is_the_same_on_explicit_axes": "leaves in parts make no vector on explicit axes",
}

ROWS = [
    Row(
        "zero1",
        lambda: gc.distributed.zero1(
            gc.chain(gc.clip_by_global_norm(2.0), gc.sgd(0.1, 0.9)), axis="a", mesh=mesh()
        ),
        lambda: Chain(ClipNorm(2.0), Sgd(0.1, 0.9)),
        reasons=REASONS
        | A_MESH
        | OF_A_MESH
        | {"is_the_same_on_explicit_axes": "its mesh has others; test_zero.py has it with them"},
    ),
    Row(
        "zero1_flat",
        lambda: gc.distributed.zero1_flat(gc.adamw(0.01, weight_decay=0.1), multiple=8),
        lambda: AdamW(0.01, weight_decay=0.1),
        needs_params=True,
        reasons=REASONS | ONE_VECTOR,
    ),
]
