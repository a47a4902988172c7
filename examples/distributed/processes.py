"""
Several processes: train, save, go on with another number
=========================================================

Start two processes that train one network together, as on two machines, and let them save a
checkpoint. Then three processes go on from it: parameters and state are split over three devices
now. One process alone, from the start to the end, comes to the same parameters.
"""

import json
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec as P
from sklearn.datasets import load_digits

import gradchain as gc

plt.style.use("gradchain.plot.gallery")
STEPS = 20 if "--small" in sys.argv else 60

# %% Each process runs this. It finds the others at the address of the first, and from then on the
# devices of all are one mesh. A process that dies takes the others with it, within the ten seconds
# of ``heartbeat_timeout_seconds``. Who has started them starts them again, from the checkpoint.


def worker(process: int, count: int, address: str, folder: Path, last: int) -> None:
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", 1)  # for each process
    jax.distributed.initialize(
        address, count, process, initialization_timeout=60, heartbeat_timeout_seconds=10
    )
    mesh = jax.make_mesh((count,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    draw = lambda seed, *shape: 0.1 * jax.random.normal(jax.random.key(seed), shape)
    start = {"inner": draw(0, 64, 96), "outer": draw(1, 96, 10)}
    specs = gc.distributed.fsdp_specs(start, mesh)
    put = lambda w, spec: jax.device_put(w, NamedSharding(mesh, spec))
    params = jax.tree.map(put, start, specs)
    tx = gc.chain(gc.clip_by_global_norm(1.0), gc.adamw(3e-3))
    state = gc.distributed.init_sharded(tx, params, specs, mesh)
    with gc.training.Checkpoints(folder) as checkpoints:
        # What was saved goes where these arrays lie: over the devices of today.
        first, params, state = checkpoints.resume(params, state)
        params, state, losses = train(tx, params, state, mesh, range(first, last))
        checkpoints.save(last, params, state)
    (folder / f"losses_{process}.json").write_text(json.dumps(losses))


def train(tx, params: dict, state: dict, mesh: jax.sharding.Mesh, steps: range) -> tuple:
    def loss_fn(params: dict, x: jax.Array, y: jax.Array) -> jax.Array:
        logits = jnp.tanh(x @ params["inner"]) @ params["outer"]
        return gc.losses.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    @jax.jit
    def step(params: dict, state: dict, x: jax.Array, y: jax.Array) -> tuple:
        loss, grads = jax.value_and_grad(loss_fn)(params, x, y)
        return *tx.step(grads, state, params), loss

    images, labels = load_digits(return_X_y=True)
    split, losses = NamedSharding(mesh, P("data")), []
    for i in steps:
        rows = np.random.default_rng(i).choice(len(labels), 240, replace=False)
        mine = np.split(rows, jax.process_count())[jax.process_index()]  # a part of the batch
        parts = (images[mine].astype(np.float32) / 16, labels[mine].astype(np.int32))
        x, y = (jax.make_array_from_process_local_data(split, part) for part in parts)
        params, state, loss = step(params, state, x, y)
        losses.append(float(loss))
    return params, state, losses


# %% The first process lends its address to all. Slurm, or the TPUs of a pod, tell it by themselves:
# there ``jax.distributed.initialize()`` needs no argument.


def run_together(count: int, folder: Path, last: int) -> list[float]:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    words = [sys.executable, *sys.argv, "worker", str(count), address, str(folder), str(last)]
    processes = [subprocess.Popen([*words, str(i)]) for i in range(count)]
    assert not sum(process.wait(timeout=200) ** 2 for process in processes), "one has failed"
    return json.loads((folder / "losses_0.json").read_text())


if "worker" in sys.argv:
    count, address, name, last, process = sys.argv[-5:]
    worker(int(process), int(count), address, Path(name), int(last))
    sys.exit()

with tempfile.TemporaryDirectory() as name:
    together, alone = Path(name, "together"), Path(name, "alone")
    losses = {
        "two processes": run_together(2, together, STEPS),
        "three processes": run_together(3, together, 2 * STEPS),
        "one process": run_together(1, alone, 2 * STEPS),
    }
    ends = [gc.training.Checkpoints(name).read()["params"] for name in (together, alone)]

# %% Sums are made in another order by another number of devices: the parameters agree to rounding.

apart = max(np.abs(ends[0][name] - ends[1][name]).max() for name in ends[0])
print(f"largest difference: {apart:.1e}")
plt.figure(figsize=(8, 4.4))
plt.plot(losses["one process"], color="0.8", linewidth=5, label="one process")
for i, (first, name) in enumerate([(0, "two processes"), (STEPS, "three processes")]):
    print(f"{name}: loss {losses[name][0]:.3f} to {losses[name][-1]:.3f}")
    plt.plot(range(first, first + STEPS), losses[name], color=f"C{i}", label=name)
plt.axvline(STEPS, color="0.6", linestyle=":", label="checkpoint, and another mesh")
plt.legend(frameon=False)
plt.gca().set(xlabel="step", ylabel="loss", title="Two processes begin, three go on")
Path("out").mkdir(exist_ok=True)
plt.savefig("out/processes.png")
print("picture: out/processes.png")
