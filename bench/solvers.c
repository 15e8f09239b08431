/* Samplers and likelihoods measured, as CSV:

       cc -O2 bench/solvers.c -o solvers -lm && ./solvers

   sde,sampler,steps,nfe,dim,n,ms,ns_per_sample_step,nll,nll_target,error
   nfe: evaluations of the score per sample (adaptive and ODE: the mean). Empty where a column has no meaning.

   Parts, all unless --part names one:

   order: strong errors by steps on a Gaussian: flow solvers against its closed flow (the sampler's name, then "flow"),
   stochastic ones (then "path") against 8,192 steps of stochastic Heun on the same Brownian path. error: root mean
   square.

   tables: the ring of eight Gaussians. nll is the mean -log p(x) of denoised samples, nll_target that of exact draws,
   error the share of samples whose -log p exceeds 20, which nll leaves out. Correctors by step rule at N = 1000 (then
   snr); fast samplers by steps; the flow of VE from s = 50 to 0.01 against 4,096 steps of Heun ("endpoint": error is
   the root mean square distance); the ODE's evaluations by tolerance and size of the batch.

   likelihood: mixtures in 2, 64 and 3,072 dimensions, tolerance 1e-7, exact trace up to 64, then --probes of them. nll
   is the ODE's -log p, nll_target that of log p_eps(x) + log prior - log p_1, nats per dimension, error the root mean
   square between them; further rows hold the distance from the data's own density and the standard deviation of one
   probe's estimate, per dimension. 330 probes of 64 points have a standard error of 3e-5, a third of the 1e-4 that the
   error must stay below; the three SDEs take 50 s on one core with AVX2.

   cost: Euler-Maruyama, VP, exact score of the ring, one thread; the fastest of the repetitions, and what its parts
   take. The last row is an image's share of a step without its network.

   normals: ns_per_sample_step is per draw.

   Options: --part order|tables|likelihood|cost|normals
            --samples N (tables, 16384)   --repetitions N (cost, normals, 7)
            --probes N, --points N (likelihood in 3,072 dimensions, 330 and 64)   --sde ve|vp|subvp (likelihood)
            --tier scalar|neon|avx2|avx512 */
#define SCORESDE_KEEP_MACROS
#define SCORESDE_IMPLEMENTATION
#include "../scoresde_solvers.h"

#include "measure.h"

static ssde_context context;
static size_t samples = 16384, repetitions = 7, probes = 330, points = 64;
static int only_sde = 3;

static const double none = -1e-301;

/* `none` and NaN are left empty. */
static void number(double value, const char *format) {
    printf(",");
    if (value >= 0.0 || value < none) printf(format, value);
}

static void line(const char *sde, const char *sampler, size_t steps, double nfe, size_t dim, size_t n, double ms,
                 double ns, double nll, double target, double error) {
    printf("%s,%s,%lu", sde, sampler, (unsigned long)steps);
    number(nfe, "%.6g");
    printf(",%lu,%lu", (unsigned long)dim, (unsigned long)n);
    number(ms, "%.3f");
    number(ns, "%.3f");
    number(nll, "%.5f");
    number(target, "%.5f");
    number(error, "%.3g");
    printf("\n");
    fflush(stdout);
}

static void *take(size_t count, size_t size) {
    void *memory = calloc(count, size);
    if (!memory) fail("memory", "none left");
    return memory;
}

static ssde_sde sde_of(int which) {
    return which == 0 ? ssde_ve(0.01, 50.0) : which == 1 ? ssde_vp(0.1, 20.0) : ssde_subvp(0.1, 20.0);
}
static const char *const sde_names[3] = {"ve", "vp", "subvp"};

static ssde_sampler_desc sampler(ssde_predictor predictor, size_t steps) {
    ssde_sampler_desc how = ssde_sampler_defaults();
    how.predictor = predictor;
    how.corrector = SSDE_CORRECTOR_NONE;
    how.steps = steps;
    how.context = &context;
    return how;
}

static double distance(const float *a, const float *b, size_t count) {
    double sum = 0.0;
    size_t i;
    for (i = 0; i < count; i++) sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sqrt(sum / (double)count);
}

/* ---- order ---- */

enum { ORDER_N = 64, ORDER_DIM = 4 };

/* N(0.3, 0.5^2) under the flow from t = 1 to t. */
static void exact_flow(const ssde_sde *sde, const float *start, double t, float *out) {
    ssde_coefficients a, b;
    size_t i;
    must(&context, ssde_coefficients_at(&context, sde, 1.0, &a));
    must(&context, ssde_coefficients_at(&context, sde, t, &b));
    for (i = 0; i < ORDER_N * ORDER_DIM; i++)
        out[i] =
            (float)(b.mean * 0.3 + ((double)start[i] - a.mean * 0.3) * sqrt((b.mean * b.mean * 0.25 + b.std * b.std) /
                                                                            (a.mean * a.mean * 0.25 + a.std * a.std)));
}

static void order_rows(int which, const ssde_score_model *model, ssde_predictor predictor, int path,
                       const float *target, const float *start) {
    ssde_sde sde = sde_of(which);
    size_t steps;
    for (steps = 8; steps <= 512; steps *= 2) {
        ssde_sampler_desc how = sampler(predictor, steps);
        ssde_sample_report report;
        ssde_rng rng = ssde_rng_seed(1);
        float x[ORDER_N * ORDER_DIM];
        char name[64];
        double clock;
        how.eps = 0.01;
        how.grid = SSDE_GRID_QUADRATIC;
        how.skip_denoise = how.given_start = 1;
        how.probability_flow = !path;
        how.brownian = path;
        how.report = &report;
        if (predictor == SSDE_PREDICTOR_DDIM && path) how.eta = 1.0;
        if (predictor == SSDE_PREDICTOR_ADAPTIVE) how.steps = 1, how.rtol = how.atol = 1.0 / (double)steps;
        memcpy(x, start, sizeof x);
        clock = seconds();
        must(&context, ssde_sample(&sde, model, &how, &rng, ORDER_N, x));
        clock = seconds() - clock;
        snprintf(name, sizeof name, "%s %s", ssde_predictor_name(predictor), path ? "path" : "flow");
        line(sde_names[which], name, steps, report.mean_evaluations, ORDER_DIM, ORDER_N, 1e3 * clock, none, none, none,
             distance(x, target, ORDER_N * ORDER_DIM));
    }
}

static void part_order(void) {
    static const ssde_predictor flows[] = {SSDE_PREDICTOR_EULER_MARUYAMA,
                                           SSDE_PREDICTOR_REVERSE_DIFFUSION,
                                           SSDE_PREDICTOR_STOCHASTIC_HEUN,
                                           SSDE_PREDICTOR_DDIM,
                                           SSDE_PREDICTOR_HEUN,
                                           SSDE_PREDICTOR_STRAIGHT_HEUN,
                                           SSDE_PREDICTOR_DPM_SOLVER_2M,
                                           SSDE_PREDICTOR_DPM_SOLVER_3M,
                                           SSDE_PREDICTOR_UNIPC};
    static const ssde_predictor paths[] = {SSDE_PREDICTOR_EULER_MARUYAMA,   SSDE_PREDICTOR_REVERSE_DIFFUSION,
                                           SSDE_PREDICTOR_ANCESTRAL,        SSDE_PREDICTOR_STOCHASTIC_HEUN,
                                           SSDE_PREDICTOR_ADAPTIVE,         SSDE_PREDICTOR_DDIM,
                                           SSDE_PREDICTOR_DPM_SOLVER_2M_SDE};
    size_t k;
    int which;
    for (which = 0; which < 3; which++) {
        ssde_sde sde = sde_of(which);
        ssde_mixture *mixture;
        ssde_score_model model;
        ssde_sampler_desc how = sampler(SSDE_PREDICTOR_STOCHASTIC_HEUN, 8192);
        ssde_rng rng = ssde_rng_seed(1);
        float start[ORDER_N * ORDER_DIM], target[ORDER_N * ORDER_DIM];
        must(&context, ssde_gaussian_create(&context, &mixture, ORDER_DIM, 0.3, 0.5));
        model = ssde_mixture_model(mixture, &sde);
        must(&context, ssde_prior_sample(&context, &sde, 3, NULL, ORDER_N, ORDER_DIM, start));
        exact_flow(&sde, start, 0.01, target);
        for (k = 0; k < sizeof flows / sizeof flows[0]; k++) order_rows(which, &model, flows[k], 0, target, start);
        how.eps = 0.01;
        how.skip_denoise = how.given_start = how.brownian = 1;
        memcpy(target, start, sizeof target);
        must(&context, ssde_sample(&sde, &model, &how, &rng, ORDER_N, target));
        for (k = 0; k < sizeof paths / sizeof paths[0]; k++) order_rows(which, &model, paths[k], 1, target, start);
        ssde_mixture_destroy(mixture);
    }
}

/* ---- tables: the ring ---- */

/* Mean -log p_0 of those below 20, and the share of the others. */
static void ring_nll(ssde_mixture *ring, const float *x, size_t n, double *nll, double *out) {
    ssde_sde sde = ssde_vp(0.1, 20.0); /* p_0 is the mixture itself */
    size_t r, inside = 0;
    *nll = 0.0;
    for (r = 0; r < n; r++) {
        double point[2], t = 0.0, density;
        point[0] = (double)x[2 * r], point[1] = (double)x[2 * r + 1];
        must(&context, ssde_mixture_evaluate(ring, &sde, point, &t, 1, &density, NULL));
        if (-density > 20.0) continue;
        inside++;
        *nll -= density;
    }
    *nll /= (double)inside;
    *out = 1.0 - (double)inside / (double)n;
}

static void table_row(int which, ssde_mixture *ring, const char *name, ssde_sampler_desc how, double target, float *x) {
    ssde_sde sde = sde_of(which);
    ssde_score_model model = ssde_mixture_model(ring, &sde);
    ssde_sample_report report;
    ssde_rng rng = ssde_rng_seed(11);
    double clock = seconds(), nll, out;
    size_t steps = how.steps ? how.steps : ssde_predictor_info(how.predictor)->steps;
    how.report = &report;
    must(&context, ssde_sample(&sde, &model, &how, &rng, samples, x));
    clock = seconds() - clock;
    ring_nll(ring, x, samples, &nll, &out);
    line(sde_names[which], name, steps, report.mean_evaluations, 2, samples, 1e3 * clock,
         1e9 * clock / (double)(samples * steps), nll, target, out);
}

/* The reference's rule with each sample's own norms, which ssde_sample does not offer: it shows why. */
static void per_sample_norm_row(int which, ssde_mixture *ring, ssde_predictor predictor, int flow, double snr,
                                const char *name, double target, float *x) {
    ssde_sde sde = sde_of(which);
    ssde_score_model model = ssde_mixture_model(ring, &sde);
    size_t n = samples, k, r;
    float *score = (float *)take(2 * n, sizeof *score), *z = (float *)take(2 * n, sizeof *z);
    double *t = (double *)take(n, sizeof *t), *t_next = (double *)take(n, sizeof *t), nll, out;
    uint64_t *sample = (uint64_t *)take(n, sizeof *sample);
    double times[1001], clock = seconds();
    ssde_sampler_desc how = sampler(predictor, 1000);
    how.probability_flow = flow;
    for (r = 0; r < n; r++) sample[r] = r;
    must(&context, ssde_time_grid(&context, SSDE_GRID_UNIFORM, which ? 1e-3 : 1e-5, 1000, times));
    must(&context, ssde_prior_sample(&context, &sde, 11, NULL, n, 2, x));
    for (k = 0; k < 1000; k++) {
        for (r = 0; r < n; r++) t[r] = times[k], t_next[r] = times[k + 1];
        must(&context, model.score(model.user, x, t, sample, n, 0, score));
        must(&context, ssde_random_normal(&context, 11, SSDE_STREAM_PREDICTOR, (uint32_t)k, NULL, n, 2, z));
        must(&context, ssde_predictor_step(&sde, &how, x, score, z, t, t_next, n, 2, x, NULL));
        must(&context, model.score(model.user, x, t_next, sample, n, 0, score));
        must(&context, ssde_random_normal(&context, 11, SSDE_STREAM_CORRECTOR, (uint32_t)k, NULL, n, 2, z));
        for (r = 0; r < n; r++) {
            double ratio =
                hypot((double)z[2 * r], (double)z[2 * r + 1]) / hypot((double)score[2 * r], (double)score[2 * r + 1]);
            double step = 2.0 * snr * snr * ratio * ratio;
            x[2 * r] += (float)(step * (double)score[2 * r] + sqrt(2.0 * step) * (double)z[2 * r]);
            x[2 * r + 1] += (float)(step * (double)score[2 * r + 1] + sqrt(2.0 * step) * (double)z[2 * r + 1]);
        }
    }
    must(&context, model.score(model.user, x, t_next, sample, n, 0, score));
    {
        ssde_coefficients c;
        must(&context, ssde_coefficients_at(&context, &sde, times[1000], &c));
        for (r = 0; r < 2 * n; r++) x[r] = (float)(((double)x[r] + c.std * c.std * (double)score[r]) / c.mean);
    }
    clock = seconds() - clock;
    ring_nll(ring, x, n, &nll, &out);
    line(sde_names[which], name, 1000, 2001.0, 2, n, 1e3 * clock, 1e6 * clock / (double)n, nll, target, out);
    free(score);
    free(z);
    free(t);
    free(t_next);
    free(sample);
}

/* Correctors by step rule, after 1,000 steps of a predictor. */
static void part_correctors(ssde_mixture *ring, double target, float *x) {
    static const struct {
        int which, flow;
        ssde_predictor predictor;
        double snr;
    } settings[] = {{1, 0, SSDE_PREDICTOR_EULER_MARUYAMA, 0.16},
                    {1, 1, SSDE_PREDICTOR_EULER_MARUYAMA, 0.16},
                    {0, 0, SSDE_PREDICTOR_REVERSE_DIFFUSION, 0.16},
                    {0, 1, SSDE_PREDICTOR_REVERSE_DIFFUSION, 0.16},
                    {1, 0, SSDE_PREDICTOR_EULER_MARUYAMA, 0.05}};
    size_t k;
    int rule;
    for (k = 0; k < sizeof settings / sizeof settings[0]; k++) {
        const char *predictor = ssde_predictor_name(settings[k].predictor), *flow = settings[k].flow ? " flow" : "";
        char name[96];
        for (rule = SSDE_CORRECTOR_NONE; rule < SSDE_CORRECTOR_COUNT; rule++) {
            ssde_sampler_desc how = sampler(settings[k].predictor, 1000);
            how.probability_flow = settings[k].flow;
            how.corrector = (ssde_corrector)rule;
            how.snr = settings[k].snr;
            snprintf(name, sizeof name, "%s%s + %s %.2f", predictor, flow, ssde_corrector_name(how.corrector), how.snr);
            table_row(settings[k].which, ring, name, how, target, x);
        }
        snprintf(name, sizeof name, "%s%s + per-sample norm %.2f", predictor, flow, settings[k].snr);
        per_sample_norm_row(settings[k].which, ring, settings[k].predictor, settings[k].flow, settings[k].snr, name,
                            target, x);
    }
}

/* Endpoint errors of VE's flow. */
static void part_endpoints(ssde_mixture *ring) {
    static const struct {
        ssde_predictor predictor;
        ssde_grid grid;
    } ways[] = {{SSDE_PREDICTOR_DDIM, SSDE_GRID_LOG_SNR},          {SSDE_PREDICTOR_HEUN, SSDE_GRID_LOG_SNR},
                {SSDE_PREDICTOR_DPM_SOLVER_2M, SSDE_GRID_LOG_SNR}, {SSDE_PREDICTOR_DPM_SOLVER_3M, SSDE_GRID_LOG_SNR},
                {SSDE_PREDICTOR_UNIPC, SSDE_GRID_LOG_SNR},         {SSDE_PREDICTOR_HEUN, SSDE_GRID_KARRAS},
                {SSDE_PREDICTOR_DPM_SOLVER_2M, SSDE_GRID_KARRAS},  {SSDE_PREDICTOR_DPM_SOLVER_3M, SSDE_GRID_KARRAS},
                {SSDE_PREDICTOR_UNIPC, SSDE_GRID_KARRAS}};
    enum { N = 2000 };
    ssde_sde sde = ssde_ve(0.01, 50.0);
    ssde_score_model model = ssde_mixture_model(ring, &sde);
    float *exact = (float *)take(2 * N, sizeof *exact), *x = (float *)take(2 * N, sizeof *x);
    size_t way, evaluations;
    ssde_sampler_desc how = sampler(SSDE_PREDICTOR_HEUN, 4096);
    ssde_rng rng = ssde_rng_seed(11);
    how.skip_denoise = 1;
    how.grid = SSDE_GRID_LOG_SNR;
    must(&context, ssde_sample(&sde, &model, &how, &rng, N, exact));
    for (way = 0; way < sizeof ways / sizeof ways[0]; way++) {
        for (evaluations = 8; evaluations <= 128; evaluations *= 2) {
            ssde_sample_report report;
            char name[64];
            double clock = seconds();
            how.predictor = ways[way].predictor;
            how.steps = evaluations / (size_t)ssde_predictor_info(how.predictor)->evaluations;
            how.grid = ways[way].grid;
            how.report = &report;
            rng = ssde_rng_seed(11);
            must(&context, ssde_sample(&sde, &model, &how, &rng, N, x));
            clock = seconds() - clock;
            snprintf(name, sizeof name, "%s %s endpoint", ssde_predictor_name(how.predictor),
                     how.grid == SSDE_GRID_KARRAS ? "karras" : "log-snr");
            line("ve", name, how.steps, report.mean_evaluations, 2, N, 1e3 * clock, none, none, none,
                 distance(x, exact, 2 * N));
        }
    }
    free(exact);
    free(x);
}

/* The probability flow's evaluations by tolerance and size of a batch that shares its steps (and per sample). */
static void part_ode(ssde_mixture *ring) {
    static const double tolerances[3] = {1e-1, 1e-3, 1e-5};
    size_t k, n, r;
    int which;
    for (which = 0; which < 3; which++) {
        ssde_sde sde = sde_of(which);
        ssde_score_model model = ssde_mixture_model(ring, &sde);
        for (k = 0; k < 3; k++) {
            for (n = 1; n <= 64; n *= 8) {
                ssde_flow_desc how = ssde_flow_defaults();
                ssde_ode_report reports[64];
                float x[128];
                int batch;
                how.rtol = how.atol = tolerances[k];
                how.eps = which ? 1e-3 : 1e-5;
                how.context = &context;
                for (batch = 0; batch < 2; batch++) {
                    ssde_rng rng = ssde_rng_seed(11);
                    char name[64];
                    double clock = seconds(), mean = 0.0;
                    must(&context,
                         (batch ? ssde_sample_ode_batch : ssde_sample_ode)(&sde, &model, &how, &rng, n, x, reports));
                    clock = seconds() - clock;
                    for (r = 0; r < n; r++) mean += (double)reports[r].evaluations / (double)n;
                    snprintf(name, sizeof name, "ode%s %.0e", batch ? "_batch" : "", tolerances[k]);
                    line(sde_names[which], name, reports[0].steps, mean, 2, n, 1e3 * clock, none, none, none, none);
                }
            }
        }
    }
}

static void part_tables(void) {
    ssde_mixture *ring;
    float *x = (float *)take(2 * samples, sizeof *x);
    ssde_rng rng = ssde_rng_seed(77);
    double target, out;
    size_t steps;
    int which, predictor;
    must(&context, ssde_ring_create(&context, &ring, 8, 1.0, 0.1));
    must(&context, ssde_mixture_sample(ring, &rng, samples, x, NULL));
    ring_nll(ring, x, samples, &target, &out);
    line("none", "exact draws", 0, 0.0, 2, samples, none, none, target, target, out);
    part_correctors(ring, target, x);
    for (which = 0; which < 3; which++) {
        for (predictor = SSDE_PREDICTOR_STOCHASTIC_HEUN; predictor < SSDE_PREDICTOR_COUNT; predictor++) {
            const char *name = ssde_predictor_name((ssde_predictor)predictor);
            table_row(which, ring, name, sampler((ssde_predictor)predictor, 0), target, x); /* its defaults */
            if (predictor == SSDE_PREDICTOR_ADAPTIVE) continue;
            for (steps = 8; steps <= 64; steps *= 2)
                table_row(which, ring, name, sampler((ssde_predictor)predictor, steps), target, x);
        }
    }
    part_endpoints(ring);
    part_ode(ring);
    ssde_mixture_destroy(ring);
    free(x);
}

/* ---- likelihood ---- */

/* Three components with means and deviations from a fixed pattern. */
static ssde_mixture *pattern(size_t dim) {
    double *means = (double *)take(6 * dim, sizeof *means), *stds = means + 3 * dim;
    static const double weights[3] = {0.5, 0.3, 0.2};
    ssde_mixture *mixture;
    size_t i;
    for (i = 0; i < 3 * dim; i++) {
        means[i] = sin(1.7 * (double)i);
        stds[i] = sqrt(0.05 + 0.04 * cos(2.3 * (double)i));
    }
    must(&context, ssde_mixture_create(&context, &mixture, 3, dim, weights, means, stds));
    free(means);
    return mixture;
}

/* log p_t of rows. */
static void densities(ssde_mixture *mixture, const ssde_sde *sde, const float *x, double t, size_t n, size_t dim,
                      double *out) {
    double *point = (double *)take(dim, sizeof *point);
    size_t r, j;
    for (r = 0; r < n; r++) {
        for (j = 0; j < dim; j++) point[j] = (double)x[r * dim + j];
        must(&context, ssde_mixture_evaluate(mixture, sde, point, &t, 1, out + r, NULL));
    }
    free(point);
}

static void likelihood_rows(int which, size_t dim) {
    size_t n = dim > 64 ? points : 64, r;
    ssde_sde sde = sde_of(which);
    ssde_mixture *mixture = pattern(dim);
    ssde_score_model model = ssde_mixture_model(mixture, &sde);
    ssde_likelihood_desc how = ssde_likelihood_defaults();
    ssde_likelihood_result *results = (ssde_likelihood_result *)take(n, sizeof *results);
    ssde_rng data = ssde_rng_seed(6), rng = ssde_rng_seed(5);
    float *x = (float *)take(n * dim, sizeof *x), *codes = (float *)take(n * dim, sizeof *x);
    double *first = (double *)take(4 * n, sizeof *first), *last = first + n, *prior = last + n, *zero = prior + n;
    double clock, nfe = 0.0, nll = 0.0, target = 0.0, error = 0.0, gap = 0.0;
    double spread = 0.0, d = (double)dim;

    must(&context, ssde_mixture_sample(mixture, &data, n, x, NULL));
    how.context = &context;
    how.rtol = how.atol = 1e-7;
    how.latent = codes;
    how.trace = dim > 64 ? SSDE_TRACE_RADEMACHER : SSDE_TRACE_EXACT;
    how.probes = probes;
    clock = seconds();
    must(&context, ssde_likelihood(&sde, &model, &how, &rng, n, x, results));
    clock = seconds() - clock;
    densities(mixture, &sde, x, how.eps, n, dim, first);
    densities(mixture, &sde, codes, 1.0, n, dim, last);
    densities(mixture, &sde, x, 0.0, n, dim, zero);
    must(&context, ssde_prior_log_density(&context, &sde, codes, n, dim, prior));
    for (r = 0; r < n; r++) {
        double expected = first[r] + prior[r] - last[r], away = (results[r].log_density - expected) / d;
        nfe += (double)results[r].evaluations / (double)n;
        nll -= results[r].log_density / (d * (double)n);
        target -= expected / (d * (double)n);
        error += away * away / (double)n;
        gap += fabs(results[r].log_density - zero[r]) / (d * (double)n);
        spread += results[r].standard_error * results[r].standard_error / (double)n;
    }
    line(sde_names[which], dim > 64 ? "likelihood by probes" : "likelihood exact", 0, nfe, dim, n, 1e3 * clock, none,
         nll, target, sqrt(error));
    line(sde_names[which], "gap to p_0", 0, nfe, dim, n, none, none, none, none, gap);
    if (dim <= 64) { /* the same by probes, at a tolerance that their spread hides */
        how.trace = SSDE_TRACE_RADEMACHER;
        how.probes = 4;
        how.rtol = how.atol = 1e-5;
        how.latent = NULL;
        rng = ssde_rng_seed(5);
        must(&context, ssde_likelihood(&sde, &model, &how, &rng, n, x, results));
        for (spread = 0.0, r = 0; r < n; r++)
            spread += results[r].standard_error * results[r].standard_error / (double)n;
    } else
        line(sde_names[which], "standard error of the probes", 0, nfe, dim, n, none, none, none, none,
             sqrt(spread) / d);
    line(sde_names[which], "standard deviation of a probe", 0, nfe, dim, n, none, none, none, none,
         sqrt(spread * (double)how.probes) / d);
    ssde_mixture_destroy(mixture);
    free(results);
    free(first);
    free(x);
    free(codes);
}

static void part_likelihood(void) {
    static const size_t dims[3] = {2, 64, 3072};
    int which, k;
    for (which = 0; which < 3; which++) {
        for (k = 0; k < 3 && (only_sde == 3 || only_sde == which); k++) likelihood_rows(which, dims[k]);
    }
}

/* ---- cost ---- */

static ssde_status zero_score(void *user, const float *x, const double *t, const uint64_t *sample, size_t rows,
                              int differentiate, float *out) {
    (void)x, (void)t, (void)sample, (void)differentiate;
    memset(out, 0, rows * *(size_t *)user * sizeof *out);
    return SSDE_OK;
}

/* The fastest of the repetitions of a run, in seconds. */
static double run_time(const ssde_sde *sde, const ssde_score_model *model, size_t steps, size_t n, float *x) {
    double best = HUGE_VAL;
    size_t k;
    for (k = 0; k < repetitions; k++) {
        ssde_sampler_desc how = sampler(SSDE_PREDICTOR_EULER_MARUYAMA, steps);
        ssde_rng rng = ssde_rng_seed(1);
        double clock = seconds();
        must(&context, ssde_sample(sde, model, &how, &rng, n, x));
        clock = seconds() - clock;
        if (clock < best) best = clock;
    }
    return best;
}

/* Normals of n rows in blocks as a sampler draws them. */
static double normals_time(size_t n, size_t dim, float *out) {
    enum { TIMES = 10 };
    double best = HUGE_VAL;
    uint64_t *sample = (uint64_t *)take(n, sizeof *sample);
    size_t k, i, rows = 8192 / dim > n ? n : 8192 / dim;
    uint32_t step;
    for (i = 0; i < n; i++) sample[i] = i;
    for (k = 0; k < repetitions; k++) {
        double clock = seconds();
        for (step = 0; step < TIMES; step++) {
            for (i = 0; i + rows <= n; i += rows)
                must(&context,
                     ssde_random_normal(&context, 1, SSDE_STREAM_USER, step, sample + i, rows, dim, out + i * dim));
        }
        clock = (seconds() - clock) / ((double)TIMES * (double)(n / rows * rows) * (double)dim);
        if (clock < best) best = clock;
    }
    free(sample);
    return best;
}

static void part_cost(void) {
    enum { N = 100000, STEPS = 100, IMAGE = 3072, IMAGES = 64 };
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_mixture *ring;
    ssde_score_model model, still;
    float *x = (float *)take(2 * N, sizeof *x);
    const double updates = (double)N * (double)STEPS;
    double whole, rest, draws;
    size_t dim = 2;
    must(&context, ssde_ring_create(&context, &ring, 8, 1.0, 0.1));
    model = ssde_mixture_model(ring, &sde);
    memset(&still, 0, sizeof still);
    still.dim = dim, still.score = zero_score, still.user = &dim;
    whole = run_time(&sde, &model, STEPS, N, x) / updates;
    rest = run_time(&sde, &still, STEPS, N, x) / updates;
    draws = normals_time(N, 2, x) * 2.0;
    line("vp", "euler_maruyama", STEPS, (double)STEPS + 1.0, 2, N, 1e3 * whole * updates, 1e9 * whole, none, none,
         none);
    line("vp", "score", STEPS, (double)STEPS + 1.0, 2, N, none, 1e9 * (whole - rest), none, none, none);
    line("vp", "normals", STEPS, 0.0, 2, N, none, 1e9 * draws, none, none, none);
    line("vp", "update", STEPS, 0.0, 2, N, none, 1e9 * (rest - draws), none, none, none);
    dim = still.dim = IMAGE;
    rest = run_time(&sde, &still, STEPS, IMAGES, x) / ((double)IMAGES * (double)STEPS);
    line("vp", "everything but the network per image", STEPS, 0.0, IMAGE, IMAGES, none, 1e9 * rest, none, none, none);
    ssde_mixture_destroy(ring);
    free(x);
}

static void part_normals(void) {
    static const size_t dims[4] = {2, 64, 3072, 1};
    float *out = (float *)take(1 << 20, sizeof *out);
    int k;
    for (k = 0; k < 4; k++) {
        size_t n = ((size_t)1 << 20) / dims[k];
        double each = normals_time(n, dims[k], out);
        line("none", "normals", 0, 0.0, dims[k], n, none, 1e9 * each, none, none, none);
        fprintf(stderr, "rows of %lu: %.0f million normals a second on one core, %s\n", (unsigned long)dims[k],
                1e-6 / each, ssde_tier_name(ssde_tier_used(&context)));
    }
    free(out);
}

int main(int argc, char **argv) {
    static const char *const names[5] = {"order", "tables", "likelihood", "cost", "normals"};
    static void (*const parts[5])(void) = {part_order, part_tables, part_likelihood, part_cost, part_normals};
    static const char *const counts[4] = {"--samples", "--repetitions", "--probes", "--points"};
    size_t *const counted[4] = {&samples, &repetitions, &probes, &points};
    int i, part = 5, given = 0;
    for (i = 1; i < argc; i += 2) {
        int known = i + 1 < argc, count = read_name(argv[i], counts, 4);
        if (known && !strcmp(argv[i], "--part"))
            known = (part = read_name(argv[i + 1], names, 5)) < 5;
        else if (known && !strcmp(argv[i], "--sde"))
            known = (only_sde = read_name(argv[i + 1], sde_names, 3)) < 3;
        else if (known && !strcmp(argv[i], "--tier"))
            known = read_tier(argv[i + 1], &context);
        else if (known && count < 4) {
            known = read_numbers(argv[i + 1], 1, &given);
            *counted[count] = (size_t)given;
        } else
            known = 0;
        if (!known) fail(argv[i], "see the top of bench/solvers.c for the options");
    }
    context.threads = 1;
    printf("sde,sampler,steps,nfe,dim,n,ms,ns_per_sample_step,nll,nll_target,error\n");
    for (i = 0; i < 5; i++) {
        if (part == 5 || part == i) parts[i]();
    }
    return 0;
}
