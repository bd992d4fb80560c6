from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.calling import Question
from proxy.warming.questions import Reader

JSON = ("Content-Type", "application/json")
CHAT = "/v1/chat/completions"


def line(said: Any) -> bytes:
    return json.dumps(said).encode()


def read(said: Any, **chosen: Any) -> Question:
    return Reader(**chosen).read(said if isinstance(said, bytes) else line(said))


def test_a_whole_request_is_asked_as_it_stands() -> None:
    said = {"path": "/a?b=ü", "headers": {"X-A": "1", "Host": "x"}, "body": {"b": 1.0}}
    assert read(said) == Question("POST", "/a?b=%C3%BC", (("X-A", "1"), JSON), b'{"b":1.0}')
    assert read({"path": "/a"}) == Question("GET", "/a", (), b"")
    assert read({"path": "/a", "method": "head"}).method == "HEAD"


def test_a_body_that_is_a_text_is_sent_to_the_letter() -> None:
    said = {"path": "/a", "headers": {"content-type": "text/plain"}, "body": "{ }"}
    assert read(said) == Question("POST", "/a", (("content-type", "text/plain"),), b"{ }")


def test_a_line_of_a_batch_is_asked_at_once() -> None:
    body = {"model": "m", "messages": []}
    for url in (CHAT, f"https://api.openai.com{CHAT}"):
        said = {"custom_id": "1", "method": "POST", "url": url, "body": body}
        assert read(said) == Question("POST", CHAT, (JSON,), line(body).replace(b" ", b""))


@pytest.mark.parametrize(
    ("body", "path", "asked_at"),
    [
        ({"model": "m", "messages": []}, None, CHAT),
        ({"model": "m", "prompt": "x"}, None, "/v1/completions"),
        ({"model": "m", "input": "x"}, "/v1/embeddings", "/v1/embeddings"),
        ({"model": "m", "messages": []}, "/v1/messages", "/v1/messages"),
    ],
)
def test_a_body_goes_where_such_bodies_go(body: Any, path: str | None, asked_at: str) -> None:
    question = read(body, path=path)
    assert (question.method, question.path) == ("POST", asked_at)
    assert json.loads(question.body) == body


@pytest.mark.parametrize(
    "said", [{"question": 'Why "x"?'}, 'Why "x"?', b'  Why "x"?\r\n', b'\xef\xbb\xbfWhy "x"?']
)
def test_bare_words_are_put_into_a_body(said: Any) -> None:
    asked = read(said, model="m")
    assert asked.path == CHAT
    assert json.loads(asked.body) == {
        "model": "m", "messages": [{"role": "user", "content": 'Why "x"?'}],
    }  # fmt: skip


def test_words_that_begin_with_a_quote_are_words() -> None:
    asked = read(b'"To be", says who?', model="m", path="/v1/completions")
    assert json.loads(asked.body) == {"model": "m", "prompt": '"To be", says who?'}


def test_a_template_is_filled_wherever_it_is_marked() -> None:
    template = {"model": "m", "n": 1, "messages": [{"role": "system", "content": "S"},
                {"role": "user", "content": "Q: {question}!"}]}  # fmt: skip
    asked = read(b"Why?", template=template, path="/v1/messages")
    assert asked.path == "/v1/messages"
    assert json.loads(asked.body)["messages"][1]["content"] == "Q: Why?!"
    assert json.loads(asked.body)["messages"][0]["content"] == "S"
    with pytest.raises(ValueError, match=r"no \{question\} in it"):
        Reader(template={"model": "m"})


@pytest.mark.parametrize(
    ("said", "chosen", "says"),
    [
        (b"{", {}, "no JSON"),
        (b"\xff", {"model": "m"}, "not UTF-8"),
        (b"Why?", {}, "bare words need --model"),
        (b"Why?", {"model": "m", "path": "/v1/messages"}, "Say so by --template"),
        ({"model": "m", "input": "x"}, {}, "Say so by --path"),
        ({"answer": 42}, {}, "it is no question"),
        ({"path": "/a", "hdrs": {}}, {}, "a question has no 'hdrs'"),
        ({"question": "x", "model": "m"}, {}, "a question has no 'model'"),
        ({"path": "a"}, {}, "must begin with one slash"),
        ({"path": "//evil"}, {}, "must begin with one slash"),
        ({"path": "/a", "method": "DELETE"}, {}, "DELETE is nothing to be asked ahead"),
        ({"path": "/a", "headers": []}, {}, "must be an object"),
        ({"path": "/a", "headers": {"a:b": "c"}}, {}, "a header with a name that is none"),
        ({"path": "/a", "headers": {"A": "b\r\nC: d"}}, {}, "a value that cannot be sent"),
        ({"url": "chat", "body": {}}, {}, "neither a path nor a URL"),
    ],
)
def test_what_is_no_question_is_told(said: Any, chosen: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read(said, **chosen)


def test_a_list_is_no_question() -> None:
    with pytest.raises(ValueError, match="bare words"):
        read(b"[1]")
