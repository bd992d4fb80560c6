"""What the proxy says itself is an answer like any other of the dialect."""

from __future__ import annotations

import orjson
import pytest
from support.cranked import posted

from proxy.degrading import Speaker
from proxy.dialects.anthropic_messages import AnthropicMessages
from proxy.dialects.base import Dialect
from proxy.dialects.ollama import Ollama
from proxy.dialects.openai_chat import OpenAIChat
from proxy.dialects.openai_responses import OpenAIResponses
from proxy.model.message import Head, Headers
from proxy.model.query import Form, Query, Sealed

TEXT = "Back in\n„five“ minutes."
USER = [{"role": "user", "content": "Why?"}]


@pytest.mark.parametrize(
    ("dialect", "asked"),
    [
        (OpenAIChat(), {"messages": USER}),
        (OpenAIChat(), {"messages": USER, "stream_options": {"include_usage": True}}),
        (OpenAIChat(), {"prompt": "Why?"}),
        (OpenAIResponses(), {"input": "Why?"}),
        (AnthropicMessages(), {"messages": USER, "max_tokens": 9}),
        (Ollama(), {"messages": USER}),
        (Ollama(), {"prompt": "Why?"}),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_it_is_whole_in_either_form(dialect: Dialect, asked: dict, stream: bool) -> None:
    path = {"prompt": "/api/generate", "messages": "/api/chat"} if dialect.name == "ollama" else {}
    body = orjson.dumps({"model": "m", "stream": stream, **asked})
    query = dialect.read(posted(body, path=path.get(next(iter(asked)), "/v1/chat")), body)
    assert isinstance(query, Query)
    assert isinstance(dialect, Speaker)
    document = dialect.speak(TEXT, query, 1_800_000_000)
    whole = Sealed(Form(), document)
    rendered = dialect.render(whole, query.form)
    assert rendered is not None
    assert orjson.dumps(TEXT)[1:-1] in rendered.body
    form = query.form if stream else Form()
    ok = Head(200, "OK", Headers([("Content-Type", rendered.content_type or "application/json")]))
    assert isinstance(dialect.seal(ok, rendered.body, form), Sealed)
