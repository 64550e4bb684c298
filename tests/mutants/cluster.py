"""Small faults of stages on other machines, and of experiments that run there."""

from tests.mutants.mutant import Mutant

ELSEWHERE, ONCE = "pipeline/engines/elsewhere.py", "pipeline/engines/once.py"
TEMPLATE, WORKER = "pipeline/engines/template.py", "pipeline/engines/worker.py"
LOCK, LOCKS = "pipeline/dvc/lock.py", "pipeline/base/locks.py"
TRAVEL, WAITING, QUEUE = "pipeline/dvc/travel.py", "pipeline/dvc/waiting.py", "pipeline/commands/queue.py"
FITS = "tests/engines/test_elsewhere.py::test_what_fits_at_once"
NEAR = "tests/engines/test_elsewhere.py::test_stages_that_read_files_stay_here"
ALONE = "tests/engines/test_once.py"
WAITS = f"{ALONE}::test_one_runs_it_and_the_other_waits_until_it_has_ended"
BESIDE = f"{ALONE}::test_another_stage_another_spec_and_other_inputs_run_beside_it"
CARRIED = "tests/dvc/test_travel.py"
BROUGHT = f"{CARRIED}::test_all_below_a_folder_is_brought_and_nothing_else"
STALE = "test_what_lies_here_of_an_older_run_is_removed"
ANOTHER = "test_a_stage_that_is_another_by_now_is_not_recorded"
AS_DVC = "test_dvc_lock_is_written_as_dvc_writes_it"
EXPERIMENTS = "tests/commands/test_queue.py"
DONE = f"{EXPERIMENTS}::test_each_is_an_experiment_of_dvc_and_what_they_share_runs_once"
FAILED = f"{EXPERIMENTS}::test_one_that_fails_goes_on_waiting_and_says_why"
WORKERS = "tests/engines/test_worker.py"
RECALLED = f"{WORKERS}::test_what_ran_on_another_machine_is_brought_back_and_not_run_again"
DEAD = f"{WORKERS}::test_one_template_does_one_errand_after_another_and_a_new_one_follows_a_dead_one"
STOPPED = f"{WORKERS}::test_asked_to_stop_the_stage_saves_and_the_workspace_goes"
IMPORTED = f"{WORKERS}::test_what_an_errand_imported_the_next_one_has"

MUTANTS = [
    Mutant(ELSEWHERE, "all(have >= take for", "all(have > take for", FITS),
    Mutant(ELSEWHERE, "each.cpus), reverse=True)", "each.cpus))", FITS),
    Mutant(ELSEWHERE, "stage == PREPARE or (", "(", NEAR),
    Mutant(ELSEWHERE, '{"file", "sha256"} <= value.keys()', '{"file"} <= value.keys()', NEAR),
    Mutant(ONCE, "held.callback(shutil.rmtree,", "held.callback(dict,", WAITS),
    Mutant(ONCE, "if spec.is_file() else None, reads])", "if spec.is_file() else None])", BESIDE),
    Mutant(ONCE, "files.digest([stage, ", "files.digest([", BESIDE),
    Mutant(
        ONCE,
        "[name for name in needs if name != PLAN.name]",
        "[*needs]",
        f"{ALONE}::test_the_plan_of_other_stages_makes_no_difference",
    ),
    Mutant(
        ONCE,
        "resolve(FOLDER) / self",
        "Path(FOLDER) / self",
        f"{ALONE}::test_experiments_of_one_repository_know_of_each_other",
    ),
    Mutant(TRAVEL, "if folder in Path(str(out)).parents and ", "if ", BROUGHT),
    Mutant(TRAVEL, "                    out.checkout(force=True)\n", "                    pass\n", BROUGHT),
    Mutant(
        TRAVEL,
        'home = os.environ.get("DVC_ROOT")',
        "home = None",
        f"{CARRIED}::test_an_experiments_folder_is_not_where_the_path_of_a_remote_begins",
    ),
    Mutant(TRAVEL, "            os.replace(aside, here / name)\n", "            pass\n", RECALLED),
    Mutant(
        TRAVEL,
        "ask = cache(cloud.get_remote)",
        "ask = cloud.get_remote",
        f"{CARRIED}::test_a_stage_takes_two_clients_of_the_remote_and_an_offer_one",
    ),
    Mutant(
        TRAVEL,
        "lost += [out for out, objs in incomplete if objs & state.missing]",
        "lost += []",
        f"{CARRIED}::test_what_is_whole_nowhere_is_told_and_all_else_goes_to_the_remote",
    ),
    Mutant(
        TRAVEL,
        "{each for _, objs in incomplete if not objs & state.missing for each in objs & state.new}",
        "{*state.new}",
        f"{CARRIED}::test_of_a_folder_that_lacks_a_file_nothing_goes_until_it_is_whole",
    ),
    Mutant(TEMPLATE, " or running.poll() is not None", "", DEAD),
    Mutant(TEMPLATE, "                    self._asks.send(None)\n", "", STOPPED),
    Mutant(WORKER, "                _import(modules)\n", "                pass\n", IMPORTED),
    Mutant(
        "pipeline/engines/workspace.py",
        "if str(key) in keys",
        "if key in keys",
        f"{WORKERS}::test_a_workspace_has_its_stages_alone",
    ),
    Mutant(TRAVEL, "if lies_here or not planned:", "if not planned:", f"{CARRIED}::{STALE}"),
    Mutant(TRAVEL, "if lies_here or not planned:", "if lies_here:", f"{CARRIED}::{ANOTHER}"),
    Mutant(LOCK, 'return f"{text[: found.start()]}', 'return f"{text}', f"{CARRIED}::{AS_DVC}"),
    Mutant(LOCKS, "fcntl.flock(lock, fcntl.LOCK_EX", "fcntl.flock(lock, fcntl.LOCK_SH", WAITS),
    Mutant(WAITING, "            experiments.celery_queue.remove([self._entry.stash_rev])\n", "", DONE),
    Mutant(WAITING, "return [*(targets or ", "return [*([] and ", DONE),
    Mutant(WAITING, "if options.get(each)]", "if False]", FAILED),
    Mutant(QUEUE, "        if status:\n", "        if False:\n", FAILED),
]
