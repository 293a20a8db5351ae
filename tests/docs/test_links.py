"""Links between documents lead somewhere: to a file that is there, and to a heading that it has."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import DOCUMENTS, folder_of, prose
from tests.places import ROOT


def anchors(page: str) -> set[str]:
    """The headings of a document as links name them: lower case, no punctuation, hyphens for spaces."""
    headings = re.findall(r"^#+ (.*)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", DOCUMENTS)
def test_every_local_link_leads_somewhere(page: str) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)\s]+)\)", prose(page)):
        file, _, anchor = target.partition("#")
        found = (folder_of(page) / file).resolve() if file else ROOT / page
        assert found.exists(), target
        assert found.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(found.relative_to(ROOT).as_posix()), target


@pytest.mark.parametrize("page", [page for page in DOCUMENTS if page.startswith("docs/")])
def test_the_readme_leads_to_every_document(page: str) -> None:
    assert f"]({page}" in prose("README.md")
