import sys

import pytest
from typer.testing import CliRunner

import symreg
from symreg.cli.commands import app
from symreg.cli.live import follow, headline, state_of_search
from symreg.config import SettingsError
from symreg.files import read_rows
from symreg.runs import RunFolder, open_run


def watched(*words):
    return CliRunner().invoke(app, ["watch", *map(str, words)])


def test_a_search_is_followed_from_elsewhere_as_it_goes(search_settings, front_only, tmp_path):  # noqa: ARG001
    settings, found, ends = search_settings(tmp_path / "run"), [], []

    def on_progress(progress):
        if progress.epoch and not progress.message:
            seen = []
            ends.append(follow(settings.folder, seen.append, once=True))
            found.append((progress, seen[-1]))

    symreg.search(settings, on_progress=on_progress)
    assert [searched.epoch for searched, _ in found] == [1, 2]
    for searched, seen in found:
        assert headline(seen) == headline(searched)
        assert state_of_search(seen) == state_of_search(searched)
        assert [tuple(row) for row in seen.front] == searched.front
    assert all("searched by process" in end and "symreg stop" in end for end in ends)


def test_watching_ends_with_the_search(argon_run):
    result = watched(argon_run.folder)
    assert result.exit_code == 0
    assert "epoch 2, generation 8" in result.output
    assert "diversity" not in result.output  # lines, not the table
    assert f"finished; see it with `symreg show {argon_run.folder}`" in result.output


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("interrupted", "stopped before its end; continue it with `symreg resume"),
        ("running", "its process has ended before its time; continue it with `symreg resume"),
    ],
)
def test_a_search_that_is_no_more_is_told_from_one_that_goes_on(small_run, status, said):
    RunFolder(small_run).update_manifest(status=status)
    assert open_run(small_run).manifest["status"] == status
    assert said in watched(small_run).output


def test_watching_what_is_no_run_is_refused(tmp_path):
    result = watched(tmp_path)
    assert result.exit_code == 1
    assert "holds no run" in result.output


def test_ctrl_c_ends_the_watching_alone(small_run):
    def report(_):
        raise KeyboardInterrupt

    assert "the search goes on" in follow(small_run, report)


def test_tensorboard_gets_a_value_for_every_epoch(search_settings, front_only, tmp_path):  # noqa: ARG001
    proto = pytest.importorskip("tensorboardX.proto.event_pb2", reason="needs tensorboardX")
    from tensorboardX.record_writer import masked_crc32c

    settings = search_settings(tmp_path / "run", tensorboard=True)
    run = symreg.search(settings)
    lowest, texts = {}, []
    for path in (run.folder / "tensorboard").iterdir():
        raw = path.read_bytes()
        while raw:  # records: length, its checksum, content, its checksum
            size = int.from_bytes(raw[:8], "little")
            content, check = raw[12 : 12 + size], raw[12 + size : 16 + size]
            assert masked_crc32c(content) == int.from_bytes(check, "little")
            event, raw = proto.Event.FromString(content), raw[16 + size :]
            for value in event.summary.value:
                if value.tag == "lowest_error":
                    lowest[event.step] = value.simple_value
                if value.tag.startswith("front/"):
                    texts.append(value.tensor.string_val[0].decode())
    rows = read_rows(run.folder / "generations.csv")
    assert lowest == {
        int(r["epoch"]): pytest.approx(float(r["lowest_error"]), abs=1e-9) for r in rows
    }
    assert len(texts) == 2
    assert "| complexity | error | formula |" in texts[0]


def test_tensorboard_that_is_not_installed_is_named_before_the_search(
    search_settings, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    settings = search_settings(tmp_path / "run", tensorboard=True)
    with pytest.raises(
        SettingsError, match=r'pip install "symreg-potentials\[tensorboard\]", or set it to'
    ):
        symreg.search(settings)
    assert not settings.folder.exists()
