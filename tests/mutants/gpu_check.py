"""Faults in the check of a GPU: it would call right what is wrong, or measure something else."""

from tests.mutants.mutant import Mutant

CHECK = "tests/test_gpu_check.py::"
MUTANTS = [
    Mutant(
        "benchmarks/gpu/launches.py",
        "whole += max(0.0, end - max(begin, until))",
        "whole += end - begin",
        f"{CHECK}test_spans_that_overlap_count_once",
    ),
    Mutant(
        "benchmarks/gpu/right.py",
        "float(np.maximum(loss, far[worst]))",
        "max(loss, far[worst])",
        f"{CHECK}test_near_is_a_share_of_the_largest",
    ),
    Mutant(
        "benchmarks/gpu/right.py",
        'if not any("going on at epoch 2" in sentence for sentence in printed):',
        "if printed is None:",
        f"{CHECK}test_a_training_that_does_not_go_on_is_found",
    ),
    Mutant(
        "benchmarks/gpu/finding.py",
        "if key not in common or not torch.equal(one[key], other[key])",
        "if key in common and not torch.equal(one[key], other[key])",
        f"{CHECK}test_equal_is_to_the_last_bit",
    ),
    Mutant(
        "benchmarks/gpu/runner.py",
        "late = setting.left() <= 0",
        "late = setting.left() < -2",
        f"{CHECK}test_what_the_time_does_not_allow_is_marked_and_is_no_fault",
    ),
]
