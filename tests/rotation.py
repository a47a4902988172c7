"""Each run of ``make test`` takes a sample of the many cases; ``make test-all`` takes them all.

A test marked ``rotated(n)`` stands for a family of cases of which one in ``n * SPARSE`` runs. It is
chosen by a seed: the day, or ``--rotation SEED``. The seed is printed at the top of the run.
"""

import datetime
import os
import zlib

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rotation", help="the seed that chooses rotated tests, by default the day")


def seed(config: pytest.Config) -> str:
    """The seed of the run, the same in all its processes."""
    today = str(datetime.date.today())
    return os.environ.setdefault("GRADCHAIN_ROTATION", config.getoption("rotation") or today)


def pytest_report_header(config: pytest.Config) -> str:
    return f"rotated tests: seed {seed(config)}; to repeat this choice: --rotation {seed(config)}"


#: Where rows are run on trees of many kinds, which have not all the names that they choose by.
OF_MANY_TREES = (
    "tests/laws/",
    "tests/integration/test_tree_kinds",
    "tests/inspection/test_hyperparams",
    "test_watch.py::test_updates",
    "test_describe.py::test_bytes",
)
IDLE_PATTERN = "gradchain.core.idle.IdlePatternWarning"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    by_row(items)
    for item in items:
        is_random = hasattr(getattr(item, "module", None), "FOR_ANY_TREE")
        if is_random or any(part in item.nodeid for part in OF_MANY_TREES):
            item.add_marker(pytest.mark.filterwarnings(f"ignore::{IDLE_PATTERN}"))
    asked_by_name = config.getoption("keyword") or any("::" in path for path in config.args)
    if config.getoption("markexpr") not in config.getini("addopts") or asked_by_name:
        return
    chosen, left_out = [], []
    for item in items:
        (chosen if is_chosen(item, seed(config)) else left_out).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = chosen


#: Where rules are that take seconds to compile: their cases are in fewer samples.
OF_LONG_PROGRAMS = ("gradchain.optimizers.matrix", "gradchain.optimizers.second_order")
TIMES_RARER = 3
#: So that ``make test`` ends within ten minutes on two cores, however many rows there are.
SPARSE = 5


def is_chosen(item: pytest.Item, run: str) -> bool:
    """Whether an item is no rotated test, or in the sample of this run."""
    mark = item.get_closest_marker("rotated")
    if mark is None:
        return True
    every = SPARSE * mark.args[0] * (TIMES_RARER if has_long_program(item) else 1)
    return zlib.crc32(f"{run} {item.nodeid}".encode()) % every == 0


def has_long_program(item: pytest.Item) -> bool:
    """Whether a test is of a row of the laws' table with a long program."""
    row = getattr(getattr(item, "callspec", None), "params", {}).get("row")
    made = row.make() if hasattr(row, "twin") else None
    return made is not None and made.factory.function.__module__.startswith(OF_LONG_PROGRAMS)


def by_row(items: list[pytest.Item]) -> None:
    """Bring the laws of a row together: they share compiled programs."""
    name = lambda item: getattr(getattr(item, "callspec", None), "params", {}).get("row")
    places = [i for i, item in enumerate(items) if "test_laws.py" in item.nodeid and name(item)]
    ordered = sorted((items[i] for i in places), key=lambda item: name(item).name)
    for place, item in zip(places, ordered, strict=True):
        items[place] = item
