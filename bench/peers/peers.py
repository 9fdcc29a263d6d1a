#!/usr/bin/env python3
"""peers: other WebSocket broadcasters, each with the commands that start it and its URL.

  bench/peers/peers.py NAME --port N --spec symbols=200,rate=5000,burst=50,pad=256

runs a peer and its publisher until Ctrl-C. See bench/peers/README.md.
"""

import argparse
import importlib.util
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

PEERS_DIR = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(PEERS_DIR))
sys.path.insert(0, PEERS_DIR)
import ticks

CHANNELS_MAX = 255  # of one nchan subscription
SBIN = os.environ.get("PATH", "") + ":/usr/sbin"  # where Debian has servers


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Peer:
    """One broadcaster. It is a server that makes its ticks itself, unless it says otherwise."""

    def __init__(self, root_dir, port, spec, work_dir):
        self.root_dir = root_dir
        self.port = port
        self.spec = spec
        self.work_dir = work_dir  # for its configuration and what it writes

    def commands(self):
        """[(role, argv, env)]; role is server or publisher, env is a whole environment."""
        return [("server", [*self.program(), "--port", str(self.port), "--spec",
                            ticks.text(self.spec)], self.environment())]

    def environment(self):
        return dict(os.environ)

    def program(self):
        raise NotImplementedError

    def available(self):
        """(bool, why not)"""
        program = self.program()
        if shutil.which(program[0]) is None:
            return False, f"{program[0]} is not there: run bench/peers/setup.sh"
        return True, ""

    def url(self, symbols):
        """Of a client that wants these symbols; ["*"] is all."""
        return f"ws://127.0.0.1:{self.port}/"

    def load_options(self):
        """What ringcast-bench needs to speak with it."""
        return []

    def built(self, name):
        return os.path.join(self.root_dir, "zig-out", "bench", name)

    def here(self, name):
        return os.path.join(self.root_dir, "bench", "peers", name)

    def write(self, name, text):
        path = os.path.join(self.work_dir, name)
        with open(path, "w") as file:
            file.write(text)
        return path


class Lws(Peer):
    def program(self):
        return [self.built("peer_lws")]


class Websockets(Peer):
    mode = "broadcast"
    python = os.path.join(ROOT, ".toolchain", "peers", "venv", "bin", "python3")  # setup.sh's

    def program(self):
        return [self.python, self.here("peer_websockets.py"), "--mode", self.mode]


class WebsocketsJoined(Websockets):
    mode = "joined"


class Binance(Websockets):
    """A stand-in for the venue, as Coinbase is: trades in its form."""
    form = "binance"

    def program(self):
        return [self.python, self.here("peer_venue.py"), "--form", self.form]

    def load_options(self):
        return ["--preset", self.form]


class Coinbase(Binance):
    form = "coinbase"


class Ws(Peer):
    mode = "send"
    modules = "/usr/share/nodejs"  # of Debian, which only Debian's node looks into by itself

    def program(self):
        return ["node", self.here("peer_ws.js"), "--mode", self.mode]

    def environment(self):
        return {**os.environ, "NODE_PATH": self.modules, "NODE_ENV": "production"}

    def available(self):
        if not os.path.isdir(os.path.join(self.modules, "ws")):
            return False, "node's ws is not there: run bench/peers/setup.sh"
        return super().available()


class WsJoined(Ws):
    mode = "joined"


class Brokered(Peer):
    """A server whose ticks come from peer_publish, through a port of their own."""

    target = ""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.publish_port = free_port()

    def commands(self):
        publisher = [self.built("peer_publish"), "--target", self.target, "--port",
                     str(self.publish_port), "--spec", ticks.text(self.spec)]
        return [("server", [*self.program(), *self.configured()], self.environment()),
                ("publisher", publisher, self.environment())]

    def configured(self):
        """Writes the configuration; the arguments that name it."""
        raise NotImplementedError

    def available(self):
        if not os.access(self.built("peer_publish"), os.X_OK):
            return False, "peer_publish is not there: run zig build"
        return super().available()


class Nats(Brokered):
    target = "nats"

    def load_options(self):
        return ["--protocol", "nats"]

    def program(self):
        return [shutil.which("nats-server", path=SBIN) or "nats-server"]

    def configured(self):
        return ["-c", self.write("nats.conf", f"""\
listen: "127.0.0.1:{self.publish_port}"
websocket {{
  listen: "127.0.0.1:{self.port}"
  no_tls: true
  compression: false
}}
max_connections: 100000
max_control_line: 65536
ping_interval: "10m"
logtime: false
log_file: "{self.work_dir}/nats.log"
""")]


class Mosquitto(Brokered):
    target = "mqtt"
    more = ""  # lines of its configuration

    def load_options(self):
        return ["--preset", "mqtt"]

    def program(self):
        return [shutil.which("mosquitto", path=SBIN) or "mosquitto"]

    def configured(self):
        return ["-c", self.write("mosquitto.conf", f"""\
listener {self.publish_port} 127.0.0.1
listener {self.port} 127.0.0.1
protocol websockets
allow_anonymous true
{"user root" if os.geteuid() == 0 else ""}
set_tcp_nodelay true
max_queued_messages 0
log_dest file {self.work_dir}/mosquitto.log
log_type all
{self.more}""")]


class Nchan(Brokered):
    target = "nchan"
    module = "/usr/lib/nginx/modules/ngx_nchan_module.so"
    folder = "/var/lib/nginx/body"  # nchan needs it, whatever the configuration says

    def program(self):
        return [shutil.which("nginx", path=SBIN) or "nginx"]

    def available(self):
        if not os.path.exists(self.module):
            return False, "nchan is not there: run bench/peers/setup.sh"
        if os.geteuid() != 0 and not os.path.isdir(self.folder):
            return False, f"{self.folder} is not there: start nginx once as root, which makes it"
        return super().available()

    def load_options(self):
        return ["--protocol", "plain"]

    def url(self, symbols):
        """["{symbols}"]: those that ringcast-bench draws for each connection."""
        if symbols == ["*"]:
            symbols = [ticks.symbol_name(i) for i in range(self.spec["symbols"])]
        if len(symbols) > CHANNELS_MAX:
            raise ValueError(f"nchan has {CHANNELS_MAX} channels a subscription at most")
        return f"ws://127.0.0.1:{self.port}/sub/{','.join(symbols)}"

    def configured(self):
        files_max = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        # A new subscriber of several channels is sent what is kept of them: a little, then.
        kept = 16 + 2 * (self.spec["burst"] // self.spec["symbols"])
        temporary = "".join(f"  {name}_temp_path {self.work_dir}/{name};\n"
                            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        path = self.write("nginx.conf", f"""\
load_module {self.module};
{"user root;" if os.geteuid() == 0 else ""}
daemon off;
pid {self.work_dir}/nginx.pid;
error_log {self.work_dir}/error.log warn;
worker_processes 1;
worker_rlimit_nofile {files_max};
events {{
  worker_connections {min(files_max, 100000)};
}}
http {{
{temporary}
  access_log off;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  keepalive_timeout 3600;
  nchan_shared_memory_size 256M;
  nchan_message_buffer_length {kept};
  nchan_message_timeout 5s;
  nchan_max_channel_id_length 8192;
  server {{
    listen 127.0.0.1:{self.port} backlog=4096;
    location ~ ^/sub/(.+)$ {{
      nchan_subscriber websocket;
      nchan_channel_id "$1";
      nchan_channel_id_split_delimiter ",";
      nchan_subscriber_first_message newest;
      nchan_websocket_ping_interval 0;
    }}
  }}
  server {{
    listen 127.0.0.1:{self.publish_port};
    client_header_buffer_size 64k;
    location ~ ^/pub/(.+)$ {{
      nchan_publisher http;
      nchan_channel_id "$1";
    }}
  }}
}}
""")
        return ["-c", path, "-p", self.work_dir, "-e", f"{self.work_dir}/error.log"]


PEERS = {
    "nchan": Nchan,
    "nats": Nats,
    "mosquitto": Mosquitto,
    "websockets": Websockets,
    "websockets-joined": WebsocketsJoined,
    "ws": Ws,
    "ws-joined": WsJoined,
    "lws": Lws,
    "binance": Binance,
    "coinbase": Coinbase,
}


def use_own_python():
    """Without setup.sh, where the version of websockets does not matter."""
    if not os.path.exists(Websockets.python) and importlib.util.find_spec("websockets"):
        Websockets.python = sys.executable


class Running:
    """A peer's processes, without any pinning; a context manager."""

    def __init__(self, peer):
        self.peer = peer

    def __enter__(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.processes = []
        for _, argv, env in self.peer.commands():
            self.processes.append(subprocess.Popen(argv, env=env))
        deadline = time.monotonic() + 10
        while not self.answers():
            if time.monotonic() > deadline or self.ended():
                self.__exit__()
                raise RuntimeError("the server does not answer")
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def answers(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.peer.port)) == 0

    def ended(self):
        return any(process.poll() is not None for process in self.processes)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=PEERS)
    parser.add_argument("--port", type=int, default=9100)
    parser.add_argument("--spec", type=ticks.parse, default=dict(ticks.DEFAULTS))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    use_own_python()
    with tempfile.TemporaryDirectory(prefix="ringcast-peer-") as work_dir:
        peer = PEERS[options.name](ROOT, options.port, options.spec, work_dir)
        is_available, reason = peer.available()
        if not is_available:
            raise SystemExit(f"{options.name}: {reason}")
        try:
            with Running(peer) as running:
                all_symbols = ["{symbols}"] if options.name == "nchan" else ["*"]
                print(f"{options.name}: {peer.url(all_symbols)}", flush=True)
                while not running.ended():
                    time.sleep(0.1)
            return 1
        except KeyboardInterrupt:
            return 0


if __name__ == "__main__":
    sys.exit(main())
