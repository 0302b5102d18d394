"""Inputs to begin with: what was recorded, what other tests use, and what nobody should send."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "tests/unit/samples"
CONFIGS = ROOT / "tests/unit/config_samples"

# RTM_NEWADDR of `ip addr add 10.0.0.1/24 dev v0`, recorded on Linux 6.18.
_ADDRESS = bytes.fromhex(
    "4c000000140000008824046b207500000218800003000000080001000a000001080002000a000001"
    "070003007630000008000800800000001400060" + "0ffffffffffffffff9d8509009d850900"
)
_LINK = struct.pack("=BxHiII", 0, 1, 3, 0x11043, 0) + struct.pack("=HH", 7, 3) + b"v0\0\0"


def netlink() -> Iterator[bytes]:
    yield _ADDRESS
    yield _ADDRESS * 2
    yield struct.pack("=IHHII", 16 + len(_LINK), 16, 0, 0, 0) + _LINK
    yield b"\0" + _LINK
    yield b"\3" + _ADDRESS[16:]
    yield b"\4" + _ADDRESS[16:]
    yield b"\7" + bytes(4) + struct.pack("=HHi", 8, 1, 7)


def adverts() -> Iterator[bytes]:
    for file in sorted((SAMPLES / "adverts").glob("*.hex")):
        yield from (bytes.fromhex(line) for line in file.read_text().split())


def notify() -> Iterator[bytes]:
    yield b'INSTANCE "VR_1" MASTER 150\nINSTANCE "VR_1" BACKUP 150\n'
    yield b'GROUP "G" FAULT 0\nINSTANCE "two words" STOP 255\n'
    yield b'INSTANCE "a"b" MASTER_RX_LOWER_PRI 100\nVS [192.0.2.1]:tcp:80 UP\n'
    yield 'INSTANCE "größe" DELETED 1\n'.encode()
    yield b"x" * 5000 + b'\nINSTANCE "VR_1" FAULT 9\n'


def keepalived_conf() -> Iterator[bytes]:
    for file in sorted((SAMPLES / "keepalived").glob("*.conf")):
        yield file.read_bytes()
    yield b"~SEQ(a, 1, 3) vrrp_instance V$a {\n interface e$a\n virtual_router_id $a\n}\n"
    yield b"$A=\\\nx $B\n\n$B=${A 1}\ninclude a.conf\n@network1 ${A}\n~LST(x,y=1,2) z$x$y\n"
    yield b"{" * 200 + b"}" * 100


def included(pattern: str) -> Sequence[tuple[str, str]]:
    """The one file that an `include` can find."""
    if not pattern.endswith("a.conf"):
        return ()
    return [
        ("/etc/keepalived/a.conf", "vrrp_instance I {\n interface e\n virtual_router_id 9\n}\n")
    ]


def proc() -> Iterator[bytes]:
    yield b"12 (keepalived) S 1 12 12 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 1 2 3"
    yield b"Name:\tkeepalived\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n"
    yield b"keepalived\0-n\0-l\0--use-file=/etc/k.conf\0-i\0network1\0"
    yield b"sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode\n0 0 12 00000011 0 0 0 2 0 4711\n"
    yield b"qg-0\t00000000\t017100CB\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
    zeros = b"0" * 32
    fields = (zeros, b"00", zeros, b"00", b"fe80" + b"0" * 27 + b"1", b"400", b"1", b"0", b"3")
    yield b" ".join(fields) + b" qg-0\n"


def replies() -> Iterator[bytes]:
    echo = struct.pack("!BBHHH", 0, 0, 0xFFAD, 77, 5)
    yield b"\x45\0\0\x1c" + bytes(5) + b"\1\0\0" + b"\xcb\0\x71\1" * 2 + echo
    yield b"\x81\0\0\0\0\x4d\0\5" + bytes(16)
    yield b"\0\1\x08\0\6\4\0\2" + bytes(20)
    yield b"\x88\0\0\0\x60\0\0\0" + b"\xfd" + bytes(15) + b"\2\1" + bytes(6)
    yield _ADDRESS


def config() -> Iterator[bytes]:
    shipped = (ROOT / "config/havrrpd.toml").read_text()
    keys = "\n".join(re.findall(r"(?m)^(?:#(?=[a-z_]+ = ))?([a-z_]+ = .*|\[.*)$", shipped))
    yield keys.encode()
    for file in sorted(CONFIGS.rglob("*.toml")):
        yield file.read_bytes()
    yield b'[health_check]\ninterval = 1.0\nuplinks = ["eth-ovl"]\n[[router]]\nmatch = "q*"'
    yield b"a = " + b"[" * 2000


def words(seeds: Iterable[bytes]) -> set[str]:
    """What libFuzzer may put in as a whole: the words of the seeds, if they are text."""
    texts = (seed.decode() for seed in seeds if seed.isascii())
    return {word for text in texts for word in re.findall(r"[A-Za-z_]{3,}", text)}
