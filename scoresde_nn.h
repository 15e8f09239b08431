/* scoresde_nn.h 0.1.0: networks that learn scores: graph with derivatives, layers, U-Nets, training, checkpoints. MIT
   or public domain.

   Needs scoresde.h beside it. In ONE .c or .cpp file define SCORESDE_IMPLEMENTATION before including; see scoresde.h.

   CONTENTS (search for the anchor)
       >>net               a network: its operations, its parameters
       >>operations        what networks are made of
       >>run               forward and backward passes, and their memory
       >>networks          the paper's U-Nets, diffusers' and OpenAI's, RefineNets, classifiers, an MLP
       >>score net         a network as a score model
       >>classifier        a network as guidance towards classes
       >>train             loss, Adam, exponential moving average, checkpoints
       >>configurations    the paper's, by name
       >>models            networks in files: the library's, the reference's, diffusers', OpenAI's
       >>implementation    the functions, in the same order; before the operations:
       >>products          convolutions and linear layers as products of packed panels, Winograd's
       >>kernels           what runs once per SIMD tier; scoresde.h includes this file for each

   QUICK START: train a small U-Net on images, save the averaged weights, and draw from what they have learned

       #define SCORESDE_IMPLEMENTATION
       #include "scoresde.h"
       #include "scoresde_nn.h"
       #include "scoresde_solvers.h"
       #include <stdio.h>
       #include <stdlib.h>

       enum { SIDE = 8, DIM = SIDE * SIDE, BATCH = 32, STEPS = 400, DRAWN = 4 };
       static float images[BATCH * DIM], drawn[DRAWN * DIM];
       static ssde_context context; // receives the text of an error

       static void check(ssde_status status) {
           if (status == SSDE_OK) return;
           fprintf(stderr, "%s: %s\n", ssde_status_text(status), context.error);
           exit(1);
       }

       // White squares of 4 x 4 on black, each somewhere. Your images go here, their values from -1 to 1.
       static void next_images(void) {
           for (int i = 0; i < BATCH; i++) {
               int left = rand() % 5, top = rand() % 5;
               for (int p = 0; p < DIM; p++) {
                   int x = p % SIDE - left, y = p / SIDE - top;
                   images[i * DIM + p] = x >= 0 && x < 4 && y >= 0 && y < 4 ? 1.0f : -1.0f;
               }
           }
       }

       int main(void) {
           ssde_sde sde = ssde_subvp(0.1, 20.0);
           ssde_unet_desc shape = ssde_ddpmpp(SIDE, SIDE, 1); // the reference's network; then what differs
           shape.nf = 16;
           shape.num_levels = 2;
           shape.num_res_blocks = 1;
           shape.context = &context;
           ssde_net *net;
           check(ssde_unet_create(&net, &shape));

           ssde_train_desc train = ssde_train_defaults(&sde, STEPS);
           train.batch = BATCH;
           train.context = &context;
           ssde_trainer *trainer;
           check(ssde_trainer_create(&trainer, net, &sde, &train));
           ssde_batch batch = ssde_batch_of(images, BATCH);
           double loss = 0.0;
           for (int step = 0; step < STEPS; step++) {
               next_images();
               check(ssde_train_step(trainer, &batch, &loss));
           }
           printf("loss %.3f\n", loss);
           check(ssde_trainer_save_model(trainer, "squares.safetensors")); // the averaged weights, as the model
           ssde_trainer_destroy(trainer);
           ssde_net_destroy(net);

           // the file alone rebuilds the network
           check(ssde_net_load(&context, &net, &sde, "squares.safetensors"));
           ssde_score_net_desc memory = ssde_score_net_defaults();
           memory.context = &context;
           ssde_score_net *score_net;
           check(ssde_score_net_create(&score_net, net, &sde, &memory));
           ssde_score_model model = ssde_score_net_model(score_net);
           ssde_sampler_desc how = ssde_sampler_defaults();
           how.steps = 200;
           how.context = &context;
           ssde_rng rng = ssde_rng_seed(42);
           check(ssde_sample(&sde, &model, &how, &rng, DRAWN, drawn));
           for (int y = 0; y < SIDE; y++) {
               for (int i = 0; i < DRAWN * SIDE; i++)
                   printf("%s%c", i % SIDE ? "" : "  ", drawn[i / SIDE * DIM + y * SIDE + i % SIDE] > 0.0f ? '#' : '.');
               printf("\n");
           }

           ssde_score_net_destroy(score_net);
           ssde_net_destroy(net);
           return 0;
       }

   DIFFERENCES FROM THE REFERENCE (github.com/yang-song/score_sde_pytorch)
       Activations and kernels are NHWC and HWIO in memory; files keep the reference's names and axes.
       Images need not be square: attn_resolutions are compared with the width.
       conditional = 0 works in ddpm, and up-sampling by a convolution in ncsnpp.
       scale_by_sigma divides by std(t) whatever the embedding; with discrete labels, as there, by the level's sigma.
       std(t) is computed in double: there, 1 - exp(x) in float loses half its digits at small t.
       RefineNets, none of which runs there, are those of github.com/ermongroup/ncsn and ncsnv2, which they were taken
       from: dilated convolutions keep their maps' size, NCSN's norms are conditional on its num_scales labels.
*/
#ifndef SSDEI_TIER /* set: scoresde.h includes the kernels of a SIMD tier, see its >>kernels */

/* Outside the guard: this header may be included for its declarations first and for its implementation later. */
#include "scoresde.h"

#ifndef SCORESDE_NN_H
#define SCORESDE_NN_H

#if SCORESDE_VERSION_MAJOR != 0 || SCORESDE_VERSION_MINOR != 1
#error "scoresde_nn.h 0.1 needs scoresde.h 0.1: copy the headers together"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* >>net
   A network is a list of operations in the order they run, and a list of parameters. Operations are added one by one;
   the first failure is kept and every later call does nothing, so that only ssde_net_finish needs checking. */

typedef struct ssde_net ssde_net;
typedef int ssde_node; /* an operation's result; -1 after a failure */

ssde_status ssde_net_create(ssde_context *context, ssde_net **net, uint64_t seed);
void ssde_net_destroy(ssde_net *net); /* NULL is fine */
/* Declares the result and draws the weights' initial values. Call once, last. A score network's result has the shape of
   the input x, or twice its channels: the second half then is a learned variance's, see >>score net. */
ssde_status ssde_net_finish(ssde_net *net, ssde_node output);
/* Bytes that the network holds, or will hold when it is finished as it stands, of its context's allocator; 0 after a
   failure. */
size_t ssde_net_memory(const ssde_net *net);

/* Parameters. The name is the reference's; shape is that of the reference's tensor, in its order of axes. */
typedef struct ssde_parameter {
    char name[96];
    int rank;
    size_t shape[4];
    size_t count;
    int trainable; /* 0: the frozen frequencies of a Fourier embedding */
} ssde_parameter;
size_t ssde_net_parameter_count(const ssde_net *net); /* tensors */
size_t ssde_net_weight_count(const ssde_net *net);    /* floats */
size_t ssde_net_dim(const ssde_net *net);             /* floats per sample */
size_t ssde_net_output_dim(const ssde_net *net);      /* and of the result */
size_t ssde_net_classes(const ssde_net *net);         /* that it is conditioned on; 0: none */
int ssde_net_null_class(const ssde_net *net);         /* whether it knows a null class, -1 */
size_t ssde_net_vector(const ssde_net *net);          /* values of the vector it is conditioned on; 0: none */
/* Whether its labels are indices of noise levels: what a model file says, or the last trainer. */
int ssde_net_discrete(const ssde_net *net);
/* What its output means, likewise; SSDE_PREDICT_DEFAULT: nobody has said. *sigma_data, which may be NULL, is that of
   SSDE_PREDICT_EDM, else 0. */
ssde_parameterisation ssde_net_output(const ssde_net *net, double *sigma_data);
void ssde_net_shape(const ssde_net *net, size_t *height, size_t *width, size_t *channels);
/* Valid until the next operation is added, or the network finished. */
const ssde_parameter *ssde_net_parameter(const ssde_net *net, size_t index);
/* Copies a parameter out of or into a finished network in the reference's order of axes; values [parameter->count]. */
ssde_status ssde_net_get(const ssde_net *net, size_t index, float *values);
ssde_status ssde_net_set(ssde_net *net, size_t index, const float *values);
/* The same of a parameter's derivatives in weight_gradients [ssde_net_weight_count], as ssde_run_backward leaves them:
   values[i] belongs to the weight that ssde_net_get puts at i. Of parameters that are not trainable ssde_run_backward
   leaves weight_gradients as they are. */
ssde_status ssde_net_get_gradient(const ssde_net *net, size_t index, const float *weight_gradients, float *values);

/* >>operations
   Shapes are per sample, [height, width, channels]; vectors are [1, 1, n]. Names become the parameters' prefix. */

/* The inputs a score network has: the data, the noise label it is conditioned on, std(t), the number of a class, which
   embeddings read, and a vector of `size` values of its own. Another call returns the same node, but for the data,
   which are given once. */
ssde_node ssde_input(ssde_net *net, size_t height, size_t width, size_t channels);
ssde_node ssde_input_label(ssde_net *net);
ssde_node ssde_input_sigma(ssde_net *net);
ssde_node ssde_input_class(ssde_net *net);
ssde_node ssde_input_vector(ssde_net *net, size_t size);

/* y = (W * x + bias + residual) scale, cross-correlation, kernel 1 or 3, its taps `dilation` pixels apart. Padding as
   given on each side (the reference's down-convolution pads 0 before and 1 after), at most what the taps reach; one of
   `dilation` keeps the size of a kernel 3. residual has y's shape, or is [1, 1, channels], added to every pixel; -1:
   none. */
typedef struct ssde_conv_desc {
    size_t channels; /* of the output */
    int kernel;      /* 1 or 3 */
    int stride;      /* 1 or 2 */
    int pad_before, pad_after;
    double init_scale; /* fan_avg uniform with this variance scale; 0 means 1e-10, as the reference */
    ssde_node residual;
    double scale;
    int dilation; /* 1 to 8191; 0: 1 */
    int no_bias;  /* and no parameter of it */
} ssde_conv_desc;
ssde_conv_desc ssde_conv(size_t channels, int kernel); /* stride 1, same size, init_scale 1, no residual, scale 1 */
ssde_node ssde_conv2d(ssde_net *net, ssde_node x, const ssde_conv_desc *desc, const char *name);
/* The same product under the reference's other names: nn.Linear (weight [out, in]) and NIN (W [in, out], b). */
ssde_node ssde_linear(ssde_net *net, ssde_node x, size_t channels, double init_scale, const char *name);
ssde_node ssde_nin(ssde_net *net, ssde_node x, const ssde_conv_desc *desc, const char *name);

typedef enum ssde_activation {
    SSDE_IDENTITY,
    SSDE_SILU,
    SSDE_RELU,
    SSDE_ELU,
    SSDE_LEAKY_RELU, /* slope 0.2 below 0 */
    SSDE_SOFTPLUS,
    SSDE_LOG,  /* of positive numbers */
    SSDE_MISH, /* x tanh(log(1 + e^x)) */
    SSDE_GELU  /* x (1 + erf(x / sqrt(2))) / 2 */
} ssde_activation;
ssde_node ssde_activate(ssde_net *net, ssde_node x, ssde_activation activation);
/* Per sample over groups of channels, with eps (1e-12 to 1) added to the variance, then the activation: SSDE_SILU in
   the same pass. groups divides the channels. */
ssde_node ssde_group_norm(ssde_net *net, ssde_node x, size_t groups, double eps, ssde_activation activation,
                          const char *name);
/* Per sample and channel, over the pixels, then the activation:
       SSDE_INSTANCE_NORM       h = (x - mean) / sqrt(variance + eps); no parameters, name may be NULL
       SSDE_INSTANCE_NORM_PLUS  gamma (h + alpha m) + beta, m the means less their mean over sqrt(their variance + eps),
                                both over the channels, of which there are 2 or more
       SSDE_VARIANCE_NORM       alpha x / sqrt(variance + eps), of 2 pixels or more
   The first two's variance over the pixels is of all of them, the other variances are of those less 1. Parameters
   name.alpha, name.gamma, name.beta, each [channels], begin as 1 + 0.02 N(0, 1) and 0. */
typedef enum ssde_instance_norm_kind {
    SSDE_INSTANCE_NORM,
    SSDE_INSTANCE_NORM_PLUS,
    SSDE_VARIANCE_NORM
} ssde_instance_norm_kind;
ssde_node ssde_instance_norm(ssde_net *net, ssde_node x, ssde_instance_norm_kind kind, double eps,
                             ssde_activation activation, const char *name);
/* SSDE_INSTANCE_NORM_PLUS with gamma, alpha and beta from a row of name.embed.weight [classes, 3 channels], that of
   ssde_input_label's label, 0 to classes - 1. */
ssde_node ssde_conditional_instance_norm(ssde_net *net, ssde_node x, ssde_node label, size_t classes, double eps,
                                         ssde_activation activation, const char *name);
/* For each of `heads` runs of D = channels / heads channels: softmax(q k^T / sqrt(D)) v over the pixels of k and v,
   which may be another number than q's. heads divides the channels. */
ssde_node ssde_attention(ssde_net *net, ssde_node q, ssde_node k, ssde_node v, size_t heads);
/* (a + b) scale; b has a's shape or is [1, 1, channels], added to every pixel. */
ssde_node ssde_add_scaled(ssde_net *net, ssde_node a, ssde_node b, double scale);
/* Along channels; b has a's height and width, or is [1, 1, n], repeated at every pixel. */
ssde_node ssde_concat(ssde_net *net, ssde_node a, ssde_node b);
/* x (1 + scale) + shift at every pixel; scale_shift [1, 1, 2 channels] is scale, then shift. */
ssde_node ssde_modulate(ssde_net *net, ssde_node x, ssde_node scale_shift);
ssde_node ssde_mean_pixels(ssde_net *net, ssde_node x); /* [1, 1, channels] */
/* [1, 1 + pixels, channels]: the mean over the pixels, then they, each with its column of a table
   name.positional_embedding [channels, 1 + pixels] added. */
ssde_node ssde_tokens(ssde_net *net, ssde_node x, const char *name);
ssde_node ssde_affine_map(ssde_net *net, ssde_node x, double scale, double shift); /* scale x + shift */
/* Mode train only: zero with probability p, 0 to below 1, else x / (1 - p); else the identity. p is rounded to a
   multiple of 2^-16, at most 1 - 2^-16. Value i of a sample is zero where 16 bits are below 65536 p: those of word
   16 (i / 32) + i % 16 that ssde_random_words has for the sample under SSDE_STREAM_DROPOUT, the low half if i % 32 is
   below 16, else the high half. Behind a group norm that nothing else reads it takes next to no time. */
ssde_node ssde_dropout(ssde_net *net, ssde_node x, double p);

/* Resampling by 2 and filtering. All are separable and linear, and one operation. */
ssde_node ssde_upsample_nearest(ssde_net *net, ssde_node x);
ssde_node ssde_average_pool(ssde_net *net, ssde_node x);
/* The largest, or the mean, of size x size pixels around each, size odd. What lies outside the image is never the
   largest, and counts as 0 for the mean. */
typedef enum ssde_pool_kind { SSDE_POOL_MAX, SSDE_POOL_MEAN } ssde_pool_kind;
ssde_node ssde_pool(ssde_net *net, ssde_node x, ssde_pool_kind kind, int size);
/* Linear between pixels down and across, corners on corners: output o of n lies at o (pixels - 1) / (n - 1). */
ssde_node ssde_resize_bilinear(ssde_net *net, ssde_node x, size_t height, size_t width);
/* Zero insertion by `up`, padding, correlation with the normalised kernel (gain up^2), every `down`-th: upfirdn2d. */
ssde_node ssde_fir(ssde_net *net, ssde_node x, int up, int down, int pad_before, int pad_after, const double *kernel,
                   int taps);

/* Embeddings of a number, the label or the class's: [sin | cos], or [cos | sin] with cosine_first, of label *
   exp(-i ln(10000) / (dim / 2 - shift)) (the reference's shift is 1); and [sin | cos] of 2 pi W log(label) with frozen
   W ~ N(0, scale^2), dim outputs each side (2 dim in all). */
ssde_node ssde_positional_embedding(ssde_net *net, ssde_node label, size_t dim, double shift, int cosine_first);
ssde_node ssde_fourier_embedding(ssde_net *net, ssde_node label, size_t dim, double scale, const char *name);
/* Row c of a table name.weight [classes + 1, dim] for class c; the last row is the null class's. */
ssde_node ssde_class_embedding(ssde_net *net, ssde_node class_number, size_t classes, size_t dim, const char *name);
/* Row `number` of a table name.weight [rows, dim], of the label or of the class's number: there is no null class.
   Labels are whole numbers below rows. */
ssde_node ssde_table_embedding(ssde_net *net, ssde_node number, size_t rows, size_t dim, const char *name);
/* x f(sigma) with one sigma per sample: f = 1 / sigma or 1 / sqrt(1 + sigma^2). */
typedef enum ssde_row_scale { SSDE_OVER_SIGMA, SSDE_OVER_TOTAL } ssde_row_scale;
ssde_node ssde_scale_rows(ssde_net *net, ssde_node x, ssde_node sigma, ssde_row_scale scale);

/* >>run
   One network can have several runs; a run belongs to one thread at a time. */

typedef enum ssde_run_mode {
    SSDE_RUN_INFERENCE, /* forward only; activations share memory, which the other modes keep */
    SSDE_RUN_VJP,       /* and backward to the input */
    SSDE_RUN_TRAIN,     /* and to the parameters; dropout on */
    SSDE_RUN_TANGENT    /* as TRAIN, of the result and of its derivative along a direction of x, in twice the memory */
} ssde_run_mode;
/* 3x3 convolutions of stride 1 by Winograd's F(4x4, 3x3) take a quarter of the multiplications. Their error is about
   1.3e-6 of the result's norm, where a direct sum over as many channels has 2e-7. */
typedef enum ssde_convolution {
    SSDE_CONVOLUTION_AUTO, /* Winograd where the layer's shape makes it faster */
    SSDE_CONVOLUTION_DIRECT,
    SSDE_CONVOLUTION_WINOGRAD /* wherever it is possible */
} ssde_convolution;
typedef struct ssde_run_desc {
    ssde_run_mode mode;
    size_t max_rows; /* capacity */
    ssde_convolution convolution;
    ssde_context *context;
} ssde_run_desc;
ssde_run_desc ssde_run_defaults(ssde_run_mode mode, size_t max_rows);
typedef struct ssde_run ssde_run;

/* Bytes that the run will hold, which its context's allocator is asked for by ssde_run_create; 0 if the arguments are
   invalid. Both ask for a little more while they plan. */
size_t ssde_run_memory(const ssde_net *net, const ssde_run_desc *desc);
/* The network stays alive and its topology unchanged while the run exists; weights may change. */
ssde_status ssde_run_create(ssde_run **run, const ssde_net *net, const ssde_run_desc *desc);
void ssde_run_destroy(ssde_run *run);
/* The classes of the next forward passes' rows, copied, each below ssde_net_classes, or -1: the null class, where there
   is one. NULL: the null class for all, as in the beginning; without one a pass is then an error. So is a pass of more
   rows than were given. */
ssde_status ssde_run_set_classes(ssde_run *run, const int32_t *classes, size_t rows);
/* Likewise vectors [rows, ssde_net_vector]; NULL: none, with which a pass is an error. */
ssde_status ssde_run_set_vectors(ssde_run *run, const float *vectors, size_t rows);
/* x [rows, dim] NHWC, label [rows], sigma [rows] (NULL where the network takes none) -> out [rows, output_dim] (may be
   NULL).
   Dropout draws under (seed + n 0x9e3779b97f4a7c15, step, sample), the network's n-th from 1, again in backward: sample
   stays valid until then; NULL: row numbers. */
ssde_status ssde_run_forward(ssde_run *run, const float *x, const float *label, const float *sigma, size_t rows,
                             uint64_t seed, uint32_t step, const uint64_t *sample, float *out);
/* After a forward pass: from gradient [rows, output_dim] of the output. To the input: input_gradient [rows, dim] (NULL:
   none). To the parameters (mode train): added to weight_gradients [ssde_net_weight_count], in the network's own order
   (NULL: none), from which ssde_net_get_gradient copies those of one parameter. In mode VJP it may be called again for
   another gradient; in mode train once. */
ssde_status ssde_run_backward(ssde_run *run, const float *gradient, float *input_gradient, float *weight_gradients);
/* Mode tangent: as ssde_run_forward, with a direction v [rows, dim] of x, and out_tangent [rows, output_dim] (may be
   NULL) = J v, J the derivative of out by x; label, sigma and class are constants. */
ssde_status ssde_run_forward_tangent(ssde_run *run, const float *x, const float *v, const float *label,
                                     const float *sigma, size_t rows, uint64_t seed, uint32_t step,
                                     const uint64_t *sample, float *out, float *out_tangent);
/* Once after it: adds to weight_gradients, as ssde_run_backward, the derivatives of <gradient, out> +
   <tangent_gradient, J v>, both [rows, output_dim]. Those of v^T J v, say, have tangent_gradient = v and gradient =
   NULL, zeros. */
ssde_status ssde_run_backward_tangent(ssde_run *run, const float *gradient, const float *tangent_gradient,
                                      float *weight_gradients);

/* >>networks */

enum { SSDE_MAX_LEVELS = 10, SSDE_MAX_FIR_TAPS = 8 };
typedef enum ssde_unet_name { SSDE_UNET_NCSNPP, SSDE_UNET_DDPM } ssde_unet_name;
typedef enum ssde_resblock_type { SSDE_RESBLOCK_DDPM, SSDE_RESBLOCK_BIGGAN } ssde_resblock_type;
typedef enum ssde_progressive { SSDE_PROGRESSIVE_NONE, SSDE_OUTPUT_SKIP, SSDE_OUTPUT_RESIDUAL } ssde_progressive;
typedef enum ssde_progressive_input {
    SSDE_PROGRESSIVE_INPUT_NONE,
    SSDE_INPUT_SKIP,
    SSDE_INPUT_RESIDUAL
} ssde_progressive_input;
typedef enum ssde_progressive_combine { SSDE_COMBINE_SUM, SSDE_COMBINE_CAT } ssde_progressive_combine;
typedef enum ssde_embedding_type { SSDE_EMBEDDING_POSITIONAL, SSDE_EMBEDDING_FOURIER } ssde_embedding_type;

/* How a network learns of the noise. The reference has the first. */
typedef enum ssde_noise_conditioning {
    SSDE_NOISE_EMBEDDING,  /* an embedding, added to each block's channels */
    SSDE_NOISE_CHANNEL,    /* a channel of the input: 2 label / 999 - 1 (positional) or log(label) / 4 (Fourier) */
    SSDE_NOISE_SCALE_SHIFT /* an embedding, which scales and shifts each block's second norm: ssde_modulate */
} ssde_noise_conditioning;

/* The reference's "ncsnpp" (models/ncsnpp.py), which is both NCSN++ and DDPM++, and "ddpm" (models/ddpm.py); flags as
   there. DDPM has group norms of 32 groups, no rescaling of skips and starts its last layers at zero; it does not read
   fir, skip_rescale, resblock_type, progressive, progressive_input, embedding_type and what belongs to them, nor
   init_scale. Start from a constructor. */
typedef struct ssde_unet_desc {
    ssde_unet_name name;
    size_t height, width, channels; /* divisible by 2^(num_levels - 1) */
    /* Channels of the first level; a multiple of 4, of 32 for DDPM. Norms have a group for every 4 channels, 32 from
       128 channels on, which must divide them: also those of a block and a skip connection together. */
    size_t nf;
    int num_levels;               /* 1 to SSDE_MAX_LEVELS */
    int ch_mult[SSDE_MAX_LEVELS]; /* 1 to 256 */
    int num_res_blocks;           /* per level; (num_res_blocks + 1) num_levels is below 256 */
    int num_attn_resolutions;
    size_t attn_resolutions[SSDE_MAX_LEVELS]; /* widths with attention; the bottleneck always has it */
    int attn_every_block; /* on the way up, too, as in Ho et al.'s network; 0: there only behind a level's last block */
    double dropout;       /* 0 to below 1 */
    int resamp_with_conv;
    int conditional; /* on noise */
    int fir;
    int fir_taps; /* 2 or more */
    double fir_kernel[SSDE_MAX_FIR_TAPS];
    int skip_rescale;
    ssde_resblock_type resblock_type;
    ssde_progressive progressive;
    ssde_progressive_input progressive_input;
    ssde_progressive_combine progressive_combine;
    ssde_embedding_type embedding_type;
    double fourier_scale; /* 0 to 1e12 */
    double init_scale;    /* 0 to 1e6, of each block's last layer and of the output's, as ssde_conv_desc's */
    int scale_by_sigma;   /* divide the output by std(t): for VE's score */
    int centered;         /* data in [-1, 1]; 0: in [0, 1], mapped to [-1, 1] by the network */
    ssde_noise_conditioning noise_conditioning; /* where conditional is 1 */
    size_t classes; /* conditioned on by an embedding class_embedding.weight, added to the noise's; 0: none */
    uint64_t seed;  /* of the initialisation */
    ssde_context *context;
} ssde_unet_desc;

/* The reference's CIFAR-10 configurations for other sizes of image: nf 128, ch_mult (1, 2, 2, 2) or as many of these
   levels as the size can be halved for, 4 blocks, attention at 16, dropout 0.1. DDPM++: positional embedding, no FIR
   (configs/vp/cifar10_ddpmpp_continuous.py). NCSN++: Fourier embedding, FIR, residual input pyramid, scale_by_sigma,
   data in [0, 1] (configs/ve/cifar10_ncsnpp_continuous.py). */
ssde_unet_desc ssde_ddpmpp(size_t height, size_t width, size_t channels);
ssde_unet_desc ssde_ncsnpp(size_t height, size_t width, size_t channels);
/* The same sizes with 2 blocks per level (configs/vp/ddpm/cifar10_continuous.py). */
ssde_unet_desc ssde_ddpm(size_t height, size_t width, size_t channels);
ssde_status ssde_unet_create(ssde_net **net, const ssde_unet_desc *desc);
/* Bytes that the network will hold, as ssde_net_memory; 0 if the description is invalid. No weight is made. */
size_t ssde_unet_memory(const ssde_unet_desc *desc);

/* diffusers' UNet2DModel in general (models/unets/unet_2d.py), of which OpenAI's guided-diffusion and
   improved-diffusion networks are special cases. Parameters have diffusers' names, fields those of its config.json. */

/* The way to the next level. */
typedef enum ssde_unet2d_resampling {
    SSDE_RESAMPLING_CONV,  /* down: a 3x3 convolution of stride 2; up: nearest, then a 3x3 convolution */
    SSDE_RESAMPLING_BLOCK, /* a residual block that resamples both branches by the mean of 2x2, or by nearest */
    SSDE_RESAMPLING_PLAIN  /* the mean, or nearest, alone */
} ssde_unet2d_resampling;
/* A level's blocks on one way. */
typedef struct ssde_unet2d_blocks {
    int attention; /* behind every residual block; of skip blocks on the way up behind the last one */
    int skip; /* Skip blocks, NCSN++'s: FIR-filtered pyramids of the input and the output, resampling by blocks with
                 FIR, branches over sqrt(2), norms of one group for 4 channels, at most 32 */
    ssde_unet2d_resampling resampling; /* not read of skip blocks, nor where the way ends */
} ssde_unet2d_blocks;
typedef enum ssde_unet2d_time {
    SSDE_UNET2D_POSITIONAL,
    SSDE_UNET2D_FOURIER, /* of the label's logarithm; the output is divided by the label */
    SSDE_UNET2D_LEARNED  /* a table; labels are whole numbers below num_train_timesteps */
} ssde_unet2d_time;
typedef enum ssde_unet2d_classes {
    SSDE_UNET2D_NO_CLASSES,
    SSDE_UNET2D_CLASS_TABLE,    /* num_class_embeds rows, without a null class */
    SSDE_UNET2D_CLASS_TIMESTEP, /* the class's number is embedded as the label is */
    SSDE_UNET2D_CLASS_VECTOR    /* "identity": a vector of the time embedding's width, by ssde_run_set_vectors */
} ssde_unet2d_classes;

typedef struct ssde_unet2d_desc {
    size_t height, width; /* divisible by 2^(num_levels - 1); sample_size, but any will do */
    size_t in_channels, out_channels;
    int center_input_sample; /* 2 x - 1 comes in */
    int num_levels;          /* 1 to SSDE_MAX_LEVELS */
    /* Of level i, which is 2^i times smaller than the input: up_block_types are in the other order. */
    size_t block_out_channels[SSDE_MAX_LEVELS];
    ssde_unet2d_blocks down[SSDE_MAX_LEVELS], up[SSDE_MAX_LEVELS];
    int layers_per_block;   /* residual blocks on the way down; one more on the way up */
    int downsample_padding; /* 1; 0: one row below and column on the right */
    ssde_activation act_fn; /* SSDE_SILU, SSDE_MISH, SSDE_GELU or SSDE_RELU */
    double dropout;         /* 0 to below 1 */
    size_t norm_num_groups; /* 0: one for 4 channels, at most 32 */
    double norm_eps;        /* 1e-12 to 1 */
    int scale_shift; /* resnet_time_scale_shift: the embedding scales and shifts the second norm, instead of being added
                        before it */
    /* Heads of attention over C channels: num_heads, which divides C, or C / attention_head_dim rounded down, each of
       attention_head_dim channels; both 0: one head. num_heads_up is that of the way up; 0: num_heads. */
    size_t attention_head_dim, num_heads, num_heads_up;
    int no_mid_block, no_mid_attention;
    double mid_block_scale_factor; /* that the middle's sums are divided by; 1e-6 to 1e6 */
    /* Groups of the norm before the middle's attention; 0: norm_num_groups, but no norm at all with scale_shift. */
    size_t attn_norm_num_groups;
    ssde_unet2d_time time_embedding_type;
    size_t time_width;          /* of the label's sinusoids or table, or half Fourier's; 0: block_out_channels[0] */
    double freq_shift;          /* of ssde_positional_embedding */
    int flip_sin_to_cos;        /* cosines first */
    size_t time_embedding_dim;  /* 0: 4 time_width */
    size_t num_train_timesteps; /* of a learned embedding */
    ssde_unet2d_classes class_embed_type;
    size_t num_class_embeds; /* of a table */
    uint64_t seed;
    ssde_context *context;
} ssde_unet2d_desc;
/* UNet2DModel's own defaults for images: 128, 128, 256, 256, 512, 512 channels or as many of these levels as the size
   can be halved for, attention at the last but one, heads of 8 channels. */
ssde_unet2d_desc ssde_unet2d(size_t height, size_t width, size_t channels);
/* Weights begin as the reference's, each block's last layer and the output's at zero. Widths are at most 65536; where
   skip blocks follow others, or others them, so that a pyramid would have the wrong size, that is an error. */
ssde_status ssde_unet2d_create(ssde_net **net, const ssde_unet2d_desc *desc);
size_t ssde_unet2d_memory(const ssde_unet2d_desc *desc);

/* The RefineNets of 2019 and 2020 (models/ncsnv2.py): "ncsn" (Song and Ermon 2019, arXiv 1907.05600), told of the noise
   in each of its norms, and "ncsnv2_64", "ncsnv2_128" and "ncsnv2_256" (2020, arXiv 2006.09011), which are not, and
   divide their result by sigma. They know num_scales geometric noise levels: labels are the indices of these, whole
   numbers, 0 that of sigma_max, and go with the discrete forms of ssde_ve(sigma_min, sigma_max) of num_scales; there is
   no continuous label. The names say what size they were made for, not what they take. */
typedef enum ssde_refinenet_name { SSDE_NCSN, SSDE_NCSNV2_64, SSDE_NCSNV2_128, SSDE_NCSNV2_256 } ssde_refinenet_name;
typedef enum ssde_normalization {
    SSDE_NORMALIZE_INSTANCE_PLUS, /* "InstanceNorm++"; conditional on the label in NCSN, which has no other */
    SSDE_NORMALIZE_INSTANCE,      /* "InstanceNorm", without weights. The last one's eps is num_scales, as there */
    SSDE_NORMALIZE_VARIANCE,      /* "VarianceNorm" */
    SSDE_NORMALIZE_NONE           /* "NoneNorm" */
} ssde_normalization;
typedef struct ssde_refinenet_desc {
    ssde_refinenet_name name;
    size_t height, width, channels; /* divisible by 2; ncsnv2_128: by 4, ncsnv2_256: by 8 */
    size_t nf;                      /* 1 to 4096, from 2 on with InstanceNorm++; levels have 1, 2 or 4 times as many */
    ssde_normalization normalization;
    ssde_activation nonlinearity; /* SSDE_ELU, SSDE_RELU, SSDE_LEAKY_RELU ("lrelu") or SSDE_SILU ("swish") */
    int num_scales;               /* 2 to 2^20 */
    double sigma_min, sigma_max;  /* 1e-30 <= sigma_min < sigma_max <= 1e30 */
    int centered;                 /* as in ssde_unet_desc */
    uint64_t seed;
    ssde_context *context;
} ssde_refinenet_desc;
/* nf 128, InstanceNorm++, ELU, data in [0, 1], and the levels, all from 0.01 on, of: NCSN 10 to 1; NCSNv2 232 to 50
   (CIFAR-10), _128 1086 to 190 (LSUN), _256 2311 to 348 (FFHQ, of which the reference has no configuration). */
ssde_refinenet_desc ssde_ncsn(size_t height, size_t width, size_t channels);
ssde_refinenet_desc ssde_ncsnv2(size_t height, size_t width, size_t channels);
ssde_refinenet_desc ssde_ncsnv2_128(size_t height, size_t width, size_t channels);
ssde_refinenet_desc ssde_ncsnv2_256(size_t height, size_t width, size_t channels);
ssde_status ssde_refinenet_create(ssde_net **net, const ssde_refinenet_desc *desc);
size_t ssde_refinenet_memory(const ssde_refinenet_desc *desc);

/* OpenAI's improved-diffusion and guided-diffusion (Nichol and Dhariwal 2021, Dhariwal and Nichol 2021, arXiv
   2105.05233): U-Nets and classifiers of noisy images, and the process that they were trained with. Fields are the
   flags of the command lines, which their files do not hold: where two networks have tensors of the same names and
   shapes, as with either attention order, nothing but the flag tells them apart. */
typedef struct ssde_openai_desc {
    size_t image_size;   /* height and width; large_size of an upsampler */
    size_t channels;     /* of an image: 3 */
    size_t num_channels; /* classifier_width */
    int num_res_blocks;  /* classifier_depth */
    int num_levels;      /* entries of channel_mult; 0: those that image sizes of 32, 64, 128, 256 and 512 have there */
    double channel_mult[SSDE_MAX_LEVELS]; /* times num_channels, rounded down: a multiple of 32 */
    int num_attention_resolutions;
    size_t attention_resolutions[SSDE_MAX_LEVELS]; /* sizes of the levels that have attention; no level's: none has */
    /* Heads of num_head_channels each, or, where that is 0, num_heads, on the way up num_heads_upsample (0: num_heads);
       0 is their -1. */
    size_t num_heads, num_head_channels, num_heads_upsample;
    int use_new_attention_order; /* rows of qkv: all q, all k, all v; else q, k and v of each head */
    int use_scale_shift_norm, resblock_updown;
    int no_conv_resample; /* conv_resample False */
    int learn_sigma;      /* twice the channels come out: a learned variance */
    int super_res;  /* twice the channels come in: x, and behind it an image to be enlarged, resized bilinearly. Score
                       nets cannot give it that: ssde_run_forward can */
    size_t classes; /* 1000 with class_cond, else 0; of a classifier those that it tells apart */
    double dropout;
    const char *classifier_pool;       /* NULL: a U-Net; a classifier's "attention" or "adaptive" */
    int diffusion_steps;               /* 2 to 2^20 */
    ssde_schedule_kind noise_schedule; /* linear (1e-4 to 0.02, times 1000 / diffusion_steps) or cosine */
    int rescale_timesteps;             /* labels are indices of steps times 1000 / diffusion_steps */
    int predict_xstart;                /* the output is data; else noise */
    uint64_t seed;
    ssde_context *context;
} ssde_openai_desc;
/* guided-diffusion's own: 128 channels, 2 blocks, attention at 16 and 8, 4 heads, scale-shift norms; 1000 linear steps.
   improved-diffusion's differ in rescale_timesteps = 1. */
ssde_openai_desc ssde_openai_defaults(size_t image_size);
/* The flags of a published model by its file's name without ".pt": "64x64_diffusion", "256x256_classifier",
   "cifar10_uncond_50M_500K". An unknown name is an error. */
ssde_status ssde_openai_find(ssde_context *context, const char *name, ssde_openai_desc *desc);
const char *ssde_openai_name(size_t index); /* NULL behind the last */
/* The U-Net, or a classifier's way down and middle, as the general one. */
ssde_status ssde_openai_unet2d(const ssde_openai_desc *desc, ssde_unet2d_desc *shape);
ssde_status ssde_openai_create(ssde_net **net, const ssde_openai_desc *desc);
size_t ssde_openai_memory(const ssde_openai_desc *desc);
/* The levels of a run for ssde_tabulated: timestep_respacing NULL or "": all steps of the process; "ddimN": N steps of
   equal stride; "250" or "10,15,20": so many steps of each of as many equal sections. Labels are the steps of the whole
   process, rescaled where they are. mean, std and label have room for diffusion_steps; *levels, n, is how many there
   are. Their p_sample_loop is the predictor ddim with eta 1, variance learned (without learn_sigma: forward), n - 1
   steps with times from 1 to 0 by 1 / (n - 1), where the last one denoises, and what is denoised clipped to [-1, 1];
   ddim_sample_loop is the same with eta 0. Classifiers steer both through the score here, as in ddim_sample_loop; in
   p_sample_loop they move the mean by the step's variance times their gradient. */
ssde_status ssde_openai_levels(const ssde_openai_desc *desc, const char *timestep_respacing, double *mean, double *std,
                               double *label, int *levels);

/* p_t(class | x): the way down and the middle of the U-Net `body`, a norm, the mean over pixels, and a linear layer to
   `classes` logits. */
typedef struct ssde_classifier_desc {
    ssde_unet_desc body; /* its progressive, init_scale and scale_by_sigma are not read; its classes must be 0 */
    size_t classes;      /* 2 or more */
} ssde_classifier_desc;
ssde_classifier_desc ssde_classifier_of(const ssde_unet_desc *body, size_t classes);
ssde_status ssde_classifier_net_create(ssde_net **net, const ssde_classifier_desc *desc);
size_t ssde_classifier_net_memory(const ssde_classifier_desc *desc);

/* For vectors: x and an embedding of the noise label through residual layers of `hidden` units with SiLU. */
typedef struct ssde_mlp_desc {
    size_t dim;    /* 1 to 2^24 */
    size_t hidden; /* 4 to 65536 */
    int layers;    /* 1 to 1000 */
    ssde_embedding_type embedding_type;
    double fourier_scale;
    int scale_by_sigma; /* for VE's score: x comes in over sqrt(1 + std(t)^2), the result goes out over std(t) */
    uint64_t seed;
    ssde_context *context;
} ssde_mlp_desc;
/* 128 hidden units, 3 layers, positional embedding; a Fourier embedding of scale 1 changes more smoothly with t, and
   the ODE's steps are longer. */
ssde_mlp_desc ssde_mlp(size_t dim);
ssde_status ssde_mlp_create(ssde_net **net, const ssde_mlp_desc *desc);
size_t ssde_mlp_memory(const ssde_mlp_desc *desc);

/* >>score net
   Scaled as the reference's get_score_fn (models/utils.py:129-178), labels in its float arithmetic. VP and sub-VP:
   score = -net(x, 999 t) / std(t). VE: score = net(x, std(t)). Others: as VP.
   Discrete, where labels are indices of the N noise levels of ssde_discrete_marginal:
   VP and sub-VP (which the reference does not train so): score = -net(x, t (N - 1)) / std_i, i = trunc(t (N - 1));
   VE: score = net(x, round((1 - t) (N - 1))), label 0 the highest noise, whose sigma scale_by_sigma divides by.
   Under a tabulated SDE with labels, these, whatever the network.
   Networks with another output, by ssde_output_map at m(t) and std(t), or at the level's: score = -(noise_output
   net(input x, label) + noise_x x) / std. With EDM's output the label is log(std / m) / 4, at most 10 either way, or
   its exponential where the network takes the label's logarithm, as Fourier embeddings do; there are no discrete ones.
   x then comes in with variance 1: U-Nets want centered = 1, and SSDE_NOISE_CHANNEL the Fourier embedding, for 2 label
   / 999 - 1 hardly moves.
   Of a network with twice the channels of x (Nichol and Dhariwal 2021, arXiv 2102.09672) all this is said of the first
   half; the second, v, is a learned variance: the model's variance is f = (v + 1) / 2, under guidance that of the
   class. The model's denoised is E[x(0) | x(t)] = data_output net + data_x x. Where m(t) is 0 only networks that give
   data, velocity, EDM's or the flow's output know it. */

typedef struct ssde_score_net ssde_score_net;
typedef struct ssde_score_net_desc {
    size_t max_rows;              /* 0: 64 */
    int no_derivative;            /* inference memory only; the model has no vjp */
    ssde_convolution convolution; /* as in ssde_run_desc */
    /* Labels are indices, as where ssde_net_discrete says so. Not for Fourier embeddings: 0 has no logarithm. */
    int discrete;
    /* What the output means, where ssde_net_output does not know or is wrong; 0: what it says, or else the reference's.
       Any but score and noise need scale_by_sigma = 0. sigma_data is read for EDM; 0: the network's, or else 0.5. */
    ssde_parameterisation output;
    double sigma_data;
    /* Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598): (1 + guidance) s(x, class) - guidance s(x,
       null class), both from one pass of twice the rows; 0: s(x, class). */
    double guidance;
    ssde_context *context;
} ssde_score_net_desc;
ssde_score_net_desc ssde_score_net_defaults(void);
/* desc may be NULL. The network stays alive; its weights may change between calls. */
ssde_status ssde_score_net_create(ssde_score_net **score_net, const ssde_net *net, const ssde_sde *sde,
                                  const ssde_score_net_desc *desc);
void ssde_score_net_destroy(ssde_score_net *score_net);
/* Bytes that the score net will hold, as ssde_run_memory; classes that it is given are added. */
size_t ssde_score_net_memory(const ssde_net *net, const ssde_sde *sde, const ssde_score_net_desc *desc);
ssde_score_model ssde_score_net_model(ssde_score_net *score_net);
/* Sample first_sample + i has classes[i], copied, each below ssde_net_classes, or -1: the null class. A sample beyond
   them is an error. NULL: the null class for all, as in the beginning. */
ssde_status ssde_score_net_set_classes(ssde_score_net *score_net, const int32_t *classes, size_t count,
                                       uint64_t first_sample);
/* Likewise vectors [count, ssde_net_vector]; a network that takes them has none in the beginning, which is an error. */
ssde_status ssde_score_net_set_vectors(ssde_score_net *score_net, const float *vectors, size_t count,
                                       uint64_t first_sample);
/* What a network is told at t beside x, which goes in times map->input, and what its result means there; map may be
   NULL. net NULL: a network of one's own, with continuous labels and the reference's output. */
ssde_status ssde_score_net_label(ssde_context *context, const ssde_net *net, const ssde_sde *sde, double t,
                                 float *label, float *sigma, ssde_output_map *map);

/* >>classifier
   A network of ssde_classifier_net_create that was trained with ssde_train_desc.classifier, as guidance (eq. 14). */

typedef struct ssde_classifier ssde_classifier;
/* desc may be NULL; no_derivative, output and guidance are not read. */
ssde_status ssde_classifier_create(ssde_classifier **classifier, const ssde_net *net, const ssde_sde *sde,
                                   const ssde_score_net_desc *desc);
void ssde_classifier_destroy(ssde_classifier *classifier);
/* Bytes that the classifier will hold, as ssde_score_net_memory. */
size_t ssde_classifier_memory(const ssde_net *net, const ssde_sde *sde, const ssde_score_net_desc *desc);
/* log p_t(class | x) in nats [rows, classes]; x [rows, dim], t [rows], any number of rows. Logits that are not finite:
   SSDE_ERROR_NUMERIC. */
ssde_status ssde_classifier_log_probability(ssde_classifier *classifier, const float *x, const double *t, size_t rows,
                                            float *log_probability);
/* What samples are to be: as ssde_score_net_set_classes, without the null class. */
ssde_status ssde_classifier_set_classes(ssde_classifier *classifier, const int32_t *classes, size_t count,
                                        uint64_t first_sample);
/* A ssde_guidance_function of those classes; user is the ssde_classifier. sample NULL: row numbers. */
ssde_status ssde_classifier_gradient(void *user, const float *x, const double *t, const uint64_t *sample, size_t rows,
                                     float *gradient);
/* losses[rows] = -log softmax(logits[r])[class_of[r]] in nats of logits [rows, classes], and, unless gradient is NULL,
   gradient[rows, classes] = scale * d losses[r] / d logits[r]; gradient may be logits. */
ssde_status ssde_cross_entropy(ssde_context *context, const float *logits, const int32_t *class_of, size_t rows,
                               size_t classes, double scale, double *losses, float *gradient);

/* >>train */

/* What is minimised. Denoising score matching needs the kernel of x(t) given x(0), which a nonlinear SDE has not; the
   others need x(t) alone, and a derivative of the network's derivative (ssde_loss_implicit, SSDE_RUN_TANGENT), in twice
   the memory. Their losses differ from denoising's by a constant, and in their variance, which is larger where std is
   small. To learn from data as they are, or at one level: loss.times SSDE_TIMES_USER, loss.time giving that t, 0 for
   data as they are, where output must be SSDE_PREDICT_SCORE and the network take label and sigma of t = 0. */
typedef enum ssde_objective {
    SSDE_OBJECTIVE_DENOISING,
    SSDE_OBJECTIVE_IMPLICIT, /* the exact trace (Hyvarinen 2005): dim passes of twice a pass's work a step */
    SSDE_OBJECTIVE_SLICED,   /* `probes` of them, along random signs (Song et al. 2019, arXiv 1905.07088) */
    SSDE_OBJECTIVE_COUNT
} ssde_objective;

typedef struct ssde_train_desc {
    /* loss.output SSDE_PREDICT_DEFAULT: what ssde_net_output says, with its sigma_data, or else the SDE's. Any
       but score and noise need scale_by_sigma = 0. Not read of classifiers. Score and noise where m(1) is 0
       (ssde_rectified_flow) train, but the context's log says what is wrong with them. */
    ssde_loss_desc loss;
    size_t batch; /* most rows of one step */
    double lr, beta1, beta2, weight_decay;
    /* 1e-15 to 1e6. Gradients so small that (1 - beta2) g^2 is no normal float, 3.4e-18 by default, count as 0 in the
       second moment, and a moment below the least normal float is 0. */
    double adam_eps;
    int warmup;        /* steps of linear warm-up; the first step of all has learning rate 0, as the reference */
    double grad_clip;  /* on the global norm; 0, or the reference's negative numbers: off */
    double ema_rate;   /* min(ema_rate, (1 + n) / (10 + n)) is used, models/ema.py:44 */
    int keep_averages; /* two more averages, of which any can be made after training, ssde_trainer_save_averages: 8
                          bytes and about a nanosecond per weight */
    int random_flip;   /* images mirrored left to right with probability 1/2 */
    /* Integer data 0 ... levels-1 is dequantised anew each step and mapped to [low, high]. levels 0: data as it is,
       which should have the SDE's scale: for VP and sub-VP mean 0 and standard deviation 1 or so, images [-1, 1]; for
       VE distances within the data of up to sigma_max. Where p_1 of the first step's data is more than 0.01 bits per
       dimension off the prior, the context's log says so; log-densities and samples will be off by as much. */
    double levels, low, high;
    /* With this probability a row trains the null class instead of its own (SSDE_STREAM_CLASS). */
    double class_dropout;
    int classifier; /* cross-entropy of batch.classes given perturbed x: for ssde_classifier_net_create's networks */
    ssde_objective objective;
    int probes; /* of SSDE_OBJECTIVE_SLICED, 1 to 65536; 0: 1. Under (SSDE_STREAM_PROBE, step, slot), probe k with the
                   seed + k 0x9e3779b97f4a7c15 */
    /* Of a nonlinear SDE every step simulates x(t) from the batch, by so many steps of Euler and Maruyama for each row:
       as many evaluations of the drift, on this thread. 0: 100. Draws of step s under first_draw = s * this. */
    size_t simulation_steps;
    uint64_t seed;
    ssde_convolution convolution; /* as in ssde_run_desc */
    ssde_context *context;
} ssde_train_desc;
/* The reference's: batch 128, Adam (0.9, 0.999, 1e-8), clip 1, mean over dimensions (VE: half the sum), no flips, EMA
   0.9999 (VE: 0.999); and for a training of 200,000 steps or more, as its own of 950,001 and 1,300,001, or 0 for
   unknown, learning rate 2e-4 and warm-up 5000. Fewer steps have a warm-up of a twentieth of them, at most those 5000,
   and a learning rate of 2e-4 sqrt(200,000 / steps), at most 2e-3; both suit the batch of 128. The average needs no
   such rule: by (1 + n) / (10 + n) it spans a tenth of the steps so far, up to 90,000 (VE: 9,000). Nothing ends after
   these steps: a longer training goes on at the same rate, one that is resumed with another number takes that one's. Of
   rectified flow: the velocity by its own squared error. Of a nonlinear SDE: sliced score matching, weighted by g^2. */
ssde_train_desc ssde_train_defaults(const ssde_sde *sde, uint64_t steps);

/* Data for one call; its arrays are read during the call only. */
typedef struct ssde_batch {
    const float *x; /* [rows, dim], NHWC */
    size_t rows;
    uint64_t first_slot; /* of the global batch, where several processes share a step; usually 0 */
    /* [rows], read for networks with classes and for classifiers; -1: the null class */
    const int32_t *classes;
    const float *vectors; /* [rows, ssde_net_vector], for networks that take one */
} ssde_batch;
ssde_batch ssde_batch_of(const float *x, size_t rows); /* all else 0 */

typedef struct ssde_trainer ssde_trainer;
/* The trainer changes net's weights, and ssde_net_discrete and ssde_net_output to its loss's; the net stays alive. */
ssde_status ssde_trainer_create(ssde_trainer **trainer, ssde_net *net, const ssde_sde *sde,
                                const ssde_train_desc *desc);
void ssde_trainer_destroy(ssde_trainer *trainer);
/* Bytes that the trainer will hold beside the network, as ssde_run_memory. */
size_t ssde_trainer_memory(const ssde_net *net, const ssde_train_desc *desc);
/* Perturb, forward, backward, clip, Adam, EMA. loss: the batch's mean (may be NULL). A loss or gradient that is not
   finite leaves weights, moments and step as they were: SSDE_ERROR_NUMERIC. */
ssde_status ssde_train_step(ssde_trainer *trainer, const ssde_batch *batch, double *loss);
/* The loss of given data under the EMA weights, any number of rows, t and noise drawn under (seed, batch.first_slot +
   row): mean and standard error (HUGE_VAL for one row); either may be NULL. Without classes a network that is
   conditioned on them is evaluated for the null class. It needs no memory of its own: it uses the trainer's run. */
ssde_status ssde_trainer_evaluate(ssde_trainer *trainer, const ssde_batch *batch, uint64_t seed, double *loss,
                                  double *standard_error);
uint64_t ssde_trainer_step_count(const ssde_trainer *trainer);
/* From the next step on, before the warm-up's factor; 0 to 1e6. For schedules of one's own. */
ssde_status ssde_trainer_set_lr(ssde_trainer *trainer, double lr);
/* A network with the same topology and the EMA weights, alive as long as the trainer. Every step updates the weights,
   and a score net made of it once draws with those of the last step. Sampling and steps take turns: in one thread, or
   in several that keep each other out; the trainer's context is used by both. */
const ssde_net *ssde_trainer_ema(const ssde_trainer *trainer);
/* Checkpoint: weights, EMA, moments, step, as safetensors "model/NAME", "ema/NAME", "adam_m/NAME", "adam_v/NAME", and
   what desc.keep_averages keeps.
   Loading restores training bit for bit; network, SDE and desc must be the same but for batch, lr, warmup and
   grad_clip. Functions of the user's cannot be compared. */
ssde_status ssde_trainer_save(const ssde_trainer *trainer, const char *path);
ssde_status ssde_trainer_load(ssde_trainer *trainer, const char *path);
/* The EMA weights, as a model file for ssde_net_load; without the SDE where that is made of functions. */
ssde_status ssde_trainer_save_model(const ssde_trainer *trainer, const char *path);

/* An average chosen after training (Karras et al. 2024, arXiv 2312.02696, section 3). At step t it weights step s by
   about (gamma + 1) s^gamma / t^(gamma + 1): its span grows with training. sigma_rel, the standard deviation of s over
   t, is its length: sigma_rel^2 = (gamma + 1) / ((gamma + 2)^2 (gamma + 3)). With desc.keep_averages the trainer keeps
   those of 0.05 and 0.10, in checkpoints too. Here it saves a snapshot of both, safetensors "average_0.05/NAME" and
   "average_0.10/NAME", not before the first step. Equal distances between snapshots are best. */
ssde_status ssde_trainer_save_averages(const ssde_trainer *trainer, const char *path);
/* Sets the weights of net, of the same topology as the trained one, to the average of length sigma_rel, 0.001 to 0.288,
   at the step of the last of `count` snapshots of one training, in any order; checkpoints are as good. They are
   combined by least squares, with weights that add up to 1, so that the profile comes as near to the wanted one as it
   can. residual (may be NULL) is what remains, relative: the L2 norm over s of the difference between both profiles
   over that of the wanted one. With 10 snapshots it is 0.08, 0.009, 0.02 and 0.05 for lengths of 0.03, 0.07, 0.15 and
   0.2; with 50 it is 0.005, 0.0004, 0.001 and 0.003; 0 for the two lengths kept. Takes 12 bytes per weight meanwhile,
   and 32 count^2. A file of another network or training, a step that comes twice, a value that is not finite: an error,
   which leaves net as it was. */
ssde_status ssde_net_reconstruct_average(ssde_net *net, const char *const *paths, size_t count, double sigma_rel,
                                         double *residual);

/* Position i of an endless stream of reshuffled passes over 0 ... count-1: step s of batch size b takes positions s b
   ... s b + b - 1. Random access, so that resuming needs no state. */
uint64_t ssde_shuffled_index(uint64_t seed, uint64_t count, uint64_t position);

/* >>configurations */

/* What the reference trained under a name, its path in configs/ without ".py": "subvp/cifar10_ddpmpp_deep_continuous"
   is the model of 2.99 bits/dim. Network, SDE with its N, and training (learning rate, batch, EMA, flips, mean or half
   sum, continuous or discrete) go to *shape, *sde and *train, of which any may be NULL. Data are floats in [train->low,
   train->high]; the reference did not dequantise them. An unknown name is an error. */
ssde_status ssde_configuration(ssde_context *context, const char *name, ssde_unet_desc *shape, ssde_sde *sde,
                               ssde_train_desc *train);
/* The same of RefineNets, "ve/ncsn/..." and "ve/ncsnv2/...": each function's error names the other where it has the
   name. The reference drew from them by `steps` = N levels without a predictor, corrector_steps of Langevin with snr:
   100 with 0.316 where N is 10, else 5 with 0.176 (cifar10) or 0.128 (celeba), 3 with 0.095 (bedroom). Their papers'
   own sampler is SSDE_PREDICTOR_SMLD: see ssde_langevin_step_size. */
ssde_status ssde_refinenet_configuration(ssde_context *context, const char *name, ssde_refinenet_desc *shape,
                                         ssde_sde *sde, ssde_train_desc *train);
/* All of them, U-Nets first; NULL behind the last. */
const char *ssde_configuration_name(size_t index);

/* >>models */

/* Writes every parameter under the reference's name and order of axes as F32, and the network's description (and the
   SDE's, unless NULL) in __metadata__, so that the file alone rebuilds the network, and what its labels and its output
   mean where somebody has said. Only networks of the constructors of >>networks and of ssde_net_load_diffusers have a
   description; the others have ssde_net_get and ssde_net_set.
   Models and checkpoints carry CRC-32s in __metadata__ ("scoresde.crc32" and "scoresde.crc32:NAME"), so that any
   flipped bit is an error when they are loaded; a program that changes a tensor removes these keys. */
ssde_status ssde_net_save(const ssde_net *net, const ssde_sde *sde, const char *path);
/* Rebuilds the network; fills *sde (may be NULL) or fails if the file has none; a table's levels are bit for bit those
   that were saved, belong to the network and stay until it is destroyed. A tensor missing, superfluous or of
   another shape is an error that names it. A file of torch.save has the description as a string "config". */
ssde_status ssde_net_load(ssde_context *context, ssde_net **net, ssde_sde *sde, const char *path);
/* Loads weights into a network built already, which an error leaves as it was. The file is any that
   ssde_tensor_file_open opens and has one set of them: the parameters' names, of any floating type, under one prefix,
   which may be any keys and what wrappers add ("state_dict.", "model.module.", "_orig_mod.", or nothing). A tensor
   missing under the prefix, superfluous there (but for the reference's buffer "sigmas", which of a RefineNet must be
   its levels) or of another shape is an error that names it; several sets are an error that lists their prefixes. */
ssde_status ssde_net_load_weights(ssde_net *net, const char *path);

/* The same where the file may have several sets: the averaged one or the model's. A set is averaged if a key of its
   prefix has the word ema, averaged, shadow or swa ("ema.", "params_ema.", "model_ema.module.") and none online, else
   the model's; the only set of a file without the word ema is taken for either. What an average lacks because it is
   frozen is the model's. Also averaged is the list "shadow_params" of the reference's own checkpoint_N.pth
   (utils.py:22-29), which has no names (models/ema.py:24): the trainable parameters in the order that the model's state
   in the same file has; and the last of a list [model, optimizer, epoch, step, average], as NCSNv2's own repository
   saves it. None of the kind, or several, is an error that lists them. */
typedef enum ssde_pth_weights { SSDE_PTH_EMA, SSDE_PTH_MODEL } ssde_pth_weights;
ssde_status ssde_net_load_pth(ssde_net *net, const char *path, ssde_pth_weights weights);

/* diffusers' UNet2DModel: a config.json of any age, and weights as safetensors or .bin under its present or its older
   names. The network is that of ssde_unet2d_create and returns what UNet2DModel.forward returns for the same sample,
   timestep and class labels: the label is the timestep. With a Fourier embedding that is VE's sigma, else an index of
   noise levels, as ssde_net_discrete says (of ssde_vp(0.1, 20) for google/ddpm-*). A key that is missing means what it
   does there; one of the configuration that cannot be honoured, or a tensor without a counterpart here, is an error
   that names it. */
ssde_status ssde_net_load_diffusers(ssde_context *context, ssde_net **net, const char *config_path,
                                    const char *weights_path);
/* The same in two steps, for what differs from the configuration, as another size of image. Where that has no
   sample_size, height and width are 0. */
ssde_status ssde_unet2d_config(ssde_context *context, ssde_unet2d_desc *desc, const char *config_path);
ssde_status ssde_unet2d_load(ssde_net **net, const ssde_unet2d_desc *desc, const char *weights_path);
/* The other way: a folder that is there gets config.json and diffusion_pytorch_model.safetensors, as
   UNet2DModel.from_pretrained reads them, and, of an SDE that is not NULL, scheduler_config.json. All of them, written
   aside and flushed, take their names at the end: after a failure none is there, but where renaming itself fails.
   For networks of ssde_unet2d_create and ssde_net_load_diffusers, whose tensors come back bit for bit, and those of
   ssde_unet_create that are one of google/ddpm-* (ssde_ddpm; attn_every_block where a level has attention) or
   google/ncsnpp-*; else the error names what UNet2DModel has no key for.
   The scheduler: of VE and a network with Fourier embedding that gives the score, ScoreSdeVeScheduler; of VP and of a
   table with m^2 + std^2 = 1 whose labels are its indices, DDPMScheduler, with clip_sample false, and
   trained_betas where labels are not the indices of VP's N steps; noise, data and velocity are its prediction_type. */
ssde_status ssde_net_save_diffusers(const ssde_net *net, const ssde_sde *sde, const char *folder);

/* Builds the network of desc and loads its weights from a state dict of OpenAI's, a .pt as published or as their
   training writes it, under their names: qkv is split into to_q, to_k and to_v by the order of rows that desc says. A
   tensor missing, superfluous or of another shape is an error that names it. ssde_net_output says noise, or data. */
ssde_status ssde_net_load_openai(ssde_net **net, const ssde_openai_desc *desc, const char *path);

#ifdef __cplusplus
}
#endif
#endif /* SCORESDE_NN_H */

/* >>implementation */
#if (defined(SCORESDE_IMPLEMENTATION) || defined(SCORESDE_NN_IMPLEMENTATION)) && !defined(SCORESDE_NN_IMPLEMENTED)
#define SCORESDE_NN_IMPLEMENTED
#define SSDEI_MACROS 1
#include "scoresde.h"

#ifdef __cplusplus
extern "C" {
#endif
SSDEI_BEGIN

/* ---- >>net: structures ---- */

/* How a parameter lies in memory, where products want [taps * in, out], and on file, in the reference's order. */
typedef enum ssdei_layout {
    SSDEI_LAYOUT_PLAIN,  /* the same */
    SSDEI_LAYOUT_LINEAR, /* file [out, in], memory [in, out]; convolutions [out, in, h, w], memory [h, w, in, out] */
    SSDEI_LAYOUT_NIN     /* file [in, out], the same in memory */
} ssdei_layout;

typedef enum ssdei_initialisation {
    SSDEI_INITIALISE_ZERO,
    SSDEI_INITIALISE_ONE,
    SSDEI_INITIALISE_FAN_AVERAGE, /* uniform, variance = scale / ((fan in + fan out) / 2); layers.py:54-91 */
    SSDEI_INITIALISE_NORMAL,      /* standard deviation scale */
    SSDEI_INITIALISE_NEAR_ONE     /* 1 and such a normal; of a table's rows the last third 0 */
} ssdei_initialisation;

/* What the builder of a U-Net notes of each of its modules. Names that other programs gave the same parameters are made
   from it. */
typedef enum ssdei_module_kind {
    SSDEI_MODULE_NONE, /* of another network */
    SSDEI_MODULE_FREQUENCIES,
    SSDEI_MODULE_EMBEDDING_FIRST, /* the dense layers of the label's embedding */
    SSDEI_MODULE_EMBEDDING_SECOND,
    SSDEI_MODULE_CLASSES,
    SSDEI_MODULE_INPUT, /* the first convolution */
    SSDEI_MODULE_BLOCK,
    SSDEI_MODULE_ATTENTION,
    SSDEI_MODULE_RESAMPLE,       /* to the next level by a convolution */
    SSDEI_MODULE_RESAMPLE_BLOCK, /* or by a block */
    SSDEI_MODULE_PYRAMID_NORM,   /* of the output's */
    SSDEI_MODULE_PYRAMID,        /* the convolution of the input's or the output's */
    SSDEI_MODULE_OUTPUT_NORM,
    SSDEI_MODULE_OUTPUT
} ssdei_module_kind;
typedef enum ssdei_way { SSDEI_WAY_DOWN, SSDEI_WAY_MIDDLE, SSDEI_WAY_UP } ssdei_way;
typedef struct ssdei_module {
    ssdei_module_kind kind;
    ssdei_way way; /* input and embedding are on the way down, the output on the way up */
    int level;     /* 0 has the input's size */
    int number;    /* among those of its kind on this way and level */
} ssdei_module;

typedef struct ssdei_parameter {
    ssde_parameter info;
    ssdei_module module;
    ssdei_layout layout;
    size_t offset; /* floats from the start of the weights */
    ssdei_initialisation initialisation;
    double scale; /* of the initial values */
} ssdei_parameter;

/* One row of a sparse matrix along one axis: output o = sum of weight[i] * input[first + i]. */
typedef struct ssdei_taps {
    int first, count;
    float weight[SSDE_MAX_FIR_TAPS];
} ssdei_taps;

typedef struct ssdei_node {
    int operation;   /* ssdei_operation */
    int input[3];    /* nodes; -1: none */
    int parameter;   /* the first of this node's parameters; -1: none */
    size_t shape[3]; /* height, width, channels */
    size_t count;    /* floats per sample */
    /* attributes; which ones count depends on the operation */
    int kernel, stride, pad_before, dilation, no_bias;
    int activation;
    int row_scale;
    int cosine_first;
    int kind; /* of a norm */
    size_t groups;
    double scale, shift, eps;
    double drop;                  /* the probability that a value is dropped; 0: none is */
    int ordinal;                  /* of this dropout among the network's */
    size_t taps[2], taps_back[2]; /* resampling: offsets of its rows in net->taps, down and across, and transposed */
} ssdei_node;

/* Noise levels of a network whose labels are their indices, geometric from sigma_max down to sigma_min. */
typedef struct ssdei_levels {
    int count; /* 0: of another network */
    double sigma_min, sigma_max;
} ssdei_levels;

/* What a network's labels and its output mean. */
typedef struct ssdei_meaning {
    ssde_parameterisation output; /* SSDE_PREDICT_DEFAULT: nobody has said */
    double sigma_data;            /* of SSDE_PREDICT_EDM; 0 likewise */
    int discrete;                 /* labels are indices of noise levels */
    int logarithm;                /* the network takes its label's logarithm; ssdei_net_meaning notes it */
    ssdei_levels levels;          /* the network's; noted likewise */
    size_t beside;                /* of the input's channels, the last, which are not x */
} ssdei_meaning;

/* Levels of a tabulated SDE that came with a network from a file. */
typedef struct ssdei_table {
    size_t count;
    double *mean, *std, *label;
} ssdei_table;

struct ssde_net {
    ssde_context *context;
    uint64_t seed;
    ssde_status status; /* of building */
    char problem[256];  /* its text, if it failed */
    int finished;
    /* Nodes, parameters, taps and description grow one by one until they are settled: in `block`, with the weights, or,
       where that is NULL, in that of the network with which they are shared. */
    int settled;
    void *block;
    ssdei_node *nodes;
    int node_count;
    size_t node_capacity;
    ssdei_module module; /* of the parameters that are added next */
    ssdei_parameter *parameters;
    size_t parameter_count, parameter_capacity;
    ssdei_taps *taps;
    size_t taps_count, taps_capacity;
    float *weights; /* from ssde_net_finish on */
    size_t weight_count;
    int input, label, sigma, class_number, vector, output;
    size_t classes;    /* of the embedding */
    int no_null_class; /* -1 is no class */
    size_t label_rows; /* labels are whole numbers below it, if it is not 0 */
    ssdei_meaning means;
    ssdei_levels levels; /* that it is made for */
    int dropouts;
    char *description; /* JSON, as it stands in a model file; NULL for hand-built networks, which cannot be saved */
    size_t description_size; /* with its end */
    ssdei_table *table;      /* NULL: none */
};

static size_t ssdei_max(size_t a, size_t b) { return a > b ? a : b; }
static int ssdei_in_range(double value, double low, double high) { return value >= low && value <= high; }

/* What two objects take together; 0 where one of them cannot be had. */
static size_t ssdei_both_bytes(size_t a, size_t b) { return !a || !b || a >= SIZE_MAX - b ? 0 : a + b; }

/* ---- net: parameters ---- */

SSDEI_ONCE_BEGIN

/* Keeps a builder's status, and its text if it failed: ssde_net_finish returns both. -1, the node after a failure. */
static ssde_node ssdei_net_keep(ssde_net *net, ssde_status status) {
    if (status != SSDE_OK && net->context) memcpy(net->problem, net->context->error, sizeof net->problem);
    net->status = status;
    return -1;
}

/* ssdei_grow for an array of the network, whose status says if it fails. */
static void *ssdei_net_grow(ssde_net *net, void *array, size_t *capacity, size_t used, size_t more, size_t size) {
    ssdei_net_keep(net, ssdei_grow(net->context, &array, capacity, used, more, size));
    return array;
}

SSDEI_ONCE_END

/* A parameter's shape: vectors [out]; linear [out, in]; convolutions [out, in, kernel, kernel]; NIN [in, out]. */
static void ssdei_parameter_shape(ssde_parameter *info, ssdei_layout layout, size_t in, size_t out, int kernel) {
    size_t i;
    info->rank = !in ? 1 : kernel ? 4 : 2;
    info->shape[0] = layout == SSDEI_LAYOUT_NIN ? in : out;
    info->shape[1] = layout == SSDEI_LAYOUT_NIN ? out : in;
    info->shape[2] = info->shape[3] = (size_t)kernel;
    info->count = 1;
    for (i = 0; i < (size_t)info->rank; i++) info->count = ssdei_multiply(info->count, info->shape[i]);
}

/* How much of a file's order is turned at a time: it stays in the first caches, and memory is touched once. */
enum { SSDEI_BLOCK_ROWS = 256, SSDEI_BLOCK_COLUMNS = 32 };

/* Where a column of the file's order [out, in * taps] begins in memory's [taps, in, out]. */
static size_t ssdei_parameter_place(const ssde_parameter *info, size_t taps, size_t column) {
    return (column % taps * info->shape[1] + column / taps) * info->shape[0];
}

/* Rows first ... first + rows - 1 of the file's order, at most SSDEI_BLOCK_ROWS, to memory's; whether all are finite.
 */
static int ssdei_parameter_rows_from_file(const ssdei_kernels *kernels, const ssde_parameter *info, size_t first,
                                          size_t rows, const float *file, float *memory) {
    const size_t columns = info->count / info->shape[0], taps = columns / info->shape[1];
    float block[SSDEI_BLOCK_ROWS * SSDEI_BLOCK_COLUMNS];
    size_t column, count, i;
    int finite = 1;
    for (column = 0; column < columns; column += count) {
        count = columns - column < SSDEI_BLOCK_COLUMNS ? columns - column : (size_t)SSDEI_BLOCK_COLUMNS;
        kernels->transpose(file + column, columns, rows, count, block, rows);
        finite &= ssdei_first_nonfinite(block, count * rows) == count * rows;
        for (i = 0; i < count; i++)
            memcpy(memory + ssdei_parameter_place(info, taps, column + i) + first, block + i * rows,
                   rows * sizeof *block);
    }
    return finite;
}

static void ssdei_parameter_rows_to_file(const ssdei_kernels *kernels, const ssde_parameter *info, size_t first,
                                         size_t rows, const float *memory, float *file) {
    const size_t columns = info->count / info->shape[0], taps = columns / info->shape[1];
    float block[SSDEI_BLOCK_ROWS * SSDEI_BLOCK_COLUMNS];
    size_t column, count, i;
    for (column = 0; column < columns; column += count) {
        count = columns - column < SSDEI_BLOCK_COLUMNS ? columns - column : (size_t)SSDEI_BLOCK_COLUMNS;
        for (i = 0; i < count; i++)
            memcpy(block + i * rows, memory + ssdei_parameter_place(info, taps, column + i) + first,
                   rows * sizeof *block);
        kernels->transpose(block, rows, count, rows, file + column, columns);
    }
}

static size_t ssdei_parameter_rows(const ssde_parameter *info, size_t first) {
    return info->shape[0] - first < SSDEI_BLOCK_ROWS ? info->shape[0] - first : (size_t)SSDEI_BLOCK_ROWS;
}

/* All of a parameter, between memory and file order; see ssdei_layout. */
static void ssdei_parameter_from_file(const ssdei_kernels *kernels, const ssdei_parameter *parameter, const float *file,
                                      float *memory) {
    const ssde_parameter *info = &parameter->info;
    size_t first, rows;
    if (parameter->layout != SSDEI_LAYOUT_LINEAR) {
        memcpy(memory, file, info->count * sizeof *memory);
        return;
    }
    for (first = 0; first < info->shape[0]; first += rows) {
        rows = ssdei_parameter_rows(info, first);
        ssdei_parameter_rows_from_file(kernels, info, first, rows, file + first * (info->count / info->shape[0]),
                                       memory);
    }
}

static void ssdei_parameter_to_file(const ssdei_kernels *kernels, const ssdei_parameter *parameter, const float *memory,
                                    float *file) {
    const ssde_parameter *info = &parameter->info;
    size_t first, rows;
    if (parameter->layout != SSDEI_LAYOUT_LINEAR) {
        memcpy(file, memory, info->count * sizeof *file);
        return;
    }
    for (first = 0; first < info->shape[0]; first += rows) {
        rows = ssdei_parameter_rows(info, first);
        ssdei_parameter_rows_to_file(kernels, info, first, rows, memory, file + first * (info->count / info->shape[0]));
    }
}

/* Draws the initial values in file order, so that a network starts the same whatever its memory layout. */
static ssde_status ssdei_parameter_initialise(const ssde_net *net, size_t index, float *file) {
    const ssdei_parameter *parameter = &net->parameters[index];
    const ssde_parameter *info = &parameter->info;
    uint64_t address = index;
    size_t i;
    if (parameter->initialisation == SSDEI_INITIALISE_NORMAL) {
        ssdei_try(
            ssde_random_normal(net->context, net->seed, SSDE_STREAM_PARAMETERS, 0, &address, 1, info->count, file));
        for (i = 0; i < info->count; i++) file[i] = (float)(parameter->scale * (double)file[i]);
    } else if (parameter->initialisation == SSDEI_INITIALISE_FAN_AVERAGE) {
        size_t taps = info->rank == 4 ? info->shape[2] * info->shape[3] : 1;
        double fan_average = 0.5 * (double)(info->shape[0] + info->shape[1]) * (double)taps;
        double limit = sqrt(3.0 * (parameter->scale > 0.0 ? parameter->scale : 1e-10) / fan_average);
        ssdei_try(
            ssde_random_uniform(net->context, net->seed, SSDE_STREAM_PARAMETERS, 0, &address, 1, info->count, file));
        for (i = 0; i < info->count; i++) file[i] = (float)((2.0 * (double)file[i] - 1.0) * limit);
    } else if (parameter->initialisation == SSDEI_INITIALISE_NEAR_ONE) {
        size_t row = info->shape[info->rank - 1], end = info->rank == 2 ? row / 3 * 2 : row;
        ssdei_try(
            ssde_random_normal(net->context, net->seed, SSDE_STREAM_PARAMETERS, 0, &address, 1, info->count, file));
        for (i = 0; i < info->count; i++)
            file[i] = i % row < end ? (float)(1.0 + parameter->scale * (double)file[i]) : 0.0f;
    } else {
        for (i = 0; i < info->count; i++) file[i] = parameter->initialisation == SSDEI_INITIALISE_ONE ? 1.0f : 0.0f;
    }
    ssdei_parameter_from_file(ssdei_kernels_for(net->context), parameter, file, net->weights + parameter->offset);
    return SSDE_OK;
}

SSDEI_ONCE_BEGIN

static void ssdei_net_arrays(void *object, ssdei_memory *memory) {
    ssde_net *net = (ssde_net *)object;
    net->nodes = ssdei_place(memory, ssdei_node, (size_t)net->node_count);
    net->parameters = ssdei_place(memory, ssdei_parameter, net->parameter_count);
    net->taps = ssdei_place(memory, ssdei_taps, net->taps_count);
    net->description = net->description_size ? ssdei_place(memory, char, net->description_size) : NULL;
    net->weights = ssdei_place(memory, float, net->weight_count);
}

static void ssdei_net_shared_arrays(void *object, ssdei_memory *memory) {
    ssde_net *net = (ssde_net *)object;
    net->weights = ssdei_place(memory, float, net->weight_count);
}

static void ssdei_net_release_grown(ssde_net *net) {
    ssdei_release(net->context, net->nodes);
    ssdei_release(net->context, net->parameters);
    ssdei_release(net->context, net->taps);
    ssdei_release(net->context, net->description);
}

/* Moves what has grown into one block with the weights, whose number is known. */
static ssde_status ssdei_net_settle(ssde_net *net) {
    ssde_net grown = *net;
    net->block = ssdei_object_create(net->context, net, 0, ssdei_net_arrays);
    if (!net->block) {
        *net = grown;
        return SSDE_ERROR_MEMORY;
    }
    net->settled = 1;
    memcpy(net->nodes, grown.nodes, (size_t)net->node_count * sizeof *net->nodes);
    if (net->parameter_count) memcpy(net->parameters, grown.parameters, net->parameter_count * sizeof *net->parameters);
    if (net->taps_count) memcpy(net->taps, grown.taps, net->taps_count * sizeof *net->taps);
    if (net->description) memcpy(net->description, grown.description, net->description_size);
    ssdei_net_release_grown(&grown);
    return SSDE_OK;
}

/* Floats of the largest parameter; 1 without parameters. */
static size_t ssdei_net_largest(const ssde_net *net) {
    size_t i, most = 1;
    for (i = 0; i < net->parameter_count; i++) most = ssdei_max(most, net->parameters[i].info.count);
    return most;
}

/* Room for it in file order. */
static float *ssdei_parameter_scratch(ssde_context *context, const ssde_net *net) {
    return (float *)ssdei_allocate(context, ssdei_net_largest(net), sizeof(float));
}

/* Draws the weights' initial values. */
static ssde_status ssdei_net_initialise(ssde_net *net) {
    float *file = ssdei_parameter_scratch(net->context, net);
    ssde_status status = file ? SSDE_OK : SSDE_ERROR_MEMORY;
    size_t i;
    for (i = 0; i < net->parameter_count && status == SSDE_OK; i++) status = ssdei_parameter_initialise(net, i, file);
    ssdei_release(net->context, file);
    return status;
}

/* Adds prefix.suffix and how its values begin; the index of the parameter, or -1. in = 0: a vector. */
static int ssdei_net_add_parameter(ssde_net *net, const char *prefix, const char *suffix, ssdei_layout layout,
                                   size_t in, size_t out, int kernel, ssdei_initialisation how, double scale) {
    ssdei_parameter *parameter;
    size_t i;
    if (net->status != SSDE_OK) return -1;
    net->parameters = (ssdei_parameter *)ssdei_net_grow(net, net->parameters, &net->parameter_capacity,
                                                        net->parameter_count, 1, sizeof *net->parameters);
    if (net->status != SSDE_OK) return -1;
    parameter = &net->parameters[net->parameter_count];
    memset(parameter, 0, sizeof *parameter);
    if (!prefix || strlen(prefix) + strlen(suffix) + 2 > sizeof parameter->info.name)
        return ssdei_net_keep(
            net, ssde_fail(net->context, SSDE_ERROR_ARGUMENT, "parameter name '%.60s' is missing or too long",
                           prefix ? prefix : "NULL"));
    memcpy(parameter->info.name, prefix, strlen(prefix));
    parameter->info.name[strlen(prefix)] = '.';
    memcpy(parameter->info.name + strlen(prefix) + 1, suffix, strlen(suffix));
    for (i = 0; i < net->parameter_count; i++)
        if (!strcmp(net->parameters[i].info.name, parameter->info.name))
            return ssdei_net_keep(net, ssde_fail(net->context, SSDE_ERROR_ARGUMENT, "there is a parameter '%s' already",
                                                 parameter->info.name));
    ssdei_parameter_shape(&parameter->info, layout, in, out, kernel);
    parameter->info.trainable = how != SSDEI_INITIALISE_NORMAL;
    parameter->module = net->module;
    parameter->layout = layout;
    parameter->initialisation = how;
    parameter->scale = scale;
    parameter->offset = net->weight_count;
    if (!(scale >= 0.0 && scale <= 1e12))
        return ssdei_net_keep(net, ssde_fail(net->context, SSDE_ERROR_ARGUMENT,
                                             "%s: the scale of its initial values is %.9g, wanted 0 to 1e12",
                                             parameter->info.name, scale));
    if (parameter->info.count > SIZE_MAX / 64 - net->weight_count)
        return ssdei_net_keep(net, ssde_fail(net->context, SSDE_ERROR_MEMORY, "%s: more weights than memory can hold",
                                             parameter->info.name));
    net->weight_count += parameter->info.count;
    return (int)net->parameter_count++;
}

/* Moves `count` parameters from `first` on behind all others so far: a network that runs in another order than the
   reference declares its modules in has its parameters in that order all the same. */
static void ssdei_net_move_last(ssde_net *net, size_t first, size_t count) {
    size_t behind = net->parameter_count - first - count, end = net->parameter_count, i, k;
    if (net->status != SSDE_OK) return;
    for (i = 0; i < count; i++) {
        ssdei_parameter moved = net->parameters[first];
        memmove(net->parameters + first, net->parameters + first + 1, (end - first - 1) * sizeof moved);
        net->parameters[end - 1] = moved;
    }
    for (i = 0; i < (size_t)net->node_count; i++) {
        int *parameter = &net->nodes[i].parameter;
        if (*parameter >= (int)(first + count))
            *parameter -= (int)count;
        else if (*parameter >= (int)first)
            *parameter += (int)behind;
    }
    for (k = first ? net->parameters[first - 1].offset + net->parameters[first - 1].info.count : 0, i = first; i < end;
         i++) {
        net->parameters[i].offset = k;
        k += net->parameters[i].info.count;
    }
}

/* ---- net: nodes ---- */

#define SSDEI_OPERATIONS(X)                                                                             \
    X(input, nothing, nothing, nothing, linear)                                                         \
    X(conv, conv_plan, conv_forward, conv_backward, linear)                                             \
    X(activate, activate_plan, activate_forward, activate_backward, activate)                           \
    X(group_norm, group_norm_plan, group_norm_forward, group_norm_backward, group_norm)                 \
    X(attention, attention_plan, attention_forward, attention_backward, attention)                      \
    X(add, add_plan, add_forward, add_backward, linear)                                                 \
    X(concat, concat_plan, concat_forward, concat_backward, linear)                                     \
    X(affine, affine_plan, affine_forward, affine_backward, linear)                                     \
    X(dropout, dropout_plan, dropout_forward, dropout_backward, linear)                                 \
    X(resample, nothing, resample_forward, resample_backward, linear)                                   \
    X(positional, nothing, positional_forward, nothing, linear)                                         \
    X(fourier, nothing, fourier_forward, nothing, linear)                                               \
    X(scale_rows, scale_rows_plan, scale_rows_forward, scale_rows_backward, linear)                     \
    X(modulate, modulate_plan, modulate_forward, modulate_backward, modulate)                           \
    X(mean_pixels, mean_pixels_plan, mean_pixels_forward, mean_pixels_backward, linear)                 \
    X(class_embedding, class_embedding_plan, class_embedding_forward, class_embedding_backward, linear) \
    X(instance_norm, instance_norm_plan, instance_norm_forward, instance_norm_backward, instance_norm)  \
    X(max_pool, max_pool_plan, max_pool_forward, max_pool_backward, max_pool)                           \
    X(mean_pool, mean_pool_plan, mean_pool_forward, mean_pool_backward, linear)                         \
    X(resize, resize_plan, resize_forward, resize_backward, linear)                                     \
    X(tokens, tokens_plan, tokens_forward, tokens_backward, linear)
#define SSDEI_OPERATION_NAME(name, plan, forward, backward, tangent) SSDEI_OPERATION_##name,
typedef enum ssdei_operation { SSDEI_OPERATIONS(SSDEI_OPERATION_NAME) SSDEI_OPERATION_COUNT } ssdei_operation;
#undef SSDEI_OPERATION_NAME

/* By printf's rules; the first failure of a network is kept. */
static ssde_node ssdei_net_fail(ssde_net *net, const char *format, ...) {
    char text[256];
    va_list arguments;
    if (net->status != SSDE_OK) return -1;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return ssdei_net_keep(net, ssde_fail(net->context, SSDE_ERROR_SHAPE, "%s", text));
}

static int ssdei_is_node(const ssde_net *net, ssde_node node) { return node >= 0 && node < net->node_count; }

/* Appends a node; a, b and c are its inputs, -1 where there are fewer. NULL after a failure. */
static ssdei_node *ssdei_net_add_node(ssde_net *net, ssdei_operation operation, ssde_node a, ssde_node b, ssde_node c,
                                      size_t height, size_t width, size_t channels) {
    ssdei_node *node;
    if (!net || net->status != SSDE_OK) return NULL;
    if (net->finished) return ssdei_net_fail(net, "the network is finished"), (ssdei_node *)NULL;
    if (a >= net->node_count || b >= net->node_count || c >= net->node_count || a < -1 || b < -1 || c < -1)
        return ssdei_net_fail(net, "one of an operation's inputs %d, %d, %d is not a node of this network", a, b, c),
               (ssdei_node *)NULL;
    if (!height || !width || !channels || ssdei_multiply(ssdei_multiply(height, width), channels) > SIZE_MAX / 64)
        return ssdei_net_fail(net,
                              "an operation's result is %.0f x %.0f x %.0f, wanted 1 or more, and less than memory",
                              (double)height, (double)width, (double)channels),
               (ssdei_node *)NULL;
    net->nodes = (ssdei_node *)ssdei_net_grow(net, net->nodes, &net->node_capacity, (size_t)net->node_count, 1,
                                              sizeof *net->nodes);
    if (net->status != SSDE_OK) return NULL;
    node = &net->nodes[net->node_count++];
    memset(node, 0, sizeof *node);
    node->operation = (int)operation;
    node->input[0] = a;
    node->input[1] = b;
    node->input[2] = c;
    node->parameter = -1;
    node->shape[0] = height;
    node->shape[1] = width;
    node->shape[2] = channels;
    node->count = height * width * channels;
    node->scale = 1.0;
    return node;
}

static ssde_node ssdei_last(const ssde_net *net, const ssdei_node *node) { return node ? net->node_count - 1 : -1; }

/* The node's shape, or NULL with the failure noted; the pointer is good until the next node is added. */
static const ssdei_node *ssdei_look(ssde_net *net, ssde_node node) {
    if (!net || net->status != SSDE_OK) return NULL;
    if (net->finished) return ssdei_net_fail(net, "the network is finished"), (const ssdei_node *)NULL;
    if (!ssdei_is_node(net, node))
        return ssdei_net_fail(net, "an operation's input %d is not a node of this network", node),
               (const ssdei_node *)NULL;
    return &net->nodes[node];
}

ssde_status ssde_net_create(ssde_context *context, ssde_net **net, uint64_t seed) {
    ssde_net made;
    if (!net) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "net is NULL");
    *net = NULL;
    ssdei_try(ssdei_check_arithmetic(context));
    memset(&made, 0, sizeof made);
    made.context = context;
    made.seed = seed;
    made.input = made.label = made.sigma = made.class_number = made.vector = made.output = -1;
    *net = (ssde_net *)ssdei_object_create(context, &made, sizeof made, NULL);
    return *net ? SSDE_OK : SSDE_ERROR_MEMORY;
}

static void ssdei_table_arrays(void *object, ssdei_memory *memory) {
    ssdei_table *table = (ssdei_table *)object;
    table->mean = ssdei_place(memory, double, table->count);
    table->std = ssdei_place(memory, double, table->count);
    table->label = ssdei_place(memory, double, table->count);
}

void ssde_net_destroy(ssde_net *net) {
    if (!net) return;
    ssdei_release(net->context, net->table);
    if (!net->settled) ssdei_net_release_grown(net);
    ssdei_release(net->context, net->block);
    ssdei_release(net->context, net);
}

static size_t ssdei_net_share_bytes(const ssde_net *net) {
    ssde_net copy = *net;
    return ssdei_object_bytes(&copy, sizeof copy, ssdei_net_shared_arrays);
}

size_t ssde_net_memory(const ssde_net *net) {
    ssde_net copy;
    ssdei_table table;
    size_t bytes;
    if (!net || net->status != SSDE_OK) return 0;
    if (net->settled && !net->block) return ssdei_net_share_bytes(net);
    copy = *net;
    bytes =
        ssdei_both_bytes(ssdei_object_bytes(&copy, sizeof copy, NULL), ssdei_object_bytes(&copy, 0, ssdei_net_arrays));
    if (!net->table) return bytes;
    table = *net->table;
    return ssdei_both_bytes(bytes, ssdei_object_bytes(&table, sizeof table, ssdei_table_arrays));
}

/* Without `draw` the weights are 0: they come from a file. */
static ssde_status ssdei_net_end(ssde_net *net, ssde_node output, int draw) {
    if (net->status != SSDE_OK) return ssde_fail(net->context, net->status, "%s", net->problem);
    if (net->finished) return ssde_fail(net->context, SSDE_ERROR_ARGUMENT, "the network is finished already");
    if (net->input < 0)
        ssdei_net_fail(net, "the network has no input: ssde_input");
    else if (!ssdei_is_node(net, output))
        ssdei_net_fail(net, "output is not a node of this network");
    else if (net->class_number >= 0 && !net->classes)
        ssdei_net_fail(net,
                       "ssde_input_class needs a ssde_class_embedding, or another, which says how many classes "
                       "there are");
    if (net->status == SSDE_OK) ssdei_net_keep(net, ssdei_net_settle(net));
    if (net->status == SSDE_OK && draw) ssdei_net_keep(net, ssdei_net_initialise(net));
    if (net->status != SSDE_OK) return net->status;
    net->output = output;
    net->finished = 1;
    return SSDE_OK;
}

ssde_status ssde_net_finish(ssde_net *net, ssde_node output) {
    return net ? ssdei_net_end(net, output, 1) : SSDE_ERROR_ARGUMENT;
}

/* A network that shares net's topology and has weights of its own, equal to net's now. */
static ssde_status ssdei_net_share(ssde_context *context, const ssde_net *net, ssde_net **shared) {
    ssde_net copy = *net;
    copy.context = context;
    copy.block = NULL;
    copy.table = NULL;
    *shared = (ssde_net *)ssdei_object_create(context, &copy, sizeof copy, ssdei_net_shared_arrays);
    if (!*shared) return SSDE_ERROR_MEMORY;
    memcpy((*shared)->weights, net->weights, net->weight_count * sizeof *net->weights);
    return SSDE_OK;
}

size_t ssde_net_parameter_count(const ssde_net *net) { return net ? net->parameter_count : 0; }
size_t ssde_net_weight_count(const ssde_net *net) { return net ? net->weight_count : 0; }
size_t ssde_net_dim(const ssde_net *net) { return net && net->input >= 0 ? net->nodes[net->input].count : 0; }
size_t ssde_net_output_dim(const ssde_net *net) { return net && net->output >= 0 ? net->nodes[net->output].count : 0; }
size_t ssde_net_classes(const ssde_net *net) { return net ? net->classes : 0; }
int ssde_net_null_class(const ssde_net *net) { return net && net->classes && !net->no_null_class; }
size_t ssde_net_vector(const ssde_net *net) { return net && net->vector >= 0 ? net->nodes[net->vector].count : 0; }
int ssde_net_discrete(const ssde_net *net) { return net && net->means.discrete; }

ssde_parameterisation ssde_net_output(const ssde_net *net, double *sigma_data) {
    ssde_parameterisation output = net ? net->means.output : SSDE_PREDICT_DEFAULT;
    if (sigma_data) *sigma_data = output == SSDE_PREDICT_EDM ? net->means.sigma_data : 0.0;
    return output;
}

/* The output has the input's shape, or, which `learned` says, twice its channels. */
static ssde_status ssdei_net_check_score(ssde_context *context, const ssde_net *net, int *learned) {
    const size_t *in = net->nodes[net->input].shape, *out = net->nodes[net->output].shape;
    if (net->means.beside)
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED,
                         "%.0f of the network's %.0f input channels are an image to be enlarged, which is not x: "
                         "wanted one that takes x alone",
                         (double)net->means.beside, (double)in[2]);
    *learned = out[2] == 2 * in[2];
    if (in[0] == out[0] && in[1] == out[1] && (*learned || in[2] == out[2])) return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_SHAPE,
                     "the network's output of %.0f values has another shape than its input of %.0f: no score",
                     (double)ssde_net_output_dim(net), (double)ssde_net_dim(net));
}

/* Whether the network takes its label's logarithm, as Fourier embeddings do. */
static int ssdei_net_logarithm(const ssde_net *net) {
    int i;
    for (i = 0; net->label >= 0 && i < net->node_count; i++) {
        const ssdei_node *node = &net->nodes[i];
        if (node->input[0] == net->label &&
            (node->operation == SSDEI_OPERATION_fourier ||
             (node->operation == SSDEI_OPERATION_activate && node->activation == SSDE_LOG)))
            return 1;
    }
    return 0;
}

/* The network can take such labels and give such an output. */
static ssde_status ssdei_net_check_meaning(ssde_context *context, const ssde_net *net, const ssdei_meaning *means) {
    const ssdei_node *last = &net->nodes[net->output];
    if (means->discrete && means->logarithm) /* which 0 lacks (as models/ncsnpp.py:72 asserts) */
        return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                         "discrete labels count from 0, but the network takes its label's logarithm, as Fourier "
                         "embeddings do");
    if (means->discrete && means->output == SSDE_PREDICT_EDM)
        return ssde_fail(
            context, SSDE_ERROR_UNSUPPORTED,
            "labels are discrete, but those of the output 'edm' are log(std / m) / 4: wanted discrete = 0");
    if (means->output > SSDE_PREDICT_NOISE && last->operation == SSDEI_OPERATION_scale_rows &&
        last->row_scale == SSDE_OVER_SIGMA)
        return ssde_fail(
            context, SSDE_ERROR_UNSUPPORTED,
            "the network divides its result by std(t), as a score wants it, but its output is '%s': wanted "
            "scale_by_sigma = 0",
            ssdei_parameterisation_names[means->output]);
    return SSDE_OK;
}

/* Each of classes[rows] is from `least` to net_classes - 1. */
static ssde_status ssdei_check_classes(ssde_context *context, const char *name, const int32_t *classes, size_t rows,
                                       int32_t least, size_t net_classes) {
    size_t row;
    for (row = 0; row < rows; row++)
        if (classes[row] < least || classes[row] >= (int64_t)net_classes)
            return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s[%lu] is %ld, wanted %d to %lu%s", name,
                             (unsigned long)row, (long)classes[row], (int)least, (unsigned long)net_classes - 1,
                             classes[row] == -1 ? ": there is no null class" : "");
    return SSDE_OK;
}
/* The least class that a network knows: -1 is the null class. */
static int32_t ssdei_least_class(const ssde_net *net) { return net->no_null_class ? 0 : -1; }

void ssde_net_shape(const ssde_net *net, size_t *height, size_t *width, size_t *channels) {
    int known = net && net->input >= 0;
    if (height) *height = known ? net->nodes[net->input].shape[0] : 0;
    if (width) *width = known ? net->nodes[net->input].shape[1] : 0;
    if (channels) *channels = known ? net->nodes[net->input].shape[2] : 0;
}

const ssde_parameter *ssde_net_parameter(const ssde_net *net, size_t index) {
    return net && index < net->parameter_count ? &net->parameters[index].info : NULL;
}

/* A finished network's parameter that an array is copied from or to. */
static ssde_status ssdei_net_check_parameter(const char *name, const ssde_net *net, size_t index, const char *array,
                                             const float *values) {
    ssde_context *context = net ? net->context : NULL;
    if (!net || !values) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s: %s is NULL", name, net ? array : "net");
    if (!net->finished)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s: the network is not finished: ssde_net_finish", name);
    if (index < net->parameter_count) return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                     "%s: index is %.0f, wanted below %.0f, the parameters that the network has", name, (double)index,
                     (double)net->parameter_count);
}

ssde_status ssde_net_get(const ssde_net *net, size_t index, float *values) {
    ssdei_try(ssdei_net_check_parameter("ssde_net_get", net, index, "values", values));
    ssdei_parameter_to_file(ssdei_kernels_for(net->context), &net->parameters[index],
                            net->weights + net->parameters[index].offset, values);
    return SSDE_OK;
}

ssde_status ssde_net_get_gradient(const ssde_net *net, size_t index, const float *weight_gradients, float *values) {
    ssdei_try(ssdei_net_check_parameter("ssde_net_get_gradient", net, index, "weight_gradients", weight_gradients));
    ssdei_try(ssdei_net_check_parameter("ssde_net_get_gradient", net, index, "values", values));
    ssdei_parameter_to_file(ssdei_kernels_for(net->context), &net->parameters[index],
                            weight_gradients + net->parameters[index].offset, values);
    return SSDE_OK;
}

ssde_status ssde_net_set(ssde_net *net, size_t index, const float *values) {
    size_t bad;
    ssdei_try(ssdei_net_check_parameter("ssde_net_set", net, index, "values", values));
    bad = ssdei_first_nonfinite(values, net->parameters[index].info.count);
    if (bad < net->parameters[index].info.count)
        return ssde_fail(net->context, SSDE_ERROR_NUMERIC, "%s: value %lu is not finite",
                         net->parameters[index].info.name, (unsigned long)bad);
    ssdei_parameter_from_file(ssdei_kernels_for(net->context), &net->parameters[index], values,
                              net->weights + net->parameters[index].offset);
    return SSDE_OK;
}

SSDEI_ONCE_END

/* ---- net: what runs are made of ---- */

/* What an output transform does with its sums before it stores them: (sum + bias[channel] + residual) scale. The
   pointers may be NULL. */
typedef struct ssdei_epilogue {
    const float *bias, *residual;
    size_t row, pixel; /* strides of the residual */
    float scale;
} ssdei_epilogue;

/* Rows top ... bottom - 1 and columns left ... right - 1 of a window, those that lie in the image. */
typedef struct ssdei_window {
    size_t top, bottom, left, right;
} ssdei_window;

/* One step's numbers of torch.optim.Adam, clip_grad_norm_ and models/ema.py:32-50:
   g = clip gradient + weight_decay weight, first = keep1 first + take1 g, second = keep2 second + take2 g^2,
   weight -= rate first / (root_scale sqrt(second) + eps), average -= ema (average - weight). */
typedef struct ssdei_adam {
    float clip, weight_decay;
    float keep1, take1, keep2, take2; /* beta and 1 - beta */
    float rate, root_scale, eps;      /* lr / (1 - beta1^n), 1 / sqrt(1 - beta2^n) */
    float ema;                        /* 1 - decay */
    float least; /* |g| below it has no part in second: take2 g^2 would be subnormal, which costs a hundred cycles */
} ssdei_adam;

#define SSDEI_MOST_ANGLE 1048576.0f

enum { SSDEI_NORM_PIXELS = 64 }; /* whose sums per channel stay in float before they join the double */

typedef struct ssdei_nn_kernels {
    /* sum[c] += sum over pixels of x[p][c] */
    void (*channel_sums)(const float *x, size_t pixels, size_t channels, double *sum);
    /* mean[c] over pixels of x[p][c]; square[c]: the sum of (x[p][c] - mean[c])^2 */
    void (*channel_moments)(const float *x, size_t pixels, size_t channels, double *mean, double *square);
    /* y = f(u), u = a[c] (x - mean[c]) + b[c], f an activation up to SSDE_LEAKY_RELU */
    void (*norm)(const float *x, const float *mean, const float *a, const float *b, size_t pixels, size_t channels,
                 int activation, float *y);
    /* du = dy f'(u), which may take dy's place; sum[c] += du, product[c] += du (x - mean[c]) */
    void (*norm_sums)(const float *x, const float *dy, const float *mean, const float *a, const float *b, size_t pixels,
                      size_t channels, int activation, float *du, double *sum, double *product);
    /* dx (+)= a[c] du + slope[c] (x - mean[c]) + shift[c] */
    void (*norm_backward)(const float *x, const float *du, const float *mean, const float *a, const float *slope,
                          const float *shift, size_t pixels, size_t channels, int accumulate, float *dx);
    /* y (+)= x keep where a value is kept, 0 else. Of 32 values in a row, value i has the low half of words[i], value
       16 + i the high half: below `least` it is dropped. Words of all 32 are read. y may be x. */
    void (*drop)(const float *x, const uint32_t *words, uint32_t least, float keep, size_t count, int accumulate,
                 float *y);
    void (*silu)(const float *x, size_t count, float *y);
    void (*silu_backward)(const float *x, const float *dy, size_t count, int accumulate, float *dx);
    /* dx (+)= v dy silu''(x) */
    void (*silu_second)(const float *x, const float *v, const float *dy, size_t count, int accumulate, float *dx);
    /* y (+)= f(x), f'(x) or f''(x) (order 0, 1, 2) of ssdei_is_curve's, times by and times with; NULL: 1 */
    void (*curve)(int activation, int order, const float *x, const float *by, const float *with, size_t count,
                  int accumulate, float *y);
    /* Of `taps` values x[i], x[stride + i], ... y[i] is the largest, of which NaN is; rate[i], where `rates` is not
       NULL, that of rates which belongs to the first such */
    void (*pool_max)(const float *x, const float *rates, size_t stride, size_t taps, size_t count, float *y,
                     float *rate);
    /* dx[..], of the first such, += dy[i] */
    void (*pool_route)(const float *x, size_t stride, size_t taps, const float *dy, size_t count, float *dx);
    /* y[i] (+)= scale times their sum */
    void (*pool_sum)(const float *x, size_t stride, size_t taps, float scale, size_t count, int accumulate, float *y);
    /* y (+)= w x */
    void (*multiply_add)(const float *x, float w, size_t count, int accumulate, float *y);
    /* out = (a + b) scale; b repeats every `period` floats */
    void (*add_scaled)(const float *a, const float *b, size_t period, float scale, size_t count, float *out);
    /* x = e^(scale x) over its sum, one row */
    void (*softmax)(float *x, float scale, size_t count);
    /* and back, given its value: ds = scale s (ds - sum_j s_j ds_j) */
    void (*softmax_backward)(const float *s, float scale, size_t count, float *ds);
    /* Winograd's transforms of one tile, or of one input channel's weights; strides and `point` in floats */
    void (*winograd_input)(const float *x, size_t row, size_t pixel, size_t channels, const ssdei_window *inside,
                           float *v, size_t point);
    void (*winograd_output)(const float *m, size_t point, size_t channels, const ssdei_epilogue *epilogue, float *y,
                            size_t row, size_t pixel, size_t rows, size_t columns);
    void (*winograd_weights)(const float *g, size_t tap, size_t width, size_t channels, size_t columns, float scale,
                             size_t line, float *u, size_t point);
    void (*winograd_gradient)(const float *dy, size_t row, size_t pixel, size_t rows, size_t columns, size_t channels,
                              float scale, float *w, size_t point, float *total);
    void (*winograd_weight_gradient)(const float *m, size_t point, size_t columns, float *g, size_t tap);
    /* Sines and cosines of |x| <= SSDEI_MOST_ANGLE to 0.501 ulp; either may take x's place. No FMA: the same bits on
       every tier. */
    void (*sines)(const float *x, size_t count, float *sine, float *cosine);
    /* The sum of x^2, in double: lane i % SSDEI_MAX_WIDTH takes x[i], then halves join. The same bits on every tier, as
       adam's, which has no FMA. Fetching ahead saves 4 of 28 ms for 62 million weights that lie in memory. */
    double (*squares)(const float *x, size_t count);
    /* One step, which leaves the gradient 0. */
    void (*adam)(const ssdei_adam *step, size_t count, float *gradient, float *weight, float *average, float *first,
                 float *second);
    /* mean -= take (mean - x). No FMA. */
    void (*approach)(const float *x, float take, size_t count, float *mean);
} ssdei_nn_kernels;
static const ssdei_nn_kernels *ssdei_nn_kernels_for(const ssde_context *context);

enum { SSDEI_FORWARD, SSDEI_BACKWARD };
#define SSDEI_NOWHERE ((size_t)-1)

typedef struct ssdei_gather ssdei_gather; /* one product of a step, as it is computed */

/* What a backward step reads of an input's value: as it is, or through ssdei_value_again. */
enum { SSDEI_UNREAD, SSDEI_READ, SSDEI_READ_AGAIN };

/* One node's part in a run. */
typedef struct ssdei_step {
    /* decided by the operation's plan, which finds zeros */
    unsigned char reads[3];                  /* what backward reads of the inputs' values */
    unsigned char in_place;                  /* its value may take the place of input 0's */
    size_t workspace;                        /* floats of each task's own */
    size_t saved_floats;                     /* per row, kept from forward to backward */
    size_t sums;                             /* doubles that the tasks share in backward */
    size_t shared_floats;                    /* the same, floats; they lie where packed weights do */
    void (*again)(ssde_run *run, int index); /* computes the value once more, at value_again; NULL: it cannot */
    ssdei_gather *gathers[2];                /* products, forward and backward */
    int gather_count[2];
    /* and by the memory plan: places in the arena, in floats; SSDEI_NOWHERE where there is none */
    size_t value, gradient, saved, value_again;
    unsigned char shares;   /* the value's place is that of input 0 */
    unsigned char idle;     /* nothing reads the value: the step is not run */
    unsigned char needs;    /* a gradient is wanted here */
    unsigned char moves;    /* mode tangent: the value depends on x; its tangent lies behind it, max_rows further */
    unsigned char written;  /* the gradient's place holds something already */
    unsigned char restored; /* the value has been computed again */
} ssdei_step;

struct ssde_run {
    ssde_context *context;
    const ssde_net *net;
    ssde_run_mode mode;
    size_t max_rows, rows;
    const ssdei_kernels *kernels;
    const ssdei_nn_kernels *nn;
    size_t tasks;
    ssdei_team *team; /* of as many workers */
    ssde_convolution convolution;
    float *arena;
    size_t arena_floats;
    ssdei_step *steps; /* one per node: of_values, but while a linear step works on tangents */
    ssdei_step *of_values, *of_tangents;
    ssdei_gather *gathers; /* of all steps */
    size_t gather_count;
    size_t shared;                 /* of packed weights, and of what else the tasks of a step share */
    size_t zeros;                  /* offset of floats that stay zero: what padding reads, tangents of constants */
    size_t workspace, task_floats; /* one piece per task */
    size_t sums;                   /* of doubles that the tasks of a step share */
    float *weight_gradients;       /* of the backward pass under way */
    int accumulate[3];             /* of the node under way: whether its inputs' gradients hold something already */
    int dropout;                   /* on */
    uint64_t seed;                 /* its draws' */
    uint32_t step;
    const uint64_t *sample;
    size_t class_rows, vector_rows; /* whose classes or vectors were given; 0: all have the null class, or none */
};

static float *ssdei_value(const ssde_run *run, int node) { return run->arena + run->steps[node].value; }
static float *ssdei_gradient(const ssde_run *run, int node) { return run->arena + run->steps[node].gradient; }
/* Whether a linear step works on tangents; values and gradients are then theirs, but for ssdei_primal's. */
static int ssdei_on_tangents(const ssde_run *run) { return run->steps != run->of_values; }
static float *ssdei_primal(const ssde_run *run, int node) { return run->arena + run->of_values[node].value; }
static float *ssdei_tangent(const ssde_run *run, int node) { return run->arena + run->of_tangents[node].value; }
static float *ssdei_tangent_gradient(const ssde_run *run, int node) {
    return run->arena + run->of_tangents[node].gradient;
}
static float *ssdei_workspace(const ssde_run *run, size_t task) {
    return run->arena + run->workspace + task * run->task_floats;
}
static double *ssdei_sums(const ssde_run *run) { return (double *)(void *)(run->arena + run->sums); }

/* Whether a node's gradient is wanted; and, for the caller that is about to write to it, whether to add to what others
   wrote. */
static int ssdei_wants(const ssde_run *run, int node) { return node >= 0 && run->steps[node].needs; }
static int ssdei_claim(ssde_run *run, int node) {
    int accumulate = run->steps[node].written;
    run->steps[node].written = 1;
    return accumulate;
}
/* For all inputs of a step, in order; returns whether any gradient is wanted. */
static int ssdei_claim_inputs(ssde_run *run, int index) {
    const int *input = run->net->nodes[index].input;
    int i, any = 0;
    for (i = 0; i < 3; i++) {
        if (!ssdei_wants(run, input[i])) continue;
        run->accumulate[i] = ssdei_claim(run, input[i]);
        any = 1;
    }
    return any;
}

static const float *ssdei_weights(const ssde_run *run, int parameter) {
    return run->net->weights + run->net->parameters[parameter].offset;
}
static float *ssdei_weight_gradient(const ssde_run *run, int parameter) {
    if (!run->weight_gradients || !run->net->parameters[parameter].info.trainable) return NULL;
    return run->weight_gradients + run->net->parameters[parameter].offset;
}

static int ssdei_trains(ssde_run_mode mode) { return mode >= SSDE_RUN_TRAIN; }

/* Runs an operation's function over pieces of `count` units of work, with the worker's workspace. */
typedef void (*ssdei_share_function)(ssde_run *run, int index, size_t begin, size_t end, size_t worker);
typedef struct ssdei_share_work {
    ssde_run *run;
    int index;
    ssdei_share_function function;
} ssdei_share_work;
static void ssdei_share_run(void *argument, ssdei_worker *worker) {
    const ssdei_share_work *work = (const ssdei_share_work *)argument;
    size_t begin, end;
    while (ssdei_next_piece(worker, &begin, &end)) work->function(work->run, work->index, begin, end, worker->index);
}
static void ssdei_share(ssde_run *run, int index, size_t count, ssdei_share_function function) {
    ssdei_share_work work;
    work.run = run;
    work.index = index;
    work.function = function;
    ssdei_parallel_for(run->team, count, 1, ssdei_share_run, &work);
}
/* Over the rows: most operations are independent from sample to sample. */
static void ssdei_over_rows(ssde_run *run, int index, ssdei_share_function function) {
    ssdei_share(run, index, run->rows, function);
}

static size_t ssdei_divide_up(size_t a, size_t b) { return (a + b - 1) / b; }

static size_t ssdei_least(size_t a, size_t b) { return a < b ? a : b; }

/* Rows that products take as fast as whole register tiles: where it can be divided, a third (see SSDEI_NUMBERS). */
static size_t ssdei_row_step(const ssdei_kernels *kernels) {
    return kernels->tile_rows % 3 ? kernels->tile_rows : kernels->tile_rows / 3;
}

/* `pieces`, or as many more as make them equally many for each worker, if they get at most a third smaller by that. */
static size_t ssdei_even_pieces(const ssde_run *run, size_t pieces, size_t most) {
    size_t workers = run->team->present ? run->team->present : run->tasks;
    size_t even = ssdei_divide_up(pieces, workers) * workers;
    return even <= most && 2 * even <= 3 * pieces ? even : pieces;
}

/* Rounded up to whole cache lines, with room for a vector to be read past the end; what is too large stays so. */
static size_t ssdei_round_floats(size_t count) { return count > SIZE_MAX - 31 ? SIZE_MAX : (count + 31) / 16 * 16; }

/* A piece of a workspace, behind those taken before, and how many floats these have; workspace NULL: only counts them,
   SIZE_MAX if that overflows. */
static float *ssdei_take(float *workspace, size_t *taken, size_t floats) {
    float *piece = workspace ? workspace + *taken : NULL;
    *taken = floats > SIZE_MAX / 16 || *taken > SIZE_MAX / 16 ? SIZE_MAX : *taken + ssdei_round_floats(floats);
    return piece;
}
static const float **ssdei_take_pointers(float *workspace, size_t *taken, size_t count) {
    return (const float **)(void *)ssdei_take(workspace, taken, count * sizeof(float *) / sizeof(float));
}

/* ---- >>products: convolutions of any kind, linear layers ----
   An implicit product: rows are output pixels, found in the input through pointers, one per tap; columns are output
   channels. Forward, and backward by input, which is the same gather from the gradient: for stride 2 one for each
   parity of the input pixel, since only taps of that parity reach it. */

enum {
    SSDEI_MAX_TAPS = 9,
    SSDEI_MOST_DILATION = 8191, /* whose taps are shorts */
    SSDEI_CHUNK_TILES = 8,
    SSDEI_CHUNK_TILES_COPIED = 32, /* of copied rows, which are short */
    SSDEI_DEPTH_BLOCK = 256,
    SSDEI_AHEAD_TILES = 8,
    SSDEI_GRADIENT_PIXELS = 128,
    SSDEI_GRADIENT_PIXELS_COPIED = 64,
    SSDEI_GRADIENT_CHANNELS = 240,
    SSDEI_GRADIENT_PANELS = 4
};

/* One product of a step, decided when the run is created: what it gathers, and how it is computed. */
struct ssdei_gather {
    size_t height, width, depth;    /* of what is read: [rows, height, width, depth] */
    size_t grid_height, grid_width; /* pixels computed: [rows, grid_height, grid_width] */
    /* pixel (y, x) goes to (y * out_step + out_y, ...) of [rows, out_height, out_width, columns] */
    size_t out_height, out_width, columns;
    int out_step, out_y, out_x;
    int step, taps; /* and reads (y * step + tap_y, x * step + tap_x) of every tap */
    int dilation;
    short tap_y[SSDEI_MAX_TAPS], tap_x[SSDEI_MAX_TAPS];
    signed char tap[SSDEI_MAX_TAPS]; /* its place in the kernel */
    signed char direction, winograd;
    float weight_scale;           /* of the packed weights */
    const ssdei_kernels *kernels; /* narrow where columns are few */
    size_t packed;                /* floats of packed weights */
};

static ssdei_gather ssdei_gather_forward(const ssdei_node *in, const ssdei_node *node) {
    ssdei_gather g;
    int ky, kx;
    memset(&g, 0, sizeof g);
    g.height = in->shape[0];
    g.width = in->shape[1];
    g.depth = in->shape[2];
    g.grid_height = g.out_height = node->shape[0];
    g.grid_width = g.out_width = node->shape[1];
    g.columns = node->shape[2];
    g.step = node->stride;
    g.dilation = node->dilation;
    g.out_step = 1;
    g.direction = SSDEI_FORWARD;
    g.weight_scale = 1.0f;
    for (ky = 0; ky < node->kernel; ky++) {
        for (kx = 0; kx < node->kernel; kx++) {
            g.tap_y[g.taps] = (short)(ky * node->dilation - node->pad_before);
            g.tap_x[g.taps] = (short)(kx * node->dilation - node->pad_before);
            g.tap[g.taps] = (signed char)g.taps;
            g.taps++;
        }
    }
    return g;
}

/* Input pixel (step y + parity_y, ...) is reached from output pixel (input + pad - dilation k) / step where that is
   whole. */
static ssdei_gather ssdei_gather_backward(const ssdei_node *in, const ssdei_node *node, int parity_y, int parity_x) {
    ssdei_gather g;
    int ky, kx, step = node->stride;
    memset(&g, 0, sizeof g);
    g.height = node->shape[0];
    g.width = node->shape[1];
    g.depth = node->shape[2];
    g.out_height = in->shape[0];
    g.out_width = in->shape[1];
    g.columns = in->shape[2];
    g.step = 1;
    g.dilation = node->dilation;
    g.out_step = step;
    g.direction = SSDEI_BACKWARD;
    g.weight_scale = (float)node->scale;
    g.out_y = parity_y;
    g.out_x = parity_x;
    g.grid_height = (g.out_height + (size_t)(step - 1 - parity_y)) / (size_t)step;
    g.grid_width = (g.out_width + (size_t)(step - 1 - parity_x)) / (size_t)step;
    for (ky = node->kernel - 1; ky >= 0; ky--) {
        int y = parity_y + node->pad_before - ky * node->dilation;
        for (kx = node->kernel - 1; kx >= 0; kx--) {
            int x = parity_x + node->pad_before - kx * node->dilation;
            if (y % step || x % step) continue;
            g.tap_y[g.taps] = (short)(y / step);
            g.tap_x[g.taps] = (short)(x / step);
            g.tap[g.taps++] = (signed char)(ky * node->kernel + kx);
        }
    }
    return g;
}

/* Taps of one block along the sum, and channels of each: at most SSDEI_DEPTH_BLOCK rows of packed weights, so that a
   panel's block stays in the first-level cache while a chunk of pixels passes. */
static size_t ssdei_block_taps(size_t depth) { return depth >= SSDEI_DEPTH_BLOCK ? 1 : SSDEI_DEPTH_BLOCK / depth; }
static size_t ssdei_block_depth(size_t depth) { return depth < SSDEI_DEPTH_BLOCK ? depth : (size_t)SSDEI_DEPTH_BLOCK; }

/* Few channels make short runs along the sum, of which each costs a tile new pointers: where a pixel's taps fit one
   block, they are copied into one row, and the product has one tap. */
static int ssdei_copies_rows(const ssdei_gather *g) {
    return g->taps > 1 && (size_t)g->taps * g->depth <= SSDEI_DEPTH_BLOCK;
}
static size_t ssdei_chunk_tiles(const ssdei_gather *g) {
    return ssdei_copies_rows(g) ? SSDEI_CHUNK_TILES_COPIED : SSDEI_CHUNK_TILES;
}
static size_t ssdei_row_floats(const ssdei_gather *g) { return ((size_t)g->taps * g->depth + 6) / 4 * 4; }

/* Where a grid pixel is: its place in the input before taps are added, and pixels from the start of both tensors. */
typedef struct ssdei_position {
    int y, x;
    size_t in, out;
} ssdei_position;

/* A task's workspace for some pixels of a product. */
typedef struct ssdei_chunk {
    ssdei_position *pixels;
    const float **pointers; /* to their taps */
    float *rows;            /* copied taps */
    float *aside;           /* results that are not stored in their places yet */
    size_t floats;
} ssdei_chunk;

static ssdei_position *ssdei_take_positions(float *workspace, size_t *taken, size_t count) {
    return (ssdei_position *)(void *)ssdei_take(workspace, taken, count * sizeof(ssdei_position) / sizeof(float));
}

SSDEI_ONCE_BEGIN

/* workspace NULL: only how many floats it takes */
static ssdei_chunk ssdei_chunk_layout(const ssdei_gather *g, float *workspace) {
    size_t capacity = ssdei_chunk_tiles(g) * SSDEI_MAX_TILE_ROWS;
    ssdei_chunk chunk;
    memset(&chunk, 0, sizeof chunk);
    chunk.pixels = ssdei_take_positions(workspace, &chunk.floats, capacity);
    chunk.pointers = ssdei_take_pointers(workspace, &chunk.floats, capacity * SSDEI_MAX_TAPS);
    if (ssdei_copies_rows(g)) chunk.rows = ssdei_take(workspace, &chunk.floats, capacity * ssdei_row_floats(g));
    if (g->out_step > 1) chunk.aside = ssdei_take(workspace, &chunk.floats, capacity * g->columns);
    return chunk;
}

SSDEI_ONCE_END

/* A product with its tensors. */
typedef struct ssdei_convolution {
    const ssde_run *run;
    const ssdei_gather *gather;
    const float *x;
    float *out;
    int accumulate;
    const float *bias, *residual;
    size_t residual_image, residual_pixel; /* floats from one image's, one pixel's residual to the next; 0: the same */
    float scale;
    float *packed;        /* weights as the algorithm wants them */
    const float *weights; /* what they are packed from */
} ssdei_convolution;

static void ssdei_locate(const ssdei_gather *g, size_t first, size_t count, ssdei_position *pixels) {
    size_t per_image = g->grid_height * g->grid_width, i;
    size_t image = first / per_image, y = first % per_image / g->grid_width, x = first % g->grid_width;
    size_t step = (size_t)g->step, out_step = (size_t)g->out_step;
    for (i = 0; i < count; i++) {
        pixels[i].y = (int)(y * step);
        pixels[i].x = (int)(x * step);
        pixels[i].in = (image * g->height + y * step) * g->width + x * step;
        pixels[i].out =
            (image * g->out_height + y * out_step + (size_t)g->out_y) * g->out_width + x * out_step + (size_t)g->out_x;
        if (++x < g->grid_width) continue;
        x = 0;
        if (++y < g->grid_height) continue;
        y = 0;
        image++;
    }
}

/* A tap of a pixel, or NULL where it lies in the padding. */
static const float *ssdei_tap(const ssdei_convolution *c, const ssdei_position *pixel, size_t tap) {
    const ssdei_gather *g = c->gather;
    int y = pixel->y + g->tap_y[tap], x = pixel->x + g->tap_x[tap];
    if (y < 0 || x < 0 || y >= (int)g->height || x >= (int)g->width) return NULL;
    return c->x + (pixel->in + (size_t)(g->tap_y[tap] * (ptrdiff_t)g->width + g->tap_x[tap])) * g->depth;
}

/* pointers[tile][tap][row of the tile] for taps first ... first + taps - 1, channel offset added; padding reads zeros,
   rows beyond count repeat the last. */
static void ssdei_point(const ssdei_convolution *c, const ssdei_position *pixels, size_t count, size_t first,
                        size_t taps, size_t channel, const float **pointers) {
    const float *zeros = c->run->arena + c->run->zeros;
    size_t tile_rows = c->gather->kernels->tile_rows, tiles = ssdei_divide_up(count, tile_rows), tile, q, r;
    for (tile = 0; tile < tiles; tile++) {
        for (q = first; q < first + taps; q++) {
            for (r = tile * tile_rows; r < (tile + 1) * tile_rows; r++) {
                const float *tap = ssdei_tap(c, &pixels[r < count ? r : count - 1], q);
                *pointers++ = tap ? tap + channel : zeros;
            }
        }
    }
}

/* Taps from `first` on that are neighbours in one line of the image. */
static size_t ssdei_tap_run(const ssdei_gather *g, size_t first) {
    size_t run = 1;
    while (first + run < (size_t)g->taps && g->tap_y[first + run] == g->tap_y[first] &&
           g->tap_x[first + run] == g->tap_x[first] + (int)run)
        run++;
    return run;
}

/* Taps first ... first + run - 1 of a pixel, zeros where they lie in the padding. */
static void ssdei_copy_taps(const ssdei_convolution *c, const ssdei_position *pixel, size_t first, size_t run,
                            float *to) {
    size_t depth = c->gather->depth, q;
    for (q = first; q < first + run; q++, to += depth) {
        const float *from = ssdei_tap(c, pixel, q);
        if (from)
            memcpy(to, from, depth * sizeof *to);
        else
            memset(to, 0, depth * sizeof *to);
    }
}

/* The same for n pixels of a line, ssdei_row_floats from one to the next. Where the taps lie in the image, four floats
   at a time, of which those too many are overwritten by the next. */
static void ssdei_copy_line(const ssdei_convolution *c, ssdei_position pixel, size_t n, size_t first, size_t run,
                            float *to) {
    const ssdei_gather *g = c->gather;
    size_t row_floats = ssdei_row_floats(g), step = (size_t)g->step, inside, i, j;
    int y = pixel.y + g->tap_y[first];
    while (n) {
        int x = pixel.x + g->tap_x[first];
        inside = y >= 0 && y < (int)g->height && x >= 0 && x + (int)run <= (int)g->width;
        if (inside) {
            const float *from = ssdei_tap(c, &pixel, first);
            inside = (g->width - run - (size_t)x) / step + 1;
            if (inside > n) inside = n;
            for (i = 0; i < inside; i++, to += row_floats, from += step * g->depth)
                for (j = 0; j < run * g->depth; j += 4) memcpy(to + j, from + j, 4 * sizeof *to);
        } else {
            inside = 1;
            ssdei_copy_taps(c, &pixel, first, run, to);
            to += row_floats;
        }
        n -= inside;
        pixel.x += (int)(inside * step);
        pixel.in += inside * step;
    }
}

/* rows[count][taps][depth] of grid pixels first ... */
static void ssdei_copy_rows(const ssdei_convolution *c, size_t first, size_t count, float *rows) {
    const ssdei_gather *g = c->gather;
    size_t p, q, n, run;
    for (p = 0; p < count; p += n) {
        ssdei_position pixel;
        ssdei_locate(g, first + p, 1, &pixel);
        n = g->grid_width - (size_t)(pixel.x / g->step);
        if (n > count - p) n = count - p;
        for (q = 0; q < (size_t)g->taps; q += run) {
            run = ssdei_tap_run(g, q);
            ssdei_copy_line(c, pixel, n, q, run, rows + p * ssdei_row_floats(g) + q * g->depth);
        }
    }
}

/* One block along the sum, for a chunk of pixels: every panel of columns. work->packed, c, start and residual are those
   of the first. The last block's results are not in a cache: the shorter its sums, the more tiles ahead they are
   fetched. If it is given `ahead`, it fetches that tile by tile: as many pixels of the input, which the next chunk is
   the first to read. */
static void ssdei_convolve_block(const ssdei_convolution *c, const ssdei_tiles *first, int last, const float *ahead) {
    const ssdei_gather *g = c->gather;
    size_t columns = g->columns, width = g->kernels->tile_columns, panels = ssdei_divide_up(columns, width);
    size_t tiles = ssdei_divide_up(first->rows, g->kernels->tile_rows), sums = first->taps * first->depth;
    size_t read = first->rows * (size_t)(g->step * g->step) * g->depth, panel;
    ssdei_tiles work = *first;
    if (last)
        work.cold = g->kernels->tile_rows * (sums * SSDEI_AHEAD_TILES < SSDEI_DEPTH_BLOCK ? (size_t)SSDEI_AHEAD_TILES
                                                                                          : SSDEI_DEPTH_BLOCK / sums);
    work.ahead_floats = ssdei_divide_up(read, panels * tiles * SSDEI_LINE) * SSDEI_LINE;
    for (panel = 0; panel < panels; panel++) {
        size_t column = panel * width;
        work.packed = first->packed + column * (size_t)g->taps * g->depth;
        work.c = first->c + column;
        work.columns = columns - column < width ? columns - column : width;
        work.start = first->start ? first->start + column : NULL;
        work.residual = first->residual ? first->residual + column : NULL;
        if (ahead) work.ahead = ahead + panel * tiles * work.ahead_floats;
        g->kernels->tiles(&work);
    }
}

/* Adds or copies a chunk computed aside to its places in the output. */
static void ssdei_scatter(const ssdei_convolution *c, const ssdei_position *pixels, size_t count, const float *from) {
    const ssdei_gather *g = c->gather;
    size_t i, j;
    for (i = 0; i < count; i++, from += g->columns) {
        float *to = c->out + pixels[i].out * g->columns;
        if (!c->accumulate)
            memcpy(to, from, g->columns * sizeof *to);
        else
            for (j = 0; j < g->columns; j++) to[j] += from[j];
    }
}

/* By blocks of taps and channels: sums begin with work->start, and go on with c. */
static void ssdei_convolve_taps(const ssdei_convolution *c, const ssdei_chunk *chunk, ssdei_tiles *work) {
    const ssdei_gather *g = c->gather;
    const float *residual = work->residual;
    const float *ahead =
        c->x + (chunk->pixels[work->rows - 1].in + (g->taps > 1 ? (size_t)g->dilation * g->width : 0)) * g->depth;
    size_t all = (size_t)g->taps, taps = ssdei_block_taps(g->depth), depth = ssdei_block_depth(g->depth), tap, channel;
    for (tap = 0; tap < all; tap += taps) {
        work->taps = all - tap < taps ? all - tap : taps;
        for (channel = 0; channel < g->depth; channel += depth) {
            int last = tap + work->taps == all && channel + depth >= g->depth;
            work->depth = g->depth - channel < depth ? g->depth - channel : depth;
            work->packed = c->packed + (tap * g->depth + channel) * g->kernels->tile_columns;
            work->residual = last ? residual : NULL;
            work->scale = last ? c->scale : 1.0f;
            ssdei_point(c, chunk->pixels, work->rows, tap, work->taps, channel, chunk->pointers);
            ssdei_convolve_block(c, work, last, last ? ahead : NULL);
            work->start = work->c;
            work->start_stride = work->stride;
        }
    }
}

/* In one block of copied rows. */
static void ssdei_convolve_rows(const ssdei_convolution *c, const ssdei_chunk *chunk, size_t first, ssdei_tiles *work) {
    const ssdei_gather *g = c->gather;
    size_t row_floats = ssdei_row_floats(g), rows = ssdei_chunk_tiles(g) * g->kernels->tile_rows, i;
    ssdei_copy_rows(c, first, work->rows, chunk->rows);
    for (i = 0; i < rows; i++) chunk->pointers[i] = chunk->rows + (i < work->rows ? i : 0) * row_floats;
    work->taps = 1;
    work->depth = (size_t)g->taps * g->depth;
    work->packed = c->packed;
    work->scale = c->scale;
    ssdei_convolve_block(c, work, 1, NULL);
}

static void ssdei_convolve_chunk(const ssdei_convolution *c, size_t first, size_t count, float *workspace) {
    const ssdei_gather *g = c->gather;
    ssdei_chunk chunk = ssdei_chunk_layout(g, workspace);
    int direct = g->out_step == 1, accumulate = direct && c->accumulate;
    size_t image = g->grid_height * g->grid_width;
    ssdei_tiles work;
    memset(&work, 0, sizeof work);
    work.a = chunk.pointers;
    work.c = direct ? c->out + first * g->columns : chunk.aside;
    work.stride = g->columns;
    work.rows = count;
    work.start = accumulate ? work.c : c->bias;
    work.start_stride = accumulate ? work.stride : 0;
    if (c->residual)
        work.residual = c->residual + first / image * c->residual_image + first % image * c->residual_pixel;
    work.residual_stride = c->residual_pixel;
    if (!direct || !ssdei_copies_rows(g)) ssdei_locate(g, first, count, chunk.pixels);
    if (!g->taps && !accumulate)
        memset(work.c, 0, count * g->columns * sizeof *work.c);
    else if (ssdei_copies_rows(g))
        ssdei_convolve_rows(c, &chunk, first, &work);
    else
        ssdei_convolve_taps(c, &chunk, &work);
    if (!direct) ssdei_scatter(c, chunk.pixels, count, chunk.aside);
}

/* Chunks of pixels; of one image each where they have the same residual. */
static size_t ssdei_chunk_pixels(const ssdei_gather *g) { return ssdei_chunk_tiles(g) * g->kernels->tile_rows; }
static void ssdei_convolve_run(void *argument, ssdei_worker *worker) {
    const ssdei_convolution *c = (const ssdei_convolution *)argument;
    const ssdei_gather *g = c->gather;
    size_t chunk = ssdei_chunk_pixels(g), image = g->grid_height * g->grid_width, begin, end, count;
    while (ssdei_next_piece(worker, &begin, &end)) {
        for (; begin < end; begin += count) {
            count = end - begin < chunk ? end - begin : chunk;
            if (c->residual && !c->residual_pixel && count > image - begin % image) count = image - begin % image;
            ssdei_convolve_chunk(c, begin, count, ssdei_workspace(c->run, worker->index));
        }
    }
}

/* One panel of the weights [tap][in][out] of a gather: forward as they lie, backward transposed and scaled. */
static void ssdei_pack_panel(const ssdei_convolution *c, size_t panel) {
    const ssdei_gather *g = c->gather;
    float *packed = c->packed + panel * g->kernels->tile_columns * (size_t)g->taps * g->depth;
    size_t width = g->kernels->tile_columns, column = panel * width;
    size_t columns = g->columns - column < width ? g->columns - column : width;
    int q;
    for (q = 0; q < g->taps; q++, packed += g->depth * width) {
        const float *tap = c->weights + (size_t)g->tap[q] * g->depth * g->columns;
        if (g->direction == SSDEI_FORWARD)
            ssdei_pack(g->kernels, tap + column, g->columns, 1, g->depth, columns, packed);
        else
            ssdei_pack(g->kernels, tap + column * g->depth, 1, g->depth, g->depth, columns, packed);
        if (g->weight_scale != 1.0f) c->run->nn->multiply_add(packed, g->weight_scale, g->depth * width, 0, packed);
    }
}

/* ---- products: gradient by weights ----
   dW[tap][in][out] += sum over pixels x[pixel + tap][in] dy[pixel][out]. A unit of work is one tap, a block of its
   input channels and one panel of output channels; it owns its part of dW and sums pixels in order, so that threads
   change nothing. Where pixels' taps are copied into rows, these are one tap. */

typedef struct ssdei_weight_work {
    ssdei_convolution c;
    const float *gradient;
    float *weights;
    double *bias;       /* sums of dy, whole panels */
    size_t taps, depth; /* of which units are made */
    size_t block, blocks, panels;
} ssdei_weight_work;

/* A task's workspace for some pixels. */
typedef struct ssdei_weight_chunk {
    ssdei_position *pixels;
    const float **pointers;
    float *packed; /* dy, times scale */
    float *rows;   /* copied taps */
    float *x;      /* a block of a tap, in the order that outer products read it */
    size_t floats;
} ssdei_weight_chunk;

/* Pixels that pass together: a panel of dy and a register tile's channels stay in the first-level cache. */
static size_t ssdei_weight_count(const ssdei_gather *g) {
    return ssdei_copies_rows(g) ? SSDEI_GRADIENT_PIXELS_COPIED : SSDEI_GRADIENT_PIXELS;
}

SSDEI_ONCE_BEGIN

/* workspace NULL: only how many floats it takes */
static ssdei_weight_chunk ssdei_weight_layout(const ssdei_gather *g, float *workspace) {
    size_t count = ssdei_weight_count(g), block = (size_t)SSDEI_GRADIENT_CHANNELS + SSDEI_MAX_TILE_ROWS;
    ssdei_weight_chunk chunk;
    memset(&chunk, 0, sizeof chunk);
    chunk.pixels = ssdei_take_positions(workspace, &chunk.floats, count);
    chunk.pointers = ssdei_take_pointers(workspace, &chunk.floats, count);
    chunk.packed = ssdei_take(workspace, &chunk.floats, ssdei_packed_size(g->kernels, count, g->columns));
    if (ssdei_copies_rows(g)) chunk.rows = ssdei_take(workspace, &chunk.floats, count * ssdei_row_floats(g));
    chunk.x = ssdei_take(workspace, &chunk.floats, count * block);
    return chunk;
}

SSDEI_ONCE_END

/* Points at channels first ... of a tap of every pixel, as outer products read them; returns the distance from one
   register tile's channels to the next's. Where several panels read them they lie in that order: a register tile's of
   all pixels together, since those of pixels as they are share but a few cache sets. */
static size_t ssdei_weight_point(const ssdei_weight_work *work, size_t tap, size_t first, size_t channels, size_t count,
                                 const ssdei_weight_chunk *chunk) {
    const ssdei_convolution *c = &work->c;
    const ssdei_gather *g = c->gather;
    size_t tile_rows = g->kernels->tile_rows, p;
    for (p = 0; p < count; p++) {
        const float *x =
            ssdei_copies_rows(g) ? chunk->rows + p * ssdei_row_floats(g) : ssdei_tap(c, &chunk->pixels[p], tap);
        chunk->pointers[p] = x ? x + first : c->run->arena + c->run->zeros;
    }
    if (work->panels < SSDEI_GRADIENT_PANELS || ssdei_copies_rows(g)) return tile_rows;
    g->kernels->interleave_rows(count, chunk->pointers, channels, chunk->x);
    for (p = 0; p < count; p++) chunk->pointers[p] = chunk->x + p * tile_rows;
    return count * tile_rows;
}

/* Few rows read dy where it lies, if its rows are whole panels: packing would cost as much as the product. */
static int ssdei_weight_in_place(const ssdei_weight_work *work) {
    const ssdei_gather *g = work->c.gather;
    return ssdei_copies_rows(g) && work->c.scale == 1.0f && g->columns % g->kernels->tile_columns == 0;
}

/* Packs the panels of dy that units begin ... end - 1 read. */
static void ssdei_weight_pack(const ssdei_weight_work *work, size_t first, size_t count, size_t begin, size_t end,
                              float *packed) {
    const ssdei_convolution *c = &work->c;
    const ssdei_gather *g = c->gather;
    size_t all = g->columns, width = g->kernels->tile_columns, panel = 0, panels = work->panels, columns;
    if (begin % work->panels + (end - begin) <= work->panels) {
        panel = begin % work->panels;
        panels = end - begin;
    }
    columns = panel + panels < work->panels ? panels * width : all - panel * width;
    packed += panel * width * count;
    ssdei_pack(g->kernels, work->gradient + first * all + panel * width, all, 1, count, columns, packed);
    if (c->scale != 1.0f) c->run->nn->multiply_add(packed, c->scale, panels * count * width, 0, packed);
}

static void ssdei_weight_pixels(const ssdei_weight_work *work, size_t first, size_t count, size_t begin, size_t end,
                                const ssdei_weight_chunk *chunk) {
    const ssdei_convolution *c = &work->c;
    const ssdei_gather *g = c->gather;
    size_t all = g->columns, tile_columns = g->kernels->tile_columns, unit, next = 0;
    int in_place = ssdei_weight_in_place(work);
    const float *dy = work->gradient + first * all;
    ssdei_outer outer;
    memset(&outer, 0, sizeof outer);
    outer.count = count;
    outer.a = chunk->pointers;
    outer.stride = all;
    outer.accumulate = 1;
    outer.next_a = 2 * g->kernels->tile_rows - 1; /* the next register tile's, of pixels as they are */
    outer.b_stride = in_place ? all : tile_columns;
    outer.next_b = in_place ? count * all : 1024;
    if (ssdei_copies_rows(g))
        ssdei_copy_rows(c, first, count, chunk->rows);
    else
        ssdei_locate(g, first, count, chunk->pixels);
    if (in_place && !begin) c->run->nn->channel_sums(dy, count, all, work->bias);
    if (!in_place) ssdei_weight_pack(work, first, count, begin, end, chunk->packed);
    for (unit = begin; unit < end; unit++) {
        size_t column = unit % work->panels * tile_columns, block = unit / work->panels % work->blocks;
        size_t tap = unit / work->panels / work->blocks, channel = block * work->block;
        size_t columns = all - column < tile_columns ? all - column : tile_columns;
        size_t channels = work->depth - channel < work->block ? work->depth - channel : work->block;
        float *to = work->weights + (tap * work->depth + channel) * all + column;
        const float *packed = in_place ? dy + column : chunk->packed + column * count;
        if (unit == begin || !column) next = ssdei_weight_point(work, tap, channel, channels, count, chunk);
        if (unit < work->panels && !in_place)
            c->run->nn->channel_sums(packed, count, tile_columns, work->bias + column);
        outer.tile = next;
        outer.b = packed;
        outer.c = to;
        outer.rows = channels;
        outer.columns = columns;
        g->kernels->outer(&outer);
    }
}

static void ssdei_weight_run(void *argument, ssdei_worker *worker) {
    const ssdei_weight_work *work = (const ssdei_weight_work *)argument;
    const ssdei_gather *g = work->c.gather;
    ssdei_weight_chunk chunk = ssdei_weight_layout(g, ssdei_workspace(work->c.run, worker->index));
    size_t pixels = work->c.run->rows * g->grid_height * g->grid_width, count = ssdei_weight_count(g);
    size_t begin, end, first;
    while (ssdei_next_piece(worker, &begin, &end))
        for (first = 0; first < pixels; first += count)
            ssdei_weight_pixels(work, first, pixels - first < count ? pixels - first : count, begin, end, &chunk);
}

/* weights[taps][depth][columns] += the gradient, bias[columns] its part; the gradient dy counts c->scale times. */
static void ssdei_direct_gradient(const ssdei_convolution *c, const float *dy, float *weights, double *bias) {
    const ssdei_gather *g = c->gather;
    size_t tile_rows = g->kernels->tile_rows;
    ssdei_weight_work work;
    work.c = *c;
    work.gradient = dy;
    work.weights = weights;
    work.bias = bias;
    work.taps = ssdei_copies_rows(g) ? 1 : (size_t)g->taps;
    work.depth = ssdei_copies_rows(g) ? (size_t)g->taps * g->depth : g->depth;
    work.blocks = ssdei_divide_up(work.depth, SSDEI_GRADIENT_CHANNELS);
    work.block = ssdei_divide_up(ssdei_divide_up(work.depth, work.blocks), tile_rows) * tile_rows;
    work.blocks = ssdei_divide_up(work.depth, work.block);
    work.panels = ssdei_divide_up(g->columns, g->kernels->tile_columns);
    /* a piece packs what its units read: whole rows of panels, where there are enough */
    ssdei_parallel_for(c->run->team, work.taps * work.blocks * work.panels,
                       work.taps * work.blocks < 4 * c->run->tasks ? 1 : work.panels, ssdei_weight_run, &work);
}

/* ---- products: Winograd's F(4x4, 3x3) ----
   36 products [tiles, depth] [depth, columns] between the transforms of >>kernels. Tiles of all images stand in one
   line and pass in blocks, so that small maps fill register tiles as well as large ones do. A block's transformed input
   V is multiplied with panels of the transformed weights U, and M, the products, is transformed back. V and M hold all
   points of one tile together, so that a transform writes and reads in one place.

   Nothing of the weights is kept from pass to pass. Few tiles transform them on the way, a panel's slice of channels
   and a line of six points at a time, which are multiplied from the first-level cache while the next slice of the plain
   weights, a quarter of U's bytes, comes nearer. For more tiles U is transformed once, into a place that all layers
   share.

   What did not pay (Zen 3, AVX2): V and M point by point instead of tile by tile (5 to 20% slower: each transform goes
   through 36 pages); fetching the next block's input or this one's output while products of many channels run (0 to 2%;
   of few it pays, see ssdei_winograd_ahead_of_block); packing a few channels of U at a time, all points of them; F(2x2,
   3x3), which has fewer multiplications only on maps 1 or 2 pixels high or wide; for the register tile, unrolling along
   the sum, or several heights, a loop over tiles or one over panels in one function (gcc 12 spills). And on a Xeon with
   AVX-512: other register tiles (6 x 4, 8 x 3, 9 x 3, 14 x 2 vectors) or unrolled sums (all 182 of 207 GFLOP/s, as 12 x
   2); transforming weights anew for each of several blocks (a third of the time, where U through the last-level cache
   costs a tenth); reading plain weights for that where they lie, six times, instead of from a copy of the slice (rows a
   kB apart fall into an eighth of a cache's sets). For 32 to 64 channels: the input's transform in three parts whose
   halves fit the registers, with windows over the border copied first (AVX-512 the same, AVX2 20 to 80% slower). */

enum {
    SSDEI_POINTS = 36,
    SSDEI_LINE_POINTS = 6,
    SSDEI_SLICE = 1024,     /* floats of one point of a slice of U: six of them fill half a first-level cache */
    SSDEI_BLOCK_TILES = 24, /* fewer read U too often, more push V and M out of the second-level cache; 36 are close */
    SSDEI_GROUP_COLUMNS = 256,     /* fewer read V from the second-level cache again, 128: 8% slower at 256 columns */
    SSDEI_SMALL_WEIGHTS = 64 * 64, /* whose U stays in the second-level cache */
    SSDEI_FEW_TILES = 48,          /* up to which U is not worth a way through memory */
    SSDEI_SUM_TILES = 48,          /* a block by weights, about: fewer read and write the sums too often */
    SSDEI_MOST_TILES = 72          /* the most of one block by weights, where that spares sums the way through memory */
};

typedef struct ssdei_winograd {
    ssdei_convolution c;
    size_t tiles_x, tiles_per_image, tiles;
    size_t step;                      /* pixels from one of a tile to the next: the dilation */
    size_t block, blocks;             /* tiles that pass together */
    size_t panels, group, groups;     /* panels that pass together */
    size_t tile_v, tile_m;            /* floats from one tile of V, of M to the next */
    size_t point_v, point_m, point_u; /* from one point to the next */
    size_t panel_u;                   /* from one panel of U to the next */
    size_t slice;                     /* input channels that are multiplied at a time */
    int keeps_u;                      /* all of U is transformed first; else what is multiplied next */
    int pad_y, pad_x;                 /* the first tile's window begins at (-pad_y, -pad_x) */
    /* by weights: transformed input and gradient of the block under way, and the sums over blocks */
    size_t first, count, point_sum, shared_floats;
    float *shared_v, *shared_w, *sums, *totals, *weights;
    const float *gradient;
} ssdei_winograd;

/* A product by Winograd needs all nine taps at stride 1. */
static int ssdei_winograd_possible(const ssdei_gather *g) { return g->taps == 9 && g->step == 1 && g->out_step == 1; }

/* A dilated convolution is one of each of dilation^2 grids of pixels, `dilation` apart, whose tiles are cut apart.
   Tiles of 4 along an axis of so many pixels. */
static size_t ssdei_winograd_axis(size_t size, size_t step) {
    size_t longer = size % step, least = size / step;
    return longer * ssdei_divide_up(least + 1, 4) + (step - longer) * ssdei_divide_up(least, 4);
}

/* The first pixel of one of them. */
static size_t ssdei_winograd_origin(size_t tile, size_t size, size_t step) {
    size_t longer = size % step, least = size / step, first = 0, tiles = ssdei_divide_up(least + 1, 4);
    if (step == 1) return 4 * tile;
    if (tile >= longer * tiles) {
        first = longer;
        tile -= longer * tiles;
        tiles = ssdei_divide_up(least, 4);
    }
    return first + tile / tiles + tile % tiles * 4 * step;
}

/* Multiply-adds of 36 points per tile against nine taps per pixel; a transform costs about as much per channel as 8
   columns of the product, a register tile's coming and going as 6 channels. Fewer than 8 columns cost a product as much
   as 8. Small maps waste what their last tiles hang over. */
static int ssdei_winograd_pays(const ssdei_gather *g) {
    double tiles = (double)ssdei_winograd_axis(g->out_height, (size_t)g->dilation) *
                   (double)ssdei_winograd_axis(g->out_width, (size_t)g->dilation);
    double depth = (double)g->depth, columns = (double)g->columns;
    double wide = columns < 8.0 ? 8.0 : columns;
    double direct = 9.0 * (double)g->out_height * (double)g->out_width * depth * wide;
    return (double)SSDEI_POINTS * tiles * ((depth + 6.0) * wide + 8.0 * (depth + columns)) < direct;
}

static int ssdei_use_winograd(const ssde_run *run, const ssdei_gather *g) {
    if (run->convolution == SSDE_CONVOLUTION_DIRECT || !ssdei_winograd_possible(g)) return 0;
    return run->convolution == SSDE_CONVOLUTION_WINOGRAD || ssdei_winograd_pays(g);
}

SSDEI_ONCE_BEGIN

/* All but its blocks. */
static ssdei_winograd ssdei_winograd_plan(const ssdei_gather *g, size_t rows) {
    ssdei_winograd w;
    int q;
    memset(&w, 0, sizeof w);
    w.c.gather = g;
    for (q = 0; q < g->taps; q++) {
        if (w.pad_y < -g->tap_y[q]) w.pad_y = -g->tap_y[q];
        if (w.pad_x < -g->tap_x[q]) w.pad_x = -g->tap_x[q];
    }
    w.step = (size_t)g->dilation;
    w.tiles_x = ssdei_winograd_axis(g->out_width, w.step);
    w.tiles_per_image = w.tiles_x * ssdei_winograd_axis(g->out_height, w.step);
    w.tiles = rows * w.tiles_per_image;
    w.panels = ssdei_divide_up(g->columns, g->kernels->tile_columns);
    w.point_v = ssdei_divide_up(g->depth, SSDEI_LINE) * SSDEI_LINE;
    w.tile_v = SSDEI_POINTS * w.point_v + SSDEI_LINE;
    w.panel_u = g->depth * g->kernels->tile_columns + SSDEI_LINE;
    w.point_u = w.panels * w.panel_u;
    return w;
}

static void ssdei_winograd_cut(ssdei_winograd *w, size_t block, size_t group) {
    size_t tile_rows = w->c.gather->kernels->tile_rows, columns = w->c.gather->kernels->tile_columns;
    w->block = block / tile_rows * tile_rows;
    w->blocks = ssdei_divide_up(w->tiles, w->block);
    w->group = group / columns < w->panels ? group / columns : w->panels;
    w->groups = ssdei_divide_up(w->panels, w->group);
    w->point_m = w->group * columns;
    w->tile_m = SSDEI_POINTS * w->point_m + SSDEI_LINE;
}

/* Channels whose weights are transformed at a time. A narrow panel's lines of 16 floats are worth a longer slice, which
   leaves the first-level cache (AVX2: 5 to 20% faster than 64 channels, where AVX-512 loses as much beyond 32). */
static size_t ssdei_winograd_slice(const ssdei_gather *g) {
    size_t width = g->kernels->tile_columns;
    return ssdei_least(width < 32 ? (size_t)SSDEI_DEPTH_BLOCK : SSDEI_SLICE / width, g->depth);
}

/* Into blocks that fill register tiles, of a group of panels. Few tiles transform their weights as they go, panel by
   panel and slice by slice, so that U needs no place. Others read a U that is kept, and several panels of it at a time,
   so that each point of V comes once into the first-level cache for all of them. */
static void ssdei_winograd_decide(ssdei_winograd *w) {
    const ssdei_gather *g = w->c.gather;
    size_t width = g->kernels->tile_columns;
    w->keeps_u = w->tiles > SSDEI_FEW_TILES;
    if (w->keeps_u) {
        ssdei_winograd_cut(w, SSDEI_BLOCK_TILES, SSDEI_GROUP_COLUMNS);
        w->slice = ssdei_block_depth(g->depth);
        w->point_u = w->panels * w->panel_u;
    } else {
        ssdei_winograd_cut(w, ssdei_divide_up(SSDEI_FEW_TILES, g->kernels->tile_rows) * g->kernels->tile_rows, width);
        w->slice = ssdei_winograd_slice(g);
        w->point_u = w->slice * width + SSDEI_LINE;
    }
}

/* One task's workspace: V, M for one group, a line of U, and weights the way the pass forward reads them. */
typedef struct ssdei_winograd_space {
    float *v, *m, *u, *weights;
    size_t floats;
} ssdei_winograd_space;

/* workspace NULL: only how many floats it takes */
static ssdei_winograd_space ssdei_winograd_layout(const ssdei_winograd *w, float *workspace) {
    const ssdei_gather *g = w->c.gather;
    size_t slice = ssdei_winograd_slice(g) * g->kernels->tile_columns;
    ssdei_winograd_space space;
    memset(&space, 0, sizeof space);
    space.weights = ssdei_take(workspace, &space.floats, 9 * (slice + SSDEI_LINE));
    space.u = ssdei_take(workspace, &space.floats, SSDEI_LINE_POINTS * (slice + SSDEI_LINE));
    space.m = ssdei_take(workspace, &space.floats, (w->block + SSDEI_ROWS_BEYOND) * w->tile_m);
    space.v = ssdei_take(workspace, &space.floats, (w->block + SSDEI_ROWS_BEYOND) * w->tile_v);
    return space;
}

SSDEI_ONCE_END

static size_t ssdei_winograd_workspace(const ssdei_gather *g, size_t rows) {
    ssdei_winograd w = ssdei_winograd_plan(g, rows);
    size_t floats;
    ssdei_winograd_decide(&w);
    floats = ssdei_winograd_layout(&w, NULL).floats;
    if (w.keeps_u) w.tiles = SSDEI_FEW_TILES; /* fewer rows than planned for */
    ssdei_winograd_decide(&w);
    return ssdei_max(floats, ssdei_winograd_layout(&w, NULL).floats);
}

/* Row and column of a tile's first output pixel; returns its image. */
static size_t ssdei_winograd_tile(const ssdei_winograd *w, size_t tile, size_t *y, size_t *x) {
    size_t within = tile % w->tiles_per_image;
    *y = ssdei_winograd_origin(within / w->tiles_x, w->c.gather->out_height, w->step);
    *x = ssdei_winograd_origin(within % w->tiles_x, w->c.gather->out_width, w->step);
    return tile / w->tiles_per_image;
}

/* The part of a line of six pixels, `step` apart from `from` - pad on, that lies in a line of `size`. */
static void ssdei_winograd_inside(size_t from, int pad, size_t step, size_t size, size_t *first, size_t *end) {
    size_t before = (size_t)pad, all = size + before;
    *first = from < before ? ssdei_divide_up(before - from, step) : 0;
    *end = from < all ? ssdei_least(ssdei_divide_up(all - from, step), 6) : 0;
}

/* Some channels of a tile's input. */
static void ssdei_winograd_transform(const ssdei_winograd *w, size_t tile, size_t channel, size_t channels, float *v,
                                     size_t point) {
    const ssdei_gather *g = w->c.gather;
    size_t y, x, image = ssdei_winograd_tile(w, tile, &y, &x);
    ssdei_window inside;
    ssdei_winograd_inside(y, w->pad_y, w->step, g->height, &inside.top, &inside.bottom);
    ssdei_winograd_inside(x, w->pad_x, w->step, g->width, &inside.left, &inside.right);
    y += inside.top * w->step - (size_t)w->pad_y;
    x += inside.left * w->step - (size_t)w->pad_x;
    w->c.run->nn->winograd_input(w->c.x + ((image * g->height + y) * g->width + x) * g->depth + channel,
                                 w->step * g->width * g->depth, w->step * g->depth, channels, &inside, v, point);
}

/* U[36][panels][depth][tile_columns], where it is kept */
static size_t ssdei_winograd_packed_size(const ssdei_gather *g, size_t rows) {
    ssdei_winograd w = ssdei_winograd_plan(g, rows);
    ssdei_winograd_decide(&w);
    return w.keeps_u ? ssdei_multiply(SSDEI_POINTS, w.point_u) : 0;
}

/* weights[9][channels][tile_columns] of a panel's channels k ..., backward turned by 180 degrees and transposed;
   `tap` floats from one tap to the next */
static void ssdei_winograd_gather(const ssdei_winograd *w, size_t panel, size_t k, size_t channels, float *weights,
                                  size_t tap) {
    const ssdei_gather *g = w->c.gather;
    size_t width = g->kernels->tile_columns, column = panel * width, all = g->depth * g->columns, q, i;
    size_t columns = g->columns - column < width ? g->columns - column : width;
    for (q = 0; q < 9; q++, weights += tap) {
        if (g->direction == SSDEI_BACKWARD)
            g->kernels->transpose(w->c.weights + (8 - q) * all + column * g->depth + k, g->depth, columns, channels,
                                  weights, width);
        else
            for (i = 0; i < channels; i++)
                memcpy(weights + i * width, w->c.weights + q * all + (k + i) * g->columns + column,
                       columns * sizeof *weights);
    }
}

/* Channels k ... of a panel at a line of six points: u[6][channels][tile_columns], from gathered weights */
static void ssdei_winograd_pack(const ssdei_winograd *w, size_t panel, size_t channels, const float *weights,
                                size_t tap, size_t line, float *u) {
    const ssdei_gather *g = w->c.gather;
    size_t width = g->kernels->tile_columns, left = g->columns - panel * width;
    w->c.run->nn->winograd_weights(weights, tap, width, channels, left < width ? left : width, g->weight_scale, line, u,
                                   w->point_u);
}

/* What comes nearer while a point is multiplied with channels k ...: its share of the weights that are next, in cache
   lines along columns forward, along channels backward. */
static void ssdei_winograd_ahead(const ssdei_winograd *w, size_t panel, size_t point, size_t k, ssdei_strip *work) {
    const ssdei_gather *g = w->c.gather;
    size_t width = g->kernels->tile_columns, lines = ssdei_divide_up(width, SSDEI_LINE),
           share = SSDEI_POINTS / 9 / lines;
    size_t line = point / share % lines, next = k + w->slice < g->depth ? k + w->slice : 0;
    size_t column = (panel + (next ? 0 : 1)) * width;
    const float *tap = w->c.weights + point / share / lines * g->depth * g->columns;
    work->ahead = work->packed;
    work->ahead_stride = 0;
    if (point % share || column >= g->columns) return;
    if (g->direction == SSDEI_FORWARD) {
        work->ahead = tap + column + next * g->columns + line * SSDEI_LINE;
        work->ahead_stride = g->columns;
    } else {
        work->ahead = tap + (column + line * SSDEI_LINE) * g->depth + next;
        work->ahead_stride = g->depth;
    }
}

/* Where weights are few they stay in the second-level cache, and a batch's tensors do not: the first half of a block's
   products brings the next one's share of the input nearer, the second half this one's of the output (convolutions of
   32 to 64 channels gain 10%). */
static void ssdei_winograd_ahead_of_block(const ssdei_winograd *w, size_t products, int out, size_t first, size_t count,
                                          ssdei_strip *work) {
    const ssdei_gather *g = w->c.gather;
    size_t image = out ? g->out_height * g->out_width * g->columns : g->height * g->width * g->depth;
    const float *from = out ? w->c.out : w->c.x + count * image / w->tiles_per_image;
    work->ahead = from + first * image / w->tiles_per_image;
    work->ahead_stride = ssdei_divide_up(count * image, w->tiles_per_image * products * work->depth);
}

/* M[count][36][point_m] of a group of panels. Channels pass by slices and points line by line, so that the weights of a
   line, transformed just before, lie in the first-level cache. */
static void ssdei_winograd_multiply(const ssdei_winograd *w, size_t first_panel, size_t end_panel, size_t first,
                                    size_t count, const ssdei_winograd_space *space) {
    const ssdei_gather *g = w->c.gather;
    size_t width = g->kernels->tile_columns, tap = w->slice * width + SSDEI_LINE, k, point, panel;
    size_t tiles = ssdei_divide_up(count, g->kernels->tile_rows), half = SSDEI_POINTS / 2;
    int few = !w->c.weights && g->depth * g->columns <= SSDEI_SMALL_WEIGHTS;
    ssdei_strip work;
    memset(&work, 0, sizeof work);
    work.stride_a = w->tile_v;
    work.stride_c = w->tile_m;
    work.rows = count;
    work.ahead_stride = SSDEI_LINE;
    for (k = 0; k < g->depth; k += w->slice) {
        work.depth = g->depth - k < w->slice ? g->depth - k : w->slice;
        work.accumulate = k > 0;
        if (w->c.weights) ssdei_winograd_gather(w, first_panel, k, work.depth, space->weights, tap);
        for (point = 0; point < SSDEI_POINTS; point++) {
            if (w->c.weights && point % SSDEI_LINE_POINTS == 0)
                ssdei_winograd_pack(w, first_panel, work.depth, space->weights, tap, point / SSDEI_LINE_POINTS,
                                    space->u);
            if (few && point % half == 0)
                ssdei_winograd_ahead_of_block(w, half * (end_panel - first_panel) * tiles, point > 0, first, count,
                                              &work);
            work.a = space->v + point * w->point_v + k;
            for (panel = first_panel; panel < end_panel; panel++) {
                work.c = space->m + point * w->point_m + (panel - first_panel) * width;
                if (w->c.weights) {
                    work.packed = space->u + point % SSDEI_LINE_POINTS * w->point_u;
                    ssdei_winograd_ahead(w, panel, point, k, &work);
                } else {
                    work.packed = w->c.packed + point * w->point_u + panel * w->panel_u + k * width;
                    if (!few) work.ahead = work.packed + w->panel_u;
                }
                g->kernels->strip(&work);
                work.ahead += tiles * work.depth * work.ahead_stride;
            }
        }
    }
}

/* One output tile, of the columns that begin with panel first_panel */
static void ssdei_winograd_store(const ssdei_winograd *w, size_t first_panel, size_t tile, const float *m) {
    const ssdei_gather *g = w->c.gather;
    size_t column = first_panel * g->kernels->tile_columns, left = g->columns - column, y, x;
    size_t image = ssdei_winograd_tile(w, tile, &y, &x);
    size_t pixel = y * g->out_width + x;
    float *to = w->c.out + (image * g->out_height * g->out_width + pixel) * g->columns + column;
    ssdei_epilogue epilogue;
    epilogue.bias = w->c.bias ? w->c.bias + column : NULL;
    epilogue.residual = w->c.accumulate ? to : NULL;
    epilogue.pixel = w->step * (w->c.accumulate ? g->columns : w->c.residual_pixel);
    epilogue.row = epilogue.pixel * g->out_width;
    if (w->c.residual)
        epilogue.residual = w->c.residual + image * w->c.residual_image + pixel * w->c.residual_pixel + column;
    epilogue.scale = w->c.scale;
    w->c.run->nn->winograd_output(
        m, w->point_m, left < w->point_m ? left : w->point_m, &epilogue, to, w->step * g->out_width * g->columns,
        w->step * g->columns, ssdei_divide_up(g->out_height - y, w->step), ssdei_divide_up(g->out_width - x, w->step));
}

/* Rows that the last register tile may reach beyond `count` are read, but count for nothing. */
static void ssdei_winograd_transform_block(const ssdei_winograd *w, size_t first, size_t count, float *v) {
    const ssdei_gather *g = w->c.gather;
    size_t beyond = count % g->kernels->tile_rows ? SSDEI_ROWS_BEYOND : 0, i;
    for (i = 0; i < count; i++) ssdei_winograd_transform(w, first + i, 0, g->depth, v + i * w->tile_v, w->point_v);
    memset(v + count * w->tile_v, 0, beyond * w->tile_v * sizeof *v);
}

/* A block's first tile. Blocks differ by at most one step, so that workers get equal shares. */
static size_t ssdei_winograd_first(const ssdei_winograd *w, size_t block) {
    size_t step = ssdei_row_step(w->c.gather->kernels);
    return ssdei_least(ssdei_divide_up(w->tiles, step) * block / w->blocks * step, w->tiles);
}

/* Units of work are a block and a group; a worker that goes on with another group of its block keeps V. */
static void ssdei_winograd_run(void *argument, ssdei_worker *worker) {
    const ssdei_winograd *w = (const ssdei_winograd *)argument;
    ssdei_winograd_space space = ssdei_winograd_layout(w, ssdei_workspace(w->c.run, worker->index));
    size_t begin, end, transformed = SSDEI_NOWHERE, i;
    while (ssdei_next_piece(worker, &begin, &end)) {
        for (; begin < end; begin++) {
            size_t block = begin / w->groups, first_panel = begin % w->groups * w->group;
            size_t first = ssdei_winograd_first(w, block), count = ssdei_winograd_first(w, block + 1) - first;
            size_t end_panel = w->panels - first_panel < w->group ? w->panels : first_panel + w->group;
            if (block != transformed) ssdei_winograd_transform_block(w, first, count, space.v);
            transformed = block;
            ssdei_winograd_multiply(w, first_panel, end_panel, first, count, &space);
            for (i = 0; i < count; i++) ssdei_winograd_store(w, first_panel, first + i, space.m + i * w->tile_m);
        }
    }
}

static void ssdei_winograd_pack_panel(const ssdei_winograd *w, size_t panel, float *weights) {
    const ssdei_gather *g = w->c.gather;
    size_t width = g->kernels->tile_columns, slice = ssdei_winograd_slice(g), tap = slice * width + SSDEI_LINE, line, k;
    for (k = 0; k < g->depth; k += slice) {
        size_t channels = g->depth - k < slice ? g->depth - k : slice;
        ssdei_winograd_gather(w, panel, k, channels, weights, tap);
        for (line = 0; line < SSDEI_LINE_POINTS; line++)
            ssdei_winograd_pack(w, panel, channels, weights, tap, line,
                                w->c.packed + line * SSDEI_LINE_POINTS * w->point_u + panel * w->panel_u + k * width);
    }
}

static void ssdei_winograd_pack_run(void *argument, ssdei_worker *worker) {
    const ssdei_winograd *w = (const ssdei_winograd *)argument;
    ssdei_winograd_space space = ssdei_winograd_layout(w, ssdei_workspace(w->c.run, worker->index));
    size_t begin, end;
    while (ssdei_next_piece(worker, &begin, &end))
        for (; begin < end; begin++) ssdei_winograd_pack_panel(w, begin, space.weights);
}

static void ssdei_pack_run(void *argument, ssdei_worker *worker) {
    const ssdei_convolution *c = (const ssdei_convolution *)argument;
    size_t begin, end;
    while (ssdei_next_piece(worker, &begin, &end))
        for (; begin < end; begin++) ssdei_pack_panel(c, begin);
}

static void ssdei_winograd_convolve(ssdei_convolution *c) {
    ssdei_winograd w = ssdei_winograd_plan(c->gather, c->run->rows);
    ssdei_winograd_decide(&w);
    w.c = *c;
    if (w.keeps_u) {
        w.blocks = ssdei_even_pieces(c->run, w.blocks, ssdei_divide_up(w.tiles, ssdei_row_step(c->gather->kernels)));
        ssdei_parallel_for(c->run->team, w.panels, 1, ssdei_winograd_pack_run, &w);
        w.c.weights = NULL;
    }
    ssdei_parallel_for(c->run->team, w.blocks * w.groups, 1, ssdei_winograd_run, &w);
}

/* ---- products: Winograd's gradient by weights ----
   Block after block of tiles: their inputs and gradients are transformed, then each of the 36 points adds its product
   [depth, tiles] [tiles, columns] to sums that are transformed back at the end. Every sum belongs to one unit of work
   and takes tiles in order. */

SSDEI_ONCE_BEGIN

/* With what all tasks share: sums, V, the transformed gradients of a block and their totals; shared NULL: only how many
   floats these take. */
static ssdei_winograd ssdei_winograd_gradient_plan(const ssdei_gather *g, size_t rows, float *shared) {
    ssdei_winograd w = ssdei_winograd_plan(g, rows);
    size_t points = SSDEI_POINTS * w.panels;
    w.blocks = w.tiles < SSDEI_MOST_TILES ? 1 : (w.tiles + SSDEI_SUM_TILES / 2) / SSDEI_SUM_TILES;
    w.block = ssdei_divide_up(w.tiles, w.blocks);
    w.point_m = SSDEI_MOST_TILES * g->kernels->tile_columns + SSDEI_LINE;
    w.point_sum = g->depth * g->kernels->tile_columns + SSDEI_LINE;
    w.sums = ssdei_take(shared, &w.shared_floats, ssdei_multiply(points, w.point_sum));
    w.shared_v = ssdei_take(shared, &w.shared_floats, SSDEI_MOST_TILES * w.tile_v);
    w.shared_w = ssdei_take(shared, &w.shared_floats, ssdei_multiply(points, w.point_m));
    w.totals = ssdei_take(shared, &w.shared_floats, SSDEI_MOST_TILES * g->columns);
    return w;
}

SSDEI_ONCE_END

/* W of some output channels of a tile, panel by panel, and the totals of their dy. */
static void ssdei_winograd_transform_gradient(const ssdei_winograd *w, const float *dy, size_t tile, size_t column,
                                              size_t columns, float *to, size_t panel, size_t point, float *totals) {
    const ssdei_gather *g = w->c.gather;
    size_t width = g->kernels->tile_columns, y, x, image = ssdei_winograd_tile(w, tile, &y, &x), i;
    dy += ((image * g->out_height + y) * g->out_width + x) * g->columns + column;
    for (i = 0; i < columns; i += width, to += panel)
        w->c.run->nn->winograd_gradient(dy + i, w->step * g->out_width * g->columns, w->step * g->columns,
                                        ssdei_divide_up(g->out_height - y, w->step),
                                        ssdei_divide_up(g->out_width - x, w->step), ssdei_least(columns - i, width),
                                        w->c.scale, to, point, totals + i);
}

static void ssdei_winograd_gradient_transform(void *argument, ssdei_worker *worker) {
    const ssdei_winograd *w = (const ssdei_winograd *)argument;
    const ssdei_gather *g = w->c.gather;
    size_t width = g->kernels->tile_columns, begin, end, i;
    while (ssdei_next_piece(worker, &begin, &end))
        for (i = begin; i < end; i++) {
            ssdei_winograd_transform_gradient(w, w->gradient, w->first + i, 0, g->columns, w->shared_w + i * width,
                                              SSDEI_POINTS * w->point_m, w->point_m, w->totals + i * g->columns);
            ssdei_winograd_transform(w, w->first + i, 0, g->depth, w->shared_v + i * w->tile_v, w->point_v);
        }
}

/* sums[depth][tile_columns] (+)= the product of one point and one panel of the block */
static void ssdei_winograd_gradient_point(const ssdei_winograd *w, const float *const *rows, size_t point, size_t panel,
                                          float *sums) {
    const ssdei_kernels *kernels = w->c.gather->kernels;
    ssdei_outer work;
    memset(&work, 0, sizeof work);
    work.count = w->count;
    work.a = rows;
    work.offset = point * w->point_v;
    work.tile = kernels->tile_rows;
    work.b = w->shared_w + (panel * SSDEI_POINTS + point) * w->point_m;
    work.c = sums;
    work.b_stride = work.stride = work.columns = kernels->tile_columns;
    work.rows = w->c.gather->depth;
    work.accumulate = w->first > 0;
    work.next_a = 2 * kernels->tile_rows - 1; /* the next register tile's */
    work.next_b = 1024;
    kernels->outer(&work);
}

/* One panel's sums[36] to the weights' gradient */
static void ssdei_winograd_gradient_store(const ssdei_winograd *w, size_t panel, const float *sums) {
    const ssdei_gather *g = w->c.gather;
    size_t width = g->kernels->tile_columns, column = panel * width, k;
    for (k = 0; k < g->depth; k++)
        w->c.run->nn->winograd_weight_gradient(sums + k * width, w->point_sum,
                                               g->columns - column < width ? g->columns - column : width,
                                               w->weights + k * g->columns + column, g->depth * g->columns);
}

/* Rows of V for the outer products, in a task's workspace, which is larger for the pass forward. */
static const float *const *ssdei_winograd_gradient_rows(const ssdei_winograd *w, size_t task) {
    const float **rows = (const float **)(void *)ssdei_workspace(w->c.run, task);
    size_t i;
    for (i = 0; i < w->count; i++) rows[i] = w->shared_v + i * w->tile_v;
    return rows;
}

static void ssdei_winograd_gradient_sum(void *argument, ssdei_worker *worker) {
    const ssdei_winograd *w = (const ssdei_winograd *)argument;
    const float *const *rows = ssdei_winograd_gradient_rows(w, worker->index);
    size_t begin, end, unit;
    while (ssdei_next_piece(worker, &begin, &end))
        for (unit = begin; unit < end; unit++) {
            size_t point = unit / w->panels, panel = unit % w->panels;
            ssdei_winograd_gradient_point(w, rows, point, panel,
                                          w->sums + (panel * SSDEI_POINTS + point) * w->point_sum);
        }
}

static void ssdei_winograd_gradient_finish(void *argument, ssdei_worker *worker) {
    const ssdei_winograd *w = (const ssdei_winograd *)argument;
    size_t begin, end, panel;
    while (ssdei_next_piece(worker, &begin, &end))
        for (panel = begin; panel < end; panel++)
            ssdei_winograd_gradient_store(w, panel, w->sums + panel * SSDEI_POINTS * w->point_sum);
}

/* Few tiles, or few channels, pass otherwise. A unit of work owns a block of input and of output channels and a segment
   of the tiles. The 36 sums of its channels stay in the second-level cache with V and W of a block of tiles; it
   transforms its channels of all its tiles, multiplies, and transforms its sums back. Units that share channels
   transform them anew, which costs less than the way of V, W and the sums through memory. Where one unit has all the
   channels, segments make several, for threads, and what they have is added in order.

   What did not pay (Xeon with AVX-512): units where there are many channels and many tiles (4 to 6% slower with 128 or
   512 channels: x and dy are waited for, again in each unit), also with larger units, with V and W tile by tile, or
   with the next block's pixels fetched while products run. */

enum {
    SSDEI_UNIT_TILES = 32,
    SSDEI_UNIT_DEPTH = 64,
    SSDEI_UNIT_COLUMNS = 64,
    SSDEI_SEGMENTS = 8,
    SSDEI_SEGMENT_BLOCKS = 4
};

typedef struct ssdei_winograd_weight_work {
    ssdei_winograd w;
    size_t depth, columns, blocks, groups; /* of a unit; units along the input and the output channels */
    size_t segment, segments;              /* tiles of a unit */
    size_t point_v, point_w, point_sum;    /* floats from one point to the next */
    const float *gradient;
    float *weights, *parts; /* parts[segments - 1][9][depth][columns]: what segments after the first add */
    double *bias, *part_sums;
    size_t shared_floats; /* parts[], part_sums[segments - 1][panels][tile_columns] */
} ssdei_winograd_weight_work;

/* A task's workspace: V[36][tiles][depth], W[36][panels][tiles][tile_columns], sums[36][panels][depth][tile_columns],
   and the totals of the tiles' gradients. */
typedef struct ssdei_winograd_sums {
    float *v, *w, *sums, *totals;
    const float **rows; /* of V at the first point */
    size_t floats;
} ssdei_winograd_sums;

SSDEI_ONCE_BEGIN

/* Whether one unit has all channels. */
static int ssdei_winograd_few_channels(const ssdei_gather *g) {
    return g->depth <= SSDEI_UNIT_DEPTH && g->columns <= SSDEI_UNIT_COLUMNS;
}

/* Segments of at least SSDEI_SEGMENT_BLOCKS blocks of tiles */
static void ssdei_winograd_weight_segments(ssdei_winograd_weight_work *work, size_t most) {
    size_t least = SSDEI_SEGMENT_BLOCKS * SSDEI_UNIT_TILES, segments = work->w.tiles / least;
    if (segments > most) segments = most;
    work->segment = ssdei_divide_up(work->w.tiles, segments ? segments : 1);
    work->segment = ssdei_divide_up(work->segment, SSDEI_UNIT_TILES) * SSDEI_UNIT_TILES;
    work->segments = ssdei_divide_up(work->w.tiles, work->segment);
}

/* All but its tensors; shared NULL: only how many floats of what all tasks share it takes. */
static ssdei_winograd_weight_work ssdei_winograd_weight_plan(const ssdei_gather *g, size_t rows, float *shared) {
    ssdei_winograd_weight_work work;
    size_t width = g->kernels->tile_columns, most = ssdei_divide_up(SSDEI_UNIT_COLUMNS, width), segments;
    memset(&work, 0, sizeof work);
    work.w = ssdei_winograd_plan(g, rows);
    work.blocks = ssdei_divide_up(g->depth, SSDEI_UNIT_DEPTH);
    work.depth = ssdei_divide_up(ssdei_divide_up(g->depth, work.blocks), SSDEI_LINE) * SSDEI_LINE;
    work.blocks = ssdei_divide_up(g->depth, work.depth);
    work.groups = ssdei_divide_up(work.w.panels, most);
    work.columns = ssdei_divide_up(work.w.panels, work.groups) * width;
    work.groups = ssdei_divide_up(g->columns, work.columns);
    work.point_v = SSDEI_UNIT_TILES * work.depth + SSDEI_LINE;
    work.point_w = SSDEI_UNIT_TILES * work.columns + SSDEI_LINE;
    work.point_sum = work.depth * work.columns + SSDEI_LINE;
    segments = ssdei_winograd_few_channels(g) ? SSDEI_SEGMENTS : 1;
    ssdei_winograd_weight_segments(&work, segments);
    work.parts = ssdei_take(shared, &work.shared_floats, (segments - 1) * 9 * g->depth * g->columns);
    work.part_sums = (double *)(void *)ssdei_take(
        shared, &work.shared_floats, (segments - 1) * work.w.panels * width * sizeof(double) / sizeof(float));
    return work;
}

/* workspace NULL: only how many floats it takes */
static ssdei_winograd_sums ssdei_winograd_weight_layout(const ssdei_winograd_weight_work *work, float *workspace) {
    ssdei_winograd_sums space;
    memset(&space, 0, sizeof space);
    space.rows = ssdei_take_pointers(workspace, &space.floats, SSDEI_UNIT_TILES);
    space.v = ssdei_take(workspace, &space.floats, SSDEI_POINTS * work->point_v + SSDEI_MAX_TILE_ROWS);
    space.w = ssdei_take(workspace, &space.floats, SSDEI_POINTS * work->point_w);
    space.sums = ssdei_take(workspace, &space.floats, SSDEI_POINTS * work->point_sum);
    space.totals = ssdei_take(workspace, &space.floats, SSDEI_UNIT_TILES * work->columns);
    return space;
}

SSDEI_ONCE_END

/* A unit's tiles, its input and its output channels, and where its part of the gradient goes. */
typedef struct ssdei_winograd_unit {
    size_t first, end, channel, depth, column, columns;
    float *weights;
    double *bias;
} ssdei_winograd_unit;

/* A unit by its number; segments after the first begin their part with zeros. */
static ssdei_winograd_unit ssdei_winograd_weight_cut(const ssdei_winograd_weight_work *work, size_t index) {
    const ssdei_gather *g = work->w.c.gather;
    size_t units = work->blocks * work->groups, segment = index / units, k;
    size_t padded = work->w.panels * g->kernels->tile_columns, all = 9 * g->depth * g->columns;
    ssdei_winograd_unit unit;
    unit.first = segment * work->segment;
    unit.end = work->w.tiles - unit.first < work->segment ? work->w.tiles : unit.first + work->segment;
    unit.channel = index % units / work->groups * work->depth;
    unit.depth = g->depth - unit.channel < work->depth ? g->depth - unit.channel : work->depth;
    unit.column = index % work->groups * work->columns;
    unit.columns = g->columns - unit.column < work->columns ? g->columns - unit.column : work->columns;
    unit.weights = segment ? work->parts + (segment - 1) * all : work->weights;
    unit.bias = segment ? work->part_sums + (segment - 1) * padded : work->bias;
    for (k = 0; segment && k < 9 * unit.depth; k++)
        memset(unit.weights + (k / unit.depth * g->depth + unit.channel + k % unit.depth) * g->columns + unit.column, 0,
               unit.columns * sizeof *unit.weights);
    if (segment && !unit.channel) memset(unit.bias + unit.column, 0, unit.columns * sizeof *unit.bias);
    return unit;
}

/* sums (+)= the products of a block of tiles */
static void ssdei_winograd_weight_multiply(const ssdei_winograd_weight_work *work, const ssdei_winograd_unit *unit,
                                           const ssdei_winograd_sums *space, size_t count, int accumulate) {
    const ssdei_kernels *kernels = work->w.c.gather->kernels;
    size_t width = kernels->tile_columns, point, column;
    ssdei_outer outer;
    memset(&outer, 0, sizeof outer);
    outer.count = count;
    outer.tile = kernels->tile_rows;
    outer.a = space->rows;
    outer.b_stride = outer.stride = outer.columns = width;
    outer.rows = unit->depth;
    outer.accumulate = accumulate;
    outer.next_a = work->point_v;
    outer.next_b = SSDEI_UNIT_TILES * width;
    for (point = 0; point < SSDEI_POINTS; point++) {
        for (column = 0; column < unit->columns; column += width) {
            outer.offset = point * work->point_v;
            outer.b = space->w + point * work->point_w + column * SSDEI_UNIT_TILES;
            outer.c = space->sums + point * work->point_sum + column * work->depth;
            kernels->outer(&outer);
        }
    }
}

/* A unit's sums to the weights' gradient */
static void ssdei_winograd_weight_store(const ssdei_winograd_weight_work *work, const ssdei_winograd_unit *unit,
                                        const float *sums) {
    const ssdei_gather *g = work->w.c.gather;
    size_t width = g->kernels->tile_columns, column, k;
    for (k = 0; k < unit->depth; k++)
        for (column = 0; column < unit->columns; column += width)
            work->w.c.run->nn->winograd_weight_gradient(
                sums + column * work->depth + k * width, work->point_sum,
                unit->columns - column < width ? unit->columns - column : width,
                unit->weights + (unit->channel + k) * g->columns + unit->column + column, g->depth * g->columns);
}

static void ssdei_winograd_weight_unit(const ssdei_winograd_weight_work *work, const ssdei_winograd_unit *unit,
                                       const ssdei_winograd_sums *space) {
    size_t width = work->w.c.gather->kernels->tile_columns, first, count, i;
    for (first = unit->first; first < unit->end; first += count) {
        count = unit->end - first < SSDEI_UNIT_TILES ? unit->end - first : (size_t)SSDEI_UNIT_TILES;
        for (i = 0; i < count; i++) {
            ssdei_winograd_transform_gradient(&work->w, work->gradient, first + i, unit->column, unit->columns,
                                              space->w + i * width, SSDEI_UNIT_TILES * width, work->point_w,
                                              space->totals + i * unit->columns);
            ssdei_winograd_transform(&work->w, first + i, unit->channel, unit->depth, space->v + i * work->depth,
                                     work->point_v);
        }
        if (!unit->channel)
            work->w.c.run->nn->channel_sums(space->totals, count, unit->columns, unit->bias + unit->column);
        ssdei_winograd_weight_multiply(work, unit, space, count, first > unit->first);
    }
    ssdei_winograd_weight_store(work, unit, space->sums);
}

static void ssdei_winograd_weight_run(void *argument, ssdei_worker *worker) {
    const ssdei_winograd_weight_work *work = (const ssdei_winograd_weight_work *)argument;
    ssdei_winograd_sums space = ssdei_winograd_weight_layout(work, ssdei_workspace(work->w.c.run, worker->index));
    size_t begin, end, i;
    for (i = 0; i < SSDEI_UNIT_TILES; i++) space.rows[i] = space.v + i * work->depth;
    while (ssdei_next_piece(worker, &begin, &end))
        for (; begin < end; begin++) {
            ssdei_winograd_unit unit = ssdei_winograd_weight_cut(work, begin);
            ssdei_winograd_weight_unit(work, &unit, &space);
        }
}

/* Adds what the segments after the first have for rows of weights [9 depth][columns]. */
static void ssdei_winograd_weight_add(void *argument, ssdei_worker *worker) {
    const ssdei_winograd_weight_work *work = (const ssdei_winograd_weight_work *)argument;
    const ssdei_gather *g = work->w.c.gather;
    size_t all = 9 * g->depth * g->columns, begin, end, segment;
    while (ssdei_next_piece(worker, &begin, &end))
        for (segment = 1; segment < work->segments; segment++)
            work->w.c.run->nn->multiply_add(work->parts + (segment - 1) * all + begin * g->columns, 1.0f,
                                            (end - begin) * g->columns, 1, work->weights + begin * g->columns);
}

/* All units, and what their segments have, in order. */
static void ssdei_winograd_weight_units(ssdei_winograd_weight_work *work) {
    const ssdei_gather *g = work->w.c.gather;
    ssdei_team *team = work->w.c.run->team;
    size_t padded = work->w.panels * g->kernels->tile_columns, segment, column;
    ssdei_parallel_for(team, work->segments * work->blocks * work->groups, 1, ssdei_winograd_weight_run, work);
    if (work->segments == 1) return;
    ssdei_parallel_for(team, 9 * g->depth, SSDEI_LINE, ssdei_winograd_weight_add, work);
    for (segment = 1; segment < work->segments; segment++)
        for (column = 0; column < g->columns; column++)
            work->bias[column] += work->part_sums[(segment - 1) * padded + column];
}

/* weights[3][3][depth][columns] += the gradient, bias[columns] its part; the gradient dy counts c->scale times. */
static void ssdei_winograd_gradient(const ssdei_convolution *c, const float *dy, float *weights, double *bias) {
    const ssde_run *run = c->run;
    const ssdei_gather *g = c->gather;
    ssdei_winograd w = ssdei_winograd_gradient_plan(g, run->rows, run->arena + run->shared);
    size_t block;
    if (w.blocks == 1 || ssdei_winograd_few_channels(g)) {
        ssdei_winograd_weight_work work = ssdei_winograd_weight_plan(g, run->rows, run->arena + run->shared);
        work.w.c = *c;
        work.gradient = dy;
        work.weights = weights;
        work.bias = bias;
        ssdei_winograd_weight_units(&work);
        return;
    }
    w.c = *c;
    w.gradient = dy;
    w.weights = weights;
    for (block = 0; block < w.blocks; block++) {
        w.first = block * w.block;
        w.count = w.tiles - w.first < w.block ? w.tiles - w.first : w.block;
        ssdei_parallel_for(run->team, w.count, 1, ssdei_winograd_gradient_transform, &w);
        run->nn->channel_sums(w.totals, w.count, g->columns, bias);
        ssdei_parallel_for(run->team, w.panels * SSDEI_POINTS, 1, ssdei_winograd_gradient_sum, &w);
    }
    ssdei_parallel_for(run->team, w.panels, 1, ssdei_winograd_gradient_finish, &w);
}

/* ---- products: how each is computed ---- */

SSDEI_ONCE_BEGIN

static void ssdei_gather_decide(const ssde_run *run, ssdei_gather *g) {
    g->kernels = ssdei_kernels_narrow(run->kernels, g->columns);
    g->winograd = (signed char)ssdei_use_winograd(run, g);
    g->packed = g->winograd ? ssdei_winograd_packed_size(g, run->max_rows)
                            : ssdei_packed_size(g->kernels, (size_t)g->taps * g->depth, g->columns);
}

/* Floats of each task's workspace, to compute the product and to pack its weights. */
static size_t ssdei_gather_workspace(const ssde_run *run, const ssdei_gather *g) {
    if (!g->winograd) return ssdei_chunk_layout(g, NULL).floats;
    return ssdei_winograd_workspace(g, run->max_rows);
}

SSDEI_ONCE_END

static void ssdei_direct_convolve(ssdei_convolution *c) {
    const ssdei_gather *g = c->gather;
    size_t pixels = c->run->rows * g->grid_height * g->grid_width, step = ssdei_row_step(g->kernels);
    size_t steps = ssdei_divide_up(pixels, step), chunks = ssdei_divide_up(pixels, ssdei_chunk_pixels(g));
    chunks = ssdei_even_pieces(c->run, chunks, steps);
    if (c->weights)
        ssdei_parallel_for(c->run->team, ssdei_divide_up(g->columns, g->kernels->tile_columns), 1, ssdei_pack_run, c);
    ssdei_parallel_for(c->run->team, pixels, ssdei_divide_up(steps, chunks) * step, ssdei_convolve_run, c);
}

static void ssdei_convolve(ssdei_convolution *c) {
    if (c->gather->winograd)
        ssdei_winograd_convolve(c);
    else
        ssdei_direct_convolve(c);
}

/* weights[taps][depth][columns] += the gradient, bias[columns] its part; the gradient dy counts c->scale times. */
static void ssdei_convolve_gradient(const ssdei_convolution *c, const float *dy, float *weights, double *bias) {
    if (c->gather->winograd)
        ssdei_winograd_gradient(c, dy, weights, bias);
    else
        ssdei_direct_gradient(c, dy, weights, bias);
}

/* ---- >>operations ----
   Each has a row in SSDEI_OPERATIONS and a room below:
       builder    checks shapes, adds parameters, then a node, of whose attributes it sets its own
       plan       writes into run->steps[index] what the step needs, once, when a run is created
       forward    fills value [rows, count]
       backward   adds to run->weight_gradients and the gradients of those inputs that want one (ssdei_claim_inputs),
                  from gradient [rows, count], which it may overwrite
       tangent    `linear`: forward and backward serve for tangents, too, less shifts and biases (ssdei_on_tangents);
                  else its own two: forward of the tangents once the values are there, and backward of both

   To add one: its row; its room, with the functions that the row names, whose loops ssdei_over_rows cuts into tasks;
   the builder's declaration in >>operations. What it computes goes to tests/nn_oracle.h, by definition (its kind there
   and in oracle_from_net, which follows the rows); a case to nn_small_case in tests/test_nn_operations.h, which
   compares values and derivatives; and to steps_operation in tests/test_nn_run.h a network of it alone, with its place
   in `forms`, which finds what a plan forgot. Nothing else knows it: the memory plan reads steps. */

/* ---- operations: what several of them do ---- */

/* to[c] += sum over rows of sums[row][c], rows in order */
static void ssdei_add_rows(const double *sums, size_t rows, size_t stride, size_t channels, float *to) {
    size_t row, c;
    for (c = 0; c < channels; c++) {
        double total = 0.0;
        for (row = 0; row < rows; row++) total += sums[row * stride + c];
        to[c] += (float)total;
    }
}

/* A node's value in the backward pass, where its reader's plan says SSDEI_READ_AGAIN. */
static const float *ssdei_value_again(ssde_run *run, int index) {
    ssdei_step *step = &run->steps[index];
    if (step->value_again == SSDEI_NOWHERE) return run->arena + step->value;
    if (!step->restored) step->again(run, index);
    step->restored = 1;
    return run->arena + step->value_again;
}

/* Rows of an input of a step and of the step's result, from one on, in mode tangent: values x, their tangents and the
   gradients of both. NULL where none is wanted. */
typedef struct ssdei_dual {
    const float *x, *x_rate;
    float *y_rate, *dx, *dx_rate, *dy, *dy_rate;
} ssdei_dual;

static ssdei_dual ssdei_dual_rows(const ssde_run *run, int index, int which, size_t row) {
    int input = run->net->nodes[index].input[which];
    size_t from = row * run->net->nodes[input].count, to = row * run->net->nodes[index].count;
    ssdei_dual dual;
    memset(&dual, 0, sizeof dual);
    dual.x = ssdei_primal(run, input) + from;
    dual.x_rate = ssdei_tangent(run, input) + from;
    dual.y_rate = ssdei_tangent(run, index) + to;
    if (run->steps[input].needs) {
        dual.dx = ssdei_gradient(run, input) + from;
        if (run->steps[input].moves) dual.dx_rate = ssdei_tangent_gradient(run, input) + from;
    }
    if (run->steps[index].needs) {
        dual.dy = ssdei_gradient(run, index) + to;
        dual.dy_rate = ssdei_tangent_gradient(run, index) + to;
    }
    return dual;
}

/* What a node adds, its input 1, gets the node's gradient times scale; one value per channel the sum over pixels. */
static void ssdei_added_backward_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t period = run->net->nodes[node->input[1]].count, row, c;
    double *sums = (double *)(void *)ssdei_workspace(run, task);
    for (row = begin; row < end; row++) {
        const float *dy = ssdei_gradient(run, index) + row * node->count;
        float *db = ssdei_gradient(run, node->input[1]) + row * period;
        if (period == node->count) {
            run->nn->multiply_add(dy, (float)node->scale, node->count, run->accumulate[1], db);
            continue;
        }
        memset(sums, 0, period * sizeof *sums);
        run->nn->channel_sums(dy, node->count / period, period, sums);
        for (c = 0; c < period; c++) db[c] = (run->accumulate[1] ? db[c] : 0.0f) + (float)(node->scale * sums[c]);
    }
}

static size_t ssdei_added_workspace(const ssde_run *run, const ssdei_node *node) {
    size_t period = node->input[1] >= 0 ? run->net->nodes[node->input[1]].count : 0;
    return period == node->count ? 0 : 2 * period;
}

/* Dropout's draws are addressed, as at ssde_dropout, so backward makes them again. Halves of words lie so that vectors
   of either need no shuffling. */
enum { SSDEI_DROPOUT_GROUP = 32 };

static size_t ssdei_dropout_floats(const ssdei_node *node) {
    return ssdei_divide_up(node->count, SSDEI_DROPOUT_GROUP) * (SSDEI_DROPOUT_GROUP / 2);
}

/* Of a row, drawn into words [ssdei_dropout_floats]; NULL where nothing is dropped. */
static const uint32_t *ssdei_dropout_words(const ssde_run *run, const ssdei_node *node, size_t row, uint32_t *words) {
    uint64_t sample = row;
    uint64_t seed = run->seed + ((uint64_t)node->ordinal + 1) * 0x9e3779b97f4a7c15u; /* a key for each dropout */
    if (!run->dropout || !(node->drop > 0.0)) return NULL;
    if (run->sample) sample = run->sample[row];
    run->kernels->draw(0, seed, SSDE_STREAM_DROPOUT, run->step, &sample, 1, ssdei_dropout_floats(node),
                       (unsigned char *)words);
    return words;
}

/* y (+)= what is left of x, from value `first` of a row, whole groups before it; words NULL: x. */
static void ssdei_drop(const ssde_run *run, const ssdei_node *node, const uint32_t *words, size_t first, const float *x,
                       size_t count, int accumulate, float *y) {
    uint32_t least = (uint32_t)(65536.0 * node->drop + 0.5);
    if (least > 65535) least = 65535;
    if (words)
        run->nn->drop(x, words + first / 2, least, (float)(65536.0 / (65536.0 - least)), count, accumulate, y);
    else
        run->nn->multiply_add(x, 1.0f, count, accumulate, y);
}

/* ---- operations: inputs, which ssde_run_forward fills in ---- */

SSDEI_ONCE_BEGIN

ssde_node ssde_input(ssde_net *net, size_t height, size_t width, size_t channels) {
    ssdei_node *node;
    if (net && net->input >= 0) return ssdei_net_fail(net, "the network has an input already");
    node = ssdei_net_add_node(net, SSDEI_OPERATION_input, -1, -1, -1, height, width, channels);
    if (node) net->input = ssdei_last(net, node);
    return ssdei_last(net, node);
}

/* Of `size` numbers per sample: a network has one of each. */
static ssde_node ssdei_input_numbers(ssde_net *net, ssde_node *place, size_t size) {
    ssdei_node *node;
    if (place && *place >= 0) return *place;
    node = ssdei_net_add_node(net, SSDEI_OPERATION_input, -1, -1, -1, 1, 1, size);
    if (node) *place = ssdei_last(net, node);
    return ssdei_last(net, node);
}

ssde_node ssde_input_label(ssde_net *net) { return ssdei_input_numbers(net, net ? &net->label : NULL, 1); }
ssde_node ssde_input_sigma(ssde_net *net) { return ssdei_input_numbers(net, net ? &net->sigma : NULL, 1); }
ssde_node ssde_input_class(ssde_net *net) { return ssdei_input_numbers(net, net ? &net->class_number : NULL, 1); }
ssde_node ssde_input_vector(ssde_net *net, size_t size) {
    if (net && net->vector >= 0 && net->nodes[net->vector].count != size)
        return ssdei_net_fail(net, "input_vector: size is %.0f, that of the vector there is already %.0f", (double)size,
                              (double)net->nodes[net->vector].count);
    return ssdei_input_numbers(net, net ? &net->vector : NULL, size);
}

SSDEI_ONCE_END

/* ---- operations: convolutions and linear layers ---- */

SSDEI_ONCE_BEGIN

ssde_conv_desc ssde_conv(size_t channels, int kernel) {
    ssde_conv_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.channels = channels;
    desc.kernel = kernel;
    desc.stride = 1;
    desc.pad_before = desc.pad_after = kernel / 2;
    desc.init_scale = 1.0;
    desc.residual = -1;
    desc.scale = 1.0;
    return desc;
}

/* Weight and, unless no_bias, bias of a product that reads x; the index of the first. */
static int ssdei_product_parameters(ssde_net *net, ssde_node x, size_t channels, double init_scale, const char *name,
                                    ssdei_layout layout, int kernel, int no_bias) {
    const ssdei_node *in = ssdei_look(net, x);
    int nin = layout == SSDEI_LAYOUT_NIN, first;
    if (!in) return -1;
    if (!channels) return ssdei_net_fail(net, "%s: channels is 0, wanted 1 or more", name ? name : "conv2d");
    first = ssdei_net_add_parameter(net, name, nin ? "W" : "weight", layout, in->shape[2], channels, kernel,
                                    SSDEI_INITIALISE_FAN_AVERAGE, init_scale);
    if (!no_bias)
        ssdei_net_add_parameter(net, name, nin ? "b" : "bias", SSDEI_LAYOUT_PLAIN, 0, channels, 0,
                                SSDEI_INITIALISE_ZERO, 0.0);
    return first;
}

static int ssdei_conv_dilation(const ssde_conv_desc *desc) { return desc->dilation ? desc->dilation : 1; }

/* Pixels from the first tap to the last. */
static int ssdei_conv_kernel(const ssde_conv_desc *desc) { return (desc->kernel - 1) * ssdei_conv_dilation(desc) + 1; }

/* A product with the parameters given. */
static ssde_node ssdei_product_node(ssde_net *net, ssde_node x, const ssde_conv_desc *desc, int parameters) {
    const ssdei_node *in = ssdei_look(net, x);
    ssdei_node *node;
    size_t height, width, reach, kernel = (size_t)ssdei_conv_kernel(desc);
    if (!in) return -1;
    reach = (size_t)(desc->pad_before + desc->pad_after);
    if (in->shape[0] + reach < kernel || in->shape[1] + reach < kernel)
        return ssdei_net_fail(net, "conv2d: the padded image of %.0f x %.0f is smaller than the kernel of %.0f",
                              (double)(in->shape[0] + reach), (double)(in->shape[1] + reach), (double)kernel);
    height = (in->shape[0] + reach - kernel) / (size_t)desc->stride + 1;
    width = (in->shape[1] + reach - kernel) / (size_t)desc->stride + 1;
    if (desc->residual >= 0) {
        const ssdei_node *residual = ssdei_look(net, desc->residual);
        if (!residual) return -1;
        if (residual->shape[2] != desc->channels ||
            (residual->count != desc->channels && (residual->shape[0] != height || residual->shape[1] != width)))
            return ssdei_net_fail(net, "conv2d: the residual has neither the output's shape nor one value per channel");
    }
    node = ssdei_net_add_node(net, SSDEI_OPERATION_conv, x, desc->residual, -1, height, width, desc->channels);
    if (!node) return -1;
    node->parameter = parameters;
    node->kernel = desc->kernel;
    node->stride = desc->stride;
    node->pad_before = desc->pad_before;
    node->dilation = ssdei_conv_dilation(desc);
    node->no_bias = desc->no_bias;
    node->scale = desc->scale;
    return ssdei_last(net, node);
}

/* Whether a product can be made of desc; otherwise the network has failed, unless it is NULL. */
static int ssdei_conv_check(ssde_net *net, const ssde_conv_desc *desc) {
    if (!net) return 0;
    if (!desc) return ssdei_net_fail(net, "conv2d: desc is NULL"), 0;
    if (desc->dilation < 0 || desc->dilation > SSDEI_MOST_DILATION)
        return ssdei_net_fail(net, "conv2d: dilation is %d, wanted 1 to %d, or 0, which is 1", desc->dilation,
                              (int)SSDEI_MOST_DILATION),
               0;
    if ((desc->kernel != 1 && desc->kernel != 3) || (desc->stride != 1 && desc->stride != 2) || desc->pad_before < 0 ||
        desc->pad_before >= ssdei_conv_kernel(desc) || desc->pad_after < 0 ||
        desc->pad_after >= ssdei_conv_kernel(desc))
        return ssdei_net_fail(
                   net,
                   "conv2d: kernel is %d, stride %d, padding %d and %d, wanted 1 or 3, 1 or 2, 0 to below the "
                   "kernel",
                   desc->kernel, desc->stride, desc->pad_before, desc->pad_after),
               0;
    return 1;
}

ssde_node ssde_conv2d(ssde_net *net, ssde_node x, const ssde_conv_desc *desc, const char *name) {
    if (!ssdei_conv_check(net, desc)) return -1;
    return ssdei_product_node(net, x, desc,
                              ssdei_product_parameters(net, x, desc->channels, desc->init_scale, name,
                                                       SSDEI_LAYOUT_LINEAR, desc->kernel, desc->no_bias));
}

ssde_node ssde_nin(ssde_net *net, ssde_node x, const ssde_conv_desc *desc, const char *name) {
    if (!ssdei_conv_check(net, desc)) return -1;
    if (desc->kernel != 1) return ssdei_net_fail(net, "nin: kernel is %d, wanted 1", desc->kernel);
    return ssdei_product_node(
        net, x, desc,
        ssdei_product_parameters(net, x, desc->channels, desc->init_scale, name, SSDEI_LAYOUT_NIN, 0, desc->no_bias));
}

ssde_node ssde_linear(ssde_net *net, ssde_node x, size_t channels, double init_scale, const char *name) {
    ssde_conv_desc desc = ssde_conv(channels, 1);
    if (!net) return -1;
    return ssdei_product_node(net, x, &desc,
                              ssdei_product_parameters(net, x, channels, init_scale, name, SSDEI_LAYOUT_LINEAR, 0, 0));
}

static void ssdei_conv_gathers(ssde_run *run, int index) {
    const ssdei_node *node = &run->net->nodes[index], *in = &run->net->nodes[node->input[0]];
    ssdei_step *step = &run->steps[index];
    int y, x, i;
    step->gathers[SSDEI_BACKWARD] = step->gathers[SSDEI_FORWARD] + 1;
    step->gathers[SSDEI_FORWARD][0] = ssdei_gather_forward(in, node);
    step->gather_count[SSDEI_FORWARD] = 1;
    for (y = 0; y < node->stride && ssdei_wants(run, node->input[0]); y++) {
        for (x = 0; x < node->stride; x++) {
            ssdei_gather g = ssdei_gather_backward(in, node, y, x);
            if (!g.grid_height || !g.grid_width) continue;
            step->gathers[SSDEI_BACKWARD][step->gather_count[SSDEI_BACKWARD]++] = g;
        }
    }
    for (i = 0; i < 1 + step->gather_count[SSDEI_BACKWARD]; i++) {
        ssdei_gather_decide(run, &step->gathers[SSDEI_FORWARD][i]);
        step->workspace = ssdei_max(step->workspace, ssdei_gather_workspace(run, &step->gathers[SSDEI_FORWARD][i]));
        step->shared_floats = ssdei_max(step->shared_floats, step->gathers[SSDEI_FORWARD][i].packed);
    }
}

static void ssdei_conv_plan(ssde_run *run, int index) {
    const ssdei_node *node = &run->net->nodes[index];
    ssdei_step *step = &run->steps[index];
    const ssdei_gather *g = step->gathers[SSDEI_FORWARD];
    ssdei_conv_gathers(run, index);
    step->workspace = ssdei_max(step->workspace, ssdei_added_workspace(run, node));
    if (!ssdei_trains(run->mode)) return;
    step->reads[0] = SSDEI_READ_AGAIN;
    step->sums = ssdei_packed_size(g->kernels, 1, g->columns);
    if (g->winograd) {
        ssdei_winograd_weight_work work = ssdei_winograd_weight_plan(g, 1, NULL);
        size_t blocks = ssdei_winograd_gradient_plan(g, 1, NULL).shared_floats;
        step->shared_floats =
            ssdei_max(step->shared_floats, ssdei_winograd_few_channels(g) ? work.shared_floats : blocks);
        step->workspace = ssdei_max(step->workspace, ssdei_winograd_weight_layout(&work, NULL).floats);
    } else
        step->workspace = ssdei_max(step->workspace, ssdei_weight_layout(g, NULL).floats);
}

/* A node's products in a direction; *c has all but gathers and weights. */
static void ssdei_conv_products(ssde_run *run, int index, int direction, ssdei_convolution *c) {
    const ssdei_step *step = &run->steps[index];
    int i;
    c->run = run;
    c->packed = run->arena + run->shared;
    c->weights = ssdei_weights(run, run->net->nodes[index].parameter);
    for (i = 0; i < step->gather_count[direction]; i++) {
        c->gather = &step->gathers[direction][i];
        ssdei_convolve(c);
    }
}

/* y = (W * x + bias + residual) scale */
static void ssdei_conv_forward(ssde_run *run, int index) {
    const ssdei_node *node = &run->net->nodes[index];
    ssdei_convolution c;
    memset(&c, 0, sizeof c);
    c.x = ssdei_value(run, node->input[0]);
    c.out = ssdei_value(run, index);
    if (!ssdei_on_tangents(run) && !node->no_bias) c.bias = ssdei_weights(run, node->parameter + 1);
    if (node->input[1] >= 0) {
        c.residual = ssdei_value(run, node->input[1]);
        c.residual_image = run->net->nodes[node->input[1]].count;
        c.residual_pixel = c.residual_image == node->count ? node->shape[2] : 0;
    }
    c.scale = (float)node->scale;
    ssdei_conv_products(run, index, SSDEI_FORWARD, &c);
}

static void ssdei_conv_backward_input(ssde_run *run, int index) {
    const ssdei_node *node = &run->net->nodes[index];
    ssdei_convolution c;
    memset(&c, 0, sizeof c);
    c.accumulate = ssdei_claim(run, node->input[0]);
    c.x = ssdei_gradient(run, index);
    c.out = ssdei_gradient(run, node->input[0]);
    c.scale = 1.0f;
    ssdei_conv_products(run, index, SSDEI_BACKWARD, &c);
}

/* dW and db carry the node's scale */
static void ssdei_conv_backward_weights(ssde_run *run, int index) {
    const ssdei_node *node = &run->net->nodes[index];
    float *weights = ssdei_weight_gradient(run, node->parameter);
    double *bias = ssdei_sums(run);
    ssdei_convolution c;
    if (!weights) return;
    memset(&c, 0, sizeof c);
    c.run = run;
    c.gather = run->steps[index].gathers[SSDEI_FORWARD];
    c.x = ssdei_value_again(run, node->input[0]);
    c.scale = (float)node->scale;
    memset(bias, 0, run->steps[index].sums * sizeof *bias);
    ssdei_convolve_gradient(&c, ssdei_gradient(run, index), weights, bias);
    if (!ssdei_on_tangents(run) && !node->no_bias)
        ssdei_add_rows(bias, 1, node->shape[2], node->shape[2], ssdei_weight_gradient(run, node->parameter + 1));
}

/* The residual first, while the gradient is unscaled; packed weights carry the scale for the input. */
static void ssdei_conv_backward(ssde_run *run, int index) {
    const ssdei_node *node = &run->net->nodes[index];
    if (ssdei_wants(run, node->input[1])) {
        run->accumulate[1] = ssdei_claim(run, node->input[1]);
        ssdei_over_rows(run, index, ssdei_added_backward_rows);
    }
    if (ssdei_wants(run, node->input[0])) ssdei_conv_backward_input(run, index);
    ssdei_conv_backward_weights(run, index);
}

/* ---- operations: activations ---- */

ssde_node ssde_activate(ssde_net *net, ssde_node x, ssde_activation activation) {
    const ssdei_node *in = ssdei_look(net, x);
    ssdei_node *node;
    if (!in) return -1;
    if ((unsigned)activation > SSDE_GELU)
        return ssdei_net_fail(net, "activate: activation is %d, wanted an ssde_activation", (int)activation);
    node = ssdei_net_add_node(net, SSDEI_OPERATION_activate, x, -1, -1, in->shape[0], in->shape[1], in->shape[2]);
    if (node) node->activation = (int)activation;
    return ssdei_last(net, node);
}

/* Whether one kernel has the function and its derivatives. */
static int ssdei_is_curve(int activation) {
    return (activation >= SSDE_RELU && activation <= SSDE_LEAKY_RELU) || activation == SSDE_MISH ||
           activation == SSDE_GELU;
}

/* Of what kernels do not have. y = f(x) */
static float ssdei_activation_value(int activation, float x) {
    if (activation == SSDE_LOG) return ssdei_math_logf(x);
    return x > 20.0f ? x : ssdei_math_log1pf(ssdei_math_expf(x)); /* softplus */
}
static float ssdei_activation_slope(int activation, float x) {
    if (activation == SSDE_LOG) return 1.0f / x;
    return 1.0f / (1.0f + ssdei_math_expf(-x));
}
static float ssdei_activation_curve(int activation, float x) {
    float s = 1.0f / (1.0f + ssdei_math_expf(-x));
    if (activation == SSDE_LOG) return -1.0f / (x * x);
    return s * (1.0f - s);
}
static void ssdei_activate_plan(ssde_run *run, int index) {
    run->steps[index].reads[0] = SSDEI_READ;
    run->steps[index].in_place = run->mode != SSDE_RUN_TANGENT;
}

static void ssdei_activate_forward_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index];
    const float *x = ssdei_value(run, node->input[0]) + begin * node->count;
    float *y = ssdei_value(run, index) + begin * node->count;
    size_t count = (end - begin) * node->count, i;
    (void)task;
    if (node->activation == SSDE_SILU)
        run->nn->silu(x, count, y);
    else if (ssdei_is_curve(node->activation))
        run->nn->curve(node->activation, 0, x, NULL, NULL, count, 0, y);
    else if (node->activation == SSDE_IDENTITY && y != x)
        memcpy(y, x, count * sizeof *y);
    else if (node->activation != SSDE_IDENTITY)
        for (i = 0; i < count; i++) y[i] = ssdei_activation_value(node->activation, x[i]);
}
static void ssdei_activate_forward(ssde_run *run, int index) {
    ssdei_over_rows(run, index, ssdei_activate_forward_rows);
}

/* dx (+)= dy f'(x) */
static void ssdei_activation_slopes(const ssde_run *run, int activation, const float *x, const float *dy, size_t count,
                                    int accumulate, float *dx) {
    size_t i;
    if (activation == SSDE_SILU)
        run->nn->silu_backward(x, dy, count, accumulate, dx);
    else if (ssdei_is_curve(activation))
        run->nn->curve(activation, 1, x, dy, NULL, count, accumulate, dx);
    else if (activation == SSDE_IDENTITY)
        run->nn->multiply_add(dy, 1.0f, count, accumulate, dx);
    else
        for (i = 0; i < count; i++)
            dx[i] = (accumulate ? dx[i] : 0.0f) + dy[i] * ssdei_activation_slope(activation, x[i]);
}
/* dx += dy f''(x) v */
static void ssdei_activation_curves(const ssde_run *run, int activation, const float *x, const float *v,
                                    const float *dy, size_t count, float *dx) {
    size_t i;
    if (activation == SSDE_SILU)
        run->nn->silu_second(x, v, dy, count, 1, dx);
    else if (ssdei_is_curve(activation))
        run->nn->curve(activation, 2, x, v, dy, count, 1, dx);
    else if (activation != SSDE_IDENTITY)
        for (i = 0; i < count; i++) dx[i] += dy[i] * ssdei_activation_curve(activation, x[i]) * v[i];
}
static void ssdei_activate_backward_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t at = begin * node->count;
    (void)task;
    ssdei_activation_slopes(run, node->activation, ssdei_value(run, node->input[0]) + at,
                            ssdei_gradient(run, index) + at, (end - begin) * node->count, run->accumulate[0],
                            ssdei_gradient(run, node->input[0]) + at);
}
static void ssdei_activate_backward(ssde_run *run, int index) {
    if (ssdei_claim_inputs(run, index)) ssdei_over_rows(run, index, ssdei_activate_backward_rows);
}

/* y' = f'(x) x' */
static void ssdei_activate_tangent_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index];
    ssdei_dual d = ssdei_dual_rows(run, index, 0, begin);
    (void)task;
    ssdei_activation_slopes(run, node->activation, d.x, d.x_rate, (end - begin) * node->count, 0, d.y_rate);
}
static void ssdei_activate_tangent(ssde_run *run, int index) {
    ssdei_over_rows(run, index, ssdei_activate_tangent_rows);
}

/* dx += dy f'(x) + dy' f''(x) x', dx' += dy' f'(x) */
static void ssdei_activate_tangent_backward_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index];
    ssdei_dual d = ssdei_dual_rows(run, index, 0, begin);
    size_t count = (end - begin) * node->count;
    (void)task;
    ssdei_activation_slopes(run, node->activation, d.x, d.dy, count, run->accumulate[0], d.dx);
    ssdei_activation_slopes(run, node->activation, d.x, d.dy_rate, count, run->accumulate[0], d.dx_rate);
    ssdei_activation_curves(run, node->activation, d.x, d.x_rate, d.dy_rate, count, d.dx);
}
static void ssdei_activate_tangent_backward(ssde_run *run, int index) {
    if (ssdei_claim_inputs(run, index)) ssdei_over_rows(run, index, ssdei_activate_tangent_backward_rows);
}

/* ---- operations: group norm ---- */

ssde_node ssde_group_norm(ssde_net *net, ssde_node x, size_t groups, double eps, ssde_activation activation,
                          const char *name) {
    const ssdei_node *in = ssdei_look(net, x);
    const int fused = activation == SSDE_IDENTITY || activation == SSDE_SILU;
    ssdei_node *node;
    size_t channels;
    int first;
    if (!in) return -1;
    channels = in->shape[2];
    if (!groups || channels % groups)
        return ssdei_net_fail(net, "group_norm: groups is %.0f, wanted a divisor of %.0f channels", (double)groups,
                              (double)channels);
    if (!(eps >= 1e-12 && eps <= 1.0)) return ssdei_net_fail(net, "group_norm: eps is %.9g, wanted 1e-12 to 1", eps);
    first = ssdei_net_add_parameter(net, name, "weight", SSDEI_LAYOUT_PLAIN, 0, channels, 0, SSDEI_INITIALISE_ONE, 0.0);
    ssdei_net_add_parameter(net, name, "bias", SSDEI_LAYOUT_PLAIN, 0, channels, 0, SSDEI_INITIALISE_ZERO, 0.0);
    node = ssdei_net_add_node(net, SSDEI_OPERATION_group_norm, x, -1, -1, in->shape[0], in->shape[1], channels);
    if (!node) return -1;
    node->parameter = first;
    node->groups = groups;
    node->eps = eps;
    node->activation = fused ? (int)activation : SSDE_IDENTITY;
    return fused ? ssdei_last(net, node) : ssde_activate(net, ssdei_last(net, node), activation);
}

/* Group norm: u = gamma (x - mean) / sqrt(var + eps) + beta per sample and group, y = u or silu(u). One pass over x
   finds the moments, one applies u = a[c] (x - mean) + b[c]. Saved per sample, each [groups]: the mean as a float, what
   that leaves of it, 1 / sqrt(var + eps); far from zero a float alone would err by much of the spread. Then, of a
   tangent x', its mean over the group and that of x' xhat. */
static void ssdei_group_norm_again(ssde_run *run, int index);

/* Workspace of a task: five rows of coefficients, two of doubles (mode tangent: six), an image of slopes, words of
   draws. */
typedef struct ssdei_norm_space {
    float *mean, *a, *b, *slope, *shift; /* [channels] */
    double *moments;                     /* [2, channels] */
    float *du;                           /* [pixels, channels]; where the node needs no gradient, NULL */
    float *u, *rate;                     /* mode tangent: [SSDEI_NORM_PIXELS, channels] */
    uint32_t *words;                     /* of ssdei_dropout_words */
    size_t floats;
} ssdei_norm_space;

static ssdei_norm_space ssdei_norm_layout(const ssde_run *run, int index, float *workspace) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t channels = node->shape[2];
    ssdei_norm_space space;
    memset(&space, 0, sizeof space);
    space.mean = ssdei_take(workspace, &space.floats, channels);
    space.a = ssdei_take(workspace, &space.floats, channels);
    space.b = ssdei_take(workspace, &space.floats, channels);
    space.slope = ssdei_take(workspace, &space.floats, channels);
    space.shift = ssdei_take(workspace, &space.floats, channels);
    space.moments = (double *)(void *)ssdei_take(
        workspace, &space.floats, (run->steps[index].moves ? 6 : 2) * channels * sizeof(double) / sizeof(float));
    if (run->steps[index].moves) {
        space.u = ssdei_take(workspace, &space.floats, SSDEI_NORM_PIXELS * channels);
        space.rate = ssdei_take(workspace, &space.floats, SSDEI_NORM_PIXELS * channels);
    } else if (run->steps[index].needs)
        space.du = ssdei_take(workspace, &space.floats, node->count);
    if (ssdei_trains(run->mode) && node->drop > 0.0)
        space.words = (uint32_t *)(void *)ssdei_take(workspace, &space.floats, ssdei_dropout_floats(node));
    return space;
}

/* With dropout its value is kept: to draw once more costs more time than the memory is worth. */
static void ssdei_group_norm_plan(ssde_run *run, int index) {
    const ssdei_node *node = &run->net->nodes[index];
    ssdei_step *step = &run->steps[index];
    step->reads[0] = SSDEI_READ;
    step->in_place = run->mode != SSDE_RUN_TANGENT;
    step->workspace = ssdei_norm_layout(run, index, NULL).floats;
    step->saved_floats = (step->moves ? 5 : 3) * node->groups;
    if (!(node->drop > 0.0)) step->again = ssdei_group_norm_again;
    if (step->needs) step->sums = ssdei_multiply(run->max_rows, 2 * node->shape[2]);
}

static float *ssdei_norm_saved(const ssde_run *run, int index, size_t row) {
    return run->arena + run->steps[index].saved + row * run->steps[index].saved_floats;
}

/* mean, a, b per channel from what is saved */
static void ssdei_norm_coefficients(const ssde_run *run, int index, size_t row, float *mean, float *a, float *b) {
    const ssdei_node *node = &run->net->nodes[index];
    const float *gamma = ssdei_weights(run, node->parameter), *beta = ssdei_weights(run, node->parameter + 1);
    const float *saved = ssdei_norm_saved(run, index, row), *rest = saved + node->groups, *rstd = rest + node->groups;
    size_t channels = node->shape[2], size = channels / node->groups, c;
    for (c = 0; c < channels; c++) {
        mean[c] = saved[c / size];
        a[c] = gamma[c] * rstd[c / size];
        b[c] = beta[c] - a[c] * rest[c / size];
    }
}

/* What is saved, from the channels' moments over `pixels`. */
static void ssdei_norm_save(const ssdei_node *node, size_t pixels, const double *mean, const double *square,
                            float *saved) {
    size_t size = node->shape[2] / node->groups, group, c;
    for (group = 0; group < node->groups; group++, mean += size, square += size) {
        double centre = 0.0, variance = 0.0;
        for (c = 0; c < size; c++) centre += mean[c];
        centre /= (double)size;
        for (c = 0; c < size; c++) {
            double away = mean[c] - centre;
            variance += square[c] / (double)pixels + away * away;
        }
        variance /= (double)size;
        saved[group] = (float)centre;
        saved[node->groups + group] = (float)(centre - (double)saved[group]);
        saved[2 * node->groups + group] = (float)(1.0 / sqrt(variance + node->eps));
    }
}

/* y of a row from what is saved. */
static void ssdei_norm_apply(const ssde_run *run, int index, size_t row, const ssdei_norm_space *space, float *y) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t channels = node->shape[2], pixels = node->count / channels, first, count;
    const float *x = ssdei_value(run, node->input[0]) + row * node->count;
    const uint32_t *words = ssdei_dropout_words(run, node, row, space->words);
    ssdei_norm_coefficients(run, index, row, space->mean, space->a, space->b);
    for (first = 0; first < pixels; first += count, x += count * channels, y += count * channels) {
        count = ssdei_least(pixels - first, SSDEI_NORM_PIXELS);
        run->nn->norm(x, space->mean, space->a, space->b, count, channels, node->activation == SSDE_SILU, y);
        if (words) ssdei_drop(run, node, words, first * channels, y, count * channels, 0, y);
    }
}

static void ssdei_group_norm_forward_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t channels = node->shape[2], pixels = node->count / channels, row;
    ssdei_norm_space space = ssdei_norm_layout(run, index, ssdei_workspace(run, task));
    for (row = begin; row < end; row++) {
        run->nn->channel_moments(ssdei_value(run, node->input[0]) + row * node->count, pixels, channels, space.moments,
                                 space.moments + channels);
        ssdei_norm_save(node, pixels, space.moments, space.moments + channels, ssdei_norm_saved(run, index, row));
        ssdei_norm_apply(run, index, row, &space, ssdei_value(run, index) + row * node->count);
    }
}
static void ssdei_group_norm_forward(ssde_run *run, int index) {
    ssdei_over_rows(run, index, ssdei_group_norm_forward_rows);
}

static void ssdei_group_norm_again_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    ssdei_norm_space space = ssdei_norm_layout(run, index, ssdei_workspace(run, task));
    size_t row;
    for (row = begin; row < end; row++)
        ssdei_norm_apply(run, index, row, &space,
                         run->arena + run->steps[index].value_again + row * run->net->nodes[index].count);
}
static void ssdei_group_norm_again(ssde_run *run, int index) {
    ssdei_over_rows(run, index, ssdei_group_norm_again_rows);
}

/* With du = dy silu'(u), xhat = (x - mean) rstd, m1 = mean over the group of gamma du, m2 of gamma du xhat:
   dx = rstd (gamma du - m1 - xhat m2), dgamma = sum du xhat, dbeta = sum du. Given sum = dbeta and product = dgamma per
   channel, dx = a du + slope (x - mean) + shift with the mean as a float. */
static void ssdei_norm_slopes(const ssdei_node *node, const float *gamma, const float *saved, const double *sum,
                              const double *product, float *slope, float *shift) {
    size_t size = node->shape[2] / node->groups, group, c;
    for (group = 0; group < node->groups; group++) {
        double rest = (double)saved[node->groups + group], rstd = (double)saved[2 * node->groups + group];
        double m1 = 0.0, m2 = 0.0, members = (double)(node->count / node->groups);
        for (c = group * size; c < (group + 1) * size; c++) {
            m1 += (double)gamma[c] * sum[c] / members;
            m2 += (double)gamma[c] * product[c] / members;
        }
        for (c = group * size; c < (group + 1) * size; c++) {
            slope[c] = (float)(-rstd * rstd * m2);
            shift[c] = (float)(rstd * (rstd * rest * m2 - m1));
        }
    }
}

/* du of a row, and its sums over the pixels. */
static void ssdei_norm_slope_sums(const ssde_run *run, int index, size_t row, const ssdei_norm_space *space,
                                  double *sum, double *product) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t channels = node->shape[2], pixels = node->count / channels, first, count;
    const float *x = ssdei_value(run, node->input[0]) + row * node->count;
    const float *dy = ssdei_gradient(run, index) + row * node->count;
    const uint32_t *words = ssdei_dropout_words(run, node, row, space->words);
    ssdei_norm_coefficients(run, index, row, space->mean, space->a, space->b);
    for (first = 0; first < pixels; first += count) {
        size_t at = first * channels;
        const float *slope = dy + at;
        count = ssdei_least(pixels - first, SSDEI_NORM_PIXELS);
        if (words) {
            ssdei_drop(run, node, words, at, slope, count * channels, 0, space->du + at);
            slope = space->du + at;
        }
        run->nn->norm_sums(x + at, slope, space->mean, space->a, space->b, count, channels,
                           node->activation == SSDE_SILU, space->du + at, sum, product);
    }
}

static void ssdei_group_norm_backward_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t channels = node->shape[2], pixels = node->count / channels, size = channels / node->groups, row, c;
    ssdei_norm_space space = ssdei_norm_layout(run, index, ssdei_workspace(run, task));
    for (row = begin; row < end; row++) {
        const float *saved = ssdei_norm_saved(run, index, row), *rest = saved + node->groups;
        double *sum = ssdei_sums(run) + row * 2 * channels, *product = sum + channels;
        memset(sum, 0, 2 * channels * sizeof *sum);
        ssdei_norm_slope_sums(run, index, row, &space, sum, product);
        for (c = 0; c < channels; c++) /* to the parameters' derivatives */
            product[c] = (product[c] - (double)rest[c / size] * sum[c]) * (double)rest[node->groups + c / size];
        if (!ssdei_wants(run, node->input[0])) continue;
        ssdei_norm_slopes(node, ssdei_weights(run, node->parameter), saved, sum, product, space.slope, space.shift);
        run->nn->norm_backward(ssdei_value(run, node->input[0]) + row * node->count, space.du, space.mean, space.a,
                               space.slope, space.shift, pixels, channels, run->accumulate[0],
                               ssdei_gradient(run, node->input[0]) + row * node->count);
    }
}
static void ssdei_norm_add_parameters(ssde_run *run, int index) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t channels = node->shape[2];
    float *gamma = ssdei_weight_gradient(run, node->parameter), *beta = ssdei_weight_gradient(run, node->parameter + 1);
    if (beta) ssdei_add_rows(ssdei_sums(run), run->rows, 2 * channels, channels, beta);
    if (gamma) ssdei_add_rows(ssdei_sums(run) + channels, run->rows, 2 * channels, channels, gamma);
}
static void ssdei_group_norm_backward(ssde_run *run, int index) {
    ssdei_claim_inputs(run, index);
    ssdei_over_rows(run, index, ssdei_group_norm_backward_rows);
    ssdei_norm_add_parameters(run, index);
}

/* The tangent of a norm, with xhat = (x - mean) rstd, m1 = mean over the group of x', m2 of x' xhat:
   xhat' = rstd (x' - m1 - xhat m2), u' = gamma xhat', y' = silu'(u) u'; so that u' = a x' + slope (x - mean) + shift.
 */
static void ssdei_norm_tangent_slopes(const ssdei_node *node, const float *saved, const float *a, float *slope,
                                      float *shift) {
    size_t channels = node->shape[2], size = channels / node->groups, c;
    for (c = 0; c < channels; c++) {
        const float *of = saved + c / size;
        float rest = of[node->groups], rstd = of[2 * node->groups], m1 = of[3 * node->groups],
              m2 = of[4 * node->groups];
        slope[c] = -a[c] * rstd * m2;
        shift[c] = a[c] * (rstd * rest * m2 - m1);
    }
}

/* Turns sums over pixels of d (x - mean) into those of d xhat, given those of d; saved is of the channel's group. */
static double ssdei_norm_centred(const ssdei_node *node, const float *saved, double sum, double product) {
    return (product - (double)saved[node->groups] * sum) * (double)saved[2 * node->groups];
}

/* u and u' of some pixels, u only where there is an activation. */
static void ssdei_norm_tangent_block(const ssde_run *run, const ssdei_node *node, const float *x, const float *x_rate,
                                     size_t pixels, const ssdei_norm_space *space, float *rate) {
    run->nn->norm_backward(x, x_rate, space->mean, space->a, space->slope, space->shift, pixels, node->shape[2], 0,
                           rate);
    if (node->activation == SSDE_SILU)
        run->nn->norm(x, space->mean, space->a, space->b, pixels, node->shape[2], 0, space->u);
}

static void ssdei_group_norm_tangent_row(ssde_run *run, int index, size_t row, const ssdei_norm_space *space) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t channels = node->shape[2], pixels = node->count / channels, size = channels / node->groups, c, first, count;
    const uint32_t *words = ssdei_dropout_words(run, node, row, space->words);
    ssdei_dual d = ssdei_dual_rows(run, index, 0, row);
    float *saved = ssdei_norm_saved(run, index, row);
    double *sum = space->moments, *product = sum + channels, members = (double)(node->count / node->groups);
    ssdei_norm_coefficients(run, index, row, space->mean, space->a, space->b);
    memset(sum, 0, 2 * channels * sizeof *sum);
    run->nn->norm_sums(d.x, d.x_rate, space->mean, space->a, space->b, pixels, channels, 0, d.y_rate, sum, product);
    for (c = 0; c < channels; c++) {
        product[c] = ssdei_norm_centred(node, saved + c / size, sum[c], product[c]);
        if (c % size) sum[c] += sum[c - 1], product[c] += product[c - 1];
        saved[3 * node->groups + c / size] = (float)(sum[c] / members);
        saved[4 * node->groups + c / size] = (float)(product[c] / members);
    }
    ssdei_norm_tangent_slopes(node, saved, space->a, space->slope, space->shift);
    for (first = 0; first < pixels; first += count) {
        size_t at = first * channels;
        float *y = d.y_rate + at;
        count = ssdei_least(pixels - first, SSDEI_NORM_PIXELS);
        ssdei_norm_tangent_block(run, node, d.x + at, d.x_rate + at, count, space, y);
        if (node->activation == SSDE_SILU) run->nn->silu_backward(space->u, y, count * channels, 0, y);
        if (words) ssdei_drop(run, node, words, at, y, count * channels, 0, y);
    }
}
static void ssdei_group_norm_tangent_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    ssdei_norm_space space = ssdei_norm_layout(run, index, ssdei_workspace(run, task));
    for (; begin < end; begin++) ssdei_group_norm_tangent_row(run, index, begin, &space);
}
static void ssdei_group_norm_tangent(ssde_run *run, int index) {
    ssdei_over_rows(run, index, ssdei_group_norm_tangent_rows);
}

/* du = dy silu'(u) + dy' silu''(u) u' and du' = dy' silu'(u) of a row take the places of dy and dy'; moments
   [6, channels]: the sums over the pixels of du, du xhat, du', du' xhat, and xhat' du' in the last. */
static void ssdei_norm_tangent_sums(const ssde_run *run, int index, size_t row, ssdei_dual d,
                                    const ssdei_norm_space *space) {
    const ssdei_node *node = &run->net->nodes[index];
    const float *zeros = run->arena + run->zeros, *saved = ssdei_norm_saved(run, index, row);
    size_t channels = node->shape[2], pixels = node->count / channels, first, count, floats, c;
    const uint32_t *words = ssdei_dropout_words(run, node, row, space->words);
    double *sum = space->moments;
    memset(sum, 0, 6 * channels * sizeof *sum);
    for (first = 0; first < pixels; first += count) {
        float *du = d.dy;
        count = ssdei_least(pixels - first, SSDEI_NORM_PIXELS);
        floats = count * channels;
        if (words) {
            ssdei_drop(run, node, words, first * channels, d.dy, floats, 0, d.dy);
            ssdei_drop(run, node, words, first * channels, d.dy_rate, floats, 0, d.dy_rate);
        }
        if (node->activation == SSDE_SILU) {
            du = space->rate;
            ssdei_norm_tangent_block(run, node, d.x, d.x_rate, count, space, du);
            run->nn->silu_second(space->u, du, d.dy_rate, floats, 0, du);
            run->nn->silu_backward(space->u, d.dy, floats, 1, du);
            run->nn->silu_backward(space->u, d.dy_rate, floats, 0, d.dy_rate);
        }
        run->nn->norm_sums(d.x, du, space->mean, zeros, zeros, count, channels, 0, d.dy, sum, sum + channels);
        for (c = 2; c < 6; c += 2)
            run->nn->norm_sums(c == 2 ? d.x : d.x_rate, d.dy_rate, c == 2 ? space->mean : zeros, zeros, zeros, count,
                               channels, 0, d.dy_rate, sum + c * channels, sum + (c + 1) * channels);
        d.x += floats, d.x_rate += floats, d.dy += floats, d.dy_rate += floats;
    }
    for (c = 0; c < channels; c++, sum++) {
        const float *of = saved + c / (channels / node->groups);
        sum[channels] = ssdei_norm_centred(node, of, sum[0], sum[channels]);
        sum[3 * channels] = ssdei_norm_centred(node, of, sum[2 * channels], sum[3 * channels]);
        sum[5 * channels] =
            (double)of[2 * node->groups] * (sum[5 * channels] - (double)of[3 * node->groups] * sum[2 * channels] -
                                            (double)of[4 * node->groups] * sum[3 * channels]);
    }
}

/* With p = gamma du, q = gamma du' and means over the group, P = p - rstd m2 q - rstd mean(q xhat) x' comes to xhat:
   dx' = rstd (q - mean(q) - xhat mean(q xhat)), as in the norm's own derivative, and
   dx = rstd (P - mean(P) - xhat mean(P xhat)) - rstd xhat mean(q xhat'): the same of p but for two terms, and for the
   sums, which take what P and xhat' add to p's. */
static void ssdei_group_norm_tangent_backward_row(ssde_run *run, int index, size_t row, const ssdei_norm_space *space) {
    const ssdei_node *node = &run->net->nodes[index];
    const float *gamma = ssdei_weights(run, node->parameter), *saved = ssdei_norm_saved(run, index, row);
    const float *zeros = run->arena + run->zeros;
    ssdei_dual d = ssdei_dual_rows(run, index, 0, row);
    size_t channels = node->shape[2], pixels = node->count / channels, c;
    double *sums = ssdei_sums(run) + row * 2 * channels, *of = space->moments;
    ssdei_norm_coefficients(run, index, row, space->mean, space->a, space->b);
    ssdei_norm_tangent_slopes(node, saved, space->a, space->slope, space->shift);
    ssdei_norm_tangent_sums(run, index, row, d, space);
    ssdei_norm_slopes(node, gamma, saved, of + 2 * channels, of + 3 * channels, space->slope, space->shift);
    for (c = 0; c < channels; c++, of++) {
        const float *group = saved + c / (channels / node->groups);
        double rstd = (double)group[2 * node->groups], m1 = (double)group[3 * node->groups];
        double m2 = (double)group[4 * node->groups];
        sums[c] = of[0];
        sums[channels + c] = of[channels] += of[5 * channels];
        of[0] -= rstd * (m2 * of[2 * channels] + m1 * of[3 * channels]);
        of[channels] -= 2.0 * rstd * m2 * of[3 * channels];
        space->b[c] = (float)(-rstd * m2 * (double)space->a[c]);
    }
    if (!d.dx) return;
    run->nn->norm_backward(d.x, d.dy_rate, space->mean, space->a, space->slope, space->shift, pixels, channels,
                           run->accumulate[0], d.dx_rate);
    run->nn->norm_backward(d.x_rate, d.dy_rate, zeros, space->b, space->slope, zeros, pixels, channels,
                           run->accumulate[0], d.dx);
    ssdei_norm_slopes(node, gamma, saved, space->moments, space->moments + channels, space->slope, space->shift);
    run->nn->norm_backward(d.x, d.dy, space->mean, space->a, space->slope, space->shift, pixels, channels, 1, d.dx);
}
static void ssdei_group_norm_tangent_backward_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    ssdei_norm_space space = ssdei_norm_layout(run, index, ssdei_workspace(run, task));
    for (; begin < end; begin++) ssdei_group_norm_tangent_backward_row(run, index, begin, &space);
}
static void ssdei_group_norm_tangent_backward(ssde_run *run, int index) {
    ssdei_claim_inputs(run, index);
    ssdei_over_rows(run, index, ssdei_group_norm_tangent_backward_rows);
    ssdei_norm_add_parameters(run, index);
}

/* ---- operations: attention ---- */

ssde_node ssde_attention(ssde_net *net, ssde_node q, ssde_node k, ssde_node v, size_t heads) {
    const ssdei_node *a = ssdei_look(net, q), *b = ssdei_look(net, k), *c = ssdei_look(net, v);
    ssdei_node *node;
    if (!a || !b || !c) return -1;
    if (memcmp(b->shape, c->shape, sizeof b->shape)) return ssdei_net_fail(net, "attention: k and v differ in shape");
    if (a->shape[2] != b->shape[2])
        return ssdei_net_fail(net, "attention: q has %.0f channels, k and v have %.0f", (double)a->shape[2],
                              (double)b->shape[2]);
    if (!heads || a->shape[2] % heads)
        return ssdei_net_fail(net, "attention: heads is %.0f, wanted a divisor of the %.0f channels", (double)heads,
                              (double)a->shape[2]);
    node = ssdei_net_add_node(net, SSDEI_OPERATION_attention, q, k, v, a->shape[0], a->shape[1], a->shape[2]);
    if (node) node->groups = heads;
    return ssdei_last(net, node);
}

/* Attention per sample and head, of D channels, from Q query pixels to P pixels: S = softmax(q k^T / sqrt(D)), y = S v.
   Blocks of B query pixels take S [B, P] at a time, never [Q, P]. */
enum { SSDEI_ATTENTION_TILES = 4 };

typedef struct ssdei_attention {
    size_t query_pixels, pixels, block, blocks; /* Q, P, B, Q / B rounded up */
    size_t heads, width, channels;              /* width: D; channels: of all heads, from pixel to pixel */
    size_t stride;        /* of a row of S; not P, often a power of two, which caches cannot hold */
    float scale;          /* 1 / sqrt(D) */
    float *weights;       /* S [B, P] */
    float *keys, *values; /* packed: k^T [D, P]; forward v [P, D], backward v^T [D, P] */
    /* backward only */
    float *slopes;      /* dS, dA [B, P] */
    float *keys_down;   /* packed k [P, D] */
    float *queries;     /* packed q or dy [B, D] */
    const float **rows; /* [B] */
    /* and of tangents */
    float *rates, *mixed; /* S', dA [B, P] */
    float *tangent_keys, *tangent_values, *tangent_keys_down;
    size_t floats;
} ssdei_attention;

/* With its buffers in a task's workspace; NULL: only how many floats they take, SIZE_MAX if that overflows. */
static ssdei_attention ssdei_attention_layout(const ssde_run *run, int index, float *workspace) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t across, down, weights;
    ssdei_attention a;
    memset(&a, 0, sizeof a);
    a.channels = node->shape[2];
    a.heads = node->groups;
    a.width = a.channels / a.heads;
    a.query_pixels = node->count / a.channels;
    a.pixels = run->net->nodes[node->input[1]].count / a.channels;
    a.block = SSDEI_ATTENTION_TILES * run->kernels->tile_rows;
    a.blocks = (a.query_pixels - 1) / a.block + 1;
    a.stride = ssdei_round_floats(a.pixels);
    a.scale = (float)(1.0 / sqrt((double)a.width));
    weights = ssdei_multiply(a.block, a.stride);
    across = ssdei_packed_size(run->kernels, a.width, a.pixels);
    down = ssdei_packed_size(run->kernels, a.pixels, a.width);
    a.weights = ssdei_take(workspace, &a.floats, weights);
    a.keys = ssdei_take(workspace, &a.floats, across);
    a.values = ssdei_take(workspace, &a.floats, run->steps[index].needs ? ssdei_max(across, down) : down);
    if (run->steps[index].moves) {
        a.rates = ssdei_take(workspace, &a.floats, weights);
        a.tangent_keys = ssdei_take(workspace, &a.floats, across);
        a.tangent_values = ssdei_take(workspace, &a.floats, ssdei_max(across, down));
        a.mixed = ssdei_take(workspace, &a.floats, weights);
        a.tangent_keys_down = ssdei_take(workspace, &a.floats, down);
    }
    if (!run->steps[index].needs) return a;
    a.slopes = ssdei_take(workspace, &a.floats, weights);
    a.keys_down = ssdei_take(workspace, &a.floats, down);
    a.queries = ssdei_take(workspace, &a.floats, ssdei_packed_size(run->kernels, a.block, a.width));
    a.rows = ssdei_take_pointers(workspace, &a.floats, a.block);
    return a;
}

static void ssdei_attention_plan(ssde_run *run, int index) {
    ssdei_step *step = &run->steps[index];
    memset(step->reads, SSDEI_READ, sizeof step->reads);
    step->workspace = ssdei_attention_layout(run, index, NULL).floats;
}

/* Where, in the values of one of its nodes, head unit % heads of row unit / heads begins. */
static size_t ssdei_attention_at(const ssde_run *run, const ssdei_attention *space, int index, size_t unit) {
    return unit / space->heads * run->net->nodes[index].count + unit % space->heads * space->width;
}

/* c[rows, P] (+)= a b of packed b [D, P], and c[rows, D] (+)= a b of packed b [P, D] */
static void ssdei_attention_across(const ssde_run *run, const ssdei_attention *space, const float *a, const float *b,
                                   size_t rows, int accumulate, float *c) {
    ssdei_product(run->kernels, a, space->channels, b, rows, space->width, space->pixels, c, space->stride, accumulate);
}
static void ssdei_attention_down(const ssde_run *run, const ssdei_attention *space, const float *a, const float *b,
                                 size_t rows, int accumulate, float *c) {
    ssdei_product(run->kernels, a, space->stride, b, rows, space->pixels, space->width, c, space->channels, accumulate);
}

/* b [P, D] of a head as it is, or [D, P], packed. */
static void ssdei_attention_pack(const ssde_run *run, const ssdei_attention *space, const float *b, int across,
                                 float *packed) {
    if (across)
        ssdei_pack(run->kernels, b, 1, space->channels, space->width, space->pixels, packed);
    else
        ssdei_pack(run->kernels, b, space->channels, 1, space->pixels, space->width, packed);
}

/* S of `rows` query pixels */
static void ssdei_attention_weights(const ssde_run *run, const ssdei_attention *space, const float *q, size_t rows) {
    size_t i;
    ssdei_attention_across(run, space, q, space->keys, rows, 0, space->weights);
    for (i = 0; i < rows; i++) run->nn->softmax(space->weights + i * space->stride, space->scale, space->pixels);
}

/* Blocks in the order of rows, then heads. */
static void ssdei_attention_forward_blocks(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const int *input = run->net->nodes[index].input;
    ssdei_attention space = ssdei_attention_layout(run, index, ssdei_workspace(run, task));
    size_t block;
    for (block = begin; block < end; block++) {
        size_t unit = block / space.blocks, first = block % space.blocks * space.block;
        size_t rows = ssdei_least(space.query_pixels - first, space.block);
        size_t at = ssdei_attention_at(run, &space, index, unit) + first * space.channels;
        if (block == begin || !first) {
            size_t from = ssdei_attention_at(run, &space, input[1], unit);
            ssdei_attention_pack(run, &space, ssdei_value(run, input[1]) + from, 1, space.keys);
            ssdei_attention_pack(run, &space, ssdei_value(run, input[2]) + from, 0, space.values);
        }
        ssdei_attention_weights(run, &space, ssdei_value(run, input[0]) + at, rows);
        ssdei_attention_down(run, &space, space.weights, space.values, rows, 0, ssdei_value(run, index) + at);
    }
}
static void ssdei_attention_forward(ssde_run *run, int index) {
    ssdei_attention space = ssdei_attention_layout(run, index, NULL);
    ssdei_share(run, index, run->rows * space.heads * space.blocks, ssdei_attention_forward_blocks);
}

/* c[P, D] += a^T b over a block, a[rows, P] and b[rows, D]: the products whose sum runs over query pixels. */
static void ssdei_attention_outer(const ssde_run *run, const ssdei_attention *space, const float *a, const float *b,
                                  size_t rows, float *c) {
    const ssdei_kernels *kernels = run->kernels;
    size_t channels = space->channels, width = kernels->tile_columns, column, i;
    ssdei_outer work;
    memset(&work, 0, sizeof work);
    ssdei_pack(kernels, b, channels, 1, rows, space->width, space->queries);
    for (i = 0; i < rows; i++) space->rows[i] = a + i * space->stride;
    work.count = rows;
    work.a = space->rows;
    work.tile = kernels->tile_rows;
    work.b_stride = width;
    work.rows = space->pixels;
    work.stride = channels;
    work.accumulate = 1;
    work.next_a = 2 * kernels->tile_rows - 1;
    work.next_b = rows * width;
    for (column = 0; column < space->width; column += width) {
        work.b = space->queries + column * rows;
        work.c = c + column;
        work.columns = ssdei_least(space->width - column, width);
        kernels->outer(&work);
    }
}

/* A head's part of a gradient [pixels, C] of one row becomes 0. */
static void ssdei_attention_clear(const ssdei_attention *space, size_t pixels, float *gradient) {
    for (; pixels; pixels--, gradient += space->channels) memset(gradient, 0, space->width * sizeof *gradient);
}

/* dv += S^T dy; dS = dy v^T; softmax: dA = S (dS - sum_j dS S) / sqrt(D); dq += dA k; dk += dA^T q; of the query pixels
   from `first` on of the unit whose q is at `at`, k and v at `from`. */
static void ssdei_attention_backward_block(ssde_run *run, int index, const ssdei_attention *space, size_t at,
                                           size_t from, size_t first) {
    const int *input = run->net->nodes[index].input;
    size_t rows = ssdei_least(space->query_pixels - first, space->block), i;
    const float *q, *dy;
    at += first * space->channels;
    q = ssdei_value(run, input[0]) + at;
    dy = ssdei_gradient(run, index) + at;
    ssdei_attention_weights(run, space, q, rows);
    if (ssdei_wants(run, input[2]))
        ssdei_attention_outer(run, space, space->weights, dy, rows, ssdei_gradient(run, input[2]) + from);
    if (!ssdei_wants(run, input[0]) && !ssdei_wants(run, input[1])) return;
    ssdei_attention_across(run, space, dy, space->values, rows, 0, space->slopes);
    for (i = 0; i < rows; i++)
        run->nn->softmax_backward(space->weights + i * space->stride, space->scale, space->pixels,
                                  space->slopes + i * space->stride);
    if (ssdei_wants(run, input[0]))
        ssdei_attention_down(run, space, space->slopes, space->keys_down, rows, 1, ssdei_gradient(run, input[0]) + at);
    if (ssdei_wants(run, input[1]))
        ssdei_attention_outer(run, space, space->slopes, q, rows, ssdei_gradient(run, input[1]) + from);
}

/* Gradients are zeros before the first block adds to them, where the node is not one that others wrote to. */
static void ssdei_attention_backward_units(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const int *input = run->net->nodes[index].input;
    ssdei_attention space = ssdei_attention_layout(run, index, ssdei_workspace(run, task));
    size_t first;
    int i;
    for (; begin < end; begin++) {
        size_t at = ssdei_attention_at(run, &space, index, begin);
        size_t from = ssdei_attention_at(run, &space, input[1], begin);
        const float *k = ssdei_value(run, input[1]) + from, *v = ssdei_value(run, input[2]) + from;
        for (i = 0; i < 3; i++)
            if (ssdei_wants(run, input[i]) && !run->accumulate[i])
                ssdei_attention_clear(&space, i ? space.pixels : space.query_pixels,
                                      ssdei_gradient(run, input[i]) + (i ? from : at));
        ssdei_attention_pack(run, &space, k, 1, space.keys);
        ssdei_attention_pack(run, &space, k, 0, space.keys_down);
        ssdei_attention_pack(run, &space, v, 1, space.values);
        for (first = 0; first < space.query_pixels; first += space.block)
            ssdei_attention_backward_block(run, index, &space, at, from, first);
    }
}

/* Over rows and heads */
static void ssdei_attention_over_units(ssde_run *run, int index, ssdei_share_function function) {
    ssdei_share(run, index, run->rows * run->net->nodes[index].groups, function);
}
static void ssdei_attention_backward(ssde_run *run, int index) {
    if (ssdei_claim_inputs(run, index)) ssdei_attention_over_units(run, index, ssdei_attention_backward_units);
}

/* As ssdei_dual_rows, of a unit. */
static ssdei_dual ssdei_attention_dual(const ssde_run *run, int index, const ssdei_attention *space, int which,
                                       size_t unit) {
    ssdei_dual d = ssdei_dual_rows(run, index, which, unit / space->heads);
    size_t at = unit % space->heads * space->width;
    d.x += at, d.x_rate += at, d.y_rate += at;
    if (d.dx) d.dx += at;
    if (d.dx_rate) d.dx_rate += at;
    if (d.dy) d.dy += at, d.dy_rate += at;
    return d;
}

/* S and q' k^T + q k'^T of `rows` query pixels */
static void ssdei_attention_rates(const ssde_run *run, const ssdei_attention *space, const float *q,
                                  const float *tangent, size_t rows) {
    ssdei_attention_weights(run, space, q, rows);
    ssdei_attention_across(run, space, tangent, space->keys, rows, 0, space->rates);
    ssdei_attention_across(run, space, q, space->tangent_keys, rows, 1, space->rates);
}

/* Keys and values, of the tangents too, for either way. */
static void ssdei_attention_pack_tangents(ssde_run *run, int index, size_t unit, int backward,
                                          const ssdei_attention *space) {
    ssdei_dual key = ssdei_attention_dual(run, index, space, 1, unit);
    ssdei_dual value = ssdei_attention_dual(run, index, space, 2, unit);
    int i;
    for (i = 0; i < 2; i++) {
        const float *k = i ? key.x_rate : key.x, *v = i ? value.x_rate : value.x;
        ssdei_attention_pack(run, space, k, 1, i ? space->tangent_keys : space->keys);
        if (backward) ssdei_attention_pack(run, space, k, 0, i ? space->tangent_keys_down : space->keys_down);
        ssdei_attention_pack(run, space, v, backward, i ? space->tangent_values : space->values);
    }
}

/* y' = S' v + S v', S' = S (A' - sum_j S A') with A' = (q' k^T + q k'^T) / sqrt(D) */
static void ssdei_attention_tangent_units(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    ssdei_attention space = ssdei_attention_layout(run, index, ssdei_workspace(run, task));
    size_t first, i;
    for (; begin < end; begin++) {
        ssdei_dual q = ssdei_attention_dual(run, index, &space, 0, begin);
        ssdei_attention_pack_tangents(run, index, begin, 0, &space);
        for (first = 0; first < space.query_pixels; first += space.block) {
            size_t rows = ssdei_least(space.query_pixels - first, space.block), at = first * space.channels;
            ssdei_attention_rates(run, &space, q.x + at, q.x_rate + at, rows);
            for (i = 0; i < rows; i++)
                run->nn->softmax_backward(space.weights + i * space.stride, space.scale, space.pixels,
                                          space.rates + i * space.stride);
            ssdei_attention_down(run, &space, space.rates, space.values, rows, 0, q.y_rate + at);
            ssdei_attention_down(run, &space, space.weights, space.tangent_values, rows, 1, q.y_rate + at);
        }
    }
}
static void ssdei_attention_tangent(ssde_run *run, int index) {
    ssdei_attention_over_units(run, index, ssdei_attention_tangent_units);
}

/* Of one query pixel: from s = S, r = q' k^T + q k'^T, h = dS' = dy' v^T and g = dy v^T + dy' v'^T, with A' less its
   mean D = (r - sum_j s r) / sqrt(D): r becomes S' = s D, g what softmax's derivative takes to dA, but for a constant:
   g + D (h - sum_j s h); and h, by the same derivative, dA'. */
static void ssdei_attention_mix(const ssdei_attention *space, const float *s, const float *h, float *r, float *g) {
    double mean = 0.0, slope = 0.0;
    size_t j;
    for (j = 0; j < space->pixels; j++) {
        mean += (double)s[j] * (double)r[j];
        slope += (double)s[j] * (double)h[j];
    }
    for (j = 0; j < space->pixels; j++) {
        float away = space->scale * (r[j] - (float)mean);
        g[j] += away * (h[j] - (float)slope);
        r[j] = s[j] * away;
    }
}

/* dv += S^T dy + S'^T dy', dv' += S^T dy'; dq += dA k + dA' k', dq' += dA' k; dk += dA^T q + dA'^T q', dk' += dA'^T q;
   of the query pixels from `first` on of a unit. */
static void ssdei_attention_tangent_backward_block(ssde_run *run, int index, const ssdei_attention *space, size_t unit,
                                                   size_t first) {
    ssdei_dual q = ssdei_attention_dual(run, index, space, 0, unit);
    ssdei_dual k = ssdei_attention_dual(run, index, space, 1, unit);
    ssdei_dual v = ssdei_attention_dual(run, index, space, 2, unit);
    size_t stride = space->stride, at = first * space->channels;
    size_t rows = ssdei_least(space->query_pixels - first, space->block), i;
    const float *x = q.x + at, *x_rate = q.x_rate + at, *dy = q.dy + at, *dy_rate = q.dy_rate + at;
    ssdei_attention_rates(run, space, x, x_rate, rows);
    ssdei_attention_across(run, space, dy_rate, space->values, rows, 0, space->slopes);
    ssdei_attention_across(run, space, dy, space->values, rows, 0, space->mixed);
    ssdei_attention_across(run, space, dy_rate, space->tangent_values, rows, 1, space->mixed);
    for (i = 0; i < rows; i++) {
        const float *s = space->weights + i * stride;
        float *h = space->slopes + i * stride, *g = space->mixed + i * stride;
        ssdei_attention_mix(space, s, h, space->rates + i * stride, g);
        run->nn->softmax_backward(s, space->scale, space->pixels, h);
        run->nn->softmax_backward(s, space->scale, space->pixels, g);
    }
    if (v.dx) {
        ssdei_attention_outer(run, space, space->weights, dy, rows, v.dx);
        ssdei_attention_outer(run, space, space->rates, dy_rate, rows, v.dx);
    }
    if (v.dx_rate) ssdei_attention_outer(run, space, space->weights, dy_rate, rows, v.dx_rate);
    if (q.dx) {
        ssdei_attention_down(run, space, space->mixed, space->keys_down, rows, 1, q.dx + at);
        ssdei_attention_down(run, space, space->slopes, space->tangent_keys_down, rows, 1, q.dx + at);
    }
    if (q.dx_rate) ssdei_attention_down(run, space, space->slopes, space->keys_down, rows, 1, q.dx_rate + at);
    if (k.dx) {
        ssdei_attention_outer(run, space, space->mixed, x, rows, k.dx);
        ssdei_attention_outer(run, space, space->slopes, x_rate, rows, k.dx);
    }
    if (k.dx_rate) ssdei_attention_outer(run, space, space->slopes, x, rows, k.dx_rate);
}

static void ssdei_attention_tangent_backward_units(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    ssdei_attention space = ssdei_attention_layout(run, index, ssdei_workspace(run, task));
    size_t first;
    int i;
    for (; begin < end; begin++) {
        for (i = 0; i < 3; i++) {
            ssdei_dual d = ssdei_attention_dual(run, index, &space, i, begin);
            size_t pixels = i ? space.pixels : space.query_pixels;
            if (d.dx && !run->accumulate[i]) ssdei_attention_clear(&space, pixels, d.dx);
            if (d.dx_rate && !run->accumulate[i]) ssdei_attention_clear(&space, pixels, d.dx_rate);
        }
        ssdei_attention_pack_tangents(run, index, begin, 1, &space);
        for (first = 0; first < space.query_pixels; first += space.block)
            ssdei_attention_tangent_backward_block(run, index, &space, begin, first);
    }
}
static void ssdei_attention_tangent_backward(ssde_run *run, int index) {
    if (ssdei_claim_inputs(run, index)) ssdei_attention_over_units(run, index, ssdei_attention_tangent_backward_units);
}

/* ---- operations: add ---- */

ssde_node ssde_add_scaled(ssde_net *net, ssde_node a, ssde_node b, double scale) {
    const ssdei_node *left = ssdei_look(net, a), *right = ssdei_look(net, b);
    ssdei_node *node;
    if (!left || !right) return -1;
    if (memcmp(left->shape, right->shape, sizeof left->shape) &&
        (right->count != right->shape[2] || right->shape[2] != left->shape[2]))
        return ssdei_net_fail(net, "add: b has neither a's shape nor one value per channel");
    node = ssdei_net_add_node(net, SSDEI_OPERATION_add, a, b, -1, left->shape[0], left->shape[1], left->shape[2]);
    if (node) node->scale = scale;
    return ssdei_last(net, node);
}

/* y = (a + b) scale; b like a, or one value per channel */
static void ssdei_add_plan(ssde_run *run, int index) {
    run->steps[index].workspace = ssdei_added_workspace(run, &run->net->nodes[index]);
}

static void ssdei_add_forward_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t period = run->net->nodes[node->input[1]].count, row;
    (void)task;
    for (row = begin; row < end; row++)
        run->nn->add_scaled(ssdei_value(run, node->input[0]) + row * node->count,
                            ssdei_value(run, node->input[1]) + row * period, period, (float)node->scale, node->count,
                            ssdei_value(run, index) + row * node->count);
}
static void ssdei_add_forward(ssde_run *run, int index) { ssdei_over_rows(run, index, ssdei_add_forward_rows); }

static void ssdei_add_backward_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t at = begin * node->count;
    if (ssdei_wants(run, node->input[0]))
        run->nn->multiply_add(ssdei_gradient(run, index) + at, (float)node->scale, (end - begin) * node->count,
                              run->accumulate[0], ssdei_gradient(run, node->input[0]) + at);
    if (ssdei_wants(run, node->input[1])) ssdei_added_backward_rows(run, index, begin, end, task);
}
static void ssdei_add_backward(ssde_run *run, int index) {
    if (ssdei_claim_inputs(run, index)) ssdei_over_rows(run, index, ssdei_add_backward_rows);
}

/* ---- operations: concatenate ---- */

ssde_node ssde_concat(ssde_net *net, ssde_node a, ssde_node b) {
    const ssdei_node *left = ssdei_look(net, a), *right = ssdei_look(net, b);
    if (!left || !right) return -1;
    if (right->count != right->shape[2] && (left->shape[0] != right->shape[0] || left->shape[1] != right->shape[1]))
        return ssdei_net_fail(net, "concat: the images differ in size");
    return ssdei_last(net, ssdei_net_add_node(net, SSDEI_OPERATION_concat, a, b, -1, left->shape[0], left->shape[1],
                                              left->shape[2] + right->shape[2]));
}

/* [a | b] along channels; b may have one pixel */
static void ssdei_concat_plan(ssde_run *run, int index) {
    run->steps[index].workspace = 2 * run->net->nodes[index].shape[2];
}

static void ssdei_concat_forward_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t first = run->net->nodes[node->input[0]].shape[2], second = node->shape[2] - first;
    size_t pixels = node->count / node->shape[2], of_b = run->net->nodes[node->input[1]].count / second, p;
    (void)task;
    for (p = begin * pixels; p < end * pixels; p++) {
        float *y = ssdei_value(run, index) + p * node->shape[2];
        memcpy(y, ssdei_value(run, node->input[0]) + p * first, first * sizeof *y);
        memcpy(y + first, ssdei_value(run, node->input[1]) + (of_b == 1 ? p / pixels : p) * second, second * sizeof *y);
    }
}
static void ssdei_concat_forward(ssde_run *run, int index) { ssdei_over_rows(run, index, ssdei_concat_forward_rows); }

/* db[c] (+)= sum over the pixels of dy[pixel][first + c] */
static void ssdei_concat_backward_repeated(ssde_run *run, int index, size_t row, size_t task) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t channels = node->shape[2], some = run->net->nodes[node->input[1]].count, c;
    float *db = ssdei_gradient(run, node->input[1]) + row * some;
    double *sums = (double *)(void *)ssdei_workspace(run, task);
    memset(sums, 0, channels * sizeof *sums);
    run->nn->channel_sums(ssdei_gradient(run, index) + row * node->count, node->count / channels, channels, sums);
    for (c = 0; c < some; c++) db[c] = (run->accumulate[1] ? db[c] : 0.0f) + (float)sums[channels - some + c];
}

static void ssdei_concat_backward_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t channels = node->shape[2], pixels = node->count / channels, p;
    int i;
    for (i = 0; i < 2; i++) {
        size_t some = run->net->nodes[node->input[i]].shape[2], from = i ? channels - some : 0;
        if (!ssdei_wants(run, node->input[i])) continue;
        if (pixels > 1 && run->net->nodes[node->input[i]].count == some)
            for (p = begin; p < end; p++) ssdei_concat_backward_repeated(run, index, p, task);
        else
            for (p = begin * pixels; p < end * pixels; p++)
                run->nn->multiply_add(ssdei_gradient(run, index) + p * channels + from, 1.0f, some, run->accumulate[i],
                                      ssdei_gradient(run, node->input[i]) + p * some);
    }
}
static void ssdei_concat_backward(ssde_run *run, int index) {
    if (ssdei_claim_inputs(run, index)) ssdei_over_rows(run, index, ssdei_concat_backward_rows);
}

/* ---- operations: affine map ---- */

ssde_node ssde_affine_map(ssde_net *net, ssde_node x, double scale, double shift) {
    const ssdei_node *in = ssdei_look(net, x);
    ssdei_node *node;
    if (!in) return -1;
    node = ssdei_net_add_node(net, SSDEI_OPERATION_affine, x, -1, -1, in->shape[0], in->shape[1], in->shape[2]);
    if (!node) return -1;
    node->scale = scale;
    node->shift = shift;
    return ssdei_last(net, node);
}

static void ssdei_affine_plan(ssde_run *run, int index) { run->steps[index].in_place = 1; }

/* y = scale x + shift */
static void ssdei_affine_forward(ssde_run *run, int index) {
    const ssdei_node *node = &run->net->nodes[index];
    const float *x = ssdei_value(run, node->input[0]);
    float *y = ssdei_value(run, index), scale = (float)node->scale;
    float shift = ssdei_on_tangents(run) ? 0.0f : (float)node->shift;
    size_t i;
    for (i = 0; i < run->rows * node->count; i++) y[i] = scale * x[i] + shift;
}
static void ssdei_affine_backward(ssde_run *run, int index) {
    const ssdei_node *node = &run->net->nodes[index];
    if (!ssdei_wants(run, node->input[0])) return;
    run->nn->multiply_add(ssdei_gradient(run, index), (float)node->scale, run->rows * node->count,
                          ssdei_claim(run, node->input[0]), ssdei_gradient(run, node->input[0]));
}

/* ---- operations: dropout ---- */

/* Behind a group norm the two are one operation, which visits memory once; the norm alone is not run unless something
   else reads it. */
ssde_node ssde_dropout(ssde_net *net, ssde_node x, double p) {
    const ssdei_node *in = ssdei_look(net, x);
    ssdei_node copy, *node;
    if (!in) return -1;
    if (p == 0.0) return x;
    if (!(p > 0.0 && p < 1.0)) return ssdei_net_fail(net, "dropout: the probability is %.9g, wanted 0 to below 1", p);
    copy = *in;
    node = ssdei_net_add_node(net, SSDEI_OPERATION_dropout, x, -1, -1, copy.shape[0], copy.shape[1], copy.shape[2]);
    if (!node) return -1;
    if (copy.operation == SSDEI_OPERATION_group_norm && copy.drop == 0.0) *node = copy;
    node->drop = p;
    node->ordinal = net->dropouts++;
    return ssdei_last(net, node);
}

static void ssdei_dropout_plan(ssde_run *run, int index) {
    run->steps[index].in_place = 1;
    if (ssdei_trains(run->mode)) run->steps[index].workspace = ssdei_dropout_floats(&run->net->nodes[index]);
}

static void ssdei_dropout_forward_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index];
    uint32_t *space = (uint32_t *)(void *)ssdei_workspace(run, task);
    size_t row;
    for (row = begin; row < end; row++)
        ssdei_drop(run, node, ssdei_dropout_words(run, node, row, space), 0,
                   ssdei_value(run, node->input[0]) + row * node->count, node->count, 0,
                   ssdei_value(run, index) + row * node->count);
}
static void ssdei_dropout_forward(ssde_run *run, int index) { ssdei_over_rows(run, index, ssdei_dropout_forward_rows); }
static void ssdei_dropout_backward_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index];
    uint32_t *space = (uint32_t *)(void *)ssdei_workspace(run, task);
    size_t row;
    for (row = begin; row < end; row++)
        ssdei_drop(run, node, ssdei_dropout_words(run, node, row, space), 0,
                   ssdei_gradient(run, index) + row * node->count, node->count, run->accumulate[0],
                   ssdei_gradient(run, node->input[0]) + row * node->count);
}
static void ssdei_dropout_backward(ssde_run *run, int index) {
    if (ssdei_claim_inputs(run, index)) ssdei_over_rows(run, index, ssdei_dropout_backward_rows);
}

/* ---- operations: resampling ----
   Nearest, pooling, FIR and zero insertion are one operation: a sparse matrix along each axis, whose transpose is its
   derivative. */

/* Appends the rows of one axis, and of its transpose; their offsets in net->taps go to rows[0] and rows[1]. Output o of
   upfirdn reads the zero-stuffed, padded input at o * down + j, j < taps, correlated with the kernel. */
static void ssdei_add_axis(ssde_net *net, size_t in, size_t out, int up, int down, int pad_before, const double *kernel,
                           int taps, size_t rows[2]) {
    size_t o, total = in + out;
    ssdei_taps *forward, *backward;
    net->taps =
        (ssdei_taps *)ssdei_net_grow(net, net->taps, &net->taps_capacity, net->taps_count, total, sizeof *net->taps);
    if (net->status != SSDE_OK) return;
    rows[0] = net->taps_count;
    rows[1] = net->taps_count + out;
    net->taps_count += total;
    forward = net->taps + rows[0];
    backward = net->taps + rows[1];
    memset(forward, 0, total * sizeof *forward);
    for (o = 0; o < out; o++) {
        int j;
        for (j = 0; j < taps; j++) {
            long stuffed = (long)o * down + j - pad_before;
            size_t i = (size_t)(stuffed / up);
            ssdei_taps *row = &forward[o], *column;
            if (stuffed < 0 || stuffed % up || i >= in) continue;
            if (!row->count) row->first = (int)i;
            row->weight[row->count++] = (float)kernel[j];
            column = &backward[i];
            /* Down-sampling visits an input from outputs in order; gaps get weight 0. */
            if (!column->count) column->first = (int)o;
            while (column->first + column->count < (int)o) column->weight[column->count++] = 0.0f;
            column->weight[column->count++] = (float)kernel[j];
        }
    }
}

static ssde_node ssdei_resample(ssde_net *net, ssde_node x, int up, int down, int pad_before, int pad_after,
                                const double *kernel, int taps) {
    const ssdei_node *in = ssdei_look(net, x);
    ssdei_node *node;
    size_t shape[3], out[2], rows[2][2];
    int axis;
    if (!in) return -1;
    memcpy(shape, in->shape, sizeof shape);
    for (axis = 0; axis < 2; axis++) {
        long stuffed = (long)shape[axis] * up + pad_before + pad_after - taps;
        if (stuffed < 0)
            return ssdei_net_fail(net,
                                  "resampling: an axis of %.0f, padded by %d and %d, is shorter than the filter of %d",
                                  (double)shape[axis] * up, pad_before, pad_after, taps);
        out[axis] = (size_t)stuffed / (size_t)down + 1;
        ssdei_add_axis(net, shape[axis], out[axis], up, down, pad_before, kernel, taps, rows[axis]);
        if (net->status != SSDE_OK) return -1;
    }
    node = ssdei_net_add_node(net, SSDEI_OPERATION_resample, x, -1, -1, out[0], out[1], shape[2]);
    if (!node) return -1;
    for (axis = 0; axis < 2; axis++) {
        node->taps[axis] = rows[axis][0];
        node->taps_back[axis] = rows[axis][1];
    }
    return ssdei_last(net, node);
}

ssde_node ssde_upsample_nearest(ssde_net *net, ssde_node x) {
    static const double repeat[2] = {1.0, 1.0};
    return ssdei_resample(net, x, 2, 1, 1, 0, repeat, 2);
}

ssde_node ssde_average_pool(ssde_net *net, ssde_node x) {
    static const double average[2] = {0.5, 0.5};
    return ssdei_resample(net, x, 1, 2, 0, 0, average, 2);
}

ssde_node ssde_fir(ssde_net *net, ssde_node x, int up, int down, int pad_before, int pad_after, const double *kernel,
                   int taps) {
    double normalised[SSDE_MAX_FIR_TAPS], sum = 0.0;
    int i;
    if (!net || net->status != SSDE_OK) return -1;
    if (!kernel) return ssdei_net_fail(net, "fir: kernel is NULL");
    if (taps < 1 || taps > SSDE_MAX_FIR_TAPS || up < 1 || up > 2 || down < 1 || down > 2 || pad_before < 0 ||
        pad_after < 0 || pad_before > 8 || pad_after > 8)
        return ssdei_net_fail(net, "fir: up is %d, down %d, padding %d and %d, taps %d, wanted 1 or 2, 0 to 8, 1 to %d",
                              up, down, pad_before, pad_after, taps, (int)SSDE_MAX_FIR_TAPS);
    for (i = 0; i < taps; i++) sum += kernel[i];
    if (!(fabs(sum) > 0.0 && fabs(sum) <= DBL_MAX))
        return ssdei_net_fail(net, "fir: the kernel's sum is %g, wanted a finite number other than 0", sum);
    /* upfirdn2d convolves: the kernel is flipped */
    for (i = 0; i < taps; i++) normalised[i] = kernel[taps - 1 - i] / sum * up;
    return ssdei_resample(net, x, up, down, pad_before, pad_after, normalised, taps);
}

/* y[o] = sum over taps down and across of weight weight x[i]; backward is the transposed matrices */
static void ssdei_resample_image(const ssde_run *run, const float *x, const size_t from[2], const ssdei_taps *down,
                                 const ssdei_taps *across, const size_t to[2], size_t channels, int accumulate,
                                 float *y) {
    size_t oy, ox;
    for (oy = 0; oy < to[0]; oy++) {
        for (ox = 0; ox < to[1]; ox++, y += channels) {
            int started = accumulate, i, j;
            for (i = 0; i < down[oy].count; i++) {
                const float *row = x + (size_t)(down[oy].first + i) * from[1] * channels;
                for (j = 0; j < across[ox].count; j++) {
                    float weight = down[oy].weight[i] * across[ox].weight[j];
                    if (weight == 0.0f) continue;
                    run->nn->multiply_add(row + (size_t)(across[ox].first + j) * channels, weight, channels, started,
                                          y);
                    started = 1;
                }
            }
            if (!started) memset(y, 0, channels * sizeof *y);
        }
    }
}
static void ssdei_resample_forward_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index], *in = &run->net->nodes[node->input[0]];
    size_t row;
    (void)task;
    for (row = begin; row < end; row++)
        ssdei_resample_image(run, ssdei_value(run, node->input[0]) + row * in->count, in->shape,
                             run->net->taps + node->taps[0], run->net->taps + node->taps[1], node->shape,
                             node->shape[2], 0, ssdei_value(run, index) + row * node->count);
}
static void ssdei_resample_forward(ssde_run *run, int index) {
    ssdei_over_rows(run, index, ssdei_resample_forward_rows);
}

static void ssdei_resample_backward_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index], *in = &run->net->nodes[node->input[0]];
    size_t row;
    (void)task;
    for (row = begin; row < end; row++)
        ssdei_resample_image(run, ssdei_gradient(run, index) + row * node->count, node->shape,
                             run->net->taps + node->taps_back[0], run->net->taps + node->taps_back[1], in->shape,
                             node->shape[2], run->accumulate[0], ssdei_gradient(run, node->input[0]) + row * in->count);
}
static void ssdei_resample_backward(ssde_run *run, int index) {
    if (ssdei_claim_inputs(run, index)) ssdei_over_rows(run, index, ssdei_resample_backward_rows);
}

/* ---- operations: positional embedding ---- */

/* Whether a node may be embedded: the label, or the class's number. Where a table or a null class do not say otherwise,
   that is then any number that a float has. */
static int ssdei_embeds(ssde_net *net, ssde_node number, const char *operation) {
    const ssdei_node *in = ssdei_look(net, number);
    if (!in) return 0;
    if (in->count != 1) {
        ssdei_net_fail(net, "%s: %.0f labels, wanted 1 label", operation, (double)in->count);
        return 0;
    }
    if (number == net->class_number && !net->classes) {
        net->classes = (size_t)1 << 24;
        net->no_null_class = 1;
    }
    return 1;
}

ssde_node ssde_positional_embedding(ssde_net *net, ssde_node label, size_t dim, double shift, int cosine_first) {
    ssdei_node *node;
    if (!ssdei_embeds(net, label, "positional_embedding")) return -1;
    if (dim < 2 || !(shift > -1e6 && (double)(dim / 2) - shift >= 0.5))
        return ssdei_net_fail(net, "positional_embedding: dim is %.0f, shift %.9g, wanted 2 or more, below dim / 2",
                              (double)dim, shift);
    node = ssdei_net_add_node(net, SSDEI_OPERATION_positional, label, -1, -1, 1, 1, dim);
    if (!node) return -1;
    node->shift = shift;
    node->cosine_first = cosine_first != 0;
    return ssdei_last(net, node);
}

/* [sin | cos], or [cos | sin], of `half` angles, in their place and behind it */
static void ssdei_sines_of_angles(const ssde_run *run, float *y, size_t half, int cosine_first) {
    float *sine = cosine_first ? y + half : y, *cosine = cosine_first ? y : y + half, most = 0.0f;
    size_t i;
    for (i = 0; i < half; i++) most = fabsf(y[i]) > most ? fabsf(y[i]) : most;
    if (most <= SSDEI_MOST_ANGLE) {
        run->nn->sines(y, half, sine, cosine);
        return;
    }
    for (i = 0; i < half; i++) {
        float angle = y[i];
        sine[i] = ssdei_math_sinf(angle);
        cosine[i] = ssdei_math_cosf(angle);
    }
}

/* Of label * exp(-i ln(10000) / (half - shift)), in the reference's float arithmetic; layers.py:564. Labels have no
   derivative. */
static void ssdei_positional_forward(ssde_run *run, int index) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t half = node->count / 2, row, i;
    float slope = (float)(-ssdei_math_log(10000.0) / ((double)half - node->shift));
    for (row = 0; row < run->rows; row++) {
        float label = ssdei_value(run, node->input[0])[row], *y = ssdei_value(run, index) + row * node->count;
        for (i = 0; i < half; i++) y[i] = label * ssdei_math_expf((float)i * slope);
        ssdei_sines_of_angles(run, y, half, node->cosine_first);
        if (node->count % 2) y[node->count - 1] = 0.0f;
    }
}

/* ---- operations: Fourier embedding ---- */

/* With the frequencies given. */
static ssde_node ssdei_fourier_node(ssde_net *net, ssde_node label, size_t dim, int parameter) {
    ssdei_node *node;
    if (!ssdei_embeds(net, label, "fourier_embedding")) return -1;
    node = ssdei_net_add_node(net, SSDEI_OPERATION_fourier, label, -1, -1, 1, 1, 2 * dim);
    if (node) node->parameter = parameter;
    return ssdei_last(net, node);
}

ssde_node ssde_fourier_embedding(ssde_net *net, ssde_node label, size_t dim, double scale, const char *name) {
    if (!net || !dim) return net ? ssdei_net_fail(net, "fourier_embedding: dim is 0, wanted 1 or more") : -1;
    return ssdei_fourier_node(
        net, label, dim,
        ssdei_net_add_parameter(net, name, "W", SSDEI_LAYOUT_PLAIN, 0, dim, 0, SSDEI_INITIALISE_NORMAL, scale));
}

/* [sin | cos] of log(label) W 2 pi, in that order in float; layerspp.py:32 */
static void ssdei_fourier_forward(ssde_run *run, int index) {
    const ssdei_node *node = &run->net->nodes[index];
    const float *frequencies = ssdei_weights(run, node->parameter);
    size_t half = node->count / 2, row, i;
    for (row = 0; row < run->rows; row++) {
        float label = ssdei_math_logf(ssdei_value(run, node->input[0])[row]),
              *y = ssdei_value(run, index) + row * node->count;
        for (i = 0; i < half; i++) y[i] = label * frequencies[i] * 2.0f * (float)SSDEI_PI;
        ssdei_sines_of_angles(run, y, half, 0);
    }
}

/* ---- operations: scale rows ---- */

ssde_node ssde_scale_rows(ssde_net *net, ssde_node x, ssde_node sigma, ssde_row_scale scale) {
    const ssdei_node *in = ssdei_look(net, x), *row = ssdei_look(net, sigma);
    ssdei_node *node;
    if (!in || !row) return -1;
    if (row->count != 1)
        return ssdei_net_fail(net, "scale_rows: sigma has %.0f values per sample, wanted 1", (double)row->count);
    if ((unsigned)scale > SSDE_OVER_TOTAL)
        return ssdei_net_fail(net, "scale_rows: scale is %d, wanted an ssde_row_scale", (int)scale);
    node = ssdei_net_add_node(net, SSDEI_OPERATION_scale_rows, x, sigma, -1, in->shape[0], in->shape[1], in->shape[2]);
    if (node) node->row_scale = (int)scale;
    return ssdei_last(net, node);
}

/* y = x f(sigma), one sigma per sample, which has no derivative */
static void ssdei_scale_rows_plan(ssde_run *run, int index) { run->steps[index].reads[1] = SSDEI_READ; }

static float ssdei_row_factor(const ssde_run *run, const ssdei_node *node, size_t row) {
    float sigma = ssdei_primal(run, node->input[1])[row];
    return node->row_scale == SSDE_OVER_SIGMA ? 1.0f / sigma : 1.0f / sqrtf(1.0f + sigma * sigma);
}
static void ssdei_scale_rows_forward(ssde_run *run, int index) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t row;
    for (row = 0; row < run->rows; row++)
        run->nn->multiply_add(ssdei_value(run, node->input[0]) + row * node->count, ssdei_row_factor(run, node, row),
                              node->count, 0, ssdei_value(run, index) + row * node->count);
}
static void ssdei_scale_rows_backward(ssde_run *run, int index) {
    const ssdei_node *node = &run->net->nodes[index];
    int accumulate;
    size_t row;
    if (!ssdei_wants(run, node->input[0])) return;
    accumulate = ssdei_claim(run, node->input[0]);
    for (row = 0; row < run->rows; row++)
        run->nn->multiply_add(ssdei_gradient(run, index) + row * node->count, ssdei_row_factor(run, node, row),
                              node->count, accumulate, ssdei_gradient(run, node->input[0]) + row * node->count);
}

/* ---- operations: modulate ---- */

ssde_node ssde_modulate(ssde_net *net, ssde_node x, ssde_node scale_shift) {
    const ssdei_node *in = ssdei_look(net, x), *by = ssdei_look(net, scale_shift);
    if (!in || !by) return -1;
    if (by->count != by->shape[2] || by->shape[2] != 2 * in->shape[2])
        return ssdei_net_fail(net, "modulate: scale_shift has not two values per channel");
    return ssdei_last(net, ssdei_net_add_node(net, SSDEI_OPERATION_modulate, x, scale_shift, -1, in->shape[0],
                                              in->shape[1], in->shape[2]));
}

/* y = x (1 + scale) + shift, both per channel */
static void ssdei_modulate_plan(ssde_run *run, int index) {
    const ssdei_node *node = &run->net->nodes[index];
    ssdei_step *step = &run->steps[index];
    step->reads[0] = ssdei_wants(run, node->input[1]) ? SSDEI_READ : SSDEI_UNREAD;
    step->reads[1] = SSDEI_READ;
    step->workspace = (step->moves ? 9 : 4) * node->shape[2];
}

static void ssdei_modulate_forward_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t channels = node->shape[2], pixels = node->count / channels, p, c;
    (void)task;
    for (p = begin * pixels; p < end * pixels; p++) {
        const float *x = ssdei_value(run, node->input[0]) + p * channels;
        const float *scale = ssdei_value(run, node->input[1]) + p / pixels * 2 * channels, *shift = scale + channels;
        float *y = ssdei_value(run, index) + p * channels;
        for (c = 0; c < channels; c++) y[c] = x[c] * (1.0f + scale[c]) + shift[c];
    }
}
static void ssdei_modulate_forward(ssde_run *run, int index) {
    ssdei_over_rows(run, index, ssdei_modulate_forward_rows);
}

/* dx += dy (1 + scale); dscale += sum over pixels of dy x, dshift += sum of dy */
static void ssdei_modulate_backward_by(ssde_run *run, int index, size_t row, size_t task) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t channels = node->shape[2], p, c;
    const float *x = ssdei_value(run, node->input[0]) + row * node->count;
    const float *dy = ssdei_gradient(run, index) + row * node->count;
    float *by = ssdei_gradient(run, node->input[1]) + row * 2 * channels;
    double *sums = (double *)(void *)ssdei_workspace(run, task);
    memset(sums, 0, 2 * channels * sizeof *sums);
    for (p = 0; p < node->count; p += channels) {
        for (c = 0; c < channels; c++) {
            sums[c] += (double)dy[p + c] * (double)x[p + c];
            sums[channels + c] += (double)dy[p + c];
        }
    }
    for (c = 0; c < 2 * channels; c++) by[c] = (run->accumulate[1] ? by[c] : 0.0f) + (float)sums[c];
}
static void ssdei_modulate_backward_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t channels = node->shape[2], pixels = node->count / channels, row, p, c;
    for (row = begin; row < end && ssdei_wants(run, node->input[1]); row++)
        ssdei_modulate_backward_by(run, index, row, task);
    for (p = begin * pixels; p < end * pixels && ssdei_wants(run, node->input[0]); p++) {
        const float *dy = ssdei_gradient(run, index) + p * channels;
        const float *scale = ssdei_value(run, node->input[1]) + p / pixels * 2 * channels;
        float *dx = ssdei_gradient(run, node->input[0]) + p * channels;
        for (c = 0; c < channels; c++) dx[c] = (run->accumulate[0] ? dx[c] : 0.0f) + dy[c] * (1.0f + scale[c]);
    }
}
static void ssdei_modulate_backward(ssde_run *run, int index) {
    if (ssdei_claim_inputs(run, index)) ssdei_over_rows(run, index, ssdei_modulate_backward_rows);
}

/* Of a row of mode tangent: 1 + scale, behind the sums in the task's workspace. */
static float *ssdei_modulate_factors(const ssde_run *run, const ssdei_node *node, const float *scale, size_t task) {
    float *factors = ssdei_workspace(run, task) + 8 * node->shape[2];
    size_t c;
    for (c = 0; c < node->shape[2]; c++) factors[c] = 1.0f + scale[c];
    return factors;
}

/* y' = x' (1 + scale) + x scale' + shift' */
static void ssdei_modulate_tangent_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t channels = node->shape[2];
    for (; begin < end; begin++) {
        ssdei_dual d = ssdei_dual_rows(run, index, 0, begin), by = ssdei_dual_rows(run, index, 1, begin);
        run->nn->norm_backward(d.x, d.x_rate, run->arena + run->zeros, ssdei_modulate_factors(run, node, by.x, task),
                               by.x_rate, by.x_rate + channels, node->count / channels, channels, 0, d.y_rate);
    }
}
static void ssdei_modulate_tangent(ssde_run *run, int index) {
    ssdei_over_rows(run, index, ssdei_modulate_tangent_rows);
}

/* dscale += sum over pixels of dy x + dy' x', dshift += sum of dy; dscale' += sum of dy' x, dshift' += sum of dy' */
static void ssdei_modulate_tangent_backward_by(ssde_run *run, const ssdei_node *node, const ssdei_dual *d,
                                               const ssdei_dual *by, double *sums) {
    const float *zeros = run->arena + run->zeros;
    size_t channels = node->shape[2], pixels = node->count / channels, c;
    double *shift = sums + channels, *rates = shift + channels;
    memset(sums, 0, 2 * channels * sizeof *sums);
    run->nn->norm_sums(d->x_rate, d->dy_rate, zeros, zeros, zeros, pixels, channels, 0, d->dy_rate, shift, sums);
    memset(shift, 0, 3 * channels * sizeof *sums);
    run->nn->norm_sums(d->x, d->dy, zeros, zeros, zeros, pixels, channels, 0, d->dy, shift, sums);
    run->nn->norm_sums(d->x, d->dy_rate, zeros, zeros, zeros, pixels, channels, 0, d->dy_rate, rates + channels, rates);
    for (c = 0; c < 2 * channels; c++) {
        by->dx[c] = (run->accumulate[1] ? by->dx[c] : 0.0f) + (float)sums[c];
        if (by->dx_rate) by->dx_rate[c] = (run->accumulate[1] ? by->dx_rate[c] : 0.0f) + (float)rates[c];
    }
}

/* dx += dy (1 + scale) + dy' scale', dx' += dy' (1 + scale) */
static void ssdei_modulate_tangent_backward_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index];
    const float *zeros = run->arena + run->zeros;
    size_t channels = node->shape[2], pixels = node->count / channels;
    for (; begin < end; begin++) {
        ssdei_dual d = ssdei_dual_rows(run, index, 0, begin), by = ssdei_dual_rows(run, index, 1, begin);
        const float *factors = ssdei_modulate_factors(run, node, by.x, task);
        if (by.dx) ssdei_modulate_tangent_backward_by(run, node, &d, &by, (double *)(void *)ssdei_workspace(run, task));
        if (d.dx)
            run->nn->norm_backward(d.dy_rate, d.dy, zeros, factors, by.x_rate, zeros, pixels, channels,
                                   run->accumulate[0], d.dx);
        if (d.dx_rate)
            run->nn->norm_backward(d.dy_rate, d.dy_rate, zeros, factors, zeros, zeros, pixels, channels,
                                   run->accumulate[0], d.dx_rate);
    }
}
static void ssdei_modulate_tangent_backward(ssde_run *run, int index) {
    if (ssdei_claim_inputs(run, index)) ssdei_over_rows(run, index, ssdei_modulate_tangent_backward_rows);
}

/* ---- operations: mean over pixels ---- */

ssde_node ssde_mean_pixels(ssde_net *net, ssde_node x) {
    const ssdei_node *in = ssdei_look(net, x);
    if (!in) return -1;
    return ssdei_last(net, ssdei_net_add_node(net, SSDEI_OPERATION_mean_pixels, x, -1, -1, 1, 1, in->shape[2]));
}

/* y = mean of x over the pixels */
static void ssdei_mean_pixels_plan(ssde_run *run, int index) {
    run->steps[index].workspace = 2 * run->net->nodes[index].shape[2];
}

static void ssdei_mean_pixels_forward_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index], *in = &run->net->nodes[node->input[0]];
    size_t channels = node->count, pixels = in->count / channels, row, c;
    double *sums = (double *)(void *)ssdei_workspace(run, task);
    for (row = begin; row < end; row++) {
        float *y = ssdei_value(run, index) + row * channels;
        memset(sums, 0, channels * sizeof *sums);
        run->nn->channel_sums(ssdei_value(run, node->input[0]) + row * in->count, pixels, channels, sums);
        for (c = 0; c < channels; c++) y[c] = (float)(sums[c] / (double)pixels);
    }
}
static void ssdei_mean_pixels_forward(ssde_run *run, int index) {
    ssdei_over_rows(run, index, ssdei_mean_pixels_forward_rows);
}

/* dx += dy / pixels */
static void ssdei_mean_pixels_backward_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t channels = node->count, pixels = run->net->nodes[node->input[0]].count / channels, p;
    (void)task;
    for (p = begin * pixels; p < end * pixels; p++)
        run->nn->multiply_add(ssdei_gradient(run, index) + p / pixels * channels, 1.0f / (float)pixels, channels,
                              run->accumulate[0], ssdei_gradient(run, node->input[0]) + p * channels);
}
static void ssdei_mean_pixels_backward(ssde_run *run, int index) {
    if (ssdei_claim_inputs(run, index)) ssdei_over_rows(run, index, ssdei_mean_pixels_backward_rows);
}

/* ---- operations: tokens ---- */

ssde_node ssde_tokens(ssde_net *net, ssde_node x, const char *name) {
    const ssdei_node *in = ssdei_look(net, x);
    ssdei_node *node;
    size_t channels, pixels;
    int table;
    if (!in) return -1;
    channels = in->shape[2];
    pixels = in->count / channels;
    table = ssdei_net_add_parameter(
        net, name, "positional_embedding", SSDEI_LAYOUT_LINEAR, pixels + 1, channels, 0, SSDEI_INITIALISE_FAN_AVERAGE,
        0.5 * (double)(pixels + 1 + channels) / (double)channels); /* variance 1 / channels */
    node = ssdei_net_add_node(net, SSDEI_OPERATION_tokens, x, -1, -1, 1, pixels + 1, channels);
    if (node) node->parameter = table;
    return ssdei_last(net, node);
}

/* y_0 = mean of x over the pixels, y_{1 + p} = x_p, plus the table */
static void ssdei_tokens_plan(ssde_run *run, int index) {
    run->steps[index].workspace = 2 * run->net->nodes[index].shape[2];
}

static void ssdei_tokens_forward_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t channels = node->shape[2], pixels = node->shape[1] - 1, row, c;
    double *sums = (double *)(void *)ssdei_workspace(run, task);
    for (row = begin; row < end; row++) {
        const float *x = ssdei_value(run, node->input[0]) + row * pixels * channels;
        float *y = ssdei_value(run, index) + row * node->count;
        memset(sums, 0, channels * sizeof *sums);
        run->nn->channel_sums(x, pixels, channels, sums);
        for (c = 0; c < channels; c++) y[c] = (float)(sums[c] / (double)pixels);
        memcpy(y + channels, x, pixels * channels * sizeof *y);
        if (!ssdei_on_tangents(run))
            run->nn->multiply_add(ssdei_weights(run, node->parameter), 1.0f, node->count, 1, y);
    }
}
static void ssdei_tokens_forward(ssde_run *run, int index) { ssdei_over_rows(run, index, ssdei_tokens_forward_rows); }

/* dx_p += dy_{1 + p} + dy_0 / pixels; the table's is the sum of the rows' dy */
static void ssdei_tokens_backward_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t channels = node->shape[2], pixels = node->shape[1] - 1, row, p;
    (void)task;
    for (row = begin; row < end; row++) {
        const float *dy = ssdei_gradient(run, index) + row * node->count;
        float *dx = ssdei_gradient(run, node->input[0]) + row * pixels * channels;
        run->nn->multiply_add(dy + channels, 1.0f, pixels * channels, run->accumulate[0], dx);
        for (p = 0; p < pixels; p++) run->nn->multiply_add(dy, 1.0f / (float)pixels, channels, 1, dx + p * channels);
    }
}
static void ssdei_tokens_backward(ssde_run *run, int index) {
    const ssdei_node *node = &run->net->nodes[index];
    float *table = ssdei_weight_gradient(run, node->parameter);
    size_t row;
    for (row = 0; row < run->rows && table && !ssdei_on_tangents(run); row++)
        run->nn->multiply_add(ssdei_gradient(run, index) + row * node->count, 1.0f, node->count, 1, table);
    if (ssdei_claim_inputs(run, index)) ssdei_over_rows(run, index, ssdei_tokens_backward_rows);
}

/* The first of the tokens. */
static ssde_node ssdei_first_token(ssde_net *net, ssde_node tokens) {
    static const double one[1] = {1.0};
    const ssdei_node *in = ssdei_look(net, tokens);
    return in ? ssdei_resample(net, tokens, 1, (int)in->shape[1], 0, 0, one, 1) : -1;
}

/* ---- operations: tables, of classes and labels ---- */

/* Notes how many classes or labels there are, and whether a null class; otherwise the network has failed. */
static int ssdei_table_rows(ssde_net *net, const char *operation, ssde_node number, size_t rows, size_t dim,
                            int null_class) {
    if (!rows || rows > 1 << 24 || !dim) {
        ssdei_net_fail(net, "%s: classes is %.0f, dim %.0f, wanted 1 to 2^24, 1 or more", operation, (double)rows,
                       (double)dim);
        return 0;
    }
    if (number == net->label) {
        if (!net->label_rows || rows < net->label_rows) net->label_rows = rows;
        return 1;
    }
    if (net->classes && (net->classes != rows || net->no_null_class == null_class)) {
        ssdei_net_fail(net, "%s: classes is %.0f, another one's %.0f%s", operation, (double)rows, (double)net->classes,
                       net->no_null_class == null_class ? ", or the one knows a null class" : "");
        return 0;
    }
    net->classes = rows;
    net->no_null_class = !null_class;
    return 1;
}

static int ssdei_table_parameter(ssde_net *net, size_t rows, size_t dim, const char *name) {
    return ssdei_net_add_parameter(net, name, "weight", SSDEI_LAYOUT_NIN, rows, dim, 0, SSDEI_INITIALISE_FAN_AVERAGE,
                                   1.0);
}

/* Of a table that is there. */
static ssde_node ssdei_table_node(ssde_net *net, ssde_node number, size_t dim, int parameter) {
    ssdei_node *node = ssdei_net_add_node(net, SSDEI_OPERATION_class_embedding, number, -1, -1, 1, 1, dim);
    if (node) node->parameter = parameter;
    return ssdei_last(net, node);
}

ssde_node ssde_class_embedding(ssde_net *net, ssde_node class_number, size_t classes, size_t dim, const char *name) {
    if (!ssdei_look(net, class_number)) return -1;
    if (class_number != net->class_number)
        return ssdei_net_fail(net, "class_embedding: class_number is node %d, wanted ssde_input_class's", class_number);
    if (!ssdei_table_rows(net, "class_embedding", class_number, classes, dim, 1)) return -1;
    return ssdei_table_node(net, class_number, dim, ssdei_table_parameter(net, classes + 1, dim, name));
}

ssde_node ssde_table_embedding(ssde_net *net, ssde_node number, size_t rows, size_t dim, const char *name) {
    if (!ssdei_look(net, number)) return -1;
    if (number != net->class_number && number != net->label)
        return ssdei_net_fail(net, "table_embedding: number is node %d, wanted ssde_input_class's or the label's",
                              number);
    if (!ssdei_table_rows(net, "table_embedding", number, rows, dim, 0)) return -1;
    return ssdei_table_node(net, number, dim, ssdei_table_parameter(net, rows, dim, name));
}

/* y = the table's row of the sample's class or label */
static void ssdei_class_embedding_plan(ssde_run *run, int index) { run->steps[index].reads[0] = SSDEI_READ; }

static size_t ssdei_class_row(const ssde_run *run, const ssdei_node *node, size_t row) {
    return (size_t)ssdei_value(run, node->input[0])[row] * node->count;
}
static void ssdei_class_embedding_forward(ssde_run *run, int index) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t row;
    for (row = 0; row < run->rows; row++)
        memcpy(ssdei_value(run, index) + row * node->count,
               ssdei_weights(run, node->parameter) + ssdei_class_row(run, node, row), node->count * sizeof(float));
}
static void ssdei_class_embedding_backward(ssde_run *run, int index) {
    const ssdei_node *node = &run->net->nodes[index];
    float *table = ssdei_weight_gradient(run, node->parameter);
    size_t row;
    for (row = 0; row < run->rows && table; row++)
        run->nn->multiply_add(ssdei_gradient(run, index) + row * node->count, 1.0f, node->count, 1,
                              table + ssdei_class_row(run, node, row));
}

/* ---- operations: instance norm ---- */

/* A norm with the parameters given. An activation that kernels do not have comes behind it. */
static ssde_node ssdei_instance_norm_node(ssde_net *net, ssde_node x, ssde_node label, ssde_instance_norm_kind kind,
                                          double eps, ssde_activation activation, int parameters) {
    const ssdei_node *in = ssdei_look(net, x);
    ssdei_node *node;
    int fused = (unsigned)activation <= SSDE_LEAKY_RELU;
    if (!in) return -1;
    if (!(eps > 0.0 && eps <= DBL_MAX))
        return ssdei_net_fail(net, "instance_norm: eps is %.9g, wanted a finite number above 0", eps);
    if (kind == SSDE_INSTANCE_NORM_PLUS && in->shape[2] < 2)
        return ssdei_net_fail(net,
                              "instance_norm: x has 1 channel, wanted 2 or more: InstanceNorm++ divides by the "
                              "channels less 1");
    if (kind == SSDE_VARIANCE_NORM && in->count == in->shape[2])
        return ssdei_net_fail(net,
                              "instance_norm: x has 1 pixel, wanted 2 or more: VarianceNorm divides by the pixels "
                              "less 1");
    node =
        ssdei_net_add_node(net, SSDEI_OPERATION_instance_norm, x, label, -1, in->shape[0], in->shape[1], in->shape[2]);
    if (!node) return -1;
    node->parameter = parameters;
    node->kind = (int)kind;
    node->eps = eps;
    node->activation = fused ? (int)activation : SSDE_IDENTITY;
    return fused ? ssdei_last(net, node) : ssde_activate(net, ssdei_last(net, node), activation);
}

ssde_node ssde_instance_norm(ssde_net *net, ssde_node x, ssde_instance_norm_kind kind, double eps,
                             ssde_activation activation, const char *name) {
    static const char *const names[3] = {"alpha", "gamma", "beta"};
    const ssdei_node *in = ssdei_look(net, x);
    int first = -1, i, count = kind == SSDE_INSTANCE_NORM_PLUS ? 3 : kind == SSDE_VARIANCE_NORM ? 1 : 0;
    if (!in) return -1;
    if ((unsigned)kind > SSDE_VARIANCE_NORM)
        return ssdei_net_fail(net, "instance_norm: kind is %d, wanted an ssde_instance_norm_kind", (int)kind);
    for (i = 0; i < count; i++) {
        int parameter = ssdei_net_add_parameter(net, name, names[i], SSDEI_LAYOUT_PLAIN, 0, in->shape[2], 0,
                                                i < 2 ? SSDEI_INITIALISE_NEAR_ONE : SSDEI_INITIALISE_ZERO, 0.02);
        if (i == 0) first = parameter;
    }
    return ssdei_instance_norm_node(net, x, -1, kind, eps, activation, first);
}

ssde_node ssde_conditional_instance_norm(ssde_net *net, ssde_node x, ssde_node label, size_t classes, double eps,
                                         ssde_activation activation, const char *name) {
    const ssdei_node *in = ssdei_look(net, x);
    char table[96];
    if (!in || !ssdei_look(net, label)) return -1;
    if (label != net->label)
        return ssdei_net_fail(net, "conditional_instance_norm: label is node %d, wanted ssde_input_label's", label);
    if (!classes || classes > 1 << 24)
        return ssdei_net_fail(net, "conditional_instance_norm: classes is %.0f, wanted 1 to 2^24", (double)classes);
    if (!net->label_rows || classes < net->label_rows) net->label_rows = classes;
    snprintf(table, sizeof table, "%s.embed", name ? name : "");
    return ssdei_instance_norm_node(
        net, x, label, SSDE_INSTANCE_NORM_PLUS, eps, activation,
        ssdei_net_add_parameter(net, name ? table : NULL, "weight", SSDEI_LAYOUT_NIN, classes,
                                ssdei_multiply(3, in->shape[2]), 0, SSDEI_INITIALISE_NEAR_ONE, 0.02));
}

/* One channel of a sample, whose mean over the pixels is m and biased variance v; u = a (x - m) + b, y = f(u):
       instance norm    a = r, b = 0, r = 1 / sqrt(v + eps)
       InstanceNorm++   a = gamma r, b = gamma alpha plus + beta, plus = q (m - mean of m), q = 1 / sqrt(s + eps) with s
                        the unbiased variance of m over the channels
       VarianceNorm     a = alpha r, b = a m, r = 1 / sqrt(v' + eps) with the unbiased variance v'
   Their rates are along a tangent x', u' = a x' + a' (x - m) + c; 0 where there is none. Then what is derived by each.
   VarianceNorm's alpha goes by the name of gamma. */
typedef struct ssdei_instance {
    double mean, mean_rate, variance_rate, rstd, rstd_rate, plus, plus_rate, gamma, alpha, beta;
    double by_a, by_a_rate, by_b, by_c;
    double by_mean, by_mean_rate, by_variance, by_variance_rate, by_plus, by_plus_rate;
} ssdei_instance;

/* Workspace of a task. Saved of a row: means and variances, [2, channels] doubles, and their rates behind them. */
typedef struct ssdei_instance_space {
    ssdei_instance *channels;
    float *mean, *a, *b, *slope, *shift; /* [channels] */
    double *sums;                        /* [6, channels] */
    float *du;                           /* [pixels, channels] */
    float *u, *rate;                     /* mode tangent: [SSDEI_NORM_PIXELS, channels] */
    size_t floats;
} ssdei_instance_space;

static ssdei_instance_space ssdei_instance_layout(const ssde_run *run, int index, float *workspace) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t channels = node->shape[2];
    ssdei_instance_space space;
    memset(&space, 0, sizeof space);
    space.channels = (ssdei_instance *)(void *)ssdei_take(workspace, &space.floats,
                                                          channels * sizeof(ssdei_instance) / sizeof(float));
    space.mean = ssdei_take(workspace, &space.floats, channels);
    space.a = ssdei_take(workspace, &space.floats, channels);
    space.b = ssdei_take(workspace, &space.floats, channels);
    space.slope = ssdei_take(workspace, &space.floats, channels);
    space.shift = ssdei_take(workspace, &space.floats, channels);
    space.sums = (double *)(void *)ssdei_take(workspace, &space.floats, 6 * channels * sizeof(double) / sizeof(float));
    if (run->steps[index].moves) {
        space.u = ssdei_take(workspace, &space.floats, SSDEI_NORM_PIXELS * channels);
        space.rate = ssdei_take(workspace, &space.floats, SSDEI_NORM_PIXELS * channels);
    } else if (run->steps[index].needs)
        space.du = ssdei_take(workspace, &space.floats, node->count);
    return space;
}

static void ssdei_instance_norm_again(ssde_run *run, int index);

static void ssdei_instance_norm_plan(ssde_run *run, int index) {
    const ssdei_node *node = &run->net->nodes[index];
    ssdei_step *step = &run->steps[index];
    step->reads[0] = step->reads[1] = SSDEI_READ;
    step->in_place = run->mode != SSDE_RUN_TANGENT;
    step->workspace = ssdei_instance_layout(run, index, NULL).floats;
    step->saved_floats = (step->moves ? 4 : 2) * node->shape[2] * sizeof(double) / sizeof(float);
    if (!step->needs) return; /* what is saved, too, is gone before the backward pass */
    step->again = ssdei_instance_norm_again;
    step->sums = ssdei_multiply(run->max_rows, 3 * node->shape[2]);
}

static double *ssdei_instance_saved(const ssde_run *run, int index, size_t row) {
    return (double *)(void *)(run->arena + run->steps[index].saved + row * run->steps[index].saved_floats);
}

/* The row of the table that a sample's label names. */
static size_t ssdei_instance_row(const ssde_run *run, const ssdei_node *node, size_t row) {
    return (size_t)ssdei_primal(run, node->input[1])[row] * 3 * node->shape[2];
}

static void ssdei_instance_parameters(const ssde_run *run, const ssdei_node *node, size_t row,
                                      ssdei_instance *channels) {
    size_t count = node->shape[2], c;
    const float *alpha = NULL, *gamma = NULL, *beta = NULL;
    if (node->input[1] >= 0) {
        gamma = ssdei_weights(run, node->parameter) + ssdei_instance_row(run, node, row);
        alpha = gamma + count;
        beta = alpha + count;
    } else if (node->kind == SSDE_VARIANCE_NORM)
        gamma = ssdei_weights(run, node->parameter);
    else if (node->kind == SSDE_INSTANCE_NORM_PLUS) {
        alpha = ssdei_weights(run, node->parameter);
        gamma = ssdei_weights(run, node->parameter + 1);
        beta = ssdei_weights(run, node->parameter + 2);
    }
    for (c = 0; c < count; c++) {
        channels[c].gamma = gamma ? (double)gamma[c] : 1.0;
        channels[c].alpha = alpha ? (double)alpha[c] : 0.0;
        channels[c].beta = beta ? (double)beta[c] : 0.0;
    }
}

/* Of the channels' means: their mean, q and s, and the rates of these. */
typedef struct ssdei_instance_means {
    double mean, mean_rate, q, q_rate, s_rate, less; /* less: 1 / (channels - 1) */
} ssdei_instance_means;

static ssdei_instance_means ssdei_instance_of_means(const ssdei_node *node, const ssdei_instance *channels) {
    ssdei_instance_means of;
    double s = 0.0, count = (double)node->shape[2];
    size_t c;
    memset(&of, 0, sizeof of);
    of.less = 1.0 / (count - 1.0);
    for (c = 0; c < node->shape[2]; c++) {
        of.mean += channels[c].mean / count;
        of.mean_rate += channels[c].mean_rate / count;
    }
    for (c = 0; c < node->shape[2]; c++) {
        double away = channels[c].mean - of.mean;
        s += away * away * of.less;
        of.s_rate += 2.0 * away * channels[c].mean_rate * of.less;
    }
    of.q = 1.0 / sqrt(s + node->eps);
    of.q_rate = -0.5 * of.q * of.q * of.q * of.s_rate;
    return of;
}

/* v' / v of VarianceNorm, 1 of the others */
static double ssdei_instance_unbias(const ssdei_node *node) {
    double pixels = (double)(node->count / node->shape[2]);
    return node->kind == SSDE_VARIANCE_NORM ? pixels / (pixels - 1.0) : 1.0;
}

/* A row's channels from what is saved. */
static void ssdei_instance_read(const ssde_run *run, int index, size_t row, int rates, ssdei_instance *channels) {
    const ssdei_node *node = &run->net->nodes[index];
    const double *saved = ssdei_instance_saved(run, index, row);
    size_t count = node->shape[2], c;
    double unbias = ssdei_instance_unbias(node);
    memset(channels, 0, count * sizeof *channels);
    ssdei_instance_parameters(run, node, row, channels);
    for (c = 0; c < count; c++) {
        ssdei_instance *channel = &channels[c];
        double rstd = 1.0 / sqrt(unbias * saved[count + c] + node->eps);
        channel->mean = saved[c];
        channel->rstd = rstd;
        if (rates) {
            channel->mean_rate = saved[2 * count + c];
            channel->variance_rate = unbias * saved[3 * count + c];
            channel->rstd_rate = -0.5 * rstd * rstd * rstd * channel->variance_rate;
        }
    }
    if (node->kind == SSDE_INSTANCE_NORM_PLUS) {
        ssdei_instance_means of = ssdei_instance_of_means(node, channels);
        for (c = 0; c < count; c++) {
            double away = channels[c].mean - of.mean;
            channels[c].plus = of.q * away;
            channels[c].plus_rate = of.q_rate * away + of.q * (channels[c].mean_rate - of.mean_rate);
        }
    }
}

/* u = a (x - mean) + b with the mean as a float */
static void ssdei_instance_coefficients(const ssdei_node *node, const ssdei_instance_space *space) {
    size_t c;
    for (c = 0; c < node->shape[2]; c++) {
        const ssdei_instance *channel = &space->channels[c];
        double a = channel->gamma * channel->rstd;
        double b = node->kind == SSDE_VARIANCE_NORM ? a * channel->mean
                                                    : channel->gamma * channel->alpha * channel->plus + channel->beta;
        space->mean[c] = (float)channel->mean;
        space->a[c] = (float)a;
        space->b[c] = (float)(b - a * (channel->mean - (double)space->mean[c]));
    }
}

/* a' (x - mean) + c likewise */
static void ssdei_instance_rates(const ssdei_node *node, const ssdei_instance_space *space) {
    size_t c;
    for (c = 0; c < node->shape[2]; c++) {
        const ssdei_instance *channel = &space->channels[c];
        double a = channel->gamma * channel->rstd, a_rate = channel->gamma * channel->rstd_rate;
        double shift = node->kind == SSDE_VARIANCE_NORM
                           ? a_rate * channel->mean
                           : channel->gamma * channel->alpha * channel->plus_rate - a * channel->mean_rate;
        space->slope[c] = (float)a_rate;
        space->shift[c] = (float)(shift - a_rate * (channel->mean - (double)space->mean[c]));
    }
}

/* y of a row from what is saved */
static void ssdei_instance_apply(const ssde_run *run, int index, size_t row, const ssdei_instance_space *space,
                                 float *y) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t channels = node->shape[2];
    ssdei_instance_read(run, index, row, 0, space->channels);
    ssdei_instance_coefficients(node, space);
    run->nn->norm(ssdei_value(run, node->input[0]) + row * node->count, space->mean, space->a, space->b,
                  node->count / channels, channels, node->activation, y);
}

static void ssdei_instance_norm_forward_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t channels = node->shape[2], pixels = node->count / channels, row, c;
    ssdei_instance_space space = ssdei_instance_layout(run, index, ssdei_workspace(run, task));
    for (row = begin; row < end; row++) {
        double *saved = ssdei_instance_saved(run, index, row);
        run->nn->channel_moments(ssdei_value(run, node->input[0]) + row * node->count, pixels, channels, saved,
                                 saved + channels);
        for (c = channels; c < 2 * channels; c++) saved[c] /= (double)pixels;
        ssdei_instance_apply(run, index, row, &space, ssdei_value(run, index) + row * node->count);
    }
}
static void ssdei_instance_norm_forward(ssde_run *run, int index) {
    ssdei_over_rows(run, index, ssdei_instance_norm_forward_rows);
}

static void ssdei_instance_norm_again_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    ssdei_instance_space space = ssdei_instance_layout(run, index, ssdei_workspace(run, task));
    for (; begin < end; begin++)
        ssdei_instance_apply(run, index, begin, &space,
                             run->arena + run->steps[index].value_again + begin * run->net->nodes[index].count);
}
static void ssdei_instance_norm_again(ssde_run *run, int index) {
    ssdei_over_rows(run, index, ssdei_instance_norm_again_rows);
}

/* From the derivatives by plus and its rate to those by the means, which go over all channels. */
static void ssdei_instance_plus_backward(const ssdei_node *node, ssdei_instance *channels) {
    ssdei_instance_means of = ssdei_instance_of_means(node, channels);
    double by_q = 0.0, by_q_rate = 0.0, by_s, by_s_rate, all = 0.0, all_rate = 0.0, count = (double)node->shape[2];
    size_t c;
    for (c = 0; c < node->shape[2]; c++) {
        double away = channels[c].mean - of.mean, away_rate = channels[c].mean_rate - of.mean_rate;
        by_q_rate += channels[c].by_plus_rate * away;
        by_q += channels[c].by_plus * away + channels[c].by_plus_rate * away_rate;
    }
    by_q -= 1.5 * of.q * of.q * of.s_rate * by_q_rate;
    by_s = -0.5 * of.q * of.q * of.q * by_q;
    by_s_rate = -0.5 * of.q * of.q * of.q * by_q_rate;
    for (c = 0; c < node->shape[2]; c++) {
        double away = channels[c].mean - of.mean, away_rate = channels[c].mean_rate - of.mean_rate;
        double by = of.q * channels[c].by_plus + of.q_rate * channels[c].by_plus_rate +
                    2.0 * of.less * (away * by_s + away_rate * by_s_rate);
        double by_rate = of.q * channels[c].by_plus_rate + 2.0 * of.less * away * by_s_rate;
        channels[c].by_mean += by;
        channels[c].by_mean_rate += by_rate;
        all += by / count;
        all_rate += by_rate / count;
    }
    for (c = 0; c < node->shape[2]; c++) {
        channels[c].by_mean -= all;
        channels[c].by_mean_rate -= all_rate;
    }
}

/* From the derivatives by a, a', b and c to those by the moments and the parameters: sums [3, channels] of gamma, alpha
   and beta. */
static void ssdei_instance_backward(const ssdei_node *node, ssdei_instance *channels, double *sums) {
    double unbias = ssdei_instance_unbias(node);
    size_t count = node->shape[2], c;
    for (c = 0; c < count; c++) {
        ssdei_instance *of = &channels[c];
        double cube = -0.5 * unbias * of->rstd * of->rstd * of->rstd, by_rstd;
        double plus = of->by_b * of->plus + of->by_c * of->plus_rate;
        if (node->kind == SSDE_VARIANCE_NORM) {
            of->by_a += of->mean * of->by_b;
            of->by_a_rate += of->mean * of->by_c;
        } else {
            of->by_a -= of->mean_rate * of->by_c;
            of->by_mean = -of->gamma * (of->rstd * of->by_b + of->rstd_rate * of->by_c);
            of->by_mean_rate = -of->gamma * of->rstd * of->by_c;
            of->by_plus = of->gamma * of->alpha * of->by_b;
            of->by_plus_rate = of->gamma * of->alpha * of->by_c;
        }
        sums[c] = of->by_a * of->rstd + of->by_a_rate * of->rstd_rate + of->alpha * plus;
        sums[count + c] = of->gamma * plus;
        sums[2 * count + c] = of->by_b;
        by_rstd = of->gamma * (of->by_a - 1.5 * of->rstd * of->rstd * of->variance_rate * of->by_a_rate);
        of->by_variance = cube * by_rstd;
        of->by_variance_rate = cube * of->gamma * of->by_a_rate;
    }
    if (node->kind == SSDE_INSTANCE_NORM_PLUS) ssdei_instance_plus_backward(node, channels);
}

/* dx = a du + slope (x - mean) + shift, and dx' = a du' + ..., for the derivatives by the moments. */
static void ssdei_instance_slopes(const ssdei_node *node, const ssdei_instance_space *space, int of_rates) {
    double pixels = (double)(node->count / node->shape[2]);
    size_t c;
    for (c = 0; c < node->shape[2]; c++) {
        const ssdei_instance *of = &space->channels[c];
        double slope = 2.0 * (of_rates ? of->by_variance_rate : of->by_variance) / pixels;
        double shift = of_rates ? of->by_mean_rate : of->by_mean - 2.0 * of->by_variance_rate * of->mean_rate;
        space->slope[c] = (float)slope;
        space->shift[c] = (float)(shift / pixels - slope * (of->mean - (double)space->mean[c]));
    }
}

static void ssdei_instance_norm_backward_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t channels = node->shape[2], pixels = node->count / channels, row, c;
    ssdei_instance_space space = ssdei_instance_layout(run, index, ssdei_workspace(run, task));
    double *sum = space.sums, *product = sum + channels;
    for (row = begin; row < end; row++) {
        const float *x = ssdei_value(run, node->input[0]) + row * node->count;
        ssdei_instance_read(run, index, row, 0, space.channels);
        ssdei_instance_coefficients(node, &space);
        memset(sum, 0, 2 * channels * sizeof *sum);
        run->nn->norm_sums(x, ssdei_gradient(run, index) + row * node->count, space.mean, space.a, space.b, pixels,
                           channels, node->activation, space.du, sum, product);
        for (c = 0; c < channels; c++) {
            space.channels[c].by_b = sum[c];
            space.channels[c].by_a = product[c] - (space.channels[c].mean - (double)space.mean[c]) * sum[c];
        }
        ssdei_instance_backward(node, space.channels, ssdei_sums(run) + row * 3 * channels);
        if (!ssdei_wants(run, node->input[0])) continue;
        ssdei_instance_slopes(node, &space, 0);
        run->nn->norm_backward(x, space.du, space.mean, space.a, space.slope, space.shift, pixels, channels,
                               run->accumulate[0], ssdei_gradient(run, node->input[0]) + row * node->count);
    }
}

static void ssdei_instance_add_parameters(ssde_run *run, int index) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t channels = node->shape[2], row, i;
    const double *sums = ssdei_sums(run);
    float *to = node->parameter < 0 ? NULL : ssdei_weight_gradient(run, node->parameter);
    if (!to) return;
    if (node->input[1] >= 0) {
        for (row = 0; row < run->rows; row++)
            for (i = 0; i < 3 * channels; i++)
                to[ssdei_instance_row(run, node, row) + i] += (float)sums[row * 3 * channels + i];
        return;
    }
    if (node->kind == SSDE_INSTANCE_NORM_PLUS) {
        ssdei_add_rows(sums + channels, run->rows, 3 * channels, channels, to);
        ssdei_add_rows(sums + 2 * channels, run->rows, 3 * channels, channels,
                       ssdei_weight_gradient(run, node->parameter + 2));
        to = ssdei_weight_gradient(run, node->parameter + 1);
    }
    ssdei_add_rows(sums, run->rows, 3 * channels, channels, to);
}

static void ssdei_instance_norm_backward(ssde_run *run, int index) {
    ssdei_claim_inputs(run, index);
    ssdei_over_rows(run, index, ssdei_instance_norm_backward_rows);
    ssdei_instance_add_parameters(run, index);
}

/* m' = mean of x', v' = 2 mean of (x - m) x', u' = a x' + a' (x - m) + c, y' = f'(u) u' */
static void ssdei_instance_norm_tangent_row(ssde_run *run, int index, size_t row, const ssdei_instance_space *space) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t channels = node->shape[2], pixels = node->count / channels, c, first, count;
    ssdei_dual d = ssdei_dual_rows(run, index, 0, row);
    double *saved = ssdei_instance_saved(run, index, row), *sum = space->sums, *product = sum + channels;
    for (c = 0; c < channels; c++) space->mean[c] = (float)saved[c];
    memset(sum, 0, 2 * channels * sizeof *sum);
    run->nn->norm_sums(d.x, d.x_rate, space->mean, space->a, space->b, pixels, channels, SSDE_IDENTITY, d.y_rate, sum,
                       product);
    for (c = 0; c < channels; c++) {
        saved[2 * channels + c] = sum[c] / (double)pixels;
        saved[3 * channels + c] = 2.0 * (product[c] - (saved[c] - (double)space->mean[c]) * sum[c]) / (double)pixels;
    }
    ssdei_instance_read(run, index, row, 1, space->channels);
    ssdei_instance_coefficients(node, space);
    ssdei_instance_rates(node, space);
    run->nn->norm_backward(d.x, d.x_rate, space->mean, space->a, space->slope, space->shift, pixels, channels, 0,
                           d.y_rate);
    for (first = 0; first < pixels && node->activation != SSDE_IDENTITY; first += count) {
        size_t at = first * channels;
        count = ssdei_least(pixels - first, SSDEI_NORM_PIXELS);
        run->nn->norm(d.x + at, space->mean, space->a, space->b, count, channels, SSDE_IDENTITY, space->u);
        ssdei_activation_slopes(run, node->activation, space->u, d.y_rate + at, count * channels, 0, d.y_rate + at);
    }
}
static void ssdei_instance_norm_tangent_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    ssdei_instance_space space = ssdei_instance_layout(run, index, ssdei_workspace(run, task));
    for (; begin < end; begin++) ssdei_instance_norm_tangent_row(run, index, begin, &space);
}
static void ssdei_instance_norm_tangent(ssde_run *run, int index) {
    ssdei_over_rows(run, index, ssdei_instance_norm_tangent_rows);
}

/* du = dy f'(u) + dy' f''(u) u' and du' = dy' f'(u) take the places of dy and dy'; then what a, a', b and c get. */
static void ssdei_instance_tangent_sums(const ssde_run *run, const ssdei_node *node, ssdei_dual d,
                                        const ssdei_instance_space *space) {
    size_t channels = node->shape[2], pixels = node->count / channels, first, count, floats, c;
    const float *zeros = run->arena + run->zeros;
    double *sum = space->sums;
    memset(sum, 0, 6 * channels * sizeof *sum);
    for (first = 0; first < pixels; first += count) {
        count = ssdei_least(pixels - first, SSDEI_NORM_PIXELS);
        floats = count * channels;
        if (node->activation != SSDE_IDENTITY) {
            run->nn->norm(d.x, space->mean, space->a, space->b, count, channels, SSDE_IDENTITY, space->u);
            run->nn->norm_backward(d.x, d.x_rate, space->mean, space->a, space->slope, space->shift, count, channels, 0,
                                   space->rate);
            ssdei_activation_slopes(run, node->activation, space->u, d.dy, floats, 0, d.dy);
            ssdei_activation_curves(run, node->activation, space->u, space->rate, d.dy_rate, floats, d.dy);
            ssdei_activation_slopes(run, node->activation, space->u, d.dy_rate, floats, 0, d.dy_rate);
        }
        run->nn->norm_sums(d.x, d.dy, space->mean, zeros, zeros, count, channels, SSDE_IDENTITY, d.dy, sum,
                           sum + channels);
        run->nn->norm_sums(d.x, d.dy_rate, space->mean, zeros, zeros, count, channels, SSDE_IDENTITY, d.dy_rate,
                           sum + 2 * channels, sum + 3 * channels);
        run->nn->norm_sums(d.x_rate, d.dy_rate, zeros, zeros, zeros, count, channels, SSDE_IDENTITY, d.dy_rate,
                           sum + 4 * channels, sum + 5 * channels);
        d.x += floats, d.x_rate += floats, d.dy += floats, d.dy_rate += floats;
    }
    for (c = 0; c < channels; c++, sum++) {
        ssdei_instance *of = &space->channels[c];
        double rest = of->mean - (double)space->mean[c];
        of->by_b = sum[0];
        of->by_c = sum[2 * channels];
        of->by_a = sum[channels] - rest * sum[0] + sum[5 * channels];
        of->by_a_rate = sum[3 * channels] - rest * sum[2 * channels];
    }
}

/* dx = a du + a' du' + 2 dv / pixels (x - m) + 2 dv' / pixels (x' - m') + dm / pixels,
   dx' = a du' + 2 dv' / pixels (x - m) + dm' / pixels */
static void ssdei_instance_norm_tangent_backward_row(ssde_run *run, int index, size_t row,
                                                     const ssdei_instance_space *space) {
    const ssdei_node *node = &run->net->nodes[index];
    const float *zeros = run->arena + run->zeros;
    ssdei_dual d = ssdei_dual_rows(run, index, 0, row);
    size_t channels = node->shape[2], pixels = node->count / channels, c;
    ssdei_instance_read(run, index, row, 1, space->channels);
    ssdei_instance_coefficients(node, space);
    ssdei_instance_rates(node, space);
    ssdei_instance_tangent_sums(run, node, d, space);
    ssdei_instance_backward(node, space->channels, ssdei_sums(run) + row * 3 * channels);
    if (!d.dx) return;
    for (c = 0; c < channels; c++) space->b[c] = (float)(space->channels[c].gamma * space->channels[c].rstd_rate);
    ssdei_instance_slopes(node, space, 1);
    run->nn->norm_backward(d.x, d.dy_rate, space->mean, space->a, space->slope, space->shift, pixels, channels,
                           run->accumulate[0], d.dx_rate);
    run->nn->norm_backward(d.x_rate, d.dy_rate, zeros, space->b, space->slope, zeros, pixels, channels,
                           run->accumulate[0], d.dx);
    ssdei_instance_slopes(node, space, 0);
    run->nn->norm_backward(d.x, d.dy, space->mean, space->a, space->slope, space->shift, pixels, channels, 1, d.dx);
}
static void ssdei_instance_norm_tangent_backward_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    ssdei_instance_space space = ssdei_instance_layout(run, index, ssdei_workspace(run, task));
    for (; begin < end; begin++) ssdei_instance_norm_tangent_backward_row(run, index, begin, &space);
}
static void ssdei_instance_norm_tangent_backward(ssde_run *run, int index) {
    ssdei_claim_inputs(run, index);
    ssdei_over_rows(run, index, ssdei_instance_norm_tangent_backward_rows);
    ssdei_instance_add_parameters(run, index);
}

/* ---- operations: pooling ---- */

ssde_node ssde_pool(ssde_net *net, ssde_node x, ssde_pool_kind kind, int size) {
    const ssdei_node *in = ssdei_look(net, x);
    ssdei_node *node;
    if (!in) return -1;
    if ((unsigned)kind > SSDE_POOL_MEAN)
        return ssdei_net_fail(net, "pool: kind is %d, wanted an ssde_pool_kind", (int)kind);
    if (size < 1 || size > 1 << 20 || size % 2 == 0)
        return ssdei_net_fail(net, "pool: size is %d, wanted an odd number, 1 to 2^20", size);
    node = ssdei_net_add_node(net, kind == SSDE_POOL_MAX ? SSDEI_OPERATION_max_pool : SSDEI_OPERATION_mean_pool, x, -1,
                              -1, in->shape[0], in->shape[1], in->shape[2]);
    if (node) node->kernel = size;
    return ssdei_last(net, node);
}

/* Of output `at` along an axis of so many pixels, those that lie in the image: *first of them, and how many. Returns
   how many outputs from there on have the same number, the next from the next. */
static size_t ssdei_pool_window(const ssdei_node *node, size_t at, size_t size, size_t *first, size_t *taps) {
    size_t reach = (size_t)node->kernel / 2, end = size - at > reach ? at + reach + 1 : size;
    *first = at > reach ? at - reach : 0;
    *taps = end - *first;
    return at >= reach && size - at > reach ? size - reach - at : 1;
}

/* Lines of an image, width floats each, and pixels of a line: y (+)= scale sum of the window, down and then across, by
   way of a line. It is its own transpose. */
static void ssdei_mean_pool_image(const ssde_run *run, const ssdei_node *node, const float *x, int accumulate,
                                  float *line, float *y) {
    size_t channels = node->shape[2], width = node->shape[1] * channels, oy, ox, first, taps, same;
    float scale = (float)(1.0 / ((double)node->kernel * (double)node->kernel));
    for (oy = 0; oy < node->shape[0]; oy++, y += width) {
        ssdei_pool_window(node, oy, node->shape[0], &first, &taps);
        run->nn->pool_sum(x + first * width, width, taps, scale, width, 0, line);
        for (ox = 0; ox < node->shape[1]; ox += same) {
            same = ssdei_pool_window(node, ox, node->shape[1], &first, &taps);
            run->nn->pool_sum(line + first * channels, channels, taps, 1.0f, same * channels, accumulate,
                              y + ox * channels);
        }
    }
}

static void ssdei_mean_pool_plan(ssde_run *run, int index) {
    const ssdei_node *node = &run->net->nodes[index];
    run->steps[index].workspace = node->shape[1] * node->shape[2];
}
static void ssdei_mean_pool_forward_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t row;
    for (row = begin; row < end; row++)
        ssdei_mean_pool_image(run, node, ssdei_value(run, node->input[0]) + row * node->count, 0,
                              ssdei_workspace(run, task), ssdei_value(run, index) + row * node->count);
}
static void ssdei_mean_pool_forward(ssde_run *run, int index) {
    ssdei_over_rows(run, index, ssdei_mean_pool_forward_rows);
}
static void ssdei_mean_pool_backward_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t row;
    for (row = begin; row < end; row++)
        ssdei_mean_pool_image(run, node, ssdei_gradient(run, index) + row * node->count, run->accumulate[0],
                              ssdei_workspace(run, task), ssdei_gradient(run, node->input[0]) + row * node->count);
}
static void ssdei_mean_pool_backward(ssde_run *run, int index) {
    if (ssdei_claim_inputs(run, index)) ssdei_over_rows(run, index, ssdei_mean_pool_backward_rows);
}

/* The largest of a window, of equals the first, line by line: that of each line's largest, so across goes before down.
   Backward computes the lines' again, [height, width, channels], and passes the gradient on to them first. */
static void ssdei_max_pool_plan(ssde_run *run, int index) {
    const ssdei_node *node = &run->net->nodes[index];
    ssdei_step *step = &run->steps[index];
    step->reads[0] = SSDEI_READ;
    step->workspace = (step->needs || step->moves ? 2 * node->count : 0) + node->shape[1] * node->shape[2];
}

/* y, and y', of lines across; rates NULL: none */
static void ssdei_max_pool_across(const ssde_run *run, const ssdei_node *node, const float *x, const float *x_rate,
                                  size_t lines, float *y, float *y_rate) {
    size_t channels = node->shape[2], width = node->shape[1] * channels, line, ox, first, taps, same;
    for (line = 0; line < lines; line++)
        for (ox = 0; ox < node->shape[1]; ox += same) {
            size_t to = line * width + ox * channels, from;
            same = ssdei_pool_window(node, ox, node->shape[1], &first, &taps);
            from = line * width + first * channels;
            run->nn->pool_max(x + from, x_rate ? x_rate + from : NULL, channels, taps, same * channels, y + to,
                              x_rate ? y_rate + to : NULL);
        }
}

/* Down, then across, by way of a line: the largest is the same. */
static void ssdei_max_pool_forward_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t width = node->shape[1] * node->shape[2], row, oy, first, taps;
    float *line = ssdei_workspace(run, task);
    for (row = begin; row < end; row++) {
        const float *x = ssdei_value(run, node->input[0]) + row * node->count;
        float *y = ssdei_value(run, index) + row * node->count;
        for (oy = 0; oy < node->shape[0]; oy++, y += width) {
            ssdei_pool_window(node, oy, node->shape[0], &first, &taps);
            run->nn->pool_max(x + first * width, NULL, width, taps, width, line, NULL);
            ssdei_max_pool_across(run, node, line, NULL, 1, y, NULL);
        }
    }
}
static void ssdei_max_pool_forward(ssde_run *run, int index) {
    ssdei_over_rows(run, index, ssdei_max_pool_forward_rows);
}

/* dx (+)= the gradient of an image; space [2, count] */
static void ssdei_max_pool_route(const ssde_run *run, const ssdei_node *node, const float *x, const float *dy,
                                 int accumulate, float *space, float *dx) {
    size_t channels = node->shape[2], width = node->shape[1] * channels, oy, ox, first, taps, same;
    float *lines = space, *d_lines = space + node->count;
    ssdei_max_pool_across(run, node, x, NULL, node->shape[0], lines, NULL);
    memset(d_lines, 0, node->count * sizeof *d_lines);
    for (oy = 0; oy < node->shape[0]; oy++) {
        ssdei_pool_window(node, oy, node->shape[0], &first, &taps);
        run->nn->pool_route(lines + first * width, width, taps, dy + oy * width, width, d_lines + first * width);
    }
    if (!accumulate) memset(dx, 0, node->count * sizeof *dx);
    for (oy = 0; oy < node->shape[0]; oy++, x += width, dx += width, d_lines += width)
        for (ox = 0; ox < node->shape[1]; ox += same) {
            same = ssdei_pool_window(node, ox, node->shape[1], &first, &taps);
            run->nn->pool_route(x + first * channels, channels, taps, d_lines + ox * channels, same * channels,
                                dx + first * channels);
        }
}
static void ssdei_max_pool_backward_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t row;
    for (row = begin; row < end; row++)
        ssdei_max_pool_route(run, node, ssdei_value(run, node->input[0]) + row * node->count,
                             ssdei_gradient(run, index) + row * node->count, run->accumulate[0],
                             ssdei_workspace(run, task), ssdei_gradient(run, node->input[0]) + row * node->count);
}
static void ssdei_max_pool_backward(ssde_run *run, int index) {
    if (ssdei_claim_inputs(run, index)) ssdei_over_rows(run, index, ssdei_max_pool_backward_rows);
}

/* y' is x' where x is the largest. */
static void ssdei_max_pool_tangent_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index];
    size_t width = node->shape[1] * node->shape[2], oy, first, taps;
    float *lines = ssdei_workspace(run, task), *rates = lines + node->count, *largest = rates + node->count;
    for (; begin < end; begin++) {
        ssdei_dual d = ssdei_dual_rows(run, index, 0, begin);
        ssdei_max_pool_across(run, node, d.x, d.x_rate, node->shape[0], lines, rates);
        for (oy = 0; oy < node->shape[0]; oy++) {
            ssdei_pool_window(node, oy, node->shape[0], &first, &taps);
            run->nn->pool_max(lines + first * width, rates + first * width, width, taps, width, largest,
                              d.y_rate + oy * width);
        }
    }
}
static void ssdei_max_pool_tangent(ssde_run *run, int index) {
    ssdei_over_rows(run, index, ssdei_max_pool_tangent_rows);
}
static void ssdei_max_pool_tangent_backward_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index];
    for (; begin < end; begin++) {
        ssdei_dual d = ssdei_dual_rows(run, index, 0, begin);
        ssdei_max_pool_route(run, node, d.x, d.dy, run->accumulate[0], ssdei_workspace(run, task), d.dx);
        if (d.dx_rate)
            ssdei_max_pool_route(run, node, d.x, d.dy_rate, run->accumulate[0], ssdei_workspace(run, task), d.dx_rate);
    }
}
static void ssdei_max_pool_tangent_backward(ssde_run *run, int index) {
    if (ssdei_claim_inputs(run, index)) ssdei_over_rows(run, index, ssdei_max_pool_tangent_backward_rows);
}

/* ---- operations: bilinear resizing ---- */

ssde_node ssde_resize_bilinear(ssde_net *net, ssde_node x, size_t height, size_t width) {
    const ssdei_node *in = ssdei_look(net, x);
    if (!in) return -1;
    if (in->shape[0] == height && in->shape[1] == width) return x;
    return ssdei_last(net, ssdei_net_add_node(net, SSDEI_OPERATION_resize, x, -1, -1, height, width, in->shape[2]));
}

/* Output o of `out` along an axis of `in` pixels lies at o (in - 1) / (out - 1): between a pixel and the next, whose
   weights these are. */
typedef struct ssdei_resize_place {
    size_t first, pixels; /* pixels: 1 where it lies on one */
    float weight[2];
} ssdei_resize_place;

static ssdei_resize_place ssdei_resize_at(size_t o, size_t in, size_t out) {
    ssdei_resize_place at;
    size_t last = out > 1 ? out - 1 : 1;
    at.first = o * (in - 1) / last;
    at.pixels = o * (in - 1) % last ? 2 : 1;
    at.weight[1] = (float)((double)(o * (in - 1) % last) / (double)last);
    at.weight[0] = 1.0f - at.weight[1];
    return at;
}

/* Lines between lines, of the input's width; then pixels between pixels. */
static void ssdei_resize_plan(ssde_run *run, int index) {
    const ssdei_node *in = &run->net->nodes[run->net->nodes[index].input[0]];
    run->steps[index].workspace = in->shape[1] * in->shape[2];
}

static void ssdei_resize_forward_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index], *in = &run->net->nodes[node->input[0]];
    size_t channels = node->shape[2], width = in->shape[1] * channels, row, oy, ox, i;
    float *line = ssdei_workspace(run, task), *y = ssdei_value(run, index) + begin * node->count;
    for (row = begin; row < end; row++) {
        const float *x = ssdei_value(run, node->input[0]) + row * in->count;
        for (oy = 0; oy < node->shape[0]; oy++) {
            ssdei_resize_place down = ssdei_resize_at(oy, in->shape[0], node->shape[0]);
            for (i = 0; i < down.pixels; i++)
                run->nn->multiply_add(x + (down.first + i) * width, down.weight[i], width, i > 0, line);
            for (ox = 0; ox < node->shape[1]; ox++, y += channels) {
                ssdei_resize_place across = ssdei_resize_at(ox, in->shape[1], node->shape[1]);
                for (i = 0; i < across.pixels; i++)
                    run->nn->multiply_add(line + (across.first + i) * channels, across.weight[i], channels, i > 0, y);
            }
        }
    }
}
static void ssdei_resize_forward(ssde_run *run, int index) { ssdei_over_rows(run, index, ssdei_resize_forward_rows); }

static void ssdei_resize_backward_rows(ssde_run *run, int index, size_t begin, size_t end, size_t task) {
    const ssdei_node *node = &run->net->nodes[index], *in = &run->net->nodes[node->input[0]];
    size_t channels = node->shape[2], width = in->shape[1] * channels, row, oy, ox, i;
    float *line = ssdei_workspace(run, task);
    const float *dy = ssdei_gradient(run, index) + begin * node->count;
    for (row = begin; row < end; row++) {
        float *dx = ssdei_gradient(run, node->input[0]) + row * in->count;
        if (!run->accumulate[0]) memset(dx, 0, in->count * sizeof *dx);
        for (oy = 0; oy < node->shape[0]; oy++) {
            ssdei_resize_place down = ssdei_resize_at(oy, in->shape[0], node->shape[0]);
            memset(line, 0, width * sizeof *line);
            for (ox = 0; ox < node->shape[1]; ox++, dy += channels) {
                ssdei_resize_place across = ssdei_resize_at(ox, in->shape[1], node->shape[1]);
                for (i = 0; i < across.pixels; i++)
                    run->nn->multiply_add(dy, across.weight[i], channels, 1, line + (across.first + i) * channels);
            }
            for (i = 0; i < down.pixels; i++)
                run->nn->multiply_add(line, down.weight[i], width, 1, dx + (down.first + i) * width);
        }
    }
}
static void ssdei_resize_backward(ssde_run *run, int index) {
    if (ssdei_claim_inputs(run, index)) ssdei_over_rows(run, index, ssdei_resize_backward_rows);
}

/* ---- operations: their table ---- */

/* What an operation has no need of. */
static void ssdei_nothing(ssde_run *run, int index) {
    (void)run;
    (void)index;
}

static void ssdei_linear_tangent(ssde_run *run, int index);
static void ssdei_linear_tangent_backward(ssde_run *run, int index);

SSDEI_ONCE_END

#define SSDEI_OPERATION_ENTRY(name, plan, forward, backward, tangent) \
    {ssdei_##plan, ssdei_##forward, ssdei_##backward, ssdei_##tangent##_tangent, ssdei_##tangent##_tangent_backward},
static const struct {
    void (*plan)(ssde_run *run, int index);
    void (*forward)(ssde_run *run, int index);
    void (*backward)(ssde_run *run, int index);
    void (*tangent)(ssde_run *run, int index);
    void (*tangent_backward)(ssde_run *run, int index);
} ssdei_operations[] = {SSDEI_OPERATIONS(SSDEI_OPERATION_ENTRY)};
#undef SSDEI_OPERATION_ENTRY

SSDEI_ONCE_BEGIN

/* A linear operation treats tangents as it does values. */
static void ssdei_linear_tangent(ssde_run *run, int index) {
    run->steps = run->of_tangents;
    ssdei_operations[run->net->nodes[index].operation].forward(run, index);
    run->steps = run->of_values;
}

static void ssdei_linear_tangent_backward(ssde_run *run, int index) {
    int operation = run->net->nodes[index].operation;
    ssdei_operations[operation].backward(run, index);
    run->steps = run->of_tangents;
    ssdei_operations[operation].backward(run, index);
    run->steps = run->of_values;
}

/* ---- >>run: the memory plan ----
   Every buffer has a lifetime in steps: forward of node i is step i, backward of node i is step 2 n - 1 - i. Buffers
   whose lifetimes do not meet share memory. In VJP mode the backward steps may run again, so what they read stays to
   the end.

   What would not pay, by an estimate: passing a batch depth first, some images through several steps while they stay in
   the second-level cache. On small networks (32 to 64 channels of 28x28; a Xeon, L2 of 2 MB) all operations but 3x3
   convolutions take a fifth to a quarter less per image at 4 images than at 64, 8 to 9% of a training step, of which
   values kept for the backward pass would take a part back. */

typedef struct ssdei_buffer {
    size_t *offset; /* where the plan writes its answer */
    size_t floats;
    int from, to;
} ssdei_buffer;

typedef struct ssdei_plan {
    ssde_run run; /* as it will be, but without an arena */
    ssdei_buffer *buffers;
    size_t count;
    void *block; /* has run.steps, run.gathers and buffers */
} ssdei_plan;

static void ssdei_run_arrays(void *object, ssdei_memory *memory) {
    ssde_run *run = (ssde_run *)object;
    size_t nodes = (size_t)run->net->node_count;
    run->steps = run->of_values = ssdei_place(memory, ssdei_step, nodes);
    run->of_tangents = ssdei_place(memory, ssdei_step, run->mode == SSDE_RUN_TANGENT ? nodes : 0);
    run->gathers = ssdei_place(memory, ssdei_gather, run->gather_count);
    run->team = ssdei_place(memory, ssdei_team, 1);
    run->arena = ssdei_place(memory, float, run->arena_floats);
}

/* A node has four buffers at most. */
static void ssdei_plan_arrays(void *object, ssdei_memory *memory) {
    ssdei_plan *plan = (ssdei_plan *)object;
    ssdei_run_arrays(&plan->run, memory);
    plan->buffers = ssdei_place(memory, ssdei_buffer, 4 * (size_t)plan->run.net->node_count);
}

/* Gathers of a node's products at most: one forward, one backward for each parity of the input's pixels. */
static size_t ssdei_plan_gathers(const ssdei_node *node, ssde_run_mode mode) {
    size_t strides = (size_t)(node->stride * node->stride);
    return node->stride ? 1 + (mode == SSDE_RUN_INFERENCE ? 0 : strides) : 0;
}

/* A node needs a gradient when it depends on what is differentiated: the input (VJP) or parameters (training). */
static int ssdei_plan_needs(const ssde_run *run, int index) {
    const ssde_net *net = run->net;
    const ssdei_node *node = &net->nodes[index];
    int needs = run->mode == SSDE_RUN_VJP && index == net->input, i;
    if (ssdei_trains(run->mode) && node->parameter >= 0) needs = net->parameters[node->parameter].info.trainable;
    for (i = 0; i < 3; i++) needs = needs || ssdei_wants(run, node->input[i]);
    return needs;
}

/* Whether a node has a tangent: it depends on x, and has a derivative. */
static int ssdei_plan_moves(const ssde_run *run, int index) {
    const ssdei_node *node = &run->net->nodes[index];
    int i;
    if (run->mode != SSDE_RUN_TANGENT || index == run->net->input) return run->mode == SSDE_RUN_TANGENT;
    if (ssdei_operations[node->operation].backward == ssdei_nothing) return 0;
    for (i = 0; i < 3; i++)
        if (node->input[i] >= 0 && run->steps[node->input[i]].moves) return 1;
    return 0;
}

/* Of a node's value or gradient, with its tangent's. */
static size_t ssdei_plan_floats(const ssde_run *run, int index) {
    return ssdei_multiply(run->max_rows, (run->steps[index].moves ? 2 : 1) * run->net->nodes[index].count);
}

/* Whether nothing that is run reads a node's value; the steps behind it are known. */
static int ssdei_plan_idle(const ssde_run *run, int index) {
    const ssde_net *net = run->net;
    int j, k;
    if (index == net->output || net->nodes[index].input[0] < 0) return 0;
    for (j = index + 1; j < net->node_count; j++)
        for (k = 0; k < 3; k++)
            if (net->nodes[j].input[k] == index && !run->steps[j].idle) return 0;
    return 1;
}

/* Everything that steps say of themselves, in order. */
static void ssdei_plan_steps(ssde_run *run) {
    ssdei_gather *gathers = run->gathers;
    int i;
    for (i = run->net->node_count - 1; i >= 0; i--) run->steps[i].idle = (unsigned char)ssdei_plan_idle(run, i);
    for (i = 0; i < run->net->node_count; i++) {
        ssdei_step *step = &run->steps[i];
        step->value = step->saved = step->value_again = step->gradient = SSDEI_NOWHERE;
        step->needs = (unsigned char)ssdei_plan_needs(run, i);
        step->moves = (unsigned char)ssdei_plan_moves(run, i);
        step->gathers[SSDEI_FORWARD] = step->gathers[SSDEI_BACKWARD] = gathers;
        gathers += ssdei_plan_gathers(&run->net->nodes[i], run->mode);
        ssdei_operations[run->net->nodes[i].operation].plan(run, i);
    }
}

static void ssdei_plan_add(ssdei_plan *plan, size_t *offset, size_t floats, int from, int to) {
    ssdei_buffer *buffer = &plan->buffers[plan->count++];
    buffer->offset = offset;
    buffer->floats = ssdei_round_floats(floats);
    buffer->from = from;
    buffer->to = to;
}

/* Training keeps no value that can be computed again and that the backward pass reads in no other way: it costs a pass
   over memory, and such values, of norms before products, are a quarter of all. *from and *to: the backward steps that
   read it. */
static int ssdei_plan_again(const ssde_run *run, int index, int *from, int *to) {
    const ssde_net *net = run->net;
    int last = 2 * net->node_count, j, k;
    *from = last;
    *to = -1;
    if (run->mode != SSDE_RUN_TRAIN || !run->steps[index].again) return 0;
    for (j = index + 1; j < net->node_count; j++) {
        for (k = 0; k < 3; k++) {
            int reads = run->steps[j].reads[k];
            if (net->nodes[j].input[k] != index || reads == SSDEI_UNREAD || run->steps[j].idle) continue;
            if (reads != SSDEI_READ_AGAIN) return 0;
            *from = last - 1 - j;
            if (*to < *from) *to = *from;
        }
    }
    return *from <= *to;
}

/* A place for a node's value: that of input 0, where the one is written as the other is read for the last time.
   Gradients in the same way took 2% more memory: joined lifetimes are harder to place. */
static void ssdei_plan_value(ssdei_plan *plan, int index, int from, int to) {
    ssde_run *run = &plan->run;
    const ssdei_node *nodes = run->net->nodes;
    ssdei_step *step = &run->steps[index];
    ssdei_buffer *buffer = plan->buffers;
    int owner = nodes[index].input[0];
    if (step->in_place) {
        while (run->steps[owner].shares) owner = nodes[owner].input[0];
        while (buffer->offset != &run->steps[owner].value) buffer++;
        step->shares = (unsigned char)(buffer->to == from);
    }
    if (!step->shares)
        ssdei_plan_add(plan, &step->value, ssdei_plan_floats(run, index), from, to);
    else if (buffer->to < to)
        buffer->to = to;
}

static void ssdei_plan_lifetimes(ssdei_plan *plan) {
    ssde_run *run = &plan->run;
    const ssde_net *net = run->net;
    int n = net->node_count, last = 2 * n, repeated = run->mode == SSDE_RUN_VJP, i, j, k;
    for (i = 0; i < n; i++) {
        const ssdei_node *node = &net->nodes[i];
        ssdei_step *step = &run->steps[i];
        /* the output is asked for as long as there is no other */
        int value_to = i != net->output ? i : repeated ? last : n, gradient_from = i == net->output ? n - 1 : last;
        int again_from, again_to, computed_again = ssdei_plan_again(run, i, &again_from, &again_to);
        size_t floats = ssdei_plan_floats(run, i);
        if (step->idle) continue;
        for (j = i + 1; j < n; j++) {
            for (k = 0; k < 3; k++) {
                if (net->nodes[j].input[k] != i || run->steps[j].idle) continue;
                if (value_to < j) value_to = j;
                if (!run->steps[j].needs) continue;
                if (run->steps[j].reads[k] && !computed_again && value_to < last - 1 - j)
                    value_to = repeated ? last : last - 1 - j;
                if (gradient_from > last - 1 - j) gradient_from = last - 1 - j;
            }
        }
        if (i == net->class_number || i == net->vector) value_to = last; /* written once for several passes */
        /* inputs are written before the first step */
        ssdei_plan_value(plan, i, node->input[0] < 0 ? 0 : i, value_to);
        if (computed_again) ssdei_plan_add(plan, &step->value_again, floats, again_from, again_to);
        if (step->needs)
            ssdei_plan_add(plan, &step->gradient, floats, gradient_from, i == net->input ? last : last - 1 - i);
        if (step->saved_floats)
            ssdei_plan_add(plan, &step->saved, ssdei_multiply(run->max_rows, step->saved_floats), i,
                           !step->needs ? i
                           : repeated   ? last
                                        : last - 1 - i);
    }
}

static int ssdei_buffer_before(const ssdei_buffer *a, const ssdei_buffer *b) {
    if (a->floats != b->floats) return a->floats > b->floats;
    return a->from != b->from ? a->from < b->from : a->to < b->to;
}

/* By insertion: qsort may allocate. */
static void ssdei_plan_sort(ssdei_plan *plan) {
    size_t i, j;
    for (i = 1; i < plan->count; i++) {
        ssdei_buffer buffer = plan->buffers[i];
        for (j = i; j > 0 && ssdei_buffer_before(&buffer, &plan->buffers[j - 1]); j--)
            plan->buffers[j] = plan->buffers[j - 1];
        plan->buffers[j] = buffer;
    }
}

/* Largest first, each at the lowest place that is free during its lifetime. Returns the floats needed in all. */
static size_t ssdei_plan_place(ssdei_plan *plan) {
    size_t total = 0, i, j;
    ssdei_plan_sort(plan);
    for (i = 0; i < plan->count; i++) {
        ssdei_buffer *buffer = &plan->buffers[i];
        size_t at = 0;
        int moved = 1;
        while (moved) {
            moved = 0;
            for (j = 0; j < i; j++) {
                const ssdei_buffer *other = &plan->buffers[j];
                if (other->to < buffer->from || buffer->to < other->from) continue;
                if (*other->offset + other->floats <= at || at + buffer->floats <= *other->offset) continue;
                at = *other->offset + other->floats;
                moved = 1;
            }
        }
        *buffer->offset = at;
        if (buffer->floats > SIZE_MAX / 8 - at) return SIZE_MAX;
        if (total < at + buffer->floats) total = at + buffer->floats;
    }
    return total;
}

/* Lays out the arena and sets run.arena_floats; SIZE_MAX if that overflows. */
static void ssdei_plan_arena(ssdei_plan *plan) {
    ssde_run *run = &plan->run;
    const ssde_net *net = run->net;
    size_t at, workspace = 0, sums = 0, shared = 0, widest = 0;
    int i;
    ssdei_plan_steps(run);
    ssdei_plan_lifetimes(plan);
    at = ssdei_plan_place(plan);
    for (i = 0; i < net->node_count; i++) {
        if (run->steps[i].shares) run->steps[i].value = run->steps[net->nodes[i].input[0]].value;
        workspace = ssdei_max(workspace, ssdei_round_floats(run->steps[i].workspace));
        sums = ssdei_max(sums, run->steps[i].sums);
        shared = ssdei_max(shared, run->steps[i].shared_floats);
        widest = ssdei_max(widest, net->nodes[i].shape[2]);
        if (run->mode == SSDE_RUN_TANGENT && !run->steps[i].moves && !run->steps[i].idle)
            widest = ssdei_max(widest, ssdei_plan_floats(run, i)); /* a tangent */
    }
    if (at > SIZE_MAX / 16 || workspace > SIZE_MAX / 16 / run->tasks || sums > SIZE_MAX / 32 ||
        shared > SIZE_MAX / 16) {
        run->arena_floats = SIZE_MAX;
        return;
    }
    run->zeros = at;
    at += ssdei_round_floats(widest + SSDEI_MAX_TILE_ROWS);
    run->task_floats = workspace;
    run->workspace = at;
    at += workspace * run->tasks;
    run->sums = at;
    at += ssdei_round_floats(sums * sizeof(double) / sizeof(float));
    run->shared = at;
    run->arena_floats = at + ssdei_round_floats(shared);
}

static ssde_status ssdei_run_check(const ssde_net *net, const ssde_run_desc *desc) {
    ssde_context *context = desc ? desc->context : NULL;
    if (!net || !desc) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s is NULL", net ? "desc" : "net");
    if (!net->finished) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "the network is not finished: ssde_net_finish");
    if (!desc->max_rows || desc->max_rows > INT_MAX / 2)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "max_rows is %.0f, wanted 1 to %d", (double)desc->max_rows,
                         INT_MAX / 2);
    if ((unsigned)desc->mode > SSDE_RUN_TANGENT)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "mode is %d, wanted an ssde_run_mode", (int)desc->mode);
    if ((unsigned)desc->convolution > SSDE_CONVOLUTION_WINOGRAD)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "convolution is %d, wanted an ssde_convolution",
                         (int)desc->convolution);
    return SSDE_OK;
}

/* Decides everything; plan->block is the caller's to release. */
static ssde_status ssdei_run_plan(ssdei_plan *plan, const ssde_net *net, const ssde_run_desc *desc) {
    ssde_run *run = &plan->run;
    int i;
    ssdei_try(ssdei_run_check(net, desc));
    memset(plan, 0, sizeof *plan);
    run->context = desc->context;
    run->net = net;
    run->mode = desc->mode;
    run->dropout = ssdei_trains(desc->mode);
    run->max_rows = desc->max_rows;
    run->convolution = desc->convolution;
    run->kernels = ssdei_kernels_for(run->context);
    run->nn = ssdei_nn_kernels_for(run->context);
    run->tasks = ssdei_worker_count(run->context);
    for (i = 0; i < net->node_count; i++) run->gather_count += ssdei_plan_gathers(&net->nodes[i], desc->mode);
    plan->block = ssdei_object_create(run->context, plan, 0, ssdei_plan_arrays);
    if (!plan->block) return SSDE_ERROR_MEMORY;
    ssdei_plan_arena(plan);
    return SSDE_OK;
}

ssde_run_desc ssde_run_defaults(ssde_run_mode mode, size_t max_rows) {
    ssde_run_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.mode = mode;
    desc.max_rows = max_rows;
    return desc;
}

size_t ssde_run_memory(const ssde_net *net, const ssde_run_desc *desc) {
    ssdei_plan plan;
    size_t bytes;
    if (ssdei_run_plan(&plan, net, desc) != SSDE_OK) return 0;
    ssdei_release(plan.run.context, plan.block);
    bytes = ssdei_object_bytes(&plan.run, sizeof plan.run, ssdei_run_arrays);
    return bytes < SIZE_MAX ? bytes : 0;
}

/* The steps that were decided, their gathers, and a team for them. */
static void ssdei_run_take_steps(ssde_run *run, const ssdei_step *steps, const ssdei_gather *gathers) {
    size_t nodes = (size_t)run->net->node_count, i;
    int d;
    ssdei_team_set(run->team, run->context);
    memcpy(run->steps, steps, nodes * sizeof *steps);
    memcpy(run->gathers, gathers, run->gather_count * sizeof *gathers);
    for (i = 0; i < nodes; i++)
        for (d = SSDEI_FORWARD; d <= SSDEI_BACKWARD; d++)
            run->steps[i].gathers[d] = run->gathers + (steps[i].gathers[d] - gathers);
    for (i = 0; i < nodes && run->mode == SSDE_RUN_TANGENT; i++) {
        ssdei_step *step = &run->of_tangents[i];
        size_t behind = run->max_rows * run->net->nodes[i].count;
        *step = run->steps[i];
        step->value = step->moves ? step->value + behind : run->zeros;
        step->gradient = step->moves && step->needs ? step->gradient + behind : SSDEI_NOWHERE;
        step->needs = step->needs && step->moves;
    }
}

ssde_status ssde_run_create(ssde_run **run, const ssde_net *net, const ssde_run_desc *desc) {
    const ssdei_step *steps;
    const ssdei_gather *gathers;
    ssdei_plan plan;
    if (!run) return ssde_fail(desc ? desc->context : NULL, SSDE_ERROR_ARGUMENT, "run is NULL");
    *run = NULL;
    ssdei_try(ssdei_run_plan(&plan, net, desc));
    steps = plan.run.steps;
    gathers = plan.run.gathers;
    *run = (ssde_run *)ssdei_object_create(plan.run.context, &plan.run, sizeof plan.run, ssdei_run_arrays);
    if (*run) ssdei_run_take_steps(*run, steps, gathers);
    ssdei_release(plan.run.context, plan.block);
    return *run ? ssde_run_set_classes(*run, NULL, 0) : SSDE_ERROR_MEMORY;
}

ssde_status ssde_run_set_classes(ssde_run *run, const int32_t *classes, size_t rows) {
    const ssde_net *net;
    size_t row;
    float *numbers;
    if (!run) return SSDE_ERROR_ARGUMENT;
    net = run->net;
    if (classes && !net->classes)
        return ssde_fail(run->context, SSDE_ERROR_ARGUMENT, "classes are given, but the network has none");
    if (classes && (!rows || rows > run->max_rows))
        return ssde_fail(run->context, SSDE_ERROR_ARGUMENT, "rows is %.0f, wanted 1 to max_rows = %.0f", (double)rows,
                         (double)run->max_rows);
    if (classes)
        ssdei_try(ssdei_check_classes(run->context, "classes", classes, rows, ssdei_least_class(net), net->classes));
    run->class_rows = classes ? rows : 0;
    if (net->class_number < 0) return SSDE_OK;
    numbers = ssdei_value(run, net->class_number);
    for (row = 0; row < run->max_rows; row++)
        numbers[row] = row < run->class_rows && classes[row] >= 0 ? (float)classes[row] : (float)net->classes;
    return SSDE_OK;
}

ssde_status ssde_run_set_vectors(ssde_run *run, const float *vectors, size_t rows) {
    size_t size, bad;
    if (!run) return SSDE_ERROR_ARGUMENT;
    size = ssde_net_vector(run->net);
    run->vector_rows = 0;
    if (!vectors) return SSDE_OK;
    if (!size) return ssde_fail(run->context, SSDE_ERROR_ARGUMENT, "vectors are given, but the network takes none");
    if (!rows || rows > run->max_rows)
        return ssde_fail(run->context, SSDE_ERROR_ARGUMENT, "rows is %.0f, wanted 1 to max_rows = %.0f", (double)rows,
                         (double)run->max_rows);
    bad = ssdei_first_nonfinite(vectors, rows * size);
    if (bad < rows * size)
        return ssde_fail(run->context, SSDE_ERROR_NUMERIC, "vectors: value %lu of row %lu is not finite",
                         (unsigned long)(bad % size), (unsigned long)(bad / size));
    memcpy(ssdei_value(run, run->net->vector), vectors, rows * size * sizeof *vectors);
    run->vector_rows = rows;
    return SSDE_OK;
}

void ssde_run_destroy(ssde_run *run) {
    if (run) ssdei_release(run->context, run);
}

SSDEI_ONCE_END

/* ---- run: forward and backward ---- */

static void ssdei_run_steps_forward(void *user) {
    ssde_run *run = (ssde_run *)user;
    int i;
    for (i = 0; i < run->net->node_count; i++) {
        int operation = run->net->nodes[i].operation;
        if (run->steps[i].idle) continue;
        ssdei_operations[operation].forward(run, i);
        if (run->steps[i].moves) ssdei_operations[operation].tangent(run, i);
    }
}

/* The gradients of an input and of its tangent are written together. */
static void ssdei_run_tangent_backward(ssde_run *run, int index) {
    const ssdei_node *node = &run->net->nodes[index];
    int i;
    ssdei_operations[node->operation].tangent_backward(run, index);
    for (i = 0; i < 3; i++)
        if (node->input[i] >= 0) run->of_tangents[node->input[i]].written = run->steps[node->input[i]].written;
}

static void ssdei_run_steps_backward(void *user) {
    ssde_run *run = (ssde_run *)user;
    int i;
    for (i = run->net->node_count - 1; i >= 0; i--) {
        if (!run->steps[i].written) continue;
        if (run->steps[i].moves)
            ssdei_run_tangent_backward(run, i);
        else
            ssdei_operations[run->net->nodes[i].operation].backward(run, i);
    }
}

SSDEI_ONCE_BEGIN

/* ssde_run_forward, or, with v, ssde_run_forward_tangent. */
static ssde_status ssdei_run_pass(ssde_run *run, const float *x, const float *v, const float *label, const float *sigma,
                                  size_t rows, uint64_t seed, uint32_t step, const uint64_t *sample, float *out) {
    const ssde_net *net;
    size_t row;
    if (!run) return SSDE_ERROR_ARGUMENT;
    net = run->net;
    if ((run->mode == SSDE_RUN_TANGENT) != (v != NULL))
        return ssde_fail(run->context, SSDE_ERROR_ARGUMENT,
                         "the run's mode is %d, wanted SSDE_RUN_TANGENT with a direction v, or another without",
                         (int)run->mode);
    if (!x || (net->label >= 0 && !label) || (net->sigma >= 0 && !sigma))
        return ssde_fail(run->context, SSDE_ERROR_ARGUMENT, "%s is NULL",
                         !x                          ? "x"
                         : net->label >= 0 && !label ? "label"
                                                     : "sigma");
    if (!rows || rows > run->max_rows)
        return ssde_fail(run->context, SSDE_ERROR_ARGUMENT, "rows is %.0f, wanted 1 to max_rows = %.0f", (double)rows,
                         (double)run->max_rows);
    if (rows > run->class_rows && (run->class_rows || net->no_null_class))
        return ssde_fail(run->context, SSDE_ERROR_ARGUMENT, "rows is %lu, wanted %lu as ssde_run_set_classes was given",
                         (unsigned long)rows, (unsigned long)run->class_rows);
    if (rows > run->vector_rows && net->vector >= 0)
        return ssde_fail(run->context, SSDE_ERROR_ARGUMENT, "rows is %lu, wanted %lu as ssde_run_set_vectors was given",
                         (unsigned long)rows, (unsigned long)run->vector_rows);
    for (row = 0; row < rows && net->label_rows; row++)
        if (!ssdei_is_whole((double)label[row], 0.0, (double)(net->label_rows - 1)))
            return ssde_fail(run->context, SSDE_ERROR_ARGUMENT,
                             "label[%lu] is %.9g, wanted a whole number from 0 to %lu", (unsigned long)row,
                             (double)label[row], (unsigned long)net->label_rows - 1);
    for (row = 0; row < rows && sample && net->dropouts && ssdei_trains(run->mode); row++)
        if (sample[row] >> 48)
            return ssde_fail(run->context, SSDE_ERROR_ARGUMENT, "sample[%lu] is %.0f, wanted below 2^48",
                             (unsigned long)row, (double)sample[row]);
    run->rows = rows;
    run->seed = seed;
    run->step = step;
    run->sample = sample;
    memcpy(ssdei_value(run, net->input), x, rows * ssde_net_dim(net) * sizeof *x);
    if (v) memcpy(ssdei_tangent(run, net->input), v, rows * ssde_net_dim(net) * sizeof *v);
    if (net->label >= 0 && label) memcpy(ssdei_value(run, net->label), label, rows * sizeof *label);
    if (net->sigma >= 0 && sigma) memcpy(ssdei_value(run, net->sigma), sigma, rows * sizeof *sigma);
    ssdei_team_run(run->team, ssdei_run_steps_forward, run);
    if (out) memcpy(out, ssdei_value(run, net->output), rows * ssde_net_output_dim(net) * sizeof *out);
    return SSDE_OK;
}

ssde_status ssde_run_forward(ssde_run *run, const float *x, const float *label, const float *sigma, size_t rows,
                             uint64_t seed, uint32_t step, const uint64_t *sample, float *out) {
    return ssdei_run_pass(run, x, NULL, label, sigma, rows, seed, step, sample, out);
}

ssde_status ssde_run_forward_tangent(ssde_run *run, const float *x, const float *v, const float *label,
                                     const float *sigma, size_t rows, uint64_t seed, uint32_t step,
                                     const uint64_t *sample, float *out, float *out_tangent) {
    if (run && !v) return ssde_fail(run->context, SSDE_ERROR_ARGUMENT, "v is NULL");
    ssdei_try(ssdei_run_pass(run, x, v, label, sigma, rows, seed, step, sample, out));
    if (out_tangent)
        memcpy(out_tangent, ssdei_tangent(run, run->net->output),
               rows * ssde_net_output_dim(run->net) * sizeof *out_tangent);
    return SSDE_OK;
}

/* Nothing is differentiated, nor computed again, yet. */
static void ssdei_run_begin_backward(ssde_run *run) {
    int i;
    for (i = 0; i < run->net->node_count; i++) {
        run->steps[i].written = run->steps[i].restored = 0;
        if (run->mode == SSDE_RUN_TANGENT) run->of_tangents[i].written = 0;
    }
}

static ssde_status ssdei_run_check_backward(const ssde_run *run, const float *gradient, const float *input_gradient,
                                            const float *weight_gradients) {
    const char *wanted = run->mode == SSDE_RUN_INFERENCE                   ? "SSDE_RUN_VJP or SSDE_RUN_TRAIN"
                         : input_gradient && run->mode != SSDE_RUN_VJP     ? "SSDE_RUN_VJP for input_gradient"
                         : weight_gradients && run->mode != SSDE_RUN_TRAIN ? "SSDE_RUN_TRAIN for weight_gradients"
                         : run->mode == SSDE_RUN_TANGENT                   ? "one of ssde_run_forward"
                                                                           : NULL;
    if (!gradient) return ssde_fail(run->context, SSDE_ERROR_ARGUMENT, "ssde_run_backward: gradient is NULL");
    if (wanted)
        return ssde_fail(run->context, SSDE_ERROR_ARGUMENT, "ssde_run_backward: the run's mode is %d, wanted %s",
                         (int)run->mode, wanted);
    return SSDE_OK;
}

/* From the output's gradients, NULL: zeros, to those of the weights, or of the input. */
static ssde_status ssdei_run_differentiate(ssde_run *run, const float *gradient, const float *tangent_gradient,
                                           float *weight_gradients) {
    int output = run->net->output;
    size_t floats = run->rows * ssde_net_output_dim(run->net);
    if (!run->rows)
        return ssde_fail(run->context, SSDE_ERROR_ARGUMENT, "ssde_run_backward: there was no forward pass%s",
                         ssdei_trains(run->mode) ? " since the last backward pass" : "");
    run->weight_gradients = weight_gradients;
    ssdei_run_begin_backward(run);
    if (run->steps[output].needs) {
        float *to = ssdei_gradient(run, output);
        if (gradient)
            memcpy(to, gradient, floats * sizeof *to);
        else
            memset(to, 0, floats * sizeof *to);
        if (run->steps[output].moves)
            memcpy(ssdei_tangent_gradient(run, output), tangent_gradient, floats * sizeof *to);
        run->steps[output].written = 1;
    }
    ssdei_team_run(run->team, ssdei_run_steps_backward, run);
    if (ssdei_trains(run->mode)) run->rows = 0; /* gradients have taken the activations' place */
    return SSDE_OK;
}

ssde_status ssde_run_backward(ssde_run *run, const float *gradient, float *input_gradient, float *weight_gradients) {
    const ssde_net *net;
    if (!run) return SSDE_ERROR_ARGUMENT;
    net = run->net;
    ssdei_try(ssdei_run_check_backward(run, gradient, input_gradient, weight_gradients));
    ssdei_try(ssdei_run_differentiate(run, gradient, NULL, weight_gradients));
    if (input_gradient) {
        if (run->steps[net->input].written)
            memcpy(input_gradient, ssdei_gradient(run, net->input), run->rows * ssde_net_dim(net) * sizeof *gradient);
        else
            memset(input_gradient, 0, run->rows * ssde_net_dim(net) * sizeof *gradient);
    }
    return SSDE_OK;
}

ssde_status ssde_run_backward_tangent(ssde_run *run, const float *gradient, const float *tangent_gradient,
                                      float *weight_gradients) {
    if (!run) return SSDE_ERROR_ARGUMENT;
    if (run->mode != SSDE_RUN_TANGENT)
        return ssde_fail(run->context, SSDE_ERROR_ARGUMENT,
                         "ssde_run_backward_tangent: the run's mode is %d, wanted SSDE_RUN_TANGENT", (int)run->mode);
    if (!tangent_gradient)
        return ssde_fail(run->context, SSDE_ERROR_ARGUMENT, "ssde_run_backward_tangent: tangent_gradient is NULL");
    return ssdei_run_differentiate(run, gradient, tangent_gradient, weight_gradients);
}

/* ---- >>networks: the paper's U-Nets (models/ncsnpp.py, models/ddpm.py) ---- */

ssde_unet_desc ssde_ddpmpp(size_t height, size_t width, size_t channels) {
    static const int ch_mult[4] = {1, 2, 2, 2};
    ssde_unet_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.height = height;
    desc.width = width;
    desc.channels = channels;
    desc.nf = 128;
    for (desc.num_levels = 0; desc.num_levels < 4; desc.num_levels++) {
        size_t unit = (size_t)1 << desc.num_levels;
        if (desc.num_levels && (height % unit || width % unit)) break;
        desc.ch_mult[desc.num_levels] = ch_mult[desc.num_levels];
    }
    desc.num_res_blocks = 4;
    desc.num_attn_resolutions = 1;
    desc.attn_resolutions[0] = 16;
    desc.dropout = 0.1;
    desc.resamp_with_conv = 1;
    desc.conditional = 1;
    desc.fir_taps = 4;
    desc.fir_kernel[0] = desc.fir_kernel[3] = 1.0;
    desc.fir_kernel[1] = desc.fir_kernel[2] = 3.0;
    desc.skip_rescale = 1;
    desc.resblock_type = SSDE_RESBLOCK_BIGGAN;
    desc.embedding_type = SSDE_EMBEDDING_POSITIONAL;
    desc.fourier_scale = 16.0;
    desc.centered = 1;
    return desc;
}

ssde_unet_desc ssde_ncsnpp(size_t height, size_t width, size_t channels) {
    ssde_unet_desc desc = ssde_ddpmpp(height, width, channels);
    desc.fir = 1;
    desc.progressive_input = SSDE_INPUT_RESIDUAL;
    desc.embedding_type = SSDE_EMBEDDING_FOURIER;
    desc.scale_by_sigma = 1;
    desc.centered = 0;
    return desc;
}

ssde_unet_desc ssde_ddpm(size_t height, size_t width, size_t channels) {
    ssde_unet_desc desc = ssde_ddpmpp(height, width, channels);
    desc.name = SSDE_UNET_DDPM;
    desc.num_res_blocks = 2;
    desc.skip_rescale = 0;
    desc.resblock_type = SSDE_RESBLOCK_DDPM;
    return desc;
}

/* The values that the flags have which DDPM does not read. */
static ssde_unet_desc ssdei_unet_as_built(const ssde_unet_desc *desc) {
    ssde_unet_desc built = *desc;
    if (desc->name != SSDE_UNET_DDPM) return built;
    built.fir = 0;
    built.skip_rescale = 0;
    built.resblock_type = SSDE_RESBLOCK_DDPM;
    built.progressive = SSDE_PROGRESSIVE_NONE;
    built.progressive_input = SSDE_PROGRESSIVE_INPUT_NONE;
    built.progressive_combine = SSDE_COMBINE_SUM;
    built.embedding_type = SSDE_EMBEDDING_POSITIONAL;
    built.init_scale = 0.0;
    return built;
}

/* What building a U-Net carries along: the reference numbers its modules in the order they are made. */
typedef struct ssdei_unet {
    ssde_net *net;
    const ssde_unet_desc *desc;
    ssde_node embedding; /* after its two layers, SiLU applied; -1 without conditioning */
    int module;          /* its number; -1 before the first */
    char name[96];
} ssdei_unet;

/* Begins the next module on the way and level that net->module has. */
static void ssdei_unet_module(ssdei_unet *unet, ssdei_module_kind kind, int number) {
    unet->net->module.kind = kind;
    unet->net->module.number = number;
    unet->module++;
}

/* "all_modules.MODULE.PART", in a buffer that the next call overwrites; PART "" names the module itself. */
static const char *ssdei_unet_name(ssdei_unet *unet, const char *part) {
    snprintf(unet->name, sizeof unet->name, "all_modules.%d%s%.60s", unet->module, part[0] ? "." : "", part);
    return unet->name;
}

static size_t ssdei_unet_channels(const ssdei_unet *unet, ssde_node node) {
    return ssdei_is_node(unet->net, node) ? unet->net->nodes[node].shape[2] : 4;
}

static ssde_node ssdei_unet_norm(ssdei_unet *unet, ssde_node x, ssde_activation activation, const char *part) {
    size_t groups = ssdei_unet_channels(unet, x) / 4;
    if (groups > 32 || unet->desc->name == SSDE_UNET_DDPM) groups = 32;
    return ssde_group_norm(unet->net, x, groups, 1e-6, activation, ssdei_unet_name(unet, part));
}

static ssde_node ssdei_unet_conv(ssdei_unet *unet, ssde_node x, size_t channels, int kernel, double init_scale,
                                 const char *part) {
    ssde_conv_desc conv = ssde_conv(channels, kernel);
    conv.init_scale = init_scale;
    return ssde_conv2d(unet->net, x, &conv, ssdei_unet_name(unet, part));
}

static double ssdei_unet_rescale(const ssdei_unet *unet) { return unet->desc->skip_rescale ? 1.0 / sqrt(2.0) : 1.0; }

/* (h + x) / sqrt(2), or h + x: fused into the product that makes h. */
static ssde_conv_desc ssdei_unet_residual(const ssdei_unet *unet, ssde_node x, size_t channels, int kernel) {
    ssde_conv_desc conv = ssde_conv(channels, kernel);
    conv.init_scale = unet->desc->init_scale;
    conv.residual = x;
    conv.scale = ssdei_unet_rescale(unet);
    return conv;
}

/* Resampling by 2 without parameters, and the modules Upsample and Downsample with convolution; layerspp.py:89-169,
   up_or_down_sampling.py. With FIR, the filter comes first: before a strided convolution as there, and before the other
   half of a transposed one, with which it commutes, since the signals are zero outside; but not with its bias. */
static ssde_node ssdei_unet_fir(ssdei_unet *unet, ssde_node x, int up, int down, int pad_before, int pad_after) {
    return ssde_fir(unet->net, x, up, down, pad_before, pad_after, unet->desc->fir_kernel, unet->desc->fir_taps);
}
static ssde_node ssdei_unet_upsample(ssdei_unet *unet, ssde_node x) {
    int taps = unet->desc->fir_taps;
    return unet->desc->fir ? ssdei_unet_fir(unet, x, 2, 1, (taps - 1) / 2 + 1, (taps - 2) / 2)
                           : ssde_upsample_nearest(unet->net, x);
}
static ssde_node ssdei_unet_downsample(ssdei_unet *unet, ssde_node x) {
    int taps = unet->desc->fir_taps;
    return unet->desc->fir ? ssdei_unet_fir(unet, x, 1, 2, (taps - 1) / 2, (taps - 2) / 2)
                           : ssde_average_pool(unet->net, x);
}
static ssde_node ssdei_unet_upsample_conv(ssdei_unet *unet, ssde_node x, size_t channels) {
    int taps = unet->desc->fir_taps;
    ssde_conv_desc conv = ssde_conv(channels, 3);
    if (!unet->desc->fir) return ssdei_unet_conv(unet, ssde_upsample_nearest(unet->net, x), channels, 3, 1.0, "Conv_0");
    conv.pad_before = conv.pad_after = 0;
    x = ssdei_unet_fir(unet, x, 2, 1, (taps - 1) / 2 + 2, taps / 2);
    return ssde_conv2d(unet->net, x, &conv, ssdei_unet_name(unet, "Conv2d_0"));
}
static ssde_node ssdei_unet_downsample_conv(ssdei_unet *unet, ssde_node x, size_t channels) {
    int fir = unet->desc->fir, taps = unet->desc->fir_taps;
    ssde_conv_desc conv = ssde_conv(channels, 3);
    conv.stride = 2;
    conv.pad_before = 0;
    conv.pad_after = fir ? 0 : 1;
    if (fir) x = ssdei_unet_fir(unet, x, 1, 1, (taps + 1) / 2, taps / 2);
    return ssde_conv2d(unet->net, x, &conv, ssdei_unet_name(unet, fir ? "Conv2d_0" : "Conv_0"));
}

/* A dense layer's parameters without the layer: the reference's blocks have it, unused, where conditional is 0. */
static void ssdei_linear_parameters(ssde_net *net, size_t in, size_t out, const char *name) {
    ssdei_net_add_parameter(net, name, "weight", SSDEI_LAYOUT_LINEAR, in, out, 0, SSDEI_INITIALISE_FAN_AVERAGE, 1.0);
    ssdei_net_add_parameter(net, name, "bias", SSDEI_LAYOUT_PLAIN, 0, out, 0, SSDEI_INITIALISE_ZERO, 0.0);
}

/* ResnetBlockDDPMpp and ResnetBlockBigGANpp; layerspp.py:172-278. direction: 0, +1 up, -1 down (BigGAN only). */
static ssde_node ssdei_unet_block(ssdei_unet *unet, ssde_node x, size_t channels, int direction, int number) {
    ssde_net *net = unet->net;
    int biggan = unet->desc->resblock_type == SSDE_RESBLOCK_BIGGAN, shortcut = direction != 0;
    int modulated = unet->embedding >= 0 && unet->desc->noise_conditioning == SSDE_NOISE_SCALE_SHIFT, parameters;
    ssde_node dense = -1;
    size_t in = ssdei_unet_channels(unet, x);
    ssde_conv_desc conv;
    ssde_node h;
    ssdei_unet_module(unet, direction ? SSDEI_MODULE_RESAMPLE_BLOCK : SSDEI_MODULE_BLOCK, number);
    h = ssdei_unet_norm(unet, x, SSDE_SILU, "GroupNorm_0");
    shortcut = shortcut || in != channels;
    if (direction) {
        h = direction > 0 ? ssdei_unet_upsample(unet, h) : ssdei_unet_downsample(unet, h);
        x = direction > 0 ? ssdei_unet_upsample(unet, x) : ssdei_unet_downsample(unet, x);
    }
    conv = ssde_conv(channels, 3);
    parameters =
        ssdei_product_parameters(net, h, channels, 1.0, ssdei_unet_name(unet, "Conv_0"), SSDEI_LAYOUT_LINEAR, 3, 0);
    if (unet->embedding >= 0) /* its parameters follow those of the convolution that adds it */
        dense = ssde_linear(net, unet->embedding, modulated ? 2 * channels : channels, 1.0,
                            ssdei_unet_name(unet, "Dense_0"));
    else if (unet->desc->noise_conditioning == SSDE_NOISE_EMBEDDING)
        ssdei_linear_parameters(net, 4 * unet->desc->nf, channels, ssdei_unet_name(unet, "Dense_0"));
    if (!modulated) conv.residual = dense;
    h = ssdei_product_node(net, h, &conv, parameters);
    h = ssdei_unet_norm(unet, h, modulated ? SSDE_IDENTITY : SSDE_SILU, "GroupNorm_1");
    if (modulated) h = ssde_activate(net, ssde_modulate(net, h, dense), SSDE_SILU);
    h = ssde_dropout(net, h, unet->desc->dropout);
    conv = ssdei_unet_residual(unet, x, channels, 3);
    if (shortcut) {
        /* The reference registers Conv_1 before its shortcut, and parameter order is part of its checkpoints: build the
           convolution's parameters first by building the shortcut second. */
        conv.residual = -1;
        conv.scale = 1.0;
        h = ssde_conv2d(net, h, &conv, ssdei_unet_name(unet, "Conv_1"));
        conv = ssdei_unet_residual(unet, h, channels, 1);
        conv.init_scale = biggan ? 1.0 : 0.1;
        return biggan ? ssde_conv2d(net, x, &conv, ssdei_unet_name(unet, "Conv_2"))
                      : ssde_nin(net, x, &conv, ssdei_unet_name(unet, "NIN_0"));
    }
    return ssde_conv2d(net, h, &conv, ssdei_unet_name(unet, "Conv_1"));
}

/* AttnBlockpp; layerspp.py:64-86 */
static ssde_node ssdei_unet_attention(ssdei_unet *unet, ssde_node x, int number) {
    static const char *const parts[3] = {"NIN_0", "NIN_1", "NIN_2"};
    size_t channels = ssdei_unet_channels(unet, x);
    ssde_conv_desc conv = ssde_conv(channels, 1);
    ssde_node h, projected[3];
    int i;
    ssdei_unet_module(unet, SSDEI_MODULE_ATTENTION, number);
    h = ssdei_unet_norm(unet, x, SSDE_IDENTITY, "GroupNorm_0");
    conv.init_scale = 0.1;
    for (i = 0; i < 3; i++) projected[i] = ssde_nin(unet->net, h, &conv, ssdei_unet_name(unet, parts[i]));
    h = ssde_attention(unet->net, projected[0], projected[1], projected[2], 1);
    conv = ssdei_unet_residual(unet, x, channels, 1);
    return ssde_nin(unet->net, h, &conv, ssdei_unet_name(unet, "NIN_3"));
}

/* Whether there is attention where images have this width. */
static int ssdei_unet_attends(const ssde_unet_desc *desc, size_t width) {
    int i;
    for (i = 0; i < desc->num_attn_resolutions; i++)
        if (desc->attn_resolutions[i] == width) return 1;
    return 0;
}

/* Combine: a 1x1 convolution of the input pyramid joins h; layerspp.py:45. */
static ssde_node ssdei_unet_combine(ssdei_unet *unet, ssde_node pyramid, ssde_node h) {
    size_t channels = ssdei_unet_channels(unet, h);
    ssde_conv_desc conv = ssde_conv(channels, 1);
    int cat = unet->desc->progressive_combine == SSDE_COMBINE_CAT;
    if (!cat) conv.residual = h;
    ssdei_unet_module(unet, SSDEI_MODULE_PYRAMID, 0);
    pyramid = ssde_conv2d(unet->net, pyramid, &conv, ssdei_unet_name(unet, "Conv_0"));
    return cat ? ssde_concat(unet->net, pyramid, h) : pyramid;
}

/* The label's embedding through two dense layers; -1 without. */
static ssde_node ssdei_unet_noise_embedding(ssdei_unet *unet) {
    const ssde_unet_desc *desc = unet->desc;
    ssde_node h;
    if (desc->noise_conditioning == SSDE_NOISE_CHANNEL) return -1;
    if (!desc->conditional && desc->embedding_type == SSDE_EMBEDDING_POSITIONAL) return -1;
    if (desc->embedding_type == SSDE_EMBEDDING_FOURIER) {
        ssdei_unet_module(unet, SSDEI_MODULE_FREQUENCIES, 0);
        h = ssde_fourier_embedding(unet->net, ssde_input_label(unet->net), desc->nf, desc->fourier_scale,
                                   ssdei_unet_name(unet, ""));
        if (!desc->conditional) return -1;
    } else {
        h = ssde_positional_embedding(unet->net, ssde_input_label(unet->net), desc->nf, 1.0, 0);
    }
    ssdei_unet_module(unet, SSDEI_MODULE_EMBEDDING_FIRST, 0);
    h = ssde_linear(unet->net, h, 4 * desc->nf, 1.0, ssdei_unet_name(unet, ""));
    ssdei_unet_module(unet, SSDEI_MODULE_EMBEDDING_SECOND, 0);
    return ssde_linear(unet->net, ssde_activate(unet->net, h, SSDE_SILU), 4 * desc->nf, 1.0, ssdei_unet_name(unet, ""));
}

/* That, and the class's, SiLU applied as every block does; -1 without conditioning. */
static ssde_node ssdei_unet_embedding(ssdei_unet *unet) {
    const ssde_unet_desc *desc = unet->desc;
    ssde_node h = ssdei_unet_noise_embedding(unet);
    if (desc->classes) {
        ssde_node class_number = ssde_input_class(unet->net), own;
        unet->net->module.kind = SSDEI_MODULE_CLASSES; /* which has no number */
        own = ssde_class_embedding(unet->net, class_number, desc->classes, 4 * desc->nf, "class_embedding");
        h = h >= 0 ? ssde_add_scaled(unet->net, h, own, 1.0) : own;
    }
    return h >= 0 ? ssde_activate(unet->net, h, SSDE_SILU) : -1;
}

/* x, and the noise as one more channel where that is how it is told. */
static ssde_node ssdei_unet_noise_channel(ssdei_unet *unet, ssde_node x) {
    const ssde_unet_desc *desc = unet->desc;
    ssde_node noise;
    if (!desc->conditional || desc->noise_conditioning != SSDE_NOISE_CHANNEL) return x;
    noise = ssde_input_label(unet->net);
    noise = desc->embedding_type == SSDE_EMBEDDING_POSITIONAL
                ? ssde_affine_map(unet->net, noise, 2.0 / 999.0, -1.0)
                : ssde_affine_map(unet->net, ssde_activate(unet->net, noise, SSDE_LOG), 0.25, 0.0);
    return ssde_concat(unet->net, x, noise);
}

enum { SSDEI_MAX_SKIPS = 256 };

/* Down the levels; every skip connection goes to skips[*count]. */
static ssde_node ssdei_unet_down(ssdei_unet *unet, ssde_node x, ssde_node *skips, int *count) {
    const ssde_unet_desc *desc = unet->desc;
    ssde_node h, pyramid = x;
    int level, block;
    ssdei_unet_module(unet, SSDEI_MODULE_INPUT, 0);
    h = ssdei_unet_conv(unet, ssdei_unet_noise_channel(unet, x), desc->nf, 3, 1.0, "");
    skips[(*count)++] = h;
    for (level = 0; level < desc->num_levels; level++) {
        unet->net->module.level = level;
        for (block = 0; block < desc->num_res_blocks; block++) {
            h = ssdei_unet_block(unet, h, desc->nf * (size_t)desc->ch_mult[level], 0, block);
            if (ssdei_unet_attends(desc, desc->width >> level)) h = ssdei_unet_attention(unet, h, block);
            skips[(*count)++] = h;
        }
        if (level == desc->num_levels - 1) break;
        if (desc->resblock_type == SSDE_RESBLOCK_BIGGAN) {
            h = ssdei_unet_block(unet, h, ssdei_unet_channels(unet, h), -1, 0);
        } else {
            ssdei_unet_module(unet, SSDEI_MODULE_RESAMPLE, 0);
            h = desc->resamp_with_conv ? ssdei_unet_downsample_conv(unet, h, ssdei_unet_channels(unet, h))
                                       : ssdei_unet_downsample(unet, h);
        }
        if (desc->progressive_input == SSDE_INPUT_SKIP) {
            pyramid = ssdei_unet_downsample(unet, pyramid);
            h = ssdei_unet_combine(unet, pyramid, h);
        } else if (desc->progressive_input == SSDE_INPUT_RESIDUAL) {
            ssdei_unet_module(unet, SSDEI_MODULE_PYRAMID, 0);
            pyramid = ssdei_unet_downsample_conv(unet, pyramid, ssdei_unet_channels(unet, h));
            h = pyramid = ssde_add_scaled(unet->net, pyramid, h, ssdei_unet_rescale(unet));
        }
        skips[(*count)++] = h;
    }
    return h;
}

/* The output pyramid at one level on the way up; *h may change. */
static ssde_node ssdei_unet_pyramid(ssdei_unet *unet, ssde_node pyramid, ssde_node *h) {
    const ssde_unet_desc *desc = unet->desc;
    const int skip = desc->progressive == SSDE_OUTPUT_SKIP, last = skip && unet->net->module.level == 0;
    const size_t channels = ssdei_unet_channels(unet, *h);
    ssde_conv_desc conv = ssde_conv(skip ? desc->channels : channels, 3);
    ssde_node norm;
    if (!skip && pyramid >= 0) {
        ssdei_unet_module(unet, SSDEI_MODULE_PYRAMID, 0);
        pyramid = ssdei_unet_upsample_conv(unet, pyramid, channels);
        return *h = ssde_add_scaled(unet->net, pyramid, *h, ssdei_unet_rescale(unet));
    }
    if (skip) conv.init_scale = desc->init_scale;
    if (pyramid >= 0) conv.residual = ssdei_unet_upsample(unet, pyramid);
    ssdei_unet_module(unet, last ? SSDEI_MODULE_OUTPUT_NORM : SSDEI_MODULE_PYRAMID_NORM, 0);
    norm = ssdei_unet_norm(unet, *h, SSDE_SILU, "");
    ssdei_unet_module(unet, last ? SSDEI_MODULE_OUTPUT : SSDEI_MODULE_PYRAMID, 0);
    return ssde_conv2d(unet->net, norm, &conv, ssdei_unet_name(unet, ""));
}

static ssde_node ssdei_unet_up(ssdei_unet *unet, ssde_node h, ssde_node *skips, int count) {
    const ssde_unet_desc *desc = unet->desc;
    ssde_node pyramid = -1;
    int level, block;
    unet->net->module.way = SSDEI_WAY_UP;
    for (level = desc->num_levels - 1; level >= 0; level--) {
        unet->net->module.level = level;
        for (block = 0; block <= desc->num_res_blocks; block++) {
            h = ssdei_unet_block(unet, ssde_concat(unet->net, h, skips[--count]),
                                 desc->nf * (size_t)desc->ch_mult[level], 0, block);
            if (ssdei_unet_attends(desc, desc->width >> level) &&
                (desc->attn_every_block || block == desc->num_res_blocks))
                h = ssdei_unet_attention(unet, h, desc->attn_every_block ? block : 0);
        }
        if (desc->progressive != SSDE_PROGRESSIVE_NONE) pyramid = ssdei_unet_pyramid(unet, pyramid, &h);
        if (level == 0) break;
        if (desc->resblock_type == SSDE_RESBLOCK_BIGGAN) {
            h = ssdei_unet_block(unet, h, ssdei_unet_channels(unet, h), 1, 0);
        } else {
            ssdei_unet_module(unet, SSDEI_MODULE_RESAMPLE, 0);
            h = desc->resamp_with_conv ? ssdei_unet_upsample_conv(unet, h, ssdei_unet_channels(unet, h))
                                       : ssdei_unet_upsample(unet, h);
        }
    }
    return desc->progressive == SSDE_OUTPUT_SKIP ? pyramid : h;
}

static ssde_status ssdei_check_enum(ssde_context *context, const char *name, int value, int last, const char *type) {
    if (value >= 0 && value <= last) return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s is %d, wanted an %s", name, value, type);
}

/* Of the label: its kind, and of Fourier's the standard deviation of the frequencies. */
static ssde_status ssdei_check_embedding(ssde_context *context, ssde_embedding_type type, double fourier_scale) {
    ssdei_try(ssdei_check_enum(context, "embedding_type", (int)type, SSDE_EMBEDDING_FOURIER, "ssde_embedding_type"));
    if (fourier_scale >= 0.0 && fourier_scale <= 1e12) return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_ARGUMENT, "fourier_scale is %.9g, wanted 0 to 1e12", fourier_scale);
}

static ssde_status ssdei_unet_check_enums(const ssde_unet_desc *desc) {
    ssde_context *context = desc->context;
    ssdei_try(ssdei_check_enum(context, "name", (int)desc->name, SSDE_UNET_DDPM, "ssde_unet_name"));
    ssdei_try(ssdei_check_enum(context, "resblock_type", (int)desc->resblock_type, SSDE_RESBLOCK_BIGGAN,
                               "ssde_resblock_type"));
    ssdei_try(
        ssdei_check_enum(context, "progressive", (int)desc->progressive, SSDE_OUTPUT_RESIDUAL, "ssde_progressive"));
    ssdei_try(ssdei_check_enum(context, "progressive_input", (int)desc->progressive_input, SSDE_INPUT_RESIDUAL,
                               "ssde_progressive_input"));
    ssdei_try(ssdei_check_enum(context, "progressive_combine", (int)desc->progressive_combine, SSDE_COMBINE_CAT,
                               "ssde_progressive_combine"));
    ssdei_try(ssdei_check_enum(context, "noise_conditioning", (int)desc->noise_conditioning, SSDE_NOISE_SCALE_SHIFT,
                               "ssde_noise_conditioning"));
    return ssdei_check_embedding(context, desc->embedding_type, desc->fourier_scale);
}

static ssde_status ssdei_unet_check(const ssde_unet_desc *desc) {
    ssde_context *context = desc->context;
    size_t unit, step;
    int i;
    ssdei_try(ssdei_unet_check_enums(desc));
    if (desc->num_levels < 1 || desc->num_levels > SSDE_MAX_LEVELS)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "num_levels is %d, wanted 1 to %d", desc->num_levels,
                         SSDE_MAX_LEVELS);
    unit = (size_t)1 << (desc->num_levels - 1);
    if (desc->height % unit || desc->width % unit)
        return ssde_fail(context, SSDE_ERROR_SHAPE,
                         "height is %.0f and width %.0f, wanted multiples of %.0f for num_levels = %d",
                         (double)desc->height, (double)desc->width, (double)unit, desc->num_levels);
    if (!desc->height || !desc->width || !desc->channels || desc->height > 1 << 15 || desc->width > 1 << 15 ||
        desc->channels > 1 << 12)
        return ssde_fail(context, SSDE_ERROR_SHAPE,
                         "height is %.0f, width %.0f and channels %.0f, wanted 1 to 32768, 1 to 32768, 1 to 4096",
                         (double)desc->height, (double)desc->width, (double)desc->channels);
    step = desc->name == SSDE_UNET_DDPM ? 32 : 4;
    if (!desc->nf || desc->nf % step || desc->nf > 1 << 14)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "nf is %.0f, wanted a multiple of %.0f from %.0f to 16384",
                         (double)desc->nf, (double)step, (double)step);
    for (i = 0; i < desc->num_levels; i++)
        if (desc->ch_mult[i] < 1 || desc->ch_mult[i] > 256)
            return ssde_fail(context, SSDE_ERROR_ARGUMENT, "ch_mult[%d] is %d, wanted 1 to 256", i, desc->ch_mult[i]);
    if (desc->num_res_blocks < 1 || desc->num_res_blocks > SSDEI_MAX_SKIPS ||
        (desc->num_res_blocks + 1) * desc->num_levels + 1 > SSDEI_MAX_SKIPS)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "num_res_blocks is %d, wanted 1 to %d", desc->num_res_blocks,
                         (SSDEI_MAX_SKIPS - 1) / desc->num_levels - 1);
    if (desc->num_attn_resolutions < 0 || desc->num_attn_resolutions > SSDE_MAX_LEVELS)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "num_attn_resolutions is %d, wanted 0 to %d",
                         desc->num_attn_resolutions, SSDE_MAX_LEVELS);
    for (i = 0; i < desc->num_attn_resolutions; i++)
        if (!desc->attn_resolutions[i] || desc->attn_resolutions[i] > 1 << 15)
            return ssde_fail(context, SSDE_ERROR_ARGUMENT, "attn_resolutions[%d] is %.0f, wanted 1 to 32768", i,
                             (double)desc->attn_resolutions[i]);
    if (desc->classes > 1 << 20)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "classes is %.0f, wanted 0 to 2^20", (double)desc->classes);
    if (!(desc->dropout >= 0.0 && desc->dropout < 1.0))
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "dropout is %.9g, wanted 0 to below 1", desc->dropout);
    if (!(desc->init_scale >= 0.0 && desc->init_scale <= 1e6))
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "init_scale is %.9g, wanted 0 to 1e6", desc->init_scale);
    if (desc->fir && (desc->fir_taps < 2 || desc->fir_taps > SSDE_MAX_FIR_TAPS))
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "fir_taps is %d, wanted 2 to %d", desc->fir_taps,
                         SSDE_MAX_FIR_TAPS);
    return SSDE_OK;
}

/* The end of building: notes the output, and one of these as what the network was built of, which ssde_net_save
   writes; see >>models. */
static ssde_status ssdei_net_describe(ssde_net *net, ssde_node output, ssde_unet_desc *unet,
                                      ssde_classifier_desc *classifier, ssde_mlp_desc *mlp);
static ssde_status ssdei_refinenet_describe(ssde_net *net, ssde_node output, ssde_refinenet_desc *desc);

/* Finishes a network that has been built, all but its weights, or destroys it. */
static ssde_status ssdei_net_conclude(ssde_net **net, ssde_status status, int draw) {
    if (status == SSDE_OK) status = ssdei_net_end(*net, (*net)->output, draw);
    if (status == SSDE_OK) return status;
    ssde_net_destroy(*net);
    *net = NULL;
    return status;
}

static ssde_status ssdei_net_complete(ssde_net **net, ssde_status status) { return ssdei_net_conclude(net, status, 1); }

/* The same for a network whose weights are all read from a file. */
static ssde_status ssdei_net_complete_empty(ssde_net **net, ssde_status status) {
    return ssdei_net_conclude(net, status, 0);
}

/* Measures it instead. */
static size_t ssdei_net_measure(ssde_net **net, ssde_status status) {
    size_t bytes = status == SSDE_OK ? ssde_net_memory(*net) : 0;
    ssde_net_destroy(*net);
    return bytes;
}

/* From the input to the end of the middle; *desc is what is built. */
static ssde_status ssdei_unet_begin(ssdei_unet *unet, const ssde_unet_desc *desc, ssde_net **net, ssde_node *skips,
                                    int *count, ssde_node *middle) {
    ssde_node x, h;
    ssdei_try(ssdei_unet_check(desc));
    ssdei_try(ssde_net_create(desc->context, net, desc->seed));
    memset(unet, 0, sizeof *unet);
    unet->net = *net;
    unet->desc = desc;
    unet->module = -1;
    x = ssde_input(*net, desc->height, desc->width, desc->channels);
    unet->embedding = ssdei_unet_embedding(unet);
    if (!desc->centered) x = ssde_affine_map(*net, x, 2.0, -1.0);
    h = ssdei_unet_down(unet, x, skips, count);
    (*net)->module.way = SSDEI_WAY_MIDDLE;
    h = ssdei_unet_block(unet, h, ssdei_unet_channels(unet, h), 0, 0);
    h = ssdei_unet_attention(unet, h, 0);
    *middle = ssdei_unet_block(unet, h, ssdei_unet_channels(unet, h), 0, 1);
    return SSDE_OK;
}

/* All but the weights. */
static ssde_status ssdei_unet_build(ssde_net **net, const ssde_unet_desc *wanted) {
    ssde_unet_desc built, *desc = &built;
    ssdei_unet unet;
    ssde_node h, skips[SSDEI_MAX_SKIPS];
    int count = 0;
    *net = NULL;
    if (!wanted) return SSDE_ERROR_ARGUMENT;
    built = ssdei_unet_as_built(wanted);
    ssdei_try(ssdei_unet_begin(&unet, desc, net, skips, &count, &h));
    h = ssdei_unet_up(&unet, h, skips, count);
    if (desc->progressive != SSDE_OUTPUT_SKIP) {
        ssdei_unet_module(&unet, SSDEI_MODULE_OUTPUT_NORM, 0);
        h = ssdei_unet_norm(&unet, h, SSDE_SILU, "");
        ssdei_unet_module(&unet, SSDEI_MODULE_OUTPUT, 0);
        h = ssdei_unet_conv(&unet, h, desc->channels, 3, desc->init_scale, "");
    }
    if (desc->scale_by_sigma) h = ssde_scale_rows(*net, h, ssde_input_sigma(*net), SSDE_OVER_SIGMA);
    return ssdei_net_describe(*net, h, desc, NULL, NULL);
}

ssde_status ssde_unet_create(ssde_net **net, const ssde_unet_desc *desc) {
    if (!net) return ssde_fail(desc ? desc->context : NULL, SSDE_ERROR_ARGUMENT, "net is NULL");
    return ssdei_net_complete(net, ssdei_unet_build(net, desc));
}

size_t ssde_unet_memory(const ssde_unet_desc *desc) {
    ssde_net *net;
    return ssdei_net_measure(&net, ssdei_unet_build(&net, desc));
}

/* ---- networks: RefineNets (models/ncsnv2.py, layers.py) ----
   As the original repositories compute them (ermongroup/ncsn, ncsnv2): dilated convolutions keep the size, and NCSN's
   norms are conditional on its num_scales labels. Blocks run in another order than they are declared in there, which
   that of the parameters follows: ssdei_net_move_last. */

static ssde_refinenet_desc ssdei_refinenet_of(ssde_refinenet_name name, size_t height, size_t width, size_t channels) {
    static const int num_scales[] = {10, 232, 1086, 2311};
    static const double sigma_max[] = {1.0, 50.0, 190.0, 348.0};
    ssde_refinenet_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.name = name;
    desc.height = height;
    desc.width = width;
    desc.channels = channels;
    desc.nf = 128;
    desc.nonlinearity = SSDE_ELU;
    desc.num_scales = num_scales[name];
    desc.sigma_min = 0.01;
    desc.sigma_max = sigma_max[name];
    return desc;
}
ssde_refinenet_desc ssde_ncsn(size_t height, size_t width, size_t channels) {
    return ssdei_refinenet_of(SSDE_NCSN, height, width, channels);
}
ssde_refinenet_desc ssde_ncsnv2(size_t height, size_t width, size_t channels) {
    return ssdei_refinenet_of(SSDE_NCSNV2_64, height, width, channels);
}
ssde_refinenet_desc ssde_ncsnv2_128(size_t height, size_t width, size_t channels) {
    return ssdei_refinenet_of(SSDE_NCSNV2_128, height, width, channels);
}
ssde_refinenet_desc ssde_ncsnv2_256(size_t height, size_t width, size_t channels) {
    return ssdei_refinenet_of(SSDE_NCSNV2_256, height, width, channels);
}

/* A pair of residual blocks on the way down, and the refinement of what they give on the way up. */
typedef struct ssdei_stage {
    const char *residual, *refine;
    size_t multiple, refined; /* channels of both, in units of nf */
    int halves;
    int dilation;
    int late; /* the parameters of its refinement stand behind those of the one above */
} ssdei_stage;
enum { SSDEI_MOST_STAGES = 6 };
static const ssdei_stage ssdei_stages_64[SSDEI_MOST_STAGES + 1] = {
    {"res1", "refine4", 1, 1, 0, 1, 0}, {"res2", "refine3", 2, 1, 1, 1, 0}, {"res3", "refine2", 2, 2, 0, 2, 0},
    {"res4", "refine1", 2, 2, 0, 4, 0}, {NULL, NULL, 0, 0, 0, 0, 0},        {NULL, NULL, 0, 0, 0, 0, 0},
    {NULL, NULL, 0, 0, 0, 0, 0}};
static const ssdei_stage ssdei_stages_128[SSDEI_MOST_STAGES + 1] = {
    {"res1", "refine5", 1, 1, 0, 1, 0}, {"res2", "refine4", 2, 1, 1, 1, 0}, {"res3", "refine3", 2, 2, 1, 1, 0},
    {"res4", "refine2", 4, 2, 0, 2, 0}, {"res5", "refine1", 4, 4, 0, 4, 0}, {NULL, NULL, 0, 0, 0, 0, 0},
    {NULL, NULL, 0, 0, 0, 0, 0}};
static const ssdei_stage ssdei_stages_256[SSDEI_MOST_STAGES + 1] = {
    {"res1", "refine5", 1, 1, 0, 1, 0},   {"res2", "refine4", 2, 1, 1, 1, 0}, {"res3", "refine3", 2, 2, 1, 1, 0},
    {"res31", "refine31", 2, 2, 1, 1, 1}, {"res4", "refine2", 4, 2, 0, 2, 0}, {"res5", "refine1", 4, 4, 0, 4, 0},
    {NULL, NULL, 0, 0, 0, 0, 0}};
static const ssdei_stage *const ssdei_stages[] = {ssdei_stages_64, ssdei_stages_64, ssdei_stages_128, ssdei_stages_256};

static const char *const ssdei_refinenet_names[] = {"ncsn", "ncsnv2_64", "ncsnv2_128", "ncsnv2_256", NULL};

typedef struct ssdei_refinenet {
    ssde_net *net;
    const ssde_refinenet_desc *desc;
    ssde_node label; /* of NCSN; else -1 */
    char name[96];
} ssdei_refinenet;

/* "BLOCK.PART", in a buffer that the next call overwrites. */
static const char *ssdei_refinenet_name(ssdei_refinenet *r, const char *block, const char *part) {
    snprintf(r->name, sizeof r->name, "%.50s.%.40s", block, part);
    return r->name;
}

static size_t ssdei_refinenet_channels(const ssdei_refinenet *r, ssde_node node) {
    return ssdei_is_node(r->net, node) ? r->net->nodes[node].shape[2] : 1;
}

/* What the network normalises by, then the activation. */
static ssde_node ssdei_refinenet_norm(ssdei_refinenet *r, ssde_node x, ssde_activation activation, double eps,
                                      const char *name) {
    static const ssde_instance_norm_kind kinds[] = {SSDE_INSTANCE_NORM_PLUS, SSDE_INSTANCE_NORM, SSDE_VARIANCE_NORM};
    if (r->label >= 0)
        return ssde_conditional_instance_norm(r->net, x, r->label, (size_t)r->desc->num_scales, eps, activation, name);
    if (r->desc->normalization != SSDE_NORMALIZE_NONE)
        return ssde_instance_norm(r->net, x, kinds[r->desc->normalization], eps, activation, name);
    return ssde_activate(r->net, x, activation);
}

/* Where only NCSN has a norm. */
static ssde_node ssdei_refinenet_enter(ssdei_refinenet *r, ssde_node x, ssde_activation activation, const char *block,
                                       const char *part) {
    if (r->label >= 0) return ssdei_refinenet_norm(r, x, activation, 1e-5, ssdei_refinenet_name(r, block, part));
    return activation == SSDE_IDENTITY ? x : ssde_activate(r->net, x, activation);
}

/* Of the same size; weights and bias begin uniform within 1 / sqrt(fan in), PyTorch's own rule. */
static ssde_node ssdei_refinenet_conv(ssdei_refinenet *r, ssde_node x, size_t channels, int kernel, int dilation,
                                      int bias, ssde_node residual, const char *name) {
    ssde_conv_desc conv = ssde_conv(channels, kernel);
    double in = (double)ssdei_refinenet_channels(r, x), out = (double)channels;
    ssde_node node;
    conv.dilation = dilation;
    conv.pad_before = conv.pad_after = kernel / 2 * dilation;
    conv.no_bias = !bias;
    conv.init_scale = (in + out) / (6.0 * in);
    conv.residual = residual;
    node = ssde_conv2d(r->net, x, &conv, name);
    if (bias && ssdei_is_node(r->net, node)) {
        ssdei_parameter *own = &r->net->parameters[r->net->nodes[node].parameter + 1];
        own->initialisation = SSDEI_INITIALISE_FAN_AVERAGE; /* of a fan of out / 2 */
        own->scale = out / (6.0 * in * (double)(kernel * kernel));
    }
    return node;
}

/* ResidualBlock and ConditionalResidualBlock. A mean over 2 x 2 and a 1x1 convolution commute: the shortcut takes the
   mean first. */
static ssde_node ssdei_refinenet_residual(ssdei_refinenet *r, ssde_node x, const ssdei_stage *stage, int down,
                                          const char *block) {
    ssde_net *net = r->net;
    const ssde_activation act = r->desc->nonlinearity;
    const int pools = down && stage->halves, dilation = stage->dilation;
    size_t first = net->parameter_count, norm, in = ssdei_refinenet_channels(r, x);
    size_t out = stage->multiple * r->desc->nf;
    ssde_node h = ssdei_refinenet_norm(r, x, act, 1e-5, ssdei_refinenet_name(r, block, "normalize1"));
    norm = net->parameter_count - first;
    h = ssdei_refinenet_conv(r, h, in, 3, dilation, 1, -1, ssdei_refinenet_name(r, block, "conv1"));
    h = ssdei_refinenet_norm(r, h, act, 1e-5, ssdei_refinenet_name(r, block, "normalize2"));
    h = ssdei_refinenet_conv(r, h, out, 3, dilation, 1, down ? -1 : x,
                             ssdei_refinenet_name(r, block, pools ? "conv2.conv" : "conv2"));
    if (pools) {
        h = ssde_average_pool(net, h);
        h = ssdei_refinenet_conv(r, ssde_average_pool(net, x), out, 1, 1, 1, h,
                                 ssdei_refinenet_name(r, block, "shortcut.conv"));
    } else if (down) {
        h = ssdei_refinenet_conv(r, x, out, 3, dilation, 1, h, ssdei_refinenet_name(r, block, "shortcut"));
    }
    ssdei_net_move_last(net, first, norm);
    return h;
}

/* RCUBlock and CondRCUBlock of two stages. */
static ssde_node ssdei_refinenet_rcu(ssdei_refinenet *r, ssde_node x, int blocks, const char *block) {
    size_t channels = ssdei_refinenet_channels(r, x);
    char part[24];
    int i, j;
    for (i = 1; i <= blocks; i++) {
        ssde_node h = x;
        for (j = 1; j <= 2; j++) {
            snprintf(part, sizeof part, "%d_%d_norm", i, j);
            h = ssdei_refinenet_enter(r, h, r->desc->nonlinearity, block, part);
            snprintf(part, sizeof part, "%d_%d_conv", i, j);
            h = ssdei_refinenet_conv(r, h, channels, 3, 1, 0, j == 2 ? x : -1, ssdei_refinenet_name(r, block, part));
        }
        x = h;
    }
    return x;
}

/* MSFBlock and CondMSFBlock of two inputs, of which x has the result's size. */
static ssde_node ssdei_refinenet_msf(ssdei_refinenet *r, ssde_node x, ssde_node below, size_t channels,
                                     const char *block) {
    ssde_net *net = r->net;
    size_t first = net->parameter_count, norms, height, width;
    if (!ssdei_is_node(net, x) || !ssdei_is_node(net, below)) return -1;
    height = net->nodes[x].shape[0];
    width = net->nodes[x].shape[1];
    x = ssdei_refinenet_enter(r, x, SSDE_IDENTITY, block, "norms.0");
    below = ssdei_refinenet_enter(r, below, SSDE_IDENTITY, block, "norms.1");
    norms = net->parameter_count - first;
    below = ssdei_refinenet_conv(r, below, channels, 3, 1, 1, -1, ssdei_refinenet_name(r, block, "convs.1"));
    if (ssdei_is_node(net, below) && (net->nodes[below].shape[0] != height || net->nodes[below].shape[1] != width))
        below = ssde_resize_bilinear(net, below, height, width);
    x = ssdei_refinenet_conv(r, x, channels, 3, 1, 1, below, ssdei_refinenet_name(r, block, "convs.0"));
    ssdei_net_move_last(net, first + norms, 2); /* the convolution that ran first */
    ssdei_net_move_last(net, first, norms);
    return x;
}

/* CRPBlock and CondCRPBlock of two stages. */
static ssde_node ssdei_refinenet_crp(ssdei_refinenet *r, ssde_node x, const char *block) {
    ssde_net *net = r->net;
    const ssde_pool_kind pool = r->label >= 0 ? SSDE_POOL_MEAN : SSDE_POOL_MAX;
    size_t first = net->parameter_count, norm, channels = ssdei_refinenet_channels(r, x);
    ssde_node path = x = ssde_activate(net, x, r->desc->nonlinearity);
    path = ssdei_refinenet_enter(r, path, SSDE_IDENTITY, block, "norms.0");
    norm = net->parameter_count - first;
    path = ssdei_refinenet_conv(r, ssde_pool(net, path, pool, 5), channels, 3, 1, 0, -1,
                                ssdei_refinenet_name(r, block, "convs.0"));
    x = ssde_add_scaled(net, path, x, 1.0);
    path = ssdei_refinenet_enter(r, path, SSDE_IDENTITY, block, "norms.1");
    x = ssdei_refinenet_conv(r, ssde_pool(net, path, pool, 5), channels, 3, 1, 0, x,
                             ssdei_refinenet_name(r, block, "convs.1"));
    if (!norm) return x;
    ssdei_net_move_last(net, first, 1);
    ssdei_net_move_last(net, first + 1, 1);
    return x;
}

/* RefineBlock and CondRefineBlock: of a stage's result x and what is below it, -1 at the deepest. */
static ssde_node ssdei_refinenet_refine(ssdei_refinenet *r, ssde_node x, ssde_node below, const ssdei_stage *stage,
                                        int end) {
    ssde_net *net = r->net;
    char block[48];
    size_t first, middle;
    snprintf(block, sizeof block, "%s.adapt_convs.0", stage->refine);
    x = ssdei_refinenet_rcu(r, x, 2, block);
    if (below >= 0) {
        snprintf(block, sizeof block, "%s.adapt_convs.1", stage->refine);
        below = ssdei_refinenet_rcu(r, below, 2, block);
    }
    first = net->parameter_count;
    snprintf(block, sizeof block, "%s.msf", stage->refine);
    if (below >= 0) x = ssdei_refinenet_msf(r, x, below, stage->refined * r->desc->nf, block);
    snprintf(block, sizeof block, "%s.crp", stage->refine);
    x = ssdei_refinenet_crp(r, x, block);
    middle = net->parameter_count - first;
    snprintf(block, sizeof block, "%s.output_convs", stage->refine);
    x = ssdei_refinenet_rcu(r, x, end ? 3 : 1, block);
    ssdei_net_move_last(net, first, middle);
    return x;
}

/* Down the stages and up again. */
static ssde_node ssdei_refinenet_stages(ssdei_refinenet *r, ssde_node x) {
    const ssdei_stage *stages = ssdei_stages[r->desc->name];
    ssde_node layers[SSDEI_MOST_STAGES], h = -1;
    size_t late = 0, late_count = 0;
    int count, i;
    for (count = 0; stages[count].residual; count++) {
        int k;
        for (k = 0; k < 2; k++) {
            char block[16];
            snprintf(block, sizeof block, "%s.%d", stages[count].residual, k);
            x = ssdei_refinenet_residual(r, x, &stages[count], !k && count, block);
        }
        layers[count] = x;
    }
    for (i = count - 1; i >= 0; i--) {
        size_t first = r->net->parameter_count;
        h = ssdei_refinenet_refine(r, layers[i], h, &stages[i], !i);
        if (late_count) ssdei_net_move_last(r->net, late, late_count);
        late = first;
        late_count = stages[i].late ? r->net->parameter_count - first : 0;
    }
    return h;
}

static ssde_status ssdei_refinenet_check_levels(const ssde_refinenet_desc *desc) {
    ssde_context *context = desc->context;
    if (desc->num_scales < 2 || desc->num_scales > 1 << 20)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "num_scales is %d, wanted 2 to 2^20", desc->num_scales);
    if (desc->sigma_min >= 1e-30 && desc->sigma_min < desc->sigma_max && desc->sigma_max <= 1e30) return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                     "sigma_min is %.9g and sigma_max %.9g, wanted 1e-30 <= sigma_min < sigma_max <= 1e30",
                     desc->sigma_min, desc->sigma_max);
}

static ssde_status ssdei_refinenet_check(const ssde_refinenet_desc *desc) {
    ssde_context *context = desc->context;
    const ssdei_stage *stage;
    size_t unit = 1;
    ssdei_try(ssdei_check_enum(context, "name", (int)desc->name, SSDE_NCSNV2_256, "ssde_refinenet_name"));
    ssdei_try(ssdei_check_enum(context, "normalization", (int)desc->normalization, SSDE_NORMALIZE_NONE,
                               "ssde_normalization"));
    if (desc->nonlinearity != SSDE_ELU && desc->nonlinearity != SSDE_RELU && desc->nonlinearity != SSDE_LEAKY_RELU &&
        desc->nonlinearity != SSDE_SILU)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                         "nonlinearity is %d, wanted SSDE_ELU, SSDE_RELU, SSDE_LEAKY_RELU or SSDE_SILU",
                         (int)desc->nonlinearity);
    if (desc->name == SSDE_NCSN && desc->normalization != SSDE_NORMALIZE_INSTANCE_PLUS)
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED,
                         "normalization is %d, but NCSN learns of the noise by its norms, which are conditional "
                         "InstanceNorm++: wanted SSDE_NORMALIZE_INSTANCE_PLUS",
                         (int)desc->normalization);
    for (stage = ssdei_stages[desc->name]; stage->residual; stage++) unit <<= stage->halves;
    if (!desc->height || !desc->width || !desc->channels || desc->height > 1 << 15 || desc->width > 1 << 15 ||
        desc->channels > 1 << 12)
        return ssde_fail(context, SSDE_ERROR_SHAPE,
                         "height is %.0f, width %.0f and channels %.0f, wanted 1 to 32768, 1 to 32768, 1 to 4096",
                         (double)desc->height, (double)desc->width, (double)desc->channels);
    if (desc->height % unit || desc->width % unit)
        return ssde_fail(context, SSDE_ERROR_SHAPE, "%s is %.0f, wanted a multiple of %.0f: %s halves it so often",
                         desc->height % unit ? "height" : "width",
                         (double)(desc->height % unit ? desc->height : desc->width), (double)unit,
                         ssdei_refinenet_names[desc->name]);
    if (desc->nf < (desc->normalization == SSDE_NORMALIZE_INSTANCE_PLUS ? 2u : 1u) || desc->nf > 1 << 12)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                         "nf is %.0f, wanted 1 to 4096, with InstanceNorm++, which compares channels, 2 to 4096",
                         (double)desc->nf);
    return ssdei_refinenet_check_levels(desc);
}

/* All but the weights. */
static ssde_status ssdei_refinenet_build(ssde_net **net, const ssde_refinenet_desc *wanted) {
    ssde_refinenet_desc built;
    ssdei_refinenet r;
    ssde_node h;
    size_t first, count;
    double eps;
    *net = NULL;
    if (!wanted) return SSDE_ERROR_ARGUMENT;
    ssdei_try(ssdei_refinenet_check(wanted));
    ssdei_try(ssde_net_create(wanted->context, net, wanted->seed));
    built = *wanted;
    memset(&r, 0, sizeof r);
    r.net = *net;
    r.desc = &built;
    h = ssde_input(*net, built.height, built.width, built.channels);
    r.label = built.name == SSDE_NCSN ? ssde_input_label(*net) : -1;
    if (!built.centered) h = ssde_affine_map(*net, h, 2.0, -1.0);
    h = ssdei_refinenet_conv(&r, h, built.nf, 3, 1, 1, -1, "begin_conv");
    first = (*net)->parameter_count;
    h = ssdei_refinenet_stages(&r, h);
    count = (*net)->parameter_count - first;
    eps = built.normalization == SSDE_NORMALIZE_INSTANCE ? (double)built.num_scales : 1e-5;
    h = ssdei_refinenet_norm(&r, h, built.nonlinearity, eps, "normalizer");
    h = ssdei_refinenet_conv(&r, h, built.channels, 3, 1, 1, -1, "end_conv");
    ssdei_net_move_last(*net, first, count);
    if (built.name != SSDE_NCSN) h = ssde_scale_rows(*net, h, ssde_input_sigma(*net), SSDE_OVER_SIGMA);
    (*net)->levels.count = built.num_scales;
    (*net)->levels.sigma_min = built.sigma_min;
    (*net)->levels.sigma_max = built.sigma_max;
    (*net)->means.discrete = 1;
    (*net)->means.output = SSDE_PREDICT_SCORE;
    return ssdei_refinenet_describe(*net, h, &built);
}

ssde_status ssde_refinenet_create(ssde_net **net, const ssde_refinenet_desc *desc) {
    if (!net) return ssde_fail(desc ? desc->context : NULL, SSDE_ERROR_ARGUMENT, "net is NULL");
    return ssdei_net_complete(net, ssdei_refinenet_build(net, desc));
}

size_t ssde_refinenet_memory(const ssde_refinenet_desc *desc) {
    ssde_net *net;
    return ssdei_net_measure(&net, ssdei_refinenet_build(&net, desc));
}

/* ---- networks: UNet2DModel (models/unets/unet_2d.py, unet_2d_blocks.py, models/resnet.py of diffusers) ---- */

ssde_unet2d_desc ssde_unet2d(size_t height, size_t width, size_t channels) {
    static const size_t widths[6] = {128, 128, 256, 256, 512, 512};
    ssde_unet2d_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.height = height;
    desc.width = width;
    desc.in_channels = desc.out_channels = channels;
    for (desc.num_levels = 0; desc.num_levels < 6; desc.num_levels++) {
        size_t unit = (size_t)1 << desc.num_levels;
        if (desc.num_levels && (height % unit || width % unit)) break;
        desc.block_out_channels[desc.num_levels] = widths[desc.num_levels];
    }
    if (desc.num_levels > 1) desc.down[desc.num_levels - 2].attention = desc.up[desc.num_levels - 2].attention = 1;
    desc.layers_per_block = 2;
    desc.downsample_padding = 1;
    desc.act_fn = SSDE_SILU;
    desc.norm_num_groups = 32;
    desc.norm_eps = 1e-5;
    desc.attention_head_dim = 8;
    desc.mid_block_scale_factor = 1.0;
    desc.flip_sin_to_cos = 1;
    return desc;
}

/* What building carries along. */
typedef struct ssdei_unet2d {
    ssde_net *net;
    const ssde_unet2d_desc *desc;
    ssde_node embedding; /* the activation applied */
    size_t heads;        /* num_heads on this way */
    char block[48];      /* "down_blocks.0", before each part's name */
    char name[96];
} ssdei_unet2d;

/* A block's own numbers. */
typedef struct ssdei_unet2d_style {
    size_t groups, groups_out; /* of its norms */
    double factor;             /* that sums are divided by */
    int skip;                  /* resampling with FIR, and a 1x1 convolution on the way around it */
} ssdei_unet2d_style;

/* BLOCK.PART%d.REST, in a buffer that the next call overwrites. */
static const char *ssdei_unet2d_name(ssdei_unet2d *unet, const char *part, int number, const char *rest) {
    if (number < 0)
        snprintf(unet->name, sizeof unet->name, "%s%s%s", unet->block, part, rest);
    else
        snprintf(unet->name, sizeof unet->name, "%s%s.%d%s", unet->block, part, number, rest);
    return unet->name;
}

static size_t ssdei_unet2d_channels(const ssdei_unet2d *unet, ssde_node node) {
    return ssdei_is_node(unet->net, node) ? unet->net->nodes[node].shape[2] : 4;
}

static size_t ssdei_quarter_groups(size_t channels) { return ssdei_least(channels / 4, 32); }

static ssdei_unet2d_style ssdei_unet2d_style_of(const ssdei_unet2d *unet, ssde_node x, size_t channels, int skip) {
    const size_t groups = skip ? 0 : unet->desc->norm_num_groups;
    ssdei_unet2d_style style;
    style.groups = groups ? groups : ssdei_quarter_groups(ssdei_unet2d_channels(unet, x));
    style.groups_out = groups ? groups : ssdei_quarter_groups(channels);
    style.factor = skip ? sqrt(2.0) : 1.0;
    style.skip = skip;
    return style;
}

static ssde_node ssdei_unet2d_norm(ssdei_unet2d *unet, ssde_node x, size_t groups, ssde_activation activation,
                                   const char *name) {
    return ssde_group_norm(unet->net, x, groups, unet->desc->norm_eps, activation, name);
}

/* By 2, up or down, without parameters. */
static ssde_node ssdei_unet2d_resample(ssdei_unet2d *unet, ssde_node x, int direction, int fir) {
    static const double kernel[4] = {1.0, 3.0, 3.0, 1.0};
    if (direction > 0) return fir ? ssde_fir(unet->net, x, 2, 1, 2, 1, kernel, 4) : ssde_upsample_nearest(unet->net, x);
    return fir ? ssde_fir(unet->net, x, 1, 2, 1, 1, kernel, 4) : ssde_average_pool(unet->net, x);
}

/* ResnetBlock2D under BLOCK.PART.NUMBER; number -1: BLOCK.PART. direction: 0, +1 up, -1 down. */
static ssde_node ssdei_unet2d_resnet(ssdei_unet2d *unet, ssde_node x, size_t channels, const ssdei_unet2d_style *style,
                                     int direction, const char *part, int number) {
    ssde_net *net = unet->net;
    const ssde_unet2d_desc *desc = unet->desc;
    const int modulated = desc->scale_shift,
              shortcut = (direction && style->skip) || ssdei_unet2d_channels(unet, x) != channels;
    ssde_conv_desc conv = ssde_conv(channels, 3);
    ssde_node h, dense;
    int parameters;
    h = ssdei_unet2d_norm(unet, x, style->groups, desc->act_fn, ssdei_unet2d_name(unet, part, number, ".norm1"));
    if (direction) {
        h = ssdei_unet2d_resample(unet, h, direction, style->skip);
        x = ssdei_unet2d_resample(unet, x, direction, style->skip);
    }
    parameters = ssdei_product_parameters(net, h, channels, 1.0, ssdei_unet2d_name(unet, part, number, ".conv1"),
                                          SSDEI_LAYOUT_LINEAR, 3, 0);
    dense = ssde_linear(net, unet->embedding, modulated ? 2 * channels : channels, 1.0,
                        ssdei_unet2d_name(unet, part, number, ".time_emb_proj"));
    if (!modulated) conv.residual = dense;
    h = ssdei_product_node(net, h, &conv, parameters);
    h = ssdei_unet2d_norm(unet, h, style->groups_out, modulated ? SSDE_IDENTITY : desc->act_fn,
                          ssdei_unet2d_name(unet, part, number, ".norm2"));
    if (modulated) h = ssde_activate(net, ssde_modulate(net, h, dense), desc->act_fn);
    h = ssde_dropout(net, h, desc->dropout);
    conv.init_scale = 0.0;
    conv.residual = shortcut ? -1 : x;
    conv.scale = shortcut ? 1.0 : 1.0 / style->factor;
    h = ssde_conv2d(net, h, &conv, ssdei_unet2d_name(unet, part, number, ".conv2"));
    if (!shortcut) return h;
    conv = ssde_conv(channels, 1);
    conv.residual = h;
    conv.scale = 1.0 / style->factor;
    return ssde_conv2d(net, x, &conv, ssdei_unet2d_name(unet, part, number, ".conv_shortcut"));
}

/* Heads of attention over so many channels, and of how many channels each; 0 heads: impossible. */
static size_t ssdei_unet2d_heads(const ssde_unet2d_desc *desc, size_t heads, size_t channels, size_t *width) {
    if (!heads && !desc->attention_head_dim) heads = 1;
    *width = heads ? channels / heads : desc->attention_head_dim;
    return heads ? heads : channels / desc->attention_head_dim;
}

/* Attention under BLOCK.attentions.NUMBER; groups 0: without a norm. */
static ssde_node ssdei_unet2d_attention(ssdei_unet2d *unet, ssde_node x, size_t groups, double factor, int number) {
    static const char *const parts[3] = {".to_q", ".to_k", ".to_v"};
    const size_t channels = ssdei_unet2d_channels(unet, x);
    ssde_conv_desc out = ssde_conv(channels, 1);
    size_t width, heads = ssdei_unet2d_heads(unet->desc, unet->heads, channels, &width);
    ssde_node h = x, projected[3];
    int i;
    if (groups)
        h = ssdei_unet2d_norm(unet, x, groups, SSDE_IDENTITY,
                              ssdei_unet2d_name(unet, ".attentions", number, ".group_norm"));
    for (i = 0; i < 3; i++)
        projected[i] =
            ssde_linear(unet->net, h, heads * width, 1.0, ssdei_unet2d_name(unet, ".attentions", number, parts[i]));
    h = ssde_attention(unet->net, projected[0], projected[1], projected[2], heads);
    out.residual = x;
    out.scale = 1.0 / factor;
    return ssdei_product_node(unet->net, h, &out,
                              ssdei_product_parameters(unet->net, h, channels, 0.0,
                                                       ssdei_unet2d_name(unet, ".attentions", number, ".to_out.0"),
                                                       SSDEI_LAYOUT_LINEAR, 0, 0));
}

/* BLOCK's way to the next level. */
static ssde_node ssdei_unet2d_sampler(ssdei_unet2d *unet, ssde_node h, const ssde_unet2d_blocks *blocks,
                                      int direction) {
    const char *part = direction > 0 ? ".upsamplers" : ".downsamplers";
    const size_t channels = ssdei_unet2d_channels(unet, h);
    const ssdei_unet2d_style style = ssdei_unet2d_style_of(unet, h, channels, blocks->skip);
    ssde_conv_desc conv = ssde_conv(channels, 3);
    if (blocks->skip)
        return ssdei_unet2d_resnet(unet, h, channels, &style, direction, direction > 0 ? ".resnet_up" : ".resnet_down",
                                   -1);
    if (blocks->resampling == SSDE_RESAMPLING_BLOCK)
        return ssdei_unet2d_resnet(unet, h, channels, &style, direction, part, 0);
    if (blocks->resampling == SSDE_RESAMPLING_PLAIN || direction > 0) h = ssdei_unet2d_resample(unet, h, direction, 0);
    if (blocks->resampling == SSDE_RESAMPLING_PLAIN) return h;
    if (direction < 0) conv.stride = 2, conv.pad_before = unet->desc->downsample_padding;
    return ssde_conv2d(unet->net, h, &conv, ssdei_unet2d_name(unet, part, 0, ".conv"));
}

/* From the input to the lowest level; every skip connection goes to skips[*count]. */
static ssde_node ssdei_unet2d_down(ssdei_unet2d *unet, ssde_node x, ssde_node *skips, int *count) {
    const ssde_unet2d_desc *desc = unet->desc;
    ssde_conv_desc conv = ssde_conv(desc->block_out_channels[0], 3), pyramid = ssde_conv(0, 1);
    ssde_node h = ssde_conv2d(unet->net, x, &conv, "conv_in");
    int level, layer;
    skips[(*count)++] = h;
    unet->heads = desc->num_heads;
    for (level = 0; level < desc->num_levels; level++) {
        const ssde_unet2d_blocks *blocks = &desc->down[level];
        snprintf(unet->block, sizeof unet->block, "down_blocks.%d", level);
        for (layer = 0; layer < desc->layers_per_block; layer++) {
            const size_t channels = desc->block_out_channels[level];
            const ssdei_unet2d_style style = ssdei_unet2d_style_of(unet, h, channels, blocks->skip);
            h = ssdei_unet2d_resnet(unet, h, channels, &style, 0, ".resnets", layer);
            if (blocks->attention)
                h = ssdei_unet2d_attention(unet, h, blocks->skip ? 32 : style.groups_out, style.factor, layer);
            skips[(*count)++] = h;
        }
        if (level == desc->num_levels - 1) break;
        h = ssdei_unet2d_sampler(unet, h, blocks, -1);
        if (blocks->skip) {
            x = ssdei_unet2d_resample(unet, x, -1, 1);
            pyramid.channels = ssdei_unet2d_channels(unet, h);
            pyramid.residual = h;
            h = ssde_conv2d(unet->net, x, &pyramid, ssdei_unet2d_name(unet, ".skip_conv", -1, ""));
        }
        skips[(*count)++] = h;
    }
    return h;
}

static ssde_node ssdei_unet2d_middle(ssdei_unet2d *unet, ssde_node h) {
    const ssde_unet2d_desc *desc = unet->desc;
    const size_t channels = ssdei_unet2d_channels(unet, h);
    ssdei_unet2d_style style = ssdei_unet2d_style_of(unet, h, channels, 0);
    size_t groups = desc->attn_norm_num_groups;
    style.factor = desc->mid_block_scale_factor;
    if (!groups && !desc->scale_shift) groups = style.groups;
    snprintf(unet->block, sizeof unet->block, "mid_block");
    h = ssdei_unet2d_resnet(unet, h, channels, &style, 0, ".resnets", 0);
    if (!desc->no_mid_attention) h = ssdei_unet2d_attention(unet, h, groups, style.factor, 0);
    return ssdei_unet2d_resnet(unet, h, channels, &style, 0, ".resnets", 1);
}

/* A skip block's share of the output, added to that of the levels below it. */
static ssde_node ssdei_unet2d_pyramid(ssdei_unet2d *unet, ssde_node h, ssde_node pyramid) {
    ssde_conv_desc conv = ssde_conv(unet->desc->out_channels, 3);
    conv.residual = pyramid;
    h = ssdei_unet2d_norm(unet, h, ssdei_quarter_groups(ssdei_unet2d_channels(unet, h)), SSDE_SILU,
                          ssdei_unet2d_name(unet, ".skip_norm", -1, ""));
    return ssde_conv2d(unet->net, h, &conv, ssdei_unet2d_name(unet, ".skip_conv", -1, ""));
}

/* Back to the output, norm, SiLU and convolution, to which the skip blocks' pyramid is added. */
static ssde_node ssdei_unet2d_up(ssdei_unet2d *unet, ssde_node h, const ssde_node *skips, int count) {
    const ssde_unet2d_desc *desc = unet->desc;
    ssde_conv_desc conv = ssde_conv(desc->out_channels, 3);
    ssde_node pyramid = -1;
    int level, layer;
    if (desc->num_heads_up) unet->heads = desc->num_heads_up;
    for (level = desc->num_levels - 1; level >= 0; level--) {
        const ssde_unet2d_blocks *blocks = &desc->up[level];
        const size_t channels = desc->block_out_channels[level];
        snprintf(unet->block, sizeof unet->block, "up_blocks.%d", desc->num_levels - 1 - level);
        for (layer = 0; layer <= desc->layers_per_block; layer++) {
            const ssde_node skip = skips[--count];
            const size_t below = ssdei_unet2d_channels(unet, h), beside = ssdei_unet2d_channels(unet, skip);
            ssdei_unet2d_style style;
            h = ssde_concat(unet->net, h, skip);
            style = ssdei_unet2d_style_of(unet, h, channels, blocks->skip);
            if (blocks->skip && blocks->attention) style.groups = ssdei_least(below + beside / 4, 32); /* as there */
            h = ssdei_unet2d_resnet(unet, h, channels, &style, 0, ".resnets", layer);
            if (blocks->attention && !blocks->skip)
                h = ssdei_unet2d_attention(unet, h, style.groups_out, style.factor, layer);
        }
        if (blocks->attention && blocks->skip) h = ssdei_unet2d_attention(unet, h, 32, sqrt(2.0), 0);
        if (blocks->skip && pyramid >= 0) pyramid = ssdei_unet2d_resample(unet, pyramid, 1, 1);
        if (!level) break;
        if (blocks->skip) pyramid = ssdei_unet2d_pyramid(unet, h, pyramid);
        h = ssdei_unet2d_sampler(unet, h, blocks, 1);
    }
    conv.init_scale = 0.0;
    conv.residual = pyramid;
    h = ssdei_unet2d_norm(unet, h, ssdei_unet2d_style_of(unet, h, 0, 0).groups, SSDE_SILU, "conv_norm_out");
    return ssde_conv2d(unet->net, h, &conv, "conv_out");
}

/* TimestepEmbedding: two dense layers. */
static ssde_node ssdei_unet2d_dense(ssdei_unet2d *unet, ssde_node h, size_t dim, const char *name) {
    snprintf(unet->block, sizeof unet->block, "%s", name);
    h = ssde_linear(unet->net, h, dim, 1.0, ssdei_unet2d_name(unet, ".linear_1", -1, ""));
    h = ssde_activate(unet->net, h, SSDE_SILU);
    return ssde_linear(unet->net, h, dim, 1.0, ssdei_unet2d_name(unet, ".linear_2", -1, ""));
}

/* Of a label or of a class's number; both by the same parameter, if any. */
static ssde_node ssdei_unet2d_projection(ssdei_unet2d *unet, ssde_node number, size_t width, int parameter) {
    const ssde_unet2d_desc *desc = unet->desc;
    if (desc->time_embedding_type == SSDE_UNET2D_POSITIONAL)
        return ssde_positional_embedding(unet->net, number, width, desc->freq_shift, desc->flip_sin_to_cos);
    if (desc->time_embedding_type == SSDE_UNET2D_FOURIER)
        return ssdei_fourier_node(unet->net, number, width, parameter);
    if (!ssdei_table_rows(unet->net, "table_embedding", number, desc->num_train_timesteps, width, 0)) return -1;
    return ssdei_table_node(unet->net, number, width, parameter);
}

/* The label's and the class's embedding, with the activation as every block has it. */
static ssde_node ssdei_unet2d_embedding(ssdei_unet2d *unet) {
    const ssde_unet2d_desc *desc = unet->desc;
    ssde_net *net = unet->net;
    const size_t width = desc->time_width ? desc->time_width : desc->block_out_channels[0];
    const size_t dim = desc->time_embedding_dim ? desc->time_embedding_dim : 4 * width;
    ssde_node label = ssde_input_label(net), h, own = -1;
    int parameter = -1;
    if (desc->time_embedding_type == SSDE_UNET2D_FOURIER)
        parameter = ssdei_net_add_parameter(net, "time_proj", "weight", SSDEI_LAYOUT_PLAIN, 0, width, 0,
                                            SSDEI_INITIALISE_NORMAL, 16.0);
    if (desc->time_embedding_type == SSDE_UNET2D_LEARNED)
        parameter = ssdei_table_parameter(net, desc->num_train_timesteps, width, "time_proj");
    h = ssdei_unet2d_dense(unet, ssdei_unet2d_projection(unet, label, width, parameter), dim, "time_embedding");
    if (desc->class_embed_type == SSDE_UNET2D_CLASS_TABLE)
        own = ssde_table_embedding(net, ssde_input_class(net), desc->num_class_embeds, dim, "class_embedding");
    if (desc->class_embed_type == SSDE_UNET2D_CLASS_TIMESTEP) {
        own = ssdei_unet2d_projection(unet, ssde_input_class(net), width, parameter);
        own = ssdei_unet2d_dense(unet, own, dim, "class_embedding");
    }
    if (desc->class_embed_type == SSDE_UNET2D_CLASS_VECTOR) own = ssde_input_vector(net, dim);
    if (desc->class_embed_type) h = ssde_add_scaled(net, h, own, 1.0);
    return ssde_activate(net, h, desc->act_fn);
}

static ssde_status ssdei_unet2d_check_enums(const ssde_unet2d_desc *desc) {
    ssde_context *context = desc->context;
    int i;
    ssdei_try(ssdei_check_enum(context, "time_embedding_type", (int)desc->time_embedding_type, SSDE_UNET2D_LEARNED,
                               "ssde_unet2d_time"));
    ssdei_try(ssdei_check_enum(context, "class_embed_type", (int)desc->class_embed_type, SSDE_UNET2D_CLASS_VECTOR,
                               "ssde_unet2d_classes"));
    for (i = 0; i < desc->num_levels; i++) {
        ssdei_try(ssdei_check_enum(context, "down.resampling", (int)desc->down[i].resampling, SSDE_RESAMPLING_PLAIN,
                                   "ssde_unet2d_resampling"));
        ssdei_try(ssdei_check_enum(context, "up.resampling", (int)desc->up[i].resampling, SSDE_RESAMPLING_PLAIN,
                                   "ssde_unet2d_resampling"));
    }
    if (desc->act_fn == SSDE_SILU || desc->act_fn == SSDE_MISH || desc->act_fn == SSDE_GELU ||
        desc->act_fn == SSDE_RELU)
        return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_ARGUMENT, "act_fn is %d, wanted SSDE_SILU, SSDE_MISH, SSDE_GELU or SSDE_RELU",
                     (int)desc->act_fn);
}

/* Each of the numbers with its range; those that may be 0 have a meaning there. */
static ssde_status ssdei_unet2d_check_numbers(const ssde_unet2d_desc *desc) {
    const double learned = desc->time_embedding_type == SSDE_UNET2D_LEARNED ? 1.0 : 0.0;
    const double table = desc->class_embed_type == SSDE_UNET2D_CLASS_TABLE ? 1.0 : 0.0;
    const struct {
        const char *name;
        double value, least, most;
    } numbers[] = {
        {"height", (double)desc->height, 1, 32768},
        {"width", (double)desc->width, 1, 32768},
        {"in_channels", (double)desc->in_channels, 1, 4096},
        {"out_channels", (double)desc->out_channels, 1, 4096},
        {"layers_per_block", (double)desc->layers_per_block, 1, (double)((SSDEI_MAX_SKIPS - 1) / desc->num_levels - 1)},
        {"downsample_padding", (double)desc->downsample_padding, 0, 1},
        {"norm_num_groups", (double)desc->norm_num_groups, 0, 65536},
        {"attn_norm_num_groups", (double)desc->attn_norm_num_groups, 0, 65536},
        {"attention_head_dim", (double)desc->attention_head_dim, 0, 65536},
        {"num_heads", (double)desc->num_heads, 0, 65536},
        {"num_heads_up", (double)desc->num_heads_up, 0, 65536},
        {"time_width", (double)desc->time_width, 0, 65536},
        {"time_embedding_dim", (double)desc->time_embedding_dim, 0, 65536},
        {"num_train_timesteps", (double)desc->num_train_timesteps, learned, 1 << 24},
        {"num_class_embeds", (double)desc->num_class_embeds, table, 1 << 24}};
    size_t i;
    for (i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!ssdei_in_range(numbers[i].value, numbers[i].least, numbers[i].most))
            return ssde_fail(desc->context, SSDE_ERROR_ARGUMENT, "%s is %.0f, wanted %.0f to %.0f", numbers[i].name,
                             numbers[i].value, numbers[i].least, numbers[i].most);
    for (i = 0; i < (size_t)desc->num_levels; i++)
        if (!desc->block_out_channels[i] || desc->block_out_channels[i] > 65536)
            return ssde_fail(desc->context, SSDE_ERROR_ARGUMENT, "block_out_channels[%d] is %.0f, wanted 1 to 65536",
                             (int)i, (double)desc->block_out_channels[i]);
    if (!(desc->dropout >= 0.0 && desc->dropout < 1.0))
        return ssde_fail(desc->context, SSDE_ERROR_ARGUMENT, "dropout is %.9g, wanted 0 to below 1", desc->dropout);
    if (ssdei_in_range(desc->mid_block_scale_factor, 1e-6, 1e6)) return SSDE_OK;
    return ssde_fail(desc->context, SSDE_ERROR_ARGUMENT, "mid_block_scale_factor is %.9g, wanted 1e-6 to 1e6",
                     desc->mid_block_scale_factor);
}

/* Attention over a level's channels, on a way with so many heads. */
static ssde_status ssdei_unet2d_check_heads(const ssde_unet2d_desc *desc, size_t heads, int level) {
    const size_t channels = desc->block_out_channels[level];
    size_t width;
    if (heads && channels % heads)
        return ssde_fail(desc->context, SSDE_ERROR_SHAPE, "num_heads is %.0f, wanted a divisor of %.0f channels",
                         (double)heads, (double)channels);
    if (ssdei_unet2d_heads(desc, heads, channels, &width)) return SSDE_OK;
    return ssde_fail(desc->context, SSDE_ERROR_SHAPE, "attention_head_dim is %.0f, wanted at most %.0f channels",
                     (double)desc->attention_head_dim, (double)channels);
}

static ssde_status ssdei_unet2d_check_levels(const ssde_unet2d_desc *desc) {
    const size_t heads_up = desc->num_heads_up ? desc->num_heads_up : desc->num_heads;
    const int last = desc->num_levels - 1;
    int i;
    for (i = 0; i <= last; i++) {
        if (desc->down[i].attention || (i == last && !desc->no_mid_block && !desc->no_mid_attention))
            ssdei_try(ssdei_unet2d_check_heads(desc, desc->num_heads, i));
        if (desc->up[i].attention) ssdei_try(ssdei_unet2d_check_heads(desc, heads_up, i));
        if (i && i < last && desc->down[i].skip && !desc->down[i - 1].skip)
            return ssde_fail(desc->context, SSDE_ERROR_UNSUPPORTED,
                             "down[%d] has skip blocks and down[%d] has not: the input's pyramid would be too large", i,
                             i - 1);
        if (i && desc->up[i].skip && !desc->up[i - 1].skip)
            return ssde_fail(desc->context, SSDE_ERROR_UNSUPPORTED,
                             "up[%d] has skip blocks and up[%d] has not: the output's pyramid would be too small", i,
                             i - 1);
    }
    return SSDE_OK;
}

static ssde_status ssdei_unet2d_check(const ssde_unet2d_desc *desc) {
    size_t unit;
    if (desc->num_levels < 1 || desc->num_levels > SSDE_MAX_LEVELS)
        return ssde_fail(desc->context, SSDE_ERROR_ARGUMENT, "num_levels is %d, wanted 1 to %d", desc->num_levels,
                         SSDE_MAX_LEVELS);
    ssdei_try(ssdei_unet2d_check_enums(desc));
    ssdei_try(ssdei_unet2d_check_numbers(desc));
    unit = (size_t)1 << (desc->num_levels - 1);
    if (desc->height % unit || desc->width % unit)
        return ssde_fail(desc->context, SSDE_ERROR_SHAPE,
                         "height is %.0f and width %.0f, wanted multiples of %.0f for num_levels = %d",
                         (double)desc->height, (double)desc->width, (double)unit, desc->num_levels);
    return ssdei_unet2d_check_levels(desc);
}

/* From the input to the end of the middle. */
static ssde_status ssdei_unet2d_begin(ssdei_unet2d *unet, const ssde_unet2d_desc *desc, ssde_net **net,
                                      ssde_node *skips, int *count, ssde_node *middle) {
    ssde_node x;
    ssdei_try(ssdei_unet2d_check(desc));
    ssdei_try(ssde_net_create(desc->context, net, desc->seed));
    memset(unet, 0, sizeof *unet);
    unet->net = *net;
    unet->desc = desc;
    x = ssde_input(*net, desc->height, desc->width, desc->in_channels);
    unet->embedding = ssdei_unet2d_embedding(unet);
    if (desc->center_input_sample) x = ssde_affine_map(*net, x, 2.0, -1.0);
    *middle = ssdei_unet2d_down(unet, x, skips, count);
    if (!desc->no_mid_block) *middle = ssdei_unet2d_middle(unet, *middle);
    return SSDE_OK;
}

/* As ssdei_net_describe. */
static ssde_status ssdei_unet2d_describe(ssde_net *net, ssde_node output, const ssde_unet2d_desc *desc);

/* All but the weights. */
static ssde_status ssdei_unet2d_build(ssde_net **net, const ssde_unet2d_desc *desc) {
    ssdei_unet2d unet;
    ssde_node h = -1, skips[SSDEI_MAX_SKIPS];
    int count = 0;
    *net = NULL;
    if (!desc) return SSDE_ERROR_ARGUMENT;
    ssdei_try(ssdei_unet2d_begin(&unet, desc, net, skips, &count, &h));
    h = ssdei_unet2d_up(&unet, h, skips, count);
    if (desc->time_embedding_type == SSDE_UNET2D_FOURIER)
        h = ssde_scale_rows(*net, h, ssde_input_label(*net), SSDE_OVER_SIGMA);
    return ssdei_unet2d_describe(*net, h, desc);
}

ssde_status ssde_unet2d_create(ssde_net **net, const ssde_unet2d_desc *desc) {
    if (!net) return ssde_fail(desc ? desc->context : NULL, SSDE_ERROR_ARGUMENT, "net is NULL");
    return ssdei_net_complete(net, ssdei_unet2d_build(net, desc));
}

size_t ssde_unet2d_memory(const ssde_unet2d_desc *desc) {
    ssde_net *net;
    return ssdei_net_measure(&net, ssdei_unet2d_build(&net, desc));
}

/* ---- networks: OpenAI's ---- */

enum {
    SSDEI_OPENAI_CLASSES = 1,
    SSDEI_OPENAI_VARIANCE = 2,
    SSDEI_OPENAI_SCALE_SHIFT = 4,
    SSDEI_OPENAI_UPDOWN = 8,
    SSDEI_OPENAI_NEW_ORDER = 16,
    SSDEI_OPENAI_COSINE = 32,
    SSDEI_OPENAI_RESCALED = 64,
    SSDEI_OPENAI_SUPER_RES = 128,
    SSDEI_OPENAI_CLASSIFIER = 256,
    SSDEI_OPENAI_IMPROVED = SSDEI_OPENAI_VARIANCE | SSDEI_OPENAI_SCALE_SHIFT,
    SSDEI_OPENAI_GUIDED = SSDEI_OPENAI_IMPROVED | SSDEI_OPENAI_UPDOWN,
    SSDEI_OPENAI_JUDGE = SSDEI_OPENAI_SCALE_SHIFT | SSDEI_OPENAI_UPDOWN | SSDEI_OPENAI_CLASSIFIER,
    SSDEI_OPENAI_4000 = SSDEI_OPENAI_IMPROVED | SSDEI_OPENAI_COSINE | SSDEI_OPENAI_RESCALED
};

/* The flags in both READMEs; attention at `attention` and the `attentions` - 1 next smaller sizes. */
static const struct ssdei_openai_model {
    const char *name;
    unsigned short size, width, blocks, heads, head_channels, attention, attentions, steps, dropout; /* in percent */
    int flags;
} ssdei_openai_models[] = {
    {"64x64_diffusion", 64, 192, 3, 0, 64, 32, 3, 1000, 10,
     SSDEI_OPENAI_GUIDED | SSDEI_OPENAI_CLASSES | SSDEI_OPENAI_COSINE | SSDEI_OPENAI_NEW_ORDER},
    {"128x128_diffusion", 128, 256, 2, 4, 0, 32, 3, 1000, 0, SSDEI_OPENAI_GUIDED | SSDEI_OPENAI_CLASSES},
    {"256x256_diffusion", 256, 256, 2, 0, 64, 32, 3, 1000, 0, SSDEI_OPENAI_GUIDED | SSDEI_OPENAI_CLASSES},
    {"256x256_diffusion_uncond", 256, 256, 2, 0, 64, 32, 3, 1000, 0, SSDEI_OPENAI_GUIDED},
    {"512x512_diffusion", 512, 256, 2, 0, 64, 32, 3, 1000, 0, SSDEI_OPENAI_GUIDED | SSDEI_OPENAI_CLASSES},
    {"64_256_upsampler", 256, 192, 2, 4, 0, 32, 3, 1000, 0,
     SSDEI_OPENAI_GUIDED | SSDEI_OPENAI_CLASSES | SSDEI_OPENAI_SUPER_RES},
    {"128_512_upsampler", 512, 192, 2, 0, 64, 32, 2, 1000, 0,
     SSDEI_OPENAI_GUIDED | SSDEI_OPENAI_CLASSES | SSDEI_OPENAI_SUPER_RES},
    {"lsun_bedroom", 256, 256, 2, 0, 64, 32, 3, 1000, 10, SSDEI_OPENAI_GUIDED},
    {"lsun_cat", 256, 256, 2, 0, 64, 32, 3, 1000, 10, SSDEI_OPENAI_GUIDED},
    {"lsun_horse", 256, 256, 2, 0, 64, 32, 3, 1000, 10, SSDEI_OPENAI_GUIDED},
    {"lsun_horse_nodropout", 256, 256, 2, 0, 64, 32, 3, 1000, 0, SSDEI_OPENAI_GUIDED},
    {"64x64_classifier", 64, 128, 4, 0, 64, 32, 3, 1000, 0, SSDEI_OPENAI_JUDGE | SSDEI_OPENAI_COSINE},
    {"128x128_classifier", 128, 128, 2, 0, 64, 32, 3, 1000, 0, SSDEI_OPENAI_JUDGE},
    {"256x256_classifier", 256, 128, 2, 0, 64, 32, 3, 1000, 0, SSDEI_OPENAI_JUDGE},
    {"512x512_classifier", 512, 128, 2, 0, 64, 32, 3, 1000, 0, SSDEI_OPENAI_JUDGE},
    {"imagenet64_uncond_100M_1500K", 64, 128, 3, 4, 0, 16, 2, 4000, 0, SSDEI_OPENAI_4000},
    {"imagenet64_uncond_vlb_100M_1500K", 64, 128, 3, 4, 0, 16, 2, 4000, 0, SSDEI_OPENAI_4000},
    {"cifar10_uncond_50M_500K", 32, 128, 3, 4, 0, 16, 2, 4000, 30, SSDEI_OPENAI_4000},
    {"cifar10_uncond_vlb_50M_500K", 32, 128, 3, 4, 0, 16, 2, 4000, 30, SSDEI_OPENAI_4000},
    {"imagenet64_cond_270M_250K", 64, 192, 3, 4, 0, 16, 2, 4000, 0,
     SSDEI_OPENAI_IMPROVED | SSDEI_OPENAI_CLASSES | SSDEI_OPENAI_COSINE},
    {"upsample_cond_500K", 256, 192, 2, 4, 0, 16, 2, 4000, 0,
     SSDEI_OPENAI_IMPROVED | SSDEI_OPENAI_CLASSES | SSDEI_OPENAI_SUPER_RES},
    {"lsun_uncond_100M_1200K_bs128", 256, 128, 2, 1, 0, 16, 1, 1000, 0, SSDEI_OPENAI_VARIANCE},
    {"lsun_uncond_100M_2400K_bs64", 256, 128, 2, 1, 0, 16, 1, 1000, 0, SSDEI_OPENAI_VARIANCE}};

enum { SSDEI_OPENAI_COUNT = sizeof ssdei_openai_models / sizeof *ssdei_openai_models };

static void ssdei_openai_fill(ssde_openai_desc *desc, const struct ssdei_openai_model *model) {
    const int flags = model->flags;
    memset(desc, 0, sizeof *desc);
    desc->image_size = model->size;
    desc->channels = 3;
    desc->num_channels = model->width;
    desc->num_res_blocks = model->blocks;
    desc->num_heads = model->heads;
    desc->num_head_channels = model->head_channels;
    for (; desc->num_attention_resolutions < model->attentions; desc->num_attention_resolutions++)
        desc->attention_resolutions[desc->num_attention_resolutions] =
            (size_t)model->attention >> desc->num_attention_resolutions;
    desc->use_new_attention_order = (flags & SSDEI_OPENAI_NEW_ORDER) != 0;
    desc->use_scale_shift_norm = (flags & SSDEI_OPENAI_SCALE_SHIFT) != 0;
    desc->resblock_updown = (flags & SSDEI_OPENAI_UPDOWN) != 0;
    desc->learn_sigma = (flags & SSDEI_OPENAI_VARIANCE) != 0;
    desc->super_res = (flags & SSDEI_OPENAI_SUPER_RES) != 0;
    desc->classes = flags & (SSDEI_OPENAI_CLASSES | SSDEI_OPENAI_CLASSIFIER) ? 1000 : 0;
    desc->dropout = model->dropout / 100.0;
    desc->classifier_pool = flags & SSDEI_OPENAI_CLASSIFIER ? "attention" : NULL;
    desc->diffusion_steps = model->steps;
    desc->noise_schedule = flags & SSDEI_OPENAI_COSINE ? SSDE_SCHEDULE_COSINE : SSDE_SCHEDULE_LINEAR;
    desc->rescale_timesteps = (flags & SSDEI_OPENAI_RESCALED) != 0;
}

ssde_openai_desc ssde_openai_defaults(size_t image_size) {
    static const struct ssdei_openai_model model = {"", 0, 128, 2, 4, 0, 16, 2, 1000, 0, SSDEI_OPENAI_SCALE_SHIFT};
    ssde_openai_desc desc;
    ssdei_openai_fill(&desc, &model);
    desc.image_size = image_size;
    return desc;
}

const char *ssde_openai_name(size_t index) {
    return index < SSDEI_OPENAI_COUNT ? ssdei_openai_models[index].name : NULL;
}

ssde_status ssde_openai_find(ssde_context *context, const char *name, ssde_openai_desc *desc) {
    size_t i = 0;
    if (!name || !desc)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "ssde_openai_find: %s is NULL", name ? "desc" : "name");
    while (i < SSDEI_OPENAI_COUNT && strcmp(name, ssdei_openai_models[i].name)) i++;
    if (i == SSDEI_OPENAI_COUNT)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "no published model '%.60s': see ssde_openai_name", name);
    ssdei_openai_fill(desc, &ssdei_openai_models[i]);
    desc->context = context;
    return SSDE_OK;
}

/* Widths of the levels over num_channels, as the scripts choose them; how many, 0 for other sizes. */
static int ssdei_openai_multipliers(const ssde_openai_desc *desc, double *multipliers) {
    static const struct {
        size_t size;
        int count;
        double at[7];
    } rows[] = {{512, 7, {0.5, 1, 1, 2, 2, 4, 4}},
                {256, 6, {1, 1, 2, 2, 4, 4, 0}},
                {128, 5, {1, 1, 2, 3, 4, 0, 0}},
                {64, 4, {1, 2, 3, 4, 0, 0, 0}},
                {32, 4, {1, 2, 2, 2, 0, 0, 0}}};
    const size_t size = desc->super_res && desc->image_size == 512 ? 256 : desc->image_size;
    size_t i;
    for (i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].size != size) continue;
        memcpy(multipliers, rows[i].at, sizeof rows[i].at);
        return rows[i].count;
    }
    return 0;
}

static ssde_status ssdei_openai_check(const ssde_openai_desc *desc) {
    ssde_context *context = desc->context;
    int i;
    if (desc->num_levels < 0 || desc->num_levels > SSDE_MAX_LEVELS || desc->num_attention_resolutions < 0 ||
        desc->num_attention_resolutions > SSDE_MAX_LEVELS)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                         "num_levels is %d, num_attention_resolutions %d, wanted 0 to %d each", desc->num_levels,
                         desc->num_attention_resolutions, SSDE_MAX_LEVELS);
    if (!desc->num_channels || desc->num_channels > 65536 || !desc->channels || desc->channels > 4096)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                         "num_channels is %.0f, channels %.0f, wanted 1 to 65536, 1 to 4096",
                         (double)desc->num_channels, (double)desc->channels);
    for (i = 0; i < desc->num_attention_resolutions; i++)
        if (!desc->attention_resolutions[i])
            return ssde_fail(context, SSDE_ERROR_ARGUMENT, "attention_resolutions[%d] is 0", i);
    if (!desc->num_heads && !desc->num_head_channels)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "num_heads and num_head_channels are 0");
    if (!desc->classifier_pool) return SSDE_OK;
    if (strcmp(desc->classifier_pool, "attention") && strcmp(desc->classifier_pool, "adaptive"))
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED,
                         "classifier_pool is '%.40s', wanted 'attention' or 'adaptive'", desc->classifier_pool);
    if (desc->classes < 2 || desc->classes > 1 << 20)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "classes is %.0f, wanted 2 to 2^20 of a classifier",
                         (double)desc->classes);
    if (desc->super_res || desc->learn_sigma || desc->predict_xstart)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                         "classifier_pool is '%s', but super_res, learn_sigma or predict_xstart is set",
                         desc->classifier_pool);
    if (!desc->num_head_channels && !strcmp(desc->classifier_pool, "attention"))
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "num_head_channels is 0, wanted 1 or more of an attention pool");
    return SSDE_OK;
}

/* Channels of each level, and which have attention. */
static ssde_status ssdei_openai_levels_of(const ssde_openai_desc *desc, ssde_unet2d_desc *shape) {
    double multipliers[SSDE_MAX_LEVELS];
    int i, j;
    memcpy(multipliers, desc->channel_mult, sizeof multipliers);
    shape->num_levels = desc->num_levels ? desc->num_levels : ssdei_openai_multipliers(desc, multipliers);
    if (!shape->num_levels)
        return ssde_fail(desc->context, SSDE_ERROR_ARGUMENT,
                         "num_levels is 0, and image_size %.0f, wanted 32, 64, 128, 256, 512 or a channel_mult",
                         (double)desc->image_size);
    for (i = 0; i < shape->num_levels; i++) {
        double width = floor(multipliers[i] * (double)desc->num_channels);
        if (!(width >= 1.0 && width <= 65536.0 && fmod(width, 32.0) == 0.0))
            return ssde_fail(desc->context, SSDE_ERROR_SHAPE,
                             "channel_mult[%d] is %.9g, which gives %.9g channels, wanted a multiple of 32", i,
                             multipliers[i], width);
        shape->block_out_channels[i] = (size_t)width;
        for (j = 0; j < desc->num_attention_resolutions; j++)
            if (desc->image_size / desc->attention_resolutions[j] == (size_t)1 << i) shape->down[i].attention = 1;
        shape->down[i].resampling = desc->resblock_updown    ? SSDE_RESAMPLING_BLOCK
                                    : desc->no_conv_resample ? SSDE_RESAMPLING_PLAIN
                                                             : SSDE_RESAMPLING_CONV;
        shape->up[i] = shape->down[i];
        if ((shape->down[i].attention || i == shape->num_levels - 1) && desc->num_head_channels &&
            shape->block_out_channels[i] % desc->num_head_channels)
            return ssde_fail(desc->context, SSDE_ERROR_SHAPE, "num_head_channels is %.0f, wanted a divisor of %.0f",
                             (double)desc->num_head_channels, width);
    }
    return SSDE_OK;
}

ssde_status ssde_openai_unet2d(const ssde_openai_desc *desc, ssde_unet2d_desc *shape) {
    ssde_unet2d_desc made;
    if (!desc) return SSDE_ERROR_ARGUMENT;
    if (!shape) return ssde_fail(desc->context, SSDE_ERROR_ARGUMENT, "ssde_openai_unet2d: shape is NULL");
    ssdei_try(ssdei_openai_check(desc));
    memset(&made, 0, sizeof made);
    made.height = made.width = desc->image_size;
    made.in_channels = desc->channels * (desc->super_res ? 2 : 1);
    made.out_channels = desc->channels * (desc->learn_sigma ? 2 : 1);
    made.layers_per_block = desc->num_res_blocks;
    made.downsample_padding = 1;
    made.act_fn = SSDE_SILU;
    made.dropout = desc->dropout;
    made.norm_num_groups = made.attn_norm_num_groups = 32;
    made.norm_eps = 1e-5;
    made.scale_shift = desc->use_scale_shift_norm != 0;
    made.attention_head_dim = desc->num_head_channels;
    if (!desc->num_head_channels) {
        made.num_heads = desc->num_heads;
        made.num_heads_up = desc->num_heads_upsample;
    }
    made.mid_block_scale_factor = 1.0;
    made.time_width = desc->num_channels;
    made.flip_sin_to_cos = 1;
    if (desc->classes && !desc->classifier_pool) {
        made.class_embed_type = SSDE_UNET2D_CLASS_TABLE;
        made.num_class_embeds = desc->classes;
    }
    made.seed = desc->seed;
    made.context = desc->context;
    ssdei_try(ssdei_openai_levels_of(desc, &made));
    *shape = made;
    return SSDE_OK;
}

/* A classifier of noisy images: a U-Net's way down and middle, and what gives the logits. */
typedef struct ssdei_encoder {
    ssde_unet2d_desc body;
    size_t classes;
    int adaptive; /* the mean; else attention from the mean to all pixels */
} ssdei_encoder;

static ssde_node ssdei_encoder_pool(ssdei_unet2d *unet, ssde_node h, size_t classes) {
    ssde_net *net = unet->net;
    const size_t channels = ssdei_unet2d_channels(unet, h);
    size_t width, heads = ssdei_unet2d_heads(unet->desc, unet->desc->num_heads, channels, &width);
    ssde_node tokens = ssde_tokens(net, h, "pool"), q, k, v;
    q = ssde_linear(net, ssdei_first_token(net, tokens), channels, 1.0, "pool.to_q");
    k = ssde_linear(net, tokens, channels, 1.0, "pool.to_k");
    v = ssde_linear(net, tokens, channels, 1.0, "pool.to_v");
    return ssde_linear(net, ssde_attention(net, q, k, v, heads), classes, 1.0, "pool.to_out.0");
}

static ssde_status ssdei_encoder_describe(ssde_net *net, ssde_node output, const ssdei_encoder *desc);

static ssde_status ssdei_encoder_build(ssde_net **net, const ssdei_encoder *desc) {
    ssdei_unet2d unet;
    ssde_node h = -1, skips[SSDEI_MAX_SKIPS];
    int count = 0;
    *net = NULL;
    ssdei_try(ssdei_unet2d_begin(&unet, &desc->body, net, skips, &count, &h));
    h = ssdei_unet2d_norm(&unet, h, ssdei_unet2d_style_of(&unet, h, 0, 0).groups, SSDE_SILU, "conv_norm_out");
    h = desc->adaptive ? ssde_linear(*net, ssde_mean_pixels(*net, h), desc->classes, 0.0, "conv_out")
                       : ssdei_encoder_pool(&unet, h, desc->classes);
    return ssdei_encoder_describe(*net, h, desc);
}

static ssde_status ssdei_openai_build(ssde_net **net, const ssde_openai_desc *desc) {
    ssdei_encoder encoder;
    *net = NULL;
    if (!desc) return SSDE_ERROR_ARGUMENT;
    ssdei_try(ssde_openai_unet2d(desc, &encoder.body));
    encoder.classes = desc->classes;
    encoder.adaptive = desc->classifier_pool && !strcmp(desc->classifier_pool, "adaptive");
    ssdei_try(desc->classifier_pool ? ssdei_encoder_build(net, &encoder) : ssdei_unet2d_build(net, &encoder.body));
    (*net)->means.discrete = 1;
    if (desc->classifier_pool) return SSDE_OK;
    (*net)->means.output = desc->predict_xstart ? SSDE_PREDICT_DATA : SSDE_PREDICT_NOISE;
    (*net)->means.beside = desc->super_res ? desc->channels : 0;
    return SSDE_OK;
}

ssde_status ssde_openai_create(ssde_net **net, const ssde_openai_desc *desc) {
    if (!net) return ssde_fail(desc ? desc->context : NULL, SSDE_ERROR_ARGUMENT, "net is NULL");
    return ssdei_net_complete(net, ssdei_openai_build(net, desc));
}

size_t ssde_openai_memory(const ssde_openai_desc *desc) {
    ssde_net *net;
    return ssdei_net_measure(&net, ssdei_openai_build(&net, desc));
}

/* The tables of all steps, in which those taken move to the front. */
typedef struct ssdei_respacing {
    const ssde_openai_desc *desc;
    double *mean, *std, *label;
    int count; /* taken */
} ssdei_respacing;

/* In order; the label is a product of floats there. */
static void ssdei_respacing_take(ssdei_respacing *r, int step) {
    const float scale = r->desc->rescale_timesteps ? (float)(1000.0 / r->desc->diffusion_steps) : 1.0f;
    r->mean[r->count] = r->mean[step];
    r->std[r->count] = r->std[step];
    r->label[r->count++] = (double)((float)step * scale);
}

/* A whole number of up to 7 digits, behind which *text then is; -1: none. */
static int ssdei_respacing_number(const char **text) {
    int number = 0, digits = 0;
    while (**text == ' ') ++*text;
    for (; **text >= '0' && **text <= '9' && digits < 8; digits++) number = 10 * number + (*(*text)++ - '0');
    while (**text == ' ') ++*text;
    return digits && digits < 8 ? number : -1;
}

/* The least stride that gives so many steps. */
static ssde_status ssdei_respacing_ddim(ssdei_respacing *r, const char *text) {
    const int steps = r->desc->diffusion_steps, wanted = ssdei_respacing_number(&text);
    int stride = 1, step;
    while (stride < steps && (steps - 1) / stride + 1 != wanted) stride++;
    if (*text || stride == steps)
        return ssde_fail(r->desc->context, SSDE_ERROR_ARGUMENT,
                         "timestep_respacing: no whole stride makes %d of %d steps", wanted, steps);
    for (step = 0; step < steps; step += stride) ssdei_respacing_take(r, step);
    return SSDE_OK;
}

/* Of each section the first and the last step, and those between, rounded to even as Python does. */
static ssde_status ssdei_respacing_sections(ssdei_respacing *r, const char *text) {
    const char *at = text;
    int sections = 1, start = 0, section, i;
    for (; *at; at++) sections += *at == ',';
    for (section = 0; section < sections; section++) {
        const int steps = r->desc->diffusion_steps, size = steps / sections + (section < steps % sections);
        const int wanted = ssdei_respacing_number(&text);
        const double stride = wanted > 1 ? (double)(size - 1) / (double)(wanted - 1) : 1.0;
        double place = 0.0;
        if (wanted < 0 || *text != (section < sections - 1 ? ',' : 0))
            return ssde_fail(r->desc->context, SSDE_ERROR_ARGUMENT,
                             "timestep_respacing: entry %d is no number, wanted 'ddimN', or numbers of steps as in "
                             "'250' or '10,15,20'",
                             section + 1);
        if (wanted > size)
            return ssde_fail(r->desc->context, SSDE_ERROR_ARGUMENT,
                             "timestep_respacing: entry %d is %d, but the section has %d steps", section + 1, wanted,
                             size);
        for (i = 0; i < wanted; i++, place += stride) ssdei_respacing_take(r, start + (int)rint(place));
        start += size;
        text++;
    }
    return SSDE_OK;
}

ssde_status ssde_openai_levels(const ssde_openai_desc *desc, const char *timestep_respacing, double *mean, double *std,
                               double *label, int *levels) {
    ssde_schedule_desc schedule;
    ssdei_respacing r = {desc, mean, std, label, 0};
    int i;
    if (!desc) return SSDE_ERROR_ARGUMENT;
    if (!mean || !std || !label || !levels)
        return ssde_fail(desc->context, SSDE_ERROR_ARGUMENT, "ssde_openai_levels: %s is NULL",
                         !mean    ? "mean"
                         : !std   ? "std"
                         : !label ? "label"
                                  : "levels");
    if (desc->noise_schedule != SSDE_SCHEDULE_LINEAR && desc->noise_schedule != SSDE_SCHEDULE_COSINE)
        return ssde_fail(desc->context, SSDE_ERROR_ARGUMENT, "noise_schedule is %d, wanted linear or cosine",
                         (int)desc->noise_schedule);
    if (desc->diffusion_steps < 2 || desc->diffusion_steps > 1 << 20)
        return ssde_fail(desc->context, SSDE_ERROR_ARGUMENT, "diffusion_steps is %d, wanted 2 to 2^20",
                         desc->diffusion_steps);
    schedule = ssde_schedule_defaults(desc->noise_schedule);
    schedule.levels = desc->diffusion_steps;
    schedule.beta_start = 1000.0 / desc->diffusion_steps * 0.0001;
    schedule.beta_end = 1000.0 / desc->diffusion_steps * 0.02;
    if (desc->noise_schedule == SSDE_SCHEDULE_COSINE) schedule.beta_start = schedule.beta_end = 0.0;
    schedule.context = desc->context;
    ssdei_try(ssde_schedule_levels(&schedule, mean, std));
    if (!timestep_respacing || !*timestep_respacing)
        for (i = 0; i < desc->diffusion_steps; i++) ssdei_respacing_take(&r, i);
    else if (!strncmp(timestep_respacing, "ddim", 4))
        ssdei_try(ssdei_respacing_ddim(&r, timestep_respacing + 4));
    else
        ssdei_try(ssdei_respacing_sections(&r, timestep_respacing));
    *levels = r.count;
    if (r.count >= 2) return SSDE_OK;
    return ssde_fail(desc->context, SSDE_ERROR_ARGUMENT, "timestep_respacing: %d steps, wanted 2 or more", r.count);
}

/* ---- networks: classifier ---- */

ssde_classifier_desc ssde_classifier_of(const ssde_unet_desc *body, size_t classes) {
    ssde_classifier_desc desc;
    memset(&desc, 0, sizeof desc);
    if (body) desc.body = *body;
    desc.classes = classes;
    return desc;
}

static ssde_status ssdei_classifier_build(ssde_net **net, const ssde_classifier_desc *wanted) {
    ssde_classifier_desc desc;
    ssdei_unet unet;
    ssde_node h, skips[SSDEI_MAX_SKIPS];
    int count = 0;
    *net = NULL;
    if (!wanted) return SSDE_ERROR_ARGUMENT;
    if (wanted->classes < 2 || wanted->classes > 1 << 20)
        return ssde_fail(wanted->body.context, SSDE_ERROR_ARGUMENT, "classes is %.0f, wanted 2 to 2^20",
                         (double)wanted->classes);
    if (wanted->body.classes)
        return ssde_fail(wanted->body.context, SSDE_ERROR_ARGUMENT, "body.classes is %.0f, wanted 0",
                         (double)wanted->body.classes);
    desc = *wanted;
    desc.body = ssdei_unet_as_built(&wanted->body);
    ssdei_try(ssdei_unet_begin(&unet, &desc.body, net, skips, &count, &h));
    ssdei_unet_module(&unet, SSDEI_MODULE_OUTPUT_NORM, 0);
    h = ssde_mean_pixels(*net, ssdei_unet_norm(&unet, h, SSDE_SILU, ""));
    ssdei_unet_module(&unet, SSDEI_MODULE_OUTPUT, 0);
    h = ssde_linear(*net, h, desc.classes, 1.0, ssdei_unet_name(&unet, ""));
    return ssdei_net_describe(*net, h, NULL, &desc, NULL);
}

ssde_status ssde_classifier_net_create(ssde_net **net, const ssde_classifier_desc *desc) {
    if (!net) return ssde_fail(desc ? desc->body.context : NULL, SSDE_ERROR_ARGUMENT, "net is NULL");
    return ssdei_net_complete(net, ssdei_classifier_build(net, desc));
}

size_t ssde_classifier_net_memory(const ssde_classifier_desc *desc) {
    ssde_net *net;
    return ssdei_net_measure(&net, ssdei_classifier_build(&net, desc));
}

/* ---- networks: multi-layer perceptron ---- */

ssde_mlp_desc ssde_mlp(size_t dim) {
    ssde_mlp_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.dim = dim;
    desc.hidden = 128;
    desc.layers = 3;
    desc.embedding_type = SSDE_EMBEDDING_POSITIONAL;
    desc.fourier_scale = 16.0;
    return desc;
}

/* h = W x + D e; each layer h += W silu(h) + D silu(e), e the label's embedding; output W silu(h). */
static ssde_status ssdei_mlp_build(ssde_net **net, const ssde_mlp_desc *desc) {
    ssde_mlp_desc built;
    ssde_node x, embedding, h;
    char name[32];
    int layer;
    *net = NULL;
    if (!desc) return SSDE_ERROR_ARGUMENT;
    if (!desc->dim || desc->hidden < 4 || desc->layers < 1 || desc->layers > 1000 || desc->dim > 1 << 24 ||
        desc->hidden > 1 << 16)
        return ssde_fail(desc->context, SSDE_ERROR_ARGUMENT,
                         "dim is %.0f, hidden %.0f and layers %d, wanted 1 to 2^24, 4 to 65536, 1 to 1000",
                         (double)desc->dim, (double)desc->hidden, desc->layers);
    ssdei_try(ssdei_check_embedding(desc->context, desc->embedding_type, desc->fourier_scale));
    ssdei_try(ssde_net_create(desc->context, net, desc->seed));
    x = ssde_input(*net, 1, 1, desc->dim);
    if (desc->scale_by_sigma) x = ssde_scale_rows(*net, x, ssde_input_sigma(*net), SSDE_OVER_TOTAL);
    embedding =
        desc->embedding_type == SSDE_EMBEDDING_FOURIER
            ? ssde_fourier_embedding(*net, ssde_input_label(*net), desc->hidden / 2, desc->fourier_scale, "embedding")
            : ssde_positional_embedding(*net, ssde_input_label(*net), desc->hidden, 1.0, 0);
    embedding = ssde_linear(*net, embedding, desc->hidden, 1.0, "embedding.dense");
    embedding = ssde_activate(*net, embedding, SSDE_SILU);
    h = ssde_linear(*net, x, desc->hidden, 1.0, "input");
    for (layer = 0; layer < desc->layers; layer++) {
        ssde_conv_desc dense = ssde_conv(desc->hidden, 1);
        snprintf(name, sizeof name, "layers.%d.embedding", layer);
        h = ssde_add_scaled(*net, h, ssde_linear(*net, embedding, desc->hidden, 1.0, name), 1.0);
        snprintf(name, sizeof name, "layers.%d.dense", layer);
        dense.residual = h;
        h = ssde_nin(*net, ssde_activate(*net, h, SSDE_SILU), &dense, name);
    }
    h = ssde_linear(*net, ssde_activate(*net, h, SSDE_SILU), desc->dim, 0.0, "output");
    if (desc->scale_by_sigma) h = ssde_scale_rows(*net, h, ssde_input_sigma(*net), SSDE_OVER_SIGMA);
    built = *desc;
    return ssdei_net_describe(*net, h, NULL, NULL, &built);
}

ssde_status ssde_mlp_create(ssde_net **net, const ssde_mlp_desc *desc) {
    if (!net) return ssde_fail(desc ? desc->context : NULL, SSDE_ERROR_ARGUMENT, "net is NULL");
    return ssdei_net_complete(net, ssdei_mlp_build(net, desc));
}

size_t ssde_mlp_memory(const ssde_mlp_desc *desc) {
    ssde_net *net;
    return ssdei_net_measure(&net, ssdei_mlp_build(&net, desc));
}

/* ---- >>score net: what a network is told ---- */

/* The SDE has the levels that the network's labels count. */
static ssde_status ssdei_levels_check(ssde_context *context, const char *where, const ssdei_levels *levels,
                                      const ssde_sde *sde) {
    if (sde->kind == SSDE_TABULATED) return SSDE_OK; /* which gives the labels itself */
    if (sde->kind != SSDE_VE)
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED,
                         "%s: the network's labels count %d noise levels of VE, sigma_max first: SDE '%s' has others",
                         where, levels->count, ssdei_family(sde)->name);
    if (sde->num_scales == levels->count && fabs(sde->sigma_min / levels->sigma_min - 1.0) <= 1e-6 &&
        fabs(sde->sigma_max / levels->sigma_max - 1.0) <= 1e-6)
        return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                     "%s: the SDE has num_scales %d, sigma_min %.9g, sigma_max %.9g, the network %d, %.9g, %.9g", where,
                     sde->num_scales, sde->sigma_min, sde->sigma_max, levels->count, levels->sigma_min,
                     levels->sigma_max);
}

/* exp of an even line from log sigma_max to log sigma_min, as models/utils.py:get_sigmas. */
static double ssdei_levels_sigma(const ssdei_levels *levels, int index) {
    double first = ssdei_math_log(levels->sigma_max), last = ssdei_math_log(levels->sigma_min);
    return ssdei_math_exp(first + (last - first) * (double)index / (double)(levels->count - 1));
}

/* Sets what *means leaves open (0) to what the network says, or else to the reference's; `where` names the output. */
static ssde_status ssdei_net_meaning(ssde_context *context, const char *where, const ssde_net *net, const ssde_sde *sde,
                                     ssdei_meaning *means) {
    double sigma_data;
    ssde_parameterisation own = ssde_net_output(net, &sigma_data);
    means->output = ssdei_output_of(sde, means->output == SSDE_PREDICT_DEFAULT ? own : means->output);
    if (means->sigma_data == 0.0) means->sigma_data = sigma_data;
    if (means->sigma_data == 0.0) means->sigma_data = 0.5;
    means->logarithm = ssdei_net_logarithm(net);
    means->levels = net->levels;
    if (net->levels.count && !means->discrete)
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED,
                         "%s: labels are functions of t, but the network's are indices of its %d noise levels: wanted "
                         "discrete = 1",
                         where, net->levels.count);
    if (net->levels.count) ssdei_try(ssdei_levels_check(context, where, &net->levels, sde));
    ssdei_try(ssdei_output_check(context, where, means->output, means->sigma_data));
    if (means->discrete && !ssdei_family(sde)->level)
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED, "SDE '%s' has no noise levels that labels could count",
                         ssdei_family(sde)->name);
    if (sde->kind == SSDE_NONLINEAR && (means->output != SSDE_PREDICT_SCORE || net->sigma >= 0))
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED,
                         "%s: the network %s, but a nonlinear SDE has no m(t) and std(t): wanted one that gives the "
                         "score, by t alone",
                         where, net->sigma >= 0 ? "takes sigma" : "gives another output than the score");
    return ssdei_net_check_meaning(context, net, means);
}

/* A discrete label (models/utils.py:129-178, losses.py:104-148), and the marginal of its level. At a level's t, or that
   as a float, the label is the index itself, which the network was trained with. */
static ssde_status ssdei_level_label(ssde_context *context, const ssde_sde *sde, double t, float *label, double *mean,
                                     double *std) {
    int last = sde->num_scales - 1, index = ssdei_step_index(sde, t);
    if (ssdei_family(sde)->exploding) {
        *label = rintf((1.0f - (float)t) * (float)last);
        index = last - (int)*label;
    } else {
        *label = (float)t * (float)last;
        if (fabs(t * last - index) <= (double)FLT_EPSILON * index) *label = (float)index;
    }
    return ssde_discrete_marginal(context, sde, index, mean, std, NULL);
}

/* Bounded where m or std is 0; a double's 1 - t that is not 0 stays below 9.2. */
static float ssdei_edm_label(double mean, double std, int logarithm) {
    double noise = 0.25 * ssdei_math_log(std / mean);
    noise = noise < 10.0 ? noise : 10.0;
    noise = noise > -10.0 ? noise : -10.0;
    return (float)(logarithm ? ssdei_math_exp(noise) : noise);
}

static ssde_status ssdei_label(ssde_context *context, const ssdei_meaning *means, const ssde_sde *sde, double t,
                               float *label, float *sigma, ssde_output_map *map) {
    double mean = 1.0, std = 1.0; /* nonlinear: of the score neither is asked */
    if (!(t >= 0.0 && t <= 1.0)) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "t is %.17g, wanted 0 to 1", t);
    if (means->discrete && sde->kind != SSDE_TABULATED) {
        ssdei_try(ssdei_level_label(context, sde, t, label, &mean, &std));
    } else {
        if (sde->kind != SSDE_NONLINEAR) ssdei_try(ssdei_marginal(context, sde, t, &mean, &std));
        *label = means->output == SSDE_PREDICT_EDM && !sde->level_label ? ssdei_edm_label(mean, std, means->logarithm)
                                                                        : ssdei_family(sde)->label(sde, t);
    }
    *sigma = (float)std;
    if (means->levels.count) {
        if (!ssdei_is_whole((double)*label, 0.0, (double)(means->levels.count - 1)))
            return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                             "the label at t = %.9g is %.9g, wanted an index of the network's noise levels, a whole "
                             "number from 0 to %d",
                             t, (double)*label, means->levels.count - 1);
        *sigma = (float)ssdei_levels_sigma(&means->levels, (int)*label);
    }
    if (map) ssdei_output_map(means->output, means->sigma_data, mean, std, map);
    return SSDE_OK;
}

/* What the network is told at t[rows], and, unless map is NULL, what its results mean; once per run of equal t. */
static ssde_status ssdei_labels(ssde_context *context, const ssdei_meaning *means, const ssde_sde *sde, const double *t,
                                size_t rows, float *label, float *sigma, ssde_output_map *map) {
    size_t row;
    for (row = 0; row < rows; row++) {
        if (!row || !(t[row] == t[row - 1])) {
            ssdei_try(ssdei_label(context, means, sde, t[row], &label[row], &sigma[row], map ? map + row : NULL));
            continue;
        }
        label[row] = label[row - 1];
        sigma[row] = sigma[row - 1];
        if (map) map[row] = map[row - 1];
    }
    return SSDE_OK;
}

/* out = scale x */
static void ssdei_scale_row(size_t dim, double scale, const float *x, float *out) {
    size_t i;
    for (i = 0; i < dim; i++) out[i] = (float)(scale * (double)x[i]);
}

ssde_status ssde_score_net_label(ssde_context *context, const ssde_net *net, const ssde_sde *sde, double t,
                                 float *label, float *sigma, ssde_output_map *map) {
    ssdei_meaning means;
    if (!label || !sigma) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s is NULL", label ? "sigma" : "label");
    ssdei_try(ssde_sde_check(context, sde));
    memset(&means, 0, sizeof means);
    means.output = ssdei_output_of(sde, SSDE_PREDICT_DEFAULT);
    if (net) {
        if (!net->finished) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "net is not finished: ssde_net_finish");
        means = net->means;
        ssdei_try(ssdei_net_meaning(context, "net's output", net, sde, &means));
    }
    return ssdei_label(context, &means, sde, t, label, sigma, map);
}

/* The classes of samples first ... first + count - 1. */
typedef struct ssdei_class_table {
    int32_t *classes;
    size_t count, capacity; /* count 0: none were given */
    uint64_t first;
} ssdei_class_table;

static ssde_status ssdei_class_table_set(ssde_context *context, ssdei_class_table *table, const int32_t *classes,
                                         size_t count, uint64_t first, int32_t least, size_t net_classes) {
    void *array = table->classes;
    if (classes && !net_classes)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "classes are given, but the network has none");
    if (classes && !count) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "count is 0, wanted at least 1");
    if (classes) {
        ssdei_try(ssdei_check_classes(context, "classes", classes, count, least, net_classes));
        ssdei_try(ssdei_grow(context, &array, &table->capacity, 0, count, sizeof *classes));
        table->classes = (int32_t *)memcpy(array, classes, count * sizeof *classes);
    }
    table->count = classes ? count : 0;
    table->first = first;
    return SSDE_OK;
}

/* classes[rows] of the rows' samples (NULL: row numbers, from `row` on); -1 where no classes were given. */
static ssde_status ssdei_class_table_find(ssde_context *context, const ssdei_class_table *table, const uint64_t *sample,
                                          size_t first_row, size_t rows, int32_t *classes) {
    size_t row;
    for (row = 0; row < rows; row++) {
        uint64_t number = sample ? sample[row] : first_row + row;
        classes[row] = -1;
        if (!table->count) continue;
        if (number < table->first || number - table->first >= table->count)
            return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                             "sample %llu has no class: they were given for %lu samples from %llu on",
                             (unsigned long long)number, (unsigned long)table->count, (unsigned long long)table->first);
        classes[row] = table->classes[number - table->first];
    }
    return SSDE_OK;
}

/* The vectors of samples first ... first + count - 1. */
typedef struct ssdei_vector_table {
    float *vectors;
    size_t count, capacity;
    uint64_t first;
} ssdei_vector_table;

static ssde_status ssdei_vector_table_set(ssde_context *context, ssdei_vector_table *table, const float *vectors,
                                          size_t count, uint64_t first, size_t size) {
    void *array = table->vectors;
    size_t floats = ssdei_multiply(count, size), bad;
    if (vectors && !size)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "vectors are given, but the network takes none");
    if (vectors && !count) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "count is 0, wanted at least 1");
    if (vectors) {
        ssdei_try(ssdei_grow(context, &array, &table->capacity, 0, floats, sizeof *vectors));
        table->vectors = (float *)array;
        table->count = 0;
        bad = ssdei_first_nonfinite(vectors, floats);
        if (bad < floats)
            return ssde_fail(context, SSDE_ERROR_NUMERIC, "vectors: value %lu of sample %lu is not finite",
                             (unsigned long)(bad % size), (unsigned long)(bad / size));
        memcpy(array, vectors, floats * sizeof *vectors);
    }
    table->count = vectors ? count : 0;
    table->first = first;
    return SSDE_OK;
}

/* vectors[rows, size] of the rows' samples. */
static ssde_status ssdei_vector_table_find(ssde_context *context, const ssdei_vector_table *table,
                                           const uint64_t *sample, size_t rows, size_t size, float *vectors) {
    size_t row;
    for (row = 0; row < rows; row++) {
        uint64_t number = sample ? sample[row] : row;
        if (number < table->first || number - table->first >= table->count)
            return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                             "sample %llu has no vector: they were given for %lu samples from %llu on",
                             (unsigned long long)number, (unsigned long)table->count, (unsigned long long)table->first);
        memcpy(vectors + row * size, table->vectors + (number - table->first) * size, size * sizeof *vectors);
    }
    return SSDE_OK;
}

/* ---- score net: a network as a score model ----
   With guidance, each pass has the rows twice: with their classes, then with the null class. */

ssde_score_net_desc ssde_score_net_defaults(void) {
    ssde_score_net_desc desc;
    memset(&desc, 0, sizeof desc);
    return desc;
}

struct ssde_score_net {
    ssde_context *context;
    ssde_sde sde;
    ssde_run *run;
    size_t max_rows, dim, copies; /* of the rows: 2 with guidance */
    /* A row of the network's results is `spans` times `stride` floats, of which `span` are the output, and the others
       a learned variance's. */
    size_t spans, span, stride;
    int derivative;
    ssdei_meaning means;
    int mixes; /* the score is made of the output and of x */
    double guidance;
    float *label, *sigma;  /* [copies, max_rows] */
    ssde_output_map *map;  /* [max_rows] */
    double *factor, *by_x; /* [copies, max_rows], [max_rows]; score = sum over copies of factor * net, + by_x * x */
    float *scaled;         /* [copies, max_rows, spans, stride] */
    ssdei_class_table table;
    int32_t *classes; /* [copies, max_rows] */
    ssdei_vector_table vector_table;
    size_t vector_size;
    float *vectors;     /* [copies, max_rows, vector_size] */
    size_t rows;        /* of the last score; 0: there was none, or it failed */
    const float *x;     /* its own */
    int differentiable; /* the last score was asked to be */
};

static ssde_run_desc ssdei_score_net_run(const ssde_score_net_desc *desc, ssde_run_mode mode, size_t max_rows) {
    ssde_run_desc run = ssde_run_defaults(mode, max_rows);
    run.convolution = desc->convolution;
    run.context = desc->context;
    return run;
}

static ssde_status ssdei_score_net_check(const ssde_net *net, const ssde_sde *sde, const ssde_score_net_desc *desc) {
    ssde_context *context = desc->context;
    if (!net) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "net is NULL");
    if (!net->finished) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "the network is not finished: ssde_net_finish");
    ssdei_try(ssde_sde_check(context, sde));
    if (!(fabs(desc->guidance) <= 1e6))
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "guidance is %.9g, wanted -1e6 to 1e6", desc->guidance);
    if (!(desc->guidance == 0.0) && !net->classes)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "guidance is %g, but the network has no classes",
                         desc->guidance);
    if (!(desc->guidance == 0.0) && net->no_null_class)
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED,
                         "guidance is %g, but the network knows no null class, by which guidance goes", desc->guidance);
    return SSDE_OK;
}

static void ssdei_score_net_arrays(void *object, ssdei_memory *memory) {
    ssde_score_net *s = (ssde_score_net *)object;
    size_t rows = ssdei_multiply(s->max_rows, s->copies);
    s->label = ssdei_place(memory, float, rows);
    s->sigma = ssdei_place(memory, float, rows);
    s->map = ssdei_place(memory, ssde_output_map, s->max_rows);
    s->factor = ssdei_place(memory, double, rows);
    s->by_x = ssdei_place(memory, double, s->max_rows);
    s->scaled = ssdei_place(memory, float, ssdei_multiply(rows, s->spans * s->stride));
    s->classes = ssdei_place(memory, int32_t, rows);
    s->vectors = ssdei_place(memory, float, ssdei_multiply(rows, s->vector_size));
}

/* All but its memory, and what its run shall be. */
static ssde_status ssdei_score_net_prepare(ssde_score_net *s, ssde_run_desc *run, const ssde_net *net,
                                           const ssde_sde *sde, const ssde_score_net_desc *desc) {
    const ssde_score_net_desc plain = desc ? *desc : ssde_score_net_defaults();
    int learned;
    memset(s, 0, sizeof *s);
    s->context = plain.context;
    ssdei_try(ssdei_score_net_check(net, sde, &plain));
    ssdei_try(ssdei_net_check_score(s->context, net, &learned));
    s->sde = *sde;
    s->max_rows = plain.max_rows ? plain.max_rows : 64;
    s->dim = ssde_net_dim(net);
    s->span = learned ? net->nodes[net->input].shape[2] : s->dim;
    s->spans = s->dim / s->span;
    s->stride = learned ? 2 * s->span : s->span;
    s->vector_size = ssde_net_vector(net);
    s->derivative = !plain.no_derivative;
    s->means.output = plain.output;
    s->means.sigma_data = plain.sigma_data;
    s->means.discrete = net->means.discrete || plain.discrete;
    ssdei_try(ssdei_net_meaning(s->context, "desc.output", net, sde, &s->means));
    s->mixes = s->means.output > SSDE_PREDICT_NOISE;
    s->guidance = plain.guidance;
    s->copies = s->guidance > 0.0 || s->guidance < 0.0 ? 2 : 1;
    *run = ssdei_score_net_run(&plain, s->derivative ? SSDE_RUN_VJP : SSDE_RUN_INFERENCE,
                               ssdei_multiply(s->max_rows, s->copies));
    return SSDE_OK;
}

ssde_status ssde_score_net_create(ssde_score_net **score_net, const ssde_net *net, const ssde_sde *sde,
                                  const ssde_score_net_desc *desc) {
    ssde_run_desc run;
    ssde_score_net made;
    if (!score_net) return ssde_fail(desc ? desc->context : NULL, SSDE_ERROR_ARGUMENT, "score_net is NULL");
    *score_net = NULL;
    ssdei_try(ssdei_score_net_prepare(&made, &run, net, sde, desc));
    ssdei_try(ssde_run_create(&made.run, net, &run));
    *score_net = (ssde_score_net *)ssdei_object_create(made.context, &made, sizeof made, ssdei_score_net_arrays);
    if (!*score_net) ssde_run_destroy(made.run);
    return *score_net ? SSDE_OK : SSDE_ERROR_MEMORY;
}

size_t ssde_score_net_memory(const ssde_net *net, const ssde_sde *sde, const ssde_score_net_desc *desc) {
    ssde_run_desc run;
    ssde_score_net made;
    if (ssdei_score_net_prepare(&made, &run, net, sde, desc) != SSDE_OK) return 0;
    return ssdei_both_bytes(ssdei_object_bytes(&made, sizeof made, ssdei_score_net_arrays), ssde_run_memory(net, &run));
}

void ssde_score_net_destroy(ssde_score_net *score_net) {
    if (!score_net) return;
    ssde_run_destroy(score_net->run);
    ssdei_release(score_net->context, score_net->table.classes);
    ssdei_release(score_net->context, score_net->vector_table.vectors);
    ssdei_release(score_net->context, score_net);
}

ssde_status ssde_score_net_set_classes(ssde_score_net *score_net, const int32_t *classes, size_t count,
                                       uint64_t first_sample) {
    if (!score_net) return SSDE_ERROR_ARGUMENT;
    return ssdei_class_table_set(score_net->context, &score_net->table, classes, count, first_sample,
                                 ssdei_least_class(score_net->run->net), score_net->run->net->classes);
}

ssde_status ssde_score_net_set_vectors(ssde_score_net *score_net, const float *vectors, size_t count,
                                       uint64_t first_sample) {
    if (!score_net) return SSDE_ERROR_ARGUMENT;
    return ssdei_vector_table_set(score_net->context, &score_net->vector_table, vectors, count, first_sample,
                                  score_net->vector_size);
}

SSDEI_ONCE_END

/* How much of the result is made of a copy's. */
static double ssdei_score_net_share(const ssde_score_net *s, size_t copy) {
    return copy ? -s->guidance : 1.0 + s->guidance;
}

/* The score at row, of which its copies have their shares; in float where x has no part in it. */
static void ssdei_score_net_factors(ssde_score_net *s, size_t row, size_t rows) {
    double sigma = (double)s->sigma[row], factor = -s->map[row].noise_output / sigma;
    size_t copy;
    if (s->means.output == SSDE_PREDICT_SCORE) factor = 1.0;
    for (copy = 0; copy < s->copies; copy++) {
        double share = ssdei_score_net_share(s, copy);
        s->factor[copy * rows + row] = s->mixes ? share * factor : (double)((float)share * (float)factor);
    }
    s->by_x[row] = s->mixes ? -s->map[row].noise_x / sigma : 0.0;
}

/* What the network is told of the rows and of their copies, and what its results mean. */
static ssde_status ssdei_score_net_rows(ssde_score_net *s, const double *t, const uint64_t *sample, size_t rows) {
    const ssde_net *net = s->run->net;
    size_t row;
    ssdei_try(ssdei_labels(s->context, &s->means, &s->sde, t, rows, s->label, s->sigma, s->map));
    ssdei_try(ssdei_class_table_find(s->context, &s->table, sample, 0, rows, s->classes));
    for (row = 0; row < rows; row++) {
        if (!(s->sigma[row] > 0.0f) && s->means.output != SSDE_PREDICT_SCORE)
            return ssde_fail(s->context, SSDE_ERROR_NUMERIC, "score: the variance at t = %g is zero", t[row]);
        ssdei_score_net_factors(s, row, rows);
        if (s->copies == 1) continue;
        s->label[rows + row] = s->label[row];
        s->sigma[rows + row] = s->sigma[row];
        s->classes[rows + row] = -1;
    }
    if (net->classes) ssdei_try(ssde_run_set_classes(s->run, s->classes, s->copies * rows));
    if (!s->vector_size) return SSDE_OK;
    for (row = 0; row < s->copies; row++)
        ssdei_try(ssdei_vector_table_find(s->context, &s->vector_table, sample, rows, s->vector_size,
                                          s->vectors + row * rows * s->vector_size));
    return ssde_run_set_vectors(s->run, s->vectors, s->copies * rows);
}

/* x as the network wants it, for each copy; x itself where that is so. */
static const float *ssdei_score_net_input(ssde_score_net *s, const float *x, size_t rows) {
    size_t dim = s->dim, row;
    if (s->copies == 1 && s->means.output != SSDE_PREDICT_EDM) return x;
    for (row = 0; row < s->copies * rows; row++)
        ssdei_scale_row(dim, s->map[row % rows].input, x + row % rows * dim, s->scaled + row * dim);
    return s->scaled;
}

/* out = sum over copies of factor[copy] * net + by_x * x at a row; in float where x has no part in it. */
static void ssdei_score_net_row(const ssde_score_net *s, size_t row, const double factor[2], const double *by_x,
                                float *out) {
    const size_t floats = s->spans * s->stride, copy = s->rows * floats;
    const float *value = ssdei_value(s->run, s->run->net->output) + row * floats, *x = s->x + row * s->dim;
    size_t i, at;
    for (i = 0; i < s->spans; i++, value += s->stride) {
        for (at = 0; at < s->span; at++, x++, out++) {
            if (by_x) { /* terms that may cancel */
                double sum = factor[0] * (double)value[at] + *by_x * (double)*x;
                *out = (float)(s->copies == 2 ? sum + factor[1] * (double)value[copy + at] : sum);
            } else {
                *out = value[at] * (float)factor[0];
                if (s->copies == 2) *out += value[copy + at] * (float)factor[1];
            }
        }
    }
}

SSDEI_ONCE_BEGIN

static ssde_status ssdei_score_net_score(void *user, const float *x, const double *t, const uint64_t *sample,
                                         size_t rows, int differentiate, float *out) {
    ssde_score_net *s = (ssde_score_net *)user;
    size_t row;
    s->differentiable = 0;
    s->rows = 0;
    if (!x || !t || !out)
        return ssde_fail(s->context, SSDE_ERROR_ARGUMENT, "score: %s is NULL", !x ? "x" : !t ? "t" : "out");
    if (!rows || rows > s->max_rows)
        return ssde_fail(s->context, SSDE_ERROR_ARGUMENT, "score: rows is %.0f, wanted 1 to max_rows = %.0f",
                         (double)rows, (double)s->max_rows);
    ssdei_try(ssdei_score_net_rows(s, t, sample, rows));
    ssdei_try(ssde_run_forward(s->run, ssdei_score_net_input(s, x, rows), s->label, s->sigma, s->copies * rows, 0, 0,
                               NULL, NULL));
    s->x = x;
    s->rows = rows;
    for (row = 0; row < rows; row++) {
        const double factor[2] = {s->factor[row], s->copies == 2 ? s->factor[rows + row] : 0.0};
        ssdei_score_net_row(s, row, factor, s->mixes ? &s->by_x[row] : NULL, out + row * s->dim);
    }
    s->differentiable = differentiate && s->derivative;
    return SSDE_OK;
}

/* What is told of the rows of the score right before. */
static ssde_status ssdei_score_net_check_rows(const ssde_score_net *s, const char *name, const void *in,
                                              const float *out, size_t rows) {
    if (!in || !out) return ssde_fail(s->context, SSDE_ERROR_ARGUMENT, "%s: %s is NULL", name, in ? "out" : "v");
    if (rows == s->rows && rows) return SSDE_OK;
    return ssde_fail(s->context, SSDE_ERROR_ARGUMENT, "%s: rows is %.0f, wanted %.0f as of the score right before",
                     name, (double)rows, (double)s->rows);
}

/* v times each copy's share of the score, 0 for a learned variance: what is differentiated. */
static void ssdei_score_net_gradient(ssde_score_net *s, const float *v, size_t rows) {
    float *to = s->scaled;
    size_t row, i;
    for (row = 0; row < s->copies * rows; row++) {
        const float *from = v + row % rows * s->dim;
        for (i = 0; i < s->spans; i++, from += s->span, to += s->stride) {
            ssdei_scale_row(s->span, s->factor[row] * s->map[row % rows].input, from, to);
            if (s->stride > s->span) memset(to + s->span, 0, s->span * sizeof *to);
        }
    }
}

static ssde_status ssdei_score_net_vjp(void *user, const float *v, size_t rows, float *out) {
    ssde_score_net *s = (ssde_score_net *)user;
    size_t dim = s->dim, count = rows * dim, i;
    if (!s->differentiable)
        return ssde_fail(s->context, SSDE_ERROR_ARGUMENT,
                         "vjp: there was no score(..., differentiate = 1) right before");
    ssdei_try(ssdei_score_net_check_rows(s, "vjp", v, out, rows));
    ssdei_score_net_gradient(s, v, rows);
    if (s->copies == 1 && !s->mixes) return ssde_run_backward(s->run, s->scaled, out, NULL);
    ssdei_try(ssde_run_backward(s->run, s->scaled, s->scaled, NULL));
    for (i = 0; i < count; i++) {
        double sum = (double)s->scaled[i] + s->by_x[i / dim] * (double)v[i];
        out[i] = (float)(s->copies == 2 ? sum + (double)s->scaled[count + i] : sum);
    }
    return SSDE_OK;
}

/* What they stand for at m = 0 is infinite for a network that gives score or noise. */
static ssde_status ssdei_score_net_denoised(void *user, size_t rows, float *out) {
    ssde_score_net *s = (ssde_score_net *)user;
    size_t row, copy;
    ssdei_try(ssdei_score_net_check_rows(s, "denoised", out, out, rows));
    for (row = 0; row < rows; row++, out += s->dim) {
        const ssde_output_map *map = &s->map[row];
        double factor[2];
        if (!(fabs(map->data_output) <= DBL_MAX && fabs(map->data_x) <= DBL_MAX))
            return ssde_fail(s->context, SSDE_ERROR_NUMERIC,
                             "denoised: row %lu is at a t where m is 0, so that x says nothing of x(0), nor does the "
                             "network's output, '%s': wanted data, velocity, edm or flow",
                             (unsigned long)row, ssdei_parameterisation_names[s->means.output]);
        for (copy = 0; copy < 2; copy++) factor[copy] = ssdei_score_net_share(s, copy) * map->data_output;
        ssdei_score_net_row(s, row, factor, &map->data_x, out);
    }
    return SSDE_OK;
}

static ssde_status ssdei_score_net_variance(void *user, size_t rows, float *out) {
    ssde_score_net *s = (ssde_score_net *)user;
    const float *v = ssdei_value(s->run, s->run->net->output) + s->span;
    size_t i, at;
    ssdei_try(ssdei_score_net_check_rows(s, "variance", out, out, rows));
    for (i = 0; i < rows * s->spans; i++, v += s->stride)
        for (at = 0; at < s->span; at++) *out++ = 0.5f * (v[at] + 1.0f);
    return SSDE_OK;
}

ssde_score_model ssde_score_net_model(ssde_score_net *score_net) {
    ssde_score_model model;
    memset(&model, 0, sizeof model);
    if (!score_net) return model;
    model.dim = score_net->dim;
    model.max_rows = score_net->max_rows;
    model.score = ssdei_score_net_score;
    model.vjp = score_net->derivative ? ssdei_score_net_vjp : NULL;
    model.denoised = ssdei_score_net_denoised;
    model.variance = score_net->stride > score_net->span ? ssdei_score_net_variance : NULL;
    model.user = score_net;
    return model;
}

/* ---- >>classifier ---- */

struct ssde_classifier {
    ssde_context *context;
    ssde_sde sde;
    ssde_run *run;
    size_t max_rows, dim, count; /* of classes */
    ssdei_meaning means;
    float *label, *sigma; /* [max_rows] */
    float *logits;        /* [max_rows, count]; then the gradient */
    double *losses;       /* [max_rows] */
    ssdei_class_table table;
    int32_t *classes; /* [max_rows] */
};

static void ssdei_classifier_arrays(void *object, ssdei_memory *memory) {
    ssde_classifier *c = (ssde_classifier *)object;
    c->label = ssdei_place(memory, float, c->max_rows);
    c->sigma = ssdei_place(memory, float, c->max_rows);
    c->logits = ssdei_place(memory, float, ssdei_multiply(c->max_rows, c->count));
    c->losses = ssdei_place(memory, double, c->max_rows);
    c->classes = ssdei_place(memory, int32_t, c->max_rows);
}

/* All but its memory, and what its run shall be. */
static ssde_status ssdei_classifier_prepare(ssde_classifier *c, ssde_run_desc *run, const ssde_net *net,
                                            const ssde_sde *sde, const ssde_score_net_desc *desc) {
    ssde_score_net_desc plain = desc ? *desc : ssde_score_net_defaults();
    memset(c, 0, sizeof *c);
    plain.guidance = 0.0;
    ssdei_try(ssdei_score_net_check(net, sde, &plain));
    if (ssde_net_output_dim(net) < 2 || net->classes)
        return ssde_fail(plain.context, SSDE_ERROR_ARGUMENT,
                         "the network is no classifier: %.0f results, conditioned on %.0f classes",
                         (double)ssde_net_output_dim(net), (double)net->classes);
    c->context = plain.context;
    c->sde = *sde;
    c->max_rows = plain.max_rows ? plain.max_rows : 64;
    c->dim = ssde_net_dim(net);
    c->count = ssde_net_output_dim(net);
    c->means.discrete = net->means.discrete || plain.discrete;
    ssdei_try(ssdei_net_meaning(c->context, "net's output", net, sde, &c->means));
    *run = ssdei_score_net_run(&plain, SSDE_RUN_VJP, c->max_rows);
    return SSDE_OK;
}

ssde_status ssde_classifier_create(ssde_classifier **classifier, const ssde_net *net, const ssde_sde *sde,
                                   const ssde_score_net_desc *desc) {
    ssde_run_desc run;
    ssde_classifier made;
    if (!classifier) return ssde_fail(desc ? desc->context : NULL, SSDE_ERROR_ARGUMENT, "classifier is NULL");
    *classifier = NULL;
    ssdei_try(ssdei_classifier_prepare(&made, &run, net, sde, desc));
    ssdei_try(ssde_run_create(&made.run, net, &run));
    *classifier = (ssde_classifier *)ssdei_object_create(made.context, &made, sizeof made, ssdei_classifier_arrays);
    if (!*classifier) ssde_run_destroy(made.run);
    return *classifier ? SSDE_OK : SSDE_ERROR_MEMORY;
}

size_t ssde_classifier_memory(const ssde_net *net, const ssde_sde *sde, const ssde_score_net_desc *desc) {
    ssde_run_desc run;
    ssde_classifier made;
    if (ssdei_classifier_prepare(&made, &run, net, sde, desc) != SSDE_OK) return 0;
    return ssdei_both_bytes(ssdei_object_bytes(&made, sizeof made, ssdei_classifier_arrays),
                            ssde_run_memory(net, &run));
}

void ssde_classifier_destroy(ssde_classifier *classifier) {
    if (!classifier) return;
    ssde_run_destroy(classifier->run);
    ssdei_release(classifier->context, classifier->table.classes);
    ssdei_release(classifier->context, classifier);
}

ssde_status ssde_classifier_set_classes(ssde_classifier *classifier, const int32_t *classes, size_t count,
                                        uint64_t first_sample) {
    if (!classifier) return SSDE_ERROR_ARGUMENT;
    return ssdei_class_table_set(classifier->context, &classifier->table, classes, count, first_sample, 0,
                                 classifier->count);
}

/* logits of at most max_rows rows */
static ssde_status ssdei_classifier_logits(ssde_classifier *c, const float *x, const double *t, size_t rows) {
    ssdei_try(ssdei_labels(c->context, &c->means, &c->sde, t, rows, c->label, c->sigma, NULL));
    return ssde_run_forward(c->run, x, c->label, c->sigma, rows, 0, 0, NULL, c->logits);
}

/* log sum over c of exp(logits[c]) */
static double ssdei_log_sum_exp(const float *logits, size_t classes) {
    double largest = (double)logits[0], sum = 0.0;
    size_t c;
    for (c = 1; c < classes; c++)
        if ((double)logits[c] > largest) largest = (double)logits[c];
    for (c = 0; c < classes; c++) sum += ssdei_math_exp((double)logits[c] - largest);
    return largest + ssdei_math_log(sum);
}

ssde_status ssde_classifier_log_probability(ssde_classifier *classifier, const float *x, const double *t, size_t rows,
                                            float *log_probability) {
    ssde_classifier *c = classifier;
    size_t begin, count, row, k;
    if (!c) return SSDE_ERROR_ARGUMENT;
    if (!x || !t || !log_probability)
        return ssde_fail(c->context, SSDE_ERROR_ARGUMENT, "%s is NULL", !x ? "x" : !t ? "t" : "log_probability");
    for (begin = 0; begin < rows; begin += count) {
        count = rows - begin < c->max_rows ? rows - begin : c->max_rows;
        ssdei_try(ssdei_classifier_logits(c, x + begin * c->dim, t + begin, count));
        for (row = 0; row < count; row++) {
            const float *logits = c->logits + row * c->count;
            double total;
            if (ssdei_first_nonfinite(logits, c->count) < c->count)
                return ssde_fail(c->context, SSDE_ERROR_NUMERIC, "the logits of row %lu at t = %g are not finite",
                                 (unsigned long)(begin + row), t[begin + row]);
            total = ssdei_log_sum_exp(logits, c->count);
            for (k = 0; k < c->count; k++) *log_probability++ = (float)((double)logits[k] - total);
        }
    }
    return SSDE_OK;
}

ssde_status ssde_classifier_gradient(void *user, const float *x, const double *t, const uint64_t *sample, size_t rows,
                                     float *gradient) {
    ssde_classifier *c = (ssde_classifier *)user;
    size_t begin, count;
    if (!c) return SSDE_ERROR_ARGUMENT;
    if (!x || !t || !gradient)
        return ssde_fail(c->context, SSDE_ERROR_ARGUMENT, "%s is NULL", !x ? "x" : !t ? "t" : "gradient");
    if (!c->table.count)
        return ssde_fail(c->context, SSDE_ERROR_ARGUMENT, "no classes to guide to: ssde_classifier_set_classes");
    for (begin = 0; begin < rows; begin += count) {
        count = rows - begin < c->max_rows ? rows - begin : c->max_rows;
        ssdei_try(
            ssdei_class_table_find(c->context, &c->table, sample ? sample + begin : NULL, begin, count, c->classes));
        ssdei_try(ssdei_classifier_logits(c, x + begin * c->dim, t + begin, count));
        ssdei_try(ssde_cross_entropy(c->context, c->logits, c->classes, count, c->count, -1.0, c->losses, c->logits));
        ssdei_try(ssde_run_backward(c->run, c->logits, gradient + begin * c->dim, NULL));
    }
    return SSDE_OK;
}

ssde_status ssde_cross_entropy(ssde_context *context, const float *logits, const int32_t *class_of, size_t rows,
                               size_t classes, double scale, double *losses, float *gradient) {
    size_t row, c;
    if (!logits || !class_of || !losses)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "ssde_cross_entropy: %s is NULL",
                         !logits     ? "logits"
                         : !class_of ? "class_of"
                                     : "losses");
    if (!rows || classes < 2)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                         "ssde_cross_entropy: rows is %.0f, classes %.0f, wanted 1, 2 or more", (double)rows,
                         (double)classes);
    ssdei_try(ssdei_check_classes(context, "class_of", class_of, rows, 0, classes));
    for (row = 0; row < rows; row++, logits += classes) {
        size_t own = (size_t)class_of[row], bad = ssdei_first_nonfinite(logits, classes);
        double total;
        if (bad < classes)
            return ssde_fail(context, SSDE_ERROR_NUMERIC, "ssde_cross_entropy: row %lu, logit %lu is %g",
                             (unsigned long)row, (unsigned long)bad, (double)logits[bad]);
        total = ssdei_log_sum_exp(logits, classes);
        losses[row] = total - (double)logits[own];
        for (c = 0; c < classes && gradient; c++, gradient++)
            *gradient = (float)(scale * (ssdei_math_exp((double)logits[c] - total) - (c == own ? 1.0 : 0.0)));
    }
    return SSDE_OK;
}

/* ---- >>train ---- */

/* A stretch of trainable weights: the unit of parallel work and of sums, so that neither depends on threads. */
typedef struct ssdei_stretch {
    size_t offset, count;
    double square; /* sum of the squared gradients */
} ssdei_stretch;

enum { SSDEI_STRETCH_FLOATS = 8192 };

struct ssde_trainer {
    ssde_context *context;
    ssde_net *net, *ema;
    ssde_sde sde;
    ssde_train_desc desc; /* loss.output, loss.eps and loss.context are filled in */
    ssde_run *run;
    uint64_t step;
    int scale_seen; /* of the first step's data, and warned of if it does not fit the SDE */
    size_t dim;
    ssdei_stretch *stretches;
    size_t stretch_count;
    ssdei_adam adam;                              /* of the step under way */
    float take[2];                                /* and of the averages */
    float *gradients;                             /* [weight_count], 0 between steps */
    float *first_moment, *second_moment;          /* [weight_count] */
    float *averages[2];                           /* [weight_count], where desc.keep_averages */
    float *x0, *x, *z, *output, *output_gradient; /* [batch, dim]; x is x0 perturbed by z */
    float *tangent;                               /* of the output, where the objective has one; z is its direction */
    ssdei_meaning means;
    float *label, *sigma; /* [batch] and so on */
    ssde_output_map *map; /* at t */
    double *t, *weight, *losses, *probe_losses;
    uint64_t *slot;
    int32_t *classes;
};

ssde_train_desc ssde_train_defaults(const ssde_sde *sde, uint64_t steps) {
    ssde_train_desc desc;
    int exploding = sde && ssdei_family(sde)->exploding;
    double shorter = steps && steps < 200000 ? sqrt(200000.0 / (double)steps) : 1.0;
    memset(&desc, 0, sizeof desc);
    desc.loss = ssde_loss_defaults();
    desc.loss.half_sum = exploding;
    if (sde && sde->kind == SSDE_NONLINEAR) {
        desc.objective = SSDE_OBJECTIVE_SLICED;
        desc.loss.weighting = SSDE_WEIGHT_LIKELIHOOD;
    }
    if (sde && ssdei_family(sde)->output == SSDE_PREDICT_FLOW) desc.loss.weighting = SSDE_WEIGHT_OUTPUT;
    desc.batch = 128;
    desc.lr = 2e-4 * (shorter < 10.0 ? shorter : 10.0);
    desc.beta1 = 0.9;
    desc.beta2 = 0.999;
    desc.adam_eps = 1e-8;
    desc.warmup = steps && steps < 100000 ? (int)(steps / 20) : 5000;
    desc.grad_clip = 1.0;
    desc.ema_rate = exploding ? 0.999 : 0.9999;
    desc.low = exploding ? 0.0 : -1.0;
    desc.high = 1.0;
    return desc;
}

static ssde_status ssdei_train_out_of_range(const ssde_train_desc *desc, const char *name, double value,
                                            const char *wanted) {
    return ssde_fail(desc->context, SSDE_ERROR_ARGUMENT, "ssde_trainer_create: desc.%s is %.10g, wanted %s", name,
                     value, wanted);
}

static ssde_status ssdei_train_desc_check(const ssde_train_desc *desc) {
    if (!desc->batch || desc->batch > INT_MAX)
        return ssdei_train_out_of_range(desc, "batch", (double)desc->batch, "1 to 2147483647");
    if (!ssdei_in_range(desc->lr, 0.0, 1e6)) return ssdei_train_out_of_range(desc, "lr", desc->lr, "0 to 1e6");
    if (!ssdei_in_range(desc->beta1, 0.0, 1.0 - DBL_EPSILON))
        return ssdei_train_out_of_range(desc, "beta1", desc->beta1, "0 to below 1");
    if (!ssdei_in_range(desc->beta2, 0.0, 1.0 - DBL_EPSILON))
        return ssdei_train_out_of_range(desc, "beta2", desc->beta2, "0 to below 1");
    if (!ssdei_in_range(desc->adam_eps, 1e-15, 1e6))
        return ssdei_train_out_of_range(desc, "adam_eps", desc->adam_eps, "1e-15 to 1e6: see ssde_train_defaults");
    if (!ssdei_in_range(desc->weight_decay, 0.0, 1e6))
        return ssdei_train_out_of_range(desc, "weight_decay", desc->weight_decay, "0 to 1e6");
    if (desc->warmup < 0) return ssdei_train_out_of_range(desc, "warmup", (double)desc->warmup, "0 or more");
    if (!(fabs(desc->grad_clip) <= DBL_MAX))
        return ssdei_train_out_of_range(desc, "grad_clip", desc->grad_clip, "a finite norm, or 0 for no clipping");
    if (!ssdei_in_range(desc->ema_rate, 0.0, 1.0))
        return ssdei_train_out_of_range(desc, "ema_rate", desc->ema_rate, "0 to 1");
    if (!ssdei_is_whole(desc->levels, 0.0, 16777216.0))
        return ssdei_train_out_of_range(desc, "levels", desc->levels, "a whole number from 1 to 2^24, or 0");
    if (!ssdei_in_range(desc->class_dropout, 0.0, 1.0))
        return ssdei_train_out_of_range(desc, "class_dropout", desc->class_dropout, "0 to 1");
    if ((unsigned)desc->objective >= SSDE_OBJECTIVE_COUNT)
        return ssdei_train_out_of_range(desc, "objective", (double)desc->objective, "an ssde_objective");
    if (desc->objective && desc->classifier)
        return ssdei_train_out_of_range(desc, "objective", (double)desc->objective, "0, of a classifier");
    if (desc->probes < 0 || desc->probes > 65536)
        return ssdei_train_out_of_range(desc, "probes", (double)desc->probes, "1 to 65536, or 0 for 1");
    if (desc->simulation_steps > INT_MAX)
        return ssdei_train_out_of_range(desc, "simulation_steps", (double)desc->simulation_steps, "up to 2147483647");
    if (!(desc->levels > 0.0)) return SSDE_OK;
    return ssdei_check_interval(desc->context, "ssde_trainer_create: desc.", desc->low, desc->high);
}

/* Cuts the trainable parameters into stretches; with `stretches` NULL only counts them. */
static size_t ssdei_train_stretches(const ssde_net *net, ssdei_stretch *stretches) {
    size_t count = 0, i, at;
    for (i = 0; i < net->parameter_count; i++) {
        const ssdei_parameter *parameter = &net->parameters[i];
        if (!parameter->info.trainable) continue;
        for (at = 0; at < parameter->info.count; at += SSDEI_STRETCH_FLOATS, count++) {
            size_t left = parameter->info.count - at;
            if (!stretches) continue;
            stretches[count].offset = parameter->offset + at;
            stretches[count].count = left < SSDEI_STRETCH_FLOATS ? left : (size_t)SSDEI_STRETCH_FLOATS;
        }
    }
    return count;
}

static void ssdei_trainer_arrays(void *object, ssdei_memory *memory) {
    ssde_trainer *trainer = (ssde_trainer *)object;
    size_t weights = trainer->net->weight_count, batch = trainer->desc.batch;
    size_t values = ssdei_multiply(batch, ssde_net_dim(trainer->net));
    size_t results = ssdei_multiply(batch, ssde_net_output_dim(trainer->net));
    trainer->stretches = ssdei_place(memory, ssdei_stretch, trainer->stretch_count);
    trainer->gradients = ssdei_place(memory, float, weights);
    trainer->first_moment = ssdei_place(memory, float, weights);
    trainer->second_moment = ssdei_place(memory, float, weights);
    trainer->x0 = ssdei_place(memory, float, values);
    trainer->averages[0] = ssdei_place(memory, float, trainer->desc.keep_averages ? weights : 0);
    trainer->averages[1] = ssdei_place(memory, float, trainer->desc.keep_averages ? weights : 0);
    trainer->x = ssdei_place(memory, float, values);
    trainer->z = ssdei_place(memory, float, values);
    trainer->output = ssdei_place(memory, float, results);
    trainer->output_gradient = ssdei_place(memory, float, results);
    trainer->tangent = ssdei_place(memory, float, trainer->desc.objective ? results : 0);
    trainer->label = ssdei_place(memory, float, batch);
    trainer->sigma = ssdei_place(memory, float, batch);
    trainer->map = ssdei_place(memory, ssde_output_map, batch);
    trainer->t = ssdei_place(memory, double, batch);
    trainer->weight = ssdei_place(memory, double, batch);
    trainer->losses = ssdei_place(memory, double, batch);
    trainer->probe_losses = ssdei_place(memory, double, trainer->desc.objective ? batch : 0);
    trainer->slot = ssdei_place(memory, uint64_t, batch);
    trainer->classes = ssdei_place(memory, int32_t, batch);
}

static ssde_run_desc ssdei_trainer_run_desc(const ssde_train_desc *train) {
    ssde_run_desc desc = ssde_run_defaults(train->objective ? SSDE_RUN_TANGENT : SSDE_RUN_TRAIN, train->batch);
    desc.convolution = train->convolution;
    desc.context = train->context;
    return desc;
}

/* The network is of the kind that desc trains. */
static ssde_status ssdei_trainer_check_net(const ssde_trainer *trainer, const ssde_net *net) {
    const ssde_train_desc *desc = &trainer->desc;
    int learned = 0;
    if (!desc->classifier) ssdei_try(ssdei_net_check_score(trainer->context, net, &learned));
    if (learned)
        return ssde_fail(trainer->context, SSDE_ERROR_UNSUPPORTED,
                         "the network gives %.0f channels of %.0f: the second half is a learned variance, which no "
                         "loss here trains, and which would be wrong after the first half's training",
                         (double)net->nodes[net->output].shape[2], (double)net->nodes[net->input].shape[2]);
    if (desc->classifier && (ssde_net_output_dim(net) < 2 || net->classes))
        return ssde_fail(
            trainer->context, SSDE_ERROR_ARGUMENT,
            "ssde_trainer_create: desc.classifier is set, but the network has %.0f results, and %.0f classes "
            "as a condition",
            (double)ssde_net_output_dim(net), (double)net->classes);
    if (desc->class_dropout > 0.0 && net->no_null_class)
        return ssde_fail(trainer->context, SSDE_ERROR_ARGUMENT,
                         "ssde_trainer_create: desc.class_dropout is %g, but the network knows no null class",
                         desc->class_dropout);
    if (desc->class_dropout > 0.0 && !net->classes)
        return ssde_fail(trainer->context, SSDE_ERROR_ARGUMENT,
                         "ssde_trainer_create: desc.class_dropout is %g, but the network has no classes",
                         desc->class_dropout);
    if (desc->random_flip && net->nodes[net->input].shape[1] == 1)
        return ssde_fail(trainer->context, SSDE_ERROR_ARGUMENT,
                         "ssde_trainer_create: desc.random_flip is set, but the network's samples are 1 wide");
    return SSDE_OK;
}

/* The loss takes what the network says its output means, where desc does not say it. A classifier has none. */
static ssde_status ssdei_trainer_meaning(ssde_trainer *trainer, const ssde_net *net) {
    static const char where[] = "ssde_trainer_create: desc.loss";
    ssde_loss_desc *loss = &trainer->desc.loss;
    ssdei_meaning *means = &trainer->means;
    if (trainer->desc.classifier) loss->output = SSDE_PREDICT_DEFAULT;
    ssdei_try(ssdei_loss_check(&trainer->sde, loss, where));
    means->output = loss->output;
    means->sigma_data = loss->output == SSDE_PREDICT_DEFAULT ? 0.0 : loss->sigma_data;
    means->discrete = loss->discrete != 0;
    ssdei_try(ssdei_net_meaning(trainer->context, where, net, &trainer->sde, means));
    if (loss->output == SSDE_PREDICT_DEFAULT && means->output == SSDE_PREDICT_EDM) loss->sigma_data = means->sigma_data;
    loss->output = means->output;
    return SSDE_OK;
}

static ssde_status ssdei_trainer_prepare(ssde_trainer *trainer, ssde_net *net) {
    ssde_train_desc *desc = &trainer->desc;
    double t, weight;
    trainer->net = net;
    trainer->dim = ssde_net_dim(net);
    trainer->stretch_count = ssdei_train_stretches(net, NULL);
    desc->loss.context = trainer->context;
    ssdei_try(ssdei_trainer_check_net(trainer, net));
    if (trainer->sde.kind == SSDE_NONLINEAR && !desc->objective && !desc->classifier)
        return ssde_fail(trainer->context, SSDE_ERROR_UNSUPPORTED,
                         "ssde_trainer_create: desc.objective is denoising, but the kernel of a nonlinear SDE is not "
                         "known: wanted implicit or sliced");
    ssdei_try(ssdei_trainer_meaning(trainer, net));
    if (!desc->simulation_steps) desc->simulation_steps = 100;
    if (desc->loss.eps == 0.0 && desc->loss.times != SSDE_TIMES_USER) desc->loss.eps = 1e-5;
    /* refuses importance where its density is not finite */
    return ssde_loss_times(&trainer->sde, &desc->loss, desc->seed, 0, NULL, 1, &t, &weight);
}

static ssde_status ssdei_trainer_place(ssde_trainer *trainer) {
    ssde_run_desc run = ssdei_trainer_run_desc(&trainer->desc);
    int k;
    ssdei_train_stretches(trainer->net, trainer->stretches);
    for (k = 0; k < 2 && trainer->desc.keep_averages; k++)
        memcpy(trainer->averages[k], trainer->net->weights, trainer->net->weight_count * sizeof(float));
    ssdei_try(ssdei_net_share(trainer->context, trainer->net, &trainer->ema));
    ssdei_try(ssde_run_create(&trainer->run, trainer->net, &run));
    trainer->net->means.discrete = trainer->means.discrete;
    if (!trainer->desc.classifier) trainer->net->means = trainer->means;
    trainer->ema->means = trainer->net->means;
    return SSDE_OK;
}

/* Where m(1) is 0 the flow's velocity is the error of a score or noise times about std / m. */
static void ssdei_trainer_warn_output(const ssde_trainer *trainer) {
    const ssde_loss_desc *loss = &trainer->desc.loss;
    ssde_context *context = trainer->context;
    ssde_output_map map;
    char text[256];
    if (!context || !context->log || trainer->desc.classifier || loss->output > SSDE_PREDICT_NOISE ||
        ssde_output_map_at(NULL, &trainer->sde, loss->output, loss->sigma_data, 1.0, &map) != SSDE_OK ||
        fabs(map.data_output) <= DBL_MAX)
        return;
    snprintf(
        text, sizeof text,
        "ssde_trainer_create: desc.loss.output is %s, which says nothing of x(0) at t = 1, where m is 0: its errors "
        "there spoil samples and likelihoods; use velocity, flow or edm",
        ssde_parameterisation_name(loss->output));
    (context->log)(context->user, text);
}

ssde_status ssde_trainer_create(ssde_trainer **trainer, ssde_net *net, const ssde_sde *sde,
                                const ssde_train_desc *desc) {
    ssde_context *context = desc ? desc->context : NULL;
    ssde_trainer made, *created;
    ssde_status status;
    if (!trainer) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "ssde_trainer_create: trainer is NULL");
    *trainer = NULL;
    if (!net || !desc)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "ssde_trainer_create: %s is NULL", net ? "desc" : "net");
    if (!net->finished)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "ssde_trainer_create: net is not finished: ssde_net_finish");
    ssdei_try(ssde_sde_check(context, sde));
    ssdei_try(ssdei_train_desc_check(desc));
    memset(&made, 0, sizeof made);
    made.context = context;
    made.sde = *sde;
    made.desc = *desc;
    ssdei_try(ssdei_trainer_prepare(&made, net));
    created = (ssde_trainer *)ssdei_object_create(context, &made, sizeof made, ssdei_trainer_arrays);
    if (!created) return SSDE_ERROR_MEMORY;
    status = ssdei_trainer_place(created);
    if (status != SSDE_OK)
        ssde_trainer_destroy(created);
    else
        *trainer = created;
    if (status == SSDE_OK) ssdei_trainer_warn_output(created);
    return status;
}

size_t ssde_trainer_memory(const ssde_net *net, const ssde_train_desc *desc) {
    ssde_trainer trainer;
    ssde_run_desc run;
    if (!net || !net->finished || !desc || ssdei_train_desc_check(desc) != SSDE_OK) return 0;
    memset(&trainer, 0, sizeof trainer);
    trainer.context = desc->context;
    trainer.desc = *desc;
    if (ssdei_trainer_check_net(&trainer, net) != SSDE_OK) return 0;
    trainer.net = (ssde_net *)net;
    trainer.stretch_count = ssdei_train_stretches(net, NULL);
    run = ssdei_trainer_run_desc(desc);
    return ssdei_both_bytes(ssdei_object_bytes(&trainer, sizeof trainer, ssdei_trainer_arrays),
                            ssdei_both_bytes(ssdei_net_share_bytes(net), ssde_run_memory(net, &run)));
}

void ssde_trainer_destroy(ssde_trainer *trainer) {
    if (!trainer) return;
    ssde_run_destroy(trainer->run);
    ssde_net_destroy(trainer->ema);
    ssdei_release(trainer->context, trainer);
}

uint64_t ssde_trainer_step_count(const ssde_trainer *trainer) { return trainer ? trainer->step : 0; }

ssde_status ssde_trainer_set_lr(ssde_trainer *trainer, double lr) {
    if (!trainer) return SSDE_ERROR_ARGUMENT;
    if (!ssdei_in_range(lr, 0.0, 1e6))
        return ssde_fail(trainer->desc.context, SSDE_ERROR_ARGUMENT, "ssde_trainer_set_lr: lr is %.9g, wanted 0 to 1e6",
                         lr);
    trainer->desc.lr = lr;
    return SSDE_OK;
}

const ssde_net *ssde_trainer_ema(const ssde_trainer *trainer) { return trainer ? trainer->ema : NULL; }

SSDEI_ONCE_END

/* ---- train: what a step is given ---- */

SSDEI_ONCE_BEGIN

static ssde_status ssdei_train_data_check(const ssde_trainer *trainer, const float *x, size_t rows) {
    size_t dim = trainer->dim, count = ssdei_multiply(rows, dim), i;
    double levels = trainer->desc.levels;
    if (count == SIZE_MAX)
        return ssde_fail(trainer->context, SSDE_ERROR_ARGUMENT, "x: %.0f rows of %.0f elements exceed memory",
                         (double)rows, (double)dim);
    if (!(levels > 0.0)) {
        i = ssdei_first_nonfinite(x, count);
        if (i == count) return SSDE_OK;
        return ssde_fail(trainer->context, SSDE_ERROR_NUMERIC, "x: row %lu, element %lu is %g, wanted a finite number",
                         (unsigned long)(i / dim), (unsigned long)(i % dim), (double)x[i]);
    }
    for (i = 0; i < count; i++) {
        double value = (double)x[i];
        if (ssdei_is_whole(value, 0.0, levels - 1.0)) continue;
        return ssde_fail(trainer->context, SSDE_ERROR_ARGUMENT,
                         "x: row %lu, element %lu is %.9g, wanted a whole number from 0 to %.0f",
                         (unsigned long)(i / dim), (unsigned long)(i % dim), value, levels - 1.0);
    }
    return SSDE_OK;
}

/* Mirrors image [height, width, channels] left to right. */
static void ssdei_flip(const ssde_net *net, float *image) {
    size_t height, width, channels, y, left, c;
    ssde_net_shape(net, &height, &width, &channels);
    for (y = 0; y < height; y++) {
        float *row = image + y * width * channels;
        for (left = 0; left < width / 2; left++) {
            float *a = row + left * channels, *b = row + (width - 1 - left) * channels;
            for (c = 0; c < channels; c++) {
                float kept = a[c];
                a[c] = b[c];
                b[c] = kept;
            }
        }
    }
}

/* x(t) from x0, which lends its place to the drift: without a kernel nothing is learned from x0 itself. */
static ssde_status ssdei_train_simulate(ssde_trainer *trainer, size_t rows, uint64_t seed, uint32_t step) {
    ssde_simulation_desc how = ssde_simulation_defaults();
    float *work[3];
    work[0] = trainer->z, work[1] = trainer->x0, work[2] = NULL;
    how.steps = trainer->desc.simulation_steps;
    how.context = trainer->context;
    how.first_draw = (uint32_t)(step * how.steps);
    if (((uint64_t)step + 1) * how.steps > (uint64_t)1 << 32)
        return ssde_fail(trainer->context, SSDE_ERROR_LIMIT,
                         "training step %.0f simulates %.0f steps: no draws are left of 2^32", (double)step,
                         (double)how.steps);
    if (trainer->context) trainer->context->error[0] = 0; /* a drift that fails without a text gets one */
    memcpy(trainer->x, trainer->x0, rows * trainer->dim * sizeof *trainer->x);
    return ssdei_simulate(&trainer->sde, &how, seed, trainer->slot, trainer->t, rows, trainer->dim, work, trainer->x);
}

/* From data [rows, dim] and the slots noted: x0, x as the network takes it, z, t, weight, label, sigma; but, where the
   objective asks for nothing but x(t), that in x0's place. */
static ssde_status ssdei_train_perturb(ssde_trainer *trainer, const float *data, size_t rows, uint64_t seed,
                                       uint32_t step, int flip) {
    const ssde_train_desc *desc = &trainer->desc;
    size_t dim = trainer->dim, row;
    if (desc->levels > 0.0)
        ssdei_try(ssde_dequantise(trainer->context, seed, step, trainer->slot, data, rows, dim, desc->levels, desc->low,
                                  desc->high, trainer->x0));
    else
        memcpy(trainer->x0, data, rows * dim * sizeof *data);
    for (row = 0; row < rows && flip; row++)
        if (ssde_random_double(seed, SSDE_STREAM_FLIP, step, trainer->slot[row], 0) < 0.5)
            ssdei_flip(trainer->net, trainer->x0 + row * dim);
    ssdei_try(
        ssde_loss_times(&trainer->sde, &desc->loss, seed, step, trainer->slot, rows, trainer->t, trainer->weight));
    ssdei_try(ssdei_labels(trainer->context, &trainer->means, &trainer->sde, trainer->t, rows, trainer->label,
                           trainer->sigma, trainer->map));
    if (trainer->sde.kind == SSDE_NONLINEAR)
        ssdei_try(ssdei_train_simulate(trainer, rows, seed, step));
    else {
        ssdei_try(
            ssde_random_normal(trainer->context, seed, SSDE_STREAM_NOISE, step, trainer->slot, rows, dim, trainer->z));
        ssdei_try(
            ssde_loss_perturb(&trainer->sde, &desc->loss, trainer->x0, trainer->z, trainer->t, rows, dim, trainer->x));
    }
    if (desc->objective) memcpy(trainer->x0, trainer->x, rows * dim * sizeof *data);
    for (row = 0; row < rows && trainer->means.output == SSDE_PREDICT_EDM; row++)
        ssdei_scale_row(dim, trainer->map[row].input, trainer->x + row * dim, trainer->x + row * dim);
    return SSDE_OK;
}

/* Checks classes [rows] and keeps them, with some in place of which the null class is trained. */
static ssde_status ssdei_train_classes(ssde_trainer *trainer, const int32_t *classes, size_t rows) {
    size_t count = trainer->desc.classifier ? ssde_net_output_dim(trainer->net) : trainer->net->classes;
    if (!count) return SSDE_OK;
    if (!classes)
        return ssde_fail(trainer->context, SSDE_ERROR_ARGUMENT,
                         "classes is NULL, wanted one of the %.0f classes for each row", (double)count);
    ssdei_try(ssdei_check_classes(trainer->context, "classes", classes, rows,
                                  trainer->desc.classifier ? 0 : ssdei_least_class(trainer->net), count));
    memcpy(trainer->classes, classes, rows * sizeof *classes);
    return SSDE_OK;
}

static void ssdei_train_drop_classes(ssde_trainer *trainer, size_t rows, uint64_t seed, uint32_t step) {
    double p = trainer->desc.class_dropout;
    size_t row;
    for (row = 0; row < rows && p > 0.0; row++)
        if (ssde_random_double(seed, SSDE_STREAM_CLASS, step, trainer->slot[row], 0) < p) trainer->classes[row] = -1;
}

/* The passes to come have the weights trained, or those averaged, for which dropout is off. The run serves both: it
   keeps no packed weights. */
static void ssdei_train_on(ssde_trainer *trainer, const ssde_net *net) {
    trainer->run->net = net;
    trainer->run->dropout = net == trainer->net;
}

/* A direction of mean square 1 per dimension, for each row, and as the network sees it: random signs, or for the exact
   trace sqrt(dim) e_k. */
static ssde_status ssdei_train_probe(ssde_trainer *trainer, size_t rows, uint64_t seed, uint32_t step, size_t k,
                                     float *v, float *seen) {
    size_t dim = trainer->dim, row;
    if (trainer->desc.objective == SSDE_OBJECTIVE_SLICED)
        ssdei_try(ssde_random_sign(trainer->context, seed + (uint64_t)k * 0x9e3779b97f4a7c15u, SSDE_STREAM_PROBE, step,
                                   trainer->slot, rows, dim, v));
    else {
        memset(v, 0, rows * dim * sizeof *v);
        for (row = 0; row < rows; row++) v[row * dim + k] = (float)sqrt((double)dim);
    }
    memcpy(seen, v, rows * dim * sizeof *v);
    for (row = 0; row < rows && trainer->means.output == SSDE_PREDICT_EDM; row++)
        ssdei_scale_row(dim, trainer->map[row].input, seen + row * dim, seen + row * dim);
    return SSDE_OK;
}

/* As ssdei_train_losses, of the mean over all probes; unless gradient is NULL, scale times its derivatives by the
   weights are added to those of the trainer. */
static ssde_status ssdei_train_implicit(ssde_trainer *trainer, size_t rows, uint64_t seed, uint32_t step, double scale,
                                        float *gradient) {
    size_t dim = trainer->dim, row, k;
    size_t probes = trainer->desc.objective == SSDE_OBJECTIVE_IMPLICIT ? dim
                    : trainer->desc.probes                             ? (size_t)trainer->desc.probes
                                                                       : 1;
    memset(trainer->losses, 0, rows * sizeof *trainer->losses);
    for (k = 0; k < probes; k++) {
        ssdei_try(ssdei_train_probe(trainer, rows, seed, step, k, trainer->z, trainer->output));
        ssdei_try(ssde_run_forward_tangent(trainer->run, trainer->x, trainer->output, trainer->label, trainer->sigma,
                                           rows, seed, step, trainer->slot, trainer->output, trainer->tangent));
        ssdei_try(ssde_loss_implicit(&trainer->sde, &trainer->desc.loss, trainer->output, trainer->tangent, trainer->x0,
                                     trainer->z, trainer->t, trainer->weight, rows, dim, scale / (double)probes,
                                     trainer->probe_losses, gradient, gradient ? trainer->tangent : NULL));
        for (row = 0; row < rows; row++) trainer->losses[row] += trainer->probe_losses[row] / (double)probes;
        if (gradient)
            ssdei_try(ssde_run_backward_tangent(trainer->run, gradient, trainer->tangent, trainer->gradients));
    }
    return SSDE_OK;
}

/* A pass over what ssdei_train_perturb made; losses [rows], and scale times their derivatives unless gradient is NULL.
 */
static ssde_status ssdei_train_losses(ssde_trainer *trainer, size_t rows, uint64_t seed, uint32_t step, double scale,
                                      float *gradient) {
    ssde_run *run = trainer->run;
    size_t count = ssde_net_output_dim(trainer->net), row;
    if (trainer->net->classes) ssdei_try(ssde_run_set_classes(run, trainer->classes, rows));
    if (trainer->desc.objective) return ssdei_train_implicit(trainer, rows, seed, step, scale, gradient);
    ssdei_try(ssde_run_forward(run, trainer->x, trainer->label, trainer->sigma, rows, seed, step, trainer->slot,
                               trainer->output));
    if (!trainer->desc.classifier)
        return ssde_loss(&trainer->sde, &trainer->desc.loss, trainer->output, trainer->x0, trainer->z, trainer->t,
                         trainer->weight, rows, trainer->dim, scale, trainer->losses, gradient);
    for (row = 0; row < rows; row++) {
        ssdei_try(ssde_cross_entropy(trainer->context, trainer->output + row * count, trainer->classes + row, 1, count,
                                     scale * trainer->weight[row], trainer->losses + row,
                                     gradient ? gradient + row * count : NULL));
        trainer->losses[row] *= trainer->weight[row];
    }
    return SSDE_OK;
}

/* ---- train: Adam ---- */

static void ssdei_train_squares(void *argument, ssdei_worker *worker) {
    ssde_trainer *trainer = (ssde_trainer *)argument;
    size_t begin, end;
    while (ssdei_next_piece(worker, &begin, &end)) {
        for (; begin < end; begin++) {
            ssdei_stretch *stretch = &trainer->stretches[begin];
            stretch->square = trainer->run->nn->squares(trainer->gradients + stretch->offset, stretch->count);
        }
    }
}

/* The norm of the whole gradient; not finite if any part of it is not. */
static double ssdei_train_gradient_norm(ssde_trainer *trainer) {
    double sum = 0.0;
    size_t s;
    ssdei_parallel_for(trainer->run->team, trainer->stretch_count, 1, ssdei_train_squares, trainer);
    for (s = 0; s < trainer->stretch_count; s++) sum += trainer->stretches[s].square;
    return sqrt(sum);
}

static void ssdei_adam_update(void *argument, ssdei_worker *worker) {
    ssde_trainer *trainer = (ssde_trainer *)argument;
    size_t begin, end;
    int k;
    while (ssdei_next_piece(worker, &begin, &end)) {
        for (; begin < end; begin++) {
            size_t offset = trainer->stretches[begin].offset, count = trainer->stretches[begin].count;
            trainer->run->nn->adam(&trainer->adam, count, trainer->gradients + offset, trainer->net->weights + offset,
                                   trainer->ema->weights + offset, trainer->first_moment + offset,
                                   trainer->second_moment + offset);
            for (k = 0; k < 2 && trainer->desc.keep_averages; k++)
                trainer->run->nn->approach(trainer->net->weights + offset, trainer->take[k], count,
                                           trainer->averages[k] + offset);
        }
    }
}

/* The lengths that are kept. */
static const double ssdei_average_lengths[2] = {0.05, 0.10};

/* The gamma of a length up to 1 / sqrt(12), where it is 0: the greatest root of (g + 2)^2 (g + 3) = (g + 1) / length^2,
   from above, where Newton's steps all go down. */
static double ssdei_average_gamma(double length) {
    double square = 1.0 / (length * length), gamma = 1.0 / length, next = gamma;
    do {
        double two = gamma = next, slope;
        two += 2.0;
        slope = two * (2.0 * (gamma + 3.0) + two) - square;
        next = gamma - (two * two * (gamma + 3.0) - (gamma + 1.0) * square) / slope;
    } while (next < gamma);
    return gamma;
}

/* What step number `step`, from 1, is to the average of that gamma: 1 - (1 - 1 / step)^(gamma + 1). */
static double ssdei_average_take(double length, double step) {
    return 1.0 - ssdei_math_pow(1.0 - 1.0 / step, ssdei_average_gamma(length) + 1.0);
}

/* Learning rate and EMA decay count updates, of which this is number `step` from 0. */
static ssdei_adam ssdei_adam_step(const ssde_trainer *trainer, double clip) {
    const ssde_train_desc *desc = &trainer->desc;
    double n = (double)trainer->step + 1.0, lr = desc->lr, decay = (1.0 + n) / (10.0 + n);
    ssdei_adam adam;
    if (desc->warmup > 0 && trainer->step < (uint64_t)desc->warmup) lr *= (double)trainer->step / (double)desc->warmup;
    if (decay > desc->ema_rate) decay = desc->ema_rate;
    adam.clip = (float)clip;
    adam.weight_decay = (float)desc->weight_decay;
    adam.keep1 = (float)desc->beta1;
    adam.take1 = (float)(1.0 - desc->beta1);
    adam.keep2 = (float)desc->beta2;
    adam.take2 = (float)(1.0 - desc->beta2);
    adam.rate = (float)(lr / (1.0 - ssdei_math_pow(desc->beta1, n)));
    adam.root_scale = (float)(1.0 / sqrt(1.0 - ssdei_math_pow(desc->beta2, n)));
    adam.eps = (float)desc->adam_eps;
    adam.ema = (float)(1.0 - decay);
    adam.least = (float)sqrt(1.0001 * (double)FLT_MIN / (1.0 - desc->beta2));
    return adam;
}

static ssde_status ssdei_train_update(ssde_trainer *trainer) {
    double norm = ssdei_train_gradient_norm(trainer), limit = trainer->desc.grad_clip, clip = 1.0;
    int k;
    if (!(norm <= DBL_MAX)) return ssde_fail(trainer->context, SSDE_ERROR_NUMERIC, "the gradient is not finite");
    if (limit > 0.0 && limit < norm + 1e-6) clip = limit / (norm + 1e-6);
    if (norm * clip > 1e18) /* its square must be a float */
        return ssde_fail(trainer->context, SSDE_ERROR_NUMERIC,
                         "the gradient's norm is %.9g, wanted at most 1e18: see desc.grad_clip", norm * clip);
    trainer->adam = ssdei_adam_step(trainer, clip);
    for (k = 0; k < 2 && trainer->desc.keep_averages; k++)
        trainer->take[k] = (float)ssdei_average_take(ssdei_average_lengths[k], (double)trainer->step + 1.0);
    ssdei_parallel_for(trainer->run->team, trainer->stretch_count, 1, ssdei_adam_update, trainer);
    trainer->step++;
    return SSDE_OK;
}

/* ---- train: a step ---- */

static ssde_status ssdei_train_gradients(ssde_trainer *trainer, const ssde_batch *batch, double *loss) {
    uint64_t seed = trainer->desc.seed;
    uint32_t step = (uint32_t)trainer->step;
    size_t rows = batch->rows, row;
    for (row = 0; row < rows; row++) trainer->slot[row] = batch->first_slot + row;
    ssdei_try(ssdei_train_perturb(trainer, batch->x, rows, seed, step, trainer->desc.random_flip));
    ssdei_train_drop_classes(trainer, rows, seed, step);
    ssdei_train_on(trainer, trainer->net);
    ssdei_try(ssdei_train_losses(trainer, rows, seed, step, 1.0 / (double)rows, trainer->output_gradient));
    *loss = 0.0;
    for (row = 0; row < rows; row++) *loss += trainer->losses[row];
    *loss /= (double)rows;
    if (trainer->desc.objective) return SSDE_OK; /* its passes back are done */
    return ssde_run_backward(trainer->run, trainer->output_gradient, NULL, trainer->gradients);
}

ssde_batch ssde_batch_of(const float *x, size_t rows) {
    ssde_batch batch;
    memset(&batch, 0, sizeof batch);
    batch.x = x;
    batch.rows = rows;
    return batch;
}

static ssde_status ssdei_train_batch_check(const char *name, const ssde_trainer *trainer, const ssde_batch *batch) {
    ssde_context *context = trainer ? trainer->context : NULL;
    uint64_t slots = (uint64_t)1 << 48;
    if (!trainer || !batch || !batch->x)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s: %s is NULL", name,
                         !trainer ? "trainer"
                         : !batch ? "batch"
                                  : "batch.x");
    if (!batch->rows) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s: batch.rows is 0, wanted 1 or more", name);
    if (batch->first_slot <= slots && batch->rows <= slots - batch->first_slot) return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s: batch.first_slot is %.0f, wanted up to 2^48 less %.0f rows",
                     name, (double)batch->first_slot, (double)batch->rows);
}

ssde_status ssde_train_step(ssde_trainer *trainer, const ssde_batch *batch, double *loss) {
    ssde_context *context = trainer ? trainer->context : NULL;
    double mean = 0.0;
    ssde_status status;
    ssdei_try(ssdei_train_batch_check("ssde_train_step", trainer, batch));
    if (batch->rows > trainer->desc.batch)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                         "ssde_train_step: batch.rows is %.0f, wanted 1 to desc.batch = %.0f", (double)batch->rows,
                         (double)trainer->desc.batch);
    if (trainer->step >> 32) return ssde_fail(context, SSDE_ERROR_LIMIT, "ssde_train_step: 2^32 steps were taken");
    ssdei_try(ssdei_train_data_check(trainer, batch->x, batch->rows));
    ssdei_try(ssdei_train_classes(trainer, batch->classes, batch->rows));
    ssdei_try(ssde_run_set_vectors(trainer->run, batch->vectors, batch->rows));
    if (!trainer->scale_seen)
        ssdei_warn_scale(context, "ssde_train_step", &trainer->sde, batch->x, batch->rows * trainer->dim,
                         trainer->desc.levels, trainer->desc.low, trainer->desc.high);
    trainer->scale_seen = 1;
    status = ssdei_train_gradients(trainer, batch, &mean);
    if (status == SSDE_OK) status = ssdei_train_update(trainer);
    if (status != SSDE_OK) memset(trainer->gradients, 0, trainer->net->weight_count * sizeof *trainer->gradients);
    if (status == SSDE_ERROR_NUMERIC && context) {
        char text[sizeof context->error];
        memcpy(text, context->error, sizeof text);
        return ssde_fail(context, status, "training step %.0f: %.200s", (double)trainer->step, text);
    }
    if (status == SSDE_OK && loss) *loss = mean;
    return status;
}

ssde_status ssde_trainer_evaluate(ssde_trainer *trainer, const ssde_batch *batch, uint64_t seed, double *loss,
                                  double *standard_error) {
    double mean = 0.0, squares = 0.0; /* of the losses so far: their mean, their squared distances from it */
    size_t rows, begin, row;
    ssdei_try(ssdei_train_batch_check("ssde_trainer_evaluate", trainer, batch));
    rows = batch->rows;
    ssdei_try(ssdei_train_data_check(trainer, batch->x, rows));
    ssdei_train_on(trainer, trainer->ema);
    for (begin = 0; begin < rows; begin += trainer->desc.batch) {
        size_t count = rows - begin < trainer->desc.batch ? rows - begin : trainer->desc.batch;
        for (row = 0; row < count; row++) trainer->slot[row] = batch->first_slot + begin + row;
        if (batch->classes || trainer->desc.classifier)
            ssdei_try(ssdei_train_classes(trainer, batch->classes ? batch->classes + begin : NULL, count));
        else
            for (row = 0; row < count; row++) trainer->classes[row] = -1;
        ssdei_try(ssde_run_set_vectors(
            trainer->run, batch->vectors ? batch->vectors + begin * ssde_net_vector(trainer->net) : NULL, count));
        ssdei_try(ssdei_train_perturb(trainer, batch->x + begin * trainer->dim, count, seed, 0, 0));
        ssdei_try(ssdei_train_losses(trainer, count, seed, 0, 1.0, NULL));
        for (row = 0; row < count; row++) {
            double away = trainer->losses[row] - mean;
            mean += away / (double)(begin + row + 1);
            squares += away * (trainer->losses[row] - mean);
        }
    }
    if (loss) *loss = mean;
    if (standard_error)
        *standard_error = rows > 1 ? sqrt(squares / (double)(rows - 1) / (double)rows) : (double)HUGE_VAL;
    return SSDE_OK;
}

/* ---- train: the order of the data ---- */

/* A permutation of 0 ... 4^half_bits - 1: eight rounds of a Feistel network keyed by (seed, pass). */
static uint64_t ssdei_feistel(uint64_t seed, uint64_t pass, unsigned half_bits, uint64_t value) {
    uint32_t mask = (uint32_t)(((uint64_t)1 << half_bits) - 1);
    uint32_t left = (uint32_t)(value >> half_bits) & mask, right = (uint32_t)value & mask;
    uint32_t key[2], round;
    key[0] = (uint32_t)seed;
    key[1] = (uint32_t)(seed >> 32);
    for (round = 0; round < 8; round++) {
        uint32_t counter[4], words[4], mixed;
        counter[0] = right;
        counter[1] = round;
        counter[2] = (uint32_t)pass;
        counter[3] = (uint32_t)(pass >> 32) << 16 | (uint32_t)SSDE_STREAM_SHUFFLE;
        ssde_philox(counter, key, words);
        mixed = left ^ (words[0] & mask);
        left = right;
        right = mixed;
    }
    return (uint64_t)left << half_bits | right;
}

uint64_t ssde_shuffled_index(uint64_t seed, uint64_t count, uint64_t position) {
    uint64_t pass, index;
    unsigned half_bits = 1;
    if (count < 2) return 0;
    pass = position / count;
    index = position % count;
    while (half_bits < 32 && (uint64_t)1 << 2 * half_bits < count) half_bits++;
    /* The permuted range is less than four times as long as count: those beyond are permuted again. */
    do index = ssdei_feistel(seed, pass, half_bits, index);
    while (index >= count);
    return index;
}

/* ---- >>configurations ---- */

/* What configurations of images of a size have in common. */
typedef struct ssdei_images {
    size_t size, nf;
    int num_levels, ch_mult[8];
    double dropout, lr;
    int num_scales;
    size_t batch;
} ssdei_images;
enum { SSDEI_CIFAR, SSDEI_CELEBA, SSDEI_256_DDPM, SSDEI_256, SSDEI_1024 };
static const ssdei_images ssdei_image_sets[] = {
    {32, 128, 4, {1, 2, 2, 2, 0, 0, 0, 0}, 0.1, 2e-4, 1000, 128},
    {64, 128, 4, {1, 2, 2, 2, 0, 0, 0, 0}, 0.1, 2e-4, 1000, 128},
    {256, 128, 6, {1, 1, 2, 2, 4, 4, 0, 0}, 0.0, 2e-5, 1000, 64},
    {256, 128, 7, {1, 1, 2, 2, 2, 2, 2, 0}, 0.0, 2e-4, 2000, 64},
    {1024, 16, 8, {1, 2, 4, 8, 16, 32, 32, 32}, 0.0, 2e-4, 2000, 8},
};

/* NCSN++ has a residual input pyramid; with skips, input_skip and output_skip. */
typedef enum ssdei_body { SSDEI_DDPM, SSDEI_DDPMPP, SSDEI_NCSNPP, SSDEI_NCSNPP_SKIPS } ssdei_body;

typedef struct ssdei_configuration {
    const char *name;
    ssde_sde_kind sde;
    int continuous;
    ssdei_body body;
    int images, num_res_blocks;
    double sigma_max; /* VE */
    double ema_rate;
    int reduce_mean, conditional;
} ssdei_configuration;
static const ssdei_configuration ssdei_configurations[] = {
    {"subvp/cifar10_ddpm_continuous", SSDE_SUBVP, 1, SSDEI_DDPM, SSDEI_CIFAR, 2, 0.0, 0.9999, 1, 1},
    {"subvp/cifar10_ddpmpp_continuous", SSDE_SUBVP, 1, SSDEI_DDPMPP, SSDEI_CIFAR, 4, 0.0, 0.9999, 1, 1},
    {"subvp/cifar10_ddpmpp_deep_continuous", SSDE_SUBVP, 1, SSDEI_DDPMPP, SSDEI_CIFAR, 8, 0.0, 0.9999, 1, 1},
    {"subvp/cifar10_ncsnpp_continuous", SSDE_SUBVP, 1, SSDEI_NCSNPP, SSDEI_CIFAR, 4, 0.0, 0.9999, 1, 1},
    {"subvp/cifar10_ncsnpp_deep_continuous", SSDE_SUBVP, 1, SSDEI_NCSNPP, SSDEI_CIFAR, 8, 0.0, 0.9999, 1, 1},
    {"ve/bedroom_ncsnpp_continuous", SSDE_VE, 1, SSDEI_NCSNPP_SKIPS, SSDEI_256, 2, 378.0, 0.999, 0, 1},
    {"ve/celeba_ncsnpp", SSDE_VE, 0, SSDEI_NCSNPP, SSDEI_CELEBA, 4, 90.0, 0.999, 0, 1},
    {"ve/celebahq_256_ncsnpp_continuous", SSDE_VE, 1, SSDEI_NCSNPP_SKIPS, SSDEI_256, 2, 348.0, 0.999, 0, 1},
    {"ve/celebahq_ncsnpp_continuous", SSDE_VE, 1, SSDEI_NCSNPP_SKIPS, SSDEI_1024, 1, 1348.0, 0.9999, 0, 1},
    {"ve/church_ncsnpp_continuous", SSDE_VE, 1, SSDEI_NCSNPP_SKIPS, SSDEI_256, 2, 380.0, 0.999, 0, 1},
    {"ve/cifar10_ddpm", SSDE_VE, 0, SSDEI_DDPM, SSDEI_CIFAR, 2, 50.0, 0.999, 0, 1},
    {"ve/cifar10_ncsnpp", SSDE_VE, 0, SSDEI_NCSNPP, SSDEI_CIFAR, 4, 50.0, 0.999, 0, 1},
    {"ve/cifar10_ncsnpp_continuous", SSDE_VE, 1, SSDEI_NCSNPP, SSDEI_CIFAR, 4, 50.0, 0.999, 0, 1},
    {"ve/cifar10_ncsnpp_deep_continuous", SSDE_VE, 1, SSDEI_NCSNPP, SSDEI_CIFAR, 8, 50.0, 0.999, 0, 1},
    {"ve/ffhq_256_ncsnpp_continuous", SSDE_VE, 1, SSDEI_NCSNPP_SKIPS, SSDEI_256, 2, 348.0, 0.999, 0, 1},
    {"ve/ffhq_ncsnpp_continuous", SSDE_VE, 1, SSDEI_NCSNPP_SKIPS, SSDEI_1024, 1, 1348.0, 0.9999, 1, 1},
    {"vp/cifar10_ddpmpp", SSDE_VP, 0, SSDEI_DDPMPP, SSDEI_CIFAR, 4, 0.0, 0.9999, 1, 1},
    {"vp/cifar10_ddpmpp_continuous", SSDE_VP, 1, SSDEI_DDPMPP, SSDEI_CIFAR, 4, 0.0, 0.9999, 1, 1},
    {"vp/cifar10_ddpmpp_deep_continuous", SSDE_VP, 1, SSDEI_DDPMPP, SSDEI_CIFAR, 8, 0.0, 0.9999, 1, 1},
    {"vp/cifar10_ncsnpp", SSDE_VP, 0, SSDEI_NCSNPP, SSDEI_CIFAR, 4, 0.0, 0.9999, 1, 1},
    {"vp/cifar10_ncsnpp_continuous", SSDE_VP, 1, SSDEI_NCSNPP, SSDEI_CIFAR, 4, 0.0, 0.9999, 1, 1},
    {"vp/cifar10_ncsnpp_deep_continuous", SSDE_VP, 1, SSDEI_NCSNPP, SSDEI_CIFAR, 8, 0.0, 0.9999, 1, 1},
    {"vp/ddpm/bedroom", SSDE_VP, 0, SSDEI_DDPM, SSDEI_256_DDPM, 2, 0.0, 0.9999, 1, 1},
    {"vp/ddpm/celebahq", SSDE_VP, 0, SSDEI_DDPM, SSDEI_256_DDPM, 2, 0.0, 0.9999, 1, 1},
    {"vp/ddpm/church", SSDE_VP, 0, SSDEI_DDPM, SSDEI_256_DDPM, 2, 0.0, 0.9999, 1, 1},
    {"vp/ddpm/cifar10", SSDE_VP, 0, SSDEI_DDPM, SSDEI_CIFAR, 2, 0.0, 0.9999, 1, 1},
    {"vp/ddpm/cifar10_continuous", SSDE_VP, 1, SSDEI_DDPM, SSDEI_CIFAR, 2, 0.0, 0.9999, 1, 1},
    {"vp/ddpm/cifar10_unconditional", SSDE_VP, 0, SSDEI_DDPM, SSDEI_CIFAR, 2, 0.0, 0.9999, 1, 0},
};
enum { SSDEI_CONFIGURATIONS = sizeof ssdei_configurations / sizeof ssdei_configurations[0] };

/* RefineNets, of data in [0, 1], batches of 128, no warm-up and no clipping. */
typedef struct ssdei_refinenet_configuration {
    const char *name;
    ssde_refinenet_name net;
    size_t size;
    double sigma_max;
    int num_scales;
    double lr, ema_rate;
} ssdei_refinenet_configuration;
static const ssdei_refinenet_configuration ssdei_refinenet_configurations[] = {
    {"ve/ncsn/celeba", SSDE_NCSN, 64, 1.0, 10, 1e-3, 0.0},
    {"ve/ncsn/celeba_124", SSDE_NCSN, 64, 90.0, 500, 1e-3, 0.0},
    {"ve/ncsn/celeba_1245", SSDE_NCSN, 64, 90.0, 500, 1e-3, 0.999},
    {"ve/ncsn/celeba_5", SSDE_NCSN, 64, 1.0, 10, 1e-3, 0.999},
    {"ve/ncsn/cifar10", SSDE_NCSN, 32, 1.0, 10, 1e-3, 0.0},
    {"ve/ncsn/cifar10_124", SSDE_NCSN, 32, 50.0, 232, 1e-3, 0.0},
    {"ve/ncsn/cifar10_1245", SSDE_NCSN, 32, 50.0, 232, 1e-3, 0.999},
    {"ve/ncsn/cifar10_5", SSDE_NCSN, 32, 1.0, 10, 1e-3, 0.999},
    {"ve/ncsnv2/bedroom", SSDE_NCSNV2_128, 128, 190.0, 1086, 1e-4, 0.9999},
    {"ve/ncsnv2/celeba", SSDE_NCSNV2_64, 64, 90.0, 500, 1e-4, 0.999},
    {"ve/ncsnv2/cifar10", SSDE_NCSNV2_64, 32, 50.0, 232, 1e-4, 0.999},
};
enum { SSDEI_REFINENETS = sizeof ssdei_refinenet_configurations / sizeof ssdei_refinenet_configurations[0] };

const char *ssde_configuration_name(size_t index) {
    if (index < SSDEI_CONFIGURATIONS) return ssdei_configurations[index].name;
    index -= SSDEI_CONFIGURATIONS;
    return index < SSDEI_REFINENETS ? ssdei_refinenet_configurations[index].name : NULL;
}

static const ssdei_refinenet_configuration *ssdei_refinenet_configuration_find(const char *name) {
    const ssdei_refinenet_configuration *row = ssdei_refinenet_configurations, *end = row + SSDEI_REFINENETS;
    while (row < end && strcmp(row->name, name)) row++;
    return row < end ? row : NULL;
}

static ssde_unet_desc ssdei_configuration_shape(const ssdei_configuration *row, const ssdei_images *images,
                                                const ssde_sde *sde) {
    ssde_unet_desc shape = row->body == SSDEI_DDPM     ? ssde_ddpm(images->size, images->size, 3)
                           : row->body == SSDEI_DDPMPP ? ssde_ddpmpp(images->size, images->size, 3)
                                                       : ssde_ncsnpp(images->size, images->size, 3);
    int exploding = ssdei_family(sde)->exploding, i;
    shape.nf = images->nf;
    shape.num_levels = images->num_levels;
    for (i = 0; i < images->num_levels; i++) shape.ch_mult[i] = images->ch_mult[i];
    shape.num_res_blocks = row->num_res_blocks;
    shape.dropout = images->dropout;
    shape.conditional = row->conditional;
    if (row->body == SSDEI_NCSNPP_SKIPS) {
        shape.progressive = SSDE_OUTPUT_SKIP;
        shape.progressive_input = SSDE_INPUT_SKIP;
    }
    /* Fourier embeddings and data in [0, 1] go with VE, not with the network. */
    if (!exploding || !row->continuous) shape.embedding_type = SSDE_EMBEDDING_POSITIONAL;
    shape.scale_by_sigma = exploding;
    shape.centered = !exploding;
    return shape;
}

static ssde_train_desc ssdei_configuration_train(const ssdei_configuration *row, const ssdei_images *images,
                                                 const ssde_sde *sde) {
    ssde_train_desc train = ssde_train_defaults(sde, 0);
    train.loss.discrete = !row->continuous;
    train.loss.half_sum = !row->reduce_mean;
    train.batch = images->batch;
    train.lr = images->lr;
    train.ema_rate = row->ema_rate;
    train.random_flip = 1;
    return train;
}

ssde_status ssde_configuration(ssde_context *context, const char *name, ssde_unet_desc *shape, ssde_sde *sde,
                               ssde_train_desc *train) {
    const ssdei_configuration *row = ssdei_configurations, *end = row + SSDEI_CONFIGURATIONS;
    const ssdei_images *images;
    ssde_sde own;
    if (!name) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "ssde_configuration: name is NULL");
    while (row < end && strcmp(row->name, name)) row++;
    if (row == end && ssdei_refinenet_configuration_find(name))
        return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                         "'%s' is a RefineNet's: ssde_refinenet_configuration, with a ssde_refinenet_desc", name);
    if (row == end)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                         "no configuration '%.40s'; known: {subvp,ve,vp}/cifar10_*, vp/ddpm/{cifar10*,bedroom,celebahq,"
                         "church}, ve/{bedroom,church,celebahq,celebahq_256,ffhq,ffhq_256}_ncsnpp_continuous, "
                         "ve/celeba_ncsnpp; all: ssde_configuration_name",
                         name);
    images = &ssdei_image_sets[row->images];
    own = row->sigma_max > 0.0 ? ssde_ve(0.01, row->sigma_max) : ssde_vp(0.1, 20.0);
    own.kind = row->sde;
    own.num_scales = images->num_scales;
    if (shape) {
        *shape = ssdei_configuration_shape(row, images, &own);
        shape->context = context;
    }
    if (train) {
        *train = ssdei_configuration_train(row, images, &own);
        train->context = context;
    }
    if (sde) *sde = own;
    return SSDE_OK;
}

ssde_status ssde_refinenet_configuration(ssde_context *context, const char *name, ssde_refinenet_desc *shape,
                                         ssde_sde *sde, ssde_train_desc *train) {
    const ssdei_refinenet_configuration *row;
    ssde_sde own;
    if (!name) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "ssde_refinenet_configuration: name is NULL");
    row = ssdei_refinenet_configuration_find(name);
    if (!row && ssde_configuration(NULL, name, NULL, NULL, NULL) == SSDE_OK)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "'%s' is a U-Net's: ssde_configuration, with a ssde_unet_desc",
                         name);
    if (!row)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                         "no RefineNet's configuration '%.40s'; known: ve/ncsn/{celeba,cifar10}{,_124,_1245,_5}, "
                         "ve/ncsnv2/{bedroom,celeba,cifar10}; all: ssde_configuration_name",
                         name);
    own = ssde_ve(0.01, row->sigma_max);
    own.num_scales = row->num_scales;
    if (shape) {
        *shape = ssdei_refinenet_of(row->net, row->size, row->size, 3);
        shape->num_scales = row->num_scales;
        shape->sigma_max = row->sigma_max;
        shape->context = context;
    }
    if (train) {
        *train = ssde_train_defaults(&own, 0);
        train->loss.discrete = 1;
        train->loss.half_sum = 1;
        train->lr = row->lr;
        train->warmup = 0;
        train->grad_clip = 0.0;
        train->ema_rate = row->ema_rate;
        train->random_flip = 1;
        train->context = context;
    }
    if (sde) *sde = own;
    return SSDE_OK;
}

/* ---- >>models: descriptions ----
   A description is the reference's configuration as one flat JSON object, {"model.nf": 128, ...}. One function per
   struct names its fields; it writes them, reads them, or compares them with what a file says. */

typedef enum ssdei_fields_mode { SSDEI_FIELDS_WRITE, SSDEI_FIELDS_READ, SSDEI_FIELDS_COMPARE } ssdei_fields_mode;

typedef struct ssdei_fields {
    ssdei_fields_mode mode;
    ssde_context *context;
    ssde_status status; /* the first failure; then nothing more happens */
    ssdei_text text;    /* written to */
    const char *json;   /* read from, or compared with */
    const char *path;   /* of the file, for error texts */
    int levels_written; /* those of the network, which the SDE shares */
} ssdei_fields;

static ssdei_fields ssdei_fields_over(ssdei_fields_mode mode, ssde_context *context, const char *json,
                                      const char *path) {
    ssdei_fields fields;
    memset(&fields, 0, sizeof fields);
    fields.mode = mode;
    fields.context = fields.text.context = context;
    fields.json = json;
    fields.path = path;
    return fields;
}

static void ssdei_fields_fail(ssdei_fields *fields, const char *key, const char *problem) {
    if (fields->status != SSDE_OK) return;
    if (fields->mode == SSDEI_FIELDS_WRITE)
        fields->status = ssde_fail(fields->context, SSDE_ERROR_ARGUMENT, "'%.40s' %s", key, problem);
    else
        fields->status = ssde_fail(fields->context, SSDE_ERROR_FORMAT, "'%.100s': '%.40s' in its description %s",
                                   fields->path, key, problem);
}

/* Notes the reader's problem; whether there was none. */
static int ssdei_field_end(ssdei_fields *fields, const char *key, const ssdei_json *value) {
    char problem[120];
    if (!value->problem) return 1;
    snprintf(problem, sizeof problem, "cannot be read: %s", value->problem);
    ssdei_fields_fail(fields, key, problem);
    return 0;
}

/* Sets *value to the value of a key; 0 if the description has no such key or is no JSON object. */
static int ssdei_fields_find(ssdei_fields *fields, const char *key, ssdei_json *value) {
    ssdei_json json = ssdei_json_over(fields->json, strlen(fields->json));
    int found = 0;
    if (fields->status != SSDE_OK) return 0;
    for (ssdei_json_open(&json, '{'); ssdei_json_next(&json, '}');) {
        char name[64];
        ssdei_json_key(&json, name, sizeof name);
        if (!json.problem && !strcmp(name, key)) {
            if (found++) ssdei_json_fail(&json, "the key comes twice");
            *value = json;
        }
        ssdei_json_skip(&json);
    }
    ssdei_json_end(&json);
    ssdei_field_end(fields, key, &json);
    return found && fields->status == SSDE_OK;
}

/* Begins a field: whether its value is to be read from *value. When writing, key and colon are written. */
static int ssdei_field_begin(ssdei_fields *fields, const char *key, ssdei_json *value) {
    if (fields->status != SSDE_OK) return 0;
    if (fields->mode == SSDEI_FIELDS_WRITE) {
        ssdei_text_add(&fields->text, fields->text.size ? ", " : "{");
        ssdei_text_add_string(&fields->text, key);
        ssdei_text_add(&fields->text, ": ");
        return 0;
    }
    if (ssdei_fields_find(fields, key, value)) return 1;
    ssdei_fields_fail(fields, key, "is missing");
    return 0;
}

static double ssdei_field_number(ssdei_fields *fields, const char *key, double number) {
    ssdei_json value;
    double read;
    if (!ssdei_field_begin(fields, key, &value)) {
        if (fields->mode == SSDEI_FIELDS_WRITE && !(fabs(number) <= DBL_MAX))
            ssdei_fields_fail(fields, key, "is not finite");
        if (fields->mode == SSDEI_FIELDS_WRITE) ssdei_text_add_double(&fields->text, number);
        return number;
    }
    read = ssdei_json_number(&value);
    if (!ssdei_field_end(fields, key, &value)) return number;
    if (fields->mode == SSDEI_FIELDS_COMPARE && !(read == number)) {
        char problem[80];
        snprintf(problem, sizeof problem, "is %.9g, the trainer's is %.9g", read, number);
        ssdei_fields_fail(fields, key, problem);
    }
    return read;
}

/* A whole number from 0 to most. */
static double ssdei_field_whole(ssdei_fields *fields, const char *key, double number, double most) {
    double read = ssdei_field_number(fields, key, number);
    if (ssdei_is_whole(read, 0.0, most)) return read;
    if (fields->status == SSDE_OK) {
        char problem[80];
        snprintf(problem, sizeof problem, "is %.9g, not a whole number from 0 to %.9g", read, most);
        ssdei_fields_fail(fields, key, problem);
    }
    return number;
}

static int ssdei_field_int(ssdei_fields *fields, const char *key, int number) {
    return (int)ssdei_field_whole(fields, key, (double)number, (double)INT_MAX);
}

static size_t ssdei_field_size(ssdei_fields *fields, const char *key, size_t number) {
    return (size_t)ssdei_field_whole(fields, key, (double)number, (double)0x7fffffff);
}

static uint64_t ssdei_field_unsigned(ssdei_fields *fields, const char *key, uint64_t number) {
    ssdei_json value;
    uint64_t read;
    if (!ssdei_field_begin(fields, key, &value)) {
        if (fields->mode == SSDEI_FIELDS_WRITE) ssdei_text_add_unsigned(&fields->text, number);
        return number;
    }
    read = ssdei_json_unsigned(&value);
    if (!ssdei_field_end(fields, key, &value)) return number;
    if (fields->mode == SSDEI_FIELDS_COMPARE && read != number) {
        char problem[80];
        snprintf(problem, sizeof problem, "is %llu, the trainer's is %llu", (unsigned long long)read,
                 (unsigned long long)number);
        ssdei_fields_fail(fields, key, problem);
    }
    return read;
}

static int ssdei_field_flag(ssdei_fields *fields, const char *key, int flag) {
    ssdei_json value;
    int read;
    if (!ssdei_field_begin(fields, key, &value)) {
        if (fields->mode == SSDEI_FIELDS_WRITE) ssdei_text_add(&fields->text, flag ? "true" : "false");
        return flag;
    }
    read = ssdei_json_word(&value, "true");
    if (!read && !ssdei_json_word(&value, "false")) ssdei_json_fail(&value, "true or false is expected");
    if (!ssdei_field_end(fields, key, &value)) return flag;
    if (fields->mode == SSDEI_FIELDS_COMPARE && read != (flag != 0))
        ssdei_fields_fail(fields, key, read ? "is true, the trainer's is false" : "is false, the trainer's is true");
    return read;
}

/* One of `names`, which end in NULL, as its index. */
static int ssdei_field_choice(ssdei_fields *fields, const char *key, int choice, const char *const *names) {
    ssdei_json value;
    char name[64], problem[200];
    int i, known = 0;
    while (names[known]) known++;
    if (choice < 0 || choice >= known) {
        ssdei_fields_fail(fields, key, "is none of its enumeration");
        return 0;
    }
    if (!ssdei_field_begin(fields, key, &value)) {
        if (fields->mode == SSDEI_FIELDS_WRITE) ssdei_text_add_string(&fields->text, names[choice]);
        return choice;
    }
    ssdei_json_string(&value, name, sizeof name);
    if (!ssdei_field_end(fields, key, &value)) return choice;
    snprintf(problem, sizeof problem, "is '%s', the trainer's is '%s'", name, names[choice]);
    for (i = 0; names[i]; i++) {
        if (strcmp(name, names[i])) continue;
        if (fields->mode == SSDEI_FIELDS_COMPARE && i != choice) ssdei_fields_fail(fields, key, problem);
        return i;
    }
    snprintf(problem, sizeof problem, "is '%s', which scoresde does not know", name);
    ssdei_fields_fail(fields, key, problem);
    fields->status = SSDE_ERROR_UNSUPPORTED;
    return choice;
}

/* Up to `capacity` numbers; returns how many. */
static int ssdei_field_list(ssdei_fields *fields, const char *key, double *numbers, int count, int capacity) {
    ssdei_json value;
    int i;
    if (!ssdei_field_begin(fields, key, &value)) {
        if (fields->mode != SSDEI_FIELDS_WRITE) return count;
        if (count < 0 || count > capacity) {
            ssdei_fields_fail(fields, key, "has too many entries");
            return 0;
        }
        for (i = 0; i < count; i++) {
            ssdei_text_add(&fields->text, i ? ", " : "[");
            ssdei_text_add_double(&fields->text, numbers[i]);
        }
        ssdei_text_add(&fields->text, count ? "]" : "[]");
        return count;
    }
    i = 0;
    for (ssdei_json_open(&value, '['); ssdei_json_next(&value, ']');) {
        double number = ssdei_json_number(&value);
        if (i == capacity) ssdei_json_fail(&value, "has too many entries");
        if (!value.problem) numbers[i++] = number;
    }
    return ssdei_field_end(fields, key, &value) ? i : count;
}

/* The same for whole numbers from 1 to most. */
static int ssdei_field_sizes(ssdei_fields *fields, const char *key, double *numbers, int count, int capacity,
                             double most) {
    int i;
    count = ssdei_field_list(fields, key, numbers, count, capacity);
    for (i = 0; i < count && fields->status == SSDE_OK; i++) {
        if (ssdei_is_whole(numbers[i], 1.0, most)) continue;
        ssdei_fields_fail(fields, key, "has an entry that is not a positive whole number, or too large");
        numbers[i] = 1.0;
    }
    return count;
}

static const char *const ssdei_embedding_names[] = {"positional", "fourier", NULL};
static const char *const ssdei_unet_names[] = {"ncsnpp", "ddpm", NULL};
static const char *const ssdei_classifier_names[] = {"classifier", NULL};
static const char *const ssdei_mlp_names[] = {"mlp", NULL};
static const char *const ssdei_unet2d_names[] = {"unet2d", NULL};
static const char *const ssdei_encoder_names[] = {"unet2d_classifier", NULL};

/* Whether a field that may be missing is there: when writing, where its value is not the usual one. */
static int ssdei_field_present(ssdei_fields *fields, const char *key, int unusual) {
    ssdei_json value;
    if (fields->mode == SSDEI_FIELDS_WRITE) return unusual;
    return ssdei_fields_find(fields, key, &value) || (fields->mode == SSDEI_FIELDS_COMPARE && unusual);
}

static void ssdei_image_fields(ssdei_fields *fields, size_t *height, size_t *width, size_t *channels, int *centered) {
    ssdei_json value;
    int square = fields->mode == SSDEI_FIELDS_WRITE ? *height == *width
                                                    : !ssdei_fields_find(fields, "data.image_height", &value);
    if (square)
        *height = *width = ssdei_field_size(fields, "data.image_size", *width);
    else {
        *height = ssdei_field_size(fields, "data.image_height", *height);
        *width = ssdei_field_size(fields, "data.image_width", *width);
    }
    *channels = ssdei_field_size(fields, "data.num_channels", *channels);
    *centered = ssdei_field_flag(fields, "data.centered", *centered);
}

static void ssdei_unet_level_fields(ssdei_fields *fields, ssde_unet_desc *desc) {
    double numbers[SSDE_MAX_LEVELS];
    int i, count;
    for (i = 0; i < desc->num_levels && i < SSDE_MAX_LEVELS; i++) numbers[i] = (double)desc->ch_mult[i];
    count = ssdei_field_sizes(fields, "model.ch_mult", numbers, desc->num_levels, SSDE_MAX_LEVELS, 65536.0);
    for (i = 0; i < count; i++) desc->ch_mult[i] = (int)numbers[i];
    desc->num_levels = count;
    for (i = 0; i < desc->num_attn_resolutions && i < SSDE_MAX_LEVELS; i++)
        numbers[i] = (double)desc->attn_resolutions[i];
    count = ssdei_field_sizes(fields, "model.attn_resolutions", numbers, desc->num_attn_resolutions, SSDE_MAX_LEVELS,
                              2147483647.0);
    for (i = 0; i < count; i++) desc->attn_resolutions[i] = (size_t)numbers[i];
    desc->num_attn_resolutions = count;
    /* Not the reference's; written where it is set. */
    if (ssdei_field_present(fields, "model.attn_every_block", desc->attn_every_block))
        desc->attn_every_block = ssdei_field_flag(fields, "model.attn_every_block", desc->attn_every_block);
}

/* The flags that only ncsnpp.py reads. */
static void ssdei_unet_ncsnpp_fields(ssdei_fields *fields, ssde_unet_desc *desc) {
    static const char *const resblock[] = {"ddpm", "biggan", NULL};
    static const char *const progressive[] = {"none", "output_skip", "residual", NULL};
    static const char *const progressive_input[] = {"none", "input_skip", "residual", NULL};
    static const char *const combine[] = {"sum", "cat", NULL};
    desc->fir = ssdei_field_flag(fields, "model.fir", desc->fir);
    desc->fir_taps = ssdei_field_list(fields, "model.fir_kernel", desc->fir_kernel, desc->fir_taps, SSDE_MAX_FIR_TAPS);
    desc->skip_rescale = ssdei_field_flag(fields, "model.skip_rescale", desc->skip_rescale);
    desc->resblock_type =
        (ssde_resblock_type)ssdei_field_choice(fields, "model.resblock_type", (int)desc->resblock_type, resblock);
    desc->progressive =
        (ssde_progressive)ssdei_field_choice(fields, "model.progressive", (int)desc->progressive, progressive);
    desc->progressive_input = (ssde_progressive_input)ssdei_field_choice(
        fields, "model.progressive_input", (int)desc->progressive_input, progressive_input);
    desc->progressive_combine = (ssde_progressive_combine)ssdei_field_choice(fields, "model.progressive_combine",
                                                                             (int)desc->progressive_combine, combine);
    desc->embedding_type = (ssde_embedding_type)ssdei_field_choice(fields, "model.embedding_type",
                                                                   (int)desc->embedding_type, ssdei_embedding_names);
    desc->fourier_scale = ssdei_field_number(fields, "model.fourier_scale", desc->fourier_scale);
    desc->init_scale = ssdei_field_number(fields, "model.init_scale", desc->init_scale);
}

/* Under "model.name" or, for a classifier's, another key. */
static void ssdei_unet_fields(ssdei_fields *fields, const char *name, ssde_unet_desc *desc) {
    static const char *const noise[] = {"embedding", "channel", "scale_shift", NULL};
    desc->name = (ssde_unet_name)ssdei_field_choice(fields, name, (int)desc->name, ssdei_unet_names);
    ssdei_image_fields(fields, &desc->height, &desc->width, &desc->channels, &desc->centered);
    ssdei_unet_level_fields(fields, desc);
    desc->nf = ssdei_field_size(fields, "model.nf", desc->nf);
    desc->num_res_blocks = ssdei_field_int(fields, "model.num_res_blocks", desc->num_res_blocks);
    desc->dropout = ssdei_field_number(fields, "model.dropout", desc->dropout);
    desc->resamp_with_conv = ssdei_field_flag(fields, "model.resamp_with_conv", desc->resamp_with_conv);
    desc->conditional = ssdei_field_flag(fields, "model.conditional", desc->conditional);
    if (desc->name == SSDE_UNET_NCSNPP) ssdei_unet_ncsnpp_fields(fields, desc);
    desc->scale_by_sigma = ssdei_field_flag(fields, "model.scale_by_sigma", desc->scale_by_sigma);
    /* not the reference's */
    if (ssdei_field_present(fields, "model.noise_conditioning", desc->noise_conditioning != SSDE_NOISE_EMBEDDING))
        desc->noise_conditioning = (ssde_noise_conditioning)ssdei_field_choice(fields, "model.noise_conditioning",
                                                                               (int)desc->noise_conditioning, noise);
    if (ssdei_field_present(fields, "model.classes", desc->classes > 0))
        desc->classes = ssdei_field_size(fields, "model.classes", desc->classes);
}

static void ssdei_classifier_fields(ssdei_fields *fields, ssde_classifier_desc *desc) {
    ssdei_field_choice(fields, "model.name", 0, ssdei_classifier_names);
    desc->classes = ssdei_field_size(fields, "classifier.classes", desc->classes);
    ssdei_unet_fields(fields, "classifier.body", &desc->body);
}

static void ssdei_mlp_fields(ssdei_fields *fields, ssde_mlp_desc *desc) {
    ssdei_field_choice(fields, "model.name", 0, ssdei_mlp_names);
    desc->dim = ssdei_field_size(fields, "data.dim", desc->dim);
    desc->hidden = ssdei_field_size(fields, "model.hidden", desc->hidden);
    desc->layers = ssdei_field_int(fields, "model.layers", desc->layers);
    desc->embedding_type = (ssde_embedding_type)ssdei_field_choice(fields, "model.embedding_type",
                                                                   (int)desc->embedding_type, ssdei_embedding_names);
    desc->fourier_scale = ssdei_field_number(fields, "model.fourier_scale", desc->fourier_scale);
    desc->scale_by_sigma = ssdei_field_flag(fields, "model.scale_by_sigma", desc->scale_by_sigma);
}

static void ssdei_refinenet_fields(ssdei_fields *fields, ssde_refinenet_desc *desc) {
    static const char *const normalizations[] = {"InstanceNorm++", "InstanceNorm", "VarianceNorm", "NoneNorm", NULL};
    static const char *const nonlinearities[] = {"elu", "relu", "lrelu", "swish", NULL};
    static const ssde_activation activations[] = {SSDE_ELU, SSDE_RELU, SSDE_LEAKY_RELU, SSDE_SILU};
    int nonlinearity = 0;
    while (nonlinearity < 3 && activations[nonlinearity] != desc->nonlinearity) nonlinearity++;
    desc->name = (ssde_refinenet_name)ssdei_field_choice(fields, "model.name", (int)desc->name, ssdei_refinenet_names);
    ssdei_image_fields(fields, &desc->height, &desc->width, &desc->channels, &desc->centered);
    desc->nf = ssdei_field_size(fields, "model.nf", desc->nf);
    desc->normalization =
        (ssde_normalization)ssdei_field_choice(fields, "model.normalization", (int)desc->normalization, normalizations);
    nonlinearity = ssdei_field_choice(fields, "model.nonlinearity", nonlinearity, nonlinearities);
    desc->nonlinearity = activations[nonlinearity];
    desc->num_scales = ssdei_field_int(fields, "model.num_scales", desc->num_scales);
    desc->sigma_min = ssdei_field_number(fields, "model.sigma_min", desc->sigma_min);
    desc->sigma_max = ssdei_field_number(fields, "model.sigma_max", desc->sigma_max);
}

/* A level's blocks on a way, as one name for each level: the resampling, and what else there is. */
static void ssdei_unet2d_blocks_field(ssdei_fields *fields, const char *key, ssde_unet2d_blocks *blocks, int count) {
    double numbers[SSDE_MAX_LEVELS];
    int i;
    for (i = 0; i < count; i++)
        numbers[i] = (double)((blocks[i].attention != 0) + 2 * (blocks[i].skip != 0) + 4 * (int)blocks[i].resampling);
    if (ssdei_field_list(fields, key, numbers, count, SSDE_MAX_LEVELS) != count)
        ssdei_fields_fail(fields, key, "is not one for each of model.block_out_channels");
    for (i = 0; i < count && fields->status == SSDE_OK; i++) {
        int bits = ssdei_is_whole(numbers[i], 0.0, 11.0) ? (int)numbers[i] : 12;
        if (bits == 12) ssdei_fields_fail(fields, key, "has an entry that is none of its values");
        blocks[i].attention = bits & 1;
        blocks[i].skip = bits >> 1 & 1;
        blocks[i].resampling = (ssde_unet2d_resampling)(bits >> 2);
    }
}

/* Under "model.name" or, for a classifier's, another key. */
static void ssdei_unet2d_fields(ssdei_fields *fields, const char *name, ssde_unet2d_desc *desc) {
    static const char *const times[] = {"positional", "fourier", "learned", NULL};
    static const char *const classes[] = {"none", "table", "timestep", "identity", NULL};
    static const char *const activations[] = {"silu", "mish", "gelu", "relu", NULL};
    static const ssde_activation functions[] = {SSDE_SILU, SSDE_MISH, SSDE_GELU, SSDE_RELU};
    double numbers[SSDE_MAX_LEVELS];
    int i, act = 0;
    ssdei_field_choice(fields, name, 0, ssdei_unet2d_names);
    desc->height = ssdei_field_size(fields, "data.image_height", desc->height);
    desc->width = ssdei_field_size(fields, "data.image_width", desc->width);
    desc->in_channels = ssdei_field_size(fields, "model.in_channels", desc->in_channels);
    desc->out_channels = ssdei_field_size(fields, "model.out_channels", desc->out_channels);
    desc->center_input_sample = ssdei_field_flag(fields, "model.center_input_sample", desc->center_input_sample);
    for (i = 0; i < desc->num_levels; i++) numbers[i] = (double)desc->block_out_channels[i];
    desc->num_levels =
        ssdei_field_sizes(fields, "model.block_out_channels", numbers, desc->num_levels, SSDE_MAX_LEVELS, 65536.0);
    for (i = 0; i < desc->num_levels; i++) desc->block_out_channels[i] = (size_t)numbers[i];
    ssdei_unet2d_blocks_field(fields, "model.down_blocks", desc->down, desc->num_levels);
    ssdei_unet2d_blocks_field(fields, "model.up_blocks", desc->up, desc->num_levels);
    desc->layers_per_block = ssdei_field_int(fields, "model.layers_per_block", desc->layers_per_block);
    desc->downsample_padding = ssdei_field_int(fields, "model.downsample_padding", desc->downsample_padding);
    while (act < 3 && functions[act] != desc->act_fn) act++;
    desc->act_fn = functions[ssdei_field_choice(fields, "model.act_fn", act, activations)];
    desc->dropout = ssdei_field_number(fields, "model.dropout", desc->dropout);
    desc->norm_num_groups = ssdei_field_size(fields, "model.norm_num_groups", desc->norm_num_groups);
    desc->norm_eps = ssdei_field_number(fields, "model.norm_eps", desc->norm_eps);
    desc->scale_shift = ssdei_field_flag(fields, "model.scale_shift", desc->scale_shift);
    desc->attention_head_dim = ssdei_field_size(fields, "model.attention_head_dim", desc->attention_head_dim);
    desc->num_heads = ssdei_field_size(fields, "model.num_heads", desc->num_heads);
    desc->num_heads_up = ssdei_field_size(fields, "model.num_heads_up", desc->num_heads_up);
    desc->no_mid_block = ssdei_field_flag(fields, "model.no_mid_block", desc->no_mid_block);
    desc->no_mid_attention = ssdei_field_flag(fields, "model.no_mid_attention", desc->no_mid_attention);
    desc->mid_block_scale_factor =
        ssdei_field_number(fields, "model.mid_block_scale_factor", desc->mid_block_scale_factor);
    desc->attn_norm_num_groups = ssdei_field_size(fields, "model.attn_norm_num_groups", desc->attn_norm_num_groups);
    desc->time_embedding_type = (ssde_unet2d_time)ssdei_field_choice(fields, "model.time_embedding_type",
                                                                     (int)desc->time_embedding_type, times);
    desc->time_width = ssdei_field_size(fields, "model.time_width", desc->time_width);
    desc->freq_shift = ssdei_field_number(fields, "model.freq_shift", desc->freq_shift);
    desc->flip_sin_to_cos = ssdei_field_flag(fields, "model.flip_sin_to_cos", desc->flip_sin_to_cos);
    desc->time_embedding_dim = ssdei_field_size(fields, "model.time_embedding_dim", desc->time_embedding_dim);
    desc->num_train_timesteps = ssdei_field_size(fields, "model.num_train_timesteps", desc->num_train_timesteps);
    desc->class_embed_type =
        (ssde_unet2d_classes)ssdei_field_choice(fields, "model.class_embed_type", (int)desc->class_embed_type, classes);
    desc->num_class_embeds = ssdei_field_size(fields, "model.num_class_embeds", desc->num_class_embeds);
}

/* Whether files hold it: all but those that are made of functions. */
static int ssdei_sde_saved(const ssde_sde *sde) { return ssdei_family(sde)->numbers || sde->kind == SSDE_TABULATED; }

/* The kind by its name, with `suffix` behind; `saved`: of those that files hold, which come first. */
static ssde_sde_kind ssdei_sde_kind_field(ssdei_fields *fields, const char *key, const char *suffix, int saved,
                                          const ssde_sde *sde) {
    char texts[SSDE_SDE_COUNT][24];
    const char *names[SSDE_SDE_COUNT + 1];
    ssde_sde each = *sde;
    int i;
    for (i = 0; i < SSDE_SDE_COUNT; i++) {
        each.kind = (ssde_sde_kind)i;
        if (saved && !ssdei_sde_saved(&each)) break;
        snprintf(texts[i], sizeof texts[i], "%s%s", ssdei_family(&each)->name, suffix);
        names[i] = texts[i];
    }
    names[i] = NULL;
    return (ssde_sde_kind)ssdei_field_choice(fields, key, (int)sde->kind, names);
}

/* Everything but the functions of an affine SDE. */
static void ssdei_sde_fields(ssdei_fields *fields, ssde_sde *sde) {
    const ssdei_sde_number *number;
    sde->kind = ssdei_sde_kind_field(fields, "training.sde", "sde", 1, sde);
    for (number = ssdei_family(sde)->numbers; number && number->name && !fields->levels_written; number++) {
        char key[32];
        double value;
        memcpy(&value, (char *)sde + number->offset, sizeof value);
        snprintf(key, sizeof key, "model.%s", number->name);
        value = ssdei_field_number(fields, key, value);
        memcpy((char *)sde + number->offset, &value, sizeof value);
    }
    if (!fields->levels_written) sde->num_scales = ssdei_field_int(fields, "model.num_scales", sde->num_scales);
    /* Not the reference's; written where it is not the family's own. */
    if (ssdei_field_present(fields, "sde.prior_std", sde->prior_std > 0.0 || sde->prior_std < 0.0))
        sde->prior_std = ssdei_field_number(fields, "sde.prior_std", sde->prior_std);
}

/* A table's levels, in sde and in *table, which is made here. */
static void ssdei_table_fields(ssdei_fields *fields, ssde_sde *sde, ssdei_table **table) {
    static const char *const keys[] = {"sde.level_mean", "sde.level_std", "sde.level_label"};
    const double *const own[3] = {sde->level_mean, sde->level_std, sde->level_label};
    const int labels = ssdei_field_present(fields, keys[2], sde->level_label != NULL);
    const int writes = fields->mode == SSDEI_FIELDS_WRITE, count = sde->num_scales;
    ssdei_table made = {(size_t)count, NULL, NULL, NULL};
    int i;
    if (!writes && made.count > strlen(fields->json)) ssdei_fields_fail(fields, "model.num_scales", "is too large");
    if (fields->status != SSDE_OK) return;
    *table = (ssdei_table *)ssdei_object_create(fields->context, &made, sizeof made, ssdei_table_arrays);
    if (!*table) fields->status = SSDE_ERROR_MEMORY;
    for (i = 0; i < 2 + labels && fields->status == SSDE_OK; i++) {
        double *list = i == 0 ? (*table)->mean : i == 1 ? (*table)->std : (*table)->label;
        if (writes) memcpy(list, own[i], (size_t)count * sizeof *list);
        if (ssdei_field_list(fields, keys[i], list, count, count) != count)
            ssdei_fields_fail(fields, keys[i], "is not one number for each of model.num_scales");
    }
    if (fields->status == SSDE_OK)
        *sde = ssde_tabulated((*table)->mean, (*table)->std, labels ? (*table)->label : NULL, count);
}

/* Ends what was written; the caller owns *text, which came from fields->context. */
static ssde_status ssdei_fields_finish(ssdei_fields *fields, char **text) {
    ssdei_text_add(&fields->text, fields->text.size ? "}" : "{}");
    if (fields->status == SSDE_OK) fields->status = fields->text.status;
    if (fields->status == SSDE_OK)
        *text = fields->text.data;
    else
        ssdei_text_release(&fields->text);
    return fields->status;
}

static ssde_status ssdei_net_described(ssde_net *net, ssde_node output, ssdei_fields *fields) {
    net->output = output;
    net->status = ssdei_fields_finish(fields, &net->description);
    if (net->status == SSDE_OK) net->description_size = strlen(net->description) + 1;
    return net->status;
}

static ssde_status ssdei_net_describe(ssde_net *net, ssde_node output, ssde_unet_desc *unet,
                                      ssde_classifier_desc *classifier, ssde_mlp_desc *mlp) {
    ssdei_fields fields = ssdei_fields_over(SSDEI_FIELDS_WRITE, net->context, NULL, "");
    if (net->status != SSDE_OK) return net->status;
    if (unet) ssdei_unet_fields(&fields, "model.name", unet);
    if (classifier) ssdei_classifier_fields(&fields, classifier);
    if (mlp) ssdei_mlp_fields(&fields, mlp);
    return ssdei_net_described(net, output, &fields);
}

static ssde_status ssdei_refinenet_describe(ssde_net *net, ssde_node output, ssde_refinenet_desc *desc) {
    ssdei_fields fields = ssdei_fields_over(SSDEI_FIELDS_WRITE, net->context, NULL, "");
    if (net->status != SSDE_OK) return net->status;
    ssdei_refinenet_fields(&fields, desc);
    return ssdei_net_described(net, output, &fields);
}

static ssde_status ssdei_unet2d_describe(ssde_net *net, ssde_node output, const ssde_unet2d_desc *desc) {
    ssdei_fields fields = ssdei_fields_over(SSDEI_FIELDS_WRITE, net->context, NULL, "");
    ssde_unet2d_desc copy = *desc;
    if (net->status != SSDE_OK) return net->status;
    ssdei_unet2d_fields(&fields, "model.name", &copy);
    return ssdei_net_described(net, output, &fields);
}

static void ssdei_encoder_fields(ssdei_fields *fields, ssdei_encoder *desc) {
    ssdei_field_choice(fields, "model.name", 0, ssdei_encoder_names);
    desc->classes = ssdei_field_size(fields, "classifier.classes", desc->classes);
    desc->adaptive = ssdei_field_flag(fields, "classifier.adaptive_pool", desc->adaptive);
    ssdei_unet2d_fields(fields, "classifier.body", &desc->body);
}

static ssde_status ssdei_encoder_describe(ssde_net *net, ssde_node output, const ssdei_encoder *desc) {
    ssdei_fields fields = ssdei_fields_over(SSDEI_FIELDS_WRITE, net->context, NULL, "");
    ssdei_encoder copy = *desc;
    if (net->status != SSDE_OK) return net->status;
    ssdei_encoder_fields(&fields, &copy);
    return ssdei_net_described(net, output, &fields);
}

/* What labels and output mean: as the reference's training.continuous, whether labels are functions of t rather than
   indices; and, which is not the reference's, the output, where somebody has said. */
static void ssdei_meaning_fields(ssdei_fields *fields, ssdei_meaning *means) {
    if (ssdei_field_present(fields, "training.continuous", 1))
        means->discrete = !ssdei_field_flag(fields, "training.continuous", !means->discrete);
    if (ssdei_field_present(fields, "model.channels_beside_x", means->beside > 0))
        means->beside = ssdei_field_size(fields, "model.channels_beside_x", means->beside);
    if (!ssdei_field_present(fields, "training.output", means->output != SSDE_PREDICT_DEFAULT)) return;
    means->output = (ssde_parameterisation)ssdei_field_choice(fields, "training.output", (int)means->output,
                                                              ssdei_parameterisation_names);
    if (means->output != SSDE_PREDICT_EDM) return;
    means->sigma_data = ssdei_field_number(fields, "training.sigma_data", means->sigma_data);
    if (ssdei_output_check(NULL, "", means->output, means->sigma_data) != SSDE_OK)
        ssdei_fields_fail(fields, "training.sigma_data", "is none, wanted 1e-6 to 1e6");
}

/* A network's description, the SDE's fields, if it is not NULL, and what labels and output mean. */
static ssde_status ssdei_describe_model(ssde_context *context, const ssde_net *net, const ssde_sde *sde, char **text) {
    ssdei_fields fields = ssdei_fields_over(SSDEI_FIELDS_WRITE, context, NULL, "");
    const char *description = net->description;
    ssdei_meaning means = net->means;
    fields.levels_written = net->levels.count != 0;
    if (strlen(description) > 2) ssdei_text_add_bytes(&fields.text, description, strlen(description) - 1);
    if (sde) {
        ssde_sde copy = *sde;
        ssdei_table *table = NULL;
        ssdei_sde_fields(&fields, &copy);
        if (copy.kind == SSDE_TABULATED) ssdei_table_fields(&fields, &copy, &table);
        ssdei_release(context, table);
    }
    ssdei_meaning_fields(&fields, &means);
    return ssdei_fields_finish(&fields, text);
}

/* ---- models: saving and loading ---- */

/* One set of values of the parameters, or of the trainable ones, in a file: a model has one, a checkpoint four. */
typedef struct ssdei_part {
    const char *prefix; /* of the names */
    int only_trainable;
    float *values; /* [weight_count] */
} ssdei_part;

static int ssdei_part_has(const ssdei_part *part, const ssdei_parameter *parameter) {
    return !part->only_trainable || parameter->info.trainable;
}

/* Names the first parameter that is not finite. */
static ssde_status ssdei_part_finite(ssde_context *context, const ssde_net *net, const ssdei_part *part) {
    size_t i;
    for (i = 0; i < net->parameter_count; i++) {
        const ssdei_parameter *parameter = &net->parameters[i];
        size_t bad = ssdei_first_nonfinite(part->values + parameter->offset, parameter->info.count);
        if (bad < parameter->info.count)
            return ssde_fail(context, SSDE_ERROR_NUMERIC, "%s%s has a value that is not finite", part->prefix,
                             parameter->info.name);
    }
    return SSDE_OK;
}

/* Declares a part's tensors, or puts their values, for which `scratch` holds the largest parameter. */
static void ssdei_part_write(ssdei_tensor_writer *writer, const ssde_net *net, const ssdei_part *part, float *scratch) {
    const ssdei_kernels *kernels = ssdei_kernels_for(writer->header.context);
    size_t i;
    for (i = 0; i < net->parameter_count; i++) {
        const ssdei_parameter *parameter = &net->parameters[i];
        const ssde_parameter *info = &parameter->info;
        if (!ssdei_part_has(part, parameter)) continue;
        if (scratch) {
            ssdei_parameter_to_file(kernels, parameter, part->values + parameter->offset, scratch);
            ssdei_tensor_writer_put(writer, scratch, info->count);
        } else {
            ssdei_tensor_writer_declare(writer, part->prefix, info->name, info->rank, info->shape);
        }
    }
}

/* `training` may be NULL: a model has none. */
static ssde_status ssdei_parts_save(ssde_context *context, const ssde_net *net, const ssdei_part *parts, int count,
                                    const char *config, const char *training, const char *path) {
    ssdei_tensor_writer writer;
    float *scratch;
    ssde_status status;
    int i;
    for (i = 0; i < count; i++) ssdei_try(ssdei_part_finite(context, net, &parts[i]));
    ssdei_tensor_writer_begin(&writer, context);
    ssdei_tensor_writer_metadata(&writer, "config", config);
    if (training) ssdei_tensor_writer_metadata(&writer, "training", training);
    for (i = 0; i < count; i++) ssdei_part_write(&writer, net, &parts[i], NULL);
    scratch = ssdei_parameter_scratch(context, net);
    status = scratch ? ssdei_tensor_writer_open(&writer, path) : SSDE_ERROR_MEMORY;
    for (i = 0; i < count && status == SSDE_OK; i++) ssdei_part_write(&writer, net, &parts[i], scratch);
    ssdei_release(context, scratch);
    return ssdei_tensor_writer_end(&writer, status);
}

/* Saves net under the names of the reference. */
static ssde_status ssdei_model_save(ssde_context *context, const ssde_net *net, const ssde_sde *sde, const char *path) {
    ssdei_part part = {"", 0, NULL};
    char *config = NULL;
    ssde_status status;
    part.values = net->weights;
    if (!net->description)
        return ssde_fail(
            context, SSDE_ERROR_UNSUPPORTED,
            "only networks of ssde_unet_create, ssde_refinenet_create, ssde_classifier_net_create and ssde_mlp_create "
            "can be saved as models");
    if (sde) {
        ssdei_try(ssde_sde_check(context, sde));
        if (!ssdei_sde_saved(sde))
            return ssde_fail(context, SSDE_ERROR_UNSUPPORTED,
                             "a custom SDE is made of functions and cannot be saved: pass sde = NULL");
        if (net->levels.count) ssdei_try(ssdei_levels_check(context, "ssde_net_save", &net->levels, sde));
    }
    ssdei_try(ssdei_describe_model(context, net, sde, &config));
    status = ssdei_parts_save(context, net, &part, 1, config, NULL, path);
    ssdei_release(context, config);
    return status;
}

ssde_status ssde_net_save(const ssde_net *net, const ssde_sde *sde, const char *path) {
    if (!net) return SSDE_ERROR_ARGUMENT;
    if (!net->finished) return ssde_fail(net->context, SSDE_ERROR_ARGUMENT, "ssde_net_save: net is not finished");
    if (!path) return ssde_fail(net->context, SSDE_ERROR_ARGUMENT, "ssde_net_save: path is NULL");
    return ssdei_model_save(net->context, net, sde, path);
}

/* Where a parameter's values are in a file. */
typedef struct ssdei_source {
    const ssde_file_tensor *tensor; /* NULL: in none; they stay as they are */
    size_t place;                   /* among the file's */
    /* 1 or more: the tensor has so many axes of 1 behind those of the parameter, less 1. Its rows are then `runs` times
       those of `parts` parameters in turn, of which this is number `part`. */
    int shaped;
    size_t parts, part, runs;
} ssdei_source;

/* What loading has at hand. */
typedef struct ssdei_loading {
    ssde_context *context;
    const ssde_net *net;
    const ssde_tensor_file *file;
    ssdei_source *sources; /* of each parameter */
    size_t *order;         /* room to sort them */
    float *scratch;        /* and for the largest */
    const ssdei_kernels *kernels;
} ssdei_loading;

static void ssdei_loading_arrays(void *object, ssdei_memory *memory) {
    ssdei_loading *loading = (ssdei_loading *)object;
    loading->sources = ssdei_place(memory, ssdei_source, loading->net->parameter_count);
    loading->order = ssdei_place(memory, size_t, loading->net->parameter_count);
    loading->scratch = ssdei_place(memory, float, ssdei_net_largest(loading->net));
}

/* Reads a tensor's values into memory's order, through a scratch that stays in the processor's caches. */
static ssde_status ssdei_parameter_read(const ssdei_loading *loading, const ssde_file_tensor *tensor,
                                        const ssdei_parameter *parameter, float *memory) {
    const ssde_parameter *info = &parameter->info;
    const int turned = parameter->layout == SSDEI_LAYOUT_LINEAR;
    const size_t columns = info->count / info->shape[0];
    size_t first, rows;
    int finite = 1;
    for (first = 0; first < info->shape[0] && finite; first += rows) {
        float *values = turned ? loading->scratch : memory + first * columns;
        rows = ssdei_parameter_rows(info, first);
        ssdei_try(ssdei_tensor_read_rows(loading->file, tensor, first, rows, values));
        finite = turned ? ssdei_parameter_rows_from_file(loading->kernels, info, first, rows, values, memory)
                        : ssdei_first_nonfinite(values, rows * columns) == rows * columns;
    }
    if (finite) return SSDE_OK;
    return ssde_fail(loading->context, SSDE_ERROR_NUMERIC, "'%.100s': tensor '%.80s' has a value that is not finite",
                     ssde_tensor_file_path(loading->file), tensor->name);
}

/* Reads a tensor, checked to be such a parameter, into `weights` in memory order. */
static ssde_status ssdei_tensor_load(const ssdei_loading *loading, const ssde_file_tensor *tensor,
                                     const ssdei_parameter *wanted, float *weights) {
    ssde_context *context = loading->context;
    const ssde_tensor_file *file = loading->file;
    const ssde_parameter *info = &wanted->info;
    int axis, same;
    if (tensor->problem) return ssde_tensor_file_read(file, tensor, loading->scratch);
    same = tensor->rank == info->rank;
    for (axis = 0; same && axis < info->rank; axis++) same = tensor->shape[axis] == info->shape[axis];
    if (!same)
        return ssde_fail(context, SSDE_ERROR_SHAPE,
                         "'%.60s': tensor '%.70s' has rank %d, shape [%lu, %lu, ...], not %d, [%lu, %lu, ...]",
                         ssde_tensor_file_path(file), tensor->name, tensor->rank, (unsigned long)tensor->shape[0],
                         (unsigned long)tensor->shape[1], info->rank, (unsigned long)info->shape[0],
                         (unsigned long)info->shape[1]);
    if (tensor->dtype[0] != 'F' && strcmp(tensor->dtype, "BF16"))
        return ssde_fail(context, SSDE_ERROR_FORMAT, "'%.100s': tensor '%.80s' has dtype %s, not a floating one",
                         ssde_tensor_file_path(file), tensor->name, tensor->dtype);
    return ssdei_parameter_read(loading, tensor, wanted, weights + wanted->offset);
}

/* The same of some rows of a tensor. */
static ssde_status ssdei_part_load(const ssdei_loading *loading, size_t index, float *weights) {
    const ssdei_source *source = &loading->sources[index];
    const ssdei_parameter *parameter = &loading->net->parameters[index];
    const size_t run = parameter->info.count / source->runs, all = ssdei_multiply(parameter->info.count, source->parts);
    float *whole = (float *)ssdei_allocate(loading->context, all + parameter->info.count, sizeof *whole);
    float *own = whole + all;
    ssdei_parameter tensor = *parameter;
    ssde_status status;
    size_t i;
    if (!whole) return SSDE_ERROR_MEMORY;
    tensor.layout = SSDEI_LAYOUT_PLAIN;
    tensor.offset = 0;
    tensor.info.count = all;
    tensor.info.shape[0] *= source->parts;
    for (i = 1; i < (size_t)source->shaped && parameter->info.rank > 1; i++) tensor.info.shape[tensor.info.rank++] = 1;
    status = ssdei_tensor_load(loading, source->tensor, &tensor, whole);
    for (i = 0; i < source->runs && status == SSDE_OK; i++)
        memcpy(own + i * run, whole + (i * source->parts + source->part) * run, run * sizeof *own);
    if (status == SSDE_OK) ssdei_parameter_from_file(loading->kernels, parameter, own, weights + parameter->offset);
    ssdei_release(loading->context, whole);
    return status;
}

/* The tensor of this name, or an error that names it. */
static ssde_status ssdei_source_find(ssdei_loading *loading, size_t index, const char *name) {
    loading->sources[index].tensor = ssde_tensor_file_find(loading->file, name);
    if (loading->sources[index].tensor) return SSDE_OK;
    return ssde_fail(loading->context, SSDE_ERROR_FORMAT, "'%.120s' has no tensor '%.100s'",
                     ssde_tensor_file_path(loading->file), name);
}

/* Finds the source of each of a network's parameters; `how` says which of a file's values are wanted. */
typedef ssde_status (*ssdei_sources_function)(const void *how, ssdei_loading *loading);

/* The one way of weights into memory: reads them from where `find` says into weights [weight_count]. */
static ssde_status ssdei_weights_read(ssde_context *context, const ssde_net *net, const ssde_tensor_file *file,
                                      ssdei_sources_function find, const void *how, float *weights) {
    ssdei_loading loading = {context, net, file, NULL, NULL, NULL, ssdei_kernels_for(context)};
    void *block = ssdei_object_create(context, &loading, 0, ssdei_loading_arrays);
    ssde_status status = block ? find(how, &loading) : SSDE_ERROR_MEMORY;
    size_t i;
    for (i = 0; i < net->parameter_count && status == SSDE_OK; i++)
        if (loading.sources[i].tensor)
            status = loading.sources[i].shaped
                         ? ssdei_part_load(&loading, i, weights)
                         : ssdei_tensor_load(&loading, loading.sources[i].tensor, &net->parameters[i], weights);
    ssdei_release(context, block);
    return status;
}

/* parameter_count if there is none of this name. */
static size_t ssdei_net_find_parameter(const ssde_net *net, const char *name) {
    size_t i = 0;
    while (i < net->parameter_count && strcmp(net->parameters[i].info.name, name)) i++;
    return i;
}

/* ---- models: which weights of a file ----
   A file can have several sets of a network's weights. A set is what lies under one prefix, "" or "model.module.": the
   keys on the way to a state_dict, and what wrappers put before its names. One is averaged if a key says so. The
   reference's average is a list without names. */

enum { SSDEI_MAX_SETS = 16 };

typedef struct ssdei_weight_set {
    const char *name; /* that begins with the prefix */
    size_t length;    /* of the prefix */
    size_t found;     /* parameters */
    int averaged;
    int list;
} ssdei_weight_set;

typedef struct ssdei_sets {
    ssdei_weight_set sets[SSDEI_MAX_SETS];
    size_t count;
} ssdei_sets;

static int ssdei_is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/* Whether a word is in the name, in letters of any size and none beside it: "model_ema" has "ema", "schema" has not. */
static int ssdei_has_word(const char *name, size_t length, const char *word) {
    size_t size = strlen(word), i, j;
    for (i = 0; i + size <= length; i++) {
        for (j = 0; j < size && (name[i + j] | 32) == word[j]; j++) continue;
        if (j == size && !(i && ssdei_is_letter(name[i - 1])) &&
            !(i + size < length && ssdei_is_letter(name[i + size])))
            return 1;
    }
    return 0;
}

/* ema_pytorch keeps the model beside its average, as "ema.online_model". */
static int ssdei_says_averaged(const char *name, size_t length) {
    return !ssdei_has_word(name, length, "online") &&
           (ssdei_has_word(name, length, "ema") || ssdei_has_word(name, length, "shadow") ||
            ssdei_has_word(name, length, "averaged") || ssdei_has_word(name, length, "swa"));
}

/* Counts one more parameter under the first `length` characters of a name. */
static void ssdei_sets_add(ssdei_sets *sets, const char *name, size_t length) {
    ssdei_weight_set *set = sets->sets;
    while (set < sets->sets + sets->count && (set->length != length || set->list || memcmp(set->name, name, length)))
        set++;
    if (set == sets->sets + SSDEI_MAX_SETS) return;
    if (set == sets->sets + sets->count) {
        memset(set, 0, sizeof *set);
        set->name = name;
        set->length = length;
        set->averaged = ssdei_says_averaged(name, length);
        sets->count++;
    }
    set->found++;
}

/* Whether a name is a prefix, nothing or up to a dot, and then `end`. */
static int ssdei_ends_in(const char *name, const char *end, size_t *prefix) {
    size_t length = strlen(name), size = strlen(end);
    if (length < size || memcmp(name + length - size, end, size)) return 0;
    *prefix = length - size;
    return !*prefix || name[*prefix - 1] == '.';
}

/* All sets that have more than half of the parameters; where none has, the one with the most. */
static void ssdei_sets_find(const ssde_net *net, const ssde_tensor_file *file, ssdei_sets *sets) {
    size_t most = 0, prefix, i, j;
    sets->count = 0;
    for (j = 0; j < net->parameter_count; j++) /* the first of which finds every set */
        for (i = 0; i < ssde_tensor_file_count(file); i++) {
            const ssde_file_tensor *tensor = ssde_tensor_file_get(file, i);
            if (!tensor->number && ssdei_ends_in(tensor->name, net->parameters[j].info.name, &prefix))
                ssdei_sets_add(sets, tensor->name, prefix);
        }
    for (i = 0; i < sets->count; i++)
        if (sets->sets[i].found > sets->sets[most].found) most = i;
    if (sets->count && 2 * sets->sets[most].found <= net->parameter_count) {
        sets->sets[0] = sets->sets[most];
        sets->count = 1;
        return;
    }
    for (i = j = 0; i < sets->count; i++)
        if (2 * sets->sets[i].found > net->parameter_count) sets->sets[j++] = sets->sets[i];
    sets->count = j;
    if (j == 2 && !strncmp(sets->sets[0].name, "0.", 2) && sets->sets[1].length == 2 &&
        !strncmp(sets->sets[1].name, "4.", 2))
        sets->sets[1].averaged = 1; /* ermongroup's list: model, optimiser, epoch, step, average */
}

/* Adds the reference's lists, of which there is a first. */
static void ssdei_sets_find_lists(const ssde_tensor_file *file, ssdei_sets *sets) {
    size_t prefix, i;
    for (i = 0; i < ssde_tensor_file_count(file) && sets->count < SSDEI_MAX_SETS; i++) {
        const char *name = ssde_tensor_file_get(file, i)->name;
        ssdei_weight_set *set = &sets->sets[sets->count];
        if (!ssdei_ends_in(name, "shadow_params.0", &prefix)) continue;
        memset(set, 0, sizeof *set);
        set->name = name;
        set->length = prefix + strlen("shadow_params.");
        set->averaged = set->list = 1;
        sets->count++;
    }
}

enum { SSDEI_ANY_WEIGHTS = -1 }; /* beside ssde_pth_weights */

/* The only set of the wanted kind; NULL where there is none, or several. */
static const ssdei_weight_set *ssdei_sets_pick(const ssdei_sets *sets, int averaged) {
    const ssdei_weight_set *picked = NULL;
    size_t i;
    for (i = 0; i < sets->count; i++) {
        if (averaged != SSDEI_ANY_WEIGHTS && sets->sets[i].averaged != averaged) continue;
        if (picked) return NULL;
        picked = &sets->sets[i];
    }
    return picked;
}

static ssde_status ssdei_sets_fail(const ssdei_loading *loading, const ssdei_sets *sets, const char *wanted) {
    const ssde_tensor_file *file = loading->file;
    char list[120] = "";
    size_t used = 0, i;
    if (!sets->count)
        return ssde_fail(loading->context, SSDE_ERROR_FORMAT,
                         "'%.60s' has no tensor '%.60s', under no prefix; its first one is '%.60s'",
                         ssde_tensor_file_path(file), loading->net->parameters[0].info.name,
                         ssde_tensor_file_count(file) ? ssde_tensor_file_get(file, 0)->name : "");
    for (i = 0; i < sets->count && used + 40 < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s'%.*s'", i ? ", " : "",
                                 (int)(sets->sets[i].length < 30 ? sets->sets[i].length : 30), sets->sets[i].name);
    return ssde_fail(loading->context, SSDE_ERROR_FORMAT, "'%.50s' %s: it has weights under %s%s",
                     ssde_tensor_file_path(file), wanted, list, i < sets->count ? ", ..." : "");
}

/* Whether the file speaks of an average. */
static int ssdei_file_has_average(const ssde_tensor_file *file) {
    size_t i;
    for (i = 0; i < ssde_tensor_file_count(file); i++) {
        const char *name = ssde_tensor_file_get(file, i)->name;
        if (ssdei_has_word(name, strlen(name), "ema")) return 1;
    }
    return 0;
}

/* The buffer "sigmas" has the network's noise levels, as floats at least. */
static ssde_status ssdei_sigmas_check(const ssdei_loading *loading, const ssde_file_tensor *tensor) {
    ssde_context *context = loading->context;
    const ssdei_levels *levels = &loading->net->levels;
    const char *path = ssde_tensor_file_path(loading->file);
    size_t count = (size_t)levels->count, i;
    ssde_status status = SSDE_OK;
    float *sigmas;
    if (tensor->rank != 1 || tensor->count != count)
        return ssde_fail(context, SSDE_ERROR_SHAPE, "'%.80s': '%.60s' has %.0f noise levels, the network %.0f", path,
                         tensor->name, (double)tensor->count, (double)count);
    sigmas = (float *)ssdei_allocate(context, count, sizeof *sigmas);
    if (!sigmas) return SSDE_ERROR_MEMORY;
    status = ssde_tensor_file_read(loading->file, tensor, sigmas);
    for (i = 0; i < count && status == SSDE_OK; i++) {
        double own = ssdei_levels_sigma(levels, (int)i);
        if (!(fabs((double)sigmas[i] - own) <= 1e-5 * own))
            status = ssde_fail(context, SSDE_ERROR_FORMAT,
                               "'%.80s': '%.60s' is %.9g at level %lu, the network's %.9g: sigma_min, sigma_max", path,
                               tensor->name, (double)sigmas[i], (unsigned long)i, own);
    }
    ssdei_release(context, sigmas);
    return status;
}

/* Finds the parameters of one set; a tensor there that the network lacks is an error, but for the reference's buffer
   "sigmas", and for numbers. Averages may lack frozen parameters, which are then those of the model's set, if any. */
static ssde_status ssdei_set_sources(ssdei_loading *loading, const ssdei_weight_set *set,
                                     const ssdei_weight_set *model) {
    const ssde_net *net = loading->net;
    const ssde_tensor_file *file = loading->file;
    ssdei_source *sources = loading->sources;
    char name[400];
    size_t i;
    for (i = 0; i < ssde_tensor_file_count(file); i++) {
        const ssde_file_tensor *tensor = ssde_tensor_file_get(file, i);
        size_t index;
        if (tensor->number || strncmp(tensor->name, set->name, set->length)) continue;
        if (!strcmp(tensor->name + set->length, "sigmas")) {
            if (net->levels.count) ssdei_try(ssdei_sigmas_check(loading, tensor));
            continue;
        }
        index = ssdei_net_find_parameter(net, tensor->name + set->length);
        if (index == net->parameter_count)
            return ssde_fail(loading->context, SSDE_ERROR_FORMAT,
                             "'%.100s' has a tensor '%.100s' that the network lacks", ssde_tensor_file_path(file),
                             tensor->name);
        sources[index].tensor = tensor;
        sources[index].place = i;
    }
    for (i = 0; i < net->parameter_count; i++) {
        if (!sources[i].tensor && set->averaged && model && !net->parameters[i].info.trainable) {
            snprintf(name, sizeof name, "%.*s%s", (int)model->length, model->name, net->parameters[i].info.name);
            sources[i].tensor = ssde_tensor_file_find(file, name);
        }
        if (!sources[i].tensor)
            return ssde_fail(loading->context, SSDE_ERROR_FORMAT, "'%.100s' has no tensor '%.*s%s'",
                             ssde_tensor_file_path(file), (int)(set->length < 60 ? set->length : 60), set->name,
                             net->parameters[i].info.name);
    }
    return SSDE_OK;
}

static int ssdei_source_before(const void *items, size_t a, size_t b) {
    return ((const ssdei_source *)items)[a].place < ((const ssdei_source *)items)[b].place;
}

/* Puts the tensors of a list in the place of those of the parameters that are trained, in the order in which the
   model's state lists them; frozen ones are the same in both. */
static ssde_status ssdei_list_sources(ssdei_loading *loading, const ssdei_weight_set *list) {
    const ssde_net *net = loading->net;
    char name[300];
    size_t averaged = 0, i;
    ssdei_sort(loading->sources, net->parameter_count, loading->order, ssdei_source_before);
    for (i = 0; i <= net->parameter_count; i++) {
        size_t index = i < net->parameter_count ? loading->order[i] : 0;
        if (i < net->parameter_count && !net->parameters[index].info.trainable) continue;
        snprintf(name, sizeof name, "%.*s%lu", (int)list->length, list->name, (unsigned long)averaged++);
        if (i < net->parameter_count)
            ssdei_try(ssdei_source_find(loading, index, name));
        else if (ssde_tensor_file_find(loading->file, name))
            return ssde_fail(loading->context, SSDE_ERROR_FORMAT,
                             "'%.100s' has a tensor '%.100s', its model's state not",
                             ssde_tensor_file_path(loading->file), name);
    }
    return SSDE_OK;
}

/* The tensors of all parameters: of the averaged weights, the model's, or whatever the file has one set of. `how` is an
   int, ssde_pth_weights or SSDEI_ANY_WEIGHTS. */
static ssde_status ssdei_weights_sources(const void *how, ssdei_loading *loading) {
    const int wanted = *(const int *)how;
    const ssdei_weight_set *set, *named;
    ssdei_sets sets;
    ssdei_sets_find(loading->net, loading->file, &sets);
    named = ssdei_sets_pick(&sets, 0);
    ssdei_sets_find_lists(loading->file, &sets);
    set = ssdei_sets_pick(&sets, wanted == SSDE_PTH_EMA ? 1 : wanted == SSDE_PTH_MODEL ? 0 : SSDEI_ANY_WEIGHTS);
    if (!set && wanted == SSDE_PTH_EMA && sets.count == 1 && !ssdei_file_has_average(loading->file)) set = named;
    if (!set)
        return ssdei_sets_fail(loading, &sets,
                               wanted == SSDE_PTH_EMA     ? "does not tell the averaged weights"
                               : wanted == SSDE_PTH_MODEL ? "does not tell the model's weights"
                                                          : "has several, see ssde_net_load_pth");
    if (set->list && !named) return ssdei_sets_fail(loading, &sets, "has no one model's state to name its average");
    ssdei_try(ssdei_set_sources(loading, set->list ? named : set, named));
    return set->list ? ssdei_list_sources(loading, set) : SSDE_OK;
}

/* A file with an error leaves the network as it was. */
static ssde_status ssdei_weights_load(ssde_net *net, const char *path, int wanted, const char *name) {
    ssde_tensor_file *file;
    ssde_status status;
    float *weights;
    if (!net) return SSDE_ERROR_ARGUMENT;
    if (!net->finished)
        return ssde_fail(net->context, SSDE_ERROR_ARGUMENT, "%s: the network is not finished: ssde_net_finish", name);
    if (!net->parameter_count)
        return ssde_fail(net->context, SSDE_ERROR_ARGUMENT, "%s: the network has no parameters", name);
    ssdei_try(ssde_tensor_file_open(net->context, &file, path));
    weights = (float *)ssdei_allocate(net->context, net->weight_count, sizeof *weights);
    status = weights ? ssdei_weights_read(net->context, net, file, ssdei_weights_sources, &wanted, weights)
                     : SSDE_ERROR_MEMORY;
    if (status == SSDE_OK) {
        memcpy(net->weights, weights, net->weight_count * sizeof *weights);
    }
    ssdei_release(net->context, weights);
    ssde_tensor_file_close(file);
    return status;
}

ssde_status ssde_net_load_weights(ssde_net *net, const char *path) {
    return ssdei_weights_load(net, path, SSDEI_ANY_WEIGHTS, "ssde_net_load_weights");
}

ssde_status ssde_net_load_pth(ssde_net *net, const char *path, ssde_pth_weights weights) {
    if (weights != SSDE_PTH_EMA && weights != SSDE_PTH_MODEL)
        return ssde_fail(net ? net->context : NULL, SSDE_ERROR_ARGUMENT,
                         "ssde_net_load_pth: weights is %d, wanted an ssde_pth_weights", (int)weights);
    return ssdei_weights_load(net, path, (int)weights, "ssde_net_load_pth");
}

static size_t ssdei_file_numbers(const ssde_tensor_file *file) {
    size_t total = 0, i;
    for (i = 0; i < ssde_tensor_file_count(file); i++) {
        size_t count = ssde_tensor_file_get(file, i)->count;
        total = total > SIZE_MAX - count ? SIZE_MAX : total + count;
    }
    return total;
}

/* A few bytes of description can ask for any amount of memory: it must not exceed what the file has numbers for.
   `least` is a lower bound of the network's parameters. */
static ssde_status ssdei_check_described_size(ssdei_fields *fields, const ssde_tensor_file *file, double least) {
    if (fields->status == SSDE_OK && least > (double)ssdei_file_numbers(file))
        fields->status = ssde_fail(fields->context, SSDE_ERROR_SHAPE,
                                   "'%.100s' describes a network of %.3g or more parameters and has %.3g", fields->path,
                                   least, (double)ssdei_file_numbers(file));
    return fields->status;
}

/* A lower bound of a U-Net's parameters: a 3x3 convolution from and to nf or more channels in each block of each
   level, and one to the widest; and the classes. */
static double ssdei_unet_least(const ssde_unet_desc *desc) {
    double width = (double)desc->num_levels * (double)desc->num_res_blocks;
    int i;
    if (width < 1.0) width = 1.0;
    for (i = 0; i < desc->num_levels; i++)
        if (width < (double)desc->ch_mult[i]) width = (double)desc->ch_mult[i];
    return (double)desc->nf * (9.0 * (double)desc->nf * width + 4.0 * (double)desc->classes);
}

/* What these networks are made of and descriptions may name. */
static void ssdei_unet_check_parts(ssdei_fields *fields) {
    static const char *const norms[] = {"GroupNorm", NULL}, *const nonlinearities[] = {"swish", NULL};
    ssdei_json value;
    if (ssdei_fields_find(fields, "model.normalization", &value))
        ssdei_field_choice(fields, "model.normalization", 0, norms);
    if (ssdei_fields_find(fields, "model.nonlinearity", &value))
        ssdei_field_choice(fields, "model.nonlinearity", 0, nonlinearities);
}

static ssde_status ssdei_unet_load(ssdei_fields *fields, const ssde_tensor_file *file, ssde_net **net) {
    ssde_unet_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.context = fields->context;
    ssdei_unet_fields(fields, "model.name", &desc);
    ssdei_unet_check_parts(fields);
    ssdei_try(ssdei_check_described_size(fields, file, ssdei_unet_least(&desc)));
    return ssdei_net_complete_empty(net, ssdei_unet_build(net, &desc));
}

static ssde_status ssdei_classifier_load(ssdei_fields *fields, const ssde_tensor_file *file, ssde_net **net) {
    ssde_classifier_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.body.context = fields->context;
    ssdei_classifier_fields(fields, &desc);
    ssdei_try(ssdei_check_described_size(fields, file,
                                         ssdei_unet_least(&desc.body) + (double)desc.classes * (double)desc.body.nf));
    return ssdei_net_complete_empty(net, ssdei_classifier_build(net, &desc));
}

static ssde_status ssdei_mlp_load(ssdei_fields *fields, const ssde_tensor_file *file, ssde_net **net) {
    ssde_mlp_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.context = fields->context;
    ssdei_mlp_fields(fields, &desc);
    ssdei_try(ssdei_check_described_size(
        fields, file, (double)desc.hidden * ((double)desc.hidden * (double)desc.layers + (double)desc.dim)));
    return ssdei_net_complete_empty(net, ssdei_mlp_build(net, &desc));
}

/* At least: the residual blocks' convolutions, some of them, and, of NCSN, a norm of each. */
static ssde_status ssdei_refinenet_load(ssdei_fields *fields, const ssde_tensor_file *file, ssde_net **net) {
    ssde_refinenet_desc desc;
    double nf;
    memset(&desc, 0, sizeof desc);
    desc.context = fields->context;
    ssdei_refinenet_fields(fields, &desc);
    nf = (double)desc.nf;
    ssdei_try(ssdei_check_described_size(
        fields, file, 9.0 * nf * (16.0 * nf + (double)(desc.name == SSDE_NCSN ? desc.num_scales : 0))));
    return ssdei_net_complete_empty(net, ssdei_refinenet_build(net, &desc));
}

/* A lower bound of its parameters: a 3x3 convolution in each residual block, and the tables. */
static double ssdei_unet2d_least(const ssde_unet2d_desc *desc) {
    double least = (double)desc->num_class_embeds + (double)desc->num_train_timesteps;
    int i;
    for (i = 0; i < desc->num_levels; i++)
        least += 9.0 * (2.0 * desc->layers_per_block + 1.0) * (double)desc->block_out_channels[i] *
                 (double)desc->block_out_channels[i];
    return least;
}

static ssde_status ssdei_unet2d_load(ssdei_fields *fields, const ssde_tensor_file *file, ssde_net **net) {
    ssde_unet2d_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.context = fields->context;
    ssdei_unet2d_fields(fields, "model.name", &desc);
    ssdei_try(ssdei_check_described_size(fields, file, ssdei_unet2d_least(&desc)));
    return ssdei_net_complete_empty(net, ssdei_unet2d_build(net, &desc));
}

static ssde_status ssdei_encoder_load(ssdei_fields *fields, const ssde_tensor_file *file, ssde_net **net) {
    ssdei_encoder desc;
    memset(&desc, 0, sizeof desc);
    desc.body.context = fields->context;
    ssdei_encoder_fields(fields, &desc);
    ssdei_try(ssdei_check_described_size(fields, file, ssdei_unet2d_least(&desc.body) + (double)desc.classes));
    return ssdei_net_complete_empty(net, ssdei_encoder_build(net, &desc));
}

/* What a file says its network is. */
static ssde_status ssdei_model_build(ssdei_fields *fields, const ssde_tensor_file *file, ssde_net **net) {
    static const char *const models[] = {"mlp",  "classifier", "unet2d",     "unet2d_classifier", "ncsnpp", "ddpm",
                                         "ncsn", "ncsnv2_64",  "ncsnv2_128", "ncsnv2_256",        NULL};
    int model = ssdei_field_choice(fields, "model.name", 0, models);
    ssdei_try(fields->status);
    if (model == 0) return ssdei_mlp_load(fields, file, net);
    if (model == 1) return ssdei_classifier_load(fields, file, net);
    if (model == 2) return ssdei_unet2d_load(fields, file, net);
    if (model == 3) return ssdei_encoder_load(fields, file, net);
    return model < 6 ? ssdei_unet_load(fields, file, net) : ssdei_refinenet_load(fields, file, net);
}

static ssde_status ssdei_model_sde(ssdei_fields *fields, ssde_sde *sde, ssdei_table **table) {
    ssde_sde read = ssde_vp(0.1, 20.0);
    ssdei_sde_fields(fields, &read);
    if (read.kind == SSDE_TABULATED && fields->status == SSDE_OK) {
        const double prior_std = read.prior_std;
        ssdei_table_fields(fields, &read, table);
        read.prior_std = prior_std;
    }
    ssdei_try(fields->status);
    ssdei_try(ssde_sde_check(fields->context, &read));
    *sde = read;
    return SSDE_OK;
}

/* *net and *table may be there after a failure. */
static ssde_status ssdei_model_load(ssde_context *context, const ssde_tensor_file *file, ssde_sde *sde, ssde_net **net,
                                    ssdei_table **table) {
    const int wanted = SSDEI_ANY_WEIGHTS;
    const char *path = ssde_tensor_file_path(file), *config = ssde_tensor_file_metadata(file, "config");
    ssdei_fields fields = ssdei_fields_over(SSDEI_FIELDS_READ, context, config, path);
    if (!config)
        return ssde_fail(context, SSDE_ERROR_FORMAT,
                         "'%.90s' has no description of its network (\"config\" in __metadata__): build one, and "
                         "ssde_net_load_weights",
                         path);
    if (sde) ssdei_try(ssdei_model_sde(&fields, sde, table));
    ssdei_try(ssdei_model_build(&fields, file, net));
    ssdei_meaning_fields(&fields, &(*net)->means);
    if ((*net)->levels.count) (*net)->means.discrete = 1; /* which ve/ncsnv2/bedroom.py, misspelt, does not say */
    ssdei_try(fields.status);
    return ssdei_weights_read(context, *net, file, ssdei_weights_sources, &wanted, (*net)->weights);
}

ssde_status ssde_net_load(ssde_context *context, ssde_net **net, ssde_sde *sde, const char *path) {
    ssde_tensor_file *file;
    ssde_net *built = NULL;
    ssdei_table *table = NULL;
    ssde_sde read;
    ssde_status status;
    if (!net) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "ssde_net_load: net is NULL");
    *net = NULL;
    ssdei_try(ssde_tensor_file_open(context, &file, path));
    status = ssdei_model_load(context, file, sde ? &read : NULL, &built, &table);
    ssde_tensor_file_close(file);
    if (status != SSDE_OK) {
        ssdei_release(context, table);
        ssde_net_destroy(built);
        return status;
    }
    built->table = table;
    if (sde) *sde = read;
    *net = built;
    return SSDE_OK;
}

/* ---- models: diffusers ----
   The configuration of UNet2DModel (models/unets/unet_2d.py) as a description, and its files' names. */

static void ssdei_config_refuse(ssdei_fields *fields, const char *key, const char *problem) {
    if (fields->status != SSDE_OK) return;
    ssdei_fields_fail(fields, key, problem);
    fields->status = SSDE_ERROR_UNSUPPORTED;
}

/* A key that is there, and not null. */
static int ssdei_config_given(ssdei_fields *fields, const char *key) {
    ssdei_json value;
    return ssdei_fields_find(fields, key, &value) && !ssdei_json_word(&value, "null");
}

/* A key that is there, null or not. */
static int ssdei_config_has(ssdei_fields *fields, const char *key) {
    ssdei_json value;
    return ssdei_fields_find(fields, key, &value);
}

static double ssdei_config_number(ssdei_fields *fields, const char *key, double otherwise) {
    return ssdei_config_has(fields, key) ? ssdei_field_number(fields, key, otherwise) : otherwise;
}

static size_t ssdei_config_whole(ssdei_fields *fields, const char *key, size_t otherwise) {
    return ssdei_config_has(fields, key) ? ssdei_field_size(fields, key, otherwise) : otherwise;
}

static int ssdei_config_flag(ssdei_fields *fields, const char *key, int otherwise) {
    return ssdei_config_has(fields, key) ? ssdei_field_flag(fields, key, otherwise) : otherwise;
}

/* A number of 1 or more; 0 for null. */
static size_t ssdei_config_nullable(ssdei_fields *fields, const char *key, size_t otherwise) {
    size_t number = otherwise;
    if (!ssdei_config_has(fields, key)) return otherwise;
    if (!ssdei_config_given(fields, key)) return 0;
    number = ssdei_field_size(fields, key, otherwise);
    if (!number) ssdei_fields_fail(fields, key, "is 0, wanted 1 or more, or null");
    return number;
}

/* A string that is one of `names`; its index, 0 where the key is missing or null. */
static int ssdei_config_choice(ssdei_fields *fields, const char *key, const char *const *names) {
    return ssdei_config_given(fields, key) ? ssdei_field_choice(fields, key, 0, names) : 0;
}

/* The same where other strings have a meaning, too: their index is the number of names. */
static int ssdei_config_any_choice(ssdei_fields *fields, const char *key, const char *const *names) {
    ssdei_json value;
    char name[64];
    int i = 0;
    if (!ssdei_config_given(fields, key) || !ssdei_field_begin(fields, key, &value)) return 0;
    ssdei_json_string(&value, name, sizeof name);
    if (!ssdei_field_end(fields, key, &value)) return 0;
    while (names[i] && strcmp(names[i], name)) i++;
    return i;
}

/* A list of strings out of `names`, as their indices; how many. */
static int ssdei_config_types(ssdei_fields *fields, const char *key, const char *const *names, int *types) {
    ssdei_json value;
    int count = 0;
    if (!ssdei_field_begin(fields, key, &value)) return 0;
    for (ssdei_json_open(&value, '['); ssdei_json_next(&value, ']'); count++) {
        char text[64], problem[120], *name = text;
        ssdei_json_string(&value, text, sizeof text);
        if (count == SSDE_MAX_LEVELS) ssdei_json_fail(&value, "has too many entries");
        if (value.problem) break;
        if (!strncmp(name, "UNetRes", 7)) name += 7; /* as there */
        for (types[count] = 0; names[types[count]] && strcmp(names[types[count]], name);) types[count]++;
        if (names[types[count]]) continue;
        snprintf(problem, sizeof problem, "has '%s', which scoresde does not know", name);
        ssdei_config_refuse(fields, key, problem);
        return 0;
    }
    return ssdei_field_end(fields, key, &value) ? count : 0;
}

/* Every key of UNet2DModel's constructor, and of what its average's file has besides; others may only be null. */
static int ssdei_config_knows(const char *key) {
    static const char keys[] =
        "sample_size\0in_channels\0out_channels\0center_input_sample\0time_embedding_type\0time_embedding_dim\0"
        "freq_shift\0flip_sin_to_cos\0down_block_types\0mid_block_type\0up_block_types\0block_out_channels\0"
        "layers_per_block\0mid_block_scale_factor\0downsample_padding\0downsample_type\0upsample_type\0dropout\0"
        "act_fn\0attention_head_dim\0norm_num_groups\0attn_norm_num_groups\0norm_eps\0resnet_time_scale_shift\0"
        "add_attention\0class_embed_type\0num_class_embeds\0num_train_timesteps\0decay\0min_decay\0min_value\0inv_"
        "gamma\0power\0update_after_step\0"
        "use_ema_warmup\0optimization_step\0";
    const char *known;
    for (known = keys; *known; known += strlen(known) + 1)
        if (!strcmp(key, known)) return 1;
    return key[0] == '_';
}

static void ssdei_config_check_keys(ssdei_fields *fields) {
    ssdei_json json = ssdei_json_over(fields->json, strlen(fields->json));
    for (ssdei_json_open(&json, '{'); ssdei_json_next(&json, '}');) {
        char name[64];
        ssdei_json_key(&json, name, sizeof name);
        if (json.problem || ssdei_config_knows(name))
            ssdei_json_skip(&json);
        else if (!ssdei_json_word(&json, "null")) {
            ssdei_config_refuse(fields, name, "is a key that scoresde does not know");
            return;
        }
    }
    ssdei_json_end(&json);
    ssdei_field_end(fields, "{}", &json);
}

/* "sample_size": one number, or height and width. */
static void ssdei_config_size(ssdei_fields *fields, ssde_unet2d_desc *desc) {
    ssdei_json value;
    double sizes[2] = {0, 0};
    if (!ssdei_config_given(fields, "sample_size")) return;
    if (ssdei_fields_find(fields, "sample_size", &value) && ssdei_json_peek(&value) == '[') {
        if (ssdei_field_sizes(fields, "sample_size", sizes, 0, 2, 32768.0) != 2)
            ssdei_fields_fail(fields, "sample_size", "is not height and width");
        desc->height = (size_t)sizes[0];
        desc->width = (size_t)sizes[1];
    } else
        desc->height = desc->width = ssdei_field_size(fields, "sample_size", 0);
}

/* What the blocks of a way are, of which there must be one for each level. */
static void ssdei_config_blocks(ssdei_fields *fields, const char *key, const char *const *names, const char *sampler,
                                int levels, int up, ssde_unet2d_blocks *blocks) {
    static const char *const samplers[] = {"conv", "resnet", NULL};
    int types[SSDE_MAX_LEVELS], usual[4] = {0, 2, 2, 2}, resampling, i;
    if (up) usual[0] = 2, usual[3] = 0;
    resampling = ssdei_config_any_choice(fields, sampler, samplers);
    if (!ssdei_config_has(fields, key) && levels == 4)
        memcpy(types, usual, sizeof usual);
    else if (ssdei_config_types(fields, key, names, types) != levels)
        ssdei_fields_fail(fields, key, "is not one for each of block_out_channels");
    for (i = 0; i < levels && fields->status == SSDE_OK; i++) {
        ssde_unet2d_blocks *to = &blocks[up ? levels - 1 - i : i];
        to->attention = types[i] == 2 || types[i] == 4;
        to->skip = types[i] > 2;
        if (types[i] == 1 || (types[i] == 2 && resampling)) to->resampling = SSDE_RESAMPLING_BLOCK;
        if (types[i] == 2 && resampling == 2 && i < levels - 1)
            ssdei_config_refuse(fields, sampler, "is neither 'conv' nor 'resnet', which blocks with attention need");
    }
}

static void ssdei_config_levels(ssdei_fields *fields, ssde_unet2d_desc *desc) {
    static const char *const down[] = {"DownBlock2D",     "ResnetDownsampleBlock2D", "AttnDownBlock2D",
                                       "SkipDownBlock2D", "AttnSkipDownBlock2D",     NULL};
    static const char *const up[] = {"UpBlock2D",     "ResnetUpsampleBlock2D", "AttnUpBlock2D",
                                     "SkipUpBlock2D", "AttnSkipUpBlock2D",     NULL};
    double channels[SSDE_MAX_LEVELS] = {224.0, 448.0, 672.0, 896.0};
    int i, levels = 4, skip = 1;
    if (ssdei_config_has(fields, "block_out_channels"))
        levels = ssdei_field_sizes(fields, "block_out_channels", channels, 0, SSDE_MAX_LEVELS, 65536.0);
    if (!levels) ssdei_fields_fail(fields, "block_out_channels", "is empty");
    ssdei_config_blocks(fields, "down_block_types", down, "downsample_type", levels, 0, desc->down);
    ssdei_config_blocks(fields, "up_block_types", up, "upsample_type", levels, 1, desc->up);
    if (fields->status != SSDE_OK) return;
    desc->num_levels = levels;
    for (i = 0; i < levels; i++) {
        desc->block_out_channels[i] = (size_t)channels[i];
        skip &= desc->down[i].skip && desc->up[i].skip;
    }
    desc->norm_num_groups = ssdei_config_nullable(fields, "norm_num_groups", 32);
    if (!desc->norm_num_groups && !skip)
        ssdei_config_refuse(fields, "norm_num_groups", "is null, with which all blocks must be Skip blocks");
}

static void ssdei_config_embedding(ssdei_fields *fields, ssde_unet2d_desc *desc) {
    static const char *const times[] = {"positional", "fourier", "learned", NULL};
    static const char *const classes[] = {"", "timestep", "identity", NULL};
    static const ssde_unet2d_classes kinds[4] = {SSDE_UNET2D_CLASS_TABLE, SSDE_UNET2D_CLASS_TIMESTEP,
                                                 SSDE_UNET2D_CLASS_VECTOR, SSDE_UNET2D_NO_CLASSES};
    desc->time_embedding_type = (ssde_unet2d_time)ssdei_config_choice(fields, "time_embedding_type", times);
    desc->freq_shift = ssdei_config_number(fields, "freq_shift", 0.0);
    desc->flip_sin_to_cos = ssdei_config_flag(fields, "flip_sin_to_cos", 1);
    desc->time_embedding_dim = ssdei_config_nullable(fields, "time_embedding_dim", 0);
    desc->num_train_timesteps = ssdei_config_nullable(fields, "num_train_timesteps", 0);
    desc->num_class_embeds = ssdei_config_nullable(fields, "num_class_embeds", 0);
    /* a type that it does not know leaves diffusers without classes, too */
    desc->class_embed_type = kinds[ssdei_config_any_choice(fields, "class_embed_type", classes)];
    if (desc->class_embed_type == SSDE_UNET2D_CLASS_TABLE && !desc->num_class_embeds)
        desc->class_embed_type = SSDE_UNET2D_NO_CLASSES;
    if (desc->class_embed_type != SSDE_UNET2D_CLASS_TABLE) desc->num_class_embeds = 0;
    if (desc->time_embedding_type != SSDE_UNET2D_LEARNED) desc->num_train_timesteps = 0;
    if (desc->time_embedding_type == SSDE_UNET2D_LEARNED && !desc->num_train_timesteps)
        ssdei_config_refuse(fields, "num_train_timesteps", "is missing or null, but the time embedding is learned");
}

static void ssdei_config_desc(ssdei_fields *fields, ssde_unet2d_desc *desc) {
    static const char *const models[] = {"UNet2DModel", NULL}, *const middles[] = {"UNetMidBlock2D", NULL};
    static const char *const shifts[] = {"default", "scale_shift", NULL};
    static const char *const activations[] = {"silu", "swish", "mish", "gelu", "relu", NULL};
    static const ssde_activation functions[5] = {SSDE_SILU, SSDE_SILU, SSDE_MISH, SSDE_GELU, SSDE_RELU};
    *desc = ssde_unet2d(0, 0, 0);
    memset(desc->down, 0, sizeof desc->down);
    memset(desc->up, 0, sizeof desc->up);
    desc->context = fields->context;
    ssdei_config_check_keys(fields);
    ssdei_config_choice(fields, "_class_name", models);
    ssdei_config_size(fields, desc);
    ssdei_config_levels(fields, desc);
    ssdei_config_embedding(fields, desc);
    desc->in_channels = ssdei_config_whole(fields, "in_channels", 3);
    desc->out_channels = ssdei_config_whole(fields, "out_channels", 3);
    desc->center_input_sample = ssdei_config_flag(fields, "center_input_sample", 0);
    desc->layers_per_block = (int)ssdei_config_whole(fields, "layers_per_block", 2);
    desc->downsample_padding = (int)ssdei_config_whole(fields, "downsample_padding", 1);
    desc->act_fn = functions[ssdei_config_choice(fields, "act_fn", activations)];
    desc->dropout = ssdei_config_number(fields, "dropout", 0.0);
    desc->norm_eps = ssdei_config_number(fields, "norm_eps", 1e-5);
    desc->scale_shift = ssdei_config_choice(fields, "resnet_time_scale_shift", shifts);
    desc->attention_head_dim = ssdei_config_nullable(fields, "attention_head_dim", 8);
    desc->attn_norm_num_groups = ssdei_config_nullable(fields, "attn_norm_num_groups", 0);
    ssdei_config_any_choice(fields, "mid_block_type", middles); /* any name is this one's */
    desc->no_mid_block = ssdei_config_has(fields, "mid_block_type") && !ssdei_config_given(fields, "mid_block_type");
    desc->no_mid_attention = !ssdei_config_flag(fields, "add_attention", 1);
    desc->mid_block_scale_factor = ssdei_config_number(fields, "mid_block_scale_factor", 1.0);
}

/* What the two call the parts of a module. */
typedef struct ssdei_diffusers_part {
    const char *ours, *theirs;
    int turned_rank; /* of its W */
} ssdei_diffusers_part;

static const ssdei_diffusers_part ssdei_diffusers_block[] = {
    {"GroupNorm_0.", ".norm1.", 0},  {"Conv_0.", ".conv1.", 0}, {"Dense_0.", ".time_emb_proj.", 0},
    {"GroupNorm_1.", ".norm2.", 0},  {"Conv_1.", ".conv2.", 0}, {"Conv_2.", ".conv_shortcut.", 0},
    {"NIN_0.", ".conv_shortcut.", 4}};
static const ssdei_diffusers_part ssdei_diffusers_attention[] = {{"GroupNorm_0.", ".group_norm.", 0},
                                                                 {"NIN_0.", ".to_q.", 2},
                                                                 {"NIN_1.", ".to_k.", 2},
                                                                 {"NIN_2.", ".to_v.", 2},
                                                                 {"NIN_3.", ".to_out.0.", 2}};
static const ssdei_diffusers_part ssdei_diffusers_plain[] = {{"Conv_0.", ".", 0}, {"", ".", 0}};

/* What diffusers calls a module: %d are its block, of which there is one for each level on each way, and its number. */
static const struct ssdei_diffusers_module {
    ssdei_module_kind kind;
    ssdei_way way;
    const char *name;
    const ssdei_diffusers_part *parts;
} ssdei_diffusers_modules[] = {
    {SSDEI_MODULE_FREQUENCIES, SSDEI_WAY_DOWN, "time_proj", ssdei_diffusers_plain},
    {SSDEI_MODULE_EMBEDDING_FIRST, SSDEI_WAY_DOWN, "time_embedding.linear_1", ssdei_diffusers_plain},
    {SSDEI_MODULE_EMBEDDING_SECOND, SSDEI_WAY_DOWN, "time_embedding.linear_2", ssdei_diffusers_plain},
    {SSDEI_MODULE_INPUT, SSDEI_WAY_DOWN, "conv_in", ssdei_diffusers_plain},
    {SSDEI_MODULE_BLOCK, SSDEI_WAY_DOWN, "down_blocks.%d.resnets.%d", ssdei_diffusers_block},
    {SSDEI_MODULE_ATTENTION, SSDEI_WAY_DOWN, "down_blocks.%d.attentions.%d", ssdei_diffusers_attention},
    {SSDEI_MODULE_RESAMPLE, SSDEI_WAY_DOWN, "down_blocks.%d.downsamplers.%d.conv", ssdei_diffusers_plain},
    {SSDEI_MODULE_RESAMPLE_BLOCK, SSDEI_WAY_DOWN, "down_blocks.%d.resnet_down", ssdei_diffusers_block},
    {SSDEI_MODULE_PYRAMID, SSDEI_WAY_DOWN, "down_blocks.%d.skip_conv", ssdei_diffusers_plain},
    {SSDEI_MODULE_BLOCK, SSDEI_WAY_MIDDLE, "mid_block.resnets.%d", ssdei_diffusers_block},
    {SSDEI_MODULE_ATTENTION, SSDEI_WAY_MIDDLE, "mid_block.attentions.%d", ssdei_diffusers_attention},
    {SSDEI_MODULE_BLOCK, SSDEI_WAY_UP, "up_blocks.%d.resnets.%d", ssdei_diffusers_block},
    {SSDEI_MODULE_ATTENTION, SSDEI_WAY_UP, "up_blocks.%d.attentions.%d", ssdei_diffusers_attention},
    {SSDEI_MODULE_RESAMPLE, SSDEI_WAY_UP, "up_blocks.%d.upsamplers.%d.conv", ssdei_diffusers_plain},
    {SSDEI_MODULE_RESAMPLE_BLOCK, SSDEI_WAY_UP, "up_blocks.%d.resnet_up", ssdei_diffusers_block},
    {SSDEI_MODULE_PYRAMID_NORM, SSDEI_WAY_UP, "up_blocks.%d.skip_norm", ssdei_diffusers_plain},
    {SSDEI_MODULE_PYRAMID, SSDEI_WAY_UP, "up_blocks.%d.skip_conv", ssdei_diffusers_plain},
    {SSDEI_MODULE_OUTPUT_NORM, SSDEI_WAY_UP, "conv_norm_out", ssdei_diffusers_plain},
    {SSDEI_MODULE_OUTPUT, SSDEI_WAY_UP, "conv_out", ssdei_diffusers_plain}};

/* What it calls a parameter, "all_modules.NUMBER.PART.KIND" here. */
static const ssdei_diffusers_part *ssdei_diffusers_name(const ssde_unet_desc *desc, const ssdei_parameter *parameter,
                                                        char name[96]) {
    const ssdei_module *module = &parameter->module;
    const struct ssdei_diffusers_module *row = ssdei_diffusers_modules;
    const ssdei_diffusers_part *part;
    const char *rest = strchr(parameter->info.name + strlen("all_modules."), '.') + 1, *kind, *suffix;
    const int block = module->way == SSDEI_WAY_UP     ? desc->num_levels - 1 - module->level
                      : module->way == SSDEI_WAY_DOWN ? module->level
                                                      : module->number;
    char start[64];
    while (row->kind != module->kind || row->way != module->way) row++;
    for (part = row->parts; strncmp(rest, part->ours, strlen(part->ours));) part++;
    kind = rest + strlen(part->ours);
    suffix = !strcmp(kind, "W") ? "weight" : !strcmp(kind, "b") ? "bias" : kind;
    snprintf(start, sizeof start, row->name, block, module->number);
    snprintf(name, 96, "%s%s%.20s", start, part->theirs, suffix);
    return part;
}

/* The tensor of a parameter under its name or, before 0.15, its older one. */
static ssde_status ssdei_diffusers_source(ssdei_loading *loading, const ssdei_weight_set *set, size_t index) {
    static const char *const older[][2] = {{".to_q.", ".query."},
                                           {".to_k.", ".key."},
                                           {".to_v.", ".value."},
                                           {".to_out.0.", ".proj_attn."},
                                           {"time_proj.weight", "time_proj.W"}};
    const char *name = loading->net->parameters[index].info.name;
    char whole[400], old[400];
    size_t i;
    snprintf(whole, sizeof whole, "%.*s%s", (int)set->length, set->name, name);
    for (i = 0; i < sizeof older / sizeof *older && !ssde_tensor_file_find(loading->file, whole); i++) {
        const char *at = strstr(name, older[i][0]);
        if (!at) continue;
        snprintf(old, sizeof old, "%.*s%.*s%s%s", (int)set->length, set->name, (int)(at - name), name, older[i][1],
                 at + strlen(older[i][0]));
        if (ssde_tensor_file_find(loading->file, old)) return ssdei_source_find(loading, index, old);
    }
    return ssdei_source_find(loading, index, whole);
}

/* The frequencies under two names, of which the second is "time_proj.W". */
static ssde_status ssdei_diffusers_twin(ssde_context *context, const ssde_tensor_file *file,
                                        const ssdei_weight_set *set, const ssde_file_tensor *tensor, int *same) {
    const ssde_file_tensor *other;
    ssde_status status;
    float *values;
    char name[300];
    *same = 0;
    snprintf(name, sizeof name, "%.*stime_proj.weight", (int)set->length, set->name);
    other = ssde_tensor_file_find(file, name);
    if (strcmp(tensor->name + set->length, "time_proj.W") || !other || other->count != tensor->count) return SSDE_OK;
    values = (float *)ssdei_allocate(context, tensor->count + 1, 2 * sizeof *values);
    if (!values) return SSDE_ERROR_MEMORY;
    status = ssde_tensor_file_read(file, tensor, values);
    if (status == SSDE_OK) status = ssde_tensor_file_read(file, other, values + tensor->count);
    *same = status == SSDE_OK && !memcmp(values, values + tensor->count, tensor->count * sizeof *values);
    ssdei_release(context, values);
    return status;
}

static ssde_status ssdei_diffusers_sources(const void *how, ssdei_loading *loading) {
    const ssde_tensor_file *file = loading->file;
    const size_t count = loading->net->parameter_count;
    static const char first[] = "conv_in.weight";
    ssdei_sets sets;
    size_t prefix, i, j;
    int twin;
    (void)how;
    sets.count = 0;
    for (i = 0; i < ssde_tensor_file_count(file); i++) {
        const char *name = ssde_tensor_file_get(file, i)->name;
        if (ssdei_ends_in(name, first, &prefix)) ssdei_sets_add(&sets, name, prefix);
    }
    if (!sets.count)
        return ssde_fail(loading->context, SSDE_ERROR_FORMAT, "'%.120s' has no tensor '%s'",
                         ssde_tensor_file_path(file), first);
    if (sets.count > 1) return ssdei_sets_fail(loading, &sets, "has several");
    for (i = 0; i < count; i++) ssdei_try(ssdei_diffusers_source(loading, sets.sets, i));
    for (i = 0; i < ssde_tensor_file_count(file); i++) {
        const ssde_file_tensor *tensor = ssde_tensor_file_get(file, i);
        if (tensor->number || strncmp(tensor->name, sets.sets[0].name, sets.sets[0].length)) continue;
        for (j = 0; j < count && loading->sources[j].tensor != tensor; j++) continue;
        if (j < count) continue;
        ssdei_try(ssdei_diffusers_twin(loading->context, file, sets.sets, tensor, &twin));
        if (!twin)
            return ssde_fail(loading->context, SSDE_ERROR_FORMAT,
                             "'%.100s' has a tensor '%.100s' that the network lacks", ssde_tensor_file_path(file),
                             tensor->name);
    }
    return SSDE_OK;
}

ssde_status ssde_unet2d_config(ssde_context *context, ssde_unet2d_desc *desc, const char *config_path) {
    unsigned char *config = NULL;
    ssde_unet2d_desc read;
    ssde_status status;
    size_t size;
    if (!desc || !config_path)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "ssde_unet2d_config: %s is NULL", desc ? "config_path" : "desc");
    ssdei_try(ssdei_file_read(context, config_path, &config, &size));
    {
        ssdei_fields fields = ssdei_fields_over(SSDEI_FIELDS_READ, context, (const char *)config, config_path);
        ssdei_config_desc(&fields, &read);
        status = fields.status;
    }
    ssdei_release(context, config);
    if (status == SSDE_OK) *desc = read;
    return status;
}

/* *net may be there after a failure. */
static ssde_status ssdei_unet2d_read(ssde_net **net, const ssde_unet2d_desc *desc, const ssde_tensor_file *file) {
    ssdei_fields fields = ssdei_fields_over(SSDEI_FIELDS_READ, desc->context, "", ssde_tensor_file_path(file));
    ssdei_try(ssdei_unet2d_check(desc));
    ssdei_try(ssdei_check_described_size(&fields, file, ssdei_unet2d_least(desc)));
    ssdei_try(ssdei_net_complete_empty(net, ssdei_unet2d_build(net, desc)));
    (*net)->means.discrete = desc->time_embedding_type != SSDE_UNET2D_FOURIER;
    return ssdei_weights_read(desc->context, *net, file, ssdei_diffusers_sources, NULL, (*net)->weights);
}

ssde_status ssde_unet2d_load(ssde_net **net, const ssde_unet2d_desc *desc, const char *weights_path) {
    ssde_tensor_file *file;
    ssde_net *built = NULL;
    ssde_status status;
    if (net) *net = NULL;
    if (!net || !desc || !weights_path)
        return ssde_fail(desc ? desc->context : NULL, SSDE_ERROR_ARGUMENT, "ssde_unet2d_load: %s is NULL",
                         !net    ? "net"
                         : !desc ? "desc"
                                 : "weights_path");
    ssdei_try(ssde_tensor_file_open(desc->context, &file, weights_path));
    status = ssdei_unet2d_read(&built, desc, file);
    ssde_tensor_file_close(file);
    if (status != SSDE_OK)
        ssde_net_destroy(built);
    else
        *net = built;
    return status;
}

ssde_status ssde_net_load_diffusers(ssde_context *context, ssde_net **net, const char *config_path,
                                    const char *weights_path) {
    ssde_unet2d_desc desc;
    if (net) *net = NULL;
    if (!net || !config_path || !weights_path)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "ssde_net_load_diffusers: %s is NULL",
                         !net           ? "net"
                         : !config_path ? "config_path"
                                        : "weights_path");
    ssdei_try(ssde_unet2d_config(context, &desc, config_path));
    if (!desc.height)
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED,
                         "'%.100s': 'sample_size' is missing or null: give a size by ssde_unet2d_config and "
                         "ssde_unet2d_load",
                         config_path);
    return ssde_unet2d_load(net, &desc, weights_path);
}

/* ---- models: saving for diffusers ----
   What is saved is a ssde_unet2d_desc; the paper's networks that are one become one, under other names. */

/* A network on its way out. */
typedef struct ssdei_export {
    const ssde_net *net;
    ssde_unet2d_desc desc;
    ssde_unet_desc paper; /* what it was built of */
    int renamed;          /* it was */
} ssdei_export;

/* What of the paper's networks UNet2DModel lacks; NULL: nothing. */
static const char *ssdei_export_paper_lacks(const ssde_unet_desc *desc) {
    static const double fir[4] = {1.0, 3.0, 3.0, 1.0};
    const int ddpm = desc->name == SSDE_UNET_DDPM, fourier = desc->embedding_type == SSDE_EMBEDDING_FOURIER;
    int i, attention = 0, narrow = 0;
    for (i = 0; i < desc->num_levels; i++) {
        if (!ssdei_unet_attends(desc, desc->width >> i)) continue;
        attention = 1;
        narrow |= desc->nf * (size_t)desc->ch_mult[i] < 128;
    }
    if (!desc->conditional) return "conditional is 0";
    if (desc->noise_conditioning != SSDE_NOISE_EMBEDDING) return "noise_conditioning is another than the embedding";
    if (desc->classes) return "classes have a row of no class";
    if (!desc->resamp_with_conv) return "resamp_with_conv is 0";
    if (attention && desc->attn_every_block != ddpm)
        return ddpm ? "attn_every_block is 0" : "attn_every_block is 1, with Skip blocks";
    if (ddpm) return desc->scale_by_sigma ? "scale_by_sigma is 1" : NULL;
    if (desc->resblock_type != SSDE_RESBLOCK_BIGGAN) return "resblock_type is 'ddpm'";
    if (desc->progressive != SSDE_OUTPUT_SKIP) return "progressive is another than output_skip";
    if (desc->progressive_input != SSDE_INPUT_SKIP) return "progressive_input is another than input_skip";
    if (desc->progressive_combine != SSDE_COMBINE_SUM) return "progressive_combine is 'cat'";
    if (!desc->skip_rescale) return "skip_rescale is 0";
    if (!desc->fir || desc->fir_taps != 4 || memcmp(desc->fir_kernel, fir, sizeof fir))
        return "fir is 0, or its kernel not 1 3 3 1";
    if (fourier != (desc->scale_by_sigma != 0)) return "scale_by_sigma is another than with UNet2DModel's embedding";
    return narrow ? "attention has fewer than 128 channels, whose norms have other groups there" : NULL;
}

static void ssdei_export_from_paper(const ssde_unet_desc *from, ssde_unet2d_desc *to) {
    const int skip = from->name == SSDE_UNET_NCSNPP;
    int i;
    *to = ssde_unet2d(from->height, from->width, from->channels);
    memset(to->down, 0, sizeof to->down);
    to->num_levels = from->num_levels;
    for (i = 0; i < from->num_levels; i++) {
        to->block_out_channels[i] = from->nf * (size_t)from->ch_mult[i];
        to->down[i].attention = ssdei_unet_attends(from, from->width >> i);
        to->down[i].skip = skip;
    }
    memcpy(to->up, to->down, sizeof to->up);
    to->center_input_sample = !from->centered;
    to->layers_per_block = from->num_res_blocks;
    to->downsample_padding = 0;
    to->dropout = from->dropout;
    to->norm_num_groups = skip ? 0 : 32;
    to->norm_eps = 1e-6;
    to->attention_head_dim = 0;
    to->mid_block_scale_factor = skip ? sqrt(2.0) : 1.0;
    if (skip && from->embedding_type == SSDE_EMBEDDING_FOURIER) to->time_embedding_type = SSDE_UNET2D_FOURIER;
    to->freq_shift = 1.0;
    to->flip_sin_to_cos = 0;
}

/* Heads of a number each become heads of a width: one width for all there are. */
static const char *ssdei_export_heads(ssde_unet2d_desc *desc) {
    size_t width = 0, own;
    int i, way;
    if (desc->num_heads_up && desc->num_heads_up != desc->num_heads) return "num_heads_up is another than num_heads";
    if (!desc->num_heads) return NULL;
    for (i = 0; i < desc->num_levels; i++)
        for (way = 0; way < 3; way++) {
            if (way < 2 ? !(way ? desc->up : desc->down)[i].attention
                        : i < desc->num_levels - 1 || desc->no_mid_block || desc->no_mid_attention)
                continue;
            own = desc->block_out_channels[i] / desc->num_heads;
            if (width && width != own) return "num_heads is the same for attention over different channels";
            width = own;
        }
    desc->attention_head_dim = width;
    desc->num_heads = desc->num_heads_up = 0;
    return NULL;
}

/* What of a description UNet2DModel has no key for; NULL: nothing. `resampling` gets what blocks with attention have.
 */
static const char *ssdei_export_lacks(ssde_unet2d_desc *desc, ssde_unet2d_resampling resampling[2]) {
    int i, way;
    for (way = 0; way < 2; way++) {
        int found = 0;
        resampling[way] = SSDE_RESAMPLING_CONV;
        for (i = 0; i < desc->num_levels; i++) {
            const ssde_unet2d_blocks *blocks = &(way ? desc->up : desc->down)[i];
            if (blocks->skip || i == (way ? 0 : desc->num_levels - 1)) continue;
            if (blocks->resampling == SSDE_RESAMPLING_PLAIN) return "resampling is plain";
            if (!blocks->attention) continue;
            if (found && blocks->resampling != resampling[way]) return "resampling differs among levels with attention";
            found = 1;
            resampling[way] = blocks->resampling;
        }
    }
    if (desc->time_width && desc->time_width != desc->block_out_channels[0])
        return "time_width is another than the first of block_out_channels";
    return ssdei_export_heads(desc);
}

/* Finds what the network was built of, as UNet2DModel's description. */
static ssde_status ssdei_export_read(ssdei_export *out, ssde_unet2d_resampling resampling[2]) {
    ssde_context *context = out->net->context;
    ssdei_fields fields = ssdei_fields_over(SSDEI_FIELDS_READ, context, out->net->description, "");
    const char *lacks = "it is none of ssde_unet2d_create, ssde_unet_create and ssde_net_load_diffusers";
    ssdei_json value;
    char name[16] = "";
    if (fields.json && ssdei_fields_find(&fields, "model.name", &value)) ssdei_json_string(&value, name, sizeof name);
    if (!strcmp(name, "unet2d")) {
        out->desc = ssde_unet2d(0, 0, 0);
        ssdei_unet2d_fields(&fields, "model.name", &out->desc);
        lacks = ssdei_export_lacks(&out->desc, resampling);
    } else if (!strcmp(name, "ddpm") || !strcmp(name, "ncsnpp")) {
        ssdei_unet_fields(&fields, "model.name", &out->paper);
        out->renamed = 1;
        lacks = ssdei_export_paper_lacks(&out->paper);
        ssdei_export_from_paper(&out->paper, &out->desc);
        resampling[0] = resampling[1] = SSDE_RESAMPLING_CONV;
    }
    ssdei_try(fields.status);
    if (!lacks) return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_UNSUPPORTED, "ssde_net_save_diffusers: UNet2DModel has no such network: %s",
                     lacks);
}

/* ---- saving for diffusers: config.json ---- */

/* A value as it stands. */
static void ssdei_config_put(ssdei_fields *fields, const char *key, const char *text) {
    ssdei_json none;
    ssdei_field_begin(fields, key, &none);
    ssdei_text_add(&fields->text, text);
}

static void ssdei_config_put_string(ssdei_fields *fields, const char *key, const char *string) {
    ssdei_config_put(fields, key, "");
    ssdei_text_add_string(&fields->text, string);
}

/* Where 0 means null. */
static void ssdei_config_put_size(ssdei_fields *fields, const char *key, size_t size) {
    if (size)
        ssdei_field_size(fields, key, size);
    else
        ssdei_config_put(fields, key, "null");
}

static void ssdei_config_put_blocks(ssdei_fields *fields, const char *key, const ssde_unet2d_desc *desc, int up) {
    const char *const direction = up ? "Up" : "Down";
    int i;
    ssdei_config_put(fields, key, "[");
    for (i = 0; i < desc->num_levels; i++) {
        const ssde_unet2d_blocks *blocks = up ? &desc->up[desc->num_levels - 1 - i] : &desc->down[i];
        const int own = !blocks->attention && !blocks->skip && blocks->resampling == SSDE_RESAMPLING_BLOCK;
        char name[32];
        if (own)
            snprintf(name, sizeof name, "Resnet%ssampleBlock2D", direction);
        else
            snprintf(name, sizeof name, "%s%s%sBlock2D", blocks->attention ? "Attn" : "", blocks->skip ? "Skip" : "",
                     direction);
        if (i) ssdei_text_add(&fields->text, ", ");
        ssdei_text_add_string(&fields->text, name);
    }
    ssdei_text_add(&fields->text, "]");
}

static ssde_status ssdei_export_config(const ssdei_export *out, const ssde_unet2d_resampling resampling[2],
                                       char **text) {
    static const char *const times[] = {"positional", "fourier", "learned"};
    static const char *const classes[] = {NULL, NULL, "timestep", "identity"};
    const ssde_unet2d_desc *desc = &out->desc;
    const char *act = desc->act_fn == SSDE_MISH   ? "mish"
                      : desc->act_fn == SSDE_GELU ? "gelu"
                      : desc->act_fn == SSDE_RELU ? "relu"
                                                  : "silu";
    ssdei_fields fields = ssdei_fields_over(SSDEI_FIELDS_WRITE, out->net->context, NULL, "");
    double sizes[SSDE_MAX_LEVELS];
    int i;
    ssdei_config_put_string(&fields, "_class_name", "UNet2DModel");
    ssdei_config_put_string(&fields, "act_fn", act);
    ssdei_field_flag(&fields, "add_attention", !desc->no_mid_attention);
    ssdei_config_put_size(&fields, "attention_head_dim", desc->attention_head_dim);
    ssdei_config_put_size(&fields, "attn_norm_num_groups", desc->attn_norm_num_groups);
    for (i = 0; i < desc->num_levels; i++) sizes[i] = (double)desc->block_out_channels[i];
    ssdei_field_list(&fields, "block_out_channels", sizes, desc->num_levels, SSDE_MAX_LEVELS);
    ssdei_field_flag(&fields, "center_input_sample", desc->center_input_sample);
    if (classes[desc->class_embed_type])
        ssdei_config_put_string(&fields, "class_embed_type", classes[desc->class_embed_type]);
    else
        ssdei_config_put(&fields, "class_embed_type", "null");
    ssdei_config_put_blocks(&fields, "down_block_types", desc, 0);
    ssdei_field_int(&fields, "downsample_padding", desc->downsample_padding);
    ssdei_config_put_string(&fields, "downsample_type", resampling[0] == SSDE_RESAMPLING_BLOCK ? "resnet" : "conv");
    ssdei_field_number(&fields, "dropout", desc->dropout);
    ssdei_field_flag(&fields, "flip_sin_to_cos", desc->flip_sin_to_cos);
    ssdei_field_number(&fields, "freq_shift", desc->freq_shift);
    ssdei_field_size(&fields, "in_channels", desc->in_channels);
    ssdei_field_int(&fields, "layers_per_block", desc->layers_per_block);
    ssdei_field_number(&fields, "mid_block_scale_factor", desc->mid_block_scale_factor);
    ssdei_config_put(&fields, "mid_block_type", desc->no_mid_block ? "null" : "\"UNetMidBlock2D\"");
    ssdei_field_number(&fields, "norm_eps", desc->norm_eps);
    ssdei_config_put_size(&fields, "norm_num_groups", desc->norm_num_groups);
    ssdei_config_put_size(&fields, "num_class_embeds", desc->num_class_embeds);
    ssdei_config_put_size(&fields, "num_train_timesteps", desc->num_train_timesteps);
    ssdei_field_size(&fields, "out_channels", desc->out_channels);
    ssdei_config_put_string(&fields, "resnet_time_scale_shift", desc->scale_shift ? "scale_shift" : "default");
    sizes[0] = (double)desc->height;
    sizes[1] = (double)desc->width;
    if (desc->height == desc->width)
        ssdei_field_size(&fields, "sample_size", desc->width);
    else
        ssdei_field_list(&fields, "sample_size", sizes, 2, 2);
    ssdei_config_put_size(&fields, "time_embedding_dim", desc->time_embedding_dim);
    ssdei_config_put_string(&fields, "time_embedding_type", times[desc->time_embedding_type]);
    ssdei_config_put_blocks(&fields, "up_block_types", desc, 1);
    ssdei_config_put_string(&fields, "upsample_type", resampling[1] == SSDE_RESAMPLING_BLOCK ? "resnet" : "conv");
    return ssdei_fields_finish(&fields, text);
}

/* ---- saving for diffusers: scheduler_config.json ---- */

static ssde_status ssdei_export_refuse(const ssdei_export *out, const char *problem) {
    return ssde_fail(out->net->context, SSDE_ERROR_UNSUPPORTED,
                     "ssde_net_save_diffusers: diffusers has no scheduler for this SDE and network: %s; sde NULL saves "
                     "the network alone",
                     problem);
}

/* beta[i] = 1 - (m_i / m_(i - 1))^2 of what the network is told as i. */
static ssde_status ssdei_export_betas(const ssdei_export *out, const ssde_sde *sde, ssdei_fields *fields) {
    double before = 1.0, mean, std, label;
    int i;
    ssdei_config_put(fields, "trained_betas", "[");
    for (i = 0; i < sde->num_scales; i++) {
        const double t = (double)i / (sde->num_scales - 1);
        ssdei_try(ssdei_marginal(out->net->context, sde, t, &mean, &std));
        ssdei_try(ssde_sde_label(out->net->context, sde, t, &label));
        if (fabs(mean * mean + std * std - 1.0) > 1e-5) return ssdei_export_refuse(out, "m^2 + std^2 is not 1");
        if (fabs(label - i) > 1e-3) return ssdei_export_refuse(out, "labels are not the indices of its levels");
        if (mean > before) return ssdei_export_refuse(out, "m grows from one level to the next");
        if (i) ssdei_text_add(&fields->text, ", ");
        ssdei_text_add_double(&fields->text, before > 0.0 ? 1.0 - mean / before * (mean / before) : 1.0);
        before = mean;
    }
    ssdei_text_add(&fields->text, "]");
    return SSDE_OK;
}

static ssde_status ssdei_export_ddpm(const ssdei_export *out, const ssde_sde *sde, ssdei_fields *fields) {
    const ssdei_meaning *means = &out->net->means;
    const ssde_parameterisation output = ssdei_output_of(sde, means->output);
    const char *prediction = output == SSDE_PREDICT_NOISE      ? "epsilon"
                             : output == SSDE_PREDICT_DATA     ? "sample"
                             : output == SSDE_PREDICT_VELOCITY ? "v_prediction"
                                                               : NULL;
    if (!prediction) return ssdei_export_refuse(out, "the output is neither noise nor data nor velocity");
    if (out->desc.time_embedding_type == SSDE_UNET2D_FOURIER)
        return ssdei_export_refuse(out, "the network's embedding wants VE's sigma");
    ssdei_config_put_string(fields, "_class_name", "DDPMScheduler");
    ssdei_field_int(fields, "num_train_timesteps", sde->num_scales);
    ssdei_config_put_string(fields, "beta_schedule", "linear");
    if (sde->kind == SSDE_VP && means->discrete) {
        ssdei_field_number(fields, "beta_start", sde->beta_min / sde->num_scales);
        ssdei_field_number(fields, "beta_end", sde->beta_max / sde->num_scales);
    } else
        ssdei_try(ssdei_export_betas(out, sde, fields));
    ssdei_config_put_string(fields, "prediction_type", prediction);
    ssdei_config_put_string(fields, "variance_type",
                            out->desc.out_channels == 2 * out->desc.in_channels ? "learned_range" : "fixed_small");
    ssdei_field_flag(fields, "clip_sample", 0);
    return SSDE_OK;
}

static ssde_status ssdei_export_ve(const ssdei_export *out, const ssde_sde *sde, ssdei_fields *fields) {
    const ssdei_meaning *means = &out->net->means;
    if (out->desc.time_embedding_type != SSDE_UNET2D_FOURIER || means->discrete)
        return ssdei_export_refuse(out, "under VE it tells the network sigma, which a Fourier embedding takes");
    if (ssdei_output_of(sde, means->output) != SSDE_PREDICT_SCORE)
        return ssdei_export_refuse(out, "the output under VE is another than the score");
    ssdei_config_put_string(fields, "_class_name", "ScoreSdeVeScheduler");
    ssdei_field_int(fields, "num_train_timesteps", sde->num_scales);
    ssdei_field_number(fields, "sigma_min", sde->sigma_min);
    ssdei_field_number(fields, "sigma_max", sde->sigma_max);
    ssdei_field_number(fields, "sampling_eps", 1e-5);
    ssdei_field_number(fields, "snr", 0.16);
    ssdei_field_int(fields, "correct_steps", 1);
    return SSDE_OK;
}

static ssde_status ssdei_export_scheduler(const ssdei_export *out, const ssde_sde *sde, char **text) {
    ssdei_fields fields = ssdei_fields_over(SSDEI_FIELDS_WRITE, out->net->context, NULL, "");
    ssde_status status = ssde_sde_check(out->net->context, sde);
    ssdei_try(status);
    if (sde->kind == SSDE_VE)
        status = ssdei_export_ve(out, sde, &fields);
    else if (sde->kind == SSDE_VP || sde->kind == SSDE_TABULATED)
        status = ssdei_export_ddpm(out, sde, &fields);
    else
        status = ssdei_export_refuse(out, "it is neither VP nor VE nor a table");
    if (status == SSDE_OK) return ssdei_fields_finish(&fields, text);
    ssdei_text_release(&fields.text);
    return status;
}

/* ---- saving for diffusers: files ---- */

/* A parameter under diffusers' name and in its shape. */
static ssdei_parameter ssdei_export_parameter(const ssdei_export *out, size_t index) {
    ssdei_parameter parameter = out->net->parameters[index];
    ssde_parameter *info = &parameter.info;
    const ssdei_diffusers_part *part;
    if (!out->renamed) return parameter;
    part = ssdei_diffusers_name(&out->paper, &out->net->parameters[index], info->name);
    if (parameter.layout == SSDEI_LAYOUT_NIN && part->turned_rank) {
        const size_t in = info->shape[0];
        parameter.layout = SSDEI_LAYOUT_LINEAR;
        info->rank = part->turned_rank;
        info->shape[0] = info->shape[1];
        info->shape[1] = in;
        info->shape[2] = info->shape[3] = 1;
    }
    return parameter;
}

/* The weights, written and flushed, still under the name aside. */
static ssde_status ssdei_export_weights(const ssdei_export *out, const char *path, ssdei_tensor_writer *writer) {
    ssde_context *context = out->net->context;
    ssde_status status;
    float *scratch;
    size_t i;
    ssdei_tensor_writer_begin_plain(writer, context);
    for (i = 0; i < out->net->parameter_count; i++) {
        const ssdei_parameter parameter = ssdei_export_parameter(out, i);
        ssdei_tensor_writer_declare(writer, "", parameter.info.name, parameter.info.rank, parameter.info.shape);
    }
    scratch = ssdei_parameter_scratch(context, out->net);
    status = scratch ? ssdei_tensor_writer_open(writer, path) : SSDE_ERROR_MEMORY;
    for (i = 0; i < out->net->parameter_count && status == SSDE_OK; i++) {
        const ssdei_parameter parameter = ssdei_export_parameter(out, i);
        ssdei_parameter_to_file(ssdei_kernels_for(context), &parameter, out->net->weights + parameter.offset, scratch);
        ssdei_tensor_writer_put(writer, scratch, parameter.info.count);
    }
    ssdei_release(context, scratch);
    return ssdei_tensor_writer_settle(writer, status);
}

enum { SSDEI_EXPORT_FILES = 3 };

/* texts: of the scheduler, which may be NULL, and of the configuration, which comes last, as what a reader opens first.
 */
static ssde_status ssdei_export_write(const ssdei_export *out, const char *folder, char *const texts[2]) {
    static const char *const names[] = {"scheduler_config.json", "config.json", "diffusion_pytorch_model.safetensors"};
    static const int order[] = {2, 0, 1};
    ssde_context *context = out->net->context;
    const size_t length = strlen(folder), room = length + 48;
    ssdei_tensor_writer weights;
    ssdei_writer files[2], *each[SSDEI_EXPORT_FILES];
    char *paths = (char *)ssdei_allocate(context, SSDEI_EXPORT_FILES, room);
    ssde_status status = paths ? SSDE_OK : SSDE_ERROR_MEMORY;
    int i;
    if (!paths) return status;
    memset(&weights, 0, sizeof weights);
    memset(files, 0, sizeof files);
    for (i = 0; i < SSDEI_EXPORT_FILES; i++) {
        const char *slash = length && strchr("/\\", folder[length - 1]) ? "" : "/";
        each[i] = i < 2 ? &files[i] : &weights.file;
        snprintf(paths + (size_t)i * room, room, "%s%s%s", folder, slash, names[i]);
    }
    for (i = 0; i < 2 && status == SSDE_OK; i++) {
        if (!texts[i]) continue;
        status = ssdei_writer_open(&files[i], context, paths + (size_t)i * room);
        if (status != SSDE_OK) break;
        ssdei_writer_put(&files[i], texts[i], strlen(texts[i]));
        status = ssdei_writer_flush(&files[i]);
    }
    if (status == SSDE_OK) status = ssdei_export_weights(out, paths + 2 * room, &weights);
    for (i = 0; i < SSDEI_EXPORT_FILES && status == SSDE_OK; i++) status = ssdei_writer_commit(each[order[i]]);
    for (i = 0; i < SSDEI_EXPORT_FILES && status != SSDE_OK; i++) ssdei_writer_abandon(each[i]);
    ssdei_release(context, paths);
    return status;
}

ssde_status ssde_net_save_diffusers(const ssde_net *net, const ssde_sde *sde, const char *folder) {
    ssdei_export out;
    ssdei_part part = {"", 0, NULL};
    ssde_unet2d_resampling resampling[2];
    char *texts[2] = {NULL, NULL};
    ssde_status status;
    if (!net) return SSDE_ERROR_ARGUMENT;
    if (!net->finished)
        return ssde_fail(net->context, SSDE_ERROR_ARGUMENT, "ssde_net_save_diffusers: net is not finished");
    if (!folder || !*folder)
        return ssde_fail(net->context, SSDE_ERROR_ARGUMENT, "ssde_net_save_diffusers: folder is NULL or empty");
    memset(&out, 0, sizeof out);
    out.net = net;
    part.values = net->weights;
    ssdei_try(ssdei_export_read(&out, resampling));
    ssdei_try(ssdei_part_finite(net->context, net, &part));
    status = ssdei_export_config(&out, resampling, &texts[1]);
    if (status == SSDE_OK && sde) status = ssdei_export_scheduler(&out, sde, &texts[0]);
    if (status == SSDE_OK) status = ssdei_export_write(&out, folder, texts);
    ssdei_release(net->context, texts[0]);
    ssdei_release(net->context, texts[1]);
    return status;
}

/* ---- models: OpenAI's ----
   guided_diffusion/unet.py. Parameters here have diffusers' names, of which each block's is one in a list of all of
   OpenAI's on its way: input_blocks has conv_in and, for each level, its blocks and the way down, output_blocks the
   blocks, the last of which has the way up, too. */

typedef struct ssdei_openai_loading {
    const ssde_openai_desc *desc;
    ssde_unet2d_desc shape;
} ssdei_openai_loading;

/* The beginning of a name in `names`, ours and theirs, as theirs, behind `start`; 0 if it is none of them. */
static int ssdei_openai_rename(const char *const (*names)[2], const char *name, const char *start, char theirs[128]) {
    for (; (*names)[0]; names++) {
        if (strncmp(name, (*names)[0], strlen((*names)[0]))) continue;
        snprintf(theirs, 128, "%s%s%s", start, (*names)[1], name + strlen((*names)[0]));
        return 1;
    }
    return 0;
}

static const char *const ssdei_openai_modules[][2] = {{"time_embedding.linear_1.", "time_embed.0."},
                                                      {"time_embedding.linear_2.", "time_embed.2."},
                                                      {"class_embedding.", "label_emb."},
                                                      {"conv_in.", "input_blocks.0.0."},
                                                      {"conv_norm_out.", "out.0."},
                                                      {"conv_out.", "out.2."},
                                                      {"pool.to_q.", "out.2.qkv_proj."},
                                                      {"pool.to_k.", "out.2.qkv_proj."},
                                                      {"pool.to_v.", "out.2.qkv_proj."},
                                                      {"pool.to_out.0.", "out.2.c_proj."},
                                                      {"pool.", "out.2."},
                                                      {NULL, NULL}};
static const char *const ssdei_openai_parts[][2] = {{"norm1.", "in_layers.0."},
                                                    {"conv1.", "in_layers.2."},
                                                    {"time_emb_proj.", "emb_layers.1."},
                                                    {"norm2.", "out_layers.0."},
                                                    {"conv2.", "out_layers.3."},
                                                    {"conv_shortcut.", "skip_connection."},
                                                    {"group_norm.", "norm."},
                                                    {"to_q.", "qkv."},
                                                    {"to_k.", "qkv."},
                                                    {"to_v.", "qkv."},
                                                    {"to_out.0.", "proj_out."},
                                                    {"conv.", "conv."},
                                                    {NULL, NULL}};

/* Their name of a parameter of ours; whether it lies on the way up. */
static int ssdei_openai_tensor(const ssdei_openai_loading *how, const char *name, char theirs[128]) {
    const ssde_unet2d_desc *shape = &how->shape;
    const int layers = shape->layers_per_block;
    char way[16], kind[16], start[64];
    int level, number, at = 0, up = 0;
    if (sscanf(name, "%15[a-z]_blocks.%d.%15[a-z].%d.%n", way, &level, kind, &number, &at) == 4) {
        const int sampler = strstr(kind, "samplers") != NULL;
        int place = !strcmp(kind, "attentions");
        up = !strcmp(way, "up");
        if (up && sampler) place = 1 + shape->up[shape->num_levels - 1 - level].attention;
        snprintf(start, sizeof start, "%s_blocks.%d.%d.", up ? "output" : "input",
                 !up + level * (layers + 1) + (sampler ? layers : number), place);
        if (sampler && !up && !strncmp(name + at, "conv.", 5))
            snprintf(theirs, 128, "%sop.%s", start, name + at + 5);
        else
            ssdei_openai_rename(ssdei_openai_parts, name + at, start, theirs);
    } else if (sscanf(name, "mid_block.%15[a-z].%d.%n", kind, &number, &at) == 2) {
        snprintf(start, sizeof start, "middle_block.%d.", strcmp(kind, "attentions") ? 2 * number : 1);
        ssdei_openai_rename(ssdei_openai_parts, name + at, start, theirs);
    } else if (!strncmp(name, "conv_out.", 9) && how->desc->classifier_pool) {
        snprintf(theirs, 128, "out.3.%s", name + 9);
    } else {
        ssdei_openai_rename(ssdei_openai_modules, name, "", theirs);
    }
    return up;
}

/* The tensor of a parameter, and which of its rows. */
static ssde_status ssdei_openai_source(const ssdei_openai_loading *how, ssdei_loading *loading,
                                       const ssdei_weight_set *set, size_t index) {
    const ssde_openai_desc *desc = how->desc;
    const ssde_parameter *info = &loading->net->parameters[index].info;
    ssdei_source *source = &loading->sources[index];
    const char *part = strstr(info->name, ".to_");
    char theirs[128] = "", whole[400];
    const int up = ssdei_openai_tensor(how, info->name, theirs);
    snprintf(whole, sizeof whole, "%.*s%s", (int)set->length, set->name, theirs);
    ssdei_try(ssdei_source_find(loading, index, whole));
    source->parts = source->runs = 1;
    if (desc->classifier_pool && !strncmp(info->name, "conv_out.", 9)) source->shaped = 3; /* [classes, C, 1, 1] */
    if (!part) return SSDE_OK;
    source->shaped = 2; /* [3 C, C, 1] or [C, C, 1] */
    if (part[4] == 'o') return SSDE_OK;
    source->parts = 3;
    source->part = part[4] == 'q' ? 0 : part[4] == 'k' ? 1 : 2;
    if (desc->use_new_attention_order || !strncmp(info->name, "pool.", 5)) return SSDE_OK;
    source->runs = desc->num_head_channels          ? info->shape[0] / desc->num_head_channels
                   : up && desc->num_heads_upsample ? desc->num_heads_upsample
                                                    : desc->num_heads;
    return SSDE_OK;
}

static ssde_status ssdei_openai_sources(const void *how, ssdei_loading *loading) {
    static const char first[] = "input_blocks.0.0.weight";
    const ssde_tensor_file *file = loading->file;
    const size_t count = loading->net->parameter_count;
    ssdei_sets sets;
    size_t prefix, i, j;
    sets.count = 0;
    for (i = 0; i < ssde_tensor_file_count(file); i++) {
        const char *name = ssde_tensor_file_get(file, i)->name;
        if (ssdei_ends_in(name, first, &prefix)) ssdei_sets_add(&sets, name, prefix);
    }
    if (!sets.count)
        return ssde_fail(loading->context, SSDE_ERROR_FORMAT, "'%.120s' has no tensor '%s'",
                         ssde_tensor_file_path(file), first);
    if (sets.count > 1) return ssdei_sets_fail(loading, &sets, "has several");
    for (i = 0; i < count; i++)
        ssdei_try(ssdei_openai_source((const ssdei_openai_loading *)how, loading, sets.sets, i));
    for (i = 0; i < ssde_tensor_file_count(file); i++) {
        const ssde_file_tensor *tensor = ssde_tensor_file_get(file, i);
        if (tensor->number || strncmp(tensor->name, sets.sets[0].name, sets.sets[0].length)) continue;
        for (j = 0; j < count && loading->sources[j].tensor != tensor; j++) continue;
        if (j == count)
            return ssde_fail(loading->context, SSDE_ERROR_FORMAT,
                             "'%.100s' has a tensor '%.100s' that the network lacks", ssde_tensor_file_path(file),
                             tensor->name);
    }
    return SSDE_OK;
}

ssde_status ssde_net_load_openai(ssde_net **net, const ssde_openai_desc *desc, const char *path) {
    ssdei_openai_loading how;
    ssde_tensor_file *file;
    ssde_net *built = NULL;
    ssde_status status;
    if (net) *net = NULL;
    if (!net || !desc || !path)
        return ssde_fail(desc ? desc->context : NULL, SSDE_ERROR_ARGUMENT, "ssde_net_load_openai: %s is NULL",
                         !net    ? "net"
                         : !desc ? "desc"
                                 : "path");
    how.desc = desc;
    ssdei_try(ssde_openai_unet2d(desc, &how.shape));
    ssdei_try(ssde_tensor_file_open(desc->context, &file, path));
    status = ssdei_net_complete_empty(&built, ssdei_openai_build(&built, desc));
    if (status == SSDE_OK)
        status = ssdei_weights_read(desc->context, built, file, ssdei_openai_sources, &how, built->weights);
    ssde_tensor_file_close(file);
    if (status != SSDE_OK)
        ssde_net_destroy(built);
    else
        *net = built;
    return status;
}

/* ---- models: checkpoints ----
   "model/NAME", "ema/NAME" of every parameter; "adam_m/NAME", "adam_v/NAME" of the trainable ones; averages that are
   kept, "average_0.05/NAME" and "average_0.10/NAME", of every one; in
   __metadata__ the network's description and what would change training if it were different. */

/* Fields that must be the same to go on as if nothing had happened. Not among them, so that they can be changed on
   purpose: batch, lr, warmup, grad_clip. */
static void ssdei_loss_fields(ssdei_fields *fields, const ssde_trainer *trainer) {
    const ssde_loss_desc *loss = &trainer->desc.loss;
    ssde_parameterisation output = trainer->ema->means.output; /* DEFAULT of classifiers */
    int said = output != SSDE_PREDICT_DEFAULT, unusual = output != ssdei_output_of(&trainer->sde, SSDE_PREDICT_DEFAULT);
    if (ssdei_field_present(fields, "training.output", said && (unusual || fields->mode == SSDEI_FIELDS_WRITE)))
        ssdei_field_choice(fields, "training.output", (int)output, ssdei_parameterisation_names);
    if (loss->output == SSDE_PREDICT_EDM || loss->weighting == SSDE_WEIGHT_EDM)
        ssdei_field_number(fields, "training.sigma_data", loss->sigma_data);
    ssdei_field_choice(fields, "training.weighting", (int)loss->weighting, ssdei_weighting_names);
    if (loss->weighting == SSDE_WEIGHT_MIN_SNR)
        ssdei_field_number(fields, "training.min_snr_gamma", loss->min_snr_gamma);
    if (ssdei_field_present(fields, "training.times", loss->times != SSDE_TIMES_UNIFORM))
        ssdei_field_choice(fields, "training.times", (int)loss->times, ssdei_times_names);
    if (loss->times == SSDE_TIMES_LOG_NORMAL || loss->times == SSDE_TIMES_LOGIT_NORMAL) {
        ssdei_field_number(fields, "training.time_mean", loss->time_mean);
        ssdei_field_number(fields, "training.time_std", loss->time_std);
    }
    if (ssdei_field_present(fields, "training.stratified", loss->stratified))
        ssdei_field_flag(fields, "training.stratified", loss->stratified);
    ssdei_field_flag(fields, "training.half_sum", loss->half_sum);
    ssdei_field_flag(fields, "training.discrete", loss->discrete);
    ssdei_field_number(fields, "training.eps", loss->eps);
}

static void ssdei_training_fields(ssdei_fields *fields, const ssde_train_desc *desc) {
    static const char *const objectives[] = {"denoising", "implicit", "sliced", NULL};
    ssdei_field_unsigned(fields, "training.seed", desc->seed);
    if (ssdei_field_present(fields, "training.objective", desc->objective != SSDE_OBJECTIVE_DENOISING))
        ssdei_field_choice(fields, "training.objective", (int)desc->objective, objectives);
    if (desc->objective == SSDE_OBJECTIVE_SLICED)
        ssdei_field_unsigned(fields, "training.probes", desc->probes ? (uint64_t)desc->probes : 1);
    ssdei_field_number(fields, "optim.beta1", desc->beta1);
    ssdei_field_number(fields, "optim.beta2", desc->beta2);
    ssdei_field_number(fields, "optim.eps", desc->adam_eps);
    ssdei_field_number(fields, "optim.weight_decay", desc->weight_decay);
    ssdei_field_number(fields, "model.ema_rate", desc->ema_rate);
    if (ssdei_field_present(fields, "training.class_dropout", desc->class_dropout > 0.0))
        ssdei_field_number(fields, "training.class_dropout", desc->class_dropout);
    if (ssdei_field_present(fields, "model.keep_averages", desc->keep_averages))
        ssdei_field_flag(fields, "model.keep_averages", desc->keep_averages);
    ssdei_field_flag(fields, "data.random_flip", desc->random_flip);
    ssdei_field_number(fields, "data.levels", desc->levels);
    if (!(desc->levels > 0.0)) return;
    ssdei_field_number(fields, "data.low", desc->low);
    ssdei_field_number(fields, "data.high", desc->high);
}

/* Of an affine SDE only two numbers can be compared, rounded so that another libm has the same; of a nonlinear one, g.
 */
static ssde_status ssdei_training_sde_fields(ssdei_fields *fields, const ssde_sde *sde) {
    ssde_sde copy = *sde;
    ssde_coefficients middle;
    ssdei_sde_kind_field(fields, "sde.kind", "", 0, sde);
    if (ssdei_family(sde)->numbers) {
        ssdei_sde_fields(fields, &copy);
        return fields->status;
    }
    if (sde->kind == SSDE_NONLINEAR) {
        ssdei_try(ssdei_rates(fields->context, sde, 0.5, &middle.drift, &middle.diffusion));
        ssdei_field_number(fields, "sde.g", (double)(float)middle.diffusion);
        return fields->status;
    }
    ssdei_try(ssde_coefficients_at(fields->context, sde, 0.5, &middle));
    ssdei_field_number(fields, "sde.mean", (double)(float)middle.mean);
    ssdei_field_number(fields, "sde.std", (double)(float)middle.std);
    return fields->status;
}

static ssde_status ssdei_checkpoint_fields(ssdei_fields *fields, const ssde_trainer *trainer) {
    ssdei_training_fields(fields, &trainer->desc);
    ssdei_loss_fields(fields, trainer);
    if (trainer->sde.kind == SSDE_NONLINEAR)
        ssdei_field_unsigned(fields, "training.simulation_steps", trainer->desc.simulation_steps);
    return ssdei_training_sde_fields(fields, &trainer->sde);
}

enum { SSDEI_MOST_PARTS = 6, SSDEI_AVERAGES_PART = 4 };
static const char *const ssdei_checkpoint_prefixes[SSDEI_MOST_PARTS] = {"model/",  "ema/",          "adam_m/",
                                                                        "adam_v/", "average_0.05/", "average_0.10/"};

/* The sets of values that a checkpoint has; how many. */
static int ssdei_checkpoint_parts(const ssde_trainer *trainer, ssdei_part parts[SSDEI_MOST_PARTS]) {
    int i;
    for (i = 0; i < SSDEI_MOST_PARTS; i++) {
        parts[i].prefix = ssdei_checkpoint_prefixes[i];
        parts[i].only_trainable = i == 2 || i == 3;
    }
    parts[0].values = trainer->net->weights;
    parts[1].values = trainer->ema->weights;
    parts[2].values = trainer->first_moment;
    parts[3].values = trainer->second_moment;
    parts[4].values = trainer->averages[0];
    parts[5].values = trainer->averages[1];
    return trainer->desc.keep_averages ? SSDEI_MOST_PARTS : SSDEI_AVERAGES_PART;
}

static ssde_status ssdei_checkpoint_describe(const ssde_trainer *trainer, char **text) {
    ssdei_fields fields = ssdei_fields_over(SSDEI_FIELDS_WRITE, trainer->context, NULL, "");
    ssdei_field_unsigned(&fields, "step", trainer->step);
    fields.status = ssdei_checkpoint_fields(&fields, trainer);
    return ssdei_fields_finish(&fields, text);
}

/* The parts from `first` on. */
static ssde_status ssdei_checkpoint_save(const ssde_trainer *trainer, int first, const char *path) {
    ssdei_part parts[SSDEI_MOST_PARTS];
    int count = ssdei_checkpoint_parts(trainer, parts);
    char *training = NULL;
    ssde_status status;
    ssdei_try(ssdei_checkpoint_describe(trainer, &training));
    status = ssdei_parts_save(trainer->context, trainer->net, parts + first, count - first,
                              trainer->net->description ? trainer->net->description : "", training, path);
    ssdei_release(trainer->context, training);
    return status;
}

ssde_status ssde_trainer_save(const ssde_trainer *trainer, const char *path) {
    if (trainer && path) return ssdei_checkpoint_save(trainer, 0, path);
    return ssde_fail(trainer ? trainer->context : NULL, SSDE_ERROR_ARGUMENT, "ssde_trainer_save: %s is NULL",
                     trainer ? "path" : "trainer");
}

/* The file is a checkpoint of this network, SDE and training; *step is where it stands. */
static ssde_status ssdei_checkpoint_check(const ssde_trainer *trainer, const ssde_tensor_file *file, uint64_t *step) {
    const ssde_net *net = trainer->net;
    const char *config = ssde_tensor_file_metadata(file, "config");
    const char *training = ssde_tensor_file_metadata(file, "training");
    ssdei_fields fields = ssdei_fields_over(SSDEI_FIELDS_READ, trainer->context, training, ssde_tensor_file_path(file));
    size_t wanted = 0, i;
    if (!config || !training)
        return ssde_fail(trainer->context, SSDE_ERROR_FORMAT, "'%.180s' is no checkpoint of a trainer",
                         ssde_tensor_file_path(file));
    if (strcmp(config, net->description ? net->description : ""))
        return ssde_fail(trainer->context, SSDE_ERROR_FORMAT, "'%.160s' is a checkpoint of another network",
                         ssde_tensor_file_path(file));
    *step = ssdei_field_unsigned(&fields, "step", 0);
    fields.mode = SSDEI_FIELDS_COMPARE;
    ssdei_try(ssdei_checkpoint_fields(&fields, trainer));
    for (i = 0; i < net->parameter_count; i++)
        wanted += (net->parameters[i].info.trainable ? 4u : 2u) + (trainer->desc.keep_averages ? 2u : 0u);
    if (ssde_tensor_file_count(file) != wanted)
        return ssde_fail(trainer->context, SSDE_ERROR_FORMAT,
                         "'%.160s' has %.0f tensors, a checkpoint of this network %.0f", ssde_tensor_file_path(file),
                         (double)ssde_tensor_file_count(file), (double)wanted);
    return SSDE_OK;
}

/* Where one part is; `how` is an ssdei_part. */
static ssde_status ssdei_checkpoint_sources(const void *how, ssdei_loading *loading) {
    const ssdei_part *part = (const ssdei_part *)how;
    size_t i;
    for (i = 0; i < loading->net->parameter_count; i++) {
        const ssdei_parameter *parameter = &loading->net->parameters[i];
        char name[sizeof parameter->info.name + 16];
        if (!ssdei_part_has(part, parameter)) continue;
        snprintf(name, sizeof name, "%s%s", part->prefix, parameter->info.name);
        ssdei_try(ssdei_source_find(loading, i, name));
    }
    return SSDE_OK;
}

/* Loads the parts into values [part_count, weight_count]. */
static ssde_status ssdei_checkpoint_read(const ssde_trainer *trainer, const ssde_tensor_file *file,
                                         const ssdei_part *parts, int part_count, float *values) {
    const ssde_net *net = trainer->net;
    size_t count = net->weight_count, i;
    int part;
    for (part = 0; part < part_count; part++)
        ssdei_try(ssdei_weights_read(trainer->context, net, file, ssdei_checkpoint_sources, &parts[part],
                                     values + (size_t)part * count));
    for (i = 3 * count; i < 4 * count; i++)
        if (values[i] < 0.0f)
            return ssde_fail(trainer->context, SSDE_ERROR_NUMERIC, "'%.160s': a second moment is %g, below 0",
                             ssde_tensor_file_path(file), (double)values[i]);
    return SSDE_OK;
}

ssde_status ssde_trainer_load(ssde_trainer *trainer, const char *path) {
    ssdei_part parts[SSDEI_MOST_PARTS];
    ssde_tensor_file *file;
    float *values = NULL;
    uint64_t step = 0;
    ssde_status status;
    size_t count;
    int part, part_count;
    if (!trainer) return SSDE_ERROR_ARGUMENT;
    ssdei_try(ssde_tensor_file_open(trainer->context, &file, path));
    part_count = ssdei_checkpoint_parts(trainer, parts);
    count = trainer->net->weight_count;
    status = ssdei_checkpoint_check(trainer, file, &step);
    if (status == SSDE_OK) {
        /* aside, so that a file with an error changes nothing */
        values = (float *)ssdei_allocate(trainer->context, ssdei_multiply(count, (size_t)part_count), sizeof *values);
        status = values ? ssdei_checkpoint_read(trainer, file, parts, part_count, values) : SSDE_ERROR_MEMORY;
    }
    if (status == SSDE_OK) {
        for (part = 0; part < part_count; part++)
            memcpy(parts[part].values, values + (size_t)part * count, count * sizeof *values);
        trainer->step = step;
    }
    ssdei_release(trainer->context, values);
    ssde_tensor_file_close(file);
    return status;
}

ssde_status ssde_trainer_save_model(const ssde_trainer *trainer, const char *path) {
    const ssde_sde *sde = trainer && ssdei_sde_saved(&trainer->sde) ? &trainer->sde : NULL;
    if (!trainer || !path)
        return ssde_fail(trainer ? trainer->context : NULL, SSDE_ERROR_ARGUMENT, "ssde_trainer_save_model: %s is NULL",
                         trainer ? "path" : "trainer");
    return ssdei_model_save(trainer->context, trainer->ema, sde, path);
}

/* ---- models: an average chosen after training ----
   Step s has the weight (s^(gamma + 1) - (s - 1)^(gamma + 1)) / t^(gamma + 1) in the average kept at step t: the
   integral of p(s) = (gamma + 1) s^gamma / t^(gamma + 1) over (s - 1, s]. Profiles p_i of all files become the wanted
   one, p, by the x that minimises |sum_i x_i p_i - p|^2 over [0, t] with sum_i x_i = 1: A x = b + shift, with A and b
   their inner products. Unscaled x as in the paper would shrink weights that training leaves as they are. */

/* Of the profiles of lengths a and b at steps t and u: int (a + 1) s^a / t^(a + 1) (b + 1) s^b / u^(b + 1) ds up to the
   earlier step. */
static double ssdei_profile_product(double a, double t, double b, double u) {
    double ratio = t < u ? ssdei_math_pow(t / u, b) / u : ssdei_math_pow(u / t, a) / t;
    return (a + 1.0) * (b + 1.0) / (a + b + 1.0) * ratio;
}

typedef struct ssdei_average {
    const ssde_net *net;
    const char *const *paths;
    size_t files, count;      /* count: of profiles, file 0's two first */
    ssde_tensor_file *first;  /* stays open: what the others are compared with */
    double *step;             /* [files] */
    double *factor;           /* [count, count]: Cholesky's, below the diagonal */
    double *scale;            /* [count]: of profiles, to norm 1 */
    double *weight, *one, *b; /* [count] */
    double *sum;              /* [weight_count] */
    float *values;            /* [weight_count] */
} ssdei_average;

static void ssdei_average_arrays(void *object, ssdei_memory *memory) {
    ssdei_average *w = (ssdei_average *)object;
    w->step = ssdei_place(memory, double, w->files);
    w->factor = ssdei_place(memory, double, ssdei_multiply(w->count, w->count));
    w->scale = ssdei_place(memory, double, w->count);
    w->weight = ssdei_place(memory, double, w->count);
    w->one = ssdei_place(memory, double, w->count);
    w->b = ssdei_place(memory, double, w->count);
    w->sum = ssdei_place(memory, double, w->net->weight_count);
    w->values = ssdei_place(memory, float, w->net->weight_count);
}

/* Opens file i, which is a snapshot of the training that the first one is of, and notes its step. */
static ssde_status ssdei_average_open(ssdei_average *w, size_t i, ssde_tensor_file **file) {
    ssde_context *context = w->net->context;
    const char *config, *training, *rest, *wanted;
    ssdei_fields fields;
    ssdei_try(ssde_tensor_file_open(context, file, w->paths[i]));
    if (!i) w->first = *file;
    config = ssde_tensor_file_metadata(*file, "config");
    training = ssde_tensor_file_metadata(*file, "training");
    fields = ssdei_fields_over(SSDEI_FIELDS_READ, context, training, w->paths[i]);
    if (!config || !training || !ssdei_field_present(&fields, "model.keep_averages", 0))
        return ssde_fail(context, SSDE_ERROR_FORMAT, "'%.180s' has no averages of a trainer", w->paths[i]);
    if (strcmp(config, w->net->description ? w->net->description : ""))
        return ssde_fail(context, SSDE_ERROR_FORMAT, "'%.180s' has averages of another network", w->paths[i]);
    w->step[i] = (double)ssdei_field_unsigned(&fields, "step", 0);
    ssdei_try(fields.status);
    if (!(w->step[i] >= 1.0 && w->step[i] <= 4294967296.0))
        return ssde_fail(context, SSDE_ERROR_FORMAT, "'%.160s': step is %.9g, wanted 1 to 2^32", w->paths[i],
                         w->step[i]);
    rest = strchr(training, ','); /* all but the step */
    wanted = strchr(ssde_tensor_file_metadata(w->first, "training"), ',');
    if (rest && wanted && !strcmp(rest, wanted)) return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_FORMAT, "'%.100s' is of another training than '%.100s'", w->paths[i],
                     w->paths[0]);
}

/* Every step, each once; the last. */
static ssde_status ssdei_average_steps(ssdei_average *w, double *last) {
    size_t i, k;
    *last = 0.0;
    for (i = 0; i < w->files; i++) {
        ssde_tensor_file *file = NULL;
        ssde_status status = ssdei_average_open(w, i, &file);
        if (i) ssde_tensor_file_close(file);
        ssdei_try(status);
        for (k = 0; k < i; k++)
            if (w->step[k] >= w->step[i] && w->step[k] <= w->step[i])
                return ssde_fail(w->net->context, SSDE_ERROR_ARGUMENT, "'%.90s' and '%.90s' are both of step %.0f",
                                 w->paths[k], w->paths[i], w->step[i]);
        if (*last < w->step[i]) *last = w->step[i];
    }
    return SSDE_OK;
}

/* x [count] = A^-1 x with A = D L L^T D, D = 1 / scale. */
static void ssdei_average_substitute(const ssdei_average *w, double *x) {
    size_t n = w->count, i, k;
    for (i = 0; i < n; i++) {
        x[i] *= w->scale[i];
        for (k = 0; k < i; k++) x[i] -= w->factor[i * n + k] * x[k];
        x[i] /= w->factor[i * n + i];
    }
    for (i = n; i-- > 0;) {
        for (k = i + 1; k < n; k++) x[i] -= w->factor[k * n + i] * x[k];
        x[i] /= w->factor[i * n + i];
    }
    for (i = 0; i < n; i++) x[i] *= w->scale[i];
}

/* Fills w->factor; fails where rounding makes profiles dependent. */
static ssde_status ssdei_average_factor(ssdei_average *w, const double gamma[2]) {
    size_t n = w->count, i, k, j;
    for (i = 0; i < n; i++) {
        double *row = w->factor + i * n, a = gamma[i % 2], t = w->step[i / 2], sum = 0.0;
        w->scale[i] = 1.0 / sqrt(ssdei_profile_product(a, t, a, t));
        for (k = 0; k <= i; k++) {
            const double *other = w->factor + k * n;
            sum = ssdei_profile_product(a, t, gamma[k % 2], w->step[k / 2]) * w->scale[i] * w->scale[k];
            for (j = 0; j < k; j++) sum -= row[j] * other[j];
            row[k] = k < i ? sum / other[k] : sqrt(sum);
        }
        if (!(sum > 1e-14))
            return ssde_fail(w->net->context, SSDE_ERROR_NUMERIC,
                             "the averages of '%.100s' are too near those of others: take fewer files, further apart",
                             w->paths[i / 2]);
    }
    return SSDE_OK;
}

/* w->weight: of each profile, for the one of length sigma_rel at step `last`. */
static ssde_status ssdei_average_weights(ssdei_average *w, double sigma_rel, double last, double *residual) {
    double gamma[2], wanted = ssdei_average_gamma(sigma_rel), shift = 1.0, ones = 0.0, square;
    size_t i;
    for (i = 0; i < 2; i++) gamma[i] = ssdei_average_gamma(ssdei_average_lengths[i]);
    ssdei_try(ssdei_average_factor(w, gamma));
    for (i = 0; i < w->count; i++) {
        w->weight[i] = w->b[i] = ssdei_profile_product(gamma[i % 2], w->step[i / 2], wanted, last);
        w->one[i] = 1.0;
    }
    ssdei_average_substitute(w, w->weight);
    ssdei_average_substitute(w, w->one);
    for (i = 0; i < w->count; i++) shift -= w->weight[i], ones += w->one[i];
    shift /= ones;
    square = ssdei_profile_product(wanted, last, wanted, last);
    *residual = square + shift;
    for (i = 0; i < w->count; i++) {
        w->weight[i] += shift * w->one[i];
        *residual -= w->weight[i] * w->b[i];
    }
    *residual = *residual > 0.0 ? sqrt(*residual / square) : 0.0;
    return SSDE_OK;
}

/* w->values: the sum over all files. */
static ssde_status ssdei_average_sum(ssdei_average *w) {
    ssde_context *context = w->net->context;
    size_t count = w->net->weight_count, i, k;
    for (i = 0; i < w->count; i++) {
        ssdei_part part = {NULL, 0, NULL};
        ssde_tensor_file *file = NULL;
        ssde_status status;
        part.prefix = ssdei_checkpoint_prefixes[SSDEI_AVERAGES_PART + i % 2];
        status = ssde_tensor_file_open(context, &file, w->paths[i / 2]);
        if (status == SSDE_OK)
            status = ssdei_weights_read(context, w->net, file, ssdei_checkpoint_sources, &part, w->values);
        ssde_tensor_file_close(file);
        ssdei_try(status);
        for (k = 0; k < count; k++) w->sum[k] += w->weight[i] * (double)w->values[k];
    }
    for (k = 0; k < count; k++) w->values[k] = (float)w->sum[k];
    if (ssdei_first_nonfinite(w->values, count) == count) return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_NUMERIC, "ssde_net_reconstruct_average: a weight is not finite");
}

ssde_status ssde_trainer_save_averages(const ssde_trainer *trainer, const char *path) {
    const char *problem = !trainer                       ? "trainer is NULL"
                          : !path                        ? "path is NULL"
                          : !trainer->desc.keep_averages ? "desc.keep_averages was 0"
                          : !trainer->step               ? "no step was taken"
                                                         : NULL;
    if (!problem) return ssdei_checkpoint_save(trainer, SSDEI_AVERAGES_PART, path);
    return ssde_fail(trainer ? trainer->context : NULL, SSDE_ERROR_ARGUMENT, "ssde_trainer_save_averages: %s", problem);
}

static ssde_status ssdei_average_check(const ssde_net *net, const char *const *paths, size_t count, double sigma_rel) {
    size_t i;
    if (!net->finished || !net->weight_count)
        return ssde_fail(net->context, SSDE_ERROR_ARGUMENT, "ssde_net_reconstruct_average: the network %s",
                         net->finished ? "has no parameters" : "is not finished: ssde_net_finish");
    if (!paths || !count)
        return ssde_fail(net->context, SSDE_ERROR_ARGUMENT, "ssde_net_reconstruct_average: %s",
                         paths ? "count is 0" : "paths is NULL");
    for (i = 0; i < count; i++)
        if (!paths[i])
            return ssde_fail(net->context, SSDE_ERROR_ARGUMENT, "ssde_net_reconstruct_average: paths[%lu] is NULL",
                             (unsigned long)i);
    if (ssdei_in_range(sigma_rel, 0.001, 0.288)) return SSDE_OK;
    return ssde_fail(net->context, SSDE_ERROR_ARGUMENT,
                     "ssde_net_reconstruct_average: sigma_rel is %.9g, wanted 0.001 to 0.288", sigma_rel);
}

ssde_status ssde_net_reconstruct_average(ssde_net *net, const char *const *paths, size_t count, double sigma_rel,
                                         double *residual) {
    ssdei_average w;
    double last, left = 0.0;
    void *block;
    ssde_status status;
    if (!net) return SSDE_ERROR_ARGUMENT;
    ssdei_try(ssdei_average_check(net, paths, count, sigma_rel));
    memset(&w, 0, sizeof w);
    w.net = net, w.paths = paths, w.files = count, w.count = ssdei_multiply(count, 2);
    block = ssdei_object_create(net->context, &w, 0, ssdei_average_arrays);
    if (!block) return SSDE_ERROR_MEMORY;
    status = ssdei_average_steps(&w, &last);
    if (status == SSDE_OK) status = ssdei_average_weights(&w, sigma_rel, last, &left);
    if (status == SSDE_OK) status = ssdei_average_sum(&w);
    if (status == SSDE_OK) {
        ssdei_fields fields = ssdei_fields_over(SSDEI_FIELDS_READ, net->context,
                                                ssde_tensor_file_metadata(w.first, "training"), paths[0]);
        ssdei_meaning means;
        memset(&means, 0, sizeof means);
        ssdei_meaning_fields(&fields, &means);
        means.discrete = ssdei_field_flag(&fields, "training.discrete", 0);
        status = fields.status;
        if (status == SSDE_OK) net->means = means;
    }
    if (status == SSDE_OK) {
        memcpy(net->weights, w.values, net->weight_count * sizeof(float));
        if (residual) *residual = left;
    }
    ssde_tensor_file_close(w.first);
    ssdei_release(net->context, block);
    return status;
}

SSDEI_ONCE_END

/* ---- the kernels of each tier ---- */

#define SSDEI_EACH_TIER "scoresde_nn.h"
#include "scoresde.h"
#undef SSDEI_EACH_TIER

static const ssdei_nn_kernels *ssdei_nn_kernels_for(const ssde_context *context) {
    static const ssdei_nn_kernels *const tables[] = {SSDEI_TIERS(SSDEI_TIER_ADDRESS, ssdei_nn_kernels)};
    return tables[ssdei_tier_index(context)];
}

SSDEI_END
#ifdef __cplusplus
}
#endif
#ifndef SCORESDE_KEEP_MACROS
#undef SSDEI_OPERATIONS
#undef SSDEI_NOWHERE
#undef SSDEI_MOST_ANGLE
#endif
#define SSDEI_MACROS 0
#include "scoresde.h"
#endif /* implementation */

#else

/* >>kernels: one table of functions per tier; their naive twins are in tests/test_kernels.h */

#define ssdei_join_moments SSDEI_T(join_moments)
#define ssdei_chunk_moments SSDEI_T(chunk_moments)
#define ssdei_chunk_sums SSDEI_T(chunk_sums)
#define ssdei_norm_vector SSDEI_T(norm_vector)
#define ssdei_norm_backward_vector SSDEI_T(norm_backward_vector)
#define ssdei_drop_vector SSDEI_T(drop_vector)

/* Norms ask for what they read, or write, some pixels later: tensors of a batch outgrow the caches. Not number by
   number. */
enum { SSDEI_T(pixels_ahead) = 16 };
SSDEI_HELPER void SSDEI_T(ask)(const float *from) {
    if (ssdei_width > 1) ssdei_prefetch(from);
}
SSDEI_HELPER void SSDEI_T(ask_write)(const float *to) {
    if (ssdei_width > 1) ssdei_prefetch_write(to);
}
/* Independent chains of one long sum. */
enum { SSDEI_T(chains) = 4 };
/* Vectors of channels whose sums grow side by side. */
enum { SSDEI_T(block_vectors) = ssdei_width < 16 ? 4 : 2 };

SSDEI_HELPER void SSDEI_T(add_lanes)(ssdei_v v, size_t n, double *sum) {
    float lanes[ssdei_width];
    size_t i;
    ssdei_store(lanes, v);
    for (i = 0; i < n && i < ssdei_width; i++) sum[i] += (double)lanes[i];
}

SSDEI_KERNEL void SSDEI_T(channel_sums)(const float *x, size_t pixels, size_t channels, double *sum) {
    size_t first, p, c;
    for (first = 0; first < pixels; first += SSDEI_NORM_PIXELS) {
        size_t end = pixels - first < SSDEI_NORM_PIXELS ? pixels : first + SSDEI_NORM_PIXELS;
        for (c = 0; c < channels; c += ssdei_width) {
            size_t n = channels - c;
            ssdei_v even = ssdei_set(0.0f), odd = even;
            for (p = first; p < end; p++) {
                ssdei_v d = SSDEI_T(load_some)(x + p * channels + c, n);
                if (p & 1)
                    odd = ssdei_add(odd, d);
                else
                    even = ssdei_add(even, d);
            }
            SSDEI_T(add_lanes)(ssdei_add(even, odd), n, sum + c);
        }
    }
}

/* Joins `count` pixels, given their sum and sum of squares about `centre`, to the moments of the `before` pixels before
   them (Chan, Golub and LeVeque 1983). */
SSDEI_HELPER void ssdei_join_moments(ssdei_v centre, ssdei_v sum, ssdei_v sum_square, size_t count, size_t before,
                                     size_t n, double *mean, double *square) {
    float centres[ssdei_width], sums[ssdei_width], squares[ssdei_width];
    double inverse = 1.0 / (double)count, share = (double)count / (double)(before + count);
    size_t i;
    ssdei_store(centres, centre);
    ssdei_store(sums, sum);
    ssdei_store(squares, sum_square);
    for (i = 0; i < n && i < ssdei_width; i++) {
        double offset = (double)sums[i] * inverse, step = (double)centres[i] + offset - mean[i];
        square[i] += (double)squares[i] - (double)sums[i] * offset + step * step * (share * (double)before);
        mean[i] += step * share;
    }
}

/* Sums over one chunk of pixels about mean, of `vectors` vectors of channels, each of n lanes. */
SSDEI_HELPER void ssdei_chunk_moments(const float *x, size_t count, size_t before, size_t channels, size_t vectors,
                                      size_t n, double *mean, double *square) {
    ssdei_v centre[SSDEI_T(block_vectors)], sum[SSDEI_T(block_vectors)], sum_square[SSDEI_T(block_vectors)];
    float lanes[ssdei_width];
    size_t p, v, i;
    SSDEI_UNROLL for (v = 0; v < vectors; v++) {
        sum[v] = sum_square[v] = ssdei_set(0.0f);
        ssdei_store(lanes, sum[v]);
        for (i = 0; i < n && i < ssdei_width; i++) lanes[i] = (float)mean[v * ssdei_width + i];
        centre[v] = ssdei_load(lanes);
    }
    for (p = 0; p < count; p++, x += channels) {
        SSDEI_UNROLL for (v = 0; v < vectors; v++) {
            ssdei_v away = ssdei_sub(SSDEI_T(load_some)(x + v * ssdei_width, n), centre[v]);
            SSDEI_T(ask)(x + v * ssdei_width + SSDEI_T(pixels_ahead) * channels);
            sum[v] = ssdei_add(sum[v], away);
            sum_square[v] = ssdei_fma(away, away, sum_square[v]);
        }
    }
    SSDEI_UNROLL for (v = 0; v < vectors; v++) {
        size_t c = v * ssdei_width;
        ssdei_join_moments(centre[v], sum[v], sum_square[v], count, before, n, mean + c, square + c);
    }
}

/* Each chunk is centred on the mean of the pixels before it, the first on its own: what a square then loses by
   cancelling is small beside what the distance of the means adds. */
SSDEI_KERNEL void SSDEI_T(channel_moments)(const float *x, size_t pixels, size_t channels, double *mean,
                                           double *square) {
    enum { chunk = SSDEI_NORM_PIXELS, vectors = SSDEI_T(block_vectors), block = vectors * (size_t)ssdei_width };
    size_t first, count = pixels < chunk ? pixels : (size_t)chunk, c;
    for (c = 0; c < channels; c++) mean[c] = square[c] = 0.0;
    SSDEI_T(channel_sums)(x, count, channels, mean);
    for (c = 0; c < channels; c++) mean[c] /= (double)count;
    for (first = 0; first < pixels; first += chunk) {
        const float *from = x + first * channels;
        count = pixels - first < chunk ? pixels - first : (size_t)chunk;
        for (c = 0; c + block <= channels; c += block)
            ssdei_chunk_moments(from + c, count, first, channels, vectors, ssdei_width, mean + c, square + c);
        for (; c < channels; c += ssdei_width)
            ssdei_chunk_moments(from + c, count, first, channels, 1, channels - c, mean + c, square + c);
    }
}

/* 1 / (1 + e^-u) to 2.5 ulp for |u| <= 86, and as there beyond: the core's sigmoid less its infinities, half the time.
   NaN gives some number: the product with u has the NaN. */
SSDEI_HELPER ssdei_v SSDEI_T(gate)(ssdei_v u) {
    ssdei_v x = ssdei_vmax(ssdei_vmin(ssdei_sub(ssdei_set(0.0f), u), ssdei_set(86.0f)), ssdei_set(-86.0f));
    ssdei_u n = ssdei_to_int(ssdei_mul(x, ssdei_set(1.44269504f)));
    ssdei_v whole = ssdei_from_int(n), one = ssdei_set(1.0f);
    ssdei_v r = ssdei_fma(whole, ssdei_set(2.12194440e-4f), ssdei_fma(whole, ssdei_set(-0.693359375f), x));
    ssdei_v p = ssdei_set(0.00138145406f);
    p = ssdei_fma(p, r, ssdei_set(0.00836874545f));
    p = ssdei_fma(p, r, ssdei_set(0.041668389f));
    p = ssdei_fma(p, r, ssdei_set(0.166665211f));
    p = ssdei_fma(p, r, ssdei_set(0.49999994f));
    p = ssdei_fma(ssdei_fma(p, r, one), r, one);
    return ssdei_div(one, ssdei_add(one, ssdei_float(ssdei_uadd(ssdei_bits(p), ssdei_ushl(n, 23)))));
}

/* silu'(u) = s (1 + u (1 - s)), s = sigmoid(u) */
SSDEI_HELPER ssdei_v SSDEI_T(silu_slope)(ssdei_v u) {
    ssdei_v s = SSDEI_T(gate)(u), one = ssdei_set(1.0f);
    return ssdei_mul(s, ssdei_fma(u, ssdei_sub(one, s), one));
}

/* silu''(u) = s (1 - s) (2 + u (1 - 2 s)) */
SSDEI_HELPER ssdei_v SSDEI_T(silu_curve)(ssdei_v u) {
    ssdei_v s = SSDEI_T(gate)(u), one = ssdei_set(1.0f), rest = ssdei_sub(one, s);
    return ssdei_mul(ssdei_mul(s, rest), ssdei_fma(u, ssdei_sub(rest, s), ssdei_set(2.0f)));
}

/* e^x - less for x <= 0, less 0 or 1: to an ulp or two, small x too. x = n ln 2 + r, as in exp. */
SSDEI_HELPER ssdei_v SSDEI_T(exp_below)(ssdei_v x, const float less) {
    ssdei_v clamped = ssdei_vmin(ssdei_set(0.0f), ssdei_vmax(x, ssdei_set(-87.0f))), two;
    ssdei_u n = ssdei_to_int(ssdei_mul(clamped, ssdei_set(1.44269504f)));
    ssdei_v whole = ssdei_from_int(n);
    ssdei_v r = ssdei_fma(whole, ssdei_set(-0.693359375f), clamped);
    ssdei_v p = ssdei_set(1.9875691500e-4f);
    r = ssdei_fma(whole, ssdei_set(2.12194440e-4f), r);
    p = ssdei_fma(p, r, ssdei_set(1.3981999507e-3f));
    p = ssdei_fma(p, r, ssdei_set(8.3334519073e-3f));
    p = ssdei_fma(p, r, ssdei_set(4.1665795894e-2f));
    p = ssdei_fma(p, r, ssdei_set(1.6666665459e-1f));
    p = ssdei_fma(p, r, ssdei_set(5.0000001201e-1f));
    p = ssdei_fma(p, ssdei_mul(r, r), r); /* e^r - 1 */
    two = ssdei_float(ssdei_ushl(ssdei_uadd(n, ssdei_uset(127)), 23));
    return ssdei_fma(two, p, ssdei_sub(two, ssdei_set(less)));
}

/* f, f' or f'' (order 0, 1, 2) of SSDE_RELU, SSDE_ELU or SSDE_LEAKY_RELU. */
SSDEI_HELPER ssdei_v SSDEI_T(rectified)(int activation, int order, ssdei_v u) {
    ssdei_v zero = ssdei_set(0.0f), below = zero;
    if (activation == SSDE_LEAKY_RELU && order < 2) below = order ? ssdei_set(0.2f) : ssdei_mul(ssdei_set(0.2f), u);
    if (activation == SSDE_ELU) below = SSDEI_T(exp_below)(u, order ? 0.0f : 1.0f);
    if (order == 0) return ssdei_select_less(u, zero, below, u); /* NaN stays */
    return ssdei_select_less(zero, u, ssdei_set(order == 1 ? 1.0f : 0.0f), below);
}

/* f(u) and f'(u) */
SSDEI_HELPER ssdei_v SSDEI_T(activated)(int activation, ssdei_v u) {
    if (activation == SSDE_IDENTITY) return u;
    return activation == SSDE_SILU ? ssdei_mul(u, SSDEI_T(gate)(u)) : SSDEI_T(rectified)(activation, 0, u);
}
SSDEI_HELPER ssdei_v SSDEI_T(activation_slope)(int activation, ssdei_v u) {
    return activation == SSDE_SILU ? SSDEI_T(silu_slope)(u) : SSDEI_T(rectified)(activation, 1, u);
}

/* a (x - mean) + b of n lanes */
SSDEI_HELPER ssdei_v SSDEI_T(normalise)(ssdei_v x, const float *mean, const float *a, const float *b, size_t n) {
    return ssdei_fma(SSDEI_T(load_some)(a, n), ssdei_sub(x, SSDEI_T(load_some)(mean, n)), SSDEI_T(load_some)(b, n));
}

SSDEI_HELPER void ssdei_norm_vector(const float *x, const float *mean, const float *a, const float *b, size_t n,
                                    int activation, float *y) {
    ssdei_v u = SSDEI_T(normalise)(SSDEI_T(load_some)(x, n), mean, a, b, n);
    u = SSDEI_T(activated)(activation, u);
    SSDEI_T(ask_write)(y + (size_t)SSDEI_LINE * SSDEI_T(pixels_ahead));
    SSDEI_T(store_some)(y, u, n);
}
SSDEI_HELPER void SSDEI_T(norm_pixel)(const float *x, const float *mean, const float *a, const float *b,
                                      size_t channels, int activation, float *y) {
    size_t c;
    for (c = 0; c + ssdei_width <= channels; c += ssdei_width)
        ssdei_norm_vector(x + c, mean + c, a + c, b + c, ssdei_width, activation, y + c);
    if (c < channels) ssdei_norm_vector(x + c, mean + c, a + c, b + c, channels - c, activation, y + c);
}

SSDEI_KERNEL void SSDEI_T(norm)(const float *x, const float *mean, const float *a, const float *b, size_t pixels,
                                size_t channels, int activation, float *y) {
    size_t p;
    for (p = 0; p < pixels; p++, x += channels, y += channels) {
        if (activation == SSDE_IDENTITY)
            SSDEI_T(norm_pixel)(x, mean, a, b, channels, SSDE_IDENTITY, y);
        else if (activation == SSDE_SILU)
            SSDEI_T(norm_pixel)(x, mean, a, b, channels, SSDE_SILU, y);
        else
            SSDEI_T(norm_pixel)(x, mean, a, b, channels, activation, y);
    }
}

/* One chunk of pixels, `vectors` vectors of channels, each of n lanes. */
SSDEI_HELPER void ssdei_chunk_sums(const float *x, const float *dy, const float *mean, const float *a, const float *b,
                                   size_t count, size_t channels, size_t vectors, size_t n, int activation, float *to,
                                   double *sum, double *product) {
    ssdei_v total[SSDEI_T(block_vectors)], weighted[SSDEI_T(block_vectors)];
    size_t p, v;
    SSDEI_UNROLL for (v = 0; v < vectors; v++) total[v] = weighted[v] = ssdei_set(0.0f);
    for (p = 0; p < count; p++, x += channels, dy += channels, to += channels) {
        SSDEI_UNROLL for (v = 0; v < vectors; v++) {
            size_t c = v * ssdei_width;
            ssdei_v away = ssdei_sub(SSDEI_T(load_some)(x + c, n), SSDEI_T(load_some)(mean + c, n));
            ssdei_v du = SSDEI_T(load_some)(dy + c, n);
            SSDEI_T(ask)(x + c + SSDEI_T(pixels_ahead) * channels);
            SSDEI_T(ask)(dy + c + SSDEI_T(pixels_ahead) * channels);
            if (activation != SSDE_IDENTITY) {
                ssdei_v u = ssdei_fma(SSDEI_T(load_some)(a + c, n), away, SSDEI_T(load_some)(b + c, n));
                du = ssdei_mul(du, SSDEI_T(activation_slope)(activation, u));
            }
            SSDEI_T(store_some)(to + c, du, n);
            total[v] = ssdei_add(total[v], du);
            weighted[v] = ssdei_fma(du, away, weighted[v]);
        }
    }
    SSDEI_UNROLL for (v = 0; v < vectors; v++) {
        SSDEI_T(add_lanes)(total[v], n, sum + v * ssdei_width);
        SSDEI_T(add_lanes)(weighted[v], n, product + v * ssdei_width);
    }
}

SSDEI_KERNEL void SSDEI_T(norm_sums)(const float *x, const float *dy, const float *mean, const float *a, const float *b,
                                     size_t pixels, size_t channels, int activation, float *du, double *sum,
                                     double *product) {
    enum { block = SSDEI_T(block_vectors) * (size_t)ssdei_width };
    size_t first, c;
    for (first = 0; first < pixels; first += SSDEI_NORM_PIXELS) {
        size_t count = pixels - first < SSDEI_NORM_PIXELS ? pixels - first : (size_t)SSDEI_NORM_PIXELS;
        size_t at = first * channels;
        for (c = 0; c + block <= channels; c += block, at += block)
            ssdei_chunk_sums(x + at, dy + at, mean + c, a + c, b + c, count, channels, SSDEI_T(block_vectors),
                             ssdei_width, activation, du + at, sum + c, product + c);
        for (; c < channels; c += ssdei_width, at += ssdei_width)
            ssdei_chunk_sums(x + at, dy + at, mean + c, a + c, b + c, count, channels, 1, channels - c, activation,
                             du + at, sum + c, product + c);
    }
}

SSDEI_HELPER void ssdei_norm_backward_vector(const float *x, const float *du, const float *mean, const float *a,
                                             const float *slope, const float *shift, size_t n, int accumulate,
                                             float *dx) {
    ssdei_v y = SSDEI_T(normalise)(SSDEI_T(load_some)(x, n), mean, slope, shift, n);
    y = ssdei_fma(SSDEI_T(load_some)(du, n), SSDEI_T(load_some)(a, n), y);
    if (accumulate) y = ssdei_add(y, SSDEI_T(load_some)(dx, n));
    SSDEI_T(ask_write)(dx + (size_t)SSDEI_LINE * SSDEI_T(pixels_ahead));
    SSDEI_T(store_some)(dx, y, n);
}

SSDEI_KERNEL void SSDEI_T(norm_backward)(const float *x, const float *du, const float *mean, const float *a,
                                         const float *slope, const float *shift, size_t pixels, size_t channels,
                                         int accumulate, float *dx) {
    size_t p, c;
    for (p = 0; p < pixels; p++, x += channels, du += channels, dx += channels) {
        for (c = 0; c + ssdei_width <= channels; c += ssdei_width)
            ssdei_norm_backward_vector(x + c, du + c, mean + c, a + c, slope + c, shift + c, ssdei_width, accumulate,
                                       dx + c);
        if (c < channels)
            ssdei_norm_backward_vector(x + c, du + c, mean + c, a + c, slope + c, shift + c, channels - c, accumulate,
                                       dx + c);
    }
}

SSDEI_HELPER void ssdei_drop_vector(const float *x, ssdei_u number, ssdei_u below, ssdei_v keep, size_t n,
                                    int accumulate, float *y) {
    ssdei_u kept = ssdei_usar(ssdei_usub(below, number), 31); /* all ones where number > below */
    ssdei_v factor = ssdei_float(ssdei_uand(kept, ssdei_bits(keep)));
    ssdei_v value = ssdei_mul(SSDEI_T(load_some)(x, n), factor);
    if (accumulate) value = ssdei_add(SSDEI_T(load_some)(y, n), value);
    SSDEI_T(store_some)(y, value, n);
}

SSDEI_KERNEL void SSDEI_T(drop)(const float *x, const uint32_t *words, uint32_t least, float keep, size_t count,
                                int accumulate, float *y) {
    ssdei_u below = ssdei_uset(least - 1);
    ssdei_v factor = ssdei_set(keep);
    size_t i, v;
    for (i = 0; i + 32 <= count; i += 32, words += 16, x += 32, y += 32) {
        SSDEI_UNROLL for (v = 0; v < 16; v += ssdei_width) {
            ssdei_u word = ssdei_uload(words + v);
            ssdei_drop_vector(x + v, ssdei_uand(word, ssdei_uset(0xffff)), below, factor, ssdei_width, accumulate,
                              y + v);
            ssdei_drop_vector(x + 16 + v, ssdei_ushr(word, 16), below, factor, ssdei_width, accumulate, y + 16 + v);
        }
    }
    for (v = 0; v < count - i; v += ssdei_width) {
        ssdei_u word = ssdei_uload(words + v % 16), number = v < 16 ? ssdei_ushl(word, 16) : word;
        ssdei_drop_vector(x + v, ssdei_ushr(number, 16), below, factor, count - i - v, accumulate, y + v);
    }
}

/* gelu(x) = x P(x) with the normal distribution's P and its density p: gelu' = P + x p, gelu'' = p (2 - x^2). P(-|x|) =
   erfc(a) / 2, a = |x| / sqrt(2), and erfc(a) e^(a^2) is a polynomial in 1 / (1 + 0.3 a), to 2e-8 of itself. */
SSDEI_HELPER ssdei_v SSDEI_T(gelu)(ssdei_v x, int order) {
    static const float terms[] = {0.485528883f, -0.512204903f, 0.547632687f, -0.0945869955f,
                                  0.214896991f, 0.148347248f,  0.17071398f,  0.169188087f};
    ssdei_v zero = ssdei_set(0.0f), one = ssdei_set(1.0f);
    ssdei_v bounded = ssdei_vmax(ssdei_vmin(x, ssdei_set(16.0f)), ssdei_set(-16.0f)),
            square = ssdei_mul(bounded, bounded);
    ssdei_v away = ssdei_vmax(bounded, ssdei_sub(zero, bounded)), e = SSDEI_T(exp)(ssdei_mul(square, ssdei_set(-0.5f)));
    ssdei_v density = ssdei_mul(e, ssdei_set(0.39894228f)), t, p = ssdei_set(-0.129515996f);
    int i;
    if (order == 2) return ssdei_fma(density, ssdei_sub(ssdei_set(2.0f), square), ssdei_sub(x, x));
    t = ssdei_div(one, ssdei_fma(away, ssdei_set(0.212132034f), one));
    SSDEI_UNROLL for (i = 0; i < 8; i++) p = ssdei_fma(p, t, ssdei_set(terms[i]));
    p = ssdei_mul(ssdei_mul(p, t), ssdei_mul(e, ssdei_set(0.5f)));
    p = ssdei_select_less(x, zero, p, ssdei_sub(one, p));
    return order ? ssdei_fma(x, density, p) : ssdei_mul(x, p);
}

/* mish(x) = x T, T = tanh(ln(1 + e^x)) = n / (n + 2) with n = e^x (e^x + 2):
   T' = 4 e^x (1 + e^x) / (n + 2)^2, T'' = 4 e^x ((1 + 2 e^x) / (n + 2) - 4 e^x (1 + e^x)^2 / (n + 2)^2) / (n + 2). */
SSDEI_HELPER ssdei_v SSDEI_T(mish)(ssdei_v x, int order) {
    ssdei_v one = ssdei_set(1.0f), two = ssdei_set(2.0f), four = ssdei_set(4.0f);
    ssdei_v bounded = ssdei_vmax(ssdei_vmin(x, ssdei_set(20.0f)), ssdei_set(-86.0f)), e = SSDEI_T(exp)(bounded);
    ssdei_v n = ssdei_mul(e, ssdei_add(e, two)), part = ssdei_div(one, ssdei_add(n, two));
    ssdei_v value = ssdei_mul(n, part), share = ssdei_mul(four, ssdei_mul(e, part)), more = ssdei_add(one, e);
    ssdei_v rest = ssdei_mul(more, part), slope = ssdei_mul(share, rest), curve;
    if (order == 0) return ssdei_mul(x, value);
    if (order == 1) return ssdei_add(ssdei_fma(bounded, slope, value), ssdei_sub(x, x));
    curve = ssdei_sub(ssdei_mul(ssdei_add(more, e), part), ssdei_mul(share, ssdei_mul(rest, more)));
    curve = ssdei_fma(bounded, ssdei_mul(share, curve), ssdei_mul(two, slope));
    return ssdei_add(curve, ssdei_sub(x, x));
}

SSDEI_KERNEL void SSDEI_T(curve)(int activation, int order, const float *x, const float *by, const float *with,
                                 size_t count, int accumulate, float *y) {
    size_t i;
    for (i = 0; i < count; i += ssdei_width) {
        size_t n = count - i;
        ssdei_v u = SSDEI_T(load_some)(x + i, n);
        u = activation == SSDE_GELU   ? SSDEI_T(gelu)(u, order)
            : activation == SSDE_MISH ? SSDEI_T(mish)(u, order)
                                      : SSDEI_T(rectified)(activation, order, u);
        if (by) u = ssdei_mul(u, SSDEI_T(load_some)(by + i, n));
        if (with) u = ssdei_mul(u, SSDEI_T(load_some)(with + i, n));
        if (accumulate) u = ssdei_add(u, SSDEI_T(load_some)(y + i, n));
        SSDEI_T(store_some)(y + i, u, n);
    }
}

SSDEI_KERNEL void SSDEI_T(silu)(const float *x, size_t count, float *y) {
    size_t i;
    for (i = 0; i < count; i += ssdei_width) {
        ssdei_v u = SSDEI_T(load_some)(x + i, count - i);
        SSDEI_T(store_some)(y + i, ssdei_mul(u, SSDEI_T(gate)(u)), count - i);
    }
}

SSDEI_KERNEL void SSDEI_T(silu_backward)(const float *x, const float *dy, size_t count, int accumulate, float *dx) {
    size_t i;
    for (i = 0; i < count; i += ssdei_width) {
        size_t n = count - i;
        ssdei_v y = ssdei_mul(SSDEI_T(load_some)(dy + i, n), SSDEI_T(silu_slope)(SSDEI_T(load_some)(x + i, n)));
        if (accumulate) y = ssdei_add(y, SSDEI_T(load_some)(dx + i, n));
        SSDEI_T(store_some)(dx + i, y, n);
    }
}

SSDEI_KERNEL void SSDEI_T(silu_second)(const float *x, const float *v, const float *dy, size_t count, int accumulate,
                                       float *dx) {
    size_t i;
    for (i = 0; i < count; i += ssdei_width) {
        size_t n = count - i;
        ssdei_v y = ssdei_mul(SSDEI_T(load_some)(v + i, n), SSDEI_T(load_some)(dy + i, n));
        y = ssdei_mul(y, SSDEI_T(silu_curve)(SSDEI_T(load_some)(x + i, n)));
        if (accumulate) y = ssdei_add(y, SSDEI_T(load_some)(dx + i, n));
        SSDEI_T(store_some)(dx + i, y, n);
    }
}

/* The larger of two, the first of equals, NaN if one is. */
SSDEI_HELPER ssdei_v SSDEI_T(pool_larger)(ssdei_v a, ssdei_v b) {
    return ssdei_select_less(a, b, b, ssdei_select_less(b, a, a, ssdei_add(a, ssdei_sub(b, a))));
}

SSDEI_HELPER ssdei_v SSDEI_T(largest_tap)(const float *x, size_t stride, size_t taps, size_t n) {
    ssdei_v most = SSDEI_T(load_some)(x, n);
    size_t k;
    for (k = 1; k < taps; k++) most = SSDEI_T(pool_larger)(most, SSDEI_T(load_some)(x + k * stride, n));
    return most;
}

SSDEI_KERNEL void SSDEI_T(pool_max)(const float *x, const float *rates, size_t stride, size_t taps, size_t count,
                                    float *y, float *rate) {
    size_t i, k;
    for (i = 0; i < count; i += ssdei_width) {
        size_t n = count - i;
        ssdei_v most = SSDEI_T(largest_tap)(x + i, stride, taps, n), of;
        SSDEI_T(store_some)(y + i, most, n);
        if (!rates) continue;
        of = SSDEI_T(load_some)(rates + i + (taps - 1) * stride, n);
        for (k = taps - 1; k-- > 0;) {
            ssdei_v other = SSDEI_T(load_some)(rates + i + k * stride, n);
            of = ssdei_select_less(SSDEI_T(load_some)(x + i + k * stride, n), most, of, other);
        }
        SSDEI_T(store_some)(rate + i, of, n);
    }
}

SSDEI_KERNEL void SSDEI_T(pool_route)(const float *x, size_t stride, size_t taps, const float *dy, size_t count,
                                      float *dx) {
    size_t i, k;
    for (i = 0; i < count; i += ssdei_width) {
        size_t n = count - i;
        ssdei_v most = SSDEI_T(largest_tap)(x + i, stride, taps, n), left = SSDEI_T(load_some)(dy + i, n);
        ssdei_v zero = ssdei_set(0.0f);
        for (k = 0; k < taps; k++) {
            ssdei_v value = SSDEI_T(load_some)(x + i + k * stride, n);
            ssdei_v sum =
                ssdei_add(SSDEI_T(load_some)(dx + i + k * stride, n), ssdei_select_less(value, most, zero, left));
            SSDEI_T(store_some)(dx + i + k * stride, sum, n);
            left = ssdei_select_less(value, most, left, zero);
        }
    }
}

SSDEI_KERNEL void SSDEI_T(pool_sum)(const float *x, size_t stride, size_t taps, float scale, size_t count,
                                    int accumulate, float *y) {
    size_t i, k;
    for (i = 0; i < count; i += ssdei_width) {
        size_t n = count - i;
        ssdei_v sum = SSDEI_T(load_some)(x + i, n);
        for (k = 1; k < taps; k++) sum = ssdei_add(sum, SSDEI_T(load_some)(x + i + k * stride, n));
        sum = ssdei_mul(ssdei_set(scale), sum);
        if (accumulate) sum = ssdei_add(SSDEI_T(load_some)(y + i, n), sum);
        SSDEI_T(store_some)(y + i, sum, n);
    }
}

SSDEI_KERNEL void SSDEI_T(multiply_add)(const float *x, float w, size_t count, int accumulate, float *y) {
    ssdei_v weight = ssdei_set(w);
    size_t i;
    for (i = 0; i < count; i += ssdei_width) {
        size_t n = count - i;
        ssdei_v value = SSDEI_T(load_some)(x + i, n);
        value = accumulate ? ssdei_fma(weight, value, SSDEI_T(load_some)(y + i, n)) : ssdei_mul(weight, value);
        SSDEI_T(store_some)(y + i, value, n);
    }
}

SSDEI_KERNEL void SSDEI_T(add_scaled)(const float *a, const float *b, size_t period, float scale, size_t count,
                                      float *out) {
    ssdei_v factor = ssdei_set(scale);
    size_t start, i;
    for (start = 0; start < count; start += period) {
        for (i = 0; i < period; i += ssdei_width) {
            size_t n = period - i, at = start + i;
            ssdei_v sum = ssdei_add(SSDEI_T(load_some)(a + at, n), SSDEI_T(load_some)(b + i, n));
            SSDEI_T(store_some)(out + at, ssdei_mul(sum, factor), n);
        }
    }
}

/* The largest of a row, which NaN is not. */
SSDEI_HELPER float SSDEI_T(largest)(const float *x, size_t count) {
    ssdei_v largest[SSDEI_T(chains)];
    float lanes[ssdei_width], result = x[0];
    size_t i, j;
    SSDEI_UNROLL for (j = 0; j < SSDEI_T(chains); j++) largest[j] = ssdei_set(x[0]);
    for (i = 0; i + SSDEI_T(chains) * (size_t)ssdei_width <= count; i += SSDEI_T(chains) * (size_t)ssdei_width) {
        SSDEI_UNROLL for (j = 0; j < SSDEI_T(chains); j++) {
            largest[j] = ssdei_vmax(ssdei_load(x + i + j * ssdei_width), largest[j]);
        }
    }
    for (; i < count; i++) result = x[i] > result ? x[i] : result;
    SSDEI_UNROLL for (j = 1; j < SSDEI_T(chains); j++) largest[0] = ssdei_vmax(largest[j], largest[0]);
    ssdei_store(lanes, largest[0]);
    for (i = 0; i < ssdei_width; i++) result = lanes[i] > result ? lanes[i] : result;
    return result;
}

SSDEI_KERNEL void SSDEI_T(softmax)(float *x, float scale, size_t count) {
    ssdei_v factor = ssdei_set(scale), highest = ssdei_set(SSDEI_T(largest)(x, count)), total = ssdei_set(0.0f);
    size_t i;
    for (i = 0; i < count; i += ssdei_width) {
        size_t n = count - i;
        ssdei_v e = SSDEI_T(exp)(ssdei_mul(factor, ssdei_sub(SSDEI_T(load_some)(x + i, n), highest)));
        SSDEI_T(store_some)(x + i, e, n);
        total = ssdei_add(total, n < ssdei_width ? SSDEI_T(load_first)(x + i, n) : e); /* zeros beyond the row */
    }
    SSDEI_T(multiply_add)(x, 1.0f / ssdei_sum(total), count, 0, x);
}

SSDEI_KERNEL void SSDEI_T(softmax_backward)(const float *s, float scale, size_t count, float *ds) {
    ssdei_v sum[SSDEI_T(chains)], dot, factor = ssdei_set(scale);
    size_t i, j;
    SSDEI_UNROLL for (j = 0; j < SSDEI_T(chains); j++) sum[j] = ssdei_set(0.0f);
    for (i = 0; i + SSDEI_T(chains) * (size_t)ssdei_width <= count; i += SSDEI_T(chains) * (size_t)ssdei_width) {
        SSDEI_UNROLL for (j = 0; j < SSDEI_T(chains); j++) {
            size_t at = i + j * ssdei_width;
            sum[j] = ssdei_fma(ssdei_load(s + at), ssdei_load(ds + at), sum[j]);
        }
    }
    for (; i < count; i += ssdei_width)
        sum[0] = ssdei_fma(SSDEI_T(load_some)(s + i, count - i), SSDEI_T(load_some)(ds + i, count - i), sum[0]);
    SSDEI_UNROLL for (j = 1; j < SSDEI_T(chains); j++) sum[0] = ssdei_add(sum[0], sum[j]);
    dot = ssdei_set(ssdei_sum(sum[0]));
    for (i = 0; i < count; i += ssdei_width) {
        size_t n = count - i;
        ssdei_v away = ssdei_sub(SSDEI_T(load_some)(ds + i, n), dot);
        SSDEI_T(store_some)(ds + i, ssdei_mul(factor, ssdei_mul(SSDEI_T(load_some)(s + i, n), away)), n);
    }
}

/* ---- Winograd's F(4x4, 3x3) ----
   A 4 x 4 tile Y of outputs comes from 6 x 6 inputs d and a 3 x 3 kernel g by 36 products instead of 144:
   Y = A^T [(G g G^T) . (B^T d B)] A. The points of interpolation are 0, +-a, +-b and infinity; a = 3/4, b = 3/2 make
   the rounding error 2.4 times smaller than the usual 1 and 2, at the same cost. With n(p) = 1 / product of (p - other
   points), for point p
       B^T d = d4 - b^2 d2 +- a (d3 - b^2 d1) at +-a, likewise at +-b; a^2 b^2 d0 - (a^2 + b^2) d2 + d4 at 0, and the
               same from d1 at infinity
       G g   = n (g0 + p g1 + p^2 g2)
       A^T m = the sums of m(p), p m(p), p^2 m(p), p^3 m(p)
   The gradient by g is G^T [(B^T d B) . (A dY A^T)] G. All run along channels; `point` is the distance of the 36 points
   in floats. */
#define SSDEI_A 0.75f
#define SSDEI_A2 0.5625f
#define SSDEI_A3 0.421875f
#define SSDEI_B 1.5f
#define SSDEI_B2 2.25f
#define SSDEI_B3 3.375f
#define SSDEI_N0 ((float)(1.0 / 1.265625))   /* 1 / (a^2 b^2) */
#define SSDEI_NA ((float)(-1.0 / 1.8984375)) /* 1 / (2 a^2 (a^2 - b^2)) */
#define SSDEI_NB ((float)(1.0 / 7.59375))    /* 1 / (2 b^2 (b^2 - a^2)) */

/* t = B^T d */
SSDEI_HELPER void SSDEI_T(winograd_input_line)(const ssdei_v d[6], ssdei_v t[6]) {
    ssdei_v even_a = ssdei_fma(ssdei_set(-SSDEI_B2), d[2], d[4]), odd_a = ssdei_fma(ssdei_set(-SSDEI_B2), d[1], d[3]);
    ssdei_v even_b = ssdei_fma(ssdei_set(-SSDEI_A2), d[2], d[4]), odd_b = ssdei_fma(ssdei_set(-SSDEI_A2), d[1], d[3]);
    ssdei_v product = ssdei_set(SSDEI_A2 * SSDEI_B2), sum = ssdei_set(-SSDEI_A2 - SSDEI_B2);
    odd_a = ssdei_mul(ssdei_set(SSDEI_A), odd_a);
    odd_b = ssdei_mul(ssdei_set(SSDEI_B), odd_b);
    t[0] = ssdei_fma(product, d[0], ssdei_fma(sum, d[2], d[4]));
    t[1] = ssdei_add(even_a, odd_a);
    t[2] = ssdei_sub(even_a, odd_a);
    t[3] = ssdei_add(even_b, odd_b);
    t[4] = ssdei_sub(even_b, odd_b);
    t[5] = ssdei_fma(product, d[1], ssdei_fma(sum, d[3], d[5]));
}

/* v[36] = B^T x B for one tile, rows of v filled up with zeros to whole vectors. Of the 6 x 6 window, the part in
   `inside` lies in x, which begins with its first pixel; the rest is zero. */
SSDEI_HELPER void SSDEI_T(winograd_input_part)(const float *x, size_t row, size_t pixel, size_t n, size_t top,
                                               size_t bottom, size_t left, size_t right, float *v, size_t point) {
    ssdei_v half[6][6], line[6], out[6];
    size_t i, j;
    for (i = 0; i < 6; i++) {
        SSDEI_UNROLL for (j = 0; j < 6; j++) {
            line[j] = i < top || i >= bottom || j < left || j >= right
                          ? ssdei_set(0.0f)
                          : SSDEI_T(load_some)(x + (i - top) * row + (j - left) * pixel, n);
        }
        SSDEI_T(winograd_input_line)(line, half[i]);
    }
    for (j = 0; j < 6; j++) {
        SSDEI_UNROLL for (i = 0; i < 6; i++) line[i] = half[i][j];
        SSDEI_T(winograd_input_line)(line, out);
        SSDEI_UNROLL for (i = 0; i < 6; i++) ssdei_store(v + (6 * i + j) * point, out[i]);
    }
}
SSDEI_KERNEL void SSDEI_T(winograd_input)(const float *x, size_t row, size_t pixel, size_t channels,
                                          const ssdei_window *inside, float *v, size_t point) {
    size_t top = inside->top, bottom = inside->bottom, left = inside->left, right = inside->right, c = 0;
    int whole = top == 0 && left == 0 && bottom == 6 && right == 6;
    for (; whole && c + ssdei_width <= channels; c += ssdei_width)
        SSDEI_T(winograd_input_part)(x + c, row, pixel, ssdei_width, 0, 6, 0, 6, v + c, point);
    for (; c + ssdei_width <= channels; c += ssdei_width)
        SSDEI_T(winograd_input_part)(x + c, row, pixel, ssdei_width, top, bottom, left, right, v + c, point);
    if (c < channels)
        SSDEI_T(winograd_input_part)(x + c, row, pixel, channels - c, top, bottom, left, right, v + c, point);
}

/* y = A^T m */
SSDEI_HELPER void SSDEI_T(winograd_output_line)(const ssdei_v m[6], ssdei_v y[4]) {
    ssdei_v even_a = ssdei_add(m[1], m[2]), odd_a = ssdei_sub(m[1], m[2]);
    ssdei_v even_b = ssdei_add(m[3], m[4]), odd_b = ssdei_sub(m[3], m[4]);
    y[0] = ssdei_add(ssdei_add(m[0], even_a), even_b);
    y[1] = ssdei_fma(ssdei_set(SSDEI_A), odd_a, ssdei_mul(ssdei_set(SSDEI_B), odd_b));
    y[2] = ssdei_fma(ssdei_set(SSDEI_A2), even_a, ssdei_mul(ssdei_set(SSDEI_B2), even_b));
    y[3] = ssdei_fma(ssdei_set(SSDEI_A3), odd_a, ssdei_fma(ssdei_set(SSDEI_B3), odd_b, m[5]));
}

/* y = (A^T m A + bias + residual) scale: the first rows x columns pixels of one tile */
SSDEI_HELPER void SSDEI_T(winograd_output_part)(const float *m, size_t point, size_t n, const ssdei_epilogue *epilogue,
                                                size_t c, float *y, size_t row, size_t pixel, size_t rows,
                                                size_t columns) {
    ssdei_v half[6][4], line[6], out[4], scale = ssdei_set(epilogue->scale);
    ssdei_v bias = epilogue->bias ? SSDEI_T(load_some)(epilogue->bias + c, n) : ssdei_set(0.0f);
    const float *residual = epilogue->residual;
    size_t i, j;
    for (j = 0; j < 6; j++) {
        SSDEI_UNROLL for (i = 0; i < 6; i++) line[i] = ssdei_load(m + (6 * i + j) * point + c);
        SSDEI_T(winograd_output_line)(line, half[j]);
    }
    for (i = 0; i < 4; i++) {
        if (i >= rows) break;
        SSDEI_UNROLL for (j = 0; j < 6; j++) line[j] = half[j][i];
        SSDEI_T(winograd_output_line)(line, out);
        SSDEI_UNROLL for (j = 0; j < 4; j++) {
            size_t at = i * row + j * pixel + c;
            if (j >= columns) continue;
            out[j] = ssdei_add(out[j], bias);
            if (residual)
                out[j] =
                    ssdei_add(out[j], SSDEI_T(load_some)(residual + i * epilogue->row + j * epilogue->pixel + c, n));
            SSDEI_T(store_some)(y + at, ssdei_mul(out[j], scale), n);
        }
    }
}
SSDEI_KERNEL void SSDEI_T(winograd_output)(const float *m, size_t point, size_t channels,
                                           const ssdei_epilogue *epilogue, float *y, size_t row, size_t pixel,
                                           size_t rows, size_t columns) {
    size_t c = 0;
    for (; rows >= 4 && columns >= 4 && c + ssdei_width <= channels; c += ssdei_width)
        SSDEI_T(winograd_output_part)(m, point, ssdei_width, epilogue, c, y, row, pixel, 4, 4);
    for (; c + ssdei_width <= channels; c += ssdei_width)
        SSDEI_T(winograd_output_part)(m, point, ssdei_width, epilogue, c, y, row, pixel, rows, columns);
    if (c < channels) SSDEI_T(winograd_output_part)(m, point, channels - c, epilogue, c, y, row, pixel, rows, columns);
}

/* A line of u = scale G g G^T: u[6][channels][width], `point` floats apart, from g[3][3][channels][width], `tap` floats
   apart; of width, zero beyond columns, are whole vectors. */
SSDEI_HELPER void SSDEI_T(winograd_weights_part)(const float *g, size_t tap, size_t n, const int first, const int last,
                                                 const ssdei_v factor[3], float *u, size_t point) {
    ssdei_v half[3], even_a, even_b, odd_a, odd_b;
    size_t j;
    SSDEI_UNROLL for (j = 0; j < 3; j++) {
        half[j] = ssdei_mul(factor[first], SSDEI_T(load_some)(g + (3 * (size_t)first + j) * tap, n));
        if (first == last) continue;
        half[j] = ssdei_fma(factor[1], SSDEI_T(load_some)(g + (3 + j) * tap, n), half[j]);
        half[j] = ssdei_fma(factor[2], SSDEI_T(load_some)(g + (6 + j) * tap, n), half[j]);
    }
    even_a = ssdei_fma(ssdei_set(SSDEI_A2 * SSDEI_NA), half[2], ssdei_mul(ssdei_set(SSDEI_NA), half[0]));
    even_b = ssdei_fma(ssdei_set(SSDEI_B2 * SSDEI_NB), half[2], ssdei_mul(ssdei_set(SSDEI_NB), half[0]));
    odd_a = ssdei_mul(ssdei_set(SSDEI_A * SSDEI_NA), half[1]);
    odd_b = ssdei_mul(ssdei_set(SSDEI_B * SSDEI_NB), half[1]);
    ssdei_store(u, ssdei_mul(ssdei_set(SSDEI_N0), half[0]));
    ssdei_store(u + point, ssdei_add(even_a, odd_a));
    ssdei_store(u + 2 * point, ssdei_sub(even_a, odd_a));
    ssdei_store(u + 3 * point, ssdei_add(even_b, odd_b));
    ssdei_store(u + 4 * point, ssdei_sub(even_b, odd_b));
    ssdei_store(u + 5 * point, half[2]);
}
SSDEI_HELPER void SSDEI_T(winograd_weights_of)(const float *g, size_t tap, size_t width, size_t channels,
                                               size_t columns, const int first, const int last, const ssdei_v factor[3],
                                               float *u, size_t point) {
    size_t k, c;
    for (k = 0; k < channels; k++) {
        for (c = 0; c + ssdei_width <= columns; c += ssdei_width) SSDEI_T(winograd_weights_part)
        (g + k * width + c, tap, ssdei_width, first, last, factor, u + k * width + c, point);
        for (; c < width; c += ssdei_width) SSDEI_T(winograd_weights_part)
        (g + k * width + c, tap, columns > c ? columns - c : 0, first, last, factor, u + k * width + c, point);
    }
}
SSDEI_KERNEL void SSDEI_T(winograd_weights)(const float *g, size_t tap, size_t width, size_t channels, size_t columns,
                                            float scale, size_t line, float *u, size_t point) {
    static const float rows[6][3] = {{SSDEI_N0, 0.0f, 0.0f},
                                     {SSDEI_NA, SSDEI_A * SSDEI_NA, SSDEI_A2 * SSDEI_NA},
                                     {SSDEI_NA, -SSDEI_A * SSDEI_NA, SSDEI_A2 * SSDEI_NA},
                                     {SSDEI_NB, SSDEI_B * SSDEI_NB, SSDEI_B2 * SSDEI_NB},
                                     {SSDEI_NB, -SSDEI_B * SSDEI_NB, SSDEI_B2 * SSDEI_NB},
                                     {0.0f, 0.0f, 1.0f}};
    ssdei_v factor[3];
    size_t i;
    SSDEI_UNROLL for (i = 0; i < 3; i++) factor[i] = ssdei_set(scale * rows[line][i]);
    if (line == 0)
        SSDEI_T(winograd_weights_of)(g, tap, width, channels, columns, 0, 0, factor, u, point);
    else if (line == 5)
        SSDEI_T(winograd_weights_of)(g, tap, width, channels, columns, 2, 2, factor, u, point);
    else
        SSDEI_T(winograd_weights_of)(g, tap, width, channels, columns, 0, 2, factor, u, point);
}

/* t = A y */
SSDEI_HELPER void SSDEI_T(winograd_gradient_line)(const ssdei_v y[4], ssdei_v t[6]) {
    ssdei_v even_a = ssdei_fma(ssdei_set(SSDEI_A2), y[2], y[0]), even_b = ssdei_fma(ssdei_set(SSDEI_B2), y[2], y[0]);
    ssdei_v odd_a = ssdei_fma(ssdei_set(SSDEI_A3), y[3], ssdei_mul(ssdei_set(SSDEI_A), y[1]));
    ssdei_v odd_b = ssdei_fma(ssdei_set(SSDEI_B3), y[3], ssdei_mul(ssdei_set(SSDEI_B), y[1]));
    t[0] = y[0];
    t[1] = ssdei_add(even_a, odd_a);
    t[2] = ssdei_sub(even_a, odd_a);
    t[3] = ssdei_add(even_b, odd_b);
    t[4] = ssdei_sub(even_b, odd_b);
    t[5] = y[3];
}

/* w[36] = scale A dy A^T for one tile of which the first rows x columns pixels exist, and total = the sum of its scale
   dy */
SSDEI_HELPER void SSDEI_T(winograd_gradient_part)(const float *dy, size_t row, size_t pixel, size_t rows,
                                                  size_t columns, size_t n, ssdei_v scale, float *w, size_t point,
                                                  float *total) {
    ssdei_v half[4][6], line[4], out[6], sum = ssdei_set(0.0f);
    size_t i, j;
    for (i = 0; i < 4; i++) {
        SSDEI_UNROLL for (j = 0; j < 4; j++) {
            line[j] = i < rows && j < columns ? ssdei_mul(scale, SSDEI_T(load_some)(dy + i * row + j * pixel, n))
                                              : ssdei_set(0.0f);
        }
        sum = ssdei_add(sum, ssdei_add(ssdei_add(line[0], line[1]), ssdei_add(line[2], line[3])));
        SSDEI_T(winograd_gradient_line)(line, half[i]);
    }
    for (j = 0; j < 6; j++) {
        SSDEI_UNROLL for (i = 0; i < 4; i++) line[i] = half[i][j];
        SSDEI_T(winograd_gradient_line)(line, out);
        SSDEI_UNROLL for (i = 0; i < 6; i++) ssdei_store(w + (6 * i + j) * point, out[i]);
    }
    SSDEI_T(store_some)(total, sum, n);
}
SSDEI_KERNEL void SSDEI_T(winograd_gradient)(const float *dy, size_t row, size_t pixel, size_t rows, size_t columns,
                                             size_t channels, float scale, float *w, size_t point, float *total) {
    ssdei_v factor = ssdei_set(scale);
    size_t c = 0;
    for (; rows >= 4 && columns >= 4 && c + ssdei_width <= channels; c += ssdei_width) SSDEI_T(winograd_gradient_part)
    (dy + c, row, pixel, 4, 4, ssdei_width, factor, w + c, point, total + c);
    for (; c < channels; c += ssdei_width) SSDEI_T(winograd_gradient_part)
    (dy + c, row, pixel, rows, columns, channels - c, factor, w + c, point, total + c);
}

/* g = G^T m */
SSDEI_HELPER void SSDEI_T(winograd_weight_gradient_line)(const ssdei_v m[6], ssdei_v g[3]) {
    ssdei_v even_a = ssdei_mul(ssdei_set(SSDEI_NA), ssdei_add(m[1], m[2])), odd_a = ssdei_sub(m[1], m[2]);
    ssdei_v even_b = ssdei_mul(ssdei_set(SSDEI_NB), ssdei_add(m[3], m[4])), odd_b = ssdei_sub(m[3], m[4]);
    g[0] = ssdei_fma(ssdei_set(SSDEI_N0), m[0], ssdei_add(even_a, even_b));
    g[1] = ssdei_fma(ssdei_set(SSDEI_A * SSDEI_NA), odd_a, ssdei_mul(ssdei_set(SSDEI_B * SSDEI_NB), odd_b));
    g[2] = ssdei_fma(ssdei_set(SSDEI_A2), even_a, ssdei_fma(ssdei_set(SSDEI_B2), even_b, m[5]));
}

/* g[3, 3, columns] += G^T m G for one input channel */
SSDEI_HELPER void SSDEI_T(winograd_weight_gradient_part)(const float *m, size_t point, size_t n, float *g, size_t tap) {
    ssdei_v half[6][3], line[6], out[3];
    size_t i, j;
    for (j = 0; j < 6; j++) {
        SSDEI_UNROLL for (i = 0; i < 6; i++) line[i] = ssdei_load(m + (6 * i + j) * point);
        SSDEI_T(winograd_weight_gradient_line)(line, half[j]);
    }
    for (i = 0; i < 3; i++) {
        SSDEI_UNROLL for (j = 0; j < 6; j++) line[j] = half[j][i];
        SSDEI_T(winograd_weight_gradient_line)(line, out);
        SSDEI_UNROLL for (j = 0; j < 3; j++) {
            float *to = g + (3 * i + j) * tap;
            SSDEI_T(store_some)(to, ssdei_add(SSDEI_T(load_some)(to, n), out[j]), n);
        }
    }
}
SSDEI_KERNEL void SSDEI_T(winograd_weight_gradient)(const float *m, size_t point, size_t columns, float *g,
                                                    size_t tap) {
    size_t c = 0;
    for (; c + ssdei_width <= columns; c += ssdei_width)
        SSDEI_T(winograd_weight_gradient_part)(m + c, point, ssdei_width, g + c, tap);
    if (c < columns) SSDEI_T(winograd_weight_gradient_part)(m + c, point, columns - c, g + c, tap);
}

/* (-1)^k sin(x - turns pi), turns = k or k + 1/2, |turns| < 2^19: pi's first 32 bits times turns are exact, as is what
   x leaves of it. Taylor's series to r^17, r up to pi / 2. */
SSDEI_HELPER ssdei_d SSDEI_T(sine)(ssdei_d x, ssdei_d k, ssdei_d turns) {
    static const double series[8] = {1.0 / 355687428096000.0,
                                     -1.0 / 1307674368000.0,
                                     1.0 / 6227020800.0,
                                     -1.0 / 39916800,
                                     1.0 / 362880,
                                     -1.0 / 5040,
                                     1.0 / 120,
                                     -1.0 / 6};
    ssdei_d round = ssdei_dset(6755399441055744.0), r, z, p = ssdei_dset(series[0]), odd;
    size_t i;
    r = ssdei_dsub(x, ssdei_dmul(turns, ssdei_dset(3.1415926534682512)));
    r = ssdei_dsub(r, ssdei_dmul(turns, ssdei_dset(1.2154201013012384e-10)));
    z = ssdei_dmul(r, r);
    SSDEI_UNROLL for (i = 1; i < 8; i++) p = ssdei_dadd(ssdei_dmul(p, z), ssdei_dset(series[i]));
    r = ssdei_dadd(r, ssdei_dmul(ssdei_dmul(r, z), p));
    odd = ssdei_dsub(ssdei_dadd(ssdei_dmul(k, ssdei_dset(0.5)), round), round);
    odd = ssdei_dsub(k, ssdei_dadd(odd, odd)); /* -1, 0, 1 */
    return ssdei_dmul(r, ssdei_dsub(ssdei_dset(1.0), ssdei_dmul(ssdei_dadd(odd, odd), odd)));
}

SSDEI_KERNEL void SSDEI_T(sines)(const float *x, size_t count, float *sine, float *cosine) {
    ssdei_d round = ssdei_dset(6755399441055744.0), half = ssdei_dset(0.5), zero = ssdei_dset(0.0);
    size_t i;
    for (i = 0; i < count; i += ssdei_width) {
        size_t n = count - i;
        ssdei_d wide = ssdei_widen(SSDEI_T(load_some)(x + i, n));
        ssdei_d turns = ssdei_dmul(wide, ssdei_dset(0.3183098861837907)), k;
        k = ssdei_dsub(ssdei_dadd(turns, round), round);
        SSDEI_T(store_some)(sine + i, ssdei_narrow(SSDEI_T(sine)(wide, k, k)), n);
        k = ssdei_dsub(ssdei_dadd(ssdei_dsub(turns, half), round), round);
        wide = SSDEI_T(sine)(wide, k, ssdei_dadd(k, half));
        SSDEI_T(store_some)(cosine + i, ssdei_narrow(ssdei_dsub(zero, wide)), n);
    }
}

SSDEI_KERNEL double SSDEI_T(squares)(const float *x, size_t count) {
    enum { block = SSDEI_MAX_WIDTH, vectors = block / (int)ssdei_width };
    ssdei_d sum[vectors];
    double lanes[block];
    size_t i, j, half;
    SSDEI_UNROLL for (j = 0; j < vectors; j++) sum[j] = ssdei_dset(0.0);
    for (i = 0; i + block <= count; i += block) {
        SSDEI_UNROLL for (j = 0; j < vectors; j++) {
            ssdei_d wide = ssdei_widen(ssdei_load(x + i + j * ssdei_width));
            sum[j] = ssdei_dfma(wide, wide, sum[j]); /* squares of floats are exact in double, with FMA or without */
        }
    }
    memcpy(lanes, sum, sizeof lanes);
    for (; i < count; i++) lanes[i % block] += (double)x[i] * (double)x[i];
    for (half = block / 2; half; half /= 2)
        for (j = 0; j < half; j++) lanes[j] += lanes[half + j];
    return lanes[0];
}

SSDEI_KERNEL void SSDEI_T(adam)(const ssdei_adam *step, size_t count, float *gradient, float *weight, float *average,
                                float *first, float *second) {
    const ssdei_adam by = *step; /* whose numbers no store of floats changes */
    ssdei_v zero = ssdei_set(0.0f);
    size_t i;
    for (i = 0; i < count; i += ssdei_width) {
        size_t n = count - i;
        ssdei_v w = SSDEI_T(load_some)(weight + i, n), mean = SSDEI_T(load_some)(average + i, n), m, v, h;
        ssdei_v g = ssdei_mul(SSDEI_T(load_some)(gradient + i, n), ssdei_set(by.clip));
        g = ssdei_add(g, ssdei_mul(ssdei_set(by.weight_decay), w));
        m = ssdei_mul(ssdei_set(by.keep1), SSDEI_T(load_some)(first + i, n));
        m = ssdei_add(m, ssdei_mul(ssdei_set(by.take1), g));
        m = ssdei_select_less(ssdei_vmax(m, ssdei_sub(zero, m)), ssdei_set(FLT_MIN), zero, m);
        h = ssdei_select_less(ssdei_vmax(g, ssdei_sub(zero, g)), ssdei_set(by.least), zero, g);
        v = ssdei_mul(ssdei_set(by.keep2), SSDEI_T(load_some)(second + i, n));
        v = ssdei_add(v, ssdei_mul(ssdei_mul(ssdei_set(by.take2), h), h));
        v = ssdei_select_less(v, ssdei_set(FLT_MIN), zero, v);
        h = ssdei_add(ssdei_mul(ssdei_sqrt(v), ssdei_set(by.root_scale)), ssdei_set(by.eps));
        w = ssdei_sub(w, ssdei_div(ssdei_mul(ssdei_set(by.rate), m), h));
        mean = ssdei_sub(mean, ssdei_mul(ssdei_set(by.ema), ssdei_sub(mean, w)));
        SSDEI_T(store_some)(gradient + i, zero, n);
        SSDEI_T(store_some)(first + i, m, n);
        SSDEI_T(store_some)(second + i, v, n);
        SSDEI_T(store_some)(weight + i, w, n);
        SSDEI_T(store_some)(average + i, mean, n);
    }
}

SSDEI_KERNEL void SSDEI_T(approach)(const float *x, float take, size_t count, float *mean) {
    size_t i;
    for (i = 0; i < count; i += ssdei_width) {
        size_t n = count - i;
        ssdei_v m = SSDEI_T(load_some)(mean + i, n);
        m = ssdei_sub(m, ssdei_mul(ssdei_set(take), ssdei_sub(m, SSDEI_T(load_some)(x + i, n))));
        SSDEI_T(store_some)(mean + i, m, n);
    }
}

static const ssdei_nn_kernels SSDEI_T(nn_kernels) = {SSDEI_T(channel_sums),
                                                     SSDEI_T(channel_moments),
                                                     SSDEI_T(norm),
                                                     SSDEI_T(norm_sums),
                                                     SSDEI_T(norm_backward),
                                                     SSDEI_T(drop),
                                                     SSDEI_T(silu),
                                                     SSDEI_T(silu_backward),
                                                     SSDEI_T(silu_second),
                                                     SSDEI_T(curve),
                                                     SSDEI_T(pool_max),
                                                     SSDEI_T(pool_route),
                                                     SSDEI_T(pool_sum),
                                                     SSDEI_T(multiply_add),
                                                     SSDEI_T(add_scaled),
                                                     SSDEI_T(softmax),
                                                     SSDEI_T(softmax_backward),
                                                     SSDEI_T(winograd_input),
                                                     SSDEI_T(winograd_output),
                                                     SSDEI_T(winograd_weights),
                                                     SSDEI_T(winograd_gradient),
                                                     SSDEI_T(winograd_weight_gradient),
                                                     SSDEI_T(sines),
                                                     SSDEI_T(squares),
                                                     SSDEI_T(adam),
                                                     SSDEI_T(approach)};

#undef ssdei_join_moments
#undef ssdei_chunk_moments
#undef ssdei_chunk_sums
#undef ssdei_norm_vector
#undef ssdei_norm_backward_vector
#undef ssdei_drop_vector
#undef SSDEI_A
#undef SSDEI_A2
#undef SSDEI_A3
#undef SSDEI_B
#undef SSDEI_B2
#undef SSDEI_B3
#undef SSDEI_N0
#undef SSDEI_NA
#undef SSDEI_NB

#endif /* SSDEI_TIER */

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
