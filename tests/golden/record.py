"""Record the trajectories of a family of cases: ``python -m tests.golden.record adam``.

Needs torch and what the cases import; the tests need only the JSON files that this writes.
"""

import importlib
import json
import sys
from pathlib import Path

import numpy as np

from tests.golden.case import KEPT, Case, gradients, start

HERE = Path(__file__).parent


def trajectory(case: Case) -> dict[str, dict[str, list]]:
    """The parameters after each recorded step."""
    import torch

    torch.set_default_dtype(torch.float64)
    params = {name: torch.tensor(x, requires_grad=True) for name, x in start().items()}
    optimizer = case.theirs(list(params.values()))
    kept = {}
    for t, grads in enumerate(gradients(), start=1):
        for name, g in grads.items():
            params[name].grad = torch.tensor(g)
        optimizer.step()
        if t in KEPT:
            kept[str(t)] = {name: np.asarray(p.detach()).tolist() for name, p in params.items()}
    return kept


def record(family: str) -> None:
    """Write ``<family>.json`` from ``cases_<family>.py``."""
    cases = importlib.import_module(f"tests.golden.cases_{family}").CASES
    data = {case.name: {"origin": case.origin, "params": trajectory(case)} for case in cases}
    text = ",\n".join(f'"{name}": {json.dumps(entry)}' for name, entry in data.items())
    (HERE / f"{family}.json").write_text(f"{{\n{text}\n}}\n")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        record(name)
