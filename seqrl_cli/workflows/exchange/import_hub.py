"""``seqrl import`` of a folder that ``export --format hub`` wrote, from this machine or from the hub."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from seqrl_cli.artifacts.families import load_trained
from seqrl_cli.artifacts.locate import find_stored
from seqrl_cli.config.overrides import overridden
from seqrl_cli.config.presets import dump_config, validate
from seqrl_cli.config.schema import Config
from seqrl_cli.console import Console
from seqrl_cli.data.tokens_file import save_tokens
from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.atomic import make_folder, write_text_atomic
from seqrl_cli.interop.hub_folder import WEIGHTS_FILE, HubModel, is_hub_folder, read_hub_folder
from seqrl_cli.interop.hub_transfer import SCHEME, pull_folder
from seqrl_cli.runs import record as records
from seqrl_cli.runs.layout import RunFolder, check_name, mixture_name
from seqrl_cli.runs.lock import locked
from seqrl_cli.runs.replace import attached_results, finish_replacement, replacing
from seqrl_cli.runs.store import RunStore
from seqrl_cli.training.checkpoints import Checkpoint, saved_states, write_checkpoint


@dataclass(frozen=True)
class HubImportRequest:
    """Options of ``seqrl import`` for a run of seqrl's own.

    Attributes:
        store: the run directory.
        source: a folder, or ``hf://user/name[@revision]``.
        name: name of the run; None = the one that it had.
        force: replace a run that exists.
        argv: the command line, for the record.
    """

    store: RunStore
    source: str
    name: str | None = None
    force: bool = False
    argv: Sequence[str] = ()


@dataclass(frozen=True)
class HubImportReport:
    """Result of the import of a run of seqrl's own."""

    run: str
    arch: str
    source: str
    env_id: str | None
    step: int
    parameters: int
    fresh: bool

    def text(self) -> str:
        """Two lines for a person."""
        place = f" for {self.env_id}" if self.env_id else ""
        return f"{self.arch} of {self.parameters:,} parameters{place}, {self.step:,} updates\n{self.run}"


def is_hub_source(source: str) -> bool:
    """Whether an import's source is a run of seqrl's own: a folder of one, or an address on the hub."""
    return source.startswith(SCHEME) or is_hub_folder(Path(source))


def run(request: HubImportRequest, console: Console) -> HubImportReport:
    """Make a run of the folder, which plays as it did where it was exported.

    Everything is read and checked before the run is there.

    Raises:
        SeqrlError: the folder is damaged, hostile or of a newer version, another run has the name, or the hub refuses.
    """
    with _folder_of(request, console) as (source, origin):
        model = read_hub_folder(source)
        folder, config = _place(request, model)
        with locked(folder.path, console):
            finish_replacement(folder)
            if folder.record.exists() and not request.force:
                if not _is_same(folder, model):
                    message = f"{folder.path} is another run"
                    raise SeqrlError(message, "give this one a --name, or replace the other with --force")
                console.note(f"{folder.path} is already imported; --force imports it again")
                return _report(folder, model, origin, fresh=False)
            if removed := attached_results(folder):
                console.note(f"the new run replaces {folder.path}, and its {removed} are removed with it")
            with replacing(folder) as new:
                _write(request, model, config, origin, folder, new)
        return _report(folder, model, origin, fresh=True)


def dry_run(request: HubImportRequest, console: Console) -> None:
    """Print what ``import`` would do; from the hub, the files are fetched and read.

    Raises:
        SeqrlError: as :func:`run` before it writes.
    """
    with _folder_of(request, console) as (source, origin):
        model = read_hub_folder(source)
        folder, config = _place(request, model)
    facts = {**asdict(_report(folder, model, origin, fresh=False)), "already exists": folder.record.exists()}
    del facts["fresh"]
    console.emit({**facts, "config": config.model_dump()})
    console.show_facts(facts)


@contextmanager
def _folder_of(request: HubImportRequest, console: Console) -> Iterator[tuple[Path, str]]:
    """The folder to read, and where it is from; what is fetched is deleted afterwards."""
    if not request.source.startswith(SCHEME):
        yield Path(request.source), str(Path(request.source).resolve())
        return
    if request.store.network.offline:
        raise SeqrlError(f"{request.source} is on the network, which --offline forbids", "import a folder")
    make_folder(request.store.root)
    with tempfile.TemporaryDirectory(prefix=".hub-", dir=request.store.root) as temporary:
        console.note(f"fetching {request.source}")
        commit = pull_folder(request.source, Path(temporary))
        yield Path(temporary), f"{request.source.partition('@')[0]}@{commit}"


def _place(request: HubImportRequest, model: HubModel) -> tuple[RunFolder, Config]:
    """The folder of the new run, and its configuration.

    Raises:
        SeqrlError: the configuration is none, or the dataset of that name here is of another environment.
    """
    stated = model.run
    references = {"data.reference_min": stated.reference_min, "data.reference_max": stated.reference_max}
    known = {key: value for key, value in references.items() if value is not None}
    config = validate(overridden(stated.config, known))
    if config.model.arch != stated.arch:
        raise SeqrlError(
            f"{request.source} states the architectures {stated.arch} and {config.model.arch}", "export it again"
        )
    dataset = stated.suite or mixture_name(stated.datasets)
    here = find_stored(request.store, dataset)
    if here is not None and len(here.datasets) == 1 and here.env_id != stated.env_id:
        message = f"{dataset} is here data of {here.env_id}, but the model is for {stated.env_id}"
        raise SeqrlError(message, "import it into another run directory: --runs-dir")
    name = check_name("run", request.name or stated.name)
    return request.store.dataset(dataset).run(name), config


def _is_same(folder: RunFolder, model: HubModel) -> bool:
    """Whether the existing run was imported from the same weights."""
    states = saved_states(folder.checkpoints)
    return bool(states) and states[-1].get("imported", {}).get("sha256") == model.run.sha256.get(WEIGHTS_FILE)


def _write(
    request: HubImportRequest, model: HubModel, config: Config, origin: str, final: RunFolder, folder: RunFolder
) -> None:
    """Write the run's files to a folder, and load it. The record comes last: without it, a folder is not a run."""
    stated = model.run
    if (tokens := model.tokens()) is not None:
        save_tokens(folder.own_tokens, tokens)
    write_text_atomic(folder.config, dump_config(config))
    imported = {"project": "seqrl", "weights": origin, "sha256": stated.sha256[WEIGHTS_FILE]}
    write_checkpoint(folder.checkpoints, Checkpoint(stated.step, model.weights, {}, {"imported": imported}), keep=1)
    names = ("datasets", "suite", "env_id", "arch", "seed", "return_range", "tasks", "parent")
    kept = {key: getattr(stated, key) for key in names}
    record = records.new_record(
        **kept,
        name=final.path.name,
        status="finished",
        argv=list(request.argv),
        device="cpu",
        threads=torch.get_num_threads(),
        parameters=sum(tensor.numel() for tensor in model.weights.values()),
        tokens_fingerprint=stated.tokens_fingerprint,
    )
    records.write_record(folder.record, record)
    # Shapes without memory: the sizes in a foreign configuration may be larger than any memory.
    with torch.device("meta"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*to a meta parameter")
        try:
            load_trained(folder, torch.device("meta"))
        except SeqrlError as error:
            message = f"the weights of {request.source} are not those of a model of its configuration"
            raise SeqrlError(message, "copy or export it again") from error


def _report(folder: RunFolder, model: HubModel, origin: str, *, fresh: bool) -> HubImportReport:
    stated = model.run
    return HubImportReport(str(folder.path), stated.arch, origin, stated.env_id, stated.step, stated.parameters, fresh)
