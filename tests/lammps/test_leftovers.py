"""What LAMMPS leaves behind: nothing, neither files nor shared memory."""

import os
import subprocess
import sys
import tempfile

import pytest

from symreg.lammps.runtime import WORKER, run

pytestmark = pytest.mark.lammps


def test_temporary_folders_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    run([], {"some.file": "text"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="MPI keeps its memory elsewhere")
@pytest.mark.parametrize("tasks", ["[]", '[{"input": "no command"}]'])
def test_no_shared_memory_outlives_its_process(tmp_path, tasks):
    (tmp_path / "tasks.json").write_text(tasks)
    before = set(os.listdir("/dev/shm"))  # a process killed earlier may have had the same number
    with subprocess.Popen([sys.executable, "-P", str(WORKER), str(tmp_path)]) as process:
        assert process.wait(60) == 0
    assert ("error" in (tmp_path / "results.json").read_text()) == (tasks != "[]")
    assert f"mpich_shm_{process.pid:x}_0" not in set(os.listdir("/dev/shm")) - before
