"""Write what docs/reference/ takes from the code (`make docs-reference`); a test holds both equal."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import typer
from pydantic import TypeAdapter

from inkdigits import Reader
from inkdigits.cli.main import app
from inkdigits.training.recipes import RECIPES, FinderRecipe, LineRecipe, Recipe
from inkdigits.web.app import create_app

FOLDER = Path(__file__).parents[1] / "reference"
SCHEMA = "https://json-schema.org/draft/2020-12/schema"
WIDTH = 100


def main() -> None:
    """Write every file."""
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def files() -> dict[str, str]:
    """Return every file that comes from the code: name -> text."""
    schemas = {"run.schema.json": run_schema(), "card.schema.json": card_schema()}
    written = {name: json.dumps(schema, indent=1) + "\n" for name, schema in schemas.items()}
    return {"cli.md": command_line(), "http.md": http(openapi()), "files.md": about_files(schemas), **written}


# ---------------------------------------------------------------------------------------------------- command line


def command_line() -> str:
    """Return the help of every command as a page."""
    root = typer.main.get_command(app)
    parts = [
        "# The command line",
        "This page is `inkdigits --help` and the help of each command. Results go to stdout, progress and messages to "
        "stderr. The exit code is 0, 1 for an error, 2 for a command that cannot be understood.",
    ]
    for path, command in commands(root, ("inkdigits",)):
        context = click.Context(command, info_name=" ".join(path), terminal_width=WIDTH, max_content_width=WIDTH)
        parts += [
            f"{'#' * min(3, 1 + len(path))} {' '.join(path)}",
            f"```text\n{command.get_help(context).rstrip()}\n```",
        ]
    return "\n\n".join(parts) + "\n"


def commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield a command and all below it that are not hidden, each with the words that call it."""
    yield path, command
    for name, each in getattr(command, "commands", {}).items():
        if not each.hidden:
            yield from commands(each, (*path, name))


# ------------------------------------------------------------------------------------------------------- HTTP API


def openapi() -> dict[str, Any]:
    """Return the OpenAPI document of the server."""
    return create_app(Reader()).openapi()


def http(document: dict[str, Any]) -> str:
    """Return the endpoints as a page."""
    parts = [
        "# HTTP endpoints",
        "Every endpoint of `inkdigits serve`, from its OpenAPI document (`/openapi.json`; `/docs` shows it). "
        "[The HTTP API](../api.md) explains limits, access and errors.",
    ]
    for path, methods in document["paths"].items():
        for method, endpoint in methods.items():
            parts.append(f"## {method.upper()} {path}")
            parts.append(_one_line(endpoint.get("description") or endpoint.get("summary", "")))
            rows = [_parameter(each) for each in endpoint.get("parameters", ())]
            if rows:
                parts.append(_table(("parameter", "in", "type", "default", "meaning"), rows))
            answers = [(code, _answer(each)) for code, each in endpoint["responses"].items()]
            parts.append(_table(("status", "answer"), answers))
    parts.append("## Answers")
    for name, schema in document["components"]["schemas"].items():
        parts += [f"### {name}", _one_line(schema.get("description", ""))]
        fields = schema.get("properties", {}).items()
        rows = [(f"`{field}`", _linked(_type(each)), _one_line(each.get("description", ""))) for field, each in fields]
        parts.append(_table(("field", "type", "meaning"), rows))
    return "\n\n".join(part for part in parts if part) + "\n"


def _answer(response: dict[str, Any]) -> str:
    """Return what a response is: its schema's name, linked, and its description where that says more than "OK"."""
    names = [_linked(_type(kind["schema"])) for kind in response.get("content", {}).values() if "schema" in kind]
    said = _one_line(response["description"])
    return ": ".join([*filter(None, names), *([said] if said != "Successful Response" or not any(names) else [])])


def _linked(kind: str) -> str:
    """Return a type's name with a link to the answer's section where it is one of ours."""
    return re.sub(r"\b([A-Z]\w+)", lambda name: f"[{name[1]}](#{name[1].lower()})", kind)


def _parameter(parameter: dict[str, Any]) -> tuple[str, ...]:
    schema = parameter.get("schema", {})
    default = (
        json.dumps(schema["default"]) if "default" in schema else ("required" if parameter.get("required") else "")
    )
    meaning = _one_line(parameter.get("description", ""))
    return f"`{parameter['name']}`", parameter["in"], _type(schema), default, meaning


def _type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(filter(None, map(_type, schema["anyOf"])))
    if "$ref" in schema:
        return schema["$ref"].rsplit("/", 1)[-1]
    name = schema.get("type", "")
    return f"list of {_type(schema['items'])}" if name == "array" and "items" in schema else str(name)


# ---------------------------------------------------------------------------------------- run.json, model card


def run_schema() -> dict[str, Any]:
    """Return the JSON Schema of run.json."""
    return {
        "$schema": SCHEMA,
        "title": "run.json of inkdigits",
        "description": "What a run directory says of its training. Written at its start and again at its end.",
        "type": "object",
        "required": ["format", "recipe", "seed", "data", "teacher", "backend", "versions", "machine", "started"],
        "additionalProperties": False,
        "properties": {
            "format": {"const": 1, "description": "Version of this file's form."},
            "recipe": {"anyOf": [recipe_schema(kind) for kind in (Recipe, LineRecipe, FinderRecipe)]},
            "seed": {"type": "integer", "minimum": 0},
            "data": _object(
                "The training images.",
                name={"type": "string", "description": "MNIST, or the source's name."},
                sha256={"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "Of the raw image file."},
                n={"type": "integer", "minimum": 1},
                path={"type": ["string", "null"], "description": "The folder, if it is not MNIST."},
            ),
            "teacher": {
                "type": ["object", "null"],
                "description": "Whose probabilities were learned: name, sha256, path.",
            },
            "sweep": {"type": "object", "description": "Of the winner of a sweep: the study and the settings."},
            "backend": {"enum": ["tensorflow", "jax", "torch"]},
            "versions": VERSIONS,
            "machine": {"type": "string"},
            "started": {"type": "string", "format": "date-time"},
            "finished": {"type": "string", "format": "date-time", "description": "Missing while unfinished."},
            "seconds": {"type": "number", "minimum": 0},
            "figures": FIGURES,
        },
    }


def card_schema() -> dict[str, Any]:
    """Return the JSON Schema of the card in a model file."""
    return {
        "$schema": SCHEMA,
        "title": "Card of an inkdigits model",
        "description": "The metadata entry `card` of model.onnx: all that a reader needs to use the model.",
        "type": "object",
        "required": ["format", "kind", "name", "output", "classes", "normalisation", "temperature"],
        "additionalProperties": False,
        "properties": {
            "format": {"const": 1, "description": "Version of the card's form."},
            "kind": {"enum": ["digit", "line", "finder"], "description": "Which network this is."},
            "name": {"type": "string", "description": "Of the run."},
            "output": {"enum": ["sigmoid", "softmax", "logits", "logits_none", "probabilities"]},
            "classes": {"type": "array", "items": {"type": "string"}, "description": "What each score stands for."},
            "normalisation": {"type": "integer", "description": "Version of the image normalisation trained behind."},
            "recipe": {"type": "object"},
            "seed": {"type": "integer"},
            "teacher": {"type": "object"},
            "members": {"type": "array", "description": "Of an ensemble: the cards of its models."},
            "data": {"type": "object", "description": "name, sha256 and n of the training images."},
            "versions": VERSIONS,
            "temperature": {"type": "number", "exclusiveMinimum": 0, "description": "Divides the logits."},
            "threshold": {"type": "number", "minimum": 0, "maximum": 1, "description": "Least accepted confidence."},
            "no_threshold": {"type": "string", "description": "Why there is no threshold."},
            "figures": {"type": "object", "description": "Measured once, at the end."},
            "blank": {"type": "integer", "description": "Line network: the index of CTC's blank."},
            "height": {"type": "integer", "description": "Line network: of line images, in pixels."},
            "stride": {
                "type": "integer",
                "description": "Line network: pixels a column. Finder: pixels a map's pixel.",
            },
            "half_px": {"type": "number", "description": "Finder: half the height of a row whose map says 0."},
            "rows": {"type": "object", "description": "Finder: how likely a row is read right."},
            "views": {"type": "array", "description": "Line network: zoom and shear of each view that is read."},
        },
    }


VERSIONS = {"type": "object", "additionalProperties": {"type": "string"}, "description": "Package -> version."}
FIGURES = {
    "type": "object",
    "description": "Of the test set, read once: loss, accuracy (0 to 1), count of errors, count of images.",
    "additionalProperties": {"type": ["number", "null"]},
}


def recipe_schema(kind: type[Recipe]) -> dict[str, Any]:
    """Return the schema of a recipe; every field is there in a run."""
    schema = TypeAdapter(kind).json_schema()
    return schema | {"required": list(schema["properties"]), "additionalProperties": False}


def _object(description: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "description": description, "required": list(properties), "properties": properties}


def about_files(schemas: dict[str, dict[str, Any]]) -> str:
    """Return the page about run.json and the card."""
    parts = [
        "# run.json and model card",
        "A run directory holds `run.json`; a model file holds its card as JSON in the metadata entry `card` "
        "(`inkdigits.load_card`). Both have a JSON Schema: [run.schema.json](run.schema.json), "
        "[card.schema.json](card.schema.json).",
    ]
    for title, name in (("run.json", "run.schema.json"), ("Model card", "card.schema.json")):
        schema = schemas[name]
        rows = [
            (f"`{field}`", _json_type(each), "yes" if field in schema["required"] else "", each.get("description", ""))
            for field, each in schema["properties"].items()
        ]
        parts += [f"## {title}", schema["description"], _table(("field", "type", "always", "meaning"), rows)]
    rows = [(f"`{name}`", _json_type(each)) for name, each in recipe_schema(Recipe)["properties"].items()]
    names = ", ".join(f"`{name}`" for name in RECIPES)
    parts += ["## recipe", f"The fields of every recipe ({names}); `inkdigits train --help` says what each does."]
    return "\n\n".join([*parts, _table(("field", "type"), rows)]) + "\n"


def _json_type(schema: dict[str, Any]) -> str:
    if "const" in schema:
        return json.dumps(schema["const"])
    if isinstance(schema.get("type"), list):
        return " or ".join(schema["type"])
    return _type(schema) or "object"


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


if __name__ == "__main__":
    main()
