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


if __name__ == "__main__":
    main(*sys.argv[1:])
