import io
import time

import pytest

from keypointnet import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "states"), [(io.StringIO, 2), (Terminal, 3)])
def test_a_log_gets_few_states_of_a_bar(monkeypatch, stream, states):
    out = stream()
    monkeypatch.setattr("sys.stderr", out)
    with progress.progress_bar(range(40), desc="count") as bar:
        for number in bar:
            if number % 10 == 0:
                time.sleep(0.12)
    written = out.getvalue().count("count:")
    assert written == states if states == 2 else written >= states
    assert "40/40" in out.getvalue()


def test_a_bar_that_was_stopped_ends_its_line(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr("sys.stderr", out)
    left_open = []

    def work():
        bar = progress.progress_bar(range(9), desc="count")
        left_open.append(bar)
        for _ in bar:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), progress.closing_bars():
        work()
    assert out.getvalue().endswith("\n")
    assert left_open[0].disable  # closed


def test_unwatched_shows_nothing(capsys):
    assert list(progress.unwatched([1, 2], "stage")) == [1, 2]
    assert capsys.readouterr().err == ""
