/* What tests of solvers in several files share. */
#ifndef FIXTURES_SOLVERS_H
#define FIXTURES_SOLVERS_H

#include "check.h"
#include "fixtures_core.h"
#include "golden.h"

/* ---- a mixture in double: an oracle apart from the library's ---- */

enum { SOLVER_MAX_DIM = 64 };

typedef struct solver_mixture {
    size_t components, dim;
    double weight[8], mean[8 * SOLVER_MAX_DIM], variance[8 * SOLVER_MAX_DIM];
} solver_mixture;

/* log p_t(x), its gradient and Laplacian at a time with these coefficients. */
static void solver_density(const solver_mixture *m, const ssde_coefficients *c, const double *x, double *log_density,
                           double *score, double *laplacian) {
    double log_terms[8], share, largest = -HUGE_VAL, sum = 0.0;
    size_t k, j, dim = m->dim;
    for (k = 0; k < m->components; k++) {
        log_terms[k] = log(m->weight[k]);
        for (j = 0; j < dim; j++) {
            double v = c->mean * c->mean * m->variance[k * dim + j] + c->std * c->std;
            double d = x[j] - c->mean * m->mean[k * dim + j];
            log_terms[k] -= 0.5 * (d * d / v + log(2.0 * 3.14159265358979323846 * v));
        }
        if (log_terms[k] > largest) largest = log_terms[k];
    }
    for (k = 0; k < m->components; k++) sum += exp(log_terms[k] - largest);
    *log_density = largest + log(sum);
    *laplacian = 0.0;
    memset(score, 0, dim * sizeof *score);
    for (k = 0; k < m->components; k++) {
        share = exp(log_terms[k] - *log_density);
        for (j = 0; j < dim; j++) {
            double v = c->mean * c->mean * m->variance[k * dim + j] + c->std * c->std;
            double s = -(x[j] - c->mean * m->mean[k * dim + j]) / v;
            score[j] += share * s;
            *laplacian += share * (s * s - 1.0 / v);
        }
    }
    for (j = 0; j < dim; j++) *laplacian -= score[j] * score[j];
}

static ssde_status solver_mixture_create(const solver_mixture *m, ssde_context *context, ssde_mixture **out) {
    double stds[8 * SOLVER_MAX_DIM];
    size_t i;
    for (i = 0; i < m->components * m->dim; i++) stds[i] = sqrt(m->variance[i]);
    return ssde_mixture_create(context, out, m->components, m->dim, m->weight, m->mean, stds);
}

/* The library's mixture of that, and its score. */
static ssde_mixture *solver_mixture_model(const solver_mixture *m, const ssde_sde *sde, ssde_score_model *model) {
    ssde_mixture *mixture = NULL;
    CHECK_OK(solver_mixture_create(m, NULL, &mixture));
    *model = ssde_mixture_model(mixture, sde);
    return mixture;
}
static ssde_mixture *solver_gaussian_model(size_t dim, double mean, double std, const ssde_sde *sde,
                                           ssde_score_model *model) {
    ssde_mixture *mixture = NULL;
    CHECK_OK(ssde_gaussian_create(NULL, &mixture, dim, mean, std));
    *model = ssde_mixture_model(mixture, sde);
    return mixture;
}

/* The golden data's mixture. */
static solver_mixture solver_golden_mixture(const golden_file *golden) {
    solver_mixture m;
    memset(&m, 0, sizeof m);
    m.components = 3, m.dim = 4;
    golden_doubles(golden, "gmm/weight", m.weight, 3);
    golden_doubles(golden, "gmm/mean", m.mean, 12);
    golden_doubles(golden, "gmm/var", m.variance, 12);
    return m;
}

/* Eight modes on the unit circle, standard deviation 0.1. */
static solver_mixture solver_ring(void) {
    solver_mixture m;
    size_t k;
    memset(&m, 0, sizeof m);
    m.components = 8, m.dim = 2;
    for (k = 0; k < 8; k++) {
        m.weight[k] = 0.125;
        m.mean[2 * k] = cos((double)k * 3.14159265358979323846 / 4.0);
        m.mean[2 * k + 1] = sin((double)k * 3.14159265358979323846 / 4.0);
        m.variance[2 * k] = m.variance[2 * k + 1] = 0.01;
    }
    return m;
}

/* Three unequal modes in the plane: no symmetry that could hide a sign. */
static solver_mixture solver_plane(void) {
    static const double weight[3] = {0.5, 0.3, 0.2}, mean[6] = {-1.0, 0.5, 1.2, 0.8, 0.4, -1.1};
    static const double variance[6] = {0.09, 0.04, 0.16, 0.05, 0.03, 0.12};
    solver_mixture m;
    memset(&m, 0, sizeof m);
    m.components = 3, m.dim = 2;
    memcpy(m.weight, weight, sizeof weight);
    memcpy(m.mean, mean, sizeof mean);
    memcpy(m.variance, variance, sizeof variance);
    return m;
}

static ssde_sde solver_sde(int which) {
    if (which == 3) return ssde_rectified_flow();
    return which == 0 ? ssde_ve(0.01, 50.0) : which == 1 ? ssde_vp(0.1, 20.0) : ssde_subvp(0.1, 20.0);
}
static const char *const solver_sde_names[] = {"ve", "vp", "subvp", "rectified_flow"};
enum { SOLVER_SDES = 4 }; /* the golden data has the first three */
/* m and std alone: at rectified flow's t = 1 the rates have no bounds. */
static ssde_coefficients solver_marginal(const ssde_sde *sde, double t) {
    ssde_coefficients c;
    memset(&c, 0, sizeof c);
    CHECK_OK(ssdei_marginal(NULL, sde, t, &c.mean, &c.std));
    return c;
}
static void solver_golden_doubles(const golden_file *golden, const char *sde, const char *name, double *out, size_t n) {
    char full[128];
    snprintf(full, sizeof full, "%s/%s", sde, name);
    golden_doubles(golden, full, out, n);
}
static void solver_golden_floats(const golden_file *golden, const char *sde, const char *name, float *out, size_t n) {
    char full[128];
    snprintf(full, sizeof full, "%s/%s", sde, name);
    golden_floats(golden, full, out, n);
}

/* ---- score models to break and to count ---- */

typedef struct solver_model {
    ssde_score_model inner;
    double factor;       /* on the score; 1 */
    double label;        /* times sample % 5, added to the score: a conditional model */
    size_t fail_at;      /* the call that fails, from 1; 0: none */
    uint64_t bad_sample; /* gets NaN from bad_after calls on */
    size_t bad_after, calls, largest;
} solver_model;

static ssde_status solver_model_score(void *user, const float *x, const double *t, const uint64_t *sample, size_t rows,
                                      int differentiate, float *out) {
    solver_model *m = (solver_model *)user;
    size_t i, r;
    m->calls++;
    if (rows > m->largest) m->largest = rows;
    if (m->calls == m->fail_at) return SSDE_ERROR_FILE;
    ssdei_try(m->inner.score(m->inner.user, x, t, sample, rows, differentiate, out));
    for (i = 0; i < rows * m->inner.dim; i++) {
        out[i] *= (float)m->factor;
        out[i] += (float)(m->label * (double)(sample[i / m->inner.dim] % 5));
    }
    for (r = 0; r < rows; r++) {
        if (m->bad_after && m->calls >= m->bad_after && sample[r] == m->bad_sample) out[r * m->inner.dim] = (float)NAN;
    }
    return SSDE_OK;
}
static ssde_status solver_model_vjp(void *user, const float *v, size_t rows, float *out) {
    solver_model *m = (solver_model *)user;
    return m->inner.vjp(m->inner.user, v, rows, out);
}
static ssde_score_model solver_wrap(solver_model *wrapper, ssde_score_model inner) {
    ssde_score_model model = inner;
    memset(wrapper, 0, sizeof *wrapper);
    wrapper->inner = inner;
    wrapper->factor = 1.0;
    model.score = solver_model_score;
    model.vjp = solver_model_vjp;
    model.user = wrapper;
    return model;
}

/* Draws of 0.5 whose addresses are written down. */
typedef struct solver_addresses {
    int stream[32];
    uint32_t step[32];
    size_t count;
} solver_addresses;
static ssde_status solver_address(void *user, int stream, uint32_t step, const uint64_t *sample, size_t rows,
                                  size_t dim, float *out) {
    solver_addresses *a = (solver_addresses *)user;
    size_t i;
    (void)sample;
    if (a->count >= 32) return SSDE_ERROR_LIMIT;
    a->stream[a->count] = stream, a->step[a->count++] = step;
    for (i = 0; i < rows * dim; i++) out[i] = 0.5f;
    return SSDE_OK;
}

/* ---- the integrator ---- */

static int solver_stop_at(void *user, size_t done, size_t total) {
    (void)done;
    return total && --*(int *)user == 0;
}

/* ---- the probability flow ---- */

/* A Gaussian N(mean, std^2) has the closed flow x(t) = m mean + (x(1) - m(1) mean) sqrt(v(t) / v(1)), v = m^2 std^2 +
   std(t)^2. */
static double solver_gaussian_flow(const ssde_sde *sde, double mean, double std, double x, double from, double to) {
    ssde_coefficients a = solver_marginal(sde, from), b = solver_marginal(sde, to);
    return b.mean * mean + (x - a.mean * mean) * sqrt((b.mean * b.mean * std * std + b.std * b.std) /
                                                      (a.mean * a.mean * std * std + a.std * a.std));
}

/* ---- mixtures that several tests draw from ---- */

/* Means and deviations from a fixed pattern. */
static solver_mixture solver_wide_mixture(size_t dim) {
    solver_mixture m;
    size_t i;
    memset(&m, 0, sizeof m);
    m.components = 3, m.dim = dim;
    m.weight[0] = 0.5, m.weight[1] = 0.3, m.weight[2] = 0.2;
    for (i = 0; i < 3 * dim; i++) {
        m.mean[i] = sin(1.7 * (double)i);
        m.variance[i] = 0.05 + 0.04 * cos(2.3 * (double)i);
    }
    return m;
}

/* ---- statistics of samplers ---- */

enum { SOLVER_STATISTICS = 6 };

/* Mean -log p_eps, means, second moments of points in the plane. */
static void solver_statistics(const solver_mixture *m, const ssde_coefficients *c, const float *x, size_t n,
                              double out[SOLVER_STATISTICS]) {
    size_t r;
    memset(out, 0, SOLVER_STATISTICS * sizeof *out);
    for (r = 0; r < n; r++) {
        double point[2], score[2], density, laplacian;
        point[0] = (double)x[2 * r], point[1] = (double)x[2 * r + 1];
        solver_density(m, c, point, &density, score, &laplacian);
        out[0] -= density / (double)n;
        out[1] += point[0] / (double)n;
        out[2] += point[1] / (double)n;
        out[3] += point[0] * point[0] / (double)n;
        out[4] += point[0] * point[1] / (double)n;
        out[5] += point[1] * point[1] / (double)n;
    }
}

/* ---- descriptions of samplers ---- */

/* A desc for a predictor that can run: no corrector, and a score model's x(1) is drawn unless stated. */
static ssde_sampler_desc samplers_desc(ssde_predictor predictor, size_t steps, double eps) {
    ssde_sampler_desc how = ssde_sampler_defaults();
    how.predictor = predictor;
    how.corrector = SSDE_CORRECTOR_NONE;
    how.steps = steps;
    how.eps = eps;
    return how;
}

/* VP's and sub-VP's chains and VE's are the only ones with a kind of their own. */
static int samplers_refused(ssde_predictor predictor, int which) {
    return (predictor == SSDE_PREDICTOR_DDPM && which != 1) || (predictor == SSDE_PREDICTOR_SMLD && which != 0);
}

/* ---- statistics ---- */

/* Mean distance between points of a and b in the plane. */
static double samplers_mean_distance(const float *a, const float *b, size_t n) {
    double sum = 0.0;
    size_t i, j;
    for (i = 0; i < n; i++) {
        for (j = 0; j < n; j++) {
            float dx = a[2 * i] - b[2 * j], dy = a[2 * i + 1] - b[2 * j + 1];
            sum += (double)sqrtf(dx * dx + dy * dy);
        }
    }
    return sum / ((double)n * (double)n);
}

/* Exact draws from p_eps, and what the energy distance between two sets of them can come to. */
typedef struct samplers_exact {
    float *draws;       /* [n, 2] */
    double own, chance; /* their mean distance; the largest energy distance of 40 other sets */
    double mean[SOLVER_STATISTICS], deviation[SOLVER_STATISTICS]; /* of those sets' moments */
    ssde_coefficients at_eps;
    size_t n;
} samplers_exact;

/* The largest deviation of x's moments from those of exact draws, in standard deviations of the latter. */
static double samplers_moments(const samplers_exact *exact, const solver_mixture *m, const float *x) {
    double value[SOLVER_STATISTICS], worst = 0.0;
    size_t i;
    solver_statistics(m, &exact->at_eps, x, exact->n, value);
    for (i = 0; i < SOLVER_STATISTICS; i++) {
        double deviation = fabs(value[i] - exact->mean[i]) / exact->deviation[i];
        if (!(deviation <= worst)) worst = deviation;
    }
    return worst;
}

static double samplers_energy(const samplers_exact *exact, const float *x) {
    return 2.0 * samplers_mean_distance(x, exact->draws, exact->n) - samplers_mean_distance(x, x, exact->n) -
           exact->own;
}

static void samplers_exact_draw(ssde_mixture *mixture, const ssde_coefficients *c, ssde_rng *rng, size_t n, float *x) {
    float *z = (float *)malloc(2 * n * sizeof *z);
    size_t i;
    CHECK_OK(ssde_random_normal(NULL, rng->next_sample, SSDE_STREAM_USER, 0, NULL, n, 2, z));
    CHECK_OK(ssde_mixture_sample(mixture, rng, n, x, NULL));
    for (i = 0; i < 2 * n; i++) x[i] = (float)(c->mean * (double)x[i] + c->std * (double)z[i]);
    free(z);
}

static samplers_exact samplers_exact_make(const solver_mixture *m, ssde_mixture *mixture, const ssde_sde *sde,
                                          double eps, size_t n) {
    samplers_exact exact;
    ssde_rng rng = ssde_rng_seed(4321);
    float *other = (float *)malloc(2 * n * sizeof *other);
    size_t i;
    int k;
    memset(&exact, 0, sizeof exact);
    CHECK_OK(ssde_coefficients_at(NULL, sde, eps, &exact.at_eps));
    exact.draws = (float *)malloc(2 * n * sizeof *other);
    exact.n = n;
    samplers_exact_draw(mixture, &exact.at_eps, &rng, n, exact.draws);
    exact.own = samplers_mean_distance(exact.draws, exact.draws, n);
    for (k = 0; k < 40; k++) {
        double value[SOLVER_STATISTICS];
        samplers_exact_draw(mixture, &exact.at_eps, &rng, n, other);
        exact.chance = fmax(exact.chance, samplers_energy(&exact, other));
        solver_statistics(m, &exact.at_eps, other, n, value);
        for (i = 0; i < SOLVER_STATISTICS; i++) {
            exact.mean[i] += value[i] / 40.0;
            exact.deviation[i] += value[i] * value[i] / 40.0;
        }
    }
    for (i = 0; i < SOLVER_STATISTICS; i++)
        exact.deviation[i] = sqrt(exact.deviation[i] - exact.mean[i] * exact.mean[i]);
    free(other);
    return exact;
}

typedef struct samplers_way {
    ssde_predictor predictor;
    ssde_corrector corrector;
    int flow, corrector_first;
    double eta, churn;
} samplers_way;

/* Everything in the table, and the correctors in both orders. Steps: the defaults of the fast ones. */
static const samplers_way samplers_ways[] = {
    {SSDE_PREDICTOR_DEFAULT, SSDE_CORRECTOR_DEFAULT, 0, 0, 0.0, 0.0},
    {SSDE_PREDICTOR_EULER_MARUYAMA, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 0.0},
    {SSDE_PREDICTOR_REVERSE_DIFFUSION, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 0.0},
    {SSDE_PREDICTOR_ANCESTRAL, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 0.0},
    {SSDE_PREDICTOR_EULER_MARUYAMA, SSDE_CORRECTOR_NONE, 1, 0, 0.0, 0.0},
    {SSDE_PREDICTOR_REVERSE_DIFFUSION, SSDE_CORRECTOR_LANGEVIN, 1, 1, 0.0, 0.0},
    {SSDE_PREDICTOR_REVERSE_DIFFUSION, SSDE_CORRECTOR_LANGEVIN_BATCH, 0, 0, 0.0, 0.0},
    {SSDE_PREDICTOR_NONE, SSDE_CORRECTOR_LANGEVIN, 0, 0, 0.0, 0.0},
    {SSDE_PREDICTOR_DDPM, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 0.0},
    {SSDE_PREDICTOR_SMLD, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 0.0},
    {SSDE_PREDICTOR_STOCHASTIC_HEUN, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 0.0},
    {SSDE_PREDICTOR_STOCHASTIC_HEUN, SSDE_CORRECTOR_NONE, 1, 0, 0.0, 0.0},
    {SSDE_PREDICTOR_ADAPTIVE, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 0.0},
    {SSDE_PREDICTOR_DDIM, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 0.0},
    {SSDE_PREDICTOR_DDIM, SSDE_CORRECTOR_LANGEVIN, 0, 0, 1.0, 0.0},
    {SSDE_PREDICTOR_HEUN, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 0.0},
    {SSDE_PREDICTOR_HEUN, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 5.0},
    {SSDE_PREDICTOR_STRAIGHT_HEUN, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 0.0},
    {SSDE_PREDICTOR_DPM_SOLVER_2M, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 0.0},
    {SSDE_PREDICTOR_DPM_SOLVER_3M, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 0.0},
    {SSDE_PREDICTOR_DPM_SOLVER_2M_SDE, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 0.0},
    {SSDE_PREDICTOR_UNIPC, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 0.0},
    {SSDE_PREDICTOR_PNDM, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 0.0}};
enum { SAMPLERS_WAYS = sizeof samplers_ways / sizeof samplers_ways[0] };

static ssde_sampler_desc samplers_way_desc(const samplers_way *way) {
    ssde_sampler_desc how = samplers_desc(way->predictor, 0, 1e-3);
    how.corrector = way->corrector;
    how.probability_flow = way->flow;
    how.corrector_first = way->corrector_first;
    how.eta = way->eta;
    how.s_churn = way->churn;
    how.skip_denoise = 1;
    if (way->predictor == SSDE_PREDICTOR_NONE) how.corrector_steps = 10, how.snr = 0.5;
    if (way->predictor == SSDE_PREDICTOR_SMLD) how.corrector_steps = 4;
    if (way->predictor == SSDE_PREDICTOR_ADAPTIVE) how.rtol = 0.02, how.atol = 2e-3;
    return how;
}

/* ---- what holds of every sampler, for those that remember, look twice or step alone ---- */

/* Where nothing fresh is drawn, the known part follows m known + std z with one z per sample; beyond the prior's time
   it changes its scale. */
static void samplers_follow(void *user, size_t step, double t, const float *x, size_t n, size_t dim) {
    const ssde_sde *sde = (const ssde_sde *)user;
    ssde_coefficients c;
    double start, scale, spread;
    size_t r;
    (void)step;
    CHECK_OK(ssde_prior_time(NULL, sde, &start, &scale));
    c = solver_marginal(sde, fmin(t, start));
    spread = solver_marginal(sde, t).std / c.std;
    if (t > start) c.mean *= spread, c.std *= spread;
    for (r = 0; r < n; r++) {
        uint64_t sample = r;
        float z[2];
        CHECK_OK(ssde_random_normal(NULL, 8, SSDE_STREAM_CONDITION, 0, &sample, 1, 2, z));
        CHECK_NEAR(x[r * dim], c.mean * 0.5 + c.std * (double)z[0], 1e-5 * (1.0 + c.std));
    }
}

/* ---- schedules whose signal is gone before the end ---- */

enum { SIGNAL_COSINE, SIGNAL_FLOW, SIGNAL_ROOT, SIGNAL_EARLY, SIGNAL_SPREAD, SIGNAL_CLOSED };

/* m(t); std^2 = 1 - m^2, but t for flow matching, 1 beyond the end of the early one, and 3 t^2 for the last. */
static double signal_mean(void *user, double t) {
    const double half_pi = 1.57079632679489661923;
    switch (*(const int *)user) {
        case SIGNAL_COSINE: return cos(half_pi * t);
        case SIGNAL_ROOT: return sqrt(1.0 - t);
        case SIGNAL_EARLY: return t < 0.8 ? 1.0 - t / 0.8 : 0.0;
        default: return 1.0 - t;
    }
}

static double signal_std(void *user, double t) {
    double m = signal_mean(user, t);
    switch (*(const int *)user) {
        case SIGNAL_COSINE:
        case SIGNAL_ROOT: return sqrt((1.0 - m) * (1.0 + m));
        case SIGNAL_EARLY: return t < 0.8 ? t / 0.8 : 1.0;
        case SIGNAL_SPREAD: return 3.0 * t * t;
        default: return t;
    }
}

static double signal_drift(void *user, double t) {
    const double half_pi = 1.57079632679489661923;
    switch (*(const int *)user) {
        case SIGNAL_COSINE: return -half_pi * tan(half_pi * t);
        case SIGNAL_ROOT: return -0.5 / (1.0 - t);
        case SIGNAL_EARLY: return t < 0.8 ? -1.0 / (0.8 - t) : 0.0;
        default: return -1.0 / (1.0 - t);
    }
}

/* g^2 = d std^2 / dt - 2 a std^2 */
static double signal_diffusion(void *user, double t) {
    double a = signal_drift(user, t), std = signal_std(user, t);
    switch (*(const int *)user) {
        case SIGNAL_COSINE:
        case SIGNAL_ROOT: return sqrt(-2.0 * a);
        case SIGNAL_EARLY: return t < 0.8 ? sqrt(2.0 * t / 0.64 - 2.0 * a * std * std) : 0.0;
        case SIGNAL_SPREAD: return sqrt(36.0 * t * t * t - 2.0 * a * std * std);
        default: return sqrt(2.0 * t - 2.0 * a * std * std);
    }
}

/* The closed forms, or a and g alone; VP and sub-VP whose beta is so large that m(1) is 0. */
static ssde_sde signal_sde(int *kind, int closed) {
    ssde_sde sde = ssde_affine(signal_drift, signal_diffusion, kind);
    if (*kind == SIGNAL_CLOSED) return closed ? ssde_vp(0.1, 1e6) : ssde_subvp(0.1, 1e5);
    if (*kind == SIGNAL_FLOW && closed) return ssde_rectified_flow();
    if (closed) sde.mean = signal_mean, sde.std = signal_std;
    return sde;
}

/* ---- interpolation ---- */

static double control_norm(const float *x, size_t n) {
    double sum = 0.0;
    size_t i;
    for (i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

/* ---- every solver under a condition whose outcome is known exactly ---- */

/* The exact classifier of a mixture's component: grad log p_t(k | x) = s_k - s. */
typedef struct control_classifier {
    ssde_score_model all, component;
    double weight; /* 1 is exact */
} control_classifier;
static ssde_status control_classify(void *user, const float *x, const double *t, const uint64_t *sample, size_t rows,
                                    float *gradient) {
    const control_classifier *c = (const control_classifier *)user;
    size_t r, j, dim = c->all.dim;
    float s[SOLVER_MAX_DIM];
    for (r = 0; r < rows; r++) {
        ssdei_try(c->all.score(c->all.user, x + r * dim, t + r, sample + r, 1, 0, s));
        ssdei_try(c->component.score(c->component.user, x + r * dim, t + r, sample + r, 1, 0, gradient + r * dim));
        for (j = 0; j < dim; j++) gradient[r * dim + j] = (float)c->weight * (gradient[r * dim + j] - s[j]);
    }
    return SSDE_OK;
}

static solver_mixture control_component(const solver_mixture *m, size_t k) {
    solver_mixture one = *m;
    one.components = 1;
    one.weight[0] = 1.0;
    memcpy(one.mean, m->mean + k * m->dim, m->dim * sizeof *one.mean);
    memcpy(one.variance, m->variance + k * m->dim, m->dim * sizeof *one.variance);
    return one;
}

/* ---- what is masked out does not matter; samples do not depend on each other ---- */

enum { CONTROL_N = 6, CONTROL_KINDS = 7 };
typedef struct control_data {
    float known[CONTROL_N * 6], mask[CONTROL_N * 6], grey[CONTROL_N * 2], y[CONTROL_N * 3];
} control_data;

/* A tenth of the sum: [user] to [1]. */
static ssde_status control_sum(void *user, const float *x, const uint64_t *sample, size_t rows, float *out) {
    size_t r, j, dim = *(const size_t *)user;
    (void)sample;
    for (r = 0; r < rows; r++) {
        for (out[r] = 0.0f, j = 0; j < dim; j++) out[r] += 0.1f * x[r * dim + j];
    }
    return SSDE_OK;
}
static ssde_status control_spread(void *user, const float *y, const uint64_t *sample, size_t rows, float *out) {
    size_t i, dim = *(const size_t *)user;
    (void)sample;
    for (i = 0; i < rows * dim; i++) out[i] = 0.1f * y[i / dim];
    return SSDE_OK;
}
/* Sums of neighbours: [6] to [3]. */
static ssde_status control_pairs(void *user, const float *x, const uint64_t *sample, size_t rows, float *out) {
    size_t i;
    (void)user, (void)sample;
    for (i = 0; i < 3 * rows; i++) out[i] = x[2 * i] + x[2 * i + 1];
    return SSDE_OK;
}
static ssde_status control_unpair(void *user, const float *y, const uint64_t *sample, size_t rows, float *out) {
    size_t i;
    (void)user, (void)sample;
    for (i = 0; i < 6 * rows; i++) out[i] = y[i / 2];
    return SSDE_OK;
}
static ssde_status control_pull(void *user, const float *x, const double *t, const uint64_t *sample, size_t rows,
                                float *gradient) {
    size_t i;
    (void)user, (void)t;
    for (i = 0; i < 6 * rows; i++) gradient[i] = 0.01f * ((float)(sample[i / 6] % 3) - x[i] / (1.0f + x[i] * x[i]));
    return SSDE_OK;
}

/* Of samples from `first` on; all but the first kind are chained to a pull towards a class. */
static ssde_condition control_condition(const control_data *data, int kind, size_t first, const ssde_condition *next) {
    ssde_condition condition;
    if (kind == 0)
        condition = ssde_inpaint(data->known + first * 6, data->mask + first * 6);
    else if (kind == 1)
        condition = ssde_colourise(data->grey + first * 2);
    else if (kind == 2)
        condition = ssde_measure(control_pairs, control_unpair, NULL, data->y + first * 3, 3, 0.0);
    else if (kind == 3)
        condition = ssde_measure_pigdm(control_pairs, control_unpair, NULL, data->y + first * 3, 3, 0.2, 0.5);
    else if (kind == 4)
        condition = ssde_measure_dps(control_pairs, control_unpair, NULL, data->y + first * 3, 3, 0.5);
    else
        condition = ssde_measure(control_pairs, control_unpair, NULL, data->y + first * 3, 3, 0.2);
    if (kind == 5) condition.data_std = 0.5;
    condition.next = kind ? next : NULL;
    return condition;
}

static control_data control_data_make(void) {
    control_data data;
    size_t i;
    for (i = 0; i < CONTROL_N * 6; i++) {
        data.known[i] = (float)sin(1.3 * (double)i);
        data.mask[i] = i % 3 == 1 ? 1.0f : 0.0f;
    }
    for (i = 0; i < CONTROL_N * 2; i++) data.grey[i] = (float)cos((double)i);
    for (i = 0; i < CONTROL_N * 3; i++) data.y[i] = (float)cos(2.0 * (double)i);
    return data;
}

#endif
