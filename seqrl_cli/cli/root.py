"""The command group: prints parsing errors like all other errors, and as one object with ``--json``."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from typer import Exit, TyperException
from typer.core import TyperGroup

from seqrl_cli.cli.kinds import PlainKinds
from seqrl_cli.cli.session import abandon_stdout, tell_failure
from seqrl_cli.console import Console

_USUAL = {"lr": "learning_rate", "epochs": "n_epochs_ref", "steps": "updates", "layers": "n_layer", "heads": "n_head"}
"""Words of other projects for keys of the configuration."""

_SECTIONS = {"plan": "plan.", "finetune-online": "online.", "continual": "continual."}
"""What the keys begin with that a command takes, where it does not take all."""


class Root(PlainKinds, TyperGroup):
    """The group of all commands; prints Typer's own errors as this program's, with their exit code 2."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        """Parse the command line."""
        with _interruptions_told():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was parsed; once it has a console, it tells of interruptions itself."""
        with _interruptions_told():
            return super().invoke(ctx)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line ``args``, and raise SystemExit."""
        arguments = sys.argv[1:] if args is None else list(args)
        try:
            code = super().main(
                arguments,
                prog_name,
                complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )
        except TyperException as error:
            console = Console(as_json="--json" in arguments)
            tell_failure(console, _sentence(error, arguments), _hint(error, arguments), error.exit_code)
            code = error.exit_code
        except SystemExit as end:  # Rich and Typer exit with code 1 where the reader of a pipe, such as `head`, is gone
            if not isinstance(end.__context__, BrokenPipeError):
                raise
            code = 0
            abandon_stdout()
        except OSError as error:  # help, version and completions, which no command session prints
            code = 0 if isinstance(error, BrokenPipeError) else 1
            abandon_stdout()
            if code:
                Console().fail(f"cannot write the result: {error.strerror}", "check where stdout is written to", code)
        sys.exit(code)


@contextmanager
def _interruptions_told() -> Iterator[None]:
    """Typer itself would end without a word."""
    try:
        yield
    except KeyboardInterrupt as error:
        Console().fail("interrupted", "nothing was written", 130)
        raise Exit(130) from error


def _sentence(error: TyperException, arguments: Sequence[str]) -> str:
    """Typer's message in this program's style: no capital, no full stop, one line, and the wrong value in it."""
    text = " ".join(error.format_message().split()).removesuffix(".").replace(". Did you", "; did you")
    text = re.sub(r" \(Possible options: (.*)\)", r"; did you mean \1?", text)
    text = re.sub(r"^(Invalid value for '.*'): Input ", rf"\1, {_value(error, arguments)}: input ", text)
    if _meant(error, arguments):  # better than the options of similar spelling
        text = text.partition("; did you mean")[0]
    return text[:1].lower() + text[1:]


def _meant(error: TyperException, arguments: Sequence[str]) -> str | None:
    """What an unknown option is meant to be: one with underscores or a single dash, or a configuration key."""
    option = str(getattr(error, "option_name", "") or "")
    context = getattr(error, "ctx", None)
    if not option or context is None:
        return None
    known = {name for param in context.command.params for name in param.opts}
    if option.replace("_", "-") in known:
        return option.replace("_", "-")
    single = [word for word in arguments if word.startswith(option) and f"-{word.partition('=')[0]}" in known]
    return f"-{single[0]}" if len(option) == 2 and single else _key_of(option, context.command)


def _key_of(option: str, command: Any) -> str | None:
    """The configuration key that other projects make an option of, such as ``--lr``, if the command takes it."""
    from seqrl_cli.config.overrides import dotted_keys
    from seqrl_cli.config.schema import Config

    if not any("KEY=VALUE" in (parameter.metavar or "") for parameter in command.params):
        return None
    section = _SECTIONS.get(command.name, "")
    word = option.lstrip("-").replace("-", "_")
    word = _USUAL.get(word, word)
    keys = [key for key in dotted_keys(Config) if key.startswith(section)]
    found = next((key for key in keys if key.rpartition(".")[2] == word), None)
    return None if found is None else f"{found}=VALUE"


def _value(error: TyperException, arguments: Sequence[str]) -> str:
    """The value of the option that an error is about."""
    names = getattr(getattr(error, "param", None), "opts", [])
    given = [value for option, value in pairwise([*arguments, ""]) if option in names]
    for argument in arguments:
        option, equals, value = argument.partition("=")
        if equals and option in names:
            given.append(value)
    return repr(given[-1]) if given else "as given"


def _hint(error: TyperException, arguments: Sequence[str]) -> str:
    context = getattr(error, "ctx", None)  # most parsing errors contain the command in which they arose
    command = context.command_path if context else shlex.join(["seqrl", *arguments[:1]])
    listed = "the commands" if command == "seqrl" else "its options"
    meant = _meant(error, arguments)
    return f"did you mean {meant}? " * bool(meant) + f"`{command} --help` lists {listed}"
