"""TLS and passwords on real sockets, their reload, and who is logged for an order."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from havrrpd.config import ConfigError, Web
from havrrpd.core.node import Node
from havrrpd.lab.lab import Lab
from havrrpd.lab.waiting import wait_until
from havrrpd.serving import admission
from havrrpd.views.web.app import read_only_app
from havrrpd.views.web.door import Admission
from havrrpd.views.web.limits import Limits, Refusal
from havrrpd.views.web.tls import server_context
from havrrpd.views.web.users import Users
from tests.answering import answering_tcp, eventually, on_uvloop
from tests.certificates import Pair, certificate

NODE = Node(name="n", version="9.9", now=1.0, wall_now=1.0, started_at=0.0, ready=True)
ALICE, BOB = "correct horse", "battery staple"


def fast(password: str) -> str:
    """At the least cost that bcrypt has."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


def request(path: str, user: str = "", password: str = "", connection: str = "close") -> bytes:
    credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
    header = f"Authorization: Basic {credentials}\r\n" if user else ""
    return f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: {connection}\r\n{header}\r\n".encode()


async def ask(port: int, asked: bytes, tls: ssl.SSLContext | None = None) -> tuple[int, str]:
    """The status, and the head of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    try:
        writer.write(asked)
        answer = await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()
    return int(answer.split(b" ", 2)[1]), answer.partition(b"\r\n\r\n")[0].decode()


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pair, Pair]:
    directory = tmp_path_factory.mktemp("certificates")
    return certificate(directory, "old"), certificate(directory, "new")


def web(pair: Pair) -> Web:
    return Web(tls_certificate=str(pair.certificate), tls_key=str(pair.key))


# --- passwords ---


@pytest.mark.parametrize("path", ["/", "/history", "/status", "/metrics", "/openapi.json", "/nope"])
@on_uvloop
async def test_without_the_password_there_is_nothing_to_read(path: str) -> None:
    users = Users({"alice": fast(ALICE)})
    async with answering_tcp(read_only_app(lambda: NODE), Admission(users=users)) as (port, door):
        for asked in (
            request(path),
            request(path, "alice", "wrong"),
            request(path, "mallory", ALICE),
        ):
            status, head = await ask(port, asked)
            assert status == 401
            assert '\r\nWWW-Authenticate: Basic realm="havrrpd", charset="UTF-8"\r\n' in head
        assert door.refused[Refusal.CREDENTIALS] == 3
        status, _ = await ask(port, request(path, "alice", ALICE))
        assert status == (404 if path == "/nope" else 200)


@on_uvloop
async def test_guesses_come_at_the_client_s_rate_at_most() -> None:
    admitted = Admission(Limits(client_rate=2.0), Users({"alice": fast(ALICE)}))
    async with answering_tcp(read_only_app(lambda: NODE), admitted) as (port, door):
        guesses = [request("/", "alice", f"guess {n}", "keep-alive") for n in range(9)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"".join([*guesses, request("/", "alice", "last guess")]))
        answers = (await asyncio.wait_for(reader.read(), 10)).split(b"HTTP/1.1 ")[1:]
        writer.close()
        assert len(answers) == 10
        assert door.refused[Refusal.CREDENTIALS] <= 3
        assert door.refused[Refusal.CLIENT_RATE] >= 7


@on_uvloop
async def test_a_user_who_is_removed_reads_no_more_on_open_connections_either() -> None:
    admitted = Admission(users=Users({"alice": fast(ALICE)}))
    async with answering_tcp(read_only_app(lambda: NODE), admitted) as (port, door):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("/-/ready", "alice", ALICE, "keep-alive"))
        assert b"200 OK" in await reader.readuntil(b'{"ready":true}')
        door.admission = Admission(users=Users({"bob": fast(BOB)}))
        writer.write(request("/-/ready", "alice", ALICE))
        assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 401 ")
        writer.close()
        assert (await ask(port, request("/-/ready", "bob", BOB)))[0] == 200


# --- TLS ---


@on_uvloop
async def test_a_reload_changes_the_certificate_and_open_connections_live_on(
    pairs: tuple[Pair, Pair],
) -> None:
    old, new = pairs
    app = read_only_app(lambda: NODE)
    async with answering_tcp(app, admission(web(old))) as (port, door):
        before = await asyncio.open_connection("127.0.0.1", port, ssl=old.trusting())
        assert (await ask(port, request("/"), old.trusting()))[0] == 200
        door.admission = admission(web(new))
        assert (await ask(port, request("/"), new.trusting()))[0] == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            await ask(port, request("/"), old.trusting())
        before[1].write(request("/"))
        assert (await asyncio.wait_for(before[0].read(), 10)).startswith(b"HTTP/1.1 200 ")
        before[1].close()


@on_uvloop
async def test_what_is_older_than_tls_1_2_is_refused(pairs: tuple[Pair, Pair]) -> None:
    async with answering_tcp(read_only_app(lambda: NODE), admission(web(pairs[0]))) as (port, door):
        outdated = pairs[0].trusting()
        outdated.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
            outdated.maximum_version = ssl.TLSVersion.TLSv1_1
        outdated.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await ask(port, request("/"), outdated)
        await eventually(lambda: door.refused[Refusal.HANDSHAKE] == 1)
        assert (await ask(port, request("/"), pairs[0].trusting()))[0] == 200


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\x02"])
@on_uvloop
async def test_a_client_that_does_no_handshake_is_counted_and_hung_up_on(
    pairs: tuple[Pair, Pair], said: bytes
) -> None:
    tls = server_context(str(pairs[0].certificate), str(pairs[0].key))
    admitted = Admission(Limits(client_connections=1, request_timeout=0.5), tls=tls)
    async with answering_tcp(read_only_app(lambda: NODE), admitted) as (port, door):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        await asyncio.wait_for(reader.read(), 10)
        writer.close()
        await eventually(lambda: door.open == 0)
        assert door.refused[Refusal.HANDSHAKE] == 1
        assert (await ask(port, request("/"), pairs[0].trusting()))[0] == 200


@on_uvloop
async def test_connections_count_before_their_handshake(pairs: tuple[Pair, Pair]) -> None:
    tls = server_context(str(pairs[0].certificate), str(pairs[0].key))
    admitted = Admission(Limits(client_connections=2), tls=tls)
    async with answering_tcp(read_only_app(lambda: NODE), admitted) as (port, door):
        mute = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        await eventually(lambda: door.refused[Refusal.CLIENT_CONNECTIONS] == 1)
        assert door.open == 2
        for _, writer in mute:
            writer.close()
        await eventually(lambda: door.open == 0)


def test_the_keys_of_the_table_are_the_limits() -> None:
    table = Web(max_connections=7, max_connections_per_client=5, max_requests_per_second=3.0)
    assert admission(table).limits == Limits(connections=7, client_connections=5, client_rate=3.0)
    assert admission(Web()).limits == Limits()
    assert admission(Web()).tls is None


def test_files_that_cannot_be_used_are_refused_with_the_reason(
    pairs: tuple[Pair, Pair], tmp_path: Path
) -> None:
    old, new = pairs
    missing, junk, locked = (tmp_path / name for name in ("missing", "junk", "locked"))
    junk.write_text("no PEM")
    subprocess.run(
        ["openssl", "ec", "-aes256", "-passout", "pass:x123", "-in", old.key, "-out", locked],
        check=True,
        capture_output=True,
    )
    for given, text in (
        (
            Web(tls_certificate=str(missing), tls_key=str(old.key)),
            f'web.tls_certificate: cannot be read: No such file or directory, got "{missing}"',
        ),
        (
            Web(tls_certificate=str(old.certificate), tls_key=str(tmp_path)),
            f'web.tls_key: cannot be read: Is a directory, got "{tmp_path}"',
        ),
        (
            Web(tls_certificate=str(old.certificate), tls_key=str(new.key)),
            "web.tls_certificate: no pair with tls_key: key values mismatch, "
            f'got "{old.certificate}" and "{new.key}"',
        ),
        (
            Web(tls_certificate=str(old.certificate), tls_key=str(junk)),
            "web.tls_certificate: no pair with tls_key: one of them is not PEM, "
            f'got "{old.certificate}" and "{junk}"',
        ),
        (
            Web(tls_certificate=str(old.certificate), tls_key=str(locked)),
            "web.tls_key: must not be encrypted",
        ),
    ):
        with pytest.raises(ConfigError) as caught:
            admission(given)
        assert str(caught.value) == text


# --- the daemon ---

CONFIG = """
[paths]
socket = "/run/s.sock"
state_dir = "/run/s"
[web]
listen = "0.0.0.0:9913"
tls_certificate = "/run/{pair}.pem"
tls_key = "/run/{pair}.key"
basic_auth_users = {{ {user} = "{hashed}" }}
"""
ASK = """
import base64, ssl, sys, urllib.error, urllib.request
trusted, user, password = sys.argv[1:]
tls = ssl.create_default_context(cafile=trusted)
tls.check_hostname = False
basic = base64.b64encode(f"{user}:{password}".encode()).decode()
asked = urllib.request.Request(
    "https://127.0.0.1:9913/-/ready", headers={"Authorization": f"Basic {basic}"}
)
try:
    print(urllib.request.urlopen(asked, context=tls).status)
except urllib.error.HTTPError as error:
    print(error.code)
except urllib.error.URLError as error:
    print(type(error.reason).__name__)
"""
COUNT = """
import socket
with socket.socket(socket.AF_UNIX) as asking:
    asking.connect("/run/s.sock")
    asking.sendall(b"GET /metrics HTTP/1.0\\r\\n\\r\\n")
    print(asking.makefile().read())
"""


@pytest.mark.root
def test_the_daemon_reloads_certificate_and_users_whole_or_not_at_all() -> None:
    with Lab(nodes=1, havrrpd=False) as lab:
        node = lab.node("network1")
        file = node.path("/run/s.toml")

        def configured(pair: str, user: str, password: str) -> str:
            hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(10)).decode()
            return CONFIG.format(pair=pair, user=user, hashed=hashed)

        def answer(trusted: str, user: str, password: str) -> str:
            return node.exec(
                [sys.executable, "-c", ASK, f"/run/{trusted}.pem", user, password]
            ).strip()

        def reload() -> str:
            command = f"{sys.executable} -m havrrpd --socket /run/s.sock reload"
            return node.shell(f"({command}) 2>&1 && echo 0 || echo $?").strip()

        for name in ("old", "new"):
            certificate(node.path("/run"), name)
        file.write_text(configured("old", "alice", ALICE))
        running = node.start(
            [sys.executable, "-m", "havrrpd", "run", "--config", "/run/s.toml"], "access.log"
        )
        wait_until(lambda: answer("old", "alice", ALICE) == "200", 15.0, "an answer")
        assert answer("old", "alice", BOB) == "401"
        assert answer("new", "alice", ALICE) == "SSLCertVerificationError"

        node.path("/run/old.key").write_text("broken")
        file.write_text(configured("old", "bob", BOB))
        assert reload() == (
            "havrrpd: web.tls_certificate: no pair with tls_key: one of them is not PEM, "
            'got "/run/old.pem" and "/run/old.key"\n2'
        )
        assert (answer("old", "alice", ALICE), answer("old", "bob", BOB)) == ("200", "401")

        file.write_text(configured("new", "bob", BOB).replace(":9913", ":9914"))
        assert reload() == "havrrpd: web.listen: only a restart can change this key\n2"

        file.write_text(configured("new", "bob", BOB))
        running.signal(signal.SIGHUP)
        wait_until(lambda: answer("new", "bob", BOB) == "200", 5.0, "the reload is taken")
        assert answer("new", "alice", ALICE) == "401"
        assert answer("old", "bob", BOB) == "SSLCertVerificationError"

        orders = [entry for entry in entries(running.log) if entry["event"] == "order.refused"]
        assert [entry["order"] for entry in orders] == ["/reload", "/reload"]
        assert all(entry["peer_pid"] > 0 and entry["peer_uid"] == 0 for entry in orders)
        counted = node.exec([sys.executable, "-c", COUNT])
        assert 'havrrpd_web_refused_total{reason="credentials"} 3.0\n' in counted
        assert 'havrrpd_web_refused_total{reason="slow_reader"} 0.0\n' in counted
        running.signal(signal.SIGTERM)
        running.wait(10.0)
        assert "Traceback" not in running.log.read_text()


def entries(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
