"""Delete, rename, archive and restore runs, which no other process may be writing."""

from __future__ import annotations

import glob
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from seqrl_cli.console import Console, byte_size
from seqrl_cli.errors import SeqrlError, UsageError, when_interrupted
from seqrl_cli.files.atomic import make_folder, writing
from seqrl_cli.planning.episode_files import episode_paths, rename_run_in_episode
from seqrl_cli.runs.layout import CONTINUAL, RunFolder, check_name, stays_below
from seqrl_cli.runs.lock import locked, refuse_locked, refuse_playing
from seqrl_cli.runs.record import read_record, write_record
from seqrl_cli.runs.store import RunStore
from seqrl_cli.workflows.manage.dependents import Dependents, dependents_of

ACTIONS = ("delete", "rename", "archive", "restore")
RECORDS = ("run.json", CONTINUAL)
"""A run's folder has one of them."""


@dataclass(frozen=True)
class ManageRequest:
    """Options of ``seqrl runs delete`` and its siblings.

    Attributes:
        store: the run directory.
        action: one of ``ACTIONS``.
        run: path or name of the run; for ``restore`` its path below the run directory, as before it was archived.
        new_name: the new name for ``rename``.
        force: delete or archive a run that others were made from.
        confirm: called with the run's name once nothing speaks against the change; raises to stop it.
    """

    store: RunStore
    action: str
    run: str
    new_name: str | None = None
    force: bool = False
    confirm: Callable[[str], None] | None = None


@dataclass(frozen=True)
class ManageReport:
    """What was done to which run.

    Attributes:
        action: one of ``ACTIONS``.
        run: name of the run before.
        path: path of the run now; None if it is deleted.
        updated: runs in which its new name was written.
        sweeps: those that will train it anew.
    """

    action: str
    run: str
    path: str | None
    updated: tuple[str, ...] = ()
    sweeps: tuple[str, ...] = ()

    def text(self) -> str:
        """One line for a person."""
        done = {"delete": "deleted", "rename": "renamed", "archive": "archived", "restore": "restored"}[self.action]
        return f"{done} {self.run}" + (f": {self.path}" if self.path else "")


def run(request: ManageRequest, console: Console) -> ManageReport:
    """Change a run, with a warning for each sweep whose member it is.

    Raises:
        UsageError: the new name is no name, or a name is missing or taken, or the user did not confirm.
        SeqrlError: there is no such run, it is in use, or others were made from it.
    """
    if request.action == "restore":
        return _restore(request)
    if request.action == "delete" and (rest := _half_deleted(request)):
        shutil.rmtree(rest)
        return ManageReport(request.action, request.run, None)
    folder = _found(request, console)
    name = request.store.name_of(folder)
    if folder.is_symlink():
        raise SeqrlError(f"{name} is a link to {folder.resolve()}", "remove the link by hand, or name that run")
    dependents = dependents_of(request.store, folder)
    if request.action != "rename":
        _refuse_parent(request, name, dependents)
    target = None if request.action == "delete" else _free_target(request, folder)
    for sweep in dependents.sweeps:
        console.warn(_sweep_warning(request.action, name, sweep))
    if request.confirm is not None:
        request.confirm(name)
    if request.action == "rename":
        assert target is not None
        return _rename(request.store, folder, target, dependents, console)
    with locked(folder, console, patience=0.0, moves=True), writing(folder):
        if target is not None:
            make_folder(target.parent)
            folder.rename(target)
        else:
            gone = _gone(folder)
            folder.rename(gone)  # at once, so that a kill leaves no half of a run
            with when_interrupted(f"{name} is deleted in part", f"seqrl runs delete {name} deletes the rest"):
                shutil.rmtree(gone)
    return ManageReport(request.action, name, None if target is None else str(target), sweeps=dependents.sweeps)


def dry_run(request: ManageRequest, console: Console) -> None:
    """Print what would be done.

    Raises:
        SeqrlError: as :func:`run`.
    """
    if request.action == "restore":
        facts: dict[str, object] = {"restore": request.run, "to": str(_restorable(request)[1])}
    else:
        folder = _found(request, console)
        dependents = dependents_of(request.store, folder)
        facts = {request.action: str(folder), "size": byte_size(_bytes(folder))}
        facts |= {"to": str(_target(request, folder))} if request.action != "delete" else {}
        facts["made from it"] = list(map(request.store.name_of, dependents.folders))
        facts["member of the sweeps"] = list(dependents.sweeps)
    console.emit(facts)
    console.show_facts(facts)


def _found(request: ManageRequest, console: Console) -> Path:
    """The run's folder, which no other process writes; only a run that is named is changed."""
    if request.action not in ACTIONS:
        raise UsageError(f"unknown action {request.action!r}", f"choose {', '.join(ACTIONS)}")
    if not request.run:
        raise UsageError(f"no run given to {request.action}", f"seqrl runs {request.action} RUN")
    store = request.store
    folder = store.find_continual(request.run) or store.find(request.run, console.warn).path
    named = {request.run.rstrip("/"), store.root.joinpath(request.run).as_posix()}
    if not named & {folder.name, store.name_of(folder), str(folder), folder.as_posix()}:
        hint = f"seqrl runs {request.action} {store.name_of(folder)}"
        raise UsageError(f"{request.run} is not the name of a run", f"to {request.action} its latest run: {hint}")
    refuse_locked(folder)
    refuse_playing(folder)
    return store.known_as(folder)  # as the runs that were made from it name it


def _gone(folder: Path) -> Path:
    """The hidden name under which a run is removed."""
    return folder.with_name(f".{folder.name}.old")


def _half_deleted(request: ManageRequest) -> Path | None:
    """What a kill left of the run; None if the run is there, or nothing is."""
    store, path = request.store, Path(request.run)
    if not request.run or not stays_below(request.run):
        return None
    left = [_gone(store.root / path)]
    if len(path.parts) == 1 and not _is_there(store, path.name):
        left += store.root.glob(f"**/{glob.escape(_gone(path).name)}")
    found = [one for one in left if one.is_dir() and not one.with_name(path.name).exists()]
    return found[0] if len(found) == 1 else None


def _is_there(store: RunStore, name: str) -> bool:
    """Whether a run has this name, readable or not."""
    runs, unreadable = store.read_runs()
    return any(run.path.name == name for run, _ in (*runs, *unreadable)) or store.find_continual(name) is not None


def _refuse_parent(request: ManageRequest, name: str, dependents: Dependents) -> None:
    objections = dependents.objections(request.store, name)
    if objections and not request.force:
        raise SeqrlError("; ".join(objections), f"{request.action} that first, or add --force")


def _sweep_warning(action: str, name: str, sweep: str) -> str:
    """What becomes of the sweep."""
    back = f"; `seqrl runs restore {name}` prevents that" if action == "archive" else ""
    return f"{name} is a member of the sweep {sweep}, which will train it anew when it is run again{back}"


def _rename(store: RunStore, folder: Path, target: Path, dependents: Dependents, console: Console) -> ManageReport:
    """Rename a run in its own files, in those of runs that were made from it, and last its folder.

    After a kill the same command does the rest.
    """
    with ExitStack() as stack:
        for each in (folder, *dependents.folders):
            stack.enter_context(locked(each, console, patience=0.0, moves=True))
        dependents.rename(folder, target, store)
        _rename_in_its_files(RunFolder(folder), target.name)
        with writing(folder):
            folder.rename(target)
    updated = tuple(map(store.name_of, dependents.folders))
    return ManageReport("rename", store.name_of(folder), str(target), updated, dependents.sweeps)


def _rename_in_its_files(run: RunFolder, name: str) -> None:
    """Name a run anew in its plans and its record; a continual run's files do not have its name."""
    for path in episode_paths(run.plans, below=True):
        rename_run_in_episode(path, run=name)
    if run.record.exists():
        write_record(run.record, read_record(run.record).model_copy(update={"name": name}), fresh=False)


def _restore(request: ManageRequest) -> ManageReport:
    source, target = _restorable(request)
    make_folder(target.parent)
    with writing(target):
        source.rename(target)
    return ManageReport("restore", request.run, str(target))


def _restorable(request: ManageRequest) -> tuple[Path, Path]:
    """Where an archived run is, and where it goes."""
    if not request.run:
        raise UsageError("no run given to restore", "seqrl runs restore RUN")
    source, target = _archived(request.store, request.run), request.store.root / request.run
    if not any((source / record).is_file() for record in RECORDS):
        root = request.store.archive
        archived = sorted(path.parent for record in RECORDS for path in root.rglob(record))
        names = ", ".join(path.relative_to(root).as_posix() for path in archived)
        raise SeqrlError(f"no archived run {request.run!r}", f"archived: {names}" if names else "nothing is archived")
    _require_free(target)
    return source, target


def _archived(store: RunStore, name: str) -> Path:
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise UsageError(f"{name} is not below the run directory", "name a run of it, as `seqrl runs` does")
    return store.archived(name)


def _free_target(request: ManageRequest, folder: Path) -> Path:
    target = _target(request, folder)
    _require_free(target)
    return target


def _target(request: ManageRequest, folder: Path) -> Path:
    if request.action == "archive":
        return _archived(request.store, request.store.name_of(folder))
    if request.new_name is None:
        raise UsageError("no new name given", f"seqrl runs rename {request.run} NAME")
    return folder.with_name(check_name("run", request.new_name))


def _require_free(target: Path) -> None:
    if target.exists():
        raise UsageError(f"{target} already exists", "choose another name, or rename that one first")


def _bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
