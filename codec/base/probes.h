/*
 * probes: places to which a tracer can attach (docs/probes.md), as notes of the format that
 * bpftrace, perf and libbpf read. The provider is `ringcast`.
 *
 * Threads  Any.
 * Memory   None: notes are not loaded.
 * Units    Every argument is an unsigned integer of 64 bits.
 * Source   SystemTap's "UserSpaceProbeImplementation": .note.stapsdt, version 3.
 *
 * A probe is a nop of one instruction, and its arguments stay in the registers where they are: what
 * must be computed for a probe only is not worth it. A probe has six arguments at most: on x86-64
 * bpftrace 0.17 knows arg0 to arg5. There are no semaphores: bpftrace 0.17 cannot raise one in a
 * process that starts after it. On x86-64 the nop has one byte: from Linux 6.18 on, the kernel
 * replaces one of five bytes by a call, which overwrites the red zone of a leaf function.
 *
 * perf takes a note's address less its base for the distance to the section .stapsdt.base in the
 * file. So that section is in the segment of the code: without it, perf would place a breakpoint
 * into the middle of an instruction, since a linker may give code another address than its offset.
 */
#ifndef RINGCAST_CODEC_PROBES_H
#define RINGCAST_CODEC_PROBES_H

#include <stdint.h>

#if defined(__x86_64__)
#define PROBE_OPERAND "nr"
#else
#define PROBE_OPERAND "r"
#endif

/* clang-format off */
#define PROBE_NOTE(name, arguments, ...)                                                           \
    __asm__ volatile("990: nop\n"                                                                  \
                     ".ifndef ringcast_probes_base\n"                                              \
                     ".pushsection .stapsdt.base, \"axGR\", \"progbits\", .stapsdt.base, comdat\n" \
                     ".weak ringcast_probes_base\n"                                                \
                     ".hidden ringcast_probes_base\n"                                              \
                     "ringcast_probes_base: .byte 0\n"                                             \
                     ".popsection\n"                                                               \
                     ".endif\n"                                                                    \
                     ".pushsection .note.stapsdt, \"\", \"note\"\n"                                \
                     ".balign 4\n"                                                                 \
                     ".4byte 992f-991f, 994f-993f, 3\n"                                            \
                     "991: .asciz \"stapsdt\"\n"                                                   \
                     "992: .balign 4\n"                                                            \
                     "993: .8byte 990b\n"                                                          \
                     ".8byte ringcast_probes_base\n"                                               \
                     ".8byte 0\n" /* no semaphore */                                               \
                     ".asciz \"ringcast\"\n"                                                       \
                     ".asciz \"" #name "\"\n"                                                      \
                     ".asciz \"" arguments "\"\n"                                                  \
                     "994: .balign 4\n"                                                            \
                     ".popsection"                                                                 \
                     :: __VA_ARGS__)
/* clang-format on */

#define PROBE_VALUE(value) PROBE_OPERAND((uint64_t)(value))

#define PROBE1(name, a) PROBE_NOTE(name, "8@%0", PROBE_VALUE(a))
#define PROBE2(name, a, b) PROBE_NOTE(name, "8@%0 8@%1", PROBE_VALUE(a), PROBE_VALUE(b))
#define PROBE3(name, a, b, c)                                                                      \
    PROBE_NOTE(name, "8@%0 8@%1 8@%2", PROBE_VALUE(a), PROBE_VALUE(b), PROBE_VALUE(c))
#define PROBE4(name, a, b, c, d)                                                                   \
    PROBE_NOTE(name, "8@%0 8@%1 8@%2 8@%3", PROBE_VALUE(a), PROBE_VALUE(b), PROBE_VALUE(c),        \
               PROBE_VALUE(d))
#define PROBE5(name, a, b, c, d, e)                                                                \
    PROBE_NOTE(name, "8@%0 8@%1 8@%2 8@%3 8@%4", PROBE_VALUE(a), PROBE_VALUE(b), PROBE_VALUE(c),   \
               PROBE_VALUE(d), PROBE_VALUE(e))
#define PROBE6(name, a, b, c, d, e, f)                                                             \
    PROBE_NOTE(name, "8@%0 8@%1 8@%2 8@%3 8@%4 8@%5", PROBE_VALUE(a), PROBE_VALUE(b),              \
               PROBE_VALUE(c), PROBE_VALUE(d), PROBE_VALUE(e), PROBE_VALUE(f))

#endif
