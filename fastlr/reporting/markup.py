"""HTML as text: whatever is not markup already is escaped as it enters an element, and nowhere else."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Sequence
from typing import Any

VOID = ("img", "meta", "source")
NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")  # HTML cannot hold these


class Markup(str):
    """HTML, to be left as it is."""

    __slots__ = ()


def escape(value: Any) -> Markup:
    """Return markup as it is, and anything else as text that shows as itself."""
    if isinstance(value, Markup):
        return value
    return Markup(html.escape(NO_TEXT.sub("\N{REPLACEMENT CHARACTER}", str(value))))


def element(tag: str, *children: Any, **attributes: Any) -> Markup:
    """Return an element. Attributes that are None are left out; `class_` and `http_equiv` are class and http-equiv."""
    names = {name: name.rstrip("_").replace("_", "-") for name in attributes}
    text = "".join(f' {names[name]}="{escape(v)}"' for name, v in attributes.items() if v is not None)
    content = join(children)
    return Markup(f"<{tag}{text}>" if tag in VOID else f"<{tag}{text}>{content}</{tag}>")


def join(parts: Iterable[Any], between: str = "") -> Markup:
    """Return the parts one after the other."""
    return Markup(escape(between).join(escape(part) for part in parts))


def name(value: Any) -> Markup:
    """Return a name from outside: its direction, whichever it is, leaves the text around it alone."""
    return element("bdi", value)


def isolated(value: Any) -> str:
    """Return the same for where no element can stand: attributes and the title."""
    return f"\N{FIRST STRONG ISOLATE}{value}\N{POP DIRECTIONAL ISOLATE}"


def image(png: bytes, alt: str, dark: bytes | None = None, **attributes: Any) -> Markup:
    """Return a picture that lies in the page itself, with another for dark screens if there is one."""
    picture = element("img", src=_data_uri(png), alt=alt, **attributes)
    if dark is None:
        return picture
    media = "screen and (prefers-color-scheme: dark)"
    return element("picture", element("source", media=media, srcset=_data_uri(dark)), picture)


def table(header: Sequence[Any], rows: Sequence[Sequence[Any]], caption: str) -> Markup:
    """Return a table that scrolls by itself where it is too wide. What reads as a number stands to the right."""
    numeric = [bool(rows) and all(_is_number(row[i]) for row in rows) for i in range(len(header))]
    kinds = ["n" if number else None for number in numeric]
    head = element("tr", *(element("th", name(h), scope="col", class_=k) for h, k in zip(header, kinds, strict=True)))
    body = [element("tr", *(element("td", name(v), class_=k) for v, k in zip(row, kinds, strict=True))) for row in rows]
    whole = element("table", element("caption", caption), element("thead", head), element("tbody", *body))
    return element("div", whole, class_="scroll", tabindex=0, role="region", aria_label=caption)


def details(summary: str, *children: Any) -> Markup:
    """Return what is shown when it is asked for."""
    return element("details", element("summary", summary), *children)


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) or value == "" or bool(re.match(r"[>≥]?[-−]?\d", str(value)))
