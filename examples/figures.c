/* figures.c - score-based generative modelling in six pictures, from densities that are known exactly

   cc -O2 examples/figures.c -o figures -lm && ./figures          (seconds; nothing is trained)

   forward.png       data become noise: the density at every t, and paths of the SDE
   score.png         the score of noisy data, at three levels of noise
   variances.png     what VE, VP and sub-VP do to the variance of the data
   trajectories.png  from noise to data by the SDE and by the ODE: the same starts, the same density at the end
   corrector.png     Langevin steps loosen a cloud that is too tight
   guidance.png      towards one of three classes, at three scales, and at the last one's in little noise only */

#define SCORESDE_IMPLEMENTATION
#include "../scoresde.h"
#include "../scoresde_solvers.h"

#include "picture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SEED = 14,
    STEPS = 1000, /* of every path */
    POINTS = 4000 /* in each cloud of the plane */
};
static const double reach = 3, plane_reach = 2.5; /* axes for x run from -reach to reach */

/* Data in one dimension: three modes. */
enum { MODES = 3 };
static const double mode_weight[MODES] = {0.35, 0.4, 0.25};
static const double mode_mean[MODES] = {-1.3, 0.2, 1.35};
static const double mode_std[MODES] = {0.16, 0.24, 0.13};

/* Data in the plane: three classes that overlap. */
enum { CLASSES = 3 };
static const double class_weight[CLASSES] = {1, 1, 1};
static const double class_mean[CLASSES][2] = {{-1.0, -0.5}, {1.0, -0.7}, {0.1, 1.0}};
static const double class_std[CLASSES][2] = {{0.35, 0.6}, {0.6, 0.35}, {0.45, 0.45}};

static ssde_context context; /* all zero: the defaults; receives the text of every error */
static ssde_sde vp;
static ssde_mixture *line, *plane; /* the data above */

/* ---- pages ---- */

static void check(ssde_status status) {
    if (status == SSDE_OK) return;
    fprintf(stderr, "figures: %s (%s)\n", context.error, ssde_status_text(status));
    exit(1);
}

static picture page_begin(int height, const char *headline) {
    picture page = picture_create(1600, height);
    page.text = 3;
    picture_text(&page, 800, 26, 0.5f, 4, PICTURE_INK, headline);
    return page;
}

static void page_end(picture *page, const char *path) {
    if (picture_write(page, path)) {
        fprintf(stderr, "figures: cannot write '%s'\n", path);
        exit(1);
    }
    printf("wrote %s\n", path);
    picture_destroy(page);
}

/* The middle of cell i of `cells` equal ones between low and high. */
static double cell_centre(int i, int cells, double low, double high) { return low + (high - low) * (i + 0.5) / cells; }

/* ---- the line: x over t ---- */

/* A plot of x over t, which may run from 1 to 0. The shade is the square root of p_t(x), so that faint parts stay
   visible, and full where that reaches `darkest`. */
static picture_plot line_plot(picture *page, int left, int width, const char *title, double t_min, double t_max,
                              float darkest) {
    enum { COLUMNS = 400, ROWS = 400 };
    static double x[ROWS], t[ROWS], log_density[ROWS];
    static float shade[ROWS * COLUMNS];
    picture_plot plot = picture_plot_begin(page, left, 80, width, 760, title, "t", NULL, t_min, t_max, -reach, reach);
    for (int column = 0; column < COLUMNS; column++) {
        for (int row = 0; row < ROWS; row++) {
            x[row] = cell_centre(row, ROWS, -reach, reach);
            t[row] = cell_centre(column, COLUMNS, t_min, t_max);
        }
        check(ssde_mixture_evaluate(line, &vp, x, t, ROWS, log_density, NULL));
        for (int row = 0; row < ROWS; row++) shade[row * COLUMNS + column] = (float)exp(log_density[row] / 2);
    }
    picture_plot_heat(&plot, shade, COLUMNS, ROWS, 0, darkest);
    return plot;
}

/* The density at one end, lying on its side; its zero is at the right if most < 0. */
static picture_plot line_end(picture *page, int left, int width, const char *title, const char *y_label, double most) {
    return picture_plot_begin(page, left, 80, width, 760, title, "density", y_label, most < 0 ? -most : 0,
                              most < 0 ? 0 : most, -reach, reach);
}

static void line_density(const picture_plot *plot, double time, float thickness, unsigned colour) {
    enum { ALONG = 600 };
    static double x[ALONG], t[ALONG], log_density[ALONG];
    static float curve[ALONG][2];
    for (int i = 0; i < ALONG; i++) {
        x[i] = cell_centre(i, ALONG, -reach, reach);
        t[i] = time;
    }
    check(ssde_mixture_evaluate(line, &vp, x, t, ALONG, log_density, NULL));
    for (int i = 0; i < ALONG; i++) {
        curve[i][0] = (float)exp(log_density[i]);
        curve[i][1] = (float)x[i];
    }
    picture_plot_curve(plot, &curve[0][0], &curve[0][1], 2, ALONG, thickness, colour, 1);
}

/* A path of the forward SDE. From t to t_next x goes to r x + sqrt(std_next^2 - r^2 std^2) z with r = m_next / m, which
   is exact, however long the step. */
static void walk_forward(float x0, uint64_t path, float t_and_x[STEPS + 1][2]) {
    float z[STEPS];
    ssde_coefficients from, to;
    check(ssde_random_normal(&context, SEED, SSDE_STREAM_USER, 0, &path, 1, STEPS, z));
    check(ssde_coefficients_at(&context, &vp, 0, &from));
    t_and_x[0][0] = 0;
    t_and_x[0][1] = x0;
    for (int i = 0; i < STEPS; i++) {
        double t = (i + 1.0) / (int)STEPS;
        check(ssde_coefficients_at(&context, &vp, t, &to));
        double r = to.mean / from.mean, noise = sqrt(to.std * to.std - r * r * from.std * from.std);
        t_and_x[i + 1][0] = (float)t;
        t_and_x[i + 1][1] = (float)(r * (double)t_and_x[i][1] + noise * (double)z[i]);
        from = to;
    }
}

static void figure_forward(void) {
    enum { WALKS = 6 };
    static const float start[WALKS] = {0.3f, -1.45f, -1.2f, 0.0f, 1.3f, 1.45f}; /* the first is drawn boldly, last */
    const picture_key keys[3] = {
        {"density of x(t), dark is high", 0, '%'}, {"one path", 0xD55E00, '-'}, {"five more", 0x606060, '-'}};
    picture page = page_begin(900, "Forward in time, an SDE turns data into noise");
    picture_plot data = line_end(&page, 0, 320, "data, t = 0", "x", -0.9);
    picture_plot middle = line_plot(&page, 320, 980, "dx = -beta(t) x dt / 2 + sqrt(beta(t)) dw", 0, 1, 1.5f);
    picture_plot noise = line_end(&page, 1300, 300, "noise, t = 1", NULL, 0.9);
    line_density(&data, 0, 4, PICTURE_INK);
    line_density(&noise, 1, 4, PICTURE_INK);
    for (int i = WALKS - 1; i >= 0; i--) {
        static float t_and_x[STEPS + 1][2];
        walk_forward(start[i], (uint64_t)i, t_and_x);
        picture_plot_curve(&middle, &t_and_x[0][0], &t_and_x[0][1], 2, STEPS + 1, i ? 1.2f : 2.6f,
                           i ? 0x333333 : 0xD55E00, i ? 0.7f : 1);
    }
    picture_legend_row(&page, 800, 858, keys, 3);
    page_end(&page, "forward.png");
}

/* ---- the plane ---- */

enum { CELLS = 300 }; /* per side of a density */

/* p_t of a mixture in the plane at the middle of each cell, row 0 at the bottom. */
static void plane_density(ssde_mixture *mixture, double time, float *density) {
    static double x[CELLS][2], t[CELLS], log_density[CELLS];
    for (int row = 0; row < CELLS; row++) {
        for (int column = 0; column < CELLS; column++) {
            x[column][0] = cell_centre(column, CELLS, -plane_reach, plane_reach);
            x[column][1] = cell_centre(row, CELLS, -plane_reach, plane_reach);
            t[column] = time;
        }
        check(ssde_mixture_evaluate(mixture, &vp, x[0], t, CELLS, log_density, NULL));
        for (int column = 0; column < CELLS; column++) density[row * CELLS + column] = (float)exp(log_density[column]);
    }
}

/* Panel k of `count` beside each other. */
static picture_plot plane_panel(picture *page, int k, int count, int height, const char *title) {
    int width = page->width / count;
    return picture_plot_begin_as(page, k * width, 80, width, height, title, "x1", "x2", -plane_reach, plane_reach,
                                 -plane_reach, plane_reach, PICTURE_SAME_UNITS);
}

/* Exact draws of p_t of a mixture in the plane, [POINTS, 2]. */
static void plane_draw(ssde_mixture *mixture, double time, uint64_t seed, float *x, int *component) {
    static float z[2 * POINTS];
    static double t[POINTS];
    ssde_rng rng = ssde_rng_seed(seed);
    for (int i = 0; i < POINTS; i++) t[i] = time;
    check(ssde_mixture_sample(mixture, &rng, POINTS, x, component));
    check(ssde_random_normal(&context, seed, SSDE_STREAM_USER, 0, NULL, POINTS, 2, z));
    check(ssde_perturb(&context, &vp, x, z, t, POINTS, 2, x));
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* log p_t at x [POINTS, 2]. */
static void plane_log_density(ssde_mixture *mixture, double time, const float *x, double *log_density) {
    static double point[2 * POINTS], t[POINTS];
    for (int i = 0; i < POINTS; i++) t[i] = time;
    for (int i = 0; i < 2 * POINTS; i++) point[i] = (double)x[i];
    check(ssde_mixture_evaluate(mixture, &vp, point, t, POINTS, log_density, NULL));
}

/* Text below a panel: line 0 or 1. */
static void caption(const picture_plot *plot, int at, const char *text) {
    float middle = (float)(plot->frame.left + plot->frame.right) / 2, below = (float)plot->frame.bottom + 98;
    picture_text(plot->page, middle, below + 36 * (float)at, 0.5f, plot->page->text, PICTURE_INK, text);
}

/* The lines within which p_t, where it is densest, holds 50% and 90%: on them the density is that quantile of the
   densities at exact draws. Returns which part of x [POINTS, 2] is within the first. */
static double plane_contours(const picture_plot *plot, ssde_mixture *mixture, double time, const float *x) {
    static float density[CELLS * CELLS], exact[2 * POINTS];
    static double log_density[POINTS];
    plane_draw(mixture, time, SEED + 1, exact, NULL);
    plane_log_density(mixture, time, exact, log_density);
    qsort(log_density, POINTS, sizeof *log_density, ascending);
    plane_density(mixture, time, density);
    double half = log_density[POINTS / 2], most = log_density[POINTS / 10];
    picture_plot_contour(plot, density, CELLS, CELLS, (float)exp(half), 3, PICTURE_INK, 1);
    picture_plot_contour(plot, density, CELLS, CELLS, (float)exp(most), 2, PICTURE_FRAME, 1);
    plane_log_density(mixture, time, x, log_density);
    int within = 0;
    for (int i = 0; i < POINTS; i++) within += log_density[i] > half;
    return (double)within / (int)POINTS;
}

/* The mean distance between points of x and y [POINTS, 2]. */
static double mean_distance(const float *x, const float *y) {
    double sum = 0;
    for (int i = 0; i < POINTS; i++)
        for (int j = 0; j < POINTS; j++) {
            double across = (double)(x[2 * i] - y[2 * j]), up = (double)(x[2 * i + 1] - y[2 * j + 1]);
            sum += sqrt(across * across + up * up);
        }
    return sum / (int)POINTS / (int)POINTS;
}

/* Between x [POINTS, 2] and exact draws of p_t: 2 E|x - y| - E|x - x'| - E|y - y'|. Two sets of exact draws are not
   quite at 0. */
static double energy_distance(const float *x, ssde_mixture *mixture, double time) {
    static float y[2 * POINTS];
    plane_draw(mixture, time, SEED + 2, y, NULL);
    return 2 * mean_distance(x, y) - mean_distance(x, x) - mean_distance(y, y);
}

/* What the energy distance is for exact draws, by chance. */
static double chance_distance(ssde_mixture *mixture, double time) {
    static float x[2 * POINTS];
    plane_draw(mixture, time, SEED + 3, x, NULL);
    return energy_distance(x, mixture, time);
}

/* std(t) times the score, which is minus the noise to be expected in x; arrows are as long as the root of that, so that
   weak and strong ones fit beside each other. */
static void plot_score(const picture_plot *plot, double time, double std) {
    enum { ARROWS = 17 }; /* per side */
    static double x[ARROWS * ARROWS][2], t[ARROWS * ARROWS], score[ARROWS * ARROWS][2], log_density[ARROWS * ARROWS];
    static float from[ARROWS * ARROWS][2], arrow[ARROWS * ARROWS][2];
    for (int i = 0; i < ARROWS * ARROWS; i++) {
        x[i][0] = cell_centre(i % ARROWS, ARROWS, -plane_reach, plane_reach);
        x[i][1] = cell_centre(i / ARROWS, ARROWS, -plane_reach, plane_reach);
        t[i] = time;
    }
    check(ssde_mixture_evaluate(plane, &vp, x[0], t, ARROWS * ARROWS, log_density, score[0]));
    for (int i = 0; i < ARROWS * ARROWS; i++) {
        double length = std * sqrt(score[i][0] * score[i][0] + score[i][1] * score[i][1]);
        for (int j = 0; j < 2; j++) {
            from[i][j] = (float)x[i][j];
            arrow[i][j] = (float)(std * score[i][j] / sqrt(length));
        }
    }
    picture_plot_arrows(plot, &from[0][0], &from[0][1], &arrow[0][0], &arrow[0][1], 2, ARROWS * ARROWS, 0.16, 2,
                        PICTURE_INK, 0.9f);
}

static void figure_score(void) {
    static const double times[3] = {0.02, 0.12, 0.35};
    static float shade[CELLS * CELLS];
    const picture_key keys[2] = {{"density, dark is high", 0, '%'},
                                 {"std(t) times the score (lengths: square roots)", PICTURE_INK, '>'}};
    picture page = page_begin(710, "The score leads uphill in the density of noisy data");
    for (int k = 0; k < 3; k++) {
        char title[80];
        ssde_coefficients at;
        float most = 0;
        check(ssde_coefficients_at(&context, &vp, times[k], &at));
        snprintf(title, sizeof title, "t = %.2f, noise std %.2f", times[k], at.std);
        picture_plot plot = plane_panel(&page, k, 3, 570, title);
        plane_density(plane, times[k], shade);
        for (int i = 0; i < CELLS * CELLS; i++) {
            shade[i] = sqrtf(shade[i]);
            most = fmaxf(most, shade[i]);
        }
        picture_plot_heat(&plot, shade, CELLS, CELLS, 0, 1.4f * most);
        plot_score(&plot, times[k], at.std);
    }
    picture_legend_row(&page, 800, 662, keys, 2);
    page_end(&page, "score.png");
}

/* ---- variances ---- */

enum { TIMES = 1000 };

/* The variance at time t of data whose variance is 1. */
static double variance_at(const ssde_sde *sde, double t) {
    ssde_coefficients at;
    check(ssde_coefficients_at(&context, sde, t, &at));
    return at.mean * at.mean + at.std * at.std;
}

/* Where the variance is least, and how small: by thirds, since it falls and then rises. */
static double least_variance(const ssde_sde *sde, double *t) {
    double low = 0, high = 1;
    while (high - low > 1e-9) {
        double left = low + (high - low) / 3, right = high - (high - low) / 3;
        if (variance_at(sde, left) < variance_at(sde, right))
            high = right;
        else
            low = left;
    }
    *t = (low + high) / 2;
    return variance_at(sde, *t);
}

/* The same variances seen: WALKERS points of two modes, together of variance 1, follow the SDE itself in steps of
   1 / TIMES. That takes its drift and diffusion, not m(t) and std(t). One row after every `every` steps. */
static void simulate_variance(const ssde_sde *sde, int every, float (*t_and_variance)[2]) {
    enum { WALKERS = 100000 };
    static const double weights[2] = {1, 1}, means[2] = {-0.8, 0.8}, stds[2] = {0.6, 0.6};
    static float x[WALKERS], z[WALKERS];
    ssde_rng rng = ssde_rng_seed(SEED);
    ssde_mixture *data;
    check(ssde_mixture_create(&context, &data, 2, 1, weights, means, stds));
    check(ssde_mixture_sample(data, &rng, WALKERS, x, NULL));
    ssde_mixture_destroy(data);
    const double dt = 1.0 / (int)TIMES;
    for (int step = 0; step < TIMES; step++) {
        ssde_coefficients at;
        double square = 0;
        check(ssde_coefficients_at(&context, sde, (step + 0.5) * dt, &at)); /* the middle: errors of second order */
        check(ssde_random_normal(&context, SEED, SSDE_STREAM_USER, (uint32_t)step, NULL, 1, WALKERS, z));
        float kept = (float)(1 + at.drift * dt), noise = (float)(at.diffusion * sqrt(dt));
        for (int i = 0; i < WALKERS; i++) {
            x[i] = kept * x[i] + noise * z[i];
            square += (double)x[i] * (double)x[i];
        }
        if ((step + 1) % every) continue;
        t_and_variance[step / every][0] = (float)((step + 1) * dt);
        t_and_variance[step / every][1] = (float)(square / (int)WALKERS);
    }
}

/* Draws one family into both plots, lines from m(t) and std(t), discs from the simulation. */
static void plot_variance(const picture_plot plots[2], const ssde_sde *sde, const picture_key *key) {
    enum { EVERY = 50, DISCS = TIMES / EVERY };
    static float curve[TIMES + 1][2], disc[DISCS][2];
    double worst = 0;
    for (int i = 0; i <= TIMES; i++) {
        double t = (double)i / (int)TIMES;
        curve[i][0] = (float)t;
        curve[i][1] = (float)variance_at(sde, t);
    }
    simulate_variance(sde, EVERY, disc);
    for (int i = 0; i < DISCS; i++)
        worst = fmax(worst, fabs((double)disc[i][1] / variance_at(sde, (i + 1.0) / (int)DISCS) - 1));
    printf("variances: %s, simulated within %.1f%% of m(t)^2 + std(t)^2\n", key->name, 100 * worst);
    for (int side = 0; side < 2; side++) {
        picture_plot_curve(&plots[side], curve[0], curve[0] + 1, 2, TIMES + 1, 4, key->colour, 1);
        picture_plot_points(&plots[side], disc[0], disc[0] + 1, 2, DISCS, 9, 0xFFFFFF, 1);
        picture_plot_points(&plots[side], disc[0], disc[0] + 1, 2, DISCS, 6.5f, key->colour, 1);
    }
}

/* Finds the least variance of sub-VP, which is 3/4: m^2 + (1 - m^2)^2 at m^2 = 1/2, and points at it. */
static void mark_least_variance(const picture_plot *plot, const ssde_sde *sde) {
    char text[80];
    double t, least = least_variance(sde, &t);
    float x = picture_plot_x(plot, t), y = picture_plot_y(plot, least);
    printf("variances: the least of sub-VP is %.9f at t = %.4f\n", least, t);
    if (!(fabs(least - 0.75) < 1e-9)) {
        fprintf(stderr, "figures: the least variance of sub-VP is %.12f, wanted 0.75\n", least);
        exit(1);
    }
    snprintf(text, sizeof text, "%.3f at t = %.3f", least, t);
    picture_arrow(plot->page, x + 90, y + 36, x + 14, y + 7, 3, PICTURE_INK, 1);
    picture_text(plot->page, x + 100, y + 30, 0, plot->page->text, PICTURE_INK, text);
}

static void figure_variances(void) {
    const picture_key keys[4] = {{"VE", picture_palette(0), '-'},
                                 {"VP", picture_palette(2), '-'},
                                 {"sub-VP", picture_palette(1), '-'},
                                 {"100,000 simulated points", PICTURE_FRAME, 'o'}};
    ssde_sde families[3];
    families[0] = ssde_ve(0.01, 50);
    families[1] = vp;
    families[2] = ssde_subvp(0.1, 20);
    picture page = page_begin(900, "VE explodes the variance, VP keeps it, sub-VP stays below");
    picture_plot plots[2];
    plots[0] = picture_plot_begin_as(&page, 0, 80, 760, 760, "data of variance 1", "t", "variance of x(t)", 0, 1, 0.5,
                                     5000, PICTURE_LOG_Y);
    plots[1] =
        picture_plot_begin(&page, 780, 80, 820, 760, "the same, near 1", "t", "variance of x(t)", 0, 1, 0.7, 1.1);
    for (int k = 0; k < 3; k++) plot_variance(plots, &families[k], &keys[k]);
    mark_least_variance(&plots[1], &families[2]);
    picture_legend_row(&page, 800, 858, keys, 4);
    page_end(&page, "variances.png");
}

/* ---- trajectories ---- */

enum { PATHS = 4, DRAWS = 20000, BARS = 60 };

typedef struct paths {
    float t[STEPS + 1], x[PATHS][STEPS + 1];
} paths;

/* Solvers call this at the start and after every step. */
static void record(void *user, size_t step, double t, const float *x, size_t n, size_t dim) {
    paths *all = (paths *)user;
    all->t[step] = (float)t;
    for (size_t i = 0; i < n; i++) all->x[i][step] = x[i * dim];
}

/* Runs x [n] from noise back to data: STEPS steps of Euler-Maruyama, or of Euler's method on the ODE; paths may be
   NULL. */
static void run_back(int ode, size_t n, float *x, paths *all) {
    ssde_score_model model = ssde_mixture_model(line, &vp);
    ssde_rng rng = ssde_rng_seed(SEED);
    ssde_sampler_desc how = ssde_sampler_defaults();
    how.steps = STEPS;
    how.probability_flow = ode;
    how.given_start = 1;
    how.trajectory = all ? record : NULL;
    how.user = all;
    how.context = &context;
    check(ssde_sample(&vp, &model, &how, &rng, n, x));
}

/* Samples x [DRAWS] as bars in the units of a density. */
static void plot_histogram(const picture_plot *plot, const float *x, unsigned colour) {
    float height[BARS] = {0};
    for (int i = 0; i < DRAWS; i++) {
        double bar = ((double)x[i] / reach + 1) / 2 * (int)BARS;
        if (bar >= 0 && bar < (int)BARS) height[(int)bar] += (float)((int)BARS / (2 * reach) / (int)DRAWS);
    }
    picture_plot_bars_across(plot, -reach, reach, height, BARS, colour, 0.55f);
}

/* The greatest distance between the distribution functions of x [DRAWS] and of the data (Kolmogorov and Smirnov). Of a
   hundred sets of exact draws one is farther off than 1.63 / sqrt(DRAWS). */
static double distribution_distance(const float *x) {
    static double sorted[DRAWS];
    double worst = 0;
    for (int i = 0; i < DRAWS; i++) sorted[i] = (double)x[i];
    qsort(sorted, DRAWS, sizeof *sorted, ascending);
    for (int i = 0; i < DRAWS; i++) {
        double below = 0;
        for (int k = 0; k < MODES; k++)
            below += mode_weight[k] / 2 * erfc((mode_mean[k] - sorted[i]) / mode_std[k] / sqrt(2.0));
        worst = fmax(worst, fmax(fabs(below - (double)i / (int)DRAWS), fabs(below - (i + 1.0) / (int)DRAWS)));
    }
    return worst;
}

/* One way back: paths from a few starts into the middle plot, all draws from the prior into that of the end. */
static void plot_way_back(const picture_plot *middle, const picture_plot *end, int ode, const char *name,
                          const unsigned *colours) {
    static const float start[PATHS] = {1.7f, 0.6f, -0.5f, -1.6f};
    static float x[DRAWS];
    static paths all;
    check(ssde_prior_sample(&context, &vp, SEED, NULL, DRAWS, 1, x));
    run_back(ode, DRAWS, x, NULL);
    printf("trajectories: %s, distribution functions differ by %.4f, exact draws by less than %.4f\n", name,
           distribution_distance(x), 1.63 / sqrt((double)DRAWS));
    plot_histogram(end, x, PICTURE_FRAME);
    line_density(end, 0, 3, PICTURE_INK);
    memcpy(x, start, sizeof start);
    run_back(ode, PATHS, x, &all);
    for (int i = 0; i < PATHS; i++) {
        picture_plot_curve(middle, all.t, all.x[i], 1, STEPS + 1, ode ? 5 : 1.5f, colours[i], 1);
        picture_plot_points(middle, all.t, all.x[i], 1, 1, 10, colours[i], 1);
    }
}

static void figure_trajectories(void) {
    const unsigned colours[PATHS] = {0xD55E00, 0x000000, 0xA6267A, 0x0050A0};
    const picture_key keys[3] = {{"density of x(t), dark is high", 0, '%'},
                                 {"20,000 samples", 0xA5A5A5, '#'},
                                 {"exact density", PICTURE_INK, '-'}};
    static float x[DRAWS];
    picture page = page_begin(900, "Two ways back to data: the same starts, the same densities");
    picture_plot prior = line_end(&page, 0, 300, "noise, t = 1", "x", -0.9);
    picture_plot middle = line_plot(&page, 300, 800, "thin: reverse SDE, thick: ODE", 1, 0, 2);
    picture_plot sde_end = line_end(&page, 1100, 250, "SDE, t = 0", NULL, 0.9);
    picture_plot ode_end = line_end(&page, 1350, 250, "ODE, t = 0", NULL, 0.9);
    check(ssde_prior_sample(&context, &vp, SEED, NULL, DRAWS, 1, x));
    plot_histogram(&prior, x, PICTURE_FRAME);
    line_density(&prior, 1, 3, PICTURE_INK);
    plot_way_back(&middle, &sde_end, 0, "SDE", colours);
    plot_way_back(&middle, &ode_end, 1, "ODE", colours);
    picture_legend_row(&page, 800, 858, keys, 3);
    page_end(&page, "trajectories.png");
}

/* ---- corrector ---- */

/* Draws of p_t [POINTS, 2] whose distance from the middle of their class is halved: a quarter of its variance. */
static void tight_cloud(double time, double mean, float *x) {
    static int component[POINTS];
    plane_draw(plane, time, SEED, x, component);
    for (int i = 0; i < POINTS; i++)
        for (int j = 0; j < 2; j++) {
            double middle = mean * class_mean[component[i]][j];
            x[2 * i + j] = (float)(middle + 0.5 * ((double)x[2 * i + j] - middle));
        }
}

/* Langevin steps first ... last - 1 of x [POINTS, 2]. */
static void correct(double time, int first, int last, float *x) {
    static float score[2 * POINTS], z[2 * POINTS];
    static double t[POINTS];
    static uint64_t sample[POINTS];
    ssde_score_model model = ssde_mixture_model(plane, &vp);
    ssde_sampler_desc how = ssde_sampler_defaults();
    how.corrector = SSDE_CORRECTOR_LANGEVIN;
    how.context = &context;
    for (int i = 0; i < POINTS; i++) {
        t[i] = time;
        sample[i] = (uint64_t)i;
    }
    for (int step = first; step < last; step++) {
        check(model.score(model.user, x, t, sample, POINTS, 0, score));
        check(ssde_random_normal(&context, SEED, SSDE_STREAM_CORRECTOR, (uint32_t)step, NULL, POINTS, 2, z));
        check(ssde_corrector_step(&vp, &how, x, score, z, t, POINTS, 2, x, NULL));
    }
}

static void figure_corrector(void) {
    static const int counts[4] = {0, 1, 5, 20};
    static float x[2 * POINTS];
    const double time = 0.12;
    const picture_key keys[3] = {{"4,000 points", picture_palette(0), 'o'},
                                 {"half of the target is inside", PICTURE_INK, '-'},
                                 {"nine tenths", PICTURE_FRAME, '-'}};
    ssde_coefficients at;
    picture page = page_begin(670, "Langevin steps loosen a cloud that is too tight");
    check(ssde_coefficients_at(&context, &vp, time, &at));
    tight_cloud(time, at.mean, x);
    for (int k = 0; k < 4; k++) {
        char text[80];
        correct(time, k ? counts[k - 1] : 0, counts[k], x);
        snprintf(text, sizeof text, "M = %d", counts[k]);
        picture_plot plot = plane_panel(&page, k, 4, 430, text);
        picture_plot_points(&plot, x, x + 1, 2, POINTS, 1.8f, picture_palette(0), 0.3f);
        double within = plane_contours(&plot, plane, time, x), distance = energy_distance(x, plane, time);
        snprintf(text, sizeof text, "%.0f%% where half belongs", 100 * within);
        caption(&plot, 0, text);
        snprintf(text, sizeof text, "energy distance %.4f", distance);
        caption(&plot, 1, text);
        printf("corrector: M = %2d, %.0f%% of the points where half belongs, energy distance %.4f\n", counts[k],
               100 * within, distance);
    }
    printf("corrector: exact draws, energy distance %.4f\n", chance_distance(plane, time));
    picture_legend_row(&page, 800, 620, keys, 3);
    page_end(&page, "corrector.png");
}

/* ---- guidance ---- */

/* The likeliest class of x; *posterior is the probability of class `wanted`, p_0(wanted | x). */
static int classify(const float *x, int wanted, double *posterior) {
    double joint[CLASSES], sum = 0;
    int best = 0;
    for (int k = 0; k < CLASSES; k++) {
        double across = ((double)x[0] - class_mean[k][0]) / class_std[k][0];
        double up = ((double)x[1] - class_mean[k][1]) / class_std[k][1];
        joint[k] = class_weight[k] * exp(-0.5 * (across * across + up * up)) / (class_std[k][0] * class_std[k][1]);
        sum += joint[k];
        if (joint[k] > joint[best]) best = k;
    }
    *posterior = joint[wanted] / sum;
    return best;
}

/* Draws x [POINTS, 2] with the score plus `scale` times the gradient of log p_t(wanted | x) = log p_t(x | wanted) - log
   p_t(x) + constant, both known: classifier-free guidance with weight scale - 1. Where the noise std / m is above
   `high` (0: nowhere), the scale is 1. */
static void sample_guided(ssde_mixture *wanted, double scale, double high, float *x) {
    ssde_cfg_desc desc = ssde_cfg_defaults();
    ssde_cfg *guided;
    ssde_score_model model;
    ssde_rng rng = ssde_rng_seed(SEED);
    ssde_sampler_desc how = ssde_sampler_defaults();
    desc.conditional = ssde_mixture_model(wanted, &vp);
    desc.unconditional = ssde_mixture_model(plane, &vp);
    desc.weight = scale - 1;
    desc.high = high;
    desc.context = &context;
    check(ssde_cfg_create(&guided, &vp, &desc));
    model = ssde_cfg_model(guided);
    how.steps = STEPS;
    how.context = &context;
    check(ssde_sample(&vp, &model, &how, &rng, POINTS, x));
    ssde_cfg_destroy(guided);
}

static void figure_guidance(void) {
    enum { WANTED = 0 };
    static const double scales[4] = {1, 2, 5, 5}, high[4] = {0, 0, 0, 0.5};
    static float x[2 * POINTS];
    const double one = 1;
    const unsigned colours[CLASSES] = {picture_palette(1), picture_palette(0), picture_palette(2)};
    const picture_key keys[5] = {{"class 1, wanted", colours[0], 'o'},
                                 {"class 2", colours[1], 'o'},
                                 {"class 3", colours[2], 'o'},
                                 {"half of class 1 is inside", PICTURE_INK, '-'},
                                 {"nine tenths", PICTURE_FRAME, '-'}};
    ssde_mixture *wanted;
    picture page = page_begin(670, "Guidance: score + scale * gradient of log p(class 1 | x)");
    check(ssde_mixture_create(&context, &wanted, 1, 2, &one, class_mean[WANTED], class_std[WANTED]));
    for (int k = 0; k < 4; k++) {
        char text[80];
        double sure = 0;
        sample_guided(wanted, scales[k], high[k], x);
        snprintf(text, sizeof text, high[k] > 0 ? "scale %g, noise to %g" : "scale %g", scales[k], high[k]);
        picture_plot plot = plane_panel(&page, k, 4, 430, text);
        for (int i = 0; i < POINTS; i++) {
            double posterior;
            int likeliest = classify(&x[2 * i], WANTED, &posterior);
            sure += posterior / (int)POINTS;
            picture_plot_points(&plot, &x[2 * i], &x[2 * i + 1], 2, 1, 1.8f, colours[likeliest], 0.3f);
        }
        plane_contours(&plot, wanted, 0, x);
        double distance = energy_distance(x, wanted, 0);
        snprintf(text, sizeof text, "mean p(1 | x) %.3f", sure);
        caption(&plot, 0, text);
        snprintf(text, sizeof text, "energy distance %.4f", distance);
        caption(&plot, 1, text);
        printf("guidance: scale %g%s, p(class 1 | x) %.4f on average, energy distance to class 1 %.4f\n", scales[k],
               high[k] > 0 ? " in noise up to 0.5" : "", sure, distance);
    }
    printf("guidance: exact draws of class 1, energy distance %.4f\n", chance_distance(wanted, 0));
    picture_legend_row(&page, 800, 620, keys, 5);
    page_end(&page, "guidance.png");
    ssde_mixture_destroy(wanted);
}

int main(void) {
    vp = ssde_vp(0.1, 20);
    check(ssde_mixture_create(&context, &line, MODES, 1, mode_weight, mode_mean, mode_std));
    check(ssde_mixture_create(&context, &plane, CLASSES, 2, class_weight, class_mean[0], class_std[0]));
    figure_forward();
    figure_score();
    figure_variances();
    figure_trajectories();
    figure_corrector();
    figure_guidance();
    ssde_mixture_destroy(line);
    ssde_mixture_destroy(plane);
    return 0;
}
