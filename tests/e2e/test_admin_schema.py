"""What can be asked of the operator's listener is as /openapi.json says, whatever is sent.

Schemathesis makes requests from the document, right ones and wrong ones, and holds the answers
against it: no 5xx that is not described, no status, media type or body that is not.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from support.operated import TOKEN, operated
from support.proxied import Proxied
from support.redis_servers import needs_redis

pytestmark = needs_redis

TESTS = Path(__file__).parents[1]

# Left out: that all is taken that its schema allows. What must fit together (a purge of all has no
# value) is told in the answer, which is a 400.
HOOKS = "support.schemathesis_hooks"
PATHS = os.pathsep.join(str(folder) for folder in (TESTS, TESTS.parent))
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_headers_conformance", "response_schema_conformance", "negative_data_rejection",
    "missing_required_header", "unsupported_method", "ignored_auth",
)  # fmt: skip


async def conforms(proxy: Proxied, *words: str) -> tuple[int, str]:
    """How schemathesis ended, and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("schemathesis")), "run"),
        *(f"{proxy.admin_url}/openapi.json", "--checks", ",".join(CHECKS)),
        *("--header", f"Authorization: Bearer {TOKEN}"),
        *("--no-color", "--request-timeout", "70", "--generation-deterministic", *words),
        env=os.environ | {"SCHEMATHESIS_HOOKS": HOOKS, "PYTHONPATH": PATHS},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, said.decode()


@pytest.mark.timeout(120)
async def test_a_few_requests_of_each_kind_are_answered_as_is_documented(tmp_path: Path) -> None:
    """All but a profile, which takes its time, and a stream, which has no end."""
    async with operated(tmp_path) as proxy:
        status, said = await conforms(
            proxy, "--phases", "fuzzing", "--max-examples", "3", "--no-shrink",
            "--exclude-path", "/profile", "--exclude-path", "/live",
        )  # fmt: skip
    assert status == 0, said


@pytest.mark.heavy
@pytest.mark.timeout(900)
async def test_many_requests_of_all_kinds_are_answered_as_is_documented(tmp_path: Path) -> None:
    async with operated(tmp_path) as proxy:
        status, said = await conforms(
            proxy, "--max-examples", "30", "--max-time", "60", "--exclude-path", "/live"
        )
    assert status == 0, said
