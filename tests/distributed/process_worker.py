"""One of several processes that train together: ``python process_worker.py ADDRESS COUNT NUMBER
MODE``.

``test_processes.py`` starts it. It prints a line for each step, and in mode ``killed`` the last
process kills itself after two of them.
"""

import os
import signal
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

import gradchain as gc

HEARTBEAT = 6  # seconds


def train(mesh, steps):
    """Numbers that say where the parameters are after each step."""
    tx = gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(0.1))
    start = {"w": np.arange(48, dtype=np.float32).reshape(8, 6) / 48, "b": np.ones(3, np.float32)}
    place = lambda x, spec: jax.device_put(x, NamedSharding(mesh, spec))
    specs = gc.distributed.fsdp_specs(start, mesh)
    params = jax.tree.map(place, start, specs)
    state = gc.distributed.init_sharded(tx, params, specs, mesh)

    @jax.jit
    def step(params, state, x):
        loss = lambda p: jnp.mean((x @ p["w"]) ** 2) + jnp.sum(p["b"] ** 2)
        params, state = tx.step(jax.grad(loss)(params), state, params)
        return params, state, jnp.sum(params["w"] ** 2) + jnp.sum(params["b"])

    for i in range(steps):
        whole = np.cos(np.arange(64, dtype=np.float32) + i).reshape(8, 8)
        mine = np.split(whole, jax.process_count())[jax.process_index()]
        x = jax.make_array_from_process_local_data(NamedSharding(mesh, P("data")), mine)
        params, state, found = step(params, state, x)
        yield float(found)


WIRES = {
    "int8": "int8",
    "sign": gc.distributed.sign(),
    "vote": gc.distributed.vote(),
    "top_k": gc.distributed.top_k(100),
    "power_sgd": gc.distributed.power_sgd(1),
}


def ratios(mesh):
    """By how much each wire sends less than a sum in float32, and how far its result is off.

    Each process has a gradient of its own, drawn by chance; they are exchanged for real.
    """
    draw = lambda seed: np.random.default_rng(seed).normal(size=(256, 512)).astype(np.float32)
    lie = NamedSharding(mesh, P("data"))
    own = jax.make_array_from_process_local_data(lie, draw(jax.process_index())[None])
    params = jnp.zeros((256, 512))
    mean = np.mean([draw(i) for i in range(jax.process_count())], axis=0)
    plain = 2 * 4 * mean.size * (jax.process_count() - 1) / jax.process_count()
    for name, wire in WIRES.items():
        tx = gc.distributed.exchange(wire)
        state = tx.init(params)
        run = jax.shard_map(
            lambda g, tx=tx, state=state: tx.update(g[0], state, params)[0],
            mesh=mesh,
            in_specs=P("data"),
            out_specs=P(),
        )
        step = jax.jit(run).lower(own).compile()
        sent = gc.distributed.wire_bytes(gc.distributed.collectives(step))
        made = np.asarray(step(own).addressable_data(0))
        cosine = np.sum(made * mean) / np.linalg.norm(made) / np.linalg.norm(mean)
        yield name, plain / sent, cosine


def main(address, count, number, mode):
    jax.config.update("jax_num_cpu_devices", 1)
    jax.distributed.initialize(
        address,
        int(count),
        int(number),
        initialization_timeout=60,
        heartbeat_timeout_seconds=HEARTBEAT,
    )
    mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))
    for i, found in enumerate(train(mesh, steps=4 if mode == "together" else 100_000)):
        print(f"step {i}: {found:.6f}", flush=True)
        if mode == "killed" and i == 1 and int(number) == int(count) - 1:
            os.kill(os.getpid(), signal.SIGKILL)
    for name, ratio, cosine in ratios(mesh):
        print(f"{name}: {ratio:.2f} times fewer bytes, cosine {cosine:.3f}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
