"""Small faults of the file that takes decoded pictures, and of those for other runtimes."""

from tests.mutants.mutant import Mutant

PIXELS, STAGE = "pipeline/compression/pixels_in.py", "pipeline/compression/stage.py"
ROWS, OPENVINO = "pipeline/compression/formats/rows.py", "pipeline/compression/formats/of_openvino.py"
NCNN, NODE = "pipeline/compression/formats/of_ncnn.py", "pipeline/lineage/node.py"
FED = "tests/compression/test_pixels_in.py"
FRAMED = f"{FED}::test_it_crops_and_resizes_as_predict_does"
ALIKE = f"{FED}::test_answers_and_metadata_are_those_of_the_file_beside_it"
FORMATS = "tests/compression/test_formats.py"
FAILS, LOSES = "test_what_fails_there_is_named_as_not_run", "test_what_is_compared_is_of_the_test_images"
OVERFLOWN = "test_logits_that_are_not_finite_are_named_as_not_run"
EQUAL = "test_openvino_has_the_card_and_a_fixed_batch_and_equal_bytes"
TABLE, LISTED = "pipeline/lineage/runtimes.py", "tests/lineage/test_runtimes.py"
LINE, ELSEWHERE = "test_each_format_of_what_ships_is_a_line", "test_what_was_measured_elsewhere_is_a_line"
RUN = f"{FORMATS}::test_each_is_run_in_its_own_runtime_and_compared_with_what_is_stored"
BESIDE = f"{FORMATS}::test_what_others_are_made_of_lies_beside_a_quantised_file"
NCNN_CARD = f"{FORMATS}::test_ncnn_has_the_card_beside_it_and_equal_bytes"
LACKS = f"{FORMATS}::test_what_ncnn_does_not_have_is_named"
QUANTISE = "pipeline/compression/steps/quantise.py"
MERGE, ATTENTION = "pipeline/compression/merge.py", "pipeline/models/attention.py"
BRANCHES, LINEAR = "tests/compression/test_merge.py", "tests/models/test_attention.py"
STAYS, SHIPS = "test_what_would_answer_otherwise_or_cannot_stays", "test_what_ships_has_no_branches"
FEWER = "test_it_answers_the_same_by_fewer_layers"

MUTANTS = [
    Mutant(MERGE, "if count and moved <= CLOSE * before_BC.abs().max() else (model, 0)", "", f"{BRANCHES}::{STAYS}"),
    Mutant(MERGE, "count = _merge(one)", "count = 1", f"{BRANCHES}::{SHIPS}"),
    Mutant(
        MERGE, "count += _merge(getattr(model, name))", "pass", f"{BRANCHES}::test_it_answers_the_same_by_fewer_layers"
    ),
    Mutant(STAGE, "made.network() if made.network and not on_grids else rebuild(", "rebuild(", f"{BRANCHES}::{SHIPS}"),
    Mutant(
        QUANTISE,
        "(work.model(CPU), 0) if learned else merged(",
        "(work.model(CPU), 0) if True else merged(",
        f"{BRANCHES}::{SHIPS}",
    ),
    Mutant(ATTENTION, "!= BLOCK", "== (BLOCK, 0)", f"{LINEAR}::test_other_attention_stays_as_it_is"),
    Mutant(
        "pipeline/models/fake_quantise.py",
        "in open_attention(model).modules()",
        "in model.modules()",
        f"{LINEAR}::test_pruning_counts_and_grids_hold_all_of_its_matrices",
    ),
    Mutant(PIXELS, '"ReduceMin" if framing == "crop"', '"ReduceMax" if framing == "crop"', FRAMED),
    Mutant(PIXELS, 'self.of("Round", [exact])', "exact", FRAMED),
    Mutant(PIXELS, "np.float64(1 - margin)", "np.float64(margin)", FRAMED),
    Mutant(PIXELS, 'self.of("Add", [beyond, ints["1"]])', "beyond", FRAMED),
    Mutant(PIXELS, 'start = self.of("Div", [over, ints["2"]])', 'start = self.of("Div", [over, ints["1"]])', FRAMED),
    Mutant(PIXELS, "antialias=1", "antialias=0", FRAMED),
    Mutant(PIXELS, "exclude_outside=1", "exclude_outside=0", FRAMED),
    Mutant(PIXELS, "np.uint8(0)", "np.uint8(255)", FRAMED),
    Mutant(PIXELS, "perm=[0, 3, 1, 2]", "perm=[0, 3, 2, 1]", FRAMED),
    Mutant(PIXELS, "np.float32(255)", "np.float32(256)", f"{FED}::test_what_needs_no_resize_is_fed_as_it_is"),
    Mutant(PIXELS, "path.with_name(WITH_PIXELS)", "path", ALIKE),
    Mutant(STAGE, "        write_with_pixels(path)\n", "", f"{FED}::test_what_ships_has_it_beside"),
    Mutant(ROWS, "shutil.rmtree(own)", "pass", f"{FORMATS}::test_what_fails_there_is_named_as_not_run"),
    Mutant(ROWS, "except Exception as error:", "except ValueError as error:", f"{FORMATS}::{FAILS}"),
    Mutant(ROWS, "if not all(z_NC.isfinite().all() for", "if not all(True for", f"{FORMATS}::{OVERFLOWN}"),
    Mutant(ROWS, "(before - right) / len(y_N)", "(right - before) / len(y_N)", f"{FORMATS}::{LOSES}"),
    Mutant(
        ROWS, '_compared(logits["test"], stored["test"], y_N)', '_compared(stored["test"], stored["test"], y_N)', RUN
    ),
    Mutant(ROWS, "write_predictions(own, logits)", 'write_predictions(own, {**logits, "test": stored["test"]})', RUN),
    Mutant(OPENVINO, "operation.set_friendly_name(", "str(", f"{FORMATS}::{EQUAL}"),
    Mutant(OPENVINO, "    model.reshape(", "    str(", f"{FORMATS}::{EQUAL}"),
    Mutant(OPENVINO, "compress_to_fp16=False", "compress_to_fp16=True", RUN),
    Mutant(ROWS, 'format.PRECISION or size["precision"]', 'size["precision"]', BESIDE),
    Mutant(STAGE, "    if made.keeps_float:\n", "    if False:\n", BESIDE),
    Mutant(NODE, 'provides=("weights",), hashes', "hashes", BESIDE),
    Mutant(NCNN, 'raise NotRun(f"ncnn does not load', 'str(f"ncnn does not load', LACKS),
    Mutant(NCNN, 'if "." in kind', 'if "." not in kind', LACKS),
    Mutant(NCNN, "    write_card(original.card, folder)\n", "", NCNN_CARD),
    Mutant(NCNN, '"fp16=0"', '"fp16=1"', RUN),
    Mutant(TABLE, 'int(found["count"]) - int(found["other"])', 'int(found["count"])', f"{LISTED}::{ELSEWHERE}"),
    Mutant(TABLE, 'row.node.status != "carried" and ', "", f"{LISTED}::{LINE}"),
]
