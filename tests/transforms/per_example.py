"""Twins from the papers, and rows, of ``gradchain.transforms.per_example``."""

from dataclasses import dataclass

import numpy as np

import gradchain as gc
from tests.laws.row import Row
from tests.laws.twins import Tree, Twin, norm


@dataclass
class PrivateMean(Twin):
    """Abadi et al., Algorithm 1, without noise; or McMahan et al.'s per-layer clipping"""

    l2_norm_clip: float
    noise_multiplier: float = 0.0
    layerwise: bool = False

    def _clipped(self, g: Tree) -> Tree:
        if not self.layerwise:
            return {k: x / max(1.0, norm(g) / self.l2_norm_clip) for k, x in g.items()}
        limit = self.l2_norm_clip / np.sqrt(len(g))
        return {k: x / max(1.0, norm({k: x}) / limit) for k, x in g.items()}

    def update(self, g: list[Tree], p: Tree) -> Tree:
        clipped = [self._clipped(one) for one in g]
        return {k: sum(one[k] for one in clipped) / len(g) for k in p if k in g[0]}


STACKED = dict.fromkeys(
    [
        "can_be_differentiated",
        "can_be_vmapped",
        "follows_its_twin",
        "goes_on_from_a_checkpoint",
        "has_the_numbers_of_its_twin",
        "is_equal_to_its_like",
        "is_stable_from_step_to_step",
        "goes_on_from_a_checkpoint_in_eight_bits",
        "is_each_replicas_own",
        "is_split_as_its_parameters",
        "is_the_same_in_exact_storage",
        "is_the_same_on_explicit_axes",
        "is_the_same_when_split_under_jit",
        "is_the_same_when_split_under_shard_map",
        "keeps_holes",
        "keeps_structure_shapes_and_dtypes",
        "keeps_the_layout_of_its_state",
        "stays_finite_in_eight_bits",
        "survives_a_spike",
        "runs_alike_eagerly_compiled_and_in_a_scan",
        "takes_schedules",
        "takes_traced_numbers",
        "takes_trees_of_every_kind",
        "works_on_shapes_alone",
    ],
    "its gradients have a leading dimension: see the rows of with_examples",
)


ROWS = [
    Row(
        "differentially_private_aggregate",
        lambda: gc.differentially_private_aggregate(1.5, 0.0),
        lambda: PrivateMean(1.5),
        reasons=STACKED,
    ),
]
