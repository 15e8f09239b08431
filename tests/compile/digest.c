/* Prints hashes of the bits that samplers, an ODE and training produce, one per line. On one machine they are the same
   whatever compiler, optimisation level, language and number of threads built and ran them: .ci/run compares.

       cc -O2 -o digest tests/compile/digest.c -lm && ./digest scalar          or neon, avx2, avx512 */
#define SCORESDE_IMPLEMENTATION
#include "../../scoresde.h"
#include "../../scoresde_nn.h"
#include "../../scoresde_solvers.h"

enum { SAMPLES = 37, DIM = 2, IMAGES = 5, PIXELS = 8 * 8 };
static float x[SAMPLES * DIM], image[IMAGES * PIXELS];
static ssde_context context;

static void check(ssde_status status) {
    if (status == SSDE_OK) return;
    fprintf(stderr, "%s: %s\n", ssde_status_text(status), context.error);
    exit(1);
}

/* FNV-1a */
static void digest(const char *name, const void *data, size_t size) {
    const unsigned char *bytes = (const unsigned char *)data;
    uint64_t hash = 14695981039346656037u;
    size_t i;
    for (i = 0; i < size; i++) hash = (hash ^ bytes[i]) * 1099511628211u;
    printf("%-24s %08lx%08lx\n", name, (unsigned long)(hash >> 32), (unsigned long)(hash & 0xffffffffu));
}

static void digest_coefficients(const char *name, ssde_sde sde) {
    static ssde_coefficients c[1001];
    int i;
    for (i = 0; i <= 1000; i++) check(ssde_coefficients_at(&context, &sde, i / 1000.0, &c[i]));
    digest(name, c, sizeof c);
}

static void digest_sampler(const char *name, const ssde_sde *sde, ssde_predictor predictor, ssde_corrector corrector,
                           const ssde_score_model *model) {
    ssde_rng rng = ssde_rng_seed(7);
    ssde_sampler_desc how = ssde_sampler_defaults();
    how.steps = predictor == SSDE_PREDICTOR_ADAPTIVE ? 4 : 50;
    how.predictor = predictor;
    how.corrector = corrector;
    how.context = &context;
    check(ssde_sample(sde, model, &how, &rng, SAMPLES, x));
    digest(name, x, sizeof x);
}

/* The samples before, edited. */
static void digest_edit(const ssde_sde *sde, const ssde_score_model *model) {
    ssde_rng rng = ssde_rng_seed(7);
    ssde_sampler_desc how = ssde_sampler_defaults();
    how.predictor = SSDE_PREDICTOR_DPM_SOLVER_2M;
    how.edit_from = 0.6;
    how.clip = ssde_clip_dynamic(-0.5, 0.7, 0.8);
    how.context = &context;
    check(ssde_sample(sde, model, &how, &rng, SAMPLES, x));
    digest("edited and clipped", x, sizeof x);
}

static void digest_solvers(void) {
    ssde_sde vp = ssde_vp(0.1, 20.0), ve = ssde_ve(0.01, 10.0), straight = ssde_rectified_flow();
    ssde_mixture *ring;
    ssde_score_model model;
    ssde_rng rng = ssde_rng_seed(8);
    ssde_flow_desc flow = ssde_flow_defaults();
    ssde_likelihood_desc price = ssde_likelihood_defaults();
    ssde_likelihood_result results[SAMPLES];
    ssde_stein_desc stein = ssde_stein_defaults();
    ssde_fisher_desc fisher = ssde_fisher_defaults();
    double densities[SAMPLES];
    struct {
        ssde_stein_result stein;
        ssde_fisher_result fisher;
    } distances;
    ssde_score_model other;
    size_t i;
    check(ssde_ring_create(&context, &ring, 8, 1.0, 0.1));
    model = ssde_mixture_model(ring, &vp);
    digest_sampler("Euler-Maruyama, VP", &vp, SSDE_PREDICTOR_EULER_MARUYAMA, SSDE_CORRECTOR_NONE, &model);
    digest_edit(&vp, &model);
    flow.context = &context;
    check(ssde_sample_ode(&vp, &model, &flow, &rng, SAMPLES, x, NULL));
    digest("probability flow, VP", x, sizeof x);
    price.context = &context;
    check(ssde_likelihood(&vp, &model, &price, &rng, SAMPLES, x, results));
    for (i = 0; i < SAMPLES; i++) densities[i] = results[i].log_density;
    digest("likelihood, VP", densities, sizeof densities);
    other = ssde_mixture_model(ring, &ve);
    stein.bootstrap = 9;
    stein.context = fisher.context = &context;
    check(ssde_stein_discrepancy(&model, &stein, &rng, SAMPLES, x, &distances.stein));
    check(ssde_fisher_divergence(&vp, &model, &other, &fisher, &rng, SAMPLES, x, &distances.fisher));
    digest("distances", &distances, sizeof distances);
    model = ssde_mixture_model(ring, &ve);
    digest_sampler("Langevin, VE", &ve, SSDE_PREDICTOR_REVERSE_DIFFUSION, SSDE_CORRECTOR_LANGEVIN, &model);
    digest_sampler("adaptive, VE", &ve, SSDE_PREDICTOR_ADAPTIVE, SSDE_CORRECTOR_NONE, &model);
    model = ssde_mixture_model(ring, &straight);
    digest_sampler("Heun, rectified flow", &straight, SSDE_PREDICTOR_HEUN, SSDE_CORRECTOR_NONE, &model);
    digest_coefficients("coefficients, VP", vp);
    digest_coefficients("coefficients, VE", ve);
    digest_coefficients("coefficients, sub-VP", ssde_subvp(0.1, 20.0));
    ssde_mixture_destroy(ring);
}

/* Products alone: a compiler may contract what is not the library's. */
static ssde_status pull(void *user, const float *at, const double *t, size_t rows, size_t dim, float *out) {
    size_t i;
    (void)user, (void)t;
    for (i = 0; i < rows * dim; i++) out[i] = -at[i] * fabsf(at[i]);
    return SSDE_OK;
}

static double spread(void *user, double t) {
    (void)user;
    return 0.5 + t;
}

static void digest_simulation(void) {
    ssde_sde well = ssde_nonlinear(pull, spread, NULL);
    ssde_simulation_desc how = ssde_simulation_defaults();
    how.scheme = SSDE_SCHEME_HEUN;
    how.context = &context;
    check(ssde_simulate(&well, &how, 7, NULL, NULL, SAMPLES, DIM, x));
    digest("simulation", x, sizeof x);
}

static void digest_times(const char *name, ssde_sde sde, ssde_times times) {
    static double t[1000], weight[1000];
    ssde_loss_desc how = ssde_loss_defaults();
    how.times = times;
    how.stratified = 1;
    how.context = &context;
    check(ssde_loss_times(&sde, &how, 7, 3, NULL, 1000, t, weight));
    digest(name, t, sizeof t);
}

/* A RefineNet's noise levels. */
static ssde_sde levels;

/* A few steps of training, then a score and its derivative. */
static void digest_net(const char *name, ssde_net *net, ssde_parameterisation output, ssde_objective objective,
                       const float *data, size_t rows, float *out) {
    ssde_sde sde = ssde_net_discrete(net) ? levels : ssde_subvp(0.1, 20.0);
    ssde_train_desc how = ssde_train_defaults(&sde, 0);
    ssde_trainer *trainer;
    ssde_score_net *score_net;
    ssde_score_model model;
    ssde_score_net_desc shape = ssde_score_net_defaults();
    ssde_batch batch;
    double loss, t[SAMPLES];
    int step;
    size_t row;
    how.batch = rows;
    how.lr = 1e-2;
    how.warmup = 3;
    how.context = &context;
    how.loss.output = output;
    how.loss.discrete = ssde_net_discrete(net);
    how.objective = objective;
    how.keep_averages = 1;
    check(ssde_trainer_create(&trainer, net, &sde, &how));
    batch = ssde_batch_of(data, rows);
    for (step = 0; step < 6; step++) check(ssde_train_step(trainer, &batch, &loss));
    digest(name, &loss, sizeof loss);
    digest("    average", trainer->averages[0], ssde_net_weight_count(net) * sizeof(float));
    ssde_trainer_destroy(trainer);
    shape.context = &context;
    check(ssde_score_net_create(&score_net, net, &sde, &shape));
    model = ssde_score_net_model(score_net);
    for (row = 0; row < rows; row++) t[row] = 0.1 + 0.01 * (double)row;
    check(model.score(model.user, data, t, NULL, rows, 1, out));
    digest("    score", out, rows * model.dim * sizeof *out);
    check(model.vjp(model.user, data, rows, out));
    digest("    vjp", out, rows * model.dim * sizeof *out);
    ssde_score_net_destroy(score_net);
    ssde_net_destroy(net);
}

int main(int argc, char **argv) {
    static float out[SAMPLES * DIM], image_out[IMAGES * PIXELS];
    ssde_mlp_desc mlp = ssde_mlp(DIM);
    ssde_unet_desc unet = ssde_ddpmpp(8, 8, 1);
    ssde_refinenet_desc refinenet = ssde_ncsn(8, 8, 1);
    ssde_net *net;
    int tier, found = 0;
    for (tier = SSDE_TIER_SCALAR; tier < SSDE_TIER_COUNT; tier++) {
        if (argc != 2 || strcmp(argv[1], ssde_tier_name((ssde_tier)tier))) continue;
        context.tier = (ssde_tier)tier;
        found = ssde_tier_used(&context) == context.tier;
    }
    if (!found) {
        fprintf(stderr, "usage: digest TIER, one that this machine has\n");
        return 2;
    }
    digest_solvers();
    mlp.context = unet.context = &context;
    check(ssde_mlp_create(&net, &mlp));
    digest_net("MLP, loss", net, SSDE_PREDICT_DEFAULT, SSDE_OBJECTIVE_DENOISING, x, SAMPLES, out);
    check(ssde_mlp_create(&net, &mlp));
    digest_net("MLP, EDM's loss", net, SSDE_PREDICT_EDM, SSDE_OBJECTIVE_DENOISING, x, SAMPLES, out);
    unet.nf = 8;
    unet.num_levels = 2;
    unet.num_res_blocks = 1;
    check(ssde_unet_create(&net, &unet));
    check(ssde_random_normal(&context, 9, SSDE_STREAM_USER, 0, NULL, IMAGES, PIXELS, image));
    digest_net("U-Net, loss", net, SSDE_PREDICT_DEFAULT, SSDE_OBJECTIVE_DENOISING, image, IMAGES, image_out);
    unet.noise_conditioning = SSDE_NOISE_SCALE_SHIFT;
    check(ssde_unet_create(&net, &unet));
    digest_net("U-Net, sliced loss", net, SSDE_PREDICT_VELOCITY, SSDE_OBJECTIVE_SLICED, image, IMAGES, image_out);
    refinenet.nf = 4;
    refinenet.context = &context;
    levels = ssde_ve(refinenet.sigma_min, refinenet.sigma_max);
    levels.num_scales = refinenet.num_scales;
    check(ssde_refinenet_create(&net, &refinenet));
    digest_net("NCSN, loss", net, SSDE_PREDICT_DEFAULT, SSDE_OBJECTIVE_DENOISING, image, IMAGES, image_out);
    refinenet.name = SSDE_NCSNV2_64;
    check(ssde_refinenet_create(&net, &refinenet));
    digest_net("NCSNv2, sliced loss", net, SSDE_PREDICT_DEFAULT, SSDE_OBJECTIVE_SLICED, image, IMAGES, image_out);
    digest_simulation();
    digest_times("log-normal times, VP", ssde_vp(0.1, 20.0), SSDE_TIMES_LOG_NORMAL);
    digest_times("logit-normal times", ssde_rectified_flow(), SSDE_TIMES_LOGIT_NORMAL);
    return 0;
}
