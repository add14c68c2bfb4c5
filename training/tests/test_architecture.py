# SPDX-License-Identifier: MPL-2.0
"""Imports run one way, those for annotations included, and files are short."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import stylize_train

ROOT = Path(stylize_train.__file__).parent
LONGEST = 500


def module(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(path): path for path in ROOT.rglob("*.py")}


def imports(name: str) -> set[str]:
    """Modules of the package that a module names in any import."""
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *filter(None, [node.module])])
            names = {f"{base}.{alias.name}" for alias in node.names}
            found |= names & MODULES.keys() or {base}
    return found & MODULES.keys() - {name}


def test_imports_run_one_way() -> None:
    graph = {name: imports(name) for name in MODULES}
    assert "stylize_train.norms" in graph["stylize_train.generators.base"]
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_files_are_short() -> None:
    long = [p.name for p in MODULES.values() if len(p.read_text().splitlines()) > LONGEST]
    assert not long
