/*
 * cpu_check: a program that was compiled for newer processors than this one ends with a message,
 * before it reaches an instruction that the processor does not have. build.zig makes it part of
 * each program; no function calls it.
 */
#if defined(__x86_64__) && defined(__AVX2__) && defined(__BMI2__)

#include <cpuid.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

/* What every x86-64 has. */
#define CPU_CHECK_BASELINE                                                                         \
    __attribute__((target("no-sse3,no-avx,no-bmi,no-bmi2,no-lzcnt,no-movbe,no-popcnt")))

static const char cpu_check_words[] =
    "This program needs x86-64-v3: a processor with AVX2, BMI2, FMA, LZCNT and MOVBE (Intel since "
    "Haswell, AMD since Excavator), and a virtual machine that shows them. From the sources, "
    "`zig build -Dcpu=native` makes programs for the processor of the machine that builds.\n";

CPU_CHECK_BASELINE static bool cpu_check_has(uint32_t word, uint32_t bits)
{
    return (word & bits) == bits;
}

/* Whether the kernel saves the AVX registers. */
CPU_CHECK_BASELINE static bool cpu_check_kernel_has_avx(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return cpu_check_has(low, 1u << 1 | 1u << 2); /* XMM and YMM. */
}

/* Intel's manual, volume 2, CPUID; level v3 is defined by the x86-64 psABI. The functions of
 * cpuid.h would be compiled for the newer processor, its macros are not. */
CPU_CHECK_BASELINE static bool cpu_check_is_v3(void)
{
    uint32_t leaf_max, extended_max, b, c, d, feature;
    __cpuid(0, leaf_max, b, c, d);
    __cpuid(0x80000000, extended_max, b, c, d);
    if (leaf_max < 7 || extended_max < 0x80000001) {
        return false;
    }
    __cpuid(1, b, c, feature, d);
    if (!cpu_check_has(feature, bit_FMA | bit_MOVBE | bit_OSXSAVE | bit_AVX | bit_F16C)) {
        return false;
    }
    __cpuid_count(7, 0, b, feature, c, d);
    if (!cpu_check_has(feature, bit_BMI | bit_AVX2 | bit_BMI2)) {
        return false;
    }
    __cpuid(0x80000001, b, c, feature, d);
    return cpu_check_has(feature, bit_LZCNT) && cpu_check_kernel_has_avx();
}

CPU_CHECK_BASELINE __attribute__((constructor(101))) static void cpu_check(void)
{
    if (!cpu_check_is_v3()) {
        dprintf(STDERR_FILENO, "%s", cpu_check_words);
        _exit(1);
    }
}

#endif
