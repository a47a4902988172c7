"""Rows of Adam guarded against sudden large gradients."""

import gradchain as gc
from tests.references import stable as twins
from tests.references.factored import Recipe
from tests.row import Row, is_matrix, matrices

B2 = 1 - 2**-7  # exact in float32: what is clipped shows the second moment without bias correction

ROWS = [
    Row("scale_by_stable_adam", lambda: gc.scale_by_stable_adam(), twins.StableAdam),
    Row(
        "stable_adamw",
        lambda: gc.stable_adamw(0.1, weight_decay=0.1),
        lambda: twins.StableAdam(weight_decay=0.1, learning_rate=0.1),
        needs_params=True,
    ),
    Row(
        "stable_adamw-where",
        lambda: gc.stable_adamw(0.1, weight_decay=0.1, where=matrices),
        lambda: twins.StableAdam(weight_decay=0.1, learning_rate=0.1, chosen=is_matrix),
        needs_params=True,
    ),
    Row(
        "scale_by_spam",
        lambda: gc.scale_by_spam(
            b2=0.9, threshold=1.5, reset_every=3, warmup_steps=2, clip_after=2
        ),
        lambda: twins.Spam(b2=0.9, threshold=1.5, reset_every=3, warmup_steps=2, clip_after=2),
    ),
    Row(
        "spam",
        lambda: gc.spam(
            0.1,
            b2=B2,
            weight_decay=0.1,
            threshold=1.5,
            reset_every=20,
            warmup_steps=5,
            clip_after=0,
        ),
        lambda: Recipe(
            twins.Spam(b2=B2, threshold=1.5, reset_every=20, warmup_steps=5, clip_after=0), 0.1, 0.1
        ),
        needs_params=True,
    ),
    Row(
        "scale_by_stable_spam",
        lambda: gc.scale_by_stable_spam(theta=0.9, reset_every=3),
        lambda: twins.StableSpam(theta=0.9, reset_every=3),
    ),
    Row(
        "stable_spam",
        lambda: gc.stable_spam(0.1, weight_decay=0.1, theta=0.5),
        lambda: Recipe(twins.StableSpam(theta=0.5), 0.1, 0.1),
        needs_params=True,
    ),
]
