/* Steers what is drawn: fills in halves of digits, draws the class that is asked for, doubles the resolution, makes
   digits of rough ones, and walks from one digit to another through their latent codes.

       cc -O2 examples/control.c -o control -lm && ./control

   Learns 1,497 handwritten digits first; ./control model.safetensors takes quickstart's model instead. A classifier of
   noisy digits is learned either way. Writes inpainting.png, classes.png, super_resolution.png, editing.png and
   interpolation.png. Options: --steps N (training steps, 2000), --seed N, --threads N. */
#define SCORESDE_IMPLEMENTATION
#include "../scoresde.h"
#include "../scoresde_nn.h"
#include "../scoresde_solvers.h"

#include "digits.h"
#include "picture.h"

#include <time.h>

enum { DIM = DIGITS_PIXELS, SIDE = DIGITS_SIDE, HELD_OUT = 300, TRAINING = DIGITS_COUNT - HELD_OUT };
enum { COLUMNS = 10, TRIES = 3, PER_CLASS = 8, CLASSES = 10, WALKS = 6, STAGES = 9, ZOOM = 8 };
enum { CELL = SIDE * ZOOM + 4, MARGIN = 20, TITLE = 48, LABELS = 116, CAPTION = 28 };

static ssde_context context;

/* Every call of the library goes through this: a failure has a text. */
static void must(ssde_status status) {
    if (status == SSDE_OK) return;
    fprintf(stderr, "\n%s: %s\n", ssde_status_text(status), context.error);
    exit(1);
}

/* Levels to the middle of where dequantisation puts them in [-1, 1], and back. */
static void from_levels(const float *levels, size_t count, float *x) {
    for (size_t i = 0; i < count; i++) x[i] = (levels[i] + 0.5f) / DIGITS_LEVELS * 2.0f - 1.0f;
}

static void to_levels(const float *x, size_t count, float *levels) {
    for (size_t i = 0; i < count; i++) {
        float level = floorf((x[i] + 1.0f) / 2.0f * DIGITS_LEVELS);
        levels[i] = level < 0.0f ? 0.0f : level > DIGITS_LEVELS - 1 ? DIGITS_LEVELS - 1 : level;
    }
}

/* ---- training: the score, and the classifier of noisy digits ---- */

static ssde_unet_desc body(uint64_t seed) {
    ssde_unet_desc shape = ssde_ddpmpp(SIDE, SIDE, 1);
    shape.nf = 16;
    shape.num_levels = 2;
    shape.num_res_blocks = 1;
    shape.attn_resolutions[0] = 4;
    shape.dropout = 0.0;
    shape.seed = seed;
    shape.context = &context;
    return shape;
}

/* The averaged weights go to `path`. */
static void train(const digits *data, const ssde_sde *sde, ssde_net *net, int classifier, uint64_t steps, uint64_t seed,
                  const char *path) {
    ssde_train_desc how = ssde_train_defaults(sde, steps);
    how.batch = 64;
    how.levels = DIGITS_LEVELS;
    how.classifier = classifier;
    how.seed = seed;
    how.context = &context;
    ssde_trainer *trainer;
    must(ssde_trainer_create(&trainer, net, sde, &how));
    static float x[64 * DIM];
    static int32_t classes[64];
    ssde_batch batch = ssde_batch_of(x, how.batch);
    batch.classes = classifier ? classes : NULL;
    double running = 0.0;
    for (uint64_t step = 0; step < steps; step++) {
        double loss;
        for (size_t slot = 0; slot < how.batch; slot++) {
            size_t i = (size_t)ssde_shuffled_index(seed, TRAINING, step * how.batch + slot);
            memcpy(x + slot * DIM, data->pixels + i * DIM, DIM * sizeof *x);
            classes[slot] = data->labels[i];
        }
        must(ssde_train_step(trainer, &batch, &loss));
        running += (loss - running) * (step < 50 ? 1.0 / (double)(step + 1) : 0.02);
        if (step % 20 == 19 || step + 1 == steps) {
            printf("\r%s: step %lu of %lu, loss %.3f ", classifier ? "classifier" : "score", (unsigned long)step + 1,
                   (unsigned long)steps, running);
            fflush(stdout);
        }
    }
    printf("\n");
    must(ssde_trainer_save_model(trainer, path));
    ssde_trainer_destroy(trainer);
}

/* ---- pictures ---- */

static picture begin_page(int columns, int rows, int left, int bottom, const char *title) {
    picture page = picture_create(left + columns * CELL + MARGIN, TITLE + rows * CELL + bottom);
    picture_text(&page, (float)MARGIN, 18.0f, 0.0f, 2.0f, 0x202020, title);
    return page;
}

/* A row of digits in levels, with its name to the left. */
static void draw_row(picture *page, int left, int row, const float *levels, int count, const char *name) {
    static unsigned char bytes[COLUMNS * DIM];
    int y = TITLE + row * CELL;
    picture_bytes(levels, (size_t)count * DIM, 0.0f, DIGITS_LEVELS - 1.0f, bytes);
    picture_images(page, left, y, bytes, count, count, SIDE, SIDE, 1, ZOOM, 4);
    if (name) picture_text(page, (float)(left - 8), (float)(y + CELL / 2 - 9), 1.0f, 2.0f, 0x202020, name);
}

static void end_page(picture *page, const char *path) {
    if (picture_write(page, path)) fprintf(stderr, "cannot write %s\n", path);
    picture_destroy(page);
    printf("wrote %s\n", path);
}

/* Several draws under one condition, between what was given and the truth. */
static void draw_under(const ssde_sde *sde, const ssde_score_model *model, const ssde_sampler_desc *how, uint64_t seed,
                       const float *given, const float *originals, const char *title, const char *path) {
    static float x[COLUMNS * DIM], levels[COLUMNS * DIM];
    static const char *const names[TRIES] = {"draw 1", "draw 2", "draw 3"};
    picture page = begin_page(COLUMNS, TRIES + 2, LABELS, MARGIN, title);
    ssde_rng rng = ssde_rng_seed(seed);
    draw_row(&page, LABELS, 0, given, COLUMNS, "given");
    for (int row = 0; row < TRIES; row++) {
        must(ssde_sample(sde, model, how, &rng, COLUMNS, x));
        to_levels(x, COLUMNS * DIM, levels);
        draw_row(&page, LABELS, 1 + row, levels, COLUMNS, names[row]);
    }
    draw_row(&page, LABELS, 1 + TRIES, originals, COLUMNS, "truth");
    end_page(&page, path);
}

/* ---- five ways of steering ---- */

/* The lower halves of held-out digits are hidden. Every step is taken five times, so that what is filled in
   fits what is given. */
static void inpainting(const ssde_sde *sde, const ssde_score_model *model, const float *originals, uint64_t seed) {
    static float known[COLUMNS * DIM], mask[DIM], all[COLUMNS * DIM], given[COLUMNS * DIM];
    from_levels(originals, COLUMNS * DIM, known);
    for (size_t j = 0; j < DIM; j++) mask[j] = j < DIM / 2 ? 1.0f : 0.0f;
    for (size_t i = 0; i < COLUMNS * DIM; i++) {
        all[i] = mask[i % DIM];
        given[i] = all[i] > 0.0f ? originals[i] : 6.0f;
    }
    ssde_sampler_desc how = ssde_sampler_defaults();
    how.steps = 100;
    how.predictor = SSDE_PREDICTOR_ANCESTRAL;
    how.resamplings = 5;
    how.condition = ssde_inpaint(known, all);
    how.context = &context;
    draw_under(sde, model, &how, seed, given, originals, "Inpainting: the lower half was never seen", "inpainting.png");
}

/* 4 x 4 means of 2 x 2 pixels, and the transpose of that. */
static ssde_status halve(void *user, const float *x, const uint64_t *sample, size_t rows, float *out) {
    (void)user, (void)sample;
    for (size_t i = 0; i < rows * DIM / 4; i++) {
        const float *corner = x + i / 16 * DIM + i / 4 % 4 * 2 * SIDE + i % 4 * 2;
        out[i] = 0.25f * (corner[0] + corner[1] + corner[SIDE] + corner[SIDE + 1]);
    }
    return SSDE_OK;
}

static ssde_status spread(void *user, const float *y, const uint64_t *sample, size_t rows, float *out) {
    (void)user, (void)sample;
    for (size_t i = 0; i < rows * DIM; i++) out[i] = 0.25f * y[i / DIM * 16 + i % DIM / SIDE / 2 * 4 + i % SIDE / 2];
    return SSDE_OK;
}

static void super_resolution(const ssde_sde *sde, const ssde_score_model *model, const float *originals,
                             uint64_t seed) {
    static float x[COLUMNS * DIM], small[COLUMNS * DIM / 4], given[COLUMNS * DIM];
    from_levels(originals, COLUMNS * DIM, x);
    must(halve(NULL, x, NULL, COLUMNS, small));
    for (size_t i = 0; i < COLUMNS * DIM; i++) given[i] = 4.0f;
    must(spread(NULL, small, NULL, COLUMNS, x)); /* a quarter of each small pixel */
    for (size_t i = 0; i < COLUMNS * DIM; i++) x[i] *= 4.0f;
    to_levels(x, COLUMNS * DIM, given);
    ssde_sampler_desc how = ssde_sampler_defaults();
    how.steps = 100;
    how.predictor = SSDE_PREDICTOR_ANCESTRAL;
    how.resamplings = 3;
    how.condition = ssde_measure(halve, spread, NULL, small, DIM / 4, 0.0);
    how.context = &context;
    draw_under(sde, model, &how, seed + 1, given, originals, "Super-resolution: 4 x 4 to 8 x 8",
               "super_resolution.png");
}

/* Ink of one strength in the rough, noised up to t and brought back: the later t, the better a digit, and the less it
   is the one that was given. Denoised pixels stay within the data's range. */
static void editing(const ssde_sde *sde, const ssde_score_model *model, const float *originals, uint64_t seed) {
    static const double froms[] = {0.15, 0.3, 0.45, 0.6};
    static float given[COLUMNS * DIM], x[COLUMNS * DIM], levels[COLUMNS * DIM];
    picture page = begin_page(COLUMNS, 5, LABELS, MARGIN, "Editing: noised up to t and brought back");
    for (size_t i = 0; i < COLUMNS * DIM; i++) given[i] = originals[i] >= 8.0f ? DIGITS_LEVELS - 1.0f : 0.0f;
    draw_row(&page, LABELS, 0, given, COLUMNS, "given");
    ssde_sampler_desc how = ssde_sampler_defaults();
    how.steps = 100;
    how.predictor = SSDE_PREDICTOR_ANCESTRAL;
    how.clip = ssde_clip_to(-1.0, 1.0);
    how.context = &context;
    for (int row = 0; row < 4; row++) {
        char name[16];
        ssde_rng rng = ssde_rng_seed(seed + 3);
        from_levels(given, COLUMNS * DIM, x);
        how.edit_from = froms[row];
        must(ssde_sample(sde, model, &how, &rng, COLUMNS, x));
        to_levels(x, COLUMNS * DIM, levels);
        snprintf(name, sizeof name, "t = %.2f", froms[row]);
        draw_row(&page, LABELS, 1 + row, levels, COLUMNS, name);
    }
    end_page(&page, "editing.png");
}

/* Share of images whose nearest training digit has the label that was asked for. */
static double as_asked(const digits *data, const float *levels, const int32_t *wanted, size_t count) {
    size_t right = 0;
    for (size_t i = 0; i < count; i++) {
        double best = HUGE_VAL;
        int label = -1;
        for (size_t j = 0; j < TRAINING; j++) {
            double square = 0.0;
            for (size_t k = 0; k < DIM; k++)
                square += pow((double)levels[i * DIM + k] - (double)data->pixels[j * DIM + k], 2.0);
            if (square < best) best = square, label = data->labels[j];
        }
        if (label == wanted[i]) right++;
    }
    return (double)right / (double)count;
}

static void classes(const digits *data, const ssde_sde *sde, const ssde_score_model *model, ssde_classifier *classifier,
                    uint64_t seed) {
    enum { N = CLASSES * PER_CLASS };
    static float x[N * DIM], levels[N * DIM];
    static int32_t wanted[N];
    for (int i = 0; i < N; i++) wanted[i] = i % CLASSES;
    ssde_rng rng = ssde_rng_seed(seed + 2);
    must(ssde_classifier_set_classes(classifier, wanted, N, rng.next_sample));
    ssde_sampler_desc how = ssde_sampler_defaults();
    how.steps = 150;
    how.predictor = SSDE_PREDICTOR_ANCESTRAL;
    how.condition = ssde_guide(ssde_classifier_gradient, classifier, 2.0);
    how.context = &context;
    must(ssde_sample(sde, model, &how, &rng, N, x));
    to_levels(x, N * DIM, levels);
    printf("%.0f%% of %d digits look like the class they were asked to be\n", 100.0 * as_asked(data, levels, wanted, N),
           N);
    picture page = begin_page(CLASSES, PER_CLASS, MARGIN, CAPTION, "Guided by a classifier: a digit of each class");
    for (int row = 0; row < PER_CLASS; row++) draw_row(&page, MARGIN, row, levels + row * CLASSES * DIM, CLASSES, NULL);
    for (int c = 0; c < CLASSES; c++) {
        char name[2] = {(char)('0' + c), 0};
        picture_text(&page, (float)(MARGIN + c * CELL + CELL / 2 - 2), (float)(TITLE + PER_CLASS * CELL + 4), 0.5f,
                     2.0f, 0x202020, name);
    }
    end_page(&page, "classes.png");
}

/* From digit to digit along great circles between their codes. */
static void interpolation(const digits *data, const ssde_sde *sde, const ssde_score_model *model) {
    static const int ends[WALKS][2] = {{0, 6}, {1, 7}, {3, 8}, {4, 9}, {5, 2}, {6, 1}};
    static float x[2 * WALKS * DIM], codes[2 * WALKS * DIM], way[STAGES * DIM], levels[STAGES * DIM];
    const float *held_out = data->pixels + TRAINING * DIM;
    const unsigned char *labels = data->labels + TRAINING;
    ssde_flow_desc how = ssde_flow_defaults();
    how.rtol = how.atol = 1e-3;
    how.context = &context;
    for (int end = 0; end < 2; end++) {
        for (int walk = 0; walk < WALKS; walk++) {
            int i = 0;
            while (labels[i] != ends[walk][end]) i++;
            from_levels(held_out + i * DIM, DIM, x + (end * WALKS + walk) * DIM);
        }
    }
    must(ssde_encode(sde, model, &how, 0, 2 * WALKS, x, codes, NULL));
    how.denoise = 1;
    picture page = begin_page(STAGES, WALKS, MARGIN, CAPTION, "Between latent codes: from one digit to another");
    for (int walk = 0; walk < WALKS; walk++) {
        for (int stage = 0; stage < STAGES; stage++)
            must(ssde_interpolate(&context, codes + walk * DIM, codes + (WALKS + walk) * DIM,
                                  (double)stage / (STAGES - 1), 1, DIM, way + stage * DIM));
        must(ssde_decode(sde, model, &how, 0, STAGES, way, way, NULL));
        to_levels(way, STAGES * DIM, levels);
        draw_row(&page, MARGIN, walk, levels, STAGES, NULL);
    }
    for (int stage = 0; stage < STAGES; stage++) {
        char name[16];
        snprintf(name, sizeof name, "%.3g", (double)stage / (STAGES - 1));
        picture_text(&page, (float)(MARGIN + stage * CELL + CELL / 2 - 2), (float)(TITLE + WALKS * CELL + 6), 0.5f,
                     1.5f, 0x202020, name);
    }
    end_page(&page, "interpolation.png");
}

int main(int argc, char **argv) {
    static digits data;
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
        else if (argv[i][0] != '-' && !path)
            path = argv[i];
        else
            return fprintf(stderr, "usage: control [model.safetensors] [--steps N] [--seed N] [--threads N]\n"), 1;
    }
    digits_shuffled(&data);
    ssde_sde sde = ssde_subvp(0.1, 20.0);
    ssde_unet_desc shape = body(seed);
    ssde_net *net, *classifier_net;
    if (!path) {
        path = "model.safetensors";
        must(ssde_unet_create(&net, &shape));
        train(&data, &sde, net, 0, steps, seed, path);
        ssde_net_destroy(net);
    }
    must(ssde_net_load(&context, &net, &sde, path));
    ssde_classifier_desc classes_of = ssde_classifier_of(&shape, CLASSES);
    must(ssde_classifier_net_create(&classifier_net, &classes_of));
    train(&data, &sde, classifier_net, 1, steps / 2, seed, "classifier.safetensors");
    ssde_net_destroy(classifier_net);
    must(ssde_net_load(&context, &classifier_net, &sde, "classifier.safetensors"));

    ssde_score_net_desc how = ssde_score_net_defaults();
    how.context = &context;
    ssde_score_net *score_net;
    ssde_classifier *classifier;
    must(ssde_score_net_create(&score_net, net, &sde, &how));
    must(ssde_classifier_create(&classifier, classifier_net, &sde, &how));
    ssde_score_model model = ssde_score_net_model(score_net);
    const float *held_out = data.pixels + TRAINING * DIM;
    inpainting(&sde, &model, held_out, seed);
    classes(&data, &sde, &model, classifier, seed);
    super_resolution(&sde, &model, held_out, seed);
    editing(&sde, &model, held_out, seed);
    interpolation(&data, &sde, &model);
    ssde_classifier_destroy(classifier);
    ssde_score_net_destroy(score_net);
    ssde_net_destroy(classifier_net);
    ssde_net_destroy(net);
    return 0;
}
