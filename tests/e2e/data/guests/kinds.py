"""Writes what it reads, of every kind, beside where it stood; says what is null, and takes away what is not there."""

from cdp import REMOVE, boolean, decimal, integer, json, number, text, transformer

KINDS = {"text": text, "integer": integer, "number": number, "boolean": boolean, "decimal": decimal, "json": json}


@transformer(
    name="kinds",
    version="1.0.0",
    summary="Writes what it reads.",
    reads={name: kind("/properties/" + name) for name, kind in KINDS.items()},
    writes={**{name: kind("/traits/" + name) for name, kind in KINDS.items()}, "mistyped": text("/traits/mistyped")},
)
class Plugin:
    def apply(self, event):
        changes = {}
        for name in KINDS:
            value = getattr(event, name)
            changes[name] = REMOVE if value is None and event.why(name) != "null" else value
        mistyped = [name for name in KINDS if event.why(name) == "mistyped"]
        if mistyped:
            changes["mistyped"] = " ".join(mistyped)
        return changes
