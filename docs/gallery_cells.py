"""The examples as Sphinx-Gallery wants them, and the pictures that they write."""

import re
import shutil
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from sphinx_gallery.scrapers import figure_rst, matplotlib_scraper
from writing import write_files

SOURCE = Path(__file__).parents[1] / "examples"


def write(folder: Path) -> None:
    """Write the examples so that no text stands beside a mark of a cell.

    Sphinx-Gallery leaves out what stands there. A file whose example is gone is taken away.
    """
    texts = {
        path.relative_to(SOURCE).as_posix(): re.sub(
            r"^# %% (?=\S)", "# %%\n# ", path.read_text(), flags=re.MULTILINE
        )
        for path in (*SOURCE.glob("*/*.py"), *SOURCE.rglob("README.rst"))
    }
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if path.relative_to(folder).as_posix() not in texts:
            path.unlink()
    write_files(folder, texts)


def pictures(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """The pictures that an example has written to ``out`` since the last cell.

    A picture may be begun in one cell and ended in another, where Sphinx-Gallery by itself takes
    what is there after the first. An example that writes none shows its figures.
    """
    source = Path(block_vars["src_file"])
    if "savefig" not in source.read_text():
        return matplotlib_scraper(block, block_vars, gallery_conf)
    found = sorted(
        (source.parent / "out").glob("*.png"), key=lambda file: file.stat().st_mtime_ns
    )
    places = [next(block_vars["image_path_iterator"]) for _ in found]
    for file, place in zip(found, places, strict=True):
        shutil.move(file, place)
    if found:
        plt.close("all")
    return figure_rst(places, gallery_conf["src_dir"])
