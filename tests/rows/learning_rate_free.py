"""Rows of the methods without a learning rate.

The distances at the start are large here, where the defaults are 1e-6: beside parameters of order
1, float32 tells a step of 1e-6 to one digit.
"""

import optax
import optax.contrib

import gradchain as gc
from tests.references import (
    bets_and_models,
    learning_rate_free as free,
    recipes,
    transforms as twins,
)
from tests.row import Row

LOSS = {"value": 0.7}
MODEL = (
    60.0  # the model is a difference of <g, x> and <m, x>, in which float32 loses a digit or two
)
BETAS = (
    0.9,
    0.99,
)  # with 0.999 optax itself is further than 1e-5 from the truth: its 1 - b2**t is in float32

ROWS = [
    Row(
        "scale_by_distance_over_gradients",
        lambda: gc.scale_by_distance_over_gradients(0.1),
        lambda: free.LayerWise(lambda: free.DoG(0.1)),
        # No optax: it makes a scalar a vector. Without one they agree, see
        # tests/test_learning_rate_free.py.
        needs_params=True,
    ),
    Row(
        "scale_by_distance_over_gradients-init_distance",
        lambda: gc.scale_by_distance_over_gradients(
            0.5, 1e-3, -0.9, layer_wise=False, init_distance=0.2
        ),
        lambda: free.DoG(0.5, 1e-3, -0.9, init_distance=0.2),
        needs_params=True,
    ),
    Row(
        "scale_by_dowg",
        lambda: gc.scale_by_dowg(),
        lambda: free.DoWG(),
        needs_params=True,
    ),
    Row(
        "scale_by_dowg-layer_wise",
        lambda: gc.scale_by_dowg(0.1, 1e-3, layer_wise=True),
        lambda: free.LayerWise(lambda: free.DoWG(0.1, 1e-3)),
        needs_params=True,
    ),
    Row(
        "scale_by_prodigy",
        lambda: gc.scale_by_prodigy(0.9, estim_lr0=0.1, bias_correction=False, b2=0.9),
        lambda: free.Prodigy(0.9, estim_lr0=0.1, bias_correction=False, b2=0.9),
        needs_params=True,
    ),
    Row(
        "scale_by_dadapt_adam",
        lambda: gc.scale_by_dadapt_adam(
            0.9, b2=0.9, estim_lr0=0.1, growth_rate=1.1, bias_correction=False
        ),
        lambda: free.DAdaptAdam(0.9, b2=0.9, estim_lr0=0.1, growth_rate=1.1, bias_correction=False),
        needs_params=True,
    ),
    Row(
        "scale_by_cocob",
        lambda: gc.scale_by_cocob(3.0, 0.5),
        lambda: bets_and_models.Cocob(alpha=3.0, eps=0.5),
        lambda: optax.contrib.scale_by_cocob(3.0, 0.5),
        needs_params=True,
    ),
    Row(
        "scale_by_momo",
        lambda: gc.scale_by_momo(0.5, weight_decay=0.1),
        lambda: free.Negated(bets_and_models.Momo(0.5, weight_decay=0.1)),
        needs_params=True,
        extra=LOSS,
        tolerance=MODEL,
    ),
    Row(
        "scale_by_momo_adam",
        lambda: gc.scale_by_momo_adam(0.5, weight_decay=0.1),
        lambda: free.Negated(bets_and_models.MomoAdam(0.5, weight_decay=0.1)),
        needs_params=True,
        extra=LOSS,
        tolerance=MODEL,
    ),
    Row(
        "dadapt",
        lambda: gc.dadapt(gc.add_momentum(0.5), 0.9, 0.1, estim_lr_coef=1.5),
        lambda: free.DAdapt(twins.Momentum(0.5), 0.9, 0.1, estim_lr_coef=1.5),
    ),
    Row(
        "dadapt-largest",
        lambda: gc.dadapt(
            gc.scale_by_adam(), 0.9, 0.1, decay=0.95, distance="largest", growth_rate=1.03
        ),
        lambda: free.DAdapt(
            twins.Adam(), 0.9, 0.1, decay=0.95, distance="largest", growth_rate=1.03
        ),
    ),
    Row(
        "mechanize",
        lambda: gc.mechanize(gc.adam(1.0), s_init=0.1),
        lambda: bets_and_models.Mechanic(recipes.AdamW(1.0), s_init=0.1),
        lambda: optax.contrib.mechanize(optax.adam(1.0), s_init=0.1),
        needs_params=True,
        tolerance=10.0,  # it measures by how much parameters of order 1 have moved, here by a tenth
    ),
    Row(
        "dadapt_sgd",
        lambda: gc.dadapt_sgd(estim_lr0=0.1, weight_decay=0.1),
        lambda: free.DAdaptSgd(estim_lr0=0.1, weight_decay=0.1),
        needs_params=True,
    ),
    Row(
        "dadapt_adamw",
        lambda: gc.dadapt_adamw(betas=BETAS, estim_lr0=0.1, weight_decay=0.1),
        lambda: free.Negated(free.DAdaptAdam(1.0, *BETAS, estim_lr0=0.1, weight_decay=0.1)),
        lambda: optax.contrib.dadapt_adamw(betas=BETAS, estim_lr0=0.1, weight_decay=0.1),
        needs_params=True,
    ),
    Row(
        "prodigy",
        lambda: gc.prodigy(betas=BETAS, estim_lr0=0.1, weight_decay=0.1),
        lambda: free.Negated(free.Prodigy(1.0, *BETAS, estim_lr0=0.1, weight_decay=0.1)),
        lambda: optax.contrib.prodigy(betas=BETAS, estim_lr0=0.1, weight_decay=0.1),
        needs_params=True,
    ),
    Row(
        "prodigy-safeguard",
        lambda: gc.prodigy(0.5, (0.8, 0.95), 0.9, 1e-6, 0.1, 1.5, safeguard_warmup=True),
        lambda: free.Negated(
            free.Prodigy(0.5, 0.8, 0.95, 0.9, 1e-6, 0.1, 1.5, safeguard_warmup=True)
        ),
        lambda: optax.contrib.prodigy(0.5, (0.8, 0.95), 0.9, 1e-6, 0.1, 1.5, safeguard_warmup=True),
        needs_params=True,
    ),
    Row(
        "dog",
        lambda: gc.dog(0.9, ("heuristic", 0.1), 1e-3, 0.1),
        lambda: free.Descent(free.DoG(0.1, 1e-3), 0.9, 0.1),
        lambda: optax.contrib.dog(0.9, ("heuristic", 0.1), 1e-3, 0.1),
        needs_params=True,
    ),
    Row(
        "dog-learning_rate",
        lambda: gc.dog(init_step=("learning_rate", 0.1)),
        lambda: free.Descent(free.DoG(init_learning_rate=0.1)),
        lambda: optax.contrib.dog(init_step=("learning_rate", 0.1)),
        needs_params=True,
    ),
    Row(
        "dowg",
        lambda: gc.dowg(0.9, 0.1, 1e-3, 0.1),
        lambda: free.Descent(free.DoWG(0.1, 1e-3), 0.9, 0.1),
        lambda: optax.contrib.dowg(0.9, 0.1, 1e-3, 0.1),
        needs_params=True,
    ),
    Row(
        "cocob",
        lambda: gc.cocob(0.9, weight_decay=0.1),
        lambda: bets_and_models.Cocob(0.9, weight_decay=0.1),
        lambda: optax.contrib.cocob(0.9, weight_decay=0.1),
        needs_params=True,
        # it measures by how much parameters of order 1 have moved, here by a hundredth
        tolerance=20.0,
    ),
    Row(
        "momo",
        lambda: gc.momo(),
        lambda: bets_and_models.Momo(),
        lambda: optax.contrib.momo(),
        needs_params=True,
        extra=LOSS,
        tolerance=MODEL,
    ),
    Row(
        "momo-adapt",
        lambda: gc.momo(0.5, 0.8, -1.0, 0.1, adapt_lower_bound=True),
        lambda: bets_and_models.Momo(0.5, 0.8, -1.0, 0.1, adapt_lower_bound=True),
        # No optax: its weight decay divides the parameters alone, and not the step beside them as
        # the paper does. Without a decay they agree, see tests/test_learning_rate_free.py; the same
        # below.
        needs_params=True,
        extra=LOSS,
        tolerance=MODEL,
    ),
    Row(
        "momo_adam",
        lambda: gc.momo_adam(weight_decay=1.0),
        lambda: bets_and_models.MomoAdam(1e-2, weight_decay=1.0),
        needs_params=True,
        extra=LOSS,
        tolerance=MODEL,
    ),
    Row(
        # a large eps: rounding says whether the model of a tiny gradient is below the bound
        "momo_adam-adapt",
        lambda: gc.momo_adam(0.5, 0.8, 0.95, 0.1, -1.0, 0.1, adapt_lower_bound=True),
        lambda: bets_and_models.MomoAdam(
            0.5,
            lower_bound=-1.0,
            weight_decay=0.1,
            adapt_lower_bound=True,
            b1=0.8,
            b2=0.95,
            eps=0.1,
        ),
        needs_params=True,
        extra=LOSS,
        tolerance=MODEL,
    ),
]
