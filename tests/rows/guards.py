"""Rows of guards, with gradients that are finite; ``tests/test_guards.py`` has others."""

import gradchain as gc
from tests.references import guards as references, recipes, transforms as twins
from tests.row import NO_OWN_NUMBERS, Row, warm_up, warm_up_twin

adamw = lambda: gc.adamw(warm_up())
adamw_twin = lambda: twins.Scheduled(
    recipes.AdamW(0.1, weight_decay=1e-4), learning_rate=warm_up_twin
)

ROWS = [
    Row(
        "skip_nonfinite",
        lambda: gc.skip_nonfinite(adamw()),
        lambda: references.SkipNonfinite(adamw_twin()),
        needs_params=True,
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "dynamic_loss_scale",
        lambda: gc.dynamic_loss_scale(gc.sgd(0.1, 0.9), 8.0, growth_interval=2, max_scale=30.0),
        lambda: references.LossScale(recipes.Sgd(0.1, 0.9), 8.0, growth_interval=2, max_scale=30.0),
    ),
    Row(
        "skip_spikes",
        lambda: gc.skip_spikes(gc.sgd(0.1, 0.9), 0.5, 0.9, warmup_steps=2, max_skips_in_a_row=2),
        lambda: references.SkipSpikes(
            recipes.Sgd(0.1, 0.9), 0.5, 0.9, warmup_steps=2, max_skips_in_a_row=2
        ),
    ),
]
