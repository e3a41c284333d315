"""The page and its parts as data; `templates/` says how each looks as HTML."""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jinja2
from markupsafe import Markup

import fastlr

GENERATOR_TAG = Markup('<meta name="generator" content="fastlr">')
NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")  # HTML cannot hold these


@dataclass(frozen=True)
class Image:
    """A picture that lies in the page itself, with another for dark screens if there is one."""

    kind: ClassVar[str] = "chart"
    png: bytes
    alt: str
    dark: bytes | None = None
    width: int | None = None  # pixels


@dataclass(frozen=True)
class Table:
    """A table that scrolls by itself where it is too wide; a folded one is shown when it is asked for."""

    kind: ClassVar[str] = "table"
    header: Sequence[Any]
    rows: Sequence[Sequence[Any]]
    caption: str
    folded: bool = False

    @property
    def numeric(self) -> list[bool]:
        """Return whether each column holds numbers, which stand to the right."""
        return [bool(self.rows) and all(_is_number(row[i]) for row in self.rows) for i in range(len(self.header))]


@dataclass(frozen=True)
class Gallery:
    """Pictures with the lines below each, as many in a row as fit; `size` may be "small" or "single"."""

    kind: ClassVar[str] = "gallery"
    items: Sequence[tuple[Image, Sequence[Markup]]]
    size: str = ""


@dataclass(frozen=True)
class Scale:
    """The colours of weights, from the largest against to the largest for."""

    kind: ClassVar[str] = "scale"
    full: float


@dataclass(frozen=True)
class Facts:
    """Names and values, side by side, or on a line each where they are long."""

    kind: ClassVar[str] = "facts"
    values: Sequence[tuple[str, Any]]
    broad: bool = False


Block = Image | Table | Gallery | Scale | Facts


@dataclass(frozen=True)
class Section:
    """A part of the page under its own heading; `about` is text, or HTML that `phrase` made."""

    title: str
    about: str
    content: Sequence[Block] = ()


@dataclass
class Page:
    """The whole page. Tiles are the figures that matter most: for each what it is, how much, and of what."""

    title: str
    over: str
    heading: str
    lead: str
    tiles: Sequence[tuple[str, str, str]] = ()
    alerts: Sequence[str] = ()
    top: list[Section] = field(default_factory=list)
    side_by_side: list[Section] = field(default_factory=list)
    below: list[Section] = field(default_factory=list)

    def html(self) -> str:
        """Return the document, with its style in it, and nothing that is loaded or run."""
        return rendered("page.html", page=self, generator=GENERATOR_TAG, version=fastlr.__version__)


def rendered(template: str, **values: Any) -> str:
    """Return one of the templates with these values; whatever is not markup already is escaped."""
    return NO_TEXT.sub("\N{REPLACEMENT CHARACTER}", _templates().get_template(template).render(values))


def phrase(text: str, *names: Any) -> Markup:
    """Return a text with names from outside in its `{}`: their direction leaves the text around them alone."""
    return Markup(text).format(*(Markup("<bdi>{}</bdi>").format(name) for name in names))


def strong(text: str, *names: Any) -> Markup:
    """Return the same with the names emphasized."""
    return Markup(text).format(*(Markup("<strong><bdi>{}</bdi></strong>").format(name) for name in names))


def isolated(value: Any) -> str:
    """Return a name for where no element can stand: attributes and the title."""
    return f"\N{FIRST STRONG ISOLATE}{value}\N{POP DIRECTIONAL ISOLATE}"


@functools.cache
def _templates() -> jinja2.Environment:
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("fastlr.reporting"), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    found.filters["data_uri"] = lambda png: "data:image/png;base64," + base64.b64encode(png).decode()
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) or value == "" or bool(re.match(r"[>≥]?[-−]?\d", str(value)))
