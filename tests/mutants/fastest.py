"""Small faults of the choice of precision and layout, of the comparison image by image, and of its gate."""

from tests.mutants.mutant import Mutant

FASTEST, FLIPS, COMMAND = "pipeline/commands/fastest.py", "pipeline/evaluation/flips.py", "pipeline/commands/flips.py"
TESTS, FLIP_TESTS = "tests/commands/test_fastest.py", "tests/evaluation/test_flips.py"
COMMAND_TESTS = "tests/commands/test_flips.py"
WEIGHED = f"{TESTS}::test_epochs_weigh_what_a_step_takes_and_what_is_hopeless_is_left"
GATE = f"{COMMAND_TESTS}::test_the_gate_passes_what_is_proven_only"

MUTANTS = [
    Mutant(FASTEST, "total += epochs * seconds[name]", "total += seconds[name]", WEIGHED),
    Mutant(FASTEST, "if total + epochs * each > HOPELESS * best:", "if False:", WEIGHED),
    Mutant(FASTEST, "best.total > BETTER * way.total", "False", f"{TESTS}::test_hardly_less_changes_nothing"),
    Mutant(
        FLIPS,
        "8 * count * won",
        "8 * count * lost",
        f"{FLIP_TESTS}::test_the_score_is_that_of_the_likeliest_table_with_that_drop",
    ),
    Mutant(FLIPS, "(self.lost - self.won) / self.count", "(self.won - self.lost) / self.count", FLIP_TESTS),
    Mutant(
        FLIPS,
        "SURE = 1.7506860712521692",
        "SURE = 1.6448536269514722",
        f"{FLIP_TESTS}::test_a_gate_lets_through_what_it_should_not_in_one_case_of_twenty_at_most",
    ),
    Mutant(FLIPS, "return self._bound(SURE, up=True)", "return self._bound(SURE, up=False)", FLIP_TESTS),
    Mutant(FLIPS, "(SURE / z) ** 2", "SURE / -z", f"{FLIP_TESTS}::test_so_many_images_prove_it_and_one_less_does_not"),
    Mutant(FLIPS, "min(1.0, 2 * float", "min(1.0, float", f"{FLIP_TESTS}::test_p_is_that_of_the_exact_binomial_test"),
    Mutant("pipeline/evaluation/gate.py", "if flips.most <= most:", "if flips.drop <= most:", GATE),
    Mutant(COMMAND, "if not 0 < most < 1:", "if most < 0:", GATE),
    Mutant(
        COMMAND,
        "np.flatnonzero(wrong_N & (self.first_N != self.second_N))",
        "np.flatnonzero(wrong_N)",
        f"{COMMAND_TESTS}::test_what_is_lost_won_and_answered_wrongly_in_another_way",
    ),
]
