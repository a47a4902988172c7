"""Schedules of others, recorded as data: ``python -m tests.golden.schedules torch``.

So are those of ``pytorch_optimizer`` and ``keras`` (with ``KERAS_BACKEND=numpy``). Each needs the
package that it names, which the tests do not, and leaves the data of the others as they are.
"""

import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradchain as gc

STEPS = 50
FILE = Path(__file__).parent / "schedules.json"
RATE = 0.3  # of the optimizer that torch schedules


@dataclass(frozen=True)
class ScheduleCase:
    """A recorded schedule: who makes it, and ours that has to have the same values.

    ``call`` is evaluated with the names of the package's module of schedules; ``key`` says which
    number is recorded.
    """

    package: str
    call: str
    ours: Callable[[], Any]
    key: str = "lr"

    @property
    def tolerance(self) -> float:
        """Keras computes in float32."""
        return 1e-6 if self.package == "keras" else 1e-12

    @property
    def name(self) -> str:
        return f"{self.package}: {self.call} {self.key}"


def torch(call: str, ours: Callable[[], Any], key: str = "lr") -> ScheduleCase:
    return ScheduleCase("torch", call, ours, key)


def falling(t: Any) -> Any:
    return 0.95 - 0.002 * t


ONECYCLE = (
    "OneCycleLR(o, 0.8, total_steps=50, pct_start=0.23, div_factor=10, final_div_factor=100"
)
MOMENTA = "base_momentum=0.8, max_momentum=0.95"
CYCLIC = "CyclicLR(o, 0.1, 0.8, step_size_up=4, step_size_down=7"
CASES = [
    torch("LambdaLR(o, falling)", lambda: RATE * (gc.constant_schedule(1.0) * falling)),
    torch(
        "MultiplicativeLR(o, falling)",
        lambda: gc.schedules.multiplicative_schedule(RATE, falling, 50),
    ),
    torch("StepLR(o, 7, gamma=0.5)", lambda: gc.exponential_decay(RATE, 7, 0.5, staircase=True)),
    torch(
        "MultiStepLR(o, [5, 20], gamma=0.5)",
        lambda: gc.piecewise_constant_schedule(RATE, {5: 0.5, 20: 0.5}),
    ),
    torch(
        "ConstantLR(o, factor=0.25, total_iters=7)",
        lambda: gc.piecewise_constant_schedule(RATE / 4, {7: 4.0}),
    ),
    torch(
        "LinearLR(o, start_factor=0.25, end_factor=0.9, total_iters=12)",
        lambda: RATE * gc.linear_schedule(0.25, 0.9, 12),
    ),
    torch("ExponentialLR(o, 0.9)", lambda: gc.exponential_decay(RATE, 1, 0.9)),
    torch(
        "SequentialLR(o, [LinearLR(o, 0.1, total_iters=10), ExponentialLR(o, 0.9)], [10])",
        lambda: gc.linear_schedule(0.03, RATE, 10).until(10) | gc.exponential_decay(RATE, 1, 0.9),
    ),
    torch(
        "ChainedScheduler([LinearLR(o, 0.1, total_iters=10), ExponentialLR(o, 0.9)], o)",
        lambda: gc.linear_schedule(0.1, 1.0, 10) * gc.exponential_decay(RATE, 1, 0.9),
    ),
    torch("PolynomialLR(o, 20, power=2.0)", lambda: gc.polynomial_schedule(RATE, 0.0, 2.0, 20)),
    torch(
        "CosineAnnealingLR(o, 11, eta_min=0.01)",
        lambda: gc.schedules.cosine_annealing_schedule(RATE, 11, 0.01),
    ),
    torch(
        "CosineAnnealingWarmRestarts(o, 9, eta_min=0.01)",
        lambda: gc.schedules.cosine_restarts_schedule(RATE, 9, end_value=0.01),
    ),
    torch(
        "CosineAnnealingWarmRestarts(o, 7, 2, eta_min=0.01)",
        lambda: gc.schedules.cosine_restarts_schedule(RATE, 7, 2, end_value=0.01),
    ),
    torch(f"{CYCLIC}, {MOMENTA})", lambda: gc.schedules.cyclic_schedule(0.1, 0.8, 4, 7)),
    torch(
        f"{CYCLIC}, {MOMENTA}, mode='triangular2')",
        lambda: gc.schedules.cyclic_schedule(0.95, 0.8, 4, 7, "triangular2"),
        key="momentum",
    ),
    torch(
        f"{CYCLIC}, {MOMENTA}, mode='exp_range', gamma=0.97)",
        lambda: gc.schedules.cyclic_schedule(0.1, 0.8, 4, 7, "exp_range", 0.97),
    ),
    torch(
        f"{ONECYCLE})",
        lambda: gc.cosine_onecycle_schedule(50, 0.8, 0.23, 10.0, 100.0, inclusive=True),
    ),
    torch(
        f"{ONECYCLE}, three_phase=True)",
        lambda: gc.cosine_onecycle_schedule(50, 0.8, 0.23, 10.0, 100.0, 0.46, inclusive=True),
    ),
    torch(
        f"{ONECYCLE}, anneal_strategy='linear')",
        lambda: gc.linear_onecycle_schedule(50, 0.8, 0.23, None, 10.0, 100.0, inclusive=True),
    ),
    torch(
        f"{ONECYCLE}, anneal_strategy='linear', three_phase=True)",
        lambda: gc.linear_onecycle_schedule(50, 0.8, 0.23, 0.46, 10.0, 100.0, inclusive=True),
    ),
    torch(
        f"{ONECYCLE}, {MOMENTA})",
        lambda: gc.cosine_onecycle_schedule(50, 0.8, 0.23, 0.8 / 0.95, 1.0, inclusive=True),
        key="momentum",
    ),
    ScheduleCase(
        "pytorch_optimizer",
        "LinearScheduler(o, 50, 0.8, min_lr=0.1, init_lr=0.05, warmup_steps=8)",
        lambda: gc.linear_schedule(0.05, 0.8, 8).until(8) | gc.linear_schedule(0.8, 0.1, 42),
    ),
    ScheduleCase(
        "pytorch_optimizer",
        "CosineScheduler(o, 50, 0.8, min_lr=0.1, init_lr=0.05, warmup_steps=8)",
        lambda: gc.warmup_cosine_decay_schedule(0.05, 0.8, 8, 50, 0.1),
    ),
    ScheduleCase(
        "pytorch_optimizer",
        "CosineAnnealingWarmupRestarts(o, 11, 2, 0.8, 0.1, 4, 0.7)",
        lambda: gc.schedules.cosine_restarts_schedule(0.8, 11, 2, 0.7, 0.1, 4),
    ),
    ScheduleCase(  # theirs spends its first value when it is made
        "pytorch_optimizer",
        "REXScheduler(o, 40, 0.8, 0.1)",
        lambda: gc.schedules.rex_schedule(0.8, 40, 0.1).shift(-1),
    ),
    *(
        ScheduleCase(
            "pytorch_optimizer",
            f"get_wsd_schedule(o, 8, 20, 15, {least}, cooldown_type='{theirs}')",
            lambda shape=shape, end=RATE * least: gc.schedules.warmup_stable_decay_schedule(
                0.0, RATE, 8, 20, 15, end, shape
            ),
        )  # the end is that of theirs only where it is 0, but for the cosine
        for theirs, shape, least in (
            ("cosine", "cosine", 0.2),
            ("1-sqrt", "sqrt", 0.0),
            ("1-square", "square", 0.0),
            ("linear", "linear", 0.0),
        )
    ),
    ScheduleCase(
        "pytorch_optimizer",
        "get_chebyshev_perm_steps(64)",
        lambda: gc.schedules.chebyshev_schedule(1.0, 64),
    ),
    ScheduleCase(
        "keras",
        "CosineDecay(0.05, 30, alpha=0.1, warmup_target=0.8, warmup_steps=8)",
        lambda: gc.warmup_cosine_decay_schedule(0.05, 0.8, 8, 38, 0.08),
    ),
    ScheduleCase(
        "keras",
        "CosineDecayRestarts(0.8, 7, t_mul=2.0, m_mul=0.7)",
        lambda: gc.schedules.cosine_restarts_schedule(0.8, 7, 2, 0.7),
    ),
    ScheduleCase(
        "keras",
        "ExponentialDecay(0.8, 7, 0.6, staircase=True)",
        lambda: gc.exponential_decay(0.8, 7, 0.6, staircase=True),
    ),
    ScheduleCase(
        "keras",
        "InverseTimeDecay(0.8, 7, 0.6)",
        lambda: gc.schedules.inverse_time_decay_schedule(0.8, 7, 0.6),
    ),
    ScheduleCase(
        "keras",
        "InverseTimeDecay(0.8, 7, 0.6, staircase=True)",
        lambda: gc.schedules.inverse_time_decay_schedule(0.8, 7, 0.6, staircase=True),
    ),
    ScheduleCase(  # theirs leaps after the step that is the boundary
        "keras",
        "PiecewiseConstantDecay([10, 30], [0.8, 0.4, 0.1])",
        lambda: gc.piecewise_constant_schedule(0.8, {11: 0.5, 31: 0.25}),
    ),
    ScheduleCase(
        "keras",
        "PolynomialDecay(0.8, 20, 0.1, 1.5)",
        lambda: gc.polynomial_schedule(0.8, 0.1, 1.5, 20),
    ),
    ScheduleCase(
        "keras",
        "PolynomialDecay(0.8, 20, 0.1, 1.5, cycle=True)",
        lambda: gc.polynomial_schedule(0.8, 0.1, 1.5, 20, cycle=True),
    ),
]


#: Stages that look at a value: ours scale updates, theirs a learning rate of ``RATE``.
PLATEAUS = [
    torch(
        "ReduceLROnPlateau(o, factor=0.5, patience=2)",
        lambda: gc.reduce_on_plateau(0.5, patience=3),
    ),
    torch(
        "ReduceLROnPlateau(o, factor=0.5, patience=1, threshold=0.05, cooldown=3, min_lr=0.03)",
        lambda: gc.reduce_on_plateau(0.5, patience=2, rtol=0.05, cooldown=3, min_scale=0.1),
    ),
    torch(
        "ReduceLROnPlateau(o, factor=0.7, patience=3, threshold=0.02, threshold_mode='abs')",
        lambda: gc.reduce_on_plateau(0.7, patience=4, rtol=0.0, atol=0.02),
    ),
]


def loss(t: int) -> float:
    """A loss that falls more and more slowly, up and down."""
    return 0.2 + 0.9**t + 0.1 * math.sin(2.0 * t)


def values(case: ScheduleCase) -> list[float]:
    """The numbers of the steps 0, 1 ..."""
    if case.package == "keras":
        import keras

        keras.config.set_floatx("float64")
        scheduler = eval(case.call, vars(keras.optimizers.schedules))
        return [float(scheduler(t)) for t in range(STEPS)]
    import torch
    from torch.optim import lr_scheduler

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE, momentum=0.9)
    if case.package == "torch":
        made = eval(case.call, vars(lr_scheduler) | {"o": optimizer, "falling": falling})
    else:
        import pytorch_optimizer.lr_scheduler as package

        made = eval(case.call, vars(package) | {"o": optimizer})
    if not hasattr(made, "step"):
        return [float(x) for x in made[:STEPS]]
    if "Scheduler(o" in case.call and case.package != "torch":  # those that return the value
        return [float(made.step()) for _ in range(STEPS)]
    found = []
    for t in range(STEPS):
        found.append(float(optimizer.param_groups[0][case.key]))
        optimizer.step()
        made.step(*([loss(t)] if case in PLATEAUS else []))
    return found


def record(package: str) -> None:
    """Write the values of the cases of one package, with its version."""
    from importlib.metadata import version

    data = json.loads(FILE.read_text()) if FILE.exists() else {}
    for case in (*CASES, *PLATEAUS):
        if case.package == package:
            data[case.name] = {
                "origin": f"{package} {version(package.replace('_', '-'))}",
                "values": values(case),
            }
    data = {case.name: data[case.name] for case in (*CASES, *PLATEAUS) if case.name in data}
    text = ",\n".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in data.items())
    FILE.write_text(f"{{\n{text}\n}}\n")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        record(name)
