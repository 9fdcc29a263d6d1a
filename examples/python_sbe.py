#!/usr/bin/env python3
"""python_sbe: market data of ringcast as SBE, decoded by its schema alone.

    python_sbe.py ws://localhost:8765 000001.SZ quote

fetches the schema from the server, subscribes with the subprotocol md.sbe.v1, and prints the values of each frame, prices
and sizes as text with all their digits. Needs the package websockets. Schema and decimals() are of use without it: Schema knows the
rules of SBE 1.0 and nothing of ringcast.
"""
import asyncio
import decimal
import json
import struct
import sys
import urllib.parse
import urllib.request
import xml.etree.ElementTree

NUMBERS = {"char": "s", "int8": "b", "uint8": "B", "int16": "h", "uint16": "H", "int32": "i", "uint32": "I",
           "int64": "q", "uint64": "Q", "float": "f", "double": "d"}


def local(element):
    return element.tag.rpartition("}")[2]


def null_of(primitive):
    """The value that says "none", of a type that names no other."""
    if primitive in ("float", "double"):
        return float("nan")
    if primitive == "char":
        return 0
    bits = 8 * struct.calcsize("=" + NUMBERS[primitive])
    return 2 ** bits - 1 if primitive.startswith("u") else -2 ** (bits - 1)


class Number:
    """A <type>: one number, or a fixed count of them; characters become text."""

    def __init__(self, schema, element):
        self.name = element.get("name")
        self.primitive = element.get("primitiveType")
        self.length = int(element.get("length", 1))
        self.format = schema.order + NUMBERS[self.primitive]
        self.item_bytes = struct.calcsize(self.format)
        self.presence = element.get("presence", "required")
        null = element.get("nullValue")
        self.null = null_of(self.primitive) if null is None else type(null_of(self.primitive))(null)
        self.constant = element.text if self.presence == "constant" else None
        self.bytes = 0 if self.constant is not None else self.item_bytes * self.length

    def decode(self, data, at, optional):
        if self.constant is not None:
            return self.constant if self.primitive == "char" else int(self.constant)
        if self.primitive == "char":
            text = data[at:at + self.bytes].split(b"\0")[0].decode()
            return None if optional and not text else text
        values = [struct.unpack_from(self.format, data, at + i * self.item_bytes)[0] for i in range(self.length)]
        if optional:
            values = [None if value == self.null or value != value else value for value in values]
        return values[0] if self.length == 1 else values


class Choice:
    """An <enum> (the name of the value) or a <set> (the list of names)."""

    def __init__(self, schema, element):
        self.name = element.get("name")
        self.presence = "required"
        encoding = element.get("encodingType")
        self.number = schema.types.get(encoding) or Number(schema, xml.etree.ElementTree.Element(
            "type", name=encoding, primitiveType=encoding))
        self.bytes = self.number.bytes
        self.is_set = local(element) == "set"
        self.names = {child.text.strip(): child.get("name") for child in element}

    def decode(self, data, at, optional):
        value = self.number.decode(data, at, False)
        if self.is_set:
            return [name for bit, name in self.names.items() if value >> int(bit) & 1]
        if value == self.number.null and self.number.primitive != "char":
            return None
        return self.names.get(str(value), value)  # One that a later schema may know.


class Composite:
    def __init__(self, schema, element):
        self.name = element.get("name")
        self.presence = "required"
        self.members = []  # (name, offset, type)
        self.bytes = 0
        for child in element:
            kind = schema.types[child.get("type")] if local(child) == "ref" else schema.type_of(child)
            offset = int(child.get("offset", self.bytes))
            self.members.append((child.get("name"), offset, kind))
            self.bytes = offset + kind.bytes

    def member(self, name):
        return next((offset, kind) for own, offset, kind in self.members if own == name)

    def decode(self, data, at, optional):
        return {name: kind.decode(data, at + offset, kind.presence == "optional")
                for name, offset, kind in self.members}


class Field:
    def __init__(self, schema, element, at):
        self.name = element.get("name")
        self.kind = schema.type(element.get("type"))
        self.optional = (element.get("presence") or self.kind.presence) == "optional"
        self.since = int(element.get("sinceVersion", 0))
        self.offset = int(element.get("offset", at))


class Block:
    """A message, or an entry of a group: fields, then groups, then data."""

    def __init__(self, schema, element):
        self.name = element.get("name")
        self.since = int(element.get("sinceVersion", 0))
        self.fields, self.groups, self.data = [], [], []
        end = 0
        for child in element:
            if local(child) == "field":
                self.fields.append(Field(schema, child, end))
                end = self.fields[-1].offset + self.fields[-1].kind.bytes
            elif local(child) == "group":
                dimension = schema.types[child.get("dimensionType", "groupSizeEncoding")]
                self.groups.append((Block(schema, child), dimension))
            elif local(child) == "data":
                self.data.append((child.get("name"), schema.types[child.get("type")],
                                  int(child.get("sinceVersion", 0))))
        self.bytes = int(element.get("blockLength", end))
        self.fields_end = end

    def decode(self, data, at, block_bytes, version):
        """The values, and where the next thing begins."""
        if at + block_bytes > len(data):
            raise ValueError(f"{self.name}: the message is cut short")
        values = {}
        for field in self.fields:
            there = field.since <= version and field.offset + field.kind.bytes <= block_bytes
            values[field.name] = field.kind.decode(data, at + field.offset, field.optional) if there else None
        at += block_bytes
        for group, dimension in self.groups:
            if group.since > version:
                values[group.name] = []
                continue
            size = dimension.decode(data, at, False)
            at += dimension.bytes
            values[group.name] = []
            for _ in range(size["numInGroup"]):
                entry, at = group.decode(data, at, size["blockLength"], version)
                values[group.name].append(entry)
        for name, kind, since in self.data:
            if since > version:
                values[name] = None
                continue
            length_at, length = kind.member("length")
            text_at, text = kind.member("varData")
            begin = at + text_at
            at = begin + length.decode(data, at + length_at, False)
            if at > len(data):
                raise ValueError(f"{name}: the message is cut short")
            values[name] = data[begin:at].decode()
        return values, at


class Schema:
    def __init__(self, text):
        root = xml.etree.ElementTree.fromstring(text)
        self.id = int(root.get("id"))
        self.version = int(root.get("version", 0))
        self.order = ">" if root.get("byteOrder") == "bigEndian" else "<"
        self.types = {}
        for element in (element for types in root.iter("types") for element in types):
            self.types[element.get("name")] = self.type_of(element)
        self.header = self.types[root.get("headerType", "messageHeader")]
        self.messages = {int(element.get("id")): Block(self, element) for element in root
                         if local(element) == "message"}

    def type_of(self, element):
        return {"type": Number, "composite": Composite, "enum": Choice, "set": Choice}[local(element)](self, element)

    def type(self, name):
        if name not in self.types and name in NUMBERS:
            self.types[name] = Number(self, xml.etree.ElementTree.Element("type", name=name, primitiveType=name))
        return self.types[name]

    def decode(self, data, at=0):
        """(the message's name, its values by name, where it ends). None is null."""
        if at + self.header.bytes > len(data):
            raise ValueError("the header is cut short")
        header = self.header.decode(data, at, False)
        if header["schemaId"] != self.id:
            raise ValueError(f"schema {header['schemaId']}, not {self.id}")
        if header["templateId"] not in self.messages:
            raise ValueError(f"template {header['templateId']} is not of this schema")
        message = self.messages[header["templateId"]]
        values, at = message.decode(data, at + self.header.bytes, header["blockLength"], header["version"])
        return message.name, values, at


def decimals(block, values, exponents=None):
    """The values with ringcast's mantissas as exact decimals: one whose type is T has the exponent T_exponent."""
    exponents = exponents or values
    scaled = {}
    for field in block.fields:
        value = values[field.name]
        if isinstance(value, int) and field.kind.name + "_exponent" in exponents:
            value = decimal.Decimal(value).scaleb(exponents[field.kind.name + "_exponent"])
        if not field.name.endswith("_exponent"):
            scaled[field.name] = value
    for group, _ in block.groups:
        scaled[group.name] = [decimals(group, entry, exponents) for entry in values[group.name]]
    scaled.update({name: values[name] for name, _, _ in block.data})
    return scaled


async def follow(url, symbols, types):
    import websockets
    address = urllib.parse.urlsplit(url)
    scheme = "https" if address.scheme == "wss" else "http"
    with urllib.request.urlopen(f"{scheme}://{address.netloc}/schema/md.xml", timeout=10) as answer:
        schema = Schema(answer.read())
    names = {}  # (symbol, type) by channel
    async with websockets.connect(url, subprotocols=["md.sbe.v1"]) as client:
        await client.send(json.dumps({"type": "SUBSCRIBE", "data": {"symbols": symbols, "data_types": types}}))
        async for frame in client:
            if isinstance(frame, str):
                print(frame)
                continue
            name, values, _ = schema.decode(frame)
            block = next(block for block in schema.messages.values() if block.name == name)
            given = {key: value for key, value in decimals(block, values).items() if value is not None}
            print(name, json.dumps(given, default=str))  # decimals as text: JSON's numbers are read as binary ones


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    try:
        asyncio.run(follow(sys.argv[1], sys.argv[2].split(","), sys.argv[3].split(",")))
    except KeyboardInterrupt:
        pass
