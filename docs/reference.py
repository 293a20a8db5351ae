"""The API reference, from the docstrings: `python docs/reference.py OUT`, with the extra [docs] installed.

It fails where a public name has no docstring, where pdoc has something to warn of, and where a link leads nowhere.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import warnings
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pdoc.doc
import pdoc.render

# What is public: these modules, and of each what its __all__ names.
MODULES = (
    "mmkg_sdk",
    "mmkg_sdk.bundle",
    "mmkg_sdk.backends",
    "mmkg_sdk.run",
    "mmkg_sdk.data",
    "mmkg_sdk.training",
    "mmkg_sdk.evaluation",
    "mmkg_sdk.batches",
    "mmkg_sdk.export",
    "mmkg_sdk.bench",
    "mmkg_sdk.hub",
    "mmkg_sdk.serving",
    "mmkg_sdk.serving.ray",
)


def load(name: str) -> pdoc.doc.Module:
    """A module as pdoc sees it. Names that are imported when first used are imported now."""
    module = importlib.import_module(name)
    for public in getattr(module, "__all__", ()):
        vars(module).setdefault(public, getattr(module, public))
    return pdoc.doc.Module(module)


def show_inherited(modules: dict[str, pdoc.doc.Module]) -> None:
    """Let classes show what they inherit from classes of ours that are not public, as their own.

    Where public classes stand above one another, the lowest does; those above say that they inherit it.
    """
    classes = [
        each for module in modules.values() for each in module.members.values() if isinstance(each, pdoc.doc.Class)
    ]
    public = {each.obj: each.taken_from for each in classes}
    for shown in classes:
        for member in shown.members.values():
            place, name = member.taken_from
            if place.startswith("mmkg_sdk.") and (place, name.rpartition(".")[0]) not in public.values():
                same = inspect.getattr_static(shown.obj, member.name, None)
                heirs = (base for base in reversed(shown.obj.__mro__) if base in public)
                heir = next(base for base in heirs if inspect.getattr_static(base, member.name, None) is same)
                module, owner = public[heir]
                member.taken_from = (module, f"{owner}.{member.name}")


def write(out: Path) -> None:
    """One page per module, and index.html."""
    pdoc.render.configure(docformat="google", footer_text="mmkg_sdk", search=False)
    modules = {name: load(name) for name in MODULES}
    show_inherited(modules)
    for name, module in modules.items():
        path = out / f"{name.replace('.', '/')}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(pdoc.render.html_module(module, modules), encoding="utf-8")
    (out / "index.html").write_text(pdoc.render.html_index(modules), encoding="utf-8")
    for line in (line for module in modules.values() for line in undocumented(module)):
        warnings.warn(f"{line} has no docstring", stacklevel=1)


def undocumented(namespace: pdoc.doc.Namespace[Any]) -> Iterator[str]:
    """Public modules, classes and functions without a docstring; names of the standard library are not ours."""
    made_by_dataclass = isinstance(namespace, pdoc.doc.Class) and namespace.docstring.startswith(f"{namespace.name}(")
    if not namespace.docstring.strip() or made_by_dataclass:
        yield namespace.fullname
    for member in namespace.own_members:
        if member.name.startswith("_"):
            continue
        if isinstance(member, pdoc.doc.Class):
            yield from undocumented(member)
        elif isinstance(member, pdoc.doc.Function) and not member.docstring.strip():
            yield member.fullname


class Page(HTMLParser):
    """The anchors of a page and where it links to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors |= {value for value in (given.get("id"), given.get("name")) if value}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"] or "")


def broken_links(out: Path) -> list[str]:
    """Links between the pages whose page or anchor is not there."""
    pages = {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in out.rglob("*.html")}
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target not in pages or (parts.fragment and unquote(parts.fragment) not in pages[target].anchors):
                broken.append(f"{path.relative_to(out.resolve())}: {link}")
    return broken


def main(out: Path) -> str | None:
    """What is wrong, or None."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", UserWarning)
        write(out)
    wrong = [str(warning.message) for warning in found] + broken_links(out)
    return "\n".join(wrong) or None


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
