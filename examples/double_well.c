/* double_well.c - an SDE that is not affine: a particle in a double well, its score learned from simulations alone

   cc -O2 examples/double_well.c -o double_well -lm && ./double_well          (half a minute)

   Options: --steps N (of training, 4000), --seed N (0), --out FILE (the picture, double_well.png).

   dx = -U'(x) dt + dw with U = (x^2 - 1)^2 / 2 moves two heaps of particles for a time of 1. No formula gives x(t), so
   there is no noise to learn; but implicit score matching needs only draws of x(t). In one dimension the Fokker-Planck
   equation can be solved on a grid, and says how good the score and the way back are.
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

enum {
    CELLS = 400, /* of the grid on [-reach, reach] */
    FRAMES = 200,
    SUBSTEPS = 100, /* of the grid's time steps, between frames */
    BATCH = 512,
    PARTICLES = 20000, /* sampled backwards */
    BARS = 60,         /* of histograms */
    TIMES = 4          /* looked at */
};
static const double reach = 3.0, times[TIMES] = {0.01, 0.1, 0.3, 1.0};
static const double weights[2] = {0.7, 0.3}, means[2] = {-0.5, 0.8}, stds[2] = {0.4, 0.3}; /* of the heaps */

static double density[FRAMES + 1][CELLS]; /* by the Fokker-Planck equation, at t = k / FRAMES */
static ssde_context context;              /* all zero: the defaults; receives the text of every error */
static int steps = 4000, seed = 0;
static const char *out = "double_well.png";

static void check(ssde_status status) {
    if (status == SSDE_OK) return;
    fprintf(stderr, "\ndouble_well: %s (%s)\n", context.error, ssde_status_text(status));
    exit(1);
}

static void read_options(int argc, char **argv) {
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (value && !strcmp(argv[i], "--steps") && atoi(value) > 0)
            steps = atoi(value);
        else if (value && !strcmp(argv[i], "--seed") && atoi(value) >= 0)
            seed = atoi(value);
        else if (value && !strcmp(argv[i], "--out"))
            out = value;
        else {
            printf("usage: double_well [--steps N (of training)] [--seed N] [--out FILE (the picture)]\n");
            exit(strcmp(argv[i], "--help") != 0);
        }
    }
}

/* ---- the process ---- */

static double force(double x) { return -2.0 * x * (x * x - 1.0); }

/* What the library asks: f(x, t) of rows of one number each, and g(t). */
static ssde_status drift(void *user, const float *x, const double *t, size_t rows, size_t dim, float *f) {
    (void)user, (void)t;
    for (size_t i = 0; i < rows * dim; i++) f[i] = (float)force((double)x[i]);
    return SSDE_OK;
}

static double noise(void *user, double t) {
    (void)user, (void)t;
    return 1.0;
}

/* Draws from the two heaps. */
static void draw_start(uint64_t first, size_t n, float *x) {
    for (size_t i = 0; i < n; i++) {
        uint64_t sample = first + i;
        int heap = ssde_random_double((uint64_t)seed, SSDE_STREAM_USER, 0, sample, 0) >= weights[0];
        check(ssde_random_normal(&context, (uint64_t)seed, SSDE_STREAM_USER, 1, &sample, 1, 1, &x[i]));
        x[i] = (float)(means[heap] + stds[heap] * (double)x[i]);
    }
}

/* ---- the Fokker-Planck equation ---- */

static double cell(int i) { return reach * ((2 * i + 1.0) / (double)CELLS - 1.0); }

/* The change of p in a short time: what flows over each cell's edges, by drift (of the mean) and by diffusion. */
static void flow_on(double h, const double *p, double *next) {
    const double width = 2.0 * reach / (double)CELLS;
    double before = 0.0;
    for (int i = 0; i < CELLS; i++) {
        double after = 0.0;
        if (i + 1 < CELLS)
            after = 0.5 * force(cell(i) + 0.5 * width) * (p[i] + p[i + 1]) - 0.5 * (p[i + 1] - p[i]) / width;
        next[i] = p[i] + h * (before - after) / width;
        before = after;
    }
}

/* Heun's method from the heaps on. */
static void solve_grid(void) {
    static double p[CELLS], once[CELLS], twice[CELLS];
    for (int i = 0; i < CELLS; i++)
        for (int k = 0; k < 2; k++)
            p[i] += weights[k] / stds[k] * exp(-0.5 * pow((cell(i) - means[k]) / stds[k], 2)) / sqrt(2 * 3.14159265359);
    for (int frame = 0; frame <= FRAMES; frame++) {
        for (int step = 0; frame && step < SUBSTEPS; step++) {
            flow_on(1.0 / FRAMES / SUBSTEPS, p, once);
            flow_on(1.0 / FRAMES / SUBSTEPS, once, twice);
            for (int i = 0; i < CELLS; i++) p[i] = 0.5 * (p[i] + twice[i]);
        }
        memcpy(density[frame], p, sizeof p);
    }
}

static const double *grid_at(double t) { return density[(int)(t * FRAMES + 0.5)]; }

static double grid_score(double t, int i) {
    const double *p = grid_at(t);
    int low = i > 0 ? i - 1 : i, high = i + 1 < CELLS ? i + 1 : i;
    return log(p[high] / p[low]) / (cell(high) - cell(low));
}

/* The same between cells, as a score model to judge others by. */
static ssde_status interpolate(void *user, const float *x, const double *t, const uint64_t *sample, size_t rows,
                               int differentiate, float *score) {
    (void)user, (void)sample, (void)differentiate;
    for (size_t r = 0; r < rows; r++) {
        double place = ((double)x[r] + reach) / (2.0 * reach) * CELLS - 0.5;
        int i = (int)fmin(fmax(place, 0.0), CELLS - 2.0);
        score[r] = (float)((i + 1 - place) * grid_score(t[r], i) + (place - i) * grid_score(t[r], i + 1));
    }
    return SSDE_OK;
}

static ssde_score_model grid_model(void) {
    const ssde_score_model model = {1, 0, interpolate, NULL, NULL, NULL, NULL};
    return model;
}

/* ---- learning ---- */

static ssde_trainer *learn(ssde_net **net, const ssde_sde *sde) {
    static float x[BATCH];
    ssde_mlp_desc shape = ssde_mlp(1);
    ssde_train_desc how = ssde_train_defaults(sde, (uint64_t)steps);
    ssde_batch batch = ssde_batch_of(x, BATCH);
    ssde_trainer *trainer;
    double loss = 0;
    shape.hidden = 64;
    shape.seed = (uint64_t)seed;
    shape.context = &context;
    check(ssde_mlp_create(net, &shape));
    how.batch = BATCH;
    how.objective = SSDE_OBJECTIVE_IMPLICIT; /* one dimension: the trace is one product */
    how.simulation_steps = 50;
    how.loss.eps = 1e-3;
    how.seed = (uint64_t)seed;
    how.context = &context;
    check(ssde_trainer_create(&trainer, *net, sde, &how));
    for (int step = 0; step < steps; step++) {
        draw_start((uint64_t)step * BATCH, BATCH, x);
        check(ssde_trainer_set_lr(trainer, 2e-3 * fmin(1.0, 3.0 * (1.0 - (double)step / steps))));
        check(ssde_train_step(trainer, &batch, &loss));
        if (step % 100 == 0) fprintf(stderr, "\rtraining: step %d of %d ", step, steps);
    }
    fprintf(stderr, "\r%40s\r", "");
    return trainer;
}

/* The learned score on the grid. */
static void learned_scores(const ssde_score_model *model, double t, float *score) {
    static float x[CELLS];
    static double at[CELLS];
    static uint64_t sample[CELLS];
    for (int i = 0; i < CELLS; i++) x[i] = (float)cell(i), at[i] = t, sample[i] = (uint64_t)i;
    check(model->score(model->user, x, at, sample, CELLS, 0, score));
}

/* The table, and how far the scores are apart, over simulated x(t), x [PARTICLES]. */
static void compare_scores(const ssde_sde *sde, const ssde_score_model *model, float *x, float learned[TIMES][CELLS]) {
    static double at[PARTICLES];
    ssde_score_model exact = grid_model();
    ssde_simulation_desc forward = ssde_simulation_defaults();
    ssde_fisher_desc how = ssde_fisher_defaults();
    ssde_fisher_result away[TIMES];
    forward.context = how.context = &context;
    how.perturbed = 1;
    printf("scores, learned / by the Fokker-Planck equation\n    x");
    for (int k = 0; k < TIMES; k++) {
        ssde_rng rng = ssde_rng_seed((uint64_t)seed);
        for (int i = 0; i < PARTICLES; i++) at[i] = times[k];
        draw_start((uint64_t)(steps + 1) * BATCH, PARTICLES, x);
        check(ssde_simulate(sde, &forward, (uint64_t)seed + 2, NULL, at, PARTICLES, 1, x));
        how.t = times[k];
        check(ssde_fisher_divergence(sde, model, &exact, &how, &rng, PARTICLES, x, &away[k]));
        learned_scores(model, times[k], learned[k]);
        printf("          t = %.2f", times[k]);
    }
    for (int i = CELLS / 4; i <= 3 * CELLS / 4; i += CELLS / 20) {
        printf("\n%5.2f", cell(i));
        for (int k = 0; k < TIMES; k++) printf("   %6.2f / %6.2f", (double)learned[k][i], grid_score(times[k], i));
    }
    printf("\nFisher divergence");
    for (int k = 0; k < TIMES; k++)
        printf("%s%.3f +- %.3f", k ? "   " : " ", away[k].divergence, away[k].divergence_error);
    printf("\n");
}

/* ---- back to the start ---- */

/* Whether the first 2,000 particles that arrived may be draws of the heaps, by the heaps' score alone. */
static void judge_samples(float *x) {
    ssde_score_model exact = grid_model();
    ssde_stein_desc how = ssde_stein_defaults();
    ssde_stein_result result;
    ssde_rng rng = ssde_rng_seed((uint64_t)seed);
    size_t n = 0;
    for (int i = 0; i < PARTICLES && n < 2000; i++)
        if (fabsf(x[i]) < (float)reach) x[n++] = x[i];
    how.bootstrap = 200;
    how.context = &context;
    check(ssde_stein_discrepancy(&exact, &how, &rng, n, x, &result));
    printf("kernel Stein discrepancy of %d of them from the start %.3f, p = %.2f\n", (int)n, result.root,
           result.p_value);
}

/* From simulated ends backwards, x [PARTICLES]; the total variation between their histogram and the heaps'. */
static void go_back(const ssde_sde *sde, const ssde_score_model *model, float *x, float bars[BARS]) {
    ssde_simulation_desc forward = ssde_simulation_defaults();
    ssde_sampler_desc how = ssde_sampler_defaults();
    ssde_rng rng = ssde_rng_seed((uint64_t)seed);
    ssde_sample_report report;
    double distance = 0;
    forward.steps = 200;
    forward.context = how.context = &context;
    draw_start((uint64_t)steps * BATCH, PARTICLES, x);
    check(ssde_simulate(sde, &forward, (uint64_t)seed + 1, NULL, NULL, PARTICLES, 1, x));
    how.predictor = SSDE_PREDICTOR_STOCHASTIC_HEUN;
    how.steps = 100;
    how.given_start = 1;
    how.report = &report;
    ssde_status status = ssde_sample(sde, model, &how, &rng, PARTICLES, x);
    if (status != SSDE_ERROR_NUMERIC) check(status);
    for (int i = 0; i < PARTICLES; i++) {
        double place = ((double)x[i] + reach) / (2.0 * reach) * BARS;
        int bar = place >= 0 && place < BARS ? (int)place : BARS; /* NaN: it failed */
        if (bar < BARS) bars[bar] += (float)(BARS / (2.0 * reach) / PARTICLES);
    }
    for (int bar = 0; bar < BARS; bar++) {
        double exact = 0;
        for (int i = bar * CELLS / BARS; i < (bar + 1) * CELLS / BARS; i++) exact += density[0][i];
        distance += fabs((double)bars[bar] - exact / ((bar + 1) * CELLS / BARS - bar * CELLS / BARS)) * reach / BARS;
    }
    printf("sampled backwards: total variation to the start %.3f, of which chance makes about %.3f\n", distance,
           sqrt((double)BARS / 2.0 / PARTICLES / 3.14159));
    if (report.failed) /* where there were no data the score is a guess, too weak to hold U', which points outwards */
        printf("%d of %d particles were lost: %s\n", (int)report.failed, PARTICLES, context.error);
    judge_samples(x);
}

/* ---- the picture ---- */

static void draw_picture(float learned[TIMES][CELLS], const float bars[BARS]) {
    static float x[CELLS], exact[CELLS], start[CELLS], end[CELLS];
    picture page = picture_create(1300, 560);
    picture_plot scores =
        picture_plot_begin(&page, 0, 0, 650, 560, "scores: learned, and dotted the exact", "x", NULL, -2, 2, -15, 15);
    picture_plot heaps =
        picture_plot_begin(&page, 650, 0, 650, 560, "start, end, and the way back", "x", NULL, -2, 2, 0, 0.9);
    const picture_key keys[3] = {
        {"sampled", picture_palette(1), '#'}, {"start", PICTURE_INK, '-'}, {"end", picture_palette(0), '-'}};
    for (int k = 0; k < TIMES; k++) {
        for (int i = 0; i < CELLS; i++) x[i] = (float)cell(i), exact[i] = (float)grid_score(times[k], i);
        picture_plot_curve(&scores, x, learned[k], 1, CELLS, 3, picture_palette(k), 0.9f);
        picture_plot_points(&scores, x, exact, 4, CELLS / 4, 2.5f, picture_palette(k), 1);
    }
    for (int i = 0; i < CELLS; i++) start[i] = (float)density[0][i], end[i] = (float)density[FRAMES][i];
    picture_plot_bars(&heaps, -reach, reach, bars, BARS, picture_palette(1), 0.5f);
    picture_plot_curve(&heaps, x, start, 1, CELLS, 2.5f, PICTURE_INK, 1);
    picture_plot_curve(&heaps, x, end, 1, CELLS, 2.5f, picture_palette(0), 1);
    picture_plot_legend(&heaps, keys, 3, PICTURE_TOP_RIGHT);
    if (picture_write(&page, out)) {
        fprintf(stderr, "double_well: cannot write '%s'\n", out);
        exit(1);
    }
    printf("wrote %s\n", out);
    picture_destroy(&page);
}

int main(int argc, char **argv) {
    static float x[PARTICLES], bars[BARS], learned[TIMES][CELLS];
    ssde_sde sde = ssde_nonlinear(drift, noise, NULL);
    ssde_score_net_desc plain = ssde_score_net_defaults();
    ssde_score_net *wrapped;
    ssde_net *net;
    read_options(argc, argv);
    solve_grid();
    ssde_trainer *trainer = learn(&net, &sde);
    plain.max_rows = CELLS;
    plain.context = &context;
    check(ssde_score_net_create(&wrapped, ssde_trainer_ema(trainer), &sde, &plain));
    ssde_score_model model = ssde_score_net_model(wrapped);
    compare_scores(&sde, &model, x, learned);
    go_back(&sde, &model, x, bars);
    draw_picture(learned, bars);
    ssde_score_net_destroy(wrapped);
    ssde_trainer_destroy(trainer);
    ssde_net_destroy(net);
    return 0;
}
