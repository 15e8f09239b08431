/* Objectives measured, as CSV: what a network's output may mean, how its errors are weighted and which times are drawn,
   under each SDE, on the ring of eight Gaussians, whose score is known:

       cc -O2 bench/objectives.c -o objectives -lm && ./objectives (three quarters of an hour)

   sde,objective,output,weighting,times,stratified,fisher,fisher_low,fisher_high,fisher_of_best,kl,kl_low,kl_high,kl_error,
   kl_of_best,nfe,ms_per_step
   Every row is the same network (29,474 weights), data, batch, steps and learning rate; of several seeds the median,
   the lowest and the highest.

   fisher: how far the learned score is from the exact one, as E |z_o - z*|^2 integrated over log(std / m) from 0.02 to
   50, z being -std times the score: half the integral of g^2 E |s - s*|^2 over time, in nats, a bound on the
   Kullback-Leibler divergence of what the reverse SDE draws. In std / m it is the same number under every SDE.
   kl: the Kullback-Leibler divergence of the ODE's density from the data's, both where std / m is 0.02, which is also
   where training ends: the mean of log p - log q over draws from p, and kl_error its standard error. No bound holds for
   it. "inf": the ODE left the numbers.
   fisher_of_best and kl_of_best: over the least in the table, which comes at the end; what stderr shows as rows are
   measured, over the least so far. nfe: evaluations per likelihood. ms_per_step: of training.

   Left out is what repeats another row (VE's g^2 / std^2 is a constant; the weight of EDM's own output is EDM's, of the
   noise's std^2) or makes no sense (the score's own error, 1 / std^2 of the noise's, is without bounds; logit-normal
   times are of the straight path). Implicit and sliced score matching (one probe) are of the score under VE and VP.

   Options: --quick (a tenth of the rows, 200 steps: that it all runs)
            --steps N (4000)   --batch N (256)   --seeds N (3)   --points N (of kl, 4096)   --threads N
            --embedding fourier|positional (fourier)
            --sde ve|vp|subvp|rectified_flow   --objective denoising|implicit|sliced
            --output score|noise|data|velocity|edm|flow   --weighting std2|likelihood|output|edm|min_snr
            --times uniform|importance|log_normal|logit_normal
            --tier scalar|neon|avx2|avx512 */
#define SCORESDE_KEEP_MACROS
#define SCORESDE_IMPLEMENTATION
#include "../scoresde_nn.h"
#include "../scoresde_solvers.h"

#include "measure.h"

enum { VE, VP, SUBVP, FLOW, SDES, MODES = 8, LEVELS = 50, LEVEL_POINTS = 1024, MOST_SEEDS = 99, MOST_ROWS = 256 };
static const double ring_std = 0.1, noise_low = 0.02, noise_high = 50.0;

static ssde_context context;
static ssde_mixture *ring;
static size_t steps = 4000, batch = 256, seeds = 3, points = 4096;
static ssde_parameterisation only_output; /* SSDE_PREDICT_DEFAULT: all */
static ssde_weighting only_weighting = SSDE_WEIGHT_COUNT;
static ssde_times only_times = SSDE_TIMES_COUNT;
static int quick, only_objective = SSDE_OBJECTIVE_COUNT, only_sde = SDES, embedding = SSDE_EMBEDDING_FOURIER;

static const char *const sde_names[SDES] = {"ve", "vp", "subvp", "rectified_flow"};
static const char *const objective_names[SSDE_OBJECTIVE_COUNT] = {"denoising", "implicit", "sliced"};
static const char *const embedding_names[] = {"positional", "fourier"};

static ssde_sde sde_of(int which) {
    return which == VE      ? ssde_ve(0.01, noise_high)
           : which == VP    ? ssde_vp(0.1, 20.0)
           : which == SUBVP ? ssde_subvp(0.1, 20.0)
                            : ssde_rectified_flow();
}

static void *take(size_t count, size_t size) {
    void *memory = calloc(count, size);
    if (!memory) fail("memory", "none left");
    return memory;
}

/* ---- what is compared ---- */

typedef struct recipe {
    ssde_weighting weighting;
    ssde_times times;
    int stratified;
    ssde_objective objective;
} recipe;

static const recipe recipes[] = {{SSDE_WEIGHT_STD2, SSDE_TIMES_UNIFORM, 0, SSDE_OBJECTIVE_DENOISING},
                                 {SSDE_WEIGHT_STD2, SSDE_TIMES_UNIFORM, 1, SSDE_OBJECTIVE_DENOISING},
                                 {SSDE_WEIGHT_LIKELIHOOD, SSDE_TIMES_UNIFORM, 1, SSDE_OBJECTIVE_DENOISING},
                                 {SSDE_WEIGHT_LIKELIHOOD, SSDE_TIMES_IMPORTANCE, 0, SSDE_OBJECTIVE_DENOISING},
                                 {SSDE_WEIGHT_LIKELIHOOD, SSDE_TIMES_IMPORTANCE, 1, SSDE_OBJECTIVE_DENOISING},
                                 {SSDE_WEIGHT_MIN_SNR, SSDE_TIMES_UNIFORM, 1, SSDE_OBJECTIVE_DENOISING},
                                 {SSDE_WEIGHT_OUTPUT, SSDE_TIMES_UNIFORM, 1, SSDE_OBJECTIVE_DENOISING},
                                 {SSDE_WEIGHT_OUTPUT, SSDE_TIMES_LOGIT_NORMAL, 1, SSDE_OBJECTIVE_DENOISING},
                                 {SSDE_WEIGHT_OUTPUT, SSDE_TIMES_LOG_NORMAL, 1, SSDE_OBJECTIVE_DENOISING},
                                 {SSDE_WEIGHT_EDM, SSDE_TIMES_LOG_NORMAL, 1, SSDE_OBJECTIVE_DENOISING},
                                 {SSDE_WEIGHT_STD2, SSDE_TIMES_UNIFORM, 0, SSDE_OBJECTIVE_IMPLICIT},
                                 {SSDE_WEIGHT_STD2, SSDE_TIMES_UNIFORM, 0, SSDE_OBJECTIVE_SLICED}};
enum { RECIPES = sizeof recipes / sizeof recipes[0] };

static int makes_sense(int sde, int output, const recipe *how) {
    if (how->objective) return sde <= VP && output == SSDE_PREDICT_SCORE;
    if (sde == VE && how->weighting == SSDE_WEIGHT_LIKELIHOOD) return 0;
    if (sde != FLOW && how->times == SSDE_TIMES_LOGIT_NORMAL) return 0;
    if (how->weighting != SSDE_WEIGHT_OUTPUT) return 1;
    if (output == SSDE_PREDICT_EDM) return how->times != SSDE_TIMES_LOG_NORMAL;
    if (output == SSDE_PREDICT_NOISE) return how->times != SSDE_TIMES_UNIFORM;
    return output != SSDE_PREDICT_SCORE;
}

static int is_wanted(const recipe *how) {
    return (only_objective == SSDE_OBJECTIVE_COUNT || only_objective == (int)how->objective) &&
           (only_weighting == SSDE_WEIGHT_COUNT || only_weighting == how->weighting) &&
           (only_times == SSDE_TIMES_COUNT || only_times == how->times);
}

/* ---- training ---- */

static ssde_net *network(int output, uint64_t seed) {
    ssde_mlp_desc shape = ssde_mlp(2);
    ssde_net *net;
    shape.hidden = 64;
    shape.embedding_type = (ssde_embedding_type)embedding;
    shape.fourier_scale = 1.0;
    shape.scale_by_sigma = output == SSDE_PREDICT_SCORE; /* without it the network itself must reach 1 / std */
    shape.seed = seed;
    shape.context = &context;
    must(&context, ssde_mlp_create(&net, &shape));
    return net;
}

static ssde_trainer *train(ssde_net *net, const ssde_sde *sde, int output, const recipe *how, double eps,
                           uint64_t seed) {
    ssde_train_desc desc = ssde_train_defaults(sde, steps);
    ssde_trainer *trainer;
    float *x = (float *)take(2 * batch, sizeof *x);
    ssde_batch data = ssde_batch_of(x, batch);
    ssde_rng rng = ssde_rng_seed(seed);
    size_t step;
    desc.loss.output = (ssde_parameterisation)output;
    desc.loss.sigma_data = sqrt(0.5 + ring_std * ring_std);
    desc.loss.weighting = how->weighting;
    desc.loss.times = how->times;
    desc.loss.stratified = how->stratified;
    desc.objective = how->objective;
    desc.loss.half_sum = 0;
    desc.loss.eps = eps;
    desc.ema_rate = 0.9999;
    desc.batch = batch;
    desc.seed = seed;
    desc.context = &context;
    must(&context, ssde_trainer_create(&trainer, net, sde, &desc));
    for (step = 0; step < steps; step++) {
        must(&context,
             ssde_trainer_set_lr(trainer, 2e-3 * 0.5 * (1.0 + cos(acos(-1.0) * (double)step / (double)steps))));
        must(&context, ssde_mixture_sample(ring, &rng, batch, x, NULL));
        must(&context, ssde_train_step(trainer, &data, NULL));
    }
    free(x);
    return trainer;
}

/* ---- judging ---- */

static double fisher_divergence(const ssde_sde *sde, const ssde_score_model *model) {
    static float x[2 * LEVEL_POINTS];
    ssde_score_model exact = ssde_mixture_model(ring, sde);
    ssde_fisher_desc how = ssde_fisher_defaults();
    double range = log(noise_high / noise_low), total = 0.0;
    int level;
    how.context = &context;
    for (level = 0; level < LEVELS; level++) {
        ssde_fisher_result away;
        ssde_rng rng = ssde_rng_seed((uint64_t)level);
        must(&context, ssde_noise_time(&context, sde, noise_low * exp(range * (level + 0.5) / LEVELS), &how.t));
        must(&context, ssde_mixture_sample(ring, &rng, LEVEL_POINTS, x, NULL));
        must(&context, ssde_fisher_divergence(sde, model, &exact, &how, &rng, LEVEL_POINTS, x, &away));
        total += 2.0 * away.loss; /* the mean over the two dimensions */
    }
    return total * range / LEVELS;
}

/* Draws of p_t, x [points, 2], and their log p_t [points]. */
static void draw_noisy(const ssde_sde *sde, double t, float *x, double *log_p) {
    double *wide = (double *)take(3 * points, sizeof *wide), *times = wide + 2 * points;
    float *z = (float *)take(2 * points, sizeof *z);
    ssde_rng rng = ssde_rng_seed(LEVELS);
    size_t i;
    for (i = 0; i < points; i++) times[i] = t;
    must(&context, ssde_mixture_sample(ring, &rng, points, x, NULL));
    must(&context, ssde_random_normal(&context, LEVELS, SSDE_STREAM_NOISE, 0, NULL, points, 2, z));
    must(&context, ssde_perturb(&context, sde, x, z, times, points, 2, x));
    for (i = 0; i < 2 * points; i++) wide[i] = (double)x[i];
    must(&context, ssde_mixture_evaluate(ring, sde, wide, times, points, log_p, NULL));
    free(wide);
    free(z);
}

typedef struct divergence {
    double mean, error, nfe;
} divergence;

static divergence ode_divergence(const ssde_sde *sde, const ssde_score_model *model, double eps) {
    divergence kl = {0.0, 0.0, 0.0};
    float *x = (float *)take(2 * points, sizeof *x);
    double *log_p = (double *)take(points, sizeof *log_p), n = (double)points, squares = 0.0;
    ssde_likelihood_result *results = (ssde_likelihood_result *)take(points, sizeof *results);
    ssde_likelihood_desc how = ssde_likelihood_defaults();
    ssde_rng rng = ssde_rng_seed(0);
    size_t i;
    draw_noisy(sde, eps, x, log_p);
    how.eps = eps;
    how.trace = SSDE_TRACE_EXACT;
    how.rtol = how.atol = 1e-4;
    how.context = &context;
    if (ssde_likelihood(sde, model, &how, &rng, points, x, results) != SSDE_OK) kl.mean = HUGE_VAL;
    for (i = 0; i < points && kl.mean < HUGE_VAL; i++) {
        double ratio = log_p[i] - results[i].log_density;
        kl.mean += ratio / n;
        squares += ratio * ratio / n;
        kl.nfe += (double)results[i].evaluations / n;
    }
    kl.error = sqrt((squares - kl.mean * kl.mean) / n);
    free(x);
    free(log_p);
    free(results);
    return kl;
}

/* ---- the table ---- */

typedef struct row {
    int sde, output;
    const recipe *how;
    double fisher[MOST_SEEDS], kl[MOST_SEEDS], kl_error, nfe, seconds; /* sorted */
} row;

static void measure(row *r) {
    ssde_sde sde = sde_of(r->sde);
    double errors[MOST_SEEDS], start, eps;
    size_t seed;
    must(&context, ssde_noise_time(&context, &sde, noise_low, &eps));
    for (seed = 0; seed < seeds; seed++) {
        ssde_net *net = network(r->output, seed);
        ssde_trainer *trainer;
        ssde_score_net *score_net;
        ssde_score_net_desc memory = ssde_score_net_defaults();
        ssde_score_model model;
        divergence kl;
        start = seconds();
        trainer = train(net, &sde, r->output, r->how, eps, seed);
        r->seconds += (seconds() - start) / (double)seeds;
        memory.max_rows = LEVEL_POINTS;
        memory.context = &context;
        must(&context, ssde_score_net_create(&score_net, ssde_trainer_ema(trainer), &sde, &memory));
        model = ssde_score_net_model(score_net);
        r->fisher[seed] = fisher_divergence(&sde, &model);
        kl = ode_divergence(&sde, &model, eps);
        r->kl[seed] = kl.mean;
        errors[seed] = kl.error;
        r->nfe += kl.nfe / (double)seeds;
        ssde_score_net_destroy(score_net);
        ssde_trainer_destroy(trainer);
        ssde_net_destroy(net);
    }
    qsort(r->fisher, seeds, sizeof *r->fisher, by_size);
    qsort(r->kl, seeds, sizeof *r->kl, by_size);
    qsort(errors, seeds, sizeof *errors, by_size);
    r->kl_error = errors[seeds / 2];
}

static void print(FILE *out, const row *r, double best_fisher, double best_kl) {
    size_t middle = seeds / 2, last = seeds - 1;
    fprintf(out, "%s,%s,%s,%s,%s,%d,", sde_names[r->sde], objective_names[r->how->objective],
            ssde_parameterisation_name((ssde_parameterisation)r->output), ssde_weighting_name(r->how->weighting),
            ssde_times_name(r->how->times), r->how->stratified);
    fprintf(out, "%.4f,%.4f,%.4f,%.2f,", r->fisher[middle], r->fisher[0], r->fisher[last],
            r->fisher[middle] / best_fisher);
    fprintf(out, "%.4f,%.4f,%.4f,%.4f,%.2f,", r->kl[middle], r->kl[0], r->kl[last], r->kl_error,
            r->kl[middle] / best_kl);
    fprintf(out, "%.0f,%.2f\n", r->nfe, 1e3 * r->seconds / (double)steps);
    fflush(out);
}

static void fill_table(void) {
    static row rows[MOST_ROWS];
    double best_fisher = HUGE_VAL, best_kl = HUGE_VAL;
    int count = 0, sde, output, k, i;
    for (sde = 0; sde < SDES; sde++) {
        if (only_sde != SDES && only_sde != sde) continue;
        for (output = SSDE_PREDICT_SCORE; output < SSDE_PREDICT_COUNT; output++) {
            if (only_output && (int)only_output != output) continue;
            for (k = 0; k < RECIPES; k++) {
                row *r = &rows[count];
                if (!is_wanted(&recipes[k]) || !makes_sense(sde, output, &recipes[k]) ||
                    (quick && (k + output + sde) % RECIPES))
                    continue;
                r->sde = sde, r->output = output, r->how = &recipes[k];
                measure(r);
                if (r->fisher[seeds / 2] < best_fisher) best_fisher = r->fisher[seeds / 2];
                if (r->kl[seeds / 2] < best_kl) best_kl = r->kl[seeds / 2];
                print(stderr, r, best_fisher, best_kl);
                count++;
            }
        }
    }
    for (i = 0; i < count; i++) print(stdout, &rows[i], best_fisher, best_kl);
}

int main(int argc, char **argv) {
    static const char *const counts[4] = {"--steps", "--batch", "--seeds", "--points"};
    size_t *const counted[4] = {&steps, &batch, &seeds, &points};
    int i, given = 0;
    context.threads = 1;
    for (i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        int count = read_name(argv[i], counts, 4), known = 1;
        if (!strcmp(argv[i], "--quick")) {
            quick = 1;
            steps = 200;
            seeds = 1;
            points = 64;
            continue;
        }
        if (!strcmp(argv[i], "--threads")) {
            if ((known = read_numbers(value, 1, &given)) != 0) context.threads = given;
        } else if (!strcmp(argv[i], "--embedding"))
            known = (embedding = read_name(value, embedding_names, 2)) < 2;
        else if (!strcmp(argv[i], "--sde"))
            known = (only_sde = read_name(value, sde_names, SDES)) < SDES;
        else if (!strcmp(argv[i], "--output"))
            must(&context, ssde_parameterisation_find(&context, value, &only_output));
        else if (!strcmp(argv[i], "--weighting"))
            must(&context, ssde_weighting_find(&context, value, &only_weighting));
        else if (!strcmp(argv[i], "--times"))
            must(&context, ssde_times_find(&context, value, &only_times));
        else if (!strcmp(argv[i], "--objective"))
            known = (only_objective = read_name(value, objective_names, SSDE_OBJECTIVE_COUNT)) < SSDE_OBJECTIVE_COUNT;
        else if (!strcmp(argv[i], "--tier"))
            known = read_tier(value, &context);
        else if (count < 4) {
            known = read_numbers(value, 1, &given);
            *counted[count] = (size_t)given;
        } else
            known = 0;
        if (!known) fail(argv[i], "see the top of bench/objectives.c for the options");
        i++;
    }
    if (seeds > MOST_SEEDS) fail("--seeds", "wanted at most 99");
    use_threads(&context);
    must(&context, ssde_ring_create(&context, &ring, MODES, 1.0, ring_std));
    printf(
        "sde,objective,output,weighting,times,stratified,fisher,fisher_low,fisher_high,fisher_of_best,"
        "kl,kl_low,kl_high,kl_error,kl_of_best,nfe,ms_per_step\n");
    fill_table();
    ssde_mixture_destroy(ring);
    return 0;
}
