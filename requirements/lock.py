"""Write requirements/*.lock: every package, at one version, that an extra of pyproject.toml needs.

All extras are resolved together first, so the locks agree and can share one environment.

    python requirements/lock.py                      # the newest versions that fit
    python requirements/lock.py --keep FILE.lock...  # hold the versions of these files
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
LOCKS = {"demo": "examples", "dev": "dev", "docs": "docs", "bench": "bench"}
BUILD = "setuptools"  # `pip install -e .` runs without build isolation
PINNED_BY_TORCH = ("nvidia-", "cuda-", "triton")  # its wheels for Linux; other systems lack them


def resolve(extras: str, constraints: Path) -> list[str]:
    """The sorted `name==version` lines of gradchain with these extras."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--report", "-"]
    command += ["--ignore-installed", "-c", str(constraints), BUILD, f"{HERE.parent}[{extras}]"]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    found = {p["metadata"]["name"]: p["metadata"]["version"] for p in report["install"]}
    lines = [
        f"{name}=={version.split('+')[0]}"
        for name, version in found.items()
        if name != "gradchain" and not name.startswith(PINNED_BY_TORCH)
    ]
    return sorted(lines, key=lambda line: re.sub(r"[-_.]+", "-", line).lower())


def compiler_for_tpus(locked: list[str]) -> str:
    """The version of libtpu that the locked JAX names, which stands apart from all others."""
    jax = next(line for line in locked if line.startswith("jax=="))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--report", "-"]
    command += ["--ignore-installed", jax.replace("jax==", "jax[tpu]==")]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    found = {p["metadata"]["name"]: p["metadata"]["version"] for p in report["install"]}
    return f"libtpu=={found['libtpu']}"


def main(keep: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder, "constraints.txt")
        constraints.write_text("".join(Path(name).read_text() for name in keep))
        together = resolve(",".join(LOCKS.values()), constraints)
        constraints.write_text("\n".join(together))
        for name, extra in LOCKS.items():
            lines = resolve(extra, constraints)
            (HERE / f"{name}.lock").write_text("\n".join(lines) + "\n")
            print(f"requirements/{name}.lock: {len(lines)} packages")
        (HERE / "tpu.lock").write_text(f"{compiler_for_tpus(together)}\n")


if __name__ == "__main__":
    main([name for name in sys.argv[1:] if name != "--keep"])
