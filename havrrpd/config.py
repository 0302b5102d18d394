"""The configuration file: TOML text -> Config, or one error that names every problem in it."""

from __future__ import annotations

import json
import socket
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from havrrpd.config_keys import ROUTER, SECTIONS, Key, Listen
from havrrpd.core.model import HealthCheck, Settings

DEFAULT_PATH = "/etc/havrrpd/havrrpd.toml"
_LOOPBACK = Listen("127.0.0.1", 9912)


class ConfigError(ValueError):
    """The configuration can't be used; its text has a line for each problem."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class NodeTable:
    name: str = ""


@dataclass(frozen=True, slots=True)
class Discovery:
    interval: float = 2.0
    netns_dir: str = "/run/netns"
    receive_buffer: int = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ElectionTable:
    observe_only: bool = False
    max_dwell: float = 300.0
    settle: float = 0.25


@dataclass(frozen=True, slots=True)
class Paths:
    notify_dir: str = "/run/havrrpd/notify"
    lever_dir: str = "/run/havrrpd/levers"
    socket: str = "/run/havrrpd/havrrpd.sock"
    state_dir: str = "/var/lib/havrrpd"


@dataclass(frozen=True, slots=True)
class Web:
    listen: Listen = _LOOPBACK
    tls_certificate: str = ""
    tls_key: str = ""
    basic_auth_users: Mapping[str, str] = field(default_factory=dict)
    allow_public: bool = False
    max_connections: int = 128
    max_connections_per_client: int = 16
    max_requests_per_second: float = 20.0

    @property
    def guarded(self) -> bool:
        """Nobody reads along, and nobody reads who is not known."""
        return bool(self.tls_certificate and self.basic_auth_users)


@dataclass(frozen=True, slots=True)
class Log:
    level: str = "info"
    format: str = "auto"


@dataclass(frozen=True, slots=True)
class RouterTable:
    """One [[router]]: which routers it is about, and the keys of [health_check] that it sets."""

    match: str | None = None
    keepalived_conf: str | None = None
    namespace: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def is_about(self, router_id: str, namespace: str | None) -> bool:
        if self.match is not None:
            names = (router_id,) if namespace is None else (router_id, namespace)
            return any(fnmatchcase(name, self.match) for name in names)
        if self.namespace is not None:
            return self.namespace == namespace
        return self.keepalived_conf is not None and Path(self.keepalived_conf).stem == router_id


@dataclass(frozen=True, slots=True)
class ExplicitRouter:
    """A router that is not found by itself: its configuration file, and its namespace if any."""

    keepalived_conf: str
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration, every key with its value or its default."""

    node: NodeTable = field(default_factory=NodeTable)
    discovery: Discovery = field(default_factory=Discovery)
    health_check: HealthCheck = field(default_factory=HealthCheck)
    election: ElectionTable = field(default_factory=ElectionTable)
    paths: Paths = field(default_factory=Paths)
    web: Web = field(default_factory=Web)
    log: Log = field(default_factory=Log)
    router: tuple[RouterTable, ...] = ()

    @property
    def explicit_routers(self) -> tuple[ExplicitRouter, ...]:
        return tuple(
            ExplicitRouter(table.keepalived_conf, table.namespace)
            for table in self.router
            if table.keepalived_conf is not None
        )

    def settings_for(self, router_id: str, namespace: str | None) -> Settings:
        """What a router's step needs. Every [[router]] about it counts; the last one wins a key."""
        overrides: dict[str, Any] = {}
        for table in self.router:
            if table.is_about(router_id, namespace):
                overrides.update(table.overrides)
        return Settings(
            node=self.node.name,
            health_check=replace(self.health_check, **overrides),
            observe_only=self.election.observe_only,
            max_dwell=self.election.max_dwell,
            settle=self.election.settle,
            lever_dir=self.paths.lever_dir,
        )


def load(path: str | None = None) -> Config:
    """The configuration in a file; None: the default path, where no file means all defaults."""
    name = DEFAULT_PATH if path is None else path
    try:
        text = Path(name).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if path is None:
            return parse("", name)
        raise ConfigError((f"{name}: cannot be read: {error.strerror}",)) from error
    except OSError as error:
        raise ConfigError((f"{name}: cannot be read: {error.strerror}",)) from error
    except UnicodeDecodeError as error:
        raise ConfigError((f"{name}: is not UTF-8 text: {error.reason}",)) from error
    return parse(text, name)


def parse(text: str, source: str) -> Config:
    """Raises ConfigError, its lines beginning with `source`."""
    try:
        document = tomllib.loads(text)
    except RecursionError as error:
        raise ConfigError(
            (f"{source}: is not TOML that can be read: too deeply nested",)
        ) from error
    except ValueError as error:  # TOMLDecodeError, or a number with thousands of digits
        raise ConfigError((f"{source}: is not TOML: {error}",)) from error
    reader = _Reader()
    config = reader.config(document)
    problems = (*reader.problems, *_impossible(config, reader.refused))
    if problems:
        raise ConfigError(tuple(f"{source}: {problem}" for problem in problems))
    return config


@dataclass(slots=True)
class _Reader:
    """Reads value by value, so that one run finds every problem."""

    problems: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)  # the places whose value did not fit

    def config(self, document: Mapping[str, object]) -> Config:
        self._refuse_unknown("", document, (*SECTIONS, "router"))
        sections = {
            name: self._table(name, document.get(name, {}), keys) for name, keys in SECTIONS.items()
        }
        sections["node"]["name"] = sections["node"].get("name") or socket.gethostname()
        return Config(
            node=NodeTable(**sections["node"]),
            discovery=Discovery(**sections["discovery"]),
            health_check=HealthCheck(**sections["health_check"]),
            election=ElectionTable(**sections["election"]),
            paths=Paths(**sections["paths"]),
            web=Web(**sections["web"]),
            log=Log(**sections["log"]),
            router=tuple(self._routers(document.get("router", []))),
        )

    def _routers(self, tables: object) -> Iterator[RouterTable]:
        if not isinstance(tables, list):
            self._refuse("router", "must be written as [[router]]", _toml(tables))
            return
        for number, table in enumerate(tables, start=1):
            values = self._table(f"router[{number}]", table, ROUTER)
            yield RouterTable(
                match=values.pop("match", None),
                keepalived_conf=values.pop("keepalived_conf", None),
                namespace=values.pop("namespace", None),
                overrides=values,
            )

    def _table(self, place: str, table: object, keys: Mapping[str, Key]) -> dict[str, Any]:
        """The values that fit; those that don't are among the problems."""
        if not isinstance(table, dict):
            self._refuse(place, "must be a table", _toml(table))
            return {}
        self._refuse_unknown(f"{place}.", table, tuple(keys))
        values: dict[str, Any] = {}
        for name, value in table.items():
            if name not in keys:
                continue
            try:
                values[name] = keys[name].convert(value)
            except ValueError:
                shown = (keys[name].shown or _toml)(value)
                self._refuse(f"{place}.{name}", keys[name].must, shown)
        return values

    def _refuse(self, place: str, must: str, given: str) -> None:
        self.refused.add(place)
        self.problems.append(f"{place}: {must}, got {given}")

    def _refuse_unknown(
        self, prefix: str, table: Mapping[str, object], known: tuple[str, ...]
    ) -> None:
        for name in table:
            if name not in known:
                close = get_close_matches(name, known, n=1)
                hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
                self.problems.append(f"{prefix}{name}: is not a known key; {hint}")


def _impossible(config: Config, refused: set[str]) -> Iterator[str]:
    """The combinations of values, each good by itself, that can't work together."""
    yield from _impossible_web(config.web, refused)
    yield from _impossible_check("health_check", config.health_check)
    seen: set[str] = set()
    for number, table in enumerate(config.router, start=1):
        place = f"router[{number}]"
        if not any(name.startswith(f"{place}.") or name == place for name in refused):
            yield from _impossible_router(place, table)
            merged = replace(config.health_check, **table.overrides)
            if table.overrides.keys() & {"interval", "retry_interval"}:
                yield from _impossible_check(place, merged)
        conf = table.keepalived_conf
        if conf is not None and conf in seen:
            yield f"{place}.keepalived_conf: is in another [[router]] too, got {_toml(conf)}"
        seen.update(() if conf is None else (conf,))


def _impossible_router(place: str, table: RouterTable) -> Iterator[str]:
    if table.match is None and table.keepalived_conf is None:
        yield f"{place}: needs match or keepalived_conf, got neither"
    if table.match is not None and table.keepalived_conf is not None:
        yield f"{place}: needs match or keepalived_conf, got both"
    if table.match is not None and table.namespace is not None:
        yield (
            f"{place}.namespace: goes with keepalived_conf; match looks at namespaces by itself, "
            f"got {_toml(table.namespace)}"
        )


def _impossible_check(place: str, check: HealthCheck) -> Iterator[str]:
    if 0 < check.interval < check.retry_interval:
        yield (
            f"{place}.retry_interval: must not be longer than interval, "
            f"got {_toml(check.retry_interval)} with interval = {_toml(check.interval)}"
        )


def _impossible_web(web: Web, refused: set[str]) -> Iterator[str]:
    if web.tls_certificate and not web.tls_key and "web.tls_key" not in refused:
        yield "web.tls_key: is needed with tls_certificate, got none"
    if web.tls_key and not web.tls_certificate and "web.tls_certificate" not in refused:
        yield "web.tls_certificate: is needed with tls_key, got none"
    unsure = refused & {"web.allow_public", "web.tls_certificate", "web.basic_auth_users"}
    if web.listen.public and not web.allow_public and not web.guarded and not unsure:
        yield (
            "web.listen: is public, and not guarded by both TLS and basic auth; set both, or "
            "listen on 127.0.0.1, or set web.allow_public = true, "
            f"got {_toml(str(web.listen))}"
        )


def dump(config: Config) -> str:
    """The configuration as TOML, every key."""
    lines: list[str] = []
    for name, keys in SECTIONS.items():
        table = getattr(config, name)
        lines += [f"[{name}]", *(f"{key} = {_toml(getattr(table, key))}" for key in keys), ""]
    for router in config.router:
        given = {f.name: getattr(router, f.name) for f in fields(router) if f.name != "overrides"}
        given = {key: value for key, value in given.items() if value is not None}
        given |= router.overrides
        lines += ["[[router]]", *(f"{key} = {_toml(value)}" for key, value in given.items()), ""]
    return "\n".join(lines)


def _toml(value: object) -> str:
    """A value as TOML writes it."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case list() | tuple():
            return f"[{', '.join(_toml(item) for item in value)}]"
        case dict():
            items = (f"{_toml(str(key))} = {_toml(item)}" for key, item in value.items())
            return f"{{{', '.join(items)}}}"
        case _:
            return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
