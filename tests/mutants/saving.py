"""Faults in saving beside the training, in finding a device, and in sharing out a GPU."""

from tests.mutants.mutant import Mutant

MUTANTS = [
    # A snapshot is overwritten while the thread still writes it.
    Mutant(
        "pipeline/training/saving.py",
        "        self.wait()\n        self.snapshot.take(tensors, facts)",
        "        self.snapshot.take(tensors, facts)",
        "tests/training/test_saving.py::test_what_is_written_is_of_the_moment_of_the_save",
    ),
    # The lock of the state is let go of while the thread still writes.
    Mutant(
        "pipeline/training/saving.py",
        "self._thread.shutdown()",
        "self._thread.shutdown(wait=False)",
        "tests/training/test_saving.py::test_nobody_leaves_while_it_writes",
    ),
    # A training waits for a snapshot that is still being written, only because the next one is due.
    Mutant(
        "pipeline/training/saving.py",
        "return self.is_free() and time.monotonic()",
        "return time.monotonic()",
        "tests/training/test_saving.py::test_training_goes_on_while_a_state_is_written",
    ),
    # Progress is called saved though the disk was full.
    Mutant(
        "pipeline/training/loop.py",
        "                            saver.wait()\n                            raise Stopped(",
        "                            raise Stopped(",
        "tests/training/test_saving.py::test_asked_to_stop_it_says_that_progress_is_saved_only_when_it_is",
    ),
    # Each thread of DVC that ends tells the stage once more, also when training has just ended and nothing defers it.
    Mutant(
        "pipeline/base/signals.py",
        "        _ask_at_parents_death(0)\n",
        "",
        "tests/base/test_signals.py::test_whoever_was_asked_to_stop_is_not_ended_by_the_end_of_dvcs_other_threads",
    ),
    # What a stage has been promised and has not taken yet counts as free.
    Mutant(
        "pipeline/engines/room.py",
        "min(free, self._room[card] - sum(others.values()))",
        "min(free, self._room[card])",
        "tests/engines/test_room.py",
    ),
    # A driver that does not work is a GPU that is not here, and auto falls to the CPU without a word.
    Mutant(
        "pipeline/training/hardware.py",
        "if caught and not count:",
        "if caught and count:",
        "tests/training/test_hardware.py::test_a_driver_that_does_not_work_is_no_gpu_that_is_not_here",
    ),
]
