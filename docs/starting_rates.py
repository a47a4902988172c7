"""The table of learning rates on the page "Which optimizer?".

What is measured lies in ``data/starting_rates.json``, and ``python -m benchmarks.starting_rates``
makes it; what the authors recommend is written here.
"""

import json
from pathlib import Path
from typing import NamedTuple

import catalogue
from writing import write_files

DATA = Path(__file__).parent / "data" / "starting_rates.json"
CODE = "authors' code"
SOPHIA = (
    "https://github.com/Liuhong99/Sophia/blob/82b2d821c725943bff3f2cc834008ac4f6059269/README.md"
)
#: The loss is 2.3 at the start; an optimizer whose best one is above this has not trained.
TRAINED = 1.0


class Published(NamedTuple):
    """The rate of a paper, or the default of its authors' code, and where it stands."""

    rate: str
    source: str
    link: str


#: Only of a row whose source says it; the others have an empty cell.
PUBLISHED = {
    "sgd(momentum=0.9)": Published("0.1", "He et al., 2015", "https://arxiv.org/abs/1512.03385"),
    "rprop": Published(
        "0.1", "Riedmiller & Braun, 1993", "https://doi.org/10.1109/ICNN.1993.298623"
    ),
    "rmsprop": Published("0.00025", "Mnih et al., 2015", "https://doi.org/10.1038/nature14236"),
    "rmsprop(momentum=0.9)": Published(
        "0.0001", "Graves, 2013", "https://arxiv.org/abs/1308.0850"
    ),
    "adadelta": Published("1", "Zeiler, 2012", "https://arxiv.org/abs/1212.5701"),
    "adam": Published("0.001", "Kingma & Ba, 2015", "https://arxiv.org/abs/1412.6980"),
    "adamax": Published("0.002", "Kingma & Ba, 2015", "https://arxiv.org/abs/1412.6980"),
    "adamw": Published("0.001", "Loshchilov & Hutter, 2019", "https://arxiv.org/abs/1711.05101"),
    "radam": Published("0.001", CODE, "https://github.com/LiyuanLucasLiu/RAdam"),
    "adabelief": Published(
        "0.001", CODE, "https://github.com/juntang-zhuang/Adabelief-Optimizer"
    ),
    "adabound": Published("0.001", CODE, "https://github.com/Luolc/AdaBound"),
    "padam": Published("0.1", CODE, "https://github.com/uclaml/Padam"),
    "diffgrad": Published("0.001", CODE, "https://github.com/shivram1987/diffGrad"),
    "laprop": Published("0.0004", CODE, "https://github.com/Z-T-WANG/LaProp-Optimizer"),
    "adopt": Published("0.001", CODE, "https://github.com/iShohei220/adopt"),
    "qhadam": Published("0.001", CODE, "https://github.com/facebookresearch/qhoptim"),
    "adan": Published("0.001", CODE, "https://github.com/sail-sg/Adan"),
    "ademamix": Published("0.001", CODE, "https://github.com/apple/ml-ademamix"),
    "simplified_ademamix": Published(
        "0.001", CODE, "https://github.com/DepenM/Simplified-AdEMAMix"
    ),
    "madgrad": Published("0.01", CODE, "https://github.com/facebookresearch/madgrad"),
    "lion": Published(
        "a tenth to a third of that for `adamw`",
        "Chen et al., 2023",
        "https://arxiv.org/abs/2302.06675",
    ),
    "tiger": Published("0.00176", CODE, "https://github.com/bojone/tiger"),
    "adafactor": Published("0.01", "Shazeer & Stern, 2018", "https://arxiv.org/abs/1804.04235"),
    "came": Published("0.0002", CODE, "https://github.com/yangluo7/CAME"),
    "adam_mini": Published("0.001", CODE, "https://github.com/zyushun/Adam-mini"),
    "fromage": Published("0.01", CODE, "https://github.com/jxbz/fromage"),
    "adamp": Published("0.001", CODE, "https://github.com/clovaai/AdamP"),
    "prodigy": Published("1", "Mishchenko & Defazio, 2023", "https://arxiv.org/abs/2306.06101"),
    "dadapt_adamw": Published("1", CODE, "https://github.com/facebookresearch/dadaptation"),
    "dadapt_sgd": Published("1", CODE, "https://github.com/facebookresearch/dadaptation"),
    "dog": Published("1", "Ivgi et al., 2023", "https://arxiv.org/abs/2302.12022"),
    "dowg": Published("1", "Khaled et al., 2023", "https://arxiv.org/abs/2305.16284"),
    "cocob": Published("1", "Orabona & Tommasi, 2017", "https://arxiv.org/abs/1705.07795"),
    "momo": Published("1", CODE, "https://github.com/fabian-sp/MoMo"),
    "momo_adam": Published("0.01", CODE, "https://github.com/fabian-sp/MoMo"),
    "schedule_free_adamw": Published(
        "0.0025", CODE, "https://github.com/facebookresearch/schedule_free"
    ),
    "schedule_free_sgd": Published(
        "1", CODE, "https://github.com/facebookresearch/schedule_free"
    ),
    "sophia": Published("half of that for `adamw`", CODE, SOPHIA),
    "adahessian": Published("0.15", CODE, "https://github.com/amirgholami/adahessian"),
}


def number(rate: float) -> str:
    """A rate without an exponent: 0.00001."""
    return f"{rate:.6f}".rstrip("0").rstrip(".")


def measured(row: dict | None, rates: list[float]) -> list[str]:
    """The best rate, the rates that work, open where they reach an end of the grid, the loss."""
    if row is None:
        return ["takes none", "", ""]
    loss = row["losses"][rates.index(row["best"])]
    if loss > TRAINED:
        return ["none trains", "", f"{loss:.2f}"]
    low, high = row["low"], row["high"]
    if high == rates[-1]:
        return [
            "each of them",
            "any" if low == rates[0] else f"from {number(low)}",
            f"{loss:.2f}",
        ]
    works = number(low) if low == high else f"{number(low)} to {number(high)}"
    return [number(row["best"]), works, f"{loss:.2f}"]


def cells(call: str, record: dict) -> list[str]:
    """One line of the table."""
    said = PUBLISHED.get(call)
    return [
        catalogue.reference(call),
        *measured(record["rows"][call], record["rates"]),
        said.rate if said else "",
        f"[{said.source}]({said.link})" if said else "",
    ]


def calls() -> list[str]:
    """The rows, in the order of the catalogue."""
    return [call for family in catalogue.FAMILIES.values() for call in family]


def table() -> str:
    """The table of all optimizers, in the order of the catalogue."""
    record = json.loads(DATA.read_text())
    if missing := set(calls()) - set(record["rows"]):
        raise ValueError(
            f"docs/data/{DATA.name} lacks {', '.join(sorted(missing))}: run"
            " python -m benchmarks.starting_rates --write and their names"
        )
    lines = [
        "| optimizer | best rate here | rates that work | loss at the best | published | by |",
        "|---|---:|---|---:|---|---|",
        *(f"| {' | '.join(cells(call, record))} |" for call in calls()),
    ]
    return "\n".join(lines) + "\n"


def write(folder: Path) -> None:
    """Write the table to a folder."""
    write_files(folder, {"starting_rates.md": table()})


if __name__ == "__main__":
    print(table())
