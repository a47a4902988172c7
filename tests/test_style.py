"""How the code reads, in figures: ``python -m tests.test_style [room]`` lists what is to mend."""

import ast
import re
import sys
from collections import Counter
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "gradchain"
FILES = sorted(PACKAGE.rglob("*.py"))
SAYS_NOTHING = {"Any", "Callable", "dict", "list", "tuple", "Any | None", "Callable | None"}
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
DOCUMENTED = FUNCTIONS | ast.ClassDef | ast.Module


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def documentation(tree: ast.Module) -> set[int]:
    """The lines of strings that stand alone."""
    strings = [n.value for n in ast.walk(tree) if isinstance(n, ast.Expr)]
    strings = [s for s in strings if isinstance(s, ast.Constant) and isinstance(s.value, str)]
    return {line for s in strings for line in range(s.lineno, s.end_lineno + 1)}


def code(path: Path) -> dict[int, str]:
    """The lines of code by number: no documentation, no comments, nothing empty."""
    text = path.read_text()
    told = documentation(ast.parse(text))
    lines = enumerate(text.splitlines(), start=1)
    return {i: s for i, s in lines if s.strip() and s.strip()[0] != "#" and i not in told}


CODE = {path: code(path) for path in FILES}
NODES = {path: list(ast.walk(ast.parse(path.read_text()))) for path in FILES}


def docstrings() -> dict[str, str]:
    found = {}
    for path, nodes in NODES.items():
        for node in nodes:
            if isinstance(node, DOCUMENTED) and (text := ast.get_docstring(node)):
                found[f"{name_of(path)}:{getattr(node, 'name', '')}"] = text
    return found


def annotations() -> dict[str, str]:
    """All annotations of arguments and results."""
    found = {}
    for path, nodes in NODES.items():
        for f in (n for n in nodes if isinstance(n, FUNCTIONS)):
            arguments = [*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs]
            arguments += [a for a in (f.args.vararg, f.args.kwarg) if a]
            at = f"{name_of(path)}:{f.lineno} {f.name}"
            found |= {
                f"{at}({a.arg})": ast.unparse(a.annotation) for a in arguments if a.annotation
            }
            found |= {f"{at} ->": ast.unparse(f.returns)} if f.returns else {}
    return found


def empty_annotations() -> list[str]:
    return [where for where, text in annotations().items() if text in SAYS_NOTHING]


def wide_lines() -> list[str]:
    return [
        f"{name_of(p)}:{i}" for p, lines in CODE.items() for i, s in lines.items() if len(s) > 88
    ]


def long_functions() -> list[str]:
    found = []
    for path, nodes in NODES.items():
        for f in (n for n in nodes if isinstance(n, FUNCTIONS)):
            size = sum(f.lineno <= i <= f.end_lineno for i in CODE[path])
            found += [f"{name_of(path)}:{f.lineno} {f.name}: {size}"] if size > 40 else []
    return found


def first_words(text: str) -> int:
    """How many words the first line has; mathematics in it is one word."""
    first = text.splitlines()[0] if "\n" in text else text
    return len(re.sub(r":math:`[^`]*`|``[^`]*``", "x", first).split())


def long_first_lines() -> list[str]:
    return [
        f"{where}: {t.splitlines()[0]}"
        for where, t in docstrings().items()
        if first_words(t) > 10
    ]


def test_annotations_say_something():
    assert len(empty_annotations()) < 0.15 * len(annotations())


def test_lines_are_short():
    assert len(wide_lines()) < 0.05 * sum(map(len, CODE.values()))


def test_a_function_fits_on_a_screen():
    assert not [f for f in long_functions() if not f.startswith("as_optax/")]


def test_docstrings_begin_with_few_words():
    counts = [first_words(text) for text in docstrings().values()]
    assert sum(counts) / len(counts) < 9
    assert not long_first_lines()


def test_docstrings_do_not_ask():
    words = Counter(re.findall(r"[a-z']+", " ".join(docstrings().values()).lower()))
    assert words["what"] < 1.5e-3 * sum(words.values())
    assert not [where for where, text in docstrings().items() if text.startswith("What ")]


def test_a_line_has_few_expressions():
    expressions = sum(isinstance(n, ast.expr) for nodes in NODES.values() for n in nodes)
    assert expressions / sum(map(len, CODE.values())) < 4.5


def test_few_files_have_the_name_of_another():
    # The private modules of optax have the names that optax gave them.
    ours = [path for path in FILES if "_src" not in path.parts]
    names = Counter(path.name for path in ours if path.name != "__init__.py")
    assert sum(n > 1 for n in names.values()) <= 6


def report(room: str) -> None:
    for what in (long_first_lines, long_functions, empty_annotations, wide_lines):
        found = [line for line in what() if line.startswith(room)]
        print(f"\n{what.__name__}: {len(found)}", *found, sep="\n  ")
    asks = [
        w
        for w, t in docstrings().items()
        if w.startswith(room) and re.search(r"\bwhat\b", t, re.I)
    ]
    print(f"\nwhat: {len(asks)}", *asks, sep="\n  ")


if __name__ == "__main__":
    report(sys.argv[1] if len(sys.argv) > 1 else "")
