/* Grids, Brownian paths, predictors, correctors and their driver. */
#ifndef TEST_SOLVERS_SAMPLER_H
#define TEST_SOLVERS_SAMPLER_H

#include "check.h"
#include "fixtures_core.h"
#include "fixtures_solvers.h"
#include "golden.h"
#include "threads.h"

/* ---- grid: grids and names ---- */

static void test_grid_times(void) {
    ssde_context context = ssde_context_defaults();
    double times[1001], one[2];
    size_t k;
    ssde_predictor predictor;
    ssde_corrector corrector;
    int i;
    CHECK_OK(ssde_time_grid(NULL, SSDE_GRID_UNIFORM, 1e-3, 1000, times));
    CHECK(times[0] == 1.0 && times[1000] == 1e-3);
    for (k = 0; k < 1000; k++) CHECK_NEAR(times[k] - times[k + 1], 0.999e-3, 1e-15);
    CHECK_OK(ssde_time_grid(NULL, SSDE_GRID_REFERENCE, 1e-3, 12, times));
    for (k = 0; k < 12; k++) CHECK_NEAR(times[k], 1.0 - 0.999 * (double)k / 11.0, 1e-15);
    CHECK(times[12] == 1e-3);
    CHECK_OK(ssde_time_grid(NULL, SSDE_GRID_REFERENCE, 1e-3, 1, one));
    CHECK(one[0] == 1.0 && one[1] == 1e-3);
    CHECK_FAILS(&context, ssde_time_grid(&context, SSDE_GRID_UNIFORM, -0.1, 12, times), SSDE_ERROR_ARGUMENT, "eps");
    CHECK_OK(ssde_time_grid(NULL, SSDE_GRID_QUADRATIC, 0.0, 2, times));
    CHECK(times[0] == 1.0 && times[1] == 0.25 && times[2] == 0.0);
    CHECK_FAILS(&context, ssde_time_grid(&context, SSDE_GRID_UNIFORM, (double)NAN, 12, times), SSDE_ERROR_ARGUMENT,
                "eps");
    CHECK_FAILS(&context, ssde_time_grid(&context, SSDE_GRID_UNIFORM, 0.1, 0, times), SSDE_ERROR_ARGUMENT, "steps");
    CHECK_FAILS(&context, ssde_time_grid(&context, SSDE_GRID_UNIFORM, 0.1, 3, NULL), SSDE_ERROR_ARGUMENT, "times");
    for (i = 0; i < SSDE_PREDICTOR_COUNT; i++) {
        CHECK_OK(ssde_predictor_find(NULL, ssde_predictor_name((ssde_predictor)i), &predictor));
        CHECK((int)predictor == i);
    }
    for (i = 0; i < SSDE_CORRECTOR_COUNT; i++) {
        CHECK_OK(ssde_corrector_find(NULL, ssde_corrector_name((ssde_corrector)i), &corrector));
        CHECK((int)corrector == i);
    }
    CHECK(!ssde_predictor_name(SSDE_PREDICTOR_COUNT) && !ssde_corrector_name(SSDE_CORRECTOR_COUNT));
    CHECK_FAILS(&context, ssde_predictor_find(&context, "heun3", &predictor), SSDE_ERROR_ARGUMENT, "heun3");
    CHECK_FAILS(&context, ssde_corrector_find(&context, NULL, &corrector), SSDE_ERROR_ARGUMENT, "name");
}

/* ---- grid: grids ---- */

/* VP as an affine SDE whose marginals are integrated. */
static double samplers_vp_drift(void *user, double t) { return (void)user, -0.5 * (0.1 + 19.9 * t); }
static double samplers_vp_diffusion(void *user, double t) { return (void)user, sqrt(0.1 + 19.9 * t); }

static double samplers_noise(const ssde_sde *sde, double t) {
    ssde_coefficients c;
    CHECK_OK(ssde_coefficients_at(NULL, sde, t, &c));
    return c.std / c.mean;
}

static void test_grid_of_each_sampler(void) {
    ssde_context context = ssde_context_defaults();
    int which, grid;
    size_t k;
    for (which = 0; which <= SOLVER_SDES; which++) {
        ssde_sde sde =
            which < SOLVER_SDES ? solver_sde(which) : ssde_affine(samplers_vp_drift, samplers_vp_diffusion, NULL);
        double start, scale, low = samplers_noise(&sde, 0.0), high, t;
        CHECK_OK(ssde_prior_time(NULL, &sde, &start, &scale));
        high = samplers_noise(&sde, start);
        for (k = 0; k <= 10; k++) {
            double noise = k == 0 ? low : k == 10 ? high : 0.002 * pow(high / 0.004, (double)k / 10.0);
            if (noise < low) continue;
            CHECK_OK(ssde_noise_time(NULL, &sde, noise, &t));
            CHECK(t >= 0.0 && t <= 1.0);
            CHECK_NEAR(samplers_noise(&sde, t), noise, 1e-9 * noise); /* affine: its own 1e-8 cancels out */
        }
        CHECK_FAILS(&context, ssde_noise_time(&context, &sde, 1.01 * high, &t), SSDE_ERROR_ARGUMENT, "noise is");
        CHECK_FAILS(&context, ssde_noise_time(&context, &sde, (double)NAN, &t), SSDE_ERROR_ARGUMENT, "noise is");
        for (grid = SSDE_GRID_UNIFORM; grid < SSDE_GRID_COUNT; grid++) {
            const size_t steps = 12, last = grid == SSDE_GRID_REFERENCE || grid == SSDE_GRID_DISCRETE ? 11 : 12;
            const double eps = 1e-3, rho = grid == SSDE_GRID_KARRAS ? 5.0 : 0.0;
            double times[13], previous = 0.0, first = 0.0;
            CHECK_OK(ssde_sde_time_grid(NULL, &sde, (ssde_grid)grid, rho, eps, steps, times));
            CHECK(times[0] == (last == 12 ? start : 1.0) && times[steps] == (grid == SSDE_GRID_DISCRETE ? 0.0 : eps));
            for (k = 0; k <= last; k++) {
                ssde_coefficients at = solver_marginal(&sde, times[k]);
                double s = at.std / at.mean;
                double even = grid == SSDE_GRID_QUADRATIC ? sqrt(times[k])
                              : grid == SSDE_GRID_LOG_SNR ? log(s)
                              : grid == SSDE_GRID_KARRAS  ? pow(s, 0.2)
                                                          : times[k];
                if (k == 1) first = even - previous;
                if (k) CHECK(times[k] < times[k - 1]);
                if (k) CHECK_NEAR(even - previous, first, 1e-8 * fabs(first));
                previous = even;
            }
        }
    }
    CHECK_FAILS(&context, ssde_time_grid(&context, SSDE_GRID_KARRAS, 1e-3, 5, NULL), SSDE_ERROR_ARGUMENT, "times");
    {
        ssde_sde sde = ssde_vp(0.1, 20.0);
        double times[6];
        CHECK_FAILS(&context, ssde_time_grid(&context, SSDE_GRID_KARRAS, 1e-3, 5, times), SSDE_ERROR_ARGUMENT, "grid");
        CHECK_FAILS(&context, ssde_sde_time_grid(&context, &sde, SSDE_GRID_DEFAULT, 0.0, 1e-3, 5, times),
                    SSDE_ERROR_ARGUMENT, "grid");
        CHECK_FAILS(&context, ssde_sde_time_grid(&context, &sde, SSDE_GRID_KARRAS, -1.0, 1e-3, 5, times),
                    SSDE_ERROR_ARGUMENT, "rho");
    }
}

/* ---- path: Brownian paths ---- */

static void test_path_values(void) {
    enum { N = 2000, DIM = 3, PARTS = 5 };
    static const double cuts[PARTS + 1] = {0.0, 1e-4, 0.1, 0.2517, 0.5, 1.0};
    ssde_context context = ssde_context_defaults();
    uint64_t *sample = (uint64_t *)malloc(N * sizeof *sample);
    double *t = (double *)malloc(N * sizeof *t), worst = 0.0;
    float *w = (float *)malloc((PARTS + 3) * N * DIM * sizeof *w), *work = w + (PARTS + 1) * N * DIM;
    float *other = work + N * DIM, one[DIM];
    size_t i, k, j;
    for (i = 0; i < N; i++) sample[i] = i;
    for (k = 0; k <= PARTS; k++) {
        for (i = 0; i < N; i++) t[i] = cuts[k];
        CHECK_OK(ssde_brownian(NULL, NULL, 9, t, sample, N, DIM, work, w + k * N * DIM));
    }
    for (i = 0; i < N * DIM; i++) CHECK(w[i] == 0.0f);
    /* Increments over disjoint intervals: variance their length, no correlation. N * DIM draws, so 5 standard errors
       are 0.09 and 0.065. */
    for (k = 0; k < PARTS; k++) {
        for (j = 0; j <= k; j++) {
            double sum = 0.0, scale = sqrt((cuts[k + 1] - cuts[k]) * (cuts[j + 1] - cuts[j]));
            for (i = 0; i < N * DIM; i++)
                sum += ((double)w[(k + 1) * N * DIM + i] - (double)w[k * N * DIM + i]) *
                       ((double)w[(j + 1) * N * DIM + i] - (double)w[j * N * DIM + i]);
            sum /= (double)(N * DIM) * scale;
            CHECK_NEAR(sum, k == j ? 1.0 : 0.0, k == j ? 0.09 : 0.065);
        }
    }
    /* Rows at times of their own, in any company. */
    for (i = 0; i < N; i++) t[i] = cuts[(i * 7) % (PARTS + 1)];
    CHECK_OK(ssde_brownian(NULL, NULL, 9, t, sample, N, DIM, work, other));
    for (i = 0; i < N; i++) {
        k = (i * 7) % (PARTS + 1);
        worst += memcmp(other + i * DIM, w + (k * N + i) * DIM, DIM * sizeof *w) ? 1.0 : 0.0;
    }
    CHECK(worst == 0.0);
    sample[0] = 77;
    CHECK_OK(ssde_brownian(NULL, NULL, 9, &cuts[3], sample, 1, DIM, work, one));
    CHECK_SAME(one, w + (3 * N + 77) * DIM, sizeof one);
    /* Neighbouring places: the path is continuous, |W(t + d) - W(t)| ~ sqrt(d). */
    t[0] = 0.3, t[1] = 0.3 + 1e-6;
    sample[0] = sample[1] = 5;
    CHECK_OK(ssde_brownian(NULL, NULL, 9, t, sample, 2, DIM, work, other));
    for (j = 0; j < DIM; j++) CHECK_NEAR(other[j], other[DIM + j], 6e-3);
    t[0] = 1.5;
    CHECK_FAILS(&context, ssde_brownian(&context, NULL, 9, t, sample, 1, DIM, work, other), SSDE_ERROR_ARGUMENT,
                "t[0]");
    free(sample);
    free(t);
    free(w);
}

/* Every reverse-SDE sampler, in each its own way, comes to the same end of the same path. */
static void samplers_path_run(const ssde_sde *sde, const ssde_score_model *model, ssde_predictor predictor,
                              size_t steps, size_t n, float *x) {
    ssde_sampler_desc how = samplers_desc(predictor, steps, 0.01);
    ssde_rng rng = ssde_rng_seed(12);
    how.brownian = how.skip_denoise = 1;
    how.grid = SSDE_GRID_UNIFORM;
    how.eta = predictor == SSDE_PREDICTOR_DDIM ? 1.0 : 0.0;
    how.rtol = how.atol = 0.5 / (double)steps;
    if (predictor == SSDE_PREDICTOR_ADAPTIVE) how.steps = 2;
    CHECK_OK(ssde_sample(sde, model, &how, &rng, n, x));
}

static double samplers_apart(const float *a, const float *b, size_t count) {
    double sum = 0.0;
    size_t i;
    for (i = 0; i < count; i++) sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sqrt(sum / (double)count);
}
static double samplers_unlike(const ssde_sde *sde, const ssde_score_model *model, size_t n, const float *fine) {
    ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_EULER_MARUYAMA, 128, 0.01);
    ssde_rng rng = ssde_rng_seed(12);
    float x[64];
    how.skip_denoise = 1;
    CHECK_OK(ssde_sample(sde, model, &how, &rng, n, x));
    return samplers_apart(x, fine, n * model->dim);
}

static void test_path_strong_order(void) {
    static const ssde_predictor ways[] = {SSDE_PREDICTOR_EULER_MARUYAMA, SSDE_PREDICTOR_REVERSE_DIFFUSION,
                                          SSDE_PREDICTOR_ANCESTRAL,      SSDE_PREDICTOR_STOCHASTIC_HEUN,
                                          SSDE_PREDICTOR_DDIM,           SSDE_PREDICTOR_DPM_SOLVER_2M_SDE,
                                          SSDE_PREDICTOR_ADAPTIVE};
    enum { N = 20, DIM = 2 };
    solver_mixture m = solver_plane();
    float fine[N * DIM], x[N * DIM];
    size_t n = check_quick ? 10 : N, most = 4096;
    double more = check_quick ? 0.15 : 0.0; /* ten paths scatter the slope */
    int which;
    size_t way;
    m.components = 1, m.weight[0] = 1.0; /* log-concave: paths do not part */
    for (which = 0; which < SOLVER_SDES; which++) {
        ssde_sde sde = which == 0 ? ssde_ve(0.01, 5.0) : solver_sde(which);
        ssde_score_model model;
        ssde_mixture *mixture = solver_mixture_model(&m, &sde, &model);
        double euler = 0.0;
        samplers_path_run(&sde, &model, SSDE_PREDICTOR_STOCHASTIC_HEUN, most, n, fine);
        for (way = 0; way < sizeof ways / sizeof ways[0]; way++) {
            double coarse, close, slope;
            samplers_path_run(&sde, &model, ways[way], most / 32, n, x);
            coarse = samplers_apart(x, fine, n * DIM);
            samplers_path_run(&sde, &model, ways[way], most / 8, n, x);
            close = samplers_apart(x, fine, n * DIM);
            slope = log(coarse / close) / log(4.0);
            if (!way) euler = close;
            /* Order 1, more where the exact weights of exponential steps still gain; adaptive: with the tolerance, as a
               step of error h^1.5 allows. */
            if (!(ways[way] == SSDE_PREDICTOR_ADAPTIVE ? slope > 0.4 - more
                                                       : slope > 0.8 - more && slope < 1.6 + more) ||
                !(close < 0.03) || (ways[way] == SSDE_PREDICTOR_STOCHASTIC_HEUN && !(close < 0.5 * euler)))
                check_report(__FILE__, __LINE__, "%s %s: order %.3f, errors %.3g and %.3g", solver_sde_names[which],
                             ssde_predictor_name(ways[way]), slope, coarse, close);
        }
        /* without `brownian` another step count is another path */
        CHECK(samplers_unlike(&sde, &model, n, fine) > 3.0 * euler);
        ssde_mixture_destroy(mixture);
    }
}

/* ---- path: what makes samplers of few dimensions fast: kernels of points in the plane ---- */

/* Normals of short rows are those of each row alone, on every tier, whatever the sample's number. */
static void test_path_short_rows(void) {
    enum { N = 75 };
    ssde_context context = ssde_context_defaults();
    uint64_t sample[N];
    float together[N * 5], alone[5], plain[N * 5];
    size_t dim, i;
    int tier;
    for (i = 0; i < N; i++) sample[i] = (uint64_t)i * 2654435761u << (i % 8);
    for (dim = 1; dim <= 5; dim++) {
        for (tier = SSDE_TIER_BEST; tier < SSDE_TIER_COUNT; tier++) {
            context.tier = (ssde_tier)tier;
            CHECK_OK(ssde_random_normal(&context, 7, 3, 9, sample, N, dim, together));
            if (tier == SSDE_TIER_BEST) memcpy(plain, together, sizeof plain);
            CHECK_SAME(together, plain, N * dim * sizeof *plain);
            for (i = 0; i < N; i++) {
                CHECK_OK(ssde_random_normal(&context, 7, 3, 9, sample + i, 1, dim, alone));
                CHECK_SAME(alone, together + i * dim, dim * sizeof *alone);
            }
        }
    }
}

/* ---- path ---- */

/* Noise that rests for a while: std / m is the same from 0.6 to 0.4. The path goes on below it all the same. */
static double path_rest_drift(void *user, double t) { return (void)user, 0.0 * t; }
static double path_rest_diffusion(void *user, double t) { return (void)user, t > 0.4 && t < 0.6 ? 0.0 : 1.0; }
static double path_rest_mean(void *user, double t) { return (void)user, 1.0 + 0.0 * t; }
static double path_rest_std(void *user, double t) { return (void)user, sqrt(t > 0.6 ? t - 0.2 : fmin(t, 0.4)); }

enum { PATH_REST_STEPS = 10 };

/* z of each step by the path's increment; user: the times. */
static ssde_status path_rest_fill(void *user, int stream, uint32_t step, const uint64_t *sample, size_t rows,
                                  size_t dim, float *out) {
    const double *times = (const double *)user;
    float from[8], to[8], work[8];
    double length[2], t[2];
    size_t i;
    if (stream != SSDE_STREAM_PREDICTOR) return ssde_random_normal(NULL, 3, stream, step, sample, rows, dim, out);
    t[0] = times[step], t[1] = times[step + 1];
    CHECK(rows == 1 && dim <= 8);
    CHECK_OK(ssde_brownian(NULL, NULL, 3, &t[0], sample, 1, dim, work, from));
    CHECK_OK(ssde_brownian(NULL, NULL, 3, &t[1], sample, 1, dim, work, to));
    for (i = 0; i < 2; i++) length[i] = floor(t[i] * 16777216.0 + 0.5) / 16777216.0;
    for (i = 0; i < dim; i++) out[i] = (from[i] - to[i]) * (float)(1.0 / sqrt(length[0] - length[1]));
    return SSDE_OK;
}

static void test_path_rests(void) {
    static const ssde_predictor predictors[] = {SSDE_PREDICTOR_ANCESTRAL, SSDE_PREDICTOR_STOCHASTIC_HEUN,
                                                SSDE_PREDICTOR_DDIM, SSDE_PREDICTOR_DPM_SOLVER_2M_SDE};
    ssde_sde sde = ssde_affine(path_rest_drift, path_rest_diffusion, NULL);
    ssde_mixture *mixture = NULL;
    ssde_score_model model;
    double times[PATH_REST_STEPS + 1];
    size_t k;
    sde.mean = path_rest_mean, sde.std = path_rest_std;
    CHECK_OK(ssde_ring_create(NULL, &mixture, 8, 1.0, 0.1));
    model = ssde_mixture_model(mixture, &sde);
    for (k = 0; k <= PATH_REST_STEPS; k++) times[k] = 1.0 - 0.098 * (double)k;
    for (k = 0; k < sizeof predictors / sizeof predictors[0]; k++) {
        ssde_sampler_desc how = samplers_desc(predictors[k], PATH_REST_STEPS, 0.0);
        ssde_rng rng = ssde_rng_seed(3);
        float x[2], expected[2];
        how.times = times;
        if (predictors[k] == SSDE_PREDICTOR_DDIM) how.eta = 1.0;
        how.brownian = 1;
        CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 1, x));
        how.brownian = 0;
        how.noise.fill = path_rest_fill, how.noise.user = times;
        rng = ssde_rng_seed(3);
        CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 1, expected));
        CHECK_SAME(x, expected, sizeof x);
    }
    ssde_mixture_destroy(mixture);
}

/* What a place on a path is made of: draw 0, then of each level l, until the place is an endpoint, draw 2^l + the
   number of the interval that holds it. No two intervals share a draw. */
static void test_path_draws(void) {
    ssde_noise_source source;
    solver_addresses asked;
    uint64_t sample = 3;
    float work, out;
    size_t place;
    source.fill = solver_address, source.user = &asked;
    for (place = 1; place < 64; place++) {
        double t = (double)place / 64.0;
        size_t level = 0;
        asked.count = 0;
        CHECK_OK(ssde_brownian(NULL, &source, 1, &t, &sample, 1, 1, &work, &out));
        CHECK(asked.count > 1 && asked.step[0] == 0);
        for (level = 0; place << level & 63; level++)
            CHECK(asked.count > level + 1 && asked.step[level + 1] == (1u << level) + (uint32_t)(place << level) / 64);
        CHECK(asked.count == level + 1);
        for (level = 0; level < asked.count; level++) CHECK(asked.stream[level] == SSDE_STREAM_BROWNIAN);
    }
}

/* Without noise there is no path to follow, whatever `brownian` says. */
static void test_path_unused(void) {
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_score_model model;
    ssde_mixture *mixture = solver_gaussian_model(1, 0.5, 0.3, &sde, &model);
    int p;
    for (p = SSDE_PREDICTOR_NONE + 1; p < SSDE_PREDICTOR_COUNT; p++) {
        ssde_sampler_desc how = samplers_desc((ssde_predictor)p, 5, 1e-3);
        ssde_rng rng = ssde_rng_seed(1);
        solver_addresses asked;
        float x = 1.0f;
        asked.count = 0;
        if (p == SSDE_PREDICTOR_ANCESTRAL || p == SSDE_PREDICTOR_DDPM || p == SSDE_PREDICTOR_SMLD) continue;
        how.probability_flow = how.brownian = how.given_start = 1;
        how.noise.fill = solver_address, how.noise.user = &asked;
        CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 1, &x));
        CHECK(asked.count == 0);
    }
    ssde_mixture_destroy(mixture);
}

/* ---- sampler: the reference's single updates and a run of twelve steps ---- */

static void solver_golden_update(const golden_file *golden, int which, const char *name, ssde_sampler_desc how) {
    ssde_sde sde = solver_sde(which);
    const char *folder = solver_sde_names[which];
    char mean_name[64];
    float x[20], score[20], noise[20], expected[20], expected_mean[20], next[20], mean[20];
    double t[5];
    int flow = how.probability_flow;
    how.grid = SSDE_GRID_REFERENCE;
    snprintf(mean_name, sizeof mean_name, "%s_mean", name);
    solver_golden_doubles(golden, folder, "t", t, 5);
    solver_golden_floats(golden, folder, "x", x, 20);
    solver_golden_floats(golden, folder, "score", score, 20);
    solver_golden_floats(golden, folder, "noise", noise, 20);
    solver_golden_floats(golden, folder, name, expected, 20);
    if (!flow) solver_golden_floats(golden, folder, mean_name, expected_mean, 20);
    if (how.corrector != SSDE_CORRECTOR_DEFAULT)
        CHECK_OK(ssde_corrector_step(&sde, &how, x, score, noise, t, 5, 4, next, mean));
    else
        CHECK_OK(ssde_predictor_step(&sde, &how, x, score, noise, t, NULL, 5, 4, next, mean));
    /* Float's rounding, a few times over. */
    CHECK_ARRAY(next, expected, 20, 2e-7);
    CHECK_ARRAY(mean, flow ? expected : expected_mean, 20, 2e-7);
}

static void test_sampler_golden_updates(void) {
    golden_file *golden = golden_open(GOLDEN_SOLVERS);
    int which;
    if (!golden) return;
    for (which = 0; which < 3; which++) {
        ssde_sampler_desc how = ssde_sampler_defaults();
        if (which == 2) how.discretisation = SSDE_DISCRETISE_EULER; /* all the reference has for sub-VP */
        how.predictor = SSDE_PREDICTOR_EULER_MARUYAMA;
        solver_golden_update(golden, which, "euler_maruyama", how);
        how.predictor = SSDE_PREDICTOR_REVERSE_DIFFUSION;
        solver_golden_update(golden, which, "reverse_diffusion", how);
        how.probability_flow = 1;
        solver_golden_update(golden, which, "reverse_diffusion_probability_flow", how);
        how.probability_flow = 0;
        how.predictor = SSDE_PREDICTOR_ANCESTRAL;
        if (which < 2) solver_golden_update(golden, which, "ancestral_sampling", how);
        how.corrector = SSDE_CORRECTOR_LANGEVIN_BATCH;
        solver_golden_update(golden, which, "langevin", how);
        how.corrector = SSDE_CORRECTOR_ANNEALED_LANGEVIN;
        solver_golden_update(golden, which, "ald", how);
    }
    golden_close(golden);
}

typedef struct solver_draws {
    float draws[24][20];
    size_t asked;
} solver_draws;
static ssde_status solver_draws_fill(void *user, int stream, uint32_t step, const uint64_t *sample, size_t rows,
                                     size_t dim, float *out) {
    solver_draws *d = (solver_draws *)user;
    size_t r;
    d->asked++;
    if (step >= 12 || (stream != SSDE_STREAM_CORRECTOR && stream != SSDE_STREAM_PREDICTOR)) return SSDE_ERROR_ARGUMENT;
    for (r = 0; r < rows; r++)
        memcpy(out + r * dim, d->draws[2 * step + (stream == SSDE_STREAM_PREDICTOR)] + sample[r] * dim,
               dim * sizeof *out);
    return SSDE_OK;
}

static void test_sampler_golden_run(void) {
    golden_file *golden = golden_open(GOLDEN_SOLVERS);
    solver_mixture m;
    ssde_context context = ssde_context_defaults();
    int which, skip;
    if (!golden) return;
    m = solver_golden_mixture(golden);
    for (which = 0; which < 3; which++) {
        for (skip = 0; skip < 2; skip++) {
            ssde_sde sde = solver_sde(which);
            ssde_score_model model;
            ssde_mixture *mixture = solver_mixture_model(&m, &sde, &model);
            ssde_sampler_desc how = ssde_sampler_defaults();
            ssde_rng rng = ssde_rng_seed(1);
            solver_draws draws;
            ssde_sample_report report;
            float x[20], expected[20];
            memset(&draws, 0, sizeof draws);
            how.steps = 12;
            how.grid = SSDE_GRID_REFERENCE;
            how.eps = which ? 1e-3 : 1e-5;
            how.predictor = SSDE_PREDICTOR_REVERSE_DIFFUSION;
            how.corrector = SSDE_CORRECTOR_LANGEVIN_BATCH;
            how.corrector_first = how.given_start = 1;
            how.skip_denoise = skip;
            how.noise.fill = solver_draws_fill, how.noise.user = &draws;
            how.report = &report;
            how.context = &context;
            solver_golden_floats(golden, solver_sde_names[which], "pc_draws", &draws.draws[0][0], 480);
            solver_golden_floats(golden, solver_sde_names[which], "pc_init", x, 20);
            solver_golden_floats(golden, solver_sde_names[which], skip ? "pc_out" : "pc_out_mean", expected, 20);
            if (which == 0) {
                CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 5, x));
                CHECK_ARRAY(x, expected, 20, 1e-5);
                CHECK(report.evaluations == 24 && report.failed == 0 && rng.next_sample == 5);
            } else { /* beta / 12 exceeds 1, and the reference returns NaN */
                CHECK_STATUS(ssde_sample(&sde, &model, &how, &rng, 5, x), SSDE_ERROR_ARGUMENT);
                CHECK(strstr(context.error, "beta") != NULL && rng.next_sample == 0);
            }
            ssde_mixture_destroy(mixture);
        }
    }
    golden_close(golden);
}

/* ---- sampler: sample i is the same in any company ---- */

/* Those that remember, look twice or step alone. */
static const samplers_way samplers_newer[] = {{SSDE_PREDICTOR_STOCHASTIC_HEUN, SSDE_CORRECTOR_LANGEVIN, 0, 0, 0.0, 0.0},
                                              {SSDE_PREDICTOR_ADAPTIVE, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 0.0},
                                              {SSDE_PREDICTOR_DDIM, SSDE_CORRECTOR_LANGEVIN, 0, 1, 0.5, 0.0},
                                              {SSDE_PREDICTOR_HEUN, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 5.0},
                                              {SSDE_PREDICTOR_DPM_SOLVER_2M, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 0.0},
                                              {SSDE_PREDICTOR_DPM_SOLVER_3M, SSDE_CORRECTOR_NONE, 0, 0, 0.3, 0.0},
                                              {SSDE_PREDICTOR_DPM_SOLVER_2M_SDE, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 0.0},
                                              {SSDE_PREDICTOR_SMLD, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 0.0},
                                              {SSDE_PREDICTOR_DDPM, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 0.0},
                                              {SSDE_PREDICTOR_UNIPC, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 0.0},
                                              {SSDE_PREDICTOR_STRAIGHT_HEUN, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 0.0},
                                              {SSDE_PREDICTOR_PNDM, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 0.0}};
enum { SAMPLERS_NEWER = sizeof samplers_newer / sizeof samplers_newer[0] };

/* All samplers that are not _batch, under one number: the newer ones plain, then with a part known. */
enum {
    SOLVER_ENCODE = 7, /* from here on flows */
    SOLVER_PRICE = 9,  /* from here on likelihoods */
    SOLVER_NEWER = 11,
    SOLVER_KNOWN = SOLVER_NEWER + SAMPLERS_NEWER,
    SOLVER_WAYS = SOLVER_KNOWN + SAMPLERS_NEWER
};
typedef struct solver_task {
    const ssde_sde *sde;
    const ssde_score_model *model;
    const float *known, *mask, *data; /* per sample */
    size_t dim, steps;
    ssde_context *context;
    ssde_progress_function progress;
    void *user;
} solver_task;

/* Whether the SDE has this way. */
static int solver_has(int way, int which) {
    return way < SOLVER_NEWER ||
           !samplers_refused(samplers_newer[(way - SOLVER_NEWER) % SAMPLERS_NEWER].predictor, which);
}

/* Every second way runs along Brownian paths. */
static ssde_status samplers_run(const solver_task *task, int way, int known, uint64_t first, size_t n, float *x) {
    ssde_sampler_desc how = samplers_way_desc(&samplers_newer[way]);
    ssde_rng rng = ssde_rng_seed(77);
    rng.next_sample = first;
    how.steps = task->steps;
    how.eps = 0.0;
    how.skip_denoise = 0;
    how.brownian = way % 2 == 0 && way < 7;
    if (how.predictor == SSDE_PREDICTOR_ADAPTIVE) how.rtol = 0.1, how.steps = 3;
    if (how.predictor == SSDE_PREDICTOR_DDPM) how.steps *= 3; /* more than beta_max */
    if (known && task->known)
        how.condition = ssde_inpaint(task->known + first * task->dim, task->mask + first * task->dim);
    how.context = task->context;
    how.progress = task->progress, how.user = task->user;
    return ssde_sample(task->sde, task->model, &how, &rng, n, x);
}

/* Samples first ... first + n - 1 by way `way`; what comes out, [n, dim]. */
static ssde_status solver_run(const solver_task *task, int way, uint64_t first, size_t n, float *x) {
    ssde_rng rng = ssde_rng_seed(77);
    ssde_status status;
    rng.next_sample = first;
    if (way >= SOLVER_NEWER)
        return samplers_run(task, (way - SOLVER_NEWER) % SAMPLERS_NEWER, way >= SOLVER_KNOWN, first, n, x);
    if (way < SOLVER_ENCODE) {
        ssde_sampler_desc how = ssde_sampler_defaults();
        how.context = task->context;
        how.steps = task->steps;
        how.predictor = way < 6 ? (ssde_predictor)(1 + way % 4) : SSDE_PREDICTOR_REVERSE_DIFFUSION;
        how.corrector = way < 1 || way > 3 ? SSDE_CORRECTOR_LANGEVIN : SSDE_CORRECTOR_NONE;
        how.corrector_first = way == 4;
        how.probability_flow = way == 5;
        if (way == 5) how.predictor = SSDE_PREDICTOR_EULER_MARUYAMA;
        if (way == 6 && task->known)
            how.condition = ssde_inpaint(task->known + first * task->dim, task->mask + first * task->dim);
        how.progress = task->progress, how.user = task->user;
        status = ssde_sample(task->sde, task->model, &how, &rng, n, x);
    } else if (way < SOLVER_PRICE) {
        ssde_flow_desc how = ssde_flow_defaults();
        how.context = task->context;
        how.rtol = how.atol = 1e-3;
        how.denoise = way != SOLVER_ENCODE;
        how.progress = task->progress, how.user = task->user;
        if (way == SOLVER_ENCODE)
            status = ssde_encode(task->sde, task->model, &how, first, n, task->data + first * task->dim, x, NULL);
        else
            status = ssde_sample_ode(task->sde, task->model, &how, &rng, n, x, NULL);
    } else {
        ssde_likelihood_desc how = ssde_likelihood_defaults();
        ssde_likelihood_result *results = (ssde_likelihood_result *)calloc(n, sizeof *results);
        size_t r;
        how.context = task->context;
        how.rtol = how.atol = 1e-3;
        how.latent = x;
        how.probes = 2;
        if (way != SOLVER_PRICE) how.trace = SSDE_TRACE_EXACT;
        how.progress = task->progress, how.user = task->user;
        status = ssde_likelihood(task->sde, task->model, &how, &rng, n, task->data + first * task->dim, results);
        for (r = 0; status == SSDE_OK && r < n; r++) x[r * task->dim] = (float)results[r].log_density;
        free(results);
    }
    if (status == SSDE_OK && way != SOLVER_ENCODE) CHECK(rng.next_sample == first + n);
    return status;
}

static void test_sampler_identity(void) {
    enum { N = 7, DIM = 5 };
    solver_mixture m = solver_wide_mixture(DIM);
    int which, way;
    for (which = 0; which < SOLVER_SDES; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_mixture *mixture = NULL;
        solver_model wrapper;
        ssde_score_model model;
        solver_task task;
        ssde_rng data_rng = ssde_rng_seed(4);
        float data[N * DIM], known[N * DIM], mask[N * DIM];
        size_t i;
        CHECK_OK(solver_mixture_create(&m, NULL, &mixture));
        model = solver_wrap(&wrapper, ssde_mixture_model(mixture, &sde));
        wrapper.label = 0.1;
        CHECK_OK(ssde_mixture_sample(mixture, &data_rng, N, data, NULL));
        for (i = 0; i < N * DIM; i++) {
            known[i] = data[i];
            mask[i] = i % 3 == 0 ? 1.0f : 0.0f;
        }
        memset(&task, 0, sizeof task);
        task.sde = &sde, task.model = &model, task.known = known, task.mask = mask, task.data = data;
        task.dim = DIM, task.steps = 20;
        for (way = 0; way < SOLVER_WAYS; way++) {
            float together[N * DIM], apart[N * DIM], other[N * DIM];
            static const size_t limits[3] = {1, 3, 100};
            if (!solver_has(way, which)) continue;
            model.max_rows = 0;
            CHECK_OK(solver_run(&task, way, 0, N, together));
            for (i = N; i-- > 0;) CHECK_OK(solver_run(&task, way, i, 1, apart + i * DIM)); /* one by one, last first */
            CHECK_SAME(apart, together, sizeof apart);
            CHECK_OK(solver_run(&task, way, 0, 4, other));
            CHECK_OK(solver_run(&task, way, 4, 3, other + 4 * DIM));
            CHECK_SAME(other, together, sizeof other);
            for (i = 0; i < 3; i++) {
                model.max_rows = limits[i];
                wrapper.largest = 0;
                CHECK_OK(solver_run(&task, way, 0, N, other));
                CHECK_SAME(other, together, sizeof other);
                CHECK(wrapper.largest <= limits[i] && wrapper.largest > 0);
            }
            for (i = 0; way >= SOLVER_KNOWN && i < N * DIM; i++) CHECK(mask[i] == 0.0f || together[i] == known[i]);
        }
        ssde_mixture_destroy(mixture);
    }
}

/* The driver does with x what the single steps do, over several blocks and with norms over all of them. */
static void test_sampler_driver(void) {
    enum { N = 9000, DIM = 2 };
    static const ssde_corrector correctors[2] = {SSDE_CORRECTOR_LANGEVIN, SSDE_CORRECTOR_LANGEVIN_BATCH};
    static const double times[2] = {0.6, 0.4};
    ssde_sde sde = ssde_subvp(0.1, 20.0);
    solver_mixture m = solver_plane();
    ssde_mixture *mixture = NULL;
    solver_model wrapper;
    ssde_score_model model;
    float *x = (float *)malloc(4 * N * DIM * sizeof *x), *y = x + N * DIM, *score = y + N * DIM, *z = score + N * DIM;
    double *t = (double *)malloc(2 * N * sizeof *t), *t_next = t + N;
    uint64_t *sample = (uint64_t *)malloc(N * sizeof *sample);
    size_t i;
    int k, first;
    CHECK_OK(solver_mixture_create(&m, NULL, &mixture));
    model = solver_wrap(&wrapper, ssde_mixture_model(mixture, &sde));
    wrapper.label = 0.1;
    for (i = 0; i < N; i++) {
        sample[i] = 100 + i;
        t_next[i] = times[1];
    }
    for (k = 0; k < 4; k++) {
        ssde_sampler_desc how = ssde_sampler_defaults();
        ssde_rng rng = ssde_rng_seed(5);
        rng.next_sample = 100;
        how.predictor = SSDE_PREDICTOR_REVERSE_DIFFUSION;
        how.corrector = correctors[k % 2];
        how.corrector_first = k / 2;
        how.steps = 1, how.times = times, how.given_start = how.skip_denoise = 1;
        CHECK_OK(ssde_random_normal(NULL, 4, SSDE_STREAM_USER, 0, NULL, N, DIM, x));
        memcpy(y, x, N * DIM * sizeof *x);
        CHECK_OK(ssde_sample(&sde, &model, &how, &rng, N, x));
        for (first = 0; first < 2; first++) {
            int predict = first == how.corrector_first;
            for (i = 0; i < N; i++) t[i] = times[!predict && !how.corrector_first];
            CHECK_OK(model.score(model.user, y, t, sample, N, 0, score));
            CHECK_OK(ssde_random_normal(NULL, 5, predict ? SSDE_STREAM_PREDICTOR : SSDE_STREAM_CORRECTOR, 0, sample, N,
                                        DIM, z));
            if (predict)
                CHECK_OK(ssde_predictor_step(&sde, &how, y, score, z, t, t_next, N, DIM, y, NULL));
            else
                CHECK_OK(ssde_corrector_step(&sde, &how, y, score, z, t, N, DIM, y, NULL));
        }
        CHECK_SAME(x, y, N * DIM * sizeof *x);
    }
    ssde_mixture_destroy(mixture);
    free(x);
    free(t);
    free(sample);
}

static void test_sampler_threads(void) {
    enum { DIM = 64 };
    size_t n = 2100, i; /* more floats than one block without threads, and enough for tasks with them */
    ssde_sde sde = ssde_subvp(0.1, 20.0);
    ssde_mixture *mixture = NULL;
    solver_model wrapper;
    ssde_score_model model;
    solver_task task;
    float *data = (float *)malloc(n * DIM * sizeof *data), *x = (float *)malloc(n * DIM * sizeof *x);
    float *first = (float *)malloc(n * DIM * sizeof *first), *mask = (float *)calloc(n * DIM, sizeof *mask);
    ssde_rng rng = ssde_rng_seed(8);
    int way, threads;
    CHECK_OK(ssde_gaussian_create(NULL, &mixture, DIM, 0.1, 0.3));
    model = solver_wrap(&wrapper, ssde_mixture_model(mixture, &sde));
    wrapper.label = 0.1;
    CHECK_OK(ssde_mixture_sample(mixture, &rng, n, data, NULL));
    for (i = 0; i < n * DIM; i += 2) mask[i] = 1.0f;
    memset(&task, 0, sizeof task);
    task.sde = &sde, task.model = &model, task.known = data, task.mask = mask, task.data = data;
    task.dim = DIM, task.steps = 2;
    for (way = 0; way < SOLVER_KNOWN; way++) {
        size_t rows = way < SOLVER_ENCODE ? n : 300;                  /* a block without threads holds 256 */
        if (!solver_has(way, 2) || way == SOLVER_PRICE + 1) continue; /* the exact trace has no more in parallel */
        task.context = NULL;
        CHECK_OK(solver_run(&task, way, 0, rows, first));
        CHECK_OK(solver_run(&task, way, 0, 70, x)); /* several blocks are the same as several calls */
        CHECK_OK(solver_run(&task, way, 70, rows - 70, x + 70 * DIM));
        CHECK_SAME(x, first, rows * DIM * sizeof *x);
        for (threads = 1; threads <= 3; threads++) {
            ssde_context context = ssde_context_defaults();
            threads_hook hook;
            hook.threads = threads, hook.calls = 0;
            context.parallel_for = threads_parallel_for, context.user = &hook, context.threads = threads + 1;
            task.context = &context;
            CHECK_OK(solver_run(&task, way, 0, rows, x));
            CHECK_SAME(x, first, rows * DIM * sizeof *x);
            CHECK(way >= SOLVER_ENCODE || hook.calls > 0);
        }
    }
    ssde_mixture_destroy(mixture);
    free(data);
    free(x);
    free(first);
    free(mask);
}

/* ---- sampler: what goes wrong ---- */

/* NaN as the noise of the condition's last update, of run step 2. */
static ssde_status solver_late_nan(void *user, int stream, uint32_t step, const uint64_t *sample, size_t rows,
                                   size_t dim, float *out) {
    size_t i;
    (void)user, (void)sample;
    for (i = 0; i < rows * dim; i++) out[i] = stream == SSDE_STREAM_CONDITION && step >= 3 ? (float)NAN : 0.25f;
    return SSDE_OK;
}

static void test_sampler_late_failure(void) {
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_mixture *mixture = NULL;
    ssde_score_model model;
    ssde_sampler_desc how = ssde_sampler_defaults();
    ssde_rng rng = ssde_rng_seed(1);
    float x[2], known[2] = {0.5f, 0.0f}, mask[2] = {1.0f, 0.0f};
    CHECK_OK(ssde_ring_create(&context, &mixture, 8, 1.0, 0.1));
    model = ssde_mixture_model(mixture, &sde);
    how.steps = 2;
    how.skip_denoise = 1;
    how.condition = ssde_inpaint(known, mask);
    how.noise.fill = solver_late_nan;
    how.context = &context;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 1, x), SSDE_ERROR_NUMERIC, "sample 0");
    CHECK(x[0] != x[0] && x[1] != x[1]);
    ssde_mixture_destroy(mixture);
}

static void test_sampler_bad_input(void) {
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = ssde_vp(0.1, 20.0), bad = ssde_vp(-1.0, 20.0);
    ssde_mixture *mixture = NULL;
    ssde_score_model model, empty;
    ssde_sampler_desc how = ssde_sampler_defaults();
    ssde_flow_desc flow = ssde_flow_defaults();
    ssde_rng rng = ssde_rng_seed(1);
    float x[6] = {0.0f}, mask[6] = {1.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f}, known[6] = {0.0f};
    double times[4] = {1.0, 0.5, 0.5, 0.1}, t = 0.5, t_next = 0.6;
    const int no_grid = 7;
    memset(&empty, 0, sizeof empty);
    how.context = flow.context = &context;
    how.steps = 3;
    mixture = solver_gaussian_model(2, 0.0, 0.5, &sde, &model);
#define SOLVER_REFUSED(call, words) CHECK_FAILS(&context, call, SSDE_ERROR_ARGUMENT, words)
    SOLVER_REFUSED(ssde_sample(NULL, &model, &how, &rng, 3, x), "sde is NULL");
    SOLVER_REFUSED(ssde_sample(&bad, &model, &how, &rng, 3, x), "beta_min");
    SOLVER_REFUSED(ssde_sample(&sde, NULL, &how, &rng, 3, x), "model is NULL");
    SOLVER_REFUSED(ssde_sample(&sde, &empty, &how, &rng, 3, x), "score is NULL");
    SOLVER_REFUSED(ssde_sample(&sde, &model, &how, NULL, 3, x), "rng is NULL");
    SOLVER_REFUSED(ssde_sample(&sde, &model, &how, &rng, 0, x), "n is 0");
    SOLVER_REFUSED(ssde_sample(&sde, &model, &how, &rng, 3, NULL), "x is NULL");
    SOLVER_REFUSED(ssde_sample(&sde, &model, &how, &rng, SIZE_MAX / 2, x), "memory");
    SOLVER_REFUSED(ssde_sample_ode(&sde, &model, &flow, &rng, 0, x, NULL), "n is 0");
    SOLVER_REFUSED(ssde_sample_ode(&sde, &model, &flow, NULL, 3, x, NULL), "rng is NULL");
    SOLVER_REFUSED(ssde_encode(&sde, &model, &flow, 0, 3, x, NULL, NULL), "latent is NULL");
    SOLVER_REFUSED(ssde_decode(&sde, &model, &flow, (uint64_t)1 << 48, 3, x, x, NULL), "2^48");
    flow.eps = 2.0;
    SOLVER_REFUSED(ssde_decode(&sde, &model, &flow, 0, 3, x, x, NULL), "eps is 2");
    how.eps = -0.1;
    SOLVER_REFUSED(ssde_sample(&sde, &model, &how, &rng, 3, x), "eps is -0.1");
    how.eps = (double)NAN;
    SOLVER_REFUSED(ssde_sample(&sde, &model, &how, &rng, 3, x), "eps");
    how.eps = 0.0, how.snr = -1.0;
    SOLVER_REFUSED(ssde_sample(&sde, &model, &how, &rng, 3, x),
                   "snr is -1, wanted a finite number above 0, or 0 for 0.16");
    how.snr = (double)INFINITY;
    SOLVER_REFUSED(ssde_sample(&sde, &model, &how, &rng, 3, x), "snr is inf, wanted a finite number");
    how.snr = 0.0, how.step_size = -1.0; /* whose 0 stands for no number of its own */
    SOLVER_REFUSED(ssde_sample(&sde, &model, &how, &rng, 3, x), "step_size is -1, wanted a finite number, 0 or above");
    how.step_size = 0.0, how.eta = 1.0 + DBL_EPSILON;
    SOLVER_REFUSED(ssde_sample(&sde, &model, &how, &rng, 3, x), "eta is 1.0000000000000002, wanted 0 to 1");
    how.eta = 0.0, how.predictor = SSDE_PREDICTOR_COUNT;
    SOLVER_REFUSED(ssde_sample(&sde, &model, &how, &rng, 3, x), "wanted an ssde_predictor");
    how.predictor = SSDE_PREDICTOR_ANCESTRAL, how.probability_flow = 1;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 3, x), SSDE_ERROR_UNSUPPORTED, "ancestral");
    how.predictor = SSDE_PREDICTOR_DEFAULT, how.probability_flow = 0;
    how.corrector = SSDE_CORRECTOR_LANGEVIN, how.corrector_steps = SIZE_MAX; /* + 1 is 0 */
    SOLVER_REFUSED(ssde_sample(&sde, &model, &how, &rng, 3, x), "corrector_steps");
    how.corrector = SSDE_CORRECTOR_DEFAULT, how.corrector_steps = 0, how.times = times;
    memcpy(&how.grid, &no_grid, sizeof how.grid);
    SOLVER_REFUSED(ssde_sample(&sde, &model, &how, &rng, 3, x), "grid is 7");
    how.grid = SSDE_GRID_UNIFORM;
    SOLVER_REFUSED(ssde_sample(&sde, &model, &how, &rng, 3, x), "times[2]");
    times[0] = 0.9, times[2] = 0.3;
    SOLVER_REFUSED(ssde_sample(&sde, &model, &how, &rng, 3, x), "times[0]");
    how.given_start = 1;
    CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 3, x));
    x[4] = (float)NAN;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 3, x), SSDE_ERROR_NUMERIC, "x[2][0]");
    how.given_start = 0, how.times = NULL;
    how.condition = ssde_inpaint(known, NULL);
    SOLVER_REFUSED(ssde_sample(&sde, &model, &how, &rng, 3, x), "mask is NULL");
    how.condition = ssde_inpaint(known, mask);
    known[0] = (float)HUGE_VAL;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 3, x), SSDE_ERROR_NUMERIC, "known[0][0]");
    CHECK(rng.next_sample == 3);
    memset(x, 0, sizeof x);
    SOLVER_REFUSED(ssde_predictor_step(&sde, &how, x, x, x, &t, &t_next, 1, 2, x, NULL), "t_next[0]");
    SOLVER_REFUSED(ssde_predictor_step(&sde, &how, x, x, NULL, &t, &t_next, 1, 2, x, NULL), "z is NULL");
    t = 1.5;
    SOLVER_REFUSED(ssde_corrector_step(&sde, &how, x, x, x, &t, 1, 2, x, NULL), "t[0]");
#undef SOLVER_REFUSED
    CHECK_OK(ssde_sample(&sde, &model, NULL, &rng, 3, x)); /* NULL for a desc: all defaults */
    ssde_mixture_destroy(mixture);
}

/* A model that fails, one that returns NaN for a sample, and a user who stops. */
static void test_sampler_failures(void) {
    enum { N = 5, DIM = 2 };
    solver_mixture m = solver_plane();
    int which, way;
    for (which = 0; which < 2; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_mixture *mixture = NULL;
        ssde_score_model model;
        ssde_context context = ssde_context_defaults();
        solver_model wrapper;
        solver_task task;
        float data[N * DIM], clean[N * DIM], x[N * DIM];
        ssde_rng rng = ssde_rng_seed(4);
        size_t i;
        int countdown;
        CHECK_OK(solver_mixture_create(&m, NULL, &mixture));
        model = solver_wrap(&wrapper, ssde_mixture_model(mixture, &sde));
        CHECK_OK(ssde_mixture_sample(mixture, &rng, N, data, NULL));
        memset(&task, 0, sizeof task);
        task.sde = &sde, task.model = &model, task.data = data, task.dim = DIM, task.steps = 20;
        task.context = &context;
        for (way = 0; way < SOLVER_KNOWN; way++) {
            int prices = way >= SOLVER_PRICE && way < SOLVER_NEWER;
            if (!solver_has(way, which)) continue;
            CHECK_OK(solver_run(&task, way, 0, N, clean));
            wrapper.calls = 0, wrapper.fail_at = 8;
            CHECK_FAILS(&context, solver_run(&task, way, 0, N, x), SSDE_ERROR_FILE, "model->score");
            CHECK(wrapper.calls == 8);
            wrapper.calls = wrapper.fail_at = 0;
            wrapper.bad_sample = 3, wrapper.bad_after = 6;
            memset(x, 0, sizeof x);
            CHECK_FAILS(&context, solver_run(&task, way, 0, N, x), SSDE_ERROR_NUMERIC, "sample 3");
            for (i = 0; i < N; i++) {
                if (i == 3)
                    CHECK(x[i * DIM] != x[i * DIM]);
                else if (!prices) /* solver_run copies log-densities only from runs without failures */
                    CHECK_SAME(x + i * DIM, clean + i * DIM, DIM * sizeof *x);
            }
            wrapper.bad_after = 0;
            countdown = 2;
            task.progress = solver_stop_at, task.user = &countdown;
            memcpy(x, clean, sizeof x);
            CHECK_FAILS(&context, solver_run(&task, way, 0, N, x), SSDE_ERROR_CANCELLED, "cancelled");
            for (i = 0; i < N * DIM; i++) CHECK(x[i] - x[i] == 0.0f);
            task.progress = NULL;
        }
        ssde_mixture_destroy(mixture);
    }
}

/* What a report says of a sample that failed. */
static void test_sampler_report(void) {
    ssde_sde sde = ssde_ve(0.01, 50.0);
    ssde_mixture *mixture = NULL;
    solver_model wrapper;
    ssde_score_model model;
    ssde_sampler_desc how = ssde_sampler_defaults();
    ssde_sample_report report;
    ssde_rng rng = ssde_rng_seed(4);
    float x[12];
    how.steps = 10, how.corrector_steps = 2, how.report = &report;
    CHECK_OK(ssde_gaussian_create(NULL, &mixture, 2, 0.0, 0.5));
    model = solver_wrap(&wrapper, ssde_mixture_model(mixture, &sde));
    CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 6, x));
    CHECK(report.evaluations == 31 && report.failed == 0 && wrapper.calls == 31);
    how.skip_denoise = 1;
    how.corrector = SSDE_CORRECTOR_NONE;
    wrapper.calls = 0, wrapper.bad_after = 5, wrapper.bad_sample = 8;
    CHECK_STATUS(ssde_sample(&sde, &model, &how, &rng, 6, x), SSDE_ERROR_NUMERIC);
    CHECK(report.evaluations == 10 && report.failed == 1 && report.failed_sample == 8);
    CHECK_NEAR(report.failed_t, 1.0 - 0.4 * (1.0 - 1e-5), 1e-12); /* the fifth evaluation */
    CHECK(rng.next_sample == 12);
    ssde_mixture_destroy(mixture);
}

/* Every call takes one block, when it begins, and returns it; or says that it could not. */
static void test_sampler_memory(void) {
    enum { N = 3, DIM = 2 };
    int which, way;
    for (which = 0; which < 2; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_score_model model;
        ssde_mixture *mixture = solver_gaussian_model(DIM, 0.0, 0.5, &sde, &model);
        ssde_context context;
        counted_memory memory;
        solver_task task;
        int refuse;
        float data[N * DIM], x[N * DIM];
        ssde_rng rng = ssde_rng_seed(4);
        CHECK_OK(ssde_mixture_sample(mixture, &rng, N, data, NULL));
        memset(&task, 0, sizeof task);
        task.sde = &sde, task.model = &model, task.data = data, task.dim = DIM, task.context = &context;
        for (way = 0; way <= SOLVER_KNOWN; way++) {
            int last = way == SOLVER_KNOWN; /* the exact trace again, by differences */
            if (!solver_has(way, which)) continue;
            if (last) model.vjp = NULL;
            for (refuse = 0; refuse < 2; refuse++) {
                ssde_status status = refuse ? SSDE_OK : SSDE_ERROR_MEMORY;
                context = counted_context(&memory);
                memory.refuse = refuse;
                task.steps = refuse ? 30 : 10; /* nothing is allocated in a step */
                CHECK_STATUS(solver_run(&task, last ? SOLVER_PRICE + 1 : way, 0, N, x), status);
                CHECK(memory.made == 1 && memory.live == 0);
                CHECK(status == SSDE_OK || strstr(context.error, "allocate"));
            }
        }
        ssde_mixture_destroy(mixture);
    }
}

/* ---- sampler: inpainting ---- */

/* What a constructor fills, zeros and NULL mean the same. */
static void test_sampler_defaults(void) {
    enum { ROWS = 3 };
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_sampler_desc sampler[2];
    ssde_flow_desc flow[2];
    ssde_likelihood_desc price[2];
    ssde_mixture *ring;
    ssde_score_model model;
    float x[3][2 * ROWS];
    ssde_likelihood_result results[3][ROWS];
    int k;
    CHECK_OK(ssde_ring_create(NULL, &ring, 8, 1.0, 0.1));
    model = ssde_mixture_model(ring, &sde);
    memset(sampler, 0, sizeof sampler);
    memset(flow, 0, sizeof flow);
    memset(price, 0, sizeof price);
    sampler[1] = ssde_sampler_defaults();
    flow[1] = ssde_flow_defaults();
    price[1] = ssde_likelihood_defaults();
    for (k = 0; k < 3; k++) {
        ssde_rng rng = ssde_rng_seed(5);
        CHECK_OK(ssde_sample(&sde, &model, k < 2 ? &sampler[k] : NULL, &rng, ROWS, x[k]));
    }
    CHECK_SAME(x[0], x[1], sizeof x[0]);
    CHECK_SAME(x[0], x[2], sizeof x[0]);
    for (k = 0; k < 3; k++) {
        ssde_rng rng = ssde_rng_seed(5);
        CHECK_OK(ssde_sample_ode(&sde, &model, k < 2 ? &flow[k] : NULL, &rng, ROWS, x[k], NULL));
        CHECK_OK(ssde_likelihood(&sde, &model, k < 2 ? &price[k] : NULL, &rng, ROWS, x[0], results[k]));
    }
    CHECK_SAME(x[0], x[1], sizeof x[0]);
    CHECK_SAME(x[0], x[2], sizeof x[0]);
    for (k = 1; k < 3; k++) {
        CHECK(results[k][0].log_density == results[0][0].log_density);
        CHECK(results[k][ROWS - 1].evaluations == results[0][ROWS - 1].evaluations);
    }
    ssde_mixture_destroy(ring);
}

/* ---- sampler: the table ---- */

static void test_sampler_table(void) {
    ssde_context context = ssde_context_defaults();
    solver_mixture m = solver_plane();
    int which, i, k;
    for (i = 0; i < SSDE_PREDICTOR_COUNT; i++) {
        const ssde_predictor_properties *info = ssde_predictor_info((ssde_predictor)i);
        ssde_predictor found;
        CHECK(info && !strcmp(info->name, ssde_predictor_name((ssde_predictor)i)));
        CHECK_OK(ssde_predictor_find(NULL, info->name, &found));
        CHECK((int)found == i);
        CHECK(info->history <= SSDEI_HISTORY && info->evaluations <= 2);
    }
    CHECK(!ssde_predictor_info(SSDE_PREDICTOR_COUNT));
    for (which = 0; which < SOLVER_SDES; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_score_model model;
        ssde_mixture *mixture = solver_mixture_model(&m, &sde, &model);
        sde.num_scales = 40;
        for (i = SSDE_PREDICTOR_EULER_MARUYAMA; i < SSDE_PREDICTOR_COUNT; i++) {
            const ssde_predictor_properties *info = ssde_predictor_info((ssde_predictor)i);
            ssde_sampler_desc how = samplers_desc((ssde_predictor)i, 0, 0.0);
            ssde_sample_report report;
            size_t steps = info->steps ? info->steps : 40;
            float x[2][6];
            how.context = &context;
            how.report = &report;
            how.given_start = 1;
            if (samplers_refused((ssde_predictor)i, which)) {
                CHECK_STATUS(ssde_sample(&sde, &model, &how, NULL, 3, x[0]), SSDE_ERROR_ARGUMENT);
                continue;
            }
            for (k = 0; k < 2; k++) { /* two seeds from the same start */
                ssde_rng rng = ssde_rng_seed((uint64_t)k);
                CHECK_OK(ssde_prior_sample(NULL, &sde, 3, NULL, 3, 2, x[k]));
                CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 3, x[k]));
            }
            CHECK((memcmp(x[0], x[1], sizeof x[0]) != 0) == info->stochastic);
            if (!info->evaluations) {
                CHECK(report.evaluations > 20 && report.evaluations < 2000);
                CHECK(report.mean_evaluations < (double)report.evaluations && report.mean_evaluations > 20.0);
                continue;
            }
            CHECK(report.evaluations ==
                  (size_t)info->evaluations * steps + (i != SSDE_PREDICTOR_DDPM) + (i == SSDE_PREDICTOR_PNDM ? 9 : 0));
            CHECK(report.mean_evaluations == (double)report.evaluations);
        }
        ssde_mixture_destroy(mixture);
    }
}

/* ---- sampler: order: the exact flow of a Gaussian, which is what deterministic samplers approximate ---- */

/* Root mean square distance from the exact flow after `steps` steps of a quadratic grid, on which no order is better
   than it must be; from where there is signal. */
static double samplers_flow_error(const ssde_sde *sde, const ssde_score_model *model, ssde_sampler_desc how,
                                  size_t steps) {
    enum { N = 4, DIM = 3 };
    float start[N * DIM], x[N * DIM];
    ssde_rng rng = ssde_rng_seed(1);
    double sum = 0.0, from = sde->kind == SSDE_RECTIFIED_FLOW ? 0.9 : 1.0, times[129];
    size_t i;
    for (i = 0; i <= steps; i++)
        times[i] = pow(sqrt(from) + (sqrt(how.eps) - sqrt(from)) * (double)i / (double)steps, 2.0);
    how.steps = steps, how.times = times;
    CHECK_OK(ssde_prior_sample(NULL, sde, 3, NULL, N, DIM, start));
    memcpy(x, start, sizeof x);
    CHECK_OK(ssde_sample(sde, model, &how, &rng, N, x));
    for (i = 0; i < N * DIM; i++)
        sum += pow((double)x[i] - solver_gaussian_flow(sde, 0.3, 0.5, (double)start[i], from, how.eps), 2.0);
    return sqrt(sum / (double)(N * DIM));
}

static void test_sampler_flow_order(void) {
    static const struct {
        ssde_predictor predictor;
        double order;
    } ways[] = {{SSDE_PREDICTOR_EULER_MARUYAMA, 1.0},
                {SSDE_PREDICTOR_REVERSE_DIFFUSION, 1.0},
                {SSDE_PREDICTOR_STOCHASTIC_HEUN, 2.0},
                {SSDE_PREDICTOR_DDIM, 1.0},
                {SSDE_PREDICTOR_HEUN, 2.0},
                {SSDE_PREDICTOR_STRAIGHT_HEUN, 2.0},
                {SSDE_PREDICTOR_DPM_SOLVER_2M, 2.0},
                {SSDE_PREDICTOR_DPM_SOLVER_3M, 3.0},
                {SSDE_PREDICTOR_UNIPC, 3.0},
                {SSDE_PREDICTOR_PNDM, 2.0}};
    int which;
    size_t way;
    for (which = 0; which < SOLVER_SDES; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_score_model model;
        ssde_mixture *mixture = solver_gaussian_model(3, 0.3, 0.5, &sde, &model);
        for (way = 0; way < sizeof ways / sizeof ways[0]; way++) {
            ssde_sampler_desc how = samplers_desc(ways[way].predictor, 0, 0.01);
            double coarse, fine, slope;
            how.probability_flow = how.skip_denoise = how.given_start = 1;
            coarse = samplers_flow_error(&sde, &model, how, 64);
            fine = samplers_flow_error(&sde, &model, how, 128);
            slope = log(coarse / fine) / log(2.0);
            if (slope < ways[way].order - 0.2 || slope > ways[way].order + 0.25 || !(fine < 0.2))
                check_report(__FILE__, __LINE__, "%s %s: order %.3f, error %.3g", solver_sde_names[which],
                             ssde_predictor_name(ways[way].predictor), slope, fine);
        }
        ssde_mixture_destroy(mixture);
    }
}

/* ---- sampler: formulas: published algorithms in sigma, with the denoiser of an oracle in double ---- */

/* So many that 2M, 2M SDE and UniPC are whole on them, as published. */
enum { FORMULA_STEPS = 40, FORMULA_DIM = 2 };

/* What k-diffusion's samplers are given: sigmas, D(y, sigma), and noise per step. */
typedef struct samplers_formula {
    const solver_mixture *mixture;
    double sigma[FORMULA_STEPS + 1];
    double noise[FORMULA_STEPS][FORMULA_DIM];
    double first; /* the largest sigma */
} samplers_formula;

/* D = y + sigma^2 grad log of the mixture under y = x0 + sigma z. */
static void samplers_denoised(const samplers_formula *f, const double *y, double sigma, double *out) {
    ssde_coefficients c;
    double density, laplacian, score[FORMULA_DIM];
    size_t j;
    memset(&c, 0, sizeof c);
    c.mean = 1.0, c.std = sigma;
    solver_density(f->mixture, &c, y, &density, score, &laplacian);
    for (j = 0; j < FORMULA_DIM; j++) out[j] = y[j] + sigma * sigma * score[j];
}

/* DDIM, eq. 12 of the paper, in y: eta is its eta. */
static void samplers_formula_ddim(const samplers_formula *f, double eta, double *y) {
    double d[FORMULA_DIM];
    size_t i, j;
    for (i = 0; i < FORMULA_STEPS; i++) {
        double from = f->sigma[i], to = f->sigma[i + 1];
        double up = eta * sqrt(to * to * (from * from - to * to) / (from * from)), down = sqrt(to * to - up * up);
        samplers_denoised(f, y, from, d);
        for (j = 0; j < FORMULA_DIM; j++) y[j] = d[j] + down * (y[j] - d[j]) / from + up * f->noise[i][j];
    }
}

/* Karras et al., algorithm 2. */
static void samplers_formula_heun(const samplers_formula *f, double churn, double lowest, double highest,
                                  double more_noise, double *y) {
    double d[FORMULA_DIM], slope[FORMULA_DIM], next[FORMULA_DIM];
    size_t i, j;
    for (i = 0; i < FORMULA_STEPS; i++) {
        double from = f->sigma[i], to = f->sigma[i + 1], gamma = 0.0, hat;
        if (from >= lowest && from <= highest) gamma = fmin(churn / (double)FORMULA_STEPS, sqrt(2.0) - 1.0);
        hat = fmin(from * (1.0 + gamma), f->first);
        for (j = 0; j < FORMULA_DIM; j++) y[j] += sqrt((hat - from) * (hat + from)) * more_noise * f->noise[i][j];
        samplers_denoised(f, y, hat, d);
        for (j = 0; j < FORMULA_DIM; j++) {
            slope[j] = (y[j] - d[j]) / hat;
            next[j] = y[j] + (to - hat) * slope[j];
        }
        samplers_denoised(f, next, to, d);
        for (j = 0; j < FORMULA_DIM; j++) y[j] += (to - hat) * 0.5 * (slope[j] + (next[j] - d[j]) / to);
    }
}

/* Heun's method along the straight path w = y / (1 + sigma) = (1 - tau) x0 + tau z, whose slope is z - D. */
static void samplers_formula_straight(const samplers_formula *f, double *y) {
    double d[FORMULA_DIM], slope[FORMULA_DIM], next[FORMULA_DIM];
    size_t i, j;
    for (i = 0; i < FORMULA_STEPS; i++) {
        double from = f->sigma[i], to = f->sigma[i + 1], step = to / (1.0 + to) - from / (1.0 + from);
        samplers_denoised(f, y, from, d);
        for (j = 0; j < FORMULA_DIM; j++) {
            slope[j] = (y[j] - d[j]) / from - d[j];
            next[j] = (1.0 + to) * (y[j] / (1.0 + from) + step * slope[j]);
        }
        samplers_denoised(f, next, to, d);
        for (j = 0; j < FORMULA_DIM; j++)
            y[j] = (1.0 + to) * (y[j] / (1.0 + from) + step * 0.5 * (slope[j] + (next[j] - d[j]) / to - d[j]));
    }
}

/* sample_dpmpp_2m and, for eta 1, sample_dpmpp_2m_sde with its midpoint rule. */
static void samplers_formula_2m(const samplers_formula *f, double eta, double *y) {
    double d[FORMULA_DIM], old[FORMULA_DIM] = {0.0}, last = 0.0;
    size_t i, j;
    for (i = 0; i < FORMULA_STEPS; i++) {
        double from = f->sigma[i], to = f->sigma[i + 1], h = -log(to) + log(from), r = last / h;
        samplers_denoised(f, y, from, d);
        for (j = 0; j < FORMULA_DIM; j++) {
            double more = i ? 0.5 * (1.0 - exp(-h - eta * h)) * (d[j] - old[j]) / r : 0.0;
            y[j] = to / from * exp(-eta * h) * y[j] + (1.0 - exp(-h - eta * h)) * d[j] + more +
                   to * sqrt(1.0 - exp(-2.0 * eta * h)) * f->noise[i][j];
            old[j] = d[j];
        }
        last = h;
    }
}

/* w_k = the integral of e^-(to - u) L_k(u) over u from 0 to `to`, L_k the polynomial that is 1 at node k and 0 at the
   others, by 2,000 midpoints. */
static void samplers_integrate(const double *node, double to, double *w) {
    size_t i, j, k;
    for (k = 0; k < 3; k++) {
        for (w[k] = 0.0, i = 0; i < 2000; i++) {
            double u = to * ((double)i + 0.5) / 2000.0, value = 1.0;
            for (j = 0; j < 3; j++) value *= j == k ? 1.0 : (u - node[j]) / (node[k] - node[j]);
            w[k] += value * exp(u - to) * to / 2000.0;
        }
    }
}

/* The largest part of the way from w to full on which the rule of orders holds, by halving: D_0 has at most `most`, D_2
   between `least` and `given`. */
static void samplers_towards(const double *full, double most, double least, double given, double *w) {
    double low = 0.0, high = 1.0, part = 1.0;
    int i, j;
    for (i = 0; i < 60; i++, part = 0.5 * (low + high)) {
        double first = w[0] + part * (full[0] - w[0]), last = w[2] + part * (full[2] - w[2]);
        int holds = first <= most && last >= least && last <= given;
        if (holds)
            low = part;
        else
            high = part;
    }
    for (j = 0; j < 3; j++) w[j] += low * (full[j] - w[j]);
}

/* A step's weights of D_0, D_1, D_2; E of this step and of those before, `before` the weights of the last one. */
static void samplers_step_weights(const double *E, size_t known, const double *before, double *w) {
    double gone = 1.0 - exp(-E[0]), full[3], node[3], gain, settled;
    w[0] = gone, w[1] = w[2] = 0.0;
    if (known < 2) return;
    gain = exp(-E[0]) * before[0] * fmin(1.0, E[1] / E[0]);
    settled = gone * fmin(0.3, 0.75 * gone / (exp(2.0 * E[1]) - 1.0));
    full[0] = gone * (1.0 + 0.5 * E[0] / E[1]), full[1] = gone - full[0], full[2] = 0.0;
    samplers_towards(full, gone + fmax(gain, settled), -1.0, 1.0, w);
    if (known < 3) return;
    node[0] = 0.0, node[1] = -E[1], node[2] = -E[1] - E[2];
    samplers_integrate(node, E[0], full);
    samplers_towards(full, gone + fmax(gain, settled), 0.0, exp(-E[0]) * fmax(0.0, -before[1]), w);
}

/* The same for a step whose end's D is known: weights of D at its end, at its start, and of the one before. */
static void samplers_corrected_weights(const double *E, size_t known, double *w) {
    double gone = 1.0 - exp(-E[0]), full[3], node[3];
    w[0] = w[1] = 0.5 * gone, w[2] = 0.0;
    if (known < 2) return;
    node[0] = E[0], node[1] = 0.0, node[2] = -E[1];
    samplers_integrate(node, E[0], full);
    samplers_towards(full, HUGE_VAL, -exp(-E[0]) * (1.0 - exp(-E[1])), HUGE_VAL, w);
}

/* 2M, 3M and UniPC on any times, under the rule of orders. */
static void samplers_formula_multistep(const samplers_formula *f, size_t steps, ssde_predictor predictor, double eta,
                                       double *y) {
    double past[FORMULA_STEPS + 1][FORMULA_DIM], start[FORMULA_DIM] = {0.0}, w[3] = {0.0}, before[3], c[3];
    size_t most = predictor == SSDE_PREDICTOR_DPM_SOLVER_3M ? 3 : 2, i, j, k;
    for (i = 0; i < steps; i++) {
        double E[4] = {0.0}, noise = i ? f->sigma[i] * sqrt(1.0 - pow(f->sigma[i] / f->sigma[i - 1], 2.0 * eta)) : 0.0;
        for (k = 0; k < 4 && k <= i; k++) E[k] = (1.0 + eta) * log(f->sigma[i - k] / f->sigma[i - k + 1]);
        samplers_denoised(f, y, f->sigma[i], past[i]);
        if (i && (predictor == SSDE_PREDICTOR_UNIPC || (most == 3 && i == 1))) {
            samplers_corrected_weights(E + 1, i < 2 ? i : 2, c);
            for (j = 0; j < FORMULA_DIM; j++) {
                y[j] = exp(-E[1]) * start[j] + noise * f->noise[i - 1][j];
                for (k = 0; k < 3 && k <= i; k++) y[j] += c[k] * past[i - k][j];
            }
        }
        memcpy(before, w, sizeof w);
        samplers_step_weights(E, i + 1 < most ? i + 1 : most, before, w);
        noise = f->sigma[i + 1] * sqrt(1.0 - pow(f->sigma[i + 1] / f->sigma[i], 2.0 * eta));
        for (j = 0; j < FORMULA_DIM; j++) {
            start[j] = y[j];
            y[j] = exp(-E[0]) * y[j] + noise * f->noise[i][j];
            for (k = 0; k < 3 && k <= i; k++) y[j] += w[k] * past[i - k][j];
        }
    }
}

/* UniPC-2 with B = e^h - 1 for the prediction of data, in the paper's notation at alpha = 1: h = lambda - lambda' is
   negative, lambda = -log sigma, and r is that of the step before. */
static void samplers_formula_unipc(const samplers_formula *f, double *y) {
    double past[FORMULA_STEPS + 1][FORMULA_DIM], base, first, second, third, b, r = 0.0, c[2];
    size_t i, j;
    samplers_denoised(f, y, f->sigma[0], past[0]);
    for (i = 0; i < FORMULA_STEPS; i++) {
        double h = -log(f->sigma[i] / f->sigma[i + 1]), start[FORMULA_DIM];
        if (i) r = log(f->sigma[i - 1] / f->sigma[i]) / h;
        b = first = expm1(h);
        second = first / h - 1.0;
        third = second / h - 0.5;
        for (j = 0; j < FORMULA_DIM; j++) {
            start[j] = y[j];
            y[j] = f->sigma[i + 1] / f->sigma[i] * start[j] - first * past[i][j];
            if (i) y[j] -= b * 0.5 * (past[i - 1][j] - past[i][j]) / r;
        }
        if (i + 1 == FORMULA_STEPS) break;
        samplers_denoised(f, y, f->sigma[i + 1], past[i + 1]);
        /* (1, 1; r, 1) c = (second, 2 third) / B; one step: c = 1 / 2 */
        c[0] = i ? (2.0 * third - second) / b / (r - 1.0) : 0.0;
        c[1] = i ? second / b - c[0] : 0.5;
        for (j = 0; j < FORMULA_DIM; j++) {
            base = f->sigma[i + 1] / f->sigma[i] * start[j] - first * past[i][j];
            y[j] = base - b * c[1] * (past[i + 1][j] - past[i][j]);
            if (i) y[j] -= b * c[0] * (past[i - 1][j] - past[i][j]) / r;
        }
    }
}

/* The noise of a formula as the predictor asks for it. */
static ssde_status samplers_known_noise(void *user, int stream, uint32_t step, const uint64_t *sample, size_t rows,
                                        size_t dim, float *out) {
    const samplers_formula *f = (const samplers_formula *)user;
    size_t j;
    (void)sample;
    if (stream != SSDE_STREAM_PREDICTOR || step >= FORMULA_STEPS || rows != 1) return SSDE_ERROR_ARGUMENT;
    for (j = 0; j < dim; j++) out[j] = (float)f->noise[step][j];
    return SSDE_OK;
}

static void test_sampler_formulas(void) {
    static const struct {
        ssde_predictor predictor;
        double eta, churn;
    } ways[] = {{SSDE_PREDICTOR_DDIM, 0.0, 0.0},          {SSDE_PREDICTOR_DDIM, 0.7, 0.0},
                {SSDE_PREDICTOR_HEUN, 0.0, 0.0},          {SSDE_PREDICTOR_HEUN, 0.0, 3.0},
                {SSDE_PREDICTOR_DPM_SOLVER_2M, 0.0, 0.0}, {SSDE_PREDICTOR_DPM_SOLVER_2M_SDE, 0.0, 0.0},
                {SSDE_PREDICTOR_DPM_SOLVER_2M, 0.4, 0.0}, {SSDE_PREDICTOR_DPM_SOLVER_3M, 0.0, 0.0},
                {SSDE_PREDICTOR_DPM_SOLVER_3M, 0.6, 0.0}, {SSDE_PREDICTOR_UNIPC, 0.0, 0.0},
                {SSDE_PREDICTOR_UNIPC, 0.5, 0.0},         {SSDE_PREDICTOR_STRAIGHT_HEUN, 0.0, 0.0}};
    solver_mixture m = solver_plane();
    samplers_formula f;
    int which;
    size_t way, k, j;
    for (k = 0; k < FORMULA_STEPS; k++) {
        for (j = 0; j < FORMULA_DIM; j++) f.noise[k][j] = (double)(float)sin(3.0 * (double)k + 5.0 * (double)j);
    }
    f.mixture = &m;
    for (which = 0; which < SOLVER_SDES; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_score_model model;
        ssde_mixture *mixture = solver_mixture_model(&m, &sde, &model);
        for (way = 0; way < sizeof ways / sizeof ways[0]; way++) {
            ssde_sampler_desc how = samplers_desc(ways[way].predictor, FORMULA_STEPS, 0.02);
            double times[FORMULA_STEPS + 1], y[FORMULA_DIM], eta = ways[way].eta, start, scale;
            ssde_coefficients c;
            ssde_rng rng = ssde_rng_seed(1);
            float x[FORMULA_DIM] = {0.7f, -1.1f};
            /* 2M SDE: E is twice h; from s = 10,000 Karras' last steps are not whole */
            how.grid = way % 2 && way != 5 && (which < 3 || way < 4) ? SSDE_GRID_KARRAS : SSDE_GRID_LOG_SNR;
            how.eta = eta;
            how.s_churn = ways[way].churn, how.s_tmin = 0.2, how.s_tmax = 30.0, how.s_noise = 1.1;
            how.skip_denoise = how.given_start = 1;
            how.noise.fill = samplers_known_noise, how.noise.user = &f;
            CHECK_OK(ssde_sde_time_grid(NULL, &sde, how.grid, 0.0, 0.02, FORMULA_STEPS, times));
            for (k = 0; k <= FORMULA_STEPS; k++) f.sigma[k] = samplers_noise(&sde, times[k]);
            f.first = f.sigma[0];
            CHECK_OK(ssde_prior_time(NULL, &sde, &start, &scale));
            c = solver_marginal(&sde, start);
            for (j = 0; j < FORMULA_DIM; j++) {
                x[j] *= (float)c.std;
                y[j] = (double)x[j] * scale / c.mean;
            }
            CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 1, x));
            if (how.predictor == SSDE_PREDICTOR_DDIM)
                samplers_formula_ddim(&f, eta, y);
            else if (how.predictor == SSDE_PREDICTOR_HEUN)
                samplers_formula_heun(&f, ways[way].churn, 0.2, 30.0, 1.1, y);
            else if (how.predictor == SSDE_PREDICTOR_STRAIGHT_HEUN)
                samplers_formula_straight(&f, y);
            else if (how.predictor == SSDE_PREDICTOR_DPM_SOLVER_3M)
                samplers_formula_multistep(&f, FORMULA_STEPS, how.predictor, eta, y);
            else if (how.predictor == SSDE_PREDICTOR_UNIPC)
                samplers_formula_unipc(&f, y);
            else
                samplers_formula_2m(&f, how.predictor == SSDE_PREDICTOR_DPM_SOLVER_2M_SDE ? 1.0 : eta, y);
            CHECK_OK(ssde_coefficients_at(NULL, &sde, 0.02, &c));
            for (j = 0; j < FORMULA_DIM; j++) /* float's rounding of a start of size s(1), and 3M's midpoints */
                CHECK_NEAR(x[j], c.mean * y[j], 3e-5);
        }
        ssde_mixture_destroy(mixture);
    }
}

/* Flow matching's two solvers as they are written, in double, on their own path: Euler's x + (t' - t) u is DDIM, and
   Heun's the plan of straight_heun; from where signal begins. */
static void test_sampler_straight(void) {
    enum { STEPS = 12 };
    solver_mixture m = solver_plane();
    ssdei_setting setting;
    ssde_predictor found;
    double start, scale, x[2][2] = {{0.7, -1.1}, {0.7, -1.1}};
    int k, j, way;
    CHECK_OK(ssde_predictor_find(NULL, "euler", &found));
    CHECK(found == SSDE_PREDICTOR_DDIM && !strcmp(ssde_predictor_name(found), "ddim"));
    memset(&setting, 0, sizeof setting);
    setting.sde = ssde_rectified_flow();
    CHECK_OK(ssde_prior_time(NULL, &setting.sde, &start, &scale));
    setting.start = setting.by_d = start;
    for (k = 0; k < STEPS; k++) {
        double t = start - (start - 1e-3) * k / (double)STEPS, next = start - (start - 1e-3) * (k + 1) / (double)STEPS;
        double u[2], u1[2], score[2], more[2], density, laplacian, to[2], one[2];
        ssde_coefficients at = solver_marginal(&setting.sde, t), end = solver_marginal(&setting.sde, next);
        ssdei_step_plan plan;
        memset(&plan, 0, sizeof plan);
        plan.t0 = t, plan.t1 = next;
        for (way = 0; way < 2; way++) {
            ssdei_update euler;
            CHECK_OK(ssdei_rule_ddim(&setting, t, next, &euler));
            CHECK_OK(ssdei_straight_heun_plan(&setting, &plan));
            solver_density(&m, &at, x[way], &density, score, &laplacian);
            for (j = 0; j < 2; j++) {
                u[j] = -t * score[j] - (x[way][j] + t * t * score[j]) / (1.0 - t);
                to[j] = x[way][j] + (next - t) * u[j];
                CHECK_NEAR(x[way][j] + euler.x * x[way][j] + euler.score * score[j], to[j], 1e-12);
            }
            if (!way) {
                memcpy(x[way], to, sizeof to);
                continue;
            }
            solver_density(&m, &end, to, &density, more, &laplacian);
            for (j = 0; j < 2; j++) {
                double kept = plan.keep_x * x[way][j] + plan.keep_score * score[j];
                u1[j] = -next * more[j] - (to[j] + next * next * more[j]) / (1.0 - next);
                one[j] = x[way][j] + plan.update.x * x[way][j] + plan.update.score * score[j];
                one[j] += plan.second.x * one[j] + kept + plan.second.score * more[j];
                to[j] = x[way][j] + (next - t) * 0.5 * (u[j] + u1[j]);
                CHECK_NEAR(one[j], to[j], 1e-11); /* u's own rounding, by 1 / m = 1e4 */
            }
            memcpy(x[way], to, sizeof to);
        }
    }
}

/* The rule of orders on times of one's own: equal, growing and shrinking, alternating, a very short step before a long
   one, a long last one. */
static void test_sampler_rule_of_orders(void) {
    enum { STEPS = 8 };
    static const double lengths[6][STEPS] = {
        {1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0},   {0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.2, 3.3},
        {3.3, 2.2, 1.5, 1.0, 0.7, 0.5, 0.3, 0.2},   {1.5, 0.1, 1.5, 0.1, 1.5, 0.1, 1.5, 0.1},
        {0.8, 0.8, 1e-4, 2.0, 0.8, 1e-4, 2.0, 0.8}, {0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 5.0}};
    static const ssde_predictor ways[4] = {SSDE_PREDICTOR_DPM_SOLVER_2M, SSDE_PREDICTOR_DPM_SOLVER_3M,
                                           SSDE_PREDICTOR_DPM_SOLVER_2M_SDE, SSDE_PREDICTOR_UNIPC};
    solver_mixture m = solver_plane();
    ssde_sde sde = ssde_ve(0.001, 50.0);
    ssde_mixture *mixture = NULL;
    ssde_score_model model;
    samplers_formula f;
    size_t grid, way, k, j;
    memset(&f, 0, sizeof f);
    f.mixture = &m;
    for (k = 0; k < STEPS; k++) {
        for (j = 0; j < FORMULA_DIM; j++) f.noise[k][j] = (double)(float)sin(3.0 * (double)k + 5.0 * (double)j);
    }
    mixture = solver_mixture_model(&m, &sde, &model);
    for (grid = 0; grid < 6; grid++) {
        for (way = 0; way < 4; way++) {
            ssde_sampler_desc how = samplers_desc(ways[way], STEPS, 0.0);
            ssde_rng rng = ssde_rng_seed(1);
            double times[STEPS + 1], y[FORMULA_DIM];
            float x[FORMULA_DIM] = {7.0f, -11.0f};
            times[0] = 0.9;
            for (k = 0; k < STEPS; k++)
                times[k + 1] = times[k] - 0.8 * lengths[grid][k] / log(5e4); /* to s e^-(0.8 h) */
            for (k = 0; k <= STEPS; k++) f.sigma[k] = samplers_noise(&sde, times[k]);
            for (j = 0; j < FORMULA_DIM; j++) y[j] = (double)x[j];
            how.times = times;
            how.skip_denoise = how.given_start = 1;
            how.noise.fill = samplers_known_noise, how.noise.user = &f;
            CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 1, x));
            samplers_formula_multistep(&f, STEPS, ways[way], ways[way] == SSDE_PREDICTOR_DPM_SOLVER_2M_SDE ? 1.0 : 0.0,
                                       y);
            for (j = 0; j < FORMULA_DIM; j++) /* float's rounding of a start of 11, and the midpoints */
                CHECK_NEAR(x[j], y[j], 3e-5);
        }
    }
    ssde_mixture_destroy(mixture);
}

/* ---- sampler: multistep samplers against DDIM, on the flow of mixtures ---- */

/* One Gaussian; two narrow modes; three in the plane. */
static solver_mixture samplers_modes(int which) {
    static const double weight[2] = {0.4, 0.6}, mean[2] = {-1.0, 1.0}, variance[2] = {0.01, 0.04};
    solver_mixture m;
    if (which == 2) return solver_plane();
    memset(&m, 0, sizeof m);
    m.components = which ? 2 : 1, m.dim = 1;
    memcpy(m.weight, weight, sizeof weight);
    memcpy(m.mean, mean, sizeof mean);
    memcpy(m.variance, variance, sizeof variance);
    if (!which) m.weight[0] = 1.0, m.mean[0] = 0.3, m.variance[0] = 0.25;
    return m;
}

/* m = cos(1.5 t), std = sin(1.5 t) */
static double samplers_cosine_a(void *user, double t) {
    (void)user;
    return -1.5 * tan(1.5 * t);
}
static double samplers_cosine_g(void *user, double t) {
    (void)user;
    return sqrt(3.0 * tan(1.5 * t));
}

/* y from s down to s_end along dy / d(-log s) = D - y, by Runge and Kutta's fourth order in steps of at most 0.05, and
   denoised there. */
static void samplers_exact_end(const solver_mixture *m, double s, double s_end, double *y) {
    static const double at[4] = {0.0, 0.5, 0.5, 1.0}, share[4] = {1.0 / 6.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 6.0};
    samplers_formula f;
    double h, k[FORMULA_DIM], z[FORMULA_DIM], sum[FORMULA_DIM];
    size_t count = (size_t)ceil(log(s / s_end) / 0.05), i, stage, j;
    f.mixture = m;
    h = log(s / s_end) / (double)count;
    for (i = 0; i < count; i++) {
        double here = s * exp(-h * (double)i);
        for (j = 0; j < m->dim; j++) k[j] = sum[j] = 0.0;
        for (stage = 0; stage < 4; stage++) {
            for (j = 0; j < m->dim; j++) z[j] = y[j] + at[stage] * h * k[j];
            samplers_denoised(&f, z, here * exp(-h * at[stage]), k);
            for (j = 0; j < m->dim; j++) sum[j] += share[stage] * h * (k[j] -= z[j]);
        }
        for (j = 0; j < m->dim; j++) y[j] += sum[j];
    }
    samplers_denoised(&f, y, s_end, z);
    memcpy(y, z, m->dim * sizeof *y);
}

enum { SAMPLERS_ROWS = 128 };

/* Root mean square distance to the flow's denoised end. */
static double samplers_end_error(const ssde_sde *sde, const ssde_score_model *model, const ssde_sampler_desc *how,
                                 const float *start, const double *exact) {
    float x[SAMPLERS_ROWS * FORMULA_DIM];
    size_t i, count = SAMPLERS_ROWS * model->dim;
    ssde_rng rng = ssde_rng_seed(1);
    double sum = 0.0;
    memcpy(x, start, count * sizeof *x);
    CHECK_OK(ssde_sample(sde, model, how, &rng, SAMPLERS_ROWS, x));
    for (i = 0; i < count; i++) sum += pow((double)x[i] - exact[i], 2.0);
    return sqrt(sum / (double)SAMPLERS_ROWS);
}

static void samplers_against_ddim(int which, int modes, double from, double eps) {
    static const ssde_predictor ways[4] = {SSDE_PREDICTOR_DPM_SOLVER_2M, SSDE_PREDICTOR_DPM_SOLVER_3M,
                                           SSDE_PREDICTOR_UNIPC, SSDE_PREDICTOR_DPM_SOLVER_2M_SDE};
    static const ssde_grid grids[4] = {SSDE_GRID_UNIFORM, SSDE_GRID_QUADRATIC, SSDE_GRID_LOG_SNR, SSDE_GRID_KARRAS};
    static const size_t counts[8] = {4, 5, 7, 10, 14, 20, 28, 40};
    ssde_sde sde = which < 3 ? solver_sde(which) : ssde_affine(samplers_cosine_a, samplers_cosine_g, NULL);
    solver_mixture m = samplers_modes(modes);
    ssde_score_model model;
    ssde_mixture *mixture = solver_mixture_model(&m, &sde, &model);
    float start[SAMPLERS_ROWS * FORMULA_DIM];
    double exact[SAMPLERS_ROWS * FORMULA_DIM], times[41];
    ssde_coefficients c;
    size_t i, grid, count, way, k;
    CHECK_OK(ssde_random_normal(NULL, 3, SSDE_STREAM_PRIOR, 0, NULL, SAMPLERS_ROWS, m.dim, start));
    CHECK_OK(ssde_coefficients_at(NULL, &sde, from, &c));
    for (i = 0; i < SAMPLERS_ROWS * m.dim; i++) {
        start[i] *= (float)c.std;
        exact[i] = (double)start[i] / c.mean;
    }
    for (i = 0; i < SAMPLERS_ROWS; i++)
        samplers_exact_end(&m, c.std / c.mean, samplers_noise(&sde, eps), exact + i * m.dim);
    for (grid = 0; grid < 4; grid++) {
        for (count = 0; count < 8; count++) {
            ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_DDIM, counts[count], eps);
            /* Here DDIM's D, that lags, and its last step, that holds D where it still moves, nearly cancel. */
            int cancels =
                which == 3 && modes == 1 && from < 1.0 && grid == 0 && (counts[count] == 7 || counts[count] == 10);
            double bound = cancels ? 1.6 : 1.1;
            double ddim, error;
            how.given_start = 1;
            CHECK_OK(ssde_sde_time_grid(NULL, &sde, grids[grid], 0.0, eps, counts[count], times));
            /* a part of the way, the same grid in t */
            for (k = 0; from < 1.0 && k < counts[count]; k++)
                times[k] = eps + (from - eps) * (times[k] - eps) / (1.0 - eps);
            how.times = times;
            ddim = samplers_end_error(&sde, &model, &how, start, exact);
            for (way = 0; way < 4; way++) {
                how.predictor = ways[way];
                how.probability_flow = 1; /* for 2M SDE: the flow under its own name */
                error = samplers_end_error(&sde, &model, &how, start, exact);
                if (!(error <= bound * ddim + 1e-5)) /* float's rounding of the start */
                    check_report(__FILE__, __LINE__,
                                 "SDE %d, modes %d, from %g to %g, grid %d, %d steps: %s %.4g, ddim %.4g", which, modes,
                                 from, eps, (int)grids[grid], (int)counts[count], ssde_predictor_name(ways[way]), error,
                                 ddim);
            }
        }
    }
    ssde_mixture_destroy(mixture);
}

static void test_sampler_against_ddim(void) {
    int which, modes, late, part;
    for (which = 0; which < 4; which++) {
        for (modes = 0; modes < 3; modes++) {
            for (late = 0; late < 2; late++) {
                for (part = 0; part < 2; part++) {
                    if (check_quick && (which + modes + late + part) % 4) continue;
                    samplers_against_ddim(which, modes, part ? 0.6 : 1.0, late ? 1e-5 : 1e-3);
                }
            }
        }
    }
}

/* Orders from part-way starts, where the start is as hard as any: on a log-SNR grid, one Gaussian. */
static void test_sampler_part_way_order(void) {
    static const ssde_predictor ways[3] = {SSDE_PREDICTOR_DPM_SOLVER_2M, SSDE_PREDICTOR_DPM_SOLVER_3M,
                                           SSDE_PREDICTOR_UNIPC};
    int which, way, round;
    for (which = 0; which < SOLVER_SDES; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_mixture *mixture = NULL;
        ssde_score_model model;
        double high = samplers_noise(&sde, which % 3 ? 0.3 : 0.6), low = samplers_noise(&sde, 0.1);
        mixture = solver_gaussian_model(1, 0.3, 0.5, &sde, &model);
        for (way = 0; way < 3; way++) {
            double error[2], times[65], slope;
            for (round = 0; round < 2; round++) {
                size_t steps = round ? 48 : 24, k;
                ssde_sampler_desc how = samplers_desc(ways[way], steps, 0.0);
                ssde_rng rng = ssde_rng_seed(1);
                float x = 2.0f;
                for (k = 0; k <= steps; k++)
                    CHECK_OK(ssde_noise_time(NULL, &sde, high * pow(low / high, (double)k / (double)steps), &times[k]));
                how.times = times;
                how.given_start = how.skip_denoise = 1;
                CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 1, &x));
                error[round] = fabs((double)x - solver_gaussian_flow(&sde, 0.3, 0.5, 2.0, times[0], times[steps]));
            }
            slope = log(error[0] / error[1]) / log(2.0);
            if (!(slope > ssde_predictor_info(ways[way])->order - 0.3))
                check_report(__FILE__, __LINE__, "%s %s: order %.3f, error %.3g", solver_sde_names[which],
                             ssde_predictor_name(ways[way]), slope, error[1]);
        }
        ssde_mixture_destroy(mixture);
    }
}

/* ---- sampler: the chains ---- */

static ssde_status samplers_normal(void *user, int stream, uint32_t step, const uint64_t *sample, size_t rows,
                                   size_t dim, float *out) {
    (void)user;
    return ssde_random_normal(NULL, 31, stream, step, sample, rows, dim, out);
}

/* Ho et al., algorithm 2: x = (x - beta / sqrt(1 - abar) e) / sqrt(alpha) + sqrt(beta) z, e = -sqrt(1 - abar) score, no
   noise in the last step. */
static void test_sampler_ddpm(void) {
    enum { STEPS = 50, DIM = 2 };
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = ssde_vp(0.1, 20.0);
    solver_mixture m = solver_plane();
    ssde_score_model model;
    ssde_mixture *mixture = solver_mixture_model(&m, &sde, &model);
    double betas[STEPS];
    int own, i, j;
    for (own = 0; own < 2; own++) {
        ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_DDPM, STEPS, 0.0);
        ssde_rng rng = ssde_rng_seed(31);
        float x[DIM];
        double y[DIM];
        uint64_t sample = 0;
        how.context = &context;
        for (i = 0; i < STEPS; i++) /* linear, or a cosine of the user's */
            betas[i] = own ? 0.2 - 0.19 * cos(1.5 * (double)i / (double)STEPS)
                           : (0.1 + 19.9 * (double)i / (double)(STEPS - 1)) / (double)STEPS;
        if (own) how.schedule = betas;
        CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 1, x));
        {
            float z[DIM];
            CHECK_OK(samplers_normal(NULL, SSDE_STREAM_PRIOR, 0, &sample, 1, DIM, z));
            for (j = 0; j < DIM; j++) y[j] = (double)z[j];
        }
        for (i = STEPS - 1; i >= 0; i--) {
            double abar = 1.0, score[DIM], density, laplacian;
            ssde_coefficients c;
            float z[DIM];
            int k;
            for (k = 0; k <= i; k++) abar *= 1.0 - betas[k];
            CHECK_OK(ssde_coefficients_at(NULL, &sde, (double)i / (double)(STEPS - 1), &c));
            solver_density(&m, &c, y, &density, score, &laplacian);
            CHECK_OK(samplers_normal(NULL, SSDE_STREAM_PREDICTOR, (uint32_t)(STEPS - 1 - i), &sample, 1, DIM, z));
            for (j = 0; j < DIM; j++) {
                double e = -sqrt(1.0 - abar) * score[j];
                y[j] = (y[j] - betas[i] / sqrt(1.0 - abar) * e) / sqrt(1.0 - betas[i]);
                if (i) y[j] += sqrt(betas[i]) * (double)z[j];
            }
        }
        for (j = 0; j < DIM; j++) CHECK_NEAR(x[j], y[j], 2e-5); /* 50 steps in float */
        betas[7] = 1.0;
        if (own)
            CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 1, x), SSDE_ERROR_ARGUMENT, "schedule[7] is 1");
    }
    ssde_mixture_destroy(mixture);
}

/* Song and Ermon, algorithm 1: for each sigma, T times x += alpha / 2 s + sqrt(alpha) z with alpha = epsilon sigma^2 /
   sigma_L^2; and Tweedie's formula at sigma_L unless skip_denoise. */
static void test_sampler_smld(void) {
    enum { LEVELS = 6, T = 4, DIM = 2 };
    static const double sigmas[LEVELS] = {40.0, 9.0, 3.0, 1.0, 0.3, 0.05};
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = ssde_ve(0.01, 50.0);
    solver_mixture m = solver_plane();
    ssde_score_model model;
    ssde_mixture *mixture = solver_mixture_model(&m, &sde, &model);
    int own, raw, i, j, k;
    for (own = 0; own < 2; own++) {
        for (raw = 0; raw < 2; raw++) {
            ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_SMLD, LEVELS, 0.0);
            ssde_rng rng = ssde_rng_seed(31);
            float x[DIM], z[DIM];
            double y[DIM], sigma = 0.0, epsilon = own ? 2e-4 : 2e-5, density, laplacian, score[DIM];
            uint64_t sample = 0;
            ssde_coefficients c;
            how.context = &context;
            how.corrector_steps = T;
            how.skip_denoise = raw;
            if (own) how.schedule = sigmas, how.step_size = epsilon;
            CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 1, x));
            CHECK_OK(samplers_normal(NULL, SSDE_STREAM_PRIOR, 0, &sample, 1, DIM, z));
            for (j = 0; j < DIM; j++) y[j] = 50.0 * (double)z[j];
            memset(&c, 0, sizeof c);
            c.mean = 1.0;
            for (i = 0; i < LEVELS; i++) {
                double last = own ? 0.05 : 0.01, alpha;
                sigma = own ? sigmas[i] : 50.0 * pow(0.01 / 50.0, (double)i / (double)(LEVELS - 1));
                alpha = epsilon * sigma * sigma / (last * last);
                c.std = sigma;
                for (k = 0; k < T; k++) {
                    solver_density(&m, &c, y, &density, score, &laplacian);
                    CHECK_OK(samplers_normal(NULL, SSDE_STREAM_PREDICTOR, (uint32_t)(i * T + k), &sample, 1, DIM, z));
                    for (j = 0; j < DIM; j++) y[j] += 0.5 * alpha * score[j] + sqrt(alpha) * (double)z[j];
                }
            }
            solver_density(&m, &c, y, &density, score, &laplacian);
            for (j = 0; j < DIM; j++)
                CHECK_NEAR(x[j], raw ? y[j] : y[j] + sigma * sigma * score[j], 2e-5); /* 24 steps in float */
        }
    }
    {
        ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_SMLD, 2, 0.0);
        static const double rising[2] = {0.1, 0.2};
        ssde_rng rng = ssde_rng_seed(1);
        float x[DIM];
        how.context = &context, how.schedule = rising;
        CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 1, x), SSDE_ERROR_ARGUMENT, "schedule[1] is 0.2");
        how.schedule = NULL, how.corrector = SSDE_CORRECTOR_LANGEVIN;
        CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 1, x), SSDE_ERROR_UNSUPPORTED, "smld");
    }
    ssde_mixture_destroy(mixture);
}

/* eta 1 is ancestral sampling, where both are exact posteriors. */
static void test_sampler_ddim_ancestral(void) {
    ssde_sde sde = ssde_ve(0.01, 50.0);
    solver_mixture m = solver_plane();
    ssde_score_model model;
    ssde_mixture *mixture = solver_mixture_model(&m, &sde, &model);
    float x[2][10];
    int k;
    for (k = 0; k < 2; k++) {
        ssde_sampler_desc how = samplers_desc(k ? SSDE_PREDICTOR_DDIM : SSDE_PREDICTOR_ANCESTRAL, 20, 0.0);
        ssde_rng rng = ssde_rng_seed(5);
        how.grid = SSDE_GRID_UNIFORM;
        how.eta = k ? 1.0 : 0.0;
        CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 5, x[k]));
    }
    CHECK_ARRAY(x[1], x[0], 10, 1e-5); /* float's rounding, from a start of size 50 */
    ssde_mixture_destroy(mixture);
}

/* ---- sampler: what makes samplers of few dimensions fast: kernels of points in the plane ---- */

/* Scores in the plane against the oracle in double, with equal and unequal covariances, close to modes, far from them
   and between them; a row that is not finite stays alone. */
static void test_sampler_plane_scores(void) {
    enum { N = 37 };
    static const double times[3] = {0.002, 0.2, 1.0};
    ssde_context context = ssde_context_defaults();
    int kind, tier, which;
    size_t i, k;
    for (kind = 0; kind < 4; kind++) {
        solver_mixture m = kind == 0 ? solver_ring() : solver_plane();
        for (k = 0; kind > 1 && k < 6; k++) m.variance[k] = kind == 2 ? 1e-6 : k % 2 ? 0.2 : 0.01;
        for (tier = SSDE_TIER_SCALAR; tier < SSDE_TIER_COUNT; tier++) {
            ssde_mixture *mixture = NULL;
            context.tier = (ssde_tier)tier;
            CHECK_OK(solver_mixture_create(&m, &context, &mixture));
            for (which = 0; which < 9; which++) {
                ssde_sde sde = solver_sde(which % 3);
                ssde_score_model model = ssde_mixture_model(mixture, &sde);
                ssde_coefficients c;
                float x[2 * N], out[2 * N];
                double t[N];
                uint64_t sample[N] = {0};
                CHECK_OK(ssde_coefficients_at(NULL, &sde, times[which / 3], &c));
                for (i = 0; i < N; i++) t[i] = times[which / 3];
                CHECK_OK(ssde_random_normal(NULL, 3, SSDE_STREAM_USER, 0, NULL, N, 2, x));
                for (i = 0; i < 2 * N; i++) {
                    size_t mode = (i / 2) % m.components;
                    double spread = sqrt(m.variance[2 * mode + i % 2] * c.mean * c.mean + c.std * c.std);
                    x[i] = (float)(c.mean * m.mean[2 * mode + i % 2] + (i < 60 ? 1.0 : 30.0) * spread * (double)x[i]);
                }
                x[10] = (float)HUGE_VAL;
                x[21] = (float)NAN;
                CHECK_OK(model.score(model.user, x, t, sample, N, 0, out));
                for (i = 0; i < N; i++) {
                    double y[2], score[2], density, laplacian, norm, scale;
                    y[0] = (double)x[2 * i], y[1] = (double)x[2 * i + 1];
                    if (i == 5 || i == 10) {
                        CHECK(out[2 * i] != out[2 * i] && out[2 * i + 1] != out[2 * i + 1]);
                        continue;
                    }
                    solver_density(&m, &c, y, &density, score, &laplacian);
                    norm = fabs(score[0]) + fabs(score[1]);
                    /* shares to 1e-7 of slopes that may cancel between modes */
                    scale = norm + 1.0 / sqrt(m.variance[0] * c.mean * c.mean + c.std * c.std);
                    CHECK_NEAR(out[2 * i], score[0], 1e-6 * scale);
                    CHECK_NEAR(out[2 * i + 1], score[1], 1e-6 * scale);
                }
            }
            ssde_mixture_destroy(mixture);
        }
    }
}

/* ---- sampler: statistics ---- */

static void test_sampler_statistics(void) {
    solver_mixture m = solver_plane();
    size_t n = check_quick ? 200 : 500;
    float *x = (float *)malloc(2 * n * sizeof *x);
    int which, way, wrong;
    for (which = 0; which < SOLVER_SDES; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_mixture *mixture = NULL;
        solver_model wrapper;
        ssde_score_model model;
        samplers_exact exact;
        CHECK_OK(solver_mixture_create(&m, NULL, &mixture));
        exact = samplers_exact_make(&m, mixture, &sde, 1e-3, n);
        sde.num_scales = check_quick ? 100 : 250;
        model = solver_wrap(&wrapper, ssde_mixture_model(mixture, &sde));
        for (way = 0; way <= SAMPLERS_WAYS; way++) {
            if (check_quick && way % 3 != which) continue;
            if (way < SAMPLERS_WAYS && samplers_refused(samplers_ways[way].predictor, which)) continue;
            for (wrong = 0; wrong < 2; wrong++) {
                ssde_rng rng = ssde_rng_seed(17 + (uint64_t)way);
                double moments, energy;
                if (way < SAMPLERS_WAYS) {
                    ssde_sampler_desc how = samplers_way_desc(&samplers_ways[way]);
                    const ssde_predictor_properties *info = ssde_predictor_info(how.predictor);
                    int flow = how.probability_flow ||
                               (!info->stochastic && how.predictor != SSDE_PREDICTOR_NONE && how.eta == 0.0);
                    wrapper.factor = !wrong ? 1.0 : flow ? 2.0 : 0.5; /* g^2 for g^2 / 2, and the reverse */
                    if (which == 3) {
                        if (how.predictor == SSDE_PREDICTOR_HEUN) how.steps = 72; /* from s = 10,000 */
                        if (how.predictor == SSDE_PREDICTOR_DDIM && wrong && flow) wrapper.factor = 3.0;
                    }
                    CHECK_OK(ssde_sample(&sde, &model, &how, &rng, n, x));
                } else {
                    wrapper.factor = wrong ? 2.0 : 1.0;
                    CHECK_OK(ssde_sample_ode(&sde, &model, NULL, &rng, n, x, NULL));
                }
                moments = samplers_moments(&exact, &m, x);
                energy = samplers_energy(&exact, x) / exact.chance;
                /* Six moments of 50 runs stay below 5 standard deviations by chance and the steps' own error, and
                   energy distances below twice the largest of 40; the wrong coefficient fails in both. */
                if (wrong ? !(moments > 6.0 && energy > 2.5) : !(moments < 5.0 && energy < 2.0))
                    check_report(__FILE__, __LINE__, "%s, way %d, %s score: %.2f deviations, energy %.2f",
                                 solver_sde_names[which], way, wrong ? "the wrong" : "the", moments, energy);
            }
        }
        free(exact.draws);
        ssde_mixture_destroy(mixture);
    }
    free(x);
}

/* A sample that fails once is zeros in every later frame of the trajectory, whatever moves the others. */
typedef struct samplers_frames {
    size_t failed, row, moved; /* frames since the row failed, of them those in which it is not zeros */
} samplers_frames;

static void samplers_watch(void *user, size_t step, double t, const float *x, size_t n, size_t dim) {
    samplers_frames *frames = (samplers_frames *)user;
    const float *row = x + frames->row * dim;
    size_t j;
    int zero = 1;
    (void)step, (void)t, (void)n;
    for (j = 0; j < dim; j++) zero &= row[j] == 0.0f;
    if (frames->failed || zero) frames->failed++;
    frames->moved += frames->failed && !zero;
}

/* A mixture's score, not a number for sample 2 while t is above 0.5. */
static ssde_status samplers_score_of_two(void *user, const float *x, const double *t, const uint64_t *sample,
                                         size_t rows, int differentiate, float *out) {
    const ssde_score_model *model = (const ssde_score_model *)user;
    size_t r;
    ssdei_try(model->score(model->user, x, t, sample, rows, differentiate, out));
    for (r = 0; r < rows; r++) {
        if (sample[r] == 2 && t[r] > 0.5) out[r * model->dim] = (float)NAN;
    }
    return SSDE_OK;
}

/* What ssde_sample_memory says is what the allocator is asked for, but for the padding of each block: of every
   predictor, with paths, conditions and terms of the score, in one block beside theirs. */
static void test_sampler_memory_told(void) {
    enum { N = 5, DIM = 2 };
    static const float known[N * DIM] = {0.0f}, mask[DIM] = {1.0f, 0.0f};
    ssde_condition pixels = ssde_inpaint_shared(known, mask);
    ssde_sde sde = ssde_ve(0.01, 50.0);
    ssde_score_model model;
    ssde_mixture *mixture = solver_gaussian_model(DIM, 0.0, 0.5, &sde, &model);
    ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_EULER_MARUYAMA, 8, 1e-3);
    ssdei_memory array = {NULL, 0}; /* with its red zone, where there are some */
    counted_memory memory;
    size_t dim = DIM;
    ssde_context context = counted_context(&memory);
    size_t plain[SSDE_PREDICTOR_COUNT], bytes;
    float x[N * DIM];
    int p, kind, limit, brownian, c;
    for (p = 0; p < SSDE_PREDICTOR_COUNT; p++) {
        for (c = 0; c < 2; c++) { /* none, and by norms over the batch */
            for (kind = 0; kind < 5; kind++) {
                for (limit = 0; limit < 2; limit++) {
                    for (brownian = 0; brownian < 2; brownian++) {
                        ssde_rng rng = ssde_rng_seed(3);
                        ssde_status status;
                        how = samplers_desc((ssde_predictor)p, 8, 1e-3);
                        how.context = &context;
                        how.brownian = brownian;
                        if (c) how.corrector = SSDE_CORRECTOR_LANGEVIN_BATCH;
                        if (kind == 1) how.condition = pixels;
                        if (kind == 2) how.condition = ssde_measure(control_sum, control_spread, &dim, known, 1, 0.0);
                        if (kind >= 3) how.condition = ssde_measure(control_sum, control_spread, &dim, known, 1, 0.5);
                        if (kind == 4) how.condition.next = &pixels;
                        model.max_rows = limit ? 2 : 0;
                        context = counted_context(&memory);
                        bytes = ssde_sample_memory(&sde, &model, &how, N);
                        CHECK(!memory.made);
                        status = ssde_sample(&sde, &model, &how, &rng, N, x);
                        CHECK((status == SSDE_OK) == (bytes > 0));
                        CHECK(bytes == memory.most);
                        CHECK(memory.made == (status == SSDE_OK));
                        if (!kind && !limit && !brownian && !c) plain[p] = bytes;
                    }
                }
            }
        }
    }
    /* N * DIM floats are one array; ancestral and DDIM keep none, 2M one and 3M two of the past */
    CHECK(plain[SSDE_PREDICTOR_ANCESTRAL] == plain[SSDE_PREDICTOR_DDIM] && !plain[SSDE_PREDICTOR_DDPM]);
    ssdei_memory_piece(&array, N * DIM, sizeof *x);
    CHECK(plain[SSDE_PREDICTOR_DPM_SOLVER_2M] == plain[SSDE_PREDICTOR_DDIM] + array.bytes);
    CHECK(plain[SSDE_PREDICTOR_DPM_SOLVER_3M] == plain[SSDE_PREDICTOR_DDIM] + 2 * array.bytes);
    how = samplers_desc(SSDE_PREDICTOR_DDIM, 1000, 1e-3);
    bytes = ssde_sample_memory(&sde, &model, &how, 5000000);
    CHECK(bytes > 5000000 * 8 && bytes < 5000000 * 10);
    CHECK(!ssde_sample_memory(&sde, &model, &how, 0) && !ssde_sample_memory(&sde, NULL, &how, N));
    CHECK(!ssde_sample_memory(NULL, &model, &how, N) && ssde_sample_memory(&sde, &model, NULL, N));
    CHECK(!ssde_sample_memory(&sde, &model, &how, SIZE_MAX / 8));
    ssde_mixture_destroy(mixture);
}

static void test_sampler_failed_rows(void) {
    solver_mixture m = solver_plane();
    int which, way, again;
    for (which = 0; which < 2; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_mixture *mixture = NULL;
        ssde_score_model inner, model;
        CHECK_OK(solver_mixture_create(&m, NULL, &mixture));
        model = inner = ssde_mixture_model(mixture, &sde);
        model.score = samplers_score_of_two, model.user = &inner;
        for (way = 0; way < SAMPLERS_WAYS; way++) {
            for (again = 1; again < 3; again++) { /* RePaint's noise too leaves it there */
                ssde_sampler_desc how = samplers_way_desc(&samplers_ways[way]);
                ssde_rng rng = ssde_rng_seed(3);
                samplers_frames frames = {0, 2, 0};
                float x[10];
                if (samplers_refused(how.predictor, which)) continue;
                if (again > 1 && how.predictor != SSDE_PREDICTOR_EULER_MARUYAMA) continue;
                if (again > 1 && how.probability_flow) continue;
                how.resamplings = (size_t)again;
                how.steps = 30;
                how.trajectory = samplers_watch, how.user = &frames;
                CHECK_STATUS(ssde_sample(&sde, &model, &how, &rng, 5, x), SSDE_ERROR_NUMERIC);
                CHECK(x[4] != x[4] && x[6] == x[6]);
                if (!(frames.failed > 2 && frames.moved == 0))
                    check_report(__FILE__, __LINE__, "%s way %d: %lu of %lu frames are not zeros",
                                 solver_sde_names[which], way, (unsigned long)frames.moved,
                                 (unsigned long)frames.failed);
            }
        }
        ssde_mixture_destroy(mixture);
    }
}

/* No predictor, and no corrector named: Langevin steps whatever the SDE, and not a run that does nothing. */
static void test_sampler_corrector_only(void) {
    int which;
    for (which = 0; which < SOLVER_SDES; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_score_model model;
        ssde_mixture *mixture = solver_gaussian_model(2, 0.5, 0.3, &sde, &model);
        float x[2][4];
        int k;
        for (k = 0; k < 2; k++) {
            ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_NONE, 20, 0.0);
            ssde_rng rng = ssde_rng_seed(3);
            ssde_sample_report report;
            how.corrector = k ? SSDE_CORRECTOR_DEFAULT : SSDE_CORRECTOR_LANGEVIN;
            how.report = &report;
            CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 2, x[k]));
            CHECK(report.evaluations == 21);
        }
        CHECK_SAME(x[0], x[1], sizeof x[0]);
        ssde_mixture_destroy(mixture);
    }
}

/* Adaptive: limits, tolerances, its own error rule against a hand-written one in double. */
/* The adaptive sampler of the plane's mixture from 1 to 0.05 by the same formulas in double, from sample 0 of a seed on
   its Brownian path: y, and how many evaluations and rejected steps it takes. */
static size_t sampler_adaptive_twin(const solver_mixture *m, const ssde_sde *sde, uint64_t seed, double *y,
                                    size_t *rejected) {
    enum { DIM = 2 };
    float work[DIM], path[DIM], path_next[DIM];
    double before[DIM], t = 1.0, length = 0.01;
    size_t evaluations = 0, j;
    uint64_t sample = 0;
    int fresh = 1;
    CHECK_OK(ssde_prior_sample(NULL, sde, seed, &sample, 1, DIM, work));
    for (j = 0; j < DIM; j++) y[j] = before[j] = (double)work[j];
    while (t > 0.05) {
        double next = t - length > 0.05 ? t - length : 0.05, h = t - next, error = 0.0, end[DIM], first[DIM];
        double score[DIM], score1[DIM], density, laplacian, factor;
        ssde_coefficients c, c1;
        CHECK_OK(ssde_coefficients_at(NULL, sde, t, &c));
        CHECK_OK(ssde_coefficients_at(NULL, sde, next, &c1));
        CHECK_OK(ssde_brownian(NULL, NULL, seed, &t, &sample, 1, DIM, work, path));
        CHECK_OK(ssde_brownian(NULL, NULL, seed, &next, &sample, 1, DIM, work, path_next));
        solver_density(m, &c, y, &density, score, &laplacian);
        for (j = 0; j < DIM; j++) {
            double w = (double)path[j] - (double)path_next[j], g = c.diffusion;
            first[j] = y[j] - h * (c.drift * y[j] - g * g * score[j]) + g * w;
        }
        solver_density(m, &c1, first, &density, score1, &laplacian);
        for (j = 0; j < DIM; j++) {
            double w = (double)path[j] - (double)path_next[j], g = c1.diffusion, size, second;
            second = y[j] - h * (c1.drift * first[j] - g * g * score1[j]) + g * w;
            end[j] = 0.5 * (first[j] + second);
            size = fmax(0.02, 0.02 * fmax(fabs(first[j]), fabs(before[j])));
            error += pow((first[j] - end[j]) / size, 2.0) / (double)DIM;
        }
        evaluations += fresh ? 2 : 1;
        factor = 0.9 * pow(sqrt(error), -0.9);
        length = h * fmin(10.0, fmax(0.2, factor));
        fresh = sqrt(error) <= 1.0;
        *rejected += !fresh;
        if (!fresh) continue;
        t = next;
        memcpy(y, end, sizeof end);
        memcpy(before, first, sizeof before);
    }
    return evaluations;
}

static void test_sampler_adaptive(void) {
    enum { DIM = 2, SEEDS = 16 };
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = ssde_vp(0.1, 20.0);
    solver_mixture m = solver_plane();
    ssde_score_model model;
    ssde_mixture *mixture = solver_mixture_model(&m, &sde, &model);
    ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_ADAPTIVE, 1, 0.05);
    ssde_sample_report report;
    float x[3 * DIM];
    double y[DIM];
    size_t taken = 0, evaluations = 0, rejected = 0, seed, j;
    how.context = &context, how.report = &report;
    how.rtol = how.atol = 0.02;
    how.skip_denoise = 1;
    for (seed = 3; seed < 3 + SEEDS; seed++) {
        ssde_rng rng = ssde_rng_seed(seed);
        CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 1, x));
        evaluations += sampler_adaptive_twin(&m, &sde, seed, y, &rejected);
        taken += report.evaluations;
        for (j = 0; seed == 3 && j < DIM; j++) CHECK_NEAR(x[j], y[j], 0.03);
    }
    /* Float's rounding moves step lengths by 1e-7, and a rough path by the root of that at each end: decisions close to
       the tolerance fall either way, by up to a sixth of one sample's evaluations, and where they do paths part. */
    CHECK(rejected > 10 * SEEDS);
    CHECK_NEAR(taken, evaluations, 0.1 * (double)evaluations);
    {
        ssde_rng rng = ssde_rng_seed(3);
        how.max_evaluations = 9;
        CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 3, x), SSDE_ERROR_LIMIT, "max_evaluations");
        CHECK(x[0] != x[0] && report.failed == 3 && report.failed_sample == 0 && report.evaluations <= 9);
        how.max_evaluations = 1; /* not even one try */
        CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 3, x), SSDE_ERROR_LIMIT, "max_evaluations");
        CHECK(report.evaluations == 0);
    }
    ssde_mixture_destroy(mixture);
}

static void test_sampler_known_path(void) {
    static const samplers_way ways[] = {{SSDE_PREDICTOR_DDIM, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 0.0},
                                        {SSDE_PREDICTOR_HEUN, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 0.0},
                                        {SSDE_PREDICTOR_EULER_MARUYAMA, SSDE_CORRECTOR_NONE, 1, 0, 0.0, 0.0},
                                        {SSDE_PREDICTOR_DPM_SOLVER_2M, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 0.0},
                                        {SSDE_PREDICTOR_DPM_SOLVER_2M_SDE, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 0.0},
                                        {SSDE_PREDICTOR_UNIPC, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 0.0},
                                        {SSDE_PREDICTOR_ADAPTIVE, SSDE_CORRECTOR_NONE, 0, 0, 0.0, 0.0}};
    static const float known[2] = {0.5f, 9.0f}, mask[2] = {1.0f, 0.0f};
    solver_mixture m = solver_plane();
    int which;
    size_t way;
    for (which = 0; which < SOLVER_SDES; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_score_model model;
        ssde_mixture *mixture = solver_mixture_model(&m, &sde, &model);
        for (way = 0; way < sizeof ways / sizeof ways[0]; way++) {
            ssde_sampler_desc how = samplers_way_desc(&ways[way]);
            ssde_rng rng = ssde_rng_seed(8);
            float x[8];
            size_t r;
            how.steps = 8;
            how.skip_denoise = 0;
            how.condition = ssde_inpaint_shared(known, mask);
            how.trajectory = samplers_follow, how.user = &sde;
            CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 4, x));
            for (r = 0; r < 4; r++) CHECK(x[2 * r] == 0.5f);
        }
        ssde_mixture_destroy(mixture);
    }
}

/* Combinations that have no meaning, and numbers out of range. */
static void test_sampler_each_bad_input(void) {
    static const ssde_predictor many[4] = {SSDE_PREDICTOR_DPM_SOLVER_2M, SSDE_PREDICTOR_HEUN, SSDE_PREDICTOR_ADAPTIVE,
                                           SSDE_PREDICTOR_STOCHASTIC_HEUN};
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = ssde_vp(0.1, 20.0), ve = ssde_ve(0.01, 50.0), flow = ssde_rectified_flow();
    ssde_score_model model;
    ssde_mixture *mixture = solver_gaussian_model(2, 0.0, 0.5, &sde, &model);
    ssde_rng rng = ssde_rng_seed(1);
    float x[2] = {0.0f, 0.0f};
    double t = 0.5, t_next = 0.4, betas[5] = {0.1, 0.1, 0.1, 0.1, 0.1};
    double close[3] = {1.0, 0.5, 0.49999999};
    int i;
#define SAMPLERS_FAILS(sde_, predictor_, change, status, words)                            \
    do {                                                                                   \
        ssde_sampler_desc how = samplers_desc(predictor_, 5, 1e-3);                        \
        how.context = &context;                                                            \
        change;                                                                            \
        CHECK_FAILS(&context, ssde_sample(sde_, &model, &how, &rng, 1, x), status, words); \
    } while (0)
    SAMPLERS_FAILS(&sde, SSDE_PREDICTOR_DPM_SOLVER_2M, how.corrector = SSDE_CORRECTOR_LANGEVIN, SSDE_ERROR_UNSUPPORTED,
                   "corrector");
    SAMPLERS_FAILS(&sde, SSDE_PREDICTOR_UNIPC, how.corrector = SSDE_CORRECTOR_LANGEVIN, SSDE_ERROR_UNSUPPORTED,
                   "unipc");
    SAMPLERS_FAILS(&sde, SSDE_PREDICTOR_ADAPTIVE, how.corrector = SSDE_CORRECTOR_LANGEVIN, SSDE_ERROR_UNSUPPORTED,
                   "adaptive");
    SAMPLERS_FAILS(&ve, SSDE_PREDICTOR_DDPM, (void)0, SSDE_ERROR_UNSUPPORTED, "ddpm is a chain of the VP");
    SAMPLERS_FAILS(&sde, SSDE_PREDICTOR_SMLD, (void)0, SSDE_ERROR_UNSUPPORTED, "smld is a chain of the VE");
    SAMPLERS_FAILS(&sde, SSDE_PREDICTOR_DDPM, how.grid = SSDE_GRID_UNIFORM, SSDE_ERROR_UNSUPPORTED, "DISCRETE");
    SAMPLERS_FAILS(&sde, SSDE_PREDICTOR_DDPM, how.probability_flow = 1, SSDE_ERROR_UNSUPPORTED, "ddpm");
    SAMPLERS_FAILS(&sde, SSDE_PREDICTOR_HEUN, how.grid = SSDE_GRID_REFERENCE, SSDE_ERROR_UNSUPPORTED, "heun");
    SAMPLERS_FAILS(&flow, SSDE_PREDICTOR_ANCESTRAL, how.grid = SSDE_GRID_DISCRETE, SSDE_ERROR_UNSUPPORTED,
                   "whose last level SDE 'rectified_flow' does not have");
    SAMPLERS_FAILS(&sde, SSDE_PREDICTOR_EULER_MARUYAMA, how.grid = SSDE_GRID_REFERENCE;
                   how.brownian = 1, SSDE_ERROR_UNSUPPORTED, "brownian");
    SAMPLERS_FAILS(&sde, SSDE_PREDICTOR_EULER_MARUYAMA, how.brownian = 1; how.times = close;
                   how.steps = 2, SSDE_ERROR_ARGUMENT, "2^-24");
    SAMPLERS_FAILS(&sde, SSDE_PREDICTOR_DDIM, how.schedule = betas, SSDE_ERROR_ARGUMENT, "schedule");
    SAMPLERS_FAILS(&sde, SSDE_PREDICTOR_DDIM, how.eta = 1.5, SSDE_ERROR_ARGUMENT, "eta is 1.5");
    SAMPLERS_FAILS(&sde, SSDE_PREDICTOR_DDIM, how.eta = (double)NAN, SSDE_ERROR_ARGUMENT, "eta");
    SAMPLERS_FAILS(&sde, SSDE_PREDICTOR_HEUN, how.s_churn = -1.0, SSDE_ERROR_ARGUMENT, "s_churn");
    SAMPLERS_FAILS(&sde, SSDE_PREDICTOR_HEUN, how.s_churn = how.s_tmin = 2.0;
                   how.s_tmax = 1.0, SSDE_ERROR_ARGUMENT, "s_tmin is 2");
    SAMPLERS_FAILS(&sde, SSDE_PREDICTOR_HEUN, how.rho = -1.0, SSDE_ERROR_ARGUMENT, "rho");
    SAMPLERS_FAILS(&sde, SSDE_PREDICTOR_ADAPTIVE, how.rtol = -1.0, SSDE_ERROR_ARGUMENT, "rtol");
    SAMPLERS_FAILS(&sde, SSDE_PREDICTOR_DDPM, how.schedule = betas; how.steps = 0, SSDE_ERROR_ARGUMENT, "steps is 0");
#undef SAMPLERS_FAILS
    { /* a schedule whose length is not said is not read */
        ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_DDPM, 0, 0.0);
        how.context = &context;
        how.schedule = betas;
        CHECK_FAILS(&context, ssde_predictor_step(&sde, &how, x, x, x, &t, &t_next, 1, 2, x, NULL), SSDE_ERROR_ARGUMENT,
                    "steps is 0");
    }
    for (i = 0; i < 4; i++) {
        ssde_sampler_desc how = samplers_desc(many[i], 5, 1e-3);
        how.context = &context;
        CHECK_FAILS(&context, ssde_predictor_step(&sde, &how, x, x, x, &t, &t_next, 1, 2, x, NULL),
                    SSDE_ERROR_UNSUPPORTED, "ssde_sample");
    }
    ssde_mixture_destroy(mixture);
}

/* ---- sampler: schedules whose signal is gone before the end ---- */

static void signal_moments(const float *x, size_t n, double *mean, double *std) {
    double sum = 0.0, squares = 0.0;
    size_t i;
    for (i = 0; i < n; i++) sum += (double)x[i], squares += (double)x[i] * (double)x[i];
    *mean = sum / (double)n;
    *std = sqrt(squares / (double)n - *mean * *mean);
}

static void test_sampler_signal_time(void) {
    int kind, closed;
    double t, scale;
    for (kind = 0; kind <= SIGNAL_CLOSED; kind++) {
        for (closed = 0; closed < 2; closed++) {
            ssde_sde sde = signal_sde(&kind, closed);
            ssde_loss_desc loss = ssde_loss_defaults();
            double mean, std, last = kind == SIGNAL_SPREAD && closed ? 3.0 : 1.0;
            if (kind == SIGNAL_EARLY && !closed) continue; /* its integrals end at a pole within */
            CHECK_OK(ssde_prior_time(NULL, &sde, &t, &scale));
            CHECK(t > 0.0 && t < 1.0);
            loss.eps = 1e-9;
            CHECK_OK(ssde_loss_marginal(&sde, &loss, t, &mean, &std));
            CHECK_RELATIVE(mean, 1e-4 * (std < 1.0 ? std : 1.0), 1e-2);
            CHECK_NEAR(scale, closed || kind == SIGNAL_CLOSED ? std / last : 1.0, 1e-9);
        }
    }
    for (kind = 0; kind < 3; kind++) { /* the paper's, and VE with noise of any size, begin at 1 */
        ssde_sde sde = kind == 0 ? ssde_ve(1e-3, 1e30) : kind == 1 ? ssde_vp(0.1, 20.0) : ssde_subvp(0.1, 30.0);
        CHECK_OK(ssde_prior_time(NULL, &sde, &t, &scale));
        CHECK(t == 1.0 && scale == 1.0);
    }
}

/* Every sampler brings x(1) to N(0.3, 0.5^2), within three standard errors and that of the steps. */
static void test_sampler_signal_gone(void) {
    enum { N = 1000 };
    static float x[N];
    ssde_mixture *mixture = NULL;
    int kind, closed, p, flow;
    CHECK_OK(ssde_gaussian_create(NULL, &mixture, 1, 0.3, 0.5));
    for (kind = 0; kind <= SIGNAL_CLOSED; kind++) {
        for (closed = kind == SIGNAL_EARLY || kind == SIGNAL_ROOT || (check_quick && kind < SIGNAL_CLOSED); closed < 2;
             closed++) {
            ssde_sde sde = signal_sde(&kind, closed);
            ssde_score_model model = ssde_mixture_model(mixture, &sde);
            for (p = SSDE_PREDICTOR_EULER_MARUYAMA; p < SSDE_PREDICTOR_COUNT; p++) {
                const ssde_predictor_properties *info = ssde_predictor_info((ssde_predictor)p);
                int plain = p <= SSDE_PREDICTOR_ADAPTIVE && p != SSDE_PREDICTOR_ANCESTRAL;
                if (p == SSDE_PREDICTOR_DDPM || p == SSDE_PREDICTOR_SMLD) continue;
                if (p == SSDE_PREDICTOR_ADAPTIVE && !closed) continue; /* rows of times of their own: slow */
                for (flow = 0; flow <= plain; flow++) {
                    /* a transition by half its variance lengthens x by 1 + (1 - m ratio)^2 / 2 a step */
                    size_t steps = flow && p == SSDE_PREDICTOR_REVERSE_DIFFUSION ? 1000 : 150;
                    ssde_sampler_desc how =
                        samplers_desc((ssde_predictor)p, steps, kind == SIGNAL_CLOSED ? 1e-5 : 1e-3);
                    size_t n = p == SSDE_PREDICTOR_ADAPTIVE ? N / 16 : check_quick ? N / 3 : N;
                    ssde_rng rng = ssde_rng_seed(1);
                    double mean, std;
                    how.probability_flow = flow;
                    CHECK_OK(ssde_sample(&sde, &model, &how, &rng, n, x));
                    signal_moments(x, n, &mean, &std);
                    CHECK_NEAR(mean, 0.3, 3.0 * 0.5 / sqrt((double)n) + 0.01);
                    CHECK_NEAR(std, 0.5, 3.0 * 0.36 / sqrt((double)n) + (info->order < 2 ? 0.05 : 0.01));
                }
            }
        }
    }
    ssde_mixture_destroy(mixture);
}

/* A start that is given lies on the flow, whose solution is (x - m mu) / sqrt(m^2 sigma^2 + std^2) = constant: from 1,
   from beyond the prior's time, and from before it. */
static void test_sampler_signal_start(void) {
    static const double starts[4] = {1.0, 1.0 - 1e-7, 1.0 - 2e-5, 0.999};
    ssde_context context = ssde_context_defaults();
    ssde_mixture *mixture = NULL;
    int kind, k, p, i;
    CHECK_OK(ssde_gaussian_create(NULL, &mixture, 1, 0.3, 0.5));
    for (kind = 0; kind < SIGNAL_CLOSED; kind++) {
        ssde_sde sde = signal_sde(&kind, 1);
        ssde_score_model model = ssde_mixture_model(mixture, &sde);
        for (k = 0; k < 4 * 2; k++) {
            ssde_sampler_desc how = samplers_desc(k < 4 ? SSDE_PREDICTOR_DPM_SOLVER_2M : SSDE_PREDICTOR_DDIM, 600, 0);
            double times[601], start = starts[k % 4], spread, m = signal_mean(&kind, start);
            float x = 1.3f;
            ssde_rng rng = ssde_rng_seed(1);
            CHECK_OK(ssde_sde_time_grid(NULL, &sde, SSDE_GRID_LOG_SNR, 0.0, 1e-3, 600, times));
            for (i = 1; i < 10; i++) times[i] = 1.0 - (1.0 - times[10]) * i / 10.0; /* some beyond the prior's time */
            times[0] = start;
            for (i = 1; i < 600 && times[i] >= start; i++) continue; /* only those below the start */
            times[i - 1] = start;
            how.times = times + i - 1, how.steps = (size_t)(601 - i), how.given_start = 1, how.context = &context;
            CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 1, &x));
            spread = signal_std(&kind, start);
            spread = sqrt(m * m * 0.25 + spread * spread);
            /* 2e-4: what the prior's time leaves out, by the factor that x's deviation shrinks by */
            CHECK_NEAR(x, 0.3 + 0.5 * (1.3 - 0.3 * m) / spread, k < 4 ? 5e-3 : 2e-2);
        }
        for (p = 0; p < 2; p++) { /* the flow: dense output, encoding and decoding */
            float x = 1.3f, frames[4], latent, back;
            double times[4];
            ssde_flow_desc flow = ssde_flow_defaults();
            ssde_ode_report report;
            ssde_rng rng = ssde_rng_seed(1);
            times[0] = 1.0, times[1] = 1.0 - 1e-9, times[2] = 0.5, times[3] = 1e-3;
            flow.rtol = flow.atol = 1e-7, flow.given_start = 1, flow.context = &context;
            flow.times = times, flow.time_count = 4, flow.states = frames;
            if (p)
                CHECK_OK(ssde_sample_ode_batch(&sde, &model, &flow, &rng, 1, &x, &report));
            else
                CHECK_OK(ssde_sample_ode(&sde, &model, &flow, &rng, 1, &x, &report));
            for (i = 0; i < 4; i++) {
                double m = signal_mean(&kind, times[i]), std = signal_std(&kind, times[i]);
                double last = signal_std(&kind, 1.0);
                CHECK_NEAR(frames[i], 0.3 * m + sqrt(0.25 * m * m + std * std) * 1.3 / last, 3e-4);
            }
            CHECK_SAME(&x, &frames[3], sizeof x);
            flow.times = NULL, flow.time_count = 0, flow.states = NULL;
            CHECK_OK(ssde_encode(&sde, &model, &flow, 0, 1, &x, &latent, &report));
            CHECK(report.t == 1.0);
            CHECK_NEAR(latent, 1.3f, 1e-4);
            CHECK_OK(ssde_decode(&sde, &model, &flow, 0, 1, &latent, &back, NULL));
            CHECK_NEAR(back, x, 2e-5);
        }
    }
    ssde_mixture_destroy(mixture);
}

/* What cannot be is refused, by its cause, before the model is asked. */
static ssde_status signal_never(void *user, const float *x, const double *t, const uint64_t *sample, size_t rows,
                                int differentiate, float *out) {
    (void)user, (void)x, (void)t, (void)sample, (void)differentiate, (void)out;
    CHECK(rows == 0); /* it is not asked */
    return SSDE_ERROR_UNSUPPORTED;
}

static double signal_constant(void *user, double t) { return (void)t, *(const double *)user; }

static void test_sampler_signal_refused(void) {
    ssde_context context = ssde_context_defaults();
    ssde_score_model model;
    ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_EULER_MARUYAMA, 50, 0.0);
    ssde_flow_desc flow = ssde_flow_defaults();
    ssde_likelihood_desc price = ssde_likelihood_defaults();
    ssde_likelihood_result result;
    ssde_rng rng = ssde_rng_seed(1);
    ssde_sde sde = ssde_vp(0.1, 1e9), gone;
    double times[51], t = 1.0, t_next = 0.9, minus = -1.0, zero = 0.0;
    float x[4] = {0.1f, 0.2f, 0.3f, 0.4f};
    int kind = SIGNAL_COSINE, i;
    memset(&model, 0, sizeof model);
    model.dim = 2, model.score = signal_never;
    how.context = flow.context = price.context = &context;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 2, x), SSDE_ERROR_ARGUMENT, "eps, is 0.001");
    CHECK_FAILS(&context, ssde_sample_ode(&sde, &model, &flow, &rng, 2, x, NULL), SSDE_ERROR_ARGUMENT, "eps, is 0.001");
    sde.beta_max = 1e14;
    CHECK_FAILS(&context, ssde_likelihood(&sde, &model, &price, &rng, 2, x, &result), SSDE_ERROR_ARGUMENT, "eps, is");
    CHECK_FAILS(&context, ssde_sde_time_grid(&context, &sde, SSDE_GRID_KARRAS, 0.0, 1e-3, 50, times),
                SSDE_ERROR_ARGUMENT, "signal");
    gone = signal_sde(&kind, 1);
    for (i = 0; i < 2; i++) {
        how.grid = i ? SSDE_GRID_DISCRETE : SSDE_GRID_REFERENCE;
        CHECK_FAILS(&context, ssde_sample(&gone, &model, &how, &rng, 2, x), SSDE_ERROR_UNSUPPORTED, "m is below");
    }
    how.grid = SSDE_GRID_DEFAULT;
    CHECK_FAILS(&context, ssde_predictor_step(&gone, &how, x, x, x, &t, &t_next, 1, 2, x, NULL), SSDE_ERROR_NUMERIC,
                "std / m");
    /* a path's resolution */
    sde = ssde_vp(0.1, 20.0);
    for (i = 0; i < 50; i++) times[i] = 1.0 - i / 60.0;
    times[50] = times[49] - 1e-9;
    how.times = times, how.brownian = 1;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 2, x), SSDE_ERROR_ARGUMENT, "2^-24");
    how.predictor = SSDE_PREDICTOR_STOCHASTIC_HEUN;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 2, x), SSDE_ERROR_ARGUMENT, "2^-24");
    how.predictor = SSDE_PREDICTOR_ADAPTIVE, how.brownian = 0;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 2, x), SSDE_ERROR_ARGUMENT, "2^-24");
    how.times = NULL, how.steps = 20;
    /* betas of which the last is above 1, by the corrector alone */
    sde = ssde_vp(0.1, 2000.0);
    how.predictor = SSDE_PREDICTOR_EULER_MARUYAMA, how.corrector = SSDE_CORRECTOR_LANGEVIN;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 2, x), SSDE_ERROR_ARGUMENT, "beta_max / num_scales");
    how.corrector = SSDE_CORRECTOR_NONE;
    /* rates that are none, and a diffusion below 0 */
    sde = ssde_affine(signal_constant, signal_constant, &minus);
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 2, x), SSDE_ERROR_NUMERIC, "g >= 0");
    /* a prior that cannot be priced */
    sde = ssde_affine(signal_constant, signal_constant, &zero);
    CHECK_FAILS(&context, ssde_likelihood(&sde, &model, &price, &rng, 2, x, &result), SSDE_ERROR_NUMERIC, "std(1)");
    sde.prior_std = 1.0; /* no noise at all: log s has no range */
    how.predictor = SSDE_PREDICTOR_DDIM;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 2, x), SSDE_ERROR_NUMERIC, "std / m");
    how.grid = SSDE_GRID_UNIFORM;
    for (i = SSDE_PREDICTOR_DPM_SOLVER_2M; i <= SSDE_PREDICTOR_UNIPC; i++) {
        how.predictor = (ssde_predictor)i;
        CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 2, x), SSDE_ERROR_NUMERIC, "wanted finite numbers");
    }
    /* 1 / std^2 is no float; times that double cannot tell apart */
    sde = ssde_ve(1e-3, 1e30);
    CHECK_FAILS(&context, ssde_likelihood(&sde, &model, &price, &rng, 2, x, &result), SSDE_ERROR_NUMERIC, "1e+30");
    how.predictor = SSDE_PREDICTOR_EULER_MARUYAMA, how.eps = 1.0 - 1e-16;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 2, x), SSDE_ERROR_ARGUMENT, "too close");
    CHECK(rng.next_sample == 0);
}

/* The reference's NonePredictor hands on x for the mean too: on its grid the last noise stays. */
static void test_sampler_none_by_reference(void) {
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_score_model model;
    ssde_mixture *mixture = solver_gaussian_model(2, 0.5, 0.3, &sde, &model);
    float kept[2], dropped[2];
    int first;
    for (first = 0; first < 2; first++) {
        ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_NONE, 30, 0.0);
        ssde_rng rng = ssde_rng_seed(3);
        how.corrector = SSDE_CORRECTOR_LANGEVIN, how.grid = SSDE_GRID_REFERENCE, how.corrector_first = first;
        CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 1, dropped));
        how.skip_denoise = 1;
        rng = ssde_rng_seed(3);
        CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 1, kept));
        CHECK_SAME(kept, dropped, sizeof kept);
    }
    ssde_mixture_destroy(mixture);
}

/* ---- sampler: what a and g may not be: every function that takes an SDE says the same ---- */

typedef struct rates_case {
    double a, g, low, high; /* what they are for low <= t <= high; else -1 and 1 */
} rates_case;
static double rates_drift(void *user, double t) {
    const rates_case *bad = (const rates_case *)user;
    return t >= bad->low && t <= bad->high ? bad->a : -1.0;
}
static double rates_diffusion(void *user, double t) {
    const rates_case *bad = (const rates_case *)user;
    return t >= bad->low && t <= bad->high ? bad->g : 1.0;
}
static double rates_mean(void *user, double t) {
    (void)user;
    return exp(-t);
}
static double rates_std(void *user, double t) {
    (void)user;
    return sqrt(-expm1(-2.0 * t) / 2.0);
}

enum { RATES_ROWS = 3 };
typedef struct rates_task {
    ssde_context *context;
    const ssde_sde *sde;
    const ssde_score_model *model; /* of an SDE that is right */
    ssde_mixture *mixture;
    ssde_net *net;
    float x[RATES_ROWS], out[RATES_ROWS];
    double t[RATES_ROWS];
} rates_task;

static ssde_status rates_loss(rates_task *task, ssde_weighting weighting) {
    double losses[RATES_ROWS];
    ssde_loss_desc desc = ssde_loss_defaults();
    desc.context = task->context;
    desc.weighting = weighting;
    return ssde_loss(task->sde, &desc, task->x, task->x, task->x, task->t, NULL, RATES_ROWS, 1, 1.0, losses, NULL);
}
static ssde_status rates_train(rates_task *task, ssde_weighting weighting) {
    ssde_train_desc desc = ssde_train_defaults(task->sde, 0);
    ssde_trainer *trainer;
    ssde_batch batch;
    ssde_status status;
    double loss;
    desc.context = task->context;
    desc.batch = RATES_ROWS;
    desc.loss.weighting = weighting;
    memset(&batch, 0, sizeof batch);
    batch.x = task->x;
    batch.rows = RATES_ROWS;
    status = ssde_trainer_create(&trainer, task->net, task->sde, &desc);
    if (status == SSDE_OK) status = ssde_train_step(trainer, &batch, &loss);
    if (status == SSDE_OK) status = ssde_train_step(trainer, &batch, &loss);
    ssde_trainer_destroy(trainer);
    return status;
}
static ssde_status rates_coefficients(rates_task *task) {
    ssde_coefficients c;
    return ssde_coefficients_at(task->context, task->sde, 0.65, &c);
}
static ssde_status rates_discretise(rates_task *task) {
    ssde_step step;
    return ssde_discretise(task->context, task->sde, SSDE_DISCRETISE_OWN, 0.65, &step);
}
static ssde_status rates_perturb(rates_task *task) {
    return ssde_perturb(task->context, task->sde, task->x, task->x, task->t, RATES_ROWS, 1, task->out);
}
static ssde_status rates_reverse_drift(rates_task *task) {
    return ssde_reverse_drift(task->context, task->sde, task->x, task->x, task->t, RATES_ROWS, 1, 1, task->out);
}
static ssde_status rates_prior_time(rates_task *task) {
    double t, scale;
    return ssde_prior_time(task->context, task->sde, &t, &scale);
}
static ssde_status rates_prior_std(rates_task *task) {
    double std;
    return ssde_prior_std(task->context, task->sde, &std);
}
static ssde_status rates_prior_density(rates_task *task) {
    double density[RATES_ROWS];
    return ssde_prior_log_density(task->context, task->sde, task->x, RATES_ROWS, 1, density);
}
static ssde_status rates_loss_std2(rates_task *task) { return rates_loss(task, SSDE_WEIGHT_STD2); }
static ssde_status rates_loss_likelihood(rates_task *task) { return rates_loss(task, SSDE_WEIGHT_LIKELIHOOD); }
static ssde_status rates_convert(rates_task *task) {
    return ssde_convert_output(task->context, task->sde, SSDE_PREDICT_NOISE, SSDE_PREDICT_SCORE, 0.5, task->x, task->t,
                               task->x, RATES_ROWS, 1, task->out);
}
static ssde_status rates_mixture(rates_task *task) {
    double x[RATES_ROWS] = {0.0, 1.0, 2.0}, density[RATES_ROWS];
    return ssde_mixture_evaluate(task->mixture, task->sde, x, task->t, RATES_ROWS, density, NULL);
}
static ssde_status rates_mixture_score(rates_task *task) {
    ssde_score_model model = ssde_mixture_model(task->mixture, task->sde);
    return model.score(model.user, task->x, task->t, NULL, RATES_ROWS, 0, task->out);
}
static ssde_status rates_grid(rates_task *task) {
    double times[21];
    return ssde_sde_time_grid(task->context, task->sde, SSDE_GRID_LOG_SNR, 0.0, 1e-3, 20, times);
}
static ssde_status rates_noise_time(rates_task *task) {
    double t;
    return ssde_noise_time(task->context, task->sde, rates_std(NULL, 0.65) / rates_mean(NULL, 0.65), &t);
}
static ssde_status rates_flow(rates_task *task) {
    ssde_flow_desc how = ssde_flow_defaults();
    how.context = task->context;
    return ssde_encode(task->sde, task->model, &how, 0, RATES_ROWS, task->x, task->out, NULL);
}
static ssde_status rates_sample_ode(rates_task *task) {
    ssde_rng rng = ssde_rng_seed(1);
    ssde_flow_desc how = ssde_flow_defaults();
    how.context = task->context;
    how.rtol = how.atol = 1e-9; /* no step is as long as the stretch */
    return ssde_sample_ode(task->sde, task->model, &how, &rng, RATES_ROWS, task->out, NULL);
}
static ssde_status rates_likelihood(rates_task *task) {
    ssde_likelihood_desc how = ssde_likelihood_defaults();
    ssde_rng rng = ssde_rng_seed(1);
    ssde_likelihood_result results[RATES_ROWS];
    how.context = task->context;
    return ssde_likelihood(task->sde, task->model, &how, &rng, RATES_ROWS, task->x, results);
}
static ssde_status rates_label(rates_task *task) {
    float label, sigma;
    return ssde_score_net_label(task->context, NULL, task->sde, 0.65, &label, &sigma, NULL);
}
static ssde_status rates_score_net(rates_task *task) {
    ssde_score_net *score_net;
    ssde_score_net_desc desc = ssde_score_net_defaults();
    ssde_score_model model;
    ssde_status status;
    desc.context = task->context;
    status = ssde_score_net_create(&score_net, task->net, task->sde, &desc);
    if (status != SSDE_OK) return status;
    model = ssde_score_net_model(score_net);
    status = model.score(model.user, task->x, task->t, NULL, RATES_ROWS, 0, task->out);
    ssde_score_net_destroy(score_net);
    return status;
}
static ssde_status rates_train_std2(rates_task *task) { return rates_train(task, SSDE_WEIGHT_STD2); }
static ssde_status rates_corrector(rates_task *task) {
    ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_DDIM, 10, 0.0);
    how.context = task->context;
    how.corrector = SSDE_CORRECTOR_LANGEVIN;
    return ssde_corrector_step(task->sde, &how, task->x, task->x, task->x, task->t, RATES_ROWS, 1, task->out, NULL);
}

static const struct {
    const char *name;
    int needs; /* the rates at a t in (0.6, 0.7), where the marginals are given */
    ssde_status (*call)(rates_task *task);
} rates_calls[] = {
    {"coefficients_at", 1, rates_coefficients},
    {"discretise", 1, rates_discretise},
    {"perturb", 0, rates_perturb},
    {"reverse_drift", 1, rates_reverse_drift},
    {"prior_time", 0, rates_prior_time},
    {"prior_std", 0, rates_prior_std},
    {"prior_log_density", 0, rates_prior_density},
    {"loss std2", 0, rates_loss_std2},
    {"loss likelihood", 1, rates_loss_likelihood},
    {"convert_output", 0, rates_convert},
    {"mixture_evaluate", 0, rates_mixture},
    {"mixture_model", 0, rates_mixture_score},
    {"sde_time_grid", 1, rates_grid},
    {"noise_time", 1, rates_noise_time},
    {"encode", 1, rates_flow},
    {"sample_ode", 1, rates_sample_ode},
    {"likelihood", 1, rates_likelihood},
    {"score_net_label", 0, rates_label},
    {"score_net", 0, rates_score_net},
    {"trainer", 0, rates_train_std2},
    {"corrector_step", 0, rates_corrector},
};

/* Refused calls name what is wrong. */
static void rates_check(rates_task *task, const char *name, ssde_status status, int refused) {
    check_count++;
    if (refused ? status != SSDE_ERROR_NUMERIC || !strstr(task->context->error, "sde: a is ") ||
                      !strstr(task->context->error, "g >= 0")
                : status != SSDE_OK)
        check_report(__FILE__, __LINE__, "%s of a = %g, g = %g: '%s', %s", name,
                     ((const rates_case *)task->sde->user)->a, ((const rates_case *)task->sde->user)->g,
                     ssde_status_text(status), task->context->error);
}

static void test_sampler_rates_refused(void) {
    static const rates_case cases[] = {
        {-1.0, -1.2, 0.0, 1.0},       {-1.0, (double)NAN, 0.0, 1.0}, {(double)NAN, 1.0, 0.0, 1.0},
        {-1.0, -HUGE_VAL, 0.0, 1.0},  {-1.0, -1.2, 0.6, 0.7},        {-1.0, (double)NAN, 0.6, 0.7},
        {(double)NAN, 1.0, 0.6, 0.7}, {-1.0, HUGE_VAL, 0.6, 0.7},    {-HUGE_VAL, 1.0, 0.6, 0.7},
        {-1.0, -1e-300, 0.6, 0.7},    {-1.0, 1.0, 0.6, 0.7}, /* the last is right */
    };
    enum { CASES = sizeof cases / sizeof cases[0], CALLS = sizeof rates_calls / sizeof rates_calls[0] };
    ssde_context context = ssde_context_defaults();
    ssde_mlp_desc shape = ssde_mlp(1);
    rates_case right = cases[CASES - 1];
    ssde_sde good = ssde_affine(rates_drift, rates_diffusion, &right);
    ssde_mixture *mixture = NULL, *other = NULL;
    ssde_score_model model;
    rates_task task;
    int i, j, closed;
    memset(&task, 0, sizeof task);
    good.mean = rates_mean, good.std = rates_std;
    shape.hidden = 4, shape.layers = 1;
    CHECK_OK(ssde_gaussian_create(&context, &mixture, 1, 0.5, 0.5));
    CHECK_OK(ssde_gaussian_create(&context, &other, 1, 0.5, 0.5));
    CHECK_OK(ssde_mlp_create(&task.net, &shape));
    model = ssde_mixture_model(mixture, &good);
    task.context = &context;
    task.model = &model;
    task.mixture = other;
    for (i = 0; i < RATES_ROWS; i++) task.t[i] = 0.65, task.x[i] = 0.3f * (float)i;
    for (i = 0; i < CASES; i++) {
        for (closed = 0; closed < 2; closed++) {
            rates_case bad = cases[i];
            ssde_sde sde = ssde_affine(rates_drift, rates_diffusion, &bad);
            int everywhere = bad.low <= 0.0, wrong = i + 1 < CASES;
            if (closed) sde.mean = rates_mean, sde.std = rates_std;
            task.sde = &sde;
            for (j = 0; j < CALLS; j++) {
                context.error[0] = 0;
                rates_check(&task, rates_calls[j].name, rates_calls[j].call(&task),
                            wrong && (everywhere || !closed || rates_calls[j].needs));
            }
            for (j = SSDE_PREDICTOR_DEFAULT; j < SSDE_PREDICTOR_COUNT; j++) {
                ssde_sampler_desc how = samplers_desc((ssde_predictor)j, 20, 0.0);
                ssde_rng rng = ssde_rng_seed(1);
                int needs = j == SSDE_PREDICTOR_DEFAULT || j == SSDE_PREDICTOR_EULER_MARUYAMA ||
                            j == SSDE_PREDICTOR_STOCHASTIC_HEUN || j == SSDE_PREDICTOR_ADAPTIVE;
                if (j == SSDE_PREDICTOR_DDPM || j == SSDE_PREDICTOR_SMLD) continue;
                how.context = &context, how.grid = SSDE_GRID_UNIFORM, how.corrector = SSDE_CORRECTOR_NONE;
                context.error[0] = 0;
                rates_check(&task, ssde_predictor_name((ssde_predictor)j),
                            ssde_sample(&sde, &model, &how, &rng, RATES_ROWS, task.out),
                            wrong && (everywhere || !closed || needs));
            }
        }
    }
    ssde_net_destroy(task.net);
    ssde_mixture_destroy(mixture);
    ssde_mixture_destroy(other);
}

/* ---- sampler ---- */

/* By index, a t that was computed as 1 - (N - 1 - i) / (N - 1) is the i-th as i / (N - 1) is, in all that a step asks:
   the same bits. */
static void test_sampler_step_index(void) {
    static const ssde_predictor predictors[3] = {SSDE_PREDICTOR_ANCESTRAL, SSDE_PREDICTOR_REVERSE_DIFFUSION,
                                                 SSDE_PREDICTOR_DDPM};
    static const float x[2] = {0.3f, -1.2f}, score[2] = {0.7f, 0.1f}, z[2] = {-0.4f, 1.1f};
    int which, p, i, n, different = 0;
    for (n = 40; n <= 1000; n += 320) {
        for (which = 0; which < 2; which++) {
            for (p = 0; p < 3; p++) {
                ssde_sde sde = solver_sde(which);
                ssde_sampler_desc how = ssde_sampler_defaults();
                float next[2][2], mean[2][2];
                how.predictor = predictors[p];
                how.grid = SSDE_GRID_REFERENCE;
                if (how.predictor == SSDE_PREDICTOR_DDPM) how.grid = SSDE_GRID_DISCRETE;
                if (how.predictor == SSDE_PREDICTOR_DDPM && which == 0) continue;
                sde.num_scales = n;
                for (i = 1; i < n; i += check_quick ? 7 : 1) {
                    const double t[2] = {(double)i / (n - 1), 1.0 - (double)(n - 1 - i) / (n - 1)};
                    int k;
                    if (t[0] == t[1]) continue;
                    for (k = 0; k < 2; k++)
                        CHECK_OK(ssde_predictor_step(&sde, &how, x, score, z, &t[k], NULL, 1, 2, next[k], mean[k]));
                    CHECK_SAME(next[0], next[1], sizeof next[0]);
                    CHECK_SAME(mean[0], mean[1], sizeof mean[0]);
                    different++;
                }
            }
        }
    }
    CHECK(different > 20);
    for (n = 2; n <= 4001; n += 43) { /* and a t that is 3 ulp of 1 too low, after some arithmetic of the caller's */
        ssde_sde sde = solver_sde(0);
        sde.num_scales = n;
        for (i = 0; i < n; i++) {
            double t = (double)i / (n - 1);
            CHECK(ssdei_step_index(&sde, t) == i && ssdei_step_index(&sde, t - 3.0 * DBL_EPSILON) == i);
        }
    }
}

/* By the Euler discretisation, a step of reverse diffusion between any two times is one of Euler-Maruyama. */
static void test_sampler_euler_discretisation(void) {
    static const float x[2] = {0.3f, -1.2f}, score[2] = {0.7f, 0.1f}, z[2] = {-0.4f, 1.1f};
    static const double times[3][2] = {{0.9, 0.7}, {0.31, 0.3}, {1.0, 0.2}};
    int which, k, flow;
    for (which = 0; which < SOLVER_SDES; which++) {
        for (k = 0; k < 6; k++) {
            ssde_sde sde = solver_sde(which);
            ssde_sampler_desc how = ssde_sampler_defaults();
            float next[2][2], mean[2][2];
            double t[2], start, scale;
            CHECK_OK(ssde_prior_time(NULL, &sde, &start, &scale));
            t[0] = fmin(times[k / 2][0], start), t[1] = times[k / 2][1];
            flow = k % 2;
            how.grid = SSDE_GRID_UNIFORM;
            how.discretisation = SSDE_DISCRETISE_EULER;
            how.probability_flow = flow;
            how.predictor = SSDE_PREDICTOR_EULER_MARUYAMA;
            CHECK_OK(ssde_predictor_step(&sde, &how, x, score, z, &t[0], &t[1], 1, 2, next[0], mean[0]));
            how.predictor = SSDE_PREDICTOR_REVERSE_DIFFUSION;
            CHECK_OK(ssde_predictor_step(&sde, &how, x, score, z, &t[0], &t[1], 1, 2, next[1], mean[1]));
            CHECK_ARRAY(next[1], next[0], 2, 3e-7); /* two roundings to float */
            CHECK_ARRAY(mean[1], mean[0], 2, 3e-7);
        }
    }
}

#define TEST_SOLVERS_SAMPLER_LIST(X) \
    X(grid_times)                    \
    X(grid_of_each_sampler)          \
    X(path_values)                   \
    X(path_strong_order)             \
    X(path_short_rows)               \
    X(path_rests)                    \
    X(path_unused)                   \
    X(path_draws)                    \
    X(sampler_golden_updates)        \
    X(sampler_golden_run)            \
    X(sampler_identity)              \
    X(sampler_driver)                \
    X(sampler_threads)               \
    X(sampler_late_failure)          \
    X(sampler_bad_input)             \
    X(sampler_failures)              \
    X(sampler_report)                \
    X(sampler_memory)                \
    X(sampler_defaults)              \
    X(sampler_table)                 \
    X(sampler_flow_order)            \
    X(sampler_formulas)              \
    X(sampler_straight)              \
    X(sampler_rule_of_orders)        \
    X(sampler_against_ddim)          \
    X(sampler_part_way_order)        \
    X(sampler_ddpm)                  \
    X(sampler_smld)                  \
    X(sampler_ddim_ancestral)        \
    X(sampler_plane_scores)          \
    X(sampler_statistics)            \
    X(sampler_memory_told)           \
    X(sampler_failed_rows)           \
    X(sampler_corrector_only)        \
    X(sampler_adaptive)              \
    X(sampler_known_path)            \
    X(sampler_each_bad_input)        \
    X(sampler_signal_time)           \
    X(sampler_signal_gone)           \
    X(sampler_signal_start)          \
    X(sampler_signal_refused)        \
    X(sampler_none_by_reference)     \
    X(sampler_rates_refused)         \
    X(sampler_step_index)            \
    X(sampler_euler_discretisation)

#endif
