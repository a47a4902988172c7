"""A small run that writes checkpoints and goes on from the last one: ``python crash_training.py
FOLDER``.

``tests/integration/test_kill.py`` kills it, again and again. It prints what it does, and at the end
the bytes of the parameters.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

import gradchain as gc

STEPS, EVERY = 90, 2


def loss(params, key):
    x = jax.random.normal(key, (16, 4))
    hidden = jnp.tanh(x @ params["first"]["kernel"] + params["first"]["bias"])
    return jnp.mean((hidden @ params["last"]["kernel"] - jnp.sin(x[:, :1])) ** 2)


def main(folder: Path) -> None:
    rate = gc.warmup_cosine_decay_schedule(0.0, 0.05, warmup_steps=5, decay_steps=20)
    tx = gc.accumulate(gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(rate)), every=3)
    rng = np.random.default_rng(0)
    draw = lambda *shape: jnp.asarray(rng.standard_normal(shape), jnp.float32)
    params = {"first": {"kernel": draw(4, 8), "bias": draw(8)}, "last": {"kernel": draw(8, 1)}}
    run = {"params": params, "state": tx.init(params)}

    @jax.jit
    def step(i, run):
        grads = jax.grad(loss)(run["params"], jax.random.fold_in(jax.random.key(0), i))
        params, state = tx.step(grads, run["state"], run["params"])
        return {"params": params, "state": state}

    options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=True)
    with ocp.CheckpointManager(folder, options=options) as manager:
        start = manager.latest_step() or 0
        if start:
            run = manager.restore(start, args=ocp.args.StandardRestore())  # without a template
        print("from", start, flush=True)
        for i in range(start, STEPS):
            run = step(i, run)
            if (i + 1) % EVERY == 0:
                manager.save(i + 1, args=ocp.args.StandardSave(run))
            print("did", i + 1, flush=True)
        manager.wait_until_finished()
    leaves = jax.tree.leaves(run["params"])
    print("done", b"".join(np.asarray(x).tobytes() for x in leaves).hex(), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
