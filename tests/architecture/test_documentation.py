"""Pages are found from the index, their links lead somewhere, and docs/api.md has every call."""

import re
from pathlib import Path

import pytest

from tests.architecture.test_openapi import operations
from tests.paths import ROOT

DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
LONGEST_README = 120
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def links(page: Path) -> list[str]:
    return [link for link in LINK.findall(CODE.sub("", page.read_text())) if "://" not in link]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page as GitHub makes them of headings, and those that it states."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = [heading.lower() for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)]
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings} | set(
        re.findall(r'<a id="([^"]+)">', text)
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_index_has_every_page() -> None:
    linked = {(DOCS / link.partition("#")[0]).resolve() for link in links(DOCS / "README.md")}

    assert {path for path in DOCS.glob("*.md") if path.name != "README.md"} <= linked


def test_the_list_of_decisions_has_each() -> None:
    decisions = {path.name for path in (DOCS / "decisions").glob("0*.md")}

    assert set(links(DOCS / "decisions" / "README.md")) >= decisions


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= LONGEST_README


def test_the_reference_has_every_call() -> None:
    """Deprecated calls are not there."""
    calls = {name for name, operation in operations() if not operation.get("deprecated")}
    rows = re.findall(r"^\| `([A-Z]+ /v1/[^`]+)` \|", (DOCS / "api.md").read_text(), re.MULTILINE)

    assert set(rows) == calls
    assert len(rows) == len(calls)
