"""What LAMMPS leaves behind: nothing, neither files nor shared memory."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from symreg.lammps.runtime import WORKER, call, run

pytestmark = pytest.mark.lammps


def test_temporary_folders_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    run([], {"some.file": "text"})
    assert list(tmp_path.iterdir()) == []


PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, file=open(sys.argv[1], "w"), flush=True)
child.wait()
"""


def test_children_of_a_command_end_with_ctrl_c(tmp_path):
    noted = tmp_path / "pid"

    def interrupt():
        while not (noted.exists() and noted.read_text()):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        call("it", [sys.executable, "-c", PARENT, str(noted)], os.environ, 60.0)
    end = time.monotonic() + 30
    while is_alive(int(noted.read_text())):
        assert time.monotonic() < end
        time.sleep(0.05)


def is_alive(pid):
    """Whether a process runs; one that has ended may still wait for its parent to notice."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="MPI keeps its memory elsewhere")
@pytest.mark.parametrize("tasks", ["[]", '[{"input": "no command"}]'])
def test_no_shared_memory_outlives_its_process(tmp_path, tasks):
    (tmp_path / "tasks.json").write_text(tasks)
    before = set(os.listdir("/dev/shm"))  # a process killed earlier may have had the same number
    with subprocess.Popen([sys.executable, "-P", str(WORKER), str(tmp_path)]) as process:
        assert process.wait(60) == 0
    assert ("error" in (tmp_path / "results.json").read_text()) == (tasks != "[]")
    assert f"mpich_shm_{process.pid:x}_0" not in set(os.listdir("/dev/shm")) - before
