"""SIGHUP of a closed terminal and SIGTERM interrupt a waiting command as Ctrl-C does."""

import os
import signal

import pytest

from cli.interruption import ended_like_ctrl_c, explained_interrupt

pytestmark = pytest.mark.usefixtures("heeded_signals")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_repeated_signal_does_not_interrupt_the_clean_up(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    cleaned_up: list[bool] = []

    def work() -> None:
        try:
            os.kill(os.getpid(), number)
        finally:
            os.kill(os.getpid(), number)
            cleaned_up.append(True)

    with pytest.raises(KeyboardInterrupt), explained_interrupt("The job continues."):
        work()
    assert cleaned_up
    assert capsys.readouterr().err == "\nThe job continues.\n"
    assert signal.getsignal(number) is before


def test_a_command_under_nohup_ignores_a_closed_terminal() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_like_ctrl_c():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
