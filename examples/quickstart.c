/* Learns 1,497 handwritten digits, draws new ones, fills in halves of them, and prices those it has not seen.

       cc -O2 examples/quickstart.c -o quickstart -lm && ./quickstart

   Writes samples.png, noise_to_digit.png, inpainting.png and model.safetensors. A second call,

       ./quickstart model.safetensors

   draws without training. Options: --steps N (training steps, 2000), --seed N, --threads N; --output noise|data|
   velocity|edm|flow (what the network learns to return, velocity), --times uniform|log_normal (which noise levels are
   drawn in training, log_normal). */
#define SCORESDE_IMPLEMENTATION
#include "../scoresde.h"
#include "../scoresde_nn.h"
#include "../scoresde_solvers.h"

#include "baseline.h"
#include "digits.h"
#include "picture.h"

#include <time.h>

enum { DIM = DIGITS_PIXELS, HELD_OUT = 300, TRAINING = DIGITS_COUNT - HELD_OUT, NEIGHBOURS = 7 };
enum { DRAWN = 200, PRICED = 160, FILLED = 10, STRIP = 6, STAGES = 9 };

static const double PI = 3.14159265358979323846;
static ssde_context context;
static ssde_parameterisation output = SSDE_PREDICT_VELOCITY;
static ssde_times times = SSDE_TIMES_LOG_NORMAL;

/* Every call of the library goes through this: a failure has a text. */
static void must(ssde_status status) {
    if (status == SSDE_OK) return;
    fprintf(stderr, "\n%s: %s\n", ssde_status_text(status), context.error);
    exit(1);
}

/* Wall-clock seconds since the first call. */
static double seconds(void) {
    static time_t start;
    if (!start) start = time(NULL);
    return difftime(time(NULL), start);
}

/* [-1, 1] to the 17 levels, back from where dequantisation put them. */
static void to_levels(float *x, size_t count) {
    for (size_t i = 0; i < count; i++) {
        float level = floorf((x[i] + 1.0f) / 2.0f * DIGITS_LEVELS);
        x[i] = level < 0.0f ? 0.0f : level > DIGITS_LEVELS - 1 ? DIGITS_LEVELS - 1 : level;
    }
}

/* ---- training ---- */

static void show_progress(uint64_t step, uint64_t steps, size_t batch, double loss, double elapsed) {
    char bar[31];
    for (size_t i = 0; i < 30; i++) bar[i] = step * 30 / steps > i ? '#' : '.';
    bar[30] = 0;
    printf("\r[%s] step %5lu  loss %.3f  %5.0f images/s  %3.0f s left ", bar, (unsigned long)step, loss,
           elapsed > 0.0 ? (double)(step * batch) / elapsed : 0.0, elapsed / (double)step * (double)(steps - step));
    fflush(stdout);
}

static void train(const digits *data, const ssde_sde *sde, uint64_t steps, uint64_t seed) {
    ssde_unet_desc shape = ssde_ddpmpp(DIGITS_SIDE, DIGITS_SIDE, 1);
    shape.nf = 16;
    shape.num_levels = 2;
    shape.num_res_blocks = 1;
    shape.attn_resolutions[0] = 4;
    shape.dropout = 0.0;
    shape.seed = seed;
    shape.context = &context;
    ssde_net *net;
    must(ssde_unet_create(&net, &shape));

    ssde_train_desc how = ssde_train_defaults(sde, steps);
    how.batch = 64;
    how.levels = DIGITS_LEVELS;
    /* Strokes get their shape where the noise is 0.05 to 1 times the data: three quarters of log-normal times fall
       there, a quarter of uniform ones. At the highest noise hardly any do, but there v, unlike the noise, is nearly
       right untrained. */
    how.loss.output = output;
    how.loss.weighting = SSDE_WEIGHT_OUTPUT;
    how.loss.times = times;
    how.seed = seed;
    how.context = &context;
    ssde_trainer *trainer;
    must(ssde_trainer_create(&trainer, net, sde, &how));
    printf("DDPM++ with %lu parameters, sub-VP SDE, %d digits, %lu steps of %lu\n",
           (unsigned long)ssde_net_weight_count(net), TRAINING, (unsigned long)steps, (unsigned long)how.batch);

    static float x[64 * DIM];
    ssde_batch batch = ssde_batch_of(x, how.batch);
    double start = seconds(), running = 1.0;
    for (uint64_t step = 0; step < steps; step++) {
        double loss;
        for (size_t slot = 0; slot < how.batch; slot++) {
            size_t i = (size_t)ssde_shuffled_index(seed, TRAINING, step * how.batch + slot);
            memcpy(x + slot * DIM, data->pixels + i * DIM, DIM * sizeof *x);
        }
        must(ssde_train_step(trainer, &batch, &loss));
        running += (loss - running) * (step < 50 ? 0.2 : 0.02);
        if (step % 10 == 9 || step + 1 == steps) show_progress(step + 1, steps, how.batch, running, seconds() - start);
    }
    printf("\n");
    must(ssde_trainer_save_model(trainer, "model.safetensors"));
    ssde_trainer_destroy(trainer);
    ssde_net_destroy(net);
}

/* ---- pictures ---- */

static void draw_digits(picture *page, int x, int y, const float *images, int count, int columns, int zoom) {
    unsigned char *pixels = (unsigned char *)malloc((size_t)count * DIM);
    /* white on black, as written */
    if (pixels) picture_bytes(images, (size_t)count * DIM, 0.0f, DIGITS_LEVELS - 1.0f, pixels);
    if (pixels) picture_images(page, x, y, pixels, count, columns, DIGITS_SIDE, DIGITS_SIDE, 1, zoom, 4);
    free(pixels);
}

static void write_page(picture *page, const char *path) {
    if (picture_write(page, path)) fprintf(stderr, "cannot write %s\n", path);
    picture_destroy(page);
}

/* Keeps the first digits of a run at stages spread evenly over its steps. */
typedef struct film {
    float stages[STAGES][STRIP * DIM];
    size_t steps;
} film;

static void keep_stage(void *user, size_t step, double t, const float *x, size_t n, size_t dim) {
    film *strip = (film *)user;
    (void)t, (void)n, (void)dim;
    if (step * (STAGES - 1) % strip->steps) return;
    float *stage = strip->stages[step * (STAGES - 1) / strip->steps];
    memcpy(stage, x, sizeof strip->stages[0]);
    for (size_t i = 0; i < STRIP * DIM; i++) stage[i] = (stage[i] + 1.0f) / 2.0f * (DIGITS_LEVELS - 1);
}

static void draw_new(const ssde_sde *sde, const ssde_score_model *model, uint64_t seed, float *drawn) {
    static film strip;
    ssde_rng rng = ssde_rng_seed(seed);
    ssde_sampler_desc how = ssde_sampler_defaults();
    how.steps = strip.steps = 104; /* each a predictor and a corrector */
    how.corrector = SSDE_CORRECTOR_LANGEVIN;
    how.snr = 0.1;
    how.trajectory = keep_stage;
    how.user = &strip;
    how.context = &context;
    must(ssde_sample(sde, model, &how, &rng, DRAWN, drawn));
    to_levels(drawn, DRAWN * DIM);

    picture page = picture_create(10 * 68 + 36, 10 * 68 + 64);
    picture_text(&page, 20, 18, 0.0f, 2.0f, 0x202020, "Digits that nobody wrote");
    draw_digits(&page, 20, 44, drawn, 100, 10, 8);
    write_page(&page, "samples.png");

    page = picture_create(STAGES * 68 + 36, STRIP * 68 + 90);
    picture_text(&page, 20, 18, 0.0f, 2.0f, 0x202020, "From noise to digit");
    for (int stage = 0; stage < STAGES; stage++) {
        char label[16];
        snprintf(label, sizeof label, "t = %.2f", 1.0 - (double)stage / (STAGES - 1));
        picture_text(&page, (float)(20 + stage * 68 + 32), (float)(44 + STRIP * 68 + 12), 0.5f, 1.0f, 0x202020, label);
        draw_digits(&page, 20 + stage * 68, 44, stage + 1 < STAGES ? strip.stages[stage] : drawn, STRIP, 1, 8);
    }
    write_page(&page, "noise_to_digit.png");
}

/* The lower halves of held-out digits are hidden and filled in three times. */
static void fill_in(const ssde_sde *sde, const ssde_score_model *model, const float *originals, uint64_t seed) {
    static float known[FILLED * DIM], mask[FILLED * DIM], filled[FILLED * DIM], masked[FILLED * DIM];
    static const char *const names[3] = {"given", "filled", "original"};
    for (size_t i = 0; i < FILLED * DIM; i++) {
        mask[i] = i % DIM < DIM / 2 ? 1.0f : 0.0f;
        known[i] = (originals[i] + 0.5f) / DIGITS_LEVELS * 2.0f - 1.0f;
        masked[i] = mask[i] > 0.0f ? originals[i] : 6.0f;
    }
    ssde_rng rng = ssde_rng_seed(seed + 1);
    ssde_sampler_desc how = ssde_sampler_defaults();
    how.steps = 100;
    how.corrector = SSDE_CORRECTOR_LANGEVIN;
    how.snr = 0.1;
    how.condition = ssde_inpaint(known, mask);
    how.context = &context;

    picture page = picture_create(FILLED * 68 + 136, 5 * 68 + 64);
    picture_text(&page, 20, 18, 0.0f, 2.0f, 0x202020, "Lower halves, filled in");
    for (int row = 0; row < 5; row++) {
        const float *images = row == 0 ? masked : row == 4 ? originals : filled;
        if (row > 0 && row < 4) {
            must(ssde_sample(sde, model, &how, &rng, FILLED, filled));
            to_levels(filled, FILLED * DIM);
        }
        picture_text(&page, 112, (float)(44 + row * 68 + 25), 1.0f, 2.0f, 0x202020,
                     names[row == 0   ? 0
                           : row == 4 ? 2
                                      : 1]);
        draw_digits(&page, 120, 44 + row * 68, images, FILLED, FILLED, 8);
    }
    write_page(&page, "inpainting.png");
}

/* ---- are they digits, and are they copies? ---- */

static double squared_distance(const float *a, const float *b) {
    double square = 0.0;
    for (size_t k = 0; k < DIM; k++) {
        double d = (double)a[k] - (double)b[k];
        square += d * d;
    }
    return square;
}

/* Share of images for which at least 6 of the 7 nearest training digits agree; mean distance to the nearest. */
static double agreement(const digits *data, const float *images, size_t count, double *nearest) {
    size_t agreeing = 0;
    *nearest = 0.0;
    for (size_t i = 0; i < count; i++) {
        double best[NEIGHBOURS];
        int label[NEIGHBOURS], votes[10] = {0};
        size_t kept = 0;
        for (size_t j = 0; j < TRAINING; j++) {
            double distance = squared_distance(images + i * DIM, data->pixels + j * DIM);
            if (kept == NEIGHBOURS && distance >= best[kept - 1]) continue;
            size_t at = kept < NEIGHBOURS ? kept++ : kept - 1;
            for (; at > 0 && best[at - 1] > distance; at--) best[at] = best[at - 1], label[at] = label[at - 1];
            best[at] = distance;
            label[at] = data->labels[j];
        }
        *nearest += sqrt(best[0]) / (double)count;
        int most = 0;
        for (size_t j = 0; j < NEIGHBOURS; j++)
            if (++votes[label[j]] > most) most = votes[label[j]];
        if (most >= 6) agreeing++;
    }
    return (double)agreeing / (double)count;
}

static void judge(const digits *data, const float *drawn) {
    static float shuffled[HELD_OUT * DIM];
    const float *held_out = data->pixels + TRAINING * DIM;
    double nearest[3];
    for (size_t i = 0; i < HELD_OUT * DIM; i++) {
        size_t pixel = (size_t)ssde_shuffled_index(i / DIM, DIM, i % DIM);
        shuffled[i] = held_out[i / DIM * DIM + pixel];
    }
    double drawn_share = agreement(data, drawn, DRAWN, &nearest[0]);
    double held_out_share = agreement(data, held_out, HELD_OUT, &nearest[1]);
    double shuffled_share = agreement(data, shuffled, HELD_OUT, &nearest[2]);
    printf("                                   generated  held-out  shuffled pixels\n");
    printf("6 of 7 nearest neighbours agree         %.2f      %.2f             %.2f   (%.2f of held-out's)\n",
           drawn_share, held_out_share, shuffled_share, drawn_share / held_out_share);
    printf("distance to the nearest training digit  %4.1f      %4.1f             %4.1f\n", nearest[0], nearest[1],
           nearest[2]);
}

/* ---- what are held-out digits worth? ---- */

/* Bits per dimension of the dequantised held-out digits, unit bins: -log2 p(x) / DIM. */
static double gaussian_bits(const float *training, const float *held_out) {
    static double mean[DIM], factor[DIM][DIM];
    double log_determinant = 0.0, total = 0.0;
    for (size_t i = 0; i < TRAINING * DIM; i++) mean[i % DIM] += (double)training[i] / (double)TRAINING;
    for (size_t i = 0; i < TRAINING; i++)
        for (size_t j = 0; j < DIM; j++)
            for (size_t k = 0; k <= j; k++)
                factor[j][k] += ((double)training[i * DIM + j] - mean[j]) * ((double)training[i * DIM + k] - mean[k]) /
                                (double)TRAINING;
    for (size_t j = 0; j < DIM; j++) { /* Cholesky */
        for (size_t k = 0; k <= j; k++) {
            double sum = factor[j][k];
            for (size_t l = 0; l < k; l++) sum -= factor[j][l] * factor[k][l];
            factor[j][k] = j == k ? sqrt(sum) : sum / factor[k][k];
        }
        log_determinant += 2.0 * log(factor[j][j]);
    }
    for (size_t i = 0; i < HELD_OUT; i++) {
        double z[DIM], square = 0.0;
        for (size_t j = 0; j < DIM; j++) {
            z[j] = (double)held_out[i * DIM + j] - mean[j];
            for (size_t k = 0; k < j; k++) z[j] -= factor[j][k] * z[k];
            z[j] /= factor[j][j];
            square += z[j] * z[j];
        }
        total += 0.5 * (square + log_determinant + (double)DIM * log(2.0 * PI));
    }
    return total / (double)(HELD_OUT * DIM) / log(2.0);
}

/* Mean bits of `count` images under Gaussian kernels on the training digits; `self` leaves each image's own out. */
static double kernel_bits(const float *training, const float *images, size_t count, double bandwidth, int self) {
    double total = 0.0;
    for (size_t i = 0; i < count; i++) {
        static double exponent[TRAINING];
        double highest = -HUGE_VAL, sum = 0.0;
        for (size_t j = 0; j < TRAINING; j++) {
            double square = squared_distance(images + i * DIM, training + j * DIM);
            exponent[j] = self && i == j ? -HUGE_VAL : -0.5 * square / (bandwidth * bandwidth);
            if (exponent[j] > highest) highest = exponent[j];
        }
        for (size_t j = 0; j < TRAINING; j++) sum += exp(exponent[j] - highest);
        total -= highest + log(sum / (double)(TRAINING - self)) - (double)DIM * log(bandwidth * sqrt(2.0 * PI));
    }
    return total / (double)(count * DIM) / log(2.0);
}

static void price(const digits *data, const ssde_sde *sde, const ssde_score_model *model, uint64_t seed) {
    static ssde_likelihood_result results[PRICED];
    static float real[DIGITS_COUNT * DIM];
    static unsigned char levels[DIGITS_COUNT * DIM];
    const float *held_out = data->pixels + TRAINING * DIM;
    ssde_rng rng = ssde_rng_seed(seed + 2);
    ssde_likelihood_desc how = ssde_likelihood_defaults();
    how.levels = DIGITS_LEVELS;
    how.low = -1.0;
    how.high = 1.0;
    how.rtol = how.atol = 1e-3; /* 1e-5 takes ten times the evaluations and moves the mean by 0.002 */
    how.context = &context;
    must(ssde_likelihood(sde, model, &how, &rng, PRICED, held_out, results));
    ssde_likelihood_summary mean = ssde_likelihood_summarise(results, PRICED);

    must(ssde_dequantise(&context, seed, 0, NULL, data->pixels, DIGITS_COUNT, DIM, DIGITS_LEVELS, 0.0, DIGITS_LEVELS,
                         real));
    double bandwidth = 1.0, best = HUGE_VAL, candidate;
    for (candidate = 1.0; candidate < 4.0; candidate *= 1.15) { /* chosen on training digits, each left out in turn */
        double bits = kernel_bits(real, real, 200, candidate, 1);
        if (bits < best) best = bits, bandwidth = candidate;
    }
    printf("held-out digits, bits per dimension:  this model %.3f +- %.3f (%lu digits, %.0f evaluations each)\n",
           mean.bits_per_dim, mean.bits_per_dim_error, (unsigned long)mean.count, mean.evaluations);
    for (size_t i = 0; i < DIGITS_COUNT * DIM; i++) levels[i] = (unsigned char)data->pixels[i];
    printf("    uniform %.3f   independent pixels %.3f   Gaussian with full covariance %.3f   kernel density %.3f\n",
           log((double)DIGITS_LEVELS) / log(2.0),
           baseline_pixel_bits(levels, TRAINING, levels + TRAINING * DIM, HELD_OUT, DIM, DIGITS_LEVELS),
           gaussian_bits(real, real + TRAINING * DIM),
           kernel_bits(real, real + TRAINING * DIM, HELD_OUT, bandwidth, 0));
}

int main(int argc, char **argv) {
    static digits data;
    static float drawn[DRAWN * DIM];
    const char *path = NULL;
    uint64_t steps = 2000, seed = 42;
    argv = names_arguments(&argc, argv);
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--steps") && i + 1 < argc)
            steps = (uint64_t)strtoul(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--seed") && i + 1 < argc)
            seed = (uint64_t)strtoul(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--threads") && i + 1 < argc)
            context.threads = (int)strtol(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--output") && i + 1 < argc)
            must(ssde_parameterisation_find(&context, argv[++i], &output));
        else if (!strcmp(argv[i], "--times") && i + 1 < argc)
            must(ssde_times_find(&context, argv[++i], &times));
        else if (argv[i][0] != '-' && !path)
            path = argv[i];
        else
            return fprintf(stderr, "see the top of examples/quickstart.c for the options\n"), 1;
    }
    digits_shuffled(&data);
    ssde_sde sde = ssde_subvp(0.1, 20.0);
    if (!path && steps) train(&data, &sde, steps, seed);

    ssde_net *net;
    must(ssde_net_load(&context, &net, &sde, path ? path : "model.safetensors"));
    ssde_score_net *score_net;
    ssde_score_net_desc how = ssde_score_net_defaults();
    how.context = &context;
    must(ssde_score_net_create(&score_net, net, &sde, &how));
    ssde_score_model model = ssde_score_net_model(score_net);

    double start = seconds();
    draw_new(&sde, &model, seed, drawn);
    fill_in(&sde, &model, data.pixels + TRAINING * DIM, seed);
    printf("wrote samples.png, noise_to_digit.png, inpainting.png (%.0f s)\n", seconds() - start);
    judge(&data, drawn);
    start = seconds();
    price(&data, &sde, &model, seed);
    printf("(%.0f s)\n", seconds() - start);
    ssde_score_net_destroy(score_net);
    ssde_net_destroy(net);
    return 0;
}
