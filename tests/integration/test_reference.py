"""Tables and figures of the docs, held against the source, the programs and a running server."""
import json
import pathlib
import re
import shutil
import sys
import tempfile
import unittest
import xml.etree.ElementTree

from server import CHECKOUT, ServerTestCase, program, run

try:
    import asyncapi
except ImportError:
    asyncapi = None

sys.path.insert(0, str(CHECKOUT / "scripts"))
import tidy  # noqa: E402

UNITS = {"KIB": 1 << 10, "MIB": 1 << 20, "NS_PER_US": 10**3, "NS_PER_MS": 10**6, "NS_PER_SECOND": 10**9}
SECOND, MS = UNITS["NS_PER_SECOND"], UNITS["NS_PER_MS"]
# (constant, what one of the page's units is, page, the page's words with the number as {})
FIGURES = (
    ("CORE_MESSAGE_BYTES_MAX", 1, "protocol.md", "A client message has at most {} bytes"),
    ("CORE_MESSAGE_BYTES_MAX", 1, "protocol.md", "a message over {} bytes"),
    ("LINK_OUT_PAUSE_BYTES", 1024, "protocol.md", "It reads again when less than {} KiB wait to be sent"),
    ("SESSION_MESSAGE_UNITS", 40000, "protocol.md", "takes more than about {} ms counts as several"),
    ("CORE_SLICE_UNITS", 40000, "protocol.md", "in slices of about {} ms"),
    ("REQUEST_ECHO_BYTES_MAX", 1, "protocol.md", "`id` is optional: a number, or a string, of at most {} bytes"),
    ("REQUEST_DEPTH_MAX", 1, "protocol.md", "Brackets nest at most {} deep"),
    ("REQUEST_SYMBOLS_MAX", 1, "protocol.md", "an array of 1 to {} strings"),
    ("MD_SYMBOL_BYTES_MAX", 1, "protocol.md", "symbols (1 to {} bytes)"),
    ("PATTERN_STARS_MAX", 1, "protocol.md", "A pattern has at most {} of them"),
    ("PATTERN_BYTES_MAX", 1, "protocol.md", "of them, and at most {} bytes"),
    ("REQUEST_MAX_LAG_MS_MAX", 1, "protocol.md", "how far the client may fall behind: 1 to {}, or 0"),
    ("VARIANT_DEPTHS_TEXT", 1, "protocol.md", "| `depth` | {}: books"),
    ("VARIANT_INTERVALS_TEXT", 1, "protocol.md", "| `delivery.interval_ms` | {}; with"),
    ("CHANNELS_VARIANTS_MAX", 1, "protocol.md", "There can be {} such channels at a time in the server"),
    ("CHANNELS_CLIENT_VARIANTS_MAX", 1, "protocol.md", "(106), and {} at a time of one client"),
    ("DERIVED_LINGER_NS", 60 * SECOND, "protocol.md", "It lasts until {} minute after the last one left"),
    ("DERIVED_SNAPSHOT_NS", MS, "protocol.md", "at most one in {} ms for all"),
    ("DERIVED_CHECKSUM_FRAMES", 1, "protocol.md", "and every {}th delta at least"),
    ("BOOK_CHECKSUM_LEVELS", 1, "protocol.md", "for the best {} levels of `bids`"),
    ("BOOK_LEVELS_MAX", 1, "protocol.md", "From a book of more than {} levels a side the best ones"),
    ("VENUE_LEVELS_MAX", 1, "protocol.md", "or has more than {} levels a side"),
    ("LINE_READER_LINE_BYTES_MAX", 1 << 20, "protocol.md", "or is a line of over {} MiB"),
    ("DERIVED_PAST_BARS", 1, "protocol.md", "if its newest {} have some"),
    ("DERIVED_BAR_GRACE_NS", MS, "protocol.md", "has been over for {} ms"),
    ("BAR_LATE_NS_MAX", SECOND, "protocol.md", "A trade more than {} s older"),
    ("DECIMAL_PLACES_MAX", 1, "protocol.md", "of more than {} digits the last"),
    ("REQUEST_CURSORS_MAX", 1, "protocol.md", "required: 1 to {} of them; a key is the channel number"),
    ("SESSION_REPLAYED_MAX", 1, "protocol.md", "no patterns; at most {} channels, none of which"),
    ("REQUEST_SPEED_MAX", 1, "protocol.md", "twice as fast, ... up to {}"),
    ("REPLAYER_BYTES_MAX", 1024, "protocol.md", "at most {} KiB in one pass of its core's loop"),
    ("REPLAYER_TURN_BYTES_MAX", 1024, "protocol.md", "and {} KiB for all replays"),
    ("CORE_REPLAYS_MAX", 1, "protocol.md", "one replay a client at a time, {} a core"),
    ("SESSION_SNAPSHOTS_MAX", 1, "protocol.md", "ask for at most {} channels, by symbol"),
    ("CORE_SNAPSHOT_BYTES_MAX", 1 << 20, "protocol.md", "over {} MiB waits for this client"),
    ("SESSION_BOOKS_MAX", 1, "protocol.md", "| 106 | {} books are on their way"),
    ("BOOK_IMAGES_MAX", 1, "protocol.md", "on their way to this client, {} to all"),
    ("SESSION_BOOKS_NS_MAX", SECOND, "protocol.md", "takes nothing of a book for {} s"),
    ("BOOK_IMAGES_BYTES_MAX", 1 << 20, "protocol.md", "unsent books fill the {} MiB"),
    ("SESSION_AUTH_NS", SECOND, "protocol.md", "must send AUTH within {} s"),
    ("SESSION_HEARTBEAT_CHANNELS_MAX", 1, "protocol.md", "A HEARTBEAT names at most {} channels"),
    ("SESSION_NOTICE_CURSORS_MAX", 1, "protocol.md", "of each channel so far: up to {} of them"),
    ("SERVER_FRAME_BYTES_MAX", 1024, "protocol.md", "does not fit into a frame of {} KiB"),
    ("SESSION_DEFINITION_BYTES", 1024, "sbe.md", "of about {} KiB at most; a channel"),
    ("CORE_HALF_MESSAGE_NS", SECOND, "protocol.md", "| 4005 | a message was not complete within {} s |"),
    ("SECRETS_FILE_BYTES_MAX", 1 << 20, "access.md", "A file has at most {} MiB. Blanks"),
    ("TOKEN_BYTES_MIN", 1, "access.md", "A token has {} to 4096 bytes"),
    ("TOKEN_BYTES_MAX", 1, "access.md", "A token has 16 to {} bytes"),
    ("TOKENS_MAX", 1, "access.md", "at most {} tokens"),
    ("SCOPE_PATTERNS_MAX", 1, "access.md", "symbols and patterns, at most {};"),
    ("JWT_SECRET_BYTES_MIN", 1, "access.md", "a secret of {} to 1024 bytes"),
    ("JWT_SECRET_BYTES_MAX", 1, "access.md", "a secret of 32 to {} bytes"),
    ("JWT_KEYS_MAX", 1, "access.md", "Of its keys the first {} count that"),
    ("JWT_KID_BYTES_MAX", 1, "access.md", "no `kid`, or one of at most {} bytes"),
    ("KEY_TEXT_DEPTH_MAX", 1, "access.md", "more than {} brackets within each other"),
    ("JWT_BYTES_MAX", 1, "access.md", "and with more than {} bytes"),
    ("JWT_LEEWAY_SECONDS", 1, "access.md", "required. {} seconds of leeway"),
    ("PROXY_HEADER_BYTES_MAX", 1, "access.md", "A header has at most {} bytes"),
    ("PEERS_CONNECTIONS_DEFAULT", 1, "access.md", "| `--max-connections-per-ip` | {} |"),
    ("PEERS_HANDSHAKES_DEFAULT", 1, "access.md", "of one address | {}, with bursts of 20"),
    ("PEERS_MESSAGES_DEFAULT", 1, "access.md", "counts as several | {}, with bursts of 10"),
    ("RATE_TABLE_ENTRIES", 1, "access.md", "The table of addresses has {} entries"),
    ("TLS_WATCH_LOOK_NS", SECOND, "reload.md", "looks at these files every {} seconds"),
    ("TLS_WATCH_PATIENCE_NS", SECOND, "reload.md", "happens for {} seconds"),
    ("TLS_WATCH_AGAIN_NS", 60 * SECOND, "reload.md", "and every {} minutes"),
    ("OPTIONS_LIST_MAX", 1, "options.md", "may be given up to {} times"),
    ("OPTIONS_CONNECTIONS_MAX", 1, "options.md", "`--max-connections` is at most {}."),
    ("OPTIONS_FRAME_LOG_BYTES_MIN", 1 << 20, "options.md", "a power of two from {} MiB to 64 GiB"),
    ("MAIN_SAME_SIGNAL_NS", SECOND, "options.md", "Another signal, at least {} seconds after the first"),
    ("MAIN_STOP_NS", SECOND, "options.md", "closing the last clients took longer than {} s"),
    ("MAIN_DRAIN_INTERVAL_MS", 1000, "options.md", "lines are written within {} s"),
    ("ENCODINGS_LINGER_NS", 60 * SECOND, "memory.md", "whose clients have all left ends after {} minutes"),
    ("CORE_OUT_POOL_BYTES", 1 << 20, "memory.md", "| answers that wait for clients | up to {} MiB a core"),
    ("PROGRESS_SEQS_BYTES_MAX", 1 << 20, "memory.md", "behind on whole data types | up to {} MiB a core"),
    ("CHANNELS_MAX", 1, "architecture.md", "The main ones: {} channels"),
    ("PLAN_BATCH_MAX", 1, "architecture.md", "Batches are {} sends"),
    ("PLAN_FIRST_BATCH", 1, "architecture.md", "(the first of a turn {})"),
    ("PULLER_BYTES_MAX", 1024, "architecture.md", "at most {} KiB and 4 096 frames a turn"),
    ("PULLER_FRAMES_MAX", 1, "architecture.md", "at most 128 KiB and {} frames a turn"),
    ("NARROW_SUBS_MAX", 1, "architecture.md", "A client of at most {} channels that misses few"),
    ("SEND_JOINED_BYTES_MAX", 1024, "architecture.md", "A vector of up to {} KiB is joined"),
    ("FRAME_LOG_STEP_FRAMES", 1, "architecture.md", "past some frames (at most {}, or"),
    ("FRAME_LOG_STEP_PART", 1, "architecture.md", "or 1/{} of the bytes"),
    ("ENCODINGS_SEEDS_PER_POLL", 1, "architecture.md", "read back from the JSON log, {} channels a poll"),
    ("TICK_WRITER_SHOW_TICKS", 1, "architecture.md", "after the poll, or {} ticks"),
    ("CORE_SPARE_CONNS", 1, "architecture.md", "{} connections beyond `--max-connections`"),
    ("HANDSHAKE_BYTES_MAX", 1024, "architecture.md", "a request of {} KiB"),
    ("CORE_OUT_POOL_BYTES", 1 << 20, "../ring/README.md", "messages that wait | {} MiB a core"),
    ("INPUT_TURN_UNITS", 1, "../ring/README.md", "| {} units a turn for those that wait"),
    ("INPUT_SLICE_UNITS", 1, "../ring/README.md", "for those that wait | {} units |"),
    ("SESSION_ANSWERS_STARTED_MAX", 1, "../ring/README.md", "| {} written at a time"),
    ("LINKS_INPUTS_MAX", 1, "../ring/README.md", "halves of requests and messages | {} a core"),
    ("LINKS_RECV_BUFFERS", 1, "../ring/README.md", "| receive buffers | {} of 4 KiB a core"),
    ("SUBS_MAX", 1, "../ring/README.md", "| `subs`: subscriptions | {} a core"),
    ("CORE_REPLAYS_MAX", 1, "../ring/README.md", "| replays | {} a core"),
    ("SESSION_PATTERNS_MAX", 1, "../ring/README.md", "| patterns | memory | {} |"),
    ("COUNTERS_CORES_MAX", 1, "architecture.md", "per core; {} cores."),
    ("ADMIN_TIMEOUT_SECONDS", 1, "admin.md", "nothing happens for {} s"),
    ("ALERTS_CPU_CRITICAL", 1, "protection.md", "over `--alert-cpu` (80 %) | over {} % |"),
    ("ALERTS_MEMORY_CRITICAL", 1, "protection.md", "over `--alert-memory` (85 %) | over {} % |"),
    ("ALERTS_DISK_CRITICAL", 1, "protection.md", "over `--alert-disk` (90 %) | over {} % |"),
    ("ALERTS_TICKS", 1, "protection.md", "An alert is raised after {} seconds in a row"),
    ("ALERTS_FALL_PERCENT", 1, "protection.md", "at or below {} % of the limit"),
    ("ALERTS_HISTORY_COUNT_MAX", 1, "protection.md", "The newest {} changes are kept"),
    ("SERVER_GUARD_LATENCY_MS", 1, "protection.md", "| `latency` | over {} ms |"),
    ("PROTECTION_LAG_PERCENT", 1, "protection.md", "a core is behind by {} % of a full frame log"),
    ("PROTECTION_LAG_END_PERCENT", 1, "protection.md", "for 3 s | below {} %"),
    ("PROTECTION_LAG_TICKS", 1, "protection.md", "is stalled, for {} s"),
    ("PROTECTION_CONNECTIONS_PERCENT", 1, "protection.md", "{} % of `--max-connections` are taken"),
    ("PROTECTION_CONNECTIONS_END_PERCENT", 1, "protection.md", "below {} %"),
    ("DESCRIPTORS_SPARE_MAX", 1, "protection.md", "descriptors (1 to {}) for answering"),
    ("SAMPLE_HISTORY_COUNT_MAX", 1, "admin.md", "keeps the newest {}:"),
    ("ADMIN_CONNECTIONS_MAX", 1, "admin.md", "serves {} connections (fewer"),
    ("ADMIN_BODY_BYTES_MAX", 1, "admin.md", "one JSON object of at most {} bytes"),
    ("ADMIN_ARGUMENTS_MAX", 1, "admin.md", "at most {} query arguments"),
    ("BENCH_CONNECTIONS_MAX", 1, "bench.md", "connections in all (10; at most {})"),
    ("BENCH_THREADS_MAX", 1, "bench.md", "one ring each (1; at most {})"),
    ("NOTICE_NS", SECOND, "bench.md", "It lasts {} s at least"),
    ("REST_QUIET_NS", SECOND, "bench.md", "none of the window has come for {} s"),
    ("REST_MAX_NS", SECOND, "bench.md", "has come for 0.3 s, at most {} s"),
    ("BENCH_SYMBOLS_MAX", 1, "bench.md", "At most {} names of 64 bytes"),
    ("SYMBOL_BYTES_MAX", 1, "bench.md", "At most 100 000 names of {} bytes"),
    ("BENCH_DRAW_MAX", 1, "bench.md", "draws N different ones, up to {} (0"),
    ("WS_CLIENT_MESSAGE_BYTES_MAX", 1, "bench.md", "A subscription has at most {} bytes"),
    ("PATTERN_SCAN_BYTES_MAX", 1, "bench.md", "The first three have at most {} bytes"),
    ("CONNS_PER_SOURCE", 1, "bench.md", "a source address in 127/8 for each {} connections"),
    ("BENCH_SOURCES_MAX", 1, "bench.md", "IPv4 or IPv6, at most {}, taken in turn"),
    ("BENCH_CHANNELS_MAX", 1, "bench.md", "and a thread keeps at most {} different ones"),
    ("BENCH_TICKS_BEFORE", 1, "bench.md", "ticks of a channel are noted, from {} before"),
    ("BENCH_BROKER_HELD_MAX", 1 << 20, "bench.md", "A packet of NATS or MQTT has at most {} MiB"),
    ("BENCH_CLOSE_CODES_MAX", 1, "bench.md", "{} different closes of a role are counted"),
    ("BENCH_INTERVALS_MAX", 1, "bench.md", "a window over {} s has longer intervals"),
    ("BENCH_KEPT_TEXTS_MAX", 1, "bench.md", "may be there, at most {}; the URL may not"),
    ("RESUMED_BUFFER_BYTES", 1024, "bench.md", "read again have a buffer of {} KiB"),
    ("WINDOW_MAX", 1, "tap.md", "until all connections have them, at most {} of a channel"),
    ("SETTLE_NS", SECOND, "tap.md", "the connections get up to {} s to reach"),
    ("ECHO_MESSAGE_BYTES_MAX", 1 << 20, "echo.md", "text and binary message, of up to {} MiB"),
    ("ECHO_CONNS_MAX", 1, "echo.md", "It serves {} clients at one time"),
    ("LINES_BETWEEN_HEADERS", 1, "stat.md", "without a terminal every {} lines"),
    ("INGEST_PRODUCERS_MAX", 1, "limits.md", "| producers that are connected to a feed | {}, and a third"),
    ("INGEST_NAMES_MAX", 1, "limits.md", "| names that are remembered after their producers have left | {} |"),
    ("INGEST_NAME_BYTES_MAX", 1, "limits.md", "| bytes of a name | {} |"),
    ("INGEST_INPUT_MESSAGE_BYTES_MAX", UNITS["MIB"], "limits.md", "| bytes of a message | {} MiB; "),
    ("INGEST_CONTROL_BYTES_MAX", UNITS["KIB"], "limits.md", "{} KiB before a token is accepted"),
    ("INGEST_HELLO_S", 1, "limits.md", "| time to send HELLO, where a token is needed | {} s |"),
    ("INGEST_SILENT_S", 1, "limits.md", "| time without a byte, after HELLO | {} s |"),
    ("INGEST_GONE_S", 1, "limits.md", "| the same | {} s | `silent` |"),
    ("INGEST_OUTPUT_BYTES", UNITS["KIB"], "limits.md", "| answers that wait to be sent | {} KiB | the server stops reading from the producer"),
    ("INGEST_NOT_READING_S", 1, "limits.md", "| time in which these answers are not read | {} s |"),
    ("INGEST_PRODUCERS_MAX", 1, "feeds/ingest.md", "Up to {} producers can be connected at once"),
    ("INGEST_NAMES_MAX", 1, "feeds/ingest.md", "of the last {} names"),
    ("INGEST_ACK_MS", 1, "feeds/ingest.md", "at most {} ms after they were read"),
    ("INGEST_HEARTBEAT_S", 1, "feeds/ingest.md", "sends something at least every {} s"),
    ("INGEST_CONTROL_TOKEN_BYTES_MAX", 1, "feeds/ingest.md", "at most {} bytes |"),
    ("FEED_INGEST_TURN_MESSAGES", 1, "feeds/ingest.md", "hands over at most {} messages"),
    ("LINK_HANDSHAKE_NS", SECOND, "limits.md", "| time for the whole request | {} s |"),
    ("HANDSHAKE_BYTES_MAX", 1, "limits.md", "| bytes of a request line and its headers | {} |"),
    ("HANDSHAKE_HEADERS_MAX", 1, "limits.md", "| headers of a request | {} |"),
    ("HANDSHAKE_TARGET_BYTES_MAX", 1, "limits.md", "| bytes of the request target (path and query) | {} |"),
    ("REQUEST_SYMBOLS_MAX", 1, "limits.md", "| names in a URL that subscribes | {} |"),
    ("PEERS_CONNECTIONS_DEFAULT", 1, "limits.md", "| connections of one address or IPv6 /64 | {}, "),
    ("PEERS_HANDSHAKES_DEFAULT", 1, "limits.md", "| handshakes per second of one address | {}, "),
    ("TOKEN_BYTES_MAX", 1, "limits.md", "| bytes of a token | {} |"),
    ("SESSION_AUTH_NS", SECOND, "limits.md", "| time to send AUTH, where a token is needed | {} s |"),
    ("WS_DEFLATE_OFFERS_MAX", 1, "limits.md", "| offers of permessage-deflate that are read | {} |"),
    ("CORE_MESSAGE_BYTES_MAX", 1, "limits.md", "| bytes of a message, after inflating | {} |"),
    ("CORE_HALF_MESSAGE_NS", SECOND, "limits.md", "| time for the rest of a message that began | {} s |"),
    ("PEERS_MESSAGES_DEFAULT", 1, "limits.md", "| messages per second | {}, "),
    ("SESSION_REFUSED_MAX", 1, "limits.md", "ERROR 111; 4111 when over {} more"),
    ("SESSION_MESSAGE_UNITS", 40000, "limits.md", "| CPU time of the server for a message | {} ms |"),
    ("REQUEST_SYMBOLS_MAX", 1, "limits.md", "| symbols in a message | {} |"),
    ("REQUEST_SYMBOLS_LIMIT_MAX", 1, "limits.md", "| 100, up to {} by `limit` |"),
    ("REQUEST_SYMBOLS_LIMIT", 1, "limits.md", "| {}, up to 1000 by `limit` |"),
    ("REQUEST_CURSORS_MAX", 1, "limits.md", "| channels in a RESUME | {} |"),
    ("REQUEST_DEPTH_MAX", 1, "limits.md", "| nesting of arrays and objects in a message | {} |"),
    ("REQUEST_ECHO_BYTES_MAX", 1, "limits.md", "| bytes of an `id` or `t0` | {} |"),
    ("MD_SYMBOL_BYTES_MAX", 1, "limits.md", "| bytes of a symbol | {} |"),
    ("PATTERN_BYTES_MAX", 1, "limits.md", "| bytes of a pattern | {} |"),
    ("PATTERN_STARS_MAX", 1, "limits.md", "| `*` in a pattern | {} |"),
    ("LINK_OUT_PAUSE_BYTES", 1024, "limits.md", "| answers that wait to be sent | {} KiB |"),
    ("SESSION_PATTERNS_MAX", 1, "limits.md", "| patterns of a client | {} |"),
    ("CHANNELS_CLIENT_VARIANTS_MAX", 1, "limits.md", "of a client | {} |"),
    ("CHANNELS_VARIANTS_MAX", 1, "limits.md", "| derived channels of the server | {} |"),
    ("CHANNELS_MAX", 1, "limits.md", "| channels of the server | {} |"),
    ("VARIANT_DEPTHS_TEXT", 1, "limits.md", "| `depth` | {} |"),
    ("VARIANT_INTERVALS_TEXT", 1, "limits.md", "| `interval_ms` | {} |"),
    ("REQUEST_MAX_LAG_MS_MAX", 1, "limits.md", "| `max_lag_ms` of a subscription | 1 to {} |"),
    ("CORE_REPLAYS_MAX", 1, "limits.md", "| replays of a core at one time | {} |"),
    ("SESSION_REPLAYED_MAX", 1, "limits.md", "| channels of a REPLAY | {} |"),
    ("REQUEST_SPEED_MAX", 1, "limits.md", "| `speed` of a REPLAY | {} |"),
    ("SESSION_SNAPSHOTS_MAX", 1, "limits.md", "| frames of a SNAPSHOT | {} |"),
    ("CORE_SNAPSHOT_BYTES_MAX", 1 << 20, "limits.md", "| bytes of snapshots that wait for a client | {} MiB |"),
    ("SESSION_BOOKS_MAX", 1, "limits.md", "| whole books on their way to a client | {} |"),
    ("BOOK_IMAGES_MAX", 1, "limits.md", "| whole books on their way to all clients | {} |"),
    ("SESSION_BOOKS_NS_MAX", SECOND, "limits.md", "| time in which a client reads nothing of a whole book that is being sent | {} s |"),
    ("SERVER_FRAME_BYTES_MAX", 1024, "limits.md", "| bytes of a frame | {} KiB |"),
    ("BOOK_LEVELS_MAX", 1, "limits.md", "that the server keeps of a book | {} |"),
    ("DECIMAL_PLACES_MAX", 1, "limits.md", "| digits after the point | {} |"),
    ("SESSION_HEARTBEAT_CHANNELS_MAX", 1, "limits.md", "| channels named in one HEARTBEAT | {} |"),
    ("LINK_SECURING_NS", SECOND, "limits.md", "| time for a TLS handshake, before the request | {} s |"),
    ("SECURING_BYTES_MAX", 1024, "limits.md", "| bytes that a client sends in a TLS handshake | {} KiB |"),
    ("TLS_HANDSHAKES_MAX", 1, "limits.md", "| TLS handshakes of a core at one time | {} |"),
    ("TLS_CERTIFICATE_BYTES_MAX", 1, "limits.md", "| bytes of a TLS client's certificates | {} |"),
    ("TLS_CLIENTS_DEPTH_MAX", 1, "limits.md", "| certificates between a TLS client's and its CA | {} |"),
    ("TLS_CONTEXT_TICKET_S", 3600, "limits.md", "| time in which a TLS session resumes | {} h |"),
    ("TLS_CERTIFICATES_MAX", 1, "tls.md", "`--tls-certificate` may be given up to {} times"),
    ("TLS_CERTIFICATE_KEY_BITS_MAX", 1, "tls.md", "RSA of at most {} bits"),
    ("TLS_TICKETS_RENEWED_NS", 3600 * SECOND, "tls.md", "is renewed every {} hours"),
    ("TLS_WARNINGS_DAYS", 1, "tls.md", "ends within {} days"),
    ("VENUE_LEVELS_MAX", 1, "recordings.md", "at most {} levels a side"),
    ("LINE_READER_LINE_BYTES_MAX", 1 << 20, "recordings.md", "at most {} MiB"),
    ("CSV_TICKS_COLUMNS_MAX", 1, "recordings.md", "at most {} columns altogether"),
    ("CSV_TICKS_FIELD_BYTES_MAX", 1, "recordings.md", "at most {} bytes"),
    ("FEED_REPLAY_FAULTS_SHOWN_MAX", 1, "recordings.md", "the first {} are in the log"),
    ("FEED_REPLAY_FIRST_REPORT_NS", SECOND, "recordings.md", "and {} seconds after the first line"),
    ("DECIMAL_PLACES_MAX", 1, "recordings.md", "A number has at most {} digits after the point"),
)
WORDS = {1: "a", 10: "ten"}


def source(*suffixes, folders=("codec", "ring", "feeds", "src")):
    return "\n".join(path.read_text(encoding="utf8") for folder in folders
                     for path in sorted((CHECKOUT / folder).rglob("*")) if path.suffix in suffixes)


def page(name):
    """Its text, one line for each paragraph."""
    return re.sub(r"(?<!\n)\n *(?=[^\s|])", " ", (CHECKOUT / "docs" / name).read_text(encoding="utf8"))


class Figures(unittest.TestCase):
    def test_figures_are_those_of_the_source(self):
        defined = set(re.findall(r"^#define ([A-Z][A-Z0-9_]+) +([^/\n]*[^/\s])", source(
            ".h", ".c", folders=("codec", "ring", "feeds", "src", "tools")), re.M))
        constants = dict(defined)

        def value(text):
            text = re.sub(r"\b(\d+)u\b", r"\1", text)
            if text.startswith('"'):
                return text.strip('"')
            names = {name: UNITS.get(name) or value(constants[name]) for name in re.findall(r"\b[A-Z]\w+", text)}
            return eval(text, {}, names)  # Our own source.
        for name, unit, where, words in FIGURES:
            with self.subTest(name):
                self.assertEqual(len([it for it in defined if it[0] == name]), 1)
                number = value(constants[name])
                number = number if isinstance(number, str) else number / unit
                shown = {f"{number:g}" if isinstance(number, float) else number}
                if isinstance(number, float) and number == int(number):
                    shown |= {f"{int(number)}", f"{int(number):,}".replace(",", " "), WORDS.get(number, "")}
                text = page(where)
                self.assertTrue(any(words.format(it) in text for it in shown),
                                f"docs/{where} does not say: {words.format(number)}")


class Limits(unittest.TestCase):
    def test_defaults_of_options_are_those_of_the_options(self):
        """The table of options is held against the program by tests/test_options.c."""
        options = dict(re.findall(r"^\| `(--[\w-]+)[^`]*` (\|.*)", page("options.md"), re.M))
        rows = re.findall(r"^\| [^|]+ \| (\d[^|]*?) \| `(--[\w-]+)`", page("limits.md"), re.M)
        self.assertGreater(len(rows), 8)
        units = {"KiB": 1 << 10, "MiB": 1 << 20}
        for default, option in rows:
            number, unit = re.match(r"([\d ]*\d) ?(\w*)", default).groups()
            number = int(number.replace(" ", "")) * units.get(unit, 1)
            self.assertRegex(options[option], rf"\b({number}|{number >> 10}k|{number >> 20}m)\b", option)

    def test_every_code_and_close_has_a_row_or_is_no_limit(self):
        """A code that comes to mean a limit is to be in the table."""
        codes = set(re.findall(r"\b(1[0-2]\d|4[0-2]\d\d)\b", page("limits.md")))
        no_limits = {"103", "104", "108", "109", "112", "121", "4003", "4101", "4115", "4201"}
        known = set(re.findall(r"^\| (1[0-2]\d|4\d{3}) \|", page("protocol.md"), re.M))
        self.assertEqual(known - codes - {"100"}, no_limits)


class Codes(unittest.TestCase):
    def test_the_closes_of_the_page_are_those_of_the_source(self):
        said = set(re.findall(r"^\| (4\d{3}) \|", page("protocol.md"), re.M))
        lines = [line for line in re.sub(r"/\*.*?\*/", "", source(".h", ".c"), flags=re.S).splitlines()
                 if re.search(r"close|doom|CLOSE|ACCESS_", line) and "{AT(" not in line]
        made = {code for line in lines for code in re.findall(r"\b(4[0-2]\d{2})\b(?!\))", line)} - {"4095", "4096"}
        self.assertEqual(said, made)

    def test_the_refusals_of_the_page_are_those_of_the_handshake(self):
        text = page("protocol.md")
        said = set(re.findall(r"\b[45]\d\d\b", text[text.index("### Refused handshakes"):text.index("\n## Messages")]))
        made = set(re.findall(r'"([45]\d\d) [A-Z]', source(".c", ".h")))
        self.assertEqual(said, made)


class Protocol(unittest.TestCase):
    @unittest.skipIf(asyncapi is None, "SKIPPED: python3-jsonschema and python3-yaml are not installed")
    def test_fields_and_words_of_asyncapi_are_in_the_page(self):
        names = set()
        for _, part in asyncapi.objects(asyncapi.read_document()["components"]):
            properties, words = part.get("properties"), part.get("enum")
            names.update(properties if isinstance(properties, dict) else ())
            names.update(map(str, words if isinstance(words, list) else ()))
        self.assertGreater(len(names), 100)
        text = page("protocol.md")
        self.assertEqual([name for name in sorted(names) if not re.search(rf"\b{re.escape(name)}\b", text)], [])

    def test_the_offsets_of_sbe_are_those_of_the_schema(self):
        schema = xml.etree.ElementTree.parse(CHECKOUT / "codec/md.xml").getroot()
        text = page("sbe.md")
        common = {(int(at), name) for ats, names in re.findall(r"^\| ([\d, ]+) \| ((?:`\w+`(?:, )?)+) \| [iu]", text, re.M)
                  for at, name in zip(ats.split(", "), re.findall(r"`(\w+)`", names))}
        rows = re.findall(r"^\| (\d) (\w+) \| (\d+) \| (.*?) ?\| (.*?) ?\|$", text, re.M)
        messages = [it for it in schema if it.tag.endswith("message")]
        self.assertEqual([(it.get("id"), it.get("name"), it.get("blockLength")) for it in messages],
                         [row[:3] for row in rows])
        for message, (_, name, _, fields, rest) in zip(messages, rows):
            has = {(int(it.get("offset")), it.get("name")) for it in message if it.tag == "field"}
            said = {(int(at), field) for at, field in re.findall(r"(\d+) `(\w+)`", fields)}
            exponents = {(36, "price_exponent"), (37, "size_exponent")} if name == "status" else set()
            self.assertEqual(has, said | (common - exponents), name)
            self.assertEqual([it.get("name") for it in message if it.tag in ("group", "data")],
                             re.findall(r"`(\w+)`", rest), name)


class Index(unittest.TestCase):
    def test_the_index_lists_every_page_and_the_readme_every_folder(self):
        readme, docs = ((CHECKOUT / name).read_text(encoding="utf8") for name in ("README.md", "docs/README.md"))
        for path in (CHECKOUT / "docs").iterdir():
            if path.name != "README.md" and path.suffix != ".png":
                self.assertIn(f"({path.name}{'/' if path.is_dir() else ''})", docs)
        for path in CHECKOUT.glob("*/README.md"):
            self.assertIn(f"({path.relative_to(CHECKOUT)})", readme)

    def test_the_glossary_is_in_order(self):
        terms = re.findall(r"^### (.*)$", (CHECKOUT / "docs/glossary.md").read_text(encoding="utf8"), re.M)
        self.assertGreater(len(terms), 60)
        self.assertEqual(terms, sorted(terms, key=str.lower))

    def test_every_page_of_docs_ends_with_the_glossary(self):
        for path in set((CHECKOUT / "docs").glob("*.md")) - {CHECKOUT / "docs/glossary.md"}:
            self.assertTrue(path.read_text(encoding="utf8").endswith(
                "\n\nTerms are explained in the [glossary](glossary.md).\n"), path)
        for path in (CHECKOUT / "docs/feeds").glob("*.md"):
            self.assertTrue(path.read_text(encoding="utf8").endswith(
                "\n\nTerms are explained in the [glossary](../glossary.md).\n"), path)


class Names(unittest.TestCase):
    """Of files, functions and tests: those of the pages exist, and those that exist are in their folder's page."""

    @classmethod
    def setUpClass(cls):
        cls.files = [str(path.relative_to(CHECKOUT)) for path in tidy.tracked("*")]
        cls.pages = [str(path.relative_to(CHECKOUT)) for path in tidy.doc_pages() if path.suffix == ".md"]
        source = "\n".join(
            (CHECKOUT / name).read_text(encoding="utf8") for name in cls.files
            if name.endswith((".c", ".h", ".py", ".zig", ".sh", ".js")) and "test_reference" not in name)
        cls.words = set(re.findall(r"\w+", source)) | set(re.findall(r'"(\w+\.yaml)"', source))  # files it writes

    def test_what_the_pages_name_exists(self):
        tails = {"/".join(name.split("/")[i:]) for name in self.files for i in range(name.count("/") + 1)}
        tails |= {tail.rpartition(".")[0] for tail in tails}
        for name in self.pages:
            page_text = (CHECKOUT / name).read_text(encoding="utf8")
            text = re.sub(r"```.*?```", "", page_text, flags=re.S)
            without_code = re.sub(r"^```\w.*?^```$", "", page_text, flags=re.M | re.S)
            drawn = " ".join(re.findall(r"^```\n(.*?)```", without_code, re.M | re.S)) if "README" in name else ""
            self.assertEqual(set(re.findall(r"\b[a-z]+_[a-z_]+\b", drawn)) - tails - self.words, set(), name)
            codes = re.findall(r"`([^`\n]+)`", text)
            named = {code for code in codes if re.fullmatch(
                r"[a-z_][a-z0-9_/]*\.(?:[ch]|py|sh|js|md|yaml|xml)|(?:test|sim|fuzz|bench)_[a-z_]+", code)}
            saved = set(re.findall(r"<!-- file: (\S+) -->", page_text))  # by the reader
            self.assertEqual(named - tails - saved - self.words, set(), name)
            functions = {code[:-2] for code in codes if re.fullmatch(r"\w+\(\)", code)}
            tests = {it for line in re.findall(r"`test_\w+`: ([a-z0-9_, ]+)", text)
                     for it in re.findall(r"\w*_\w+", line)}
            self.assertEqual((functions | tests) - self.words, set(), name)

    def test_every_source_file_is_in_the_page_of_its_folder(self):
        missing = []
        for name in self.files:
            path = CHECKOUT / name
            if path.suffix not in (".c", ".h", ".py", ".sh", ".js") or name.startswith((".", "docs/")) or \
                    re.match(r"(tests/(test|fuzz)|bench/bench)_", name):
                continue
            folder = next(it for it in path.parents if (it / "README.md").exists())
            if not re.search(rf"\b{path.stem}\b", (folder / "README.md").read_text(encoding="utf8")):
                missing.append(name)
        self.assertEqual(missing, [])


def anchors_of(text):
    """Of the headings of a page, as Git hosts make them."""
    heads = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


class Reload(unittest.TestCase):
    def test_the_page_lists_each_live_key(self):
        """S52: a name without a section is in that of the name before it in its row."""
        source = (CHECKOUT / "src/config/options.c").read_text(encoding="utf8")
        live = {re.findall(r'"([^"]*)"', row.split("OPTION_", 1)[0])[-1]
                for row in re.findall(r'^    \{[A-Z]+\b.*?\},$', source, re.M | re.S) if "OPTION_LIVE" in row}
        self.assertGreater(len(live), 30)
        page = (CHECKOUT / "docs/reload.md").read_text(encoding="utf8")
        table = page[page.index("\n## What is live"):page.index("\nAll other keys")]
        listed = set()
        for row in re.findall(r"^\| (`.*?) \|", table, re.M):
            section = ""
            for name in re.findall(r"`([\w.]+)`", row):
                section = name.rpartition(".")[0] or section
                listed.add(f"{section}.{name.rpartition('.')[2]}" if section else name)
        self.assertEqual(listed, live)


class Links(unittest.TestCase):
    """Without a network. Strict builds of the website (test_site.py) check them once more."""

    def faults_of(self, path):
        text = re.sub(r"^```.*?^```|`[^`\n]*`|^    .*?$", "", path.read_text(encoding="utf8"), flags=re.M | re.S)
        for link in re.findall(r"\]\(([^)]*)\)|^\[[^\]]+\]: (.*)$", text, re.M):
            link = "".join(link)
            target, _, anchor = link.partition("#")
            where = path.parent / target if target else path
            if re.match(r"https?://\S+$", link):
                yield None
            elif not where.exists():
                yield f"{path}: {link}: no such file"
            elif anchor and anchor not in anchors_of(where.read_text(encoding="utf8")):
                yield f"{path}: {link}: no such heading"
            else:
                yield None

    def test_every_link_leads_somewhere(self):
        found = [fault for path in tidy.tracked("*.md") for fault in self.faults_of(path)]
        self.assertGreater(len(found), 200)
        self.assertEqual([fault for fault in found if fault], [])

    def test_links_that_lead_nowhere_are_found(self):
        with tempfile.TemporaryDirectory(prefix="ringcast-") as folder:
            path = pathlib.Path(folder, "page.md")
            path.write_text("# A `head`\n\n[1](page.md) [2](#a-head) [3](other.md) [4](page.md#b) [5](https://x.y/#z)\n"
                            "`[6](code.md)` [7](<a b>)\n\n    [8](code.md)\n\n[9]: gone.md\n", encoding="utf8")
            faults = [fault.split(": ")[1] for fault in self.faults_of(path) if fault]
        self.assertEqual(faults, ["other.md", "page.md#b", "<a b>", "gone.md"])


class Metrics(unittest.TestCase):
    def test_metrics_that_any_page_names_exist(self):
        reference = page("metrics.md")
        known = set(re.findall(r"^\| `(\w+)` \|", reference, re.M))
        for path in tidy.doc_pages():
            for name in re.findall(r"\bringcast_[a-z_]+(?:total|seconds(?:_max)?|bytes(?:_max)?)\b(?!\()", path.read_text(encoding="utf8")):
                self.assertIn(name, known, path)

    @unittest.skipUnless(shutil.which("promtool"), "SKIPPED: promtool is not installed")
    def test_the_useful_queries_are_queries(self):
        text = (CHECKOUT / "docs/metrics.md").read_text(encoding="utf8")
        queries = text[text.index("## Useful queries"):].split("```")[1].strip().split("\n\n")
        self.assertGreater(len(queries), 4)
        rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
        with tempfile.NamedTemporaryFile("w", prefix="ringcast-", suffix=".json") as file:
            json.dump({"groups": [{"name": "docs", "rules": rules}]}, file)
            file.flush()
            done = run(["promtool", "check", "rules", file.name])
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class Stats(ServerTestCase):
    def test_the_page_names_the_keys_of_health_and_ready(self):
        text = page("metrics.md")
        health, ready = re.search(r"`/livez`: (.*?)\. - `/ready` and `/readyz`: (.*?)\.\n", text).groups()
        for path, words in (("/health", health), ("/readyz", ready)):
            keys = set(json.loads(self.server.admin(path)[2]))
            self.assertEqual(keys, set(re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", words))), path)

    def test_the_page_names_every_key_of_stats_and_no_other(self):
        text = page("metrics.md")
        rows = dict(re.findall(r"^\| ([`.].*?) \| (.*) \|$", text[text.index("## /stats"):], re.M))
        stats = self.server.stats()
        counters = set(re.findall(r'^    [A-Z_]+\(\s*(\w+),', (CHECKOUT / "ring/board/counters_table.c")
                                  .read_text(encoding="utf8"), re.M))
        self.assertGreater(len(counters), 80)
        named = set()
        for head, words in rows.items():
            keys = re.findall(r"`\.(\w+)(?:\[\])?`", head)
            named.update(keys)
            if len(keys) > 1:
                continue
            value = stats[keys[0]]
            value = value[0] if isinstance(value, list) else value
            if not isinstance(value, dict):
                continue
            has = set(value)
            for inner in value.values():
                has |= set(inner) if isinstance(inner, dict) and keys[0] not in ("cores", "publisher") else set()
            if keys[0] in ("cores", "publisher"):
                has = {key for key in has if re.sub("_seconds$", "_ns", key) not in counters}
            told = set(re.findall(r"`\.?([\w+]+)`", words)) - {"frame_log_bytes_max"}
            self.assertEqual(has, told, head)
        self.assertEqual(named, set(stats))


class BenchOutput(ServerTestCase):
    options = ("--feed", "sim:symbols=2,rate=100")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with tempfile.NamedTemporaryFile(prefix="ringcast-", suffix=".csv") as csv:
            done = run([program("ringcast-bench"), "--json", "-c", "3", "--churn", "1", "-d", "0.3",
                        "--publish", "rate=100", "--snapshot", "--slow-ticks", "1", "--csv", csv.name, "--pid", str(cls.server.pid),
                        "--cpu", "0", cls.server.url()])
            cls.json = json.loads(done.stdout)
            cls.columns = pathlib.Path(csv.name).read_text(encoding="utf8").split("\n")[0].split(",")

    def test_the_page_names_every_line_of_the_report(self):
        text = (CHECKOUT / "tools/bench/bench_text.c").read_text(encoding="utf8")
        lines = set(re.findall(r'"  ([a-z_]+) {2,}|bench_text_row\("(\w+)"', text))
        table = re.search(r"^\| line \| \|\n(.*?)\n\n", page("bench.md"), re.M | re.S)[1]
        told = set(re.findall(r"^\| ([a-z_]+) ", table, re.M))
        self.assertGreater(len(told), 12)
        self.assertEqual({name for pair in lines for name in pair if name} - told, set())

    def test_the_page_names_every_column_and_no_other(self):
        text = page("bench.md")
        words = text[text.index("CSV has"):text.index("A field that was not measured is empty")]
        self.assertEqual(re.findall(r"`(\w[\w.]*)`", words), self.columns)

    def test_the_page_names_every_key_and_no_other(self):
        keys = set()

        def walk(value):
            for key, part in value.items() if isinstance(value, dict) else ():
                keys.add(key)
                walk(part)
            for part in value if isinstance(value, list) else ():
                walk(part)
        result = self.json
        closes = [role.pop("closes") for role in result.values() if isinstance(role, dict) and "closes" in role]
        self.assertEqual(len(closes), 3)
        walk(result)
        text = page("bench.md")
        section = text[text.index("JSON; times are nanoseconds"):text.index("[bench/run.py](")]
        said = set(re.findall(r"`([\w.]+)`", section)) - {".."}
        optional = {"ended", "closes", "p90", "p99", "p99.9", "p99.99"}  # or between p50 .. p99.999
        self.assertEqual(keys - {"churn"} - optional, said - optional)


if __name__ == "__main__":
    unittest.main()
