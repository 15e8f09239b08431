/* custom_score.c - samples and exact log-densities from a score you wrote yourself, without any network:
   cc -O2 examples/custom_score.c -o custom_score -lm && ./custom_score */
#define SCORESDE_IMPLEMENTATION
#include "../scoresde_solvers.h"
#include <math.h>
#include <stdio.h>

/* Two blobs: half N(c, r I), half N(-c, r I). At time t they are N(+-m c, v I), v = r m^2 + std^2, and with w = m c / v
   the score, grad log p_t(x), is tanh(w.x) w - x / v. Yours may come from a simulation, a table, another library. */
static const double c[2] = {1.0, -0.8}, r = 0.2;
enum { N = 20000 };
static float samples[2 * N];
static double w[N][2], v[N], bend[N]; /* of the rows of the last score, for vjp; bend = tanh(w.x) */

static ssde_status score(void *sde, const float *x, const double *t, const uint64_t *sample, size_t rows,
                         int differentiate, float *out) {
    (void)sample, (void)differentiate;
    for (size_t i = 0; i < rows; i++, x += 2, out += 2) {
        ssde_coefficients at; /* m(t) and std(t); every row has its own t */
        ssde_status status = ssde_coefficients_at(NULL, (const ssde_sde *)sde, t[i], &at);
        if (status != SSDE_OK) return status;
        v[i] = r * at.mean * at.mean + at.std * at.std;
        for (int j = 0; j < 2; j++) w[i][j] = at.mean * c[j] / v[i];
        bend[i] = tanh(w[i][0] * x[0] + w[i][1] * x[1]);
        for (int j = 0; j < 2; j++) out[j] = (float)(bend[i] * w[i][j] - x[j] / v[i]);
    }
    return SSDE_OK;
}
static ssde_status vjp(void *sde, const float *u, size_t rows, float *out) { /* u^T d score / dx */
    (void)sde;
    for (size_t i = 0; i < rows; i++, u += 2, out += 2) {
        double slope = (1 - bend[i] * bend[i]) * (w[i][0] * u[0] + w[i][1] * u[1]);
        for (int j = 0; j < 2; j++) out[j] = (float)(slope * w[i][j] - u[j] / v[i]);
    }
    return SSDE_OK;
}

int main(void) {
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_score_model model = {2, N, score, vjp, &sde, NULL, NULL}; /* two dimensions, at most N rows in a call */
    ssde_rng rng = ssde_rng_seed(42);
    ssde_context context = ssde_context_defaults(); /* receives the text of an error */
    ssde_sampler_desc draw = ssde_sampler_defaults();
    ssde_likelihood_desc price = ssde_likelihood_defaults();
    ssde_likelihood_result result[5];
    price.trace = SSDE_TRACE_EXACT;
    draw.context = price.context = &context;
    ssde_status status = ssde_sample(&sde, &model, &draw, &rng, N, samples);
    if (status == SSDE_OK) status = ssde_likelihood(&sde, &model, &price, &rng, 5, samples, result);
    if (status != SSDE_OK)
        return fprintf(stderr, "custom_score: %s (%s)\n", context.error, ssde_status_text(status)), 1;
    double xx = 0, xy = 0, yy = 0, n = N;
    for (const float *x = samples; x < samples + 2 * N; x += 2)
        xx += x[0] * x[0] / n, xy += x[0] * x[1] / n, yy += x[1] * x[1] / n;
    printf("x0 x0, x0 x1, x1 x1 on average: %.3f %.3f %.3f, truth %.3f %.3f %.3f\n", xx, xy, yy, r + c[0] * c[0],
           c[0] * c[1], r + c[1] * c[1]);
    for (int i = 0; i < 5; i++) {
        double x = samples[2 * i], y = samples[2 * i + 1], square = x * x + y * y + c[0] * c[0] + c[1] * c[1];
        double truth = log(cosh((c[0] * x + c[1] * y) / r)) - square / (2 * r) - log(2 * acos(-1.0) * r);
        printf("log p(%6.3f, %6.3f) = %8.5f, truth %8.5f\n", x, y, result[i].log_density, truth);
    }
    return 0;
}
