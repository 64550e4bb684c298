"""Small faults of a teacher that is no network of ours: which row, view and class is whose; what is refused."""

from tests.mutants.mutant import Mutant

ANSWERS = "pipeline/labels/answers.py"
TESTS = "tests/labels/test_answers.py"
ORIGINS = "pipeline/data/prepare.py"
PLANNER = "pipeline/planning/planner.py"
FOREIGN = "pipeline/planning/foreign.py"
STAGE = "pipeline/training/foreign.py"
ONNX = "pipeline/training/onnx_teacher.py"
MODEL = "pipeline/training/onnx_model.py"
PLAN_TESTS = "tests/planning/test_foreign.py"
STAGE_TESTS = "tests/training/test_foreign.py"
FAULTS = f"{TESTS}::test_rows_that_are_missing_unknown_doubled_or_not_finite_are_all_named"
REFUSED = f"{PLAN_TESTS}::test_what_needs_the_network_is_refused"

MUTANTS = [
    Mutant(ANSWERS, "sorted_R[at_N], -1)", "at_N, -1)", f"{TESTS}::test_each_image_finds_its_row_by_its_number"),
    Mutant(
        ONNX,
        ", **model.framed}",
        "}",
        f"{STAGE_TESTS}::test_a_file_of_ours_says_how_images_become_square_and_params_yaml_may_say_otherwise",
    ),
    Mutant(
        ANSWERS,
        "wanted_N = numbers_N * stride + v",
        "wanted_N = numbers_N * stride",
        f"{TESTS}::test_each_view_finds_its_own",
    ),
    Mutant(
        ANSWERS,
        "[place[name] for name in classes]",
        "[*range(len(classes))]",
        f"{TESTS}::test_classes_are_found_by_name_and_others_left_out",
    ),
    Mutant(ANSWERS, "(number_R < origins.count)", "(number_R <= origins.count + 9)", FAULTS),
    Mutant(ANSWERS, "(keys_R[1:] == keys_R[:-1])", "(keys_R[1:] < keys_R[:-1])", FAULTS),
    Mutant(
        ANSWERS,
        "~np.isfinite(_logits(columns.values[piece], columns.kind)).all(1)",
        "np.zeros(piece.stop - piece.start, bool)",
        FAULTS,
    ),
    Mutant(ANSWERS, "if theirs.get(key) != ours.get(key):", "if False:", f"{TESTS}::test_views_that_are_not_ours"),
    Mutant(
        ANSWERS,
        "np.maximum(values.astype(np.float64), SMALLEST)",
        "values.astype(np.float64)",
        f"{TESTS}::test_probabilities_become_their_logarithms_and_zero_stays_finite",
    ),
    # Only the first piece of a file is looked at, or read.
    Mutant(
        ANSWERS,
        "for start in range(0, max(count, 1), AT_ONCE))",
        "for start in (0,))",
        f"{TESTS}::test_pieces_of_any_size_give_the_same",
    ),
    Mutant(
        "pipeline/labels/columns.py",
        "            while stream.read(AT_ONCE):\n                pass\n",
        "            pass\n",
        f"{TESTS}::test_a_value_that_is_damaged_is_not_taken",
    ),
    Mutant(
        "pipeline/labels/columns.py",
        "file.seek(member.header_offset + 26)",
        "file.seek(26)",
        f"{TESTS}::test_each_image_finds_its_row_by_its_number",
    ),
    Mutant(ANSWERS, "every[:NAMED]", "every", f"{TESTS}::test_no_more_than_ten_rows_are_named"),
    Mutant(
        "pipeline/labels/columns.py",
        "np.load(file, allow_pickle=False)",
        "np.load(file, allow_pickle=True)",
        f"{TESTS}::test_a_pickle_is_not_run",
    ),
    Mutant(
        ORIGINS,
        "Origins({**rows},",
        'Origins({**rows, "test": rows["train"]},',
        "tests/data/test_origins.py::test_an_image_of_a_folder_has_its_path_and_those_of_its_own_test_split_are_counted_on",
    ),
    Mutant(PLANNER, "return params.assistant.links == 0", "return False", REFUSED),
    Mutant(PLANNER, '(name == "refined" and', "(False and", REFUSED),
    Mutant(
        FOREIGN,
        "if changed and for_views is None:",
        "if False:",
        f"{PLAN_TESTS}::test_views_that_would_not_belong_are_refused",
    ),
    Mutant(
        STAGE,
        'asked = views if given.for_views == "own" else 0',
        "asked = 0",
        f"{STAGE_TESTS}::test_answers_of_our_views_make_the_student_that_the_network_made",
    ),
    Mutant(
        "pipeline/training/given.py",
        "if (found := files.sha256(path)) != sha256:",
        "if (found := files.sha256(path)) == 0:",
        f"{STAGE_TESTS}::test_a_file_that_is_missing_or_another_one",
    ),
    Mutant(
        "pipeline/training/suited.py",
        'if teacher.labels_of == "clean":',
        "if False:",
        f"{STAGE_TESTS}::test_clean_answers_stand_for_each_view_where_that_is_asked_for_and_the_student_says_so",
    ),
    Mutant(
        ONNX,
        'own |= {"mean": (0.0,) * data.channels, "std": (1.0,) * data.channels, ',
        "own |= {",
        f"{STAGE_TESTS}::test_the_file_that_this_pipeline_exports_answers_as_its_network_does",
    ),
    Mutant(
        ONNX,
        "model, shown.to(input), ",
        "model, shown.to(None), ",
        f"{STAGE_TESTS}::test_it_is_fed_its_own_normalisation_and_its_classes_are_found_by_name",
    ),
    Mutant(
        MODEL,
        "if not np.isfinite(z_BC).all():",
        "if False:",
        f"{STAGE_TESTS}::test_a_model_that_is_none_of_ours",
    ),
    Mutant(
        MODEL,
        "if uses_external_data(tensor)]",
        "if False]",
        f"{STAGE_TESTS}::test_a_model_that_is_none_of_ours",
    ),
    Mutant(
        "pipeline/commands/views.py",
        "(seed, STREAM, v))",
        "(seed, STREAM, min(v, 1)))",
        "tests/commands/test_views.py::test_a_model_that_answers_them_elsewhere_teaches_as_it_does_here",
    ),
]
