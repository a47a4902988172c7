"""Rows of the wrappers that change gradients and updates."""

import gradchain as gc
from tests.references import recipes, transforms as twins, wrappers as references
from tests.row import NO_OWN_NUMBERS, Row, warm_up, warm_up_twin

ROWS = [
    Row(
        "cautious",
        lambda: gc.cautious(gc.chain(gc.add_momentum(0.8), gc.scale_by_schedule(warm_up()))),
        lambda: references.Cautious(twins.Chain(twins.Momentum(0.8), twins.ByStep(warm_up_twin))),
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "cautious-floor",
        lambda: gc.cautious(gc.adamw(0.01, weight_decay=0.1), floor=0.4),
        lambda: references.Cautious(recipes.AdamW(0.01, weight_decay=0.1), floor=0.4, uphill=-1.0),
        needs_params=True,
    ),
    Row(
        "grams",
        lambda: gc.grams(gc.chain(gc.scale_by_adam(), gc.scale_by_schedule(warm_up()))),
        lambda: references.Grams(twins.Chain(twins.Adam(), twins.ByStep(warm_up_twin))),
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "grams-downhill",
        lambda: gc.grams(gc.sgd(warm_up(), 0.9).named("fast")),
        lambda: references.Grams(
            twins.Scheduled(recipes.Sgd(0.1, 0.9), learning_rate=warm_up_twin), uphill=-1.0
        ),
        reasons=NO_OWN_NUMBERS,
    ),
    Row("mars", lambda: gc.mars(gc.scale_by_adam()), lambda: references.Mars(twins.Adam())),
    Row(
        "mars-global",
        lambda: gc.mars(gc.sgd(0.1, 0.9), 0.1, 0.8, 2.0, per_leaf=False),
        lambda: references.Mars(recipes.Sgd(0.1, 0.9), 0.1, 0.8, 2.0, per_leaf=False),
    ),
    Row(
        "mars-free",
        lambda: gc.mars(gc.scale(0.5), 0.1, 0.8, None),
        lambda: references.Mars(twins.Scale(0.5), 0.1, 0.8, None),
    ),
    Row(
        "grokfast",
        lambda: gc.grokfast(gc.add_momentum(0.5)),
        lambda: references.Grokfast(twins.Momentum(0.5)),
        # six times the gradient, back and forth: where the parameters end is the rest of larger
        # sums
        tolerance=4.0,
    ),
    Row(
        "grokfast_window",
        lambda: gc.grokfast_window(gc.add_momentum(0.5), 3, 2.0),
        lambda: references.GrokfastWindow(twins.Momentum(0.5), 3, 2.0),
    ),
    Row(
        "grokfast_window-at_once",
        lambda: gc.grokfast_window(gc.scale(0.8), 3, 2.0, warmup=False),
        lambda: references.GrokfastWindow(twins.Scale(0.8), 3, 2.0, warmup=False),
    ),
    Row(
        "lookahead",
        lambda: gc.lookahead(gc.sgd(0.5, 0.9), 3),
        lambda: references.Lookahead(recipes.Sgd, dict(learning_rate=0.5, momentum=0.9), 3),
    ),
    Row(
        "lookahead-reset",
        lambda: gc.lookahead(gc.adamw(0.1), 4, 0.8, reset_state=True),
        lambda: references.Lookahead(
            recipes.AdamW, dict(learning_rate=0.1, weight_decay=1e-4), 4, 0.8, reset_state=True
        ),
        needs_params=True,
    ),
    Row(
        "graft",
        lambda: gc.graft(
            gc.add_momentum(0.9), gc.chain(gc.scale_by_adam(), gc.scale_by_schedule(warm_up()))
        ),
        lambda: references.Graft(
            twins.Momentum(0.9), twins.Chain(twins.Adam(), twins.ByStep(warm_up_twin))
        ),
        reasons=NO_OWN_NUMBERS,
    ),
    Row(
        "graft-global",
        lambda: gc.graft(
            gc.chain(gc.scale(9.0), gc.scale_by_schedule(warm_up())),
            gc.scale_by_rms(),
            per_leaf=False,
        ),
        lambda: references.Graft(
            twins.Chain(twins.Scale(9.0), twins.ByStep(warm_up_twin)), twins.Rms(), per_leaf=False
        ),
        reasons=NO_OWN_NUMBERS,
    ),
]
