"""The OpenAPI document of the operator's listener, made of what its endpoints say of themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from proxy.admin.endpoint import Endpoint, Problem

_REF: Final = "#/components/schemas/{model}"
_NAMED: Final = re.compile(r"\{(\w+)(?::[^}]*)?\}")
_JSON: Final = "application/json"

Document = dict[str, object]
_Mode = Literal["validation", "serialization"]


def document(endpoints: Iterable[Endpoint], *, version: str, token: bool) -> Document:
    """The document (OpenAPI 3.1.0), fit for JSON.

    Args:
        endpoints: all of them.
        version: of the proxy.
        token: whether one is needed.
    """
    described = list(endpoints)
    schemas, names = _schemas(described)
    paths: dict[str, Document] = {}
    for each in described:
        path = _NAMED.sub(r"{\1}", each.path)
        paths.setdefault(path, {})[each.method.lower()] = _operation(each, names, token=token)
    components: Document = {"schemas": schemas}
    if token:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sidecache, for its operator",
            "version": version,
            "description": "What the proxy tells of itself, and what can be changed as it runs.",
        },
        "paths": paths,
        "components": components,
    }


def _schemas(endpoints: list[Endpoint]) -> tuple[Document, Mapping[type[BaseModel], str]]:
    models: dict[type[BaseModel], _Mode] = {Problem: "serialization"}
    for each in endpoints:
        if each.takes_body:
            models[each.body] = "validation"
        models |= {m: "serialization" for m in each.answers.values() if not isinstance(m, str)}
    refs, top = models_json_schema(list(models.items()), ref_template=_REF)
    return top.get("$defs", {}), {m: str(refs[m, mode]["$ref"]) for m, mode in models.items()}


def _operation(each: Endpoint, names: Mapping[type[BaseModel], str], *, token: bool) -> Document:
    operation: Document = {
        "summary": each.summary,
        "operationId": _operation_id(each),
        "parameters": [*_in_path(each), *_in_query(each)],
        "responses": _responses(each, names, token=token),
    }
    if each.takes_body:
        schema = {"$ref": names[each.body]}
        operation["requestBody"] = {"required": True, "content": {_JSON: {"schema": schema}}}
    if each.takes:
        binary = {"type": "string", "format": "binary"}
        operation["requestBody"] = {"required": True, "content": {each.takes: {"schema": binary}}}
    if token:
        operation["security"] = [] if each.is_open else [{"token": []}]
    return operation


def _any_of(media_type: str) -> Document:
    return {} if media_type == _JSON else {"type": "string"}


def _operation_id(each: Endpoint) -> str:
    words = re.findall(r"\w+", _NAMED.sub(r"by_\1", each.path)) or ["root"]
    return "_".join([each.method.lower(), *words])


def _in_path(each: Endpoint) -> list[Document]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": each.named.get(name, {"type": "string"}),
        }
        for name in _NAMED.findall(each.path)
    ]


def _in_query(each: Endpoint) -> list[Document]:
    schema = _whole(each.query.model_json_schema())
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "description": said.get("description", ""),
            "schema": {key: value for key, value in said.items() if key != "description"},
        }
        for name, said in schema.get("properties", {}).items()
    ]


def _whole(schema: dict[str, Any]) -> dict[str, Any]:
    """``schema`` with what it refers to in its place: parameters have no room for definitions."""
    known = schema.pop("$defs", {})

    def filled(value: object) -> object:
        if isinstance(value, list):
            return [filled(each) for each in value]
        if not isinstance(value, dict):
            return value
        named = known.get(str(value.get("$ref", "")).rpartition("/")[2], {})
        whole = {**named, **value}
        return {key: filled(each) for key, each in whole.items() if key != "$ref"}

    return {key: filled(value) for key, value in schema.items()}


def _responses(each: Endpoint, names: Mapping[type[BaseModel], str], *, token: bool) -> Document:
    problem = {_JSON: {"schema": {"$ref": names[Problem]}}}
    usual = [421]
    if not each.is_open:
        usual += [403, 401, 429] if token else [403]
    usual.append(400)
    if each.takes_body:
        usual += [413, 415]
    if each.takes:
        usual.append(415)
    responses: dict[int, Document] = {
        status: {"description": HTTPStatus(status).phrase, "content": problem} for status in usual
    }
    for status, model in each.answers.items():
        content: Document
        if isinstance(model, str):
            content = {kind: {"schema": _any_of(kind)} for kind in model.split(", ") if kind}
        else:
            content = {_JSON: {"schema": {"$ref": names[model]}}}
        told: Document = {"description": HTTPStatus(status).phrase}
        responses[status] = told | ({"content": content} if content else {})
    return {str(status): told for status, told in sorted(responses.items())}
