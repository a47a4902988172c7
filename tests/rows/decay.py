"""Rows of what pulls on the parameters."""

import gradchain as gc
from tests.references import decay as twins
from tests.references.transforms import Scheduled
from tests.row import Row, is_matrix, matrices, warm_up, warm_up_twin

ROWS = [
    Row(
        "add_independent_weight_decay",
        lambda: gc.add_independent_weight_decay(0.1),
        lambda: twins.Independent(0.1),
        needs_params=True,
    ),
    Row(
        "add_corrected_weight_decay",
        lambda: gc.add_corrected_weight_decay(0.1, warm_up(), 0.3),
        lambda: Scheduled(twins.Corrected(0.1, 0.1, 0.3), learning_rate=warm_up_twin),
        needs_params=True,
    ),
    Row(
        "add_cautious_weight_decay",
        lambda: gc.add_cautious_weight_decay(0.1),
        lambda: twins.Cautious(0.1),
        needs_params=True,
        # the sum of gradients is about the parameter: a scalar's update is what is left of it
        tolerance=2,
    ),
    Row(
        "decay_towards_initial",
        lambda: gc.decay_towards_initial(0.1, where=matrices),
        lambda: twins.TowardsInitial(0.1, is_matrix),
        needs_params=True,
    ),
    Row("add_l1", lambda: gc.add_l1(0.1), lambda: twins.L1(0.1), needs_params=True),
]
