"""Small faults of what says, before anything runs, what would run, how long it takes and how much it writes."""

from tests.mutants.mutant import Mutant

FORECAST = "pipeline/engines/forecast.py"
ESTIMATE = "pipeline/engines/estimate.py"
RUNS = "pipeline/dvc/run_cache.py"
LOOKING = "pipeline/dvc/looking.py"
LOOKS = "tests/dvc/test_looking.py"
RUN_TESTS = "tests/dvc/test_run_cache.py"
BEFORE = f"{LOOKS}::test_what_may_have_run_before_may_run"
KNOWN = f"{LOOKS}::test_of_what_has_run_before_the_result_is_known"
DUE = f"{LOOKS}::test_what_is_due_runs_and_who_reads_it_may"
NOTHING = f"{LOOKS}::test_nothing_is_written"
ESTIMATES = "tests/engines/test_estimate.py"
AGAIN = f"{ESTIMATES}::test_a_training_that_was_run_takes_as_long_again"

MUTANTS = [
    Mutant(FORECAST, "found not in (None, each.recorded)", "found != each.recorded", DUE),
    Mutant(FORECAST, "if not due or self._may_come_back(stage, inputs) else", "if not due else", BEFORE),
    Mutant(FORECAST, 'if verdict == "cached" and not due:', 'if verdict == "cached":', KNOWN),
    Mutant(FORECAST, "self.will |= {each.path: outputs.get(each.path)", "self.will |= {each.path: each.recorded", DUE),
    Mutant(
        FORECAST,
        "if not stage.reads_files:",
        "if False:",
        f"{LOOKS}::test_what_reads_params_may_run_where_they_changed",
    ),
    Mutant(RUNS, "_parsed(runs[-1]", "_parsed(runs[0]", f"{RUN_TESTS}::test_of_a_key_the_newest_run_counts"),
    Mutant(
        RUNS,
        "return all(_is_whole(cache.path(self.root, each), each) for each in files)",
        "return True",
        f"{RUN_TESTS}::test_a_folder_is_there_only_with_all_its_files",
    ),
    Mutant(
        RUNS,
        "read.keys() == inputs.keys() and ",
        "",
        f"{RUN_TESTS}::test_a_run_fits_where_all_that_is_known_is_what_it_read",
    ),
    Mutant(LOOKING, "dep.meta = Meta(isexec=dep.meta.isexec)", "dep.meta = dep.meta", DUE),
    Mutant(LOOKING, "        return self.aside\n\n", "        return str(super().tmp_dir)\n\n", NOTHING),
    Mutant(LOOKING, "if recorded and out.use_cache and not held.holds(recorded):", "if False:", LOOKS),
    Mutant(ESTIMATE, "forward / STEP) / speed", "forward) / speed", AGAIN),
    Mutant(
        ESTIMATE,
        "(before.size / images.size) ** 2",
        "before.size / images.size",
        f"{ESTIMATES}::test_larger_images_take_longer_by_their_area",
    ),
    Mutant(
        ESTIMATE,
        'own.metrics["flops"] / flops',
        'flops / own.metrics["flops"]',
        f"{ESTIMATES}::test_another_network_counts_by_its_flops",
    ),
    Mutant(
        ESTIMATE,
        "each.split",
        "name.split",
        f"{ESTIMATES}::test_the_same_network_elsewhere_tells_the_speed_those_of_the_family_first",
    ),
    Mutant(
        ESTIMATE,
        " and _is_live(self.before[each]) == way",
        "",
        f"{ESTIMATES}::test_what_learns_from_a_live_teacher_is_no_measure_of_what_does_not",
    ),
    Mutant(
        "pipeline/commands/dry.py",
        "_amount([*sure, *may])",
        "_amount(sure)",
        "tests/commands/test_dry.py::test_least_and_most_are_what_surely_runs_and_all_that_may",
    ),
]
