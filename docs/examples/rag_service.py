"""A RAG service with a protocol of its own: POST /ask, streamed or not, GET /search, GET /version.

Run it by ``python docs/examples/rag_service.py``; it listens on 127.0.0.1:8000.
"""

import json
import re

from aiohttp import web

STATE = web.AppKey("state", dict)
DOCUMENTS = {
    "handbook": "Holidays must be asked for two weeks before they begin.",
    "travel": "Trains are paid for, flights need the consent of the head of travel.",
    "kitchen": "The coffee machine is cleaned on Fridays.",
}


def retrieve(documents: dict[str, str], question: str) -> list[dict[str, str]]:
    """The documents that share a longer word with the question."""
    words = set(re.findall(r"\w{5,}", question.lower()))
    found = [name for name in documents if words & set(documents[name].lower().split())]
    return [{"id": name, "text": documents[name]} for name in found]


async def ask(request: web.Request) -> web.StreamResponse:
    """Answer {"question": ..., "stream": true or false}."""
    state, asked = request.app[STATE], await request.json()
    state["asked"].append(asked["question"])
    found = retrieve(state["documents"], asked["question"])
    answer, sources = " ".join(each["text"] for each in found), [{"id": f["id"]} for f in found]
    if not asked.get("stream"):
        return web.json_response({"answer": answer, "sources": sources})
    reply = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await reply.prepare(request)
    words = [{"answer": f"{word} "} for word in answer.split()]
    for event in [{"sources": sources}, *words, {"done": True}]:
        await reply.write(f"data: {json.dumps(event)}\n\n".encode())
    return reply


async def search(request: web.Request) -> web.Response:
    """The documents for ?q=..."""
    state, question = request.app[STATE], request.query["q"]
    state["asked"].append(question)
    return web.json_response({"results": retrieve(state["documents"], question)})


async def version(request: web.Request) -> web.Response:
    """Of the index: counted up whenever all of it is made anew."""
    return web.json_response({"version": request.app[STATE]["version"]})


service = web.Application()
service[STATE] = {"asked": [], "documents": dict(DOCUMENTS), "version": 1}
service.add_routes(
    [web.post("/ask", ask), web.get("/search", search), web.get("/version", version)]
)
if __name__ == "__main__":
    web.run_app(service, host="127.0.0.1", port=8000)
