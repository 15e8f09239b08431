/* The functions of double that results depend on, and the arithmetic they are made of. */
#ifndef TEST_CORE_MATH_H
#define TEST_CORE_MATH_H

#include <fenv.h>
#include <float.h>

#include "check.h"
#include "fixtures_core.h"

/* ---- math ---- */

/* |got - want| in units of want's last place; what has no last place is equal, or as far as can be. */
static double math_ulps(double got, long double want) {
    double rounded = (double)want;
    int exponent;
    if (rounded != rounded) return got != got ? 0.0 : 1e9;
    if (rounded == 0.0 || fabs(rounded) > DBL_MAX) return got == rounded ? 0.0 : 1e9;
    frexp(rounded, &exponent);
    if (exponent < -1021) exponent = -1021;
    return (double)fabsl(ldexpl((long double)got - want, 53 - exponent));
}

/* What a bound may be missed by: long double's own error, or, where it is no longer than double, libm's. */
static double math_allowance(void) { return LDBL_MANT_DIG > 60 ? 0.01 : 1.0; }

static double math_uniform(uint32_t *rng) { return ssde_random_double(9, SSDE_STREAM_USER, (*rng)++, 0, 0); }
/* Any magnitude between e^from and e^to. */
static double math_spread(uint32_t *rng, double from, double to) { return exp(from + (to - from) * math_uniform(rng)); }

typedef struct math_case {
    double (*function)(double x);
    long double (*reference)(long double x);
    double low, high; /* x = center + sign * e^[low, high] */
    double center;
    double sign;
    double bound; /* ulp, stated in the header */
} math_case;

static void test_math_accuracy(void) {
    static const math_case cases[] = {
        {ssdei_math_exp, expl, -40, 6.56, 0, 1, 0.61},       {ssdei_math_exp, expl, -40, 6.56, 0, -1, 0.61},
        {ssdei_math_exp, expl, 0, 3.8, -700, -1, 0.76},      {ssdei_math_expm1, expm1l, -40, 6.56, 0, 1, 0.90},
        {ssdei_math_expm1, expm1l, -40, 4, 0, -1, 0.90},     {ssdei_math_log, logl, -744, 709, 0, 1, 0.51},
        {ssdei_math_log, logl, -36, 0, 1, 1, 0.51},          {ssdei_math_log, logl, -36, -0.01, 1, -1, 0.51},
        {ssdei_math_log1p, log1pl, -50, 700, 0, 1, 0.67},    {ssdei_math_log1p, log1pl, -50, -0.01, 0, -1, 0.67},
        {ssdei_math_log1p, log1pl, -36, -0.01, -1, 1, 0.67}, {ssdei_math_sin, sinl, -50, 14, 0, 1, 0.89},
        {ssdei_math_sin, sinl, -50, 14, 0, -1, 0.89},        {ssdei_math_cos, cosl, -50, 14, 0, 1, 0.89},
        {ssdei_math_cos, cosl, -50, 14, 0, -1, 0.89},
    };
    uint32_t rng = 1;
    size_t c, i, count = check_quick ? 2000 : 100000;
    for (c = 0; c < sizeof cases / sizeof *cases; c++) {
        double worst = 0.0, at = 0.0;
        for (i = 0; i < count; i++) {
            double x = cases[c].center + cases[c].sign * math_spread(&rng, cases[c].low, cases[c].high);
            double error = math_ulps(cases[c].function(x), cases[c].reference((long double)x));
            if (error > worst || error != error) worst = error, at = x;
        }
        check_count++;
        if (!(worst <= cases[c].bound + math_allowance()))
            check_report(__FILE__, __LINE__, "case %lu: %.3f ulp at %.17g, stated %.2f", (unsigned long)c, worst, at,
                         cases[c].bound);
    }
    /* next to multiples of pi / 2, where the sine is what the reduction leaves */
    for (i = 1; i < 2000; i++) {
        double x = (double)i * SSDEI_PI / 2.0;
        CHECK(math_ulps(ssdei_math_sin(x), sinl((long double)x)) <= 0.89 + math_allowance());
        CHECK(math_ulps(ssdei_math_cos(-x), cosl(-(long double)x)) <= 0.89 + math_allowance());
    }
    for (i = 0; i < count; i++) {
        double x = math_uniform(&rng) - 0.5, y = (math_uniform(&rng) - 0.5) * math_spread(&rng, -30, 0);
        CHECK(math_ulps(ssdei_math_atan2(y, x), atan2l((long double)y, (long double)x)) <= 7.0 + math_allowance());
    }
}

static void test_math_pow_accuracy(void) {
    uint32_t rng = 2;
    double bound = 0.7 + math_allowance(), far = 1.6 + math_allowance();
    size_t i, count = check_quick ? 5000 : 200000;
    for (i = 0; i < count; i++) {
        double x = math_spread(&rng, -20, 20), y = 2.0 * math_uniform(&rng) - 1.0;
        double beta = 1.0 - math_spread(&rng, -12, 0), n = floor(math_spread(&rng, 0, 14));
        CHECK(math_ulps(ssdei_math_pow(x, y), powl((long double)x, (long double)y)) <= bound);
        CHECK(math_ulps(ssdei_math_pow(x, 7.0), powl((long double)x, 7.0L)) <= far);
        y = y * 700.0 / log(x); /* results from e^-700 to e^700 */
        CHECK(math_ulps(ssdei_math_pow(x, y), powl((long double)x, (long double)y)) <= far);
        x = 1.4 + 0.014 * math_uniform(&rng); /* where the logarithm's series is longest */
        y = (y < 0.0 ? -1.0 : 1.0) * (600.0 + 100.0 * math_uniform(&rng)) / log(x);
        CHECK(math_ulps(ssdei_math_pow(x, y), powl((long double)x, (long double)y)) <= far);
        if (n * log(beta) > -700.0)
            CHECK(math_ulps(ssdei_math_pow(beta, n), powl((long double)beta, (long double)n)) <= far);
    }
}

static void test_math_edges(void) {
    const double tiny = ldexp(1.0, -1074), zero = 0.0;
    CHECK(ssdei_math_exp(0.0) == 1.0 && ssdei_math_exp(-0.0) == 1.0 && ssdei_math_exp(tiny) == 1.0);
    CHECK(ssdei_math_exp(709.0) < HUGE_VAL && ssdei_math_exp(709.78) < HUGE_VAL);
    CHECK(ssdei_math_exp(709.79) == HUGE_VAL && ssdei_math_exp(1e300) == HUGE_VAL);
    CHECK(ssdei_math_exp(HUGE_VAL) == HUGE_VAL && ssdei_math_exp(-HUGE_VAL) == 0.0 && ssdei_math_exp(-1e300) == 0.0);
    CHECK(ssdei_math_exp(-745.1) == tiny && ssdei_math_exp(-745.2) == 0.0 && ssdei_math_exp(-750.0) == 0.0);
    CHECK(isnan(ssdei_math_exp(NAN)) && isnan(ssdei_math_expm1(NAN)) && isnan(ssdei_math_log(NAN)));
    CHECK(ssdei_math_expm1(tiny) == tiny && ssdei_math_expm1(-1e-300) == -1e-300 && ssdei_math_expm1(1e-18) == 1e-18);
    CHECK(ssdei_math_expm1(0.0) == 0.0 && !signbit(ssdei_math_expm1(zero)) && signbit(ssdei_math_expm1(-zero)));
    CHECK(ssdei_math_expm1(-40.0) == -1.0 && ssdei_math_expm1(-HUGE_VAL) == -1.0);
    CHECK(ssdei_math_expm1(HUGE_VAL) == HUGE_VAL && ssdei_math_expm1(709.79) == HUGE_VAL);
    CHECK(ssdei_math_expm1(709.0) == ssdei_math_exp(709.0) && ssdei_math_expm1(100.0) == ssdei_math_exp(100.0));
    CHECK(ssdei_math_log(1.0) == 0.0 && ssdei_math_log(0.0) == -HUGE_VAL && ssdei_math_log(-0.0) == -HUGE_VAL);
    CHECK(ssdei_math_log(HUGE_VAL) == HUGE_VAL && isnan(ssdei_math_log(-1.0)) && isnan(ssdei_math_log(-HUGE_VAL)));
    CHECK(math_ulps(ssdei_math_log(tiny), logl((long double)tiny)) < 0.51 + math_allowance());
    CHECK(math_ulps(ssdei_math_log(DBL_MAX), logl((long double)DBL_MAX)) < 0.51 + math_allowance());
    CHECK(ssdei_math_log1p(tiny) == tiny && signbit(ssdei_math_log1p(-zero)) && ssdei_math_log1p(-1e-300) == -1e-300);
    CHECK(ssdei_math_log1p(-1.0) == -HUGE_VAL && isnan(ssdei_math_log1p(-1.5)) && isnan(ssdei_math_log1p(NAN)));
    CHECK(ssdei_math_log1p(HUGE_VAL) == HUGE_VAL && isnan(ssdei_math_log1p(-HUGE_VAL)));
    CHECK(math_ulps(ssdei_math_log1p(DBL_MAX), log1pl((long double)DBL_MAX)) < 0.67 + math_allowance());
    CHECK(ssdei_math_pow(0.0, 0.5) == 0.0 && ssdei_math_pow(0.0, -0.5) == HUGE_VAL && ssdei_math_pow(0.0, 0.0) == 1.0);
    CHECK(ssdei_math_pow(HUGE_VAL, 0.5) == HUGE_VAL && ssdei_math_pow(HUGE_VAL, -0.5) == 0.0);
    CHECK(ssdei_math_pow(2.0, HUGE_VAL) == HUGE_VAL && ssdei_math_pow(2.0, -HUGE_VAL) == 0.0);
    CHECK(ssdei_math_pow(0.5, HUGE_VAL) == 0.0 && ssdei_math_pow(0.5, -HUGE_VAL) == HUGE_VAL);
    CHECK(ssdei_math_pow(1.0, NAN) == 1.0 && ssdei_math_pow(NAN, 0.0) == 1.0 && isnan(ssdei_math_pow(NAN, 1.0)));
    CHECK(isnan(ssdei_math_pow(2.0, NAN)) && isnan(ssdei_math_pow(-2.0, 0.5)) && ssdei_math_pow(1.0, 1e300) == 1.0);
    CHECK(ssdei_math_pow(2.0, 1023.0) == ldexp(1.0, 1023) && ssdei_math_pow(2.0, -1074.0) == tiny);
    CHECK(ssdei_math_pow(2.0, 1024.0) == HUGE_VAL && ssdei_math_pow(2.0, -1076.0) == 0.0);
    CHECK(ssdei_math_pow(3.0, 2.0) == 9.0 && ssdei_math_pow(1.0 + DBL_EPSILON, 1e300) == HUGE_VAL);
    CHECK(ssdei_math_pow(0.999, 1e18) == 0.0 && ssdei_math_pow(tiny, 1.0) == tiny && ssdei_math_pow(tiny, 2.0) == 0.0);
    CHECK(ssdei_math_sin(0.0) == 0.0 && signbit(ssdei_math_sin(-zero)) && ssdei_math_cos(0.0) == 1.0);
    CHECK(ssdei_math_sin(tiny) == tiny && ssdei_math_sin(-1e-300) == -1e-300 && ssdei_math_cos(1e-300) == 1.0);
    CHECK(isnan(ssdei_math_sin(HUGE_VAL)) && isnan(ssdei_math_cos(-HUGE_VAL)) && isnan(ssdei_math_sin(NAN)));
    {
        double x = 1.0;
        while (x < 1e308) { /* any angle is one, and a circle stays a circle */
            double s = ssdei_math_sin(x), c = ssdei_math_cos(x);
            CHECK_NEAR(s * s + c * c, 1.0, 4e-16);
            if (x < 1e15) CHECK_NEAR(s, (double)sinl((long double)x), 1.5e-16);
            x *= 1.37;
        }
    }
    CHECK(ssdei_math_atan2(0.0, 1.0) == 0.0 && ssdei_math_atan2(0.0, 0.0) == 0.0);
    CHECK_NEAR(ssdei_math_atan2(0.0, -1.0), SSDEI_PI, 0.0);
    CHECK_NEAR(ssdei_math_atan2(-1.0, 0.0), -SSDEI_PI / 2, 1e-15);
    CHECK_NEAR(ssdei_math_atan2(1.0, 1.0), SSDEI_PI / 4, 1e-15);
    CHECK(isnan(ssdei_math_atan2(NAN, 1.0)) && isnan(ssdei_math_atan2(1.0, NAN)));
}

/* Rounded once: within half an ulp of float and what double adds to it. */
static void test_math_float(void) {
    float x;
    for (x = -110.0f; x < 110.0f; x += check_quick ? 0.173f : 0.00173f) {
        double d = (double)x, allowed = 5.97e-8;
        if (x < 88.0f) CHECK_NEAR(ssdei_math_expf(x), exp(d), allowed * exp(d) + 7.1e-46);
        if (x < 88.0f) CHECK_NEAR(ssdei_math_expm1f(x), expm1(d), allowed * fabs(expm1(d)));
        CHECK_NEAR(ssdei_math_tanhf(x), tanh(d), allowed * fabs(tanh(d)));
        CHECK_NEAR(ssdei_math_sinf(x), sin(d), allowed * fabs(sin(d)));
        CHECK_NEAR(ssdei_math_cosf(x), cos(d), allowed * fabs(cos(d)));
        if (x > 0.0f) CHECK_NEAR(ssdei_math_logf(x), log(d), allowed * fabs(log(d)));
        if (x > 0.0f) CHECK_NEAR(ssdei_math_log1pf(x), log1p(d), allowed * fabs(log1p(d)));
    }
    CHECK(ssdei_math_expf(89.0f) == HUGE_VALF && ssdei_math_expf(-104.0f) == 0.0f && isnan(ssdei_math_expf(NAN)));
    CHECK(ssdei_math_tanhf(HUGE_VALF) == 1.0f && ssdei_math_tanhf(-HUGE_VALF) == -1.0f && isnan(ssdei_math_tanhf(NAN)));
    CHECK(ssdei_math_tanhf(1e-30f) == 1e-30f && signbit(ssdei_math_tanhf(-0.0f)));
    CHECK(ssdei_math_logf(0.0f) == -HUGE_VALF && isnan(ssdei_math_logf(-1.0f)) && isnan(ssdei_math_sinf(HUGE_VALF)));
}

/* The same bits on every machine, from every compiler: FNV-1a over some thousand results. */
static void test_math_bits(void) {
    uint64_t hash = 14695981039346656037u;
    int i;
    for (i = -2000; i < 2000; i++) {
        double x = i * 0.37, positive = fabs(x) + 0.01, y[9];
        const unsigned char *bytes = (const unsigned char *)y;
        uint64_t word[9];
        size_t b;
        y[0] = ssdei_math_exp(x * 0.95), y[1] = ssdei_math_expm1(x / 50.0), y[2] = ssdei_math_log(positive);
        y[3] = ssdei_math_log1p(positive / 800.0), y[4] = ssdei_math_pow(positive, x / 150.0);
        y[5] = ssdei_math_sin(x), y[6] = ssdei_math_cos(x * 1000.0), y[7] = ssdei_math_atan2(x, i * i - 1e5);
        y[8] = (double)ssdei_math_tanhf((float)x / 70.0f);
        memcpy(word, bytes, sizeof word);
        for (b = 0; b < 8 * 9; b++) hash = (hash ^ (word[b / 8] >> (b % 8 * 8) & 0xff)) * 1099511628211u;
    }
    CHECK(hash == 0x56a5ca1927226b6bu);
}

/* A checkpoint written under any rounding mode is read under any other, and the mode stays the caller's. */
static void test_math_rounding_modes(void) {
    static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_mlp_desc shape = ssde_mlp(2);
    ssde_train_desc how = ssde_train_defaults(&sde, 0);
    ssde_context context = ssde_context_defaults();
    ssde_net *net;
    ssde_trainer *trainer;
    int i, saved, loaded;
    shape.context = how.context = &context;
    how.lr = 0.1 / 3.0; /* of many digits */
    for (i = 0; i < 16; i++) {
        ssde_status save, load;
        fesetround(modes[i / 4]);
        if (ssde_mlp_create(&net, &shape) || ssde_trainer_create(&trainer, net, &sde, &how)) {
            fesetround(FE_TONEAREST);
            CHECK(0); /* made neither */
            return;
        }
        save = ssde_trainer_save(trainer, "tests/tmp_rounding.ck");
        saved = fegetround();
        fesetround(modes[i % 4]);
        load = ssde_trainer_load(trainer, "tests/tmp_rounding.ck");
        loaded = fegetround();
        fesetround(FE_TONEAREST);
        CHECK_OK(save);
        CHECK_OK(load);
        CHECK(saved == modes[i / 4] && loaded == modes[i % 4]);
        ssde_trainer_destroy(trainer);
        ssde_net_destroy(net);
    }
    remove("tests/tmp_rounding.ck");
}

#define TEST_CORE_MATH_LIST(X) \
    X(math_accuracy)           \
    X(math_pow_accuracy)       \
    X(math_edges)              \
    X(math_float)              \
    X(math_bits)               \
    X(math_rounding_modes)

#endif
