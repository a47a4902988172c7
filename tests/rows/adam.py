"""Rows of Adam's family until 2020."""

import optax

import gradchain as gc
from tests.references import adam as twins
from tests.references.adam import Descent
from tests.row import Row, is_matrix, matrices

ROWS = [
    # With b2 = 0.999 optax's first corrected moments are wrong in the fifth digit, and their
    # maximum stays so.
    Row(
        "scale_by_amsgrad",
        lambda: gc.scale_by_amsgrad(b2=0.99),
        lambda: twins.AmsGrad(b2=0.99),
        lambda: optax.scale_by_amsgrad(b2=0.99),
    ),
    Row(
        "scale_by_amsgrad-paper",
        lambda: gc.scale_by_amsgrad(
            b2=0.8, bias_correction_mu=False, bias_correction_nu=False, eps_root=1e-6
        ),
        lambda: twins.AmsGrad(
            b2=0.8, bias_correction_mu=False, bias_correction_nu=False, eps_root=1e-6
        ),
        lambda: optax.scale_by_amsgrad(
            b2=0.8, bias_correction_mu=False, bias_correction_nu=False, eps_root=1e-6
        ),
    ),
    Row(
        "amsgrad-max_first",
        lambda: gc.amsgrad(0.01, b2=0.8, max_first=True),
        lambda: Descent(twins.AmsGrad(b2=0.8, max_first=True), 0.01),
    ),
    Row("scale_by_adamax", lambda: gc.scale_by_adamax(), twins.Adamax, optax.scale_by_adamax),
    Row(
        "adamax",
        lambda: gc.adamax(0.01, b2=0.9),
        lambda: Descent(twins.Adamax(b2=0.9), 0.01),
        lambda: optax.adamax(0.01, b2=0.9),
    ),
    Row(
        "adamaxw",
        lambda: gc.adamaxw(0.01, weight_decay=0.1, where=matrices),
        lambda: Descent(twins.Adamax(), 0.01, 0.1, is_matrix),
        needs_params=True,
    ),
    Row(
        "scale_by_nadam",
        lambda: gc.scale_by_nadam(),
        twins.NAdam,
        lambda: optax.scale_by_adam(nesterov=True),
    ),
    Row(
        "nadam",
        lambda: gc.nadam(0.01, momentum_decay=0.004),
        lambda: Descent(twins.NAdam(momentum_decay=0.004), 0.01),
    ),
    Row(
        "nadamw",
        lambda: gc.nadamw(0.01, 0.8, 0.99, 1e-4, 0.1, where=matrices, eps_root=1e-6),
        lambda: Descent(twins.NAdam(0.8, 0.99, 1e-4, eps_root=1e-6), 0.01, 0.1, is_matrix),
        needs_params=True,
    ),
    # With b2 = 0.999 the differences in optax's rectification leave it four digits.
    Row("scale_by_radam", lambda: gc.scale_by_radam(), twins.RAdam),
    Row(
        "scale_by_radam-nesterov",
        lambda: gc.scale_by_radam(0.8, 0.9, threshold=4.1, eps_root=1e-6, nesterov=True),
        lambda: twins.RAdam(0.8, 0.9, threshold=4.1, eps_root=1e-6, nesterov=True),
        lambda: optax.scale_by_radam(0.8, 0.9, threshold=4.1, eps_root=1e-6, nesterov=True),
    ),
    Row(
        "radam-debias_eps",
        lambda: gc.radam(0.01, b2=0.99, eps=1e-3, eps_root=1e-2, debias_eps=True),
        lambda: Descent(twins.RAdam(b2=0.99, eps=1e-3, eps_root=1e-2, debias_eps=True), 0.01),
    ),
    Row("scale_by_belief", lambda: gc.scale_by_belief(), twins.Belief, optax.scale_by_belief),
    Row(
        "adabelief-nesterov",
        lambda: gc.adabelief(0.01, 0.8, 0.99, 1e-4, eps_root=1e-6, nesterov=True),
        lambda: Descent(twins.Belief(0.8, 0.99, 1e-4, eps_root=1e-6, nesterov=True), 0.01),
        lambda: optax.adabelief(0.01, 0.8, 0.99, 1e-4, 1e-6, nesterov=True),
    ),
    Row("scale_by_yogi", lambda: gc.scale_by_yogi(), twins.Yogi, optax.scale_by_yogi),
    Row(
        "yogi",
        lambda: gc.yogi(0.01, 0.8, 0.99, 1e-2, 0.1, eps_root=1e-6),
        lambda: Descent(twins.Yogi(0.8, 0.99, 1e-2, 0.1, eps_root=1e-6), 0.01),
    ),
    Row("scale_by_diffgrad", lambda: gc.scale_by_diffgrad(), twins.DiffGrad),
    Row(
        "diffgrad",
        lambda: gc.diffgrad(0.01, 0.8, 0.99, 1e-4),
        lambda: Descent(twins.DiffGrad(0.8, 0.99, 1e-4), 0.01),
    ),
]
