//! The one build of everything. Each step is a row of this table; `zig build --list-steps` shows it.

const std = @import("std");

const steps = [_]Step{
    .{ .name = "run", .about = "build the programs and start the server (arguments after --)", .make = stepRun },
    .{ .name = "test", .about = "unit tests with UBSan, and the corpora; -- NAME runs those whose program has it in its name", .make = stepTest },
    .{ .name = "tsan", .about = "unit tests with threads, and the server, with ThreadSanitizer", .make = stepTsan },
    .{ .name = "asan", .about = "unit tests with AddressSanitizer and LeakSanitizer, by gcc", .make = stepAsan },
    .{ .name = "integration", .about = "the release programs against real clients; -- NAME filters", .make = stepIntegration },
    .{ .name = "bench", .about = "micro benchmarks, full size; -- NAME filters", .make = stepBench },
    .{ .name = "fuzz", .about = "each fuzz target for a while, from its corpus", .make = stepFuzz },
    .{ .name = "check", .about = "compile everything, aarch64 too, and run nothing", .make = stepCheck },
    .{ .name = "tidy", .about = "formatting and the measures of the style", .make = stepTidy },
    .{ .name = "fmt", .about = "format every C file in place", .make = stepFmt },
    .{ .name = "ci", .about = "what CI runs: ./test full", .make = stepCi },
    .{ .name = "compile_commands", .about = "write compile_commands.json for editors", .make = stepCompileCommands },
};

// Sources by folder, and the headers a folder may include: the arrows of docs/architecture.md. A
// folder's compiler sees copies of those headers only, so that a wrong include does not compile.

const codec = Folder{
    .name = "codec",
    .sees = &.{"codec"},
    .sources = &.{
        "crc32c.c",
        "decimal.c",
        "ip_address.c",
        "json_tick.c",
        "json_tick_read.c",
        "md.c",
        "proxy_header.c",
        "running_hash.c",
        "sbe_schema.c",
        "sbe_tick.c",
        "utf8.c",
        "ws_decoder.c",
        "ws_deflate.c",
        "ws_extensions.c",
        "ws_frame.c",
        "ws_handshake.c",
    },
};
const ring = Folder{
    .name = "ring",
    .sees = &.{ "codec", "ring" },
    .sources = &.{
        "conn.c",
        "conn_slices.c",
        "core.c",
        "core_drain.c",
        "core_subscribe.c",
        "counters.c",
        "engine_uring.c",
        "frame_log.c",
        "history.c",
        "lag.c",
        "listener.c",
        "out_pool.c",
        "puller.c",
        "replayer.c",
        "sender.c",
        "standard_fds.c",
        "subs.c",
        "timer_wheel.c",
    },
};
const feeds = Folder{
    .name = "feeds",
    .sees = &.{ "codec", "feeds" },
    .sources = &.{
        "csv_ticks.c",
        "feed.c",
        "feed_replay.c",
        "feed_sim.c",
        "kind_counts.c",
        "line_reader.c",
        "replay_file.c",
        "sim_market.c",
        "time_text.c",
        "venue.c",
        "venue_binance.c",
        "venue_coinbase.c",
    },
};
const src = Folder{
    .name = "src",
    .sees = &.{ "codec", "ring", "feeds", "src" },
    .sources = &.{
        "access.c",
        "admin.c",
        "arenas.c",
        "bar_builder.c",
        "book.c",
        "book_images.c",
        "book_split.c",
        "channels.c",
        "cidr.c",
        "config.c",
        "derived.c",
        "encodings.c",
        "file.c",
        "json_depth.c",
        "jwt.c",
        "jwt_keys.c",
        "key_text.c",
        "log.c",
        "log_writer.c",
        "memory_limit.c",
        "metrics.c",
        "option_value.c",
        "options.c",
        "options_file.c",
        "publisher.c",
        "rate_limit.c",
        "recoder.c",
        "reply.c",
        "request.c",
        "scope.c",
        "session.c",
        "session_access.c",
        "session_books.c",
        "session_define.c",
        "session_history.c",
        "session_slices.c",
        "session_status.c",
        "session_subscribe.c",
        "session_unsubscribe.c",
        "token.c",
        "variant.c",
        "watchdog.c",
    },
};
const tools = Folder{
    .name = "tools",
    .sees = &.{ "codec", "ring", "tools" },
    .sources = &.{
        "bench_conn.c",
        "bench_files.c",
        "bench_frames.c",
        "bench_inflate.c",
        "bench_load.c",
        "bench_nats.c",
        "bench_options.c",
        "bench_report.c",
        "bench_result.c",
        "bench_roles.c",
        "bench_thread.c",
        "bench_ticks.c",
        "control_reply.c",
        "histogram.c",
        "pattern_scan.c",
        "proc_usage.c",
        "tap_print.c",
        "tap_reader.c",
        "tap_verify.c",
        "terminal_text.c",
        "tick_scan.c",
        "ws_client.c",
    },
};
const bench = Folder{
    .name = "bench",
    .sees = &.{ "codec", "ring", "feeds", "src", "tools", "bench" },
    .sources = &.{
        "raw_sender.c",
        "raw_server.c",
    },
};
const folders = [_]Folder{ codec, ring, feeds, src, tools, bench };
const tests_see = &.{ "codec", "ring", "feeds", "src", "tools", "bench", "tests" };

const programs = [_]Program{
    .{ .name = "ringcast", .main = "src/main.c", .sees = src.sees, .links = &.{ src, feeds, ring, codec } },
    .{ .name = "ringcast-tap", .main = "tools/tap_main.c", .sees = tools.sees, .links = &.{ tools, ring, codec } },
    .{ .name = "ringcast-echo", .main = "tools/echo_main.c", .sees = tools.sees, .links = &.{ ring, codec } },
    .{ .name = "ringcast-bench", .main = "tools/bench_main.c", .sees = tools.sees, .links = &.{ tools, ring, codec } },
    .{ .name = "sbe_frames", .main = "tests/sbe_frames.c", .sees = tests_see, .links = &.{codec}, .dir = "tests" },
    .{ .name = "raw_send", .main = "bench/raw_send.c", .sees = bench.sees, .links = &.{ bench, ring, codec }, .dir = "bench" },
};

const test_names = [_][]const u8{
    "access",
    "bar_builder",
    "bench_frames",
    "bench_load",
    "bench_nats",
    "bench_options",
    "bench_ticks",
    "book",
    "book_images",
    "book_split",
    "channels",
    "cidr",
    "config",
    "control_reply",
    "counters",
    "csv_ticks",
    "decimal",
    "derived",
    "encodings",
    "engine_uring",
    "feed",
    "feed_replay",
    "feed_sim",
    "frame_log",
    "histogram",
    "ip_address",
    "json_tick",
    "json_tick_read",
    "jwt",
    "jwt_keys",
    "lag",
    "line_reader",
    "listener",
    "log",
    "md",
    "memory_limit",
    "metrics",
    "options",
    "out_pool",
    "pattern_scan",
    "proc_usage",
    "proxy_header",
    "publisher",
    "rate_limit",
    "recoder",
    "request",
    "running_hash",
    "sbe_tick",
    "scope",
    "session",
    "session_access",
    "session_history",
    "session_slices",
    "session_variants",
    "standard_fds",
    "subs",
    "tap_verify",
    "terminal_text",
    "tick_scan",
    "time_text",
    "timer_wheel",
    "token",
    "utf8",
    "venue_binance",
    "venue_coinbase",
    "watchdog",
    "ws_client",
    "ws_decoder",
    "ws_deflate",
    "ws_extensions",
    "ws_frame",
    "ws_handshake",
};
/// Tests whose core is tests/session_double.c: linked without ring.
const tests_with_session_double = [_][]const u8{
    "session",
    "session_access",
    "session_history",
    "session_slices",
    "session_variants",
};
const threaded_tests = [_][]const u8{
    "channels",
    "frame_log",
    "log",
    "metrics",
    "rate_limit",
};
const simulation_sources = [_][]const u8{
    "tests/sim_clients.c",
    "tests/sim_core.c",
    "tests/sim_engine.c",
};
const bench_names = [_][]const u8{
    "fanout",
    "frame_log",
    "json_tick",
    "running_hash",
    "sbe_tick",
    "timer_wheel",
    "wake",
    "ws_decoder",
    "ws_deflate",
};
const fuzz_names = [_][]const u8{
    "config",
    "csv_ticks",
    "decimal",
    "jwt",
    "proxy_header",
    "request",
    "venue_binance",
    "venue_coinbase",
    "ws_decoder",
    "ws_deflate",
    "ws_extensions",
    "ws_handshake",
};
/// What compiles for another processor without that system's libraries.
const portable_sources = [_][]const u8{
    "codec/crc32c.c",
    "codec/decimal.c",
    "codec/json_tick.c",
    "codec/json_tick_read.c",
    "codec/md.c",
    "codec/sbe_schema.c",
    "codec/sbe_tick.c",
    "codec/utf8.c",
    "codec/ws_decoder.c",
    "codec/ws_extensions.c",
    "codec/ws_frame.c",
    "ring/counters.c",
    "ring/frame_log.c",
    "ring/listener.c",
    "ring/out_pool.c",
    "ring/subs.c",
    "ring/timer_wheel.c",
};

const base_flags = [_][]const u8{
    "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wshadow", "-Werror", "-fno-omit-frame-pointer",
};
const libraries = [_][]const u8{
    "uring",
    "jansson",
    "microhttpd",
    "crypto",
    "z",
    "m",
    "yaml",
};

const Folder = struct { name: []const u8, sees: []const []const u8, sources: []const []const u8 };
const Program = struct {
    name: []const u8,
    main: []const u8,
    sees: []const []const u8,
    links: []const Folder,
    dir: []const u8 = "bin",
};
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
};
const release = Variant{ .name = "release", .optimize = .ReleaseFast };
const debug = Variant{ .name = "debug", .optimize = .Debug, .ubsan = .full, .jemalloc = false };
const thread_sanitized = Variant{ .name = "tsan", .optimize = .Debug, .tsan = true, .jemalloc = false };

pub fn build(b: *std.Build) void {
    var context = Context{
        .b = b,
        .target = b.standardTargetOptions(.{ .default_target = defaultTarget(b) }),
        .archives = .init(b.allocator),
        .header_dirs = .init(b.allocator),
        .made = .init(b.allocator),
    };
    for (programs) |program| {
        b.getInstallStep().dependOn(context.install(context.addProgram(release, program), program.dir));
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
    for (test_names) |name| run.step.dependOn(c.install(c.addTest(debug, name), "debug/tests"));
    run.step.dependOn(c.install(c.addSimulation(debug), "debug/tests"));
    for (bench_names) |name| run.step.dependOn(c.install(c.addBench(debug, name), "debug/tests"));
    for (fuzz_names) |name| run.step.dependOn(c.install(c.addFuzz(name), "debug/fuzz"));
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
    for (bench_names) |name| {
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
    for (fuzz_names) |name| run.step.dependOn(c.install(c.addFuzz(name), "debug/fuzz"));
    step.dependOn(&run.step);
}

fn stepCheck(c: *Context, step: *std.Build.Step) void {
    for ([_]Variant{ release, debug }) |variant| {
        for (programs) |program| step.dependOn(&c.addProgram(variant, program).step);
    }
    for (test_names) |name| step.dependOn(&c.addTest(debug, name).step);
    step.dependOn(&c.addSimulation(debug).step);
    for (bench_names) |name| step.dependOn(&c.addBench(release, name).step);
    for (fuzz_names) |name| step.dependOn(&c.addFuzz(name).step);
    step.dependOn(&c.addPortable().step);
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

fn stepCi(c: *Context, step: *std.Build.Step) void {
    const run = c.b.addSystemCommand(&.{ "./test", "full" });
    run.has_side_effects = true;
    step.dependOn(&run.step);
}

fn stepCompileCommands(c: *Context, step: *std.Build.Step) void {
    var text: std.ArrayList(u8) = .empty;
    var separator: []const u8 = "[\n";
    for (folders) |folder| {
        for (folder.sources) |source| {
            const line = c.b.fmt(
                "{s}{{\"directory\": \"{s}\", \"file\": \"{s}/{s}\", \"command\": \"clang -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Wshadow -I. -c {s}/{s}\"}}",
                .{ separator, c.b.pathFromRoot("."), folder.name, source, folder.name, source },
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
    archives: std.StringHashMap(*std.Build.Step.Compile),
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
            _ = copies.addCopyDirectory(c.b.path(name), name, .{ .include_extensions = &.{".h"} });
        }
        c.header_dirs.put(key, copies.getDirectory()) catch @panic("OOM");
        return copies.getDirectory();
    }

    fn module(c: *Context, variant: Variant, sees: []const []const u8) *std.Build.Module {
        const made = c.b.createModule(.{
            .target = c.target,
            .optimize = variant.optimize,
            .link_libc = true,
            .sanitize_c = variant.ubsan,
            .sanitize_thread = variant.tsan,
            .omit_frame_pointer = false,
        });
        made.addIncludePath(c.headers(sees));
        c.addSystemPaths(made);
        return made;
    }

    /// A target with a CPU of its own is not native to zig, which then forgets the host's folders.
    fn addSystemPaths(c: *Context, made: *std.Build.Module) void {
        const triple = c.b.fmt("{s}-linux-gnu", .{@tagName(c.target.result.cpu.arch)});
        made.addSystemIncludePath(.{ .cwd_relative = "/usr/include" });
        made.addSystemIncludePath(.{ .cwd_relative = c.b.fmt("/usr/include/{s}", .{triple}) });
        made.addLibraryPath(.{ .cwd_relative = c.b.fmt("/usr/lib/{s}", .{triple}) });
    }

    fn link(c: *Context, made: *std.Build.Module, names: []const []const u8) void {
        _ = c;
        for (names) |name| made.linkSystemLibrary(name, .{ .use_pkg_config = .no });
    }

    /// A folder as a static library.
    fn archive(c: *Context, variant: Variant, folder: Folder) *std.Build.Step.Compile {
        const key = c.b.fmt("{s}-{s}", .{ folder.name, variant.name });
        if (c.archives.get(key)) |made| return made;
        const made = c.b.addLibrary(.{
            .name = key,
            .linkage = .static,
            .root_module = c.module(variant, folder.sees),
        });
        made.root_module.addCSourceFiles(.{
            .root = c.b.path(folder.name),
            .files = folder.sources,
            .flags = &base_flags,
        });
        c.archives.put(key, made) catch @panic("OOM");
        return made;
    }

    fn addProgram(c: *Context, variant: Variant, program: Program) *std.Build.Step.Compile {
        const made = c.addMain(variant, program.name, &.{program.main}, program.sees, program.links);
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
        links: []const Folder,
    ) *std.Build.Step.Compile {
        const key = c.b.fmt("{s}-{s}", .{ name, variant.name });
        if (c.made.get(key)) |made| return made;
        const made = c.b.addExecutable(.{ .name = name, .root_module = c.module(variant, sees) });
        made.root_module.addCSourceFiles(.{ .files = sources, .flags = &base_flags });
        for (links) |folder| made.root_module.linkLibrary(c.archive(variant, folder));
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
        const sources = if (has_double) &doubled else doubled[1..];
        const links = if (has_double) &[_]Folder{ tools, src, feeds, codec } else &[_]Folder{ tools, src, feeds, ring, codec };
        const made = c.addMain(variant, c.b.fmt("test_{s}", .{name}), sources, tests_see, links);
        c.link(made.root_module, &.{"cmocka"});
        return made;
    }

    fn addSimulation(c: *Context, variant: Variant) *std.Build.Step.Compile {
        return c.addMain(variant, "sim_core", &simulation_sources, tests_see, &.{ ring, codec });
    }

    fn addBench(c: *Context, variant: Variant, name: []const u8) *std.Build.Step.Compile {
        const source = c.b.fmt("bench/bench_{s}.c", .{name});
        return c.addMain(variant, c.b.fmt("bench_{s}", .{name}), &.{source}, tests_see, &.{ src, feeds, ring, codec });
    }

    fn addFuzz(c: *Context, name: []const u8) *std.Build.Step.Compile {
        const sources = [_][]const u8{ c.b.fmt("tests/fuzz_{s}.c", .{name}), "tests/fuzz_driver.c" };
        return c.addMain(debug, c.b.fmt("fuzz_{s}", .{name}), &sources, tests_see, &.{ src, feeds, ring, codec });
    }

    fn addPortable(c: *Context) *std.Build.Step.Compile {
        const made = c.b.addLibrary(.{
            .name = "portable",
            .linkage = .static,
            .root_module = c.b.createModule(.{
                .target = c.b.resolveTargetQuery(.{ .cpu_arch = .aarch64, .os_tag = .linux, .abi = .gnu }),
                .optimize = .ReleaseFast,
                .link_libc = true,
            }),
        });
        made.root_module.addIncludePath(c.headers(ring.sees));
        made.root_module.addCSourceFiles(.{ .files = &portable_sources, .flags = &base_flags });
        return made;
    }
};
