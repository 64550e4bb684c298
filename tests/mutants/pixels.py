"""Small faults of the file that takes decoded pictures."""

from tests.mutants.mutant import Mutant

PIXELS, EXPORT = "pipeline/compression/pixels_in.py", "pipeline/compression/steps/export.py"
FED = "tests/compression/test_pixels_in.py"
FRAMED = f"{FED}::test_it_crops_and_resizes_as_predict_does"
ALIKE = f"{FED}::test_answers_and_metadata_are_those_of_the_file_beside_it"

MUTANTS = [
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
    Mutant(EXPORT, '        write_with_pixels(folder / "model.onnx")\n', "", f"{FED}::test_what_ships_has_it_beside"),
]
