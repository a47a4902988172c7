"""Rows of what bounds the size of updates."""

import optax

import gradchain as gc
from tests.references import clipping as twins
from tests.row import Row

ROWS = [
    Row("clip_by_norm", lambda: gc.clip_by_norm(0.7), lambda: twins.ClipLeaf(0.7)),
    Row(
        "clip_by_block_rms",
        lambda: gc.clip_by_block_rms(0.5),
        lambda: twins.ClipRms(0.5),
        lambda: optax.clip_by_block_rms(0.5),
    ),
    Row(
        "adaptive_grad_clip",
        lambda: gc.adaptive_grad_clip(0.3, 1.5),
        lambda: twins.AdaptiveClip(0.3, 1.5),
        lambda: optax.adaptive_grad_clip(0.3, 1.5),
        needs_params=True,
    ),
    Row(
        "clip_by_history",
        lambda: gc.clip_by_history(0.4, window=3),
        lambda: twins.ClipQuantile(0.4, window=3),
    ),
    Row(
        "clip_by_zscore",
        lambda: gc.clip_by_zscore(0.8, 0.7, warmup_steps=2),
        lambda: twins.ClipScore(0.8, 0.7, warmup_steps=2),
    ),
]
