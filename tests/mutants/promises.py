"""Small faults of what a shipped file promises and keeps float, of what the report shows of it, and of the API."""

from tests.mutants.mutant import Mutant

TEMPERATURE, ABSTAINING = "pipeline/evaluation/temperature.py", "pipeline/evaluation/abstaining.py"
HALVES, PROMISE = "pipeline/data/halves.py", "pipeline/compression/promise.py"
FILE, RUNTIME = "pipeline/compression/onnx_file.py", "pipeline/compression/runtime.py"
PREDICT = "pipeline/commands/predict.py"
SWEEP, QUANTISE = "pipeline/compression/sweep.py", "pipeline/compression/quantise.py"
SWEPT = "tests/compression/test_sweep.py"
SHIPS, WORDS = "pipeline/report/ships.py", "pipeline/report/words.py"
SHOWN = "tests/report/test_ships.py::test_it_is_the_last_file_beside_the_teacher"
FITTED, ANSWERED = "tests/evaluation/test_temperature.py", "tests/evaluation/test_abstaining.py"
CUT, PROMISED = "tests/data/test_halves.py", "tests/compression/test_promise.py"
GROUPS = f"{CUT}::test_groups_stay_together"
FIRST = f"{PROMISED}::test_the_temperature_is_of_the_first_half_and_what_it_does_is_of_the_second"
GIVEN = f"{PROMISED}::test_a_file_gives_probabilities_at_its_temperature"
COUNTED = f"{PROMISED}::test_what_is_answered_is_said_of_the_second_half_and_counted_on_test"
MARKED = "tests/commands/test_predict.py::test_what_a_file_is_not_sure_enough_of_is_marked"

EXAMPLES, CHECKER = "pipeline/compression/examples.py", "pipeline/compression/checker.py"
CHECKED = "tests/compression/test_examples.py"

MUTANTS = [
    # Of the images beside a file.
    Mutant(EXAMPLES, 'np.argsort(hashes, kind="stable")[:count]', "np.arange(len(hashes))[:count]", CHECKED),
    Mutant(EXAMPLES, "runtime.at_size(chosen)", "chosen", CHECKED),
    Mutant(EXAMPLES, "pixels_CSS.transpose(1, 2, 0)", "pixels_CSS[::-1].transpose(1, 2, 0)", CHECKED),
    Mutant(CHECKER, "return int(other > 0)", "return 0", CHECKED),
    Mutant(CHECKER, "logits.argmax(1) != expected.argmax(1)", "logits.argmax(1) != logits.argmax(1)", CHECKED),
    Mutant(CHECKER, "np.float32) / 255", "np.float32)", CHECKED),
    Mutant(TEMPERATURE, " + (expected_N - mean_N).mean()", "", f"{FITTED}::test_where_all_are_right_it_is_no_zero"),
    Mutant(
        TEMPERATURE,
        "return 1 / (low * high) ** 0.5",
        "return (low * high) ** 0.5",
        f"{FITTED}::test_logits_that_are_too_large_are_divided_by_as_much",
    ),
    Mutant(
        ABSTAINING,
        "            break\n        found = each",
        "            continue\n        found = each",
        f"{ANSWERED}::test_the_first_failure_ends_it",
    ),
    Mutant(
        ABSTAINING,
        "sure_N[:-1] - sure_N[1:] > CLOSE",
        "sure_N[:-1] > -1",
        f"{ANSWERED}::test_equally_sure_images_are_answered_together",
    ),
    Mutant(ABSTAINING, "float(bdtr(wrong, answered, error))", "wrong / answered - error", ANSWERED),
    Mutant(
        ABSTAINING,
        "CONFIDENCE = 0.95",
        "CONFIDENCE = 0.8",
        f"{ANSWERED}::test_so_many_images_allow_one_error",
    ),
    Mutant(
        ABSTAINING,
        "    if count < first:\n        return\n",
        "    first = min(first, count)\n",
        f"{ANSWERED}::test_fewer_images_than_allow_one_error_prove_nothing",
    ),
    Mutant(
        ABSTAINING,
        "float(sure_N[answered - 1] + sure_N[answered]) / 2",
        "float(sure_N[answered])",
        f"{ANSWERED}::test_equally_sure_images_are_answered_together",
    ),
    Mutant(HALVES, "if (path := beside(folder, UNITS)) is None:", "if (path := beside(folder, UNITS)):", GROUPS),
    Mutant(
        HALVES,
        "borders(size_U[order], [0.5])",
        "borders(size_U[order], [0.3])",
        f"{CUT}::test_each_image_is_in_one_half_and_both_are_of_one_size",
    ),
    Mutant(HALVES, 'f"half:{key}".encode()', "bytes(8)", f"{CUT}::test_order_and_what_else_is_there_move_no_image_far"),
    Mutant(
        "pipeline/data/prepare.py",
        " if name not in (UNITS, LEFT_OUT)}",
        "}",
        f"{CUT}::test_which_images_belong_together_is_in_no_hash_that_labels_are_bound_to",
    ),
    Mutant(PROMISE, "temperature.fit(first.own_NC, first.y_N)", "temperature.fit(second.own_NC, second.y_N)", FIRST),
    Mutant(PROMISE, "_calibration(each, degree)", "_calibration(first, degree)", FIRST),
    Mutant(PROMISE, "gate = _gate(asked, apart, test)", "gate = _gate(asked, second, test)", PROMISED),
    Mutant(
        PROMISE,
        "_answering(asked, asked.error, apart, degree)",
        "_answering(asked, asked.error, test, degree)",
        PROMISED,
    ),
    Mutant(PROMISE, "answered_N = sure_N >= found.threshold", "answered_N = sure_N < found.threshold", COUNTED),
    Mutant(FILE, '"Div", [logits.name, TEMPERATURE]', '"Mul", [logits.name, TEMPERATURE]', GIVEN),
    Mutant(RUNTIME, "self.card.temperature or 1.0", "1.0", GIVEN),
    Mutant(SWEEP, "all(name in made for name in given)", "any(name in made for name in given)", SWEPT),
    Mutant(SWEEP, "key=lambda name: -alone[name]", "key=lambda name: alone[name]", SWEPT),
    Mutant(SWEEP, "for name in kept for node in there[name]", "for name in kept[:0] for node in there[name]", SWEPT),
    Mutant(SWEEP, "if each.noise <= NEAR * least", "if True", SWEPT),
    Mutant(QUANTISE, "nodes_to_exclude=[*without]", "nodes_to_exclude=[]", SWEPT),
    Mutant(QUANTISE, '"CalibStridedMinMax": 1', '"CalibStridedMinMax": len(pixels_NCHW) // batch_size', SWEPT),
    Mutant(WORDS, "if len(rows) > 1:", "if False:", "tests/report/test_words.py::test_shortened_names_stay_apart"),
    Mutant(SHIPS, "(before_N == y_N) & (after_N != y_N)", "after_N != y_N", SHOWN),
    Mutant(SHIPS, "order = np.argsort(-sure_N", "order = np.argsort(sure_N", SHOWN),
    Mutant(
        "pipeline/evaluation/statistics.py",
        "(a - b - below, a - b + above)",
        "(a - b - above, a - b + below)",
        "tests/evaluation/test_statistics.py::test_unpaired_shares_are_those_that_newcombe_published",
    ),
    Mutant(
        "pipeline/api.py",
        '(spec["seed"], spec["stream"], view)',
        '(spec["seed"], spec["stream"], view + 1)',
        "tests/test_api.py::test_the_views_of_soft_labels_are_those_that_the_network_answered",
    ),
    Mutant(PREDICT, "share < card.threshold", "share > card.threshold", MARKED),
]
