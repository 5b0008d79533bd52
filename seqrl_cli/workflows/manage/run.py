"""Delete, rename, archive and restore runs, which no other process may be writing."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from seqrl_cli.config.overrides import merge
from seqrl_cli.config.presets import dump_config, load_config, validate
from seqrl_cli.console import Console, byte_size
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.files.atomic import make_folder, write_text_atomic, writing
from seqrl_cli.planning.episode_files import episode_paths, rename_run_in_episode
from seqrl_cli.runs.layout import RunFolder, check_name
from seqrl_cli.runs.lock import locked, refuse_locked
from seqrl_cli.runs.record import RunRecord, read_record, write_record
from seqrl_cli.runs.store import RunStore

ACTIONS = ("delete", "rename", "archive", "restore")
ARCHIVE = ".archive"
"""Folder below the run directory, hidden, so that lists, tables and plots leave it out."""


@dataclass(frozen=True)
class ManageRequest:
    """Options of ``seqrl runs delete`` and its siblings.

    Attributes:
        store: the run directory.
        action: one of ``ACTIONS``.
        run: by path or name; for ``restore`` its path below the run directory, as before it was archived.
        new_name: for ``rename``.
        force: delete or archive a run that others were fine-tuned from.
    """

    store: RunStore
    action: str
    run: str
    new_name: str | None = None
    force: bool = False


@dataclass(frozen=True)
class ManageReport:
    """What was done to which run, and where it is now; None if it is deleted."""

    action: str
    run: str
    path: str | None
    updated: tuple[str, ...] = ()

    def text(self) -> str:
        """One line for a person."""
        done = {"delete": "deleted", "rename": "renamed", "archive": "archived", "restore": "restored"}[self.action]
        return f"{done} {self.run}" + (f": {self.path}" if self.path else "")


def run(request: ManageRequest, console: Console) -> ManageReport:
    """Change a run.

    Raises:
        UsageError: the new name is no name, or a name is missing or taken.
        SeqrlError: there is no such run, it is in use, or others were fine-tuned from it.
    """
    if request.action == "restore":
        return _restore(request)
    folder = _found(request, console)
    name = request.store.name_of(folder.path)
    children = _children(request.store, folder)
    if request.action == "rename":
        return _rename(request, folder, children, console)
    _refuse_parent(request, name, children)
    target = None
    with locked(folder.path, console, patience=0.0, moves=True), writing(folder.path):
        if request.action == "archive":
            target = _archived(request.store, name)
            _require_free(target)
            make_folder(target.parent)
            folder.path.rename(target)
        else:
            gone = folder.path.with_name(f".{folder.path.name}.old")
            folder.path.rename(gone)  # at once, so that a kill leaves no half of a run
            shutil.rmtree(gone)
    return ManageReport(request.action, name, None if target is None else str(target))


def dry_run(request: ManageRequest, console: Console) -> None:
    """Print what would be done.

    Raises:
        SeqrlError: as :func:`run`.
    """
    if request.action == "restore":
        facts: dict[str, object] = {"restore": request.run, "to": str(request.store.root / request.run)}
    else:
        folder = _found(request, console)
        children = _children(request.store, folder)
        facts = {request.action: str(folder.path), "size": byte_size(_bytes(folder.path))}
        facts |= {"to": _target(request, folder)} if request.action != "delete" else {}
        facts["fine-tuned from it"] = [request.store.name_of(child.path) for child, _ in children]
    console.emit(facts)
    console.show_facts(facts)


def _found(request: ManageRequest, console: Console) -> RunFolder:
    """The run, which no other process writes; only a run that is named is changed."""
    if request.action not in ACTIONS:
        raise UsageError(f"unknown action {request.action!r}", f"choose {', '.join(ACTIONS)}")
    if not request.run:
        raise UsageError(f"no run given to {request.action}", f"seqrl runs {request.action} RUN")
    folder = request.store.find(request.run, console.warn)
    named = {request.run.rstrip("/"), request.store.root.joinpath(request.run).as_posix()}
    if not named & {folder.path.name, request.store.name_of(folder.path), str(folder.path), folder.path.as_posix()}:
        hint = f"seqrl runs {request.action} {request.store.name_of(folder.path)}"
        raise UsageError(f"{request.run} is not the name of a run", f"to {request.action} its latest run: {hint}")
    refuse_locked(folder.path)
    return folder


def _children(store: RunStore, folder: RunFolder) -> list[tuple[RunFolder, RunRecord]]:
    """Runs that were fine-tuned from a run, online (named by name) or offline (by its path)."""
    name = store.name_of(folder.path)
    return [
        (child, record)
        for child, record in store.runs()
        if (record.parent == folder.path.name and child.path.parent == folder.path.parent)
        or (record.base is not None and record.base.run == name)
    ]


def _refuse_parent(request: ManageRequest, name: str, children: Sequence[tuple[RunFolder, RunRecord]]) -> None:
    if children and not request.force:
        others = ", ".join(request.store.name_of(child.path) for child, _ in children)
        message = f"{others} was fine-tuned from {name}, and its table rows compare with it"
        raise SeqrlError(message, f"{request.action} that first, or add --force")


def _rename(
    request: ManageRequest, folder: RunFolder, children: Sequence[tuple[RunFolder, RunRecord]], console: Console
) -> ManageReport:
    """Rename a run in its own files, in those of runs that name it as their parent, and last its folder.

    After a kill the same command does the rest.
    """
    if request.new_name is None:
        raise UsageError("no new name given", f"seqrl runs rename {request.run} NAME")
    target = folder.path.with_name(check_name("run", request.new_name))
    _require_free(target)
    old, new = (request.store.name_of(path) for path in (folder.path, target))
    with ExitStack() as stack:
        for each in (folder, *(child for child, _ in children)):
            stack.enter_context(locked(each.path, console, patience=0.0, moves=True))
        for child, record in children:
            _rename_parent(child, record, (old, new), (folder.path.name, target.name))
        for path in episode_paths(folder.plans, below=True):
            rename_run_in_episode(path, run=target.name)
        write_record(folder.record, read_record(folder.record).model_copy(update={"name": target.name}), fresh=False)
        with writing(folder.path):
            folder.path.rename(target)
    return ManageReport("rename", old, str(target), tuple(request.store.name_of(child.path) for child, _ in children))


def _rename_parent(child: RunFolder, record: RunRecord, paths: tuple[str, str], names: tuple[str, str]) -> None:
    """Name a run's parent anew in its record, its configuration and its episodes."""
    online = record.parent == names[0]
    if online:
        write_record(child.record, record.model_copy(update={"parent": names[1]}), fresh=False)
    elif record.base is not None:
        base = record.base.model_copy(update={"run": paths[1]})
        write_record(child.record, record.model_copy(update={"base": base}), fresh=False)
    if child.config.exists():
        config = load_config(child.config)
        if config.finetune.parent == paths[0]:
            renamed = validate(merge(config.model_dump(), {"finetune": {"parent": paths[1]}}))
            write_text_atomic(child.config, dump_config(renamed))
    for path in episode_paths(child.plans, below=True):
        rename_run_in_episode(path, parent=names[1] if online else paths[1])


def _restore(request: ManageRequest) -> ManageReport:
    source, target = _archived(request.store, request.run), request.store.root / request.run
    if not (source / "run.json").is_file():
        archived = sorted(path.parent for path in (request.store.root / ARCHIVE).rglob("run.json"))
        names = ", ".join(path.relative_to(request.store.root / ARCHIVE).as_posix() for path in archived)
        raise SeqrlError(f"no archived run {request.run!r}", f"archived: {names}" if names else "nothing is archived")
    _require_free(target)
    make_folder(target.parent)
    with writing(target):
        source.rename(target)
    return ManageReport("restore", request.run, str(target))


def _archived(store: RunStore, name: str) -> Path:
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise UsageError(f"{name} is not below the run directory", "name a run of it, as `seqrl runs` does")
    return store.root / ARCHIVE / name


def _target(request: ManageRequest, folder: RunFolder) -> str:
    if request.action == "archive":
        return str(_archived(request.store, request.store.name_of(folder.path)))
    return str(folder.path.with_name(check_name("run", request.new_name or "")))


def _require_free(target: Path) -> None:
    if target.exists():
        raise UsageError(f"{target} already exists", "choose another name, or rename that one first")


def _bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
