"""The tables of the page "Comparison of libraries".

What was measured stands in ``data/same_curves.json``. Which library has what is a matter of names,
and ``tests/migration/test_libraries.py`` looks for each name in what is installed.
"""

import json
from pathlib import Path

import numpy as np
from writing import write_files

FILE = Path(__file__).parent / "data" / "same_curves.json"
LIBRARIES = ("gradchain", "optax", "torch", "keras")
#: What each library calls it: in gradchain, optax, PyTorch and Keras. An empty name is a no; a
#: name may be followed by an argument.
FEATURES: dict[str, dict[str, tuple[str, str, str, str]]] = {
    "Optimizers": {
        "SGD, momentum, Nesterov": ("sgd", "sgd", "optim.SGD", "optimizers.SGD"),
        "Adagrad": ("adagrad", "adagrad", "optim.Adagrad", "optimizers.Adagrad"),
        "Adadelta": ("adadelta", "adadelta", "optim.Adadelta", "optimizers.Adadelta"),
        "RMSprop": ("rmsprop", "rmsprop", "optim.RMSprop", "optimizers.RMSprop"),
        "Rprop": ("rprop", "rprop", "optim.Rprop", ""),
        "Adam": ("adam", "adam", "optim.Adam", "optimizers.Adam"),
        "AdamW": ("adamw", "adamw", "optim.AdamW", "optimizers.AdamW"),
        "AMSGrad": ("amsgrad", "amsgrad", "optim.Adam amsgrad", "optimizers.Adam amsgrad"),
        "Adamax": ("adamax", "adamax", "optim.Adamax", "optimizers.Adamax"),
        "NAdam": ("nadam", "nadam", "optim.NAdam", "optimizers.Nadam"),
        "RAdam": ("radam", "radam", "optim.RAdam", ""),
        "Lion": ("lion", "lion", "", "optimizers.Lion"),
        "Adafactor": ("adafactor", "adafactor", "optim.Adafactor", "optimizers.Adafactor"),
        "FTRL": ("ftrl", "", "", "optimizers.Ftrl"),
        "LAMB, LARS": ("lamb", "lamb", "", "optimizers.Lamb"),
        "averaged SGD": ("asgd", "", "optim.ASGD", ""),
        "rare rows, lazily": ("lazy_adam", "", "optim.SparseAdam", ""),
        "Muon": ("muon", "contrib.muon", "optim.Muon", "optimizers.Muon"),
        "without a learning rate": ("prodigy", "contrib.prodigy", "", ""),
        "schedule-free": ("schedule_free", "contrib.schedule_free", "", ""),
        "private, per example": ("dpsgd", "contrib.dpsgd", "", ""),
        "L-BFGS": ("lbfgs", "lbfgs", "optim.LBFGS", ""),
    },
    "Around an optimizer": {
        "a chain of parts": ("chain", "chain", "", ""),
        "groups of parameters": (
            "groups",
            "partition",
            "optim.Optimizer.add_param_group",
            "optimizers.MultiOptimizer",
        ),
        "decoupled weight decay for some": (
            "add_decayed_weights where",
            "add_decayed_weights mask",
            "optim.Optimizer.add_param_group",
            "optimizers.Optimizer.exclude_from_weight_decay",
        ),
        "clip by the global norm": (
            "clip_by_global_norm",
            "clip_by_global_norm",
            "nn.utils.clip_grad_norm_",
            "optimizers.SGD global_clipnorm",
        ),
        "accumulate gradients": (
            "accumulate",
            "MultiSteps",
            "",
            "optimizers.SGD gradient_accumulation_steps",
        ),
        "average of the weights": (
            "average_weights",
            "incremental_update",
            "optim.swa_utils.AveragedModel",
            "optimizers.SGD use_ema",
        ),
        "loss scale": (
            "dynamic_loss_scale",
            "",
            "amp.GradScaler",
            "optimizers.LossScaleOptimizer",
        ),
        "leave out steps that are not finite": ("skip_nonfinite", "apply_if_finite", "", ""),
        "lookahead": ("lookahead", "lookahead", "", ""),
        "sharpness-aware steps": ("sam", "contrib.sam", "", ""),
    },
    "Schedules": {
        "cosine": (
            "cosine_decay_schedule",
            "cosine_decay_schedule",
            "optim.lr_scheduler.CosineAnnealingLR",
            "optimizers.schedules.CosineDecay",
        ),
        "warm restarts": (
            "schedules.cosine_restarts_schedule",
            "sgdr_schedule",
            "optim.lr_scheduler.CosineAnnealingWarmRestarts",
            "optimizers.schedules.CosineDecayRestarts",
        ),
        "one cycle": (
            "cosine_onecycle_schedule",
            "cosine_onecycle_schedule",
            "optim.lr_scheduler.OneCycleLR",
            "",
        ),
        "at a plateau": (
            "reduce_on_plateau",
            "contrib.reduce_on_plateau",
            "optim.lr_scheduler.ReduceLROnPlateau",
            "callbacks.ReduceLROnPlateau",
        ),
        "one after another": (
            "join_schedules",
            "join_schedules",
            "optim.lr_scheduler.SequentialLR",
            "",
        ),
        "search for a rate": ("schedules.find_learning_rate", "", "", ""),
    },
    "Minimizing and curvature": {
        "minimize until it converges": ("minimize", "", "", ""),
        "least squares with error bars": ("least_squares", "", "", ""),
        "line searches": (
            "searches.hager_zhang",
            "scale_by_zoom_linesearch",
            "optim.LBFGS line_search_fn",
            "",
        ),
        "eigenvalues of the loss": ("curvature.spectral_density", "", "", ""),
    },
    "A run": {
        "rates set in the middle": (
            "set_hyperparams",
            "inject_hyperparams",
            "optim.Optimizer.param_groups",
            "optimizers.Optimizer.learning_rate",
        ),
        "an optimizer as a config": ("to_config", "", "", "optimizers.serialize"),
        "a description with its memory": ("describe", "", "", ""),
        "a check for mistakes": ("check", "", "", ""),
        "norms and sick layers": ("watch", "", "", ""),
        "early stopping": ("training.EarlyStopping", "", "", "callbacks.EarlyStopping"),
        "best and last checkpoints": (
            "training.Checkpoints",
            "",
            "",
            "callbacks.ModelCheckpoint",
        ),
        "stop at NaN": ("training.StopOnNaN", "", "", "callbacks.TerminateOnNaN"),
        "states carried to another chain": ("adopt_state", "", "", ""),
    },
}


def named(name: str) -> str:
    """A cell: the name in its library without its rooms, or nothing."""
    path, _, argument = name.partition(" ")
    parts = path.split(".")
    classes = [i for i, part in enumerate(parts) if part[:1].isupper()]
    short = ".".join(parts[min(classes, default=-1) :])
    return f"`{short}({argument}=)`" if argument else f"`{short}`" if name else ""


def features() -> str:
    """Which library has what, under which name."""
    lines = ["| | gradchain | optax | PyTorch | Keras |", "|---|---|---|---|---|"]
    for group, rows in FEATURES.items():
        lines.append(f"| **{group}** | | | | |")
        for feature, names in rows.items():
            lines.append("| " + " | ".join([feature, *map(named, names)]) + " |")
    return "\n".join(lines) + "\n"


def measured() -> str:
    """What ``benchmarks/compare_libraries.py`` found."""
    found = json.loads(FILE.read_text())
    of = [found["libraries"][library] for library in LIBRARIES]
    rows = [["", *(x["label"] for x in of)], ["---"] * 5]
    for kind in ("optimizers", "schedules", "losses"):
        label = "schedules of a rate" if kind == "schedules" else kind
        rows.append([label, *(str(found["counts"][library][kind]) for library in LIBRARIES)])
    rows.append(["lines of a training step", *(str(x["lines"]) for x in of)])
    names = list(of[0]["runs"])
    for name in names:
        apart = [
            np.max(np.abs(np.subtract(x["runs"][name]["loss"], of[0]["runs"][name]["loss"])))
            for x in of
        ]
        rows.append([f"{name}: largest distance of a loss", *(f"{x:.0e}" for x in apart)])
        rows[-1][1] = "0"
    for name in names:
        times = (x["runs"][name]["milliseconds"] for x in of)
        rows.append([f"{name}: ms a step", *(f"{x:.2f}" for x in times)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def write(folder: Path) -> None:
    """Write the tables to a folder."""
    write_files(folder, {"features.md": features(), "measured.md": measured()})
