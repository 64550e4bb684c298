"""YAML is read as DVC reads it, value and type; what we write both readers take for what it was."""

import subprocess
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.serialize import load_yaml, parse_yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.base.errors import UserError
from pipeline.config import presets
from pipeline.config.yaml import dump, parse, read_yaml, remedy
from tests.scratch import ROOT

# Of each kind, split at blanks.
SCALARS = {
    "decimal": "0 7 10 -3 +4 -0 00 -00 010 -010 +010 007 08 019 1_000 1__0 -1_0 0_1 1_ 0_ _1 12345678901234567890",
    "other bases": "0o10 0O10 -0o17 +0o7 0o8 0o_7 0x1F 0X1F -0xff 0xFG 0x_a 0b1 0b101 -0b11 0b2 0B1 0x 0b 0o",
    "no integers": "1e e5 --1 +-1 1-2 1.2.3 3x3 1/2 5% 1,5 20010101x",
    "points": "1.0 .5 -.5 +.5 5. 1. 0. -0.0 0.1 00.1 010.5 1_0.5 1.5_0 . .. ... -. ._x",
    "exponents": "1e3 1E3 1e-3 1e+3 -2E+3 1.e0 1.5e3 1.5e-3 .5e1 .5e+1 .5e-1 1e05 0e0 0.1e0 1_0e2 1e1_0 1e-4x 5.e",
    "extremes": "1e400 -1e400 4e-324 .inf .Inf .INF -.inf +.inf .iNf inf Inf -inf infinity .nan .NaN .NAN -.nan nan",
    "sexagesimal": "1:30 1:30:00 190:20:30 1:30.5 01:30 1:60 0:0 -1:30 22:22",
    "booleans": "true True TRUE tRUE false False FALSE fALSE t f T F",
    "version 1.1's booleans": "yes Yes YES no No NO on On ON off Off OFF y Y n N",
    "nulls": "~ null Null NULL nULL None none nil !!null !!str",
    "dates": "2001-01-01 2001-1-1 2001-01 20010101 2001-13-01x 2001-12-14T21:59:43 2001-12-14T21:59:43Z",
    "more dates": "2001-12-14t21:59:43.10-05:00 2001-12-14T21:59:43+5 2001-12-14T21:59",
    "quoted": '"010" \'010\' "yes" \'no\' "1e3" "" \'\' \'~\' "null" \'.5\' "1:30" "2001-01-01" "a\\u0041" \'it\'\'s\'',
    "strings": "+x :x =x <a x=1 x:y a:b a#b http://x/y c++ $HOME é 日本 010x",
}
PLAIN = [text for each in SCALARS.values() for text in each.split()]
TAGGED = [
    *("!!str 010", "!!str yes", "!!str ~", "!!str 1.5", "!!int 010", '!!int "010"', "!!int 0o10", '!!int "0x1F"'),
    *("!!int 1_000", "!!int 0b1", "!!float 1", "!!float 1e3", "!!float .inf", "!!float -.INF", "!!float nan"),
    *("!!float 1_0.5", "!!bool yes", "!!bool n", '!!bool "Off"', "!!bool True", "!!null x", "!!binary aGk="),
    *("!!set {a, b}", "!!pairs [a: 1]", "!!timestamp 2001-01-01", "!!seq [010]", "!!map {010: 0o10}", "! 010"),
]
WITH_BLANKS = [
    *("", "# nothing", "a b", "1 2", "yes no", "2001-12-14 21:59:43.10 -5", "2001-12-14 21:59:43", "'a\n  b'"),
    *("[yes, 010, ~]", "{on: off, 010: 1, 1e3: 2}", "[0o7, .5e1, -a, a#b]", "['a:b']", "{1: a, '1': b}"),
    *("|\n  010\n", ">-\n  yes\n", "&a 010", "[&b 1_0, *b]", "{a: 1, ? b, c: }"),
    *("{<<: {a: 1, b: 2}, b: 3}", "{<<: [{a: 1}, {a: 2, b: 2}], c: 3}"),
]
REFUSED = [
    *("-_", "+_", "._", "0o_", "0x_", "0b_", "=", "2001-13-01", "!!int x", "!!int 1.5", "!!int ''", "!!int 1:30"),
    *("!!float x", "!!float 1:30", "!!float ''", "!!bool maybe", "!!timestamp x", "!!binary é", "!!null~"),
    *("!x 1", "!!python/name:a.b x", "!!int [1]", "!!set [a]", "1" * 5000),
    *("{a: 1, a: 2}", "{1: a, 0x1: b}", "{true: a, True: b}", "{1: a, 1.0: b}", "{<<: {a: 1}, <<: {b: 1}}"),
    *("[a", "a: b", "*x", "\t- x", "@x", "`x", "%x", "'x", "-", "- "),
    *("[1:30, 2]", "{a: http://x}", "{a?: 1}", "[a ? b]", "[[a:b]]", "{a:1}"),
]


def typed(value: Any) -> Any:
    """The value with its types, such that equal means equal in both: 1 is not 1.0, a list no tuple; nan is nan."""
    if isinstance(value, dict):
        return dict, [(typed(key), typed(each)) for key, each in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [typed(each) for each in value]
    return type(value), value if isinstance(value, set | datetime) else repr(value)


@pytest.mark.parametrize("text", [*PLAIN, *TAGGED, *WITH_BLANKS])
def test_a_scalar_is_what_it_is_to_dvc(text: str) -> None:
    for document in (f"key: {text}\n", f"%YAML 1.1\n---\nkey: {text}\n"):
        assert typed(parse(document, "params.yaml")) == typed(parse_yaml(document, "params.yaml"))


@pytest.mark.parametrize("text", REFUSED)
def test_what_dvc_cannot_read_is_one_sentence(text: str) -> None:
    with pytest.raises(Exception):  # noqa: B017, of many kinds: DVC lets some of them through
        parse_yaml(f"key: {text}\n", "params.yaml")
    with pytest.raises(UserError, match=r"^params\.yaml, line \d, column \d+: .*: correct the line, or ."):
        parse(f"key: {text}\n", "params.yaml")


def held(folder: Path, name: str) -> None:
    """A git repository that holds the file."""
    for command in (["init", "-q"], ["add", name], ["-c", "user.name=t", "-c", "user.email=t@x", "commit", "-qm", "x"]):
        subprocess.run(["git", *command], cwd=folder, check=True)


def test_what_helps_hangs_on_whether_git_has_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    anew = "no git repository holds one for this folder: `cohobate init FOLDER` writes dvc.yaml anew"
    with pytest.raises(UserError, match=f"there is no dvc.yaml in .*{anew}"):
        read_yaml(tmp_path / "dvc.yaml")
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    held(tmp_path, "dvc.yaml")
    (tmp_path / "dvc.yaml").write_text("[\n")
    with pytest.raises(UserError, match=r"correct the line, or `git checkout dvc.yaml` brings the committed one back"):
        read_yaml(tmp_path / "dvc.yaml")
    assert remedy("params.yaml").startswith("no git repository holds one"), "of this name"
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    assert remedy("dvc.yaml").startswith("no git repository holds one")


@pytest.mark.parametrize("content", [str, str.encode])
def test_what_a_merge_left_is_named_by_its_line(content: Callable[[str], Any]) -> None:
    text = "a: 1\n<<<<<<< HEAD\nb: 2\n=======\nb: 3\n>>>>>>> other\n"
    with pytest.raises(UserError, match=r"^params\.yaml, line 2: a merge left both sides here: keep one"):
        parse(content(text), "params.yaml")
    assert parse("a: '<<<<<<< '\n", "params.yaml") == {"a": "<<<<<<< "}


def test_the_table_holds_what_version_1_1_reads_otherwise() -> None:
    assert len({*PLAIN}) >= 80
    older = [
        text
        for text in PLAIN
        if typed(yaml.safe_load(f"key: {text}")["key"]) != typed(parse(f"key: {text}", "params.yaml")["key"])
    ]
    assert {"010", "0o10", "1:30", "yes", "on", "1e-3"} <= {*older}


@pytest.mark.parametrize("path", sorted([*ROOT.glob("*.yaml"), *presets.FOLDER.glob("*.yaml")]), ids=lambda p: p.name)
def test_our_own_files_are_what_they_are_to_dvc(path: Path) -> None:
    assert typed(read_yaml(path)) == typed(load_yaml(path))


@pytest.mark.parametrize("text", ["? [a]\n: x", "!!omap [a: 1]"])
def test_what_dvc_takes_for_something_that_we_do_not_have_is_refused(text: str) -> None:
    parse_yaml(text, "params.yaml")
    with pytest.raises(UserError, match=r"^params\.yaml, line 1"):
        parse(text, "params.yaml")


def outcome(read: Callable[[str, str], Any], text: str) -> Any:
    try:
        return typed(read(text, "params.yaml"))
    except Exception:
        return "refused"


@given(st.text("0123456789_.+-eExobafINinf:T~Z", min_size=1, max_size=7))
@settings(max_examples=1000, deadline=None)
def test_whatever_looks_like_a_number_is_what_it_is_to_dvc(text: str) -> None:
    for document in (f"key: {text}\n", f"[{text}]\n", f"{{{text}: 1}}\n"):
        assert outcome(parse, document) == outcome(parse_yaml, document)


@given(st.text("0123456789_.+-eExobaf:infNtrue~ \n'\"#&*!{}[],|>%@é\u2028", max_size=12))
@settings(max_examples=300, deadline=None)
def test_any_string_that_we_write_is_read_back_by_all(text: str) -> None:
    whole = {"value": text, "list": [text, 1e-5, 10, True, None, float("-inf")], text: 1}
    assert typed(parse(dump(whole), "x.yaml")) == typed(whole)
    assert typed(parse_yaml(dump(whole), "x.yaml")) == typed(whole)
    assert typed(yaml.safe_load(dump(whole))) == typed(whole)


@pytest.mark.parametrize(
    "text", ["010", "yes", "1e3", "0o10", "1:30", "~", "on", ".5", "1_000", "2001-01-01", "true", ""]
)
def test_a_string_that_looks_like_something_else_is_quoted(text: str) -> None:
    assert dump({"a": text}) == f"a: '{text}'\n"


@pytest.mark.parametrize("name", presets.names())
def test_what_a_preset_leaves_is_the_same_to_us_and_to_dvc(name: str) -> None:
    text = presets.apply((ROOT / "params.yaml").read_text(), name)
    assert typed(parse(text, "params.yaml")) == typed(parse_yaml(text, "params.yaml"))


def test_a_name_that_looks_like_a_number_survives_a_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    strings = ["010", "yes", "1e3", "0o10", "~", "1_000", ".5"]
    monkeypatch.setattr(presets, "FOLDER", tmp_path)
    (tmp_path / "odd.yaml").write_text("# Odd.\n" + dump({"data": {"names": strings, "size": 10, "lr": 1e-5}}))
    text = presets.apply("data: {size: 8}\n", "odd")
    assert parse(text, "params.yaml")["data"] == {"size": 10, "names": strings, "lr": 1e-5}
    assert typed(parse(text, "params.yaml")) == typed(parse_yaml(text, "params.yaml"))
