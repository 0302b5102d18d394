"""The configuration file: defaults, every kind of problem with its exact text, and overrides."""

from __future__ import annotations

import re
import socket
from dataclasses import fields
from ipaddress import ip_address
from pathlib import Path

import pytest

from havrrpd.config import Config, ConfigError, ExplicitRouter, dump, load, parse
from havrrpd.config_keys import HEALTH_CHECK, SECTIONS, read_listen
from havrrpd.core.model import HealthCheck

SAMPLES = Path(__file__).parent / "config_samples" / "bad"
SHIPPED = Path(__file__).parents[2] / "config" / "havrrpd.toml"
BAD = sorted(SAMPLES.glob("*.toml"))


@pytest.mark.parametrize("sample", BAD, ids=lambda sample: sample.stem)
def test_a_bad_file_is_refused_with_exactly_this_text(sample: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(sample.read_text(encoding="utf-8"), sample.name)
    assert str(caught.value) == sample.with_suffix(".txt").read_text(encoding="utf-8").rstrip("\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = " + "[" * 5000, "f: is not TOML that can be read: too deeply nested"),
        ("a = " + "9" * 5000, "f: is not TOML: Exceeds the limit (4300 digits) for integer"),
    ],
)
def test_toml_that_python_can_not_read_is_refused_too(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "f")
    assert str(caught.value).startswith(said)


def test_an_empty_file_means_all_defaults() -> None:
    config = parse("", "empty.toml")
    assert config.node.name == socket.gethostname()
    assert config.health_check == HealthCheck()
    assert str(config.web.listen) == "127.0.0.1:9912"
    assert config.paths.lever_dir == "/run/havrrpd/levers"
    assert config.router == ()


def test_the_shipped_file_changes_nothing_as_it_is() -> None:
    assert load(str(SHIPPED)) == parse("", "empty.toml")


def test_the_shipped_file_uncommented_is_exactly_the_defaults() -> None:
    text = re.sub(r"(?m)^#(?=[a-z_]+ = )", "", SHIPPED.read_text(encoding="utf-8"))
    assert parse(text, "shipped") == parse("", "empty.toml")


def test_the_shipped_file_names_every_key() -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    for section, keys in SECTIONS.items():
        body = text.partition(f"\n[{section}]\n")[2].partition("\n[")[0]
        assert re.findall(r"(?m)^#([a-z_]+) = ", body) == list(keys)


def test_the_routers_shown_in_the_shipped_file_are_good() -> None:
    text = SHIPPED.read_text(encoding="utf-8").partition("\n# Tables ")[2]
    example = "\n".join(re.findall(r"(?m)^#     (.*)$", text))
    assert len(parse(example, "example").router) == 2


def test_every_key_has_a_field_and_every_field_a_key() -> None:
    config = Config()
    for section, keys in SECTIONS.items():
        if section != "health_check":
            assert {field.name for field in fields(getattr(config, section))} == set(keys)
    assert set(HEALTH_CHECK) | {"gateways"} == set(HealthCheck.__struct_fields__)
    assert SECTIONS["health_check"] is HEALTH_CHECK


def test_no_file_is_fine_at_the_default_path_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "havrrpd.toml"
    monkeypatch.setattr("havrrpd.config.DEFAULT_PATH", str(missing))
    assert load() == parse("", "")
    with pytest.raises(ConfigError) as caught:
        load(str(missing))
    assert str(caught.value) == f"{missing}: cannot be read: No such file or directory"


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(str(tmp_path))
    assert str(caught.value) == f"{tmp_path}: cannot be read: Is a directory"


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError) as caught:
        load(str(tmp_path / "binary.toml"))
    assert str(caught.value) == f"{tmp_path}/binary.toml: is not UTF-8 text: invalid start byte"


def test_router_tables_override_the_health_check_and_the_last_one_wins_a_key() -> None:
    config = parse(
        """
        [node]
        name = "network1"
        [health_check]
        interval = 5
        fall = 4
        [[router]]
        match = "qrouter-*"
        interval = 2
        rise = 7
        [[router]]
        match = "0000*"
        interval = 3
        gateways = ["203.0.113.1", "fe80::1"]
        """,
        "test",
    )
    assert config.settings_for("0000-1", "qrouter-0000-1").health_check == HealthCheck(
        interval=3,
        fall=4,
        rise=7,
        gateways=(ip_address("203.0.113.1"), ip_address("fe80::1")),
    )
    assert config.settings_for("other", "snat-other").health_check == HealthCheck(
        interval=5, fall=4
    )
    assert config.settings_for("other", None).node == "network1"


def test_a_router_has_the_uplinks_of_the_node_unless_its_table_says_otherwise() -> None:
    config = parse(
        """
        [health_check]
        uplinks = ["eth-ovl", "eth-prov"]
        [[router]]
        match = "blue"
        uplinks = ["bond0.17"]
        [[router]]
        match = "red"
        uplinks = []
        """,
        "test",
    )
    names = [config.settings_for(name, None).health_check.uplinks for name in ("a", "blue", "red")]
    assert names == [("eth-ovl", "eth-prov"), ("bond0.17",), ()]
    assert parse(dump(config), "dumped") == config


def test_settings_carry_the_election_and_the_lever_directory() -> None:
    config = parse(
        """
        [election]
        observe_only = true
        max_dwell = 60
        settle = 0
        [paths]
        lever_dir = "/run/levers"
        """,
        "test",
    )
    settings = config.settings_for("a", None)
    assert (settings.observe_only, settings.max_dwell, settings.settle, settings.lever_dir) == (
        True,
        60.0,
        0.0,
        "/run/levers",
    )


def test_an_explicit_router_has_the_keys_of_its_table() -> None:
    config = parse(
        """
        [[router]]
        keepalived_conf = "/etc/keepalived/blue.conf"
        interval = 3
        [[router]]
        keepalived_conf = "/etc/keepalived/red.conf"
        namespace = "red"
        interval = 4
        """,
        "test",
    )
    assert config.explicit_routers == (
        ExplicitRouter("/etc/keepalived/blue.conf"),
        ExplicitRouter("/etc/keepalived/red.conf", "red"),
    )
    assert config.settings_for("blue", None).health_check.interval == 3
    assert config.settings_for("red", "red").health_check.interval == 4
    assert config.settings_for("red", "green").health_check.interval == 0


def test_what_show_prints_is_read_back_as_the_same() -> None:
    config = parse(
        """
        [node]
        name = "nœud"
        [web]
        listen = "[::1]:80"
        [log]
        format = "json"
        [[router]]
        match = 'a"b\\c'
        methods = ["icmp"]
        gateways = ["2001:db8::1"]
        [[router]]
        keepalived_conf = "/etc/k.conf"
        """,
        "test",
    )
    assert parse(dump(config), "dumped") == config


@pytest.mark.parametrize(
    ("text", "host", "port", "public"),
    [
        ("127.0.0.1:9912", "127.0.0.1", 9912, False),
        ("localhost:1", "127.0.0.1", 1, False),
        ("[::1]:65535", "::1", 65535, False),
        ("0.0.0.0:80", "0.0.0.0", 80, True),
        ("[::]:80", "::", 80, True),
    ],
)
def test_a_listen_address_is_read(text: str, host: str, port: int, public: bool) -> None:
    listen = read_listen(text)
    assert (listen.host, listen.port, listen.public) == (host, port, public)


@pytest.mark.parametrize(
    "text", ["", "9912", ":9912", "127.0.0.1", "127.0.0.1:0", "::1:80", "[127.0.0.1]:80", "a.b:80"]
)
def test_what_is_no_listen_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_listen(text)


def test_a_public_address_is_taken_when_allowed() -> None:
    config = parse('[web]\nlisten = "0.0.0.0:9912"\nallow_public = true\n', "test")
    assert config.web.listen.public


def test_a_public_address_is_taken_when_it_is_guarded_by_tls_and_users() -> None:
    hashed = "$2b$12$Tj0az5455qrLkxSSfEwptO1oSyyU8ZbzHLYmO1L6UsA0TlSekTI.y"
    text = (
        '[web]\nlisten = "0.0.0.0:443"\ntls_certificate = "/c.pem"\ntls_key = "/k.pem"\n'
        f'basic_auth_users = {{ alice = "{hashed}" }}\n'
    )
    config = parse(text, "test")
    assert config.web.guarded
    assert parse(dump(config), "dumped") == config


def test_no_hash_of_a_password_is_in_what_is_said_about_it() -> None:
    with pytest.raises(ConfigError) as caught:
        parse('[web]\nbasic_auth_users = { alice = "$2b$12$almost.a.hash" }\n', "test")
    assert "almost" not in str(caught.value)
