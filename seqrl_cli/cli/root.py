"""The command group: prints parsing errors like all other errors, and as one object with ``--json``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

from typer import Exit, TyperException
from typer.core import TyperGroup

from seqrl_cli.cli.session import abandon_stdout
from seqrl_cli.console import Console


class Root(TyperGroup):
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
            Console(as_json="--json" in arguments).fail(_sentence(error, arguments), _hint(error), error.exit_code)
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
    return text[:1].lower() + text[1:]


def _value(error: TyperException, arguments: Sequence[str]) -> str:
    """The value of the option that an error is about."""
    names = getattr(getattr(error, "param", None), "opts", [])
    given = [value for option, value in pairwise([*arguments, ""]) if option in names]
    for argument in arguments:
        option, equals, value = argument.partition("=")
        if equals and option in names:
            given.append(value)
    return repr(given[-1]) if given else "as given"


def _hint(error: TyperException) -> str:
    context = getattr(error, "ctx", None)  # parsing errors contain the command in which they arose
    command = context.command_path if context else "seqrl"
    return f"`{command} --help` lists its options"
