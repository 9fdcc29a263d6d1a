"""k8s/websocket-deployment.yaml against Kubernetes' own schemas, against itself, and with a real server."""
import json
import pathlib
import re
import sys
import tempfile
import unittest

from server import CHECKOUT, Server, in_full, program, run

try:
    import yaml
except ImportError:
    yaml = None
SCHEMAS = CHECKOUT / ".toolchain/kubernetes"
if SCHEMAS.exists():
    sys.path.insert(0, str(SCHEMAS))
try:
    import kubernetes_validate
except ImportError:
    kubernetes_validate = None

MANIFEST = CHECKOUT / "k8s/websocket-deployment.yaml"
PAGE = (CHECKOUT / "docs/kubernetes.md").read_text(encoding="utf8")
FIRST_VERSION = (1, 30)
NAMESPACE = "websocket-system"
KINDS = ["Namespace", "ConfigMap", "Secret", "Deployment", "Service", "HorizontalPodAutoscaler",
         "PodDisruptionBudget", "NetworkPolicy"]
CLOSES_SECONDS = 2  # after drain_timeout: docs/options.md


def versions():
    """Those that the page promises, oldest first."""
    known = {tuple(map(int, version.split(".")[:2])) for version in kubernetes_validate.utils.all_versions()}
    return [f"{major}.{minor}" for major, minor in sorted(known) if (major, minor) >= FIRST_VERSION]


def fault_of(thing, version):
    try:
        kubernetes_validate.validate(thing, version, strict=True)
    except kubernetes_validate.ValidationError as fault:
        return f"{thing['kind']} {'.'.join(map(str, fault.path))} in {version}: {fault.message}"
    return None


@unittest.skipUnless(yaml, "SKIPPED: python3-yaml is not installed")
class Case(unittest.TestCase):
    def setUp(self):
        self.things = list(yaml.safe_load_all(MANIFEST.read_text(encoding="utf8")))

    def the(self, kind):
        (thing,) = [it for it in self.things if it["kind"] == kind]
        return thing

    @property
    def pod(self):
        return self.the("Deployment")["spec"]["template"]

    @property
    def container(self):
        (container,) = self.pod["spec"]["containers"]
        return container

    @property
    def configuration(self):
        return self.the("ConfigMap")["data"]["ringcast.yaml"]


@unittest.skipUnless(kubernetes_validate, "SKIPPED: scripts/setup.sh full installs the schemas of Kubernetes")
class Schemas(Case):
    @in_full
    def test_each_object_is_valid_in_each_version(self):
        """S127: without a key that the schema does not have."""
        self.assertGreaterEqual(len(versions()), 5)
        faults = [fault_of(thing, version) for version in versions() for thing in self.things]
        self.assertEqual([fault for fault in faults if fault], [])

    def test_a_misspelt_key_is_a_fault(self):
        deployment = self.the("Deployment")
        deployment["spec"]["template"]["spec"]["terminationGracePeriod"] = 1
        self.assertIn("terminationGracePeriod", fault_of(deployment, versions()[0]))

    def test_objects_of_the_page_are_valid(self):
        blocks = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.M | re.S)
        things = [it for block in blocks for it in yaml.safe_load_all(block) if "kind" in it]
        self.assertGreaterEqual(len(things), 3)
        faults = [fault_of(thing, version) for version in versions() for thing in things]
        self.assertEqual([fault for fault in faults if fault], [])


class Agreement(Case):
    def test_everything_is_in_the_namespace(self):
        """S127"""
        self.assertEqual([it["kind"] for it in self.things], KINDS)
        self.assertEqual(self.the("Namespace")["metadata"]["name"], NAMESPACE)
        self.assertEqual({it["metadata"].get("namespace", NAMESPACE) for it in self.things}, {NAMESPACE})

    def test_selectors_choose_the_pods(self):
        labels = self.pod["metadata"]["labels"].items()
        selectors = [self.the("Deployment")["spec"]["selector"]["matchLabels"], self.the("Service")["spec"]["selector"],
                     self.the("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
                     self.the("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
                     *(it["labelSelector"]["matchLabels"] for it in self.pod["spec"]["topologySpreadConstraints"])]
        for selector in selectors:
            self.assertLessEqual(selector.items(), labels)
        target = self.the("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
        self.assertEqual((target["kind"], target["name"]),
                         ("Deployment", self.the("Deployment")["metadata"]["name"]))

    def test_volumes_are_those_of_the_configmap_and_the_secret(self):
        volumes = {it["name"]: it for it in self.pod["spec"]["volumes"]}
        self.assertEqual(volumes.keys(), {it["name"] for it in self.container["volumeMounts"]})
        self.assertEqual(volumes["config"]["configMap"]["name"], self.the("ConfigMap")["metadata"]["name"])
        self.assertEqual(volumes["tokens"]["secret"]["secretName"], self.the("Secret")["metadata"]["name"])

    def test_ports_are_those_of_the_configuration(self):
        """S127: the Service leads to the port for clients; probes and Prometheus use the metrics port."""
        options = yaml.safe_load(self.configuration)
        ports = {it["name"]: it["containerPort"] for it in self.container["ports"]}
        self.assertEqual(ports, {"websocket": 8765, "metrics": options["monitoring"]["metrics_port"]})
        (service,) = self.the("Service")["spec"]["ports"]
        self.assertEqual((service["port"], service["targetPort"]), (8765, "websocket"))
        for probe, path in (("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
            self.assertEqual(self.container[probe]["httpGet"], {"path": path, "port": "metrics"})
        annotations = self.pod["metadata"]["annotations"]
        self.assertEqual(annotations["prometheus.io/port"], str(ports["metrics"]))
        opened = {port["port"] for rule in self.the("NetworkPolicy")["spec"]["ingress"] for port in rule["ports"]}
        self.assertEqual(opened, ports.keys())

    def test_a_pod_has_the_time_to_drain(self):
        """S133: a rolling update begins with a new pod, and gives the old one the time to close its clients."""
        spec = self.the("Deployment")["spec"]
        self.assertEqual(spec["strategy"]["rollingUpdate"], {"maxSurge": 1, "maxUnavailable": 0})
        drain = yaml.safe_load(self.configuration)["websocket"]["drain_timeout"]
        waits = self.container["lifecycle"]["preStop"]["sleep"]["seconds"]
        self.assertGreater(self.pod["spec"]["terminationGracePeriodSeconds"], waits + drain + CLOSES_SECONDS)

    def test_it_has_the_resources_and_scales_by_cpu(self):
        """S108, S128, S161"""
        self.assertEqual(self.container["resources"], {"requests": {"cpu": "1", "memory": "2Gi"},
                                                       "limits": {"cpu": "2", "memory": "4Gi"}})
        spec = self.the("HorizontalPodAutoscaler")["spec"]
        self.assertEqual((spec["minReplicas"], spec["maxReplicas"]), (2, 10))
        (metric,) = spec["metrics"]
        self.assertEqual((metric["resource"]["name"], metric["resource"]["target"]["averageUtilization"]), ("cpu", 70))
        # A number in the Deployment would undo what the autoscaler set, with each kubectl apply.
        self.assertNotIn("replicas", self.the("Deployment")["spec"])

    def test_the_pod_is_restricted(self):
        """S127: what the Pod Security Standard `restricted` asks for, and no token of the cluster."""
        self.assertEqual(self.the("Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted")
        pod, container = self.pod["spec"], self.container["securityContext"]
        self.assertEqual((pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]), (True, 1000))
        self.assertEqual(pod["securityContext"]["seccompProfile"],
                         {"type": "Localhost", "localhostProfile": "ringcast.json"})
        self.assertEqual(container, {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                     "capabilities": {"drop": ["ALL"]}})
        self.assertIs(pod["automountServiceAccountToken"], False)
        self.assertLessEqual({kind for volume in pod["volumes"] for kind in volume if kind != "name"},
                             {"configMap", "secret", "emptyDir"})

    def test_the_mesh_leaves_the_pods_out(self):
        """S131"""
        annotations = self.pod["metadata"]["annotations"]
        self.assertEqual((annotations["sidecar.istio.io/inject"], annotations["linkerd.io/inject"]),
                         ("false", "disabled"))


class Configuration(Case):
    """The ConfigMap and the Secret, as files of a server."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="ringcast-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        mounts = {it["name"]: it["mountPath"] for it in self.container["volumeMounts"]}
        text = self.configuration
        self.assertIn(mounts["tokens"] + "/tokens.json", text)
        (self.folder / "ringcast.yaml").write_text(text.replace(mounts["tokens"], folder.name))
        for name, content in self.the("Secret")["stringData"].items():
            (self.folder / name).write_text(content)
        self.env = {it["name"]: it["value"] for it in self.container["env"]}
        self.assertEqual(self.env["RINGCAST_CONFIG"], mounts["config"] + "/ringcast.yaml")
        self.env["RINGCAST_CONFIG"] = str(self.folder / "ringcast.yaml")

    def test_it_is_good_and_without_a_warning(self):
        done = run([program("ringcast"), "--check-config"], env=self.env)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "configuration is good\n", ""))

    def test_the_probes_of_a_server_with_it_succeed(self):
        """S127: and nobody may subscribe before the Secret is replaced."""
        with Server("--metrics-port", 0, "--metrics-host", "127.0.0.1", "--log-format", "text", env=self.env) as server:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                path = self.container[probe]["httpGet"]["path"]
                self.assertEqual(server.admin(path, port=server.metrics_port)[0], 200, probe)
            effective = json.loads(server.admin("/config")[2])
            self.assertEqual(effective["admin"]["host"], "127.0.0.1")
            done = run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Authorization: Bearer " + "0" * 64,
                        "-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", "Sec-WebSocket-Version: 13",
                        "-H", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", server.http()])
            self.assertEqual(done.stdout, "401")


if __name__ == "__main__":
    unittest.main()
