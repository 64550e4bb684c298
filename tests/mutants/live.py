"""Small faults of what a stage tells of itself while it runs, and of what is shown of it."""

from tests.mutants.mutant import Mutant

EVENTS = "pipeline/console/events.py"
WATCH = "pipeline/commands/watch.py"
TOLD = "tests/console/test_events.py"
SHOWN = "tests/commands/test_watch.py"
LINE = f"{SHOWN}::test_a_line_says_how_far_how_fast_and_how_long"
TRAINING = "tests/console/test_training.py"
BETWEEN = f"{TRAINING}::test_a_training_tells_each_epoch_and_where_it_is_between_two"
TRACKERS = "pipeline/console/trackers.py"
TRACKED = "tests/console/test_trackers.py"

MUTANTS = [
    Mutant(EVENTS, "if not always and now - told < APART:", "if now - told < APART:", TOLD),
    Mutant(EVENTS, "if not always and now - told < APART:", "if False:", TOLD),
    Mutant(EVENTS, 'os.write(descriptor, b"\\n")', 'os.write(descriptor, b"")', TOLD),
    Mutant(EVENTS, "os.ftruncate(descriptor, 0)", "os.fstat(descriptor)", TOLD),
    Mutant(EVENTS, "fcntl.LOCK_EX | fcntl.LOCK_NB", "fcntl.LOCK_SH | fcntl.LOCK_NB", TOLD),
    Mutant(EVENTS, "{here}.jsonl", "000000000000.jsonl", TOLD),
    Mutant(EVENTS, 'key is not None and begun.get("key") == key', "key is not None", TOLD),
    Mutant(EVENTS, "except (OSError, UserError):", "except OSError:", TOLD),
    Mutant(EVENTS, "or path.is_symlink() or not path.is_file()", "or not path.is_file()", TOLD),
    Mutant(EVENTS, "if is_held and (each", "if (each", TOLD),
    Mutant(WATCH, 'int(first["epochs"]) * int(first["steps"])', 'int(first["epochs"])', LINE),
    Mutant(WATCH, "if point[0] >= now - RECENT", "if point[0] >= 0", LINE),
    Mutant(
        WATCH, "min(done, _whole(first) - 1)", "done", f"{SHOWN}::test_what_has_just_begun_or_is_done_has_no_time_left"
    ),
    Mutant(WATCH, "(*each.before, *each.lines)", "each.lines", f"{SHOWN}::test_curves_go_on_from_what_ran_before"),
    Mutant(TRACKERS, "purge_step=epoch", "purge_step=1", TRACKED),
    Mutant(TRACKERS, "if epoch > 1 else []", "if False else []", TRACKED),
    Mutant(TRACKERS, "            left.remove(name)", "            left.copy()", TRACKED),
    Mutant(TRACKERS, "            if name in left:", "            if True:", TRACKED),
    Mutant(TRACKERS, "        _installed(name)", "        str(name)", TRACKED),
    Mutant(
        TRACKERS,
        "step=epoch)\n\n    def close(self) -> None:\n        self._client",
        "step=0)\n\n    def close(self) -> None:\n        self._client",
        TRACKED,
    ),
    Mutant("pipeline/console/progress.py", "            track(row)\n", "", TRAINING),
    Mutant("pipeline/console/progress.py", 'done=row["epoch"] * steps', 'done=row["epoch"]', BETWEEN),
    Mutant("pipeline/console/progress.py", "move(done / steps)", "move(done)", TRAINING),
    Mutant(
        "pipeline/dvc/internals.py",
        "psutil.Process(pid).status() != psutil.STATUS_ZOMBIE",
        "psutil.pid_exists(pid)",
        "tests/dvc/test_internals.py::test_who_has_ended_is_not_in_the_way_before_somebody_has_asked_how",
    ),
    Mutant(
        "pipeline/training/loop.py",
        "moved(self.at.epoch * self.steps + step + 1)",
        "moved(step + 1)",
        "tests/training/test_kept.py::test_it_says_how_many_steps_of_all_epochs_are_done",
    ),
]
