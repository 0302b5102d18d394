"""docs/web.md has every path. `python -m tests.unit.test_web_docs` writes it."""

from __future__ import annotations

from havrrpd.views.web.openapi import OPERATIONS
from tests.written import Page

PAGE = Page("web.md", "every path")


def tables() -> str:
    lines = ["| path | what it is | answers | on |", "|---|---|---|---|"]
    for (method, path), operation in OPERATIONS.items():
        codes = ", ".join(str(code) for code in operation.answers)
        where = "TCP and the Unix socket" if method == "GET" else "the Unix socket"
        lines.append(f"| `{method} {path}` | {operation.summary} | {codes} | {where} |")
    return "\n".join([*lines, ""])


def test_the_page_has_every_path() -> None:
    PAGE.must_be_current(tables())


if __name__ == "__main__":
    PAGE.write(tables())
