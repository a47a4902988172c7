"""Rows of what keeps less than one second moment for each weight."""

import optax

import gradchain as gc
from tests.references import factored as twins, low_rank
from tests.row import FUNCTION, Row, is_matrix, matrices

NOT_BY_SHARDS = {
    "is_the_same_when_split_under_shard_map": "it looks along all dimensions, of which a shard has a part"
}
# 1 - b2 is exact in float32: without bias correction an error of it is one of the update.
B2, B3 = 1 - 2**-7, 1 - 2**-10


def decay_of_optax(step, rate):
    """In the precision of the step; that of optax is in float32."""
    return 1 - (step + 1.0) ** -rate


def heads(shape):
    return (0, 2) if len(shape) == 3 else tuple(range(len(shape)))


ROWS = [
    Row(
        "scale_by_factored_rms",
        lambda: gc.scale_by_factored_rms(min_dim_size_to_factor=2, epsilon=1e-2),
        lambda: twins.FactoredRms(min_dim_size_to_factor=2, epsilon=1e-2),
        lambda: optax.scale_by_factored_rms(
            min_dim_size_to_factor=2, epsilon=1e-2, decay_rate_fn=decay_of_optax
        ),
        reasons=NOT_BY_SHARDS,
    ),
    Row(
        "scale_by_factored_rms-last",
        lambda: gc.scale_by_factored_rms(
            True, 0.7, 0, 2, 1e-6, max_decay=0.75, dims="last", add_epsilon=False
        ),
        lambda: twins.FactoredRms(
            True, 0.7, 0, 2, 1e-6, max_decay=0.75, last=True, add_epsilon=False
        ),
    ),
    Row(
        "scale_by_factored_rms-whole",
        lambda: gc.scale_by_factored_rms(False, step_offset=-5),
        lambda: twins.FactoredRms(False, step_offset=-5),
        lambda: optax.scale_by_factored_rms(False, step_offset=-5, decay_rate_fn=decay_of_optax),
    ),
    Row(
        "scale_by_came",
        lambda: gc.scale_by_came(b2=B2, b3=B3),
        lambda: twins.Came(b2=B2, b3=B3),
        # the square of an update less its average, which may be nearly as long
        tolerance=10,
    ),
    Row(
        "scale_by_param_block_rms",
        lambda: gc.scale_by_param_block_rms(0.9),
        lambda: twins.ByBlock(0.9),
        lambda: optax.scale_by_param_block_rms(0.9),
        needs_params=True,
    ),
    Row(
        "scale_by_param_block_norm",
        lambda: gc.scale_by_param_block_norm(0.5),
        lambda: twins.ByBlock(0.5, is_rms=False),
        needs_params=True,
    ),
    Row(
        "adafactor",
        lambda: gc.adafactor(0.1, 2, clipping_threshold=0.9, dims="last"),
        lambda: twins.Adafactor(0.1, 2, clipping_threshold=0.9, last=True),
        needs_params=True,
    ),
    Row(
        "adafactor-options",
        lambda: gc.adafactor(
            0.1, 2, 0.7, 0, False, 1.5, 0.8, 0.01, 1e-6, max_decay=0.7, dims="last", add_eps=False
        ),
        lambda: twins.Adafactor(
            0.1, 2, 0.7, 1.5, 1e-6, 0.8, 0.01, scaled=False, max_decay=0.7, last=True, add_eps=False
        ),
        needs_params=True,
    ),
    Row(
        "came",
        lambda: gc.came(0.1, weight_decay=0.1, where=matrices, b2=B2, b3=B3),
        lambda: twins.Recipe(twins.Came(b2=B2, b3=B3), 0.1, 0.1, is_matrix),
        needs_params=True,
        tolerance=10,  # as scale_by_came
    ),
    Row(
        "scale_by_sm3",
        lambda: gc.scale_by_sm3(b2=0.9),
        lambda: twins.Sm3(b2=0.9),
        reasons=NOT_BY_SHARDS,
    ),
    Row(
        "sm3",
        lambda: gc.sm3(0.1, 0.8),
        lambda: twins.Recipe(twins.Sm3(0.8), 0.1),
        reasons=NOT_BY_SHARDS,
    ),
    Row("scale_by_amos", lambda: gc.scale_by_amos(0.3), lambda: twins.Amos(0.3), needs_params=True),
    Row(
        "amos",
        lambda: gc.amos(0.3, 0.9, 0.5),
        lambda: twins.Amos(0.3, 0.9, 0.5, rated=True),
        needs_params=True,
    ),
    Row("scale_by_adam_mini", lambda: gc.scale_by_adam_mini(), twins.AdamMini),
    Row(
        "scale_by_adam_mini-row",
        lambda: gc.scale_by_adam_mini(0.8, 0.99, 1e-4, "row"),
        lambda: twins.AdamMini(
            0.8, 0.99, 1e-4, lambda x: (-1,) if x.ndim >= 2 else tuple(range(x.ndim))
        ),
    ),
    Row(
        "scale_by_adam_mini-heads",
        lambda: gc.scale_by_adam_mini(block=heads),
        lambda: twins.AdamMini(shared=lambda x: heads(x.shape)),
        reasons=FUNCTION
        | {
            "is_the_same_when_split_under_shard_map": "the law takes a slot's dimensions for the first of its parameter"
        },
    ),
    Row(
        "adam_mini",
        lambda: gc.adam_mini(0.1, weight_decay=0.1, block="leaf", where=matrices),
        lambda: twins.Recipe(
            twins.AdamMini(shared=lambda x: tuple(range(x.ndim))), 0.1, 0.1, is_matrix
        ),
        needs_params=True,
    ),
    Row(
        "scale_by_apollo",
        lambda: gc.scale_by_apollo(1, 3, eps=1e-4),
        lambda: low_rank.Apollo(rank=1, update_every=3, eps=1e-4),
        float64=1e-6,  # the projection is drawn in float32, and rounded as the compiler has it
    ),
    Row(
        "apollo",
        lambda: gc.apollo(0.1, 1, 3, 2.0, weight_decay=0.1, max_growth=None, scale_by="tensor"),
        lambda: twins.Recipe(
            low_rank.Apollo(rank=1, update_every=3, scale=2.0, max_growth=None, scale_by="tensor"),
            0.1,
            0.1,
        ),
        needs_params=True,
        float64=1e-6,  # as scale_by_apollo
    ),
]
