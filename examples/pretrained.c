/* Draws from a model that was trained elsewhere, with the sampler that came with it, into samples.png.

       cc -O2 examples/pretrained.c -o pretrained -lm

   Three kinds of model, each in the files that its makers publish; nothing is downloaded:

       ./pretrained ddpm-cifar10-32 --n 4
   A folder of diffusers, whose network is a UNet2DModel: of huggingface.co/google/ddpm-cifar10-32 the files
   config.json, scheduler_config.json and diffusion_pytorch_model.safetensors, or .bin, or the parts of either and their
   .index.json. Saved pipelines have them in unet/ and scheduler/. --steps 50 is num_inference_steps; --scheduler FILE
   takes another scheduler_config.json.

       ./pretrained 64x64_diffusion 64x64_diffusion.pt --class 207
   The published name of a model of OpenAI's guided-diffusion or improved-diffusion, which stands for its flags, and its
   file: DDPM with the learned variance, in 250 steps. --classifier 64x64_classifier.pt with --guidance 1 steers to the
   class.

       ./pretrained ve/cifar10_ncsnpp_continuous checkpoint_24.pth
   A configuration of the reference (github.com/yang-song/score_sde_pytorch) and its checkpoint: the paper's predictor
   and corrector; for RefineNets, ve/ncsn/... and ve/ncsnv2/..., annealed Langevin, --steps of it at each noise level.

   Options of all: --n N (pictures, 16), --seed N, --class N, --threads N (with -fopenmp), --batch N (pictures at once,
   which memory goes by: 4), --out FILE. */
#define SCORESDE_IMPLEMENTATION
#include "../scoresde.h"
#include "../scoresde_nn.h"
#include "../scoresde_solvers.h"

#include "picture.h"

#include <stdarg.h>
#include <time.h>

enum { PATH = 4096, MOST_STEPS = 4000 };

static ssde_context context;

typedef struct options {
    const char *model, *weights, *scheduler, *classifier, *out;
    long steps, n, batch, seed, class_of, guidance, threads; /* steps 0: the model's own; class_of -1: none */
} options;

typedef struct pretrained {
    ssde_net *net;
    ssde_sde sde;
    ssde_sampler_desc how;
    ssde_score_net_desc meaning; /* of the network's output */
    float black;                 /* white is 1 */
} pretrained;

/* Every call of the library goes through this: a failure has a text. */
static void must(ssde_status status) {
    if (status == SSDE_OK) return;
    fprintf(stderr, "\n%s: %s\n", ssde_status_text(status), context.error);
    exit(1);
}

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n");
    exit(1);
}

static void *allocate(size_t size) {
    void *memory = malloc(size);
    if (!memory) fail("no memory for %.0f bytes", (double)size);
    return memory;
}

/* ---- diffusers ---- */

static int exists(const char *path) {
    FILE *file = names_open(path, "rb");
    if (file) fclose(file);
    return file != NULL;
}

/* The first of these files that is in the folder, or in its part as pipelines are saved. */
static void locate(char *path, const char *folder, const char *part, const char *const *names) {
    for (int i = 0; names[i]; i++) {
        snprintf(path, PATH, "%s/%s", folder, names[i]);
        if (exists(path)) return;
        snprintf(path, PATH, "%s/%s/%s", folder, part, names[i]);
        if (exists(path)) return;
    }
    fail("'%s' has no %s, nor has '%s/%s'; nothing is downloaded", folder, names[0], folder, part);
}

static void load_diffusers(const options *o, pretrained *model) {
    static const char *const configs[] = {"config.json", NULL}, *const schedulers[] = {"scheduler_config.json", NULL};
    static const char *const weights[] = {
        "diffusion_pytorch_model.safetensors",      "diffusion_pytorch_model.safetensors.index.json",
        "diffusion_pytorch_model.fp16.safetensors", "diffusion_pytorch_model.bin",
        "diffusion_pytorch_model.bin.index.json",   NULL};
    static char config[PATH], file[PATH], schedule[PATH];
    locate(config, o->model, "unet", configs);
    locate(file, o->model, "unet", weights);
    if (!o->scheduler) locate(schedule, o->model, "scheduler", schedulers);
    must(ssde_net_load_diffusers(&context, &model->net, config, file));

    ssde_scheduler *scheduler; /* stays: sde and how point to its tables */
    ssde_scheduler_desc run = ssde_scheduler_defaults();
    run.steps = (size_t)o->steps;
    must(ssde_scheduler_load(&context, &scheduler, o->scheduler ? o->scheduler : schedule, &run));
    model->sde = scheduler->sde;
    model->how = scheduler->how;
    model->meaning.output = scheduler->output;
    model->meaning.sigma_data = scheduler->sigma_data;
    model->black = scheduler->sde.kind == SSDE_VE ? 0.0f : -1.0f; /* as ScoreSdeVePipeline and the others have it */
}

/* ---- OpenAI ---- */

static void load_openai(const options *o, pretrained *model) {
    static double mean[MOST_STEPS], std[MOST_STEPS], label[MOST_STEPS], times[MOST_STEPS];
    char respacing[24];
    int levels;
    ssde_openai_desc flags;
    must(ssde_openai_find(&context, o->model, &flags));
    flags.context = &context;
    must(ssde_net_load_openai(&model->net, &flags, o->weights));
    snprintf(respacing, sizeof respacing, "%ld", o->steps ? o->steps : 250);
    must(ssde_openai_levels(&flags, respacing, mean, std, label, &levels));
    model->sde = ssde_tabulated(mean, std, label, levels);
    for (int i = 0; i < levels; i++) times[i] = 1.0 - (double)i / (levels - 1);
    model->how.predictor = SSDE_PREDICTOR_DDIM;
    model->how.eta = 1.0; /* which makes it DDPM; 0 is ddim_sample_loop */
    model->how.variance = flags.learn_sigma ? SSDE_VARIANCE_LEARNED : SSDE_VARIANCE_FORWARD;
    model->how.clip = ssde_clip_to(-1.0, 1.0);
    model->how.times = times;
    model->how.steps = (size_t)levels - 1; /* and the one that denoises */
    model->black = -1.0f;
}

/* The classifier of that size, made to ask for the class. */
static ssde_condition steer(const options *o, const pretrained *model, const int32_t *classes, size_t *bytes) {
    ssde_score_net_desc memory = ssde_score_net_defaults();
    ssde_classifier *classifier;
    ssde_net *net;
    ssde_openai_desc flags;
    size_t height, width, channels;
    char name[32];
    ssde_net_shape(model->net, &height, &width, &channels);
    snprintf(name, sizeof name, "%lux%lu_classifier", (unsigned long)height, (unsigned long)width);
    must(ssde_openai_find(&context, name, &flags));
    flags.context = &context;
    must(ssde_net_load_openai(&net, &flags, o->classifier));
    memory.max_rows = (size_t)o->batch;
    memory.context = &context;
    must(ssde_classifier_create(&classifier, net, &model->sde, &memory));
    must(ssde_classifier_set_classes(classifier, classes, (size_t)o->n, 0));
    *bytes += ssde_net_memory(net) + ssde_classifier_memory(net, &model->sde, &memory);
    return ssde_guide(ssde_classifier_gradient, classifier, (double)o->guidance);
}

/* ---- the reference ---- */

static void load_unet(const options *o, pretrained *model) {
    ssde_unet_desc shape;
    ssde_train_desc trained;
    must(ssde_configuration(&context, o->model, &shape, &model->sde, &trained));
    shape.context = &context;
    must(ssde_unet_create(&model->net, &shape));
    model->how.steps = (size_t)o->steps;
    model->meaning.discrete = trained.loss.discrete;
    model->black = shape.centered ? -1.0f : 0.0f;
}

static void load_refinenet(const options *o, pretrained *model) {
    ssde_refinenet_desc shape;
    must(ssde_refinenet_configuration(&context, o->model, &shape, &model->sde, NULL));
    shape.context = &context;
    must(ssde_refinenet_create(&model->net, &shape));
    model->how.predictor = SSDE_PREDICTOR_SMLD;
    model->how.corrector_steps = o->steps ? (size_t)o->steps : shape.name == SSDE_NCSN ? 100 : 5;
    model->how.step_size = 4e-5; /* NCSN's; NCSNv2's is a rule */
    if (shape.name != SSDE_NCSN)
        must(ssde_langevin_step_size(&context, &model->sde, model->how.corrector_steps, &model->how.step_size, NULL));
    model->black = shape.centered ? -1.0f : 0.0f;
}

static void load_reference(const options *o, pretrained *model) {
    int refinenet = !strncmp(o->model, "ve/ncsn/", 8) || !strncmp(o->model, "ve/ncsnv2/", 10);
    if (refinenet)
        load_refinenet(o, model);
    else
        load_unet(o, model);
    must(ssde_net_load_pth(model->net, o->weights, SSDE_PTH_EMA)); /* of NCSN, which has no average, the model's */
}

/* ---- drawing ---- */

static int show(void *user, size_t done, size_t total) {
    (void)user;
    printf("\rstep %lu of %lu ", (unsigned long)done, (unsigned long)total);
    fflush(stdout);
    return 0;
}

/* Of latents and other maps, which are no picture, the values. */
static void write_samples(const options *o, const pretrained *model, float *x) {
    size_t n = (size_t)o->n, height, width, channels;
    ssde_net_shape(model->net, &height, &width, &channels);
    const char *path = channels == 1 || channels == 3 ? o->out : "samples.npy";
    if (path == o->out) {
        int zoom = width < 64 ? (int)(64 / width) : 1, columns = (int)ceil(sqrt((double)n));
        int rows = ((int)n + columns - 1) / columns;
        picture page = picture_create(2 + columns * ((int)width * zoom + 2), 2 + rows * ((int)height * zoom + 2));
        unsigned char *bytes = (unsigned char *)allocate(n * height * width * channels);
        picture_bytes(x, n * height * width * channels, model->black, 1.0f, bytes);
        picture_images(&page, 2, 2, bytes, (int)n, columns, (int)width, (int)height, (int)channels, zoom, 2);
        free(bytes);
        if (picture_write(&page, path)) fail("cannot write %s", path);
        picture_destroy(&page);
    } else {
        ssde_tensor maps = ssde_tensor_4d(x, n, height, width, channels);
        must(ssde_npy_save(&context, path, &maps));
    }
    printf("wrote %s\n", path);
}

static void draw(const options *o, pretrained *model) {
    ssde_score_net *score_net;
    ssde_sample_report report;
    ssde_rng rng = ssde_rng_seed((uint64_t)o->seed);
    size_t bytes = 0, n = (size_t)o->n;
    model->meaning.no_derivative = 1;
    model->how.context = &context;
    model->how.progress = show;
    model->how.report = &report;
    must(ssde_score_net_create(&score_net, model->net, &model->sde, &model->meaning));

    int32_t *classes = (int32_t *)allocate(n * sizeof *classes);
    float *x = (float *)allocate(n * ssde_net_dim(model->net) * sizeof *x);
    for (size_t i = 0; i < n; i++) classes[i] = (int32_t)o->class_of;
    if (o->class_of >= 0 && (ssde_net_classes(model->net) || !o->classifier))
        must(ssde_score_net_set_classes(score_net, classes, n, 0));
    if (o->classifier) model->how.condition = steer(o, model, classes, &bytes);

    ssde_score_model score = ssde_score_net_model(score_net);
    bytes += ssde_net_memory(model->net) + ssde_score_net_memory(model->net, &model->sde, &model->meaning) +
             ssde_sample_memory(&model->sde, &score, &model->how, n);
    printf("%.2f million weights; drawing takes %.0f MB\n", (double)ssde_net_weight_count(model->net) * 1e-6,
           ceil((double)bytes * 1e-6));
    clock_t start = clock();
    must(ssde_sample(&model->sde, &score, &model->how, &rng, n, x));
    printf("\n%lu evaluations of the network (sampler %s, eta %g), %.3g s of processor time for each picture\n",
           (unsigned long)report.evaluations, ssde_predictor_info(model->how.predictor)->name, model->how.eta,
           (double)(clock() - start) / CLOCKS_PER_SEC / (double)n);
    write_samples(o, model, x);
    ssde_score_net_destroy(score_net);
    free(classes);
    free(x);
}

/* ---- options ---- */

static void usage(void) {
    fprintf(stderr,
            "usage: pretrained FOLDER | NAME FILE [--steps N] [--scheduler FILE] [--n N] [--seed N] [--class N]\n"
            "       [--classifier FILE] [--guidance SCALE] [--batch N] [--threads N] [--out FILE]; NAME is one of\n");
    for (size_t i = 0; ssde_openai_name(i); i++) fprintf(stderr, "%s ", ssde_openai_name(i));
    for (size_t i = 0; ssde_configuration_name(i); i++) fprintf(stderr, "%s ", ssde_configuration_name(i));
    fprintf(stderr, "\n");
    exit(1);
}

static options parse(int argc, char **argv) {
    options o = {NULL, NULL, NULL, NULL, "samples.png", 0, 16, 4, 42, -1, 1, 0};
    const struct {
        const char *name, **text; /* either a text */
        long *number, least;      /* or a whole number */
    } known[] = {{"--scheduler", &o.scheduler, NULL, 0},
                 {"--classifier", &o.classifier, NULL, 0},
                 {"--out", &o.out, NULL, 0},
                 {"--steps", NULL, &o.steps, 1},
                 {"--n", NULL, &o.n, 1},
                 {"--batch", NULL, &o.batch, 1},
                 {"--seed", NULL, &o.seed, 0},
                 {"--class", NULL, &o.class_of, 0},
                 {"--guidance", NULL, &o.guidance, 0},
                 {"--threads", NULL, &o.threads, 1}};
    for (int i = 1; i < argc; i++) {
        size_t k = 0, count = sizeof known / sizeof *known;
        char *end;
        if (argv[i][0] != '-' && !o.weights) {
            *(o.model ? &o.weights : &o.model) = argv[i];
            continue;
        }
        while (k < count && strcmp(argv[i], known[k].name)) k++;
        if (k == count || ++i == argc) usage();
        if (known[k].text) {
            *known[k].text = argv[i];
            continue;
        }
        *known[k].number = strtol(argv[i], &end, 10);
        if (end == argv[i] || *end || *known[k].number < known[k].least || *known[k].number > 1000000)
            fail("%s %s: wanted a whole number from %ld to a million", known[k].name, argv[i], known[k].least);
    }
    if (!o.model) usage();
    return o;
}

int main(int argc, char **argv) {
    argv = names_arguments(&argc, argv);
    options o = parse(argc, argv);
    pretrained model;
    model.how = ssde_sampler_defaults();
    model.meaning = ssde_score_net_defaults();
    model.meaning.max_rows = (size_t)o.batch;
    model.meaning.context = &context;
    context.threads = (int)o.threads;
    if (!o.weights)
        load_diffusers(&o, &model);
    else if (strchr(o.model, '/'))
        load_reference(&o, &model);
    else
        load_openai(&o, &model);
    draw(&o, &model);
    return 0; /* what was loaded goes with the process */
}
