from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.config import render
from proxy.config.document import parse_yaml
from proxy.config.load import load
from proxy.config.outline import Kind, outline
from proxy.config.settings import Settings

ROOT = Path(__file__).parents[2]


def resolved(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """``schema`` itself, its reference followed."""
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema


@pytest.mark.parametrize(
    ("file", "made"),
    [
        ("config/sidecache.yaml", render.example),
        ("config/schema.json", render.schema),
        ("docs/configuration.md", render.reference),
    ],
)
def test_what_is_made_from_the_settings_is_up_to_date(file: str, made) -> None:
    written = (ROOT / file).read_text(encoding="utf-8")
    assert written == made(), f"run: sidecache schema --format ... > {file}"


def test_the_example_holds_exactly_the_defaults() -> None:
    file = ROOT / "config/sidecache.yaml"
    assert load(file).settings == Settings()


def test_the_example_leaves_no_setting_out() -> None:
    given = load(ROOT / "config/sidecache.yaml").sources
    missing = [
        s.name for s in outline() if s.kind is not Kind.SECTION and "*" not in s.path
        and not any(place[: len(s.path)] == s.path for place in given)
    ]  # fmt: skip
    assert missing == []


def test_the_example_is_read_alike_by_other_readers_of_yaml() -> None:
    text = render.example()
    assert yaml.safe_load(text) == parse_yaml(text, "x")[0]


def test_the_example_names_its_schema() -> None:
    first = render.example().splitlines()[0]
    assert first == "# yaml-language-server: $schema=schema.json"
    assert (ROOT / "config/schema.json").exists()


def required(group: tuple[str, ...]) -> dict[str, Any]:
    """What an item of a list of groups must have, with values that will do."""
    there: dict[str, Any] = {}
    for each in outline():
        if each.is_required and each.path[:-1] == group:
            name = each.path[-1]
            value = "http://h" if name == "url" else f"/{name}"
            there[name] = [value] if each.kind is Kind.LIST else value
    return there


def test_the_examples_among_the_comments_can_be_used() -> None:
    for setting in outline():
        for example in setting.field.examples or ():
            tree: Any = example
            for at, step in reversed(list(enumerate(setting.path))):
                tree = [required(setting.path[: at + 1]) | tree] if step == "*" else {step: tree}
            if not setting.path[-1].endswith("_file"):  # that one needs the file
                Settings.model_validate(tree)


def test_the_schema_describes_every_setting_and_refuses_unknown_ones() -> None:
    schema = json.loads(render.schema())
    for setting in outline():
        node = schema
        for step in setting.path:
            if step == "*":
                node = resolved(node["items"], schema)
                continue
            node = resolved(node, schema)
            assert node["additionalProperties"] is False
            node = node["properties"][step]
        assert node.get("description") or resolved(node, schema)["description"]


def test_the_settings_in_force_can_be_used_as_a_file(tmp_path: Path) -> None:
    first = tmp_path / "first.yaml"
    first.write_text(
        """\
listen: "[::1]:8080"
upstreams:
  - url: http://a:1/x
    prefix: /a
    id: a
  - url: http://b:1
    tls: {server_name: "a # b"}
cache:
  inert_fields: ["a, b", "c: d", "# e", 'f"g']
  rules:
    - {model: "gpt-*", ttl_s: 5m, max_entry_bytes: 1KiB, enabled: false}
    - {path: "/é*"}
downstream: {limits: {max_body_bytes: 5MiB}, forwarded: off}
"""
    )
    loaded = load(first)
    second = tmp_path / "second.yaml"
    second.write_text(render.effective(loaded))
    assert load(second).settings == loaded.settings


def test_the_settings_in_force_say_who_gave_what_is_not_a_default(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("upstreams:\n  - url: http://a:1\ncache:\n  rules: [{ttl_s: 5}]\n")
    environ = {"SIDECACHE_L1_MEMORY__MAX_BYTES": "1GiB", "SIDECACHE_CACHE__INERT_FIELDS": "a,b"}
    lines = render.effective(load(file, environ)).splitlines()
    assert f'  - url: "http://a:1"  # {file}:2' in lines
    assert f"      ttl_s: 5  # {file}:4" in lines
    assert "  max_bytes: 1GiB  # SIDECACHE_L1_MEMORY__MAX_BYTES" in lines
    assert '  inert_fields: ["a", "b"]  # SIDECACHE_CACHE__INERT_FIELDS' in lines
    assert len([line for line in lines if "#" in line]) == 4


def test_the_settings_in_force_show_no_secret() -> None:
    environ = {
        "SIDECACHE_ADMIN__TOKEN": "hunter2hunter2hunter2",
        "SIDECACHE_CACHE__SCOPE__SECRET": "hunter2hunter2hunter2",
        "SIDECACHE_UPSTREAMS": '[{"url":"http://h","set_headers":{"x-key":"hunter2hunter2"}}]',
    }
    shown = render.effective(load(None, environ))
    assert "hunter2" not in shown
    assert shown.count("**********") == 3


def test_the_reference_tells_of_every_setting() -> None:
    page = render.reference()
    for setting in outline():
        if setting.section is None:
            assert f"| `{setting.path[-1]}` |" in page
        else:
            assert f"## {'.'.join(setting.path).replace('*', 'N')}" in page
