"""Small faults of what stands between a stranger's file and us: formats, memory, answers, recorded hashes."""

from tests.mutants.mutant import Mutant

DECODE = "tests/data/test_decode.py"
DECLARED = "tests/models/test_declared.py"
RUNTIME = "tests/compression/test_runtime.py"
PREDICT = "tests/commands/test_predict.py"

MUTANTS = [
    Mutant("pipeline/data/decode.py", ", formats=formats)", ")", f"{DECODE}::test_an_eps_starts_no_program"),
    Mutant("pipeline/data/formats.py", '"JPEG": (', '"EPS": (), "JPEG": (', f"{DECODE}::test_an_eps_starts_no_program"),
    Mutant(
        "pipeline/data/decode.py",
        "if width * height > LARGEST:",
        "if width * height >= LARGEST:",
        f"{DECODE}::test_a_picture_of_more_pixels_than_are_decoded_is_named_with_its_size",
    ),
    Mutant("pipeline/data/decode.py", "tags.get(tag, 0)", "0", f"{DECODE}::test_a_tile_larger_than_its_picture_counts"),
    Mutant(
        "pipeline/data/decode.py",
        "Image.MAX_IMAGE_PIXELS = None\n",
        "pass\n",
        f"{DECODE}::test_python_warns_of_no_size",
    ),
    Mutant(
        "pipeline/data/decode.py",
        "with BUDGET.hold(picture.width * picture.height):",
        "with BUDGET.hold(1):",
        f"{DECODE}::test_threads_hold_no_more_pixels_than_the_budget_together",
    ),
    Mutant(
        "pipeline/data/decode.py",
        "(NotDecoded, MemoryError)",
        "NotDecoded",
        f"{DECODE}::test_too_little_memory_is_no_fault_of_the_file",
    ),
    Mutant(
        "pipeline/compression/runtime.py", "np.isfinite(answer).all(axis=1)", "~np.isnan(answer).all(axis=1)", RUNTIME
    ),
    Mutant("pipeline/compression/runtime.py", "first + int(finite_B.argmin())", "int(finite_B.argmin())", RUNTIME),
    Mutant(
        "pipeline/compression/runtime.py",
        "answer.shape != (count, len(self.card.classes))",
        "answer.shape[1] != len(self.card.classes)",
        f"{RUNTIME}::test_answers_of_another_shape_are_none",
    ),
    Mutant(
        "pipeline/training/export.py",
        "if z_NC.shape != (count, classes):",
        "if z_NC.shape[0] != count:",
        "tests/training/test_numerics.py::test_answers_of_another_shape_are_none",
    ),
    Mutant(
        "pipeline/models/declared.py",
        "dim.dim_value = batch",
        "dim.dim_value = 1",
        f"{DECLARED}::test_it_is_weights_and_what_lives_between_two_steps",
    ),
    Mutant(
        "pipeline/models/declared.py",
        "last.get(name, -1) > number",
        "last.get(name, -1) > number + 1",
        f"{DECLARED}::test_it_is_weights_and_what_lives_between_two_steps",
    ),
    Mutant(
        "pipeline/models/declared.py",
        ", data_prop=True",
        "",
        f"{DECLARED}::test_a_model_that_declares_160_gb_is_refused_before_it_runs",
    ),
    Mutant("pipeline/base/memory.py", "for page in pages)", "for page in pages[:1])", "tests/base/test_memory.py"),
    Mutant("pipeline/commands/predict.py", "    check_fits(path, BATCH)\n", "", DECLARED),
    Mutant("pipeline/commands/predict.py", "return node.checked_weights(last)", "return last.weights", PREDICT),
    Mutant("pipeline/commands/predict.py", 'if model and model.name == "model.onnx"', "if not model", PREDICT),
    Mutant(
        "pipeline/lineage/node.py",
        'files.verify(path, of.hashes["weights"],',
        "files.verify(path, files.sha256(path),",
        PREDICT,
    ),
]
