"""docs/asyncapi.yaml as validators of single messages."""
import copy
import json

import jsonschema
import yaml

from server import CHECKOUT

FILE = CHECKOUT / "docs/asyncapi.yaml"
GRAMMAR = CHECKOUT / ".toolchain/asyncapi-3.0.0.json"  # scripts/setup.sh test


def read_document():
    """As JSON: keys that are numbers in YAML become strings."""
    return json.loads(json.dumps(yaml.safe_load(FILE.read_text(encoding="utf8"))))


def objects(value, path=()):
    """Every object below, with its path."""
    if isinstance(value, dict):
        yield path, value
    items = value.items() if isinstance(value, dict) else \
        enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from objects(item, (*path, key))


def closed(document):
    """The document with every object schema closed to fields that it does not name."""
    document = copy.deepcopy(document)
    for _, schema in objects(document["components"]):
        if schema.get("type") == "object" and "additionalProperties" not in schema:
            schema["additionalProperties"] = False
    return document


class Messages:
    """What one side sends. is_closed: fields that are not in the file are faults."""

    def __init__(self, side, is_closed=True, without_required=False):
        document = read_document()
        self.document = closed(document) if is_closed else document
        if without_required:
            for _, schema in objects(self.document["components"]):
                schema.pop("required", None)
                schema.pop("oneOf", None) if "properties" in schema else None
        resolver = jsonschema.RefResolver("", self.document)
        self.schemas = {}  # by the type on the wire
        for key in self._keys(side):
            message = self.document["components"]["messages"][key]
            assert message["name"] not in self.schemas, f"two messages {message['name']}"
            self.schemas[message["name"]] = jsonschema.Draft7Validator(
                message["payload"], resolver=resolver)

    def _keys(self, side):
        keys = set()
        for operation in self.document["operations"].values():
            from_server = operation["messages"] if operation["action"] == "send" \
                else operation["reply"]["messages"]
            from_client = operation["messages"] if operation["action"] == "receive" else []
            for reference in from_server if side == "server" else from_client:
                keys.add(reference["$ref"].rpartition("/")[2])
        return sorted(keys)

    def faults(self, message):
        """What is wrong with it: a list of texts."""
        validator = self.schemas.get(message.get("type"))
        if validator is None:
            return [f"no message of type {message.get('type')!r}"]
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(message)]
