"""Small faults of what reads weights that were trained elsewhere, and begins with them."""

from tests.mutants.mutant import Mutant

FIT = "pipeline/models/fit.py"
FIT_TESTS = "tests/models/test_fit.py"
READ = "pipeline/models/checkpoints.py"
READ_TESTS = "tests/models/test_checkpoints.py"
START = "pipeline/training/start.py"
START_TESTS = "tests/training/test_start.py"
IMPORT_TESTS = "tests/commands/test_import_weights.py"
BEGINS = f"{START_TESTS}::test_any_network_of_the_lineage_may_begin_with_a_file"

MUTANTS = [
    # What of a file goes where.
    Mutant(FIT, "rows = [row_of[name] for name in classes]", "rows = [*range(len(classes))]", FIT_TESTS),
    Mutant(FIT, "if row_of[name] != row]", "if row_of[name] < row]", FIT_TESTS),
    Mutant(FIT, "missing or left or other", "missing or other", FIT_TESTS),
    Mutant(FIT, "if count > best[0]:", "if count < best[0] or best[0] < 0:", FIT_TESTS),
    Mutant(FIT, ", unwrapped):\n", "):\n", FIT_TESTS),
    Mutant(FIT, "if not tensor.isfinite().all():", "if tensor.isfinite().sum() == 0:", FIT_TESTS),
    Mutant(FIT, "return [*linear, *tapped][-1]", "return [*tapped, *linear][-1]", FIT_TESTS),
    # What is read of a stranger's file.
    Mutant(READ, "weights_only=True)", "weights_only=False)", READ_TESTS),
    Mutant(READ, "claimed > size or ", "", READ_TESTS),
    Mutant(READ, "value = value[averages[0]]", "value = value", READ_TESTS),
    Mutant(READ, 'Path(name).name != name or name in ("", ".", "..")', "not name", READ_TESTS),
    Mutant(READ, "if named and not all(map(UNNAMED.fullmatch, named)):", "if named:", READ_TESTS),
    # What a stage makes of it.
    Mutant(START, "elif reached <= bound < 1:", "elif reached < 0 < bound:", START_TESTS),
    Mutant(START, "elif reached <= bound < 1:", "elif reached <= bound:", START_TESTS),
    Mutant(START, "names = given.classes or held.classes", "names = given.classes", START_TESTS),
    Mutant(START, 'head=given.head or "own"', 'head="own"', START_TESTS),
    Mutant(
        "pipeline/training/key.py",
        'for key, value in given.items() if key != "file"',
        'for key, value in given.items() if key != "sha256"',
        START_TESTS,
    ),
    # Who begins with a file, and by which code.
    Mutant("pipeline/planning/units.py", "return dict(START) if file else {}", "return {}", BEGINS),
    Mutant("pipeline/planning/planner.py", "initial or start_initial", "initial", BEGINS),
    Mutant("pipeline/planning/methods.py", "initial_file=initial,", "initial_file=None,", START_TESTS),
    Mutant("pipeline/planning/compress.py", "weights_file(step.initial)", "None", BEGINS),
    Mutant(
        "pipeline/config/params.py",
        'for key in ("input", "initial"):',
        'for key in ("input",):',
        f"{START_TESTS}::test_whoever_is_like_the_student_begins_as_it_does_unless_it_has_another_network",
    ),
    Mutant("pipeline/commands/import_weights.py", "if found.named else None", "", IMPORT_TESTS),
]
