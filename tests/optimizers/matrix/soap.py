"""Twins from the papers, and rows, of ``gradchain.optimizers.matrix.soap``."""

import gradchain as gc
from tests.laws.row import Row
from tests.optimizers.adam import Adam
from tests.optimizers.matrix.muon import beside_adamw
from tests.wrappers.in_eigenbasis import LOOSE, REASONS, InEigenbasis, often


def soap_twin() -> InEigenbasis:
    """SOAP: Adam in the eigenbases"""
    return InEigenbasis(Adam(0.95, 0.95), 2, squares="v")


ROWS = [
    Row(
        "scale_by_soap",
        lambda: gc.scale_by_soap(refresh=often),
        soap_twin,
        reasons=REASONS,
        tolerance=LOOSE,
        float64=1e-8,
    ),
    Row(
        "soap",
        lambda: gc.soap(0.1, weight_decay=0.1, refresh=often),
        lambda: beside_adamw(soap_twin(), 0.1, 0.1),
        needs_params=True,
        reasons=REASONS,
        tolerance=LOOSE,
        float64=1e-8,
    ),
]
