"""Small faults of the networks that others' code builds, and of what each network is fed."""

from tests.mutants.mutant import Mutant

SHOWN = "tests/models/test_shown.py"
OWN = "tests/models/test_own.py"
INPUT = "tests/config/test_input.py"
FED = "tests/training/test_inputs.py"
FAMILIES = "tests/training/test_families.py"

MUTANTS = [
    Mutant("pipeline/models/shown.py", "self._differs = any(", "self._differs = all(", SHOWN),
    Mutant("pipeline/models/shown.py", "antialias=True", "antialias=False", SHOWN),
    Mutant("pipeline/models/shown.py", "(input.mean, input.std)", "(input.mean, self.std_C.tolist())", SHOWN),
    Mutant("pipeline/config/input.py", "**known, **given", "**given, **known", INPUT),
    Mutant("pipeline/config/params.py", 'for key in ("input", "initial"):', 'for key in ("initial",):', INPUT),
    Mutant("pipeline/training/answers.py", "        return SAME", "        return OTHER", FED),
    Mutant("pipeline/training/export.py", 'supplied(data, result.input)["size"]', "data.size", FED),
    Mutant("pipeline/training/ensemble.py", "shown.to(each.input)", "shown.to(None)", FED),
    Mutant("pipeline/training/teacher.py", "shown.to(self.input)", "shown.to(None)", FED),
    Mutant("pipeline/compression/work.py", "(resized(x_BCHW, size) for", "(x_BCHW for", FED),
    Mutant("pipeline/training/checkpoint.py", " | dict(self.libraries)", "", FAMILIES),
    Mutant("pipeline/models/head.py", " and type(model).forward is not nn.Sequential.forward", "", OWN),
    Mutant("pipeline/config/own_files.py", "waiting.extend(_imported(path, start.parent))", "pass", OWN),
    Mutant("pipeline/config/own.py", "isinstance(value, bool) and kind in", "not value and kind in", OWN),
]
