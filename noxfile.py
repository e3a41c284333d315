"""The sessions that CI runs, for a look at one of them: `nox -l`, `nox -s tests`."""

import nox

nox.options.sessions = ["tests", "style", "docs"]
LIBRARIES = ["torch", "jax", "dpnp"]


@nox.session
def tests(session: nox.Session) -> None:
    """The whole suite."""
    session.install(".[test]")
    session.run("pytest", "-n", "auto", *session.posargs)


@nox.session
def quick(session: nox.Session) -> None:
    """A selection that takes seconds."""
    session.install(".[test]")
    session.run("pytest", "-m", "quick", *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """The whole suite with the lines that it runs."""
    session.install("-e", ".[test]", "pytest-cov")  # of the files here: `--cov=fastlr` means this folder
    session.run("pytest", "-n", "auto", "--cov=fastlr", "--cov-report=term", *session.posargs)


@nox.session
def style(session: nox.Session) -> None:
    """The formatter, the linter and the type checker."""
    session.install(".[dev]")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation; a broken link is an error."""
    session.install(".[docs]")
    session.run("mkdocs", "build", "--strict")


@nox.session
@nox.parametrize("library", LIBRARIES)
def libraries(session: nox.Session, library: str) -> None:
    """The tests of an optional array library, on the CPU."""
    session.run("bash", ".ci/libraries", library, external=True)
