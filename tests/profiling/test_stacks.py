"""Profiles: read, put together, and drawn."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest

from proxy.profiling.flame import flame_graph
from proxy.profiling.stacks import Profile, folded, read, speedscope

RAW = """\
thread (11): MainThread;<module> (a.py);run (uvloop/__init__.py);get (proxy/tiers/ladder.py) 30
thread (11): MainThread;<module> (a.py);run (uvloop/__init__.py);get (proxy/tiers/ladder.py) 10
thread (11): MainThread;<module> (a.py);run (uvloop/__init__.py) 20
thread (0x1f): disk;read (proxy/lane.py) 5
thread (12): ;who (b.py) 1
py-spy> something it says
"""


def test_equal_stacks_are_put_together() -> None:
    profile = read(RAW, 1.0, 100)
    assert profile.busy == 66
    assert profile.idle == 40
    assert folded(profile).splitlines() == [
        "MainThread;<module> (a.py);run (uvloop/__init__.py) 20",
        "MainThread;<module> (a.py);run (uvloop/__init__.py);get (proxy/tiers/ladder.py) 40",
        "a thread;who (b.py) 1",
        "disk;read (proxy/lane.py) 5",
    ]


def test_of_what_is_not_understood_nothing_is_told() -> None:
    assert read("nonsense\nthread (1): MainThread;f (x.py) many\n", 1.0, 10) == Profile(
        {}, 1.0, 10, 10
    )


def test_speedscope_gets_frames_once_and_weights_in_seconds() -> None:
    told = json.loads(speedscope(read(RAW, 1.0, 100), "sidecache"))
    frames = [frame["name"] for frame in told["shared"]["frames"]]
    assert len(frames) == len(set(frames)) == 8
    (profile,) = told["profiles"]
    assert profile["endValue"] == pytest.approx(sum(profile["weights"])) == pytest.approx(0.66)
    assert [frames[at] for at in profile["samples"][3]] == ["disk", "read (proxy/lane.py)"]


def test_the_image_is_well_formed_whatever_functions_are_called() -> None:
    nasty = 'thread (1): MainThread;<script>alert(1)</script> (x&y".py);<lambda> (z.py) 99\n'
    image = flame_graph(read(nasty, 1.0, 100), "What <b>it</b> does")
    root = ET.fromstring(image)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    kinds = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert kinds == {"svg", "title", "style", "rect", "text", "g"}  # no script, no image, no link
    names = {element.text for element in root.iter("{http://www.w3.org/2000/svg}title")}
    assert '<script>alert(1)</script> (x&y".py): 99.0 %, 99 samples' in names
    assert "What <b>it</b> does" in names
    assert "waiting for something to do: 1.0 %, 1 samples" in names


def test_boxes_are_as_wide_as_their_share_and_stand_on_their_callers() -> None:
    image = flame_graph(read(RAW, 1.0, 100), "all")
    svg = "{http://www.w3.org/2000/svg}"
    boxes = {}
    for group in ET.fromstring(image).iter(f"{svg}g"):
        title, box = group.find(f"{svg}title"), group.find(f"{svg}rect")
        assert title is not None
        assert box is not None
        boxes[str(title.text).split(":")[0]] = {
            name: float(box.attrib[name]) for name in ("x", "y", "width")
        }
    whole, get = boxes["all that was done"], boxes["get (proxy/tiers/ladder.py)"]
    assert get["width"] / whole["width"] == pytest.approx(40 / 106, abs=0.01)
    run = boxes["run (uvloop/__init__.py)"]
    assert run["y"] > get["y"]
    assert run["x"] <= get["x"] < get["x"] + get["width"] <= run["x"] + run["width"] + 0.2


def test_what_was_seen_too_seldom_to_be_drawn_is_left_out() -> None:
    image = flame_graph(Profile({("t", "rare"): 1, ("t", "common"): 100_000}, 1, 100, 0), "all")
    assert "rare" not in image
    assert "common" in image


def test_a_profile_of_nothing_is_an_image_too() -> None:
    ET.fromstring(flame_graph(Profile({}, 1, 100, 0), "nothing"))
