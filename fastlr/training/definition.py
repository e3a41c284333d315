"""How a setting is defined, once: its name, type, default, help and check.

A group of settings is a dataclass whose fields are made by `setting`. Functions and commands take a group as one
parameter, and callers give its fields: `spread` makes the Python signature and its documentation of them,
`fastlr.cli.options` the options of a command. So a setting is added, everywhere, by adding a field.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import Field, dataclass, field, fields
from typing import Any, ClassVar, TypeVar, get_args, get_type_hints

from fastlr.training.checks import Check

T = TypeVar("T")


@dataclass(frozen=True)
class Definition:
    """What is known of a setting beside its name, type and default."""

    help: str
    check: Check | None = None
    option: str | None = None  # on the command line, where it has another name there
    metavar: str | None = None  # what stands for its value in the command's help
    read: Callable[[str], Any] | None = None  # makes the value of the text on the command line


def setting(default: Any, help: str, check: Check | None = None, **more: Any) -> Any:
    """Return the dataclass field of a setting."""
    return field(default=default, metadata={"definition": Definition(help, check, **more)})


def definition_of(one: Field[Any]) -> Definition:
    """Return the definition of a group's field."""
    found: Definition = one.metadata["definition"]
    return found


class Group:
    """The base of the dataclasses whose fields are settings: each value is checked when one is made."""

    not_offered: ClassVar[frozenset[str]] = frozenset()  # settings of a base class that keep their defaults

    def __post_init__(self) -> None:
        """Check each value, and keep what its check makes of it."""
        for name, words, check in _checks(type(self)):  # type: ignore[arg-type]  # a class can be hashed
            object.__setattr__(self, name, check(words, getattr(self, name)))


@functools.cache
def _checks(group: type[Group]) -> list[tuple[str, str, Check]]:
    """Return the name of each setting that is checked, in words too, and its check."""
    checks = ((one.name, definition_of(one).check) for one in fields(group))  # type: ignore[arg-type]  # a dataclass
    return [(name, name.replace("_", " "), check) for name, check in checks if check]


def settings_of(group: Any) -> list[Field[Any]]:
    """Return the fields of a group whose values a caller gives."""
    return [one for one in fields(group) if one.name not in getattr(group, "not_offered", ())]


def groups_of(function: Callable[..., Any]) -> tuple[dict[str, Any], dict[str, type[Group]]]:
    """Return the annotations of a function, and those of its parameters that are groups of settings."""
    hints = get_type_hints(function, include_extras=True)
    return hints, {name: hint for name, hint in hints.items() if inspect.isclass(hint) and issubclass(hint, Group)}


def spread(function: Callable[..., T]) -> Callable[..., T]:
    """Return the function with the fields of its groups of settings as keyword parameters, in the groups' places."""
    hints, groups = groups_of(function)
    parameters: dict[str, inspect.Parameter] = {}
    told: dict[str, str] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name not in groups:
            parameters[name] = parameter
            continue
        types = get_type_hints(groups[name])
        for one in settings_of(groups[name]):  # two groups may have one setting in common
            parameters[one.name] = inspect.Parameter(
                one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=types[one.name]
            )
            kind = types[one.name]
            kind = getattr(kind, "__name__", str(kind)) if not get_args(kind) else str(kind)
            told[one.name] = f"{one.name} : {kind}, default {one.default!r}\n    {definition_of(one).help}"

    @functools.wraps(function)
    def with_fields(*positional: Any, **named: Any) -> T:
        made = {
            name: group(**{one.name: named[one.name] for one in settings_of(group) if one.name in named})
            for name, group in groups.items()
            if name not in named  # or it is given whole
        }
        left = {name: value for name, value in named.items() if name not in told}
        return function(*positional, **left, **made)

    del with_fields.__wrapped__  # which has other parameters: who documents or inspects the function sees these
    with_fields.__signature__ = inspect.Signature(list(parameters.values()), return_annotation=hints.get("return"))  # type: ignore[attr-defined]
    # The settings follow the function's own parameters.
    own, returns, after = inspect.cleandoc(function.__doc__ or "").partition("\n\nReturns\n")
    with_fields.__doc__ = "\n".join([own, *told.values()]) + returns + after
    return with_fields
