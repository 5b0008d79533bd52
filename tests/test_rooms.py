"""The house rules that a machine can check."""

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

import seqrl_cli

ROOMS = [
    {"scripting"},
    {"cli", "api"},
    {"workflows"},
    {"reports", "render", "interop"},
    {"online", "continual"},
    {"planning"},
    {"artifacts"},
    {"training"},
    {"models", "behaviour", "tracking"},
    {"envs"},
    {"data"},
    {"download", "launch"},
    {"runs", "config"},
    {"native"},
    {"files"},
    {"console", "errors", "stops"},
]
FLOOR = {room: len(ROOMS) - level for level, rooms in enumerate(ROOMS) for room in rooms}
PACKAGE = Path(seqrl_cli.__file__).parent
HEAVY = (
    *("torch", "gymnasium", "h5py", "matplotlib", "scipy", "imageio", "mujoco", "numpy"),
    *("ray", "optuna", "wandb", "tensorboardX", "trackio", "fsspec"),
)


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


# Inside a room, which other sub-packages a sub-package may import; by default none.
FAMILY = {"models/decoding"}
NESTED = {
    **dict.fromkeys(("models/gpt", "models/retnet", "models/adapters"), FAMILY),
    "models/decision": {*FAMILY, "models/encoders"},
    "reports/html": {"reports/plot"},
    "reports/plot": {"reports/table"},
}
NESTED_ROOMS = ("console", "data", "envs", "models", "reports")


def runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those below ``if TYPE_CHECKING``."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from runtime_nodes(node)


def imported_modules(path: Path) -> set[str]:
    modules = set()
    for node in runtime_nodes(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
    return modules


def sub_packages(room: str) -> list[str]:
    return sorted(f"{room}/{path.parent.name}" for path in (PACKAGE / room).glob("*/__init__.py"))


@pytest.mark.parametrize("package", [package for room in NESTED_ROOMS for package in sub_packages(room)])
def test_sub_packages_of_a_room_import_one_way(package):
    room = package.partition("/")[0]
    found = set()
    for path in (PACKAGE / package).rglob("*.py"):
        for module in imported_modules(path):
            found |= {"/".join(module.split(".")[1:3])} & set(sub_packages(room))
    assert found - {package} <= NESTED.get(package, set())


def test_tables_of_contents_name_every_module():
    for path in PACKAGE.rglob("__init__.py"):
        text = ast.get_docstring(ast.parse(path.read_text())) or ""
        if "====" in text:
            here = {module.name for module in pkgutil.iter_modules([str(path.parent)])}
            assert here - set(re.findall(r"``(\w+)/?``", text)) == set(), path


def test_no_circle_of_imports():
    """Lazy imports included; imports for type checkers alone are not."""
    names = {
        ".".join(("seqrl_cli", *path.relative_to(PACKAGE).with_suffix("").parts)): path
        for path in PACKAGE.rglob("*.py")
        if path.name != "__init__.py"
    }
    left = {name: imported_modules(path) & names.keys() for name, path in names.items()}
    while free := {name for name, imported in left.items() if not imported & left.keys()}:
        left = {name: imported for name, imported in left.items() if name not in free}
    assert not left


def test_every_module_imports_with_the_core_dependencies():
    for module in pkgutil.walk_packages(seqrl_cli.__path__, "seqrl_cli."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


# Others read these variables, and take no argument instead: BLAS when a process starts, OpenMP when PyTorch loads,
# gymnasium when it draws, MuJoCo when it is imported.
READERS = {"__main__.py", "behaviour/workers.py", "envs/simulator.py", "render/replay.py"}


def test_only_cli_reads_the_environment_and_the_command_line():
    outside = {("os", "environ"), ("os", "environb"), ("os", "getenv"), ("os", "putenv"), ("sys", "argv")}
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = {(ast.unparse(node.value), node.attr)} if isinstance(node, ast.Attribute) else set()
            if isinstance(node, ast.ImportFrom):
                names = {(node.module, alias.name) for alias in node.names}
            if names & outside:
                found.add(path.relative_to(PACKAGE).as_posix())
    assert {name for name in found if not name.startswith("cli/")} == READERS


HELPED = ("train", "finetune-online", "plot", "download", "sweep", "tune")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([command, "--help"] for command in HELPED)])
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


WORKFLOWS = PACKAGE / "workflows"
# The demo runs the other verbs. To collect with a trained run, or to evaluate it in training, is to plan with it; to
# fine-tune one is to train it; a sweep estimates what its trainings and plans take as they do; and the trials of a
# search are members of a sweep that grows.
VERBS_WITH_OTHERS = {
    "finetune": {"train"},
    "demo": {"continual", "data", "plan", "report", "train"},
    "data": {"plan"},
    "train": {"plan"},
    "sweep": {"plan", "train"},
    "tune": {"sweep"},
}


@pytest.mark.parametrize("path", sorted(WORKFLOWS.glob("*/*.py")), ids=lambda path: str(path.relative_to(WORKFLOWS)))
def test_a_verb_imports_no_other_verb(path):
    own = path.parent.name
    modules = [node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    others = {name.split(".")[2] for name in modules if name and name.startswith("seqrl_cli.workflows.")} - {own}
    assert others <= VERBS_WITH_OTHERS.get(own, set())


def verbs() -> list[str]:
    """Modules of verbs: ``run`` of a folder that is one verb, each module of a folder that holds several."""
    several = ("data", "exchange", "report")
    paths = [path for path in WORKFLOWS.glob("*/*.py") if path.stem == "run" or path.parent.name in several]
    return sorted(f"{path.parent.name}.{path.stem}" for path in paths if path.stem != "__init__")


@pytest.mark.parametrize("name", verbs())
def test_every_verb_has_the_same_shape(name):
    """``run(request, console)`` returns a report, a dataclass with a text; ``dry_run`` takes the same."""
    module = importlib.import_module(f"seqrl_cli.workflows.{name}")
    for verb in (module.run, module.dry_run):
        assert list(inspect.signature(verb).parameters) == ["request", "console"]
    hints = typing.get_type_hints(module.run)
    assert dataclasses.is_dataclass(hints["request"]) and hints["request"].__name__.endswith("Request")
    assert dataclasses.is_dataclass(hints["return"]) and hints["return"].__name__.endswith("Report")
    assert callable(hints["return"].text)
    fields = {field.name for field in dataclasses.fields(hints["request"])}
    assert fields & {"store", "dataset"}


def test_the_folder_of_things_shown_only_shows():
    for path in (WORKFLOWS / "show").glob("*.py"):
        functions = [node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
        assert [name for name in functions if not name.startswith(("_", "show_"))] == []
