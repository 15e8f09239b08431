/* What the tests share: checks that count, and small helpers. A comparison with NaN fails. */
#ifndef CHECK_H
#define CHECK_H

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_quick;           /* --quick: small shapes */
static unsigned long check_fails; /* in the running test */
static unsigned long check_count;

static inline void check_report(const char *file, int line, const char *format, ...) {
    va_list arguments;
    if (++check_fails > 10) return; /* the first ten say enough */
    printf("    %s:%d: ", file, line);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
}

/* The condition holds. */
#define CHECK(condition)                                                              \
    do {                                                                              \
        check_count++;                                                                \
        if (!(condition)) check_report(__FILE__, __LINE__, "not so: %s", #condition); \
    } while (0)

/* |actual - expected| <= tolerance */
#define CHECK_NEAR(actual, expected, tolerance) \
    check_near(__FILE__, __LINE__, #actual, (double)(actual), (double)(expected), (double)(tolerance))
static inline void check_near(const char *file, int line, const char *what, double actual, double expected,
                              double tolerance) {
    check_count++;
    if (!(fabs(actual - expected) <= tolerance))
        check_report(file, line, "%s = %.9g, expected %.9g within %.3g", what, actual, expected, tolerance);
}

/* |actual - expected| <= tolerance * |expected| */
#define CHECK_RELATIVE(actual, expected, tolerance)                               \
    check_near(__FILE__, __LINE__, #actual, (double)(actual), (double)(expected), \
               (double)(tolerance)*fabs((double)(expected)))

/* ||actual - expected|| <= tolerance * ||expected|| for float arrays */
#define CHECK_ARRAY(actual, expected, count, tolerance) \
    check_array(__FILE__, __LINE__, #actual, actual, expected, count, tolerance)
static inline double check_distance(const float *actual, const float *expected, size_t count) {
    double error = 0.0, norm = 0.0;
    size_t i;
    for (i = 0; i < count; i++) {
        double d = (double)actual[i] - (double)expected[i];
        error += d * d;
        norm += (double)expected[i] * (double)expected[i];
    }
    return norm > 0.0 ? sqrt(error / norm) : sqrt(error);
}
static inline void check_array(const char *file, int line, const char *what, const float *actual, const float *expected,
                               size_t count, double tolerance) {
    double distance = check_distance(actual, expected, count);
    check_count++;
    if (!(distance <= tolerance))
        check_report(file, line, "%s: relative distance %.3g, allowed %.3g", what, distance, tolerance);
}

/* The same bits. */
#define CHECK_SAME(actual, expected, bytes)                                             \
    do {                                                                                \
        check_count++;                                                                  \
        if (memcmp(actual, expected, bytes))                                            \
            check_report(__FILE__, __LINE__, "%s differs from %s", #actual, #expected); \
    } while (0)

/* A call returns the status expected. */
#define CHECK_STATUS(call, expected)                                                                        \
    do {                                                                                                    \
        ssde_status check_status_ = (call);                                                                 \
        check_count++;                                                                                      \
        if (check_status_ != (expected))                                                                    \
            check_report(__FILE__, __LINE__, "%s: %s, expected %s", #call, ssde_status_text(check_status_), \
                         ssde_status_text(expected));                                                       \
    } while (0)
#define CHECK_OK(call) CHECK_STATUS(call, SSDE_OK)

/* A call fails with this status and a text that contains these words. */
#define CHECK_FAILS(context, call, expected, words)                                                            \
    do {                                                                                                       \
        (context)->error[0] = 0;                                                                               \
        CHECK_STATUS(call, expected);                                                                          \
        check_count++;                                                                                         \
        if (!strstr((context)->error, words))                                                                  \
            check_report(__FILE__, __LINE__, "the error '%s' does not mention '%s'", (context)->error, words); \
    } while (0)

/* What a context logs: context.log = check_keep_log, context.user = a check_log. */
typedef struct check_log {
    int count;
    char text[256]; /* the last */
} check_log;
static inline void check_keep_log(void *user, const char *text) {
    check_log *log = (check_log *)user;
    log->count++;
    snprintf(log->text, sizeof log->text, "%s", text);
}

#endif
