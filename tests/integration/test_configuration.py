"""Profiles, files of other servers, printed configurations, credentials, and /config."""
import json
import pathlib
import re
import subprocess
import tempfile
import unittest

from clients import RawClient, subscribe_message
from server import CHECKOUT, SANITIZER_WORDS, Server, clean_environment, program, run, wait_until

TOKEN = "full-token-0123456789abcdef"
PROFILES = ("development", "test", "production")

# (ids, a document with the keys of these rows, values of it by key, keys that are ignored: why)
REGISTERS = "ringcast registers nowhere"
SCALES = "ringcast starts no instances"
POOL = "give websocket.max_connections"
BATCH = "a tick is never held back"
WHOLE = """\
environment: {environment}
websocket:
  host: "0.0.0.0"
  port: 8765
  max_connections: 1000
  max_subscriptions_per_client: 100
  heartbeat_interval: 30.0
service_discovery:
  backend: "consul"
  consul_host: "localhost"
  consul_port: 8500
scaling:
  min_instances: 1
  max_instances: 10
  target_cpu_utilization: 70
  target_memory_utilization: 80
monitoring:
  enabled: true
  metrics_port: 9090
  prometheus_enabled: true
"""
WHOLE_VALUES = {"websocket.host": '"0.0.0.0"', "websocket.port": "8765", "websocket.max_connections": "1000",
                "websocket.max_subscriptions_per_client": "100", "websocket.heartbeat_interval": "30",
                "monitoring.metrics_port": "9090", "monitoring.enabled": "yes", "monitoring.prometheus_enabled": "yes"}
WHOLE_IGNORED = {"service_discovery.backend": REGISTERS, "service_discovery.consul_host": REGISTERS,
                 "service_discovery.consul_port": REGISTERS, "scaling.min_instances": SCALES,
                 "scaling.max_instances": SCALES, "scaling.target_cpu_utilization": SCALES,
                 "scaling.target_memory_utilization": SCALES}
# Keys without a section, as (ids, text, values, ignored).
LOOSE = (
    ("S39", "connection_pool_size: 1000\nidle_timeout: 300.0\n", {"websocket.idle_timeout": "300"},
     {"connection_pool_size": POOL}),
    ("S40", "batch_size: 100\nbatch_timeout: 0.1\nbatch_max_bytes: 131072\n", {},
     {"batch_size": BATCH, "batch_timeout": BATCH, "batch_max_bytes": BATCH}),
    ("S40", "batch_size: 200\nflush_interval: 0.03\n", {}, {"batch_size": BATCH, "flush_interval": BATCH}),
    ("S42", "pool_min: 10\npool_max: 1000\n", {}, {"pool_min": POOL, "pool_max": POOL}),
    ("S42", "connection_pool_min: 20\nconnection_pool_max: 2000\n", {},
     {"connection_pool_min": POOL, "connection_pool_max": POOL}),
    ("S41", "gc_threshold_mb: 300\ngc_interval: 60\nmemory_threshold_mb: 400\nmax_memory_percent: 80\n"
     "cleanup_interval: 60\n",
     {"memory_soft": "300m", "memory_hard": "400m", "gc_interval": "60", "max_memory_percent": "80",
      "cleanup_interval": "60"}, {}),
    ("S41", "max_memory_percent: 75\ncleanup_interval: 30\n",
     {"max_memory_percent": "75", "cleanup_interval": "30"}, {}),
)


ENTRY = re.compile(r'( *)(\w+):(?: ("(?:[^"\\]|\\.)*"|[^#"\s]+))?(?: # .*)?$')


def values(text):
    """{"websocket.port": "8765"} of a printed configuration; what is not set is not there."""
    found, section = {}, ""
    for line in text.splitlines():
        entry = ENTRY.match(line)
        if entry and not entry[3]:
            section = entry[2]
        elif entry:
            found[f"{section}.{entry[2]}" if entry[1] else entry[2]] = entry[3]
        elif line.startswith("  - "):
            found.setdefault(section, []).append(line)
    return found


class ConfigurationTestCase(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.path = self.folder / "ringcast.yaml"

    def ringcast(self, *arguments, env=None, code=0):
        result = run([program("ringcast"), *map(str, arguments)], env=clean_environment(env))
        self.assertEqual(result.returncode, code, result.stderr)
        for word in SANITIZER_WORDS:
            self.assertNotIn(word, result.stderr)
        return result

    def printed(self, *arguments, env=None):
        return self.ringcast("--print-config", *arguments, env=env).stdout

    def printed_of(self, text, env=None):
        self.path.write_text(text)
        return self.printed("--config", self.path, env=env)

    def warnings(self, *arguments, env=None):
        result = self.ringcast("--check-config", *arguments, env=env)
        self.assertEqual(result.stdout, "configuration is good\n")
        return result.stderr.splitlines()


class Documents(ConfigurationTestCase):
    def check_ignored(self, lines, ignored):
        """Exactly one warning for each key, with its reason."""
        for key, reason in ignored.items():
            about = [line for line in lines if re.search(rf":\d+: {re.escape(key)} is ignored: ", line)]
            self.assertEqual(len(about), 1, lines)
            self.assertIn(reason, about[0])
        self.assertEqual(len(lines), len(ignored), lines)

    def test_the_file_of_deployments_is_accepted_unchanged(self):
        """S38: each key does what it says, or is ignored with one warning that gives the reason."""
        for environment in PROFILES:
            with self.subTest(environment):
                text = WHOLE.format(environment=environment)
                found = values(self.printed_of(text))
                self.assertEqual({key: found[key] for key in WHOLE_VALUES}, WHOLE_VALUES)
                self.assertEqual(found["environment"], f'"{environment}"')
                self.check_ignored(self.warnings("--config", self.path), WHOLE_IGNORED)

    def test_a_switch_has_the_words_of_yaml(self):
        """S38: true and false, yes and no, on and off."""
        for text, value in (("true", "yes"), ("yes", "yes"), ("on", "yes"), ("false", "no"), ("no", "no"),
                            ("off", "no")):
            for section, key in (("monitoring", "enabled"), ("monitoring", "prometheus_enabled"),
                                 ("security", "rate_limit_enabled")):
                printed = self.printed_of(f"{section}:\n  {key}: {text}\n")
                self.assertEqual(values(printed)[f"{section}.{key}"], value)

    def test_keys_without_a_section_stand_in_three_places(self):
        """S39 to S42: at the top level, below websocket and below performance."""
        for ids, text, wanted, ignored in LOOSE:
            for section in ("", "websocket", "performance"):
                with self.subTest(ids, section=section):
                    indented = text if not section else \
                        f"{section}:\n" + "".join(f"  {line}\n" for line in text.splitlines())
                    found = values(self.printed_of(indented))
                    self.assertEqual({key: found[key] for key in wanted}, wanted)
                    prefix = section and f"{section}."
                    self.check_ignored(self.warnings("--config", self.path),
                                       {f"{prefix}{key}": reason for key, reason in ignored.items()})

    def test_variables_of_other_programs_are_not_answered(self):
        """S35, S37: Redis and Consul have one warning each; what ringcast does not know has none."""
        self.assertEqual(self.warnings(env={"DATABASE_URL": "postgres://x", "REDIS_URL": "redis://x",
                                            "AI_API_KEY": "s3cr3t"}), [])
        lines = self.warnings(env={"REDIS_HOST": "r", "CONSUL_HOST": "c"})
        self.assertEqual(len(lines), 2, lines)
        self.assertIn("REDIS_HOST is ignored: no Redis is needed", lines[0])
        self.assertIn("CONSUL_HOST is ignored: ringcast registers nowhere", lines[1])

    def test_the_variables_of_containers_are_read(self):
        """S35"""
        found = values(self.printed(env={
            "WEBSOCKET_HOST": "127.0.0.1", "WEBSOCKET_PORT": "1", "MAX_CONNECTIONS": "2",
            "MAX_SUBSCRIPTIONS_PER_CLIENT": "3", "LOG_LEVEL": "WARNING"}))
        self.assertEqual([found[key] for key in (
            "websocket.host", "websocket.port", "websocket.max_connections",
            "websocket.max_subscriptions_per_client", "logging.level")],
            ['"127.0.0.1"', "1", "2", "3", "WARNING"])

    def test_the_files_that_are_shipped_are_good(self):
        """S49, S50: and have no warning."""
        names = sorted(path.name for path in (CHECKOUT / "config").glob("*.yaml"))
        self.assertEqual(names, sorted(["deployment.yaml", "deployment-custom.yaml", "websocket_config.yaml",
                                        *(f"deployment-{profile}.yaml" for profile in PROFILES)]))
        for name in names:
            with self.subTest(name):
                self.assertEqual(self.warnings("--config", CHECKOUT / "config" / name), [])

    def test_the_custom_deployment_has_its_own_values(self):
        """S50: 3000 connections and 20.0 s"""
        found = values(self.printed("--config", CHECKOUT / "config/deployment-custom.yaml"))
        self.assertEqual(found["websocket.max_connections"], "3000")
        self.assertEqual(found["websocket.heartbeat_interval"], "20")

    def test_a_value_that_is_wrong_is_an_error_with_its_path(self):
        """S45: file, line and whole key, also in other places; the exit status is 2. S51"""
        for text, place in (("websocket:\n  heartbeat_interval: fast\n", ":2: websocket.heartbeat_interval: "),
                            ("idle_timeout: 0\n", ":1: idle_timeout: "),
                            ("performance:\n  idle_timeout: x\n", ":2: performance.idle_timeout: "),
                            ("performance:\n  port: 1\n", ":2: performance.port: unknown key"),
                            ("monitoring:\n  enabled: perhaps\n", ":2: monitoring.enabled: "),
                            ("feeds:\n  - sim\n  - smi\n", ":3: feeds: ")):
            with self.subTest(text):
                self.path.write_text(text)
                result = self.ringcast("--check-config", "--config", self.path, code=2)
                self.assertIn(f"{self.path}{place}", result.stderr)
                self.assertEqual(result.stdout, "")


class Page(ConfigurationTestCase):
    def test_each_subject_of_a_configuration_has_its_keys(self):
        """S48: the nine subjects are on the page of the options, with keys that exist."""
        page = (CHECKOUT / "docs/options.md").read_text(encoding="utf8")
        rows = dict(re.findall(r"^\| ([\w ]+) \| (.*) \|$", page.split("### Subjects of")[1].split("## Pro")[0], re.M))
        del rows["subject"]
        self.assertEqual(list(rows), ["websocket", "service discovery", "load balancing", "scaling", "security",
                                      "logging", "monitoring", "cache", "database"])
        printed = self.printed()
        for key in re.findall(r"`([\w.]+)`", " ".join(rows.values())):
            section, _, name = key.rpartition(".")
            self.assertRegex(printed, rf"(?m)^{section}:\n(  .*\n)*?  (# )?{name}:" if section else
                             rf"(?m)^(# )?{name}:")

    def test_what_does_not_apply_is_said(self):
        """S37"""
        page = (CHECKOUT / "docs/options.md").read_text(encoding="utf8")
        self.assertIn("ringcast does not read `DATABASE_URL`, `REDIS_URL` and `AI_API_KEY`", page)


class Profiles(ConfigurationTestCase):
    def test_the_program_needs_no_file_for_a_profile(self):
        """S36, S43, S49: the values are those of the file in config."""
        for profile in PROFILES:
            for where in ({"env": {"ENVIRONMENT": profile}}, {"env": {"RINGCAST_ENVIRONMENT": profile}}):
                with self.subTest(profile):
                    result = run([program("ringcast"), "--print-config"], cwd=self.folder,
                                 env=clean_environment(where["env"]))
                    of_file = self.printed("--config", CHECKOUT / f"config/deployment-{profile}.yaml")
                    self.assertEqual(values(result.stdout), values(of_file))
                    self.assertIn(f" # profile {profile}\n", result.stdout)

    def test_a_server_runs_with_the_values_of_a_profile(self):
        """S36: and its log has no warning of them."""
        with Server(env={"ENVIRONMENT": "test"}) as server:
            self.assertEqual(server.stats()["connections"]["max_connections"], 200)
            self.assertFalse([line for line in server.log_lines() if " WARNING " in line], server.log())

    def test_a_client_notices_no_difference_between_the_profiles(self):
        """S149: it sends the same, and receives messages of the same form and the same errors."""
        conversation = ((subscribe_message(["000001.SZ"], ["quote"], id=1), "SUBSCRIBED"),
                        (subscribe_message(["NONE.SZ"], ["quote"], id=2), "SUBSCRIBED"),
                        ('{"type":"LIST","id":3}', "SUBSCRIPTIONS"), ('{"type":"PING","id":4}', "PONG"),
                        ('{"type":"NONSENSE","id":5}', "ERROR"), ('{"type":"STATUS","id":6}', "STATUS"),
                        ('{"type":"UNSUBSCRIBE","id":7,"data":{"symbols":["000001.SZ"],"data_types":["quote"]}}',
                         "UNSUBSCRIBED"))

        def form(value, key=""):
            if isinstance(value, dict):
                return {name: form(part, name) for name, part in value.items()}
            if isinstance(value, list):
                return [form(part) for part in value]
            if key in ("code", "type", "id", "symbol"):
                return value
            return "number or null" if value is None or type(value) in (int, float) else type(value).__name__

        def received(env):
            with Server("--feed", "sim:symbols=1,rate=50", "--log-file", "/dev/stderr", env=env) as server, \
                    RawClient(server.port) as client:
                self.assertTrue(wait_until(lambda: server.stats()["publisher"]["channels"] == 1))
                messages = [client.next_message(("WELCOME",))]
                messages += [client.ask(*pair) for pair in conversation[:1]] + [client.next_message(("quote",))]
                messages += [client.ask(*pair) for pair in conversation[1:]]
                return form(messages)
        expected = received({})
        self.assertEqual([message["type"] for message in expected],
                         ["WELCOME", "SUBSCRIBED", "quote", *(kind for _, kind in conversation[1:])])
        for profile in PROFILES:
            with self.subTest(profile):
                self.assertEqual(received({"ENVIRONMENT": profile}), expected)

    def test_an_unknown_profile_is_one_warning(self):
        """S36"""
        lines = self.warnings(env={"ENVIRONMENT": "staging"})
        self.assertEqual(len(lines), 1, lines)
        self.assertIn('ENVIRONMENT: no profile has the name "staging"', lines[0])
        self.assertIn("development (dev), test and production (prod)", lines[0])

    def test_the_variable_wins_over_the_key(self):
        """S36, S44: default < profile < file < variable < option"""
        self.path.write_text("environment: development\nwebsocket:\n  heartbeat_interval: 9\n")
        text = self.printed("--config", self.path, "--drain-timeout", "1",
                            env={"ENVIRONMENT": "prod", "MAX_CONNECTIONS": "7"})
        for line in ("  max_connections: 7 # MAX_CONNECTIONS", "  drain_timeout: 1 # --drain-timeout",
                     f"  heartbeat_interval: 9 # {self.path}:3", 'environment: "prod" # ENVIRONMENT',
                     "  max_subscriptions_per_client: 200 # profile production", "  idle_timeout: 300 # default"):
            self.assertIn(f"{line}\n", text)


class Printed(ConfigurationTestCase):
    ARGUMENTS = ("--feed", "sim:types=quote", "--feed", "sim:rate=5,symbols=3", "--cores", "1",
                 "--ip-deny", "10.0.0.0/8", "--unix", "/tmp/a b # c.sock", "--record-file-seconds", "1.5",
                 "--auth-token", TOKEN, "--tokens-file", "/etc/tokens.json")

    def test_a_printed_configuration_is_a_configuration(self):
        """S45, S51: --config reads it, and prints the same values. A path is no secret; a token is."""
        text = self.printed(*self.ARGUMENTS, env={"ENVIRONMENT": "production"})
        self.assertNotIn(TOKEN, text)
        self.assertIn('"/etc/tokens.json" # --tokens-file\n', text)
        again = self.printed_of(text)
        self.assertEqual(values(again), values(text))
        self.assertEqual(len(values(again)["feeds"]), 2)
        self.assertIn('  unix: "/tmp/a b # c.sock" # ', text)

    def test_printed_variables_are_a_file_for_docker(self):
        """S47: NAME=VALUE, a line each, without quotes; they give the same configuration."""
        text = self.ringcast("--print-env", *self.ARGUMENTS, env={"ENVIRONMENT": "production"}).stdout
        self.assertNotIn(TOKEN, text)
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        for line in lines:
            self.assertRegex(line, r"^RINGCAST_[A-Z_]+=.")
        self.assertIn("RINGCAST_FEED=sim:types=quote;sim:rate=5,symbols=3", lines)
        self.assertEqual(values(self.printed(env=dict(line.split("=", 1) for line in lines))),
                         values(self.printed(*self.ARGUMENTS, env={"ENVIRONMENT": "production"})))

    def test_warnings_are_comments(self):
        """S38"""
        for option in ("--print-config", "--print-env"):
            text = self.ringcast(option, "--config", CHECKOUT / "tests/data/deployment.yaml").stdout
            self.assertIn("deployment.yaml:12: service_discovery.backend is ignored: ", text)
            self.assertEqual(len(re.findall("^# warning: ", text, re.M)),
                             len(self.warnings("--config", CHECKOUT / "tests/data/deployment.yaml")))

    def test_what_is_wrong_is_not_printed(self):
        """S45"""
        for option in ("--print-config", "--print-env"):
            self.assertEqual(self.ringcast(option, "--port", "x", code=2).stdout, "")

    def test_output_that_cannot_be_written_is_an_error(self):
        with open("/dev/full", "w", encoding="utf8") as full:
            result = subprocess.run([program("ringcast"), "--print-config"], stdout=full, timeout=30,
                                    stderr=subprocess.PIPE, env=clean_environment(), check=False)
        self.assertEqual(result.returncode, 1)


class Credentials(ConfigurationTestCase):
    def test_a_server_takes_its_secrets_from_the_service_manager(self):
        (self.folder / "auth-token").write_text(TOKEN + "\n")
        (self.folder / "admin-token").write_text("admin-token-0123456789\n")
        env = {"CREDENTIALS_DIRECTORY": str(self.folder)}
        text = self.printed("--enable-auth", env=env)
        self.assertIn(f'  auth_token_file: "{self.folder}/auth-token" # $CREDENTIALS_DIRECTORY/auth-token\n', text)
        self.assertIn(f'  token_file: "{self.folder}/admin-token" # $CREDENTIALS_DIRECTORY/admin-token\n', text)
        self.assertEqual(self.warnings("--enable-auth", env=env), [])

    def test_an_option_wins_over_a_credential(self):
        (self.folder / "tokens").write_text("not JSON")
        other = self.folder / "other.json"
        other.write_text(json.dumps({"tokens": [{"name": "a", "token": TOKEN}]}))
        env = {"CREDENTIALS_DIRECTORY": str(self.folder)}
        self.assertEqual(self.warnings("--enable-auth", "--tokens-file", other, env=env), [])
        result = self.ringcast("--enable-auth", "--check-config", env=env, code=2)
        self.assertIn("$CREDENTIALS_DIRECTORY/tokens: ", result.stderr)


class Served(ConfigurationTestCase):
    def test_the_configuration_of_a_running_server(self):
        """S57, S59: /config and /admin/config have the effective values, their origins and no secret."""
        self.path.write_text("websocket:\n  heartbeat_interval: 20.0\n")
        with Server("--config", self.path, "--feed", "sim", "--admin-token", TOKEN,
                    env={"MAX_CONNECTIONS": "12"}) as server:
            status, headers, body = server.admin("/config")
            self.assertEqual((status, headers["Content-Type"]), (200, "application/json"))
            self.assertNotIn(TOKEN, body)
            config = json.loads(body)
            self.assertEqual(config["heartbeat"], 20.0)
            self.assertEqual(config["websocket"]["heartbeat_interval"], 20.0)
            self.assertEqual(config["websocket"]["max_connections"], 12)
            self.assertEqual(config["admin"]["token"], "***")
            self.assertIsNone(config["admin"]["token_file"])
            self.assertEqual(config["feeds"], ["sim"])
            self.assertIs(config["security"]["enable_auth"], False)
            origins = config["origins"]
            self.assertEqual(origins["websocket.heartbeat_interval"], f"{self.path}:2")
            self.assertEqual(origins["websocket.max_connections"], "MAX_CONNECTIONS")
            self.assertEqual(origins["admin.token"], "--admin-token")
            self.assertEqual(origins["websocket.idle_timeout"], "default")
            self.assertEqual(server.admin("/admin/config")[2], body)
            found = run(["sh", "-c", f"curl -s localhost:{server.admin_port}/config | jq .heartbeat"])
            self.assertEqual(float(found.stdout), 20.0)
            self.assertEqual(server.admin("/config", method="POST")[0], 405)

    def test_every_key_is_served(self):
        """S57"""
        with Server() as server:
            config = json.loads(server.admin("/config")[2])
            keys = set(re.findall(r"^\| `--.*\| `([\w.]+)` \|[^|]*\|$",
                                  (CHECKOUT / "docs/options.md").read_text(encoding="utf8"), re.M))
            self.assertGreater(len(keys), 50)
            self.assertEqual(set(config["origins"]), keys)
            for key in keys:
                section, _, name = key.rpartition(".")
                self.assertIn(name, config[section] if section else config)

    def test_other_hosts_need_the_token(self):
        """S57, S59"""
        address = run(["hostname", "-I"]).stdout.split()
        if not address:
            self.skipTest("SKIPPED: this machine has no address but loopback")
        with Server("--admin-host", "0.0.0.0", "--admin-token", TOKEN) as server:
            for path in ("/config", "/admin/config"):
                url = f"http://{address[0]}:{server.admin_port}{path}"
                ask = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}"]
                self.assertEqual(run([*ask, url]).stdout, "401")
                self.assertEqual(run([*ask, "-H", f"Authorization: Bearer {TOKEN}", url]).stdout, "200")


if __name__ == "__main__":
    unittest.main()
