"""/openapi.json: every path of the app that is asked, every answer, every field (OpenAPI 3.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from havrrpd.core.history import PER_NODE
from havrrpd.views import documents
from havrrpd.views.history import DEFAULT_LIMIT

Json = dict[str, Any]

_DOCUMENTS = (
    documents.NodeStatus,
    documents.ExplainedRouter,
    documents.HistoryStatus,
    documents.NodeHead,
    documents.RouterRemoved,
    documents.Health,
    documents.Readiness,
    documents.Ordered,
    documents.Error,
)
_TEXT = {"type": "string"}


@dataclass(frozen=True, slots=True)
class _Operation:
    """What one method of one path does. `answers`: status -> description and content."""

    summary: str
    answers: Mapping[int, tuple[str, Json]]
    query: Sequence[Json] = ()


def _json(*kinds: type) -> Json:
    refs = [{"$ref": f"#/components/schemas/{kind.__name__}"} for kind in kinds]
    return {"application/json": {"schema": refs[0] if len(refs) == 1 else {"anyOf": refs}}}


def _text(*content_types: str) -> Json:
    return {content_type: {"schema": _TEXT} for content_type in content_types}


_ERROR = _json(documents.Error)
_UNKNOWN = ("No router of this name is on this node.", _ERROR)
_TAKEN = ("The order is taken; /status shows what comes of it.", _json(documents.Ordered))
_REFUSED = ("It can't be done now; the text says why.", _ERROR)


def _query(name: str, description: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "description": description, "schema": schema}


_HISTORY_QUERY = (
    _query("router", "Of this router only; also of one that is gone.", {"type": "string"}),
    _query(
        "limit",
        "At most so many.",
        {"type": "integer", "minimum": 1, "maximum": PER_NODE, "default": DEFAULT_LIMIT},
    ),
    _query("since", "None from before.", {"type": "string", "format": "date-time"}),
)

OPERATIONS: Mapping[tuple[str, str], _Operation] = {
    ("GET", "/"): _Operation("The page for people.", {200: ("HTML.", _text("text/html"))}),
    ("GET", "/page/{version}/{file}"): _Operation(
        "A style sheet, a module or the icon of the page.",
        {
            200: ("The part.", _text("text/css", "text/javascript", "image/svg+xml")),
            404: ("The page of this havrrpd has no such part.", _ERROR),
        },
    ),
    ("GET", "/status"): _Operation(
        "The node with all its routers.", {200: ("The node.", _json(documents.NodeStatus))}
    ),
    ("GET", "/status/{router}"): _Operation(
        "One router, explained.",
        {200: ("The router.", _json(documents.ExplainedRouter)), 404: _UNKNOWN},
    ),
    ("GET", "/history"): _Operation(
        "The last transitions of this node, the newest first.",
        {
            200: ("They, with their causes and evidence.", _json(documents.HistoryStatus)),
            400: ("The query can't be understood; the text says why. Or no HTTP.", _ERROR),
            404: ("Nothing is known of a router of this name.", _ERROR),
        },
        _HISTORY_QUERY,
    ),
    ("GET", "/events"): _Operation(
        "What changes, as server-sent events, until the client leaves. Open it first, then read "
        "/status and /history: so nothing is missed.",
        {
            200: (
                "`node` (data: NodeHead) at first and when it changed, `router` (RouterStatus), "
                "`router_removed` (RouterRemoved), `transition` (TransitionStatus); a comment "
                "every 15 seconds when there is nothing else.",
                _text("text/event-stream"),
            )
        },
    ),
    ("GET", "/metrics"): _Operation(
        "The node for Prometheus, in the format that Accept asks for.",
        {200: ("The metrics.", _text("text/plain", "application/openmetrics-text"))},
    ),
    ("GET", "/-/healthy"): _Operation(
        "Whether every source makes progress.",
        {
            200: ("All do.", _json(documents.Health)),
            503: ("Some do not.", _json(documents.Health, documents.Error)),
        },
    ),
    ("GET", "/-/ready"): _Operation(
        "Whether everything that runs was looked at once.",
        {
            200: ("It was.", _json(documents.Readiness)),
            503: ("Not yet.", _json(documents.Readiness, documents.Error)),
        },
    ),
    ("GET", "/openapi.json"): _Operation(
        "This document.", {200: ("OpenAPI.", {"application/json": {"schema": {"type": "object"}}})}
    ),
    ("POST", "/failover/{router}"): _Operation(
        "Give the router to another node.", {202: _TAKEN, 404: _UNKNOWN, 409: _REFUSED}
    ),
    ("POST", "/drain"): _Operation(
        "Give every router away, and take none until undrain.", {202: _TAKEN, 409: _REFUSED}
    ),
    ("POST", "/undrain"): _Operation("Take part in elections again.", {202: _TAKEN, 409: _REFUSED}),
    ("POST", "/reload"): _Operation(
        "Read the configuration again: whole, or not at all.",
        {202: _TAKEN, 422: ("It has problems; the text names every one.", _ERROR)},
    ),
}

_TO_ANYBODY = {
    400: "No HTTP.",
    408: "The request took too long to come.",
    413: "The request has a body.",
    414: "The path is too long.",
    429: "Too many requests or connections from one address; try again a second later.",
    431: "The headers are too large.",
    500: "A bug in havrrpd; its log tells more.",
    503: "Too many connections; try again a second later.",
}
_UNAUTHORIZED = {401: "User and password are needed, or are wrong."}

_PARAMETERS = {
    "router": "The id of a router, as /status has it.",
    "version": "As the page has it.",
    "file": "As the page has it.",
}


def document(version: str, routes: Iterable[tuple[str, str]], *, with_users: bool) -> Json:
    """`routes`: methods and paths. Raises KeyError when one is not described here."""
    paths: dict[str, Json] = {}
    for method, path in sorted(routes):
        described = "GET" if method == "HEAD" else method
        operation = OPERATIONS[described, path]
        paths.setdefault(path, {})[method.lower()] = _operation(
            operation, path, is_head=method == "HEAD", with_users=with_users
        )
    whole: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": "havrrpd",
            "version": version,
            "description": "One node's virtual routers, supervised beside keepalived.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": _schemas()},
    }
    if with_users:
        whole["components"]["securitySchemes"] = {"basic": {"type": "http", "scheme": "basic"}}
        whole["security"] = [{"basic": []}]
    return whole


def _operation(operation: _Operation, path: str, *, is_head: bool, with_users: bool) -> Json:
    errors = _TO_ANYBODY | (_UNAUTHORIZED if with_users else {})
    all_answers = {status: (text, _ERROR) for status, text in errors.items()}
    all_answers |= operation.answers
    answers = {
        str(status): {"description": text} | ({} if is_head else {"content": content})
        for status, (text, content) in sorted(all_answers.items())
    }
    described: Json = {"summary": operation.summary, "responses": answers}
    named = [_parameter(name) for name in _PARAMETERS if f"{{{name}}}" in path]
    if parameters := [*named, *operation.query]:
        described["parameters"] = parameters
    return described


def _parameter(name: str) -> Json:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": _PARAMETERS[name],
        "schema": {"type": "string", "minLength": 1},
    }


def _schemas() -> Json:
    """Those of the documents and of what they are made of. None has a field that is not there."""
    template = "#/components/schemas/{name}"
    _, schemas = msgspec.json.schema_components(_DOCUMENTS, ref_template=template)
    for schema in schemas.values():
        if schema.get("type") == "object":
            schema["additionalProperties"] = False
    return schemas
