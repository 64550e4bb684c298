"""Small faults of the command `cohobate` and the folders that it makes."""

from tests.mutants.mutant import Mutant

INIT = "pipeline/commands/init.py"
MADE = "tests/commands/test_init.py"
UPGRADE = "pipeline/commands/upgrade.py"
BROUGHT = "tests/commands/test_upgrade.py"

MUTANTS = [
    Mutant(INIT, "if (folder / name).exists()]:", "if False]:", MADE),
    Mutant(INIT, "            path.unlink(missing_ok=True)", "            path.exists()", MADE),
    Mutant(INIT, "    if inside.returncode != 0:", "    if True:", MADE),
    Mutant(INIT, "        if made.returncode != 0:", "        if False:", MADE),
    Mutant(UPGRADE, "if name not in _stages(ours)]", "]", BROUGHT),
    Mutant(UPGRADE, "at = own[before][1] if before else", "at = own[before][0] if before else", BROUGHT),
    Mutant(UPGRADE, "        if not dry:", "        if True:", BROUGHT),
    Mutant(UPGRADE, "after = wired(with_stages(", "after = str(with_stages(", BROUGHT),
    Mutant(UPGRADE, "and key not in FREE", "and key in FREE", BROUGHT),
    Mutant("pipeline/script.py", "completion=True", "completion=False", "tests/test_commands.py"),
]
