"""Errors: each says whose fault it is and which status it becomes."""

from __future__ import annotations

import pytest

from proxy.model import errors
from proxy.model.errors import RequestError, SidecacheError, UpstreamError

ALL = [
    each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, SidecacheError)
]


def test_a_clients_error_carries_its_status_and_a_sentence_for_the_client() -> None:
    error = RequestError(413, "The body is too long.")
    assert error.status == 413
    assert str(error) == "The body is too long."


@pytest.mark.parametrize("error", [each for each in ALL if issubclass(each, UpstreamError)])
def test_an_upstreams_error_has_a_gateways_status_and_a_token_of_its_own_kind(
    error: type[UpstreamError],
) -> None:
    # What one caller asks too much of is his own doing.
    assert error.status in ({429} if error is errors.ShareExceeded else {502, 503, 504, 508})
    assert (error.status == 504) == ("timeout" in error.token)
    assert error.token.replace("_", "").isalpha()


def test_what_promises_that_nothing_was_sent_is_told_apart_by_its_class() -> None:
    assert issubclass(errors.ConnectTimeout, errors.ConnectFailed)
    sent = (errors.NoReply, errors.FirstByteTimeout, errors.BrokenReply, errors.ProtocolViolation)
    assert not any(issubclass(each, errors.ConnectFailed) for each in sent)
