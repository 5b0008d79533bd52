"""Settings of learners, made from a configuration."""

from __future__ import annotations

from seqrl_cli.config.schema import Config
from seqrl_cli.training.policy_learner import PolicySettings


def policy_settings(config: Config) -> PolicySettings:
    """How a policy learns, offline and online."""
    train, policy = config.train, config.policy
    return PolicySettings(
        seed=config.seed,
        optimizer=policy.optimizer,
        learning_rate=train.learning_rate,
        warmup_updates=policy.warmup_updates,
        betas=(train.beta1, train.beta2),
        weight_decay=train.weight_decay,
        grad_clip=train.grad_clip,
        entropy_samples=policy.entropy_samples,
        target_entropy=policy.target_entropy,
        initial_temperature=policy.initial_temperature,
        temperature_rate=policy.temperature_rate,
        precision=train.precision,
        compile=train.compile,
    )
