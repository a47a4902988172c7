"""Mistakes that type checkers see: in each line that is marked, and in no other.

A mark may name the one checker that sees it: optax has no ``py.typed``, so to mypy anything may
be a class of its.
"""

import jax
import jax.numpy as jnp

import gradchain as gc
import gradchain.as_optax as dialect

params = {"kernel": jnp.ones((2, 2))}
tx = gc.adamw(1e-3)

gc.adamw("1e-3")  # wrong
gc.adamw(None)  # wrong
gc.adamw([1e-3])  # wrong
gc.adamw(lambda: 1e-3)  # wrong
gc.adamw(lambda step, other: 1e-3)  # wrong
gc.adamw(lambda step: "1e-3")  # wrong
gc.adamw(1e-3, betas=(0.9, 0.999))  # wrong
gc.adamw()  # wrong
gc.adamw(1e-3, b1="0.9")  # wrong
gc.adamw(tx)  # wrong: pyright
gc.adamw(jnp.sin)
gc.linear_schedule("0.0", 1.0, 10)  # wrong
gc.linear_schedule(0.0, 1.0)  # wrong
gc.ndim_at_least("2")  # wrong
gc.cosine_decay_schedule(1.0, 10).clip("0.1")  # wrong
gc.chain(gc.adamw)  # wrong
gc.chain(1e-3)  # wrong
gc.chain(gc.clip(1.0), gc.cosine_decay_schedule(1.0, 10))  # wrong
gc.accumulate(gc.adam, 4)  # wrong
gc.groups(["*bias", gc.sgd(0.1)])  # wrong
gc.masked("*kernel", gc.adam(1e-3))  # wrong
tx.updates(params, tx.init(params))  # wrong: pyright
tx.update(params)  # wrong
norm: str = gc.global_norm(params)  # wrong
jax.jit(tx)  # wrong: pyright
dialect.adamw("1e-3")  # wrong
dialect.adamw(1e-3, where="*kernel")  # wrong
dialect.adam(1e-3, nesterov=1e-3, amsgrad=True)  # wrong
