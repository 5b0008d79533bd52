"""``train(dataset, arch="odt")``: what ``seqrl train`` does, from a program."""

from __future__ import annotations

from typing import Any

from seqrl_cli.artifacts.locate import dataset_config
from seqrl_cli.cli.options import default_store
from seqrl_cli.console import Console
from seqrl_cli.scripting.dataset import Dataset
from seqrl_cli.scripting.keys import PathLike, dotted
from seqrl_cli.workflows.train import run as workflow
from seqrl_cli.workflows.train.run import TrainReport, TrainRequest


def train(
    dataset: Dataset | PathLike,
    arch: str | None = None,
    *,
    seed: int | None = None,
    updates: int | None = None,
    name: str | None = None,
    size: str | None = None,
    preset: str | None = None,
    device: str = "auto",
    threads: int | None = None,
    runs_dir: PathLike | None = None,
    force: bool = False,
    quiet: bool = False,
    **keys: Any,
) -> TrainReport:
    """Train a model, resume its training, or return at once if it is trained already.

    Args:
        dataset: a dataset from :func:`~seqrl_cli.load_dataset` or made in memory, which puts it into the run directory;
            or a name or path, as ``seqrl train`` takes it.
        arch: ``gpt`` (None, too), ``retnet``, ``dt``, ``odt``, ``bc`` or ``mddt``.
        seed: seed of the training; None = from the preset.
        updates: optimizer steps; None = from the preset.
        name: name of the run; None = ``<arch>-s<seed>``.
        size: ``paper`` or ``laptop``; None = by the dataset's name.
        preset: another dataset's preset; None = the dataset's own.
        device: ``auto``, ``cpu``, ``cuda`` …
        threads: CPU threads; None = all cores.
        runs_dir: the run directory; None = ``$SEQRL_RUNS``, else ``runs``.
        force: replace a run that exists.
        quiet: show no progress; warnings are printed all the same.
        **keys: further keys of the configuration, with ``__`` for the dot: ``train__learning_rate=1e-3``.

    Returns:
        A report; ``load(report.run)`` loads the run.

    Raises:
        UsageError: there is no such dataset or key, or a bad value.
        SeqrlError: the run has other settings or data, is in use, or cannot be written.
    """
    store = default_store(runs_dir)
    wanted = dataset.locate(runs_dir=runs_dir).id if isinstance(dataset, Dataset) else str(dataset)
    daily = {"seed": seed, "train.updates": updates, "model.arch": arch}
    overrides = {**dotted(keys), **dotted(daily)}
    ref, config = dataset_config(store, wanted, size=size, preset=preset, overrides=overrides)
    request = TrainRequest(
        ref, config, name=name, device=device, threads=threads, force=force, argv=("seqrl_cli.train", wanted)
    )
    return workflow.run(request, Console(quiet=quiet))
