"""The lines of keepalived's notify FIFO, as 2.2.7 writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from havrrpd.core.messages import StateNotified
from havrrpd.core.model import Word
from havrrpd.sources.notify import Line, LineBuffer, decode
from havrrpd.sources.notify.decode import MAX_LINE, latest


@pytest.mark.parametrize("word", list(Word))
def test_an_instance_line_names_a_state(word: Word) -> None:
    assert decode(f'INSTANCE "VR_7" {word} 50'.encode()) == StateNotified("VR_7", word, 50)


@pytest.mark.parametrize("name", ["two words", 'a "quoted" one', 'x" MASTER 100', "größe", " "])
def test_a_name_may_hold_blanks_quotes_and_more(name: str) -> None:
    line = f'INSTANCE "{name}" BACKUP 100'.encode()
    assert decode(line) == StateNotified(name, Word.BACKUP, 100)


@pytest.mark.parametrize("word", ["MASTER_RX_LOWER_PRI", "MASTER_PRIORITY", "BACKUP_PRIORITY"])
def test_an_event_word_is_never_a_state(word: str) -> None:
    assert decode(f'INSTANCE "VR_7" {word} 100'.encode()) is Line.EVENT


def test_a_group_line_is_counted_apart() -> None:
    assert decode(b'GROUP "G1" MASTER 0') is Line.GROUP


@pytest.mark.parametrize("line", [b"VS [10.0.0.1]:tcp:80 UP", b"RS [10.0.0.2]:tcp:80 VS DOWN"])
def test_a_line_of_the_load_balancer_is_not_garbage(line: bytes) -> None:
    assert decode(line) is Line.CHECKER


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\x00\xff",
        b'INSTANCE "VR_7" MASTER',
        b'INSTANCE "VR_7" MASTER 256',
        b'INSTANCE "VR_7" MASTER -1',
        b'INSTANCE "VR_7" master 100',
        b'INSTANCE "VR_7" PRIMARY 100',
        b'INSTANCE "" MASTER 100',
        b'INSTANCE "a\x1bb" MASTER 100',
        b"INSTANCE VR_7 MASTER 100",
        b' INSTANCE "VR_7" MASTER 100',
        b'INSTANCE "VR_7" MASTER 100\r',
    ],
)
def test_anything_else_is_garbage(line: bytes) -> None:
    assert decode(line) is Line.GARBAGE


@given(st.binary(max_size=200))
def test_no_bytes_make_decoding_fail(line: bytes) -> None:
    decode(line)


@given(st.lists(st.binary(max_size=20).map(lambda part: part.replace(b"\n", b""))), st.data())
def test_lines_come_out_whole_however_they_are_cut(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    buffer, found = LineBuffer(), []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        found += buffer.feed(stream[:cut])[0]
        stream = stream[cut:]
    assert found == lines
    assert buffer.half == b""


def test_a_line_without_end_is_dropped_once_and_the_next_one_is_heard() -> None:
    buffer = LineBuffer()
    assert buffer.feed(b"x" * MAX_LINE) == ([], 0)
    assert buffer.feed(b"x") == ([], 1)
    assert buffer.feed(b"x" * 3 * MAX_LINE) == ([], 0)
    assert buffer.feed(b"x\ngood\nha") == ([b"good"], 0)
    assert buffer.feed(b"lf\n") == ([b"half"], 0)


def test_a_long_line_that_comes_in_one_piece_is_dropped_too() -> None:
    assert LineBuffer().feed(b"a\n" + b"x" * (MAX_LINE + 1) + b"\nb\n") == ([b"a", b"b"], 1)


def test_only_the_last_line_of_each_instance_counts_in_what_was_queued() -> None:
    stop = StateNotified("a", Word.STOP, 100)
    other = StateNotified("b", Word.MASTER, 90)
    backup = StateNotified("a", Word.BACKUP, 100)
    assert latest([stop, other, backup]) == [other, backup]
