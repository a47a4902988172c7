"""A first gradient of zero, as of a layer behind one of zeros, costs no method its start."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradchain as gc
from gradchain.core.factory import FACTORIES

NEVER = 1000  # steps from one time to the next
OPTIONS = {
    "in_eigenbasis": {"inner": gc.scale_by_adam()},
    "low_rank": {"inner": gc.scale_by_adam()},
    "scale_by_alice": {"leading": 1},
}
NEEDS_LOSS = {"scale_by_adahessian", "scale_by_sophia"}
EVERY = ("refresh", "update_every")
METHODS = sorted(
    name
    for name, factory in FACTORIES.items()
    if any(k in factory.kinds for k in EVERY)
    and (name in OPTIONS or name.startswith("scale_by_"))
    and name not in NEEDS_LOSS
)
CASES = [
    *((name, {}) for name in METHODS),
    *(("scale_by_shampoo", {"roots": roots}) for roots in ("newton", "qr", "denman_beavers")),
    ("scale_by_shampoo", {"block_size": 2}),
    ("low_rank", {"residual": True}),
]


def make(name: str, **options):
    """A method whose costly factors are found once."""
    kinds, never = FACTORIES[name].kinds, {}
    if "refresh" in kinds:
        never["refresh"] = gc.refresh.every(NEVER)
    elif "update_every" in kinds:
        never["update_every"] = NEVER
    rank = {"rank": 2} if "rank" in kinds else {}
    return getattr(gc, name)(**(rank | never | OPTIONS.get(name, {}) | options))


@pytest.mark.rotated(2)
@pytest.mark.parametrize("beside", [True, False], ids=["beside", "alone"])
@pytest.mark.parametrize(
    ("name", "options"), CASES, ids=lambda x: x if isinstance(x, str) else ""
)
def test_a_first_gradient_of_zero_is_waited_out(name, options, beside):
    rng = np.random.default_rng(0)
    some = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)
    p = {"later": some(4, 6), "never": some(6, 4)} | ({"at_once": some(4, 6)} if beside else {})
    tx = make(name, **options)
    state, update = tx.init(p), jax.jit(tx.update)
    for step in range(4):
        g = {k: some(*x.shape) for k, x in p.items()} | {"never": jnp.zeros((6, 4))}
        g = g if step > 1 else g | {"later": jnp.zeros((4, 6))}
        u, state = update(g, state, p)
    assert float(jnp.max(jnp.abs(u["later"]))) > 0.01
    assert all(bool(jnp.all(jnp.isfinite(x))) for x in jax.tree.leaves((u, state)))


@pytest.mark.parametrize("name", ["scale_by_shampoo", "low_rank"])
def test_others_keep_what_they_have(name):
    """The first gradient of one matrix makes no factor of another one anew."""
    slots = {"scale_by_shampoo": "row_root", "low_rank": "basis"}
    p = {"first": jnp.eye(4, 6), "later": jnp.eye(4, 6)}
    tx = make(name)
    g = {"first": jnp.eye(4, 6).at[0, 0].set(2.0), "later": jnp.zeros((4, 6))}
    _, before = tx.update(g, tx.init(p), p)
    _, after = tx.update(jax.tree.map(lambda x: x[::-1] + 1.0, g), before, p)
    old, new = (state[name][slots[name]] for state in (before, after))
    np.testing.assert_array_equal(old["first"], new["first"])
    assert not np.any(old["later"]) and np.any(new["later"])
