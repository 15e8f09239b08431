/* Score models, SDEs, denoising score matching and Gaussian mixtures. */
#ifndef TEST_CORE_SDE_H
#define TEST_CORE_SDE_H

#include "check.h"
#include "fixtures_core.h"
#include "golden.h"

/* ---- sde ---- */

/* Numbers in [-1, 1) that only need to be various. */
static double sde_noise(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return (double)(*state >> 8) / 8388608.0 - 1.0;
}

static void sde_fill(float *out, size_t count, uint32_t state) {
    size_t i;
    for (i = 0; i < count; i++) out[i] = (float)(2.0 * sde_noise(&state));
}

/* The paper's three SDEs as the golden data has them, and rectified flow. */
static const char *const sde_names[3] = {"ve", "vp", "subvp"};
static ssde_sde sde_paper(int which) {
    if (which == 3) return ssde_rectified_flow();
    return which == 0 ? ssde_ve(0.01, 50.0) : which == 1 ? ssde_vp(0.1, 20.0) : ssde_subvp(0.1, 20.0);
}

static ssde_coefficients sde_at(const ssde_sde *sde, double t) {
    ssde_coefficients c;
    memset(&c, 0, sizeof c);
    CHECK_OK(ssde_coefficients_at(NULL, sde, t, &c));
    return c;
}

static void sde_golden_tensor(const golden_file *file, int which, const char *what, double *out, size_t count) {
    char name[64];
    snprintf(name, sizeof name, "%s/%s", sde_names[which], what);
    golden_doubles(file, name, out, count);
}

static void test_sde_golden(void) {
    golden_file *file = golden_open(GOLDEN_SOLVERS);
    int which, r, i;
    for (which = 0; which < 3; which++) {
        ssde_sde sde = sde_paper(which);
        double t[5], x[20], mean[5], std[5], drift[20], diffusion[5], f[20], big_g[5], logp[5], own_logp[5];
        float xf[20];
        sde_golden_tensor(file, which, "t", t, 5);
        sde_golden_tensor(file, which, "x", x, 20);
        sde_golden_tensor(file, which, "marginal_mean_coef", mean, 5);
        sde_golden_tensor(file, which, "marginal_std", std, 5);
        sde_golden_tensor(file, which, "drift", drift, 20);
        sde_golden_tensor(file, which, "diffusion", diffusion, 5);
        sde_golden_tensor(file, which, "discretize_f", f, 20);
        sde_golden_tensor(file, which, "discretize_G", big_g, 5);
        sde_golden_tensor(file, which, "prior_logp", logp, 5);
        for (r = 0; r < 5; r++) {
            ssde_coefficients c = sde_at(&sde, t[r]);
            ssde_step step = {0.0, 0.0};
            /* the reference's 1 - exp(-B) cancels where t is small */
            CHECK_RELATIVE(c.mean, mean[r], 1e-14);
            CHECK_RELATIVE(c.std, std[r], 1e-11);
            CHECK_RELATIVE(c.diffusion, diffusion[r], 1e-11);
            CHECK_OK(
                ssde_discretise(NULL, &sde, which == 2 ? SSDE_DISCRETISE_EULER : SSDE_DISCRETISE_OWN, t[r], &step));
            CHECK_RELATIVE(step.diffusion, big_g[r], 1e-6); /* the reference holds betas and sigmas in float32 */
            for (i = 0; i < 4; i++) {
                CHECK_NEAR(c.drift * x[4 * r + i], drift[4 * r + i], 1e-13 * fabs(drift[4 * r + i]));
                CHECK_NEAR(step.drift * x[4 * r + i], f[4 * r + i], 1e-7 * fabs(x[4 * r + i]));
            }
        }
        for (i = 0; i < 20; i++) xf[i] = (float)x[i];
        CHECK_OK(ssde_prior_log_density(NULL, &sde, xf, 5, 4, own_logp));
        for (r = 0; r < 5; r++) CHECK_NEAR(own_logp[r], logp[r], 1e-5); /* x rounded to float, |x| up to 50 */
    }
    golden_close(file);
}

/* Leading terms in t: what cancellation would destroy. */
static void test_sde_small_t(void) {
    double t;
    for (t = 1e-18; t < 1e-5; t *= 10.0) {
        ssde_sde vp = ssde_vp(0.1, 20.0), sub = ssde_subvp(0.1, 20.0);
        double b = 0.1 * t + 9.95 * t * t;
        ssde_coefficients c = sde_at(&vp, t), s = sde_at(&sub, t);
        CHECK_RELATIVE(c.std, sqrt(b) * (1.0 - b / 4.0), 1e-12);
        CHECK_RELATIVE(s.std, b * (1.0 - b / 2.0), 1e-11);
        CHECK_RELATIVE(s.diffusion, sqrt((0.1 + 19.9 * t) * 2.0 * b * (1.0 - b)), 1e-11);
    }
    {
        ssde_sde vp = ssde_vp(0.1, 20.0), ve = ssde_ve(0.01, 50.0);
        CHECK(sde_at(&vp, 0.0).std == 0.0 && sde_at(&vp, 0.0).mean == 1.0);
        CHECK_RELATIVE(sde_at(&ve, 0.0).std, 0.01, 1e-15); /* the paper's convention */
        CHECK_RELATIVE(sde_at(&ve, 1.0).std, 50.0, 1e-15);
    }
}

/* dm/dt = a m and d std^2/dt = 2 a std^2 + g^2, by central differences. */
static void test_sde_consistent(void) {
    int which;
    double t;
    for (which = 0; which < 4; which++) {
        ssde_sde sde = sde_paper(which);
        for (t = 0.05; t < 0.99; t += 0.05) {
            double h = 1e-5;
            ssde_coefficients c = sde_at(&sde, t), up = sde_at(&sde, t + h), down = sde_at(&sde, t - h);
            double slope = (up.mean - down.mean) / (2 * h);
            double rate = (up.std * up.std - down.std * down.std) / (2 * h);
            double expected = 2.0 * c.drift * c.std * c.std + c.diffusion * c.diffusion;
            CHECK_NEAR(slope, c.drift * c.mean, 1e-8);
            /* rounding of std^2 over h, truncation of relative size h^2 */
            CHECK_NEAR(rate, expected, 1e-9 * c.std * c.std / h + 1e-7 * c.diffusion * c.diffusion);
        }
    }
}

/* The paper's SDEs again, by their drift and diffusion alone. */
static unsigned long affine_calls;
static double affine_a(void *user, double t) {
    ssde_coefficients c;
    affine_calls++;
    ssde_coefficients_at(NULL, (const ssde_sde *)user, t, &c);
    return c.drift;
}
static double affine_g(void *user, double t) {
    ssde_coefficients c;
    ssde_coefficients_at(NULL, (const ssde_sde *)user, t, &c);
    return c.diffusion;
}

static void test_sde_affine_is_vp(void) {
    double t;
    int which, i;
    for (which = 0; which < 3; which++) {
        ssde_sde sde = sde_paper(which), affine = ssde_affine(affine_a, affine_g, &sde);
        for (t = 1e-15; t < 1e-2; t *= 10.0) {
            ssde_coefficients c = sde_at(&affine, t), e = sde_at(&sde, t);
            double start = which == 0 ? 0.01 : 0.0; /* VE's std(0)^2 comes on top of what g adds */
            CHECK_RELATIVE(c.mean, e.mean, 1e-8);
            if (which > 0 || t > 1e-6) CHECK_RELATIVE(sqrt(c.std * c.std + start * start), e.std, 1e-8);
        }
        for (i = 0; i <= 40; i++) {
            ssde_coefficients c = sde_at(&affine, i / 40.0), e = sde_at(&sde, i / 40.0);
            double start = which == 0 ? 0.01 : 0.0;
            CHECK_RELATIVE(c.mean, e.mean, 1e-8);
            CHECK_RELATIVE(sqrt(c.std * c.std + start * start), e.std, 1e-8);
            CHECK_NEAR(c.drift, e.drift, 0.0);
            CHECK_NEAR(c.diffusion, e.diffusion, 0.0);
        }
        affine_calls = 0;
        sde_at(&affine, 0.7);
        CHECK(affine_calls <= 500); /* smooth: a handful of intervals */
    }
}

/* Its own digits at both ends, where m or std is small; at t = 1 what is there, and a text for what is not. */
static void test_sde_rectified_flow(void) {
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = ssde_rectified_flow(), affine = ssde_affine(affine_a, affine_g, &sde);
    ssde_coefficients c;
    ssde_step step;
    double t, scale, std, one = 1.0;
    float x[2] = {3.0f, -2.0f}, z[2] = {0.5f, 0.25f}, out[2];
    CHECK_OK(ssde_sde_check(&context, &sde));
    CHECK(sde.kind == SSDE_RECTIFIED_FLOW && sde.num_scales == 1000);
    for (t = 1e-300; t < 1.0; t = t < 0.1 ? t * 10.0 : 1.0 - 0.5 * (1.0 - t)) {
        c = sde_at(&sde, t);
        CHECK(c.mean == 1.0 - t && c.std == t);
        CHECK_RELATIVE(c.drift * c.mean, -1.0, 4e-16);
        CHECK_RELATIVE(c.diffusion * c.diffusion * c.mean, 2.0 * t, 1e-15);
    }
    for (t = 1e-12; t < 0.9; t *= 3.0) {
        ssde_coefficients by_rates = sde_at(&affine, t);
        CHECK_RELATIVE(by_rates.mean, 1.0 - t, 1e-8);
        CHECK_RELATIVE(by_rates.std, t, 1e-8);
    }
    CHECK_FAILS(&context, ssde_coefficients_at(&context, &sde, 1.0, &c), SSDE_ERROR_NUMERIC, "at t = 1");
    CHECK_FAILS(&context, ssde_reverse_drift(&context, &sde, x, z, &one, 1, 2, 0, out), SSDE_ERROR_NUMERIC, "t = 1");
    CHECK_OK(ssde_perturb(&context, &sde, x, z, &one, 1, 2, out));
    CHECK(out[0] == z[0] && out[1] == z[1]);
    CHECK_OK(ssde_prior_time(&context, &sde, &t, &scale));
    CHECK_NEAR(t, 1.0 / 1.0001, 1e-15);
    CHECK_NEAR(scale, t, 0.0);
    CHECK_OK(ssde_prior_std(&context, &sde, &std));
    CHECK(std == 1.0);
    CHECK_OK(ssde_discretise(&context, &sde, SSDE_DISCRETISE_OWN, 0.5, &step));
    CHECK(step.drift == -2.0 / 1000.0 && fabs(step.diffusion - sqrt(2.0 / 1000.0)) < 1e-16);
    CHECK_FAILS(&context, ssde_discrete_marginal(&context, &sde, 0, &std, NULL, NULL), SSDE_ERROR_UNSUPPORTED,
                "SDE 'rectified_flow' has no discrete form");
}

static double hard_jump_a(void *user, double t) {
    (void)user;
    return t < 0.3 ? -1.0 : t < 0.30001 ? -300.0 : 2.0;
}
static double hard_jump_g(void *user, double t) {
    (void)user;
    return t < 0.7123456789 ? 1.0 : 3.0;
}
static double hard_singular_a(void *user, double t) {
    (void)user;
    return -0.5 / sqrt(t);
}
static double hard_singular_g(void *user, double t) {
    (void)user;
    return pow(t, -0.25);
}
static double hard_stiff_a(void *user, double t) {
    (void)t;
    return -*(const double *)user;
}
static double hard_ten(void *user, double t) {
    (void)user, (void)t;
    return 10.0;
}
static double hard_one(void *user, double t) {
    (void)user, (void)t;
    return 1.0;
}

static double hard_zero(void *user, double t) {
    (void)user, (void)t;
    return 0.0;
}
static double hard_given_mean(void *user, double t) {
    (void)user;
    return 1.0 - t / 2.0;
}
static double hard_given_std(void *user, double t) {
    (void)user;
    return 3.0 * t;
}
static double hard_nan(void *user, double t) {
    (void)user;
    return t > 0.5 ? (double)NAN : 1.0;
}

static void test_sde_affine_hard(void) {
    double rate;
    int i;
    /* singular at 0: int a = -sqrt t, V = int s^-1/2 exp(2 (sqrt s - sqrt t)) ds = 1 - exp(-2 sqrt t) */
    for (i = 1; i <= 20; i++) {
        ssde_sde sde = ssde_affine(hard_singular_a, hard_singular_g, NULL);
        double t = i <= 10 ? pow(10.0, -i) : (i - 10) / 10.0;
        ssde_coefficients c = sde_at(&sde, t);
        CHECK_RELATIVE(c.mean, exp(-sqrt(t)), 1e-8);
        CHECK_RELATIVE(c.std, sqrt(-expm1(-2.0 * sqrt(t))), 1e-8);
    }
    /* a boundary layer of width 1 / rate before t */
    for (rate = 1.0; rate < 1e7; rate *= 10.0) {
        ssde_sde sde = ssde_affine(hard_stiff_a, hard_ten, &rate);
        ssde_coefficients c = sde_at(&sde, 0.9);
        CHECK_NEAR(c.mean, exp(-0.9 * rate), 1e-8 * exp(-0.9 * rate));
        CHECK_RELATIVE(c.std, 10.0 * sqrt(-expm1(-1.8 * rate) / (2.0 * rate)), 1e-8);
    }
    for (rate = -1.0; rate > -400.0; rate *= 3.0) { /* and one of growth behind 0 */
        ssde_sde sde = ssde_affine(hard_stiff_a, hard_ten, &rate);
        ssde_coefficients c = sde_at(&sde, 0.9);
        CHECK_RELATIVE(c.mean, exp(-0.9 * rate), 1e-8);
        CHECK_RELATIVE(c.std, 10.0 * sqrt(-expm1(-1.8 * rate) / (2.0 * rate)), 1e-8);
    }
    { /* jumps: V by hand over the pieces */
        ssde_sde sde = ssde_affine(hard_jump_a, hard_jump_g, NULL);
        double narrow = 0.30001 - 0.3, v;
        v = (1.0 - exp(-0.6)) / 2.0;
        v = v * exp(-600.0 * narrow) + (1.0 - exp(-600.0 * narrow)) / 600.0;
        v = v * exp(4.0 * (0.7123456789 - 0.30001)) + (exp(4.0 * (0.7123456789 - 0.30001)) - 1.0) / 4.0;
        v = v * exp(4.0 * (1.0 - 0.7123456789)) + 9.0 * (exp(4.0 * (1.0 - 0.7123456789)) - 1.0) / 4.0;
        CHECK_RELATIVE(sde_at(&sde, 1.0).mean, exp(-0.3 - 300.0 * narrow + 2.0 * (1.0 - 0.30001)), 1e-8);
        CHECK_RELATIVE(sde_at(&sde, 1.0).std, sqrt(v), 1e-8);
    }
    { /* no noise at all until never: std is exactly 0, and the prior says so */
        ssde_sde sde = ssde_affine(hard_ten, hard_zero, NULL);
        ssde_context context = ssde_context_defaults();
        double std;
        CHECK(sde_at(&sde, 0.1).std == 0.0);
        CHECK_FAILS(&context, ssde_prior_std(&context, &sde, &std), SSDE_ERROR_NUMERIC, "std(1) is 0");
    }
    { /* what the user knows is taken, each alone */
        ssde_sde sde = ssde_affine(hard_zero, hard_ten, NULL);
        sde.mean = hard_given_mean;
        CHECK_NEAR(sde_at(&sde, 0.5).mean, 0.75, 0.0);
        CHECK_RELATIVE(sde_at(&sde, 0.25).std, 5.0, 1e-9);
        sde.mean = NULL;
        sde.std = hard_given_std;
        sde.g = hard_nan; /* not integrated now */
        CHECK_NEAR(sde_at(&sde, 0.5).mean, 1.0, 1e-12);
        CHECK_NEAR(sde_at(&sde, 0.5).std, 1.5, 0.0);
    }
}

/* How far the stack reaches below `user` where a is asked: integrals are taken on small stacks too. */
static size_t hard_depth;
static double hard_deep(void *user, double t) {
    char here = 0;
    size_t depth = (size_t)(&here < (char *)user ? (char *)user - &here : &here - (char *)user);
    if (depth > hard_depth) hard_depth = depth;
    return hard_jump_a(NULL, t);
}

static void test_sde_affine_stack(void) {
    char top = 0;
    ssde_sde sde = ssde_affine(hard_deep, hard_jump_g, &top);
    hard_depth = 0;
    CHECK_RELATIVE(sde_at(&sde, 1.0).mean, exp(-0.3 - 300.0 * (0.30001 - 0.3) + 2.0 * (1.0 - 0.30001)), 1e-8);
    CHECK(hard_depth > 100 && hard_depth < 8192); /* 2 kB; 3 where sanitizers guard arrays */
}

static double hard_nonintegrable(void *user, double t) {
    (void)user;
    return 1.0 / t;
}
static double hard_explosive(void *user, double t) {
    (void)user, (void)t;
    return 1e6;
}
static double hard_rough(void *user, double t) {
    (void)user;
    return 1.5 + sin(1e9 * t);
}
static double hard_negative(void *user, double t) {
    (void)user;
    return -t;
}

static void test_sde_affine_errors(void) {
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = ssde_affine(hard_zero, hard_ten, NULL);
    ssde_coefficients c;
    sde.g = hard_nan;
    CHECK_OK(ssde_coefficients_at(&context, &sde, 0.25, &c));
    CHECK_FAILS(&context, ssde_coefficients_at(&context, &sde, 0.75, &c), SSDE_ERROR_NUMERIC, "t = 0.75");
    sde.g = hard_nonintegrable;
    CHECK_FAILS(&context, ssde_coefficients_at(&context, &sde, 0.75, &c), SSDE_ERROR_NUMERIC, "t = 0.75");
    CHECK_FAILS(&context, ssde_coefficients_at(&context, &sde, 0.0, &c), SSDE_ERROR_NUMERIC, "t = 0");
    sde.g = hard_rough;
    CHECK_FAILS(&context, ssde_coefficients_at(&context, &sde, 0.75, &c), SSDE_ERROR_NUMERIC, "converge");
    sde.g = hard_negative;
    CHECK_FAILS(&context, ssde_coefficients_at(&context, &sde, 0.5, &c), SSDE_ERROR_NUMERIC, "g >= 0");
    sde.g = hard_ten;
    sde.a = hard_explosive;
    CHECK_FAILS(&context, ssde_coefficients_at(&context, &sde, 0.5, &c), SSDE_ERROR_NUMERIC, "not finite");
    sde.a = hard_zero;
    sde.std = hard_negative;
    CHECK_FAILS(&context, ssde_coefficients_at(&context, &sde, 0.5, &c), SSDE_ERROR_NUMERIC, "std is -0.5");
    sde.a = NULL;
    CHECK_FAILS(&context, ssde_coefficients_at(&context, &sde, 0.5, &c), SSDE_ERROR_ARGUMENT, "a is NULL");
}

/* Every step takes the marginal of i - 1 to that of i, exactly: the reason for the sub-VP rule. */
static void test_sde_discrete(void) {
    int which, i, n;
    for (which = 0; which < 3; which++) {
        for (n = 21; n <= 1000; n = n < 500 ? 1000 : n + 1000) {
            ssde_sde sde = sde_paper(which);
            double mean = 1.0, variance = 0.0, product = 1.0;
            sde.num_scales = n;
            for (i = 0; i < n; i++) {
                ssde_step step = {0.0, 0.0};
                double m, s, beta;
                CHECK_OK(ssde_discretise(NULL, &sde, SSDE_DISCRETISE_OWN, (double)i / (n - 1), &step));
                CHECK_OK(ssde_discrete_marginal(NULL, &sde, i, &m, &s, &beta));
                mean *= 1.0 + step.drift;
                variance = (1.0 + step.drift) * (1.0 + step.drift) * variance + step.diffusion * step.diffusion;
                CHECK_RELATIVE(m, mean, 1e-12);
                CHECK_RELATIVE(s * s, variance, 1e-11);
                if (which) { /* and as written in the header */
                    CHECK_RELATIVE(beta, 0.1 / n + (20.0 - 0.1) / n * i / (n - 1), 1e-13);
                    product *= 1.0 - beta;
                    CHECK_RELATIVE(m, sqrt(product), 1e-12);
                    CHECK_NEAR(s, which == 1 ? sqrt(1.0 - product) : 1.0 - product, 1e-12);
                } else
                    CHECK_RELATIVE(s, exp(log(0.01) + (log(50.0) - log(0.01)) * i / (n - 1)), 1e-12);
            }
            if (n == 1000) { /* close to the continuous SDE */
                ssde_coefficients c = sde_at(&sde, 1.0);
                CHECK_NEAR(sqrt(variance), c.std, 1e-3 * c.std);
            }
        }
    }
    {
        ssde_sde affine = ssde_affine(hard_given_mean, hard_ten, NULL);
        ssde_step step = {0.0, 0.0};
        affine.num_scales = 25;
        CHECK_OK(ssde_discretise(NULL, &affine, SSDE_DISCRETISE_OWN, 0.5, &step));
        CHECK_NEAR(step.drift, 0.75 / 25.0, 1e-16);
        CHECK_NEAR(step.diffusion, 2.0, 1e-15);
    }
}

/* i / (N - 1) gives step i however it was computed; a t clearly between gives the one below. */
static void test_sde_discrete_index(void) {
    int n, i, step = check_quick ? 97 : 1;
    for (n = 1; n <= 2000; n += n < 60 ? 1 : 193) {
        ssde_sde sde = ssde_ve(0.01, 50.0);
        sde.num_scales = n;
        for (i = 0; i < n; i += step) {
            double last = n > 1 ? n - 1 : 1, other = 1.0 - (last - i) / last;
            if (n == 1) other = 0.7;
            CHECK(ssdei_step_index(&sde, i / last) == i);
            CHECK(ssdei_step_index(&sde, other < 0.0 ? 0.0 : other) == i);
            if (i + 1 < n) CHECK(ssdei_step_index(&sde, (i + 0.999999) / last) == i);
        }
        CHECK(ssdei_step_index(&sde, 1.0) == n - 1);
    }
}

static void test_sde_rows(void) {
    enum { ROWS = 7, DIM = 5 };
    static const double times[ROWS] = {0.5, 0.5, 0.1, 1.0, 1.0, 1e-5, 0.5};
    float x[ROWS * DIM], z[ROWS * DIM], out[ROWS * DIM], flow[ROWS * DIM];
    ssde_context context = ssde_context_defaults();
    int which, i;
    sde_fill(x, ROWS * DIM, 1);
    sde_fill(z, ROWS * DIM, 2);
    for (which = 0; which < 3; which++) {
        ssde_sde sde = sde_paper(which);
        CHECK_OK(ssde_perturb(&context, &sde, x, z, times, ROWS, DIM, out));
        for (i = 0; i < ROWS * DIM; i++) {
            ssde_coefficients c = sde_at(&sde, times[i / DIM]);
            CHECK_NEAR(out[i], c.mean * (double)x[i] + c.std * (double)z[i], 1e-7 * (1.0 + 4.0 * c.std));
        }
        CHECK_OK(ssde_reverse_drift(&context, &sde, x, z, times, ROWS, DIM, 0, out));
        CHECK_OK(ssde_reverse_drift(&context, &sde, x, z, times, ROWS, DIM, 1, flow));
        for (i = 0; i < ROWS * DIM; i++) {
            ssde_coefficients c = sde_at(&sde, times[i / DIM]);
            double forward = c.drift * (double)x[i], back = c.diffusion * c.diffusion * (double)z[i];
            CHECK_NEAR(out[i], forward - back, 1e-7 * (fabs(forward) + fabs(back)));
            CHECK_NEAR(flow[i], forward - back / 2.0, 1e-7 * (fabs(forward) + fabs(back)));
        }
        memcpy(flow, z, sizeof z);
        CHECK_OK(ssde_reverse_drift(&context, &sde, x, flow, times, ROWS, DIM, 0, flow));
        CHECK_SAME(flow, out, sizeof out);
    }
    {
        ssde_sde sde = ssde_vp(0.1, 20.0);
        CHECK_OK(ssde_perturb(&context, &sde, x, z, times, ROWS, DIM, out));
        memcpy(flow, x, sizeof x);
        CHECK_OK(ssde_perturb(&context, &sde, flow, z, times, ROWS, DIM, flow));
        CHECK_SAME(flow, out, sizeof out);
        CHECK_OK(ssde_perturb(&context, &sde, x + 3 * DIM, z + 3 * DIM, times + 3, 1, DIM, flow));
        CHECK_SAME(flow, out + 3 * DIM, DIM * sizeof *out);
        z[3 * DIM + 2] = (float)NAN;
        CHECK_FAILS(&context, ssde_perturb(&context, &sde, x, z, times, ROWS, DIM, out), SSDE_ERROR_NUMERIC,
                    "row 3, element 2");
        CHECK_OK(ssde_reverse_drift(&context, &sde, x, z, times, ROWS, DIM, 0, out));
        CHECK(out[3 * DIM + 2] != out[3 * DIM + 2] && ssdei_first_nonfinite(out, ROWS * DIM) == 3 * DIM + 2);
    }
}

static void test_sde_prior(void) {
    enum { ROWS = 400, DIM = 25 };
    static float x[ROWS * DIM], part[ROWS * DIM];
    static double logp[ROWS];
    uint64_t sample[3] = {7, 399, 7};
    ssde_context context = ssde_context_defaults();
    int which, r, i;
    for (which = 0; which < 4; which++) {
        ssde_sde sde = which < 3 ? sde_paper(which) : ssde_affine(hard_zero, hard_ten, NULL);
        double std = 0.0, expected = which == 0 ? 50.0 : which == 3 ? 10.0 : 1.0, squares = 0.0, sum = 0.0;
        CHECK_OK(ssde_prior_std(&context, &sde, &std));
        CHECK_RELATIVE(std, expected, 1e-9);
        CHECK_OK(ssde_prior_sample(&context, &sde, 5, NULL, ROWS, DIM, x));
        CHECK_OK(ssde_prior_sample(&context, &sde, 5, sample, 3, DIM, part));
        CHECK_SAME(part, x + 7 * DIM, DIM * sizeof *x);
        CHECK_SAME(part + DIM, x + 399 * DIM, DIM * sizeof *x);
        for (i = 0; i < ROWS * DIM; i++) sum += (double)x[i], squares += (double)x[i] * (double)x[i];
        CHECK_NEAR(sum / (ROWS * DIM) / std, 0.0, 0.05);             /* 5 standard errors */
        CHECK_NEAR(squares / (ROWS * DIM) / (std * std), 1.0, 0.08); /* 5.6 standard errors */
        CHECK_OK(ssde_prior_log_density(&context, &sde, x, ROWS, DIM, logp));
        for (r = 0; r < ROWS; r += 57) {
            double e = 0.0;
            for (i = 0; i < DIM; i++) {
                double s = (double)x[r * DIM + i] / std;
                e += -0.5 * s * s - log(std) - 0.91893853320467274178;
            }
            CHECK_NEAR(logp[r], e, 1e-10);
        }
        sde.prior_std = 3.0;
        CHECK_OK(ssde_prior_std(&context, &sde, &std));
        CHECK_NEAR(std, 3.0, 0.0);
    }
    {
        ssde_sde sde = ssde_vp(0.1, 20.0);
        x[9 * DIM + 4] = (float)INFINITY;
        CHECK_FAILS(&context, ssde_prior_log_density(&context, &sde, x, ROWS, DIM, logp), SSDE_ERROR_NUMERIC, "row 9");
    }
}

static void test_sde_bad_input(void) {
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = ssde_vp(0.1, 20.0), bad;
    ssde_coefficients c;
    ssde_step step;
    float x[4] = {0, 0, 0, 0};
    double t[2] = {0.5, 0.5}, out[2], std;
    CHECK_FAILS(&context, ssde_sde_check(&context, NULL), SSDE_ERROR_ARGUMENT, "sde is NULL");
    CHECK_STATUS(ssde_sde_check(NULL, NULL), SSDE_ERROR_ARGUMENT);
    bad = ssde_vp(2.0, 1.0);
    CHECK_FAILS(&context, ssde_sde_check(&context, &bad), SSDE_ERROR_ARGUMENT, "beta_min is 2");
    bad = ssde_subvp(-0.1, 1.0);
    CHECK_FAILS(&context, ssde_sde_check(&context, &bad), SSDE_ERROR_ARGUMENT, "beta_min is -0.1");
    bad = ssde_vp(0.1, (double)NAN);
    CHECK_FAILS(&context, ssde_sde_check(&context, &bad), SSDE_ERROR_ARGUMENT, "beta_max");
    bad = ssde_vp(0.1, (double)INFINITY);
    CHECK_FAILS(&context, ssde_sde_check(&context, &bad), SSDE_ERROR_ARGUMENT, "beta_max");
    bad = ssde_vp(0.0, 0.0);
    CHECK_FAILS(&context, ssde_sde_check(&context, &bad), SSDE_ERROR_ARGUMENT, "beta_max 0");
    bad = ssde_ve(0.0, 50.0);
    CHECK_FAILS(&context, ssde_sde_check(&context, &bad), SSDE_ERROR_ARGUMENT, "sigma_min is 0");
    bad = ssde_ve(1.0, 1.0);
    CHECK_FAILS(&context, ssde_sde_check(&context, &bad), SSDE_ERROR_ARGUMENT, "sigma_max 1");
    memset(&bad, 0, sizeof bad);
    CHECK_FAILS(&context, ssde_sde_check(&context, &bad), SSDE_ERROR_ARGUMENT, "sigma_min is 0");
    bad = sde;
    bad.num_scales = 0;
    CHECK_FAILS(&context, ssde_sde_check(&context, &bad), SSDE_ERROR_ARGUMENT, "num_scales is 0");
    bad = sde;
    bad.prior_std = -1.0;
    CHECK_FAILS(&context, ssde_sde_check(&context, &bad), SSDE_ERROR_ARGUMENT, "prior_std is -1");
    bad = sde;
    memset(&bad.kind, 9, sizeof bad.kind);
    CHECK_STATUS(ssde_sde_check(&context, &bad), SSDE_ERROR_ARGUMENT);

    CHECK_FAILS(&context, ssde_coefficients_at(&context, &sde, -1.0, &c), SSDE_ERROR_ARGUMENT, "t is -1");
    CHECK_FAILS(&context, ssde_coefficients_at(&context, &sde, 2.0, &c), SSDE_ERROR_ARGUMENT, "t is 2");
    CHECK_FAILS(&context, ssde_coefficients_at(&context, &sde, (double)NAN, &c), SSDE_ERROR_ARGUMENT, "nan");
    CHECK_FAILS(&context, ssde_coefficients_at(&context, &sde, 0.5, NULL), SSDE_ERROR_ARGUMENT, "out is NULL");
    CHECK_FAILS(&context, ssde_discretise(&context, &sde, SSDE_DISCRETISE_OWN, 1.5, &step), SSDE_ERROR_ARGUMENT,
                "t is 1.5");
    CHECK_FAILS(&context, ssde_discretise(&context, &sde, SSDE_DISCRETISE_OWN, 0.5, NULL), SSDE_ERROR_ARGUMENT, "out");
    bad = sde;
    bad.num_scales = 20;
    CHECK_FAILS(&context, ssde_discretise(&context, &bad, SSDE_DISCRETISE_OWN, 0.5, &step), SSDE_ERROR_ARGUMENT,
                "beta_max / num_scales = 1");
    CHECK_OK(ssde_discretise(&context, &bad, SSDE_DISCRETISE_EULER, 0.5, &step));
    CHECK_FAILS(&context, ssde_discrete_marginal(&context, &bad, 0, &std, NULL, NULL), SSDE_ERROR_ARGUMENT,
                "num_scales = 20");
    CHECK_FAILS(&context, ssde_discrete_marginal(&context, &sde, 1000, &std, NULL, NULL), SSDE_ERROR_ARGUMENT,
                "i is 1000");
    CHECK_FAILS(&context, ssde_discrete_marginal(&context, &sde, -1, &std, NULL, NULL), SSDE_ERROR_ARGUMENT, "i is -1");
    bad = ssde_affine(hard_zero, hard_ten, NULL);
    CHECK_STATUS(ssde_discrete_marginal(&context, &bad, 0, &std, NULL, NULL), SSDE_ERROR_UNSUPPORTED);

    t[1] = 1.25;
    CHECK_FAILS(&context, ssde_perturb(&context, &sde, x, x, t, 2, 2, x), SSDE_ERROR_ARGUMENT, "t[1] is 1.25");
    CHECK_FAILS(&context, ssde_reverse_drift(&context, &sde, x, x, t, 2, 2, 0, x), SSDE_ERROR_ARGUMENT, "t[1] is 1.25");
    CHECK_FAILS(&context, ssde_perturb(&context, &sde, NULL, x, t, 2, 2, x), SSDE_ERROR_ARGUMENT, "x0 is NULL");
    CHECK_FAILS(&context, ssde_perturb(&context, &sde, x, NULL, t, 2, 2, x), SSDE_ERROR_ARGUMENT, "z is NULL");
    CHECK_FAILS(&context, ssde_perturb(&context, &sde, x, x, NULL, 2, 2, x), SSDE_ERROR_ARGUMENT, "t is NULL");
    CHECK_FAILS(&context, ssde_perturb(&context, &sde, x, x, t, 2, 2, NULL), SSDE_ERROR_ARGUMENT, "out is NULL");
    CHECK_FAILS(&context, ssde_perturb(&context, &sde, x, x, t, 0, 2, x), SSDE_ERROR_ARGUMENT, "rows is 0");
    CHECK_FAILS(&context, ssde_perturb(&context, &sde, x, x, t, 2, 0, x), SSDE_ERROR_ARGUMENT, "dim 0");
    CHECK_FAILS(&context, ssde_perturb(&context, &sde, x, x, t, SIZE_MAX / 2, 3, x), SSDE_ERROR_ARGUMENT, "memory");
    CHECK_FAILS(&context, ssde_reverse_drift(&context, &sde, x, NULL, t, 2, 2, 0, x), SSDE_ERROR_ARGUMENT, "score");
    CHECK_FAILS(&context, ssde_prior_sample(&context, &sde, 1, NULL, 2, 2, NULL), SSDE_ERROR_ARGUMENT, "out is NULL");
    CHECK_FAILS(&context, ssde_prior_log_density(&context, &sde, NULL, 2, 2, out), SSDE_ERROR_ARGUMENT, "x is NULL");
    CHECK_FAILS(&context, ssde_prior_std(&context, &sde, NULL), SSDE_ERROR_ARGUMENT, "std is NULL");
}

/* Extreme schedules: a number or an error, never a NaN or an infinity under SSDE_OK. */
static void test_sde_extremes(void) {
    static const double betas[6][2] = {{0.0, 1e-30}, {0.0, 20.0}, {0.1, 1e6}, {1e6, 1e6}, {0.0, 1e30}, {1e30, 1e30}};
    static const double sigmas[4][2] = {{1e-30, 1e30}, {1e-30, 1.1e-30}, {1e29, 1e30}, {1.0, 1.0000000001}};
    static const double times[6] = {0.0, 1e-300, 1e-20, 1e-5, 0.5, 1.0}, priors[3] = {0.0, 1e-200, 1e30};
    ssde_mixture *mixture = NULL;
    int i, k, a, b;
    CHECK_OK(ssde_gaussian_create(NULL, &mixture, 2, 0.3, 0.5));
    for (i = 0; i < 16; i++) {
        ssde_sde sde = i < 6    ? ssde_vp(betas[i][0], betas[i][1])
                       : i < 12 ? ssde_subvp(betas[i - 6][0], betas[i - 6][1])
                                : ssde_ve(sigmas[i - 12][0], sigmas[i - 12][1]);
        float x[2] = {1.0f, -2.0f}, out[2];
        double density, score[2], wide[2] = {1.0, -2.0}, weight[4], t[4], losses;
        for (k = 0; k < 6; k++) {
            ssde_loss_desc desc = ssde_loss_defaults();
            if (ssde_perturb(NULL, &sde, x, x, &times[k], 1, 2, out) == SSDE_OK)
                CHECK(fabsf(out[0]) <= FLT_MAX && fabsf(out[1]) <= FLT_MAX);
            if (ssde_reverse_drift(NULL, &sde, x, x, &times[k], 1, 2, 0, out) == SSDE_OK)
                CHECK(fabsf(out[0]) <= FLT_MAX && fabsf(out[1]) <= FLT_MAX);
            if (ssde_mixture_evaluate(mixture, &sde, wide, &times[k], 1, &density, score) == SSDE_OK)
                CHECK(fabs(density) + fabs(score[0]) + fabs(score[1]) <= DBL_MAX);
            for (a = 0; a < SSDE_PREDICT_COUNT; a++) {
                for (b = 0; b < SSDE_PREDICT_COUNT; b++) {
                    if (ssde_convert_output(NULL, &sde, (ssde_parameterisation)a, (ssde_parameterisation)b, 0.5, x,
                                            &times[k], x, 1, 2, out) == SSDE_OK)
                        CHECK(fabsf(out[0]) <= FLT_MAX && fabsf(out[1]) <= FLT_MAX);
                }
                desc.output = (ssde_parameterisation)a, desc.eps = 1e-300;
                for (b = 0; b < SSDE_WEIGHT_USER; b++) {
                    desc.weighting = (ssde_weighting)b;
                    if (ssde_loss(&sde, &desc, x, x, x, &times[k], NULL, 1, 2, 1.0, &losses, out) == SSDE_OK)
                        CHECK(losses <= DBL_MAX && fabsf(out[0]) <= FLT_MAX);
                }
            }
            desc.eps = times[k] < 1.0 ? times[k] : 1e-170;
            for (b = 0; b < SSDE_TIMES_USER; b++) {
                desc.times = (ssde_times)b;
                if (ssde_loss_times(&sde, &desc, 1, 0, NULL, 4, t, weight) == SSDE_OK) {
                    for (a = 0; a < 4; a++) CHECK(t[a] >= desc.eps && t[a] <= 1.0 && weight[a] <= DBL_MAX);
                }
            }
        }
        for (k = 0; k < 3; k++) {
            sde.prior_std = priors[k];
            if (ssde_prior_log_density(NULL, &sde, x, 1, 2, &density) == SSDE_OK) CHECK(fabs(density) <= DBL_MAX);
        }
    }
    ssde_mixture_destroy(mixture);
}

/* No signal at all, m = 0, std = 1: what does not divide by m has its number, the rest says std / m. */
static void test_sde_no_signal(void) {
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = ssde_affine(hard_nan, hard_nan, NULL);
    ssde_loss_desc desc = ssde_loss_defaults();
    float x[2] = {0.5f, -1.0f}, in[2] = {0.25f, 2.0f}, out[2], gradient[2];
    double t = 1.0, loss, density;
    sde.mean = hard_zero, sde.std = hard_one;
    CHECK_FAILS(&context,
                ssde_convert_output(&context, &sde, SSDE_PREDICT_NOISE, SSDE_PREDICT_DATA, 0.0, x, &t, in, 1, 2, out),
                SSDE_ERROR_NUMERIC, "std / m is 1 / 0");
    CHECK_OK(ssde_convert_output(NULL, &sde, SSDE_PREDICT_DATA, SSDE_PREDICT_SCORE, 0.0, x, &t, in, 1, 2, out));
    CHECK(out[0] == -0.5f && out[1] == 1.0f);
    CHECK_OK(ssde_convert_output(NULL, &sde, SSDE_PREDICT_DATA, SSDE_PREDICT_NOISE, 0.0, x, &t, in, 1, 2, out));
    CHECK(out[0] == 0.5f && out[1] == -1.0f);
    desc.output = SSDE_PREDICT_DATA; /* of the noise, x tells all: nothing is asked of the output */
    CHECK_OK(ssde_loss(&sde, &desc, in, x, x, &t, NULL, 1, 2, 1.0, &loss, gradient));
    CHECK(loss == 0.0 && gradient[0] == 0.0f && gradient[1] == 0.0f);
    desc.weighting = SSDE_WEIGHT_OUTPUT; /* unless one asks: in - x is -0.25 and 3 */
    CHECK_OK(ssde_loss(&sde, &desc, in, x, x, &t, NULL, 1, 2, 1.0, &loss, gradient));
    CHECK_NEAR(loss, 0.5 * (0.25 * 0.25 + 9.0), 1e-15);
    desc.output = SSDE_PREDICT_NOISE;
    desc.weighting = SSDE_WEIGHT_EDM;
    desc.context = &context;
    CHECK_FAILS(&context, ssde_loss(&sde, &desc, in, x, x, &t, NULL, 1, 2, 1.0, &loss, gradient), SSDE_ERROR_NUMERIC,
                "the weight inf at t = 1");
    sde = ssde_vp(0.0, 20.0);
    sde.prior_std = 1e-200;
    CHECK_FAILS(&context, ssde_prior_log_density(&context, &sde, x, 1, 2, &density), SSDE_ERROR_NUMERIC, "1e-200");
    desc.times = SSDE_TIMES_IMPORTANCE, desc.eps = 1e-170, desc.context = &context;
    CHECK_FAILS(&context, ssde_loss_times(&sde, &desc, 1, 0, NULL, 1, &t, &loss), SSDE_ERROR_NUMERIC, "not finite");
}

/* A text names the range that is checked, and shows the digits by which the value misses it. */
static void test_sde_texts(void) {
    ssde_context context = ssde_context_defaults();
    ssde_mixture *mixture = NULL;
    ssde_sde sde = ssde_vp(0.1, 20.0), other;
    ssde_coefficients at;
    double weights[2] = {1.0, 1e308}, means[2] = {0.0, 1.0}, stds[2] = {1.0, 1.0};
    float x[2] = {0.0f, 1.0f}, out[2];
#define DEQUANTISE(levels, low, high) ssde_dequantise(&context, 1, 0, NULL, x, 1, 2, levels, low, high, out)
    CHECK_FAILS(&context, DEQUANTISE(16777217.0, -1.0, 1.0), SSDE_ERROR_ARGUMENT, "levels is 16777217, wanted");
    CHECK_FAILS(&context, DEQUANTISE(0.0, -1.0, 1.0), SSDE_ERROR_ARGUMENT, "from 1 to 2^24");
    CHECK_FAILS(&context, DEQUANTISE(8.0, -3e38, 3e38), SSDE_ERROR_ARGUMENT, "less than 3.4e+38 apart");
    CHECK_FAILS(&context, DEQUANTISE(8.0, 1e300, 2e300), SSDE_ERROR_ARGUMENT, "high 2e+300");
    CHECK_FAILS(&context, DEQUANTISE(8.0, 0.0, (double)NAN), SSDE_ERROR_ARGUMENT, "high nan");
    x[1] = 7.0000005f;
    CHECK_FAILS(&context, DEQUANTISE(8.0, 0.0, 1.0), SSDE_ERROR_ARGUMENT, "element 1 is 7.00000048, wanted a whole");
#undef DEQUANTISE
    CHECK_FAILS(&context, ssde_mixture_create(&context, &mixture, 2, 1, weights, means, stds), SSDE_ERROR_ARGUMENT,
                "weights[1] is 1e+308, wanted above 0 and up to 8.99e+307");
    CHECK_FAILS(&context, ssde_coefficients_at(&context, &sde, 1.0 + DBL_EPSILON, &at), SSDE_ERROR_ARGUMENT,
                "t is 1.0000000000000002, wanted 0 to 1");
    other = ssde_ve(1e-31, 1.0);
    CHECK_FAILS(&context, ssde_sde_check(&context, &other), SSDE_ERROR_ARGUMENT, "1e-30 <= sigma_min < sigma_max");
    CHECK_FAILS(&context, ssde_random_normal(&context, 1, 0, 0, NULL, 0, 2, out), SSDE_ERROR_ARGUMENT,
                "rows is 0 and dim 2");
}

/* ---- loss ---- */

/* The golden mixture: 3 components in 4 dimensions. */
static ssde_mixture *sde_golden_mixture(const golden_file *file) {
    double weights[3], means[12], stds[12];
    ssde_mixture *mixture = NULL;
    int i;
    golden_doubles(file, "gmm/weight", weights, 3);
    golden_doubles(file, "gmm/mean", means, 12);
    golden_doubles(file, "gmm/var", stds, 12);
    for (i = 0; i < 12; i++) stds[i] = sqrt(stds[i]);
    CHECK_OK(ssde_mixture_create(NULL, &mixture, 3, 4, weights, means, stds));
    return mixture;
}

enum { LOSS_ROWS = 6, LOSS_DIM = 7 };

typedef struct loss_case {
    ssde_sde sde;
    ssde_loss_desc desc;
    double t[LOSS_ROWS], weight[LOSS_ROWS];
    float x0[LOSS_ROWS * LOSS_DIM], z[LOSS_ROWS * LOSS_DIM], output[LOSS_ROWS * LOSS_DIM];
} loss_case;

static double loss_user_weight(void *user, double t, double mean, double std) {
    return *(const double *)user + t + 2.0 * mean + 3.0 * std;
}

static double loss_user_time(void *user, double u) { return *(double *)user * u; }

/* Case `index` of all combinations of SDE, parameterisation, weighting, half_sum and discrete; 0 where there is none.
 */
enum { LOSS_OUTPUTS = SSDE_PREDICT_COUNT - 1, LOSS_CASES = 4 * LOSS_OUTPUTS * SSDE_WEIGHT_COUNT * 2 * 2 };
static int loss_case_make(int index, loss_case *made) {
    static const int whole[LOSS_ROWS] = {0, 3, 3, 500, 998, 999};
    static double user = 0.5;
    int which = index % 4, i;
    memset(made, 0, sizeof *made);
    made->sde = which < 3 ? sde_paper(which) : ssde_affine(hard_negative, hard_ten, NULL);
    made->desc = ssde_loss_defaults();
    made->desc.output = (ssde_parameterisation)(1 + index / 4 % LOSS_OUTPUTS);
    made->desc.weighting = (ssde_weighting)(index / 4 / LOSS_OUTPUTS % SSDE_WEIGHT_COUNT);
    made->desc.half_sum = index / 4 / LOSS_OUTPUTS / SSDE_WEIGHT_COUNT % 2;
    made->desc.discrete = index / 8 / LOSS_OUTPUTS / SSDE_WEIGHT_COUNT;
    made->desc.sigma_data = 0.7;
    made->desc.min_snr_gamma = index % 3 ? 3.0 : 0.0;
    made->desc.weight = loss_user_weight;
    made->desc.user = &user;
    if (made->desc.discrete &&
        (which == 3 || made->desc.weighting == SSDE_WEIGHT_LIKELIHOOD || made->desc.output == SSDE_PREDICT_EDM))
        return 0;
    for (i = 0; i < LOSS_ROWS; i++) {
        made->t[i] = made->desc.discrete ? whole[i] / 999.0 : i == 2 ? made->t[1] : 1e-5 + 0.199 * i;
        made->weight[i] = 0.5 + 0.3 * i;
    }
    sde_fill(made->x0, LOSS_ROWS * LOSS_DIM, 11);
    sde_fill(made->z, LOSS_ROWS * LOSS_DIM, 12);
    sde_fill(made->output, LOSS_ROWS * LOSS_DIM, 13);
    return 1;
}

/* An output read as its paper defines it: its target, and the denoised x0 that it stands for, in double. */
typedef struct loss_reading {
    double target, denoised;
} loss_reading;
static loss_reading loss_read(ssde_parameterisation output, double sigma_data, double m, double std, double x0,
                              double z, double o) {
    double x = m * x0 + std * z, y = x / m, sigma = std / m, total = sigma * sigma + sigma_data * sigma_data;
    double skip = sigma_data * sigma_data / total, out = sigma * sigma_data / sqrt(total);
    loss_reading read = {0.0, 0.0};
    switch (output) {
        case SSDE_PREDICT_SCORE: read.target = -z / std, read.denoised = (x + std * std * o) / m; break;
        case SSDE_PREDICT_NOISE: read.target = z, read.denoised = (x - std * o) / m; break;
        case SSDE_PREDICT_DATA: read.target = x0, read.denoised = o; break;
        case SSDE_PREDICT_VELOCITY:
            read.target = m * z - std * x0, read.denoised = (m * x - std * o) / (m * m + std * std);
            break;
        case SSDE_PREDICT_EDM: read.target = (x0 - skip * y) / out, read.denoised = skip * y + out * o; break;
        default: read.target = z - x0, read.denoised = (x - std * o) / (m + std);
    }
    return read;
}

/* The weight of |D - x0|^2, as the weightings' papers write it; of SSDE_WEIGHT_OUTPUT none. */
static double loss_weight_of_data(const ssde_loss_desc *desc, double t, double m, double std, double g) {
    double snr = m * m / std / std, sigma_data = desc->sigma_data;
    double gamma = desc->min_snr_gamma > 0.0 ? desc->min_snr_gamma : 5.0;
    if (desc->weighting == SSDE_WEIGHT_STD2) return snr;
    if (desc->weighting == SSDE_WEIGHT_LIKELIHOOD) return snr * g / std * g / std;
    if (desc->weighting == SSDE_WEIGHT_MIN_SNR) return snr < gamma ? snr : gamma;
    if (desc->weighting == SSDE_WEIGHT_EDM)
        return (1.0 / snr + sigma_data * sigma_data) * snr / (sigma_data * sigma_data);
    return snr * loss_user_weight(desc->user, t, m, std);
}

/* Each loss as its paper writes it. */
static void test_loss_formulas(void) {
    int index, made = 0, r, i;
    for (index = 0; index < LOSS_CASES; index++) {
        loss_case c;
        double losses[LOSS_ROWS], plain[LOSS_ROWS];
        if (!loss_case_make(index, &c)) continue;
        made++;
        CHECK_OK(
            ssde_loss(&c.sde, &c.desc, c.output, c.x0, c.z, c.t, c.weight, LOSS_ROWS, LOSS_DIM, 1.0, losses, NULL));
        CHECK_OK(ssde_loss(&c.sde, &c.desc, c.output, c.x0, c.z, c.t, NULL, LOSS_ROWS, LOSS_DIM, 1.0, plain, NULL));
        for (r = 0; r < LOSS_ROWS; r++) {
            double mean, std, g = 0.0, sum = 0.0;
            if (c.desc.discrete) {
                CHECK_OK(ssde_discrete_marginal(NULL, &c.sde, (int)(c.t[r] * 999.0 + 0.5), &mean, &std, NULL));
            } else {
                ssde_coefficients at = sde_at(&c.sde, c.t[r]);
                mean = at.mean, std = at.std, g = at.diffusion;
            }
            for (i = 0; i < LOSS_DIM; i++) {
                int at = r * LOSS_DIM + i;
                double o = (double)c.output[at], x0 = (double)c.x0[at];
                loss_reading read = loss_read(c.desc.output, c.desc.sigma_data, mean, std, x0, (double)c.z[at], o);
                if (c.desc.weighting == SSDE_WEIGHT_OUTPUT)
                    sum += (o - read.target) * (o - read.target);
                else
                    sum += (read.denoised - x0) * (read.denoised - x0);
            }
            if (c.desc.weighting != SSDE_WEIGHT_OUTPUT) sum *= loss_weight_of_data(&c.desc, c.t[r], mean, std, g);
            sum *= c.desc.half_sum ? 0.5 : 1.0 / (double)LOSS_DIM;
            /* D - x0 cancels here to std / m of itself, 1e-6 for sub-VP and 150 for VP */
            CHECK_RELATIVE(plain[r], sum, 1e-8);
            CHECK_RELATIVE(losses[r], c.weight[r] * plain[r], 1e-14);
        }
    }
    /* half_sum x (4 SDEs x outputs x weightings + 3 discrete ones without EDM's output and without g^2) */
    CHECK(made == 2 * (4 * 6 * 6 + 3 * 5 * 5));
}

/* Losses are quadratic in the output, so that a central difference is exact at any distance: here 1/4. */
static void test_loss_gradient(void) {
    int index, r, i;
    for (index = 0; index < LOSS_CASES; index++) {
        loss_case c;
        double losses[LOSS_ROWS], up[LOSS_ROWS], down[LOSS_ROWS], scale = 1.0 / (double)LOSS_ROWS;
        float gradient[LOSS_ROWS * LOSS_DIM], moved[LOSS_ROWS * LOSS_DIM];
        if (!loss_case_make(index, &c)) continue;
        CHECK_OK(ssde_loss(&c.sde, &c.desc, c.output, c.x0, c.z, c.t, c.weight, LOSS_ROWS, LOSS_DIM, scale, losses,
                           gradient));
        for (i = 0; i < LOSS_DIM; i++) {
            float above[LOSS_ROWS], below[LOSS_ROWS];
            for (r = 0; r < LOSS_ROWS; r++) {
                above[r] = c.output[r * LOSS_DIM + i] + 0.25f;
                below[r] = c.output[r * LOSS_DIM + i] - 0.25f;
            }
            memcpy(moved, c.output, sizeof moved);
            for (r = 0; r < LOSS_ROWS; r++) moved[r * LOSS_DIM + i] = above[r];
            CHECK_OK(ssde_loss(&c.sde, &c.desc, moved, c.x0, c.z, c.t, c.weight, LOSS_ROWS, LOSS_DIM, 1.0, up, NULL));
            for (r = 0; r < LOSS_ROWS; r++) moved[r * LOSS_DIM + i] = below[r];
            CHECK_OK(ssde_loss(&c.sde, &c.desc, moved, c.x0, c.z, c.t, c.weight, LOSS_ROWS, LOSS_DIM, 1.0, down, NULL));
            for (r = 0; r < LOSS_ROWS; r++) {
                double slope = scale * (up[r] - down[r]) / ((double)above[r] - (double)below[r]);
                /* a float gradient, and the rounding of the two losses */
                CHECK_NEAR(gradient[r * LOSS_DIM + i], slope, 1e-6 * fabs(slope) + 1e-14 * up[r]);
            }
        }
        memcpy(moved, c.output, sizeof moved); /* in place */
        CHECK_OK(
            ssde_loss(&c.sde, &c.desc, moved, c.x0, c.z, c.t, c.weight, LOSS_ROWS, LOSS_DIM, scale, losses, moved));
        CHECK_SAME(moved, gradient, sizeof gradient);
    }
}

/* At the exact score the gradient's mean is zero along any function of x: here along the score and along x. */
static void test_loss_exact_score(void) {
    enum { ROWS = 4000, DIM = 4 };
    static float x0[ROWS * DIM], z[ROWS * DIM], xt[ROWS * DIM], score[ROWS * DIM], gradient[ROWS * DIM];
    static double t[ROWS], losses[ROWS];
    golden_file *file = golden_open(GOLDEN_SOLVERS);
    ssde_mixture *mixture = sde_golden_mixture(file);
    int which, likelihood, r, i;
    golden_close(file);
    for (which = 0; which < 3; which++) {
        for (likelihood = 0; likelihood < 2; likelihood++) {
            ssde_sde sde = sde_paper(which);
            ssde_score_model model = ssde_mixture_model(mixture, &sde);
            ssde_loss_desc desc = ssde_loss_defaults();
            ssde_rng rng = ssde_rng_seed(3);
            double sum[2] = {0, 0}, squares[2] = {0, 0};
            int along;
            desc.output = SSDE_PREDICT_SCORE;
            desc.weighting = (ssde_weighting)likelihood;
            for (r = 0; r < ROWS; r++) t[r] = r < ROWS / 2 ? 0.2 : 0.6;
            CHECK_OK(ssde_mixture_sample(mixture, &rng, ROWS, x0, NULL));
            CHECK_OK(ssde_random_normal(NULL, 3, SSDE_STREAM_NOISE, 0, NULL, ROWS, DIM, z));
            CHECK_OK(ssde_loss_perturb(&sde, &desc, x0, z, t, ROWS, DIM, xt));
            CHECK_OK(model.score(model.user, xt, t, NULL, ROWS, 0, score));
            CHECK_OK(ssde_loss(&sde, &desc, score, x0, z, t, NULL, ROWS, DIM, 1.0, losses, gradient));
            for (r = 0; r < ROWS; r++) {
                double dot[2] = {0, 0};
                for (i = r * DIM; i < (r + 1) * DIM; i++) {
                    dot[0] += (double)gradient[i] * (double)score[i];
                    dot[1] += (double)gradient[i] * (double)xt[i];
                }
                for (along = 0; along < 2; along++) {
                    sum[along] += dot[along];
                    squares[along] += dot[along] * dot[along];
                }
            }
            for (along = 0; along < 2; along++) CHECK_NEAR(sum[along], 0.0, 4.0 * sqrt(squares[along]));
            /* and half the score would not do */
            for (i = 0; i < ROWS * DIM; i++) score[i] *= 0.5f;
            CHECK_OK(ssde_loss(&sde, &desc, score, x0, z, t, NULL, ROWS, DIM, 1.0, losses, gradient));
            for (sum[0] = 0.0, i = 0; i < ROWS * DIM; i++) sum[0] += (double)gradient[i] * (double)score[i];
            CHECK(fabs(sum[0]) > 4.0 * sqrt(squares[0]));
        }
    }
    ssde_mixture_destroy(mixture);
}

/* The score that an output o of x stands for; linear in both. */
static double loss_score(const loss_case *c, double m, double std, double x, double o) {
    if (c->desc.output == SSDE_PREDICT_SCORE) return o;
    return (m * loss_read(c->desc.output, c->desc.sigma_data, m, std, 0.0, x / std, o).denoised - x) / (std * std);
}

/* Of row r, by the score: lambda (|s|^2 + 2 v^T J v), and the size of its parts. x is x0, the tangent z, v output. */
static double loss_implicit_row(const loss_case *c, const float *v, int r, double m, double std, double g,
                                double *size) {
    const float *x = c->x0 + r * LOSS_DIM, *o = c->output + r * LOSS_DIM, *tangent = c->z + r * LOSS_DIM;
    double slope = std * std / m, lambda, sum = 0.0;
    int i;
    if (c->desc.weighting == SSDE_WEIGHT_OUTPUT) {
        slope = loss_score(c, m, std, 0.0, 1.0);
        lambda = 1.0 / (slope * slope);
    } else
        lambda = slope * slope * loss_weight_of_data(&c->desc, c->t[r], m, std, g);
    for (*size = 0.0, i = 0; i < LOSS_DIM; i++) {
        double s = loss_score(c, m, std, (double)x[i], (double)o[i]), along = (double)v[r * LOSS_DIM + i];
        double part = 2.0 * along * loss_score(c, m, std, along, (double)tangent[i]);
        sum += s * s + part;
        *size += s * s + fabs(part);
    }
    lambda *= c->desc.half_sum ? 0.5 : 1.0 / (double)LOSS_DIM;
    *size *= lambda;
    return lambda * sum;
}

/* The implicit loss by the score, and its gradients by central differences, which are exact. */
static void test_loss_implicit(void) {
    int index, made = 0, r, i, k;
    for (index = 0; index < LOSS_CASES; index++) {
        loss_case c;
        double losses[LOSS_ROWS], plain[LOSS_ROWS], side[2][LOSS_ROWS];
        float v[LOSS_ROWS * LOSS_DIM], gradient[2][LOSS_ROWS * LOSS_DIM], moved[2][LOSS_ROWS * LOSS_DIM];
        if (!loss_case_make(index, &c)) continue;
        made++;
        sde_fill(v, LOSS_ROWS * LOSS_DIM, 14);
        CHECK_OK(ssde_loss_implicit(&c.sde, &c.desc, c.output, c.z, c.x0, v, c.t, NULL, LOSS_ROWS, LOSS_DIM, 1.0, plain,
                                    NULL, NULL));
        CHECK_OK(ssde_loss_implicit(&c.sde, &c.desc, c.output, c.z, c.x0, v, c.t, c.weight, LOSS_ROWS, LOSS_DIM, 0.5,
                                    losses, gradient[0], gradient[1]));
        for (r = 0; r < LOSS_ROWS; r++) {
            double mean, std, g = 0.0, size, expected;
            if (c.desc.discrete) {
                CHECK_OK(ssde_discrete_marginal(NULL, &c.sde, (int)(c.t[r] * 999.0 + 0.5), &mean, &std, NULL));
            } else {
                ssde_coefficients at = sde_at(&c.sde, c.t[r]);
                mean = at.mean, std = at.std, g = at.diffusion;
            }
            expected = loss_implicit_row(&c, v, r, mean, std, g, &size);
            CHECK_NEAR(plain[r], expected, 1e-8 * size); /* m D - x cancels as in test_loss_formulas */
            CHECK_RELATIVE(losses[r], c.weight[r] * plain[r], 1e-14);
        }
        for (i = 0; i < LOSS_ROWS * LOSS_DIM; i++) {
            for (k = 0; k < 4; k++) {
                memcpy(moved[0], c.output, sizeof moved[0]);
                memcpy(moved[1], c.z, sizeof moved[1]);
                moved[k / 2][i] += k % 2 ? -1.0f : 1.0f;
                CHECK_OK(ssde_loss_implicit(&c.sde, &c.desc, moved[0], moved[1], c.x0, v, c.t, c.weight, LOSS_ROWS,
                                            LOSS_DIM, 1.0, side[k % 2], NULL, NULL));
                if (k % 2) {
                    double up = side[0][i / LOSS_DIM], down = side[1][i / LOSS_DIM], slope = 0.25 * (up - down);
                    CHECK_NEAR(gradient[k / 2][i], slope, 1e-6 * fabs(slope) + 1e-14 * (fabs(up) + fabs(down)));
                }
            }
        }
        memcpy(moved[0], c.output, sizeof moved[0]); /* in place */
        memcpy(moved[1], c.z, sizeof moved[1]);
        CHECK_OK(ssde_loss_implicit(&c.sde, &c.desc, moved[0], moved[1], c.x0, v, c.t, c.weight, LOSS_ROWS, LOSS_DIM,
                                    0.5, losses, moved[0], moved[1]));
        CHECK_SAME(moved, gradient, sizeof gradient);
    }
    CHECK(made == 2 * (4 * 6 * 6 + 3 * 5 * 5));
}

/* Of a linear model o = A x, whose derivative is A: the mean over x(t) of its gradient by A is that of the denoising
   loss, for every parameterisation; over signs, over normals and over sqrt(dim) e_i. */
static void test_loss_implicit_mean(void) {
    enum { ROWS = 40000, DIM = 2 };
    static const double a[DIM][DIM] = {{-0.7, 0.3}, {0.2, 0.4}};
    static float x0[ROWS * DIM], z[ROWS * DIM], x[ROWS * DIM], v[ROWS * DIM], output[ROWS * DIM], tangent[ROWS * DIM];
    static float gradient[3][ROWS * DIM];
    static double t[ROWS], losses[ROWS];
    ssde_sde sde = ssde_vp(0.1, 20.0);
    int output_kind, probe, r, i, j;
    CHECK_OK(ssde_random_normal(NULL, 1, SSDE_STREAM_USER, 0, NULL, ROWS, DIM, x0));
    CHECK_OK(ssde_random_normal(NULL, 1, SSDE_STREAM_USER, 1, NULL, ROWS, DIM, z));
    for (r = 0; r < ROWS; r++) t[r] = 0.3;
    for (output_kind = SSDE_PREDICT_SCORE; output_kind < SSDE_PREDICT_COUNT; output_kind++) {
        for (probe = 0; probe < 3; probe++) {
            ssde_loss_desc desc = ssde_loss_defaults();
            desc.output = (ssde_parameterisation)output_kind;
            CHECK_OK(ssde_loss_perturb(&sde, &desc, x0, z, t, ROWS, DIM, x));
            CHECK_OK(
                (probe ? ssde_random_sign : ssde_random_normal)(NULL, 2, SSDE_STREAM_PROBE, 0, NULL, ROWS, DIM, v));
            for (r = 0; r < ROWS && probe == 2; r++) {
                v[r * DIM + r % 2] = (float)sqrt(2.0);
                v[r * DIM + 1 - r % 2] = 0.0f;
            }
            for (r = 0; r < ROWS; r++)
                for (i = 0; i < DIM; i++) {
                    const float *xr = x + r * DIM, *vr = v + r * DIM;
                    output[r * DIM + i] = (float)(a[i][0] * (double)xr[0] + a[i][1] * (double)xr[1]);
                    tangent[r * DIM + i] = (float)(a[i][0] * (double)vr[0] + a[i][1] * (double)vr[1]);
                }
            CHECK_OK(ssde_loss(&sde, &desc, output, x0, z, t, NULL, ROWS, DIM, 1.0, losses, gradient[0]));
            CHECK_OK(ssde_loss_implicit(&sde, &desc, output, tangent, x, v, t, NULL, ROWS, DIM, 1.0, losses,
                                        gradient[1], gradient[2]));
            for (i = 0; i < DIM; i++)
                for (j = 0; j < DIM; j++) {
                    double sum = 0.0, squares = 0.0, size = 0.0;
                    for (r = 0; r < ROWS; r++) {
                        double there = (double)gradient[0][r * DIM + i] * (double)x[r * DIM + j];
                        double away = (double)gradient[1][r * DIM + i] * (double)x[r * DIM + j] +
                                      (double)gradient[2][r * DIM + i] * (double)v[r * DIM + j] - there;
                        sum += away;
                        squares += away * away;
                        size += fabs(there);
                    }
                    CHECK_NEAR(sum, 0.0, 4.0 * sqrt(squares));
                    CHECK(4.0 * sqrt(squares) < 0.2 * size);
                }
        }
    }
}

/* Where std is 0 an output that is the score has the loss |s|^2 + 2 v^T J v itself; no other output has one. */
static void test_loss_implicit_ends(void) {
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_loss_desc desc = ssde_loss_defaults();
    float o[2] = {0.5f, -2.0f}, tangent[2] = {1.0f, 3.0f}, x[2] = {9.0f, 9.0f}, v[2] = {1.0f, -1.0f}, gradients[2][2];
    double t[1] = {0.0}, loss, user = 0.25;
#define IMPLICIT_CALL(o_, w_) \
    ssde_loss_implicit(&sde, &desc, o_, tangent, x, v, t, w_, 1, 2, 1.0, &loss, gradients[0], gradients[1])
    desc.context = &context;
    desc.output = SSDE_PREDICT_SCORE;
    CHECK_FAILS(&context, IMPLICIT_CALL(o, NULL), SSDE_ERROR_ARGUMENT, "t[0] is 0");
    desc.times = SSDE_TIMES_USER;
    desc.time = loss_user_time;
    CHECK_OK(IMPLICIT_CALL(o, NULL));
    CHECK_NEAR(loss, 0.5 * (4.25 + 2.0 * (1.0 - 3.0)), 1e-15);
    CHECK(gradients[0][0] == 0.5f && gradients[0][1] == -2.0f && gradients[1][0] == 1.0f && gradients[1][1] == -1.0f);
    desc.weighting = SSDE_WEIGHT_LIKELIHOOD; /* g^2 = 0.1 */
    CHECK_OK(IMPLICIT_CALL(o, NULL));
    CHECK_NEAR(loss, 0.05 * 0.25, 1e-15);
    desc.weighting = SSDE_WEIGHT_USER;
    desc.weight = loss_user_weight;
    desc.user = &user;
    CHECK_OK(IMPLICIT_CALL(o, NULL)); /* 0.25 + 2 m */
    CHECK_NEAR(loss, 0.5 * 2.25 * 0.25, 1e-15);
    user = (double)NAN;
    CHECK_FAILS(&context, IMPLICIT_CALL(o, NULL), SSDE_ERROR_NUMERIC, "the weight nan at t[0] = 0");
    desc.weighting = SSDE_WEIGHT_STD2;
    desc.output = SSDE_PREDICT_NOISE;
    CHECK_FAILS(&context, IMPLICIT_CALL(o, NULL), SSDE_ERROR_NUMERIC, "std is 0 at t[0] = 0");
    sde = ssde_rectified_flow(); /* m = 0, std = 1, v^T J v = -dim: nothing is learned, nor is it an error */
    t[0] = 1.0;
    desc.output = SSDE_PREDICT_VELOCITY;
    CHECK_OK(IMPLICIT_CALL(o, NULL));
    CHECK_NEAR(loss, 0.5 * (2.0 * 81.0 - 2.0 * 2.0), 1e-13);
    CHECK(gradients[0][0] == 0.0f && gradients[1][1] == 0.0f);
    desc.weighting = SSDE_WEIGHT_OUTPUT;
    CHECK_FAILS(&context, IMPLICIT_CALL(o, NULL), SSDE_ERROR_NUMERIC, "the weight inf at t[0] = 1");
    desc.weighting = SSDE_WEIGHT_STD2;
    desc.output = SSDE_PREDICT_NOISE;
    sde = ssde_vp(0.1, 20.0);
    t[0] = 0.5;
    CHECK_OK(IMPLICIT_CALL(o, NULL));
    loss = -1.0;
    CHECK_FAILS(&context, IMPLICIT_CALL(o, &loss), SSDE_ERROR_ARGUMENT, "weight[0] is -1");
    tangent[1] = INFINITY;
    CHECK_FAILS(&context, IMPLICIT_CALL(o, NULL), SSDE_ERROR_NUMERIC, "tangent");
    tangent[1] = 0.0f;
    v[0] = NAN;
    CHECK_FAILS(&context, IMPLICIT_CALL(o, NULL), SSDE_ERROR_NUMERIC, "v");
    CHECK_FAILS(&context, IMPLICIT_CALL(NULL, NULL), SSDE_ERROR_ARGUMENT, "output is NULL");
    CHECK_FAILS(&context,
                ssde_loss_implicit(&sde, &desc, o, tangent, x, v, t, NULL, 1, 2, 1.0, &loss, NULL, gradients[1]),
                SSDE_ERROR_ARGUMENT, "gradient is NULL");
#undef IMPLICIT_CALL
}

static void test_loss_times(void) {
    enum { ROWS = 20000 };
    static double t[ROWS], weight[ROWS];
    static int seen[50];
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_loss_desc desc = ssde_loss_defaults();
    uint64_t sample[2] = {123, 7};
    double some[2], ones[2], mean = 0.0;
    int r, rows = check_quick ? 5000 : ROWS;
    desc.eps = 0.1;
    CHECK_OK(ssde_loss_times(&sde, &desc, 9, 4, NULL, (size_t)rows, t, weight));
    CHECK_OK(ssde_loss_times(&sde, &desc, 9, 4, sample, 2, some, ones));
    CHECK(some[0] == t[123] && some[1] == t[7]);
    CHECK_OK(ssde_loss_times(&sde, &desc, 9, 5, sample, 2, some, ones));
    CHECK(some[0] != t[123]);
    for (r = 0; r < rows; r++) {
        CHECK(t[r] >= 0.1 && t[r] <= 1.0 && weight[r] == 1.0);
        mean += t[r] / rows;
    }
    CHECK_NEAR(mean, 0.55, 5.0 * 0.26 / sqrt((double)rows));
    desc.discrete = 1;
    sde.num_scales = 50;
    CHECK_OK(ssde_loss_times(&sde, &desc, 9, 4, NULL, (size_t)rows, t, weight));
    for (r = 0; r < rows; r++) {
        int i = ssdei_step_index(&sde, t[r]);
        CHECK(t[r] == i / 49.0 && weight[r] == 1.0);
        seen[i]++;
    }
    for (r = 0; r < 50; r++) CHECK_NEAR(seen[r], rows / 50.0, 5.0 * sqrt(rows / 50.0));
    memset(seen, 0, sizeof seen);
    sde.num_scales = 1;
    CHECK_OK(ssde_loss_times(&sde, &desc, 9, 4, NULL, 3, t, weight));
    CHECK(t[0] == 0.0 && t[2] == 0.0);
}

/* int_eps^t g^2 / std^2 by Simpson's rule in log t; in closed form near the pole of rectified flow. */
static double loss_importance_integral(const ssde_sde *sde, double eps, double t) {
    enum { PIECES = 2000 };
    double from = log(eps), h = (log(t) - from) / (double)PIECES, sum = 0.0;
    int i;
    if (sde->kind == SSDE_RECTIFIED_FLOW) return 2.0 * log(t / (1.0 - t) / (eps / (1.0 - eps)));
    for (i = 0; i <= PIECES; i++) {
        ssde_coefficients c;
        double at = exp(from + h * i);
        ssde_coefficients_at(NULL, sde, at > 1.0 ? 1.0 : at, &c);
        sum += (i == 0 || i == PIECES ? 1.0 : i % 2 ? 4.0 : 2.0) * at * (c.diffusion / c.std) * (c.diffusion / c.std);
    }
    return sum * h / 3.0;
}

static void test_loss_importance(void) {
    enum { ROWS = 20000 };
    static double t[ROWS], weight[ROWS];
    int which, r, rows = check_quick ? 4000 : ROWS;
    for (which = 0; which < 5; which++) {
        ssde_sde sde = which < 4 ? sde_paper(which) : ssde_vp(0.0, 800.0); /* e^B overflows a double */
        ssde_loss_desc desc = ssde_loss_defaults();
        double total, mean = 0.0, squares = 0.0, error, last, scale;
        desc.times = SSDE_TIMES_IMPORTANCE;
        desc.eps = which == 4 ? 1e-3 : 0.0;
        CHECK_OK(ssde_loss_times(&sde, &desc, 2, 0, NULL, (size_t)rows, t, weight));
        CHECK_OK(ssde_prior_time(NULL, &sde, &last, &scale));
        if (which == 4) last = 1.0;
        total = loss_importance_integral(&sde, which == 4 ? 1e-3 : 1e-5, last);
        for (r = 0; r < 40; r++) { /* the distribution function at a draw is the uniform it was made from */
            double u = ssde_random_double(2, SSDE_STREAM_TIME, 0, (uint64_t)r, 0);
            CHECK_NEAR(loss_importance_integral(&sde, which == 4 ? 1e-3 : 1e-5, t[r]) / total, u, 1e-6);
        }
        for (r = 0; r < rows; r++) { /* E[weight t (1 - t)] = 1/6 up to eps */
            double value = weight[r] * t[r] * (1.0 - t[r]);
            CHECK(t[r] >= 1e-5 && t[r] <= 1.0);
            mean += value / rows;
            squares += value * value / rows;
        }
        error = sqrt((squares - mean * mean) / rows);
        CHECK_NEAR(mean, 1.0 / 6.0, 4.0 * error + 1e-5);
        CHECK(error < 0.02); /* the weights are tame */
    }
}

/* From any meaning into any other, against double arithmetic, at the ends and in the middle of time. */
static void test_loss_convert(void) {
    enum { ROWS = 6, DIM = 6, COUNT = SSDE_PREDICT_COUNT };
    static const double t[ROWS] = {1e-5, 0.3, 0.3, 0.5, 0.95, 1.0};
    static float value[COUNT][ROWS * DIM];
    float x0[ROWS * DIM], z[ROWS * DIM], x[ROWS * DIM], out[ROWS * DIM];
    int which, from, to, i, inplace;
    sde_fill(x0, ROWS * DIM, 5);
    sde_fill(z, ROWS * DIM, 6);
    for (which = 0; which < 3; which++) {
        ssde_sde sde = sde_paper(which);
        CHECK_OK(ssde_perturb(NULL, &sde, x0, z, t, ROWS, DIM, x));
        for (from = 1; from < COUNT; from++) {
            for (i = 0; i < ROWS * DIM; i++) {
                ssde_coefficients c = sde_at(&sde, t[i / DIM]);
                value[from][i] =
                    (float)loss_read((ssde_parameterisation)from, 0.7, c.mean, c.std, (double)x0[i], (double)z[i], 0.0)
                        .target;
            }
        }
        for (from = 1; from < COUNT; from++) {
            for (to = 1; to < COUNT; to++) {
                for (inplace = 0; inplace < 2; inplace++) {
                    memcpy(out, value[from], sizeof out);
                    CHECK_OK(ssde_convert_output(NULL, &sde, (ssde_parameterisation)from, (ssde_parameterisation)to,
                                                 0.7, x, t, inplace ? out : value[from], ROWS, DIM, out));
                    for (i = 0; i < ROWS * DIM; i++) {
                        ssde_coefficients c = sde_at(&sde, t[i / DIM]);
                        /* The output and x are rounded to floats, half a unit in 2^-24 each: what either is worth in
                           the target, by the slopes of the reading in double. */
                        double o = (double)value[from][i], ox = (double)x[i], h = 6e-8, wanted, slack, denoised, noise;
                        loss_reading read =
                            loss_read((ssde_parameterisation)from, 0.7, c.mean, c.std, 0.0, ox / c.std, o);
                        denoised = read.denoised, noise = (ox - c.mean * denoised) / c.std;
                        wanted = loss_read((ssde_parameterisation)to, 0.7, c.mean, c.std, denoised, noise, 0.0).target;
                        /* the reading itself cancels in double: 1e-16 (|x| / m + |D|) of D, and m / std of it in z */
                        slack = 1e-15 * (fabs(ox) / c.mean + fabs(denoised)) * (1.0 + c.mean / c.std) *
                                (to == SSDE_PREDICT_SCORE ? 1.0 / c.std : 1.0 + c.std);
                        if (from == to) wanted = o;
                        CHECK_NEAR(out[i], wanted, h * fabs(wanted) + slack);
                    }
                }
            }
        }
    }
    {
        ssde_context context = ssde_context_defaults();
        ssde_sde sde = ssde_vp(0.1, 20.0);
        double zero[ROWS] = {0.5, 0.0, 0.5, 0.5, 0.5, 0.5};
        CHECK_FAILS(&context,
                    ssde_convert_output(&context, &sde, SSDE_PREDICT_NOISE, SSDE_PREDICT_SCORE, 0.5, x, zero, z, ROWS,
                                        DIM, out),
                    SSDE_ERROR_NUMERIC, "t[1] = 0");
        CHECK_FAILS(
            &context,
            ssde_convert_output(&context, &sde, SSDE_PREDICT_NOISE, SSDE_PREDICT_COUNT, 0.5, x, t, z, ROWS, DIM, out),
            SSDE_ERROR_ARGUMENT, "to is 7");
        CHECK_FAILS(
            &context,
            ssde_convert_output(&context, &sde, SSDE_PREDICT_EDM, SSDE_PREDICT_DATA, 0.0, x, t, z, ROWS, DIM, out),
            SSDE_ERROR_ARGUMENT, "from is EDM's and sigma_data 0, wanted");
        CHECK_FAILS(
            &context,
            ssde_convert_output(&context, &sde, SSDE_PREDICT_NOISE, SSDE_PREDICT_DATA, 0.5, x, t, NULL, ROWS, DIM, out),
            SSDE_ERROR_ARGUMENT, "in is NULL");
    }
}

static double loss_mean_falling(void *user, double t) { return (void)user, 1.0 - t; }
static double loss_std_rising(void *user, double t) { return (void)user, t; }

/* At m = 0 and at std = 0 the coefficients are those of the limit, wherever there is one. */
static void test_loss_output_ends(void) {
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = ssde_affine(hard_nan, hard_nan, NULL);
    ssde_output_map map;
    int output;
    sde.a = hard_zero, sde.g = hard_one; /* not asked for here */
    sde.mean = loss_mean_falling, sde.std = loss_std_rising;
    for (output = SSDE_PREDICT_VELOCITY; output < SSDE_PREDICT_COUNT; output++) {
        int edm = output == SSDE_PREDICT_EDM;
        CHECK_OK(ssde_output_map_at(&context, &sde, (ssde_parameterisation)output, 2.0, 1.0, &map)); /* x = z */
        CHECK(map.noise_output == 0.0 && map.noise_x == 1.0 && map.data_x == (output == SSDE_PREDICT_FLOW));
        CHECK(map.data_output == (edm ? 2.0 : -1.0) && map.target_data == (edm ? 0.5 : -1.0));
        CHECK(map.target_noise == (output == SSDE_PREDICT_FLOW) && map.input == 1.0);
        CHECK_OK(ssde_output_map_at(&context, &sde, (ssde_parameterisation)output, 2.0, 0.0, &map)); /* x = x0 */
        CHECK(map.data_output == 0.0 && map.data_x == 1.0 && map.noise_x == (output == SSDE_PREDICT_FLOW));
        CHECK(map.noise_output == (edm ? -1.0 : 1.0) && map.target_noise == (edm ? -1.0 : 1.0));
        CHECK(map.target_data == -(double)(output == SSDE_PREDICT_FLOW) && map.input == (edm ? 0.5 : 1.0));
    }
    CHECK_OK(ssde_output_map_at(&context, &sde, SSDE_PREDICT_DEFAULT, 0.0, 1.0, &map)); /* the noise */
    CHECK(map.noise_output == 1.0 && map.noise_x == 0.0 && map.target_noise == 1.0 && !(fabs(map.data_x) <= DBL_MAX));
    CHECK_OK(ssde_output_map_at(&context, &sde, SSDE_PREDICT_DATA, 0.0, 0.0, &map));
    CHECK(map.data_output == 1.0 && map.data_x == 0.0 && !(fabs(map.noise_x) <= DBL_MAX));
    sde = ssde_ve(0.01, 50.0);
    CHECK_OK(ssde_output_map_at(&context, &sde, SSDE_PREDICT_DEFAULT, 0.0, 1.0, &map)); /* the score */
    CHECK_NEAR(map.noise_output, -50.0, 1e-12);
    CHECK_FAILS(&context, ssde_output_map_at(&context, &sde, SSDE_PREDICT_EDM, (double)NAN, 1.0, &map),
                SSDE_ERROR_ARGUMENT, "sigma_data nan");
    CHECK_FAILS(&context, ssde_output_map_at(&context, &sde, SSDE_PREDICT_EDM, 0.5, 1.5, &map), SSDE_ERROR_ARGUMENT,
                "t[0] is 1.5");
}

/* Every value has a name of its own, which finds it; behind the last there is none. */
static void test_loss_names(void) {
    ssde_context context = ssde_context_defaults();
    ssde_parameterisation output = SSDE_PREDICT_COUNT;
    ssde_weighting weighting = SSDE_WEIGHT_COUNT;
    ssde_times times = SSDE_TIMES_COUNT;
    int i;
    for (i = 0; i < SSDE_PREDICT_COUNT; i++) {
        CHECK_OK(ssde_parameterisation_find(&context, ssde_parameterisation_name((ssde_parameterisation)i), &output));
        CHECK((int)output == i);
    }
    for (i = 0; i < SSDE_WEIGHT_COUNT; i++) {
        CHECK_OK(ssde_weighting_find(&context, ssde_weighting_name((ssde_weighting)i), &weighting));
        CHECK((int)weighting == i);
    }
    for (i = 0; i < SSDE_TIMES_COUNT; i++) {
        CHECK_OK(ssde_times_find(&context, ssde_times_name((ssde_times)i), &times));
        CHECK((int)times == i);
    }
    CHECK(!ssde_parameterisation_name(SSDE_PREDICT_COUNT) && !ssde_weighting_name(SSDE_WEIGHT_COUNT) &&
          !ssde_times_name(SSDE_TIMES_COUNT));
    CHECK(!strcmp(ssde_parameterisation_name(SSDE_PREDICT_VELOCITY), "velocity"));
    CHECK_FAILS(&context, ssde_parameterisation_find(&context, "eps", &output), SSDE_ERROR_ARGUMENT,
                "no parameterisation 'eps': default score noise data velocity edm flow");
    CHECK_FAILS(&context, ssde_weighting_find(&context, "snr", &weighting), SSDE_ERROR_ARGUMENT,
                "no weighting 'snr': std2 likelihood output edm min_snr user");
    CHECK_FAILS(&context, ssde_times_find(&context, "", &times), SSDE_ERROR_ARGUMENT,
                "no times '': uniform importance log_normal logit_normal user");
    CHECK((int)output == SSDE_PREDICT_COUNT - 1 && (int)weighting == SSDE_WEIGHT_COUNT - 1);
}

/* The quantile, against the C library's complementary error function: their difference over the density is x's error.
 */
static void test_math_normal_quantile(void) {
    int i;
    for (i = 1; i < 4000; i++) {
        double p = i < 2000 ? i / 4000.0 : exp(-0.018 * (i - 1960)), x = ssdei_math_normal_quantile(p);
        double away = 0.5 * erfc(-x / sqrt(2.0)) - p, density = exp(-0.5 * x * x) / sqrt(6.283185307179586);
        CHECK_NEAR(away / density, 0.0, 4e-15 * (fabs(x) > 0.1 ? fabs(x) : 0.1));
        if (i < 2000) CHECK_NEAR(ssdei_math_normal_quantile(1.0 - p), -x, 1e-12);
    }
    CHECK(ssdei_math_normal_quantile(0.5) == 0.0);
}

/* What t is a function of is normal: its distribution function there is the uniform that t was drawn with. */
static void test_loss_time_densities(void) {
    enum { ROWS = 500 };
    static double t[ROWS], weight[ROWS];
    ssde_context context = ssde_context_defaults();
    double user = 1.0;
    int which, logit, given, r;
    for (which = 0; which < 4; which++) {
        for (logit = 0; logit < 2; logit++) {
            for (given = 0; given < 2; given++) {
                ssde_sde sde = which < 3 ? sde_paper(which) : ssde_affine(hard_negative, hard_ten, NULL);
                ssde_loss_desc desc = ssde_loss_defaults();
                double mean = given ? 0.4 : logit ? 0.0 : -1.2, std = given ? 0.6 : logit ? 1.0 : 1.2;
                desc.times = logit ? SSDE_TIMES_LOGIT_NORMAL : SSDE_TIMES_LOG_NORMAL;
                if (given) desc.time_mean = mean, desc.time_std = std;
                CHECK_OK(ssde_loss_times(&sde, &desc, 2, 3, NULL, ROWS, t, weight));
                for (r = 0; r < ROWS; r++) {
                    double u = ssde_random_double(2, SSDE_STREAM_TIME, 3, (uint64_t)r, 0), value;
                    ssde_coefficients c = sde_at(&sde, t[r]);
                    value = logit ? log(t[r] / (1.0 - t[r])) : log(c.std / c.mean);
                    CHECK(weight[r] == 1.0 && t[r] >= 1e-5 && t[r] <= 1.0);
                    if (t[r] > 1e-5 && t[r] < 1.0) CHECK_NEAR(0.5 * erfc((mean - value) / std / sqrt(2.0)), u, 1e-8);
                }
            }
        }
    }
    {
        ssde_sde sde = ssde_vp(0.1, 20.0);
        ssde_loss_desc desc = ssde_loss_defaults();
        desc.context = &context;
        desc.times = SSDE_TIMES_LOG_NORMAL; /* beyond the levels that there are: the ends */
        desc.time_std = 1e-9;
        desc.time_mean = -30.0;
        CHECK_OK(ssde_loss_times(&sde, &desc, 2, 3, NULL, 1, t, weight));
        CHECK(t[0] == 1e-5);
        desc.time_mean = 30.0;
        CHECK_OK(ssde_loss_times(&sde, &desc, 2, 3, NULL, 1, t, weight));
        CHECK(t[0] == 1.0);
        desc.times = SSDE_TIMES_USER;
        CHECK_FAILS(&context, ssde_loss_times(&sde, &desc, 2, 3, NULL, 1, t, weight), SSDE_ERROR_ARGUMENT,
                    "times are the user's, but time is NULL");
        desc.time = loss_user_time;
        desc.user = &user;
        CHECK_OK(ssde_loss_times(&sde, &desc, 2, 3, NULL, 9, t, weight));
        for (r = 0; r < 9; r++) CHECK(t[r] == ssde_random_double(2, SSDE_STREAM_TIME, 3, (uint64_t)r, 0));
        user = (double)NAN;
        CHECK_FAILS(&context, ssde_loss_times(&sde, &desc, 2, 3, NULL, 1, t, weight), SSDE_ERROR_ARGUMENT,
                    "desc.time gives t = nan at u = 0.");
        desc.time_mean = (double)INFINITY;
        CHECK_FAILS(&context, ssde_loss_times(&sde, &desc, 2, 3, NULL, 1, t, weight), SSDE_ERROR_ARGUMENT,
                    "time_mean is inf");
        desc.time_mean = 0.5;
        desc.time_std = 0.0;
        CHECK_FAILS(&context, ssde_loss_times(&sde, &desc, 2, 3, NULL, 1, t, weight), SSDE_ERROR_ARGUMENT,
                    "time_mean is 0.5 and time_std 0");
        desc.time_mean = 0.0;
        memset(&desc.times, 1, sizeof desc.times);
        CHECK_FAILS(&context, ssde_loss_times(&sde, &desc, 2, 3, NULL, 1, t, weight), SSDE_ERROR_ARGUMENT, "times is ");
    }
}

/* Of 2^k slots in a row one in each of 2^k equal parts, whoever asks for them; each uniform over the steps. */
static void test_loss_stratified(void) {
    enum { ROWS = 256, STEPS = 2000 };
    static double t[ROWS], weight[ROWS], u[ROWS];
    ssde_sde sde = ssde_ve(0.01, 50.0);
    ssde_loss_desc desc = ssde_loss_defaults();
    uint64_t sample[2] = {200, 17};
    double some[2], mean = 0.0, square = 0.0;
    int k, r, i, step;
    desc.stratified = 1;
    CHECK_OK(ssde_loss_times(&sde, &desc, 9, 4, NULL, ROWS, t, weight));
    CHECK_OK(ssde_loss_times(&sde, &desc, 9, 4, sample, 2, some, weight));
    CHECK(some[0] == t[200] && some[1] == t[17]);
    for (r = 0; r < ROWS; r++) u[r] = (t[r] - 1e-5) / (1.0 - 1e-5);
    for (k = 1; k <= ROWS; k *= 2) {
        int first = ROWS - k; /* not only the first ones */
        for (i = 0; i < k; i++) {
            int in = 0;
            for (r = first; r < first + k; r++) {
                double from = u[first] - 0.25 / (double)ROWS + (double)i / k, at = u[r] - from;
                at -= floor(at);
                in += at < 1.0 / k;
            }
            CHECK(in == 1);
        }
    }
    for (step = 0; step < STEPS; step++) { /* one slot */
        CHECK_OK(ssde_loss_times(&sde, &desc, 9, (uint32_t)step, sample, 1, some, weight));
        mean += some[0] / (double)STEPS;
        square += some[0] * some[0] / (double)STEPS;
    }
    CHECK_NEAR(mean, 0.5, 4.0 * sqrt(1.0 / 12.0 / (double)STEPS));
    CHECK_NEAR(square, 1.0 / 3.0, 4.0 * sqrt(4.0 / 45.0 / (double)STEPS));
}

static void test_loss_bad_input(void) {
    ssde_context context = ssde_context_defaults();
    loss_case c;
    double losses[LOSS_ROWS], mean, std, t[LOSS_ROWS], w[LOSS_ROWS];
    uint64_t huge = (uint64_t)1 << 48;
    float gradient[LOSS_ROWS * LOSS_DIM], keep;
    double user;
    loss_case_make(1, &c);
    c.desc.context = &context;
#define LOSS_CALL \
    ssde_loss(&c.sde, &c.desc, c.output, c.x0, c.z, c.t, c.weight, LOSS_ROWS, LOSS_DIM, 1.0, losses, gradient)
    CHECK_OK(LOSS_CALL);
    CHECK_STATUS(ssde_loss(&c.sde, NULL, c.output, c.x0, c.z, c.t, NULL, 1, 1, 1.0, losses, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_loss_times(&c.sde, NULL, 1, 1, NULL, 1, t, w), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_loss_marginal(&c.sde, NULL, 0.5, &mean, &std), SSDE_ERROR_ARGUMENT);
    CHECK_FAILS(&context, ssde_loss(NULL, &c.desc, c.output, c.x0, c.z, c.t, NULL, 1, 1, 1.0, losses, NULL),
                SSDE_ERROR_ARGUMENT, "sde is NULL");
    CHECK_FAILS(&context, ssde_loss(&c.sde, &c.desc, NULL, c.x0, c.z, c.t, NULL, 1, 1, 1.0, losses, NULL),
                SSDE_ERROR_ARGUMENT, "output is NULL");
    CHECK_FAILS(&context, ssde_loss(&c.sde, &c.desc, c.output, c.x0, c.z, c.t, NULL, 1, 1, 1.0, NULL, NULL),
                SSDE_ERROR_ARGUMENT, "losses is NULL");
    CHECK_FAILS(&context, ssde_loss(&c.sde, &c.desc, c.output, c.x0, c.z, c.t, NULL, 0, 1, 1.0, losses, NULL),
                SSDE_ERROR_ARGUMENT, "rows is 0");
    CHECK_FAILS(&context, ssde_loss(&c.sde, &c.desc, c.output, c.x0, c.z, c.t, NULL, 1, 1, (double)NAN, losses, NULL),
                SSDE_ERROR_ARGUMENT, "scale");
    c.weight[4] = -1.0;
    CHECK_FAILS(&context, LOSS_CALL, SSDE_ERROR_ARGUMENT, "weight[4] is -1");
    c.weight[4] = (double)NAN;
    CHECK_FAILS(&context, LOSS_CALL, SSDE_ERROR_ARGUMENT, "weight[4] is ");
    c.weight[4] = 1.0;
    c.t[3] = 0.0;
    CHECK_FAILS(&context, LOSS_CALL, SSDE_ERROR_ARGUMENT, "t[3] is 0, wanted 1e-05");
    c.t[3] = (double)NAN;
    CHECK_FAILS(&context, LOSS_CALL, SSDE_ERROR_ARGUMENT, "t[3]");
    c.t[3] = 0.5;
    keep = c.output[2 * LOSS_DIM + 5];
    c.output[2 * LOSS_DIM + 5] = (float)NAN;
    CHECK_FAILS(&context, LOSS_CALL, SSDE_ERROR_NUMERIC, "row 2, element 5 of output");
    c.output[2 * LOSS_DIM + 5] = 3e38f; /* its square fits a double, the gradient no float */
    c.weight[2] = 1e3;
    CHECK_FAILS(&context, LOSS_CALL, SSDE_ERROR_NUMERIC, "row 2, element 5 of the gradient");
    c.output[2 * LOSS_DIM + 5] = keep;
    c.weight[2] = 1.0;
    c.desc.output = SSDE_PREDICT_DATA;
    c.x0[LOSS_DIM] = (float)INFINITY;
    CHECK_FAILS(&context, LOSS_CALL, SSDE_ERROR_NUMERIC, "row 1, element 0 of x0");
    c.desc.output = SSDE_PREDICT_SCORE;
    CHECK_FAILS(&context, LOSS_CALL, SSDE_ERROR_NUMERIC, "row 1, element 0 of x0");
    c.x0[LOSS_DIM] = 0.0f;
    c.z[0] = (float)-INFINITY;
    CHECK_FAILS(&context, LOSS_CALL, SSDE_ERROR_NUMERIC, "row 0, element 0 of z");
    c.z[0] = 0.0f;
    CHECK_OK(LOSS_CALL);
    c.desc.output = SSDE_PREDICT_COUNT;
    CHECK_FAILS(&context, LOSS_CALL, SSDE_ERROR_ARGUMENT, "desc.output is 7");
    c.desc.output = SSDE_PREDICT_SCORE;
    memset(&c.desc.weighting, 1, sizeof c.desc.weighting);
    CHECK_FAILS(&context, LOSS_CALL, SSDE_ERROR_ARGUMENT, "desc.weighting is ");
    c.desc.weighting = SSDE_WEIGHT_EDM;
    c.desc.sigma_data = 0.0;
    CHECK_FAILS(&context, LOSS_CALL, SSDE_ERROR_ARGUMENT, "weighting is EDM's and sigma_data 0, wanted");
    c.desc.output = SSDE_PREDICT_EDM;
    CHECK_FAILS(&context, LOSS_CALL, SSDE_ERROR_ARGUMENT, "desc.output is EDM's and sigma_data 0, wanted");
    c.desc.sigma_data = 0.5;
    CHECK_OK(LOSS_CALL);
    c.desc.discrete = 1;
    CHECK_FAILS(&context, LOSS_CALL, SSDE_ERROR_UNSUPPORTED, "told std / m, not a level");
    c.desc.discrete = 0;
    c.desc.output = SSDE_PREDICT_SCORE;
    c.desc.weighting = SSDE_WEIGHT_MIN_SNR;
    c.desc.min_snr_gamma = -1.0;
    CHECK_FAILS(&context, LOSS_CALL, SSDE_ERROR_ARGUMENT, "min_snr_gamma is -1");
    c.desc.min_snr_gamma = 0.0;
    c.desc.weighting = SSDE_WEIGHT_USER;
    user = (double)NAN;
    c.desc.user = &user;
    CHECK_FAILS(&context, LOSS_CALL, SSDE_ERROR_NUMERIC, "the weight nan at t = 1e-05");
    c.desc.weight = NULL;
    CHECK_FAILS(&context, LOSS_CALL, SSDE_ERROR_ARGUMENT, "weight is NULL");
    c.desc.weighting = SSDE_WEIGHT_LIKELIHOOD;
    c.desc.discrete = 1;
    CHECK_FAILS(&context, LOSS_CALL, SSDE_ERROR_UNSUPPORTED, "likelihood");
    c.desc.weighting = SSDE_WEIGHT_STD2;
    CHECK_FAILS(&context, LOSS_CALL, SSDE_ERROR_ARGUMENT, "is not i / 999");
    c.desc.times = SSDE_TIMES_IMPORTANCE;
    CHECK_FAILS(&context, ssde_loss_times(&c.sde, &c.desc, 1, 1, NULL, 1, t, w), SSDE_ERROR_UNSUPPORTED, "uniformly");
    c.desc.times = SSDE_TIMES_UNIFORM;
    c.desc.discrete = 0;
    c.desc.eps = -0.5;
    CHECK_FAILS(&context, LOSS_CALL, SSDE_ERROR_ARGUMENT, "eps is -0.5");
    c.desc.eps = 1.0;
    CHECK_FAILS(&context, ssde_loss_times(&c.sde, &c.desc, 1, 1, NULL, 1, t, w), SSDE_ERROR_ARGUMENT, "eps is 1");
    c.desc.eps = 0.0;
    CHECK_FAILS(&context, ssde_loss_times(&c.sde, &c.desc, 1, 1, NULL, 0, t, w), SSDE_ERROR_ARGUMENT, "rows is 0");
    CHECK_FAILS(&context, ssde_loss_times(&c.sde, &c.desc, 1, 1, NULL, 1, NULL, w), SSDE_ERROR_ARGUMENT, "t is NULL");
    CHECK_FAILS(&context, ssde_loss_times(&c.sde, &c.desc, 1, 1, &huge, 1, t, w), SSDE_ERROR_ARGUMENT, "sample[0]");
    CHECK_FAILS(&context, ssde_loss_marginal(&c.sde, &c.desc, 0.0, &mean, &std), SSDE_ERROR_ARGUMENT, "t[0] is 0");
    CHECK_OK(ssde_loss_marginal(&c.sde, &c.desc, 0.5, NULL, NULL));
    c.sde = ssde_affine(hard_zero, hard_zero, NULL);
    CHECK_FAILS(&context, LOSS_CALL, SSDE_ERROR_NUMERIC, "std is 0 at t[0]");
#undef LOSS_CALL
}

/* The weights make up for times that are drawn by importance, above any eps: their mean is 1. */
static void test_loss_importance_eps(void) {
    enum { ROWS = 4000 };
    static double t[ROWS], weight[ROWS];
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_loss_desc desc = ssde_loss_defaults();
    double mean = 0.0, squares = 0.0, rows = ROWS;
    size_t r;
    desc.times = SSDE_TIMES_IMPORTANCE;
    desc.eps = 0.3;
    CHECK_OK(ssde_loss_times(&sde, &desc, 4, 0, NULL, ROWS, t, weight));
    for (r = 0; r < ROWS; r++) {
        CHECK(t[r] >= 0.3 && t[r] <= 1.0);
        mean += weight[r] / rows;
        squares += weight[r] * weight[r] / rows;
    }
    CHECK_NEAR(mean, 1.0, 4.0 * sqrt((squares - mean * mean) / rows));
    CHECK(squares - mean * mean < 1.0);
}

/* ---- mixture ---- */

static void test_mixture_golden(void) {
    golden_file *file = golden_open(GOLDEN_SOLVERS);
    ssde_mixture *mixture = sde_golden_mixture(file);
    int which, i;
    for (which = 0; which < 3; which++) {
        ssde_sde sde = sde_paper(which);
        ssde_score_model model = ssde_mixture_model(mixture, &sde);
        double t[5], x[20], logp[5], score[20], own_logp[5], own_score[20];
        float xf[20], scoref[20];
        sde_golden_tensor(file, which, "t", t, 5);
        sde_golden_tensor(file, which, "x", x, 20);
        sde_golden_tensor(file, which, "logp", logp, 5);
        sde_golden_tensor(file, which, "score", score, 20);
        CHECK_OK(ssde_mixture_evaluate(mixture, &sde, x, t, 5, own_logp, own_score));
        /* std, and with it the variances, as in sde_golden */
        for (i = 0; i < 5; i++) CHECK_NEAR(own_logp[i], logp[i], 1e-10 * (1.0 + fabs(logp[i])));
        for (i = 0; i < 20; i++) CHECK_NEAR(own_score[i], score[i], 1e-10 * (1.0 + fabs(score[i])));
        for (i = 0; i < 20; i++) {
            volatile float rounded = (float)x[i]; /* volatile: gcc 12 -O3 with AVX-512 leaves the rounding out */
            xf[i] = rounded;
            x[i] = (double)rounded;
        }
        CHECK(model.dim == 4 && model.max_rows > 0);
        CHECK_OK(model.score(model.user, xf, t, NULL, 5, 0, scoref));
        CHECK_OK(ssde_mixture_evaluate(mixture, &sde, x, t, 5, own_logp, own_score));
        for (i = 0; i < 20; i++) CHECK(scoref[i] == (float)own_score[i]);
    }
    ssde_mixture_destroy(mixture);
    golden_close(file);
}

/* Measured in double by an independent program, to the digits printed. */
static void test_mixture_ring(void) {
    static const double golden[5][5] = {{1, 0, .6878515779, 0, 0},
                                        {.5, .5, -3.6014703014, 20.71067808, 20.71067808},
                                        {0, 0, -47.2327068804, 0, 0},
                                        {1.2, -.3, -5.8121475338, -20.00002602, 29.99993719},
                                        {-.7, .75, .5933348499, -.71067812, -4.28932188}};
    ssde_mixture *ring = NULL, *gaussian = NULL;
    ssde_sde sde = ssde_vp(0.1, 20.0);
    double logp, score[3], t = 0.0, x[3] = {1.0, -2.0, 0.5};
    int i;
    CHECK_OK(ssde_ring_create(NULL, &ring, 8, 1.0, 0.1));
    for (i = 0; i < 5; i++) {
        CHECK_OK(ssde_mixture_evaluate(ring, &sde, golden[i], &t, 1, &logp, score));
        CHECK_NEAR(logp, golden[i][2], 5.1e-11);
        CHECK_NEAR(score[0], golden[i][3], 5.1e-9);
        CHECK_NEAR(score[1], golden[i][4], 5.1e-9);
    }
    ssde_mixture_destroy(ring);
    /* N(2, 3^2) in three dimensions at t: N(2 m, 9 m^2 + std^2) */
    CHECK_OK(ssde_gaussian_create(NULL, &gaussian, 3, 2.0, 3.0));
    for (t = 0.0; t <= 1.0; t += 0.25) {
        ssde_coefficients c = sde_at(&sde, t);
        double v = 9.0 * c.mean * c.mean + c.std * c.std, expected = 0.0;
        CHECK_OK(ssde_mixture_evaluate(gaussian, &sde, x, &t, 1, &logp, score));
        for (i = 0; i < 3; i++) {
            double away = x[i] - 2.0 * c.mean;
            expected -= 0.5 * (away * away / v + log(v)) + 0.91893853320467274178;
            CHECK_NEAR(score[i], -away / v, 1e-14);
        }
        CHECK_NEAR(logp, expected, 1e-13);
    }
    ssde_mixture_destroy(gaussian);
}

/* d log p / dx by central differences, on the golden mixture at several t. */
static void test_mixture_score_is_gradient(void) {
    golden_file *file = golden_open(GOLDEN_SOLVERS);
    ssde_mixture *mixture = sde_golden_mixture(file);
    uint32_t state = 4;
    int which, trial, i;
    golden_close(file);
    for (which = 0; which < 3; which++) {
        ssde_sde sde = sde_paper(which);
        for (trial = 0; trial < 30; trial++) {
            double t = trial / 29.0, x[4], moved[4], score[4], logp, up, down, h = 1e-5;
            for (i = 0; i < 4; i++) x[i] = 2.0 * sde_noise(&state);
            CHECK_OK(ssde_mixture_evaluate(mixture, &sde, x, &t, 1, &logp, score));
            for (i = 0; i < 4; i++) {
                memcpy(moved, x, sizeof x);
                moved[i] = x[i] + h;
                CHECK_OK(ssde_mixture_evaluate(mixture, &sde, moved, &t, 1, &up, NULL));
                moved[i] = x[i] - h;
                CHECK_OK(ssde_mixture_evaluate(mixture, &sde, moved, &t, 1, &down, NULL));
                CHECK_NEAR((up - down) / (2 * h), score[i], 1e-6 * (1.0 + fabs(score[i])));
            }
        }
    }
    ssde_mixture_destroy(mixture);
}

/* Largest relative error of vjp against central differences of the exact score along v: the Jacobian is symmetric, so
   that v^T J = J v. */
static double mixture_vjp_error(ssde_mixture *mixture, const ssde_sde *sde, const float *x, const float *v, double t,
                                size_t dim, double h) {
    ssde_score_model model = ssde_mixture_model(mixture, sde);
    double *work = (double *)malloc(4 * dim * sizeof *work), logp, worst = 0.0, norm = 0.0;
    double *up = work, *down = work + dim, *moved = work + 2 * dim;
    float *out = (float *)malloc(2 * dim * sizeof *out), *score = out + dim;
    size_t i;
    CHECK_OK(model.score(model.user, x, &t, NULL, 1, 1, score));
    CHECK_OK(model.vjp(model.user, v, 1, out));
    for (i = 0; i < dim; i++) moved[i] = (double)x[i] + h * (double)v[i];
    CHECK_OK(ssde_mixture_evaluate(mixture, sde, moved, &t, 1, &logp, up));
    for (i = 0; i < dim; i++) moved[i] = (double)x[i] - h * (double)v[i];
    CHECK_OK(ssde_mixture_evaluate(mixture, sde, moved, &t, 1, &logp, down));
    for (i = 0; i < dim; i++) {
        double slope = (up[i] - down[i]) / (2.0 * h), error = fabs((double)out[i] - slope);
        if (!(error <= worst)) worst = error;
        if (fabs(slope) > norm) norm = fabs(slope);
    }
    free(work);
    free(out);
    return worst / norm;
}

static void test_mixture_vjp(void) {
    golden_file *file = golden_open(GOLDEN_SOLVERS);
    ssde_mixture *mixture = sde_golden_mixture(file), *ring = NULL;
    uint32_t state = 8;
    int which, trial, i;
    golden_close(file);
    CHECK_OK(ssde_ring_create(NULL, &ring, 8, 1.0, 0.1));
    for (which = 0; which < 3; which++) {
        ssde_sde sde = sde_paper(which);
        for (trial = 0; trial < 40; trial++) {
            double t = trial / 39.0;
            float x[4], v[4];
            for (i = 0; i < 4; i++) x[i] = (float)(1.5 * sde_noise(&state)), v[i] = (float)sde_noise(&state);
            /* a float result, and differences over 1e-5 in double */
            CHECK(mixture_vjp_error(mixture, &sde, x, v, t, 4, 1e-5) < 1e-5);
            CHECK(mixture_vjp_error(ring, &sde, x, v, t, 2, 1e-5) < 1e-5);
        }
    }
    { /* several probes after one score; rows as they were asked; no score, no vjp */
        ssde_sde sde = ssde_vp(0.1, 20.0);
        ssde_score_model model = ssde_mixture_model(ring, &sde);
        float x[6] = {0.5f, 0.4f, -1.0f, 0.1f, 0.0f, 0.9f}, out[6], one[2], v[6] = {1, 0, 0, 1, 1, 1}, score[6];
        double t[3] = {0.2, 0.2, 0.9};
        CHECK_STATUS(model.vjp(model.user, v, 3, out), SSDE_ERROR_ARGUMENT);
        CHECK_OK(model.score(model.user, x, t, NULL, 3, 0, score));
        CHECK_STATUS(model.vjp(model.user, v, 3, out), SSDE_ERROR_ARGUMENT);
        CHECK_OK(model.score(model.user, x, t, NULL, 3, 1, score));
        CHECK_STATUS(model.vjp(model.user, v, 2, out), SSDE_ERROR_ARGUMENT);
        CHECK_OK(model.vjp(model.user, score, 3, out));
        CHECK_OK(model.vjp(model.user, v, 3, out));
        CHECK_OK(model.score(model.user, x + 2, t + 1, NULL, 1, 1, score));
        CHECK_OK(model.vjp(model.user, v + 2, 1, one));
        CHECK_SAME(one, out + 2, sizeof one);
        t[0] = 2.0; /* a score that failed leaves nothing to differentiate */
        CHECK_STATUS(model.score(model.user, x, t, NULL, 1, 1, score), SSDE_ERROR_ARGUMENT);
        CHECK_STATUS(model.vjp(model.user, v, 1, out), SSDE_ERROR_ARGUMENT);
    }
    ssde_mixture_destroy(ring);
    ssde_mixture_destroy(mixture);
}

/* `components` that all matter at x = 0, in `dim` dimensions. */
static ssde_mixture *mixture_of(ssde_context *context, size_t components, size_t dim) {
    double *weights = (double *)malloc((components + 2 * components * dim) * sizeof *weights);
    double *means = weights + components, *stds = means + components * dim;
    ssde_mixture *mixture = NULL;
    uint32_t state = 31;
    size_t i;
    for (i = 0; i < components; i++) weights[i] = 1.0 + (double)i;
    for (i = 0; i < components * dim; i++) {
        means[i] = sde_noise(&state) / sqrt((double)dim);
        stds[i] = 0.5 + 0.1 * sde_noise(&state) / sqrt((double)dim);
    }
    CHECK_OK(ssde_mixture_create(context, &mixture, components, dim, weights, means, stds));
    free(weights);
    return mixture;
}

/* Whole vectors and tails, components taken by four and what is left of them, on every tier; v may be out. */
static void test_mixture_vjp_shapes(void) {
    static const size_t counts[7] = {1, 2, 3, 4, 5, 7, 9}, dims[6] = {1, 3, 8, 17, 40, 67};
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_context context;
    int tier = 0;
    while (core_next_tier(&tier, &context)) {
        size_t k, d;
        for (k = 0; k < 7; k++) {
            for (d = 0; d < 6; d++) {
                ssde_mixture *mixture = mixture_of(&context, counts[k], dims[d]);
                ssde_score_model model = ssde_mixture_model(mixture, &sde);
                float x[67], v[67], out[67];
                double t = 0.1;
                sde_fill(x, dims[d], 5);
                sde_fill(v, dims[d], 6);
                CHECK(mixture_vjp_error(mixture, &sde, x, v, t, dims[d], 1e-5) < 1e-5); /* as in mixture_vjp */
                CHECK_OK(model.score(model.user, x, &t, NULL, 1, 1, out));
                CHECK_OK(model.vjp(model.user, v, 1, out));
                CHECK_OK(model.vjp(model.user, v, 1, v));
                CHECK(mixture->active[0] == counts[k] - 1);
                CHECK_SAME(v, out, dims[d] * sizeof *v);
                ssde_mixture_destroy(mixture);
            }
        }
    }
}

/* Probes after one score give the bits of a score and a probe of each row alone, in calls that max_rows allows and
   longer ones, whatever the mixture computes in between. */
static void test_mixture_vjp_kept(void) {
    enum { MOST = 700, PROBES = 3 };
    static const size_t components[3] = {3, 8, 60}, dims[3] = {1501, 2, 40};
    ssde_sde sde = ssde_subvp(0.1, 20.0), other = ssde_ve(0.01, 50.0);
    size_t which, p, r, i;
    for (which = 0; which < 3; which++) {
        size_t dim = dims[which];
        ssde_mixture *mixture = mixture_of(NULL, components[which], dim);
        ssde_score_model model = ssde_mixture_model(mixture, &sde);
        size_t rows = mixture->kept + 5, count = rows * dim;
        float *x = (float *)malloc((2 + 2 * PROBES) * count * sizeof *x), *score = x + count;
        float *v = score + count, *out = v + PROBES * count, single[1501];
        double t[MOST], *point = (double *)malloc(dim * sizeof *point), density;
        CHECK(rows <= MOST && model.max_rows == (dim == 2 ? 0 : mixture->kept));
        if (rows > MOST) rows = MOST;
        sde_fill(x, count, 41);
        sde_fill(v, PROBES * count, 42);
        for (r = 0; r < rows; r++) t[r] = r < rows / 2 ? 0.2 : r + 2 < rows ? 0.5 : 0.01 * (double)(rows - r);
        for (i = 0; i < dim; i++) point[i] = 0.1;
        CHECK_OK(model.score(model.user, x, t, NULL, rows, 1, score));
        for (p = 0; p < PROBES; p++) {
            CHECK_OK(model.vjp(model.user, v + p * count, rows, out + p * count));
            CHECK_OK(model.score(model.user, v, t + rows / 2, NULL, 2, 0, score));
            CHECK_OK(ssde_mixture_evaluate(mixture, &other, point, t + p, 1, &density, NULL));
        }
        for (r = 0; r < rows; r += r < 4 || r + 8 > rows ? 1 : 1 + rows / 20) {
            CHECK_OK(model.score(model.user, x + r * dim, t + r, NULL, 1, 1, score));
            for (p = 0; p < PROBES; p++) {
                CHECK_OK(model.vjp(model.user, v + p * count + r * dim, 1, single));
                CHECK_SAME(single, out + p * count + r * dim, dim * sizeof *single);
            }
        }
        ssde_mixture_destroy(mixture);
        free(x);
        free(point);
    }
}

/* Far from every mode one component is left: score and derivative are that Gaussian's. */
static void test_mixture_far(void) {
    ssde_mixture *ring = NULL;
    ssde_sde sde = ssde_vp(0.1, 20.0);
    static const double far[6] = {10.0, 1e3, 1e6, 1e12, 1e20, 1e30};
    double t[2] = {0.0, 0.5};
    int i, j;
    CHECK_OK(ssde_ring_create(NULL, &ring, 8, 1.0, 0.1));
    for (i = 0; i < 6; i++) {
        for (j = 0; j < 2; j++) {
            ssde_score_model model = ssde_mixture_model(ring, &sde);
            ssde_coefficients c = sde_at(&sde, t[j]);
            double variance = 0.01 * c.mean * c.mean + c.std * c.std, x[2], logp, score[2];
            float xf[2], scoref[2], v[2] = {1.0f, -2.0f}, out[2];
            x[0] = far[i];
            x[1] = 0.0;
            CHECK_OK(ssde_mixture_evaluate(ring, &sde, x, &t[j], 1, &logp, score));
            CHECK(logp < 0.0);
            if (j == 0 || far[i] > 1e2) {
                CHECK_RELATIVE(score[0], (c.mean - x[0]) / variance, 1e-12);
                CHECK_NEAR(score[1], 0.0, 1e-9);
            }
            xf[0] = (float)x[0];
            xf[1] = 0.0f;
            CHECK_OK(model.score(model.user, xf, &t[j], NULL, 1, 1, scoref));
            CHECK_OK(model.vjp(model.user, v, 1, out));
            CHECK(ssdei_first_nonfinite(scoref, 2) == 2 && ssdei_first_nonfinite(out, 2) == 2);
            if ((j == 0 || far[i] > 1e2) && far[i] < 1e15) { /* beyond, the modes' distances round to the same */
                CHECK_RELATIVE(out[0], -1.0 / variance, 1e-6);
                CHECK_RELATIVE(out[1], 2.0 / variance, 1e-6);
            }
        }
    }
    ssde_mixture_destroy(ring);
}

/* A row's bits do not depend on its neighbours, nor on theirs being NaN. */
static void test_mixture_rows_alone(void) {
    enum { ROWS = 37, DIM = 4 };
    golden_file *file = golden_open(GOLDEN_SOLVERS);
    ssde_mixture *mixture = sde_golden_mixture(file);
    ssde_sde sde = ssde_subvp(0.1, 20.0);
    ssde_score_model model = ssde_mixture_model(mixture, &sde);
    float x[ROWS * DIM], v[ROWS * DIM], score[ROWS * DIM], out[ROWS * DIM], s[DIM], o[DIM];
    double t[ROWS];
    int r;
    golden_close(file);
    sde_fill(x, ROWS * DIM, 21);
    sde_fill(v, ROWS * DIM, 22);
    x[5 * DIM + 1] = (float)NAN;
    x[6 * DIM] = (float)INFINITY;
    for (r = 0; r < ROWS; r++) t[r] = r < 20 ? 0.3 : 0.01 + r / 40.0;
    CHECK_OK(model.score(model.user, x, t, NULL, ROWS, 1, score));
    CHECK_OK(model.vjp(model.user, v, ROWS, out));
    for (r = 0; r < ROWS; r++) {
        CHECK_OK(model.score(model.user, x + r * DIM, t + r, NULL, 1, 1, s));
        CHECK_OK(model.vjp(model.user, v + r * DIM, 1, o));
        if (r == 5 || r == 6) {
            CHECK(ssdei_first_nonfinite(score + r * DIM, DIM) == 0 && ssdei_first_nonfinite(out + r * DIM, DIM) == 0);
            continue;
        }
        CHECK(ssdei_first_nonfinite(score + r * DIM, DIM) == DIM);
        CHECK_SAME(s, score + r * DIM, sizeof s);
        CHECK_SAME(o, out + r * DIM, sizeof o);
    }
    ssde_mixture_destroy(mixture);
}

/* log p_t(x) less the highest of the components' log-peaks, w_k / (2 pi s_k0 s_k1), in the plane. */
static double mixture_above_peak(const ssde_mixture *mixture, const ssde_coefficients *c, double density) {
    double highest = -HUGE_VAL;
    size_t k;
    for (k = 0; k < mixture->components; k++) {
        double variance[2], peak;
        int i;
        for (i = 0; i < 2; i++) variance[i] = pow(c->mean * mixture->std[2 * k + (size_t)i], 2) + c->std * c->std;
        peak = mixture->log_weight[k] - 0.5 * log(variance[0] * variance[1]) - log(2.0 * SSDEI_PI);
        if (peak > highest) highest = peak;
    }
    return density - highest;
}

/* Scores of rows drawn around all components and between them, against those in double, relative to |score| + 1 / the
   least standard deviation: `worst` of rows that the rule gives to floats and of those it does not. Each row's bits are
   its own; beyond the rule they are those of a kernel without floats. */
static void mixture_plane_check(ssde_mixture *mixture, const ssde_sde *sde, double t, double worst[2], size_t seen[2]) {
    enum { ROWS = 203 };
    const ssdei_kernels *kernels = ssdei_kernels_for(mixture->context);
    ssde_score_model model = ssde_mixture_model(mixture, sde);
    ssde_coefficients c = sde_at(sde, t);
    float x[2 * ROWS], out[2 * ROWS], wide[2 * ROWS], alone[2], point[2];
    double times[ROWS], least = HUGE_VAL;
    size_t r, i, components = mixture->components;
    ssdei_plane work;
    sde_fill(x, 2 * ROWS, 3);
    for (i = 0; i < 2 * components; i++) least = fmin(least, hypot(c.mean * mixture->std[i], c.std));
    for (r = 0; r < ROWS; r++) {
        size_t k = r % components, other = (r / components) % components;
        double part = r % 3 == 2 ? 0.5 : 0.0, far = r % 3 == 1 ? 2.5 : 1.0;
        times[r] = t;
        for (i = 0; i < 2; i++) {
            double spread = hypot(c.mean * mixture->std[2 * k + i], c.std);
            double center = (1.0 - part) * mixture->mean[2 * k + i] + part * mixture->mean[2 * other + i];
            x[2 * r + i] = (float)(c.mean * center + far * spread * (double)x[2 * r + i]);
        }
    }
    CHECK_OK(model.score(model.user, x, times, NULL, ROWS, 0, out));
    { /* NaN in one coordinate is NaN in both, whatever else its bits say */
        const uint32_t bits = 0x7fc00001u;
        memcpy(point, x, sizeof point);
        memcpy(point + 1, &bits, sizeof bits);
        CHECK_OK(model.score(model.user, point, times, NULL, 1, 0, alone));
        CHECK(alone[0] != alone[0] && alone[1] != alone[1]);
    }
    memset(&work, 0, sizeof work);
    work.components = components, work.rows = ROWS, work.log_scale = mixture->log_scale;
    work.center = mixture->center, work.precision = mixture->precision, work.exponent = mixture->exponent;
    work.x = x, work.out = wide;
    kernels->plane_scores(&work);
    for (r = 0; r < ROWS; r++) {
        double at[2], score[2], density, above, error = 0.0;
        int far;
        CHECK_OK(model.score(model.user, x + 2 * r, &t, NULL, 1, 0, alone));
        CHECK_SAME(alone, out + 2 * r, sizeof alone);
        for (i = 0; i < 2; i++) at[i] = (double)x[2 * r + i];
        CHECK_OK(ssde_mixture_evaluate(mixture, sde, at, &t, 1, &density, score));
        above = mixture_above_peak(mixture, &c, density);
        if (fabs(above + 8.0) < 1e-3) continue; /* either */
        far = above < -8.0 || !mixture->use_single;
        if (far) CHECK_SAME(wide + 2 * r, out + 2 * r, sizeof alone);
        for (i = 0; i < 2; i++) error = fmax(error, fabs((double)out[2 * r + i] - score[i]));
        error /= fabs(score[0]) + fabs(score[1]) + 1.0 / least;
        if (!(error <= worst[far])) worst[far] = error;
        seen[far]++;
    }
}

/* Floats where the rule says so, and no worse than it says; with narrow components, far from the origin, with many, and
   with components of which some are much lower than others. */
static void test_mixture_plane_rule(void) {
    enum { MOST = 24 };
    static const double times[5] = {1e-5, 1e-3, 0.05, 0.3, 1.0};
    static const size_t counts[6] = {8, 8, 3, MOST, 2, 3};
    ssde_context context;
    int tier = 0, which;
    while (core_next_tier(&tier, &context)) {
        size_t kind, k, i;
        for (kind = 0; kind < 6; kind++) {
            double weights[MOST], means[2 * MOST], stds[2 * MOST], worst[2] = {0.0, 0.0};
            size_t seen[2] = {0, 0}, components = counts[kind];
            ssde_mixture *mixture = NULL;
            uint32_t state = 5;
            for (k = 0; k < components; k++) {
                double angle = 2.0 * SSDEI_PI * (double)k / (double)components;
                weights[k] = kind == 2 ? 1.0 + (double)k : kind == 5 && k ? 1e-3 : 1.0;
                for (i = 0; i < 2; i++) {
                    means[2 * k + i] = kind < 2 ? (i ? sin(angle) : cos(angle)) : 2.0 * sde_noise(&state);
                    stds[2 * k + i] = kind == 1 ? 1e-3 : kind == 2 ? 0.2 + 0.2 * (double)((k + i) % 2) : 0.1;
                    if (kind == 4) means[2 * k + i] += 1000.0;
                }
            }
            CHECK_OK(ssde_mixture_create(&context, &mixture, components, 2, weights, means, stds));
            for (which = 0; which < 3; which++) {
                ssde_sde sde = sde_paper(which);
                for (i = 0; i < 5; i++) {
                    mixture_plane_check(mixture, &sde, times[i], worst, seen);
                    CHECK(mixture->use_single == (kind < 5));
                }
            }
            CHECK(kind == 5 ? !seen[0] : seen[0] > 400 && seen[1] > 20);
            CHECK(worst[0] <= 6e-6 && worst[1] <= 1e-6);
            ssde_mixture_destroy(mixture);
        }
    }
}

static void test_mixture_point_masses(void) {
    static const double weights[2] = {1.0, 3.0}, means[2] = {-1.0, 2.0}, stds[2] = {0.0, 0.0};
    ssde_context context = ssde_context_defaults();
    ssde_mixture *mixture = NULL;
    ssde_sde vp = ssde_vp(0.1, 20.0), ve = ssde_ve(0.01, 50.0);
    double t, x = 0.3, logp = 0.0, score = 0.0;
    float xf = 0.3f, out, times = 1.0f;
    ssde_score_model model;
    CHECK_OK(ssde_mixture_create(&context, &mixture, 2, 1, weights, means, stds));
    for (t = 1e-5; t <= 1.0; t *= 10.0) {
        ssde_coefficients c = sde_at(&vp, t);
        double l0 = log(0.25) - 0.5 * pow((x + c.mean) / c.std, 2),
               l1 = log(0.75) - 0.5 * pow((x - 2 * c.mean) / c.std, 2);
        double top = l0 > l1 ? l0 : l1;
        CHECK_OK(ssde_mixture_evaluate(mixture, &vp, &x, &t, 1, &logp, &score));
        CHECK_RELATIVE(logp, top + log(exp(l0 - top) + exp(l1 - top)) - log(c.std) - 0.91893853320467274178, 1e-12);
        CHECK(mixture_vjp_error(mixture, &vp, &xf, &times, t, 1, 1e-3 * c.std) < 1e-4);
    }
    t = 0.0;
    CHECK_FAILS(&context, ssde_mixture_evaluate(mixture, &vp, &x, &t, 1, &logp, &score), SSDE_ERROR_NUMERIC,
                "component 0, dimension 0 is 0 at t[0] = 0");
    model = ssde_mixture_model(mixture, &vp);
    CHECK_FAILS(&context, model.score(model.user, &xf, &t, NULL, 1, 0, &out), SSDE_ERROR_NUMERIC, "t[0] = 0");
    model = ssde_mixture_model(mixture, &ve); /* std(0) = sigma_min */
    CHECK_OK(model.score(model.user, &xf, &t, NULL, 1, 0, &out));
    ssde_mixture_destroy(mixture);
}

/* The product of 3072 variances leaves a double's range, and so does the density. */
static void test_mixture_many_dimensions(void) {
    enum { DIM = 3072 };
    size_t i, dim = check_quick ? 300 : DIM;
    ssde_mixture *mixture = NULL;
    ssde_sde sde = ssde_vp(0.1, 20.0);
    double *means = (double *)malloc(4 * DIM * sizeof *means), *stds = means + 2 * DIM, *x, logp, expected[2], t = 0.4;
    float *xf = (float *)malloc(2 * DIM * sizeof *xf), *v = xf + DIM;
    static const double weights[2] = {2.0, 6.0};
    ssde_coefficients c = sde_at(&sde, t);
    uint32_t state = 77;
    int k;
    for (i = 0; i < 2 * dim; i++) {
        means[i] = sde_noise(&state);
        stds[i] = i % 7 ? 0.001 + 0.3 * fabs(sde_noise(&state)) : 1e3;
    }
    for (i = dim; i < 2 * dim; i++) means[i] = means[i - dim] + 1e-3 * means[i]; /* both components matter */
    for (i = dim; i < 2 * dim; i++) stds[i] = stds[i - dim] * (1.0 + 1e-4 * sde_noise(&state));
    CHECK_OK(ssde_mixture_create(NULL, &mixture, 2, dim, weights, means, stds));
    for (i = 0; i < dim; i++) {
        xf[i] = (float)(c.mean * means[i] + 0.5 * sde_noise(&state));
        v[i] = i % 3 ? 1.0f : -1.0f;
    }
    x = (double *)malloc(DIM * sizeof *x);
    for (i = 0; i < dim; i++) x[i] = (double)xf[i];
    for (k = 0; k < 2; k++) {
        expected[k] = log(k ? 0.75 : 0.25);
        for (i = 0; i < dim; i++) {
            double s = stds[(size_t)k * dim + i] * c.mean, variance = s * s + c.std * c.std;
            double away = x[i] - c.mean * means[(size_t)k * dim + i];
            expected[k] -= 0.5 * (away * away / variance + log(variance)) + 0.91893853320467274178;
        }
    }
    CHECK_OK(ssde_mixture_evaluate(mixture, &sde, x, &t, 1, &logp, NULL));
    CHECK_RELATIVE(logp, expected[0] + log1p(exp(expected[1] - expected[0])), 1e-10);
    CHECK(fabs(expected[0] - expected[1]) < 20.0);
    CHECK(mixture_vjp_error(mixture, &sde, xf, v, t, dim, 1e-4) < 1e-4);
    ssde_mixture_destroy(mixture);
    free(means);
    free(xf);
    free(x);
}

static void test_mixture_sample(void) {
    enum { ROWS = 6000, DIM = 4 };
    static float x[ROWS * DIM], part[8 * DIM];
    static int component[ROWS];
    golden_file *file = golden_open(GOLDEN_SOLVERS);
    ssde_mixture *mixture = sde_golden_mixture(file);
    ssde_rng rng = ssde_rng_seed(12);
    double weights[3], means[12], variances[12], total = 0.0;
    int k, r, i;
    golden_doubles(file, "gmm/weight", weights, 3);
    golden_doubles(file, "gmm/mean", means, 12);
    golden_doubles(file, "gmm/var", variances, 12);
    golden_close(file);
    for (k = 0; k < 3; k++) total += weights[k];
    CHECK_OK(ssde_mixture_sample(mixture, &rng, ROWS, x, component));
    CHECK(rng.next_sample == ROWS);
    rng.next_sample = 100; /* 3 + 5 are 8 */
    CHECK_OK(ssde_mixture_sample(mixture, &rng, 3, part, NULL));
    CHECK_OK(ssde_mixture_sample(mixture, &rng, 5, part + 3 * DIM, NULL));
    CHECK_SAME(part, x + 100 * DIM, 8 * DIM * sizeof *x);
    for (k = 0; k < 3; k++) {
        double count = 0.0, share = weights[k] / total;
        for (r = 0; r < ROWS; r++) count += component[r] == k;
        CHECK_NEAR(count / (double)ROWS, share, 4.0 * sqrt(share * (1.0 - share) / (double)ROWS));
        for (i = 0; i < DIM; i++) {
            double sum = 0.0, squares = 0.0, variance = variances[k * DIM + i];
            for (r = 0; r < ROWS; r++) {
                double away = (double)x[r * DIM + i] - means[k * DIM + i];
                if (component[r] == k) sum += away, squares += away * away;
            }
            CHECK_NEAR(sum / count, 0.0, 4.5 * sqrt(variance / count));
            CHECK_NEAR(squares / count / variance, 1.0, 4.5 * sqrt(2.0 / count));
        }
    }
    ssde_mixture_destroy(mixture);
}

static void test_mixture_bad_input(void) {
    static const double ones[4] = {1, 1, 1, 1};
    ssde_context context = ssde_context_defaults();
    ssde_mixture *mixture = NULL;
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_score_model model;
    ssde_rng rng = ssde_rng_seed(1);
    double bad[4] = {1, 1, 1, 1}, t[2] = {0.5, 0.5}, logp[2];
    float x[4] = {0, 0, 0, 0}, out[4];
#define MIXTURE_REFUSED(call, words)                             \
    do {                                                         \
        mixture = (ssde_mixture *)(void *)&context;              \
        CHECK_FAILS(&context, call, SSDE_ERROR_ARGUMENT, words); \
        CHECK(mixture == NULL);                                  \
    } while (0)
    CHECK_FAILS(&context, ssde_mixture_create(&context, NULL, 2, 2, ones, ones, ones), SSDE_ERROR_ARGUMENT, "mixture");
    MIXTURE_REFUSED(ssde_mixture_create(&context, &mixture, 0, 2, ones, ones, ones), "components is 0");
    MIXTURE_REFUSED(ssde_mixture_create(&context, &mixture, 2, 0, ones, ones, ones), "dim 0");
    MIXTURE_REFUSED(ssde_mixture_create(&context, &mixture, 2, 2, NULL, ones, ones), "weights is NULL");
    MIXTURE_REFUSED(ssde_mixture_create(&context, &mixture, 2, 2, ones, NULL, ones), "means is NULL");
    MIXTURE_REFUSED(ssde_mixture_create(&context, &mixture, 2, 2, ones, ones, NULL), "stds is NULL");
    bad[1] = -1.0;
    MIXTURE_REFUSED(ssde_mixture_create(&context, &mixture, 2, 2, bad, ones, ones), "weights[1] is -1");
    MIXTURE_REFUSED(ssde_mixture_create(&context, &mixture, 2, 2, ones, ones, bad), "stds[1] is -1");
    bad[1] = 0.0;
    MIXTURE_REFUSED(ssde_mixture_create(&context, &mixture, 2, 2, bad, ones, ones), "weights[1] is 0");
    bad[1] = (double)NAN;
    MIXTURE_REFUSED(ssde_mixture_create(&context, &mixture, 2, 2, bad, ones, ones), "weights[1]");
    MIXTURE_REFUSED(ssde_mixture_create(&context, &mixture, 2, 2, ones, bad, ones), "means[1]");
    MIXTURE_REFUSED(ssde_mixture_create(&context, &mixture, 2, 2, ones, ones, bad), "stds[1]");
    bad[1] = (double)INFINITY;
    MIXTURE_REFUSED(ssde_mixture_create(&context, &mixture, 2, 2, bad, ones, ones), "weights[1] is inf");
    MIXTURE_REFUSED(ssde_gaussian_create(&context, &mixture, 2, 0.0, (double)NAN), "std nan");
    MIXTURE_REFUSED(ssde_gaussian_create(&context, &mixture, 0, 0.0, 1.0), "dim 0");
    MIXTURE_REFUSED(ssde_ring_create(&context, &mixture, 8, (double)NAN, 1.0), "radius is nan");
    MIXTURE_REFUSED(ssde_ring_create(&context, &mixture, 0, 1.0, 1.0), "components is 0");
    CHECK_STATUS(ssde_mixture_create(&context, &mixture, SIZE_MAX / 2, SIZE_MAX / 2, ones, ones, ones),
                 SSDE_ERROR_MEMORY);
    ssde_mixture_destroy(NULL);
    CHECK_STATUS(ssde_mixture_evaluate(NULL, &sde, ones, t, 1, logp, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_mixture_sample(NULL, &rng, 1, x, NULL), SSDE_ERROR_ARGUMENT);
    model = ssde_mixture_model(NULL, &sde);
    CHECK_STATUS(model.score(model.user, x, t, NULL, 1, 0, out), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(model.vjp(model.user, x, 1, out), SSDE_ERROR_ARGUMENT);

    CHECK_OK(ssde_ring_create(&context, &mixture, 8, 1.0, 0.1));
    if (!mixture) return;
    CHECK_FAILS(&context, ssde_mixture_evaluate(mixture, NULL, ones, t, 1, logp, NULL), SSDE_ERROR_ARGUMENT, "sde");
    CHECK_FAILS(&context, ssde_mixture_evaluate(mixture, &sde, NULL, t, 1, logp, NULL), SSDE_ERROR_ARGUMENT,
                "x is NULL");
    CHECK_FAILS(&context, ssde_mixture_evaluate(mixture, &sde, ones, t, 0, logp, NULL), SSDE_ERROR_ARGUMENT,
                "rows is 0");
    CHECK_FAILS(&context, ssde_mixture_evaluate(mixture, &sde, bad, t, 1, logp, NULL), SSDE_ERROR_NUMERIC, "row 0");
    t[1] = -1.0;
    CHECK_FAILS(&context, ssde_mixture_evaluate(mixture, &sde, ones, t, 2, logp, NULL), SSDE_ERROR_ARGUMENT,
                "t[1] is -1");
    model = ssde_mixture_model(mixture, &sde);
    CHECK_FAILS(&context, model.score(model.user, x, t, NULL, 2, 0, out), SSDE_ERROR_ARGUMENT, "t[1] is -1");
    t[1] = 2.0;
    CHECK_FAILS(&context, model.score(model.user, x, t, NULL, 2, 0, out), SSDE_ERROR_ARGUMENT, "t[1] is 2");
    t[1] = (double)NAN;
    CHECK_FAILS(&context, model.score(model.user, x, t, NULL, 2, 0, out), SSDE_ERROR_ARGUMENT, "t[1]");
    CHECK_FAILS(&context, model.score(model.user, NULL, t, NULL, 1, 0, out), SSDE_ERROR_ARGUMENT, "x is NULL");
    CHECK_FAILS(&context, model.score(model.user, x, NULL, NULL, 1, 0, out), SSDE_ERROR_ARGUMENT, "t is NULL");
    CHECK_FAILS(&context, model.score(model.user, x, t, NULL, 1, 0, NULL), SSDE_ERROR_ARGUMENT, "out is NULL");
    CHECK_FAILS(&context, model.score(model.user, x, t, NULL, 0, 0, out), SSDE_ERROR_ARGUMENT, "rows is 0");
    CHECK_FAILS(&context, model.vjp(model.user, NULL, 1, out), SSDE_ERROR_ARGUMENT, "v is NULL");
    model = ssde_mixture_model(mixture, NULL);
    CHECK_FAILS(&context, model.score(model.user, x, t, NULL, 1, 0, out), SSDE_ERROR_ARGUMENT, "sde");
    CHECK_FAILS(&context, ssde_mixture_sample(mixture, NULL, 1, x, NULL), SSDE_ERROR_ARGUMENT, "rng is NULL");
    CHECK_FAILS(&context, ssde_mixture_sample(mixture, &rng, 1, NULL, NULL), SSDE_ERROR_ARGUMENT, "out is NULL");
    rng.next_sample = ((uint64_t)1 << 48) - 1;
    CHECK_FAILS(&context, ssde_mixture_sample(mixture, &rng, 2, x, NULL), SSDE_ERROR_ARGUMENT, "2^48");
    CHECK_OK(ssde_mixture_sample(mixture, &rng, 1, x, NULL));
    ssde_mixture_destroy(mixture);
#undef MIXTURE_REFUSED
}

static void test_mixture_allocation(void) {
    static const double ones[4] = {1, 1, 1, 1};
    int which, n;
    for (which = 0; which < 3; which++) {
        for (n = 0; n < 100; n++) {
            counted_memory memory;
            ssde_context context = counted_context(&memory);
            ssde_mixture *mixture = NULL;
            ssde_status status;
            memory.refuse = n;
            status = which == 0   ? ssde_mixture_create(&context, &mixture, 2, 2, ones, ones, ones)
                     : which == 1 ? ssde_gaussian_create(&context, &mixture, 5, 1.0, 1.0)
                                  : ssde_ring_create(&context, &mixture, 8, 1.0, 0.1);
            if (status == SSDE_OK) { /* and nothing is allocated once it is there */
                ssde_sde sde = ssde_vp(0.1, 20.0);
                ssde_score_model model = ssde_mixture_model(mixture, &sde);
                ssde_rng rng = ssde_rng_seed(1);
                long before = memory.made;
                CHECK(before == 1 && memory.bytes == ssde_mixture_memory(which == 0   ? 2
                                                                         : which == 1 ? 1
                                                                                      : 8,
                                                                         which == 1 ? 5 : 2));
                float x[5] = {0, 0, 0, 0, 0}, out[5];
                double t = 0.5;
                CHECK_OK(model.score(model.user, x, &t, NULL, 1, 1, out));
                CHECK_OK(model.vjp(model.user, x, 1, out));
                CHECK_OK(ssde_mixture_sample(mixture, &rng, 1, out, NULL));
                CHECK(memory.made == before);
                ssde_mixture_destroy(mixture);
                CHECK(memory.live == 0 && n > 0);
                break;
            }
            CHECK(status == SSDE_ERROR_MEMORY && mixture == NULL && memory.live == 0);
        }
        CHECK(n < 100);
    }
    CHECK(!ssde_mixture_memory(0, 2) && !ssde_mixture_memory(2, 0) && !ssde_mixture_memory(SIZE_MAX / 8, 16));
}

#define TEST_CORE_SDE_LIST(X)    \
    X(sde_golden)                \
    X(sde_small_t)               \
    X(sde_consistent)            \
    X(sde_affine_is_vp)          \
    X(sde_rectified_flow)        \
    X(sde_affine_hard)           \
    X(sde_affine_stack)          \
    X(sde_affine_errors)         \
    X(sde_discrete)              \
    X(sde_discrete_index)        \
    X(sde_rows)                  \
    X(sde_prior)                 \
    X(sde_bad_input)             \
    X(sde_extremes)              \
    X(sde_no_signal)             \
    X(sde_texts)                 \
    X(loss_formulas)             \
    X(loss_gradient)             \
    X(loss_exact_score)          \
    X(loss_implicit)             \
    X(loss_implicit_mean)        \
    X(loss_implicit_ends)        \
    X(loss_times)                \
    X(loss_importance)           \
    X(loss_convert)              \
    X(loss_output_ends)          \
    X(loss_names)                \
    X(math_normal_quantile)      \
    X(loss_time_densities)       \
    X(loss_stratified)           \
    X(loss_bad_input)            \
    X(loss_importance_eps)       \
    X(mixture_golden)            \
    X(mixture_ring)              \
    X(mixture_score_is_gradient) \
    X(mixture_vjp)               \
    X(mixture_vjp_shapes)        \
    X(mixture_vjp_kept)          \
    X(mixture_far)               \
    X(mixture_rows_alone)        \
    X(mixture_plane_rule)        \
    X(mixture_point_masses)      \
    X(mixture_many_dimensions)   \
    X(mixture_sample)            \
    X(mixture_bad_input)         \
    X(mixture_allocation)

#endif
