/* SDEs that are not affine: simulated, sampled, priced, learned. */
#ifndef TEST_NONLINEAR_H
#define TEST_NONLINEAR_H

#include "check.h"
#include "fixtures_core.h"
#include "fixtures_solvers.h"

/* ---- a double well, by the Fokker-Planck equation ----
   dx = -U'(x) dt + dw, U = a (x^2 - 1)^2, from a mixture of two Gaussians. p(x, t) on cells by finite volumes: fluxes
   of Scharfetter and Gummel, exact for each constant drift between two cells, Runge and Kutta's method in t. */

enum { WELL_CELLS = 300, WELL_FRAMES = 1000, WELL_SUBSTEPS = 10 };
static const double well_depth = 0.5, well_end = 3.0;             /* a; cells cover [-3, 3] */
static const double well_width = 6.0 / 300.0, well_rate = 1000.0; /* of a cell; frames in a unit of t */
static const double well_weight[2] = {0.7, 0.3}, well_mean[2] = {-0.5, 0.8}, well_std[2] = {0.4, 0.3};

typedef struct well {
    double *density; /* [frames + 1, cells], at t = k / frames */
    double *score;   /* likewise, of the logarithm */
} well;

static double well_force(double x) { return -4.0 * well_depth * x * (x * x - 1.0); }
static double well_center(int i) { return -well_end + (i + 0.5) * well_width; }
static double well_bernoulli(double z) { return fabs(z) < 1e-8 ? 1.0 - 0.5 * z : z / (exp(z) - 1.0); }

/* dp/dt; left and right are the fluxes' factors on the cells of every inner edge. */
static void well_slope(const double *left, const double *right, const double *p, double *out) {
    double width = well_width, before = 0.0;
    int i;
    for (i = 0; i < WELL_CELLS; i++) {
        double after = i + 1 < WELL_CELLS ? left[i] * p[i] - right[i] * p[i + 1] : 0.0;
        out[i] = (before - after) / width;
        before = after;
    }
}

static void well_step(const double *left, const double *right, double h, double *p) {
    double k[4][WELL_CELLS], at[WELL_CELLS];
    int s, i;
    for (s = 0; s < 4; s++) {
        for (i = 0; i < WELL_CELLS; i++) at[i] = p[i] + (s ? (s == 3 ? h : 0.5 * h) * k[s - 1][i] : 0.0);
        well_slope(left, right, at, k[s]);
    }
    for (i = 0; i < WELL_CELLS; i++) p[i] += h / 6.0 * (k[0][i] + 2.0 * k[1][i] + 2.0 * k[2][i] + k[3][i]);
}

/* Solved once. */
static const well *well_get(void) {
    static well w;
    double width = well_width, left[WELL_CELLS], right[WELL_CELLS], p[WELL_CELLS], total = 0.0;
    int i, k, s;
    if (w.density) return &w;
    w.density = (double *)malloc(sizeof p * (WELL_FRAMES + 1));
    w.score = (double *)malloc(sizeof p * (WELL_FRAMES + 1));
    for (i = 0; i < WELL_CELLS; i++) {
        double peclet = well_force(well_center(i) + 0.5 * width) * width / 0.5;
        left[i] = 0.5 / width * well_bernoulli(-peclet);
        right[i] = 0.5 / width * well_bernoulli(peclet);
        for (p[i] = 0.0, k = 0; k < 2; k++) {
            double z = (well_center(i) - well_mean[k]) / well_std[k];
            p[i] += well_weight[k] * exp(-0.5 * z * z) / (well_std[k] * sqrt(2.0 * 3.14159265358979323846));
        }
    }
    for (k = 0; k <= WELL_FRAMES; k++) {
        double *density = w.density + k * WELL_CELLS, *score = w.score + k * WELL_CELLS;
        for (s = 0; k && s < WELL_SUBSTEPS; s++) well_step(left, right, 1.0 / (well_rate * (double)WELL_SUBSTEPS), p);
        memcpy(density, p, sizeof p);
        for (i = 2; i + 2 < WELL_CELLS; i++)
            score[i] = (8.0 * log(p[i + 1] / p[i - 1]) - log(p[i + 2] / p[i - 2])) / (12.0 * width);
        score[0] = score[1] = score[2], score[WELL_CELLS - 2] = score[WELL_CELLS - 1] = score[WELL_CELLS - 3];
    }
    for (i = 0; i < WELL_CELLS; i++) total += width * p[i];
    CHECK_NEAR(total, 1.0, 1e-9); /* nothing is lost */
    return &w;
}

/* The cubic through four cells of `values` around x, linear in t; and its derivative. */
static double well_interpolate(const double *values, double x, double t, double *slope) {
    double width = well_width, place = (x + well_end) / width - 0.5, frame = t * well_rate, u, v;
    int i = (int)fmin(fmax(floor(place), 1.0), (double)WELL_CELLS - 3.0), k = (int)fmin(floor(frame), well_rate - 1.0),
        j;
    double weight[4], change[4], sum = 0.0;
    u = fmin(fmax(place - i, -1.0), 2.0), v = frame - k;
    weight[0] = -u * (u - 1.0) * (u - 2.0) / 6.0, change[0] = -(3.0 * u * u - 6.0 * u + 2.0) / 6.0;
    weight[1] = (u + 1.0) * (u - 1.0) * (u - 2.0) / 2.0, change[1] = (3.0 * u * u - 4.0 * u - 1.0) / 2.0;
    weight[2] = -(u + 1.0) * u * (u - 2.0) / 2.0, change[2] = -(3.0 * u * u - 2.0 * u - 2.0) / 2.0;
    weight[3] = (u + 1.0) * u * (u - 1.0) / 6.0, change[3] = (3.0 * u * u - 1.0) / 6.0;
    *slope = 0.0;
    for (j = 0; j < 4; j++) {
        const double *at = values + k * WELL_CELLS + i - 1 + j;
        double value = (1.0 - v) * at[0] + v * at[WELL_CELLS];
        sum += weight[j] * value;
        *slope += change[j] * value / width;
    }
    return sum;
}

static double well_log_density(double x, double t) {
    double slope;
    return log(fmax(well_interpolate(well_get()->density, x, t, &slope), 1e-300));
}

/* The score and its derivative as a model, of what was asked last. */
typedef struct well_model {
    const float *x;
    const double *t;
} well_model;

static ssde_status well_score(void *user, const float *x, const double *t, const uint64_t *sample, size_t rows,
                              int differentiate, float *out) {
    well_model *m = (well_model *)user;
    double slope;
    size_t r;
    (void)sample, (void)differentiate;
    m->x = x, m->t = t;
    for (r = 0; r < rows; r++) out[r] = (float)well_interpolate(well_get()->score, (double)x[r], t[r], &slope);
    return SSDE_OK;
}

static ssde_status well_vjp(void *user, const float *v, size_t rows, float *out) {
    well_model *m = (well_model *)user;
    double slope;
    size_t r;
    for (r = 0; r < rows; r++) {
        well_interpolate(well_get()->score, (double)m->x[r], m->t[r], &slope);
        out[r] = (float)(slope * (double)v[r]);
    }
    return SSDE_OK;
}

static ssde_status well_drift(void *user, const float *x, const double *t, size_t rows, size_t dim, float *out) {
    size_t i;
    (void)user, (void)t;
    for (i = 0; i < rows * dim; i++) out[i] = (float)well_force((double)x[i]);
    return SSDE_OK;
}

static ssde_status well_drift_vjp(void *user, const float *x, const double *t, const float *v, size_t rows, size_t dim,
                                  float *out) {
    size_t i;
    (void)user, (void)t;
    for (i = 0; i < rows * dim; i++) {
        double at = (double)x[i];
        out[i] = (float)(-4.0 * well_depth * (3.0 * at * at - 1.0) * (double)v[i]);
    }
    return SSDE_OK;
}

static double well_noise(void *user, double t) {
    (void)user, (void)t;
    return 1.0;
}

/* The distribution function at t: of cells, linear within each. */
static double well_distribution(double x, double t) {
    const double *p = well_get()->density + (int)(t * well_rate + 0.5) * WELL_CELLS;
    double width = well_width, sum = 0.0, place = (x + well_end) / width;
    int i;
    for (i = 0; i < WELL_CELLS && i + 1 <= place; i++) sum += width * p[i];
    return i < WELL_CELLS && place > i ? sum + (place - i) * width * p[i] : sum;
}

/* The prior: the cells at t = 1, by the inverse of that function. */
static ssde_status well_prior_sample(void *user, uint64_t seed, const uint64_t *sample, size_t rows, size_t dim,
                                     float *out) {
    size_t r;
    (void)user, (void)dim;
    for (r = 0; r < rows; r++) {
        double u = ssde_random_double(seed, SSDE_STREAM_PRIOR, 0, sample[r], 0), low = -well_end, high = well_end;
        while (high - low > 1e-9) {
            double middle = 0.5 * (low + high);
            if (well_distribution(middle, 1.0) < u)
                low = middle;
            else
                high = middle;
        }
        out[r] = (float)low;
    }
    return SSDE_OK;
}

static ssde_status well_prior_log_density(void *user, const float *x, size_t rows, size_t dim, double *out) {
    size_t r;
    (void)user, (void)dim;
    for (r = 0; r < rows; r++) out[r] = well_log_density((double)x[r], 1.0);
    return SSDE_OK;
}

static ssde_sde well_sde(void) {
    ssde_sde sde = ssde_nonlinear(well_drift, well_noise, NULL);
    sde.drift_vjp = well_drift_vjp;
    sde.prior_sample = well_prior_sample;
    sde.prior_log_density = well_prior_log_density;
    return sde;
}

static ssde_score_model well_score_model(well_model *m) {
    ssde_score_model model;
    memset(&model, 0, sizeof model);
    model.dim = 1;
    model.score = well_score;
    model.vjp = well_vjp;
    model.user = m;
    return model;
}

/* Draws of p(x, 0). */
static void well_start(uint64_t seed, size_t n, float *x) {
    size_t r;
    CHECK_OK(ssde_random_normal(NULL, seed, SSDE_STREAM_USER, 0, NULL, n, 1, x));
    for (r = 0; r < n; r++) {
        int k = ssde_random_double(seed, SSDE_STREAM_USER, 1, r, 0) >= well_weight[0];
        x[r] = (float)(well_mean[k] + well_std[k] * (double)x[r]);
    }
}

static int well_order(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Kolmogorov's distance of x[n], which is sorted, from the grid at t, times sqrt(n): above 1.95 once in a thousand. */
static double well_distance(float *x, size_t n, double t) {
    double worst = 0.0;
    size_t r;
    qsort(x, n, sizeof *x, well_order);
    for (r = 0; r < n; r++) {
        double at = well_distribution((double)x[r], t) * (double)n;
        worst = fmax(worst, fmax(fabs(at - (double)r), fabs(at - (double)(r + 1))));
    }
    return worst / sqrt((double)n);
}

/* ---- simulation ---- */

/* Both schemes end where the Fokker-Planck equation says. */
static void test_simulation_double_well(void) {
    size_t n = check_quick ? 4000 : 40000, r;
    float *x = (float *)malloc(n * sizeof *x);
    double *t = (double *)malloc(n * sizeof *t);
    int scheme, late;
    for (scheme = 0; scheme < SSDE_SCHEME_COUNT; scheme++) {
        for (late = 0; late < 2; late++) {
            ssde_sde sde = well_sde();
            ssde_simulation_desc how = ssde_simulation_defaults();
            how.scheme = (ssde_scheme)scheme;
            how.steps = scheme ? 50 : 200;
            for (r = 0; r < n; r++) t[r] = 0.3;
            well_start(11, n, x);
            CHECK_OK(ssde_simulate(&sde, &how, 5, NULL, late ? NULL : t, n, 1, x));
            CHECK(well_distance(x, n, late ? 1.0 : 0.3) < 2.0);
            CHECK(well_distance(x, n, 0.0) > 4.0); /* they have moved */
        }
    }
    free(x), free(t);
}

/* An affine SDE's marginal; each row to a time of its own. */
static void test_simulation_marginals(void) {
    size_t n = check_quick ? 2000 : 8000, r;
    float *x = (float *)malloc(2 * n * sizeof *x);
    double *t = (double *)malloc(n * sizeof *t);
    int which, scheme;
    for (which = 0; which < 3; which++) {
        for (scheme = 0; scheme < SSDE_SCHEME_COUNT; scheme++) {
            ssde_sde sde = which ? solver_sde(which) : ssde_ve(0.01, 2.0);
            ssde_simulation_desc how = ssde_simulation_defaults();
            ssde_coefficients from, to;
            double mean[2] = {0.0, 0.0}, square[2] = {0.0, 0.0}, half = (double)(n / 2);
            how.scheme = (ssde_scheme)scheme;
            how.steps = 300;
            how.t0 = 0.1;
            CHECK_OK(ssde_coefficients_at(NULL, &sde, how.t0, &from));
            for (r = 0; r < n; r++) t[r] = r % 2 ? 0.25 : 0.6, x[2 * r] = 1.0f, x[2 * r + 1] = -2.0f;
            CHECK_OK(ssde_simulate(&sde, &how, 7, NULL, t, n, 2, x));
            for (r = 0; r < 2; r++) {
                size_t i;
                double expected, variance;
                for (i = r; i < n; i += 2) mean[r] += (double)x[2 * i + 1] / half;
                for (i = r; i < n; i += 2)
                    square[r] += ((double)x[2 * i + 1] - mean[r]) * ((double)x[2 * i + 1] - mean[r]) / half;
                CHECK_OK(ssde_coefficients_at(NULL, &sde, t[r], &to));
                expected = -2.0 * to.mean / from.mean;
                variance = to.std * to.std - to.mean * to.mean / (from.mean * from.mean) * from.std * from.std;
                CHECK_NEAR(mean[r], expected, 4.0 * sqrt(variance / half) + 0.005 * fabs(expected));
                CHECK_RELATIVE(square[r], variance, 4.0 * sqrt(2.0 / half) + 0.01);
            }
        }
    }
    free(x), free(t);
}

/* A row is the same in any company, its draws those of its sample; blocks of rows are invisible. */
static void test_simulation_rows(void) {
    enum { ROWS = 150, DIM = 3 };
    float all[ROWS * DIM], some[70 * DIM], late[ROWS * DIM];
    double t[ROWS], times[70];
    uint64_t sample[70];
    ssde_context context;
    int tier = 0, scheme;
    while (core_next_tier(&tier, &context)) {
        for (scheme = 0; scheme < SSDE_SCHEME_COUNT; scheme++) {
            ssde_sde sde = well_sde();
            ssde_simulation_desc how = ssde_simulation_defaults();
            size_t r, i;
            how.scheme = (ssde_scheme)scheme;
            how.context = &context;
            how.steps = 7;
            for (r = 0; r < ROWS; r++) t[r] = (double)(r % 11) / 10.0;
            for (i = 0; i < ROWS * DIM; i++) late[i] = all[i] = 0.01f * (float)(i % 90);
            for (r = 0; r < 70; r++) {
                sample[r] = (r * 37) % ROWS;
                times[r] = t[sample[r]];
                memcpy(some + r * DIM, all + sample[r] * DIM, DIM * sizeof *some);
            }
            CHECK_OK(ssde_simulate(&sde, &how, 3, NULL, t, ROWS, DIM, all));
            CHECK_OK(ssde_simulate(&sde, &how, 3, sample, times, 70, DIM, some));
            for (r = 0; r < 70; r++) CHECK_SAME(some + r * DIM, all + sample[r] * DIM, DIM * sizeof *some);
            for (i = 0; i < DIM; i++) CHECK(all[i] == 0.01f * (float)i); /* row 0 has not moved */
            how.first_draw = 7;
            CHECK_OK(ssde_simulate(&sde, &how, 3, NULL, t, ROWS, DIM, late));
            CHECK(memcmp(late + DIM, all + DIM, (ROWS - 1) * DIM * sizeof *all) != 0);
        }
    }
}

/* Increments of one Brownian path: draw k of `steps` is the sum of its share of the finest ones, scaled. */
typedef struct well_path {
    uint32_t finest, steps;
} well_path;
static ssde_status well_path_fill(void *user, int stream, uint32_t step, const uint64_t *sample, size_t rows,
                                  size_t dim, float *out) {
    const well_path *path = (const well_path *)user;
    uint32_t each = path->finest / path->steps, j;
    size_t r;
    (void)dim;
    for (r = 0; r < rows; r++) {
        double sum = 0.0;
        for (j = step * each; j < (step + 1) * each; j++) {
            float z;
            ssdei_try(ssde_random_normal(NULL, 1, stream, j, sample + r, 1, 1, &z));
            sum += (double)z;
        }
        out[r] = (float)(sum / sqrt((double)each));
    }
    return SSDE_OK;
}

/* Strong order 1 of both schemes, Heun's error the smaller. */
static void test_simulation_order(void) {
    enum { ROWS = 200, FINEST = 1024 };
    float exact[ROWS], x[ROWS];
    double error[SSDE_SCHEME_COUNT][3];
    ssde_sde sde = well_sde();
    int scheme, k;
    size_t r;
    for (scheme = -1; scheme < SSDE_SCHEME_COUNT; scheme++) {
        for (k = 0; k < (scheme < 0 ? 1 : 3); k++) {
            well_path path = {FINEST, FINEST};
            ssde_simulation_desc how = ssde_simulation_defaults();
            how.scheme = scheme < 0 ? SSDE_SCHEME_HEUN : (ssde_scheme)scheme;
            if (scheme >= 0) path.steps = (uint32_t)16 << k;
            how.steps = path.steps;
            how.noise.fill = well_path_fill, how.noise.user = &path;
            well_start(3, ROWS, x);
            CHECK_OK(ssde_simulate(&sde, &how, 1, NULL, NULL, ROWS, 1, x));
            if (scheme < 0) {
                memcpy(exact, x, sizeof x);
                continue;
            }
            for (error[scheme][k] = 0.0, r = 0; r < ROWS; r++)
                error[scheme][k] += fabs((double)x[r] - (double)exact[r]) / (double)ROWS;
        }
    }
    for (scheme = 0; scheme < SSDE_SCHEME_COUNT; scheme++) {
        CHECK(error[scheme][0] / error[scheme][2] > 3.0); /* 4 by order 1, 2 by one half */
        CHECK(error[scheme][0] < 0.2);
    }
    for (k = 0; k < 3; k++) CHECK(error[1][k] < 0.75 * error[0][k]);
}

/* ---- what goes wrong ---- */

static ssde_status broken_cubic(void *user, const float *x, const double *t, size_t rows, size_t dim, float *out) {
    size_t i;
    (void)user, (void)t;
    for (i = 0; i < rows * dim; i++) out[i] = x[i] * x[i] * x[i];
    return SSDE_OK;
}
/* NaN for a row that lies beyond 100; a status where user says so. */
static ssde_status broken_drift(void *user, const float *x, const double *t, size_t rows, size_t dim, float *out) {
    size_t i;
    (void)t;
    if (user && *(int *)user) return SSDE_ERROR_FILE;
    for (i = 0; i < rows * dim; i++) out[i] = x[i] > 100.0f ? (float)NAN : -x[i];
    return SSDE_OK;
}
static double broken_noise(void *user, double t) {
    (void)user;
    return 0.5 - t;
}
static double broken_noise_everywhere(void *user, double t) {
    (void)user, (void)t;
    return -1.0;
}

static void test_simulation_explodes(void) {
    ssde_context context = ssde_context_defaults();
    ssde_simulation_desc how = ssde_simulation_defaults();
    ssde_sde cubic = ssde_nonlinear(broken_cubic, well_noise, NULL);
    ssde_sde nan = ssde_nonlinear(broken_drift, well_noise, NULL);
    int scheme, fails = 1;
    how.context = &context;
    for (scheme = 0; scheme < SSDE_SCHEME_COUNT; scheme++) {
        float x[160];
        size_t i;
        how.scheme = (ssde_scheme)scheme;
        how.steps = 100;
        for (i = 0; i < 160; i++) x[i] = 0.0f;
        x[2 * 77 + 1] = 30.0f;
        how.t0 = 0.9; /* the others do not get far in 0.1 */
        CHECK_FAILS(&context, ssde_simulate(&cubic, &how, 1, NULL, NULL, 80, 2, x), SSDE_ERROR_NUMERIC,
                    "row 77, element 1");
        CHECK(strstr(context.error, "step ") && strstr(context.error, "t = 0.9"));
        for (i = 0; i < 160; i++) x[i] = i == 5 ? 200.0f : 0.0f;
        CHECK_FAILS(&context, ssde_simulate(&nan, &how, 1, NULL, NULL, 80, 2, x), SSDE_ERROR_NUMERIC,
                    "nan after step 1 of 100, at t = 0.901, its drift");
    }
    {
        float x[2] = {0.0f, 0.0f};
        ssde_sde negative = ssde_nonlinear(broken_drift, broken_noise, NULL);
        how.t0 = 0.0;
        negative.user = &fails;
        CHECK_FAILS(&context, ssde_simulate(&negative, &how, 1, NULL, NULL, 1, 2, x), SSDE_ERROR_FILE,
                    "sde->drift returned");
        fails = 0;
        CHECK_FAILS(&context, ssde_simulate(&negative, &how, 1, NULL, NULL, 1, 2, x), SSDE_ERROR_NUMERIC,
                    "g is -0.01 at t = 0.51");
        x[1] = (float)NAN;
        CHECK_FAILS(&context, ssde_simulate(&nan, &how, 1, NULL, NULL, 1, 2, x), SSDE_ERROR_NUMERIC, "element 1 of x");
    }
}

/* What needs m(t) and std(t) says that there are none; so does what needs a prior. */
static void test_sde_nonlinear_refused(void) {
    ssde_context context = ssde_context_defaults(), *c = &context;
    ssde_sde sde = ssde_nonlinear(broken_drift, well_noise, NULL), bad = sde;
    ssde_coefficients at;
    ssde_step step;
    ssde_mixture *mixture = NULL;
    ssde_loss_desc loss = ssde_loss_defaults();
    float x[2] = {0.5f, -1.0f}, z[2] = {0.1f, 0.2f}, y[2];
    double t[2] = {0.5, 0.5}, times[4], number, scale;
    loss.context = c;
    bad.drift = NULL;
    CHECK_FAILS(c, ssde_sde_check(c, &bad), SSDE_ERROR_ARGUMENT, "drift is NULL");
    bad = sde, bad.g = NULL;
    CHECK_FAILS(c, ssde_sde_check(c, &bad), SSDE_ERROR_ARGUMENT, "g is NULL");
    bad = sde, bad.g = broken_noise_everywhere;
    CHECK_FAILS(c, ssde_sde_check(c, &bad), SSDE_ERROR_NUMERIC, "g is -1 at t = 0.5");
    CHECK_OK(ssde_sde_check(c, &sde));
    CHECK_FAILS(c, ssde_coefficients_at(c, &sde, 0.5, &at), SSDE_ERROR_UNSUPPORTED, "nonlinear");
    CHECK_FAILS(c, ssde_perturb(c, &sde, x, z, t, 1, 2, y), SSDE_ERROR_UNSUPPORTED, "ssde_simulate");
    CHECK_FAILS(c, ssde_discretise(c, &sde, SSDE_DISCRETISE_EULER, 0.5, &step), SSDE_ERROR_UNSUPPORTED, "nonlinear");
    CHECK_FAILS(c, ssde_discretise(c, &sde, SSDE_DISCRETISE_OWN, 0.5, &step), SSDE_ERROR_UNSUPPORTED, "nonlinear");
    CHECK_FAILS(c, ssde_discrete_marginal(c, &sde, 0, &number, &scale, NULL), SSDE_ERROR_UNSUPPORTED, "nonlinear");
    CHECK_FAILS(c, ssde_loss_perturb(&sde, &loss, x, z, t, 1, 2, y), SSDE_ERROR_UNSUPPORTED, "'std2'");
    loss.weighting = SSDE_WEIGHT_LIKELIHOOD;
    CHECK_FAILS(c, ssde_loss_perturb(&sde, &loss, x, z, t, 1, 2, y), SSDE_ERROR_UNSUPPORTED, "nonlinear");
    CHECK_FAILS(c, ssde_loss(&sde, &loss, y, x, z, t, NULL, 1, 2, 1.0, &number, NULL), SSDE_ERROR_UNSUPPORTED,
                "nonlinear");
    CHECK_FAILS(c, ssde_loss_marginal(&sde, &loss, 0.5, &number, &scale), SSDE_ERROR_UNSUPPORTED, "nonlinear");
    CHECK_FAILS(c, ssde_convert_output(c, &sde, SSDE_PREDICT_SCORE, SSDE_PREDICT_NOISE, 0.5, x, t, z, 1, 2, y),
                SSDE_ERROR_UNSUPPORTED, "nonlinear");
    CHECK_OK(ssde_loss_implicit(&sde, &loss, x, z, x, x, t, NULL, 1, 2, 1.0, &number, NULL, NULL));
    CHECK_NEAR(number, 0.5 * (1.25 + 2.0 * (0.05 - 0.2)), 1e-7); /* g = 1: (|s|^2 + 2 v^T J v) / 2 */
    CHECK_FAILS(c, ssde_noise_time(c, &sde, 1.0, &number), SSDE_ERROR_UNSUPPORTED, "nonlinear");
    CHECK_FAILS(c, ssde_sde_time_grid(c, &sde, SSDE_GRID_KARRAS, 7.0, 1e-3, 3, times), SSDE_ERROR_UNSUPPORTED,
                "nonlinear");
    CHECK_OK(ssde_sde_time_grid(c, &sde, SSDE_GRID_UNIFORM, 7.0, 1e-3, 3, times));
    CHECK(times[0] == 1.0 && times[3] == 1e-3);
    CHECK_OK(ssde_prior_time(c, &sde, &number, &scale));
    CHECK(number == 1.0 && scale == 1.0);
    CHECK_OK(ssde_gaussian_create(c, &mixture, 2, 0.0, 1.0));
    {
        const double point[2] = {0.0, 0.0};
        ssde_score_model model = ssde_mixture_model(mixture, &sde);
        uint64_t sample = 0;
        CHECK_FAILS(c, ssde_mixture_evaluate(mixture, &sde, point, t, 1, &number, NULL), SSDE_ERROR_UNSUPPORTED,
                    "nonlinear");
        CHECK_STATUS(model.score(model.user, x, t, &sample, 1, 0, y), SSDE_ERROR_UNSUPPORTED);
    }
    ssde_mixture_destroy(mixture);
    /* priors */
    CHECK_FAILS(c, ssde_prior_std(c, &sde, &number), SSDE_ERROR_UNSUPPORTED, "given_start");
    CHECK_FAILS(c, ssde_prior_sample(c, &sde, 1, NULL, 1, 2, y), SSDE_ERROR_UNSUPPORTED, "given_start");
    CHECK_FAILS(c, ssde_prior_log_density(c, &sde, x, 1, 2, &number), SSDE_ERROR_UNSUPPORTED, "given_start");
    bad = sde, bad.prior_sample = well_prior_sample;
    CHECK_FAILS(c, ssde_prior_std(c, &bad, &number), SSDE_ERROR_UNSUPPORTED, "prior_sample's");
    CHECK_FAILS(c, ssde_prior_log_density(c, &bad, x, 1, 2, &number), SSDE_ERROR_UNSUPPORTED,
                "prior_log_density is NULL");
    bad = sde, bad.prior_log_density = well_prior_log_density;
    CHECK_FAILS(c, ssde_prior_sample(c, &bad, 1, NULL, 1, 2, y), SSDE_ERROR_UNSUPPORTED, "prior_sample is NULL");
    sde.prior_std = 2.0;
    CHECK_OK(ssde_prior_std(c, &sde, &number));
    CHECK(number == 2.0);
    CHECK_OK(ssde_prior_log_density(c, &sde, x, 1, 2, &number));
    CHECK_NEAR(number, -2.0 * log(2.0 * sqrt(2.0 * 3.14159265358979323846)) - 1.25 / 8.0, 1e-12);
}

/* f - g^2 s, and half of it for the flow; out in any place. */
static void test_sde_nonlinear_reverse(void) {
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = well_sde();
    float x[3] = {0.5f, -1.5f, 0.25f}, score[3] = {1.0f, -2.0f, 0.5f}, out[3], place[3];
    double t[3] = {0.2, 0.2, 0.9};
    int flow, failing = 1;
    size_t i;
    for (flow = 0; flow < 2; flow++) {
        CHECK_OK(ssde_reverse_drift(&context, &sde, x, score, t, 3, 1, flow, out));
        for (i = 0; i < 3; i++)
            CHECK_NEAR(out[i], well_force((double)x[i]) - (flow ? 0.5 : 1.0) * (double)score[i], 1e-6);
        memcpy(place, x, sizeof x);
        CHECK_OK(ssde_reverse_drift(&context, &sde, place, score, t, 3, 1, flow, place));
        CHECK_SAME(place, out, sizeof out);
        memcpy(place, score, sizeof score);
        CHECK_OK(ssde_reverse_drift(&context, &sde, x, place, t, 3, 1, flow, place));
        CHECK_SAME(place, out, sizeof out);
    }
    t[1] = 1.5;
    CHECK_FAILS(&context, ssde_reverse_drift(&context, &sde, x, score, t, 3, 1, 0, out), SSDE_ERROR_ARGUMENT, "t[1]");
    sde = ssde_nonlinear(broken_drift, well_noise, &failing);
    t[1] = 0.5;
    CHECK_FAILS(&context, ssde_reverse_drift(&context, &sde, x, score, t, 3, 1, 0, out), SSDE_ERROR_FILE,
                "sde->drift returned");
}

/* ---- an affine SDE given as a nonlinear one ---- */

typedef struct guise {
    ssde_sde sde; /* affine */
} guise;

static double guise_ou_drift(void *user, double t) {
    (void)user, (void)t;
    return -1.5;
}
static double guise_ou_noise(void *user, double t) {
    (void)user;
    return 1.0 + t;
}
static ssde_status guise_drift(void *user, const float *x, const double *t, size_t rows, size_t dim, float *out) {
    const guise *g = (const guise *)user;
    size_t r, i;
    for (r = 0; r < rows; r++) {
        ssde_coefficients c;
        ssdei_try(ssde_coefficients_at(NULL, &g->sde, t[r], &c));
        for (i = r * dim; i < (r + 1) * dim; i++) out[i] = (float)(c.drift * (double)x[i]);
    }
    return SSDE_OK;
}
static ssde_status guise_vjp(void *user, const float *x, const double *t, const float *v, size_t rows, size_t dim,
                             float *out) {
    (void)x;
    return guise_drift(user, v, t, rows, dim, out);
}
static double guise_noise(void *user, double t) {
    ssde_coefficients c;
    return ssde_coefficients_at(NULL, &((const guise *)user)->sde, t, &c) == SSDE_OK ? c.diffusion : (double)NAN;
}

/* VE, VP and an Ornstein-Uhlenbeck process, each with its other face. */
static ssde_sde guise_make(guise *g, int which) {
    ssde_sde sde;
    g->sde = which == 0   ? ssde_ve(0.05, 5.0)
             : which == 1 ? ssde_vp(0.1, 20.0)
                          : ssde_affine(guise_ou_drift, guise_ou_noise, NULL);
    sde = ssde_nonlinear(guise_drift, guise_noise, g);
    sde.drift_vjp = guise_vjp;
    CHECK_OK(ssde_prior_std(NULL, &g->sde, &sde.prior_std));
    return sde;
}

/* A pull towards (1, 1). */
static ssde_status guise_pull(void *user, const float *x, const double *t, const uint64_t *sample, size_t rows,
                              float *gradient) {
    size_t i;
    (void)user, (void)t, (void)sample;
    for (i = 0; i < 2 * rows; i++) gradient[i] = 0.3f * (1.0f - x[i]);
    return SSDE_OK;
}

/* The same samples by every predictor that knows both; the same path, the same guidance. */
static void test_sampler_nonlinear_affine(void) {
    enum { N = 40, WAYS = 10 };
    static const ssde_predictor predictors[WAYS] = {
        SSDE_PREDICTOR_EULER_MARUYAMA,  SSDE_PREDICTOR_REVERSE_DIFFUSION, SSDE_PREDICTOR_STOCHASTIC_HEUN,
        SSDE_PREDICTOR_ADAPTIVE,        SSDE_PREDICTOR_EULER_MARUYAMA,    SSDE_PREDICTOR_REVERSE_DIFFUSION,
        SSDE_PREDICTOR_STOCHASTIC_HEUN, SSDE_PREDICTOR_EULER_MARUYAMA,    SSDE_PREDICTOR_NONE,
        SSDE_PREDICTOR_ADAPTIVE};
    solver_mixture plane = solver_plane();
    int which, way;
    for (which = 0; which < 3; which++) {
        for (way = 0; way < WAYS; way++) {
            guise g;
            ssde_sde sde = guise_make(&g, which);
            ssde_score_model model;
            ssde_mixture *mixture = solver_mixture_model(&plane, &g.sde, &model);
            ssde_sampler_desc how = samplers_desc(predictors[way], 60, 1e-2);
            ssde_rng first = ssde_rng_seed(5), second = first;
            float x[2 * N], y[2 * N];
            how.discretisation = SSDE_DISCRETISE_EULER;
            how.probability_flow = way >= 4 && way < 7;
            how.brownian = way == 7;
            how.skip_denoise = 1;
            /* with noise, a step that rounding makes longer has another W at its end: here all go from stop to stop */
            if (way == 3) how.rtol = 1e3;
            if (way == 9) how.steps = 3, how.rtol = 0.01;
            if (way == 8) how.corrector = SSDE_CORRECTOR_LANGEVIN_BATCH, how.steps = 5;
            if (way >= 7) how.condition = ssde_guide(guise_pull, NULL, 1.0);
            if (way == 9) how.probability_flow = 1;
            if (way == 8 && which == 1)
                how.predictor = SSDE_PREDICTOR_EULER_MARUYAMA, how.corrector = SSDE_CORRECTOR_NONE;
            model.max_rows = way % 2 ? 7 : 0;
            CHECK_OK(ssde_sample(&g.sde, &model, &how, &first, N, x));
            CHECK_OK(ssde_sample(&sde, &model, &how, &second, N, y));
            CHECK_ARRAY(y, x, 2 * N, 2e-5);
            ssde_mixture_destroy(mixture);
        }
    }
}

/* A step of Euler's to 0 is Tweedie's formula near 0. */
static void test_sampler_nonlinear_denoises(void) {
    enum { N = 30 };
    solver_mixture plane = solver_plane();
    int which, flow;
    for (which = 1; which < 3; which++) {
        for (flow = 0; flow < 2; flow++) {
            guise g;
            ssde_sde sde = guise_make(&g, which);
            ssde_score_model model;
            ssde_mixture *mixture = solver_mixture_model(&plane, &g.sde, &model);
            ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_EULER_MARUYAMA, 200, 1e-3);
            ssde_flow_desc ode = ssde_flow_defaults();
            ssde_rng first = ssde_rng_seed(5), second = first, third = first;
            float x[2 * N], y[2 * N], noisy[2 * N];
            how.probability_flow = flow;
            CHECK_OK(ssde_sample(&g.sde, &model, &how, &first, N, x));
            CHECK_OK(ssde_sample(&sde, &model, &how, &second, N, y));
            how.skip_denoise = 1;
            CHECK_OK(ssde_sample(&sde, &model, &how, &third, N, noisy));
            CHECK_ARRAY(y, x, 2 * N, which == 1 ? 1e-4 : 5e-4);
            CHECK(check_distance(noisy, x, 2 * N) > 5.0 * check_distance(y, x, 2 * N));
            ode.denoise = 1;
            first = second = ssde_rng_seed(5);
            CHECK_OK(ssde_sample_ode(&g.sde, &model, &ode, &first, N, x, NULL));
            CHECK_OK(ssde_sample_ode(&sde, &model, &ode, &second, N, y, NULL));
            CHECK_ARRAY(y, x, 2 * N, 5e-4);
            ode.denoise = 0;
            third = ssde_rng_seed(5);
            CHECK_OK(ssde_sample_ode(&sde, &model, &ode, &third, N, noisy, NULL));
            CHECK(check_distance(noisy, x, 2 * N) > 5.0 * check_distance(y, x, 2 * N));
            ssde_mixture_destroy(mixture);
        }
    }
}

static ssde_status well_no_pull(void *user, const float *x, const double *t, const uint64_t *sample, size_t rows,
                                float *gradient) {
    (void)user, (void)x, (void)t, (void)sample;
    memset(gradient, 0, rows * sizeof *gradient);
    return SSDE_OK;
}

/* What a sampler cannot do there is said before anything is evaluated. */
static void test_sampler_nonlinear_refused(void) {
    ssde_context context = ssde_context_defaults(), *c = &context;
    ssde_sde sde = well_sde(), bare = ssde_nonlinear(well_drift, well_noise, NULL);
    well_model m;
    solver_model wrapper;
    ssde_score_model model = solver_wrap(&wrapper, well_score_model(&m));
    ssde_sampler_desc how;
    ssde_flow_desc flow = ssde_flow_defaults();
    ssde_cfg_desc mix = ssde_cfg_defaults();
    ssde_cfg *cfg = NULL;
    ssde_rng rng = ssde_rng_seed(1);
    static const float mask[1] = {1.0f};
    const double t[1] = {0.5}, t_next[1] = {0.4};
    float x[3] = {0.0f, 0.0f, 0.0f}, y[3];
    int p, grid;
    for (p = 0; p < SSDE_PREDICTOR_COUNT; p++) {
        ssde_predictor predictor = (ssde_predictor)p;
        int taken = p == SSDE_PREDICTOR_DEFAULT || p == SSDE_PREDICTOR_EULER_MARUYAMA ||
                    p == SSDE_PREDICTOR_REVERSE_DIFFUSION || p == SSDE_PREDICTOR_STOCHASTIC_HEUN ||
                    p == SSDE_PREDICTOR_ADAPTIVE || p == SSDE_PREDICTOR_NONE;
        how = samplers_desc(predictor, 3, 1e-2);
        how.context = c;
        wrapper.calls = 0;
        if (taken)
            CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 3, x));
        else
            CHECK_STATUS(ssde_sample(&sde, &model, &how, &rng, 3, x), SSDE_ERROR_UNSUPPORTED);
        CHECK((wrapper.calls > 0) == taken);
        if (!taken) CHECK(strstr(c->error, "VP") || strstr(c->error, "VE") || strstr(c->error, "nonlinear"));
    }
    how = samplers_desc(SSDE_PREDICTOR_EULER_MARUYAMA, 3, 1e-2);
    how.context = c;
    wrapper.calls = 0;
    for (grid = SSDE_GRID_DEFAULT; grid < SSDE_GRID_COUNT; grid++) {
        int taken = grid == SSDE_GRID_DEFAULT || grid == SSDE_GRID_UNIFORM || grid == SSDE_GRID_QUADRATIC;
        how.grid = (ssde_grid)grid;
        CHECK_STATUS(ssde_sample(&sde, &model, &how, &rng, 3, x), taken ? SSDE_OK : SSDE_ERROR_UNSUPPORTED);
    }
    how.grid = SSDE_GRID_UNIFORM;
    wrapper.calls = 0;
    how.corrector = SSDE_CORRECTOR_LANGEVIN;
    CHECK_FAILS(c, ssde_sample(&sde, &model, &how, &rng, 3, x), SSDE_ERROR_UNSUPPORTED, "langevin_batch");
    CHECK_FAILS(c, ssde_corrector_step(&sde, &how, x, x, x, t, 1, 1, y, NULL), SSDE_ERROR_UNSUPPORTED,
                "langevin_batch");
    how.corrector = SSDE_CORRECTOR_NONE;
    CHECK_FAILS(c, ssde_predictor_step(&sde, &how, x, x, x, t, t_next, 1, 1, y, NULL), SSDE_ERROR_UNSUPPORTED,
                "ssde_reverse_drift");
    how.resamplings = 2;
    CHECK_FAILS(c, ssde_sample(&sde, &model, &how, &rng, 3, x), SSDE_ERROR_UNSUPPORTED, "resamplings");
    how.resamplings = 1;
    how.clip = ssde_clip_to(-1.0, 1.0);
    CHECK_FAILS(c, ssde_sample(&sde, &model, &how, &rng, 3, x), SSDE_ERROR_UNSUPPORTED, "no clip");
    CHECK_FAILS(c, ssde_clip_score(&sde, &how, x, t, 1, 1, y), SSDE_ERROR_UNSUPPORTED, "no clip");
    flow.context = c, flow.clip = how.clip, how.clip.kind = SSDE_CLIP_NONE;
    CHECK_FAILS(c, ssde_sample_ode(&sde, &model, &flow, &rng, 3, x, NULL), SSDE_ERROR_UNSUPPORTED, "clip");
    flow.clip.kind = SSDE_CLIP_NONE, how.edit_from = flow.edit_from = 0.5;
    CHECK_FAILS(c, ssde_sample(&sde, &model, &how, &rng, 3, x), SSDE_ERROR_UNSUPPORTED, "edit_from");
    CHECK_FAILS(c, ssde_sample_ode(&sde, &model, &flow, &rng, 3, x, NULL), SSDE_ERROR_UNSUPPORTED, "edit_from");
    how.edit_from = 0.0;
    how.condition = ssde_inpaint_shared(x, mask);
    CHECK_FAILS(c, ssde_sample(&sde, &model, &how, &rng, 3, x), SSDE_ERROR_UNSUPPORTED, "ssde_guide");
    how.condition = ssde_guide(well_no_pull, NULL, 1.0);
    how.condition.high = 2.0;
    CHECK_FAILS(c, ssde_sample(&sde, &model, &how, &rng, 3, x), SSDE_ERROR_UNSUPPORTED, "every noise level");
    memset(&how.condition, 0, sizeof how.condition);
    CHECK_FAILS(c, ssde_sample(&bare, &model, &how, &rng, 3, x), SSDE_ERROR_UNSUPPORTED, "given_start");
    CHECK(wrapper.calls == 0);
    how.given_start = 1;
    CHECK_OK(ssde_sample(&bare, &model, &how, &rng, 3, x));
    mix.conditional = mix.unconditional = well_score_model(&m);
    mix.weight = 1.0, mix.context = c;
    CHECK_OK(ssde_cfg_create(&cfg, &sde, &mix));
    model = ssde_cfg_model(cfg); /* twice the score less the score: the score */
    CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 3, x));
    ssde_cfg_destroy(cfg);
    mix.high = 1.0;
    CHECK_FAILS(c, ssde_cfg_create(&cfg, &sde, &mix), SSDE_ERROR_UNSUPPORTED, "nonlinear");
}

/* A drift that fails for one sample ends that sample; one that fails altogether, the run. */
static void test_sampler_nonlinear_fails(void) {
    ssde_context context = ssde_context_defaults();
    int failing = 0;
    ssde_sde sde = ssde_nonlinear(broken_drift, well_noise, &failing);
    well_model m;
    ssde_score_model model = well_score_model(&m);
    ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_EULER_MARUYAMA, 5, 1e-2);
    ssde_flow_desc flow = ssde_flow_defaults();
    ssde_rng rng = ssde_rng_seed(1);
    float x[4] = {0.0f, 0.1f, 300.0f, -0.3f}, y[4];
    int p;
    how.context = flow.context = &context;
    how.given_start = flow.given_start = 1;
    for (p = SSDE_PREDICTOR_EULER_MARUYAMA; p <= SSDE_PREDICTOR_ADAPTIVE; p++) {
        how.predictor = (ssde_predictor)p;
        if (p == SSDE_PREDICTOR_ANCESTRAL || p == SSDE_PREDICTOR_DDPM || p == SSDE_PREDICTOR_SMLD) continue;
        memcpy(y, x, sizeof x);
        rng.next_sample = 10;
        CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 4, y), SSDE_ERROR_NUMERIC, "sample 12");
        CHECK(y[2] != y[2] && y[0] == y[0] && y[1] == y[1] && y[3] == y[3]);
    }
    memcpy(y, x, sizeof x);
    rng.next_sample = 10;
    CHECK_FAILS(&context, ssde_sample_ode(&sde, &model, &flow, &rng, 4, y, NULL), SSDE_ERROR_NUMERIC, "sample 12");
    CHECK(y[2] != y[2] && y[0] == y[0] && y[1] == y[1] && y[3] == y[3]);
    failing = 1;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 4, x), SSDE_ERROR_FILE, "sde->drift returned");
    CHECK_FAILS(&context, ssde_sample_ode(&sde, &model, &flow, &rng, 4, x, NULL), SSDE_ERROR_FILE,
                "sde->drift returned");
}

/* From the grid at t = 1 back to where the process began. */
static void test_sampler_nonlinear_double_well(void) {
    static const ssde_predictor predictors[5] = {SSDE_PREDICTOR_EULER_MARUYAMA, SSDE_PREDICTOR_STOCHASTIC_HEUN,
                                                 SSDE_PREDICTOR_ADAPTIVE, SSDE_PREDICTOR_REVERSE_DIFFUSION,
                                                 SSDE_PREDICTOR_STOCHASTIC_HEUN};
    size_t n = check_quick ? 2000 : 6000;
    float *x = (float *)malloc(n * sizeof *x);
    int way;
    for (way = 0; way < 6; way++) {
        ssde_sde sde = well_sde();
        well_model m;
        ssde_score_model model = well_score_model(&m);
        ssde_rng rng = ssde_rng_seed((uint64_t)way);
        ssde_flow_desc flow = ssde_flow_defaults();
        ssde_simulation_desc forward = ssde_simulation_defaults();
        if (way < 5) {
            ssde_sampler_desc how = samplers_desc(predictors[way], 200, 1e-3);
            how.probability_flow = way == 4;
            if (way == 2) how.steps = 1, how.rtol = how.atol = 0.003;
            how.given_start = way == 3; /* by a simulation's end */
            well_start(77, n, x);
            CHECK_OK(ssde_simulate(&sde, &forward, 78, NULL, NULL, n, 1, x));
            CHECK_OK(ssde_sample(&sde, &model, &how, &rng, n, x));
        } else {
            flow.denoise = 1;
            CHECK_OK(ssde_sample_ode(&sde, &model, &flow, &rng, n, x, NULL));
        }
        CHECK(well_distance(x, n, 0.0) < 2.0);
        CHECK(well_distance(x, n, 0.3) > 3.0);
    }
    free(x);
}

/* ---- the flow and its density ---- */

static void test_flow_nonlinear_affine(void) {
    enum { N = 20 };
    solver_mixture plane = solver_plane();
    int which;
    for (which = 0; which < 3; which++) {
        guise g;
        ssde_sde sde = guise_make(&g, which);
        ssde_score_model model;
        ssde_mixture *mixture = solver_mixture_model(&plane, &g.sde, &model);
        ssde_flow_desc how = ssde_flow_defaults();
        ssde_rng first = ssde_rng_seed(5), second = first;
        float x[2 * N], y[2 * N], codes[2 * N], back[2 * N];
        how.rtol = how.atol = 1e-6;
        how.temperature = 0.9;
        how.condition = ssde_guide(guise_pull, NULL, 1.0);
        CHECK_OK(ssde_sample_ode(&g.sde, &model, &how, &first, N, x, NULL));
        CHECK_OK(ssde_sample_ode(&sde, &model, &how, &second, N, y, NULL));
        CHECK_ARRAY(y, x, 2 * N, 1e-4);
        CHECK_OK(ssde_encode(&sde, &model, &how, 0, N, y, codes, NULL));
        CHECK_OK(ssde_decode(&sde, &model, &how, 0, N, codes, back, NULL));
        CHECK_ARRAY(back, y, 2 * N, 1e-3);
        ssde_mixture_destroy(mixture);
    }
}

static void test_likelihood_nonlinear_affine(void) {
    enum { N = 12 };
    solver_mixture plane = solver_plane();
    int which, way;
    for (which = 0; which < 3; which++) {
        for (way = 0; way < 5; way++) { /* exact, probes, in batches, without drift_vjp, without any */
            guise g;
            ssde_sde sde = guise_make(&g, which);
            ssde_score_model model, blind;
            ssde_mixture *mixture = solver_mixture_model(&plane, &g.sde, &model);
            ssde_likelihood_desc how = ssde_likelihood_defaults();
            ssde_likelihood_result first[N], second[N];
            ssde_rng rng = ssde_rng_seed(5), same = rng;
            float x[2 * N];
            size_t i;
            CHECK_OK(ssde_mixture_sample(mixture, &rng, N, x, NULL));
            how.eps = 1e-2;
            how.trace = way == 1 ? SSDE_TRACE_RADEMACHER : SSDE_TRACE_EXACT;
            how.probes = 2;
            model.max_rows = way == 2 ? 5 : 0;
            blind = model;
            if (way == 3) sde.drift_vjp = NULL;
            if (way == 4) blind.vjp = NULL;
            rng = same;
            CHECK_OK(ssde_likelihood(&g.sde, &model, &how, &rng, N, x, first));
            CHECK_OK(ssde_likelihood(&sde, &blind, &how, &same, N, x, second));
            for (i = 0; i < N; i++) {
                CHECK_NEAR(second[i].log_density, first[i].log_density, way < 3 ? 1e-3 : 5e-3);
                CHECK(second[i].approximate == (way >= 3));
            }
            ssde_mixture_destroy(mixture);
        }
    }
}

static ssde_status well_prior_breaks(void *user, const float *x, size_t rows, size_t dim, double *out) {
    (void)user, (void)x, (void)rows, (void)dim, (void)out;
    return SSDE_ERROR_FORMAT;
}

/* The ODE's density is the grid's. */
static void test_likelihood_nonlinear_double_well(void) {
    enum { N = 9 };
    ssde_sde sde = well_sde();
    well_model m;
    ssde_score_model model = well_score_model(&m);
    check_log log = {0, ""};
    ssde_context context = ssde_context_defaults();
    ssde_likelihood_desc how = ssde_likelihood_defaults();
    ssde_likelihood_result results[N];
    ssde_rng rng = ssde_rng_seed(1);
    float x[N];
    size_t i;
    for (i = 0; i < N; i++) x[i] = -1.2f + 0.3f * (float)i;
    context.log = check_keep_log, context.user = &log;
    how.context = &context;
    how.eps = 1e-3;
    CHECK_OK(ssde_likelihood(&sde, &model, &how, &rng, N, x, results));
    for (i = 0; i < N; i++) {
        CHECK_NEAR(results[i].log_density, well_log_density((double)x[i], 1e-3), 2e-3);
        CHECK(!results[i].approximate);
    }
    CHECK(log.count == 0);
    sde.drift_vjp = NULL; /* differences, and the log says so, once */
    CHECK_OK(ssde_likelihood(&sde, &model, &how, &rng, N, x, results));
    for (i = 0; i < N; i++) {
        CHECK_NEAR(results[i].log_density, well_log_density((double)x[i], 1e-3), 1e-2);
        CHECK(results[i].approximate);
    }
    CHECK(log.count == 1 && strstr(log.text, "drift_vjp"));
    sde.prior_log_density = well_prior_breaks; /* its own status, not that of a number that is none */
    CHECK_FAILS(&context, ssde_likelihood(&sde, &model, &how, &rng, N, x, results), SSDE_ERROR_FORMAT,
                "prior_log_density");
    sde.prior_log_density = NULL;
    CHECK_FAILS(&context, ssde_likelihood(&sde, &model, &how, &rng, N, x, results), SSDE_ERROR_UNSUPPORTED,
                "prior_log_density is NULL");
    sde.prior_sample = NULL;
    CHECK_FAILS(&context, ssde_likelihood(&sde, &model, &how, &rng, N, x, results), SSDE_ERROR_UNSUPPORTED,
                "no prior until");
}

/* ---- training ---- */

enum { WELL_BATCH = 64 };

static ssde_net *well_net(ssde_context *context, int hidden) {
    ssde_net *net = NULL;
    ssde_mlp_desc shape = ssde_mlp(1);
    shape.hidden = (size_t)hidden, shape.layers = 2, shape.context = context;
    CHECK_OK(ssde_mlp_create(&net, &shape));
    return net;
}

/* The mean of (learned - exact)^2 over p(x, t), over that of exact^2. */
static double well_divergence(const ssde_score_model *model, double t) {
    double width = well_width, away = 0.0, size = 0.0, slope, at[WELL_CELLS];
    float x[WELL_CELLS], score[WELL_CELLS];
    uint64_t sample[WELL_CELLS];
    int i;
    for (i = 0; i < WELL_CELLS; i++) x[i] = (float)well_center(i), at[i] = t, sample[i] = (uint64_t)i;
    CHECK_OK(model->score(model->user, x, at, sample, WELL_CELLS, 0, score));
    for (i = 0; i < WELL_CELLS; i++) {
        double exact = well_interpolate(well_get()->score, well_center(i), t, &slope);
        double p = well_interpolate(well_get()->density, well_center(i), t, &slope) * width;
        away += p * ((double)score[i] - exact) * ((double)score[i] - exact);
        size += p * exact * exact;
    }
    return away / size;
}

/* A small network learns the score at every t from simulated x(t), by either objective. */
static void test_train_nonlinear_learns(void) {
    int sliced, step, steps = check_quick ? 300 : 1000;
    for (sliced = 0; sliced < 2; sliced++) {
        ssde_sde sde = well_sde();
        ssde_context context = ssde_context_defaults();
        ssde_net *net = well_net(&context, 32);
        ssde_train_desc desc = ssde_train_defaults(&sde, (uint64_t)steps);
        ssde_score_net_desc plain = ssde_score_net_defaults();
        ssde_trainer *trainer = NULL;
        ssde_score_net *wrapped = NULL;
        ssde_score_model model;
        float x[256];
        ssde_batch batch = ssde_batch_of(x, 256);
        CHECK(desc.objective == SSDE_OBJECTIVE_SLICED && desc.loss.weighting == SSDE_WEIGHT_LIKELIHOOD);
        if (!sliced) desc.objective = SSDE_OBJECTIVE_IMPLICIT, desc.loss.weighting = SSDE_WEIGHT_OUTPUT;
        desc.batch = 256, desc.simulation_steps = 25, desc.lr = 5e-3, desc.context = plain.context = &context;
        plain.max_rows = WELL_CELLS;
        CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
        CHECK(ssde_net_output(net, NULL) == SSDE_PREDICT_SCORE);
        for (step = 0; step < steps; step++) {
            double loss;
            well_start((uint64_t)step, 256, x);
            CHECK_OK(ssde_train_step(trainer, &batch, &loss));
        }
        CHECK_OK(ssde_score_net_create(&wrapped, ssde_trainer_ema(trainer), &sde, &plain));
        model = ssde_score_net_model(wrapped);
        CHECK(well_divergence(&model, 0.1) < 0.1);
        CHECK(well_divergence(&model, 0.9) < 0.1);
        ssde_score_net_destroy(wrapped);
        ssde_trainer_destroy(trainer);
        ssde_net_destroy(net);
    }
}

/* Rows do not know their batch; x(t) is ssde_simulate's; a training resumed is the same. */
static void test_train_nonlinear_resumes(void) {
    static const char path[] = "tests/tmp_nonlinear.safetensors";
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = well_sde();
    ssde_net *net[2];
    ssde_trainer *trainer[2] = {NULL, NULL};
    ssde_train_desc desc = ssde_train_defaults(&sde, 100);
    float x[WELL_BATCH];
    double whole, error, parts = 0.0, loss[2];
    int k, step;
    size_t r;
    well_start(3, WELL_BATCH, x);
    desc.warmup = 0, desc.simulation_steps = 10, desc.context = &context;
    for (k = 0; k < 2; k++) {
        net[k] = well_net(&context, 8);
        desc.batch = k ? 5 : WELL_BATCH;
        CHECK_OK(ssde_trainer_create(&trainer[k], net[k], &sde, &desc));
    }
    for (k = 0; k < 2; k++) {
        ssde_batch batch = ssde_batch_of(x, WELL_BATCH);
        CHECK_OK(ssde_trainer_evaluate(trainer[k], &batch, 9, &loss[k], &error));
    }
    CHECK(loss[0] == loss[1]);
    whole = loss[0];
    for (r = 0; r < WELL_BATCH; r++) {
        ssde_batch batch = ssde_batch_of(x + r, 1);
        batch.first_slot = r;
        CHECK_OK(ssde_trainer_evaluate(trainer[1], &batch, 9, &loss[1], NULL));
        parts += loss[1] / (double)WELL_BATCH;
    }
    CHECK_RELATIVE(parts, whole, 1e-12);
    for (step = 0; step < 4; step++) {
        ssde_batch batch = ssde_batch_of(x, WELL_BATCH);
        CHECK_OK(ssde_train_step(trainer[0], &batch, &loss[0]));
        if (step == 1) {
            CHECK_OK(ssde_trainer_save(trainer[0], path));
            ssde_trainer_destroy(trainer[1]);
            desc.batch = WELL_BATCH;
            CHECK_OK(ssde_trainer_create(&trainer[1], net[1], &sde, &desc));
            CHECK_OK(ssde_trainer_load(trainer[1], path));
        }
        if (step < 2) continue;
        CHECK_OK(ssde_train_step(trainer[1], &batch, &loss[1]));
        CHECK(loss[0] == loss[1]);
    }
    CHECK_OK(ssde_trainer_save_model(trainer[0], path)); /* without the SDE */
    ssde_trainer_destroy(trainer[1]);
    desc.simulation_steps = 11;
    CHECK_OK(ssde_trainer_create(&trainer[1], net[1], &sde, &desc));
    CHECK_OK(ssde_trainer_save(trainer[0], path));
    CHECK_FAILS(&context, ssde_trainer_load(trainer[1], path), SSDE_ERROR_FORMAT, "simulation_steps");
    CHECK_FAILS(&context, ssde_net_save(net[0], &sde, path), SSDE_ERROR_UNSUPPORTED, "functions");
    for (k = 0; k < 2; k++) {
        ssde_trainer_destroy(trainer[k]);
        ssde_net_destroy(net[k]);
    }
    remove(path);
}

static void test_train_nonlinear_refused(void) {
    ssde_context context = ssde_context_defaults(), *c = &context;
    int failing = 1;
    ssde_sde sde = well_sde(), broken = ssde_nonlinear(broken_drift, well_noise, &failing);
    ssde_net *net = well_net(c, 8), *scaled = NULL;
    ssde_mlp_desc shape = ssde_mlp(1);
    ssde_train_desc good = ssde_train_defaults(&sde, 100), desc;
    ssde_score_net_desc plain = ssde_score_net_defaults();
    ssde_score_net *wrapped = NULL;
    ssde_trainer *trainer = NULL;
    float x[4] = {0.0f, 0.5f, 1.0f, -0.5f};
    ssde_batch batch = ssde_batch_of(x, 4);
    double loss = 7.0;
    good.context = plain.context = c;
    good.batch = 4;
    desc = good, desc.objective = SSDE_OBJECTIVE_DENOISING;
    CHECK_FAILS(c, ssde_trainer_create(&trainer, net, &sde, &desc), SSDE_ERROR_UNSUPPORTED, "implicit or sliced");
    desc = good, desc.loss.output = SSDE_PREDICT_NOISE;
    CHECK_FAILS(c, ssde_trainer_create(&trainer, net, &sde, &desc), SSDE_ERROR_UNSUPPORTED, "output is 'noise'");
    desc = good, desc.loss.weighting = SSDE_WEIGHT_STD2;
    CHECK_FAILS(c, ssde_trainer_create(&trainer, net, &sde, &desc), SSDE_ERROR_UNSUPPORTED, "weighting is 'std2'");
    desc = good, desc.loss.times = SSDE_TIMES_IMPORTANCE;
    CHECK(ssde_trainer_create(&trainer, net, &sde, &desc) != SSDE_OK);
    desc = good, desc.loss.times = SSDE_TIMES_LOG_NORMAL;
    CHECK(ssde_trainer_create(&trainer, net, &sde, &desc) != SSDE_OK);
    desc = good, desc.loss.discrete = 1;
    CHECK(ssde_trainer_create(&trainer, net, &sde, &desc) != SSDE_OK);
    desc = good, desc.simulation_steps = (size_t)1 << 31;
    CHECK_FAILS(c, ssde_trainer_create(&trainer, net, &sde, &desc), SSDE_ERROR_ARGUMENT, "simulation_steps");
    shape.hidden = 8, shape.scale_by_sigma = 1, shape.context = c;
    CHECK_OK(ssde_mlp_create(&scaled, &shape));
    CHECK_FAILS(c, ssde_trainer_create(&trainer, scaled, &sde, &good), SSDE_ERROR_UNSUPPORTED, "takes sigma");
    CHECK_FAILS(c, ssde_score_net_create(&wrapped, scaled, &sde, &plain), SSDE_ERROR_UNSUPPORTED, "takes sigma");
    plain.output = SSDE_PREDICT_VELOCITY;
    CHECK_FAILS(c, ssde_score_net_create(&wrapped, net, &sde, &plain), SSDE_ERROR_UNSUPPORTED, "score");
    CHECK_OK(ssde_trainer_create(&trainer, net, &broken, &good));
    CHECK_FAILS(c, ssde_train_step(trainer, &batch, &loss), SSDE_ERROR_FILE, "sde->drift returned");
    failing = 0, x[2] = 300.0f;
    CHECK_FAILS(c, ssde_train_step(trainer, &batch, &loss), SSDE_ERROR_NUMERIC, "row 2, element 0");
    CHECK(loss == 7.0 && ssde_trainer_step_count(trainer) == 0);
    ssde_trainer_destroy(trainer);
    ssde_net_destroy(scaled);
    ssde_net_destroy(net);
}

/* ---- memory ---- */

/* What was told is taken, in one piece; its refusal is an error. */
static void test_memory_nonlinear(void) {
    int taker, rows;
    for (taker = 0; taker < 7; taker++) {
        for (rows = 0; rows < 8; rows += 4) {
            counted_memory memory;
            ssde_context context = counted_context(&memory);
            ssde_sde sde = well_sde();
            well_model m;
            ssde_score_model model = well_score_model(&m);
            ssde_simulation_desc forward = ssde_simulation_defaults();
            ssde_sampler_desc how =
                samplers_desc(taker == 2 ? SSDE_PREDICTOR_ADAPTIVE : SSDE_PREDICTOR_EULER_MARUYAMA, 3, 1e-2);
            ssde_flow_desc flow = ssde_flow_defaults();
            ssde_likelihood_desc price = ssde_likelihood_defaults();
            ssde_likelihood_result results[6];
            float x[6];
            size_t told = 0, i;
            int again;
            model.max_rows = (size_t)rows;
            forward.context = how.context = flow.context = price.context = &context;
            if (taker == 3) how.condition = ssde_guide(well_no_pull, NULL, 1.0);
            if (taker == 6) sde.drift_vjp = NULL;
            told = taker == 0  ? ssde_simulate_memory(6, 1)
                   : taker < 4 ? ssde_sample_memory(&sde, &model, &how, 6)
                   : taker < 5 ? ssde_flow_memory(&sde, &model, &flow, 6, 0)
                               : ssde_likelihood_memory(&sde, &model, &price, 6, 0);
            CHECK(told > 0 && memory.made == 0);
            for (again = 0; again < 2; again++) {
                ssde_rng rng = ssde_rng_seed(1);
                ssde_status status;
                for (i = 0; i < 6; i++) x[i] = 0.1f * (float)i;
                if (again) memory.made = memory.refuse = 0;
                status = taker == 0  ? ssde_simulate(&sde, &forward, 1, NULL, NULL, 6, 1, x)
                         : taker < 4 ? ssde_sample(&sde, &model, &how, &rng, 6, x)
                         : taker < 5 ? ssde_sample_ode(&sde, &model, &flow, &rng, 6, x, NULL)
                                     : ssde_likelihood(&sde, &model, &price, &rng, 6, x, results);
                CHECK_STATUS(status, again ? SSDE_ERROR_MEMORY : SSDE_OK);
                CHECK(memory.made == 1 && memory.live == 0);
                if (!again) CHECK(memory.most == told);
            }
        }
    }
    CHECK(ssde_simulate_memory(0, 1) == 0 && ssde_simulate_memory(1, SIZE_MAX / 4) == 0);
}

#define TEST_NONLINEAR_LIST(X)          \
    X(sde_nonlinear_refused)            \
    X(sde_nonlinear_reverse)            \
    X(simulation_double_well)           \
    X(simulation_marginals)             \
    X(simulation_rows)                  \
    X(simulation_order)                 \
    X(simulation_explodes)              \
    X(sampler_nonlinear_affine)         \
    X(sampler_nonlinear_denoises)       \
    X(sampler_nonlinear_refused)        \
    X(sampler_nonlinear_fails)          \
    X(sampler_nonlinear_double_well)    \
    X(flow_nonlinear_affine)            \
    X(likelihood_nonlinear_affine)      \
    X(likelihood_nonlinear_double_well) \
    X(train_nonlinear_learns)           \
    X(train_nonlinear_resumes)          \
    X(train_nonlinear_refused)          \
    X(memory_nonlinear)

#endif
