"""Commands of facts, in a shell of this machine, which has no Airflow."""

import subprocess

import pytest
from pyinfra.api import StringCommand

from tasks.airflow.external import ForeignServers
from tasks.airflow.objects import ObjectDifferences
from tasks.airflow.probe import ProbeAnswers

COMMANDS: dict[str, str | StringCommand] = {
    "probe": ProbeAnswers().command(questions=(("schema",),)),
    "servers": ForeignServers().command(),
    "objects": ObjectDifferences().command(kinds=("pools",)),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_does_not_end_before_its_input_was_sent(name: str) -> None:
    command = COMMANDS[name]
    text = command.get_raw_value() if isinstance(command, StringCommand) else command
    running = subprocess.Popen(["sh", "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with pytest.raises(subprocess.TimeoutExpired):
        running.wait(timeout=1)
    running.communicate(b"a secret")
    assert running.returncode == 0
