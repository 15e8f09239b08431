/* Samplers' steps as others take them: ends apart from the next times, times down to 0 and from where nothing of x(0)
   is left, DDPM's variances, noise that clipping leaves alone, PNDM. Formulas in double, of a Gaussian. */
#ifndef TEST_SOLVERS_STEPS_H
#define TEST_SOLVERS_STEPS_H

#include "check.h"
#include "fixtures_core.h"
#include "fixtures_solvers.h"

enum { STEPS_ROWS = 3, STEPS_DIM = 2, STEPS_LEVELS = 41, STEPS_MOST = 40 };
static const double steps_mean = 0.3, steps_deviation = 0.5;

/* N(steps_mean, steps_deviation^2) with all that a model can tell: of the rows of its last score. */
typedef struct steps_model {
    const ssde_sde *sde;
    double first, lowest; /* the first call's t and the least */
    const float *x;
    const double *t;
    const uint64_t *sample;
    size_t calls, rows;
} steps_model;

static double steps_denoised(const ssde_sde *sde, double x, double t) {
    ssde_coefficients c = solver_marginal(sde, t);
    double v = steps_deviation * steps_deviation;
    return steps_mean + c.mean * v / (c.mean * c.mean * v + c.std * c.std) * (x - c.mean * steps_mean);
}

/* Of an element of a sample: 0 to 1. */
static double steps_share(uint64_t sample, size_t j) { return 0.25 * (double)((sample * STEPS_DIM + j) % 5); }

static ssde_status steps_score(void *user, const float *x, const double *t, const uint64_t *sample, size_t rows,
                               int differentiate, float *out) {
    steps_model *m = (steps_model *)user;
    size_t i;
    (void)differentiate;
    m->x = x, m->t = t, m->sample = sample, m->rows = rows;
    if (!m->calls++) m->first = m->lowest = t[0];
    if (t[0] < m->lowest) m->lowest = t[0];
    for (i = 0; i < rows * STEPS_DIM; i++) {
        ssde_coefficients c = solver_marginal(m->sde, t[i / STEPS_DIM]);
        double v = c.mean * c.mean * steps_deviation * steps_deviation + c.std * c.std;
        out[i] = (float)((c.mean * steps_mean - (double)x[i]) / v);
    }
    return SSDE_OK;
}
static ssde_status steps_tell_denoised(void *user, size_t rows, float *out) {
    const steps_model *m = (const steps_model *)user;
    size_t i;
    CHECK(rows == m->rows);
    for (i = 0; i < rows * STEPS_DIM; i++) out[i] = (float)steps_denoised(m->sde, (double)m->x[i], m->t[i / STEPS_DIM]);
    return SSDE_OK;
}
static ssde_status steps_tell_variance(void *user, size_t rows, float *out) {
    const steps_model *m = (const steps_model *)user;
    size_t i;
    CHECK(rows == m->rows);
    for (i = 0; i < rows * STEPS_DIM; i++) out[i] = (float)steps_share(m->sample[i / STEPS_DIM], i % STEPS_DIM);
    return SSDE_OK;
}
static ssde_score_model steps_wrap(steps_model *m, const ssde_sde *sde) {
    ssde_score_model model;
    memset(m, 0, sizeof *m);
    memset(&model, 0, sizeof model);
    m->sde = sde;
    model.dim = STEPS_DIM, model.user = m;
    model.score = steps_score, model.denoised = steps_tell_denoised, model.variance = steps_tell_variance;
    return model;
}

/* The four SDEs, then tables: of VP; of VP with a level without noise; of one whose last level holds no signal. */
enum { STEPS_TABLE = SOLVER_SDES, STEPS_CLEAN, STEPS_GONE, STEPS_SDES };
static double steps_table[2][STEPS_LEVELS];
static ssde_sde steps_sde(int which) {
    int i;
    if (which < SOLVER_SDES) return solver_sde(which);
    for (i = 0; i < STEPS_LEVELS; i++) {
        double part = (double)i / (STEPS_LEVELS - 1), angle = 0.02 + 1.5 * part;
        if (which == STEPS_CLEAN) angle = 1.5 * part;
        if (which == STEPS_GONE) angle = 1.5707963267948966 * part;
        steps_table[0][i] = cos(angle);
        steps_table[1][i] = sin(angle);
    }
    if (which == STEPS_GONE) steps_table[0][STEPS_LEVELS - 1] = 0.0;
    return ssde_tabulated(steps_table[0], steps_table[1], NULL, STEPS_LEVELS);
}

/* How an x of the tests' starts, about as wide as the SDE's. */
static void steps_start(const ssde_sde *sde, double t, float *x) {
    ssde_coefficients c = solver_marginal(sde, t);
    size_t i;
    CHECK_OK(ssde_random_normal(NULL, 9, SSDE_STREAM_USER, 0, NULL, STEPS_ROWS, STEPS_DIM, x));
    for (i = 0; i < STEPS_ROWS * STEPS_DIM; i++) x[i] = (float)(c.std * (double)x[i] + c.mean * steps_mean);
}

/* DDIM in D and n, with all of the desc that it reads: eq. 12 of Song et al., DDPM's posterior at eta 1. */
static void steps_ddim(const ssde_sde *sde, const ssde_sampler_desc *how, uint64_t seed, double *x) {
    size_t k, i;
    for (k = 0; k < how->steps; k++) {
        double t = how->times[k], end = how->ends ? how->ends[k] : how->times[k + 1];
        ssde_coefficients a = solver_marginal(sde, t), b = solver_marginal(sde, end);
        double ratio = b.std * a.mean / (a.std * b.mean), lost = how->eta * how->eta * (1.0 - ratio * ratio);
        float z[STEPS_ROWS * STEPS_DIM];
        if (how->variance == SSDE_VARIANCE_WHOLE) lost = 1.0;
        CHECK_OK(ssde_random_normal(NULL, seed, SSDE_STREAM_PREDICTOR, (uint32_t)k, NULL, STEPS_ROWS, STEPS_DIM, z));
        for (i = 0; i < STEPS_ROWS * STEPS_DIM; i++) {
            double d = steps_denoised(sde, x[i], t), n = (x[i] - a.mean * d) / a.std, noise = b.std * b.std * lost;
            double beta = a.std * a.std - a.mean / b.mean * (a.mean / b.mean) * b.std * b.std;
            double f = steps_share(i / STEPS_DIM, i % STEPS_DIM);
            if (how->clip.kind == SSDE_CLIP_RANGE) d = fmin(fmax(d, how->clip.low), how->clip.high);
            if (!how->clip.keep_noise) n = (x[i] - a.mean * d) / a.std;
            if (how->variance == SSDE_VARIANCE_FORWARD && noise > 0.0) noise = beta;
            if (how->variance == SSDE_VARIANCE_LEARNED && noise > 0.0)
                noise = exp(f * log(beta) + (1.0 - f) * log(noise));
            x[i] = b.mean * d + b.std * sqrt(1.0 - lost) * n + sqrt(noise) * (double)z[i];
        }
    }
}

/* What ssde_sample makes of a start, in whole and by one row a call, beside the formula. */
static void steps_against_ddim(const ssde_sde *sde, ssde_sampler_desc how, const char *what) {
    ssde_context context = ssde_context_defaults();
    steps_model wrapper;
    ssde_score_model model = steps_wrap(&wrapper, sde);
    float x[STEPS_ROWS * STEPS_DIM], apart[STEPS_ROWS * STEPS_DIM];
    double expected[STEPS_ROWS * STEPS_DIM], scale = 0.0;
    ssde_rng rng = ssde_rng_seed(5), again = ssde_rng_seed(5);
    size_t i;
    how.predictor = SSDE_PREDICTOR_DDIM, how.corrector = SSDE_CORRECTOR_NONE, how.context = &context;
    how.given_start = how.skip_denoise = 1;
    steps_start(sde, how.times[0], x);
    memcpy(apart, x, sizeof x);
    for (i = 0; i < STEPS_ROWS * STEPS_DIM; i++) expected[i] = (double)x[i];
    steps_ddim(sde, &how, 5, expected);
    CHECK_OK(ssde_sample(sde, &model, &how, &rng, STEPS_ROWS, x));
    CHECK(wrapper.calls == how.steps && wrapper.first == how.times[0]);
    for (i = 0; i < STEPS_ROWS * STEPS_DIM; i++) scale = fmax(scale, fabs(expected[i]));
    for (i = 0; i < STEPS_ROWS * STEPS_DIM; i++) {
        if (!(fabs((double)x[i] - expected[i]) <= 1e-5 * (scale + 1.0)))
            check_report(__FILE__, __LINE__, "%s: element %d is %.8g, expected %.8g", what, (int)i, (double)x[i],
                         expected[i]);
    }
    model.max_rows = 2;
    CHECK_OK(ssde_sample(sde, &model, &how, &again, STEPS_ROWS, apart));
    CHECK_SAME(apart, x, sizeof x);
}

/* Times from where the SDE has signal, or its last, to `last`. */
static void steps_times(const ssde_sde *sde, size_t steps, double last, double *times) {
    double first = sde->kind == SSDE_RECTIFIED_FLOW ? 0.95 : 1.0;
    size_t k;
    for (k = 0; k <= steps; k++) times[k] = first + (last - first) * (double)k / (double)steps;
    times[steps] = last;
}

/* ---- ends ---- */

static void test_sampler_ends(void) {
    enum { N = 8 };
    int which, k;
    for (which = 0; which < STEPS_GONE; which++) {
        ssde_sde sde = steps_sde(which);
        ssde_sampler_desc how = ssde_sampler_defaults();
        double times[N + 1], ends[N], plain[N];
        steps_times(&sde, N, 0.05, times);
        for (k = 0; k < N; k++) {
            plain[k] = times[k + 1];
            ends[k] = times[k + 1] + 0.4 * (times[k] - times[k + 1]) * (k % 3);
        }
        ends[N - 1] = times[N - 1]; /* of no length */
        how.steps = N, how.times = times;
        steps_against_ddim(&sde, how, "times");
        how.ends = ends;
        steps_against_ddim(&sde, how, "ends");
        how.eta = 0.6;
        steps_against_ddim(&sde, how, "ends and noise");
        for (k = SSDE_PREDICTOR_EULER_MARUYAMA; k < SSDE_PREDICTOR_COUNT; k++) { /* those of the next times are none */
            steps_model wrapper;
            ssde_score_model model = steps_wrap(&wrapper, &sde);
            float x[2][STEPS_ROWS * STEPS_DIM];
            int i;
            if (k == SSDE_PREDICTOR_DDPM || k == SSDE_PREDICTOR_SMLD) continue;
            how = samplers_desc((ssde_predictor)k, N, 0.0);
            how.times = times, how.given_start = 1;
            for (i = 0; i < 2; i++) {
                ssde_rng rng = ssde_rng_seed(5);
                ssde_status status = i && ((k >= SSDE_PREDICTOR_DPM_SOLVER_2M && k <= SSDE_PREDICTOR_UNIPC) ||
                                           k == SSDE_PREDICTOR_ADAPTIVE)
                                         ? SSDE_ERROR_UNSUPPORTED
                                         : SSDE_OK;
                steps_start(&sde, times[0], x[i]);
                how.ends = i ? plain : NULL;
                CHECK_STATUS(ssde_sample(&sde, &model, &how, &rng, STEPS_ROWS, x[i]), status);
                if (i && status == SSDE_OK) CHECK_SAME(x[0], x[1], sizeof x[0]);
            }
        }
    }
}

/* Karras et al.'s second order step ends elsewhere, too. */
static void test_sampler_ends_twice(void) {
    ssde_sde sde = ssde_vp(0.1, 20.0);
    steps_model wrapper;
    ssde_score_model model = steps_wrap(&wrapper, &sde);
    ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_HEUN, 1, 0.0);
    double times[2] = {0.8, 0.3}, ends[1] = {0.5}, y, slope, next;
    ssde_coefficients a = solver_marginal(&sde, times[0]), b = solver_marginal(&sde, ends[0]);
    float x[STEPS_DIM] = {0.8f, -0.4f};
    ssde_rng rng = ssde_rng_seed(1);
    how.times = times, how.ends = ends, how.given_start = how.skip_denoise = 1;
    y = (double)x[1] / a.mean;
    slope = (y - steps_denoised(&sde, (double)x[1], times[0])) * a.mean / a.std;
    next = y + (b.std / b.mean - a.std / a.mean) * slope;
    slope += (next - steps_denoised(&sde, b.mean * next, ends[0])) * b.mean / b.std;
    y += 0.5 * (b.std / b.mean - a.std / a.mean) * slope;
    CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 1, x));
    CHECK_NEAR(x[1], b.mean * y, 1e-6);
}

static void test_sampler_ends_refused(void) {
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = ssde_vp(0.1, 20.0);
    steps_model wrapper;
    ssde_score_model model = steps_wrap(&wrapper, &sde);
    double times[4] = {1.0, 0.6, 0.3, 0.1}, ends[3] = {0.7, 0.3, 0.2};
    ssde_rng rng = ssde_rng_seed(1);
    float x[STEPS_DIM] = {0.0f, 0.0f};
#define STEPS_FAILS(predictor_, change, status, words)                                     \
    do {                                                                                   \
        ssde_sampler_desc how = samplers_desc(predictor_, 3, 0.0);                         \
        how.context = &context, how.times = times, how.ends = ends;                        \
        change;                                                                            \
        CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 1, x), status, words); \
    } while (0)
    STEPS_FAILS(SSDE_PREDICTOR_DDIM, how.times = NULL, SSDE_ERROR_UNSUPPORTED, "no times");
    STEPS_FAILS(SSDE_PREDICTOR_ANCESTRAL, how.resamplings = 2, SSDE_ERROR_UNSUPPORTED, "resamplings");
    STEPS_FAILS(SSDE_PREDICTOR_EULER_MARUYAMA, how.brownian = 1, SSDE_ERROR_UNSUPPORTED, "brownian");
    STEPS_FAILS(SSDE_PREDICTOR_DPM_SOLVER_3M, (void)0, SSDE_ERROR_UNSUPPORTED, "dpm_solver_3m");
    STEPS_FAILS(SSDE_PREDICTOR_ADAPTIVE, (void)0, SSDE_ERROR_UNSUPPORTED, "adaptive");
    ends[1] = 0.29;
    STEPS_FAILS(SSDE_PREDICTOR_DDIM, (void)0, SSDE_ERROR_ARGUMENT,
                "ends[1] is 0.28999999999999998, wanted from times[2]");
    ends[1] = 0.61;
    STEPS_FAILS(SSDE_PREDICTOR_DDIM, (void)0, SSDE_ERROR_ARGUMENT, "ends[1] is 0.6");
    ends[1] = (double)NAN;
    STEPS_FAILS(SSDE_PREDICTOR_DDIM, (void)0, SSDE_ERROR_ARGUMENT, "ends[1] is");
    times[3] = -0.1;
    STEPS_FAILS(SSDE_PREDICTOR_DDIM, (void)0, SSDE_ERROR_ARGUMENT, "times[3] is -0.1");
    CHECK(wrapper.calls == 0);
#undef STEPS_FAILS
}

/* ---- the last time, and a run of one evaluation ---- */

/* Where std(0) is 0, a step to 0 denoises what the steps before have left: as Tweedie's formula does there, the noise
   of those that draw some for it left out. */
static void test_sampler_to_data(void) {
    enum { N = 12 };
    ssde_context context = ssde_context_defaults();
    int which, p, skip, runs = 0;
    for (which = 0; which < STEPS_GONE; which++) {
        ssde_sde sde = steps_sde(which);
        double times[N + 1], noise = solver_marginal(&sde, 0.0).std;
        steps_times(&sde, N, 0.0, times);
        CHECK((noise == 0.0) == (which != 0 && which != STEPS_TABLE));
        for (p = SSDE_PREDICTOR_NONE; p < SSDE_PREDICTOR_COUNT; p++) {
            const ssde_predictor_properties *info = ssde_predictor_info((ssde_predictor)p);
            int clean = noise == 0.0, quiet = p >= SSDE_PREDICTOR_DDIM;
            int denoises = p == SSDE_PREDICTOR_ANCESTRAL || (p >= SSDE_PREDICTOR_DDIM && p != SSDE_PREDICTOR_PNDM);
            size_t wanted = (size_t)info->evaluations * N + (p == SSDE_PREDICTOR_PNDM ? 9 : 0) + !clean;
            float x[3][STEPS_ROWS * STEPS_DIM];
            if (p == SSDE_PREDICTOR_DDPM || p == SSDE_PREDICTOR_SMLD) continue;
            for (skip = 0; skip < 3; skip++) { /* with, without, and a step less whose end is denoised */
                steps_model wrapper;
                ssde_score_model model = steps_wrap(&wrapper, &sde);
                ssde_sampler_desc how = samplers_desc((ssde_predictor)p, skip < 2 ? N : N - 1, 0.0);
                ssde_rng rng = ssde_rng_seed(5);
                how.times = times, how.given_start = 1, how.skip_denoise = skip == 1, how.context = &context;
                if (p == SSDE_PREDICTOR_NONE) how.corrector = SSDE_CORRECTOR_LANGEVIN, how.corrector_first = 1;
                steps_start(&sde, times[0], x[skip]);
                if ((p == SSDE_PREDICTOR_ADAPTIVE || p == SSDE_PREDICTOR_NONE) && clean && skip < 2) {
                    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, STEPS_ROWS, x[skip]),
                                SSDE_ERROR_UNSUPPORTED, "after times[12] = 0, where std is 0");
                    continue;
                }
                CHECK_OK(ssde_sample(&sde, &model, &how, &rng, STEPS_ROWS, x[skip]));
                if (!skip && info->evaluations) CHECK(wrapper.calls == wanted - (clean && info->evaluations > 1));
                CHECK(skip == 2 || (wrapper.lowest == 0.0) == (!clean && (!skip || info->evaluations > 1)) ||
                      !info->evaluations || p == SSDE_PREDICTOR_NONE);
            }
            if (!clean || p == SSDE_PREDICTOR_NONE || p == SSDE_PREDICTOR_ADAPTIVE) continue;
            CHECK(!memcmp(x[0], x[1], sizeof x[0]) == (quiet || (p == SSDE_PREDICTOR_ANCESTRAL && which != 1)));
            if (denoises) CHECK_ARRAY(x[0], x[2], STEPS_ROWS * STEPS_DIM, 2e-6);
            runs++;
        }
    }
    CHECK(runs == 4 * 12);
}

/* What asks for a score at the end has none there. */
static void test_sampler_to_data_refused(void) {
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = ssde_vp(0.1, 20.0), ve = ssde_ve(0.01, 50.0);
    steps_model wrapper;
    ssde_score_model model = steps_wrap(&wrapper, &sde);
    static const double times[4] = {1.0, 0.6, 0.3, 0.0};
    ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_DDIM, 3, 0.0);
    ssde_rng rng = ssde_rng_seed(1);
    float x[STEPS_DIM] = {0.0f, 0.0f};
    how.times = times, how.context = &context, how.corrector = SSDE_CORRECTOR_LANGEVIN;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 1, x), SSDE_ERROR_UNSUPPORTED,
                "langevin after times[3] = 0, where std is 0");
    CHECK(wrapper.calls == 0);
    CHECK_OK(ssde_sample(&ve, &model, &how, &rng, 1, x));
    how.corrector_first = 1;
    CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 1, x));
}

static void test_sampler_one_evaluation(void) {
    ssde_context context = ssde_context_defaults();
    int which, p, told;
    for (which = 0; which < STEPS_SDES; which++) {
        ssde_sde sde = steps_sde(which);
        for (p = 0; p < 4; p++) {
            static const ssde_predictor predictors[4] = {SSDE_PREDICTOR_DEFAULT, SSDE_PREDICTOR_DDIM,
                                                         SSDE_PREDICTOR_HEUN, SSDE_PREDICTOR_UNIPC};
            for (told = 0; told < 2; told++) {
                steps_model wrapper;
                ssde_score_model model = steps_wrap(&wrapper, &sde);
                ssde_sampler_desc how = samplers_desc(predictors[p], 0, 0.0);
                double time = 1.0, start, scale;
                float x[STEPS_ROWS * STEPS_DIM];
                size_t i;
                ssde_rng rng = ssde_rng_seed(5);
                if (!told) model.denoised = NULL;
                how.times = &time, how.context = &context;
                if (which == STEPS_GONE && !told) {
                    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, STEPS_ROWS, x), SSDE_ERROR_UNSUPPORTED,
                                "times[0] is 1, where m is 0");
                    continue;
                }
                CHECK_OK(ssde_prior_time(NULL, &sde, &start, &scale));
                CHECK_OK(ssde_sample(&sde, &model, &how, &rng, STEPS_ROWS, x));
                CHECK(wrapper.calls == 1 && rng.next_sample == STEPS_ROWS);
                CHECK(wrapper.first == (p && told ? 1.0 : start));
                for (i = 0; i < STEPS_ROWS * STEPS_DIM; i++) {
                    uint64_t sample = i / STEPS_DIM;
                    double std;
                    float z[STEPS_DIM];
                    CHECK_OK(ssde_prior_std(NULL, &sde, &std));
                    CHECK_OK(ssde_random_normal(NULL, 5, SSDE_STREAM_PRIOR, 0, &sample, 1, STEPS_DIM, z));
                    CHECK_NEAR(
                        x[i],
                        steps_denoised(&sde, std * (p && told ? 1.0 : scale) * (double)z[i % STEPS_DIM], wrapper.first),
                        solver_marginal(&sde, wrapper.first).mean < 1e-3 ? 3e-3 : 2e-5);
                }
                how.skip_denoise = 1;
                CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, STEPS_ROWS, x), SSDE_ERROR_ARGUMENT,
                            "steps is 0 and skip_denoise is set");
            }
        }
    }
}

/* ---- variances, and noise that stays ---- */

static void test_sampler_variances(void) {
    enum { N = 10 };
    int which, kind, clean;
    for (which = 0; which < STEPS_GONE; which++) {
        ssde_sde sde = steps_sde(which);
        for (kind = 0; kind < SSDE_VARIANCE_COUNT; kind++) {
            for (clean = 0; clean < 2; clean++) {
                ssde_sampler_desc how = ssde_sampler_defaults();
                double times[N + 1];
                steps_times(&sde, N, clean ? 0.0 : 0.1, times);
                how.steps = N, how.times = times, how.eta = 1.0, how.variance = (ssde_variance)kind;
                steps_against_ddim(&sde, how, "variance");
            }
        }
    }
}

static void test_sampler_variances_refused(void) {
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = ssde_vp(0.1, 20.0);
    steps_model wrapper;
    ssde_score_model model = steps_wrap(&wrapper, &sde);
    ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_DDIM, 3, 1e-3);
    ssde_rng rng = ssde_rng_seed(1);
    const int none = SSDE_VARIANCE_COUNT;
    double t = 0.5, t_next = 0.4;
    float x[STEPS_DIM] = {0.0f, 0.0f};
    how.context = &context, how.variance = SSDE_VARIANCE_FORWARD;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 1, x), SSDE_ERROR_UNSUPPORTED, "ddim and eta 0");
    how.eta = 1.0, how.probability_flow = 1;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 1, x), SSDE_ERROR_UNSUPPORTED,
                "wanted ddim with eta 1");
    how.probability_flow = 0, how.predictor = SSDE_PREDICTOR_ANCESTRAL;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 1, x), SSDE_ERROR_UNSUPPORTED,
                "variance with ancestral");
    how.predictor = SSDE_PREDICTOR_DDIM, how.variance = SSDE_VARIANCE_LEARNED;
    CHECK_FAILS(&context, ssde_predictor_step(&sde, &how, x, x, x, &t, &t_next, 1, STEPS_DIM, x, NULL),
                SSDE_ERROR_UNSUPPORTED, "variance learned");
    model.variance = NULL;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 1, x), SSDE_ERROR_UNSUPPORTED,
                "model->variance is NULL");
    memcpy(&how.variance, &none, sizeof how.variance);
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 1, x), SSDE_ERROR_ARGUMENT, "variance is 4");
    how.variance = SSDE_VARIANCE_POSTERIOR, how.clip = ssde_clip_to(-1.0, 1.0), how.clip.keep_noise = 1;
    CHECK_FAILS(&context, ssde_clip_score(&sde, &how, x, &t, 1, STEPS_DIM, x), SSDE_ERROR_UNSUPPORTED, "keep_noise");
    how.predictor = SSDE_PREDICTOR_HEUN;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 1, x), SSDE_ERROR_UNSUPPORTED, "keep_noise with heun");
    {
        ssde_flow_desc flow = ssde_flow_defaults();
        flow.context = &context, flow.clip = how.clip;
        CHECK_FAILS(&context, ssde_sample_ode(&sde, &model, &flow, &rng, 1, x, NULL), SSDE_ERROR_UNSUPPORTED,
                    "keep_noise in an ODE");
    }
    CHECK(wrapper.calls == 0);
}

static void test_sampler_keeps_noise(void) {
    enum { N = 10 };
    static const double etas[3] = {0.0, 0.5, 1.0};
    int which, e, keep, last;
    for (which = 0; which < STEPS_SDES; which++) {
        ssde_sde sde = steps_sde(which);
        for (e = 0; e < 3; e++) {
            for (keep = 0; keep < 2; keep++) {
                for (last = 0; last < 2; last++) {
                    ssde_sampler_desc how = ssde_sampler_defaults();
                    double times[N + 1], ends[N];
                    steps_times(&sde, N, last ? 0.0 : 0.1, times);
                    memcpy(ends, times + 1, sizeof ends);
                    ends[3] = times[3], ends[5] += 0.01; /* a step of no length moves D alone */
                    how.steps = N, how.times = times, how.ends = ends, how.eta = etas[e];
                    how.clip = ssde_clip_to(-0.1, 0.4), how.clip.keep_noise = keep;
                    steps_against_ddim(&sde, how, keep ? "noise kept" : "noise moved");
                }
            }
        }
    }
}

/* ---- from where nothing of x(0) is left ---- */

/* DDIM by its formula; the others come to where the flow leads, from the first step of order 1 on. */
static void test_sampler_from_noise(void) {
    enum { N = STEPS_MOST };
    ssde_context context = ssde_context_defaults();
    int which, p, k;
    for (which = 0; which < 2; which++) {
        ssde_sde sde = which ? ssde_rectified_flow() : steps_sde(STEPS_GONE);
        double times[N + 1];
        for (k = 0; k <= N; k++) times[k] = 1.0 - 0.95 * (double)(k * k) / (N * N);
        for (p = SSDE_PREDICTOR_DDIM; p < SSDE_PREDICTOR_COUNT; p++) {
            steps_model wrapper;
            ssde_score_model model = steps_wrap(&wrapper, &sde);
            ssde_sampler_desc how = samplers_desc((ssde_predictor)p, N, 0.0);
            ssde_rng rng = ssde_rng_seed(5);
            float x[STEPS_ROWS * STEPS_DIM], start[STEPS_ROWS * STEPS_DIM];
            size_t i;
            if (p == SSDE_PREDICTOR_DPM_SOLVER_2M_SDE) continue; /* below */
            how.times = times, how.given_start = how.skip_denoise = 1, how.context = &context;
            steps_start(&sde, 1.0, start);
            memcpy(x, start, sizeof x);
            CHECK_OK(ssde_sample(&sde, &model, &how, &rng, STEPS_ROWS, x));
            CHECK(wrapper.first == 1.0);
            for (i = 0; i < STEPS_ROWS * STEPS_DIM; i++)
                CHECK_NEAR(x[i],
                           solver_gaussian_flow(&sde, steps_mean, steps_deviation, (double)start[i], 1.0, times[N]),
                           p == SSDE_PREDICTOR_DDIM ? 5e-2 : 1e-2);
        }
        for (k = 0; k < 3; k++) {
            ssde_sampler_desc how = ssde_sampler_defaults();
            how.times = times, how.steps = N, how.eta = 0.5 * k;
            steps_against_ddim(&sde, how, "from noise");
            if (k == 2) how.variance = SSDE_VARIANCE_LEARNED, steps_against_ddim(&sde, how, "from noise, learned");
        }
    }
}

/* 2M's SDE takes its first step as DDIM with eta 1 does. */
static void test_sampler_from_noise_stochastic(void) {
    ssde_sde sde = steps_sde(STEPS_GONE);
    static const double times[3] = {1.0, 0.975, 0.9};
    static const ssde_predictor predictors[2] = {SSDE_PREDICTOR_DDIM, SSDE_PREDICTOR_DPM_SOLVER_2M_SDE};
    float x[2][STEPS_ROWS * STEPS_DIM];
    int k;
    for (k = 0; k < 2; k++) {
        steps_model wrapper;
        ssde_score_model model = steps_wrap(&wrapper, &sde);
        ssde_sampler_desc how = samplers_desc(predictors[k], 1, 0.0);
        ssde_rng rng = ssde_rng_seed(5);
        how.times = times, how.eta = 1.0, how.skip_denoise = 1;
        CHECK_OK(ssde_sample(&sde, &model, &how, &rng, STEPS_ROWS, x[k]));
        CHECK(wrapper.first == 1.0);
    }
    CHECK_ARRAY(x[1], x[0], STEPS_ROWS * STEPS_DIM, 1e-6);
}

/* What the model does not tell, or the predictor does not take. */
static void test_sampler_from_noise_refused(void) {
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = steps_sde(STEPS_GONE), flow = ssde_rectified_flow();
    static const double times[3] = {1.0, 0.5, 0.1};
    steps_model wrapper;
    ssde_score_model model = steps_wrap(&wrapper, &sde);
    ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_DDIM, 2, 0.0);
    ssde_rng rng = ssde_rng_seed(5);
    double start, scale;
    float x[STEPS_ROWS * STEPS_DIM];
    CHECK_OK(ssde_prior_time(NULL, &sde, &start, &scale));
    how.times = times, how.context = &context;
    how.predictor = SSDE_PREDICTOR_PNDM, how.pndm.sums = SSDE_PREDICT_NOISE;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, STEPS_ROWS, x), SSDE_ERROR_NUMERIC,
                "wanted finite numbers");
    CHECK(wrapper.calls == 0);
    how.predictor = SSDE_PREDICTOR_ANCESTRAL, how.pndm.sums = SSDE_PREDICT_DEFAULT;
    CHECK_OK(ssde_sample(&sde, &model, &how, &rng, STEPS_ROWS, x)); /* by the score, from where one is */
    CHECK(wrapper.first == start);
    how.predictor = SSDE_PREDICTOR_DDIM, model.denoised = NULL;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, STEPS_ROWS, x), SSDE_ERROR_UNSUPPORTED,
                "times[0] is 1, where m is 0");
    wrapper.calls = 0, wrapper.sde = &flow;
    CHECK_OK(ssde_sample(&flow, &model, &how, &rng, STEPS_ROWS, x));
    CHECK(wrapper.first < 1.0);
    how.times = NULL, wrapper.sde = &sde, wrapper.calls = 0;
    CHECK_OK(ssde_sample(&sde, &model, &how, &rng, STEPS_ROWS, x));
    CHECK(wrapper.first == start);
}

/* Models made of others tell D where their own scores say nothing of it. */
static ssde_status steps_term(void *user, const float *x, const double *t, const uint64_t *sample, size_t rows,
                              float *gradient) {
    size_t i;
    (void)user, (void)t, (void)sample;
    for (i = 0; i < rows * STEPS_DIM; i++) gradient[i] = 0.3f * x[i] + 0.1f;
    return SSDE_OK;
}
static void test_guidance_from_noise(void) {
    static const double t = 1.0;
    static const uint64_t sample = 0;
    ssde_sde sde = steps_sde(STEPS_GONE), ve = ssde_ve(0.2, 50.0);
    steps_model wrappers[3];
    ssde_score_model models[3], made[3];
    ssde_condition condition = ssde_guide(steps_term, NULL, 0.7);
    ssde_guided *guided = NULL;
    ssde_cfg *cfg = NULL;
    ssde_cfg_desc desc = ssde_cfg_defaults();
    ssde_converted *converted = NULL;
    int k, j;
    for (k = 0; k < 3; k++) models[k] = steps_wrap(&wrappers[k], k < 2 ? &sde : &ve);
    CHECK_OK(ssde_guided_create(NULL, &guided, &sde, &models[0], &condition, 0, 1));
    desc.conditional = models[0], desc.unconditional = models[1], desc.weight = 1.5;
    CHECK_OK(ssde_cfg_create(&cfg, &sde, &desc));
    CHECK_OK(ssde_converted_create(NULL, &converted, &ve, &models[2], &sde));
    made[0] = ssde_guided_model(guided), made[1] = ssde_cfg_model(cfg), made[2] = ssde_converted_model(converted);
    for (k = 0; k < 3; k++) {
        float x[STEPS_DIM] = {0.7f, -0.2f}, score[STEPS_DIM], d[STEPS_DIM];
        CHECK_OK(made[k].score(made[k].user, x, &t, &sample, 1, 0, score));
        CHECK_OK(made[k].denoised(made[k].user, 1, d));
        for (j = 0; j < STEPS_DIM; j++) CHECK_NEAR(d[j], steps_mean, k < 2 ? 1e-6 : 5e-3); /* VE's at s = 50 */
    }
    ssde_guided_destroy(guided);
    ssde_cfg_destroy(cfg);
    ssde_converted_destroy(converted);
}

/* ---- PNDM ---- */

/* T of the paper's eq. 9 in y = x / m: y' = y + (s' - s) e. */
typedef struct steps_pndm {
    const ssde_sde *sde;
    int velocity;
} steps_pndm;

static double steps_output(const steps_pndm *p, double x, double t) {
    ssde_coefficients c = solver_marginal(p->sde, t);
    double d = steps_denoised(p->sde, x, t), n = (x - c.mean * d) / c.std;
    return p->velocity ? c.mean * n - c.std * d : n;
}
static double steps_transfer(const steps_pndm *p, double x, double from, double to, double o) {
    ssde_coefficients a = solver_marginal(p->sde, from), b = solver_marginal(p->sde, to);
    double n = p->velocity ? (a.mean * o + a.std * x) / (a.mean * a.mean + a.std * a.std) : o;
    return b.mean * ((x - a.std * n) / a.mean + b.std / b.mean * n);
}

/* The paper's algorithms 1 and 2, and diffusers' start. h 0: by the times. */
static double steps_formula_pndm(const steps_pndm *p, int heun, double h, const double *times, const double *ends,
                                 size_t steps, double x) {
    double past[4] = {0.0, 0.0, 0.0, 0.0}, o[4], sum, middle, next, end;
    size_t k;
    for (k = 0; k < steps; k++) {
        next = times[k + 1], end = ends ? ends[k] : next;
        memmove(past + 1, past, 3 * sizeof *past);
        past[0] = o[0] = steps_output(p, x, times[k]);
        if (heun && k == 0) {
            o[1] = steps_output(p, steps_transfer(p, x, times[0], end, o[0]), next);
            x = steps_transfer(p, x, h > 0.0 ? next + h : times[0], next, 0.5 * (o[0] + o[1]));
            continue;
        }
        if (!heun && k < 3) {
            double half = 0.5 * (h > 0.0 ? h : times[k] - next);
            middle = next + half;
            o[1] = steps_output(p, steps_transfer(p, x, times[k], h > 0.0 ? times[k] - half : middle, o[0]), middle);
            o[2] = steps_output(p, steps_transfer(p, x, times[k], middle, o[1]), middle);
            o[3] = steps_output(p, steps_transfer(p, x, times[k], next, o[2]), next);
            sum = (o[0] + 2.0 * o[1] + 2.0 * o[2] + o[3]) / 6.0;
        } else if (k == 1)
            sum = (3.0 * past[0] - past[1]) / 2.0;
        else if (k == 2)
            sum = (23.0 * past[0] - 16.0 * past[1] + 5.0 * past[2]) / 12.0;
        else
            sum = (55.0 * past[0] - 59.0 * past[1] + 37.0 * past[2] - 9.0 * past[3]) / 24.0;
        x = steps_transfer(p, x, times[k], end, sum);
    }
    return x;
}

static void test_sampler_pndm(void) {
    enum { N = 9 };
    int which, heun, velocity, own;
    for (which = 0; which < STEPS_GONE; which++) {
        ssde_sde sde = steps_sde(which);
        for (heun = 0; heun < 2; heun++) {
            for (velocity = 0; velocity < 2; velocity++) {
                for (own = 0; own < 2; own++) { /* others' ends and stages */
                    steps_model wrapper;
                    ssde_score_model model = steps_wrap(&wrapper, &sde);
                    ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_PNDM, N, 0.0);
                    steps_pndm p;
                    double times[N + 1], ends[N], h = own ? 0.1 : 0.0;
                    float x[STEPS_ROWS * STEPS_DIM], start[STEPS_ROWS * STEPS_DIM];
                    ssde_rng rng = ssde_rng_seed(5);
                    size_t k;
                    steps_times(&sde, N, 0.05, times);
                    for (k = 0; k <= N && which == STEPS_TABLE; k++) /* levels 4 apart, so that halves are levels */
                        times[k] = (double)(STEPS_LEVELS - 1 - 4 * k) / (STEPS_LEVELS - 1);
                    for (k = 0; k < N; k++) ends[k] = !heun && k < 3 ? times[k + 1] : times[k + 1] + 0.003;
                    how.times = times, how.given_start = how.skip_denoise = 1;
                    how.pndm.heun_start = heun, how.pndm.step = h;
                    how.pndm.sums = velocity     ? SSDE_PREDICT_VELOCITY
                                    : which == 3 ? SSDE_PREDICT_NOISE
                                                 : SSDE_PREDICT_DEFAULT;
                    if (which == STEPS_CLEAN && !heun) continue; /* halves between levels: below */
                    if (own) how.ends = ends;
                    p.sde = &sde, p.velocity = velocity;
                    steps_start(&sde, times[0], start);
                    memcpy(x, start, sizeof x);
                    CHECK_OK(ssde_sample(&sde, &model, &how, &rng, STEPS_ROWS, x));
                    CHECK(wrapper.calls == N + (heun ? 1 : 9));
                    for (k = 0; k < STEPS_ROWS * STEPS_DIM; k++)
                        CHECK_NEAR(x[k], steps_formula_pndm(&p, heun, h, times, own ? ends : NULL, N, (double)start[k]),
                                   which ? 2e-5 : 3e-4);
                }
            }
        }
    }
}

/* A half step of an odd number of levels is asked for at the lower of both in the middle, of one level in between. */
static void steps_keep_time(void *user, const double *t) {
    double *seen = (double *)user;
    if (seen[0] < 5.0) seen[(int)++seen[0]] = t[0];
}
typedef struct steps_listener {
    ssde_score_model inner;
    double seen[6]; /* how many, and which */
} steps_listener;
static ssde_status steps_listen(void *user, const float *x, const double *t, const uint64_t *sample, size_t rows,
                                int differentiate, float *out) {
    steps_listener *l = (steps_listener *)user;
    steps_keep_time(l->seen, t);
    return l->inner.score(l->inner.user, x, t, sample, rows, differentiate, out);
}
static void test_sampler_pndm_levels(void) {
    static const int first[4] = {40, 40, 40, 40}, next[4] = {36, 35, 39, 35};
    static const double h[4] = {0.0, 0.0, 0.0, 3.0}, middle[4] = {38.0, 37.0, 39.5, 36.0};
    ssde_sde sde = steps_sde(STEPS_TABLE);
    int k;
    for (k = 0; k < 4; k++) {
        steps_model wrapper;
        steps_listener listener;
        ssde_score_model model = steps_wrap(&wrapper, &sde);
        ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_PNDM, 1, 0.0);
        double times[2];
        float x[STEPS_DIM] = {0.5f, 0.6f};
        ssde_rng rng = ssde_rng_seed(5);
        times[0] = first[k] / 40.0, times[1] = next[k] / 40.0;
        memset(&listener, 0, sizeof listener);
        listener.inner = model, model.user = &listener, model.score = steps_listen, model.denoised = NULL;
        how.times = times, how.pndm.step = h[k] / 40.0;
        CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 1, x));
        CHECK(listener.seen[0] == 5.0 && listener.seen[1] == times[0]);
        CHECK_NEAR(40.0 * listener.seen[2], middle[k], 1e-9);
        CHECK_NEAR(40.0 * listener.seen[3], middle[k], 1e-9);
        CHECK(listener.seen[4] == times[1]);
    }
}

/* Root mean square distance from the exact flow, from s = 2 to 0.5 by equal steps of s^power. */
static double steps_pndm_error(const ssde_sde *sde, ssde_pndm pndm, double power, size_t steps) {
    steps_model wrapper;
    ssde_score_model model = steps_wrap(&wrapper, sde);
    ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_PNDM, steps, 0.0);
    double times[129], sum = 0.0;
    float x[STEPS_ROWS * STEPS_DIM], start[STEPS_ROWS * STEPS_DIM];
    ssde_rng rng = ssde_rng_seed(5);
    size_t k;
    for (k = 0; k <= steps; k++) {
        double part = (double)k / (double)steps;
        CHECK_OK(ssde_noise_time(NULL, sde, pow((1.0 - part) * pow(2.0, power) + part * pow(0.5, power), 1.0 / power),
                                 &times[k]));
    }
    how.times = times, how.given_start = how.skip_denoise = 1, how.pndm = pndm;
    steps_start(sde, times[0], start);
    memcpy(x, start, sizeof x);
    CHECK_OK(ssde_sample(sde, &model, &how, &rng, STEPS_ROWS, x));
    for (k = 0; k < STEPS_ROWS * STEPS_DIM; k++)
        sum += pow((double)x[k] -
                       solver_gaussian_flow(sde, steps_mean, steps_deviation, (double)start[k], times[0], times[steps]),
                   2.0);
    return sqrt(sum / (STEPS_ROWS * STEPS_DIM));
}
static void test_sampler_pndm_order(void) {
    static const struct {
        ssde_parameterisation sums;
        int heun_start;
        double power; /* 1: equal steps of s */
        size_t steps;
        double order;
    } ways[] = {{SSDE_PREDICT_NOISE, 0, 1.0, 16, 4.0}, {SSDE_PREDICT_NOISE, 0, 0.3, 64, 2.0},
                {SSDE_PREDICT_NOISE, 1, 0.3, 64, 2.0}, {SSDE_PREDICT_DATA, 0, 0.3, 64, 2.0},
                {SSDE_PREDICT_FLOW, 1, 0.3, 64, 2.0},  {SSDE_PREDICT_VELOCITY, 0, 0.3, 64, 1.0}};
    ssde_sde sde = ssde_vp(0.1, 20.0);
    size_t way;
    for (way = 0; way < sizeof ways / sizeof ways[0]; way++) {
        ssde_pndm pndm;
        double coarse, fine, slope;
        memset(&pndm, 0, sizeof pndm);
        pndm.sums = ways[way].sums, pndm.heun_start = ways[way].heun_start;
        coarse = steps_pndm_error(&sde, pndm, ways[way].power, ways[way].steps);
        fine = steps_pndm_error(&sde, pndm, ways[way].power, 2 * ways[way].steps);
        slope = log(coarse / fine) / log(2.0);
        check_count++;
        if (!(fabs(slope - ways[way].order) <= 0.4))
            check_report(__FILE__, __LINE__, "way %d: order %.3f, errors %.3g and %.3g, expected %g", (int)way, slope,
                         coarse, fine, ways[way].order);
    }
}

static void test_sampler_pndm_refused(void) {
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = ssde_vp(0.1, 20.0);
    steps_model wrapper;
    ssde_score_model model = steps_wrap(&wrapper, &sde);
    ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_DDIM, 3, 1e-3);
    static const double times[4] = {1.0, 0.6, 0.3, 0.1};
    ssde_rng rng = ssde_rng_seed(1);
    const int none = 77;
    float x[STEPS_DIM] = {0.0f, 0.0f};
    how.context = &context, how.pndm.heun_start = 1;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 1, x), SSDE_ERROR_ARGUMENT, "pndm is set");
    how.predictor = SSDE_PREDICTOR_PNDM, how.pndm.sums = SSDE_PREDICT_EDM;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 1, x), SSDE_ERROR_ARGUMENT, "pndm.sums is");
    memcpy(&how.pndm.sums, &none, sizeof how.pndm.sums);
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 1, x), SSDE_ERROR_ARGUMENT, "pndm.sums is 77");
    how.pndm.sums = SSDE_PREDICT_DEFAULT, how.pndm.step = -0.1;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 1, x), SSDE_ERROR_ARGUMENT, "step -0.1");
    how.pndm.step = 0.9, how.times = times;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 1, x), SSDE_ERROR_ARGUMENT, "pndm.step is 0.9");
    how.pndm.heun_start = 0, how.pndm.step = 1.0;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 1, x), SSDE_ERROR_ARGUMENT, "pndm.step is 1");
    CHECK(wrapper.calls == 0);
}

#define TEST_SOLVERS_STEPS_LIST(X)   \
    X(sampler_ends)                  \
    X(sampler_ends_twice)            \
    X(sampler_ends_refused)          \
    X(sampler_to_data)               \
    X(sampler_to_data_refused)       \
    X(sampler_one_evaluation)        \
    X(sampler_variances)             \
    X(sampler_variances_refused)     \
    X(sampler_keeps_noise)           \
    X(sampler_from_noise)            \
    X(sampler_from_noise_stochastic) \
    X(sampler_from_noise_refused)    \
    X(guidance_from_noise)           \
    X(sampler_pndm)                  \
    X(sampler_pndm_levels)           \
    X(sampler_pndm_order)            \
    X(sampler_pndm_refused)

#endif
