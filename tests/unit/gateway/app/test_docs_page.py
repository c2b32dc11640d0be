"""The viewer of the API's pages is Swagger UI as it was published, and asks this origin alone."""

import gzip
import hashlib
import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from gateway.app.docs_page import HEADERS, VIEWER, render

FOLDER = files("gateway.app") / "viewer"
# Of the files in the npm package swagger-ui-dist 5.35.0.
PUBLISHED = {
    "swagger-ui-bundle.js": "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
    "swagger-ui.css": "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d",
}
PAGE = render("<b>", "native", ["native", "other"])


class Elements(HTMLParser):
    """The elements of a page: their names, attributes and what scripts have in them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][0] == "script":
            self.scripts += data.strip()


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_viewer_is_what_was_published(name: str) -> None:
    assert hashlib.sha256(gzip.decompress((FOLDER / f"{name}.gz").read_bytes())).hexdigest() == PUBLISHED[name]


def test_its_licence_stands_beside_it() -> None:
    assert "Apache License" in (FOLDER / "LICENSE").read_text()
    assert "swagger-ui-dist` 5.35.0" in (FOLDER / "README.md").read_text()


def test_the_page_has_no_script_in_itself_and_asks_nobody_else() -> None:
    page = Elements(PAGE)
    assert page.scripts == ""
    assert not [attribute for _, attributes in page.found for attribute in attributes if attribute.startswith("on")]
    sources = [attributes["src"] for tag, attributes in page.found if tag == "script"]
    assert sources == [f"{VIEWER}/swagger-ui-bundle.js", f"{VIEWER}/start.js"]
    links = [attributes["href"] or "" for tag, attributes in page.found if "href" in attributes]
    assert links and all(re.match(r"/[^/]|data:,$", link) for link in links)
    assert "<b>" not in PAGE and "&lt;b&gt;" in PAGE


def test_the_browser_holds_it_to_that() -> None:
    policy = dict(part.strip().split(" ", 1) for part in HEADERS["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert not [words for words in policy.values() if re.search(r"https?:|\*|unsafe-eval", words)]
