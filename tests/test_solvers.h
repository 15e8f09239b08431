/* Tests of scoresde_solvers.h. */
#ifndef TEST_SOLVERS_H
#define TEST_SOLVERS_H

#include "check.h"
#include "golden.h"
#include "threads.h"

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
    return which == 0 ? ssde_ve(0.01, 50.0) : which == 1 ? ssde_vp(0.1, 20.0) : ssde_subvp(0.1, 20.0);
}
static const char *const solver_sde_names[3] = {"ve", "vp", "subvp"};

static double solver_golden_number(const golden_file *golden, const char *sde, const char *name) {
    char full[64];
    double value;
    snprintf(full, sizeof full, "%s/%s", sde, name);
    golden_doubles(golden, full, &value, 1);
    return value;
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

/* ---- grids and names ---- */

static void test_solver_grid(void) {
    ssde_context context;
    double times[1001], one[2];
    size_t k;
    ssde_predictor predictor;
    ssde_corrector corrector;
    int i;
    memset(&context, 0, sizeof context);
    CHECK_OK(ssde_time_grid(NULL, SSDE_GRID_UNIFORM, 1e-3, 1000, times));
    CHECK(times[0] == 1.0 && times[1000] == 1e-3);
    for (k = 0; k < 1000; k++) CHECK_NEAR(times[k] - times[k + 1], 0.999e-3, 1e-15);
    CHECK_OK(ssde_time_grid(NULL, SSDE_GRID_REFERENCE, 1e-3, 12, times));
    for (k = 0; k < 12; k++) CHECK_NEAR(times[k], 1.0 - 0.999 * (double)k / 11.0, 1e-15);
    CHECK(times[12] == 1e-3);
    CHECK_OK(ssde_time_grid(NULL, SSDE_GRID_REFERENCE, 1e-3, 1, one));
    CHECK(one[0] == 1.0 && one[1] == 1e-3);
    CHECK_FAILS(&context, ssde_time_grid(&context, SSDE_GRID_UNIFORM, 0.0, 12, times), SSDE_ERROR_ARGUMENT, "eps");
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

/* ---- the reference's single updates and a run of twelve steps ---- */

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

static void test_solver_golden_updates(void) {
    golden_file *golden = golden_open(GOLDEN_SOLVERS);
    int which;
    if (!golden) return;
    for (which = 0; which < 3; which++) {
        ssde_sampler_desc how;
        memset(&how, 0, sizeof how);
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

static void test_solver_golden_run(void) {
    golden_file *golden = golden_open(GOLDEN_SOLVERS);
    solver_mixture m;
    ssde_context context;
    int which, skip;
    if (!golden) return;
    m = solver_golden_mixture(golden);
    memset(&context, 0, sizeof context);
    for (which = 0; which < 3; which++) {
        for (skip = 0; skip < 2; skip++) {
            ssde_sde sde = solver_sde(which);
            ssde_mixture *mixture = NULL;
            ssde_score_model model;
            ssde_sampler_desc how;
            ssde_rng rng = ssde_rng_seed(1);
            solver_draws draws;
            ssde_sample_report report;
            float x[20], expected[20];
            memset(&draws, 0, sizeof draws);
            CHECK_OK(solver_mixture_create(&m, NULL, &mixture));
            model = ssde_mixture_model(mixture, &sde);
            memset(&how, 0, sizeof how);
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

/* ---- the integrator ---- */

/* The probability flow of an oracle in double, with the divergence as component dim where wanted. */
typedef struct solver_flow {
    const solver_mixture *mixture;
    ssde_sde sde;
    int divergence;
    size_t calls;
} solver_flow;

static ssde_status solver_flow_function(void *user, const double *y, const double *t, const uint64_t *system,
                                        size_t rows, double *dy) {
    solver_flow *flow = (solver_flow *)user;
    size_t dim = flow->mixture->dim, state = dim + (size_t)flow->divergence, r, j;
    (void)system;
    flow->calls++;
    for (r = 0; r < rows; r++) {
        ssde_coefficients c;
        double density, laplacian, half, score[SOLVER_MAX_DIM];
        ssdei_try(ssde_coefficients_at(NULL, &flow->sde, t[r], &c));
        solver_density(flow->mixture, &c, y + r * state, &density, score, &laplacian);
        half = 0.5 * c.diffusion * c.diffusion;
        for (j = 0; j < dim; j++) dy[r * state + j] = c.drift * y[r * state + j] - half * score[j];
        if (flow->divergence) dy[r * state + dim] = c.drift * (double)dim - half * laplacian;
    }
    return SSDE_OK;
}

/* y' = k y cos(t) for system k+1, whose solution is y0 exp(k sin t). */
static ssde_status solver_swing(void *user, const double *y, const double *t, const uint64_t *system, size_t rows,
                                double *dy) {
    size_t r;
    if (user) ++*(size_t *)user;
    for (r = 0; r < rows; r++) dy[r] = (double)(system[r] + 1) * y[r] * cos(t[r]);
    return SSDE_OK;
}

/* System 1 blows up at t = 1, system 2 is NaN from t = 0.5 on, others stand still. */
static ssde_status solver_trouble(void *user, const double *y, const double *t, const uint64_t *system, size_t rows,
                                  double *dy) {
    size_t r;
    (void)user;
    for (r = 0; r < rows; r++) {
        dy[r] = system[r] == 1 ? y[r] * y[r] : 1.0;
        if (system[r] == 2 && t[r] >= 0.5) dy[r] = (double)NAN;
    }
    return SSDE_OK;
}

static int solver_stop_at(void *user, size_t done, size_t total) {
    (void)done;
    return total && --*(int *)user == 0;
}

static void test_ode_integrate(void) {
    ssde_context context;
    ssde_ode_desc how;
    ssde_ode_report reports[5], report;
    double y[5] = {1.0, 1.0, 1.0, 1.0, 1.0}, alone, error = 0.0, previous = 0.0;
    size_t i, calls = 0;
    int power, countdown = 3;
    memset(&context, 0, sizeof context);
    memset(&how, 0, sizeof how);
    how.context = &context;
    how.rtol = how.atol = 1e-8;
    CHECK_OK(ssde_ode_integrate(&how, solver_swing, &calls, 5, 1, 0.0, 3.0, y, reports));
    for (i = 0; i < 5; i++) {
        CHECK_NEAR(y[i], exp((double)(i + 1) * sin(3.0)), 1e-5); /* errors of 1e-8 per step grow with y up to e^5 */
        CHECK(reports[i].evaluations == 2 + 6 * (reports[i].steps + reports[i].rejected));
        CHECK(reports[i].status == SSDE_OK && reports[i].t == 3.0);
    }
    CHECK(reports[4].steps > reports[0].steps); /* each has its own steps */
    CHECK(calls == reports[4].evaluations);     /* and one call serves all */
    alone = 1.0;
    CHECK_OK(ssde_ode_integrate(&how, solver_swing, NULL, 1, 1, 0.0, 3.0, &alone, &report));
    CHECK_SAME(&alone, &y[0], sizeof alone);
    CHECK(report.evaluations == reports[0].evaluations);
    /* Backwards returns. */
    CHECK_OK(ssde_ode_integrate(&how, solver_swing, NULL, 5, 1, 3.0, 0.0, y, NULL));
    for (i = 0; i < 5; i++) CHECK_NEAR(y[i], 1.0, 1e-4);
    /* The whole batch on one step size. */
    CHECK_OK(ssde_ode_integrate_batch(&how, solver_swing, NULL, 5, 1, 0.0, 3.0, y, reports));
    CHECK(reports[0].evaluations == reports[4].evaluations && reports[0].evaluations % 6 == 2);
    /* Order 5: with fixed steps (first_step = max_step, tolerance never binding) halving divides the error by 32. */
    for (power = 3; power < 7; power++) {
        memset(&how, 0, sizeof how);
        how.rtol = how.atol = 1e3;
        how.first_step = how.max_step = 2.0 / (double)(1 << power);
        alone = 1.0;
        CHECK_OK(ssde_ode_integrate(&how, solver_swing, NULL, 1, 1, 0.0, 2.0, &alone, &report));
        CHECK(report.steps == (size_t)1 << power && report.evaluations == 1 + 6 * report.steps);
        error = fabs(alone - exp(sin(2.0)));
        if (power > 3) CHECK_NEAR(log2(previous / error), 5.0, 0.4);
        previous = error;
    }
    /* Nothing to do, limits, trouble. */
    memset(&how, 0, sizeof how);
    how.context = &context;
    CHECK_OK(ssde_ode_integrate(&how, solver_swing, NULL, 1, 1, 2.0, 2.0, &alone, &report));
    CHECK(report.evaluations == 0 && report.t == 2.0);
    how.max_evaluations = 20;
    y[0] = 1.0;
    CHECK_FAILS(&context, ssde_ode_integrate(&how, solver_swing, NULL, 1, 1, 0.0, 30.0, y, &report), SSDE_ERROR_LIMIT,
                "max_evaluations");
    CHECK(report.evaluations <= 20 && report.t > 0.0 && report.t < 30.0);
    CHECK_NEAR(y[0], exp(sin(report.t)), 1e-3); /* the last accepted state */
    how.max_evaluations = 0;
    for (i = 0; i < 4; i++) y[i] = 1.0;
    CHECK_FAILS(&context, ssde_ode_integrate(&how, solver_trouble, NULL, 4, 1, 0.0, 2.0, y, reports), SSDE_ERROR_LIMIT,
                "system 1");
    CHECK(reports[1].status == SSDE_ERROR_LIMIT && reports[1].t < 1.001 && reports[1].t > 0.999);
    CHECK(reports[2].status == SSDE_ERROR_NUMERIC && reports[2].t < 0.5);
    CHECK(reports[0].status == SSDE_OK && reports[3].status == SSDE_OK);
    CHECK_NEAR(y[0], 3.0, 1e-12);
    CHECK_NEAR(y[3], 3.0, 1e-12);
    how.progress = solver_stop_at, how.user = &countdown;
    y[0] = 1.0;
    CHECK_FAILS(&context, ssde_ode_integrate(&how, solver_swing, NULL, 1, 1, 0.0, 30.0, y, &report),
                SSDE_ERROR_CANCELLED, "cancelled");
    CHECK(report.steps + report.rejected == 3 && report.status == SSDE_ERROR_CANCELLED);
    CHECK_NEAR(y[0], exp(sin(report.t)), 1e-3);
    how.progress = NULL;
    CHECK_FAILS(&context, ssde_ode_integrate(&how, NULL, NULL, 1, 1, 0.0, 1.0, y, NULL), SSDE_ERROR_ARGUMENT,
                "function");
    CHECK_FAILS(&context, ssde_ode_integrate(&how, solver_swing, NULL, 1, 1, 0.0, 1.0, NULL, NULL), SSDE_ERROR_ARGUMENT,
                "y");
    CHECK_FAILS(&context, ssde_ode_integrate(&how, solver_swing, NULL, 0, 1, 0.0, 1.0, y, NULL), SSDE_ERROR_ARGUMENT,
                "systems");
    CHECK_FAILS(&context, ssde_ode_integrate(&how, solver_swing, NULL, 1, 1, 0.0, HUGE_VAL, y, NULL),
                SSDE_ERROR_ARGUMENT, "t1");
    how.rtol = -1.0;
    CHECK_FAILS(&context, ssde_ode_integrate(&how, solver_swing, NULL, 1, 1, 0.0, 1.0, y, NULL), SSDE_ERROR_ARGUMENT,
                "rtol");
    how.rtol = 0.0;
    y[0] = (double)NAN;
    CHECK_FAILS(&context, ssde_ode_integrate(&how, solver_swing, NULL, 1, 1, 0.0, 1.0, y, NULL), SSDE_ERROR_NUMERIC,
                "y[0]");
}

static void test_ode_golden(void) {
    static const char *const names[2] = {"tol1e-05", "tol0.001"};
    static const double tolerances[2] = {1e-5, 1e-3};
    golden_file *golden = golden_open(GOLDEN_SOLVERS);
    solver_mixture m;
    int which, level;
    if (!golden) return;
    m = solver_golden_mixture(golden);
    for (which = 0; which < 3; which++) {
        for (level = 0; level < 2; level++) {
            const char *folder = solver_sde_names[which];
            solver_flow flow;
            ssde_ode_desc how;
            ssde_ode_report reports[5];
            double y[20], expected[20], evaluations, steps;
            char name[32];
            size_t i;
            memset(&how, 0, sizeof how);
            flow.mixture = &m, flow.sde = solver_sde(which), flow.divergence = 0, flow.calls = 0;
            how.rtol = how.atol = tolerances[level];
            solver_golden_doubles(golden, folder, "ode_init", y, 20);
            snprintf(name, sizeof name, "ode_out_%s", names[level]);
            solver_golden_doubles(golden, folder, name, expected, 20);
            snprintf(name, sizeof name, "ode_nfev_%s", names[level]);
            evaluations = solver_golden_number(golden, folder, name);
            snprintf(name, sizeof name, "ode_steps_%s", names[level]);
            steps = solver_golden_number(golden, folder, name);
            CHECK_OK(ssde_ode_integrate_batch(&how, solver_flow_function, &flow, 5, 4, 1.0, which ? 1e-3 : 1e-5, y,
                                              reports));
            for (i = 0; i < 20; i++) CHECK_NEAR(y[i], expected[i], 1e-9 * (1.0 + fabs(expected[i])));
            CHECK_NEAR(reports[0].evaluations, evaluations, 0.0);
            CHECK_NEAR(flow.calls, evaluations, 0.0);
            CHECK_NEAR(reports[0].steps, steps, 1.0);
        }
    }
    golden_close(golden);
}

/* ---- the probability flow ---- */

/* A Gaussian N(mean, std^2) has the closed flow x(t) = m mean + (x(1) - m(1) mean) sqrt(v(t) / v(1)), v = m^2 std^2 +
   std(t)^2. */
static double solver_gaussian_flow(const ssde_sde *sde, double mean, double std, double x, double from, double to) {
    ssde_coefficients a, b;
    CHECK_OK(ssde_coefficients_at(NULL, sde, from, &a));
    CHECK_OK(ssde_coefficients_at(NULL, sde, to, &b));
    return b.mean * mean + (x - a.mean * mean) * sqrt((b.mean * b.mean * std * std + b.std * b.std) /
                                                      (a.mean * a.mean * std * std + a.std * a.std));
}

static void test_flow_gaussian(void) {
    int which;
    for (which = 0; which < 3; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_mixture *mixture = NULL;
        ssde_score_model model;
        ssde_flow_desc how;
        ssde_ode_report reports[4];
        ssde_rng rng = ssde_rng_seed(7);
        ssde_coefficients c;
        float latent[12], x[12], back[12];
        size_t i;
        CHECK_OK(ssde_gaussian_create(NULL, &mixture, 3, 0.3, 0.5));
        model = ssde_mixture_model(mixture, &sde);
        memset(&how, 0, sizeof how);
        how.rtol = how.atol = 1e-6;
        how.eps = 1e-3;
        CHECK_OK(ssde_prior_sample(NULL, &sde, 3, NULL, 4, 3, latent));
        CHECK_OK(ssde_decode(&sde, &model, &how, 0, 4, latent, x, reports));
        for (i = 0; i < 12; i++) /* the local errors of some 20 to 60 steps, and scores rounded to float */
            CHECK_NEAR(x[i], solver_gaussian_flow(&sde, 0.3, 0.5, (double)latent[i], 1.0, 1e-3), 2e-5);
        for (i = 0; i < 4; i++) CHECK(reports[i].evaluations % 6 == 2 && reports[i].status == SSDE_OK);
        CHECK_OK(ssde_encode(&sde, &model, &how, 0, 4, x, back, NULL));
        CHECK_ARRAY(back, latent, 12, 1e-4);
        /* Sampling from these latents is decoding; temperature 0.5 halves them. */
        memcpy(back, latent, sizeof back);
        how.given_start = 1;
        CHECK_OK(ssde_sample_ode(&sde, &model, &how, &rng, 4, back, NULL));
        CHECK_SAME(back, x, sizeof x);
        CHECK(rng.next_sample == 4);
        how.given_start = 0;
        how.temperature = 0.5;
        rng = ssde_rng_seed(3); /* as latent was drawn */
        CHECK_OK(ssde_sample_ode(&sde, &model, &how, &rng, 4, back, NULL));
        for (i = 0; i < 12; i++)
            CHECK_NEAR(back[i], solver_gaussian_flow(&sde, 0.3, 0.5, 0.5 * (double)latent[i], 1.0, 1e-3), 2e-5);
        /* Denoised: E[x(0) | x(eps)] of a Gaussian. */
        how.denoise = 1;
        CHECK_OK(ssde_decode(&sde, &model, &how, 0, 4, latent, back, reports));
        CHECK_OK(ssde_coefficients_at(NULL, &sde, 1e-3, &c));
        for (i = 0; i < 12; i++)
            CHECK_NEAR(back[i],
                       0.3 + c.mean * 0.25 / (c.mean * c.mean * 0.25 + c.std * c.std) * ((double)x[i] - c.mean * 0.3),
                       2e-6);
        CHECK(reports[0].evaluations % 6 == 3);
        ssde_mixture_destroy(mixture);
    }
}

/* Through float scores: exactly SciPy's evaluations at 1e-3, within two steps at 1e-5. */
static void test_flow_golden(void) {
    golden_file *golden = golden_open(GOLDEN_SOLVERS);
    solver_mixture m;
    int which, level;
    if (!golden) return;
    m = solver_golden_mixture(golden);
    for (which = 0; which < 3; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_mixture *mixture = NULL;
        ssde_score_model model;
        CHECK_OK(solver_mixture_create(&m, NULL, &mixture));
        model = ssde_mixture_model(mixture, &sde);
        for (level = 0; level < 2; level++) {
            ssde_flow_desc how;
            ssde_ode_report reports[5];
            ssde_rng rng = ssde_rng_seed(1);
            float x[20], expected[20];
            double evaluations;
            memset(&how, 0, sizeof how);
            how.rtol = how.atol = level ? 1e-3 : 1e-5;
            how.eps = which ? 1e-3 : 1e-5;
            how.given_start = 1;
            solver_golden_floats(golden, solver_sde_names[which], "ode_init", x, 20);
            solver_golden_floats(golden, solver_sde_names[which], level ? "ode_out_tol0.001" : "ode_out_tol1e-05",
                                 expected, 20);
            evaluations = solver_golden_number(golden, solver_sde_names[which],
                                               level ? "ode_nfev_tol0.001" : "ode_nfev_tol1e-05");
            CHECK_OK(ssde_sample_ode_batch(&sde, &model, &how, &rng, 5, x, reports));
            /* in float a step at 1e-5 may be taken that is refused in double, and the other way: a few steps' tolerance
             */
            CHECK_NEAR(reports[4].evaluations, evaluations, level ? 0.0 : 12.0);
            CHECK_ARRAY(x, expected, 20, level ? 1e-5 : 4e-4);
        }
        ssde_mixture_destroy(mixture);
    }
    golden_close(golden);
}

/* ---- likelihood ---- */

static void test_likelihood_golden(void) {
    golden_file *golden = golden_open(GOLDEN_SOLVERS);
    solver_mixture m;
    int which;
    if (!golden) return;
    m = solver_golden_mixture(golden);
    for (which = 0; which < 3; which++) {
        const char *folder = solver_sde_names[which];
        ssde_sde sde = solver_sde(which);
        solver_flow flow;
        ssde_ode_desc ode;
        ssde_ode_report reports[5];
        ssde_likelihood_desc how = ssde_likelihood_defaults();
        ssde_likelihood_result results[5];
        ssde_mixture *mixture = NULL;
        ssde_score_model model;
        ssde_rng rng = ssde_rng_seed(1);
        double data[20], latent[20], log_density[5], y[25], prior,
            evaluations = solver_golden_number(golden, folder, "nll_nfev");
        float x[20], codes[20];
        size_t r, j;
        solver_golden_doubles(golden, folder, "nll_data", data, 20);
        solver_golden_doubles(golden, folder, "nll_latent", latent, 20);
        solver_golden_doubles(golden, folder, "nll_logp_ode", log_density, 5);
        solver_golden_floats(golden, folder, "nll_data", x, 20);
        /* In double, as the reference: one step size, one norm. */
        memset(&ode, 0, sizeof ode);
        flow.mixture = &m, flow.sde = sde, flow.divergence = 1, flow.calls = 0;
        for (r = 0; r < 5; r++) {
            memcpy(y + 5 * r, data + 4 * r, 4 * sizeof *y);
            y[5 * r + 4] = 0.0;
        }
        CHECK_OK(ssde_ode_integrate_batch(&ode, solver_flow_function, &flow, 5, 5, 1e-5, 1.0, y, reports));
        CHECK_NEAR(reports[0].evaluations, evaluations, 0.0);
        CHECK_OK(ssde_prior_std(NULL, &sde, &prior));
        for (r = 0; r < 5; r++) {
            double total = y[5 * r + 4] - 2.0 * log(2.0 * 3.14159265358979323846 * prior * prior);
            for (j = 0; j < 4; j++) {
                CHECK_NEAR(y[5 * r + j], latent[4 * r + j], 1e-8 * (1.0 + fabs(latent[4 * r + j])));
                total -= 0.5 * y[5 * r + j] * y[5 * r + j] / (prior * prior);
            }
            CHECK_NEAR(total, log_density[r], 1e-8);
        }
        /* Through the library in float: the same way, then per sample as is the default. */
        CHECK_OK(solver_mixture_create(&m, NULL, &mixture));
        model = ssde_mixture_model(mixture, &sde);
        how.trace = SSDE_TRACE_EXACT;
        how.joint_error = 1;
        how.latent = codes;
        CHECK_OK(ssde_likelihood_batch(&sde, &model, &how, &rng, 5, x, results));
        CHECK_NEAR(results[0].evaluations, evaluations, 12.0);
        for (r = 0; r < 5; r++) {
            CHECK_NEAR(results[r].log_density, log_density[r], 1e-3); /* both are off by a tolerance of 1e-5 per step */
            CHECK_NEAR(results[r].bits_per_dim, -results[r].log_density / (4.0 * log(2.0)), 1e-12);
            CHECK(results[r].standard_error == 0.0 && !results[r].approximate);
            for (j = 0; j < 4; j++)
                CHECK_NEAR(codes[4 * r + j], latent[4 * r + j], 1e-3 * (1.0 + fabs(latent[4 * r + j])));
        }
        how.joint_error = 0;
        CHECK_OK(ssde_likelihood(&sde, &model, &how, &rng, 5, x, results));
        for (r = 0; r < 5; r++) CHECK_NEAR(results[r].log_density, log_density[r], 5e-3);
        CHECK(rng.next_sample == 10);
        ssde_mixture_destroy(mixture);
    }
    golden_close(golden);
}

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

/* Mean and standard error of the results that are there: 1, 2 and 6 have mean 3 and variance 7. */
static void test_likelihood_summary(void) {
    static const double values[4] = {1.0, 2.0, 1e9, 6.0};
    ssde_likelihood_result results[4];
    ssde_likelihood_summary summary;
    size_t i;
    memset(results, 0, sizeof results);
    for (i = 0; i < 4; i++) {
        results[i].status = i == 2 ? SSDE_ERROR_LIMIT : SSDE_OK;
        results[i].log_density = values[i];
        results[i].bits_per_dim = -2.0 * values[i];
        results[i].evaluations = 10 * (i + 1);
    }
    summary = ssde_likelihood_summarise(results, 4);
    CHECK(summary.count == 3 && summary.failed == 1);
    CHECK_NEAR(summary.log_density, 3.0, 1e-15);
    CHECK_NEAR(summary.bits_per_dim, -6.0, 1e-15);
    CHECK_NEAR(summary.log_density_error, sqrt(7.0 / 3.0), 1e-15);
    CHECK_NEAR(summary.bits_per_dim_error, 2.0 * sqrt(7.0 / 3.0), 1e-15);
    CHECK_NEAR(summary.evaluations, 70.0 / 3.0, 1e-13);
}

/* The ODE's answer is log p_eps(x) + log prior(x(1)) - log p_1(x(1)), all of which a mixture knows. */
static void test_likelihood_mixtures(void) {
    static const size_t dims[2] = {2, 64};
    int which, wide;
    for (wide = 0; wide < 2; wide++) {
        size_t dim = dims[wide], n = check_quick ? 1 : 4, r, j;
        solver_mixture m = solver_wide_mixture(dim);
        for (which = 0; which < 3; which++) {
            ssde_sde sde = solver_sde(which);
            ssde_mixture *mixture = NULL;
            ssde_score_model model;
            ssde_likelihood_desc how = ssde_likelihood_defaults();
            ssde_likelihood_result results[4];
            ssde_likelihood_summary summary;
            ssde_rng rng = ssde_rng_seed(5), data = ssde_rng_seed(6);
            ssde_coefficients first, last;
            float x[4 * SOLVER_MAX_DIM], codes[4 * SOLVER_MAX_DIM];
            double prior[4], mean = 0.0;
            CHECK_OK(solver_mixture_create(&m, NULL, &mixture));
            model = ssde_mixture_model(mixture, &sde);
            CHECK_OK(ssde_mixture_sample(mixture, &data, n, x, NULL));
            how.trace = SSDE_TRACE_EXACT;
            how.latent = codes;
            if (!wide || check_quick) how.rtol = how.atol = 1e-6;
            CHECK_OK(ssde_likelihood(&sde, &model, &how, &rng, n, x, results));
            CHECK_OK(ssde_coefficients_at(NULL, &sde, how.eps, &first));
            CHECK_OK(ssde_coefficients_at(NULL, &sde, 1.0, &last));
            CHECK_OK(ssde_prior_log_density(NULL, &sde, codes, n, dim, prior));
            for (r = 0; r < n; r++) {
                double start, end, score[SOLVER_MAX_DIM], laplacian, point[SOLVER_MAX_DIM];
                for (j = 0; j < dim; j++) point[j] = (double)x[r * dim + j];
                solver_density(&m, &first, point, &start, score, &laplacian);
                for (j = 0; j < dim; j++) point[j] = (double)codes[r * dim + j];
                solver_density(&m, &last, point, &end, score, &laplacian);
                CHECK_NEAR(results[r].log_density, start + prior[r] - end,
                           1e-4 * (double)dim); /* some 50 steps of 1e-6 or 1e-5 */
                mean += results[r].bits_per_dim / (double)n;
            }
            summary = ssde_likelihood_summarise(results, n);
            CHECK(summary.count == n && summary.failed == 0);
            CHECK_NEAR(summary.bits_per_dim, mean, 1e-12);
            CHECK(n > 1 ? summary.bits_per_dim_error > 0.0 : summary.bits_per_dim_error != summary.bits_per_dim_error);
            ssde_mixture_destroy(mixture);
        }
    }
}

/* Log-densities, latents and evaluations of single points under the ring, from an independent solver. */
static void test_likelihood_ring(void) {
    static const double points[5][2] = {{1.0, 0.0}, {0.5, 0.5}, {0.0, 0.1}, {1.2, -0.3}, {-0.7, 0.75}};
    static const double expected[3][5] = {{0.6779869, -3.5687428, -39.3163393, -5.7586741, 0.5843618},
                                          {0.6877434, -3.6011509, -39.7065295, -5.8115139, 0.5932394},
                                          {0.6878250, -3.6015232, -39.7105546, -5.8118630, 0.5933210}};
    static const size_t evaluations[3][5] = {
        {122, 122, 146, 134, 116}, {68, 104, 146, 104, 68}, {80, 128, 158, 122, 80}};
    solver_mixture m = solver_ring();
    int which, i;
    for (which = 0; which < 3; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_mixture *mixture = NULL;
        ssde_score_model model;
        ssde_likelihood_desc how = ssde_likelihood_defaults();
        ssde_likelihood_result results[5];
        ssde_rng rng = ssde_rng_seed(1);
        ssde_ode_desc ode;
        ssde_ode_report report;
        solver_flow flow;
        double prior;
        float x[10];
        CHECK_OK(ssde_prior_std(NULL, &sde, &prior));
        flow.mixture = &m, flow.sde = sde, flow.divergence = 1, flow.calls = 0;
        for (i = 0; i < 5; i++) {
            double y[3], log_density;
            memset(&ode, 0, sizeof ode);
            y[0] = points[i][0], y[1] = points[i][1], y[2] = 0.0;
            CHECK_OK(ssde_ode_integrate(&ode, solver_flow_function, &flow, 1, 3, 1e-5, 1.0, y, &report));
            CHECK_NEAR(report.evaluations, evaluations[which][i], 0.0);
            ode.rtol = ode.atol = 1e-10;
            y[0] = points[i][0], y[1] = points[i][1], y[2] = 0.0;
            CHECK_OK(ssde_ode_integrate(&ode, solver_flow_function, &flow, 1, 3, 1e-5, 1.0, y, &report));
            log_density = y[2] - log(2.0 * 3.14159265358979323846 * prior * prior) -
                          0.5 * (y[0] * y[0] + y[1] * y[1]) / (prior * prior);
            CHECK_NEAR(log_density, expected[which][i], 1e-6); /* printed to 7 digits */
            if (which == 1 && i == 0) CHECK_NEAR(y[0], 1.0694955, 1e-7);
            if (which == 1 && i == 3) CHECK_NEAR(y[1], -1.2648810, 1e-7);
            x[2 * i] = (float)points[i][0], x[2 * i + 1] = (float)points[i][1];
        }
        CHECK_OK(ssde_ring_create(NULL, &mixture, 8, 1.0, 0.1));
        model = ssde_mixture_model(mixture, &sde);
        how.trace = SSDE_TRACE_EXACT;
        CHECK_OK(ssde_likelihood(&sde, &model, &how, &rng, 5, x, results));
        for (i = 0; i < 5; i++)
            CHECK_NEAR(results[i].log_density, expected[which][i], 3e-3); /* tolerance 1e-5 per step */
        ssde_mixture_destroy(mixture);
    }
}

static void test_likelihood_integers(void) {
    ssde_context context;
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_mixture *mixture = NULL;
    ssde_score_model model;
    ssde_likelihood_desc how = ssde_likelihood_defaults();
    ssde_likelihood_result integers[2], reals[2];
    ssde_rng rng = ssde_rng_seed(11), again = ssde_rng_seed(11);
    float x[6] = {0.0f, 15.0f, 7.0f, 8.0f, 3.0f, 12.0f}, real[6];
    double total = 0.0;
    int k;
    memset(&context, 0, sizeof context);
    CHECK_OK(ssde_gaussian_create(NULL, &mixture, 3, 0.0, 0.5));
    model = ssde_mixture_model(mixture, &sde);
    how.trace = SSDE_TRACE_EXACT;
    how.context = &context;
    how.levels = 16.0, how.low = -1.0, how.high = 1.0;
    CHECK_OK(ssde_likelihood(&sde, &model, &how, &rng, 2, x, integers));
    CHECK_OK(ssde_dequantise(NULL, 11, 0, NULL, x, 2, 3, 16.0, -1.0, 1.0, real));
    how.levels = 0.0;
    CHECK_OK(ssde_likelihood(&sde, &model, &how, &again, 2, real, reals));
    for (k = 0; k < 2; k++) { /* an integer's interval is 1/8 wide: 3 bits; 256 levels on [-1, 1] would be 7 */
        CHECK_NEAR(integers[k].log_density, reals[k].log_density, 1e-12);
        CHECK_NEAR(integers[k].bits_per_dim, reals[k].bits_per_dim + 3.0, 1e-12);
    }
    /* Probabilities of all 16 integers of one dimension sum to no more than the Gaussian's mass on [-1, 1], and come
       near it: E_u log p <= log E_u p, and within an interval the density changes little. */
    ssde_mixture_destroy(mixture);
    CHECK_OK(ssde_gaussian_create(NULL, &mixture, 1, 0.0, 0.5));
    model = ssde_mixture_model(mixture, &sde);
    how.levels = 16.0;
    for (k = 0; k < 16; k++) {
        float value = (float)k;
        CHECK_OK(ssde_likelihood(&sde, &model, &how, &rng, 1, &value, integers));
        total += pow(2.0, -integers[0].bits_per_dim);
    }
    CHECK_NEAR(total, erf(1.0 / (0.5 * sqrt(2.0))), 0.03); /* 16 draws of u, each shifting its density by about 5% */
    x[1] = 16.0f;
    CHECK_FAILS(&context, ssde_likelihood(&sde, &model, &how, &rng, 2, x, integers), SSDE_ERROR_ARGUMENT,
                "x[1][0] is 16");
    x[1] = 1.5f;
    CHECK_FAILS(&context, ssde_likelihood(&sde, &model, &how, &rng, 2, x, integers), SSDE_ERROR_ARGUMENT,
                "whole number");
    x[1] = (float)NAN;
    CHECK_FAILS(&context, ssde_likelihood(&sde, &model, &how, &rng, 2, x, integers), SSDE_ERROR_NUMERIC, "x[1][0]");
    x[1] = 1.0f;
    how.high = -1.0;
    CHECK_FAILS(&context, ssde_likelihood(&sde, &model, &how, &rng, 2, x, integers), SSDE_ERROR_ARGUMENT, "high");
    how.high = 1.0, how.levels = 1.0;
    CHECK_FAILS(&context, ssde_likelihood(&sde, &model, &how, &rng, 2, x, integers), SSDE_ERROR_ARGUMENT, "levels");
    how.levels = 16.0, how.eps = 1.0;
    CHECK_FAILS(&context, ssde_likelihood(&sde, &model, &how, &rng, 2, x, integers), SSDE_ERROR_ARGUMENT, "eps");
    how.eps = 0.0;
    CHECK_FAILS(&context, ssde_likelihood(&sde, &model, &how, &rng, 2, x, NULL), SSDE_ERROR_ARGUMENT, "results");
    ssde_mixture_destroy(mixture);
}

static void solver_count_log(void *user, const char *text) {
    (void)text;
    ++*(int *)user;
}

static void test_likelihood_probes(void) {
    enum { DIM = 16, N = 6, PROBES = 16 };
    ssde_context context;
    ssde_sde sde = ssde_subvp(0.1, 20.0);
    solver_mixture m = solver_wide_mixture(DIM);
    ssde_mixture *mixture = NULL;
    ssde_score_model model;
    ssde_likelihood_desc how = ssde_likelihood_defaults();
    ssde_likelihood_result exact[N], estimate[N], difference[N];
    ssde_rng data = ssde_rng_seed(2), rng;
    float x[N * DIM];
    double spread[2] = {0.0, 0.0};
    size_t r, n = check_quick ? 2 : N;
    int kind, logged = 0;
    memset(&context, 0, sizeof context);
    context.log = solver_count_log, context.user = &logged;
    how.context = &context;
    /* Narrow modes side by side, so that the Hessian has entries off its diagonal and probes differ. */
    for (r = 0; r < 3 * DIM; r++) m.mean[r] *= 0.3;
    CHECK_OK(solver_mixture_create(&m, NULL, &mixture));
    model = ssde_mixture_model(mixture, &sde);
    CHECK_OK(ssde_mixture_sample(mixture, &data, n, x, NULL));
    how.trace = SSDE_TRACE_EXACT;
    rng = ssde_rng_seed(3);
    CHECK_OK(ssde_likelihood(&sde, &model, &how, &rng, n, x, exact));
    how.probes = PROBES;
    for (kind = 0; kind < 2; kind++) {
        double squares = 0.0;
        how.trace = kind ? SSDE_TRACE_GAUSSIAN : SSDE_TRACE_RADEMACHER;
        rng = ssde_rng_seed(3);
        CHECK_OK(ssde_likelihood(&sde, &model, &how, &rng, n, x, estimate));
        for (r = 0; r < n; r++) {
            double z = (estimate[r].log_density - exact[r].log_density) / estimate[r].standard_error;
            CHECK(fabs(z) < 5.0); /* Student's t with 15 degrees exceeds 5 once in 6,000 */
            squares += z * z / (double)n;
            spread[kind] += estimate[r].standard_error / (double)n;
        }
        CHECK(squares > 0.2 && squares < 3.0); /* about 1 if the standard error is one */
        if (kind) continue;
        CHECK(!logged);
        model.vjp = NULL;
        rng = ssde_rng_seed(3);
        CHECK_OK(ssde_likelihood(&sde, &model, &how, &rng, n, x, difference));
        CHECK(logged == 1);
        for (r = 0; r < n; r++) {
            CHECK(difference[r].approximate && !estimate[r].approximate);
            CHECK_NEAR(difference[r].log_density, estimate[r].log_density, 0.02); /* of differences, measured 1e-3 */
        }
        model = ssde_mixture_model(mixture, &sde);
    }
    CHECK(spread[1] > 1.5 * spread[0]); /* Gaussian probes also pay for the diagonal */
    how.probes = 1;
    CHECK_OK(ssde_likelihood(&sde, &model, &how, &rng, n, x, estimate));
    CHECK(estimate[0].standard_error != estimate[0].standard_error);
    ssde_mixture_destroy(mixture);
    /* With one Gaussian the Hessian is diagonal, and signs are exact. */
    CHECK_OK(ssde_gaussian_create(NULL, &mixture, DIM, 0.2, 0.4));
    model = ssde_mixture_model(mixture, &sde);
    how.trace = SSDE_TRACE_RADEMACHER, how.probes = 3;
    CHECK_OK(ssde_likelihood(&sde, &model, &how, &rng, n, x, estimate));
    how.trace = SSDE_TRACE_EXACT;
    CHECK_OK(ssde_likelihood(&sde, &model, &how, &rng, n, x, exact));
    for (r = 0; r < n; r++) {
        CHECK(estimate[r].standard_error < 1e-5);
        CHECK_NEAR(estimate[r].log_density, exact[r].log_density, 1e-5);
    }
    ssde_mixture_destroy(mixture);
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

/* ---- sample i is the same in any company ---- */

/* All samplers that are not _batch, under one number. */
enum { SOLVER_WAYS = 11 };
typedef struct solver_task {
    const ssde_sde *sde;
    const ssde_score_model *model;
    const float *known, *mask, *data; /* per sample */
    size_t dim, steps;
    ssde_context *context;
    ssde_progress_function progress;
    void *user;
} solver_task;

/* Samples first ... first + n - 1 by way `way`; what comes out, [n, dim]. */
static ssde_status solver_run(const solver_task *task, int way, uint64_t first, size_t n, float *x) {
    ssde_rng rng = ssde_rng_seed(77);
    ssde_status status;
    rng.next_sample = first;
    if (way < 7) {
        ssde_sampler_desc how;
        memset(&how, 0, sizeof how);
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
    } else if (way < 9) {
        ssde_flow_desc how;
        memset(&how, 0, sizeof how);
        how.context = task->context;
        how.rtol = how.atol = 1e-3;
        how.denoise = way == 8;
        how.progress = task->progress, how.user = task->user;
        if (way == 7)
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
        if (way == 10) how.trace = SSDE_TRACE_EXACT;
        how.progress = task->progress, how.user = task->user;
        status = ssde_likelihood(task->sde, task->model, &how, &rng, n, task->data + first * task->dim, results);
        for (r = 0; status == SSDE_OK && r < n; r++) x[r * task->dim] = (float)results[r].log_density;
        free(results);
    }
    if (status == SSDE_OK && way != 7) CHECK(rng.next_sample == first + n);
    return status;
}

static void test_sampler_identity(void) {
    enum { N = 7, DIM = 5 };
    solver_mixture m = solver_wide_mixture(DIM);
    int which, way;
    for (which = 0; which < 3; which++) {
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
        ssde_sampler_desc how;
        ssde_rng rng = ssde_rng_seed(5);
        rng.next_sample = 100;
        memset(&how, 0, sizeof how);
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
    for (way = 0; way < SOLVER_WAYS - 1; way++) { /* the exact trace has nothing more in parallel than way 9 */
        size_t rows = way < 7 ? n : 300;
        task.context = NULL;
        CHECK_OK(solver_run(&task, way, 0, rows, first));
        CHECK_OK(solver_run(&task, way, 0, 70, x)); /* several blocks are the same as several calls */
        CHECK_OK(solver_run(&task, way, 70, rows - 70, x + 70 * DIM));
        CHECK_SAME(x, first, rows * DIM * sizeof *x);
        for (threads = 1; threads <= 3; threads++) {
            ssde_context context;
            threads_hook hook;
            hook.threads = threads, hook.calls = 0;
            memset(&context, 0, sizeof context);
            context.parallel_for = threads_parallel_for, context.user = &hook, context.threads = threads + 1;
            task.context = &context;
            CHECK_OK(solver_run(&task, way, 0, rows, x));
            CHECK_SAME(x, first, rows * DIM * sizeof *x);
            CHECK(way > 6 || hook.calls > 0);
        }
    }
    ssde_mixture_destroy(mixture);
    free(data);
    free(x);
    free(first);
    free(mask);
}

/* ---- what goes wrong ---- */

/* NaN as the noise of the condition's last update, of run step 2. */
static ssde_status solver_late_nan(void *user, int stream, uint32_t step, const uint64_t *sample, size_t rows,
                                   size_t dim, float *out) {
    size_t i;
    (void)user, (void)sample;
    for (i = 0; i < rows * dim; i++) out[i] = stream == SSDE_STREAM_CONDITION && step >= 3 ? (float)NAN : 0.25f;
    return SSDE_OK;
}

static void test_sampler_late_failure(void) {
    ssde_context context;
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_mixture *mixture = NULL;
    ssde_score_model model;
    ssde_sampler_desc how;
    ssde_rng rng = ssde_rng_seed(1);
    float x[2], known[2] = {0.5f, 0.0f}, mask[2] = {1.0f, 0.0f};
    memset(&context, 0, sizeof context);
    memset(&how, 0, sizeof how);
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
    ssde_context context;
    ssde_sde sde = ssde_vp(0.1, 20.0), bad = ssde_vp(-1.0, 20.0);
    ssde_mixture *mixture = NULL;
    ssde_score_model model, empty;
    ssde_sampler_desc how;
    ssde_flow_desc flow;
    ssde_rng rng = ssde_rng_seed(1);
    float x[6] = {0.0f}, mask[6] = {1.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f}, known[6] = {0.0f};
    double times[4] = {1.0, 0.5, 0.5, 0.1}, t = 0.5, t_next = 0.6;
    const int no_grid = 7;
    memset(&context, 0, sizeof context);
    memset(&how, 0, sizeof how);
    memset(&flow, 0, sizeof flow);
    memset(&empty, 0, sizeof empty);
    how.context = flow.context = &context;
    how.steps = 3;
    CHECK_OK(ssde_gaussian_create(NULL, &mixture, 2, 0.0, 0.5));
    model = ssde_mixture_model(mixture, &sde);
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
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_mixture *mixture = NULL;
    ssde_score_model model;
    ssde_context context;
    solver_model wrapper;
    solver_task task;
    float data[N * DIM], clean[N * DIM], x[N * DIM];
    ssde_rng rng = ssde_rng_seed(4);
    size_t i;
    int way, countdown;
    memset(&context, 0, sizeof context);
    CHECK_OK(solver_mixture_create(&m, NULL, &mixture));
    model = solver_wrap(&wrapper, ssde_mixture_model(mixture, &sde));
    CHECK_OK(ssde_mixture_sample(mixture, &rng, N, data, NULL));
    memset(&task, 0, sizeof task);
    task.sde = &sde, task.model = &model, task.data = data, task.dim = DIM, task.steps = 20, task.context = &context;
    for (way = 0; way < SOLVER_WAYS; way++) {
        CHECK_OK(solver_run(&task, way, 0, N, clean));
        wrapper.calls = 0, wrapper.fail_at = 8;
        CHECK_FAILS(&context, solver_run(&task, way, 0, N, x), SSDE_ERROR_FILE, "model->score");
        CHECK(wrapper.calls == 8);
        wrapper.calls = wrapper.fail_at = 0;
        wrapper.bad_sample = 3, wrapper.bad_after = 9;
        memset(x, 0, sizeof x);
        CHECK_FAILS(&context, solver_run(&task, way, 0, N, x), SSDE_ERROR_NUMERIC, "sample 3");
        for (i = 0; i < N; i++) {
            if (i == 3)
                CHECK(x[i * DIM] != x[i * DIM]);
            else if (way < 9) /* solver_run copies log-densities only from runs without failures */
                CHECK_SAME(x + i * DIM, clean + i * DIM, DIM * sizeof *x);
        }
        wrapper.bad_after = 0;
        countdown = 3;
        task.progress = solver_stop_at, task.user = &countdown;
        memcpy(x, clean, sizeof x);
        CHECK_FAILS(&context, solver_run(&task, way, 0, N, x), SSDE_ERROR_CANCELLED, "cancelled");
        for (i = 0; i < N * DIM; i++) CHECK(x[i] - x[i] == 0.0f);
        task.progress = NULL;
    }
    ssde_mixture_destroy(mixture);
}

/* What a report says of a sample that failed. */
static void test_sampler_report(void) {
    ssde_sde sde = ssde_ve(0.01, 50.0);
    ssde_mixture *mixture = NULL;
    solver_model wrapper;
    ssde_score_model model;
    ssde_sampler_desc how;
    ssde_sample_report report;
    ssde_rng rng = ssde_rng_seed(4);
    float x[12];
    memset(&how, 0, sizeof how);
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

/* Allocations numbered, one of them refused, all of them counted. */
typedef struct solver_memory {
    long taken, returned, refuse;
    size_t bytes;
} solver_memory;
static void *solver_allocate(void *user, size_t size) {
    solver_memory *memory = (solver_memory *)user;
    if (memory->taken == memory->refuse) return NULL;
    memory->taken++;
    memory->bytes += size;
    return malloc(size);
}
static void solver_release(void *user, void *pointer) {
    ((solver_memory *)user)->returned++;
    free(pointer);
}

static void test_sampler_memory(void) {
    enum { N = 3, DIM = 2 };
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_mixture *mixture = NULL;
    ssde_score_model model;
    ssde_context context;
    solver_memory memory;
    solver_task task;
    float data[N * DIM], x[N * DIM];
    ssde_rng rng = ssde_rng_seed(4);
    int way;
    CHECK_OK(ssde_gaussian_create(NULL, &mixture, DIM, 0.0, 0.5));
    model = ssde_mixture_model(mixture, &sde);
    CHECK_OK(ssde_mixture_sample(mixture, &rng, N, data, NULL));
    memset(&task, 0, sizeof task);
    task.sde = &sde, task.model = &model, task.data = data, task.dim = DIM, task.steps = 3, task.context = &context;
    for (way = 0; way <= SOLVER_WAYS; way++) {
        ssde_status status = SSDE_ERROR_MEMORY;
        long failures = -1;
        if (way == SOLVER_WAYS) model.vjp = NULL; /* the exact trace again, by differences */
        for (memory.refuse = 0; status == SSDE_ERROR_MEMORY && failures < 100; memory.refuse++) {
            memory.taken = memory.returned = 0;
            memset(&context, 0, sizeof context);
            context.allocate = solver_allocate, context.release = solver_release, context.user = &memory;
            status = solver_run(&task, way < SOLVER_WAYS ? way : SOLVER_WAYS - 1, 0, N, x);
            CHECK(memory.taken == memory.returned);
            CHECK(status == SSDE_OK || (status == SSDE_ERROR_MEMORY && strstr(context.error, "allocate")));
            failures++;
        }
        CHECK(status == SSDE_OK && failures >= 1);
        if (way < 7) { /* nothing is allocated in a step: three steps or thirty take as much */
            long few = memory.taken;
            memory.refuse = -1, memory.taken = memory.returned = 0;
            task.steps = 30;
            CHECK_OK(solver_run(&task, way, 0, N, x));
            CHECK(memory.taken == few);
            task.steps = 3;
        }
    }
    ssde_mixture_destroy(mixture);
}

/* ---- inpainting ---- */

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

static void test_inpainting_conditional(void) {
    size_t n = check_quick ? 250 : 1000, r;
    solver_mixture m = solver_cloud();
    float *x = (float *)malloc(2 * n * sizeof *x);
    int which, value;
    for (which = 0; which < 3; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_mixture *mixture = NULL;
        ssde_score_model model;
        CHECK_OK(solver_mixture_create(&m, NULL, &mixture));
        model = ssde_mixture_model(mixture, &sde);
        for (value = 0; value < 2; value++) {
            float known[2], mask[2] = {1.0f, 0.0f};
            double mean = 0.0, square = 0.0, expected_mean, expected_variance, error;
            ssde_sampler_desc how;
            ssde_rng rng = ssde_rng_seed(21);
            known[0] = value ? 0.9f : -0.8f, known[1] = (float)NAN; /* must not be looked at */
            memset(&how, 0, sizeof how);
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

/* A score of zero, and draws of 0.5 whose addresses are written down. */
typedef struct solver_addresses {
    int stream[16];
    uint32_t step[16];
    size_t count;
} solver_addresses;
static ssde_status solver_address(void *user, int stream, uint32_t step, const uint64_t *sample, size_t rows,
                                  size_t dim, float *out) {
    solver_addresses *a = (solver_addresses *)user;
    size_t i;
    (void)sample;
    if (a->count >= 16) return SSDE_ERROR_LIMIT;
    a->stream[a->count] = stream, a->step[a->count++] = step;
    for (i = 0; i < rows * dim; i++) out[i] = 0.5f;
    return SSDE_OK;
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
static void test_inpainting_addresses(void) {
    static const int streams[10] = {SSDE_STREAM_PRIOR,     SSDE_STREAM_CONDITION, SSDE_STREAM_PREDICTOR,
                                    SSDE_STREAM_CONDITION, SSDE_STREAM_CORRECTOR, SSDE_STREAM_CONDITION,
                                    SSDE_STREAM_PREDICTOR, SSDE_STREAM_CONDITION, SSDE_STREAM_CORRECTOR,
                                    SSDE_STREAM_CONDITION};
    static const uint32_t steps[10] = {0, 0, 0, 1, 0, 2, 1, 3, 1, 4};
    static const float known[2] = {2.0f, 9.0f}, mask[2] = {1.0f, 0.0f};
    static const double times[3] = {1.0, 0.3, 0.1};
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_score_model model;
    ssde_sampler_desc how;
    solver_addresses addresses;
    ssde_rng rng = ssde_rng_seed(1);
    float x[2];
    size_t dim = 2, i;
    memset(&model, 0, sizeof model);
    memset(&how, 0, sizeof how);
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

static void test_inpainting_values(void) {
    enum { N = 80, DIM = 6 };
    static const ssde_grid grids[2] = {SSDE_GRID_UNIFORM, SSDE_GRID_REFERENCE};
    solver_mixture m = solver_wide_mixture(DIM);
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_mixture *mixture = NULL;
    ssde_score_model model;
    ssde_sampler_desc how;
    ssde_condition second;
    ssde_rng rng;
    float *plain = (float *)malloc(5 * N * DIM * sizeof *plain), *x = plain + N * DIM, *first = x + N * DIM;
    float *known = first + N * DIM, *mask = known + N * DIM;
    double spread = 0.0;
    size_t i;
    int grid;
    CHECK_OK(solver_mixture_create(&m, NULL, &mixture));
    model = ssde_mixture_model(mixture, &sde);
    memset(&how, 0, sizeof how);
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
    CHECK_OK(ssde_gaussian_create(NULL, &mixture, DIM, 0.4, 1e-3));
    model = ssde_mixture_model(mixture, &sde);
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

/* A Gaussian's mean and std in every dimension; bits 0: no warning. */
typedef struct scale_case {
    double mean, std, bits;
} scale_case;

/* Data whose p_1 is off the prior are warned of, once a call, with what it costs: log-densities under the exact score
   are off by that. Data of ordinary scales are not. */
static void test_likelihood_scale(void) {
    enum { N = 128, DIM = 8 };
    static const scale_case cases[4][5] = {/* VE to 50 */
                                           {{0.5, 0.3, 0}, {0, 1, 0}, {3, 4, 0}, {127.5, 74, 5.5}, {-200, 1, 11.5}},
                                           /* VP */
                                           {{0, 0.6, 0}, {-0.7, 0.5, 0}, {0, 1, 0}, {127.5, 74, 0.53}, {5, 2, 0}},
                                           /* sub-VP */
                                           {{0, 0.6, 0}, {1, 3, 0}, {0, 1e-3, 0}, {-127.5, 74, 0.53}, {0, 200, 0.46}},
                                           /* VE to 2 */
                                           {{0, 0.4, 0}, {0.6, 0.1, 0.065}, {0, 3, 0.77}, {0, 1e-3, 0}, {0.2, 0.3, 0}}};
    ssde_sde sdes[4];
    static float x[N * DIM], latent[N * DIM];
    static ssde_likelihood_result results[N];
    ssde_context context;
    check_log kept;
    int kind, c;
    sdes[0] = ssde_ve(0.01, 50.0), sdes[1] = ssde_vp(0.1, 20.0), sdes[2] = ssde_subvp(0.1, 20.0);
    sdes[3] = ssde_ve(0.01, 2.0);
    memset(&context, 0, sizeof context);
    context.log = check_keep_log, context.user = &kept;
    for (kind = 0; kind < 4; kind++) {
        for (c = 0; c < 5; c++) {
            const scale_case *at = &cases[kind][c];
            ssde_mixture *mixture = NULL;
            ssde_likelihood_desc how = ssde_likelihood_defaults();
            ssde_flow_desc flow;
            ssde_score_model model;
            ssde_rng rng = ssde_rng_seed(3);
            double shift = 0.0, said = 0.0, noise;
            size_t i;
            CHECK_OK(ssde_gaussian_create(NULL, &mixture, DIM, at->mean, at->std));
            model = ssde_mixture_model(mixture, &sdes[kind]);
            CHECK_OK(ssde_mixture_sample(mixture, &rng, N, x, NULL));
            memset(&kept, 0, sizeof kept);
            how.context = &context;
            how.trace = SSDE_TRACE_EXACT;
            how.rtol = how.atol = 1e-4;
            rng = ssde_rng_seed(4);
            CHECK_OK(ssde_likelihood(&sdes[kind], &model, &how, &rng, N, x, results));
            CHECK(kept.count == (at->bits > 0.0) && !context.error[0]);
            if (at->bits > 0.0) {
                const char *number = strstr(kept.text, "at t = 1 is ");
                CHECK(number && sscanf(number, "at t = 1 is %lf bits", &said) == 1);
                for (i = 0; i < N * DIM; i++) {
                    double z = ((double)x[i] - at->mean) / at->std;
                    shift -= (0.5 * z * z + 0.91893853320467274178 + log(at->std)) / log(2.0) / (N * DIM);
                }
                for (i = 0; i < N; i++) shift += results[i].bits_per_dim / (double)N;
                /* two digits; and the means of N DIM numbers, whose spread is sqrt(2 KL) nats or less */
                noise = 3.5 * sqrt(2.0 * at->bits / log(2.0) / (N * DIM));
                CHECK_NEAR(said, at->bits, 0.06 * at->bits + noise);
                CHECK_NEAR(shift, at->bits, 0.06 * at->bits + noise);
                CHECK(!strncmp(kept.text, "ssde_likelihood: x has mean", 27));
                CHECK(!strstr(kept.text, "sigma_max") == (sdes[kind].kind != SSDE_VE));
            }
            memset(&flow, 0, sizeof flow);
            flow.context = &context;
            memset(&kept, 0, sizeof kept);
            CHECK_OK(ssde_encode(&sdes[kind], &model, &flow, 0, N, x, latent, NULL));
            CHECK(kept.count == (at->bits > 0.0));
            CHECK_OK(ssde_decode(&sdes[kind], &model, &flow, 0, N, latent, x, NULL));
            CHECK(kept.count == (at->bits > 0.0)); /* a latent code has no scale to fit */
            ssde_mixture_destroy(mixture);
        }
    }
}

/* Integers are judged where they are mapped to; a few numbers are not taken for a mean. */
static void test_likelihood_levels(void) {
    enum { N = 4, DIM = 16 };
    static float x[N * DIM];
    static ssde_likelihood_result results[N];
    ssde_sde sde = ssde_vp(0.1, 20.0), ve = ssde_ve(0.01, 10.0);
    ssde_likelihood_desc how = ssde_likelihood_defaults();
    ssde_score_model model;
    ssde_mixture *mixture = NULL;
    ssde_context context;
    check_log kept;
    ssde_rng rng = ssde_rng_seed(1);
    size_t i;
    memset(&context, 0, sizeof context);
    memset(&kept, 0, sizeof kept);
    context.log = check_keep_log, context.user = &kept;
    how.context = &context;
    how.rtol = how.atol = 1e-3;
    how.levels = 256;
    CHECK_OK(ssde_gaussian_create(NULL, &mixture, DIM, 0.0, 1.0));
    model = ssde_mixture_model(mixture, &sde);
    for (i = 0; i < N * DIM; i++) x[i] = (float)(i * 4);
    how.low = -1.0, how.high = 1.0;
    CHECK_OK(ssde_likelihood(&sde, &model, &how, &rng, N, x, results));
    CHECK(kept.count == 0);
    how.low = 0.0, how.high = 256.0;
    CHECK_OK(ssde_likelihood(&sde, &model, &how, &rng, N, x, results));
    CHECK(kept.count == 1 && strstr(kept.text, "mean 126") != NULL);
    how.levels = 0.0;
    model = ssde_mixture_model(mixture, &ve);
    for (i = 0; i < DIM; i++) x[i] = 4.0f;
    CHECK_OK(ssde_likelihood(&ve, &model, &how, &rng, 1, x, results));
    CHECK(kept.count == 1);
    ssde_mixture_destroy(mixture);
}

/* What a constructor fills, zeros and NULL mean the same. */
static void test_solver_defaults(void) {
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

#define TEST_SOLVERS_LIST(X)  \
    X(solver_defaults)        \
    X(solver_grid)            \
    X(solver_golden_updates)  \
    X(solver_golden_run)      \
    X(ode_integrate)          \
    X(ode_golden)             \
    X(flow_gaussian)          \
    X(flow_golden)            \
    X(likelihood_golden)      \
    X(likelihood_mixtures)    \
    X(likelihood_summary)     \
    X(likelihood_ring)        \
    X(likelihood_integers)    \
    X(likelihood_probes)      \
    X(likelihood_scale)       \
    X(likelihood_levels)      \
    X(sampler_identity)       \
    X(sampler_driver)         \
    X(sampler_threads)        \
    X(sampler_late_failure)   \
    X(sampler_bad_input)      \
    X(sampler_failures)       \
    X(sampler_report)         \
    X(sampler_memory)         \
    X(inpainting_conditional) \
    X(inpainting_addresses)   \
    X(inpainting_values)

#endif
