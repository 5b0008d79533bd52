"""The Python interface: the names that scripts and notebooks may rely on, wherever the program keeps them.

Each verb is a function of a request and a console, and returns a report. ``docs/python-api.md`` shows them at work.
Importing this module imports PyTorch; ``import seqrl_cli`` alone does not.
"""

from __future__ import annotations

from seqrl_cli.config.schema import Config
from seqrl_cli.console import Console
from seqrl_cli.data.discretizer import Discretizer
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.models.build import build_decoder
from seqrl_cli.models.decoder import Decoder, Window
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import RunRecord
from seqrl_cli.runs.store import RunStore
from seqrl_cli.workflows.collect import CollectRequest
from seqrl_cli.workflows.collect import collect_dataset as collect
from seqrl_cli.workflows.datasets import DatasetReport, dataset_config, load_episodes
from seqrl_cli.workflows.datasets import acquire as download
from seqrl_cli.workflows.finetune import FinetuneReport
from seqrl_cli.workflows.finetune import finetune_run as finetune
from seqrl_cli.workflows.finetune_job import FinetuneRequest
from seqrl_cli.workflows.models import TrainedModel
from seqrl_cli.workflows.models import load_model as load_trained
from seqrl_cli.workflows.plan import PlanReport
from seqrl_cli.workflows.plan import plan_episodes as plan
from seqrl_cli.workflows.planner import PlanRequest
from seqrl_cli.workflows.policies import TrainedPolicy, load_policy
from seqrl_cli.workflows.render import RenderRequest
from seqrl_cli.workflows.render import render_plan as render
from seqrl_cli.workflows.table import TableReport, TableRequest
from seqrl_cli.workflows.table import tabulate as table
from seqrl_cli.workflows.tokens import TokensReport, discretize
from seqrl_cli.workflows.train import TrainReport, TrainRequest
from seqrl_cli.workflows.train import train_model as train

__all__ = [
    "CollectRequest",
    "Config",
    "Console",
    "DatasetReport",
    "Decoder",
    "Discretizer",
    "Episodes",
    "FinetuneReport",
    "FinetuneRequest",
    "PlanReport",
    "PlanRequest",
    "RenderRequest",
    "RunFolder",
    "RunRecord",
    "RunStore",
    "SeqrlError",
    "TableReport",
    "TableRequest",
    "TokensReport",
    "TrainReport",
    "TrainRequest",
    "TrainedModel",
    "TrainedPolicy",
    "UsageError",
    "Window",
    "build_decoder",
    "collect",
    "dataset_config",
    "discretize",
    "download",
    "finetune",
    "load_episodes",
    "load_policy",
    "load_trained",
    "plan",
    "render",
    "table",
    "train",
]
