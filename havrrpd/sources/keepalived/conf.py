"""A keepalived.conf as text -> KeepalivedConfig. Any text at all gives one: it never raises.

What keepalived would refuse, and what is not known here, is left out and counted in `skipped`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from havrrpd.core.model import InstanceConfig, KeepalivedConfig, SyncGroup, TrackFile
from havrrpd.sources.keepalived import keywords
from havrrpd.sources.keepalived.blocks import Statement, Tolerant, read_blocks
from havrrpd.sources.keepalived.instances import (
    Draft,
    Globals,
    complete,
    read_init_file,
    read_track_file,
    signed_weight,
)
from havrrpd.sources.keepalived.lines import Include, Lines

DEFAULT_PATH = "/etc/keepalived/keepalived.conf"


def no_files(_pattern: str) -> Sequence[tuple[str, str]]:
    """An `include` for text that stands alone."""
    return ()


def parse(
    text: str,
    *,
    config_id: str = "",
    path: str = DEFAULT_PATH,
    include: Include = no_files,
    consolidated: bool = False,
) -> KeepalivedConfig:
    """The configuration as keepalived loads it.

    `config_id` is that of `-i`, by default the host's short name; `path` is where the text is from;
    `include` reads the files that an absolute glob pattern names; `consolidated` says that the text
    is the copy in keepalived's memfd, where the included files are in place with their names.
    """
    lines = Lines(text, path=path, config_id=config_id, include=include, consolidated=consolidated)
    statements, strays = read_blocks(lines)
    return _Reader(skipped=lines.skipped + strays).read(statements)


@dataclass(slots=True)
class _Group(Tolerant):
    members: tuple[str, ...] = ()
    track_files: list[tuple[str, int | None]] = field(default_factory=list)
    weighted: bool = False

    def take(self, statement: Statement) -> None:
        match statement.keyword:
            case "sync_group_tracking_weight":
                self.weighted = True
            case "group":
                words = (word for line in statement.block for word in line.words)
                self.members = tuple(dict.fromkeys(words))
            case "track_file":
                for line in statement.block:
                    self.attempt(self._take_track_file, line)
            case keyword:
                self.skipped += keyword not in keywords.GROUP

    def _take_track_file(self, line: Statement) -> None:
        self.track_files.append(read_track_file(line))


@dataclass(slots=True)
class _Reader(Tolerant):
    """What was read so far; instances are completed at the end, as a later line can matter."""

    version: int = 2
    strict: bool = False
    fifos: dict[str, Statement] = field(default_factory=dict)
    net_namespace: str | None = None
    static_routes: bool = False
    track_files: dict[str, TrackFile] = field(default_factory=dict)
    groups: dict[str, _Group] = field(default_factory=dict)
    drafts: dict[str, Draft] = field(default_factory=dict)

    def read(self, statements: Sequence[Statement]) -> KeepalivedConfig:
        for statement in statements:
            self.attempt(self._take, statement)
        instances = self._instances()
        self.skipped += sum(group.skipped for group in self.groups.values())
        names = {instance.name for instance in instances}
        fifo = self.fifos.get("vrrp_notify_fifo") or self.fifos.get("notify_fifo")
        return KeepalivedConfig(
            instances=instances,
            sync_groups=tuple(
                SyncGroup(name, tuple(member for member in group.members if member in names))
                for name, group in self.groups.items()
            ),
            track_files=tuple(self.track_files.values()),
            notify_fifo=fifo.value if fifo else None,
            notify_fifo_user=fifo.words[2] if fifo and len(fifo.words) > 2 else None,
            net_namespace=self.net_namespace,
            static_routes=self.static_routes,
            skipped=self.skipped,
        )

    def _instances(self) -> tuple[InstanceConfig, ...]:
        completed: list[InstanceConfig] = []
        settings = Globals(self.version, self.strict)
        for draft in self.drafts.values():
            self.skipped += draft.skipped
            name = next((n for n, g in self.groups.items() if draft.name in g.members), None)
            if name is not None:
                draft.track_files = _tracked_in(self.groups[name], draft)
            try:
                completed.append(complete(draft, settings, name))
            except ValueError:
                self.skipped += 1
        return tuple(completed)

    def _take(self, statement: Statement) -> None:
        match statement.keyword:
            case "global_defs":
                for line in statement.block:
                    self.attempt(self._take_global, line)
            case "net_namespace":
                self.net_namespace = statement.value
            case "vrrp_sync_group":
                self._take_group(statement)
            case "vrrp_instance":
                self._take_instance(statement)
            case "track_file" | "vrrp_track_file":
                self._take_track_file(statement)
            case "static_routes":
                self.static_routes |= bool(statement.block)
            case keyword:
                self.skipped += keyword not in keywords.TOP_LEVEL

    def _take_global(self, statement: Statement) -> None:
        match statement.keyword:
            case "vrrp_notify_fifo" | "notify_fifo" if statement.value:
                self.fifos.setdefault(statement.keyword, statement)
            case "vrrp_version":
                if statement.value not in ("2", "3"):
                    raise ValueError("neither 2 nor 3")
                self.version = int(statement.value)
            case "vrrp_strict":
                self.strict = True
            case "net_namespace":
                self.net_namespace = statement.value
            case keyword:
                self.skipped += not (
                    keyword in keywords.GLOBAL or keyword.startswith(keywords.GLOBAL_PREFIXES)
                )

    def _take_group(self, statement: Statement) -> None:
        name = _new_name(statement, self.groups)
        group = self.groups[name] = _Group()
        for line in statement.block:
            group.attempt(group.take, line)

    def _take_instance(self, statement: Statement) -> None:
        name = _new_name(statement, self.drafts)
        draft = self.drafts[name] = Draft(name)
        for line in statement.block:
            draft.attempt(draft.take, line)

    def _take_track_file(self, statement: Statement) -> None:
        name = _new_name(statement, self.track_files)
        path: str | None = None
        weight = 1
        initial: int | None = None
        overwrite = False
        for line in statement.block:
            match line.words:
                case ("file", path, *_):
                    continue
                case ("weight", amount, *direction):
                    weight = signed_weight(amount, direction)
                case ("init_file", *options):
                    initial, overwrite = read_init_file(options)
                case _:
                    self.skipped += 1
        if path is None:
            raise ValueError("a track file without a file")
        self.track_files[name] = TrackFile(name, path, weight, initial, overwrite)


def _tracked_in(group: _Group, draft: Draft) -> list[tuple[str, int | None]]:
    """Within a sync group keepalived takes a member's own weights as 0, and the group's too but
    with `sync_group_tracking_weight`. Then any value but 0 is FAULT.
    """
    own: list[tuple[str, int | None]] = [(name, 0) for name, _ in draft.track_files]
    return own + [(name, weight if group.weighted else 0) for name, weight in group.track_files]


def _new_name(statement: Statement, taken: object) -> str:
    """Raises ValueError for a name that is missing or already there: the first one counts."""
    name = statement.value
    if name is None or (isinstance(taken, dict) and name in taken):
        raise ValueError("no name of its own")
    return name
