/* scoresde_solvers.h 0.1.0: samplers, likelihoods and control for score models. MIT or public domain.

   Copy this file and scoresde.h next to your sources. In ONE .c or .cpp file write

       #define SCORESDE_IMPLEMENTATION
       #include "scoresde_solvers.h"

   and include it plainly everywhere else. Compile with any C99 or C++11 compiler and link libm: cc -O2 program.c -lm

   CONTENTS (search for the anchor)
       >>grid              the times a sampler visits
       >>path              Brownian paths that do not depend on those times
       >>condition         what a sample must agree with: known pixels or colours, measurements, classes
       >>guidance          score models steered by those, or by another model: classifier-free guidance, autoguidance;
                           or taken to another SDE
       >>clip              bounds of what is denoised
       >>sampler           predictors, correctors and the driver that alternates them
       >>scheduler         diffusers' scheduler_config.json as SDE and sampler
       >>ode               Dormand-Prince 5(4) over double, one step size per system
       >>flow              sampling, encoding and decoding by the probability-flow ODE
       >>likelihood        log-densities in nats and bits/dim by the same ODE
       >>distance          samples beside a model, and a model beside another, by their scores
       >>implementation    the functions, in the same order; "how to add" stands above each table

   QUICK START: draw samples, price them, and steer what is drawn; in all that, the score model is interchangeable

       #define SCORESDE_IMPLEMENTATION
       #include "scoresde.h"
       #include "scoresde_solvers.h"
       #include <stdio.h>
       #include <stdlib.h>

       enum { N = 1000 };
       static float x[N * 2];
       static ssde_likelihood_result results[N];
       static ssde_context context; // receives the text of an error

       static void check(ssde_status status) {
           if (status == SSDE_OK) return;
           fprintf(stderr, "%s: %s\n", ssde_status_text(status), context.error);
           exit(1);
       }

       int main(void) {
           ssde_sde sde = ssde_vp(0.1, 20.0);
           ssde_rng rng = ssde_rng_seed(42);
           ssde_mixture *ring;
           check(ssde_ring_create(&context, &ring, 8, 1.0, 0.1));
           ssde_score_model model = ssde_mixture_model(ring, &sde); // or ssde_score_net_model, or functions of yours

           // draw
           ssde_sampler_desc how = ssde_sampler_defaults();
           how.predictor = SSDE_PREDICTOR_DPM_SOLVER_2M; // 20 evaluations instead of 1,000
           how.context = &context;
           check(ssde_sample(&sde, &model, &how, &rng, N, x));

           // price: log-density in nats, bits per dimension, standard error
           ssde_likelihood_desc price = ssde_likelihood_defaults(); // of integers 0 ... 255: price.levels = 256
           price.context = &context;
           check(ssde_likelihood(&sde, &model, &price, &rng, N, x, results));
           ssde_likelihood_summary mean = ssde_likelihood_summarise(results, N);
           printf("log p(x) = %.3f +- %.3f nats\n", mean.log_density, mean.log_density_error);

           // steer: a condition is a value
           static const float known[2] = {0.7f, 0.0f}, mask[2] = {1.0f, 0.0f}; // the first coordinate is known
           how.condition = ssde_inpaint_shared(known, mask);
           check(ssde_sample(&sde, &model, &how, &rng, N, x));
           for (int i = 0; i < 5; i++) printf("%6.3f %6.3f\n", x[2 * i], x[2 * i + 1]);

           ssde_mixture_destroy(ring);
           return 0;
       }

   CONVENTIONS
       x is float [n, dim]; time runs from 1 (noise) down to eps > 0 and never below it. Row i of a call is sample
       rng->next_sample + i: the model and the caller's own noise are asked by that number; conditions and masks are
       indexed by the row. rng->next_sample is advanced by n when the call ran to its end, though single samples
       may have failed; not when it was refused, cancelled or ended by the model.
       NULL for a desc means its defaults. Descriptions, memory and threads: see scoresde.h.

   ERRORS
       A sample that becomes NaN or infinite ends there, and the others finish: the call then returns SSDE_ERROR_NUMERIC
       with the lowest such sample and its t in the text, and that row of x is NaN. A status from the model, and a
       cancelled run, end the whole call and leave x as the samples so far.

   DETERMINISM
       Sample i does not depend on n, on the rows beside it, on model->max_rows or on threads. What cannot promise this
       says _batch in its name.

   DIFFERENCES FROM THE REFERENCE CODE (yang-song/score_sde_pytorch)
       The grid's steps end at eps exactly instead of going 1/N - eps beyond it; the predictor comes before the
       corrector, as in the paper's algorithm 1; Langevin's step is per sample; sub-VP works everywhere; the last
       denoising is Tweedie's formula at eps; inpainting and colourisation return denoised unknown pixels; a
       classifier's guidance has a scale; linear measurements, of which the paper has the method only, are here; each
       sample has its own ODE step size, and log-densities a tolerance of their own. SSDE_GRID_REFERENCE,
       SSDE_CORRECTOR_LANGEVIN_BATCH, corrector_first, joint_error and the _batch functions give the reference's
       behaviour back. */

/* Outside the guard: this header may be included for its declarations first and for its implementation later. */
#include "scoresde.h"

#ifndef SCORESDE_SOLVERS_H
#define SCORESDE_SOLVERS_H

#if SCORESDE_VERSION_MAJOR != 0 || SCORESDE_VERSION_MINOR != 1
#error "scoresde_solvers.h 0.1 needs scoresde.h 0.1: copy both from the same version"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>grid */

/* steps + 1 times from 1, or where nothing of x(0) is left there from ssde_prior_time, to eps. s = std / m is the noise
   beside data of scale 1: the variable of DDIM, Karras et al. and DPM-Solver, in which every affine SDE is VE. */
typedef enum ssde_grid {
    SSDE_GRID_DEFAULT, /* the predictor's own, ssde_predictor_info; of rectified flow in t, see there */
    SSDE_GRID_UNIFORM, /* equally spaced t */
    /* The reference code's numbers: `steps` times from 1 to eps, each left by a step of 1 / steps, so that the last
       update ends below eps; discrete coefficients by index, ssde_discretise with N = steps; the final denoising drops
       the last update's noise instead of using Tweedie's formula, and with predictor none does nothing. */
    SSDE_GRID_REFERENCE,
    /* The indices of DDPM and SMLD: the reference's rules at t = i / (steps - 1), i = steps - 1 ... 0, eps unused, for
       models of the discrete losses. times[steps] repeats the last one. */
    SSDE_GRID_DISCRETE,
    SSDE_GRID_QUADRATIC, /* equally spaced sqrt(t) (DDIM) */
    SSDE_GRID_LOG_SNR,   /* equally spaced log s (DPM-Solver); VE: the same as uniform */
    SSDE_GRID_KARRAS,    /* equally spaced s^(1 / rho) (Karras et al. 2022, eq. 5) */
    SSDE_GRID_COUNT
} ssde_grid;
/* times[steps + 1], decreasing; times[steps] = eps. 0 <= eps < 1. Of the grids that need no SDE: uniform, reference,
   discrete, quadratic. */
ssde_status ssde_time_grid(ssde_context *context, ssde_grid grid, double eps, size_t steps, double *times);
/* The same for all; rho is Karras', 0: 7. Log-SNR's and Karras' end where s is above 0. */
ssde_status ssde_sde_time_grid(ssde_context *context, const ssde_sde *sde, ssde_grid grid, double rho, double eps,
                               size_t steps, double *times);

/* >>path
   A virtual Brownian path for every sample and element, addressed and nowhere stored: out[rows, dim] = W(t[r]), W(0) =
   0, W a standard Wiener process on [0, 1], by Levy's construction over 24 halvings of [0, 1]: t is rounded to a
   multiple of 2^-24. W(1) comes from the normals of (SSDE_STREAM_BROWNIAN, step 0), the midpoint of interval i of 2^k
   from step 2^k + i, so that increments over any partition are those of one path. source NULL: the library's draws
   under seed. work: [rows, dim]. */
ssde_status ssde_brownian(ssde_context *context, const ssde_noise_source *source, uint64_t seed, const double *t,
                          const uint64_t *sample, size_t rows, size_t dim, float *work, float *out);

/* >>condition
   Values that say what a sample must agree with; several are chained through `next` (a class and a mask). Their arrays
   are indexed by the row of the call, or, for conditions that are `shared`, hold one row for all. A condition only
   points to them: known, mask, y, `next`, and the matrices behind `user` stay as they are until the call returns, or
   until the ssde_guided made of them is destroyed. Any number of calls may share one. There are two kinds.

   Known coordinates (inpaint, colourise, measure without noise) are replaced, in the chain's order, at the start and
   after every update by a draw from p_0t(. | known), with noise of its own (SSDE_STREAM_CONDITION); in a denoised
   result they are what is known, and the rest is denoised (paper, appendix I.2). SDE samplers draw anew after every
   update; the ODE and samplers without fresh noise follow m(t) known + std(t) z with one z per sample. The unknown part
   is drawn beside a noisy known part, which is exact only in the limit of many updates per noise level (correctors,
   `resamplings`): between modes far apart, the choice falls while the noise still hides what is known.

   Terms of the score (guide, measure with noise, measure_dps, measure_pigdm) are added to it at every evaluation: s +
   scale grad_x log p_t(y | x) (eq. 14). Where that gradient is exact, so are the samples.

   Measurements of the same samples belong into one A, rows below rows, those of unlike noise divided by it: in a chain
   each is taken as if the others were not there, which holds where their rows are at right angles. */

typedef enum ssde_condition_kind {
    SSDE_CONDITION_NONE,
    SSDE_CONDITION_INPAINT,
    SSDE_CONDITION_COLOURISE,
    SSDE_CONDITION_MEASURE,
    SSDE_CONDITION_MEASURE_NOISY,
    SSDE_CONDITION_GUIDE,
    SSDE_CONDITION_MEASURE_GUIDE,
    SSDE_CONDITION_COUNT
} ssde_condition_kind;

/* One direction of a linear measurement, on rows that belong to sample[rows]: A, in [rows, dim] to out [rows, size], or
   A^T, the other way. Any number of rows.

   A run first takes one product of each per sample and compares <A v, w> with <v, A^T w> for normal v and w = normals +
   4 A v / |A v|. SSDE_ERROR_ARGUMENT, with both in the text, where they differ by more than 3e-4 (|A v| + |A^T w|),
   which products in float stay far below: by a sign, a factor off by 1%, elements in another order, a kernel not turned
   round, an A that is not linear. Single wrong entries are seen from some 0.1% of sqrt(sum A_ij^2) on. */
typedef ssde_status (*ssde_linear_function)(void *user, const float *in, const uint64_t *sample, size_t rows,
                                            float *out);

typedef struct ssde_condition {
    ssde_condition_kind kind;
    const float *known; /* inpaint: [n, dim], read only where the mask is set; colourise: [n, dim / 3]; measured: y
                           [n, size] */
    const float *mask;  /* inpaint: [n, dim], nonzero where x is known */
    int shared;         /* known and mask are one row, the same for every sample */
    size_t size;        /* of a measurement */
    double noise;       /* standard deviation of y - A x */
    double data_std;    /* standard deviation of x(0) in every coordinate, about: measure_pigdm; measure with noise, or
                           0: the model's derivative tells */
    ssde_linear_function forward, transpose; /* A and A^T */
    ssde_guidance_function guidance;
    void *user;       /* first argument of these functions */
    double scale;     /* of a term of the score */
    double low, high; /* the noise levels std / m between which a term is added; high 0: no upper end */
    const struct ssde_condition *next; /* one more condition, or NULL */
} ssde_condition;

ssde_condition ssde_inpaint(const float *known, const float *mask);        /* [n, dim] each */
ssde_condition ssde_inpaint_shared(const float *known, const float *mask); /* [dim] each */
/* Colourisation (appendix I.3): grey [n, dim / 3], the mean of the three channels of each NHWC pixel. It is one
   coordinate in an orthonormal basis of colours, and the other two are free. */
ssde_condition ssde_colourise(const float *grey);
/* y [n, size] = A x + noise z.
   noise 0 (appendix I.4): x moves as little as it takes for A x to be m(t) y + std(t) A z, or as near as A reaches:
   linear least squares, by conjugate gradients to 1e-6, in at most 100 steps of one product with A and one with A^T.
   noise above 0: a term of the score by which the denoised D = (x + std^2 s) / m becomes the mean of x(0) given D and
   y, D + C A^T (A C A^T + noise^2)^-1 (y - A D). C, the covariance of x(0) given x, is
   - the model's own, (std / m)^2 (I + std^2 ds/dx), where condition.data_std is 0 (Boys et al. 2023, "Tweedie moment
     projected diffusions", arXiv 2310.06721): exact for every Gaussian. The model needs vjp. Each step of the solver,
     conjugate residuals to 1e-6 (less, and the ODE would see steps), is one vjp and one product each with A and A^T:
     about as many as A C A^T has eigenvalues well above noise^2, at most 100; 1 for a single number, 5 to 30 for a
     blurred signal with noise of a tenth of it and more. Where a derivative turns out to be no covariance, it ends with
     what was reached.
   - r^2 I, 1 / r^2 = 1 / data_std^2 + (m / std)^2, where data_std is above 0 (as in DDNM, Wang et al. 2022, arXiv
     2212.00490, and DiffPIR, Zhu et al. 2023, arXiv 2305.08995): exact for x(0) ~ N(mean, data_std^2 I). No vjp, the
     solver of noise 0.
   Between modes far apart y chooses too little. x = -1 or 1, spread by 0.2, y = 0.3 and noise 0.5: the mean should be
   0.71 and is 0.35, by data_std = 1 0.31, by measure_pigdm 0.47, by measure_dps 0.78. */
ssde_condition ssde_measure(ssde_linear_function forward, ssde_linear_function transpose, void *user, const float *y,
                            size_t size, double noise);
/* s + scale guidance(x, t): a classifier's, for one; scale 1 is Bayes' rule. */
ssde_condition ssde_guide(ssde_guidance_function guidance, void *user, double scale);
/* Diffusion posterior sampling (Chung et al. 2022, arXiv 2209.14687, eq. 16): log p_t(y | x) is taken as that of
   N(A x0, noise^2) at x0 = (x + std^2 s) / m. Its gradient costs one vector product with ds/dx beside the score. noise
   above 0. x(0) is not x0 while there is noise on x: p_t(y | x) is taken for too narrow then, so that samples come too
   near y and too near each other, whatever the steps; exact as noise grows beyond what x leaves open. */
ssde_condition ssde_measure_dps(ssde_linear_function forward, ssde_linear_function transpose, void *user,
                                const float *y, size_t size, double noise);
/* Pseudo-inverse guidance (Song et al. 2023, "Pseudoinverse-guided diffusion models for inverse problems"): the same
   with N(A x0, r^2 A A^T + noise^2), r as above: exact for x(0) ~ N(mean, data_std^2 I). noise may be 0. It differs
   from ssde_measure by asking the model for dx0/dx once and taking C from data_std. x0 and its derivative divide by m:
   where m is small, what a network's score is wrong by becomes large, and condition.high (10, say) keeps this out of
   it. */
ssde_condition ssde_measure_pigdm(ssde_linear_function forward, ssde_linear_function transpose, void *user,
                                  const float *y, size_t size, double noise, double data_std);

/* >>guidance
   Score models made of others, for samplers, the ODE and likelihoods alike. The objects own what they need at work;
   what is behind the models they are made of, and the conditions with what they point to, stay alive. Like every model,
   one is at work on one thread at a time, and so are those it is made of. They tell what is denoised and a learned
   variance where those that they are made of do; the variance is the model's, of two the conditional one's. */

/* The score of `model` and the terms of the chain `condition`. Samplers make one of these from their desc's condition
   themselves. Sample first_sample + i is row i < n of the conditions' arrays. The model has no vjp: likelihoods take
   differences; denoised and variance where the other has them. */
typedef struct ssde_guided ssde_guided;
ssde_status ssde_guided_create(ssde_context *context, ssde_guided **guided, const ssde_sde *sde,
                               const ssde_score_model *model, const ssde_condition *condition, uint64_t first_sample,
                               size_t n);
void ssde_guided_destroy(ssde_guided *guided);
size_t ssde_guided_memory(ssde_context *context, const ssde_sde *sde, const ssde_score_model *model,
                          const ssde_condition *condition, size_t n);
ssde_score_model ssde_guided_model(ssde_guided *guided);

/* CFG: classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598), (1 + weight) s_c - weight s_u.
   Autoguidance (Karras et al. 2024, arXiv 2406.02507) is the same away from a weaker model, a smaller or less trained
   one that knows the same classes, in place of the unconditional one; weight is their w - 1. */
typedef struct ssde_cfg ssde_cfg;
typedef struct ssde_cfg_desc {
    ssde_score_model conditional, unconditional; /* of the same dim; two objects, or one that needs no vjp */
    double weight;
    double low, high; /* guidance interval (Kynkaanniemi et al. 2024, arXiv 2404.07724): the noise levels std / m, both
                         ends among them, at which the weight applies; elsewhere s_c alone, and only that evaluated.
                         high 0: no upper end */
    ssde_context *context;
} ssde_cfg_desc;
ssde_cfg_desc ssde_cfg_defaults(void);
ssde_status ssde_cfg_create(ssde_cfg **guided, const ssde_sde *sde, const ssde_cfg_desc *desc);
void ssde_cfg_destroy(ssde_cfg *guided);
size_t ssde_cfg_memory(const ssde_sde *sde, const ssde_cfg_desc *desc);
/* With vjp where both models have one, with denoised and variance where they are two objects. */
ssde_score_model ssde_cfg_model(ssde_cfg *guided);

/* A model of the SDE `from` as one of the SDE `to`. In y = x / m and s = std / m all affine SDEs are one: at the t of
   equal s, x of `from` is r x, r the ratio of both m, and the score of `to` r times that of `from`, exactly. Data stay
   as the model has them: in [0, 1] where VE's are. Every sampler, ODE and likelihood of `to` then runs on the model.
   Beyond the noise that `from` has:
   - above the s_max of its ssde_prior_time (sigma_max of VE, 152 of the paper's VP, 10,000 of rectified flow) the
     denoised D = (x + std^2 score) / m is the model's at s_max, where x is scaled to that noise. D hardly depends on x
     any more: with v the data's variance, the largest of any direction, the score is off by v / (s s_max) of itself.
   - below s(0) (sigma_min of VE) the score of y is that at s(0), for data as if blurred by so much: off by s(0)^2 / v,
     v the least variance. There an eps of the solver's with s(eps) of at least s(0) is right.
   SSDE_ERROR_ARGUMENT where the two have no s in common. */
typedef struct ssde_converted ssde_converted;
ssde_status ssde_converted_create(ssde_context *context, ssde_converted **converted, const ssde_sde *from,
                                  const ssde_score_model *model, const ssde_sde *to);
void ssde_converted_destroy(ssde_converted *converted);
size_t ssde_converted_memory(ssde_context *context, const ssde_sde *from, const ssde_score_model *model,
                             const ssde_sde *to);
/* With vjp, denoised and variance where the model has them. */
ssde_score_model ssde_converted_model(ssde_converted *converted);

/* >>clip
   Bounds of the denoised D = (x + std^2 score) / m, what a model takes x(0) for: a value of samplers' and flows' descs.
   Wherever these ask for a score, after guidance and terms, D becomes D' within [low, high] and the score (m D' - x) /
   std^2, so that predictors, correctors, the ODE and the last denoising see it; the noise becomes (x - m D') / std with
   it. Where D stays, its score does bit for bit. Known coordinates are put in place afterwards. A score that is not
   finite stays so. What is denoised in the end, by the formula or by a last update without noise, lies in [low, high].
   Likelihoods are those of the model and do not clip. m and std are the SDE's; on SSDE_GRID_DISCRETE those of
   ssde_discrete_marginal, or of ddpm's schedule. */
typedef enum ssde_clip_kind { SSDE_CLIP_NONE, SSDE_CLIP_RANGE, SSDE_CLIP_DYNAMIC, SSDE_CLIP_COUNT } ssde_clip_kind;
typedef struct ssde_clip {
    ssde_clip_kind kind;
    double low, high; /* low < high, floats */
    double quantile;  /* dynamic: in (0, 1] */
    double most;      /* dynamic: q counts for no more, (high - low) / 2 or above; 0: no bound */
    int keep_noise; /* of ddim alone, whose step is made of D and the noise apart: D' beside the noise (x - m D) / std,
                       diffusers' clip_sample without use_clipped_model_output */
} ssde_clip;
ssde_clip ssde_clip_to(double low, double high); /* D' = min(max(D, low), high) */
/* Dynamic thresholding (Saharia et al. 2022, arXiv 2205.11487, section 2.3), of each sample: with c the middle of the
   range and r half its width, q is the quantile of |D - c| over all coordinates, between two of them by linear
   interpolation (NumPy's and PyTorch's default). q up to r: as above; else D' = c + (r / q) min(max(D - c, -q), q). */
ssde_clip ssde_clip_dynamic(double low, double high, double quantile);

/* >>sampler
   A run begins at ssde_prior_time, which is 1 where there is signal; where there is none, x (drawn, or given at 1 or at
   a time beyond) is brought there by its scale. Euler's methods in t (euler_maruyama, stochastic_heun, adaptive,
   reverse diffusion of the flow or by SSDE_DISCRETISE_EULER) begin later still, by a part of their first step, for d
   log s / dt has no bound there. Where the times are given and the model tells what it denoises, ddim, pndm, both Heuns
   and the multistep predictors begin at times[0] itself, by D, which stands for a step of order 1 as far as
   ssde_prior_time; but for the Heuns, D takes the score's place while std is above 8 m, where a score in float knows
   x(0) less well. What is wrong with a step's coefficients is said before the model is asked. */

/* All for every affine SDE, but for the chains ddpm and smld. A nonlinear one has none, euler_maruyama,
   reverse_diffusion (the same there), stochastic_heun and adaptive, on grids of t alone, and of correctors
   langevin_batch; ssde_guide is its condition. A drift that pulls back faster than x grows throws out as fast on the
   way back: where a learned score is too weak to hold it, beyond the data, a sample ends as NaN. With y = x / m, s =
   std / m and the denoised D = (x + std^2 score) / m, the probability flow is dy / ds = (y - D) / s whatever the SDE:
   what is written for VE applies as it stands. */
typedef enum ssde_predictor {
    SSDE_PREDICTOR_DEFAULT, /* VE: reverse diffusion; others: Euler-Maruyama */
    SSDE_PREDICTOR_NONE,    /* the corrector alone */
    SSDE_PREDICTOR_EULER_MARUYAMA,
    SSDE_PREDICTOR_REVERSE_DIFFUSION, /* paper, eq. 46: the discretisation of the forward SDE, reversed */
    SSDE_PREDICTOR_ANCESTRAL,         /* DDPM's and SMLD's chain (eq. 4 and 47); sub-VP and affine: the exact posterior
                                         variance. Not with probability_flow */
    SSDE_PREDICTOR_DDPM, /* Ho et al. 2020, algorithm 2, with variances beta_i: betas in `schedule`, or linear from
                            beta_min / steps to beta_max / steps. VP only */
    SSDE_PREDICTOR_SMLD, /* Song and Ermon 2019, algorithm 1: corrector_steps Langevin steps at each of `steps` noise
                            levels; sigmas in `schedule`, or the SDE's geometric ones. VE only */
    SSDE_PREDICTOR_STOCHASTIC_HEUN, /* Heun's method in t for the reverse SDE: strong order 1, against which
                                       Euler-Maruyama has the larger error; with probability_flow, order 2 */
    SSDE_PREDICTOR_ADAPTIVE,        /* Jolicoeur-Martineau et al. 2021, algorithm 1: the same steps, as long as rtol and
                                       atol let them be, for each sample apart. A rejected step keeps its path: noise
                                       is always `brownian`. Updates lie between the grid's times, which are `steps`
                                       stops */
    SSDE_PREDICTOR_DDIM,            /* Song et al. 2021 (arXiv 2010.02502), eq. 12; eta 1 is ancestral sampling. Without
                                       noise it is what others call euler: Euler's method in s, and that of flow matching
                                       in t, x + (t_next - t) u */
    SSDE_PREDICTOR_HEUN,            /* Karras et al. 2022, algorithm 2: in s; s_churn etc. 18 steps are made for
                                       s up to 80 or so */
    SSDE_PREDICTOR_STRAIGHT_HEUN,   /* flow matching's Heun: in tau = std / (m + std), along the straight path x / (m +
                                       std) = (1 - tau) x(0) + tau z, whose slope is the velocity z - x(0); of rectified
                                       flow, whose tau is t, the textbook's */
    /* Multistep: order k takes the last k D's for a polynomial in log s. Its first steps have fewer; and on any grid a
       step is of a higher order only as far as its length in log s, h, and those before it, h_1 and h_2, let the
       polynomial be trusted: D_0, the newest, gains over the weight 1 - e^-h that DDIM gives it at most e^-h of what
       the step before gave D_1, times h_1 / h where h is longer (or what a D that settles like s^2 has yet to change
       by), and D_2 at most what the step before took from it. Equal steps up to h = 1.1 are of second order whole, up
       to about 0.65 of third; a step long beside those before it, as the last of a uniform grid, is nearly DDIM's. The
       times alone decide it. `multistep` has the published weights in its place. */
    SSDE_PREDICTOR_DPM_SOLVER_2M, /* Lu et al. 2022 (DPM-Solver++, arXiv 2211.01095), algorithm 2 */
    SSDE_PREDICTOR_DPM_SOLVER_3M, /* its third order, by the last three D's: with their whole second derivative in log
                                     s, of which the multistep form in circulation has half, and so order 2. The first
                                     step, of order 1, is corrected by the score at its end, which the next one needs
                                     anyway: order 3 from any start */
    SSDE_PREDICTOR_DPM_SOLVER_2M_SDE, /* the same paper's SDE-DPM-Solver++(2M): 2M with eta 1 */
    SSDE_PREDICTOR_UNIPC,             /* Zhao et al. 2023 (arXiv 2302.04867), multistep UniPC-2 for data prediction with
                                         B(h) = e^h - 1: 2M, each of whose steps is corrected by the score at its end,
                                         which the next one needs anyway. The last step is left as predicted */
    SSDE_PREDICTOR_PNDM,              /* Liu et al. 2022 (arXiv 2202.09778), F-PNDM: DDIM's step by a sum of the last
                                         four outputs, that of Adams and Bashforth for equal steps whatever they are; the
                                         first three steps by the sum of Runge and Kutta's four evaluations. See `pndm` */
    SSDE_PREDICTOR_COUNT
} ssde_predictor;

/* Of PNDM. It has order 2, as DDIM's step weighs the sum as one over equal steps of s, and 4 where the times are
   equally spaced in s, from Runge and Kutta's start. */
typedef struct ssde_pndm {
    /* What is summed: NOISE, or DATA, which is the default where the run begins beyond signal, or FLOW. With VELOCITY
       (diffusers', of networks that predict v) and SCORE, which change over a step while D and the noise do not, the
       order is 1. Not EDM's */
    ssde_parameterisation sums;
    int heun_start; /* diffusers' skip_prk_steps: the first step by two evaluations instead, and the next two by the
                       last two and three outputs */
    /* What others' stages go by, h, a length in t, wherever the times lie: with h' = h / 2, of a tabulated SDE down to
       a level, the second and third evaluation are at t_next + h', x for the second at t - h'; heun_start's second
       counts as of a step from t_next + h. 0: half-way, where h = t - t_next makes it t_next + h' of steps of two
       levels and more; and from t. */
    double step;
} ssde_pndm;

/* What the table of predictors says. */
typedef struct ssde_predictor_properties {
    const char *name; /* the enum's in lower case */
    int order;        /* strong order in the largest step, of the flow's solution where there is no noise, from any
                         start: of the limit of short steps, see the multistep predictors for long ones */
    int evaluations;  /* per step; 0: as many as the tolerances ask for. One more denoises the end; pndm's start takes 9
                         more, or with heun_start 1 */
    int history;      /* steps it remembers: correctors, which would make that past another one, are refused */
    int stochastic;   /* by default; 0 for the flow's solvers */
    ssde_grid grid;   /* default; where this is log_snr, rectified flow's is quadratic */
    size_t steps;     /* default; 0: sde->num_scales */
} ssde_predictor_properties;
/* NULL for a value that is none. */
const ssde_predictor_properties *ssde_predictor_info(ssde_predictor predictor);

/* Langevin steps x += step s(x, t) + sqrt(2 step) z. alpha is 1 - beta_i (ssde_discrete_marginal) for VP and sub-VP at
   N = sde->num_scales, and 1 for others. */
typedef enum ssde_corrector {
    SSDE_CORRECTOR_DEFAULT, /* without a predictor, and for VE under default, Euler-Maruyama, reverse diffusion and
                               ancestral: Langevin; else none */
    SSDE_CORRECTOR_NONE,
    /* step = 2 alpha (snr std(t))^2: the paper's rule with |z| and |s| replaced by what they are expected to be,
       sqrt(dim) and sqrt(dim) / std(t). A sample's own |s| must not stand there: near a mode it vanishes and the step
       explodes. */
    SSDE_CORRECTOR_LANGEVIN,
    /* step = 2 alpha (snr mean|z| / mean|s|)^2 with means over the batch: the paper's algorithms 4 and 5 */
    SSDE_CORRECTOR_LANGEVIN_BATCH,
    SSDE_CORRECTOR_COUNT,
    SSDE_CORRECTOR_ANNEALED_LANGEVIN = SSDE_CORRECTOR_LANGEVIN /* the reference's `ald` is the per-sample rule */
} ssde_corrector;

/* The variance of a step's noise about the mean of x(t_next) given x(t) and D, the same in the first three. A step into
   std = 0 has none. */
typedef enum ssde_variance {
    SSDE_VARIANCE_POSTERIOR, /* of x(t_next) given x(t) and x(0): std_next^2 G^2 / std^2, DDPM's smaller one */
    SSDE_VARIANCE_FORWARD,   /* G^2 = std^2 - (m / m_next)^2 std_next^2, of x(t) given x(t_next): DDPM's beta */
    SSDE_VARIANCE_LEARNED,   /* between both, element by element, by the model's `variance` */
    /* std_next^2, and the mean is m_next D: all noise is new, as in the sampling of consistency models and in flow
       matching's "stochastic" */
    SSDE_VARIANCE_WHOLE,
    SSDE_VARIANCE_COUNT
} ssde_variance;

/* What a run did. */
typedef struct ssde_sample_report {
    size_t evaluations;      /* of the score, per sample; adaptive: of the sample that took most */
    double mean_evaluations; /* over the samples */
    size_t failed;           /* samples that became NaN or infinite, or reached a limit; the lowest, and when: */
    uint64_t failed_sample;
    double failed_t;
} ssde_sample_report;

/* x [n, dim] after `step` steps, at time t; step 0 is the start. Samples that failed are zeros there. */
typedef void (*ssde_trajectory_function)(void *user, size_t step, double t, const float *x, size_t n, size_t dim);

/* Weights of multistep predictors as published, and as others run them, instead of the rule of orders: every step has
   its whole order, however long it is. Zeros: the rule. dpm_solver_3m's third order has half of the second derivative,
   as it is in circulation, and so order 2. */
typedef struct ssde_multistep {
    int published; /* 0: so are all others */
    int order;     /* 1 to 3, of dpm_solver_* up to the default; 0: 2, of dpm_solver_3m 3. The first steps have fewer */
    int noise; /* polynomials through the predicted noise instead of D: DPM-Solver (Lu et al. 2022, arXiv 2206.00927),
                  and UniPC without predict_x0 */
    int heun;  /* dpm_solver_*: second order by the integral of the line; else by what the line is in the middle */
    int exact; /* dpm_solver_*: every order by the integral of its polynomial; with `noise` DEIS's tAB in log s
                  (Zhang and Chen 2022, arXiv 2204.13902) */
    int bh1;   /* unipc: B(h) = h, where it matters, at second order; else e^h - 1 */
    int fewer_at_end;       /* the order is at most the number of steps left; to denoise is one */
    int euler_at_end;       /* that of the last is 1. That of a step to std = 0 always is */
    int third_as_diffusers; /* dpm_solver_3m with eta: what the second derivative is multiplied by is less by 1, as in
                               diffusers' sde-dpmsolver++, so that short steps have no limit */
    const size_t *uncorrected; /* [uncorrected_count], unipc: steps, from 0, that are left as predicted */
    size_t uncorrected_count;
} ssde_multistep;

/* The defaults: the paper's predictor and corrector for this SDE. */
typedef struct ssde_sampler_desc {
    size_t steps; /* 0: the predictor's, mostly sde->num_scales, which constructors set to 1000 */
    double eps;   /* the last time, 0 < eps < 1; 0: 1e-5 for VE, 1e-3 for others */
    ssde_predictor predictor;
    ssde_corrector corrector;
    double snr;             /* of Langevin steps; 0: 0.16 */
    size_t corrector_steps; /* per step; 0: 1 */
    int probability_flow; /* the ODE instead of the reverse SDE: no noise, half the score; eta and s_churn count as 0 */
    int corrector_first;  /* the reference's order */
    int skip_denoise;     /* return x(eps), a draw with the noise of eps still on it; else Tweedie's formula ends the
                             run, or, of a nonlinear SDE, a step of Euler's without noise from eps to 0 */
    int given_start;      /* x holds x(1), or x(times[0]), when called; otherwise it is drawn from the prior */
    /* Editing: SDEdit (Meng et al. 2022, arXiv 2108.01073). x holds data when called, and the run begins at this t, eps
       < t <= 1, from m x + std z, z being the draw that the prior would have had; the grid's `steps` steps lead from t
       to eps, and given times begin with it. Grids by index keep their levels, and begin at the first at or below t.
       Beyond ssde_prior_time it counts as that, unless given times begin there. At 1 m(1) x is left of x. Not of a
       nonlinear SDE. 0: off */
    double edit_from;
    ssde_clip clip; /* not of a nonlinear SDE */

    /* of reverse diffusion and ancestral. SSDE_DISCRETISE_OWN: the forward SDE's exact transition between neighbouring
       times, which is SMLD's for VE and DDPM's with beta = 1 - m(t)^2 / m(t_next)^2 for VP; affine SDEs under
       probability_flow: Euler's. */
    ssde_discretisation discretisation;
    ssde_grid grid;
    double rho; /* of SSDE_GRID_KARRAS; 0: 7 */
    /* [steps + 1], strictly decreasing in [0, 1], instead of grid and eps; times[0] = 1 unless given_start. NULL: grid.
       With it, steps must be given; 0 is a run of one evaluation, which denoises x(times[0]). Steps that end beyond
       ssde_prior_time, where no signal is, fall away unless the run begins there; a tabulated SDE with m(1) = 0 wants
       the latter of a run from 1. At times[steps] = 0 with std(0) = 0 the last step denoises, and nothing is evaluated
       there: steps of two evaluations take the first alone, noise is left out unless skip_denoise is set, and what
       needs a score there is refused (adaptive, a corrector after the predictor or without one) */
    const double *times;
    /* [steps], with times: step k leads from times[k] to ends[k], between times[k + 1] and times[k], and the next step
       takes its x for one at times[k + 1]: of samplers whose steps are of one length wherever their times lie, as
       diffusers' DDIM. NULL: times[k + 1]. Not with what knows no step but from time to time: brownian, resamplings,
       adaptive, multistep */
    const double *ends;
    const double *schedule; /* [steps], of ddpm: beta_1 first; of smld: sigmas within the SDE's, largest first. NULL:
                               the SDE's own. With it, steps must be given */
    double step_size;       /* of smld: epsilon, the step at sigma_i being epsilon sigma_i^2 / (2 sigma_L^2); 0: 0.2
                               sigma_L^2, which at sigma_L = 0.01 is the paper's 2e-5 */
    double eta; /* ddim, dpm_solver_*: noise from none (0) to the reverse SDE's (1); dpm_solver_2m_sde takes 0 as 1 */
    ssde_variance variance;                  /* of ddim with eta 1 */
    double s_churn, s_tmin, s_tmax, s_noise; /* heun, and ddim with eta 0: Karras et al.'s, s_tmin and s_tmax in s; 0 is
                                                no churn, no lower end, no upper end, and 1. Noise is never raised above
                                                s(1) */
    /* ddim: churn as in diffusers, which the model does not see: it is asked before the noise, at s, and what it says,
       this output of a network, is taken for that at s_hat. Has no bound. Without it the model is asked at s_hat. */
    ssde_parameterisation churn_unseen;
    double sigma_data; /* of churn_unseen's _EDM */
    ssde_multistep multistep;
    ssde_pndm pndm;
    double rtol, atol;      /* adaptive; 0: 0.05 and 0.0078, which is one level of 8-bit images in [-1, 1] */
    size_t max_evaluations; /* adaptive, per sample, 0: 10,000; SSDE_ERROR_LIMIT where they do not suffice: x is NaN */
    /* The predictor's noise over [t_next, t] is that of ssde_brownian, (W(t) - W(t_next)) / sqrt(t - t_next) for z, so
       that runs of different steps follow the same path and come together as steps grow. W runs in the SDE's own time,
       so that g(t) dW is the noise of eq. 6; a z that a solver weights by its exact integral of g dW keeps its
       variance, and differs from that integral by an order less than the increment. Some 24 draws per element and step.
       Not on the reference's and the discrete grid. A run whose predictor draws no noise asks for no path. */
    int brownian;
    ssde_condition condition;
    /* RePaint (Lugmayr et al. 2022, arXiv 2201.09865): every `jump` steps x is noised back to where they began, and
       they are taken again, `resamplings` times in all, so that what is unknown fits what is known. 0: 1 each. Visit v
       of step k draws as step v * steps + k. The trajectory sees every visit. Not for samplers without fresh noise,
       with `brownian`, adaptive, or by index. */
    size_t resamplings, jump;
    ssde_noise_source noise;         /* instead of the library's draws: (SSDE_STREAM_PRIOR, 0), (SSDE_STREAM_PREDICTOR,
                                        step), (SSDE_STREAM_CORRECTOR, step * corrector_steps + j) and
                                        (SSDE_STREAM_CONDITION, number of updates so far): always 0 where neither
                                        predictor nor corrector draws, the predictor remembers steps or is adaptive;
                                        smld: (SSDE_STREAM_PREDICTOR, step * corrector_steps + j) */
    ssde_progress_function progress; /* after every step */
    ssde_trajectory_function trajectory; /* may be NULL, as all pointers here */
    void *user;                          /* first argument of both */
    ssde_sample_report *report;
    ssde_context *context;
} ssde_sampler_desc;
ssde_sampler_desc ssde_sampler_defaults(void);

/* Draws n samples into x[n, model->dim]. */
ssde_status ssde_sample(const ssde_sde *sde, const ssde_score_model *model, const ssde_sampler_desc *how, ssde_rng *rng,
                        size_t n, float *x);
/* Bytes that it will take, beside the model's own; 0 if the arguments are invalid. */
size_t ssde_sample_memory(const ssde_sde *sde, const ssde_score_model *model, const ssde_sampler_desc *how, size_t n);

/* Single updates, for a driver of one's own: score and z [rows, dim] are given, t and t_next [rows] with t_next < t.
   mean is the update without noise (may be NULL), x_next that plus noise; x_next may be x. From `how` come predictor,
   probability_flow, discretisation, eta, schedule, step_size and context; under SSDE_GRID_REFERENCE and
   SSDE_GRID_DISCRETE t_next is ignored, steps counts, and a t between levels has the index that ssde_discretise gives
   it. Predictors of one evaluation without history only. */
ssde_status ssde_predictor_step(const ssde_sde *sde, const ssde_sampler_desc *how, const float *x, const float *score,
                                const float *z, const double *t, const double *t_next, size_t rows, size_t dim,
                                float *x_next, float *mean);
/* Clips score [rows, dim] in place, for those that follow: single updates take scores as they come. From `how`: clip,
   context; and under SSDE_GRID_DISCRETE steps, and schedule with ddpm. */
ssde_status ssde_clip_score(const ssde_sde *sde, const ssde_sampler_desc *how, const float *x, const double *t,
                            size_t rows, size_t dim, float *score);
/* From `how`: corrector, snr, context; and under SSDE_GRID_REFERENCE and SSDE_GRID_DISCRETE steps. */
ssde_status ssde_corrector_step(const ssde_sde *sde, const ssde_sampler_desc *how, const float *x, const float *score,
                                const float *z, const double *t, size_t rows, size_t dim, float *x_next, float *mean);

/* "euler_maruyama", "langevin", ...: the names of the enums in lower case; NULL for a value that is none. "euler" finds
   ddim. */
const char *ssde_predictor_name(ssde_predictor predictor);
const char *ssde_corrector_name(ssde_corrector corrector);
ssde_status ssde_predictor_find(ssde_context *context, const char *name, ssde_predictor *predictor);
ssde_status ssde_corrector_find(ssde_context *context, const char *name, ssde_corrector *corrector);

/* >>scheduler
   diffusers' scheduler_config.json as an SDE, a sampler and the meaning of a network's output. Of a folder as diffusers
   publishes them (google/ddpm-cifar10-32, ...):

       ssde_net_load_diffusers(&context, &net, "config.json", "diffusion_pytorch_model.safetensors");
       ssde_scheduler_load(&context, &scheduler, "scheduler_config.json", NULL);
       ssde_score_net_desc meaning = ssde_score_net_defaults();
       meaning.output = scheduler->output, meaning.sigma_data = scheduler->sigma_data, meaning.context = &context;
       ssde_score_net_create(&score_net, net, &scheduler->sde, &meaning);
       model = ssde_score_net_model(score_net);
       ssde_sample(&scheduler->sde, &model, &scheduler->how, &rng, n, x);

   "_class_name" decides: DDPM-, DDIM-, PNDM-, EulerDiscrete-, EulerAncestralDiscrete-, HeunDiscrete-,
   DPMSolverMultistep-, UniPCMultistep-, EDMEuler-, EDMDPMSolverMultistep-, FlowMatchEulerDiscrete-, ScoreSdeVe- or
   ScoreSdeVpScheduler. Every key that this class reads acts, and a missing one is its default; those of other classes
   do nothing, as there; any other, and a value that cannot be honoured, is SSDE_ERROR_UNSUPPORTED and named. So are
   runs that end there in NaN or outside of a table; but EDMDPMSolverMultistepScheduler's last step to a sigma_min where
   it is, NaN there or not as floats fall, has no length. Where sigma is large, what a noise prediction says of x(0) is
   known to 1e-7 sigma, here and there.

   A run is a tabulated SDE through its own noise levels, rounded to float as there, whose labels are the timesteps that
   the network is told, and a sampler whose times are those levels; the prior's draws are diffusers' noise times
   init_noise_sigma. x is that of the model's own space: m^2 + std^2 = 1 for all that is trained with betas. x of
   EulerDiscrete-, EulerAncestralDiscrete- and HeunDiscreteScheduler is x / m there, m = 1 / sqrt(sigma^2 + 1); without
   a sigma left both are the same. DDPM is ddim with eta 1, Euler is ddim, Euler ancestral ddim with eta 1. The two
   ScoreSde are ssde_ve and ssde_vp on the reference's grid, Langevin's steps by the batch. Trajectories have one x per
   timestep: PNDM's and Heun's intermediate x are not samples.

   Where diffusers is wrong, this is right, unless `follow` is set:
     - DDIM, PNDM: a step goes to the next timestep; there by 1000 / steps, rounded down, whatever the spacing, and the
       next one takes it for its own.
     - PNDM of v_prediction: noises are summed, which makes it of order 2; there v's are, of order 1.
     - DDPM: the last step has no noise; there fixed_large has, and learned_range, unless the last timestep is 0.
     - s_churn: the model sees the x that was churned, at its noise; there x and the timestep from before.
     - DPM-Solver of order 3, sde-dpmsolver++: the third term is that of the limit of short steps, and vanishes in it.
     - Euler, log_linear: `steps` levels and then the final one, and the timesteps of those levels; there one level
       more, of which the last is never left, and timesteps of another spacing.
     - Heun: a first step from sigma above 10,000, where m is below 1e-4, is of one evaluation; Heun's multiplies what D
       changes by as much as sigma falls, and is not followed but refused.
     - EDMEuler: sigmas given are sigmas; there the places of a Karras or exponential grid in [0, 1]. */

typedef struct ssde_scheduler_desc {
    size_t steps;                            /* num_inference_steps; 0: 50; DDPM-, ScoreSde*: num_train_timesteps */
    double eta;                              /* DDIM-; 0 to 1 */
    int clipped_eps;                         /* DDIM-: use_clipped_model_output */
    double s_churn, s_tmin, s_tmax, s_noise; /* EulerDiscrete-, EDMEuler-: as in ssde_sampler_desc */
    /* [steps], falling: instead of the spacing; whole numbers but for EulerDiscrete-, EulerAncestralDiscrete-,
       HeunDiscrete- and FlowMatchEulerDiscrete-. Not of PNDM-, EDM*, ScoreSde* and where levels are Karras' or
       exponential */
    const double *timesteps;
    /* [steps + 1], falling: std / m, of flows std, instead of the spacing; flows shift them, as there, but for the
       last, where the run ends, mostly 0. Not of DDPM-, DDIM-, PNDM- and ScoreSde*; of HeunDiscrete-,
       DPMSolverMultistep- and UniPCMultistepScheduler not where levels are Karras', exponential or Lu's */
    const double *sigmas;
    double mu;  /* of use_dynamic_shifting, which needs it: the logarithm of the shift (exponential), or it (linear) */
    int follow; /* also what is wrong in diffusers, see above */
} ssde_scheduler_desc;
ssde_scheduler_desc ssde_scheduler_defaults(void);

typedef struct ssde_scheduler {
    ssde_sde sde;
    ssde_sampler_desc how;        /* of this context, to which conditions, callbacks, noise, ... are added */
    ssde_parameterisation output; /* of ssde_score_net_desc, likewise */
    double sigma_data;            /* of SSDE_PREDICT_EDM, below 0 where the network's sign is the other (EDM's
                                     v_prediction); else 0 */
} ssde_scheduler;

/* desc may be NULL; what it points to is copied. */
ssde_status ssde_scheduler_load(ssde_context *context, ssde_scheduler **scheduler, const char *path,
                                const ssde_scheduler_desc *desc);
/* The same of JSON in memory. */
ssde_status ssde_scheduler_create(ssde_context *context, ssde_scheduler **scheduler, const char *json, size_t size,
                                  const ssde_scheduler_desc *desc);
/* With the tables that sde and how point to. NULL is fine. */
void ssde_scheduler_destroy(ssde_scheduler *scheduler);

/* >>ode
   Dormand and Prince's 5(4) pair with the step rule of SciPy's RK45: 2 + 6 (steps + rejected) evaluations. */

/* dy[rows, dim] at y[rows, dim] and t[rows]; row j belongs to system[j], an index below `systems`. Rows are the systems
   still running. */
typedef ssde_status (*ssde_ode_function)(void *user, const double *y, const double *t, const uint64_t *system,
                                         size_t rows, double *dy);

typedef struct ssde_ode_desc {
    double rtol, atol;       /* a step's error must be below atol + rtol |y|; 0: 1e-5 each. rtol is at least 2.2e-14 */
    const double *atol_each; /* [dim] in place of atol; NULL: atol */
    size_t split;      /* 0: the error is the RMS over all components; k: the greater of the RMS over the first k and
                          that over the others */
    double first_step; /* 0: chosen */
    double max_step;   /* 0: no limit */
    size_t max_evaluations; /* per system; 0: no limit */
    /* Dense output: states [time_count, systems, dim] receives y at these times, which lie between t0 and t1 in the
       order of integration, by the fourth-order interpolant of SciPy's RK45 within each step; it costs no evaluations
       and changes no step. NaN beyond where a system ended. */
    const double *times;
    size_t time_count;
    double *states;
    ssde_progress_function progress; /* done of 1000 parts of the interval */
    void *user;
    ssde_context *context;
} ssde_ode_desc;
ssde_ode_desc ssde_ode_defaults(void);

/* How a system ended. */
typedef struct ssde_ode_report {
    ssde_status status; /* SSDE_ERROR_LIMIT: max_evaluations, or a step below 10 ulp of t; SSDE_ERROR_NUMERIC */
    size_t evaluations;
    size_t steps, rejected;
    double t; /* reached */
} ssde_ode_report;

/* Integrates `systems` independent systems y[systems, dim] from t0 to t1 in place, each with step sizes of its own. A
   system that fails keeps its last accepted state, the others finish, and the lowest one's status is returned.
   reports [systems] may be NULL. */
ssde_status ssde_ode_integrate(const ssde_ode_desc *how, ssde_ode_function function, void *user, size_t systems,
                               size_t dim, double t0, double t1, double *y, ssde_ode_report *reports);
/* The same with one step size for all, as one system of systems * dim components; all reports are equal. */
ssde_status ssde_ode_integrate_batch(const ssde_ode_desc *how, ssde_ode_function function, void *user, size_t systems,
                                     size_t dim, double t0, double t1, double *y, ssde_ode_report *reports);
size_t ssde_ode_memory(const ssde_ode_desc *how, size_t systems, size_t dim, int batch);

/* >>flow
   The probability-flow ODE dx/dt = a(t) x - g(t)^2 s(x, t) / 2 (paper, eq. 13), state in double, scores in float; of a
   nonlinear SDE f(x, t), in float, instead of a x.
   Between ssde_prior_time and 1 it is a change of scale, x / std(t) = constant. */

typedef struct ssde_flow_desc {
    double rtol, atol;        /* 0: 1e-5 */
    double eps;               /* 0 < eps < 1; 0: 1e-3 */
    size_t max_evaluations;   /* per sample, 0: 10,000; SSDE_ERROR_LIMIT where they do not suffice: x is then what it
                                 was at reports[i].t */
    int denoise;              /* when sampling or decoding: finish with Tweedie's formula at eps, as samplers do */
    int given_start;          /* sampling: x holds x(1) when called; otherwise it is drawn from the prior */
    double edit_from;         /* sampling: x holds data when called and begins at this t from m x + std z, as in
                                 ssde_sampler_desc; 0: off */
    double temperature;       /* sampling: factor on the standard deviation of what is drawn; 0: 1 */
    ssde_clip clip;           /* both ways: the same ODE */
    ssde_condition condition; /* known coordinates follow m(t) known + std(t) z from start to end */
    uint64_t seed;            /* encoding and decoding: of z; sampling takes rng's */
    /* Trajectories: states [time_count, n, dim] receives x at these times, as in ssde_ode_desc. */
    const double *times;
    size_t time_count;
    float *states;
    ssde_noise_source noise;         /* (SSDE_STREAM_PRIOR, 0) and (SSDE_STREAM_CONDITION, 0) */
    ssde_progress_function progress; /* done of 1000 parts */
    void *user;
    ssde_context *context;
} ssde_flow_desc;
ssde_flow_desc ssde_flow_defaults(void);

/* Draws n samples into x[n, dim]. reports [n] may be NULL. */
ssde_status ssde_sample_ode(const ssde_sde *sde, const ssde_score_model *model, const ssde_flow_desc *how,
                            ssde_rng *rng, size_t n, float *x, ssde_ode_report *reports);
ssde_status ssde_sample_ode_batch(const ssde_sde *sde, const ssde_score_model *model, const ssde_flow_desc *how,
                                  ssde_rng *rng, size_t n, float *x, ssde_ode_report *reports);
/* x(eps) to its latent code x(1), and back. Row i is sample first_sample + i. latent may be x. Data off the prior at
   t = 1 are logged as by ssde_likelihood. */
ssde_status ssde_encode(const ssde_sde *sde, const ssde_score_model *model, const ssde_flow_desc *how,
                        uint64_t first_sample, size_t n, const float *x, float *latent, ssde_ode_report *reports);
ssde_status ssde_decode(const ssde_sde *sde, const ssde_score_model *model, const ssde_flow_desc *how,
                        uint64_t first_sample, size_t n, const float *latent, float *x, ssde_ode_report *reports);
/* Of ssde_sample_ode, ssde_encode and ssde_decode. */
size_t ssde_flow_memory(const ssde_sde *sde, const ssde_score_model *model, const ssde_flow_desc *how, size_t n,
                        int batch);

/* Between latent codes a and b [rows, dim]: out [rows, dim] lies on the great circle through both, `weight` of the way
   from a (0) to b (1), its length between theirs likewise, so that it is as likely under the prior as they are. The
   shorter arc; where a and b point in opposite directions, through the coordinate axis that is most at right angles to
   a; straight, where one of them is zero, or in one dimension. out may be a or b. SSDE_ERROR_NUMERIC beyond float. */
ssde_status ssde_interpolate(ssde_context *context, const float *a, const float *b, double weight, size_t rows,
                             size_t dim, float *out);

/* >>likelihood
   log p_eps(x) = log prior(x(1)) + integral of div(drift) from eps to 1 (paper, eq. 39). The divergence of the score is
   estimated by v^T (ds/dx) v with probes v held fixed for the whole solve (Hutchinson), or taken exactly. A model
   without vjp is differentiated by central differences along v; results say so, and the context's log does once. The
   drift of a nonlinear SDE has its divergence taken by the same vectors; without drift_vjp, both by differences.
   Where p_1 of x is more than 0.01 bits per dimension off the prior, the log says so: log-densities are off by that. */

typedef enum ssde_trace {
    SSDE_TRACE_RADEMACHER, /* v of random signs */
    SSDE_TRACE_GAUSSIAN,
    SSDE_TRACE_EXACT /* dim vector products per evaluation: for small dimensions */
} ssde_trace;

typedef struct ssde_likelihood_desc {
    double eps;              /* 1e-5: at 1e-3 the density is visibly that of a smoothed distribution */
    double rtol, atol;       /* 1e-5 */
    double log_density_atol; /* atol of the log-density, in nats; 0: atol * dim. Its error is held apart from x's, which
                                in high dimension would otherwise hide it */
    int joint_error;         /* one RMS over x and log-density with atol for both, as the reference */
    ssde_trace trace;
    size_t probes; /* 1; each evaluation is one score and `probes` vector products */
    double levels; /* 0: x is real. Else x holds integers 0 ... levels-1, dequantised to [low, high) */
    double low, high;
    float *latent;                   /* [n, dim]: receives x(1); may be NULL */
    size_t max_evaluations;          /* per sample; 0: 10,000 */
    ssde_noise_source noise;         /* (SSDE_STREAM_PROBE, probe): used as they come, so of signs for Rademacher */
    ssde_progress_function progress; /* done of 1000 parts */
    void *user;
    ssde_context *context;
} ssde_likelihood_desc;
ssde_likelihood_desc ssde_likelihood_defaults(void);

typedef struct ssde_likelihood_result {
    ssde_status status;
    double log_density;    /* nats, of the (dequantised) x; all NaN where status is not SSDE_OK */
    double bits_per_dim;   /* -log2 of the probability of the integers (levels), or of the density, per dimension */
    double standard_error; /* of log_density over probes; 0 with the exact trace, NaN with a single probe */
    size_t evaluations;
    int approximate; /* by central differences */
} ssde_likelihood_result;

/* Prices x[n, dim]; results [n]. SSDE_ERROR_NUMERIC where std(1) is above 9e18, for 1 / std^2 is then no float. Row i
   is sample rng->next_sample + i, whose draws are the dequantisation's and the probes'. */
ssde_status ssde_likelihood(const ssde_sde *sde, const ssde_score_model *model, const ssde_likelihood_desc *how,
                            ssde_rng *rng, size_t n, const float *x, ssde_likelihood_result *results);
/* One step size for the whole batch. */
ssde_status ssde_likelihood_batch(const ssde_sde *sde, const ssde_score_model *model, const ssde_likelihood_desc *how,
                                  ssde_rng *rng, size_t n, const float *x, ssde_likelihood_result *results);
size_t ssde_likelihood_memory(const ssde_sde *sde, const ssde_score_model *model, const ssde_likelihood_desc *how,
                              size_t n, int batch);

/* Means over the results whose status is SSDE_OK, with standard errors over them (NaN for fewer than two). */
typedef struct ssde_likelihood_summary {
    size_t count, failed;
    double log_density, log_density_error;
    double bits_per_dim, bits_per_dim_error;
    double evaluations;
} ssde_likelihood_summary;
ssde_likelihood_summary ssde_likelihood_summarise(const ssde_likelihood_result *results, size_t n);

/* >>distance
   How far samples are from a model, and a model from another, by scores alone: no density, no network that judges. */

/* Kernel Stein discrepancy (Liu et al. 2016, arXiv 1602.03253; Chwialkowski et al. 2016, arXiv 1602.02964) of samples x
   from the density whose score s at t the model gives:

       D^2 = E u(x, y),  u = s(x)^T s(y) k + (s(x) - s(y))^T (x - y) k^3 / length^2
                             + (dim - 3 k^2 |x - y|^2 / length^2) k^3 / length^2

   over independent samples x and y, with the inverse multiquadric kernel k = (1 + |x - y|^2 / length^2)^(-1/2) of
   Gorham and Mackey (2017, arXiv 1703.01717). It is 0 if and only if the samples are the model's. Scores are local:
   modes far apart whose shares are wrong hardly show. Squared scores' unit; numbers of the same t and length compare.
 */
typedef struct ssde_stein_desc {
    double t;         /* in (0, 1]; x are draws of p_t under the hypothesis, or of p_0 if std(t) is too small to matter;
                         0: 1e-3 */
    double length;    /* 0: sqrt(dim), for data with a standard deviation of about 1 */
    size_t bootstrap; /* how many draws p_value is made of (200, say); 0: none */
    ssde_context *context;
} ssde_stein_desc;
ssde_stein_desc ssde_stein_defaults(void);

typedef struct ssde_stein_result {
    double squared;        /* D^2, the mean of u over all pairs of unlike samples: unbiased, and so around 0, often
                              below, where x are the model's */
    double standard_error; /* of that, by the jackknife; where x are the model's, it is about sqrt(2) too large, and
                              `squared` is no normal number: ask p_value. NaN for n = 2 */
    double root;    /* of the mean over all n^2 pairs, which is never below 0: the distance of these points themselves.
                       Of the model's draws it falls like 1 / sqrt(n) */
    double p_value; /* the share of draws of sum_ij e_i e_j u_ij with random signs e (a wild bootstrap,
                       SSDE_STREAM_BOOTSTRAP) that reach `squared`, at least 1 / (bootstrap + 1): a test whether
                       independent samples are the model's. NaN without bootstrap */
} ssde_stein_result;

/* x [n, model->dim], n at least 2, row i being sample rng->next_sample + i. Sums are in double; n^2 / 2 (dim +
   bootstrap) steps, about a nanosecond each. Threads share them. */
ssde_status ssde_stein_discrepancy(const ssde_score_model *model, const ssde_stein_desc *how, ssde_rng *rng, size_t n,
                                   const float *x, ssde_stein_result *result);
size_t ssde_stein_memory(const ssde_score_model *model, const ssde_stein_desc *how, size_t n);

/* Fisher divergence of score model b from a, a learned one and an exact one for example, over samples of p_t. */
typedef struct ssde_fisher_desc {
    double t;      /* in (0, 1]; 0: each sample has its own, spread evenly over eps to ssde_prior_time: its number times
                      the golden ratio, modulo 1, from a start drawn under (SSDE_STREAM_TIME, 0, 0) */
    double eps;    /* 0: 1e-3 */
    int perturbed; /* x holds x(t); otherwise data x(0), which z of (SSDE_STREAM_NOISE, 0) perturbs */
    ssde_noise_source noise;
    ssde_context *context;
} ssde_fisher_desc;
ssde_fisher_desc ssde_fisher_defaults(void);

/* Means over the samples, each with its standard error (NaN for a single sample; with t = 0 somewhat too large, for
   times are spread more evenly than random ones). */
typedef struct ssde_fisher_result {
    double divergence, divergence_error; /* E |a - b|^2, without a factor of 1/2 */
    double loss, loss_error;             /* E std^2 |a - b|^2 / dim: by so much is a's denoising loss of weight std^2,
                                            mean over dimensions, above that of the exact score b; NaN for an SDE that has
                                            no std, x perturbed */
    double nats, nats_error;             /* E g^2 |a - b|^2 / 2, with t = 0 integrated over t. With that, the prior's
                                            mismatch aside, it bounds KL(p_eps | what the reverse SDE with a draws), b
                                            exact (Song et al. 2021, arXiv 2101.09258) */
} ssde_fisher_result;

/* Row i of x [n, dim] is sample rng->next_sample + i. */
ssde_status ssde_fisher_divergence(const ssde_sde *sde, const ssde_score_model *a, const ssde_score_model *b,
                                   const ssde_fisher_desc *how, ssde_rng *rng, size_t n, const float *x,
                                   ssde_fisher_result *result);
size_t ssde_fisher_memory(const ssde_sde *sde, const ssde_score_model *a, const ssde_score_model *b,
                          const ssde_fisher_desc *how, size_t n);

#ifdef __cplusplus
}
#endif
#endif /* SCORESDE_SOLVERS_H */

/* >>implementation */
#if (defined(SCORESDE_IMPLEMENTATION) || defined(SCORESDE_SOLVERS_IMPLEMENTATION)) && \
    !defined(SCORESDE_SOLVERS_IMPLEMENTED)
#define SCORESDE_SOLVERS_IMPLEMENTED
#define SSDEI_MACROS 1
#include "scoresde.h"

#ifdef __cplusplus
extern "C" {
#endif
SSDEI_BEGIN

/* ---- checks that every solver makes ---- */

SSDEI_ONCE_BEGIN

/* What an object, or a call, asks of the allocator; 0 where that overflows. */
static size_t ssdei_object_memory(void *object, size_t size, ssdei_arrays arrays) {
    size_t bytes = ssdei_object_bytes(object, size, arrays);
    return bytes < SIZE_MAX ? bytes : 0;
}

static ssde_status ssdei_check_samples(ssde_context *context, const ssde_score_model *model, uint64_t first_sample,
                                       size_t n, const void *x) {
    if (context) context->error[0] = 0; /* a model that fails without a text gets one */
    ssdei_try(ssdei_check_arithmetic(context));
    if (!model) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "model is NULL");
    if (!model->score) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "model->score is NULL");
    if (((uint64_t)model->dim - 1) >> 32)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "model->dim is %.0f, wanted 1 to 2^32", (double)model->dim);
    if (!n) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "n is 0, wanted at least one sample");
    if (!x) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "x is NULL");
    if (ssdei_multiply(ssdei_multiply(n, model->dim), sizeof(double)) == SIZE_MAX)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "n * dim = %.0f * %.0f is more than memory can hold", (double)n,
                         (double)model->dim);
    if (((uint64_t)n - 1) >> 48 || first_sample > ((uint64_t)1 << 48) - (uint64_t)n)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "samples %.0f to %.0f, wanted below 2^48", (double)first_sample,
                         (double)first_sample + (double)n - 1.0);
    return SSDE_OK;
}

static ssde_status ssdei_check_run(ssde_context *context, const ssde_sde *sde, const ssde_score_model *model,
                                   uint64_t first_sample, size_t n, const void *x) {
    ssdei_try(ssdei_check_samples(context, model, first_sample, n, x));
    if (!sde) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "sde is NULL");
    return ssde_sde_check(context, sde);
}

static ssde_status ssdei_check_eps(ssde_context *context, double eps) {
    if (eps > 0.0 && eps < 1.0) return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_ARGUMENT, "eps is %.17g, wanted between 0 and 1, both excluded", eps);
}

/* The same of a grid, whose end may be 0. */
static ssde_status ssdei_check_last(ssde_context *context, double eps) {
    if (eps >= 0.0 && eps < 1.0) return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_ARGUMENT, "eps is %.17g, wanted 0 or above, below 1", eps);
}

/* 0 stands for the default; NaN and negative numbers for mistakes. */
static ssde_status ssdei_check_positive(ssde_context *context, const char *name, double *value, double standard) {
    if (!(*value >= 0.0 && *value <= DBL_MAX)) {
        if (standard > 0.0 && standard < DBL_MAX)
            return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s is %g, wanted a finite number above 0, or 0 for %g",
                             name, *value, standard);
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s is %g, wanted a finite number, 0 or above%s", name, *value,
                         standard > 0.0 ? ", where 0 is no limit" : "");
    }
    if (*value == 0.0) *value = standard;
    return SSDE_OK;
}

static ssde_status ssdei_check_finite(ssde_context *context, const char *name, const float *x, size_t n, size_t dim) {
    size_t at = ssdei_first_nonfinite(x, n * dim);
    if (at == n * dim) return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_NUMERIC, "%s[%lu][%lu] is %g, wanted a finite number", name,
                     (unsigned long)(at / dim), (unsigned long)(at % dim), (double)x[at]);
}

/* out[rows, dim] = score at (x, t), or with `denoised` what the model denoises there, in calls of at most max_rows; and
   in told, unless it is NULL, the model's `variance`. */
static ssde_status ssdei_score_and(ssde_context *context, const ssde_score_model *model, const float *x,
                                   const double *t, const uint64_t *sample, size_t rows, int denoised, float *out,
                                   float *told) {
    size_t most = model->max_rows ? model->max_rows : rows, at;
    for (at = 0; at < rows; at += most) {
        size_t count = rows - at < most ? rows - at : most, place = at * model->dim;
        ssdei_try(ssdei_called(context, "model->score",
                               model->score(model->user, x + place, t + at, sample + at, count, 0, out + place),
                               t + at));
        if (told)
            ssdei_try(
                ssdei_called(context, "model->variance", model->variance(model->user, count, told + place), t + at));
        if (denoised)
            ssdei_try(
                ssdei_called(context, "model->denoised", model->denoised(model->user, count, out + place), t + at));
    }
    return SSDE_OK;
}

static ssde_status ssdei_score(ssde_context *context, const ssde_score_model *model, const float *x, const double *t,
                               const uint64_t *sample, size_t rows, float *out) {
    return ssdei_score_and(context, model, x, t, sample, rows, 0, out, NULL);
}

/* Rows worked on at a time: about `floats` numbers, whole batches of the model, and no fewer than it can use. */
static size_t ssdei_block_rows(const ssde_score_model *model, size_t floats, size_t n) {
    size_t most = model->max_rows ? model->max_rows : 64, rows = floats / model->dim;
    if (most > n) return n;
    rows = rows < most ? most : rows / most * most;
    return rows < n ? rows : n;
}

/* ---- >>grid ---- */

static int ssdei_by_index(ssde_grid grid) { return grid == SSDE_GRID_REFERENCE || grid == SSDE_GRID_DISCRETE; }

/* The grids that need no SDE, from `start` instead of 1. */
static ssde_status ssdei_time_grid(ssde_context *context, ssde_grid grid, double start, double eps, size_t steps,
                                   double *times) {
    size_t k, last = ssdei_by_index(grid) ? steps - 1 : steps;
    double end = grid == SSDE_GRID_DISCRETE ? 0.0 : eps;
    ssdei_try(ssdei_check_last(context, eps));
    if (!steps || !times)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s", steps ? "times is NULL" : "steps is 0, wanted at least 1");
    if (!ssdei_by_index(grid) && grid != SSDE_GRID_UNIFORM && grid != SSDE_GRID_QUADRATIC)
        return ssde_fail(
            context, SSDE_ERROR_ARGUMENT,
            "grid is %d, wanted uniform, reference, discrete or quadratic; ssde_sde_time_grid takes others", (int)grid);
    for (k = 0; k < last; k++) {
        double part = (double)k / (double)last, root = sqrt(start) - (sqrt(start) - sqrt(end)) * part;
        times[k] = grid == SSDE_GRID_QUADRATIC && k ? root * root : start - (start - end) * part;
    }
    times[last] = last ? end : start;
    times[steps] = grid == SSDE_GRID_DISCRETE ? times[last] : eps;
    for (k = 1; k <= last; k++) {
        if (times[k] < times[k - 1]) continue;
        return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                         "steps is %lu: times %lu and %lu of the grid from %g to eps = %g are too close to tell apart",
                         (unsigned long)steps, (unsigned long)k - 1, (unsigned long)k, start, end);
    }
    return SSDE_OK;
}

ssde_status ssde_time_grid(ssde_context *context, ssde_grid grid, double eps, size_t steps, double *times) {
    return ssdei_time_grid(context, grid, 1.0, eps, steps, times);
}

/* ssde_prior_time of a run that ends at eps. */
static ssde_status ssdei_start_time(ssde_context *context, const ssde_sde *sde, double eps, double *start,
                                    double *scale) {
    ssdei_try(ssdei_check_last(context, eps));
    ssdei_try(ssde_prior_time(context, sde, start, scale));
    if (eps < *start) return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                     "the last time, eps, is %g, wanted below %g, from where on m is below 1e-4 min(1, std): no signal",
                     eps, *start);
}

/* std(t) / std(start) for a t beyond the prior's time, where x only changes its scale; 1 before it. */
static double ssdei_spread(const ssde_sde *sde, double start, double scale, double t) {
    double mean, from, std;
    if (t <= start) return 1.0;
    if (t < 1.0 && !ssdei_marginal(NULL, sde, start, &mean, &from) && !ssdei_marginal(NULL, sde, t, &mean, &std))
        return std / from;
    return 1.0 / scale;
}

/* From `from` on, or from 1 by index, of a checked SDE. */
static ssde_status ssdei_sde_time_grid(ssde_context *context, const ssde_sde *sde, ssde_grid grid, double rho,
                                       double from, double eps, size_t steps, double *times) {
    double start, scale, first, last;
    size_t k;
    if (ssdei_by_index(grid)) return ssde_time_grid(context, grid, eps, steps, times);
    ssdei_try(ssdei_start_time(context, sde, eps, &start, &scale));
    start = fmin(start, from);
    if (grid != SSDE_GRID_LOG_SNR && grid != SSDE_GRID_KARRAS)
        return ssdei_time_grid(context, grid, start, eps, steps, times);
    ssdei_try(ssdei_check_positive(context, "rho", &rho, 7.0));
    ssdei_try(ssdei_time_grid(context, SSDE_GRID_UNIFORM, start, eps, steps, times));
    ssdei_try(ssdei_noise_level(context, sde, start, &first));
    ssdei_try(ssdei_noise_level(context, sde, eps, &last));
    if (!(last > 0.0 && last < first))
        return ssde_fail(context, SSDE_ERROR_NUMERIC,
                         "sde: std / m is %g at t = %g and %g at eps = %g, wanted above 0 and falling", first, start,
                         last, eps);
    for (k = 1; k < steps; k++) {
        double part = (double)k / (double)steps;
        double noise =
            grid == SSDE_GRID_LOG_SNR
                ? first * ssdei_math_pow(last / first, part)
                : ssdei_math_pow(
                      (1.0 - part) * ssdei_math_pow(first, 1.0 / rho) + part * ssdei_math_pow(last, 1.0 / rho), rho);
        ssdei_try(ssdei_noise_time(context, sde, noise, start, &times[k]));
        if (!(times[k] < times[k - 1] && times[k] > eps))
            return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                             "steps is %lu: times %lu and %lu of the grid, at std / m near %g, are too close to tell "
                             "apart",
                             (unsigned long)steps, (unsigned long)k - 1, (unsigned long)k, noise);
    }
    return SSDE_OK;
}

ssde_status ssde_sde_time_grid(ssde_context *context, const ssde_sde *sde, ssde_grid grid, double rho, double eps,
                               size_t steps, double *times) {
    ssdei_try(ssde_sde_check(context, sde));
    return ssdei_sde_time_grid(context, sde, grid, rho, 1.0, eps, steps, times);
}

SSDEI_ONCE_END

/* ---- >>path ---- */

enum { SSDEI_PATH_LEVELS = 24 };

static const double ssdei_path_step = 1.0 / (double)(1 << SSDEI_PATH_LEVELS);

/* The multiple of 2^-24 that stands for t on a path. */
static uint32_t ssdei_path_place(double t) { return (uint32_t)(t * (double)(1 << SSDEI_PATH_LEVELS) + 0.5); }

/* The sum over levels of hat functions, each of the interval that holds the place and of height sqrt(its width) / 2,
   times the normal of that interval's midpoint. A place that is an endpoint on some level is one on all below, where
   hats vanish. */
static ssde_status ssdei_path_rows(ssde_context *context, const ssde_noise_source *source, uint64_t seed,
                                   uint32_t place, const uint64_t *sample, size_t rows, size_t dim, float *work,
                                   float *out) {
    size_t i, count = rows * dim;
    int level;
    float factor = (float)ldexp((double)place, -SSDEI_PATH_LEVELS);
    ssdei_try(ssdei_draw_normal(context, source, seed, SSDE_STREAM_BROWNIAN, 0, sample, rows, dim, work));
    for (i = 0; i < count; i++) out[i] = factor * work[i];
    for (level = 0; level < SSDEI_PATH_LEVELS; level++) {
        int below = SSDEI_PATH_LEVELS - level;
        uint32_t interval = place >> below, rest = place - (interval << below), middle = (uint32_t)1 << (below - 1);
        double height = rest < middle ? (double)rest / middle : 2.0 - (double)rest / middle;
        if (!rest) return SSDE_OK;
        ssdei_try(ssdei_draw_normal(context, source, seed, SSDE_STREAM_BROWNIAN, ((uint32_t)1 << level) + interval,
                                    sample, rows, dim, work));
        factor = (float)(height * 0.5 * sqrt(ldexp(1.0, -level)));
        for (i = 0; i < count; i++) out[i] += factor * work[i];
    }
    return SSDE_OK;
}

ssde_status ssde_brownian(ssde_context *context, const ssde_noise_source *source, uint64_t seed, const double *t,
                          const uint64_t *sample, size_t rows, size_t dim, float *work, float *out) {
    ssde_noise_source own = {NULL, NULL};
    size_t r, end;
    if (!t || !sample || !work || !out)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "ssde_brownian: %s is NULL",
                         !t        ? "t"
                         : !sample ? "sample"
                         : !work   ? "work"
                                   : "out");
    for (r = 0; r < rows; r = end) {
        if (!(t[r] >= 0.0 && t[r] <= 1.0))
            return ssde_fail(context, SSDE_ERROR_ARGUMENT, "ssde_brownian: t[%lu] is %.17g, wanted 0 to 1",
                             (unsigned long)r, t[r]);
        for (end = r + 1; end < rows && t[end] == t[r];) end++;
        ssdei_try(ssdei_path_rows(context, source ? source : &own, seed, ssdei_path_place(t[r]), sample + r, end - r,
                                  dim, work, out + r * dim));
    }
    return SSDE_OK;
}

SSDEI_ONCE_BEGIN

/* ---- >>condition ----
   How to add a condition: a value in ssde_condition_kind, its fields and constructor, and a line in
   ssdei_condition_kinds with its check and what it does: `place` puts the known coordinates of x where they belong,
   `term` adds to the score. */

static ssde_condition ssdei_condition(ssde_condition_kind kind) {
    ssde_condition condition;
    memset(&condition, 0, sizeof condition);
    condition.kind = kind;
    condition.scale = 1.0;
    return condition;
}

ssde_condition ssde_inpaint(const float *known, const float *mask) {
    ssde_condition condition = ssdei_condition(SSDE_CONDITION_INPAINT);
    condition.known = known;
    condition.mask = mask;
    return condition;
}

ssde_condition ssde_inpaint_shared(const float *known, const float *mask) {
    ssde_condition condition = ssde_inpaint(known, mask);
    condition.shared = 1;
    return condition;
}

ssde_condition ssde_colourise(const float *grey) {
    ssde_condition condition = ssdei_condition(SSDE_CONDITION_COLOURISE);
    condition.known = grey;
    return condition;
}

ssde_condition ssde_measure(ssde_linear_function forward, ssde_linear_function transpose, void *user, const float *y,
                            size_t size, double noise) {
    ssde_condition condition = ssdei_condition(noise == 0.0 ? SSDE_CONDITION_MEASURE : SSDE_CONDITION_MEASURE_NOISY);
    condition.forward = forward;
    condition.transpose = transpose;
    condition.user = user;
    condition.known = y;
    condition.size = size;
    condition.noise = noise;
    return condition;
}

ssde_condition ssde_guide(ssde_guidance_function guidance, void *user, double scale) {
    ssde_condition condition = ssdei_condition(SSDE_CONDITION_GUIDE);
    condition.guidance = guidance;
    condition.user = user;
    condition.scale = scale;
    return condition;
}

ssde_condition ssde_measure_pigdm(ssde_linear_function forward, ssde_linear_function transpose, void *user,
                                  const float *y, size_t size, double noise, double data_std) {
    ssde_condition condition = ssde_measure(forward, transpose, user, y, size, noise);
    condition.kind = SSDE_CONDITION_MEASURE_GUIDE;
    condition.data_std = data_std;
    return condition;
}

ssde_condition ssde_measure_dps(ssde_linear_function forward, ssde_linear_function transpose, void *user,
                                const float *y, size_t size, double noise) {
    return ssde_measure_pigdm(forward, transpose, user, y, size, noise, 0.0);
}

/* A row's (gain A^T A + ridge) d = A^T e, with e in units of its own length. */
typedef struct ssdei_system {
    double gain, ridge;
    double unit;           /* |e| */
    double square, enough; /* |slope|^2, and where d is good */
    double length;         /* of the direction */
    double reach;          /* the greatest |A v|^2 (covariance: |A^T e|^2 / |e|^2) so far, |v| = 1 */
    double size;           /* covariance: of gain A K A^T + ridge, about */
} ssdei_system;

/* What conditions need while rows are worked on. */
typedef struct ssdei_conditions {
    ssde_context *context;
    const ssde_condition *chain;       /* NULL: none of the kind that is wanted */
    int term;                          /* that kind: terms of the score, or known coordinates */
    uint64_t first_sample;             /* row 0 of the conditions' arrays */
    size_t n, dim, size;               /* rows of those arrays; the largest measurement */
    size_t rows;                       /* of one call, at most */
    double *mean, *std;                /* [rows]: m(t) and std(t) of the rows in hand */
    uint64_t *sample;                  /* [rows] */
    ssdei_system *system;              /* [rows] */
    float *image, *direction, *slope;  /* [rows, dim]: d, and A^T residual - ridge d */
    float *residual, *product, *along; /* [rows, size]: e - gain A d, A direction; of the covariance's solver */
} ssdei_conditions;

static const float *ssdei_condition_known(const ssdei_conditions *w, const ssde_condition *condition, uint64_t sample,
                                          size_t width) {
    return condition->known + (condition->shared ? 0 : (size_t)(sample - w->first_sample) * width);
}

static ssde_status ssdei_check_known(ssde_context *context, const ssde_condition *condition, const char *name, size_t n,
                                     size_t width) {
    if (!condition->known) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "condition: %s is NULL", name);
    return ssdei_check_finite(context, name, condition->known, condition->shared ? 1 : n, width);
}

static ssde_status ssdei_inpaint_check(ssde_context *context, const ssde_condition *condition, size_t n, size_t dim) {
    size_t i, count = condition->shared ? dim : n * dim;
    if (!condition->known || !condition->mask)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "inpainting: %s is NULL", condition->known ? "mask" : "known");
    for (i = 0; i < count; i++) {
        const char *name = condition->mask[i] - condition->mask[i] != 0.0f ? "mask" : "known";
        if (condition->mask[i] == 0.0f || condition->mask[i] * 0.0f + condition->known[i] * 0.0f == 0.0f) continue;
        return ssde_fail(context, SSDE_ERROR_NUMERIC, "inpainting: %s[%lu][%lu] is not a finite number", name,
                         (unsigned long)(i / dim), (unsigned long)(i % dim));
    }
    return SSDE_OK;
}

static ssde_status ssdei_colourise_check(ssde_context *context, const ssde_condition *condition, size_t n, size_t dim) {
    if (dim % 3)
        return ssde_fail(context, SSDE_ERROR_SHAPE,
                         "colourisation: model->dim is %.0f, wanted pixels of three channels", (double)dim);
    return ssdei_check_known(context, condition, "grey", n, dim / 3);
}

static ssde_status ssdei_measure_check(ssde_context *context, const ssde_condition *condition, size_t n, size_t dim) {
    (void)dim;
    if (!condition->forward || !condition->transpose)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "measurement: %s is NULL",
                         condition->forward ? "transpose" : "forward");
    if (!condition->size || ssdei_multiply(ssdei_multiply(n, condition->size), sizeof(float)) == SIZE_MAX)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "measurement: size is %.0f, wanted at least 1",
                         (double)condition->size);
    if (!(condition->noise >= 0.0 && condition->noise <= FLT_MAX && condition->data_std >= 0.0 &&
          condition->data_std <= FLT_MAX))
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "measurement: noise is %g and data_std %g, wanted 0 to 3.4e38",
                         condition->noise, condition->data_std);
    if (condition->kind == SSDE_CONDITION_MEASURE && condition->noise != 0.0)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                         "measurement: noise is %g in a condition made without: give it to ssde_measure",
                         condition->noise);
    return ssdei_check_known(context, condition, "y", n, condition->size);
}

static ssde_status ssdei_check_term(ssde_context *context, const ssde_condition *condition) {
    if (!(fabs(condition->scale) <= FLT_MAX))
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "condition: scale is %g, wanted -3.4e38 to 3.4e38",
                         condition->scale);
    if (!(condition->low >= 0.0 && (condition->high == 0.0 || condition->high > condition->low)))
        return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                         "condition: low is %g and high %g, wanted 0 <= low < high, or 0 <= low and high 0",
                         condition->low, condition->high);
    return SSDE_OK;
}

static ssde_status ssdei_guide_check(ssde_context *context, const ssde_condition *condition, size_t n, size_t dim) {
    (void)n, (void)dim;
    if (!condition->guidance) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "condition: guidance is NULL");
    return ssdei_check_term(context, condition);
}

static ssde_status ssdei_measure_term_check(ssde_context *context, const ssde_condition *condition, size_t n,
                                            size_t dim) {
    ssdei_try(ssdei_measure_check(context, condition, n, dim));
    if (condition->kind == SSDE_CONDITION_MEASURE_GUIDE && condition->noise == 0.0 && condition->data_std == 0.0)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                         "measurement: noise is 0, wanted more: diffusion posterior sampling divides by it");
    return ssdei_check_term(context, condition);
}

SSDEI_ONCE_END

/* ---- known coordinates: what they are becomes mean known + std z, row by row; z may be NULL where std is 0 ---- */

SSDEI_ONCE_BEGIN

static ssde_status ssdei_inpaint_place(ssdei_conditions *w, const ssde_condition *condition, const uint64_t *sample,
                                       size_t rows, const float *z, float *x) {
    size_t r, j;
    for (r = 0; r < rows; r++) {
        const float *known = ssdei_condition_known(w, condition, sample[r], w->dim);
        const float *mask = condition->mask + (known - condition->known);
        float mean = (float)w->mean[r], std = (float)w->std[r];
        for (j = 0; j < w->dim; j++) {
            if (mask[j] == 0.0f) continue;
            x[r * w->dim + j] = std != 0.0f ? mean * known[j] + std * z[r * w->dim + j] : mean * known[j];
        }
    }
    return SSDE_OK;
}

/* The coordinate along (1, 1, 1) / sqrt(3) of a pixel is sqrt(3) times its grey; z's first channel is its noise. */
static ssde_status ssdei_colourise_place(ssdei_conditions *w, const ssde_condition *condition, const uint64_t *sample,
                                         size_t rows, const float *z, float *x) {
    size_t r, j, c;
    for (r = 0; r < rows; r++) {
        const float *grey = ssdei_condition_known(w, condition, sample[r], w->dim / 3);
        float mean = (float)w->mean[r], std = (float)(w->std[r] / sqrt(3.0));
        for (j = 0; j < w->dim / 3; j++) {
            float *pixel = x + r * w->dim + 3 * j;
            float away = mean * grey[j] - (pixel[0] + pixel[1] + pixel[2]) / 3.0f;
            if (std != 0.0f) away += std * z[r * w->dim + 3 * j];
            for (c = 0; c < 3; c++) pixel[c] += away;
        }
    }
    return SSDE_OK;
}

SSDEI_ONCE_END

/* ---- measurements ---- */

struct ssde_guided {
    ssdei_conditions conditions;
    ssde_sde sde;
    ssde_score_model model;
    size_t max_rows;
    int differentiate; /* some term needs ds/dx */
    float *score;      /* [max_rows, dim], the model's own */
    float *gradient;   /* [max_rows, dim] */
};

static ssde_status ssdei_measure_call(ssdei_conditions *w, const ssde_condition *condition, int transpose,
                                      const float *in, const uint64_t *sample, size_t rows, float *out) {
    ssde_linear_function function = transpose ? condition->transpose : condition->forward;
    return ssdei_called(w->context, transpose ? "measurement: transpose" : "measurement: forward",
                        function(condition->user, in, sample, rows, out), NULL);
}

/* w->residual = mean y - A from. */
static ssde_status ssdei_measure_residual(ssdei_conditions *w, const ssde_condition *condition, const double *mean,
                                          const float *from, const uint64_t *sample, size_t rows) {
    size_t r, j, size = condition->size;
    ssdei_try(ssdei_measure_call(w, condition, 0, from, sample, rows, w->residual));
    for (r = 0; r < rows; r++) {
        const float *y = ssdei_condition_known(w, condition, sample[r], size);
        float factor = mean ? (float)mean[r] : 1.0f;
        for (j = 0; j < size; j++) w->residual[r * size + j] = factor * y[j] - w->residual[r * size + j];
    }
    return SSDE_OK;
}

/* In eight chains and a rest, always in the same order. */
static double ssdei_dot(const float *a, const float *b, size_t count) {
    double rest = 0.0, sum[8] = {0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0};
    size_t i, j;
    for (i = 0; i + 8 <= count; i += 8) {
        SSDEI_UNROLL for (j = 0; j < 8; j++) sum[j] += (double)a[i + j] * (double)b[i + j];
    }
    for (; i < count; i++) rest += (double)a[i] * (double)b[i];
    return (((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]))) + rest;
}

/* d and residual go along the direction, on which A is w->product. */
static void ssdei_measure_advance(ssdei_conditions *w, size_t r, size_t size) {
    ssdei_system *system = &w->system[r];
    float *d = w->image + r * w->dim, *e = w->residual + r * size;
    const float *p = w->direction + r * w->dim, *product = w->product + r * size;
    double square = ssdei_dot(product, product, size), curvature = system->gain * square + system->ridge, step;
    double along = ssdei_dot(w->slope + r * w->dim, p, w->dim);
    double same = ssdei_dot(e, product, size) - system->ridge * ssdei_dot(d, p, w->dim); /* by A instead of A^T */
    size_t i;
    if (curvature <= 0.0 || fabs(along - same) > 0.5 * fabs(along)) { /* A does not reach what is left, or rounds it */
        system->square = 0.0;
        return;
    }
    step = along / curvature;
    for (i = 0; i < w->dim; i++) d[i] += (float)(step * (double)p[i]);
    for (i = 0; i < size; i++) e[i] -= (float)(step * system->gain * (double)product[i]);
    system->reach = fmax(system->reach, square);
    if (system->ridge > 0.0) return;
    square = ssdei_dot(e, e, size);
    system->enough = square > 1e-12 ? 1e-12 * square * system->reach : DBL_MAX;
}

/* The next direction, of length 1, where w->slope is A^T residual. */
static void ssdei_measure_turn(ssdei_conditions *w, size_t r, int first) {
    ssdei_system *system = &w->system[r];
    float *s = w->slope + r * w->dim, *p = w->direction + r * w->dim;
    const float *d = w->image + r * w->dim;
    double square = system->square, keep, unit;
    size_t i;
    for (i = 0; i < w->dim; i++) s[i] -= (float)(system->ridge * (double)d[i]);
    system->square = ssdei_dot(s, s, w->dim);
    if (first && system->ridge > 0.0) system->enough = 1e-12 * system->square;
    keep = first ? 0.0 : system->square / square * system->length;
    for (i = 0; i < w->dim; i++) p[i] = s[i] + (float)(keep * (double)p[i]);
    system->length = sqrt(ssdei_dot(p, p, w->dim));
    unit = system->length > 0.0 ? 1.0 / system->length : 0.0;
    for (i = 0; i < w->dim; i++) p[i] = (float)(unit * (double)p[i]);
}

enum { SSDEI_MEASURE_STEPS = 100 };

/* Whether row r goes on; before its first step, 0, every one does. */
static int ssdei_measure_open(const ssdei_conditions *w, size_t r, size_t step) {
    return !step || w->system[r].square > w->system[r].enough;
}

/* Makes every residual 1 long. */
static void ssdei_measure_units(ssdei_conditions *w, size_t size, size_t rows) {
    size_t r, i;
    for (r = 0; r < rows; r++) {
        ssdei_system *system = &w->system[r];
        float *e = w->residual + r * size;
        double unit = sqrt(ssdei_dot(e, e, size));
        for (i = 0; unit > 0.0 && i < size; i++) e[i] = (float)((double)e[i] / unit);
        system->unit = unit, system->reach = system->enough = 0.0;
    }
}

/* g->gradient = K v, K = m (d x0 / dx)^T = I + std^2 (ds/dx)^T: for a true score the covariance of x(0) given x is
   (std / m)^2 K. */
static ssde_status ssdei_measure_spread(ssde_guided *g, const float *v, const double *t, size_t rows) {
    ssdei_conditions *w = &g->conditions;
    size_t i;
    ssdei_try(ssdei_called(w->context, "model->vjp", g->model.vjp(g->model.user, v, rows, g->gradient), t));
    for (i = 0; i < rows * w->dim; i++) {
        double std = w->std[i / w->dim];
        g->gradient[i] = (float)((double)v[i] + std * std * (double)g->gradient[i]);
    }
    return SSDE_OK;
}

/* w->slope, A^T e, is made 1 long. e was 1 long at first. */
static void ssdei_covariance_turn(ssdei_conditions *w, size_t r, size_t size, int first) {
    ssdei_system *system = &w->system[r];
    float *s = w->slope + r * w->dim;
    const float *e = w->residual + r * size;
    double left = ssdei_dot(e, e, size);
    size_t i;
    system->square = ssdei_dot(s, s, w->dim);
    system->reach = fmax(system->reach, left > 0.0 ? system->square / left : 0.0);
    if (first) system->length = sqrt(system->square);
    if (first) system->size = system->ridge + system->gain * system->square;
    system->enough = 1e-12 * fmax(system->length * system->length, system->reach * left); /* or A^T rounds it */
    for (i = 0; system->square > 0.0 && i < w->dim; i++) s[i] = (float)((double)s[i] / sqrt(system->square));
}

/* The next direction is the residual e less its part along the last, both seen through M / system->size; along it |e|
   becomes the least. g->gradient is K of w->slope, w->product is A of that. */
static void ssdei_covariance_advance(ssde_guided *g, size_t r, size_t size) {
    ssdei_conditions *w = &g->conditions;
    ssdei_system *system = &w->system[r];
    const float *s = w->slope + r * w->dim, *spread = g->gradient + r * w->dim;
    float *e = w->residual + r * size, *product = w->product + r * size, *along = w->along + r * size;
    float *direction = w->direction + r * w->dim, *image = w->image + r * w->dim;
    double length = sqrt(system->square), square = ssdei_dot(along, along, size), keep, step, same;
    double seen = ssdei_dot(s, spread, w->dim);
    size_t i;
    for (i = 0; i < size; i++)
        product[i] =
            (float)((system->gain * length * (double)product[i] + system->ridge * (double)e[i]) / system->size);
    keep = square > 0.0 ? -ssdei_dot(product, along, size) / square : 0.0;
    for (i = 0; i < size; i++) along[i] = product[i] + (float)(keep * (double)along[i]);
    for (i = 0; i < w->dim; i++)
        direction[i] = (float)(length / system->length * (double)spread[i] + keep * (double)direction[i]);
    same = (system->gain * system->square * seen + system->ridge * ssdei_dot(e, e, size)) / system->size; /* by A^T */
    step = ssdei_dot(e, along, size);
    if (seen <= 0.0 || fabs(step - same) > 0.5 * fabs(same)) { /* K is no covariance, or A rounds what is left */
        system->square = 0.0;
        return;
    }
    step /= ssdei_dot(along, along, size);
    for (i = 0; i < size; i++) e[i] -= (float)(step * (double)along[i]);
    for (i = 0; i < w->dim; i++) image[i] += (float)(step * (double)direction[i]);
}

/* w->image = K A^T M^-1 w->residual, M = gain A K A^T + ridge, row by row; A and the model are only shown vectors of
   length about 1, whatever A's scale.
   g NULL: K = I, as the d of least squares that conjugate gradients on the normal equations lead to (Hestenes and
   Stiefel 1952): a residual that A does not reach leaves them alone.
   Else by conjugate residuals, with g's K: where ds/dx is not symmetric |residual| still falls at every step, so that
   what was reached can be kept wherever it ends. */
static ssde_status ssdei_measure_solve(ssdei_conditions *w, ssde_guided *g, const ssde_condition *condition,
                                       const double *t, const uint64_t *sample, size_t rows) {
    size_t r, i, k, size = condition->size;
    int going = 1;
    memset(w->image, 0, rows * w->dim * sizeof *w->image);
    memset(w->direction, 0, rows * w->dim * sizeof *w->direction);
    memset(w->along, 0, rows * size * sizeof *w->along);
    ssdei_measure_units(w, size, rows);
    for (k = 0; k < SSDEI_MEASURE_STEPS && going; k++) {
        ssdei_try(ssdei_measure_call(w, condition, 1, w->residual, sample, rows, w->slope));
        for (going = 0, r = 0; r < rows; r++) {
            if (!ssdei_measure_open(w, r, k)) continue;
            if (g)
                ssdei_covariance_turn(w, r, size, !k);
            else
                ssdei_measure_turn(w, r, !k);
            going |= ssdei_measure_open(w, r, 1);
        }
        if (!going) break;
        if (g) ssdei_try(ssdei_measure_spread(g, w->slope, t, rows));
        ssdei_try(ssdei_measure_call(w, condition, 0, g ? g->gradient : w->direction, sample, rows, w->product));
        for (r = 0; r < rows; r++) {
            if (!ssdei_measure_open(w, r, 1)) continue;
            if (g)
                ssdei_covariance_advance(g, r, size);
            else
                ssdei_measure_advance(w, r, size);
        }
    }
    for (i = 0; i < rows * w->dim; i++) { /* not a number where one was met on the way */
        const ssdei_system *system = &w->system[i / w->dim];
        double factor = !g ? system->unit : system->size > 0.0 ? system->unit * system->length / system->size : 0.0;
        w->image[i] = system->square <= DBL_MAX ? (float)(factor * (double)w->image[i]) : (float)NAN;
    }
    return SSDE_OK;
}

SSDEI_ONCE_BEGIN

/* A x moves towards mean y + std A z: its distance is mean y - A (x - std z). */
static ssde_status ssdei_measure_place(ssdei_conditions *w, const ssde_condition *condition, const uint64_t *sample,
                                       size_t rows, const float *z, float *x) {
    size_t r, i;
    for (r = 0; r < rows; r++) {
        w->system[r].gain = 1.0, w->system[r].ridge = 0.0;
        for (i = r * w->dim; i < (r + 1) * w->dim; i++)
            w->image[i] = w->std[r] != 0.0 ? x[i] - (float)w->std[r] * z[i] : x[i];
    }
    ssdei_try(ssdei_measure_residual(w, condition, w->mean, w->image, sample, rows));
    ssdei_try(ssdei_measure_solve(w, NULL, condition, NULL, sample, rows));
    for (i = 0; i < rows * w->dim; i++) x[i] += w->image[i];
    return SSDE_OK;
}

/* ---- terms of the score ---- */

static ssde_status ssdei_guide_term(ssde_guided *g, const ssde_condition *condition, const float *x, const double *t,
                                    const uint64_t *sample, size_t rows) {
    return ssdei_called(g->conditions.context, "guidance",
                        condition->guidance(condition->user, x, t, sample, rows, g->gradient), t);
}

/* With x0 = (x + std^2 s) / m, w->image = A^T (gain A A^T + noise^2)^-1 (y - A x0), gain r^2; or, with the model's
   covariance of x(0) given x, (std / m)^2 K, K A^T (gain A K A^T + noise^2)^-1 (y - A x0), gain (std / m)^2. */
static ssde_status ssdei_measure_explain(ssde_guided *g, const ssde_condition *condition, int covariance,
                                         const float *x, const double *t, const uint64_t *sample, size_t rows) {
    ssdei_conditions *w = &g->conditions;
    size_t r, i;
    for (r = 0; r < rows; r++) {
        double mean = w->mean[r], std = w->std[r], level = std / mean, data = condition->data_std;
        w->system[r].gain = covariance   ? std * std / (mean * mean)
                            : data > 0.0 ? level * level * data * data / (level * level + data * data)
                                         : 0.0;
        w->system[r].ridge = condition->noise * condition->noise;
        for (i = r * w->dim; i < (r + 1) * w->dim; i++)
            w->image[i] = (float)(((double)x[i] + std * std * (double)g->score[i]) / mean);
    }
    ssdei_try(ssdei_measure_residual(w, condition, NULL, w->image, sample, rows));
    return ssdei_measure_solve(w, covariance ? g : NULL, condition, t, sample, rows);
}

/* x0 moves by C A^T (A C A^T + noise^2)^-1 (y - A x0), and the score by m / std^2 times its move; C is the model's
   covariance of x(0) given x, or r^2 I. */
static ssde_status ssdei_measure_noisy_term(ssde_guided *g, const ssde_condition *condition, const float *x,
                                            const double *t, const uint64_t *sample, size_t rows) {
    ssdei_conditions *w = &g->conditions;
    double data = condition->data_std;
    size_t i;
    ssdei_try(ssdei_measure_explain(g, condition, data == 0.0, x, t, sample, rows));
    for (i = 0; i < rows * w->dim; i++) {
        double mean = w->mean[i / w->dim], std = w->std[i / w->dim], move = (double)w->image[i];
        g->gradient[i] =
            (float)(data == 0.0 ? move / mean : mean * data * data / (std * std + mean * mean * data * data) * move);
    }
    return SSDE_OK;
}

/* (d x0 / dx)^T A^T (r^2 A A^T + noise^2)^-1 (y - A x0). */
static ssde_status ssdei_measure_guide_term(ssde_guided *g, const ssde_condition *condition, const float *x,
                                            const double *t, const uint64_t *sample, size_t rows) {
    ssdei_conditions *w = &g->conditions;
    size_t i;
    ssdei_try(ssdei_measure_explain(g, condition, 0, x, t, sample, rows));
    ssdei_try(ssdei_measure_spread(g, w->image, t, rows));
    for (i = 0; i < rows * w->dim; i++) g->gradient[i] = (float)((double)g->gradient[i] / w->mean[i / w->dim]);
    return SSDE_OK;
}

static const struct {
    ssde_status (*check)(ssde_context *context, const ssde_condition *condition, size_t n, size_t dim);
    ssde_status (*place)(ssdei_conditions *w, const ssde_condition *condition, const uint64_t *sample, size_t rows,
                         const float *z, float *x);
    /* g->gradient = grad_x log p_t(y | x) */
    ssde_status (*term)(ssde_guided *g, const ssde_condition *condition, const float *x, const double *t,
                        const uint64_t *sample, size_t rows);
} ssdei_condition_kinds[SSDE_CONDITION_COUNT] = {
    {NULL, NULL, NULL}, /* in the order of ssde_condition_kind */
    {ssdei_inpaint_check, ssdei_inpaint_place, NULL},
    {ssdei_colourise_check, ssdei_colourise_place, NULL},
    {ssdei_measure_check, ssdei_measure_place, NULL},
    {ssdei_measure_term_check, NULL, ssdei_measure_noisy_term},
    {ssdei_guide_check, NULL, ssdei_guide_term},
    {ssdei_measure_term_check, NULL, ssdei_measure_guide_term},
};

/* The first condition of the chain that has a term (or: coordinates to place); NULL: none. */
static const ssde_condition *ssdei_condition_first(const ssde_condition *chain, int term) {
    for (; chain; chain = chain->next) {
        if (term ? ssdei_condition_kinds[chain->kind].term != NULL : ssdei_condition_kinds[chain->kind].place != NULL)
            return chain;
    }
    return NULL;
}

static ssde_status ssdei_condition_check(ssde_context *context, const ssde_condition *condition, size_t n, size_t dim) {
    for (; condition; condition = condition->next) {
        if ((unsigned)condition->kind >= SSDE_CONDITION_COUNT)
            return ssde_fail(context, SSDE_ERROR_ARGUMENT, "condition.kind is %d, wanted an ssde_condition_kind",
                             (int)condition->kind);
        if (condition->kind == SSDE_CONDITION_NONE) continue;
        ssdei_try((ssdei_condition_kinds[condition->kind].check)(context, condition, n, dim));
    }
    return SSDE_OK;
}

SSDEI_ONCE_END

/* <A v, w> = <v, A^T w> for samples `sample[rows]`. w leans towards A v: near 0 <A v, w> would hide a wrong factor. */
static ssde_status ssdei_measure_compare(ssdei_conditions *w, const ssde_condition *condition, size_t rows) {
    size_t r, i, size = condition->size;
    ssdei_try(ssde_random_normal(w->context, 0, SSDE_STREAM_TRANSPOSE, 0, w->sample, rows, w->dim, w->direction));
    ssdei_try(ssde_random_normal(w->context, 0, SSDE_STREAM_TRANSPOSE, 1, w->sample, rows, size, w->residual));
    ssdei_try(ssdei_measure_call(w, condition, 0, w->direction, w->sample, rows, w->product));
    for (r = 0; r < rows; r++) {
        const float *image = w->product + r * size;
        double lean = 4.0 / sqrt(ssdei_dot(image, image, size));
        for (i = 0; lean <= DBL_MAX && i < size; i++) w->residual[r * size + i] += (float)(lean * (double)image[i]);
    }
    ssdei_try(ssdei_measure_call(w, condition, 1, w->residual, w->sample, rows, w->image));
    for (r = 0; r < rows; r++) {
        const float *forward = w->product + r * size, *transpose = w->image + r * w->dim;
        double left = ssdei_dot(forward, w->residual + r * size, size);
        double right = ssdei_dot(w->direction + r * w->dim, transpose, w->dim);
        double most = 3e-4 * (sqrt(ssdei_dot(forward, forward, size)) + sqrt(ssdei_dot(transpose, transpose, w->dim)));
        if (fabs(left - right) <= most || !(most <= DBL_MAX)) continue; /* what is no number ends its sample later */
        return ssde_fail(w->context, SSDE_ERROR_ARGUMENT,
                         "measurement: transpose is not that of forward: sample %.0f has <A v, w> = %g and <v, A^T w> "
                         "= %g, wanted within %.2g of each other",
                         (double)w->sample[r], left, right, most);
    }
    return SSDE_OK;
}

SSDEI_ONCE_BEGIN

/* Every measurement of the chain, of the kind in hand, on all samples of the run. */
static ssde_status ssdei_measure_transposed(ssdei_conditions *w) {
    const ssde_condition *condition = w->chain;
    size_t at, r, count;
    for (; condition; condition = ssdei_condition_first(condition->next, w->term)) {
        for (at = 0; condition->transpose && at < w->n; at += count) {
            count = w->n - at < w->rows ? w->n - at : w->rows;
            for (r = 0; r < count; r++) w->sample[r] = w->first_sample + at + r;
            ssdei_try(ssdei_measure_compare(w, condition, count));
        }
    }
    return SSDE_OK;
}

/* For calls of up to `rows` rows of samples first_sample ... first_sample + n - 1. Whoever has conditions names their
   arrays with its own; before the first call it looks at ssdei_measure_transposed. */
static void ssdei_conditions_prepare(ssdei_conditions *w, ssde_context *context, const ssde_condition *chain, int term,
                                     uint64_t first_sample, size_t n, size_t rows, size_t dim) {
    w->context = context, w->chain = ssdei_condition_first(chain, term), w->term = term;
    w->first_sample = first_sample, w->n = n, w->rows = rows, w->dim = dim;
    for (chain = w->chain; chain; chain = ssdei_condition_first(chain->next, term))
        w->size = chain->size > w->size ? chain->size : w->size;
}

static void ssdei_conditions_arrays(void *object, ssdei_memory *memory) {
    ssdei_conditions *w = (ssdei_conditions *)object;
    size_t count = ssdei_multiply(w->rows, w->dim), size = ssdei_multiply(w->rows, w->size);
    if (!w->chain) return;
    w->mean = ssdei_place(memory, double, w->rows);
    w->std = ssdei_place(memory, double, w->rows);
    if (!w->size) return;
    w->sample = ssdei_place(memory, uint64_t, w->rows);
    w->system = ssdei_place(memory, ssdei_system, w->rows);
    w->image = ssdei_place(memory, float, count);
    w->direction = ssdei_place(memory, float, count);
    w->slope = ssdei_place(memory, float, count);
    w->residual = ssdei_place(memory, float, size);
    w->product = ssdei_place(memory, float, size);
    w->along = ssdei_place(memory, float, size);
}

/* All known coordinates of x[rows, dim], whose m(t) and std(t) are in w. */
static ssde_status ssdei_conditions_place(ssdei_conditions *w, const uint64_t *sample, size_t rows, const float *z,
                                          float *x) {
    const ssde_condition *condition = w->chain;
    for (; condition; condition = ssdei_condition_first(condition->next, 0))
        ssdei_try(ssdei_condition_kinds[condition->kind].place(w, condition, sample, rows, z, x));
    return SSDE_OK;
}

/* ---- >>guidance ---- */

/* m(t) and std(t) of rows, once per run of equal t, which comes from whoever calls the model; 1 and 0 of a nonlinear
   SDE, where only conditions that have no use for them are let in. */
static ssde_status ssdei_marginals(ssde_context *context, const ssde_sde *sde, const double *t, size_t rows,
                                   double *mean, double *std) {
    size_t r;
    for (r = 0; r < rows; r++) {
        if (r && t[r] == t[r - 1]) {
            mean[r] = mean[r - 1], std[r] = std[r - 1];
            continue;
        }
        if (!(t[r] >= 0.0 && t[r] <= 1.0))
            return ssde_fail(context, SSDE_ERROR_ARGUMENT, "t[%lu] is %.17g, wanted 0 to 1", (unsigned long)r, t[r]);
        mean[r] = 1.0, std[r] = 0.0;
        if (sde->kind != SSDE_NONLINEAR) ssdei_try(ssdei_marginal(context, sde, t[r], &mean[r], &std[r]));
    }
    return SSDE_OK;
}

/* Rows per call of a model made of one or two: theirs, or about as many as fit 2^18 floats. */
static size_t ssdei_made_rows(const ssde_score_model *model, const ssde_score_model *other) {
    size_t rows = model->max_rows, fit = model->dim < 1024 ? 256 : 262144 / model->dim + 1;
    if (other && other->max_rows && (!rows || other->max_rows < rows)) rows = other->max_rows;
    return rows ? rows : fit;
}

static ssde_status ssdei_check_model(ssde_context *context, const char *name, const ssde_score_model *model) {
    if (!model) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s is NULL", name);
    if (!model->score) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s: score is NULL", name);
    if (model->dim && ssdei_multiply(model->dim, 256 * sizeof(double)) < SIZE_MAX) return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s: dim is %.0f, wanted 1 to what memory holds", name,
                     (double)model->dim);
}

/* Where m is 0, x says nothing of x(0): the gradient of log p(y | x) is 0. */
static int ssdei_term_applies(const ssdei_conditions *w, const ssde_condition *condition, size_t r) {
    double level = w->std[r] / w->mean[r];
    return w->mean[r] > 0.0 && level >= condition->low && (condition->high == 0.0 || level <= condition->high);
}

/* Adds a condition's term to out where it applies; where it does so nowhere, it costs nothing. */
static ssde_status ssdei_guided_add(ssde_guided *g, const ssde_condition *condition, const float *x, const double *t,
                                    const uint64_t *sample, size_t rows, float *out) {
    size_t r, i, dim = g->model.dim;
    for (r = 0; r < rows && !ssdei_term_applies(&g->conditions, condition, r); r++) continue;
    if (r == rows) return SSDE_OK;
    ssdei_try(ssdei_condition_kinds[condition->kind].term(g, condition, x, t, sample, rows));
    for (; r < rows; r++) {
        if (!ssdei_term_applies(&g->conditions, condition, r)) continue;
        for (i = r * dim; i < (r + 1) * dim; i++) out[i] += (float)condition->scale * g->gradient[i];
    }
    return SSDE_OK;
}

static ssde_status ssdei_guided_score(void *user, const float *x, const double *t, const uint64_t *sample, size_t rows,
                                      int differentiate, float *out) {
    ssde_guided *g = (ssde_guided *)user;
    ssdei_conditions *w = &g->conditions;
    const ssde_condition *condition = w->chain;
    size_t r, i;
    (void)differentiate;
    if (rows > g->max_rows)
        return ssde_fail(w->context, SSDE_ERROR_ARGUMENT, "guided model: rows is %.0f, wanted up to %.0f", (double)rows,
                         (double)g->max_rows);
    for (r = 0; r < rows; r++) {
        if (sample[r] >= w->first_sample && sample[r] - w->first_sample < w->n) continue;
        return ssde_fail(w->context, SSDE_ERROR_ARGUMENT, "guided model: sample %.0f, wanted %.0f to %.0f",
                         (double)sample[r], (double)w->first_sample, (double)w->first_sample + (double)w->n - 1.0);
    }
    ssdei_try(ssdei_marginals(w->context, &g->sde, t, rows, w->mean, w->std));
    ssdei_try(ssdei_called(w->context, "model->score",
                           g->model.score(g->model.user, x, t, sample, rows, g->differentiate, g->score), t));
    memcpy(out, g->score, rows * w->dim * sizeof *out);
    for (; condition; condition = ssdei_condition_first(condition->next, 1))
        ssdei_try(ssdei_guided_add(g, condition, x, t, sample, rows, out));
    for (i = 0; g->model.denoised && i < rows * w->dim; i++) g->score[i] = out[i] - g->score[i];
    return SSDE_OK;
}

/* Tweedie's formula of the score's terms, which score has left in the place of the model's: they are 0 where m is. */
static ssde_status ssdei_guided_denoised(void *user, size_t rows, float *out) {
    ssde_guided *g = (ssde_guided *)user;
    const ssdei_conditions *w = &g->conditions;
    size_t i;
    ssdei_try(ssdei_called(w->context, "model->denoised", g->model.denoised(g->model.user, rows, out), NULL));
    for (i = 0; i < rows * w->dim; i++) {
        const double mean = w->mean[i / w->dim], std = w->std[i / w->dim];
        if (mean > 0.0) out[i] = (float)((double)out[i] + std / mean * std * (double)g->score[i]);
    }
    return SSDE_OK;
}

static ssde_status ssdei_guided_variance(void *user, size_t rows, float *out) {
    ssde_guided *g = (ssde_guided *)user;
    return ssdei_called(g->conditions.context, "model->variance", g->model.variance(g->model.user, rows, out), NULL);
}

ssde_score_model ssde_guided_model(ssde_guided *guided) {
    ssde_score_model model;
    memset(&model, 0, sizeof model);
    if (!guided) return model;
    model.dim = guided->model.dim;
    model.max_rows = guided->max_rows;
    model.score = ssdei_guided_score;
    model.denoised = guided->model.denoised ? ssdei_guided_denoised : NULL;
    model.variance = guided->model.variance ? ssdei_guided_variance : NULL;
    model.user = guided;
    return model;
}

void ssde_guided_destroy(ssde_guided *guided) {
    if (guided) ssdei_release(guided->conditions.context, guided);
}

/* The conditions are checked here, SDE, model and n are. Into zeros, which g stays where there are no terms. */
static ssde_status ssdei_guided_prepare(ssde_guided *g, ssde_context *context, const ssde_sde *sde,
                                        const ssde_score_model *model, const ssde_condition *condition,
                                        uint64_t first_sample, size_t n) {
    const ssde_condition *c;
    ssdei_try(ssdei_condition_check(context, condition, n, model->dim));
    for (c = condition; c && sde->kind == SSDE_NONLINEAR; c = c->next) {
        if (c->kind == SSDE_CONDITION_NONE || (c->kind == SSDE_CONDITION_GUIDE && c->low == 0.0 && c->high == 0.0))
            continue;
        return ssde_fail(
            context, SSDE_ERROR_UNSUPPORTED,
            "condition: a nonlinear SDE has no m(t) and std(t): wanted ssde_guide, by grad log p_t(y | x), "
            "at every noise level");
    }
    if (!ssdei_condition_first(condition, 1)) return SSDE_OK;
    for (c = condition; c; c = c->next)
        g->differentiate |=
            c->kind == SSDE_CONDITION_MEASURE_GUIDE || (c->kind == SSDE_CONDITION_MEASURE_NOISY && c->data_std == 0.0);
    if (g->differentiate && !model->vjp)
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED,
                         "measurement: model->vjp is NULL: wanted one, or, for ssde_measure, condition.data_std, the "
                         "standard deviation of x(0), about");
    g->sde = *sde;
    g->model = *model;
    g->max_rows = ssdei_made_rows(model, NULL);
    ssdei_conditions_prepare(&g->conditions, context, condition, 1, first_sample, n, g->max_rows, model->dim);
    return SSDE_OK;
}

static void ssdei_guided_arrays(void *object, ssdei_memory *memory) {
    ssde_guided *g = (ssde_guided *)object;
    size_t count = ssdei_multiply(g->max_rows, g->model.dim);
    g->score = ssdei_place(memory, float, count);
    g->gradient = ssdei_place(memory, float, count);
    ssdei_conditions_arrays(&g->conditions, memory);
}

/* One of its own. */
static ssde_status ssdei_guided_make(ssde_guided *g, ssde_context *context, const ssde_sde *sde,
                                     const ssde_score_model *model, const ssde_condition *condition,
                                     uint64_t first_sample, size_t n) {
    memset(g, 0, sizeof *g);
    ssdei_try(ssde_sde_check(context, sde));
    ssdei_try(ssdei_check_model(context, "model", model));
    if (!n) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "n is 0, wanted at least one sample");
    ssdei_try(ssdei_guided_prepare(g, context, sde, model, condition, first_sample, n));
    if (g->conditions.chain) return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_ARGUMENT, "condition has no term of the score");
}

size_t ssde_guided_memory(ssde_context *context, const ssde_sde *sde, const ssde_score_model *model,
                          const ssde_condition *condition, size_t n) {
    ssde_guided g;
    if (ssdei_guided_make(&g, context, sde, model, condition, 0, n) != SSDE_OK) return 0;
    return ssdei_object_memory(&g, sizeof g, ssdei_guided_arrays);
}

ssde_status ssde_guided_create(ssde_context *context, ssde_guided **guided, const ssde_sde *sde,
                               const ssde_score_model *model, const ssde_condition *condition, uint64_t first_sample,
                               size_t n) {
    ssde_guided made, *g;
    ssde_status status;
    if (!guided) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "guided is NULL");
    *guided = NULL;
    ssdei_try(ssdei_guided_make(&made, context, sde, model, condition, first_sample, n));
    g = (ssde_guided *)ssdei_object_create(context, &made, sizeof made, ssdei_guided_arrays);
    if (!g) return SSDE_ERROR_MEMORY;
    status = ssdei_measure_transposed(&g->conditions);
    if (status == SSDE_OK)
        *guided = g;
    else
        ssde_guided_destroy(g);
    return status;
}

ssde_cfg_desc ssde_cfg_defaults(void) {
    ssde_cfg_desc desc;
    memset(&desc, 0, sizeof desc);
    return desc;
}

struct ssde_cfg {
    ssde_cfg_desc desc;
    ssde_sde sde;
    size_t max_rows, rows; /* rows: of the last score to be differentiated */
    int guides;            /* whether that score, or a row of the one in hand, has a weight */
    float *other;          /* [max_rows, dim] */
    double *weight;        /* [max_rows], of those rows */
    double *std;           /* [max_rows] */
};

/* out = (1 + weight) out - weight other, row by row; a row without weight is out as it stands. */
static void ssdei_cfg_combine(const ssde_cfg *g, size_t rows, float *out) {
    size_t r, j, dim = g->desc.conditional.dim;
    for (r = 0; g->guides && r < rows; r++) {
        float weight = (float)g->weight[r];
        for (j = r * dim; weight != 0.0f && j < (r + 1) * dim; j++) out[j] += weight * (out[j] - g->other[j]);
    }
}

static ssde_status ssdei_cfg_score(void *user, const float *x, const double *t, const uint64_t *sample, size_t rows,
                                   int differentiate, float *out) {
    ssde_cfg *g = (ssde_cfg *)user;
    const ssde_cfg_desc *desc = &g->desc;
    ssde_status status;
    size_t r;
    if (rows > g->max_rows)
        return ssde_fail(desc->context, SSDE_ERROR_ARGUMENT, "classifier-free model: rows is %.0f, wanted up to %.0f",
                         (double)rows, (double)g->max_rows);
    ssdei_try(ssdei_marginals(desc->context, &g->sde, t, rows, g->weight, g->std));
    for (g->guides = 0, r = 0; r < rows; r++) {
        double level = g->std[r] / g->weight[r];
        g->weight[r] = level >= desc->low && (desc->high == 0.0 || level <= desc->high) ? desc->weight : 0.0;
        g->guides |= g->weight[r] != 0.0;
    }
    g->rows = differentiate ? rows : 0;
    status = desc->conditional.score(desc->conditional.user, x, t, sample, rows, differentiate, out);
    if (status == SSDE_OK && g->guides)
        status = desc->unconditional.score(desc->unconditional.user, x, t, sample, rows, differentiate, g->other);
    ssdei_try(ssdei_called(desc->context, "model->score", status, t));
    ssdei_cfg_combine(g, rows, out);
    return SSDE_OK;
}

static ssde_status ssdei_cfg_vjp(void *user, const float *v, size_t rows, float *out) {
    ssde_cfg *g = (ssde_cfg *)user;
    const ssde_cfg_desc *desc = &g->desc;
    if (!rows || rows != g->rows)
        return ssde_fail(desc->context, SSDE_ERROR_ARGUMENT,
                         "classifier-free vjp: rows is %.0f, wanted %.0f as of the last score to be differentiated",
                         (double)rows, (double)g->rows);
    if (g->guides) ssdei_try(desc->unconditional.vjp(desc->unconditional.user, v, rows, g->other));
    ssdei_try(desc->conditional.vjp(desc->conditional.user, v, rows, out));
    ssdei_cfg_combine(g, rows, out);
    return SSDE_OK;
}

static ssde_status ssdei_cfg_denoised(void *user, size_t rows, float *out) {
    ssde_cfg *g = (ssde_cfg *)user;
    const ssde_cfg_desc *desc = &g->desc;
    ssde_status status = desc->conditional.denoised(desc->conditional.user, rows, out);
    if (status == SSDE_OK && g->guides) status = desc->unconditional.denoised(desc->unconditional.user, rows, g->other);
    ssdei_try(ssdei_called(desc->context, "model->denoised", status, NULL));
    ssdei_cfg_combine(g, rows, out);
    return SSDE_OK;
}

static ssde_status ssdei_cfg_variance(void *user, size_t rows, float *out) {
    const ssde_cfg_desc *desc = &((ssde_cfg *)user)->desc;
    return ssdei_called(desc->context, "model->variance", desc->conditional.variance(desc->conditional.user, rows, out),
                        NULL);
}

ssde_score_model ssde_cfg_model(ssde_cfg *guided) {
    const ssde_score_model *own, *other;
    ssde_score_model model;
    memset(&model, 0, sizeof model);
    if (!guided) return model;
    own = &guided->desc.conditional;
    other = &guided->desc.unconditional;
    model.dim = own->dim;
    model.max_rows = guided->max_rows;
    model.score = ssdei_cfg_score;
    if (own->vjp && other->vjp) model.vjp = ssdei_cfg_vjp;
    if (own->user != other->user) { /* or else its last score is the other's */
        if (own->denoised && other->denoised) model.denoised = ssdei_cfg_denoised;
        if (own->variance) model.variance = ssdei_cfg_variance;
    }
    model.user = guided;
    return model;
}

void ssde_cfg_destroy(ssde_cfg *guided) {
    if (guided) ssdei_release(guided->desc.context, guided);
}

static ssde_status ssdei_cfg_prepare(ssde_cfg *g, const ssde_sde *sde, const ssde_cfg_desc *desc) {
    ssde_context *context = desc->context;
    ssdei_try(ssde_sde_check(context, sde));
    ssdei_try(ssdei_check_model(context, "desc.conditional", &desc->conditional));
    ssdei_try(ssdei_check_model(context, "desc.unconditional", &desc->unconditional));
    if (desc->conditional.dim != desc->unconditional.dim)
        return ssde_fail(context, SSDE_ERROR_SHAPE,
                         "desc.conditional.dim is %.0f and desc.unconditional.dim is %.0f, wanted the same",
                         (double)desc->conditional.dim, (double)desc->unconditional.dim);
    if (!(fabs(desc->weight) <= FLT_MAX && desc->low >= 0.0 && (desc->high == 0.0 || desc->high > desc->low)))
        return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                         "desc.weight is %g, low %g and high %g, wanted -3.4e38 to 3.4e38, 0 <= low < high or high 0",
                         desc->weight, desc->low, desc->high);
    if (sde->kind == SSDE_NONLINEAR && (desc->low > 0.0 || desc->high > 0.0))
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED,
                         "desc.low is %g and high %g, but a nonlinear SDE has no std / m: wanted 0 each", desc->low,
                         desc->high);
    memset(g, 0, sizeof *g);
    g->desc = *desc;
    g->sde = *sde;
    g->max_rows = ssdei_made_rows(&desc->conditional, &desc->unconditional);
    return SSDE_OK;
}

static void ssdei_cfg_arrays(void *object, ssdei_memory *memory) {
    ssde_cfg *g = (ssde_cfg *)object;
    g->other = ssdei_place(memory, float, ssdei_multiply(g->max_rows, g->desc.conditional.dim));
    g->weight = ssdei_place(memory, double, g->max_rows);
    g->std = ssdei_place(memory, double, g->max_rows);
}

size_t ssde_cfg_memory(const ssde_sde *sde, const ssde_cfg_desc *desc) {
    ssde_cfg g;
    if (!desc || ssdei_cfg_prepare(&g, sde, desc) != SSDE_OK) return 0;
    return ssdei_object_memory(&g, sizeof g, ssdei_cfg_arrays);
}

ssde_status ssde_cfg_create(ssde_cfg **guided, const ssde_sde *sde, const ssde_cfg_desc *desc) {
    ssde_context *context = desc ? desc->context : NULL;
    ssde_cfg made;
    if (guided) *guided = NULL;
    if (!guided || !desc) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s is NULL", guided ? "desc" : "guided");
    ssdei_try(ssdei_cfg_prepare(&made, sde, desc));
    *guided = (ssde_cfg *)ssdei_object_create(context, &made, sizeof made, ssdei_cfg_arrays);
    return *guided ? SSDE_OK : SSDE_ERROR_MEMORY;
}

/* What a row asks of the model, at scale x: the score of `to` is by_score times that plus by_x x, what is denoised is
   by_denoised times the model's plus denoised_by_x scale x. */
typedef struct ssdei_conversion {
    double scale, by_score, by_x, by_denoised, denoised_by_x;
} ssdei_conversion;

struct ssde_converted {
    ssde_context *context;
    ssde_sde from, to;
    ssde_score_model model;
    double first, last, high; /* s(0) and s(high) of `from`, high its prior's time */
    size_t max_rows, rows;    /* rows: of the last score to be differentiated */
    ssdei_conversion *row;    /* [max_rows] */
    double *t;                /* [max_rows]: the model's */
    float *x;                 /* [max_rows, dim]: likewise */
};

/* The score of `to` is (m D - x) / std^2. Within the noise of `from` D is the model's at x / m, and scale the ratio of
   both m as of both std; above, with part = last / s, D at x scaled by std alone; below, the score of x / m stands, so
   that D - x / m is (s / first)^2 of the model's. */
static ssde_status ssdei_conversion_at(const ssde_converted *g, double t, double *own, ssdei_conversion *row) {
    double mean, std, mean_own, std_own, s, part = 1.0;
    if (!(t >= 0.0 && t <= 1.0))
        return ssde_fail(g->context, SSDE_ERROR_ARGUMENT, "converted model: t is %.17g, wanted 0 to 1", t);
    ssdei_try(ssdei_marginal(g->context, &g->to, t, &mean, &std));
    s = std / mean;
    if (s > g->first && s < g->last)
        ssdei_try(ssdei_noise_time(g->context, &g->from, s, g->high, own));
    else
        *own = s <= g->first ? 0.0 : g->high;
    ssdei_try(ssdei_marginal(g->context, &g->from, *own, &mean_own, &std_own));
    if (s > g->last) {
        part = g->last / s;
        row->scale = std_own / std;
    } else
        row->scale = s < g->first ? mean_own / mean : (mean_own + std_own) / (mean + std);
    row->by_score = part * row->scale;
    row->by_x = part < 1.0 ? (part - 1.0) / (std * std) : 0.0;
    row->by_denoised = s < g->first ? s / g->first * (s / g->first) : 1.0;
    row->denoised_by_x = s < g->first ? (1.0 - row->by_denoised) / mean_own : 0.0;
    return SSDE_OK;
}

static ssde_status ssdei_converted_score(void *user, const float *x, const double *t, const uint64_t *sample,
                                         size_t rows, int differentiate, float *out) {
    ssde_converted *g = (ssde_converted *)user;
    size_t r, i, dim = g->model.dim;
    if (rows > g->max_rows)
        return ssde_fail(g->context, SSDE_ERROR_ARGUMENT, "converted model: rows is %.0f, wanted up to %.0f",
                         (double)rows, (double)g->max_rows);
    for (r = 0; r < rows; r++) {
        if (r && t[r] == t[r - 1])
            g->t[r] = g->t[r - 1], g->row[r] = g->row[r - 1];
        else
            ssdei_try(ssdei_conversion_at(g, t[r], &g->t[r], &g->row[r]));
        for (i = r * dim; i < (r + 1) * dim; i++) g->x[i] = (float)(g->row[r].scale * (double)x[i]);
    }
    g->rows = differentiate ? rows : 0;
    ssdei_try(ssdei_called(g->context, "model->score",
                           g->model.score(g->model.user, g->x, g->t, sample, rows, differentiate, out), g->t));
    for (i = 0; i < rows * dim; i++) {
        const ssdei_conversion *row = &g->row[i / dim];
        out[i] = (float)(row->by_score * (double)out[i] + row->by_x * (double)x[i]);
    }
    return SSDE_OK;
}

static ssde_status ssdei_converted_vjp(void *user, const float *v, size_t rows, float *out) {
    ssde_converted *g = (ssde_converted *)user;
    size_t i;
    if (!rows || rows != g->rows)
        return ssde_fail(g->context, SSDE_ERROR_ARGUMENT,
                         "converted vjp: rows is %.0f, wanted %.0f as of the last score to be differentiated",
                         (double)rows, (double)g->rows);
    ssdei_try(g->model.vjp(g->model.user, v, rows, out));
    for (i = 0; i < rows * g->model.dim; i++) {
        const ssdei_conversion *row = &g->row[i / g->model.dim];
        out[i] = (float)(row->by_score * row->scale * (double)out[i] + row->by_x * (double)v[i]);
    }
    return SSDE_OK;
}

static ssde_status ssdei_converted_denoised(void *user, size_t rows, float *out) {
    ssde_converted *g = (ssde_converted *)user;
    size_t i;
    ssdei_try(ssdei_called(g->context, "model->denoised", g->model.denoised(g->model.user, rows, out), NULL));
    for (i = 0; i < rows * g->model.dim; i++) {
        const ssdei_conversion *row = &g->row[i / g->model.dim];
        out[i] = (float)(row->by_denoised * (double)out[i] + row->denoised_by_x * (double)g->x[i]);
    }
    return SSDE_OK;
}

static ssde_status ssdei_converted_variance(void *user, size_t rows, float *out) {
    ssde_converted *g = (ssde_converted *)user;
    return ssdei_called(g->context, "model->variance", g->model.variance(g->model.user, rows, out), NULL);
}

ssde_score_model ssde_converted_model(ssde_converted *converted) {
    ssde_score_model model;
    memset(&model, 0, sizeof model);
    if (!converted) return model;
    model.dim = converted->model.dim;
    model.max_rows = converted->max_rows;
    model.score = ssdei_converted_score;
    if (converted->model.vjp) model.vjp = ssdei_converted_vjp;
    if (converted->model.denoised) model.denoised = ssdei_converted_denoised;
    if (converted->model.variance) model.variance = ssdei_converted_variance;
    model.user = converted;
    return model;
}

void ssde_converted_destroy(ssde_converted *converted) {
    if (converted) ssdei_release(converted->context, converted);
}

/* s at 0, and at the prior's time, which is *high. */
static ssde_status ssdei_noise_range(ssde_context *context, const char *name, const ssde_sde *sde, double *first,
                                     double *last, double *high) {
    double scale;
    if (!sde) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s is NULL", name);
    ssdei_try(ssde_prior_time(context, sde, high, &scale));
    ssdei_try(ssdei_noise_level(context, sde, 0.0, first));
    ssdei_try(ssdei_noise_level(context, sde, *high, last));
    if (*first < *last) return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s: std / m is %g at t = 0 and %g at %g, wanted it to grow", name,
                     *first, *last, *high);
}

static ssde_status ssdei_converted_prepare(ssde_converted *g, ssde_context *context, const ssde_sde *from,
                                           const ssde_score_model *model, const ssde_sde *to) {
    double first, last, high;
    memset(g, 0, sizeof *g);
    ssdei_try(ssdei_noise_range(context, "from", from, &g->first, &g->last, &g->high));
    ssdei_try(ssdei_check_model(context, "model", model));
    ssdei_try(ssdei_noise_range(context, "to", to, &first, &last, &high));
    if (first >= g->last || last <= g->first)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                         "to has std / m from %g to %g and from %g to %g: no noise that the model knows", first, last,
                         g->first, g->last);
    g->context = context;
    g->from = *from;
    g->to = *to;
    g->model = *model;
    g->max_rows = ssdei_made_rows(model, NULL);
    return SSDE_OK;
}

static void ssdei_converted_arrays(void *object, ssdei_memory *memory) {
    ssde_converted *g = (ssde_converted *)object;
    g->row = ssdei_place(memory, ssdei_conversion, g->max_rows);
    g->t = ssdei_place(memory, double, g->max_rows);
    g->x = ssdei_place(memory, float, ssdei_multiply(g->max_rows, g->model.dim));
}

size_t ssde_converted_memory(ssde_context *context, const ssde_sde *from, const ssde_score_model *model,
                             const ssde_sde *to) {
    ssde_converted g;
    if (ssdei_converted_prepare(&g, context, from, model, to) != SSDE_OK) return 0;
    return ssdei_object_memory(&g, sizeof g, ssdei_converted_arrays);
}

ssde_status ssde_converted_create(ssde_context *context, ssde_converted **converted, const ssde_sde *from,
                                  const ssde_score_model *model, const ssde_sde *to) {
    ssde_converted made;
    if (!converted) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "converted is NULL");
    *converted = NULL;
    ssdei_try(ssdei_converted_prepare(&made, context, from, model, to));
    *converted = (ssde_converted *)ssdei_object_create(context, &made, sizeof made, ssdei_converted_arrays);
    return *converted ? SSDE_OK : SSDE_ERROR_MEMORY;
}

SSDEI_ONCE_END

/* ---- >>clip ---- */

SSDEI_ONCE_BEGIN

ssde_clip ssde_clip_dynamic(double low, double high, double quantile) {
    ssde_clip clip;
    clip.kind = SSDE_CLIP_DYNAMIC, clip.keep_noise = 0;
    clip.low = low, clip.high = high, clip.quantile = quantile, clip.most = 0.0;
    return clip;
}

ssde_clip ssde_clip_to(double low, double high) {
    ssde_clip clip = ssde_clip_dynamic(low, high, 0.0);
    clip.kind = SSDE_CLIP_RANGE;
    return clip;
}

static ssde_status ssdei_clip_check(ssde_context *context, const ssde_clip *clip) {
    if (clip->kind == SSDE_CLIP_NONE) return SSDE_OK;
    if ((unsigned)clip->kind >= SSDE_CLIP_COUNT)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "clip.kind is %d, wanted an ssde_clip_kind", (int)clip->kind);
    ssdei_try(ssdei_check_interval(context, "clip: ", clip->low, clip->high));
    if (clip->kind == SSDE_CLIP_RANGE) return SSDE_OK;
    if (!(clip->quantile > 0.0 && clip->quantile <= 1.0))
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "clip: quantile is %.9g, wanted above 0, up to 1",
                         clip->quantile);
    if (clip->most == 0.0 || clip->most >= 0.5 * (clip->high - clip->low)) return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_ARGUMENT, "clip: most is %.9g, wanted 0, or at least %.9g", clip->most,
                     0.5 * (clip->high - clip->low));
}

SSDEI_ONCE_END

/* One sample, whose denoised D is keep x + gain score. */
typedef struct ssdei_clip_row {
    double keep, gain, middle;
    const float *x, *score;
    size_t dim;
} ssdei_clip_row;

/* |D - middle| of coordinate j. */
static float ssdei_clip_distance(const ssdei_clip_row *row, size_t j) {
    return (float)fabs(row->keep * (double)row->x[j] + row->gain * (double)row->score[j] - row->middle);
}

/* Floats without sign are in the order of their words. */
static uint32_t ssdei_clip_word(const ssdei_clip_row *row, size_t j) {
    float distance = ssdei_clip_distance(row, j);
    uint32_t word;
    memcpy(&word, &distance, sizeof word);
    return word;
}

/* The quantile of these distances, by linear interpolation, or `least` where it is no more. The word of a rank is found
   four bits at a time, from the highest on, by counting those that go on with each of 16 digits: in no memory. */
static double ssdei_clip_quantile(const ssdei_clip_row *row, double quantile, double least) {
    double place = quantile * (double)(row->dim - 1), part;
    size_t rank = (size_t)place, count[16], inside = 0, j;
    uint32_t word = 0, known = 0, next = 0xffffffffu, digit = 0;
    float found, above;
    int shift;
    part = place - (double)rank;
    for (j = 0; j < row->dim; j++) inside += (double)ssdei_clip_distance(row, j) <= least;
    if (inside == row->dim || inside > rank + 1) return least;
    for (shift = 28; shift >= 0; shift -= 4) {
        memset(count, 0, sizeof count);
        for (j = 0; j < row->dim; j++) {
            uint32_t other = ssdei_clip_word(row, j);
            if (!((other ^ word) & known)) count[other >> shift & 15]++;
        }
        for (digit = 0; rank >= count[digit]; digit++) rank -= count[digit];
        word |= digit << shift;
        known |= (uint32_t)15 << shift;
    }
    memcpy(&found, &word, sizeof found);
    if (part == 0.0 || rank + 1 < count[digit]) return (double)found;
    for (j = 0; j < row->dim; j++) {
        uint32_t other = ssdei_clip_word(row, j);
        if (other > word && other < next) next = other;
    }
    memcpy(&above, &next, sizeof above);
    return (double)found + part * ((double)above - (double)found);
}

/* Rows whose x has this m and std. Where x holds no signal, or no noise, nothing can be told from the score. own 1; or
   0 with m = std = 1 where score is D itself. */
static void ssdei_clip_rows(const ssde_clip *clip, double own, double mean, double std, const float *x, size_t rows,
                            size_t dim, float *score) {
    double half = 0.5 * (clip->high - clip->low), variance = std * std;
    ssdei_clip_row row;
    size_t r, j;
    if (!(mean > 0.0 && variance > 0.0)) return;
    row.keep = own / mean, row.gain = variance / mean, row.middle = clip->low + half, row.dim = dim;
    for (r = 0; r < rows; r++, x += dim, score += dim) {
        double low = clip->low, high = clip->high, factor = 1.0, limit = half;
        row.x = x, row.score = score;
        if (clip->kind == SSDE_CLIP_DYNAMIC) limit = ssdei_clip_quantile(&row, clip->quantile, half);
        if (clip->most > 0.0 && limit > clip->most) limit = clip->most;
        if (limit > half && limit <= FLT_MAX)
            low = row.middle - limit, high = row.middle + limit, factor = half / limit;
        for (j = 0; j < dim; j++) {
            double denoised = row.keep * (double)x[j] + row.gain * (double)score[j];
            double bounded = denoised < low ? low : denoised > high ? high : denoised;
            if ((bounded == denoised && factor == 1.0) || !(fabs(denoised) <= DBL_MAX)) continue;
            bounded = row.middle + factor * (bounded - row.middle);
            score[j] = (float)((mean * bounded - own * (double)x[j]) / variance);
        }
    }
}

SSDEI_ONCE_BEGIN

/* What is denoised, x[count], to the last rounding within the range. */
static void ssdei_clip_end(const ssde_clip *clip, float *x, size_t count) {
    float low = (float)clip->low, high = (float)clip->high;
    size_t i;
    for (i = 0; clip->kind != SSDE_CLIP_NONE && i < count; i++) x[i] = x[i] < low ? low : x[i] > high ? high : x[i];
}

SSDEI_ONCE_END

/* ---- the reverse drift of a nonlinear SDE, as a model ----
   Backwards, x moves by part g^2 s - f, part 1 in the SDE and 1/2 in the flow. Where f is a(t) x, that is one number
   for x and one for the model's s, and so is every update below. Where it is not, this model stands between: it gives
   all of it in the place of s, with its derivative, and the numbers are 0 and 1. */

typedef struct ssdei_reversal {
    ssde_context *context;
    const ssde_sde *sde;
    ssde_score_model model; /* of s */
    double part;
    float *drift;    /* [rows, dim] of a call: f, or v^T df/dx */
    const float *x;  /* of the last score */
    const double *t; /* likewise */
} ssdei_reversal;

/* out = part g^2 out - drift. */
static ssde_status ssdei_reversal_combine(const ssdei_reversal *w, size_t rows, float *out) {
    double unused, g, factor = 0.0;
    size_t r, i, dim = w->model.dim;
    for (r = 0; r < rows; r++) {
        if (!r || w->t[r] != w->t[r - 1]) {
            ssdei_try(ssdei_rates(w->context, w->sde, w->t[r], &unused, &g));
            factor = w->part * g * g;
        }
        for (i = r * dim; i < (r + 1) * dim; i++) out[i] = (float)(factor * (double)out[i] - (double)w->drift[i]);
    }
    return SSDE_OK;
}

static ssde_status ssdei_reversal_score(void *user, const float *x, const double *t, const uint64_t *sample,
                                        size_t rows, int differentiate, float *out) {
    ssdei_reversal *w = (ssdei_reversal *)user;
    w->x = x, w->t = t;
    ssdei_try(ssdei_called(w->context, "model->score",
                           w->model.score(w->model.user, x, t, sample, rows, differentiate, out), t));
    ssdei_try(ssdei_drift(w->context, w->sde, x, t, rows, w->model.dim, w->drift));
    return ssdei_reversal_combine(w, rows, out);
}

static ssde_status ssdei_reversal_vjp(void *user, const float *v, size_t rows, float *out) {
    ssdei_reversal *w = (ssdei_reversal *)user;
    ssdei_try(ssdei_called(w->context, "model->vjp", w->model.vjp(w->model.user, v, rows, out), w->t));
    ssdei_try(ssdei_called(w->context, "sde->drift_vjp",
                           w->sde->drift_vjp(w->sde->user, w->x, w->t, v, rows, w->model.dim, w->drift), w->t));
    return ssdei_reversal_combine(w, rows, out);
}

static ssde_score_model ssdei_reversal_model(ssdei_reversal *w) {
    ssde_score_model model = w->model;
    model.score = ssdei_reversal_score;
    model.vjp = w->model.vjp && w->sde->drift_vjp ? ssdei_reversal_vjp : NULL;
    model.denoised = NULL;
    model.variance = NULL;
    model.user = w;
    return model;
}

/* Backwards, x moves by *score times what the model at work gives, less *a times x. */
static ssde_status ssdei_slopes(ssde_context *context, const ssde_sde *sde, double part, double t, double *a,
                                double *score, double *g) {
    ssdei_try(ssdei_rates(context, sde, t, a, g));
    *score = sde->kind == SSDE_NONLINEAR ? 1.0 : part * *g * *g;
    return SSDE_OK;
}

/* ---- rules: every update here is x += u.x x + u.score s + u.noise z ---- */

typedef struct ssdei_update {
    double x, score, noise;
} ssdei_update;

/* An SDE and a desc without open defaults. */
typedef struct ssdei_setting {
    ssde_sde sde; /* num_scales is the grid's steps where it goes by index */
    ssde_sampler_desc how;
    const ssde_predictor_properties *info; /* this and the next two: the tables' rows */
    const struct ssdei_method *method;
    const struct ssdei_corrector *corrector;
    ssde_context *context;
    size_t history; /* steps it remembers: the row's, or as many as `multistep` asks for */
    double start;   /* of a run: ssde_prior_time */
    double by_d;    /* at a t above it predictors are given D in the place of the score: the start, or below */
    int clean;      /* likewise: std(times[steps]) is 0, the last step denoises */
} ssdei_setting;

SSDEI_ONCE_BEGIN

static int ssdei_beyond(const ssdei_setting *setting, double t) { return t > setting->by_d; }

/* m and std of what the model of a run sees at t: on the discrete grid, of the SDE's discrete form or ddpm's betas. */
static ssde_status ssdei_seen_marginal(const ssdei_setting *setting, double t, double *mean, double *std) {
    const double *betas = setting->how.schedule;
    double left = 1.0;
    int i, k;
    if (setting->how.grid != SSDE_GRID_DISCRETE || !ssdei_family(&setting->sde)->beta)
        return ssdei_marginal(setting->context, &setting->sde, t, mean, std);
    i = ssdei_step_index(&setting->sde, t);
    if (!betas) return ssde_discrete_marginal(setting->context, &setting->sde, i, mean, std, NULL);
    for (k = 0; k <= i; k++) left *= 1.0 - betas[k];
    *mean = sqrt(left);
    *std = sqrt(1.0 - left);
    return SSDE_OK;
}

/* score[rows, dim] at x and t, which come in runs, of a run's model; or with `denoised` D itself. */
static ssde_status ssdei_setting_clip(const ssdei_setting *setting, const float *x, const double *t, size_t rows,
                                      size_t dim, int denoised, float *score) {
    size_t r, end;
    double mean = 1.0, std = 1.0;
    for (r = 0; setting->how.clip.kind != SSDE_CLIP_NONE && r < rows; r = end) {
        for (end = r + 1; end < rows && t[end] == t[r];) end++;
        if (!denoised) ssdei_try(ssdei_seen_marginal(setting, t[r], &mean, &std));
        ssdei_clip_rows(&setting->how.clip, denoised ? 0.0 : 1.0, mean, std, x + r * dim, end - r, dim,
                        score + r * dim);
    }
    return SSDE_OK;
}

SSDEI_ONCE_END

/* x(to) = (1 + drift) x(from) + diffusion z: the forward SDE's exact transition. */
static ssde_status ssdei_transition(const ssdei_setting *setting, double from, double to, ssde_step *out) {
    double mean, std, mean_to, std_to, ratio, variance;
    ssdei_try(ssdei_marginal(setting->context, &setting->sde, to, &mean_to, &std_to));
    ssdei_try(ssdei_marginal(setting->context, &setting->sde, from, &mean, &std));
    ratio = mean_to / mean;
    variance = std_to * std_to - ratio * ratio * std * std;
    out->drift = ratio - 1.0;
    out->diffusion = variance > 0.0 ? sqrt(variance) : 0.0;
    return SSDE_OK;
}

/* The same from t_next to t as the discretisation has it. */
static ssde_status ssdei_forward_step(const ssdei_setting *setting, double t, double t_next, ssde_step *out) {
    const ssde_sde *sde = &setting->sde;
    double a, g;
    if (ssdei_by_index(setting->how.grid))
        return ssde_discretise(setting->context, sde, setting->how.discretisation, t, out);
    /* long transitions by half their variance would not follow the flow */
    if (setting->how.discretisation != SSDE_DISCRETISE_EULER &&
        (ssdei_family(sde)->step || !setting->how.probability_flow))
        return ssdei_transition(setting, t_next, t, out);
    ssdei_try(ssdei_rates(setting->context, sde, t, &a, &g));
    out->drift = a * (t - t_next);
    out->diffusion = g * sqrt(t - t_next);
    return SSDE_OK;
}

/* std(t_next) / std(t); by index on the reference's and the discrete grid, with std 0 below index 0. */
static ssde_status ssdei_std_ratio(const ssdei_setting *setting, double t, double t_next, double *ratio) {
    double mean, now, next = 0.0;
    if (ssdei_by_index(setting->how.grid) && ssdei_family(&setting->sde)->level) {
        int i = ssdei_step_index(&setting->sde, t);
        ssdei_try(ssde_discrete_marginal(setting->context, &setting->sde, i, NULL, &now, NULL));
        if (i > 0) ssdei_try(ssde_discrete_marginal(setting->context, &setting->sde, i - 1, NULL, &next, NULL));
    } else {
        ssdei_try(ssdei_marginal(setting->context, &setting->sde, t, &mean, &now));
        ssdei_try(ssdei_marginal(setting->context, &setting->sde, t_next > 0.0 ? t_next : 0.0, &mean, &next));
    }
    *ratio = next / now;
    return SSDE_OK;
}

/* dx = (a x - g^2 s) dt + g dw backwards (eq. 6), by Euler. */
static ssde_status ssdei_rule_euler_maruyama(const ssdei_setting *setting, double t, double t_next, ssdei_update *u) {
    int flow = setting->how.probability_flow;
    double step = ssdei_by_index(setting->how.grid) ? 1.0 / setting->sde.num_scales : t - t_next;
    double a, g, score;
    ssdei_try(ssdei_slopes(setting->context, &setting->sde, flow ? 0.5 : 1.0, t, &a, &score, &g));
    u->x = -a * step;
    u->score = score * step;
    u->noise = flow ? 0.0 : g * sqrt(step);
    return SSDE_OK;
}

/* x - f x + G^2 s + G z (eq. 46). */
static ssde_status ssdei_rule_reverse_diffusion(const ssdei_setting *setting, double t, double t_next,
                                                ssdei_update *u) {
    int flow = setting->how.probability_flow;
    ssde_step forward;
    if (setting->sde.kind == SSDE_NONLINEAR) return ssdei_rule_euler_maruyama(setting, t, t_next, u);
    ssdei_try(ssdei_forward_step(setting, t, t_next, &forward));
    u->x = -forward.drift;
    u->score = (flow ? 0.5 : 1.0) * forward.diffusion * forward.diffusion;
    u->noise = flow ? 0.0 : forward.diffusion;
    return SSDE_OK;
}

/* The mean of x(t_next) given x(t), (x + G^2 s) / (1 + f), and the standard deviation of that posterior for known x(0),
   G std(t_next) / std(t) (eq. 47); for VP the G of DDPM (eq. 4). */
static ssde_status ssdei_rule_ancestral(const ssdei_setting *setting, double t, double t_next, ssdei_update *u) {
    ssde_step forward;
    double ratio = 1.0;
    ssdei_try(ssdei_forward_step(setting, t, t_next, &forward));
    if (!(1.0 + forward.drift >= SSDEI_SIGNAL))
        return ssde_fail(setting->context, SSDE_ERROR_NUMERIC,
                         "ancestral: the step from t = %g to %g would multiply x by %g, wanted more steps, or "
                         "SSDE_DISCRETISE_OWN",
                         t, t_next, 1.0 + forward.drift);
    if (ssdei_family(&setting->sde)->chain != SSDEI_CHAIN_DDPM) ssdei_try(ssdei_std_ratio(setting, t, t_next, &ratio));
    u->x = -forward.drift / (1.0 + forward.drift);
    u->score = forward.diffusion * forward.diffusion / (1.0 + forward.drift);
    u->noise = forward.diffusion * ratio;
    return SSDE_OK;
}

/* (x + beta s) / sqrt(1 - beta) + sqrt(beta) z: algorithm 2 with -std s for its noise prediction. */
static ssde_status ssdei_rule_ddpm(const ssdei_setting *setting, double t, double t_next, ssdei_update *u) {
    double beta, root;
    (void)t_next;
    if (setting->how.schedule)
        beta = setting->how.schedule[ssdei_step_index(&setting->sde, t)];
    else {
        ssde_step forward;
        ssdei_try(ssde_discretise(setting->context, &setting->sde, SSDE_DISCRETISE_OWN, t, &forward));
        beta = forward.diffusion * forward.diffusion;
    }
    root = sqrt(1.0 - beta);
    u->x = beta / (root * (1.0 + root)); /* 1 / root - 1 */
    u->score = beta / root;
    u->noise = sqrt(beta);
    return SSDE_OK;
}

/* One Langevin step of algorithm 1 at sigma = std(t): x + alpha s / 2 + sqrt(alpha) z, alpha = epsilon sigma^2 /
   sigma_L^2. */
static ssde_status ssdei_rule_smld(const ssdei_setting *setting, double t, double t_next, ssdei_update *u) {
    double mean, std, alpha;
    (void)t_next;
    ssdei_try(ssdei_marginal(setting->context, &setting->sde, t, &mean, &std));
    alpha = 0.2 * std * std;
    if (setting->how.step_size > 0.0) {
        double last =
            setting->how.schedule ? setting->how.schedule[setting->sde.num_scales - 1] : setting->sde.sigma_min;
        alpha = setting->how.step_size * (std / last) * (std / last);
    }
    u->x = 0.0;
    u->score = 0.5 * alpha;
    u->noise = sqrt(alpha);
    return SSDE_OK;
}

/* With y = D + s n: y' = D + sqrt(s'^2 - sigma^2) n + sigma z, sigma^2 = eta^2 (s' / s)^2 (s^2 - s'^2), and n = -std
   score; or, by D, n = (x - m D) / std, also where m is 0. */
static ssde_status ssdei_rule_ddim(const ssdei_setting *setting, double t, double t_next, ssdei_update *u) {
    double mean, std, mean_next, std_next, s, s_next, eta = setting->how.eta, lost;
    ssdei_try(ssdei_marginal(setting->context, &setting->sde, t, &mean, &std));
    ssdei_try(ssdei_marginal(setting->context, &setting->sde, t_next, &mean_next, &std_next));
    s = std / mean;
    s_next = std_next / mean_next;
    lost = eta * eta * (1.0 - s_next / s) * (1.0 + s_next / s);
    if (setting->how.variance == SSDE_VARIANCE_WHOLE) lost = 1.0;
    u->x = mean_next / mean - 1.0;
    u->score = mean_next * std * (s - s_next * sqrt(1.0 - lost));
    u->noise = std_next * sqrt(lost);
    if (ssdei_beyond(setting, t)) {
        u->x = std_next / std * sqrt(1.0 - lost) - 1.0;
        u->score = mean_next - mean * (1.0 + u->x);
    }
    /* G is std / std' of that */
    if (setting->how.variance == SSDE_VARIANCE_FORWARD && u->noise > 0.0) u->noise *= std / std_next;
    return SSDE_OK;
}

/* x += step s + sqrt(2 step) z, step = 2 alpha (snr scale)^2; scale is std(t), or the batch's ratio of norms. */
static ssde_status ssdei_rule_langevin(const ssdei_setting *setting, double t, double scale, ssdei_update *u) {
    const ssdei_sde_family *family = ssdei_family(&setting->sde);
    double beta = 0.0, root, step;
    if (family->beta)
        ssdei_try(family->beta(setting->context, &setting->sde, ssdei_step_index(&setting->sde, t), &beta));
    root = 1.0 - beta / (1.0 + sqrt(1.0 - beta)); /* sqrt(1 - beta_i), of which alpha is the square */
    step = 2.0 * root * root * (setting->how.snr * scale) * (setting->how.snr * scale);
    u->x = 0.0;
    u->score = step;
    u->noise = sqrt(2.0 * step);
    return SSDE_OK;
}

/* Tweedie's formula: E[x(0) | x(t)] = (x + std^2 s) / m. Of a nonlinear SDE what it is near t = 0, Euler's step to
   there, x + t (g^2 s - f). */
static ssde_status ssdei_rule_denoise(ssde_context *context, const ssde_sde *sde, double t, ssdei_update *u) {
    double mean, std;
    u->x = u->noise = 0.0;
    u->score = t;
    if (sde->kind == SSDE_NONLINEAR) return SSDE_OK;
    ssdei_try(ssdei_marginal(context, sde, t, &mean, &std));
    u->x = 1.0 / mean - 1.0;
    u->score = std * std / mean;
    if (fabs(u->x) <= DBL_MAX && u->score <= DBL_MAX) return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_NUMERIC, "sde: std / m is %g / %g at t = %g, wanted a signal to denoise", std,
                     mean, t);
}

/* The same of what predictors are given. */
static ssde_status ssdei_setting_denoise(const ssdei_setting *setting, double t, ssdei_update *u) {
    u->x = -1.0, u->score = 1.0, u->noise = 0.0;
    return ssdei_beyond(setting, t) ? SSDE_OK : ssdei_rule_denoise(setting->context, &setting->sde, t, u);
}

/* x_next = mean + u.noise noise, mean = x + u.x x + u.score score; noise and mean may be NULL. Returns whether all of
   x_next is finite. */
static int ssdei_update_apply(const ssdei_kernels *kernels, const float *x, const float *score, const float *noise,
                              size_t count, const ssdei_update *update, float *x_next, float *mean) {
    float u[3];
    u[0] = (float)update->x, u[1] = (float)update->score, u[2] = noise ? (float)update->noise : 0.0f;
    return kernels->update(x, score, noise ? noise : x, count, u, x_next, mean);
}

/* mean|z| / mean|score| over the rows whose score is finite. Sums in double, row by row. */
static ssde_status ssdei_norm_ratio(const ssdei_setting *setting, const float *score, const float *z, size_t rows,
                                    size_t dim, double *ratio) {
    double score_norm = 0.0, noise_norm = 0.0;
    size_t r, j;
    for (r = 0; r < rows; r++) {
        double s = 0.0, n = 0.0;
        for (j = 0; j < dim; j++) {
            s += (double)score[r * dim + j] * (double)score[r * dim + j];
            n += (double)z[r * dim + j] * (double)z[r * dim + j];
        }
        if (!(s <= DBL_MAX)) continue;
        score_norm += sqrt(s);
        noise_norm += sqrt(n);
    }
    *ratio = noise_norm > 0.0 ? noise_norm / score_norm : 0.0;
    if (*ratio <= DBL_MAX) return SSDE_OK;
    return ssde_fail(setting->context, SSDE_ERROR_NUMERIC,
                     "langevin_batch: the score is zero in the whole batch, which leaves its step without a size");
}

/* ---- >>sampler ---- */

SSDEI_ONCE_BEGIN

ssde_sampler_desc ssde_sampler_defaults(void) {
    ssde_sampler_desc desc;
    memset(&desc, 0, sizeof desc);
    return desc;
}

SSDEI_ONCE_END

/* The most past steps that a row may ask for. */
enum { SSDEI_HISTORY = 3 };

/* What a step from times[step] to times[step + 1] does, of the times alone; u.x etc. of an update as above. */
typedef struct ssdei_step_plan {
    size_t step;
    double t0, t1;                    /* of its evaluations: times[step], or where churn has led, and where it ends */
    double t_next;                    /* times[step + 1] */
    ssdei_update churn;               /* without a score, before the first */
    double keep_x, keep_score;        /* kept = keep_x x + keep_score s: half a trapezoid, or the denoised D */
    ssdei_update update;              /* after the first; multistep: its score is the weighted sum of D's */
    ssdei_update second;              /* after the second evaluation, its score being kept + second.score s */
    int once;                         /* of two evaluations only the first */
    double log_ratio;                 /* of the standard deviations of the forward step and the posterior */
    double weight[SSDEI_HISTORY + 1]; /* multistep: of the last outputs, newest first */
    double alone[SSDEI_HISTORY + 1];  /* likewise, without the correction of the step before */
    double t_correct;                 /* the corrector's t, update, and whether its last one is without noise */
    ssdei_update correction;
    int quiet;
} ssdei_step_plan;

/* Rows of a block that are on their way to the next of the grid's times, each at a time of its own. */
typedef struct ssdei_travellers {
    size_t count;
    size_t *row;             /* [block]: which they are */
    double *t, *noise;       /* [block], like row: a time for each, and the factor on g dW */
    uint64_t *sample;        /* [block], like row */
    double *here;            /* [block], of every row: where x is */
    unsigned char *known;    /* [block], of every row: the score at x has been evaluated */
    float *next, *path_next; /* [block, dim], like row: x1 and W at its t */
    float *path, *score;     /* [block, dim], of every row: W and the score at x */
    double *length;          /* [n]: of the next step */
    size_t *evaluations;     /* [n]; NULL where nothing travels */
    float *before;           /* [n, dim]: x1 of the step before */
} ssdei_travellers;

typedef struct ssdei_sampler {
    ssdei_setting setting;
    ssde_score_model model; /* the caller's, or that of `guided` */
    ssde_score_model mover; /* what predictors ask: the same, or that of `reversal` */
    ssdei_reversal reversal;
    ssde_context *context;
    uint64_t seed;
    size_t n, dim, block;   /* rows worked on at a time */
    float *x;               /* [n, dim], the caller's */
    double *times;          /* [steps + 1] */
    ssdei_step_plan *plans; /* [steps] */
    ssdei_update denoise;   /* at times[steps] */
    double scale;           /* x(times[0]) = scale x(1), or x(times[0]) of the desc's times: see ssde_prior_time */
    double *t;              /* [block], t_value repeated */
    double t_value;
    uint64_t *sample;              /* [n] */
    float *score, *noise;          /* [block, dim] */
    float *kept;                   /* [block, dim]: of the first of two evaluations of a step, or of what is clipped */
    float *told;                   /* [block, dim]: the model's `variance`; NULL where it is not asked for */
    float *history[SSDEI_HISTORY]; /* [n, dim]: what the predictor remembers of past steps */
    float *path;                   /* [n, dim]: W at times[step], where `brownian`, else NULL */
    ssdei_travellers travellers;
    unsigned char *failed;        /* [n]: the ssde_status that ended it */
    ssde_guided guided;           /* zeros: the condition has no terms */
    ssdei_conditions conditions;  /* that place known coordinates */
    size_t visit;                 /* of the steps in hand, by resampling */
    double marginal_t, mean, std; /* m and std at marginal_t, for conditions */
    ssde_sample_report report;
} ssdei_sampler;

/* Rows [first, first + rows) of the batch. */
typedef struct ssdei_block {
    size_t first, rows;
    float *x;
} ssdei_block;

/* An update from t to t_next; a corrector's: at t, by a scale. */
typedef ssde_status (*ssdei_rule)(const ssdei_setting *setting, double t, double t_next, ssdei_update *u);

/* What the driver and the checks know of a predictor that its numbers do not say. */
enum {
    SSDEI_PAPERS = 1,         /* has a form on grids by index; on VE a corrector follows it unless told otherwise */
    SSDEI_NO_FLOW = 2,        /* has no form for the probability flow */
    SSDEI_WEIGHTS_NOISE = 4,  /* by eta: none at 0 */
    SSDEI_CHURNS = 8,         /* its noise is that of s_churn */
    SSDEI_EULER = 16,         /* Euler's method in t */
    SSDEI_EULER_ON_FLOW = 32, /* the same under probability_flow */
    SSDEI_TRAVELS = 64,       /* each row at times of its own, by steps of its own, always along a Brownian path */
    SSDEI_MULTISTEP = 128,    /* reads `multistep` */
    SSDEI_CORRECTS = 256,     /* its steps are corrected by the score at their ends */
    SSDEI_FROM_NOISE = 1024,  /* steps by D from where m is 0 */
    SSDEI_COUNTS_STEPS = 512  /* what it remembers counts by the step, whatever its length */
};

typedef struct ssdei_method {
    int traits;
    /* DDPM's runs on VP, by a schedule of betas, SMLD's on VE, by one of sigmas: each on the discrete grid, and on its
       SDE alone. SMLD's is a corrector itself: it takes none, and its end is denoised by Tweedie's formula. */
    ssdei_chain chain;
    /* Of one evaluation without a past: plan->update, and ssde_predictor_step's. */
    ssdei_rule rule;
    /* Of others: fills in a plan of zeros that has its step, t0 and t1; plan[-1] is the step before's. */
    ssde_status (*plan)(const ssdei_setting *setting, ssdei_step_plan *plan);
    /* Moves a block as planned. NULL: it stays where it is. */
    ssde_status (*move)(ssdei_sampler *w, const ssdei_block *block, const ssdei_step_plan *plan);
} ssdei_method;

typedef struct ssdei_corrector {
    const char *name;
    ssdei_rule rule; /* NULL: no corrector */
    int batch;       /* its scale is taken from the whole batch's score and noise */
} ssdei_corrector;

/* Predictor, corrector and grid where `how` leaves them open, and their rows. */
static void ssdei_setting_choose(ssdei_setting *setting);
static ssde_status ssdei_condition_update(ssdei_sampler *w, const ssdei_block *block, double t, uint32_t number);

SSDEI_ONCE_BEGIN

/* The corrector's update at t, whose score and noise are of this ratio of norms. */
static ssde_status ssdei_correction(const ssdei_setting *setting, double t, double ratio, ssdei_update *u) {
    double mean, std;
    if (setting->corrector->batch) return setting->corrector->rule(setting, t, ratio, u);
    ssdei_try(ssdei_marginal(setting->context, &setting->sde, t, &mean, &std));
    return setting->corrector->rule(setting, t, std, u);
}

/* What needs no m(t) and std(t). */
static ssde_status ssdei_check_nonlinear(const ssdei_setting *setting) {
    const ssde_sampler_desc *how = &setting->how;
    const char *wanted = NULL;
    if (setting->method->move && !(setting->method->traits & (SSDEI_EULER | SSDEI_EULER_ON_FLOW)))
        wanted = "predictor euler_maruyama, reverse_diffusion, stochastic_heun, adaptive or none";
    else if (setting->corrector->rule && !setting->corrector->batch)
        wanted = "corrector none or langevin_batch";
    else if (!how->times && how->grid != SSDE_GRID_UNIFORM && how->grid != SSDE_GRID_QUADRATIC)
        wanted = "the uniform or quadratic grid, or times";
    else if (how->resamplings > 1)
        wanted = "resamplings up to 1";
    else if (how->clip.kind != SSDE_CLIP_NONE)
        wanted = "no clip";
    else if (how->edit_from > 0.0)
        wanted = "edit_from 0";
    if (!wanted) return SSDE_OK;
    return ssde_fail(setting->context, SSDE_ERROR_UNSUPPORTED,
                     "%s and %s with a nonlinear SDE, which has no m(t) and std(t): wanted %s", setting->info->name,
                     setting->corrector->name, wanted);
}

/* Which options go with which: of a desc whose predictor, corrector and grid are filled in. */
static ssde_status ssdei_check_combination(const ssdei_setting *setting) {
    ssde_context *context = setting->context;
    const ssde_sampler_desc *how = &setting->how;
    const char *name = setting->info->name;
    int traits = setting->method->traits, ladder = setting->method->chain == SSDEI_CHAIN_SMLD;
    ssdei_chain chain = setting->method->chain;
    if (how->probability_flow && (traits & SSDEI_NO_FLOW))
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED,
                         "probability_flow with the %s predictor: take euler_maruyama or reverse_diffusion", name);
    if (chain && ssdei_family(&setting->sde)->chain != chain)
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED, "%s is a chain of the %s SDE", name, ladder ? "VE" : "VP");
    if (chain && (how->grid != SSDE_GRID_DISCRETE || how->times))
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED, "%s runs on SSDE_GRID_DISCRETE; others are in schedule",
                         name);
    if (!chain && !(traits & SSDEI_PAPERS) && ssdei_by_index(how->grid))
        return ssde_fail(
            context, SSDE_ERROR_UNSUPPORTED,
            "%s has no form by index: the reference's and the discrete grid are for the paper's predictors", name);
    if (how->predictor == SSDE_PREDICTOR_ANCESTRAL && how->grid == SSDE_GRID_DISCRETE &&
        !ssdei_family(&setting->sde)->level)
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED,
                         "ancestral on SSDE_GRID_DISCRETE, whose last level SDE '%s' does not have: take another grid",
                         ssdei_family(&setting->sde)->name);
    if (setting->corrector->rule && (setting->info->history || ladder))
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED,
                         "%s with a corrector, %s: take corrector none, or ddim or heun", name,
                         ladder ? "which it is itself" : "which would make its past another one");
    if (how->brownian && ssdei_by_index(how->grid))
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED,
                         "brownian on the reference's or the discrete grid, whose steps are not between its times");
    if (how->ends && (!how->times || how->brownian || how->resamplings > 1 ||
                      (setting->info->history && !(traits & SSDEI_COUNTS_STEPS))))
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED,
                         "ends with %s: wanted times, steps that know none but their own, and fresh or no noise",
                         !how->times            ? "no times"
                         : how->brownian        ? "brownian"
                         : how->resamplings > 1 ? "resamplings"
                                                : name);
    if (how->times && !how->steps && how->skip_denoise)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                         "steps is 0 and skip_denoise is set: x(times[0]) is to be denoised, or wanted steps");
    if (how->schedule && !chain)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "schedule is given to %s, wanted ddpm or smld", name);
    return setting->sde.kind == SSDE_NONLINEAR ? ssdei_check_nonlinear(setting) : SSDE_OK;
}

/* VP's betas, VE's sigmas. */
static ssde_status ssdei_check_schedule(const ssdei_setting *setting) {
    const ssde_sampler_desc *how = &setting->how;
    int betas = setting->method->chain == SSDEI_CHAIN_DDPM;
    double low = betas ? 0.0 : setting->sde.sigma_min, high = betas ? 1.0 : setting->sde.sigma_max;
    size_t k;
    for (k = 0; how->schedule && k < how->steps; k++) {
        double value = how->schedule[k];
        int valid =
            betas ? value > low && value < high : value >= low && value <= high && (!k || value < how->schedule[k - 1]);
        if (valid) continue;
        return ssde_fail(setting->context, SSDE_ERROR_ARGUMENT, "schedule[%lu] is %.9g, wanted %s %.9g and %.9g",
                         (unsigned long)k, value, betas ? "a beta between" : "decreasing sigmas of", low, high);
    }
    return SSDE_OK;
}

/* last: of the times, 0 where they are not known yet. */
static ssde_status ssdei_edit_check(ssde_context *context, double edit_from, int given_start, double last) {
    if (!(edit_from == 0.0 || (edit_from > last && edit_from <= 1.0)))
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "edit_from is %.17g, wanted above the last time, %g, up to 1",
                         edit_from, last);
    if (edit_from == 0.0 || !given_start) return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                     "edit_from and given_start are both set: x holds data, or x at the first time, not both");
}

static ssde_status ssdei_check_choice(ssde_context *context, const char *name, int value, int count) {
    if (value >= 0 && value < count) return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s is %d, wanted an ssde_%s", name, value, name);
}

/* setting->history, and the default order. */
static ssde_status ssdei_setting_multistep(ssdei_setting *setting) {
    ssde_multistep *m = &setting->how.multistep;
    int traits = setting->method->traits, corrects = (traits & SSDEI_CORRECTS) != 0, most = setting->info->history + 1;
    int others = m->order || m->noise || m->heun || m->exact || m->bh1 || m->fewer_at_end || m->euler_at_end ||
                 m->third_as_diffusers || m->uncorrected_count;
    const char *misplaced = m->published && !(traits & SSDEI_MULTISTEP) ? "published"
                            : m->heun && corrects                       ? "heun"
                            : m->exact && corrects                      ? "exact"
                            : m->bh1 && !corrects                       ? "bh1"
                            : m->uncorrected_count && !corrects         ? "uncorrected_count"
                                                                        : NULL;
    setting->history = (size_t)setting->info->history;
    if (others && !m->published)
        return ssde_fail(setting->context, SSDE_ERROR_ARGUMENT,
                         "multistep.published is 0, wanted 1 where other fields of multistep are set");
    if (misplaced)
        return ssde_fail(setting->context, SSDE_ERROR_ARGUMENT, "multistep.%s is set, wanted 0 with %s", misplaced,
                         setting->info->name);
    if (m->uncorrected_count && !m->uncorrected)
        return ssde_fail(setting->context, SSDE_ERROR_ARGUMENT,
                         "multistep.uncorrected is NULL, wanted uncorrected_count = %.0f numbers of steps",
                         (double)m->uncorrected_count);
    if (m->order < 0 || m->order > most)
        return ssde_fail(setting->context, SSDE_ERROR_ARGUMENT, "multistep.order is %d, wanted 1 to %d with %s",
                         m->order, most, setting->info->name);
    if (!m->published) return SSDE_OK;
    if (!m->order) m->order = most - corrects;
    if (m->third_as_diffusers && (m->order < 3 || m->noise || m->exact || corrects || setting->how.eta == 0.0))
        return ssde_fail(
            setting->context, SSDE_ERROR_ARGUMENT,
            "multistep.third_as_diffusers is set with %s of order %d and eta %g%s, wanted dpm_solver_3m of "
            "order 3 with eta above 0, of D's",
            setting->info->name, m->order, setting->how.eta,
            m->noise   ? ", of noise"
            : m->exact ? ", exact"
                       : "");
    setting->history = (size_t)(m->order - 1 + corrects);
    if (!setting->history) setting->history = 1;
    return SSDE_OK;
}

static ssde_status ssdei_setting_pndm(ssdei_setting *setting) {
    ssde_pndm *pndm = &setting->how.pndm;
    int set = pndm->sums || pndm->heun_start || pndm->step != 0.0;
    if (set && setting->how.predictor != SSDE_PREDICTOR_PNDM)
        return ssde_fail(setting->context, SSDE_ERROR_ARGUMENT, "pndm is set, wanted 0 with %s", setting->info->name);
    ssdei_try(ssdei_output_check(setting->context, "pndm.sums", pndm->sums, 1.0));
    if (pndm->sums == SSDE_PREDICT_EDM || !(pndm->step >= 0.0 && pndm->step <= 1.0))
        return ssde_fail(setting->context, SSDE_ERROR_ARGUMENT, "pndm.sums is %d and step %g, wanted not EDM, 0 to 1",
                         (int)pndm->sums, pndm->step);
    return SSDE_OK;
}

/* Numbers of the predictors after the paper's. */
static ssde_status ssdei_setting_numbers(ssdei_setting *setting) {
    ssde_context *context = setting->context;
    ssde_sampler_desc *full = &setting->how;
    if (!(full->eta >= 0.0 && full->eta <= 1.0))
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "eta is %.17g, wanted 0 to 1", full->eta);
    if (!(setting->method->traits & SSDEI_WEIGHTS_NOISE))
        full->eta = 0.0;
    else if (full->eta == 0.0 && setting->info->stochastic)
        full->eta = 1.0;
    ssdei_try(ssdei_check_positive(context, "rho", &full->rho, 7.0));
    ssdei_try(ssdei_check_positive(context, "step_size", &full->step_size, 0.0));
    ssdei_try(ssdei_check_positive(context, "s_churn", &full->s_churn, 0.0));
    ssdei_try(ssdei_check_positive(context, "s_tmin", &full->s_tmin, 0.0));
    ssdei_try(ssdei_check_positive(context, "s_tmax", &full->s_tmax, DBL_MAX));
    if (full->s_tmin > full->s_tmax)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "s_tmin is %.9g, wanted up to s_tmax = %.9g", full->s_tmin,
                         full->s_tmax);
    ssdei_try(ssdei_check_positive(context, "s_noise", &full->s_noise, 1.0));
    ssdei_try(ssdei_check_positive(context, "rtol", &full->rtol, 0.05));
    ssdei_try(ssdei_check_positive(context, "atol", &full->atol, 0.0078));
    ssdei_try(ssdei_clip_check(context, &full->clip));
    if (full->probability_flow) full->eta = full->s_churn = 0.0;
    if (full->eta > 0.0 && full->s_churn > 0.0)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "eta is %.9g and s_churn %.9g, wanted one of them 0", full->eta,
                         full->s_churn);
    if (full->churn_unseen && !((setting->method->traits & SSDEI_CHURNS) && setting->method->rule))
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED, "churn_unseen with %s, wanted ddim", setting->info->name);
    ssdei_try(ssdei_output_check(context, "churn_unseen", full->churn_unseen, full->sigma_data));
    ssdei_try(ssdei_setting_multistep(setting));
    ssdei_try(ssdei_setting_pndm(setting));
    ssdei_try(ssdei_check_choice(context, "variance", (int)full->variance, SSDE_VARIANCE_COUNT));
    if (full->variance && !(full->predictor == SSDE_PREDICTOR_DDIM && full->eta == 1.0))
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED, "variance with %s and eta %.9g, wanted ddim with eta 1",
                         setting->info->name, full->eta);
    if (full->clip.keep_noise && (full->predictor != SSDE_PREDICTOR_DDIM || full->churn_unseen))
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED,
                         "clip.keep_noise with %s, whose steps take D and the noise from one score: wanted ddim",
                         full->churn_unseen ? "churn_unseen" : setting->info->name);
    if (!full->max_evaluations) full->max_evaluations = 10000;
    return SSDE_OK;
}

/* Whether the predictor's updates have noise. */
static int ssdei_draws(const ssdei_setting *setting) {
    if (setting->how.probability_flow) return 0;
    if ((setting->method->traits & SSDEI_WEIGHTS_NOISE) && setting->how.eta > 0.0) return 1;
    if ((setting->method->traits & SSDEI_CHURNS) && setting->how.s_churn > 0.0) return 1;
    return !(setting->method->traits & (SSDEI_WEIGHTS_NOISE | SSDEI_CHURNS)) && setting->info->stochastic;
}

/* Whether x follows a path of its own without fresh noise, so that what is known of it must too: one z per sample. */
static int ssdei_one_condition_draw(const ssdei_setting *setting) {
    if (setting->corrector->rule || !setting->method->move) return 0;
    return !ssdei_draws(setting) || setting->info->history;
}

/* Whether its steps go back to what they have left. */
static int ssdei_keeps(const ssdei_setting *setting) {
    return setting->info->evaluations > 1 || setting->how.clip.keep_noise ||
           (setting->method->traits & SSDEI_COUNTS_STEPS);
}

/* Whether the predictor's noise is that of a Brownian path. */
static int ssdei_follows_path(const ssdei_setting *setting) {
    return (setting->method->traits & SSDEI_TRAVELS) || (setting->how.brownian && ssdei_draws(setting));
}

/* By index the end is denoised by leaving out the last noise, which at DDPM's first beta is Tweedie's formula; SMLD's
   last sigma takes the formula itself. */
static int ssdei_ends_quietly(const ssdei_setting *setting) {
    return ssdei_by_index(setting->how.grid) && setting->method->chain != SSDEI_CHAIN_SMLD;
}

/* Fills in the defaults of a checked SDE and a desc (NULL: all of them). */
static ssde_status ssdei_setting_make(ssdei_setting *setting, const ssde_sde *sde, const ssde_sampler_desc *how) {
    ssde_context *context = how ? how->context : NULL;
    ssde_sampler_desc *full = &setting->how;
    memset(setting, 0, sizeof *setting);
    if (how) *full = *how;
    setting->sde = *sde;
    setting->context = context;
    setting->start = setting->by_d = 1.0;
    if (full->schedule && !full->steps)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "steps is 0, wanted the number of entries in schedule");
    ssdei_try(ssdei_check_choice(context, "predictor", (int)full->predictor, SSDE_PREDICTOR_COUNT));
    ssdei_try(ssdei_check_choice(context, "corrector", (int)full->corrector, SSDE_CORRECTOR_COUNT));
    ssdei_try(ssdei_check_choice(context, "discretisation", (int)full->discretisation, SSDE_DISCRETISE_EULER + 1));
    ssdei_try(ssdei_check_choice(context, "grid", (int)full->grid, SSDE_GRID_COUNT));
    ssdei_setting_choose(setting);
    ssdei_try(ssdei_check_combination(setting));
    ssdei_try(ssdei_check_positive(context, "snr", &full->snr, 0.16));
    ssdei_try(ssdei_check_positive(context, "eps", &full->eps, ssdei_family(sde)->exploding ? 1e-5 : 1e-3));
    ssdei_try(ssdei_check_eps(context, full->eps));
    ssdei_try(ssdei_edit_check(context, full->edit_from, full->given_start,
                               full->times || ssdei_by_index(full->grid) ? 0.0 : full->eps));
    ssdei_try(ssdei_setting_numbers(setting));
    if (!full->steps && !full->times) full->steps = setting->info->steps;
    if (!full->steps && !full->times) full->steps = (size_t)sde->num_scales;
    if (!full->corrector_steps) full->corrector_steps = 1;
    if (!full->resamplings) full->resamplings = 1;
    if (!full->jump) full->jump = 1;
    if (full->steps > INT_MAX || full->corrector_steps == SIZE_MAX ||
        ssdei_multiply(ssdei_multiply(full->steps, full->resamplings), full->corrector_steps + 1) >= 0xffffffffu)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                         "steps is %.0f, corrector_steps %.0f and resamplings %.0f: too many to number",
                         (double)full->steps, (double)full->corrector_steps, (double)full->resamplings);
    if (full->resamplings > 1 && (full->brownian || ssdei_by_index(full->grid) || ssdei_one_condition_draw(setting)))
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED,
                         "resamplings with %s: take steps of fresh noise, like ancestral on a uniform grid",
                         ssdei_by_index(full->grid) ? "a grid by index" : "a sampler that keeps to one path");
    ssdei_try(ssdei_check_schedule(setting));
    if (ssdei_by_index(full->grid) && sde->kind == SSDE_TABULATED && full->steps != (size_t)sde->num_scales)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                         "steps is %.0f on a grid by index, wanted the number of the tabulated SDE's levels, %d",
                         (double)full->steps, sde->num_scales);
    if (ssdei_by_index(full->grid)) setting->sde.num_scales = (int)full->steps;
    return SSDE_OK;
}

static ssde_status ssdei_check_step(ssde_context *context, const ssde_sde *sde, const void *x, const void *score,
                                    const void *z, const double *t, size_t rows, size_t dim, const void *x_next) {
    size_t r;
    if (!sde) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "sde is NULL");
    ssdei_try(ssde_sde_check(context, sde));
    if (!x || !score || !z || !t || !x_next)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s is NULL",
                         !x       ? "x"
                         : !score ? "score"
                         : !z     ? "z"
                         : !t     ? "t"
                                  : "x_next");
    if (!rows || !dim || ssdei_multiply(rows, dim) == SIZE_MAX)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "rows is %.0f and dim %.0f, wanted at least 1 each",
                         (double)rows, (double)dim);
    for (r = 0; r < rows; r++) {
        if (!(t[r] >= 0.0 && t[r] <= 1.0))
            return ssde_fail(context, SSDE_ERROR_ARGUMENT, "t[%lu] is %.17g, wanted 0 to 1", (unsigned long)r, t[r]);
    }
    return SSDE_OK;
}

/* The update on rows first ... end - 1, all at one t. */
static ssde_status ssdei_step_rows(ssde_context *context, const ssdei_update *u, size_t first, size_t end, size_t dim,
                                   const float *x, const float *score, const float *z, const double *t, float *x_next,
                                   float *mean) {
    size_t at = first * dim;
    if (ssdei_update_apply(ssdei_kernels_for(context), x + at, score + at, z + at, (end - first) * dim, u, x_next + at,
                           mean ? mean + at : NULL))
        return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_NUMERIC, "the update is not finite from row %lu on, at t = %.6g",
                     (unsigned long)first, t[first]);
}

/* A step into a t from where no signal was left at t: the rules divide one by the other. */
static ssde_status ssdei_check_signal(const ssdei_setting *setting, double t, double t_next) {
    double mean, mean_next, std;
    ssdei_try(ssdei_marginal(setting->context, &setting->sde, t_next > 0.0 ? t_next : 0.0, &mean_next, &std));
    ssdei_try(ssdei_marginal(setting->context, &setting->sde, t, &mean, &std));
    if (mean >= SSDEI_SIGNAL * mean_next) return SSDE_OK;
    return ssde_fail(setting->context, SSDE_ERROR_NUMERIC,
                     "the step from t = %g, where std / m = %g / %g, to %g: begin at the t of ssde_prior_time", t, std,
                     mean, t_next);
}

ssde_status ssde_predictor_step(const ssde_sde *sde, const ssde_sampler_desc *how, const float *x, const float *score,
                                const float *z, const double *t, const double *t_next, size_t rows, size_t dim,
                                float *x_next, float *mean) {
    ssde_context *context = how ? how->context : NULL;
    ssdei_setting setting;
    size_t r, end;
    int by_index;
    ssdei_try(ssdei_check_step(context, sde, x, score, z, t, rows, dim, x_next));
    ssdei_try(ssdei_setting_make(&setting, sde, how));
    by_index = ssdei_by_index(setting.how.grid);
    if (setting.sde.kind == SSDE_NONLINEAR)
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED,
                         "the step of a nonlinear SDE is no sum of x, score and z: ssde_sample runs it, "
                         "ssde_reverse_drift gives its slope");
    if (setting.method->move && !setting.method->rule)
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED,
                         "%s takes several evaluations or remembers steps: only ssde_sample runs it",
                         setting.info->name);
    if (setting.how.variance == SSDE_VARIANCE_LEARNED)
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED, "variance learned: only ssde_sample asks a model for it");
    if (!by_index && !t_next) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "t_next is NULL");
    for (r = 0; r < rows; r = end) {
        ssdei_update u = {0.0, 0.0, 0.0};
        double next = by_index ? t[r] - 1.0 / (double)setting.how.steps : t_next[r];
        if (!by_index && !(next >= 0.0 && next < t[r]))
            return ssde_fail(context, SSDE_ERROR_ARGUMENT, "t_next[%lu] is %.17g, wanted in [0, t) with t = %.17g",
                             (unsigned long)r, next, t[r]);
        for (end = r + 1; end < rows && t[end] == t[r] && (by_index || t_next[end] == next);) end++;
        if (setting.method->rule) {
            if (!by_index || !ssdei_family(sde)->step) ssdei_try(ssdei_check_signal(&setting, t[r], next));
            ssdei_try(setting.method->rule(&setting, t[r], next, &u));
        }
        ssdei_try(ssdei_step_rows(context, &u, r, end, dim, x, score, z, t, x_next, mean));
    }
    return SSDE_OK;
}

ssde_status ssde_clip_score(const ssde_sde *sde, const ssde_sampler_desc *how, const float *x, const double *t,
                            size_t rows, size_t dim, float *score) {
    ssdei_setting setting;
    ssdei_try(ssdei_check_step(how ? how->context : NULL, sde, x, score, x, t, rows, dim, score));
    ssdei_try(ssdei_setting_make(&setting, sde, how));
    if (setting.how.clip.keep_noise)
        return ssde_fail(
            setting.context, SSDE_ERROR_UNSUPPORTED,
            "clip.keep_noise: no score is that of D' and of the noise as it was, only ssde_sample keeps it");
    return ssdei_setting_clip(&setting, x, t, rows, dim, 0, score);
}

ssde_status ssde_corrector_step(const ssde_sde *sde, const ssde_sampler_desc *how, const float *x, const float *score,
                                const float *z, const double *t, size_t rows, size_t dim, float *x_next, float *mean) {
    ssde_context *context = how ? how->context : NULL;
    ssdei_setting setting;
    double ratio = 1.0;
    size_t r, end;
    ssdei_try(ssdei_check_step(context, sde, x, score, z, t, rows, dim, x_next));
    ssdei_try(ssdei_setting_make(&setting, sde, how));
    if (setting.corrector->batch) ssdei_try(ssdei_norm_ratio(&setting, score, z, rows, dim, &ratio));
    for (r = 0; r < rows; r = end) {
        ssdei_update u = {0.0, 0.0, 0.0};
        for (end = r + 1; end < rows && t[end] == t[r];) end++;
        if (setting.corrector->rule) ssdei_try(ssdei_correction(&setting, t[r], ratio, &u));
        ssdei_try(ssdei_step_rows(context, &u, r, end, dim, x, score, z, t, x_next, mean));
    }
    return SSDE_OK;
}

SSDEI_ONCE_END

/* ---- one block's work ---- */

/* w->score: what `model` gives at x[rows, dim], clipped. */
static ssde_status ssdei_sampler_score(ssdei_sampler *w, const ssde_score_model *model, const float *x, const double *t,
                                       const uint64_t *sample, size_t rows) {
    ssdei_try(ssdei_score(w->context, model, x, t, sample, rows, w->score));
    return ssdei_setting_clip(&w->setting, x, t, rows, w->dim, 0, w->score);
}

/* w->score, or with `denoised` D, and w->told where there is one, at the block's x and t: not clipped. */
static ssde_status ssdei_ask(ssdei_sampler *w, const ssde_score_model *model, const ssdei_block *block, double t,
                             int denoised) {
    size_t r;
    if (t != w->t_value) {
        for (r = 0; r < w->block; r++) w->t[r] = t;
        w->t_value = t;
    }
    if (!block->first) w->report.evaluations++;
    return ssdei_score_and(w->context, model, block->x, w->t, w->sample + block->first, block->rows, denoised, w->score,
                           w->told);
}

static ssde_status ssdei_bound(ssdei_sampler *w, const ssdei_block *block, int denoised) {
    return ssdei_setting_clip(&w->setting, block->x, w->t, block->rows, w->dim, denoised, w->score);
}

/* What a predictor is given at t. */
static ssde_status ssdei_evaluate(ssdei_sampler *w, const ssdei_block *block, double t) {
    int beyond = ssdei_beyond(&w->setting, t);
    ssdei_try(ssdei_ask(w, &w->mover, block, t, beyond));
    return ssdei_bound(w, block, beyond);
}

static ssde_status ssdei_noise(ssdei_sampler *w, const ssdei_block *block, int stream, uint32_t step) {
    return ssdei_draw_normal(w->context, &w->setting.how.noise, w->seed, stream, step, w->sample + block->first,
                             block->rows, w->dim, w->noise);
}

/* A row that is out of the run. Zeros keep its place, so that the others' rows stay as they are. */
static void ssdei_fail_row(ssdei_sampler *w, size_t row, double t, ssde_status status) {
    memset(w->x + row * w->dim, 0, w->dim * sizeof *w->x);
    if (w->failed[row]) return;
    w->failed[row] = (unsigned char)status;
    if (!w->report.failed++ || w->sample[row] < w->report.failed_sample) {
        w->report.failed_sample = w->sample[row];
        w->report.failed_t = t;
    }
}

/* Rows that are not finite. */
static void ssdei_drop_failed(ssdei_sampler *w, const ssdei_block *block, double t) {
    size_t r;
    for (r = 0; r < block->rows; r++) {
        if (ssdei_first_nonfinite(block->x + r * w->dim, w->dim) < w->dim)
            ssdei_fail_row(w, block->first + r, t, SSDE_ERROR_NUMERIC);
    }
}

/* Rows that failed before, which the block's updates have moved along, are zeros again. */
static void ssdei_hold_failed(ssdei_sampler *w, const ssdei_block *block) {
    size_t r;
    for (r = 0; w->report.failed && r < block->rows; r++) {
        if (w->failed[block->first + r]) memset(block->x + r * w->dim, 0, w->dim * sizeof *block->x);
    }
}

typedef struct ssdei_apply_job {
    ssdei_sampler *w;
    const ssdei_block *block;
    const ssdei_update *update;
    int infinite; /* whether any piece has a number that is not finite */
} ssdei_apply_job;

static void ssdei_apply_run(void *argument, ssdei_worker *worker) {
    ssdei_apply_job *job = (ssdei_apply_job *)argument;
    ssdei_sampler *w = job->w;
    size_t begin, end;
    while (ssdei_next_piece(worker, &begin, &end)) {
        const float *noise = job->update->noise != 0.0 ? w->noise + begin : NULL;
        if (!ssdei_update_apply(ssdei_kernels_for(w->context), job->block->x + begin, w->score + begin, noise,
                                end - begin, job->update, job->block->x + begin, NULL))
            ssdei_store_relaxed(&job->infinite, 1);
    }
}

/* The update on a block, whose score and noise are in w. */
static void ssdei_apply(ssdei_sampler *w, const ssdei_block *block, const ssdei_update *update, double t) {
    size_t count = block->rows * w->dim;
    ssdei_apply_job job;
    ssdei_team team;
    job.w = w;
    job.block = block;
    job.update = update;
    job.infinite = 0;
    ssdei_team_set(&team, w->context);
    ssdei_parallel_for(&team, count, count < 65536 ? count : 4096, ssdei_apply_run, &job);
    if (job.infinite) ssdei_drop_failed(w, block, t);
    ssdei_hold_failed(w, block);
}

/* What draws of a step are numbered by. */
static size_t ssdei_visited(const ssdei_sampler *w, size_t step) { return w->visit * w->setting.how.steps + step; }

/* w->noise: the predictor's z over a step, if it has any, or the path's increment in its units: that at every step,
   since the path is where the step before left it. */
static ssde_status ssdei_predictor_noise(ssdei_sampler *w, const ssdei_block *block, const ssdei_step_plan *plan) {
    float *path = w->path ? w->path + block->first * w->dim : NULL;
    size_t step = plan->step, i;
    uint32_t from = ssdei_path_place(w->times[step]), to = ssdei_path_place(w->times[step + 1]);
    float factor;
    if (!path && plan->update.noise == 0.0 && plan->churn.noise == 0.0 && plan->second.noise == 0.0) return SSDE_OK;
    if (!path) return ssdei_noise(w, block, SSDE_STREAM_PREDICTOR, (uint32_t)ssdei_visited(w, step));
    if (!step)
        ssdei_try(ssdei_path_rows(w->context, &w->setting.how.noise, w->seed, from, w->sample + block->first,
                                  block->rows, w->dim, w->noise, path));
    ssdei_try(ssdei_path_rows(w->context, &w->setting.how.noise, w->seed, to, w->sample + block->first, block->rows,
                              w->dim, w->score, w->noise));
    factor = (float)(1.0 / sqrt(ldexp((double)(from - to), -SSDEI_PATH_LEVELS)));
    for (i = 0; i < block->rows * w->dim; i++) {
        float here = w->noise[i];
        w->noise[i] = factor * (path[i] - here);
        path[i] = here;
    }
    return SSDE_OK;
}

/* From s up to s_hat by the predictor's noise. */
static void ssdei_churn_apply(ssdei_sampler *w, const ssdei_block *block, const ssdei_step_plan *plan) {
    if (plan->churn.noise == 0.0) return;
    memset(w->score, 0, block->rows * w->dim * sizeof *w->score);
    ssdei_apply(w, block, &plan->churn, plan->t0);
}

static ssde_status ssdei_once_move(ssdei_sampler *w, const ssdei_block *block, const ssdei_step_plan *plan) {
    ssdei_try(ssdei_predictor_noise(w, block, plan));
    ssdei_try(ssdei_evaluate(w, block, plan->t0));
    ssdei_apply(w, block, &plan->update, plan->t0);
    return SSDE_OK;
}

/* Langevin steps at one noise level. */
static ssde_status ssdei_ladder_move(ssdei_sampler *w, const ssdei_block *block, const ssdei_step_plan *plan) {
    size_t j, count = w->setting.how.corrector_steps, step = plan->step;
    for (j = 0; j < count; j++) {
        ssdei_try(ssdei_evaluate(w, block, plan->t0));
        ssdei_try(ssdei_noise(w, block, SSDE_STREAM_PREDICTOR, (uint32_t)(step * count + j)));
        ssdei_apply(w, block, &plan->update, plan->t0);
        /* the driver numbers the update after the last one step * (count + 1) + 1 */
        if (j + 1 < count)
            ssdei_try(ssdei_condition_update(w, block, plan->t0, (uint32_t)(step * (count + 1) + 2 + j)));
    }
    return SSDE_OK;
}

/* out = p x + q score, or kept + q score. */
static void ssdei_direction(ssdei_sampler *w, const ssdei_block *block, const float *x, double p, double q,
                            float *out) {
    float px = (float)p, qs = (float)q;
    size_t i;
    for (i = 0; i < block->rows * w->dim; i++) out[i] = px * x[i] + qs * w->score[i];
}

/* ---- ddim beside its rule: noise that is kept, a variance that is learned ---- */

/* w->noise: each by exp(f log_ratio), f in w->told. */
static void ssdei_ddim_weigh(ssdei_sampler *w, const ssdei_block *block, const ssdei_step_plan *plan) {
    size_t i;
    for (i = 0; i < block->rows * w->dim; i++) {
        double deviation = plan->update.noise * ssdei_math_exp((double)w->told[i] * plan->log_ratio);
        w->noise[i] = (float)(deviation * (double)w->noise[i]);
    }
}

static ssde_status ssdei_ddim_move(ssdei_sampler *w, const ssdei_block *block, const ssdei_step_plan *plan) {
    ssdei_update u = plan->update;
    int beyond = ssdei_beyond(&w->setting, plan->t0);
    ssdei_try(ssdei_predictor_noise(w, block, plan));
    ssdei_churn_apply(w, block, plan);
    ssdei_try(ssdei_ask(w, &w->mover, block, plan->t0, beyond));
    if (w->setting.how.clip.keep_noise) {
        ssdei_direction(w, block, block->x, 0.0, plan->keep_score, w->kept);
        u.score = 1.0;
    }
    ssdei_try(ssdei_bound(w, block, beyond));
    if (w->setting.how.clip.keep_noise) ssdei_direction(w, block, w->kept, 1.0, plan->second.score, w->score);
    if (w->told && u.noise > 0.0) {
        ssdei_ddim_weigh(w, block, plan);
        u.noise = 1.0;
    }
    ssdei_apply(w, block, &u, plan->t0);
    return SSDE_OK;
}

SSDEI_ONCE_BEGIN

/* ---- steps of two evaluations ---- */

/* F = -a x + g^2 s, half of that score for the flow: x1 = x + h F + g sqrt(h) z, then x1 + h (F1 - F) / 2 + (g1 - g)
   sqrt(h) z / 2, the trapezoid of both. */
static ssde_status ssdei_stochastic_heun_plan(const ssdei_setting *setting, ssdei_step_plan *plan) {
    double a, g, score, a_next, g_next, score_next, h = plan->t0 - plan->t1;
    double part = setting->how.probability_flow ? 0.5 : 1.0;
    ssdei_try(ssdei_slopes(setting->context, &setting->sde, part, plan->t0, &a, &score, &g));
    ssdei_try(ssdei_slopes(setting->context, &setting->sde, part, plan->t1, &a_next, &score_next, &g_next));
    plan->update.x = -a * h;
    plan->update.score = score * h;
    plan->keep_x = -0.5 * plan->update.x;
    plan->keep_score = -0.5 * plan->update.score;
    plan->second.x = -0.5 * a_next * h;
    plan->second.score = 0.5 * score_next * h;
    if (setting->how.probability_flow) return SSDE_OK;
    plan->update.noise = g * sqrt(h);
    plan->second.noise = 0.5 * (g_next - g) * sqrt(h);
    return SSDE_OK;
}

/* The churn of Karras et al.'s algorithm 2: from s up to s_hat by fresh noise, whose t becomes plan->t0; of churn that
   the model does not see s_hat alone. */
static ssde_status ssdei_churn_plan(const ssdei_setting *setting, ssdei_step_plan *plan, double *s_hat) {
    const ssde_sampler_desc *how = &setting->how;
    double mean, std, mean_hat, std_hat, s, s_first;
    double gamma = fmin(how->s_churn / (double)how->steps, sqrt(2.0) - 1.0);
    ssdei_try(ssdei_marginal(setting->context, &setting->sde, plan->t0, &mean, &std));
    s = *s_hat = std / mean;
    if (gamma > 0.0 && s >= how->s_tmin && s <= how->s_tmax) *s_hat = s * (1.0 + gamma);
    if (*s_hat == s || how->churn_unseen) return SSDE_OK;
    ssdei_try(ssdei_noise_level(setting->context, &setting->sde, setting->start, &s_first));
    *s_hat = fmin(*s_hat, s_first);
    if (!(*s_hat > s)) return SSDE_OK;
    ssdei_try(ssde_noise_time(setting->context, &setting->sde, *s_hat, &plan->t0));
    ssdei_try(ssdei_marginal(setting->context, &setting->sde, plan->t0, &mean_hat, &std_hat));
    plan->churn.x = mean_hat / mean - 1.0;
    plan->churn.noise = how->s_noise * mean_hat * sqrt((*s_hat - s) * (*s_hat + s));
    return SSDE_OK;
}

/* Karras et al.'s algorithm 2 in y = x / m and s: after churn along dy / ds = -std score to s', and the trapezoid of
   the slopes at both ends. */
static ssde_status ssdei_heun_plan(const ssdei_setting *setting, ssdei_step_plan *plan) {
    double mean_hat, std_hat, mean_next, std_next, s_hat, step;
    if (ssdei_beyond(setting, plan->t0)) return ssdei_rule_ddim(setting, plan->t0, plan->t1, &plan->update);
    ssdei_try(ssdei_churn_plan(setting, plan, &s_hat));
    ssdei_try(ssdei_marginal(setting->context, &setting->sde, plan->t0, &mean_hat, &std_hat));
    ssdei_try(ssdei_marginal(setting->context, &setting->sde, plan->t1, &mean_next, &std_next));
    step = mean_next * (s_hat - std_next / mean_next);
    plan->update.x = mean_next / mean_hat - 1.0;
    plan->update.score = step * std_hat;
    plan->keep_score = -0.5 * step * std_hat;
    plan->second.score = 0.5 * step * std_next;
    return SSDE_OK;
}

/* That algorithm without the second slope: DDIM from s_hat. Where the model does not see the churn, its output o at y
   and s, which says D = p o + q y there, is taken to say D_hat = p_hat o + q_hat y_hat at y_hat and s_hat, and y' is
   y_hat + (s' / s_hat - 1) (y_hat - D_hat). A velocity's p and q stay those at s. */
static ssde_status ssdei_ddim_churned(const ssdei_setting *setting, ssdei_step_plan *plan) {
    const ssde_sampler_desc *how = &setting->how;
    ssde_output_map map, hat;
    ssdei_update denoise;
    double mean, std, mean_next, std_next, s, s_hat, step, slope, kept;
    ssdei_try(ssdei_churn_plan(setting, plan, &s_hat));
    if (!how->churn_unseen) return ssdei_rule_ddim(setting, plan->t0, plan->t1, &plan->update);
    ssdei_try(ssdei_marginal(setting->context, &setting->sde, plan->t0, &mean, &std));
    ssdei_try(ssdei_marginal(setting->context, &setting->sde, plan->t1, &mean_next, &std_next));
    s = std / mean;
    if (s_hat == s) return SSDE_OK;
    ssdei_output_map(how->churn_unseen, how->sigma_data, 1.0, s, &map);
    ssdei_output_map(how->churn_unseen, how->sigma_data, 1.0, how->churn_unseen == SSDE_PREDICT_VELOCITY ? s : s_hat,
                     &hat);
    step = std_next / mean_next / s_hat - 1.0;
    slope = step * hat.data_output / map.data_output;
    kept = 1.0 + step * (1.0 - hat.data_x);
    ssdei_try(ssdei_setting_denoise(setting, plan->t0, &denoise));
    plan->update.x = mean_next * ((kept + slope * map.data_x) / mean - slope * (1.0 + denoise.x)) - 1.0;
    plan->update.score = -mean_next * slope * denoise.score;
    plan->update.noise = how->s_noise * mean_next * kept * sqrt((s_hat - s) * (s_hat + s));
    return SSDE_OK;
}

/* m' D' = m' / m x + second.score (score of D'), beside which the noise gives keep_score (score of the noise); or, by
   D, second.score D' and keep_score D. */
static ssde_status ssdei_ddim_plan(const ssdei_setting *setting, ssdei_step_plan *plan) {
    double mean, std, mean_next, std_next;
    if (setting->how.s_churn > 0.0) ssdei_try(ssdei_ddim_churned(setting, plan));
    if (!setting->how.clip.keep_noise && setting->how.variance != SSDE_VARIANCE_LEARNED) return SSDE_OK;
    ssdei_try(ssdei_marginal(setting->context, &setting->sde, plan->t0, &mean, &std));
    ssdei_try(ssdei_marginal(setting->context, &setting->sde, plan->t1, &mean_next, &std_next));
    plan->second.score = ssdei_beyond(setting, plan->t0) ? mean_next : mean_next / mean * std * std;
    plan->keep_score = plan->update.score - plan->second.score;
    if (plan->update.noise > 0.0) plan->log_ratio = ssdei_math_log(std / std_next);
    return SSDE_OK;
}

/* In y = x / (m + std) and tau, dy / dtau = u = -(x + std (m + std) score) / m: DDIM's step by tau - tau' = 2 half /
   (m' + std'), and the trapezoid of the slopes at both ends, x1 + half (u - u1). */
static ssde_status ssdei_straight_heun_plan(const ssdei_setting *setting, ssdei_step_plan *plan) {
    double mean, std, mean_next, std_next, half;
    ssdei_try(ssdei_marginal(setting->context, &setting->sde, plan->t0, &mean, &std));
    ssdei_try(ssdei_marginal(setting->context, &setting->sde, plan->t1, &mean_next, &std_next));
    ssdei_try(ssdei_rule_ddim(setting, plan->t0, plan->t1, &plan->update));
    if (ssdei_beyond(setting, plan->t0)) return SSDE_OK;
    half = 0.5 * (std * mean_next - std_next * mean) / (mean + std);
    plan->keep_x = -half / mean;
    plan->keep_score = plan->keep_x * std * (mean + std);
    plan->second.x = half / mean_next;
    plan->second.score = plan->second.x * std_next * (mean_next + std_next);
    return SSDE_OK;
}

static ssde_status ssdei_twice_move(ssdei_sampler *w, const ssdei_block *block, const ssdei_step_plan *plan) {
    ssdei_update u = plan->second;
    ssdei_try(ssdei_predictor_noise(w, block, plan));
    ssdei_churn_apply(w, block, plan);
    ssdei_try(ssdei_evaluate(w, block, plan->t0));
    ssdei_direction(w, block, block->x, plan->keep_x, plan->keep_score, w->kept);
    ssdei_apply(w, block, &plan->update, plan->t0);
    if (plan->once) return SSDE_OK;
    ssdei_try(ssdei_evaluate(w, block, plan->t1));
    ssdei_direction(w, block, w->kept, 1.0, u.score, w->score);
    u.score = 1.0;
    ssdei_apply(w, block, &u, plan->t1);
    return SSDE_OK;
}

/* ---- multistep: DPM-Solver++, UniPC ----

   A step by h = log(s / s') is y' = e^-span y + sum_j weight_j D_j + s' sqrt(1 - e^(-2 eta h)) z with span = (1 + eta)
   h, the D's newest first. The exact y' is such a sum over the whole path, in which D weighs e^-span per unit of span:
   each stretch has what its own step would give it at first order, 1 - e^-span, and e^-span of every step after it
   times that. Polynomials through D's are exact in the limit of short steps. A step that is long, or long beside those
   before, they extrapolate, and their weights take from older D's, for D_0, many times what there is of them. Hence the
   rule of orders: from the weights of the order below a step goes towards those of the next as far as
       - D_0 gains at most what the step before gave D_1, as it has decayed by the end of this step, times h_1 / h where
         this step is the longer; or, if that is more, three quarters of what D has yet to change by where it settles
         like s^2, (D_0 - D_1) / (e^(2 h_1) - 1), and 0.3 (D_0 - D_1) at most;
       - third order gives D_2 at most what the step before took from it, and takes nothing.
   So y stays close to a weighted mean of the D's, as it is without error, and a jump of D between two evaluations costs
   about what it costs at first order. A correction takes from the older D at most what a first-order step has given it.
   Of equal steps past the start, second order is whole up to h = log 3, third up to about 0.65. Nothing but the times
   decides it. */

/* With positions r in steps from D_0 on, the polynomial D_0 + a_1 r + a_2 r^2 + ... through the outputs is given
   moment_j of a_j. The step's exact ones are those of e^(-(1 - r) span) span, j! sum_k (-span)^k span / (j + k + 1)!.
   span < 0: of the noise, in units of (1 + eta) s'. */
static void ssdei_multistep_moments(double span, double *moment) {
    double term = 0.25 * span;
    int j;
    moment[0] = -ssdei_math_expm1(-span);
    for (j = 1; j <= 3; j++) moment[j] = 1.0 - (double)j * moment[j - 1] / span;
    if (fabs(span) > 1.0) return;
    for (moment[3] = 0.0, j = 5; j < 25; j++) {
        moment[3] += term;
        term *= -span / (double)j;
    }
    for (j = 3; j > 1; j--) moment[j - 1] = (1.0 - moment[j]) * span / (double)j;
}

/* weight [SSDEI_HISTORY + 1] of the outputs, newest first, by moments: `order` of them at and before the step's start,
   and with `ended` the one at its end. span [order] is of the step and of those before. With at_i where output i is,
   sum_i share_i at_i^j = moment_(j + 1), by Bjoerck and Pereyra 1970, are the shares of (output_i - D_0) / at_i. */
static void ssdei_multistep_polynomial(const double *span, size_t order, int ended, const double *moment,
                                       double *weight) {
    double at[SSDEI_HISTORY], *share = weight + 1, back = 0.0;
    size_t count = 0, j, k;
    if (ended) at[count++] = 1.0;
    for (j = 1; j < order; j++) at[count++] = back -= span[j] / span[0];
    for (j = 0; j < SSDEI_HISTORY; j++) share[j] = j < count ? moment[j + 1] : 0.0;
    for (k = 0; k + 1 < count; k++) {
        for (j = count - 1; j > k; j--) share[j] -= at[k] * share[j - 1];
    }
    for (k = count; k-- > 1;) {
        for (j = k; j < count; j++) share[j] /= at[j] - at[j - k];
        for (j = k - 1; j + 1 < count; j++) share[j] -= share[j + 1];
    }
    weight[0] = moment[0];
    for (j = 0; j < count; j++) {
        share[j] /= at[j];
        weight[0] -= share[j];
    }
    if (!ended) return;
    back = weight[0], weight[0] = weight[1], weight[1] = back;
}

/* How much of the way from one value, which is within the bounds, to the other stays within them: 0 to 1. */
static double ssdei_part_within(double from, double to, double low, double high) {
    if (to < low) return (from - low) / (from - to);
    return to > high ? (high - from) / (to - from) : 1.0;
}

static void ssdei_weights_towards(const double *full, double part, double *weight) {
    int j;
    for (j = 0; j < 3; j++) weight[j] += part * (full[j] - weight[j]);
}

/* First order's weights raised to 2M's, exact for a line in log s but for its slope, taken at the middle of the step as
   Lu et al. do, and those to 3M's, exact for the parabola: as far as the rule goes. span [known] is of this step and of
   those before, whose newest had the weights `before`. */
static void ssdei_multistep_weights(const double *span, size_t known, const double *before, double *weight) {
    double gone = -ssdei_math_expm1(-span[0]), full[SSDEI_HISTORY + 1] = {0.0}, moment[SSDEI_HISTORY + 1], gain,
           settled;
    weight[0] = gone;
    weight[1] = weight[2] = 0.0;
    if (known < 2) return;
    gain = ssdei_math_exp(-span[0]) * before[0] * fmin(1.0, span[1] / span[0]);
    settled = gone * fmin(0.3, 0.75 * gone / ssdei_math_expm1(2.0 * span[1]));
    gain = gone + (gain > settled ? gain : settled);
    full[1] = -0.5 * gone * span[0] / span[1];
    full[0] = gone - full[1];
    ssdei_weights_towards(full, ssdei_part_within(weight[0], full[0], 0.0, gain), weight);
    if (known < 3) return;
    ssdei_multistep_moments(span[0], moment);
    ssdei_multistep_polynomial(span, 3, 0, moment, full);
    ssdei_weights_towards(full,
                          fmin(ssdei_part_within(weight[0], full[0], 0.0, gain),
                               ssdei_part_within(0.0, full[2], 0.0, -ssdei_math_exp(-span[0]) * fmin(0.0, before[1]))),
                          weight);
}

/* The step before had the weights `before` of D_1 and D_2. Now that D_0, at its end, is known, it is to have those
   exact for the parabola in log s through D_0, D_1 and D_2, as UniPC with B = 1 - e^-span has them; the first step,
   which has no D_2, halves of D_0 and D_1. The difference has since decayed by e^-span[0]. */
static void ssdei_multistep_correct(const double *span, size_t known, const double *before, double *weight) {
    double gone = -ssdei_math_expm1(-span[1]), decay = ssdei_math_exp(-span[0]), full[SSDEI_HISTORY + 1], corrected[3];
    corrected[0] = corrected[1] = 0.5 * gone;
    corrected[2] = 0.0;
    if (known == 3) {
        double moment[SSDEI_HISTORY + 1];
        ssdei_multistep_moments(span[1], moment);
        ssdei_multistep_polynomial(span + 1, 2, 1, moment, full);
        ssdei_weights_towards(
            full, ssdei_part_within(0.0, full[2], ssdei_math_exp(-span[1]) * ssdei_math_expm1(-span[2]), DBL_MAX),
            corrected);
    }
    weight[0] += decay * corrected[0];
    weight[1] += decay * (corrected[1] - before[0]);
    weight[2] += decay * (corrected[2] - before[1]);
}

/* As published, a line counts as in the middle of the step, and the parabola of dpm_solver_3m by half. */
static void ssdei_published_weights(const ssdei_setting *setting, const double *span, size_t order, int ended,
                                    double *weight) {
    const ssde_multistep *how = &setting->how.multistep;
    size_t count = ended ? order : order - 1;
    double moment[SSDEI_HISTORY + 1];
    ssdei_multistep_moments(span[0], moment);
    if (count == 1 && !how->heun && !how->exact) moment[1] = 0.5 * (how->bh1 ? span[0] : moment[0]);
    if (!how->exact && !(setting->method->traits & SSDEI_CORRECTS))
        moment[2] = 0.5 * moment[2] - (how->third_as_diffusers ? 1.0 : 0.0);
    ssdei_multistep_polynomial(span, order, ended, moment, weight);
}

/* Of a step, by the number of those before and after. */
static size_t ssdei_published_order(const ssdei_setting *setting, size_t step) {
    const ssde_multistep *how = &setting->how.multistep;
    size_t order = (size_t)how->order,
           left = setting->how.steps - step + (setting->how.skip_denoise || setting->clean ? 0 : 1);
    if (order > step + 1) order = step + 1;
    if (how->fewer_at_end && order > left) order = left;
    return how->euler_at_end && left == 1 ? 1 : order;
}

/* plan->alone and plan->weight, by up to `known` outputs with this step's. */
static void ssdei_published_plan(const ssdei_setting *setting, const double *span, size_t known,
                                 ssdei_step_plan *plan) {
    const ssde_multistep *how = &setting->how.multistep;
    size_t order = span[0] == 0.0 ? 1 : ssdei_published_order(setting, plan->step), j;
    double corrected[SSDEI_HISTORY + 1], decay = ssdei_math_exp(-span[0]);
    ssdei_published_weights(setting, span, order < known ? order : known, 0, plan->alone);
    memcpy(plan->weight, plan->alone, sizeof plan->weight);
    if (!(setting->method->traits & SSDEI_CORRECTS) || known < 2) return;
    for (j = 0; j < how->uncorrected_count; j++) {
        if (how->uncorrected[j] == plan->step - 1) return;
    }
    order = ssdei_published_order(setting, plan->step - 1);
    ssdei_published_weights(setting, span + 1, order < known ? order : known - 1, 1, corrected);
    for (j = 0; j <= SSDEI_HISTORY; j++) plan->weight[j] += decay * (corrected[j] - (j ? plan[-1].alone[j - 1] : 0.0));
}

/* By the last outputs, up to `known` of them with this step's; first raised to `order`, then correcting the step
   before. */
static ssde_status ssdei_multistep_plan(const ssdei_setting *setting, size_t known, size_t order, int corrects,
                                        ssdei_step_plan *plan) {
    double level[SSDEI_HISTORY + 2], span[SSDEI_HISTORY + 1], h, eta = setting->how.eta, mean, std, mean_next, std_next;
    const double *before = (plan->step ? plan - 1 : plan)->alone;
    ssdei_update denoise;
    size_t j;
    int published = setting->how.multistep.published, noise;
    if (published) known = setting->history + 1;
    if (known > plan->step + 1) known = plan->step + 1;
    ssdei_try(ssdei_noise_level(setting->context, &setting->sde, plan->t1, &level[0]));
    for (j = 0; j < known; j++) {
        ssdei_try(ssdei_marginal(setting->context, &setting->sde, (plan - j)->t0, &mean, &std));
        level[j + 1] = std / mean;
        if (mean == 0.0) known = j ? j : 1, level[1] = 1e300 * (level[0] > 0.0 ? level[0] : 1.0); /* D_0 alone */
    }
    noise = setting->how.multistep.noise && level[0] > 0.0;
    if (level[0] == 0.0) known = 1, level[0] = 1e-300 * level[1]; /* of all that is before D alone is left */
    h = ssdei_math_log(level[1] / level[0]);
    for (j = 0; j < known; j++) {
        span[j] = (noise ? -1.0 : 1.0 + eta) * ssdei_math_log(level[j + 1] / level[j]);
        if (j && !(level[j + 1] > level[j])) known = j; /* times whose noise is the same double */
    }
    ssdei_try(ssdei_marginal(setting->context, &setting->sde, plan->t0, &mean, &std));
    ssdei_try(ssdei_marginal(setting->context, &setting->sde, plan->t1, &mean_next, &std_next));
    if (published) {
        ssdei_published_plan(setting, span, known, plan);
    } else {
        if (!(span[0] > 0.0)) known = 1;
        ssdei_multistep_weights(span, known < order ? known : order, before, plan->alone);
        memcpy(plan->weight, plan->alone, sizeof plan->weight);
        if (known > 1 && corrects) ssdei_multistep_correct(span, known, before, plan->weight);
    }
    if (noise) {
        plan->keep_score = -std;
        if (ssdei_beyond(setting, plan->t0)) plan->keep_x = 1.0 / std, plan->keep_score = -mean / std;
        plan->update.x = mean_next / mean - 1.0;
        plan->update.score = (1.0 + eta) * std_next;
        plan->update.noise = std_next * sqrt(eta * ssdei_math_expm1(2.0 * h));
        return SSDE_OK;
    }
    ssdei_try(ssdei_setting_denoise(setting, plan->t0, &denoise));
    plan->keep_x = 1.0 + denoise.x;
    plan->keep_score = denoise.score;
    plan->update.x = std_next / std * ssdei_math_exp(-eta * h) - 1.0;
    plan->update.score = mean_next;
    plan->update.noise = std_next * sqrt(-ssdei_math_expm1(-2.0 * eta * h));
    return SSDE_OK;
}

static ssde_status ssdei_2m_plan(const ssdei_setting *setting, ssdei_step_plan *plan) {
    return ssdei_multistep_plan(setting, 2, 2, 0, plan);
}

static ssde_status ssdei_3m_plan(const ssdei_setting *setting, ssdei_step_plan *plan) {
    return ssdei_multistep_plan(setting, 3, 3, plan->step == 1, plan);
}

static ssde_status ssdei_unipc_plan(const ssdei_setting *setting, ssdei_step_plan *plan) {
    return ssdei_multistep_plan(setting, 3, 2, 1, plan);
}

/* The oldest D, in the place that the newest takes after this step, is the last of the sum. */
static ssde_status ssdei_multistep_move(ssdei_sampler *w, const ssdei_block *block, const ssdei_step_plan *plan) {
    size_t kept = w->setting.history, order = plan->step < kept ? plan->step : kept, i, j;
    float keep_x = (float)plan->keep_x, keep_score = (float)plan->keep_score, weight[SSDEI_HISTORY + 1];
    float *past[SSDEI_HISTORY + 1]; /* newest first */
    ssdei_try(ssdei_predictor_noise(w, block, plan));
    ssdei_try(ssdei_evaluate(w, block, plan->t0));
    for (j = 0; j <= kept; j++) {
        weight[j] = (float)plan->weight[j];
        past[j] = w->history[(plan->step + kept - j) % kept] + block->first * w->dim;
    }
    for (i = 0; i < block->rows * w->dim; i++) {
        float newest = keep_x * block->x[i] + keep_score * w->score[i], sum = 0.0f + weight[0] * newest;
        for (j = 1; j <= order; j++) sum += weight[j] * past[j][i];
        past[0][i] = newest;
        w->score[i] = sum;
    }
    ssdei_apply(w, block, &plan->update, plan->t0);
    return SSDE_OK;
}

/* ---- pndm ---- */

/* An evaluation of a step: o = keep_x x + keep_score s at t, of which the step's sum takes part. DDIM by o, or by the
   sum after the last, leads x of the step's start on. */
typedef struct ssdei_pndm_stage {
    double t, part, keep_x, keep_score;
    ssdei_update update; /* its score is o */
} ssdei_pndm_stage;

static size_t ssdei_pndm_stages(const ssdei_setting *setting, size_t step) {
    if (setting->how.pndm.heun_start) return step ? 1 : 2;
    return step < 3 ? 4 : 1;
}

/* o = target_data D + target_noise n of score, or of D itself. */
static ssde_status ssdei_pndm_output(const ssdei_setting *setting, double t, double *keep_x, double *keep_score) {
    ssde_output_map map;
    double mean, std;
    ssdei_try(ssdei_marginal(setting->context, &setting->sde, t, &mean, &std));
    ssdei_output_map(setting->how.pndm.sums, 0.0, mean, std, &map);
    if (ssdei_beyond(setting, t)) {
        *keep_x = map.target_noise / std;
        *keep_score = map.target_data - map.target_noise * mean / std;
    } else {
        *keep_x = map.target_data / mean;
        *keep_score = *keep_x * std * std - map.target_noise * std;
    }
    return SSDE_OK;
}

/* x' = m' D + std' n of x and o, both at `from`. */
static ssde_status ssdei_pndm_transfer(const ssdei_setting *setting, double from, double to, ssdei_update *u) {
    ssde_output_map map;
    double mean, std, mean_to, std_to;
    ssdei_try(ssdei_marginal(setting->context, &setting->sde, from, &mean, &std));
    ssdei_try(ssdei_marginal(setting->context, &setting->sde, to, &mean_to, &std_to));
    ssdei_output_map(setting->how.pndm.sums, 0.0, mean, std, &map);
    u->x = mean_to * map.data_x + std_to * map.noise_x - 1.0;
    u->score = mean_to * map.data_output + std_to * map.noise_output;
    u->noise = 0.0;
    return SSDE_OK;
}

/* Half of h, on a tabulated SDE down to whole levels if it is of two or more. */
static double ssdei_pndm_half(const ssdei_setting *setting, double h) {
    double levels = (double)(setting->sde.num_scales - 1), whole = floor(0.5 * h * levels + 1e-6) / levels;
    return setting->sde.kind == SSDE_TABULATED && (whole > 0.0 || setting->how.pndm.step > 0.0) ? whole : 0.5 * h;
}

static ssde_status ssdei_pndm_stage_at(const ssdei_setting *setting, const ssdei_step_plan *plan, size_t j,
                                       ssdei_pndm_stage *stage) {
    static const double parts[4] = {1.0 / 6.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 6.0};
    double step = setting->how.pndm.step, half = ssdei_pndm_half(setting, step > 0.0 ? step : plan->t0 - plan->t1);
    double from = plan->t0, to = plan->t1, middle = plan->t1 + half;
    if (setting->how.pndm.heun_start) {
        stage->t = j ? plan->t_next : plan->t0;
        stage->part = 0.5;
        if (j) to = plan->t_next;
        if (j && step > 0.0) from = to + step;
    } else {
        stage->t = j == 0 ? plan->t0 : j < 3 ? middle : plan->t1;
        stage->part = parts[j];
        if (j < 2) to = j || step == 0.0 ? middle : plan->t0 - half;
    }
    if (!(to >= 0.0 && stage->t <= 1.0 && from <= 1.0))
        return ssde_fail(setting->context, SSDE_ERROR_ARGUMENT,
                         "pndm.step is %g, which leads from t = %g to %g and from %g to %g, wanted 0 to 1", step,
                         plan->t0, to, from, stage->t);
    ssdei_try(ssdei_pndm_output(setting, stage->t, &stage->keep_x, &stage->keep_score));
    return ssdei_pndm_transfer(setting, from, to, &stage->update);
}

/* Adams and Bashforth's, as a multistep plan; the start's stages are made as they are needed, too. */
static ssde_status ssdei_pndm_plan(const ssdei_setting *setting, ssdei_step_plan *plan) {
    static const double weights[4][4] = {{1.0, 0.0, 0.0, 0.0},
                                         {3.0 / 2.0, -1.0 / 2.0, 0.0, 0.0},
                                         {23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0, 0.0},
                                         {55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0}};
    ssdei_pndm_stage stage;
    size_t stages = ssdei_pndm_stages(setting, plan->step), j;
    for (j = 0; stages > 1 && j < stages; j++) {
        ssdei_try(ssdei_pndm_stage_at(setting, plan, j, &stage));
        plan->update = stage.update;
        if (!(fabs(stage.update.x + stage.update.score) <= DBL_MAX)) return SSDE_OK; /* and that is said */
    }
    if (stages > 1) return SSDE_OK;
    memcpy(plan->weight, weights[plan->step < 3 ? plan->step : 3], sizeof plan->weight);
    ssdei_try(ssdei_pndm_output(setting, plan->t0, &plan->keep_x, &plan->keep_score));
    return ssdei_pndm_transfer(setting, plan->t0, plan->t1, &plan->update);
}

/* w->kept is x of the step's start, w->noise the sum. */
static ssde_status ssdei_pndm_move(ssdei_sampler *w, const ssdei_block *block, const ssdei_step_plan *plan) {
    size_t stages = ssdei_pndm_stages(&w->setting, plan->step), count = block->rows * w->dim, i, j;
    float *past = w->history[plan->step % w->setting.history] + block->first * w->dim;
    ssdei_pndm_stage stage;
    if (stages == 1) return ssdei_multistep_move(w, block, plan);
    memcpy(w->kept, block->x, count * sizeof *w->kept);
    for (j = 0; j < stages; j++) {
        ssdei_try(ssdei_pndm_stage_at(&w->setting, plan, j, &stage));
        ssdei_try(ssdei_evaluate(w, block, stage.t));
        ssdei_direction(w, block, block->x, stage.keep_x, stage.keep_score, w->score);
        if (!j) memcpy(past, w->score, count * sizeof *past);
        for (i = 0; i < count; i++) w->noise[i] = (j ? w->noise[i] : 0.0f) + (float)stage.part * w->score[i];
        if (j + 1 == stages) memcpy(w->score, w->noise, count * sizeof *w->score);
        memcpy(block->x, w->kept, count * sizeof *w->kept);
        ssdei_apply(w, block, &stage.update, stage.t);
    }
    return SSDE_OK;
}

/* ---- adaptive ---- */

/* Only that the SDE has numbers there: each row finds its own steps. */
static ssde_status ssdei_adaptive_plan(const ssdei_setting *setting, ssdei_step_plan *plan) {
    double drift, diffusion;
    return ssdei_rates(setting->context, &setting->sde, plan->t0, &drift, &diffusion);
}

/* Whether row r of the block is still on its way; it fails where the evaluations of another try are not granted. */
static int ssdei_adapt_goes_on(ssdei_sampler *w, const ssdei_block *block, size_t r, double stop) {
    const ssdei_travellers *a = &w->travellers;
    size_t row = block->first + r;
    if (w->failed[row] || a->here[r] <= stop) return 0;
    if (a->evaluations[row] + (a->known[r] ? 1 : 2) <= w->setting.how.max_evaluations) return 1;
    ssdei_fail_row(w, row, a->here[r], SSDE_ERROR_LIMIT);
    return 0;
}

SSDEI_ONCE_END

static void ssdei_adapt_begin(ssdei_sampler *w, const ssdei_block *block, const ssdei_step_plan *plan) {
    ssdei_travellers *a = &w->travellers;
    size_t r;
    for (r = a->count = 0; r < block->rows; r++) {
        a->here[r] = plan->t0;
        a->known[r] = 0;
        if (!plan->step) a->length[block->first + r] = 0.01; /* the paper's first step */
        if (ssdei_adapt_goes_on(w, block, r, plan->t1)) a->row[a->count++] = r;
    }
    if (!plan->step) memcpy(a->before + block->first * w->dim, block->x, block->rows * w->dim * sizeof *block->x);
}

/* The scores at x of travellers that have moved. */
static ssde_status ssdei_adapt_scores(ssdei_sampler *w, const ssdei_block *block) {
    ssdei_travellers *a = &w->travellers;
    size_t bytes = w->dim * sizeof *block->x, count = 0, i;
    for (i = 0; i < a->count; i++) {
        size_t r = a->row[i];
        if (a->known[r]) continue;
        memcpy(a->next + count * w->dim, block->x + r * w->dim, bytes);
        a->t[count] = a->here[r];
        a->sample[count++] = w->sample[block->first + r];
        a->evaluations[block->first + r]++;
    }
    if (!count) return SSDE_OK;
    ssdei_try(ssdei_sampler_score(w, &w->mover, a->next, a->t, a->sample, count));
    for (i = count = 0; i < a->count; i++) {
        size_t r = a->row[i];
        if (a->known[r]) continue;
        memcpy(a->score + r * w->dim, w->score + count++ * w->dim, bytes);
        a->known[r] = 1;
    }
    return SSDE_OK;
}

/* Every traveller's step: a->t its end, x1 by Euler-Maruyama along the path, and the score there in w->score. */
static ssde_status ssdei_adapt_try(ssdei_sampler *w, const ssdei_block *block, double stop) {
    ssdei_travellers *a = &w->travellers;
    float *next = a->next, *path_next = a->path_next;
    double part = w->setting.how.probability_flow ? 0.5 : 1.0;
    size_t i, j;
    for (i = 0; i < a->count; i++) {
        size_t r = a->row[i];
        double length = a->length[block->first + r];
        a->t[i] = a->here[r] - length > stop + ssdei_path_step ? a->here[r] - length : stop;
        a->sample[i] = w->sample[block->first + r];
        a->evaluations[block->first + r]++;
    }
    if (part == 1.0)
        ssdei_try(ssde_brownian(w->context, &w->setting.how.noise, w->seed, a->t, a->sample, a->count, w->dim, w->noise,
                                path_next));
    for (i = 0; i < a->count; i++) {
        size_t r = a->row[i];
        const float *x = block->x + r * w->dim, *score = a->score + r * w->dim;
        const float *path = a->path + r * w->dim;
        double drift, factor, diffusion, h = a->here[r] - a->t[i];
        double apart =
            ldexp((double)ssdei_path_place(a->here[r]) - (double)ssdei_path_place(a->t[i]), -SSDEI_PATH_LEVELS);
        float slope[2];
        ssdei_try(ssdei_slopes(w->context, &w->setting.sde, part, a->here[r], &drift, &factor, &diffusion));
        slope[0] = (float)(1.0 - h * drift);
        slope[1] = (float)(h * factor);
        /* the path's places are rounded, the step is not */
        a->noise[i] = part == 1.0 && apart > 0.0 ? sqrt(h / apart) : 0.0;
        for (j = 0; j < w->dim; j++) next[i * w->dim + j] = slope[0] * x[j] + slope[1] * score[j];
        for (j = 0; j < w->dim && a->noise[i] > 0.0; j++)
            next[i * w->dim + j] += (float)(a->noise[i] * diffusion) * (path[j] - path_next[i * w->dim + j]);
    }
    return ssdei_sampler_score(w, &w->mover, next, a->t, a->sample, a->count);
}

/* w->noise of traveller i becomes x2, the trapezoid of both ends; returns the RMS of x1 - x2 over the tolerance. */
static ssde_status ssdei_adapt_compare(ssdei_sampler *w, const ssdei_block *block, size_t i, double *error) {
    const ssdei_travellers *a = &w->travellers;
    size_t r = a->row[i], j;
    const float *x = block->x + r * w->dim, *x1 = a->next + i * w->dim;
    const float *score = a->score + r * w->dim, *score1 = w->score + i * w->dim;
    const float *path = a->path + r * w->dim;
    const float *path_next = a->path_next + i * w->dim;
    const float *before = a->before + (block->first + r) * w->dim;
    double part = w->setting.how.probability_flow ? 0.5 : 1.0, h = 0.5 * (a->here[r] - a->t[i]), sum = 0.0;
    double drift, factor, diffusion, drift1, factor1, diffusion1, noise;
    ssdei_try(ssdei_slopes(w->context, &w->setting.sde, part, a->here[r], &drift, &factor, &diffusion));
    ssdei_try(ssdei_slopes(w->context, &w->setting.sde, part, a->t[i], &drift1, &factor1, &diffusion1));
    noise = 0.5 * a->noise[i] * (diffusion + diffusion1);
    for (j = 0; j < w->dim; j++) {
        double slope = factor * (double)score[j] - drift * (double)x[j];
        double slope1 = factor1 * (double)score1[j] - drift1 * (double)x1[j];
        double x2 = (double)x[j] + h * (slope + slope1), size = fabs((double)x1[j]), ratio;
        if (noise > 0.0) x2 += noise * ((double)path[j] - (double)path_next[j]);
        if (fabs((double)before[j]) > size) size = fabs((double)before[j]);
        size *= w->setting.how.rtol;
        ratio = ((double)x1[j] - x2) / (size > w->setting.how.atol ? size : w->setting.how.atol);
        sum += ratio * ratio;
        w->noise[i * w->dim + j] = (float)x2;
    }
    *error = sqrt(sum / (double)w->dim);
    return SSDE_OK;
}

/* Accepts or rejects traveller i's step and sets the length of its next. */
static ssde_status ssdei_adapt_judge(ssdei_sampler *w, const ssdei_block *block, size_t i, double stop) {
    ssdei_travellers *a = &w->travellers;
    size_t r = a->row[i], row = block->first + r, bytes = w->dim * sizeof *w->x;
    double error, factor, h = a->here[r] - a->t[i], *length = &a->length[row];
    ssdei_try(ssdei_adapt_compare(w, block, i, &error));
    factor = error == 0.0 ? 10.0 : 0.9 * ssdei_math_pow(error, -0.9);
    if (!(factor > 0.2)) factor = 0.2; /* also where the error is not a number */
    if (factor > 10.0) factor = 10.0;
    if (error <= 1.0) {
        memcpy(block->x + r * w->dim, w->noise + i * w->dim, bytes);
        memcpy(a->before + row * w->dim, a->next + i * w->dim, bytes);
        memcpy(a->path + r * w->dim, a->path_next + i * w->dim, bytes);
        a->here[r] = a->t[i];
        a->known[r] = 0;
        if (h * factor > *length || a->t[i] > stop) *length = h * factor; /* the last step before a stop is cut short */
    } else {
        *length = h * factor;
        if (*length < 2.0 * ssdei_path_step)
            ssdei_fail_row(w, row, a->here[r], error <= DBL_MAX ? SSDE_ERROR_LIMIT : SSDE_ERROR_NUMERIC);
    }
    return SSDE_OK;
}

static ssde_status ssdei_adaptive_move(ssdei_sampler *w, const ssdei_block *block, const ssdei_step_plan *plan) {
    ssdei_travellers *a = &w->travellers;
    ssdei_block single = {0, 1, NULL};
    double stop = plan->t1;
    size_t i, kept;
    ssdei_adapt_begin(w, block, plan);
    if (ssdei_draws(&w->setting))
        ssdei_try(ssdei_path_rows(w->context, &w->setting.how.noise, w->seed, ssdei_path_place(plan->t0),
                                  w->sample + block->first, block->rows, w->dim, w->noise, a->path));
    while (a->count) {
        ssdei_try(ssdei_adapt_scores(w, block));
        ssdei_try(ssdei_adapt_try(w, block, stop));
        for (i = 0; i < a->count; i++) ssdei_try(ssdei_adapt_judge(w, block, i, stop));
        for (i = kept = 0; i < a->count; i++) {
            size_t r = a->row[i];
            single.first = block->first + r;
            single.x = block->x + r * w->dim;
            if (!a->known[r]) ssdei_try(ssdei_condition_update(w, &single, a->here[r], 0)); /* it moved */
            if (ssdei_adapt_goes_on(w, block, r, stop)) a->row[kept++] = r;
        }
        a->count = kept;
    }
    return SSDE_OK;
}

/* ---- correctors, conditions ---- */

static ssde_status ssdei_correct(ssdei_sampler *w, const ssdei_block *block, const ssdei_step_plan *plan, uint32_t draw,
                                 int quiet) {
    ssdei_update u = plan->correction;
    ssdei_try(ssdei_ask(w, &w->model, block, plan->t_correct, 0));
    ssdei_try(ssdei_bound(w, block, 0));
    ssdei_try(ssdei_noise(w, block, SSDE_STREAM_CORRECTOR, draw));
    if (w->setting.corrector->batch) {
        double ratio;
        ssdei_try(ssdei_norm_ratio(&w->setting, w->score, w->noise, block->rows, w->dim, &ratio));
        ssdei_try(ssdei_correction(&w->setting, plan->t_correct, ratio, &u));
    }
    if (quiet) u.noise = 0.0;
    ssdei_apply(w, block, &u, plan->t_correct);
    return SSDE_OK;
}

SSDEI_ONCE_BEGIN

/* Known coordinates of the block, which is at t, become mean known + std z; w->noise is z, and may be anything where
   std is 0. */
static ssde_status ssdei_condition_place(ssdei_sampler *w, const ssdei_block *block, double t, double mean,
                                         double std) {
    ssdei_conditions *conditions = &w->conditions;
    size_t r;
    for (r = 0; r < block->rows; r++) conditions->mean[r] = mean, conditions->std[r] = std;
    ssdei_try(ssdei_conditions_place(conditions, w->sample + block->first, block->rows, w->noise, block->x));
    if (conditions->size) ssdei_drop_failed(w, block, t); /* a measurement may have left the numbers */
    ssdei_hold_failed(w, block);
    return SSDE_OK;
}

/* Update `number` of the run has brought the block to t. */
static ssde_status ssdei_condition_update(ssdei_sampler *w, const ssdei_block *block, double t, uint32_t number) {
    if (!w->conditions.chain) return SSDE_OK;
    if (t != w->marginal_t) ssdei_try(ssdei_marginal(w->context, &w->setting.sde, t, &w->mean, &w->std));
    w->marginal_t = t;
    ssdei_try(ssdei_noise(w, block, SSDE_STREAM_CONDITION, number));
    return ssdei_condition_place(w, block, t, w->mean, w->std);
}

/* ---- the tables ----
   How to add a predictor:
   1. a value in ssde_predictor, with its source and what it needs;
   2. above this line, what a step does. One evaluation without a past: a rule, the update's three numbers from t to
      t_next, which ssdei_once_move carries out. Else a plan, of the step's times alone, and a move that carries it out
      on a block of rows: ssdei_twice_move and ssdei_multistep_move, or a new one, which finds w->kept where a step has
      two evaluations or goes back, w->history[history], and noise by ssdei_predictor_noise. Where m and std suffice,
      ssdei_marginal gives them: they exist where a and g do not, and std may be 0 at the end of a step. One that can
      begin where m is 0 says SSDEI_FROM_NOISE, and finds D in the place of the score at a t that is ssdei_beyond;
   3. its row here. Checks, defaults, planning, noise, conditions, memory and the public functions read the row and know
      no name; so does the test of the table. Its formula and order want tests of their own, and samplers_ways and
      samplers_newer of tests/ a line each.
   Fields that it alone reads have their range and default in ssdei_setting_numbers; SSDEI_HISTORY bounds history. A
   corrector is a value in ssde_corrector, a rule by a scale, a row, and its name in the text of ssde_corrector_find. */

static const struct {
    ssde_predictor_properties info;
    ssdei_method method;
} ssdei_predictors[SSDE_PREDICTOR_COUNT] = {
    /* {{name, order, evaluations, history, stochastic, grid, steps}, {traits, chain, rule, plan, move}} */
    {{"default", 1, 1, 0, 1, SSDE_GRID_UNIFORM, 0}, {0, SSDEI_CHAIN_NONE, NULL, NULL, NULL}},
    {{"none", 0, 0, 0, 0, SSDE_GRID_UNIFORM, 0}, {SSDEI_PAPERS, SSDEI_CHAIN_NONE, NULL, NULL, NULL}},
    {{"euler_maruyama", 1, 1, 0, 1, SSDE_GRID_UNIFORM, 0},
     {SSDEI_PAPERS | SSDEI_EULER, SSDEI_CHAIN_NONE, ssdei_rule_euler_maruyama, NULL, ssdei_once_move}},
    {{"reverse_diffusion", 1, 1, 0, 1, SSDE_GRID_UNIFORM, 0},
     {SSDEI_PAPERS | SSDEI_EULER_ON_FLOW, SSDEI_CHAIN_NONE, ssdei_rule_reverse_diffusion, NULL, ssdei_once_move}},
    {{"ancestral", 1, 1, 0, 1, SSDE_GRID_UNIFORM, 0},
     {SSDEI_PAPERS | SSDEI_NO_FLOW, SSDEI_CHAIN_NONE, ssdei_rule_ancestral, NULL, ssdei_once_move}},
    {{"ddpm", 1, 1, 0, 1, SSDE_GRID_DISCRETE, 0},
     {SSDEI_NO_FLOW, SSDEI_CHAIN_DDPM, ssdei_rule_ddpm, NULL, ssdei_once_move}},
    {{"smld", 1, 1, 0, 1, SSDE_GRID_DISCRETE, 0},
     {SSDEI_NO_FLOW, SSDEI_CHAIN_SMLD, ssdei_rule_smld, NULL, ssdei_ladder_move}},
    {{"stochastic_heun", 1, 2, 0, 1, SSDE_GRID_UNIFORM, 500},
     {SSDEI_EULER, SSDEI_CHAIN_NONE, NULL, ssdei_stochastic_heun_plan, ssdei_twice_move}},
    {{"adaptive", 1, 0, 1, 1, SSDE_GRID_UNIFORM, 1},
     {SSDEI_EULER | SSDEI_TRAVELS, SSDEI_CHAIN_NONE, NULL, ssdei_adaptive_plan, ssdei_adaptive_move}},
    {{"ddim", 1, 1, 0, 0, SSDE_GRID_LOG_SNR, 50},
     {SSDEI_WEIGHTS_NOISE | SSDEI_CHURNS | SSDEI_FROM_NOISE, SSDEI_CHAIN_NONE, ssdei_rule_ddim, ssdei_ddim_plan,
      ssdei_ddim_move}},
    {{"heun", 2, 2, 0, 0, SSDE_GRID_KARRAS, 18},
     {SSDEI_CHURNS | SSDEI_FROM_NOISE, SSDEI_CHAIN_NONE, NULL, ssdei_heun_plan, ssdei_twice_move}},
    {{"straight_heun", 2, 2, 0, 0, SSDE_GRID_QUADRATIC, 18},
     {SSDEI_FROM_NOISE, SSDEI_CHAIN_NONE, NULL, ssdei_straight_heun_plan, ssdei_twice_move}},
    {{"dpm_solver_2m", 2, 1, 1, 0, SSDE_GRID_LOG_SNR, 20},
     {SSDEI_WEIGHTS_NOISE | SSDEI_MULTISTEP | SSDEI_FROM_NOISE, SSDEI_CHAIN_NONE, NULL, ssdei_2m_plan,
      ssdei_multistep_move}},
    {{"dpm_solver_3m", 3, 1, 2, 0, SSDE_GRID_LOG_SNR, 20},
     {SSDEI_WEIGHTS_NOISE | SSDEI_MULTISTEP | SSDEI_FROM_NOISE, SSDEI_CHAIN_NONE, NULL, ssdei_3m_plan,
      ssdei_multistep_move}},
    {{"dpm_solver_2m_sde", 1, 1, 1, 1, SSDE_GRID_LOG_SNR, 50},
     {SSDEI_WEIGHTS_NOISE | SSDEI_MULTISTEP | SSDEI_FROM_NOISE, SSDEI_CHAIN_NONE, NULL, ssdei_2m_plan,
      ssdei_multistep_move}},
    {{"unipc", 3, 1, 2, 0, SSDE_GRID_LOG_SNR, 20},
     {SSDEI_MULTISTEP | SSDEI_CORRECTS | SSDEI_FROM_NOISE, SSDEI_CHAIN_NONE, NULL, ssdei_unipc_plan,
      ssdei_multistep_move}},
    {{"pndm", 2, 1, 3, 0, SSDE_GRID_LOG_SNR, 20},
     {SSDEI_COUNTS_STEPS | SSDEI_FROM_NOISE, SSDEI_CHAIN_NONE, NULL, ssdei_pndm_plan, ssdei_pndm_move}},
};

static const ssdei_corrector ssdei_correctors[SSDE_CORRECTOR_COUNT] = {
    {"default", NULL, 0},
    {"none", NULL, 0},
    {"langevin", ssdei_rule_langevin, 0},
    {"langevin_batch", ssdei_rule_langevin, 1},
};

static void ssdei_setting_choose(ssdei_setting *setting) {
    ssde_sampler_desc *how = &setting->how;
    int exploding = ssdei_family(&setting->sde)->exploding, langevin;
    if (how->predictor == SSDE_PREDICTOR_DEFAULT)
        how->predictor = exploding ? SSDE_PREDICTOR_REVERSE_DIFFUSION : SSDE_PREDICTOR_EULER_MARUYAMA;
    setting->info = &ssdei_predictors[how->predictor].info;
    setting->method = &ssdei_predictors[how->predictor].method;
    langevin = !setting->method->move || (exploding && (setting->method->traits & SSDEI_PAPERS));
    if (how->corrector == SSDE_CORRECTOR_DEFAULT)
        how->corrector = langevin ? SSDE_CORRECTOR_LANGEVIN : SSDE_CORRECTOR_NONE;
    setting->corrector = &ssdei_correctors[how->corrector];
    if (how->grid != SSDE_GRID_DEFAULT) return;
    how->grid = setting->info->grid;
    if (how->grid == SSDE_GRID_LOG_SNR && ssdei_family(&setting->sde)->even) how->grid = SSDE_GRID_QUADRATIC;
}

const ssde_predictor_properties *ssde_predictor_info(ssde_predictor predictor) {
    return (unsigned)predictor < SSDE_PREDICTOR_COUNT ? &ssdei_predictors[predictor].info : NULL;
}

const char *ssde_predictor_name(ssde_predictor predictor) {
    return (unsigned)predictor < SSDE_PREDICTOR_COUNT ? ssdei_predictors[predictor].info.name : NULL;
}

const char *ssde_corrector_name(ssde_corrector corrector) {
    return (unsigned)corrector < SSDE_CORRECTOR_COUNT ? ssdei_correctors[corrector].name : NULL;
}

ssde_status ssde_predictor_find(ssde_context *context, const char *name, ssde_predictor *predictor) {
    char known[200] = "";
    size_t length = 0;
    int i;
    if (!name || !predictor) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s is NULL", name ? "predictor" : "name");
    for (i = 0; i < SSDE_PREDICTOR_COUNT; i++) {
        int euler = i == SSDE_PREDICTOR_DDIM;
        if (!strcmp(name, ssdei_predictors[i].info.name) || (euler && !strcmp(name, "euler"))) {
            *predictor = (ssde_predictor)i;
            return SSDE_OK;
        }
        snprintf(known + length, sizeof known - length, " %s%s", ssdei_predictors[i].info.name, euler ? " euler" : "");
        length = strlen(known);
    }
    return ssde_fail(context, SSDE_ERROR_ARGUMENT, "no predictor '%.24s':%s", name, known);
}

ssde_status ssde_corrector_find(ssde_context *context, const char *name, ssde_corrector *corrector) {
    int i;
    if (!name || !corrector) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s is NULL", name ? "corrector" : "name");
    for (i = 0; i < SSDE_CORRECTOR_COUNT; i++) {
        if (strcmp(name, ssdei_correctors[i].name)) continue;
        *corrector = (ssde_corrector)i;
        return SSDE_OK;
    }
    return ssde_fail(context, SSDE_ERROR_ARGUMENT, "no corrector '%.40s': default, none, langevin or langevin_batch",
                     name);
}

SSDEI_ONCE_END

/* ---- the driver ---- */

SSDEI_ONCE_BEGIN

/* x at times[0]: as given; data with noise on them; or the prior's. */
static ssde_status ssdei_start_block(ssdei_sampler *w, const ssdei_block *block, size_t step) {
    const ssde_sampler_desc *how = &w->setting.how;
    double mean, std;
    size_t i, count = block->rows * w->dim;
    (void)step;
    for (i = 0; how->given_start && w->scale != 1.0 && i < count; i++) block->x[i] *= (float)w->scale;
    if (!how->given_start && !(how->edit_from > 0.0) && w->setting.sde.prior_sample) {
        ssdei_try(ssde_prior_sample(w->context, &w->setting.sde, w->seed, w->sample + block->first, block->rows, w->dim,
                                    block->x));
        for (i = 0; i < count; i++) block->x[i] *= (float)w->scale;
        ssdei_drop_failed(w, block, w->times[0]);
    } else if (!how->given_start) {
        ssdei_try(ssdei_noise(w, block, SSDE_STREAM_PRIOR, 0));
        if (how->edit_from > 0.0) {
            ssdei_try(ssdei_seen_marginal(&w->setting, w->times[0], &mean, &std));
            for (i = 0; i < count; i++) block->x[i] = (float)mean * block->x[i] + (float)std * w->noise[i];
        } else {
            ssdei_try(ssdei_prior_check(w->context, &w->setting.sde, 0));
            ssdei_try(ssde_prior_std(w->context, &w->setting.sde, &std));
            for (i = 0; i < count; i++) block->x[i] = (float)(std * w->scale) * w->noise[i];
        }
        if (ssdei_first_nonfinite(block->x, block->rows * w->dim) < block->rows * w->dim)
            ssdei_drop_failed(w, block, w->times[0]);
    }
    return ssdei_condition_update(w, block, w->times[0], 0);
}

/* The corrector's steps of a block. */
static ssde_status ssdei_correct_block(ssdei_sampler *w, const ssdei_block *block, const ssdei_step_plan *plan,
                                       uint32_t *number) {
    size_t j, count = w->setting.how.corrector_steps;
    for (j = 0; w->setting.corrector->rule && j < count; j++) {
        uint32_t draw = (uint32_t)(ssdei_visited(w, plan->step) * count + j);
        ssdei_try(ssdei_correct(w, block, plan, draw, plan->quiet && j + 1 == count));
        ssdei_try(ssdei_condition_update(w, block, plan->t_correct, ++*number));
    }
    return SSDE_OK;
}

/* From times[step] to times[step + 1]. */
static ssde_status ssdei_step_block(ssdei_sampler *w, const ssdei_block *block, size_t step) {
    const ssde_sampler_desc *how = &w->setting.how;
    const ssdei_step_plan *plan = &w->plans[step];
    uint32_t number = (uint32_t)(ssdei_visited(w, step) * (how->corrector_steps + 1));
    if (how->corrector_first) ssdei_try(ssdei_correct_block(w, block, plan, &number));
    if (w->setting.method->move) {
        ssdei_try((w->setting.method->move)(w, block, plan));
        ++number;
        ssdei_try(
            ssdei_condition_update(w, block, w->times[step + 1], ssdei_one_condition_draw(&w->setting) ? 0 : number));
    }
    return how->corrector_first ? SSDE_OK : ssdei_correct_block(w, block, plan, &number);
}

static ssde_status ssdei_finish_block(ssdei_sampler *w, const ssdei_block *block, size_t step) {
    double t = w->times[step];
    if (w->setting.how.skip_denoise) {
        ssdei_drop_failed(w, block, t);
        return SSDE_OK;
    }
    if (!w->setting.clean && !ssdei_ends_quietly(&w->setting)) {
        w->reversal.part = 1.0; /* the mean of x(0), also at the end of a flow */
        ssdei_try(ssdei_evaluate(w, block, t));
        ssdei_apply(w, block, &w->denoise, t);
    }
    ssdei_clip_end(&w->setting.how.clip, block->x, block->rows * w->dim);
    /* what is known is that of x(0) */
    return w->conditions.chain ? ssdei_condition_place(w, block, t, 1.0, 0.0) : SSDE_OK;
}

/* The forward SDE from times[step] back up to where its jump began. */
static ssde_status ssdei_noise_block(ssdei_sampler *w, const ssdei_block *block, size_t step) {
    size_t to = step - 1 - (step - 1) % w->setting.how.jump;
    ssde_step forward;
    ssdei_update u = {0.0, 0.0, 0.0};
    ssdei_try(ssdei_transition(&w->setting, w->times[step], w->times[to], &forward));
    u.x = forward.drift;
    u.noise = forward.diffusion;
    /* draw 0 of the prior's stream is the start */
    ssdei_try(ssdei_noise(w, block, SSDE_STREAM_PRIOR, (uint32_t)(ssdei_visited(w, to) + 1)));
    memset(w->score, 0, block->rows * w->dim * sizeof *w->score);
    ssdei_apply(w, block, &u, w->times[to]);
    return SSDE_OK;
}

static ssde_status ssdei_for_blocks(ssdei_sampler *w, size_t step,
                                    ssde_status (*work)(ssdei_sampler *w, const ssdei_block *block, size_t step)) {
    ssdei_block block;
    for (block.first = 0; block.first < w->n; block.first += w->block) {
        block.rows = w->n - block.first < w->block ? w->n - block.first : w->block;
        block.x = w->x + block.first * w->dim;
        ssdei_try(work(w, &block, step));
    }
    return SSDE_OK;
}

/* Where step was the last of a jump that is to be taken again, x goes back to the jump's start, *step before it. */
static ssde_status ssdei_take_again(ssdei_sampler *w, size_t *step) {
    const ssde_sampler_desc *how = &w->setting.how;
    size_t start = *step - *step % how->jump;
    if ((*step + 1) % how->jump && *step + 1 < how->steps) return SSDE_OK;
    if (w->visit + 1 < how->resamplings) {
        ssdei_try(ssdei_for_blocks(w, *step + 1, ssdei_noise_block));
        w->visit++;
        *step = start - 1; /* the loop's increment undoes the wrap */
    } else
        w->visit = 0;
    return SSDE_OK;
}

static ssde_status ssdei_sampler_run(ssdei_sampler *w) {
    const ssde_sampler_desc *how = &w->setting.how;
    size_t step, done = 0, total = how->steps * how->resamplings;
    ssdei_try(ssdei_for_blocks(w, 0, ssdei_start_block));
    if (how->trajectory) how->trajectory(how->user, 0, w->times[0], w->x, w->n, w->dim);
    for (step = 0; step < how->steps; step++) {
        ssdei_try(ssdei_for_blocks(w, step, ssdei_step_block));
        if (how->trajectory) how->trajectory(how->user, step + 1, w->times[step + 1], w->x, w->n, w->dim);
        if (how->progress && how->progress(how->user, ++done, total))
            return ssde_fail(w->context, SSDE_ERROR_CANCELLED, "sampling was cancelled after step %lu of %lu",
                             (unsigned long)done, (unsigned long)total);
        ssdei_try(ssdei_take_again(w, &step));
    }
    return ssdei_for_blocks(w, how->steps, ssdei_finish_block);
}

static ssde_status ssdei_check_times(ssdei_sampler *w) {
    const ssde_sampler_desc *how = &w->setting.how;
    const double *times = how->times, *ends = how->ends;
    size_t k;
    if (ssdei_by_index(how->grid))
        return ssde_fail(w->context, SSDE_ERROR_ARGUMENT, "times are given and grid is %s: take one",
                         how->grid == SSDE_GRID_DISCRETE ? "SSDE_GRID_DISCRETE" : "SSDE_GRID_REFERENCE");
    for (k = 0; k <= how->steps; k++) {
        if (!(times[k] >= 0.0 && times[k] <= 1.0) || (k && !(times[k] < times[k - 1])))
            return ssde_fail(w->context, SSDE_ERROR_ARGUMENT,
                             "times[%lu] is %.17g, wanted in [0, 1] and below the one before", (unsigned long)k,
                             times[k]);
    }
    for (k = 0; ends && k < how->steps; k++) {
        if (!(ends[k] >= times[k + 1] && ends[k] <= times[k]))
            return ssde_fail(w->context, SSDE_ERROR_ARGUMENT,
                             "ends[%lu] is %.17g, wanted from times[%lu] = %.17g to times[%lu] = %.17g",
                             (unsigned long)k, ends[k], (unsigned long)k + 1, times[k + 1], (unsigned long)k, times[k]);
    }
    if (how->given_start || times[0] == (how->edit_from > 0.0 ? how->edit_from : 1.0)) return SSDE_OK;
    return ssde_fail(w->context, SSDE_ERROR_ARGUMENT,
                     "times[0] is %.17g, wanted %s: only given_start can begin elsewhere", times[0],
                     how->edit_from > 0.0 ? "edit_from" : "1");
}

/* The first of the given times where std is not large beside m. Before it a score is -x / std^2 but for a part of
   m / std, of which a float leaves little, so the model's own D is taken. Heun's two slopes are scores. */
static double ssdei_loud_until(const ssdei_sampler *w) {
    const ssde_sampler_desc *how = &w->setting.how;
    double mean, std;
    size_t k;
    if (w->setting.info->evaluations != 1) return 1.0;
    for (k = 0; k < how->steps; k++) {
        if (ssdei_marginal(NULL, &w->setting.sde, how->times[k], &mean, &std) || std <= 8.0 * mean) break;
    }
    return how->times[k];
}

/* The desc's own times. Those beyond the prior's time fall away, but for one that is there, unless they are taken as
   they are, by D. */
static ssde_status ssdei_given_times(ssdei_sampler *w) {
    ssde_sampler_desc *how = &w->setting.how;
    double start, scale, mean, std, last = how->steps ? how->times[how->steps] : 0.0;
    size_t beyond = 0;
    ssdei_try(ssdei_check_times(w));
    ssdei_try(ssdei_start_time(w->context, &w->setting.sde, last, &start, &scale));
    w->setting.start = w->setting.by_d = start;
    if (how->times[0] > start && w->setting.sde.kind == SSDE_TABULATED && !w->model.denoised) {
        ssdei_try(ssdei_marginal(w->context, &w->setting.sde, how->times[0], &mean, &std));
        if (mean == 0.0)
            return ssde_fail(
                w->context, SSDE_ERROR_UNSUPPORTED,
                "times[0] is %g, where m is 0: a score, or a noise prediction, says nothing of x(0) there: "
                "wanted a model that tells what it denoises, or a first time below",
                how->times[0]);
    }
    if (!w->model.denoised || !(w->setting.method->traits & SSDEI_FROM_NOISE)) {
        while (beyond < how->steps && how->times[beyond + 1] >= start) beyond++;
        w->scale = 1.0 / ssdei_spread(&w->setting.sde, start, scale, how->times[0]);
    } else {
        w->setting.by_d = fmin(start, ssdei_loud_until(w));
        start = 1.0;
    }
    how->steps -= beyond;
    if (how->ends) how->ends += beyond;
    memcpy(w->times, how->times + beyond, (how->steps + 1) * sizeof *w->times);
    if (w->times[0] > start) w->times[0] = start;
    return SSDE_OK;
}

/* Levels above edit_from fall away. */
static ssde_status ssdei_edit_times(ssdei_sampler *w) {
    ssde_sampler_desc *how = &w->setting.how;
    size_t beyond = 0;
    while (beyond < how->steps && w->times[beyond] > how->edit_from) beyond++;
    if (beyond == how->steps)
        return ssde_fail(w->context, SSDE_ERROR_ARGUMENT,
                         "edit_from is %.9g, wanted the last level's t, %.9g, or above", how->edit_from,
                         w->times[how->steps]);
    how->steps -= beyond;
    memmove(w->times, w->times + beyond, (how->steps + 1) * sizeof *w->times);
    return SSDE_OK;
}

/* w->times, w->scale and setting.start. */
static ssde_status ssdei_sampler_times(ssdei_sampler *w) {
    const ssde_sampler_desc *how = &w->setting.how;
    ssde_context *context = w->context;
    double start, scale;
    size_t k;
    w->setting.start = w->setting.by_d = w->scale = 1.0;
    if (how->times) return ssdei_given_times(w);
    if (how->schedule && w->setting.method->chain == SSDEI_CHAIN_SMLD) {
        for (k = 0; k < how->steps; k++)
            ssdei_try(ssde_noise_time(context, &w->setting.sde, how->schedule[k], &w->times[k]));
        w->times[how->steps] = w->times[how->steps - 1];
    } else
        ssdei_try(ssdei_sde_time_grid(context, &w->setting.sde, how->grid, how->rho,
                                      how->edit_from > 0.0 ? how->edit_from : 1.0, how->eps, how->steps, w->times));
    if (how->edit_from > 0.0) ssdei_try(ssdei_edit_times(w));
    ssdei_try(ssde_prior_time(context, &w->setting.sde, &start, &scale));
    if (!ssdei_by_index(how->grid)) {
        w->setting.start = w->setting.by_d = start;
        w->scale = scale;
    } else if (w->times[0] > start && !ssdei_family(&w->setting.sde)->step)
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED,
                         "grids by index begin at t = 1, but m is below 1e-4 min(1, std) from t = %g on: take another",
                         start);
    return SSDE_OK;
}

/* What Euler's methods in t are wrong by is multiplied by 1 - h lambda in a step of h, lambda = d log s / dt = g^2 / (2
   std^2). Where the signal begins that has no bound: there they begin so late that h lambda <= 1 (of adaptive, whose
   steps find their length, h is 2^-16). The m x(0) that is left out, like their error, falls with h. */
static ssde_status ssdei_euler_start(ssdei_sampler *w) {
    const ssde_sampler_desc *how = &w->setting.how;
    int traits = w->setting.method->traits;
    int euler = (traits & SSDEI_EULER) || how->discretisation == SSDE_DISCRETISE_EULER ||
                ((traits & SSDEI_EULER_ON_FLOW) && how->probability_flow);
    double low, high = w->times[0], first = 0.0, mean, std, drift, diffusion;
    int tries;
    if (!euler || !how->steps || w->setting.start == 1.0 || w->times[0] < w->setting.start) return SSDE_OK;
    low = w->times[1];
    for (tries = 0; tries < 60 && low < high; tries++) {
        double t = tries ? 0.5 * (low + high) : high;
        double h = traits & SSDEI_TRAVELS ? 256.0 * ssdei_path_step : t - w->times[1];
        ssdei_try(ssdei_marginal(w->context, &w->setting.sde, t, &mean, &std));
        ssdei_try(ssdei_rates(w->context, &w->setting.sde, t, &drift, &diffusion));
        if (!tries) first = std;
        if (0.5 * h * diffusion * diffusion <= std * std)
            low = t;
        else
            high = t;
    }
    ssdei_try(ssdei_marginal(w->context, &w->setting.sde, low, &mean, &std));
    w->times[0] = low;
    w->scale *= std / first;
    return SSDE_OK;
}

/* The last step of a run that ends quietly: the noise of its last update, the predictor's or the corrector's, is left
   out. In the reference predictor none hands on x itself for the mean, its last noise still on it. */
static void ssdei_last_plan(const ssdei_setting *setting, ssdei_step_plan *plan) {
    const ssde_sampler_desc *how = &setting->how;
    int moves = setting->method->move != NULL;
    if (!(setting->clean || ssdei_ends_quietly(setting)) || how->skip_denoise || plan->step + 1 < how->steps) return;
    if (!moves && how->grid == SSDE_GRID_REFERENCE) return;
    plan->quiet = setting->corrector->rule && (!how->corrector_first || !moves);
    if (!plan->quiet) plan->update.noise = 0.0;
}

static ssde_status ssdei_step_plan_make(const ssdei_setting *setting, const double *times, ssdei_step_plan *plan) {
    const ssdei_update *u = &plan->update;
    plan->t0 = times[plan->step];
    plan->t1 = setting->how.ends ? fmin(setting->how.ends[plan->step], plan->t0) : times[plan->step + 1];
    plan->t_next = times[plan->step + 1];
    plan->t_correct = setting->how.corrector_first ? times[plan->step] : plan->t_next;
    if (ssdei_follows_path(setting) && ssdei_path_place(plan->t0) == ssdei_path_place(plan->t1))
        return ssde_fail(setting->context, SSDE_ERROR_ARGUMENT, "brownian: times %.9g and %.9g are within 2^-24",
                         plan->t0, plan->t1);
    if (setting->method->rule) ssdei_try(setting->method->rule(setting, plan->t0, plan->t1, &plan->update));
    if (setting->method->plan) ssdei_try(setting->method->plan(setting, plan));
    if (!(fabs(u->x) <= DBL_MAX && fabs(u->score) <= DBL_MAX && fabs(u->noise) <= DBL_MAX))
        return ssde_fail(setting->context, SSDE_ERROR_NUMERIC,
                         "%s: the step from t = %.6g to %.6g is x + %g x + %g score + %g z, wanted finite numbers",
                         setting->info->name, plan->t0, plan->t1, u->x, u->score, u->noise);
    if (setting->corrector->rule) ssdei_try(ssdei_correction(setting, plan->t_correct, 1.0, &plan->correction));
    ssdei_last_plan(setting, plan);
    return SSDE_OK;
}

/* setting.clean, and whether those that ask for a score at the end can have one. */
static ssde_status ssdei_sampler_last(ssdei_sampler *w) {
    const ssdei_setting *setting = &w->setting;
    double t = w->times[setting->how.steps], mean, std = 0.0;
    int corrects = setting->corrector->rule && (!setting->how.corrector_first || !setting->method->move);
    if (t > 0.0 || ssdei_by_index(setting->how.grid)) return SSDE_OK;
    if (setting->sde.kind != SSDE_NONLINEAR) ssdei_try(ssdei_marginal(w->context, &setting->sde, t, &mean, &std));
    w->setting.clean = std == 0.0;
    if (!w->setting.clean || !(corrects || (setting->method->traits & SSDEI_TRAVELS))) return SSDE_OK;
    return ssde_fail(w->context, SSDE_ERROR_UNSUPPORTED,
                     "%s after times[%lu] = 0, where std is 0: no score is there, wanted a last time above",
                     corrects ? setting->corrector->name : setting->info->name, (unsigned long)setting->how.steps);
}

/* All steps, before the first evaluation. */
static ssde_status ssdei_sampler_plan(ssdei_sampler *w) {
    const ssdei_setting *setting = &w->setting;
    size_t steps = setting->how.steps, k;
    ssdei_try(ssdei_sampler_last(w));
    for (k = 0; k < steps; k++) {
        w->plans[k].step = k;
        ssdei_try(ssdei_step_plan_make(setting, w->times, &w->plans[k]));
        w->plans[k].once = (setting->clean && w->plans[k].t1 == 0.0) || ssdei_beyond(setting, w->times[k]);
    }
    if (setting->how.skip_denoise || w->setting.clean || ssdei_ends_quietly(setting)) return SSDE_OK;
    return ssdei_setting_denoise(setting, w->times[steps], &w->denoise);
}

/* ---- its memory ---- */

static void ssdei_sampler_arrays(void *object, ssdei_memory *memory) {
    ssdei_sampler *w = (ssdei_sampler *)object;
    ssdei_travellers *a = &w->travellers;
    size_t steps = w->setting.how.steps, part = w->block * w->dim, all = w->n * w->dim;
    size_t j;
    ssdei_guided_arrays(&w->guided, memory);
    ssdei_conditions_arrays(&w->conditions, memory);
    w->times = ssdei_place(memory, double, steps + 1);
    w->plans = ssdei_place(memory, ssdei_step_plan, steps);
    w->t = ssdei_place(memory, double, w->block);
    w->sample = ssdei_place(memory, uint64_t, w->n);
    w->score = ssdei_place(memory, float, part);
    w->noise = ssdei_place(memory, float, part);
    w->reversal.drift = ssdei_place(memory, float, w->setting.sde.kind == SSDE_NONLINEAR ? part : 0);
    w->failed = ssdei_place(memory, unsigned char, w->n);
    w->kept = ssdei_place(memory, float, ssdei_keeps(&w->setting) ? part : 0);
    if (w->setting.how.variance == SSDE_VARIANCE_LEARNED) w->told = ssdei_place(memory, float, part);
    if (w->setting.method->traits & SSDEI_TRAVELS) {
        a->row = ssdei_place(memory, size_t, w->block);
        a->t = ssdei_place(memory, double, w->block);
        a->noise = ssdei_place(memory, double, w->block);
        a->sample = ssdei_place(memory, uint64_t, w->block);
        a->here = ssdei_place(memory, double, w->block);
        a->known = ssdei_place(memory, unsigned char, w->block);
        a->next = ssdei_place(memory, float, part);
        a->path_next = ssdei_place(memory, float, part);
        a->path = ssdei_place(memory, float, part);
        a->score = ssdei_place(memory, float, part);
        a->length = ssdei_place(memory, double, w->n);
        a->evaluations = ssdei_place(memory, size_t, w->n);
        a->before = ssdei_place(memory, float, all);
        return;
    }
    for (j = 0; j < w->setting.history; j++) w->history[j] = ssdei_place(memory, float, all);
    if (ssdei_follows_path(&w->setting)) w->path = ssdei_place(memory, float, all);
}

/* Checks a run's arguments, and fills in what says how much memory it takes. */
static ssde_status ssdei_sampler_prepare(ssdei_sampler *w, const ssde_sde *sde, const ssde_score_model *model,
                                         const ssde_sampler_desc *how, uint64_t first_sample, size_t n, const void *x) {
    ssde_context *context = how ? how->context : NULL;
    const ssde_condition *chain = &w->setting.how.condition;
    size_t workers = ssdei_worker_count(context);
    memset(w, 0, sizeof *w);
    ssdei_try(ssdei_check_run(context, sde, model, first_sample, n, x));
    ssdei_try(ssdei_setting_make(&w->setting, sde, how));
    ssdei_try(ssdei_guided_prepare(&w->guided, context, sde, model, chain, first_sample, n));
    w->model = w->guided.conditions.chain ? ssde_guided_model(&w->guided) : *model;
    if (w->setting.how.variance == SSDE_VARIANCE_LEARNED && !w->model.variance)
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED,
                         "variance is learned, but model->variance is NULL: it tells no variance");
    w->context = context;
    w->n = n;
    w->dim = model->dim;
    /* with one thread three arrays of a block fit a cache; with more each gets enough to do; norms over the batch need
       all of it at once */
    w->block = ssdei_block_rows(&w->model, workers > 1 ? 131072 * workers : 16384, n);
    if (w->setting.corrector->batch) w->block = n;
    ssdei_conditions_prepare(&w->conditions, context, chain, 0, first_sample, n, w->block, w->dim);
    return SSDE_OK;
}

size_t ssde_sample_memory(const ssde_sde *sde, const ssde_score_model *model, const ssde_sampler_desc *how, size_t n) {
    ssdei_sampler w;
    if (ssdei_sampler_prepare(&w, sde, model, how, 0, n, model) != SSDE_OK) return 0; /* x is not looked at */
    return ssdei_object_memory(&w, sizeof w, ssdei_sampler_arrays);
}

/* What is known before the first step: conditions, times and all plans. */
static ssde_status ssdei_sampler_begin(ssdei_sampler *w, uint64_t first_sample) {
    size_t i;
    if (w->guided.conditions.chain) w->model = ssde_guided_model(&w->guided);
    w->mover = w->model;
    if (w->setting.sde.kind == SSDE_NONLINEAR) {
        w->reversal.context = w->context, w->reversal.sde = &w->setting.sde, w->reversal.model = w->model;
        w->reversal.part = w->setting.how.probability_flow ? 0.5 : 1.0;
        w->mover = ssdei_reversal_model(&w->reversal);
    }
    ssdei_try(ssdei_measure_transposed(&w->guided.conditions));
    ssdei_try(ssdei_measure_transposed(&w->conditions));
    for (i = 0; i < w->n; i++) w->sample[i] = first_sample + i;
    ssdei_try(ssdei_sampler_times(w));
    ssdei_try(ssdei_euler_start(w));
    if (!w->setting.how.pndm.sums)
        w->setting.how.pndm.sums = w->setting.start < 1.0 ? SSDE_PREDICT_DATA : SSDE_PREDICT_NOISE;
    return ssdei_sampler_plan(w);
}

/* Rows that failed become NaN. The report's evaluations were those that all samples had: travellers had more. */
static ssde_status ssdei_sampler_end(ssdei_sampler *w, ssde_status status) {
    ssde_sample_report *report = &w->report;
    size_t i, j, most = 0;
    double sum = 0.0;
    for (i = 0; i < w->n; i++) {
        size_t count = w->travellers.evaluations ? w->travellers.evaluations[i] : 0;
        if (count > most) most = count;
        sum += (double)count;
        for (j = 0; w->failed[i] && j < w->dim; j++) w->x[i * w->dim + j] = (float)NAN;
    }
    report->mean_evaluations = (double)report->evaluations + sum / (double)w->n;
    report->evaluations += most;
    if (status != SSDE_OK || !report->failed) return status;
    status = (ssde_status)w->failed[report->failed_sample - w->sample[0]];
    return ssde_fail(
        w->context, status, "sample %.0f %s t = %.6g (%lu of %lu failed)", (double)report->failed_sample,
        status == SSDE_ERROR_LIMIT ? "reached max_evaluations, or steps of 2^-23, at" : "is not finite after",
        report->failed_t, (unsigned long)report->failed, (unsigned long)w->n);
}

ssde_status ssde_sample(const ssde_sde *sde, const ssde_score_model *model, const ssde_sampler_desc *how, ssde_rng *rng,
                        size_t n, float *x) {
    ssde_context *context = how ? how->context : NULL;
    ssdei_sampler made, *w; /* the conditions of *w stay in made */
    ssde_status status;
    if (how && how->report) memset(how->report, 0, sizeof *how->report);
    if (!rng) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "rng is NULL");
    ssdei_try(ssdei_sampler_prepare(&made, sde, model, how, rng->next_sample, n, x));
    if (made.setting.how.given_start || made.setting.how.edit_from > 0.0)
        ssdei_try(ssdei_check_finite(context, "x", x, n, model->dim));
    made.seed = rng->seed;
    made.x = x;
    w = (ssdei_sampler *)ssdei_object_create(context, &made, sizeof made, ssdei_sampler_arrays);
    if (!w) return SSDE_ERROR_MEMORY;
    status = ssdei_sampler_begin(w, rng->next_sample);
    if (status == SSDE_OK) status = ssdei_sampler_run(w);
    if (status == SSDE_OK) rng->next_sample += n;
    status = ssdei_sampler_end(w, status);
    if (how && how->report) *how->report = w->report;
    ssdei_release(context, w);
    return status;
}

/* ---- >>scheduler ----
   A scheduler from elsewhere is data: which keys its class reads, how it spaces timesteps and levels, and which sampler
   goes over them. Numbers are float where they are float there (ssdei_single), else double.

   How to add a class: a bit, its name in ssdei_scheduler_classes at the bit's place with its functions, the keys that
   it reads in ssdei_scheduler_keys, its name in >>scheduler above, golden runs. */

SSDEI_ONCE_BEGIN

enum {
    SSDEI_SCHEDULER_DDPM = 1,
    SSDEI_SCHEDULER_DDIM = 2,
    SSDEI_SCHEDULER_PNDM = 4,
    SSDEI_SCHEDULER_EULER = 8,
    SSDEI_SCHEDULER_EULER_A = 16,
    SSDEI_SCHEDULER_HEUN = 32,
    SSDEI_SCHEDULER_DPM = 64,
    SSDEI_SCHEDULER_UNIPC = 128,
    SSDEI_SCHEDULER_EDM_EULER = 256,
    SSDEI_SCHEDULER_EDM_DPM = 512,
    SSDEI_SCHEDULER_FLOW = 1024,
    SSDEI_SCHEDULER_VE = 2048,
    SSDEI_SCHEDULER_VP = 4096,
    /* groups that read the same keys */
    SSDEI_SCHEDULER_CHAINS = SSDEI_SCHEDULER_DDPM | SSDEI_SCHEDULER_DDIM | SSDEI_SCHEDULER_PNDM,
    SSDEI_SCHEDULER_EULERS = SSDEI_SCHEDULER_EULER | SSDEI_SCHEDULER_EULER_A,
    SSDEI_SCHEDULER_LOGS = SSDEI_SCHEDULER_DPM | SSDEI_SCHEDULER_UNIPC,
    SSDEI_SCHEDULER_BETAS =
        SSDEI_SCHEDULER_CHAINS | SSDEI_SCHEDULER_EULERS | SSDEI_SCHEDULER_HEUN | SSDEI_SCHEDULER_LOGS,
    SSDEI_SCHEDULER_EDM = SSDEI_SCHEDULER_EDM_EULER | SSDEI_SCHEDULER_EDM_DPM,
    SSDEI_SCHEDULER_SOLVERS = SSDEI_SCHEDULER_DPM | SSDEI_SCHEDULER_EDM_DPM,
    SSDEI_SCHEDULER_RESPACED =
        SSDEI_SCHEDULER_EULER | SSDEI_SCHEDULER_HEUN | SSDEI_SCHEDULER_LOGS | SSDEI_SCHEDULER_FLOW,
    SSDEI_SCHEDULER_SDES = SSDEI_SCHEDULER_VE | SSDEI_SCHEDULER_VP,
    SSDEI_SCHEDULER_ALL = 8191
};

enum { SSDEI_PREDICTS_EPSILON, SSDEI_PREDICTS_SAMPLE, SSDEI_PREDICTS_V, SSDEI_PREDICTS_FLOW, SSDEI_PREDICTS_ORIGINAL };
enum { SSDEI_SPACING_LEADING, SSDEI_SPACING_LINSPACE, SSDEI_SPACING_TRAILING };
enum { SSDEI_VARIES_SMALL, SSDEI_VARIES_SMALL_LOG, SSDEI_VARIES_LARGE, SSDEI_VARIES_LEARNED_RANGE };
enum { SSDEI_SOLVER_ODE, SSDEI_SOLVER_SDE, SSDEI_SOLVER_NOISE_ODE, SSDEI_SOLVER_NOISE_SDE, SSDEI_SOLVER_DEIS };

/* The keys' values: numbers, flags, or the place among a key's words. -DBL_MAX: none. */
typedef struct ssdei_scheduler_config {
    double num_train_timesteps, beta_start, beta_end, beta_schedule, rescale_betas_zero_snr;
    double prediction_type, variance_type, clip_sample, clip_sample_range;
    double thresholding, dynamic_thresholding_ratio, sample_max_value;
    double timestep_spacing, steps_offset, set_alpha_to_one, skip_prk_steps;
    double interpolation_type, timestep_type, final_sigmas_type, lambda_min_clipped;
    double use_karras_sigmas, use_exponential_sigmas, use_beta_sigmas, use_lu_lambdas, use_flow_sigmas;
    double sigma_min, sigma_max, sigma_data, sigma_schedule, rho;
    double solver_order, algorithm_type, solver_type, lower_order_final, euler_at_final, predict_x0, solver_p;
    double flow_shift, shift, use_dynamic_shifting, time_shift_type, shift_terminal;
    double invert_sigmas, stochastic_sampling;
    double snr, sampling_eps, correct_steps, beta_min, beta_max;
    double predict_epsilon;
    ssdei_json trained_betas, disable_corrector; /* cursors at their values; size 0: none */
} ssdei_scheduler_config;

typedef enum ssdei_key_kind {
    SSDEI_KEY_NUMBER,
    SSDEI_KEY_WHOLE, /* from 0 */
    SSDEI_KEY_FLAG,
    SSDEI_KEY_WORD,
    SSDEI_KEY_LIST,
    SSDEI_KEY_NULL /* nothing but null */
} ssdei_key_kind;

typedef struct ssdei_scheduler_key {
    const char *name;
    int readers; /* the classes, in bits */
    ssdei_key_kind kind;
    size_t place; /* in ssdei_scheduler_config */
    double standard;
    const char *words; /* that are known, a space between */
} ssdei_scheduler_key;

#define SSDEI_KEY(name, readers, kind, standard, words) \
    { #name, readers, SSDEI_KEY_##kind, offsetof(ssdei_scheduler_config, name), standard, words }

/* A name may come twice, for classes with other defaults. */
static const ssdei_scheduler_key ssdei_scheduler_keys[] = {
    SSDEI_KEY(num_train_timesteps, SSDEI_SCHEDULER_ALL & ~SSDEI_SCHEDULER_SDES, WHOLE, 1000.0, NULL),
    SSDEI_KEY(num_train_timesteps, SSDEI_SCHEDULER_SDES, WHOLE, 2000.0, NULL),
    SSDEI_KEY(beta_start, SSDEI_SCHEDULER_BETAS & ~SSDEI_SCHEDULER_HEUN, NUMBER, 0.0001, NULL),
    SSDEI_KEY(beta_start, SSDEI_SCHEDULER_HEUN, NUMBER, 0.00085, NULL),
    SSDEI_KEY(beta_end, SSDEI_SCHEDULER_BETAS & ~SSDEI_SCHEDULER_HEUN, NUMBER, 0.02, NULL),
    SSDEI_KEY(beta_end, SSDEI_SCHEDULER_HEUN, NUMBER, 0.012, NULL),
    SSDEI_KEY(beta_schedule, SSDEI_SCHEDULER_DDPM, WORD, SSDE_SCHEDULE_LINEAR,
              "linear scaled_linear squaredcos_cap_v2 sigmoid"),
    SSDEI_KEY(beta_schedule, SSDEI_SCHEDULER_BETAS & ~SSDEI_SCHEDULER_DDPM, WORD, SSDE_SCHEDULE_LINEAR,
              "linear scaled_linear squaredcos_cap_v2"),
    SSDEI_KEY(trained_betas, SSDEI_SCHEDULER_BETAS, LIST, 0.0, NULL),
    SSDEI_KEY(rescale_betas_zero_snr, SSDEI_SCHEDULER_BETAS & ~(SSDEI_SCHEDULER_PNDM | SSDEI_SCHEDULER_HEUN), FLAG, 0.0,
              NULL),
    SSDEI_KEY(prediction_type, SSDEI_SCHEDULER_DDPM | SSDEI_SCHEDULER_DDIM | SSDEI_SCHEDULER_HEUN, WORD,
              SSDEI_PREDICTS_EPSILON, "epsilon sample v_prediction"),
    SSDEI_KEY(prediction_type, SSDEI_SCHEDULER_PNDM | SSDEI_SCHEDULER_EULER_A | SSDEI_SCHEDULER_EDM, WORD,
              SSDEI_PREDICTS_EPSILON, "epsilon - v_prediction"),
    SSDEI_KEY(prediction_type, SSDEI_SCHEDULER_EULER, WORD, SSDEI_PREDICTS_EPSILON,
              "epsilon sample v_prediction - original_sample"),
    SSDEI_KEY(prediction_type, SSDEI_SCHEDULER_LOGS, WORD, SSDEI_PREDICTS_EPSILON,
              "epsilon sample v_prediction flow_prediction"),
    SSDEI_KEY(predict_epsilon, SSDEI_SCHEDULER_ALL, FLAG, 1.0, NULL), /* releases before 0.10 */
    SSDEI_KEY(variance_type, SSDEI_SCHEDULER_DDPM, WORD, SSDEI_VARIES_SMALL,
              "fixed_small fixed_small_log fixed_large learned_range"),
    SSDEI_KEY(clip_sample, SSDEI_SCHEDULER_DDPM | SSDEI_SCHEDULER_DDIM, FLAG, 1.0, NULL),
    SSDEI_KEY(clip_sample, SSDEI_SCHEDULER_HEUN, FLAG, 0.0, NULL),
    SSDEI_KEY(clip_sample_range, SSDEI_SCHEDULER_DDPM | SSDEI_SCHEDULER_DDIM | SSDEI_SCHEDULER_HEUN, NUMBER, 1.0, NULL),
    SSDEI_KEY(thresholding,
              SSDEI_SCHEDULER_DDPM | SSDEI_SCHEDULER_DDIM | SSDEI_SCHEDULER_LOGS | SSDEI_SCHEDULER_EDM_DPM, FLAG, 0.0,
              NULL),
    SSDEI_KEY(dynamic_thresholding_ratio,
              SSDEI_SCHEDULER_DDPM | SSDEI_SCHEDULER_DDIM | SSDEI_SCHEDULER_LOGS | SSDEI_SCHEDULER_EDM_DPM, NUMBER,
              0.995, NULL),
    SSDEI_KEY(sample_max_value,
              SSDEI_SCHEDULER_DDPM | SSDEI_SCHEDULER_DDIM | SSDEI_SCHEDULER_LOGS | SSDEI_SCHEDULER_EDM_DPM, NUMBER, 1.0,
              NULL),
    SSDEI_KEY(timestep_spacing, SSDEI_SCHEDULER_CHAINS, WORD, SSDEI_SPACING_LEADING, "leading linspace trailing"),
    SSDEI_KEY(timestep_spacing, SSDEI_SCHEDULER_BETAS & ~SSDEI_SCHEDULER_CHAINS, WORD, SSDEI_SPACING_LINSPACE,
              "leading linspace trailing"),
    SSDEI_KEY(steps_offset, SSDEI_SCHEDULER_BETAS, WHOLE, 0.0, NULL),
    SSDEI_KEY(set_alpha_to_one, SSDEI_SCHEDULER_DDIM, FLAG, 1.0, NULL),
    SSDEI_KEY(set_alpha_to_one, SSDEI_SCHEDULER_PNDM, FLAG, 0.0, NULL),
    SSDEI_KEY(skip_prk_steps, SSDEI_SCHEDULER_PNDM, FLAG, 0.0, NULL),
    SSDEI_KEY(interpolation_type, SSDEI_SCHEDULER_EULER, WORD, 0.0, "linear log_linear"),
    SSDEI_KEY(timestep_type, SSDEI_SCHEDULER_EULER, WORD, 0.0, "discrete continuous"),
    SSDEI_KEY(use_karras_sigmas, SSDEI_SCHEDULER_RESPACED, FLAG, 0.0, NULL),
    SSDEI_KEY(use_exponential_sigmas, SSDEI_SCHEDULER_RESPACED, FLAG, 0.0, NULL),
    SSDEI_KEY(use_beta_sigmas, SSDEI_SCHEDULER_RESPACED, FLAG, 0.0, NULL),
    SSDEI_KEY(use_lu_lambdas, SSDEI_SCHEDULER_DPM, FLAG, 0.0, NULL),
    SSDEI_KEY(use_flow_sigmas, SSDEI_SCHEDULER_LOGS, FLAG, 0.0, NULL),
    SSDEI_KEY(sigma_min, SSDEI_SCHEDULER_RESPACED, NUMBER, -DBL_MAX, NULL),
    SSDEI_KEY(sigma_max, SSDEI_SCHEDULER_RESPACED, NUMBER, -DBL_MAX, NULL),
    SSDEI_KEY(sigma_min, SSDEI_SCHEDULER_EDM, NUMBER, 0.002, NULL),
    SSDEI_KEY(sigma_max, SSDEI_SCHEDULER_EDM, NUMBER, 80.0, NULL),
    SSDEI_KEY(sigma_min, SSDEI_SCHEDULER_VE, NUMBER, 0.01, NULL),
    SSDEI_KEY(sigma_max, SSDEI_SCHEDULER_VE, NUMBER, 1348.0, NULL),
    SSDEI_KEY(sigma_data, SSDEI_SCHEDULER_EDM, NUMBER, 0.5, NULL),
    SSDEI_KEY(sigma_schedule, SSDEI_SCHEDULER_EDM, WORD, 0.0, "karras exponential"),
    SSDEI_KEY(rho, SSDEI_SCHEDULER_EDM, NUMBER, 7.0, NULL),
    SSDEI_KEY(final_sigmas_type, SSDEI_SCHEDULER_EULER | SSDEI_SCHEDULER_LOGS | SSDEI_SCHEDULER_EDM, WORD, 0.0,
              "zero sigma_min"),
    SSDEI_KEY(lambda_min_clipped, SSDEI_SCHEDULER_DPM, NUMBER, -DBL_MAX, NULL),
    SSDEI_KEY(solver_order, SSDEI_SCHEDULER_LOGS | SSDEI_SCHEDULER_EDM_DPM, WHOLE, 2.0, NULL),
    SSDEI_KEY(algorithm_type, SSDEI_SCHEDULER_DPM, WORD, SSDEI_SOLVER_ODE,
              "dpmsolver++ sde-dpmsolver++ dpmsolver sde-dpmsolver deis"),
    SSDEI_KEY(algorithm_type, SSDEI_SCHEDULER_EDM_DPM, WORD, SSDEI_SOLVER_ODE, "dpmsolver++ sde-dpmsolver++ - - deis"),
    SSDEI_KEY(solver_type, SSDEI_SCHEDULER_SOLVERS, WORD, 0.0, "midpoint heun logrho bh1 bh2"),
    SSDEI_KEY(solver_type, SSDEI_SCHEDULER_UNIPC, WORD, 0.0, "bh2 bh1 midpoint heun logrho"),
    SSDEI_KEY(lower_order_final, SSDEI_SCHEDULER_LOGS | SSDEI_SCHEDULER_EDM_DPM, FLAG, 1.0, NULL),
    SSDEI_KEY(euler_at_final, SSDEI_SCHEDULER_SOLVERS, FLAG, 0.0, NULL),
    SSDEI_KEY(predict_x0, SSDEI_SCHEDULER_UNIPC, FLAG, 1.0, NULL),
    SSDEI_KEY(disable_corrector, SSDEI_SCHEDULER_UNIPC, LIST, 0.0, NULL),
    SSDEI_KEY(solver_p, SSDEI_SCHEDULER_UNIPC, NULL, 0.0, NULL),
    SSDEI_KEY(flow_shift, SSDEI_SCHEDULER_LOGS, NUMBER, 1.0, NULL),
    SSDEI_KEY(shift, SSDEI_SCHEDULER_FLOW, NUMBER, 1.0, NULL),
    SSDEI_KEY(use_dynamic_shifting, SSDEI_SCHEDULER_LOGS | SSDEI_SCHEDULER_FLOW, FLAG, 0.0, NULL),
    SSDEI_KEY(time_shift_type, SSDEI_SCHEDULER_FLOW, WORD, 0.0, "exponential linear"),
    SSDEI_KEY(time_shift_type, SSDEI_SCHEDULER_LOGS, WORD, 0.0, "exponential"),
    SSDEI_KEY(shift_terminal, SSDEI_SCHEDULER_UNIPC | SSDEI_SCHEDULER_FLOW, NUMBER, 0.0, NULL),
    SSDEI_KEY(invert_sigmas, SSDEI_SCHEDULER_FLOW, FLAG, 0.0, NULL),
    SSDEI_KEY(stochastic_sampling, SSDEI_SCHEDULER_FLOW, FLAG, 0.0, NULL),
    SSDEI_KEY(snr, SSDEI_SCHEDULER_VE, NUMBER, 0.15, NULL),
    SSDEI_KEY(correct_steps, SSDEI_SCHEDULER_VE, WHOLE, 1.0, NULL),
    SSDEI_KEY(sampling_eps, SSDEI_SCHEDULER_VE, NUMBER, 1e-5, NULL),
    SSDEI_KEY(sampling_eps, SSDEI_SCHEDULER_VP, NUMBER, 1e-3, NULL),
    SSDEI_KEY(beta_min, SSDEI_SCHEDULER_VP, NUMBER, 0.1, NULL),
    SSDEI_KEY(beta_max, SSDEI_SCHEDULER_VP, NUMBER, 20.0, NULL),
};
#undef SSDEI_KEY
enum { SSDEI_SCHEDULER_KEYS = sizeof ssdei_scheduler_keys / sizeof ssdei_scheduler_keys[0] };

/* Known, and nothing to any class: what pipelines make mu of, and what releases before 0.3 wrote. The variance of
   DPM-Solver only cuts the model's output, as score nets do. */
static const char ssdei_scheduler_idle[] =
    " base_shift max_shift base_image_seq_len max_image_seq_len tensor_format timestep_values ";

/* Words that are known and refused. */
static const struct {
    const char *key, *word, *reason;
} ssdei_scheduler_refusals[] = {
    {"variance_type", "fixed_large_log", "the root of a negative number, NaN in diffusers"},
    {"variance_type", "learned", "a variance as the network gives it, which may be below 0; learned_range is known"},
    {"prediction_type", "sample", "an error in this class of diffusers, or of its steps"},
};

/* What the class reads and a run is made of. Levels are sigma = std / m, of flows std, in the order of the run. */
typedef struct ssdei_scheduling {
    ssde_context *context;
    ssde_scheduler_desc how;
    int kind; /* the class's bit */
    ssdei_scheduler_config config;
    ssde_schedule_kind schedule;
    size_t trained, steps; /* timesteps of the model, and of the run */
    size_t betas, uncorrected;
    int flow, edm;                                 /* m = 1 - std; m = 1 */
    int left_out;                                  /* the last level, which no step reaches */
    double *mean, *std;                            /* [trained]: of the schedule, with betas */
    double *sigma_table, *log_table, *betas_table; /* [trained], likewise: float std / mean and its logarithm */
    double *sigma, *label;                         /* [steps + 1] */
    double *uncorrected_steps;                     /* [uncorrected] */
    unsigned char *visited;                        /* [trained] */
    ssde_scheduler run;
    double *level_mean, *level_std, *level_label, *times, *ends; /* the result's */
    size_t *left_alone;                                          /* [uncorrected] */
    size_t levels;
} ssdei_scheduling;

static const char *ssdei_scheduler_name(const ssdei_scheduling *w);

static ssde_status ssdei_scheduler_refuse(const ssdei_scheduling *w, const char *key, const char *problem) {
    return ssde_fail(w->context, SSDE_ERROR_UNSUPPORTED, "%s: '%.40s' %s", ssdei_scheduler_name(w), key, problem);
}

/* ---- scheduler: the configuration ---- */

/* The row of a key that this class reads; NULL: none does, or *elsewhere another class. */
static const ssdei_scheduler_key *ssdei_scheduler_find(const char *name, int kind, int *elsewhere) {
    const ssdei_scheduler_key *key = ssdei_scheduler_keys, *end = key + SSDEI_SCHEDULER_KEYS;
    for (*elsewhere = 0; key < end; key++) {
        if (strcmp(key->name, name)) continue;
        if (key->readers & kind) return key;
        *elsewhere = 1;
    }
    return NULL;
}

/* Whether `word` is one of words, and which; "-" stands for none. */
static int ssdei_word_among(const char *words, const char *word, int *index) {
    size_t length = strlen(word);
    for (*index = 0; *words; ++*index) {
        size_t here = strcspn(words, " ");
        if (here == length && !memcmp(words, word, here) && strcmp(word, "-")) return 1;
        words += here + (words[here] == ' ');
    }
    return 0;
}

/* A number, or Python's names for what is none. */
static double ssdei_scheduler_number(ssdei_json *json) {
    if (ssdei_json_word(json, "-Infinity")) return -HUGE_VAL;
    if (ssdei_json_word(json, "Infinity")) return HUGE_VAL;
    return ssdei_json_number(json);
}

static void ssdei_scheduler_skip(ssdei_json *json) {
    if (!ssdei_json_word(json, "-Infinity") && !ssdei_json_word(json, "Infinity") && !ssdei_json_word(json, "NaN"))
        ssdei_json_skip(json);
}

static ssde_status ssdei_scheduler_word(const ssdei_scheduling *w, const ssdei_scheduler_key *key, ssdei_json *json,
                                        double *value) {
    char word[40], problem[160];
    const char *reason = "which is not known";
    int index;
    size_t i;
    ssdei_json_string(json, word, sizeof word);
    if (json->problem) return SSDE_OK;
    if (ssdei_word_among(key->words, word, &index)) {
        *value = index;
        return SSDE_OK;
    }
    for (i = 0; i < sizeof ssdei_scheduler_refusals / sizeof ssdei_scheduler_refusals[0]; i++) {
        if (!strcmp(key->name, ssdei_scheduler_refusals[i].key) && !strcmp(word, ssdei_scheduler_refusals[i].word))
            reason = ssdei_scheduler_refusals[i].reason;
    }
    snprintf(problem, sizeof problem, "is '%s', %s", word, reason);
    return ssdei_scheduler_refuse(w, key->name, problem);
}

/* The value of a key that the class reads. */
static ssde_status ssdei_scheduler_value(ssdei_scheduling *w, const ssdei_scheduler_key *key, ssdei_json *json) {
    void *place = (char *)&w->config + key->place;
    double *value = (double *)place;
    if (ssdei_json_word(json, "null")) { /* a flag's is false */
        if (key->kind == SSDEI_KEY_FLAG) *value = 0.0;
        return SSDE_OK;
    }
    switch (key->kind) {
        case SSDEI_KEY_NUMBER: *value = ssdei_scheduler_number(json); break;
        case SSDEI_KEY_WHOLE:
            *value = ssdei_json_number(json);
            if (!json->problem && !ssdei_is_whole(*value, 0.0, 1e6))
                return ssdei_scheduler_refuse(w, key->name, "is no whole number from 0 to a million");
            break;
        case SSDEI_KEY_FLAG:
            *value = ssdei_json_word(json, "true");
            if (*value == 0.0 && !ssdei_json_word(json, "false")) ssdei_json_fail(json, "true or false is expected");
            break;
        case SSDEI_KEY_WORD: return ssdei_scheduler_word(w, key, json, value);
        case SSDEI_KEY_LIST:
            *(ssdei_json *)place = *json;
            ssdei_json_skip(json);
            break;
        default: return ssdei_scheduler_refuse(w, key->name, "is not null: it is another scheduler");
    }
    return SSDE_OK;
}

static ssde_status ssdei_scheduler_entry(ssdei_scheduling *w, const char *name, ssdei_json *json, unsigned char *seen) {
    int elsewhere;
    const ssdei_scheduler_key *key = ssdei_scheduler_find(name, w->kind, &elsewhere);
    char among[72];
    if (key) {
        if (seen[key - ssdei_scheduler_keys]++) return ssdei_scheduler_refuse(w, name, "comes twice");
        return ssdei_scheduler_value(w, key, json);
    }
    snprintf(among, sizeof among, " %s ", name);
    if (elsewhere || name[0] == '_' || strstr(ssdei_scheduler_idle, among))
        ssdei_scheduler_skip(json);
    else if (!ssdei_json_word(json, "null"))
        return ssdei_scheduler_refuse(w, name, "is a key that scoresde does not know");
    return SSDE_OK;
}

static ssde_status ssdei_scheduler_syntax(const ssdei_scheduling *w, const ssdei_json *json) {
    if (!json->problem) return SSDE_OK;
    return ssde_fail(w->context, SSDE_ERROR_FORMAT, "scheduler: byte %lu of its JSON: %s", (unsigned long)json->at,
                     json->problem);
}

/* w->kind, by "_class_name". */
static ssde_status ssdei_scheduler_class_of(ssdei_scheduling *w, ssdei_json json) {
    char name[64], value[64] = "", list[256] = "";
    for (ssdei_json_open(&json, '{'); ssdei_json_next(&json, '}');) {
        ssdei_json_key(&json, name, sizeof name);
        if (!json.problem && !strcmp(name, "_class_name")) {
            if (value[0]) ssdei_json_fail(&json, "'_class_name' comes twice");
            ssdei_json_string(&json, value, sizeof value);
        } else
            ssdei_scheduler_skip(&json);
    }
    ssdei_json_end(&json);
    ssdei_try(ssdei_scheduler_syntax(w, &json));
    for (w->kind = 1; w->kind < SSDEI_SCHEDULER_ALL; w->kind *= 2)
        if (!strcmp(value, ssdei_scheduler_name(w))) return SSDE_OK;
    if (!value[0]) return ssde_fail(w->context, SSDE_ERROR_FORMAT, "scheduler: '_class_name' is missing");
    for (w->kind = 1; w->kind < SSDEI_SCHEDULER_ALL; w->kind *= 2) { /* without "Scheduler" */
        const char *known = ssdei_scheduler_name(w);
        size_t length = strlen(list);
        snprintf(list + length, sizeof list - length, ", %.*s", (int)strlen(known) - 9, known);
    }
    return ssde_fail(w->context, SSDE_ERROR_UNSUPPORTED, "'_class_name' is '%.40s', wanted one of %s", value, list + 2);
}

static ssde_status ssdei_scheduler_parse(ssdei_scheduling *w, const char *text, size_t size) {
    ssdei_json json = ssdei_json_over(text, size);
    unsigned char seen[SSDEI_SCHEDULER_KEYS];
    size_t i;
    ssdei_try(ssdei_scheduler_class_of(w, json));
    memset(seen, 0, sizeof seen);
    for (i = 0; i < SSDEI_SCHEDULER_KEYS; i++) {
        const ssdei_scheduler_key *key = &ssdei_scheduler_keys[i];
        void *place = (char *)&w->config + key->place;
        if ((key->readers & w->kind) && key->kind != SSDEI_KEY_LIST) *(double *)place = key->standard;
    }
    for (ssdei_json_open(&json, '{'); ssdei_json_next(&json, '}');) {
        char name[64];
        ssdei_json_key(&json, name, sizeof name);
        if (!json.problem) ssdei_try(ssdei_scheduler_entry(w, name, &json, seen));
    }
    ssdei_json_end(&json);
    return ssdei_scheduler_syntax(w, &json);
}

/* Up to `capacity` numbers of the list at a cursor into values, which may be NULL; how many there are. */
static ssde_status ssdei_scheduler_list(const ssdei_scheduling *w, const char *key, ssdei_json json, size_t capacity,
                                        double *values, size_t *count) {
    *count = 0;
    if (!json.size) return SSDE_OK;
    for (ssdei_json_open(&json, '['); ssdei_json_next(&json, ']'); ++*count) {
        double value = ssdei_json_number(&json);
        if (values && *count < capacity) values[*count] = value;
    }
    return json.problem ? ssdei_scheduler_refuse(w, key, "is no list of numbers") : SSDE_OK;
}

/* ---- scheduler: timesteps ---- */

static double ssdei_single(double value) { return (double)(float)value; }

/* To the nearest, halves to the even one; value >= 0. */
static double ssdei_round_even(double value) {
    double below = floor(value), part = value - below;
    return below + (part > 0.5 || (part == 0.5 && fmod(below, 2.0) != 0.0) ? 1.0 : 0.0);
}

/* NumPy's linspace: value i of n. */
static double ssdei_linspace(double first, double last, size_t i, size_t n) {
    return i && i + 1 == n ? last : first + (double)i * ((last - first) / (double)(n > 1 ? n - 1 : 1));
}

/* PyTorch's, in float, from both ends. */
static double ssdei_linspace_single(double first, double last, size_t i, size_t n) {
    float begin = (float)first, end = (float)last, step = n > 1 ? (end - begin) / (float)(n - 1) : 0.0f;
    return (double)(i < n / 2 || n == 1 ? begin + step * (float)i : end - step * (float)(n - 1 - i));
}

/* label[k], 0 <= k < steps, of the spacing: with n or, where the last falls away, n + 1 points, below `end`. rounded:
   to whole numbers, else to float. */
static ssde_status ssdei_scheduler_spacing(ssdei_scheduling *w, size_t points, double end, int rounded) {
    double trained = (double)w->trained, n = (double)w->steps, offset = w->config.steps_offset, value;
    double second = trained - trained / n, count = ceil(end / (trained / n));
    size_t k, spacing = (size_t)w->config.timestep_spacing;
    char problem[120];
    if (spacing == SSDEI_SPACING_TRAILING) {
        second = end - trained / n;
        if (end == trained && count != n) {
            snprintf(problem, sizeof problem, "trailing has %g timesteps in diffusers where %g are wanted, the last -1",
                     count, n);
            return ssdei_scheduler_refuse(w, "timestep_spacing", problem);
        }
        if (!(count >= 1.0)) return ssdei_scheduler_refuse(w, "lambda_min_clipped", "leaves no timestep");
        w->steps = (size_t)count;
    }
    for (k = 0; k < w->steps; k++) {
        size_t i = points - 1 - k;
        if (spacing == SSDEI_SPACING_TRAILING)
            value = ssdei_round_even(end + (double)k * (second - end)) - 1.0;
        else if (spacing == SSDEI_SPACING_LEADING)
            value = (double)i * floor(end / (double)points) + offset;
        else
            value = ssdei_linspace(0.0, end - 1.0, i, points);
        w->label[k] = rounded ? ssdei_round_even(value) : ssdei_single(value);
    }
    return SSDE_OK;
}

/* Given, or spaced; each within the table, and below the one before. */
static ssde_status ssdei_scheduler_timesteps(ssdei_scheduling *w, size_t points, double end, int rounded) {
    size_t k;
    if (!w->how.timesteps) ssdei_try(ssdei_scheduler_spacing(w, points, end, rounded));
    for (k = 0; k < w->steps; k++) {
        double value = w->how.timesteps ? w->how.timesteps[k] : w->label[k];
        if (!(value >= 0.0 && value <= (double)w->trained - 1.0) || (rounded && floor(value) != value))
            return ssde_fail(w->context, SSDE_ERROR_UNSUPPORTED, "%s: timestep %lu is %g, wanted %s from 0 to %lu%s",
                             ssdei_scheduler_name(w), (unsigned long)k, value, rounded ? "whole" : "a number",
                             (unsigned long)w->trained - 1, w->config.steps_offset > 0.0 ? ": see 'steps_offset'" : "");
        if (k && !(value < w->label[k - 1]) && !w->how.timesteps && w->steps > w->trained)
            return ssde_fail(w->context, SSDE_ERROR_UNSUPPORTED, "%s: steps is %lu, wanted at most %lu",
                             ssdei_scheduler_name(w), (unsigned long)w->steps, (unsigned long)w->trained);
        if (k && !(value < w->label[k - 1]))
            return ssde_fail(w->context, SSDE_ERROR_UNSUPPORTED, "%s: of %lu timesteps %lu is %g, wanted below %g",
                             ssdei_scheduler_name(w), (unsigned long)w->steps, (unsigned long)k, value,
                             w->label[k - 1]);
        w->label[k] = ssdei_single(value);
    }
    return SSDE_OK;
}

/* ---- scheduler: levels ---- */

/* The tables of betas; of sigma = std / m and its logarithm in float. A terminal signal of 0 counts as m^2 = 2^-24 but
   in DDPM and DDIM. */
static ssde_status ssdei_scheduler_tables(ssdei_scheduling *w) {
    ssde_schedule_desc desc = ssde_schedule_defaults(w->schedule);
    size_t i, count;
    desc.levels = (int)w->trained;
    desc.beta_start = w->config.beta_start, desc.beta_end = w->config.beta_end;
    desc.betas = w->betas_table;
    desc.zero_terminal_snr = w->config.rescale_betas_zero_snr != 0.0;
    desc.single = 1;
    desc.context = w->context;
    if (!(desc.beta_start > 0.0)) return ssdei_scheduler_refuse(w, "beta_start", "is not above 0");
    if (!(desc.beta_end > 0.0)) return ssdei_scheduler_refuse(w, "beta_end", "is not above 0");
    ssdei_try(ssdei_scheduler_list(w, "trained_betas", w->config.trained_betas, w->betas, w->betas_table, &count));
    ssdei_try(ssde_schedule_levels(&desc, w->mean, w->std));
    for (i = 0; i < w->trained; i++) {
        double left = ssdei_single(w->mean[i] * w->mean[i]);
        if (left == 0.0) left = ldexp(1.0, -24);
        w->sigma_table[i] = ssdei_single(sqrt(ssdei_single(ssdei_single(1.0 - left) / left)));
        w->log_table[i] = ssdei_single(ssdei_math_log(w->sigma_table[i]));
    }
    return SSDE_OK;
}

/* The table at a timestep that may be between two. */
static double ssdei_scheduler_interpolate(const ssdei_scheduling *w, double timestep) {
    size_t i = (size_t)timestep;
    if (i + 1 >= w->trained) return w->sigma_table[w->trained - 1];
    return (w->sigma_table[i + 1] - w->sigma_table[i]) * (timestep - (double)i) + w->sigma_table[i];
}

/* The timestep of a sigma, linear in its logarithm: in float, as arrays of float make of a double with NumPy up to 1.
 */
static double ssdei_scheduler_invert(const ssdei_scheduling *w, double sigma) {
    double x = ssdei_single(ssdei_math_log(sigma > 1e-10 ? sigma : 1e-10)), part;
    size_t i = 0, above = w->trained - 1; /* the table rises, but for its last where the signal ends in 0 */
    if (x >= w->log_table[above]) i = above - 1;
    while (i + 1 < above) {
        size_t middle = i + (above - i) / 2;
        if (x >= w->log_table[middle])
            i = middle;
        else
            above = middle;
    }
    part = ssdei_single(w->log_table[i] - x) / ssdei_single(w->log_table[i] - w->log_table[i + 1]);
    part = part > 1.0 ? 1.0 : part > 0.0 ? ssdei_single(part) : 0.0;
    return ssdei_single(1.0 - part) * (double)i + part * (double)(i + 1);
}

/* steps levels from high to low, equally spaced in sigma^(1 / rho), or, rho 0, in log sigma. */
static void ssdei_scheduler_respace(ssdei_scheduling *w, double low, double high, double rho) {
    double first = rho > 0.0 ? ssdei_math_pow(high, 1.0 / rho) : ssdei_math_log(high);
    double last = rho > 0.0 ? ssdei_math_pow(low, 1.0 / rho) : ssdei_math_log(low);
    size_t k;
    for (k = 0; k < w->steps; k++) {
        double part = ssdei_linspace(0.0, 1.0, k, w->steps);
        w->sigma[k] = rho > 0.0 ? ssdei_math_pow(first + part * (last - first), rho)
                                : ssdei_math_exp(ssdei_linspace(first, last, k, w->steps));
    }
}

/* Karras', exponential or Lu's levels between low and high, or sigma_min and sigma_max of the configuration; whether
   there are any. */
static int ssdei_scheduler_respaced(ssdei_scheduling *w, double low, double high) {
    const ssdei_scheduler_config *c = &w->config;
    int given = c->use_karras_sigmas != 0.0 || c->use_exponential_sigmas != 0.0;
    if (given && c->sigma_min != -DBL_MAX) low = c->sigma_min;
    if (given && c->sigma_max != -DBL_MAX) high = c->sigma_max;
    if (!given && c->use_lu_lambdas == 0.0) return 0;
    if (!given) low = ssdei_math_exp(w->log_table[0]), high = ssdei_math_exp(w->log_table[w->trained - 1]);
    ssdei_scheduler_respace(w, low, high, c->use_karras_sigmas != 0.0 ? 7.0 : 0.0);
    return 1;
}

/* The shift of flows: e^mu / (e^mu + 1 / s - 1), and with mu itself; else shift s / (1 + (shift - 1) s). */
static double ssdei_scheduler_shift(const ssdei_scheduling *w, double shift, double s) {
    int dynamic = w->config.use_dynamic_shifting != 0.0;
    double mu = w->config.time_shift_type == 0.0 ? ssdei_math_exp(w->how.mu) : w->how.mu;
    if (s == 0.0) return 0.0;
    return dynamic ? mu / (mu + (1.0 / s - 1.0)) : shift * s / (1.0 + (shift - 1.0) * s);
}

/* 1 - s stretched so that the last is the terminal. */
static void ssdei_scheduler_stretch(ssdei_scheduling *w) {
    double factor = (1.0 - w->sigma[w->steps - 1]) / (1.0 - w->config.shift_terminal);
    size_t k;
    for (k = 0; w->config.shift_terminal != 0.0 && k < w->steps; k++) w->sigma[k] = 1.0 - (1.0 - w->sigma[k]) / factor;
}

/* Given sigmas; whether there are any. */
static int ssdei_scheduler_given(ssdei_scheduling *w) {
    size_t k;
    for (k = 0; w->how.sigmas && k <= w->steps; k++) w->sigma[k] = ssdei_single(w->how.sigmas[k]);
    return w->how.sigmas != NULL;
}

/* Where the run ends: 0, or `least`. */
static void ssdei_scheduler_finish(ssdei_scheduling *w, double least) {
    if (!w->how.sigmas) w->sigma[w->steps] = w->config.final_sigmas_type != 0.0 ? least : 0.0;
}

/* EulerDiscrete, EulerAncestralDiscrete, HeunDiscrete: timesteps with their fractions. */
static ssde_status ssdei_scheduler_euler_levels(ssdei_scheduling *w) {
    const ssdei_scheduler_config *c = &w->config;
    double lowest = w->log_table[0], highest = w->log_table[w->trained - 1];
    int given = ssdei_scheduler_given(w), logs = c->interpolation_type != 0.0 && !given, respaced = 0;
    int noised = c->timestep_type != 0.0 && c->prediction_type == (double)SSDEI_PREDICTS_V;
    size_t k;
    if (!given) {
        ssdei_try(ssdei_scheduler_timesteps(w, w->steps, (double)w->trained, 0));
        for (k = 0; k < w->steps; k++)
            w->sigma[k] = logs ? ssdei_math_exp(ssdei_linspace(highest, lowest, k, w->steps + (w->how.follow != 0)))
                               : ssdei_scheduler_interpolate(w, w->label[k]);
        respaced = ssdei_scheduler_respaced(w, logs ? w->sigma_table[0] : w->sigma[w->steps - 1], w->sigma[0]);
    }
    ssdei_scheduler_finish(w, w->sigma_table[0]);
    w->left_out = logs && w->how.follow && !respaced;
    if (w->left_out) w->sigma[w->steps] = w->sigma_table[0];
    for (k = 0; k < w->steps; k++) {
        if (noised)
            w->label[k] = ssdei_single(0.25 * ssdei_single(ssdei_math_log(ssdei_single(w->sigma[k]))));
        else if (given || respaced || (logs && !w->how.follow))
            w->label[k] = ssdei_single(ssdei_scheduler_invert(w, w->sigma[k]));
    }
    w->label[w->steps] = noised ? w->label[w->steps - 1] : 0.0;
    return SSDE_OK;
}

/* Flow levels under DPMSolverMultistep and UniPCMultistep: std, the timestep in whole numbers. */
static void ssdei_scheduler_log_flow(ssdei_scheduling *w) {
    double trained = (double)w->trained, n1 = 1.0 / trained;
    double shift = w->config.use_dynamic_shifting != 0.0 ? ssdei_math_exp(w->how.mu) : w->config.flow_shift;
    size_t k, n = w->steps;
    for (k = 0; k < n; k++) {
        if (!w->how.sigmas)
            w->sigma[k] = w->kind == SSDEI_SCHEDULER_DPM ? 1.0 - ssdei_linspace(1.0, n1, n - k, n + 1)
                                                         : ssdei_linspace(1.0, n1, k, n + 1);
        w->sigma[k] = shift * w->sigma[k] / (1.0 + (shift - 1.0) * w->sigma[k]);
    }
    ssdei_scheduler_stretch(w);
    if (w->kind == SSDEI_SCHEDULER_UNIPC && fabs(w->sigma[0] - 1.0) < 1e-6) w->sigma[0] -= 1e-6;
}

/* DPMSolverMultistep, UniPCMultistep: whole timesteps. */
static ssde_status ssdei_scheduler_log_levels(ssdei_scheduling *w) {
    const ssdei_scheduler_config *c = &w->config;
    double end = (double)w->trained, least = w->sigma_table[0];
    int respaced = 0, dpm = w->kind == SSDEI_SCHEDULER_DPM;
    /* diffusers rounds the timesteps that it inverts, but for some */
    int rounds =
        dpm ? w->schedule != SSDE_SCHEDULE_COSINE && c->use_exponential_sigmas == 0.0 : c->use_karras_sigmas != 0.0;
    size_t k;
    for (k = w->trained; dpm && k > 0; k--) {                                  /* lambda ascends from the last on */
        double mean = w->mean[k - 1] > 0.0 ? w->mean[k - 1] : ldexp(1.0, -12); /* as in the tables */
        double log_m = ssdei_single(ssdei_math_log(ssdei_single(mean)));
        double lambda = ssdei_single(log_m - ssdei_single(ssdei_math_log(ssdei_single(w->std[k - 1]))));
        if (!(lambda < c->lambda_min_clipped)) break;
        end -= 1.0;
    }
    if (!ssdei_scheduler_given(w)) {
        ssdei_try(
            ssdei_scheduler_timesteps(w, w->steps + (c->timestep_spacing != (double)SSDEI_SPACING_TRAILING), end, 1));
        for (k = 0; k < w->steps; k++) w->sigma[k] = ssdei_scheduler_interpolate(w, w->label[k]);
        respaced = ssdei_scheduler_respaced(w, w->sigma_table[0], w->sigma_table[w->trained - 1]);
        if (respaced && !dpm) least = w->sigma[w->steps - 1];
    }
    if (w->flow && !respaced) ssdei_scheduler_log_flow(w);
    for (k = 0; w->flow && respaced && k < w->steps; k++) w->sigma[k] /= w->sigma[k] + 1.0;
    if (w->flow && !dpm) least = w->sigma[w->steps - 1];
    ssdei_scheduler_finish(w, least);
    for (k = 0; k < w->steps; k++) {
        double timestep = w->flow ? w->sigma[k] * (double)w->trained : ssdei_scheduler_invert(w, w->sigma[k]);
        if (w->flow || respaced || w->how.sigmas)
            w->label[k] = rounds && !w->flow ? ssdei_round_even(timestep) : floor(timestep);
    }
    w->label[w->steps] = 0.0;
    return SSDE_OK;
}

/* EDM: sigma from sigma_max to sigma_min; EDMEuler in double, rounded. */
static ssde_status ssdei_scheduler_edm_levels(ssdei_scheduling *w) {
    const ssdei_scheduler_config *c = &w->config;
    double low = ssdei_math_pow(c->sigma_min, 1.0 / c->rho), high = ssdei_math_pow(c->sigma_max, 1.0 / c->rho);
    int single = w->kind == SSDEI_SCHEDULER_EDM_DPM, places = w->how.sigmas && w->how.follow && !single;
    size_t k;
    for (k = 0; k < w->steps; k++) {
        double part = places   ? w->how.sigmas[k]
                      : single ? ssdei_linspace_single(0.0, 1.0, k, w->steps)
                               : ssdei_linspace(0.0, 1.0, k, w->steps);
        if (c->sigma_schedule != 0.0)
            w->sigma[k] = ssdei_math_exp(ssdei_linspace_single(
                ssdei_math_log(c->sigma_min), ssdei_math_log(c->sigma_max), w->steps - 1 - k, w->steps));
        else if (single)
            w->sigma[k] = ssdei_math_pow(
                ssdei_single(ssdei_single(high) + ssdei_single(part * ssdei_single(low - high))), c->rho);
        else
            w->sigma[k] = ssdei_math_pow(high + part * (low - high), c->rho);
    }
    if (!places) ssdei_scheduler_given(w);
    ssdei_scheduler_finish(w, single ? c->sigma_min : w->sigma[w->steps - 1]);
    if (places) w->sigma[w->steps] = c->final_sigmas_type != 0.0 ? w->sigma[w->steps - 1] : 0.0;
    for (k = 0; k < w->steps; k++)
        w->label[k] = ssdei_single(0.25 * ssdei_single(ssdei_math_log(ssdei_single(w->sigma[k]))));
    w->label[w->steps] = w->label[w->steps - 1];
    return SSDE_OK;
}

/* FlowMatchEulerDiscrete: std from 1 to 1 / trained, which the constructor has shifted once, shifted. */
static ssde_status ssdei_scheduler_flow_levels(ssdei_scheduling *w) {
    double trained = (double)w->trained, shift = w->config.shift, least = ssdei_single(1.0 / trained);
    size_t k;
    if (w->config.use_dynamic_shifting == 0.0) least = ssdei_single(ssdei_scheduler_shift(w, shift, least));
    for (k = 0; k < w->steps; k++) {
        double s = w->how.sigmas      ? ssdei_single(w->how.sigmas[k])
                   : w->how.timesteps ? ssdei_single(ssdei_single(w->how.timesteps[k]) / trained)
                                      : ssdei_linspace(trained, least * trained, k, w->steps) / trained;
        w->sigma[k] = ssdei_scheduler_shift(w, shift, s);
    }
    ssdei_scheduler_stretch(w);
    ssdei_scheduler_respaced(w, w->sigma[w->steps - 1], w->sigma[0]);
    w->sigma[w->steps] = w->how.sigmas ? w->how.sigmas[w->steps] : 0.0;
    for (k = 0; k <= w->steps; k++) w->label[k] = ssdei_single(ssdei_single(w->sigma[k]) * trained);
    return SSDE_OK;
}

/* w->sigma as the levels of a tabulated SDE: VP's, EDM's or a flow's. The last step may be of no length. */
static ssde_status ssdei_scheduler_sigma_levels(ssdei_scheduling *w) {
    size_t k, n = w->steps;
    for (k = 0; k <= n; k++) {
        double sigma = ssdei_single(w->sigma[k]), mean = w->edm ? 1.0 : 1.0 / sqrt(1.0 + sigma * sigma);
        /* EDM's last sigma has lost some to rounding, its sigma_min has not */
        if (k == n && sigma > w->sigma[k - 1] && sigma < 1.00001 * w->sigma[k - 1]) sigma = w->sigma[k - 1];
        w->sigma[k] = sigma;
        if (k && !(sigma < w->sigma[k - 1]) && !(k == n && sigma == w->sigma[k - 1]))
            return ssde_fail(w->context, SSDE_ERROR_UNSUPPORTED,
                             "%s: level %lu of %lu is %.9g, wanted below the one before, %.9g", ssdei_scheduler_name(w),
                             (unsigned long)k, (unsigned long)n, sigma, w->sigma[k - 1]);
        if (!(sigma >= 0.0 && sigma <= (w->flow ? 1.0 : 1e30)) || (k < n && sigma == 0.0))
            return ssde_fail(w->context, SSDE_ERROR_UNSUPPORTED, "%s: level %lu is %g, wanted above 0%s",
                             ssdei_scheduler_name(w), (unsigned long)k, sigma, w->flow ? " and up to 1" : "");
        if (k == 1 && k < n && w->label[1] == w->label[0])
            return ssde_fail(w->context, SSDE_ERROR_UNSUPPORTED,
                             "%s: the first two timesteps are both %g, and diffusers begins at the second",
                             ssdei_scheduler_name(w), w->label[0]);
        if (k && sigma == w->sigma[k - 1]) sigma *= 1.0 - ldexp(1.0, -44);
        w->level_mean[n - k] = w->flow ? 1.0 - sigma : mean;
        w->level_std[n - k] = w->flow ? sigma : sigma * mean;
        w->level_label[n - k] = w->label[k];
        w->times[k] = (double)(n - k) / (double)n;
    }
    w->levels = n + 1;
    return SSDE_OK;
}

/* times, the place of each timestep among the levels; and ends, each step's a stride below, which below the first
   timestep is x(0). PNDM's first three steps end where the next begin: their stages go by `pndm.step`. */
static void ssdei_scheduler_chain_places(ssdei_scheduling *w, size_t stride) {
    size_t k, at, staged = w->kind == SSDEI_SCHEDULER_PNDM && w->config.skip_prk_steps == 0.0 ? 3 : 0;
    double last = (double)(w->levels - 1);
    w->times[w->steps] = 0.0;
    for (k = w->steps, at = 1; k-- > 0;) {
        while (w->level_label[at] < w->label[k]) at++;
        w->times[k] = (double)at / last;
    }
    for (k = 0, at = w->levels - 1; stride && k < w->steps; k++) {
        double to = w->label[k] - (double)stride;
        while (at > 1 && w->level_label[at] > to) at--;
        w->ends[k] = k < staged ? w->times[k + 1] : w->level_label[at] == to ? (double)at / last : 0.0;
        if (w->ends[k] != w->times[k + 1]) w->run.how.ends = w->ends;
    }
}

/* DDPM, DDIM, PNDM: levels of the schedule itself, and where the run ends one more, x(0) or, of what is not set to one,
   the first level once more. */
static ssde_status ssdei_scheduler_chain_levels(ssdei_scheduling *w) {
    int to_one = w->kind == SSDEI_SCHEDULER_DDPM || w->config.set_alpha_to_one != 0.0;
    size_t stride = 0, k, i;
    ssdei_try(ssdei_scheduler_timesteps(w, w->steps, (double)w->trained, 1));
    if (w->how.follow && w->kind != SSDEI_SCHEDULER_DDPM && !w->how.timesteps) stride = w->trained / w->steps;
    /* PNDM's stages are in between */
    if (w->kind == SSDEI_SCHEDULER_PNDM) memset(w->visited, 1, (size_t)w->label[0] + 1);
    for (k = 0; k < w->steps; k++) {
        size_t timestep = (size_t)w->label[k];
        w->visited[timestep] = 1;
        if (timestep >= stride) w->visited[timestep - stride] = 1;
    }
    w->level_mean[0] = to_one ? 1.0 : w->mean[0];
    w->level_std[0] = to_one ? 0.0 : w->std[0] * (1.0 - ldexp(1.0, -44));
    w->level_label[0] = 0.0;
    for (w->levels = 1, i = 0; i < w->trained; i++) {
        if (!w->visited[i]) continue;
        w->level_mean[w->levels] = w->mean[i], w->level_std[w->levels] = w->std[i];
        w->level_label[w->levels++] = (double)i;
    }
    ssdei_scheduler_chain_places(w, stride);
    return SSDE_OK;
}

/* ---- scheduler: samplers ---- */

static ssde_status ssdei_scheduler_no_signal(const ssdei_scheduling *w) {
    if (w->mean[w->trained - 1] != 0.0 || w->config.prediction_type != (double)SSDEI_PREDICTS_EPSILON) return SSDE_OK;
    if (w->label[0] < (double)w->trained - 1.0) return SSDE_OK;
    return ssdei_scheduler_refuse(w, "prediction_type",
                                  "is 'epsilon', and the first timestep has no signal: x says nothing else than the "
                                  "noise there, and x(0) is the quotient of two zeros");
}

/* Bounds of what is denoised, in a range, or by thresholds that do not exceed sample_max_value. */
static ssde_status ssdei_scheduler_clip(ssdei_scheduling *w) {
    const ssdei_scheduler_config *c = &w->config;
    ssde_clip *clip = &w->run.how.clip;
    if (c->thresholding != 0.0) {
        *clip = ssde_clip_dynamic(-1.0, 1.0, c->dynamic_thresholding_ratio);
        clip->most = c->sample_max_value;
        if (!(clip->most >= 1.0)) return ssdei_scheduler_refuse(w, "sample_max_value", "is below 1");
        if (!(clip->quantile > 0.0 && clip->quantile <= 1.0))
            return ssdei_scheduler_refuse(w, "dynamic_thresholding_ratio", "is not above 0 and up to 1");
    } else if (c->clip_sample != 0.0) {
        if (!(c->clip_sample_range > 0.0)) return ssdei_scheduler_refuse(w, "clip_sample_range", "is not above 0");
        *clip = ssde_clip_to(-c->clip_sample_range, c->clip_sample_range);
    }
    if (clip->kind != SSDE_CLIP_NONE) clip->keep_noise = w->kind == SSDEI_SCHEDULER_DDIM && !w->how.clipped_eps;
    return SSDE_OK;
}

/* DDPM is DDIM with eta 1 and a choice of variances. The last step's noise, which diffusers draws where the last
   timestep is not 0, is that of a level a little above x(0). */
static ssde_status ssdei_scheduler_ddpm(ssdei_scheduling *w) {
    static const ssde_variance variances[] = {SSDE_VARIANCE_POSTERIOR, SSDE_VARIANCE_POSTERIOR, SSDE_VARIANCE_FORWARD,
                                              SSDE_VARIANCE_LEARNED};
    w->run.how.predictor = SSDE_PREDICTOR_DDIM;
    w->run.how.eta = 1.0;
    w->run.how.variance = variances[(int)w->config.variance_type];
    if (w->how.follow && w->label[w->steps - 1] > 0.0) w->level_std[0] = 1e-10; /* diffusers' least */
    ssdei_try(ssdei_scheduler_no_signal(w));
    return ssdei_scheduler_clip(w);
}

static ssde_status ssdei_scheduler_ddim(ssdei_scheduling *w) {
    w->run.how.predictor = SSDE_PREDICTOR_DDIM;
    w->run.how.eta = w->how.eta;
    ssdei_try(ssdei_scheduler_no_signal(w));
    return ssdei_scheduler_clip(w);
}

/* x there is x / m: noise of the greatest sigma, or of what has that beside data of scale 1. */
static ssde_status ssdei_scheduler_euler(ssdei_scheduling *w) {
    ssde_sampler_desc *how = &w->run.how;
    double sigma = w->sigma[0], n = (double)w->steps;
    int leading = w->config.timestep_spacing == (double)SSDEI_SPACING_LEADING;
    w->run.sde.prior_std = leading ? 1.0 : sigma / sqrt(1.0 + sigma * sigma);
    if (w->kind == SSDEI_SCHEDULER_HEUN && w->how.follow && sigma > 1e4)
        return ssde_fail(w->context, SSDE_ERROR_UNSUPPORTED,
                         "HeunDiscreteScheduler: the first sigma is %g, whose Heun step is not followed", sigma);
    how->predictor = w->kind == SSDEI_SCHEDULER_HEUN ? SSDE_PREDICTOR_HEUN : SSDE_PREDICTOR_DDIM;
    how->eta = w->kind == SSDEI_SCHEDULER_EULER_A;
    how->s_churn = w->how.s_churn, how->s_noise = w->how.s_noise;
    how->s_tmin = w->how.s_tmin, how->s_tmax = w->how.s_tmax;
    if (w->left_out) how->s_churn *= n / (n + 1.0);
    return ssdei_scheduler_clip(w);
}

/* EDM's init_noise_sigma is of the configuration, whatever the levels. */
static ssde_status ssdei_scheduler_edm(ssdei_scheduling *w) {
    ssdei_try(ssdei_scheduler_euler(w));
    w->run.sde.prior_std = sqrt(w->config.sigma_max * w->config.sigma_max + 1.0);
    return SSDE_OK;
}

/* The order of a multistep sampler's step. */
static size_t ssdei_scheduler_order(const ssdei_scheduling *w, size_t step) {
    const ssde_multistep *m = &w->run.how.multistep;
    size_t order = (size_t)m->order < step + 1 ? (size_t)m->order : step + 1, left = w->steps - step;
    if (m->euler_at_end && left == 1) return 1;
    return m->fewer_at_end && left < order ? left : order;
}

/* Of a last step of no length order 3 is NaN in diffusers, and the exact integral of a line. */
static ssde_status ssdei_scheduler_last_step(const ssdei_scheduling *w, int integral) {
    size_t order = ssdei_scheduler_order(w, w->steps - 1);
    if (w->edm || w->sigma[w->steps] < w->sigma[w->steps - 1] || order < (integral ? 2u : 3u)) return SSDE_OK;
    return ssdei_scheduler_refuse(w, "final_sigmas_type",
                                  "repeats the last sigma, and of a step of no length this order is NaN in diffusers");
}

/* DPMSolverMultistep, EDMDPMSolverMultistep. */
static ssde_status ssdei_scheduler_dpm(ssdei_scheduling *w) {
    const ssdei_scheduler_config *c = &w->config;
    ssde_sampler_desc *how = &w->run.how;
    int solver = (int)c->algorithm_type, noise, zero = w->sigma[w->steps] == 0.0;
    size_t k;
    int sde = solver == SSDEI_SOLVER_SDE || solver == SSDEI_SOLVER_NOISE_SDE;
    noise = solver == SSDEI_SOLVER_NOISE_ODE || solver == SSDEI_SOLVER_NOISE_SDE;
    if (w->edm) w->run.sde.prior_std = sqrt(c->sigma_max * c->sigma_max + 1.0);
    if (c->solver_order < 1.0 || c->solver_order > 3.0)
        return ssdei_scheduler_refuse(w, "solver_order", "is not 1 to 3");
    if ((noise || solver == SSDEI_SOLVER_DEIS) && (zero || c->final_sigmas_type == 0.0))
        return ssdei_scheduler_refuse(w, "algorithm_type",
                                      "is not one that diffusers takes with 'final_sigmas_type' zero");
    if (noise && c->prediction_type == (double)SSDEI_PREDICTS_FLOW)
        return ssdei_scheduler_refuse(w, "algorithm_type", "is of noise, 'prediction_type' flow_prediction");
    how->predictor = c->solver_order == 3.0 ? SSDE_PREDICTOR_DPM_SOLVER_3M : SSDE_PREDICTOR_DPM_SOLVER_2M;
    how->eta = sde;
    how->multistep.published = 1;
    how->multistep.order = (int)c->solver_order;
    how->multistep.noise = noise;
    how->multistep.heun = c->solver_type == 1.0;
    how->multistep.fewer_at_end = c->lower_order_final != 0.0 && w->steps < 15;
    how->multistep.euler_at_end = c->euler_at_final != 0.0 || c->final_sigmas_type == 0.0;
    how->multistep.third_as_diffusers = w->how.follow && sde && !noise && c->solver_order == 3.0;
    for (k = 0; k < w->steps; k++) {
        if (ssdei_scheduler_order(w, k) == 3 && sde && (noise || w->edm))
            return ssdei_scheduler_refuse(w, "solver_order",
                                          "is 3 with this algorithm_type, which diffusers does not have");
    }
    ssdei_try(ssdei_scheduler_last_step(w, how->multistep.heun));
    return ssdei_scheduler_clip(w);
}

static ssde_status ssdei_scheduler_unipc(ssdei_scheduling *w) {
    const ssdei_scheduler_config *c = &w->config;
    ssde_sampler_desc *how = &w->run.how;
    ssde_multistep *m = &how->multistep;
    int zero = w->sigma[w->steps] == 0.0;
    size_t i, count;
    if (c->solver_order < 1.0 || c->solver_order > 3.0)
        return ssdei_scheduler_refuse(w, "solver_order", "is not 1 to 3");
    how->predictor = SSDE_PREDICTOR_UNIPC;
    m->published = 1;
    m->order = (int)c->solver_order;
    m->noise = c->predict_x0 == 0.0;
    m->bh1 = c->solver_type == 1.0;
    m->fewer_at_end = c->lower_order_final != 0.0;
    if (zero && m->bh1) return ssdei_scheduler_refuse(w, "solver_type", "is bh1, NaN in the step into sigma 0");
    if (zero && m->noise) return ssdei_scheduler_refuse(w, "predict_x0", "is false, NaN in the step into sigma 0");
    if (zero && !m->fewer_at_end && m->order > 1 && w->steps > 1)
        return ssdei_scheduler_refuse(w, "lower_order_final", "is false, NaN in the step into sigma 0");
    if (m->noise && c->prediction_type == (double)SSDEI_PREDICTS_FLOW)
        return ssdei_scheduler_refuse(w, "predict_x0", "is false, 'prediction_type' flow_prediction");
    if (m->noise && c->thresholding != 0.0)
        return ssdei_scheduler_refuse(w, "thresholding", "is true where 'predict_x0' is false, which leaves it out");
    ssdei_try(ssdei_scheduler_last_step(w, 0));
    ssdei_try(ssdei_scheduler_list(w, "disable_corrector", c->disable_corrector, w->uncorrected, w->uncorrected_steps,
                                   &count));
    for (i = 0; i < w->uncorrected; i++) {
        if (!ssdei_is_whole(w->uncorrected_steps[i], 0.0, 1e6))
            return ssdei_scheduler_refuse(w, "disable_corrector", "has an entry that is no step");
        w->left_alone[i] = (size_t)w->uncorrected_steps[i];
    }
    m->uncorrected = w->uncorrected ? w->left_alone : NULL;
    m->uncorrected_count = w->uncorrected;
    return ssdei_scheduler_clip(w);
}

static ssde_status ssdei_scheduler_flow(ssdei_scheduling *w) {
    w->run.how.predictor = SSDE_PREDICTOR_DDIM;
    if (w->config.stochastic_sampling != 0.0) w->run.how.eta = 1.0, w->run.how.variance = SSDE_VARIANCE_WHOLE;
    if (w->config.invert_sigmas != 0.0)
        return ssdei_scheduler_refuse(w, "invert_sigmas", "is true: its run goes from data to noise");
    return SSDE_OK;
}

/* Followed: sums what the network puts out, with its stages where diffusers has them. */
static ssde_status ssdei_scheduler_pndm(ssdei_scheduling *w) {
    ssde_pndm *pndm = &w->run.how.pndm;
    int skip = w->config.skip_prk_steps != 0.0;
    w->run.how.predictor = SSDE_PREDICTOR_PNDM;
    if (skip && w->steps == 1) { /* Euler's step, and no second evaluation */
        w->run.how.predictor = SSDE_PREDICTOR_DDIM;
        return SSDE_OK;
    }
    pndm->heun_start = skip;
    if (w->how.follow) pndm->sums = w->run.output;
    if (w->how.follow) pndm->step = (double)(w->trained / w->steps) / (double)(w->levels - 1);
    if (skip || w->steps >= 4) return SSDE_OK;
    return ssde_fail(w->context, SSDE_ERROR_UNSUPPORTED,
                     "PNDMScheduler: steps is %lu, wanted at least 4, or 'skip_prk_steps'", (unsigned long)w->steps);
}

/* The reference's predictor-corrector and Euler-Maruyama, on its grid. */
static ssde_status ssdei_scheduler_sde(ssdei_scheduling *w) {
    const ssdei_scheduler_config *c = &w->config;
    ssde_sampler_desc *how = &w->run.how;
    int exploding = w->kind == SSDEI_SCHEDULER_VE;
    w->run.sde = exploding ? ssde_ve(c->sigma_min, c->sigma_max) : ssde_vp(c->beta_min, c->beta_max);
    w->run.sde.num_scales = (int)w->trained;
    how->times = NULL;
    how->skip_denoise = 0;
    how->grid = SSDE_GRID_REFERENCE;
    how->eps = c->sampling_eps;
    how->predictor = exploding ? SSDE_PREDICTOR_REVERSE_DIFFUSION : SSDE_PREDICTOR_EULER_MARUYAMA;
    if (!(c->sampling_eps > 0.0 && c->sampling_eps < 1.0))
        return ssdei_scheduler_refuse(w, "sampling_eps", "is not between 0 and 1");
    if (exploding && !(c->snr > 0.0)) return ssdei_scheduler_refuse(w, "snr", "is not above 0");
    if (!exploding || c->correct_steps == 0.0) return SSDE_OK;
    how->corrector = SSDE_CORRECTOR_LANGEVIN_BATCH;
    how->corrector_first = 1;
    how->corrector_steps = (size_t)c->correct_steps;
    how->snr = c->snr;
    return SSDE_OK;
}

/* At the places of the bits. */
static const struct ssdei_scheduler_class {
    const char *name;
    ssde_status (*levels)(ssdei_scheduling *w); /* NULL: not tabulated */
    ssde_status (*sampler)(ssdei_scheduling *w);
} ssdei_scheduler_classes[] = {
    {"DDPMScheduler", ssdei_scheduler_chain_levels, ssdei_scheduler_ddpm},
    {"DDIMScheduler", ssdei_scheduler_chain_levels, ssdei_scheduler_ddim},
    {"PNDMScheduler", ssdei_scheduler_chain_levels, ssdei_scheduler_pndm},
    {"EulerDiscreteScheduler", ssdei_scheduler_euler_levels, ssdei_scheduler_euler},
    {"EulerAncestralDiscreteScheduler", ssdei_scheduler_euler_levels, ssdei_scheduler_euler},
    {"HeunDiscreteScheduler", ssdei_scheduler_euler_levels, ssdei_scheduler_euler},
    {"DPMSolverMultistepScheduler", ssdei_scheduler_log_levels, ssdei_scheduler_dpm},
    {"UniPCMultistepScheduler", ssdei_scheduler_log_levels, ssdei_scheduler_unipc},
    {"EDMEulerScheduler", ssdei_scheduler_edm_levels, ssdei_scheduler_edm},
    {"EDMDPMSolverMultistepScheduler", ssdei_scheduler_edm_levels, ssdei_scheduler_dpm},
    {"FlowMatchEulerDiscreteScheduler", ssdei_scheduler_flow_levels, ssdei_scheduler_flow},
    {"ScoreSdeVeScheduler", NULL, ssdei_scheduler_sde},
    {"ScoreSdeVpScheduler", NULL, ssdei_scheduler_sde},
};

static const struct ssdei_scheduler_class *ssdei_scheduler_row(const ssdei_scheduling *w) {
    const struct ssdei_scheduler_class *row = ssdei_scheduler_classes;
    int kind;
    for (kind = w->kind; kind > 1; kind /= 2) row++;
    return row;
}

static const char *ssdei_scheduler_name(const ssdei_scheduling *w) { return ssdei_scheduler_row(w)->name; }

/* What of the description is not of this class. */
static ssde_status ssdei_scheduler_check_desc(const ssdei_scheduling *w) {
    const ssde_scheduler_desc *how = &w->how;
    const ssdei_scheduler_config *c = &w->config;
    const int euler = SSDEI_SCHEDULER_EULER | SSDEI_SCHEDULER_EDM_EULER;
    const int spaced = (SSDEI_SCHEDULER_BETAS & ~SSDEI_SCHEDULER_PNDM) | SSDEI_SCHEDULER_FLOW;
    int own = w->kind != SSDEI_SCHEDULER_FLOW, respaced; /* whose levels replace those that are given */
    const char *field = NULL;
    respaced = own && (c->use_karras_sigmas != 0.0 || c->use_exponential_sigmas != 0.0 || c->use_lu_lambdas != 0.0);
    if ((how->eta != 0.0 || how->clipped_eps) && w->kind != SSDEI_SCHEDULER_DDIM)
        field = how->clipped_eps ? "clipped_eps" : "eta";
    else if ((how->s_churn != 0.0 || how->s_tmin != 0.0 || how->s_tmax != 0.0 || how->s_noise != 0.0) &&
             !(w->kind & euler))
        field = "s_churn";
    else if (how->timesteps && (!(w->kind & spaced) || respaced || how->sigmas || (w->flow && own)))
        field = "timesteps";
    else if (how->sigmas && ((w->kind & (SSDEI_SCHEDULER_CHAINS | SSDEI_SCHEDULER_SDES)) ||
                             (respaced && w->kind != SSDEI_SCHEDULER_EULER)))
        field = "sigmas";
    else if ((how->timesteps || how->sigmas) && !how->steps)
        return ssde_fail(w->context, SSDE_ERROR_ARGUMENT, "steps is 0, wanted the number of given %s",
                         how->timesteps ? "timesteps" : "sigmas, less one");
    if (field)
        return ssde_fail(w->context, SSDE_ERROR_UNSUPPORTED, "%s: %s is given, which it, as configured, does not take",
                         ssdei_scheduler_name(w), field);
    if (!(how->eta >= 0.0 && how->eta <= 1.0))
        return ssde_fail(w->context, SSDE_ERROR_ARGUMENT, "eta is %g, wanted 0 to 1", how->eta);
    if (w->steps > 1000000)
        return ssde_fail(w->context, SSDE_ERROR_ARGUMENT, "steps is %.0f, wanted up to a million", (double)w->steps);
    return SSDE_OK;
}

/* -DBL_MAX is a sigma that is not given. */
static int ssdei_scheduler_is_sigma(double value) { return value > 0.0 || value == -DBL_MAX; }

/* Keys that do not go together, or with what is given. */
static ssde_status ssdei_scheduler_check(ssdei_scheduling *w) {
    const ssdei_scheduler_config *c = &w->config;
    double least = c->use_karras_sigmas + c->use_exponential_sigmas + c->use_lu_lambdas;
    w->flow = w->kind == SSDEI_SCHEDULER_FLOW || c->use_flow_sigmas != 0.0;
    w->edm = (w->kind & SSDEI_SCHEDULER_EDM) != 0;
    w->trained = (size_t)c->num_train_timesteps;
    w->schedule = (ssde_schedule_kind)(int)c->beta_schedule;
    w->steps = w->how.steps ? w->how.steps : w->kind & (SSDEI_SCHEDULER_SDES | SSDEI_SCHEDULER_DDPM) ? w->trained : 50;
    if (w->trained < 2) return ssdei_scheduler_refuse(w, "num_train_timesteps", "is below 2");
    ssdei_try(ssdei_scheduler_list(w, "trained_betas", c->trained_betas, 0, NULL, &w->betas));
    ssdei_try(ssdei_scheduler_list(w, "disable_corrector", c->disable_corrector, 0, NULL, &w->uncorrected));
    if (c->trained_betas.size && w->betas != w->trained)
        return ssdei_scheduler_refuse(w, "trained_betas", "has another number than 'num_train_timesteps'");
    if (w->betas) w->schedule = SSDE_SCHEDULE_BETAS;
    if (c->use_beta_sigmas != 0.0)
        return ssdei_scheduler_refuse(w, "use_beta_sigmas", "is true, which is not supported");
    if (least > 0.0 && !ssdei_scheduler_is_sigma(c->sigma_min))
        return ssdei_scheduler_refuse(w, "sigma_min", "is not above 0");
    if (least > 0.0 && !ssdei_scheduler_is_sigma(c->sigma_max))
        return ssdei_scheduler_refuse(w, "sigma_max", "is not above 0");
    if (least > 1.0)
        return ssdei_scheduler_refuse(w, "use_karras_sigmas", "and another spacing of sigmas are both true");
    if (w->flow && least > 0.0 && w->kind != SSDEI_SCHEDULER_FLOW &&
        (w->kind == SSDEI_SCHEDULER_DPM || c->use_karras_sigmas == 0.0))
        return ssdei_scheduler_refuse(w, "use_flow_sigmas", "is true beside sigmas above 1");
    if (c->use_dynamic_shifting != 0.0 && w->flow && w->how.mu == 0.0)
        return ssdei_scheduler_refuse(w, "use_dynamic_shifting", "is true: wanted mu in ssde_scheduler_desc");
    if (w->how.mu != 0.0 && (c->use_dynamic_shifting == 0.0 || !w->flow))
        return ssde_fail(w->context, SSDE_ERROR_UNSUPPORTED,
                         "mu is given, 'use_dynamic_shifting' of a flow's scheduler is not true");
    if (c->shift_terminal != 0.0 && (!w->flow || !(c->shift_terminal > 0.0 && c->shift_terminal < 1.0)))
        return ssdei_scheduler_refuse(w, "shift_terminal", "is of flows, and between 0 and 1");
    if (c->prediction_type == (double)SSDEI_PREDICTS_FLOW && c->use_flow_sigmas == 0.0)
        return ssdei_scheduler_refuse(w, "prediction_type", "is 'flow_prediction' without 'use_flow_sigmas'");
    if (c->predict_epsilon == 0.0 && c->prediction_type != (double)SSDEI_PREDICTS_SAMPLE)
        return ssdei_scheduler_refuse(w, "predict_epsilon", "is false: wanted 'prediction_type' sample");
    if (w->edm && c->sigma_data == 0.0) return ssdei_scheduler_refuse(w, "sigma_data", "is 0");
    if (w->edm && !(c->sigma_min > 0.0 && c->sigma_max > c->sigma_min && c->sigma_max <= 1e30 && c->rho > 0.0))
        return ssdei_scheduler_refuse(w, "sigma_max", "is not above 'sigma_min' above 0, or 'rho' not above 0");
    return ssdei_scheduler_check_desc(w);
}

/* What the network's output means. EDM's v_prediction has the other sign. */
static void ssdei_scheduler_output(ssdei_scheduling *w) {
    static const ssde_parameterisation outputs[] = {SSDE_PREDICT_NOISE, SSDE_PREDICT_DATA, SSDE_PREDICT_VELOCITY,
                                                    SSDE_PREDICT_FLOW, SSDE_PREDICT_DATA};
    int said = (int)w->config.prediction_type;
    w->run.output = w->kind == SSDEI_SCHEDULER_VE     ? SSDE_PREDICT_SCORE
                    : w->kind == SSDEI_SCHEDULER_FLOW ? SSDE_PREDICT_FLOW
                    : w->edm                          ? SSDE_PREDICT_EDM
                                                      : outputs[said];
    if (w->edm) w->run.sigma_data = said == SSDEI_PREDICTS_V ? -w->config.sigma_data : w->config.sigma_data;
    if (w->how.follow && w->how.s_churn > 0.0) {
        w->run.how.churn_unseen = w->run.output;
        w->run.how.sigma_data = w->run.sigma_data;
    }
}

/* Everything of a parsed configuration, into places that there are. */
static ssde_status ssdei_scheduler_make(ssdei_scheduling *w) {
    const struct ssdei_scheduler_class *row = ssdei_scheduler_row(w);
    ssde_sampler_desc *how = &w->run.how;
    *how = ssde_sampler_defaults();
    how->context = w->context;
    how->corrector = SSDE_CORRECTOR_NONE;
    if (w->kind & SSDEI_SCHEDULER_BETAS) ssdei_try(ssdei_scheduler_tables(w));
    if (row->levels) {
        ssdei_try(row->levels(w));
        if (!(w->kind & SSDEI_SCHEDULER_CHAINS)) ssdei_try(ssdei_scheduler_sigma_levels(w));
        w->run.sde = ssde_tabulated(w->level_mean, w->level_std, w->level_label, (int)w->levels);
        w->run.sde.prior_std = 1.0;
        how->times = w->times;
        how->skip_denoise = 1;
    }
    ssdei_scheduler_output(w);
    ssdei_try(row->sampler(w));
    how->steps = w->steps;
    how->context = w->context;
    return ssde_sde_check(w->context, &w->run.sde);
}

/* ---- scheduler: its memory ---- */

/* While it is made. */
static void ssdei_scheduling_arrays(void *object, ssdei_memory *memory) {
    ssdei_scheduling *w = (ssdei_scheduling *)object;
    w->mean = ssdei_place(memory, double, w->trained);
    w->std = ssdei_place(memory, double, w->trained);
    w->sigma_table = ssdei_place(memory, double, w->trained);
    w->log_table = ssdei_place(memory, double, w->trained);
    w->visited = ssdei_place(memory, unsigned char, w->trained);
    w->betas_table = ssdei_place(memory, double, w->betas);
    w->uncorrected_steps = ssdei_place(memory, double, w->uncorrected);
    w->sigma = ssdei_place(memory, double, w->steps + 1);
    w->label = ssdei_place(memory, double, w->steps + 1);
}

typedef struct ssdei_scheduler {
    ssde_scheduler run; /* first: it is what the user has */
    ssdei_scheduling w; /* of which the result's arrays stay */
} ssdei_scheduler;

static void ssdei_scheduler_arrays(void *object, ssdei_memory *memory) {
    ssdei_scheduling *w = &((ssdei_scheduler *)object)->w;
    size_t levels = w->kind == SSDEI_SCHEDULER_PNDM    ? w->trained + 1
                    : w->kind & SSDEI_SCHEDULER_CHAINS ? 2 * w->steps + 1
                                                       : w->steps + 1;
    w->level_mean = ssdei_place(memory, double, levels);
    w->level_std = ssdei_place(memory, double, levels);
    w->level_label = ssdei_place(memory, double, levels);
    w->times = ssdei_place(memory, double, w->steps + 1);
    w->ends = ssdei_place(memory, double, w->steps);
    w->left_alone = ssdei_place(memory, size_t, w->uncorrected);
}

ssde_scheduler_desc ssde_scheduler_defaults(void) {
    ssde_scheduler_desc desc;
    memset(&desc, 0, sizeof desc);
    return desc;
}

ssde_status ssde_scheduler_create(ssde_context *context, ssde_scheduler **scheduler, const char *json, size_t size,
                                  const ssde_scheduler_desc *desc) {
    ssdei_scheduler made, *object;
    ssdei_scheduling *w = &made.w;
    void *work = NULL;
    ssde_status status = SSDE_ERROR_MEMORY;
    if (!scheduler) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "ssde_scheduler_create: scheduler is NULL");
    *scheduler = NULL;
    if (!json) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "ssde_scheduler_create: json is NULL");
    memset(&made, 0, sizeof made);
    w->context = context;
    if (desc) w->how = *desc;
    ssdei_try(ssdei_scheduler_parse(w, json, size));
    ssdei_try(ssdei_scheduler_check(w));
    object = (ssdei_scheduler *)ssdei_object_create(context, &made, sizeof made, ssdei_scheduler_arrays);
    if (object) {
        w = &object->w;
        work = ssdei_object_create(context, w, 0, ssdei_scheduling_arrays);
        if (work) status = ssdei_scheduler_make(w);
    }
    ssdei_release(context, work);
    if (status != SSDE_OK) {
        ssdei_release(context, object);
        return status;
    }
    object->run = w->run;
    *scheduler = &object->run;
    return SSDE_OK;
}

ssde_status ssde_scheduler_load(ssde_context *context, ssde_scheduler **scheduler, const char *path,
                                const ssde_scheduler_desc *desc) {
    unsigned char *json;
    size_t size;
    ssde_status status;
    if (!scheduler) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "ssde_scheduler_load: scheduler is NULL");
    *scheduler = NULL;
    if (!path) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "ssde_scheduler_load: path is NULL");
    ssdei_try(ssdei_file_read_json(context, path, &json, &size));
    status = ssde_scheduler_create(context, scheduler, (const char *)json, size, desc);
    ssdei_release(context, json);
    return status;
}

void ssde_scheduler_destroy(ssde_scheduler *scheduler) {
    if (scheduler) ssdei_release(((ssdei_scheduler *)(void *)scheduler)->w.context, scheduler);
}

SSDEI_ONCE_END

/* ---- >>ode ---- */

ssde_ode_desc ssde_ode_defaults(void) {
    ssde_ode_desc desc;
    memset(&desc, 0, sizeof desc);
    return desc;
}

SSDEI_ONCE_END

enum { SSDEI_STAGES = 7 };

/* Dormand and Prince 1980. Row s gives the state of stage s; the last row is the fifth-order solution, whose derivative
   is the next step's first stage. */
static const double ssdei_ode_a[SSDEI_STAGES][SSDEI_STAGES - 1] = {
    {0.0, 0.0, 0.0, 0.0, 0.0, 0.0},
    {1.0 / 5.0, 0.0, 0.0, 0.0, 0.0, 0.0},
    {3.0 / 40.0, 9.0 / 40.0, 0.0, 0.0, 0.0, 0.0},
    {44.0 / 45.0, -56.0 / 15.0, 32.0 / 9.0, 0.0, 0.0, 0.0},
    {19372.0 / 6561.0, -25360.0 / 2187.0, 64448.0 / 6561.0, -212.0 / 729.0, 0.0, 0.0},
    {9017.0 / 3168.0, -355.0 / 33.0, 46732.0 / 5247.0, 49.0 / 176.0, -5103.0 / 18656.0, 0.0},
    {35.0 / 384.0, 0.0, 500.0 / 1113.0, 125.0 / 192.0, -2187.0 / 6784.0, 11.0 / 84.0}};
static const double ssdei_ode_c[SSDEI_STAGES] = {0.0, 1.0 / 5.0, 3.0 / 10.0, 4.0 / 5.0, 8.0 / 9.0, 1.0, 1.0};
/* Fourth-order solution less the fifth. */
static const double ssdei_ode_e[SSDEI_STAGES] = {-71.0 / 57600.0,    0.0,           71.0 / 16695.0, -71.0 / 1920.0,
                                                 17253.0 / 339200.0, -22.0 / 525.0, 1.0 / 40.0};

/* The interpolant of Shampine 1986 that SciPy's RK45 has: y(t + x h) = y + h sum over s, j of k[s] p[s][j] x^(j + 1).
 */
static const double ssdei_ode_p[SSDEI_STAGES][4] = {
    {1.0, -8048581381.0 / 2820520608.0, 8663915743.0 / 2820520608.0, -12715105075.0 / 11282082432.0},
    {0.0, 0.0, 0.0, 0.0},
    {0.0, 131558114200.0 / 32700410799.0, -68118460800.0 / 10900136933.0, 87487479700.0 / 32700410799.0},
    {0.0, -1754552775.0 / 470086768.0, 14199869525.0 / 1410260304.0, -10690763975.0 / 1880347072.0},
    {0.0, 127303824393.0 / 49829197408.0, -318862633887.0 / 49829197408.0, 701980252875.0 / 199316789632.0},
    {0.0, -282668133.0 / 205662961.0, 2019193451.0 / 616988883.0, -1453857185.0 / 822651844.0},
    {0.0, 40617522.0 / 29380423.0, -110615467.0 / 29380423.0, 69997945.0 / 29380423.0}};

/* Rows that share a step size: one system, or the whole batch. */
typedef struct ssdei_ode_group {
    size_t first;          /* its first system */
    double t, t_new, step; /* of the running attempt; step = t_new - t */
    double length;         /* of the next step */
    double error;          /* norm of the last attempt; 1 and above was rejected */
    size_t frame;          /* how many of the desc's times it has passed */
    ssde_ode_report report;
} ssdei_ode_group;

typedef struct ssdei_ode {
    ssde_ode_desc how; /* without open defaults */
    ssde_context *context;
    ssde_ode_function function;
    void *user;
    size_t systems, dim, members; /* systems per group */
    double t0, t1, direction;
    size_t active;            /* groups still running, first in all arrays; row r of group g is row g * members + r */
    ssdei_ode_group *groups;  /* [systems / members] */
    double *t;                /* [systems] */
    uint64_t *system;         /* [systems] */
    double *y, *stage;        /* [systems, dim] */
    double *k[SSDEI_STAGES];  /* [systems, dim] each */
    double *result;           /* the caller's [systems, dim] */
    ssde_ode_report *reports; /* [systems] */
} ssdei_ode;

/* out = f(t + c step, input) for all active rows. */
static ssde_status ssdei_ode_evaluate(ssdei_ode *w, double c, const double *input, double *out) {
    size_t g, r, rows = w->active * w->members;
    for (g = 0; g < w->active; g++) {
        ssdei_ode_group *group = &w->groups[g];
        group->report.evaluations++;
        for (r = 0; r < w->members; r++) {
            w->t[g * w->members + r] = c < 1.0 ? group->t + c * group->step : group->t_new;
            w->system[g * w->members + r] = group->first + r;
        }
    }
    return ssdei_called(w->context, "the ODE's function", w->function(w->user, input, w->t, w->system, rows, out),
                        w->t);
}

/* Root mean square of value / (atol + rtol max(|y|, |other|)) over the group's rows; or the greater of the two
   halves'. */
static double ssdei_ode_norm(const ssdei_ode *w, const double *value, const double *y, const double *other) {
    double sum[2] = {0.0, 0.0};
    size_t split = w->how.split ? w->how.split : w->dim, r, j;
    for (r = 0; r < w->members; r++) {
        for (j = 0; j < w->dim; j++) {
            size_t i = r * w->dim + j;
            double size = fabs(y[i]) > fabs(other[i]) ? fabs(y[i]) : fabs(other[i]);
            double atol = w->how.atol_each ? w->how.atol_each[j] : w->how.atol;
            double ratio = value[i] / (atol + size * w->how.rtol);
            sum[j >= split] += ratio * ratio;
        }
    }
    sum[0] = sqrt(sum[0] / (double)(w->members * split));
    if (split == w->dim) return sum[0];
    sum[1] = sqrt(sum[1] / (double)(w->members * (w->dim - split)));
    return sum[0] <= sum[1] || sum[1] != sum[1] ? sum[1] : sum[0];
}

/* Hairer, Norsett and Wanner, section II.4, as SciPy has it: a first step from two evaluations. */
static ssde_status ssdei_ode_first_steps(ssdei_ode *w) {
    size_t g, i, count = w->members * w->dim;
    double interval = fabs(w->t1 - w->t0);
    for (g = 0; g < w->active; g++) {
        ssdei_ode_group *group = &w->groups[g];
        const double *y = w->y + g * count, *f = w->k[0] + g * count;
        double d0 = ssdei_ode_norm(w, y, y, y), d1 = ssdei_ode_norm(w, f, y, y);
        double h = d0 < 1e-5 || d1 < 1e-5 ? 1e-6 : 0.01 * d0 / d1;
        group->length = w->how.first_step > 0.0 ? w->how.first_step : h;
        if (group->length > interval) group->length = interval;
        group->t_new = group->length < interval ? group->t + group->length * w->direction : w->t1;
        group->step = group->length * w->direction;
        for (i = 0; i < count; i++) w->stage[g * count + i] = y[i] + group->step * f[i];
    }
    if (w->how.first_step > 0.0) return SSDE_OK;
    ssdei_try(ssdei_ode_evaluate(w, 1.0, w->stage, w->k[1]));
    for (g = 0; g < w->active; g++) {
        ssdei_ode_group *group = &w->groups[g];
        const double *y = w->y + g * count, *f = w->k[0] + g * count;
        double *change = w->k[1] + g * count;
        double h = group->length, d1 = ssdei_ode_norm(w, f, y, y), d2, largest;
        for (i = 0; i < count; i++) change[i] -= f[i];
        d2 = ssdei_ode_norm(w, change, y, y) / h;
        largest = d1 > d2 ? d1 : d2;
        if (d1 <= 1e-15 && d2 <= 1e-15)
            group->length = h * 1e-3 > 1e-6 ? h * 1e-3 : 1e-6;
        else
            group->length = ssdei_math_pow(0.01 / largest, 1.0 / 5.0);
        if (!(group->length < 100.0 * h)) group->length = 100.0 * h;
        if (group->length > interval) group->length = interval;
    }
    return SSDE_OK;
}

SSDEI_ONCE_BEGIN

static void ssdei_ode_write_back(ssdei_ode *w, size_t g) {
    const ssdei_ode_group *group = &w->groups[g];
    size_t r, count = w->members * w->dim;
    memcpy(w->result + group->first * w->dim, w->y + g * count, count * sizeof *w->y);
    for (r = 0; r < w->members; r++) w->reports[group->first + r] = group->report;
}

/* Ends groups that have arrived or failed and moves the others up, in order. */
static void ssdei_ode_compact(ssdei_ode *w) {
    size_t g, kept = 0, count = w->members * w->dim;
    for (g = 0; g < w->active; g++) {
        ssdei_ode_group *group = &w->groups[g];
        group->report.t = group->t;
        if (group->report.status != SSDE_OK || group->t == w->t1) {
            ssdei_ode_write_back(w, g);
            continue;
        }
        if (kept != g) {
            w->groups[kept] = *group;
            memcpy(w->y + kept * count, w->y + g * count, count * sizeof *w->y);
            memcpy(w->k[0] + kept * count, w->k[0] + g * count, count * sizeof *w->y);
        }
        kept++;
    }
    w->active = kept;
}

SSDEI_ONCE_END

/* The step each group tries next: within [10 ulp of t, max_step], and not beyond t1. */
static void ssdei_ode_propose(ssdei_ode *w) {
    size_t g;
    for (g = 0; g < w->active; g++) {
        ssdei_ode_group *group = &w->groups[g];
        double least = 10.0 * fabs(nextafter(group->t, w->direction * HUGE_VAL) - group->t);
        if (w->how.max_step > 0.0 && group->length > w->how.max_step) group->length = w->how.max_step;
        if (group->length < least) {
            if (group->error > DBL_MAX || group->error != group->error)
                group->report.status = SSDE_ERROR_NUMERIC;
            else if (group->error >= 1.0)
                group->report.status = SSDE_ERROR_LIMIT;
            group->length = least;
        }
        if (w->how.max_evaluations && group->report.evaluations + 6 > w->how.max_evaluations)
            group->report.status = SSDE_ERROR_LIMIT;
        group->t_new = group->t + group->length * w->direction;
        if (w->direction * (group->t_new - w->t1) > 0.0) group->t_new = w->t1;
        group->step = group->t_new - group->t;
        group->length = fabs(group->step);
    }
    ssdei_ode_compact(w);
}

/* All stages of one attempt; w->stage is then the fifth-order solution and k[6] its derivative. */
static ssde_status ssdei_ode_stages(ssdei_ode *w) {
    size_t s, q, g, i, count = w->members * w->dim;
    for (s = 1; s < SSDEI_STAGES; s++) {
        for (g = 0; g < w->active; g++) {
            const double *y = w->y + g * count;
            double *out = w->stage + g * count, step = w->groups[g].step;
            for (i = 0; i < count; i++) out[i] = 0.0;
            for (q = 0; q < s; q++) {
                const double *k = w->k[q] + g * count;
                double a = ssdei_ode_a[s][q];
                if (a == 0.0) continue;
                for (i = 0; i < count; i++) out[i] += a * k[i];
            }
            for (i = 0; i < count; i++) out[i] = y[i] + step * out[i];
        }
        ssdei_try(ssdei_ode_evaluate(w, ssdei_ode_c[s], w->stage, w->k[s]));
    }
    return SSDE_OK;
}

/* The desc's times that the attempt just accepted reaches; or, before the first, those at t0 (stages unused). */
static void ssdei_ode_frames(ssdei_ode *w, size_t g, double t_new) {
    ssdei_ode_group *group = &w->groups[g];
    size_t s, i, count = w->members * w->dim;
    const double *y = w->y + g * count;
    while (group->frame < w->how.time_count && w->direction * (w->how.times[group->frame] - t_new) <= 0.0) {
        double x = t_new != group->t ? (w->how.times[group->frame] - group->t) / group->step : 0.0;
        double *out = w->how.states + (group->frame++ * w->systems + group->first) * w->dim;
        memcpy(out, y, count * sizeof *out);
        for (s = 0; x != 0.0 && s < SSDEI_STAGES; s++) {
            const double *k = w->k[s] + g * count, *p = ssdei_ode_p[s];
            double factor = group->step * x * (p[0] + x * (p[1] + x * (p[2] + x * p[3])));
            for (i = 0; factor != 0.0 && i < count; i++) out[i] += factor * k[i];
        }
    }
}

/* Accepts or rejects each group's attempt and sets its next step. An error that is not a number counts as too large;
   when the step can shrink no further, that is what ended the group. */
static void ssdei_ode_judge(ssdei_ode *w) {
    size_t g, q, i, count = w->members * w->dim;
    for (g = 0; g < w->active; g++) {
        ssdei_ode_group *group = &w->groups[g];
        double *y = w->y + g * count, *y_new = w->stage + g * count, *error = w->k[1] + g * count;
        double norm, factor;
        int retried = !(group->error < 1.0);
        for (i = 0; i < count; i++) {
            double sum = 0.0;
            for (q = 0; q < SSDEI_STAGES; q++) sum += ssdei_ode_e[q] * w->k[q][g * count + i];
            error[i] = sum * group->step;
        }
        norm = group->error = ssdei_ode_norm(w, error, y, y_new);
        if (norm < 1.0) {
            factor = norm == 0.0 ? 10.0 : 0.9 * ssdei_math_pow(norm, -1.0 / 5.0);
            if (factor > 10.0) factor = 10.0;
            if (retried && factor > 1.0) factor = 1.0;
            ssdei_ode_frames(w, g, group->t_new);
            group->t = group->t_new;
            group->report.steps++;
            memcpy(y, y_new, count * sizeof *y);
            memcpy(w->k[0] + g * count, w->k[6] + g * count, count * sizeof *y);
        } else {
            factor = 0.9 * ssdei_math_pow(norm, -1.0 / 5.0);
            if (!(factor > 0.2)) factor = 0.2;
            group->report.rejected++;
        }
        group->length *= factor;
    }
    ssdei_ode_compact(w);
}

static ssde_status ssdei_ode_progress(ssdei_ode *w) {
    double part = (double)(w->systems / w->members - w->active);
    size_t g;
    if (!w->how.progress) return SSDE_OK;
    for (g = 0; g < w->active; g++) part += (w->groups[g].t - w->t0) / (w->t1 - w->t0);
    if (!w->how.progress(w->how.user, (size_t)(1000.0 * part * (double)w->members / (double)w->systems), 1000))
        return SSDE_OK;
    return ssde_fail(w->context, SSDE_ERROR_CANCELLED, "the ODE was cancelled with %lu of %lu systems unfinished",
                     (unsigned long)(w->active * w->members), (unsigned long)w->systems);
}

static ssde_status ssdei_ode_solve(ssdei_ode *w) {
    size_t g, i, count = w->members * w->dim;
    ssdei_try(ssdei_ode_evaluate(w, 0.0, w->y, w->k[0]));
    for (g = 0; g < w->active; g++) {
        for (i = 0; i < count && fabs(w->k[0][g * count + i]) <= DBL_MAX; i++) continue;
        if (i < count) w->groups[g].report.status = SSDE_ERROR_NUMERIC;
    }
    ssdei_ode_compact(w);
    if (w->active) ssdei_try(ssdei_ode_first_steps(w));
    while (w->active) {
        ssdei_ode_propose(w);
        if (!w->active) break;
        ssdei_try(ssdei_ode_stages(w));
        ssdei_ode_judge(w);
        ssdei_try(ssdei_ode_progress(w));
    }
    return SSDE_OK;
}

SSDEI_ONCE_BEGIN

/* Up to `systems` systems at a time, `members` to a group. */
static void ssdei_ode_prepare(ssdei_ode *w, const ssde_ode_desc *how, size_t systems, size_t dim, size_t members) {
    memset(w, 0, sizeof *w);
    if (how) w->how = *how;
    w->context = w->how.context;
    w->systems = systems, w->dim = dim, w->members = members;
}

static void ssdei_ode_arrays(void *object, ssdei_memory *memory) {
    ssdei_ode *w = (ssdei_ode *)object;
    size_t count = ssdei_multiply(w->systems, w->dim), s;
    w->groups = ssdei_place(memory, ssdei_ode_group, w->systems / w->members);
    w->reports = ssdei_place(memory, ssde_ode_report, w->systems);
    w->t = ssdei_place(memory, double, w->systems);
    w->system = ssdei_place(memory, uint64_t, w->systems);
    w->y = ssdei_place(memory, double, count);
    w->stage = ssdei_place(memory, double, count);
    for (s = 0; s < SSDEI_STAGES; s++) w->k[s] = ssdei_place(memory, double, count);
}

/* Times from t0 to t1, each between the one before and t1. */
static ssde_status ssdei_ode_check_times(ssde_context *context, const double *times, size_t count, const void *states,
                                         double t0, double t1) {
    double low = t0 < t1 ? t0 : t1, high = t0 < t1 ? t1 : t0;
    size_t i;
    if (!count) return SSDE_OK;
    if (!times || !states) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s is NULL", times ? "states" : "times");
    for (i = 0; i < count; i++) {
        if (!(times[i] >= low && times[i] <= high))
            return ssde_fail(context, SSDE_ERROR_ARGUMENT, "times[%lu] is %.17g, wanted from %.17g to %.17g",
                             (unsigned long)i, times[i], i ? times[i - 1] : t0, t1);
        if (t0 < t1)
            low = times[i];
        else
            high = times[i];
    }
    return SSDE_OK;
}

/* Fills in the defaults. */
static ssde_status ssdei_ode_check_desc(ssdei_ode *w) {
    ssde_context *context = w->context;
    size_t i;
    if (!w->systems || !w->dim || ssdei_multiply(ssdei_multiply(w->systems, w->dim), sizeof(double)) == SIZE_MAX)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "systems is %.0f and dim %.0f, wanted at least 1 each",
                         (double)w->systems, (double)w->dim);
    ssdei_try(ssdei_check_positive(context, "rtol", &w->how.rtol, 1e-5));
    ssdei_try(ssdei_check_positive(context, "atol", &w->how.atol, 1e-5));
    ssdei_try(ssdei_check_positive(context, "first_step", &w->how.first_step, 0.0));
    ssdei_try(ssdei_check_positive(context, "max_step", &w->how.max_step, 0.0));
    if (w->how.rtol < 100.0 * DBL_EPSILON) w->how.rtol = 100.0 * DBL_EPSILON;
    for (i = 0; w->how.atol_each && i < w->dim; i++) {
        if (w->how.atol_each[i] > 0.0 && w->how.atol_each[i] <= DBL_MAX) continue;
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "atol_each[%lu] is %g, wanted a finite number above 0",
                         (unsigned long)i, w->how.atol_each[i]);
    }
    if (w->how.split >= w->dim && w->how.split)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "split is %.0f, wanted below dim = %.0f", (double)w->how.split,
                         (double)w->dim);
    return SSDE_OK;
}

static ssde_status ssdei_ode_check(ssdei_ode *w) {
    ssde_context *context = w->context;
    size_t i;
    ssdei_try(ssdei_check_arithmetic(context));
    if (!w->function) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "function is NULL");
    if (!w->result) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "y is NULL");
    if (!(fabs(w->t0) <= DBL_MAX && fabs(w->t1) <= DBL_MAX))
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "t0 is %g and t1 %g, wanted finite numbers", w->t0, w->t1);
    ssdei_try(ssdei_ode_check_desc(w));
    ssdei_try(ssdei_ode_check_times(context, w->how.times, w->how.time_count, w->how.states, w->t0, w->t1));
    for (i = 0; i < w->systems * w->dim && fabs(w->result[i]) <= DBL_MAX; i++) continue;
    if (i < w->systems * w->dim)
        return ssde_fail(context, SSDE_ERROR_NUMERIC, "y[%lu][%lu] is %g, wanted a finite number",
                         (unsigned long)(i / w->dim), (unsigned long)(i % w->dim), w->result[i]);
    return SSDE_OK;
}

/* The lowest failed status of `count` reports, numbered from `first`. */
static ssde_status ssdei_ode_verdict(ssde_context *context, const char *name, uint64_t first,
                                     const ssde_ode_report *reports, size_t count, size_t max_evaluations) {
    size_t i;
    for (i = 0; i < count && reports[i].status == SSDE_OK; i++) continue;
    if (i == count) return SSDE_OK;
    if (reports[i].status == SSDE_ERROR_LIMIT && max_evaluations && reports[i].evaluations + 6 > max_evaluations)
        return ssde_fail(context, SSDE_ERROR_LIMIT,
                         "%s %.0f stopped at t = %.9g after %lu evaluations, another step would pass max_evaluations = "
                         "%lu",
                         name, (double)first + (double)i, reports[i].t, (unsigned long)reports[i].evaluations,
                         (unsigned long)max_evaluations);
    if (reports[i].status == SSDE_ERROR_LIMIT)
        return ssde_fail(context, SSDE_ERROR_LIMIT,
                         "%s %.0f stopped at t = %.9g after %lu evaluations: its tolerance asks for steps below 10 ulp "
                         "of t",
                         name, (double)first + (double)i, reports[i].t, (unsigned long)reports[i].evaluations);
    return ssde_fail(context, reports[i].status, "%s %.0f is not finite after t = %.9g", name,
                     (double)first + (double)i, reports[i].t);
}

/* From t0 to t1, w->result and w->reports being those of w->systems systems. No verdict on them: the status is that of
   the run as a whole. */
static ssde_status ssdei_ode_run(ssdei_ode *w) {
    ssde_status status = SSDE_OK;
    size_t i, g;
    w->direction = w->t1 < w->t0 ? -1.0 : 1.0;
    w->active = w->systems / w->members;
    memcpy(w->y, w->result, w->systems * w->dim * sizeof *w->y);
    memset(w->groups, 0, w->active * sizeof *w->groups);
    for (i = 0; i < w->how.time_count * w->systems * w->dim; i++) w->how.states[i] = (double)NAN;
    for (g = 0; g < w->active; g++) {
        w->groups[g].first = g * w->members;
        w->groups[g].t = w->groups[g].report.t = w->t0;
        ssdei_ode_frames(w, g, w->t0);
    }
    if (w->t0 != w->t1) status = ssdei_ode_solve(w);
    for (g = 0; g < w->active; g++) {
        w->groups[g].report.status = status;
        w->groups[g].report.t = w->groups[g].t;
        ssdei_ode_write_back(w, g);
    }
    return status;
}

size_t ssde_ode_memory(const ssde_ode_desc *how, size_t systems, size_t dim, int batch) {
    ssdei_ode w;
    ssdei_ode_prepare(&w, how, systems, dim, batch ? systems : 1);
    return ssdei_ode_check_desc(&w) == SSDE_OK ? ssdei_object_memory(&w, sizeof w, ssdei_ode_arrays) : 0;
}

static ssde_status ssdei_ode_integrate(const ssde_ode_desc *how, ssde_ode_function function, void *user, size_t systems,
                                       size_t dim, size_t members, double t0, double t1, double *y,
                                       ssde_ode_report *reports) {
    ssde_context *context = how ? how->context : NULL;
    ssdei_ode made, *w;
    ssde_status status;
    if (context) context->error[0] = 0;
    ssdei_ode_prepare(&made, how, systems, dim, members);
    made.function = function, made.user = user, made.result = y, made.t0 = t0, made.t1 = t1;
    ssdei_try(ssdei_ode_check(&made));
    w = (ssdei_ode *)ssdei_object_create(context, &made, sizeof made, ssdei_ode_arrays);
    if (!w) return SSDE_ERROR_MEMORY;
    status = ssdei_ode_run(w);
    if (status == SSDE_OK)
        status = ssdei_ode_verdict(context, "system", 0, w->reports, systems, w->how.max_evaluations);
    if (reports) memcpy(reports, w->reports, systems * sizeof *reports);
    ssdei_release(context, w);
    return status;
}

ssde_status ssde_ode_integrate(const ssde_ode_desc *how, ssde_ode_function function, void *user, size_t systems,
                               size_t dim, double t0, double t1, double *y, ssde_ode_report *reports) {
    return ssdei_ode_integrate(how, function, user, systems, dim, 1, t0, t1, y, reports);
}

ssde_status ssde_ode_integrate_batch(const ssde_ode_desc *how, ssde_ode_function function, void *user, size_t systems,
                                     size_t dim, double t0, double t1, double *y, ssde_ode_report *reports) {
    return ssdei_ode_integrate(how, function, user, systems, dim, systems, t0, t1, y, reports);
}

/* ---- >>flow ---- */

ssde_flow_desc ssde_flow_defaults(void) {
    ssde_flow_desc desc;
    memset(&desc, 0, sizeof desc);
    return desc;
}

/* The probability flow of a block of samples as the right-hand side of an ODE with state [x, l]: dim components, then
   `integrals` of the divergence (none when only x is wanted; one per probe; one for the exact trace). */
typedef struct ssdei_flow {
    ssde_context *context;
    const ssde_sde *sde;
    ssde_score_model model;      /* the caller's, or that of `guided`, or of `reversal` */
    ssdei_reversal reversal;     /* zeros: the SDE is affine */
    size_t dim, integrals, rows; /* rows: capacity */
    int exact;
    ssde_clip clip;              /* none for likelihoods */
    uint64_t first_sample;       /* of the call */
    size_t n, done, block;       /* samples in all, before the block, in it */
    uint64_t *sample;            /* [rows] */
    float *x, *score;            /* [rows, dim] */
    float *probe;                /* [integrals, rows, dim], by system */
    float *v, *product;          /* [rows, dim] */
    float *shifted, *other;      /* [rows, dim]; these and h for models without vjp */
    double *h;                   /* [rows] */
    double *divergence;          /* [rows, integrals] of the model's */
    double *y;                   /* [rows, dim + integrals] */
    ssde_guided guided;          /* zeros: the condition has no terms */
    ssdei_conditions conditions; /* whose coordinates follow m known + std z */
    float *z;                    /* [rows, dim] of all systems */
    float *drawn, *slope;        /* [rows, dim] of the systems in hand: z, dx/dt */
    ssdei_ode ode;               /* of the block */
    ssde_progress_function progress;
    void *user;
} ssdei_flow;

static void ssdei_flow_arrays(void *object, ssdei_memory *memory) {
    ssdei_flow *w = (ssdei_flow *)object;
    size_t rows = w->rows, count = ssdei_multiply(rows, w->dim), integrals = ssdei_multiply(rows, w->integrals);
    size_t known = w->conditions.chain ? count : 0, products = w->integrals ? count : 0;
    size_t differences = w->model.vjp ? 0 : products, drifts = w->sde->kind == SSDE_NONLINEAR ? count : 0;
    w->sample = ssdei_place(memory, uint64_t, rows);
    w->x = ssdei_place(memory, float, count);
    w->score = ssdei_place(memory, float, count);
    w->y = ssdei_place(memory, double, ssdei_multiply(rows, w->dim + w->integrals));
    w->z = ssdei_place(memory, float, known);
    w->drawn = ssdei_place(memory, float, known);
    w->slope = ssdei_place(memory, float, known);
    w->probe = ssdei_place(memory, float, w->exact ? 0 : ssdei_multiply(products, w->integrals));
    w->v = ssdei_place(memory, float, products);
    w->product = ssdei_place(memory, float, products);
    w->divergence = ssdei_place(memory, double, integrals);
    w->shifted = ssdei_place(memory, float, differences);
    w->other = ssdei_place(memory, float, differences);
    w->h = ssdei_place(memory, double, differences ? rows : 0);
    w->reversal.drift = ssdei_place(memory, float, drifts);
    ssdei_guided_arrays(&w->guided, memory);
    ssdei_conditions_arrays(&w->conditions, memory);
    ssdei_ode_arrays(&w->ode, memory);
}

SSDEI_ONCE_END

/* The scale on which scores bend: std(t); for want of it what noise of g(t) adds up to by then. */
static ssde_status ssdei_flow_width(ssdei_flow *w, double t, double *width) {
    double other;
    if (w->sde->kind != SSDE_NONLINEAR) return ssdei_marginal(w->context, w->sde, t, &other, width);
    ssdei_try(ssdei_rates(w->context, w->sde, t, &other, width));
    *width *= sqrt(t);
    return SSDE_OK;
}

/* w->product[rows, dim] = (ds/dx) v by (s(x + h v) - s(x - h v)) / 2h. h is a hundredth of that scale, but well above
   x's rounding. */
static ssde_status ssdei_flow_difference(ssdei_flow *w, const float *x, const double *t, const uint64_t *sample,
                                         size_t rows, const float *v) {
    size_t r, j, dim = w->dim;
    int side;
    double width = 0.0;
    for (r = 0; r < rows; r++) {
        double largest = 0.0;
        for (j = 0; j < dim; j++) largest = fmax(largest, fabs((double)x[r * dim + j]));
        if (!r || t[r] != t[r - 1]) ssdei_try(ssdei_flow_width(w, t[r], &width));
        w->h[r] = fmax(0.01 * width, 3e-5 * largest);
    }
    for (side = 1; side >= -1; side -= 2) {
        for (r = 0; r < rows; r++) {
            for (j = r * dim; j < (r + 1) * dim; j++)
                w->shifted[j] = (float)((double)x[j] + side * w->h[r] * (double)v[j]);
        }
        ssdei_try(ssdei_score(w->context, &w->model, w->shifted, t, sample, rows, side > 0 ? w->product : w->other));
    }
    for (r = 0; r < rows; r++) {
        for (j = r * dim; j < (r + 1) * dim; j++)
            w->product[j] = (float)(((double)w->product[j] - (double)w->other[j]) / (2.0 * w->h[r]));
    }
    return SSDE_OK;
}

/* v[rows, dim] of product p for rows [at, at + rows): a unit vector, or probes, read where they lie if no system, whose
   order is ascending, is left out. */
static const float *ssdei_flow_vectors(ssdei_flow *w, const uint64_t *system, size_t at, size_t rows, size_t p) {
    size_t dim = w->dim, r;
    if (!w->exact && system[at + rows - 1] - system[at] == rows - 1) return w->probe + (p * w->rows + system[at]) * dim;
    for (r = 0; r < rows; r++) {
        float *v = w->v + r * dim;
        if (w->exact) {
            memset(v, 0, dim * sizeof *v);
            v[p] = 1.0f;
        } else
            memcpy(v, w->probe + (p * w->rows + system[at + r]) * dim, dim * sizeof *v);
    }
    return w->v;
}

/* w->divergence of rows [at, at + rows), whose score was the model's last: v^T (ds/dx) v for each probe, or the sum
   over unit vectors. */
static ssde_status ssdei_flow_divergence(ssdei_flow *w, const double *t, const uint64_t *system, size_t at,
                                         size_t rows) {
    size_t dim = w->dim, p, r, products = w->exact ? dim : w->integrals;
    for (p = 0; p < products; p++) {
        const float *v = ssdei_flow_vectors(w, system, at, rows, p);
        if (w->model.vjp)
            ssdei_try(ssdei_called(w->context, "model->vjp", w->model.vjp(w->model.user, v, rows, w->product), t + at));
        else
            ssdei_try(ssdei_flow_difference(w, w->x + at * dim, t + at, w->sample + at, rows, v));
        for (r = 0; r < rows; r++) {
            double *out = w->divergence + (at + r) * w->integrals + (w->exact ? 0 : p);
            double sum = ssdei_dot(v + r * dim, w->product + r * dim, dim);
            *out = w->exact && p ? *out + sum : sum;
        }
    }
    return SSDE_OK;
}

/* w->score at x, clipped. */
static ssde_status ssdei_flow_score(ssdei_flow *w, const float *x, const double *t, size_t rows) {
    size_t r, end;
    double mean, std;
    ssdei_try(ssdei_score(w->context, &w->model, x, t, w->sample, rows, w->score));
    for (r = 0; w->clip.kind != SSDE_CLIP_NONE && r < rows; r = end) {
        for (end = r + 1; end < rows && t[end] == t[r];) end++;
        ssdei_try(ssdei_marginal(w->context, w->sde, t[r], &mean, &std));
        ssdei_clip_rows(&w->clip, 1.0, mean, std, x + r * w->dim, end - r, w->dim, w->score + r * w->dim);
    }
    return SSDE_OK;
}

/* w->score, and w->divergence where it is wanted, in calls of at most max_rows: products belong to the last call. */
static ssde_status ssdei_flow_evaluate(ssdei_flow *w, const double *t, const uint64_t *system, size_t rows) {
    size_t most = w->model.max_rows ? w->model.max_rows : rows, at;
    if (!w->integrals) return ssdei_flow_score(w, w->x, t, rows);
    for (at = 0; at < rows; at += most) {
        size_t count = rows - at < most ? rows - at : most;
        ssdei_try(ssdei_called(w->context, "model->score",
                               w->model.score(w->model.user, w->x + at * w->dim, t + at, w->sample + at, count,
                                              w->model.vjp != NULL, w->score + at * w->dim),
                               t + at));
        ssdei_try(ssdei_flow_divergence(w, t, system, at, count));
    }
    return SSDE_OK;
}

/* Known coordinates of w->x [rows, dim] at t[rows] onto their path; w->drawn is then z, w->conditions.mean and std
   those of t. */
static ssde_status ssdei_flow_place(ssdei_flow *w, const double *t, const uint64_t *system, size_t rows) {
    size_t r;
    if (!w->conditions.chain) return SSDE_OK;
    for (r = 0; r < rows; r++) memcpy(w->drawn + r * w->dim, w->z + system[r] * w->dim, w->dim * sizeof *w->drawn);
    ssdei_try(ssdei_marginals(w->context, w->sde, t, rows, w->conditions.mean, w->conditions.std));
    return ssdei_conditions_place(&w->conditions, w->sample, rows, w->drawn, w->x);
}

/* Known coordinates of dy move along that path, whose derivative is a m known + (a std + g^2 / (2 std)) z, so that the
   solver sees it and its steps fit it. */
static ssde_status ssdei_flow_place_slope(ssdei_flow *w, const double *t, size_t rows, double *dy) {
    size_t r, i;
    double a = 0.0, g = 0.0;
    if (!w->conditions.chain) return SSDE_OK;
    for (r = 0; r < rows; r++) {
        double *mean = &w->conditions.mean[r], *std = &w->conditions.std[r];
        if (!r || t[r] != t[r - 1]) ssdei_try(ssdei_rates(w->context, w->sde, t[r], &a, &g));
        *mean *= a;
        *std = a * *std + 0.5 * g * g / *std;
    }
    for (i = 0; i < rows * w->dim; i++) w->slope[i] = (float)dy[i];
    ssdei_try(ssdei_conditions_place(&w->conditions, w->sample, rows, w->drawn, w->slope));
    for (i = 0; i < rows * w->dim; i++) {
        if (w->slope[i] != (float)dy[i]) dy[i] += (double)w->slope[i] - (double)(float)dy[i];
    }
    return SSDE_OK;
}

/* dx/dt = a x - g^2 s / 2, dl/dt = dim a - g^2 div(s) / 2; or the reversal's, which runs the other way. */
static ssde_status ssdei_flow_function(void *user, const double *y, const double *t, const uint64_t *system,
                                       size_t rows, double *dy) {
    ssdei_flow *w = (ssdei_flow *)user;
    size_t dim = w->dim, state = dim + w->integrals, r, j;
    double a = 0.0, half = 0.0, g;
    for (r = 0; r < rows; r++) {
        w->sample[r] = w->first_sample + w->done + system[r];
        for (j = 0; j < dim; j++) w->x[r * dim + j] = (float)y[r * state + j];
    }
    ssdei_try(ssdei_flow_place(w, t, system, rows));
    ssdei_try(ssdei_flow_evaluate(w, t, system, rows));
    for (r = 0; r < rows; r++) {
        const float *score = w->score + r * dim;
        const double *x = y + r * state;
        double *dx = dy + r * state;
        if (!r || t[r] != t[r - 1]) ssdei_try(ssdei_slopes(w->context, w->sde, 0.5, t[r], &a, &half, &g));
        for (j = 0; j < dim; j++) dx[j] = a * x[j] - half * (double)score[j];
        for (j = 0; j < w->integrals; j++) dx[dim + j] = a * (double)dim - half * w->divergence[r * w->integrals + j];
    }
    return ssdei_flow_place_slope(w, t, rows, dy);
}

SSDEI_ONCE_BEGIN

/* Over blocks of samples, each one ODE. */
static int ssdei_flow_report(void *user, size_t done, size_t total) {
    const ssdei_flow *w = (const ssdei_flow *)user;
    double part = ((double)w->done + (double)w->block * (double)done / (double)total) / (double)w->n;
    return w->progress(w->user, (size_t)(part * 1000.0), 1000);
}

/* For n samples in blocks, or all at once if `batch`. Context, SDE, model, progress and what is wanted of the
   divergence are there; the ODE's tolerances are left to the caller. */
static void ssdei_flow_prepare(ssdei_flow *w, uint64_t first_sample, size_t n, int batch) {
    w->dim = w->model.dim;
    if (w->sde->kind == SSDE_NONLINEAR) {
        w->reversal.context = w->context, w->reversal.sde = w->sde, w->reversal.model = w->model;
        w->reversal.part = 0.5;
        w->model = ssdei_reversal_model(&w->reversal);
    }
    w->first_sample = first_sample, w->n = n;
    w->rows = batch ? n : ssdei_block_rows(&w->model, 16384, n);
    ssdei_ode_prepare(&w->ode, NULL, w->rows, w->dim + w->integrals, batch ? n : 1);
    w->ode.context = w->context;
    w->ode.function = ssdei_flow_function;
    w->ode.how.progress = w->progress ? ssdei_flow_report : NULL;
}

/* Where it is placed. */
static ssde_status ssdei_flow_start(ssdei_flow *w) {
    int nonlinear = w->sde->kind == SSDE_NONLINEAR;
    w->ode.user = w->ode.how.user = w;
    w->ode.result = w->y;
    if (w->guided.conditions.chain) *(nonlinear ? &w->reversal.model : &w->model) = ssde_guided_model(&w->guided);
    if (nonlinear) w->model = ssdei_reversal_model(&w->reversal);
    ssdei_try(ssdei_ode_check_desc(&w->ode));
    ssdei_try(ssdei_measure_transposed(&w->guided.conditions));
    return ssdei_measure_transposed(&w->conditions);
}

/* On to the next block: whether there is one. */
static int ssdei_flow_next(ssdei_flow *w) {
    w->done += w->block;
    w->ode.systems = w->block = w->n - w->done < w->rows ? w->n - w->done : w->rows;
    return w->block > 0;
}

/* The block's samples, in order. */
static const uint64_t *ssdei_flow_samples(ssdei_flow *w) {
    size_t r;
    for (r = 0; r < w->block; r++) w->sample[r] = w->first_sample + w->done + r;
    return w->sample;
}

/* Fills in the defaults. */
static ssde_status ssdei_flow_desc_make(ssde_flow_desc *full, const ssde_flow_desc *how) {
    ssde_context *context = how ? how->context : NULL;
    memset(full, 0, sizeof *full);
    if (how) *full = *how;
    ssdei_try(ssdei_check_positive(context, "rtol", &full->rtol, 1e-5));
    ssdei_try(ssdei_check_positive(context, "atol", &full->atol, 1e-5));
    ssdei_try(ssdei_check_positive(context, "temperature", &full->temperature, 1.0));
    ssdei_try(ssdei_check_positive(context, "eps", &full->eps, 1e-3));
    if (!full->max_evaluations) full->max_evaluations = 10000;
    ssdei_try(ssdei_check_eps(context, full->eps));
    ssdei_try(ssdei_edit_check(context, full->edit_from, full->given_start, full->eps));
    if (full->clip.kind != SSDE_CLIP_NONE && full->clip.keep_noise)
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED, "clip.keep_noise in an ODE, which has one slope: wanted 0");
    return ssdei_clip_check(context, &full->clip);
}

SSDEI_ONCE_END

static void ssdei_scale_floats(float *x, size_t count, double scale) {
    size_t i;
    for (i = 0; scale != 1.0 && i < count; i++) x[i] = (float)(scale * (double)x[i]);
}

/* A call that samples, encodes or decodes: the ODE between eps and `start`, beyond which x only changes its scale. */
typedef struct ssdei_transport {
    ssdei_flow flow;
    const ssde_flow_desc *how; /* without open defaults */
    double start, scale;       /* of ssde_prior_time */
    double *times;             /* [time_count], the desc's, none beyond start */
    double *frames;            /* [time_count, rows, dim] */
    ssde_ode_report *reports;  /* [n] */
} ssdei_transport;

SSDEI_ONCE_BEGIN

static void ssdei_transport_arrays(void *object, ssdei_memory *memory) {
    ssdei_transport *w = (ssdei_transport *)object;
    size_t times = w->how->time_count, count = ssdei_multiply(w->flow.rows, w->flow.dim);
    w->times = ssdei_place(memory, double, times);
    w->frames = ssdei_place(memory, double, ssdei_multiply(times, count));
    w->reports = ssdei_place(memory, ssde_ode_report, w->flow.n);
    ssdei_flow_arrays(&w->flow, memory);
}

static ssde_status ssdei_transport_prepare(ssdei_transport *w, const ssde_sde *sde, const ssde_score_model *model,
                                           const ssde_flow_desc *how, int batch, uint64_t first_sample, size_t n) {
    ssdei_flow *flow = &w->flow;
    ssde_context *context = how->context;
    const ssde_condition *chain = &how->condition;
    memset(w, 0, sizeof *w);
    if (sde->kind == SSDE_NONLINEAR && (how->clip.kind != SSDE_CLIP_NONE || how->edit_from > 0.0))
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED,
                         "%s with a nonlinear SDE, which has no m(t) and std(t): wanted none",
                         how->edit_from > 0.0 ? "edit_from" : "clip");
    w->how = how;
    flow->context = context, flow->sde = sde, flow->clip = how->clip;
    flow->progress = how->progress, flow->user = how->user;
    ssdei_try(ssdei_guided_prepare(&flow->guided, context, sde, model, chain, first_sample, n));
    flow->model = flow->guided.conditions.chain ? ssde_guided_model(&flow->guided) : *model;
    ssdei_flow_prepare(flow, first_sample, n, batch);
    ssdei_conditions_prepare(&flow->conditions, context, chain, 0, first_sample, n, flow->rows, flow->dim);
    flow->ode.how.rtol = how->rtol, flow->ode.how.atol = how->atol;
    flow->ode.how.max_evaluations = how->max_evaluations;
    flow->ode.how.time_count = how->time_count;
    return SSDE_OK;
}

/* Tweedie's formula at eps on the block's rows that got there. */
static ssde_status ssdei_transport_denoise(ssdei_transport *w, float *x, ssde_ode_report *reports) {
    ssdei_flow *flow = &w->flow;
    ssdei_update u;
    size_t r, j, rows = flow->block, dim = flow->dim;
    double *t = flow->y; /* no longer needed */
    for (r = 0; r < rows; r++) t[r] = flow->ode.t1;
    ssdei_flow_samples(flow);
    flow->reversal.part = 1.0;
    ssdei_try(ssdei_flow_score(flow, x, t, rows));
    flow->reversal.part = 0.5;
    ssdei_try(ssdei_rule_denoise(flow->context, flow->sde, flow->ode.t1, &u));
    for (r = 0; r < rows; r++) {
        if (reports[r].status != SSDE_OK) continue;
        reports[r].evaluations++;
        for (j = r * dim; j < (r + 1) * dim; j++)
            x[j] = (float)((1.0 + u.x) * (double)x[j] + u.score * (double)flow->score[j]);
        if (ssdei_first_nonfinite(x + r * dim, dim) < dim) reports[r].status = SSDE_ERROR_NUMERIC;
        ssdei_clip_end(&flow->clip, x + r * dim, dim);
    }
    return SSDE_OK;
}

/* The known coordinates of the block's x[rows, dim] at t, or where a sample ended; at t = 0 what is known. */
static ssde_status ssdei_transport_place(ssdei_transport *w, double t, float *x, const ssde_ode_report *reports) {
    ssdei_flow *flow = &w->flow;
    size_t r;
    if (!flow->conditions.chain) return SSDE_OK;
    for (r = 0; r < flow->block; r++) {
        double at = reports[r].status == SSDE_OK ? t : reports[r].t, mean = 1.0, std = 0.0;
        if (at > 0.0) ssdei_try(ssdei_marginal(flow->context, flow->sde, at, &mean, &std));
        flow->conditions.mean[r] = mean, flow->conditions.std[r] = std;
    }
    return ssdei_conditions_place(&flow->conditions, ssdei_flow_samples(flow), flow->block, flow->z, x);
}

/* Data that are to be edited, the block's x[rows, dim], get the noise of t0. */
static ssde_status ssdei_transport_edit(ssdei_transport *w, float *x) {
    ssdei_flow *flow = &w->flow;
    double mean, std;
    size_t i, count = flow->block * flow->dim;
    ssdei_try(ssdei_marginal(flow->context, flow->sde, flow->ode.t0, &mean, &std));
    ssdei_try(ssdei_draw_normal(flow->context, &w->how->noise, w->how->seed, SSDE_STREAM_PRIOR, 0,
                                ssdei_flow_samples(flow), flow->block, flow->dim, flow->score));
    std *= w->how->temperature;
    for (i = 0; i < count; i++) x[i] = (float)mean * x[i] + (float)std * flow->score[i];
    return SSDE_OK;
}

/* The block's state at t0 from its x[rows, dim], and z of its known coordinates. */
static ssde_status ssdei_transport_open(ssdei_transport *w, float *x, const ssde_ode_report *reports) {
    ssdei_flow *flow = &w->flow;
    size_t i, dim = flow->dim, count = flow->block * dim;
    int finite = 1;
    if (w->how->edit_from > 0.0) ssdei_try(ssdei_transport_edit(w, x));
    if (flow->conditions.chain)
        ssdei_try(ssdei_draw_normal(flow->context, &w->how->noise, w->how->seed, SSDE_STREAM_CONDITION, 0,
                                    ssdei_flow_samples(flow), flow->block, dim, flow->z));
    memcpy(flow->x, x, count * sizeof *x);
    ssdei_try(ssdei_transport_place(w, flow->ode.t0, flow->x, reports));
    for (i = 0; i < count; i++) { /* a sample whose condition is no number starts without it and ends at once */
        if (i % dim == 0) finite = ssdei_first_nonfinite(flow->x + i, dim) == dim;
        flow->y[i] = (double)(finite ? flow->x[i] : x[i]);
    }
    return SSDE_OK;
}

/* The block's x[rows, dim] at t1, or where a sample ended. */
static ssde_status ssdei_transport_block(ssdei_transport *w, float *x, ssde_ode_report *reports) {
    ssdei_flow *flow = &w->flow;
    size_t dim = flow->dim, count = flow->block * dim, i, k;
    ssde_status status = ssdei_transport_open(w, x, reports);
    if (status != SSDE_OK) {
        flow->block = 0; /* nothing of it was worked on */
        return status;
    }
    status = ssdei_ode_run(&flow->ode);
    memcpy(reports, flow->ode.reports, flow->block * sizeof *reports);
    for (i = 0; i < count; i++) x[i] = (float)flow->y[i];
    for (k = 0; k < w->how->time_count; k++) {
        float *states = w->how->states + (k * flow->n + flow->done) * dim;
        for (i = 0; i < count; i++) states[i] = (float)w->frames[k * count + i];
    }
    if (status == SSDE_OK) status = ssdei_transport_place(w, flow->ode.t1, x, reports);
    if (status == SSDE_OK && flow->ode.t1 < flow->ode.t0 && w->how->denoise) {
        status = ssdei_transport_denoise(w, x, reports);
        if (status == SSDE_OK) status = ssdei_transport_place(w, 0.0, x, reports);
    }
    for (i = 0; i < count; i++) {
        if (reports[i / dim].status == SSDE_ERROR_NUMERIC) x[i] = (float)NAN;
    }
    return status;
}

/* x[n, dim] from t0 to t1 in place, block by block, and the verdict over all of them. */
static ssde_status ssdei_transport_blocks(ssdei_transport *w, float *x) {
    ssdei_flow *flow = &w->flow;
    ssde_status status = ssdei_flow_start(flow);
    size_t r;
    while (status == SSDE_OK && ssdei_flow_next(flow))
        status = ssdei_transport_block(w, x + flow->done * flow->dim, w->reports + flow->done);
    for (r = flow->done + flow->block; r < flow->n; r++) /* what the call did not come to */
        w->reports[r].status = status, w->reports[r].t = flow->ode.t0;
    if (status != SSDE_OK) return status;
    return ssdei_ode_verdict(flow->context, "sample", flow->first_sample, w->reports, flow->n, w->how->max_evaluations);
}

/* The whole way between eps and 1, or from where editing begins. */
static ssde_status ssdei_transport_run(ssdei_transport *w, int encode, float *x) {
    ssdei_flow *flow = &w->flow;
    const ssde_flow_desc *how = w->how;
    size_t k, count = flow->n * flow->dim;
    ssde_status status;
    flow->ode.how.times = w->times, flow->ode.how.states = w->frames;
    for (k = 0; k < how->time_count * count; k++) how->states[k] = (float)NAN;
    for (k = 0; k < how->time_count; k++) w->times[k] = fmin(how->times[k], w->start);
    if (!encode && how->edit_from == 0.0) ssdei_scale_floats(x, count, w->scale);
    status = ssdei_transport_blocks(w, x);
    for (k = 0; k < how->time_count; k++)
        ssdei_scale_floats(how->states + k * count, count, ssdei_spread(flow->sde, w->start, w->scale, how->times[k]));
    for (k = 0; encode && k < flow->n; k++) { /* those that arrived go on to 1 */
        if (w->reports[k].status != SSDE_OK) continue;
        ssdei_scale_floats(x + k * flow->dim, flow->dim, 1.0 / w->scale);
        w->reports[k].t = 1.0;
    }
    return status;
}

/* x[n, dim] from eps to 1, or back, or back from where editing begins. */
static ssde_status ssdei_flow_transport(const ssde_sde *sde, const ssde_score_model *model, const ssde_flow_desc *how,
                                        int batch, uint64_t first_sample, int encode, size_t n, float *x,
                                        ssde_ode_report *reports) {
    ssdei_transport made, *w;
    ssde_status status;
    double t0 = encode ? how->eps : how->edit_from > 0.0 ? how->edit_from : 1.0, t1 = encode ? 1.0 : how->eps;
    ssdei_try(ssdei_transport_prepare(&made, sde, model, how, batch, first_sample, n));
    ssdei_try(ssdei_ode_check_times(how->context, how->times, how->time_count, how->states, t0, t1));
    ssdei_try(ssdei_start_time(how->context, sde, how->eps, &made.start, &made.scale));
    made.flow.ode.t0 = fmin(t0, made.start), made.flow.ode.t1 = fmin(t1, made.start);
    w = (ssdei_transport *)ssdei_object_create(how->context, &made, sizeof made, ssdei_transport_arrays);
    if (!w) return SSDE_ERROR_MEMORY;
    status = ssdei_transport_run(w, encode, x);
    if (reports) memcpy(reports, w->reports, n * sizeof *reports);
    ssdei_release(how->context, w);
    return status;
}

size_t ssde_flow_memory(const ssde_sde *sde, const ssde_score_model *model, const ssde_flow_desc *how, size_t n,
                        int batch) {
    ssdei_transport w;
    ssde_flow_desc full;
    if (ssdei_flow_desc_make(&full, how) != SSDE_OK ||
        ssdei_check_run(full.context, sde, model, 0, n, model) != SSDE_OK ||
        ssdei_transport_prepare(&w, sde, model, &full, batch, 0, n) != SSDE_OK)
        return 0;
    return ssdei_object_memory(&w, sizeof w, ssdei_transport_arrays);
}

/* A call that delivered takes its samples' numbers with it. */
static void ssdei_rng_advance(ssde_rng *rng, size_t n, ssde_status status) {
    if (status == SSDE_OK || status == SSDE_ERROR_NUMERIC || status == SSDE_ERROR_LIMIT) rng->next_sample += n;
}

/* x[n, dim] from the prior, times `temperature`. */
static ssde_status ssdei_flow_prior(const ssde_sde *sde, const ssde_flow_desc *how, const ssde_rng *rng, size_t n,
                                    size_t dim, float *x) {
    double std = 1.0;
    size_t r, j;
    ssdei_try(ssdei_prior_check(how->context, sde, 0));
    if (!sde->prior_sample) ssdei_try(ssde_prior_std(how->context, sde, &std));
    for (r = 0; r < n; r++) {
        uint64_t sample = rng->next_sample + r;
        ssdei_try(sde->prior_sample ? ssde_prior_sample(how->context, sde, rng->seed, &sample, 1, dim, x + r * dim)
                                    : ssdei_draw_normal(how->context, &how->noise, rng->seed, SSDE_STREAM_PRIOR, 0,
                                                        &sample, 1, dim, x + r * dim));
        for (j = r * dim; j < (r + 1) * dim; j++) x[j] = (float)(how->temperature * std) * x[j];
    }
    return SSDE_OK;
}

static ssde_status ssdei_sample_ode(const ssde_sde *sde, const ssde_score_model *model, const ssde_flow_desc *how,
                                    int batch, ssde_rng *rng, size_t n, float *x, ssde_ode_report *reports) {
    ssde_context *context = how ? how->context : NULL;
    ssde_flow_desc full;
    ssde_status status;
    if (!rng) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "rng is NULL");
    ssdei_try(ssdei_check_run(context, sde, model, rng->next_sample, n, x));
    ssdei_try(ssdei_flow_desc_make(&full, how));
    full.seed = rng->seed;
    if (!full.given_start && full.edit_from == 0.0) ssdei_try(ssdei_flow_prior(sde, &full, rng, n, model->dim, x));
    ssdei_try(ssdei_check_finite(context, full.edit_from > 0.0 ? "x" : "x(1)", x, n, model->dim));
    status = ssdei_flow_transport(sde, model, &full, batch, rng->next_sample, 0, n, x, reports);
    ssdei_rng_advance(rng, n, status);
    return status;
}

ssde_status ssde_sample_ode(const ssde_sde *sde, const ssde_score_model *model, const ssde_flow_desc *how,
                            ssde_rng *rng, size_t n, float *x, ssde_ode_report *reports) {
    return ssdei_sample_ode(sde, model, how, 0, rng, n, x, reports);
}

ssde_status ssde_sample_ode_batch(const ssde_sde *sde, const ssde_score_model *model, const ssde_flow_desc *how,
                                  ssde_rng *rng, size_t n, float *x, ssde_ode_report *reports) {
    return ssdei_sample_ode(sde, model, how, 1, rng, n, x, reports);
}

static ssde_status ssdei_code(const ssde_sde *sde, const ssde_score_model *model, const ssde_flow_desc *how,
                              uint64_t first_sample, size_t n, const float *from, float *to, int encode,
                              ssde_ode_report *reports) {
    ssde_context *context = how ? how->context : NULL;
    ssde_flow_desc full;
    if (!from || !to)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s is NULL", encode == (from == NULL) ? "x" : "latent");
    ssdei_try(ssdei_check_run(context, sde, model, first_sample, n, from));
    ssdei_try(ssdei_flow_desc_make(&full, how));
    full.edit_from = 0.0;
    ssdei_try(ssdei_check_finite(context, encode ? "x" : "latent", from, n, model->dim));
    if (encode) ssdei_warn_scale(context, "ssde_encode", sde, from, n * model->dim, 0.0, 0.0, 0.0);
    if (from != to) memcpy(to, from, n * model->dim * sizeof *to);
    return ssdei_flow_transport(sde, model, &full, 0, first_sample, encode, n, to, reports);
}

ssde_status ssde_encode(const ssde_sde *sde, const ssde_score_model *model, const ssde_flow_desc *how,
                        uint64_t first_sample, size_t n, const float *x, float *latent, ssde_ode_report *reports) {
    return ssdei_code(sde, model, how, first_sample, n, x, latent, 1, reports);
}

ssde_status ssde_decode(const ssde_sde *sde, const ssde_score_model *model, const ssde_flow_desc *how,
                        uint64_t first_sample, size_t n, const float *latent, float *x, ssde_ode_report *reports) {
    return ssdei_code(sde, model, how, first_sample, n, latent, x, 0, reports);
}

SSDEI_ONCE_END

static void ssdei_interpolate_row(const float *a, const float *b, double weight, size_t dim, float *out) {
    double length_a = sqrt(ssdei_dot(a, a, dim)), length_b = sqrt(ssdei_dot(b, b, dim));
    double length = (1.0 - weight) * length_a + weight * length_b, inner, across = 0.0, angle;
    size_t j, axis = 0;
    if (weight == 0.0 || weight == 1.0 || length_a == 0.0 || length_b == 0.0 || dim == 1) {
        for (j = 0; j < dim; j++) out[j] = (float)((1.0 - weight) * (double)a[j] + weight * (double)b[j]);
        return;
    }
    inner = ssdei_dot(a, b, dim) / (length_a * length_b);
    for (j = 0; j < dim; j++) { /* |sin| from the part of b across a: near 0 and pi the cosine has no digits left */
        double part = (double)b[j] / length_b - inner * (double)a[j] / length_a;
        across += part * part;
        if (fabs((double)a[j]) < fabs((double)a[axis])) axis = j;
    }
    across = sqrt(across);
    angle = weight * ssdei_math_atan2(across, inner);
    if (across < 1e-7 && inner < 0.0) { /* opposite: across a lies the axis, less its part along a */
        double along = (double)a[axis] / length_a, size = sqrt(1.0 - along * along);
        for (j = 0; j < dim; j++) {
            double u = (double)a[j] / length_a, v = ((j == axis ? 1.0 : 0.0) - along * u) / size;
            out[j] = (float)(length * (ssdei_math_cos(angle) * u + ssdei_math_sin(angle) * v));
        }
        return;
    }
    for (j = 0; j < dim; j++) {
        double u = (double)a[j] / length_a, v = (double)b[j] / length_b - inner * u;
        out[j] =
            (float)(length * (ssdei_math_cos(angle) * u + (across > 0.0 ? ssdei_math_sin(angle) / across * v : 0.0)));
    }
}

SSDEI_ONCE_BEGIN

ssde_status ssde_interpolate(ssde_context *context, const float *a, const float *b, double weight, size_t rows,
                             size_t dim, float *out) {
    size_t r;
    if (!a || !b || !out)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "interpolation: %s is NULL", !a ? "a" : !b ? "b" : "out");
    if (!(weight >= 0.0 && weight <= 1.0))
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "interpolation: weight is %.17g, wanted 0 to 1", weight);
    if (!rows || !dim || ssdei_multiply(rows, dim) == SIZE_MAX)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                         "interpolation: rows is %.0f and dim %.0f, wanted at least 1 each", (double)rows, (double)dim);
    ssdei_try(ssdei_check_finite(context, "a", a, rows, dim));
    ssdei_try(ssdei_check_finite(context, "b", b, rows, dim));
    for (r = 0; r < rows; r++) ssdei_interpolate_row(a + r * dim, b + r * dim, weight, dim, out + r * dim);
    return ssdei_check_finite(context, "interpolation: out", out, rows, dim); /* codes that end near FLT_MAX */
}

/* ---- >>likelihood ---- */

ssde_likelihood_desc ssde_likelihood_defaults(void) {
    ssde_likelihood_desc how;
    memset(&how, 0, sizeof how);
    how.eps = 1e-5;
    how.rtol = how.atol = 1e-5;
    how.probes = 1;
    return how;
}

static ssde_status ssdei_likelihood_check(ssde_likelihood_desc *how, size_t dim) {
    ssde_context *context = how->context;
    ssdei_try(ssdei_check_positive(context, "eps", &how->eps, 1e-5));
    ssdei_try(ssdei_check_eps(context, how->eps));
    ssdei_try(ssdei_check_positive(context, "rtol", &how->rtol, 1e-5));
    ssdei_try(ssdei_check_positive(context, "atol", &how->atol, 1e-5));
    ssdei_try(ssdei_check_positive(context, "log_density_atol", &how->log_density_atol, how->atol * (double)dim));
    if (how->joint_error) how->log_density_atol = how->atol;
    if (how->trace != SSDE_TRACE_RADEMACHER && how->trace != SSDE_TRACE_GAUSSIAN && how->trace != SSDE_TRACE_EXACT)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "trace is %d, wanted an ssde_trace", (int)how->trace);
    if (!how->probes || how->trace == SSDE_TRACE_EXACT) how->probes = 1;
    if (!how->max_evaluations) how->max_evaluations = 10000;
    if (how->levels == 0.0) return SSDE_OK;
    if (!ssdei_is_whole(how->levels, 2.0, 16777216.0))
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "levels is %.9g, wanted a whole number from 2 to 2^24, or 0",
                         how->levels);
    return ssdei_check_interval(context, "", how->low, how->high);
}

static ssde_status ssdei_likelihood_check_data(const ssde_likelihood_desc *how, const float *x, size_t n, size_t dim) {
    size_t i;
    ssdei_try(ssdei_check_finite(how->context, "x", x, n, dim));
    for (i = 0; how->levels > 0.0 && i < n * dim; i++) {
        double value = (double)x[i];
        if (ssdei_is_whole(value, 0.0, how->levels - 1.0)) continue;
        return ssde_fail(how->context, SSDE_ERROR_ARGUMENT, "x[%lu][%lu] is %.9g, wanted a whole number from 0 to %.0f",
                         (unsigned long)(i / dim), (unsigned long)(i % dim), value, how->levels - 1.0);
    }
    return SSDE_OK;
}

/* Everything a block needs beside the flow. */
typedef struct ssdei_likelihood {
    ssde_likelihood_desc how;
    ssdei_flow flow;
    uint64_t seed;
    double scale; /* of ssde_prior_time */
    double *atol; /* [dim + integrals] */
} ssdei_likelihood;

static void ssdei_likelihood_arrays(void *object, ssdei_memory *memory) {
    ssdei_likelihood *w = (ssdei_likelihood *)object;
    w->atol = ssdei_place(memory, double, w->flow.dim + w->flow.integrals);
    ssdei_flow_arrays(&w->flow, memory);
}

/* The block's, into probe[probes, rows, dim]. */
static ssde_status ssdei_likelihood_probes(ssdei_likelihood *w) {
    const ssde_likelihood_desc *how = &w->how;
    ssdei_flow *flow = &w->flow;
    const uint64_t *sample = ssdei_flow_samples(flow);
    int signs = how->trace == SSDE_TRACE_RADEMACHER && !how->noise.fill;
    size_t p;
    for (p = 0; how->trace != SSDE_TRACE_EXACT && p < how->probes; p++) {
        float *probe = flow->probe + p * flow->rows * flow->dim;
        ssdei_try(signs ? ssde_random_sign(how->context, w->seed, SSDE_STREAM_PROBE, (uint32_t)p, sample, flow->block,
                                           flow->dim, probe)
                        : ssdei_draw_normal(how->context, &how->noise, w->seed, SSDE_STREAM_PROBE, (uint32_t)p, sample,
                                            flow->block, flow->dim, probe));
    }
    return SSDE_OK;
}

/* The block's state at eps: dequantised x, integrals 0. */
static ssde_status ssdei_likelihood_open(ssdei_likelihood *w, const float *x) {
    ssdei_flow *flow = &w->flow;
    size_t dim = flow->dim, state = dim + flow->integrals, rows = flow->block, r, j;
    memcpy(flow->x, x, rows * dim * sizeof *x);
    if (w->how.levels > 0.0) {
        ssdei_try(ssde_dequantise(w->how.context, w->seed, 0, ssdei_flow_samples(flow), x, rows, dim, w->how.levels,
                                  w->how.low, w->how.high, flow->x));
    }
    memset(flow->y, 0, rows * state * sizeof *flow->y);
    for (r = 0; r < rows; r++) {
        for (j = 0; j < dim; j++) flow->y[r * state + j] = (double)flow->x[r * dim + j];
    }
    return SSDE_OK;
}

/* One sample's result from its prior log-density and its integrals, one per probe. */
static ssde_likelihood_result ssdei_likelihood_result(const ssdei_likelihood *w, double prior, const double *integral,
                                                      const ssde_ode_report *report) {
    const ssde_likelihood_desc *how = &w->how;
    double dim = (double)w->flow.dim, probes = (double)how->probes, mean = 0.0, square = 0.0, volume;
    ssde_likelihood_result result;
    size_t p;
    for (p = 0; p < how->probes; p++) mean += integral[p] / probes;
    for (p = 0; p < how->probes; p++) square += (integral[p] - mean) * (integral[p] - mean);
    volume = how->levels > 0.0 ? ssdei_math_log((how->high - how->low) / how->levels)
                               : 0.0; /* of one integer's interval, nats */
    result.status = report->status;
    result.evaluations = report->evaluations;
    result.approximate = !w->flow.model.vjp;
    result.log_density = report->status == SSDE_OK ? prior + mean : (double)NAN;
    result.bits_per_dim = -(result.log_density / dim + volume) / ssdei_math_log(2.0);
    result.standard_error = how->probes > 1 ? sqrt(square / (probes - 1.0) / probes) : (double)NAN;
    if (how->trace == SSDE_TRACE_EXACT) result.standard_error = 0.0;
    if (report->status != SSDE_OK) result.standard_error = (double)NAN;
    return result;
}

static ssde_status ssdei_likelihood_block(ssdei_likelihood *w, const float *x, ssde_likelihood_result *results) {
    ssdei_flow *flow = &w->flow;
    size_t dim = flow->dim, state = dim + flow->integrals, rows = flow->block, r, j;
    ssde_ode_report *reports = flow->ode.reports;
    ssdei_try(ssdei_likelihood_open(w, x));
    ssdei_try(ssdei_likelihood_probes(w));
    ssdei_try(ssdei_ode_run(&flow->ode));
    for (r = 0; r < rows; r++) {
        float *latent = flow->x + r * dim;
        double prior = 0.0;
        for (j = 0; j < dim; j++) latent[j] = (float)(flow->y[r * state + j] / w->scale);
        if (reports[r].status == SSDE_OK) {
            ssde_status status = ssde_prior_log_density(w->how.context, flow->sde, latent, 1, dim, &prior);
            if (status != SSDE_OK && status != SSDE_ERROR_NUMERIC) return status; /* no number is the sample's own */
            reports[r].status = status;
        }
        prior -= (double)dim * ssdei_math_log(w->scale); /* p(x(1)) / scale^dim is that of scale x(1) */
        results[r] = ssdei_likelihood_result(w, prior, flow->y + r * state + dim, &reports[r]);
    }
    if (w->how.latent) {
        float *latent = w->how.latent + flow->done * dim;
        for (j = 0; j < rows * dim; j++) latent[j] = reports[j / dim].status == SSDE_OK ? flow->x[j] : (float)NAN;
    }
    return SSDE_OK;
}

/* From where to where, and whether floats hold the divergence there: ds/dx comes near -1 / std^2. */
static ssde_status ssdei_likelihood_range(ssdei_likelihood *w, const ssde_sde *sde) {
    ssde_context *context = w->how.context;
    double mean, std;
    ssdei_try(ssdei_prior_check(context, sde, 1));
    w->flow.ode.t0 = w->how.eps;
    ssdei_try(ssdei_start_time(context, sde, w->how.eps, &w->flow.ode.t1, &w->scale));
    if (sde->kind == SSDE_NONLINEAR) return SSDE_OK;
    ssdei_try(ssdei_marginal(context, sde, w->flow.ode.t1, &mean, &std));
    if (std * std <= 1.0 / (double)FLT_MIN) return SSDE_OK;
    return ssde_fail(
        context, SSDE_ERROR_NUMERIC,
        "likelihood: std is %g at t = %g, wanted up to 9e18: the score's derivative, 1 / std^2, underflows", std,
        w->flow.ode.t1);
}

static ssde_status ssdei_likelihood_prepare(ssdei_likelihood *w, const ssde_sde *sde, const ssde_score_model *model,
                                            const ssde_likelihood_desc *how, uint64_t first_sample, size_t n, int batch,
                                            const void *x) {
    ssdei_flow *flow = &w->flow;
    memset(w, 0, sizeof *w);
    w->how = how ? *how : ssde_likelihood_defaults();
    ssdei_try(ssdei_check_run(w->how.context, sde, model, first_sample, n, x));
    ssdei_try(ssdei_likelihood_check(&w->how, model->dim));
    flow->context = w->how.context, flow->sde = sde, flow->model = *model;
    flow->progress = w->how.progress, flow->user = w->how.user;
    flow->exact = w->how.trace == SSDE_TRACE_EXACT;
    flow->integrals = w->how.probes;
    ssdei_flow_prepare(flow, first_sample, n, batch);
    flow->ode.how.rtol = w->how.rtol, flow->ode.how.atol = w->how.atol;
    flow->ode.how.split = w->how.joint_error ? 0 : flow->dim;
    flow->ode.how.max_evaluations = w->how.max_evaluations;
    return SSDE_OK;
}

size_t ssde_likelihood_memory(const ssde_sde *sde, const ssde_score_model *model, const ssde_likelihood_desc *how,
                              size_t n, int batch) {
    ssdei_likelihood w;
    if (ssdei_likelihood_prepare(&w, sde, model, how, 0, n, batch, model) != SSDE_OK) return 0;
    return ssdei_object_memory(&w, sizeof w, ssdei_likelihood_arrays);
}

/* Of a sample that the call did not come to, or left unfinished. */
static ssde_likelihood_result ssdei_likelihood_unknown(ssde_status status) {
    ssde_likelihood_result result;
    memset(&result, 0, sizeof result);
    result.status = status;
    result.log_density = result.bits_per_dim = result.standard_error = (double)NAN;
    return result;
}

/* The lowest failed sample. */
static ssde_status ssdei_likelihood_verdict(ssde_context *context, uint64_t first,
                                            const ssde_likelihood_result *results, size_t n) {
    size_t i;
    for (i = 0; i < n && results[i].status == SSDE_OK; i++) continue;
    if (i == n) return SSDE_OK;
    return ssde_fail(context, results[i].status, "sample %.0f: %s, after %lu evaluations", (double)first + (double)i,
                     ssde_status_text(results[i].status), (unsigned long)results[i].evaluations);
}

/* x[n, dim] block by block, and the verdict over all of them. */
static ssde_status ssdei_likelihood_run(ssdei_likelihood *w, ssde_rng *rng, const float *x,
                                        ssde_likelihood_result *results) {
    ssdei_flow *flow = &w->flow;
    size_t j, dim = flow->dim;
    ssde_status status;
    flow->ode.how.atol_each = w->atol;
    for (j = 0; j < dim + flow->integrals; j++) w->atol[j] = j < dim ? w->how.atol : w->how.log_density_atol;
    status = ssdei_flow_start(flow);
    while (status == SSDE_OK && ssdei_flow_next(flow))
        status = ssdei_likelihood_block(w, x + flow->done * dim, results + flow->done);
    for (j = flow->done; j < flow->n; j++) results[j] = ssdei_likelihood_unknown(status);
    if (status != SSDE_OK) return status;
    status = ssdei_likelihood_verdict(flow->context, flow->first_sample, results, flow->n);
    ssdei_rng_advance(rng, flow->n, status);
    return status;
}

static ssde_status ssdei_likelihood_all(const ssde_sde *sde, const ssde_score_model *model,
                                        const ssde_likelihood_desc *how, int batch, ssde_rng *rng, size_t n,
                                        const float *x, ssde_likelihood_result *results) {
    ssde_context *context = how ? how->context : NULL;
    ssdei_likelihood made, *w;
    ssde_status status;
    if (!rng) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "rng is NULL");
    if (!results) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "results is NULL");
    ssdei_try(ssdei_likelihood_prepare(&made, sde, model, how, rng->next_sample, n, batch, x));
    made.seed = rng->seed;
    ssdei_try(ssdei_likelihood_check_data(&made.how, x, n, model->dim));
    if (!made.flow.model.vjp && context && context->log)
        (context->log)(context->user,
                       model->vjp ? "likelihood: sde.drift_vjp is NULL, divergences are taken by central differences"
                                  : "likelihood: the model has no vjp, its divergence is taken by central differences");
    ssdei_warn_scale(context, "ssde_likelihood", sde, x, n * model->dim, made.how.levels, made.how.low, made.how.high);
    ssdei_try(ssdei_likelihood_range(&made, sde)); /* what cannot be priced is known now */
    w = (ssdei_likelihood *)ssdei_object_create(context, &made, sizeof made, ssdei_likelihood_arrays);
    if (!w) return SSDE_ERROR_MEMORY;
    status = ssdei_likelihood_run(w, rng, x, results);
    ssdei_release(context, w);
    return status;
}

ssde_status ssde_likelihood(const ssde_sde *sde, const ssde_score_model *model, const ssde_likelihood_desc *how,
                            ssde_rng *rng, size_t n, const float *x, ssde_likelihood_result *results) {
    return ssdei_likelihood_all(sde, model, how, 0, rng, n, x, results);
}

ssde_status ssde_likelihood_batch(const ssde_sde *sde, const ssde_score_model *model, const ssde_likelihood_desc *how,
                                  ssde_rng *rng, size_t n, const float *x, ssde_likelihood_result *results) {
    return ssdei_likelihood_all(sde, model, how, 1, rng, n, x, results);
}

ssde_likelihood_summary ssde_likelihood_summarise(const ssde_likelihood_result *results, size_t n) {
    ssde_likelihood_summary summary;
    double count, density_square = 0.0, bits_square = 0.0;
    size_t i;
    memset(&summary, 0, sizeof summary);
    for (i = 0; results && i < n; i++) {
        if (results[i].status != SSDE_OK) continue;
        summary.count++;
        summary.log_density += results[i].log_density;
        summary.bits_per_dim += results[i].bits_per_dim;
        summary.evaluations += (double)results[i].evaluations;
    }
    count = (double)summary.count;
    summary.failed = results ? n - summary.count : 0;
    summary.log_density /= count; /* NaN where nothing succeeded */
    summary.bits_per_dim /= count;
    summary.evaluations /= count;
    for (i = 0; results && i < n; i++) {
        double density = results[i].log_density - summary.log_density;
        double bits = results[i].bits_per_dim - summary.bits_per_dim;
        if (results[i].status != SSDE_OK) continue;
        density_square += density * density;
        bits_square += bits * bits;
    }
    summary.log_density_error = summary.count > 1 ? sqrt(density_square / (count - 1.0) / count) : (double)NAN;
    summary.bits_per_dim_error = summary.count > 1 ? sqrt(bits_square / (count - 1.0) / count) : (double)NAN;
    return summary;
}

SSDEI_ONCE_END

/* ---- >>distance ---- */

typedef struct ssdei_stein {
    ssde_stein_desc how;
    const ssde_score_model *model;
    const float *x;
    size_t n, chunks; /* row i is chunk i % chunks', with all pairs (i, j > i): by n alone, so that sums are */
    float *score;     /* [n, dim] */
    float *sign;      /* [n, bootstrap] */
    double *t;        /* [n] */
    uint64_t *sample; /* [n] */
    double *sum;      /* [chunks, n]: of u over the pairs of each row */
    double *drawn;    /* [chunks, bootstrap + 1]: over the pairs, of e_i e_j u_ij, and of u_ij */
} ssdei_stein;

enum { SSDEI_STEIN_CHUNKS = 64 };

/* u(x, y) of two rows. Each sum is two, of even and of odd elements, for additions wait for each other. */
static double ssdei_stein_pair(const ssdei_stein *w, size_t i, size_t j) {
    size_t dim = w->model->dim, k;
    const float *x = w->x + i * dim, *y = w->x + j * dim, *s = w->score + i * dim, *r = w->score + j * dim;
    double square = 0.0, along = 0.0, dot = 0.0, square1 = 0.0, along1 = 0.0, dot1 = 0.0;
    double q, power, h = 1.0 / (w->how.length * w->how.length);
    for (k = 0; k + 2 <= dim; k += 2) {
        double apart = (double)x[k] - (double)y[k], a = (double)s[k], b = (double)r[k];
        double apart1 = (double)x[k + 1] - (double)y[k + 1], a1 = (double)s[k + 1], b1 = (double)r[k + 1];
        square += apart * apart, along += apart * (a - b), dot += a * b;
        square1 += apart1 * apart1, along1 += apart1 * (a1 - b1), dot1 += a1 * b1;
    }
    if (k < dim) {
        double apart = (double)x[k] - (double)y[k], a = (double)s[k], b = (double)r[k];
        square += apart * apart, along += apart * (a - b), dot += a * b;
    }
    square = (square + square1) * h;
    q = 1.0 / (1.0 + square); /* k^2 */
    power = q * sqrt(q);
    return (dot + dot1) * sqrt(q) + power * h * (along + along1 + ((double)dim - 3.0 * q * square));
}

static void ssdei_stein_chunks(void *argument, ssdei_worker *worker) {
    ssdei_stein *w = (ssdei_stein *)argument;
    size_t begin, end, draws = w->how.bootstrap, i, j, k;
    while (ssdei_next_piece(worker, &begin, &end)) {
        for (; begin < end; begin++) {
            double *sum = w->sum + begin * w->n, *drawn = w->drawn + begin * (draws + 1);
            for (i = begin; i < w->n; i += w->chunks) {
                const float *e = w->sign + i * draws;
                for (j = i + 1; j < w->n; j++) {
                    const float *f = w->sign + j * draws;
                    double u = ssdei_stein_pair(w, i, j);
                    sum[i] += u, sum[j] += u;
                    for (k = 0; k < draws; k++) drawn[k] += u * (double)(e[k] * f[k]);
                    drawn[draws] += u;
                }
            }
        }
    }
}

SSDEI_ONCE_BEGIN

ssde_stein_desc ssde_stein_defaults(void) {
    ssde_stein_desc how;
    memset(&how, 0, sizeof how);
    return how;
}

static void ssdei_stein_arrays(void *object, ssdei_memory *memory) {
    ssdei_stein *w = (ssdei_stein *)object;
    w->score = ssdei_place(memory, float, ssdei_multiply(w->n, w->model->dim));
    w->sign = ssdei_place(memory, float, ssdei_multiply(w->n, w->how.bootstrap));
    w->t = ssdei_place(memory, double, w->n);
    w->sample = ssdei_place(memory, uint64_t, w->n);
    w->sum = ssdei_place(memory, double, ssdei_multiply(w->chunks, w->n));
    w->drawn = ssdei_place(memory, double, ssdei_multiply(w->chunks, w->how.bootstrap + 1));
}

/* 0: the default. */
static ssde_status ssdei_check_time(ssde_context *context, double *t, double standard) {
    ssdei_try(ssdei_check_positive(context, "t", t, standard));
    return *t <= 1.0 ? SSDE_OK : ssde_fail(context, SSDE_ERROR_ARGUMENT, "t is %.17g, wanted up to 1", *t);
}

static ssde_status ssdei_stein_prepare(ssdei_stein *w, const ssde_score_model *model, const ssde_stein_desc *how,
                                       uint64_t first_sample, size_t n, const void *x) {
    memset(w, 0, sizeof *w);
    w->how = how ? *how : ssde_stein_defaults();
    ssdei_try(ssdei_check_samples(w->how.context, model, first_sample, n, x));
    if (n < 2) return ssde_fail(w->how.context, SSDE_ERROR_ARGUMENT, "n is 1, wanted at least two samples");
    ssdei_try(ssdei_check_time(w->how.context, &w->how.t, 1e-3));
    ssdei_try(ssdei_check_positive(w->how.context, "length", &w->how.length, sqrt((double)model->dim)));
    if (((uint64_t)w->how.bootstrap) >> 32)
        return ssde_fail(w->how.context, SSDE_ERROR_ARGUMENT, "bootstrap is %.0f, wanted below 2^32",
                         (double)w->how.bootstrap);
    w->model = model, w->n = n;
    w->chunks = n < SSDEI_STEIN_CHUNKS ? n : (size_t)SSDEI_STEIN_CHUNKS;
    return SSDE_OK;
}

size_t ssde_stein_memory(const ssde_score_model *model, const ssde_stein_desc *how, size_t n) {
    ssdei_stein w;
    if (ssdei_stein_prepare(&w, model, how, 0, n, model) != SSDE_OK) return 0;
    return ssdei_object_memory(&w, sizeof w, ssdei_stein_arrays);
}

/* Fills score and sign. */
static ssde_status ssdei_stein_ask(ssdei_stein *w, const ssde_rng *rng) {
    ssde_context *context = w->how.context;
    size_t dim = w->model->dim, i;
    for (i = 0; i < w->n; i++) w->t[i] = w->how.t, w->sample[i] = rng->next_sample + i;
    ssdei_try(ssdei_score(context, w->model, w->x, w->t, w->sample, w->n, w->score));
    i = ssdei_first_nonfinite(w->score, w->n * dim);
    if (i < w->n * dim)
        return ssde_fail(context, SSDE_ERROR_NUMERIC, "the score of sample %.0f is %g at t = %.6g",
                         (double)w->sample[i / dim], (double)w->score[i], w->how.t);
    if (!w->how.bootstrap) return SSDE_OK;
    return ssde_random_sign(context, rng->seed, SSDE_STREAM_BOOTSTRAP, 0, w->sample, w->n, w->how.bootstrap, w->sign);
}

/* From the chunks' sums. */
static ssde_status ssdei_stein_finish(ssdei_stein *w, ssde_stein_result *result) {
    double n = (double)w->n, dim = (double)w->model->dim, own = 0.0, spread = 0.0, reached = 1.0;
    size_t draws = w->how.bootstrap, i, k, c;
    for (c = 1; c < w->chunks; c++) {
        for (i = 0; i < w->n; i++) w->sum[i] += w->sum[c * w->n + i];
        for (k = 0; k <= draws; k++) w->drawn[k] += w->drawn[c * (draws + 1) + k];
    }
    result->squared = 2.0 * w->drawn[draws] / (n * (n - 1.0));
    for (i = 0; i < w->n; i++) {
        const float *s = w->score + i * w->model->dim;
        own += ssdei_dot(s, s, w->model->dim) + dim / (w->how.length * w->how.length);
    }
    /* the mean without sample i is that of all plus 2 (mean - mean over the pairs of i) / (n - 2) */
    for (i = 0; i < w->n; i++) {
        double apart = result->squared - w->sum[i] / (n - 1.0);
        spread += apart * apart;
    }
    result->standard_error = w->n > 2 ? 2.0 / (n - 2.0) * sqrt((n - 1.0) / n * spread) : (double)NAN;
    result->root = sqrt(fmax(0.0, ((n - 1.0) * result->squared + own / n) / n));
    for (k = 0; k < draws; k++) reached += w->drawn[k] >= w->drawn[draws];
    result->p_value = draws ? reached / ((double)draws + 1.0) : (double)NAN;
    if (fabs(result->squared) <= DBL_MAX && result->root <= DBL_MAX) return SSDE_OK;
    return ssde_fail(w->how.context, SSDE_ERROR_NUMERIC, "the discrepancy is %g", result->squared);
}

ssde_status ssde_stein_discrepancy(const ssde_score_model *model, const ssde_stein_desc *how, ssde_rng *rng, size_t n,
                                   const float *x, ssde_stein_result *result) {
    ssde_context *context = how ? how->context : NULL;
    ssdei_stein made, *w;
    ssdei_team team;
    ssde_status status;
    if (!rng) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "rng is NULL");
    if (!result) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "result is NULL");
    ssdei_try(ssdei_stein_prepare(&made, model, how, rng->next_sample, n, x));
    ssdei_try(ssdei_check_finite(context, "x", x, n, model->dim));
    w = (ssdei_stein *)ssdei_object_create(context, &made, sizeof made, ssdei_stein_arrays);
    if (!w) return SSDE_ERROR_MEMORY;
    w->x = x;
    status = ssdei_stein_ask(w, rng);
    if (status == SSDE_OK) {
        ssdei_team_set(&team, context);
        ssdei_parallel_for(&team, w->chunks, 1, ssdei_stein_chunks, w);
        status = ssdei_stein_finish(w, result);
    }
    if (status == SSDE_OK) rng->next_sample += n;
    ssdei_release(context, w);
    return status;
}

/* A mean that grows by one number at a time, and the sum of squared distances from it. */
typedef struct ssdei_mean {
    double mean, squares;
} ssdei_mean;

static void ssdei_mean_add(ssdei_mean *m, double value, size_t count) {
    double away = value - m->mean;
    m->mean += away / (double)count;
    m->squares += away * (value - m->mean);
}

static double ssdei_mean_error(const ssdei_mean *m, size_t count) {
    return count > 1 ? sqrt(m->squares / ((double)count - 1.0) / (double)count) : (double)NAN;
}

typedef struct ssdei_fisher {
    ssde_fisher_desc how;
    const ssde_sde *sde;
    const ssde_score_model *a, *b;
    size_t n, dim, rows, done;
    double end, start;                 /* of times: ssde_prior_time, and where the golden ratio's multiples begin */
    ssdei_mean divergence, loss, nats; /* of the samples before `done` */
    uint64_t *sample;                  /* [rows], as t, mean and std */
    double *t, *mean, *std;
    float *x, *score, *other; /* [rows, dim] */
} ssdei_fisher;

ssde_fisher_desc ssde_fisher_defaults(void) {
    ssde_fisher_desc how;
    memset(&how, 0, sizeof how);
    return how;
}

static void ssdei_fisher_arrays(void *object, ssdei_memory *memory) {
    ssdei_fisher *w = (ssdei_fisher *)object;
    size_t values = ssdei_multiply(w->rows, w->dim);
    w->sample = ssdei_place(memory, uint64_t, w->rows);
    w->t = ssdei_place(memory, double, w->rows);
    w->mean = ssdei_place(memory, double, w->rows);
    w->std = ssdei_place(memory, double, w->rows);
    w->x = ssdei_place(memory, float, values);
    w->score = ssdei_place(memory, float, values);
    w->other = ssdei_place(memory, float, values);
}

static ssde_status ssdei_fisher_prepare(ssdei_fisher *w, const ssde_sde *sde, const ssde_score_model *a,
                                        const ssde_score_model *b, const ssde_fisher_desc *how, uint64_t first_sample,
                                        size_t n, const void *x) {
    ssde_context *context;
    double scale;
    memset(w, 0, sizeof *w);
    w->how = how ? *how : ssde_fisher_defaults();
    context = w->how.context;
    ssdei_try(ssdei_check_run(context, sde, a, first_sample, n, x));
    if (!b || !b->score) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "b%s is NULL", b ? "->score" : "");
    if (b->dim != a->dim)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "b->dim is %.0f, a->dim %.0f", (double)b->dim, (double)a->dim);
    ssdei_try(ssdei_check_time(context, &w->how.t, 0.0));
    ssdei_try(ssdei_check_positive(context, "eps", &w->how.eps, 1e-3));
    ssdei_try(ssdei_check_eps(context, w->how.eps));
    if (w->how.t == 0.0) ssdei_try(ssdei_start_time(context, sde, w->how.eps, &w->end, &scale));
    w->sde = sde, w->a = a, w->b = b, w->n = n, w->dim = a->dim;
    w->rows = ssdei_block_rows(a, 16384, n);
    return SSDE_OK;
}

size_t ssde_fisher_memory(const ssde_sde *sde, const ssde_score_model *a, const ssde_score_model *b,
                          const ssde_fisher_desc *how, size_t n) {
    ssdei_fisher w;
    if (ssdei_fisher_prepare(&w, sde, a, b, how, 0, n, a) != SSDE_OK) return 0;
    return ssdei_object_memory(&w, sizeof w, ssdei_fisher_arrays);
}

/* Times, and w->x from x [rows, dim]. */
static ssde_status ssdei_fisher_open(ssdei_fisher *w, const ssde_rng *rng, const float *x, size_t rows) {
    ssde_context *context = w->how.context;
    ssde_status status;
    size_t r;
    for (r = 0; r < rows; r++) {
        uint64_t sample = w->sample[r] = rng->next_sample + w->done + r;
        double place = w->start + ldexp((double)(sample * 0x9e3779b97f4a7c15u >> 11), -53); /* 2^64 / golden ratio */
        w->t[r] = w->how.t > 0.0 ? w->how.t : w->how.eps + (w->end - w->how.eps) * (place - floor(place));
    }
    status = ssdei_marginals(w->how.perturbed ? NULL : context, w->sde, w->t, rows, w->mean, w->std);
    if (w->how.perturbed) {
        int unknown = status != SSDE_OK || w->sde->kind == SSDE_NONLINEAR;
        for (r = 0; r < rows && unknown; r++) w->std[r] = (double)NAN;
        memcpy(w->x, x, rows * w->dim * sizeof *x);
        return SSDE_OK;
    }
    ssdei_try(status);
    ssdei_try(
        ssdei_draw_normal(context, &w->how.noise, rng->seed, SSDE_STREAM_NOISE, 0, w->sample, rows, w->dim, w->x));
    return ssde_perturb(context, w->sde, x, w->x, w->t, rows, w->dim, w->x);
}

/* Row r's part in the means. */
static ssde_status ssdei_fisher_add(ssdei_fisher *w, size_t r) {
    const float *a = w->score + r * w->dim, *b = w->other + r * w->dim;
    double square = 0.0, drift, diffusion, span = w->how.t > 0.0 ? 1.0 : w->end - w->how.eps;
    size_t i;
    for (i = 0; i < w->dim; i++) square += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    if (!(square <= DBL_MAX))
        return ssde_fail(w->how.context, SSDE_ERROR_NUMERIC, "|a - b|^2 of sample %.0f is %g at t = %.6g",
                         (double)w->sample[r], square, w->t[r]);
    ssdei_try(ssdei_rates(w->how.context, w->sde, w->t[r], &drift, &diffusion));
    w->done++;
    ssdei_mean_add(&w->divergence, square, w->done);
    ssdei_mean_add(&w->loss, w->std[r] * w->std[r] * square / (double)w->dim, w->done);
    ssdei_mean_add(&w->nats, 0.5 * diffusion * diffusion * span * square, w->done);
    return SSDE_OK;
}

static ssde_status ssdei_fisher_run(ssdei_fisher *w, const ssde_rng *rng, const float *x) {
    ssde_context *context = w->how.context;
    w->start = ssde_random_double(rng->seed, SSDE_STREAM_TIME, 0, 0, 0);
    while (w->done < w->n) {
        size_t rows = w->n - w->done < w->rows ? w->n - w->done : w->rows, r;
        ssdei_try(ssdei_fisher_open(w, rng, x + w->done * w->dim, rows));
        ssdei_try(ssdei_score(context, w->a, w->x, w->t, w->sample, rows, w->score));
        ssdei_try(ssdei_score(context, w->b, w->x, w->t, w->sample, rows, w->other));
        for (r = 0; r < rows; r++) ssdei_try(ssdei_fisher_add(w, r));
    }
    return SSDE_OK;
}

ssde_status ssde_fisher_divergence(const ssde_sde *sde, const ssde_score_model *a, const ssde_score_model *b,
                                   const ssde_fisher_desc *how, ssde_rng *rng, size_t n, const float *x,
                                   ssde_fisher_result *result) {
    ssde_context *context = how ? how->context : NULL;
    ssdei_fisher made, *w;
    ssde_status status;
    if (!rng) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "rng is NULL");
    if (!result) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "result is NULL");
    ssdei_try(ssdei_fisher_prepare(&made, sde, a, b, how, rng->next_sample, n, x));
    ssdei_try(ssdei_check_finite(context, "x", x, n, a->dim));
    w = (ssdei_fisher *)ssdei_object_create(context, &made, sizeof made, ssdei_fisher_arrays);
    if (!w) return SSDE_ERROR_MEMORY;
    status = ssdei_fisher_run(w, rng, x);
    if (status == SSDE_OK) {
        result->divergence = w->divergence.mean, result->divergence_error = ssdei_mean_error(&w->divergence, n);
        result->loss = w->loss.mean, result->loss_error = ssdei_mean_error(&w->loss, n);
        result->nats = w->nats.mean, result->nats_error = ssdei_mean_error(&w->nats, n);
        rng->next_sample += n;
    }
    ssdei_release(context, w);
    return status;
}

SSDEI_ONCE_END

SSDEI_END
#ifdef __cplusplus
}
#endif
#define SSDEI_MACROS 0
#include "scoresde.h"
#endif /* implementation */

/*
   Either licence, at your choice.

   ALTERNATIVE A: MIT

   Copyright (c) 2026 the scoresde authors

   Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
   documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
   rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to
   permit persons to whom the Software is furnished to do so, subject to the following conditions: The above copyright
   notice and this permission notice shall be included in all copies or substantial portions of the Software. THE
   SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
   WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
   COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
   OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.

   ALTERNATIVE B: public domain (unlicense.org)

   This is free and unencumbered software released into the public domain. Anyone is free to copy, modify, publish, use,
   compile, sell, or distribute this software, either in source code form or as a compiled binary, for any purpose,
   commercial or non-commercial, and by any means. The software is provided "as is", without warranty of any kind.
*/
