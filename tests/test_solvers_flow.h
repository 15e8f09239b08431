/* The integrator, the probability flow, likelihoods. */
#ifndef TEST_SOLVERS_FLOW_H
#define TEST_SOLVERS_FLOW_H

#include "check.h"
#include "fixtures_solvers.h"
#include "golden.h"

/* ---- ode: a mixture in double: an oracle apart from the library's ---- */

static double solver_golden_number(const golden_file *golden, const char *sde, const char *name) {
    char full[64];
    double value;
    snprintf(full, sizeof full, "%s/%s", sde, name);
    golden_doubles(golden, full, &value, 1);
    return value;
}

/* ---- ode: the integrator ---- */

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

static void test_ode_integrate(void) {
    ssde_context context = ssde_context_defaults();
    ssde_ode_desc how = ssde_ode_defaults();
    ssde_ode_report reports[5], report;
    double y[5] = {1.0, 1.0, 1.0, 1.0, 1.0}, alone, error = 0.0, previous = 0.0;
    size_t i, calls = 0;
    int power, countdown = 3;
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
            ssde_ode_desc how = ssde_ode_defaults();
            ssde_ode_report reports[5];
            double y[20], expected[20], evaluations, steps;
            char name[32];
            size_t i;
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

/* ---- ode: dense output and limits of the ODE ---- */

static void test_ode_dense_output(void) {
    static const double times[6] = {0.0, 0.31, 1.0, 1.0, 2.77, 3.0};
    ssde_context context = ssde_context_defaults();
    ssde_ode_desc how = ssde_ode_defaults();
    ssde_ode_report plain[3], reports[3];
    double y[3], expected[3] = {1.0, 2.0, -0.5}, frames[18], back[8], errors[2];
    size_t i, g;
    how.rtol = how.atol = 1e-8;
    how.context = &context;
    memcpy(y, expected, sizeof y);
    CHECK_OK(ssde_ode_integrate(&how, solver_swing, NULL, 3, 1, 0.0, 3.0, y, plain));
    how.times = times, how.time_count = 6, how.states = frames;
    memcpy(y, expected, sizeof y);
    CHECK_OK(ssde_ode_integrate(&how, solver_swing, NULL, 3, 1, 0.0, 3.0, y, reports));
    for (g = 0; g < 3; g++) {
        CHECK(reports[g].evaluations == plain[g].evaluations && reports[g].steps == plain[g].steps);
        for (i = 0; i < 6; i++) { /* the interpolant's own error is one order above the steps', times about 20 */
            double exact = expected[g] * exp((double)(g + 1) * sin(times[i]));
            CHECK_NEAR(frames[i * 3 + g], exact, 1e-6 * (1.0 + fabs(exact)));
        }
        CHECK(frames[g] == expected[g]);
        CHECK(frames[6 + g] == frames[9 + g]);
        CHECK_NEAR(frames[15 + g], y[g], 1e-14 * (1.0 + fabs(y[g]))); /* the interpolant ends where the step does */
    }
    { /* Backwards, and alone, the same system gives the same frames. */
        static const double down[2] = {2.0, 0.25};
        double alone = y[0];
        how.times = down, how.time_count = 2, how.states = back;
        CHECK_OK(ssde_ode_integrate(&how, solver_swing, NULL, 3, 1, 3.0, 0.0, y, reports));
        for (g = 0; g < 3; g++) {
            for (i = 0; i < 2; i++) {
                double exact = expected[g] * exp((double)(g + 1) * sin(down[i]));
                CHECK_NEAR(back[i * 3 + g], exact, 1e-6 * (1.0 + fabs(exact)));
            }
        }
        how.states = back + 6;
        CHECK_OK(ssde_ode_integrate(&how, solver_swing, NULL, 1, 1, 3.0, 0.0, &alone, NULL));
        CHECK(back[6] == back[0] && back[7] == back[3]);
    }
    for (i = 0; i < 2; i++) { /* steps of h: within them the error falls by 2^5 when h halves, and SciPy's by its own */
        double h = i ? 0.05 : 0.1, middle = 0.5 * h, one = 1.0;
        how.times = &middle, how.time_count = 1, how.states = back;
        how.rtol = how.atol = 1.0, how.first_step = how.max_step = h;
        CHECK_OK(ssde_ode_integrate(&how, solver_swing, NULL, 1, 1, 0.0, h, &one, reports));
        CHECK(reports[0].steps == 1);
        errors[i] = fabs(back[0] - exp(sin(middle)));
    }
    CHECK(errors[1] > 1e-12 && errors[0] / errors[1] > 20.0 && errors[0] / errors[1] < 45.0);
    /* A system that stops leaves NaN for what it did not reach. */
    memset(&how, 0, sizeof how);
    how.context = &context;
    how.times = times, how.time_count = 6, how.states = frames, how.max_evaluations = 14;
    how.rtol = how.atol = 1e-8;
    memcpy(y, expected, sizeof y);
    CHECK_FAILS(&context, ssde_ode_integrate(&how, solver_swing, NULL, 3, 1, 0.0, 3.0, y, reports), SSDE_ERROR_LIMIT,
                "max_evaluations = 14");
    CHECK(frames[0] == 1.0 && frames[15] != frames[15] && reports[0].evaluations == 14 && reports[0].t < 3.0);
    how.max_evaluations = 0;
    { /* refused */
        static const double unsorted[2] = {1.0, 0.5}, outside[1] = {3.5};
        how.times = unsorted, how.time_count = 2;
        CHECK_FAILS(&context, ssde_ode_integrate(&how, solver_swing, NULL, 3, 1, 0.0, 3.0, y, NULL),
                    SSDE_ERROR_ARGUMENT, "times[1] is 0.5");
        how.times = outside, how.time_count = 1;
        CHECK_FAILS(&context, ssde_ode_integrate(&how, solver_swing, NULL, 3, 1, 0.0, 3.0, y, NULL),
                    SSDE_ERROR_ARGUMENT, "times[0] is 3.5");
        how.states = NULL;
        CHECK_FAILS(&context, ssde_ode_integrate(&how, solver_swing, NULL, 3, 1, 0.0, 3.0, y, NULL),
                    SSDE_ERROR_ARGUMENT, "states");
    }
}

/* ---- ode ---- */

/* Each of the tolerances is looked at. */
static void test_ode_each_tolerance(void) {
    double tolerances[3], y[3] = {1.0, 2.0, -0.5};
    ssde_context context = ssde_context_defaults();
    ssde_ode_desc how = ssde_ode_defaults();
    size_t i;
    how.context = &context;
    how.atol_each = tolerances;
    for (i = 0; i < 3; i++) {
        char words[32];
        tolerances[0] = tolerances[1] = tolerances[2] = 1e-6;
        tolerances[i] = 0.0;
        snprintf(words, sizeof words, "atol_each[%d] is 0", (int)i);
        CHECK_FAILS(&context, ssde_ode_integrate(&how, solver_swing, NULL, 1, 3, 0.0, 1.0, y, NULL),
                    SSDE_ERROR_ARGUMENT, words);
    }
}

/* Times at which the stages of Dormand and Prince's pair are asked for: a step from t begins at t + h / 5. */
typedef struct ode_steps {
    double t[20000];
    size_t count;
} ode_steps;
static ssde_status ode_steps_function(void *user, const double *y, const double *t, const uint64_t *system, size_t rows,
                                      double *dy) {
    ode_steps *seen = (ode_steps *)user;
    (void)system;
    CHECK(rows == 1);
    if (seen->count < 20000) seen->t[seen->count++] = t[0];
    dy[0] = -60.0 * (y[0] - cos(9.0 * t[0]) - (t[0] > 1.7 ? 1.0 : 0.0));
    return SSDE_OK;
}

/* A step that was refused is followed by none that is longer, however nearly it was accepted. */
static void test_ode_refused_steps(void) {
    static ode_steps seen;
    double tolerance, before, length = 0.0;
    size_t i, refused = 0, after = 0;
    for (tolerance = 1e-9; tolerance < 2e-3; tolerance *= 3.0) {
        ssde_ode_desc how = ssde_ode_defaults();
        double y = 2.0;
        int was_refused = 0;
        how.rtol = how.atol = tolerance;
        seen.count = 0;
        CHECK_OK(ssde_ode_integrate(&how, ode_steps_function, &seen, 1, 1, 0.0, 4.0, &y, NULL));
        before = -1.0;
        for (i = 2; i + 6 <= seen.count && seen.count < 20000; i += 6) { /* t + h / 5, ..., t + h, t + h */
            double h = (seen.t[i + 5] - seen.t[i]) / 0.8, start = seen.t[i] - h / 5.0;
            int again = before >= 0.0 && fabs(start - before) < 1e-9 * h + 1e-14;
            if (was_refused && !again) {
                CHECK(h <= length * (1.0 + 1e-9));
                after++;
            }
            was_refused = again;
            refused += (size_t)again;
            before = start;
            length = h;
        }
    }
    CHECK(refused > 50 && after > 30);
}

/* ---- flow: the probability flow ---- */

static void test_flow_gaussian(void) {
    int which;
    for (which = 0; which < SOLVER_SDES; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_score_model model;
        ssde_mixture *mixture = solver_gaussian_model(3, 0.3, 0.5, &sde, &model);
        ssde_flow_desc how = ssde_flow_defaults();
        ssde_ode_report reports[4];
        ssde_rng rng = ssde_rng_seed(7);
        ssde_coefficients c;
        float latent[12], x[12], back[12];
        size_t i;
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
        ssde_score_model model;
        ssde_mixture *mixture = solver_mixture_model(&m, &sde, &model);
        for (level = 0; level < 2; level++) {
            ssde_flow_desc how = ssde_flow_defaults();
            ssde_ode_report reports[5];
            ssde_rng rng = ssde_rng_seed(1);
            float x[20], expected[20];
            double evaluations;
            how.rtol = how.atol = level ? 1e-3 : 1e-5;
            how.eps = which ? 1e-3 : 1e-5;
            how.given_start = 1;
            solver_golden_floats(golden, solver_sde_names[which], "ode_init", x, 20);
            solver_golden_floats(golden, solver_sde_names[which], level ? "ode_out_tol0.001" : "ode_out_tol1e-05",
                                 expected, 20);
            evaluations = solver_golden_number(golden, solver_sde_names[which],
                                               level ? "ode_nfev_tol0.001" : "ode_nfev_tol1e-05");
            CHECK_OK(ssde_sample_ode_batch(&sde, &model, &how, &rng, 5, x, reports));
            CHECK_NEAR(reports[4].evaluations, evaluations, level ? 0.0 : 12.0);
            CHECK_ARRAY(x, expected, 20, level ? 1e-5 : 1e-4);
        }
        ssde_mixture_destroy(mixture);
    }
    golden_close(golden);
}

/* ---- flow: dense output and limits of the ODE ---- */

/* Trajectories of the flow against a Gaussian's closed one; of one sample alone, the same bits. */
static void test_flow_trajectories(void) {
    static const double down[4] = {1.0, 0.6, 0.1, 1e-3}, up[4] = {1e-3, 0.1, 0.6, 1.0};
    int which;
    for (which = 0; which < SOLVER_SDES; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_score_model model;
        ssde_mixture *mixture = solver_gaussian_model(3, 0.3, 0.5, &sde, &model);
        ssde_flow_desc how = ssde_flow_defaults();
        ssde_rng rng = ssde_rng_seed(7);
        float x[300], start[300], frames[1200], other[1200];
        size_t i, k;
        model.max_rows = 7;
        how.rtol = how.atol = 1e-6;
        how.times = down, how.time_count = 4, how.states = frames;
        CHECK_OK(ssde_sample_ode(&sde, &model, &how, &rng, 100, x, NULL));
        CHECK_OK(ssde_prior_sample(NULL, &sde, 7, NULL, 100, 3, start));
        CHECK_SAME(frames, start, sizeof start);
        CHECK_ARRAY(frames + 900, x, 300, 1e-7);
        for (k = 0; k < 4; k++) {
            for (i = 0; i < 300; i++)
                CHECK_NEAR(frames[k * 300 + i], solver_gaussian_flow(&sde, 0.3, 0.5, (double)start[i], 1.0, down[k]),
                           5e-5 * (1.0 + fabs((double)frames[k * 300 + i])));
        }
        how.states = other;
        CHECK_OK(ssde_decode(&sde, &model, &how, 5, 1, start + 15, x, NULL));
        for (k = 0; k < 4; k++) CHECK_SAME(other + 3 * k, frames + k * 300 + 15, 3 * sizeof *other);
        how.times = up;
        CHECK_OK(ssde_encode(&sde, &model, &how, 0, 100, frames + 900, x, NULL));
        for (k = 0; k < 4; k++) { /* the same paths, seen from the other end */
            CHECK_ARRAY(other + k * 300, frames + (3 - k) * 300, 300, 1e-4);
        }
        ssde_mixture_destroy(mixture);
    }
}

/* decode(encode(x)) = x within what the tolerance leaves, some 30 to 60 steps each way with errors of that size, which
   the way down to eps enlarges where modes part: measured, at most 70 tolerances. */
static void test_flow_round_trip(void) {
    static const double tolerances[3] = {1e-5, 1e-6, 1e-7};
    solver_mixture m = solver_wide_mixture(8);
    int which, level;
    for (which = 0; which < SOLVER_SDES; which++) {
        ssde_sde sde = solver_sde(which);
        ssde_score_model model;
        ssde_mixture *mixture = solver_mixture_model(&m, &sde, &model);
        ssde_rng rng = ssde_rng_seed(5);
        float x[160], code[160], back[160];
        size_t i;
        CHECK_OK(ssde_mixture_sample(mixture, &rng, 20, x, NULL));
        for (level = 0; level < 3; level++) {
            ssde_flow_desc how = ssde_flow_defaults();
            double worst = 0.0;
            how.rtol = how.atol = tolerances[level];
            CHECK_OK(ssde_encode(&sde, &model, &how, 0, 20, x, code, NULL));
            CHECK_OK(ssde_decode(&sde, &model, &how, 0, 20, code, back, NULL));
            for (i = 0; i < 160; i++) {
                double away = fabs((double)back[i] - (double)x[i]);
                if (!(away <= worst)) worst = away;
            }
            CHECK(worst < 100.0 * tolerances[level] + 2e-6); /* and codes are floats */
        }
        ssde_mixture_destroy(mixture);
    }
}

/* ---- flow: interpolation ---- */

static double control_angle(const float *a, const float *b, size_t n) {
    double inner = 0.0;
    size_t i;
    for (i = 0; i < n; i++) inner += (double)a[i] * (double)b[i];
    return acos(fmin(1.0, fmax(-1.0, inner / (control_norm(a, n) * control_norm(b, n)))));
}

static void test_flow_interpolate(void) {
    static const double weights[5] = {0.0, 0.2, 0.5, 0.9, 1.0};
    ssde_context context = ssde_context_defaults();
    float a[21], b[21], out[21], one = 2.0f, minus = -4.0f;
    size_t i, k, r;
    CHECK_OK(ssde_random_normal(NULL, 1, SSDE_STREAM_USER, 0, NULL, 3, 7, a));
    CHECK_OK(ssde_random_normal(NULL, 2, SSDE_STREAM_USER, 0, NULL, 3, 7, b));
    for (i = 0; i < 7; i++) b[7 + i] = 2.0f * a[7 + i];    /* the same direction */
    for (i = 0; i < 7; i++) b[14 + i] = -3.0f * a[14 + i]; /* the opposite one */
    for (k = 0; k < 5; k++) {
        double w = weights[k];
        CHECK_OK(ssde_interpolate(&context, a, b, w, 3, 7, out));
        for (r = 0; r < 3; r++) {
            const float *p = a + 7 * r, *q = b + 7 * r, *y = out + 7 * r;
            double whole = control_angle(p, q, 7), length = (1.0 - w) * control_norm(p, 7) + w * control_norm(q, 7);
            CHECK_RELATIVE(control_norm(y, 7), length, 1e-6);
            CHECK_NEAR(control_angle(p, y, 7), w * whole, 2e-3); /* acos of floats near 1 */
            CHECK_NEAR(control_angle(q, y, 7), (1.0 - w) * whole, 2e-3);
        }
        if (w == 0.0) CHECK_SAME(out, a, sizeof out);
        if (w == 1.0) CHECK_SAME(out, b, sizeof out);
    }
    CHECK_OK(ssde_interpolate(&context, a, a, 0.3, 3, 7, out)); /* equal ends */
    CHECK_ARRAY(out, a, 21, 1e-7);
    memcpy(out, a, sizeof out);
    CHECK_OK(ssde_interpolate(&context, out, b, 0.3, 3, 7, out)); /* in place */
    CHECK_OK(ssde_interpolate(&context, a, b, 0.3, 3, 7, a));
    CHECK_SAME(out, a, sizeof out);
    memset(out, 0, sizeof out);
    out[0] = 1.0f, out[3] = -2.0f; /* opposite along the first axis */
    CHECK_OK(ssde_interpolate(&context, out, out + 3, 0.5, 1, 3, out + 6));
    CHECK_RELATIVE(control_norm(out + 6, 3), 1.5, 1e-6);
    CHECK_NEAR(out[6], 0.0, 1e-6);
    CHECK_OK(ssde_interpolate(&context, &one, &minus, 0.25, 1, 1, out));
    CHECK_NEAR(out[0], 0.5, 1e-7);
    memset(out, 0, sizeof out);
    CHECK_OK(ssde_interpolate(&context, out, b, 0.25, 1, 7, out)); /* from the origin there is one way only */
    for (i = 0; i < 7; i++) CHECK_NEAR(out[i], 0.25 * (double)b[i], 1e-7);
    {
        const float far[2] = {0.0f, 3.4e38f}, farther[2] = {3.4e38f, 3.4e38f}; /* half way is 4.1e38 long */
        CHECK_FAILS(&context, ssde_interpolate(&context, far, farther, 0.5, 1, 2, out), SSDE_ERROR_NUMERIC,
                    "out[0][1] is inf");
    }
    CHECK_FAILS(&context, ssde_interpolate(&context, a, b, 1.5, 3, 7, out), SSDE_ERROR_ARGUMENT, "weight is 1.5");
    CHECK_FAILS(&context, ssde_interpolate(&context, a, NULL, 0.5, 3, 7, out), SSDE_ERROR_ARGUMENT, "b is NULL");
    a[3] = (float)NAN;
    CHECK_FAILS(&context, ssde_interpolate(&context, a, b, 0.5, 3, 7, out), SSDE_ERROR_NUMERIC, "a[0][3]");
}

/* ---- flow: failures ---- */

static double control_fade(void *user, double t) { return (void)user, (void)t, -20.0; }
static double control_grow(void *user, double t) { return (void)user, 4.0 + 4.0 * t; }

/* A sample that did not arrive is where it stopped, whether its report is asked for or not. */
static void test_flow_reports(void) {
    ssde_sde sde = ssde_affine(control_fade, control_grow, NULL); /* no signal long before t = 1 */
    ssde_mixture *mixture = NULL;
    ssde_score_model model;
    ssde_flow_desc how;
    ssde_ode_report reports[3];
    ssde_context context;
    float x[18], seen[18], blind[18], states[18];
    double start, scale;
    size_t i;
    memset(&how, 0, sizeof how), memset(&context, 0, sizeof context);
    how.max_evaluations = 30, how.context = &context;
    for (i = 0; i < 18; i++) x[i] = 0.1f * (float)i;
    CHECK_OK(ssde_gaussian_create(NULL, &mixture, 6, 0.0, 0.5));
    CHECK_OK(ssde_prior_time(NULL, &sde, &start, &scale));
    CHECK(start < 1.0 && fabs(scale - 1.0) > 0.01); /* which noise outgrows on the way there */
    model = ssde_mixture_model(mixture, &sde);
    CHECK_FAILS(&context, ssde_encode(&sde, &model, &how, 0, 3, x, seen, reports), SSDE_ERROR_LIMIT, "sample 0");
    CHECK_FAILS(&context, ssde_encode(&sde, &model, &how, 0, 3, x, blind, NULL), SSDE_ERROR_LIMIT, "sample 0");
    CHECK_SAME(blind, seen, sizeof seen);
    CHECK(reports[0].t > 0.0 && reports[0].t < start);
    how.max_evaluations = 0, how.times = &reports[0].t, how.time_count = 1,
    how.states = states; /* x where it stopped */
    CHECK_OK(ssde_encode(&sde, &model, &how, 0, 3, x, blind, NULL));
    for (i = 0; i < 6; i++) CHECK_NEAR(seen[i], states[i], 1e-5);
    ssde_mixture_destroy(mixture);
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
        ssde_ode_desc ode = ssde_ode_defaults();
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
        mixture = solver_mixture_model(&m, &sde, &model);
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

/* The ODE's answer is log p_eps(x) + log prior(x(1)) - log p_1(x(1)), all of which a mixture knows; where there is no
   signal at 1, from ssde_prior_time on. */
static void test_likelihood_mixtures(void) {
    static const size_t dims[2] = {2, 64};
    int which, wide;
    for (wide = 0; wide < 2; wide++) {
        size_t dim = dims[wide], n = check_quick ? 1 : 4, r, j;
        solver_mixture m = solver_wide_mixture(dim);
        for (which = 0; which < SOLVER_SDES; which++) {
            ssde_sde sde = solver_sde(which);
            ssde_score_model model;
            ssde_mixture *mixture = solver_mixture_model(&m, &sde, &model);
            ssde_likelihood_desc how = ssde_likelihood_defaults();
            ssde_likelihood_result results[4];
            ssde_likelihood_summary summary;
            ssde_rng rng = ssde_rng_seed(5), data = ssde_rng_seed(6);
            ssde_coefficients first, last;
            float x[4 * SOLVER_MAX_DIM], codes[4 * SOLVER_MAX_DIM];
            double prior[4], mean = 0.0, from, scale;
            CHECK_OK(ssde_mixture_sample(mixture, &data, n, x, NULL));
            how.trace = SSDE_TRACE_EXACT;
            how.latent = codes;
            if (!wide || check_quick) how.rtol = how.atol = 1e-6;
            CHECK_OK(ssde_likelihood(&sde, &model, &how, &rng, n, x, results));
            CHECK_OK(ssde_prior_time(NULL, &sde, &from, &scale));
            first = solver_marginal(&sde, how.eps), last = solver_marginal(&sde, from);
            CHECK_OK(ssde_prior_log_density(NULL, &sde, codes, n, dim, prior));
            for (r = 0; r < n; r++) {
                double start, end, score[SOLVER_MAX_DIM], laplacian, point[SOLVER_MAX_DIM];
                for (j = 0; j < dim; j++) point[j] = (double)x[r * dim + j];
                solver_density(&m, &first, point, &start, score, &laplacian);
                for (j = 0; j < dim; j++) point[j] = scale * (double)codes[r * dim + j];
                solver_density(&m, &last, point, &end, score, &laplacian);
                end += (double)dim * log(scale);
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

/* Rectified flow prices a Gaussian by its closed form: around 0 that of x itself; elsewhere the prior does not know the
   m mu that is left where solvers begin, m 1e-4, and log p(x) is off by m mu . x(1). */
static void test_likelihood_rectified_flow(void) {
    enum { N = 8, DIM = 2 };
    int shifted;
    for (shifted = 0; shifted < 2; shifted++) {
        ssde_sde sde = ssde_rectified_flow();
        ssde_score_model model;
        double mu = shifted ? 0.3 : 0.0, start, scale, at_x[N], at_start[N], prior[N], wide[N * DIM], t[N];
        ssde_mixture *mixture = solver_gaussian_model(DIM, mu, 0.5, &sde, &model);
        ssde_likelihood_desc how = ssde_likelihood_defaults();
        ssde_likelihood_result results[N];
        ssde_rng rng = ssde_rng_seed(5), data = ssde_rng_seed(6);
        float x[N * DIM], codes[N * DIM];
        size_t i;
        CHECK_OK(ssde_mixture_sample(mixture, &data, N, x, NULL));
        how.trace = SSDE_TRACE_EXACT;
        how.rtol = how.atol = 1e-10;
        how.latent = codes;
        CHECK_OK(ssde_likelihood(&sde, &model, &how, &rng, N, x, results));
        CHECK_OK(ssde_prior_time(NULL, &sde, &start, &scale));
        for (i = 0; i < N * DIM; i++) wide[i] = (double)x[i], t[i / DIM] = how.eps;
        CHECK_OK(ssde_mixture_evaluate(mixture, &sde, wide, t, N, at_x, NULL));
        for (i = 0; i < N * DIM; i++) wide[i] = scale * (double)codes[i], t[i / DIM] = start;
        CHECK_OK(ssde_mixture_evaluate(mixture, &sde, wide, t, N, at_start, NULL));
        CHECK_OK(ssde_prior_log_density(NULL, &sde, codes, N, DIM, prior));
        for (i = 0; i < N; i++) {
            double off = prior[i] - (double)DIM * log(scale) - at_start[i];
            CHECK_NEAR(results[i].log_density, at_x[i] + off, 1e-6);
            CHECK_NEAR(off, -1e-4 * mu * ((double)codes[2 * i] + (double)codes[2 * i + 1]), 2e-7);
            if (!shifted) CHECK_NEAR(results[i].log_density, at_x[i], 1e-6);
        }
        ssde_mixture_destroy(mixture);
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
            ode = ssde_ode_defaults();
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
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_score_model model;
    ssde_mixture *mixture = solver_gaussian_model(3, 0.0, 0.5, &sde, &model);
    ssde_likelihood_desc how = ssde_likelihood_defaults();
    ssde_likelihood_result integers[2], reals[2];
    ssde_rng rng = ssde_rng_seed(11), again = ssde_rng_seed(11);
    float x[6] = {0.0f, 15.0f, 7.0f, 8.0f, 3.0f, 12.0f}, real[6];
    double total = 0.0;
    int k;
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
    mixture = solver_gaussian_model(1, 0.0, 0.5, &sde, &model);
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
    ssde_context context = ssde_context_defaults();
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
    context.log = solver_count_log, context.user = &logged;
    how.context = &context;
    /* Narrow modes side by side, so that the Hessian has entries off its diagonal and probes differ. */
    for (r = 0; r < 3 * DIM; r++) m.mean[r] *= 0.3;
    mixture = solver_mixture_model(&m, &sde, &model);
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
    mixture = solver_gaussian_model(DIM, 0.2, 0.4, &sde, &model);
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

/* ---- likelihood: inpainting ---- */

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
    ssde_context context = ssde_context_defaults();
    check_log kept;
    int kind, c;
    sdes[0] = ssde_ve(0.01, 50.0), sdes[1] = ssde_vp(0.1, 20.0), sdes[2] = ssde_subvp(0.1, 20.0);
    sdes[3] = ssde_ve(0.01, 2.0);
    context.log = check_keep_log, context.user = &kept;
    for (kind = 0; kind < 4; kind++) {
        for (c = 0; c < 5; c++) {
            const scale_case *at = &cases[kind][c];
            ssde_mixture *mixture = NULL;
            ssde_likelihood_desc how = ssde_likelihood_defaults();
            ssde_flow_desc flow = ssde_flow_defaults();
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
    ssde_mixture *mixture = solver_gaussian_model(DIM, 0.0, 1.0, &sde, &model);
    ssde_context context = ssde_context_defaults();
    check_log kept;
    ssde_rng rng = ssde_rng_seed(1);
    size_t i;
    memset(&kept, 0, sizeof kept);
    context.log = check_keep_log, context.user = &kept;
    how.context = &context;
    how.rtol = how.atol = 1e-3;
    how.levels = 256;
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

/* ---- likelihood: schedules whose signal is gone before the end ---- */

/* log N(x; 0.3, 0.5^2); 1e-4 of 0.3 is left out, a few 1e-5 nats. */
static void test_likelihood_signal(void) {
    ssde_mixture *mixture = NULL;
    int kind, closed;
    CHECK_OK(ssde_gaussian_create(NULL, &mixture, 1, 0.3, 0.5));
    for (kind = 0; kind <= SIGNAL_CLOSED; kind++) {
        for (closed = kind == SIGNAL_EARLY; closed < 2; closed++) {
            ssde_sde sde = signal_sde(&kind, closed);
            ssde_score_model model = ssde_mixture_model(mixture, &sde);
            ssde_likelihood_desc how = ssde_likelihood_defaults();
            ssde_likelihood_result result;
            ssde_rng rng = ssde_rng_seed(1);
            float x = 0.7f, latent;
            how.latent = &latent;
            how.eps = 1e-6;
            CHECK_OK(ssde_likelihood(&sde, &model, &how, &rng, 1, &x, &result));
            CHECK_NEAR(result.log_density, -0.5457913526, 2e-4);
            CHECK_NEAR(latent, kind == SIGNAL_SPREAD ? 2.4 : 0.8, 1e-3);
            CHECK(result.evaluations < 500);
        }
    }
    ssde_mixture_destroy(mixture);
}

/* ---- likelihood: models made of others ---- */

/* The likelihood under exact guidance is the component's own. */
static void test_likelihood_guided(void) {
    solver_mixture m = solver_plane(), one = control_component(&m, 0);
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_mixture *mixture = NULL, *component = NULL;
    control_classifier classifier;
    ssde_condition condition = ssde_guide(control_classify, &classifier, 1.0);
    ssde_guided *guided = NULL;
    ssde_score_model model;
    ssde_likelihood_desc price = ssde_likelihood_defaults();
    ssde_likelihood_result mine[4], expected[4];
    ssde_rng rng = ssde_rng_seed(3), again = ssde_rng_seed(3), data = ssde_rng_seed(4);
    float x[8];
    size_t i;
    CHECK_OK(solver_mixture_create(&m, NULL, &mixture));
    CHECK_OK(solver_mixture_create(&one, NULL, &component));
    CHECK_OK(ssde_mixture_sample(component, &data, 4, x, NULL));
    classifier.all = ssde_mixture_model(mixture, &sde), classifier.weight = 1.0;
    classifier.component = ssde_mixture_model(component, &sde);
    CHECK_OK(ssde_guided_create(NULL, &guided, &sde, &classifier.all, &condition, 0, 4));
    model = ssde_guided_model(guided);
    price.trace = SSDE_TRACE_EXACT;
    CHECK_OK(ssde_likelihood(&sde, &model, &price, &rng, 4, x, mine));
    CHECK_OK(ssde_likelihood(&sde, &classifier.component, &price, &again, 4, x, expected));
    for (i = 0; i < 4; i++) {
        CHECK(mine[i].approximate);
        CHECK_NEAR(mine[i].log_density, expected[i].log_density, 0.02); /* differences */
    }
    ssde_guided_destroy(guided);
    ssde_mixture_destroy(component);
    ssde_mixture_destroy(mixture);
}

/* One score per evaluation, however many probes; the probes' products follow it. */
static void test_likelihood_calls(void) {
    static const size_t probes[3] = {1, 5, 40};
    solver_mixture m = solver_wide_mixture(4);
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_mixture *mixture = NULL;
    solver_model wrapper;
    ssde_score_model model;
    ssde_rng data = ssde_rng_seed(1);
    float x[4];
    int k;
    CHECK_OK(solver_mixture_create(&m, NULL, &mixture));
    model = solver_wrap(&wrapper, ssde_mixture_model(mixture, &sde));
    CHECK_OK(ssde_mixture_sample(mixture, &data, 1, x, NULL));
    for (k = 0; k < 3; k++) {
        ssde_likelihood_desc price = ssde_likelihood_defaults();
        ssde_likelihood_result result;
        ssde_rng rng = ssde_rng_seed(2);
        price.probes = probes[k];
        wrapper.calls = 0;
        CHECK_OK(ssde_likelihood(&sde, &model, &price, &rng, 1, x, &result));
        CHECK(wrapper.calls == result.evaluations && result.evaluations % 6 == 2);
    }
    ssde_mixture_destroy(mixture);
}

/* The joint error is one norm: which of x's numbers is far out does not matter. */
static void test_likelihood_joint_error(void) {
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_mixture *mixture = NULL;
    ssde_likelihood_desc price = ssde_likelihood_defaults();
    ssde_likelihood_result results[4];
    int far;
    CHECK_OK(ssde_gaussian_create(NULL, &mixture, 4, 0.0, 0.5));
    price.trace = SSDE_TRACE_EXACT;
    price.joint_error = 1;
    price.rtol = 1e-6;
    for (far = 0; far < 4; far++) {
        ssde_score_model model = ssde_mixture_model(mixture, &sde);
        ssde_rng rng = ssde_rng_seed(2);
        float x[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        x[far] = 3.0f;
        CHECK_OK(ssde_likelihood(&sde, &model, &price, &rng, 1, x, &results[far]));
        CHECK(results[far].evaluations == results[0].evaluations);
    }
    ssde_mixture_destroy(mixture);
}

/* ---- likelihood ---- */

/* The first number of integer data is looked at as the last is. */
static void test_likelihood_whole_numbers(void) {
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_likelihood_desc how = ssde_likelihood_defaults();
    ssde_likelihood_result results[2];
    ssde_context context = ssde_context_defaults();
    ssde_score_model model;
    ssde_mixture *mixture = solver_gaussian_model(2, 0.0, 1.0, &sde, &model);
    size_t i;
    how.levels = 16.0, how.low = -1.0, how.high = 1.0;
    how.context = &context;
    for (i = 0; i < 4; i++) {
        ssde_rng rng = ssde_rng_seed(1);
        float x[4] = {0, 15, 3, 7};
        char words[32];
        snprintf(words, sizeof words, "x[%d][%d] is", (int)(i / 2), (int)(i % 2));
        x[i] = i % 2 ? 16.0f : 2.5f;
        CHECK_FAILS(&context, ssde_likelihood(&sde, &model, &how, &rng, 2, x, results), SSDE_ERROR_ARGUMENT, words);
        CHECK(rng.next_sample == 0);
    }
    ssde_mixture_destroy(mixture);
}

#define TEST_SOLVERS_FLOW_LIST(X) \
    X(ode_integrate)              \
    X(ode_golden)                 \
    X(ode_dense_output)           \
    X(ode_each_tolerance)         \
    X(ode_refused_steps)          \
    X(flow_gaussian)              \
    X(flow_golden)                \
    X(flow_trajectories)          \
    X(flow_round_trip)            \
    X(flow_interpolate)           \
    X(flow_reports)               \
    X(likelihood_golden)          \
    X(likelihood_summary)         \
    X(likelihood_mixtures)        \
    X(likelihood_rectified_flow)  \
    X(likelihood_ring)            \
    X(likelihood_integers)        \
    X(likelihood_probes)          \
    X(likelihood_scale)           \
    X(likelihood_levels)          \
    X(likelihood_signal)          \
    X(likelihood_guided)          \
    X(likelihood_calls)           \
    X(likelihood_joint_error)     \
    X(likelihood_whole_numbers)

#endif
