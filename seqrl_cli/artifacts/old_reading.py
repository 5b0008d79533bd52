"""Datasets of users' files that an earlier version read by other rules: read anew where that is safe, else named."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

from seqrl_cli.artifacts.facts import DatasetFacts, DatasetFile, state_also, write_dataset
from seqrl_cli.artifacts.sources import read_user_file
from seqrl_cli.config.sections import DataConfig
from seqrl_cli.console import Console, counted
from seqrl_cli.data.catalogue import DatasetSpec, resolve
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.data.formats.d4rl import read_d4rl
from seqrl_cli.data.formats.read import READING_RULES, content_sha256
from seqrl_cli.errors import SeqrlError
from seqrl_cli.runs.store import RunStore


def is_old(facts: DatasetFacts) -> bool:
    """Whether a dataset was made of a user's file by the rules of an earlier version."""
    return facts.source == "file" and facts.attributes.get("reading_rules") != READING_RULES


def read_anew(dataset_id: str, spec: DatasetSpec, file: DatasetFile, store: RunStore, console: Console) -> None:
    """Replace an old dataset by what the present rules make of its file, unless runs were trained on it.

    Args:
        dataset_id: id of the dataset.
        spec: the dataset's specification, with the path that the user gave, if any.
        file: the dataset's ``dataset.h5``.
        store: the run directory, in which its runs are looked for.
        console: gets one line.
    """
    facts = file.read()
    if not is_old(facts):  # another process has replaced it
        return
    path = spec.path or _recorded_path(facts)
    hint = "`seqrl download FILE --force` reads the file again"
    said = StringIO()
    try:
        episodes, attributes = _read_source(path, facts, Console(stderr=said))
    except SeqrlError as error:
        warning = f"an earlier version, which may have cut episodes elsewhere, made {dataset_id}"
        console.warn(f"{warning}, and it cannot be read anew: {error.message}; {hint}")
        return
    old = read_d4rl(file.path)
    if episodes.fingerprint() == old.fingerprint():
        state_also(file, old, reading_rules=READING_RULES)
        return
    same = len(old) == len(episodes)
    change = f"{counted(len(old), 'episode')} are now {'others' if same else f'{len(episodes):,}'}"
    if runs := [folder for folder, record in store.runs() if dataset_id in record.datasets]:
        trained = f"{counted(len(runs), 'run')} trained on it could not be resumed"
        console.warn(f"an earlier version cut {dataset_id} elsewhere: its {change}; {hint}, but {trained}")
        return
    write_dataset(file.path, episodes, {**attributes, "dataset_id": dataset_id})
    console.note(f"{dataset_id} was cut elsewhere by an earlier version and has been read anew: {change}")
    for line in said.getvalue().splitlines():
        console.note(line)


def _recorded_path(facts: DatasetFacts) -> Path:
    """Where the file was when the dataset was made."""
    recorded = facts.attributes.get("path")
    return Path(recorded if isinstance(recorded, str) else "")


def _read_source(path: Path, facts: DatasetFacts, console: Console) -> tuple[Episodes, dict[str, Any]]:
    """The episodes of the file that a dataset was made of, read as the user wanted it then.

    Raises:
        SeqrlError: the file is gone, has changed, or is refused now.
    """
    if not (path.is_file() or path.is_dir()) or not path.name:
        raise SeqrlError(f"its file {path} is gone" if path.name else "the path of its file is unknown")
    if content_sha256(path) != facts.attributes.get("sha256"):
        raise SeqrlError(f"{path} has changed since")
    settings = {key: facts.attributes[key] for key in ("dones", "reset_rows") if key in facts.attributes}
    data = DataConfig.model_validate({"env_id": facts.env_id, **settings})
    return read_user_file(resolve(str(path)), data, console)
