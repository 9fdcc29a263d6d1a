/* cpu: a hint for loops that wait for another core. */
#ifndef RINGCAST_CODEC_BASE_CPU_H
#define RINGCAST_CODEC_BASE_CPU_H

static inline void cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield" ::: "memory");
#endif
}

#endif
