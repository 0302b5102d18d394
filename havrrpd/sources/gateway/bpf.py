"""The few instructions of classic BPF with which the kernel keeps other traffic from a socket.

Instructions: Documentation/networking/filter.rst of Linux. A load behind the end of a packet
drops it.
"""

from __future__ import annotations

import socket
import struct
from array import array
from collections.abc import Iterable

Instruction = tuple[int, int, int, int]  # code, skip if true, skip if false, k

HEADER_LENGTH_TO_X: Instruction = (0xB1, 0, 0, 0)  # ldx 4*([0]&0xf): of an IPv4 header
PASS: Instruction = (0x06, 0, 0, 0xFFFF)
DROP: Instruction = (0x06, 0, 0, 0)

_JEQ, _JSET = 0x15, 0x45
_BYTE, _HALF, _WORD = 0x30, 0x28, 0x20
_HALF_X = 0x48
_SO_ATTACH_FILTER = 26


def byte_is(offset: int, value: int) -> list[Instruction]:
    return [(_BYTE, 0, 0, offset), *_or_drop(_JEQ, value)]


def byte_has(offset: int, bits: int) -> list[Instruction]:
    return [(_BYTE, 0, 0, offset), *_or_drop(_JSET, bits)]


def half_is(offset: int, value: int) -> list[Instruction]:
    return [(_HALF, 0, 0, offset), *_or_drop(_JEQ, value)]


def half_is_behind_x(offset: int, value: int) -> list[Instruction]:
    return [(_HALF_X, 0, 0, offset), *_or_drop(_JEQ, value)]


def words_are(offset: int, value: bytes) -> list[Instruction]:
    """`value` is compared in words of four bytes."""
    program: list[Instruction] = []
    for at, (word,) in enumerate(struct.iter_unpack("!I", value)):
        program += [(_WORD, 0, 0, offset + 4 * at), *_or_drop(_JEQ, word)]
    return program


def assemble(instructions: Iterable[Instruction]) -> bytes:
    """An array of struct sock_filter that passes what no instruction dropped."""
    return b"".join(struct.pack("=HBBI", *each) for each in (*instructions, PASS))


def attach(sock: socket.socket, program: bytes) -> None:
    instructions = array("B", program)  # a type of ctypes would wait for the garbage collector
    sock_fprog = struct.pack("HP", len(program) // 8, instructions.buffer_info()[0])
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, sock_fprog)


def _or_drop(jump: int, value: int) -> list[Instruction]:
    return [(jump, 1, 0, value), DROP]
