"""backends: which array libraries run on this machine."""

from __future__ import annotations

from fastlr.cli.options import Json
from fastlr.cli.render.terminal import print_json, say


def backends(as_json: Json = False) -> None:
    """List the array libraries. Say which run, on which device, or why not."""
    from fastlr.backends import survey
    from fastlr.objectives import FORMS

    rows = [row | {"forms": list(FORMS)} for row in survey()]
    if as_json:
        print_json(rows)
    for row in rows:
        runs = f"runs on {', '.join(row['devices'])} ({', '.join(row['dtypes'])})"
        state = runs if row["runs"] else f"does not run: {row['why_not']}"
        say(f"{row['name']:8} {row['version'] or '-':10} {state}", as_json)
