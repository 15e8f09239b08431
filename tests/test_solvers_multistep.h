/* Multistep predictors by published weights, and Euler's method with churn: plans carried out in double beside the
   papers' formulas, as others write them. */
#ifndef TEST_SOLVERS_MULTISTEP_H
#define TEST_SOLVERS_MULTISTEP_H

#include "check.h"
#include "fixtures_solvers.h"

enum { PUBLISHED_STEPS = 9, PUBLISHED_MOST = 128, PUBLISHED_DIM = 2 };

/* A run's SDE, times, noise and mixture, and the noise levels s at its times. */
typedef struct published_run {
    ssde_sde sde;
    solver_mixture mixture;
    size_t steps;
    double times[PUBLISHED_MOST + 1], s[PUBLISHED_MOST + 1], noise[PUBLISHED_MOST][PUBLISHED_DIM];
} published_run;

/* No two steps are alike in log s. */
static published_run published_start(const ssde_sde *sde, const solver_mixture *mixture, size_t steps) {
    published_run run;
    size_t k, j;
    memset(&run, 0, sizeof run);
    run.sde = *sde, run.mixture = *mixture, run.steps = steps;
    for (k = 0; k <= steps; k++) {
        double left = 1.0 - (double)k / (double)steps;
        run.times[k] = 0.02 + 0.88 * left * left;
        ssde_coefficients c = solver_marginal(sde, run.times[k]);
        run.s[k] = c.std / c.mean;
    }
    for (k = 0; k < steps; k++) {
        for (j = 0; j < PUBLISHED_DIM; j++) run.noise[k][j] = (double)(float)sin(3.0 * (double)k + 5.0 * (double)j);
    }
    return run;
}

/* The plans of a desc in double. */
static void published_carry_out(const published_run *run, const ssde_sampler_desc *how, double *x) {
    ssdei_setting setting;
    ssdei_step_plan *plans = (ssdei_step_plan *)calloc(run->steps, sizeof *plans);
    double out[PUBLISHED_MOST][PUBLISHED_DIM], score[PUBLISHED_DIM], density, laplacian, scale;
    size_t k, j, i, dim = run->mixture.dim;
    ssde_sampler_desc full = *how;
    full.steps = run->steps, full.times = run->times;
    CHECK_OK(ssdei_setting_make(&setting, &run->sde, &full));
    CHECK_OK(ssde_prior_time(NULL, &run->sde, &setting.start, &scale));
    setting.by_d = setting.start;
    for (k = 0; plans && k < run->steps; k++) {
        ssdei_step_plan *p = &plans[k];
        ssde_coefficients c;
        p->step = k;
        CHECK_OK(ssdei_step_plan_make(&setting, run->times, p));
        for (j = 0; j < dim; j++) x[j] += p->churn.x * x[j] + p->churn.noise * run->noise[k][j];
        c = solver_marginal(&run->sde, p->t0);
        solver_density(&run->mixture, &c, x, &density, score, &laplacian);
        for (j = 0; j < dim; j++) {
            double sum = score[j];
            out[k][j] = p->keep_x * x[j] + p->keep_score * score[j];
            if (setting.info->history)
                for (sum = 0.0, i = 0; i <= SSDEI_HISTORY && i <= k; i++) sum += p->weight[i] * out[k - i][j];
            x[j] += p->update.x * x[j] + p->update.score * sum + p->update.noise * run->noise[k][j];
        }
    }
    free(plans);
}

/* D at y and s. */
static void published_denoised(const published_run *run, const double *y, double s, double *out) {
    ssde_coefficients c;
    double density, laplacian, score[PUBLISHED_DIM];
    size_t j;
    memset(&c, 0, sizeof c);
    c.mean = 1.0, c.std = s;
    solver_density(&run->mixture, &c, y, &density, score, &laplacian);
    for (j = 0; j < run->mixture.dim; j++) out[j] = y[j] + s * s * score[j];
}

typedef struct published_way {
    ssde_predictor predictor;
    double eta;
    int order, noise, heun, bh1, fewer_at_end, euler_at_end, third_as_diffusers, exact;
    size_t uncorrected_count;
} published_way;

static const size_t published_uncorrected[2] = {0, 3};

static ssde_sampler_desc published_desc(const published_way *way) {
    ssde_sampler_desc how = samplers_desc(way->predictor, 0, 0.0);
    how.given_start = how.skip_denoise = 1;
    how.eta = way->eta;
    how.multistep.published = 1;
    how.multistep.order = way->order;
    how.multistep.noise = way->noise;
    how.multistep.heun = way->heun;
    how.multistep.exact = way->exact;
    how.multistep.bh1 = way->bh1;
    how.multistep.fewer_at_end = way->fewer_at_end;
    how.multistep.euler_at_end = way->euler_at_end;
    how.multistep.third_as_diffusers = way->third_as_diffusers;
    how.multistep.uncorrected = published_uncorrected;
    how.multistep.uncorrected_count = way->uncorrected_count;
    return how;
}

static size_t published_order(const published_run *run, const published_way *way, size_t step) {
    size_t order = (size_t)way->order, left = run->steps - step;
    if (order > step + 1) order = step + 1;
    if (way->fewer_at_end && order > left) order = left;
    return way->euler_at_end && left == 1 ? 1 : order;
}

/* DPM-Solver++ and DPM-Solver, multistep: alpha = 1, lambda = -log s. */
static void published_dpm(const published_run *run, const published_way *way, double *y) {
    double past[PUBLISHED_MOST][PUBLISHED_DIM], eta = way->eta;
    size_t i, j;
    for (i = 0; i < run->steps; i++) {
        double from = run->s[i], to = run->s[i + 1], h = log(from / to), e = (1.0 + eta) * h, r0 = 1.0, r1 = 1.0;
        size_t order = published_order(run, way, i);
        if (i) r0 = log(run->s[i - 1] / from) / h;
        if (i > 1) r1 = log(run->s[i - 2] / run->s[i - 1]) / h;
        published_denoised(run, y, from, past[i]);
        for (j = 0; j < run->mixture.dim; j++) {
            double D0, D1 = 0.0, D2 = 0.0, first, second, third, base, z = run->noise[i][j];
            if (way->noise) past[i][j] = (y[j] - past[i][j]) / from;
            D0 = past[i][j];
            if (order > 1) D1 = (D0 - past[i - 1][j]) / r0;
            if (order > 2) {
                double older = (past[i - 1][j] - past[i - 2][j]) / r1, newer = D1;
                D1 = newer + r0 / (r0 + r1) * (newer - older);
                D2 = (newer - older) / (r0 + r1);
            }
            if (way->noise) {
                base = y[j] + to * sqrt(eta * (exp(2.0 * h) - 1.0)) * z;
                first = -(1.0 + eta) * to * (exp(h) - 1.0);
                second = -(1.0 + eta) * to * ((exp(h) - 1.0) / h - 1.0);
                third = -(1.0 + eta) * to * ((exp(h) - 1.0 - h) / (h * h) - 0.5);
            } else {
                base = to / from * exp(-eta * h) * y[j] + to * sqrt(1.0 - exp(-2.0 * eta * h)) * z;
                first = 1.0 - exp(-e);
                second = (exp(-e) - 1.0) / e + 1.0;
                third = -((exp(-e) - 1.0 + e) / (e * e) - 0.5);
                if (way->third_as_diffusers) third = (1.0 - exp(-e) - e) / (e * e) - 0.5;
            }
            if (order == 2 && !way->heun) second = 0.5 * first;
            y[j] = base + first * D0 + second * D1 + third * D2;
        }
    }
}

/* y' = y + (1 + eta) the integral over s of the polynomial in log s through the noise (DEIS), or of e^(-e) D, by
   Simpson's rule. */
static void published_exact(const published_run *run, const published_way *way, double *y) {
    enum { PARTS = 2000 };
    double past[PUBLISHED_MOST][PUBLISHED_DIM], e = 1.0 + way->eta;
    size_t i, j, k, l, part;
    for (i = 0; i < run->steps; i++) {
        double from = log(run->s[i]), to = log(run->s[i + 1]), sum[PUBLISHED_DIM] = {0.0}, eta = way->eta;
        size_t order = published_order(run, way, i);
        published_denoised(run, y, run->s[i], past[i]);
        for (j = 0; way->noise && j < run->mixture.dim; j++) past[i][j] = (y[j] - past[i][j]) / run->s[i];
        for (part = 0; part <= PARTS; part++) {
            double at = from + (to - from) * (double)part / (double)PARTS;
            double w = (part == 0 || part == PARTS ? 1.0 : part % 2 ? 4.0 : 2.0) * (to - from) / (3.0 * (double)PARTS);
            w *= way->noise ? e * exp(at) : -e * exp(e * (to - at));
            for (k = 0; k < order; k++) {
                double basis = w;
                for (l = 0; l < order; l++)
                    if (l != k) basis *= (at - log(run->s[i - l])) / (log(run->s[i - k]) - log(run->s[i - l]));
                for (j = 0; j < run->mixture.dim; j++) sum[j] += basis * past[i - k][j];
            }
        }
        for (j = 0; j < run->mixture.dim; j++) {
            double variance = exp(2.0 * to) *
                              (way->noise ? eta * (exp(2.0 * (from - to)) - 1.0) : 1.0 - exp(-2.0 * eta * (from - to)));
            y[j] = y[j] * (way->noise ? 1.0 : exp(e * (to - from))) + sum[j] + sqrt(variance) * run->noise[i][j];
        }
    }
}

/* sum_i a_ji rho_i = b_j by elimination; n <= 3. */
static void published_eliminate(double (*a)[3], double *b, size_t n) {
    size_t i, j, k;
    for (i = 0; i < n; i++) {
        for (k = 0; k < n; k++) {
            double factor = a[k][i] / a[i][i];
            if (k == i) continue;
            for (j = i; j < n; j++) a[k][j] -= factor * a[i][j];
            b[k] -= factor * b[i];
        }
    }
    for (i = 0; i < n; i++) b[i] /= a[i][i];
}

/* UniPC's sum B rho_i D_i, the last D_i that of the step's end where it is known, for a step from s[i] of this order.
 */
static double published_unipc_sum(const published_run *run, const published_way *way, size_t i, size_t order,
                                  double (*past)[PUBLISHED_DIM], size_t j, int corrects) {
    double h = log(run->s[i] / run->s[i + 1]), hh = way->noise ? h : -h, B = way->bh1 ? hh : exp(hh) - 1.0;
    double r[3], D[3], R[3][3], b[3], phi = (exp(hh) - 1.0) / hh - 1.0, factorial = 1.0, sum = 0.0;
    size_t n = order - 1, k, l;
    for (k = 0; k < n; k++) {
        r[k] = log(run->s[i] / run->s[i - k - 1]) / h;
        D[k] = (past[i - k - 1][j] - past[i][j]) / r[k];
    }
    if (corrects) r[n] = 1.0, D[n] = past[i + 1][j] - past[i][j], n++;
    for (k = 0; k < n; k++) {
        for (l = 0; l < n; l++) R[k][l] = pow(r[l], (double)k);
        factorial *= (double)(k + 1);
        b[k] = phi * factorial / B;
        phi = phi / hh - 1.0 / (factorial * (double)(k + 2));
    }
    if (n == 1)
        b[0] = 0.5;
    else
        published_eliminate(R, b, n);
    for (k = 0; k < n; k++) sum += B * b[k] * D[k];
    return sum;
}

/* UniPC: what is returned is predicted, the outputs are those at predictions, and steps begin where the last one has
   been corrected to. */
static void published_unipc(const published_run *run, const published_way *way, double *y) {
    double past[PUBLISHED_MOST + 1][PUBLISHED_DIM], start[PUBLISHED_DIM] = {0.0};
    size_t i, j, k, order, dim = run->mixture.dim;
    for (i = 0; i < run->steps; i++) {
        double from = run->s[i], h = log(from / run->s[i + 1]), scale;
        int corrects = i > 0;
        published_denoised(run, y, from, past[i]);
        for (j = 0; way->noise && j < dim; j++) past[i][j] = (y[j] - past[i][j]) / from;
        for (k = 0; k < way->uncorrected_count; k++) corrects = corrects && published_uncorrected[k] + 1 != i;
        if (corrects) {
            double before = log(run->s[i - 1] / from);
            order = published_order(run, way, i - 1);
            scale = way->noise ? from : 1.0;
            for (j = 0; j < dim; j++)
                y[j] = (way->noise ? 1.0 : from / run->s[i - 1]) * start[j] -
                       scale * ((exp(way->noise ? before : -before) - 1.0) * past[i - 1][j] +
                                published_unipc_sum(run, way, i - 1, order, past, j, 1));
        }
        order = published_order(run, way, i);
        scale = way->noise ? run->s[i + 1] : 1.0;
        for (j = 0; j < dim; j++) {
            start[j] = y[j];
            if (h == 0.0) continue;
            y[j] = (way->noise ? 1.0 : run->s[i + 1] / from) * y[j] -
                   scale * ((exp(way->noise ? h : -h) - 1.0) * past[i][j] +
                            published_unipc_sum(run, way, i, order, past, j, 0));
        }
    }
}

static ssde_status published_known_noise(void *user, int stream, uint32_t step, const uint64_t *sample, size_t rows,
                                         size_t dim, float *out) {
    const published_run *run = (const published_run *)user;
    size_t j;
    (void)sample;
    if (stream != SSDE_STREAM_PREDICTOR || step >= run->steps || rows != 1) return SSDE_ERROR_ARGUMENT;
    for (j = 0; j < dim; j++) out[j] = (float)run->noise[step][j];
    return SSDE_OK;
}

enum {
    PUBLISHED_2M = SSDE_PREDICTOR_DPM_SOLVER_2M,
    PUBLISHED_3M = SSDE_PREDICTOR_DPM_SOLVER_3M,
    PUBLISHED_SDE = SSDE_PREDICTOR_DPM_SOLVER_2M_SDE,
    PUBLISHED_UNIPC = SSDE_PREDICTOR_UNIPC
};

static void test_sampler_published_formulas(void) {
    /* predictor, eta, order, noise, heun, bh1, fewer_at_end, euler_at_end, third_as_diffusers, exact,
       uncorrected */
    static const struct {
        int predictor;
        double eta;
        int flags[8];
        size_t uncorrected;
    } ways[] = {
        {PUBLISHED_2M, 0.0, {1, 0, 0, 0, 0, 0, 0, 0}, 0},    {PUBLISHED_2M, 0.0, {2, 0, 0, 0, 0, 0, 0, 0}, 0},
        {PUBLISHED_2M, 0.0, {2, 0, 1, 0, 1, 0, 0, 0}, 0},    {PUBLISHED_2M, 0.0, {2, 1, 0, 0, 0, 1, 0, 0}, 0},
        {PUBLISHED_2M, 0.0, {2, 1, 1, 0, 0, 0, 0, 0}, 0},    {PUBLISHED_2M, 0.4, {2, 0, 0, 0, 1, 0, 0, 0}, 0},
        {PUBLISHED_SDE, 1.0, {1, 1, 0, 0, 0, 0, 0, 0}, 0},   {PUBLISHED_SDE, 1.0, {2, 0, 1, 0, 0, 0, 0, 0}, 0},
        {PUBLISHED_SDE, 1.0, {2, 1, 0, 0, 0, 0, 0, 0}, 0},   {PUBLISHED_SDE, 1.0, {2, 1, 1, 0, 0, 0, 0, 0}, 0},
        {PUBLISHED_3M, 0.0, {3, 0, 0, 0, 1, 0, 0, 0}, 0},    {PUBLISHED_3M, 0.0, {3, 0, 1, 0, 0, 1, 0, 0}, 0},
        {PUBLISHED_3M, 0.0, {3, 1, 0, 0, 0, 0, 0, 0}, 0},    {PUBLISHED_3M, 1.0, {3, 0, 0, 0, 1, 0, 0, 0}, 0},
        {PUBLISHED_3M, 1.0, {3, 0, 1, 0, 0, 0, 1, 0}, 0},    {PUBLISHED_3M, 0.5, {3, 1, 0, 0, 0, 0, 0, 0}, 0},
        {PUBLISHED_UNIPC, 0.0, {1, 0, 0, 0, 0, 0, 0, 0}, 0}, {PUBLISHED_UNIPC, 0.0, {2, 0, 0, 0, 1, 0, 0, 0}, 0},
        {PUBLISHED_UNIPC, 0.0, {2, 0, 0, 1, 0, 0, 0, 0}, 2}, {PUBLISHED_UNIPC, 0.0, {2, 1, 0, 0, 0, 0, 0, 0}, 0},
        {PUBLISHED_UNIPC, 0.0, {2, 1, 0, 1, 1, 0, 0, 0}, 2}, {PUBLISHED_UNIPC, 0.0, {3, 0, 0, 0, 0, 0, 0, 0}, 0},
        {PUBLISHED_UNIPC, 0.0, {3, 0, 0, 1, 1, 0, 0, 0}, 0}, {PUBLISHED_UNIPC, 0.0, {3, 1, 0, 0, 1, 0, 0, 0}, 2},
        {PUBLISHED_2M, 0.0, {2, 1, 0, 0, 0, 0, 0, 1}, 0},    {PUBLISHED_3M, 0.0, {3, 1, 0, 0, 1, 0, 0, 1}, 0},
        {PUBLISHED_3M, 0.0, {3, 0, 0, 0, 0, 0, 0, 1}, 0},    {PUBLISHED_3M, 0.6, {3, 0, 0, 0, 0, 0, 0, 1}, 0},
        {PUBLISHED_3M, 1.0, {3, 1, 0, 0, 0, 1, 0, 1}, 0}};
    solver_mixture m = solver_plane();
    int which;
    size_t i, j;
    for (which = 0; which < SOLVER_SDES; which++) {
        ssde_sde sde = solver_sde(which);
        published_run run = published_start(&sde, &m, PUBLISHED_STEPS);
        ssde_coefficients start = solver_marginal(&sde, run.times[0]), end = solver_marginal(&sde, 0.02);
        ssde_score_model model;
        ssde_mixture *mixture = solver_mixture_model(&m, &sde, &model);
        for (i = 0; i < sizeof ways / sizeof ways[0]; i++) {
            const int *f = ways[i].flags;
            ssde_rng rng = ssde_rng_seed(1);
            double x[PUBLISHED_DIM], y[PUBLISHED_DIM];
            float drawn[PUBLISHED_DIM];
            published_way way;
            ssde_sampler_desc how;
            way.predictor = (ssde_predictor)ways[i].predictor, way.eta = ways[i].eta;
            way.order = f[0], way.noise = f[1], way.heun = f[2], way.bh1 = f[3], way.fewer_at_end = f[4];
            way.euler_at_end = f[5], way.third_as_diffusers = f[6], way.exact = f[7],
            way.uncorrected_count = ways[i].uncorrected;
            how = published_desc(&way);
            for (j = 0; j < PUBLISHED_DIM; j++) {
                drawn[j] = (float)((j ? -1.1 : 0.7) * start.std);
                x[j] = (double)drawn[j];
                y[j] = x[j] / start.mean;
            }
            published_carry_out(&run, &how, x);
            if (way.predictor == SSDE_PREDICTOR_UNIPC)
                published_unipc(&run, &way, y);
            else if (way.exact)
                published_exact(&run, &way, y);
            else
                published_dpm(&run, &way, y);
            how.steps = PUBLISHED_STEPS, how.times = run.times;
            how.noise.fill = published_known_noise, how.noise.user = &run;
            CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 1, drawn));
            for (j = 0; j < PUBLISHED_DIM; j++) {
                CHECK_NEAR(x[j], end.mean * y[j], 1e-10 * (1.0 + start.std / start.mean));
                CHECK_NEAR(drawn[j], x[j], 1e-5 * (1.0 + fabs(x[j])));
            }
        }
        ssde_mixture_destroy(mixture);
    }
}

/* Distance from the exact flow of a Gaussian. */
static double published_error(const ssde_sde *sde, const ssde_sampler_desc *how, size_t steps) {
    solver_mixture m;
    published_run run;
    double x = 1.3;
    memset(&m, 0, sizeof m);
    m.components = m.dim = 1, m.weight[0] = 1.0, m.mean[0] = 0.3, m.variance[0] = 0.25;
    run = published_start(sde, &m, steps);
    x *= solver_marginal(sde, run.times[0]).std;
    {
        double exact = solver_gaussian_flow(sde, 0.3, 0.5, x, run.times[0], run.times[steps]);
        published_carry_out(&run, how, &x);
        return fabs(x - exact);
    }
}

/* dpm_solver_3m's is 2: its parabola counts half. UniPC's first step, of order 1, and its correction leave it 3. */
static void test_sampler_published_orders(void) {
    static const struct {
        int predictor, order, noise, heun, bh1;
        double slope;
    } ways[] = {
        {PUBLISHED_2M, 1, 0, 0, 0, 1.0},    {PUBLISHED_2M, 2, 0, 0, 0, 2.0},    {PUBLISHED_2M, 2, 0, 1, 0, 2.0},
        {PUBLISHED_2M, 2, 1, 0, 0, 2.0},    {PUBLISHED_3M, 3, 0, 0, 0, 2.0},    {PUBLISHED_3M, 3, 1, 0, 0, 2.0},
        {PUBLISHED_UNIPC, 1, 0, 0, 0, 2.0}, {PUBLISHED_UNIPC, 2, 0, 0, 0, 3.0}, {PUBLISHED_UNIPC, 2, 0, 0, 1, 3.0},
        {PUBLISHED_UNIPC, 2, 1, 0, 0, 3.0}, {PUBLISHED_UNIPC, 3, 0, 0, 0, 3.0}, {PUBLISHED_UNIPC, 3, 1, 0, 0, 3.0}};
    int which;
    size_t i;
    for (which = 0; which < SOLVER_SDES; which++) {
        ssde_sde sde = solver_sde(which);
        for (i = 0; i < sizeof ways / sizeof ways[0]; i++) {
            ssde_sampler_desc how = samplers_desc((ssde_predictor)ways[i].predictor, 0, 0.0);
            double slope, fine;
            how.given_start = how.skip_denoise = how.multistep.published = 1;
            how.multistep.order = ways[i].order, how.multistep.noise = ways[i].noise;
            how.multistep.heun = ways[i].heun, how.multistep.bh1 = ways[i].bh1;
            fine = published_error(&sde, &how, PUBLISHED_MOST);
            slope = log(published_error(&sde, &how, PUBLISHED_MOST / 2) / fine) / log(2.0);
            if (!(slope > ways[i].slope - 0.3) || (ways[i].slope < 3.0 && slope > ways[i].slope + 0.5) ||
                !(fine < 0.02))
                check_report(__FILE__, __LINE__, "%s, %s of order %d%s: %.3f, error %.3g", solver_sde_names[which],
                             ssde_predictor_name(how.predictor), ways[i].order, ways[i].noise ? " of noise" : "", slope,
                             fine);
        }
    }
}

/* The exact moments by Simpson's rule, at steps so short that the recurrence would leave nothing of them. */
static void test_sampler_published_moments(void) {
    static const double spans[] = {0.0, 1e-12, -1e-5, 1e-3, 0.1, -0.9, 0.999, 1.001, -1.5, 4.0, -6.0, 30.0};
    size_t i;
    int j, k;
    for (i = 0; i < sizeof spans / sizeof spans[0]; i++) {
        double moment[4], span = spans[i];
        ssdei_multistep_moments(span, moment);
        for (j = 0; j < 4; j++) {
            double sum = 0.0, size = 1e-13 * fabs(span) * (1.0 + exp(-span));
            for (k = 0; k <= 4000; k++) {
                double u = k / 4000.0, w = (k == 0 || k == 4000 ? 1.0 : k % 2 ? 4.0 : 2.0) / 12000.0;
                sum += w * span * exp((u - 1.0) * span) * pow(u, j);
            }
            CHECK_NEAR(moment[j], sum, size + 1e-9 * fabs(sum));
        }
    }
}

/* m = 1, and s(t) = t - 0.2, which is 0 at the last time or the same at the last two. */
static double published_one(void *user, double t) { return (void)user, (void)t, 1.0; }
static double published_late(void *user, double t) { return (void)user, fmax(0.0, t - 0.2); }
static double published_flat(void *user, double t) { return (void)user, fmax(0.1, t - 0.2); }
static double published_nothing(void *user, double t) { return (void)user, (void)t, 0.0; }

/* A step to where there is no noise ends at D, of polynomials through the noise too; one of no length leaves x, but for
   UniPC's correction of the one before. */
static void test_sampler_published_ends(void) {
    static const double times[5] = {1.0, 0.7, 0.5, 0.3, 0.2};
    static const int predictors[4] = {PUBLISHED_2M, PUBLISHED_3M, PUBLISHED_SDE, PUBLISHED_UNIPC};
    int i, noise, flat, rule;
    size_t j;
    for (i = 0; i < 4; i++) {
        for (noise = 0; noise < 2; noise++) {
            for (flat = 0; flat < 2; flat++) {
                solver_mixture m = solver_plane();
                ssde_sde sde = ssde_affine(published_nothing, published_nothing, NULL);
                published_run run;
                published_way way;
                double before[PUBLISHED_DIM] = {0.7, -1.1}, after[PUBLISHED_DIM] = {0.7, -1.1}, wanted[PUBLISHED_DIM];
                sde.mean = published_one, sde.std = flat ? published_flat : published_late;
                memset(&way, 0, sizeof way);
                way.predictor = (ssde_predictor)predictors[i], way.noise = noise;
                way.eta = i == 2 ? 1.0 : 0.0, way.order = i == 1 ? 3 : 2;
                memset(&run, 0, sizeof run);
                run.sde = sde, run.mixture = m, run.steps = 4;
                for (j = 0; j < 5; j++) {
                    run.times[j] = times[j];
                    run.s[j] = sde.std(NULL, times[j]);
                }
                for (rule = 0; rule < 2; rule++) {
                    ssde_sampler_desc how = published_desc(&way);
                    if (rule && (noise || flat)) continue;
                    if (rule) memset(&how.multistep, 0, sizeof how.multistep);
                    memcpy(after, before, sizeof after);
                    memcpy(wanted, before, sizeof wanted);
                    run.steps = 3;
                    published_carry_out(&run, &how, wanted);
                    if (!flat) published_denoised(&run, wanted, run.s[3], wanted);
                    run.steps = 4;
                    published_carry_out(&run, &how, after);
                    if (flat && predictors[i] == PUBLISHED_UNIPC) {
                        memcpy(wanted, before, sizeof wanted);
                        published_unipc(&run, &way, wanted);
                    }
                    for (j = 0; j < PUBLISHED_DIM; j++) CHECK_NEAR(after[j], wanted[j], 1e-12);
                }
            }
        }
    }
}

/* Orders count denoising as a step: without the last time, and denoised where it begins, a run that falls in order ends
   where the run into no noise does. */
static void test_sampler_published_denoises(void) {
    enum { STEPS = 5 };
    static const double times[STEPS + 1] = {1.0, 0.8, 0.6, 0.45, 0.3, 0.2};
    solver_mixture m = solver_plane();
    ssde_sde sde = ssde_affine(published_nothing, published_nothing, NULL);
    ssde_mixture *mixture;
    ssde_score_model model;
    ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_UNIPC, STEPS, 0.0);
    float x[2][PUBLISHED_DIM] = {{0.7f, -1.1f}, {0.7f, -1.1f}};
    int k;
    sde.mean = published_one, sde.std = published_late;
    mixture = solver_mixture_model(&m, &sde, &model);
    how.times = times;
    how.given_start = how.skip_denoise = how.multistep.published = how.multistep.fewer_at_end = 1;
    how.multistep.order = 3;
    for (k = 0; k < 2; k++) {
        ssde_rng rng = ssde_rng_seed(1);
        how.steps = (size_t)(STEPS - k), how.skip_denoise = !k;
        CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 1, x[k]));
    }
    CHECK_ARRAY(x[0], x[1], PUBLISHED_DIM, 1e-6);
    ssde_mixture_destroy(mixture);
}

/* UniPC of order 3 looks back three steps, in memory that is told; it and churned Euler draw the same samples alone and
   together. */
static void test_sampler_published_batches(void) {
    enum { ROWS = 5 };
    solver_mixture m = solver_plane();
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_score_model model;
    ssde_mixture *mixture = solver_mixture_model(&m, &sde, &model);
    ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_UNIPC, 9, 0.0);
    ssde_rng rng = ssde_rng_seed(3), one = ssde_rng_seed(3);
    float x[ROWS * PUBLISHED_DIM], y[PUBLISHED_DIM];
    size_t memory[2], i, k;
    how.multistep.published = 1;
    memory[0] = ssde_sample_memory(&sde, &model, &how, 1000);
    how.multistep.order = 3;
    memory[1] = ssde_sample_memory(&sde, &model, &how, 1000);
    CHECK(memory[1] >= memory[0] + 1000 * PUBLISHED_DIM * sizeof *x);
    for (k = 0; k < 2; k++) {
        if (k) {
            memset(&how.multistep, 0, sizeof how.multistep);
            how.predictor = SSDE_PREDICTOR_DDIM, how.s_churn = 3.0;
        }
        CHECK_OK(ssde_sample(&sde, &model, &how, &rng, ROWS, x));
        for (i = 0; i < ROWS; i++) {
            CHECK_OK(ssde_sample(&sde, &model, &how, &one, 1, y));
            CHECK_SAME(y, x + i * PUBLISHED_DIM, sizeof y);
        }
    }
    ssde_mixture_destroy(mixture);
}

/* ---- churned Euler ---- */

/* A step of Karras et al.'s algorithm 2 without its correction; or as where the model does not see the churn, with
   epsilon (NOISE), sample (DATA), v (VELOCITY) or EDM's F. */
static void churned_step(const published_run *run, size_t i, double s_hat, ssde_parameterisation unseen, double *y) {
    double s = run->s[i], to = run->s[i + 1], d[PUBLISHED_DIM], before[PUBLISHED_DIM], more = s_hat * s_hat - s * s;
    double sd = 0.5, q = s * s + sd * sd, q_hat = s_hat * s_hat + sd * sd;
    size_t j;
    memcpy(before, y, sizeof before);
    for (j = 0; j < PUBLISHED_DIM; j++) y[j] += 1.003 * sqrt(fmax(0.0, more)) * run->noise[i][j];
    published_denoised(run, unseen ? before : y, unseen ? s : s_hat, d);
    for (j = 0; j < PUBLISHED_DIM; j++) {
        double epsilon = (before[j] - d[j]) / s, v = (before[j] / (s * s + 1.0) - d[j]) * sqrt(s * s + 1.0) / s;
        double F = (d[j] - sd * sd / q * before[j]) * sqrt(q) / (s * sd);
        if (unseen == SSDE_PREDICT_NOISE) d[j] = y[j] - s_hat * epsilon;
        if (unseen == SSDE_PREDICT_VELOCITY) d[j] = -s / sqrt(s * s + 1.0) * v + y[j] / (s * s + 1.0);
        if (unseen == SSDE_PREDICT_EDM) d[j] = sd * sd / q_hat * y[j] + s_hat * sd / sqrt(q_hat) * F;
        y[j] += (y[j] - d[j]) / s_hat * (to - s_hat);
    }
}

static void test_sampler_churned_euler(void) {
    static const ssde_parameterisation unseen[5] = {SSDE_PREDICT_DEFAULT, SSDE_PREDICT_NOISE, SSDE_PREDICT_DATA,
                                                    SSDE_PREDICT_VELOCITY, SSDE_PREDICT_EDM};
    solver_mixture m = solver_plane();
    int which, way, heavy;
    size_t i, j;
    for (which = 0; which < SOLVER_SDES; which++) {
        ssde_sde sde = solver_sde(which);
        published_run run = published_start(&sde, &m, PUBLISHED_STEPS);
        ssde_coefficients end = solver_marginal(&sde, 0.02);
        for (way = 0; way < 5; way++) {
            for (heavy = 0; heavy < 2; heavy++) {
                ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_DDIM, 0, 0.0);
                double x[PUBLISHED_DIM], y[PUBLISHED_DIM],
                    gamma = heavy ? sqrt(2.0) - 1.0 : 2.0 / (double)PUBLISHED_STEPS;
                double scale = run.s[0];
                how.given_start = how.skip_denoise = 1;
                how.s_churn = heavy ? 100.0 : 2.0, how.s_tmin = 0.05, how.s_tmax = 0.5 * scale, how.s_noise = 1.003;
                how.churn_unseen = unseen[way], how.sigma_data = 0.5;
                for (j = 0; j < PUBLISHED_DIM; j++) y[j] = (j ? -1.1 : 0.7) * scale;
                for (j = 0; j < PUBLISHED_DIM; j++) x[j] = y[j] * solver_marginal(&sde, run.times[0]).mean;
                published_carry_out(&run, &how, x);
                for (i = 0; i < PUBLISHED_STEPS; i++) {
                    int churns = run.s[i] >= how.s_tmin && run.s[i] <= how.s_tmax;
                    churned_step(&run, i, run.s[i] * (churns ? 1.0 + gamma : 1.0), unseen[way], y);
                }
                for (j = 0; j < PUBLISHED_DIM; j++) CHECK_NEAR(x[j], end.mean * y[j], 1e-8 * (1.0 + scale));
            }
        }
    }
}

static void test_sampler_published_bad_input(void) {
    ssde_context context = ssde_context_defaults();
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_score_model model;
    ssde_mixture *mixture = solver_gaussian_model(2, 0.0, 0.5, &sde, &model);
    ssde_rng rng = ssde_rng_seed(1);
    float x[2] = {0.0f, 0.0f};
    int i;
#define PUBLISHED_FAILS(predictor_, change, status, words)                                 \
    do {                                                                                   \
        ssde_sampler_desc how = samplers_desc(predictor_, 5, 1e-3);                        \
        how.context = &context;                                                            \
        change;                                                                            \
        CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 1, x), status, words); \
        CHECK(!ssde_sample_memory(&sde, &model, &how, 1));                                 \
    } while (0)
    for (i = 0; i < 9; i++) { /* without `published` */
        ssde_sampler_desc how = samplers_desc(SSDE_PREDICTOR_UNIPC, 5, 1e-3);
        ssde_multistep *m = &how.multistep;
        how.context = &context;
        *(i == 0   ? &m->order
          : i == 1 ? &m->noise
          : i == 2 ? &m->heun
          : i == 3 ? &m->bh1
          : i == 4 ? &m->fewer_at_end
          : i == 5 ? &m->euler_at_end
          : i == 6 ? &m->exact
                   : &m->third_as_diffusers) = i < 8;
        if (i == 8) m->uncorrected = published_uncorrected, m->uncorrected_count = 1;
        CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 1, x), SSDE_ERROR_ARGUMENT,
                    "multistep.published is 0, wanted 1");
    }
    PUBLISHED_FAILS(SSDE_PREDICTOR_DDIM, how.multistep.published = 1, SSDE_ERROR_ARGUMENT,
                    "multistep.published is set, wanted 0 with ddim");
    PUBLISHED_FAILS(SSDE_PREDICTOR_UNIPC, how.multistep.published = how.multistep.heun = 1, SSDE_ERROR_ARGUMENT,
                    "multistep.heun is set");
    PUBLISHED_FAILS(SSDE_PREDICTOR_UNIPC, how.multistep.published = how.multistep.exact = 1, SSDE_ERROR_ARGUMENT,
                    "multistep.exact is set");
    PUBLISHED_FAILS(SSDE_PREDICTOR_DPM_SOLVER_2M, how.multistep.published = how.multistep.bh1 = 1, SSDE_ERROR_ARGUMENT,
                    "multistep.bh1 is set");
    PUBLISHED_FAILS(SSDE_PREDICTOR_DPM_SOLVER_3M, how.multistep.published = 1;
                    how.multistep.uncorrected_count = 1, SSDE_ERROR_ARGUMENT, "multistep.uncorrected_count is set");
    PUBLISHED_FAILS(SSDE_PREDICTOR_UNIPC, how.multistep.published = 1;
                    how.multistep.uncorrected_count = 3, SSDE_ERROR_ARGUMENT, "uncorrected is NULL, wanted uncorr");
    PUBLISHED_FAILS(SSDE_PREDICTOR_DPM_SOLVER_2M, how.multistep.published = 1;
                    how.multistep.order = 3, SSDE_ERROR_ARGUMENT, "multistep.order is 3, wanted 1 to 2");
    PUBLISHED_FAILS(SSDE_PREDICTOR_UNIPC, how.multistep.published = 1;
                    how.multistep.order = 4, SSDE_ERROR_ARGUMENT, "multistep.order is 4, wanted 1 to 3");
    PUBLISHED_FAILS(SSDE_PREDICTOR_UNIPC, how.multistep.published = 1;
                    how.multistep.order = -1, SSDE_ERROR_ARGUMENT, "multistep.order is -1");
    PUBLISHED_FAILS(SSDE_PREDICTOR_DPM_SOLVER_3M, how.multistep.published = how.multistep.third_as_diffusers = 1,
                    SSDE_ERROR_ARGUMENT, "third_as_diffusers is set with dpm_solver_3m of order 3 and eta 0,");
    PUBLISHED_FAILS(SSDE_PREDICTOR_DPM_SOLVER_3M, how.multistep.published = how.multistep.third_as_diffusers = 1;
                    how.eta = 1.0; how.multistep.noise = 1, SSDE_ERROR_ARGUMENT, "eta 1, of noise");
    PUBLISHED_FAILS(SSDE_PREDICTOR_DPM_SOLVER_3M, how.multistep.published = how.multistep.third_as_diffusers = 1;
                    how.eta = 1.0; how.multistep.exact = 1, SSDE_ERROR_ARGUMENT, "eta 1, exact");
    PUBLISHED_FAILS(SSDE_PREDICTOR_DPM_SOLVER_2M_SDE, how.multistep.published = how.multistep.third_as_diffusers = 1,
                    SSDE_ERROR_ARGUMENT, "of order 2");
    PUBLISHED_FAILS(SSDE_PREDICTOR_DDIM, how.eta = how.s_churn = 0.5, SSDE_ERROR_ARGUMENT, "s_churn 0.5");
    PUBLISHED_FAILS(SSDE_PREDICTOR_HEUN, how.churn_unseen = SSDE_PREDICT_NOISE, SSDE_ERROR_UNSUPPORTED, "ddim");
    PUBLISHED_FAILS(SSDE_PREDICTOR_DDIM, how.churn_unseen = SSDE_PREDICT_EDM, SSDE_ERROR_ARGUMENT, "sigma_data 0");
    PUBLISHED_FAILS(SSDE_PREDICTOR_DDIM, how.churn_unseen = SSDE_PREDICT_COUNT, SSDE_ERROR_ARGUMENT, "churn_unseen");
#undef PUBLISHED_FAILS
    ssde_mixture_destroy(mixture);
}

#define TEST_SOLVERS_MULTISTEP_LIST(X) \
    X(sampler_published_formulas)      \
    X(sampler_published_orders)        \
    X(sampler_published_moments)       \
    X(sampler_published_ends)          \
    X(sampler_published_denoises)      \
    X(sampler_published_batches)       \
    X(sampler_published_bad_input)     \
    X(sampler_churned_euler)

#endif
