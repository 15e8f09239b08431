/* What the benchmarks share: a clock, the machine's peak, medians, options. Include after the implementation of the
   headers with SCORESDE_KEEP_MACROS. */
#ifndef MEASURE_H
#define MEASURE_H

#include <time.h>
#if !defined(_WIN32) && !defined(CLOCK_MONOTONIC)
#include <sys/time.h>
#endif

static double seconds(void) {
#if defined(CLOCK_MONOTONIC)
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
#elif !defined(_WIN32)
    struct timeval now;
    gettimeofday(&now, NULL);
    return (double)now.tv_sec + 1e-6 * (double)now.tv_usec;
#else
    return (double)clock() / CLOCKS_PER_SEC;
#endif
}

/* ---- the machine's peak: independent chains of FMAs in registers ---- */

enum { CHAINS = 12, PEAK_STEPS = 4000000 };

#define DEFINE_PEAK                                                                              \
    SSDEI_KERNEL float SSDEI_T(peak_chains)(float start) {                                       \
        ssdei_v sum[CHAINS], factor = ssdei_set(0.999f), shift = ssdei_set(start);               \
        size_t step, i;                                                                          \
        SSDEI_UNROLL for (i = 0; i < CHAINS; i++) sum[i] = ssdei_set((float)i);                  \
        for (step = 0; step < PEAK_STEPS; step++) {                                              \
            SSDEI_UNROLL for (i = 0; i < CHAINS; i++) sum[i] = ssdei_fma(sum[i], factor, shift); \
        }                                                                                        \
        SSDEI_UNROLL for (i = 1; i < CHAINS; i++) sum[0] = ssdei_add(sum[0], sum[i]);            \
        return ssdei_sum(sum[0]);                                                                \
    }
#define SSDEI_TIER scalar
DEFINE_PEAK
#undef SSDEI_TIER
#ifdef SSDEI_X86
#define SSDEI_TIER avx2
DEFINE_PEAK
#undef SSDEI_TIER
#define SSDEI_TIER avx512
DEFINE_PEAK
#undef SSDEI_TIER
#endif
#ifdef SSDEI_NEON
#define SSDEI_TIER neon
DEFINE_PEAK
#undef SSDEI_TIER
#endif

static volatile float sink; /* keeps the chains from being optimised away */

static inline double measure_peak(const ssdei_kernels *kernels) {
    double best = HUGE_VAL;
    int i;
    for (i = 0; i < 5; i++) {
        double start = seconds(), took;
        switch (kernels->tier) {
#ifdef SSDEI_X86
            case SSDE_TIER_AVX2: sink = ssdei_peak_chains_avx2(0.001f); break;
            case SSDE_TIER_AVX512: sink = ssdei_peak_chains_avx512(0.001f); break;
#endif
#ifdef SSDEI_NEON
            case SSDE_TIER_NEON: sink = ssdei_peak_chains_neon(0.001f); break;
#endif
            default: sink = ssdei_peak_chains_scalar(0.001f);
        }
        took = seconds() - start;
        if (took < best) best = took;
    }
    return 2.0 * (double)CHAINS * (double)PEAK_STEPS * (double)kernels->width / best * 1e-9;
}

/* ---- failures, medians ---- */

static void fail(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static void must(ssde_context *context, ssde_status status) {
    if (status != SSDE_OK) fail(ssde_status_text(status), context->error);
}

static inline int by_size(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

/* ---- options ---- */

/* Positive numbers between commas; whether there are exactly count. */
static inline int read_numbers(const char *text, int count, int *numbers) {
    int i;
    for (i = 0; i < count; i++) {
        char *end;
        long number = strtol(text, &end, 10);
        if (end == text || number < 1 || number > 1000000 || *end != (i + 1 < count ? ',' : '\0')) return 0;
        numbers[i] = (int)number;
        text = end + 1;
    }
    return 1;
}

static inline int read_tier(const char *text, ssde_context *context) {
    int tier;
    for (tier = SSDE_TIER_SCALAR; tier < SSDE_TIER_COUNT; tier++) {
        if (strcmp(text, ssde_tier_name((ssde_tier)tier))) continue;
        context->tier = (ssde_tier)tier;
        return ssde_tier_used(context) == context->tier;
    }
    return 0;
}

/* The index of one of `count` names; count: none. */
static inline int read_name(const char *text, const char *const *names, int count) {
    int i = 0;
    while (i < count && strcmp(text, names[i])) i++;
    return i;
}

static inline void use_threads(const ssde_context *context) {
#ifdef _OPENMP
    omp_set_num_threads(context->threads);
#else
    if (context->threads > 1) fail("--threads", "more than 1 need -fopenmp");
#endif
}

#endif
