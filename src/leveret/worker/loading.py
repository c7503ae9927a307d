"""Finds a program's WorkQueue by the words of a command line.

    app                 a module          package.app        app:work, one of several
    path/to/app.py      a file            path/to/app.py:work

The current directory, and a file's own, are on sys.path, as they are for `python app.py`. Called by child.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

from leveret.errors import TaskError
from leveret.tasks import WorkQueue


class _Loading:
    """Whether a program is being loaded just now, which therefore must not run a worker itself."""

    now = False


def loading() -> bool:
    return _Loading.now


def load(app: str) -> WorkQueue:
    """TaskError if there is no such program, if it fails when imported, or if the WorkQueue is not clear."""
    place, _, name = app.partition(":") if not _is_file(app) else (app, "", "")
    _Loading.now = True
    try:
        module = _file(Path(place)) if _is_file(place) else _module(place)
    except TaskError:
        raise
    except BaseException as error:  # SystemExit too: a script without its __main__ guard
        raise TaskError(f"{place} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        _Loading.now = False
    return _named(module, name, app) if name else _only(module, app)


def _is_file(place: str) -> bool:
    return place.endswith(".py")


def _on_path(directory: Path) -> None:
    text = str(directory)
    if text not in sys.path:
        sys.path.insert(0, text)


def _module(name: str) -> ModuleType:
    _on_path(Path.cwd())
    if not all(part.isidentifier() for part in name.split(".")):
        raise TaskError(
            f"{name!r} is no module's name: expected package.module, package.module:name or path/to/file.py"
        )
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise TaskError(f"there is no module {name!r} (looked in {os.getcwd()} and on sys.path)") from None
        raise


def _file(path: Path) -> ModuleType:
    path = path.resolve()
    if not path.is_file():
        raise TaskError(f"there is no file {path}")
    _on_path(Path.cwd())
    root, parts = path.parent, [path.stem]
    while (root / "__init__.py").exists():
        parts.insert(0, root.name)
        root = root.parent
    _on_path(root)
    return importlib.import_module(".".join(parts)) if len(parts) > 1 else _script(path)


def _script(path: Path) -> ModuleType:
    """By its path: a file may be named as some module that exists."""
    name = path.stem if path.stem not in sys.modules else f"leveret_program_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise TaskError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and typing look it up
    spec.loader.exec_module(module)
    return module


def _named(module: ModuleType, name: str, app: str) -> WorkQueue:
    found = getattr(module, name, None)
    if not isinstance(found, WorkQueue):
        raise TaskError(f"{app}: {name!r} is {'missing' if found is None else 'no WorkQueue'}")
    return found


def _only(module: ModuleType, app: str) -> WorkQueue:
    """The module's WorkQueue, under however many names."""
    names = names_in(vars(module))
    if not names:
        raise TaskError(f"{app} has no WorkQueue: it needs one at its top level, as in `work = WorkQueue()`")
    if len(names) > 1:
        raise TaskError(f"{app} has several WorkQueues: choose one, as {app}:{next(iter(names.values()))}")
    found: WorkQueue = getattr(module, next(iter(names.values())))
    return found


def names_in(members: dict[str, object]) -> dict[int, str]:
    """The first name of each WorkQueue, by identity."""
    names: dict[int, str] = {}
    for name, value in list(members.items()):
        if isinstance(value, WorkQueue):
            names.setdefault(id(value), name)
    return names
