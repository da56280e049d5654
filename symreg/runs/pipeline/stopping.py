"""When a search ends: its limits, and those who ask it to."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from symreg.config import SearchSettings
from symreg.files import counted
from symreg.runs.folder import STOP, RunFolder
from symreg.searching.islands import State

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, what queues of jobs send before they kill, and a terminal that closes; in this order."""
Tell = Callable[[str], None]
"""Called with what happens, in words."""


def limits_in_words(limits: SearchSettings) -> list[str]:
    """Every limit of a run file, as a plan tells it."""
    found = [counted(limits.epochs, "epoch")] if limits.epochs else []
    found += [_minutes(limits.minutes)] if limits.minutes else []
    found += [f"error {limits.target:g}"] if limits.target else []
    found += [f"{counted(limits.stagnation, 'epoch')} without a gain"] if limits.stagnation else []
    return found


def _minutes(minutes: float) -> str:
    return f"{minutes:g} {'minute' if minutes == 1 else 'minutes'}"


def limit_reached(limits: SearchSettings, state: State, seconds: float) -> str:
    """The limit that ends a search, in words; empty while there is none."""
    if limits.epochs is not None and state.epoch >= limits.epochs:
        return counted(limits.epochs, "epoch")
    if limits.target is not None and state.front and state.front[-1].error <= limits.target:
        return f"the lowest error is below {limits.target:g}"
    if limits.stagnation is not None and state.epoch - state.improved >= limits.stagnation:
        return f"no error of the front fell in {counted(limits.stagnation, 'epoch')}"
    if limits.minutes is not None and seconds >= 60.0 * limits.minutes:
        return _minutes(limits.minutes)
    return ""


def refuse_limits(limits: SearchSettings, state: State, seconds: float, goes_further: bool) -> None:
    """Raise a ValueError where limits end a search before it goes on, though it was to go further.

    That is also where it has done more epochs than it may have: its front is another.
    """
    if limits.epochs is not None and limits.epochs < state.epoch:
        raise ValueError(
            f"[search] epochs is {limits.epochs}, but the run has done {state.epoch} already; its "
            f"front is not that of {counted(limits.epochs, 'epoch')}"
            f": set epochs to {state.epoch} or more"
        )
    if goes_further and (limit := limit_reached(limits, state, seconds)):
        raise ValueError(
            f"the run has done {counted(state.epoch, 'epoch')} "
            f"in {seconds / 60:.3g} minutes, and ends by "
            f"{limit}; limits are counted from its beginning: ask for more, or change [search]"
        )


def seconds_left(
    limits: SearchSettings, state: State, seconds: float, remaining: float | None = None
) -> float | None:
    """Seconds until a limit, or ``remaining`` until its own end, if a search goes on as it did."""
    ends = [] if remaining is None else [remaining]
    if limits.minutes is not None:
        ends.append(60.0 * limits.minutes - seconds)
    if limits.epochs is not None and state.epoch:
        ends.append(seconds * (limits.epochs / state.epoch - 1))
    return max(min(ends), 0.0) if ends else None


class Stop:
    """Whether somebody asks a search to stop: a signal, or ``symreg stop``."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.when = "after this epoch"
        """When it stops that was asked to, in words."""
        self._signal = threading.Event()

    def ask(self) -> None:
        """Have the search stop after the epoch under way."""
        self._signal.set()

    def is_asked(self) -> bool:
        """Whether the search is to stop."""
        return self._signal.is_set() or (self.folder.path / STOP).exists()

    @contextmanager
    def by_signals(self, tell: Tell, closed: Callable[[], None]) -> Iterator[None]:
        """Take the first of ``SIGNALS`` as a request; Ctrl-C or SIGTERM again interrupts at once.

        ``closed`` is called when the terminal is gone, so that nothing more is shown there.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in SIGNALS}

        def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
            self.ask()
            if number == signal.SIGHUP:
                closed()
            for again in SIGNALS[: 2 if number == signal.SIGTERM else 1]:
                if before[again] != signal.SIG_IGN:
                    signal.signal(again, signal.default_int_handler)
            said = f"stopping {self.when}; Ctrl-C again stops at once, at the last checkpoint"
            with suppress(RuntimeError, OSError):  # within another print, or the disk is full
                tell(said)

        for number in SIGNALS:
            if before[number] != signal.SIG_IGN:  # as nohup has it
                signal.signal(number, note)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
