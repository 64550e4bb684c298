"""Small faults of parts that are off, and of presets that switch them."""

from tests.mutants.mutant import Mutant

PLANS = "tests/planning/test_parts.py"
SAYS = f"{PLANS}::test_what_needs_a_part_that_is_off_says_so"
PRESETS = "pipeline/config/presets.py"
PRESETS_TESTS = "tests/config/test_presets.py"
PARTS = "pipeline/config/parts.py"
RESULTS = "pipeline/lineage/results.py"
RESULTS_TESTS = "tests/lineage/test_results.py"

MUTANTS = [
    Mutant(
        "pipeline/planning/build.py",
        "planner.network(name, section, teacher) if section else skip(name)",
        "planner.network(name, section or planner.params.teacher, teacher)",
        f"{PLANS}::test_a_part_that_is_off_is_skipped_and_no_other_network_is_another_one",
    ),
    Mutant(
        "pipeline/planning/methods.py",
        "if section is None or not planner.params.method:",
        "if section is None:",
        f"{PLANS}::test_a_part_that_is_off_is_skipped_and_no_other_network_is_another_one",
    ),
    Mutant(PARTS, '{"refined": "refinery", "ensemble": "born_again"}', '{"refined": "refinery"}', SAYS),
    Mutant(PARTS, '("objective",) if _tunes(path, section)', "() if _tunes(path, section)", SAYS),
    Mutant(
        PARTS,
        "edges.get(edge, own) != own",
        "edge not in edges",
        f"{PLANS}::test_a_start_in_the_section_itself_may_not_say_otherwise",
    ),
    Mutant(
        "pipeline/planning/planner.py",
        "getattr(self.params.edges, family) if section is None else section.start",
        '"teacher" if section is None else section.start',
        f"{PLANS}::test_two_chains_that_are_off_may_not_wait_for_each_other_as_dvc_reads_both",
    ),
    Mutant(
        "pipeline/planning/compress.py",
        "(section.start, section.teacher) if section else (edges.compress, edges.compress_teacher)",
        '(section.start, section.teacher) if section else ("teacher", "teacher")',
        f"{PLANS}::test_the_edge_of_a_chain_that_is_off_is_one_that_dvc_can_have",
    ),
    Mutant(
        PRESETS, "_off_line(key, found[0]) if _is_off(key, preset[key]) else known[key]", "known[key]", PRESETS_TESTS
    ),
    Mutant(PRESETS, r"|#.*\n)*[ \t]+", r")*[ \t]+", PRESETS_TESTS),
    Mutant(PRESETS, "base[key][:] = value", "base[key] = value", PRESETS_TESTS),
    Mutant(PRESETS, 'value is None or (key == "method" and value == {})', "value is None", PRESETS_TESTS),
    Mutant(RESULTS, "else 1].append(name)", "else 0].append(name)", RESULTS_TESTS),
    Mutant(RESULTS, 'difference = () if base is None else ("Δ test",)', 'difference = ("Δ test",)', RESULTS_TESTS),
    Mutant(
        "pipeline/commands/seeds.py",
        '[f"difference to {BASE}"] if BASE in nodes else []',
        '[f"difference to {BASE}"]',
        "tests/commands/test_seeds.py",
    ),
]
