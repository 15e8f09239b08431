/* Bounds of what is denoised; editing of what is given; guidance by a weaker model. */
#ifndef TEST_SOLVERS_CLIP_H
#define TEST_SOLVERS_CLIP_H

#include "check.h"
#include "fixtures_core.h"
#include "fixtures_solvers.h"

/* ---- clip: the map ---- */

static int clip_compare(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

/* D' of one sample, as the papers have it, by sorting. */
static void clip_naive(const ssde_clip *clip, double *denoised, size_t dim) {
    double middle = 0.5 * (clip->low + clip->high), half = 0.5 * (clip->high - clip->low), limit = half;
    double sorted[SOLVER_MAX_DIM], place = clip->quantile * (double)(dim - 1);
    size_t j, below = (size_t)place;
    if (clip->kind == SSDE_CLIP_DYNAMIC) {
        for (j = 0; j < dim; j++) sorted[j] = fabs(denoised[j] - middle);
        qsort(sorted, dim, sizeof *sorted, clip_compare);
        limit = sorted[below];
        if (below + 1 < dim) limit += (place - (double)below) * (sorted[below + 1] - limit);
        limit = fmax(limit, half);
    }
    for (j = 0; j < dim; j++) denoised[j] = middle + half / limit * fmin(fmax(denoised[j] - middle, -limit), limit);
}

static ssde_clip clip_kind(int kind) {
    return kind == 0   ? ssde_clip_to(-1.0, 1.0)
           : kind == 1 ? ssde_clip_to(0.25, 2.0)
           : kind == 2 ? ssde_clip_dynamic(-1.0, 1.0, 0.9)
           : kind == 3 ? ssde_clip_dynamic(-0.5, 2.0, 0.5)
                       : ssde_clip_dynamic(-1.0, 1.0, 1.0);
}
enum { CLIP_KINDS = 5, CLIP_DYNAMICS = 2 };

static void clip_map_case(const ssde_sde *sde, double t, int kind, size_t dim) {
    enum { ROWS = 3 };
    ssde_sampler_desc how = ssde_sampler_defaults();
    float x[ROWS * SOLVER_MAX_DIM], score[ROWS * SOLVER_MAX_DIM], clipped[ROWS * SOLVER_MAX_DIM];
    double times[ROWS], mean, std;
    size_t r, j, moved = 0, kept = 0;
    ssde_loss_desc loss = ssde_loss_defaults();
    loss.eps = 1e-9;
    how.clip = clip_kind(kind);
    CHECK_OK(ssde_random_normal(NULL, 1, SSDE_STREAM_USER, (uint32_t)kind, NULL, ROWS, dim, x));
    CHECK_OK(ssde_random_normal(NULL, 2, SSDE_STREAM_USER, (uint32_t)kind, NULL, ROWS, dim, score));
    for (r = 0; r < ROWS; r++) times[r] = r < 2 ? t : 0.5 * t;
    for (r = 0; r < ROWS; r++) { /* a model that takes x(0) for something of the size of 1 */
        CHECK_OK(ssde_loss_marginal(sde, &loss, times[r], &mean, &std));
        for (j = r * dim; j < (r + 1) * dim; j++) {
            x[j] = (float)(mean + std * (double)x[j]);
            score[j] = (float)((mean * 1.2 * (double)score[j] - (double)x[j]) / (std * std));
        }
    }
    memcpy(clipped, score, sizeof score);
    CHECK_OK(ssde_clip_score(sde, &how, x, times, ROWS, dim, clipped));
    for (r = 0; r < ROWS; r++) {
        double denoised[SOLVER_MAX_DIM], bounded[SOLVER_MAX_DIM];
        CHECK_OK(ssde_loss_marginal(sde, &loss, times[r], &mean, &std));
        for (j = 0; j < dim; j++)
            bounded[j] = denoised[j] = ((double)x[r * dim + j] + std * std * (double)score[r * dim + j]) / mean;
        clip_naive(&how.clip, bounded, dim);
        for (j = 0; j < dim; j++) {
            size_t at = r * dim + j;
            double wanted = (mean * bounded[j] - (double)x[at]) / (std * std);
            /* rounding of the score, and of the distances of which the quantile is taken */
            CHECK_NEAR(clipped[at], wanted, 1.2e-7 * fabs(wanted) + 2e-7 * mean * fabs(bounded[j]) / (std * std));
            if (fabs(bounded[j] - denoised[j]) < 1e-12) CHECK(clipped[at] == score[at]);
            if (clipped[at] == score[at])
                kept++;
            else
                moved++;
        }
    }
    if (dim > 2) CHECK(moved > 0 && (kept > 0 || how.clip.kind == SSDE_CLIP_DYNAMIC));
}

static void test_clip_map(void) {
    static const double times[5] = {1e-3, 0.05, 0.5, 0.95, 1.0};
    static const size_t dims[4] = {1, 2, 17, SOLVER_MAX_DIM};
    int which, kind, at, d, flow = SIGNAL_FLOW, cosine = SIGNAL_COSINE;
    for (which = 0; which < 5; which++) {
        ssde_sde sde = which < 3 ? solver_sde(which) : signal_sde(which == 3 ? &flow : &cosine, 1);
        for (at = 0; at < 5; at++)
            for (kind = 0; kind < CLIP_KINDS; kind++)
                for (d = 0; d < 4; d++) /* where m is small, the score has few digits of D, and of D' as many */
                    clip_map_case(&sde, which < 3 ? times[at] : 0.9999 * times[at], kind, dims[d]);
    }
    { /* without signal or noise, and where something is not a number, the score stands */
        ssde_sde sde = signal_sde(&flow, 1);
        ssde_sampler_desc how = ssde_sampler_defaults();
        float x[4] = {3.0f, 3.0f, 3.0f, (float)NAN}, score[4] = {5.0f, (float)NAN, (float)INFINITY, 1.0f}, before[4];
        double t[4] = {1.0, 1.0, 1.0, 1.0};
        for (kind = 0; kind < CLIP_KINDS; kind++) {
            how.clip = clip_kind(kind);
            memcpy(before, score, sizeof score);
            for (at = 0; at < 4; at++) t[at] = 1.0;
            CHECK_OK(ssde_clip_score(&sde, &how, x, t, 4, 1, before));
            CHECK_SAME(before, score, sizeof score);
            for (at = 0; at < 4; at++) t[at] = 0.0;
            CHECK_OK(ssde_clip_score(&sde, &how, x, t, 4, 1, before));
            CHECK_SAME(before, score, sizeof score);
            for (at = 0; at < 4; at++) t[at] = 0.5;
            CHECK_OK(ssde_clip_score(&sde, &how, x, t, 4, 1, before));
            CHECK(before[0] < 5.0f && before[1] != before[1] && before[2] == score[2]);
            CHECK(!(fabs((double)before[3]) <= DBL_MAX) || before[3] == 1.0f);
        }
    }
}

/* Quantiles of the first n numbers' absolute values, as numpy.quantile and, but for its ranks in float, torch.quantile
   give them. */
static void test_clip_quantiles(void) {
    static const float x[14] = {0.0f,  -1.5f, 0.25f, 3.75f, -3.75f, 0.125f, 2.0f,
                                -0.5f, 1e-3f, 1.25f, -2.5f, 7.0f,   1e-30f, -0.7f};
    static const float zeros[14] = {0.0f};
    static const size_t counts[4] = {1, 2, 7, 14};
    static const double at[5] = {0.1, 0.5, 0.9, 0.995, 1.0};
    static const double wanted[4][5] = {{0.0, 0.0, 0.0, 0.0, 0.0},
                                        {0.15, 0.75, 1.35, 1.4925, 1.5},
                                        {0.075, 1.5, 3.75, 3.75, 3.75},
                                        {0.00030000001424923545, 0.9749999940395355, 3.75, 6.78875, 7.0}};
    int n, q;
    for (n = 0; n < 4; n++) {
        ssdei_clip_row row;
        row.keep = 1.0, row.gain = 1.0, row.middle = 0.0, row.x = x, row.score = zeros, row.dim = counts[n];
        for (q = 0; q < 5; q++) CHECK_RELATIVE(ssdei_clip_quantile(&row, at[q], 0.0), wanted[n][q], 1e-12);
        row.score = x, row.gain = -1.0, row.middle = -2.0; /* 2 everywhere */
        for (q = 0; q < 5; q++) CHECK(ssdei_clip_quantile(&row, at[q], 0.0) == 2.0);
    }
    { /* many, with duplicates, against sorting */
        enum { MANY = 1001 };
        static float many[MANY], none[MANY];
        static double sorted[MANY];
        ssdei_clip_row row;
        size_t i;
        CHECK_OK(ssde_random_normal(NULL, 3, SSDE_STREAM_USER, 0, NULL, 1, MANY, many));
        for (i = 0; i < MANY; i++) {
            if (i % 3 == 0) many[i] = (float)floor(4.0 * (double)many[i]) / 4.0f;
            sorted[i] = fabs((double)many[i]);
        }
        qsort(sorted, MANY, sizeof *sorted, clip_compare);
        row.keep = 1.0, row.gain = 1.0, row.middle = 0.0, row.x = many, row.score = none, row.dim = MANY;
        for (i = 0; i < 1000; i++) {
            double place = (double)i, low = sorted[i], high = sorted[i + 1];
            CHECK(i == 0 || ssdei_clip_quantile(&row, place / 1000.0, 0.0) <= high);
            CHECK_NEAR(i ? ssdei_clip_quantile(&row, (place + 0.25) / 1000.0, 0.0) : 0.75 * low + 0.25 * high,
                       0.75 * low + 0.25 * high, 1e-12);
        }
    }
}

/* ---- clip: every sampler ---- */

/* Ways of samplers_ways, then the paper's on the grids by index, then the ODE and the ODE of the whole batch. */
enum { CLIP_ODE = SAMPLERS_WAYS + 4, CLIP_WAYS = CLIP_ODE + 2 };

static int clip_has(int way, int which) {
    return way >= SAMPLERS_WAYS || !samplers_refused(samplers_ways[way].predictor, which);
}

static ssde_status clip_run(const ssde_sde *sde, const ssde_score_model *model, int way, const ssde_clip *clip,
                            double edit_from, const ssde_condition *condition, uint64_t first, size_t n, float *x) {
    ssde_rng rng = ssde_rng_seed(12);
    rng.next_sample = first;
    if (way >= CLIP_ODE) {
        ssde_flow_desc how = ssde_flow_defaults();
        how.rtol = how.atol = 1e-5;
        how.denoise = 1;
        how.edit_from = edit_from;
        if (clip) how.clip = *clip;
        if (condition) how.condition = *condition;
        return (way == CLIP_ODE ? ssde_sample_ode : ssde_sample_ode_batch)(sde, model, &how, &rng, n, x, NULL);
    } else {
        static const samplers_way by_index[4] = {
            {SSDE_PREDICTOR_EULER_MARUYAMA, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 0.0},
            {SSDE_PREDICTOR_REVERSE_DIFFUSION, SSDE_CORRECTOR_LANGEVIN, 0, 1, 0.0, 0.0},
            {SSDE_PREDICTOR_ANCESTRAL, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 0.0},
            {SSDE_PREDICTOR_NONE, SSDE_CORRECTOR_LANGEVIN, 0, 0, 0.0, 0.0}};
        ssde_sampler_desc how =
            samplers_way_desc(way < SAMPLERS_WAYS ? &samplers_ways[way] : &by_index[way - SAMPLERS_WAYS]);
        how.skip_denoise = 0;
        how.steps = 30;
        how.edit_from = edit_from;
        if (way >= SAMPLERS_WAYS) how.grid = way % 2 ? SSDE_GRID_DISCRETE : SSDE_GRID_REFERENCE;
        if (how.predictor == SSDE_PREDICTOR_ADAPTIVE) how.steps = 2, how.rtol = 0.1;
        if (clip) how.clip = *clip;
        if (condition) how.condition = *condition;
        return ssde_sample(sde, model, &how, &rng, n, x);
    }
}

/* A range that holds all leaves every bit alone; a narrow one holds what comes out, and a sample is the same in any
   company. */
static void test_clip_samplers(void) {
    enum { N = 6, DIM = 3 };
    solver_mixture m = solver_wide_mixture(DIM);
    int which, way, kind;
    for (which = 0; which < 3; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_mixture *mixture = NULL;
        solver_model wrapper;
        ssde_score_model model;
        CHECK_OK(solver_mixture_create(&m, NULL, &mixture));
        model = solver_wrap(&wrapper, ssde_mixture_model(mixture, &sde));
        wrapper.label = 0.1;
        for (way = 0; way < CLIP_WAYS; way++) {
            ssde_clip wide = ssde_clip_to(-1e9, 1e9);
            float plain[N * DIM], x[N * DIM], other[N * DIM];
            size_t i, inside = 0;
            if (!clip_has(way, which)) continue;
            model.max_rows = 0;
            CHECK_OK(clip_run(&sde, &model, way, NULL, 0.0, NULL, 0, N, plain));
            CHECK_OK(clip_run(&sde, &model, way, &wide, 0.0, NULL, 0, N, x));
            CHECK_SAME(x, plain, sizeof x);
            wide = ssde_clip_dynamic(-1e9, 1e9, 0.9);
            CHECK_OK(clip_run(&sde, &model, way, &wide, 0.0, NULL, 0, N, x));
            CHECK_SAME(x, plain, sizeof x);
            for (kind = 0; kind < CLIP_KINDS; kind++) {
                ssde_clip clip = clip_kind(kind);
                if (check_quick && (kind + way) % 2) continue;
                model.max_rows = 0;
                CHECK_OK(clip_run(&sde, &model, way, &clip, 0.0, NULL, 0, N, x));
                for (i = 0; i < N * DIM; i++) {
                    CHECK((double)x[i] >= clip.low && (double)x[i] <= clip.high);
                    inside += (double)x[i] > clip.low && (double)x[i] < clip.high;
                }
                if (way + 1 == CLIP_WAYS ||
                    (way < SAMPLERS_WAYS && samplers_ways[way].corrector == SSDE_CORRECTOR_LANGEVIN_BATCH))
                    continue;
                model.max_rows = 2;
                CHECK_OK(clip_run(&sde, &model, way, &clip, 0.0, NULL, 0, 4, other));
                CHECK_OK(clip_run(&sde, &model, way, &clip, 0.0, NULL, 4, 2, other + 4 * DIM));
                CHECK_SAME(other, x, sizeof x);
            }
            CHECK(inside > 0);
        }
        ssde_mixture_destroy(mixture);
    }
}

/* A model that clips its scores itself. */
typedef struct clip_model {
    ssde_score_model inner;
    const ssde_sde *sde;
    ssde_sampler_desc how;
} clip_model;

static ssde_status clip_model_score(void *user, const float *x, const double *t, const uint64_t *sample, size_t rows,
                                    int differentiate, float *out) {
    const clip_model *m = (const clip_model *)user;
    ssdei_try(m->inner.score(m->inner.user, x, t, sample, rows, differentiate, out));
    return ssde_clip_score(m->sde, &m->how, x, t, rows, m->inner.dim, out);
}

/* Every evaluation of every way is clipped: as a model's that does so itself. */
static void test_clip_everywhere(void) {
    enum { N = 6, DIM = 3 };
    solver_mixture m = solver_wide_mixture(DIM);
    int which, way, kind, denoise;
    for (which = 0; which < 3; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_mixture *mixture = NULL;
        clip_model clipping;
        ssde_score_model model, clipped;
        CHECK_OK(solver_mixture_create(&m, NULL, &mixture));
        model = clipped = ssde_mixture_model(mixture, &sde);
        memset(&clipping, 0, sizeof clipping);
        clipping.inner = model, clipping.sde = &sde;
        clipped.score = clip_model_score, clipped.user = &clipping;
        for (kind = 0; kind < CLIP_KINDS; kind++) {
            ssde_clip clip = clip_kind(kind);
            clip.low *= 0.5, clip.high *= 0.5;
            clipping.how.clip = clip;
            for (way = 0; way < SAMPLERS_WAYS + 2; way++) {
                float x[N * DIM], other[N * DIM];
                ssde_rng rng = ssde_rng_seed(3), again = rng;
                denoise = way > SAMPLERS_WAYS;
                if (way >= SAMPLERS_WAYS) {
                    ssde_flow_desc how = ssde_flow_defaults();
                    how.eps = 0.1, how.denoise = denoise;
                    CHECK_OK(ssde_sample_ode(&sde, &clipped, &how, &rng, N, other, NULL));
                    how.clip = clip;
                    CHECK_OK(ssde_sample_ode(&sde, &model, &how, &again, N, x, NULL));
                } else {
                    ssde_sampler_desc how = samplers_way_desc(&samplers_ways[way]);
                    if (!clip_has(way, which) || how.predictor == SSDE_PREDICTOR_DDPM) continue;
                    how.steps = how.predictor == SSDE_PREDICTOR_ADAPTIVE ? 2 : 25;
                    CHECK_OK(ssde_sample(&sde, &clipped, &how, &rng, N, other));
                    how.clip = clip;
                    CHECK_OK(ssde_sample(&sde, &model, &how, &again, N, x));
                }
                if (denoise)
                    CHECK_ARRAY(x, other, N * DIM, 1e-6);
                else
                    CHECK_SAME(x, other, sizeof x);
            }
        }
        ssde_mixture_destroy(mixture);
    }
}

/* Of an exact score whose data lie well within the range, samples keep their law: the denoised stays within the hull of
   the means but for the modes' widths. */
static void test_clip_changes_nothing(void) {
    enum { N = 8 };
    solver_mixture m = solver_ring();
    int which, way;
    for (which = 0; which < 3; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_mixture *mixture = NULL;
        ssde_score_model model;
        ssde_clip clip = ssde_clip_to(-2.0, 2.0);
        CHECK_OK(solver_mixture_create(&m, NULL, &mixture));
        model = ssde_mixture_model(mixture, &sde);
        for (way = 0; way < CLIP_WAYS; way++) {
            float plain[2 * N], x[2 * N];
            if (!clip_has(way, which)) continue;
            if (way >= SAMPLERS_WAYS && way < CLIP_ODE) continue; /* 30 such steps leave points where D is outside */
            CHECK_OK(clip_run(&sde, &model, way, NULL, 0.0, NULL, 0, N, plain));
            CHECK_OK(clip_run(&sde, &model, way, &clip, 0.0, NULL, 0, N, x));
            /* stages of the ODE's first tries lie outside */
            CHECK_ARRAY(x, plain, 2 * N, way < CLIP_ODE ? 1e-5 : 2e-4);
        }
        ssde_mixture_destroy(mixture);
    }
}

/* The DDIM of denoised D' in double: x' = m' D' + std' (x - m D') / std. */
static void test_clip_ddim(void) {
    enum { STEPS = 20, DIM = 2 };
    solver_mixture m = solver_plane();
    int which, kind;
    for (which = 0; which < 3; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_mixture *mixture = NULL;
        ssde_score_model model;
        CHECK_OK(solver_mixture_create(&m, NULL, &mixture));
        model = ssde_mixture_model(mixture, &sde);
        for (kind = 0; kind < CLIP_KINDS; kind++) {
            ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_DDIM, STEPS, 1e-3);
            ssde_rng rng = ssde_rng_seed(2);
            double times[STEPS + 1], y[DIM], moved = 0.0;
            float x[DIM] = {0.7f, -1.3f};
            size_t k, j;
            how.clip = clip_kind(kind);
            how.clip.low *= 0.4, how.clip.high *= 0.4;
            how.given_start = 1;
            CHECK_OK(ssde_sde_time_grid(NULL, &sde, SSDE_GRID_LOG_SNR, 0.0, 1e-3, STEPS, times));
            for (j = 0; j < DIM; j++) x[j] *= which ? 1.0f : 50.0f, y[j] = (double)x[j];
            for (k = 0; k <= STEPS; k++) {
                ssde_coefficients c, next;
                double score[DIM], denoised[DIM], density, laplacian;
                CHECK_OK(ssde_coefficients_at(NULL, &sde, times[k], &c));
                if (k < STEPS) CHECK_OK(ssde_coefficients_at(NULL, &sde, times[k + 1], &next));
                solver_density(&m, &c, y, &density, score, &laplacian);
                for (j = 0; j < DIM; j++) denoised[j] = (y[j] + c.std * c.std * score[j]) / c.mean;
                for (j = 0; j < DIM; j++) moved -= fabs(denoised[j]);
                clip_naive(&how.clip, denoised, DIM);
                for (j = 0; j < DIM; j++) moved += fabs(denoised[j]);
                for (j = 0; j < DIM; j++)
                    y[j] = k < STEPS ? next.mean * denoised[j] + next.std / c.std * (y[j] - c.mean * denoised[j])
                                     : denoised[j];
            }
            CHECK(fabs(moved) > 0.1);
            CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 1, x));
            for (j = 0; j < DIM; j++) CHECK_NEAR(x[j], y[j], 2e-5); /* 20 steps in float */
        }
        ssde_mixture_destroy(mixture);
    }
}

/* DDPM by index, of the SDE's betas and of the user's: the posterior's mean with x0 clipped, sqrt(abar_{i-1}) beta_i /
   (1 - abar_i) x0 + sqrt(alpha_i) (1 - abar_{i-1}) / (1 - abar_i) x, and sqrt(beta_i) z; from the prior, and from data
   with the noise of the first level at or below 0.5. */
static void test_clip_ddpm(void) {
    enum { STEPS = 50, DIM = 2 };
    ssde_sde sde = ssde_vp(0.1, 20.0);
    solver_mixture m = solver_plane();
    ssde_score_model model;
    ssde_mixture *mixture = solver_mixture_model(&m, &sde, &model);
    int own, kind, edit;
    for (own = 0; own < 2; own++) {
        for (kind = 0; kind < CLIP_KINDS; kind++) {
            for (edit = 0; edit < 2; edit++) {
                ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_DDPM, STEPS, 0.0);
                ssde_rng rng = ssde_rng_seed(31);
                int i, first = edit ? 24 : STEPS - 1; /* 24 / 49 is the level below 0.5 */
                double betas[STEPS], abar[STEPS + 1], y[DIM], moved = 0.0;
                float x[DIM] = {0.9f, -0.6f}, z[DIM];
                uint64_t sample = 0;
                size_t j;
                abar[0] = 1.0;
                for (i = 0; i < STEPS; i++) {
                    betas[i] = own ? 0.2 - 0.19 * cos(1.5 * (double)i / (double)STEPS)
                                   : (0.1 + 19.9 * (double)i / (double)(STEPS - 1)) / (double)STEPS;
                    abar[i + 1] = abar[i] * (1.0 - betas[i]);
                }
                if (own) how.schedule = betas;
                how.clip = clip_kind(kind);
                how.clip.low *= 0.4, how.clip.high *= 0.4;
                if (edit) how.edit_from = 0.5;
                CHECK_OK(ssde_random_normal(NULL, 31, SSDE_STREAM_PRIOR, 0, &sample, 1, DIM, z));
                for (j = 0; j < DIM; j++)
                    y[j] = edit ? sqrt(abar[first + 1]) * (double)x[j] + sqrt(1.0 - abar[first + 1]) * (double)z[j]
                                : (double)z[j];
                CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 1, x));
                for (i = first; i >= 0; i--) {
                    double score[DIM], denoised[DIM], density, laplacian, left = 1.0 - abar[i + 1];
                    ssde_coefficients c;
                    CHECK_OK(ssde_coefficients_at(NULL, &sde, (double)i / (double)(STEPS - 1), &c));
                    solver_density(&m, &c, y, &density, score, &laplacian);
                    CHECK_OK(
                        ssde_random_normal(NULL, 31, SSDE_STREAM_PREDICTOR, (uint32_t)(first - i), &sample, 1, DIM, z));
                    for (j = 0; j < DIM; j++) denoised[j] = (y[j] + left * score[j]) / sqrt(abar[i + 1]);
                    for (j = 0; j < DIM; j++) moved -= fabs(denoised[j]);
                    clip_naive(&how.clip, denoised, DIM);
                    for (j = 0; j < DIM; j++) moved += fabs(denoised[j]);
                    for (j = 0; j < DIM; j++) {
                        y[j] = sqrt(abar[i]) * betas[i] / left * denoised[j] +
                               sqrt(1.0 - betas[i]) * (1.0 - abar[i]) / left * y[j];
                        if (i) y[j] += sqrt(betas[i]) * (double)z[j];
                    }
                }
                CHECK(fabs(moved) > 0.1);
                for (j = 0; j < DIM; j++) CHECK_NEAR(x[j], y[j], 2e-5); /* 50 steps in float */
            }
        }
    }
    ssde_mixture_destroy(mixture);
}

/* The flow: there and back through the same clipped field; likelihoods and skip_denoise know of no range. */
static void test_clip_flow(void) {
    enum { N = 64, DIM = 2 };
    int which;
    for (which = 0; which < 3; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_score_model model;
        ssde_mixture *mixture = solver_gaussian_model(DIM, 0.0, 1.0, &sde, &model);
        ssde_flow_desc how = ssde_flow_defaults();
        float latent[N * DIM], x[N * DIM], back[N * DIM], plain[N * DIM];
        size_t i, beyond = 0;
        how.rtol = how.atol = 1e-5;
        how.eps = 0.3; /* nearer to 0 what is beyond the range comes together at its ends */
        CHECK_OK(ssde_prior_sample(NULL, &sde, 5, NULL, N, DIM, latent));
        CHECK_OK(ssde_decode(&sde, &model, &how, 0, N, latent, plain, NULL));
        how.clip = ssde_clip_to(-0.5, 0.5);
        CHECK_OK(ssde_decode(&sde, &model, &how, 0, N, latent, x, NULL));
        CHECK_OK(ssde_encode(&sde, &model, &how, 0, N, x, back, NULL));
        CHECK_ARRAY(back, latent, N * DIM, 2e-3);
        CHECK(check_distance(x, plain, N * DIM) > 0.02);
        for (i = 0; i < N * DIM; i++) beyond += fabs((double)x[i]) > 0.5;
        how.denoise = 1;
        CHECK_OK(ssde_decode(&sde, &model, &how, 0, N, latent, x, NULL));
        for (i = 0; i < N * DIM; i++) CHECK(fabs((double)x[i]) <= 0.5);
        CHECK(beyond > 0); /* at eps there is noise beyond the range */
        ssde_mixture_destroy(mixture);
    }
}

/* Known pixels beyond the range stay what is known; a failed row stays failed; no memory is taken for it. */
static void test_clip_beside(void) {
    enum { N = 5, DIM = 2 };
    static const float known[DIM] = {5.0f, 0.0f}, mask[DIM] = {1.0f, 0.0f};
    solver_mixture m = solver_plane();
    int which, way, kind;
    for (which = 0; which < 3; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_mixture *mixture = NULL;
        solver_model wrapper;
        ssde_score_model model;
        ssde_condition condition = ssde_inpaint_shared(known, mask);
        CHECK_OK(solver_mixture_create(&m, NULL, &mixture));
        model = ssde_mixture_model(mixture, &sde);
        for (way = 0; way < CLIP_WAYS; way++) {
            float x[N * DIM];
            size_t i;
            if (!clip_has(way, which)) continue;
            for (kind = 0; kind < CLIP_KINDS; kind += CLIP_DYNAMICS) {
                ssde_clip clip = clip_kind(kind);
                ssde_score_model bad = solver_wrap(&wrapper, model);
                CHECK_OK(clip_run(&sde, &model, way, &clip, 0.0, &condition, 0, N, x));
                for (i = 0; i < N; i++) CHECK(x[2 * i] == 5.0f && fabs((double)x[2 * i + 1]) <= 1.0);
                if (way + 1 == CLIP_WAYS) continue;
                wrapper.bad_sample = 3, wrapper.bad_after = 2;
                CHECK_STATUS(clip_run(&sde, &bad, way, &clip, 0.0, NULL, 0, N, x), SSDE_ERROR_NUMERIC);
                for (i = 0; i < N; i++) CHECK((x[2 * i] != x[2 * i]) == (i == 3));
            }
        }
        {
            ssde_sampler_desc how = ssde_sampler_defaults();
            ssde_flow_desc flow = ssde_flow_defaults();
            size_t bytes = ssde_sample_memory(&sde, &model, &how, N),
                   more = ssde_flow_memory(&sde, &model, &flow, N, 0);
            how.clip = flow.clip = ssde_clip_dynamic(-1.0, 1.0, 0.995);
            CHECK(bytes && bytes == ssde_sample_memory(&sde, &model, &how, N));
            CHECK(more && more == ssde_flow_memory(&sde, &model, &flow, N, 0));
            how.clip = flow.clip = ssde_clip_to(1.0, 1.0);
            CHECK(!ssde_sample_memory(&sde, &model, &how, N) && !ssde_flow_memory(&sde, &model, &flow, N, 0));
        }
        ssde_mixture_destroy(mixture);
    }
}

static void test_clip_bad_input(void) {
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_score_model model;
    ssde_mixture *mixture = solver_gaussian_model(1, 0.0, 0.5, &sde, &model);
    ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_DDIM, 5, 1e-3);
    ssde_flow_desc flow = ssde_flow_defaults();
    ssde_rng rng = ssde_rng_seed(1);
    static const char *const words[7] = {"low is 1 and high 1", "low is 2 and high 1", "low is",         "high",
                                         "quantile is 0",       "quantile is 1.5",     "quantile is nan"};
    float x = 0.0f, score = 0.0f;
    double t = 0.5;
    int bad;
    how.context = flow.context = &context;
    for (bad = 0; bad < 7; bad++) {
        ssde_clip clip = bad == 0   ? ssde_clip_to(1.0, 1.0)
                         : bad == 1 ? ssde_clip_to(2.0, 1.0)
                         : bad == 2 ? ssde_clip_dynamic((double)NAN, 1.0, 0.9)
                         : bad == 3 ? ssde_clip_to(0.0, (double)INFINITY)
                         : bad == 4 ? ssde_clip_dynamic(0.0, 1.0, 0.0)
                         : bad == 5 ? ssde_clip_dynamic(0.0, 1.0, 1.5)
                                    : ssde_clip_dynamic(0.0, 1.0, (double)NAN);
        how.clip = flow.clip = clip;
        CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 1, &x), SSDE_ERROR_ARGUMENT, words[bad]);
        CHECK_FAILS(&context, ssde_sample_ode(&sde, &model, &flow, &rng, 1, &x, NULL), SSDE_ERROR_ARGUMENT, words[bad]);
        CHECK_FAILS(&context, ssde_clip_score(&sde, &how, &x, &t, 1, 1, &score), SSDE_ERROR_ARGUMENT, words[bad]);
    }
    ssde_mixture_destroy(mixture);
}

/* ---- sampler: editing ---- */

typedef struct edit_frames {
    double times[101];
    float first[16];
} edit_frames;

static void edit_watch(void *user, size_t step, double t, const float *x, size_t n, size_t dim) {
    edit_frames *frames = (edit_frames *)user;
    frames->times[step] = t;
    if (!step) memcpy(frames->first, x, n * dim * sizeof *x);
}

/* An edit is a run from m x + std z, of `steps` steps from edit_from, on any grid; given times say the same. */
static void test_sampler_edit(void) {
    enum { N = 5, DIM = 2, STEPS = 24 };
    solver_mixture m = solver_plane();
    int which, way, flow = SIGNAL_FLOW;
    for (which = 0; which < 4; which++) {
        ssde_sde sde = which < 3 ? solver_sde(which) : signal_sde(&flow, 1);
        ssde_mixture *mixture = NULL;
        ssde_score_model model;
        float data[N * DIM], z[N * DIM];
        size_t i;
        CHECK_OK(solver_mixture_create(&m, NULL, &mixture));
        model = ssde_mixture_model(mixture, &sde);
        CHECK_OK(ssde_random_normal(NULL, 3, SSDE_STREAM_USER, 0, NULL, N, DIM, data));
        CHECK_OK(ssde_random_normal(NULL, 7, SSDE_STREAM_PRIOR, 0, NULL, N, DIM, z));
        for (way = 0; way < SAMPLERS_WAYS; way++) {
            ssde_sampler_desc how = samplers_way_desc(&samplers_ways[way]);
            edit_frames frames;
            float edited[N * DIM], x[N * DIM];
            double mean, std;
            int again;
            if (samplers_refused(how.predictor, which < 3 ? which : 2)) continue;
            if (how.predictor == SSDE_PREDICTOR_DDPM || how.predictor == SSDE_PREDICTOR_SMLD) continue;
            if (which == 3 && samplers_ways[way].corrector != SSDE_CORRECTOR_NONE) continue;
            how.steps = STEPS;
            how.edit_from = 0.4;
            how.trajectory = edit_watch, how.user = &frames;
            if (how.predictor == SSDE_PREDICTOR_ADAPTIVE) how.steps = 3, how.rtol = 0.1;
            memcpy(edited, data, sizeof data);
            {
                ssde_rng rng = ssde_rng_seed(7);
                CHECK_OK(ssde_sample(&sde, &model, &how, &rng, N, edited));
            }
            CHECK(frames.times[0] == 0.4 && frames.times[how.steps] == 1e-3);
            CHECK_OK(ssdei_marginal(NULL, &sde, 0.4, &mean, &std));
            for (i = 0; i < N * DIM; i++) {
                CHECK_NEAR(frames.first[i], mean * (double)data[i] + std * (double)z[i], 3e-6 * (1.0 + std));
            }
            for (again = 0; again < 2; again++) { /* by times; by a start that is given */
                double times[STEPS + 1];
                ssde_rng rng = ssde_rng_seed(7);
                memcpy(times, frames.times, sizeof times);
                how.times = times;
                how.trajectory = NULL;
                memcpy(x, again ? frames.first : data, sizeof data);
                if (again) how.given_start = 1, how.edit_from = 0.0;
                CHECK_OK(ssde_sample(&sde, &model, &how, &rng, N, x));
                CHECK_SAME(x, edited, sizeof x);
            }
            { /* one by one */
                ssde_rng rng = ssde_rng_seed(7);
                how.times = NULL, how.given_start = 0, how.edit_from = 0.4;
                memcpy(x, data, sizeof data);
                for (i = 0; i < N; i++) CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 1, x + i * DIM));
                if (samplers_ways[way].corrector != SSDE_CORRECTOR_LANGEVIN_BATCH) CHECK_SAME(x, edited, sizeof x);
            }
        }
        ssde_mixture_destroy(mixture);
    }
}

/* By index an edit is the end of the whole chain: its levels and the lengths of its steps stay. */
static void test_sampler_edit_by_index(void) {
    enum { N = 3, LEVELS = 6, FROM = 2, STEPS = 12 };
    ssde_context context = ssde_context_defaults();
    static const double sigmas[LEVELS] = {10.0, 5.0, 2.0, 0.7, 0.2, 0.05};
    static const float data[N] = {0.4f, -0.8f, 1.5f};
    ssde_mixture *mixture = NULL;
    ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_SMLD, LEVELS, 0.0);
    ssde_rng rng = ssde_rng_seed(7);
    float x[N], y[N], z[N];
    int i, k;
    CHECK_OK(ssde_gaussian_create(NULL, &mixture, 1, 0.3, 0.5));
    CHECK_OK(ssde_random_normal(NULL, 7, SSDE_STREAM_PRIOR, 0, NULL, N, 1, z));
    { /* SMLD's last levels, from data with noise of the third sigma */
        ssde_sde sde = ssde_ve(0.05, 10.0);
        ssde_score_model model = ssde_mixture_model(mixture, &sde);
        how.context = &context;
        how.schedule = sigmas, how.corrector_steps = 4, how.step_size = 1e-3;
        CHECK_OK(ssde_noise_time(NULL, &sde, sigmas[FROM], &how.edit_from));
        memcpy(x, data, sizeof x);
        CHECK_OK(ssde_sample(&sde, &model, &how, &rng, N, x));
        how.schedule = sigmas + FROM, how.steps = LEVELS - FROM, how.edit_from = 0.0, how.given_start = 1;
        for (i = 0; i < N; i++) y[i] = data[i] + (float)sigmas[FROM] * z[i];
        rng = ssde_rng_seed(7);
        CHECK_OK(ssde_sample(&sde, &model, &how, &rng, N, y));
        CHECK_ARRAY(x, y, N, 1e-6);
        how.schedule = sigmas, how.steps = LEVELS - 1, how.given_start = 0, how.edit_from = 0.2; /* below sigma 0.2 */
        CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, N, y), SSDE_ERROR_ARGUMENT, "edit_from is 0.2");
    }
    { /* Euler-Maruyama with steps of 1 / 12 from the reference's seventh time, in double */
        ssde_sde sde = ssde_vp(0.1, 20.0);
        ssde_score_model model = ssde_mixture_model(mixture, &sde);
        how = samplers_desc(SSDE_PREDICTOR_EULER_MARUYAMA, STEPS, 1e-3);
        how.grid = SSDE_GRID_REFERENCE;
        how.edit_from = 1.0 - 0.999 * 6.0 / 11.0 + 1e-9;
        memcpy(x, data, sizeof x);
        rng = ssde_rng_seed(7);
        CHECK_OK(ssde_sample(&sde, &model, &how, &rng, N, x));
        for (i = 0; i < N; i++) {
            double state = 0.0;
            for (k = 6; k < STEPS; k++) {
                ssde_coefficients c;
                uint64_t sample = (uint64_t)i;
                double beta, score;
                float draw;
                CHECK_OK(ssde_coefficients_at(NULL, &sde, 1.0 - 0.999 * (double)k / 11.0, &c));
                if (k == 6) state = c.mean * (double)data[i] + c.std * (double)z[i];
                CHECK_OK(ssde_random_normal(NULL, 7, SSDE_STREAM_PREDICTOR, (uint32_t)(k - 6), &sample, 1, 1, &draw));
                beta = c.diffusion * c.diffusion;
                score = -(state - c.mean * 0.3) / (c.mean * c.mean * 0.25 + c.std * c.std);
                state += (0.5 * beta * state + beta * score) / 12.0;
                if (k + 1 < STEPS) state += sqrt(beta / 12.0) * (double)draw;
            }
            CHECK_NEAR(x[i], state, 2e-6);
        }
    }
    ssde_mixture_destroy(mixture);
}

/* Of data N(mu, s^2), what is edited and its edit are Gaussian together. x(t) = m x + std z; the reverse SDE gives
   x(eps) of x(t) the forward SDE's law, mean m_e mu + c (x(t) - m mu), c = m v_e / (m_e v), v = m^2 s^2 + std^2; the
   flow x(eps) = m_e mu + sqrt(v_e / v) (x(t) - m mu). */
static void test_sampler_edit_law(void) {
    enum { N = 8000 };
    static const double froms[3] = {0.15, 0.4, 1.0};
    static float data[N], x[N];
    const double mu = 0.3, s = 0.5, eps = 1e-3;
    size_t n = check_quick ? N / 4 : N, i;
    int which, at, flow, rectified = SIGNAL_FLOW;
    for (which = 0; which < 4; which++) {
        ssde_sde sde = which < 3 ? solver_sde(which) : signal_sde(&rectified, 1);
        ssde_score_model model;
        ssde_mixture *mixture = solver_gaussian_model(1, mu, s, &sde, &model);
        for (at = 0; at < 3; at++) {
            for (flow = 0; flow < 2; flow++) {
                double mean, std, mean_eps, std_eps, v, v_eps, factor, variance, covariance;
                double sum = 0.0, squares = 0.0, products = 0.0, first = 0.0, error = 5.0 / sqrt((double)n);
                ssde_rng rng = ssde_rng_seed(3);
                CHECK_OK(ssde_mixture_sample(mixture, &rng, n, data, NULL));
                memcpy(x, data, n * sizeof *x);
                if (flow) {
                    ssde_flow_desc how = ssde_flow_defaults();
                    how.edit_from = froms[at], how.eps = eps;
                    how.rtol = how.atol = 1e-4;
                    CHECK_OK(ssde_sample_ode(&sde, &model, &how, &rng, n, x, NULL));
                } else {
                    ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_DPM_SOLVER_2M_SDE, 100, eps);
                    how.skip_denoise = 1;
                    how.edit_from = froms[at];
                    CHECK_OK(ssde_sample(&sde, &model, &how, &rng, n, x));
                }
                CHECK(rng.next_sample == 2 * n);
                CHECK_OK(ssdei_marginal(NULL, &sde, fmin(froms[at], 0.9999), &mean, &std));
                CHECK_OK(ssdei_marginal(NULL, &sde, eps, &mean_eps, &std_eps));
                v = mean * mean * s * s + std * std, v_eps = mean_eps * mean_eps * s * s + std_eps * std_eps;
                factor = flow ? sqrt(v_eps / v) : mean * v_eps / (mean_eps * v);
                covariance = factor * mean * s * s;
                for (i = 0; i < n; i++) sum += (double)x[i] / (double)n, first += (double)data[i] / (double)n;
                for (i = 0; i < n; i++) {
                    squares += ((double)x[i] - sum) * ((double)x[i] - sum) / (double)n;
                    products += ((double)x[i] - sum) * ((double)data[i] - first) / (double)n;
                }
                variance = v_eps; /* 1% for 150 steps */
                CHECK_NEAR(sum, mean_eps * mu, error * s + 0.003);
                CHECK_NEAR(squares, variance, error * 1.42 * variance + 0.01 * variance);
                CHECK_NEAR(products, covariance, error * sqrt(variance * s * s + covariance * covariance) + 0.003);
            }
        }
        ssde_mixture_destroy(mixture);
    }
}

/* Signal until 0.5, noise that grows on: 1 - 2 t and 2 t. */
static double edit_mean(void *user, double t) { return (void)user, t < 0.5 ? 1.0 - 2.0 * t : 0.0; }
static double edit_std(void *user, double t) { return (void)user, 2.0 * t; }
static double edit_drift(void *user, double t) { return (void)user, t < 0.5 ? -2.0 / (1.0 - 2.0 * t) : 0.0; }
static double edit_diffusion(void *user, double t) {
    double a = edit_drift(user, t), std = edit_std(user, t);
    return sqrt(8.0 * t - 2.0 * a * std * std);
}

/* The flow begins with m x + std z, times `temperature`; later than the signal lasts, with what it was then, spread. */
static void test_flow_edit(void) {
    enum { N = 3 };
    static const double froms[4] = {0.2, 0.45, 0.8, 1.0};
    int which, at, warm;
    size_t i;
    for (which = 0; which < 4; which++) {
        ssde_sde sde = which < 3 ? solver_sde(which) : ssde_affine(edit_drift, edit_diffusion, NULL);
        ssde_score_model model;
        ssde_mixture *mixture;
        float data[N], z[N];
        if (which == 3) sde.mean = edit_mean, sde.std = edit_std;
        mixture = solver_gaussian_model(1, 0.3, 0.5, &sde, &model);
        CHECK_OK(ssde_random_normal(NULL, 3, SSDE_STREAM_USER, 0, NULL, N, 1, data));
        CHECK_OK(ssde_random_normal(NULL, 7, SSDE_STREAM_PRIOR, 0, NULL, N, 1, z));
        for (at = 0; at < 4; at++) {
            for (warm = 0; warm < 2; warm++) {
                ssde_flow_desc how = ssde_flow_defaults();
                ssde_rng rng = ssde_rng_seed(7);
                double mean, std, signal, scale, spread = 1.0, begin;
                float x[N], other[N], first[N];
                CHECK_OK(ssde_prior_time(NULL, &sde, &signal, &scale));
                begin = fmin(signal, froms[at]);
                CHECK_OK(ssdei_marginal(NULL, &sde, begin, &mean, &std));
                if (begin < froms[at]) spread = froms[at] / begin;
                how.rtol = how.atol = 1e-6;
                how.edit_from = froms[at];
                how.temperature = warm ? 0.5 : 0.0;
                how.times = &froms[at], how.time_count = 1, how.states = first;
                memcpy(x, data, sizeof x);
                CHECK_OK(ssde_sample_ode(&sde, &model, &how, &rng, N, x, NULL));
                rng = ssde_rng_seed(7);
                memcpy(other, data, sizeof other);
                CHECK_OK(ssde_sample_ode_batch(&sde, &model, &how, &rng, N, other, NULL));
                for (i = 0; i < N; i++) {
                    double start = mean * (double)data[i] + (warm ? 0.5 : 1.0) * std * (double)z[i];
                    CHECK_NEAR(first[i], spread * start, 3e-7 * (spread * std + 1.0));
                    CHECK_NEAR(x[i], solver_gaussian_flow(&sde, 0.3, 0.5, start, begin, 1e-3), 2e-4);
                    CHECK_NEAR(other[i], x[i], 2e-4);
                }
            }
        }
        ssde_mixture_destroy(mixture);
    }
}

/* Next to no noise gives back what was given; at 1, without a trace of data, it is the prior's run; conditions hold. */
static void test_sampler_edit_ends(void) {
    enum { N = 4, DIM = 2 };
    static const float known[DIM] = {0.7f, 0.0f}, mask[DIM] = {1.0f, 0.0f};
    ssde_condition condition = ssde_inpaint_shared(known, mask);
    ssde_clip none = ssde_clip_to(-1e9, 1e9);
    solver_mixture m = solver_plane();
    int which, way;
    for (which = 0; which < 3; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_mixture *mixture = NULL;
        ssde_score_model model;
        ssde_rng rng = ssde_rng_seed(5);
        float data[N * DIM], x[N * DIM], plain[N * DIM];
        double mean, std;
        size_t i;
        CHECK_OK(solver_mixture_create(&m, NULL, &mixture));
        model = ssde_mixture_model(mixture, &sde);
        CHECK_OK(ssde_mixture_sample(mixture, &rng, N, data, NULL));
        CHECK_OK(ssdei_marginal(NULL, &sde, 2e-3, &mean, &std));
        for (way = 0; way < CLIP_WAYS; way++) {
            if (!clip_has(way, which)) continue;
            if (way < SAMPLERS_WAYS && samplers_ways[way].predictor != SSDE_PREDICTOR_DDPM &&
                samplers_ways[way].predictor != SSDE_PREDICTOR_SMLD &&
                samplers_ways[way].corrector == SSDE_CORRECTOR_NONE) {
                memcpy(x, data, sizeof x);
                CHECK_OK(clip_run(&sde, &model, way, &none, 2e-3, NULL, 0, N, x));
                for (i = 0; i < N * DIM; i++) CHECK_NEAR(x[i], data[i], 6.0 * std);
            }
            memcpy(x, data, sizeof x);
            CHECK_OK(clip_run(&sde, &model, way, &none, 0.5, &condition, 0, N, x));
            for (i = 0; i < N; i++) CHECK(x[i * DIM] == 0.7f);
            if (which) continue;
            memset(x, 0, sizeof x); /* VE: std(1) is the prior's to a rounding */
            CHECK_OK(clip_run(&sde, &model, way, NULL, 1.0, NULL, 0, N, x));
            CHECK_OK(clip_run(&sde, &model, way, NULL, 0.0, NULL, 0, N, plain));
            CHECK_ARRAY(x, plain, N * DIM, 1e-4);
        }
        ssde_mixture_destroy(mixture);
    }
}

static void test_sampler_edit_bad_input(void) {
    static const double values[5] = {-0.1, 1.5, (double)NAN, 1e-3, 5e-4}, given[3] = {0.5, 0.2, 0.1};
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_score_model model;
    ssde_mixture *mixture = solver_gaussian_model(1, 0.0, 0.5, &sde, &model);
    ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_DDIM, 5, 1e-3);
    ssde_flow_desc flow = ssde_flow_defaults();
    ssde_rng rng = ssde_rng_seed(1);
    float x = 0.5f, y;
    int i;
    how.context = flow.context = &context;
    for (i = 0; i < 5; i++) {
        how.edit_from = flow.edit_from = values[i];
        CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 1, &x), SSDE_ERROR_ARGUMENT, "edit_from is");
        CHECK_FAILS(&context, ssde_sample_ode(&sde, &model, &flow, &rng, 1, &x, NULL), SSDE_ERROR_ARGUMENT,
                    "edit_from is");
        CHECK(x == 0.5f);
    }
    how.edit_from = flow.edit_from = 0.5;
    how.given_start = flow.given_start = 1;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 1, &x), SSDE_ERROR_ARGUMENT, "given_start");
    CHECK_FAILS(&context, ssde_sample_ode(&sde, &model, &flow, &rng, 1, &x, NULL), SSDE_ERROR_ARGUMENT, "given_start");
    how.given_start = flow.given_start = 0;
    y = (float)NAN;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 1, &y), SSDE_ERROR_NUMERIC, "x[0][0] is nan");
    CHECK_FAILS(&context, ssde_sample_ode(&sde, &model, &flow, &rng, 1, &y, NULL), SSDE_ERROR_NUMERIC,
                "x[0][0] is nan");
    how.times = given, how.steps = 2, how.edit_from = 0.6;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 1, &x), SSDE_ERROR_ARGUMENT, "wanted edit_from");
    flow.times = values, flow.time_count = 1, flow.states = &y; /* frames outside of the way */
    CHECK_STATUS(ssde_sample_ode(&sde, &model, &flow, &rng, 1, &x, NULL), SSDE_ERROR_ARGUMENT);
    { /* frames on the way; encoding and decoding do not edit */
        double frame = 0.3;
        float states, latent, other;
        flow.times = &frame, flow.states = &states;
        CHECK_OK(ssde_sample_ode(&sde, &model, &flow, &rng, 1, &x, NULL));
        CHECK(states == states);
        frame = 0.6;
        CHECK_FAILS(&context, ssde_sample_ode(&sde, &model, &flow, &rng, 1, &x, NULL), SSDE_ERROR_ARGUMENT,
                    "times[0] is 0.59");
        flow.time_count = 0;
        CHECK_OK(ssde_encode(&sde, &model, &flow, 0, 1, &x, &latent, NULL));
        CHECK_OK(ssde_decode(&sde, &model, &flow, 0, 1, &latent, &y, NULL));
        flow.edit_from = 0.0;
        CHECK_OK(ssde_encode(&sde, &model, &flow, 0, 1, &x, &other, NULL));
        CHECK(other == latent);
        CHECK_NEAR(y, x, 1e-3);
    }
    ssde_mixture_destroy(mixture);
}

/* ---- guidance: away from a weaker model ---- */

/* Autoguidance of two Gaussians N(a, s^2) and N(b, r^2), the weaker one wider: at every t (1 + w) s_1 - w s_0 is the
   score of p_1^(1 + w) / p_0^w, a Gaussian of precision (1 + w) / v_1 - w / v_0. Within the interval, ends among it, to
   the last bit of std / m. */
static void test_guidance_auto(void) {
    enum { ROWS = 4 };
    const double a = 0.3, s = 0.4, b = -0.1, r = 0.7, weight = 1.2;
    static const double times[5] = {1e-3, 0.1, 0.4, 0.8, 1.0};
    static const float x[ROWS] = {-2.0f, 0.1f, 0.7f, 3.0f};
    uint64_t sample[ROWS] = {0, 1, 2, 3};
    int which, at, end;
    size_t i;
    for (which = 0; which < 3; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_cfg_desc desc = ssde_cfg_defaults();
        ssde_mixture *strong = solver_gaussian_model(1, a, s, &sde, &desc.conditional);
        ssde_mixture *weak = solver_gaussian_model(1, b, r, &sde, &desc.unconditional);
        desc.weight = weight;
        for (at = 0; at < 5; at++) {
            ssde_coefficients c;
            double t[ROWS], level, v1, v0, precision, center;
            float plain[ROWS], out[ROWS];
            CHECK_OK(ssde_coefficients_at(NULL, &sde, times[at], &c));
            level = c.std / c.mean;
            v1 = c.mean * c.mean * s * s + c.std * c.std, v0 = c.mean * c.mean * r * r + c.std * c.std;
            precision = (1.0 + weight) / v1 - weight / v0;
            center = ((1.0 + weight) * c.mean * a / v1 - weight * c.mean * b / v0) / precision;
            for (i = 0; i < ROWS; i++) t[i] = times[at];
            CHECK_OK(desc.conditional.score(desc.conditional.user, x, t, sample, ROWS, 0, plain));
            for (end = 0; end < 5; end++) { /* everywhere; just in at either end, just out */
                ssde_cfg *made = NULL;
                ssde_score_model model;
                int in = end < 3;
                desc.low = end == 1 ? level : end == 3 ? nextafter(level, HUGE_VAL) : 0.0;
                desc.high = end == 2 ? level : end == 4 ? nextafter(level, 0.0) : 0.0;
                CHECK_OK(ssde_cfg_create(&made, &sde, &desc));
                model = ssde_cfg_model(made);
                CHECK_OK(model.score(model.user, x, t, sample, ROWS, 0, out));
                for (i = 0; i < ROWS; i++) {
                    double wanted = -((double)x[i] - center) * precision;
                    if (in)
                        CHECK_NEAR(out[i], wanted,
                                   5e-7 * ((1.0 + weight) * fabs((double)plain[i]) + 4.0 * weight / v0 + fabs(wanted)));
                    else
                        CHECK(out[i] == plain[i]);
                }
                ssde_cfg_destroy(made);
            }
        }
        ssde_mixture_destroy(strong);
        ssde_mixture_destroy(weak);
    }
}

#define TEST_SOLVERS_CLIP_LIST(X) \
    X(clip_map)                   \
    X(clip_quantiles)             \
    X(clip_samplers)              \
    X(clip_everywhere)            \
    X(clip_changes_nothing)       \
    X(clip_ddim)                  \
    X(clip_ddpm)                  \
    X(clip_flow)                  \
    X(clip_beside)                \
    X(clip_bad_input)             \
    X(sampler_edit)               \
    X(sampler_edit_by_index)      \
    X(sampler_edit_law)           \
    X(sampler_edit_ends)          \
    X(flow_edit)                  \
    X(sampler_edit_bad_input)     \
    X(guidance_auto)

#endif
