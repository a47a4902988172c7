"""Which leaves decay, in the recipes above all whose weight decay is a part of their rule."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from gradchain.core.factory import FACTORIES
from tests.laws import samples

is_first_order_recipe = lambda f: (
    f.composite
    and f.function.__module__.startswith("gradchain.optimizers")
    and ".second_order" not in f.function.__module__
)
RECIPES = {k: f for k, f in FACTORIES.items() if is_first_order_recipe(f)}
INSIDE = {
    "adamp": lambda **k: gc.adamp(0.1, **k),
    "dadapt_adamw": lambda **k: gc.dadapt_adamw(estim_lr0=0.1, **k),
    "momo": lambda **k: gc.momo(0.1, **k),
    "momo_adam": lambda **k: gc.momo_adam(0.1, **k),
    "novograd": lambda **k: gc.novograd(0.1, **k),
    "prodigy": lambda **k: gc.prodigy(estim_lr0=0.1, **k),
    "sgdp": lambda **k: gc.sgdp(0.1, **k),
    "stable_adamw": lambda **k: gc.stable_adamw(0.1, **k),
}


def test_every_recipe_with_a_weight_decay_says_where():
    has = lambda factory, *names: any(name in factory.signature.parameters for name in names)
    decaying = {k: f for k, f in RECIPES.items() if has(f, "weight_decay", "weight_decay_rate")}
    assert INSIDE.keys() <= decaying.keys()
    assert [k for k, f in decaying.items() if not has(f, "where")] == []


@pytest.mark.parametrize("name", INSIDE)
def test_only_the_leaves_that_are_chosen_decay(name):
    """At the first step: all, none and some."""
    p = {"bias": jnp.ones(3), "kernel": jnp.ones((3, 2))}
    g = jax.tree.map(lambda x: jnp.sin(jnp.arange(1.0, 1.0 + x.size)).reshape(x.shape), p)
    extra = {"value": 100.0} if "momo" in name else {}  # so high that no step is cut

    def first(**arguments):
        tx = INSIDE[name](**arguments)
        return tx.update(g, tx.init(p), p, **extra)[0]

    everywhere, nowhere = first(weight_decay=0.5), first(weight_decay=0.0)
    some = first(weight_decay=0.5, where="kernel")
    samples.assert_close(first(weight_decay=0.5, where="*"), everywhere, 1e-6)
    samples.assert_close(some, {"bias": nowhere["bias"], "kernel": everywhere["kernel"]}, 1e-6)
    assert not np.allclose(everywhere["bias"], nowhere["bias"], rtol=1e-3)


def test_the_model_of_momo_knows_which_leaves_decay():
    """Where the model reaches its bound it says so of the parameters after the step."""
    p, g = (
        {"a": jnp.array([2.0]), "b": jnp.array([3.0])},
        {"a": jnp.array([1.0]), "b": jnp.array([0.5])},
    )
    for where in (None, "a", lambda path, x: False):
        tx = gc.momo(2.0, weight_decay=0.125, where=where)  # a rate that does not cut the step
        u, _ = tx.update(g, tx.init(p), p, value=1.5)
        model = 1.5 + sum(float((g[k] * u[k])[0]) for k in p)
        np.testing.assert_allclose(model, 0.0, atol=1e-6)
