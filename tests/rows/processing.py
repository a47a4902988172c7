"""Rows of what is done to gradients before they become directions."""

import optax

import gradchain as gc
from tests.references import processing as twins
from tests.row import NO_NUMBERS, Row

EQUAL = {
    "has_the_numbers_of_its_twin": "equal gradients have no part beside their mean: only rounding is left"
}

ROWS = [
    Row("zero_nans", lambda: gc.zero_nans(), twins.ZeroNans, optax.zero_nans, reasons=NO_NUMBERS),
    Row(
        "scale_by_sign",
        lambda: gc.scale_by_sign(),
        twins.Sign,
        optax.scale_by_sign,
        reasons=NO_NUMBERS,
    ),
    Row(
        "centralize",
        lambda: gc.centralize(),
        twins.Centralize,
        optax.centralize,
        reasons=NO_NUMBERS | EQUAL,
    ),
    Row(
        "centralize-output_last",
        lambda: gc.centralize(output_dim=-1),
        lambda: twins.Centralize(-1),
        reasons=NO_NUMBERS | EQUAL,
    ),
    Row(
        "normalize", lambda: gc.normalize(), twins.Normalize, reasons=NO_NUMBERS
    ),  # optax: NaN for zero gradients
    Row(
        "normalize_by_update_norm",
        lambda: gc.normalize_by_update_norm(0.7, 1e-3),
        lambda: twins.NormalizeBy(0.7, 1e-3),
        lambda: optax.normalize_by_update_norm(0.7, 1e-3),
    ),
    Row(
        "orthogonal_to_weights",
        lambda: gc.orthogonal_to_weights(),
        twins.Orthogonal,
        needs_params=True,
        tolerance=4,  # of some elements little is left when the part along the weights is gone
        reasons=NO_NUMBERS,
    ),
    Row(
        "scale_by_trust_ratio",
        lambda: gc.scale_by_trust_ratio(0.1, 0.5, 1e-3),
        lambda: twins.TrustRatio(0.1, 0.5, 1e-3),
        lambda: optax.scale_by_trust_ratio(0.1, 0.5, 1e-3),
        needs_params=True,
    ),
    Row(
        "scale_by_path",
        lambda: gc.scale_by_path({"*kernel": 0.5, "stack/*": 2.0}, 0.7),
        lambda: twins.ByPath({"*kernel": 0.5, "stack/*": 2.0}, 0.7),
    ),
    Row(
        "layerwise_decay",
        lambda: gc.layerwise_decay(0.7, {"*dense/*": -1}, last=2),
        lambda: twins.ByDepth(
            0.7, lambda name: -1 if "dense" in name else {"0": 0, "1": 1}.get(name[-1], 2), last=2
        ),
    ),
]
