"""How long the members of a sweep play at most, measured with models that are not trained yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from seqrl_cli.artifacts.families import family_of
from seqrl_cli.artifacts.token_model import TrainedModel
from seqrl_cli.artifacts.train_job import TrainJob, count_parameters
from seqrl_cli.config.architectures import ARCHITECTURES
from seqrl_cli.config.schema import Config
from seqrl_cli.envs.trust import require_accepted
from seqrl_cli.errors import SeqrlError
from seqrl_cli.models.build import device_of
from seqrl_cli.planning.plan_check import check_plan
from seqrl_cli.runs.layout import RunFolder
from seqrl_cli.runs.record import new_record
from seqrl_cli.workflows.plan.agents import AgentOptions, make_agent_spec
from seqrl_cli.workflows.plan.setup import PlanSession
from seqrl_cli.workflows.plan.timing import PlayTime, measure
from seqrl_cli.workflows.sweep.setup import Member, with_plan
from seqrl_cli.workflows.sweep.states import MemberState

_PATIENCE = 3.0  # seconds of measuring per kind of plan: a grid may have many
_FREE = frozenset(
    ("k_act", "cdf_obs", "cdf_act", "percentile", "discount", "elites", "target_return", "target_multiple")
)
"""Settings that change no time worth measuring."""


@dataclass(frozen=True)
class PlayEffort:
    """What the plans of a member take.

    Attributes:
        plans: times and episodes of each plan; empty if there is none, or if they are not known.
        unknown: why they are not known.
    """

    plans: tuple[tuple[PlayTime, int], ...] = ()
    unknown: str = ""

    def seconds(self, state: MemberState) -> float:
        """The most that a member may still play: no episode ends before its step limit."""
        left = state.wanted - state.episodes or None  # known once a member has begun to play
        return sum(time.seconds(min(left or episodes, episodes)) for time, episodes in self.plans)


@dataclass(frozen=True)
class PlayTimes:
    """Measures how long plans take, each kind of plan once: what filters actions, seeds and the like cost nothing."""

    _known: dict[tuple[object, ...], PlayTime] = field(default_factory=dict)

    def effort(self, member: Member, job: TrainJob) -> PlayEffort:
        """Let a member's untrained model play a few steps of each of its plans.

        Args:
            member: the member whose plans are measured.
            job: the member's training, whose model is left in evaluation mode.
        """
        steps = member.member.steps[1:]
        if steps and job.tasks:
            return PlayEffort(unknown=f"{ARCHITECTURES[member.config.model.arch]} plays several tasks")
        try:
            plans = tuple(self._measured(member, job, with_plan(member.config, words)) for words in steps)
        except SeqrlError as error:
            return PlayEffort(unknown=error.message)
        return PlayEffort(plans)

    def _measured(self, member: Member, job: TrainJob, config: Config) -> tuple[PlayTime, int]:
        """The time and the episodes of one plan."""
        session = _session(member, job, config)
        settings = config.plan.model_dump_json(exclude=set(_FREE))
        kind = (session.env_id, count_parameters(job.model), config.model.model_dump_json(), settings)
        if kind not in self._known:
            self._known[kind] = measure(session, session.config.episodes, _PATIENCE)
        return self._known[kind], session.config.episodes


def why_unknown(efforts: Sequence[PlayEffort]) -> str | None:
    """The first reason why the time of some members is not known; None if all are known."""
    return next((effort.unknown for effort in efforts if effort.unknown), None)


def _session(member: Member, job: TrainJob, config: Config) -> PlanSession:
    """A plan of a run that is not there yet.

    Raises:
        SeqrlError: the model cannot hold it, or the environment is not known or not trusted.
    """
    dataset = member.dataset
    check_plan(job.model, config)
    env_id = dataset.environment()
    require_accepted(env_id)
    run = RunFolder(dataset.folder.path / member.member.name)
    record = new_record(
        datasets=dataset.datasets,
        env_id=env_id,
        arch=config.model.arch,
        name=member.member.name,
        seed=config.seed,
        status="running",
        argv=[],
        device=str(device_of(job.model)),
        threads=0,
        tokens_fingerprint="",
        parameters=count_parameters(job.model),
    )
    trained = family_of(config.model.arch).as_run(job.model.eval(), job.data, config, record)
    others = (cast(TrainedModel, trained),) * len(config.plan.ensemble.split("+")) if config.plan.ensemble else ()
    spec = make_agent_spec(trained, config.plan, AgentOptions(others=others), lambda warning: None)
    size = trained.observation_size(lambda: dataset.observation_size)
    return PlanSession(run, spec, config.plan, env_id, None, size, seed=0)
