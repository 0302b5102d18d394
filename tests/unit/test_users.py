"""Who may read: headers, hashes, and what wrong guesses tell."""

from __future__ import annotations

import asyncio
import base64
import statistics
import time

import bcrypt
import pytest

from havrrpd.config import parse
from havrrpd.views.web.users import Users, decode, hashed

ALICE = "correct horse"


def fast(password: str) -> str:
    """At the least cost that bcrypt has."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


def basic(user: str, password: str, scheme: str = "Basic") -> str:
    return f"{scheme} {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


@pytest.fixture(scope="module")
def hashes() -> dict[str, str]:
    return {"alice": fast(ALICE), "bob": fast("secret")}


@pytest.mark.parametrize(
    ("header", "credentials"),
    [
        (basic("alice", "a:b"), ("alice", "a:b")),
        (basic("alice", "", "bASIC"), ("alice", "")),
        (basic("Ünal", "pässword"), ("Ünal", "pässword")),
        ("", None),
        ("Basic", None),
        ("Basic !!!", None),
        ("Basic " + base64.b64encode(b"no colon").decode(), None),
        ("Basic " + base64.b64encode(b"\xff:\xfe").decode(), None),
        ("Bearer " + base64.b64encode(b"alice:x").decode(), None),
    ],
)
def test_a_header_has_a_user_and_a_password_or_is_none(
    header: str, credentials: tuple[str, str] | None
) -> None:
    assert decode(header) == credentials


async def test_only_the_password_of_the_user_itself_is_right(hashes: dict[str, str]) -> None:
    users = Users(hashes)
    assert await users.accept(basic("alice", ALICE), "client")
    assert await users.accept(basic("alice", ALICE), "client")
    for user, password in (
        ("alice", "secret"),
        ("alice", ""),
        ("Alice", ALICE),
        ("mallory", ALICE),
        ("mallory", "secret"),
        ("", ""),
        ("bob", f"secret{'x' * 80}"),
    ):
        assert not await users.accept(basic(user, password), "client"), (user, password)
    assert not await users.accept("", "client")


async def test_a_password_is_read_to_its_72nd_byte_and_a_longer_one_is_wrong() -> None:
    longest = "x" * 72
    users = Users({"alice": fast(longest)})
    assert await users.accept(basic("alice", longest), "client")
    assert not await users.accept(basic("alice", longest + "y"), "client")


async def test_hashes_of_other_programs_are_good() -> None:
    users = Users({"alice": fast(ALICE).replace("$2b$", "$2y$")})  # as htpasswd -B writes them
    assert await users.accept(basic("alice", ALICE), "client")


async def test_credentials_that_were_right_cost_nothing_more() -> None:
    users = Users({"alice": hashed(ALICE)})
    await users.accept(basic("alice", ALICE), "client")
    began = time.thread_time()
    for _ in range(100):
        assert await users.accept(basic("alice", ALICE), "another client")
    assert time.thread_time() - began < 0.1


async def test_a_browser_s_first_requests_are_verified_once() -> None:
    users = Users({"alice": bcrypt.hashpw(ALICE.encode(), bcrypt.gensalt(10)).decode()})
    began = time.process_time()
    accepted = await asyncio.gather(
        *(users.accept(basic("alice", ALICE), "client") for _ in range(20))
    )
    assert all(accepted)
    assert time.process_time() - began < 10 * 0.06


async def test_the_loop_turns_while_a_password_is_verified() -> None:
    users = Users({"alice": bcrypt.hashpw(b"x", bcrypt.gensalt(12)).decode()})
    guess = asyncio.create_task(users.accept(basic("alice", "wrong"), "client"))
    turns = 0
    while not guess.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 1000


async def test_an_unknown_user_takes_as_long_as_a_known_one() -> None:
    cost_10, cost_11 = (bcrypt.hashpw(b"x", bcrypt.gensalt(n)).decode() for n in (10, 11))
    for known in (cost_10, cost_11):
        users = Users({"alice": known})
        took = {user: [await cpu(users, user) for _ in range(3)] for user in ("alice", "mallory")}
        alice, mallory = (statistics.median(times) for times in took.values())
        assert 0.7 < alice / mallory < 1.4


async def cpu(users: Users, user: str) -> float:
    began = time.process_time()
    await users.accept(basic(user, "wrong"), "client")
    return time.process_time() - began


async def test_one_client_s_guesses_keep_another_waiting_for_one_of_them_at_most() -> None:
    users = Users({"alice": bcrypt.hashpw(ALICE.encode(), bcrypt.gensalt(10)).decode()})
    guesses = [
        asyncio.create_task(users.accept(basic("alice", f"guess {n}"), "mallory's"))
        for n in range(16)
    ]
    await asyncio.sleep(0)
    assert await users.accept(basic("alice", ALICE), "alice's")
    assert sum(guess.done() for guess in guesses) <= 2
    assert not any(await asyncio.gather(*guesses))


def test_a_new_hash_is_what_the_configuration_takes() -> None:
    text = f'[web]\nbasic_auth_users = {{ "alice" = "{hashed(ALICE)}" }}\n'
    assert list(parse(text, "test").web.basic_auth_users) == ["alice"]


@pytest.mark.parametrize("password", ["", "x" * 73, "ä" * 37])
def test_what_bcrypt_cannot_tell_from_others_is_no_password(password: str) -> None:
    with pytest.raises(ValueError, match="1 to 72 bytes"):
        hashed(password)
