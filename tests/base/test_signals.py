"""Being asked to stop: noted once, and obeyed at once only when asked again later."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from pipeline.base import signals


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


TOLD = """
import ctypes, os, signal
from pipeline.base.signals import deferred, end_with_parent

def told_at_parents_death():
    number = ctypes.c_int()
    ctypes.CDLL(None).prctl(2, ctypes.byref(number))
    return number.value

end_with_parent()
with deferred():
    print(told_at_parents_death())
    os.kill(os.getpid(), signal.SIGTERM)
print(told_at_parents_death())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of a parent's death")
def test_whoever_was_asked_to_stop_is_not_ended_by_the_end_of_dvcs_other_threads() -> None:
    said = subprocess.run([sys.executable, "-c", TOLD], check=True, capture_output=True, text=True).stdout
    assert said.split() == [str(int(signal.SIGTERM)), "0"]


def test_a_block_has_so_much_time_and_what_comes_after_has_no_limit() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(signals.TookTooLong), signals.limited(0.02):
        time.sleep(5)
    with signals.limited(0.02):
        pass
    time.sleep(0.04)
    assert signal.getsignal(signal.SIGALRM) == before


def test_another_thread_than_the_first_has_no_limit() -> None:
    done: list[bool] = []

    def work() -> None:
        with signals.limited(0.01):
            time.sleep(0.03)
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
