"""What names a run: runs that were made from it, and sweeps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from seqrl_cli.config.nested import merge
from seqrl_cli.config.presets import dump_config, load_config, validate
from seqrl_cli.continual.run_files import ContinualFolder, ContinualRecord, write_base
from seqrl_cli.continual.run_files import find_runs as find_continual_runs
from seqrl_cli.files.atomic import write_text_atomic
from seqrl_cli.planning.episode_files import episode_paths, rename_run_in_episode
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import RunRecord, read_record, write_record
from seqrl_cli.runs.store import RunStore
from seqrl_cli.runs.sweeps import sweeps_with


@dataclass(frozen=True)
class Dependents:
    """What names a run.

    Attributes:
        tuned: runs that were fine-tuned from it, online (which name it by name) or offline (by its path).
        continual: runs that learned tasks one after the other from it.
        sweeps: names of the sweeps whose member it is.
    """

    tuned: tuple[tuple[RunFolder, RunRecord], ...]
    continual: tuple[tuple[ContinualFolder, ContinualRecord], ...]
    sweeps: tuple[str, ...]

    @property
    def folders(self) -> list[Path]:
        """Folders of all runs that were made from it."""
        return [folder.path for folder, _ in self.tuned] + [folder.path for folder, _ in self.continual]

    def objections(self, store: RunStore, name: str) -> list[str]:
        """Why the run should stay where it is, a sentence for each kind of run that was made from it."""
        online = [store.name_of(folder.path) for folder, record in self.tuned if record.base is None]
        offline = [store.name_of(folder.path) for folder, record in self.tuned if record.base is not None]
        continual = [store.name_of(folder.path) for folder, _ in self.continual]
        found = []
        if online:
            found.append(f"{_were(online)} fine-tuned from {name}, and rows of the table compare with it")
        if offline:
            found.append(f"{_were(offline)} fine-tuned from {name}, and an adapter cannot be used without its weights")
        if continual:
            found.append(f"{', '.join(continual)} began with the weights of {name} and cannot be used without them")
        return found

    def rename(self, old: Path, new: Path, store: RunStore) -> None:
        """Name the run anew in the runs that were made from it; the caller holds their locks."""
        paths = store.name_of(old), store.name_of(new)
        for child, record in self.tuned:
            _rename_parent(child, record, paths, (old.name, new.name))
        for folder, each in self.continual:
            write_base(folder, each, paths[1])


def _were(names: list[str]) -> str:
    return f"{', '.join(names)} {'was' if len(names) == 1 else 'were'}"


def dependents_of(store: RunStore, folder: Path) -> Dependents:
    """What names the run in a folder."""
    name = store.name_of(folder)
    tuned = [
        (child, record)
        for child, record in store.runs()
        if (record.parent == folder.name and child.path.parent == folder.parent)
        or (record.base is not None and record.base.run == name)
    ]
    continual = [run for run in find_continual_runs(store)[0] if run[1].base == name]
    return Dependents(tuple(tuned), tuple(continual), tuple(sweeps_with(store, name)))


def _rename_parent(child: RunFolder, record: RunRecord, paths: tuple[str, str], names: tuple[str, str]) -> None:
    """Name a run's parent anew in its record, its configuration and its episodes."""
    online = record.parent == names[0]
    if child.config.exists():
        config = load_config(child.config)
        if config.finetune.parent == paths[0]:
            renamed = validate(merge(config.model_dump(), {"finetune": {"parent": paths[1]}}))
            write_text_atomic(child.config, dump_config(renamed))
    for path in episode_paths(child.plans, below=True):
        rename_run_in_episode(path, parent=names[1] if online else paths[1])
    record = read_record(child.record)  # again, now that nobody else writes it
    if online:  # last, because it says after a kill which runs are still to be renamed
        write_record(child.record, record.model_copy(update={"parent": names[1]}), fresh=False)
    elif record.base is not None:
        base = record.base.model_copy(update={"run": paths[1]})
        write_record(child.record, record.model_copy(update={"base": base}), fresh=False)
