"""Rows of Adam's further relatives."""

import jax.numpy as jnp
import optax

import gradchain as gc
from tests.references import adam_recent as twins
from tests.references.adam import Descent
from tests.references.transforms import Adam
from tests.row import Row, is_matrix, matrices

# In float32 1 - b2 has lost digits where b2 is as near 1 as some defaults are. Directions that do
# not correct the second moment by the same 1 - b2 show it, and so do moments that are as slow:
# their rows have smaller decays.
ROWS = [
    Row("scale_by_adabound", lambda: gc.scale_by_adabound(), twins.AdaBound),
    Row(
        "adabound-amsbound",
        lambda: gc.adabound(0.01, 0.8, 0.9, 1e-4, final_scale=1.0, gamma=0.1, amsbound=True),
        lambda: Descent(
            twins.AdaBound(0.8, 0.9, 1e-4, final_scale=1.0, gamma=0.1, amsbound=True), 0.01
        ),
    ),
    Row("scale_by_padam", lambda: gc.scale_by_padam(b2=0.9), lambda: twins.PAdam(b2=0.9)),
    Row(
        "padam-adam",
        lambda: gc.padam(0.01, b2=0.8, partial=0.25, amsgrad=False),
        lambda: Descent(twins.PAdam(b2=0.8, partial=0.25, amsgrad=False), 0.01),
    ),
    # The default eps is below the roots of what float32 can square, where the twin goes on.
    Row("scale_by_laprop", lambda: gc.scale_by_laprop(eps=1e-10), lambda: twins.LaProp(eps=1e-10)),
    Row(
        "laprop",
        lambda: gc.laprop(0.01, 0.8, 0.9, 1e-6),
        lambda: Descent(twins.LaProp(0.8, 0.9, 1e-6), 0.01),
    ),
    Row("scale_by_acprop", lambda: gc.scale_by_acprop(b2=0.9), lambda: twins.AcProp(b2=0.9)),
    Row(
        "acprop",
        lambda: gc.acprop(0.01, 0.8, 0.99, 1e-4, 0.1, where=matrices, eps_root=1e-3),
        lambda: Descent(twins.AcProp(0.8, 0.99, 1e-4, eps_root=1e-3), 0.01, 0.1, is_matrix),
        needs_params=True,
    ),
    Row("scale_by_adan", lambda: gc.scale_by_adan(), twins.Adan),
    Row(
        "adan",
        lambda: gc.adan(0.01, 0.9, 0.8, 0.95, 1e-4, 0.1, where=matrices, eps_root=1e-6),
        lambda: Descent(twins.Adan(0.9, 0.8, 0.95, 1e-4, eps_root=1e-6), 0.01, 0.1, is_matrix),
        needs_params=True,
    ),
    Row(
        "scale_by_adopt",
        lambda: gc.scale_by_adopt(b2=0.99),
        lambda: twins.Adopt(b2=0.99),
        lambda: optax.contrib.scale_by_adopt(b2=0.99),
    ),
    Row(
        "adopt-nesterov",
        lambda: gc.adopt(0.01, 0.8, 0.9, 1e-4, clip_value=0.5, nesterov=True),
        lambda: Descent(twins.Adopt(0.8, 0.9, 1e-4, clip_value=0.5, nesterov=True), 0.01),
        lambda: optax.contrib.adopt(
            0.01,
            0.8,
            0.9,
            1e-4,
            clip_value_fn=lambda step: jnp.full_like(step, 0.5, float),
            nesterov=True,
        ),
    ),
    Row(
        "scale_by_ademamix",
        lambda: gc.scale_by_ademamix(b3=0.999),
        lambda: twins.AdEmaMix(b3=0.999),
        lambda: optax.contrib.scale_by_ademamix(b3=0.999),
    ),
    Row(
        "ademamix",
        lambda: gc.ademamix(0.01, 0.8, 0.99, 0.95, 2.0, 1e-4, 0.1, where=matrices, eps_root=1e-6),
        lambda: Descent(
            twins.AdEmaMix(0.8, 0.99, 1e-4, 0.95, 2.0, eps_root=1e-6), 0.01, 0.1, is_matrix
        ),
        needs_params=True,
    ),
    Row(
        "scale_by_simplified_ademamix",
        lambda: gc.scale_by_simplified_ademamix(0.9, alpha=2.0),
        lambda: twins.SimplifiedAdEmaMix(0.9, alpha=2.0),
        lambda: optax.contrib.scale_by_simplified_ademamix(0.9, alpha=2.0),
    ),
    Row(
        "simplified_ademamix",
        lambda: gc.simplified_ademamix(
            0.01, eps=1e-4, weight_decay=0.1, where=matrices, eps_root=1e-6
        ),
        lambda: Descent(twins.SimplifiedAdEmaMix(eps=1e-4, eps_root=1e-6), 0.01, 0.1, is_matrix),
        needs_params=True,
    ),
    Row(
        "adamc",
        lambda: gc.adamc(0.01, 0.03, weight_decay=0.1),
        lambda: twins.AdamC(Adam(), 0.01, 0.03, 0.1),
        needs_params=True,
    ),
    # Compared with recorded trajectories and not with optax, which takes the root of the step in
    # float32.
    Row(
        "scale_by_madgrad",
        lambda: gc.scale_by_madgrad(0.1),
        lambda: twins.MadGrad(0.1),
        needs_params=True,
    ),
    Row(
        "madgrad",
        lambda: gc.madgrad(0.1, 0.5, 0.1, 1e-3),
        lambda: twins.MadGrad(0.1, 0.5, 0.1, 1e-3),
        needs_params=True,
    ),
]
