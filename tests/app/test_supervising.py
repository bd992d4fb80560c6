"""What several processes have in common."""

from __future__ import annotations

from pathlib import Path

from proxy.app.supervising import _Inheritance
from proxy.config.load import Origin

SETTINGS = """
upstreams: [{url: "http://127.0.0.1:9"}]
workers: 2
listen: 127.0.0.1:0
admin: {enabled: false}
l2_disk: {enabled: %s}
"""


def test_a_new_edition_keeps_the_secret_unless_settings_say_another(tmp_path: Path) -> None:
    file = tmp_path / "sidecache.yaml"
    file.write_text(SETTINGS % "false")
    source = Origin(file)
    house = _Inheritance(source.load(), source, tmp_path)
    try:
        first = house._editions[1].secret
        file.write_text(SETTINGS % "false" + "pseudonym: renamed\n")
        assert house.renew(frozenset({1})).edition == 2
        assert house._editions[2].secret == first
        file.write_text(SETTINGS % f"true, directory: '{tmp_path / 'disk'}'")
        assert house.renew(frozenset({2})).edition == 3
        assert house._editions[3].secret == (tmp_path / "disk" / "secret").read_bytes()
        file.write_text(
            SETTINGS % "false" + "cache: {scope: {secret: a secret that is long enough}}\n"
        )
        assert house.renew(frozenset({3})).edition == 4
        assert house._editions[4].secret == source.load().settings.cache.scope.key
    finally:
        house._clients.close()
