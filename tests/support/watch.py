"""What others on a host could see while something went on there."""

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import quote

from tests.support.hosts import Host

FOLDER = "/root/watch"
# Command lines are everybody's to read; environments and files are looked at as a stranger, but
# small files in /tmp whoever may read them.
SCRIPT = f"""
umask 077
mkdir -p {FOLDER}
cat > {FOLDER}/look <<'END'
while test -d {FOLDER}; do
    cat /proc/[0-9]*/cmdline
    setpriv --reuid nobody --regid nogroup --clear-groups -- sh -c 'cat /proc/[0-9]*/environ'
    find /tmp /var/tmp -type f -size -64k -exec cat {{}} +
    sleep 0.1
done
END
setsid bash {FOLDER}/look > /root/seen 2>/dev/null < /dev/null &
"""


class Seen:
    """Everything that was seen, once the watch has ended."""

    text = ""


@contextmanager
def watched(host: Host) -> Iterator[Seen]:
    """Look at a host again and again, all along the context."""
    host.ssh("bash", input=SCRIPT)
    seen = Seen()
    try:
        yield seen
    finally:
        host.ssh(f"rm -r {FOLDER}")
        seen.text = host.ssh("sleep 1; cat -v /root/seen; rm /root/seen").stdout


def shown(secrets: Mapping[str, str], text: str) -> list[str]:
    """Name those of the secrets that a text has, as they are or in a guise."""
    return [
        name for name, secret in secrets.items() if any(form in text for form in _forms(secret))
    ]


def _forms(secret: str) -> set[str]:
    encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
    return {secret, quote(secret), quote(secret, safe=""), encoded}
