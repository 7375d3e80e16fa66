"""Imports go downwards only; torch and Lava stay in their rooms; `import neuro_deploy` is light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "neuro_deploy"
FLOORS = (
    ("errors", "resources", "shown"),
    ("files",),
    ("fixed", "trace"),
    ("wiring",),
    ("target", "program"),
    ("neurons",),
    ("engine",),
    ("graph",),
    ("lower", "train", "backends"),
    ("adapters", "lava_dl", "estimates"),
    ("comparison", "explanation", "report"),
    ("shrinking",),
    ("chip", "zoo"),
    ("proof",),
    ("road",),
    ("bundle", "demo"),
    ("cli",),
    ("__main__",),
)
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
APART = {"lower", "train", "backends"}
ARITHMETIC = ("neuro_deploy.fixed", "neuro_deploy.engine", "neuro_deploy.neurons.integer", "neuro_deploy.backends.sim")


def within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == p or module.startswith(f"{p}.") for p in packages)


def sources() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py") if "_data" not in p.parts)


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, text: str | None = None) -> Iterator[str]:
    """Every module that a file imports, absolute, also inside functions and under TYPE_CHECKING."""
    name = dotted(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(text if text is not None else path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                anchor = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*anchor, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def room(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "neuro_deploy" and len(parts) > 1 and parts[1] in LEVEL else None


def upward(path: Path, text: str | None = None) -> list[str]:
    here = room(dotted(path))
    if here is None:  # neuro_deploy/__init__.py resolves its names lazily
        return []
    found = []
    for module in imports(path, text):
        there = room(module)
        if there is None or there == here:
            continue
        if LEVEL[there] > LEVEL[here] or {here, there} <= APART:
            found.append(f"{dotted(path)} imports {module}")
    return found


def strangers(path: Path) -> list[str]:
    """Torch or Lava outside their rooms."""
    relative = path.relative_to(PACKAGE).as_posix()
    torch_here = (
        relative.startswith(("train/", "adapters/", "neurons/fused/"))
        or relative.startswith("backends/reference")
        or (
            relative.startswith("neurons/")
            and path.name in ("torch.py", "chip.py", "parameters.py", "observing.py", "rounds.py")
        )
    )
    lava_here = relative.startswith("backends/lava") or (relative.startswith("neurons/") and path.name == "lava.py")
    found = []
    for module in imports(path):
        top = module.split(".")[0]
        if (top in ("torch", "lightning") and not torch_here) or (top == "lava" and not lava_here):
            found.append(f"{dotted(path)} imports {module}")
    return found


@pytest.mark.parametrize("path", sources(), ids=dotted)
def test_imports_go_downwards(path: Path) -> None:
    assert upward(path) == []


@pytest.mark.parametrize("path", sources(), ids=dotted)
def test_torch_and_lava_stay_in_their_rooms(path: Path) -> None:
    assert strangers(path) == []


def test_every_file_is_in_a_room() -> None:
    rooms = {p.relative_to(PACKAGE).parts[0].removesuffix(".py") for p in sources()} - {"__init__"}
    assert rooms <= set(LEVEL)


def test_the_check_sees_an_upward_import() -> None:
    path = PACKAGE / "lower" / "compile.py"
    assert upward(path, "from ..backends.sim import BACKEND")
    assert upward(path, "def f():\n    import neuro_deploy.cli")
    assert upward(PACKAGE / "trace.py", "from .neurons import spec")
    assert not upward(path, "from ..graph import compose")


@pytest.mark.parametrize("kind", ["cf", "lif", "li"])
def test_executors_share_no_arithmetic(kind: str) -> None:
    """neurons/KIND/lava.py and backends/lava* use neither fixed.py nor integer.py nor sim; sim uses nothing of Lava."""
    shared = PACKAGE / "neurons" / "lava.py"
    lava_side = [PACKAGE / "neurons" / kind / "lava.py", shared, *PACKAGE.glob("backends/lava*.py")]
    for path in lava_side:
        used = set(imports(path))
        assert not [m for m in used if within(m, ARITHMETIC) or m.endswith(".integer")], path
    ours = [PACKAGE / "neurons" / kind / "integer.py", PACKAGE / "neurons" / "integer.py", *PACKAGE.glob("engine/*.py")]
    for path in (PACKAGE / "backends" / "sim.py", *ours):
        assert not [m for m in imports(path) if "lava" in m], path


def test_import_is_light() -> None:
    code = (
        "import sys, neuro_deploy; "
        "heavy = [m for m in ('torch', 'lava', 'nir', 'sklearn', 'pydantic') if m in sys.modules]; "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_lazy_names_resolve() -> None:
    import neuro_deploy as nd

    for name in nd._HOMES:
        assert getattr(nd, name) is not None
        assert name in dir(nd)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = nd.nonsense


def test_no_pickle_and_no_literal_dt() -> None:
    for path in sources():
        text = path.read_text(encoding="utf-8")
        assert not [m for m in imports(path) if m.split(".")[0] in ("pickle", "dill", "cloudpickle")], path
        assert "allow_pickle=True" not in text and "weights_only=False" not in text, path
