"""Pure: the classic BPF program with which the kernel passes adverts and nothing else.

For a packet socket of type SOCK_DGRAM: offset 0 is the IP header. A load behind the end of a
packet drops it. Instructions: Documentation/networking/filter.rst of Linux.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

_DROP, _PASS = 0, 0xFFFF

# Operation codes, by what the assembler of bpfc(8) calls them.
_LD = 0x20  # ld [k]: also the kernel's ancillary words
_LDH = 0x28  # ldh [k]
_LDB = 0x30  # ldb [k]
_LDB_X = 0x50  # ldb [x + k]
_LDX_IMM = 0x01  # ldx #k
_LDX_IHL = 0xB1  # ldx 4*([k]&0xf)
_JA = 0x05
_JEQ = 0x15
_JSET = 0x45
_ADD = 0x04
_ADD_X = 0x0C
_LSH = 0x64
_TAX = 0x07
_RET = 0x06

_ANCILLARY = 0xFFFFF000  # SKF_AD_OFF
_PROTOCOL = _ANCILLARY + 0
_PACKET_TYPE = _ANCILLARY + 4
_VLAN_TAG_PRESENT = _ANCILLARY + 48

_ETH_P_IP, _ETH_P_IPV6 = 0x0800, 0x86DD
_PACKET_OTHERHOST = 3
_VRRP, _AH = 112, 51

Instruction = tuple[int, int, int, int]  # code, skip if true, skip if false, k


def advert_filter(vrids: Iterable[int] | None = None) -> bytes:
    """An array of struct sock_filter that passes VRRP, plain or in AH; of `vrids` only if given."""
    program = [*_IS_VRRP, *_vrid_in(vrids)] if vrids is not None else [*_IS_VRRP, _ret(_PASS)]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _ret(verdict: int) -> Instruction:
    return (_RET, 0, 0, verdict)


def _vrid_in(vrids: Iterable[int]) -> list[Instruction]:
    """X is where the VRRP message starts; its second byte is the VRID."""
    program: list[Instruction] = [(_LDB_X, 0, 0, 1)]
    for vrid in sorted(vrids):
        program += [(_JEQ, 0, 1, vrid), _ret(_PASS)]
    return [*program, _ret(_DROP)]


_IS_VRRP: tuple[Instruction, ...] = (
    # A tagged frame belongs to a VLAN interface, though the tap of the parent sees it too.
    (_LD, 0, 0, _VLAN_TAG_PRESENT),
    (_JEQ, 1, 0, 0),
    _ret(_DROP),
    # A switch may flood unicast adverts of others, who may use the same VRID without harm.
    (_LD, 0, 0, _PACKET_TYPE),
    (_JEQ, 0, 1, _PACKET_OTHERHOST),
    _ret(_DROP),
    (_LD, 0, 0, _PROTOCOL),
    (_JEQ, 2, 0, _ETH_P_IP),
    (_JEQ, 7, 0, _ETH_P_IPV6),
    _ret(_DROP),
    # IPv4: X = header length, A = protocol. The later fragments hold no VRRP header.
    (_LDH, 0, 0, 6),
    (_JSET, 0, 1, 0x1FFF),
    _ret(_DROP),
    (_LDX_IHL, 0, 0, 0),
    (_LDB, 0, 0, 9),
    (_JA, 0, 0, 2),
    # IPv6: X = header length, A = next header.
    (_LDX_IMM, 0, 0, 40),
    (_LDB, 0, 0, 6),
    (_JEQ, 10, 0, _VRRP),
    (_JEQ, 1, 0, _AH),
    _ret(_DROP),
    # AH: X += its length, which is given in words of four bytes less two.
    (_LDB_X, 0, 0, 0),
    (_JEQ, 1, 0, _VRRP),
    _ret(_DROP),
    (_LDB_X, 0, 0, 1),
    (_ADD, 0, 0, 2),
    (_LSH, 0, 0, 2),
    (_ADD_X, 0, 0, 0),
    (_TAX, 0, 0, 0),
)
