"""A mail server and a web server that keep what they are sent."""

import email
import email.policy
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword

from tests.support.hosts import Network

PASSWORD = "p%ss w#rd'\"$"


@dataclass
class Receivers:
    """What came in, and the settings that send it here."""

    address: str
    mails: list[str] = field(default_factory=list)
    """Each as its headers and its text."""
    posts: list[dict[str, Any]] = field(default_factory=list)
    smtp_port: int = 0
    http_port: int = 0

    @property
    def smtp(self) -> dict[str, Any]:
        """Give airflow.cfg's section smtp."""
        return {
            "smtp_host": self.address,
            "smtp_port": self.smtp_port,
            "smtp_user": "airflow",
            "smtp_password": PASSWORD,
            "smtp_mail_from": "airflow@example.com",
            "smtp_starttls": False,
            "smtp_ssl": False,
        }

    @property
    def settings(self) -> dict[str, Any]:
        """Give the settings with which failures are reported here, and to a command."""
        return {
            "airflow_report_email": "ops@example.com,boss@example.com",
            "airflow_report_webhook": f"http://{self.address}:{self.http_port}/hook",
            "airflow_report_command": "cat > $AIRFLOW_HOME/reported; false",
            "airflow_config": {"smtp": self.smtp},
        }

    def of(self, *words: str) -> list[str]:
        """Give the mails that have all of these words; each has to have been posted as well."""
        found = [mail for mail in self.mails if all(word in mail for word in words)]
        posted = [p["text"] for p in self.posts if all(word in p["text"] for word in words)]
        assert len(found) == len(posted), (found, posted)
        return found

    # aiosmtpd calls these by their names.
    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        """Keep a mail."""
        content = envelope.content
        assert isinstance(content, bytes)
        message = email.message_from_bytes(content, policy=email.policy.default)
        text = message.get_content()  # type: ignore[attr-defined]
        to = ", ".join(envelope.rcpt_tos)
        self.mails.append(f"Subject: {message['Subject']}\nTo: {to}\n\n{text}")
        return "250 OK"

    def authenticate(self, server: Any, session: Any, envelope: Any, way: str, data: Any) -> Any:
        """Let in by the right password only."""
        right = LoginPassword(b"airflow", PASSWORD.encode())
        return AuthResult(success=data == right, handled=False)


@contextmanager
def receivers(network: Network) -> Iterator[Receivers]:
    """Run both servers where a network's hosts reach this machine."""
    here = Receivers(network.gateway)

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            here.posts.append(json.loads(body))
            self.send_response(200)
            self.end_headers()

    web = ThreadingHTTPServer((here.address, 0), Hook)
    here.http_port = web.server_port
    threading.Thread(target=web.serve_forever, daemon=True).start()
    mail = Controller(
        here,
        hostname=here.address,
        port=_free_port(here.address),
        authenticator=here.authenticate,
        auth_required=True,
        auth_require_tls=False,
    )
    here.smtp_port = mail.port
    mail.start()
    try:
        yield here
    finally:
        mail.stop()
        web.shutdown()


def _free_port(address: str) -> int:
    with ThreadingHTTPServer((address, 0), BaseHTTPRequestHandler) as server:
        return server.server_port
