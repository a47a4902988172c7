"""Rows of the oldest recipes: SGD, Adagrad, RMSprop, Adam, AdamW."""

import jax
import optax

import gradchain as gc
from tests.references import recipes, transforms as twins
from tests.row import Row, is_matrix, matrices, warm_up, warm_up_optax, warm_up_twin

ROWS = [
    Row("sgd", lambda: gc.sgd(0.1), lambda: recipes.Sgd(0.1), lambda: optax.sgd(0.1)),
    Row(
        "sgd-momentum",
        lambda: gc.sgd(0.1, 0.9),
        lambda: recipes.Sgd(0.1, 0.9),
        lambda: optax.sgd(0.1, 0.9),
    ),
    Row(
        "sgd-nesterov",
        lambda: gc.sgd(0.1, 0.9, nesterov=True),
        lambda: recipes.Sgd(0.1, 0.9, nesterov=True),
        lambda: optax.sgd(0.1, 0.9, nesterov=True),
    ),
    Row(
        "adagrad", lambda: gc.adagrad(0.1), lambda: recipes.Adagrad(0.1), lambda: optax.adagrad(0.1)
    ),
    Row(
        "rmsprop",
        lambda: gc.rmsprop(0.01),
        lambda: recipes.RmsProp(0.01),
        lambda: optax.rmsprop(0.01),
    ),
    Row(
        "rmsprop-momentum",
        lambda: gc.rmsprop(0.01, 0.8, 1e-6, 0.1, momentum=0.9),
        lambda: recipes.RmsProp(0.01, 0.8, 1e-6, 0.1, momentum=0.9),
        lambda: optax.rmsprop(0.01, 0.8, 1e-6, 0.1, momentum=0.9),
    ),
    Row(
        "rmsprop-options",
        lambda: gc.rmsprop(
            0.01, 0.9, eps_in_sqrt=False, momentum=0.8, nesterov=True, bias_correction=True
        ),
        lambda: recipes.RmsProp(
            0.01, 0.9, eps_in_sqrt=False, momentum=0.8, nesterov=True, bias_correction=True
        ),
        lambda: optax.rmsprop(
            0.01, 0.9, eps_in_sqrt=False, momentum=0.8, nesterov=True, bias_correction=True
        ),
    ),
    Row("adam", lambda: gc.adam(0.01), lambda: recipes.AdamW(0.01), lambda: optax.adam(0.01)),
    Row(
        "adam-eps_root",
        lambda: gc.adam(0.01, 0.8, 0.99, 1e-4, eps_root=1e-3),
        lambda: recipes.AdamW(0.01, 0.8, 0.99, 1e-4, eps_root=1e-3),
        lambda: optax.adam(0.01, 0.8, 0.99, 1e-4, eps_root=1e-3),
    ),
    Row(
        "adamw",
        lambda: gc.adamw(0.01, weight_decay=0.1),
        lambda: recipes.AdamW(0.01, weight_decay=0.1),
        lambda: optax.adamw(0.01, weight_decay=0.1),
        needs_params=True,
    ),
    Row(
        "adamw-where",
        lambda: gc.adamw(warm_up(), 0.8, 0.99, 1e-4, 0.1, where=matrices, eps_root=1e-6),
        lambda: twins.Scheduled(
            recipes.AdamW(0.1, 0.8, 0.99, 1e-4, 0.1, chosen=is_matrix, eps_root=1e-6),
            learning_rate=warm_up_twin,
        ),
        lambda: optax.adamw(
            warm_up_optax(),
            0.8,
            0.99,
            1e-4,
            1e-6,
            weight_decay=0.1,
            mask=lambda tree: jax.tree.map(lambda x: x.ndim >= 2, tree),
        ),
        needs_params=True,
    ),
]
