"""What a solver minimises: one file an objective or a form, one row here for each form."""

from __future__ import annotations

from fastlr.objectives.gram import GramForm
from fastlr.objectives.primal import PrimalForm

FORMS: dict[str, type[PrimalForm] | type[GramForm]] = {form.name: form for form in (PrimalForm, GramForm)}
