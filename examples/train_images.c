/* train_images.c - trains a score network on images from disk, samples from it and prices held-out images

   cc -O2 examples/train_images.c -o train_images -lm          (one core; add -fopenmp for all of them)

   ./train_images --data train-images-idx3-ubyte --test t10k-images-idx3-ubyte        Fashion-MNIST or MNIST, unzipped
   ./train_images --data data_batch_1.bin --data data_batch_2.bin --test test_batch.bin --sde ve     CIFAR-10, binary
   ./train_images --data images.npy --flip 0 --steps 20000 --out runs/mine_           [n,h,w] or [n,h,w,c] of 0..255
   ./train_images --data train-images-idx3-ubyte --resume train_images_checkpoint.safetensors --steps 4000
   ./train_images --data images.npy --sde rectified_flow --times logit_normal
                  --sampler straight_heun --sampler-steps 20 --average 0.07

   Ctrl-C finishes the step, saves and ends; --resume then goes on as if nothing had happened, to the last bit.
   The defaults are a small DDPM++ (1.26 million weights) for 28 x 28 images; ./train_images --help lists all flags. */

#define SCORESDE_IMPLEMENTATION
#include "../scoresde.h"
#include "../scoresde_nn.h"
#include "../scoresde_solvers.h"

#include "baseline.h"
#include "picture.h"

#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- errors, time, Ctrl-C ---- */

static ssde_context context; /* all zero: the defaults; receives the text of every error */

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "\ntrain_images: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    exit(1);
}

static void check(ssde_status status) {
    if (status != SSDE_OK) fail("%s (%s)", context.error, ssde_status_text(status));
}

static void *allocate(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (!memory) fail("no memory for %.0f MB", (double)count * (double)size / 1e6);
    return memory;
}

static double seconds(void) {
#ifdef TIME_UTC
    struct timespec now;
    if (timespec_get(&now, TIME_UTC)) return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
#endif
    return (double)time(NULL);
}

static volatile sig_atomic_t stopped;

static void on_interrupt(int number) {
    signal(number, SIG_DFL); /* a second Ctrl-C ends at once */
    stopped = 1;
}

/* ---- options ---- */

enum { MOST_FILES = 64 };
typedef struct file_list {
    int count;
    const char *path[MOST_FILES];
} file_list;
typedef struct number_list {
    int count;
    int at[SSDE_MAX_LEVELS];
} number_list;

static file_list data_files, test_files;
static const char *sde_name = "subvp", *resume, *out = "train_images_";
static const char *output_name = "default", *weighting_name = "default", *times_name = "uniform", *sampler = "default";
static ssde_parameterisation output;
static ssde_weighting weighting;
static ssde_times times;
static ssde_predictor predictor;
static number_list ch_mult = {3, {1, 2, 2}}, attention = {1, {7}};
static int nf = 32, num_res_blocks = 1, steps = 2000, batch = 64, warmup = -1, flip = 1, levels = 256, seed = 0;
static int report_every = 250, save_every = 1000, samples = 36, sampler_steps = 200, likelihoods = 32;
static int stratified = 0;
static double lr = 0, ema_rate = 0, dropout = 0, sigma_max = 0, average = 0;
static float data_low = -1; /* what black becomes; white is 1 */

/* name, kind (f: file, may be repeated; s: text; i: whole number; d: number; l: list of numbers), where to, least and
   most, meaning */
typedef struct option {
    const char *name;
    char kind;
    void *value;
    double least, most;
    const char *help;
} option;

static const option options[] = {
    {"data", 'f', &data_files, 0, 0, "images to learn: .npy, CIFAR-10's .bin, else IDX; may be repeated"},
    {"test", 'f', &test_files, 0, 0, "held-out images; without it the last 5% of the data are held out"},
    {"levels", 'i', &levels, 2, 256, "values are whole numbers from 0 to levels - 1"},
    {"flip", 'i', &flip, 0, 1, "1: learn mirrored images too; 0 for writing and the like"},
    {"sde", 's', &sde_name, 0, 0, "ve, vp, subvp or rectified_flow"},
    {"sigma_max", 'd', &sigma_max, 0, 1e6, "VE: the largest noise; 0: the largest distance within the data"},
    {"output", 's', &output_name, 0, 0, "what the network learns: score, noise, data, velocity, edm, flow"},
    {"weighting", 's', &weighting_name, 0, 0,
     "of noise levels: default (the SDE's), std2, likelihood, output, edm, min_snr"},
    {"times", 's', &times_name, 0, 0, "uniform, importance, log_normal, logit_normal"},
    {"stratified", 'i', &stratified, 0, 1, "1: times of a step are spread evenly"},
    {"nf", 'i', &nf, 4, 4096, "channels of the first level, a multiple of 4"},
    {"ch_mult", 'l', &ch_mult, 1, 64, "one factor on nf per level; each level halves the image"},
    {"num_res_blocks", 'i', &num_res_blocks, 1, 64, "blocks per level"},
    {"attn", 'l', &attention, 0, 4096, "widths that have attention"},
    {"dropout", 'd', &dropout, 0, 0.99, "probability of dropping a value"},
    {"steps", 'i', &steps, 0, 1e9, "train until this many steps have been taken"},
    {"batch", 'i', &batch, 1, 65536, "images per step"},
    {"lr", 'd', &lr, 0, 1, "Adam's learning rate; 0: by the number of steps"},
    {"warmup", 'i', &warmup, -1, 1e9, "steps over which the learning rate rises; -1: by the number of steps"},
    {"ema", 'd', &ema_rate, 0, 1, "decay of the averaged weights; 0: the reference's"},
    {"average", 'd', &average, 0, 0.288, "length of the average made at the end, of snapshots; another by --resume"},
    {"seed", 'i', &seed, 0, 2147483647, "of everything random"},
    {"resume", 's', &resume, 0, 0, "checkpoint to go on from; give the other flags again"},
    {"out", 's', &out, 0, 0, "what the names of files written begin with"},
    {"report-every", 'i', &report_every, 1, 1e9, "steps between lines of the table, and between snapshots"},
    {"save-every", 'i', &save_every, 1, 1e9, "steps between checkpoints and sample pictures"},
    {"samples", 'i', &samples, 0, 10000, "images per sample picture"},
    {"sampler", 's', &sampler, 0, 0, "predictor: euler, straight_heun, dpm_solver_2m, ..."},
    {"sampler-steps", 'i', &sampler_steps, 1, 1e6, "steps of the sampler"},
    {"likelihood", 'i', &likelihoods, 0, 1e9, "held-out images to price at the end, in bits/dim"},
};
enum { OPTION_COUNT = sizeof options / sizeof options[0] };

static void print_help(void) {
    printf("usage: train_images --data FILE [--flag value ...]\n\n");
    for (int i = 0; i < OPTION_COUNT; i++) {
        const option *o = &options[i];
        char text[64] = "";
        if (o->kind == 'i') snprintf(text, sizeof text, "%d", *(int *)o->value);
        if (o->kind == 'd') snprintf(text, sizeof text, "%g", *(double *)o->value);
        if (o->kind == 's' && *(const char **)o->value) snprintf(text, sizeof text, "%s", *(const char **)o->value);
        for (int k = 0; o->kind == 'l' && k < ((number_list *)o->value)->count; k++) {
            size_t length = strlen(text);
            snprintf(text + length, sizeof text - length, k ? ",%d" : "%d", ((number_list *)o->value)->at[k]);
        }
        printf("  --%-16s %s%s%s%s\n", o->name, o->help, text[0] ? " [" : "", text, text[0] ? "]" : "");
    }
}

/* Reads a number that ends the text or is followed by a comma; returns what follows. */
static const char *read_number(const option *o, const char *text, double *number) {
    char *end;
    *number = strtod(text, &end);
    int whole = o->kind == 'd' || !(floor(*number) < *number);
    if (end == text || (*end && (*end != ',' || o->kind != 'l')) || !whole ||
        !(*number >= o->least && *number <= o->most))
        fail("--%s %s: wanted %s from %g to %g", o->name, text, o->kind == 'd' ? "a number" : "whole numbers", o->least,
             o->most);
    return *end ? end + 1 : end;
}

static void read_option(const option *o, const char *text) {
    double number = 0;
    if (o->kind == 's') *(const char **)o->value = text;
    if (o->kind == 'f') {
        file_list *files = (file_list *)o->value;
        if (files->count == MOST_FILES) fail("--%s may be given %d times", o->name, MOST_FILES);
        files->path[files->count++] = text;
    }
    if (o->kind == 'i' || o->kind == 'd') read_number(o, text, &number);
    if (o->kind == 'i') *(int *)o->value = (int)number;
    if (o->kind == 'd') *(double *)o->value = number;
    if (o->kind == 'l') {
        number_list *list = (number_list *)o->value;
        for (list->count = 0; *text; list->at[list->count++] = (int)number) {
            if (list->count == SSDE_MAX_LEVELS) fail("--%s: wanted at most %d numbers", o->name, SSDE_MAX_LEVELS);
            text = read_number(o, text, &number);
        }
    }
}

static void read_options(int argc, char **argv) {
    for (int i = 1; i < argc; i += 2) {
        int k = 0;
        if (!strcmp(argv[i], "--help")) {
            print_help();
            exit(0);
        }
        while (k < OPTION_COUNT && (strncmp(argv[i], "--", 2) || strcmp(argv[i] + 2, options[k].name))) k++;
        if (k == OPTION_COUNT) fail("there is no flag '%s': see --help", argv[i]);
        if (i + 1 == argc) fail("%s wants a value", argv[i]);
        read_option(&options[k], argv[i + 1]);
    }
    if (!data_files.count) fail("--data FILE is missing: see --help");
    if (!ch_mult.count) fail("--ch_mult is empty: wanted one factor per level");
    if (strcmp(sde_name, "ve") && strcmp(sde_name, "vp") && strcmp(sde_name, "subvp") &&
        strcmp(sde_name, "rectified_flow"))
        fail("--sde %s: wanted ve, vp, subvp or rectified_flow", sde_name);
    check(ssde_parameterisation_find(&context, output_name, &output));
    if (strcmp(weighting_name, "default")) check(ssde_weighting_find(&context, weighting_name, &weighting));
    check(ssde_times_find(&context, times_name, &times));
    check(ssde_predictor_find(&context, sampler, &predictor));
    if (average > 0 && average < 0.001) fail("--average %g: wanted 0, or 0.001 to 0.288", average);
    /* VE's networks take [0, 1], but EDM's scale what comes in, wherever it lies. */
    if (!strcmp(sde_name, "ve") && output != SSDE_PREDICT_EDM) data_low = 0;
}

/* The name of a file to write. */
static const char *out_path(const char *name) {
    static char path[1024];
    if (snprintf(path, sizeof path, "%s%s", out, name) >= (int)sizeof path) fail("--out is too long");
    return path;
}

/* ---- data ---- */

/* Images as bytes, a quarter of the memory of floats: [count, height, width, channels]. */
typedef struct image_set {
    unsigned char *values;
    size_t count, height, width, channels;
} image_set;

static size_t image_dim(const image_set *set) { return set->height * set->width * set->channels; }

static int ends_with(const char *text, const char *ending) {
    size_t length = strlen(text), tail = strlen(ending);
    return length >= tail && !strcmp(text + length - tail, ending);
}

/* The file's images as a tensor [n, height, width, channels]. */
static ssde_tensor load_tensor(const char *path) {
    ssde_tensor images;
    if (ends_with(path, ".npy")) {
        check(ssde_npy_load(&context, path, &images));
        if (images.rank == 3) images.shape[images.rank++] = 1;
    } else if (ends_with(path, ".bin")) {
        check(ssde_cifar10_load(&context, path, &images, NULL));
    } else {
        check(ssde_idx_load(&context, path, &images));
    }
    if (images.rank != 4)
        fail("'%s' has %d axes, wanted images [n,h,w] or [n,h,w,c]: are these labels?", path, images.rank);
    if (images.shape[3] != 1 && images.shape[3] != 3)
        fail("'%s': the last axis is %d, wanted 1 or 3 channels", path, (int)images.shape[3]);
    return images;
}

static void append(image_set *set, const char *path) {
    ssde_tensor images = load_tensor(path);
    const size_t *shape = images.shape, added = ssde_tensor_count(&images);
    if (set->count && (set->height != shape[1] || set->width != shape[2] || set->channels != shape[3]))
        fail("'%s' holds images of %d x %d x %d, the files before it %d x %d x %d", path, (int)shape[1], (int)shape[2],
             (int)shape[3], (int)set->height, (int)set->width, (int)set->channels);
    set->height = shape[1], set->width = shape[2], set->channels = shape[3];
    size_t used = set->count * image_dim(set);
    set->values = (unsigned char *)realloc(set->values, used + added);
    if (!set->values) fail("no memory for %.0f MB of images", (double)(used + added) / 1e6);
    for (size_t i = 0; i < added; i++) {
        float value = images.data[i];
        if (!(value >= 0 && value <= (float)(levels - 1)) || floorf(value) < value)
            fail("'%s': image %d holds %g, wanted whole numbers from 0 to %d (--levels %d)", path,
                 (int)(i / image_dim(set)), (double)value, levels - 1, levels);
        set->values[used + i] = (unsigned char)value;
    }
    set->count += shape[0];
    ssde_tensor_release(&context, &images);
}

static void load_data(image_set *train, image_set *test) {
    for (int i = 0; i < data_files.count; i++) append(train, data_files.path[i]);
    *test = *train;
    test->count = 0;
    test->values = NULL;
    for (int i = 0; i < test_files.count; i++) append(test, test_files.path[i]);
    if (test_files.count) {
        if (image_dim(test) != image_dim(train) || test->width != train->width || test->channels != train->channels)
            fail("--test: images of another shape than those of --data");
        return;
    }
    if (train->count < 20) fail("%d images are too few to hold 5%% of them out: give --test", (int)train->count);
    test->count = train->count / 20;
    train->count -= test->count;
    test->values = train->values + train->count * image_dim(train);
}

static void copy_image(const image_set *set, size_t index, float *x) {
    const unsigned char *from = set->values + index * image_dim(set);
    for (size_t i = 0; i < image_dim(set); i++) x[i] = (float)from[i];
}

/* The first images of a set, as floats; the caller frees them. */
static float *first_images(const image_set *set, size_t count) {
    float *x = (float *)allocate(count * image_dim(set), sizeof *x);
    for (size_t i = 0; i < count; i++) copy_image(set, i, x + i * image_dim(set));
    return x;
}

/* The largest distance between two of 500 images, scaled to [data_low, 1]. */
static double largest_distance(const image_set *set) {
    size_t count = set->count < 500 ? set->count : 500, dim = image_dim(set);
    double largest = 0;
    for (size_t i = 0; i < count; i++) {
        const unsigned char *a = set->values + ssde_shuffled_index(0, set->count, i) * dim;
        for (size_t j = 0; j < i; j++) {
            const unsigned char *b = set->values + ssde_shuffled_index(0, set->count, j) * dim;
            double square = 0;
            for (size_t k = 0; k < dim; k++) square += (double)((a[k] - b[k]) * (a[k] - b[k]));
            if (square > largest) largest = square;
        }
    }
    return sqrt(largest) * (1 - (double)data_low) / (levels - 1);
}

/* ---- the SDE and the network ---- */

/* VE must be able to drown every difference within the data: sigma_max is about the largest distance (Song & Ermon
   2020, "Improved techniques", technique 1). */
static ssde_sde make_sde(const image_set *train) {
    if (!strcmp(sde_name, "vp")) return ssde_vp(0.1, 20.0);
    if (!strcmp(sde_name, "subvp")) return ssde_subvp(0.1, 20.0);
    if (!strcmp(sde_name, "rectified_flow")) return ssde_rectified_flow();
    double distance = largest_distance(train);
    if (!(sigma_max > 0)) sigma_max = fmax(1, ceil(distance));
    printf("VE: largest distance within the data %.1f, sigma_max %g\n", distance, sigma_max);
    if (sigma_max < distance)
        printf("warning: sigma_max is less than that: samples will favour images near the average one\n");
    if (sigma_max > 4 * distance)
        printf("warning: sigma_max is much more than that: training and sampling spend steps on noise alone\n");
    return ssde_ve(0.01, sigma_max);
}

/* For VE NCSN++, which is told log std(t), else DDPM++; where the score is learned, divided by std(t). */
static ssde_net *make_network(const image_set *train, const ssde_sde *sde) {
    ssde_unet_desc shape = sde->kind == SSDE_VE ? ssde_ncsnpp(train->height, train->width, train->channels)
                                                : ssde_ddpmpp(train->height, train->width, train->channels);
    ssde_net *net;
    shape.nf = (size_t)nf;
    shape.num_levels = ch_mult.count;
    for (int i = 0; i < ch_mult.count; i++) shape.ch_mult[i] = ch_mult.at[i];
    shape.num_attn_resolutions = attention.count;
    for (int i = 0; i < attention.count; i++) shape.attn_resolutions[i] = (size_t)attention.at[i];
    shape.num_res_blocks = num_res_blocks;
    shape.scale_by_sigma = output == SSDE_PREDICT_SCORE || (sde->kind == SSDE_VE && output == SSDE_PREDICT_DEFAULT);
    shape.centered = data_low < 0;
    shape.dropout = dropout;
    shape.seed = (uint64_t)seed;
    shape.context = &context;
    check(ssde_unet_create(&net, &shape));
    return net;
}

static ssde_trainer *make_trainer(ssde_net *net, const ssde_sde *sde) {
    ssde_train_desc train = ssde_train_defaults(sde, (uint64_t)steps);
    ssde_trainer *trainer;
    train.batch = (size_t)batch;
    if (lr > 0) train.lr = lr;
    if (warmup >= 0) train.warmup = warmup;
    if (ema_rate > 0) train.ema_rate = ema_rate;
    train.random_flip = flip;
    train.levels = levels;
    train.low = (double)data_low;
    train.high = 1;
    train.loss.output = output;
    if (strcmp(weighting_name, "default")) train.loss.weighting = weighting;
    train.loss.times = times;
    train.loss.stratified = stratified;
    train.keep_averages = average > 0;
    train.seed = (uint64_t)seed;
    train.context = &context;
    check(ssde_trainer_create(&trainer, net, sde, &train));
    return trainer;
}

/* ---- pictures ---- */

/* A square of `count` images whose values run from low to high. */
static void write_images(const char *path, const image_set *like, const float *x, int count, float low, float high) {
    int width = (int)like->width, height = (int)like->height, columns = (int)ceil(sqrt(count));
    int zoom = width < 84 ? 84 / width : 1, gap = 2 + zoom, rows = (count + columns - 1) / columns;
    size_t values = (size_t)count * image_dim(like);
    unsigned char *pixels = (unsigned char *)allocate(values, 1);
    picture page = picture_create(columns * (width * zoom + gap) + gap, rows * (height * zoom + gap) + gap);
    picture_bytes(x, values, low, high, pixels);
    if (page.pixels)
        picture_images(&page, gap, gap, pixels, count, columns, width, height, (int)like->channels, zoom, gap);
    if (picture_write(&page, path)) fail("cannot write '%s'", path);
    picture_destroy(&page);
    free(pixels);
}

/* ---- progress ---- */

/* One line that is written over and over, on stderr; the results go to stdout. */
static void show_progress(const char *what, double done, double total, double start, const char *more) {
    static double shown;
    double now = seconds(), left = done > 0 ? (now - start) * (total - done) / done : 0;
    if (now - shown < 0.5 && done < total) return;
    shown = now;
    fprintf(stderr, "\r%s %3.0f%%%s  %d:%02d left   ", what, 100 * done / total, more, (int)left / 60, (int)left % 60);
    if (done >= total) fprintf(stderr, "\r%79s\r", "");
    fflush(stderr);
}

typedef struct task {
    const char *what;
    double start;
} task;

/* Solvers call this between their steps; what it returns tells them whether to stop. */
static int on_solver_step(void *user, size_t done, size_t total) {
    const task *t = (const task *)user;
    show_progress(t->what, (double)done, (double)total, t->start, "");
    return stopped;
}

/* ---- what is done with a model ---- */

static void draw_samples(const ssde_trainer *trainer, const ssde_net *net, const ssde_sde *sde, const image_set *like) {
    task progress = {"sampling", seconds()};
    ssde_score_net *score_net;
    ssde_score_net_desc memory = ssde_score_net_defaults();
    ssde_sampler_desc how = ssde_sampler_defaults(); /* VE: reverse diffusion and Langevin; else Euler-Maruyama */
    ssde_rng rng = ssde_rng_seed((uint64_t)seed);
    char name[64];
    if (!samples || stopped) return;
    memory.no_derivative = 1;
    memory.context = &context;
    check(ssde_score_net_create(&score_net, net, sde, &memory));

    ssde_score_model model = ssde_score_net_model(score_net);
    float *x = (float *)allocate((size_t)samples * model.dim, sizeof *x);
    how.predictor = predictor;
    how.steps = (size_t)sampler_steps;
    how.progress = on_solver_step;
    how.user = &progress;
    how.context = &context;
    ssde_status status = ssde_sample(sde, &model, &how, &rng, (size_t)samples, x);
    if (status != SSDE_ERROR_CANCELLED) {
        check(status);
        snprintf(name, sizeof name, "samples_%06.0f.png", (double)ssde_trainer_step_count(trainer));
        write_images(out_path(name), like, x, samples, data_low, 1);
        printf("wrote %s\n", out_path(name));
    }
    free(x);
    ssde_score_net_destroy(score_net);
}

/* Bits per dimension of the first held-out images, and what these cost without a model. */
static void price_images(const ssde_net *net, const ssde_sde *sde, const image_set *data, const image_set *test) {
    size_t count = test->count < (size_t)likelihoods ? test->count : (size_t)likelihoods;
    task progress = {"likelihood", seconds()};
    ssde_score_net *score_net;
    ssde_score_net_desc memory = ssde_score_net_defaults();
    ssde_likelihood_desc how = ssde_likelihood_defaults();
    ssde_rng rng = ssde_rng_seed((uint64_t)seed);
    if (!count || stopped) return;
    memory.context = &context;
    check(ssde_score_net_create(&score_net, net, sde, &memory));

    ssde_score_model model = ssde_score_net_model(score_net);
    float *x = first_images(test, count);
    ssde_likelihood_result *results = (ssde_likelihood_result *)allocate(count, sizeof *results);
    how.levels = levels; /* whole numbers: dequantised by the library, as in training */
    how.low = (double)data_low;
    how.high = 1;
    how.progress = on_solver_step;
    how.user = &progress;
    how.context = &context;
    ssde_status status = ssde_likelihood(sde, &model, &how, &rng, count, x, results);
    if (status != SSDE_ERROR_CANCELLED) {
        ssde_likelihood_summary all = ssde_likelihood_summarise(results, count);
        if (!all.count) check(status);
        printf("%d held-out images: %.3f +- %.3f bits/dim, %.0f evaluations each, %.0f s\n", (int)all.count,
               all.bits_per_dim, all.bits_per_dim_error, all.evaluations, seconds() - progress.start);
        printf("the same images as independent pixels, a histogram each: %.3f; as uniform noise: %.3f\n",
               baseline_pixel_bits(data->values, data->count, test->values, count, image_dim(data), levels),
               log(levels) / log(2.0));
        if (all.failed) printf("warning: %d images could not be priced: %s\n", (int)all.failed, context.error);
    }
    free(results);
    free(x);
    ssde_score_net_destroy(score_net);
}

static void save(const ssde_trainer *trainer) {
    check(ssde_trainer_save(trainer, out_path("checkpoint.safetensors")));
    check(ssde_trainer_save_model(trainer, out_path("model.safetensors")));
}

static int exists(const char *path) {
    FILE *old = names_open(path, "rb");
    if (old) fclose(old);
    return old != NULL;
}

static const char *snapshot_path(int step) {
    char name[64];
    snprintf(name, sizeof name, "average_%06d.safetensors", step);
    return out_path(name);
}

/* Makes net the average of that length of the snapshots there are, and saves it as a model. */
static void choose_average(const ssde_trainer *trainer, ssde_net *net, const ssde_sde *sde) {
    int last = (int)ssde_trainer_step_count(trainer), count = 0;
    double residual;
    char **paths = (char **)allocate((size_t)(last / report_every + 1), sizeof *paths);
    for (int step = report_every; step < last + report_every; step += report_every) {
        const char *path = snapshot_path(step < last ? step : last);
        if (!exists(path)) continue;
        paths[count] = (char *)allocate(strlen(path) + 1, 1);
        strcpy(paths[count++], path);
    }
    check(ssde_net_reconstruct_average(net, (const char *const *)paths, (size_t)count, average, &residual));
    check(ssde_net_save(net, sde, out_path("average.safetensors")));
    printf("the average of length %g is in %s: of %d snapshots, its profile to %.2g of itself\n", average,
           out_path("average.safetensors"), count, residual);
    while (count) free(paths[--count]);
    free(paths);
}

/* ---- training ---- */

static void train(ssde_trainer *trainer, const ssde_sde *sde, const image_set *data, const image_set *test) {
    size_t dim = image_dim(data), held_out_count = test->count < 2048 ? test->count : 2048;
    float *x = (float *)allocate((size_t)batch * dim, sizeof *x), *held_out = first_images(test, held_out_count);
    ssde_batch all_held_out = ssde_batch_of(held_out, held_out_count);
    double start = seconds(), training = 0, running = 0, loss = 0;
    int first = (int)ssde_trainer_step_count(trainer);
    printf("\n    step  training loss  held-out loss (EMA)   seconds\n");
    for (int step = first; step < steps;) {
        if (step && step % save_every == 0)
            draw_samples(trainer, ssde_trainer_ema(trainer), sde, data); /* the checkpoint's */
        if (stopped) break;
        /* The order of the data and all noise follow from (seed, step), so that a checkpoint needs no other state. */
        double begin = seconds();
        ssde_batch rows = ssde_batch_of(x, (size_t)batch);
        for (size_t i = 0; i < rows.rows; i++) {
            uint64_t position = (uint64_t)step * rows.rows + i;
            copy_image(data, (size_t)ssde_shuffled_index((uint64_t)seed, data->count, position), x + i * dim);
        }
        ssde_status status = ssde_train_step(trainer, &rows, &loss);
        if (status == SSDE_ERROR_NUMERIC) save(trainer); /* the weights are those before the step */
        check(status);
        step = (int)ssde_trainer_step_count(trainer);
        running = step == first + 1 ? loss : 0.98 * running + 0.02 * loss;
        training += seconds() - begin;

        char more[80];
        snprintf(more, sizeof more, "  step %d/%d  loss %.4f  %.1f images/s", step, steps, running,
                 (double)batch * (step - first) / fmax(training, 1e-3));
        show_progress("training", step - first, steps - first, start, more);
        if ((step % report_every == 0 || step == steps) && !stopped) {
            double held_out_loss, error;
            check(ssde_trainer_evaluate(trainer, &all_held_out, 1, &held_out_loss, &error));
            printf("%8d  %13.4f  %8.4f +- %6.4f   %9.0f\n", step, running, held_out_loss, error, seconds() - start);
        }
        if (average > 0 && (step % report_every == 0 || step == steps))
            check(ssde_trainer_save_averages(trainer, snapshot_path(step)));
        if (step % save_every == 0 || step == steps || stopped) save(trainer);
        fflush(stdout);
    }
    int taken = (int)ssde_trainer_step_count(trainer) - first;
    if (taken)
        printf("%d steps, %.3f s each, %.1f images/s\n", taken, training / taken,
               (double)batch * taken / fmax(training, 1e-3));
    free(held_out);
    free(x);
}

/* Goes on from a checkpoint or begins, and saves at once: the model is the checkpoint's from here on, whatever was
   written before the program ended last time, and a folder that cannot be written is noticed now. */
static void load_or_begin(ssde_trainer *trainer) {
    const char *path = out_path("checkpoint.safetensors");
    int same = resume && !strcmp(resume, path);
    if (exists(path) && !same) fail("%s exists: go on with --resume %s, or choose another --out", path, path);
    path = out_path("model.safetensors");
    if (exists(path) && !same) fail("%s exists, and no checkpoint of it: choose another --out", path);
    if (resume) {
        check(ssde_trainer_load(trainer, resume));
        double step = (double)ssde_trainer_step_count(trainer);
        printf("resumed at step %.0f from %s%s\n", step, resume, step >= steps ? ": no step is left" : "");
    }
    save(trainer);
}

int main(int argc, char **argv) {
    image_set data, test;
    memset(&data, 0, sizeof data);
    argv = names_arguments(&argc, argv);
    read_options(argc, argv);
    signal(SIGINT, on_interrupt);
    load_data(&data, &test);
    printf("%d images of %d x %d x %d, %d held out\n", (int)data.count, (int)data.height, (int)data.width,
           (int)data.channels, (int)test.count);

    ssde_sde sde = make_sde(&data);
    ssde_net *net = make_network(&data, &sde);
    ssde_trainer *trainer = make_trainer(net, &sde);
    printf("%s, %.2f million weights, %s kernels\n", sde_name, (double)ssde_net_weight_count(net) / 1e6,
           ssde_tier_name(ssde_tier_used(&context)));
    load_or_begin(trainer);

    float *examples = first_images(&data, data.count < 36 ? data.count : 36);
    write_images(out_path("data.png"), &data, examples, data.count < 36 ? (int)data.count : 36, 0, (float)(levels - 1));
    free(examples);

    train(trainer, &sde, &data, &test);
    if (average > 0 && !stopped) choose_average(trainer, net, &sde);
    const ssde_net *chosen = average > 0 ? net : ssde_trainer_ema(trainer);
    draw_samples(trainer, chosen, &sde, &data);
    price_images(chosen, &sde, &data, &test);
    if (stopped)
        printf("stopped at step %.0f; go on with --resume %s\n", (double)ssde_trainer_step_count(trainer),
               out_path("checkpoint.safetensors"));
    else
        printf("the model is in %s\n", out_path("model.safetensors"));

    ssde_trainer_destroy(trainer);
    ssde_net_destroy(net);
    if (test_files.count) free(test.values); /* otherwise it is the end of data.values */
    free(data.values);
    return 0;
}
