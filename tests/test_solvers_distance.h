/* Distances of samples from models, and of models from each other, by scores. */
#ifndef TEST_SOLVERS_DISTANCE_H
#define TEST_SOLVERS_DISTANCE_H

#include "check.h"
#include "fixtures_core.h"
#include "fixtures_solvers.h"
#include "threads.h"

enum { DISTANCE_MOST = 200, DISTANCE_DIM = 17 };

/* Draws of N(shift, spread^2 I). */
static void distance_normals(uint64_t seed, double shift, double spread, size_t n, size_t dim, float *x) {
    size_t i;
    CHECK_OK(ssde_random_normal(NULL, seed, SSDE_STREAM_USER, 0, NULL, n, dim, x));
    for (i = 0; i < n * dim; i++) x[i] = (float)(shift + spread * (double)x[i]);
}

/* The score of N(0, I), whatever t; user: its dim. */
static ssde_status distance_normal_score(void *user, const float *x, const double *t, const uint64_t *sample,
                                         size_t rows, int differentiate, float *out) {
    size_t dim = *(const size_t *)user, i;
    (void)t, (void)sample, (void)differentiate;
    for (i = 0; i < rows * dim; i++) out[i] = -x[i];
    return SSDE_OK;
}

/* That of N(0, 2 I). */
static ssde_status distance_half_score(void *user, const float *x, const double *t, const uint64_t *sample, size_t rows,
                                       int differentiate, float *out) {
    size_t dim = *(const size_t *)user, i;
    (void)t, (void)sample, (void)differentiate;
    for (i = 0; i < rows * dim; i++) out[i] = -0.5f * x[i];
    return SSDE_OK;
}

static ssde_score_model distance_normal(size_t *dim) {
    ssde_score_model model;
    memset(&model, 0, sizeof model);
    model.dim = *dim, model.score = distance_normal_score, model.user = dim;
    return model;
}

/* ---- distance: kernel Stein discrepancy ---- */

/* Liu et al., definition 3.2, for k = (c^2 + r^2)^beta, c = 1 and x over length: derivatives written out. */
static double distance_u(const double *x, const double *y, const double *s, const double *r, size_t dim,
                         double length) {
    double beta = -0.5, square = 0.0, k, slope, bend, u;
    size_t i;
    for (i = 0; i < dim; i++) square += (x[i] - y[i]) * (x[i] - y[i]) / (length * length);
    k = pow(1.0 + square, beta);
    slope = 2.0 * beta * pow(1.0 + square, beta - 1.0) / (length * length); /* dk/dx = slope (x - y) = -dk/dy */
    bend = 4.0 * beta * (beta - 1.0) * pow(1.0 + square, beta - 2.0) / pow(length, 4.0);
    u = -slope * (double)dim - bend * square * length * length; /* tr d^2 k / dx dy */
    for (i = 0; i < dim; i++) u += s[i] * r[i] * k - s[i] * slope * (x[i] - y[i]) + r[i] * slope * (x[i] - y[i]);
    return u;
}

/* U-statistic of the pairs without sample `left`. */
static double distance_mean(const double *u, size_t n, size_t left) {
    double sum = 0.0, count = 0.0;
    size_t i, j;
    for (i = 0; i < n; i++) {
        for (j = 0; j < n; j++) {
            if (i == j || i == left || j == left) continue;
            sum += u[i * n + j], count++;
        }
    }
    return sum / count;
}

static void distance_stein_case(size_t n, size_t dim, double length) {
    static float x[DISTANCE_MOST * DISTANCE_DIM], score[DISTANCE_MOST * DISTANCE_DIM], sign[DISTANCE_MOST * 50];
    static double u[DISTANCE_MOST * DISTANCE_MOST], wide[2 * DISTANCE_MOST * DISTANCE_DIM];
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_score_model model;
    ssde_mixture *mixture = solver_gaussian_model(dim, 0.3, 0.7, &sde, &model);
    ssde_stein_desc how = ssde_stein_defaults();
    ssde_stein_result result;
    ssde_rng rng = ssde_rng_seed(5);
    double t[DISTANCE_MOST], all = 0.0, mean, left, spread = 0.0, reached = 1.0;
    uint64_t sample[DISTANCE_MOST];
    size_t i, j, b;
    distance_normals(dim, 0.1, 0.9, n, dim, x);
    how.t = 0.2, how.length = length, how.bootstrap = 50, rng.next_sample = 70;
    CHECK_OK(ssde_stein_discrepancy(&model, &how, &rng, n, x, &result));
    CHECK(rng.next_sample == 70 + n);
    for (i = 0; i < n; i++) t[i] = 0.2, sample[i] = 70 + i;
    CHECK_OK(model.score(model.user, x, t, sample, n, 0, score));
    CHECK_OK(ssde_random_sign(NULL, 5, SSDE_STREAM_BOOTSTRAP, 0, sample, n, 50, sign));
    for (i = 0; i < n * dim; i++) wide[i] = (double)x[i], wide[n * dim + i] = (double)score[i];
    for (i = 0; i < n; i++)
        for (j = 0; j < n; j++)
            all += u[i * n + j] = distance_u(wide + i * dim, wide + j * dim, wide + (n + i) * dim, wide + (n + j) * dim,
                                             dim, length > 0.0 ? length : sqrt((double)dim));
    mean = distance_mean(u, n, n);
    CHECK_NEAR(result.squared, mean, 1e-11 * (double)dim);
    CHECK_RELATIVE(result.root, sqrt(all) / (double)n, 1e-11);
    for (i = 0; n > 2 && i < n; i++) {
        left = distance_mean(u, n, i) - mean;
        spread += left * left * ((double)n - 1.0) / (double)n;
    }
    if (n > 2) CHECK_RELATIVE(result.standard_error, sqrt(spread), 1e-9);
    if (n == 2) CHECK(result.standard_error != result.standard_error);
    for (b = 0; b < 50; b++) {
        double sum = 0.0;
        for (i = 0; i < n; i++)
            for (j = 0; j < n; j++)
                if (i != j) sum += u[i * n + j] * (double)sign[i * 50 + b] * (double)sign[j * 50 + b];
        reached += sum / ((double)n * ((double)n - 1.0)) >= mean - 1e-12;
    }
    CHECK_NEAR(result.p_value, reached / 51.0, 1e-12);
    ssde_mixture_destroy(mixture);
}

static void test_distance_stein_naive(void) {
    static const size_t dims[] = {1, 2, 3, 4, 5, 8, DISTANCE_DIM};
    size_t i;
    for (i = 0; i < sizeof dims / sizeof *dims; i++) {
        distance_stein_case(37, dims[i], 0.0);
        distance_stein_case(70, dims[i], 0.4);
        distance_stein_case(2 + i % 2, dims[i], 3.0);
    }
}

/* Between N(shift, I) and N(0, I) the difference of scores is constant, so that D^2 = |shift|^2 E k; |x - y|^2 / 2 is
   chi^2, here by the midpoint rule over the radius. */
static double distance_stein_shifted(double shift, size_t dim, double length) {
    double r, weight, sum = 0.0, norm = 0.0;
    for (r = 0.0005; r < 20.0; r += 0.001) { /* (x - y) / sqrt(2) */
        weight = pow(r, (double)dim - 1.0) * exp(-0.5 * r * r);
        norm += weight, sum += weight / sqrt(1.0 + 2.0 * r * r / (length * length));
    }
    return (double)dim * shift * shift * sum / norm;
}

/* Of many sets: the mean is the closed form, 0 for the model's own; scatter and standard error are what is said; p. */
static void test_distance_stein_gaussian(void) {
    enum { N = 100 };
    static const double shifts[] = {0.0, 0.15, 0.3, 0.6};
    static float x[N * 5];
    size_t d, s, k, sets = check_quick ? 60 : 200, dims[] = {1, 2, 5};
    for (d = 0; d < 3; d++) {
        ssde_score_model model = distance_normal(&dims[d]);
        double before = -1.0;
        for (s = 0; s < 4; s++) {
            double expected = distance_stein_shifted(shifts[s], dims[d], sqrt((double)dims[d]));
            double sum = 0.0, squares = 0.0, errors = 0.0, small = 0.0, mean, scatter, count = (double)sets;
            for (k = 0; k < sets; k++) {
                ssde_stein_desc how = ssde_stein_defaults();
                ssde_stein_result result;
                ssde_rng rng = ssde_rng_seed(k);
                how.bootstrap = 99;
                distance_normals(1000 * s + k, shifts[s], 1.0, N, dims[d], x);
                CHECK_OK(ssde_stein_discrepancy(&model, &how, &rng, N, x, &result));
                sum += result.squared, squares += result.squared * result.squared;
                errors += result.standard_error * result.standard_error;
                small += result.p_value <= 0.1;
            }
            mean = sum / count, scatter = sqrt((squares - sum * mean) / (count - 1.0));
            CHECK_NEAR(mean, expected, 4.0 * scatter / sqrt(count));
            CHECK(mean > before);
            before = mean;
            errors = sqrt(errors / count) / scatter;
            CHECK_NEAR(errors, s ? 1.1 : 1.42, 0.3); /* a set's own standard error: sqrt(2) too large under the model */
            if (!s) CHECK_NEAR(small / count, 0.1, 4.0 * sqrt(0.09 / count));
            if (s == 3) CHECK(small >= count);
        }
    }
}

/* Draws that a mixture's own sampler made, and draws of a mixture with the modes a tenth further out. */
static void test_distance_stein_ring(void) {
    enum { N = 400 };
    static float x[N * 2];
    ssde_sde sde = ssde_vp(0.1, 20.0);
    solver_mixture ring = solver_ring();
    ssde_score_model model;
    ssde_mixture *mixture = solver_mixture_model(&ring, &sde, &model);
    ssde_sampler_desc how = ssde_sampler_defaults();
    ssde_stein_desc measure = ssde_stein_defaults();
    ssde_stein_result own, wrong;
    ssde_rng rng = ssde_rng_seed(3);
    size_t i;
    how.predictor = SSDE_PREDICTOR_DPM_SOLVER_2M, how.steps = 60;
    CHECK_OK(ssde_sample(&sde, &model, &how, &rng, N, x));
    measure.length = 0.3, measure.bootstrap = 199;
    CHECK_OK(ssde_stein_discrepancy(&model, &measure, &rng, N, x, &own));
    for (i = 0; i < 2 * N; i++) x[i] *= 1.1f;
    CHECK_OK(ssde_stein_discrepancy(&model, &measure, &rng, N, x, &wrong));
    CHECK(own.p_value > 0.01 && fabs(own.squared) < 4.0 * own.standard_error);
    CHECK(wrong.p_value < 0.01 && wrong.squared > 10.0 * fabs(own.squared) && wrong.root > 2.0 * own.root);
    ssde_mixture_destroy(mixture);
}

/* The same bits whoever works and however many rows the model takes. */
static void test_distance_stein_bits(void) {
    static const size_t counts[] = {2, 3, 63, 64, 65, 130};
    static const int workers[] = {1, 2, 3, 5};
    static float x[130 * 6];
    size_t dim = 6, c, w, rows;
    distance_normals(1, 0.2, 1.1, 130, dim, x);
    for (c = 0; c < sizeof counts / sizeof *counts; c++) {
        ssde_stein_result first, result;
        memset(&first, 0, sizeof first), memset(&result, 0, sizeof result);
        for (w = 0; w < 4; w++) {
            for (rows = 0; rows < 8; rows += 7) {
                threads_hook hook;
                ssde_context context = ssde_context_defaults();
                ssde_score_model model = distance_normal(&dim);
                ssde_stein_desc how = ssde_stein_defaults();
                ssde_rng rng = ssde_rng_seed(5);
                hook.threads = workers[w], hook.calls = 0;
                context.parallel_for = threads_parallel_for, context.user = &hook, context.threads = workers[w];
                how.context = &context, how.bootstrap = 9;
                model.max_rows = rows;
                CHECK_OK(ssde_stein_discrepancy(&model, &how, &rng, counts[c], x, &result));
                CHECK((hook.calls > 0) == (workers[w] > 1));
                if (!w && !rows) first = result;
                CHECK_SAME(&result, &first, sizeof first);
            }
        }
    }
}

/* 3,072 dimensions: D^2 of a shift by a tenth is still told. */
static void test_distance_stein_high(void) {
    enum { N = 60, DIM = 3072 };
    static float x[N * DIM];
    size_t dim = DIM;
    ssde_score_model model = distance_normal(&dim);
    ssde_stein_result result;
    ssde_rng rng = ssde_rng_seed(5);
    distance_normals(4, 0.1, 1.0, N, DIM, x);
    CHECK_OK(ssde_stein_discrepancy(&model, NULL, &rng, N, x, &result));
    CHECK_NEAR(result.squared, 30.72 / sqrt(3.0), 4.0 * result.standard_error); /* |x - y|^2 = 2 dim nearly always */
    CHECK_NEAR(result.standard_error, 0.0, 3.0);
    CHECK(result.p_value != result.p_value);
}

/* ---- distance: Fisher divergence ---- */

/* Of N(mean, std^2) at t: mean and variance. */
static void distance_gaussian(const ssde_sde *sde, double t, double mean, double std, double out[2]) {
    ssde_coefficients c;
    CHECK_OK(ssde_coefficients_at(NULL, sde, t, &c));
    out[0] = c.mean * mean, out[1] = c.mean * c.mean * std * std + c.std * c.std;
}

static double distance_kl(const double p[2], const double q[2]) {
    return 0.5 * (p[1] / q[1] + (p[0] - q[0]) * (p[0] - q[0]) / q[1] - 1.0 - log(p[1] / q[1]));
}

/* Gaussians against the closed form at given times, and over all of them, where the SDE takes both to the prior and
   d KL / dt is -g^2 / 2 times the divergence. */
static void test_distance_fisher_gaussian(void) {
    enum { N = 4000, DIM = 3 };
    static const double times[] = {0.001, 0.05, 0.4, 1.0};
    static float x[N * DIM];
    int kind, i;
    distance_normals(6, 0.4, 0.6, N, DIM, x);
    for (kind = 0; kind < 3; kind++) {
        ssde_sde sde = solver_sde(kind);
        ssde_score_model a, b;
        ssde_mixture *wrong = solver_gaussian_model(DIM, 0.1, 0.8, &sde, &a);
        ssde_mixture *right = solver_gaussian_model(DIM, 0.4, 0.6, &sde, &b);
        ssde_fisher_desc how = ssde_fisher_defaults();
        ssde_fisher_result result, same;
        ssde_coefficients c;
        double p[2], q[2], kl, spread;
        for (i = 0; i < 4; i++) {
            ssde_rng rng = ssde_rng_seed(8);
            double expected;
            how.t = times[i];
            CHECK_OK(ssde_fisher_divergence(&sde, &a, &b, &how, &rng, N, x, &result));
            CHECK(rng.next_sample == N);
            distance_gaussian(&sde, times[i], 0.4, 0.6, p), distance_gaussian(&sde, times[i], 0.1, 0.8, q);
            CHECK_OK(ssde_coefficients_at(NULL, &sde, times[i], &c));
            spread = 1.0 / p[1] - 1.0 / q[1];
            expected = (double)DIM * ((p[0] - q[0]) * (p[0] - q[0]) / (q[1] * q[1]) + p[1] * spread * spread);
            CHECK_NEAR(result.divergence, expected, 4.0 * result.divergence_error + 1e-9 / p[1]);
            CHECK(result.divergence_error < 0.05 * expected + 1e-9 / p[1]);
            CHECK_RELATIVE(result.loss, c.std * c.std * result.divergence / (double)DIM, 1e-12);
            CHECK_RELATIVE(result.nats, 0.5 * c.diffusion * c.diffusion * result.divergence, 1e-12);
            CHECK_RELATIVE(result.nats_error, 0.5 * c.diffusion * c.diffusion * result.divergence_error, 1e-12);
        }
        how.t = 0.0, how.eps = 0.2;
        kl = 0.0;
        for (i = 0; i < 2; i++) {
            distance_gaussian(&sde, i ? 1.0 : 0.2, 0.4, 0.6, p), distance_gaussian(&sde, i ? 1.0 : 0.2, 0.1, 0.8, q);
            kl += (double)DIM * distance_kl(p, q) * (i ? -1.0 : 1.0);
        }
        {
            ssde_rng rng = ssde_rng_seed(9);
            CHECK_OK(ssde_fisher_divergence(&sde, &a, &b, &how, &rng, N, x, &result));
            CHECK_NEAR(result.nats, kl, 4.0 * result.nats_error);
            CHECK(result.nats_error < 0.05 * kl);
            CHECK_OK(ssde_fisher_divergence(&sde, &a, &a, &how, &rng, N, x, &same));
            CHECK(same.divergence == 0.0 && same.loss == 0.0 && same.nats_error == 0.0);
        }
        ssde_mixture_destroy(wrong);
        ssde_mixture_destroy(right);
    }
}

/* By so much is the loss of a wrong score above the right one's, on the same draws. */
static void test_distance_fisher_loss(void) {
    enum { N = 20000 };
    static float x[N], xt[N], z[N], out[N];
    static double t[N], losses[N];
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_score_model models[2];
    ssde_mixture *wrong = solver_gaussian_model(1, 0.1, 0.8, &sde, &models[0]);
    ssde_mixture *right = solver_gaussian_model(1, 0.4, 0.6, &sde, &models[1]);
    ssde_fisher_desc how = ssde_fisher_defaults();
    ssde_fisher_result result;
    ssde_rng rng = ssde_rng_seed(8);
    double excess = 0.0, std;
    size_t i, k;
    distance_normals(7, 0.4, 0.6, N, 1, x);
    how.t = 0.1;
    CHECK_OK(ssde_fisher_divergence(&sde, &models[0], &models[1], &how, &rng, N, x, &result));
    CHECK_OK(ssde_random_normal(NULL, 8, SSDE_STREAM_NOISE, 0, NULL, N, 1, z));
    for (i = 0; i < N; i++) t[i] = 0.1;
    CHECK_OK(ssde_perturb(NULL, &sde, x, z, t, N, 1, xt));
    CHECK_OK(ssdei_marginal(NULL, &sde, 0.1, &losses[0], &std));
    for (k = 0; k < 2; k++) {
        CHECK_OK(models[k].score(models[k].user, xt, t, NULL, N, 0, out));
        for (i = 0; i < N; i++) {
            losses[i] = std * (double)out[i] + (double)z[i];
            excess += (k ? -1.0 : 1.0) * losses[i] * losses[i] / (double)N;
        }
    }
    CHECK_NEAR(result.loss, excess, 0.1 * result.loss);
    ssde_mixture_destroy(wrong);
    ssde_mixture_destroy(right);
}

static ssde_status distance_noise(void *user, int stream, uint32_t step, const uint64_t *sample, size_t rows,
                                  size_t dim, float *out) {
    *(int *)user += stream == SSDE_STREAM_NOISE && step == 0;
    return ssde_random_normal(NULL, 77, stream, step, sample, rows, dim, out);
}

/* By definition on a few samples, given at t or perturbed; and the same bits however many rows the models take, or
   calls. */
static void test_distance_fisher_naive(void) {
    enum { N = 30, DIM = 2 };
    static float x[N * DIM], xt[N * DIM], z[N * DIM], sa[N * DIM], sb[N * DIM];
    ssde_sde sde = ssde_subvp(0.1, 20.0);
    solver_mixture ring = solver_ring(), plane = solver_plane();
    ssde_score_model a, b;
    ssde_mixture *first = solver_mixture_model(&ring, &sde, &a), *second = solver_mixture_model(&plane, &sde, &b);
    ssde_fisher_desc how = ssde_fisher_defaults();
    ssde_fisher_result result, other, single;
    uint64_t sample[N];
    double t[N];
    int given, filled = 0;
    size_t i, j, most;
    distance_normals(2, 0.0, 0.8, N, DIM, x);
    for (i = 0; i < N; i++) t[i] = 0.3, sample[i] = 40 + i;
    how.t = 0.3;
    for (given = 0; given < 2; given++) {
        ssde_rng rng = ssde_rng_seed(77);
        double sum = 0.0, squares = 0.0, mean;
        rng.next_sample = 40, how.perturbed = given;
        CHECK_OK(ssde_fisher_divergence(&sde, &a, &b, &how, &rng, N, x, &result));
        CHECK_OK(ssde_random_normal(NULL, 77, SSDE_STREAM_NOISE, 0, sample, N, DIM, z));
        memcpy(xt, x, sizeof xt);
        if (!given) CHECK_OK(ssde_perturb(NULL, &sde, x, z, t, N, DIM, xt));
        CHECK_OK(a.score(a.user, xt, t, sample, N, 0, sa));
        CHECK_OK(b.score(b.user, xt, t, sample, N, 0, sb));
        for (i = 0; i < N; i++) {
            double square = 0.0;
            for (j = i * DIM; j < (i + 1) * DIM; j++)
                square += ((double)sa[j] - (double)sb[j]) * ((double)sa[j] - (double)sb[j]);
            sum += square, squares += square * square;
        }
        mean = sum / (double)N;
        CHECK_RELATIVE(result.divergence, mean, 1e-12);
        CHECK_RELATIVE(result.divergence_error, sqrt((squares / (double)N - mean * mean) / ((double)N - 1.0)), 1e-10);
    }
    how.perturbed = 0, how.t = 0.0;
    {
        ssde_rng rng = ssde_rng_seed(77);
        CHECK_OK(ssde_fisher_divergence(&sde, &a, &b, &how, &rng, N, x, &result));
        rng.next_sample = 3;
        CHECK_OK(ssde_fisher_divergence(&sde, &a, &b, &how, &rng, 1, x + 3 * DIM, &single));
        CHECK(single.divergence > 0.0 && single.divergence_error != single.divergence_error);
    }
    for (most = 1; most < 8; most += 3) {
        ssde_rng rng = ssde_rng_seed(1); /* whose draws are not asked for, but for times */
        rng.seed = 77, a.max_rows = most, b.max_rows = 8 - most;
        how.noise.fill = distance_noise, how.noise.user = &filled;
        CHECK_OK(ssde_fisher_divergence(&sde, &a, &b, &how, &rng, N, x, &other));
        CHECK_SAME(&other, &result, sizeof result);
    }
    CHECK(filled > 0);
    ssde_mixture_destroy(first);
    ssde_mixture_destroy(second);
}

static double distance_rate(void *user, double t) {
    (void)user, (void)t;
    return 1.0;
}
static double distance_nothing(void *user, double t) {
    (void)user, (void)t;
    return (double)NAN;
}

/* Of SDEs whose std nobody knows, for x at t. */
static void test_distance_fisher_no_std(void) {
    ssde_sde affine = ssde_affine(distance_rate, distance_rate, NULL), sde = affine;
    ssde_context context = ssde_context_defaults();
    ssde_fisher_desc how = ssde_fisher_defaults();
    ssde_fisher_result result;
    ssde_rng rng = ssde_rng_seed(1);
    size_t dim = 2;
    ssde_score_model a = distance_normal(&dim), b = a;
    float x[12];
    int nonlinear;
    affine.mean = affine.std = distance_nothing;
    b.score = distance_half_score;
    distance_normals(2, 0.0, 0.8, 6, 2, x);
    how.t = 0.5, how.context = &context;
    for (nonlinear = 0; nonlinear < 2; nonlinear++) {
        sde = nonlinear ? ssde_nonlinear(well_drift, distance_rate, NULL) : affine;
        how.perturbed = 1;
        CHECK_OK(ssde_fisher_divergence(&sde, &a, &b, &how, &rng, 6, x, &result));
        CHECK(result.divergence > 0.0 && result.loss != result.loss && !context.error[0]);
        CHECK(result.loss_error != result.loss_error);
        CHECK_RELATIVE(result.nats, 0.5 * result.divergence, 1e-15);
        how.perturbed = 0;
        CHECK(ssde_fisher_divergence(&sde, &a, &b, &how, &rng, 6, x, &result) != SSDE_OK && context.error[0]);
    }
}

/* ---- distance: memory, bad input ---- */

static ssde_status distance_broken_score(void *user, const float *x, const double *t, const uint64_t *sample,
                                         size_t rows, int differentiate, float *out) {
    size_t i;
    (void)t, (void)differentiate;
    for (i = 0; i < 2 * rows; i++) out[i] = sample[i / 2] == 5 ? *(const float *)user : -x[i];
    return SSDE_OK;
}

static void test_distance_memory(void) {
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_score_model model, other;
    ssde_mixture *mixture = solver_gaussian_model(3, 0.1, 0.8, &sde, &model);
    ssde_stein_desc stein = ssde_stein_defaults();
    ssde_fisher_desc fisher = ssde_fisher_defaults();
    ssde_stein_result result;
    ssde_fisher_result divergence;
    static float x[90 * 3];
    size_t rows, bytes;
    stein.context = fisher.context = &context;
    distance_normals(2, 0.0, 0.8, 90, 3, x);
    for (rows = 0; rows < 20; rows += 9) {
        ssde_rng rng = ssde_rng_seed(1);
        model.max_rows = rows, stein.bootstrap = rows;
        memory.made = 0, memory.most = 0;
        bytes = ssde_stein_memory(&model, &stein, 90);
        CHECK(bytes > 0 && memory.made == 0);
        CHECK_OK(ssde_stein_discrepancy(&model, &stein, &rng, 90, x, &result));
        CHECK(memory.most == bytes && memory.made == 1 && memory.live == 0);
        memory.made = 0, memory.most = 0;
        bytes = ssde_fisher_memory(&sde, &model, &model, &fisher, 90);
        CHECK_OK(ssde_fisher_divergence(&sde, &model, &model, &fisher, &rng, 90, x, &divergence));
        CHECK(bytes > 0 && memory.most == bytes && memory.made == 1 && memory.live == 0);
        memory.made = 0, memory.refuse = 0;
        CHECK_STATUS(ssde_stein_discrepancy(&model, &stein, &rng, 90, x, &result), SSDE_ERROR_MEMORY);
        memory.made = 0;
        CHECK_STATUS(ssde_fisher_divergence(&sde, &model, &model, &fisher, &rng, 90, x, &divergence),
                     SSDE_ERROR_MEMORY);
        CHECK(rng.next_sample == 180);
        memory.refuse = -1;
    }
    other = model, other.dim = 2;
    stein.bootstrap = (size_t)0xffffffffu;
    CHECK(!ssde_stein_memory(&model, &stein, SIZE_MAX / 64) && !ssde_stein_memory(&model, NULL, 1));
    CHECK(!ssde_stein_memory(NULL, NULL, 9) && !ssde_fisher_memory(&sde, &model, &other, NULL, 9));
    CHECK(!ssde_fisher_memory(NULL, &model, &model, NULL, 9) && ssde_fisher_memory(&sde, &model, &model, NULL, 9));
    ssde_mixture_destroy(mixture);
}

static void test_distance_bad_input(void) {
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_score_model model, broken;
    ssde_mixture *mixture = solver_gaussian_model(2, 0.1, 0.8, &sde, &model);
    ssde_stein_desc stein = ssde_stein_defaults();
    ssde_fisher_desc fisher = ssde_fisher_defaults();
    ssde_stein_result result;
    ssde_fisher_result divergence;
    ssde_rng rng = ssde_rng_seed(1);
    float x[18], bad = NAN;
    stein.context = fisher.context = &context;
    distance_normals(2, 0.0, 0.8, 9, 2, x);
    memset(&broken, 0, sizeof broken);
    broken.dim = 2, broken.score = distance_broken_score, broken.user = &bad;
#define DISTANCE_STEIN(status, words) \
    CHECK_FAILS(&context, ssde_stein_discrepancy(&model, &stein, &rng, 9, x, &result), status, words)
#define DISTANCE_FISHER(status, words) \
    CHECK_FAILS(&context, ssde_fisher_divergence(&sde, &model, &model, &fisher, &rng, 9, x, &divergence), status, words)
    CHECK_FAILS(&context, ssde_stein_discrepancy(&model, &stein, &rng, 1, x, &result), SSDE_ERROR_ARGUMENT, "n is 1");
    CHECK_FAILS(&context, ssde_stein_discrepancy(&broken, &stein, &rng, 9, x, &result), SSDE_ERROR_NUMERIC,
                "the score of sample 5");
    CHECK_FAILS(&context, ssde_fisher_divergence(&sde, &model, &broken, &fisher, &rng, 9, x, &divergence),
                SSDE_ERROR_NUMERIC, "of sample 5 is");
    bad = 3e38f;
    stein.length = 1e-160;
    CHECK_FAILS(&context, ssde_stein_discrepancy(&broken, &stein, &rng, 9, x, &result), SSDE_ERROR_NUMERIC,
                "the discrepancy is");
    stein.length = -1.0;
    DISTANCE_STEIN(SSDE_ERROR_ARGUMENT, "length is -1");
    stein.length = 0.0, stein.t = 1.5;
    DISTANCE_STEIN(SSDE_ERROR_ARGUMENT, "t is 1.5");
    stein.t = (double)NAN;
    DISTANCE_STEIN(SSDE_ERROR_ARGUMENT, "t is nan");
    stein.t = 0.0, stein.bootstrap = SIZE_MAX;
    if (sizeof(size_t) > 4) DISTANCE_STEIN(SSDE_ERROR_ARGUMENT, "bootstrap is");
    stein.bootstrap = 0, fisher.t = 2.0;
    DISTANCE_FISHER(SSDE_ERROR_ARGUMENT, "t is 2");
    fisher.t = 0.0, fisher.eps = 1.0;
    DISTANCE_FISHER(SSDE_ERROR_ARGUMENT, "eps is 1");
    fisher.eps = 0.0;
    broken.dim = 3;
    CHECK_FAILS(&context, ssde_fisher_divergence(&sde, &model, &broken, &fisher, &rng, 9, x, &divergence),
                SSDE_ERROR_ARGUMENT, "b->dim is 3, a->dim 2");
    x[7] = NAN;
    DISTANCE_STEIN(SSDE_ERROR_NUMERIC, "x[3][1] is nan");
    DISTANCE_FISHER(SSDE_ERROR_NUMERIC, "x[3][1] is nan");
    CHECK(rng.next_sample == 0);
#undef DISTANCE_STEIN
#undef DISTANCE_FISHER
    ssde_mixture_destroy(mixture);
}

#define TEST_SOLVERS_DISTANCE_LIST(X) \
    X(distance_stein_naive)           \
    X(distance_stein_gaussian)        \
    X(distance_stein_ring)            \
    X(distance_stein_bits)            \
    X(distance_stein_high)            \
    X(distance_fisher_gaussian)       \
    X(distance_fisher_loss)           \
    X(distance_fisher_naive)          \
    X(distance_fisher_no_std)         \
    X(distance_memory)                \
    X(distance_bad_input)

#endif
