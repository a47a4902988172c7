"""Rows of what takes gradients with a leading dimension.

The laws give gradients of the parameters' shapes; ``with_examples`` makes two of each, so that they
hold for what it holds. The factories themselves have rows for the laws that need no gradients.
"""

import gradchain as gc
from tests import own
from tests.references import per_example as twins, recipes
from tests.references.transforms import Chain
from tests.row import NO_NUMBERS, NO_OWN_NUMBERS, Row

STACKED = dict.fromkeys(
    [
        "can_be_differentiated",
        "can_be_vmapped",
        "follows_its_twin",
        "goes_on_from_a_checkpoint",
        "has_the_numbers_of_its_twin",
        "is_equal_to_its_like",
        "is_stable_from_step_to_step",
        "is_the_same_when_split_under_jit",
        "is_the_same_when_split_under_shard_map",
        "keeps_holes",
        "keeps_structure_shapes_and_dtypes",
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
        lambda: twins.PrivateMean(1.5),
        reasons=STACKED,
    ),
    Row(
        "dpsgd",
        lambda: gc.dpsgd(0.1, 1.5, 0.0),
        lambda: Chain(twins.PrivateMean(1.5), recipes.Sgd(0.1)),
        reasons=STACKED,
    ),
    Row("pcgrad", lambda: gc.pcgrad(), twins.Surgery, reasons=STACKED),
    Row(
        "with_examples",
        lambda: own.with_examples(gc.dpsgd(0.1, 1.5, 0.0, momentum=0.9)),
        lambda: own.WithExamples(Chain(twins.PrivateMean(1.5), recipes.Sgd(0.1, 0.9))),
        needs_params=True,
        tolerance=4,  # the two gradients cancel in part
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "with_examples-layerwise",
        lambda: own.with_examples(gc.differentially_private_aggregate(1.5, 0.0, layerwise=True)),
        lambda: own.WithExamples(twins.PrivateMean(1.5, layerwise=True)),
        needs_params=True,
        tolerance=4,  # the two gradients cancel in part
        reasons=NO_OWN_NUMBERS
        | {
            "has_the_numbers_of_its_twin": "of two clipped gradients of a single number only rounding is left"
        },
    ),
    Row(
        "with_examples-pcgrad",
        lambda: own.with_examples(gc.pcgrad()),
        lambda: own.WithExamples(twins.Surgery()),
        needs_params=True,
        tolerance=4,  # the two gradients cancel in part
        reasons=NO_NUMBERS
        | {
            "has_the_numbers_of_its_twin": "products of gradients whose squares are the smallest numbers underflow"
        },
    ),
]
