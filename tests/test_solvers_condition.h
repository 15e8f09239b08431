/* What samples must agree with, and models steered. */
#ifndef TEST_SOLVERS_CONDITION_H
#define TEST_SOLVERS_CONDITION_H

#include "check.h"
#include "fixtures_core.h"
#include "fixtures_solvers.h"

/* ---- condition: inpainting ---- */

/* Three overlapping modes along the diagonal: a correlated cloud. Between modes far apart, replacing the known part
   cannot choose without bias, as the noisy known part says little while the choice is made. */
static solver_mixture solver_cloud(void) {
    solver_mixture m;
    size_t i;
    memset(&m, 0, sizeof m);
    m.components = 3, m.dim = 2;
    m.weight[0] = 0.4, m.weight[1] = 0.3, m.weight[2] = 0.3;
    for (i = 0; i < 6; i++) {
        m.mean[i] = 0.6 * (double)(i / 2) - 0.6;
        m.variance[i] = 0.12;
    }
    return m;
}

/* The rest of a plane's mixture given its first coordinate: mean and variance of the second. */
static void solver_conditional(const solver_mixture *m, double known, double *mean, double *variance) {
    double total = 0.0, first = 0.0, second = 0.0;
    size_t k;
    for (k = 0; k < m->components; k++) {
        double d = known - m->mean[2 * k];
        double weight = m->weight[k] * exp(-0.5 * d * d / m->variance[2 * k]) / sqrt(m->variance[2 * k]);
        total += weight;
        first += weight * m->mean[2 * k + 1];
        second += weight * (m->mean[2 * k + 1] * m->mean[2 * k + 1] + m->variance[2 * k + 1]);
    }
    *mean = first / total;
    *variance = second / total - *mean * *mean;
}

static void test_condition_inpainting_conditional(void) {
    size_t n = check_quick ? 250 : 1000, r;
    solver_mixture m = solver_cloud();
    float *x = (float *)malloc(2 * n * sizeof *x);
    int which, value;
    for (which = 0; which < SOLVER_SDES; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_score_model model;
        ssde_mixture *mixture = solver_mixture_model(&m, &sde, &model);
        for (value = 0; value < 2; value++) {
            float known[2], mask[2] = {1.0f, 0.0f};
            double mean = 0.0, square = 0.0, expected_mean, expected_variance, error;
            ssde_sampler_desc how = ssde_sampler_defaults();
            ssde_rng rng = ssde_rng_seed(21);
            known[0] = value ? 0.9f : -0.8f, known[1] = (float)NAN; /* must not be looked at */
            how.condition = ssde_inpaint_shared(known, mask);
            how.steps = 60;
            how.corrector = SSDE_CORRECTOR_LANGEVIN;
            how.corrector_steps = 16; /* replacing is exact in the limit of many */
            how.snr = 0.3;
            how.eps = 1e-3;
            CHECK_OK(ssde_sample(&sde, &model, &how, &rng, n, x));
            for (r = 0; r < n; r++) {
                if (x[2 * r] != known[0])
                    check_report(__FILE__, __LINE__, "row %d: known is %g", (int)r, (double)x[2 * r]);
                mean += (double)x[2 * r + 1] / (double)n;
                square += (double)x[2 * r + 1] * (double)x[2 * r + 1] / (double)n;
            }
            solver_conditional(&m, (double)known[0], &expected_mean, &expected_variance);
            error = sqrt(expected_variance /
                         (double)n); /* of the mean; the method's own bias was measured as 0.05 and 4% */
            CHECK_NEAR(mean, expected_mean, 0.05 + 4.0 * error);
            CHECK_NEAR(sqrt(square - mean * mean), sqrt(expected_variance), 0.02 + 4.0 * error);
        }
        ssde_mixture_destroy(mixture);
    }
    free(x);
}

static ssde_status solver_zero_score(void *user, const float *x, const double *t, const uint64_t *sample, size_t rows,
                                     int differentiate, float *out) {
    (void)x, (void)t, (void)sample, (void)differentiate;
    memset(out, 0, rows * *(size_t *)user * sizeof *out);
    return SSDE_OK;
}

/* Where the known part is at each time, and under which addresses everything is drawn. */
static void solver_follow(void *user, size_t step, double t, const float *x, size_t n, size_t dim) {
    const ssde_sde *sde = (const ssde_sde *)user;
    ssde_coefficients c;
    (void)step, (void)n, (void)dim;
    CHECK_OK(ssde_coefficients_at(NULL, sde, t, &c));
    CHECK_NEAR(x[0], c.mean * 2.0 + c.std * 0.5, 1e-6);
}

static void test_condition_inpainting_addresses(void) {
    static const int streams[10] = {SSDE_STREAM_PRIOR,     SSDE_STREAM_CONDITION, SSDE_STREAM_PREDICTOR,
                                    SSDE_STREAM_CONDITION, SSDE_STREAM_CORRECTOR, SSDE_STREAM_CONDITION,
                                    SSDE_STREAM_PREDICTOR, SSDE_STREAM_CONDITION, SSDE_STREAM_CORRECTOR,
                                    SSDE_STREAM_CONDITION};
    static const uint32_t steps[10] = {0, 0, 0, 1, 0, 2, 1, 3, 1, 4};
    static const float known[2] = {2.0f, 9.0f}, mask[2] = {1.0f, 0.0f};
    static const double times[3] = {1.0, 0.3, 0.1};
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_score_model model;
    ssde_sampler_desc how = ssde_sampler_defaults();
    solver_addresses addresses;
    ssde_rng rng = ssde_rng_seed(1);
    float x[2];
    size_t dim = 2, i;
    memset(&model, 0, sizeof model);
    memset(&addresses, 0, sizeof addresses);
    model.dim = dim, model.score = solver_zero_score, model.user = &dim;
    how.steps = 2, how.times = times, how.corrector = SSDE_CORRECTOR_LANGEVIN;
    how.condition = ssde_inpaint(known, mask);
    how.noise.fill = solver_address, how.noise.user = &addresses;
    how.trajectory = solver_follow, how.user = &sde;
    CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 1, x));
    CHECK(x[0] == 2.0f && addresses.count == 10);
    for (i = 0; i < 10; i++) CHECK(addresses.stream[i] == streams[i] && addresses.step[i] == steps[i]);
}

static void test_condition_inpainting_values(void) {
    enum { N = 80, DIM = 6 };
    static const ssde_grid grids[2] = {SSDE_GRID_UNIFORM, SSDE_GRID_REFERENCE};
    solver_mixture m = solver_wide_mixture(DIM);
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_score_model model;
    ssde_mixture *mixture = solver_mixture_model(&m, &sde, &model);
    ssde_sampler_desc how = ssde_sampler_defaults();
    ssde_condition second;
    ssde_rng rng;
    float *plain = (float *)malloc(5 * N * DIM * sizeof *plain), *x = plain + N * DIM, *first = x + N * DIM;
    float *known = first + N * DIM, *mask = known + N * DIM;
    double spread = 0.0;
    size_t i;
    int grid;
    how.steps = 40;
    how.corrector = SSDE_CORRECTOR_LANGEVIN;
    for (grid = 0; grid < 2; grid++) {
        how.grid = grids[grid];
        memset(&how.condition, 0, sizeof how.condition);
        rng = ssde_rng_seed(3);
        CHECK_OK(ssde_sample(&sde, &model, &how, &rng, N, plain));
        /* A mask of zeros changes nothing. */
        memset(mask, 0, N * DIM * sizeof *mask);
        how.condition = ssde_inpaint(known, mask);
        rng = ssde_rng_seed(3);
        CHECK_OK(ssde_sample(&sde, &model, &how, &rng, N, x));
        CHECK_SAME(x, plain, N * DIM * sizeof *x);
        /* Known values come out as they are; what is masked out is never read. */
        for (i = 0; i < N * DIM; i++) {
            mask[i] = (i * 7) % 5 < 2 ? 1.0f : 0.0f;
            known[i] = mask[i] != 0.0f ? (float)sin((double)i) : 0.0f;
        }
        rng = ssde_rng_seed(3);
        CHECK_OK(ssde_sample(&sde, &model, &how, &rng, N, first));
        for (i = 0; i < N * DIM; i++) CHECK(mask[i] != 0.0f ? first[i] == known[i] : first[i] != plain[i]);
        for (i = 0; i < N * DIM; i++) {
            if (mask[i] == 0.0f) known[i] = i % 2 ? (float)NAN : 1e30f;
        }
        rng = ssde_rng_seed(3);
        CHECK_OK(ssde_sample(&sde, &model, &how, &rng, N, x));
        CHECK_SAME(x, first, N * DIM * sizeof *x);
        /* Two conditions, each with half of the mask, are the one. */
        {
            float *half = (float *)malloc(2 * N * DIM * sizeof *half), *rest = half + N * DIM;
            for (i = 0; i < N * DIM; i++) {
                half[i] = i % 2 ? mask[i] : 0.0f;
                rest[i] = i % 2 ? 0.0f : mask[i];
            }
            how.condition = ssde_inpaint(known, half);
            second = ssde_inpaint(known, rest);
            how.condition.next = &second;
            rng = ssde_rng_seed(3);
            CHECK_OK(ssde_sample(&sde, &model, &how, &rng, N, x));
            CHECK_SAME(x, first, N * DIM * sizeof *x);
            free(half);
        }
    }
    ssde_mixture_destroy(mixture);
    /* Unknown values are denoised (the reference computes their mean from the noisy x): data all but at a point, and
       std(eps) 0.06, of which nothing may be left. */
    mixture = solver_gaussian_model(DIM, 0.4, 1e-3, &sde, &model);
    for (i = 0; i < DIM; i++) known[i] = 0.4f;
    for (i = 0; i < DIM; i++) mask[i] = i < 2 ? 1.0f : 0.0f;
    how.grid = SSDE_GRID_UNIFORM;
    how.eps = 0.01;
    how.condition = ssde_inpaint_shared(known, mask);
    CHECK_OK(ssde_sample(&sde, &model, &how, &rng, N, x));
    for (i = 0; i < N * DIM; i++) spread += pow((double)x[i] - 0.4, 2.0) / (N * DIM);
    CHECK(sqrt(spread) < 0.002);
    ssde_mixture_destroy(mixture);
    free(plain);
}

/* ---- condition: every solver under a condition whose outcome is known exactly ---- */

/* Ways that run under an SDE: all under VP, a third of them under each of the others. */
static int control_skips(int way, int which) {
    if (way < SAMPLERS_WAYS && samplers_refused(samplers_ways[way].predictor, which)) return 1;
    return check_quick ? way % 5 != which : which != 1 && way % 3 != which;
}

/* x [n, dim] at eps by way `way` of samplers_ways, or the ODE's after the last of them. */
static ssde_status control_run(const ssde_sde *sde, const ssde_score_model *model, const ssde_condition *condition,
                               int way, uint64_t seed, size_t n, float *x) {
    ssde_rng rng = ssde_rng_seed(seed);
    if (way < SAMPLERS_WAYS) {
        ssde_sampler_desc how = samplers_way_desc(&samplers_ways[way]);
        how.steps = 2 * ssde_predictor_info(how.predictor)->steps; /* finer than the few by default; 0 stays N */
        how.condition = *condition;
        return ssde_sample(sde, model, &how, &rng, n, x);
    } else {
        ssde_flow_desc how = ssde_flow_defaults();
        how.condition = *condition;
        how.eps = 1e-3;
        return ssde_sample_ode(sde, model, &how, &rng, n, x, NULL);
    }
}

/* ---- condition: linear measurements of a Gaussian ---- */

enum { CONTROL_DIM = 4, CONTROL_SIZE = 2, CONTROL_MOST = 6 };
typedef enum control_fault {
    CONTROL_RIGHT,
    CONTROL_NEGATED,
    CONTROL_ZERO,
    CONTROL_SHIFTED,      /* by one element */
    CONTROL_FACTOR,       /* of 1.01 */
    CONTROL_TURNED,       /* elements in reverse order */
    CONTROL_ENTRY,        /* one, of the wrong sign */
    CONTROL_OFFSET,       /* forward adds a constant */
    CONTROL_OTHER_SAMPLE, /* sample 5's transpose is negated */
    CONTROL_STRIDE,       /* all rows get the first one's */
    CONTROL_FAULTS
} control_fault;
/* A [size, CONTROL_DIM] = scale * entry, and what is wrong with its functions. */
typedef struct control_linear {
    size_t size;
    double scale, entry[CONTROL_MOST][CONTROL_DIM];
    control_fault fault;
} control_linear;
static const control_linear control_wide = {
    CONTROL_SIZE, 1.0, {{1.0, 0.5, -0.3, 0.2}, {0.0, 0.8, 0.6, -1.1}}, CONTROL_RIGHT};
static const control_linear control_tall = {CONTROL_MOST,
                                            1.0,
                                            {{1.0, 0.5, -0.3, 0.2},
                                             {0.0, 0.8, 0.6, -1.1},
                                             {0.4, 0.4, 0.4, 0.4},
                                             {-0.7, 0.1, 0.0, 0.9},
                                             {0.2, -0.2, 1.3, 0.1},
                                             {0.5, 0.0, 0.0, -0.5}},
                                            CONTROL_RIGHT};
static const control_linear control_deficient = {/* of rank 2, with a null space and a range that is not all */
                                                 3,
                                                 1.0,
                                                 {{1.0, 0.5, -0.3, 0.2},
                                                  {-2.0, -1.0, 0.6, -0.4},
                                                  {0.0, 0.8, 0.6, -1.1}},
                                                 CONTROL_RIGHT};
static const control_linear control_unit = {
    4, 1.0, {{1.0, 0.0, 0.0, 0.0}, {0.0, 1.0, 0.0, 0.0}, {0.0, 0.0, 1.0, 0.0}, {0.0, 0.0, 0.0, 1.0}}, CONTROL_RIGHT};

static ssde_status control_forward(void *user, const float *x, const uint64_t *sample, size_t rows, float *out) {
    const control_linear *a = (const control_linear *)user;
    size_t r, i, j;
    (void)sample;
    for (r = 0; r < rows; r++) {
        for (i = 0; i < a->size; i++) {
            double sum = a->fault == CONTROL_OFFSET ? 0.1 : 0.0;
            for (j = 0; j < CONTROL_DIM; j++) sum += a->scale * a->entry[i][j] * (double)x[r * CONTROL_DIM + j];
            out[r * a->size + i] = (float)sum;
        }
    }
    return SSDE_OK;
}
static ssde_status control_transpose(void *user, const float *y, const uint64_t *sample, size_t rows, float *out) {
    const control_linear *a = (const control_linear *)user;
    size_t r, i, j;
    for (r = 0; r < rows; r++) {
        const float *in = y + (a->fault == CONTROL_STRIDE ? 0 : r) * a->size;
        for (j = 0; j < CONTROL_DIM; j++) {
            size_t k = a->fault == CONTROL_SHIFTED  ? (j + 1) % CONTROL_DIM
                       : a->fault == CONTROL_TURNED ? CONTROL_DIM - 1 - j
                                                    : j;
            double sum = 0.0, sign = 1.0;
            for (i = 0; i < a->size; i++)
                sum +=
                    a->scale * a->entry[i][k] * (double)in[i] * (a->fault == CONTROL_ENTRY && i + j == 0 ? -1.0 : 1.0);
            if (a->fault == CONTROL_NEGATED || (a->fault == CONTROL_OTHER_SAMPLE && sample[r] == 5)) sign = -1.0;
            if (a->fault == CONTROL_ZERO) sign = 0.0;
            if (a->fault == CONTROL_FACTOR) sign = 1.01;
            out[r * CONTROL_DIM + j] = (float)(sign * sum);
        }
    }
    return SSDE_OK;
}

static const double control_even[CONTROL_DIM] = {0.6, 0.6, 0.6, 0.6};
static const double control_uneven[CONTROL_DIM] = {0.2, 0.6, 1.0, 0.4};

/* Mean and covariance of x, independent N(mean, std^2), given y = A x + noise, taken in row by row. */
static void control_posterior(const control_linear *a, double mean, const double std[CONTROL_DIM], const float *y,
                              double noise, double out[CONTROL_DIM], double covariance[CONTROL_DIM][CONTROL_DIM]) {
    size_t i, j, row;
    for (i = 0; i < CONTROL_DIM; i++) {
        out[i] = mean;
        for (j = 0; j < CONTROL_DIM; j++) covariance[i][j] = i == j ? std[i] * std[i] : 0.0;
    }
    for (row = 0; row < a->size; row++) {
        double seen[CONTROL_DIM], variance = noise * noise, away = (double)y[row];
        for (i = 0; i < CONTROL_DIM; i++) {
            for (seen[i] = 0.0, j = 0; j < CONTROL_DIM; j++) seen[i] += a->scale * covariance[i][j] * a->entry[row][j];
            away -= a->scale * a->entry[row][i] * out[i];
        }
        for (i = 0; i < CONTROL_DIM; i++) variance += a->scale * a->entry[row][i] * seen[i];
        if (variance <= 1e-12 * a->scale * a->scale) continue; /* nothing new */
        for (i = 0; i < CONTROL_DIM; i++) {
            out[i] += seen[i] * away / variance;
            for (j = 0; j < CONTROL_DIM; j++) covariance[i][j] -= seen[i] * seen[j] / variance;
        }
    }
}

/* The largest deviation of x's means and covariances from those of N(mean, covariance), in standard errors; `slack` is
   what the steps may add to each, and noise of standard deviation `std` is on x. */
static double control_deviation(const float *x, size_t n, const double mean[CONTROL_DIM],
                                double covariance[CONTROL_DIM][CONTROL_DIM], double std, double slack) {
    double worst = 0.0, average[CONTROL_DIM] = {0.0};
    size_t r, i, j;
    for (r = 0; r < n; r++) {
        for (i = 0; i < CONTROL_DIM; i++) average[i] += (double)x[r * CONTROL_DIM + i] / (double)n;
    }
    for (i = 0; i < CONTROL_DIM; i++) {
        double own = covariance[i][i] + std * std;
        double deviation = (fabs(average[i] - mean[i]) - slack) / sqrt(own / (double)n);
        if (!(deviation <= worst)) worst = deviation;
        for (j = 0; j < CONTROL_DIM; j++) {
            double expected = covariance[i][j] + (i == j ? std * std : 0.0), other = covariance[j][j] + std * std,
                   sum = 0.0;
            for (r = 0; r < n; r++)
                sum += ((double)x[r * CONTROL_DIM + i] - mean[i]) * ((double)x[r * CONTROL_DIM + j] - mean[j]);
            deviation =
                (fabs(sum / (double)n - expected) - slack) / sqrt((own * other + expected * expected) / (double)n);
            if (!(deviation <= worst)) worst = deviation;
        }
    }
    return worst;
}

/* `kind` 0: ssde_measure; 1: ssde_measure_pigdm; 2: ssde_measure_dps */
static ssde_condition control_measure(const control_linear *a, const float *y, double noise, double data_std,
                                      int kind) {
    void *user = (void *)(uintptr_t)a;
    ssde_condition condition =
        kind == 0   ? ssde_measure(control_forward, control_transpose, user, y, a->size, noise)
        : kind == 1 ? ssde_measure_pigdm(control_forward, control_transpose, user, y, a->size, noise, data_std)
                    : ssde_measure_dps(control_forward, control_transpose, user, y, a->size, noise);
    condition.shared = 1;
    condition.data_std = kind < 2 ? data_std : 0.0;
    return condition;
}

/* Independent N(0.2, std^2) as a score model. */
static ssde_score_model control_gaussian(const double std[CONTROL_DIM], const ssde_sde *sde, ssde_mixture **mixture) {
    static const double weight = 1.0, mean[CONTROL_DIM] = {0.2, 0.2, 0.2, 0.2};
    CHECK_OK(ssde_mixture_create(NULL, mixture, 1, CONTROL_DIM, &weight, mean, std));
    return ssde_mixture_model(*mixture, sde);
}

/* Under isotropic Gaussian data, what A does not see is independent of what it sees: putting A x where it is measured
   is exact for every solver. With noise, and by pseudo-inverse guidance, the variance of x(0) given x is known and the
   score exact as well; with a scale of 0 it is not there. */
static void test_condition_measurements(void) {
    static const float y[CONTROL_SIZE] = {1.2f, -0.7f};
    size_t n = check_quick ? 150 : 500;
    float *x = (float *)malloc(n * CONTROL_DIM * sizeof *x);
    int which, way, kind;
    for (which = 0; which < SOLVER_SDES; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_score_model model;
        ssde_mixture *mixture = solver_gaussian_model(CONTROL_DIM, 0.2, 0.6, &sde, &model);
        ssde_coefficients c;
        CHECK_OK(ssde_coefficients_at(NULL, &sde, 1e-3, &c));
        sde.num_scales = check_quick ? 100 : 250;
        for (way = 0; way <= SAMPLERS_WAYS; way++) {
            if (control_skips(way, which)) continue;
            for (kind = 0; kind < 4; kind++) { /* projected, with noise, guided, not guided */
                double noise = kind ? 0.3 : 0.0, mean[CONTROL_DIM], covariance[CONTROL_DIM][CONTROL_DIM], deviation;
                ssde_condition condition = control_measure(&control_wide, y, noise, 0.6, kind > 1);
                if (kind > 2) condition.scale = 0.0;
                control_posterior(&control_wide, 0.2, control_even, y, noise, mean, covariance);
                CHECK_OK(control_run(&sde, &model, &condition, way, 3 + (uint64_t)way, n, x));
                deviation = control_deviation(x, n, mean, covariance, c.std, 0.01);
                if (kind > 2 ? !(deviation > 6.0) : !(deviation < 5.0))
                    check_report(__FILE__, __LINE__, "%s, way %d, kind %d: %.2f deviations", solver_sde_names[which],
                                 way, kind, deviation);
                check_count++;
            }
        }
        ssde_mixture_destroy(mixture);
    }
    free(x);
}

/* x ~ N(0.3, 0.5^2), y = 1, noise 0.5: the posterior N(0.65, 0.354^2) is what samples come to as steps grow, for every
   SDE, by a predictor of each kind; the flow at once. data_std 0: the model is asked. */
static void control_noisy_steps(double data_std) {
    enum { N = 400 };
    static const ssde_predictor predictors[4] = {SSDE_PREDICTOR_ANCESTRAL, SSDE_PREDICTOR_EULER_MARUYAMA,
                                                 SSDE_PREDICTOR_DEFAULT, SSDE_PREDICTOR_DPM_SOLVER_2M};
    static const size_t steps[4] = {20, 100, 500, 2000};
    static float x[N * CONTROL_DIM];
    float y[CONTROL_DIM] = {1.0f, 1.0f, 1.0f, 1.0f};
    int which, k, p;
    for (which = 0; which < SOLVER_SDES; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_score_model model;
        ssde_mixture *mixture = solver_gaussian_model(CONTROL_DIM, 0.3, 0.5, &sde, &model);
        size_t i;
        for (p = 0; p < 5; p++) {
            for (k = 0; k < (check_quick ? 3 : 4); k++) {
                ssde_rng rng = ssde_rng_seed(1);
                double mean = 0.0, square = 0.0, count = N * CONTROL_DIM, std = 0.5 / sqrt(2.0);
                if (p == 4) {
                    ssde_flow_desc how = ssde_flow_defaults();
                    how.condition = control_measure(&control_unit, y, 0.5, data_std, 0);
                    how.denoise = 1;
                    if (k) break;
                    CHECK_OK(ssde_sample_ode(&sde, &model, &how, &rng, N, x, NULL));
                } else {
                    ssde_sampler_desc how = ssde_sampler_defaults();
                    how.predictor = predictors[p], how.steps = steps[k];
                    how.condition = control_measure(&control_unit, y, 0.5, data_std, 0);
                    CHECK_OK(ssde_sample(&sde, &model, &how, &rng, N, x));
                }
                for (i = 0; i < N * CONTROL_DIM; i++) mean += (double)x[i] / count;
                for (i = 0; i < N * CONTROL_DIM; i++) square += pow((double)x[i] - mean, 2.0) / count;
                /* four standard errors, and the first-order error of the steps, measured at most 1.8 / steps;
                   replacing A x by a draw given y after every update is off by 0.28 in the mean at 500 steps and 0.32
                   at 2,000 */
                CHECK_NEAR(mean, 0.65, 4.0 * std / sqrt(count) + 0.6 / (double)steps[k]);
                CHECK_NEAR(sqrt(square), std, 4.0 * std / sqrt(2.0 * count) + 2.2 / (double)steps[k]);
            }
        }
        ssde_mixture_destroy(mixture);
    }
}

static void test_condition_noisy_steps(void) {
    control_noisy_steps(0.5);
    control_noisy_steps(0.0);
}

/* Every shape of A, noise small, moderate and large, whatever accompanies it. x is left at eps, with its noise on.
   data_std 0: data of uneven spread, whose covariance the model knows. */
static void control_noisy_shapes(const double std[CONTROL_DIM], double data_std) {
    enum { N = 300 };
    static const control_linear *const shapes[4] = {&control_wide, &control_tall, &control_deficient, &control_unit};
    static const double noises[3] = {0.02, 0.4, 4.0}, scales[3] = {1.0, 1e-20, 1e15};
    static float x[N * CONTROL_DIM];
    float y[CONTROL_MOST], around[CONTROL_DIM] = {0.9f, -0.3f, 0.1f, 1.0f}, shift[CONTROL_MOST];
    int shape, which, k, extra;
    CHECK_OK(ssde_random_normal(NULL, 4, SSDE_STREAM_USER, 0, NULL, 1, CONTROL_MOST, shift));
    for (which = 0; which < SOLVER_SDES; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_mixture *mixture = NULL;
        ssde_score_model model;
        ssde_coefficients c;
        model = control_gaussian(std, &sde, &mixture);
        if (data_std > 0.0) model.vjp = NULL;
        CHECK_OK(ssde_coefficients_at(NULL, &sde, 1e-3, &c));
        for (shape = 0; shape < 4; shape++) {
            if (check_quick && shape % 3 != which) continue;
            for (k = 0; k < 3; k++) {
                control_linear a = *shapes[shape];
                double noise = noises[k] * scales[(k + shape) % 3], mean[CONTROL_DIM],
                       covariance[CONTROL_DIM][CONTROL_DIM], deviation;
                size_t i, j;
                a.scale = scales[(k + shape) % 3];
                CHECK_OK(control_forward(&a, around, NULL, 1, y));
                for (i = 0; i < a.size; i++) y[i] += (float)(noise * (double)shift[i]);
                control_posterior(&a, 0.2, std, y, noise, mean, covariance);
                for (i = 0; i < CONTROL_DIM; i++) {
                    mean[i] *= c.mean;
                    for (j = 0; j < CONTROL_DIM; j++) covariance[i][j] *= c.mean * c.mean;
                }
                for (extra = 0; extra < (k == 1 ? 6 : 2); extra++) {
                    ssde_rng rng = ssde_rng_seed(31);
                    ssde_sampler_desc how = ssde_sampler_defaults();
                    how.steps = check_quick ? 150 : 400, how.eps = 1e-3, how.skip_denoise = 1;
                    how.predictor = SSDE_PREDICTOR_ANCESTRAL, how.corrector = SSDE_CORRECTOR_NONE;
                    how.grid = SSDE_GRID_LOG_SNR;
                    how.condition = control_measure(&a, y, noise, data_std, 0);
                    if (extra == 2) how.corrector = SSDE_CORRECTOR_LANGEVIN;
                    if (extra == 3) how.resamplings = 3, how.jump = 4;
                    if (extra == 4) how.brownian = 1;
                    if (extra == 5) how.predictor = SSDE_PREDICTOR_DDIM, how.steps = 100;
                    if (extra == 1) {
                        ssde_flow_desc flow = ssde_flow_defaults();
                        flow.condition = how.condition;
                        CHECK_OK(ssde_sample_ode(&sde, &model, &flow, &rng, N, x, NULL));
                    } else {
                        CHECK_OK(ssde_sample(&sde, &model, &how, &rng, N, x));
                    }
                    deviation = control_deviation(x, N, mean, covariance, c.std, 0.01);
                    if (!(deviation < 5.0))
                        check_report(__FILE__, __LINE__, "%s, shape %d, noise %g, extra %d: %.2f deviations",
                                     solver_sde_names[which], shape, noise, extra, deviation);
                    check_count++;
                }
            }
        }
        ssde_mixture_destroy(mixture);
    }
}

static void test_condition_noisy_shapes(void) {
    control_noisy_shapes(control_even, 0.6);
    control_noisy_shapes(control_uneven, 0.0);
}

/* For uneven Gaussians the term is the gradient of log p_t(y | x) = log N(A D, A C A^T + noise^2): A sees x through
   one Gaussian, so that what is added is known; at every noise level up to VE's 50, where C is what is left of 2,500
   (I - 0.9999 I), and down to 0.01. */
static void test_condition_noisy_values(void) {
    static const control_linear *const shapes[4] = {&control_wide, &control_tall, &control_deficient, &control_unit};
    static const double times[5] = {1e-3, 0.1, 0.4, 0.7, 1.0}, noises[3] = {0.02, 0.4, 4.0};
    static const float x[CONTROL_DIM] = {0.7f, -0.4f, 0.3f, 1.1f}, around[CONTROL_DIM] = {0.5f, -0.3f, 0.8f, 0.4f};
    int which, shape, k, at;
    for (which = 0; which < SOLVER_SDES; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_mixture *mixture = NULL;
        ssde_score_model model = control_gaussian(control_uneven, &sde, &mixture);
        double start, scale;
        CHECK_OK(ssde_prior_time(NULL, &sde, &start, &scale));
        for (shape = 0; shape < 4; shape++) {
            const control_linear *a = shapes[shape];
            float y[CONTROL_MOST];
            CHECK_OK(control_forward((void *)(uintptr_t)a, around, NULL, 1, y));
            for (k = 0; k < 3; k++) {
                ssde_condition condition = control_measure(a, y, noises[k], 0.0, 0);
                ssde_guided *guided = NULL;
                CHECK_OK(ssde_guided_create(NULL, &guided, &sde, &model, &condition, 0, 1));
                for (at = 0; at < 5; at++) {
                    ssde_score_model steered = ssde_guided_model(guided);
                    double mean[CONTROL_DIM], covariance[CONTROL_DIM][CONTROL_DIM], std[CONTROL_DIM], size = 0.0,
                                                                                                      away = 0.0;
                    float with[CONTROL_DIM], plain[CONTROL_DIM], shifted[CONTROL_MOST], point[CONTROL_DIM];
                    uint64_t sample = 0;
                    double t = fmin(times[at], start);
                    ssde_coefficients c = solver_marginal(&sde, t);
                    size_t i;
                    for (i = 0; i < CONTROL_DIM; i++) point[i] = (float)(c.mean * 0.5 + c.std * (double)x[i]);
                    CHECK_OK(steered.score(steered.user, point, &t, &sample, 1, 0, with));
                    CHECK_OK(model.score(model.user, point, &t, &sample, 1, 0, plain));
                    for (i = 0; i < CONTROL_DIM; i++) { /* x(0) given x is D + std N(0, I), D taken off y */
                        double own = pow(control_uneven[i], 2.0), all = pow(c.mean, 2.0) * own + c.std * c.std;
                        std[i] = c.std * control_uneven[i] / sqrt(all);
                        point[i] = (float)(0.2 + c.mean * own / all * ((double)point[i] - c.mean * 0.2));
                    }
                    CHECK_OK(control_forward((void *)(uintptr_t)a, point, NULL, 1, shifted));
                    for (i = 0; i < a->size; i++) shifted[i] = y[i] - shifted[i];
                    control_posterior(a, 0.0, std, shifted, noises[k], mean, covariance);
                    for (i = 0; i < CONTROL_DIM; i++) { /* D moves by that */
                        size += pow(mean[i], 2.0);
                        away += pow(c.std * c.std / c.mean * ((double)with[i] - (double)plain[i]) - mean[i], 2.0);
                    }
                    /* floats of x and y; and of K, which is C (m / std)^2 and has 1's rounding, for a C of 0.04 */
                    CHECK_NEAR(sqrt(away), 0.0, sqrt(size) * (1e-5 + pow(c.std / c.mean, 2.0) * 6e-8 / 0.04) + 1e-5);
                }
                if (start < 1.0) { /* where m is 0 nothing is added */
                    ssde_score_model steered = ssde_guided_model(guided);
                    float with[CONTROL_DIM], plain[CONTROL_DIM];
                    uint64_t sample = 0;
                    CHECK_OK(steered.score(steered.user, x, &times[4], &sample, 1, 0, with));
                    CHECK_OK(model.score(model.user, x, &times[4], &sample, 1, 0, plain));
                    CHECK_SAME(with, plain, sizeof plain);
                }
                ssde_guided_destroy(guided);
            }
        }
        ssde_mixture_destroy(mixture);
    }
}

/* Models whose derivative is not that of a score. */
typedef struct control_derivative {
    ssde_score_model inner;
    double asymmetric, factor; /* of the derivative */
    size_t products;
} control_derivative;
static ssde_status control_derivative_score(void *user, const float *x, const double *t, const uint64_t *sample,
                                            size_t rows, int differentiate, float *out) {
    control_derivative *m = (control_derivative *)user;
    return m->inner.score(m->inner.user, x, t, sample, rows, differentiate, out);
}
static ssde_status control_derivative_vjp(void *user, const float *v, size_t rows, float *out) {
    control_derivative *m = (control_derivative *)user;
    size_t i;
    m->products++;
    ssdei_try(m->inner.vjp(m->inner.user, v, rows, out));
    for (i = 0; i < rows * CONTROL_DIM; i++) { /* each coordinate gets the next one's, in one direction only */
        double next = i % CONTROL_DIM + 1 < CONTROL_DIM ? (double)v[i + 1] : 0.0;
        out[i] = (float)(m->factor * ((double)out[i] + m->asymmetric * next));
    }
    return SSDE_OK;
}

/* A derivative that is not symmetric, or has no covariance, leads to numbers, near the posterior where it is nearly
   right; where it says that nothing is uncertain, nothing is added. */
static void test_condition_noisy_derivative(void) {
    enum { N = 200 };
    static const double asymmetric[6] = {0.0, 0.02, 10.0, -1e4, 0.0, 0.0}, factors[6] = {1.0, 1.0, 1.0, 1.0, 1e4, 1.01};
    static float x[N * CONTROL_DIM], plain[N * CONTROL_DIM];
    static const float y[CONTROL_SIZE] = {1.2f, -0.7f};
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_mixture *mixture = NULL;
    double mean[CONTROL_DIM], covariance[CONTROL_DIM][CONTROL_DIM];
    control_derivative wrapper;
    ssde_score_model model;
    ssde_sampler_desc how = ssde_sampler_defaults();
    ssde_rng rng;
    size_t i;
    int k;
    memset(&wrapper, 0, sizeof wrapper);
    model = wrapper.inner = control_gaussian(control_uneven, &sde, &mixture);
    model.score = control_derivative_score, model.vjp = control_derivative_vjp, model.user = &wrapper;
    control_posterior(&control_wide, 0.2, control_uneven, y, 0.3, mean, covariance);
    how.steps = 200;
    rng = ssde_rng_seed(2);
    CHECK_OK(ssde_sample(&sde, &model, &how, &rng, N, plain));
    for (k = 0; k < 6; k++) {
        wrapper.asymmetric = asymmetric[k], wrapper.factor = factors[k], wrapper.products = 0;
        how.condition = control_measure(&control_wide, y, 0.3, 0.0, 0);
        rng = ssde_rng_seed(2);
        CHECK_OK(ssde_sample(&sde, &model, &how, &rng, N, x));
        CHECK(wrapper.products > 0 && (k || wrapper.products <= 201 * 2)); /* one per eigenvalue of A C A^T */
        for (i = 0; i < N * CONTROL_DIM; i++) CHECK(fabs((double)x[i]) < 30.0);
        if (k < 2) CHECK(control_deviation(x, N, mean, covariance, 0.0, 0.02) < 5.0);
        if (k == 4) CHECK_SAME(x, plain, sizeof x); /* K = I - 1e4 of what it is */
    }
    ssde_mixture_destroy(mixture);
}

/* With errors of 1e-5, as FFTs in float have. */
static ssde_status control_roughly(void *user, const float *y, const uint64_t *sample, size_t rows, float *out) {
    const control_linear *a = (const control_linear *)user;
    size_t i;
    ssdei_try(control_transpose(user, y, sample, rows, out));
    for (i = 0; i < rows * CONTROL_DIM; i++)
        out[i] +=
            (float)(1e-5 * a->scale * sin(7.0 * (double)i) * control_norm(y + i / CONTROL_DIM * a->size, a->size));
    return SSDE_OK;
}

/* Without noise x comes as near y as A lets it, for every shape and scale of A and for y that A cannot reach, by a
   transpose that is nearly A's too; and what A does not see keeps its spread. */
static void test_condition_projected_shapes(void) {
    enum { N = 200 };
    static const control_linear *const shapes[4] = {&control_wide, &control_tall, &control_deficient, &control_unit};
    static const double scales[3] = {1.0, 1e-20, 1e20};
    static float x[N * CONTROL_DIM], back[N * CONTROL_MOST], slope[N * CONTROL_DIM];
    float y[CONTROL_MOST] = {1.2f, -0.7f, 0.3f, 0.9f, -0.4f, 0.2f}, around[CONTROL_DIM] = {0.9f, -0.3f, 0.1f, 1.0f};
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_score_model model;
    ssde_mixture *mixture = solver_gaussian_model(CONTROL_DIM, 0.2, 0.6, &sde, &model);
    int shape, k, reached, flow, rough;
    for (shape = 0; shape < 4; shape++) {
        for (k = 0; k < 12; k++) {
            control_linear a = *shapes[shape];
            ssde_rng rng = ssde_rng_seed(3);
            float given[CONTROL_MOST];
            double away = 0.0, size = 0.0, across = 0.0;
            size_t i;
            a.scale = scales[k % 3], reached = k / 3 % 2, flow = k / 6, rough = !flow && k % 2;
            CHECK_OK(control_forward(&a, around, NULL, 1, given));
            for (i = 0; i < a.size && !reached; i++) given[i] = (float)(a.scale * (double)y[i]);
            if (flow) {
                ssde_flow_desc how = ssde_flow_defaults();
                how.condition = control_measure(&a, given, 0.0, 0.0, 0);
                how.denoise = 1;
                CHECK_OK(ssde_sample_ode(&sde, &model, &how, &rng, N, x, NULL));
            } else {
                ssde_sampler_desc how = ssde_sampler_defaults();
                how.condition = control_measure(&a, given, 0.0, 0.0, 0);
                if (rough) how.condition.transpose = control_roughly;
                how.steps = 50;
                CHECK_OK(ssde_sample(&sde, &model, &how, &rng, N, x));
            }
            CHECK_OK(control_forward(&a, x, NULL, N, back));
            for (i = 0; i < N * a.size; i++) {
                back[i] = (float)(((double)back[i] - (double)given[i % a.size]) / a.scale);
                away += pow((double)back[i], 2.0);
                size += pow((double)given[i % a.size] / a.scale, 2.0);
            }
            if (reached) CHECK(sqrt(away / size) < (rough ? 1e-5 : 1e-6));
            CHECK_OK(control_transpose(&a, back, NULL, N, slope)); /* A^T (A x - y) = 0: the nearest */
            for (i = 0; i < N * CONTROL_DIM; i++) across += pow((double)slope[i] / a.scale, 2.0);
            CHECK(sqrt(across / size) < (rough ? 3e-5 : 3e-6));
            if (shape == 0) { /* along two of four dimensions it varies */
                double mean[CONTROL_DIM], covariance[CONTROL_DIM][CONTROL_DIM];
                control_posterior(&a, 0.2, control_even, given, 0.0, mean, covariance);
                CHECK(control_deviation(x, N, mean, covariance, 0.0, 0.02) < 5.0);
            }
        }
    }
    ssde_mixture_destroy(mixture);
}

/* ---- condition: a transpose that is not A's ---- */

/* Sums over all of a row, one after the other in float, and what spreads them; in 2^20 dimensions products differ by
   2^20 roundings. */
static void test_condition_transposes(void) {
    enum { N = 8 };
    static const float y[CONTROL_MOST] = {1.2f, -0.7f, 0.3f, 0.9f, -0.4f, 0.2f};
    static const control_linear *const shapes[4] = {&control_wide, &control_tall, &control_deficient, &control_unit};
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_score_model model;
    ssde_mixture *mixture = solver_gaussian_model(CONTROL_DIM, 0.2, 0.6, &sde, &model);
    int kind, fault, shape;
    for (fault = 0; fault < CONTROL_FAULTS; fault++) {
        for (shape = 0; shape < 4; shape++) {
            for (kind = 0; kind < 5;
                 kind++) { /* measure without and with noise, pigdm, dps, by the model's covariance */
                control_linear a = *shapes[shape];
                ssde_condition condition;
                ssde_sampler_desc how = ssde_sampler_defaults();
                ssde_flow_desc flow = ssde_flow_defaults();
                ssde_guided *guided = NULL;
                ssde_rng rng = ssde_rng_seed(1);
                float x[N * CONTROL_DIM];
                ssde_status wanted = fault ? SSDE_ERROR_ARGUMENT : SSDE_OK;
                a.fault = (control_fault)fault;
                condition = kind == 4 ? control_measure(&a, y, 0.4, 0.0, 0)
                                      : control_measure(&a, y, kind ? 0.4 : 0.0, 0.6, kind < 2 ? 0 : kind - 1);
                how.condition = flow.condition = condition;
                how.context = flow.context = &context;
                how.steps = 5;
                CHECK_STATUS(ssde_sample(&sde, &model, &how, &rng, N, x), wanted);
                CHECK(!fault || strstr(context.error, "transpose"));
                CHECK(fault || rng.next_sample == N);
                rng = ssde_rng_seed(1);
                CHECK_STATUS(ssde_sample_ode(&sde, &model, &flow, &rng, N, x, NULL), wanted);
                if (!kind) continue;
                CHECK_STATUS(ssde_guided_create(&context, &guided, &sde, &model, &condition, 0, N), wanted);
                CHECK(!guided == !!fault);
                ssde_guided_destroy(guided);
            }
        }
    }
    { /* what it says, and that a run without the sample whose transpose is wrong is a good one */
        control_linear a = control_wide;
        ssde_sampler_desc how = ssde_sampler_defaults();
        ssde_rng rng = ssde_rng_seed(1);
        float x[N * CONTROL_DIM];
        how.context = &context, how.steps = 5;
        a.fault = CONTROL_OTHER_SAMPLE;
        how.condition = control_measure(&a, y, 0.0, 0.0, 0);
        CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, N, x), SSDE_ERROR_ARGUMENT,
                    "measurement: transpose is not that of forward: sample 5 has <A v, w> = ");
        CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 5, x));
        how.condition.transpose = control_roughly, a.fault = CONTROL_RIGHT;
        CHECK_OK(ssde_sample(&sde, &model, &how, &rng, N, x));
        a.scale = 0.0; /* measures nothing, rightly */
        how.condition.transpose = control_transpose;
        CHECK_OK(ssde_sample(&sde, &model, &how, &rng, N, x));
        { /* A factor of 1.01 by a single sample. w of normals alone, at times nearly at right angles to A v, misses it
             for 13 of these. */
            size_t first, missed = 0;
            a.scale = 1.0, a.fault = CONTROL_FACTOR;
            how.condition = control_measure(&a, y, 0.4, 0.6, 0);
            for (first = 0; first < 500; first++) {
                ssde_guided *guided = NULL;
                ssde_status status = ssde_guided_create(&context, &guided, &sde, &model, &how.condition, first, 1);
                if (status == SSDE_OK) missed++;
                ssde_guided_destroy(guided);
            }
            CHECK(missed == 0);
        }
        a.scale = 1e-20;
        how.condition = control_measure(&a, y, 0.0, 0.0, 0);
        CHECK_STATUS(ssde_sample(&sde, &model, &how, &rng, N, x), SSDE_ERROR_ARGUMENT);
        a.scale = 1e20;
        CHECK_STATUS(ssde_sample(&sde, &model, &how, &rng, N, x), SSDE_ERROR_ARGUMENT);
    }
    ssde_mixture_destroy(mixture);
    {
        size_t dim = (size_t)1 << 20;
        ssde_guided *guided = NULL;
        ssde_condition condition = ssde_measure(control_sum, control_spread, &dim, y, 1, 0.5);
        condition.data_std = 1.0;
        memset(&model, 0, sizeof model);
        model.dim = dim, model.score = solver_zero_score, model.user = &dim, model.max_rows = 1;
        CHECK_OK(ssde_guided_create(&context, &guided, &sde, &model, &condition, 3, 2));
        ssde_guided_destroy(guided);
    }
}

/* What DPS adds is the gradient of -|y - A x0|^2 / (2 noise^2), and pseudo-inverse guidance with r = 0 the same; under
   a mixture, so that ds/dx is no constant. */
static void test_condition_dps(void) {
    static const float y[CONTROL_SIZE] = {0.4f, -0.2f};
    static const double h = 1e-2, noise = 0.5;
    solver_mixture m = solver_wide_mixture(CONTROL_DIM);
    ssde_context context = ssde_context_defaults();
    int which;
    for (which = 0; which < SOLVER_SDES; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_mixture *mixture = NULL;
        ssde_score_model model, steered;
        ssde_guided *guided = NULL;
        ssde_condition condition = control_measure(&control_wide, y, noise, 0.0, 2);
        ssde_coefficients c;
        float x[CONTROL_DIM] = {0.3f, -0.2f, 0.5f, 0.1f}, plain[CONTROL_DIM], with[CONTROL_DIM], moved[CONTROL_DIM];
        double t = which ? 0.2 : 0.45;
        uint64_t sample = 7;
        size_t i, j, k;
        mixture = solver_mixture_model(&m, &sde, &model);
        model.max_rows = 1;
        CHECK_OK(ssde_coefficients_at(NULL, &sde, t, &c));
        CHECK_OK(ssde_guided_create(&context, &guided, &sde, &model, &condition, 7, 1));
        steered = ssde_guided_model(guided);
        CHECK(steered.dim == CONTROL_DIM && steered.max_rows == 1 && !steered.vjp);
        CHECK_OK(steered.score(steered.user, x, &t, &sample, 1, 0, with));
        CHECK_FAILS(&context, steered.score(steered.user, x, &t, &sample, 2, 0, with), SSDE_ERROR_ARGUMENT,
                    "rows is 2, wanted up to 1");
        CHECK_OK(model.score(model.user, x, &t, &sample, 1, 0, plain));
        for (i = 0; i < CONTROL_DIM; i++) {
            double value[2];
            for (k = 0; k < 2; k++) {
                float shifted[CONTROL_DIM], measured[CONTROL_SIZE];
                memcpy(shifted, x, sizeof x);
                shifted[i] += (float)(k ? -h : h);
                CHECK_OK(model.score(model.user, shifted, &t, &sample, 1, 0, moved));
                for (j = 0; j < CONTROL_DIM; j++)
                    moved[j] = (float)(((double)shifted[j] + c.std * c.std * (double)moved[j]) / c.mean);
                CHECK_OK(control_forward((void *)(uintptr_t)&control_wide, moved, &sample, 1, measured));
                for (value[k] = 0.0, j = 0; j < CONTROL_SIZE; j++)
                    value[k] -= pow((double)y[j] - (double)measured[j], 2.0) / (2.0 * noise * noise);
            }
            CHECK_NEAR((double)with[i] - (double)plain[i], (value[0] - value[1]) / (2.0 * h), 5e-3); /* h^2, floats */
        }
        ssde_guided_destroy(guided);
        /* Above its highest noise the term is not there, nor asked for. */
        condition.high = 0.9 * c.std / c.mean;
        CHECK_OK(ssde_guided_create(NULL, &guided, &sde, &model, &condition, 7, 1));
        steered = ssde_guided_model(guided);
        CHECK_OK(steered.score(steered.user, x, &t, &sample, 1, 0, moved));
        CHECK_SAME(moved, plain, sizeof plain);
        ssde_guided_destroy(guided);
        condition.low = 0.8 * c.std / c.mean, condition.high = 1.1 * c.std / c.mean;
        CHECK_OK(ssde_guided_create(NULL, &guided, &sde, &model, &condition, 7, 1));
        steered = ssde_guided_model(guided);
        CHECK_OK(steered.score(steered.user, x, &t, &sample, 1, 0, moved));
        CHECK_SAME(moved, with, sizeof with);
        sample = 8;
        CHECK_STATUS(steered.score(steered.user, x, &t, &sample, 1, 0, with), SSDE_ERROR_ARGUMENT);
        ssde_guided_destroy(guided);
        ssde_mixture_destroy(mixture);
    }
}

/* ---- condition: colours ---- */

/* Grey comes out as given, and colours, which under isotropic Gaussian data are independent of it, keep their spread.
 */
static void test_condition_colourise(void) {
    enum { PIXELS = 2, DIM = 3 * PIXELS };
    size_t n = check_quick ? 150 : 500, r, p, i;
    float *x = (float *)malloc(n * DIM * sizeof *x), *grey = (float *)malloc(n * PIXELS * sizeof *grey);
    int which, way;
    for (i = 0; i < n * PIXELS; i++) grey[i] = (float)sin(0.1 * (double)i);
    for (which = 0; which < SOLVER_SDES; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_score_model model;
        ssde_mixture *mixture = solver_gaussian_model(DIM, 0.2, 0.6, &sde, &model);
        ssde_coefficients c;
        ssde_condition condition = ssde_colourise(grey);
        CHECK_OK(ssde_coefficients_at(NULL, &sde, 1e-3, &c));
        sde.num_scales = check_quick ? 100 : 250;
        for (way = 0; way <= SAMPLERS_WAYS; way++) {
            double square = 0.0, grey_square = 0.0, mean = 0.0, variance = 0.36 * c.mean * c.mean + c.std * c.std;
            double count = (double)(n * PIXELS);
            if (control_skips(way, which)) continue;
            CHECK_OK(control_run(&sde, &model, &condition, way, 50, n, x));
            for (r = 0; r < n; r++) {
                for (p = 0; p < PIXELS; p++) {
                    const float *v = x + r * DIM + 3 * p;
                    double a = ((double)v[0] - (double)v[1]) / sqrt(2.0);
                    double b = ((double)v[0] + (double)v[1] - 2.0 * (double)v[2]) / sqrt(6.0);
                    double away =
                        ((double)v[0] + (double)v[1] + (double)v[2]) / 3.0 - c.mean * (double)grey[r * PIXELS + p];
                    square += (a * a + b * b) / (2.0 * count);
                    mean += (a + b) / (2.0 * count);
                    grey_square += 3.0 * away * away / count;
                }
            }
            CHECK_NEAR(mean, 0.0, 5.0 * sqrt(variance / (2.0 * count)));
            CHECK_NEAR(square, variance, 5.0 * variance / sqrt(count) + 0.01);
            if (way < SAMPLERS_WAYS && samplers_ways[way].predictor == SSDE_PREDICTOR_DDPM)
                CHECK(sqrt(grey_square) < 1e-3); /* its chain ends at t = 0 */
            else
                CHECK_RELATIVE(sqrt(grey_square), c.std, 5.0 / sqrt(2.0 * count) + 0.02); /* and SMLD's, at 0.01 */
        }
        { /* denoised: exactly grey, within rounding */
            ssde_sampler_desc how;
            ssde_flow_desc flow;
            ssde_rng rng = ssde_rng_seed(1);
            for (way = 0; way < 2; way++) {
                how = ssde_sampler_defaults();
                flow = ssde_flow_defaults();
                how.steps = 30, flow.denoise = 1, flow.rtol = flow.atol = 1e-3;
                how.condition = flow.condition = condition;
                if (way)
                    CHECK_OK(ssde_sample_ode(&sde, &model, &flow, &rng, n, x, NULL));
                else
                    CHECK_OK(ssde_sample(&sde, &model, &how, &rng, n, x));
                for (r = 0; r < n * PIXELS; r++)
                    CHECK_NEAR((x[3 * r] + x[3 * r + 1] + x[3 * r + 2]) / 3.0f, grey[r], 2e-6);
            }
        }
        ssde_mixture_destroy(mixture);
    }
    free(grey);
    free(x);
}

/* ---- condition: what is masked out does not matter; samples do not depend on each other ---- */

static ssde_status control_part(const ssde_sde *sde, const ssde_score_model *model, ssde_context *context,
                                const control_data *data, int kind, int way, size_t first, size_t n, float *x) {
    ssde_condition pull = ssde_guide(control_pull, NULL, 1.0);
    ssde_condition condition = control_condition(data, kind, first, &pull);
    ssde_rng rng = ssde_rng_seed(9);
    rng.next_sample = first;
    if (way < SAMPLERS_WAYS) {
        ssde_sampler_desc how = samplers_way_desc(&samplers_ways[way]);
        how.steps = samplers_ways[way].predictor == SSDE_PREDICTOR_DDPM ? 25 : 6; /* whose betas stay below 1 */
        how.skip_denoise = 0, how.context = context;
        how.condition = condition;
        if (way % 5 == 2) how.resamplings = 3, how.jump = 2; /* not with those that keep to one path: way 12 */
        if (way > 8) how.resamplings = 0;
        return ssde_sample(sde, model, &how, &rng, n, x);
    } else {
        ssde_flow_desc how = ssde_flow_defaults();
        how.rtol = how.atol = 1e-3, how.denoise = 1, how.context = context;
        how.condition = condition;
        return ssde_sample_ode(sde, model, &how, &rng, n, x, NULL);
    }
}

static void test_condition_identity(void) {
    solver_mixture m = solver_wide_mixture(6);
    control_data data = control_data_make(), other;
    int way, kind, which;
    size_t i;
    other = data;
    for (i = 0; i < CONTROL_N * 6; i++) {
        if (data.mask[i] == 0.0f) other.known[i] = i % 2 ? (float)NAN : -3e30f;
    }
    for (which = 0; which < SOLVER_SDES; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_score_model model;
        ssde_mixture *mixture = solver_mixture_model(&m, &sde, &model);
        for (way = 0; way <= SAMPLERS_WAYS; way++) {
            if (control_skips(way, which)) continue;
            for (kind = 0; kind < CONTROL_KINDS; kind++) {
                float x[CONTROL_N * 6], alone[CONTROL_N * 6];
                model.max_rows = 0;
                CHECK_OK(control_part(&sde, &model, NULL, &data, kind, way, 0, CONTROL_N, x));
                if (!kind) {
                    CHECK_OK(control_part(&sde, &model, NULL, &other, kind, way, 0, CONTROL_N, alone));
                    CHECK_SAME(alone, x, sizeof x);
                    for (i = 0; i < CONTROL_N * 6; i++) CHECK(data.mask[i] == 0.0f || x[i] == data.known[i]);
                }
                for (i = 0; kind == 2 && i < CONTROL_N * 3; i++) /* exact but for x's own rounding */
                    CHECK_NEAR(x[2 * i] + x[2 * i + 1], data.y[i], 1e-5 + 3e-7 * control_norm(x + i / 3 * 6, 6));
                if (way < SAMPLERS_WAYS && samplers_ways[way].corrector == SSDE_CORRECTOR_LANGEVIN_BATCH) continue;
                for (i = CONTROL_N; i-- > 0;)
                    CHECK_OK(control_part(&sde, &model, NULL, &data, kind, way, i, 1, alone + 6 * i));
                CHECK_SAME(alone, x, sizeof x);
                model.max_rows = 2;
                CHECK_OK(control_part(&sde, &model, NULL, &data, kind, way, 0, 4, alone));
                CHECK_SAME(alone, x, 4 * 6 * sizeof *x);
            }
        }
        ssde_mixture_destroy(mixture);
    }
}

/* With the ODE, what is known follows m(t) known + std(t) z, one z per sample, from noise to data and back. */
static void test_condition_known_path(void) {
    static const float known[2] = {0.5f, 9.0f}, mask[2] = {1.0f, 0.0f};
    static const double down[4] = {1.0, 0.7, 0.2, 1e-3};
    solver_mixture m = solver_plane();
    int which;
    for (which = 0; which < SOLVER_SDES; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_score_model model;
        ssde_mixture *mixture = solver_mixture_model(&m, &sde, &model);
        ssde_flow_desc how = ssde_flow_defaults();
        ssde_rng rng = ssde_rng_seed(8); /* samplers_follow's */
        float x[8], frames[32], code[8], back[8];
        size_t k, r;
        how.rtol = how.atol = 1e-7;
        how.condition = ssde_inpaint_shared(known, mask);
        how.times = down, how.time_count = 4, how.states = frames;
        CHECK_OK(ssde_sample_ode(&sde, &model, &how, &rng, 4, x, NULL));
        for (k = 0; k < 4; k++) samplers_follow(&sde, k, down[k], frames + 8 * k, 4, 2);
        samplers_follow(&sde, 4, 1e-3, x, 4, 2);
        how.time_count = 0;
        how.seed = 8;
        CHECK_OK(ssde_encode(&sde, &model, &how, 0, 4, x, code, NULL));
        samplers_follow(&sde, 0, 1.0, code, 4, 2);
        CHECK_OK(ssde_decode(&sde, &model, &how, 0, 4, code, back, NULL));
        for (r = 0; r < 8; r++) CHECK_NEAR(back[r], x[r], 1e-4);
        CHECK_ARRAY(code, frames, 8, 1e-4);
        how.denoise = 1;
        CHECK_OK(ssde_decode(&sde, &model, &how, 0, 4, code, back, NULL));
        for (r = 0; r < 4; r++) CHECK(back[2 * r] == 0.5f && back[2 * r + 1] != x[2 * r + 1]);
        ssde_mixture_destroy(mixture);
    }
}

/* ---- condition ---- */

/* Between modes, replacing what is known leaves a choice that fell while noise hid it; resampling mends it: the mean of
   the unknown coordinate, which is off by 0.28 of 0.57, comes to that of the exact conditional as resamplings grow. */
static void test_condition_resampling(void) {
    static const size_t resamplings[3] = {1, 8, 32};
    static const float known[2] = {0.6f, 0.0f}, mask[2] = {1.0f, 0.0f};
    size_t n = check_quick ? 200 : 600, r;
    float *x = (float *)malloc(2 * n * sizeof *x);
    solver_mixture m = solver_cloud();
    double off[3], mean, variance;
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_mixture *mixture = NULL;
    ssde_score_model model;
    int k;
    for (k = 0; k < 6; k++) m.variance[k] = 0.06;
    mixture = solver_mixture_model(&m, &sde, &model);
    solver_conditional(&m, (double)known[0], &mean, &variance);
    for (k = 0; k < 3; k++) {
        ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_ANCESTRAL, 60, 1e-3);
        ssde_rng rng = ssde_rng_seed(12);
        ssde_sample_report report;
        double average = 0.0;
        how.condition = ssde_inpaint_shared(known, mask);
        how.resamplings = resamplings[k];
        how.report = &report;
        CHECK_OK(ssde_sample(&sde, &model, &how, &rng, n, x));
        CHECK(report.evaluations == 60 * resamplings[k] + 1);
        for (r = 0; r < n; r++) average += (double)x[2 * r + 1] / (double)n;
        off[k] = fabs(average - mean);
    }
    /* standard error of each 0.011 (0.02 with --quick); measured with 2,000 samples 0.275, 0.06 and 0.02 */
    if (!(off[0] > 0.2 && off[1] < 0.12 && off[2] < 0.06))
        check_report(__FILE__, __LINE__, "off by %.3f, %.3f and %.3f of %.3f +- %.3f", off[0], off[1], off[2], mean,
                     sqrt(variance));
    check_count++;
    ssde_mixture_destroy(mixture);
    free(x);
}

/* Without a condition, going back and forth leaves the distribution what it is; and no two visits share their draws. */
static void test_condition_resampling_draws(void) {
    solver_mixture m = solver_plane();
    size_t n = check_quick ? 200 : 500;
    float *x = (float *)malloc(2 * n * sizeof *x);
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_score_model model;
    ssde_mixture *mixture = solver_mixture_model(&m, &sde, &model);
    samplers_exact exact;
    ssde_rng rng = ssde_rng_seed(5);
    ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_ANCESTRAL, 100, 1e-3);
    exact = samplers_exact_make(&m, mixture, &sde, 1e-3, n);
    how.resamplings = 3, how.jump = 7, how.skip_denoise = 1;
    how.corrector = SSDE_CORRECTOR_LANGEVIN;
    CHECK_OK(ssde_sample(&sde, &model, &how, &rng, n, x));
    CHECK(samplers_moments(&exact, &m, x) < 5.0);
    CHECK(samplers_energy(&exact, x) < 2.0 * exact.chance);
    free(exact.draws);
    ssde_mixture_destroy(mixture);
    free(x);
    {
        solver_addresses addresses;
        size_t dim = 2, i, j;
        float point[2];
        memset(&model, 0, sizeof model);
        memset(&addresses, 0, sizeof addresses);
        model.dim = dim, model.score = solver_zero_score, model.user = &dim;
        how = samplers_desc(SSDE_PREDICTOR_EULER_MARUYAMA, 3, 1e-3);
        how.resamplings = 2, how.jump = 2, how.skip_denoise = 1;
        how.noise.fill = solver_address, how.noise.user = &addresses;
        CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 1, point));
        { /* zero score and draws of 0.5: the prior, steps of x += -a x h + g sqrt(h) / 2, and back by x(t) = m / m0 x +
             sqrt(std^2 - (m / m0)^2 std0^2) / 2 */
            double expected = 0.5, times[4];
            size_t order[6] = {0, 1, 0, 1, 2, 2}, k;
            CHECK_OK(ssde_time_grid(NULL, SSDE_GRID_UNIFORM, 1e-3, 3, times));
            for (k = 0; k < 6; k++) {
                ssde_coefficients high, low;
                double step = times[order[k]] - times[order[k] + 1];
                CHECK_OK(ssde_coefficients_at(NULL, &sde, times[order[k]], &high));
                expected += -high.drift * expected * step + 0.5 * high.diffusion * sqrt(step);
                if (k != 1 && k != 4) continue;
                CHECK_OK(ssde_coefficients_at(NULL, &sde, times[order[k] + 1], &low));
                CHECK_OK(ssde_coefficients_at(NULL, &sde, times[k == 1 ? 0 : 2], &high));
                expected = high.mean / low.mean * expected +
                           0.5 * sqrt(high.std * high.std - pow(high.mean / low.mean * low.std, 2.0));
            }
            CHECK_RELATIVE(point[0], expected, 1e-5);
        }
        CHECK(addresses.count == 1 + 6 + 2); /* the start, three steps twice, two ways back */
        for (i = 0; i < addresses.count; i++) {
            for (j = 0; j < i; j++)
                CHECK(addresses.stream[i] != addresses.stream[j] || addresses.step[i] != addresses.step[j]);
        }
    }
}

/* ---- condition: failures ---- */

static ssde_status control_nothing(void *user, const float *in, const uint64_t *sample, size_t rows, float *out) {
    (void)user, (void)in, (void)sample, (void)rows, (void)out;
    return SSDE_ERROR_FILE;
}
static ssde_status control_nan(void *user, const float *in, const uint64_t *sample, size_t rows, float *out) {
    size_t r;
    ssdei_try(control_pairs(user, in, sample, rows, out));
    for (r = 0; r < rows; r++) {
        if (sample[r] == 2) out[3 * r] = (float)NAN;
    }
    return SSDE_OK;
}
static ssde_status control_nan_back(void *user, const float *in, const uint64_t *sample, size_t rows, float *out) {
    size_t r;
    ssdei_try(control_unpair(user, in, sample, rows, out));
    for (r = 0; r < rows; r++) {
        if (sample[r] == 2) out[6 * r + 5] = (float)NAN;
    }
    return SSDE_OK;
}

static void test_condition_bad_input(void) {
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_score_model model;
    ssde_mixture *mixture = solver_gaussian_model(6, 0.0, 0.5, &sde, &model);
    ssde_sampler_desc how = ssde_sampler_defaults();
    ssde_flow_desc flow = ssde_flow_defaults();
    ssde_guided *guided = NULL;
    control_data data = control_data_make();
    ssde_rng rng = ssde_rng_seed(1);
    float x[CONTROL_N * 6];
    size_t i;
    how.context = flow.context = &context;
    how.steps = 5;
#define CONTROL_REFUSED(made, status, words)                                                                  \
    do {                                                                                                      \
        how.condition = flow.condition = made;                                                                \
        CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, CONTROL_N, x), status, words);            \
        CHECK_FAILS(&context, ssde_sample_ode(&sde, &model, &flow, &rng, CONTROL_N, x, NULL), status, words); \
    } while (0)
    CONTROL_REFUSED(ssde_inpaint(NULL, data.mask), SSDE_ERROR_ARGUMENT, "known is NULL");
    CONTROL_REFUSED(ssde_colourise(NULL), SSDE_ERROR_ARGUMENT, "grey is NULL");
    CONTROL_REFUSED(ssde_guide(NULL, NULL, 1.0), SSDE_ERROR_ARGUMENT, "guidance is NULL");
    CONTROL_REFUSED(ssde_guide(control_pull, NULL, (double)NAN), SSDE_ERROR_ARGUMENT, "scale");
    CONTROL_REFUSED(ssde_measure(NULL, control_unpair, NULL, data.y, 3, 0.0), SSDE_ERROR_ARGUMENT, "forward is NULL");
    CONTROL_REFUSED(ssde_measure(control_pairs, NULL, NULL, data.y, 3, 0.0), SSDE_ERROR_ARGUMENT, "transpose is NULL");
    CONTROL_REFUSED(ssde_measure(control_pairs, control_unpair, NULL, NULL, 3, 0.0), SSDE_ERROR_ARGUMENT, "y is NULL");
    CONTROL_REFUSED(ssde_measure(control_pairs, control_unpair, NULL, data.y, 0, 0.0), SSDE_ERROR_ARGUMENT,
                    "size is 0");
    CONTROL_REFUSED(ssde_measure(control_pairs, control_unpair, NULL, data.y, 3, -1.0), SSDE_ERROR_ARGUMENT,
                    "noise is -1");
    CONTROL_REFUSED(ssde_measure_dps(control_pairs, control_unpair, NULL, data.y, 3, 0.0), SSDE_ERROR_ARGUMENT,
                    "noise is 0");
    CONTROL_REFUSED(ssde_measure(control_nothing, control_unpair, NULL, data.y, 3, 0.0), SSDE_ERROR_FILE,
                    "forward returned");
    CONTROL_REFUSED(ssde_measure_pigdm(control_pairs, control_nothing, NULL, data.y, 3, 0.1, 1.0), SSDE_ERROR_FILE,
                    "transpose returned");
    data.y[4] = (float)INFINITY;
    CONTROL_REFUSED(ssde_measure(control_pairs, control_unpair, NULL, data.y, 3, 0.0), SSDE_ERROR_NUMERIC, "y[1][1]");
    data.y[4] = 0.0f;
    how.condition.kind = SSDE_CONDITION_COUNT;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, CONTROL_N, x), SSDE_ERROR_ARGUMENT, "kind is 7");
    CONTROL_REFUSED(ssde_measure(control_pairs, control_unpair, NULL, data.y, 3, (double)NAN), SSDE_ERROR_ARGUMENT,
                    "noise is");
    how.condition = ssde_measure(control_pairs, control_unpair, NULL, data.y, 3, 0.0);
    how.condition.noise = 0.1;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, CONTROL_N, x), SSDE_ERROR_ARGUMENT,
                "noise is 0.1 in a condition made without");
    how.condition = ssde_measure_dps(control_pairs, control_unpair, NULL, data.y, 3, 0.1);
    model.vjp = NULL;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, CONTROL_N, x), SSDE_ERROR_UNSUPPORTED, "vjp");
    CONTROL_REFUSED(ssde_measure(control_pairs, control_unpair, NULL, data.y, 3, 0.1), SSDE_ERROR_UNSUPPORTED,
                    "vjp is NULL: wanted one, or, for ssde_measure, condition.data_std");
    model = ssde_mixture_model(mixture, &sde);
    model.dim = 5; /* only looked at */
    how.condition = ssde_colourise(data.grey);
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, CONTROL_N, x), SSDE_ERROR_SHAPE, "three channels");
    model.dim = 6;
    memset(&how.condition, 0, sizeof how.condition);
    how.resamplings = 3;
    how.predictor = SSDE_PREDICTOR_DPM_SOLVER_2M;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, CONTROL_N, x), SSDE_ERROR_UNSUPPORTED, "resamplings");
    how.predictor = SSDE_PREDICTOR_ANCESTRAL, how.grid = SSDE_GRID_REFERENCE;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, CONTROL_N, x), SSDE_ERROR_UNSUPPORTED, "by index");
    how.grid = SSDE_GRID_DEFAULT, how.resamplings = (size_t)1 << 31;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, CONTROL_N, x), SSDE_ERROR_ARGUMENT, "resamplings");
    how.resamplings = 0;
    how.condition = ssde_inpaint(data.known, data.mask);
    CHECK_FAILS(&context, ssde_guided_create(&context, &guided, &sde, &model, &how.condition, 0, CONTROL_N),
                SSDE_ERROR_ARGUMENT, "no term");
    CHECK(!guided);
    { /* One sample's measurement that is not a number, either way, ends that sample only. */
        int kind, flow_too;
        for (kind = 0; kind < 10; kind++) {
            ssde_linear_function forward = kind < 5 ? control_nan : control_pairs;
            ssde_linear_function transpose = kind < 5 ? control_unpair : control_nan_back;
            how.condition = kind % 5 < 3    ? ssde_measure(forward, transpose, NULL, data.y, 3, kind % 5 ? 0.2 : 0.0)
                            : kind % 5 == 3 ? ssde_measure_pigdm(forward, transpose, NULL, data.y, 3, 0.2, 0.5)
                                            : ssde_measure_dps(forward, transpose, NULL, data.y, 3, 0.5);
            if (kind % 5 == 1) how.condition.data_std = 0.5;
            flow.condition = how.condition;
            for (flow_too = 0; flow_too < 2; flow_too++) {
                rng = ssde_rng_seed(1);
                if (flow_too)
                    CHECK_FAILS(&context, ssde_sample_ode(&sde, &model, &flow, &rng, CONTROL_N, x, NULL),
                                SSDE_ERROR_NUMERIC, "sample 2");
                else
                    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, CONTROL_N, x), SSDE_ERROR_NUMERIC,
                                "sample 2");
                for (i = 0; i < CONTROL_N * 6; i++) CHECK(i / 6 == 2 ? x[i] != x[i] : fabs((double)x[i]) < 10.0);
            }
        }
    }
#undef CONTROL_REFUSED
    ssde_mixture_destroy(mixture);
}

/* Every allocation refused in turn: a status, and nothing left behind. */
static void test_condition_memory(void) {
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_score_model model;
    ssde_mixture *mixture = solver_gaussian_model(6, 0.0, 0.5, &sde, &model);
    control_data data = control_data_make();
    float x[CONTROL_N * 6];
    int kind, way;
    for (kind = 0; kind < CONTROL_KINDS; kind++) {
        for (way = 1; way <= SAMPLERS_WAYS; way += SAMPLERS_WAYS - 1) {
            int refuse;
            for (refuse = 0; refuse < 2; refuse++) { /* the run and its conditions are one block */
                counted_memory memory;
                ssde_context context = counted_context(&memory);
                ssde_status status = refuse ? SSDE_OK : SSDE_ERROR_MEMORY;
                memory.refuse = refuse;
                CHECK_STATUS(control_part(&sde, &model, &context, &data, kind, way, 0, CONTROL_N, x), status);
                CHECK(memory.made == 1 && memory.live == 0);
                CHECK(status == SSDE_OK || strstr(context.error, "allocate"));
            }
        }
    }
    ssde_mixture_destroy(mixture);
}

/* ---- guidance: every solver under a condition whose outcome is known exactly ---- */

/* Every way under `condition` draws from `target` at eps; under `wrong`, it does not. */
static void control_expect(const char *name, int which, const ssde_score_model *model, const solver_mixture *target,
                           const ssde_condition *condition, const ssde_condition *wrong) {
    size_t n = check_quick ? 200 : 300;
    ssde_sde sde = solver_sde(which);
    ssde_mixture *exactly = NULL;
    samplers_exact exact;
    float *x = (float *)malloc(2 * n * sizeof *x);
    int way, bad;
    CHECK_OK(solver_mixture_create(target, NULL, &exactly));
    exact = samplers_exact_make(target, exactly, &sde, 1e-3, n);
    sde.num_scales = check_quick ? 100 : 250;
    for (way = 0; way <= SAMPLERS_WAYS; way++) {
        if (control_skips(way, which)) continue;
        /* DDPM's chain ends at t = 0, where what is known has no noise left */
        if (target->variance[0] == 0.0 && way < SAMPLERS_WAYS && samplers_ways[way].predictor == SSDE_PREDICTOR_DDPM)
            continue;
        for (bad = 0; bad < 2; bad++) {
            double moments, energy;
            CHECK_OK(control_run(&sde, model, bad ? wrong : condition, way, 31 + (uint64_t)way, n, x));
            moments = samplers_moments(&exact, target, x);
            energy = samplers_energy(&exact, x) / exact.chance;
            /* thresholds as in test_sampler_statistics */
            if (bad ? !(moments > 6.0 && energy > 2.5) : !(moments < 5.0 && energy < 2.0))
                check_report(__FILE__, __LINE__, "%s, %s, way %d, %s: %.2f deviations, energy %.2f", name,
                             solver_sde_names[which], way, bad ? "wrong" : "right", moments, energy);
        }
    }
    free(exact.draws);
    free(x);
    ssde_mixture_destroy(exactly);
}

/* Guided by the exact classifier, samples are the component's; without it, not. */
static void test_guidance_classifier(void) {
    solver_mixture m = solver_plane(), one = control_component(&m, 2);
    int which;
    for (which = 0; which < SOLVER_SDES; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_mixture *mixture = NULL, *component = NULL;
        ssde_score_model model;
        control_classifier classifier;
        ssde_condition guided, without;
        CHECK_OK(solver_mixture_create(&m, NULL, &mixture));
        CHECK_OK(solver_mixture_create(&one, NULL, &component));
        model = ssde_mixture_model(mixture, &sde);
        classifier.all = model, classifier.component = ssde_mixture_model(component, &sde), classifier.weight = 1.0;
        guided = ssde_guide(control_classify, &classifier, 1.0);
        without = ssde_guide(control_classify, &classifier, 0.0);
        control_expect("classifier", which, &model, &one, &guided, &without);
        ssde_mixture_destroy(component);
        ssde_mixture_destroy(mixture);
    }
}

/* A class and a known coordinate: within the component the coordinates are independent, so that the other one keeps
   the component's distribution whatever is known, exactly. The known one follows m(t) known + std(t) z. */
static void test_guidance_class_and_mask(void) {
    static const float known[2] = {-0.3f, 9.0f}, mask[2] = {1.0f, 0.0f};
    solver_mixture m = solver_plane(), one = control_component(&m, 0), target = one;
    int which;
    target.mean[0] = (double)known[0], target.variance[0] = 0.0;
    for (which = 0; which < SOLVER_SDES; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_mixture *mixture = NULL, *component = NULL;
        ssde_score_model model;
        control_classifier classifier;
        ssde_condition both, inpaint = ssde_inpaint_shared(known, mask), without;
        CHECK_OK(solver_mixture_create(&m, NULL, &mixture));
        CHECK_OK(solver_mixture_create(&one, NULL, &component));
        model = ssde_mixture_model(mixture, &sde);
        classifier.all = model, classifier.component = ssde_mixture_model(component, &sde), classifier.weight = 1.0;
        both = ssde_guide(control_classify, &classifier, 1.0);
        without = both, without.scale = 0.0;
        both.next = without.next = &inpaint;
        control_expect("class and mask", which, &model, &target, &both, &without);
        ssde_mixture_destroy(component);
        ssde_mixture_destroy(mixture);
    }
}

/* ---- guidance: models made of others ---- */

static ssde_status control_count_score(void *user, const float *x, const double *t, const uint64_t *sample, size_t rows,
                                       int differentiate, float *out) {
    return solver_model_score(user, x, t, sample, rows, differentiate, out);
}

/* A model that tells what is denoised, by Tweedie's formula of its last score, and a variance, its x. */
typedef struct control_teller {
    ssde_score_model inner;
    ssde_sde sde;
    float x[16], score[16];
    double t[8];
    double variance;
} control_teller;

static ssde_status control_teller_score(void *user, const float *x, const double *t, const uint64_t *sample,
                                        size_t rows, int differentiate, float *out) {
    control_teller *teller = (control_teller *)user;
    ssde_status status = teller->inner.score(teller->inner.user, x, t, sample, rows, differentiate, out);
    memcpy(teller->x, x, rows * 2 * sizeof *x);
    memcpy(teller->score, out, rows * 2 * sizeof *out);
    memcpy(teller->t, t, rows * sizeof *t);
    return status;
}
static ssde_status control_teller_vjp(void *user, const float *v, size_t rows, float *out) {
    control_teller *teller = (control_teller *)user;
    return teller->inner.vjp(teller->inner.user, v, rows, out);
}
static void control_tweedie(const ssde_sde *sde, const float *x, const double *t, const float *score, size_t rows,
                            float *out) {
    size_t i;
    for (i = 0; i < 2 * rows; i++) {
        ssde_coefficients at;
        CHECK_OK(ssde_coefficients_at(NULL, sde, t[i / 2], &at));
        out[i] = (float)(((double)x[i] + at.std * at.std * (double)score[i]) / at.mean);
    }
}
static ssde_status control_teller_denoised(void *user, size_t rows, float *out) {
    control_teller *teller = (control_teller *)user;
    control_tweedie(&teller->sde, teller->x, teller->t, teller->score, rows, out);
    return SSDE_OK;
}
static ssde_status control_teller_variance(void *user, size_t rows, float *out) {
    control_teller *teller = (control_teller *)user;
    size_t i;
    for (i = 0; i < 2 * rows; i++) out[i] = (float)teller->variance;
    return SSDE_OK;
}
static ssde_score_model control_tell(control_teller *teller, ssde_score_model inner, const ssde_sde *sde,
                                     double variance) {
    ssde_score_model model = inner;
    teller->inner = inner;
    teller->sde = *sde;
    teller->variance = variance;
    model.score = control_teller_score;
    model.vjp = control_teller_vjp;
    model.denoised = control_teller_denoised;
    model.variance = control_teller_variance;
    model.user = teller;
    return model;
}

/* What a made model tells is Tweedie's formula of its own score, and the variance that of the one it follows. */
static void control_told(const ssde_score_model *model, const ssde_sde *sde, double variance) {
    enum { ROWS = 4 };
    static const double t[ROWS] = {0.001, 0.02, 0.3, 0.95}; /* VE has no noise so little as the first */
    static const uint64_t sample[ROWS] = {0, 1, 2, 3};
    float x[2 * ROWS], score[2 * ROWS], out[2 * ROWS], expected[2 * ROWS];
    size_t i;
    CHECK(model->denoised && model->variance);
    if (!model->denoised || !model->variance) return;
    CHECK_OK(ssde_random_normal(NULL, 3, SSDE_STREAM_USER, 0, NULL, ROWS, 2, x));
    CHECK_OK(model->score(model->user, x, t, sample, ROWS, 1, score));
    CHECK_OK(model->denoised(model->user, ROWS, out));
    control_tweedie(sde, x, t, score, ROWS, expected);
    for (i = 0; i < 2 * ROWS; i++) {
        ssde_coefficients at;
        CHECK_OK(ssde_coefficients_at(NULL, sde, t[i / 2], &at));
        CHECK_NEAR(out[i], expected[i], 1e-6 * (fabs((double)x[i]) + 3.0 + at.std) / at.mean);
    }
    CHECK_OK(model->variance(model->user, ROWS, out));
    for (i = 0; i < 2 * ROWS; i++) CHECK_NEAR(out[i], variance, 1e-7);
}

static void test_guidance_denoised(void) {
    solver_mixture m = solver_plane(), one = control_component(&m, 1);
    ssde_sde other = ssde_rectified_flow();
    int which, told;
    for (which = 0; which < SOLVER_SDES; which++)
        for (told = 0; told < 2; told++) {
            ssde_sde sde = solver_sde(which);
            ssde_mixture *mixture = NULL, *component = NULL;
            control_teller tellers[2];
            control_classifier classifier;
            ssde_condition guide, ease;
            ssde_guided *guided = NULL;
            ssde_cfg *cfg = NULL;
            ssde_converted *converted = NULL;
            ssde_cfg_desc desc = ssde_cfg_defaults();
            ssde_score_model models[2], made[3];
            CHECK_OK(solver_mixture_create(&m, NULL, &mixture));
            CHECK_OK(solver_mixture_create(&one, NULL, &component));
            models[0] = ssde_mixture_model(mixture, &sde);
            models[1] = ssde_mixture_model(component, &sde);
            classifier.all = models[0], classifier.component = models[1], classifier.weight = 1.0;
            guide = ssde_guide(control_classify, &classifier, 0.5);
            ease = ssde_guide(control_classify, &classifier, 0.25);
            guide.next = &ease;
            if (told) {
                models[0] = control_tell(&tellers[0], models[0], &sde, 0.25);
                models[1] = control_tell(&tellers[1], models[1], &sde, 0.75);
            }
            desc.conditional = models[1];
            desc.unconditional = models[0];
            desc.weight = 1.5;
            CHECK_OK(ssde_guided_create(NULL, &guided, &sde, &models[0], &guide, 0, 4));
            CHECK_OK(ssde_cfg_create(&cfg, &sde, &desc));
            CHECK_OK(ssde_converted_create(NULL, &converted, &sde, &models[0], &other));
            made[0] = ssde_guided_model(guided);
            made[1] = ssde_cfg_model(cfg);
            made[2] = ssde_converted_model(converted);
            if (told) {
                control_told(&made[0], &sde, 0.25);
                control_told(&made[1], &sde, 0.75);
                control_told(&made[2], &other, 0.25);
            } else
                CHECK(!made[0].denoised && !made[1].variance && !made[2].denoised);
            ssde_cfg_destroy(cfg);
            desc.unconditional.user = desc.conditional.user; /* one object: its last score is one of the two */
            CHECK_OK(ssde_cfg_create(&cfg, &sde, &desc));
            made[1] = ssde_cfg_model(cfg);
            CHECK(!made[1].denoised && !made[1].variance);
            ssde_converted_destroy(converted);
            ssde_cfg_destroy(cfg);
            ssde_guided_destroy(guided);
            ssde_mixture_destroy(component);
            ssde_mixture_destroy(mixture);
        }
}

static void test_guidance_cfg(void) {
    enum { ROWS = 5 };
    solver_mixture m = solver_plane(), one = control_component(&m, 1);
    double t[ROWS] = {0.05, 0.05, 0.3, 0.9, 0.9}, late[2] = {0.5, 1.5};
    uint64_t sample[ROWS] = {0, 1, 2, 3, 4};
    float x[2 * ROWS], out[2 * ROWS], c[2 * ROWS], u[2 * ROWS], v[2 * ROWS], product[2 * ROWS], a[2 * ROWS],
        b[2 * ROWS];
    int which;
    size_t i;
    CHECK_OK(ssde_random_normal(NULL, 3, SSDE_STREAM_USER, 0, NULL, ROWS, 2, x));
    CHECK_OK(ssde_random_normal(NULL, 4, SSDE_STREAM_USER, 0, NULL, ROWS, 2, v));
    for (which = 0; which < SOLVER_SDES; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_context context = ssde_context_defaults();
        ssde_mixture *mixture = NULL, *component = NULL;
        solver_model wrapper;
        ssde_cfg *made = NULL;
        ssde_cfg_desc desc = ssde_cfg_defaults();
        ssde_score_model model;
        ssde_coefficients at;
        CHECK_OK(solver_mixture_create(&m, NULL, &mixture));
        CHECK_OK(solver_mixture_create(&one, NULL, &component));
        desc.conditional = ssde_mixture_model(component, &sde);
        desc.unconditional = solver_wrap(&wrapper, ssde_mixture_model(mixture, &sde));
        desc.unconditional.score = control_count_score;
        desc.unconditional.max_rows = ROWS;
        desc.weight = 1.5;
        desc.context = &context;
        CHECK_OK(ssde_cfg_create(&made, &sde, &desc));
        model = ssde_cfg_model(made);
        CHECK(model.dim == 2 && model.max_rows == ROWS && model.vjp);
        CHECK_OK(model.score(model.user, x, t, sample, ROWS, 1, out));
        CHECK_OK(model.vjp(model.user, v, ROWS, product));
        CHECK_OK(desc.conditional.score(desc.conditional.user, x, t, sample, ROWS, 1, c));
        CHECK_OK(wrapper.inner.score(wrapper.inner.user, x, t, sample, ROWS, 1, u));
        CHECK_OK(desc.conditional.vjp(desc.conditional.user, v, ROWS, a));
        CHECK_OK(wrapper.inner.vjp(wrapper.inner.user, v, ROWS, b));
        for (i = 0; i < 2 * ROWS; i++) {
            CHECK_NEAR(out[i], 2.5 * (double)c[i] - 1.5 * (double)u[i], 1e-6 * (10.0 + fabs((double)c[i])));
            CHECK_NEAR(product[i], 2.5 * (double)a[i] - 1.5 * (double)b[i], 1e-6 * (10.0 + fabs((double)a[i])));
        }
        CHECK_STATUS(model.vjp(model.user, v, ROWS - 1, product), SSDE_ERROR_ARGUMENT);
        CHECK_FAILS(&context, model.score(model.user, x, t, sample, ROWS + 1, 0, out), SSDE_ERROR_ARGUMENT,
                    "rows is 6, wanted up to 5");
        ssde_cfg_destroy(made);
        /* Within an interval of noise alone: other rows are the conditional's, bit for bit, and where there are only
           such rows the other model is not asked. */
        CHECK_OK(ssde_coefficients_at(NULL, &sde, 0.3, &at));
        desc.low = 0.9 * at.std / at.mean, desc.high = 1.1 * at.std / at.mean;
        CHECK_OK(ssde_cfg_create(&made, &sde, &desc));
        model = ssde_cfg_model(made);
        CHECK_OK(model.score(model.user, x, t, sample, ROWS, 1, out));
        CHECK_OK(model.vjp(model.user, v, ROWS, product));
        for (i = 0; i < 2 * ROWS; i++) {
            if (i / 2 == 2)
                CHECK_NEAR(out[i], 2.5 * (double)c[i] - 1.5 * (double)u[i], 1e-6 * (10.0 + fabs((double)c[i])));
            else
                CHECK(out[i] == c[i] && product[i] == a[i]);
        }
        wrapper.calls = 0;
        CHECK_OK(model.score(model.user, x, t, sample, 2, 0, out));
        CHECK(wrapper.calls == 0);
        CHECK_FAILS(&context, model.score(model.user, x, late, sample, 2, 0, out), SSDE_ERROR_ARGUMENT, "t[1] is 1.5");
        ssde_cfg_destroy(made);
        { /* weight -1 is the unconditional model, whose likelihood it has */
            ssde_likelihood_desc price = ssde_likelihood_defaults();
            ssde_likelihood_result mine[ROWS], expected[ROWS];
            ssde_rng rng = ssde_rng_seed(1);
            desc.low = desc.high = 0.0, desc.weight = -1.0;
            price.trace = SSDE_TRACE_EXACT;
            CHECK_OK(ssde_cfg_create(&made, &sde, &desc));
            model = ssde_cfg_model(made);
            CHECK_OK(ssde_likelihood(&sde, &model, &price, &rng, ROWS, x, mine));
            CHECK_OK(ssde_likelihood(&sde, &wrapper.inner, &price, &rng, ROWS, x, expected));
            for (i = 0; i < ROWS; i++)
                CHECK_NEAR(mine[i].log_density, expected[i].log_density, 1e-2); /* of floats that nearly cancel */
            ssde_cfg_destroy(made);
        }
        desc.low = 2.0, desc.high = 1.0;
        CHECK_FAILS(&context, ssde_cfg_create(&made, &sde, &desc), SSDE_ERROR_ARGUMENT, "low 2");
        desc.low = desc.high = 0.0, desc.unconditional.dim = 3;
        CHECK_FAILS(&context, ssde_cfg_create(&made, &sde, &desc), SSDE_ERROR_SHAPE, "dim is 2");
        desc.unconditional.score = NULL;
        CHECK_FAILS(&context, ssde_cfg_create(&made, &sde, &desc), SSDE_ERROR_ARGUMENT, "unconditional");
        CHECK(!made);
        made = (ssde_cfg *)&desc; /* what is refused leaves NULL */
        CHECK_STATUS(ssde_cfg_create(&made, &sde, NULL), SSDE_ERROR_ARGUMENT);
        CHECK(!made);
        ssde_mixture_destroy(component);
        ssde_mixture_destroy(mixture);
    }
}

/* ---- guidance: a model of one SDE as one of another ---- */

/* A converted model's score and vjp against the exact score of `to`, in double, and those of its own mixture: where
   both SDEs have the noise to what floats leave, beyond what the model knows to the bounds of the header. */
static void control_convert_values(const solver_mixture *m, int from, int to) {
    enum { TIMES = 9, ROWS = 3 * TIMES };
    static const double times[TIMES] = {1e-4, 1e-3, 0.02, 0.1, 0.4, 0.8, 0.97, 0.9999, 1.0};
    ssde_sde a = solver_sde(from), b = solver_sde(to);
    ssde_score_model own, target, model;
    ssde_mixture *first = solver_mixture_model(m, &a, &own), *second = solver_mixture_model(m, &b, &target);
    ssde_converted *converted = NULL;
    double t[ROWS], start, scale, least = solver_marginal(&a, 0.0).std, most;
    uint64_t sample[ROWS];
    float x[2 * ROWS], z[2 * ROWS], v[2 * ROWS], score[2 * ROWS], single[2], product[2 * ROWS], wanted[2 * ROWS];
    size_t i;
    CHECK_OK(ssde_prior_time(NULL, &a, &start, &scale));
    most = solver_marginal(&a, start).std / solver_marginal(&a, start).mean;
    CHECK_OK(ssde_converted_create(NULL, &converted, &a, &own, &b));
    model = ssde_converted_model(converted);
    CHECK(model.dim == 2 && model.max_rows > 0 && model.vjp);
    CHECK_OK(ssde_random_normal(NULL, 5, SSDE_STREAM_USER, 0, NULL, ROWS, 2, z));
    CHECK_OK(ssde_random_normal(NULL, 6, SSDE_STREAM_USER, 0, NULL, ROWS, 2, v));
    for (i = 0; i < ROWS; i++) {
        ssde_coefficients c = solver_marginal(&b, times[i / 3]);
        t[i] = times[i / 3], sample[i] = i;
        x[2 * i] = (float)(c.mean * 0.3 + c.std * (double)z[2 * i]);
        x[2 * i + 1] = (float)(c.mean * -0.2 + c.std * (double)z[2 * i + 1]);
    }
    CHECK_OK(model.score(model.user, x, t, sample, ROWS, 1, score));
    CHECK_OK(model.vjp(model.user, v, ROWS, product));
    CHECK_OK(target.score(target.user, x, t, sample, ROWS, 1, wanted));
    CHECK_OK(target.vjp(target.user, v, ROWS, wanted));
    for (i = 0; i < 2 * ROWS; i++) {
        ssde_coefficients c = solver_marginal(&b, t[i / 2]);
        double s = c.std / c.mean, point[2], exact[2], density, laplacian, off, size;
        point[0] = (double)x[i / 2 * 2], point[1] = (double)x[i / 2 * 2 + 1];
        solver_density(m, &c, point, &density, exact, &laplacian);
        size = fabs(exact[0]) + fabs(exact[1]);
        off = s > most ? 5.0 / (s * most) : s < least ? least * least / 0.03 : 0.0; /* variances: 0.03 to 1.3 */
        CHECK_NEAR(score[i], exact[i % 2], (off + 3e-5) * size + 3e-5 / c.std * (s > 1.0) + 1e-4 * (s <= 1.0));
        size = fabs((double)wanted[i / 2 * 2]) + fabs((double)wanted[i / 2 * 2 + 1]);
        CHECK_NEAR(product[i], wanted[i], (4.0 * off + 2e-4) * size + 1e-3 * fmin(1.0, 1.0 / (c.std * c.std)));
        if (i % 2) continue; /* a row alone has the same bits */
        CHECK_OK(model.score(model.user, x + i, t + i / 2, sample, 1, 0, single));
        CHECK_SAME(single, score + i, sizeof single);
    }
    ssde_converted_destroy(converted);
    ssde_mixture_destroy(first);
    ssde_mixture_destroy(second);
}

static unsigned long control_means;
static double control_counted_mean(void *user, double t) { return (void)user, control_means++, 1.0 - 0.5 * t; }
static double control_counted_std(void *user, double t) { return (void)user, 2.0 * t; }
static double control_counted_drift(void *user, double t) { return (void)user, -0.5 / (1.0 - 0.5 * t); }
static double control_counted_diffusion(void *user, double t) {
    return sqrt(8.0 * t - 8.0 * t * t * control_counted_drift(user, t));
}

static void test_guidance_converted(void) {
    solver_mixture m = solver_plane();
    ssde_context context = ssde_context_defaults();
    ssde_sde vp = ssde_vp(0.1, 20.0), wide = ssde_ve(200.0, 300.0), narrow = ssde_ve(0.01, 1.0), user;
    ssde_score_model own, model;
    ssde_mixture *mixture = solver_mixture_model(&m, &vp, &own);
    ssde_converted *converted = NULL;
    double t[4] = {0.5, 0.5, 0.3, 0.3}, late = 1.5;
    uint64_t sample[4] = {0, 1, 2, 3};
    float x[8] = {0.0f}, out[8];
    int from, to;
    for (from = 0; from < SOLVER_SDES; from++) {
        for (to = 0; to < SOLVER_SDES; to++) control_convert_values(&m, from, to);
    }
    user = ssde_affine(control_counted_drift, control_counted_diffusion, NULL);
    user.mean = control_counted_mean, user.std = control_counted_std;
    own.max_rows = 4;
    CHECK_OK(ssde_converted_create(&context, &converted, &vp, &own, &user));
    model = ssde_converted_model(converted);
    CHECK(model.max_rows == 4);
    control_means = 0;
    CHECK_OK(model.score(model.user, x, t, sample, 4, 0, out));
    CHECK(control_means == 2); /* once for each run of equal t */
    CHECK_FAILS(&context, model.score(model.user, x, t, sample, 5, 0, out), SSDE_ERROR_ARGUMENT, "rows is 5");
    CHECK_FAILS(&context, model.score(model.user, x, &late, sample, 1, 0, out), SSDE_ERROR_ARGUMENT, "t is 1.5");
    CHECK_FAILS(&context, model.vjp(model.user, x, 4, out), SSDE_ERROR_ARGUMENT, "wanted 0");
    ssde_converted_destroy(converted);
    CHECK_FAILS(&context, ssde_converted_create(&context, &converted, &wide, &own, &narrow), SSDE_ERROR_ARGUMENT,
                "to has std / m from 0.01 to 1 and from 200 to 300");
    CHECK(!converted);
    own.vjp = NULL;
    CHECK_OK(ssde_converted_create(&context, &converted, &vp, &own, &user));
    CHECK(!ssde_converted_model(converted).vjp);
    ssde_converted_destroy(converted);
    CHECK(!ssde_converted_model(NULL).score);
    ssde_mixture_destroy(mixture);
}

/* At the same levels of s the steps are the same steps, in y, whatever the SDE, and the samples as well. */
static void control_convert_levels(const solver_mixture *m) {
    enum { STEPS = 40, N = 16 };
    float first[2 * N], x[2 * N], z[2 * N];
    int from, to;
    size_t i;
    CHECK_OK(ssde_random_normal(NULL, 3, SSDE_STREAM_USER, 0, NULL, N, 2, z));
    for (from = 0; from < SOLVER_SDES; from++) {
        for (to = 0; to < SOLVER_SDES; to++) {
            ssde_sde a = solver_sde(from), b = solver_sde(to);
            ssde_score_model own, model;
            ssde_mixture *mixture = solver_mixture_model(m, &a, &own);
            ssde_converted *converted = NULL;
            ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_DPM_SOLVER_3M, STEPS, 0.0);
            ssde_rng rng = ssde_rng_seed(1);
            double times[STEPS + 1];
            for (i = 0; i <= STEPS; i++)
                CHECK_OK(ssde_noise_time(NULL, &b, 40.0 * pow(0.02 / 40.0, (double)i / (double)STEPS), &times[i]));
            for (i = 0; i < 2 * N; i++) x[i] = (float)(solver_marginal(&b, times[0]).std * (double)z[i]);
            how.times = times, how.given_start = 1;
            CHECK_OK(ssde_converted_create(NULL, &converted, &a, &own, &b));
            model = ssde_converted_model(converted);
            CHECK_OK(ssde_sample(&b, &model, &how, &rng, N, x));
            if (!from && !to) memcpy(first, x, sizeof x);
            for (i = 0; i < 2 * N; i++) CHECK_NEAR(x[i], first[i], 1e-4);
            ssde_converted_destroy(converted);
            ssde_mixture_destroy(mixture);
        }
    }
}

/* Under `to`, a model of `from` decodes the same latents to the same samples as a model of its own, and prices them
   alike; off by what `from` does not know: of VE, whose noise ends at 50, 1.3 / 50^2 of z where the flow begins. */
static void control_convert_flows(const solver_mixture *m, int from, int to) {
    enum { N = 6 };
    ssde_sde a = solver_sde(from), b = solver_sde(to);
    ssde_score_model own, target, model;
    ssde_mixture *first = solver_mixture_model(m, &a, &own), *second = solver_mixture_model(m, &b, &target);
    ssde_converted *converted = NULL;
    ssde_flow_desc flow = ssde_flow_defaults();
    ssde_likelihood_desc price = ssde_likelihood_defaults();
    ssde_likelihood_result mine[N], expected[N];
    ssde_rng rng = ssde_rng_seed(2), again = ssde_rng_seed(2);
    float latent[2 * N], x[2 * N], y[2 * N];
    double bound = from == 0 && to ? 3e-3 : 1e-4;
    size_t i;
    CHECK_OK(ssde_converted_create(NULL, &converted, &a, &own, &b));
    model = ssde_converted_model(converted);
    flow.rtol = flow.atol = price.rtol = price.atol = 1e-6;
    flow.eps = price.eps = 0.05; /* where s is above VE's 0.01 */
    price.trace = SSDE_TRACE_EXACT;
    CHECK_OK(ssde_prior_sample(NULL, &b, 3, NULL, N, 2, latent));
    CHECK_OK(ssde_decode(&b, &model, &flow, 0, N, latent, x, NULL));
    CHECK_OK(ssde_decode(&b, &target, &flow, 0, N, latent, y, NULL));
    for (i = 0; i < 2 * N; i++) CHECK_NEAR(x[i], y[i], bound);
    CHECK_OK(ssde_likelihood(&b, &model, &price, &rng, N, y, mine));
    CHECK_OK(ssde_likelihood(&b, &target, &price, &again, N, y, expected));
    for (i = 0; i < N; i++) {
        CHECK(!mine[i].approximate);
        CHECK_NEAR(mine[i].log_density, expected[i].log_density, bound);
    }
    ssde_converted_destroy(converted);
    ssde_mixture_destroy(first);
    ssde_mixture_destroy(second);
}

/* The reverse SDE of `to` has the data's law. */
static void control_convert_law(const solver_mixture *m, int from, int to, ssde_predictor predictor) {
    size_t n = check_quick ? 200 : 500;
    ssde_sde a = solver_sde(from), b = solver_sde(to);
    ssde_score_model own, model;
    ssde_mixture *mixture = solver_mixture_model(m, &a, &own);
    ssde_converted *converted = NULL;
    samplers_exact exact = samplers_exact_make(m, mixture, &b, 1e-3, n);
    ssde_sampler_desc how = samplers_desc(predictor, 250, 1e-3);
    ssde_rng rng = ssde_rng_seed(17);
    float *x = (float *)malloc(2 * n * sizeof *x);
    double moments, energy;
    how.skip_denoise = 1;
    own = ssde_mixture_model(mixture, &a);
    CHECK_OK(ssde_converted_create(NULL, &converted, &a, &own, &b));
    model = ssde_converted_model(converted);
    CHECK_OK(ssde_sample(&b, &model, &how, &rng, n, x));
    moments = samplers_moments(&exact, m, x);
    energy = samplers_energy(&exact, x) / exact.chance;
    if (!(moments < 5.0 && energy < 2.0))
        check_report(__FILE__, __LINE__, "%s to %s, %s: %.2f deviations, energy %.2f", solver_sde_names[from],
                     solver_sde_names[to], ssde_predictor_name(predictor), moments, energy);
    free(x);
    free(exact.draws);
    ssde_converted_destroy(converted);
    ssde_mixture_destroy(mixture);
}

static void test_guidance_converted_samples(void) {
    solver_mixture m = solver_plane();
    int from, to;
    control_convert_levels(&m);
    for (from = 0; from < SOLVER_SDES; from++) {
        for (to = 0; to < SOLVER_SDES; to++) {
            control_convert_flows(&m, from, to);
            if (from == to || (check_quick && (from + to) % 2)) continue;
            control_convert_law(&m, from, to, SSDE_PREDICTOR_ANCESTRAL);
            control_convert_law(&m, from, to, SSDE_PREDICTOR_DPM_SOLVER_2M_SDE);
        }
    }
}

#define TEST_SOLVERS_CONDITION_LIST(X)  \
    X(condition_inpainting_conditional) \
    X(condition_inpainting_addresses)   \
    X(condition_inpainting_values)      \
    X(condition_measurements)           \
    X(condition_noisy_steps)            \
    X(condition_noisy_shapes)           \
    X(condition_noisy_values)           \
    X(condition_noisy_derivative)       \
    X(condition_projected_shapes)       \
    X(condition_transposes)             \
    X(condition_dps)                    \
    X(condition_colourise)              \
    X(condition_identity)               \
    X(condition_known_path)             \
    X(condition_resampling)             \
    X(condition_resampling_draws)       \
    X(condition_bad_input)              \
    X(condition_memory)                 \
    X(guidance_classifier)              \
    X(guidance_class_and_mask)          \
    X(guidance_cfg)                     \
    X(guidance_denoised)                \
    X(guidance_converted)               \
    X(guidance_converted_samples)

#endif
