/* Noise levels in tables: schedules, and the SDE through them. */
#ifndef TEST_CORE_SCHEDULE_H
#define TEST_CORE_SCHEDULE_H

#include "check.h"
#include "fixtures_core.h"
#include "fixtures_solvers.h"
#include "golden.h"

enum { SCHEDULE_N = 1000 };
typedef struct schedule_table {
    double mean[SCHEDULE_N], std[SCHEDULE_N];
} schedule_table;

/* The tables of diffusers 0.40.0.dev0 under torch 1.13, float32. */
static void test_schedule_golden(void) {
    static const struct {
        const char *name;
        ssde_schedule_kind kind;
        double first, last;
        int zero;
    } tables[] = {{"alphas_cumprod/linear_0.0001_0.02", SSDE_SCHEDULE_LINEAR, 1e-4, 0.02, 0},
                  {"alphas_cumprod/squaredcos_cap_v2", SSDE_SCHEDULE_COSINE, 0.0, 0.0, 0},
                  {"alphas_cumprod/scaled_linear_0.00085_0.012", SSDE_SCHEDULE_SCALED_LINEAR, 0.00085, 0.012, 0},
                  {"alphas_cumprod/scaled_linear_0.00085_0.012_zsnr", SSDE_SCHEDULE_SCALED_LINEAR, 0.00085, 0.012, 1}};
    golden_file *golden = golden_open("tests/golden/schedulers.safetensors");
    static schedule_table table;
    static double expected[SCHEDULE_N];
    size_t k, i, single;
    for (k = 0; k < sizeof tables / sizeof tables[0]; k++) {
        for (single = 0; single < 2; single++) {
            ssde_schedule_desc desc = ssde_schedule_defaults(tables[k].kind);
            desc.beta_start = tables[k].first, desc.beta_end = tables[k].last;
            desc.zero_terminal_snr = tables[k].zero, desc.single = (int)single;
            golden_doubles(golden, tables[k].name, expected, SCHEDULE_N);
            CHECK_OK(ssde_schedule_levels(&desc, table.mean, table.std));
            for (i = 0; i < SCHEDULE_N; i++) {
                double left = table.mean[i] * table.mean[i];
                if (single) { /* the same floats: torch.linspace's lanes, products in double, rounded each */
                    CHECK((float)left == (float)expected[i]);
                    CHECK_RELATIVE(table.std[i], sqrt((double)(1.0f - (float)expected[i])), 1e-15);
                    continue;
                }
                /* a float's beta is off by an ulp, and their product by up to 8e-7; the cosine's ends in factors of
                   1e-3, each the rounded difference of 1 and 0.999; of the roots Lin et al. subtract 0.07 and keep down
                   to 6e-5 */
                CHECK_NEAR(left, expected[i],
                           (tables[k].kind == SSDE_SCHEDULE_COSINE ? 2e-5 : 9e-7) * expected[i] +
                               (tables[k].zero ? 9e-7 * sqrt(expected[i]) * (sqrt(expected[i]) + 0.07) : 0.0));
                CHECK_NEAR(table.mean[i] * table.mean[i] + table.std[i] * table.std[i], 1.0, 1e-14);
            }
            if (tables[k].zero) CHECK(table.mean[SCHEDULE_N - 1] == 0.0 && table.std[SCHEDULE_N - 1] == 1.0);
        }
    }
    golden_close(golden);
}

/* The same by their definitions in double; sigmoid and given betas have no golden table. */
static void test_schedule_formulas(void) {
    static schedule_table table, given;
    static double betas[SCHEDULE_N];
    ssde_schedule_desc desc = ssde_schedule_defaults(SSDE_SCHEDULE_SIGMOID);
    ssde_schedule_desc own = ssde_schedule_defaults(SSDE_SCHEDULE_BETAS);
    double left = 1.0;
    int i;
    desc.levels = own.levels = 40;
    desc.beta_start = 0.001, desc.beta_end = 0.3;
    for (i = 0; i < 40; i++) betas[i] = 0.001 + 0.299 / (1.0 + exp(6.0 - 12.0 * i / 39.0));
    own.betas = betas;
    CHECK_OK(ssde_schedule_levels(&desc, table.mean, table.std));
    CHECK_OK(ssde_schedule_levels(&own, given.mean, given.std));
    for (i = 0; i < 40; i++) {
        left *= 1.0 - betas[i];
        CHECK_RELATIVE(table.mean[i], sqrt(left), 1e-13);
        CHECK_RELATIVE(given.mean[i], sqrt(left), 1e-13);
        CHECK_RELATIVE(table.std[i], sqrt(1.0 - left), 1e-12);
    }
    own.zero_terminal_snr = 1; /* Lin et al.'s algorithm 1 */
    CHECK_OK(ssde_schedule_levels(&own, table.mean, table.std));
    for (i = 0; i < 40; i++)
        CHECK_NEAR(table.mean[i], (given.mean[i] - given.mean[39]) * given.mean[0] / (given.mean[0] - given.mean[39]),
                   1e-15);
    CHECK(table.mean[39] == 0.0 && table.std[39] == 1.0);
}

/* m and std of `table` at t by their definition, in a way of its own. */
static void schedule_between(const double *mean, const double *std, int levels, double t, double *m, double *s) {
    double at = t * (levels - 1), part, size0, size1, noise;
    int i = at < levels - 1 ? (int)at : levels - 2;
    part = at - i;
    if (std[i] == 0.0 || mean[i + 1] == 0.0) {
        *m = (1.0 - part) * mean[i] + part * mean[i + 1];
        *s = (1.0 - part) * std[i] + part * std[i + 1];
        return;
    }
    noise = exp((1.0 - part) * log(std[i] / mean[i]) + part * log(std[i + 1] / mean[i + 1]));
    size0 = mean[i] * mean[i] + std[i] * std[i], size1 = mean[i + 1] * mean[i + 1] + std[i + 1] * std[i + 1];
    *m = mean[i] == mean[i + 1] ? mean[i] : sqrt(pow(size0, 1.0 - part) * pow(size1, part) / (1.0 + noise * noise));
    *s = noise * *m;
}

/* Tables of every kind: VP with and without an end of no signal, VE, the straight path with both ends, and one whose
   size changes. */
enum { SCHEDULE_SHORT = 7 };
static const double schedule_tables[5][2][SCHEDULE_SHORT] = {
    {{0.99, 0.95, 0.9, 0.7, 0.4, 0.1, 0.01}, {0.14, 0.31, 0.43, 0.71, 0.91, 0.99, 0.9999}},
    {{0.99, 0.95, 0.9, 0.7, 0.4, 0.1, 0.0}, {0.14, 0.31, 0.43, 0.71, 0.91, 0.99, 1.0}},
    {{1, 1, 1, 1, 1, 1, 1}, {0.01, 0.05, 0.2, 1.0, 3.0, 10.0, 50.0}},
    {{1, 0.9, 0.8, 0.5, 0.3, 0.1, 0}, {0, 0.1, 0.2, 0.5, 0.7, 0.9, 1}},
    {{2.0, 1.0, 0.5, 0.6, 0.7, 0.2, 0.1}, {0.2, 0.3, 0.4, 0.9, 2.0, 3.0, 4.0}}};

static void test_sde_tabulated(void) {
    ssde_context context = ssde_context_defaults();
    int k, i;
    for (k = 0; k < 5; k++) {
        const double *mean = schedule_tables[k][0], *std = schedule_tables[k][1];
        double label[SCHEDULE_SHORT] = {3.0, 2.0, 7.0, 7.0, -1.0, 0.5, 100.0}, t, told, scale, prior;
        ssde_sde sde = ssde_tabulated(mean, std, NULL, SCHEDULE_SHORT), named = sde;
        named.level_label = label;
        CHECK_OK(ssde_sde_check(&context, &sde));
        for (i = 0; i < SCHEDULE_SHORT; i++) { /* a level's t however it was rounded */
            ssde_coefficients c;
            double m, s, beta;
            ssde_step step;
            if (std[i] > 0.0 && mean[i] > 0.0) {
                CHECK_OK(ssde_coefficients_at(&context, &sde, i / 6.0, &c));
                CHECK(c.mean == mean[i] && c.std == std[i]);
                CHECK_OK(ssde_coefficients_at(&context, &sde, 1.0 - (6 - i) / 6.0, &c));
                CHECK(c.mean == mean[i] && c.std == std[i]);
                if (k == 2) CHECK(c.drift == 0.0);
            }
            CHECK_OK(ssde_sde_label(&context, &sde, i / 6.0, &told));
            CHECK(told == i);
            CHECK_OK(ssde_sde_label(&context, &named, i / 6.0, &told));
            CHECK(told == label[i]);
            CHECK_OK(ssde_discrete_marginal(&context, &sde, i, &m, &s, &beta));
            CHECK(m == mean[i] && s == std[i]);
            CHECK_OK(ssde_discretise(&context, &sde, SSDE_DISCRETISE_OWN, i / 6.0, &step)); /* from level to level */
            m = i ? mean[i - 1] : 1.0, s = i ? std[i - 1] : 0.0;
            CHECK_NEAR((1.0 + step.drift) * m, mean[i], 1e-15);
            CHECK_RELATIVE(hypot((1.0 + step.drift) * s, step.diffusion), std[i], 1e-14);
            CHECK_NEAR(1.0 - beta, (1.0 + step.drift) * (1.0 + step.drift), 1e-15 * (1.0 + fabs(beta)));
        }
        for (t = 0.003; t < 1.0; t += 0.0371) {
            ssde_coefficients c, before, after;
            double m, s, noise, back, h = 1e-6;
            schedule_between(mean, std, SCHEDULE_SHORT, t, &m, &s);
            CHECK_OK(ssde_coefficients_at(&context, &sde, t, &c));
            CHECK_RELATIVE(c.mean, m, 1e-13);
            CHECK_RELATIVE(c.std, s, 1e-13);
            CHECK_OK(ssde_coefficients_at(&context, &sde, t - h, &before));
            CHECK_OK(ssde_coefficients_at(&context, &sde, t + h, &after));
            CHECK_NEAR(c.drift, (after.mean - before.mean) / (2.0 * h) / c.mean, 1e-7 * (1.0 + fabs(c.drift)));
            noise = (after.std * after.std - before.std * before.std) / (2.0 * h) - 2.0 * c.drift * c.std * c.std;
            CHECK_RELATIVE(c.diffusion * c.diffusion, noise, 1e-7);
            CHECK_OK(ssde_noise_time(&context, &sde, s / m, &back));
            CHECK_NEAR(back, t, 1e-13);
            CHECK_OK(ssde_sde_label(&context, &sde, t, &told));
            CHECK_RELATIVE(told, 6.0 * t, 6e-8);
        }
        CHECK_OK(ssde_prior_std(&context, &sde, &prior));
        CHECK_RELATIVE(prior, std[6], 1e-12);
        CHECK_OK(ssde_prior_time(&context, &sde, &t, &scale));
        CHECK(mean[6] > 0.0 ? t == 1.0 && scale == 1.0 : t < 1.0 && t > 0.99);
    }
}

/* VP's own betas as a table: the same levels, and what its exact score draws by DDIM is what VP's draws. */
static void test_sde_tabulated_is_vp(void) {
    static schedule_table table;
    static float by_table[64 * 2], by_vp[64 * 2];
    ssde_sde vp = ssde_vp(0.1, 20.0), sde;
    ssde_schedule_desc desc = ssde_schedule_defaults(SSDE_SCHEDULE_LINEAR);
    ssde_sampler_desc how = ssde_sampler_defaults();
    ssde_mixture *ring;
    ssde_score_model model;
    ssde_rng rng = ssde_rng_seed(3), again = rng;
    int i;
    CHECK_OK(ssde_schedule_levels(&desc, table.mean, table.std)); /* 1e-4 and 0.02 are 0.1 and 20 of 1000 steps */
    sde = ssde_tabulated(table.mean, table.std, NULL, SCHEDULE_N);
    for (i = 0; i < SCHEDULE_N; i++) {
        double mean, std;
        CHECK_OK(ssde_discrete_marginal(NULL, &vp, i, &mean, &std, NULL));
        CHECK_RELATIVE(table.mean[i], mean, 1e-12);
        CHECK_RELATIVE(table.std[i], std, 1e-12);
    }
    CHECK_OK(ssde_ring_create(NULL, &ring, 8, 1.0, 0.1));
    how.predictor = SSDE_PREDICTOR_DPM_SOLVER_2M, how.steps = 40, how.grid = SSDE_GRID_LOG_SNR;
    model = ssde_mixture_model(ring, &sde);
    CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 64, by_table));
    model = ssde_mixture_model(ring, &vp);
    CHECK_OK(ssde_sample(&vp, &model, &how, &again, 64, by_vp));
    CHECK_ARRAY(by_table, by_vp, 128, 5e-3); /* eps = 1e-3 is another level, and VP's std(1) 4e-5 below 1 */
    ssde_mixture_destroy(ring);
}

/* Of zero terminal SNR: begun where signal is, by default. */
static void test_sde_tabulated_zero_snr(void) {
    static schedule_table table;
    static float x[16 * 2];
    ssde_context context = ssde_context_defaults();
    ssde_schedule_desc desc = ssde_schedule_defaults(SSDE_SCHEDULE_SCALED_LINEAR);
    ssde_sampler_desc how = ssde_sampler_defaults();
    ssde_rng rng = ssde_rng_seed(5);
    ssde_mixture *ring;
    ssde_score_model model;
    ssde_output_map map;
    ssde_sde sde;
    float reached = 0.0f;
    int i;
    desc.zero_terminal_snr = 1;
    CHECK_OK(ssde_schedule_levels(&desc, table.mean, table.std));
    sde = ssde_tabulated(table.mean, table.std, NULL, SCHEDULE_N);
    CHECK_OK(ssde_output_map_at(&context, &sde, SSDE_PREDICT_VELOCITY, 0.5, 1.0, &map));
    CHECK(map.data_output == -1.0 && map.data_x == 0.0); /* x0 = -v */
    CHECK_OK(ssde_ring_create(&context, &ring, 8, 1.0, 0.05));
    model = ssde_mixture_model(ring, &sde);
    how.predictor = SSDE_PREDICTOR_DDIM, how.steps = 60, how.context = &context;
    CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 16, x));
    for (i = 0; i < 16; i++) reached = fmaxf(reached, fabsf(hypotf(x[2 * i], x[2 * i + 1]) - 1.0f));
    CHECK(reached < 0.25f);
    ssde_mixture_destroy(ring);
}

static void test_schedule_bad_input(void) {
    ssde_context context = ssde_context_defaults();
    ssde_schedule_desc desc = ssde_schedule_defaults(SSDE_SCHEDULE_LINEAR);
    double mean[SCHEDULE_SHORT], std[SCHEDULE_SHORT], betas[3] = {0.1, 1.0, 0.2}, label;
    ssde_schedule_kind kind;
    ssde_sampler_desc how = ssde_sampler_defaults();
    ssde_mixture *ring;
    ssde_score_model model;
    ssde_rng rng = ssde_rng_seed(1);
    float x[2];
    ssde_sde sde = ssde_tabulated(mean, std, NULL, SCHEDULE_SHORT);
    desc.context = &context, desc.levels = SCHEDULE_SHORT;
    CHECK_STATUS(ssde_schedule_levels(NULL, mean, std), SSDE_ERROR_ARGUMENT);
    CHECK_FAILS(&context, ssde_schedule_levels(&desc, NULL, std), SSDE_ERROR_ARGUMENT, "mean is NULL");
    CHECK_FAILS(&context, ssde_schedule_levels(&desc, mean, NULL), SSDE_ERROR_ARGUMENT, "std is NULL");
    desc.levels = 1;
    CHECK_FAILS(&context, ssde_schedule_levels(&desc, mean, std), SSDE_ERROR_ARGUMENT, "levels is 1");
    desc.levels = 3, desc.beta_end = 1.0;
    CHECK_FAILS(&context, ssde_schedule_levels(&desc, mean, std), SSDE_ERROR_ARGUMENT, "beta_end 1,");
    desc.beta_end = 0.0, desc.kind = SSDE_SCHEDULE_BETAS;
    CHECK_FAILS(&context, ssde_schedule_levels(&desc, mean, std), SSDE_ERROR_ARGUMENT, "betas is NULL");
    desc.betas = betas;
    CHECK_FAILS(&context, ssde_schedule_levels(&desc, mean, std), SSDE_ERROR_ARGUMENT, "betas[1] is 1");
    desc.kind = SSDE_SCHEDULE_COUNT;
    CHECK_FAILS(&context, ssde_schedule_levels(&desc, mean, std), SSDE_ERROR_ARGUMENT, "kind is 5");
    CHECK_FAILS(&context, ssde_schedule_find(&context, "cosine", &kind), SSDE_ERROR_ARGUMENT, "squaredcos_cap_v2");
    CHECK_OK(ssde_schedule_find(&context, "scaled_linear", &kind));
    CHECK(kind == SSDE_SCHEDULE_SCALED_LINEAR && !strcmp(ssde_schedule_name(SSDE_SCHEDULE_BETAS), "trained_betas"));
    CHECK(!ssde_schedule_name(SSDE_SCHEDULE_COUNT));

    memcpy(mean, schedule_tables[0][0], sizeof mean);
    memcpy(std, schedule_tables[0][1], sizeof std);
    CHECK_OK(ssde_sde_check(&context, &sde));
    sde.level_std = NULL;
    CHECK_FAILS(&context, ssde_sde_check(&context, &sde), SSDE_ERROR_ARGUMENT, "level_std is NULL");
    sde.level_std = std, sde.num_scales = 1;
    CHECK_FAILS(&context, ssde_sde_check(&context, &sde), SSDE_ERROR_ARGUMENT, "1 levels");
    sde.num_scales = SCHEDULE_SHORT, std[3] = std[2] * mean[3] / mean[2];
    CHECK_FAILS(&context, ssde_sde_check(&context, &sde), SSDE_ERROR_ARGUMENT, "level 3 has std / mean");
    std[3] = 0.0;
    CHECK_FAILS(&context, ssde_sde_check(&context, &sde), SSDE_ERROR_ARGUMENT, "level 3 has mean 0.7 and std 0");
    std[3] = NAN;
    CHECK_FAILS(&context, ssde_sde_check(&context, &sde), SSDE_ERROR_ARGUMENT, "std nan");
    memcpy(std, schedule_tables[0][1], sizeof std);
    mean[2] = 0.0;
    CHECK_FAILS(&context, ssde_sde_check(&context, &sde), SSDE_ERROR_ARGUMENT, "level 2 has mean 0");
    memcpy(mean, schedule_tables[0][0], sizeof mean);
    label = INFINITY;
    sde.level_label = &label;
    CHECK_FAILS(&context, ssde_sde_check(&context, &sde), SSDE_ERROR_ARGUMENT, "level 0 has label inf");
    sde.level_label = NULL;
    CHECK_FAILS(&context, ssde_sde_label(&context, &sde, 1.5, &label), SSDE_ERROR_ARGUMENT, "t is 1.5");
    CHECK_FAILS(&context, ssde_sde_label(&context, &sde, 0.5, NULL), SSDE_ERROR_ARGUMENT, "label is NULL");
    CHECK_OK(ssde_ring_create(&context, &ring, 8, 1.0, 0.1));
    model = ssde_mixture_model(ring, &sde);
    how.grid = SSDE_GRID_DISCRETE, how.predictor = SSDE_PREDICTOR_ANCESTRAL, how.steps = 5, how.context = &context;
    CHECK_FAILS(&context, ssde_sample(&sde, &model, &how, &rng, 1, x), SSDE_ERROR_ARGUMENT, "steps is 5");
    how.steps = 0;
    CHECK_OK(ssde_sample(&sde, &model, &how, &rng, 1, x));
    ssde_mixture_destroy(ring);
}

/* The other kinds' labels are what networks with continuous labels have been told all along. */
static void test_sde_label(void) {
    ssde_sde vp = ssde_vp(0.1, 20.0), ve = ssde_ve(0.01, 50.0);
    double label;
    CHECK_OK(ssde_sde_label(NULL, &vp, 0.25, &label));
    CHECK(label == 249.75);
    CHECK_OK(ssde_sde_label(NULL, &ve, 0.25, &label));
    CHECK_RELATIVE(label, 0.01 * pow(5000.0, 0.25), 1e-6);
}

#define TEST_CORE_SCHEDULE_LIST(X) \
    X(schedule_golden)             \
    X(schedule_formulas)           \
    X(schedule_bad_input)          \
    X(sde_label)                   \
    X(sde_tabulated)               \
    X(sde_tabulated_is_vp)         \
    X(sde_tabulated_zero_snr)

#endif
