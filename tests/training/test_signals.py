"""Being asked to stop: noted once, and obeyed at once only when asked again later."""

import os
import signal

import pytest

from pipeline.training import signals


def test_requests_in_quick_succession_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with signals.deferred() as stop_asked:
        assert not stop_asked()
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert stop_asked() == signal.SIGTERM
        monkeypatch.setattr(signals, "ONE", 0.0)
        with pytest.raises(KeyboardInterrupt):
            # What SIGINT does by default in Python stands for the end of the process.
            monkeypatch.setattr(signal, "SIG_DFL", signal.default_int_handler)
            os.kill(os.getpid(), signal.SIGINT)
