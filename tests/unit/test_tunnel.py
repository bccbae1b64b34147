"""What a server says before it hangs up arrives at this end of the tunnel."""

import socket
import threading

from tasks.before.tunnel import _pump

LAST_WORDS = b"no pg_hba.conf entry" * 10_000


def _hangs_up(server: socket.socket) -> None:
    connection, _ = server.accept()
    connection.recv(10)
    connection.sendall(LAST_WORDS)
    connection.close()


def test_the_last_words_of_a_server_arrive() -> None:
    for _ in range(20):
        with socket.create_server(("127.0.0.1", 0)) as server:
            threading.Thread(target=_hangs_up, args=(server,), daemon=True).start()
            channel = socket.create_connection(server.getsockname())
            ours, theirs = socket.socketpair()
            ours.sendall(b"x" * 10)
            for source, target in ((theirs, channel), (channel, theirs)):
                threading.Thread(target=_pump, args=(source, target), daemon=True).start()
            heard = b""
            while data := ours.recv(1 << 16):
                heard += data
            assert heard == LAST_WORDS
