"""Faults in sharing saved training by a remote: what is torn, older or another's is used, and who waits too long."""

from tests.mutants.mutant import Mutant

SHARING = "pipeline/training/sharing.py"
SNAPSHOTS = "pipeline/training/shared_snapshots.py"
LABELS = "pipeline/training/shared_labels.py"
TESTS = "tests/training/test_sharing.py"
OF_SNAPSHOTS = "tests/training/test_shared_snapshots.py"
OF_LABELS = "tests/training/test_shared_labels.py"

MUTANTS = [
    # A torn snapshot is used.
    Mutant(
        SNAPSHOTS,
        "hashlib.sha256(body).digest() != seal or ",
        "",
        f"{OF_SNAPSHOTS}::test_a_torn_one_is_named_and_the_one_before_is_used",
    ),
    # A whole one under the name of another is.
    Mutant(
        SNAPSHOTS,
        " or _described(wanted.folder, seal, body) != wanted:",
        ":",
        f"{OF_SNAPSHOTS}::test_a_whole_one_under_the_name_of_another_is_not_used",
    ),
    # 9 comes after 10.
    Mutant(
        SNAPSHOTS,
        "key=lambda each: each.at, reverse=True",
        "key=lambda each: each.name, reverse=True",
        f"{OF_SNAPSHOTS}::test_the_furthest_is_brought_and_the_clock_does_not_count",
    ),
    # What is older than what is here is read, for nothing.
    Mutant(
        SNAPSHOTS,
        "(each.at <= here.at or each.environment != here.environment)",
        "each.environment != here.environment",
        f"{OF_SNAPSHOTS}::test_only_what_is_further_than_here_is_read_and_used",
    ),
    # An older one takes the place of what is here.
    Mutant(
        SNAPSHOTS,
        "if now is None or now.at < each.at:",
        "if now is None or now.at > each.at:",
        f"{OF_SNAPSHOTS}::test_only_what_is_further_than_here_is_read_and_used",
    ),
    # One that is of no use here does.
    Mutant(
        SNAPSHOTS,
        "(each.at <= here.at or each.environment != here.environment)",
        "each.at <= here.at",
        f"{OF_SNAPSHOTS}::test_of_another_environment_nothing_takes_the_place_of_what_is_here",
    ),
    # The last one that is whole is removed before a newer one is there.
    Mutant(
        SNAPSHOTS,
        "_is_needless(each, before)",
        "_is_needless(each, newest)",
        f"{OF_SNAPSHOTS}::test_the_last_two_stay_and_what_is_further_counts_for_nothing",
    ),
    # All that was ever put there stays.
    Mutant(
        SNAPSHOTS,
        "                    self.remote.remove(old.name)\n",
        "",
        f"{OF_SNAPSHOTS}::test_the_last_two_stay_and_what_is_further_counts_for_nothing",
    ),
    # A damaged view is used.
    Mutant(
        LABELS,
        "if seal.hexdigest() != wanted.sha256:",
        "if not wanted.sha256:",
        f"{OF_LABELS}::test_a_damaged_view_is_named_and_those_before_it_are_used",
    ),
    # Labels of another environment follow those that are here.
    Mutant(
        LABELS,
        "if here.exists():",
        "if not here:",
        f"{OF_LABELS}::test_labels_of_another_environment_do_not_come_to_those_here",
    ),
    # What came too late changes the state of a training that has begun.
    Mutant(
        "pipeline/training/bringing.py",
        "        if self._given_up:\n            raise TooLate\n",
        "",
        f"{OF_SNAPSHOTS}::test_what_comes_when_nobody_waits_any_more_changes_nothing",
    ),
    # The state of a training that another process does is changed.
    Mutant(
        "pipeline/training/folders.py",
        "            fcntl.flock(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)\n            is_there",
        "            is_there",
        f"{OF_SNAPSHOTS}::test_where_another_process_trains_nothing_is_brought",
    ),
    # A remote that does not answer is waited for.
    Mutant(
        SHARING,
        "if self._bringing.silence > PATIENCE:",
        "if self._bringing.silence < 0:",
        f"{TESTS}::test_a_remote_that_does_not_answer_is_not_waited_for",
    ),
    # What was saved last is not put there.
    Mutant(
        SHARING,
        "            self._send()\n        self._send()\n",
        "            self._send()\n",
        f"{TESTS}::test_what_others_hold_or_held_before_is_not_put_there",
    ),
    # A remote that fails ends the thread.
    Mutant(
        SHARING,
        "            self._failing = True\n            return\n",
        "            raise\n",
        f"{TESTS}::test_a_remote_that_recovers_has_the_newest",
    ),
    # A look that finds nothing to put there is taken for a remote that works again.
    Mutant(
        SHARING,
        "if self._failing and put:",
        "if self._failing:",
        f"{TESTS}::test_a_remote_that_was_given_nothing_has_not_recovered",
    ),
    # A remote that lets nothing be removed is taken for one that takes nothing.
    Mutant(
        SNAPSHOTS,
        "                with suppress(Exception):  # whatever",
        "                with suppress(KeyError):  # whatever",
        f"{OF_SNAPSHOTS}::test_where_nothing_can_be_removed_the_newest_comes_all_the_same",
    ),
    # On a cluster a stage whose machine is lost begins anew.
    Mutant(
        "pipeline/commands/repro_on.py",
        'os.environ.get(sharing.VARIABLE, "1")',
        'os.environ.get(sharing.VARIABLE, "0")',
        "tests/commands/test_repro_on.py::test_saved_training_travels_unless_the_environment_says_no",
    ),
    # What other processes hold is put there in the name of this stage.
    Mutant(
        SHARING,
        " and taken[1] == str(os.getpid())",
        "",
        f"{TESTS}::test_what_others_hold_or_held_before_is_not_put_there",
    ),
    # So is what an earlier process held that had our number, as in containers.
    Mutant(
        SHARING,
        "taken != self._taken.get(folder) and taken and",
        "taken and",
        f"{TESTS}::test_what_others_hold_or_held_before_is_not_put_there",
    ),
    # Where the clock of a file system stands still, nothing is put there.
    Mutant(
        SHARING,
        "(folder / LOCK).stat().st_mtime_ns, ",
        "0, ",
        f"{TESTS}::test_what_others_hold_or_held_before_is_not_put_there",
    ),
    # It is on where nobody has asked for it.
    Mutant(
        "stages/__main__.py",
        "    if not is_asked():",
        "    if is_asked():",
        f"{TESTS}::test_off_nothing_of_it_is_there",
    ),
    # A release is asked to take over a file of the plan that is no stage's.
    Mutant(
        "pipeline/commands/accept.py",
        '("machine", sharing.NAME, cpu.NAME)',
        '("machine", cpu.NAME)',
        "tests/commands/test_accept.py::test_what_plan_writes_for_no_stage_is_none_that_runs_again",
    ),
    # Unfinished training is removed from the remote.
    Mutant(
        "pipeline/commands/gc_remote.py",
        "if group not in finished and not unfinished:",
        "if group not in finished and unfinished:",
        "tests/commands/test_gc_remote.py::test_finished_goes_unfinished_stays_until_asked_for_and_others_always",
    ),
]
