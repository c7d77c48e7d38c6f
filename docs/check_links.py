"""Checks the links within the documents: of all pages in Markdown, or of a built site.

`check_links.py` reads the pages, `check_links.py build/site` the site. Links to other hosts are not fetched. A site
must load nothing from another host, so that it opens from a folder without a network.
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

ROOT: Final = Path(__file__).parents[1]
ADDRESS: Final = re.compile("[a-z]+:|//")
LOADING: Final = {"script": "src", "img": "src", "iframe": "src", "link": "href"}
#: Relations of a `link` that only name an address; the browser loads nothing.
NAMING: Final = {"canonical", "next", "prev", "alternate"}


class _Page(HTMLParser):
    """The anchors of a page, its links, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = {""}
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.anchors |= {attributes[name] for name in ("id", "name") if name in attributes}
        self.links += [attributes[name] for name in ("href", "src") if name in attributes]
        if tag in LOADING and attributes.get("rel") not in NAMING:
            self.loaded.append(attributes.get(LOADING[tag], ""))


def broken_in_pages(root: Path) -> list[str]:
    """The broken links of the pages in Markdown under a folder, each with its page."""
    pages = [path for path in sorted(root.rglob("*.md")) if not _is_skipped(path.relative_to(root).parts)]
    return [f"{page.relative_to(root)}: {link}" for page in pages for link in _links(page) if not _leads(page, link)]


_SKIPPED: Final = {"build", "node_modules", ".pytest_cache", ".hypothesis"}


def _is_skipped(parts: tuple[str, ...]) -> bool:
    """Whether a file is not ours: it lies in an environment, or in what tools leave."""
    return any(part in _SKIPPED or part.startswith(".venv") for part in parts)


def _links(page: Path) -> list[str]:
    """The links of a page that lead into the repository."""
    text = re.sub(r"^```.*?^```$|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not ADDRESS.match(link)]


def _leads(page: Path, link: str) -> bool:
    """Whether a link's file is there, and its anchor within the file."""
    name, _, anchor = link.partition("#")
    target = page.parent / unquote(name) if name else page
    return target.exists() and (not anchor or anchor in _anchors(target))


def _anchors(page: Path) -> set[str]:
    """The anchors of a page in Markdown: those of its headings, and those that it writes itself."""
    text = page.read_text(encoding="utf-8")
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", outside, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r'id="([^"]+)"', text)) | set(re.findall(r"\{ ?#([^ }]+)", text))


def broken_in_site(site: Path) -> list[str]:
    """The broken links of a built site, and what it would load from another host, each with its page."""
    pages = {path.resolve(): _Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        where = path.relative_to(site.resolve())
        found += [f"{where}: loads {link}" for link in page.loaded if ADDRESS.match(link)]
        for link in page.links:
            if ADDRESS.match(link) or where.name == "404.html":
                continue
            parts = urlsplit(link)
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchors = pages[target].anchors if target in pages else {"", parts.fragment}
            if not target.is_file() or unquote(parts.fragment) not in anchors:
                found.append(f"{where}: {link}")
    return found


if __name__ == "__main__":
    broken = broken_in_site(Path(sys.argv[1])) if sys.argv[1:] else broken_in_pages(ROOT)
    if broken:
        raise SystemExit("\n".join(["These links are broken:", *broken]))
