"""The page ``docs/configuration.md``, from the declarations; ``python -m tests.docs.write_configuration`` writes it."""

from __future__ import annotations

from seqrl_cli.config.architectures import ARCHITECTURES
from seqrl_cli.config.continual import ContinualConfig
from seqrl_cli.config.explain import KeyHelp, all_keys, default_text
from seqrl_cli.config.finetune import FinetuneConfig
from seqrl_cli.config.overrides import sections_of
from seqrl_cli.config.schema import Config
from seqrl_cli.config.section import Section
from seqrl_cli.config.value_text import value_text

_HEAD = """# Configuration keys

Every key of the configuration, written from the program by `python -m tests.docs.write_configuration`.
On the command line a key is typed as `key=value`; `seqrl presets show DATASET --explain` shows the values that a
dataset is trained with. [Glossary](glossary.md) explains the terms.

Defaults are those of the sizes `paper` and, where it differs, `laptop`, before the preset of a dataset changes them.
A default with architectures in brackets is theirs alone. Symbols are those of the papers and their releases, as far as
they were checked; the others are left out. A run may resume with other values of keys that do not change the model.
"""


def page() -> str:
    """The whole page."""
    parts = [_HEAD]
    top = [help_ for help_ in all_keys() if "." not in help_.key]
    parts.append(_table("Without a section", "", top))
    for name, field in Config.model_fields.items():
        own = [help_ for help_ in all_keys() if help_.key.startswith(f"{name}.")]
        if own:
            section = sections_of(field.annotation)[0]
            about = (
                "What the network is."
                if name == "model"
                else " ".join((section.__doc__ or "").split("\n\n")[0].split())
            )
            parts.append(_table(f"`{name}`", about, own))
    parts.append(
        _short_table("finetune", FinetuneConfig, "`seqrl finetune` alone has these: what learns of a trained model.")
    )
    about = "`seqrl continual` alone has these; `--dry-run` prints them with the method's own values."
    parts.append(_short_table("continual", ContinualConfig, about))
    return "\n".join(parts)


def _table(title: str, about: str, keys: list[KeyHelp]) -> str:
    lines = [f"## {title}\n", *([f"{about}\n"] if about else [])]
    lines += ["| key | meaning | symbol | effect | default | architectures |", "|---|---|---|---|---|---|"]
    lines += [_row(help_) for help_ in keys]
    return "\n".join(lines) + "\n"


def _short_table(name: str, section: type[Section], about: str) -> str:
    """The keys of one command, which have no architectures, symbols or papers' sizes."""
    lines = [f"## `{name}`\n", f"{about}\n", "| key | meaning | default |", "|---|---|---|"]
    for key, field in section.model_fields.items():
        if key in ("parent", "parent_recipe"):  # which the command itself writes
            continue
        cells = [f"`{name}.{key}`", str(field.description), f"`{value_text(field.default)}`"]
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _row(help_: KeyHelp) -> str:
    paper, laptop = default_text(help_.key), default_text(help_.key, "laptop")
    default = f"`{paper}`" + (f", laptop `{laptop}`" if laptop != paper else "")
    everyone = len(help_.owners) == len(ARCHITECTURES)
    archs = "all" if everyone else ", ".join(help_.owners)
    cells = [f"`{help_.key}`", help_.meaning, help_.symbol, help_.effect, default, archs]
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"
