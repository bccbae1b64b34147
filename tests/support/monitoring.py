"""What a Prometheus server, a bucket and a load balancer see of a deployed host."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
import requests
from moto.server import ThreadedMotoServer

from tests.support.cli import ROOT
from tests.support.hosts import Host, Network
from tests.support.waiting import until

FILES = ROOT / "files/monitoring"
SETUP = """
set -e
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq --no-install-recommends -o Dpkg::Options::=--force-confold prometheus >/dev/null
cp /usr/share/doc/prometheus/examples/console_libraries/* /etc/prometheus/console_libraries/
systemctl restart prometheus
"""
ASK = "exec 3<>/dev/tcp/127.0.0.1/{}; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"


def metrics(host: Host, port: int) -> str:
    """Read what an exporter has on its own host."""
    return host.ssh("bash", input=ASK.format(port)).stdout


def dashboard() -> list[str]:
    """List what Grafana asks Prometheus for the example's dashboard."""
    panels = json.loads((FILES / "airflow-grafana.json").read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


@dataclass
class Prometheus:
    """A server of its own, which has read our examples."""

    host: Host

    def start(self, target: str) -> None:
        """Install it, to scrape one host that runs everything."""
        for name, folder in (
            ("prometheus.yml", ""),
            ("airflow-alerts.yml", ""),
            ("airflow.html", "consoles/"),
        ):
            text = (FILES / name).read_text().replace("airflow.example.com", target)
            path = f"/etc/prometheus/{folder}{name}"
            self.host.ssh(f"mkdir -p $(dirname {path}) && cat > {path}", input=text)
        self.host.ssh("bash", input=SETUP)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{self.host.address}:9090"

    def ask(self, path: str, **words: str) -> Any:
        """Call its API."""
        answer = requests.get(f"{self.url}/api/v1/{path}", params=words, timeout=10)
        assert answer.ok, answer.text
        return answer.json()["data"]

    def targets(self) -> dict[str, str]:
        """Give the health of each job's target."""
        try:
            found = self.ask("targets")["activeTargets"]
        except requests.ConnectionError:
            return {}
        return {target["labels"]["job"]: target["health"] for target in found}

    def value(self, query: str) -> float | None:
        """Give the only number that a query finds."""
        found = self.ask("query", query=query)["result"]
        return float(found[0]["value"][1]) if found else None


@dataclass
class Bucket:
    """Storage that speaks S3."""

    url: str

    def connect(self, host: Host) -> None:
        """Give Airflow a connection to it."""
        extra = json.dumps({"endpoint_url": self.url, "region_name": "us-east-1"})
        host.ssh(
            "airflow connections add logs --conn-type aws --conn-login airflow"
            f" --conn-password airflow --conn-extra '{extra}'"
        )

    def objects(self) -> dict[str, str]:
        """Give key -> text of what is in the bucket."""
        s3 = self._client()
        keys = [each["Key"] for each in s3.list_objects_v2(Bucket="airflow").get("Contents", ())]
        return {
            key: s3.get_object(Bucket="airflow", Key=key)["Body"].read().decode() for key in keys
        }

    def make(self) -> None:
        """Make the bucket."""
        self._client().create_bucket(Bucket="airflow")

    def _client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="airflow",
            aws_secret_access_key="airflow",
        )


@contextmanager
def bucket(network: Network) -> Iterator[Bucket]:
    """Run the storage where a network's hosts reach this machine."""
    server = ThreadedMotoServer(ip_address=network.gateway, port=0, verbose=False)
    server.start()
    made = Bucket("http://{}:{}".format(*server.get_host_and_port()))
    made.make()
    try:
        yield made
    finally:
        server.stop()


def health(host: Host) -> tuple[int, dict[str, str]]:
    """Ask as a load balancer does."""
    answer = requests.get(f"http://{host.address}:8081/", timeout=60)
    return answer.status_code, answer.json()


def comes_back(host: Host) -> None:
    """Wait until all of a host works again."""
    until(lambda: health(host)[0] == 200, 90, "all works again")
