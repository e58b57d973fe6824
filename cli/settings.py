"""Settings by flag, environment or file, in that order; all wrong ones are told at once, none is guessed.

The programs' own frozen dataclasses say what there is and what is wrong with a value; this module only collects the
words and lets pydantic turn them into types.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast, get_type_hints

import yaml
from pydantic import TypeAdapter, ValidationError

_NETWORKS = "avi_vip_networks"
_POLICY = ("load_balancer_class", "is_default_class")


class HasProblems(Protocol):
    """What every program's settings can say of themselves."""

    @property
    def problems(self) -> tuple[str, ...]:
        """One line per setting that is wrong."""
        ...


Settings = TypeVar("Settings", bound=HasProblems)


class SettingsError(Exception):
    """Something is wrong with the settings."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        """One line each."""
        super().__init__("\n".join(problems))
        self.problems = problems


def load(kind: type[Settings], *, prefix: str, flags: Mapping[str, object], file: Path | None) -> Settings:
    """The settings of a program.

    Args:
        kind: Its settings.
        prefix: Of the environment's variables: ``SHAREDVIP_WEBHOOK_`` makes ``port`` ``SHAREDVIP_WEBHOOK_PORT``.
        flags: By field; None: not given.
        file: YAML, with the fields' names as keys.

    Raises:
        SettingsError: With every problem of every setting.
    """
    names = (*(field.name for field in fields(cast("Any", kind))), *_POLICY)
    lists = {name for name, hint in get_type_hints(kind).items() if hint == tuple[str, ...]}
    words = _from_file(file, names) | _from_environment(prefix, names)
    words |= {name: value for name, value in flags.items() if value not in (None, (), [])}
    words |= {name: _entries(words[name]) for name in lists.intersection(words)}
    adapter = TypeAdapter(kind)
    try:
        settings = adapter.validate_python(_structured(words))
    except ValidationError as error:
        raise SettingsError((*_lines(error), *_further(adapter, words, error))) from error
    if settings.problems:
        raise SettingsError(settings.problems)
    return settings


def _from_environment(prefix: str, names: tuple[str, ...]) -> dict[str, object]:
    found = {name: os.environ.get(prefix + name.upper()) for name in names}
    return {name: text for name, text in found.items() if text is not None}


def _from_file(file: Path | None, names: tuple[str, ...]) -> dict[str, object]:
    if file is None:
        return {}
    try:
        content: object = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError((f"config: {file} cannot be read: {error}",)) from error
    if not isinstance(content, dict):
        raise SettingsError((f"config: {file} must hold 'setting: value' lines; for example 'port: 9443'",))
    entries = {str(key): value for key, value in cast("dict[object, object]", content).items()}
    if unknown := sorted(set(entries).difference(names)):
        raise SettingsError(tuple(f"config: {file} has {name!r}, which is no setting" for name in unknown))
    return entries


def _structured(words: Mapping[str, object]) -> dict[str, object]:
    """The words as the dataclasses are built: networks and policy are values of their own."""
    made = {name: value for name, value in words.items() if name not in (*_POLICY, _NETWORKS)}
    if policy := {name: words[name] for name in _POLICY if name in words}:
        made["policy"] = policy
    if _NETWORKS in words:
        made[_NETWORKS] = [_network(entry) for entry in _entries(words[_NETWORKS])]
    return made


def _entries(given: object) -> list[object]:
    if isinstance(given, str):
        return [part.strip() for part in given.split(",") if part.strip()]
    return list(cast("list[object]", given)) if isinstance(given, list | tuple) else [given]


def _network(entry: object) -> object:
    """``net1``, ``net1=10.0.0.0/24`` or ``net1=10.0.0.0/24=2001:db8::/64``; what is no text stays as it is."""
    if not isinstance(entry, str):
        return entry
    name, _, subnets = entry.partition("=")
    families = [subnet for subnet in subnets.split("=") if subnet]
    made = {"name": name}
    for subnet in families:
        made["cidr_v6" if ":" in subnet else "cidr"] = subnet
    return made


def _lines(error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_url=False, include_input=True):
        name = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "missing":
            yield f"{name}: must be set"
        else:
            yield f"{name}: {problem['input']!r} is wrong: {problem['msg'][0].lower()}{problem['msg'][1:]}"


def _further(adapter: TypeAdapter[Any], words: Mapping[str, object], error: ValidationError) -> tuple[str, ...]:
    """What else is wrong, once what could not even be read is left out."""
    bad = {str(problem["loc"][0]) for problem in error.errors() if problem["loc"]}
    if any(problem["type"] == "missing" for problem in error.errors()):
        return ()
    rest = {name: value for name, value in words.items() if name not in bad}
    try:
        return tuple(adapter.validate_python(_structured(rest)).problems)
    except ValidationError:
        return ()
