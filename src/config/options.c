#include "src/config/options.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "codec/base/check.h"
#include "codec/base/version.h"
#include "src/base/log.h"

static const char *const options_publishers[] = {[OPTIONS_PUBLISHER_AUTO] = "auto",
                                                 [OPTIONS_PUBLISHER_INLINE] = "inline",
                                                 [OPTIONS_PUBLISHER_THREAD] = "thread",
                                                 NULL};
static const char *const options_engines[] = {"uring", NULL};
static const char *const options_off_on[] = {"off", "on", NULL};
static const char *const options_no_yes[] = {"no", "yes", NULL};
static const char *const options_tls_versions[] = {"1.2", "1.3", NULL};
static const char *const options_client_auth[] = {[TLS_CLIENT_AUTH_NONE] = "none",
                                                  [TLS_CLIENT_AUTH_REQUEST] = "request",
                                                  [TLS_CLIENT_AUTH_REQUIRE] = "require",
                                                  NULL};
static const char *const options_log_formats[] = {"text", "json", NULL};
static const char *const options_log_connections[] = {"info", "debug", "sampled", NULL};
static const char *const options_log_levels[] = {
    [LOG_LEVEL_DEBUG] = "DEBUG", [LOG_LEVEL_INFO] = "INFO",         [LOG_LEVEL_WARNING] = "WARNING",
    [LOG_LEVEL_ERROR] = "ERROR", [LOG_LEVEL_CRITICAL] = "CRITICAL", NULL};

#define AT(member) ((uint32_t)offsetof(struct options, member))
#define LIST_BYTES_MAX 65535
/* Of a secret: no value that is refused here is printed. access.c judges its length. */
#define SECRET_BYTES_MAX UINT32_MAX
#define UNIX_PATH_BYTES_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

/* A variable, a key, or both; and why. */
#define OPTIONS_IGNORED(variable, key, reason)                                                     \
    {                                                                                              \
        OPTION_GROUP_NONE, NULL, NULL, NULL, variable, key, OPTION_IGNORED, 0, 0, 0, NULL, reason  \
    }
#define REGISTERS_NOWHERE                                                                          \
    "ringcast registers nowhere; give clients a DNS name, or a Service of the orchestrator"
#define SCALES_NOT                                                                                 \
    "ringcast starts no instances; the orchestrator does (Kubernetes: HorizontalPodAutoscaler)"
#define POOL_IS_WHOLE                                                                              \
    "room for all connections is allocated at the start; give websocket.max_connections"
#define HOLDS_NOTHING_BACK                                                                         \
    "a tick is never held back to fill a batch; all that is due is sent together"
#define COMMON OPTION_COMMON
#define SERVING OPTION_GROUP_SERVING
#define FEEDS OPTION_GROUP_FEEDS
#define ACCESS OPTION_GROUP_ACCESS
#define TLS OPTION_GROUP_TLS
#define LIMITS OPTION_GROUP_LIMITS
#define MEMORY OPTION_GROUP_MEMORY
#define PERFORMANCE OPTION_GROUP_PERFORMANCE
#define ADMIN OPTION_GROUP_ADMIN
#define LOGGING OPTION_GROUP_LOGGING
#define CONFIG OPTION_GROUP_CONFIG

/* group, name, value, default, variable, key, kind, where, min, max, choices, help */
static const struct option_spec options_specs[] = {
    {SERVING | COMMON, "host", "HOST", "0.0.0.0", "WEBSOCKET_HOST", "websocket.host", OPTION_TEXT,
     AT(host), 1, 255, NULL,
     "Address or name to listen on for clients. :: listens on all IPv6 and IPv4 addresses."},
    {SERVING | COMMON, "port", "PORT", "8765", "WEBSOCKET_PORT", "websocket.port", OPTION_NUMBER,
     AT(port), 0, 65535, NULL, "Port to listen on for clients. 0 picks a free one and logs it."},
    {SERVING | COMMON, "unix", "PATH", NULL, NULL, "websocket.unix", OPTION_TEXT, AT(unix_path), 1,
     UNIX_PATH_BYTES_MAX, NULL,
     "Also listen on a Unix-domain socket at this path, for clients on the same host."},
    {SERVING, "compression", "SWITCH", "on", NULL, "websocket.compression", OPTION_CHOICE,
     AT(compression), 0, 0, options_off_on,
     "Accept permessage-deflate from clients that offer it."},
    {SERVING, "compression-threshold", "BYTES", "1024", NULL, "websocket.compression_threshold",
     OPTION_BYTES, AT(compression_threshold_bytes), 0, 64 * KIB, NULL,
     "Send messages shorter than this uncompressed."},
    {SERVING, "heartbeat-interval", "SECONDS", "30", NULL, "websocket.heartbeat_interval",
     OPTION_SECONDS | OPTION_LIVE, AT(heartbeat_interval_ns), 100, 86400 * 1000, NULL,
     "Time between WebSocket pings. A client that leaves two unanswered is closed (4109)."},
    {SERVING, "idle-timeout", "SECONDS", "300", NULL, "websocket.idle_timeout",
     OPTION_SECONDS | OPTION_LIVE, AT(idle_timeout_ns), 100, UINT64_C(30) * 86400 * 1000, NULL,
     "Close (4114) a client that has had no subscription and sent no message for this long."},
    {SERVING, "drain-timeout", "SECONDS", "0.5", NULL, "websocket.drain_timeout",
     OPTION_SECONDS | OPTION_LIVE, AT(drain_timeout_ns), 0, 3600 * 1000, NULL,
     "On shutdown, notify clients and close them one by one over this many seconds. 0 closes all "
     "at once."},
    {SERVING, "max-lag-ms", "MS", "0", NULL, "websocket.max_lag_ms", OPTION_NUMBER | OPTION_LIVE,
     AT(lag_ms_max), 0, 3600 * 1000, NULL,
     "Apply the lag policy of a client that is further behind than this. 0 applies it only when "
     "the log has overwritten frames that the client still needs."},
    {SERVING, "pid-file", "PATH", NULL, NULL, "pid_file", OPTION_TEXT, AT(pid_file_path), 1, 4000,
     NULL,
     "Write the process ID to this file once the server listens, and lock the file. A second "
     "server "
     "with the same file does not start."},
    {SERVING, "reuse-port", NULL, NULL, NULL, "websocket.reuse_port", OPTION_FLAG, AT(reuse_port),
     0, 0, NULL,
     "Listen at ports that another ringcast of this user has, and take its Unix sockets and pid "
     "file over, to replace it. See docs/upgrade.md."},
    {FEEDS | COMMON, "feed", "SPEC", "sim:symbols=25,types=quote+trade+bar+depth", NULL, "feeds",
     OPTION_LIST, AT(feeds), 0, OPTIONS_LIST_MAX, NULL,
     "Source of ticks: NAME or NAME:key=value,key=value. This option may be given up to 16 times."},
    {FEEDS, "stale-after", "SECONDS", "0", NULL, "stale_after", OPTION_SECONDS | OPTION_LIVE,
     AT(stale_after_ns), 0, UINT64_C(7) * 86400 * 1000, NULL,
     "A symbol without a tick for this long is stale, unless its market is closed. 0: a symbol is "
     "stale only when its source is gone. See docs/feeds/stale.md."},
    {FEEDS, "market-hours", "FILE", NULL, NULL, "market_hours", OPTION_TEXT, AT(market_hours_path),
     1, 4095, NULL,
     "File of the hours and holidays of markets. A symbol of a closed market is not stale."},
    {FEEDS, "record", "DIR", NULL, NULL, "record.directory", OPTION_TEXT, AT(record_path), 1, 4095,
     NULL,
     "Record what the feeds deliver in files in this directory, which replay:path=DIR plays back. "
     "See docs/recordings.md."},
    {FEEDS, "record-file-bytes", "BYTES", "1g", NULL, "record.file_bytes",
     OPTION_BYTES | OPTION_LIVE, AT(record_file_bytes), 64 * KIB, 1024 * 1024 * MIB, NULL,
     "Begin another file of the recording when one has this size."},
    {FEEDS, "record-file-seconds", "SECONDS", "3600", NULL, "record.file_seconds",
     OPTION_SECONDS | OPTION_LIVE, AT(record_file_ns), 1000, UINT64_C(30) * 86400 * 1000, NULL,
     "Begin another file of the recording after this time."},
    {ACCESS | COMMON, "enable-auth", NULL, NULL, NULL, "security.enable_auth",
     OPTION_FLAG | OPTION_LIVE, AT(access.enable_auth), 0, 0, NULL,
     "Require a token from each client, in the handshake or in an AUTH message within 5 s."},
    {ACCESS, "auth-token", "TOKEN", NULL, NULL, "security.auth_token",
     OPTION_TEXT | OPTION_SECRET | OPTION_LIVE, AT(access.auth_token), 0, SECRET_BYTES_MAX, NULL,
     "A token that permits clients everything. Other users of this host can read it; prefer "
     "--auth-token-file."},
    {ACCESS, "auth-token-file", "PATH", NULL, NULL, "security.auth_token_file",
     OPTION_TEXT | OPTION_LIVE, AT(access.auth_token_file), 1, 4095, NULL,
     "File that contains a token that permits clients everything."},
    {ACCESS | COMMON, "tokens-file", "PATH", NULL, NULL, "security.tokens_file",
     OPTION_TEXT | OPTION_LIVE, AT(access.tokens_file), 1, 4095, NULL,
     "JSON file of tokens and what each permits. See docs/access.md."},
    {ACCESS, "jwt-key-file", "PATH", NULL, NULL, "security.jwt_key_file", OPTION_TEXT | OPTION_LIVE,
     AT(access.jwt_key_file), 1, 4095, NULL,
     "File of public keys that verify JWTs: PEM (Ed25519) or a JWK set."},
    {ACCESS, "jwt-secret-file", "PATH", NULL, NULL, "security.jwt_secret_file",
     OPTION_TEXT | OPTION_LIVE, AT(access.jwt_secret_file), 1, 4095, NULL,
     "File of the secret that verifies JWTs (HS256), 32 to 1024 bytes."},
    {ACCESS, "jwt-issuer", "TEXT", NULL, NULL, "security.jwt_issuer", OPTION_TEXT | OPTION_LIVE,
     AT(access.jwt_issuer), 1, 255, NULL,
     "Expected issuer: a JWT must have this value as its iss claim."},
    {ACCESS, "jwt-audience", "TEXT", "ringcast", NULL, "security.jwt_audience",
     OPTION_TEXT | OPTION_LIVE, AT(access.jwt_audience), 1, 255, NULL,
     "Expected audience: if a JWT has an aud claim, it must contain this value."},
    {ACCESS, "allow-query-token", NULL, NULL, NULL, "security.allow_query_token",
     OPTION_FLAG | OPTION_LIVE, AT(access.allow_query_token), 0, 0, NULL,
     "Also accept a token in the URL (?token=). Proxies and browsers log URLs."},
    {ACCESS, "allowed-origins", "LIST", NULL, NULL, "security.allowed_origins",
     OPTION_TEXT | OPTION_LIVE, AT(access.allowed_origins), 0, LIST_BYTES_MAX, NULL,
     "Origins of web pages that may connect, exactly as browsers send them. Default: all, as with "
     "*."},
    {ACCESS, "ip-allow", "LIST", NULL, NULL, "security.ip_allow", OPTION_TEXT | OPTION_LIVE,
     AT(access.ip_allow), 0, LIST_BYTES_MAX, NULL,
     "Addresses and networks (CIDR) that may connect, separated by commas. Default: all."},
    {ACCESS, "ip-deny", "LIST", NULL, NULL, "security.ip_deny", OPTION_TEXT | OPTION_LIVE,
     AT(access.ip_deny), 0, LIST_BYTES_MAX, NULL,
     "Addresses and networks (CIDR) that may not connect. It overrides --ip-allow."},
    {ACCESS, "trusted-proxies", "LIST", NULL, NULL, "security.trusted_proxies",
     OPTION_TEXT | OPTION_LIVE, AT(access.trusted_proxies), 0, LIST_BYTES_MAX, NULL,
     "Proxies (CIDR) whose X-Forwarded-For and X-Real-IP headers are trusted."},
    {ACCESS, "proxy-protocol", NULL, NULL, NULL, "security.proxy_protocol",
     OPTION_FLAG | OPTION_LIVE, AT(access.proxy_protocol), 0, 0, NULL,
     "Expect a PROXY protocol header (version 1 or 2) on connections from trusted proxies."},
    {TLS, "tls-host", "HOST", NULL, NULL, "tls.host", OPTION_TEXT, AT(tls_host), 1, 255, NULL,
     "Address or name to listen on for clients that speak TLS (wss). Default: that of --host."},
    {TLS | COMMON, "tls-port", "PORT", NULL, NULL, "tls.port", OPTION_NUMBER, AT(tls_port), 0,
     65535, NULL,
     "Port to listen on for clients that speak TLS (wss). 0 picks a free one and logs it. Default: "
     "none."},
    {TLS | COMMON, "tls-certificate", "FILES", NULL, NULL, "tls.certificates",
     OPTION_LIST | OPTION_LIVE, AT(tls_certificates), 0, OPTIONS_LIST_MAX, NULL,
     "CHAIN[,KEY[,OCSP]]: PEM of a certificate and those between it and the root; PEM of its key, "
     "if that is not in the first file; DER of an OCSP response to staple. This option may be "
     "given "
     "up to 16 times: clients get the one with the name that they ask for, or the first."},
    {TLS, "tls-min-version", "VERSION", "1.2", NULL, "tls.min_version", OPTION_CHOICE | OPTION_LIVE,
     AT(tls_min_version), 0, 0, options_tls_versions,
     "Lowest version of TLS that clients may speak."},
    {TLS, "tls-threads", "N", "1", NULL, "tls.threads", OPTION_NUMBER, AT(tls.thread_count), 1, 16,
     NULL, "Number of threads that do TLS handshakes. Frames are encrypted by the cores."},
    {TLS, "tls-client-auth", "WHEN", "none", NULL, "tls.client_auth", OPTION_CHOICE | OPTION_LIVE,
     AT(tls_client_auth), 0, 0, options_client_auth,
     "Ask TLS clients for a certificate: request also lets clients in that have none, require "
     "refuses them."},
    {TLS, "tls-client-ca", "FILE", NULL, NULL, "tls.client_ca", OPTION_TEXT | OPTION_LIVE,
     AT(tls.client_ca), 1, 4095, NULL,
     "File of the authorities (PEM) that sign the certificates of clients."},
    {TLS, "tls-client-crl", "FILE", NULL, NULL, "tls.client_crl", OPTION_TEXT | OPTION_LIVE,
     AT(tls.client_crl), 1, 4095, NULL, "File of the revocation lists (PEM) of these authorities."},
    {TLS, "tls-ticket-key-file", "FILE", NULL, NULL, "tls.ticket_key_file",
     OPTION_TEXT | OPTION_LIVE, AT(tls.ticket_key_file), 1, 4095, NULL,
     "File of 80 random bytes that several servers share, so that a client resumes its TLS session "
     "at each of them. Default: keys that the server makes for itself."},
    {LIMITS | COMMON, "max-connections", "N", "1000", "MAX_CONNECTIONS",
     "websocket.max_connections", OPTION_NUMBER | OPTION_LIVE, AT(connections_max), 1,
     OPTIONS_CONNECTIONS_MAX, NULL,
     "Maximum number of clients, over all cores. Further connections receive 503."},
    {LIMITS, "max-subscriptions", "N", "100", "MAX_SUBSCRIPTIONS_PER_CLIENT",
     "websocket.max_subscriptions_per_client", OPTION_NUMBER | OPTION_LIVE, AT(subscriptions_max),
     1, OPTIONS_SUBSCRIPTIONS_MAX, NULL, "Maximum number of subscriptions per client."},
    {LIMITS, "rate-limit-enabled", "SWITCH", "yes", NULL, "security.rate_limit_enabled",
     OPTION_CHOICE | OPTION_LIVE, AT(rate_limit_enabled), 0, 0, options_no_yes,
     "Apply --max-connections-per-ip, --handshakes-per-second and --messages-per-second."},
    {LIMITS, "max-connections-per-ip", "N", NULL, NULL, "security.max_connections_per_ip",
     OPTION_NUMBER | OPTION_LIVE, AT(access.ip_connections_max), 1, OPTIONS_CONNECTIONS_MAX, NULL,
     "Maximum number of clients per IPv4 address or IPv6 /64. Default: 20; unlimited for loopback "
     "and Unix sockets."},
    {LIMITS, "handshakes-per-second", "N", NULL, NULL, "security.handshakes_per_second",
     OPTION_NUMBER | OPTION_LIVE, AT(access.ip_handshakes_per_s), 1, 1000000, NULL,
     "Handshakes per second allowed from one IPv4 address or IPv6 /64, with bursts of twice that. "
     "Default: 10; unlimited for loopback and Unix sockets."},
    {LIMITS, "messages-per-second", "N", NULL, NULL, "security.messages_per_second",
     OPTION_NUMBER | OPTION_LIVE, AT(access.messages_per_s), 1, 1000000, NULL,
     "Messages per second allowed from one client, with bursts of twice that. Default: 5; "
     "unlimited for loopback and Unix sockets."},
    {LIMITS, "cleanup-interval", "SECONDS", "60", NULL, "cleanup_interval",
     OPTION_SECONDS | OPTION_LIVE, AT(cleanup_interval_ns), 100, 86400 * 1000, NULL,
     "Above 90 % of --max-connections, close (4114) a client that has had no subscription and sent "
     "no message for this long, if --idle-timeout is longer."},
    {MEMORY, "frame-log-bytes", "BYTES", "64m", NULL, "frame_log_bytes", OPTION_LOG_BYTES,
     AT(frame_log_bytes), OPTIONS_FRAME_LOG_BYTES_MIN, 64 * 1024 * MIB, NULL,
     "Size of the frame log of each encoding, from which slow clients catch up. A power of two."},
    {MEMORY, "memory-max", "BYTES", NULL, NULL, "memory_max", OPTION_BYTES, AT(memory_bytes_max),
     OPTIONS_FRAME_LOG_BYTES_MIN, 1024 * 1024 * MIB, NULL,
     "Maximum memory for the frame logs of all encodings together. An encoding that does not fit "
     "is not served. Default: no limit. See docs/memory.md."},
    {MEMORY, "memory-soft", "BYTES", NULL, NULL, "memory_soft", OPTION_BYTES | OPTION_LIVE,
     AT(memory_soft_bytes), 1 * MIB, 1024 * 1024 * MIB, NULL,
     "While the server uses at least this much memory, the allocator gives back what it does not "
     "use. Default: off. See docs/protection.md."},
    {MEMORY, "memory-hard", "BYTES", NULL, NULL, "memory_hard", OPTION_BYTES | OPTION_LIVE,
     AT(memory_hard_bytes), 1 * MIB, 1024 * 1024 * MIB, NULL,
     "While the server uses at least this much memory, new connections receive 503. Default: only "
     "--memory-percent."},
    {MEMORY, "memory-percent", "N", "90", NULL, "max_memory_percent", OPTION_NUMBER | OPTION_LIVE,
     AT(memory_percent_max), 0, 100, NULL,
     "The same as --memory-hard, as a percentage of the cgroup's memory limit, or of the machine's "
     "memory. 0 disables it."},
    {MEMORY, "gc-interval", "SECONDS", "60", NULL, "gc_interval", OPTION_SECONDS | OPTION_LIVE,
     AT(gc_interval_ns), 1000, 86400 * 1000, NULL,
     "Minimum time between two purges of the allocator (--memory-soft, --memory-hard)."},
    {MEMORY, "send-buffer-bytes", "BYTES", "128k", NULL, "send_buffer_bytes", OPTION_BYTES,
     AT(send_buffer_bytes), 4 * KIB, 64 * MIB, NULL,
     "Size of the kernel's send buffer of each client. It fills while the client reads slowly."},
    {PERFORMANCE | COMMON, "cores", "CORES", "1", NULL, "cores", OPTION_CORES, 0, 0, 0, NULL,
     "Number of serving threads, or the list of CPUs to pin them to (0,3 or 2-5)."},
    {PERFORMANCE, "publisher", "WHERE", "auto", NULL, "publisher", OPTION_CHOICE, AT(publisher), 0,
     0, options_publishers,
     "Where ticks are encoded: inline is core 0, thread is a thread of its own. auto is inline "
     "with one core, and thread with more."},
    {PERFORMANCE, "busy-poll", NULL, NULL, NULL, "busy_poll", OPTION_FLAG, AT(busy_poll), 0, 0,
     NULL, "Cores spin instead of sleeping. Latency is lower, and each core uses a whole CPU."},
    {PERFORMANCE, "zero-copy-bytes", "BYTES", NULL, NULL, "zero_copy_bytes", OPTION_BYTES,
     AT(zero_copy_bytes), 0, 64 * MIB, NULL,
     "Send runs of frames of at least this size without copying them (zero copy), where the kernel "
     "supports it for the connection. 0 disables it. Default: the size from which it costs less, "
     "measured at the start."},
    {PERFORMANCE, "engine", "ENGINE", "uring", NULL, "engine", OPTION_CHOICE, AT(engine), 0, 0,
     options_engines, "I/O engine. io_uring is the only one so far."},
    {ADMIN | COMMON, "admin-host", "HOST", "127.0.0.1", NULL, "admin.host", OPTION_TEXT,
     AT(admin_host), 1, 255, NULL,
     "Address or name to listen on for the admin HTTP server (health, stats, metrics)."},
    {ADMIN | COMMON, "admin-port", "PORT", "8080", NULL, "admin.port", OPTION_NUMBER,
     AT(admin_port), 0, 65535, NULL,
     "Port of the admin HTTP server. 0 picks a free one and logs it."},
    {ADMIN, "admin-token", "TOKEN", NULL, NULL, "admin.token", OPTION_TEXT | OPTION_SECRET,
     AT(admin_token), 0, SECRET_BYTES_MAX, NULL,
     "Token that permits other hosts all /admin paths of the admin server. Prefer "
     "--admin-token-file."},
    {ADMIN, "admin-token-file", "PATH", NULL, NULL, "admin.token_file", OPTION_TEXT,
     AT(admin_token_file), 1, 4095, NULL,
     "File that contains the token that permits other hosts all /admin paths."},
    {ADMIN, "admin-read-token-file", "PATH", NULL, NULL, "admin.read_token_file", OPTION_TEXT,
     AT(admin_read_token_file), 1, 4095, NULL,
     "File that contains the token that permits other hosts to read /admin paths, and to change "
     "nothing."},
    {ADMIN, "ctl-socket", "PATH", NULL, NULL, "admin.socket", OPTION_TEXT, AT(ctl_path), 1,
     UNIX_PATH_BYTES_MAX, NULL,
     "Unix socket of the admin server, for its user and root. off opens none. Default: "
     "/dev/shm/ringcast-PID.ctl."},
    {ADMIN, "metrics-host", "HOST", "0.0.0.0", NULL, "monitoring.metrics_host", OPTION_TEXT,
     AT(metrics_host), 1, 255, NULL, "Address or name to listen on for the metrics port."},
    {ADMIN, "metrics-port", "PORT", NULL, NULL, "monitoring.metrics_port", OPTION_NUMBER,
     AT(metrics_port), 0, 65535, NULL,
     "Port that serves /metrics, /livez, /readyz and /health to everybody, and nothing else. 0 "
     "picks a free one and logs it. Default: none."},
    {ADMIN, "monitoring-enabled", "SWITCH", "yes", NULL, "monitoring.enabled", OPTION_CHOICE,
     AT(monitoring_enabled), 0, 0, options_no_yes,
     "Open the port of monitoring.metrics_port, if there is one."},
    {ADMIN, "prometheus-enabled", "SWITCH", "yes", NULL, "monitoring.prometheus_enabled",
     OPTION_CHOICE, AT(prometheus_enabled), 0, 0, options_no_yes, "Serve /metrics."},
    {ADMIN, "watchdog-seconds", "N", "5", NULL, "watchdog_seconds", OPTION_NUMBER | OPTION_LIVE,
     AT(watchdog_seconds), 0, 3600, NULL,
     "Answer 503 at /livez and /readyz when a core or the publisher has made no progress for this "
     "long. 0 disables it."},
    {ADMIN, "ready-stale-percent", "N", "0", NULL, "ready_stale_percent",
     OPTION_NUMBER | OPTION_LIVE, AT(ready_stale_percent), 0, 100, NULL,
     "Answer 503 at /readyz while at least this percentage of the symbols of open markets is "
     "stale. 0 disables it."},
    {ADMIN, "alert-cpu", "N", "80", NULL, "alerts.cpu_percent", OPTION_NUMBER | OPTION_LIVE,
     AT(alert_cpu_percent), 0, 100, NULL,
     "Warn when the server uses more than this percentage of the CPU time that it may use. 0 "
     "disables it. See docs/protection.md."},
    {ADMIN, "alert-memory", "N", "85", NULL, "alerts.memory_percent", OPTION_NUMBER | OPTION_LIVE,
     AT(alert_memory_percent), 0, 100, NULL,
     "Warn when more than this percentage of the cgroup's or the machine's memory is in use. 0 "
     "disables it."},
    {ADMIN, "alert-disk", "N", "90", NULL, "alerts.disk_percent", OPTION_NUMBER | OPTION_LIVE,
     AT(alert_disk_percent), 0, 100, NULL,
     "Warn when more than this percentage of the file system of the working directory is in use. "
     "0 disables it."},
    {ADMIN, "alert-connections", "N", "1000", NULL, "alerts.connections",
     OPTION_NUMBER | OPTION_LIVE, AT(alert_connections), 0, OPTIONS_CONNECTIONS_MAX, NULL,
     "Warn when more than this many clients are connected. 0 disables it."},
    {ADMIN, "dump-dir", "DIR", "/tmp", NULL, "dump_directory", OPTION_TEXT, AT(dump_directory), 1,
     4095, NULL,
     "Directory in which SIGUSR2 and POST /admin/dump make a directory that describes the "
     "process."},
    {LOGGING | COMMON, "log-level", "LEVEL", "INFO", "LOG_LEVEL", "logging.level",
     OPTION_CHOICE | OPTION_LIVE, AT(log_level), 0, 0, options_log_levels,
     "Lowest level that is logged."},
    {LOGGING, "log-format", "FORMAT", "text", NULL, "logging.format", OPTION_CHOICE, AT(log_format),
     0, 0, options_log_formats, "Format of the log."},
    {LOGGING, "log-file", "PATH", NULL, NULL, "logging.file", OPTION_TEXT, AT(log_file), 1, 4095,
     NULL, "Append the log to this file instead of standard error. SIGUSR1 reopens all log files."},
    {LOGGING, "access-log", "PATH", NULL, NULL, "logging.access_log", OPTION_TEXT, AT(access_log),
     1, 4095, NULL,
     "Append a line to this file for each connection at its end, each refused handshake, and each "
     "request to the admin server."},
    {LOGGING, "access-log-format", "FIELDS", "remote_addr user timestamp request status bytes",
     NULL, "logging.access_log_format", OPTION_TEXT, AT(access_log_format), 1, 1024, NULL,
     "Fields of these lines, with spaces between them: also duration, session, close_code, "
     "encoding, tls, cipher, server_name, certificate."},
    {LOGGING, "audit-log", "PATH", NULL, NULL, "logging.audit_log", OPTION_TEXT, AT(audit_log), 1,
     4095, NULL, "Append audit lines to this file instead of the log, whatever --log-level is."},
    {LOGGING, "log-connections", "WHEN", "info", NULL, "logging.connections",
     OPTION_CHOICE | OPTION_LIVE, AT(log_connections), 0, 0, options_log_connections,
     "How the log tells of clients that connect and disconnect: lines of INFO, lines of DEBUG, or "
     "a "
     "line for every hundredth with a count of the others."},
    {CONFIG | COMMON, "config", "FILE", NULL, NULL, NULL, OPTION_TEXT, AT(config_path), 1, 4096,
     NULL, "Read options from this YAML file. Variables and options override it."},
    {CONFIG, "environment", "PROFILE", NULL, "ENVIRONMENT", "environment", OPTION_TEXT,
     AT(environment), 1, 255, NULL,
     "Use the values of a profile where nothing else gives one: development (dev), test or "
     "production (prod)."},
    {CONFIG | COMMON, "check-config", NULL, NULL, NULL, NULL, OPTION_FLAG, AT(check_config), 0, 0,
     NULL,
     "Check the whole configuration without opening sockets, print the first error, and exit."},
    {CONFIG, "print-config", NULL, NULL, NULL, NULL, OPTION_FLAG, AT(print_config), 0, 0, NULL,
     "Print the configuration as YAML, with the origin of each value and without secrets, and "
     "exit."},
    {CONFIG, "print-env", NULL, NULL, NULL, NULL, OPTION_FLAG, AT(print_env), 0, 0, NULL,
     "Print what has been set as variables, for docker run --env-file, without secrets, and "
     "exit."},
    {CONFIG | COMMON, "version", NULL, NULL, NULL, NULL, OPTION_ACTION, 0, OPTIONS_ACTION_VERSION,
     0, NULL, "Print the version and how it was compiled, and exit."},
    {CONFIG | COMMON, "help", NULL, NULL, NULL, NULL, OPTION_ACTION, 0, OPTIONS_ACTION_HELP, 0,
     NULL, "Print the common options and the list of help topics, and exit."},
    OPTIONS_IGNORED("REDIS_HOST", NULL, "no Redis is needed; the frame logs are the cache"),
    OPTIONS_IGNORED("CONSUL_HOST", "service_discovery.consul_host", REGISTERS_NOWHERE),
    OPTIONS_IGNORED(NULL, "service_discovery.backend", REGISTERS_NOWHERE),
    OPTIONS_IGNORED(NULL, "service_discovery.consul_port", REGISTERS_NOWHERE),
    OPTIONS_IGNORED(NULL, "scaling.min_instances", SCALES_NOT),
    OPTIONS_IGNORED(NULL, "scaling.max_instances", SCALES_NOT),
    OPTIONS_IGNORED(NULL, "scaling.target_cpu_utilization", SCALES_NOT),
    OPTIONS_IGNORED(NULL, "scaling.target_memory_utilization", SCALES_NOT),
    OPTIONS_IGNORED(NULL, "performance.connection_pool_size", POOL_IS_WHOLE),
    OPTIONS_IGNORED(NULL, "performance.pool_min", POOL_IS_WHOLE),
    OPTIONS_IGNORED(NULL, "performance.pool_max", POOL_IS_WHOLE),
    OPTIONS_IGNORED(NULL, "performance.batch_size", HOLDS_NOTHING_BACK),
    OPTIONS_IGNORED(NULL, "performance.batch_timeout", HOLDS_NOTHING_BACK),
    OPTIONS_IGNORED(NULL, "performance.flush_interval", HOLDS_NOTHING_BACK),
    OPTIONS_IGNORED(NULL, "performance.batch_max_bytes", HOLDS_NOTHING_BACK),
};
#define OPTIONS_SPEC_COUNT (sizeof options_specs / sizeof options_specs[0])
static_assert(OPTIONS_SPEC_COUNT <= OPTIONS_TABLE_MAX, "any list of them has room");
static_assert(sizeof options_log_levels / sizeof options_log_levels[0] == LOG_LEVEL_CRITICAL + 2,
              "each level has a name, and NULL ends them");

const struct option_spec *options_table(size_t *count_out)
{
    *count_out = OPTIONS_SPEC_COUNT;
    return options_specs;
}

bool option_is_switch(const struct option_spec *spec)
{
    return spec->choices == options_no_yes || spec->choices == options_off_on;
}

size_t options_row(const struct option_spec *spec)
{
    assert_always(spec >= options_specs);
    assert_always(spec < options_specs + OPTIONS_SPEC_COUNT);
    return (size_t)(spec - options_specs);
}

const struct option_spec *options_find(const char *name, size_t name_bytes)
{
    for (size_t i = 0; i < OPTIONS_SPEC_COUNT; i++) {
        const char *candidate = options_specs[i].name;
        if (candidate != NULL && strlen(candidate) == name_bytes &&
            memcmp(candidate, name, name_bytes) == 0) {
            return &options_specs[i];
        }
    }
    return NULL;
}

bool options_has_metrics_port(const struct options *options)
{
    return options->monitoring_enabled && options->metrics_port != OPTIONS_METRICS_PORT_OFF;
}

bool options_has_tls(const struct options *options)
{
    return options->tls_port != OPTIONS_TLS_PORT_OFF;
}

const char *options_tls_host(const struct options *options)
{
    return options->tls_host != NULL ? options->tls_host : options->host;
}

void options_deinit(struct options *options)
{
    while (options->kept != NULL) {
        struct options_text *next = options->kept->next;
        free(options->kept);
        options->kept = next;
    }
}

void options_keep(struct options *options, struct options *from)
{
    struct options_text **end = &options->kept;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = from->kept;
    from->kept = NULL;
}

void options_locate(const struct options *options, const char *text, char *out, size_t out_bytes)
{
    size_t name_bytes = strncmp(text, "--", 2) == 0 ? strcspn(text + 2, ": ") : 0;
    const struct option_spec *spec = name_bytes == 0 ? NULL : options_find(text + 2, name_bytes);
    const char *source = spec == NULL ? NULL : options->sources[options_row(spec)];
    snprintf(out, out_bytes, "%s%s", source == NULL ? "" : source,
             source == NULL ? text : text + 2 + name_bytes);
}

void options_print_version(FILE *out)
{
#ifdef NDEBUG
    const char *assertions = "without debug assertions";
#else
    const char *assertions = "with debug assertions";
#endif
#ifdef __clang__
    const char *compiler = __VERSION__; /* begins with its name */
#else
    const char *compiler = "gcc " __VERSION__;
#endif
    fprintf(out, "ringcast %s\ncompiled by %s, %s\n", RINGCAST_VERSION, compiler, assertions);
}
