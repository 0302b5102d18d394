"""Discovery of real keepalived processes in real namespaces, under uvloop."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_interface
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Any, ParamSpec
from uuid import uuid4

import pytest
import uvloop
from structlog.testing import capture_logs

from havrrpd.core.messages import (
    KeepalivedAbsent,
    KeepalivedEnded,
    KeepalivedReloaded,
    KeepalivedStarted,
    RouterGone,
)
from havrrpd.core.model import InstanceConfig, KeepalivedConfig
from havrrpd.sources.keepalived import ExplicitRouter, Found, Keepalived, parse
from havrrpd.sources.keepalived.loaded import on_disk
from tests.collected import nothing_waits_for_the_garbage_collector

pytestmark = pytest.mark.root

P = ParamSpec("P")
LIMIT = 15.0
FOUND_WITHIN = 2.0  # the design's promise, for the default interval
JSON_DUMP = signal.SIGRTMIN + 2
SAMPLES = Path(__file__).parents[1] / "unit" / "samples" / "keepalived"
RUN = Path("/run/keepalived")  # one with net_namespace makes a directory in it, and leaves it

VRRP = """vrrp_instance VR_1 {
    interface v0
    virtual_router_id 1
    priority PRIORITY
    virtual_ipaddress {
        169.254.0.1/24
    }
}
"""
BFD = "bfd_instance b1 {\n    neighbor_ip 10.9.0.2\n    source_ip 10.9.0.1\n}\n"
VIRTUAL_SERVER = (
    "virtual_server 10.9.0.9 80 {\n    protocol TCP\n    real_server 10.9.0.8 80 {\n    }\n}\n"
)


def under_uvloop(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """The test, run by the loop that the daemon has."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        uvloop.run(test(*args, **kwargs))

    return run


def config(priority: int = 100) -> str:
    return VRRP.replace("PRIORITY", str(priority))


async def eventually(found: Callable[[], object]) -> None:
    """Wait, with a limit, for what nothing announces."""
    async with asyncio.timeout(LIMIT):
        while not found():
            await asyncio.to_thread(os.sched_yield)


def reloaded_times(log: Path, count: int) -> bool:
    return log.read_text().count("Reload complete") >= count


def ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


def children(pid: int) -> list[int]:
    """Empty for a process that is gone."""
    with contextlib.suppress(FileNotFoundError):
        return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


class Site:
    """Namespaces and keepalived processes, all gone afterwards."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._namespaces: set[str] = set()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._had_run = RUN.exists()

    def namespace(self, name: str | None = None, interfaces: Sequence[str] = ("v0",)) -> str:
        name = name or f"hvd-{os.getpid()}-{token_hex(3)}"
        self._namespaces.add(name)
        ip("netns", "add", name)
        ip("-n", name, "link", "set", "lo", "up")
        for number, interface in enumerate(interfaces):
            far = f"far{number}"
            ip("-n", name, "link", "add", interface, "type", "veth", "peer", "name", far)
            ip("-n", name, "link", "set", interface, "up")
            ip("-n", name, "link", "set", far, "up")
            ip("-n", name, "address", "add", f"10.9.{number}.1/24", "dev", interface)
        return name

    def delete(self, namespace: str) -> None:
        self._namespaces.discard(namespace)
        ip("netns", "delete", namespace)
        with contextlib.suppress(FileNotFoundError):
            (RUN / namespace).rmdir()

    def write(self, text: str, name: str = "keepalived") -> Path:
        path = self.directory / f"{name}.conf"
        path.write_text(text, encoding="utf-8")
        return path

    def command(self, path: Path, *options: str) -> list[str]:
        pids = [f"--{kind}={path}.{kind}" for kind in ("pid", "vrrp_pid", "bfd_pid")]
        return ["keepalived", "--dont-fork", "-D", "-l", "--use-file", str(path), *pids, *options]

    def vrrp_pid(self, path: Path) -> int:
        """As keepalived itself tells."""
        return int(Path(f"{path}.vrrp_pid").read_text())

    def start(self, namespace: str, path: Path, *options: str) -> subprocess.Popen[bytes]:
        return self.execute(["ip", "netns", "exec", namespace, *self.command(path, *options)])

    def execute(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self.directory / "log").open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, "TMPDIR": str(self.directory)},
            )
        self._processes.append(process)
        return process

    def close(self) -> None:
        for process in self._processes:
            family = children(process.pid)
            process.kill()
            process.communicate()
            for child in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
        for namespace in tuple(self._namespaces):
            for pid in ip("netns", "pids", namespace).split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            self.delete(namespace)
        if RUN.exists() and not self._had_run:
            RUN.rmdir()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    try:
        yield site
    finally:
        site.close()


class Heard:
    """What the source emitted of one test's routers, and a way to wait for more of it."""

    def __init__(self) -> None:
        self.source: Keepalived
        self.events: list[tuple[str, Found]] = []
        self._more = asyncio.Event()

    def __call__(self, router: str, event: Found) -> None:
        self.events.append((router, event))
        self._more.set()

    def of(self, router: str) -> list[Found]:
        return [event for name, event in self.events if name == router]

    async def next(self, router: str, kind: type[Found]) -> Any:
        """The router's next event, which must be of that kind; it is forgotten."""
        async with asyncio.timeout(LIMIT):
            while not self.of(router):
                self._more.clear()
                await self._more.wait()
        event = self.of(router)[0]
        assert isinstance(event, kind)
        self.events.remove((router, event))
        return event


@asynccontextmanager
async def discovering(*explicit: ExplicitRouter, interval: float = 2.0) -> AsyncIterator[Heard]:
    heard = Heard()
    heard.source = Keepalived(heard, interval=interval, explicit=explicit)
    task = asyncio.create_task(heard.source.run())
    try:
        await eventually(lambda: heard.source.scanned)
        yield heard
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@under_uvloop
async def test_of_processes_that_vanish_nothing_waits_for_the_garbage_collector(
    tmp_path: Path,
) -> None:
    """One that is listed in /proc, and gone as it is looked at."""
    (tmp_path / "self" / "ns").mkdir(parents=True)
    (tmp_path / "self" / "ns" / "net").touch()
    (tmp_path / "77").mkdir()
    source = Keepalived(lambda _, __: None, proc=tmp_path)
    with nothing_waits_for_the_garbage_collector():
        await source._scan()


@under_uvloop
async def test_a_new_keepalived_is_found_within_two_seconds_and_its_vrrp_process_told_apart(
    site: Site,
) -> None:
    namespace = site.namespace()
    path = site.write(config(77))
    async with discovering() as heard:
        started = time.monotonic()
        main = site.start(namespace, path)
        found: KeepalivedStarted = await heard.next(namespace, KeepalivedStarted)
        assert time.monotonic() - started < FOUND_WITHIN + 0.2  # to start takes it some, too
        assert found.namespace == namespace
        assert [found.pid] == children(main.pid)
        assert found.config == parse(config(77))
        assert started - 0.1 < found.running_since <= time.monotonic()
        inside = os.stat(heard.source.netns_path(namespace))
        assert os.path.samestat(inside, os.stat(f"/run/netns/{namespace}"))
        assert heard.source.root(namespace) == Path(f"/proc/{found.pid}/root")


@pytest.mark.parametrize(
    ("options", "extra", "processes"),
    [
        (["--vrrp"], VIRTUAL_SERVER, 1),
        ([], BFD, 2),
        ([], "global_defs {\n    process_names\n}\n" + BFD, 2),
        (
            [],
            "global_defs {\n    vrrp_process_name b\n    bfd_process_name keepalived\n}\n" + BFD,
            2,
        ),
    ],
    ids=["-P with virtual_server", "with BFD", "named processes", "misnamed processes"],
)
@under_uvloop
async def test_the_process_for_vrrp_is_found_among_keepaliveds_others(
    site: Site, options: list[str], extra: str, processes: int
) -> None:
    namespace = site.namespace()
    async with discovering() as heard:
        path = site.write(extra + config())
        main = site.start(namespace, path, *options)
        found: KeepalivedStarted = await heard.next(namespace, KeepalivedStarted)
        await eventually(lambda: len(children(main.pid)) == processes)
        assert site.vrrp_pid(path) == found.pid
        assert not heard.of(namespace)
        assert found.config.skipped == 0


@under_uvloop
async def test_a_shell_that_turns_into_keepalived_is_found(site: Site) -> None:
    namespace = site.namespace()
    command = " ".join(site.command(site.write(config()), "-P"))
    shell = site.execute(["ip", "netns", "exec", namespace, "sh", "-c", f"read go; exec {command}"])
    async with discovering() as heard:
        assert not heard.of(namespace)
        assert shell.stdin is not None
        shell.stdin.write(b"go\n")
        shell.stdin.flush()
        found: KeepalivedStarted = await heard.next(namespace, KeepalivedStarted)
        assert [found.pid] == children(shell.pid)


@pytest.mark.parametrize(
    "disguise",
    [["setpriv", "--reuid=65534", "--clear-groups"], ["unshare", "--user", "--map-root-user"]],
    ids=["another_user", "another_user_namespace"],
)
@under_uvloop
async def test_a_process_that_is_not_roots_is_not_adopted_and_told_once(
    site: Site, disguise: list[str]
) -> None:
    with TemporaryDirectory() as directory, capture_logs() as logs:
        os.chmod(directory, 0o755)  # the other user runs it
        program = shutil.copy("/bin/sleep", f"{directory}/keepalived")
        process = site.execute([*disguise, program, "60"])
        told = {"event": "process.not_trusted", "pid": process.pid, "log_level": "warning"}
        async with discovering(interval=0.05) as heard:
            await eventually(lambda: told in logs)
            scanned = heard.source.progressed_at
            await eventually(lambda: heard.source.progressed_at > scanned + 0.2)
        assert logs.count(told) == 1
        process.kill()
        process.wait()


@under_uvloop
async def test_a_configuration_that_cannot_be_read_for_a_while_stays_as_it_was(
    site: Site,
) -> None:
    path = site.write(config(60), f"named-{token_hex(3)}")
    router = path.stem
    async with discovering(ExplicitRouter(path), interval=0.05) as heard:
        first = await heard.next(router, KeepalivedAbsent)
        assert first == KeepalivedAbsent(None, parse(config(60)))
        with capture_logs() as logs:
            path.unlink()
            os.mkfifo(path)
            await eventually(lambda: any(each["event"] == "config.not_read" for each in logs))
        assert not heard.of(router)
        fresh = site.write(config(61), "fresh")
        fresh.rename(path)
        reloaded = await heard.next(router, KeepalivedReloaded)
        assert reloaded == KeepalivedReloaded(parse(config(61)))


@under_uvloop
async def test_a_loaded_configuration_that_cannot_be_read_for_a_while_stays_as_it_was(
    site: Site,
) -> None:
    namespace = site.namespace()
    copy = site.directory / "copy.conf"
    os.mkfifo(copy)
    async with discovering(interval=0.05) as heard:
        site.start(namespace, site.write(config()), "-P")
        await heard.next(namespace, KeepalivedStarted)
        process = heard.source._registry.routers[namespace].process
        assert process is not None
        with capture_logs() as logs:
            process.loaded = on_disk(copy)
            await eventually(lambda: any(each["event"] == "config.not_read" for each in logs))
        assert not heard.of(namespace)
        site.write(config(61), "fresh").rename(copy)
        reloaded = await heard.next(namespace, KeepalivedReloaded)
        assert reloaded == KeepalivedReloaded(parse(config(61)))


@under_uvloop
async def test_a_killed_vrrp_process_is_missed_at_once_and_its_successor_found_soon(
    site: Site,
) -> None:
    namespace = site.namespace()
    async with discovering(interval=60.0) as heard:
        site.start(namespace, site.write(config()), "-P")
        heard.source.explicit = ()  # look now
        first: KeepalivedStarted = await heard.next(namespace, KeepalivedStarted)
        killed = time.monotonic()
        os.kill(first.pid, signal.SIGKILL)
        assert await heard.next(namespace, KeepalivedEnded) == KeepalivedEnded(first.pid)
        noticed = time.monotonic()
        second: KeepalivedStarted = await heard.next(namespace, KeepalivedStarted)
        replaced = time.monotonic()
        assert second.pid != first.pid
        assert second.config == first.config
        assert noticed - killed < 0.5
        assert replaced - killed < FOUND_WITHIN


@under_uvloop
async def test_a_router_whose_main_process_is_killed_stays_listed(site: Site) -> None:
    namespace = site.namespace()
    path = site.write(config())
    async with discovering(interval=0.2) as heard:
        main = site.start(namespace, path, "-P")
        first: KeepalivedStarted = await heard.next(namespace, KeepalivedStarted)
        main.kill()
        main.wait()
        assert await heard.next(namespace, KeepalivedEnded) == KeepalivedEnded(first.pid)
        assert heard.source.netns_path(namespace) == Path(f"/run/netns/{namespace}")
        assert heard.source.root(namespace) == Path("/")
        site.start(namespace, path, "-P")
        second: KeepalivedStarted = await heard.next(namespace, KeepalivedStarted)
        assert second.pid != first.pid


@pytest.mark.parametrize("left", ["namespace", "configuration"])
@under_uvloop
async def test_a_dead_router_is_gone_with_its_namespace_or_its_configuration(
    site: Site, left: str
) -> None:
    namespace = site.namespace()
    path = site.write(config())
    async with discovering(interval=0.1) as heard:
        main = site.start(namespace, path, "-P")
        found: KeepalivedStarted = await heard.next(namespace, KeepalivedStarted)
        main.send_signal(signal.SIGSTOP)  # so that it does not start another one
        os.kill(found.pid, signal.SIGKILL)
        main.kill()
        main.wait()
        assert await heard.next(namespace, KeepalivedEnded) == KeepalivedEnded(found.pid)
        if left == "namespace":
            path.unlink()
        else:
            site.delete(namespace)
        assert await heard.next(namespace, RouterGone) == RouterGone()
        assert not heard.source.netns_path(namespace).exists() or left == "namespace"


@under_uvloop
async def test_a_reload_is_told_only_when_the_configuration_differs(site: Site) -> None:
    namespace = site.namespace()
    path = site.write(config(100))
    async with discovering(interval=0.05) as heard:
        main = site.start(namespace, path, "-P")
        await heard.next(namespace, KeepalivedStarted)
        log = site.directory / "log"
        for count in range(1, 6):
            main.send_signal(signal.SIGHUP)
            await eventually(functools.partial(reloaded_times, log, count))
        path.write_text(config(50))
        main.send_signal(signal.SIGHUP)
        reloaded: KeepalivedReloaded = await heard.next(namespace, KeepalivedReloaded)
        assert reloaded == KeepalivedReloaded(parse(config(50)))


@under_uvloop
async def test_a_namespace_deleted_under_a_living_keepalived(site: Site) -> None:
    namespace = site.namespace()
    async with discovering(interval=0.1) as heard:
        main = site.start(namespace, site.write(config()), "-P")
        found: KeepalivedStarted = await heard.next(namespace, KeepalivedStarted)
        before = os.stat(heard.source.netns_path(namespace))
        site.delete(namespace)
        assert os.path.samestat(before, os.stat(heard.source.netns_path(namespace)))
        assert not heard.of(namespace)
        main.terminate()
        assert await heard.next(namespace, KeepalivedEnded) == KeepalivedEnded(found.pid)
        assert await heard.next(namespace, RouterGone) == RouterGone()


@under_uvloop
async def test_a_namespace_made_again_under_the_same_name_belongs_to_the_new_keepalived(
    site: Site,
) -> None:
    namespace = site.namespace()
    path = site.write(config())
    async with discovering(interval=0.1) as heard:
        site.start(namespace, path, "-P")
        old: KeepalivedStarted = await heard.next(namespace, KeepalivedStarted)
        site.delete(namespace)
        site.namespace(namespace)
        for pid_file in site.directory.glob("*pid"):
            pid_file.unlink()
        site.start(namespace, path, "-P")
        assert await heard.next(namespace, KeepalivedEnded) == KeepalivedEnded(old.pid)
        new: KeepalivedStarted = await heard.next(namespace, KeepalivedStarted)
        assert new.pid != old.pid
        inside = os.stat(heard.source.netns_path(namespace))
        assert os.path.samestat(inside, os.stat(f"/run/netns/{namespace}"))


@under_uvloop
async def test_two_keepaliveds_at_once_in_two_namespaces_and_two_in_one(site: Site) -> None:
    one, two = site.namespace(), site.namespace()
    async with discovering(interval=0.1) as heard:
        for name, namespace in [("a", one), ("b", two)]:
            site.start(namespace, site.write(config(), name), "-P")
        first: KeepalivedStarted = await heard.next(one, KeepalivedStarted)
        other: KeepalivedStarted = await heard.next(two, KeepalivedStarted)
        site.start(one, site.write(config(60), "c"), "-P")
        second: KeepalivedStarted = await heard.next(f"{one}-2", KeepalivedStarted)
        assert len({first.pid, other.pid, second.pid}) == 3
        assert second.namespace == one
        assert second.config == parse(config(60))
        os.kill(second.pid, signal.SIGKILL)
        assert await heard.next(f"{one}-2", KeepalivedEnded) == KeepalivedEnded(second.pid)
        third: KeepalivedStarted = await heard.next(f"{one}-2", KeepalivedStarted)
        assert third.config == parse(config(60))
        assert not heard.of(one)


@pytest.mark.parametrize("prefix", ["qrouter", "snat"])
@under_uvloop
async def test_a_neutron_router_is_called_by_its_uuid(site: Site, prefix: str) -> None:
    router = str(uuid4())
    namespace = site.namespace(f"{prefix}-{router}")
    site.start(namespace, site.write(config()), "-P")
    async with discovering() as heard:
        found: KeepalivedStarted = await heard.next(router, KeepalivedStarted)
        assert found.namespace == namespace


@under_uvloop
async def test_keepalived_that_moves_itself_into_a_namespace_is_found_there(site: Site) -> None:
    namespace = site.namespace()
    path = site.write(f"net_namespace {namespace}\n" + config())
    async with discovering() as heard:
        site.execute(site.command(path, "-P"))
        found: KeepalivedStarted = await heard.next(namespace, KeepalivedStarted)
        assert found.namespace == namespace
        assert found.config.net_namespace == namespace


@under_uvloop
async def test_a_router_that_the_configuration_names_is_known_before_it_runs(site: Site) -> None:
    namespace = site.namespace()
    path = site.write(config(60))
    async with discovering(ExplicitRouter(path, namespace), interval=0.1) as heard:
        assert await heard.next(namespace, KeepalivedAbsent) == KeepalivedAbsent(
            namespace, parse(config(60))
        )
        path.write_text(config(61))
        reloaded = await heard.next(namespace, KeepalivedReloaded)
        assert reloaded == KeepalivedReloaded(parse(config(61)))
        main = site.start(namespace, path, "-P")
        found: KeepalivedStarted = await heard.next(namespace, KeepalivedStarted)
        main.terminate()
        assert await heard.next(namespace, KeepalivedEnded) == KeepalivedEnded(found.pid)
        heard.source.explicit = ()
        path.unlink()
        assert await heard.next(namespace, RouterGone) == RouterGone()


@under_uvloop
async def test_a_named_router_that_never_ran_goes_with_its_name(site: Site) -> None:
    missing = ExplicitRouter(site.directory / f"missing-{token_hex(3)}.conf")
    router = missing.keepalived_conf.stem
    async with discovering(missing, interval=0.1) as heard:
        assert await heard.next(router, KeepalivedAbsent) == KeepalivedAbsent(
            None, KeepalivedConfig()
        )
        heard.source.explicit = ()
        assert await heard.next(router, RouterGone) == RouterGone()


@under_uvloop
async def test_a_cancelled_source_closes_every_descriptor(site: Site) -> None:
    namespace = site.namespace()
    site.start(namespace, site.write(config()), "-P")
    async with discovering() as heard:  # what the loop itself opens is open from here on
        await heard.next(namespace, KeepalivedStarted)
    before = os.listdir("/proc/self/fd")
    async with discovering() as heard:
        await heard.next(namespace, KeepalivedStarted)
        assert len(os.listdir("/proc/self/fd")) > len(before)
    assert os.listdir("/proc/self/fd") == before


# --- the parser against keepalived itself ---

INTERFACES = ["v0", "ha-0", "qr-0", "qg-0", "eth0", "eth1", "ens5", "bond0.1", "bond0.2"]


@pytest.mark.parametrize(
    "sample", sorted(SAMPLES.glob("*.conf")), ids=lambda sample: str(sample.stem)
)
@under_uvloop
async def test_the_parser_reads_what_keepalived_loaded(site: Site, sample: Path) -> None:
    namespace = site.namespace(interfaces=INTERFACES)
    (site.directory / "parts").mkdir()
    (site.directory / "parts" / "a.conf").write_text((SAMPLES / "parts" / "a.conf").read_text())
    text = for_this_machine(sample, site.directory)
    async with discovering() as heard:
        main = site.start(namespace, site.write(text), "-P", "--config-id", "main")
        found: KeepalivedStarted = await heard.next(namespace, KeepalivedStarted)
        dump = site.directory / "keepalived.json"
        main.send_signal(JSON_DUMP)
        await eventually(lambda: read_json(dump))
        said = [as_dumped(instance["data"]) for instance in read_json(dump)]
        assert [as_parsed(instance) for instance in found.config.instances] == said


def for_this_machine(sample: Path, directory: Path) -> str:
    """Without a namespace that is not there, and without IPVS, lacking which 2.2.7 crashes.

    What keepalived makes is in `directory`.
    """
    text = sample.read_text(encoding="utf-8").replace(str(RUN), str(directory))
    return text.replace("net_namespace", "#").replace("lvs_sync_daemon", "#")


def read_json(path: Path) -> list[dict[str, dict[str, Any]]]:
    """Empty while it is not there or half written."""
    try:
        found: list[dict[str, dict[str, Any]]] = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return []
    return found


def as_parsed(instance: InstanceConfig) -> dict[str, object]:
    return {
        "name": instance.name,
        "interface": instance.interface,
        "vrid": instance.vrid,
        "priority": instance.priority,
        "version": instance.version,
        "advert_int": instance.advert_int,
        "preempt": instance.preempt,
        "addresses": [(str(each.address), each.interface) for each in instance.virtual_addresses],
        "hops": [str(each.via) for each in instance.virtual_routes if each.via is not None],
    }


def as_dumped(data: dict[str, Any]) -> dict[str, object]:
    addresses = [*data.get("vips", []), *data.get("evips", [])]
    routes = [route.split() for route in data.get("vroutes", [])]
    return {
        "name": data["iname"],
        "interface": data["ifp_ifname"],
        "vrid": data["vrid"],
        "priority": data["base_priority"],
        "version": data["version"],
        "advert_int": data["adver_int"],
        "preempt": not data["nopreempt"],
        "addresses": [dumped_address(line.split()) for line in addresses],
        "hops": [
            words[place + 2]
            for words in routes
            for place, word in enumerate(words)
            if word == "via"
        ],
    }


def dumped_address(words: list[str]) -> tuple[str, str]:
    return str(ip_interface(words[0])), words[words.index("dev") + 1].partition("@")[0]
