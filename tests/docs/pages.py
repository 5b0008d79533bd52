"""The pages of the documentation, their code blocks, and the commands in them as bash expands them."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))  # their blocks run in order, page by page
MARKS = ("dry run", "parsed")
LANGUAGES = ("", "text", "python", "json", "yaml")

_BLOCK = re.compile(r"^(?:<!-- (?P<mark>.*) -->\n)?```(?P<language>.*)\n(?P<text>(?s:.*?))^```$", re.MULTILINE)
_PROGRAMS = ("seqrl", "python", "python3", "pip", "docker", "ruff", "mypy")
_SEPARATOR = "\x1f"


@dataclass(frozen=True)
class Block:
    """A fenced block; without a language its text is commands for bash.

    Attributes:
        mark: how far its commands are tested: ``dry run`` or ``parsed``; empty = they are run.
    """

    page: str
    line: int
    mark: str
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A program with its arguments and the mirrors that its line sets."""

    program: str
    words: tuple[str, ...]
    mirrors: str

    def __str__(self) -> str:
        return " ".join((self.program, *self.words))


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text()
    blocks = []
    for found in _BLOCK.finditer(text):
        mark = (found["mark"] or "").partition(":")[0]
        line = text.count("\n", 0, found.start()) + 1
        blocks.append(Block(str(page.relative_to(ROOT)), line, mark, found["language"], found["text"]))
    return blocks


def all_blocks() -> list[Block]:
    return [block for page in PAGES for block in blocks_of(page)]


def commands_of(block: Block) -> list[Command]:
    """The commands that bash would run, loops unrolled; an unknown program is an error."""
    record = f"record() {{ local IFS=$'{_SEPARATOR}'; echo \"${{SEQRL_MIRRORS-}}{_SEPARATOR}$*\"; }}\n"
    stubs = "".join(f'{name}() {{ record {name} "$@"; }}\n' for name in _PROGRAMS)
    script = f"set -eu\nPATH=\n{record}{stubs}{block.text.replace('. .venv/bin/activate', ':')}"
    done = subprocess.run(["/bin/bash", "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, f"{block}: {done.stderr}"
    commands = []
    for line in done.stdout.splitlines():
        mirrors, program, *words = line.split(_SEPARATOR)
        commands.append(Command(program, tuple(words), mirrors))
    return commands
