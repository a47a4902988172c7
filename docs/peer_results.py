"""How far the dialect goes: the unit tests of optax, run against it.

``python docs/peer_results.py RESULTS.json`` keeps in ``data/peer_tests.json`` what a run of these
tests wrote. The tables of the page "Coming from optax" are made of it, and each test that fails
needs its reason here.
"""

import datetime
import json
import re
import sys
from collections import Counter
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from writing import write_files

FILE = Path(__file__).parent / "data" / "peer_tests.json"
#: by patterns of tests; the first that matches counts
REASONS = {
    "combine::ExtraArgs*": "integer parameters are refused",
    "*combin*::Partition*::test_extra_args": "integer parameters are refused",
    "transforms/combining::ExtraArgs*": "integer parameters are refused",
    "update::*none_argument_apply_updates": "`apply_updates(None, ...)` is an error",
    "schedules/schedule::Exponential*nonvalid*": "a rate of decay of 0 is an error, no constant",
    "schedules/schedule::Polynomial*zero_steps*": "a length of -1 is an error, no constant",
    "schedules/schedule::WarmupCosine*zero_peak*": "a peak of 0 goes to `end_value`, not to 0",
    "contrib/galore*": "it measures the bytes of the state by optax's layout",
    "tree_utils/state_utils::*inject_hparams": "`InjectHyperparamsState` is lacking",
    "utils::MultiNormal*": "`multi_normal` is lacking",
}


def short(test: str) -> str:
    """``_src/alias_test.py::A::test_b`` as ``alias::A::test_b``."""
    file, rest = test.split("::", 1)
    return f"{file_of(file)}::{rest}"


def file_of(path: str) -> str:
    """The module that a file tests: ``contrib/_muon_test.py`` is of ``contrib/muon``."""
    parts = path.removesuffix("_test.py").split("/")
    return "/".join([*(part for part in parts[:-1] if part != "_src"), parts[-1].lstrip("_")])


def reason_of(test: str) -> str | None:
    """Why a test may fail, by its short name."""
    return next((why for key, why in REASONS.items() if fnmatchcase(test, key)), None)


def kept(results: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the results that is kept."""
    tests = {short(test["id"]): test for test in results["tests"]}
    all_of = Counter(name.split("::")[0] for name in tests)
    passed = Counter(name.split("::")[0] for name, t in tests.items() if t["out"] == "pass")
    failed = {name: first_line(t["err"]) for name, t in tests.items() if t["out"] != "pass"}
    return {
        "origin": "python docs/peer_results.py RESULTS.json",
        "date": datetime.date.today().isoformat(),
        "files": {file: [passed[file], count] for file, count in sorted(all_of.items())},
        "failures": dict(sorted(failed.items())),
    }


def first_line(error: str | None) -> str:
    """The line of an error that says most."""
    return (error or "").strip().partition("\n")[0][:160]


def record() -> dict[str, Any]:
    """What was kept of the last run."""
    return json.loads(FILE.read_text())


def total() -> str:
    """How many tests there are, and how many pass."""
    rows = record()["files"].values()
    passed, count = (sum(column) for column in zip(*rows, strict=True))
    return f"Of {count} tests of behaviour, {passed} pass.\n"


def passes() -> str:
    """Passed tests of all, by file."""
    rows = ["| tests of | all | pass |", "|---|---:|---:|"]
    rows += [f"| `{file}` | {n} | {passed} |" for file, (passed, n) in record()["files"].items()]
    return "\n".join(rows) + "\n"


def failures() -> str:
    """Each test that fails, the cases of one test together, and why."""
    found = Counter(
        (re.sub(r"\d+$", "", test), reason_of(test) or error)
        for test, error in record()["failures"].items()
    )
    rows = ["| test | cases | why it fails |", "|---|---:|---|"]
    for (test, why), cases in found.items():
        file, group, name = test.split("::")
        title = f"{group.removesuffix('Test')}.{name.removeprefix('test_')}"
        rows.append(f"| `{file}`: `{title}` | {cases} | {cell(why)} |")
    return "\n".join(rows) + "\n"


def cell(text: str) -> str:
    """A text that does not end its cell."""
    return text.replace("|", "\\|")


def unexplained() -> list[str]:
    """Tests that fail without a reason."""
    return [test for test in record()["failures"] if reason_of(test) is None]


def idle() -> list[str]:
    """Reasons that no failing test has."""
    used = {reason_of(test) for test in record()["failures"]}
    return [key for key, why in REASONS.items() if why not in used]


def write(folder: Path) -> None:
    """Write the tables to a folder."""
    texts = {"total.md": total(), "passes.md": passes(), "failures.md": failures()}
    write_files(folder, texts)


def main() -> None:
    results = json.loads(Path(sys.argv[1]).read_text())
    FILE.write_text(json.dumps(kept(results), indent=1) + "\n")
    print(total(), end="")
    for test in unexplained():
        print("no reason for", test, record()["failures"][test], sep="\n  ")
    for key in idle():
        print("no test needs the reason of", key)


if __name__ == "__main__":
    main()
