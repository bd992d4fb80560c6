from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.document import Unreadable, parse_yaml, read


def faults_of(path: Path) -> list[str]:
    with pytest.raises(Unreadable) as unreadable:
        read(path)
    return [str(fault) for fault in unreadable.value.faults]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None), ("5", 5),
        ("-5", -5), ("1.5", 1.5), ("1e3", 1000.0), (".5", 0.5), ("'5'", "5"),
        # what YAML 1.1 would have made something else of
        ("off", "off"), ("no", "no"), ("on", "on"), ("y", "y"), ("80:30", "80:30"), ("010", "010"),
        ("0x10", "0x10"), ("1_000", "1_000"), ("2026-11-21", "2026-11-21"), ("=", "="),
        ("<<", "<<"), (".inf", ".inf"), (".nan", ".nan"),
    ],
)  # fmt: skip
def test_a_scalar_is_what_it_looks_like(written: str, meant: object) -> None:
    value, _lines = parse_yaml(f"it: {written}", "x")
    assert value == {"it": meant}
    assert type(value["it"]) is type(meant)  # type: ignore[index] # the line above shows it can


def test_every_key_and_item_has_its_line(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("a: 1\nb:\n  c: 2\n  d:\n    - e: 3\n    -\n      f: 4\n")
    document = read(file)
    assert document.tree == {"a": 1, "b": {"c": 2, "d": [{"e": 3}, {"f": 4}]}}
    assert document.lines == {
        ("a",): 1, ("b",): 2, ("b", "c"): 3, ("b", "d"): 4, ("b", "d", 0): 5,
        ("b", "d", 0, "e"): 5, ("b", "d", 1): 7, ("b", "d", 1, "f"): 7,
    }  # fmt: skip


def test_every_key_given_twice_is_told_with_both_lines(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("a: 1\nb: {c: 1, c: 2}\na: 2\n")
    assert faults_of(file) == [
        f"b.c ({file}:2): is given twice; first on line 2",
        f"a ({file}:3): is given twice; first on line 1",
    ]


def test_an_anchor_may_be_used_again(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("a: &x {b: 1}\nc: *x\n")
    assert read(file).tree == {"a": {"b": 1}, "c": {"b": 1}}


def test_an_anchor_that_contains_itself_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("a: &x [*x]\n")
    assert faults_of(file) == [f"{file}:1: is not YAML: an anchor that contains itself"]


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "null\n"])
def test_an_empty_file_says_nothing(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(text)
    assert read(file).tree == {}


@pytest.mark.parametrize("text", ["- a\n", "a\n", "5\n"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(text)
    assert faults_of(file) == [f"{file}: must be a mapping of names to values"]


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\ntoken: 'hunter2\n", "a: 1\n\ttoken: hunter2\n", "a: 1\n---\ntoken: hunter2\n",
        "a: !!python/object/apply:os.system ['hunter2']\n", "token: *hunter2\n", "a: hunter2\x07\n",
    ],
)  # fmt: skip
def test_broken_yaml_is_told_by_its_line_and_not_quoted(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(text)
    (fault,) = faults_of(file)
    assert fault.startswith(str(file))
    assert "is not YAML" in fault
    if "*" not in text:  # there it is the name of an anchor, no value
        assert "hunter2" not in fault


def test_toml_is_read_by_its_suffix(tmp_path: Path) -> None:
    file = tmp_path / "x.TOML"
    file.write_text('listen = "[::1]:1"\n[cache]\nttl_s = 5\n')
    assert read(file).tree == {"listen": "[::1]:1", "cache": {"ttl_s": 5}}


def test_broken_toml_is_told_by_its_line(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text("a = 1\na = 2\n")
    (fault,) = faults_of(file)
    assert "is not TOML" in fault
    assert "line 2" in fault


def test_a_file_that_cannot_be_read_is_told_why(tmp_path: Path) -> None:
    assert faults_of(tmp_path / "none") == [
        f"{tmp_path / 'none'}: cannot be read: No such file or directory"
    ]
    assert "Is a directory" in faults_of(tmp_path)[0]


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(b"a: \xff\n")
    assert faults_of(file) == [f"{file}: is not text in UTF-8"]
