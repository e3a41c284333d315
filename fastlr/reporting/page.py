"""The page: one HTML document with its style in it, and nothing that is loaded or run."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

import fastlr
from fastlr.reporting.markup import Markup, element, join

GENERATOR_TAG = element("meta", name="generator", content="fastlr")
# Said to the browser as well: pictures and styles of the page itself, nothing else.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def document(title: str, *body: Markup) -> str:
    """Return the whole document."""
    style = Markup((files(__package__) / "page.css").read_text(encoding="utf-8"))
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        GENERATOR_TAG,
        element("title", title),
        element("style", style),
    )
    foot = element("footer", f"Made by fastlr {fastlr.__version__}. This page loads nothing and runs nothing.")
    return "<!DOCTYPE html>\n" + element("html", head, element("body", element("main", *body, foot)), lang="en") + "\n"


def section(title: str, about: object, *content: object) -> Markup:
    """Return a part of the page under its own heading."""
    return element("section", element("h2", title), element("p", about, class_="about") if about else "", *content)


def tiles(values: Sequence[tuple[str, str, str]]) -> Markup:
    """Return the figures that matter most: for each what it is, how much, and of what."""
    return element(
        "dl",
        *(
            element("div", element("dt", what), element("dd", value), element("dd", of, class_="small"))
            for what, value, of in values
        ),
        class_="tiles",
    )


def facts(values: Sequence[tuple[str, object]], broad: bool = False) -> Markup:
    """Return names and values, side by side, or on a line each where they are long."""
    return element(
        "dl",
        *(element("div", element("dt", what), element("dd", value)) for what, value in values),
        class_="facts broad" if broad else "facts",
    )


def pictures(items: Sequence[tuple[Markup, Markup]], size: str = "") -> Markup:
    """Return pictures with a caption each, as many in a row as fit; `size` may be "small" or "single"."""
    figures = [element("li", element("figure", image, element("figcaption", caption))) for image, caption in items]
    return element("ul", *figures, class_=f"gallery {size}".strip(), role="list")


def lines(*parts: object) -> Markup:
    """Return parts on a line each."""
    return join(parts, Markup("<br>"))
