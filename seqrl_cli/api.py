"""The Python API: names that scripts and notebooks may rely on.

Each verb is a function ``verb(request, console) -> report``. ``docs/python-api.md`` has examples.
Importing this module imports PyTorch; ``import seqrl_cli`` alone does not.
"""

from __future__ import annotations

from seqrl_cli.artifacts.dataset import DatasetRef
from seqrl_cli.artifacts.families import load_trained
from seqrl_cli.artifacts.locate import dataset_config
from seqrl_cli.artifacts.policy import TrainedPolicy
from seqrl_cli.artifacts.token_model import TrainedModel
from seqrl_cli.artifacts.trained_run import TrainedRun
from seqrl_cli.config.schema import Config
from seqrl_cli.console import Console
from seqrl_cli.data.discretizer import Discretizer
from seqrl_cli.data.episodes import Episodes
from seqrl_cli.errors import SeqrlError, UsageError
from seqrl_cli.models.build import build_decoder
from seqrl_cli.models.decoding.interface import Decoder, Window
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import RunRecord
from seqrl_cli.runs.store import RunStore
from seqrl_cli.workflows.data.collect import CollectRequest
from seqrl_cli.workflows.data.collect import run as collect
from seqrl_cli.workflows.data.discretize import DiscretizeRequest, TokensReport
from seqrl_cli.workflows.data.discretize import run as discretize
from seqrl_cli.workflows.data.download import DatasetReport, DownloadRequest
from seqrl_cli.workflows.data.download import run as download
from seqrl_cli.workflows.finetune.run import FinetuneReport, FinetuneRequest
from seqrl_cli.workflows.finetune.run import run as finetune
from seqrl_cli.workflows.finetune_online.resolve import FinetuneOnlineRequest
from seqrl_cli.workflows.finetune_online.run import FinetuneOnlineReport
from seqrl_cli.workflows.finetune_online.run import run as finetune_online
from seqrl_cli.workflows.plan.run import PlanReport
from seqrl_cli.workflows.plan.run import run as plan
from seqrl_cli.workflows.plan.setup import PlanRequest
from seqrl_cli.workflows.report.plot import PlotReport, PlotRequest
from seqrl_cli.workflows.report.plot import run as plot
from seqrl_cli.workflows.report.render import RenderRequest, VideoReport
from seqrl_cli.workflows.report.render import run as render
from seqrl_cli.workflows.report.table import TableReport, TableRequest
from seqrl_cli.workflows.report.table import run as table
from seqrl_cli.workflows.train.run import TrainReport, TrainRequest
from seqrl_cli.workflows.train.run import run as train

__all__ = [
    "CollectRequest",
    "Config",
    "Console",
    "DatasetRef",
    "DatasetReport",
    "Decoder",
    "DiscretizeRequest",
    "Discretizer",
    "DownloadRequest",
    "Episodes",
    "FinetuneOnlineReport",
    "FinetuneOnlineRequest",
    "FinetuneReport",
    "FinetuneRequest",
    "PlanReport",
    "PlanRequest",
    "PlotReport",
    "PlotRequest",
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
    "TrainedRun",
    "UsageError",
    "VideoReport",
    "Window",
    "build_decoder",
    "collect",
    "dataset_config",
    "discretize",
    "download",
    "finetune",
    "finetune_online",
    "load_trained",
    "plan",
    "plot",
    "render",
    "table",
    "train",
]
