/* toy2d.c - eight Gaussians on a ring: every sampler with the exact score, then with a learned one, and pictures

   cc -O2 examples/toy2d.c -o toy2d -lm && ./toy2d          (a minute)

   Options: --steps N (of training, 12000), --seed N (0), --out PREFIX (of the pictures, toy2d_).

   The density of the data is known, so that samples can be judged: -log p_0(x), averaged over perfect samples, is the
   entropy of the data, 0.312 nats. More means samples where there should be none, less means modes lost or too tight.
 */

#define SCORESDE_IMPLEMENTATION
#include "../scoresde.h"
#include "../scoresde_nn.h"
#include "../scoresde_solvers.h"

#include "picture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    MODES = 8,
    POINTS = 8192,         /* samples in each row of the first table */
    LEARNED_POINTS = 4096, /* and of the second */
    BATCH = 512,           /* training points per step */
    PATHS = 24,            /* trajectories drawn */
    PATH_STEPS = 500,      /* and their steps */
    ARROWS = 19,           /* per side of a score field */
    CELLS = 200            /* per side of a density */
};
static const double spread = 0.1; /* of each mode; the ring's radius is 1 */
static const double entropy = 0.312;

static ssde_context context; /* all zero: the defaults; receives the text of every error */
static ssde_mixture *ring;
static int steps = 12000, seed = 0;
static const char *out = "toy2d_";

/* ---- errors and options ---- */

static void check(ssde_status status) {
    if (status == SSDE_OK) return;
    fprintf(stderr, "\ntoy2d: %s (%s)\n", context.error, ssde_status_text(status));
    exit(1);
}

static void *allocate(size_t count, size_t size) {
    void *memory = calloc(count, size);
    if (memory) return memory;
    fprintf(stderr, "\ntoy2d: no memory for %.0f MB\n", (double)count * (double)size / 1e6);
    exit(1);
}

static int whole_number(const char *text, int least) {
    char *end;
    long number = strtol(text, &end, 10);
    if (end != text && !*end && number >= least && number <= 100000000) return (int)number;
    fprintf(stderr, "toy2d: '%s': wanted a whole number, %d or more\n", text, least);
    exit(1);
}

static void read_options(int argc, char **argv) {
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (value && !strcmp(argv[i], "--steps"))
            steps = whole_number(value, 1);
        else if (value && !strcmp(argv[i], "--seed"))
            seed = whole_number(value, 0);
        else if (value && !strcmp(argv[i], "--out"))
            out = value;
        else {
            printf("usage: toy2d [--steps N (of training)] [--seed N] [--out PREFIX (of the pictures)]\n");
            exit(strcmp(argv[i], "--help") != 0);
        }
    }
}

static double seconds_since(clock_t start) { return (double)(clock() - start) / CLOCKS_PER_SEC; }

/* ---- judging samples ---- */

/* log p_0 of x [n, 2], the density of the data. */
static void true_log_density(const float *x, size_t n, double *log_density) {
    ssde_sde none = ssde_vp(0.1, 20.0); /* at t = 0 it has added no noise */
    double *point = (double *)allocate(2 * n, sizeof *point), *t = (double *)allocate(n, sizeof *t);
    for (size_t i = 0; i < 2 * n; i++) point[i] = (double)x[i];
    check(ssde_mixture_evaluate(ring, &none, point, t, n, log_density, NULL));
    free(point);
    free(t);
}

static double mean(const double *values, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += values[i];
    return sum / (double)n;
}

static double standard_error(const double *values, size_t n) {
    double middle = mean(values, n), square = 0;
    for (size_t i = 0; i < n; i++) square += (values[i] - middle) * (values[i] - middle);
    return sqrt(square / (double)(n - 1) / (double)n);
}

/* ---- samplers ---- */

typedef struct sampler {
    const char *name;
    ssde_predictor predictor;
    ssde_corrector corrector;
    int ode; /* solve the probability-flow ODE with adaptive steps instead */
} sampler;

static const sampler samplers[] = {
    {"Euler-Maruyama", SSDE_PREDICTOR_EULER_MARUYAMA, SSDE_CORRECTOR_NONE, 0},
    {"reverse diffusion", SSDE_PREDICTOR_REVERSE_DIFFUSION, SSDE_CORRECTOR_NONE, 0},
    {"ancestral", SSDE_PREDICTOR_ANCESTRAL, SSDE_CORRECTOR_NONE, 0},
    {"reverse diffusion + Langevin", SSDE_PREDICTOR_REVERSE_DIFFUSION, SSDE_CORRECTOR_LANGEVIN, 0},
    {"probability-flow ODE", SSDE_PREDICTOR_NONE, SSDE_CORRECTOR_NONE, 1},
};
enum { SAMPLERS = sizeof samplers / sizeof samplers[0] };

/* Draws x [n, 2]; returns how often the score was evaluated per sample. */
static double draw(const ssde_sde *sde, const ssde_score_model *model, const sampler *with, size_t sampler_steps,
                   size_t n, float *x) {
    ssde_rng rng = ssde_rng_seed((uint64_t)seed);
    if (with->ode) {
        ssde_ode_report *reports = (ssde_ode_report *)allocate(n, sizeof *reports);
        ssde_flow_desc how = ssde_flow_defaults();
        double evaluations = 0;
        how.denoise = 1;
        how.context = &context;
        check(ssde_sample_ode(sde, model, &how, &rng, n, x, reports));
        for (size_t i = 0; i < n; i++) evaluations += (double)reports[i].evaluations / (double)n;
        free(reports);
        return evaluations;
    }
    ssde_sampler_desc how = ssde_sampler_defaults();
    ssde_sample_report report;
    how.steps = sampler_steps;
    how.predictor = with->predictor;
    how.corrector = with->corrector;
    how.report = &report;
    how.context = &context;
    check(ssde_sample(sde, model, &how, &rng, n, x));
    return (double)report.evaluations;
}

static void print_header(const char *title) {
    printf("\n%-28s  SDE       -log p_0       astray  evaluations  seconds\n", title);
    printf("%-28s          %6.3f, the entropy\n", "", entropy);
}

/* One row of a table; x [n, 2] receives the samples. */
static void try_sampler(const ssde_sde *sde, const ssde_score_model *model, const sampler *with, size_t sampler_steps,
                        size_t n, float *x) {
    static const char *const names[] = {"VE", "VP", "sub-VP", "flow", "affine"};
    double *log_density = (double *)allocate(n, sizeof *log_density);
    clock_t start = clock();
    double evaluations = draw(sde, model, with, sampler_steps, n, x), taken = seconds_since(start);
    int astray = 0;
    true_log_density(x, n, log_density);
    for (size_t i = 0; i < n; i++) astray += log_density[i] < -12; /* five standard deviations from every mode */
    printf("%-28s  %-6s  %6.3f +- %.3f  %6.2f%%  %11.0f  %7.1f\n", with->name, names[sde->kind], -mean(log_density, n),
           standard_error(log_density, n), 100.0 * astray / (double)n, evaluations, taken);
    fflush(stdout);
    free(log_density);
}

/* Away from a weaker model: where both err alike, the better one is wrong by less, and the difference points to where
   it should be. Samples come nearer to the modes, nearer than the data are: spread is the price. */
static void try_autoguidance(const ssde_sde *sde, const ssde_score_model *model, const ssde_score_model *weaker) {
    static const sampler ode = {"the same, autoguided by 0.5", SSDE_PREDICTOR_NONE, SSDE_CORRECTOR_NONE, 1};
    static float x[2 * LEARNED_POINTS];
    ssde_cfg_desc away = ssde_cfg_defaults();
    ssde_score_model guided;
    ssde_cfg *cfg;
    away.conditional = *model;
    away.unconditional = *weaker;
    away.weight = 0.5;
    away.context = &context;
    check(ssde_cfg_create(&cfg, sde, &away));
    guided = ssde_cfg_model(cfg);
    try_sampler(sde, &guided, &ode, 0, LEARNED_POINTS, x);
    ssde_cfg_destroy(cfg);
}

/* ---- the learned score ---- */

/* A multi-layer perceptron learns from fresh points of the ring, one batch per step. */
static ssde_trainer *learn(ssde_net **net, const ssde_sde *sde, size_t hidden, int count) {
    static float x[2 * BATCH];
    ssde_mlp_desc shape = ssde_mlp(2);
    ssde_train_desc how = ssde_train_defaults(sde, (uint64_t)count);
    ssde_trainer *trainer;
    ssde_batch batch = ssde_batch_of(x, BATCH);
    ssde_rng rng = ssde_rng_seed((uint64_t)seed);
    double loss = 0, running = 0;
    clock_t start = clock();
    shape.hidden = hidden;
    shape.embedding_type = SSDE_EMBEDDING_FOURIER;
    shape.fourier_scale = 1;
    shape.seed = (uint64_t)seed;
    shape.context = &context;
    check(ssde_mlp_create(net, &shape));
    how.batch = BATCH;
    how.loss.output = SSDE_PREDICT_EDM; /* of size 1 at every t, as is what the network sees ... */
    how.loss.sigma_data = sqrt((1 + 2 * spread * spread) / 2);
    how.loss.weighting = SSDE_WEIGHT_OUTPUT; /* ... and each t counts by its share ... */
    how.loss.times = SSDE_TIMES_LOG_NORMAL;  /* ... most of them where modes form: noise of 0.1 to 1 */
    how.loss.stratified = 1;
    how.seed = (uint64_t)seed;
    how.context = &context;
    check(ssde_trainer_create(&trainer, *net, sde, &how));
    for (int step = 1; step <= count; step++) {
        check(ssde_trainer_set_lr(trainer, 2e-3 * (1 + cos(acos(-1.0) * step / count)))); /* from 4e-3 to 0 */
        check(ssde_mixture_sample(ring, &rng, BATCH, x, NULL));
        check(ssde_train_step(trainer, &batch, &loss));
        running = step == 1 ? loss : 0.999 * running + 0.001 * loss;
        if (step % 100 && step < count) continue;
        fprintf(stderr, "\rtraining: step %d of %d, loss %.4f, %.0f s ", step, count, running, seconds_since(start));
    }
    fprintf(stderr, "\r%60s\r", "");
    printf("\ntrained %.0f weights for %d steps of %d points in %.0f s, loss %.4f\n",
           (double)ssde_net_weight_count(*net), count, BATCH, seconds_since(start), running);
    return trainer;
}

/* The learned density of points from the ring, by the probability-flow ODE. log p_true - log p_learned is on average
   the Kullback-Leibler divergence between the two: 0 if all was learned. */
static void price_data(const ssde_sde *sde, const ssde_score_model *model) {
    static float x[2 * LEARNED_POINTS];
    static double difference[LEARNED_POINTS];
    static ssde_likelihood_result results[LEARNED_POINTS];
    ssde_rng rng = ssde_rng_seed((uint64_t)seed + 1); /* points that training has not seen */
    ssde_likelihood_desc how = ssde_likelihood_defaults();
    clock_t start = clock();
    check(ssde_mixture_sample(ring, &rng, LEARNED_POINTS, x, NULL));
    how.trace = SSDE_TRACE_EXACT;
    how.context = &context;
    check(ssde_likelihood(sde, model, &how, &rng, LEARNED_POINTS, x, results));
    ssde_likelihood_summary all = ssde_likelihood_summarise(results, LEARNED_POINTS);
    true_log_density(x, LEARNED_POINTS, difference);
    for (size_t i = 0; i < LEARNED_POINTS; i++) difference[i] -= results[i].log_density;
    printf(
        "\ndata under the learned density: -log p = %.3f +- %.3f, Kullback-Leibler divergence %.3f +- %.3f"
        "  (%.0f evaluations, %.1f s)\n",
        -all.log_density, all.log_density_error, mean(difference, LEARNED_POINTS),
        standard_error(difference, LEARNED_POINTS), all.evaluations, seconds_since(start));
}

/* ---- pictures ---- */

static void write_page(picture *page, const char *name) {
    char path[1024];
    snprintf(path, sizeof path, "%s%s", out, name);
    if (picture_write(page, path)) {
        fprintf(stderr, "toy2d: cannot write '%s'\n", path);
        exit(1);
    }
    printf("wrote %s\n", path);
    picture_destroy(page);
}

/* Samples side by side. */
static void picture_samples(const float *exact, const float *learned) {
    static float data[2 * LEARNED_POINTS];
    const char *titles[3] = {"data", "sampled with the exact score", "sampled with the learned score"};
    const float *points[3] = {data, exact, learned};
    picture page = picture_create(1530, 550);
    ssde_rng rng = ssde_rng_seed((uint64_t)seed + 2);
    check(ssde_mixture_sample(ring, &rng, LEARNED_POINTS, data, NULL));
    for (int k = 0; k < 3; k++) {
        picture_plot plot = picture_plot_begin_as(&page, 510 * k, 0, 510, 550, titles[k], NULL, NULL, -1.6, 1.6, -1.6,
                                                  1.6, PICTURE_SAME_UNITS);
        picture_plot_points(&plot, points[k], points[k] + 1, 2, LEARNED_POINTS, 1.8f,
                            picture_palette(k == 0 ? 6 : k - 1), 0.35f);
    }
    write_page(&page, "samples.png");
}

/* The middle of cell i of `cells` equal ones between -reach and reach. */
static double cell_centre(int i, int cells, double reach) { return reach * ((2 * i + 1.0) / cells - 1); }

/* p_t on a square of side 2 reach, as its square root: faint parts stay visible. */
static void plot_density(const picture_plot *plot, const ssde_sde *sde, double time, double reach) {
    const size_t cells = (size_t)CELLS * CELLS;
    double *x = (double *)allocate(2 * cells, sizeof *x), *t = (double *)allocate(cells, sizeof *t);
    double *log_density = (double *)allocate(cells, sizeof *log_density);
    float *shade = (float *)allocate(cells, sizeof *shade), most = 0;
    for (int i = 0; i < CELLS * CELLS; i++) {
        x[2 * i] = cell_centre(i % CELLS, CELLS, reach);
        x[2 * i + 1] = cell_centre(i / CELLS, CELLS, reach);
        t[i] = time;
    }
    check(ssde_mixture_evaluate(ring, sde, x, t, cells, log_density, NULL));
    for (size_t i = 0; i < cells; i++) {
        shade[i] = (float)exp(log_density[i] / 2);
        most = fmaxf(most, shade[i]);
    }
    picture_plot_heat(plot, shade, CELLS, CELLS, 0, 1.9f * most);
    free(x);
    free(t);
    free(log_density);
    free(shade);
}

/* Arrows of std(t)^2 times the score. By Tweedie's formula they lead from x to the mean of what x may have come from,
   times m(t); they are drawn at a third of that length. */
static void plot_score(const picture_plot *plot, const ssde_sde *sde, const ssde_score_model *model, double time,
                       double reach) {
    static float x[2 * ARROWS * ARROWS], score[2 * ARROWS * ARROWS];
    static double t[ARROWS * ARROWS];
    static uint64_t sample[ARROWS * ARROWS];
    ssde_coefficients at;
    for (int i = 0; i < ARROWS * ARROWS; i++) {
        x[2 * i] = (float)cell_centre(i % ARROWS, ARROWS, reach);
        x[2 * i + 1] = (float)cell_centre(i / ARROWS, ARROWS, reach);
        t[i] = time;
        sample[i] = (uint64_t)i;
    }
    check(
        model->score(model->user, x, t, sample, ARROWS * ARROWS, 0, score)); /* what solvers do: rows up to max_rows */
    check(ssde_coefficients_at(&context, sde, time, &at));
    picture_plot_arrows(plot, x, x + 1, score, score + 1, 2, ARROWS * ARROWS, at.std * at.std / 3, 1.6f, PICTURE_INK,
                        0.85f);
}

static void picture_scores(const ssde_sde *sde, const ssde_score_model *exact, const ssde_score_model *learned) {
    const double times[3] = {0.05, 0.15, 0.35}, reach = 2;
    picture page = picture_create(1500, 1060);
    for (int row = 0; row < 2; row++)
        for (int k = 0; k < 3; k++) {
            char title[80];
            ssde_coefficients at;
            check(ssde_coefficients_at(&context, sde, times[k], &at));
            snprintf(title, sizeof title, "%s score, noise std %.2f", row ? "learned" : "exact", at.std);
            picture_plot plot = picture_plot_begin_as(&page, 500 * k, 530 * row, 500, 530, title, NULL, NULL, -reach,
                                                      reach, -reach, reach, PICTURE_SAME_UNITS);
            plot_density(&plot, sde, times[k], reach);
            plot_score(&plot, sde, row ? learned : exact, times[k], reach);
        }
    write_page(&page, "scores.png");
}

/* All positions of a sampler's run. */
typedef struct paths {
    float t[PATH_STEPS + 1];
    float x[PATHS][PATH_STEPS + 1][2];
} paths;

/* Solvers call this at the start and after every step. */
static void record(void *user, size_t step, double t, const float *x, size_t n, size_t dim) {
    paths *all = (paths *)user;
    all->t[step] = (float)t;
    for (size_t i = 0; i < n; i++) memcpy(all->x[i][step], x + i * dim, sizeof all->x[i][step]);
}

static double mode_angle(int k) { return 2 * acos(-1.0) * k / (int)MODES; }

/* The density of the first coordinate at every t: that of the modes' first coordinates, as a mixture in one dimension.
 */
static void plot_marginals(const picture_plot *plot, const ssde_sde *sde, double reach) {
    double weights[MODES], means[MODES], stds[MODES], x[CELLS], t[CELLS], log_density[CELLS];
    float *shade = (float *)allocate((size_t)CELLS * 2 * CELLS, sizeof *shade);
    ssde_mixture *line;
    for (int k = 0; k < MODES; k++) {
        weights[k] = 1;
        means[k] = cos(mode_angle(k));
        stds[k] = spread;
    }
    check(ssde_mixture_create(&context, &line, MODES, 1, weights, means, stds));
    for (int column = 0; column < 2 * CELLS; column++) {
        for (int row = 0; row < CELLS; row++) {
            x[row] = cell_centre(row, CELLS, reach);
            t[row] = (1 - cell_centre(column, 2 * CELLS, 1)) / 2;
        }
        check(ssde_mixture_evaluate(line, sde, x, t, CELLS, log_density, NULL));
        for (int row = 0; row < CELLS; row++) shade[row * 2 * CELLS + column] = (float)exp(log_density[row] / 2);
    }
    picture_plot_heat(plot, shade, 2 * CELLS, CELLS, 0, 1.6f);
    ssde_mixture_destroy(line);
    free(shade);
}

/* One sampler's paths from noise to data, in the colour of the mode they reach: above, the first coordinate over time;
   below, in the plane, what happens once t < 0.3. */
static void plot_paths(picture *page, int left, const char *title, const ssde_sde *sde, const paths *all) {
    const double reach = 2.4;
    picture_plot time = picture_plot_begin(page, left, 0, 750, 450, title, "t", "x1", 1, 0, -reach, reach);
    plot_marginals(&time, sde, reach);
    picture_plot plane = picture_plot_begin_as(page, left, 450, 750, 650, "in the plane, from t = 0.3", "x1", "x2",
                                               -reach, reach, -reach, reach, PICTURE_SAME_UNITS);
    plot_density(&plane, sde, 0, reach);
    size_t late = 0; /* the first step after t = 0.3 */
    while (all->t[late] > 0.3f) late++;
    for (int i = 0; i < PATHS; i++) {
        const float(*x)[2] = all->x[i], *end = x[PATH_STEPS];
        int mode = (int)floor(atan2((double)end[1], (double)end[0]) / mode_angle(1) + (int)MODES + 0.5) % MODES;
        unsigned colour = mode == 7 ? 0x7B4B94 : picture_palette(mode); /* its yellow is too faint for lines */
        float t_and_x[PATH_STEPS + 1][2];
        for (int step = 0; step <= PATH_STEPS; step++) {
            t_and_x[step][0] = all->t[step];
            t_and_x[step][1] = x[step][0];
        }
        picture_plot_curve(&time, &t_and_x[0][0], &t_and_x[0][1], 2, PATH_STEPS + 1, 1.2f, colour, 0.8f);
        picture_plot_curve(&plane, &x[late][0], &x[late][1], 2, PATH_STEPS + 1 - late, 1.2f, colour, 0.8f);
        picture_plot_points(&plane, &x[late][0], &x[late][1], 2, 1, 3, 0x888888, 1);
        picture_plot_points(&plane, &end[0], &end[1], 2, 1, 4, colour, 1);
    }
}

static void picture_paths(const ssde_sde *sde, const ssde_score_model *model) {
    picture page = picture_create(1500, 1100);
    for (int flow = 0; flow < 2; flow++) { /* both from the same noise: the same seed and sample numbers */
        static paths all;
        static float x[2 * PATHS];
        ssde_rng rng = ssde_rng_seed((uint64_t)seed);
        ssde_sampler_desc how = ssde_sampler_defaults();
        how.steps = PATH_STEPS;
        how.probability_flow = flow;
        how.trajectory = record;
        how.user = &all;
        how.context = &context;
        check(ssde_sample(sde, model, &how, &rng, PATHS, x));
        plot_paths(&page, 750 * flow, flow ? "probability-flow ODE" : "reverse-time SDE", sde, &all);
    }
    write_page(&page, "paths.png");
}

int main(int argc, char **argv) {
    static float exact[2 * POINTS], learned[2 * LEARNED_POINTS];
    ssde_sde families[3], vp = ssde_vp(0.1, 20.0);
    families[0] = ssde_ve(0.01, 50.0);
    families[1] = vp;
    families[2] = ssde_subvp(0.1, 20.0);
    argv = names_arguments(&argc, argv);
    read_options(argc, argv);
    check(ssde_ring_create(&context, &ring, MODES, 1.0, spread));

    ssde_score_model exact_model = ssde_mixture_model(ring, &vp);
    picture_paths(&vp, &exact_model);
    print_header("exact score");
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < SAMPLERS; i++) {
            ssde_score_model model = ssde_mixture_model(ring, &families[k]);
            try_sampler(&families[k], &model, &samplers[i], 1000, POINTS, exact);
        }

    ssde_net *nets[2];
    ssde_trainer *trainers[2];
    ssde_score_net *score_nets[2];
    ssde_score_model models[2];
    ssde_score_net_desc memory = ssde_score_net_defaults();
    memory.max_rows = 1024;
    memory.context = &context;
    for (int k = 0; k < 2; k++) { /* the second is smaller and less trained: what autoguidance leads away from */
        trainers[k] = learn(&nets[k], &vp, k ? 16 : 64, k ? (steps + 11) / 12 : steps);
        check(ssde_score_net_create(&score_nets[k], ssde_trainer_ema(trainers[k]), &vp, &memory));
        models[k] = ssde_score_net_model(score_nets[k]);
    }
    ssde_score_model learned_model = models[0];
    print_header("learned score");
    for (int i = 0; i < SAMPLERS; i++) try_sampler(&vp, &learned_model, &samplers[i], 500, LEARNED_POINTS, learned);
    try_autoguidance(&vp, &models[0], &models[1]);
    price_data(&vp, &learned_model);

    exact_model = ssde_mixture_model(ring, &vp); /* the mixture was bound to another SDE meanwhile */
    draw(&vp, &exact_model, &samplers[SAMPLERS - 1], 0, LEARNED_POINTS, exact); /* as the learned ones: the last row */
    picture_samples(exact, learned);
    picture_scores(&vp, &exact_model, &learned_model);

    for (int k = 0; k < 2; k++) {
        ssde_score_net_destroy(score_nets[k]);
        ssde_trainer_destroy(trainers[k]);
        ssde_net_destroy(nets[k]);
    }
    ssde_mixture_destroy(ring);
    return 0;
}
