"""Which modules may be imported for an environment: those that the user named, never those that only a file names.

``module:Env-v0`` is gymnasium's way of saying "import the module, which registers it". Importing runs code. So
an id of this form is honoured only if the user gave it, on this command line or in this program, or earlier: then
``~/.config/seqrl/environments.json`` has the module's file, and no other file of that name is imported instead.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from seqrl_cli.errors import SeqrlError
from seqrl_cli.files.atomic import make_folder, write_json_atomic
from seqrl_cli.files.json_fields import JsonFieldError, read_object

_accepted: set[str] = set()


def accept(env_id: str, folders: Iterable[Path] = ()) -> None:
    """Honour an id for as long as this process runs, because the user gave it.

    A module that Python does not find is looked for in ``folders``. Only the folder where it is becomes importable, and
    only after all others, so that nothing in it takes the place of an installed module.

    Args:
        env_id: gymnasium id; one without a module needs no trust.
        folders: folders in which the user's modules may be.
    """
    if ":" not in env_id:
        return
    _accepted.add(env_id)
    if _found(_package(env_id)) is None:
        _use_first(_in_folder(_package(env_id), folder) for folder in folders)


def accepted() -> tuple[str, ...]:
    """The ids that :func:`accept` was given in this process, for one that it starts with its ``sys.path``."""
    return tuple(sorted(_accepted))


def remember(env_id: str | None) -> None:
    """Honour an accepted id from now on, as long as its module's file is the same; the rest needs no memory."""
    if env_id is None or env_id not in _accepted:
        return
    place, known = _found(_package(env_id)), _remembered()
    places = known.get(env_id, [])
    if place is None or str(place) in places:
        return
    with suppress(SeqrlError, RuntimeError):  # without a home that can be written, the user is asked again
        make_folder(_memory().parent)
        write_json_atomic(_memory(), {**known, env_id: [*places, str(place)]})


def require_accepted(env_id: str) -> None:
    """Check that an id may be honoured, and make its module importable.

    Raises:
        SeqrlError: it names a module, and the user never gave it.
    """
    if ":" not in env_id or env_id in _accepted:
        return
    package = _package(env_id)
    places = [Path(place) for place in _remembered().get(env_id, [])]
    found = _found(package) or _in_folder(package, Path.cwd())
    if found not in places:
        existing = [place for place in places if place.exists()]
        found = existing[0] if len(existing) == 1 and _found(package) is None else None
    if found is None:
        raise SeqrlError(
            f"environment {env_id!r} is named by a file, and making it would run the code of module {package!r}",
            f"if you trust that module, name it yourself, which is remembered: data.env_id={env_id}"
            if package.isidentifier()
            else "data.env_id=ID names the environment that the data are from",
        )
    _use_first([found])


def _package(env_id: str) -> str:
    """The module to import, or the package that it is in."""
    return env_id.partition(":")[0].partition(".")[0]


def _found(package: str) -> Path | None:
    """The file of a module that Python would import; None if there is none. Nothing is run."""
    try:
        spec = importlib.util.find_spec(package)
    except (ValueError, ImportError):  # no name, or a module without a specification
        return None
    if spec is None:
        return None
    if spec.origin is not None:
        return Path(spec.origin).resolve()
    return next((Path(place) for place in spec.submodule_search_locations or ()), None)


def _in_folder(package: str, folder: Path) -> Path | None:
    """The file of a module or package in a folder."""
    candidates = (folder / f"{package}.py", folder / package / "__init__.py")
    return next((path.resolve() for path in candidates if package and path.is_file()), None)


def _use_first(places: Iterable[Path | None]) -> None:
    """Let Python find the first of these modules, after all other places."""
    place = next((place for place in places if place is not None), None)
    if place is not None:
        folder = str(place.parent.parent if place.name == "__init__.py" else place.parent)
        if folder not in sys.path:
            sys.path.append(folder)
            importlib.invalidate_caches()


def _memory() -> Path:
    return Path.home() / ".config" / "seqrl" / "environments.json"


def _remembered() -> dict[str, list[str]]:
    """Files of modules by id; a damaged memory is empty."""
    try:
        entries = read_object(_memory())
    except (JsonFieldError, RuntimeError):  # RuntimeError: there is no home
        return {}
    return {name: [str(place) for place in places] for name, places in entries.items() if isinstance(places, list)}
