"""The pages under /docs: OpenAPI descriptions as plain HTML, which needs no script and nothing from other hosts."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

import orjson

# What the page may do: nothing but show itself.
HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24 }
h2 { margin-top: 2.5rem } summary { cursor: pointer; padding: .3rem 0 } summary small { color: #57606a }
code, pre { font: 13px/1.45 ui-monospace, monospace } pre { background: #f6f8fa; padding: .8rem; overflow: auto }
details { border: 1px solid #d0d7de; border-radius: 6px; margin: .5rem 0; padding: .2rem .8rem }
table { border-collapse: collapse; width: 100% } td, th { border-top: 1px solid #d0d7de; padding: .3rem .5rem;
text-align: left; vertical-align: top } b.method { display: inline-block; min-width: 4.5rem }
"""
_LIMITS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "multipleOf": "a multiple of {}",
    "maxLength": "at most {} characters",
    "maxItems": "at most {} entries",
}


def render(description: dict[str, Any], name: str, names: Sequence[str]) -> str:
    """`description`, the OpenAPI 3.1 document of the API called `name`, as a page that leads to all `names`."""
    info = description["info"]
    models = description.get("components", {}).get("schemas", {})
    return "".join(
        (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(info["title"])}</title>',
            f"<style>{_STYLE}</style><h1>{escape(info['title'])}</h1><p>{escape(info['description'])}</p>",
            f"<p>The same for programs: <a href='/openapi/{name}.json'>/openapi/{name}.json</a>. All APIs: ",
            ", ".join(f"<a href='/docs/{other}'>{escape(other)}</a>" for other in names),
            "</p>",
            *_sections(description["paths"]),
            "<h2>Models</h2>" if models else "",
            *(_model(title, model) for title, model in sorted(models.items())),
            "</html>",
        )
    )


def _sections(paths: dict[str, Any]) -> Iterator[str]:
    tags: dict[str, list[str]] = {}
    for path, methods in paths.items():
        for method, operation in methods.items():
            tags.setdefault(next(iter(operation.get("tags", [])), "other"), []).append(
                _operation(path, method, operation)
            )
    for tag, operations in tags.items():
        yield f"<h2>{escape(tag)}</h2>{''.join(operations)}"


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    body = operation.get("requestBody", {}).get("content", {})
    return "".join(
        (
            f"<details><summary><b class='method'>{escape(method.upper())}</b> <code>{escape(path)}</code> ",
            f"<small>{escape(operation.get('summary', ''))}</small></summary>",
            f"<p>{escape(operation.get('description', ''))}</p>",
            _table([(p["name"], p["in"], _words(p.get("schema", {}))) for p in operation.get("parameters", [])]),
            *(
                f"<p>Request, {escape(kind)}: {_type(content)}</p>{_examples(content)}"
                for kind, content in body.items()
            ),
            _table(
                [
                    (code, reply.get("description", ""), _contents(reply))
                    for code, reply in operation["responses"].items()
                ]
            ),
            "</details>",
        )
    )


def _contents(reply: dict[str, Any]) -> str:
    return "; ".join(f"{escape(kind)} {_type(content)}" for kind, content in reply.get("content", {}).items())


def _type(content: dict[str, Any]) -> str:
    return _words(content.get("schema", {}))


def _examples(content: dict[str, Any]) -> str:
    examples = [(example.get("summary", ""), example["value"]) for example in content.get("examples", {}).values()]
    if "example" in content:
        examples.append(("", content["example"]))
    return "".join(
        f"<p>{escape(words)}</p><pre>{escape(orjson.dumps(body, option=orjson.OPT_INDENT_2).decode())}</pre>"
        for words, body in examples
    )


def _model(name: str, model: dict[str, Any]) -> str:
    required = set(model.get("required", ()))
    rows = [
        (field + (" *" if field in required else ""), _words(known), escape(known.get("description", "")))
        for field, known in model.get("properties", {}).items()
    ]
    words = escape(model.get("description", ""))
    title = f"<summary id='{escape(name)}'><code>{escape(name)}</code> <small>{words}</small></summary>"
    return f"<details>{title}{_table(rows)}</details>"


def _words(schema: dict[str, Any]) -> str:
    """A schema's type, limits and default in a few words; already escaped."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f"<a href='#{name}'>{name}</a>"
    if "anyOf" in schema:
        kinds = " or ".join(_words(option) for option in schema["anyOf"])
    elif schema.get("type") == "array":
        kinds = f"list of {_words(schema.get('items', {}))}"
    else:
        kinds = escape(str(schema.get("type", "")))
    facts = [kinds, *(words.format(schema[name]) for name, words in _LIMITS.items() if name in schema)]
    if "enum" in schema:
        facts.append("one of " + ", ".join(escape(str(value)) for value in schema["enum"]))
    if schema.get("default") not in (None, [], {}):
        facts.append(f"default {escape(str(schema['default']))}")
    return ", ".join(fact for fact in facts if fact)


def _table(rows: list[tuple[str, str, str]]) -> str:
    if not rows:
        return ""
    cells = (f"<tr><th>{escape(first)}<td>{second}<td>{third}" for first, second, third in rows)
    return f"<table>{''.join(cells)}</table>"
