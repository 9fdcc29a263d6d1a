"""docs/openapi.yaml against its grammar, and against what a real server answers at each of its paths."""
import json
import pathlib
import re
import tempfile
import unittest
import urllib.parse

try:
    import jsonschema
    import yaml
except ImportError:
    raise unittest.SkipTest("SKIPPED: python3-jsonschema and python3-yaml are not installed") from None

from server import CHECKOUT, Server, wait_until

FILE = CHECKOUT / "docs/openapi.yaml"
GRAMMAR = CHECKOUT / ".toolchain/openapi-3.0.json"  # scripts/setup.sh test
METHODS = ("get", "post")
ANYWHERE = {"400", "401", "403", "404", "405", "413", "414", "503"}
ADMIN, READ = "admin-token-0123456789", "read-token-0123456789"
ERROR = {"$ref": "#/components/schemas/Error"}


def as_json_schema(value):
    """OpenAPI's nullable as JSON Schema has it."""
    if isinstance(value, list):
        return [as_json_schema(item) for item in value]
    if not isinstance(value, dict):
        return value
    value = {key: as_json_schema(item) for key, item in value.items()}
    if value.pop("nullable", False):
        value["type"] = [value["type"], "null"]
        if "enum" in value:
            value["enum"] = [*value["enum"], None]
    return value


class OpenApi(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.document = json.loads(json.dumps(yaml.safe_load(FILE.read_text(encoding="utf8"))))
        cls.resolver = jsonschema.RefResolver("", as_json_schema(cls.document))
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        cls.addClassCleanup(folder.cleanup)
        for name, token in (("admin", ADMIN), ("read", READ)):
            pathlib.Path(folder.name, name).write_text(token)
        cls.server = Server("--admin-token-file", f"{folder.name}/admin",
                            "--admin-read-token-file", f"{folder.name}/read",
                            "--dump-dir", folder.name).start()
        cls.addClassCleanup(cls.server.kill)
        wait_until(lambda: cls.server.admin("/readyz")[0] == 200)
        wait_until(lambda: cls.server.admin("/stats/summary")[0] == 200)

    def operations(self):
        """(path, method, operation), those that end the server last."""
        all_of_them = [(path, method, item[method]) for path, item in self.document["paths"].items()
                       for method in METHODS if method in item]
        return sorted(all_of_them, key=lambda one: one[2].get("x-ends-server", False))

    def faults(self, value, schema):
        validator = jsonschema.Draft4Validator(as_json_schema(schema), resolver=self.resolver)
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]

    def resolved(self, value):
        return self.resolver.resolve(value["$ref"])[1] if "$ref" in value else value

    def target(self, path, operation):
        query = {one["name"]: one["example"] for one in operation.get("parameters", ())
                 if "example" in one}
        return path + ("?" + urllib.parse.urlencode(query) if query else "")

    def body(self, operation):
        content = self.resolved(operation.get("requestBody", {})).get("content", {})
        example = content.get("application/json", {}).get("example")
        return None if example is None else json.dumps(example).encode()

    def ask(self, path, method, operation, headers=None):
        return self.server.admin(self.target(path, operation), method.upper(), headers=headers or {},
                                 data=self.body(operation) if method == "post" else None)

    def check(self, operation, status, headers, body):
        """An answer is one that the file has."""
        media = headers.get_content_type()
        if str(status) in ANYWHERE and str(status) not in operation["responses"]:
            self.assertEqual(self.faults(json.loads(body), ERROR), [])
            return
        content = self.resolved(operation["responses"][str(status)])["content"]
        self.assertIn(media, content)
        if media == "application/json":
            self.assertEqual(self.faults(json.loads(body), content[media]["schema"]), [], body[:2000])

    def test_1_the_file_is_well_formed(self):
        if not GRAMMAR.exists():
            self.skipTest(f"SKIPPED: {GRAMMAR} is not there: scripts/setup.sh test fetches it")
        validator = jsonschema.Draft4Validator(json.loads(GRAMMAR.read_text()))
        self.assertEqual([f"{error.json_path}: {error.message}"
                          for error in validator.iter_errors(self.document)], [])
        for path, method, operation in self.operations():
            self.assertIn(operation["x-role"], ("open", "read", "write"), path)
            self.assertEqual(method == "post", operation["x-role"] == "write", path)

    def test_2_the_server_and_the_file_have_the_same_paths_and_methods(self):
        served = set()
        for index in ("/", "/admin"):
            for line in self.server.admin(index)[2].splitlines():
                path, words = line.split(maxsplit=1)
                posts = re.match(r"POST: ", words) is not None
                served.add((path, "post" if posts else "get"))
        self.assertEqual(served, {(path, method) for path, method, _ in self.operations()})

    def test_3_each_operation_asks_for_the_token_of_its_role(self):
        """S116: from another host, which a request through a proxy counts as."""
        for path, _, operation in self.operations():
            role = operation["x-role"]
            if role == "open":
                continue
            for token, expected in ((None, 401), ("wrong-token-0123456789", 401),
                                    (READ, 403 if role == "write" else None)):
                headers = {"X-Forwarded-For": "192.0.2.1"}
                if token:
                    headers["Authorization"] = f"Bearer {token}"
                if expected is not None:
                    method = "POST" if role == "write" else "GET"
                    status, _, body = self.server.admin(path, method, headers=headers)
                    self.assertEqual((path, token, status), (path, token, expected))
                    self.assertEqual(self.faults(json.loads(body), ERROR), [])

    def test_4_other_methods_are_refused_and_named(self):
        for path, item in self.document["paths"].items():
            methods = [method.upper() for method in METHODS if method in item]
            allow = {*methods, "OPTIONS", *(("HEAD",) if "GET" in methods else ())}
            for method in {"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"} - {*methods}:
                with self.subTest(f"{method} {path}"):
                    status, headers, body = self.server.admin(path, method)
                    if method == "HEAD" and method in allow:
                        self.assertNotEqual(status, 405)
                        self.assertEqual(body, "")
                        continue
                    self.assertEqual(status, 204 if method == "OPTIONS" else 405)
                    self.assertEqual(set(headers["Allow"].split(", ")), allow)

    def test_5_bodies_that_are_no_json_objects_are_refused(self):
        for path, method, _ in self.operations():
            if method == "post":
                for data, status in ((b"[]", 400), (b"level=DEBUG", 400), (b"{", 400), (b'{"a":1,"a":2}', 400),
                                     (b'{"a":"' + b"x" * 5000 + b'"}', 413)):
                    got, _, body = self.server.admin(path, "POST", data=data)
                    self.assertEqual((path, data[:12], got), (path, data[:12], status))
                    self.assertEqual(self.faults(json.loads(body), ERROR), [])

    def test_6_answers_are_as_the_file_says(self):
        """S54 to S63: all of them; each operation with the examples of its parameters."""
        for path, method, operation in self.operations():
            with self.subTest(f"{method} {path}"):
                status, headers, body = self.ask(path, method, operation)
                self.assertIn(str(status), operation["responses"], body[:500])
                self.assertLess(status, 300, body[:500])
                self.check(operation, status, headers, body)

    def test_3_a_schema_finds_what_is_wrong(self):
        health = json.loads(self.server.admin("/health")[2])
        schema = {"$ref": "#/components/schemas/Health"}
        self.assertEqual(self.faults(health, schema), [])
        for damage in ({"status": "fine"}, {"active_connections": -1}, {"epoch": None}):
            self.assertNotEqual(self.faults({**health, **damage}, schema), [], damage)


if __name__ == "__main__":
    unittest.main()
