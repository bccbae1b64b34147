"""What the probe makes of sockets, tokens and names, without any host."""

import os
import socket
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

import airflow_probe as probe


def listener(address: str, port: int = 0) -> socket.socket:
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    server.bind((address, port))
    server.listen()
    return server


def test_a_token_is_opened_by_any_key_of_the_list() -> None:
    old, new, other = (Fernet.generate_key() for _ in range(3))
    token = Fernet(old).encrypt(b"secret").decode()
    keys = [probe.signing_key(key.decode()) for key in (new, old)]
    assert probe.opens(keys, token)
    assert not probe.opens([probe.signing_key(other.decode())], token)
    assert not probe.opens(keys, token[:-8] + "AAAAAAA=")


@pytest.mark.parametrize("text", ["plain", "", "{}", "gAAAAA", "ü"])
def test_what_is_no_token_is_opened_by_none(text: str) -> None:
    assert not probe.opens([probe.signing_key(Fernet.generate_key().decode())], text)


@pytest.mark.parametrize(
    ("host", "ours"),
    [("db1", True), ("db1.example.com", True), ("db10", False), ("old", False), ("", False)],
)
def test_a_scheduler_is_ours_by_its_name_with_or_without_a_domain(host: str, ours: bool) -> None:
    assert probe.is_named(host, ["db1", "10.0.0.2"]) == ours


def test_many_names_are_cut_short() -> None:
    assert probe.listed(["b", "a", "b"]) == "a, b"
    assert probe.listed(f"n{number:02}" for number in range(12)).endswith("n09 and 2 more")


def test_the_listener_is_the_one_that_the_kernel_would_take() -> None:
    with listener("0.0.0.0") as every:
        port = every.getsockname()[1]
        with listener("127.0.0.2", port) as near:
            found = probe.listeners(f"http://127.0.0.2:{port}/health")
            assert found == {str(os.fstat(near.fileno()).st_ino): os.getuid()}
        found = probe.listeners(f"http://127.0.0.2:{port}/health")
        assert found == {str(os.fstat(every.fileno()).st_ino): os.getuid()}


def test_another_program_at_the_port_is_named() -> None:
    with listener("127.0.0.1") as server:
        port = server.getsockname()[1]
        asked = ["airflow-webserver.service", f"http://127.0.0.1:{port}/health"]
        program = Path("/proc/self/comm").read_text().strip()
        sentence = f"port {port} is answered by another program ({program}, process {os.getpid()})"
        for check in ("web", "flower", "health"):
            word, why = probe.answer(check, asked)
            assert (word, why) == (sentence, f"the check {check} says: {sentence}")
    assert probe.stranger(*asked) == ""


@pytest.mark.parametrize(
    ("groups", "ours"),
    [
        ("0::/system.slice/airflow-web.service\n", True),
        ("0::/lxc/a/system.slice/airflow-web.service/inner\n", True),
        ("1:name=systemd:/docker/1/system.slice/airflow-web.service\n0::/\n", True),
        ("0::/system.slice/old-airflow-web.service\n", False),
        ("0::/system.slice/airflow-web.service.old\n", False),
        ("0::/user.slice/user-1000.slice/session-1.scope\n", False),
    ],
)
def test_a_process_is_of_a_unit_by_its_control_group(groups: str, ours: bool) -> None:
    assert probe.is_of("airflow-web.service", groups) == ours


def test_a_word_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(probe.ASKS, "odd", lambda: "a\n b\tc")
    assert probe.answer("odd", [])[0] == "a b c"
