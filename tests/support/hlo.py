"""What a compiled program consists of: its computations, and which run only in a branch or in a
loop.
"""

import re


def computations(program: str) -> dict[str, list[str]]:
    """The lines of each computation of an optimized program, by its name; that of the whole is
    called ``ENTRY``.
    """
    found: dict[str, list[str]] = {}
    for line in program.splitlines():
        head = re.match(r"(ENTRY )?%?([\w.\-]+) \(.*\{$", line)
        if head:
            found[name := "ENTRY" if head[1] else head[2]] = []
        elif line.startswith("  ") and found:
            found[name].append(line.strip())
    return found


def below(program: str, *kinds: str) -> set[str]:
    """The names of the computations that instructions of these kinds call, and of all that those
    call.
    """
    parts = computations(program)
    calls = lambda line: {
        name for name in re.findall(r"%([\w.\-]+)", line.partition("(")[2]) if name in parts
    }
    todo = {
        name
        for lines in parts.values()
        for line in lines
        if is_a(line, *kinds)
        for name in calls(line)
    }
    done: set[str] = set()
    while todo:
        done |= todo
        todo = {name for part in todo for line in parts[part] for name in calls(line)} - done
    return done


def is_a(line: str, *kinds: str) -> bool:
    """Whether an instruction is of one of these kinds: ``sqrt``, ``conditional``,
    ``all-reduce``.
    """
    return any(re.search(rf"[\])}}] {kind}\(", line) for kind in kinds)


def places(program: str, *kinds: str) -> list[str]:
    """The name of the computation of each instruction of these kinds."""
    return [
        name
        for name, lines in computations(program).items()
        for line in lines
        if is_a(line, *kinds)
    ]
