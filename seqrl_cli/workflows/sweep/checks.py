"""What a sweep is refused for, apart from single wrong values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from seqrl_cli.artifacts.locate import locate
from seqrl_cli.config.grid import Grid
from seqrl_cli.config.sweep_file import sweep_presets
from seqrl_cli.errors import SeqrlError, UsageError, nearest
from seqrl_cli.runs.store import RunStore
from seqrl_cli.runs.sweeps import SweepMember, SweepRecord, is_sweep


def check_dataset(store: RunStore, dataset: str) -> None:
    """Check that a word names a dataset.

    Raises:
        UsageError: it does not; the hint offers a sweep of such a name, if there is one.
    """
    try:
        locate(store, dataset)
    except UsageError as error:
        if is_sweep(store, dataset):
            hint = f"repeat the command that began it to go on; `seqrl sweep status {dataset}` shows how far it is"
            raise UsageError(f"{dataset} is a sweep, not a dataset", hint) from error
        if close := nearest(dataset, sweep_presets()):
            raise UsageError(f"unknown dataset or sweep {dataset!r}", f"did you mean {close!r}?") from error
        raise


def check_axes(grid: Grid) -> None:
    """Refuse axes that would train one model twice, or need several datasets in one folder.

    Raises:
        UsageError: names the axis.
    """
    for key in grid.axes:
        values = ",".join(grid.train.get(key, ()))
        if key.startswith("data."):
            message = f"{key} cannot be an axis: all runs of a dataset read the same dataset.h5 and tokens.h5"
            raise UsageError(message, "sweep over it in run directories of its own (--runs-dir)")
        if key.startswith("plan."):
            message = f"{key} changes no trained model, so as an axis it would train each model several times"
            raise UsageError(message, f"plan every model with each value: --plan {key}={values}")


def refuse_equal_names(members: Sequence[SweepMember]) -> None:
    """Stop if two members would write one run.

    Raises:
        UsageError: names the run, and where its members differ.
    """
    counts = Counter(member.run for member in members)
    name, count = counts.most_common(1)[0]
    if count > 1:
        one, other = [member.values for member in members if member.run == name][:2]
        differ = "; ".join(f"{key} = {one[key]} and {other[key]}" for key in one if one[key] != other[key])
        message = f"two members have the name {name}: {differ or 'their datasets are one'}"
        raise UsageError(message, "write these values differently, or sweep over them one by one")


def check_same(known: SweepRecord, asked: SweepRecord) -> None:
    """Let a sweep go on, also with more members, and stop at one whose members are others.

    Raises:
        SeqrlError: names the sweep and the first difference.
    """
    steps = {member.run: member.steps for member in asked.members}
    for member in known.members:
        if steps.get(member.run) != member.steps:
            what = f"trains {member.run}" + (" in another way" if member.run in steps else ", which is not asked for")
            message = f"there is a sweep {known.name} already, and it {what}"
            hint = "give this one a --name; --force replaces the list of the old one, whose runs stay"
            raise SeqrlError(message, hint)
