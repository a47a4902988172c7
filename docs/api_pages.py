"""Write the API pages: each public name stands on the page of its room.

A name is public if ``gradchain/__init__.py`` or the ``__init__.py`` of a public room exports it, or
if a public room is one file that defines it. A page has one section for each file; the optimizers
are sorted by the families of the catalogue. So a new export needs no line here.
"""

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import catalogue
from writing import write_files

import gradchain as gc

#: The public rooms by their names. ``as_optax`` has a page by hand.
ROOMS = {
    f"gradchain.{name}": getattr(gc, name)
    for name in dir(gc)
    if isinstance(getattr(gc, name), ModuleType) and name != "as_optax"
} | {"gradchain.minimization.scipy": gc.minimization.scipy}
PLACES = {"gradchain": gc} | ROOMS


def exports(room: ModuleType) -> Iterator[tuple[str, str]]:
    """The module and the name of each thing that a room exports."""
    if not room.__file__.endswith("__init__.py"):
        if hasattr(room, "__all__"):  # names of types do not know their module
            yield from ((room.__name__, name) for name in room.__all__)
            return
        for name, thing in vars(room).items():
            if name[0] != "_" and getattr(thing, "__module__", None) == room.__name__:
                yield room.__name__, name
        return
    for node in ast.parse(Path(room.__file__).read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module.startswith("gradchain."):
            for alias in node.names:
                if f"{node.module}.{alias.name}" not in sys.modules:
                    yield node.module, alias.name


def public() -> dict[str, list[str]]:
    """The public names by the module that defines them, in the order of its source."""
    found: dict[str, set[str]] = {}
    for room in PLACES.values():
        for module, name in exports(room):
            found.setdefault(module, set()).add(name)
    return {module: sorted(names, key=place(module)) for module, names in sorted(found.items())}


def place(module: str) -> Callable[[str], int]:
    """The key that sorts the names of a module as its source does."""
    source = inspect.getsource(importlib.import_module(module))
    return lambda name: re.search(rf"^(def |class )?{name}\b", source, re.MULTILINE).start()


def public_path(module: str, name: str) -> str:
    """The name by which a user calls it, such as ``gradchain.adamw``; search shows this one."""
    thing = getattr(importlib.import_module(module), name)
    found = (place for place, room in PLACES.items() if getattr(room, name, None) is thing)
    return f"{next(found, module)}.{name}"


def directive(module: str, name: str) -> list[str]:
    """The lines that show one name.

    The docstring of a named tuple has its fields; a Status is a number, whose members are left out.
    Data keep the name of their module, where the comment stands that explains them.
    """
    thing, path = getattr(importlib.import_module(module), name), public_path(module, name)
    if inspect.isfunction(thing):
        return [f".. autofunction:: {path}"]
    if not (isinstance(thing, type) and thing.__module__ == module):
        return [f".. autodata:: {module}.{name}"]
    shown = [] if hasattr(thing, "_fields") else ["   :members:", "   :inherited-members: int"]
    return [f".. autoclass:: {path}", *shown]


def summary(modules: dict[str, list[str]]) -> list[str]:
    """The table at the top of a page: each function and class, and the first line about it."""
    rows = [
        f"| {{py:obj}}`{name} <{public_path(module, name)}>` | {first_line(module, name)} |"
        for module, names in modules.items()
        for name in names
        if is_shown(getattr(importlib.import_module(module), name))
    ]
    return ["| name | |", "|---|---|", *sorted(rows, key=str.lower), ""] if rows else []


def is_shown(thing: object) -> bool:
    return inspect.isfunction(thing) or inspect.isclass(thing)


def first_line(module: str, name: str) -> str:
    text = inspect.getdoc(getattr(importlib.import_module(module), name)) or ""
    text = re.sub(r":math:`([^`]*)`", r"$\1$", text.split("\n\n")[0].replace("\n", " "))
    return text.replace("``", "`").replace("|", "\\|")


def section(module: str, names: list[str], level: str) -> list[str]:
    """The file of a room: its name, its docstring, its public names."""
    shown = [line for name in names for line in directive(module, name)]
    title = module.split(".", 2)[-1].split(".")[-1]
    about = [f".. automodule:: {module}", "   :no-index:"]
    head = [f"{level} {title}", "", "```{eval-rst}", *about]
    return [*head, *shown, "```", ""]


def page(room: str, modules: dict[str, list[str]]) -> str:
    """The summary of a room, and its sections, one for each file."""
    if room != "optimizers":
        sections = [line for m, names in modules.items() for line in section(m, names, "##")]
        return "\n".join([*summary(modules), *sections])
    lines = summary(modules)
    for family, entries in catalogue.FAMILIES.items():
        recipes = {call.split("(")[0] for call in entries}
        chosen = [m for m, names in modules.items() if recipes & set(names)]
        lines += [f"## {family}", ""]
        for module in chosen:
            lines += section(module, modules.pop(module), "###")
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """The text of each page, by the room."""
    rooms: dict[str, dict[str, list[str]]] = {}
    for module, names in public().items():
        rooms.setdefault(module.split(".")[1], {})[module] = names
    return {room: page(room, modules) for room, modules in rooms.items()}


def write(folder: Path) -> None:
    """Write the pages to a folder, for ``docs/api/`` to include."""
    write_files(folder, {f"{room}.md": text for room, text in pages().items()})
