"""``seqrl presets``: print the sizes and presets, or one of them."""

from __future__ import annotations

from typing import Any

from seqrl_cli.artifacts.locate import dataset_config, find_stored
from seqrl_cli.config.explain import KeyHelp, all_keys
from seqrl_cli.config.nested import differences, get_dotted
from seqrl_cli.config.presets import SIZES, dump_config, preset_names, resolve_config
from seqrl_cli.config.value_text import value_text
from seqrl_cli.console import Console
from seqrl_cli.data.catalogue import resolve
from seqrl_cli.data.suites import suites
from seqrl_cli.runs.store import RunStore

_SIZE_OF = {"paper": "D4RL's names", "laptop": "sim/…, minari/…, files"}


def show_presets(arch: str, size: str | None, console: Console) -> None:
    """Print the sizes, and every preset of an architecture with its differences from ``base`` at one size.

    Raises:
        UsageError: an unknown size.
    """
    size = size or "paper"
    bases = {name: _preset("base", name, arch) for name in SIZES}
    base = _preset("base", size, arch)
    sizes = {name: _difference(bases["paper"], values) for name, values in bases.items()}
    changes = {name: _difference(base, _preset(name, size, arch)) for name in preset_names(arch)}
    rows = [{"preset": name, "changes": changed} for name, changed in changes.items()]
    console.emit({"sizes": sizes, "size": size, "presets": rows})
    cells = [[name, _SIZE_OF[name], _changes(sizes[name])] for name in SIZES]
    console.show_rows(["size", "default for", "base differs from the papers' in"], cells)
    cells = [[name, _changes(changed)] for name, changed in changes.items()]
    console.show_rows(["preset", f"differs from base at size {size} in"], cells)
    console.note(
        "simulated datasets use the preset of their D4RL counterpart at laptop size: seqrl presets --size laptop"
    )
    console.note("every setting that a dataset is trained with: seqrl presets show sim/hopper-medium")


def show_preset(
    store: RunStore, name: str, arch: str, size: str | None, console: Console, *, explain: bool = False
) -> None:
    """Print a preset with every key, or, for a dataset or suite, the configuration that training on it would use."""
    overrides = {"model.arch": arch}
    if name in preset_names(arch):
        config = resolve_config(name, size=size or "paper", preset=name, overrides=overrides)
    elif find_stored(store, name) is not None:
        _, config = dataset_config(store, name, size=size, overrides=overrides)
    else:
        dataset = name if all(part in suites() for part in name.split("+")) else resolve(name).id
        config = resolve_config(dataset, size=size, overrides=overrides)
    if explain:
        _show_explained(config.model_dump(), arch, console)
        return
    console.emit(config.model_dump())
    console.show(dump_config(config).rstrip())


def _show_explained(values: dict[str, Any], arch: str, console: Console) -> None:
    """Print each key that the architecture has with its value, and below it what it means and changes."""
    shown = [help_ for help_ in all_keys() if arch in help_.owners]
    rows = [{"key": one.key, "value": get_dotted(values, one.key), **_explained(one)} for one in shown]
    console.emit({"keys": rows})
    for row in rows:
        symbol = f"  [{row['symbol']}]" if row["symbol"] else ""
        console.show(f"{row['key']}={value_text(row['value'])}{symbol}\n    {row['meaning']}; {row['effect']}")


def _explained(one: KeyHelp) -> dict[str, str]:
    return {"meaning": one.meaning, "symbol": one.symbol, "effect": one.effect}


def _preset(name: str, size: str, arch: str) -> dict[str, Any]:
    return resolve_config("base", size=size, preset=name, overrides={"model.arch": arch}).model_dump()


def _difference(base: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The keys in which a preset or size differs from the base, with its values."""
    return {key: get_dotted(other, key) for key in differences(base, other) if key not in ("preset", "size")}


def _changes(changes: dict[str, Any]) -> str:
    """The changes as typed on the command line: ``plan.cdf_act=null, plan.k_act=40``."""
    return ", ".join(f"{key}={value_text(value)}" for key, value in changes.items()) or "–"
