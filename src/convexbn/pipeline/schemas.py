"""The schemas of the config's sections: they fill in defaults, and refuse what cannot be meant."""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend
from referencing import Registry, Resource

# The one in C, where PyYAML has it, takes a tenth of the time.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_check_properties = Draft202012Validator.VALIDATORS["properties"]


def _set_defaults(
    validator: Any, properties: dict, instance: Any, schema: dict
) -> Iterator[ValidationError]:
    for key, entry in properties.items():
        if "default" in entry and isinstance(instance, dict):
            instance.setdefault(key, entry["default"])
    yield from _check_properties(validator, properties, instance, schema)


_Validator = extend(Draft202012Validator, {"properties": _set_defaults})


class Schemas:
    """A folder with a schema for each section, and one of types that all refer to.

    Snakemake's own `validate` reads the types again at every reference to them, which of thousands
    of runs takes longer than all else.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        types = Resource.from_contents(_read(self.folder / "types.yaml"))
        self.registry = Registry().with_resource("types.yaml", types).crawl()

    def validate(self, section: str, config: dict) -> None:
        """Set the defaults of a section of the config, in place.

        Raises
        ------
        ValueError
            For an entry that the schema does not allow, the first by its place: where it is, what
            is wrong, and what was probably meant.
        """
        name = f"{section}.schema.yaml"
        schema = {**_read(self.folder / name), "$id": name}
        registry = self.registry.with_resource(name, Resource.from_contents(schema)).crawl()
        errors = _Validator(schema, registry=registry).iter_errors(config)
        if error := min(errors, key=_place, default=None):
            place = f"{_place(error)}: " if error.absolute_path else ""
            raise ValueError(f"{place}{_words(error)}{_advice(error)}")


def _read(path: Path) -> dict:
    return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)


def _place(error: ValidationError) -> str:
    return ".".join(map(str, error.absolute_path))


def _words(error: ValidationError) -> str:
    """Return what is wrong, without the whole entry where its keys do not go together."""
    rule, given = error.validator_value, error.instance
    if error.validator == "dependentRequired":
        section, needed = next(
            pair for pair in _pairs(rule) if pair[0] in given and pair[1] not in given
        )
        return f"'{needed}' is missing, which '{section}' needs"
    if error.validator not in ("not", "oneOf") or not isinstance(given, dict):
        return "it is empty" if given is None else error.message
    sets = [set(names) for names in _required(rule)]
    if not sets:
        return error.message
    found = sorted(name for name in set.union(*sets) if name in given)
    if error.validator == "oneOf":
        wanted = ", ".join(sorted(set.union(*sets)))
        return f"expected one of {wanted}, got {' and '.join(found) or 'none of them'}"
    if len(found) > 1 and set(found) in sets:
        return f"{' and '.join(found)} do not go together; leave one of them out"
    return f"{', '.join(found)} has no meaning here; leave it out"


def _pairs(rule: dict) -> Iterator[tuple[str, str]]:
    """Yield each section with each that it needs."""
    return ((section, needed) for section, all_needed in rule.items() for needed in all_needed)


def _required(rule: Any) -> Iterator[list[str]]:
    """Yield the sets of keys that a rule is about."""
    for part in rule if isinstance(rule, list) else [rule]:
        if "required" in part:
            yield part["required"]
        yield from _required(part.get("anyOf", []))


def _advice(error: ValidationError) -> str:
    """Return what was probably meant, or nothing."""
    value, schema = error.instance, error.schema
    if error.validator == "additionalProperties":
        unknown = [key for key in value if key not in schema.get("properties", {})]
        near = difflib.get_close_matches(unknown[0], schema.get("properties", {}), n=1)
        return f"; did you mean '{near[0]}'?" if near else ""
    if error.validator == "type" and isinstance(value, str) and (number := _number(value)):
        return f": YAML takes it for a text; write {number}"
    if error.validator == "type" and error.validator_value == "array" and not _is_many(value):
        return f"; write [{value}]"
    if error.validator == "pattern":
        return ": a name begins with a letter and has letters, digits, _ and - only"
    return ""


def _is_many(value: Any) -> bool:
    return value is None or isinstance(value, dict | list)


def _number(text: str) -> str | None:
    """Return a number in the form in which YAML reads it as one; None if the text is none."""
    try:
        float(text)
    except ValueError:
        return None
    digits, e, power = text.strip().lower().partition("e")
    point = "" if "." in digits else ".0"
    sign = "" if power[:1] in ("+", "-") or not power else "+"
    return f"{digits}{point}{e}{sign}{power}" if e else digits
