"""Small faults of the command `cohobate` and the folders that it makes."""

from tests.mutants.mutant import Mutant

INIT = "pipeline/commands/init.py"
MADE = "tests/commands/test_init.py"

MUTANTS = [
    Mutant(INIT, "if (folder / name).exists()]:", "if False]:", MADE),
    Mutant(INIT, "            path.unlink(missing_ok=True)", "            path.exists()", MADE),
    Mutant(INIT, "    if inside.returncode != 0:", "    if True:", MADE),
    Mutant(INIT, "        if made.returncode != 0:", "        if False:", MADE),
    Mutant("pipeline/script.py", "completion=True", "completion=False", "tests/test_commands.py"),
]
