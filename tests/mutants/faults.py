"""Faults in the harness of whole runs: what it no longer sees, or strikes twice."""

from tests.mutants.mutant import Mutant

TESTS = "tests/faults/test_runs.py"

MUTANTS = [
    # Another byte passes.
    Mutant(
        "tests/faults/small.py",
        "        assert found == self.files,",
        "        assert found.keys() == self.files.keys(),",
        f"{TESTS}::test_what_differs_or_lies_about_is_found",
    ),
    # dvc.lock may say what it likes.
    Mutant(
        "tests/faults/small.py",
        "assert recorded == expected,",
        "assert recorded.keys() == expected.keys(),",
        f"{TESTS}::test_what_differs_or_lies_about_is_found",
    ),
    # What is gone is no difference.
    Mutant(
        "tests/faults/small.py",
        "_files(self.finished.folder) ^ _files(own.folder)",
        "_files(own.folder) - _files(self.finished.folder)",
        f"{TESTS}::test_a_file_that_is_gone_is_found",
    ),
    # Nobody looks for temporary files in the state.
    Mutant(
        "tests/faults/small.py",
        'path.name.endswith(".tmp")',
        'path.name.endswith(".temp")',
        f"{TESTS}::test_what_differs_or_lies_about_is_found",
    ),
    # What works elsewhere for the repository is not seen.
    Mutant(
        "tests/faults/small.py",
        "str(own.state) in process.environ().values()",
        "process.cwd() == str(own.folder)",
        f"{TESTS}::test_what_runs_on_is_found_wherever_it_lies",
    ),
    # A traceback passes.
    Mutant(
        "tests/faults/driver.py",
        'assert "Traceback" not in self.said,',
        "assert self.said is not None,",
        f"{TESTS}::test_how_a_driver_ended_is_told_and_without_a_sentence_it_is_wrong",
    ),
    # A stop needs no sentence.
    Mutant(
        "tests/faults/driver.py",
        "assert STOPPED.search(said),",
        "assert said,",
        f"{TESTS}::test_how_a_driver_ended_is_told_and_without_a_sentence_it_is_wrong",
    ),
    # Whoever dies, of whatever, was ended by us.
    Mutant(
        "tests/faults/driver.py",
        "if status == -self.sent:",
        "if status < 0:",
        f"{TESTS}::test_who_dies_of_no_signal_of_ours_is_wrong",
    ),
    # Who does not end is left running.
    Mutant(
        "tests/faults/driver.py",
        "            strike(self.own, signal.SIGKILL)\n            self.process.wait()\n",
        "",
        f"{TESTS}::test_a_driver_that_does_not_end_is_ended_and_found",
    ),
    # A run that was cut off begins anew.
    Mutant(
        "tests/faults/__main__.py",
        "if not record.has(asked.seed, number)",
        "if number not in record.struck",
        f"{TESTS}::test_a_run_that_is_cut_off_goes_on_and_strikes_none_twice",
    ),
    # What was wrong counts as the same bytes.
    Mutant(
        "tests/faults/record.py",
        "{len(own) - wrong}",
        "{len(own)}",
        f"{TESTS}::test_the_table_counts_outcomes_and_what_was_wrong",
    ),
]
