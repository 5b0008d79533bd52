"""The house rules that a machine can check."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import seqrl_cli

ROOMS = [
    {"cli"},
    {"workflows"},
    {"reports", "render", "interop"},
    {"online"},
    {"planning"},
    {"training"},
    {"models", "behaviour"},
    {"envs"},
    {"data"},
    {"runs", "config"},
    {"console", "errors"},
]
FLOOR = {room: len(ROOMS) - level for level, rooms in enumerate(ROOMS) for room in rooms}
PACKAGE = Path(seqrl_cli.__file__).parent
HEAVY = ("torch", "gymnasium", "h5py", "matplotlib", "scipy", "imageio", "mujoco", "numpy")


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [node.module or ""]
            if node.module == "seqrl_cli":
                names = [f"seqrl_cli.{alias.name}" for alias in node.names if (PACKAGE / alias.name).is_dir()]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        rooms |= {name.split(".")[1] for name in names if name.startswith("seqrl_cli.")}
    return rooms


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_the_list_of_rooms(path):
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if room in ("__init__", "__main__"):
        return
    for other in imported_rooms(path):
        assert other == room or FLOOR[other] < FLOOR[room], f"{room} imports {other}"


def test_every_module_imports_with_the_core_dependencies():
    for module in pkgutil.walk_packages(seqrl_cli.__path__, "seqrl_cli."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments):
    program = (
        "import sys, runpy\n"
        f"sys.argv = ['seqrl', *{arguments!r}]\n"
        "try:\n    runpy.run_module('seqrl_cli', run_name='__main__')\n"
        "except SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
