"""What a plan's folder is called: its settings, in short; and a return, as it is told everywhere else."""

from __future__ import annotations

from seqrl_cli.config.architectures import TOKEN_MODELS
from seqrl_cli.config.schema import PlanConfig

# How a setting that differs from the default is written in a plan folder's name.
SHORT_NAMES = {
    "n_expand": "expand",
    "k_obs": "kobs",
    "k_act": "kact",
    "cdf_obs": "cdfobs",
    "cdf_act": "cdfact",
    "percentile": "p",
    "prefix_context": "prefix",
    "plan_freq": "freq",
    "discount": "discount",
    "window": "",
    "context": "",
    "precision": "",
    "max_steps": "steps",
}


def plan_name(config: PlanConfig, arch: str, seed: int, checkpoint: int | None = None) -> str:
    """The plan folder's name: ``H15-B128-ctx5-s0``, with every other setting that is not the default in between.

    A policy's is ``RTG3600-ctx5-s0``, or ``mode-s0`` where it is asked for no return.
    """
    context = f"ctx{config.max_context_transitions}"
    if arch in TOKEN_MODELS:
        parts = [f"H{config.horizon}", f"B{config.beam_width}", context]
    else:
        target = config.target_return
        parts = ["mode"] if target is None else [f"RTG{return_text(target).replace(',', '')}", context]
    for key, short in SHORT_NAMES.items():
        value = getattr(config, key)
        if value != PlanConfig.model_fields[key].default:
            parts.append(f"{short}{_short(value)}")
    if checkpoint is not None:
        parts.append(f"step{checkpoint}")
    return "-".join([*parts, f"s{seed}"])


def _short(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "on", False: "off"}[value]
    return str(value)


def return_text(value: float) -> str:
    """A return that is asked for, with all digits that tell it from others and no more: ``3,600``, ``2,965.2``."""
    return f"{value:,}".removesuffix(".0")
