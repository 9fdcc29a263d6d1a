//! The one build of everything. Each step is a row of this table; `zig build --list-steps` shows it.

const std = @import("std");

const steps = [_]Step{
    .{ .name = "run", .about = "build the programs and start the server (arguments after --)", .make = stepRun },
    .{ .name = "test", .about = "unit tests with UBSan, and the corpora; -- NAME runs those whose program has it in its name", .make = stepTest },
    .{ .name = "aarch64", .about = "the programs for aarch64, and their unit tests with UBSan, by qemu-aarch64; -- NAME filters", .make = stepAarch64 },
    .{ .name = "tsan", .about = "unit tests with threads, and the server, with ThreadSanitizer", .make = stepTsan },
    .{ .name = "asan", .about = "unit tests with AddressSanitizer and LeakSanitizer, by gcc", .make = stepAsan },
    .{ .name = "integration", .about = "the release programs against real clients; -- NAME filters", .make = stepIntegration },
    .{ .name = "bench", .about = "micro benchmarks, full size; -- NAME filters", .make = stepBench },
    .{ .name = "fuzz", .about = "all fuzz targets at once, from their corpora, for a minute; -- SECONDS NAME...", .make = stepFuzz },
    .{ .name = "check", .about = "compile everything, aarch64 too, and run nothing", .make = stepCheck },
    .{ .name = "tidy", .about = "formatting and the measures of the style", .make = stepTidy },
    .{ .name = "fmt", .about = "format every C file in place", .make = stepFmt },
    .{ .name = "deb", .about = "Debian packages of the programs and of their debug symbols in zig-out/deb", .make = stepDeb },
    .{ .name = "sbom", .about = "what the programs are made of, as CycloneDX, in zig-out/ringcast.cdx.json", .make = stepSbom },
    .{ .name = "docs", .about = "the pages as a website in zig-out/docs", .make = stepDocs },
    .{ .name = "ci", .about = "what CI runs: ./test full", .make = stepCi },
    .{ .name = "compile_commands", .about = "write compile_commands.json for editors", .make = stepCompileCommands },
};

// The rooms, and the rooms whose headers each may include: the arrows of docs/architecture.md. A room is
// compiled with copies of those headers only, so that a wrong include does not compile. Its sources are
// all the .c files of its folder, except those that have a main(), which `programs` names.

const rooms = [_]Room{
    .{ .name = "codec/base" },
    .{ .name = "codec", .sees = &.{"codec/base"} },
    .{ .name = "codec/tls", .sees = &.{"codec/base"} },

    .{ .name = "ring", .sees = &.{ "codec/base", "codec", "codec/tls" } },
    .{ .name = "ring/board", .sees = &.{ "codec/base", "codec" } },
    .{ .name = "ring/io", .sees = &.{ "codec/base", "codec" } },
    .{ .name = "ring/link", .sees = &.{ "codec/base", "codec", "codec/tls", "ring", "ring/board", "ring/io" } },
    .{ .name = "ring/fan", .sees = &.{ "codec/base", "codec", "ring", "ring/board" } },
    .{ .name = "ring/core", .sees = ring_sees },

    .{ .name = "feeds", .sees = &.{ "codec/base", "codec" } },
    .{ .name = "feeds/sim", .sees = &.{ "codec/base", "codec", "feeds" } },
    .{ .name = "feeds/venue", .sees = &.{ "codec/base", "codec", "feeds" } },
    .{ .name = "feeds/replay", .sees = &.{ "codec/base", "codec", "feeds", "feeds/venue" } },
    .{ .name = "feeds/ingest", .sees = &.{ "codec/base", "codec", "feeds", "ring/io" } },

    .{ .name = "src", .sees = src_sees },
    .{ .name = "src/base", .sees = &.{ "codec/base", "codec" } },
    .{ .name = "src/systemd", .sees = &.{"codec/base"} },
    .{ .name = "src/command", .sees = &.{ "codec/base", "codec", "ring/board", "ring/core", "ring", "src/base" } },
    .{ .name = "src/guard", .sees = &.{ "codec/base", "ring", "src/base" } },
    .{ .name = "src/config", .sees = &.{ "codec/base", "codec", "feeds", "src/base" } },
    .{ .name = "src/archive", .sees = &.{ "codec/base", "codec", "feeds", "src/base", "src/config" } },
    .{ .name = "src/doctor", .sees = &.{ "codec/base", "codec", "ring", "ring/board", "ring/io", "feeds", "src/base", "src/config", "tools/common", "tools/insight" } },
    .{ .name = "src/access", .sees = &.{ "codec/base", "codec", "feeds", "src/base" } },
    .{ .name = "src/tls", .sees = &.{ "codec/base", "codec", "codec/tls", "ring", "ring/board", "ring/io", "ring/core", "src/base" } },
    .{ .name = "src/record", .sees = &.{ "codec/base", "codec", "ring/board", "feeds", "src/base" } },
    .{ .name = "src/market", .sees = &.{ "codec/base", "codec", "ring", "ring/board", "ring/io", "ring/core", "feeds", "src/base", "src/record" } },
    .{ .name = "src/request", .sees = &.{ "codec/base", "codec", "src/base", "src/market" } },
    .{ .name = "src/symbols", .sees = &.{ "codec/base", "codec", "ring/board", "src/base", "src/market", "src/request" } },
    .{ .name = "src/session", .sees = &.{ "codec/base", "codec", "codec/tls", "ring", "ring/board", "ring/core", "feeds", "src/base", "src/access", "src/market", "src/request", "src/symbols" } },
    .{ .name = "src/roll", .sees = &.{ "codec/base", "codec", "ring", "ring/board", "ring/core", "feeds", "src/base", "src/command", "src/access", "src/market", "src/request", "src/symbols", "src/session" } },
    .{ .name = "src/admin", .sees = &.{ "codec/base", "codec", "ring/board", "feeds", "src/base", "src/access", "src/market", "src/request", "src/symbols", "src/command", "src/config", "src/guard", "ring/core", "ring" } },

    .{ .name = "libringcast", .sees = &.{ "codec/base", "codec" } },

    .{ .name = "tools/common", .sees = &.{ "codec/base", "codec" } },
    .{ .name = "tools/tap", .sees = tap_sees },
    .{ .name = "tools/load", .sees = tools_load_sees },
    .{ .name = "tools/bench", .sees = tools_bench_sees },
    .{ .name = "tools/insight", .sees = insight_sees },
    .{ .name = "tools/ctl", .sees = ctl_sees },

    .{ .name = "bench", .sees = bench_sees },
};
const ring_sees: []const []const u8 = &.{ "codec/base", "codec", "codec/tls", "ring", "ring/board", "ring/io", "ring/link", "ring/fan", "ring/core" };
const src_sees: []const []const u8 = ring_sees ++ &[_][]const u8{ "feeds", "src", "src/base", "src/systemd", "src/command", "src/guard", "src/config", "src/access", "src/tls", "src/record", "src/market", "src/request", "src/symbols", "src/session", "src/roll", "src/admin", "src/archive", "src/doctor" };
const tap_sees: []const []const u8 = &.{ "codec/base", "codec", "tools/common" };
const tools_load_sees: []const []const u8 = &.{ "codec/base", "codec", "ring/io", "tools/common" };
const tools_bench_sees: []const []const u8 = tools_load_sees ++ &[_][]const u8{"tools/load"};
const insight_sees: []const []const u8 = &.{ "codec/base", "codec", "ring/board", "tools/common" };
const ctl_sees: []const []const u8 = &.{ "codec/base", "codec", "ring/board", "tools/common", "tools/insight" };
const bench_sees: []const []const u8 = src_sees ++ &[_][]const u8{ "feeds/sim", "feeds/replay", "feeds/venue", "feeds/ingest", "tools/common", "tools/tap", "tools/load", "tools/bench", "tools/insight", "tools/ctl", "libringcast", "bench" };
const tests_see: []const []const u8 = bench_sees ++ &[_][]const u8{"tests"};

// Libraries: the rooms that are linked together.
const codec = Library{ .name = "codec", .rooms = &.{ "codec", "codec/tls", "codec/base" } };
const ring = Library{ .name = "ring", .rooms = &.{ "ring/board", "ring/io", "ring/link", "ring/fan", "ring/core" } };
const board = Library{ .name = "board", .rooms = &.{"ring/board"} };
const feeds = Library{ .name = "feeds", .rooms = &.{ "feeds", "feeds/sim", "feeds/replay", "feeds/venue", "feeds/ingest" } };
const src = Library{ .name = "src", .rooms = &.{ "src", "src/base", "src/systemd", "src/command", "src/guard", "src/config", "src/access", "src/tls", "src/record", "src/market", "src/request", "src/symbols", "src/session", "src/roll", "src/admin", "src/archive", "src/doctor" } };
const tools = Library{ .name = "tools", .rooms = &.{ "tools/common", "tools/tap", "tools/load", "tools/bench", "tools/insight", "tools/ctl" } };
const insight = Library{ .name = "insight", .rooms = &.{ "tools/ctl", "tools/insight", "tools/common" } };
const publish = Library{ .name = "publish", .rooms = &.{"libringcast"} };
const bench = Library{ .name = "bench", .rooms = &.{"bench"} };

const programs = [_]Program{
    .{ .name = "ringcast", .main = "src/main.c", .sees = src_sees ++ &[_][]const u8{ "tools/insight", "tools/ctl" }, .links = &.{ src, feeds, insight, ring, codec } },
    .{ .name = "ringcast-tap", .main = "tools/tap/tap_main.c", .sees = tap_sees ++ &[_][]const u8{"tools/tap"}, .links = &.{ tools, codec } },
    .{ .name = "ringcast-echo", .main = "tools/echo/echo_main.c", .sees = ring_sees ++ &[_][]const u8{ "src/base", "src/tls" }, .links = &.{ src, ring, codec } },
    .{ .name = "ringcast-bench", .main = "tools/bench/bench_main.c", .sees = tools_bench_sees ++ &[_][]const u8{"tools/bench"}, .links = &.{ tools, ring, codec } },
    .{ .name = "sbe_frames", .main = "tests/sbe_frames.c", .sees = tests_see, .links = &.{codec}, .dir = "tests" },
    .{ .name = "follow_log", .main = "tests/follow_log.c", .part = log_follower, .sees = tests_see, .links = &.{codec}, .dir = "tests" },
    .{ .name = "publish_numbers", .main = "tests/publish_numbers.c", .sees = tests_see, .links = &.{ publish, codec }, .dir = "tests" },
    .{ .name = "peer_publish", .main = "bench/peers/publish.c", .part = "bench/peers/peer_ticks.c", .sees = bench_sees ++ &[_][]const u8{"bench/peers"}, .links = &.{codec}, .dir = "bench" },
    .{ .name = "ingest_load", .main = "bench/ingest_load.c", .sees = bench_sees, .links = &.{ publish, tools, codec }, .dir = "bench" },
    .{ .name = "raw_send", .main = "bench/raw_send.c", .sees = bench_sees, .links = &.{ bench, ring, codec }, .dir = "bench" },
};

/// What a prefix gets beside the programs and the library.
const shipped = [_]Shipped{
    .{ .from = "libringcast", .ending = "ringcast_publish.h", .to = "include" },
    .{ .from = "docs", .ending = ".1", .to = "share/man/man1" },
    .{ .from = "docs", .ending = ".3", .to = "share/man/man3" },
    .{ .from = "packaging/completions", .ending = "_ringcast", .to = "share/zsh/site-functions" },
    .{ .from = "packaging", .ending = "60-ringcast.conf", .to = "lib/sysctl.d" },
    .{ .from = "packaging/systemd", .ending = "latency.conf", .to = "share/ringcast" },
    .{ .from = "packaging", .ending = "ringcast.limits", .to = "share/ringcast" },
    .{ .from = "packaging", .ending = "ringcast.logrotate", .to = "share/ringcast" },
    .{ .from = "container", .ending = "seccomp.json", .to = "share/ringcast" },
    .{ .from = "tools/trace", .ending = ".bt", .to = "share/ringcast/trace" },
    .{ .from = "container/prometheus", .ending = "prometheus.yml", .to = "share/ringcast/prometheus" },
    .{ .from = "container/prometheus", .ending = "alert_rules.yml", .to = "share/ringcast/prometheus" },
    .{ .from = "container/prometheus", .ending = "alertmanager.yml", .to = "share/ringcast/prometheus" },
    .{ .from = "container/grafana/dashboards", .to = "share/ringcast/grafana/dashboards" },
    .{ .from = "container/grafana/provisioning/dashboards", .to = "share/ringcast/grafana/provisioning/dashboards" },
    .{ .from = "container/grafana/provisioning/datasources", .to = "share/ringcast/grafana/provisioning/datasources" },
    .{ .from = ".", .ending = ".md", .to = "share/doc/ringcast" },
    .{ .from = ".", .ending = "LICENSE", .to = "share/doc/ringcast" },
    .{ .from = "docs", .ending = ".md", .to = "share/doc/ringcast/docs" },
    .{ .from = "docs", .ending = ".yaml", .to = "share/doc/ringcast/docs" },
    .{ .from = "docs", .ending = ".png", .to = "share/doc/ringcast/docs" },
    .{ .from = "docs/feeds", .to = "share/doc/ringcast/docs/feeds" },
    .{ .from = "config", .to = "share/doc/ringcast/config" },
    .{ .from = "examples", .to = "share/doc/ringcast/examples" },
    .{ .from = "examples/data", .to = "share/doc/ringcast/examples/data" },
    .{ .from = "examples/my_feed", .to = "share/doc/ringcast/examples/my_feed" },
};
/// Units of systemd, in which the program has the path of the prefix.
const units = [_][]const u8{"packaging/systemd/ringcast.service", "packaging/systemd/ringcast.socket"};
const unit_bin = "/usr/local/bin/";
/// Tests whose core is tests/session_double.c: linked with no more of ring than its board.
const tests_with_session_double = [_][]const u8{
    "session",
    "session_access",
    "session_heartbeat",
    "session_history",
    "session_policy",
    "roll_part",
    "session_slices",
    "session_variants",
};
/// What zig-out/lib/libringcast_publish.a has of codec, with the functions that would be visible in it. They get a
/// prefix: another library of a program may have the same names.
const publish_codec = [_][]const u8{ "codec/json_escape.c", "codec/json_member.c", "codec/md.c", "codec/sbe_tick.c", "codec/utf8.c" };
const publish_codec_symbols = [_][]const u8{ "json_escape", "json_member_find", "md_type_by_name", "md_type_name", "sbe_tick_encode", "sbe_tick_is_exact", "utf8_character_at", "utf8_check" };
/// Ends a program that this processor cannot run. Nobody calls it: in a library the linker would leave it out.
const cpu_check = "codec/base/cpu_check.c";
/// What reads a log from outside is part of one test and of one program for tests.
const log_follower = "tests/log_follower.c";
const threaded_tests = [_][]const u8{
    "channels",
    "command",
    "control",
    "core_claims",
    "feed_queue",
    "frame_log",
    "frame_log_reuse",
    "log",
    "log_files",
    "metrics",
    "rate_limit",
    "record",
    "staleness",
    "symbols",
    "tls_threads",
    "tls_tickets",
};
/// One core with a little protocol of its own, and the whole system.
const simulations = [_]Simulation{
    .{ .name = "sim_core", .sources = &.{ "tests/sim_clients.c", "tests/sim_core.c", "tests/sim_engine.c", "tests/sim_flood.c", "tests/sim_tls.c" } },
    .{ .name = "sim_system", .sources = &system_sources },
};
/// The system with one planted bug after the other.
const canary = Simulation{ .name = "sim_canary", .sources = &system_sources };
const system_sources = [_][]const u8{
    // What stands in for the libraries' own comes first.
    "tests/sim_log.c",    "tests/sim_memory.c",   "tests/sim_threads.c",    "tests/sim_ticks.c",
    "tests/sim_engine.c", "tests/sim_requests.c", "tests/sim_subscriber.c", "tests/sim_system.c",
    "tests/sim_tls.c",
};
const planted_rooms = [_][]const u8{ "ring/board", "ring/core", "ring/fan", "src/session" };
const base_flags = [_][]const u8{
    "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wshadow", "-Werror", "-fno-omit-frame-pointer",
};
const libraries = [_][]const u8{
    "uring",
    "jansson",
    "microhttpd",
    "ssl",
    "crypto",
    "z",
    "zstd",
    "m",
    "yaml",
};

const Room = struct { name: []const u8, sees: []const []const u8 = &.{} };
const Library = struct { name: []const u8, rooms: []const []const u8 };
const Program = struct {
    name: []const u8,
    main: []const u8,
    part: ?[]const u8 = null, // what else it is made of
    sees: []const []const u8,
    links: []const Library,
    dir: []const u8 = "bin",
};
const Shipped = struct { from: []const u8, ending: []const u8 = "", to: []const u8 };
const Simulation = struct { name: []const u8, sources: []const []const u8 };
const Step = struct {
    name: []const u8,
    about: []const u8,
    make: *const fn (*Context, *std.Build.Step) void,
};

/// One way of compiling everything.
const Variant = struct {
    name: []const u8,
    optimize: std.builtin.OptimizeMode,
    ubsan: std.zig.SanitizeC = .off,
    tsan: bool = false,
    jemalloc: bool = true,
    canary: bool = false,
    is_foreign: bool = false, // for Debian 12 on aarch64, whatever the host is
};
const release = Variant{ .name = "release", .optimize = .ReleaseFast };
/// With the planted bugs of codec/base/canary.h in the rooms that have some.
const planted = Variant{ .name = "planted", .optimize = .Debug, .ubsan = .full, .jemalloc = false, .canary = true };
const debug = Variant{ .name = "debug", .optimize = .Debug, .ubsan = .full, .jemalloc = false };
const aarch64 = Variant{ .name = "aarch64", .optimize = .ReleaseFast, .is_foreign = true };
const aarch64_debug = Variant{ .name = "aarch64-debug", .optimize = .Debug, .ubsan = .full, .jemalloc = false, .is_foreign = true };
const aarch64_planted = Variant{ .name = "aarch64-planted", .optimize = .Debug, .ubsan = .full, .jemalloc = false, .canary = true, .is_foreign = true };
const thread_sanitized = Variant{ .name = "tsan", .optimize = .Debug, .tsan = true, .jemalloc = false };

const debian_aarch64 = std.Target.Query{
    .cpu_arch = .aarch64,
    .os_tag = .linux,
    .abi = .gnu,
    .glibc_version = .{ .major = 2, .minor = 36, .patch = 0 },
};

pub fn build(b: *std.Build) void {
    var context = Context{
        .b = b,
        .target = b.standardTargetOptions(.{ .default_target = defaultTarget(b) }),
        .objects = .init(b.allocator),
        .header_dirs = .init(b.allocator),
        .made = .init(b.allocator),
    };
    if (std.mem.eql(u8, b.install_path, b.pathFromRoot("zig-out"))) {
        context.installForDevelopers(b.getInstallStep());
    } else {
        if (!std.fs.path.isAbsolute(b.install_prefix)) std.process.fatal("--prefix {s}: give an absolute path", .{b.install_prefix});
        b.installDirectory(.{ .source_dir = context.product(b.install_prefix), .install_dir = .prefix, .install_subdir = "" });
    }
    for (steps) |row| _ = context.step(row);
}

/// A release runs on any x86-64 of the last ten years, not just on the builder's own model.
fn defaultTarget(b: *std.Build) std.Target.Query {
    if (b.graph.host.result.cpu.arch != .x86_64) return .{};
    return .{ .cpu_model = .{ .explicit = &std.Target.x86.cpu.x86_64_v3 } };
}

// ---- Steps ----

fn stepRun(c: *Context, step: *std.Build.Step) void {
    const run = c.b.addSystemCommand(&.{"zig-out/bin/ringcast"});
    if (c.b.args) |arguments| run.addArgs(arguments);
    run.step.dependOn(c.b.getInstallStep());
    step.dependOn(&run.step);
}

fn stepTest(c: *Context, step: *std.Build.Step) void {
    const run = c.runTests("test", "debug");
    for (c.namesOf("tests", "test_")) |name| run.step.dependOn(c.install(c.addTest(debug, name), "debug/tests"));
    for (simulations) |row| run.step.dependOn(c.install(c.addSimulation(debug, row), "debug/tests"));
    run.step.dependOn(c.install(c.addSimulation(planted, canary), "debug/tests"));
    for (c.namesOf("bench", "bench_")) |name| run.step.dependOn(c.install(c.addBench(debug, name), "debug/tests"));
    for (c.namesOf("tests", "fuzz_")) |name| run.step.dependOn(c.install(c.addFuzz(debug, name), "debug/fuzz"));
    step.dependOn(&run.step);
}

fn stepAarch64(c: *Context, step: *std.Build.Step) void {
    if (c.lacksAarch64()) |why| return step.dependOn(why);
    const run = c.runTests("aarch64", "aarch64");
    for (programs) |program| {
        run.step.dependOn(c.install(c.addProgram(aarch64, program), "aarch64/bin"));
    }
    for (c.namesOf("tests", "test_")) |name| run.step.dependOn(c.install(c.addTest(aarch64_debug, name), "aarch64/tests"));
    for (simulations) |row| run.step.dependOn(c.install(c.addSimulation(aarch64_debug, row), "aarch64/tests"));
    run.step.dependOn(c.install(c.addSimulation(aarch64_planted, canary), "aarch64/tests"));
    for (c.namesOf("tests", "fuzz_")) |name| run.step.dependOn(c.install(c.addFuzz(aarch64_debug, name), "aarch64/fuzz"));
    step.dependOn(&run.step);
}

fn stepTsan(c: *Context, step: *std.Build.Step) void {
    const run = c.runTests("tsan", "tsan");
    for (threaded_tests) |name| {
        run.step.dependOn(c.install(c.addTest(thread_sanitized, name), "tsan/tests"));
    }
    const compile = c.b.addSystemCommand(&.{ "scripts/tsan.sh", "zig-out/tsan/bin" });
    compile.has_side_effects = true;
    compile.step.dependOn(c.b.getInstallStep());
    run.step.dependOn(&compile.step);
    step.dependOn(&run.step);
}

fn stepAsan(c: *Context, step: *std.Build.Step) void {
    const compile = c.b.addSystemCommand(&.{ "scripts/asan.sh", "zig-out/asan" });
    compile.has_side_effects = true;
    const run = c.runTests("asan", "asan");
    run.step.dependOn(&compile.step);
    step.dependOn(&run.step);
}

fn stepIntegration(c: *Context, step: *std.Build.Step) void {
    const run = c.runTests("integration", "bin");
    run.step.dependOn(c.b.getInstallStep());
    step.dependOn(&run.step);
}

fn stepBench(c: *Context, step: *std.Build.Step) void {
    for (c.namesOf("bench", "bench_")) |name| {
        const program = c.addBench(release, name);
        step.dependOn(c.install(program, "bench"));
        if (!c.isWanted(name)) continue;
        const run = c.b.addRunArtifact(program);
        run.addArg("full");
        run.has_side_effects = true;
        step.dependOn(&run.step);
    }
}

fn stepFuzz(c: *Context, step: *std.Build.Step) void {
    const run = c.runTests("fuzz", "debug");
    for (c.namesOf("tests", "fuzz_")) |name| run.step.dependOn(c.install(c.addFuzz(debug, name), "debug/fuzz"));
    step.dependOn(&run.step);
}

fn stepCheck(c: *Context, step: *std.Build.Step) void {
    for ([_]Variant{ release, debug }) |variant| {
        for (programs) |program| step.dependOn(&c.addProgram(variant, program).step);
    }
    for (c.namesOf("tests", "test_")) |name| step.dependOn(&c.addTest(debug, name).step);
    for (simulations) |row| step.dependOn(&c.addSimulation(debug, row).step);
    step.dependOn(&c.addSimulation(planted, canary).step);
    for (c.namesOf("bench", "bench_")) |name| step.dependOn(&c.addBench(release, name).step);
    for (c.namesOf("tests", "fuzz_")) |name| step.dependOn(&c.addFuzz(debug, name).step);
    if (c.lacksAarch64()) |why| return step.dependOn(why);
    for (rooms) |room| {
        if (c.sourcesOf(room.name).len > 0) step.dependOn(&c.object(aarch64, room).step);
    }
    step.dependOn(&c.addOthers(aarch64_debug).step);
    step.dependOn(c.install(c.addProgram(aarch64, programs[0]), "aarch64/bin"));
}

fn stepTidy(c: *Context, step: *std.Build.Step) void {
    const run = c.b.addSystemCommand(&.{ "python3", "scripts/tidy.py" });
    run.has_side_effects = true;
    step.dependOn(&run.step);
}

fn stepFmt(c: *Context, step: *std.Build.Step) void {
    const run = c.b.addSystemCommand(&.{ "python3", "scripts/tidy.py", "--format" });
    run.has_side_effects = true;
    step.dependOn(&run.step);
}

fn stepDeb(c: *Context, step: *std.Build.Step) void {
    const run = c.b.addSystemCommand(&.{ "packaging/debian/build.sh", @tagName(c.target.result.cpu.arch) });
    run.addDirectoryArg(c.product("/usr"));
    run.addArg(c.b.pathFromRoot("zig-out/deb"));
    run.has_side_effects = true;
    step.dependOn(&run.step);
}

fn stepSbom(c: *Context, step: *std.Build.Step) void {
    const run = c.b.addSystemCommand(&.{ "python3", "packaging/sbom.py", c.b.pathFromRoot("zig-out/ringcast.cdx.json") });
    for (programs) |program| {
        if (Context.isForUsers(program)) run.addArtifactArg(c.addProgram(release, program));
    }
    run.has_side_effects = true;
    step.dependOn(&run.step);
}

fn stepDocs(c: *Context, step: *std.Build.Step) void {
    const set_up = c.b.addSystemCommand(&.{ "scripts/setup.sh", "docs" });
    set_up.has_side_effects = true;
    const run = c.b.addSystemCommand(&.{ "python3", "scripts/docs.py" });
    run.has_side_effects = true;
    run.step.dependOn(&set_up.step);
    step.dependOn(&run.step);
}

fn stepCi(c: *Context, step: *std.Build.Step) void {
    const run = c.b.addSystemCommand(&.{ "./test", "full" });
    run.has_side_effects = true;
    step.dependOn(&run.step);
}

fn stepCompileCommands(c: *Context, step: *std.Build.Step) void {
    var text: std.ArrayList(u8) = .empty;
    var separator: []const u8 = "[\n";
    for (rooms) |room| {
        for (c.sourcesOf(room.name)) |source| {
            const line = c.b.fmt(
                "{s}{{\"directory\": \"{s}\", \"file\": \"{s}\", \"command\": \"clang -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Wshadow -I. -c {s}\"}}",
                .{ separator, c.b.pathFromRoot("."), source, source },
            );
            text.appendSlice(c.b.allocator, line) catch @panic("OOM");
            separator = ",\n";
        }
    }
    text.appendSlice(c.b.allocator, "\n]\n") catch @panic("OOM");
    const write = c.b.addUpdateSourceFiles();
    write.addBytesToSource(text.items, "compile_commands.json");
    step.dependOn(&write.step);
}

// ---- How things are made ----

const Context = struct {
    b: *std.Build,
    target: std.Build.ResolvedTarget,
    objects: std.StringHashMap(*std.Build.Step.Compile),
    header_dirs: std.StringHashMap(std.Build.LazyPath),
    made: std.StringHashMap(*std.Build.Step.Compile),

    fn step(c: *Context, row: Step) *std.Build.Step {
        const made = c.b.step(row.name, row.about);
        row.make(c, made);
        return made;
    }

    fn isWanted(c: *Context, name: []const u8) bool {
        const arguments = c.b.args orelse return true;
        for (arguments) |wanted| {
            if (std.mem.indexOf(u8, name, wanted) != null) return true;
        }
        return arguments.len == 0;
    }

    fn runTests(c: *Context, label: []const u8, dir: []const u8) *std.Build.Step.Run {
        const run = c.b.addSystemCommand(&.{ "python3", "scripts/run_tests.py", label });
        run.addArg(c.b.getInstallPath(.prefix, dir));
        if (c.b.args) |arguments| run.addArgs(arguments);
        run.has_side_effects = true;
        return run;
    }

    fn install(c: *Context, program: *std.Build.Step.Compile, dir: []const u8) *std.Build.Step {
        return &c.b.addInstallArtifact(program, .{ .dest_dir = .{ .override = .{ .custom = dir } } }).step;
    }

    /// A directory with copies of the headers of some folders.
    fn headers(c: *Context, sees: []const []const u8) std.Build.LazyPath {
        const key = std.mem.join(c.b.allocator, ",", sees) catch @panic("OOM");
        if (c.header_dirs.get(key)) |dir| return dir;
        const copies = c.b.addWriteFiles();
        for (sees) |name| {
            for (c.files(name, ".h")) |header| {
                _ = copies.addCopyFile(c.b.path(header), header);
            }
        }
        c.header_dirs.put(key, copies.getDirectory()) catch @panic("OOM");
        return copies.getDirectory();
    }

    fn module(c: *Context, variant: Variant, sees: []const []const u8) *std.Build.Module {
        const target = if (variant.is_foreign) c.b.resolveTargetQuery(debian_aarch64) else c.target;
        const made = c.b.createModule(.{
            .target = target,
            .optimize = variant.optimize,
            .link_libc = true,
            .sanitize_c = variant.ubsan,
            .sanitize_thread = variant.tsan,
            .omit_frame_pointer = false,
            .pic = true,
        });
        made.addIncludePath(c.headers(sees));
        c.addSystemPaths(made, variant.is_foreign);
        return made;
    }

    /// A target with a CPU of its own is not native to zig, which then forgets the host's folders. Foreign
    /// libraries are those that scripts/setup.sh has fetched; the foreign libc is zig's own.
    fn addSystemPaths(c: *Context, made: *std.Build.Module, is_foreign: bool) void {
        const arch = made.resolved_target.?.result.cpu.arch;
        const is_fetched = is_foreign or arch != c.b.graph.host.result.cpu.arch;
        const root = if (is_fetched) c.b.pathFromRoot(c.b.fmt(".toolchain/{t}", .{arch})) else "";
        const triple = c.b.fmt("{t}-linux-gnu", .{arch});
        for ([_][]const u8{ "usr/include", c.b.fmt("usr/include/{s}", .{triple}) }) |dir| {
            made.addSystemIncludePath(.{ .cwd_relative = c.b.fmt("{s}/{s}", .{ root, dir }) });
        }
        made.addLibraryPath(.{ .cwd_relative = c.b.fmt("{s}/usr/lib/{s}", .{ root, triple }) });
    }

    fn link(c: *Context, made: *std.Build.Module, names: []const []const u8) void {
        _ = c;
        for (names) |name| made.linkSystemLibrary(name, .{ .use_pkg_config = .no });
    }

    fn sourcesOf(c: *Context, folder: []const u8) []const []const u8 {
        return c.files(folder, ".c");
    }

    /// The files of a folder itself with an extension, in the order of their names.
    fn files(c: *Context, folder: []const u8, extension: []const u8) []const []const u8 {
        const io = c.b.graph.io;
        var found: std.ArrayList([]const u8) = .empty;
        var dir = c.b.build_root.handle.openDir(io, folder, .{ .iterate = true }) catch |e| std.debug.panic("{s}: {t}", .{ folder, e });
        defer dir.close(io);
        var entries = dir.iterate();
        while (entries.next(io) catch @panic("the folder cannot be read")) |file| {
            if (file.kind != .file or !std.mem.endsWith(u8, file.name, extension)) continue;
            const path = c.b.fmt("{s}/{s}", .{ folder, file.name });
            found.append(c.b.allocator, path) catch @panic("OOM");
        }
        std.mem.sort([]const u8, found.items, {}, isBefore);
        return found.items;
    }

    fn isBefore(_: void, one: []const u8, other: []const u8) bool {
        return std.mem.lessThan(u8, one, other);
    }

    /// NAME of all files PREFIX_NAME.c of a folder.
    fn namesOf(c: *Context, folder: []const u8, prefix: []const u8) []const []const u8 {
        var found: std.ArrayList([]const u8) = .empty;
        for (c.sourcesOf(folder)) |path| {
            const stem = std.fs.path.stem(path);
            if (!std.mem.startsWith(u8, stem, prefix) or std.mem.eql(u8, stem, "fuzz_driver")) continue;
            found.append(c.b.allocator, stem[prefix.len..]) catch @panic("OOM");
        }
        return found.items;
    }

    /// A room as a static library.
    fn object(c: *Context, variant: Variant, room: Room) *std.Build.Step.Compile {
        const key = c.b.fmt("{s}-{s}", .{ room.name, variant.name });
        if (c.objects.get(key)) |made| return made;
        const name = c.b.dupe(key);
        std.mem.replaceScalar(u8, name, '/', '-');
        const own = std.mem.concat(c.b.allocator, []const u8, &.{ room.sees, &.{room.name} }) catch @panic("OOM");
        const made = c.b.addLibrary(.{
            .name = name,
            .linkage = .static,
            .root_module = c.module(variant, own),
        });
        for (c.sourcesOf(room.name)) |source| {
            if (isMain(source)) continue;
            made.root_module.addCSourceFile(.{ .file = c.b.path(source), .flags = c.flagsOf(variant) });
        }
        c.objects.put(key, made) catch @panic("OOM");
        return made;
    }

    /// The programs, those of tests and benchmarks too, and the library.
    fn installForDevelopers(c: *Context, step_of_all: *std.Build.Step) void {
        for (programs) |program| step_of_all.dependOn(c.install(c.addProgram(release, program), program.dir));
        step_of_all.dependOn(c.install(c.addPublish(), "lib"));
        step_of_all.dependOn(&c.b.addInstallHeaderFile(c.b.path("libringcast/ringcast_publish.h"), "ringcast_publish.h").step);
    }

    /// A folder with all that users get, as it is below a prefix. share/ringcast/files lists it.
    fn product(c: *Context, prefix: []const u8) std.Build.LazyPath {
        var tree = Tree{ .b = c.b, .folder = c.b.addWriteFiles() };
        for (programs) |program| {
            if (!isForUsers(program)) continue;
            tree.copy(c.addProgram(release, program).getEmittedBin(), "bin", program.name);
            tree.copy(c.b.path("packaging/completions/ringcast.bash"), "share/bash-completion/completions", program.name);
        }
        tree.copy(c.addPublish().getEmittedBin(), "lib", "libringcast_publish.a");
        for (shipped) |row| {
            for (c.files(row.from, row.ending)) |path| tree.copy(c.b.path(path), row.to, std.fs.path.basename(path));
        }
        for (units) |path| {
            const bin = c.b.fmt("{s}/bin/", .{prefix});
            const text = std.mem.replaceOwned(u8, c.b.allocator, c.read(path), unit_bin, bin) catch @panic("OOM");
            tree.write("lib/systemd/system", std.fs.path.basename(path), text);
        }
        const list = tree.add("share/ringcast", "files"); // itself, too
        _ = tree.folder.add(list, tree.names.items);
        return tree.folder.getDirectory();
    }

    fn read(c: *Context, path: []const u8) []const u8 {
        return c.b.build_root.handle.readFileAlloc(c.b.graph.io, path, c.b.allocator, .limited(1 << 20)) catch |e|
            std.debug.panic("{s}: {t}", .{ path, e });
    }

    /// The library for other people's programs, which may run on any processor: libringcast and what it needs.
    fn addPublish(c: *Context) *std.Build.Step.Compile {
        const module_of_all = c.b.createModule(.{
            .target = c.b.resolveTargetQuery(.{ .cpu_model = .baseline }),
            .optimize = release.optimize,
            .link_libc = true,
            .sanitize_c = .off,
            .pic = true,
            .strip = true,
        });
        module_of_all.addIncludePath(c.headers(&.{ "codec/base", "codec", "libringcast" }));
        var flags: std.ArrayList([]const u8) = .empty;
        flags.appendSlice(c.b.allocator, c.flagsOf(release)) catch @panic("OOM");
        for (publish_codec_symbols) |name| {
            flags.append(c.b.allocator, c.b.fmt("-D{s}=ringcast_publish_{s}", .{ name, name })) catch @panic("OOM");
        }
        module_of_all.addCSourceFiles(.{ .files = &publish_codec, .flags = flags.items });
        module_of_all.addCSourceFiles(.{ .files = c.sourcesOf("libringcast"), .flags = flags.items });
        return c.b.addLibrary(.{ .name = "ringcast_publish", .linkage = .static, .root_module = module_of_all });
    }

    /// All sources that belong to no room, wherever they are, as a library that nobody links.
    fn addOthers(c: *Context, variant: Variant) *std.Build.Step.Compile {
        const io = c.b.graph.io;
        const sees = tests_see ++ &[_][]const u8{"bench/peers"};
        const made = c.b.addLibrary(.{ .name = "others", .linkage = .static, .root_module = c.module(variant, sees) });
        made.root_module.addIncludePath(c.b.path("libringcast")); // as installed, for examples/publish.c
        var root = c.b.build_root.handle.openDir(io, ".", .{ .iterate = true }) catch @panic("the folder cannot be read");
        defer root.close(io);
        var entries = root.walkSelectively(c.b.allocator) catch @panic("OOM");
        defer entries.deinit();
        while (entries.next(io) catch @panic("the folder cannot be read")) |file| {
            const is_made = file.basename[0] == '.' or std.mem.eql(u8, file.path, "zig-out");
            if (file.kind == .directory and !is_made) entries.enter(io, file) catch @panic("the folder cannot be read");
            if (file.kind == .directory or !std.mem.endsWith(u8, file.path, ".c") or isOfRoom(file.path)) continue;
            made.root_module.addCSourceFile(.{ .file = c.b.path(c.b.dupe(file.path)), .flags = c.flagsOf(variant) });
        }
        return made;
    }

    fn isOfRoom(source: []const u8) bool {
        const folder = std.fs.path.dirname(source) orelse return false;
        for (rooms) |room| {
            if (std.mem.eql(u8, room.name, folder)) return !isMain(source);
        }
        return false;
    }

    /// A step that says that packages for aarch64 are missing, if they are.
    fn lacksAarch64(c: *Context) ?*std.Build.Step {
        c.b.build_root.handle.access(c.b.graph.io, ".toolchain/aarch64", .{}) catch {
            const run = c.b.addSystemCommand(&.{ "echo", "SKIPPED: aarch64, whose packages are missing: scripts/setup.sh test fetches them" });
            run.has_side_effects = true;
            return &run.step;
        };
        return null;
    }

    /// The folder of the checkout is not in what is compiled: two of them give the same bytes.
    fn flagsOf(c: *Context, variant: Variant) []const []const u8 {
        const all = base_flags ++ [_][]const u8{
            c.b.fmt("-fdebug-prefix-map={s}=.", .{c.b.pathFromRoot(".")}),
            c.b.fmt("-fmacro-prefix-map={s}/=", .{c.b.pathFromRoot(".")}),
            "-DRINGCAST_CANARY",
        };
        return c.b.allocator.dupe([]const u8, if (variant.canary) &all else all[0 .. all.len - 1]) catch @panic("OOM");
    }

    fn hasPlanted(room: Room) bool {
        for (planted_rooms) |name| {
            if (std.mem.eql(u8, room.name, name)) return true;
        }
        return false;
    }

    fn isForUsers(program: Program) bool {
        return std.mem.eql(u8, program.dir, "bin");
    }

    fn isMain(source: []const u8) bool {
        for (programs) |program| {
            if (std.mem.eql(u8, program.main, source)) return true;
        }
        return std.mem.startsWith(u8, source, "bench/bench_");
    }

    fn linkLibrary(c: *Context, made: *std.Build.Module, variant: Variant, library: Library) void {
        const unplanted = if (variant.is_foreign) aarch64_debug else debug;
        for (library.rooms) |name| {
            for (rooms) |room| {
                const own = if (variant.canary and !hasPlanted(room)) unplanted else variant;
                if (std.mem.eql(u8, room.name, name)) made.linkLibrary(c.object(own, room));
            }
        }
    }

    fn addProgram(c: *Context, variant: Variant, program: Program) *std.Build.Step.Compile {
        const sources: []const []const u8 = if (program.part) |part| &.{ program.main, cpu_check, part } else &.{ program.main, cpu_check };
        const made = c.addMain(variant, program.name, sources, program.sees, program.links);
        if (variant.jemalloc and std.mem.eql(u8, program.name, "ringcast")) {
            c.link(made.root_module, &.{"jemalloc"});
        }
        return made;
    }

    /// The same program for all steps that ask for it.
    fn addMain(
        c: *Context,
        variant: Variant,
        name: []const u8,
        sources: []const []const u8,
        sees: []const []const u8,
        links: []const Library,
    ) *std.Build.Step.Compile {
        const key = c.b.fmt("{s}-{s}", .{ name, variant.name });
        if (c.made.get(key)) |made| return made;
        const made = c.b.addExecutable(.{ .name = name, .root_module = c.module(variant, sees) });
        made.pie = true;
        made.each_lib_rpath = false;
        made.build_id = .sha1; // for packages of debug symbols, and for perf
        // With it the linker takes zig's memcpy() and strlen() instead of the faster ones of glibc.
        if (variant.optimize != .Debug) made.bundle_compiler_rt = false;
        made.root_module.addCSourceFiles(.{ .files = sources, .flags = c.flagsOf(variant) });
        for (links) |library| c.linkLibrary(made.root_module, variant, library);
        c.link(made.root_module, &libraries);
        c.made.put(key, made) catch @panic("OOM");
        return made;
    }

    fn addTest(c: *Context, variant: Variant, name: []const u8) *std.Build.Step.Compile {
        const has_double = for (tests_with_session_double) |other| {
            if (std.mem.eql(u8, other, name)) break true;
        } else false;
        // What stands in for the libraries' own must come first.
        const doubled = [_][]const u8{ "tests/session_double.c", c.b.fmt("tests/test_{s}.c", .{name}) };
        const follows = std.mem.eql(u8, name, "board_follower");
        const sources: []const []const u8 = if (has_double) &doubled else if (follows) &.{ doubled[1], log_follower } else doubled[1..];
        const links = if (has_double) &[_]Library{ tools, src, feeds, board, codec } else &[_]Library{ publish, tools, src, feeds, ring, codec };
        const made = c.addMain(variant, c.b.fmt("test_{s}", .{name}), sources, tests_see, links);
        c.link(made.root_module, &.{"cmocka"});
        return made;
    }

    fn addSimulation(c: *Context, variant: Variant, row: Simulation) *std.Build.Step.Compile {
        return c.addMain(variant, row.name, row.sources, tests_see, &.{ src, feeds, ring, codec });
    }

    fn addBench(c: *Context, variant: Variant, name: []const u8) *std.Build.Step.Compile {
        const source = c.b.fmt("bench/bench_{s}.c", .{name});
        return c.addMain(variant, c.b.fmt("bench_{s}", .{name}), &.{source}, tests_see, &.{ src, feeds, ring, codec });
    }

    fn addFuzz(c: *Context, variant: Variant, name: []const u8) *std.Build.Step.Compile {
        const sources = [_][]const u8{ c.b.fmt("tests/fuzz_{s}.c", .{name}), "tests/fuzz_driver.c" };
        const made = c.addMain(variant, c.b.fmt("fuzz_{s}", .{name}), &sources, tests_see, &.{ tools, src, feeds, ring, codec });
        if (std.mem.eql(u8, name, "tls_link")) c.link(made.root_module, &.{"cmocka"}); // for idle_core.h
        return made;
    }
};

/// A folder of copies, and the names in it, a line each.
const Tree = struct {
    b: *std.Build,
    folder: *std.Build.Step.WriteFile,
    names: std.ArrayList(u8) = .empty,

    fn copy(tree: *Tree, from: std.Build.LazyPath, folder: []const u8, name: []const u8) void {
        _ = tree.folder.addCopyFile(from, tree.add(folder, name));
    }

    fn write(tree: *Tree, folder: []const u8, name: []const u8, text: []const u8) void {
        const path = tree.add(folder, name);
        _ = tree.folder.add(path, text);
    }

    fn add(tree: *Tree, folder: []const u8, name: []const u8) []const u8 {
        const path = tree.b.fmt("{s}/{s}", .{ folder, name });
        tree.names.print(tree.b.allocator, "{s}\n", .{path}) catch @panic("OOM");
        return path;
    }
};
