"""Faults in what makes bits the same twice, and in what a step must not wait for."""

from tests.mutants.mutant import Mutant

MUTANTS = [
    # A bool mask as an index asks the device how many entries it has.
    Mutant(
        "pipeline/objectives/dkd.py",
        "log_p_BC.gather(1, column_C + (column_C >= target_B1))",
        "log_p_BC[column_C.new_ones(log_p_BC.shape).scatter(1, target_B1, 0).bool()].view(len(y_B), -1)",
        "tests/objectives/test_logits.py::test_a_column_is_taken_out_without_asking_for_its_place",
    ),
    # A window that begins one row late where sizes do not divide.
    Mutant(
        "pipeline/objectives/windows.py",
        "(i * length // count, -(-(i + 1) * length // count))",
        "(-(-i * length // count), -(-(i + 1) * length // count))",
        "tests/objectives/test_windows.py",
    ),
    # cuBLAS has read its workspace before it is set.
    Mutant(
        "pipeline/training/exactness.py",
        'os.environ["CUBLAS_WORKSPACE_CONFIG"] = WORKSPACE',
        'os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", WORKSPACE)',
        "tests/training/test_exactness.py::test_a_gpu_computes_in_the_type_asked_for_and_in_one_order",
    ),
    # Kernels of a GPU are chosen on a CPU, too.
    Mutant(
        "pipeline/training/device.py",
        'if device.type == "cuda":\n        fix_kernels',
        "if True:\n        fix_kernels",
        "tests/training/test_hardware.py tests/training/test_exactness.py::test_a_cpu_leaves_torchs_switches_alone",
    ),
    # Labels of the first view for every epoch.
    Mutant(
        "pipeline/training/teacher.py",
        "if v != self._v:",
        "if self._v is None:",
        "tests/training/test_waits.py::test_stored_labels_are_the_same_where_they_do_not_fit",
    ),
    # A card's time beside a CPU's.
    Mutant(
        "pipeline/report/tradeoff.py",
        'if cost.get("timed_on") != self.device:',
        'if cost.get("timed_on") is None:',
        "tests/report/test_numbers.py::test_times_of_two_devices_stand_in_charts_of_their_own",
    ),
]
