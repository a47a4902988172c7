"""What is measured. Each measure makes the contestants that take turns on one optimizer and one
case.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from gc import collect
from typing import Any

import jax
import jax.numpy as jnp

import gradchain as gc
from benchmarks.cases import COUNTED, TRANSFORMER, Case
from benchmarks.frame import Contestant, Settings, per_call
from benchmarks.optimizers import ACCUMULATE, HAS_TORCH, Optimizer, step_function, torch_step

RATE = 1e-3
#: How first and second moments are kept in few bytes.
STORED = (
    ("bfloat16", "bfloat16"),
    ("int8_dynamic", "uint8_log"),
    ("int8_companded", "uint8_root"),
    ("int8", "int8_log"),
)
COMPILE_EVENT = "/jax/core/compile/backend_compile_duration"


@dataclasses.dataclass(frozen=True)
class Measure:
    """A kind of measurement.

    Attributes:
        title: what the numbers of its table are.
        unit: ``ms`` or ``count``.
        contestants: makes those who take part.
        runs: how many turns each takes.
        cases: trees of its own, where it does not use everybody's.
    """

    title: str
    unit: str
    contestants: Callable[[Optimizer, Case, Settings], list[Contestant]]
    runs: Callable[[Settings], int] = lambda settings: settings.runs
    cases: tuple[Case, ...] = ()


def _libraries(optimizer: Optimizer, settings: Settings) -> dict[str, Callable[[float], Any]]:
    return {k: make for k, make in optimizer.libraries().items() if k in settings.libraries}


def _rates() -> Iterator[float]:
    """Learning rates, none twice."""
    return (RATE / (1 + 1e-6 * i) for i in itertools.count())


class _Jitted:
    """A training loop's view of a compiled step, which donates nothing."""

    def __init__(self, library: str, tx: Any, grads: Any, params: Any):
        self.step = jax.jit(step_function(library, tx))
        self.grads, self.params, self.state = grads, params, tx.init(params)

    def __call__(self) -> None:
        self.params, self.state = jax.block_until_ready(
            self.step(self.grads, self.state, self.params)
        )


class _Eager(_Jitted):
    """The same without ``jit``, with another learning rate at every step."""

    def __init__(
        self,
        library: str,
        make: Callable[[float], Any],
        grads: Any,
        params: Any,
        in_one: bool = False,
    ):
        super().__init__(library, make(RATE), grads, params)
        rates = _rates()

        def step(grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
            tx = make(next(rates))
            return (
                tx.step(grads, state, params)
                if in_one
                else step_function(library, tx)(grads, state, params)
            )

        self.step = step


# -------------------------------------------------------------------------------------------- times


def step_time(optimizer: Optimizer, case: Case, settings: Settings) -> list[Contestant]:
    """One compiled step, update and apply. Torch's steps write in place; JAX's make new arrays,
    nothing is donated.
    """
    grads, params = case.arrays(0), case.arrays(1)
    arrays = jax.tree.map(jnp.asarray, (grads, params))
    calls: dict[str, Callable] = {
        name: _Jitted(name, make(RATE), *arrays)
        for name, make in _libraries(optimizer, settings).items()
    }
    # On an accelerator torch would need another device, other arrays and its own way to wait: only
    # the CPU is compared.
    if (
        "torch" in settings.libraries
        and HAS_TORCH
        and optimizer.torch
        and jax.default_backend() == "cpu"
    ):
        for mode in optimizer.torch_modes:
            calls[f"torch {mode}"] = torch_step(optimizer, mode, RATE, grads, params)
    return [
        Contestant(name, per_call(call, settings.seconds), "optax")
        for name, call in calls.items()
    ]


def compile_time(optimizer: Optimizer, case: Case, settings: Settings) -> list[Contestant]:
    """Tracing, lowering and compiling the step of ``step_time``, from cold caches.

    A function is traced again whenever it is a new object, so each turn makes a new transformation
    and a new closure. JAX also keeps the traces of inner functions (``jnp.where`` is one) and
    compiled programs by their text: ``clear_caches`` empties both, so these too are paid for once
    in each turn, by everybody. What stays warm is Python and XLA themselves. The compilation cache
    on disk is off (see ``benchmarks.__main__``).

    The last column is the processor time of the sum, of all threads: the one to trust on a busy
    machine.
    """
    structs = case.structs()

    def contestant(name: str, make: Callable[[float], Any]) -> Contestant:
        state = jax.eval_shape(make(RATE).init, structs)

        def turn() -> dict[str, float]:
            jax.clear_caches()
            collect()
            step = jax.jit(step_function(name, make(RATE)))
            cpu, times = time.process_time(), [time.perf_counter()]
            traced = step.trace(structs, state, structs)
            times.append(time.perf_counter())
            lowered = traced.lower()
            times.append(time.perf_counter())
            lowered.compile()
            times.append(time.perf_counter())
            cpu = 1e3 * (time.process_time() - cpu)
            trace, lower, build = (1e3 * (b - a) for a, b in itertools.pairwise(times))
            return {
                "trace": trace,
                "lower": lower,
                "compile": build,
                "sum": trace + lower + build,
                "CPU": cpu,
            }

        return Contestant(name, turn, "optax")

    return [contestant(name, make) for name, make in _libraries(optimizer, settings).items()]


def eager_time(optimizer: Optimizer, case: Case, settings: Settings) -> list[Contestant]:
    """One step outside ``jit``, with a new learning rate each time, beside the compiled step of the
    same library.
    """
    arrays = jax.tree.map(jnp.asarray, (case.arrays(0), case.arrays(1)))
    turn = lambda call: per_call(call, settings.seconds)
    contestants = []
    for name, make in _libraries(optimizer, settings).items():
        jitted = f"{name} jitted"
        contestants += [
            Contestant(jitted, turn(_Jitted(name, make(RATE), *arrays)), jitted),
            Contestant(
                f"{name} update, apply_updates", turn(_Eager(name, make, *arrays)), jitted
            ),
        ]
        if name == "gradchain":
            contestants.append(
                Contestant(
                    f"{name} tx.step", turn(_Eager(name, make, *arrays, in_one=True)), jitted
                )
            )
    return contestants


def accumulate_time(
    optimizer: Optimizer, case: Case, settings: Settings, every: int = 8
) -> list[Contestant]:
    """A cycle of micro-steps, of which the last makes a step: the mean, and the two kinds.

    With parameters and state donated, as one trains, and without. Beside them the optimizer that
    makes a step each time.
    """
    grads, params = jax.tree.map(jnp.asarray, (case.arrays(0), case.arrays(1)))

    def contestant(name: str, library: str, tx: Any, donate: bool) -> Contestant:
        update_and_apply = step_function(library, tx)
        step = jax.jit(
            lambda p, s, g: update_and_apply(g, s, p), donate_argnums=(0, 1) if donate else ()
        )
        kept = jax.tree.map(lambda x: jnp.array(x, copy=True), (params, tx.init(params)))

        def turn() -> dict[str, float]:
            nonlocal kept
            times = []
            for _ in range(every):
                start = time.perf_counter()
                kept = jax.block_until_ready(step(*kept, grads))
                times.append(1e3 * (time.perf_counter() - start))
            return {
                "mean": sum(times) / every,
                "between": sum(times[:-1]) / (every - 1),
                "at a step": times[-1],
            }

        return Contestant(name, turn, "optax" if donate else "optax, not donated")

    contestants = []
    for name, make in _libraries(optimizer, settings).items():
        tx = make(RATE)
        contestants += [
            contestant(name, name, ACCUMULATE[name](tx, every), donate=True),
            contestant(f"{name}, not donated", name, ACCUMULATE[name](tx, every), donate=False),
            contestant(f"{name}, a step each time", name, tx, donate=True),
        ]
    return contestants


def watch_time(optimizer: Optimizer, case: Case, settings: Settings) -> list[Contestant]:
    """One compiled step of the optimizer alone and under ``watch``: where nothing is measured,
    where all is, the mean.

    Nothing is donated, and each call is given the same arrays: the count in the state says whether
    a step is measured.
    """
    grads, params = jax.tree.map(jnp.asarray, (case.arrays(0), case.arrays(1)))
    count = lambda state, n: (
        state | {"watch": state["watch"] | {"count": jnp.array(n, jnp.int32)}}
    )

    def contestant(name: str, step: Callable, states: tuple[Any, Any], every: int) -> Contestant:
        wait = lambda state: lambda: jax.block_until_ready(step(grads, state, params))
        between, measured = (per_call(wait(state), settings.seconds) for state in states)

        def turn() -> dict[str, float]:
            off = between()["step"]
            on = off if states[0] is states[1] else measured()["step"]
            return {"between": off, "measured": on, "mean": (on + (every - 1) * off) / every}

        return Contestant(name, turn, "gradchain")

    contestants = []
    for name, make in _libraries(optimizer, settings).items():
        state = make(RATE).init(params)
        contestants.append(
            contestant(name, jax.jit(step_function(name, make(RATE))), (state, state), 1)
        )
    for every in (1, 10, 100):
        tx = gc.watch(optimizer.gradchain(RATE), every=every)
        state, step = tx.init(params), jax.jit(step_function("gradchain", tx))
        measured = count(state, every - 1)
        states = (measured, measured) if every == 1 else (count(state, 1), measured)
        contestants.append(contestant(f"gradchain watch(every={every})", step, states, every))
    return contestants


def storage_time(optimizer: Optimizer, case: Case, settings: Settings) -> list[Contestant]:
    """One compiled step with moments in fewer bytes, beside the usual ones."""
    arrays = jax.tree.map(jnp.asarray, (case.arrays(0), case.arrays(1)))
    libraries = _libraries(optimizer, settings).items()
    calls = {name: _Jitted(name, make(RATE), *arrays) for name, make in libraries}
    for mu, nu in STORED:
        tx = gc.storage(optimizer.gradchain(RATE), mu=mu, nu=nu)
        calls[f"gradchain, {mu} and {nu}"] = _Jitted("gradchain", tx, *arrays)
    turn = lambda call: per_call(call, settings.seconds)
    return [Contestant(name, turn(call), "optax") for name, call in calls.items()]


# ------------------------------------------------------------------------------------------- counts


@contextmanager
def compilations() -> Iterator[list[str]]:
    """A list that fills with the names of the programs that XLA compiles meanwhile."""
    names: list[str] = []

    def listen(event: str, duration_secs: float, **kwargs: str | int) -> None:
        if event == COMPILE_EVENT:
            names.append(str(kwargs.get("fun_name")))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield names
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def loop_compilations(eager: Callable[[], Any], steps: int = 100) -> int:
    """How many programs are compiled, from cold caches, by a loop of ``eager`` steps."""
    jax.clear_caches()
    with compilations() as names:
        for _ in range(steps):
            eager()
    return len(names)


def count_traces(
    library: str, transformations: list[Any], grads: Any, params: Any, **jit_options: Any
) -> int:
    """How often a jitted step that takes each of ``transformations`` as its first argument is
    traced.
    """
    traces = 0

    def step(tx: Any, grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        nonlocal traces
        traces += 1
        return step_function(library, tx)(grads, state, params)

    jitted = jax.jit(step, **jit_options)
    for tx in transformations:
        jitted(tx, grads, tx.init(params), params)
    return traces


def counts(optimizer: Optimizer, case: Case, settings: Settings) -> list[Contestant]:
    """Traces of a step that is given equal or similar transformations, and programs compiled by an
    eager loop.
    """
    arrays = jax.tree.map(jnp.asarray, (case.arrays(0), case.arrays(1)))

    def contestant(name: str, make: Callable[[float], Any]) -> Contestant:
        def turn() -> dict[str, float]:
            equal, rates = [make(RATE) for _ in range(3)], itertools.islice(_rates(), 10)
            found = {
                "3 equal ones, static: traces": count_traces(
                    name, equal, *arrays, static_argnums=0
                ),
                "100 eager steps: programs": loop_compilations(_Eager(name, make, *arrays)),
            }
            if name == "gradchain":
                as_arguments = count_traces(name, [make(rate) for rate in rates], *arrays)
                found["10 rates, as an argument: traces"] = as_arguments
                found["100 tx.step: programs"] = loop_compilations(
                    _Eager(name, make, *arrays, in_one=True)
                )
            return {k: float(v) for k, v in found.items()}

        return Contestant(name, turn, "optax")

    return [contestant(name, make) for name, make in _libraries(optimizer, settings).items()]


MEASURES = {
    "step": Measure("one jitted step, update and apply: milliseconds", "ms", step_time),
    "compile": Measure(
        "from Python to a compiled step: milliseconds",
        "ms",
        compile_time,
        runs=lambda settings: settings.slow_runs,
    ),
    "eager": Measure(
        "one step outside jit, a new learning rate each time: milliseconds", "ms", eager_time
    ),
    "accumulate": Measure(
        "a micro-step of eight that make a step, update and apply: milliseconds",
        "ms",
        accumulate_time,
        cases=(TRANSFORMER,),
    ),
    "watch": Measure(
        "one jitted step under watch: milliseconds between measurements, at one, and the mean",
        "ms",
        watch_time,
    ),
    "storage": Measure(
        "one jitted step with moments in few bytes, update and apply: milliseconds",
        "ms",
        storage_time,
        cases=(TRANSFORMER,),
    ),
    "counts": Measure(
        "traces and compilations that changing or equal transformations cost",
        "count",
        counts,
        runs=lambda settings: 1,
        cases=(COUNTED,),
    ),
}
