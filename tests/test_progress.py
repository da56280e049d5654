"""What a notebook shows of a search."""

import sys
from types import SimpleNamespace

import pytest

from symreg.runs.progress import NotebookDisplay, default_progress, ignore, in_notebook
from symreg.runs.records import FrontLine, Progress


@pytest.fixture
def kernel(monkeypatch):
    """IPython with a kernel; what it displays, and how often it is updated."""
    shown = []
    handle = SimpleNamespace(update=lambda data, **_: shown.append(("update", data)))

    def display(data, raw, display_id):
        shown.append(("display", data))
        assert raw
        assert display_id
        return handle

    shell = SimpleNamespace(kernel=object())
    module = SimpleNamespace(
        get_ipython=lambda: shell, display=SimpleNamespace(display=display), shell=shell
    )
    monkeypatch.setitem(sys.modules, "IPython", module)
    return SimpleNamespace(shown=shown, shell=shell)


def test_a_notebook_has_one_display_that_is_updated(kernel):
    show = default_progress()
    show(Progress(message="read structures <1>"))
    show(Progress(epoch=3, generation=30, front=[FrontLine(5, 0.25, "x^-6")], floor_error=0.1))
    show(Progress(message="the search ends: 3 epochs"))
    assert [kind for kind, _ in kernel.shown] == ["display", "update", "update"]
    last = kernel.shown[-1][1]
    assert last["text/plain"].startswith("epoch 3, generation 30")
    for text in ("x^-6", "0.25", "floor", "read structures &lt;1&gt;", "the search ends"):
        assert text in last["text/html"]


def test_terminals_and_scripts_are_told_nothing_unless_asked(kernel, monkeypatch):
    assert in_notebook()
    kernel.shell.kernel = None  # as in a terminal with IPython
    assert default_progress() is ignore
    monkeypatch.delitem(sys.modules, "IPython")
    assert not in_notebook()


def test_a_long_front_and_many_messages_are_cut():
    display = NotebookDisplay()
    display.handle = SimpleNamespace(update=lambda *_, **__: None)
    for n in range(30):
        front = [FrontLine(k, 1.0, f"x^-{k}") for k in range(1, 30)]
        display.show(Progress(epoch=n, front=front, message=f"message {n};"))
    assert "x^-29<" in display.html()
    assert "x^-14<" not in display.html()
    assert "message 29;" in display.html()
    assert "message 2;" not in display.html()
