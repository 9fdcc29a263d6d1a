"""Certificates for tests, made by the openssl program when they are asked for, once in a process:

    desk = tls_files.authority().issue("desk.test", "DNS:desk.test,IP:127.0.0.1")
    Server("--tls-port", "0", "--tls-certificate", desk.option)
    tls_files.client_context().wrap_socket(connection, server_hostname="desk.test")
"""
import atexit
import datetime
import functools
import itertools
import pathlib
import shutil
import ssl
import subprocess
import tempfile

KEYS = {"ec": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
        "p384": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
        "ed25519": ["-newkey", "ed25519"],
        "rsa": ["-newkey", "rsa:2048"]}
LOCAL = "DNS:localhost,IP:127.0.0.1"
CONFIG = """
[ca]
database = {folder}/database
new_certs_dir = {folder}
certificate = {certificate}
private_key = {key}
default_md = sha256
default_days = 30
default_crl_days = 30
rand_serial = yes
unique_subject = no
policy = policy
copy_extensions = none
email_in_dn = yes
[policy]
commonName = optional
organizationName = optional
emailAddress = optional
[req]
distinguished_name = names
[names]
[extensions]
{extensions}
"""
SIGNS = "basicConstraints = critical,CA:TRUE\nkeyUsage = critical,keyCertSign,cRLSign,digitalSignature"

_numbers = itertools.count()


@functools.cache
def folder():
    path = pathlib.Path(tempfile.mkdtemp(prefix="ringcast-tls-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def openssl(*arguments):
    """Its standard output."""
    run = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)
    if run.returncode != 0:
        raise AssertionError(f"openssl {' '.join(map(str, arguments))}\n{run.stderr}")
    return run.stdout


class Certificate:
    """Files of a certificate: `certificate` alone, `chain` with those between it and the root, and `key`."""

    def __init__(self, path, between=""):
        self.certificate, self.chain, self.key = (pathlib.Path(f"{path}{end}") for end in (".pem", ".chain.pem", ".key"))
        self.between = between

    def complete(self):
        self.chain.write_text(self.certificate.read_text() + self.between)
        self.key.chmod(0o600)
        return self

    @property
    def option(self):
        """The value of --tls-certificate."""
        return f"{self.chain},{self.key}"

    @property
    def serial(self):
        return openssl("x509", "-noout", "-serial", "-in", self.certificate).strip().removeprefix("serial=")

    @property
    def pin(self):
        """"spki-sha256:HEX" of its public key."""
        public = openssl("x509", "-noout", "-pubkey", "-in", self.certificate)
        der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=public.encode(), capture_output=True,
                             check=True).stdout
        digest = subprocess.run(["openssl", "dgst", "-sha256", "-r"], input=der, capture_output=True, check=True).stdout
        return f"spki-sha256:{digest.decode().split()[0]}"


class Authority(Certificate):
    """Signs certificates. `certificate` is what a peer trusts."""

    def __init__(self, name, signer=None):
        path = folder() / f"authority-{name}"
        super().__init__(path, "" if signer is None else signer.between)
        self.name, self.signer = name, signer
        self.folder = path
        path.mkdir()
        (path / "database").touch()
        if signer is None:
            openssl("req", "-x509", *KEYS["ec"], "-nodes", "-keyout", self.key, "-out", self.certificate, "-days", 30,
                    "-subj", f"/CN={name}", "-config", self.config(SIGNS), "-extensions", "extensions")
        else:
            signer.sign(self, f"/CN={name}", "ec", SIGNS, [])
            self.between = self.certificate.read_text() + signer.between

    def config(self, extensions):
        path = self.folder / "config"
        path.write_text(CONFIG.format(folder=self.folder, certificate=self.certificate, key=self.key, extensions=extensions))
        return path

    def sign(self, files, subject, key, extensions, dates):
        request = self.folder / "request"
        config = self.config(extensions)
        openssl("req", "-new", *KEYS[key], "-nodes", "-keyout", files.key, "-out", request, "-subj", subject, "-config", config)
        openssl("ca", "-batch", "-notext", "-name", "ca", "-config", config, "-in", request, "-out", files.certificate,
                "-extensions", "extensions", *dates)

    def issue(self, name, names=None, key="ec", starts=-1, ends=30, client=False, subject=None, more=""):
        """names: as subjectAltName has them; starts, ends: in days from now; more: lines of extensions. Each call makes
        another certificate."""
        path = self.folder / f"{next(_numbers)}-{name.replace('/', '_').replace('*', '_')}"
        files = Certificate(path, self.between)
        now = datetime.datetime.now(datetime.timezone.utc)
        dates = [(now + datetime.timedelta(days=days)).strftime("%Y%m%d%H%M%SZ") for days in (starts, ends)]
        extensions = [f"extendedKeyUsage = {'clientAuth' if client else 'serverAuth'}", more]
        if names is not None:
            extensions.append(f"subjectAltName = {names}")
        self.sign(files, subject or f"/CN={name}", key, "\n".join(extensions), ["-startdate", dates[0], "-enddate", dates[1]])
        return files.complete()

    def revocations(self, *revoked):
        """The file of a new CRL."""
        for files in revoked:
            openssl("ca", "-name", "ca", "-config", self.config(""), "-revoke", files.certificate)
        path = self.folder / f"{next(_numbers)}-revocations.pem"
        openssl("ca", "-name", "ca", "-config", self.config(""), "-gencrl", "-out", path)
        return path

    def response(self, files, seconds=86400):
        """The file (DER) of an OCSP response about files, which holds for some time."""
        path = self.folder / f"{next(_numbers)}-response.der"
        openssl("ocsp", "-index", self.folder / "database", "-rsigner", self.certificate, "-rkey", self.key, "-CA",
                self.certificate, "-issuer", self.certificate, "-cert", files.certificate, "-respout", path, "-nmin",
                max(1, seconds // 60), "-noverify")
        return path


_made = {}


def _once(make, *what):
    """The same files for the same words, however they are passed."""
    if (make, *what) not in _made:
        _made[make, *what] = make(*what)
    return _made[make, *what]


def authority(name="ca", signer=None):
    """The authority of this name; signer: the one above it."""
    return _once(Authority, name, signer)


def server(key="ec"):
    """A certificate for localhost and 127.0.0.1."""
    return _once(authority().issue, "localhost", LOCAL, key)


def client(name, names=None):
    """A client's, signed by authority("clients"); names: "URI:spiffe://example/desk-1,email:desk@example"."""
    return _once(_client, name, names)


def _client(name, names):
    return authority("clients").issue(name, names, client=True)


def ticket_key(number=0):
    """A file of 80 bytes, as --tls-ticket-key-file takes it."""
    return _once(_ticket_key, number)


def _ticket_key(number):
    path = folder() / f"ticket-key-{number}"
    path.write_bytes(bytes((number + i) % 256 for i in range(80)))
    path.chmod(0o600)
    return path


def client_context(certificate=None, trusts="ca", alpn=("http/1.1",)):
    """Verifies the server; certificate: the client's own, or none."""
    context = ssl.create_default_context(cafile=authority(trusts).certificate)
    context.set_alpn_protocols(list(alpn))
    if certificate is not None:
        context.load_cert_chain(certificate.chain, certificate.key)
    return context
