from __future__ import annotations

import struct
from math import inf, isnan, nan
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from support.traced import NONE, RECORDING, label, row, written

from proxy.observe import trace
from proxy.observe.trace import Block, Facts, Row, TraceError, TraceFile

FRONT = len(trace.front(RECORDING))

shares = st.floats(0, 1e6, width=32) | st.just(nan) | st.just(inf)
facts = st.builds(
    Facts,
    *(st.integers(0, 2**64 - 1),) * 2,
    *(st.integers(0, 2**32 - 1),) * 2,
    *(shares,) * 13,
)
rows = st.lists(
    st.builds(
        Row,
        st.floats(0, 4e9).map(lambda at: round(at, 6)),
        st.floats(0, 1000, width=32),
        st.tuples(*(st.text(max_size=5),) * 8).map(lambda words: trace.Kind(*words)),
        *(st.integers(0, 2**64 - 1),) * 3,
        st.integers(0, 2**32 - 1),
        facts,
    ),
    max_size=8,
)


def like(one: float, other: float) -> bool:
    """Whether they are equal, where no number is like another."""
    return (
        one == other
        or (isnan(one) and isnan(other))
        or abs(one - other) <= 3.1e-5 * abs(one) + 1e-30
    )


@given(rows)
@settings(max_examples=40, deadline=None)
def test_what_was_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, made: list[Row]
) -> None:
    path = written(tmp_path_factory.mktemp("t") / "t.sct", made, dropped=3, others={"bypass": 2})

    (block,) = TraceFile(path)

    assert (block.dropped, block.others) == (3, {"bypass": 2})
    assert len(block.rows) == len(made)
    for was, now in zip(made, block.rows, strict=True):
        assert now.at == pytest.approx(was.at, abs=2e-6)
        assert now.took == was.took
        assert now[2:7] == was[2:7]
        assert now.facts[:4] == was.facts[:4]
        assert all(map(like, was.facts[4:], now.facts[4:]))


def test_labels_are_read_again(tmp_path: Path) -> None:
    labels = [label(0.8, wrong=True), label(0.91, wrong=False, weight=20.0, served=True)]
    (block,) = TraceFile(written(tmp_path / "t.sct", [], labels))
    assert list(block.labels) == labels


def test_a_trace_is_small(tmp_path: Path) -> None:
    many = [row(str(n % 300), n / 7, "HIT", age=n / 3, ttl=60 - n % 50) for n in range(4000)]
    assert written(tmp_path / "t.sct", many).stat().st_size < 30 * len(many)


# -- what is no trace -------------------------------------------------------------------------


def test_another_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"GIF89a, and then some more bytes")
    with pytest.raises(
        TraceError, match=r"is no trace: name a file that `recording\.file` has made"
    ):
        TraceFile(tmp_path / "x")


def test_another_version_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = written(tmp_path / "t.sct", [])
    path.write_bytes(path.read_bytes().replace(b"\x89Sct\x01", b"\x89Sct\x02", 1))
    with pytest.raises(
        TraceError, match="of format 2, and this version of sidecache reads format 1"
    ):
        TraceFile(path)


def three(tmp_path: Path) -> tuple[Path, list[bytes]]:
    blocks = [trace.encode(Block([row(f"k{n}", n)])) for n in range(3)]
    path = tmp_path / "t.sct"
    path.write_bytes(trace.front(RECORDING) + b"".join(blocks))
    return path, blocks


def read(path: Path) -> tuple[list[float], int]:
    """When the requests came that can be read, and how many blocks cannot."""
    file = TraceFile(path)
    return [each.at - 1e9 for block in file for each in block.rows], file.unreadable


def test_a_block_that_was_altered_is_left_out_and_the_others_are_read(tmp_path: Path) -> None:
    path, blocks = three(tmp_path)
    content = bytearray(path.read_bytes())
    content[FRONT + len(blocks[0]) + len(blocks[1]) // 2] ^= 1
    path.write_bytes(content)
    assert read(path) == ([0, 2], 1)


def test_a_file_that_was_cut_short_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path, _ = three(tmp_path)
    content = path.read_bytes()
    for cut in (1, 40, 200):
        path.write_bytes(content[:-cut])
        assert read(path) == ([0, 1], 1)


def test_rubbish_between_blocks_is_skipped(tmp_path: Path) -> None:
    path, blocks = three(tmp_path)
    rubbish = b"\xf5Sctbl" + bytes(100_000)
    path.write_bytes(trace.front(RECORDING) + blocks[0] + rubbish + blocks[1])
    assert read(path) == ([0, 1], 1)


def sealed(payload: bytes) -> bytes:
    """A block of ``payload`` with a right checksum."""
    return trace._HEAD.pack(trace._MARK, len(payload), trace._checksum(payload)) + payload


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x02\0\0\0{}",
        b"\xff\xff\xff\xff{}",
        b'\x0b\0\0\0{"rows":-1}',
        b'\x0d\0\0\0{"rows":9999}',
        struct.pack("<I", 11) + b'{"rows": 1}' + bytes(9),
        struct.pack("<I", 63)
        + b'{"rows":0,"kinds":[[]],"scopes":[],"labels":[],"others":{},"d":0}'[:63],
    ],
)
def test_what_nobody_wrote_is_left_out(tmp_path: Path, raw: bytes) -> None:
    path, blocks = three(tmp_path)
    odd = sealed(zstandard.ZstdCompressor().compress(raw))
    path.write_bytes(trace.front(RECORDING) + odd + blocks[0])
    assert read(path) == ([0], 1)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path, blocks = three(tmp_path)
    bomb = sealed(zstandard.ZstdCompressor().compress(bytes(10**8)))
    path.write_bytes(trace.front(RECORDING) + bomb + blocks[2])
    assert read(path) == ([2], 1)


def test_an_index_beyond_its_table_is_left_out(tmp_path: Path) -> None:
    raw = zstandard.ZstdDecompressor().decompress(trace.encode(Block([row("k", 1)]))[28:])
    (length,) = struct.unpack_from("<I", raw)
    start = 4 + length + 12  # of the kind in the row
    altered = raw[:start] + b"\x07\0" + raw[start + 2 :]
    path = tmp_path / "t.sct"
    path.write_bytes(trace.front(RECORDING) + sealed(zstandard.ZstdCompressor().compress(altered)))
    assert read(path) == ([], 1)
    assert NONE.sent == 0
