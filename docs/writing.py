"""Write files that the build makes."""

from collections.abc import Mapping
from pathlib import Path


def write_files(folder: Path, texts: Mapping[str, str]) -> None:
    """Write texts to a folder, by the names of their files.

    A file that is right is left alone, so that the build does not take it for a new one.
    """
    for name, text in texts.items():
        file = folder / name
        if not file.exists() or file.read_text() != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
