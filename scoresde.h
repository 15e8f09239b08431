/* scoresde.h 0.1.0: score-based generative modelling through stochastic differential equations. MIT or public domain.

   Copy this file next to your sources. In ONE .c or .cpp file write

       #define SCORESDE_IMPLEMENTATION
       #include "scoresde.h"

   and include it plainly everywhere else. Compile with any C99 or C++11 compiler and link libm: cc -O2 program.c -lm

   CONTENTS (search for the anchor)
       >>configuration     macros, and which of them must be the same in every file
       >>status            error codes
       >>context           allocator, logger, SIMD tier, threads, last error
       >>tensor            plain float buffers with shapes; arithmetic, image grids
       >>files             .npy, IDX, CIFAR-10, safetensors, PyTorch's checkpoints
       >>random            Philox4x32-10, uniform and normal draws
       >>model             the score-model interface, the one seam between networks and solvers
       >>sde               VE, VP, sub-VP, rectified flow, one through a table of noise levels, any affine SDE, and
                           any other with additive noise
       >>schedule          noise levels of discrete-time models: linear, cosine, ...; of zero terminal SNR; NCSNv2's
       >>simulation        those SDEs forward in time
       >>loss              score matching on plain buffers: denoising, implicit, sliced
       >>mixture           Gaussian mixtures, whose scores are known exactly
       >>internals         shared by the three implementations: platform, vectors of each tier
       >>implementation    the functions, in the same order
       >>macros            the private ones, undefined again behind every implementation
       >>kernels           what runs once per SIMD tier, of this header and of scoresde_nn.h

   QUICK START: draw 1,000 points from a density whose score is known, by running the reverse-time VP SDE. No network.

       #define SCORESDE_IMPLEMENTATION
       #include "scoresde.h"
       #include "scoresde_solvers.h"
       #include <stdio.h>
       #include <stdlib.h>

       static ssde_context context; // receives the text of an error

       static void check(ssde_status status) {
           if (status == SSDE_OK) return;
           fprintf(stderr, "%s: %s\n", ssde_status_text(status), context.error);
           exit(1);
       }

       int main(void) {
           static float x[1000 * 2];
           ssde_sde sde = ssde_vp(0.1, 20.0); // also ssde_ve, ssde_subvp, ssde_rectified_flow, ssde_affine
           ssde_rng rng = ssde_rng_seed(42);

           ssde_mixture *ring; // eight Gaussians on a circle
           check(ssde_ring_create(&context, &ring, 8, 1.0, 0.1));
           ssde_score_model model = ssde_mixture_model(ring, &sde);

           ssde_sampler_desc how = ssde_sampler_defaults(); // the paper's predictor and corrector for this SDE
           how.context = &context;
           check(ssde_sample(&sde, &model, &how, &rng, 1000, x));
           for (int i = 0; i < 5; i++) printf("%6.3f %6.3f\n", x[2 * i], x[2 * i + 1]);

           ssde_mixture_destroy(ring);
           return 0;
       }

   CONVENTIONS
       Tensors are float, row-major; images are NHWC. Times, schedules and log-densities are double.
       Time runs from 0 (data) to T = 1 (noise).
       Every function that can fail returns ssde_status; the text of the last error is in context->error. Where the
       object or description that holds the context is itself NULL, the status is SSDE_ERROR_ARGUMENT and says it alone.
       A NULL context means malloc, silence, the best SIMD tier and OpenMP where the compiler has it switched on.

   DESCRIPTIONS
       What an object or a call is to do stands in a plain struct. A constructor fills it, and the program changes what
       differs: ssde_sampler_desc how = ssde_sampler_defaults(); how.steps = 100. Constructors are called
       ssde_..._defaults, or as what they make (ssde_ddpmpp, ssde_mlp, ssde_vp, ssde_inpaint, ssde_batch_of). Zeros, as
       of a struct in static memory, are the defaults too, but for networks, runs and training; and so is NULL where it
       is allowed.
       Creating an object copies the struct. What pointers in it lead to (context, user, known, mask, next, times,
       schedule, ...) is not copied: it stays, unchanged, until the object is destroyed, or where none was created,
       until the call returns. Arrays among a call's arguments are not looked at after it returns.

   MEMORY
       An object takes all it needs when it is created, a call when it begins. ssde_..._memory tells, for nothing and to
       the byte, what that asks of the context's allocator (or malloc), from those arguments of the creation or the call
       that decide it, in their order; 0 where they are invalid. `batch` is 1 for the functions that say _batch. What
       belongs to other objects, a model or a network, is not in it.

   DETERMINISM
       Sample i is the same, bit for bit, whatever the batch size, the number of threads, the process, the compiler, the
       optimisation level, the C library and the processor, on the same SIMD tier. Random words, uniforms and normals
       are the same on every tier. Of libm only what is exact by definition is called (sqrt, floor, ldexp, ...); exp,
       log, sin and their like are the library's own.
       Contraction of a*b+c is off inside the implementation. Flags that break arithmetic are refused: those that a
       macro announces when compiling (-ffast-math and, by gcc 12 or later, its parts; x87 registers, on 32-bit x86
       without -msse2 -mfpmath=sse), others (clang's -ffp-contract=fast, parts of -ffast-math elsewhere) by an error of
       every calculation, which names the flag. Assumed of the running thread and not checked: rounding to nearest, and
       subnormal numbers not flushed to zero. Files are written and read the same under any rounding mode.

   THREADS
       One context, and one object made with it, is used by one thread at a time. There are no mutable globals but what
       is found once: the CPU's features, and that the compiler left arithmetic as it is written. Calls on several
       threads may share what they only read (SDEs, descriptions, conditions, networks); each has a context, models and
       runs of its own.
       Calls take less than 40 kB of their thread's stack; 80 kB where clang compiles without optimisation.
       A loop's work is cut into pieces that the threads claim one by one, so that one that the system has taken off its
       core holds up no more than the piece it has. Under OpenMP a pass of a network, forward or backward, is one
       parallel region; within it threads that wait let others go first. Between regions they do what OpenMP makes them,
       which is to spin for some milliseconds, with OMP_WAIT_POLICY=passive to sleep. Called from within a parallel
       region, where OpenMP lends no more threads, a pass is done by its caller alone.
       Callbacks (log, allocate, release, progress, noise, score functions, an SDE's) are called by the calling thread
       alone, and outside of any region of the library's.
*/
#if !defined(SSDEI_MACROS) && !defined(SSDEI_EACH_TIER) /* set where the file includes itself: >>macros, >>kernels */

#ifndef SCORESDE_H
#define SCORESDE_H

#define SCORESDE_VERSION_MAJOR 0
#define SCORESDE_VERSION_MINOR 1
#define SCORESDE_VERSION_PATCH 0

/* >>configuration
   SCORESDE_IMPLEMENTATION       this file gets the implementation of every scoresde header it includes
   SCORESDE_CORE_IMPLEMENTATION  ... of scoresde.h only; likewise SCORESDE_NN_IMPLEMENTATION and
                                 SCORESDE_SOLVERS_IMPLEMENTATION, for one file each
   SCORESDE_NO_SIMD              portable C only; where the implementation is
   SCORESDE_PARALLEL_FOR(count, function, argument)
                                 calls function(argument, i) once for every i < count, in any order, on any threads,
                                 and returns when all are done; where the core implementation is. Default: OpenMP under
                                 -fopenmp, else a loop. A context's parallel_for takes precedence. */

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__) || defined(_M_FP_FAST)
#error "scoresde: compile without -ffast-math, -ffinite-math-only, -Ofast or /fp:fast: they break NaN checks"
#elif defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) || defined(__NO_SIGNED_ZEROS__)
#error "scoresde: no -funsafe-math-optimizations, -fassociative-math, -freciprocal-math, -fno-signed-zeros: bits change"
#elif (defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ % 16) || (defined(_M_IX86_FP) && _M_IX86_FP < 2)
#error "scoresde: float and double must be computed as themselves: on 32-bit x86 add -msse2 -mfpmath=sse (/arch:SSE2)"
#endif

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* >>status */

/* name, text */
#define SSDE_STATUS_LIST(X)                                                 \
    X(SSDE_OK, "no error")                                                  \
    X(SSDE_ERROR_ARGUMENT, "an argument is missing or out of its range")    \
    X(SSDE_ERROR_SHAPE, "shapes do not fit each other")                     \
    X(SSDE_ERROR_MEMORY, "the allocator returned no memory")                \
    X(SSDE_ERROR_FILE, "a file cannot be opened, read or written")          \
    X(SSDE_ERROR_FORMAT, "a file's content is not what its format allows")  \
    X(SSDE_ERROR_NUMERIC, "a number is not finite")                         \
    X(SSDE_ERROR_LIMIT, "a limit on evaluations or step sizes was reached") \
    X(SSDE_ERROR_CANCELLED, "the progress callback asked to stop")          \
    X(SSDE_ERROR_UNSUPPORTED, "this combination is not supported")

#define SSDEI_STATUS_NAME(name, text) name,
typedef enum ssde_status { SSDE_STATUS_LIST(SSDEI_STATUS_NAME) SSDE_STATUS_COUNT } ssde_status;
#undef SSDEI_STATUS_NAME

/* The text of a status; never NULL. */
const char *ssde_status_text(ssde_status status);

/* >>context */

/* Instruction sets, weakest first: name, text. The implementation picks the best one that the machine has and the cap
   allows; SSDE_TIER_BEST is no cap. */
#define SSDE_TIER_LIST(X)                                   \
    X(SSDE_TIER_SCALAR, scalar) /* any machine */           \
    X(SSDE_TIER_NEON, neon)     /* aarch64 */               \
    X(SSDE_TIER_AVX2, avx2)     /* x86 with AVX2 and FMA */ \
    X(SSDE_TIER_AVX512, avx512) /* x86 with AVX-512F */

#define SSDEI_TIER_NAME(name, text) name,
typedef enum ssde_tier { SSDE_TIER_BEST, SSDE_TIER_LIST(SSDEI_TIER_NAME) SSDE_TIER_COUNT } ssde_tier;
#undef SSDEI_TIER_NAME

/* What every object and call may be given. The defaults are all zero. Objects keep the pointer: the context outlives
   them. One thread at a time. */
typedef struct ssde_context {
    /* Both or neither. Alignment as malloc's; used for every allocation. */
    void *(*allocate)(void *user, size_t size);
    void (*release)(void *user, void *pointer);
    /* Warnings and errors as they happen, one line without a newline; NULL is silence. */
    void (*log)(void *user, const char *text);
    /* Calls function(argument, i) once for every i < count, on any threads in any order; returns when all are done.
       Each call is a worker that takes work until there is none, so that a late one finds little left: count threads at
       once are best, fewer or one will do. Called once for every loop, from the calling thread. */
    void (*parallel_for)(void *user, size_t count, void (*function)(void *argument, size_t index), void *argument);
    void *user;     /* first argument of the four functions above */
    ssde_tier tier; /* the best tier that may be used; SSDE_TIER_BEST is no limit */
    int threads;    /* how many may work at once, each with its own workspace: 0 takes OpenMP's number of threads, or 16
                       where parallel_for or SCORESDE_PARALLEL_FOR is set, else 1; under OpenMP at most its number then.
                       Results do not depend on it. */
    char error[256]; /* text of the last error */
} ssde_context;
ssde_context ssde_context_defaults(void);

/* Sets context->error by printf's rules, logs it and returns status, so that callbacks can report like the library. */
ssde_status ssde_fail(ssde_context *context, ssde_status status, const char *format, ...);

/* The tier that work under this context uses, and its name ("scalar", "neon", "avx2", "avx512"). */
ssde_tier ssde_tier_used(const ssde_context *context);
const char *ssde_tier_name(ssde_tier tier);

/* Called between steps of anything long. `done` of `total` steps (total 0: unknown). Return nonzero to stop: the call
   then returns SSDE_ERROR_CANCELLED. */
typedef int (*ssde_progress_function)(void *user, size_t done, size_t total);

/* >>tensor */

enum { SSDE_MAX_RANK = 4 };

/* A shape over the caller's floats: row-major, contiguous; images are [n, height, width, channels]. Shapes broadcast as
   in NumPy: aligned at the last axis, axes of size 1 repeat. */
typedef struct ssde_tensor {
    float *data;
    int rank;                    /* 0 (a single number) to 4 */
    size_t shape[SSDE_MAX_RANK]; /* the first `rank` entries count */
} ssde_tensor;

/* Views of existing memory. */
ssde_tensor ssde_tensor_1d(float *data, size_t n);
ssde_tensor ssde_tensor_2d(float *data, size_t rows, size_t columns);
ssde_tensor ssde_tensor_4d(float *data, size_t n, size_t height, size_t width, size_t channels);
size_t ssde_tensor_count(const ssde_tensor *tensor);

/* Allocates zeroed data for the shape given; release with ssde_tensor_release, which also accepts all zeros. */
ssde_status ssde_tensor_create(ssde_context *context, ssde_tensor *tensor, int rank, const size_t *shape);
void ssde_tensor_release(ssde_context *context, ssde_tensor *tensor);

typedef enum ssde_binary_op {
    SSDE_ADD,
    SSDE_SUBTRACT,
    SSDE_MULTIPLY,
    SSDE_DIVIDE,
    SSDE_MINIMUM,
    SSDE_MAXIMUM
} ssde_binary_op;
typedef enum ssde_unary_op {
    SSDE_NEGATE,
    SSDE_ABSOLUTE,
    SSDE_SQUARE,
    SSDE_SQUARE_ROOT,
    SSDE_EXPONENTIAL,
    SSDE_LOGARITHM,
    SSDE_TANH,
    SSDE_SIGMOID
} ssde_unary_op;
typedef enum ssde_reduce_op { SSDE_SUM, SSDE_MEAN, SSDE_MIN, SSDE_MAX } ssde_reduce_op;

/* out = a (op) b. out->data is the caller's, its shape must be the broadcast shape of a and b; out may be a or b when
   it has that operand's shape. */
ssde_status ssde_tensor_binary(ssde_context *context, ssde_binary_op op, const ssde_tensor *a, const ssde_tensor *b,
                               ssde_tensor *out);
/* out = op(a), same shape; out may be a. */
ssde_status ssde_tensor_unary(ssde_context *context, ssde_unary_op op, const ssde_tensor *a, ssde_tensor *out);
/* Reduces the axes whose bit is set in axes (bit i = axis i); out has a's shape with those axes 1, or left out. NaNs
   propagate. Sums run over fixed chunks in double. */
ssde_status ssde_tensor_reduce(ssde_context *context, ssde_reduce_op op, const ssde_tensor *a, unsigned axes,
                               ssde_tensor *out);
/* out[m,n] = a[m,k] b[k,n], or of the transposes of what is stored. Rank 2. out may not overlap a or b. */
ssde_status ssde_tensor_matmul(ssde_context *context, const ssde_tensor *a, int transpose_a, const ssde_tensor *b,
                               int transpose_b, ssde_tensor *out);

/* Lays images [n,h,w,c], c 1 or 3, out in a grid with `columns` per row and `gap` pixels between, as 8-bit pixels ready
   for stbi_write_png: low becomes 0, high 255, clamped; NaN becomes 0; gaps are white. With pixels NULL only
   width and height are set. pixels: width*height*c bytes. */
ssde_status ssde_image_grid(ssde_context *context, const ssde_tensor *images, size_t columns, size_t gap, double low,
                            double high, unsigned char *pixels, int *width, int *height);

/* >>files
   Paths are UTF-8 on Windows, the system's bytes elsewhere: below 4096 bytes, as long as the system takes.
   Loading allocates tensor->data; every length is checked against the file before memory is taken.

   Saving writes a new file PATH.scoresde-XXXXXXXX.tmp (of a long name the first 100 bytes) in the same folder, flushes
   it to the disk and renames it, so that an old file is whole until the new one is; of several that save one path at
   once the last one's file stays. A failed save removes its new file; a killed process leaves it, under a name that is
   never read nor written again. The file replaced gives the new one its permissions, but not its owner; one that may
   not be written, a folder, a device or a pipe is refused. A symbolic link stays a link: what it leads to is replaced
   or created (on Windows the link is replaced). Other hard links keep the old file. */

/* .npy: versions 1 to 3, C or Fortran order (a tensor is in C order), up to 4 axes, f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8
   b1, either byte order (little-endian where none is named); rounded once, to nearest; a finite number beyond float is
   an error. Saved as <f4 in version 1.0 and C order. */
ssde_status ssde_npy_load(ssde_context *context, const char *path, ssde_tensor *tensor);
ssde_status ssde_npy_save(ssde_context *context, const char *path, const ssde_tensor *tensor);
/* IDX (MNIST, Fashion-MNIST), unsigned bytes of 1 to 4 axes; images [n,h,w] become [n,h,w,1]. Values 0..255. */
ssde_status ssde_idx_load(ssde_context *context, const char *path, ssde_tensor *tensor);
/* CIFAR-10's binary batches: records of a label byte and 3072 bytes. images [n,32,32,3], values 0..255; labels [n]
   (may be NULL). */
ssde_status ssde_cifar10_load(ssde_context *context, const char *path, ssde_tensor *images, ssde_tensor *labels);

/* A file of tensors opened for reading: names, shapes, and values as float or double. */
typedef struct ssde_tensor_file ssde_tensor_file;
typedef struct ssde_file_tensor {
    const char *name;
    const char *dtype; /* "F32", "F64", "F16", "BF16", "I64", ... */
    int rank;          /* -1: more than 8 axes */
    size_t shape[8];
    size_t count;
    int number;          /* no tensor, but a number among the objects that torch.save wrote; rank 0 */
    const char *problem; /* why its values cannot be read, "is sparse: save its to_dense()"; NULL: they can */
} ssde_file_tensor;
/* Opens safetensors, or what torch.save (PyTorch 0.1.10 and later, in an archive or not) or torch.jit.save writes,
   or the index.json of a model in several such files, by content, whatever its name. Anything else is an error that
   says what it is, if that is known (a Git LFS pointer, a page, an archive, ...), and what to do. A tensor that cannot
   be read (of another dtype, sparse, quantized, complex, an array of NumPy, ...) is there with its problem, sometimes
   with rank and count 0. Of safetensors, what the format's own reader accepts (huggingface/safetensors 24b0b28,
   0.8.0-dev), except a tensor's name that comes twice, which the format forbids.
   Of torch.save: tensors in dictionaries, lists, tuples and attributes of objects. A tensor's name is the way to it,
   "model.weight" or "ema.shadow_params.0"; a module that was saved whole has the names of its state_dict. Numbers are
   tensors of rank 0 ("I64", "F64", "BOOL"), strings are metadata, the first 65,536 of both. Nothing in the file is
   executed: classes and functions that tensors do not need are passed over, with what they would have made, as are
   names of more than 255 characters, and keys that are neither strings nor whole numbers.
   Of an index: its "weight_map", which names the files, all of them beside it, and stays open with them; a tensor that
   its file lacks, or that two files have, or that the map lacks is an error. Metadata are not read.
   Checksums are verified where the file has them: those of names, shapes and metadata here, a tensor's when it is first
   read. */
ssde_status ssde_tensor_file_open(ssde_context *context, ssde_tensor_file **file, const char *path);
void ssde_tensor_file_close(ssde_tensor_file *file); /* NULL is fine */
const char *ssde_tensor_file_path(const ssde_tensor_file *file);
size_t ssde_tensor_file_count(const ssde_tensor_file *file);
const ssde_file_tensor *ssde_tensor_file_get(const ssde_tensor_file *file, size_t index);
/* NULL if there is none of that name. */
const ssde_file_tensor *ssde_tensor_file_find(const ssde_tensor_file *file, const char *name);
/* A string of the file's metadata, or NULL. U+0000 in it, and in names, is the two bytes c0 80. */
const char *ssde_tensor_file_metadata(const ssde_tensor_file *file, const char *key);
/* values [tensor->count], the last axis fastest; from any of F16, BF16, F32, F64, F8_E4M3, F8_E5M2, F8_E8M0,
   F8_E4M3FNUZ, F8_E5M2FNUZ, I8 to I64, U8 to U64, BOOL. Rounded once, to nearest; a finite number beyond float's range
   is an error, which ssde_tensor_file_read_double does not have. */
ssde_status ssde_tensor_file_read(const ssde_tensor_file *file, const ssde_file_tensor *tensor, float *values);
ssde_status ssde_tensor_file_read_double(const ssde_tensor_file *file, const ssde_file_tensor *tensor, double *values);

/* >>random
   Philox4x32-10 (Salmon et al. 2011). key = seed; counter words = element / 4 (32 bits), step (32), sample (48 bits:
   low 32, then high 16 below), stream (16). Word element % 4 serves the element. No state: a draw is addressed, not
   taken. */

typedef enum ssde_stream {
    SSDE_STREAM_PRIOR,
    SSDE_STREAM_PREDICTOR,
    SSDE_STREAM_CORRECTOR,
    SSDE_STREAM_PROBE,
    SSDE_STREAM_TIME,
    SSDE_STREAM_NOISE,
    SSDE_STREAM_DEQUANTISATION,
    SSDE_STREAM_DROPOUT,
    SSDE_STREAM_FLIP,
    SSDE_STREAM_CONDITION,
    SSDE_STREAM_PARAMETERS,
    SSDE_STREAM_SHUFFLE,
    SSDE_STREAM_MIXTURE,
    SSDE_STREAM_CLASS,
    SSDE_STREAM_BROWNIAN,
    SSDE_STREAM_TRANSPOSE,
    SSDE_STREAM_BOOTSTRAP,
    SSDE_STREAM_SIMULATION,
    SSDE_STREAM_USER = 0x8000 /* this and above is never used by the library */
} ssde_stream;

/* A seed and the number of the next sample: a call that draws n samples takes next_sample ... next_sample + n - 1 and
   advances it, so that 4 + 4 samples equal 8, and a process takes its share of a job by setting it. */
typedef struct ssde_rng {
    uint64_t seed;
    uint64_t next_sample; /* below 2^48 */
} ssde_rng;
ssde_rng ssde_rng_seed(uint64_t seed);

/* One block of the generator. */
void ssde_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t words[4]);

/* out[rows, dim]: row r holds elements 0 ... dim-1 of sample[r] (of sample r where sample is NULL).
   words: the generator's. uniform: (word >> 8) / 2^24, in [0, 1). normal: Box-Muller on each pair of words, at most 6.7
   in size. sign: +1 or -1. The same bits on every tier. Errors: dim above 2^32, a sample number of 2^48 or more. */
ssde_status ssde_random_words(ssde_context *context, uint64_t seed, int stream, uint32_t step, const uint64_t *sample,
                              size_t rows, size_t dim, uint32_t *out);
ssde_status ssde_random_uniform(ssde_context *context, uint64_t seed, int stream, uint32_t step, const uint64_t *sample,
                                size_t rows, size_t dim, float *out);
ssde_status ssde_random_normal(ssde_context *context, uint64_t seed, int stream, uint32_t step, const uint64_t *sample,
                               size_t rows, size_t dim, float *out);
ssde_status ssde_random_sign(ssde_context *context, uint64_t seed, int stream, uint32_t step, const uint64_t *sample,
                             size_t rows, size_t dim, float *out);
/* One uniform in (0, 1) with 52 bits, from words 0 and 1 of block `element`. */
double ssde_random_double(uint64_t seed, int stream, uint32_t step, uint64_t sample, uint32_t element);

/* Draws the caller supplies instead: fills out[rows, dim] for the samples named. What a solver would have drawn from
   (stream, step, sample) is asked for under the same address. fill NULL: the library's own generator. */
typedef struct ssde_noise_source {
    ssde_status (*fill)(void *user, int stream, uint32_t step, const uint64_t *sample, size_t rows, size_t dim,
                        float *out);
    void *user;
} ssde_noise_source;

/* Uniform dequantisation of integer data 0 ... levels-1, levels 1 to 2^24, low < high: out = low + (high - low) (values
   + u) / levels, u in [0, 1) drawn under (SSDE_STREAM_DEQUANTISATION, step, sample). values and out [rows, dim], may be
   the same. */
ssde_status ssde_dequantise(ssde_context *context, uint64_t seed, uint32_t step, const uint64_t *sample,
                            const float *values, size_t rows, size_t dim, double levels, double low, double high,
                            float *out);

/* >>model
   Everything a solver knows about what computes a score. Row j belongs to sample[j]; rows may be any subset of the
   batch, so labels, masks and measurements are looked up by sample. t is per row, mostly one value repeated. `vjp`
   differentiates the last score(..., differentiate = 1) of this model, any number of times; x, t and sample stay valid
   and unchanged until then, and until `denoised` and `variance` have told of the last score. One model is used by one
   thread at a time. A function may use ssde_fail to report. */
typedef struct ssde_score_model {
    size_t dim;      /* floats per sample */
    size_t max_rows; /* most rows one call takes, 0 = any; solvers split their batch, results do not change */
    /* out[rows, dim] = grad_x log p_t(x) */
    ssde_status (*score)(void *user, const float *x, const double *t, const uint64_t *sample, size_t rows,
                         int differentiate, float *out);
    /* out[rows, dim] = v^T d score / d x; NULL where the model cannot */
    ssde_status (*vjp)(void *user, const float *v, size_t rows, float *out);
    void *user;
    /* Of the rows of the last score, any number of times, for those who ask; NULL where the model cannot.
       denoised: out[rows, dim] = E[x(0) | x(t)], what the score says nothing of where m(t) is 0.
       variance: out[rows, dim], f of a learned variance of the step from t to a time before: log variance = f log(that
       of the forward step) + (1 - f) log(the posterior's); Nichol and Dhariwal 2021 (arXiv 2102.09672, eq. 15). */
    ssde_status (*denoised)(void *user, size_t rows, float *out);
    ssde_status (*variance)(void *user, size_t rows, float *out);
} ssde_score_model;

/* gradient[rows, dim] = grad_x log p_t(y | x) of whatever samples are to be conditioned on (eq. 14); rows as above. */
typedef ssde_status (*ssde_guidance_function)(void *user, const float *x, const double *t, const uint64_t *sample,
                                              size_t rows, float *gradient);

/* >>sde
   Every family here but one is affine: dx = a(t) x dt + g(t) dw, with x(t) | x(0) ~ N(m(t) x(0), std(t)^2 I). Paper,
   section 3.4 and appendix B. Another one is another row of the implementation's table: "How to add an SDE".
     SSDE_NONLINEAR is dx = f(x, t) dt + g(t) dw, whose x(t) given x(0) nobody knows in closed form: it has no m and
   std, and what needs them (perturbing, denoising losses and Tweedie's formula, outputs other than the score, grids and
   predictors in std / m, known coordinates and measurements) is SSDE_ERROR_UNSUPPORTED. x(t) is simulated, x(0) sampled
   by Euler's methods in t (euler_maruyama, reverse_diffusion, stochastic_heun, adaptive) or the flow, and priced by the
   flow. */

typedef enum ssde_sde_kind {
    SSDE_VE,
    SSDE_VP,
    SSDE_SUBVP,
    SSDE_RECTIFIED_FLOW, /* flow matching's straight path x(t) = (1 - t) x(0) + t z */
    SSDE_TABULATED,
    SSDE_AFFINE,
    SSDE_NONLINEAR,
    SSDE_SDE_COUNT
} ssde_sde_kind;

/* A plain value; check with ssde_sde_check, as every function that takes one does. The kind's
   beta_max, sigma_min and sigma_max lie within 1e-30 ... 1e30, prior_std within 0 ... 1e30. */
typedef struct ssde_sde {
    ssde_sde_kind kind;
    double beta_min, beta_max; /* VP, sub-VP: beta(t) = beta_min + t (beta_max - beta_min); 0 <= beta_min <= beta_max */
    double sigma_min, sigma_max; /* VE: std(t) = sigma_min (sigma_max / sigma_min)^t; 0 < sigma_min < sigma_max; note
                                    std(0) = sigma_min, the paper's convention */
    int num_scales; /* the paper's N, number of steps of the discrete-time forms (SMLD, DDPM); constructors set 1000 */
    const double *level_mean, *level_std, *level_label; /* SSDE_TABULATED: [num_scales], see ssde_tabulated */
    /* SSDE_AFFINE: drift a(t) and diffusion g(t) >= 0 for t in [0, 1]; m(t) and std(t) where known, else NULL: they are
       then integrated numerically to 1e-8 relative, where a and g may jump or have an integrable singularity, or else
       SSDE_ERROR_NUMERIC says at which t. Computed in double: the rounding of floats would pass for roughness. An a
       that is no number, or a g that is none or below 0, is refused at t = 0.5 by whatever takes the SDE, and at any
       other t by what needs it there: samplers whose steps are made of m and std alone do not. */
    double (*a)(void *user, double t);
    double (*g)(void *user, double t); /* SSDE_NONLINEAR's too */
    double (*mean)(void *user, double t);
    double (*std)(void *user, double t);
    /* SSDE_NONLINEAR: out[rows, dim] = f(x, t), a row by itself, t [rows]; the same for every sample. A row that is not
       finite ends its sample. drift_vjp: out[rows, dim] = v^T df/dx, for likelihoods; NULL: they take central
       differences along v, as of models without vjp. */
    ssde_status (*drift)(void *user, const float *x, const double *t, size_t rows, size_t dim, float *out);
    ssde_status (*drift_vjp)(void *user, const float *x, const double *t, const float *v, size_t rows, size_t dim,
                             float *out);
    double prior_std; /* of x(1) under the prior; 0: std(1) (affine), sigma_max (VE), 1 (VP, sub-VP, rectified flow), or
                         none of a nonlinear SDE */
    /* Another prior than N(0, prior_std^2 I), of any kind of SDE: draws out[rows, dim] of these samples, and
       log-densities out[rows] in nats. Where one is given, what would need the other is refused. Samplers' noise source
       has no part in these draws; a flow's temperature is a factor on them. */
    ssde_status (*prior_sample)(void *user, uint64_t seed, const uint64_t *sample, size_t rows, size_t dim, float *out);
    ssde_status (*prior_log_density)(void *user, const float *x, size_t rows, size_t dim, double *out);
    void *user; /* first argument of all functions */
} ssde_sde;

ssde_sde ssde_ve(double sigma_min, double sigma_max); /* the paper: 0.01, 50 */
ssde_sde ssde_vp(double beta_min, double beta_max);   /* the paper: 0.1, 20 */
ssde_sde ssde_subvp(double beta_min, double beta_max);
/* Rectified flow (Liu et al. 2022, arXiv 2209.03003), flow matching along the optimal-transport path (Lipman et al.
   2022, arXiv 2210.02747): m(t) = 1 - t, std(t) = t. Its probability flow, dx/dt = E[z - x(0) | x(t)], is the velocity
   that both learn; their time runs the other way, from noise to data. a = -1 / (1 - t) and g^2 = 2 t / (1 - t) have no
   bounds at 1: whatever asks for them there is refused, and solvers begin at ssde_prior_time. So do times drawn by g^2
   / std^2, whose integral diverges at 1; without them the likelihood's weights have no mean. It has no discrete-time
   form, and no numbers to choose. Train SSDE_PREDICT_FLOW, _VELOCITY or _EDM: of a score or noise, near t = 1, the flow
   has the error times 1 / (1 - t), 10,000 where solvers begin. */
ssde_sde ssde_rectified_flow(void);
/* Through N = `levels` noise levels, 2 or more, from the least: at t = i / (N - 1) m is mean[i] and std is std[i],
   whose ratio s grows with i. So every sampler, ODE and likelihood runs on a discrete-time model (>>schedule), or at
   the levels of somebody else's sampler; its discrete-time form is the exact transition between neighbouring levels.
   Only std[0] and mean[N - 1] may be 0. Between levels log s is linear in t, and m constant where both ends agree (VE),
   else log(m^2 + std^2) linear (0 of VP); next to a level with std = 0 or m = 0, m and std are. So it is an SDE with
   jumps in a and g at the levels, and likelihoods are those of this one: of x(0) noised by std(0), not of the chain of
   N steps, whose bound on the likelihood is another number. label [N], NULL: i, is what a network is told at a level,
   in between in proportion. It is told nothing else, be its labels continuous or discrete. The arrays are the caller's:
   ssde_sde points to them. */
ssde_sde ssde_tabulated(const double *mean, const double *std, const double *label, int levels);
ssde_sde ssde_affine(double (*a)(void *user, double t), double (*g)(void *user, double t), void *user);
ssde_sde ssde_nonlinear(ssde_status (*drift)(void *user, const float *x, const double *t, size_t rows, size_t dim,
                                             float *out),
                        double (*g)(void *user, double t), void *user);
ssde_status ssde_sde_check(ssde_context *context, const ssde_sde *sde);

/* What is known about an SDE at a time. */
typedef struct ssde_coefficients {
    double drift;     /* a(t) */
    double diffusion; /* g(t) */
    double mean;      /* m(t) */
    double std;       /* std(t) */
} ssde_coefficients;
/* t in [0, 1]. */
ssde_status ssde_coefficients_at(ssde_context *context, const ssde_sde *sde, double t, ssde_coefficients *out);

/* x(t) = m(t) x0 + std(t) z for rows of length dim; t [rows] in [0, 1]. out may be x0 or z. A result that is not finite
   is SSDE_ERROR_NUMERIC and names its row. */
ssde_status ssde_perturb(ssde_context *context, const ssde_sde *sde, const float *x0, const float *z, const double *t,
                         size_t rows, size_t dim, float *out);
/* Drift of the reverse-time SDE, a x - g^2 score (eq. 6), or of the probability-flow ODE, a x - g^2 score / 2 (eq. 13);
   f(x, t) instead of a x where that is the drift. out may be x or score. NaNs and infinities pass through, so that one
   bad row does not end the others; those of a result alone are SSDE_ERROR_NUMERIC. */
ssde_status ssde_reverse_drift(ssde_context *context, const ssde_sde *sde, const float *x, const float *score,
                               const double *t, size_t rows, size_t dim, int probability_flow, float *out);

/* What networks with continuous labels are told of t, in [0, 1]: 999 t, of VE std(t), of a tabulated SDE its label. */
ssde_status ssde_sde_label(ssde_context *context, const ssde_sde *sde, double t, double *label);

/* One forward step of a discrete-time form: x_i = x_{i-1} + drift x_{i-1} + diffusion z. */
typedef struct ssde_step {
    double drift, diffusion;
} ssde_step;
typedef enum ssde_discretisation {
    /* VP: DDPM's x_i = sqrt(1 - beta_i) x + sqrt(beta_i) z. VE: SMLD's sqrt(sigma_i^2 - sigma_{i-1}^2) z. sub-VP:
       sqrt(1 - beta_i) x + sqrt(beta_i (1 - abar_i abar_{i-1})) z, abar_i = prod_{j<=i} (1 - beta_j), whose variance
       after i steps from a point is (1 - abar_i)^2, exactly sub-VP's with abar for its continuous counterpart. Others:
       Euler's. */
    SSDE_DISCRETISE_OWN,
    SSDE_DISCRETISE_EULER /* drift a(t) / N, diffusion g(t) sqrt(1 / N); sde_lib.py:52-69 */
} ssde_discretisation;
/* The step of index i = trunc(t (N - 1)), N = sde->num_scales, as sde_lib.py:158, t in [0, 1]; a t that is below
   i / (N - 1) by up to 4 ulp of 1 gives i, so that no rounding on the way to t picks the step before. VP and sub-VP
   need N > beta_max. */
ssde_status ssde_discretise(ssde_context *context, const ssde_sde *sde, ssde_discretisation rule, double t,
                            ssde_step *out);
/* Marginal of the discrete-time forms at index 0 <= i < N: VP sqrt(abar_i), sqrt(1 - abar_i); VE 1, sigma_i; sub-VP
   sqrt(abar_i), 1 - abar_i. Also beta_i (0 for VE). Each may be NULL. */
ssde_status ssde_discrete_marginal(ssde_context *context, const ssde_sde *sde, int i, double *mean, double *std,
                                   double *beta);

/* The prior N(0, prior_std^2 I) of x(1): its draws (stream SSDE_STREAM_PRIOR, step 0) and log-density in nats, which is
   SSDE_ERROR_NUMERIC where no double holds it. Or the SDE's own functions, and then it has no std. A nonlinear SDE with
   neither has no prior: ssde_simulate's x(1) are its starts (given_start), log-densities are refused. */
ssde_status ssde_prior_std(ssde_context *context, const ssde_sde *sde, double *std);
ssde_status ssde_prior_sample(ssde_context *context, const ssde_sde *sde, uint64_t seed, const uint64_t *sample,
                              size_t rows, size_t dim, float *out);
ssde_status ssde_prior_log_density(ssde_context *context, const ssde_sde *sde, const float *x, size_t rows, size_t dim,
                                   double *out);
/* Where x is the prior's: solvers and likelihoods begin and end there. It is 1 unless m(t) has fallen below 1e-4 min(1,
   std(t)) by then (m(1) = 0: the cosine schedule, flow matching; VP whose integral of beta is above 18.4): then it is
   the last t before that. Beyond, 1 / m and often a and g are without bounds, and x(0) = (x + std^2 score) / m loses
   its digits to the rounding of x; but x only changes its scale with std(t), so that x(t) = scale x(1). What this
   leaves out is m(t) x(0), at most 1e-4 of x(0) beside noise of std(t). m(1) = 1 (VE) is left alone: only its user
   knows what noise is large; so are nonlinear SDEs. Where mean or std are NULL and the integrals to 1 diverge, std(1)
   stands for std(t). */
ssde_status ssde_prior_time(ssde_context *context, const ssde_sde *sde, double *t, double *scale);
/* The t at which std(t) / m(t) = noise, within [s(0), s(1)], or up to s at ssde_prior_time where m(1) is 0. */
ssde_status ssde_noise_time(ssde_context *context, const ssde_sde *sde, double noise, double *t);

/* >>schedule
   The noise levels x_i = mean[i] x(0) + std[i] z of discrete-time models, 0 <= i < N: x_i = sqrt(1 - beta_i) x_{i-1} +
   sqrt(beta_i) z (paper, eq. 4), mean[i]^2 = prod_{j <= i} (1 - beta_j) = 1 - std[i]^2. */

typedef enum ssde_schedule_kind {
    SSDE_SCHEDULE_LINEAR,        /* beta_i equally spaced from beta_start to beta_end: DDPM, 1e-4 and 0.02 */
    SSDE_SCHEDULE_SCALED_LINEAR, /* their roots are: latent diffusion, 0.00085 and 0.012 */
    /* Nichol and Dhariwal 2021 (arXiv 2102.09672, eq. 17): mean[i]^2 = f(i + 1) / f(0), f(i) = cos^2((i / N + 0.008) /
       1.008 pi / 2), with betas up to 0.999: squaredcos_cap_v2 */
    SSDE_SCHEDULE_COSINE,
    SSDE_SCHEDULE_SIGMOID, /* beta_i = beta_start + (beta_end - beta_start) / (1 + exp(-u)), u from -6 to 6 */
    SSDE_SCHEDULE_BETAS,   /* given */
    SSDE_SCHEDULE_COUNT
} ssde_schedule_kind;

typedef struct ssde_schedule_desc {
    ssde_schedule_kind kind;
    int levels;                  /* N, 2 or more; 0: 1000 */
    double beta_start, beta_end; /* in (0, 1); 0: 1e-4 and 0.02 */
    const double *betas;         /* [N], in (0, 1) */
    /* mean[] shifted and scaled so that the last is 0 and the first stays (Lin et al. 2023, arXiv 2305.08891, algorithm
       1): then nothing of x(0) is left in x_{N-1}. A network has to predict data or v there: of the noise, x_{N-1} is
       all there is to say. Solvers begin at it where the model tells what is denoised (ssde_score_model.denoised) and
       the times are given, else at ssde_prior_time. */
    int zero_terminal_snr;
    int single; /* every table rounded to float as PyTorch's and diffusers' are: mean[0]^2 is off by up to 6e-8 then,
                   and std[0] by 3e-4 of itself. Theirs differ by the last place of a beta between processors */
    ssde_context *context;
} ssde_schedule_desc;
ssde_schedule_desc ssde_schedule_defaults(ssde_schedule_kind kind);
/* Fills mean and std, [N] each, for ssde_tabulated. */
ssde_status ssde_schedule_levels(const ssde_schedule_desc *desc, double *mean, double *std);
/* "linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "trained_betas": diffusers' names; else NULL, or an error
   that lists them. */
const char *ssde_schedule_name(ssde_schedule_kind kind);
ssde_status ssde_schedule_find(ssde_context *context, const char *name, ssde_schedule_kind *kind);

/* NCSNv2's rules for VE (Song and Ermon 2020, arXiv 2006.09011), by which data choose its levels and these the steps of
   annealed Langevin. Technique 1: sigma_max is the largest distance between two rows of x [n, dim], n of 2 or more, by
   n^2 dim / 2 differences: of many data, a part. sigma_min is what nobody sees: 0.01 for images in [0, 1]. */
ssde_status ssde_largest_distance(ssde_context *context, const float *x, size_t n, size_t dim, double *distance);
/* Technique 2: num_scales, so that neighbours have the ratio gamma with Phi(r + 3 gamma) - Phi(r - 3 gamma) = overlap,
   r = sqrt(2 dim) (gamma - 1): so much of a level's noise, of radius about sqrt(dim) sigma, is as usual at the next
   level. dim is 5 or more, overlap below 0.997; 0: 0.5668, which is the paper's "about 0.5" as its five numbers of
   levels have it (232 for CIFAR-10's dim 3072, 0.01 to 50; 500, 788, 1086, 2311). */
ssde_status ssde_noise_levels(ssde_context *context, size_t dim, double sigma_min, double sigma_max, double overlap,
                              int *num_scales);
/* Technique 4: the step_size for which `steps` (corrector_steps) of SSDE_PREDICTOR_SMLD at each of num_scales levels of
   this VE bring the noise of one level nearest to that of the next; *excess, which may be NULL, is the part by which
   its variance stays above it, the less the more steps. step_size is twice the paper's epsilon of 2020, whose steps are
   epsilon sigma^2 / sigma_min^2: 6.2e-6 with 5 for CIFAR-10; and so are NCSN's as run, whose 2e-5 is step_size 4e-5,
   not the 2e-5 of its paper's algorithm 1. As a Langevin corrector's, snr = sqrt(step_size) / (2 sigma_min). */
ssde_status ssde_langevin_step_size(ssde_context *context, const ssde_sde *sde, size_t steps, double *step_size,
                                    double *excess);

/* >>simulation
   dx = f(x, t) dt + g(t) dw forward, of any SDE here: how x(t) is had where no m(t) and std(t) give it. */

typedef enum ssde_scheme {
    SSDE_SCHEME_EULER_MARUYAMA, /* one drift per step. Of strong order 1, as g does not depend on x */
    SSDE_SCHEME_HEUN,           /* stochastic Heun, the trapezoid of both ends: two drifts, of strong order 1 with the
                                   smaller error; of order 2 where g is 0 */
    SSDE_SCHEME_COUNT
} ssde_scheme;

typedef struct ssde_simulation_desc {
    ssde_scheme scheme;
    size_t steps;            /* 0: 100. All of every row, whose step is (t - t0) / steps */
    double t0;               /* where x is, from 0 */
    uint32_t first_draw;     /* step k draws normals under (SSDE_STREAM_SIMULATION, first_draw + k, sample) */
    ssde_noise_source noise; /* instead of the library's draws */
    ssde_context *context;
} ssde_simulation_desc;
ssde_simulation_desc ssde_simulation_defaults(void);

/* Moves x[rows, dim] from t0 to t[rows] (NULL: 1), each t0 to 1; rows are sample[r], or sample r where it is NULL. Row
   r does not depend on the others. The drift is asked for up to 64 rows at a time. SSDE_ERROR_NUMERIC where a row stops
   being finite, with the row, the step and its t: x is then left on its way. */
ssde_status ssde_simulate(const ssde_sde *sde, const ssde_simulation_desc *how, uint64_t seed, const uint64_t *sample,
                          const double *t, size_t rows, size_t dim, float *x);
size_t ssde_simulate_memory(size_t rows, size_t dim);

/* >>loss
   Denoising score matching (eq. 7) and its discrete forms, implicit and sliced score matching, on buffers; no knowledge
   of networks. */

/* What a model's output o means. Each is a mixture of the data and the noise in x = m x0 + std z, o = target_data x0 +
   target_noise z, from which x gives back either: any of them is score, noise and denoised x0 at once. */
typedef enum ssde_parameterisation {
    SSDE_PREDICT_DEFAULT, /* under VE and nonlinear SDEs the score, under rectified flow its velocity, else the noise;
                             of networks, what they say */
    SSDE_PREDICT_SCORE,   /* -z / std */
    /* z. As of the score, its errors are times std / m in x0, and so in the flow: not for SDEs whose m(1) is 0 */
    SSDE_PREDICT_NOISE,
    SSDE_PREDICT_DATA,     /* x0 */
    SSDE_PREDICT_VELOCITY, /* m z - std x0: v of Salimans and Ho 2022 (arXiv 2202.00512) */
    /* F of Karras et al. 2022 (arXiv 2206.00364, eq. 7 and table 1): with y = x / m and sigma = std / m, x0 = c_skip y
       + c_out F(c_in y, c_noise). The target (std x0 - m sigma_data^2 z) / (sigma_data r), r^2 = std^2 + m^2
       sigma_data^2, has variance 1 at every t where the data have the variance sigma_data^2, and so has what the
       network sees, x / r. c_noise = log(sigma) / 4 is what it is told of t. */
    SSDE_PREDICT_EDM,
    SSDE_PREDICT_FLOW, /* z - x0: the velocity of the straight path of flow matching, whatever the SDE */
    SSDE_PREDICT_COUNT
} ssde_parameterisation;

/* That as coefficients at a time: o = target_data x0 + target_noise z, z = noise_output o + noise_x x, x0 = data_output
   o + data_x x. The score is -z / std. Infinite where x says nothing of x0 (m = 0: that of score and noise) or of z
   (std = 0: that of data). */
typedef struct ssde_output_map {
    double input; /* factor on x in front of the network: EDM's c_in / m, else 1 */
    double target_data, target_noise;
    double noise_output, noise_x;
    double data_output, data_x;
} ssde_output_map;
/* t in [0, 1]; sigma_data, 1e-6 to 1e6, is read for EDM alone: below 0 for an output of the other sign. */
ssde_status ssde_output_map_at(ssde_context *context, const ssde_sde *sde, ssde_parameterisation output,
                               double sigma_data, double t, ssde_output_map *map);

/* How errors count at different t, written for |z_o - z|^2, the noise that the output o stands for against what was
   added, and for |D - x0|^2 = (std / m)^2 |z_o - z|^2, of the denoised. */
typedef enum ssde_weighting {
    SSDE_WEIGHT_STD2,       /* |z_o - z|^2 = |std s + z|^2, the paper's (section 4.1) */
    SSDE_WEIGHT_LIKELIHOOD, /* (g / std)^2 |z_o - z|^2: g^2 |s + z / std|^2 (Song et al. 2021, arXiv 2101.09258) */
    SSDE_WEIGHT_OUTPUT,     /* |o - its target|^2, as data, velocity, EDM and flow are trained by their papers */
    SSDE_WEIGHT_EDM,        /* (sigma^2 + sigma_data^2) / (sigma sigma_data)^2 |D - x0|^2, sigma = std / m */
    SSDE_WEIGHT_MIN_SNR,    /* min((m / std)^2, min_snr_gamma) |D - x0|^2 (Hang et al. 2023, arXiv 2303.09556) */
    SSDE_WEIGHT_USER,       /* weight(user, t, m, std) |z_o - z|^2 */
    SSDE_WEIGHT_COUNT
} ssde_weighting;

/* How t is drawn, of continuous losses. Importance alone leaves the loss's expectation as it is; the others are weights
   of their own. Times outside [eps, 1] are moved to its end. */
typedef enum ssde_times {
    SSDE_TIMES_UNIFORM,
    /* density proportional to g^2 / std^2, of rectified flow up to ssde_prior_time, losses weighted back; not for
       SDEs of the user's functions */
    SSDE_TIMES_IMPORTANCE,
    SSDE_TIMES_LOG_NORMAL, /* log(std / m) ~ N(time_mean, time_std^2): EDM's, -1.2 and 1.2 */
    /* log(t / (1 - t)) ~ N(time_mean, time_std^2): 0 and 1 (Esser et al. 2024, arXiv 2403.03206) */
    SSDE_TIMES_LOGIT_NORMAL,
    SSDE_TIMES_USER, /* t = time(user, u), u uniform in (0, 1); in [eps, 1] */
    SSDE_TIMES_COUNT
} ssde_times;

/* Zeros are the paper's continuous loss: mean over dimensions, t uniform in [1e-5, 1]. */
typedef struct ssde_loss_desc {
    ssde_parameterisation output;
    double sigma_data; /* standard deviation of the data, for EDM's output and weight: 1e-6 to 1e6; constructors set
                          0.5, which images in [-1, 1] have */
    ssde_weighting weighting;
    double min_snr_gamma; /* 0: 5 */
    ssde_times times;
    double time_mean, time_std; /* both 0: as written at the times that have them */
    int stratified; /* the u that make the t of one step are spread evenly: those of 2^k slots in a row lie one in each
                       of 2^k equal parts of (0, 1), moved by a draw per step. Each is uniform still, the gradient's
                       mean the same. The variance of the loss that a step returns is up to 1.6 times lower; that of
                       the gradient, which z and x0 rule, is about the same. Not set: they are independent, as in the
                       reference */
    double (*weight)(void *user, double t, double mean, double std);
    double (*time)(void *user, double u);
    void *user;
    int half_sum; /* sum over dimensions / 2 instead of the mean; the reference's reduce_mean = False */
    int discrete; /* SMLD (VE) and DDPM (VP, sub-VP): t is i / (N - 1) for whole i, uniform; marginals the discrete
                     ones; no SSDE_WEIGHT_LIKELIHOOD, no EDM output; not for affine SDEs */
    double eps;   /* smallest t of the continuous losses; 0: 1e-5, of times of the user's 0 */
    ssde_context *context;
} ssde_loss_desc;
ssde_loss_desc ssde_loss_defaults(void);

/* "noise", "min_snr", "log_normal", ...: the names of the enums' values in lower case, in files and for programs'
   options; NULL for a value that is none. A name that is unknown is an error that lists those that there are. */
const char *ssde_parameterisation_name(ssde_parameterisation output);
const char *ssde_weighting_name(ssde_weighting weighting);
const char *ssde_times_name(ssde_times times);
ssde_status ssde_parameterisation_find(ssde_context *context, const char *name, ssde_parameterisation *output);
ssde_status ssde_weighting_find(ssde_context *context, const char *name, ssde_weighting *weighting);
ssde_status ssde_times_find(ssde_context *context, const char *name, ssde_times *times);

/* Draws t[rows] for slots sample[r] of training step `step` (SSDE_STREAM_TIME) and the weight that each loss must carry
   (1, but for SSDE_TIMES_IMPORTANCE). */
ssde_status ssde_loss_times(const ssde_sde *sde, const ssde_loss_desc *desc, uint64_t seed, uint32_t step,
                            const uint64_t *sample, size_t rows, double *t, double *weight);
/* The mean and std of x given x0 at t under desc (continuous or discrete); either may be NULL. */
ssde_status ssde_loss_marginal(const ssde_sde *sde, const ssde_loss_desc *desc, double t, double *mean, double *std);
/* ssde_perturb with those: xt = mean x0 + std z. t in [eps, 1], or i / (N - 1). out may be x0 or z. */
ssde_status ssde_loss_perturb(const ssde_sde *sde, const ssde_loss_desc *desc, const float *x0, const float *z,
                              const double *t, size_t rows, size_t dim, float *out);
/* losses[rows] (weighted; weight may be NULL) and, unless gradient is NULL, gradient[rows, dim] = scale * d losses[r] /
   d output[r]. output is the model's at what ssde_loss_perturb made of x0 and z. A NaN or infinity anywhere is
   SSDE_ERROR_NUMERIC and names its row. gradient may be output. */
ssde_status ssde_loss(const ssde_sde *sde, const ssde_loss_desc *desc, const float *output, const float *x0,
                      const float *z, const double *t, const double *weight, size_t rows, size_t dim, double scale,
                      double *losses, float *gradient);
/* Score matching that needs no x0 and no z, only x at t and the model's derivative: with the output's score s and J its
   derivative by x, losses[r] = weight lambda (|s|^2 + 2 v^T J v), mean over dimensions (half_sum: sum / 2). For v of
   independent signs or normals (sliced score matching with variance reduction, Song et al. 2019, arXiv 1905.07088),
   or averaged over v = sqrt(dim) e_i, i < dim (implicit, Hyvarinen 2005: the exact trace), its mean over x = m
   x0 + std z is ssde_loss's but for a constant, and so are the gradients' means, as lambda = std^2 times what desc
   gives |z_o - z|^2. Where std is 0, of data as they are, and of nonlinear SDEs, the output must be the score, and
   lambda is 1, g^2 (likelihood) or weight's, to which m and std of a nonlinear SDE are NaN. output [rows, dim] is the
   model's at x; tangent its derivative along v, both [rows, dim]. gradient and tangent_gradient (both NULL, or
   neither): scale times the derivatives by output and by tangent, whose places they may take. Errors as ssde_loss's. */
ssde_status ssde_loss_implicit(const ssde_sde *sde, const ssde_loss_desc *desc, const float *output,
                               const float *tangent, const float *x, const float *v, const double *t,
                               const double *weight, size_t rows, size_t dim, double scale, double *losses,
                               float *gradient, float *tangent_gradient);
/* Rewrites a model's output from one meaning into another, by the continuous marginals; sigma_data is read for EDM
   alone. t where std(t) > 0; from score or noise into another also where m(t) is at least 1.2e-7 min(1, std(t)): below,
   float's rounding of x outweighs what x says of x(0). out may be in or x. NaNs and infinities pass through; those of a
   result alone are SSDE_ERROR_NUMERIC. */
ssde_status ssde_convert_output(ssde_context *context, const ssde_sde *sde, ssde_parameterisation from,
                                ssde_parameterisation to, double sigma_data, const float *x, const double *t,
                                const float *in, size_t rows, size_t dim, float *out);

/* >>mixture
   A mixture of Gaussians with diagonal covariances stays one under every SDE here, component k with mean m(t) mu_k and
   variance m(t)^2 sigma_k^2 + std(t)^2: density, score and its derivative are exact at every t. Oracles for tests, and
   a first toy. */
typedef struct ssde_mixture ssde_mixture;

/* weights [components] positive (normalised here); means and stds [components, dim], -1e30 to 1e30 and 0 to 1e30, as
   in the two below. The arrays are copied. */
ssde_status ssde_mixture_create(ssde_context *context, ssde_mixture **mixture, size_t components, size_t dim,
                                const double *weights, const double *means, const double *stds);
/* One component with the same mean and std in every dimension: an isotropic Gaussian. */
ssde_status ssde_gaussian_create(ssde_context *context, ssde_mixture **mixture, size_t dim, double mean, double std);
/* `components` equal modes on a circle in the plane: the usual toy. */
ssde_status ssde_ring_create(ssde_context *context, ssde_mixture **mixture, size_t components, double radius,
                             double std);
void ssde_mixture_destroy(ssde_mixture *mixture);
/* Bytes that its context's allocator is asked for by a mixture's creation; 0 if the numbers are invalid. */
size_t ssde_mixture_memory(size_t components, size_t dim);

/* log p_t(x) in nats, [rows]; and, unless NULL, the score [rows, dim] in double. x in double, t in [0, 1]. Where a
   variance is exactly zero, or x is not finite: SSDE_ERROR_NUMERIC. */
ssde_status ssde_mixture_evaluate(ssde_mixture *mixture, const ssde_sde *sde, const double *x, const double *t,
                                  size_t rows, double *log_density, double *score);
/* Exact draws from p_0 [rows, dim] and the component each came from (may be NULL). Stream SSDE_STREAM_MIXTURE. */
ssde_status ssde_mixture_sample(ssde_mixture *mixture, ssde_rng *rng, size_t rows, float *out, int *component);
/* The mixture as a score model under a copy of *sde, with VJP; t in [0, 1]. Computed in double; in the plane in float
   where p_t(x) is above e^-8 of the highest of the components' weighted peaks, as long as all of these are within e^3
   of it, to 6e-6 of |score| + 1 / (the least standard deviation) there and 1e-7 as a rule, and in double, to 1e-6, in
   the tails. The mixture keeps that copy: a second call rebinds models made before. A row that is not finite gives NaNs
   in its row only. An sde or mixture that is not valid is refused by the model's first score. A score to be
   differentiated keeps what its vjp needs for as many rows as a quarter of a megabyte holds, model.max_rows but in the
   plane, where that is 0; longer calls are taken too, but each vjp computes the rows beyond anew, from the x and t that
   the score was given. */
ssde_score_model ssde_mixture_model(ssde_mixture *mixture, const ssde_sde *sde);

#ifdef __cplusplus
}
#endif
#endif /* SCORESDE_H */

/* >>internals
   What the three implementations share. Names begin with ssdei_ and are nobody else's business. */
#if defined(SCORESDE_IMPLEMENTATION) || defined(SCORESDE_CORE_IMPLEMENTATION) || \
    defined(SCORESDE_NN_IMPLEMENTATION) || defined(SCORESDE_SOLVERS_IMPLEMENTATION)
#ifndef SCORESDE_INTERNALS
#define SCORESDE_INTERNALS
#define SSDEI_MACROS 1
#include "scoresde.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(SSDEI_X86)
#if defined(__GNUC__) && !defined(__clang__) && defined(__cplusplus)
/* gcc 12's AVX-512 header warns about its own _mm512_undefined_ps when compiled as C++. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#else
#include <immintrin.h>
#endif
#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#elif defined(SSDEI_NEON)
#include <arm_neon.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif
SSDEI_BEGIN

/* ---- memory, errors, threads; defined in >>implementation ---- */

enum { SSDEI_ALIGNMENT = 64 };

/* Zeroed memory for count * size bytes at a 64-byte boundary; NULL with the error set on overflow or failure. */
void *ssdei_allocate(ssde_context *context, size_t count, size_t size);
void ssdei_release(ssde_context *context, void *pointer);
/* a * b; SIZE_MAX when that overflows, which no allocation grants. */
size_t ssdei_multiply(size_t a, size_t b);
/* Room for `more` further elements behind the first `used` of an array that grows. */
ssde_status ssdei_grow(ssde_context *context, void **array, size_t *capacity, size_t used, size_t more, size_t size);
/* Fills order with 0 ... count-1, sorted. */
void ssdei_sort(const void *items, size_t count, size_t *order, int (*before)(const void *items, size_t a, size_t b));

/* An object is one block: its struct, then its arrays. A function of the object names the arrays one by one,

       object->x = ssdei_place(memory, float, count);

   and runs twice: to measure them, which leaves NULL in the pointers, and to place them in the block. */
typedef struct ssdei_memory {
    char *block; /* NULL: measures */
    size_t bytes;
} ssdei_memory;
typedef void (*ssdei_arrays)(void *object, ssdei_memory *memory);
void *ssdei_memory_piece(ssdei_memory *memory, size_t count, size_t size);
/* What ssdei_object_create will ask the allocator for; SIZE_MAX if that overflows. */
size_t ssdei_object_bytes(void *object, size_t size, ssdei_arrays arrays);
/* A copy of *object with its arrays, zeroed; NULL with the error set. size 0: a block of the arrays alone, for *object
   itself. ssdei_release frees all of the block. */
void *ssdei_object_create(ssde_context *context, void *object, size_t size, ssdei_arrays arrays);

/* Threads. A team is those that work for one object or call: the caller, worker 0, and what OpenMP or the user's
   parallel-for lends. A loop's work is cut into one share per worker, and a share into pieces, which whoever is free
   claims: of its own share first, whose data its cache may have, then of the others'. So a worker that the system has
   taken off its core delays at most the piece that it holds; and results depend on no cut, since nobody knows who will
   be there. */
enum { SSDEI_MOST_SHARES = 32 };
typedef struct ssdei_worker ssdei_worker;
typedef void (*ssdei_worker_function)(void *argument, ssdei_worker *worker);
typedef struct ssdei_team_share {
    size_t next, end; /* in chunks; claimed are those before `next` */
    unsigned char line[64 - 2 * sizeof(size_t)];
} ssdei_team_share;
typedef struct ssdei_team {
    ssde_context *context;
    size_t workers; /* at most; their indices are below */
    size_t present; /* in ssdei_team_run, under OpenMP; 0 outside */
    unsigned turn;  /* odd while a loop is open */
    int inside;     /* workers in the loop, without the caller */
    int gone;       /* workers who have left for good */
    ssdei_worker_function function;
    void *argument;
    size_t count, chunk, share_count;
    ssdei_team_share shares[SSDEI_MOST_SHARES];
} ssdei_team;
struct ssdei_worker {
    ssdei_team *team;
    size_t index, visited; /* its own, and how many shares it has found empty */
};
/* How many may work at once, each with a workspace of its own. */
size_t ssdei_worker_count(const ssde_context *context);
void ssdei_team_set(ssdei_team *team, ssde_context *context);
/* Calls function(argument, worker) for every worker that is there, which takes its pieces of 0 ... count - 1 with
   ssdei_next_piece until there are none; they begin at multiples of `chunk`. */
void ssdei_parallel_for(ssdei_team *team, size_t count, size_t chunk, ssdei_worker_function function, void *argument);
int ssdei_next_piece(ssdei_worker *worker, size_t *begin, size_t *end);
/* Calls function(argument) on this thread, during which OpenMP's threads stay and serve every loop of the team: to come
   and to leave costs a turn of the system's scheduler where other programs want their cores. Nothing of the user's may
   be called meanwhile: it may have threads of its own. */
void ssdei_team_run(ssdei_team *team, void (*function)(void *argument), void *argument);

/* Whether a number is whole and from least to most; NaN is not. */
int ssdei_is_whole(double value, double least, double most);
/* Index of the first element that is not finite, or count. */
size_t ssdei_first_nonfinite(const float *values, size_t count);
/* Data are mapped to [low, high], floats; what comes before "low" in the text names the caller. */
ssde_status ssdei_check_interval(ssde_context *context, const char *before, double low, double high);
/* Logs where data x[count], mapped to [low, high] if levels is not 0, are not near the prior at t = 1. */
void ssdei_warn_scale(ssde_context *context, const char *name, const ssde_sde *sde, const float *x, size_t count,
                      double levels, double low, double high);
/* What an output means; DEFAULT is the family's. sigma_data and output are checked. */
ssde_parameterisation ssdei_output_of(const ssde_sde *sde, ssde_parameterisation output);
void ssdei_output_map(ssde_parameterisation output, double sigma_data, double mean, double std, ssde_output_map *map);
/* The names of the enums' values; NULL behind the last. */
extern const char *const ssdei_parameterisation_names[SSDE_PREDICT_COUNT + 1];
extern const char *const ssdei_weighting_names[SSDE_WEIGHT_COUNT + 1];
extern const char *const ssdei_times_names[SSDE_TIMES_COUNT + 1];
/* `where` names the caller's description. */
ssde_status ssdei_output_check(ssde_context *context, const char *where, ssde_parameterisation output,
                               double sigma_data);
/* s = std / m, where it is a finite number. */
ssde_status ssdei_noise_level(ssde_context *context, const ssde_sde *sde, double t, double *noise);
/* The t at which s is `noise`, s(0) < noise < s(high), high at most ssde_prior_time's. */
ssde_status ssdei_noise_time(ssde_context *context, const ssde_sde *sde, double noise, double high, double *t);
/* A loss that this SDE has; `where` names the caller's description of it. */
ssde_status ssdei_loss_check(const ssde_sde *sde, const ssde_loss_desc *desc, const char *where);
/* The noise level at t, trunc(t (N - 1)). */
int ssdei_step_index(const ssde_sde *sde, double t);
/* a(t) and g(t), finite and g >= 0, of an SDE that is checked, t in [0, 1]. */
ssde_status ssdei_rates(ssde_context *context, const ssde_sde *sde, double t, double *drift, double *diffusion);
/* m(t) and std(t) likewise: they exist where a and g may have no bounds; but of SSDE_NONLINEAR, whose a above is 0,
   they are refused. */
ssde_status ssdei_marginal(ssde_context *context, const ssde_sde *sde, double t, double *mean, double *std);
/* out[rows, dim] = f(x, t) of any of them, t [rows]; out is not x. Rows that are not finite pass through. */
ssde_status ssdei_drift(ssde_context *context, const ssde_sde *sde, const float *x, const double *t, size_t rows,
                        size_t dim, float *out);
/* ssde_simulate of arguments that are checked, how without open defaults. Each work has room for [min(rows,
   SSDEI_SIMULATED), dim]; the third is Heun's alone. */
enum { SSDEI_SIMULATED = 64 };
ssde_status ssdei_simulate(const ssde_sde *sde, const ssde_simulation_desc *how, uint64_t seed, const uint64_t *sample,
                           const double *t, size_t rows, size_t dim, float *const work[3], float *x);
/* Whether the SDE has a prior to draw from, or one with a density. */
ssde_status ssdei_prior_check(ssde_context *context, const ssde_sde *sde, int density);
/* The status of a function of the caller's, with a text where it left none. t may be NULL. */
ssde_status ssdei_called(ssde_context *context, const char *function, ssde_status status, const double *t);
/* Normals from the source, or without one the library's. */
ssde_status ssdei_draw_normal(ssde_context *context, const ssde_noise_source *source, uint64_t seed, int stream,
                              uint32_t step, const uint64_t *sample, size_t rows, size_t dim, float *out);

/* Where ssde_sde has a number of a family, and its name in files, "model." before it. */
typedef struct ssdei_sde_number {
    const char *name;
    size_t offset;
} ssdei_sde_number;

/* The discrete-time models of section 2 whose limit an SDE can be. */
typedef enum ssdei_chain { SSDEI_CHAIN_NONE, SSDEI_CHAIN_SMLD, SSDEI_CHAIN_DDPM } ssdei_chain;

/* All that a kind of SDE is. Functions get an SDE that is checked, t in [0, 1] and i from 0 to num_scales - 1; what
   they compute is checked by those that call them. */
typedef struct ssdei_sde_family {
    const char *name;                /* in checkpoints; with "sde" behind it in models */
    const ssdei_sde_number *numbers; /* up to a name of NULL; NULL: made of the user's functions, which no file holds */
    int exploding; /* variance exploding: x(0) keeps its scale, and std(1) is about the largest distance within the
                      data. As in the reference, labels then go by sigma from the largest down, and data lie in [0,
                      1]; else labels go by t, and data lie in [-1, 1]. Other defaults differ too: of training, and
                      of the sampler. */
    ssdei_chain chain;
    ssde_status (*check)(ssde_context *context, const ssde_sde *sde);
    void (*rates)(const ssde_sde *sde, double t, double *drift, double *diffusion);
    ssde_status (*marginal)(ssde_context *context, const ssde_sde *sde, double t, double *mean, double *std);
    double (*prior_std)(const ssde_sde *sde); /* NULL: std(1) */
    /* The discrete-time form: its step from i - 1 to i, its marginal, and beta_i. step and level NULL: there is none,
       steps are Euler's; beta NULL: 0. */
    ssde_status (*step)(ssde_context *context, const ssde_sde *sde, int i, ssde_step *step);
    ssde_status (*level)(ssde_context *context, const ssde_sde *sde, int i, double *mean, double *std);
    ssde_status (*beta)(ssde_context *context, const ssde_sde *sde, int i, double *beta);
    /* At the quantile u, 0 to 1, of the density proportional to g^2 / std^2 on [eps, 1], or up to ssde_prior_time where
       it has no integral: t, and the uniform density over it. NULL: not available. */
    ssde_status (*importance)(ssde_context *context, const ssde_sde *sde, double eps, double u, double *t,
                              double *weight);
    float (*label)(const ssde_sde *sde, double t); /* what networks are told of t, in the reference's arithmetic */
    double (*noise_time)(const ssde_sde *sde, double noise); /* the t where std / m is `noise`; NULL: found by search */
    int even; /* std / m is about t where it is small, and goes without bounds at 1: grids in t suit it, log-SNR's do
                 not */
    ssde_parameterisation output; /* what networks give where nobody says */
} ssdei_sde_family;
/* Of a kind that is none: all zero. */
const ssdei_sde_family *ssdei_family(const ssde_sde *sde);

/* ---- mathematics: functions whose bits depend on no libm; defined in >>implementation ----
   C libraries return different last bits, glibc's even with the processor: it chooses between code with and without
   FMA. What results depend on is therefore made here of sums, products and quotients of double alone, and of what is
   exact by definition: sqrt, floor, fmod, frexp, ldexp. Errors are the largest found over millions of arguments of
   every magnitude. */

double ssdei_math_exp(double x);           /* 0.61 ulp, 0.76 where the result is subnormal */
double ssdei_math_expm1(double x);         /* 0.90 ulp */
double ssdei_math_log(double x);           /* 0.51 ulp */
double ssdei_math_log1p(double x);         /* 0.67 ulp */
double ssdei_math_pow(double x, double y); /* x >= 0, else NaN; 1.6 ulp, 0.7 where |y ln(x)| < 50 */
/* 0.89 ulp for |x| <= 2^50; beyond, where neighbouring floats are many turns apart, those of an angle within half an
   ulp of x. */
double ssdei_math_sin(double x);
double ssdei_math_cos(double x);
/* The x below which a standard normal is with probability p, 0 < p < 1; 1.5e-15 of x. */
double ssdei_math_normal_quantile(double p);
double ssdei_math_atan2(double y, double x); /* 7 ulp; the squares of x and y neither overflow nor vanish */
/* The same in float: computed in double, rounded once. */
SSDEI_INLINE float ssdei_math_expf(float x) { return (float)ssdei_math_exp(x); }
SSDEI_INLINE float ssdei_math_expm1f(float x) { return (float)ssdei_math_expm1(x); }
SSDEI_INLINE float ssdei_math_logf(float x) { return (float)ssdei_math_log(x); }
SSDEI_INLINE float ssdei_math_log1pf(float x) { return (float)ssdei_math_log1p(x); }
float ssdei_math_tanhf(float x);
SSDEI_INLINE float ssdei_math_sinf(float x) { return (float)ssdei_math_sin(x); }
SSDEI_INLINE float ssdei_math_cosf(float x) { return (float)ssdei_math_cos(x); }

/* ---- files ---- */

/* The whole file, allocated from the context. */
ssde_status ssdei_file_read(ssde_context *context, const char *path, unsigned char **bytes, size_t *size);
/* The same of one that begins as a JSON object; else the error says what the file is. */
ssde_status ssdei_file_read_json(ssde_context *context, const char *path, unsigned char **bytes, size_t *size);
/* ssde_tensor_file_read of steps first ... first + rows - 1 of the first axis, of a tensor that has values. */
ssde_status ssdei_tensor_read_rows(const ssde_tensor_file *file, const ssde_file_tensor *tensor, size_t first,
                                   size_t rows, float *values);

/* Text that grows; the first failure is kept and later calls do nothing. data ends in NUL once anything was added. */
typedef struct ssdei_text {
    ssde_context *context;
    char *data;
    size_t size, capacity;
    ssde_status status;
} ssdei_text;
void ssdei_text_add_bytes(ssdei_text *text, const char *bytes, size_t count);
void ssdei_text_add(ssdei_text *text, const char *string);
void ssdei_text_add_unsigned(ssdei_text *text, uint64_t value);
void ssdei_text_add_double(ssdei_text *text, double value);
void ssdei_text_add_string(ssdei_text *text, const char *string);
void ssdei_text_release(ssdei_text *text);

/* A cursor over JSON (RFC 8259) that need not end in NUL. The first problem is kept; every later call then does nothing
   and returns 0. */
typedef struct ssdei_json {
    const char *text;
    size_t size, at;
    int opened;          /* an object or array was just entered */
    const char *problem; /* NULL, or what is wrong at `at` */
} ssdei_json;
ssdei_json ssdei_json_over(const char *text, size_t size);
int ssdei_json_fail(ssdei_json *json, const char *problem);
char ssdei_json_peek(ssdei_json *json);
int ssdei_json_open(ssdei_json *json, char bracket);
int ssdei_json_next(ssdei_json *json, char bracket);
int ssdei_json_end(ssdei_json *json);
size_t ssdei_json_string(ssdei_json *json, char *out, size_t capacity);
void ssdei_json_key(ssdei_json *json, char *out, size_t capacity);
double ssdei_json_number(ssdei_json *json);
uint64_t ssdei_json_unsigned(ssdei_json *json);
int ssdei_json_word(ssdei_json *json, const char *word);
void ssdei_json_skip(ssdei_json *json);

enum {
    SSDEI_PATH_MOST = 4096,  /* bytes of a path, with its end */
    SSDEI_ASIDE_MOST = 100,  /* bytes of the final name in the name aside: file systems take 143 to 255 in all */
    SSDEI_ASIDE_SUFFIX = 24, /* .scoresde-XXXXXXXX.tmp */
    SSDEI_PIECE = 16384      /* bytes that are read or written at a time; no stack has room for them */
};

/* For CRC-32, eight bytes at a time: of[k] has each byte's share when k bytes follow it; beyond[k], of byte k of the
   register, when SSDEI_CRC_BLOCK zeros do. */
enum { SSDEI_CRC_BLOCK = 512 };
typedef struct ssdei_crc_tables {
    uint32_t of[8][256], beyond[4][256];
} ssdei_crc_tables;

/* A file being written beside its final name. Writes after a failure do nothing; commit flushes to the disk and
   renames, or removes the partial file and reports the first failure. */
typedef struct ssdei_writer {
    ssde_context *context;
    const char *path;
    char *target; /* path, or where its symbolic links lead; first in one block with the next two */
    char *aside;
    unsigned char *piece;
    FILE *file;
    ssde_status status;
} ssdei_writer;
ssde_status ssdei_writer_open(ssdei_writer *writer, ssde_context *context, const char *path);
void ssdei_writer_put(ssdei_writer *writer, const void *bytes, size_t size);
/* All is on the disk, under the name aside: of several files that belong together, each before any is committed. */
ssde_status ssdei_writer_flush(ssdei_writer *writer);
ssde_status ssdei_writer_commit(ssdei_writer *writer);
void ssdei_writer_abandon(ssdei_writer *writer);

enum { SSDEI_TENSOR_NAME_MOST = 128 }; /* with its prefix and end */

/* A tensor whose values are still to be put. */
typedef struct ssdei_declared {
    uint32_t crc;  /* of its declaration */
    size_t digits; /* where the header has the CRC of its bytes */
} ssdei_declared;

/* Writes safetensors: begin, say the metadata, declare every tensor, open, put the values of each in the same order,
   end. Only the header is held in memory. It is written twice: with its checksums when these are known. */
typedef struct ssdei_tensor_writer {
    ssdei_writer file;
    ssdei_crc_tables *tables;
    ssdei_text header, tensors; /* the metadata, then everything; the entries of the tensors */
    uint64_t data_size;
    ssdei_declared *declared;
    size_t count, capacity, put; /* of declared; how many have been put */
    uint32_t crc;                /* the header's */
    size_t digits;               /* where it has that */
    int plain;                   /* without checksums, for other programs */
} ssdei_tensor_writer;
void ssdei_tensor_writer_begin(ssdei_tensor_writer *writer, ssde_context *context);
void ssdei_tensor_writer_begin_plain(ssdei_tensor_writer *writer, ssde_context *context);
void ssdei_tensor_writer_metadata(ssdei_tensor_writer *writer, const char *key, const char *value);
void ssdei_tensor_writer_declare(ssdei_tensor_writer *writer, const char *prefix, const char *name, int rank,
                                 const size_t *shape);
ssde_status ssdei_tensor_writer_open(ssdei_tensor_writer *writer, const char *path);
void ssdei_tensor_writer_put(ssdei_tensor_writer *writer, const float *values, size_t count);
ssde_status ssdei_tensor_writer_end(ssdei_tensor_writer *writer, ssde_status status);
/* The same up to the commit, which writer->file still needs. */
ssde_status ssdei_tensor_writer_settle(ssdei_tensor_writer *writer, ssde_status status);

/* ---- kernels of one tier, filled in by >>kernels ---- */

/* The one product that convolutions, linear layers and attention are made of, for one panel of columns:
       c[row][column] = (start[row][column] + sum over q < taps, k < depth of a[row][q][offset + k] *
                         packed[q * depth + k][column] + residual[row][column]) * scale
   Rows of A are found through pointers, so that a 3x3 convolution needs no gathered copy: tap q of row r of a register
   tile is at a[(tile * taps + q) * tile_rows + r]; those that fill up the last tile point anywhere readable. Sums run
   over q, then k, in one chain of FMAs per element whatever the tile. */
typedef struct ssdei_tiles {
    size_t taps, depth;
    const float *const *a;
    size_t offset;
    const float *packed; /* rows of tile_columns */
    float *c;
    size_t stride, rows, columns; /* columns <= tile_columns */
    const float *start;           /* c to add to it; a bias, with start_stride 0; NULL: 0 */
    size_t start_stride;
    const float *residual; /* NULL: 0 */
    size_t residual_stride;
    float scale;
    size_t cold;        /* c is in no cache: while a tile's sums grow, those so many rows on are fetched; 0: none */
    const float *ahead; /* what is read next from afar: each tile fetches the next ahead_floats; NULL: nothing */
    size_t ahead_floats;
} ssdei_tiles;

/* The same without its additions, for products of many short sums: c[row][tile_columns] (+)= sum over k < depth of
   a[row][k] packed[k][tile_columns]. As few as SSDEI_ROWS_BEYOND more rows of a are read and of c written, to fill up
   the last register tile. On the way a cache line comes nearer for each k, from ahead + k * ahead_stride. */
typedef struct ssdei_strip {
    const float *a, *packed;
    size_t depth, rows, stride_a;
    float *c;
    size_t stride_c;
    int accumulate;
    const float *ahead;
    size_t ahead_stride;
} ssdei_strip;

/* Gradients by weights, for one panel of columns:
       c[row][column] = (accumulate ? c[row][column] : 0) + sum over p < count of a[p][at(row)] b[p][column]
   with at(row) = offset + row / tile_rows * tile + row % tile_rows, c added to one chain of FMAs per element. tile_rows
   floats must be readable at the start of each register tile. */
typedef struct ssdei_outer {
    size_t count, offset, tile;
    const float *const *a;
    const float *b; /* whole tile_columns must be readable */
    size_t b_stride;
    float *c;
    size_t stride, rows, columns; /* columns <= tile_columns */
    int accumulate;
    size_t next_a, next_b; /* floats from what is read to what will be, which is fetched */
} ssdei_outer;

/* The score of a Gaussian mixture in the plane at one time, for many rows side by side: sum_k r_k s_k / sum_k r_k with
   s_k = (center_k - x) precision_k, r_k = exp(e_k - common), e_k = log_scale_k - 1/2 sum_i (x - center_k)^2
   precision_k. In float where sum_k r_k, which is p_t(x) over the highest peak of a component, is above e^-8. Each r_k
   is then sure to about 8 roundings of an e_k of at most 8, where it matters, and nothing else cancels, center being
   the sum of two floats: errors stay below 6e-6 of |score| + 1 / std, 1e-7 as a rule, where rounding x to a float alone
   costs 6e-8 |x| / std of it several times. Elsewhere in double but for the exponentials. A row is computed in one or
   the other whatever its neighbours are. */
typedef struct ssdei_plane {
    size_t components, rows;
    const double *log_scale;          /* [components]: log of a component's peak */
    const double *center, *precision; /* [components, 2] */
    const float *single; /* [components, SSDEI_PLANE_SINGLES]: center, the rest of it, -precision / (2 ln 2), in pairs;
                            log_scale less the highest, over ln 2. NULL: double throughout */
    double *exponent;    /* [components, SSDEI_MAX_WIDTH], aligned: workspace */
    const float *x;      /* [rows, 2] */
    float *out;
} ssdei_plane;
enum { SSDEI_PLANE_SINGLES = 7 };
enum { SSDEI_MAX_WIDTH = 16 }; /* ssdei_width at its greatest */

/* out = H v, H = sum_k r_k e_k e_k^T - e e^T - diag(b) with e = sum_k r_k e_k, in double: the second derivative of a
   mixture's log-density along v. */
typedef struct ssdei_hessian {
    size_t components, dim, stride; /* stride: doubles from e_k to the next, whole vectors of every tier */
    const double *b, *e;            /* [stride], [components, stride], aligned, 0 beyond dim */
    const double *r;                /* [components] */
    double *along;                  /* [components]: workspace */
    const float *v;                 /* [dim] */
    float *out;                     /* may be v */
} ssdei_hessian;

typedef struct ssdei_kernels {
    ssde_tier tier;
    size_t width;     /* floats per vector */
    size_t tile_rows; /* register tile of the products */
    size_t tile_columns;
    void (*tiles)(const ssdei_tiles *work);
    void (*strip)(const ssdei_strip *work);
    void (*outer)(const ssdei_outer *work);
    /* to[(tile * count + p) * tile_rows + r] = a[p][tile * tile_rows + r], tiles that hold the first `depth` values: in
       the order that `outer` reads them. Whole tiles must be readable. */
    void (*interleave_rows)(size_t count, const float *const *a, size_t depth, float *to);
    /* to[column][row] = from[row][column] */
    void (*transpose)(const float *from, size_t from_stride, size_t rows, size_t columns, float *to, size_t to_stride);
    void (*exponential)(const float *x, float *y, size_t count);
    /* Philox words for rows x dim elements, see ssde_random_words, or the normals that they become. sample is not NULL;
       out holds words or floats. */
    void (*draw)(int normal, uint64_t seed, uint32_t stream, uint32_t step, const uint64_t *sample, size_t rows,
                 size_t dim, unsigned char *out);
    void (*plane_scores)(const ssdei_plane *work);
    void (*hessian_product)(const ssdei_hessian *work);
    /* x_next = mean + u[2] noise, mean = x + (u[0] x + u[1] score); mean may be NULL. Whether all of x_next is finite.
       No FMA: the same bits on every tier. */
    int (*update)(const float *x, const float *score, const float *noise, size_t count, const float u[3], float *x_next,
                  float *mean);
} ssdei_kernels;

/* The kernels for a context's tier; never NULL. */
const ssdei_kernels *ssdei_kernels_for(const ssde_context *context);
/* The same, or the next narrower tier's where `columns` would leave half of each tile empty. */
const ssdei_kernels *ssdei_kernels_narrow(const ssdei_kernels *kernels, size_t columns);

/* b[depth, columns], b[k][j] at b[k * row_stride + j * column_stride], as panels [ceil(columns / tile_columns)][depth]
   [tile_columns], zero beyond the last column: ssdei_packed_size floats, SIZE_MAX if that overflows. */
size_t ssdei_packed_size(const ssdei_kernels *kernels, size_t depth, size_t columns);
void ssdei_pack(const ssdei_kernels *kernels, const float *b, size_t row_stride, size_t column_stride, size_t depth,
                size_t columns, float *packed);
/* c[rows, columns] (+)= a[rows, depth] b[depth, columns], b packed; on the calling thread. Each element is one chain of
   sums along depth, so rows and columns may be divided among calls as one likes. */
void ssdei_product(const ssdei_kernels *kernels, const float *a, size_t a_stride, const float *packed, size_t rows,
                   size_t depth, size_t columns, float *c, size_t c_stride, int accumulate);

/* ---- vectors: the vocabulary that >>kernels are written in ----
   ssdei_v is a vector of ssdei_width floats, ssdei_u one of as many 32-bit words, of the tier named by SSDEI_TIER.
   >>macros lists them all. fma(a, b, c) = a * b + c rounds once where the tier has FMA, twice on the scalar tier.
   ssdei_d, double, is there for exact scores of mixtures: a sampler's step on the ring of eight takes 11 times the
   instructions where they are computed one at a time.

   To add a tier: a row of SSDE_TIER_LIST, before the tiers that beat it, and what ssdei_detect_tier must find for it;
   its name in SSDEI_TIERS and in the list of >>kernels, under the macro of its architecture, which includes the
   intrinsics; then, each with its name behind, the functions of this vocabulary, SSDEI_TARGET_..., and a row of numbers
   under "per tier", with SSDEI_MAX_WIDTH and SSDEI_MAX_TILE_... where it exceeds them. The compiler names what is
   missing; tests run every tier that the machine has. */

#define SSDEI_TIER_VALUE(name, text) ssdei_tier_##text = name,
enum { SSDE_TIER_LIST(SSDEI_TIER_VALUE) };
#undef SSDEI_TIER_VALUE
/* Which of SSDEI_TIERS work under this context uses. */
size_t ssdei_tier_index(const ssde_context *context);

/* Asks for a cache line that will be read, or written, some hundred cycles from now. */
#if defined(__GNUC__) || defined(__clang__)
SSDEI_INLINE void ssdei_prefetch(const void *address) { __builtin_prefetch(address, 0, 3); }
SSDEI_INLINE void ssdei_prefetch_far(const void *address) { __builtin_prefetch(address, 0, 2); }
SSDEI_INLINE void ssdei_prefetch_write(const void *address) { __builtin_prefetch(address, 1, 3); }
#else
SSDEI_INLINE void ssdei_prefetch(const void *address) { (void)address; }
SSDEI_INLINE void ssdei_prefetch_far(const void *address) { (void)address; }
SSDEI_INLINE void ssdei_prefetch_write(const void *address) { (void)address; }
#endif

SSDEI_INLINE int ssdei_low_byte_first(void) {
    const uint32_t one = 1;
    unsigned char first;
    memcpy(&first, &one, sizeof first);
    return first;
}

/* Whether 64-bit numbers have their low word first in memory. */
SSDEI_INLINE int ssdei_low_word_first(void) {
    const uint64_t one = 1;
    uint32_t first;
    memcpy(&first, &one, sizeof first);
    return first == 1;
}

/* scalar: one lane, any machine */
typedef float ssdei_v_scalar;
typedef uint32_t ssdei_u_scalar;
SSDEI_INLINE float ssdei_load_scalar(const float *p) { return *p; }
SSDEI_INLINE void ssdei_store_scalar(float *p, float v) { *p = v; }
SSDEI_INLINE float ssdei_load_first_scalar(const float *p, size_t n) { return n ? *p : 0.0f; }
SSDEI_INLINE void ssdei_store_first_scalar(float *p, float v, size_t n) {
    if (n) *p = v;
}
SSDEI_INLINE float ssdei_set_scalar(float x) { return x; }
SSDEI_INLINE float ssdei_add_scalar(float a, float b) { return a + b; }
SSDEI_INLINE float ssdei_sub_scalar(float a, float b) { return a - b; }
SSDEI_INLINE float ssdei_mul_scalar(float a, float b) { return a * b; }
SSDEI_INLINE float ssdei_div_scalar(float a, float b) { return a / b; }
SSDEI_INLINE float ssdei_fma_scalar(float a, float b, float c) { return a * b + c; }
SSDEI_INLINE float ssdei_vmin_scalar(float a, float b) { return a < b ? a : b; }
SSDEI_INLINE float ssdei_vmax_scalar(float a, float b) { return a > b ? a : b; }
SSDEI_INLINE float ssdei_sqrt_scalar(float a) { return sqrtf(a); }
SSDEI_INLINE float ssdei_select_less_scalar(float a, float b, float x, float y) { return a < b ? x : y; }
SSDEI_INLINE int ssdei_all_less_scalar(float a, float b) { return a < b; }
SSDEI_INLINE float ssdei_zip_low_scalar(float a, float b) { return (void)b, a; }
SSDEI_INLINE float ssdei_zip_high_scalar(float a, float b) { return (void)a, b; }
SSDEI_INLINE float ssdei_sum_scalar(float a) { return a; }
SSDEI_INLINE uint32_t ssdei_bits_scalar(float a) {
    uint32_t bits;
    memcpy(&bits, &a, sizeof bits);
    return bits;
}
SSDEI_INLINE float ssdei_float_scalar(uint32_t bits) {
    float a;
    memcpy(&a, &bits, sizeof a);
    return a;
}
SSDEI_INLINE float ssdei_from_int_scalar(uint32_t a) {
    return a < 0x80000000u ? (float)(int32_t)a : -(float)(int32_t)(0u - a); /* -2^31 never occurs */
}
SSDEI_INLINE uint32_t ssdei_to_int_scalar(float a) { /* NaN and what has no integer: 2^31, as on x86 */
    return a >= -2147483648.0f && a < 2147483648.0f ? (uint32_t)(int32_t)rintf(a) : 0x80000000u;
}
SSDEI_INLINE uint32_t ssdei_uload_scalar(const uint32_t *p) { return *p; }
SSDEI_INLINE uint32_t ssdei_uset_scalar(uint32_t a) { return a; }
SSDEI_INLINE uint32_t ssdei_uadd_scalar(uint32_t a, uint32_t b) { return a + b; }
SSDEI_INLINE uint32_t ssdei_usub_scalar(uint32_t a, uint32_t b) { return a - b; }
SSDEI_INLINE uint32_t ssdei_uand_scalar(uint32_t a, uint32_t b) { return a & b; }
SSDEI_INLINE uint32_t ssdei_uor_scalar(uint32_t a, uint32_t b) { return a | b; }
SSDEI_INLINE uint32_t ssdei_uxor_scalar(uint32_t a, uint32_t b) { return a ^ b; }
SSDEI_INLINE uint32_t ssdei_ushl_scalar(uint32_t a, int n) { return a << n; }
SSDEI_INLINE uint32_t ssdei_ushr_scalar(uint32_t a, int n) { return a >> n; }
SSDEI_INLINE uint32_t ssdei_usar_scalar(uint32_t a, int n) { return a >> n | (a >> 31 ? ~(0xffffffffu >> n) : 0u); }
typedef uint32_t ssdei_w_scalar;
SSDEI_INLINE uint32_t ssdei_apart_scalar(uint32_t a) { return a; }
SSDEI_INLINE uint32_t ssdei_together_scalar(uint32_t a) { return a; }
SSDEI_INLINE uint32_t ssdei_wmul_scalar(uint32_t a, uint32_t b, uint32_t *low) {
    uint64_t product = (uint64_t)a * b;
    *low = (uint32_t)product;
    return (uint32_t)(product >> 32);
}
SSDEI_INLINE uint32_t ssdei_wxor_scalar(uint32_t a, uint32_t b, uint32_t key) { return a ^ b ^ key; }
SSDEI_INLINE void ssdei_split_scalar(float a, float b, float *x, float *y) { *x = a, *y = b; }
SSDEI_INLINE float ssdei_join_first_scalar(float x, float y) { return (void)y, x; }
SSDEI_INLINE float ssdei_join_second_scalar(float x, float y) { return (void)x, y; }
SSDEI_INLINE void ssdei_interleave_scalar(unsigned char *to, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    memcpy(to, &a, 4);
    memcpy(to + 4, &b, 4);
    memcpy(to + 8, &c, 4);
    memcpy(to + 12, &d, 4);
}
typedef double ssdei_d_scalar;
SSDEI_INLINE double ssdei_dset_scalar(double x) { return x; }
SSDEI_INLINE double ssdei_dadd_scalar(double a, double b) { return a + b; }
SSDEI_INLINE double ssdei_dsub_scalar(double a, double b) { return a - b; }
SSDEI_INLINE double ssdei_dmul_scalar(double a, double b) { return a * b; }
SSDEI_INLINE double ssdei_ddiv_scalar(double a, double b) { return a / b; }
SSDEI_INLINE double ssdei_dmax_scalar(double a, double b) { return a > b ? a : b; }
SSDEI_INLINE double ssdei_dfma_scalar(double a, double b, double c) { return a * b + c; }
SSDEI_INLINE double ssdei_widen_scalar(float a) { return (double)a; }
SSDEI_INLINE float ssdei_narrow_scalar(double a) { return (float)a; }

/* Doubles as pairs of vectors, of the functions of one. */
#define SSDEI_PAIRS(attributes, tier, name, operation)                                    \
    attributes ssdei_d_##tier ssdei_##name##_##tier(ssdei_d_##tier a, ssdei_d_##tier b) { \
        a.low = operation(a.low, b.low), a.high = operation(a.high, b.high);              \
        return a;                                                                         \
    }
#define SSDEI_DOUBLES(attributes, tier, half, set, add, sub, mul, div, larger, fma)                     \
    typedef struct ssdei_d_##tier {                                                                     \
        half low, high;                                                                                 \
    } ssdei_d_##tier;                                                                                   \
    attributes ssdei_d_##tier ssdei_dset_##tier(double x) {                                             \
        ssdei_d_##tier a;                                                                               \
        a.low = a.high = set(x);                                                                        \
        return a;                                                                                       \
    }                                                                                                   \
    attributes ssdei_d_##tier ssdei_dfma_##tier(ssdei_d_##tier a, ssdei_d_##tier b, ssdei_d_##tier c) { \
        a.low = fma(a.low, b.low, c.low), a.high = fma(a.high, b.high, c.high);                         \
        return a;                                                                                       \
    }                                                                                                   \
    SSDEI_PAIRS(attributes, tier, dadd, add)                                                            \
    SSDEI_PAIRS(attributes, tier, dsub, sub)                                                            \
    SSDEI_PAIRS(attributes, tier, dmul, mul)                                                            \
    SSDEI_PAIRS(attributes, tier, ddiv, div)                                                            \
    SSDEI_PAIRS(attributes, tier, dmax, larger)

#ifdef SSDEI_X86
typedef __m256 ssdei_v_avx2;
typedef __m256i ssdei_u_avx2;
SSDEI_AVX2 __m256i ssdei_mask_avx2(size_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
SSDEI_AVX2 __m256 ssdei_load_avx2(const float *p) { return _mm256_loadu_ps(p); }
SSDEI_AVX2 void ssdei_store_avx2(float *p, __m256 v) { _mm256_storeu_ps(p, v); }
SSDEI_AVX2 __m256 ssdei_load_first_avx2(const float *p, size_t n) { return _mm256_maskload_ps(p, ssdei_mask_avx2(n)); }
SSDEI_AVX2 void ssdei_store_first_avx2(float *p, __m256 v, size_t n) { _mm256_maskstore_ps(p, ssdei_mask_avx2(n), v); }
SSDEI_AVX2 __m256 ssdei_set_avx2(float x) { return _mm256_set1_ps(x); }
SSDEI_AVX2 __m256 ssdei_add_avx2(__m256 a, __m256 b) { return _mm256_add_ps(a, b); }
SSDEI_AVX2 __m256 ssdei_sub_avx2(__m256 a, __m256 b) { return _mm256_sub_ps(a, b); }
SSDEI_AVX2 __m256 ssdei_mul_avx2(__m256 a, __m256 b) { return _mm256_mul_ps(a, b); }
SSDEI_AVX2 __m256 ssdei_div_avx2(__m256 a, __m256 b) { return _mm256_div_ps(a, b); }
SSDEI_AVX2 __m256 ssdei_fma_avx2(__m256 a, __m256 b, __m256 c) { return _mm256_fmadd_ps(a, b, c); }
SSDEI_AVX2 __m256 ssdei_vmin_avx2(__m256 a, __m256 b) { return _mm256_min_ps(a, b); }
SSDEI_AVX2 __m256 ssdei_vmax_avx2(__m256 a, __m256 b) { return _mm256_max_ps(a, b); }
SSDEI_AVX2 __m256 ssdei_sqrt_avx2(__m256 a) { return _mm256_sqrt_ps(a); }
SSDEI_AVX2 __m256 ssdei_select_less_avx2(__m256 a, __m256 b, __m256 x, __m256 y) {
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
SSDEI_AVX2 int ssdei_all_less_avx2(__m256 a, __m256 b) {
    return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_LT_OQ)) == 0xff;
}
SSDEI_AVX2 __m256 ssdei_zip_low_avx2(__m256 a, __m256 b) {
    return _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x20);
}
SSDEI_AVX2 __m256 ssdei_zip_high_avx2(__m256 a, __m256 b) {
    return _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x31);
}
SSDEI_AVX2 float ssdei_sum_avx2(__m256 a) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
SSDEI_AVX2 __m256i ssdei_bits_avx2(__m256 a) { return _mm256_castps_si256(a); }
SSDEI_AVX2 __m256 ssdei_float_avx2(__m256i a) { return _mm256_castsi256_ps(a); }
SSDEI_AVX2 __m256 ssdei_from_int_avx2(__m256i a) { return _mm256_cvtepi32_ps(a); }
SSDEI_AVX2 __m256i ssdei_to_int_avx2(__m256 a) { return _mm256_cvtps_epi32(a); }
SSDEI_AVX2 __m256i ssdei_uload_avx2(const uint32_t *p) { return _mm256_loadu_si256((const __m256i *)(const void *)p); }
SSDEI_AVX2 __m256i ssdei_uset_avx2(uint32_t a) { return _mm256_set1_epi32((int)a); }
SSDEI_AVX2 __m256i ssdei_uadd_avx2(__m256i a, __m256i b) { return _mm256_add_epi32(a, b); }
SSDEI_AVX2 __m256i ssdei_usub_avx2(__m256i a, __m256i b) { return _mm256_sub_epi32(a, b); }
SSDEI_AVX2 __m256i ssdei_uand_avx2(__m256i a, __m256i b) { return _mm256_and_si256(a, b); }
SSDEI_AVX2 __m256i ssdei_uor_avx2(__m256i a, __m256i b) { return _mm256_or_si256(a, b); }
SSDEI_AVX2 __m256i ssdei_uxor_avx2(__m256i a, __m256i b) { return _mm256_xor_si256(a, b); }
SSDEI_AVX2 __m256i ssdei_ushl_avx2(__m256i a, int n) { return _mm256_slli_epi32(a, n); }
SSDEI_AVX2 __m256i ssdei_ushr_avx2(__m256i a, int n) { return _mm256_srli_epi32(a, n); }
SSDEI_AVX2 __m256i ssdei_usar_avx2(__m256i a, int n) { return _mm256_srai_epi32(a, n); }
typedef __m256i ssdei_w_avx2;
SSDEI_AVX2 __m256i ssdei_apart_avx2(__m256i a) { return a; }
SSDEI_AVX2 __m256i ssdei_together_avx2(__m256i a) { return a; }
SSDEI_AVX2 __m256i ssdei_wmul_avx2(__m256i a, uint32_t b, __m256i *low) {
    const __m256i factor = _mm256_set1_epi32((int)b);
    __m256i even = _mm256_mul_epu32(a, factor), odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), factor);
    *low = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
    return _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
}
SSDEI_AVX2 __m256i ssdei_wxor_avx2(__m256i a, __m256i b, __m256i key) {
    return _mm256_xor_si256(_mm256_xor_si256(a, b), key);
}
SSDEI_AVX2 void ssdei_split_avx2(__m256 a, __m256 b, __m256 *x, __m256 *y) {
    *x = _mm256_shuffle_ps(a, b, 0x88);
    *y = _mm256_shuffle_ps(a, b, 0xdd);
}
SSDEI_AVX2 __m256 ssdei_join_first_avx2(__m256 x, __m256 y) { return _mm256_unpacklo_ps(x, y); }
SSDEI_AVX2 __m256 ssdei_join_second_avx2(__m256 x, __m256 y) { return _mm256_unpackhi_ps(x, y); }
SSDEI_AVX2 void ssdei_interleave_avx2(unsigned char *to, __m256i a, __m256i b, __m256i c, __m256i d) {
    __m256i ab_low = _mm256_unpacklo_epi32(a, b), ab_high = _mm256_unpackhi_epi32(a, b);
    __m256i cd_low = _mm256_unpacklo_epi32(c, d), cd_high = _mm256_unpackhi_epi32(c, d);
    __m256i lanes04 = _mm256_unpacklo_epi64(ab_low, cd_low), lanes15 = _mm256_unpackhi_epi64(ab_low, cd_low);
    __m256i lanes26 = _mm256_unpacklo_epi64(ab_high, cd_high), lanes37 = _mm256_unpackhi_epi64(ab_high, cd_high);
    __m256i *four = (__m256i *)(void *)to;
    _mm256_storeu_si256(four, _mm256_permute2x128_si256(lanes04, lanes15, 0x20));
    _mm256_storeu_si256(four + 1, _mm256_permute2x128_si256(lanes26, lanes37, 0x20));
    _mm256_storeu_si256(four + 2, _mm256_permute2x128_si256(lanes04, lanes15, 0x31));
    _mm256_storeu_si256(four + 3, _mm256_permute2x128_si256(lanes26, lanes37, 0x31));
}
SSDEI_DOUBLES(SSDEI_AVX2, avx2, __m256d, _mm256_set1_pd, _mm256_add_pd, _mm256_sub_pd, _mm256_mul_pd, _mm256_div_pd,
              _mm256_max_pd, _mm256_fmadd_pd)
SSDEI_AVX2 ssdei_d_avx2 ssdei_widen_avx2(__m256 v) {
    ssdei_d_avx2 a;
    a.low = _mm256_cvtps_pd(_mm256_castps256_ps128(v)), a.high = _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
    return a;
}
SSDEI_AVX2 __m256 ssdei_narrow_avx2(ssdei_d_avx2 a) {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm256_cvtpd_ps(a.low)), _mm256_cvtpd_ps(a.high), 1);
}

typedef __m512 ssdei_v_avx512;
typedef __m512i ssdei_u_avx512;
SSDEI_AVX512 __mmask16 ssdei_mask_avx512(size_t n) { return (__mmask16)((1u << n) - 1u); }
SSDEI_AVX512 __m512 ssdei_load_avx512(const float *p) { return _mm512_loadu_ps(p); }
SSDEI_AVX512 void ssdei_store_avx512(float *p, __m512 v) { _mm512_storeu_ps(p, v); }
SSDEI_AVX512 __m512 ssdei_load_first_avx512(const float *p, size_t n) {
    return _mm512_maskz_loadu_ps(ssdei_mask_avx512(n), p);
}
SSDEI_AVX512 void ssdei_store_first_avx512(float *p, __m512 v, size_t n) {
    _mm512_mask_storeu_ps(p, ssdei_mask_avx512(n), v);
}
SSDEI_AVX512 __m512 ssdei_set_avx512(float x) { return _mm512_set1_ps(x); }
SSDEI_AVX512 __m512 ssdei_add_avx512(__m512 a, __m512 b) { return _mm512_add_ps(a, b); }
SSDEI_AVX512 __m512 ssdei_sub_avx512(__m512 a, __m512 b) { return _mm512_sub_ps(a, b); }
SSDEI_AVX512 __m512 ssdei_mul_avx512(__m512 a, __m512 b) { return _mm512_mul_ps(a, b); }
SSDEI_AVX512 __m512 ssdei_div_avx512(__m512 a, __m512 b) { return _mm512_div_ps(a, b); }
SSDEI_AVX512 __m512 ssdei_fma_avx512(__m512 a, __m512 b, __m512 c) { return _mm512_fmadd_ps(a, b, c); }
SSDEI_AVX512 __m512 ssdei_vmin_avx512(__m512 a, __m512 b) { return _mm512_min_ps(a, b); }
SSDEI_AVX512 __m512 ssdei_vmax_avx512(__m512 a, __m512 b) { return _mm512_max_ps(a, b); }
SSDEI_AVX512 __m512 ssdei_sqrt_avx512(__m512 a) { return _mm512_sqrt_ps(a); }
SSDEI_AVX512 __m512 ssdei_select_less_avx512(__m512 a, __m512 b, __m512 x, __m512 y) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
}
SSDEI_AVX512 int ssdei_all_less_avx512(__m512 a, __m512 b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ) == 0xffff; }
SSDEI_AVX512 __m512 ssdei_zip_low_avx512(__m512 a, __m512 b) {
    return _mm512_permutex2var_ps(a, _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23), b);
}
SSDEI_AVX512 __m512 ssdei_zip_high_avx512(__m512 a, __m512 b) {
    return _mm512_permutex2var_ps(a, _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31),
                                  b);
}
SSDEI_AVX512 float ssdei_sum_avx512(__m512 a) {
    __m256 low = _mm512_castps512_ps256(a);
    __m256 high = _mm256_castsi256_ps(_mm512_extracti64x4_epi64(_mm512_castps_si512(a), 1));
    __m256 eight = _mm256_add_ps(low, high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
SSDEI_AVX512 __m512i ssdei_bits_avx512(__m512 a) { return _mm512_castps_si512(a); }
SSDEI_AVX512 __m512 ssdei_float_avx512(__m512i a) { return _mm512_castsi512_ps(a); }
SSDEI_AVX512 __m512 ssdei_from_int_avx512(__m512i a) { return _mm512_cvtepi32_ps(a); }
SSDEI_AVX512 __m512i ssdei_to_int_avx512(__m512 a) { return _mm512_cvtps_epi32(a); }
SSDEI_AVX512 __m512i ssdei_uload_avx512(const uint32_t *p) { return _mm512_loadu_si512((const void *)p); }
SSDEI_AVX512 __m512i ssdei_uset_avx512(uint32_t a) { return _mm512_set1_epi32((int)a); }
SSDEI_AVX512 __m512i ssdei_uadd_avx512(__m512i a, __m512i b) { return _mm512_add_epi32(a, b); }
SSDEI_AVX512 __m512i ssdei_usub_avx512(__m512i a, __m512i b) { return _mm512_sub_epi32(a, b); }
SSDEI_AVX512 __m512i ssdei_uand_avx512(__m512i a, __m512i b) { return _mm512_and_si512(a, b); }
SSDEI_AVX512 __m512i ssdei_uor_avx512(__m512i a, __m512i b) { return _mm512_or_si512(a, b); }
SSDEI_AVX512 __m512i ssdei_uxor_avx512(__m512i a, __m512i b) { return _mm512_xor_si512(a, b); }
SSDEI_AVX512 __m512i ssdei_ushl_avx512(__m512i a, int n) { return _mm512_sllv_epi32(a, _mm512_set1_epi32(n)); }
SSDEI_AVX512 __m512i ssdei_ushr_avx512(__m512i a, int n) { return _mm512_srlv_epi32(a, _mm512_set1_epi32(n)); }
SSDEI_AVX512 __m512i ssdei_usar_avx512(__m512i a, int n) { return _mm512_srav_epi32(a, _mm512_set1_epi32(n)); }
typedef struct ssdei_w_avx512 { /* in the lower halves of 64 bits; what stands above is anything */
    __m512i even, odd;
} ssdei_w_avx512;
SSDEI_AVX512 ssdei_w_avx512 ssdei_apart_avx512(__m512i a) {
    ssdei_w_avx512 words;
    words.even = a, words.odd = _mm512_srli_epi64(a, 32);
    return words;
}
SSDEI_AVX512 __m512i ssdei_together_avx512(ssdei_w_avx512 a) {
    return _mm512_mask_blend_epi32(0xaaaa, a.even, _mm512_slli_epi64(a.odd, 32));
}
SSDEI_AVX512 ssdei_w_avx512 ssdei_wmul_avx512(ssdei_w_avx512 a, uint32_t b, ssdei_w_avx512 *low) {
    const __m512i factor = _mm512_set1_epi32((int)b);
    low->even = _mm512_mul_epu32(a.even, factor), low->odd = _mm512_mul_epu32(a.odd, factor);
    a.even = _mm512_shuffle_epi32(low->even, _MM_PERM_DDBB), a.odd = _mm512_shuffle_epi32(low->odd, _MM_PERM_DDBB);
    return a;
}
SSDEI_AVX512 ssdei_w_avx512 ssdei_wxor_avx512(ssdei_w_avx512 a, ssdei_w_avx512 b, __m512i key) {
    a.even = _mm512_ternarylogic_epi32(a.even, b.even, key, 0x96);
    a.odd = _mm512_ternarylogic_epi32(a.odd, b.odd, key, 0x96);
    return a;
}
SSDEI_AVX512 void ssdei_split_avx512(__m512 a, __m512 b, __m512 *x, __m512 *y) {
    *x = _mm512_shuffle_ps(a, b, 0x88);
    *y = _mm512_shuffle_ps(a, b, 0xdd);
}
SSDEI_AVX512 __m512 ssdei_join_first_avx512(__m512 x, __m512 y) { return _mm512_unpacklo_ps(x, y); }
SSDEI_AVX512 __m512 ssdei_join_second_avx512(__m512 x, __m512 y) { return _mm512_unpackhi_ps(x, y); }
SSDEI_AVX512 void ssdei_interleave_avx512(unsigned char *to, __m512i a, __m512i b, __m512i c, __m512i d) {
    __m512i ab_low = _mm512_unpacklo_epi32(a, b), ab_high = _mm512_unpackhi_epi32(a, b);
    __m512i cd_low = _mm512_unpacklo_epi32(c, d), cd_high = _mm512_unpackhi_epi32(c, d);
    __m512i lanes0 = _mm512_unpacklo_epi64(ab_low, cd_low); /* lanes 0, 4, 8, 12 */
    __m512i lanes1 = _mm512_unpackhi_epi64(ab_low, cd_low);
    __m512i lanes2 = _mm512_unpacklo_epi64(ab_high, cd_high);
    __m512i lanes3 = _mm512_unpackhi_epi64(ab_high, cd_high);
    __m512i low01 = _mm512_shuffle_i32x4(lanes0, lanes1, 0x44); /* lanes 0, 4, 1, 5 */
    __m512i low23 = _mm512_shuffle_i32x4(lanes2, lanes3, 0x44);
    __m512i high01 = _mm512_shuffle_i32x4(lanes0, lanes1, 0xee); /* lanes 8, 12, 9, 13 */
    __m512i high23 = _mm512_shuffle_i32x4(lanes2, lanes3, 0xee);
    _mm512_storeu_si512((void *)to, _mm512_shuffle_i32x4(low01, low23, 0x88));
    _mm512_storeu_si512((void *)(to + 64), _mm512_shuffle_i32x4(low01, low23, 0xdd));
    _mm512_storeu_si512((void *)(to + 128), _mm512_shuffle_i32x4(high01, high23, 0x88));
    _mm512_storeu_si512((void *)(to + 192), _mm512_shuffle_i32x4(high01, high23, 0xdd));
}
SSDEI_DOUBLES(SSDEI_AVX512, avx512, __m512d, _mm512_set1_pd, _mm512_add_pd, _mm512_sub_pd, _mm512_mul_pd, _mm512_div_pd,
              _mm512_max_pd, _mm512_fmadd_pd)
SSDEI_AVX512 ssdei_d_avx512 ssdei_widen_avx512(__m512 v) {
    __m512d bits = _mm512_castps_pd(v);
    ssdei_d_avx512 a;
    a.low = _mm512_cvtps_pd(_mm256_castpd_ps(_mm512_castpd512_pd256(bits)));
    a.high = _mm512_cvtps_pd(_mm256_castpd_ps(_mm512_extractf64x4_pd(bits, 1)));
    return a;
}
SSDEI_AVX512 __m512 ssdei_narrow_avx512(ssdei_d_avx512 a) {
    __m256d low = _mm256_castps_pd(_mm512_cvtpd_ps(a.low)), high = _mm256_castps_pd(_mm512_cvtpd_ps(a.high));
    return _mm512_castpd_ps(_mm512_insertf64x4(_mm512_castpd256_pd512(low), high, 1));
}
#endif /* SSDEI_X86 */

#ifdef SSDEI_NEON
typedef float32x4_t ssdei_v_neon;
typedef uint32x4_t ssdei_u_neon;
SSDEI_INLINE float32x4_t ssdei_load_neon(const float *p) { return vld1q_f32(p); }
SSDEI_INLINE void ssdei_store_neon(float *p, float32x4_t v) { vst1q_f32(p, v); }
SSDEI_INLINE float32x4_t ssdei_load_first_neon(const float *p, size_t n) {
    float four[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    memcpy(four, p, n * sizeof *p);
    return vld1q_f32(four);
}
SSDEI_INLINE void ssdei_store_first_neon(float *p, float32x4_t v, size_t n) {
    float four[4];
    vst1q_f32(four, v);
    memcpy(p, four, n * sizeof *p);
}
SSDEI_INLINE float32x4_t ssdei_set_neon(float x) { return vdupq_n_f32(x); }
SSDEI_INLINE float32x4_t ssdei_add_neon(float32x4_t a, float32x4_t b) { return vaddq_f32(a, b); }
SSDEI_INLINE float32x4_t ssdei_sub_neon(float32x4_t a, float32x4_t b) { return vsubq_f32(a, b); }
SSDEI_INLINE float32x4_t ssdei_mul_neon(float32x4_t a, float32x4_t b) { return vmulq_f32(a, b); }
SSDEI_INLINE float32x4_t ssdei_div_neon(float32x4_t a, float32x4_t b) { return vdivq_f32(a, b); }
SSDEI_INLINE float32x4_t ssdei_fma_neon(float32x4_t a, float32x4_t b, float32x4_t c) { return vfmaq_f32(c, a, b); }
SSDEI_INLINE float32x4_t ssdei_vmin_neon(float32x4_t a, float32x4_t b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
SSDEI_INLINE float32x4_t ssdei_vmax_neon(float32x4_t a, float32x4_t b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
SSDEI_INLINE float32x4_t ssdei_sqrt_neon(float32x4_t a) { return vsqrtq_f32(a); }
SSDEI_INLINE float32x4_t ssdei_select_less_neon(float32x4_t a, float32x4_t b, float32x4_t x, float32x4_t y) {
    return vbslq_f32(vcltq_f32(a, b), x, y);
}
SSDEI_INLINE int ssdei_all_less_neon(float32x4_t a, float32x4_t b) { return vminvq_u32(vcltq_f32(a, b)) != 0; }
SSDEI_INLINE float32x4_t ssdei_zip_low_neon(float32x4_t a, float32x4_t b) { return vzip1q_f32(a, b); }
SSDEI_INLINE float32x4_t ssdei_zip_high_neon(float32x4_t a, float32x4_t b) { return vzip2q_f32(a, b); }
SSDEI_INLINE float ssdei_sum_neon(float32x4_t a) {
    float32x2_t two = vadd_f32(vget_low_f32(a), vget_high_f32(a));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
SSDEI_INLINE uint32x4_t ssdei_bits_neon(float32x4_t a) { return vreinterpretq_u32_f32(a); }
SSDEI_INLINE float32x4_t ssdei_float_neon(uint32x4_t a) { return vreinterpretq_f32_u32(a); }
SSDEI_INLINE float32x4_t ssdei_from_int_neon(uint32x4_t a) { return vcvtq_f32_s32(vreinterpretq_s32_u32(a)); }
SSDEI_INLINE uint32x4_t ssdei_to_int_neon(float32x4_t a) { return vreinterpretq_u32_s32(vcvtnq_s32_f32(a)); }
SSDEI_INLINE uint32x4_t ssdei_uload_neon(const uint32_t *p) { return vld1q_u32(p); }
SSDEI_INLINE uint32x4_t ssdei_uset_neon(uint32_t a) { return vdupq_n_u32(a); }
SSDEI_INLINE uint32x4_t ssdei_uadd_neon(uint32x4_t a, uint32x4_t b) { return vaddq_u32(a, b); }
SSDEI_INLINE uint32x4_t ssdei_usub_neon(uint32x4_t a, uint32x4_t b) { return vsubq_u32(a, b); }
SSDEI_INLINE uint32x4_t ssdei_uand_neon(uint32x4_t a, uint32x4_t b) { return vandq_u32(a, b); }
SSDEI_INLINE uint32x4_t ssdei_uor_neon(uint32x4_t a, uint32x4_t b) { return vorrq_u32(a, b); }
SSDEI_INLINE uint32x4_t ssdei_uxor_neon(uint32x4_t a, uint32x4_t b) { return veorq_u32(a, b); }
SSDEI_INLINE uint32x4_t ssdei_ushl_neon(uint32x4_t a, int n) { return vshlq_u32(a, vdupq_n_s32(n)); }
SSDEI_INLINE uint32x4_t ssdei_ushr_neon(uint32x4_t a, int n) { return vshlq_u32(a, vdupq_n_s32(-n)); }
SSDEI_INLINE uint32x4_t ssdei_usar_neon(uint32x4_t a, int n) {
    return vreinterpretq_u32_s32(vshlq_s32(vreinterpretq_s32_u32(a), vdupq_n_s32(-n)));
}
typedef uint32x4_t ssdei_w_neon;
SSDEI_INLINE uint32x4_t ssdei_apart_neon(uint32x4_t a) { return a; }
SSDEI_INLINE uint32x4_t ssdei_together_neon(uint32x4_t a) { return a; }
SSDEI_INLINE uint32x4_t ssdei_wmul_neon(uint32x4_t a, uint32_t b, uint32x4_t *low) {
    const uint32x4_t factor = vdupq_n_u32(b);
    uint64x2_t first = vmull_u32(vget_low_u32(a), vget_low_u32(factor));
    uint64x2_t second = vmull_high_u32(a, factor);
    *low = vuzp1q_u32(vreinterpretq_u32_u64(first), vreinterpretq_u32_u64(second));
    return vuzp2q_u32(vreinterpretq_u32_u64(first), vreinterpretq_u32_u64(second));
}
SSDEI_INLINE uint32x4_t ssdei_wxor_neon(uint32x4_t a, uint32x4_t b, uint32x4_t key) {
    return veorq_u32(veorq_u32(a, b), key);
}
SSDEI_INLINE void ssdei_split_neon(float32x4_t a, float32x4_t b, float32x4_t *x, float32x4_t *y) {
    *x = vuzp1q_f32(a, b);
    *y = vuzp2q_f32(a, b);
}
SSDEI_INLINE float32x4_t ssdei_join_first_neon(float32x4_t x, float32x4_t y) { return vzip1q_f32(x, y); }
SSDEI_INLINE float32x4_t ssdei_join_second_neon(float32x4_t x, float32x4_t y) { return vzip2q_f32(x, y); }
SSDEI_INLINE void ssdei_interleave_neon(unsigned char *to, uint32x4_t a, uint32x4_t b, uint32x4_t c, uint32x4_t d) {
    uint32x4_t ac_low = vzip1q_u32(a, c), ac_high = vzip2q_u32(a, c);
    uint32x4_t bd_low = vzip1q_u32(b, d), bd_high = vzip2q_u32(b, d);
    vst1q_u8(to, vreinterpretq_u8_u32(vzip1q_u32(ac_low, bd_low)));
    vst1q_u8(to + 16, vreinterpretq_u8_u32(vzip2q_u32(ac_low, bd_low)));
    vst1q_u8(to + 32, vreinterpretq_u8_u32(vzip1q_u32(ac_high, bd_high)));
    vst1q_u8(to + 48, vreinterpretq_u8_u32(vzip2q_u32(ac_high, bd_high)));
}
SSDEI_INLINE float64x2_t ssdei_larger_neon(float64x2_t a, float64x2_t b) { return vbslq_f64(vcgtq_f64(a, b), a, b); }
SSDEI_INLINE float64x2_t ssdei_halves_fma_neon(float64x2_t a, float64x2_t b, float64x2_t c) {
    return vfmaq_f64(c, a, b);
}
SSDEI_DOUBLES(SSDEI_INLINE, neon, float64x2_t, vdupq_n_f64, vaddq_f64, vsubq_f64, vmulq_f64, vdivq_f64,
              ssdei_larger_neon, ssdei_halves_fma_neon)
SSDEI_INLINE ssdei_d_neon ssdei_widen_neon(float32x4_t v) {
    ssdei_d_neon a;
    a.low = vcvt_f64_f32(vget_low_f32(v)), a.high = vcvt_high_f64_f32(v);
    return a;
}
SSDEI_INLINE float32x4_t ssdei_narrow_neon(ssdei_d_neon a) { return vcvt_high_f32_f64(vcvt_f32_f64(a.low), a.high); }
#endif /* SSDEI_NEON */
#undef SSDEI_PAIRS
#undef SSDEI_DOUBLES

/* Per tier: vector width, register tile of the products.
   Accumulators fill the register file but for a row of B and a broadcast of A: 6 x 2 of 16 registers, 12 x 2 of 32.
   Each step along the sum loads rows + 2 values for 2 rows FMAs: 8 for 12 and 14 for 24, so that two loads a cycle
   never wait where two FMAs do. The last rows of a product take a tile of about two thirds or one third of the height,
   whose 8 accumulators still cover an FMA's latency of 4 cycles on two units. NEON multiplies by a lane, so that a
   value of A takes one load and no broadcast: 5 rows of 4 vectors are 20 FMAs for 5 loads of A and 2 of pairs of B, and
   20 chains cover 4 units of 4 cycles. (llvm-mca 14: bound by FMAs alone, 20 cycles a step on Neoverse N1's model with
   its one unit, 6.7 on Apple's with three. A tile of 6 x 4 would be better still, but gcc 12 keeps two of its sums in
   memory.) */
#define SSDEI_NUMBERS(tier, width, rows, medium, low, vectors) \
    enum {                                                     \
        ssdei_width_##tier = width,                            \
        ssdei_tile_rows_##tier = rows,                         \
        ssdei_tile_rows_medium_##tier = medium,                \
        ssdei_tile_rows_low_##tier = low,                      \
        ssdei_tile_vectors_##tier = vectors                    \
    };
SSDEI_NUMBERS(scalar, 1, 4, 2, 1, 4)
SSDEI_NUMBERS(neon, 4, 5, 4, 2, 4)
SSDEI_NUMBERS(avx2, 8, 6, 4, 2, 2)
SSDEI_NUMBERS(avx512, 16, 12, 8, 4, 2)
#undef SSDEI_NUMBERS
enum {
    SSDEI_MAX_TILE_ROWS = 12,
    SSDEI_MAX_TILE_COLUMNS = 32,
    SSDEI_ROWS_BEYOND = 3, /* with a register tile of a fitting height */
    SSDEI_LINE = 16        /* floats of a cache line */
};

/* Vector functions of every tier: the first part of >>kernels. */
#define SSDEI_EACH_TIER "scoresde.h"
#define SSDEI_CORE_KERNELS 1
#include "scoresde.h"
#undef SSDEI_CORE_KERNELS
#undef SSDEI_EACH_TIER

/* ---- the check of arithmetic ----
   Flags that no macro announces, as clang's -ffp-contract=fast, would change results silently. */

#if defined(__GNUC__) || defined(__clang__)
SSDEI_INLINE int ssdei_load_relaxed(const int *value) { return __atomic_load_n(value, __ATOMIC_RELAXED); }
SSDEI_INLINE void ssdei_store_relaxed(int *to, int value) { __atomic_store_n(to, value, __ATOMIC_RELAXED); }
#else
SSDEI_INLINE int ssdei_load_relaxed(const int *value) { return *(const volatile int *)value; }
SSDEI_INLINE void ssdei_store_relaxed(int *to, int value) { *(volatile int *)to = value; }
#endif

/* On a tier, which uses those before it. */
static int ssdei_contracts(size_t tier) {
    int (*const contracts[])(void) = {SSDEI_TIERS(SSDEI_TIER_ITEM, ssdei_contracts)};
    int found = 0;
    do found |= contracts[tier]();
    while (tier--);
    return found;
}

/* (1 + s) - 1 is s, and 735 / 105 not 7, only where they were never computed. */
static const char *ssdei_arithmetic_flaw(size_t tier) {
    volatile double one = 1.0, little = 1.0 / 1152921504606846976.0, many = 735.0;
    volatile float little_float = 1.0f / 1073741824.0f, many_float = 735.0f;
    float one_float = (float)one;
    if (ssdei_contracts(tier)) return "a * b + c fused into one rounding: remove -ffp-contract=fast";
    if ((one + little) - one == little || (one_float + little_float) - one_float == little_float)
        return "sums in another order: remove -fassociative-math, -funsafe-math-optimizations";
    if (many / 105.0 != 7.0 || many_float / 105.0f != 7.0f)
        return "divisions replaced by products: remove -freciprocal-math, -funsafe-math-optimizations";
    return NULL;
}

/* SSDE_OK where the compiler left this file's arithmetic as it is written, found once for each tier. */
static inline ssde_status ssdei_check_arithmetic(ssde_context *context) {
    static int sound[SSDE_TIER_COUNT];
    size_t tier = ssdei_tier_index(context);
    const char *flaw;
    if (ssdei_load_relaxed(&sound[tier])) return SSDE_OK;
    flaw = ssdei_arithmetic_flaw(tier);
    if (flaw) return ssde_fail(context, SSDE_ERROR_UNSUPPORTED, "scoresde was compiled with %s", flaw);
    ssdei_store_relaxed(&sound[tier], 1);
    return SSDE_OK;
}

SSDEI_END
#ifdef __cplusplus
}
#endif
#define SSDEI_MACROS 0
#include "scoresde.h"
#endif /* SCORESDE_INTERNALS */
#endif

/* >>implementation */
#if (defined(SCORESDE_IMPLEMENTATION) || defined(SCORESDE_CORE_IMPLEMENTATION)) && !defined(SCORESDE_CORE_IMPLEMENTED)
#define SCORESDE_CORE_IMPLEMENTED
#define SSDEI_MACROS 1
#include "scoresde.h"

#include <errno.h>
#include <fenv.h>
#include <time.h>
#if defined(_WIN32)
#include <fcntl.h>
#include <io.h>
#include <sys/stat.h>
#elif defined(__unix__) || defined(__APPLE__)
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#endif
#ifdef _OPENMP
#include <omp.h>
#ifndef _WIN32
#include <sched.h>
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define SSDEI_ADDRESS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SSDEI_ADDRESS_SANITIZER
#endif
#endif
#ifdef SSDEI_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif
#if !defined(_WIN32) && (defined(__unix__) || defined(__APPLE__))
/* POSIX's, which strict C99 mode hides. Before the options below, which the system's inline definitions do not have. */
int fileno(FILE *file);
FILE *fdopen(int descriptor, const char *mode);
int fchmod(int descriptor, mode_t mode);
ssize_t readlink(const char *path, char *bytes, size_t size);
int fseeko(FILE *file, off_t offset, int origin);
off_t ftello(FILE *file);
#elif defined(_WIN32)
__declspec(dllimport) void __stdcall Sleep(unsigned long milliseconds);
#endif
SSDEI_BEGIN

/* ---- >>status ---- */

const char *ssde_status_text(ssde_status status) {
#define SSDEI_STATUS_TEXT(name, text) text,
    static const char *const texts[] = {SSDE_STATUS_LIST(SSDEI_STATUS_TEXT)};
#undef SSDEI_STATUS_TEXT
    return (unsigned)status < SSDE_STATUS_COUNT ? texts[status] : "unknown status";
}

SSDEI_ONCE_BEGIN

/* ---- >>context: errors and memory ---- */

ssde_context ssde_context_defaults(void) {
    ssde_context context;
    memset(&context, 0, sizeof context);
    return context;
}

ssde_status ssde_fail(ssde_context *context, ssde_status status, const char *format, ...) {
    char text[sizeof context->error];
    va_list arguments;
    if (!context) return status;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments); /* aside: an argument may be the last error */
    va_end(arguments);
    memcpy(context->error, text, sizeof text);
    if (context->log) (context->log)(context->user, context->error); /* <tgmath.h> has a macro log(x) */
    return status;
}

ssde_status ssdei_called(ssde_context *context, const char *function, ssde_status status, const double *t) {
    if (status == SSDE_OK || !context || context->error[0]) return status;
    if (!t) return ssde_fail(context, status, "%s returned '%s'", function, ssde_status_text(status));
    return ssde_fail(context, status, "%s returned '%s' at t = %.6g", function, ssde_status_text(status), *t);
}

/* Under AddressSanitizer the arrays of a block have red zones between them, as blocks of their own would have. */
#ifdef SSDEI_ADDRESS_SANITIZER
enum { SSDEI_RED_ZONE = SSDEI_ALIGNMENT };
static void ssdei_poison(void *pointer, size_t bytes) { ASAN_POISON_MEMORY_REGION(pointer, bytes); }
static void ssdei_unpoison(void *pointer, size_t bytes) { ASAN_UNPOISON_MEMORY_REGION(pointer, bytes); }
#else
enum { SSDEI_RED_ZONE = 0 };
static void ssdei_poison(void *pointer, size_t bytes) { (void)pointer, (void)bytes; }
static void ssdei_unpoison(void *pointer, size_t bytes) { (void)pointer, (void)bytes; }
#endif

/* One of the two functions alone would free what the other did not give. */
static int ssdei_own_memory(const ssde_context *context) { return context && context->allocate && context->release; }

/* What lies below aligned memory. */
typedef struct ssdei_header {
    void *block; /* as the allocator returned it */
    size_t bytes;
} ssdei_header;

/* What the allocator is asked for; SIZE_MAX if that overflows. */
static size_t ssdei_padded(size_t bytes) {
    const size_t padding = SSDEI_ALIGNMENT + sizeof(ssdei_header);
    return bytes < SIZE_MAX - padding ? bytes + padding : SIZE_MAX;
}

void *ssdei_allocate(ssde_context *context, size_t count, size_t size) {
    ssdei_header header = {NULL, ssdei_multiply(count, size)};
    size_t padded = ssdei_padded(header.bytes);
    int own = ssdei_own_memory(context);
    unsigned char *pointer;
    uintptr_t start;
    if (padded < SIZE_MAX) header.block = own ? context->allocate(context->user, padded) : calloc(padded, 1);
    if (!header.block) {
        ssde_fail(context, SSDE_ERROR_MEMORY, "cannot allocate %lu bytes", (unsigned long)header.bytes);
        return NULL;
    }
    start = (uintptr_t)header.block + sizeof header;
    pointer =
        (unsigned char *)header.block + sizeof header + (SSDEI_ALIGNMENT - start % SSDEI_ALIGNMENT) % SSDEI_ALIGNMENT;
    memcpy(pointer - sizeof header, &header, sizeof header);
    return own ? memset(pointer, 0, header.bytes) : pointer; /* calloc knows which pages the system has zeroed */
}

void ssdei_release(ssde_context *context, void *pointer) {
    ssdei_header header;
    if (!pointer) return;
    memcpy(&header, (unsigned char *)pointer - sizeof header, sizeof header);
    ssdei_unpoison(pointer, header.bytes);
    if (ssdei_own_memory(context))
        context->release(context->user, header.block);
    else
        free(header.block);
}

size_t ssdei_multiply(size_t a, size_t b) { return b && a > SIZE_MAX / b ? SIZE_MAX : a * b; }

void *ssdei_memory_piece(ssdei_memory *memory, size_t count, size_t size) {
    const size_t most = SIZE_MAX - SSDEI_ALIGNMENT - SSDEI_RED_ZONE;
    size_t bytes = ssdei_multiply(count, size), at = memory->bytes;
    if (bytes > most || at > most - bytes) {
        memory->bytes = SIZE_MAX;
        return NULL;
    }
    memory->bytes = at + (bytes + SSDEI_ALIGNMENT - 1) / SSDEI_ALIGNMENT * SSDEI_ALIGNMENT + SSDEI_RED_ZONE;
    if (!memory->block) return NULL;
    ssdei_poison(memory->block + at + bytes, memory->bytes - at - bytes);
    return memory->block + at;
}

static size_t ssdei_object_measure(void *object, size_t size, ssdei_arrays arrays) {
    ssdei_memory memory = {NULL, 0};
    if (size) ssdei_memory_piece(&memory, 1, size);
    if (arrays) arrays(object, &memory);
    return memory.bytes;
}

size_t ssdei_object_bytes(void *object, size_t size, ssdei_arrays arrays) {
    return ssdei_padded(ssdei_object_measure(object, size, arrays));
}

void *ssdei_object_create(ssde_context *context, void *object, size_t size, ssdei_arrays arrays) {
    ssdei_memory memory = {NULL, 0};
    memory.block = (char *)ssdei_allocate(context, ssdei_object_measure(object, size, arrays), 1);
    if (!memory.block) return NULL;
    if (size) object = memcpy(ssdei_memory_piece(&memory, 1, size), object, size);
    if (arrays) arrays(object, &memory);
    return memory.block;
}

ssde_status ssdei_grow(ssde_context *context, void **array, size_t *capacity, size_t used, size_t more, size_t size) {
    size_t wanted = used + more, doubled = *capacity < SIZE_MAX / 2 ? 2 * *capacity : SIZE_MAX;
    void *larger;
    if (wanted <= *capacity) return SSDE_OK;
    if (wanted < doubled) wanted = doubled;
    if (wanted < 16) wanted = 16;
    larger = ssdei_allocate(context, wanted, size);
    if (!larger) return SSDE_ERROR_MEMORY;
    if (used) memcpy(larger, *array, used * size);
    ssdei_release(context, *array);
    *array = larger;
    *capacity = wanted;
    return SSDE_OK;
}

/* Shell's sort with Knuth's gaps: the library's qsort may take memory of its own. */
void ssdei_sort(const void *items, size_t count, size_t *order, int (*before)(const void *items, size_t a, size_t b)) {
    size_t gap = 1, i;
    for (i = 0; i < count; i++) order[i] = i;
    while (gap < count / 3) gap = 3 * gap + 1;
    for (; gap; gap /= 3) {
        for (i = gap; i < count; i++) {
            size_t moving = order[i], j = i;
            for (; j >= gap && before(items, moving, order[j - gap]); j -= gap) order[j] = order[j - gap];
            order[j] = moving;
        }
    }
}

SSDEI_ONCE_END

/* ---- context: threads ---- */

/* Without atomics every worker takes its own share at once, and OpenMP's threads come anew for every loop. */
#if defined(__GNUC__) || defined(__clang__)
#define SSDEI_CLAIMS
#if defined(_OPENMP) && !defined(SCORESDE_PARALLEL_FOR)
#define SSDEI_STAYS
#endif
#endif

size_t ssdei_worker_count(const ssde_context *context) {
    if (context && context->threads > 0) return (size_t)context->threads;
    if (context && context->parallel_for) return 16;
#if defined(SCORESDE_PARALLEL_FOR)
    return 16;
#elif defined(_OPENMP)
    return (size_t)omp_get_max_threads();
#else
    return 1;
#endif
}

void ssdei_team_set(ssdei_team *team, ssde_context *context) {
    memset(team, 0, sizeof *team);
    team->context = context;
    team->workers = ssdei_worker_count(context);
}

/* Half of what is left of a share, so that pieces are large at first and small at last; all where nobody else can
   take it. */
static size_t ssdei_claim_chunks(const ssdei_team *team, ssdei_team_share *share, size_t *first) {
    size_t count;
#ifdef SSDEI_CLAIMS
    *first = __atomic_load_n(&share->next, __ATOMIC_RELAXED);
    do {
        count = share->end - *first;
        if (team->share_count > 1) count = (count + 1) / 2;
    } while (count &&
             !__atomic_compare_exchange_n(&share->next, first, *first + count, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
#else
    (void)team;
    *first = share->next;
    count = share->end - *first;
    share->next = share->end;
#endif
    return count;
}

int ssdei_next_piece(ssdei_worker *worker, size_t *begin, size_t *end) {
    const ssdei_team *team = worker->team;
#ifdef SSDEI_CLAIMS
    const size_t most = team->share_count;
#else
    const size_t most = 1;
#endif
    for (; worker->visited < most; worker->visited++) {
        ssdei_team_share *share = &worker->team->shares[(worker->index + worker->visited) % team->share_count];
        size_t first, count = ssdei_claim_chunks(team, share, &first);
        if (!count) continue;
        *begin = first * team->chunk;
        *end = (first + count) * team->chunk;
        if (*end > team->count) *end = team->count;
        return 1;
    }
    return 0;
}

static void ssdei_team_work(void *user, size_t index) {
    ssdei_team *team = (ssdei_team *)user;
    ssdei_worker worker;
    worker.team = team;
    worker.index = index;
    worker.visited = 0;
    team->function(team->argument, &worker);
}

#ifdef SSDEI_STAYS
#define SSDEI_TEAM_LEAVES UINT_MAX

/* Looks again at once for a while; then lets other threads of this core go first each time: what is waited for may be
   one of them. What did not pay (Xeon, Linux 6.18, another program on one of two cores): to sleep for 50 us or 1 ms at
   a time, hoping that the system moves who is waited for to the core that is left (7 to 10% slower: it rarely does). */
enum { SSDEI_PATIENCE = 10 /* microseconds: more than most steps need between their loops, less than a turn */ };
static void ssdei_team_wait(double *since) {
    double now = omp_get_wtime();
    if (*since == 0.0) *since = now;
    if ((now - *since) * 1e6 < SSDEI_PATIENCE) return;
#ifdef _WIN32
    Sleep(0);
#else
    sched_yield();
#endif
}

/* Workers other than the caller, until it is done. One that enters a loop says so before it looks whether the loop is
   open, and the caller closes the loop before it looks who is inside: one of the two sees the other. */
static void ssdei_team_serve(ssdei_team *team, size_t worker) {
    unsigned turn, served = 0;
    double since = 0.0;
    while ((turn = __atomic_load_n(&team->turn, __ATOMIC_SEQ_CST)) != SSDEI_TEAM_LEAVES) {
        if (turn % 2 == 0 || turn == served) {
            ssdei_team_wait(&since);
            continue;
        }
        __atomic_add_fetch(&team->inside, 1, __ATOMIC_SEQ_CST);
        served = __atomic_load_n(&team->turn, __ATOMIC_SEQ_CST);
        if (served % 2 && served != SSDEI_TEAM_LEAVES) ssdei_team_work(team, worker);
        __atomic_sub_fetch(&team->inside, 1, __ATOMIC_SEQ_CST);
        since = 0.0;
    }
    __atomic_add_fetch(&team->gone, 1, __ATOMIC_SEQ_CST);
}

static void ssdei_team_wait_for(const int *number, int wanted) {
    double since = 0.0;
    while (__atomic_load_n(number, __ATOMIC_SEQ_CST) != wanted) ssdei_team_wait(&since);
}

/* The caller's part of a loop, with all who are there. */
static void ssdei_team_lead(void *user) {
    ssdei_team *team = (ssdei_team *)user;
    __atomic_store_n(&team->turn, team->turn + 1, __ATOMIC_SEQ_CST);
    ssdei_team_work(team, 0);
    __atomic_store_n(&team->turn, team->turn + 1, __ATOMIC_SEQ_CST);
    ssdei_team_wait_for(&team->inside, 0);
}

/* All have left before OpenMP looks for them, who may wait less politely. */
static void ssdei_team_caller(ssdei_team *team, void (*function)(void *argument), void *argument) {
    int present = omp_get_num_threads();
    team->present = (size_t)present;
    function(argument);
    __atomic_store_n(&team->turn, SSDEI_TEAM_LEAVES, __ATOMIC_SEQ_CST);
    ssdei_team_wait_for(&team->gone, present - 1);
    team->present = 0;
}
#endif

void ssdei_team_run(ssdei_team *team, void (*function)(void *argument), void *argument) {
#ifdef SSDEI_STAYS
    int threads = omp_get_max_threads();
    if ((size_t)threads > team->workers) threads = (int)team->workers;
    if (threads > 1 && !team->present && !(team->context && team->context->parallel_for)) {
        team->turn = 0;
        team->gone = 0;
#pragma omp parallel num_threads(threads)
        {
            int worker = omp_get_thread_num();
            if (worker)
                ssdei_team_serve(team, (size_t)worker);
            else
                ssdei_team_caller(team, function, argument);
        }
        return;
    }
#else
    (void)team;
#endif
    function(argument);
}

void ssdei_parallel_for(ssdei_team *team, size_t count, size_t chunk, ssdei_worker_function function, void *argument) {
    ssde_context *context = team->context;
    size_t chunks = (count + chunk - 1) / chunk, shares = team->present ? team->present : team->workers, i;
    if (!chunks) return;
    if (shares > SSDEI_MOST_SHARES) shares = SSDEI_MOST_SHARES;
    if (shares > chunks) shares = chunks;
    team->function = function;
    team->argument = argument;
    team->count = count;
    team->chunk = chunk;
    team->share_count = shares;
    for (i = 0; i < shares; i++) {
        team->shares[i].next = chunks * i / shares;
        team->shares[i].end = chunks * (i + 1) / shares;
    }
    if (shares == 1) {
        ssdei_team_work(team, 0);
        return;
    }
    if (context && context->parallel_for) {
        context->parallel_for(context->user, shares, ssdei_team_work, team);
        return;
    }
#if defined(SCORESDE_PARALLEL_FOR)
    SCORESDE_PARALLEL_FOR(shares, ssdei_team_work, team);
#elif defined(SSDEI_STAYS)
    if (team->present)
        ssdei_team_lead(team);
    else
        ssdei_team_run(team, ssdei_team_lead, team);
#else
    {
        ptrdiff_t worker; /* OpenMP 2 wants it signed */
#ifdef _OPENMP
#pragma omp parallel for schedule(static)
#endif
        for (worker = 0; worker < (ptrdiff_t)shares; worker++) ssdei_team_work(team, (size_t)worker);
    }
#endif
}
#undef SSDEI_CLAIMS
#undef SSDEI_STAYS
#undef SSDEI_TEAM_LEAVES

SSDEI_ONCE_BEGIN

/* ---- context: SIMD tier ---- */

#ifdef SSDEI_X86
static void ssdei_cpuid(unsigned leaf, unsigned registers[4]) {
#if defined(_MSC_VER) && !defined(__clang__)
    int values[4], i;
    __cpuidex(values, (int)leaf, 0);
    for (i = 0; i < 4; i++) registers[i] = (unsigned)values[i];
#else
    memset(registers, 0, 4 * sizeof registers[0]);
    __get_cpuid_count(leaf, 0, &registers[0], &registers[1], &registers[2], &registers[3]);
#endif
}

/* The operating system must save the registers too, which only XGETBV tells. */
static unsigned ssdei_saved_state(void) {
#if defined(_MSC_VER) && !defined(__clang__)
    return (unsigned)_xgetbv(0);
#else
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
#endif
}

static ssde_tier ssdei_detect_tier(void) {
    unsigned first[4], seventh[4], saved;
    ssdei_cpuid(1, first);
    if (!(first[2] & (1u << 27)) || !(first[2] & (1u << 12))) return SSDE_TIER_SCALAR; /* OSXSAVE, FMA */
    ssdei_cpuid(7, seventh);
    saved = ssdei_saved_state();
    if ((saved & 0x6u) != 0x6u || !(seventh[1] & (1u << 5))) return SSDE_TIER_SCALAR; /* XMM and YMM, AVX2 */
    return (saved & 0xe0u) == 0xe0u && (seventh[1] & (1u << 16)) ? SSDE_TIER_AVX512 : SSDE_TIER_AVX2;
}
#elif defined(SSDEI_NEON)
static ssde_tier ssdei_detect_tier(void) { return SSDE_TIER_NEON; }
#else
static ssde_tier ssdei_detect_tier(void) { return SSDE_TIER_SCALAR; }
#endif

static const int ssdei_tiers[] = {SSDEI_TIERS(SSDEI_TIER_ITEM, ssdei_tier)};

size_t ssdei_tier_index(const ssde_context *context) {
    static int cache;
    int best = ssdei_load_relaxed(&cache);
    size_t i = sizeof ssdei_tiers / sizeof *ssdei_tiers - 1;
    if (best == SSDE_TIER_BEST) {
        best = (int)ssdei_detect_tier();
        ssdei_store_relaxed(&cache, best);
    }
    if (context && context->tier != SSDE_TIER_BEST && (int)context->tier < best) best = (int)context->tier;
    while (i && ssdei_tiers[i] > best) i--; /* a cap at another architecture's tier leaves the weaker ones */
    return i;
}

ssde_tier ssde_tier_used(const ssde_context *context) { return (ssde_tier)ssdei_tiers[ssdei_tier_index(context)]; }

const char *ssde_tier_name(ssde_tier tier) {
#define SSDEI_TIER_TEXT(name, text) #text,
    static const char *const names[] = {"best", SSDE_TIER_LIST(SSDEI_TIER_TEXT)};
#undef SSDEI_TIER_TEXT
    return (unsigned)tier < SSDE_TIER_COUNT ? names[tier] : "unknown";
}

SSDEI_ONCE_END

/* ---- internals: mathematics ---- */

/* The number high + low, low at most half an ulp of high. */
typedef struct ssdei_pair {
    double high, low;
} ssdei_pair;

/* a + b exactly, |a| >= |b| or a = 0. */
static ssdei_pair ssdei_pair_sum(double a, double b) {
    ssdei_pair sum;
    sum.high = a + b;
    sum.low = b - (sum.high - a);
    return sum;
}

/* The first 26 bits of a. */
static double ssdei_first_half(double a) {
    uint64_t bits;
    memcpy(&bits, &a, sizeof bits);
    bits &= ~(uint64_t)0x7ffffff;
    memcpy(&a, &bits, sizeof a);
    return a;
}

/* a b to 106 bits, from the products of halves. */
static ssdei_pair ssdei_pair_product(double a, double b) {
    double a_high = ssdei_first_half(a), b_high = ssdei_first_half(b), a_low = a - a_high, b_low = b - b_high;
    ssdei_pair product;
    product.high = a * b;
    product.low = ((a_high * b_high - product.high) + a_high * b_low + a_low * b_high) + a_low * b_low;
    return product;
}

static double ssdei_power_of_two(int n) { /* -1022 <= n <= 1023 */
    uint64_t bits = (uint64_t)(n + 1023) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return power;
}

/* ln 2 as a number of 42 bits, whose products with exponents are exact, and the rest. */
static const double ssdei_ln2_high = 0.6931471805598903, ssdei_ln2_low = 5.497923018708371e-14;

/* e^(x + rest) = 2^n (1 + f) with |f| < 0.42; |x| < 750, rest below an ulp of x. x = n ln 2 + r, |r| <= ln 2 / 2, and
   f = r + (r^2 / 2! + ... + r^13 / 13!): f.high = r, f.low the series. */
static int ssdei_exp_parts(double x, double rest, ssdei_pair *f) {
    const double round = 6755399441055744.0; /* 1.5 * 2^52: what is added to it loses its fraction */
    double n = (x * 1.4426950408889634 + round) - round;
    ssdei_pair r = ssdei_pair_sum(x - n * ssdei_ln2_high, rest - n * ssdei_ln2_low);
    double z = r.high, z2 = z * z, z4 = z2 * z2;
    double p3 = 1.0 / 6 + z * (1.0 / 24), p5 = 1.0 / 120 + z * (1.0 / 720), p7 = 1.0 / 5040 + z * (1.0 / 40320);
    double p9 = 1.0 / 362880 + z * (1.0 / 3628800), p11 = 1.0 / 39916800 + z * (1.0 / 479001600);
    double cubic = (p3 + z2 * p5) + z4 * ((p7 + z2 * p9) + z4 * (p11 + z2 * (1.0 / 6227020800.0)));
    f->high = z;
    f->low = 0.5 * z2 + (z2 * z * cubic + (r.low + r.low * z));
    return (int)n;
}

/* e^(x + rest), rest below an ulp of x. */
static double ssdei_exp_of(double x, double rest) {
    ssdei_pair f, sum;
    int n;
    if (!(x <= 710.0)) return x > 710.0 ? HUGE_VAL : x;
    if (x < -746.0) return 0.0;
    n = ssdei_exp_parts(x, rest, &f);
    sum = ssdei_pair_sum(1.0, f.high);
    /* in two steps, since 2^n may have no double of its own where the result has one */
    return (sum.high + (sum.low + f.low)) * ssdei_power_of_two(n >> 1) * ssdei_power_of_two(n - (n >> 1));
}

double ssdei_math_exp(double x) { return ssdei_exp_of(x, 0.0); }

/* 2^n (1 + f) - 1 = (2^n - 1) + 2^n f */
double ssdei_math_expm1(double x) {
    double power, base;
    ssdei_pair f, sum;
    if (!(x <= 700.0)) return ssdei_math_exp(x);
    if (x < -38.0) return -1.0;
    power = ssdei_power_of_two(ssdei_exp_parts(x, 0.0, &f));
    if (power == 1.0) return x == 0.0 ? x : x + f.low; /* f.high is x; the sign of 0 stays */
    base = power - 1.0;
    sum = ssdei_pair_sum(base, power * f.high);
    return sum.high + (((power - base) - 1.0) + (sum.low + power * f.low)); /* 2^n - 1 is not exact from 2^54 on */
}

/* ln(x), x positive and finite, to 2^-62 of itself. x = 2^k z, sqrt(1/2) <= z < sqrt(2), and with s = (z - 1) / (z + 1)
   ln(z) = 2 atanh(s) = 2 s + 2 s q, q = s^2 / 3 + s^4 / 5 + ... + s^26 / 27. */
static ssdei_pair ssdei_log_of(double x) {
    const double third_low = 1.850371707708594e-17; /* of 1/3 */
    int k;
    double z = frexp(x, &k), above, s, s_low, tail;
    ssdei_pair square, q, first, second, sum;
    if (z < 0.7071067811865476) z *= 2.0, k--;
    above = z + 1.0;
    s = (z - 1.0) / above;
    first = ssdei_pair_product(s, above);
    s_low = (((z - 1.0) - first.high) - first.low - s * (z - (above - 1.0))) / above;
    square = ssdei_pair_product(s, s);
    square.low += 2.0 * s * s_low;
    {
        double w = square.high, w2 = w * w;
        double even = 1.0 / 5 + w2 * (1.0 / 9 + w2 * (1.0 / 13 + w2 * (1.0 / 17 + w2 * (1.0 / 21 + w2 * (1.0 / 25)))));
        double odd = 1.0 / 7 + w2 * (1.0 / 11 + w2 * (1.0 / 15 + w2 * (1.0 / 19 + w2 * (1.0 / 23 + w2 * (1.0 / 27)))));
        tail = w2 * (even + w * odd);
    }
    q = ssdei_pair_product(square.high, 1.0 / 3);
    q.low += square.high * third_low + square.low * (1.0 / 3);
    sum = ssdei_pair_sum(q.high, tail);
    q.high = sum.high;
    q.low += sum.low;
    second = ssdei_pair_product(s, q.high);
    second.low += s * q.low + s_low * q.high;
    first = ssdei_pair_sum(k * ssdei_ln2_high, 2.0 * s);
    sum = ssdei_pair_sum(first.high, 2.0 * second.high);
    return ssdei_pair_sum(sum.high, sum.low + (first.low + (2.0 * (s_low + second.low) + k * ssdei_ln2_low)));
}

double ssdei_math_log(double x) {
    if (x > 0.0 && x < HUGE_VAL) return ssdei_log_of(x).high;
    return x == 0.0 ? -HUGE_VAL : x < 0.0 ? (x - x) / 0.0 : x;
}

/* 1 + x = u + c exactly, and ln(u + c) = ln(u) + c / u - ... */
double ssdei_math_log1p(double x) {
    ssdei_pair one, log;
    if (x > -1e-17 && x < 1e-17) return x;
    if (!(x > -1.0 && x < 1e17)) return ssdei_math_log(1.0 + x);
    one = x > 1.0 ? ssdei_pair_sum(x, 1.0) : ssdei_pair_sum(1.0, x);
    log = ssdei_log_of(one.high);
    return log.high + (log.low + one.low / one.high);
}

double ssdei_math_pow(double x, double y) {
    ssdei_pair log, product;
    if (y == 0.0 || x == 1.0) return 1.0;
    if (x != x || y != y) return x + y;
    if (x < 0.0) return (x - x) / 0.0;
    if (x == 0.0 || x > DBL_MAX) return (x > 0.0) == (y > 0.0) ? HUGE_VAL : 0.0;
    if (!(fabs(y) < 1e20)) return (x > 1.0) == (y > 0.0) ? HUGE_VAL : 0.0; /* |ln x| > 1e-16 */
    log = ssdei_log_of(x);
    product = ssdei_pair_product(y, log.high);
    return ssdei_exp_of(product.high, product.low + y * log.low);
}

/* x = n pi / 2 + r, |r| <= pi / 4; returns n modulo 4. pi / 2 as three doubles, 159 bits, from which n < 2^50 leaves
   more of r than the 53 it keeps. */
static int ssdei_quadrant(double x, ssdei_pair *r) {
    const double half_pi = 1.5707963267948966, second = 6.123233995736766e-17, third = -1.4973849048591698e-33;
    const double round = 6755399441055744.0;
    double n = (x * 0.6366197723675814 + round) - round, left;
    ssdei_pair first = ssdei_pair_product(n, half_pi), next = ssdei_pair_product(n, second), sum;
    left = x - first.high; /* exact: they are neighbours, or n = 0 */
    sum.high = left - first.low;
    sum.low = (left - sum.high) - first.low;
    left = sum.high - next.high;
    sum.low += ((sum.high - left) - next.high) - next.low - n * third;
    *r = ssdei_pair_sum(left, sum.low);
    return (int)(n - 4.0 * floor(n / 4.0));
}

/* The sine of x plus a quarter turn for each of `quarters`; Taylor's series to r^17 and r^18. */
static double ssdei_sine(double x, int quarters) {
    ssdei_pair r;
    double z, value;
    if (!(fabs(x) <= DBL_MAX)) return x - x;
    if (x == 0.0) return quarters ? 1.0 : x;
    if (fabs(x) > 1125899906842624.0) x = fmod(x, 6.283185307179586);
    quarters = (quarters + ssdei_quadrant(x, &r)) % 4;
    z = r.high * r.high;
    if (quarters % 2 == 0) {
        double p = -1.0 / 6 + z * (1.0 / 120 + z * (-1.0 / 5040 + z * (1.0 / 362880 + z * (-1.0 / 39916800))));
        double z4 = z * z * (z * z) * z;
        p += z4 * (1.0 / 6227020800.0 + z * (-1.0 / 1307674368000.0 + z * (1.0 / 355687428096000.0)));
        value = r.high + (r.high * z * p + r.low * (1.0 - 0.5 * z));
    } else {
        double p = 1.0 / 24 + z * (-1.0 / 720 + z * (1.0 / 40320 + z * (-1.0 / 3628800 + z * (1.0 / 479001600))));
        double z4 = z * z * (z * z) * z;
        ssdei_pair one = ssdei_pair_sum(1.0, -0.5 * z);
        p += z4 * (-1.0 / 87178291200.0 + z * (1.0 / 20922789888000.0 + z * (-1.0 / 6402373705728000.0)));
        value = one.high + (one.low + (z * z * p - r.high * r.low));
    }
    return quarters < 2 ? value : -value;
}

double ssdei_math_sin(double x) { return ssdei_sine(x, 0); }
double ssdei_math_cos(double x) { return ssdei_sine(x, 1); }

/* tan(a / 2) = tan(a) / (1 + sqrt(1 + tan(a)^2)) four times, and the series of the arctangent of what is below 0.1. */
double ssdei_math_atan2(double y, double x) {
    double length = sqrt(x * x + y * y), t, z, angle;
    int i;
    if (y == 0.0 && x >= 0.0) return y;
    t = fabs(y) / (length + fabs(x));
    for (i = 0; i < 3; i++) t /= 1.0 + sqrt(1.0 + t * t);
    z = t * t;
    angle = 1.0 / 5 - z * (1.0 / 7 - z * (1.0 / 9 - z * (1.0 / 11 - z * (1.0 / 13 - z * (1.0 / 15)))));
    angle = 16.0 * (t - t * z * (1.0 / 3 - z * angle));
    if (x < 0.0) angle = SSDEI_PI - angle;
    return y < 0.0 ? -angle : angle;
}

/* (e^2x - 1) / (e^2x + 1) */
float ssdei_math_tanhf(float x) {
    double rise = ssdei_math_expm1(2.0 * (double)x);
    return x > 20.0f ? 1.0f : (float)(rise / (rise + 2.0));
}

/* ---- internals: checks ---- */

int ssdei_is_whole(double value, double least, double most) {
    return value >= least && value <= most && !(floor(value) < value);
}

/* Whether 64 values are finite, without a jump, so that compilers make vectors of it: an exponent of ones carries into
   the highest bit. */
static int ssdei_finite_64(const float *values) {
    uint32_t bits[64], carried = 0;
    int i;
    memcpy(bits, values, sizeof bits);
    for (i = 0; i < 64; i++) carried |= (bits[i] & 0x7f800000u) + 0x00800000u;
    return carried >> 31 == 0;
}

size_t ssdei_first_nonfinite(const float *values, size_t count) {
    size_t i = 0;
    while (count - i >= 64 && ssdei_finite_64(values + i)) i += 64;
    for (; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        if ((bits & 0x7f800000u) == 0x7f800000u) break;
    }
    return i;
}

ssde_status ssdei_check_interval(ssde_context *context, const char *before, double low, double high) {
    if (low < high && low >= -(double)FLT_MAX && high <= (double)FLT_MAX && high - low <= (double)FLT_MAX)
        return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                     "%slow is %.9g and high %.9g, wanted low < high, less than %.2g apart", before, low, high,
                     (double)FLT_MAX);
}

/* ---- >>tensor: products of packed panels ---- */

enum {
    SSDEI_PRODUCT_DEPTH = 256, /* of B taken at a time: one panel of it stays in the first-level cache */
    SSDEI_PRODUCT_TILES = 20 /* tiles of rows that pass over all panels together: that much of A stays in the second */
};

size_t ssdei_packed_size(const ssdei_kernels *kernels, size_t depth, size_t columns) {
    size_t panels = (columns - 1) / kernels->tile_columns + 1;
    return ssdei_multiply(ssdei_multiply(panels, kernels->tile_columns), depth);
}

/* Row by row, as they lie in memory: b[k * row_stride + j] */
static void ssdei_pack_rows(const ssdei_kernels *kernels, const float *b, size_t row_stride, size_t depth,
                            size_t columns, float *packed) {
    const size_t tile = kernels->tile_columns; /* a multiple of 4 */
    size_t first, k, j;
    for (k = 0; k < depth; k++, b += row_stride) {
        for (first = 0; first < columns; first += tile) {
            float *to = packed + first * depth + k * tile;
            if (columns - first >= tile) {
                for (j = 0; j < tile; j += 4) memcpy(to + j, b + first + j, 4 * sizeof *to);
            } else {
                memcpy(to, b + first, (columns - first) * sizeof *to);
                memset(to + columns - first, 0, (tile - (columns - first)) * sizeof *to);
            }
        }
    }
}

void ssdei_pack(const ssdei_kernels *kernels, const float *b, size_t row_stride, size_t column_stride, size_t depth,
                size_t columns, float *packed) {
    const size_t tile = kernels->tile_columns;
    size_t first, k, j;
    if (column_stride == 1) {
        ssdei_pack_rows(kernels, b, row_stride, depth, columns, packed);
        return;
    }
    for (first = 0; first < columns; first += tile) {
        size_t width = columns - first < tile ? columns - first : tile;
        if (row_stride == 1) kernels->transpose(b + first * column_stride, column_stride, width, depth, packed, tile);
        for (k = 0; k < depth; k++, packed += tile) {
            const float *from = b + k * row_stride + first * column_stride;
            for (j = 0; row_stride != 1 && j < width; j++) packed[j] = from[j * column_stride];
            for (j = width; j < tile; j++) packed[j] = 0.0f;
        }
    }
}

void ssdei_product(const ssdei_kernels *kernels, const float *a, size_t a_stride, const float *packed, size_t rows,
                   size_t depth, size_t columns, float *c, size_t c_stride, int accumulate) {
    const size_t most = SSDEI_PRODUCT_TILES * kernels->tile_rows, width = kernels->tile_columns;
    const float *pointers[(size_t)SSDEI_PRODUCT_TILES * SSDEI_MAX_TILE_ROWS];
    size_t first, row, column, k;
    ssdei_tiles work;
    memset(&work, 0, sizeof work);
    work.taps = 1;
    work.a = pointers;
    work.stride = work.start_stride = c_stride;
    work.scale = 1.0f;
    for (first = 0; first < rows; first += most) {
        work.rows = rows - first < most ? rows - first : most;
        for (row = 0; row < most; row++) pointers[row] = a + (first + (row < work.rows ? row : 0)) * a_stride;
        for (k = 0; k < depth; k += SSDEI_PRODUCT_DEPTH) {
            work.depth = depth - k < SSDEI_PRODUCT_DEPTH ? depth - k : (size_t)SSDEI_PRODUCT_DEPTH;
            work.offset = k;
            for (column = 0; column < columns; column += width) {
                work.columns = columns - column < width ? columns - column : width;
                work.packed = packed + column * depth + k * width;
                work.c = c + first * c_stride + column;
                work.start = accumulate || k > 0 ? work.c : NULL;
                kernels->tiles(&work);
            }
        }
    }
}

/* ---- tensor: shapes and arithmetic ---- */

SSDEI_ONCE_BEGIN

ssde_tensor ssde_tensor_1d(float *data, size_t n) {
    ssde_tensor tensor;
    memset(&tensor, 0, sizeof tensor);
    tensor.data = data;
    tensor.rank = 1;
    tensor.shape[0] = n;
    return tensor;
}

ssde_tensor ssde_tensor_2d(float *data, size_t rows, size_t columns) {
    ssde_tensor tensor = ssde_tensor_1d(data, rows);
    tensor.rank = 2;
    tensor.shape[1] = columns;
    return tensor;
}

ssde_tensor ssde_tensor_4d(float *data, size_t n, size_t height, size_t width, size_t channels) {
    ssde_tensor tensor = ssde_tensor_2d(data, n, height);
    tensor.rank = 4;
    tensor.shape[2] = width;
    tensor.shape[3] = channels;
    return tensor;
}

size_t ssde_tensor_count(const ssde_tensor *tensor) {
    size_t count = 1;
    int i;
    if (!tensor || tensor->rank < 0 || tensor->rank > SSDE_MAX_RANK) return 0;
    for (i = 0; i < SSDE_MAX_RANK; i++)
        if (i < tensor->rank) count = ssdei_multiply(count, tensor->shape[i]);
    return count;
}

enum { SSDEI_SHAPE_TEXT = 96 };

/* Writes "[2, 3]", for errors, and returns text. */
static const char *ssdei_shape(char text[SSDEI_SHAPE_TEXT], int rank, const size_t *shape) {
    size_t length = 1;
    int i;
    text[0] = '[';
    for (i = 0; i < rank; i++)
        length += (size_t)snprintf(text + length, SSDEI_SHAPE_TEXT - length, i ? ", %.0f" : "%.0f", (double)shape[i]);
    text[length] = ']';
    text[length + 1] = 0;
    return text;
}

/* A shape that can be held in memory; `name` is the caller's for the tensor. */
static ssde_status ssdei_shape_check(ssde_context *context, const char *name, int rank, const size_t *shape) {
    char text[SSDEI_SHAPE_TEXT];
    size_t count = 1;
    int i;
    if (rank < 0 || rank > SSDE_MAX_RANK)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s has rank %d, wanted 0 to 4", name, rank);
    for (i = 0; i < rank; i++) {
        count = ssdei_multiply(count, shape[i]);
        if (!shape[i])
            return ssde_fail(context, SSDE_ERROR_SHAPE, "%s of shape %s is empty", name,
                             ssdei_shape(text, rank, shape));
    }
    if (ssdei_multiply(count, sizeof(float)) > SIZE_MAX / 2)
        return ssde_fail(context, SSDE_ERROR_SHAPE, "%s of shape %s exceeds memory", name,
                         ssdei_shape(text, rank, shape));
    return SSDE_OK;
}

static ssde_status ssdei_tensor_check(ssde_context *context, const char *name, const ssde_tensor *tensor) {
    ssdei_try(ssdei_check_arithmetic(context));
    if (!tensor) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s is NULL", name);
    ssdei_try(ssdei_shape_check(context, name, tensor->rank, tensor->shape));
    if (!tensor->data) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s->data is NULL", name);
    return SSDE_OK;
}

ssde_status ssde_tensor_create(ssde_context *context, ssde_tensor *tensor, int rank, const size_t *shape) {
    ssde_tensor made;
    int i;
    if (!tensor || (rank && !shape))
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s is NULL", tensor ? "shape" : "tensor");
    memset(&made, 0, sizeof made);
    ssdei_try(ssdei_shape_check(context, "tensor", rank, shape));
    made.rank = rank;
    for (i = 0; i < SSDE_MAX_RANK; i++) made.shape[i] = i < rank ? shape[i] : 0;
    made.data = (float *)ssdei_allocate(context, ssde_tensor_count(&made), sizeof(float));
    if (!made.data) return SSDE_ERROR_MEMORY;
    *tensor = made;
    return SSDE_OK;
}

void ssde_tensor_release(ssde_context *context, ssde_tensor *tensor) {
    if (!tensor) return;
    ssdei_release(context, tensor->data);
    memset(tensor, 0, sizeof *tensor);
}

static int ssdei_same_shape(const ssde_tensor *a, const ssde_tensor *b) {
    return a->rank == b->rank && (!a->rank || !memcmp(a->shape, b->shape, (size_t)a->rank * sizeof a->shape[0]));
}

static int ssdei_overlap(const ssde_tensor *a, const ssde_tensor *b) {
    uintptr_t first = (uintptr_t)a->data, second = (uintptr_t)b->data;
    return first < second + ssde_tensor_count(b) * sizeof(float) &&
           second < first + ssde_tensor_count(a) * sizeof(float);
}

/* out may be an operand it replaces element by element, but share memory with it in no other way. */
static ssde_status ssdei_alias_check(ssde_context *context, const char *name, const ssde_tensor *operand,
                                     const ssde_tensor *out) {
    char text[2][SSDEI_SHAPE_TEXT];
    int same = operand->data == out->data && ssde_tensor_count(operand) == ssde_tensor_count(out);
    if (!same && ssdei_overlap(operand, out))
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "out shares memory with %s, whose shape %s is not out's %s",
                         name, ssdei_shape(text[0], operand->rank, operand->shape),
                         ssdei_shape(text[1], out->rank, out->shape));
    return SSDE_OK;
}

SSDEI_ONCE_END

/* Two operands laid over an output of four axes: steps of 0 repeat. */
typedef struct ssdei_broadcast {
    size_t shape[SSDE_MAX_RANK], step_a[SSDE_MAX_RANK], step_b[SSDE_MAX_RANK];
} ssdei_broadcast;

/* Aligns a at the last axis of the output's shape. False where an axis is neither 1 nor the output's. */
static int ssdei_broadcast_steps(const ssde_tensor *a, const size_t *shape, size_t *steps) {
    size_t step = 1;
    int i;
    for (i = SSDE_MAX_RANK - 1; i >= 0; i--) {
        int axis = i - SSDE_MAX_RANK + a->rank;
        size_t size = axis >= 0 ? a->shape[axis] : 1;
        if (size != 1 && size != shape[i]) return 0;
        steps[i] = size == 1 ? 0 : step;
        step *= size;
    }
    return 1;
}

/* Joins the last axes while both operands run through them without a jump, so that the inner loop is long. */
static void ssdei_broadcast_join(ssdei_broadcast *over) {
    int i, joined;
    for (joined = 0; joined < SSDE_MAX_RANK - 1; joined++) {
        size_t inner = over->shape[3];
        size_t next_a = inner == 1 ? over->step_a[2] : inner * over->step_a[3];
        size_t next_b = inner == 1 ? over->step_b[2] : inner * over->step_b[3];
        if (over->shape[2] != 1 && (over->step_a[2] != next_a || over->step_b[2] != next_b)) return;
        if (inner == 1) over->step_a[3] = over->step_a[2], over->step_b[3] = over->step_b[2];
        over->shape[3] *= over->shape[2];
        for (i = 2; i > 0; i--) {
            over->shape[i] = over->shape[i - 1];
            over->step_a[i] = over->step_a[i - 1];
            over->step_b[i] = over->step_b[i - 1];
        }
        over->shape[0] = 1;
        over->step_a[0] = over->step_b[0] = 0;
    }
}

static void ssdei_binary_run(ssde_binary_op op, const float *a, size_t step_a, const float *b, size_t step_b,
                             float *out, size_t count) {
    size_t i;
#define SSDEI_CASE(name, expression)                          \
    case name:                                                \
        for (i = 0; i < count; i++) {                         \
            const float x = a[i * step_a], y = b[i * step_b]; \
            out[i] = (expression);                            \
        }                                                     \
        break;
    switch (op) {
        SSDEI_CASE(SSDE_ADD, x + y)
        SSDEI_CASE(SSDE_SUBTRACT, x - y)
        SSDEI_CASE(SSDE_MULTIPLY, x * y)
        SSDEI_CASE(SSDE_DIVIDE, x / y)
        SSDEI_CASE(SSDE_MINIMUM, x < y || x != x ? x : y)
        SSDEI_CASE(SSDE_MAXIMUM, x > y || x != x ? x : y)
    }
#undef SSDEI_CASE
}

ssde_status ssde_tensor_binary(ssde_context *context, ssde_binary_op op, const ssde_tensor *a, const ssde_tensor *b,
                               ssde_tensor *out) {
    char text[3][SSDEI_SHAPE_TEXT];
    ssdei_broadcast over;
    float *to;
    size_t i, j, k;
    int axis, fits, rank;
    if ((unsigned)op > SSDE_MAXIMUM)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "op is %d, wanted one of ssde_binary_op", (int)op);
    ssdei_try(ssdei_tensor_check(context, "a", a));
    ssdei_try(ssdei_tensor_check(context, "b", b));
    ssdei_try(ssdei_tensor_check(context, "out", out));
    rank = a->rank > b->rank ? a->rank : b->rank;
    fits = rank == out->rank;
    for (axis = 0; axis < SSDE_MAX_RANK; axis++) {
        int own = axis - SSDE_MAX_RANK + out->rank;
        over.shape[axis] = own >= 0 ? out->shape[own] : 1;
    }
    fits =
        fits && ssdei_broadcast_steps(a, over.shape, over.step_a) && ssdei_broadcast_steps(b, over.shape, over.step_b);
    for (axis = 0; fits && axis < SSDE_MAX_RANK; axis++)
        if (over.shape[axis] > 1 && !over.step_a[axis] && !over.step_b[axis]) fits = 0; /* nothing fills it */
    if (!fits)
        return ssde_fail(context, SSDE_ERROR_SHAPE, "shapes %s and %s do not broadcast to out's %s",
                         ssdei_shape(text[0], a->rank, a->shape), ssdei_shape(text[1], b->rank, b->shape),
                         ssdei_shape(text[2], out->rank, out->shape));
    ssdei_try(ssdei_alias_check(context, "a", a, out));
    ssdei_try(ssdei_alias_check(context, "b", b, out));
    ssdei_broadcast_join(&over);
    to = out->data;
    for (i = 0; i < over.shape[0]; i++) {
        for (j = 0; j < over.shape[1]; j++) {
            for (k = 0; k < over.shape[2]; k++, to += over.shape[3])
                ssdei_binary_run(op, a->data + i * over.step_a[0] + j * over.step_a[1] + k * over.step_a[2],
                                 over.step_a[3], b->data + i * over.step_b[0] + j * over.step_b[1] + k * over.step_b[2],
                                 over.step_b[3], to, over.shape[3]);
        }
    }
    return SSDE_OK;
}

/* 1 / (1 + e^-x), by the vector exponential in pieces that stay in the cache. */
static void ssdei_sigmoid_run(const ssdei_kernels *kernels, const float *x, float *out, size_t count) {
    float piece[256];
    size_t done, i;
    for (done = 0; done < count; done += i) {
        size_t n = count - done < 256 ? count - done : 256;
        for (i = 0; i < n; i++) piece[i] = -x[done + i];
        kernels->exponential(piece, piece, n);
        for (i = 0; i < n; i++) out[done + i] = 1.0f / (1.0f + piece[i]);
    }
}

ssde_status ssde_tensor_unary(ssde_context *context, ssde_unary_op op, const ssde_tensor *a, ssde_tensor *out) {
    char text[2][SSDEI_SHAPE_TEXT];
    const ssdei_kernels *kernels = ssdei_kernels_for(context);
    size_t i, count;
    const float *from;
    float *to;
    ssdei_try(ssdei_tensor_check(context, "a", a));
    ssdei_try(ssdei_tensor_check(context, "out", out));
    if (!ssdei_same_shape(a, out))
        return ssde_fail(context, SSDE_ERROR_SHAPE, "out has shape %s, wanted a's %s",
                         ssdei_shape(text[0], out->rank, out->shape), ssdei_shape(text[1], a->rank, a->shape));
    ssdei_try(ssdei_alias_check(context, "a", a, out));
    count = ssde_tensor_count(a);
    from = a->data;
    to = out->data;
#define SSDEI_CASE(name, expression)  \
    case name:                        \
        for (i = 0; i < count; i++) { \
            const float x = from[i];  \
            to[i] = (expression);     \
        }                             \
        return SSDE_OK;
    switch (op) {
        SSDEI_CASE(SSDE_NEGATE, -x)
        SSDEI_CASE(SSDE_ABSOLUTE, fabsf(x))
        SSDEI_CASE(SSDE_SQUARE, x * x)
        SSDEI_CASE(SSDE_SQUARE_ROOT, sqrtf(x))
        SSDEI_CASE(SSDE_LOGARITHM, ssdei_math_logf(x))
        SSDEI_CASE(SSDE_TANH, ssdei_math_tanhf(x))
        case SSDE_EXPONENTIAL: kernels->exponential(from, to, count); return SSDE_OK;
        case SSDE_SIGMOID: ssdei_sigmoid_run(kernels, from, to, count); return SSDE_OK;
    }
#undef SSDEI_CASE
    return ssde_fail(context, SSDE_ERROR_ARGUMENT, "op is %d, wanted one of ssde_unary_op", (int)op);
}

/* a (op) b of partial results; a NaN on either side stays. */
static double ssdei_fold(ssde_reduce_op op, double a, double b) {
    if (op == SSDE_MIN) return a < b || a != a ? a : b;
    if (op == SSDE_MAX) return a > b || a != a ? a : b;
    return a + b;
}

/* Eight partial results side by side, then folded in pairs: an order that depends on count alone. */
static double ssdei_reduce_run(ssde_reduce_op op, const float *a, size_t count, double start) {
    double part[8];
    size_t i, j;
    for (j = 0; j < 8; j++) part[j] = start;
    if (op == SSDE_SUM || op == SSDE_MEAN) {
        for (i = 0; i + 8 <= count; i += 8)
            for (j = 0; j < 8; j++) part[j] += (double)a[i + j];
    } else {
        for (i = 0; i + 8 <= count; i += 8)
            for (j = 0; j < 8; j++) part[j] = ssdei_fold(op, part[j], (double)a[i + j]);
    }
    for (j = 0; i < count; i++, j++) part[j] = ssdei_fold(op, part[j], (double)a[i]);
    for (j = 4; j > 0; j /= 2)
        for (i = 0; i < j; i++) part[i] = ssdei_fold(op, part[i], part[i + j]);
    return part[0];
}

enum { SSDEI_REDUCE_BLOCK = 64 }; /* outputs along a kept last axis that are accumulated together */

/* One reduction: four axes, each either kept (its count in kept, 1 in gone) or reduced (the other way round). */
typedef struct ssdei_reduction {
    ssde_reduce_op op;
    size_t kept[SSDE_MAX_RANK], gone[SSDE_MAX_RANK], step[SSDE_MAX_RANK];
    double start, scale;
} ssdei_reduction;

/* `width` outputs that lie side by side from `a` on. */
static void ssdei_reduce_block(const ssdei_reduction *by, const float *a, size_t width, float *out) {
    double sum[SSDEI_REDUCE_BLOCK];
    size_t i, j, k, c;
    for (c = 0; c < width; c++) sum[c] = by->start;
    for (i = 0; i < by->gone[0]; i++) {
        for (j = 0; j < by->gone[1]; j++) {
            for (k = 0; k < by->gone[2]; k++) {
                const float *from = a + i * by->step[0] + j * by->step[1] + k * by->step[2];
                if (by->gone[3] > 1)
                    sum[0] = ssdei_fold(by->op, sum[0], ssdei_reduce_run(by->op, from, by->gone[3], by->start));
                else
                    for (c = 0; c < width; c++) sum[c] = ssdei_fold(by->op, sum[c], (double)from[c]);
            }
        }
    }
    for (c = 0; c < width; c++) out[c] = (float)(sum[c] * by->scale);
}

/* True where out has a's shape with the axes reduced 1, or left out. */
static int ssdei_reduced_shape(const ssde_tensor *a, unsigned axes, const ssde_tensor *out) {
    int i, kept = 0, ones = out->rank == a->rank, left_out = 1;
    for (i = 0; i < a->rank; i++) {
        int reduced = (int)(axes >> i & 1u);
        if (ones && out->shape[i] != (reduced ? 1 : a->shape[i])) ones = 0;
        if (!reduced && (kept >= out->rank || out->shape[kept++] != a->shape[i])) left_out = 0;
    }
    return ones || (left_out && kept == out->rank);
}

ssde_status ssde_tensor_reduce(ssde_context *context, ssde_reduce_op op, const ssde_tensor *a, unsigned axes,
                               ssde_tensor *out) {
    char text[2][SSDEI_SHAPE_TEXT];
    ssdei_reduction by;
    size_t i, j, k, c, width, step = 1, reduced = 1;
    float *to;
    int axis;
    if ((unsigned)op > SSDE_MAX)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "op is %d, wanted one of ssde_reduce_op", (int)op);
    ssdei_try(ssdei_tensor_check(context, "a", a));
    ssdei_try(ssdei_tensor_check(context, "out", out));
    if (axes >> a->rank)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "axes is 0x%x, wanted axes of a, of rank %d", axes, a->rank);
    if (!ssdei_reduced_shape(a, axes, out))
        return ssde_fail(context, SSDE_ERROR_SHAPE, "a of shape %s, reduced along axes 0x%x, does not fit out's %s",
                         ssdei_shape(text[0], a->rank, a->shape), axes, ssdei_shape(text[1], out->rank, out->shape));
    if (ssdei_overlap(a, out)) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "out shares memory with a");
    by.op = op;
    for (axis = SSDE_MAX_RANK - 1; axis >= 0; axis--) {
        int own = axis - SSDE_MAX_RANK + a->rank;
        size_t size = own >= 0 ? a->shape[own] : 1;
        int gone = own >= 0 && (axes >> own & 1u);
        by.kept[axis] = gone ? 1 : size;
        by.gone[axis] = gone ? size : 1;
        by.step[axis] = step;
        step *= size;
        reduced *= by.gone[axis];
    }
    by.start = op == SSDE_MIN ? HUGE_VAL : op == SSDE_MAX ? -HUGE_VAL : 0.0;
    by.scale = op == SSDE_MEAN ? 1.0 / (double)reduced : 1.0;
    to = out->data;
    for (i = 0; i < by.kept[0]; i++) {
        for (j = 0; j < by.kept[1]; j++) {
            for (k = 0; k < by.kept[2]; k++) {
                const float *from = a->data + i * by.step[0] + j * by.step[1] + k * by.step[2];
                for (c = 0; c < by.kept[3]; c += width, to += width) {
                    width = by.kept[3] - c < SSDEI_REDUCE_BLOCK ? by.kept[3] - c : (size_t)SSDEI_REDUCE_BLOCK;
                    ssdei_reduce_block(&by, from + c, width, to);
                }
            }
        }
    }
    return SSDE_OK;
}

/* One product cut into blocks of rows and groups of panels. */
typedef struct ssdei_matmul_task {
    const ssdei_kernels *kernels;
    const float *a;
    float *packed, *transposed, *c; /* b; a, if it is to be transposed */
    int transpose_a;
    size_t rows, depth, columns, rows_per_task, columns_per_task, column_tasks;
} ssdei_matmul_task;

static void ssdei_matmul_block(const ssdei_matmul_task *task, size_t index) {
    size_t row = index / task->column_tasks * task->rows_per_task;
    size_t column = index % task->column_tasks * task->columns_per_task;
    size_t rows = task->rows - row < task->rows_per_task ? task->rows - row : task->rows_per_task;
    size_t columns = task->columns - column < task->columns_per_task ? task->columns - column : task->columns_per_task;
    ssdei_product(task->kernels, task->a + row * task->depth, task->depth, task->packed + column * task->depth, rows,
                  task->depth, columns, task->c + row * task->columns + column, task->columns, 0);
}

static void ssdei_matmul_run(void *argument, ssdei_worker *worker) {
    size_t begin, end;
    while (ssdei_next_piece(worker, &begin, &end))
        for (; begin < end; begin++) ssdei_matmul_block((const ssdei_matmul_task *)argument, begin);
}

static void ssdei_matmul_arrays(void *object, ssdei_memory *memory) {
    ssdei_matmul_task *task = (ssdei_matmul_task *)object;
    task->packed = ssdei_place(memory, float, ssdei_packed_size(task->kernels, task->depth, task->columns));
    task->transposed = ssdei_place(memory, float, task->transpose_a ? task->rows * task->depth : 0);
}

SSDEI_ONCE_BEGIN

ssde_status ssde_tensor_matmul(ssde_context *context, const ssde_tensor *a, int transpose_a, const ssde_tensor *b,
                               int transpose_b, ssde_tensor *out) {
    char text[3][SSDEI_SHAPE_TEXT];
    ssdei_matmul_task task;
    ssdei_team team;
    void *block;
    size_t row, row_tasks;
    ssdei_try(ssdei_tensor_check(context, "a", a));
    ssdei_try(ssdei_tensor_check(context, "b", b));
    ssdei_try(ssdei_tensor_check(context, "out", out));
    if (a->rank != 2 || b->rank != 2 || out->rank != 2)
        return ssde_fail(context, SSDE_ERROR_SHAPE, "a, b and out have ranks %d, %d and %d, wanted 2", a->rank, b->rank,
                         out->rank);
    task.rows = a->shape[transpose_a ? 1 : 0];
    task.depth = a->shape[transpose_a ? 0 : 1];
    task.columns = b->shape[transpose_b ? 0 : 1];
    if (task.depth != b->shape[transpose_b ? 1 : 0] || out->shape[0] != task.rows || out->shape[1] != task.columns)
        return ssde_fail(context, SSDE_ERROR_SHAPE, "a %s%s times b %s%s does not give out's %s",
                         ssdei_shape(text[0], 2, a->shape), transpose_a ? " transposed" : "",
                         ssdei_shape(text[1], 2, b->shape), transpose_b ? " transposed" : "",
                         ssdei_shape(text[2], 2, out->shape));
    if (ssdei_overlap(a, out) || ssdei_overlap(b, out))
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "out shares memory with %s", ssdei_overlap(a, out) ? "a" : "b");
    task.kernels = ssdei_kernels_narrow(ssdei_kernels_for(context), task.columns);
    task.transpose_a = transpose_a;
    block = ssdei_object_create(context, &task, 0, ssdei_matmul_arrays);
    if (!block) return SSDE_ERROR_MEMORY;
    for (row = 0; transpose_a && row < task.rows; row += SSDEI_LINE) /* a cache line of each row of a */
        task.kernels->transpose(a->data + row, task.rows, task.depth,
                                task.rows - row < SSDEI_LINE ? task.rows - row : (size_t)SSDEI_LINE,
                                task.transposed + row * task.depth, task.depth);
    ssdei_pack(task.kernels, b->data, transpose_b ? 1 : task.columns, transpose_b ? task.depth : 1, task.depth,
               task.columns, task.packed);
    task.a = transpose_a ? task.transposed : a->data;
    task.c = out->data;
    task.rows_per_task = SSDEI_PRODUCT_TILES * task.kernels->tile_rows;
    task.columns_per_task = 16 * task.kernels->tile_columns;
    row_tasks = (task.rows - 1) / task.rows_per_task + 1;
    task.column_tasks = (task.columns - 1) / task.columns_per_task + 1;
    ssdei_team_set(&team, context);
    ssdei_parallel_for(&team, row_tasks * task.column_tasks, 1, ssdei_matmul_run, &task);
    ssdei_release(context, block);
    return SSDE_OK;
}

/* ---- tensor: pictures ---- */

/* cells * size + (cells - 1) * gap pixels, or 0 where that is no positive int. */
static size_t ssdei_grid_extent(size_t cells, size_t size, size_t gap) {
    size_t images = ssdei_multiply(cells, size), gaps = ssdei_multiply(cells - 1, gap);
    return images <= INT_MAX && gaps <= INT_MAX - images ? images + gaps : 0;
}

static unsigned char ssdei_pixel(double value, double low, double high) {
    double scaled = (value - low) / (high - low) * 255.0 + 0.5;
    if (!(scaled >= 1.0)) return 0; /* NaN as well */
    return (unsigned char)(scaled < 255.0 ? scaled : 255.0);
}

ssde_status ssde_image_grid(ssde_context *context, const ssde_tensor *images, size_t columns, size_t gap, double low,
                            double high, unsigned char *pixels, int *width, int *height) {
    char text[SSDEI_SHAPE_TEXT];
    size_t n, h, w, c, grid_width, grid_height, i, y, x;
    if (!images) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "images is NULL");
    ssdei_try(ssdei_shape_check(context, "images", images->rank, images->shape));
    if (pixels && !images->data) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "images->data is NULL");
    if (images->rank != 4 || (images->shape[3] != 1 && images->shape[3] != 3))
        return ssde_fail(context, SSDE_ERROR_SHAPE, "images has shape %s, wanted [n, height, width, 1 or 3]",
                         ssdei_shape(text, images->rank, images->shape));
    if (!columns) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "columns is 0, wanted at least 1");
    ssdei_try(ssdei_check_interval(context, "", low, high));
    n = images->shape[0], h = images->shape[1], w = images->shape[2], c = images->shape[3];
    grid_width = ssdei_grid_extent(columns, w, gap);
    grid_height = ssdei_grid_extent((n - 1) / columns + 1, h, gap);
    if (!grid_width || !grid_height || ssdei_multiply(ssdei_multiply(grid_width, grid_height), c) > SIZE_MAX / 2)
        return ssde_fail(context, SSDE_ERROR_SHAPE,
                         "images of shape %s, %.0f in a row, %.0f apart, make too large a grid",
                         ssdei_shape(text, 4, images->shape), (double)columns, (double)gap);
    if (width) *width = (int)grid_width;
    if (height) *height = (int)grid_height;
    if (!pixels) return SSDE_OK;
    memset(pixels, 255, grid_width * grid_height * c);
    for (i = 0; i < n; i++) {
        size_t left = i % columns * (w + gap), top = i / columns * (h + gap);
        for (y = 0; y < h; y++) {
            const float *from = images->data + (i * h + y) * w * c;
            unsigned char *to = pixels + ((top + y) * grid_width + left) * c;
            for (x = 0; x < w * c; x++) to[x] = ssdei_pixel((double)from[x], low, high);
        }
    }
    return SSDE_OK;
}

/* ---- >>files: the system's files ----
   The same functions for each system; seek and tell beyond 2 GB, also where long has 32 bits. */

/* What a path leads to. With it comes the mode of what is there, -1 where a new file's is to be the system's choice. */
enum {
    SSDEI_PATH_IS_WRONG,
    SSDEI_PATH_IS_FREE,
    SSDEI_PATH_IS_FILE,
    SSDEI_PATH_IS_READ_ONLY,
    SSDEI_PATH_IS_FOLDER,
    SSDEI_PATH_IS_OTHER
};

#if defined(_WIN32)
/* <windows.h> would drag its macros into the user's file. */
__declspec(dllimport) int __stdcall MultiByteToWideChar(unsigned page, unsigned long flags, const char *bytes, int size,
                                                        wchar_t *wide, int capacity);
__declspec(dllimport) int __stdcall MoveFileExW(const wchar_t *from, const wchar_t *to, unsigned long flags);
__declspec(dllimport) unsigned long __stdcall GetFileAttributesW(const wchar_t *path);
__declspec(dllimport) unsigned long __stdcall GetCurrentProcessId(void);
__declspec(dllimport) unsigned long __stdcall GetLastError(void);

/* From UTF-8; 0 where it is not valid. */
static int ssdei_path_wide(const char *path, wchar_t wide[SSDEI_PATH_MOST]) {
    return MultiByteToWideChar(65001u, 8u, path, -1, wide, SSDEI_PATH_MOST) > 0; /* UTF-8, errors are errors */
}

static size_t ssdei_folder_length(const char *path) {
    size_t length = strlen(path);
    while (length && !strchr("/\\:", path[length - 1])) length--;
    return length;
}

static int ssdei_path_kind(const char *path, int *mode) {
    wchar_t wide[SSDEI_PATH_MOST];
    unsigned long attributes;
    *mode = -1;
    if (!ssdei_path_wide(path, wide)) return SSDEI_PATH_IS_WRONG;
    attributes = GetFileAttributesW(wide);
    if (attributes == 0xffffffffu) return SSDEI_PATH_IS_FREE;
    if (attributes & 0x50u) return attributes & 0x10u ? SSDEI_PATH_IS_FOLDER : SSDEI_PATH_IS_OTHER;
    return attributes & 1u ? SSDEI_PATH_IS_READ_ONLY : SSDEI_PATH_IS_FILE;
}

static FILE *ssdei_open_file(const char *path) {
    wchar_t wide[SSDEI_PATH_MOST];
    return ssdei_path_wide(path, wide) ? _wfopen(wide, L"rb") : NULL;
}

static FILE *ssdei_create_file(const char *path, int mode, int *taken) {
    wchar_t wide[SSDEI_PATH_MOST];
    int descriptor = -1;
    FILE *file;
    (void)mode;
    if (ssdei_path_wide(path, wide))
        descriptor = _wopen(wide, _O_CREAT | _O_EXCL | _O_WRONLY | _O_BINARY, _S_IREAD | _S_IWRITE);
    *taken = descriptor < 0 && errno == EEXIST;
    if (descriptor < 0) return NULL;
    file = _fdopen(descriptor, "wb");
    if (file) return file;
    _close(descriptor);
    _wremove(wide);
    return NULL;
}

static int ssdei_flush_file(FILE *file) { return !fflush(file) && !_commit(_fileno(file)); }

static int ssdei_seek(FILE *file, int64_t offset, int origin) { return _fseeki64(file, offset, origin); }
static int64_t ssdei_tell(FILE *file) { return _ftelli64(file); }

/* Readers, writers and scanners keep a file from being replaced while they have it open, so it is tried for a while. */
static int ssdei_replace_file(const char *from, const char *to) {
    wchar_t wide_from[SSDEI_PATH_MOST], wide_to[SSDEI_PATH_MOST];
    unsigned long wait = 1;
    if (!ssdei_path_wide(from, wide_from) || !ssdei_path_wide(to, wide_to)) return 0;
    while (!MoveFileExW(wide_from, wide_to, 0x1u | 0x8u)) { /* replace existing, write through */
        unsigned long error = GetLastError();
        if ((error != 5 && error != 32) || wait > 512) return 0; /* access denied, sharing violation */
        Sleep(wait);
        wait *= 2;
    }
    return 1;
}

static void ssdei_remove_file(const char *path) {
    wchar_t wide[SSDEI_PATH_MOST];
    if (ssdei_path_wide(path, wide)) _wremove(wide);
}

static uint32_t ssdei_process(void) { return (uint32_t)GetCurrentProcessId(); }

#else

static size_t ssdei_folder_length(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

#if defined(__unix__) || defined(__APPLE__)

#if defined(__GLIBC_PREREQ) && LONG_MAX == 0x7fffffff
#if __GLIBC_PREREQ(2, 28)
#define SSDEI_GLIBC_32
#endif
#endif
#ifdef SSDEI_GLIBC_32
/* Plain open and stat refuse files of 2 GB and, on large disks, any file; _FILE_OFFSET_BITS would have to be set before
   the user's first include. */
int ssdei_open64(const char *path, int flags, ...) __asm__("open64");
FILE *ssdei_fopen64(const char *path, const char *mode) __asm__("fopen64");
int ssdei_fseeko64(FILE *file, int64_t offset, int origin) __asm__("fseeko64");
int64_t ssdei_ftello64(FILE *file) __asm__("ftello64");
int ssdei_statx(int folder, const char *path, int flags, unsigned wanted, void *out) __asm__("statx");
static int ssdei_seek(FILE *file, int64_t offset, int origin) { return ssdei_fseeko64(file, offset, origin); }
static int64_t ssdei_tell(FILE *file) { return ssdei_ftello64(file); }
#else
#define ssdei_open64 open
#define ssdei_fopen64 fopen
static int ssdei_seek(FILE *file, int64_t offset, int origin) {
    return (off_t)offset == offset ? fseeko(file, (off_t)offset, origin) : -1;
}
static int64_t ssdei_tell(FILE *file) { return ftello(file); }
#endif

/* Type and permissions. */
static int ssdei_path_mode(const char *path, mode_t *mode) {
#ifdef SSDEI_GLIBC_32
    uint16_t words[128]; /* struct statx, the same on every architecture */
    if (ssdei_statx(-100, path, 0, 3u, words)) return 0;
    *mode = words[14];
#else
    struct stat now;
    if (stat(path, &now)) return 0;
    *mode = now.st_mode;
#endif
    return 1;
}

static int ssdei_path_kind(const char *path, int *mode) {
    mode_t now;
    *mode = -1;
    if (!ssdei_path_mode(path, &now)) return SSDEI_PATH_IS_FREE;
    *mode = (int)(now & 0777);
    if (!S_ISREG(now)) return S_ISDIR(now) ? SSDEI_PATH_IS_FOLDER : SSDEI_PATH_IS_OTHER;
    return access(path, W_OK) ? SSDEI_PATH_IS_READ_ONLY : SSDEI_PATH_IS_FILE;
}

/* A chain of links becomes what it leads to, which need not be there; 0 where it has no end. */
static int ssdei_follow_links(char target[SSDEI_PATH_MOST]) {
    char next[SSDEI_PATH_MOST];
    int hops;
    for (hops = 0; hops <= 40; hops++) { /* Linux follows 40 */
        ssize_t length = readlink(target, next, sizeof next);
        size_t folder = length > 0 && next[0] != '/' ? ssdei_folder_length(target) : 0;
        if (length <= 0) return 1;
        if (folder + (size_t)length >= SSDEI_PATH_MOST) return 0;
        memcpy(target + folder, next, (size_t)length);
        target[folder + (size_t)length] = 0;
    }
    return 0;
}

static FILE *ssdei_open_file(const char *path) { return ssdei_fopen64(path, "rb"); }

/* Nobody else's file is opened, and nobody reads more of it than of the file it will replace. */
static FILE *ssdei_create_file(const char *path, int mode, int *taken) {
    int descriptor = ssdei_open64(path, O_CREAT | O_EXCL | O_WRONLY, mode < 0 ? 0666 : mode);
    FILE *file;
    *taken = descriptor < 0 && errno == EEXIST;
    if (descriptor < 0) return NULL;
    if (mode >= 0) fchmod(descriptor, (mode_t)mode); /* what the umask took */
    file = fdopen(descriptor, "wb");
    if (file) return file;
    close(descriptor);
    remove(path);
    return NULL;
}

static int ssdei_flush_file(FILE *file) { return !fflush(file) && !fsync(fileno(file)); }

/* A folder that may not be read, or a file system without it, is left to the system. */
static int ssdei_flush_folder(const char *path) {
    char folder[SSDEI_PATH_MOST];
    size_t length = ssdei_folder_length(path);
    int descriptor, failed;
    memcpy(folder, path, length);
    memcpy(folder + length, ".", 2);
    descriptor = ssdei_open64(folder, O_RDONLY);
    if (descriptor < 0) return 1;
    failed = fsync(descriptor) && errno == EIO;
    close(descriptor);
    return !failed;
}

static uint32_t ssdei_process(void) { return (uint32_t)getpid(); }

#else /* C alone */

static int ssdei_path_kind(const char *path, int *mode) {
    (void)path;
    *mode = -1;
    return SSDEI_PATH_IS_FREE;
}

static FILE *ssdei_open_file(const char *path) { return fopen(path, "rb"); }

static FILE *ssdei_create_file(const char *path, int mode, int *taken) {
    FILE *old = fopen(path, "rb");
    (void)mode;
    *taken = old != NULL;
    if (old) fclose(old);
    return old ? NULL : fopen(path, "wb");
}

static int ssdei_flush_file(FILE *file) { return !fflush(file); }

static int ssdei_seek(FILE *file, int64_t offset, int origin) {
    return (long)offset == offset ? fseek(file, (long)offset, origin) : -1;
}
static int64_t ssdei_tell(FILE *file) { return ftell(file); }

static uint32_t ssdei_process(void) { return 0; }

#endif

static int ssdei_replace_file(const char *from, const char *to) { return !rename(from, to); }

static void ssdei_remove_file(const char *path) { remove(path); }

#endif

#if defined(_WIN32) || !(defined(__unix__) || defined(__APPLE__))
static int ssdei_follow_links(char target[SSDEI_PATH_MOST]) {
    (void)target;
    return 1;
}

static int ssdei_flush_folder(const char *path) {
    (void)path;
    return 1;
}
#endif

SSDEI_ONCE_END

/* ---- files: bytes ---- */

/* The number that `count` bytes are. */
static uint64_t ssdei_number_at(const unsigned char *bytes, size_t count, int big_endian) {
    uint64_t number = 0;
    size_t i;
    for (i = 0; i < count; i++) number |= (uint64_t)bytes[big_endian ? count - 1 - i : i] << 8 * i;
    return number;
}

static uint64_t ssdei_little_endian(const unsigned char *bytes, size_t count) {
    return ssdei_number_at(bytes, count, 0);
}

static void ssdei_to_little_endian(uint64_t number, unsigned char bytes[8]) {
    int i;
    for (i = 0; i < 8; i++) bytes[i] = (unsigned char)(number >> 8 * i);
}

static uint32_t ssdei_word_at(const unsigned char *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* CRC-32 as in zip: the reflected polynomial 0xedb88320. */
static void ssdei_crc32_tables(ssdei_crc_tables *tables) {
    uint32_t crc, k;
    unsigned i, bit;
    for (i = 0; i < 256; i++) {
        for (crc = i, bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        tables->of[0][i] = crc;
    }
    for (k = 1; k < 8; k++) {
        for (i = 0; i < 256; i++) {
            crc = tables->of[k - 1][i];
            tables->of[k][i] = crc >> 8 ^ tables->of[0][crc & 255];
        }
    }
    for (k = 0; k < 4; k++) { /* which are linear: of a byte's bits, then of their sums */
        for (bit = 0; bit < 8; bit++) {
            crc = (uint32_t)1 << (8 * k + bit);
            for (i = 0; i < SSDEI_CRC_BLOCK; i++) crc = crc >> 8 ^ tables->of[0][crc & 255];
            tables->beyond[k][1u << bit] = crc;
        }
        tables->beyond[k][0] = 0;
        for (i = 1; i < 256; i++)
            tables->beyond[k][i] = tables->beyond[k][i & (i - 1)] ^ tables->beyond[k][i & (~i + 1)];
    }
}

/* The register behind eight more bytes. */
SSDEI_INLINE uint32_t ssdei_crc_step(const uint32_t (*of)[256], uint32_t crc, const unsigned char *bytes) {
    uint32_t low = crc ^ ssdei_word_at(bytes), high = ssdei_word_at(bytes + 4);
    return of[7][low & 255] ^ of[6][low >> 8 & 255] ^ of[5][low >> 16 & 255] ^ of[4][low >> 24] ^ of[3][high & 255] ^
           of[2][high >> 8 & 255] ^ of[1][high >> 16 & 255] ^ of[0][high >> 24];
}

SSDEI_INLINE uint32_t ssdei_crc_beyond(const ssdei_crc_tables *tables, uint32_t crc) {
    return tables->beyond[0][crc & 255] ^ tables->beyond[1][crc >> 8 & 255] ^ tables->beyond[2][crc >> 16 & 255] ^
           tables->beyond[3][crc >> 24];
}

/* Of what follows bytes whose CRC is given, or 0. Four blocks side by side, since each step waits for its last. */
static uint32_t ssdei_crc32(const ssdei_crc_tables *tables, uint32_t crc, const unsigned char *bytes, size_t size) {
    const uint32_t(*of)[256] = tables->of;
    const size_t block = SSDEI_CRC_BLOCK;
    size_t i;
    crc = ~crc;
    for (; size >= 4 * block; size -= 4 * block, bytes += 4 * block) {
        uint32_t second = 0, third = 0, fourth = 0;
        for (i = 0; i < block; i += 8) {
            crc = ssdei_crc_step(of, crc, bytes + i);
            second = ssdei_crc_step(of, second, bytes + block + i);
            third = ssdei_crc_step(of, third, bytes + 2 * block + i);
            fourth = ssdei_crc_step(of, fourth, bytes + 3 * block + i);
        }
        crc = ssdei_crc_beyond(tables, crc) ^ second;
        crc = ssdei_crc_beyond(tables, crc) ^ third;
        crc = ssdei_crc_beyond(tables, crc) ^ fourth;
    }
    for (; size >= 8; size -= 8, bytes += 8) crc = ssdei_crc_step(of, crc, bytes);
    for (; size; size--) crc = crc >> 8 ^ of[0][(crc ^ *bytes++) & 255];
    return ~crc;
}

SSDEI_ONCE_BEGIN

/* ---- files: reading and writing ---- */

/* A path that is usable and leads to a regular file, or nowhere: opening a pipe would wait. */
static ssde_status ssdei_path_regular(ssde_context *context, const char *path, int *kind, int *mode) {
    if (!path || !*path) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "path is NULL or empty");
    if (strlen(path) >= SSDEI_PATH_MOST)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "the path '%.120s...' has %lu bytes, wanted at most %d", path,
                         (unsigned long)strlen(path), SSDEI_PATH_MOST - 1);
    *kind = ssdei_path_kind(path, mode);
    if (*kind == SSDEI_PATH_IS_WRONG)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "the path '%.180s' is not valid UTF-8", path);
    if (*kind != SSDEI_PATH_IS_FOLDER && *kind != SSDEI_PATH_IS_OTHER) return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_FILE, "'%.180s' is %s, not a regular file", path,
                     *kind == SSDEI_PATH_IS_FOLDER ? "a folder" : "a device or a pipe");
}

/* Opens a file for reading and finds its length. */
static ssde_status ssdei_file_open(ssde_context *context, const char *path, FILE **file, uint64_t *size) {
    int64_t length = -1;
    int kind, mode;
    *file = NULL;
    *size = 0;
    ssdei_try(ssdei_path_regular(context, path, &kind, &mode));
    *file = ssdei_open_file(path);
    if (!*file) return ssde_fail(context, SSDE_ERROR_FILE, "cannot open '%.180s' for reading", path);
    if (!ssdei_seek(*file, 0, SEEK_END)) length = ssdei_tell(*file);
    if (length >= 0 && length < INT64_MAX && !ssdei_seek(*file, 0, SEEK_SET)) {
        *size = (uint64_t)length;
        return SSDE_OK;
    }
    fclose(*file);
    *file = NULL;
    return ssde_fail(context, SSDE_ERROR_FILE, "cannot find the length of '%.180s'", path);
}

ssde_status ssdei_file_read(ssde_context *context, const char *path, unsigned char **bytes, size_t *size) {
    FILE *file;
    uint64_t length;
    *bytes = NULL;
    *size = 0;
    ssdei_try(ssdei_file_open(context, path, &file, &length));
    if (length < SIZE_MAX)
        *bytes = (unsigned char *)ssdei_allocate(context, (size_t)length + 1, 1);
    else
        ssde_fail(context, SSDE_ERROR_MEMORY, "'%.160s' has %.0f bytes, more than can be addressed", path,
                  (double)length);
    if (!*bytes) {
        fclose(file);
        return SSDE_ERROR_MEMORY;
    }
    *size = fread(*bytes, 1, (size_t)length, file);
    fclose(file);
    if (*size != (size_t)length) {
        ssdei_release(context, *bytes);
        *bytes = NULL;
        return ssde_fail(context, SSDE_ERROR_FILE, "read %.0f of %.0f bytes of '%.160s'", (double)*size, (double)length,
                         path);
    }
    return SSDE_OK;
}

/* A name that no other file has, from the process, the time and the writer's place in memory. */
static void ssdei_writer_create(ssdei_writer *writer, int mode) {
    size_t folder = ssdei_folder_length(writer->target), length = strlen(writer->target);
    uint32_t words[4], counter[4];
    const uint64_t address = (uint64_t)(uintptr_t)writer;
    const uint32_t key[2] = {(uint32_t)address, (uint32_t)(address >> 32)};
    int taken = 1;
    if (length > folder + SSDEI_ASIDE_MOST) {
        length = folder + SSDEI_ASIDE_MOST;
        while (length > folder && (writer->target[length] & 0xc0) == 0x80) length--; /* whole characters of UTF-8 */
    }
    memcpy(writer->aside, writer->target, length);
    counter[0] = ssdei_process();
    counter[1] = (uint32_t)time(NULL);
    counter[2] = (uint32_t)clock();
    for (counter[3] = 0; taken && counter[3] < 1000; counter[3]++) {
        ssde_philox(counter, key, words);
        snprintf(writer->aside + length, SSDEI_ASIDE_SUFFIX, ".scoresde-%08lx.tmp", (unsigned long)words[0]);
        writer->file = ssdei_create_file(writer->aside, mode, &taken);
    }
}

static void ssdei_writer_arrays(void *object, ssdei_memory *memory) {
    ssdei_writer *writer = (ssdei_writer *)object;
    writer->target = ssdei_place(memory, char, SSDEI_PATH_MOST);
    writer->aside = ssdei_place(memory, char, SSDEI_PATH_MOST + SSDEI_ASIDE_SUFFIX);
    writer->piece = ssdei_place(memory, unsigned char, SSDEI_PIECE);
}

/* The first failure is kept; `problem` has a place for the path. */
static void ssdei_writer_fail(ssdei_writer *writer, const char *problem) {
    if (writer->status == SSDE_OK) writer->status = ssde_fail(writer->context, SSDE_ERROR_FILE, problem, writer->path);
}

ssde_status ssdei_writer_open(ssdei_writer *writer, ssde_context *context, const char *path) {
    int kind, mode;
    memset(writer, 0, sizeof *writer);
    writer->context = context;
    writer->path = path;
    writer->status = ssdei_path_regular(context, path, &kind, &mode);
    if (writer->status == SSDE_OK && !ssdei_object_create(context, writer, 0, ssdei_writer_arrays))
        writer->status = SSDE_ERROR_MEMORY;
    if (writer->status != SSDE_OK) return writer->status;
    memcpy(writer->target, path, strlen(path) + 1);
    if (!ssdei_follow_links(writer->target) || ssdei_path_kind(writer->target, &mode) != kind) /* of /proc, too */
        ssdei_writer_fail(writer, "the symbolic link '%.160s' leads to no place for a file");
    else if (kind == SSDEI_PATH_IS_READ_ONLY)
        ssdei_writer_fail(writer, "'%.180s' is read-only");
    else
        ssdei_writer_create(writer, mode);
    if (!writer->file) {
        ssdei_writer_fail(writer,
                          "cannot create a file beside '%.150s': is its folder there, and may you write there?");
        ssdei_release(context, writer->target);
        writer->target = NULL;
    }
    return writer->status;
}

void ssdei_writer_put(ssdei_writer *writer, const void *bytes, size_t size) {
    if (writer->status != SSDE_OK || !size) return;
    if (fwrite(bytes, 1, size, writer->file) != size)
        ssdei_writer_fail(writer, "cannot write to '%.180s': is the disk full?");
}

SSDEI_ONCE_END

/* Little-endian; returns the CRC-32 of their bytes, or 0 where tables is NULL. */
static uint32_t ssdei_writer_put_floats(ssdei_writer *writer, const float *values, size_t count,
                                        const ssdei_crc_tables *tables) {
    uint32_t crc = 0, word;
    size_t i, n;
    for (; count; count -= n, values += n) {
        unsigned char *byte = writer->piece;
        n = count < SSDEI_PIECE / 4 ? count : SSDEI_PIECE / 4;
        for (i = 0; i < n; i++, byte += 4) {
            memcpy(&word, &values[i], sizeof word);
            byte[0] = (unsigned char)word;
            byte[1] = (unsigned char)(word >> 8);
            byte[2] = (unsigned char)(word >> 16);
            byte[3] = (unsigned char)(word >> 24);
        }
        if (tables) crc = ssdei_crc32(tables, crc, writer->piece, 4 * n);
        ssdei_writer_put(writer, writer->piece, 4 * n);
    }
    return crc;
}

ssde_status ssdei_writer_flush(ssdei_writer *writer) {
    if (!writer->file) return writer->status;
    if (writer->status == SSDE_OK && !ssdei_flush_file(writer->file))
        ssdei_writer_fail(writer, "cannot flush '%.180s': is the disk full?");
    if (fclose(writer->file)) ssdei_writer_fail(writer, "cannot close '%.180s'");
    writer->file = NULL;
    return writer->status;
}

ssde_status ssdei_writer_commit(ssdei_writer *writer) {
    if (!writer->target) return writer->status;
    ssdei_writer_flush(writer);
    if (writer->status == SSDE_OK && !ssdei_replace_file(writer->aside, writer->target))
        ssdei_writer_fail(writer, "cannot replace '%.180s'");
    if (writer->status != SSDE_OK)
        ssdei_remove_file(writer->aside);
    else if (!ssdei_flush_folder(writer->target))
        ssdei_writer_fail(writer, "cannot flush the folder of '%.180s'");
    ssdei_release(writer->context, writer->target);
    writer->target = NULL;
    return writer->status;
}

void ssdei_writer_abandon(ssdei_writer *writer) {
    if (writer->status == SSDE_OK) writer->status = SSDE_ERROR_CANCELLED;
    ssdei_writer_commit(writer);
}

SSDEI_ONCE_BEGIN

/* ---- files: files that are something else ---- */

/* Whether `word` stands at an offset of the bytes. */
static int ssdei_stands(const unsigned char *bytes, size_t size, size_t offset, const char *word, size_t length) {
    return offset <= size && length <= size - offset && !memcmp(bytes + offset, word, length);
}

/* Of a zip archive, by the name of its first file; length 0: it has none. */
static const char *ssdei_zip_kind(const char *name, size_t length) {
    const unsigned char *bytes = (const unsigned char *)name;
    if (!length) return "an empty zip archive: fetch or write it again";
    if (length >= 4 && ssdei_stands(bytes, length, length - 4, ".npy", 4))
        return "an .npz archive of numpy.savez: run unzip on it and load one of its .npy files";
    if (length >= 9 && ssdei_stands(bytes, length, length - 9, "/data.pkl", 9))
        return "a file of torch.save: ssde_tensor_file_open reads it";
    return "a zip archive: run unzip on it first";
}

/* Without an archive, torch.save begins with a number of ten bytes, behind a pickle's head of two or of eleven. */
static int ssdei_pth_is_stream(const unsigned char *bytes, size_t size) {
    static const char mark[] = "\212\012\154\374\234\106\371\040\152\250\120\031";
    return ssdei_stands(bytes, size, 2, mark, sizeof mark - 1) || ssdei_stands(bytes, size, 11, mark, sizeof mark - 1);
}

static const char *ssdei_pickle_kind(const unsigned char *bytes, size_t size) {
    if (ssdei_pth_is_stream(bytes, size)) return "a file of torch.save: ssde_tensor_file_open reads it";
    return "a pickle of Python: load it there, and save arrays as .npy, weights with torch.save";
}

/* Of text, which a download may have brought in the place of the file; NULL: it is none. */
static const char *ssdei_text_kind(const unsigned char *bytes, size_t size) {
    size_t i, begin = ssdei_stands(bytes, size, 0, "\xef\xbb\xbf", 3) ? 3 : 0; /* UTF-8's byte order mark */
    for (i = 0; i < size; i++)
        if (bytes[i] >= 0xf8 || (bytes[i] < ' ' && !memchr("\t\r\n", bytes[i], 3))) return NULL;
    while (begin < size && bytes[begin] <= ' ') begin++;
    if (ssdei_stands(bytes, size, begin, "version https://git-lfs.", 24))
        return "a Git LFS pointer: run git lfs pull, or download the file that it stands for";
    if (begin < size && bytes[begin] == '<')
        return "a web page (HTML or XML): log in or mend the address, and download the file itself";
    if (begin == size || (bytes[begin] != '{' && bytes[begin] != '['))
        return "a text, perhaps a server's error: look into it, and download the file again";
    for (i = begin; i < size; i++)
        if (ssdei_stands(bytes, size, i, "\"weight_map\"", 12))
            return "the index of a model in several files: ssde_tensor_file_open reads it";
    return "a text (JSON), perhaps a server's error: look into it, and download the file again";
}

/* What a file is, by its first bytes, and what to do with it: "a gzip archive: run gunzip on it first"; NULL: unknown.
   512 bytes are enough. */
static const char *ssdei_file_kind(const unsigned char *bytes, size_t size) {
    static const struct {
        size_t offset, length;
        const char *word, *kind;
    } kinds[] = {
        {0, 2, "\037\213", "a gzip archive: run gunzip on it first"},
        {0, 3, "BZh", "a bzip2 archive: run bunzip2 on it first"},
        {0, 5, "\3757zXZ", "an xz archive: run unxz on it first"},
        {0, 4, "\050\265\057\375", "a Zstandard archive: run unzstd on it first"},
        {0, 6, "7z\274\257\047\034", "a 7z archive: unpack it first"},
        {0, 4, "Rar!", "a rar archive: unpack it first"},
        {257, 5, "ustar", "a tar archive: run tar -xf on it first, or, of PyTorch before 0.1.10, save it anew there"},
        {0, 6, "\223NUMPY", "a .npy file: ssde_npy_load reads it"},
        {0, 7, "MATLAB ", "a MATLAB file: save the array as .npy (npy-matlab's writeNPY)"},
        {0, 8, "\211HDF\r\n\032\n", "an HDF5 file: save arrays as .npy, weights as safetensors"},
        {0, 4, "GGUF", "a GGUF file: save its weights as safetensors"},
        {0, 3, "\010\007\022", "an ONNX model: save the weights of the network it came from as safetensors"},
        {0, 8, "\211PNG\r\n\032\n", "a picture (PNG)"},
        {0, 3, "\377\330\377", "a picture (JPEG)"},
        {0, 3, "\000\000\010", "an IDX file: ssde_idx_load reads it"},
        {8, 2, "{\"", "a safetensors file: ssde_tensor_file_open reads it"}};
    size_t i;
    if (!size) return "an empty file: fetch or write it again";
    if (size > 512) size = 512;
    if (ssdei_stands(bytes, size, 0, "PK", 2)) {
        size_t length = size < 30 ? 0 : (size_t)ssdei_little_endian(bytes + 26, 2);
        return ssdei_zip_kind((const char *)bytes + 30, length < size - 30 ? length : size - 30);
    }
    if (size > 1 && bytes[0] == 0x80 && bytes[1] >= 2 && bytes[1] <= 5) return ssdei_pickle_kind(bytes, size);
    for (i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (ssdei_stands(bytes, size, kinds[i].offset, kinds[i].word, kinds[i].length)) return kinds[i].kind;
    return ssdei_text_kind(bytes, size);
}

/* The error that a file is not what was wanted, but something else, if that is known. */
static ssde_status ssdei_wrong_file(ssde_context *context, const char *path, const char *wanted,
                                    const unsigned char *bytes, size_t size) {
    const char *kind = ssdei_file_kind(bytes, size);
    if (!kind) return ssde_fail(context, SSDE_ERROR_FORMAT, "'%.120s' is not %s", path, wanted);
    return ssde_fail(context, SSDE_ERROR_FORMAT, "'%.90s' is not %s but %s", path, wanted, kind);
}

ssde_status ssdei_file_read_json(ssde_context *context, const char *path, unsigned char **bytes, size_t *size) {
    ssde_status status;
    size_t i = 0;
    ssdei_try(ssdei_file_read(context, path, bytes, size));
    while (i < *size && memchr(" \t\r\n", (*bytes)[i], 4)) i++;
    if (i < *size && (*bytes)[i] == '{') return SSDE_OK;
    status = ssdei_wrong_file(context, path, "a JSON object", *bytes, *size);
    ssdei_release(context, *bytes);
    *bytes = NULL;
    return status;
}

SSDEI_ONCE_END

/* ---- files: numbers ----
   Every reader of numbers comes here with the bits of an element and its type. */

typedef enum ssdei_number_kind {
    SSDEI_NUMBER_UNSIGNED,
    SSDEI_NUMBER_SIGNED,
    SSDEI_NUMBER_BOOL,
    SSDEI_NUMBER_FLOAT,      /* sign, exponent, fraction as in IEEE 754 */
    SSDEI_NUMBER_FLOAT_FN,   /* no infinity: it is a number, but for NaN, where every bit besides the sign is set */
    SSDEI_NUMBER_FLOAT_FNUZ, /* no infinity, no NaN but in the place of -0, and the bias is one more */
    SSDEI_NUMBER_SCALE,      /* a power of two: an exponent and nothing else; NaN where every bit is set */
    SSDEI_NUMBER_OPAQUE      /* none that could be read */
} ssdei_number_kind;

/* The type of an element in a file. */
typedef struct ssdei_dtype {
    const char *name;
    size_t bytes; /* of an element; of as many as fill whole bytes where `elements` says so */
    ssdei_number_kind kind;
    unsigned exponent; /* bits of a float's exponent */
    size_t elements;   /* 0 means 1 */
} ssdei_dtype;

/* Names, sizes and layouts as in safetensors' own reader (huggingface/safetensors 24b0b28, 0.8.0-dev). */
static const ssdei_dtype ssdei_dtypes[] = {{"F32", 4, SSDEI_NUMBER_FLOAT, 8, 0},
                                           {"F64", 8, SSDEI_NUMBER_FLOAT, 11, 0},
                                           {"F16", 2, SSDEI_NUMBER_FLOAT, 5, 0},
                                           {"BF16", 2, SSDEI_NUMBER_FLOAT, 8, 0},
                                           {"I64", 8, SSDEI_NUMBER_SIGNED, 0, 0},
                                           {"I32", 4, SSDEI_NUMBER_SIGNED, 0, 0},
                                           {"I16", 2, SSDEI_NUMBER_SIGNED, 0, 0},
                                           {"I8", 1, SSDEI_NUMBER_SIGNED, 0, 0},
                                           {"U64", 8, SSDEI_NUMBER_UNSIGNED, 0, 0},
                                           {"U32", 4, SSDEI_NUMBER_UNSIGNED, 0, 0},
                                           {"U16", 2, SSDEI_NUMBER_UNSIGNED, 0, 0},
                                           {"U8", 1, SSDEI_NUMBER_UNSIGNED, 0, 0},
                                           {"BOOL", 1, SSDEI_NUMBER_BOOL, 0, 0},
                                           {"F8_E5M2", 1, SSDEI_NUMBER_FLOAT, 5, 0},
                                           {"F8_E4M3", 1, SSDEI_NUMBER_FLOAT_FN, 4, 0},
                                           {"F8_E8M0", 1, SSDEI_NUMBER_SCALE, 8, 0},
                                           {"F8_E4M3FNUZ", 1, SSDEI_NUMBER_FLOAT_FNUZ, 4, 0},
                                           {"F8_E5M2FNUZ", 1, SSDEI_NUMBER_FLOAT_FNUZ, 5, 0},
                                           {"C64", 8, SSDEI_NUMBER_OPAQUE, 0, 0},
                                           {"F4", 1, SSDEI_NUMBER_OPAQUE, 0, 2},
                                           {"F6_E2M3", 3, SSDEI_NUMBER_OPAQUE, 0, 4},
                                           {"F6_E3M2", 3, SSDEI_NUMBER_OPAQUE, 0, 4},
                                           {"", 0, SSDEI_NUMBER_OPAQUE, 0, 0}}; /* of any other name */

static const ssdei_dtype *ssdei_dtype_find(const char *name) {
    const ssdei_dtype *dtype = ssdei_dtypes;
    while (dtype->bytes && strcmp(dtype->name, name)) dtype++;
    return dtype;
}

static const char ssdei_dtype_problem[] = "has a dtype that is not read here";

/* Of at most 16 bits; all of them are floats. */
static float ssdei_small_float(const ssdei_dtype *dtype, uint32_t bits) {
    const unsigned sign_bits = dtype->kind == SSDEI_NUMBER_SCALE ? 0 : 1;
    const unsigned fraction_bits = 8 * (unsigned)dtype->bytes - sign_bits - dtype->exponent;
    const int bias = (1 << (dtype->exponent - 1)) - (dtype->kind == SSDEI_NUMBER_FLOAT_FNUZ ? 0 : 1);
    const uint32_t highest = (1u << dtype->exponent) - 1, all = ((highest + 1) << fraction_bits) - 1, size = bits & all;
    const uint32_t exponent = size >> fraction_bits, fraction = size & ((1u << fraction_bits) - 1);
    const int negative = bits > all;
    float value;
    if (dtype->kind == SSDEI_NUMBER_FLOAT_FNUZ ? negative && !size
        : dtype->kind == SSDEI_NUMBER_FLOAT    ? 0
                                               : size == all)
        return NAN;
    if (dtype->kind == SSDEI_NUMBER_FLOAT && exponent == highest)
        value = fraction ? NAN : HUGE_VALF;
    else if (!exponent) /* without the leading one that other numbers have, but for a scale's */
        value = ldexpf((float)(sign_bits ? fraction : 1u), (int)sign_bits - bias - (int)fraction_bits);
    else {
        uint32_t word = (uint32_t)((int)exponent - bias + 127) << 23 | fraction << (23 - fraction_bits);
        memcpy(&value, &word, sizeof value);
    }
    return negative ? -value : value;
}

/* Of a signed number of `bytes` bytes: its size, and whether it is negative. */
static uint64_t ssdei_magnitude(uint64_t bits, size_t bytes, int *negative) {
    uint64_t sign = (uint64_t)1 << (8 * bytes - 1);
    *negative = (bits & sign) != 0;
    return *negative ? 2 * sign - bits : bits; /* of 8 bytes, 2 * sign is 0: wraps */
}

/* To the nearest float. What lies beyond the largest is nearer to it than to the next, 2^128, below their middle. */
static int ssdei_to_float(double wide, float *value) {
    const double size = fabs(wide), middle = 340282356779733661637539395458142568448.0; /* 2^128 - 2^103 */
    if (size >= middle && size <= DBL_MAX) return 0;
    if (size > (double)FLT_MAX && size < middle)
        *value = wide < 0.0 ? -FLT_MAX : FLT_MAX;
    else
        *value = (float)wide;
    return 1;
}

/* The number that an element's bits mean, rounded once, to nearest. False where it is finite and exceeds float. */
static int ssdei_number_float(const ssdei_dtype *dtype, uint64_t bits, float *value) {
    const uint32_t word = (uint32_t)bits;
    double wide;
    int negative;
    switch (dtype->kind) {
        case SSDEI_NUMBER_BOOL: *value = bits ? 1.0f : 0.0f; return 1;
        case SSDEI_NUMBER_UNSIGNED: *value = (float)bits; return 1;
        case SSDEI_NUMBER_SIGNED:
            *value = (float)ssdei_magnitude(bits, dtype->bytes, &negative);
            if (negative) *value = -*value;
            return 1;
        default:
            if (dtype->bytes <= 2) *value = ssdei_small_float(dtype, word);
            if (dtype->bytes == 4) memcpy(value, &word, sizeof word);
            if (dtype->bytes < 8) return 1;
            memcpy(&wide, &bits, sizeof wide);
            return ssdei_to_float(wide, value);
    }
}

static double ssdei_number_double(const ssdei_dtype *dtype, uint64_t bits) {
    double wide;
    float value;
    int negative;
    switch (dtype->kind) {
        case SSDEI_NUMBER_UNSIGNED: return (double)bits;
        case SSDEI_NUMBER_SIGNED: wide = (double)ssdei_magnitude(bits, dtype->bytes, &negative); break;
        default:
            negative = 0;
            if (dtype->bytes == 8)
                memcpy(&wide, &bits, sizeof wide);
            else {
                ssdei_number_float(dtype, bits, &value);
                wide = (double)value;
            }
    }
    return negative ? -wide : wide;
}

/* ---- files: arrays ---- */

/* A way through a tensor's elements: the axes from the smallest stride to the largest, so that the file is read once
   and forwards, however the tensor was transposed. */
typedef struct ssdei_walk {
    int rank;
    struct {
        size_t size, stride, step, index; /* step: from one value to the next, in C order */
    } axes[8];
    size_t position, place; /* the element's in the storage, and its value's */
} ssdei_walk;

static ssdei_walk ssdei_walk_begin(int rank, const size_t *shape, const size_t *stride) {
    ssdei_walk walk;
    size_t step = 1;
    int axis, at;
    memset(&walk, 0, sizeof walk);
    for (axis = rank - 1; axis >= 0; axis--) {
        for (at = walk.rank++; at > 0 && walk.axes[at - 1].stride > stride[axis]; at--)
            walk.axes[at] = walk.axes[at - 1];
        walk.axes[at].size = shape[axis];
        walk.axes[at].stride = stride[axis];
        walk.axes[at].step = step;
        step *= shape[axis];
    }
    return walk;
}

static void ssdei_walk_next(ssdei_walk *walk) {
    int i;
    for (i = 0; i < walk->rank; i++) {
        walk->position += walk->axes[i].stride;
        walk->place += walk->axes[i].step;
        if (++walk->axes[i].index < walk->axes[i].size) return;
        walk->position -= walk->axes[i].stride * walk->axes[i].size;
        walk->place -= walk->axes[i].step * walk->axes[i].size;
        walk->axes[i].index = 0;
    }
}

/* Makes one tensor of a file's bytes, or two. */
typedef ssde_status (*ssdei_decoder)(ssde_context *context, const char *path, const unsigned char *bytes, size_t size,
                                     ssde_tensor *first, ssde_tensor *second);

/* `name` is the caller's for the first tensor; the second may be NULL. */
static ssde_status ssdei_load_array(ssde_context *context, const char *path, ssdei_decoder decode, const char *name,
                                    ssde_tensor *first, ssde_tensor *second) {
    unsigned char *bytes;
    size_t size;
    ssde_status status;
    if (!first) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s is NULL", name);
    memset(first, 0, sizeof *first);
    if (second) memset(second, 0, sizeof *second);
    ssdei_try(ssdei_file_read(context, path, &bytes, &size));
    status = decode(context, path, bytes, size, first, second);
    ssdei_release(context, bytes);
    return status;
}

SSDEI_ONCE_BEGIN

/* ---- files: .npy ---- */

/* A header being read, and what it said. */
typedef struct ssdei_npy {
    ssde_context *context;
    const char *path;
    const unsigned char *at, *end;
    int rank, big_endian, fortran;
    const char *type; /* "f4" */
    const ssdei_dtype *dtype;
    size_t shape[SSDE_MAX_RANK];
} ssdei_npy;

static ssde_status ssdei_npy_malformed(const ssdei_npy *npy, const char *wanted) {
    return ssde_fail(npy->context, SSDE_ERROR_FORMAT, "'%.120s': malformed .npy header, wanted %s", npy->path, wanted);
}

static void ssdei_npy_skip(ssdei_npy *npy) {
    while (npy->at < npy->end && (*npy->at == ' ' || (*npy->at >= '\t' && *npy->at <= '\r'))) npy->at++;
}

/* Takes one character, after any blanks, if it is next. */
static int ssdei_npy_take(ssdei_npy *npy, char wanted) {
    ssdei_npy_skip(npy);
    if (npy->at == npy->end || *npy->at != (unsigned char)wanted) return 0;
    npy->at++;
    return 1;
}

/* A quoted string without escapes, of 15 characters at most, which is more than any known one. */
static int ssdei_npy_string(ssdei_npy *npy, char text[16]) {
    size_t length = 0;
    char quote;
    ssdei_npy_take(npy, 'u'); /* Python 2's */
    quote = ssdei_npy_take(npy, '\'') ? '\'' : '"';
    if (quote == '"' && !ssdei_npy_take(npy, '"')) return 0;
    while (npy->at < npy->end && *npy->at != (unsigned char)quote && length < 15) text[length++] = (char)*npy->at++;
    text[length] = 0;
    return npy->at < npy->end && *npy->at++ == (unsigned char)quote;
}

/* A type that numpy.dtype knows by this text: <f4, f4, =f4, |u1, float32, f. */
static ssde_status ssdei_npy_type(ssdei_npy *npy) {
    static const char *const known[][4] = {
        {"f2", "float16", "e", "F16"}, {"f4", "float32", "f", "F32"}, {"f8", "float64", "d", "F64"},
        {"i1", "int8", "b", "I8"},     {"i2", "int16", "h", "I16"},   {"i4", "int32", "i", "I32"},
        {"i8", "int64", "q", "I64"},   {"u1", "uint8", "B", "U8"},    {"u2", "uint16", "H", "U16"},
        {"u4", "uint32", "I", "U32"},  {"u8", "uint64", "Q", "U64"},  {"b1", "bool", "?", "BOOL"}};
    char text[16];
    const char *name = text;
    size_t i;
    ssdei_npy_skip(npy);
    if (npy->at < npy->end && (*npy->at == '[' || *npy->at == '('))
        return ssde_fail(npy->context, SSDE_ERROR_UNSUPPORTED, "'%.120s': structured arrays are not supported",
                         npy->path);
    if (!ssdei_npy_string(npy, text)) return ssdei_npy_malformed(npy, "a type such as '<f4'");
    npy->big_endian = *name == '>';
    if (*name && strchr("<>=|", *name)) name++;
    for (i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(name, known[i][0]) && strcmp(name, known[i][1]) && strcmp(name, known[i][2])) continue;
        npy->type = known[i][0];
        npy->dtype = ssdei_dtype_find(known[i][3]);
        return SSDE_OK;
    }
    for (i = 0; text[i]; i++)
        if (text[i] < ' ' || text[i] > '~') text[i] = '?';
    return ssde_fail(npy->context, SSDE_ERROR_UNSUPPORTED,
                     "'%.70s': type '%s' is not supported, only f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 b1: save "
                     "x.astype(numpy.float32) instead",
                     npy->path, text);
}

static ssde_status ssdei_npy_order(ssdei_npy *npy) {
    ssdei_npy_skip(npy);
    npy->fortran = npy->end - npy->at >= 4 && !memcmp(npy->at, "True", 4);
    if (!npy->fortran && (npy->end - npy->at < 5 || memcmp(npy->at, "False", 5)))
        return ssdei_npy_malformed(npy, "True or False for fortran_order");
    npy->at += npy->fortran ? 4 : 5;
    return SSDE_OK;
}

/* (), (3,), (3, 4), with Python 2's L after a number or not */
static ssde_status ssdei_npy_shape(ssdei_npy *npy) {
    int comma = 1;
    npy->rank = 0;
    if (!ssdei_npy_take(npy, '(')) return ssdei_npy_malformed(npy, "( of the shape");
    while (!ssdei_npy_take(npy, ')')) {
        size_t size = 0;
        if (!comma || npy->at == npy->end || *npy->at < '0' || *npy->at > '9')
            return ssdei_npy_malformed(npy, "a shape of whole numbers");
        for (; npy->at < npy->end && *npy->at >= '0' && *npy->at <= '9'; npy->at++) {
            size_t digit = (size_t)(*npy->at - '0');
            if (size > (SIZE_MAX - digit) / 10) return ssdei_npy_malformed(npy, "sizes that fit into memory");
            size = size * 10 + digit;
        }
        if (npy->at < npy->end && *npy->at == 'L') npy->at++;
        if (npy->rank == SSDE_MAX_RANK)
            return ssde_fail(npy->context, SSDE_ERROR_UNSUPPORTED, "'%.120s' has more than 4 axes", npy->path);
        npy->shape[npy->rank++] = size;
        comma = ssdei_npy_take(npy, ',');
    }
    if (npy->rank == 1 && !comma) return ssdei_npy_malformed(npy, "a comma after a single size");
    return SSDE_OK;
}

/* {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }, keys in any order */
static ssde_status ssdei_npy_dictionary(ssdei_npy *npy) {
    unsigned seen = 0, key;
    if (!ssdei_npy_take(npy, '{')) return ssdei_npy_malformed(npy, "{");
    while (!ssdei_npy_take(npy, '}')) {
        char name[16];
        if (!ssdei_npy_string(npy, name)) return ssdei_npy_malformed(npy, "a quoted key");
        key = !strcmp(name, "descr") ? 1 : !strcmp(name, "fortran_order") ? 2 : !strcmp(name, "shape") ? 4 : 0;
        if (!key || (seen & key)) return ssdei_npy_malformed(npy, "descr, fortran_order and shape, each once");
        seen |= key;
        if (!ssdei_npy_take(npy, ':')) return ssdei_npy_malformed(npy, "a colon after a key");
        ssdei_try(key == 1 ? ssdei_npy_type(npy) : key == 2 ? ssdei_npy_order(npy) : ssdei_npy_shape(npy));
        if (ssdei_npy_take(npy, ',')) continue;
        if (!ssdei_npy_take(npy, '}')) return ssdei_npy_malformed(npy, "a comma or }");
        break;
    }
    ssdei_npy_skip(npy);
    if (npy->at != npy->end) return ssdei_npy_malformed(npy, "only blanks after }");
    return seen == 7 ? SSDE_OK : ssdei_npy_malformed(npy, "descr, fortran_order and shape, each once");
}

/* Reads the header in bytes[size]; npy->at is left at the data, npy->end at the end of the file. */
static ssde_status ssdei_npy_header(ssdei_npy *npy, const unsigned char *bytes, size_t size) {
    size_t start, length;
    if (size < 10 || memcmp(bytes, "\x93NUMPY", 6))
        return ssdei_wrong_file(npy->context, npy->path, "a .npy file", bytes, size);
    if (bytes[6] < 1 || bytes[6] > 3 || bytes[7])
        return ssde_fail(npy->context, SSDE_ERROR_UNSUPPORTED, "'%.120s': .npy version %d.%d, wanted 1.0 to 3.0",
                         npy->path, bytes[6], bytes[7]);
    start = bytes[6] == 1 ? 10 : 12;
    length = size < start ? 0 : (size_t)ssdei_little_endian(bytes + 8, start - 8);
    if (size < start || length > size - start)
        return ssde_fail(npy->context, SSDE_ERROR_FORMAT, "'%.120s': the header of %lu bytes is cut off", npy->path,
                         (unsigned long)length);
    npy->at = bytes + start;
    npy->end = npy->at + length;
    ssdei_try(ssdei_npy_dictionary(npy));
    npy->end = bytes + size;
    return SSDE_OK;
}

SSDEI_ONCE_END

/* Elements in C order, from where the file's order has them. */
static ssde_status ssdei_npy_values(const ssdei_npy *npy, size_t count, float *values) {
    const size_t size = npy->dtype->bytes;
    size_t stride[SSDE_MAX_RANK], step = 1, i;
    ssdei_walk walk;
    int axis;
    for (axis = 0; axis < npy->rank; axis++) {
        int slower = npy->fortran ? axis : npy->rank - 1 - axis;
        stride[slower] = step;
        step *= npy->shape[slower];
    }
    walk = ssdei_walk_begin(npy->rank, npy->shape, stride);
    for (i = 0; i < count; i++, ssdei_walk_next(&walk)) {
        uint64_t bits = ssdei_number_at(npy->at + walk.position * size, size, npy->big_endian);
        if (!ssdei_number_float(npy->dtype, bits, &values[walk.place]))
            return ssde_fail(npy->context, SSDE_ERROR_NUMERIC, "'%.120s': element %lu is %.9g, which no float can hold",
                             npy->path, (unsigned long)walk.place, ssdei_number_double(npy->dtype, bits));
    }
    return SSDE_OK;
}

static ssde_status ssdei_npy_decode(ssde_context *context, const char *path, const unsigned char *bytes, size_t size,
                                    ssde_tensor *tensor, ssde_tensor *none) {
    char text[SSDEI_SHAPE_TEXT];
    ssdei_npy header, *npy = &header;
    ssde_status status;
    size_t count = 1, held;
    int i;
    (void)none;
    memset(npy, 0, sizeof *npy);
    npy->context = context;
    npy->path = path;
    ssdei_try(ssdei_npy_header(npy, bytes, size));
    for (i = 0; i < npy->rank; i++) count = ssdei_multiply(count, npy->shape[i]);
    if (!count) return ssde_fail(npy->context, SSDE_ERROR_UNSUPPORTED, "'%.120s' holds an empty array", npy->path);
    held = (size_t)(npy->end - npy->at);
    if (ssdei_multiply(count, npy->dtype->bytes) != held)
        return ssde_fail(npy->context, SSDE_ERROR_FORMAT,
                         "'%.100s' holds %lu bytes of data, its shape %s of %s needs %s", npy->path,
                         (unsigned long)held, ssdei_shape(text, npy->rank, npy->shape), npy->type,
                         ssdei_multiply(count, npy->dtype->bytes) > held ? "more" : "fewer");
    ssdei_try(ssde_tensor_create(npy->context, tensor, npy->rank, npy->shape));
    status = ssdei_npy_values(npy, count, tensor->data);
    if (status != SSDE_OK) ssde_tensor_release(npy->context, tensor);
    return status;
}

SSDEI_ONCE_BEGIN

ssde_status ssde_npy_load(ssde_context *context, const char *path, ssde_tensor *tensor) {
    const char *member = tensor && path ? strstr(path, ".npz:") : NULL;
    if (tensor) memset(tensor, 0, sizeof *tensor);
    if (member)
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED,
                         "'%.120s': members of archives are not read: run unzip on '%.*s' and load its .npy file", path,
                         (int)(member + 4 - path > 80 ? 80 : member + 4 - path), path);
    return ssdei_load_array(context, path, ssdei_npy_decode, "tensor", tensor, NULL);
}

ssde_status ssde_npy_save(ssde_context *context, const char *path, const ssde_tensor *tensor) {
    char header[192];
    ssdei_writer writer;
    size_t length;
    int axis;
    ssdei_try(ssdei_tensor_check(context, "tensor", tensor));
    memcpy(header, "\x93NUMPY\x01\x00", 8);
    length =
        10 + (size_t)snprintf(header + 10, sizeof header - 10, "{'descr': '<f4', 'fortran_order': False, 'shape': (");
    for (axis = 0; axis < tensor->rank; axis++)
        length += (size_t)snprintf(header + length, sizeof header - length,
                                   axis + 1 < tensor->rank ? "%.0f, "
                                   : axis                  ? "%.0f"
                                                           : "%.0f,",
                                   (double)tensor->shape[axis]);
    length += (size_t)snprintf(header + length, sizeof header - length, "), }");
    while (length % 64 != 63) header[length++] = ' '; /* the data begins at a multiple of 64 */
    header[length++] = '\n';
    header[8] = (char)(length - 10);
    header[9] = 0;
    ssdei_try(ssdei_writer_open(&writer, context, path));
    ssdei_writer_put(&writer, header, length);
    ssdei_writer_put_floats(&writer, tensor->data, ssde_tensor_count(tensor), NULL);
    return ssdei_writer_commit(&writer);
}

SSDEI_ONCE_END

/* ---- files: IDX and CIFAR-10 ---- */

static ssde_status ssdei_idx_decode(ssde_context *context, const char *path, const unsigned char *bytes, size_t size,
                                    ssde_tensor *tensor, ssde_tensor *none) {
    char text[SSDEI_SHAPE_TEXT];
    size_t shape[SSDE_MAX_RANK] = {0, 0, 0, 0}, count = 1, start, i;
    int rank;
    (void)none;
    if (size < 4 || bytes[0] || bytes[1] || !bytes[3])
        return ssdei_wrong_file(context, path, "an IDX file", bytes, size);
    if (bytes[2] != 0x08 || bytes[3] > SSDE_MAX_RANK)
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED,
                         "'%.120s': IDX type 0x%02x with %d axes, wanted 0x08 (unsigned bytes) with 1 to 4", path,
                         bytes[2], bytes[3]);
    rank = bytes[3];
    start = 4 + 4 * (size_t)rank;
    if (size < start) return ssde_fail(context, SSDE_ERROR_FORMAT, "'%.120s': the header is cut off", path);
    for (i = 0; i < (size_t)rank; i++) {
        shape[i] = (size_t)ssdei_number_at(bytes + 4 + 4 * i, 4, 1);
        count = ssdei_multiply(count, shape[i]);
    }
    if (!count) return ssde_fail(context, SSDE_ERROR_UNSUPPORTED, "'%.120s' holds an empty array", path);
    if (count != size - start)
        return ssde_fail(context, SSDE_ERROR_FORMAT, "'%.120s' holds %lu bytes of data, its shape %s needs %s", path,
                         (unsigned long)(size - start), ssdei_shape(text, rank, shape),
                         count > size - start ? "more" : "fewer");
    if (rank == 3) shape[rank++] = 1;
    ssdei_try(ssde_tensor_create(context, tensor, rank, shape));
    for (i = 0; i < count; i++) tensor->data[i] = (float)bytes[start + i];
    return SSDE_OK;
}

SSDEI_ONCE_BEGIN

ssde_status ssde_idx_load(ssde_context *context, const char *path, ssde_tensor *tensor) {
    return ssdei_load_array(context, path, ssdei_idx_decode, "tensor", tensor, NULL);
}

enum { SSDEI_CIFAR_PLANE = 32 * 32, SSDEI_CIFAR_RECORD = 1 + 3 * SSDEI_CIFAR_PLANE };

static ssde_status ssdei_cifar10_decode(ssde_context *context, const char *path, const unsigned char *bytes,
                                        size_t size, ssde_tensor *images, ssde_tensor *labels) {
    const size_t count = size / SSDEI_CIFAR_RECORD;
    size_t shape[SSDE_MAX_RANK], i, pixel, channel;
    ssde_status status;
    if ((!count || size % SSDEI_CIFAR_RECORD || bytes[0] > 9) && ssdei_file_kind(bytes, size))
        return ssdei_wrong_file(context, path, "made of CIFAR-10's records of 3073 bytes", bytes, size);
    if (!count || size % SSDEI_CIFAR_RECORD)
        return ssde_fail(context, SSDE_ERROR_FORMAT,
                         "'%.120s' holds %lu bytes, wanted whole records of 3073 (CIFAR-10, binary version)", path,
                         (unsigned long)size);
    for (i = 0; i < count; i++) {
        if (bytes[i * SSDEI_CIFAR_RECORD] > 9)
            return ssde_fail(context, SSDE_ERROR_FORMAT, "'%.120s': record %lu has label %d, wanted 0 to 9", path,
                             (unsigned long)i, bytes[i * SSDEI_CIFAR_RECORD]);
    }
    shape[0] = count;
    shape[1] = shape[2] = 32;
    shape[3] = 3;
    ssdei_try(ssde_tensor_create(context, images, 4, shape));
    status = labels ? ssde_tensor_create(context, labels, 1, shape) : SSDE_OK;
    if (status != SSDE_OK) {
        ssde_tensor_release(context, images);
        return status;
    }
    for (i = 0; i < count; i++, bytes += SSDEI_CIFAR_RECORD) {
        float *to = images->data + i * 3 * SSDEI_CIFAR_PLANE;
        if (labels) labels->data[i] = (float)bytes[0];
        for (pixel = 0; pixel < SSDEI_CIFAR_PLANE; pixel++)
            for (channel = 0; channel < 3; channel++)
                to[3 * pixel + channel] = (float)bytes[1 + channel * SSDEI_CIFAR_PLANE + pixel];
    }
    return SSDE_OK;
}

ssde_status ssde_cifar10_load(ssde_context *context, const char *path, ssde_tensor *images, ssde_tensor *labels) {
    return ssdei_load_array(context, path, ssdei_cifar10_decode, "images", images, labels);
}

/* ---- files: text ---- */

void ssdei_text_add_bytes(ssdei_text *text, const char *bytes, size_t count) {
    void *data = text->data;
    if (text->status != SSDE_OK) return;
    text->status = ssdei_grow(text->context, &data, &text->capacity, text->size, count + 1, 1);
    text->data = (char *)data;
    if (text->status != SSDE_OK) return;
    if (count) memcpy(text->data + text->size, bytes, count);
    text->size += count;
    text->data[text->size] = 0;
}

void ssdei_text_add(ssdei_text *text, const char *string) { ssdei_text_add_bytes(text, string, strlen(string)); }

void ssdei_text_add_unsigned(ssdei_text *text, uint64_t value) {
    char digits[20];
    size_t first = sizeof digits;
    do digits[--first] = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    ssdei_text_add_bytes(text, digits + first, sizeof digits - first);
}

/* printf and strtod round as the thread does. A number written under one mode is read back under any: both are done to
   nearest. Returns the mode to go back to. */
static int ssdei_round_to_nearest(void) {
    int mode = fegetround();
    if (mode != FE_TONEAREST) fesetround(FE_TONEAREST);
    return mode;
}
static void ssdei_round_as(int mode) {
    if (mode != FE_TONEAREST) fesetround(mode);
}

/* The shortest decimal that reads back as the same double, with a point in every locale. */
void ssdei_text_add_double(ssdei_text *text, double value) {
    char decimal[40], *c;
    int precision, point = 0, mode = ssdei_round_to_nearest();
    for (precision = 6; precision <= 17; precision++) {
        snprintf(decimal, sizeof decimal, "%.*g", precision, value);
        if (strtod(decimal, NULL) == value) break;
    }
    ssdei_round_as(mode);
    for (c = decimal; *c; c++) {
        if (strchr("+-e0123456789", *c))
            ssdei_text_add_bytes(text, c, 1);
        else if (!point++)
            ssdei_text_add(text, ".");
    }
}

/* As a JSON string. */
void ssdei_text_add_string(ssdei_text *text, const char *string) {
    static const char hexadecimal[] = "0123456789abcdef";
    ssdei_text_add(text, "\"");
    for (; *string; string++) {
        unsigned char c = (unsigned char)*string;
        char escape[6] = {'\\', 'u', '0', '0', hexadecimal[c >> 4], hexadecimal[c & 15]};
        if (c == '"' || c == '\\') {
            escape[1] = *string;
            ssdei_text_add_bytes(text, escape, 2);
        } else if (c < 0x20)
            ssdei_text_add_bytes(text, escape, 6);
        else
            ssdei_text_add_bytes(text, string, 1);
    }
    ssdei_text_add(text, "\"");
}

void ssdei_text_release(ssdei_text *text) {
    ssdei_release(text->context, text->data);
    text->data = NULL;
}

/* ---- files: JSON ---- */

ssdei_json ssdei_json_over(const char *text, size_t size) {
    ssdei_json json;
    memset(&json, 0, sizeof json);
    json.text = text;
    json.size = size;
    return json;
}

int ssdei_json_fail(ssdei_json *json, const char *problem) {
    if (!json->problem) json->problem = problem;
    return 0;
}

/* The character at the cursor; 0 at the end. */
static char ssdei_json_here(const ssdei_json *json) { return json->at < json->size ? json->text[json->at] : (char)0; }

/* The next character that is not white space; 0 at the end. */
char ssdei_json_peek(ssdei_json *json) {
    while (json->at < json->size && strchr(" \t\n\r", json->text[json->at]) && json->text[json->at]) json->at++;
    return ssdei_json_here(json);
}

static int ssdei_json_take(ssdei_json *json, char c) {
    if (json->problem || ssdei_json_peek(json) != c) return 0;
    json->at++;
    return 1;
}

int ssdei_json_open(ssdei_json *json, char bracket) {
    json->opened = 1;
    return ssdei_json_take(json, bracket) ||
           ssdei_json_fail(json, bracket == '{' ? "an object is expected" : "an array is expected");
}

/* Whether there is another element before the closing bracket; moves past the comma or the bracket. */
int ssdei_json_next(ssdei_json *json, char bracket) {
    int first = json->opened;
    json->opened = 0;
    if (ssdei_json_take(json, bracket) || json->problem) return 0;
    return first || ssdei_json_take(json, ',') || ssdei_json_fail(json, "a comma or a closing bracket is expected");
}

int ssdei_json_end(ssdei_json *json) {
    if (!json->problem && (ssdei_json_peek(json), json->at < json->size))
        ssdei_json_fail(json, "nothing more is expected");
    return !json->problem;
}

static unsigned ssdei_json_four_digits(ssdei_json *json) {
    static const char digits[] = "0123456789abcdefABCDEF";
    unsigned value = 0;
    int i;
    for (i = 0; i < 4; i++, json->at++) {
        char c = ssdei_json_here(json);
        const char *digit = c ? strchr(digits, c) : NULL;
        unsigned place = digit ? (unsigned)(digit - digits) : 0;
        if (!digit) return (unsigned)ssdei_json_fail(json, "four hexadecimal digits are expected");
        value = value * 16 + (place < 16 ? place : place - 6);
    }
    return value;
}

/* The character of \uXXXX, or of a surrogate pair of them, as UTF-8; the cursor is behind the first u. */
static size_t ssdei_json_unicode(ssdei_json *json, char out[4]) {
    static const unsigned first[4] = {0, 0xc0, 0xe0, 0xf0};
    unsigned code = ssdei_json_four_digits(json);
    size_t more, i;
    if (json->problem) return 0;
    if (code >= 0xd800 && code < 0xe000) {
        unsigned low = 0;
        if (code < 0xdc00 && ssdei_stands((const unsigned char *)json->text, json->size, json->at, "\\u", 2)) {
            json->at += 2;
            low = ssdei_json_four_digits(json);
        }
        if (low < 0xdc00 || low > 0xdfff) return (size_t)ssdei_json_fail(json, "half of a surrogate pair");
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    /* U+0000 takes two bytes, c0 80, since strings end in a zero byte */
    more = code && code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    for (i = more; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 63));
    out[0] = (char)(first[more] | code);
    return more + 1;
}

/* Decodes a string into out [capacity], cut to what fits, with a NUL behind; capacity 0: moves past it. Returns its
   bytes, the NUL among them: never more than its encoding has. */
size_t ssdei_json_string(ssdei_json *json, char *out, size_t capacity) {
    static const char escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    size_t length = 0, kept = 0;
    if (!ssdei_json_take(json, '"')) return (size_t)ssdei_json_fail(json, "a string is expected");
    while (ssdei_json_here(json) != '"') {
        char bytes[4];
        size_t count = 1;
        bytes[0] = ssdei_json_here(json);
        if ((unsigned char)bytes[0] < 0x20) return (size_t)ssdei_json_fail(json, "an unfinished string");
        json->at++;
        if (bytes[0] == '\\') {
            char c = ssdei_json_here(json);
            const char *escape = c ? strchr(escapes, c) : NULL;
            if (!escape && c != 'u') return (size_t)ssdei_json_fail(json, "an unknown escape in a string");
            json->at++;
            if (escape)
                bytes[0] = meanings[escape - escapes];
            else
                count = ssdei_json_unicode(json, bytes);
            if (json->problem) return 0;
        }
        if (length + count < capacity) {
            memcpy(out + length, bytes, count);
            kept = length + count;
        }
        length += count;
    }
    json->at++;
    if (capacity) out[kept] = 0;
    return length + 1;
}

/* An object's key, and the colon behind it. */
void ssdei_json_key(ssdei_json *json, char *out, size_t capacity) {
    ssdei_json_string(json, out, capacity);
    if (!ssdei_json_take(json, ':')) ssdei_json_fail(json, "a colon is expected");
}

static size_t ssdei_json_digits(ssdei_json *json) {
    size_t start = json->at;
    while (ssdei_json_here(json) >= '0' && ssdei_json_here(json) <= '9') json->at++;
    return json->at - start;
}

/* Moves past a number and copies it without its point, its digits being an integer and its exponent lowered to match:
   so written it means the same to strtod in every locale. out [160]; NULL: only moves. */
static int ssdei_json_number_text(ssdei_json *json, char *out) {
    size_t start, whole, fraction = 0, used = 0, i;
    long exponent = 0;
    int negative = 0;
    ssdei_json_peek(json);
    start = json->at;
    if (ssdei_json_here(json) == '-') json->at++;
    whole = ssdei_json_digits(json);
    if (!whole || (whole > 1 && json->text[json->at - whole] == '0'))
        return ssdei_json_fail(json, "a number is expected");
    if (ssdei_json_here(json) == '.') {
        json->at++;
        fraction = ssdei_json_digits(json);
        if (!fraction) return ssdei_json_fail(json, "a digit is expected behind the point");
    }
    if (json->at - start > 128) return ssdei_json_fail(json, "a number of more than 128 characters");
    for (i = start; out && i < json->at; i++)
        if (json->text[i] != '.') out[used++] = json->text[i];
    if (ssdei_json_here(json) == 'e' || ssdei_json_here(json) == 'E') {
        size_t digits;
        json->at++;
        negative = ssdei_json_here(json) == '-';
        if (negative || ssdei_json_here(json) == '+') json->at++;
        digits = ssdei_json_digits(json);
        if (!digits) return ssdei_json_fail(json, "a digit is expected in the exponent");
        for (i = json->at - digits; i < json->at && exponent < 100000; i++)
            exponent = exponent * 10 + (json->text[i] - '0');
    }
    if (out) snprintf(out + used, 160 - used, "e%ld", (negative ? -exponent : exponent) - (long)fraction);
    return 1;
}

double ssdei_json_number(ssdei_json *json) {
    char text[160];
    double value;
    int mode;
    if (json->problem || !ssdei_json_number_text(json, text)) return 0.0;
    mode = ssdei_round_to_nearest();
    value = strtod(text, NULL);
    ssdei_round_as(mode);
    if (!(fabs(value) <= DBL_MAX)) ssdei_json_fail(json, "a number beyond the range of double");
    return value;
}

/* Digits only. */
uint64_t ssdei_json_unsigned(ssdei_json *json) {
    uint64_t value = 0;
    size_t start, i;
    if (json->problem) return 0;
    ssdei_json_peek(json);
    start = json->at;
    if (!ssdei_json_number_text(json, NULL)) return 0;
    for (i = start; i < json->at; i++) {
        unsigned digit = (unsigned)(json->text[i] - '0');
        if (digit > 9 || value > (UINT64_MAX - digit) / 10) {
            json->at = start;
            return (uint64_t)ssdei_json_fail(json, "a whole number from 0 to 2^64 - 1 is expected");
        }
        value = value * 10 + digit;
    }
    return value;
}

int ssdei_json_word(ssdei_json *json, const char *word) {
    size_t length = strlen(word);
    if (json->problem) return 0;
    ssdei_json_peek(json);
    if (json->size - json->at < length || memcmp(json->text + json->at, word, length)) return 0;
    json->at += length;
    return 1;
}

static void ssdei_json_skip_scalar(ssdei_json *json) {
    if (ssdei_json_peek(json) == '"')
        ssdei_json_string(json, NULL, 0);
    else if (!ssdei_json_word(json, "true") && !ssdei_json_word(json, "false") && !ssdei_json_word(json, "null"))
        ssdei_json_number_text(json, NULL);
}

/* Moves past any value, without recursion. */
void ssdei_json_skip(ssdei_json *json) {
    char closing[64];
    int depth = 0;
    do {
        char c = ssdei_json_peek(json);
        if (json->problem) return;
        if (c != '{' && c != '[')
            ssdei_json_skip_scalar(json);
        else if (depth == (int)sizeof closing)
            ssdei_json_fail(json, "more than 64 levels of nesting");
        else {
            ssdei_json_open(json, c);
            closing[depth++] = c == '{' ? '}' : ']';
        }
        while (depth && !ssdei_json_next(json, closing[depth - 1])) depth--;
        if (depth && closing[depth - 1] == '}') ssdei_json_key(json, NULL, 0);
    } while (depth && !json->problem);
}

SSDEI_ONCE_END

/* ---- files: files of tensors ----
   Every container is read into the same struct, and values out of it by the same function.

   To add a file format: a section before the last one, with a function that
       allocates file->strings, where names, keys and values stay: once, since they are pointed at;
       sets file->data_start, from which begin and end count, and file->data_size;
       fills an ssdei_entry_add for each tensor: name, dtype by its name in ssdei_dtypes, rank, shape and count, then
       ssdei_entry_complete, then begin and end; and file->metadata, if there is any;
       ends in ssdei_check_names.
   The format's first bytes go to ssdei_load_container, and its name to the error there, both out of ssdei_file_kind;
   dtypes that only it has to ssdei_dtypes; what of it is read to the comment of ssde_tensor_file_open. Sizes in a file
   are anyone's: everything is read by ssdei_read_at, multiplied by ssdei_multiply, and compared with file->size before
   memory is taken; what lies between begin and end is as many bytes as dtype and count say (ssdei_extent_fits).
   tests/test_core_files.h wants a good file, and each of its bytes cut off and changed; tests/fuzz a target. */

/* A file inside an archive. */
typedef struct ssdei_record {
    const char *name; /* without a NUL behind */
    size_t length;    /* of the name */
    uint64_t begin, size;
    uint32_t crc;
    int checked;         /* its bytes have been found to have this CRC */
    const char *problem; /* why it cannot be read; NULL: it can */
} ssdei_record;

typedef struct ssdei_entry {
    ssde_file_tensor info;
    const ssdei_dtype *dtype;
    uint64_t begin, end;           /* of its bytes, from the start of the file's data */
    size_t stride[8];              /* from one element to the next along an axis, in elements */
    ssdei_record *record;          /* that the bytes lie in; NULL: in none */
    uint64_t bits;                 /* info.number's, which stand nowhere else */
    int negative;                  /* the values have the other sign */
    size_t first;                  /* of a part of a tensor: its first value in that */
    const ssde_tensor_file *shard; /* that it lies in; NULL: the file itself */
} ssdei_entry;

typedef struct ssdei_metadata {
    const char *key, *value;
} ssdei_metadata;

/* A piece of a file in memory. */
typedef struct ssdei_piece {
    unsigned char bytes[SSDEI_PIECE];
    uint64_t begin;
    size_t size;
    uint64_t place; /* the stream's */
} ssdei_piece;

struct ssde_tensor_file {
    ssde_context *context;
    char *path;
    ssdei_piece *piece; /* with the next and the path in one block with the struct */
    ssdei_crc_tables *tables;
    size_t path_size; /* with its end */
    FILE *stream;
    uint64_t size;
    uint64_t data_start, data_size;
    int big_endian;
    char *strings; /* every name, key and value */
    size_t strings_size;
    ssdei_entry *entries;
    size_t count, capacity;
    size_t *by_name; /* entries in the order of their names */
    ssdei_metadata *metadata;
    size_t metadata_count, metadata_capacity;
    /* of an archive; records come first in one block with the other two */
    unsigned char *directory;
    size_t directory_size;
    ssdei_record *records;
    size_t record_count;
    size_t *record_by_name;
    /* of an index of several files */
    ssde_tensor_file **shards;
    size_t shard_count, shard_capacity;
};

SSDEI_ONCE_BEGIN

/* Bytes that the file must have. */
static ssde_status ssdei_read_at(const ssde_tensor_file *file, uint64_t offset, void *bytes, size_t size) {
    if (offset > file->size || size > file->size - offset)
        return ssde_fail(file->context, SSDE_ERROR_FORMAT, "'%.120s' has %llu bytes and refers to %lu at %llu",
                         file->path, (unsigned long long)file->size, (unsigned long)size, (unsigned long long)offset);
    if ((offset != file->piece->place && ssdei_seek(file->stream, (int64_t)offset, SEEK_SET)) ||
        fread(bytes, 1, size, file->stream) != size) {
        file->piece->place = UINT64_MAX;
        return ssde_fail(file->context, SSDE_ERROR_FILE, "cannot read %lu bytes at %llu of '%.120s'",
                         (unsigned long)size, (unsigned long long)offset, file->path);
    }
    file->piece->place = offset + size;
    return SSDE_OK;
}

/* One more entry, all zero; NULL with the error set. */
static ssdei_entry *ssdei_entry_add(ssde_tensor_file *file) {
    void *array = file->entries;
    ssde_status status = ssdei_grow(file->context, &array, &file->capacity, file->count, 1, sizeof *file->entries);
    file->entries = (ssdei_entry *)array;
    if (status != SSDE_OK) return NULL;
    return (ssdei_entry *)memset(&file->entries[file->count++], 0, sizeof *file->entries);
}

/* What follows from an entry's dtype by name, rank and shape; elements are in C order. */
static void ssdei_entry_complete(ssdei_entry *entry) {
    size_t stride = 1;
    int axis;
    entry->dtype = ssdei_dtype_find(entry->info.dtype);
    if (entry->dtype->kind == SSDEI_NUMBER_OPAQUE) entry->info.problem = ssdei_dtype_problem;
    if (entry->info.rank < 0) entry->info.problem = "has more than 8 axes";
    for (axis = entry->info.rank - 1; axis >= 0; axis--) {
        entry->stride[axis] = stride;
        stride *= entry->info.shape[axis];
    }
}

static int ssdei_name_before(const void *items, size_t a, size_t b) {
    const ssdei_entry *entries = (const ssdei_entry *)items;
    return strcmp(entries[a].info.name, entries[b].info.name) < 0;
}

/* Leaves their order in by_name. */
static ssde_status ssdei_sort_entries(ssde_tensor_file *file, int (*before)(const void *items, size_t a, size_t b)) {
    if (!file->by_name) file->by_name = (size_t *)ssdei_allocate(file->context, file->count + 1, sizeof(size_t));
    if (!file->by_name) return SSDE_ERROR_MEMORY;
    ssdei_sort(file->entries, file->count, file->by_name, before);
    return SSDE_OK;
}

/* No name comes twice. Leaves by_name sorted. */
static ssde_status ssdei_check_names(ssde_tensor_file *file) {
    size_t i;
    ssdei_try(ssdei_sort_entries(file, ssdei_name_before));
    for (i = 1; i < file->count; i++) {
        const char *name = file->entries[file->by_name[i]].info.name;
        if (!strcmp(name, file->entries[file->by_name[i - 1]].info.name))
            return ssde_fail(file->context, SSDE_ERROR_FORMAT, "'%.90s' has tensor '%.60s' twice", file->path, name);
    }
    return SSDE_OK;
}

void ssde_tensor_file_close(ssde_tensor_file *file) {
    if (!file) return;
    while (file->shard_count) ssde_tensor_file_close(file->shards[--file->shard_count]);
    ssdei_release(file->context, file->shards);
    if (file->stream) fclose(file->stream);
    ssdei_release(file->context, file->strings);
    ssdei_release(file->context, file->entries);
    ssdei_release(file->context, file->by_name);
    ssdei_release(file->context, file->metadata);
    ssdei_release(file->context, file->records);
    ssdei_release(file->context, file);
}

const char *ssde_tensor_file_path(const ssde_tensor_file *file) { return file ? file->path : NULL; }

size_t ssde_tensor_file_count(const ssde_tensor_file *file) { return file ? file->count : 0; }

const ssde_file_tensor *ssde_tensor_file_get(const ssde_tensor_file *file, size_t index) {
    return file && index < file->count ? &file->entries[index].info : NULL;
}

const ssde_file_tensor *ssde_tensor_file_find(const ssde_tensor_file *file, const char *name) {
    size_t low = 0, high = file && name ? file->count : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const ssde_file_tensor *tensor = &file->entries[file->by_name[middle]].info;
        int order = strcmp(name, tensor->name);
        if (!order) return tensor;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const char *ssde_tensor_file_metadata(const ssde_tensor_file *file, const char *key) {
    size_t i = file && key ? file->metadata_count : 0;
    while (i-- > 0) /* of a key that comes twice, the last counts, as in the format's own reader */
        if (!strcmp(file->metadata[i].key, key)) return file->metadata[i].value;
    return NULL;
}

SSDEI_ONCE_END

/* Moves the file's piece, if need be, so that it has `size` bytes at `offset`, and more of what is behind them up to
   `end`. */
static ssde_status ssdei_piece_move(const ssde_tensor_file *file, uint64_t offset, size_t size, uint64_t end) {
    ssdei_piece *piece = file->piece;
    size_t have = end - offset < sizeof piece->bytes ? (size_t)(end - offset) : sizeof piece->bytes;
    if (offset >= piece->begin && offset + size <= piece->begin + piece->size) return SSDE_OK;
    piece->size = 0;
    ssdei_try(ssdei_read_at(file, offset, piece->bytes, have));
    piece->begin = offset;
    piece->size = have;
    return SSDE_OK;
}

static ssde_status ssdei_record_fail(const ssde_tensor_file *file, const ssdei_record *record, ssde_status status,
                                     const char *problem) {
    return ssde_fail(file->context, status, "'%.90s': '%.*s' %s", file->path,
                     (int)(record->length < 60 ? record->length : 60), record->name, problem);
}

/* Reads a whole record once and compares its CRC. */
static ssde_status ssdei_record_check(const ssde_tensor_file *file, ssdei_record *record) {
    const ssdei_piece *piece = file->piece;
    const uint64_t end = record->begin + record->size;
    uint64_t at = record->begin, next;
    uint32_t crc = 0;
    char problem[60];
    if (record->problem) return ssdei_record_fail(file, record, SSDE_ERROR_UNSUPPORTED, record->problem);
    for (; at < end && !record->checked; at = next) {
        ssdei_try(ssdei_piece_move(file, at, 1, end));
        next = piece->begin + piece->size < end ? piece->begin + piece->size : end;
        crc = ssdei_crc32(file->tables, crc, piece->bytes + (at - piece->begin), (size_t)(next - at));
    }
    record->checked |= crc == record->crc;
    if (record->checked) return SSDE_OK;
    snprintf(problem, sizeof problem, "is damaged: its CRC is %08lx, not %08lx", (unsigned long)crc,
             (unsigned long)record->crc);
    return ssdei_record_fail(file, record, SSDE_ERROR_FORMAT, problem);
}

/* The number at an offset, or of an entry that has its bits, as value[place] or double[place]. */
static ssde_status ssdei_copy_number(const ssde_tensor_file *file, const ssdei_entry *entry, uint64_t bits,
                                     size_t place, float *values, double *doubles) {
    if (doubles)
        doubles[place] = ssdei_number_double(entry->dtype, bits);
    else if (!ssdei_number_float(entry->dtype, bits, &values[place]))
        return ssde_fail(file->context, SSDE_ERROR_NUMERIC,
                         "'%.80s': tensor '%.60s' has %.9g at %lu, which no float can hold: read it as double",
                         file->path, entry->info.name, ssdei_number_double(entry->dtype, bits),
                         (unsigned long)(entry->first + place));
    return SSDE_OK;
}

/* Elements that follow one another in the file as they do in C order. */
static ssde_status ssdei_copy_run(const ssde_tensor_file *file, const ssdei_entry *entry, uint64_t offset, size_t count,
                                  float *values, double *doubles) {
    const size_t size = entry->dtype->bytes, most = sizeof file->piece->bytes / size;
    size_t done, n, i;
    if (values && !strcmp(entry->dtype->name, "F32") && ssdei_low_byte_first() && !file->big_endian)
        return ssdei_read_at(file, offset, values, 4 * count); /* floats as they are */
    for (done = 0; done < count; done += n, offset += n * size) {
        const unsigned char *bytes;
        n = count - done < most ? count - done : most;
        ssdei_try(ssdei_piece_move(file, offset, n * size, offset + (count - done) * size));
        bytes = file->piece->bytes + (offset - file->piece->begin);
        for (i = 0; i < n; i++)
            ssdei_try(ssdei_copy_number(file, entry, ssdei_number_at(bytes + i * size, size, file->big_endian),
                                        done + i, values, doubles));
    }
    return SSDE_OK;
}

static int ssdei_entry_in_order(const ssdei_entry *entry) {
    size_t stride = 1;
    int axis;
    for (axis = entry->info.rank - 1; axis >= 0; axis--) {
        if (entry->info.shape[axis] > 1 && entry->stride[axis] != stride) return 0;
        stride *= entry->info.shape[axis];
    }
    return 1;
}

/* One of values and doubles is NULL. */
static ssde_status ssdei_copy_values(const ssde_tensor_file *file, const ssdei_entry *entry, float *values,
                                     double *doubles) {
    const ssdei_piece *piece = file->piece;
    ssdei_walk walk = ssdei_walk_begin(entry->info.rank, entry->info.shape, entry->stride);
    const size_t size = entry->dtype->bytes;
    const uint64_t begin = file->data_start + entry->begin, end = file->data_start + entry->end;
    size_t i;
    if (entry->info.number) return ssdei_copy_number(file, entry, entry->bits, 0, values, doubles);
    if (ssdei_entry_in_order(entry)) return ssdei_copy_run(file, entry, begin, entry->info.count, values, doubles);
    for (i = 0; i < entry->info.count; i++, ssdei_walk_next(&walk)) {
        uint64_t offset = begin + (uint64_t)walk.position * size;
        ssdei_try(ssdei_piece_move(file, offset, size, end));
        ssdei_try(ssdei_copy_number(file, entry,
                                    ssdei_number_at(piece->bytes + (offset - piece->begin), size, file->big_endian),
                                    walk.place, values, doubles));
    }
    return SSDE_OK;
}

/* Finds the tensor's entry, whose values can be read. */
static ssde_status ssdei_readable_entry(const ssde_tensor_file *file, const ssde_file_tensor *tensor,
                                        const void *values, const ssdei_entry **entry) {
    const ssde_file_tensor *found;
    const ssdei_entry *readable;
    if (!file || !tensor || !values)
        return ssde_fail(file ? file->context : NULL, SSDE_ERROR_ARGUMENT, "ssde_tensor_file_read: %s is NULL",
                         !file     ? "file"
                         : !tensor ? "tensor"
                                   : "values");
    found = ssde_tensor_file_find(file, tensor->name);
    if (!found || found->count != tensor->count)
        return ssde_fail(file->context, SSDE_ERROR_ARGUMENT, "'%.90s' has no such tensor '%.60s'", file->path,
                         tensor->name ? tensor->name : "NULL");
    if (found->problem)
        return ssde_fail(file->context, SSDE_ERROR_UNSUPPORTED, "'%.80s': tensor '%.60s'%s%.40s %s", file->path,
                         found->name, *found->dtype == '?' ? "" : " of ", *found->dtype == '?' ? "" : found->dtype,
                         found->problem);
    *entry = readable = (const ssdei_entry *)(const void *)found; /* whose first member it is */
    return readable->record ? ssdei_record_check(readable->shard ? readable->shard : file, readable->record) : SSDE_OK;
}

static ssde_status ssdei_read_values(const ssde_tensor_file *file, const ssdei_entry *entry, float *values,
                                     double *doubles) {
    ssde_status status = ssdei_copy_values(entry->shard ? entry->shard : file, entry, values, doubles);
    size_t i;
    for (i = 0; i < entry->info.count && entry->negative && status == SSDE_OK; i++) {
        if (doubles)
            doubles[i] = -doubles[i];
        else
            values[i] = -values[i];
    }
    return status;
}

ssde_status ssde_tensor_file_read(const ssde_tensor_file *file, const ssde_file_tensor *tensor, float *values) {
    const ssdei_entry *entry;
    ssdei_try(ssdei_readable_entry(file, tensor, values, &entry));
    return ssdei_read_values(file, entry, values, NULL);
}

ssde_status ssde_tensor_file_read_double(const ssde_tensor_file *file, const ssde_file_tensor *tensor, double *values) {
    const ssdei_entry *entry;
    ssdei_try(ssdei_readable_entry(file, tensor, values, &entry));
    return ssdei_read_values(file, entry, NULL, values);
}

ssde_status ssdei_tensor_read_rows(const ssde_tensor_file *file, const ssde_file_tensor *tensor, size_t first,
                                   size_t rows, float *values) {
    const ssdei_entry *whole;
    ssdei_entry part;
    ssdei_try(ssdei_readable_entry(file, tensor, values, &whole));
    part = *whole;
    part.begin += first * part.stride[0] * part.dtype->bytes;
    part.first = part.info.count / part.info.shape[0] * first;
    part.info.count = part.info.count / part.info.shape[0] * rows;
    part.info.shape[0] = rows;
    return ssdei_read_values(file, &part, values, NULL);
}

SSDEI_ONCE_BEGIN

/* ---- files: safetensors: reading ----
   8 bytes: length of the header, little-endian. The header: a JSON object of tensors {"dtype", "shape", "data_offsets"}
   and "__metadata__", an object of strings. Then the data, little-endian; the tensors cover it without holes or
   overlaps. */

/* Decodes a string into file->strings, where it stays. */
static const char *ssdei_keep_string(ssde_tensor_file *file, ssdei_json *json) {
    char *string = file->strings + file->strings_size;
    file->strings_size += ssdei_json_string(json, string, json->size + 1 - file->strings_size);
    return json->problem ? NULL : string;
}

static void ssdei_read_shape(ssdei_json *json, ssde_file_tensor *info) {
    size_t axes = 0;
    info->count = 1;
    for (ssdei_json_open(json, '['); ssdei_json_next(json, ']'); axes++) {
        uint64_t size = ssdei_json_unsigned(json);
        if (size > SIZE_MAX || ssdei_multiply(info->count, (size_t)size) == SIZE_MAX)
            ssdei_json_fail(json, "more elements than memory can hold");
        if (json->problem) return;
        if (axes < sizeof info->shape / sizeof *info->shape) info->shape[axes] = (size_t)size;
        info->count *= (size_t)size;
    }
    info->rank = axes > sizeof info->shape / sizeof *info->shape ? -1 : (int)axes;
}

static void ssdei_read_offsets(ssdei_json *json, uint64_t *begin, uint64_t *end) {
    int count = 0;
    for (ssdei_json_open(json, '['); ssdei_json_next(json, ']'); count++)
        *(count ? end : begin) = ssdei_json_unsigned(json);
    if (count != 2) ssdei_json_fail(json, "data_offsets are two numbers");
}

/* Whether the bytes are as many as dtype and shape say; of an unknown dtype any number is right. */
static int ssdei_extent_fits(const ssdei_entry *entry) {
    const ssdei_dtype *dtype = entry->dtype;
    size_t elements = dtype->elements ? dtype->elements : 1, groups = entry->info.count / elements;
    if (!dtype->bytes) return 1;
    return entry->info.count % elements == 0 && ssdei_multiply(groups, dtype->bytes) < SIZE_MAX &&
           groups * dtype->bytes == entry->end - entry->begin;
}

/* {"dtype": ..., "shape": ..., "data_offsets": ...} in any order, each once. Other keys mean nothing here. */
static void ssdei_read_entry(ssde_tensor_file *file, ssdei_json *json, ssdei_entry *entry) {
    unsigned seen = 0, field;
    for (ssdei_json_open(json, '{'); ssdei_json_next(json, '}'); seen |= field) {
        char key[16];
        ssdei_json_key(json, key, sizeof key);
        if (json->problem) return;
        field = !strcmp(key, "dtype") ? 1u : !strcmp(key, "shape") ? 2u : !strcmp(key, "data_offsets") ? 4u : 0u;
        if (seen & field) ssdei_json_fail(json, "dtype, shape and data_offsets are expected, each once");
        if (!field) ssdei_json_skip(json);
        if (field == 1) entry->info.dtype = ssdei_keep_string(file, json);
        if (field == 2) ssdei_read_shape(json, &entry->info);
        if (field == 4) ssdei_read_offsets(json, &entry->begin, &entry->end);
        if (json->problem) return;
    }
    if (seen != 7) ssdei_json_fail(json, "dtype, shape and data_offsets are expected, each once");
    if (json->problem) return;
    ssdei_entry_complete(entry);
    if (entry->begin > entry->end || entry->end > file->data_size)
        ssdei_json_fail(json, "data_offsets lie outside the file");
    else if (!ssdei_extent_fits(entry))
        ssdei_json_fail(json, "data_offsets do not fit dtype and shape");
}

/* An object of strings, or null. */
static ssde_status ssdei_read_metadata(ssde_tensor_file *file, ssdei_json *json) {
    if (ssdei_json_word(json, "null")) return SSDE_OK;
    for (ssdei_json_open(json, '{'); ssdei_json_next(json, '}'); file->metadata_count++) {
        void *array = file->metadata;
        ssdei_metadata *metadata;
        ssde_status status = ssdei_grow(file->context, &array, &file->metadata_capacity, file->metadata_count, 1,
                                        sizeof *file->metadata);
        file->metadata = (ssdei_metadata *)array;
        ssdei_try(status);
        metadata = &file->metadata[file->metadata_count];
        metadata->key = ssdei_keep_string(file, json);
        if (!ssdei_json_take(json, ':')) ssdei_json_fail(json, "a colon is expected");
        metadata->value = ssdei_keep_string(file, json);
        if (json->problem) break;
    }
    return SSDE_OK;
}

static ssde_status ssdei_header_failure(const ssde_tensor_file *file, const ssdei_json *json, const char *name) {
    return ssde_fail(file->context, SSDE_ERROR_FORMAT, "'%.90s': tensor '%.60s': %s (byte %lu of the header)",
                     file->path, name, json->problem, (unsigned long)json->at);
}

static ssde_status ssdei_read_header(ssde_tensor_file *file, const char *header, size_t size) {
    ssdei_json json = ssdei_json_over(header, size);
    const char *name = "";
    int seen_metadata = 0;
    for (ssdei_json_open(&json, '{'); ssdei_json_next(&json, '}');) {
        name = ssdei_keep_string(file, &json);
        if (!name) name = "";
        if (!ssdei_json_take(&json, ':')) ssdei_json_fail(&json, "a colon is expected");
        if (json.problem) break;
        if (!strcmp(name, "__metadata__")) {
            if (seen_metadata++) ssdei_json_fail(&json, "a second __metadata__");
            ssdei_try(ssdei_read_metadata(file, &json));
        } else {
            ssdei_entry *entry = ssdei_entry_add(file);
            if (!entry) return SSDE_ERROR_MEMORY;
            entry->info.name = name;
            ssdei_read_entry(file, &json, entry);
        }
        if (json.problem) break;
    }
    return ssdei_json_end(&json) ? SSDE_OK : ssdei_header_failure(file, &json, name);
}

static int ssdei_offset_before(const void *items, size_t a, size_t b) {
    const ssdei_entry *x = (const ssdei_entry *)items + a, *y = (const ssdei_entry *)items + b;
    return x->begin < y->begin || (x->begin == y->begin && x->end < y->end);
}

/* The tensors cover the data without holes or overlaps, and no name comes twice. */
static ssde_status ssdei_check_entries(ssde_tensor_file *file) {
    uint64_t covered = 0;
    size_t i;
    ssdei_try(ssdei_sort_entries(file, ssdei_offset_before));
    for (i = 0; i < file->count; i++) {
        const ssdei_entry *entry = &file->entries[file->by_name[i]];
        if (entry->begin != covered)
            return ssde_fail(file->context, SSDE_ERROR_FORMAT,
                             "'%.90s': tensor '%.60s' begins at %llu of the data, not %llu", file->path,
                             entry->info.name, (unsigned long long)entry->begin, (unsigned long long)covered);
        covered = entry->end;
    }
    if (covered != file->data_size)
        return ssde_fail(file->context, SSDE_ERROR_FORMAT, "'%.120s' has %llu bytes of data, its tensors %llu",
                         file->path, (unsigned long long)file->data_size, (unsigned long long)covered);
    return ssdei_check_names(file);
}

/* ---- files: safetensors: checksums ----
   Kept in the metadata as 8 hexadecimal digits. "scoresde.crc32:NAME" is the CRC-32 of a tensor's bytes, verified when
   the tensor is read. "scoresde.crc32" is that of everything else in the header, verified when the file is opened: the
   sum, modulo 2^32, of one CRC-32 for each tensor (name, dtype, shape, the CRC of its bytes) and for each other key of
   the metadata with its value. A sum, since a program that writes the file anew may change their order. */

#define SSDEI_CRC_KEY "scoresde.crc32"

/* With the zero byte behind it. */
static uint32_t ssdei_crc32_string(const ssdei_crc_tables *tables, uint32_t crc, const char *string) {
    return ssdei_crc32(tables, crc, (const unsigned char *)string, strlen(string) + 1);
}

static uint32_t ssdei_crc32_number(const ssdei_crc_tables *tables, uint32_t crc, uint64_t number) {
    unsigned char bytes[8];
    ssdei_to_little_endian(number, bytes);
    return ssdei_crc32(tables, crc, bytes, sizeof bytes);
}

/* Of what the header says of a tensor; that of its bytes, if there is one, is still to be added. */
static uint32_t ssdei_tensor_crc(const ssdei_crc_tables *tables, const char *name, const char *dtype, int rank,
                                 const size_t *shape) {
    uint32_t crc = ssdei_crc32_string(tables, ssdei_crc32_string(tables, 0, name), dtype);
    int axis;
    for (axis = 0; axis < rank; axis++) crc = ssdei_crc32_number(tables, crc, shape[axis]);
    return crc;
}

static void ssdei_crc_digits(uint32_t crc, char digits[9]) { snprintf(digits, 9, "%08lx", (unsigned long)crc); }

static ssde_status ssdei_checksum_fail(const ssde_tensor_file *file, const char *key, const char *problem) {
    return ssde_fail(file->context, SSDE_ERROR_FORMAT, "'%.80s' is damaged or was edited: '%.70s' in its metadata %s",
                     file->path, key, problem);
}

/* Takes the CRC of a tensor's bytes from the metadata. */
static ssde_status ssdei_take_checksum(ssde_tensor_file *file, const ssdei_metadata *metadata, ssdei_record *record) {
    const ssde_file_tensor *tensor = ssde_tensor_file_find(file, metadata->key + sizeof SSDEI_CRC_KEY);
    ssdei_entry *entry = tensor ? &file->entries[(const ssdei_entry *)(const void *)tensor - file->entries] : NULL;
    char digits[9];
    if (!entry || entry->record) return ssdei_checksum_fail(file, metadata->key, "belongs to no tensor");
    record->name = tensor->name;
    record->length = strlen(tensor->name);
    record->begin = file->data_start + entry->begin;
    record->size = entry->end - entry->begin;
    record->crc = (uint32_t)strtoul(metadata->value, NULL, 16);
    entry->record = record;
    ssdei_crc_digits(record->crc, digits);
    return strcmp(digits, metadata->value) ? ssdei_checksum_fail(file, metadata->key, "is no CRC-32") : SSDE_OK;
}

/* Verifies the header where it has a checksum, and finds those of the tensors. */
static ssde_status ssdei_check_header(ssde_tensor_file *file) {
    const char *wanted = ssde_tensor_file_metadata(file, SSDEI_CRC_KEY);
    const ssdei_crc_tables *tables = file->tables;
    const size_t length = sizeof SSDEI_CRC_KEY - 1;
    uint32_t sum = 0;
    char digits[9], problem[60];
    size_t i;
    file->records = (ssdei_record *)ssdei_allocate(file->context, file->metadata_count + 1, sizeof *file->records);
    if (!file->records) return SSDE_ERROR_MEMORY;
    for (i = 0; i < file->metadata_count; i++) {
        const ssdei_metadata *metadata = &file->metadata[i];
        int ours = !strncmp(metadata->key, SSDEI_CRC_KEY, length);
        if (ours && metadata->key[length] == ':')
            ssdei_try(wanted ? ssdei_take_checksum(file, metadata, &file->records[i])
                             : ssdei_checksum_fail(file, metadata->key, "stands without '" SSDEI_CRC_KEY "'"));
        else if (!ours || metadata->key[length])
            sum += ssdei_crc32_string(tables, ssdei_crc32_string(tables, 0, metadata->key), metadata->value);
    }
    for (i = 0; i < file->count; i++) {
        const ssdei_entry *entry = &file->entries[i];
        uint32_t crc =
            ssdei_tensor_crc(tables, entry->info.name, entry->info.dtype, entry->info.rank, entry->info.shape);
        sum += entry->record ? ssdei_crc32_number(tables, crc, entry->record->crc) : crc;
    }
    ssdei_crc_digits(sum, digits);
    snprintf(problem, sizeof problem, "is %.20s, not %s", wanted ? wanted : "", digits);
    return wanted && strcmp(wanted, digits) ? ssdei_checksum_fail(file, SSDEI_CRC_KEY, problem) : SSDE_OK;
}

/* The format allows headers up to 100 MB. */
enum { SSDEI_MAX_HEADER = 100000000 };

/* Whether a text is UTF-8: no byte out of place, no character longer than need be, half of a pair, or beyond 10ffff. */
static int ssdei_is_utf8(const unsigned char *text, size_t size) {
    size_t at = 0, more, i;
    while (at < size) {
        unsigned char first = text[at++];
        unsigned char second = at < size ? text[at] : 0;
        more = first < 0x80 ? 0 : first < 0xc2 ? 4 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : first < 0xf5 ? 3 : 4;
        if (more > 3 || more > size - at) return 0;
        if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second >= 0xa0)) return 0;
        if ((first == 0xf0 && second < 0x90) || (first == 0xf4 && second >= 0x90)) return 0;
        for (i = 0; i < more; i++)
            if (text[at++] >> 6 != 2) return 0;
    }
    return 1;
}

static ssde_status ssdei_safetensors_load(ssde_tensor_file *file) {
    unsigned char length[8];
    uint64_t header_size;
    if (file->size < sizeof length)
        return ssde_fail(file->context, SSDE_ERROR_FORMAT, "'%.160s' is no safetensors file: it has fewer than 8 bytes",
                         file->path);
    ssdei_try(ssdei_read_at(file, 0, length, sizeof length));
    header_size = ssdei_little_endian(length, sizeof length);
    if (header_size > file->size - 8 || header_size > SSDEI_MAX_HEADER)
        return ssde_fail(file->context, SSDE_ERROR_FORMAT,
                         "'%.120s' is no safetensors file: a header of %llu bytes in a file of %llu", file->path,
                         (unsigned long long)header_size, (unsigned long long)file->size);
    file->data_start = 8 + header_size;
    file->data_size = file->size - file->data_start;
    /* decoded where it stands, as strings take less than their encoding */
    file->strings = (char *)ssdei_allocate(file->context, (size_t)header_size + 1, 1);
    if (!file->strings) return SSDE_ERROR_MEMORY;
    ssdei_try(ssdei_read_at(file, 8, file->strings, (size_t)header_size));
    if (!ssdei_is_utf8((const unsigned char *)file->strings, (size_t)header_size))
        return ssde_fail(file->context, SSDE_ERROR_FORMAT, "'%.160s': its header is not in UTF-8", file->path);
    ssdei_try(ssdei_read_header(file, file->strings, (size_t)header_size));
    ssdei_try(ssdei_check_entries(file));
    return ssdei_check_header(file);
}

/* ---- files: safetensors: writing ---- */

void ssdei_tensor_writer_begin(ssdei_tensor_writer *writer, ssde_context *context) {
    memset(writer, 0, sizeof *writer);
    writer->header.context = writer->tensors.context = context;
    writer->tables = (ssdei_crc_tables *)ssdei_allocate(context, 1, sizeof *writer->tables);
    if (writer->tables)
        ssdei_crc32_tables(writer->tables);
    else
        writer->header.status = SSDE_ERROR_MEMORY;
    ssdei_text_add(&writer->header, "{\"__metadata__\":{\"" SSDEI_CRC_KEY "\":\"00000000\"");
    writer->digits = writer->header.size - 9;
}

/* As PyTorch's files are. */
void ssdei_tensor_writer_begin_plain(ssdei_tensor_writer *writer, ssde_context *context) {
    ssdei_tensor_writer_begin(writer, context);
    writer->plain = 1;
    writer->header.size = 0;
    ssdei_text_add(&writer->header, "{\"__metadata__\":{\"format\":\"pt\"");
}

static void ssdei_tensor_writer_key(ssdei_tensor_writer *writer, const char *key, const char *value) {
    ssdei_text_add(&writer->header, ",");
    ssdei_text_add_string(&writer->header, key);
    ssdei_text_add(&writer->header, ":");
    ssdei_text_add_string(&writer->header, value);
}

void ssdei_tensor_writer_metadata(ssdei_tensor_writer *writer, const char *key, const char *value) {
    ssdei_tensor_writer_key(writer, key, value);
    if (writer->header.status != SSDE_OK) return;
    writer->crc += ssdei_crc32_string(writer->tables, ssdei_crc32_string(writer->tables, 0, key), value);
}

/* Its checksum is not known yet. */
static void ssdei_tensor_writer_expect(ssdei_tensor_writer *writer, const char *name, int rank, const size_t *shape) {
    char key[SSDEI_TENSOR_NAME_MOST + sizeof SSDEI_CRC_KEY + 1];
    void *array = writer->declared;
    snprintf(key, sizeof key, SSDEI_CRC_KEY ":%s", name);
    if (!writer->plain) ssdei_tensor_writer_key(writer, key, "00000000");
    if (writer->header.status == SSDE_OK)
        writer->header.status =
            ssdei_grow(writer->header.context, &array, &writer->capacity, writer->count, 1, sizeof *writer->declared);
    writer->declared = (ssdei_declared *)array;
    if (writer->header.status != SSDE_OK) return;
    writer->declared[writer->count].crc = ssdei_tensor_crc(writer->tables, name, "F32", rank, shape);
    writer->declared[writer->count++].digits = writer->header.size - 9;
}

void ssdei_tensor_writer_declare(ssdei_tensor_writer *writer, const char *prefix, const char *name, int rank,
                                 const size_t *shape) {
    ssdei_text *tensors = &writer->tensors;
    char whole[SSDEI_TENSOR_NAME_MOST];
    uint64_t size = 4;
    int axis;
    snprintf(whole, sizeof whole, "%s%s", prefix, name);
    ssdei_tensor_writer_expect(writer, whole, rank, shape);
    ssdei_text_add(tensors, ",");
    ssdei_text_add_string(tensors, whole);
    ssdei_text_add(tensors, ":{\"dtype\":\"F32\",\"shape\":[");
    for (axis = 0; axis < rank; axis++) {
        if (axis) ssdei_text_add(tensors, ",");
        ssdei_text_add_unsigned(tensors, shape[axis]);
        size *= shape[axis];
    }
    ssdei_text_add(tensors, "],\"data_offsets\":[");
    ssdei_text_add_unsigned(tensors, writer->data_size);
    writer->data_size += size;
    ssdei_text_add(tensors, ",");
    ssdei_text_add_unsigned(tensors, writer->data_size);
    ssdei_text_add(tensors, "]}");
}

/* Opens the file and writes the header, padded so that the data begins at a multiple of 8. */
ssde_status ssdei_tensor_writer_open(ssdei_tensor_writer *writer, const char *path) {
    ssdei_text *header = &writer->header;
    unsigned char length[8];
    ssdei_text_add(header, "}");
    if (writer->count) ssdei_text_add_bytes(header, writer->tensors.data, writer->tensors.size);
    ssdei_text_add(header, "}");
    while (header->status == SSDE_OK && header->size % 8) ssdei_text_add(header, " ");
    ssdei_try(header->status);
    ssdei_try(writer->tensors.status);
    ssdei_to_little_endian(header->size, length);
    ssdei_try(ssdei_writer_open(&writer->file, header->context, path));
    ssdei_writer_put(&writer->file, length, sizeof length);
    ssdei_writer_put(&writer->file, header->data, header->size);
    return writer->file.status;
}

/* Sets 8 digits of the header. */
static void ssdei_tensor_writer_digits(ssdei_tensor_writer *writer, size_t at, uint32_t crc) {
    char digits[9];
    ssdei_crc_digits(crc, digits);
    memcpy(writer->header.data + at, digits, 8);
}

/* All values of the tensor that is next. */
void ssdei_tensor_writer_put(ssdei_tensor_writer *writer, const float *values, size_t count) {
    const ssdei_declared *declared = &writer->declared[writer->put++];
    uint32_t crc = ssdei_writer_put_floats(&writer->file, values, count, writer->plain ? NULL : writer->tables);
    if (writer->plain) return;
    ssdei_tensor_writer_digits(writer, declared->digits, crc);
    writer->crc += ssdei_crc32_number(writer->tables, declared->crc, crc);
}

ssde_status ssdei_tensor_writer_settle(ssdei_tensor_writer *writer, ssde_status status) {
    ssdei_writer *file = &writer->file;
    if (status == SSDE_OK && file->status == SSDE_OK && !writer->plain) {
        ssdei_tensor_writer_digits(writer, writer->digits, writer->crc);
        if (fseek(file->file, 8, SEEK_SET)) ssdei_writer_fail(file, "cannot write to '%.180s': is the disk full?");
        ssdei_writer_put(file, writer->header.data, writer->header.size);
    }
    ssdei_release(writer->header.context, writer->declared);
    ssdei_release(writer->header.context, writer->tables);
    ssdei_text_release(&writer->tensors);
    ssdei_text_release(&writer->header);
    return status == SSDE_OK ? ssdei_writer_flush(file) : status;
}

/* Commits if everything went well until now, else removes what was written. */
ssde_status ssdei_tensor_writer_end(ssdei_tensor_writer *writer, ssde_status status) {
    status = ssdei_tensor_writer_settle(writer, status);
    if (status == SSDE_OK) return ssdei_writer_commit(&writer->file);
    ssdei_writer_abandon(&writer->file);
    return status;
}

/* ---- files: zip ----
   A directory at the end of the file names the records and where they are. torch.save stores them without
   compression. */

/* "PK" and two numbers. */
static int ssdei_zip_signature(const unsigned char *bytes, unsigned char third, unsigned char fourth) {
    return bytes[0] == 'P' && bytes[1] == 'K' && bytes[2] == third && bytes[3] == fourth;
}

/* Where the directory is: from the end of the archive, [22 bytes][comment], and the 64-bit record it may point to. */
static ssde_status ssdei_zip_find(const ssde_tensor_file *file, uint64_t *begin, uint64_t *size, uint64_t *count) {
    unsigned char end[22 + 20 + 256], large[56];
    size_t have = file->size < sizeof end ? (size_t)file->size : sizeof end, at = have < 22 ? 0 : have - 22 + 1;
    ssdei_try(ssdei_read_at(file, file->size - have, end, have));
    while (at-- > 0)
        if (ssdei_zip_signature(end + at, 5, 6) && ssdei_little_endian(end + at + 20, 2) == have - at - 22) break;
    if (at == SIZE_MAX)
        return ssde_fail(file->context, SSDE_ERROR_FORMAT,
                         "'%.120s' is no zip archive, or cut short: it has no directory at its end", file->path);
    *count = ssdei_little_endian(end + at + 10, 2);
    *size = ssdei_little_endian(end + at + 12, 4);
    *begin = ssdei_little_endian(end + at + 16, 4);
    if (at >= 20 && ssdei_zip_signature(end + at - 20, 6, 7)) {
        ssdei_try(ssdei_read_at(file, ssdei_little_endian(end + at - 12, 8), large, sizeof large));
        if (!ssdei_zip_signature(large, 6, 6))
            return ssde_fail(file->context, SSDE_ERROR_FORMAT, "'%.160s': its 64-bit zip directory is not there",
                             file->path);
        *count = ssdei_little_endian(large + 32, 8);
        *size = ssdei_little_endian(large + 40, 8);
        *begin = ssdei_little_endian(large + 48, 8);
    }
    if (*begin > file->size || *size > file->size - *begin || *size > SSDEI_MAX_HEADER || *count > *size / 46)
        return ssde_fail(file->context, SSDE_ERROR_FORMAT,
                         "'%.90s': a zip directory of %llu records in %llu bytes at %llu of %llu", file->path,
                         (unsigned long long)*count, (unsigned long long)*size, (unsigned long long)*begin,
                         (unsigned long long)file->size);
    return SSDE_OK;
}

/* Sizes and the offset of a record: 32 bits, or 64 in an extra field where those are all ones. */
static int ssdei_zip_sizes(const unsigned char *entry, const unsigned char *extra, size_t extra_size,
                           uint64_t values[3]) {
    static const int places[3] = {24, 20, 42}; /* size, compressed size, offset */
    size_t used = 4;
    int i;
    while (extra_size >= 4 && ssdei_little_endian(extra, 2) != 1) {
        size_t step = 4 + (size_t)ssdei_little_endian(extra + 2, 2);
        if (step > extra_size) step = extra_size;
        extra += step;
        extra_size -= step;
    }
    for (i = 0; i < 3; i++) {
        values[i] = ssdei_little_endian(entry + places[i], 4);
        if (values[i] != 0xffffffffu) continue;
        if (used + 8 > extra_size) return 0;
        values[i] = ssdei_little_endian(extra + used, 8);
        used += 8;
    }
    return 1;
}

/* Finds a record's bytes behind its own header at `offset`, all of which lie before the directory. */
static ssde_status ssdei_zip_locate(const ssde_tensor_file *file, ssdei_record *record, uint64_t offset,
                                    uint64_t directory) {
    unsigned char header[30], name[64];
    size_t length, i;
    if (offset > directory || directory - offset < sizeof header)
        return ssdei_record_fail(file, record, SSDE_ERROR_FORMAT, "lies outside the file");
    ssdei_try(ssdei_read_at(file, offset, header, sizeof header));
    length = (size_t)ssdei_little_endian(header + 26, 2);
    if (!ssdei_zip_signature(header, 3, 4) || length != record->length)
        return ssdei_record_fail(file, record, SSDE_ERROR_FORMAT, "is not where the directory says");
    for (i = 0; i < length; i += sizeof name) {
        size_t piece = length - i < sizeof name ? length - i : sizeof name;
        ssdei_try(ssdei_read_at(file, offset + sizeof header + i, name, piece));
        if (memcmp(name, record->name + i, piece))
            return ssdei_record_fail(file, record, SSDE_ERROR_FORMAT, "is not where the directory says");
    }
    record->begin = offset + sizeof header + length + ssdei_little_endian(header + 28, 2);
    if (record->begin > directory || record->size > directory - record->begin)
        return ssdei_record_fail(file, record, SSDE_ERROR_FORMAT, "lies outside the file");
    return SSDE_OK;
}

/* One entry of the directory: 46 bytes, name, extra fields, comment; *used is how many bytes it has. */
static ssde_status ssdei_zip_entry(const ssde_tensor_file *file, const unsigned char *entry, size_t size,
                                   uint64_t directory, ssdei_record *record, size_t *used) {
    uint64_t values[3];
    size_t extra;
    if (size < 46 || !ssdei_zip_signature(entry, 1, 2))
        return ssde_fail(file->context, SSDE_ERROR_FORMAT, "'%.160s': its zip directory is damaged", file->path);
    record->name = (const char *)entry + 46;
    record->length = (size_t)ssdei_little_endian(entry + 28, 2);
    extra = (size_t)ssdei_little_endian(entry + 30, 2);
    *used = 46 + record->length + extra + (size_t)ssdei_little_endian(entry + 32, 2);
    if (*used > size || !ssdei_zip_sizes(entry, entry + 46 + record->length, extra, values))
        return ssde_fail(file->context, SSDE_ERROR_FORMAT, "'%.160s': its zip directory is damaged", file->path);
    record->crc = (uint32_t)ssdei_little_endian(entry + 16, 4);
    record->size = values[1];
    if (ssdei_little_endian(entry + 8, 2) & 1)
        record->problem = "is encrypted: unpack it, and store it without";
    else if (ssdei_little_endian(entry + 10, 2)) /* TorchScript's code, which is not needed */
        record->problem = "is compressed, which torch.save does not do: unpack it, and store it without";
    else if (values[0] != values[1])
        return ssdei_record_fail(file, record, SSDE_ERROR_FORMAT, "has two sizes");
    return ssdei_zip_locate(file, record, values[2], directory);
}

/* A name in parts: that of a record, or one that is looked for. */
typedef struct ssdei_parts {
    const char *text[3];
    size_t length[3]; /* those that are not there: 0 */
} ssdei_parts;

static int ssdei_record_order(const ssdei_record *record, const ssdei_parts *name) {
    size_t at = 0, i;
    for (i = 0; i < 3; i++) {
        size_t left = record->length - at, length = name->length[i] < left ? name->length[i] : left;
        int order = length ? memcmp(record->name + at, name->text[i], length) : 0;
        if (order || length < name->length[i]) return order ? order : -1;
        at += length;
    }
    return record->length > at;
}

static int ssdei_record_before(const void *items, size_t a, size_t b) {
    const ssdei_record *records = (const ssdei_record *)items;
    const ssdei_parts name = {{records[b].name, NULL, NULL}, {records[b].length, 0, 0}};
    return ssdei_record_order(&records[a], &name) < 0;
}

/* NULL if there is none. */
static ssdei_record *ssdei_zip_record(const ssde_tensor_file *file, const ssdei_parts *name) {
    size_t low = 0, high = file->record_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        ssdei_record *record = &file->records[file->record_by_name[middle]];
        int order = ssdei_record_order(record, name);
        if (!order) return record;
        if (order > 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* torch.serialization.set_crc32_options(False), of PyTorch 2.6, leaves every CRC 0: there is nothing to compare. */
static void ssdei_zip_without_crc(ssde_tensor_file *file) {
    size_t i;
    for (i = 0; i < file->record_count; i++)
        if (file->records[i].crc) return;
    for (i = 0; i < file->record_count; i++) file->records[i].checked = 1;
}

/* No name comes twice. Leaves record_by_name sorted. */
static ssde_status ssdei_sort_records(ssde_tensor_file *file) {
    size_t i;
    ssdei_sort(file->records, file->record_count, file->record_by_name, ssdei_record_before);
    for (i = 1; i < file->record_count; i++)
        if (!ssdei_record_before(file->records, file->record_by_name[i - 1], file->record_by_name[i]))
            return ssdei_record_fail(file, &file->records[file->record_by_name[i]], SSDE_ERROR_FORMAT, "comes twice");
    return SSDE_OK;
}

static void ssdei_zip_arrays(void *object, ssdei_memory *memory) {
    ssde_tensor_file *file = (ssde_tensor_file *)object;
    file->records = ssdei_place(memory, ssdei_record, file->record_count);
    file->record_by_name = ssdei_place(memory, size_t, file->record_count);
    file->directory = ssdei_place(memory, unsigned char, file->directory_size);
}

static ssde_status ssdei_zip_load(ssde_tensor_file *file) {
    uint64_t begin = 0, size = 0, count = 0;
    size_t at = 0, used = 0, i;
    ssdei_try(ssdei_zip_find(file, &begin, &size, &count));
    file->directory_size = (size_t)size;
    file->record_count = (size_t)count;
    if (!ssdei_object_create(file->context, file, 0, ssdei_zip_arrays)) return SSDE_ERROR_MEMORY;
    ssdei_try(ssdei_read_at(file, begin, file->directory, (size_t)size));
    for (i = 0; i < (size_t)count; i++) {
        ssdei_try(ssdei_zip_entry(file, file->directory + at, (size_t)size - at, begin, &file->records[i], &used));
        at += used;
    }
    ssdei_zip_without_crc(file);
    return ssdei_sort_records(file);
}

/* ---- files: pickle ----
   A program for a stack machine that makes objects. This interpreter knows all instructions of protocols 2 to 5 and, of
   all the functions and classes that a pickle can name, those that make tensors; nothing is ever called. What anything
   else would have made is an opaque object, which becomes a dictionary or a list once items or attributes are put into
   it. Objects are entries of one array; an object that contains others has a chain of cells. */

/* Far more than the largest network needs. They bound the memory that a file can ask for, since a few bytes suffice to
   use an object again. */
enum {
    SSDEI_MAX_OBJECTS = 1 << 22,
    SSDEI_MAX_TENSORS = 1 << 18,
    SSDEI_MAX_VALUES = 1 << 16, /* numbers and strings that are listed */
    SSDEI_MAX_NAMES = 1 << 26,  /* bytes of names and strings */
    SSDEI_MAX_PICKLE = 1 << 30  /* bytes */
};

typedef enum ssdei_object_kind {
    SSDEI_OBJECT_NONE,
    SSDEI_OBJECT_BOOL,
    SSDEI_OBJECT_INTEGER,
    SSDEI_OBJECT_FLOAT,
    SSDEI_OBJECT_STRING,
    SSDEI_OBJECT_TUPLE,
    SSDEI_OBJECT_LIST,
    SSDEI_OBJECT_DICT, /* key, value, key, value, ... */
    SSDEI_OBJECT_GLOBAL,
    SSDEI_OBJECT_STORAGE,
    SSDEI_OBJECT_TENSOR,
    SSDEI_OBJECT_OPAQUE
} ssdei_object_kind;

typedef struct ssdei_object {
    ssdei_object_kind kind;
    uint32_t count;       /* of contained objects, or of a string's bytes; a storage's id */
    uint32_t first, last; /* its cells; of a storage, its class among the globals and what is wrong with it */
    uint64_t bits; /* the number; a string's place in the pickle; the index of a global, record or tensor; whether
                      a container is being walked through */
} ssdei_object;

typedef struct ssdei_cell {
    uint32_t object, next;
} ssdei_cell;

typedef struct ssdei_pickle {
    ssde_tensor_file *file;
    const char *root; /* of the records' names: "checkpoint_1/"; length 0: they are keys of storages and no more */
    size_t root_length;
    const unsigned char *bytes;
    size_t size, at;
    int partial, cut; /* the file has more bytes of it than are here; they were needed */
    ssdei_object *objects;
    size_t object_count, object_capacity;
    ssdei_cell *cells;
    size_t cell_count, cell_capacity;
    uint32_t *stack; /* of objects, and marks */
    size_t depth, stack_capacity;
    uint32_t *memo; /* objects by their number, plus 1 */
    size_t memo_size, memo_capacity, memo_count;
    ssdei_entry *tensors;
    size_t tensor_count, tensor_capacity;
    ssde_status status; /* the first failure; then nothing more happens */
} ssdei_pickle;

static const uint32_t ssdei_mark = 0xffffffffu;

typedef enum ssdei_global_kind {
    SSDEI_GLOBAL_TENSOR,       /* (storage, offset, size, stride[, requires_grad, hooks[, metadata]]) */
    SSDEI_GLOBAL_TYPED_TENSOR, /* (storage, offset, size, stride, requires_grad, hooks, dtype[, metadata]) */
    SSDEI_GLOBAL_WRAPPER,      /* (tensor, ...) */
    SSDEI_GLOBAL_SUBCLASS,     /* (function, class, its arguments, attributes) */
    SSDEI_GLOBAL_OTHER_TENSOR, /* detail: why it cannot be read */
    SSDEI_GLOBAL_STORAGE,      /* detail: its dtype */
    SSDEI_GLOBAL_DTYPE         /* detail: our name of it */
} ssdei_global_kind;

static const struct ssdei_global {
    const char *name;
    ssdei_global_kind kind;
    const char *detail;
} ssdei_globals[] = {
    {"torch._utils._rebuild_tensor", SSDEI_GLOBAL_TENSOR, NULL},
    {"torch._utils._rebuild_tensor_v2", SSDEI_GLOBAL_TENSOR, NULL},
    {"torch._utils._rebuild_tensor_v3", SSDEI_GLOBAL_TYPED_TENSOR, NULL},
    {"torch._utils._rebuild_parameter", SSDEI_GLOBAL_WRAPPER, NULL},
    {"torch._utils._rebuild_parameter_with_state", SSDEI_GLOBAL_WRAPPER, NULL},
    {"torch._utils._rebuild_device_tensor_from_cpu_tensor", SSDEI_GLOBAL_WRAPPER, NULL},
    {"torch.nn.parameter.Parameter", SSDEI_GLOBAL_WRAPPER, NULL},
    {"torch.tensor._rebuild_from_type", SSDEI_GLOBAL_SUBCLASS, NULL},
    {"torch._tensor._rebuild_from_type", SSDEI_GLOBAL_SUBCLASS, NULL},
    {"torch._tensor._rebuild_from_type_v2", SSDEI_GLOBAL_SUBCLASS, NULL},
    {"torch._utils._rebuild_sparse_tensor", SSDEI_GLOBAL_OTHER_TENSOR, "is sparse: save its to_dense()"},
    {"torch._utils._rebuild_sparse_csr_tensor", SSDEI_GLOBAL_OTHER_TENSOR, "is sparse: save its to_dense()"},
    {"torch._utils._rebuild_qtensor", SSDEI_GLOBAL_OTHER_TENSOR, "is quantized: save its dequantize()"},
    {"torch._utils._rebuild_nested_tensor", SSDEI_GLOBAL_OTHER_TENSOR, "is nested: save its to_padded_tensor()"},
    {"torch._utils._rebuild_meta_tensor_no_storage", SSDEI_GLOBAL_OTHER_TENSOR,
     "is on the device 'meta', which has no values"},
    {"torch._utils._rebuild_device_tensor_from_numpy", SSDEI_GLOBAL_OTHER_TENSOR,
     "is on a device that torch.save writes through NumPy: save its cpu()"},
    {"torch._utils._rebuild_xla_tensor", SSDEI_GLOBAL_OTHER_TENSOR,
     "is on a device that torch.save writes through NumPy: save its cpu()"},
    {"torch._utils._rebuild_wrapper_subclass", SSDEI_GLOBAL_OTHER_TENSOR,
     "is of a class that keeps its values elsewhere"},
    {"numpy.core.multiarray._reconstruct", SSDEI_GLOBAL_OTHER_TENSOR, "is an array of NumPy: save a tensor"},
    {"numpy._core.multiarray._reconstruct", SSDEI_GLOBAL_OTHER_TENSOR, "is an array of NumPy: save a tensor"},
    {"numpy._core.numeric._frombuffer", SSDEI_GLOBAL_OTHER_TENSOR, "is an array of NumPy: save a tensor"},
    {"numpy.core.numeric._frombuffer", SSDEI_GLOBAL_OTHER_TENSOR, "is an array of NumPy: save a tensor"},
    {"torch.FloatStorage", SSDEI_GLOBAL_STORAGE, "F32"},
    {"torch.DoubleStorage", SSDEI_GLOBAL_STORAGE, "F64"},
    {"torch.HalfStorage", SSDEI_GLOBAL_STORAGE, "F16"},
    {"torch.BFloat16Storage", SSDEI_GLOBAL_STORAGE, "BF16"},
    {"torch.LongStorage", SSDEI_GLOBAL_STORAGE, "I64"},
    {"torch.IntStorage", SSDEI_GLOBAL_STORAGE, "I32"},
    {"torch.ShortStorage", SSDEI_GLOBAL_STORAGE, "I16"},
    {"torch.CharStorage", SSDEI_GLOBAL_STORAGE, "I8"},
    {"torch.ByteStorage", SSDEI_GLOBAL_STORAGE, "U8"},
    {"torch.BoolStorage", SSDEI_GLOBAL_STORAGE, "BOOL"},
    {"torch.ComplexFloatStorage", SSDEI_GLOBAL_STORAGE, "C64"},
    {"torch.ComplexDoubleStorage", SSDEI_GLOBAL_STORAGE, "C128"},
    {"torch.QInt8Storage", SSDEI_GLOBAL_STORAGE, "QI8"},
    {"torch.QUInt8Storage", SSDEI_GLOBAL_STORAGE, "QU8"},
    {"torch.QInt32Storage", SSDEI_GLOBAL_STORAGE, "QI32"},
    {"torch.storage.UntypedStorage", SSDEI_GLOBAL_STORAGE, "U8"}, /* bytes */
    {"torch.float8_e4m3fn", SSDEI_GLOBAL_DTYPE, "F8_E4M3"},
    {"torch.float8_e5m2", SSDEI_GLOBAL_DTYPE, "F8_E5M2"},
    {"torch.float8_e8m0fnu", SSDEI_GLOBAL_DTYPE, "F8_E8M0"},
    {"torch.float8_e4m3fnuz", SSDEI_GLOBAL_DTYPE, "F8_E4M3FNUZ"},
    {"torch.float8_e5m2fnuz", SSDEI_GLOBAL_DTYPE, "F8_E5M2FNUZ"},
    {"torch.uint16", SSDEI_GLOBAL_DTYPE, "U16"},
    {"torch.uint32", SSDEI_GLOBAL_DTYPE, "U32"},
    {"torch.uint64", SSDEI_GLOBAL_DTYPE, "U64"}};

static void ssdei_pickle_fail(ssdei_pickle *pickle, const char *problem) {
    if (pickle->status == SSDE_OK)
        pickle->status = ssde_fail(pickle->file->context, SSDE_ERROR_FORMAT, "'%.70s': %s (byte %lu of its pickle)",
                                   pickle->file->path, problem, (unsigned long)pickle->at);
}

/* It lacks bytes, or they are still to be read from the file. */
static void ssdei_pickle_end_early(ssdei_pickle *pickle, const char *problem) {
    if (pickle->partial && pickle->status == SSDE_OK) {
        pickle->cut = 1;
        pickle->status = SSDE_ERROR_FORMAT;
    }
    ssdei_pickle_fail(pickle, problem);
}

/* The next `count` bytes, as a number. */
static uint64_t ssdei_pickle_unsigned(ssdei_pickle *pickle, size_t count) {
    if (pickle->status == SSDE_OK && count > pickle->size - pickle->at)
        ssdei_pickle_end_early(pickle, "it ends too early");
    if (pickle->status != SSDE_OK) return 0;
    pickle->at += count;
    return ssdei_little_endian(pickle->bytes + pickle->at - count, count);
}

/* Room for one more element of an array. */
static void *ssdei_pickle_grow(ssdei_pickle *pickle, void *array, size_t *capacity, size_t used, size_t size) {
    if (used >= SSDEI_MAX_OBJECTS) ssdei_pickle_fail(pickle, "more than 4194304 objects");
    if (pickle->status == SSDE_OK) pickle->status = ssdei_grow(pickle->file->context, &array, capacity, used, 1, size);
    return array;
}

static void ssdei_pickle_push(ssdei_pickle *pickle, uint32_t object) {
    pickle->stack = (uint32_t *)ssdei_pickle_grow(pickle, pickle->stack, &pickle->stack_capacity, pickle->depth,
                                                  sizeof *pickle->stack);
    if (pickle->status == SSDE_OK) pickle->stack[pickle->depth++] = object;
}

/* The object on top of the stack, or 0, None, after a failure. */
static uint32_t ssdei_pickle_top(ssdei_pickle *pickle) {
    if (pickle->status == SSDE_OK && (!pickle->depth || pickle->stack[pickle->depth - 1] == ssdei_mark))
        ssdei_pickle_fail(pickle, "an object is missing on its stack");
    return pickle->status == SSDE_OK ? pickle->stack[pickle->depth - 1] : 0;
}

static uint32_t ssdei_pickle_pop(ssdei_pickle *pickle) {
    uint32_t object = ssdei_pickle_top(pickle);
    if (pickle->status == SSDE_OK) pickle->depth--;
    return object;
}

/* The place above the last mark; what is above it is there, up to the depth. */
static size_t ssdei_pickle_above_mark(ssdei_pickle *pickle) {
    size_t at = pickle->depth;
    while (at > 0 && pickle->stack[at - 1] != ssdei_mark) at--;
    if (!at) ssdei_pickle_fail(pickle, "a mark is missing on its stack");
    return at;
}

/* Makes an object and pushes it. */
static uint32_t ssdei_pickle_make(ssdei_pickle *pickle, ssdei_object_kind kind, uint64_t bits) {
    ssdei_object *object;
    pickle->objects = (ssdei_object *)ssdei_pickle_grow(pickle, pickle->objects, &pickle->object_capacity,
                                                        pickle->object_count, sizeof *pickle->objects);
    if (pickle->status != SSDE_OK) return 0;
    object = &pickle->objects[pickle->object_count];
    memset(object, 0, sizeof *object);
    object->kind = kind;
    object->bits = bits;
    ssdei_pickle_push(pickle, (uint32_t)pickle->object_count);
    return (uint32_t)pickle->object_count++;
}

static void ssdei_pickle_append(ssdei_pickle *pickle, uint32_t container, uint32_t item) {
    ssdei_object *object;
    uint32_t cell = (uint32_t)pickle->cell_count;
    pickle->cells = (ssdei_cell *)ssdei_pickle_grow(pickle, pickle->cells, &pickle->cell_capacity, pickle->cell_count,
                                                    sizeof *pickle->cells);
    if (pickle->status != SSDE_OK) return;
    pickle->cells[cell].object = item;
    object = &pickle->objects[container];
    if (object->count++)
        pickle->cells[object->last].next = cell;
    else
        object->first = cell;
    object->last = cell;
    pickle->cell_count++;
}

/* Whether a tuple has from least to most items, which are copied out. */
static int ssdei_pickle_items(const ssdei_pickle *pickle, uint32_t tuple, uint32_t *items, uint32_t least,
                              uint32_t most) {
    const ssdei_object *object = &pickle->objects[tuple];
    uint32_t cell, i;
    if (pickle->status != SSDE_OK || object->kind != SSDEI_OBJECT_TUPLE) return 0;
    if (object->count < least || object->count > most) return 0;
    for (cell = object->first, i = 0; i < object->count; i++, cell = pickle->cells[cell].next)
        items[i] = pickle->cells[cell].object;
    return 1;
}

static int ssdei_pickle_is(const ssdei_pickle *pickle, uint32_t object, ssdei_object_kind kind) {
    return pickle->status == SSDE_OK && pickle->objects[object].kind == kind;
}

/* Whether the container may be given items of a list or of a dictionary; an opaque object without any becomes one. */
static int ssdei_pickle_becomes(ssdei_pickle *pickle, uint32_t container, ssdei_object_kind kind) {
    ssdei_object *object;
    if (pickle->status != SSDE_OK) return 0;
    object = &pickle->objects[container];
    if (object->kind == SSDEI_OBJECT_OPAQUE) object->kind = kind;
    if (object->kind != kind) ssdei_pickle_fail(pickle, "items are added to an object of another kind");
    return object->kind == kind;
}

/* Moves what is above the last mark into a new container in its place, or into the one below it. */
static void ssdei_pickle_end(ssdei_pickle *pickle, ssdei_object_kind kind, int made) {
    size_t from = ssdei_pickle_above_mark(pickle), to = pickle->depth, i;
    uint32_t container;
    if (pickle->status != SSDE_OK) return;
    pickle->depth = from - 1;
    if (kind == SSDEI_OBJECT_DICT && (to - from) % 2) ssdei_pickle_fail(pickle, "a dictionary's key has no value");
    container = made ? ssdei_pickle_make(pickle, kind, 0) : ssdei_pickle_top(pickle);
    if (!ssdei_pickle_becomes(pickle, container, kind)) return;
    for (i = from; i < to && pickle->status == SSDE_OK; i++) ssdei_pickle_append(pickle, container, pickle->stack[i]);
}

/* One item, or a key and its value, from the top of the stack. */
static void ssdei_pickle_add(ssdei_pickle *pickle, ssdei_object_kind kind) {
    uint32_t value = ssdei_pickle_pop(pickle), key = kind == SSDEI_OBJECT_DICT ? ssdei_pickle_pop(pickle) : 0;
    uint32_t container = ssdei_pickle_top(pickle);
    if (!ssdei_pickle_becomes(pickle, container, kind)) return;
    if (kind == SSDEI_OBJECT_DICT) ssdei_pickle_append(pickle, container, key);
    ssdei_pickle_append(pickle, container, value);
}

/* A tuple of the one to three objects on top. */
static void ssdei_pickle_tuple(ssdei_pickle *pickle, int count) {
    uint32_t items[3], tuple;
    int i;
    for (i = count; i-- > 0;) items[i] = ssdei_pickle_pop(pickle);
    tuple = ssdei_pickle_make(pickle, SSDEI_OBJECT_TUPLE, 0);
    for (i = 0; i < count; i++) ssdei_pickle_append(pickle, tuple, items[i]);
}

/* The next `length` bytes as a string, or, of any other kind, as something opaque. */
static void ssdei_pickle_bytes(ssdei_pickle *pickle, ssdei_object_kind kind, uint64_t length) {
    uint32_t made;
    if (pickle->status == SSDE_OK && (length > pickle->size - pickle->at || length > UINT32_MAX))
        ssdei_pickle_end_early(pickle, "a string reaches beyond its end");
    made = ssdei_pickle_make(pickle, kind, pickle->at);
    if (pickle->status != SSDE_OK) return;
    if (kind == SSDEI_OBJECT_STRING) pickle->objects[made].count = (uint32_t)length;
    pickle->at += (size_t)length;
}

/* A whole number of `count` bytes in two's complement; one of more than 64 bits is opaque. */
static void ssdei_pickle_integer(ssdei_pickle *pickle, uint64_t count) {
    uint64_t bits;
    if (count > 8) {
        ssdei_pickle_bytes(pickle, SSDEI_OBJECT_OPAQUE, count);
        return;
    }
    bits = ssdei_pickle_unsigned(pickle, (size_t)count);
    if (count && count < 8 && bits >> (8 * count - 1)) bits |= ~(uint64_t)0 << 8 * count;
    ssdei_pickle_make(pickle, SSDEI_OBJECT_INTEGER, bits);
}

static void ssdei_pickle_float(ssdei_pickle *pickle) {
    unsigned char bytes[8];
    ssdei_to_little_endian(ssdei_pickle_unsigned(pickle, 8), bytes);
    ssdei_pickle_make(pickle, SSDEI_OBJECT_FLOAT, ssdei_number_at(bytes, 8, 1)); /* the one that is big-endian */
}

/* The function or class of a module; both names come as they stand in the pickle. */
static void ssdei_pickle_global(ssdei_pickle *pickle, const unsigned char *module, size_t module_length,
                                const unsigned char *name, size_t name_length) {
    size_t i;
    for (i = 0; i < sizeof ssdei_globals / sizeof *ssdei_globals && pickle->status == SSDE_OK; i++) {
        const char *known = ssdei_globals[i].name;
        if (strlen(known) != module_length + 1 + name_length || known[module_length] != '.' ||
            memcmp(known, module, module_length) || memcmp(known + module_length + 1, name, name_length))
            continue;
        ssdei_pickle_make(pickle, SSDEI_OBJECT_GLOBAL, i);
        return;
    }
    ssdei_pickle_make(pickle, SSDEI_OBJECT_OPAQUE, 0);
}

/* The next line, without its end. */
static const unsigned char *ssdei_pickle_line(ssdei_pickle *pickle, size_t *length) {
    const unsigned char *line = pickle->bytes + pickle->at, *end = NULL;
    if (pickle->status == SSDE_OK) end = (const unsigned char *)memchr(line, '\n', pickle->size - pickle->at);
    if (!end) ssdei_pickle_end_early(pickle, "it ends too early");
    *length = end ? (size_t)(end - line) : 0;
    if (end) pickle->at += *length + 1;
    return line;
}

/* The names as two lines. */
static void ssdei_pickle_global_lines(ssdei_pickle *pickle) {
    size_t module_length, name_length;
    const unsigned char *module = ssdei_pickle_line(pickle, &module_length);
    const unsigned char *name = ssdei_pickle_line(pickle, &name_length);
    ssdei_pickle_global(pickle, module, module_length, name, name_length);
}

/* A number as a line of digits, an object's in the memo. */
static uint64_t ssdei_pickle_decimal(ssdei_pickle *pickle) {
    size_t length, i;
    const unsigned char *line = ssdei_pickle_line(pickle, &length);
    uint64_t number = 0;
    for (i = 0; i < length && number < SSDEI_MAX_OBJECTS; i++)
        if (line[i] >= '0' && line[i] <= '9') number = 10 * number + (uint64_t)(line[i] - '0');
    return number;
}

/* The names as two strings on the stack. */
static void ssdei_pickle_global_strings(ssdei_pickle *pickle) {
    uint32_t name = ssdei_pickle_pop(pickle), module = ssdei_pickle_pop(pickle);
    if (!ssdei_pickle_is(pickle, name, SSDEI_OBJECT_STRING) || !ssdei_pickle_is(pickle, module, SSDEI_OBJECT_STRING)) {
        ssdei_pickle_fail(pickle, "the name of a function is no string");
        return;
    }
    ssdei_pickle_global(pickle, pickle->bytes + pickle->objects[module].bits, pickle->objects[module].count,
                        pickle->bytes + pickle->objects[name].bits, pickle->objects[name].count);
}

/* What can be wrong with a storage, which is told when a tensor that lies there is read. */
static const char *const ssdei_storage_problems[] = {
    NULL, "lies in a storage of a class that is not known here", "lies in a storage that the file does not have",
    "lies in a storage of another size than the file has",
    "lies in a record that is compressed or encrypted: unpack the archive, and store it without"};

/* The record of a storage's key, a string; NULL: there is none. */
static ssdei_record *ssdei_pickle_record(const ssdei_pickle *pickle, uint32_t key) {
    const ssdei_object *object = &pickle->objects[key];
    ssdei_parts name = {{pickle->root, "data/", NULL}, {pickle->root_length, pickle->root_length ? 5u : 0u, 0}};
    name.text[2] = (const char *)pickle->bytes + object->bits;
    name.length[2] = object->count;
    return ssdei_zip_record(pickle->file, &name);
}

/* ("storage", its class, its key, the device, the number of elements[, a view of it]): bytes of a record. */
static void ssdei_pickle_storage(ssdei_pickle *pickle) {
    uint32_t items[6], id = ssdei_pickle_pop(pickle), storage_class = 0, problem = 0, storage;
    const ssdei_dtype *dtype;
    ssdei_record *record;
    if (!ssdei_pickle_items(pickle, id, items, 5, 6) || !ssdei_pickle_is(pickle, items[2], SSDEI_OBJECT_STRING) ||
        !ssdei_pickle_is(pickle, items[4], SSDEI_OBJECT_INTEGER)) {
        ssdei_pickle_make(pickle, SSDEI_OBJECT_OPAQUE, 0);
        return;
    }
    if (ssdei_pickle_is(pickle, items[1], SSDEI_OBJECT_GLOBAL))
        storage_class = (uint32_t)pickle->objects[items[1]].bits;
    record = ssdei_pickle_record(pickle, items[2]);
    if (ssdei_globals[storage_class].kind != SSDEI_GLOBAL_STORAGE)
        problem = 1;
    else if (!record)
        problem = 2;
    else if (record->problem)
        problem = 4;
    else if ((dtype = ssdei_dtype_find(ssdei_globals[storage_class].detail))->bytes &&
             (record->size % dtype->bytes || record->size / dtype->bytes != pickle->objects[items[4]].bits))
        problem = 3;
    storage = ssdei_pickle_make(pickle, SSDEI_OBJECT_STORAGE, record ? (uint64_t)(record - pickle->file->records) : 0);
    if (pickle->status != SSDE_OK) return;
    pickle->objects[storage].count = id;
    pickle->objects[storage].first = storage_class;
    pickle->objects[storage].last = problem;
}

/* A tuple of up to 8 sizes; how many, or -1. */
static int ssdei_pickle_sizes(const ssdei_pickle *pickle, uint32_t tuple, size_t *sizes) {
    uint32_t items[8];
    int count, i;
    if (!ssdei_pickle_items(pickle, tuple, items, 0, 8)) return -1;
    count = (int)pickle->objects[tuple].count;
    for (i = 0; i < count; i++) {
        const ssdei_object *object = &pickle->objects[items[i]];
        if (object->kind != SSDEI_OBJECT_INTEGER || object->bits > INT64_MAX) return -1;
        sizes[i] = object->bits < SIZE_MAX ? (size_t)object->bits : SIZE_MAX; /* is beyond every storage */
    }
    return count;
}

/* Whether all elements lie in a storage of `total`, the first at `offset`; sets count. */
static int ssdei_entry_fits(ssdei_entry *entry, uint64_t offset, uint64_t total) {
    uint64_t last = offset;
    int axis;
    entry->info.count = 1;
    for (axis = 0; axis < entry->info.rank; axis++)
        entry->info.count = ssdei_multiply(entry->info.count, entry->info.shape[axis]);
    if (entry->info.count == SIZE_MAX) return 0;
    if (!entry->info.count) return offset <= total;
    for (axis = 0; axis < entry->info.rank; axis++) {
        uint64_t steps = (uint64_t)entry->info.shape[axis] - 1;
        if (last >= total || (entry->stride[axis] && steps > (total - 1 - last) / entry->stride[axis])) return 0;
        last += steps * entry->stride[axis];
    }
    return last < total;
}

/* Where a storage lies in the file: its record, or, of a view (its key, offset, number of elements), that part of it.
   False: it has no such part. */
static int ssdei_pickle_extent(const ssdei_pickle *pickle, const ssdei_object *storage, size_t bytes, uint64_t *begin,
                               uint64_t *size) {
    const ssdei_record *record = &pickle->file->records[storage->bits];
    uint32_t items[6], view[3];
    uint64_t offset, count, total = record->size / bytes;
    *begin = record->begin;
    *size = record->size;
    if (!ssdei_pickle_items(pickle, storage->count, items, 6, 6) ||
        ssdei_pickle_is(pickle, items[5], SSDEI_OBJECT_NONE))
        return 1;
    if (!ssdei_pickle_items(pickle, items[5], view, 3, 3) || !ssdei_pickle_is(pickle, view[1], SSDEI_OBJECT_INTEGER) ||
        !ssdei_pickle_is(pickle, view[2], SSDEI_OBJECT_INTEGER))
        return 0;
    offset = pickle->objects[view[1]].bits;
    count = pickle->objects[view[2]].bits;
    if (offset > total || count > total - offset) return 0;
    *begin += offset * bytes;
    *size = count * bytes;
    return 1;
}

/* A tensor of which nothing is known yet; NULL after a failure. */
static ssdei_entry *ssdei_pickle_new_tensor(ssdei_pickle *pickle) {
    ssdei_entry *entry;
    if (pickle->tensor_count == SSDEI_MAX_TENSORS) ssdei_pickle_fail(pickle, "more than 262144 tensors");
    pickle->tensors = (ssdei_entry *)ssdei_pickle_grow(pickle, pickle->tensors, &pickle->tensor_capacity,
                                                       pickle->tensor_count, sizeof *pickle->tensors);
    if (pickle->status != SSDE_OK) return NULL;
    entry = &pickle->tensors[pickle->tensor_count];
    memset(entry, 0, sizeof *entry);
    entry->info.dtype = "?";
    ssdei_pickle_make(pickle, SSDEI_OBJECT_TENSOR, pickle->tensor_count++);
    return entry;
}

/* A tensor's metadata, {"neg": True}: its values are those of the storage with the other sign (PyTorch 2.0). */
static const char *ssdei_pickle_flags(const ssdei_pickle *pickle, uint32_t index, ssdei_entry *entry) {
    static const char unknown[] = "has metadata that are not known here";
    const ssdei_object *metadata = &pickle->objects[index];
    uint32_t cell = metadata->first, i;
    if (metadata->kind == SSDEI_OBJECT_NONE) return NULL;
    if (metadata->kind != SSDEI_OBJECT_DICT) return unknown;
    for (i = 0; i < metadata->count; i += 2, cell = pickle->cells[cell].next) {
        const ssdei_object *key = &pickle->objects[pickle->cells[cell].object], *value;
        cell = pickle->cells[cell].next;
        value = &pickle->objects[pickle->cells[cell].object];
        if (value->kind != SSDEI_OBJECT_BOOL) return unknown;
        if (!value->bits) continue;
        if (key->kind != SSDEI_OBJECT_STRING || key->count != 3 || memcmp(pickle->bytes + key->bits, "neg", 3) ||
            entry->dtype->kind == SSDEI_NUMBER_UNSIGNED)
            return unknown;
        entry->negative = 1;
    }
    return NULL;
}

/* Fills a tensor from the arguments of its function, or says why it cannot be read. */
static const char *ssdei_pickle_describe(const ssdei_pickle *pickle, uint32_t arguments, int typed,
                                         ssdei_entry *entry) {
    uint32_t items[8], flags = typed ? 7 : 6;
    const ssdei_object *storage, *offset;
    uint64_t size;
    if (!ssdei_pickle_items(pickle, arguments, items, typed ? 7 : 4, flags + 1) ||
        !ssdei_pickle_is(pickle, items[0], SSDEI_OBJECT_STORAGE) ||
        !ssdei_pickle_is(pickle, items[1], SSDEI_OBJECT_INTEGER))
        return "is not made of a storage, an offset, a size and a stride";
    storage = &pickle->objects[items[0]];
    offset = &pickle->objects[items[1]];
    if (storage->last) return ssdei_storage_problems[storage->last];
    entry->info.dtype = ssdei_globals[storage->first].detail;
    entry->dtype = ssdei_dtype_find(entry->info.dtype);
    if (!entry->dtype->bytes) return ssdei_dtype_problem;
    if (!ssdei_pickle_extent(pickle, storage, entry->dtype->bytes, &entry->begin, &size))
        return "lies in a view that its storage does not have";
    if (typed) {
        const ssdei_object *object = &pickle->objects[items[6]];
        if (object->kind != SSDEI_OBJECT_GLOBAL || ssdei_globals[object->bits].kind != SSDEI_GLOBAL_DTYPE)
            return "has a dtype that is not known here";
        entry->info.dtype = ssdei_globals[object->bits].detail;
        entry->dtype = ssdei_dtype_find(entry->info.dtype);
    }
    entry->record = &pickle->file->records[storage->bits];
    entry->info.rank = ssdei_pickle_sizes(pickle, items[2], entry->info.shape);
    if (entry->info.rank < 0 || ssdei_pickle_sizes(pickle, items[3], entry->stride) != entry->info.rank)
        return "has a size and a stride that are not as many whole numbers, 8 or fewer";
    if (!ssdei_entry_fits(entry, offset->bits, size / entry->dtype->bytes)) return "reaches beyond its storage";
    entry->end = entry->begin + size;
    entry->begin += offset->bits * entry->dtype->bytes;
    return pickle->objects[arguments].count > flags ? ssdei_pickle_flags(pickle, items[flags], entry) : NULL;
}

static void ssdei_pickle_tensor(ssdei_pickle *pickle, uint32_t arguments, const struct ssdei_global *function) {
    ssdei_entry *entry = ssdei_pickle_new_tensor(pickle);
    if (!entry) return;
    entry->info.problem =
        function->kind == SSDEI_GLOBAL_OTHER_TENSOR
            ? function->detail
            : ssdei_pickle_describe(pickle, arguments, function->kind == SSDEI_GLOBAL_TYPED_TENSOR, entry);
    if (entry->info.problem)
        entry->info.rank = 0, entry->info.count = 0;
    else if (entry->dtype->kind == SSDEI_NUMBER_OPAQUE)
        entry->info.problem = ssdei_dtype_problem;
}

/* NULL: the object is none that is known. */
static const struct ssdei_global *ssdei_pickle_known(const ssdei_pickle *pickle, uint32_t object) {
    return ssdei_pickle_is(pickle, object, SSDEI_OBJECT_GLOBAL) ? &ssdei_globals[pickle->objects[object].bits] : NULL;
}

/* Calls a function with a tuple of arguments. */
static void ssdei_pickle_call(ssdei_pickle *pickle) {
    uint32_t arguments = ssdei_pickle_pop(pickle), called = ssdei_pickle_pop(pickle), items[4];
    const struct ssdei_global *function = ssdei_pickle_known(pickle, called);
    if (pickle->status != SSDE_OK) return;
    if (function && function->kind == SSDEI_GLOBAL_SUBCLASS && ssdei_pickle_items(pickle, arguments, items, 4, 4)) {
        called = items[0];
        arguments = items[2];
        function = ssdei_pickle_known(pickle, called);
    }
    if (function && (function->kind <= SSDEI_GLOBAL_TYPED_TENSOR || function->kind == SSDEI_GLOBAL_OTHER_TENSOR))
        ssdei_pickle_tensor(pickle, arguments, function);
    else if (function && function->kind == SSDEI_GLOBAL_WRAPPER &&
             pickle->objects[arguments].kind == SSDEI_OBJECT_TUPLE && pickle->objects[arguments].count)
        ssdei_pickle_push(pickle, pickle->cells[pickle->objects[arguments].first].object);
    else if (function || pickle->objects[called].kind == SSDEI_OBJECT_OPAQUE)
        ssdei_pickle_make(pickle, SSDEI_OBJECT_OPAQUE, 0);
    else
        ssdei_pickle_fail(pickle, "it calls what is no function");
}

/* An object of a class, made of a tuple of arguments: a named tuple's are its items. */
static void ssdei_pickle_instance(ssdei_pickle *pickle, int with_keywords) {
    uint32_t arguments;
    if (with_keywords) ssdei_pickle_pop(pickle);
    arguments = ssdei_pickle_pop(pickle);
    ssdei_pickle_pop(pickle);
    if (ssdei_pickle_is(pickle, arguments, SSDEI_OBJECT_TUPLE) && pickle->objects[arguments].count)
        ssdei_pickle_push(pickle, arguments);
    else
        ssdei_pickle_make(pickle, SSDEI_OBJECT_OPAQUE, 0);
}

/* Takes the last mark, and what is above it, from the stack. */
static void ssdei_pickle_drop(ssdei_pickle *pickle) {
    size_t at = ssdei_pickle_above_mark(pickle);
    if (pickle->status == SSDE_OK) pickle->depth = at - 1;
}

/* Attributes of the object below: those of an opaque one, which has no items, are what it contains. They are a
   dictionary, or a pair of two, the second of slots. Attributes of a dictionary are left out, "_metadata" of a model's
   state among them. */
static void ssdei_pickle_build(ssdei_pickle *pickle) {
    uint32_t states[2], count = 2, cell, i, j;
    uint32_t state = ssdei_pickle_pop(pickle), object = ssdei_pickle_top(pickle);
    if (pickle->status != SSDE_OK || pickle->objects[object].kind != SSDEI_OBJECT_OPAQUE) return;
    if (!ssdei_pickle_items(pickle, state, states, 2, 2)) {
        states[0] = state;
        count = 1;
    }
    for (i = 0; i < count && pickle->status == SSDE_OK; i++) {
        if (pickle->objects[states[i]].kind != SSDEI_OBJECT_DICT || states[i] == object) continue;
        pickle->objects[object].kind = SSDEI_OBJECT_DICT;
        cell = pickle->objects[states[i]].first;
        for (j = pickle->objects[states[i]].count; j && pickle->status == SSDE_OK; j--) {
            ssdei_pickle_append(pickle, object, pickle->cells[cell].object);
            if (j > 1) cell = pickle->cells[cell].next;
        }
    }
}

/* Remembers the object on top under a number. */
static void ssdei_pickle_remember(ssdei_pickle *pickle, uint64_t number) {
    uint32_t object = ssdei_pickle_top(pickle);
    if (number >= SSDEI_MAX_OBJECTS) ssdei_pickle_fail(pickle, "more than 4194304 objects are remembered");
    while (pickle->status == SSDE_OK && pickle->memo_size <= number) {
        pickle->memo = (uint32_t *)ssdei_pickle_grow(pickle, pickle->memo, &pickle->memo_capacity, pickle->memo_size,
                                                     sizeof *pickle->memo);
        if (pickle->status == SSDE_OK) pickle->memo[pickle->memo_size++] = 0;
    }
    if (pickle->status != SSDE_OK) return;
    if (!pickle->memo[number]) pickle->memo_count++;
    pickle->memo[number] = object + 1;
}

static void ssdei_pickle_recall(ssdei_pickle *pickle, uint64_t number) {
    if (pickle->status == SSDE_OK && (number >= pickle->memo_size || !pickle->memo[number]))
        ssdei_pickle_fail(pickle, "it recalls an object that was never remembered");
    if (pickle->status == SSDE_OK) ssdei_pickle_push(pickle, pickle->memo[number] - 1);
}

/* Instructions that make an object out of what follows them. */
static int ssdei_pickle_value(ssdei_pickle *pickle, unsigned char code) {
    size_t length;
    switch (code) {
        case 'N': ssdei_pickle_make(pickle, SSDEI_OBJECT_NONE, 0); return 1;
        case 0x88: ssdei_pickle_make(pickle, SSDEI_OBJECT_BOOL, 1); return 1;
        case 0x89: ssdei_pickle_make(pickle, SSDEI_OBJECT_BOOL, 0); return 1;
        case 'K': ssdei_pickle_make(pickle, SSDEI_OBJECT_INTEGER, ssdei_pickle_unsigned(pickle, 1)); return 1;
        case 'M': ssdei_pickle_make(pickle, SSDEI_OBJECT_INTEGER, ssdei_pickle_unsigned(pickle, 2)); return 1;
        case 'J': ssdei_pickle_integer(pickle, 4); return 1;
        case 0x8a: ssdei_pickle_integer(pickle, ssdei_pickle_unsigned(pickle, 1)); return 1;
        case 0x8b: ssdei_pickle_integer(pickle, ssdei_pickle_unsigned(pickle, 4)); return 1;
        case 'G': ssdei_pickle_float(pickle); return 1;
        case 'X':
        case 'T': ssdei_pickle_bytes(pickle, SSDEI_OBJECT_STRING, ssdei_pickle_unsigned(pickle, 4)); return 1;
        case 0x8c:
        case 'U': ssdei_pickle_bytes(pickle, SSDEI_OBJECT_STRING, ssdei_pickle_unsigned(pickle, 1)); return 1;
        case 0x8d: ssdei_pickle_bytes(pickle, SSDEI_OBJECT_STRING, ssdei_pickle_unsigned(pickle, 8)); return 1;
        case 'C': ssdei_pickle_bytes(pickle, SSDEI_OBJECT_OPAQUE, ssdei_pickle_unsigned(pickle, 1)); return 1;
        case 'B': ssdei_pickle_bytes(pickle, SSDEI_OBJECT_OPAQUE, ssdei_pickle_unsigned(pickle, 4)); return 1;
        case 0x8e: /* bytes and a bytearray */
        case 0x96: ssdei_pickle_bytes(pickle, SSDEI_OBJECT_OPAQUE, ssdei_pickle_unsigned(pickle, 8)); return 1;
        case 0x82: /* classes by a number that programs agree on */
        case 0x83:
        case 0x84: ssdei_pickle_bytes(pickle, SSDEI_OBJECT_OPAQUE, 1u << (code - 0x82)); return 1;
        case 'I': /* numbers, strings and persistent objects as text */
        case 'L':
        case 'F':
        case 'S':
        case 'V':
        case 'P':
            ssdei_pickle_line(pickle, &length);
            ssdei_pickle_make(pickle, SSDEI_OBJECT_OPAQUE, 0);
            return 1;
        case 0x97:                                                              /* a buffer that is elsewhere */
        case 0x8f: ssdei_pickle_make(pickle, SSDEI_OBJECT_OPAQUE, 0); return 1; /* a set */
        case ')': ssdei_pickle_make(pickle, SSDEI_OBJECT_TUPLE, 0); return 1;
        case ']': ssdei_pickle_make(pickle, SSDEI_OBJECT_LIST, 0); return 1;
        case '}': ssdei_pickle_make(pickle, SSDEI_OBJECT_DICT, 0); return 1;
        case 'c': ssdei_pickle_global_lines(pickle); return 1;
        default: return 0;
    }
}

/* Instructions that work on the stack. */
static int ssdei_pickle_operation(ssdei_pickle *pickle, unsigned char code) {
    size_t length;
    switch (code) {
        case '(': ssdei_pickle_push(pickle, ssdei_mark); return 1;
        case 't': ssdei_pickle_end(pickle, SSDEI_OBJECT_TUPLE, 1); return 1;
        case 'l': ssdei_pickle_end(pickle, SSDEI_OBJECT_LIST, 1); return 1;
        case 'd': ssdei_pickle_end(pickle, SSDEI_OBJECT_DICT, 1); return 1;
        case 'e': ssdei_pickle_end(pickle, SSDEI_OBJECT_LIST, 0); return 1;
        case 'u': ssdei_pickle_end(pickle, SSDEI_OBJECT_DICT, 0); return 1;
        case 'a': ssdei_pickle_add(pickle, SSDEI_OBJECT_LIST); return 1;
        case 's': ssdei_pickle_add(pickle, SSDEI_OBJECT_DICT); return 1;
        case 0x85: ssdei_pickle_tuple(pickle, 1); return 1;
        case 0x86: ssdei_pickle_tuple(pickle, 2); return 1;
        case 0x87: ssdei_pickle_tuple(pickle, 3); return 1;
        case 0x93: ssdei_pickle_global_strings(pickle); return 1;
        case 'Q': ssdei_pickle_storage(pickle); return 1;
        case 'R': ssdei_pickle_call(pickle); return 1;
        case 'b': ssdei_pickle_build(pickle); return 1;
        case 0x81: ssdei_pickle_instance(pickle, 0); return 1;
        case 0x92: ssdei_pickle_instance(pickle, 1); return 1;
        case 'i':
            ssdei_pickle_line(pickle, &length);
            ssdei_pickle_line(pickle, &length);
            ssdei_pickle_drop(pickle);
            ssdei_pickle_make(pickle, SSDEI_OBJECT_OPAQUE, 0);
            return 1;
        case 'o':
        case 0x91: /* a frozen set */
            ssdei_pickle_drop(pickle);
            ssdei_pickle_make(pickle, SSDEI_OBJECT_OPAQUE, 0);
            return 1;
        case '0': ssdei_pickle_pop(pickle); return 1;
        case '1':
        case 0x90: ssdei_pickle_drop(pickle); return 1; /* items of a set */
        case '2': ssdei_pickle_push(pickle, ssdei_pickle_top(pickle)); return 1;
        case 'p': ssdei_pickle_remember(pickle, ssdei_pickle_decimal(pickle)); return 1;
        case 'q': ssdei_pickle_remember(pickle, ssdei_pickle_unsigned(pickle, 1)); return 1;
        case 'r': ssdei_pickle_remember(pickle, ssdei_pickle_unsigned(pickle, 4)); return 1;
        case 0x94: ssdei_pickle_remember(pickle, pickle->memo_count); return 1;
        case 'g': ssdei_pickle_recall(pickle, ssdei_pickle_decimal(pickle)); return 1;
        case 'h': ssdei_pickle_recall(pickle, ssdei_pickle_unsigned(pickle, 1)); return 1;
        case 'j': ssdei_pickle_recall(pickle, ssdei_pickle_unsigned(pickle, 4)); return 1;
        case 0x95: ssdei_pickle_unsigned(pickle, 8); return 1; /* the length of a frame */
        case 0x98: return 1;                                   /* a buffer is only for reading */
        default: return 0;
    }
}

/* Runs the pickle, or of several the next; the object it makes. */
static uint32_t ssdei_pickle_run(ssdei_pickle *pickle) {
    uint64_t start = ssdei_pickle_unsigned(pickle, 1), protocol = ssdei_pickle_unsigned(pickle, 1);
    uint32_t result;
    if (start != 0x80 || protocol < 2 || protocol > 5)
        ssdei_pickle_fail(pickle, "it does not begin as one of protocol 2 to 5");
    pickle->memo_size = pickle->memo_count = 0;
    while (pickle->status == SSDE_OK) {
        unsigned char code = (unsigned char)ssdei_pickle_unsigned(pickle, 1);
        char problem[60];
        if (pickle->status != SSDE_OK || code == '.') break;
        if (ssdei_pickle_value(pickle, code) || ssdei_pickle_operation(pickle, code)) continue;
        snprintf(problem, sizeof problem, "an instruction 0x%02x that no pickle has", (unsigned)code);
        ssdei_pickle_fail(pickle, problem);
    }
    result = ssdei_pickle_pop(pickle);
    if (pickle->depth) ssdei_pickle_fail(pickle, "it leaves more than one object");
    return result;
}

static void ssdei_pickle_release(ssdei_pickle *pickle) {
    ssde_context *context = pickle->file->context;
    ssdei_release(context, pickle->objects);
    ssdei_release(context, pickle->cells);
    ssdei_release(context, pickle->stack);
    ssdei_release(context, pickle->memo);
    ssdei_release(context, pickle->tensors);
}

/* ---- files: PyTorch's files ---- */

enum { SSDEI_MAX_NESTING = 256 }; /* as long as a name can be */

/* Walks through nested objects twice: to count what it finds, then to keep it. */
typedef struct ssdei_flattening {
    ssdei_pickle *pickle;
    char path[256]; /* of the object */
    int keep;
    size_t visits; /* bounded: a few bytes can make objects that share each other without end */
    size_t tensors, values, strings, bytes;
} ssdei_flattening;

/* Copies a string to where strings stay, or counts its bytes. */
static const char *ssdei_flatten_text(ssdei_flattening *flattening, const char *text, size_t length) {
    char *copy = NULL;
    if (flattening->keep) {
        copy = flattening->pickle->file->strings + flattening->bytes;
        memcpy(copy, text, length);
    }
    flattening->bytes += length + 1;
    return copy;
}

static void ssdei_flatten_tensor(ssdei_flattening *flattening, const ssdei_entry *tensor) {
    const char *name;
    if (flattening->tensors >= SSDEI_MAX_TENSORS + SSDEI_MAX_VALUES ||
        flattening->bytes + sizeof flattening->path > SSDEI_MAX_NAMES)
        ssdei_pickle_fail(flattening->pickle, "more than 327680 tensors, or 64 MB of names");
    if (flattening->pickle->status != SSDE_OK) return;
    name = ssdei_flatten_text(flattening, flattening->path, strlen(flattening->path));
    if (flattening->keep) {
        ssdei_entry *entry = &flattening->pickle->file->entries[flattening->tensors];
        *entry = *tensor;
        entry->info.name = name;
    }
    flattening->tensors++;
}

static void ssdei_flatten_number(ssdei_flattening *flattening, const ssdei_object *object) {
    const char *wanted = object->kind == SSDEI_OBJECT_BOOL    ? "BOOL"
                         : object->kind == SSDEI_OBJECT_FLOAT ? "F64"
                                                              : "I64";
    ssdei_entry entry;
    if (flattening->values++ >= SSDEI_MAX_VALUES) return;
    memset(&entry, 0, sizeof entry);
    entry.dtype = ssdei_dtype_find(wanted);
    entry.info.dtype = entry.dtype->name;
    entry.info.count = 1;
    entry.info.number = 1;
    entry.bits = object->bits;
    ssdei_flatten_tensor(flattening, &entry);
}

static void ssdei_flatten_string(ssdei_flattening *flattening, const ssdei_object *object) {
    const char *text = (const char *)flattening->pickle->bytes + object->bits, *key, *value;
    if (memchr(text, 0, object->count) || flattening->values >= SSDEI_MAX_VALUES ||
        flattening->bytes + sizeof flattening->path + object->count > SSDEI_MAX_NAMES / 2)
        return;
    flattening->values++;
    key = ssdei_flatten_text(flattening, flattening->path, strlen(flattening->path));
    value = ssdei_flatten_text(flattening, text, object->count);
    if (flattening->keep) {
        flattening->pickle->file->metadata[flattening->strings].key = key;
        flattening->pickle->file->metadata[flattening->strings].value = value;
    }
    flattening->strings++;
}

/* Where a module that was saved whole keeps what its state_dict() has. */
static int ssdei_flatten_transparent(const char *key, size_t length) {
    return (length == 8 && !memcmp(key, "_modules", 8)) || (length == 8 && !memcmp(key, "_buffers", 8)) ||
           (length == 11 && !memcmp(key, "_parameters", 11));
}

/* Adds ".KEY" to the path, KEY a string, a whole number of a dictionary (`key` not NULL) or a place in a list. 0: what
   is there can have no name. */
static int ssdei_flatten_path(ssdei_flattening *flattening, const ssdei_object *key, uint32_t place) {
    size_t length = strlen(flattening->path), room = sizeof flattening->path - length;
    const char *dot = length ? "." : "", *text;
    char *end = flattening->path + length;
    int used;
    if (!key)
        used = snprintf(end, room, "%s%lu", dot, (unsigned long)place);
    else if (key->kind == SSDEI_OBJECT_INTEGER)
        used = snprintf(end, room, "%s%s%llu", dot, key->bits > INT64_MAX ? "-" : "",
                        (unsigned long long)(key->bits > INT64_MAX ? 0 - key->bits : key->bits));
    else if (key->kind == SSDEI_OBJECT_STRING && key->count < room) {
        text = (const char *)flattening->pickle->bytes + key->bits;
        if (memchr(text, 0, key->count)) return 0;
        if (ssdei_flatten_transparent(text, key->count)) return 1;
        used = snprintf(end, room, "%s%.*s", dot, (int)key->count, text);
    } else
        return 0;
    return (size_t)used < room;
}

static void ssdei_flatten(ssdei_flattening *flattening, uint32_t index, int depth);

/* What a container has; no more than once on the way down, should it contain itself. */
static void ssdei_flatten_items(ssdei_flattening *flattening, uint32_t index, int depth) {
    ssdei_pickle *pickle = flattening->pickle;
    ssdei_object *object = &pickle->objects[index];
    size_t length = strlen(flattening->path);
    uint32_t cell = object->first, i;
    if (object->bits || depth == SSDEI_MAX_NESTING) return;
    object->bits = 1;
    for (i = 0; i < object->count && pickle->status == SSDE_OK; i++) {
        const ssdei_object *key = NULL;
        if (i) cell = pickle->cells[cell].next;
        if (object->kind == SSDEI_OBJECT_DICT) {
            key = &pickle->objects[pickle->cells[cell].object];
            cell = pickle->cells[cell].next;
            i++;
        }
        if (ssdei_flatten_path(flattening, key, i)) ssdei_flatten(flattening, pickle->cells[cell].object, depth + 1);
        flattening->path[length] = 0;
    }
    object->bits = 0;
}

static void ssdei_flatten(ssdei_flattening *flattening, uint32_t index, int depth) {
    ssdei_pickle *pickle = flattening->pickle;
    const ssdei_object *object = &pickle->objects[index];
    if (flattening->visits++ > pickle->size + SSDEI_MAX_TENSORS)
        ssdei_pickle_fail(pickle, "objects are shared too often");
    if (pickle->status != SSDE_OK) return;
    switch (object->kind) {
        case SSDEI_OBJECT_TUPLE:
        case SSDEI_OBJECT_LIST:
        case SSDEI_OBJECT_DICT: ssdei_flatten_items(flattening, index, depth); return;
        case SSDEI_OBJECT_TENSOR: ssdei_flatten_tensor(flattening, &pickle->tensors[object->bits]); return;
        case SSDEI_OBJECT_STRING: ssdei_flatten_string(flattening, object); return;
        case SSDEI_OBJECT_BOOL:
        case SSDEI_OBJECT_INTEGER:
        case SSDEI_OBJECT_FLOAT: ssdei_flatten_number(flattening, object); return;
        default: return; /* nothing that could be listed */
    }
}

/* Two things can come to one name, {"a.b": x, "a": {"b": y}}: neither is read. */
static void ssdei_pth_twins(ssde_tensor_file *file) {
    size_t i;
    for (i = 1; i < file->count; i++) {
        ssdei_entry *entry = &file->entries[file->by_name[i]], *before = &file->entries[file->by_name[i - 1]];
        if (strcmp(entry->info.name, before->info.name)) continue;
        entry->info.problem = before->info.problem = "is there twice";
    }
}

/* Fills the file's entries and metadata from what the pickle made. */
static ssde_status ssdei_pth_fill(ssdei_pickle *pickle, uint32_t root) {
    ssde_tensor_file *file = pickle->file;
    ssdei_flattening flattening;
    memset(&flattening, 0, sizeof flattening);
    flattening.pickle = pickle;
    ssdei_flatten(&flattening, root, 0);
    ssdei_try(pickle->status);
    file->entries = (ssdei_entry *)ssdei_allocate(file->context, flattening.tensors + 1, sizeof *file->entries);
    file->metadata = (ssdei_metadata *)ssdei_allocate(file->context, flattening.strings + 1, sizeof *file->metadata);
    file->strings = (char *)ssdei_allocate(file->context, flattening.bytes + 1, 1);
    if (!file->entries || !file->metadata || !file->strings) return SSDE_ERROR_MEMORY;
    file->count = flattening.tensors;
    file->metadata_count = flattening.strings;
    memset(&flattening, 0, sizeof flattening);
    flattening.pickle = pickle;
    flattening.keep = 1;
    ssdei_flatten(&flattening, root, 0);
    ssdei_try(pickle->status);
    ssdei_try(ssdei_sort_entries(file, ssdei_name_before));
    ssdei_pth_twins(file);
    return SSDE_OK;
}

/* The record ROOT/data.pkl, whose ROOT is any folder; the one nearest to the top. */
static ssdei_record *ssdei_pth_find(const ssde_tensor_file *file) {
    static const char name[] = "/data.pkl";
    ssdei_record *found = NULL;
    size_t length = sizeof name - 1, i;
    for (i = 0; i < file->record_count; i++) {
        ssdei_record *record = &file->records[i];
        if (record->length > length && !memcmp(record->name + record->length - length, name, length) &&
            (!found || record->length < found->length))
            found = record;
    }
    return found;
}

/* ROOT/byteorder says "little" or "big"; where it is missing, PyTorch is older than 2.1. */
static ssde_status ssdei_pth_byte_order(ssde_tensor_file *file, const char *root, size_t root_length) {
    const ssdei_parts name = {{root, "byteorder", NULL}, {root_length, 9, 0}};
    ssdei_record *record = ssdei_zip_record(file, &name);
    char order[8] = "";
    if (!record) return SSDE_OK;
    ssdei_try(ssdei_record_check(file, record));
    if (record->size < sizeof order) ssdei_try(ssdei_read_at(file, record->begin, order, (size_t)record->size));
    file->big_endian = !strcmp(order, "big");
    if (!file->big_endian && strcmp(order, "little"))
        return ssdei_record_fail(file, record, SSDE_ERROR_FORMAT, "is neither little nor big");
    return SSDE_OK;
}

static ssde_status ssdei_pth_interpret(ssde_tensor_file *file, ssdei_record *program, unsigned char *bytes) {
    ssdei_pickle pickle;
    uint32_t root;
    memset(&pickle, 0, sizeof pickle);
    pickle.file = file;
    pickle.root = program->name;
    pickle.root_length = program->length - strlen("data.pkl");
    pickle.bytes = bytes;
    pickle.size = (size_t)program->size;
    pickle.status = ssdei_pth_byte_order(file, pickle.root, pickle.root_length);
    if (pickle.status == SSDE_OK) pickle.status = ssdei_record_check(file, program);
    if (pickle.status == SSDE_OK) pickle.status = ssdei_read_at(file, program->begin, bytes, pickle.size);
    root = ssdei_pickle_run(&pickle);
    if (pickle.status == SSDE_OK) pickle.status = ssdei_pth_fill(&pickle, root);
    ssdei_pickle_release(&pickle);
    return pickle.status;
}

static ssde_status ssdei_pth_load(ssde_tensor_file *file) {
    unsigned char *bytes;
    ssdei_record *program;
    ssde_status status;
    ssdei_try(ssdei_zip_load(file));
    program = ssdei_pth_find(file);
    if (!program)
        return ssde_fail(file->context, SSDE_ERROR_FORMAT,
                         "'%.90s' is not a file of torch.save: it has no data.pkl, but is %s", file->path,
                         ssdei_zip_kind(file->record_count ? file->records->name : NULL,
                                        file->record_count ? file->records->length : 0));
    if (program->size > SSDEI_MAX_PICKLE)
        return ssde_fail(file->context, SSDE_ERROR_UNSUPPORTED, "'%.160s': its data.pkl has more than 1 GB",
                         file->path);
    bytes = (unsigned char *)ssdei_allocate(file->context, (size_t)program->size + 1, 1);
    status = bytes ? ssdei_pth_interpret(file, program, bytes) : SSDE_ERROR_MEMORY;
    ssdei_release(file->context, bytes);
    return status;
}

/* ---- files: PyTorch's files without an archive ----
   What torch.save wrote before PyTorch 1.6, and writes with _use_new_zipfile_serialization=False: five pickles, which
   are a number to know the format by, the version of its protocol, facts about the machine, the object, and a list of
   the keys of its storages; then, in the order of that list, of each storage the number of elements, 8 bytes, and the
   elements. All of that is little-endian, whatever machine wrote it. Since only the object tells how many bytes an
   element has, its pickle runs twice: first to find the storages, then with them. A record is a storage. */

/* Makes the records out of the list of keys. */
static ssde_status ssdei_stream_keys(ssdei_pickle *pickle) {
    ssde_tensor_file *file = pickle->file;
    const size_t begin = pickle->at;
    const uint32_t list = ssdei_pickle_run(pickle);
    uint32_t cell, i;
    ssdei_try(pickle->status);
    if (!ssdei_pickle_is(pickle, list, SSDEI_OBJECT_LIST)) ssdei_pickle_fail(pickle, "its storages' keys are no list");
    if (pickle->objects[list].count > (file->size - pickle->at) / 8)
        ssdei_pickle_fail(pickle, "it lists more storages than the file can have");
    ssdei_try(pickle->status);
    file->directory_size = pickle->at - begin;
    file->record_count = pickle->objects[list].count;
    if (!ssdei_object_create(file->context, file, 0, ssdei_zip_arrays)) return SSDE_ERROR_MEMORY;
    memcpy(file->directory, pickle->bytes + begin, file->directory_size);
    for (cell = pickle->objects[list].first, i = 0; i < file->record_count; i++, cell = pickle->cells[cell].next) {
        const ssdei_object *key = &pickle->objects[pickle->cells[cell].object];
        if (key->kind != SSDEI_OBJECT_STRING) ssdei_pickle_fail(pickle, "a storage's key is no string");
        ssdei_try(pickle->status);
        file->records[i].name = (const char *)file->directory + (key->bits - begin);
        file->records[i].length = key->count;
        file->records[i].checked = 1; /* there is no CRC */
    }
    return ssdei_sort_records(file);
}

/* Of a class of storages, the bytes of an element; one whose dtype is not read here has its bits in its name. */
static size_t ssdei_storage_bytes(uint32_t storage_class) {
    const char *name = ssdei_globals[storage_class].detail;
    size_t bytes = ssdei_dtype_find(name)->bytes;
    return bytes ? bytes : strtoul(name + strcspn(name, "123456789"), NULL, 10) / 8;
}

/* Finds the bytes of each storage. Until then, the size of its record is that of an element, of the first class that
   the object gives it. */
static ssde_status ssdei_stream_storages(ssdei_pickle *pickle) {
    ssde_tensor_file *file = pickle->file;
    unsigned char number[8];
    uint64_t at = pickle->at, count;
    uint32_t items[6];
    size_t i;
    for (i = 0; i < pickle->object_count; i++) {
        const ssdei_object *storage = &pickle->objects[i];
        ssdei_record *record;
        if (storage->kind != SSDEI_OBJECT_STORAGE || ssdei_globals[storage->first].kind != SSDEI_GLOBAL_STORAGE ||
            !ssdei_pickle_items(pickle, storage->count, items, 5, 6))
            continue;
        record = ssdei_pickle_record(pickle, items[2]);
        if (record && !record->size) record->size = ssdei_storage_bytes(storage->first);
    }
    for (i = 0; i < file->record_count; i++) {
        ssdei_record *record = &file->records[i];
        if (!record->size)
            return ssdei_record_fail(file, record, SSDE_ERROR_FORMAT,
                                     "is a storage of no class that is known here, and so of no known size");
        ssdei_try(ssdei_read_at(file, at, number, sizeof number));
        at += sizeof number;
        count = ssdei_little_endian(number, sizeof number);
        if (count > (file->size - at) / record->size)
            return ssdei_record_fail(file, record, SSDE_ERROR_FORMAT, "is a storage that reaches beyond the file");
        record->begin = at;
        record->size *= count;
        at += record->size;
    }
    return SSDE_OK;
}

static ssde_status ssdei_stream_interpret(ssdei_pickle *pickle) {
    uint32_t root;
    size_t object;
    ssdei_pickle_run(pickle);
    root = ssdei_pickle_run(pickle);
    if (pickle->status == SSDE_OK &&
        (!ssdei_pickle_is(pickle, root, SSDEI_OBJECT_INTEGER) || pickle->objects[root].bits != 1001))
        ssdei_pickle_fail(pickle, "the version of its protocol is not 1001");
    ssdei_pickle_run(pickle);
    object = pickle->at;
    ssdei_pickle_run(pickle);
    ssdei_try(ssdei_stream_keys(pickle));
    ssdei_try(ssdei_stream_storages(pickle));
    pickle->at = object;
    pickle->object_count = pickle->cell_count = pickle->tensor_count = 0;
    root = ssdei_pickle_run(pickle);
    return ssdei_pth_fill(pickle, root);
}

/* Where the pickles end is known once they have run: they begin with a part of the file, and again with more of it. */
static ssde_status ssdei_stream_load(ssde_tensor_file *file) {
    const size_t most = file->size < SSDEI_MAX_PICKLE ? (size_t)file->size : (size_t)SSDEI_MAX_PICKLE;
    size_t size = (size_t)1 << 18;
    ssdei_pickle pickle;
    ssde_status status;
    do {
        unsigned char *bytes;
        size = size < most / 4 ? 4 * size : most;
        memset(&pickle, 0, sizeof pickle);
        pickle.file = file;
        pickle.size = size;
        pickle.partial = size < most;
        bytes = (unsigned char *)ssdei_allocate(file->context, size + 1, 1);
        pickle.bytes = bytes;
        status = bytes ? ssdei_read_at(file, 0, bytes, size) : SSDE_ERROR_MEMORY;
        if (status == SSDE_OK) status = ssdei_stream_interpret(&pickle);
        ssdei_pickle_release(&pickle);
        ssdei_release(file->context, bytes);
    } while (pickle.cut);
    return status;
}

/* ---- files: shards ----
   A model in several files has an index beside them, {"metadata": {...}, "weight_map": {"TENSOR": "FILE", ...}}. The
   files stay open, and the index has the entries of all of them. */

static ssde_status ssdei_tensor_file_open(ssde_context *context, ssde_tensor_file **file, const char *path, int shard);

/* The map, tensors as keys and files as values, while the index is read. */
typedef struct ssdei_shard_map {
    ssdei_metadata *rows;
    size_t *order;
    size_t count, capacity;
    int found; /* there is a weight_map */
} ssdei_shard_map;

static int ssdei_key_before(const void *items, size_t a, size_t b) {
    const ssdei_metadata *rows = (const ssdei_metadata *)items;
    return strcmp(rows[a].key, rows[b].key) < 0;
}

static int ssdei_value_before(const void *items, size_t a, size_t b) {
    const ssdei_metadata *rows = (const ssdei_metadata *)items;
    return strcmp(rows[a].value, rows[b].value) < 0;
}

static void ssdei_read_map(ssde_tensor_file *file, ssdei_json *json, ssdei_shard_map *map, ssde_status *status) {
    if (map->found++) ssdei_json_fail(json, "a second weight_map");
    for (ssdei_json_open(json, '{'); ssdei_json_next(json, '}') && *status == SSDE_OK; map->count++) {
        void *array = map->rows;
        *status = ssdei_grow(file->context, &array, &map->capacity, map->count, 1, sizeof *map->rows);
        map->rows = (ssdei_metadata *)array;
        if (*status != SSDE_OK) return;
        map->rows[map->count].key = ssdei_keep_string(file, json);
        if (!ssdei_json_take(json, ':')) ssdei_json_fail(json, "a colon is expected");
        map->rows[map->count].value = ssdei_keep_string(file, json);
        if (json->problem) return;
    }
}

/* Reads the index. Without a weight_map, whatever else it is, map->found stays 0. */
static ssde_status ssdei_read_index(ssde_tensor_file *file, ssdei_shard_map *map) {
    ssdei_json json = ssdei_json_over(file->strings, (size_t)file->size);
    ssde_status status = SSDE_OK;
    char key[16];
    for (ssdei_json_open(&json, '{'); ssdei_json_next(&json, '}') && status == SSDE_OK;) {
        ssdei_json_key(&json, key, sizeof key);
        if (json.problem) break;
        if (!strcmp(key, "weight_map"))
            ssdei_read_map(file, &json, map, &status);
        else
            ssdei_json_skip(&json);
    }
    if (status != SSDE_OK || !map->found || ssdei_json_end(&json)) return status;
    return ssde_fail(file->context, SSDE_ERROR_FORMAT, "'%.120s': %s (byte %lu of the index)", file->path, json.problem,
                     (unsigned long)json.at);
}

/* Opens a file of the index and takes its entries. */
static ssde_status ssdei_shard_open(ssde_tensor_file *file, const char *name) {
    const size_t folder = ssdei_folder_length(file->path), length = strlen(name);
    void *array = file->shards;
    ssde_tensor_file *shard;
    ssde_status status = ssdei_grow(file->context, &array, &file->shard_capacity, file->shard_count, 1, sizeof shard);
    char *path;
    size_t i;
    file->shards = (ssde_tensor_file **)array;
    ssdei_try(status);
    if (!length || strpbrk(name, "/\\:") || !strcmp(name, ".") || !strcmp(name, ".."))
        return ssde_fail(file->context, SSDE_ERROR_FORMAT, "'%.90s' names '%.60s', wanted the name of a file beside it",
                         file->path, name);
    path = (char *)ssdei_allocate(file->context, folder + length + 1, 1);
    if (!path) return SSDE_ERROR_MEMORY;
    memcpy(path, file->path, folder);
    memcpy(path + folder, name, length);
    status = ssdei_tensor_file_open(file->context, &shard, path, 1);
    ssdei_release(file->context, path);
    ssdei_try(status);
    file->shards[file->shard_count++] = shard;
    for (i = 0; i < shard->count; i++) {
        ssdei_entry *entry;
        if (shard->entries[i].info.number) continue; /* beside the tensors of torch.save */
        entry = ssdei_entry_add(file);
        if (!entry) return SSDE_ERROR_MEMORY;
        *entry = shard->entries[i];
        entry->shard = shard;
    }
    return SSDE_OK;
}

/* The file's name of an entry. */
static const char *ssdei_shard_name(const ssdei_entry *entry) {
    return entry->shard->path + ssdei_folder_length(entry->shard->path);
}

static ssde_status ssdei_map_fail(const ssde_tensor_file *file, const char *tensor, const char *problem,
                                  const char *shard) {
    return ssde_fail(file->context, SSDE_ERROR_FORMAT, "'%.70s': tensor '%.60s' %s '%.50s'", file->path, tensor,
                     problem, shard);
}

/* Map and files have the same tensors, each in the same place, and once. Both are in the order of names. */
static ssde_status ssdei_check_map(const ssde_tensor_file *file, const ssdei_shard_map *map) {
    size_t i;
    for (i = 0; i < file->count || i < map->count; i++) {
        const ssdei_entry *entry = i < file->count ? &file->entries[file->by_name[i]] : NULL;
        const ssdei_metadata *row = i < map->count ? &map->rows[map->order[i]] : NULL;
        const char *name = entry ? entry->info.name : "", *shard = entry ? ssdei_shard_name(entry) : "";
        int order = !entry ? 1 : !row ? -1 : strcmp(name, row->key);
        if (i && entry && !strcmp(file->entries[file->by_name[i - 1]].info.name, name))
            return ssdei_map_fail(file, name, "is also in", shard);
        if (i && row && !strcmp(map->rows[map->order[i - 1]].key, row->key))
            return ssdei_map_fail(file, row->key, "is twice in the index, once as in", row->value);
        if (order < 0) return ssdei_map_fail(file, name, "is not in the index, but in", shard);
        if (order > 0) return ssdei_map_fail(file, row->key, "is in the index, but not in", row->value);
        if (strcmp(shard, row->value)) return ssdei_map_fail(file, name, "is, against the index, in", shard);
    }
    return SSDE_OK;
}

static ssde_status ssdei_shards_open(ssde_tensor_file *file, ssdei_shard_map *map) {
    size_t i;
    if (!map->count)
        return ssde_fail(file->context, SSDE_ERROR_FORMAT, "'%.180s': its weight_map is empty", file->path);
    map->order = (size_t *)ssdei_allocate(file->context, map->count, sizeof *map->order);
    if (!map->order) return SSDE_ERROR_MEMORY;
    ssdei_sort(map->rows, map->count, map->order, ssdei_value_before);
    for (i = 0; i < map->count; i++)
        if (!i || strcmp(map->rows[map->order[i]].value, map->rows[map->order[i - 1]].value))
            ssdei_try(ssdei_shard_open(file, map->rows[map->order[i]].value));
    ssdei_sort(map->rows, map->count, map->order, ssdei_key_before);
    ssdei_try(ssdei_sort_entries(file, ssdei_name_before));
    return ssdei_check_map(file, map);
}

/* A text that begins with a brace. */
static ssde_status ssdei_shards_load(ssde_tensor_file *file, int *found) {
    ssdei_shard_map map = {NULL, NULL, 0, 0, 0};
    ssde_status status = SSDE_OK;
    if (file->size > SSDEI_MAX_HEADER) return SSDE_OK;
    file->strings = (char *)ssdei_allocate(file->context, (size_t)file->size + 1, 1);
    if (!file->strings) return SSDE_ERROR_MEMORY;
    status = ssdei_read_at(file, 0, file->strings, (size_t)file->size);
    if (status == SSDE_OK) status = ssdei_read_index(file, &map);
    *found = map.found;
    if (status == SSDE_OK && map.found) status = ssdei_shards_open(file, &map);
    ssdei_release(file->context, map.rows);
    ssdei_release(file->context, map.order);
    return status;
}

/* ---- files: opening a file of tensors ---- */

/* safetensors begins with the length of its header, less than 2^40, and the header with a brace; or with white space,
   which its own reader lets pass. */
static ssde_status ssdei_load_container(ssde_tensor_file *file, int shard) {
    unsigned char start[512] = {0};
    size_t size = file->size < sizeof start ? (size_t)file->size : sizeof start, brace = 8;
    int index = 0;
    ssdei_try(ssdei_read_at(file, 0, start, size));
    while (brace < size && memchr(" \t\r\n", start[brace], 4)) brace++;
    if (brace < size && start[brace] == '{' && !start[5] && !start[6] && !start[7]) return ssdei_safetensors_load(file);
    if (ssdei_zip_signature(start, 3, 4) || ssdei_zip_signature(start, 5, 6)) return ssdei_pth_load(file);
    if (start[0] == 0x80 && ssdei_pth_is_stream(start, size)) return ssdei_stream_load(file);
    if (!ssdei_file_kind(start, size)) return ssdei_safetensors_load(file);
    for (brace = 0; brace < size && memchr(" \t\r\n", start[brace], 4);) brace++;
    if (brace < size && start[brace] == '{' && !shard) ssdei_try(ssdei_shards_load(file, &index));
    if (index) return SSDE_OK;
    return ssdei_wrong_file(file->context, file->path, "a file of safetensors or torch.save", start, size);
}

static void ssdei_tensor_file_arrays(void *object, ssdei_memory *memory) {
    ssde_tensor_file *file = (ssde_tensor_file *)object;
    file->path = ssdei_place(memory, char, file->path_size);
    file->piece = ssdei_place(memory, ssdei_piece, 1);
    file->tables = ssdei_place(memory, ssdei_crc_tables, 1);
}

static ssde_status ssdei_tensor_file_open(ssde_context *context, ssde_tensor_file **file, const char *path, int shard) {
    ssde_tensor_file made, *opened;
    ssde_status status;
    memset(&made, 0, sizeof made);
    made.context = context;
    made.path_size = strlen(path) + 1;
    opened = (ssde_tensor_file *)ssdei_object_create(context, &made, sizeof made, ssdei_tensor_file_arrays);
    if (!opened) return SSDE_ERROR_MEMORY;
    memcpy(opened->path, path, made.path_size);
    ssdei_crc32_tables(opened->tables);
    status = ssdei_file_open(context, path, &opened->stream, &opened->size);
    if (status == SSDE_OK) status = ssdei_load_container(opened, shard);
    if (status != SSDE_OK)
        ssde_tensor_file_close(opened);
    else
        *file = opened;
    return status;
}

ssde_status ssde_tensor_file_open(ssde_context *context, ssde_tensor_file **file, const char *path) {
    if (!file) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "ssde_tensor_file_open: file is NULL");
    *file = NULL;
    if (!path) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "ssde_tensor_file_open: path is NULL");
    return ssdei_tensor_file_open(context, file, path, 0);
}

SSDEI_ONCE_END

/* ---- >>random ---- */

/* The constants of Philox4x32 (Salmon et al. 2011, table 2). */
static const uint32_t ssdei_philox_m0 = 0xd2511f53u, ssdei_philox_m1 = 0xcd9e8d57u;
static const uint32_t ssdei_philox_w0 = 0x9e3779b9u, ssdei_philox_w1 = 0xbb67ae85u;

enum {
    SSDEI_RANDOM_SERIAL = 65536, /* elements up to which draws are not worth a thread */
    SSDEI_RANDOM_CHUNK = 16384,  /* elements of a piece, or one row */
    SSDEI_RANDOM_ROWS = 256      /* rows whose numbers are made up at a time where sample is NULL */
};

ssde_rng ssde_rng_seed(uint64_t seed) {
    ssde_rng rng;
    rng.seed = seed;
    rng.next_sample = 0;
    return rng;
}

/* The plain form of what >>kernels do in vectors. */
void ssde_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t words[4]) {
    uint32_t a = counter[0], b = counter[1], c = counter[2], d = counter[3], key0 = key[0], key1 = key[1];
    int round;
    for (round = 0; round < 10; round++) {
        uint64_t first = (uint64_t)ssdei_philox_m0 * a, second = (uint64_t)ssdei_philox_m1 * c;
        a = (uint32_t)(second >> 32) ^ b ^ key0;
        b = (uint32_t)second;
        c = (uint32_t)(first >> 32) ^ d ^ key1;
        d = (uint32_t)first;
        key0 += ssdei_philox_w0;
        key1 += ssdei_philox_w1;
    }
    words[0] = a, words[1] = b, words[2] = c, words[3] = d;
}

/* Block `block` of a row. */
static void ssdei_random_block(uint64_t seed, int stream, uint32_t step, uint64_t sample, uint32_t block,
                               uint32_t words[4]) {
    uint32_t counter[4], key[2];
    counter[0] = block;
    counter[1] = step;
    counter[2] = (uint32_t)sample;
    counter[3] = ((uint32_t)(sample >> 32) & 0xffffu) | (uint32_t)stream << 16;
    key[0] = (uint32_t)seed;
    key[1] = (uint32_t)(seed >> 32);
    ssde_philox(counter, key, words);
}

double ssde_random_double(uint64_t seed, int stream, uint32_t step, uint64_t sample, uint32_t element) {
    uint32_t words[4];
    ssdei_random_block(seed, stream, step, sample, element, words);
    return ((double)(words[0] >> 6) * 67108864.0 + (double)(words[1] >> 6) + 0.5) / 4503599627370496.0;
}

typedef enum ssdei_draw { SSDEI_DRAW_WORDS, SSDEI_DRAW_UNIFORM, SSDEI_DRAW_NORMAL, SSDEI_DRAW_SIGN } ssdei_draw;

typedef struct ssdei_random_task {
    const ssdei_kernels *kernels;
    ssdei_draw draw;
    uint64_t seed;
    uint32_t stream, step;
    const uint64_t *sample;
    size_t dim;
    unsigned char *out; /* floats or words, through memcpy and kernels that do not mind which */
} ssdei_random_task;

static void ssdei_random_rows(const ssdei_random_task *task, const uint64_t *sample, size_t rows, unsigned char *out) {
    size_t count = rows * task->dim, i;
    task->kernels->draw(task->draw == SSDEI_DRAW_NORMAL, task->seed, task->stream, task->step, sample, rows, task->dim,
                        out);
    if (task->draw == SSDEI_DRAW_WORDS || task->draw == SSDEI_DRAW_NORMAL) return;
    for (i = 0; i < count; i++) {
        uint32_t word;
        float value;
        memcpy(&word, out + 4 * i, 4);
        if (task->draw == SSDEI_DRAW_SIGN)
            value = word >> 31 ? -1.0f : 1.0f;
        else
            value = (float)(int32_t)(word >> 8) * 5.9604644775390625e-8f; /* 2^-24 */
        memcpy(out + 4 * i, &value, 4);
    }
}

static void ssdei_random_piece(const ssdei_random_task *task, size_t begin, size_t end) {
    size_t rows, i;
    for (; begin < end; begin += rows) {
        uint64_t numbers[SSDEI_RANDOM_ROWS];
        rows = end - begin;
        if (!task->sample) {
            if (rows > SSDEI_RANDOM_ROWS) rows = SSDEI_RANDOM_ROWS;
            for (i = 0; i < rows; i++) numbers[i] = begin + i;
        }
        ssdei_random_rows(task, task->sample ? task->sample + begin : numbers, rows, task->out + begin * task->dim * 4);
    }
}

static void ssdei_random_run(void *argument, ssdei_worker *worker) {
    size_t begin, end;
    while (ssdei_next_piece(worker, &begin, &end)) ssdei_random_piece((const ssdei_random_task *)argument, begin, end);
}

/* What every draw refuses; `name` is the function's. */
static ssde_status ssdei_random_check(ssde_context *context, const char *name, int stream, const uint64_t *sample,
                                      size_t rows, size_t dim, const void *out) {
    uint64_t all = 0;
    size_t r;
    ssdei_try(ssdei_check_arithmetic(context));
    if (!out) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s: out is NULL", name);
    if (!rows || !dim || (dim - 1) >> 31 > 1)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                         "%s: rows is %.0f and dim %.0f, wanted at least 1 row of 1 to 2^32 elements", name,
                         (double)rows, (double)dim);
    if (ssdei_multiply(ssdei_multiply(rows, dim), 4) == SIZE_MAX)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s: %.0f rows of %.0f elements exceed memory", name,
                         (double)rows, (double)dim);
    if (stream < 0 || stream > 0xffff)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s: stream is %d, wanted 0 ... 65535", name, stream);
    if (!sample && (uint64_t)(rows - 1) >> 48)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s: rows is %.0f, wanted up to 2^48", name, (double)rows);
    for (r = 0; sample && r < rows; r++) all |= sample[r];
    for (r = 0; all >> 48 && r < rows; r++) {
        if (sample[r] >> 48)
            return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s: sample[%lu] is %.0f, wanted below 2^48", name,
                             (unsigned long)r, (double)sample[r]);
    }
    return SSDE_OK;
}

static ssde_status ssdei_random(ssde_context *context, const char *name, ssdei_draw draw, uint64_t seed, int stream,
                                uint32_t step, const uint64_t *sample, size_t rows, size_t dim, void *out) {
    ssdei_random_task task;
    ssdei_team team;
    size_t chunk = rows;
    ssdei_try(ssdei_random_check(context, name, stream, sample, rows, dim, out));
    task.kernels = ssdei_kernels_for(context);
    task.draw = draw;
    task.seed = seed;
    task.stream = (uint32_t)stream;
    task.step = step;
    task.sample = sample;
    task.dim = dim;
    task.out = (unsigned char *)out;
    if (rows * dim > SSDEI_RANDOM_SERIAL) chunk = dim < SSDEI_RANDOM_CHUNK ? SSDEI_RANDOM_CHUNK / dim : 1;
    ssdei_team_set(&team, context);
    ssdei_parallel_for(&team, rows, chunk, ssdei_random_run, &task);
    return SSDE_OK;
}

ssde_status ssde_random_words(ssde_context *context, uint64_t seed, int stream, uint32_t step, const uint64_t *sample,
                              size_t rows, size_t dim, uint32_t *out) {
    return ssdei_random(context, "ssde_random_words", SSDEI_DRAW_WORDS, seed, stream, step, sample, rows, dim, out);
}

ssde_status ssde_random_uniform(ssde_context *context, uint64_t seed, int stream, uint32_t step, const uint64_t *sample,
                                size_t rows, size_t dim, float *out) {
    return ssdei_random(context, "ssde_random_uniform", SSDEI_DRAW_UNIFORM, seed, stream, step, sample, rows, dim, out);
}

ssde_status ssde_random_normal(ssde_context *context, uint64_t seed, int stream, uint32_t step, const uint64_t *sample,
                               size_t rows, size_t dim, float *out) {
    return ssdei_random(context, "ssde_random_normal", SSDEI_DRAW_NORMAL, seed, stream, step, sample, rows, dim, out);
}

ssde_status ssde_random_sign(ssde_context *context, uint64_t seed, int stream, uint32_t step, const uint64_t *sample,
                             size_t rows, size_t dim, float *out) {
    return ssdei_random(context, "ssde_random_sign", SSDEI_DRAW_SIGN, seed, stream, step, sample, rows, dim, out);
}

ssde_status ssdei_draw_normal(ssde_context *context, const ssde_noise_source *source, uint64_t seed, int stream,
                              uint32_t step, const uint64_t *sample, size_t rows, size_t dim, float *out) {
    ssde_status status;
    if (!source->fill) return ssde_random_normal(context, seed, stream, step, sample, rows, dim, out);
    status = source->fill(source->user, stream, step, sample, rows, dim, out);
    if (status == SSDE_OK || !context || context->error[0]) return status;
    return ssde_fail(context, status, "noise.fill returned '%s' for stream %d, step %lu", ssde_status_text(status),
                     stream, (unsigned long)step);
}

ssde_status ssde_dequantise(ssde_context *context, uint64_t seed, uint32_t step, const uint64_t *sample,
                            const float *values, size_t rows, size_t dim, double levels, double low, double high,
                            float *out) {
    size_t r, i;
    ssdei_try(ssdei_random_check(context, "ssde_dequantise", SSDE_STREAM_DEQUANTISATION, sample, rows, dim, out));
    if (!values) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "ssde_dequantise: values is NULL");
    if (!(levels >= 1.0 && levels <= 16777216.0) || levels != floor(levels))
        return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                         "ssde_dequantise: levels is %.9g, wanted a whole number from 1 to 2^24", levels);
    ssdei_try(ssdei_check_interval(context, "ssde_dequantise: ", low, high));
    for (i = 0; i < rows * dim; i++) {
        double value = (double)values[i];
        if (!(value >= 0.0 && value < levels) || value != floor(value))
            return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                             "ssde_dequantise: row %lu, element %lu is %.9g, wanted a whole number from 0 to %.0f",
                             (unsigned long)(i / dim), (unsigned long)(i % dim), value, levels - 1.0);
    }
    for (r = 0; r < rows; r++) {
        uint64_t number = sample ? sample[r] : r;
        uint32_t words[4] = {0, 0, 0, 0};
        for (i = 0; i < dim; i++) {
            size_t at = r * dim + i;
            double u;
            if (i % 4 == 0)
                ssdei_random_block(seed, SSDE_STREAM_DEQUANTISATION, step, number, (uint32_t)(i / 4), words);
            u = (double)(words[i % 4] >> 8) / 16777216.0;
            out[at] = (float)(low + (high - low) * (((double)values[at] + u) / levels));
        }
    }
    return SSDE_OK;
}

SSDEI_ONCE_BEGIN

/* ---- >>sde ---- */

static int ssdei_is_finite(double x) { return x - x == 0.0; }

static double ssdei_clamp_time(double t, double eps) { return t < eps ? eps : t > 1.0 ? 1.0 : t; }

static ssde_sde ssdei_sde(ssde_sde_kind kind) {
    ssde_sde sde;
    memset(&sde, 0, sizeof sde);
    sde.kind = kind;
    sde.num_scales = 1000;
    return sde;
}

ssde_sde ssde_ve(double sigma_min, double sigma_max) {
    ssde_sde sde = ssdei_sde(SSDE_VE);
    sde.sigma_min = sigma_min;
    sde.sigma_max = sigma_max;
    return sde;
}

ssde_sde ssde_vp(double beta_min, double beta_max) {
    ssde_sde sde = ssdei_sde(SSDE_VP);
    sde.beta_min = beta_min;
    sde.beta_max = beta_max;
    return sde;
}

ssde_sde ssde_subvp(double beta_min, double beta_max) {
    ssde_sde sde = ssde_vp(beta_min, beta_max);
    sde.kind = SSDE_SUBVP;
    return sde;
}

ssde_sde ssde_rectified_flow(void) { return ssdei_sde(SSDE_RECTIFIED_FLOW); }

ssde_sde ssde_tabulated(const double *mean, const double *std, const double *label, int levels) {
    ssde_sde sde = ssdei_sde(SSDE_TABULATED);
    sde.level_mean = mean;
    sde.level_std = std;
    sde.level_label = label;
    sde.num_scales = levels;
    return sde;
}

ssde_sde ssde_affine(double (*a)(void *user, double t), double (*g)(void *user, double t), void *user) {
    ssde_sde sde = ssdei_sde(SSDE_AFFINE);
    sde.a = a;
    sde.g = g;
    sde.user = user;
    return sde;
}

ssde_sde ssde_nonlinear(ssde_status (*drift)(void *user, const float *x, const double *t, size_t rows, size_t dim,
                                             float *out),
                        double (*g)(void *user, double t), void *user) {
    ssde_sde sde = ssdei_sde(SSDE_NONLINEAR);
    sde.drift = drift;
    sde.g = g;
    sde.user = user;
    return sde;
}

ssde_status ssde_sde_check(ssde_context *context, const ssde_sde *sde) {
    const ssdei_sde_family *family;
    ssdei_try(ssdei_check_arithmetic(context));
    if (!sde) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "sde is NULL");
    family = ssdei_family(sde);
    if (!family->name)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "sde: kind is %d, wanted one of ssde_sde_kind", (int)sde->kind);
    if (family->check) ssdei_try((family->check)(context, sde));
    if (sde->num_scales < 1)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "sde: num_scales is %d, wanted at least 1", sde->num_scales);
    if (!(sde->prior_std >= 0.0 && sde->prior_std <= 1e30))
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "sde: prior_std is %.9g, wanted 0 (the default) or up to 1e30",
                         sde->prior_std);
    return SSDE_OK;
}

/* Whatever takes rows of floats refuses this. */
static ssde_status ssdei_check_rows(ssde_context *context, const char *name, size_t rows, size_t dim) {
    if (!rows || !dim)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s: rows is %.0f and dim %.0f, wanted at least 1 each", name,
                         (double)rows, (double)dim);
    if (ssdei_multiply(ssdei_multiply(rows, dim), sizeof(double)) == SIZE_MAX)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s: %.0f rows of %.0f elements exceed memory", name,
                         (double)rows, (double)dim);
    return SSDE_OK;
}

static ssde_status ssdei_missing(ssde_context *context, const char *name, const char *argument) {
    return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s: %s is NULL", name, argument);
}

/* ---- sde: marginals of a custom affine SDE by quadrature ----
   Over an interval [from, to]: L = int a(s) ds, and V = int g(s)^2 exp(2 int_s^to a) ds, the variance that is gathered
   on the way. Neighbours compose: L = L1 + L2, V = V1 exp(2 L2) + V2. Then m(t) = exp(L) and std(t)^2 = V over [0, t].
 */

enum { SSDEI_NODES = 8, SSDEI_MAX_INTERVALS = 512 };
/* Relative, on m and on V. Where a or g is singular the error is underestimated by up to a power of ten. */
#define SSDEI_QUADRATURE_TOLERANCE 1e-10

typedef struct ssdei_integrals {
    double growth, variance; /* L, V */
    double growth_error, variance_error;
} ssdei_integrals;

/* One interval by Gauss-Legendre's rule. The inner integrals are those of the polynomial through a at the same nodes,
   by its Legendre coefficients: int_x^1 P_l = (P_{l-1}(x) - P_{l+1}(x)) / (2l + 1). variance_error is 0, or a bound of
   V where exp(2 int_s^to a) varies more over the interval than the nodes can see, as before t where a is stiff. */
static ssde_status ssdei_gauss(ssde_context *context, const ssde_sde *sde, double from, double to,
                               ssdei_integrals *out) {
    static const double nodes[4] = {0.18343464249564980494, 0.52553240991632898582, 0.79666647741362673959,
                                    0.96028985649753623168};
    static const double weights[4] = {0.36268378337836198297, 0.31370664587788728734, 0.22238103445337447054,
                                      0.10122853629037625915};
    double half = 0.5 * (to - from), middle = from + half;
    double x[SSDEI_NODES], w[SSDEI_NODES], a[SSDEI_NODES], g[SSDEI_NODES], c[SSDEI_NODES];
    double p[SSDEI_NODES + 1][SSDEI_NODES], lowest, highest, squares = 0.0;
    int i, l;
    for (i = 0; i < SSDEI_NODES; i++) {
        x[i] = i < 4 ? -nodes[3 - i] : nodes[i - 4];
        w[i] = i < 4 ? weights[3 - i] : weights[i - 4];
        ssdei_try(ssdei_rates(context, sde, middle + half * x[i], &a[i], &g[i]));
        a[i] *= half;
        p[0][i] = 1.0;
        p[1][i] = x[i];
        for (l = 1; l < SSDEI_NODES; l++) p[l + 1][i] = ((2 * l + 1) * x[i] * p[l][i] - l * p[l - 1][i]) / (l + 1);
    }
    for (l = 0; l < SSDEI_NODES; l++) {
        c[l] = 0.0;
        for (i = 0; i < SSDEI_NODES; i++) c[l] += 0.5 * (2 * l + 1) * w[i] * p[l][i] * a[i];
    }
    memset(out, 0, sizeof *out);
    out->growth = 2.0 * c[0];
    lowest = out->growth < 0.0 ? out->growth : 0.0;
    highest = out->growth > 0.0 ? out->growth : 0.0;
    for (i = 0; i < SSDEI_NODES; i++) {
        double rest = c[0] * (1.0 - x[i]);
        for (l = 1; l < SSDEI_NODES; l++) rest += c[l] * (p[l - 1][i] - p[l + 1][i]) / (2 * l + 1);
        out->variance += half * w[i] * g[i] * g[i] * ssdei_math_exp(2.0 * rest);
        squares += half * w[i] * g[i] * g[i];
        if (rest < lowest) lowest = rest;
        if (rest > highest) highest = rest;
    }
    if (highest - lowest > 4.0) out->variance_error = squares * ssdei_math_exp(2.0 * highest);
    return SSDE_OK;
}

/* The interval by its two halves; the error is how far they are from the interval in one piece. */
static ssde_status ssdei_measure(ssde_context *context, const ssde_sde *sde, double from, double to,
                                 ssdei_integrals *out) {
    double middle = from + 0.5 * (to - from);
    ssdei_integrals whole, first, second;
    ssdei_try(ssdei_gauss(context, sde, from, to, &whole));
    ssdei_try(ssdei_gauss(context, sde, from, middle, &first));
    ssdei_try(ssdei_gauss(context, sde, middle, to, &second));
    out->growth = first.growth + second.growth;
    out->variance = first.variance * ssdei_math_exp(2.0 * second.growth) + second.variance;
    out->growth_error = fabs(out->growth - whole.growth);
    out->variance_error = fabs(out->variance - whole.variance) + whole.variance_error;
    return SSDE_OK;
}

/* Whether the errors of a piece are within `share` of what those of the whole may be. Where the user knows std, V is
   not asked for. */
static int ssdei_within(const ssde_sde *sde, const ssdei_integrals *piece, double share, double growth,
                        double variance) {
    double growth_tolerance = SSDEI_QUADRATURE_TOLERANCE + 8.0 * DBL_EPSILON * fabs(growth);
    return piece->growth_error <= share * growth_tolerance &&
           (sde->std || piece->variance_error <= share * SSDEI_QUADRATURE_TOLERANCE * variance);
}

/* Over [0, t] by pieces [k, k + 1] width, from t down to 0, each halved until it is within its share. *sum comes in as
   what is known of the whole so far: V is at least that of the pieces behind. */
static ssde_status ssdei_integrate_pieces(ssde_context *context, const ssde_sde *sde, double t, double share,
                                          ssdei_integrals *sum) {
    double known = sum->variance, k = 0.0, width = t;
    int count = 0;
    memset(sum, 0, sizeof *sum);
    for (;;) {
        double from = k * width, to = (k + 1.0) * width, later = ssdei_math_exp(2.0 * sum->growth);
        ssdei_integrals piece;
        double growth, variance;
        ssdei_try(ssdei_measure(context, sde, from, to, &piece));
        piece.variance_error *= later;
        growth = sum->growth + piece.growth;
        variance = sum->variance + piece.variance * later;
        if (!ssdei_is_finite(growth) || !ssdei_is_finite(variance))
            return ssde_fail(context, SSDE_ERROR_NUMERIC,
                             "sde: the integrals of a and g from 0 to t = %g are not finite (%g, %g)", t, growth,
                             variance);
        if (!ssdei_within(sde, &piece, share, growth, variance > known ? variance : known)) {
            width *= 0.5;
            k = 2.0 * k + 1.0;
            if (count == SSDEI_MAX_INTERVALS || !(from < k * width && k * width < to))
                return ssde_fail(
                    context, SSDE_ERROR_NUMERIC,
                    "sde: the integrals of a and g from 0 to t = %g do not converge near %g; give mean and std", t,
                    from);
            continue;
        }
        sum->growth = growth;
        sum->variance = variance;
        sum->growth_error += piece.growth_error;
        sum->variance_error += piece.variance_error;
        if (k == 0.0) return SSDE_OK;
        for (count++; fmod(k, 2.0) == 0.0; k *= 0.5) width *= 2.0;
        k -= 1.0;
    }
}

/* growth = int_0^t a and variance = std(t)^2, by pieces of a share that falls until the sum of their errors is within.
 */
static ssde_status ssdei_integrate(ssde_context *context, const ssde_sde *sde, double t, ssdei_integrals *sum) {
    double share = 1.0;
    memset(sum, 0, sizeof *sum);
    for (;; share *= 0.25) {
        ssdei_try(ssdei_integrate_pieces(context, sde, t, share, sum));
        if (ssdei_within(sde, sum, 1.0, sum->growth, sum->variance)) return SSDE_OK;
    }
}

SSDEI_ONCE_END

/* ---- sde: VE ----
   The bounds of 1e30 and 1e-30 keep squares well inside double's range; float tensors could not hold more anyway. */

static const ssdei_sde_number ssdei_ve_numbers[] = {
    {"sigma_min", offsetof(ssde_sde, sigma_min)}, {"sigma_max", offsetof(ssde_sde, sigma_max)}, {NULL, 0}};

SSDEI_ONCE_BEGIN

static ssde_status ssdei_ve_check(ssde_context *context, const ssde_sde *sde) {
    if (sde->sigma_min >= 1e-30 && sde->sigma_min < sde->sigma_max && sde->sigma_max <= 1e30) return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                     "sde: sigma_min is %.9g and sigma_max %.9g, wanted 1e-30 <= sigma_min < sigma_max <= 1e30",
                     sde->sigma_min, sde->sigma_max);
}

/* std(t), and with t = i / (N - 1) SMLD's sigma_i, ascending. */
static double ssdei_sigma(const ssde_sde *sde, double t) {
    return sde->sigma_min * ssdei_math_pow(sde->sigma_max / sde->sigma_min, t);
}

static void ssdei_ve_rates(const ssde_sde *sde, double t, double *drift, double *diffusion) {
    *drift = 0.0;
    *diffusion = ssdei_sigma(sde, t) * sqrt(2.0 * ssdei_math_log(sde->sigma_max / sde->sigma_min));
}

static ssde_status ssdei_ve_marginal(ssde_context *context, const ssde_sde *sde, double t, double *mean, double *std) {
    (void)context;
    *mean = 1.0;
    *std = ssdei_sigma(sde, t);
    return SSDE_OK;
}

static double ssdei_ve_prior_std(const ssde_sde *sde) { return sde->sigma_max; }

static ssde_status ssdei_ve_level(ssde_context *context, const ssde_sde *sde, int i, double *mean, double *std) {
    return ssdei_ve_marginal(context, sde, i ? (double)i / (sde->num_scales - 1) : 0.0, mean, std);
}

/* x_i = x_{i-1} + sqrt(sigma_i^2 - sigma_{i-1}^2) z, sigma_{-1} = 0. */
static ssde_status ssdei_ve_step(ssde_context *context, const ssde_sde *sde, int i, ssde_step *step) {
    double log_ratio = i ? ssdei_math_log(sde->sigma_max / sde->sigma_min) / (sde->num_scales - 1) : 0.0;
    ssdei_try(ssdei_ve_level(context, sde, i, &step->drift, &step->diffusion));
    step->drift = 0.0;
    if (i) step->diffusion *= sqrt(-ssdei_math_expm1(-2.0 * log_ratio));
    return SSDE_OK;
}

/* g^2 / std^2 is the same at every t. */
static ssde_status ssdei_ve_importance(ssde_context *context, const ssde_sde *sde, double eps, double u, double *t,
                                       double *weight) {
    (void)context, (void)sde;
    *t = ssdei_clamp_time(eps + u * (1.0 - eps), eps);
    *weight = 1.0;
    return SSDE_OK;
}

static double ssdei_ve_noise_time(const ssde_sde *sde, double noise) {
    return ssdei_math_log(noise / sde->sigma_min) / ssdei_math_log(sde->sigma_max / sde->sigma_min);
}

static float ssdei_ve_label(const ssde_sde *sde, double t) {
    return (float)sde->sigma_min *
           (float)ssdei_math_pow((double)(float)(sde->sigma_max / sde->sigma_min), (double)(float)t);
}

/* ---- sde: VP and sub-VP, in terms of B(t) = int_0^t beta ---- */

static const ssdei_sde_number ssdei_vp_numbers[] = {
    {"beta_min", offsetof(ssde_sde, beta_min)}, {"beta_max", offsetof(ssde_sde, beta_max)}, {NULL, 0}};

static ssde_status ssdei_vp_check(ssde_context *context, const ssde_sde *sde) {
    if (sde->beta_min >= 0.0 && sde->beta_min <= sde->beta_max && sde->beta_max >= 1e-30 && sde->beta_max <= 1e30)
        return SSDE_OK;
    return ssde_fail(
        context, SSDE_ERROR_ARGUMENT,
        "sde: beta_min is %.9g and beta_max %.9g, wanted 0 <= beta_min <= beta_max, beta_max 1e-30 to 1e30",
        sde->beta_min, sde->beta_max);
}

static double ssdei_beta_integral(const ssde_sde *sde, double t) {
    return t * (sde->beta_min + 0.5 * t * (sde->beta_max - sde->beta_min));
}

/* The t where B(t) is `integral`. */
static double ssdei_beta_time(const ssde_sde *sde, double integral) {
    double slope = sde->beta_max - sde->beta_min;
    return 2.0 * integral / (sde->beta_min + sqrt(sde->beta_min * sde->beta_min + 2.0 * slope * integral));
}

static void ssdei_vp_rates(const ssde_sde *sde, double t, double *drift, double *diffusion) {
    double beta = sde->beta_min + t * (sde->beta_max - sde->beta_min);
    *drift = -0.5 * beta;
    *diffusion = sqrt(beta);
}

static void ssdei_subvp_rates(const ssde_sde *sde, double t, double *drift, double *diffusion) {
    double beta = sde->beta_min + t * (sde->beta_max - sde->beta_min);
    *drift = -0.5 * beta;
    *diffusion = sqrt(beta * -ssdei_math_expm1(-2.0 * ssdei_beta_integral(sde, t)));
}

static ssde_status ssdei_subvp_marginal(ssde_context *context, const ssde_sde *sde, double t, double *mean,
                                        double *std) {
    double integral = ssdei_beta_integral(sde, t);
    (void)context;
    *mean = ssdei_math_exp(-0.5 * integral);
    *std = -ssdei_math_expm1(-integral);
    return SSDE_OK;
}

static ssde_status ssdei_vp_marginal(ssde_context *context, const ssde_sde *sde, double t, double *mean, double *std) {
    ssdei_try(ssdei_subvp_marginal(context, sde, t, mean, std));
    *std = sqrt(*std);
    return SSDE_OK;
}

static double ssdei_vp_prior_std(const ssde_sde *sde) {
    (void)sde;
    return 1.0;
}

/* beta_i of DDPM: linspace(beta_min / N, beta_max / N, N). */
static double ssdei_beta(const ssde_sde *sde, int i) {
    double first = sde->beta_min / sde->num_scales, last = sde->beta_max / sde->num_scales;
    return sde->num_scales > 1 ? first + (last - first) * i / (sde->num_scales - 1) : first;
}

static ssde_status ssdei_vp_beta(ssde_context *context, const ssde_sde *sde, int i, double *beta) {
    double last = ssdei_beta(sde, sde->num_scales - 1);
    *beta = ssdei_beta(sde, i);
    if (last < 1.0) return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                     "sde: the last of num_scales = %d steps has beta_max / num_scales = %.9g, wanted below 1: "
                     "num_scales above %.9g",
                     sde->num_scales, last, sde->beta_max);
}

/* abar_i = prod_{j <= i} (1 - beta_j) and 1 - abar_i, each without cancellation; 1 and 0 at i = -1. */
static void ssdei_abar(const ssde_sde *sde, int i, double *abar, double *one_minus_abar) {
    int j;
    *abar = 1.0;
    *one_minus_abar = 0.0;
    for (j = 0; j <= i; j++) {
        double beta = ssdei_beta(sde, j);
        *abar *= 1.0 - beta;
        *one_minus_abar += beta * (1.0 - *one_minus_abar);
    }
}

static ssde_status ssdei_vp_step(ssde_context *context, const ssde_sde *sde, int i, ssde_step *step) {
    double beta;
    ssdei_try(ssdei_vp_beta(context, sde, i, &beta));
    step->drift = -beta / (1.0 + sqrt(1.0 - beta)); /* sqrt(1 - beta) - 1 */
    step->diffusion = sqrt(beta);
    return SSDE_OK;
}

static ssde_status ssdei_subvp_step(ssde_context *context, const ssde_sde *sde, int i, ssde_step *step) {
    double beta = ssdei_beta(sde, i), abar, before, after;
    ssdei_try(ssdei_vp_step(context, sde, i, step));
    ssdei_abar(sde, i - 1, &abar, &before);
    after = before + beta * (1.0 - before);
    step->diffusion *= sqrt(before + after - before * after);
    return SSDE_OK;
}

static ssde_status ssdei_subvp_level(ssde_context *context, const ssde_sde *sde, int i, double *mean, double *std) {
    double beta;
    ssdei_try(ssdei_vp_beta(context, sde, i, &beta));
    ssdei_abar(sde, i, mean, std);
    *mean = sqrt(*mean);
    return SSDE_OK;
}

static ssde_status ssdei_vp_level(ssde_context *context, const ssde_sde *sde, int i, double *mean, double *std) {
    ssdei_try(ssdei_subvp_level(context, sde, i, mean, std));
    *std = sqrt(*std);
    return SSDE_OK;
}

/* The integral of g^2 / std^2 is 2 log(std / m) and a constant: log(e^B - 1) for VP, 2 log sinh(B / 2) for sub-VP. Each
   with its inverse, B of its value. */
static double ssdei_vp_noise(double integral) { return integral + ssdei_math_log(-ssdei_math_expm1(-integral)); }
static double ssdei_vp_noise_integral(double noise) {
    return noise > 0.0 ? noise + ssdei_math_log1p(ssdei_math_exp(-noise)) : ssdei_math_log1p(ssdei_math_exp(noise));
}
static double ssdei_subvp_noise(double integral) {
    return integral + 2.0 * ssdei_math_log(-ssdei_math_expm1(-integral)) - 2.0 * ssdei_math_log(2.0);
}
/* 2 asinh(x), x >= 0. */
static double ssdei_twice_asinh(double x) { return 2.0 * ssdei_math_log1p(x + x * x / (1.0 + sqrt(1.0 + x * x))); }
static double ssdei_subvp_noise_integral(double noise) {
    return noise > 0.0 ? noise + 2.0 * ssdei_math_log1p(sqrt(1.0 + ssdei_math_exp(-noise)))
                       : ssdei_twice_asinh(ssdei_math_exp(0.5 * noise));
}

/* (std / m)^2 is e^B - 1 for VP, 4 sinh(B / 2)^2 for sub-VP. */
static double ssdei_vp_noise_time(const ssde_sde *sde, double noise) {
    return ssdei_beta_time(sde, ssdei_math_log1p(noise * noise));
}
static double ssdei_subvp_noise_time(const ssde_sde *sde, double noise) {
    return ssdei_beta_time(sde, ssdei_twice_asinh(0.5 * noise));
}

static ssde_status ssdei_beta_importance(ssde_context *context, const ssde_sde *sde, double eps, double u,
                                         double (*noise)(double integral), double (*integral)(double noise), double *t,
                                         double *weight) {
    double first = noise(ssdei_beta_integral(sde, eps)), last = noise(ssdei_beta_integral(sde, 1.0));
    double drift, diffusion, mean, std;
    if (!(first >= -DBL_MAX && last > first))
        return ssde_fail(context, SSDE_ERROR_NUMERIC,
                         "ssde_loss_times: the integral of g^2 / std^2 is not finite from t = %g", eps);
    *t = ssdei_clamp_time(ssdei_beta_time(sde, integral(first + u * (last - first))), eps);
    ssdei_try(ssdei_rates(context, sde, *t, &drift, &diffusion));
    ssdei_try(ssdei_marginal(context, sde, *t, &mean, &std));
    *weight = (last - first) / (1.0 - eps) * (std / diffusion) * (std / diffusion);
    return SSDE_OK;
}

static ssde_status ssdei_vp_importance(ssde_context *context, const ssde_sde *sde, double eps, double u, double *t,
                                       double *weight) {
    return ssdei_beta_importance(context, sde, eps, u, ssdei_vp_noise, ssdei_vp_noise_integral, t, weight);
}

static ssde_status ssdei_subvp_importance(ssde_context *context, const ssde_sde *sde, double eps, double u, double *t,
                                          double *weight) {
    return ssdei_beta_importance(context, sde, eps, u, ssdei_subvp_noise, ssdei_subvp_noise_integral, t, weight);
}

static float ssdei_time_label(const ssde_sde *sde, double t) {
    (void)sde;
    return (float)t * 999.0f;
}

/* ---- sde: rectified flow ---- */

static const ssdei_sde_number ssdei_flow_numbers[] = {{NULL, 0}};

static void ssdei_flow_rates(const ssde_sde *sde, double t, double *drift, double *diffusion) {
    (void)sde;
    *drift = -1.0 / (1.0 - t);
    *diffusion = sqrt(2.0 * t / (1.0 - t));
}

static ssde_status ssdei_flow_marginal(ssde_context *context, const ssde_sde *sde, double t, double *mean,
                                       double *std) {
    (void)context, (void)sde;
    *mean = 1.0 - t;
    *std = t;
    return SSDE_OK;
}

static double ssdei_flow_noise_time(const ssde_sde *sde, double noise) {
    (void)sde;
    return noise / (1.0 + noise);
}

/* The integral of g^2 / std^2 is 2 log(t / (1 - t)), which diverges at 1: as far as ssde_prior_time, t / (1 - t) = 1 /
   SSDEI_SIGNAL, where likelihoods begin. */
static ssde_status ssdei_flow_importance(ssde_context *context, const ssde_sde *sde, double eps, double u, double *t,
                                         double *weight) {
    double first = ssdei_math_log(eps / (1.0 - eps)), last = -ssdei_math_log(SSDEI_SIGNAL);
    (void)sde;
    if (!(first < last))
        return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                         "ssde_loss_times: eps is %.9g, wanted below %.9g, the t of ssde_prior_time", eps,
                         1.0 / (1.0 + SSDEI_SIGNAL));
    *t = ssdei_clamp_time(1.0 / (1.0 + ssdei_math_exp(-(first + u * (last - first)))), eps);
    *weight = (last - first) / (1.0 - eps) * *t * (1.0 - *t);
    return SSDE_OK;
}

/* ---- sde: through a table of noise levels ---- */

static ssde_status ssdei_tabulated_check(ssde_context *context, const ssde_sde *sde) {
    const double *mean = sde->level_mean, *std = sde->level_std, *label = sde->level_label;
    int i, last = sde->num_scales - 1;
    if (!mean || !std)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "sde: level_%s is NULL, a tabulated SDE needs both",
                         mean ? "std" : "mean");
    if (last < 1)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "sde: %d levels, wanted at least 2 of a tabulated SDE",
                         sde->num_scales);
    for (i = 0; i <= last; i++) {
        if (!(mean[i] <= 1e30 && std[i] <= 1e30 && (mean[i] >= 1e-30 || (mean[i] == 0.0 && i == last)) &&
              (std[i] >= 1e-30 || (std[i] == 0.0 && i == 0))))
            return ssde_fail(
                context, SSDE_ERROR_ARGUMENT,
                "sde: level %d has mean %.9g and std %.9g, wanted 1e-30 to 1e30, or 0 of the first std and "
                "the last mean",
                i, mean[i], std[i]);
        if (i && !(std[i] * mean[i - 1] > std[i - 1] * mean[i]))
            return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                             "sde: level %d has std / mean = %.17g / %.17g, wanted above level %d's, %.17g / %.17g", i,
                             std[i], mean[i], i - 1, std[i - 1], mean[i - 1]);
        if (label && !(fabs(label[i]) <= 1e30))
            return ssde_fail(context, SSDE_ERROR_ARGUMENT, "sde: level %d has label %g, wanted up to 1e30", i,
                             label[i]);
    }
    return SSDE_OK;
}

/* Where t lies: `part` of the way from level `lower` to the next. At a level, or within its rounding, the part is 0 or
   1, and the interval the one below, into which solvers go. */
static int ssdei_tabulated_place(const ssde_sde *sde, double t, double *part) {
    int i = ssdei_step_index(sde, t);
    *part = t * (sde->num_scales - 1) - i;
    if (*part > 4.0 * DBL_EPSILON * (sde->num_scales - 1)) return i;
    *part = i ? 1.0 : 0.0;
    return i ? i - 1 : 0;
}

typedef struct ssdei_tabulated_point {
    double mean, std, drift, squared_diffusion; /* at t */
} ssdei_tabulated_point;

static double ssdei_lerp(double a, double b, double part) { return a + part * (b - a); }

/* mean and std linear. */
static void ssdei_tabulated_straight(const double *mean, const double *std, double part, double rate,
                                     ssdei_tabulated_point *at) {
    at->mean = ssdei_lerp(mean[0], mean[1], part);
    at->std = ssdei_lerp(std[0], std[1], part);
    at->drift = (mean[1] - mean[0]) * rate / at->mean;
    at->squared_diffusion = 2.0 * at->std * ((std[1] - std[0]) * rate - at->drift * at->std);
}

/* log s, and log(mean^2 + std^2) unless mean stays, linear: a = (log mean)' and g^2 = 2 std^2 (log s)'. */
static void ssdei_tabulated_curve(const double *mean, const double *std, double part, double rate,
                                  ssdei_tabulated_point *at) {
    double first = ssdei_math_log(std[0] / mean[0]), growth = ssdei_math_log(std[1] / mean[1]) - first;
    double s = ssdei_math_exp(first + part * growth), square = 1.0 + s * s;
    at->mean = mean[0];
    at->drift = 0.0;
    if (mean[0] != mean[1]) {
        double size = 0.5 * ssdei_math_log(mean[0] * mean[0] + std[0] * std[0]);
        double change = 0.5 * ssdei_math_log(mean[1] * mean[1] + std[1] * std[1]) - size;
        at->mean = ssdei_math_exp(size + part * change) / sqrt(square);
        at->drift = (change - s * s / square * growth) * rate;
    }
    at->std = s * at->mean;
    at->squared_diffusion = 2.0 * at->std * at->std * growth * rate;
}

static ssdei_tabulated_point ssdei_tabulated_at(const ssde_sde *sde, double t) {
    ssdei_tabulated_point at;
    double part, rate = sde->num_scales - 1;
    int lower = ssdei_tabulated_place(sde, t, &part);
    const double *mean = sde->level_mean + lower, *std = sde->level_std + lower;
    if (std[0] == 0.0 || mean[1] == 0.0)
        ssdei_tabulated_straight(mean, std, part, rate, &at);
    else
        ssdei_tabulated_curve(mean, std, part, rate, &at);
    if (part == 0.0 || part == 1.0) {
        at.mean = mean[(int)part];
        at.std = std[(int)part];
    }
    return at;
}

static void ssdei_tabulated_rates(const ssde_sde *sde, double t, double *drift, double *diffusion) {
    ssdei_tabulated_point at = ssdei_tabulated_at(sde, t);
    *drift = at.drift;
    *diffusion = sqrt(at.squared_diffusion);
}

static ssde_status ssdei_tabulated_marginal(ssde_context *context, const ssde_sde *sde, double t, double *mean,
                                            double *std) {
    ssdei_tabulated_point at = ssdei_tabulated_at(sde, t);
    (void)context;
    *mean = at.mean;
    *std = at.std;
    return SSDE_OK;
}

static ssde_status ssdei_tabulated_level(ssde_context *context, const ssde_sde *sde, int i, double *mean, double *std) {
    (void)context;
    *mean = sde->level_mean[i];
    *std = sde->level_std[i];
    return SSDE_OK;
}

/* From the level before, which is x(0) itself for the first. */
static ssde_status ssdei_tabulated_step(ssde_context *context, const ssde_sde *sde, int i, ssde_step *step) {
    double ratio = sde->level_mean[i] / (i ? sde->level_mean[i - 1] : 1.0);
    double kept = i ? ratio * sde->level_std[i - 1] : 0.0, std = sde->level_std[i];
    (void)context;
    step->drift = ratio - 1.0;
    step->diffusion = sqrt((std - kept) * (std + kept));
    return SSDE_OK;
}

static ssde_status ssdei_tabulated_beta(ssde_context *context, const ssde_sde *sde, int i, double *beta) {
    double ratio = sde->level_mean[i] / (i ? sde->level_mean[i - 1] : 1.0);
    (void)context;
    *beta = (1.0 - ratio) * (1.0 + ratio);
    return SSDE_OK;
}

static float ssdei_tabulated_label(const ssde_sde *sde, double t) {
    double part;
    int lower = ssdei_tabulated_place(sde, t, &part);
    if (!sde->level_label) return (float)(lower + part);
    if (part == 1.0) return (float)sde->level_label[lower + 1];
    return (float)ssdei_lerp(sde->level_label[lower], sde->level_label[lower + 1], part);
}

/* Between the two levels that enclose it. */
static double ssdei_tabulated_noise_time(const ssde_sde *sde, double noise) {
    const double *mean = sde->level_mean, *std = sde->level_std;
    int low = 0, high = sde->num_scales - 1;
    double first, part;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (std[middle] <= noise * mean[middle])
            low = middle;
        else
            high = middle;
    }
    if (std[low] == 0.0 || mean[high] == 0.0) {
        part = (noise * mean[low] - std[low]) / (std[high] - std[low] - noise * (mean[high] - mean[low]));
    } else {
        first = ssdei_math_log(std[low] / mean[low]);
        part = (ssdei_math_log(noise) - first) / (ssdei_math_log(std[high] / mean[high]) - first);
    }
    return (low + part) / (sde->num_scales - 1);
}

/* ---- sde: affine, of the user's functions ---- */

/* Infinite is allowed: 0.5 may be where a or g is singular. */
static ssde_status ssdei_affine_check(ssde_context *context, const ssde_sde *sde) {
    double a, g;
    if (!sde->a || !sde->g)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "sde: %s is NULL, an affine SDE needs a and g",
                         sde->a ? "g" : "a");
    a = sde->a(sde->user, 0.5);
    g = sde->g(sde->user, 0.5);
    if (a == a && g >= 0.0) return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_NUMERIC, "sde: a is %g and g is %g at t = 0.5, wanted numbers and g >= 0", a,
                     g);
}

static void ssdei_affine_rates(const ssde_sde *sde, double t, double *drift, double *diffusion) {
    *drift = sde->a(sde->user, t);
    *diffusion = sde->g(sde->user, t);
}

static ssde_status ssdei_affine_marginal(ssde_context *context, const ssde_sde *sde, double t, double *mean,
                                         double *std) {
    ssdei_integrals sum = {0.0, 0.0, 0.0, 0.0};
    if ((!sde->mean || !sde->std) && t > 0.0) ssdei_try(ssdei_integrate(context, sde, t, &sum));
    *mean = sde->mean ? sde->mean(sde->user, t) : ssdei_math_exp(sum.growth);
    *std = sde->std ? sde->std(sde->user, t) : sqrt(sum.variance);
    return SSDE_OK;
}

/* ---- sde: not affine, of the user's functions ---- */

static ssde_status ssdei_nonlinear_check(ssde_context *context, const ssde_sde *sde) {
    double g;
    if (!sde->drift || !sde->g)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "sde: %s is NULL, a nonlinear SDE needs drift and g",
                         sde->drift ? "g" : "drift");
    g = sde->g(sde->user, 0.5);
    if (g >= 0.0) return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_NUMERIC, "sde: g is %g at t = 0.5, wanted a number of at least 0", g);
}

static void ssdei_nonlinear_rates(const ssde_sde *sde, double t, double *drift, double *diffusion) {
    *drift = 0.0;
    *diffusion = sde->g(sde->user, t);
}

static ssde_status ssdei_nonlinear_marginal(ssde_context *context, const ssde_sde *sde, double t, double *mean,
                                            double *std) {
    (void)sde, (void)t, (void)mean, (void)std;
    return ssde_fail(context, SSDE_ERROR_UNSUPPORTED,
                     "sde: m(t) and std(t) are wanted, which a nonlinear SDE has not: simulate x(t) (ssde_simulate), "
                     "learn the score from that (implicit or sliced), sample by euler_maruyama, stochastic_heun, "
                     "adaptive or the flow");
}

/* ---- sde: the families ----

   How to add an SDE: a value in ssde_sde_kind, before SSDE_TABULATED; a constructor beside ssde_vp, which sets the kind
   and its numbers; and a row here, in the order of the kinds, with its functions above. Networks, files, solvers and
   likelihoods need no more.
     The numbers are members of ssde_sde, whose comments say what they are to each kind: those that are there, with
   their list and check, or new ones; check leaves none that makes m, std, or a and g within (0, 1), anything but
   finite. Without numbers, the list is {{NULL, 0}} and check NULL.
     Of m(t) and std(t) the rates are a = m' / m and g^2 = (std^2)' - 2 a std^2. Where they have no bounds at 1 (m(1) =
   0), ssde_prior_time keeps everybody away. What is small near t = 0 keeps its digits (expm1, products).
     An SDE has no discrete-time form where step, level and beta are NULL: grids by index take Euler's steps, discrete
   losses and labels are refused. It has no closed form of the integral of g^2 / std^2 where importance is NULL, nor of
   the time of a noise level where noise_time is. */

/* name, numbers, exploding, chain, check, rates, marginal, prior_std, step, level, beta, importance, label, noise_time,
   even, output */
static const ssdei_sde_family ssdei_families[SSDE_SDE_COUNT + 1] = {
    {"ve", ssdei_ve_numbers, 1, SSDEI_CHAIN_SMLD, ssdei_ve_check, ssdei_ve_rates, ssdei_ve_marginal, ssdei_ve_prior_std,
     ssdei_ve_step, ssdei_ve_level, NULL, ssdei_ve_importance, ssdei_ve_label, ssdei_ve_noise_time, 0,
     SSDE_PREDICT_SCORE},
    {"vp", ssdei_vp_numbers, 0, SSDEI_CHAIN_DDPM, ssdei_vp_check, ssdei_vp_rates, ssdei_vp_marginal, ssdei_vp_prior_std,
     ssdei_vp_step, ssdei_vp_level, ssdei_vp_beta, ssdei_vp_importance, ssdei_time_label, ssdei_vp_noise_time, 0,
     SSDE_PREDICT_NOISE},
    {"subvp", ssdei_vp_numbers, 0, SSDEI_CHAIN_NONE, ssdei_vp_check, ssdei_subvp_rates, ssdei_subvp_marginal,
     ssdei_vp_prior_std, ssdei_subvp_step, ssdei_subvp_level, ssdei_vp_beta, ssdei_subvp_importance, ssdei_time_label,
     ssdei_subvp_noise_time, 0, SSDE_PREDICT_NOISE},
    {"rectified_flow", ssdei_flow_numbers, 0, SSDEI_CHAIN_NONE, NULL, ssdei_flow_rates, ssdei_flow_marginal,
     ssdei_vp_prior_std, NULL, NULL, NULL, ssdei_flow_importance, ssdei_time_label, ssdei_flow_noise_time, 1,
     SSDE_PREDICT_FLOW},
    {"tabulated", NULL, 0, SSDEI_CHAIN_NONE, ssdei_tabulated_check, ssdei_tabulated_rates, ssdei_tabulated_marginal,
     NULL, ssdei_tabulated_step, ssdei_tabulated_level, ssdei_tabulated_beta, NULL, ssdei_tabulated_label,
     ssdei_tabulated_noise_time, 0, SSDE_PREDICT_NOISE},
    {"affine", NULL, 0, SSDEI_CHAIN_NONE, ssdei_affine_check, ssdei_affine_rates, ssdei_affine_marginal, NULL, NULL,
     NULL, NULL, NULL, ssdei_time_label, NULL, 0, SSDE_PREDICT_NOISE},
    {"nonlinear", NULL, 0, SSDEI_CHAIN_NONE, ssdei_nonlinear_check, ssdei_nonlinear_rates, ssdei_nonlinear_marginal,
     NULL, NULL, NULL, NULL, NULL, ssdei_time_label, NULL, 0, SSDE_PREDICT_SCORE},
}; /* the row behind the last kind is all zero */

const ssdei_sde_family *ssdei_family(const ssde_sde *sde) {
    return &ssdei_families[(unsigned)sde->kind < SSDE_SDE_COUNT ? sde->kind : SSDE_SDE_COUNT];
}

/* ---- sde: coefficients ---- */

ssde_status ssdei_rates(ssde_context *context, const ssde_sde *sde, double t, double *drift, double *diffusion) {
    ssdei_family(sde)->rates(sde, t, drift, diffusion);
    if (fabs(*drift) <= DBL_MAX && *diffusion >= 0.0 && *diffusion <= DBL_MAX) return SSDE_OK;
    if (sde->kind == SSDE_NONLINEAR)
        return ssde_fail(context, SSDE_ERROR_NUMERIC, "sde: g is %g at t = %g, wanted a finite number of at least 0",
                         *diffusion, t);
    return ssde_fail(context, SSDE_ERROR_NUMERIC,
                     "sde: a is %g and g is %g at t = %g, wanted finite numbers and g >= 0", *drift, *diffusion, t);
}

ssde_status ssdei_marginal(ssde_context *context, const ssde_sde *sde, double t, double *mean, double *std) {
    ssdei_try(ssdei_family(sde)->marginal(context, sde, t, mean, std));
    if (*mean >= 0.0 && *mean <= DBL_MAX && *std >= 0.0 && *std <= DBL_MAX) return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_NUMERIC,
                     "sde: m is %g and std is %g at t = %g, wanted finite numbers of at least 0", *mean, *std, t);
}

ssde_status ssde_coefficients_at(ssde_context *context, const ssde_sde *sde, double t, ssde_coefficients *out) {
    ssdei_try(ssde_sde_check(context, sde));
    if (!out) return ssdei_missing(context, "ssde_coefficients_at", "out");
    if (!(t >= 0.0 && t <= 1.0))
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "ssde_coefficients_at: t is %.17g, wanted 0 to 1", t);
    ssdei_try(ssdei_rates(context, sde, t, &out->drift, &out->diffusion));
    return ssdei_marginal(context, sde, t, &out->mean, &out->std);
}

/* Whether row r needs the schedule anew: *anew is 0 where it has the time of the row before. Checks that time. */
static ssde_status ssdei_row_time(ssde_context *context, const char *name, const double *t, size_t r, double lowest,
                                  int *anew) {
    *anew = r == 0 || t[r] != t[r - 1];
    if (*anew && !(t[r] >= lowest && t[r] <= 1.0))
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s: t[%lu] is %.17g, wanted %g to 1", name, (unsigned long)r,
                         t[r], lowest);
    return SSDE_OK;
}

SSDEI_ONCE_END

/* out = p x + q y over a row, rounded once. */
static void ssdei_combine(size_t dim, double p, const float *x, double q, const float *y, float *out) {
    size_t i;
    for (i = 0; i < dim; i++) out[i] = (float)(p * (double)x[i] + q * (double)y[i]);
}

/* "name: row 3, element 7 of what is nan" */
static ssde_status ssdei_nonfinite(ssde_context *context, const char *name, const char *what, const float *row,
                                   size_t r, size_t dim, double t) {
    size_t i = ssdei_first_nonfinite(row, dim);
    if (i == dim) return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_NUMERIC, "%s: row %lu, element %lu of %s is %g at t = %g", name,
                     (unsigned long)r, (unsigned long)i, what, (double)row[i], t);
}

/* ssdei_combine of row r, where what is not finite passes through: only the result's own overflow is an error. */
static ssde_status ssdei_combine_row(ssde_context *context, const char *name, size_t dim, double p, const float *x,
                                     double q, const float *y, float *out, size_t r, double t) {
    int finite = ssdei_first_nonfinite(x, dim) == dim && ssdei_first_nonfinite(y, dim) == dim;
    ssdei_combine(dim, p, x, q, y, out);
    return finite ? ssdei_nonfinite(context, name, "the result", out, r, dim, t) : SSDE_OK;
}

ssde_status ssde_perturb(ssde_context *context, const ssde_sde *sde, const float *x0, const float *z, const double *t,
                         size_t rows, size_t dim, float *out) {
    double mean = 0.0, std = 0.0;
    size_t r;
    ssdei_try(ssde_sde_check(context, sde));
    ssdei_try(ssdei_check_rows(context, "ssde_perturb", rows, dim));
    if (!x0 || !z || !t || !out)
        return ssdei_missing(context, "ssde_perturb", !x0 ? "x0" : !z ? "z" : !t ? "t" : "out");
    for (r = 0; r < rows; r++) {
        int anew;
        ssdei_try(ssdei_row_time(context, "ssde_perturb", t, r, 0.0, &anew));
        if (anew) ssdei_try(ssdei_marginal(context, sde, t[r], &mean, &std));
        ssdei_combine(dim, mean, x0 + r * dim, std, z + r * dim, out + r * dim);
        ssdei_try(ssdei_nonfinite(context, "ssde_perturb", "m x0 + std z", out + r * dim, r, dim, t[r]));
    }
    return SSDE_OK;
}

ssde_status ssdei_drift(ssde_context *context, const ssde_sde *sde, const float *x, const double *t, size_t rows,
                        size_t dim, float *out) {
    double drift = 0.0, diffusion;
    size_t r, i;
    if (sde->kind == SSDE_NONLINEAR)
        return ssdei_called(context, "sde->drift", sde->drift(sde->user, x, t, rows, dim, out), t);
    for (r = 0; r < rows; r++) {
        if (!r || t[r] != t[r - 1]) ssdei_try(ssdei_rates(context, sde, t[r], &drift, &diffusion));
        for (i = r * dim; i < (r + 1) * dim; i++) out[i] = (float)(drift * (double)x[i]);
    }
    return SSDE_OK;
}

/* The drift's rows are had in memory of their own: out may be x or score. */
static ssde_status ssdei_reverse_nonlinear(ssde_context *context, const ssde_sde *sde, const float *x,
                                           const float *score, const double *t, size_t rows, size_t dim, double half,
                                           float *out) {
    float *drift = (float *)ssdei_allocate(context, ssdei_multiply(rows, dim), sizeof *drift);
    double diffusion = 0.0, unused;
    ssde_status status;
    size_t r;
    int anew;
    if (!drift) return SSDE_ERROR_MEMORY;
    if (context) context->error[0] = 0; /* a drift that fails without a text gets one */
    for (status = SSDE_OK, r = 0; r < rows && status == SSDE_OK; r++)
        status = ssdei_row_time(context, "ssde_reverse_drift", t, r, 0.0, &anew);
    if (status == SSDE_OK) status = ssdei_drift(context, sde, x, t, rows, dim, drift);
    for (r = 0; r < rows && status == SSDE_OK; r++) {
        status = ssdei_rates(context, sde, t[r], &unused, &diffusion);
        if (status == SSDE_OK)
            status = ssdei_combine_row(context, "ssde_reverse_drift", dim, 1.0, drift + r * dim,
                                       -half * diffusion * diffusion, score + r * dim, out + r * dim, r, t[r]);
    }
    ssdei_release(context, drift);
    return status;
}

ssde_status ssde_reverse_drift(ssde_context *context, const ssde_sde *sde, const float *x, const float *score,
                               const double *t, size_t rows, size_t dim, int probability_flow, float *out) {
    double drift = 0.0, diffusion = 0.0, half = probability_flow ? 0.5 : 1.0;
    size_t r;
    ssdei_try(ssde_sde_check(context, sde));
    ssdei_try(ssdei_check_rows(context, "ssde_reverse_drift", rows, dim));
    if (!x || !score || !t || !out)
        return ssdei_missing(context, "ssde_reverse_drift", !x ? "x" : !score ? "score" : !t ? "t" : "out");
    if (sde->kind == SSDE_NONLINEAR) return ssdei_reverse_nonlinear(context, sde, x, score, t, rows, dim, half, out);
    for (r = 0; r < rows; r++) {
        int anew;
        ssdei_try(ssdei_row_time(context, "ssde_reverse_drift", t, r, 0.0, &anew));
        if (anew) ssdei_try(ssdei_rates(context, sde, t[r], &drift, &diffusion));
        ssdei_try(ssdei_combine_row(context, "ssde_reverse_drift", dim, drift, x + r * dim,
                                    -half * diffusion * diffusion, score + r * dim, out + r * dim, r, t[r]));
    }
    return SSDE_OK;
}

/* ---- sde: discrete-time forms ---- */

SSDEI_ONCE_BEGIN

ssde_status ssde_sde_label(ssde_context *context, const ssde_sde *sde, double t, double *label) {
    ssdei_try(ssde_sde_check(context, sde));
    if (!label) return ssdei_missing(context, "ssde_sde_label", "label");
    if (!(t >= 0.0 && t <= 1.0))
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "ssde_sde_label: t is %.17g, wanted 0 to 1", t);
    *label = (double)ssdei_family(sde)->label(sde, t);
    return SSDE_OK;
}

/* A t that stands for i / (N - 1) may lie a rounding below it, and the product another: 4 ulp of 1 are added, so that
   such a t gives i whether it was computed as i / (N - 1) or as 1 - (N - 1 - i) / (N - 1). */
int ssdei_step_index(const ssde_sde *sde, double t) {
    int last = sde->num_scales - 1, i = (int)floor((t + 4.0 * DBL_EPSILON) * last);
    return i < last ? i : last;
}

ssde_status ssde_discretise(ssde_context *context, const ssde_sde *sde, ssde_discretisation rule, double t,
                            ssde_step *out) {
    ssdei_try(ssde_sde_check(context, sde));
    if (!out) return ssdei_missing(context, "ssde_discretise", "out");
    if (rule != SSDE_DISCRETISE_OWN && rule != SSDE_DISCRETISE_EULER)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "ssde_discretise: rule is %d, wanted one of ssde_discretisation",
                         (int)rule);
    if (!(t >= 0.0 && t <= 1.0))
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "ssde_discretise: t is %.17g, wanted 0 to 1", t);
    if (rule == SSDE_DISCRETISE_OWN && ssdei_family(sde)->step)
        return ssdei_family(sde)->step(context, sde, ssdei_step_index(sde, t), out);
    if (sde->kind == SSDE_NONLINEAR)
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED,
                         "ssde_discretise: the drift of a nonlinear SDE is no factor on x: ssde_reverse_drift, "
                         "ssde_simulate and ssde_sample ask for it");
    ssdei_try(ssdei_rates(context, sde, t, &out->drift, &out->diffusion));
    out->drift /= sde->num_scales;
    out->diffusion *= sqrt(1.0 / sde->num_scales);
    return SSDE_OK;
}

ssde_status ssde_discrete_marginal(ssde_context *context, const ssde_sde *sde, int i, double *mean, double *std,
                                   double *beta) {
    const ssdei_sde_family *family;
    double m, s;
    ssdei_try(ssde_sde_check(context, sde));
    family = ssdei_family(sde);
    if (!family->level)
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED, "ssde_discrete_marginal: SDE '%s' has no discrete form",
                         family->name);
    if (i < 0 || i >= sde->num_scales)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                         "ssde_discrete_marginal: i is %d, wanted 0 to num_scales - 1 = %d", i, sde->num_scales - 1);
    ssdei_try(family->level(context, sde, i, &m, &s));
    if (mean) *mean = m;
    if (std) *std = s;
    if (beta) *beta = 0.0;
    return beta && family->beta ? family->beta(context, sde, i, beta) : SSDE_OK;
}

/* ---- sde: prior ---- */

/* Whether less than `part` of x(0), beside noise of std(t), is left in x(t): m < part min(1, std). */
static int ssdei_signal_below(double part, double mean, double std) { return mean < part * (std < 1.0 ? std : 1.0); }

/* An affine SDE whose integrals diverge at t counts too: whether for this reason, the t before that tells. */
static int ssdei_signal_gone(const ssde_sde *sde, double t, double *mean, double *std) {
    return ssdei_marginal(NULL, sde, t, mean, std) != SSDE_OK || ssdei_signal_below(SSDEI_SIGNAL, *mean, *std);
}

ssde_status ssde_prior_time(ssde_context *context, const ssde_sde *sde, double *t, double *scale) {
    double low = 0.0, high = 1.0, mean, std, last = 0.0;
    int tries, known;
    ssdei_try(ssde_sde_check(context, sde));
    if (!t || !scale) return ssdei_missing(context, "ssde_prior_time", t ? "scale" : "t");
    *t = *scale = 1.0;
    if (sde->kind == SSDE_NONLINEAR) return SSDE_OK;
    known = ssdei_marginal(NULL, sde, 1.0, &mean, &last) == SSDE_OK;
    if (known && !ssdei_signal_below(SSDEI_SIGNAL, mean, last)) return SSDE_OK;
    ssdei_try(ssdei_marginal(context, sde, 0.0, &mean, &std));
    for (tries = 0; tries < 60; tries++) {
        double middle = 0.5 * (low + high);
        if (ssdei_signal_gone(sde, middle, &mean, &std))
            high = middle;
        else
            low = middle;
    }
    ssdei_try(ssdei_marginal(context, sde, low, &mean, &std));
    if (!known && !ssdei_signal_below(2.0 * SSDEI_SIGNAL, mean, std)) /* they fail with the signal there */
        return ssdei_marginal(context, sde, 1.0, &mean, &last);
    *t = low;
    *scale = known ? std / last : 1.0;
    return SSDE_OK;
}

ssde_status ssdei_noise_level(ssde_context *context, const ssde_sde *sde, double t, double *noise) {
    double mean, std;
    ssdei_try(ssdei_marginal(context, sde, t, &mean, &std));
    *noise = std / mean;
    if (*noise >= 0.0 && *noise <= DBL_MAX) return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_NUMERIC, "sde: std / m is %g / %g at t = %g, wanted a finite number", std,
                     mean, t);
}

/* Newton's method on log s, d log s / dt = g^2 / (2 std^2), within a bracket that every try narrows; where a step
   leaves it, its middle. */
ssde_status ssdei_noise_time(ssde_context *context, const ssde_sde *sde, double noise, double high, double *t) {
    double low = 0.0;
    int tries;
    if (ssdei_family(sde)->noise_time) {
        *t = ssdei_family(sde)->noise_time(sde, noise);
        *t = *t < 0.0 ? 0.0 : *t > high ? high : *t;
        return SSDE_OK;
    }
    *t = 0.5 * high;
    for (tries = 0; tries < 100 && high - low > 2.0 * DBL_EPSILON * high; tries++) {
        double mean, std, drift, diffusion, here, step;
        ssdei_try(ssdei_marginal(context, sde, *t, &mean, &std));
        ssdei_try(ssdei_rates(context, sde, *t, &drift, &diffusion));
        here = std / mean;
        if (here < noise)
            low = *t;
        else
            high = *t;
        step = ssdei_math_log(noise / here) * 2.0 * std * std / (diffusion * diffusion);
        if (fabs(step) <= DBL_EPSILON * *t) break;
        *t = *t + step > low && *t + step < high ? *t + step : 0.5 * (low + high);
    }
    return SSDE_OK;
}

ssde_status ssde_noise_time(ssde_context *context, const ssde_sde *sde, double noise, double *t) {
    double high = 1.0, scale, first, last;
    if (!t) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "ssde_noise_time: t is NULL");
    ssdei_try(ssde_sde_check(context, sde));
    ssdei_try(ssdei_noise_level(context, sde, 0.0, &first));
    if (ssdei_noise_level(NULL, sde, 1.0, &last) != SSDE_OK) {
        ssdei_try(ssde_prior_time(context, sde, &high, &scale));
        ssdei_try(ssdei_noise_level(context, sde, high, &last));
    }
    if (!(noise >= first && noise <= last))
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "ssde_noise_time: noise is %.9g, wanted %.9g to %.9g", noise,
                         first, last);
    *t = noise == first ? 0.0 : high;
    return noise == first || noise == last ? SSDE_OK : ssdei_noise_time(context, sde, noise, high, t);
}

ssde_status ssde_prior_std(ssde_context *context, const ssde_sde *sde, double *std) {
    const ssdei_sde_family *family;
    double t, scale, mean;
    ssdei_try(ssde_sde_check(context, sde));
    if (!std) return ssdei_missing(context, "ssde_prior_std", "std");
    family = ssdei_family(sde);
    if (sde->prior_sample || sde->prior_log_density)
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED, "ssde_prior_std: the prior is %s, not a Gaussian of this std",
                         sde->prior_sample ? "prior_sample's" : "prior_log_density's");
    if (sde->kind == SSDE_NONLINEAR && sde->prior_std == 0.0)
        return ssde_fail(
            context, SSDE_ERROR_UNSUPPORTED,
            "sde: a nonlinear SDE has no prior until prior_std, or prior_sample and prior_log_density, are "
            "set; samplers begin without one by given_start, at the x(1) of ssde_simulate");
    *std = sde->prior_std > 0.0 || !family->prior_std ? sde->prior_std : family->prior_std(sde);
    if (*std > 0.0) return SSDE_OK;
    ssdei_try(ssde_prior_time(context, sde, &t, &scale));
    ssdei_try(ssdei_marginal(context, sde, t, &mean, std));
    *std /= scale;
    if (!(*std > 0.0 && *std <= 1e30))
        return ssde_fail(context, SSDE_ERROR_NUMERIC, "ssde_prior_std: std(1) is %g, wanted above 0, up to 1e30", *std);
    return SSDE_OK;
}

ssde_status ssdei_prior_check(ssde_context *context, const ssde_sde *sde, int density) {
    double std;
    if (!sde->prior_sample && !sde->prior_log_density) return ssde_prior_std(context, sde, &std);
    if (density ? sde->prior_log_density != NULL : sde->prior_sample != NULL) return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_UNSUPPORTED, "sde: prior_%s is NULL, while prior_%s says what the prior is",
                     density ? "log_density" : "sample", density ? "sample" : "log_density");
}

/* By the user's functions, which are always told the samples' numbers. */
static ssde_status ssdei_prior_draw(ssde_context *context, const ssde_sde *sde, uint64_t seed, const uint64_t *sample,
                                    size_t rows, size_t dim, float *out) {
    uint64_t r;
    ssdei_try(ssdei_check_rows(context, "ssde_prior_sample", rows, dim));
    if (!out) return ssdei_missing(context, "ssde_prior_sample", "out");
    if (context) context->error[0] = 0;
    if (sample)
        return ssdei_called(context, "sde->prior_sample", sde->prior_sample(sde->user, seed, sample, rows, dim, out),
                            NULL);
    for (r = 0; r < rows; r++)
        ssdei_try(ssdei_called(context, "sde->prior_sample",
                               sde->prior_sample(sde->user, seed, &r, 1, dim, out + (size_t)r * dim), NULL));
    return SSDE_OK;
}

static ssde_status ssdei_prior_density(ssde_context *context, const ssde_sde *sde, const float *x, size_t rows,
                                       size_t dim, double *out) {
    size_t r;
    if (context) context->error[0] = 0;
    ssdei_try(
        ssdei_called(context, "sde->prior_log_density", sde->prior_log_density(sde->user, x, rows, dim, out), NULL));
    for (r = 0; r < rows; r++) {
        if (!ssdei_is_finite(out[r]))
            return ssde_fail(context, SSDE_ERROR_NUMERIC, "ssde_prior_log_density: that of row %lu is %g",
                             (unsigned long)r, out[r]);
    }
    return SSDE_OK;
}

ssde_status ssde_prior_sample(ssde_context *context, const ssde_sde *sde, uint64_t seed, const uint64_t *sample,
                              size_t rows, size_t dim, float *out) {
    double std;
    size_t i;
    ssdei_try(ssde_sde_check(context, sde));
    ssdei_try(ssdei_prior_check(context, sde, 0));
    if (sde->prior_sample) return ssdei_prior_draw(context, sde, seed, sample, rows, dim, out);
    ssdei_try(ssde_prior_std(context, sde, &std));
    ssdei_try(ssde_random_normal(context, seed, SSDE_STREAM_PRIOR, 0, sample, rows, dim, out));
    for (i = 0; i < rows * dim; i++) out[i] = (float)(std * (double)out[i]);
    return SSDE_OK;
}

ssde_status ssde_prior_log_density(ssde_context *context, const ssde_sde *sde, const float *x, size_t rows, size_t dim,
                                   double *out) {
    double std;
    size_t r, i;
    ssdei_try(ssde_sde_check(context, sde));
    ssdei_try(ssdei_check_rows(context, "ssde_prior_log_density", rows, dim));
    if (!x || !out) return ssdei_missing(context, "ssde_prior_log_density", !x ? "x" : "out");
    ssdei_try(ssdei_prior_check(context, sde, 1));
    if (sde->prior_log_density) return ssdei_prior_density(context, sde, x, rows, dim, out);
    ssdei_try(ssde_prior_std(context, sde, &std));
    for (r = 0; r < rows; r++) {
        double squares = 0.0;
        for (i = 0; i < dim; i++) squares += (double)x[r * dim + i] * (double)x[r * dim + i];
        if (!ssdei_is_finite(squares))
            return ssdei_nonfinite(context, "ssde_prior_log_density", "x", x + r * dim, r, dim, 1.0);
        out[r] = -(double)dim * (0.5 * SSDEI_LOG_TWO_PI + ssdei_math_log(std)) - squares / (2.0 * std * std);
        if (!ssdei_is_finite(out[r]))
            return ssde_fail(context, SSDE_ERROR_NUMERIC,
                             "ssde_prior_log_density: that of row %lu is %g: |x| is %g, the prior's std %g",
                             (unsigned long)r, out[r], sqrt(squares), std);
    }
    return SSDE_OK;
}

/* KL(p_1 || prior) in bits per dimension, or less: of all densities with x's first and second moments a Gaussian, the
   same for every element, is the nearest to the prior. Fewer than 64 numbers do not tell their mean from 0. */
static double ssdei_prior_distance(const ssde_coefficients *end, double prior_std, double mean, double variance,
                                   size_t count) {
    double spread = end->mean * end->mean * variance + end->std * end->std, shift = end->mean * mean;
    double unit = prior_std * prior_std;
    if (count < 64) spread += shift * shift, shift = 0.0;
    return 0.5 * ((spread + shift * shift) / unit - 1.0 - ssdei_math_log(spread / unit)) / ssdei_math_log(2.0);
}

void ssdei_warn_scale(ssde_context *context, const char *name, const ssde_sde *sde, const float *x, size_t count,
                      double levels, double low, double high) {
    double prior_std, mean = 0.0, squares = 0.0, bits;
    ssde_coefficients end;
    char text[256];
    size_t i;
    if (!context || !context->log || ssde_coefficients_at(NULL, sde, 1.0, &end) != SSDE_OK ||
        ssde_prior_std(NULL, sde, &prior_std) != SSDE_OK)
        return;
    for (i = 0; i < count; i++) {
        double away = (double)x[i] - mean;
        mean += away / (double)(i + 1);
        squares += away * ((double)x[i] - mean);
    }
    squares /= (double)count;
    if (levels > 0.0) {
        double width = (high - low) / levels;
        mean = low + (mean + 0.5) * width;
        squares = (squares + 1.0 / 12.0) * width * width;
    }
    bits = ssdei_prior_distance(&end, prior_std, mean, squares, count);
    if (bits <= 0.01) return;
    snprintf(text, sizeof text,
             "%s: x has mean %.3g and standard deviation %.3g, and at t = 1 is %.2g bits per dimension or more off the "
             "prior N(0, %.3g^2): scale it%s",
             name, mean, sqrt(squares), bits, prior_std,
             ssdei_family(sde)->exploding ? ", or set sigma_max to about the largest distance within the data" : "");
    (context->log)(context->user, text);
}

/* ---- >>schedule ---- */

SSDEI_ONCE_BEGIN

/* The index of `name`, or an error that lists all. */
static ssde_status ssdei_name_index(ssde_context *context, const char *what, const char *name, const void *out,
                                    const char *const *names, int *index) {
    char known[160] = "";
    size_t length = 0;
    if (!name || !out)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "ssde_%s_find: %s is NULL", what, name ? what : "name");
    for (*index = 0; names[*index]; ++*index) {
        if (!strcmp(name, names[*index])) return SSDE_OK;
        snprintf(known + length, sizeof known - length, " %s", names[*index]);
        length = strlen(known);
    }
    return ssde_fail(context, SSDE_ERROR_ARGUMENT, "no %s '%.24s':%s", what, name, known);
}

static const char *const ssdei_schedule_names[] = {"linear",  "scaled_linear", "squaredcos_cap_v2",
                                                   "sigmoid", "trained_betas", NULL};

const char *ssde_schedule_name(ssde_schedule_kind kind) {
    return (unsigned)kind < SSDE_SCHEDULE_COUNT ? ssdei_schedule_names[kind] : NULL;
}

ssde_status ssde_schedule_find(ssde_context *context, const char *name, ssde_schedule_kind *kind) {
    int i;
    ssdei_try(ssdei_name_index(context, "schedule", name, kind, ssdei_schedule_names, &i));
    *kind = (ssde_schedule_kind)i;
    return SSDE_OK;
}

ssde_schedule_desc ssde_schedule_defaults(ssde_schedule_kind kind) {
    ssde_schedule_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.kind = kind;
    return desc;
}

static ssde_status ssdei_schedule_check(ssde_schedule_desc *desc) {
    ssde_context *context = desc->context;
    int i;
    if ((unsigned)desc->kind >= SSDE_SCHEDULE_COUNT)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "schedule: kind is %d, wanted an ssde_schedule_kind",
                         (int)desc->kind);
    if (desc->levels == 0) desc->levels = 1000;
    if (desc->levels < 2)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "schedule: levels is %d, wanted at least 2", desc->levels);
    if (desc->beta_start == 0.0) desc->beta_start = 1e-4;
    if (desc->beta_end == 0.0) desc->beta_end = 0.02;
    if (!(desc->beta_start > 0.0 && desc->beta_start < 1.0 && desc->beta_end > 0.0 && desc->beta_end < 1.0))
        return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                         "schedule: beta_start is %.9g and beta_end %.9g, wanted above 0 and below 1", desc->beta_start,
                         desc->beta_end);
    if (desc->kind != SSDE_SCHEDULE_BETAS) return SSDE_OK;
    if (!desc->betas) return ssde_fail(context, SSDE_ERROR_ARGUMENT, "schedule: betas is NULL");
    for (i = 0; i < desc->levels; i++) {
        if (!(desc->betas[i] > 0.0 && desc->betas[i] < 1.0))
            return ssde_fail(context, SSDE_ERROR_ARGUMENT, "schedule: betas[%d] is %.9g, wanted above 0 and below 1", i,
                             desc->betas[i]);
    }
    return SSDE_OK;
}

/* a b + c in float, rounded once. */
static float ssdei_fused(float a, float b, float c) { return (float)((double)a * (double)b + (double)c); }

/* Value i of n from first to last. single: as torch.linspace gives floats on AVX2: eight at a time, the first of them
   counted from the nearer end and the others from it; behind the last pair of eights each by itself. */
static double ssdei_spaced(double first, double last, int i, int n, int single) {
    float begin = (float)first, end = (float)last, step = (end - begin) / (float)(n - 1);
    int leader = i < n / 16 * 16 ? i - i % 8 : i;
    if (!single) return first + (last - first) * i / (n - 1);
    begin = leader < n / 2 ? ssdei_fused(step, (float)leader, begin) : ssdei_fused(-step, (float)(n - 1 - leader), end);
    return (double)(begin + step * (float)(i - leader));
}

static double ssdei_rounded(double value, int single) { return single ? (double)(float)value : value; }

static double ssdei_cosine_level(double part) {
    double c = ssdei_math_cos((part + 0.008) / 1.008 * 1.5707963267948966192);
    return c * c;
}

static double ssdei_schedule_beta(const ssde_schedule_desc *desc, int i) {
    int n = desc->levels, single = desc->single;
    double first = desc->beta_start, last = desc->beta_end, value;
    switch (desc->kind) {
        case SSDE_SCHEDULE_SCALED_LINEAR:
            value = ssdei_spaced(sqrt(first), sqrt(last), i, n, single);
            return ssdei_rounded(value * value, single);
        case SSDE_SCHEDULE_COSINE:
            value = 1.0 - ssdei_cosine_level((double)(i + 1) / n) / ssdei_cosine_level((double)i / n);
            return ssdei_rounded(value < 0.999 ? value : 0.999, single);
        case SSDE_SCHEDULE_SIGMOID:
            value = 1.0 / (1.0 + ssdei_math_exp(-ssdei_spaced(-6.0, 6.0, i, n, single)));
            return ssdei_rounded(first + (last - first) * value, single);
        case SSDE_SCHEDULE_BETAS: return ssdei_rounded(desc->betas[i], single);
        default: return ssdei_spaced(first, last, i, n, single);
    }
}

/* What is left of x(0)'s variance after level i, and what is not, `beta` gone in this step; both without
   cancellation, or as the product of floats that PyTorch accumulates in double. */
static void ssdei_schedule_step(double beta, int single, double *left, double *gone) {
    *left *= ssdei_rounded(1.0 - beta, single);
    *gone += beta * (1.0 - *gone);
}

/* mean and std of a level with so much left. */
static void ssdei_schedule_level(double left, double gone, int single, double *mean, double *std) {
    *mean = sqrt(ssdei_rounded(left, single));
    *std = sqrt(single ? ssdei_rounded(1.0 - ssdei_rounded(left, 1), 1) : gone);
}

/* Lin et al.'s algorithm 1 on mean; with `single` the betas are made again and multiplied up, in float. */
static void ssdei_schedule_rescale(int levels, int single, double *mean, double *std) {
    double first = ssdei_rounded(mean[0], single), last = ssdei_rounded(mean[levels - 1], single), left = 1.0;
    double factor = ssdei_rounded(first / ssdei_rounded(first - last, single), single), square_before = 1.0;
    int i;
    for (i = 0; i < levels; i++) {
        double shifted = ssdei_rounded(ssdei_rounded(mean[i], single) - last, single);
        double level = i || single ? ssdei_rounded(shifted * factor, single) : first;
        double square = ssdei_rounded(level * level, single);
        if (single) {
            double kept = i ? ssdei_rounded(square / square_before, 1) : square;
            left *= ssdei_rounded(1.0 - ssdei_rounded(1.0 - kept, 1), 1);
        } else
            left = square;
        square_before = square;
        ssdei_schedule_level(left, (1.0 - level) * (1.0 + level), single, &mean[i], &std[i]);
    }
}

ssde_status ssde_schedule_levels(const ssde_schedule_desc *desc, double *mean, double *std) {
    ssde_schedule_desc full;
    double left = 1.0, gone = 0.0;
    int i;
    if (!desc) return SSDE_ERROR_ARGUMENT;
    if (!mean || !std) return ssdei_missing(desc->context, "ssde_schedule_levels", mean ? "std" : "mean");
    full = *desc;
    ssdei_try(ssdei_check_arithmetic(desc->context));
    ssdei_try(ssdei_schedule_check(&full));
    for (i = 0; i < full.levels; i++) {
        ssdei_schedule_step(ssdei_schedule_beta(&full, i), full.single, &left, &gone);
        ssdei_schedule_level(left, gone, full.single, &mean[i], &std[i]);
    }
    if (full.zero_terminal_snr) ssdei_schedule_rescale(full.levels, full.single, mean, std);
    return SSDE_OK;
}

/* ---- schedule: NCSNv2's rules for VE ---- */

typedef struct ssdei_distances {
    const float *x;
    size_t n, dim;
    double *largest; /* [n]: square, from each row to those behind it */
} ssdei_distances;

static void ssdei_distances_run(void *argument, ssdei_worker *worker) {
    const ssdei_distances *w = (const ssdei_distances *)argument;
    size_t begin, end, i, j, k;
    while (ssdei_next_piece(worker, &begin, &end)) {
        for (i = begin; i < end; i++) {
            const float *a = w->x + i * w->dim;
            double largest = 0.0;
            for (j = i + 1; j < w->n; j++) {
                const float *b = w->x + j * w->dim;
                double square = 0.0;
                for (k = 0; k < w->dim; k++) square += ((double)a[k] - (double)b[k]) * ((double)a[k] - (double)b[k]);
                if (square > largest) largest = square;
            }
            w->largest[i] = largest;
        }
    }
}

ssde_status ssde_largest_distance(ssde_context *context, const float *x, size_t n, size_t dim, double *distance) {
    ssdei_distances work = {x, n, dim, NULL};
    ssdei_team team;
    double largest = 0.0;
    size_t i, bad;
    if (!x || !distance) return ssdei_missing(context, "ssde_largest_distance", x ? "distance" : "x");
    if (n < 2 || !dim)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                         "ssde_largest_distance: n is %.0f and dim %.0f, wanted 2 or more, and 1 or more", (double)n,
                         (double)dim);
    bad = ssdei_first_nonfinite(x, ssdei_multiply(n, dim));
    if (bad < n * dim)
        return ssdei_nonfinite(context, "ssde_largest_distance", "x", x + bad / dim * dim, bad / dim, dim, 0.0);
    work.largest = (double *)ssdei_allocate(context, n, sizeof *work.largest);
    if (!work.largest) return SSDE_ERROR_MEMORY;
    ssdei_team_set(&team, context);
    ssdei_parallel_for(&team, n, 1, ssdei_distances_run, &work);
    for (i = 0; i < n; i++)
        if (work.largest[i] > largest) largest = work.largest[i];
    ssdei_release(context, work.largest);
    *distance = sqrt(largest);
    return SSDE_OK;
}

/* The integral of the normal density from radius - 3 ratio to radius + 3 ratio, by Simpson's rule to 1e-9. */
static double ssdei_levels_overlap(double dim, double ratio) {
    const int halves = 128;
    double radius = sqrt(2.0 * dim) * (ratio - 1.0), step = 3.0 * ratio / halves, sum = 0.0;
    int i;
    for (i = -halves; i <= halves; i++) {
        double x = radius + i * step, weight = i == -halves || i == halves ? 1.0 : i % 2 ? 4.0 : 2.0;
        sum += weight * ssdei_math_exp(-0.5 * x * x);
    }
    return sum * step / (3.0 * sqrt(6.28318530717958647693));
}

/* The overlap falls from its value at ratio 1, 0.9973, once it has risen a little. */
ssde_status ssde_noise_levels(ssde_context *context, size_t dim, double sigma_min, double sigma_max, double overlap,
                              int *num_scales) {
    ssde_sde sde = ssde_ve(sigma_min, sigma_max);
    double low = 1.0, high = 2.0, count;
    int i;
    if (!num_scales) return ssdei_missing(context, "ssde_noise_levels", "num_scales");
    ssdei_try(ssdei_ve_check(context, &sde));
    if (dim < 5)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                         "ssde_noise_levels: dim is %.0f, wanted 5 or more: with fewer, all levels overlap",
                         (double)dim);
    if (!(overlap >= 0.0 && overlap <= 0.997))
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "ssde_noise_levels: overlap is %.9g, wanted 0 to 0.997",
                         overlap);
    if (overlap == 0.0) overlap = 0.5668;
    while (ssdei_levels_overlap((double)dim, high) > overlap) high = 1.0 + 2.0 * (high - 1.0);
    for (i = 0; i < 100; i++) {
        double middle = 0.5 * (low + high);
        if (ssdei_levels_overlap((double)dim, middle) > overlap)
            low = middle;
        else
            high = middle;
    }
    count = 1.5 + ssdei_math_log(sigma_max / sigma_min) / ssdei_math_log(high);
    if (!(count < 2147483647.0))
        return ssde_fail(context, SSDE_ERROR_LIMIT, "ssde_noise_levels: %.3g levels are more than an int holds", count);
    *num_scales = count < 2.0 ? 2 : (int)count;
    return SSDE_OK;
}

/* With e = epsilon / sigma_min^2 and f = 2 / (2 - e), the variance after the steps, over the level's own, is f + (1 -
   e)^(2 steps) (gamma^2 - f), which is above 1. Its slope by e has one root in (0, 1). */
static double ssdei_langevin_slope(double e, double steps, double square) {
    double f = 2.0 / (2.0 - e), left = ssdei_math_exp(2.0 * steps * ssdei_math_log1p(-e));
    return 0.5 * f * f * (1.0 - left) - 2.0 * steps * left / (1.0 - e) * (square - f);
}

ssde_status ssde_langevin_step_size(ssde_context *context, const ssde_sde *sde, size_t steps, double *step_size,
                                    double *excess) {
    double low = 0.0, high = 1.0, square, f;
    int i;
    ssdei_try(ssde_sde_check(context, sde));
    if (!step_size) return ssdei_missing(context, "ssde_langevin_step_size", "step_size");
    if (sde->kind != SSDE_VE)
        return ssde_fail(context, SSDE_ERROR_UNSUPPORTED, "ssde_langevin_step_size: SDE '%s', wanted VE",
                         ssdei_family(sde)->name);
    if (sde->num_scales < 2 || !steps)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                         "ssde_langevin_step_size: num_scales is %d and steps %.0f, wanted 2 or more, and 1 or more",
                         sde->num_scales, (double)steps);
    square = ssdei_math_pow(sde->sigma_max / sde->sigma_min, 2.0 / (double)(sde->num_scales - 1));
    for (i = 0; i < 100; i++) {
        double middle = 0.5 * (low + high);
        if (ssdei_langevin_slope(middle, (double)steps, square) < 0.0)
            low = middle;
        else
            high = middle;
    }
    *step_size = 2.0 * low * sde->sigma_min * sde->sigma_min;
    f = 2.0 / (2.0 - low);
    if (excess) *excess = f - 1.0 + ssdei_math_exp(2.0 * (double)steps * ssdei_math_log1p(-low)) * (square - f);
    return SSDE_OK;
}

SSDEI_ONCE_END

/* ---- >>simulation ---- */

ssde_simulation_desc ssde_simulation_defaults(void) {
    ssde_simulation_desc desc;
    memset(&desc, 0, sizeof desc);
    return desc;
}

/* The work of a call. */
typedef struct ssdei_simulation {
    size_t rows, dim; /* rows: at a time */
    float *work[3];   /* [rows, dim] */
} ssdei_simulation;

static void ssdei_simulation_arrays(void *object, ssdei_memory *memory) {
    ssdei_simulation *w = (ssdei_simulation *)object;
    int i;
    for (i = 0; i < 3; i++) w->work[i] = ssdei_place(memory, float, ssdei_multiply(w->rows, w->dim));
}

static void ssdei_simulation_size(ssdei_simulation *w, size_t rows, size_t dim) {
    const size_t most = SSDEI_SIMULATED;
    w->rows = rows < most ? rows : most;
    w->dim = dim;
}

size_t ssde_simulate_memory(size_t rows, size_t dim) {
    ssdei_simulation w;
    if (ssdei_check_rows(NULL, "ssde_simulate_memory", rows, dim) != SSDE_OK) return 0;
    ssdei_simulation_size(&w, rows, dim);
    return ssdei_object_bytes(&w, sizeof w, ssdei_simulation_arrays);
}

/* Rows [first, first + rows) of the call have left the numbers in step k, whose drift is there. */
static ssde_status ssdei_simulation_check(const ssde_simulation_desc *how, const float *x, const float *drift,
                                          const double *t, size_t first, size_t rows, size_t dim, size_t k) {
    size_t i = ssdei_first_nonfinite(x, rows * dim), r = i / dim;
    if (i == rows * dim) return SSDE_OK;
    return ssde_fail(how->context, SSDE_ERROR_NUMERIC,
                     "ssde_simulate: row %lu, element %lu is %g after step %lu of %lu, at t = %.6g, its drift %g: the "
                     "drift is no number, or the steps are too long for it",
                     (unsigned long)(first + r), (unsigned long)(i % dim), (double)x[i], (unsigned long)k + 1,
                     (unsigned long)how->steps, t[r], (double)drift[i]);
}

SSDEI_ONCE_END

/* x1 = x + h f + g sqrt(h) z into out; and where Heun's method takes part, x becomes x + h f / 2 + (g + g1) sqrt(h) z /
   2. */
static void ssdei_simulation_move(size_t dim, double h, double g, double g1, int heun, const float *drift,
                                  const float *z, float *x, float *out) {
    double noise = g * sqrt(h), mean_noise = 0.5 * (g + g1) * sqrt(h);
    size_t i;
    for (i = 0; i < dim; i++) {
        double from = (double)x[i], step = h * (double)drift[i], draw = (double)z[i];
        if (heun) x[i] = (float)(from + 0.5 * step + mean_noise * draw);
        out[i] = (float)(from + step + noise * draw);
    }
}

SSDEI_ONCE_BEGIN

/* Rows [first, first + rows) all the way; sample and x are theirs, t that of all rows. */
static ssde_status ssdei_simulation_rows(const ssde_sde *sde, const ssde_simulation_desc *how, uint64_t seed,
                                         const uint64_t *sample, const double *t, size_t first, size_t rows, size_t dim,
                                         float *const work[3], float *x) {
    double here[SSDEI_SIMULATED], next[SSDEI_SIMULATED], steps = (double)how->steps, a, g = 0.0, g1 = 0.0;
    float *z = work[0], *drift = work[1], *trial = work[2];
    int heun = how->scheme == SSDE_SCHEME_HEUN;
    size_t k, r, i;
    for (r = 0; r < rows; r++) next[r] = how->t0;
    for (k = 0; k < how->steps; k++) {
        for (r = 0; r < rows; r++) {
            double to = t ? t[first + r] : 1.0;
            here[r] = next[r];
            next[r] = k + 1 < how->steps ? how->t0 + (to - how->t0) * ((double)(k + 1) / steps) : to;
        }
        ssdei_try(ssdei_draw_normal(how->context, &how->noise, seed, SSDE_STREAM_SIMULATION,
                                    how->first_draw + (uint32_t)k, sample, rows, dim, z));
        ssdei_try(ssdei_drift(how->context, sde, x, here, rows, dim, drift));
        for (r = 0; r < rows; r++) {
            if (!r || here[r] != here[r - 1]) ssdei_try(ssdei_rates(how->context, sde, here[r], &a, &g));
            if (heun && (!r || next[r] != next[r - 1])) ssdei_try(ssdei_rates(how->context, sde, next[r], &a, &g1));
            ssdei_simulation_move(dim, next[r] - here[r], g, g1, heun, drift + r * dim, z + r * dim, x + r * dim,
                                  heun ? trial + r * dim : x + r * dim);
        }
        if (heun) {
            ssdei_try(ssdei_drift(how->context, sde, trial, next, rows, dim, drift));
            for (i = 0; i < rows * dim; i++)
                x[i] = (float)((double)x[i] + 0.5 * (next[i / dim] - here[i / dim]) * (double)drift[i]);
        }
        ssdei_try(ssdei_simulation_check(how, x, drift, next, first, rows, dim, k));
    }
    return SSDE_OK;
}

ssde_status ssdei_simulate(const ssde_sde *sde, const ssde_simulation_desc *how, uint64_t seed, const uint64_t *sample,
                           const double *t, size_t rows, size_t dim, float *const work[3], float *x) {
    const size_t most = SSDEI_SIMULATED;
    uint64_t number[SSDEI_SIMULATED];
    size_t at, r;
    for (at = 0; at < rows; at += most) {
        size_t count = rows - at < most ? rows - at : most;
        for (r = 0; r < count; r++) number[r] = sample ? sample[at + r] : (uint64_t)(at + r);
        ssdei_try(ssdei_simulation_rows(sde, how, seed, number, t, at, count, dim, work, x + at * dim));
    }
    return SSDE_OK;
}

static ssde_status ssdei_simulation_prepare(const ssde_sde *sde, ssde_simulation_desc *how, const double *t,
                                            size_t rows, size_t dim, const float *x) {
    static const char name[] = "ssde_simulate";
    ssde_context *context = how->context;
    size_t r;
    if (context) context->error[0] = 0; /* a drift that fails without a text gets one */
    ssdei_try(ssde_sde_check(context, sde));
    ssdei_try(ssdei_check_rows(context, name, rows, dim));
    if (!x) return ssdei_missing(context, name, "x");
    if ((unsigned)how->scheme >= SSDE_SCHEME_COUNT)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s: scheme is %d, wanted an ssde_scheme", name,
                         (int)how->scheme);
    if (!how->steps) how->steps = 100;
    if (((uint64_t)(how->steps - 1) + how->first_draw) >> 32)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s: steps is %.0f and first_draw %.0f: draws beyond 2^32", name,
                         (double)how->steps, (double)how->first_draw);
    if (!(how->t0 >= 0.0 && how->t0 <= 1.0))
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s: t0 is %.17g, wanted 0 to 1", name, how->t0);
    for (r = 0; t && r < rows; r++) {
        if (!(t[r] >= how->t0 && t[r] <= 1.0))
            return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s: t[%lu] is %.17g, wanted t0 = %g to 1", name,
                             (unsigned long)r, t[r], how->t0);
    }
    for (r = 0; r < rows; r++) ssdei_try(ssdei_nonfinite(context, name, "x", x + r * dim, r, dim, how->t0));
    return SSDE_OK;
}

ssde_status ssde_simulate(const ssde_sde *sde, const ssde_simulation_desc *how, uint64_t seed, const uint64_t *sample,
                          const double *t, size_t rows, size_t dim, float *x) {
    ssde_simulation_desc full = how ? *how : ssde_simulation_defaults();
    ssdei_simulation made, *w;
    ssde_status status;
    ssdei_try(ssdei_simulation_prepare(sde, &full, t, rows, dim, x));
    ssdei_simulation_size(&made, rows, dim);
    w = (ssdei_simulation *)ssdei_object_create(full.context, &made, sizeof made, ssdei_simulation_arrays);
    if (!w) return SSDE_ERROR_MEMORY;
    status = ssdei_simulate(sde, &full, seed, sample, t, rows, dim, w->work, x);
    ssdei_release(full.context, w);
    return status;
}

/* ---- >>loss: what an output means ---- */

ssde_parameterisation ssdei_output_of(const ssde_sde *sde, ssde_parameterisation output) {
    return output != SSDE_PREDICT_DEFAULT ? output : ssdei_family(sde)->output;
}

/* With det = m target_noise - std target_data, x0 = (target_noise x - std o) / det and z = (m o - target_data x) / det,
   which is written out so that nothing cancels. */
void ssdei_output_map(ssde_parameterisation output, double sigma_data, double mean, double std, ssde_output_map *map) {
    double square = mean * mean + std * std, sum = mean + std, r, part;
    memset(map, 0, sizeof *map);
    map->input = 1.0;
    switch (output) {
        case SSDE_PREDICT_SCORE:
            map->target_noise = -1.0 / std;
            map->noise_output = -std;
            map->data_output = std / mean * std;
            map->data_x = 1.0 / mean;
            break;
        case SSDE_PREDICT_DATA:
            map->target_data = 1.0;
            map->noise_output = -mean / std;
            map->noise_x = 1.0 / std;
            map->data_output = 1.0;
            break;
        case SSDE_PREDICT_VELOCITY:
            map->target_data = -std;
            map->target_noise = mean;
            map->noise_output = mean / square;
            map->noise_x = std / square;
            map->data_output = -std / square;
            map->data_x = mean / square;
            break;
        case SSDE_PREDICT_EDM:
            r = sqrt(std * std + mean * sigma_data * (mean * sigma_data));
            part = mean * sigma_data / r;
            map->input = 1.0 / r;
            map->target_data = std / r / sigma_data;
            map->target_noise = -part;
            map->noise_output = -part;
            map->noise_x = std / r / r;
            map->data_output = std / r * sigma_data;
            map->data_x = part * (sigma_data / r);
            break;
        case SSDE_PREDICT_FLOW:
            map->target_data = -1.0;
            map->target_noise = 1.0;
            map->noise_output = mean / sum;
            map->noise_x = 1.0 / sum;
            map->data_output = -std / sum;
            map->data_x = 1.0 / sum;
            break;
        default: /* noise */
            map->target_noise = 1.0;
            map->noise_output = 1.0;
            map->data_output = -std / mean;
            map->data_x = 1.0 / mean;
    }
}

static int ssdei_sigma_data_fits(double sigma_data) { return fabs(sigma_data) >= 1e-6 && fabs(sigma_data) <= 1e6; }

ssde_status ssdei_output_check(ssde_context *context, const char *where, ssde_parameterisation output,
                               double sigma_data) {
    if ((unsigned)output >= SSDE_PREDICT_COUNT)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s is %d, wanted one of ssde_parameterisation", where,
                         (int)output);
    if (output != SSDE_PREDICT_EDM || ssdei_sigma_data_fits(sigma_data)) return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                     "%s is EDM's and sigma_data %.9g, wanted the standard deviation of the data, 1e-6 to 1e6", where,
                     sigma_data);
}

ssde_status ssde_output_map_at(ssde_context *context, const ssde_sde *sde, ssde_parameterisation output,
                               double sigma_data, double t, ssde_output_map *map) {
    double mean, std;
    int anew;
    ssdei_try(ssde_sde_check(context, sde));
    if (!map) return ssdei_missing(context, "ssde_output_map_at", "map");
    ssdei_try(ssdei_output_check(context, "ssde_output_map_at: output", output, sigma_data));
    ssdei_try(ssdei_row_time(context, "ssde_output_map_at", &t, 0, 0.0, &anew));
    ssdei_try(ssdei_marginal(context, sde, t, &mean, &std));
    ssdei_output_map(ssdei_output_of(sde, output), sigma_data, mean, std, map);
    return SSDE_OK;
}

/* o of one meaning as o of another: by_output o + by_x x. */
typedef struct ssdei_linear {
    double by_output, by_x;
} ssdei_linear;

static ssdei_linear ssdei_output_conversion(const ssde_output_map *from, const ssde_output_map *to) {
    ssdei_linear map = {0.0, 0.0};
    if (to->target_data < 0.0 || to->target_data > 0.0) {
        map.by_output += to->target_data * from->data_output;
        map.by_x += to->target_data * from->data_x;
    }
    if (to->target_noise < 0.0 || to->target_noise > 0.0) {
        map.by_output += to->target_noise * from->noise_output;
        map.by_x += to->target_noise * from->noise_x;
    }
    return map;
}

static int ssdei_is_noise(ssde_parameterisation output) {
    return output == SSDE_PREDICT_NOISE || output == SSDE_PREDICT_SCORE;
}

/* Whether x and an output of one meaning hold one of the other. */
static ssde_status ssdei_output_conversion_check(ssde_context *context, const char *name, ssde_parameterisation from,
                                                 ssde_parameterisation to, double mean, double std, size_t r,
                                                 double t) {
    if (!(std > 0.0))
        return ssde_fail(context, SSDE_ERROR_NUMERIC, "%s: std is %g at t[%lu] = %g, wanted above 0", name, std,
                         (unsigned long)r, t);
    if (from == to || !ssdei_is_noise(from) || ssdei_is_noise(to) || !ssdei_signal_below(FLT_EPSILON, mean, std))
        return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_NUMERIC, "%s: std / m is %g / %g at t[%lu] = %g: nothing of x(0) is left in x",
                     name, std, mean, (unsigned long)r, t);
}

ssde_status ssde_convert_output(ssde_context *context, const ssde_sde *sde, ssde_parameterisation from,
                                ssde_parameterisation to, double sigma_data, const float *x, const double *t,
                                const float *in, size_t rows, size_t dim, float *out) {
    static const char name[] = "ssde_convert_output";
    ssdei_linear map = {1.0, 0.0};
    double mean, std;
    size_t r;
    ssdei_try(ssde_sde_check(context, sde));
    ssdei_try(ssdei_check_rows(context, name, rows, dim));
    ssdei_try(ssdei_output_check(context, "ssde_convert_output: from", from, sigma_data));
    ssdei_try(ssdei_output_check(context, "ssde_convert_output: to", to, sigma_data));
    if (!x || !t || !in || !out) return ssdei_missing(context, name, !x ? "x" : !t ? "t" : !in ? "in" : "out");
    from = ssdei_output_of(sde, from);
    to = ssdei_output_of(sde, to);
    for (r = 0; r < rows; r++) {
        int anew;
        ssdei_try(ssdei_row_time(context, name, t, r, 0.0, &anew));
        if (anew) {
            ssde_output_map maps[2];
            ssdei_try(ssdei_marginal(context, sde, t[r], &mean, &std));
            ssdei_try(ssdei_output_conversion_check(context, name, from, to, mean, std, r, t[r]));
            ssdei_output_map(from, sigma_data, mean, std, &maps[0]);
            ssdei_output_map(to, sigma_data, mean, std, &maps[1]);
            map = ssdei_output_conversion(&maps[0], &maps[1]);
        }
        if (from == to) {
            if (out != in) memmove(out + r * dim, in + r * dim, dim * sizeof *out);
            continue;
        }
        ssdei_try(ssdei_combine_row(context, name, dim, map.by_output, in + r * dim, map.by_x, x + r * dim,
                                    out + r * dim, r, t[r]));
    }
    return SSDE_OK;
}

/* ---- loss: names ---- */

const char *const ssdei_parameterisation_names[SSDE_PREDICT_COUNT + 1] = {"default",  "score", "noise", "data",
                                                                          "velocity", "edm",   "flow",  NULL};
const char *const ssdei_weighting_names[SSDE_WEIGHT_COUNT + 1] = {"std2",    "likelihood", "output", "edm",
                                                                  "min_snr", "user",       NULL};
const char *const ssdei_times_names[SSDE_TIMES_COUNT + 1] = {"uniform",      "importance", "log_normal",
                                                             "logit_normal", "user",       NULL};

const char *ssde_parameterisation_name(ssde_parameterisation output) {
    return (unsigned)output < SSDE_PREDICT_COUNT ? ssdei_parameterisation_names[output] : NULL;
}

const char *ssde_weighting_name(ssde_weighting weighting) {
    return (unsigned)weighting < SSDE_WEIGHT_COUNT ? ssdei_weighting_names[weighting] : NULL;
}

const char *ssde_times_name(ssde_times times) {
    return (unsigned)times < SSDE_TIMES_COUNT ? ssdei_times_names[times] : NULL;
}

ssde_status ssde_parameterisation_find(ssde_context *context, const char *name, ssde_parameterisation *output) {
    int i;
    ssdei_try(ssdei_name_index(context, "parameterisation", name, output, ssdei_parameterisation_names, &i));
    *output = (ssde_parameterisation)i;
    return SSDE_OK;
}

ssde_status ssde_weighting_find(ssde_context *context, const char *name, ssde_weighting *weighting) {
    int i;
    ssdei_try(ssdei_name_index(context, "weighting", name, weighting, ssdei_weighting_names, &i));
    *weighting = (ssde_weighting)i;
    return SSDE_OK;
}

ssde_status ssde_times_find(ssde_context *context, const char *name, ssde_times *times) {
    int i;
    ssdei_try(ssdei_name_index(context, "times", name, times, ssdei_times_names, &i));
    *times = (ssde_times)i;
    return SSDE_OK;
}

/* ---- loss: descriptions ---- */

ssde_loss_desc ssde_loss_defaults(void) {
    ssde_loss_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.sigma_data = 0.5;
    return desc;
}

/* The smallest t. */
static double ssdei_loss_lowest(const ssde_loss_desc *desc) {
    return desc->discrete ? 0.0 : desc->eps > 0.0 || desc->times == SSDE_TIMES_USER ? desc->eps : 1e-5;
}

static ssde_status ssdei_loss_weighting_check(const ssde_loss_desc *desc, const char *where) {
    if ((unsigned)desc->weighting >= SSDE_WEIGHT_COUNT)
        return ssde_fail(desc->context, SSDE_ERROR_ARGUMENT, "%s.weighting is %d, wanted one of ssde_weighting", where,
                         (int)desc->weighting);
    if (desc->weighting == SSDE_WEIGHT_EDM && !ssdei_sigma_data_fits(desc->sigma_data))
        return ssde_fail(
            desc->context, SSDE_ERROR_ARGUMENT,
            "%s.weighting is EDM's and sigma_data %.9g, wanted the standard deviation of the data, 1e-6 to "
            "1e6",
            where, desc->sigma_data);
    if (!(desc->min_snr_gamma >= 0.0 && desc->min_snr_gamma <= DBL_MAX))
        return ssde_fail(desc->context, SSDE_ERROR_ARGUMENT, "%s.min_snr_gamma is %.9g, wanted above 0, or 0 for 5",
                         where, desc->min_snr_gamma);
    if (desc->weighting == SSDE_WEIGHT_USER && !desc->weight)
        return ssde_fail(desc->context, SSDE_ERROR_ARGUMENT, "%s.weighting is the user's, but weight is NULL", where);
    if (desc->discrete && desc->weighting == SSDE_WEIGHT_LIKELIHOOD)
        return ssde_fail(desc->context, SSDE_ERROR_UNSUPPORTED,
                         "%s.discrete is set: these losses have no likelihood weighting, for the levels have no g",
                         where);
    return SSDE_OK;
}

static ssde_status ssdei_loss_times_check(const ssde_sde *sde, const ssde_loss_desc *desc, const char *where) {
    if ((unsigned)desc->times >= SSDE_TIMES_COUNT)
        return ssde_fail(desc->context, SSDE_ERROR_ARGUMENT, "%s.times is %d, wanted one of ssde_times", where,
                         (int)desc->times);
    if (!(fabs(desc->time_mean) <= 100.0 && desc->time_std >= 0.0 && desc->time_std <= 100.0))
        return ssde_fail(desc->context, SSDE_ERROR_ARGUMENT,
                         "%s.time_mean is %.9g and time_std %.9g, wanted up to 100 in size, and 0 to 100", where,
                         desc->time_mean, desc->time_std);
    if (!(desc->eps >= 0.0 && desc->eps < 1.0))
        return ssde_fail(desc->context, SSDE_ERROR_ARGUMENT, "%s.eps is %.9g, wanted 0 (the default) or below 1", where,
                         desc->eps);
    if (desc->time_std == 0.0 && !(desc->time_mean == 0.0))
        return ssde_fail(desc->context, SSDE_ERROR_ARGUMENT,
                         "%s.time_mean is %.9g and time_std 0, wanted both, or none", where, desc->time_mean);
    if (desc->times == SSDE_TIMES_USER && !desc->time)
        return ssde_fail(desc->context, SSDE_ERROR_ARGUMENT, "%s.times are the user's, but time is NULL", where);
    if (desc->discrete && desc->times != SSDE_TIMES_UNIFORM)
        return ssde_fail(desc->context, SSDE_ERROR_UNSUPPORTED,
                         "%s.discrete is set and times is %d, but levels are drawn uniformly", where, (int)desc->times);
    if (desc->times == SSDE_TIMES_IMPORTANCE && !ssdei_family(sde)->importance)
        return ssde_fail(desc->context, SSDE_ERROR_UNSUPPORTED, "%s.times is importance, which SDE '%s' does not have",
                         where, ssdei_family(sde)->name);
    return SSDE_OK;
}

static ssde_status ssdei_loss_check_nonlinear(const ssde_loss_desc *desc, const char *where) {
    if (desc->output > SSDE_PREDICT_SCORE)
        return ssde_fail(desc->context, SSDE_ERROR_UNSUPPORTED,
                         "%s.output is '%s', which m(t) and std(t) define: of a nonlinear SDE it is the score", where,
                         ssdei_parameterisation_names[desc->output]);
    if (desc->weighting == SSDE_WEIGHT_LIKELIHOOD || desc->weighting == SSDE_WEIGHT_OUTPUT ||
        desc->weighting == SSDE_WEIGHT_USER)
        return SSDE_OK;
    return ssde_fail(desc->context, SSDE_ERROR_UNSUPPORTED,
                     "%s.weighting is '%s', made of m(t) and std(t), which a nonlinear SDE has not: wanted likelihood "
                     "(g^2), output (1) or user",
                     where, ssdei_weighting_names[desc->weighting]);
}

ssde_status ssdei_loss_check(const ssde_sde *sde, const ssde_loss_desc *desc, const char *where) {
    char output[64];
    if (!desc) return SSDE_ERROR_ARGUMENT;
    ssdei_try(ssde_sde_check(desc->context, sde));
    snprintf(output, sizeof output, "%.50s.output", where);
    ssdei_try(ssdei_output_check(desc->context, output, desc->output, desc->sigma_data));
    ssdei_try(ssdei_loss_weighting_check(desc, where));
    ssdei_try(ssdei_loss_times_check(sde, desc, where));
    if (sde->kind == SSDE_NONLINEAR) ssdei_try(ssdei_loss_check_nonlinear(desc, where));
    if (!desc->discrete) return SSDE_OK;
    if (!ssdei_family(sde)->level)
        return ssde_fail(desc->context, SSDE_ERROR_UNSUPPORTED, "%s.discrete is set, but SDE '%s' has no discrete form",
                         where, ssdei_family(sde)->name);
    if (desc->output == SSDE_PREDICT_EDM)
        return ssde_fail(desc->context, SSDE_ERROR_UNSUPPORTED,
                         "%s.discrete is set and output is EDM's, whose networks are told std / m, not a level", where);
    return SSDE_OK;
}

/* ---- loss: times ---- */

/* Rational approximations of Wichura 1988, algorithm AS 241 (PPND16): in the middle of (0.5 - p)^2, beyond of sqrt(-log
   p). */
static double ssdei_rational(const double *top, const double *bottom, double x) {
    double a = top[7], b = bottom[7];
    int i;
    for (i = 6; i >= 0; i--) {
        a = a * x + top[i];
        b = b * x + bottom[i];
    }
    return a / b;
}

double ssdei_math_normal_quantile(double p) {
    static const double top[3][8] = {
        {3.3871328727963666080, 133.14166789178437745, 1971.5909503065514427, 13731.693765509461125,
         45921.953931549871457, 67265.770927008700853, 33430.575583588128105, 2509.0809287301226727},
        {1.42343711074968357734, 4.63033784615654529590, 5.76949722146069140550, 3.64784832476320460504,
         1.27045825245236838258, 0.241780725177450611770, 0.0227238449892691845833, 7.74545014278341407640e-4},
        {6.65790464350110377720, 5.46378491116411436990, 1.78482653991729133580, 0.296560571828504891230,
         0.0265321895265761230930, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7}};
    static const double bottom[3][8] = {
        {1.0, 42.313330701600911252, 687.18700749205790830, 5394.1960214247511077, 21213.794301586595867,
         39307.895800092710610, 28729.085735721942674, 5226.4952788528545610},
        {1.0, 2.05319162663775882187, 1.67638483018380384940, 0.689767334985100004550, 0.148103976427480074590,
         0.0151986665636164571966, 5.47593808499534494600e-4, 1.05075007164441684324e-9},
        {1.0, 0.599832206555887937690, 0.136929880922735805310, 0.0148753612908506148525, 7.86869131145613259100e-4,
         1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15}};
    double away = p - 0.5, root, x;
    if (fabs(away) <= 0.425) return away * ssdei_rational(top[0], bottom[0], 0.180625 - away * away);
    root = sqrt(-ssdei_math_log(away < 0.0 ? p : 1.0 - p));
    x = root <= 5.0 ? ssdei_rational(top[1], bottom[1], root - 1.6) : ssdei_rational(top[2], bottom[2], root - 5.0);
    return away < 0.0 ? -x : x;
}

/* Van der Corput's sequence over slots, its binary digits mirrored, turned by the step's own draw. */
static double ssdei_stratified(uint64_t seed, uint32_t step, uint64_t slot) {
    double u = ssde_random_double(seed, SSDE_STREAM_TIME, step, 0, 1), part = 0.5;
    int bit;
    for (bit = 0; bit < 32; bit++, part *= 0.5)
        if (slot >> bit & 1) u += part;
    u -= floor(u);
    return u > 0.0 ? u : 0.5 * DBL_EPSILON;
}

/* log(std / m) normally distributed; levels that the SDE does not have are those of its ends. */
static ssde_status ssdei_log_normal_time(const ssde_sde *sde, const ssde_loss_desc *desc, double eps, double u,
                                         double *t) {
    int given = desc->time_std > 0.0;
    double high, scale, first, last, noise;
    ssdei_try(ssde_prior_time(desc->context, sde, &high, &scale));
    ssdei_try(ssdei_noise_level(desc->context, sde, eps, &first));
    ssdei_try(ssdei_noise_level(desc->context, sde, high, &last));
    noise = ssdei_math_exp((given ? desc->time_mean : -1.2) +
                           (given ? desc->time_std : 1.2) * ssdei_math_normal_quantile(u));
    *t = noise > first ? 1.0 : eps;
    return noise > first && noise < last ? ssdei_noise_time(desc->context, sde, noise, high, t) : SSDE_OK;
}

/* t at the quantile u of desc's density, and the weight of its loss. */
static ssde_status ssdei_loss_time(const ssde_sde *sde, const ssde_loss_desc *desc, double u, double *t,
                                   double *weight) {
    double eps = ssdei_loss_lowest(desc), logit;
    *weight = 1.0;
    *t = eps + u * (1.0 - eps);
    if (desc->discrete) {
        *t = sde->num_scales > 1 ? floor(u * sde->num_scales) / (sde->num_scales - 1) : 0.0;
        return SSDE_OK;
    }
    if (desc->times == SSDE_TIMES_IMPORTANCE)
        return ssdei_family(sde)->importance(desc->context, sde, eps, u, t, weight);
    if (desc->times == SSDE_TIMES_LOG_NORMAL) ssdei_try(ssdei_log_normal_time(sde, desc, eps, u, t));
    if (desc->times == SSDE_TIMES_LOGIT_NORMAL) {
        logit = desc->time_mean + (desc->time_std > 0.0 ? desc->time_std : 1.0) * ssdei_math_normal_quantile(u);
        *t = 1.0 / (1.0 + ssdei_math_exp(-logit));
    }
    if (desc->times == SSDE_TIMES_USER) {
        *t = desc->time(desc->user, u);
        if (!(*t >= eps && *t <= 1.0))
            return ssde_fail(desc->context, SSDE_ERROR_ARGUMENT,
                             "ssde_loss_times: desc.time gives t = %.17g at u = %.9g, wanted eps = %g to 1", *t, u,
                             eps);
    }
    *t = ssdei_clamp_time(*t, eps);
    return SSDE_OK;
}

ssde_status ssde_loss_times(const ssde_sde *sde, const ssde_loss_desc *desc, uint64_t seed, uint32_t step,
                            const uint64_t *sample, size_t rows, double *t, double *weight) {
    size_t r;
    ssdei_try(ssdei_loss_check(sde, desc, "ssde_loss_times: desc"));
    ssdei_try(ssdei_check_rows(desc->context, "ssde_loss_times", rows, 1));
    if (!t || !weight) return ssdei_missing(desc->context, "ssde_loss_times", !t ? "t" : "weight");
    for (r = 0; r < rows; r++) {
        uint64_t slot = sample ? sample[r] : r;
        double u;
        if (slot >> 48)
            return ssde_fail(desc->context, SSDE_ERROR_ARGUMENT,
                             "ssde_loss_times: sample[%lu] is %.0f, wanted below 2^48", (unsigned long)r, (double)slot);
        u = desc->stratified ? ssdei_stratified(seed, step, slot)
                             : ssde_random_double(seed, SSDE_STREAM_TIME, step, slot, 0);
        ssdei_try(ssdei_loss_time(sde, desc, u, &t[r], &weight[r]));
        if (!ssdei_is_finite(t[r]) || !ssdei_is_finite(weight[r]))
            return ssde_fail(desc->context, SSDE_ERROR_NUMERIC,
                             "ssde_loss_times: t is %g and weight is %g of row %lu, wanted finite numbers", t[r],
                             weight[r], (unsigned long)r);
    }
    return SSDE_OK;
}

/* ---- loss: marginals ---- */

/* The schedule at t[r] under desc; drift and diffusion only where they weight. */
static ssde_status ssdei_loss_coefficients(const ssde_sde *sde, const ssde_loss_desc *desc, const char *name,
                                           const double *t, size_t r, ssde_coefficients *at) {
    at->drift = at->diffusion = 0.0;
    if (desc->discrete) {
        double position = t[r] * (sde->num_scales - 1), whole = floor(position + 0.5);
        if (!(fabs(position - whole) <= 1e-3)) /* a t that has been a float is still whole */
            return ssde_fail(desc->context, SSDE_ERROR_ARGUMENT, "%s: t[%lu] = %g is not i / %d for a whole i", name,
                             (unsigned long)r, t[r], sde->num_scales - 1);
        ssdei_try(ssde_discrete_marginal(desc->context, sde, (int)whole, &at->mean, &at->std, NULL));
    } else {
        if (desc->weighting == SSDE_WEIGHT_LIKELIHOOD)
            ssdei_try(ssdei_rates(desc->context, sde, t[r], &at->drift, &at->diffusion));
        ssdei_try(ssdei_marginal(desc->context, sde, t[r], &at->mean, &at->std));
    }
    return SSDE_OK;
}

static ssde_status ssdei_loss_noise_check(const ssde_loss_desc *desc, const char *name, const ssde_coefficients *at,
                                          size_t r, double t) {
    if (at->std > 0.0) return SSDE_OK;
    return ssde_fail(desc->context, SSDE_ERROR_NUMERIC, "%s: std is 0 at t[%lu] = %g", name, (unsigned long)r, t);
}

/* Row r's factor on its loss. */
static ssde_status ssdei_loss_row_weight(const ssde_loss_desc *desc, const char *name, const double *weight, size_t r,
                                         double *w) {
    *w = weight ? weight[r] : 1.0;
    if (*w >= 0.0 && *w <= DBL_MAX) return SSDE_OK;
    return ssde_fail(desc->context, SSDE_ERROR_ARGUMENT, "%s: weight[%lu] is %g, wanted a finite number of at least 0",
                     name, (unsigned long)r, *w);
}

ssde_status ssde_loss_marginal(const ssde_sde *sde, const ssde_loss_desc *desc, double t, double *mean, double *std) {
    ssde_coefficients at;
    int anew;
    ssdei_try(ssdei_loss_check(sde, desc, "ssde_loss_marginal: desc"));
    ssdei_try(ssdei_row_time(desc->context, "ssde_loss_marginal", &t, 0, ssdei_loss_lowest(desc), &anew));
    ssdei_try(ssdei_loss_coefficients(sde, desc, "ssde_loss_marginal", &t, 0, &at));
    ssdei_try(ssdei_loss_noise_check(desc, "ssde_loss_marginal", &at, 0, t));
    if (mean) *mean = at.mean;
    if (std) *std = at.std;
    return SSDE_OK;
}

ssde_status ssde_loss_perturb(const ssde_sde *sde, const ssde_loss_desc *desc, const float *x0, const float *z,
                              const double *t, size_t rows, size_t dim, float *out) {
    static const char name[] = "ssde_loss_perturb";
    ssde_coefficients at;
    size_t r;
    ssdei_try(ssdei_loss_check(sde, desc, "ssde_loss_perturb: desc"));
    ssdei_try(ssdei_check_rows(desc->context, name, rows, dim));
    if (!x0 || !z || !t || !out) return ssdei_missing(desc->context, name, !x0 ? "x0" : !z ? "z" : !t ? "t" : "out");
    memset(&at, 0, sizeof at);
    for (r = 0; r < rows; r++) {
        int anew;
        ssdei_try(ssdei_row_time(desc->context, name, t, r, ssdei_loss_lowest(desc), &anew));
        if (anew) ssdei_try(ssdei_loss_coefficients(sde, desc, name, t, r, &at));
        ssdei_combine(dim, at.mean, x0 + r * dim, at.std, z + r * dim, out + r * dim);
        ssdei_try(ssdei_nonfinite(desc->context, name, "m x0 + std z", out + r * dim, r, dim, t[r]));
    }
    return SSDE_OK;
}

/* ---- loss: loss and gradient ---- */

/* The factor on |o - its target|^2. With (m / std)^2 |x0 error|^2 = |z error|^2, either of the two coefficients gives
   it: the one that is finite is taken. */
static ssde_status ssdei_loss_weight(const ssde_loss_desc *desc, const ssde_output_map *map,
                                     const ssde_coefficients *at, double t, double *weight) {
    double gamma = desc->min_snr_gamma > 0.0 ? desc->min_snr_gamma : 5.0, snr = at->mean / at->std, noise, data, r;
    snr *= snr;
    noise = map->noise_output * map->noise_output;
    data = map->data_output * map->data_output;
    *weight = noise;
    switch (desc->weighting) {
        case SSDE_WEIGHT_LIKELIHOOD: *weight *= at->diffusion / at->std * (at->diffusion / at->std); break;
        case SSDE_WEIGHT_OUTPUT: *weight = 1.0; break;
        case SSDE_WEIGHT_EDM:
            r = map->data_output / at->std / desc->sigma_data;
            *weight = r * r * (at->std * at->std + at->mean * desc->sigma_data * (at->mean * desc->sigma_data));
            break;
        case SSDE_WEIGHT_MIN_SNR: *weight = snr <= gamma ? noise : gamma * data; break;
        case SSDE_WEIGHT_USER: *weight *= desc->weight(desc->user, t, at->mean, at->std); break;
        default: break;
    }
    if (*weight >= 0.0 && *weight <= DBL_MAX) return SSDE_OK;
    return ssde_fail(
        desc->context, SSDE_ERROR_NUMERIC,
        "ssde_loss: desc.weighting gives errors the weight %g at t = %g, wanted a finite number, 0 or above", *weight,
        t);
}

/* Sum over a row of e^2, e = o - its target. */
static double ssdei_loss_row(const ssde_output_map *map, const float *output, const float *x0, const float *z,
                             size_t dim) {
    double sum = 0.0;
    size_t i;
    for (i = 0; i < dim; i++) {
        double e = (double)output[i] - map->target_data * (double)x0[i] - map->target_noise * (double)z[i];
        sum += e * e;
    }
    return sum;
}

static void ssdei_loss_gradient(const ssde_output_map *map, double scale, const float *output, const float *x0,
                                const float *z, size_t dim, float *gradient) {
    size_t i;
    for (i = 0; i < dim; i++) {
        double e = (double)output[i] - map->target_data * (double)x0[i] - map->target_noise * (double)z[i];
        gradient[i] = (float)(scale * e);
    }
}

/* The loss of row r is not finite: says which of its inputs is to blame. */
static ssde_status ssdei_loss_blame(const ssde_loss_desc *desc, const float *output, const float *x0, const float *z,
                                    size_t r, size_t dim, double t) {
    ssdei_try(ssdei_nonfinite(desc->context, "ssde_loss", "output", output + r * dim, r, dim, t));
    ssdei_try(ssdei_nonfinite(desc->context, "ssde_loss", "x0", x0 + r * dim, r, dim, t));
    ssdei_try(ssdei_nonfinite(desc->context, "ssde_loss", "z", z + r * dim, r, dim, t));
    return ssde_fail(desc->context, SSDE_ERROR_NUMERIC, "ssde_loss: the loss of row %lu overflows at t = %g",
                     (unsigned long)r, t);
}

ssde_status ssde_loss(const ssde_sde *sde, const ssde_loss_desc *desc, const float *output, const float *x0,
                      const float *z, const double *t, const double *weight, size_t rows, size_t dim, double scale,
                      double *losses, float *gradient) {
    ssde_coefficients at;
    ssde_output_map map;
    double per_time = 0.0;
    size_t r;
    ssdei_try(ssdei_loss_check(sde, desc, "ssde_loss: desc"));
    ssdei_try(ssdei_check_rows(desc->context, "ssde_loss", rows, dim));
    if (!output || !x0 || !z || !t || !losses)
        return ssdei_missing(desc->context, "ssde_loss",
                             !output ? "output"
                             : !x0   ? "x0"
                             : !z    ? "z"
                             : !t    ? "t"
                                     : "losses");
    if (!ssdei_is_finite(scale))
        return ssde_fail(desc->context, SSDE_ERROR_ARGUMENT, "ssde_loss: scale is %g, wanted a finite number", scale);
    memset(&at, 0, sizeof at);
    memset(&map, 0, sizeof map);
    for (r = 0; r < rows; r++) {
        size_t row = r * dim;
        double w;
        int anew;
        ssdei_try(ssdei_row_time(desc->context, "ssde_loss", t, r, ssdei_loss_lowest(desc), &anew));
        ssdei_try(ssdei_loss_row_weight(desc, "ssde_loss", weight, r, &w));
        if (anew) {
            ssdei_try(ssdei_loss_coefficients(sde, desc, "ssde_loss", t, r, &at));
            ssdei_try(ssdei_loss_noise_check(desc, "ssde_loss", &at, r, t[r]));
            ssdei_output_map(ssdei_output_of(sde, desc->output), desc->sigma_data, at.mean, at.std, &map);
            ssdei_try(ssdei_loss_weight(desc, &map, &at, t[r], &per_time));
            per_time *= desc->half_sum ? 0.5 : 1.0 / (double)dim;
        }
        losses[r] = w * per_time * ssdei_loss_row(&map, output + row, x0 + row, z + row, dim);
        if (!ssdei_is_finite(losses[r])) return ssdei_loss_blame(desc, output, x0, z, r, dim, t[r]);
        if (!gradient) continue;
        ssdei_loss_gradient(&map, 2.0 * scale * w * per_time, output + row, x0 + row, z + row, dim, gradient + row);
        ssdei_try(ssdei_nonfinite(desc->context, "ssde_loss", "the gradient", gradient + row, r, dim, t[r]));
    }
    return SSDE_OK;
}

/* At a time: q = by_output o + by_x x is `size` times the score, the loss lambda (|q|^2 + 2 size v^T dq/dx v). */
typedef struct ssdei_implicit {
    double by_output, by_x, size, lambda;
} ssdei_implicit;

static ssde_status ssdei_implicit_at(const ssde_sde *sde, const ssde_loss_desc *desc, const double *t, size_t r,
                                     ssdei_implicit *out) {
    ssde_parameterisation output = ssdei_output_of(sde, desc->output);
    ssde_coefficients at;
    ssde_output_map map;
    if (sde->kind == SSDE_NONLINEAR) {
        ssdei_try(ssdei_rates(desc->context, sde, t[r], &at.drift, &at.diffusion));
        at.mean = at.std = (double)NAN; /* as of data as they are */
    } else
        ssdei_try(ssdei_loss_coefficients(sde, desc, "ssde_loss_implicit", t, r, &at));
    out->by_output = out->size = out->lambda = 1.0;
    out->by_x = 0.0;
    if (at.std > 0.0) {
        ssdei_output_map(output, desc->sigma_data, at.mean, at.std, &map);
        out->by_output = map.noise_output;
        out->by_x = map.noise_x;
        out->size = -at.std;
        if (desc->weighting == SSDE_WEIGHT_OUTPUT)
            out->lambda = 1.0 / (map.noise_output * map.noise_output);
        else { /* what the noise as an output has, also where m = 0 leaves the output no share in it */
            ssdei_output_map(SSDE_PREDICT_NOISE, desc->sigma_data, at.mean, at.std, &map);
            ssdei_try(ssdei_loss_weight(desc, &map, &at, t[r], &out->lambda));
        }
    } else if (output != SSDE_PREDICT_SCORE)
        return ssde_fail(desc->context, SSDE_ERROR_NUMERIC,
                         "ssde_loss_implicit: std is 0 at t[%lu] = %g, where only the output that is the score has one",
                         (unsigned long)r, t[r]);
    else if (desc->weighting == SSDE_WEIGHT_LIKELIHOOD)
        out->lambda = at.diffusion * at.diffusion;
    else if (desc->weighting == SSDE_WEIGHT_USER)
        out->lambda = desc->weight(desc->user, t[r], at.mean, at.std);
    if (out->lambda >= 0.0 && out->lambda <= DBL_MAX) return SSDE_OK;
    return ssde_fail(desc->context, SSDE_ERROR_NUMERIC,
                     "ssde_loss_implicit: desc.weighting gives the score the weight %g at t[%lu] = %g, wanted a finite "
                     "number, 0 or above",
                     out->lambda, (unsigned long)r, t[r]);
}

static double ssdei_implicit_row(const ssdei_implicit *at, const float *output, const float *tangent, const float *x,
                                 const float *v, size_t dim) {
    double sum = 0.0;
    size_t i;
    for (i = 0; i < dim; i++) {
        double q = at->by_output * (double)output[i] + at->by_x * (double)x[i];
        sum += q * q + 2.0 * at->size * (double)v[i] * (at->by_output * (double)tangent[i] + at->by_x * (double)v[i]);
    }
    return sum;
}

static void ssdei_implicit_gradients(const ssdei_implicit *at, double scale, const float *output, const float *x,
                                     const float *v, size_t dim, float *gradient, float *tangent_gradient) {
    double by = 2.0 * scale * at->by_output;
    size_t i;
    for (i = 0; i < dim; i++) {
        gradient[i] = (float)(by * (at->by_output * (double)output[i] + at->by_x * (double)x[i]));
        tangent_gradient[i] = (float)(by * at->size * (double)v[i]);
    }
}

ssde_status ssde_loss_implicit(const ssde_sde *sde, const ssde_loss_desc *desc, const float *output,
                               const float *tangent, const float *x, const float *v, const double *t,
                               const double *weight, size_t rows, size_t dim, double scale, double *losses,
                               float *gradient, float *tangent_gradient) {
    static const char name[] = "ssde_loss_implicit";
    static const char *const names[] = {"output", "tangent", "x", "v"};
    const float *given[4];
    ssdei_implicit at;
    size_t r;
    int i;
    given[0] = output, given[1] = tangent, given[2] = x, given[3] = v;
    ssdei_try(ssdei_loss_check(sde, desc, "ssde_loss_implicit: desc"));
    ssdei_try(ssdei_check_rows(desc->context, name, rows, dim));
    for (i = 0; i < 4; i++)
        if (!given[i]) return ssdei_missing(desc->context, name, names[i]);
    if (!t || !losses || !gradient != !tangent_gradient)
        return ssdei_missing(desc->context, name,
                             !t          ? "t"
                             : !losses   ? "losses"
                             : !gradient ? "gradient"
                                         : "tangent_gradient");
    if (!ssdei_is_finite(scale))
        return ssde_fail(desc->context, SSDE_ERROR_ARGUMENT, "%s: scale is %g, wanted a finite number", name, scale);
    memset(&at, 0, sizeof at);
    for (r = 0; r < rows; r++) {
        size_t row = r * dim;
        double w;
        int anew;
        ssdei_try(ssdei_row_time(desc->context, name, t, r, ssdei_loss_lowest(desc), &anew));
        ssdei_try(ssdei_loss_row_weight(desc, name, weight, r, &w));
        if (anew) ssdei_try(ssdei_implicit_at(sde, desc, t, r, &at));
        w *= at.lambda * (desc->half_sum ? 0.5 : 1.0 / (double)dim);
        losses[r] = w * ssdei_implicit_row(&at, output + row, tangent + row, x + row, v + row, dim);
        if (!ssdei_is_finite(losses[r])) {
            for (i = 0; i < 4; i++)
                ssdei_try(ssdei_nonfinite(desc->context, name, names[i], given[i] + row, r, dim, t[r]));
            return ssde_fail(desc->context, SSDE_ERROR_NUMERIC, "%s: the loss of row %lu overflows at t = %g", name,
                             (unsigned long)r, t[r]);
        }
        if (!gradient) continue;
        ssdei_implicit_gradients(&at, scale * w, output + row, x + row, v + row, dim, gradient + row,
                                 tangent_gradient + row);
        ssdei_try(ssdei_nonfinite(desc->context, name, "the gradient", gradient + row, r, dim, t[r]));
        ssdei_try(ssdei_nonfinite(desc->context, name, "the tangent's gradient", tangent_gradient + row, r, dim, t[r]));
    }
    return SSDE_OK;
}

SSDEI_ONCE_END

/* ---- >>mixture ---- */

struct ssde_mixture {
    ssde_context *context;
    size_t components, dim;
    double *log_weight, *cumulative; /* [components] */
    double *mean, *std;              /* [components, dim], at t = 0 */
    double *center, *precision;      /* [components, dim]: m(t) mean, 1 / variance at the time in use */
    double *log_scale;               /* [components]: log of weight and normalising constant at that time */
    double *responsibility, *along;  /* [components], of the row in use */
    double *x, *score;               /* [dim], of the row in use */
    size_t kept, stride;             /* rows kept for vjp; doubles of a vector of theirs */
    double *hessian;                 /* [kept + 1, components, stride]: b and e_k of ssdei_hessian; the last
                                        is for rows that are not kept */
    double *kept_share;              /* [kept + 1, components]: their r_k */
    size_t *active;                  /* [kept + 1]: how many e_k each has */
    double *exponent;                /* of ssdei_plane */
    float *single;                   /* likewise, at the time in use, */
    int use_single;                  /* if the score may be in float there */
    ssde_sde sde;                    /* of the score model */
    const float *model_x;            /* what the last differentiable score was asked, for rows not kept */
    const double *model_t;
    size_t model_rows;
};

SSDEI_ONCE_BEGIN

static void ssdei_mixture_arrays(void *object, ssdei_memory *memory) {
    ssde_mixture *mixture = (ssde_mixture *)object;
    size_t components = mixture->components, dim = mixture->dim, plane = dim == 2 ? components : 0, i;
    size_t slots = mixture->kept + 1, shares = slots * components;
    double **const arrays[] = {
        &mixture->mean,       &mixture->std,        &mixture->center,    &mixture->precision,
        &mixture->log_weight, &mixture->cumulative, &mixture->log_scale, &mixture->responsibility,
        &mixture->along,      &mixture->x,          &mixture->score};
    for (i = 0; i < sizeof arrays / sizeof *arrays; i++)
        *arrays[i] = ssdei_place(memory, double, i < 4 ? components * dim : i < 9 ? components : dim);
    mixture->exponent = ssdei_place(memory, double, plane *SSDEI_MAX_WIDTH);
    mixture->single = ssdei_place(memory, float, plane *SSDEI_PLANE_SINGLES);
    mixture->hessian = ssdei_place(memory, double, shares * mixture->stride);
    mixture->kept_share = ssdei_place(memory, double, shares);
    mixture->active = ssdei_place(memory, size_t, slots);
}

/* All but its memory. */
static ssde_status ssdei_mixture_prepare(ssde_context *context, ssde_mixture *mixture, size_t components, size_t dim,
                                         const char *name) {
    const size_t doubles = 32768, least = 4; /* to keep */
    size_t per_row;
    memset(mixture, 0, sizeof *mixture);
    ssdei_try(ssdei_check_arithmetic(context));
    if (!components || !dim)
        return ssde_fail(context, SSDE_ERROR_ARGUMENT, "%s: components is %.0f and dim %.0f, wanted at least 1", name,
                         (double)components, (double)dim);
    /* 6 arrays of these, 22 of components, 2 of dim, and what is kept: at most 5 components (dim + 16), or a
       row and about a quarter of a megabyte; less than 128 times as many doubles but for that quarter */
    if (ssdei_multiply(components, dim) > SIZE_MAX / 1024)
        return ssde_fail(context, SSDE_ERROR_MEMORY, "%s: %.0f components of %.0f dimensions exceed memory", name,
                         (double)components, (double)dim);
    mixture->context = context;
    mixture->components = components;
    mixture->dim = dim;
    /* Rows are kept in a quarter of a megabyte, which a core's own cache holds while one probe after another reads
       them; but four at least, so that short calls do not spend their time on the schedule. */
    mixture->stride = (dim + SSDEI_MAX_WIDTH - 1) / SSDEI_MAX_WIDTH * SSDEI_MAX_WIDTH;
    per_row = components * mixture->stride;
    mixture->kept = per_row > doubles / least ? least : doubles / per_row;
    return SSDE_OK;
}

size_t ssde_mixture_memory(size_t components, size_t dim) {
    ssde_mixture mixture;
    if (ssdei_mixture_prepare(NULL, &mixture, components, dim, "ssde_mixture_memory") != SSDE_OK) return 0;
    return ssdei_object_bytes(&mixture, sizeof mixture, ssdei_mixture_arrays);
}

/* A mixture of equal weights whose means and stds are still zero. */
static ssde_status ssdei_mixture_allocate(ssde_context *context, ssde_mixture **mixture, size_t components, size_t dim,
                                          const char *name) {
    ssde_mixture made;
    size_t k;
    if (!mixture) return ssdei_missing(context, name, "mixture");
    *mixture = NULL;
    ssdei_try(ssdei_mixture_prepare(context, &made, components, dim, name));
    *mixture = (ssde_mixture *)ssdei_object_create(context, &made, sizeof made, ssdei_mixture_arrays);
    if (!*mixture) return SSDE_ERROR_MEMORY;
    for (k = 0; k < components; k++) {
        (*mixture)->log_weight[k] = -ssdei_math_log((double)components);
        (*mixture)->cumulative[k] = (double)(k + 1) / (double)components;
    }
    return SSDE_OK;
}

static ssde_status ssdei_mixture_check(ssde_context *context, size_t components, size_t dim, const double *weights,
                                       const double *means, const double *stds, double *total) {
    size_t k;
    *total = 0.0;
    if (!weights || !means || !stds)
        return ssdei_missing(context, "ssde_mixture_create", !weights ? "weights" : !means ? "means" : "stds");
    for (k = 0; k < components; k++) {
        if (!(weights[k] > 0.0 && weights[k] <= DBL_MAX / (double)components))
            return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                             "ssde_mixture_create: weights[%lu] is %g, wanted above 0 and up to %.3g", (unsigned long)k,
                             weights[k], DBL_MAX / (double)components);
        *total += weights[k];
    }
    for (k = 0; k < components * dim; k++) {
        if (!(fabs(means[k]) <= 1e30))
            return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                             "ssde_mixture_create: means[%lu] is %.9g, wanted -1e30 to 1e30", (unsigned long)k,
                             means[k]);
        if (!(stds[k] >= 0.0 && stds[k] <= 1e30))
            return ssde_fail(context, SSDE_ERROR_ARGUMENT, "ssde_mixture_create: stds[%lu] is %.9g, wanted 0 to 1e30",
                             (unsigned long)k, stds[k]);
    }
    return SSDE_OK;
}

ssde_status ssde_mixture_create(ssde_context *context, ssde_mixture **mixture, size_t components, size_t dim,
                                const double *weights, const double *means, const double *stds) {
    double total, sum = 0.0;
    size_t k;
    ssde_status status;
    ssdei_try(ssdei_mixture_allocate(context, mixture, components, dim, "ssde_mixture_create"));
    status = ssdei_mixture_check(context, components, dim, weights, means, stds, &total);
    if (status != SSDE_OK) {
        ssde_mixture_destroy(*mixture);
        *mixture = NULL;
        return status;
    }
    for (k = 0; k < components; k++) {
        sum += weights[k];
        (*mixture)->log_weight[k] = ssdei_math_log(weights[k]) - ssdei_math_log(total);
        (*mixture)->cumulative[k] = sum / total;
    }
    memcpy((*mixture)->mean, means, components * dim * sizeof *means);
    memcpy((*mixture)->std, stds, components * dim * sizeof *stds);
    return SSDE_OK;
}

static ssde_status ssdei_check_spread(ssde_context *context, const char *name, const char *what, double value,
                                      double std) {
    if (fabs(value) <= 1e30 && std >= 0.0 && std <= 1e30) return SSDE_OK;
    return ssde_fail(context, SSDE_ERROR_ARGUMENT,
                     "%s: %s is %.9g and std %.9g, wanted a %s of -1e30 to 1e30, a std of 0 to 1e30", name, what, value,
                     std, what);
}

ssde_status ssde_gaussian_create(ssde_context *context, ssde_mixture **mixture, size_t dim, double mean, double std) {
    size_t i;
    if (mixture) *mixture = NULL;
    ssdei_try(ssdei_check_spread(context, "ssde_gaussian_create", "mean", mean, std));
    ssdei_try(ssdei_mixture_allocate(context, mixture, 1, dim, "ssde_gaussian_create"));
    for (i = 0; i < dim; i++) {
        (*mixture)->mean[i] = mean;
        (*mixture)->std[i] = std;
    }
    return SSDE_OK;
}

ssde_status ssde_ring_create(ssde_context *context, ssde_mixture **mixture, size_t components, double radius,
                             double std) {
    size_t k;
    if (mixture) *mixture = NULL;
    ssdei_try(ssdei_check_spread(context, "ssde_ring_create", "radius", radius, std));
    ssdei_try(ssdei_mixture_allocate(context, mixture, components, 2, "ssde_ring_create"));
    for (k = 0; k < components; k++) {
        double angle = 2.0 * SSDEI_PI * (double)k / (double)components;
        (*mixture)->mean[2 * k] = radius * ssdei_math_cos(angle);
        (*mixture)->mean[2 * k + 1] = radius * ssdei_math_sin(angle);
        (*mixture)->std[2 * k] = (*mixture)->std[2 * k + 1] = std;
    }
    return SSDE_OK;
}

void ssde_mixture_destroy(ssde_mixture *mixture) {
    if (mixture) ssdei_release(mixture->context, mixture);
}

SSDEI_ONCE_END

/* ---- mixture: density, score and its derivative at one time ---- */

/* Whether ssdei_plane is worth computing in float at the time in use, and what it then takes: where every component's
   peak, e to log_scale, is within e^3 of the highest, so that each has floats down to e^-5 of its own, and where what
   is computed stays far from the ends of their range. */
static int ssdei_mixture_single(ssde_mixture *mixture) {
    const double *center = mixture->center, *precision = mixture->precision, *log_scale = mixture->log_scale;
    double highest = log_scale[0];
    float *single = mixture->single;
    size_t k, j;
    for (k = 1; k < mixture->components; k++) highest = log_scale[k] > highest ? log_scale[k] : highest;
    for (k = 0; k < mixture->components; k++, single += SSDEI_PLANE_SINGLES) {
        if (!(log_scale[k] >= highest - 3.0)) return 0;
        single[6] = (float)((log_scale[k] - highest) * SSDEI_LOG2_E);
        for (j = 0; j < 2; j++, center++, precision++) {
            if (!(fabs(*center) <= 1e6 && *precision >= 1e-12 && *precision <= 1e12)) return 0;
            single[j] = (float)*center;
            single[2 + j] = (float)(*center - (double)single[j]);
            single[4 + j] = (float)(-0.5 * SSDEI_LOG2_E * *precision);
        }
    }
    return 1;
}

/* Fills center, precision and log_scale for time t, which is row r's. */
static ssde_status ssdei_mixture_at(ssde_mixture *mixture, const ssde_sde *sde, double t, size_t r) {
    double mean, std, last = 1.0, log_last = 0.0; /* often the variances of all components */
    size_t k, i;
    ssdei_try(ssdei_marginal(mixture->context, sde, t, &mean, &std));
    for (k = 0; k < mixture->components; k++) {
        double log_variances = 0.0, variances = 1.0; /* one logarithm for as many dimensions as fit a double */
        for (i = k * mixture->dim; i < (k + 1) * mixture->dim; i++) {
            double scaled = mean * mixture->std[i], variance = scaled * scaled + std * std, next = variances * variance;
            if (!(variance >= DBL_MIN && variance <= DBL_MAX))
                return ssde_fail(mixture->context, SSDE_ERROR_NUMERIC,
                                 "mixture: the variance of component %lu, dimension %lu is %g at t[%lu] = %g: no "
                                 "density there",
                                 (unsigned long)k, (unsigned long)(i - k * mixture->dim), variance, (unsigned long)r,
                                 t);
            mixture->center[i] = mean * mixture->mean[i];
            mixture->precision[i] = 1.0 / variance;
            if (next > 1e-200 && next < 1e200)
                variances = next;
            else {
                log_variances += ssdei_math_log(variances) + ssdei_math_log(variance);
                variances = 1.0;
            }
        }
        if (variances != last) last = variances, log_last = ssdei_math_log(last);
        log_variances += log_last;
        mixture->log_scale[k] =
            mixture->log_weight[k] - 0.5 * (log_variances + (double)mixture->dim * SSDEI_LOG_TWO_PI);
    }
    if (mixture->dim == 2) mixture->use_single = ssdei_mixture_single(mixture);
    return SSDE_OK;
}

/* sum over i of (x - center)^2 precision, in four chains and a rest, always in the same order. */
static double ssdei_mixture_distance(const double *x, const double *center, const double *precision, size_t dim) {
    double rest = 0.0, sum[4] = {0.0, 0.0, 0.0, 0.0};
    size_t i, j;
    for (i = 0; i + 4 <= dim; i += 4) {
        SSDEI_UNROLL for (j = 0; j < 4; j++) {
            double away = x[i + j] - center[i + j];
            sum[j] += away * away * precision[i + j];
        }
    }
    for (; i < dim; i++) {
        double away = x[i] - center[i];
        rest += away * away * precision[i];
    }
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + rest;
}

/* Responsibilities r_k of mixture->x; returns the largest log-term and, in *sum, what the terms add up to in its units:
   the log-density is largest + log(sum). Terms below e^-60 of the largest vanish in a double. */
static double ssdei_mixture_respond(ssde_mixture *mixture, double *sum) {
    double *responsibility = mixture->responsibility, largest = -HUGE_VAL, inverse;
    size_t dim = mixture->dim, k;
    for (k = 0; k < mixture->components; k++) {
        double squares =
            ssdei_mixture_distance(mixture->x, mixture->center + k * dim, mixture->precision + k * dim, dim);
        responsibility[k] = mixture->log_scale[k] - 0.5 * squares;
        largest = responsibility[k] > largest ? responsibility[k] : largest;
    }
    *sum = 0.0;
    for (k = 0; k < mixture->components; k++) {
        double below = responsibility[k] - largest;
        responsibility[k] = below < -60.0 ? 0.0 : ssdei_math_exp(below);
        *sum += responsibility[k];
    }
    inverse = 1.0 / *sum;
    for (k = 0; k < mixture->components; k++) responsibility[k] *= inverse;
    return largest;
}

/* Elements i ... i + width - 1 of the score, sum_k r_k s_k with s_k = (center - x) precision; width is a constant up to
   8, so that the sums stay in registers. */
SSDEI_INLINE void ssdei_mixture_score_part(ssde_mixture *mixture, size_t i, const size_t width) {
    double sum[8] = {0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0};
    size_t k, j;
    for (k = 0; k < mixture->components; k++) {
        const double *center = mixture->center + k * mixture->dim + i;
        const double *precision = mixture->precision + k * mixture->dim + i;
        double r = mixture->responsibility[k];
        if (r == 0.0) continue;
        SSDEI_UNROLL for (j = 0; j < width; j++) sum[j] += r * ((center[j] - mixture->x[i + j]) * precision[j]);
    }
    SSDEI_UNROLL for (j = 0; j < width; j++) mixture->score[i + j] = sum[j];
}

/* The score of mixture->x from its responsibilities. */
static void ssdei_mixture_row_score(ssde_mixture *mixture) {
    size_t i = 0;
    for (; i + 8 <= mixture->dim; i += 8) ssdei_mixture_score_part(mixture, i, 8);
    for (; i + 2 <= mixture->dim; i += 2) ssdei_mixture_score_part(mixture, i, 2);
    if (i < mixture->dim) ssdei_mixture_score_part(mixture, i, 1);
}

ssde_status ssde_mixture_evaluate(ssde_mixture *mixture, const ssde_sde *sde, const double *x, const double *t,
                                  size_t rows, double *log_density, double *score) {
    static const char name[] = "ssde_mixture_evaluate";
    double largest, sum;
    size_t r;
    if (!mixture) return ssdei_missing(NULL, name, "mixture");
    ssdei_try(ssde_sde_check(mixture->context, sde));
    ssdei_try(ssdei_check_rows(mixture->context, name, rows, mixture->dim));
    if (!x || !t || !log_density) return ssdei_missing(mixture->context, name, !x ? "x" : !t ? "t" : "log_density");
    for (r = 0; r < rows; r++) {
        int anew;
        ssdei_try(ssdei_row_time(mixture->context, name, t, r, 0.0, &anew));
        if (anew) ssdei_try(ssdei_mixture_at(mixture, sde, t[r], r));
        memcpy(mixture->x, x + r * mixture->dim, mixture->dim * sizeof *x);
        largest = ssdei_mixture_respond(mixture, &sum);
        log_density[r] = largest + ssdei_math_log(sum);
        if (score) {
            ssdei_mixture_row_score(mixture);
            memcpy(score + r * mixture->dim, mixture->score, mixture->dim * sizeof *score);
        }
        if (!ssdei_is_finite(log_density[r]))
            return ssde_fail(mixture->context, SSDE_ERROR_NUMERIC,
                             "%s: the log-density of row %lu is %g at t = %g: its x is not finite, or out of reach",
                             name, (unsigned long)r, log_density[r], t[r]);
    }
    return SSDE_OK;
}

/* ---- mixture: draws ---- */

SSDEI_ONCE_BEGIN

ssde_status ssde_mixture_sample(ssde_mixture *mixture, ssde_rng *rng, size_t rows, float *out, int *component) {
    static const char name[] = "ssde_mixture_sample";
    size_t r, i, dim;
    if (!mixture || !rng || !out)
        return ssdei_missing(mixture ? mixture->context : NULL, name, !mixture ? "mixture" : !rng ? "rng" : "out");
    dim = mixture->dim;
    ssdei_try(ssdei_check_rows(mixture->context, name, rows, dim));
    if (rng->next_sample >> 48 || (uint64_t)rows > ((uint64_t)1 << 48) - rng->next_sample)
        return ssde_fail(mixture->context, SSDE_ERROR_ARGUMENT,
                         "%s: rng->next_sample is %.0f + %.0f, wanted up to 2^48", name, (double)rng->next_sample,
                         (double)rows);
    for (r = 0; r < rows; r++) {
        uint64_t sample = rng->next_sample + r;
        double u = ssde_random_double(rng->seed, SSDE_STREAM_MIXTURE, 0, sample, 0);
        float *row = out + r * dim;
        size_t k = 0;
        while (k + 1 < mixture->components && u >= mixture->cumulative[k]) k++;
        ssdei_try(ssde_random_normal(mixture->context, rng->seed, SSDE_STREAM_MIXTURE, 1, &sample, 1, dim, row));
        for (i = 0; i < dim; i++)
            row[i] = (float)(mixture->mean[k * dim + i] + mixture->std[k * dim + i] * (double)row[i]);
        if (component) component[r] = (int)k;
    }
    rng->next_sample += rows;
    return SSDE_OK;
}

SSDEI_ONCE_END

/* ---- mixture: the score model ---- */

static ssde_status ssdei_mixture_model_check(const ssde_mixture *mixture, const char *name, const void *x,
                                             const double *t, size_t rows, const void *out) {
    if (!mixture) return ssdei_missing(NULL, name, "mixture");
    ssdei_try(ssde_sde_check(mixture->context, &mixture->sde));
    ssdei_try(ssdei_check_rows(mixture->context, name, rows, mixture->dim));
    if (!x || !t || !out) return ssdei_missing(mixture->context, name, !x ? "x" : !t ? "t" : "out");
    return SSDE_OK;
}

/* Responsibilities and score of one row. */
static void ssdei_mixture_row(ssde_mixture *mixture, const float *x) {
    double sum;
    size_t i;
    for (i = 0; i < mixture->dim; i++) mixture->x[i] = (double)x[i];
    ssdei_mixture_respond(mixture, &sum);
    ssdei_mixture_row_score(mixture);
}

/* The Hessian of the log-density at the row in use, sum_k r_k ((s_k - s)(s_k - s)^T - 1 / variance_k), s the score and
   s_k component k's. Here e_k = s_k - s_j, j the component with the largest share, whose own is 0: far from the modes,
   where s_k s_k^T and s s^T would cancel, their differences do not. b = sum_k r_k / variance_k. */
static void ssdei_mixture_keep(ssde_mixture *mixture, size_t slot) {
    const double *x = mixture->x, *share = mixture->responsibility;
    double *b = mixture->hessian + slot * mixture->components * mixture->stride, *e = b + mixture->stride;
    size_t dim = mixture->dim, largest = 0, active = 0, k, i;
    const double *center = mixture->center, *precision = mixture->precision, *own_center, *own_precision;
    for (k = 1; k < mixture->components; k++) largest = share[k] > share[largest] ? k : largest;
    own_center = center + largest * dim, own_precision = precision + largest * dim;
    for (i = 0; i < dim; i++) b[i] = share[largest] * own_precision[i];
    for (k = 0; k < mixture->components; k++, center += dim, precision += dim) {
        if (k == largest || share[k] == 0.0) continue;
        for (i = 0; i < dim; i++) {
            e[i] = (center[i] - x[i]) * precision[i] - (own_center[i] - x[i]) * own_precision[i];
            b[i] += share[k] * precision[i];
        }
        mixture->kept_share[slot * mixture->components + active++] = share[k];
        e += mixture->stride;
    }
    mixture->active[slot] = active;
}

static void ssdei_mixture_plane_scores(const ssde_mixture *mixture, const float *x, size_t rows, float *out) {
    ssdei_plane work;
    work.components = mixture->components, work.rows = rows;
    work.log_scale = mixture->log_scale, work.center = mixture->center, work.precision = mixture->precision;
    work.single = mixture->use_single ? mixture->single : NULL, work.exponent = mixture->exponent;
    work.x = x, work.out = out;
    ssdei_kernels_for(mixture->context)->plane_scores(&work);
}

/* Scores of rows [begin, end) at the time in use; the first `kept` rows of all are kept for vjp. */
static void ssdei_mixture_scores(ssde_mixture *mixture, const float *x, size_t begin, size_t end, size_t kept,
                                 float *out) {
    size_t dim = mixture->dim, r, i;
    if (dim == 2) ssdei_mixture_plane_scores(mixture, x + 2 * begin, end - begin, out + 2 * begin);
    for (r = begin; r < end && (dim != 2 || r < kept); r++) {
        ssdei_mixture_row(mixture, x + r * dim);
        for (i = 0; dim != 2 && i < dim; i++) out[r * dim + i] = (float)mixture->score[i];
        if (r < kept) ssdei_mixture_keep(mixture, r);
    }
}

static ssde_status ssdei_mixture_score(void *user, const float *x, const double *t, const uint64_t *sample, size_t rows,
                                       int differentiate, float *out) {
    ssde_mixture *mixture = (ssde_mixture *)user;
    size_t r, end;
    (void)sample;
    ssdei_try(ssdei_mixture_model_check(mixture, "mixture score", x, t, rows, out));
    if (differentiate) mixture->model_rows = 0;
    for (r = 0; r < rows; r = end) {
        int anew;
        ssdei_try(ssdei_row_time(mixture->context, "mixture score", t, r, 0.0, &anew));
        ssdei_try(ssdei_mixture_at(mixture, &mixture->sde, t[r], r));
        /* mostly one t for all, which memcmp sees at once */
        end = memcmp(t + r, t + r + 1, (rows - r - 1) * sizeof *t) ? r + 1 : rows;
        while (end < rows && t[end] == t[r]) end++;
        ssdei_mixture_scores(mixture, x, r, end, differentiate ? mixture->kept : 0, out);
    }
    if (differentiate) {
        mixture->model_x = x;
        mixture->model_t = t;
        mixture->model_rows = rows;
    }
    return SSDE_OK;
}

/* What was not kept of row r, into the last slot. Rows come in order. */
static ssde_status ssdei_mixture_again(ssde_mixture *mixture, size_t r) {
    int anew;
    ssdei_try(ssdei_row_time(mixture->context, "mixture vjp", mixture->model_t, r, 0.0, &anew));
    if (anew || r == mixture->kept) ssdei_try(ssdei_mixture_at(mixture, &mixture->sde, mixture->model_t[r], r));
    ssdei_mixture_row(mixture, mixture->model_x + r * mixture->dim);
    ssdei_mixture_keep(mixture, mixture->kept);
    return SSDE_OK;
}

static ssde_status ssdei_mixture_vjp(void *user, const float *v, size_t rows, float *out) {
    ssde_mixture *mixture = (ssde_mixture *)user;
    const ssdei_kernels *kernels;
    ssdei_hessian work;
    size_t r;
    if (!mixture || !v || !out)
        return ssdei_missing(mixture ? mixture->context : NULL, "mixture vjp", !mixture ? "mixture" : !v ? "v" : "out");
    if (!rows || rows != mixture->model_rows)
        return ssde_fail(mixture->context, SSDE_ERROR_ARGUMENT,
                         "mixture vjp: rows is %.0f, wanted %.0f as of the last score to be differentiated",
                         (double)rows, (double)mixture->model_rows);
    kernels = ssdei_kernels_for(mixture->context);
    work.dim = mixture->dim, work.stride = mixture->stride, work.along = mixture->along;
    for (r = 0; r < rows; r++) {
        size_t slot = r < mixture->kept ? r : mixture->kept;
        if (r >= mixture->kept) ssdei_try(ssdei_mixture_again(mixture, r));
        work.components = mixture->active[slot];
        work.b = mixture->hessian + slot * mixture->components * mixture->stride;
        work.e = work.b + mixture->stride;
        work.r = mixture->kept_share + slot * mixture->components;
        work.v = v + r * mixture->dim, work.out = out + r * mixture->dim;
        kernels->hessian_product(&work);
    }
    return SSDE_OK;
}

ssde_score_model ssde_mixture_model(ssde_mixture *mixture, const ssde_sde *sde) {
    ssde_score_model model;
    memset(&model, 0, sizeof model);
    model.score = ssdei_mixture_score;
    model.vjp = ssdei_mixture_vjp;
    model.user = mixture;
    if (!mixture) return model;
    model.dim = mixture->dim;
    model.max_rows = mixture->dim == 2 ? 0 : mixture->kept; /* in the plane scores are worth larger calls */
    mixture->model_rows = 0;
    if (sde)
        mixture->sde = *sde;
    else
        memset(&mixture->sde, 0, sizeof mixture->sde); /* which the first score refuses */
    return model;
}

/* ---- the kernels of each tier ---- */

#define SSDEI_EACH_TIER "scoresde.h"
#define SSDEI_CORE_KERNELS 2
#include "scoresde.h"
#undef SSDEI_CORE_KERNELS
#undef SSDEI_EACH_TIER

const ssdei_kernels *ssdei_kernels_for(const ssde_context *context) {
    static const ssdei_kernels *const tables[] = {SSDEI_TIERS(SSDEI_TIER_ADDRESS, ssdei_kernels)};
    return tables[ssdei_tier_index(context)];
}

const ssdei_kernels *ssdei_kernels_narrow(const ssdei_kernels *kernels, size_t columns) {
#ifdef SSDEI_X86
    if (kernels == &ssdei_kernels_avx512 && columns <= ssdei_kernels_avx2.tile_columns) return &ssdei_kernels_avx2;
#endif
    (void)columns;
    return kernels;
}

SSDEI_END
#ifdef __cplusplus
}
#endif
#define SSDEI_MACROS 0
#include "scoresde.h"
#endif /* implementation */

#elif defined(SSDEI_MACROS)

/* >>macros
   The private ones: what asks for them defines SSDEI_MACROS as 1 and includes this file, and again with 0 to undefine
   them, so that a program that implements a header is left with public ones alone. The library's tests and benchmarks,
   which look inside, keep them by SCORESDE_KEEP_MACROS. */
#if SSDEI_MACROS && !defined(SSDEI_BEGIN)

/* Contraction of a * b + c into an FMA is off between SSDEI_BEGIN and SSDEI_END, so that the compiler and -O level
   cannot change a result; FMA is written out where it is wanted. (Plain gcc -O2 otherwise fuses even intrinsics.)
   SSDEI_END leaves the including file's own state as it was. clang keeps to it but under -ffp-contract=fast, which no
   pragma overrides: the check of arithmetic in >>internals finds that. */
#if defined(__clang__)
#define SSDEI_BEGIN _Pragma("float_control(push)") _Pragma("STDC FP_CONTRACT OFF")
#define SSDEI_END _Pragma("float_control(pop)")
#elif defined(__GNUC__)
#define SSDEI_BEGIN _Pragma("GCC push_options") _Pragma("GCC optimize(\"fp-contract=off\")")
#define SSDEI_END _Pragma("GCC pop_options")
#elif defined(_MSC_VER)
#define SSDEI_BEGIN __pragma(float_control(push)) __pragma(fp_contract(off))
#define SSDEI_END __pragma(float_control(pop))
#else
#define SSDEI_BEGIN
#define SSDEI_END
#endif

/* SSDEI_ONCE_BEGIN, SSDEI_ONCE_END: around what runs once, or as often as files are opened and objects made: it is
   compiled to be small, in a third of the time. gcc's -Og takes the few cheap passes; inlining what is called once
   saves each such function its frame. What lies on different sides is not inlined into one another, but always_inline.
   Builds without optimisation, or for size, stay as they are. */
#if defined(__clang__) && defined(__OPTIMIZE__) && !defined(__OPTIMIZE_SIZE__)
#define SSDEI_ONCE_BEGIN                                                           \
    _Pragma("clang attribute push(__attribute__((minsize)), apply_to = function)") \
        _Pragma("clang attribute push(__attribute__((noinline)), apply_to = function)")
#define SSDEI_ONCE_END _Pragma("clang attribute pop") _Pragma("clang attribute pop")
#elif defined(__GNUC__) && defined(__OPTIMIZE__) && !defined(__OPTIMIZE_SIZE__) && !defined(__clang__)
#define SSDEI_ONCE_BEGIN \
    _Pragma("GCC push_options") _Pragma("GCC optimize(\"Og\", \"inline-functions-called-once\", \"fp-contract=off\")")
#define SSDEI_ONCE_END _Pragma("GCC pop_options")
#else
#define SSDEI_ONCE_BEGIN
#define SSDEI_ONCE_END
#endif

#if !defined(SCORESDE_NO_SIMD) && (defined(__x86_64__) || defined(_M_X64) || defined(__i386__)) && \
    (defined(__GNUC__) || defined(__clang__) || defined(_MSC_VER))
#define SSDEI_X86 1
#elif !defined(SCORESDE_NO_SIMD) && (defined(__aarch64__) || defined(_M_ARM64))
#define SSDEI_NEON 1
#endif

/* The tiers of this machine, weakest first; a tier can use what is there for those before it. SSDEI_TIERS(X, name) is
   X(name, tier) for each. */
#if defined(SSDEI_X86)
#define SSDEI_TIERS(X, name) X(name, scalar) X(name, avx2) X(name, avx512)
#elif defined(SSDEI_NEON)
#define SSDEI_TIERS(X, name) X(name, scalar) X(name, neon)
#else
#define SSDEI_TIERS(X, name) X(name, scalar)
#endif
#define SSDEI_TIER_ITEM(name, tier) name##_##tier,
#define SSDEI_TIER_ADDRESS(name, tier) &name##_##tier,

/* SSDEI_TARGET_...: every function that touches a tier's vectors carries it, so that one translation unit holds all
   tiers. SSDEI_UNROLL stands before loops with small constant bounds over register tiles. */
#if defined(__GNUC__) || defined(__clang__)
#define SSDEI_TARGET_avx2 __attribute__((target("avx2,fma")))
#define SSDEI_TARGET_avx512 __attribute__((target("avx512f,avx2,fma")))
#define SSDEI_INLINE static inline __attribute__((always_inline))
#define SSDEI_NOINLINE __attribute__((noinline))
#elif defined(_MSC_VER)
#define SSDEI_TARGET_avx2
#define SSDEI_TARGET_avx512
#define SSDEI_INLINE static __forceinline
#define SSDEI_NOINLINE __declspec(noinline)
#else
#define SSDEI_TARGET_avx2
#define SSDEI_TARGET_avx512
#define SSDEI_INLINE static inline
#define SSDEI_NOINLINE
#endif
#if defined(__clang__)
#define SSDEI_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define SSDEI_UNROLL _Pragma("GCC unroll 32")
#else
#define SSDEI_UNROLL
#endif

#define SSDEI_PI 3.14159265358979323846
#define SSDEI_LOG_TWO_PI 1.8378770664093454836
#define SSDEI_LOG2_E 1.4426950408889634074
#define SSDEI_PLANE_PEAK 1152921504606846976.0f /* 2^60: r_k of ssdei_plane in float at the highest peak, */
#define SSDEI_PLANE_LEAST 3.8676e14f            /* and down to e^-8 of that */
#define SSDEI_SIGNAL 1e-4                       /* ssde_prior_time's part */

/* Propagates failures: ssdei_try(call) returns from the caller with call's status unless it is SSDE_OK. */
#define ssdei_try(call)                                     \
    do {                                                    \
        ssde_status ssdei_status_ = (call);                 \
        if (ssdei_status_ != SSDE_OK) return ssdei_status_; \
    } while (0)

/* See ssdei_memory. */
#define ssdei_place(memory, type, count) ((type *)ssdei_memory_piece((memory), (count), sizeof(type)))

#define SSDEI_JOIN_(a, b) a##b
#define SSDEI_JOIN(a, b) SSDEI_JOIN_(a, b)
#define SSDEI_T(name) SSDEI_JOIN(ssdei_##name##_, SSDEI_TIER) /* the name for the current tier */

#define ssdei_v SSDEI_T(v)
#define ssdei_u SSDEI_T(u)
#define ssdei_load SSDEI_T(load)
#define ssdei_store SSDEI_T(store)
#define ssdei_set SSDEI_T(set)
#define ssdei_add SSDEI_T(add)
#define ssdei_sub SSDEI_T(sub)
#define ssdei_mul SSDEI_T(mul)
#define ssdei_div SSDEI_T(div)
#define ssdei_fma SSDEI_T(fma)
#define ssdei_vmin SSDEI_T(vmin) /* a < b ? a : b */
#define ssdei_vmax SSDEI_T(vmax) /* a > b ? a : b */
#define ssdei_sqrt SSDEI_T(sqrt)
#define ssdei_select_less SSDEI_T(select_less) /* a < b ? x : y */
#define ssdei_all_less SSDEI_T(all_less)       /* whether a < b in every lane */
#define ssdei_zip_low SSDEI_T(zip_low)         /* a0 b0 a1 b1 ... of the lower halves */
#define ssdei_zip_high SSDEI_T(zip_high)       /* of the upper halves */
#define ssdei_sum SSDEI_T(sum)                 /* of the lanes, in a fixed order */
#define ssdei_bits SSDEI_T(bits)               /* reinterpret */
#define ssdei_float SSDEI_T(float)             /* reinterpret */
#define ssdei_from_int SSDEI_T(from_int)       /* signed integers to floats */
#define ssdei_to_int SSDEI_T(to_int)           /* floats to signed integers, nearest even */
#define ssdei_uload SSDEI_T(uload)
#define ssdei_uset SSDEI_T(uset)
#define ssdei_uadd SSDEI_T(uadd)
#define ssdei_usub SSDEI_T(usub)
#define ssdei_uand SSDEI_T(uand)
#define ssdei_uor SSDEI_T(uor)
#define ssdei_uxor SSDEI_T(uxor)
#define ssdei_ushl SSDEI_T(ushl)         /* by a constant */
#define ssdei_ushr SSDEI_T(ushr)         /* logical, by a constant */
#define ssdei_usar SSDEI_T(usar)         /* arithmetic, by a constant */
#define ssdei_w SSDEI_T(w)               /* words of ssdei_u, laid out to be multiplied */
#define ssdei_apart SSDEI_T(apart)       /* ssdei_u to that, */
#define ssdei_together SSDEI_T(together) /* and back */
#define ssdei_wmul SSDEI_T(wmul)   /* full product with a number: high words returned, low words through the pointer */
#define ssdei_wxor SSDEI_T(wxor)   /* a ^ b ^ key, that a ssdei_u all of one word */
#define ssdei_split SSDEI_T(split) /* pairs a, b in memory's order to first and second members, lanes in any order */
#define ssdei_join_first SSDEI_T(join_first)   /* and back: a */
#define ssdei_join_second SSDEI_T(join_second) /* b */
#define ssdei_interleave SSDEI_T(interleave)   /* a, b, c, d to 16 bytes per lane: a0 b0 c0 d0 a1 ... */
#define ssdei_d SSDEI_T(d)                     /* ssdei_width doubles */
#define ssdei_dset SSDEI_T(dset)
#define ssdei_dadd SSDEI_T(dadd)
#define ssdei_dsub SSDEI_T(dsub)
#define ssdei_dmul SSDEI_T(dmul)
#define ssdei_ddiv SSDEI_T(ddiv)
#define ssdei_dmax SSDEI_T(dmax) /* a > b ? a : b */
#define ssdei_dfma SSDEI_T(dfma)
#define ssdei_widen SSDEI_T(widen)   /* floats to doubles */
#define ssdei_narrow SSDEI_T(narrow) /* doubles to floats */

/* Per tier: vector width, register tile of the products, and what stands before a kernel. */
#define ssdei_width SSDEI_T(width)
#define ssdei_tile_rows SSDEI_T(tile_rows)
#define ssdei_tile_rows_medium SSDEI_T(tile_rows_medium)
#define ssdei_tile_rows_low SSDEI_T(tile_rows_low)
#define ssdei_tile_vectors SSDEI_T(tile_vectors)
#define SSDEI_KERNEL SSDEI_JOIN(SSDEI_TARGET_, SSDEI_TIER) static
/* Without optimisation every inlined call has a piece of the stack to itself. */
#if defined(__GNUC__) && !defined(__OPTIMIZE__)
#define SSDEI_HELPER SSDEI_JOIN(SSDEI_TARGET_, SSDEI_TIER) static inline
#else
#define SSDEI_HELPER SSDEI_JOIN(SSDEI_TARGET_, SSDEI_TIER) SSDEI_INLINE
#endif
#define SSDEI_TARGET_scalar
#define SSDEI_TARGET_neon
#define SSDEI_AVX2 SSDEI_TARGET_avx2 SSDEI_INLINE
#define SSDEI_AVX512 SSDEI_TARGET_avx512 SSDEI_INLINE

#elif !SSDEI_MACROS && !defined(SCORESDE_KEEP_MACROS)
#undef SSDEI_BEGIN
#undef SSDEI_END
#undef SSDEI_ONCE_BEGIN
#undef SSDEI_ONCE_END
#undef SSDEI_X86
#undef SSDEI_NEON
#undef SSDEI_TIERS
#undef SSDEI_TIER_ITEM
#undef SSDEI_TIER_ADDRESS
#undef SSDEI_INLINE
#undef SSDEI_NOINLINE
#undef SSDEI_UNROLL
#undef SSDEI_PI
#undef SSDEI_LOG_TWO_PI
#undef SSDEI_LOG2_E
#undef SSDEI_PLANE_PEAK
#undef SSDEI_PLANE_LEAST
#undef SSDEI_SIGNAL
#undef ssdei_try
#undef ssdei_place
#undef SSDEI_JOIN_
#undef SSDEI_JOIN
#undef SSDEI_T
#undef ssdei_v
#undef ssdei_u
#undef ssdei_load
#undef ssdei_store
#undef ssdei_set
#undef ssdei_add
#undef ssdei_sub
#undef ssdei_mul
#undef ssdei_div
#undef ssdei_fma
#undef ssdei_vmin
#undef ssdei_vmax
#undef ssdei_sqrt
#undef ssdei_select_less
#undef ssdei_all_less
#undef ssdei_zip_low
#undef ssdei_zip_high
#undef ssdei_sum
#undef ssdei_bits
#undef ssdei_float
#undef ssdei_from_int
#undef ssdei_to_int
#undef ssdei_uload
#undef ssdei_uset
#undef ssdei_uadd
#undef ssdei_usub
#undef ssdei_uand
#undef ssdei_uor
#undef ssdei_uxor
#undef ssdei_ushl
#undef ssdei_ushr
#undef ssdei_usar
#undef ssdei_w
#undef ssdei_apart
#undef ssdei_together
#undef ssdei_wmul
#undef ssdei_wxor
#undef ssdei_split
#undef ssdei_join_first
#undef ssdei_join_second
#undef ssdei_interleave
#undef ssdei_d
#undef ssdei_dset
#undef ssdei_dadd
#undef ssdei_dsub
#undef ssdei_dmul
#undef ssdei_ddiv
#undef ssdei_dmax
#undef ssdei_dfma
#undef ssdei_widen
#undef ssdei_narrow
#undef ssdei_width
#undef ssdei_tile_rows
#undef ssdei_tile_rows_medium
#undef ssdei_tile_rows_low
#undef ssdei_tile_vectors
#undef SSDEI_KERNEL
#undef SSDEI_HELPER
#undef SSDEI_TARGET_scalar
#undef SSDEI_TARGET_neon
#undef SSDEI_TARGET_avx2
#undef SSDEI_TARGET_avx512
#undef SSDEI_AVX2
#undef SSDEI_AVX512
/* those of the core's implementation */
#undef SSDEI_GLIBC_32
#undef ssdei_open64
#undef ssdei_fopen64
#undef SSDEI_CRC_KEY
#undef SSDEI_QUADRATURE_TOLERANCE
#endif
#undef SSDEI_MACROS

#elif !defined(SSDEI_TIER)

/* >>kernels: the file that SSDEI_EACH_TIER names, once for each of SSDEI_TIERS */

#define SSDEI_TIER scalar
#include SSDEI_EACH_TIER
#undef SSDEI_TIER
#ifdef SSDEI_X86
#define SSDEI_TIER avx2
#include SSDEI_EACH_TIER
#undef SSDEI_TIER
#define SSDEI_TIER avx512
#include SSDEI_EACH_TIER
#undef SSDEI_TIER
#endif
#ifdef SSDEI_NEON
#define SSDEI_TIER neon
#include SSDEI_EACH_TIER
#undef SSDEI_TIER
#endif

#elif SSDEI_CORE_KERNELS == 1

/* ---- kernels, first part: vector functions ----
   Each kernel, here and in scoresde_nn.h, has a naive twin in the tests, in double and by definition:
   tests/test_kernels.h lists them all. */

/* e^x to 1 ulp for x in [-87.3, 88.7]; below that 0, above infinity; NaN stays NaN. x = n ln 2 + r, |r| <= ln 2 / 2,
   and a polynomial for e^r (Cephes' coefficients). */
SSDEI_HELPER ssdei_v SSDEI_T(exp)(ssdei_v x) {
    ssdei_v high = ssdei_set(88.72283f), low = ssdei_set(-87.33654f);
    ssdei_v clamped = ssdei_vmin(high, ssdei_vmax(x, low));
    ssdei_u n = ssdei_to_int(ssdei_mul(clamped, ssdei_set(1.44269504f)));
    ssdei_v whole = ssdei_from_int(n);
    ssdei_v r = ssdei_fma(whole, ssdei_set(-0.693359375f), clamped);
    ssdei_v p = ssdei_set(1.9875691500e-4f), result;
    r = ssdei_fma(whole, ssdei_set(2.12194440e-4f), r);
    p = ssdei_fma(p, r, ssdei_set(1.3981999507e-3f));
    p = ssdei_fma(p, r, ssdei_set(8.3334519073e-3f));
    p = ssdei_fma(p, r, ssdei_set(4.1665795894e-2f));
    p = ssdei_fma(p, r, ssdei_set(1.6666665459e-1f));
    p = ssdei_fma(p, r, ssdei_set(5.0000001201e-1f));
    p = ssdei_add(ssdei_fma(p, ssdei_mul(r, r), r), ssdei_set(1.0f));
    /* 2^n in two halves, since n = 128 has no float of its own */
    {
        ssdei_u half = ssdei_usar(n, 1), rest = ssdei_usub(n, half), bias = ssdei_uset(127);
        result = ssdei_mul(p, ssdei_float(ssdei_ushl(ssdei_uadd(half, bias), 23)));
        result = ssdei_mul(result, ssdei_float(ssdei_ushl(ssdei_uadd(rest, bias), 23)));
    }
    result = ssdei_select_less(x, low, ssdei_set(0.0f), result);
    result = ssdei_select_less(high, x, ssdei_set(HUGE_VALF), result);
    /* what is not below infinity is infinity, or NaN, which adding keeps */
    return ssdei_add(result, ssdei_select_less(x, ssdei_set(HUGE_VALF), ssdei_set(0.0f), x));
}

/* one 2^x, `one` a power of two, to 2e-7 of itself where it is a normal number; for one = 1 and x = -127, 0; of NaN,
   anything. Added to 1.5 * 2^23, x is rounded to a whole number in the sum's lowest bits. */
SSDEI_HELPER ssdei_v SSDEI_T(exp2)(ssdei_v x, const float one) {
    ssdei_v shift = ssdei_set(12582912.0f), shifted = ssdei_add(x, shift);
    ssdei_v r = ssdei_sub(x, ssdei_sub(shifted, shift));
    ssdei_v p = ssdei_fma(ssdei_set(one * 0.00132647238f), r, ssdei_set(one * 0.00967151299f));
    p = ssdei_fma(p, r, ssdei_set(one * 0.0555073358f));
    p = ssdei_fma(p, r, ssdei_set(one * 0.240222424f));
    p = ssdei_fma(p, r, ssdei_set(one * 0.693147004f));
    p = ssdei_fma(p, r, ssdei_set(one));
    return ssdei_float(ssdei_uadd(ssdei_bits(p), ssdei_ushl(ssdei_bits(shifted), 23)));
}

/* ln x to 1 ulp for normal x > 0; no FMA, so that every tier returns the same bits. x = 2^k (1 + f), sqrt(1/2) <= 1 + f
   < sqrt(2), and the series in s = f / (2 + f). */
SSDEI_HELPER ssdei_v SSDEI_T(log_positive)(ssdei_v x) {
    ssdei_u bits = ssdei_uadd(ssdei_bits(x), ssdei_uset(0x3f800000u - 0x3f3504f3u));
    ssdei_v k = ssdei_from_int(ssdei_usub(ssdei_ushr(bits, 23), ssdei_uset(127)));
    ssdei_u mantissa = ssdei_uadd(ssdei_uand(bits, ssdei_uset(0x007fffffu)), ssdei_uset(0x3f3504f3u));
    ssdei_v f = ssdei_sub(ssdei_float(mantissa), ssdei_set(1.0f));
    ssdei_v s = ssdei_div(f, ssdei_add(ssdei_set(2.0f), f));
    ssdei_v z = ssdei_mul(s, s), w = ssdei_mul(z, z);
    ssdei_v odd = ssdei_mul(w, ssdei_add(ssdei_set(0.40000972152f), ssdei_mul(w, ssdei_set(0.24279078841f))));
    ssdei_v even = ssdei_mul(z, ssdei_add(ssdei_set(0.66666662693f), ssdei_mul(w, ssdei_set(0.28498786688f))));
    ssdei_v series = ssdei_add(odd, even);
    ssdei_v half_square = ssdei_mul(ssdei_set(0.5f), ssdei_mul(f, f));
    ssdei_v tail = ssdei_add(ssdei_mul(s, ssdei_add(half_square, series)), ssdei_mul(k, ssdei_set(9.0580006145e-6f)));
    return ssdei_add(ssdei_mul(k, ssdei_set(6.9313812256e-1f)), ssdei_sub(f, ssdei_sub(half_square, tail)));
}

/* The first n floats, zeros beyond, or a whole vector of them. */
SSDEI_HELPER ssdei_v SSDEI_T(load_some)(const float *p, size_t n) {
    return n >= ssdei_width ? ssdei_load(p) : SSDEI_T(load_first)(p, n);
}
SSDEI_HELPER void SSDEI_T(store_some)(float *p, ssdei_v v, size_t n) {
    if (n >= ssdei_width)
        ssdei_store(p, v);
    else
        SSDEI_T(store_first)(p, v, n);
}

/* Whether the compiler fuses a * b + c in this tier's code, on numbers that it cannot know. (1 + e)^2 = 1 + 2 e + e^2
   rounds to 1 + 2 e or its neighbour: the rest is e^2 only where the product was never rounded. */
SSDEI_KERNEL int SSDEI_T(contracts)(void) {
    const float rest = 1.0f / 67108864.0f;              /* 2^-26, e = 2^-13 */
    const double wide_rest = 1.0 / 18014398509481984.0; /* 2^-54, e = 2^-27 */
    volatile float root = 1.0f + 1.0f / 8192.0f, square = -1.0f - 1.0f / 4096.0f;
    volatile double wide_root = 1.0 + 1.0 / 134217728.0, wide_square = -1.0 - 1.0 / 67108864.0;
    float a[ssdei_width], b[ssdei_width];
    ssdei_v r = ssdei_set(root);
    ssdei_d w = ssdei_dset(wide_root);
    ssdei_store(a, ssdei_add(ssdei_mul(r, r), ssdei_set(square)));
    ssdei_store(b, ssdei_narrow(ssdei_dadd(ssdei_dmul(w, w), ssdei_dset(wide_square))));
    return a[0] == rest || (double)b[0] == wide_rest || root * root + square == rest ||
           wide_root * wide_root + wide_square == wide_rest;
}

#else

/* Kernels, second part: one table of functions per tier */

#define ssdei_tile_columns (ssdei_tile_vectors * ssdei_width)
#define SSDEI_AHEAD 1024 /* floats between packed ones that are fetched and those in use: some 400 cycles */

/* Loads, or stores, the first rows x columns of a register tile. */
SSDEI_HELPER void SSDEI_T(tile_load)(const float *from, size_t stride, const size_t height, size_t rows, size_t columns,
                                     ssdei_v sum[][ssdei_tile_vectors]) {
    size_t r, v;
    SSDEI_UNROLL for (r = 0; r < height; r++) {
        SSDEI_UNROLL for (v = 0; v < ssdei_tile_vectors; v++) {
            size_t column = v * ssdei_width;
            if (r < rows && column < columns)
                sum[r][v] = SSDEI_T(load_some)(from + r * stride + column, columns - column);
        }
    }
}
SSDEI_HELPER void SSDEI_T(tile_store)(float *to, size_t stride, const size_t height, size_t rows, size_t columns,
                                      ssdei_v sum[][ssdei_tile_vectors]) {
    size_t r, v;
    SSDEI_UNROLL for (r = 0; r < height; r++) {
        SSDEI_UNROLL for (v = 0; v < ssdei_tile_vectors; v++) {
            size_t column = v * ssdei_width;
            if (r < rows && column < columns)
                SSDEI_T(store_some)(to + r * stride + column, sum[r][v], columns - column);
        }
    }
}

/* c = (c + residual) scale, for rows that a cache has just received. */
SSDEI_HELPER void SSDEI_T(tile_finish)(const ssdei_tiles *work, size_t row, size_t rows) {
    ssdei_v scale = ssdei_set(work->scale);
    size_t column, end = row + rows;
    for (; row < end; row++) {
        for (column = 0; column < work->columns; column += ssdei_width) {
            size_t left = work->columns - column;
            float *c = work->c + row * work->stride + column;
            ssdei_v x = SSDEI_T(load_some)(c, left);
            if (work->residual)
                x = ssdei_add(x, SSDEI_T(load_some)(work->residual + row * work->residual_stride + column, left));
            SSDEI_T(store_some)(c, ssdei_mul(x, scale), left);
        }
    }
}

/* One register tile of a constant height, at a row of c. */
SSDEI_HELPER void SSDEI_T(tile_of)(const ssdei_tiles *given, const size_t height, size_t row) {
    const ssdei_tiles work = *given; /* a copy, which no store can change */
    ssdei_v sum[ssdei_tile_rows][ssdei_tile_vectors];
    const float *const *a = work.a + row * work.taps, *packed = work.packed;
    float *c = work.c + row * work.stride;
    size_t depth = work.depth, columns = work.columns, rows = work.rows - row < height ? work.rows - row : height;
    size_t q, k, r, v;
    int whole = rows == height && columns == ssdei_tile_columns; /* the usual case, without a test per vector */
    SSDEI_UNROLL for (r = 0; r < height; r++) {
        SSDEI_UNROLL for (v = 0; v < ssdei_tile_vectors; v++) sum[r][v] = ssdei_set(0.0f);
    }
    if (work.start) {
        const float *start = work.start + row * work.start_stride;
        if (whole)
            SSDEI_T(tile_load)(start, work.start_stride, height, height, ssdei_tile_columns, sum);
        else
            SSDEI_T(tile_load)(start, work.start_stride, height, rows, columns, sum);
    }
    if (work.cold) {
        SSDEI_UNROLL for (r = 0; r < height; r++) {
            SSDEI_UNROLL for (v = 0; v < ssdei_tile_columns; v += SSDEI_LINE) {
                ssdei_prefetch_write(c + (work.cold + r) * work.stride + v);
            }
        }
    }
    for (q = 0; q < work.taps; q++, a += ssdei_tile_rows) {
        const float *from[ssdei_tile_rows];
        SSDEI_UNROLL for (r = 0; r < height; r++) from[r] = a[r] + work.offset;
        for (k = 0; k < depth; k++, packed += ssdei_tile_columns) {
            ssdei_v b[ssdei_tile_vectors];
            SSDEI_UNROLL for (v = 0; v < ssdei_tile_vectors; v++) b[v] = ssdei_load(packed + v * ssdei_width);
            SSDEI_UNROLL for (v = 0; v < ssdei_tile_columns; v += SSDEI_LINE) {
                ssdei_prefetch(packed + v + SSDEI_AHEAD);
            }
            SSDEI_UNROLL for (r = 0; r < height; r++) {
                ssdei_v broadcast = ssdei_set(from[r][k]);
                SSDEI_UNROLL for (v = 0; v < ssdei_tile_vectors; v++) sum[r][v] = ssdei_fma(broadcast, b[v], sum[r][v]);
            }
        }
    }
    if (whole)
        SSDEI_T(tile_store)(c, work.stride, height, height, ssdei_tile_columns, sum);
    else
        SSDEI_T(tile_store)(c, work.stride, height, rows, columns, sum);
    if (work.residual || work.scale != 1.0f) SSDEI_T(tile_finish)(given, row, rows);
}

/* One register tile of each height, as functions: where one function holds them all, or a loop over them, gcc runs out
   of registers. */
SSDEI_NOINLINE SSDEI_KERNEL void SSDEI_T(tile_high)(const ssdei_tiles *work, size_t row) {
    SSDEI_T(tile_of)(work, ssdei_tile_rows, row);
}
SSDEI_NOINLINE SSDEI_KERNEL void SSDEI_T(tile_medium)(const ssdei_tiles *work, size_t row) {
    SSDEI_T(tile_of)(work, ssdei_tile_rows_medium, row);
}
SSDEI_NOINLINE SSDEI_KERNEL void SSDEI_T(tile_low)(const ssdei_tiles *work, size_t row) {
    SSDEI_T(tile_of)(work, ssdei_tile_rows_low, row);
}

SSDEI_KERNEL void SSDEI_T(tiles)(const ssdei_tiles *work) {
    const float *ahead = work->ahead;
    size_t row, i;
    for (row = 0; row < work->rows; row += ssdei_tile_rows) {
        size_t left = work->rows - row;
        for (i = 0; ahead && i < work->ahead_floats; i += SSDEI_LINE, ahead += SSDEI_LINE) ssdei_prefetch_far(ahead);
        if (left > ssdei_tile_rows_medium)
            SSDEI_T(tile_high)(work, row);
        else if (left > ssdei_tile_rows_low)
            SSDEI_T(tile_medium)(work, row);
        else
            SSDEI_T(tile_low)(work, row);
    }
}

/* Rows are found from every fourth one, which leaves registers for more than their pointers. */
SSDEI_HELPER void SSDEI_T(strip_of)(const ssdei_strip *work, const size_t height, size_t row) {
    ssdei_v sum[ssdei_tile_rows][ssdei_tile_vectors];
    const float *from[(ssdei_tile_rows + 3) / 4], *packed = work->packed, *ahead;
    float *c = work->c + row * work->stride_c;
    size_t stride_a = work->stride_a, ahead_stride = work->ahead_stride, k, r, v;
    ahead = work->ahead + row / ssdei_tile_rows * work->depth * ahead_stride;
    SSDEI_UNROLL for (r = 0; r < height; r++) {
        if (r % 4 == 0) from[r / 4] = work->a + (row + r) * stride_a;
        SSDEI_UNROLL for (v = 0; v < ssdei_tile_vectors; v++) sum[r][v] = ssdei_set(0.0f);
    }
    if (work->accumulate) SSDEI_T(tile_load)(c, work->stride_c, height, height, ssdei_tile_columns, sum);
    for (k = work->depth; k > 0; k--, packed += ssdei_tile_columns, ahead += ahead_stride) {
        ssdei_v b[ssdei_tile_vectors];
        SSDEI_UNROLL for (v = 0; v < ssdei_tile_vectors; v++) b[v] = ssdei_load(packed + v * ssdei_width);
        ssdei_prefetch_far(ahead);
        SSDEI_UNROLL for (r = 0; r < height; r++) {
            ssdei_v broadcast = ssdei_set(from[r / 4][r % 4 * stride_a]);
            SSDEI_UNROLL for (v = 0; v < ssdei_tile_vectors; v++) sum[r][v] = ssdei_fma(broadcast, b[v], sum[r][v]);
        }
        SSDEI_UNROLL for (r = 0; r < height; r += 4) from[r / 4]++;
    }
    SSDEI_T(tile_store)(c, work->stride_c, height, height, ssdei_tile_columns, sum);
}
SSDEI_NOINLINE SSDEI_KERNEL void SSDEI_T(strip_high)(const ssdei_strip *work, size_t row) {
    SSDEI_T(strip_of)(work, ssdei_tile_rows, row);
}
SSDEI_NOINLINE SSDEI_KERNEL void SSDEI_T(strip_medium)(const ssdei_strip *work, size_t row) {
    SSDEI_T(strip_of)(work, ssdei_tile_rows_medium, row);
}
SSDEI_NOINLINE SSDEI_KERNEL void SSDEI_T(strip_low)(const ssdei_strip *work, size_t row) {
    SSDEI_T(strip_of)(work, ssdei_tile_rows_low, row);
}

SSDEI_KERNEL void SSDEI_T(strip)(const ssdei_strip *work) {
    size_t row;
    for (row = 0; row < work->rows; row += ssdei_tile_rows) {
        size_t left = work->rows - row;
        if (left > ssdei_tile_rows_medium)
            SSDEI_T(strip_high)(work, row);
        else if (left > ssdei_tile_rows_low)
            SSDEI_T(strip_medium)(work, row);
        else
            SSDEI_T(strip_low)(work, row);
    }
}

/* One register tile of a constant height, at a row of c. */
SSDEI_HELPER void SSDEI_T(outer_of)(const ssdei_outer *given, const size_t height, size_t row) {
    const ssdei_outer work = *given; /* a copy, which no store can change */
    ssdei_v sum[ssdei_tile_rows][ssdei_tile_vectors];
    const float *b = work.b;
    float *c = work.c + row * work.stride;
    size_t offset = work.offset + row / ssdei_tile_rows * work.tile, columns = work.columns, p, r, v;
    size_t rows = work.rows - row < height ? work.rows - row : height;
    SSDEI_UNROLL for (r = 0; r < height; r++) {
        SSDEI_UNROLL for (v = 0; v < ssdei_tile_vectors; v++) {
            sum[r][v] = ssdei_set(0.0f);
            ssdei_prefetch_write(c + r * work.stride + v * ssdei_width);
        }
    }
    for (p = 0; p < work.count; p++, b += work.b_stride) {
        const float *from = work.a[p] + offset;
        ssdei_v right[ssdei_tile_vectors];
        ssdei_prefetch(from + work.next_a);
        SSDEI_UNROLL for (v = 0; v < ssdei_tile_vectors; v++) right[v] = ssdei_load(b + v * ssdei_width);
        SSDEI_UNROLL for (v = 0; v < ssdei_tile_columns; v += SSDEI_LINE) { ssdei_prefetch(b + v + work.next_b); }
        SSDEI_UNROLL for (r = 0; r < height; r++) {
            ssdei_v broadcast = ssdei_set(from[r]);
            SSDEI_UNROLL for (v = 0; v < ssdei_tile_vectors; v++) sum[r][v] = ssdei_fma(broadcast, right[v], sum[r][v]);
        }
    }
    SSDEI_UNROLL for (r = 0; r < height; r++) {
        SSDEI_UNROLL for (v = 0; v < ssdei_tile_vectors; v++) {
            size_t column = v * ssdei_width, left = columns > column ? columns - column : 0;
            float *to = c + r * work.stride + column;
            if (r >= rows || !left) continue;
            if (work.accumulate) sum[r][v] = ssdei_add(SSDEI_T(load_some)(to, left), sum[r][v]);
            SSDEI_T(store_some)(to, sum[r][v], left);
        }
    }
}

SSDEI_NOINLINE SSDEI_KERNEL void SSDEI_T(outer_high)(const ssdei_outer *work, size_t row) {
    SSDEI_T(outer_of)(work, ssdei_tile_rows, row);
}
SSDEI_NOINLINE SSDEI_KERNEL void SSDEI_T(outer_medium)(const ssdei_outer *work, size_t row) {
    SSDEI_T(outer_of)(work, ssdei_tile_rows_medium, row);
}
SSDEI_NOINLINE SSDEI_KERNEL void SSDEI_T(outer_low)(const ssdei_outer *work, size_t row) {
    SSDEI_T(outer_of)(work, ssdei_tile_rows_low, row);
}

SSDEI_KERNEL void SSDEI_T(outer)(const ssdei_outer *work) {
    size_t row;
    for (row = 0; row < work->rows; row += ssdei_tile_rows) {
        size_t left = work->rows - row;
        if (left > ssdei_tile_rows_medium)
            SSDEI_T(outer_high)(work, row);
        else if (left > ssdei_tile_rows_low)
            SSDEI_T(outer_medium)(work, row);
        else
            SSDEI_T(outer_low)(work, row);
    }
}

SSDEI_KERNEL void SSDEI_T(interleave_rows)(size_t count, const float *const *a, size_t depth, float *to) {
    size_t p, k;
    for (p = 0; p < count; p++, to += ssdei_tile_rows)
        for (k = 0; k < depth; k += ssdei_tile_rows) memcpy(to + k * count, a[p] + k, ssdei_tile_rows * sizeof *to);
}

/* Squares of vectors: interleaving line i with line i + width / 2, log2(width) times, transposes them. */
SSDEI_HELPER void SSDEI_T(transpose_square)(const float *from, size_t from_stride, float *to, size_t to_stride) {
    ssdei_v line[ssdei_width], next[ssdei_width];
    size_t i, stage;
    SSDEI_UNROLL for (i = 0; i < ssdei_width; i++) {
        line[i] = ssdei_load(from + i * from_stride);
        ssdei_prefetch(from + i * from_stride + 2 * SSDEI_LINE);
    }
    SSDEI_UNROLL for (stage = 1; stage < ssdei_width; stage *= 2) {
        SSDEI_UNROLL for (i = 0; 2 * i + 1 < ssdei_width; i++) {
            next[2 * i] = ssdei_zip_low(line[i], line[i + ssdei_width / 2]);
            next[2 * i + 1] = ssdei_zip_high(line[i], line[i + ssdei_width / 2]);
        }
        SSDEI_UNROLL for (i = 0; i < ssdei_width; i++) line[i] = next[i];
    }
    SSDEI_UNROLL for (i = 0; i < ssdei_width; i++) ssdei_store(to + i * to_stride, line[i]);
}
SSDEI_KERNEL void SSDEI_T(transpose)(const float *from, size_t from_stride, size_t rows, size_t columns, float *to,
                                     size_t to_stride) {
    size_t row = 0, column, i;
    for (; row + ssdei_width <= rows; row += ssdei_width) {
        for (column = 0; column + ssdei_width <= columns; column += ssdei_width) SSDEI_T(transpose_square)
        (from + row * from_stride + column, from_stride, to + column * to_stride + row, to_stride);
        for (; column < columns; column++)
            for (i = row; i < row + ssdei_width; i++) to[column * to_stride + i] = from[i * from_stride + column];
    }
    for (; row < rows; row++)
        for (column = 0; column < columns; column++) to[column * to_stride + row] = from[row * from_stride + column];
}

SSDEI_KERNEL void SSDEI_T(exponential)(const float *x, float *y, size_t count) {
    size_t i;
    for (i = 0; i + ssdei_width <= count; i += ssdei_width) ssdei_store(y + i, SSDEI_T(exp)(ssdei_load(x + i)));
    if (i < count) SSDEI_T(store_first)(y + i, SSDEI_T(exp)(SSDEI_T(load_first)(x + i, count - i)), count - i);
}

/* ---- random numbers: each lane computes one Philox block, four words of one row ---- */

/* word[vectors][4]: a counter per lane in, random words out; where only the first `wanted` of them are, up to 2, the
   others are anything. Two vectors at a time hide each other's latency. (On AVX-512 words lie apart through all rounds:
   12 instructions each instead of 18. On AVX2, without its xor of three, that took more time and registers.) */
SSDEI_HELPER void SSDEI_T(philox)(ssdei_u word[][4], const size_t vectors, uint64_t seed, size_t wanted) {
    ssdei_u key0 = ssdei_uset((uint32_t)seed), key1 = ssdei_uset((uint32_t)(seed >> 32));
    ssdei_w w[2][4], low0, low2, high0, high2;
    int round;
    size_t v, i;
    SSDEI_UNROLL for (v = 0; v < vectors; v++) {
        SSDEI_UNROLL for (i = 0; i < 4; i++) w[v][i] = ssdei_apart(word[v][i]);
    }
    for (round = 0; round < 9; round++) {
        SSDEI_UNROLL for (v = 0; v < vectors; v++) {
            high0 = ssdei_wmul(w[v][0], ssdei_philox_m0, &low0);
            high2 = ssdei_wmul(w[v][2], ssdei_philox_m1, &low2);
            w[v][0] = ssdei_wxor(high2, w[v][1], key0);
            w[v][1] = low2;
            w[v][2] = ssdei_wxor(high0, w[v][3], key1);
            w[v][3] = low0;
        }
        key0 = ssdei_uadd(key0, ssdei_uset(ssdei_philox_w0));
        key1 = ssdei_uadd(key1, ssdei_uset(ssdei_philox_w1));
    }
    SSDEI_UNROLL for (v = 0; v < vectors; v++) {
        high2 = ssdei_wmul(w[v][2], ssdei_philox_m1, &low2);
        word[v][0] = ssdei_together(ssdei_wxor(high2, w[v][1], key0));
        word[v][1] = ssdei_together(low2);
        if (wanted <= 2) continue;
        high0 = ssdei_wmul(w[v][0], ssdei_philox_m0, &low0);
        word[v][2] = ssdei_together(ssdei_wxor(high0, w[v][3], key1));
        word[v][3] = ssdei_together(low0);
    }
}

/* Two words become the bits of two normals, sqrt(-2 ln u) cos(2 pi v) and sqrt(-2 ln u) sin(2 pi v). No FMA, so that
   every tier returns the same bits. u = (word0 >> 1) / 2^31 + 2^-32 lies in (0, 1]. The angle is a multiple of pi / 2,
   taken from the top of word1 + 2^29, plus a rest in [-pi/4, pi/4], its low 30 bits at the middle of their cell;
   Cephes' polynomials for sine and cosine there. */
SSDEI_HELPER void SSDEI_T(box_muller)(ssdei_u *word0, ssdei_u *word1) {
    ssdei_v u = ssdei_add(ssdei_mul(ssdei_from_int(ssdei_ushr(*word0, 1)), ssdei_set(4.656612873077393e-10f)),
                          ssdei_set(2.3283064365386963e-10f));
    ssdei_v radius = ssdei_sqrt(ssdei_mul(ssdei_set(-2.0f), SSDEI_T(log_positive)(u)));
    ssdei_u middle = ssdei_uor(ssdei_ushl(*word1, 2), ssdei_uset(2));
    ssdei_v x = ssdei_mul(ssdei_from_int(middle), ssdei_set(3.6572951981e-10f)); /* pi / 2^33 */
    ssdei_v z = ssdei_mul(x, x);
    ssdei_v sine = ssdei_add(ssdei_mul(z, ssdei_set(-1.9515295891e-4f)), ssdei_set(8.3321608736e-3f));
    ssdei_v cosine = ssdei_add(ssdei_mul(z, ssdei_set(2.443315711809948e-5f)), ssdei_set(-1.388731625493765e-3f));
    ssdei_u turned = ssdei_uadd(*word1, ssdei_uset(0x20000000u)), sign = ssdei_uset(0x80000000u);
    ssdei_u odd = ssdei_usar(ssdei_ushl(turned, 1), 31), swap;
    sine = ssdei_add(ssdei_mul(z, sine), ssdei_set(-1.6666654611e-1f));
    sine = ssdei_add(x, ssdei_mul(x, ssdei_mul(z, sine)));
    cosine = ssdei_add(ssdei_mul(z, cosine), ssdei_set(4.166664568298827e-2f));
    cosine = ssdei_sub(ssdei_mul(ssdei_mul(z, z), cosine), ssdei_mul(ssdei_set(0.5f), z));
    cosine = ssdei_add(cosine, ssdei_set(1.0f));
    /* odd multiples of pi / 2 exchange the two; bit 31 of `turned` is the sine's sign, one quadrant on the cosine's */
    sine = ssdei_mul(radius, sine);
    cosine = ssdei_mul(radius, cosine);
    swap = ssdei_uand(odd, ssdei_uxor(ssdei_bits(sine), ssdei_bits(cosine)));
    *word0 =
        ssdei_uxor(ssdei_uxor(ssdei_bits(cosine), swap), ssdei_uand(ssdei_uadd(turned, ssdei_uset(0x40000000u)), sign));
    *word1 = ssdei_uxor(ssdei_uxor(ssdei_bits(sine), swap), ssdei_uand(turned, sign));
}

/* Words, or the bits of normals, of `vectors` vectors of counters. */
SSDEI_HELPER void SSDEI_T(draw_vectors)(int normal, uint64_t seed, size_t dim, ssdei_u word[][4],
                                        const size_t vectors) {
    size_t v;
    SSDEI_T(philox)(word, vectors, seed, dim);
    if (!normal) return;
    SSDEI_UNROLL for (v = 0; v < vectors; v++) SSDEI_T(box_muller)(&word[v][0], &word[v][1]);
    if (dim <= 2) return;
    SSDEI_UNROLL for (v = 0; v < vectors; v++) SSDEI_T(box_muller)(&word[v][2], &word[v][3]);
}

enum { SSDEI_T(draw_rows) = 2 * ssdei_width };

/* The first rows / draw_rows * draw_rows rows of two elements, each the first half of a block; where memory has the low
   word of a 64-bit number first. */
SSDEI_HELPER size_t SSDEI_T(draw_pairs)(int normal, uint64_t seed, uint32_t stream, uint32_t step,
                                        const uint64_t *sample, size_t rows, unsigned char *out) {
    size_t row, v;
    for (row = 0; rows - row >= SSDEI_T(draw_rows); row += SSDEI_T(draw_rows)) {
        ssdei_u word[2][4];
        SSDEI_UNROLL for (v = 0; v < 2; v++) {
            /* the numbers' words, through vector loads, which may look at any memory */
            const float *halves = (const float *)(const void *)(sample + row + v * ssdei_width);
            ssdei_v low, high;
            ssdei_split(ssdei_load(halves), ssdei_load(halves + ssdei_width), &low, &high);
            word[v][0] = ssdei_uset(0);
            word[v][1] = ssdei_uset(step);
            word[v][2] = ssdei_bits(low);
            word[v][3] = ssdei_uor(ssdei_bits(high), ssdei_uset(stream << 16));
        }
        SSDEI_T(draw_vectors)(normal, seed, 2, word, 2);
        SSDEI_UNROLL for (v = 0; v < 2; v++) {
            float *to = (float *)(void *)(out + (row + v * ssdei_width) * 8);
            ssdei_v first = ssdei_float(word[v][0]), second = ssdei_float(word[v][1]);
            ssdei_store(to, ssdei_join_first(first, second));
            ssdei_store(to + ssdei_width, ssdei_join_second(first, second));
        }
    }
    return row;
}

/* The lanes walk over the blocks of all rows, so that short rows fill vectors as well as long ones; where all lanes of
   two vectors are whole blocks of one row, or all rows are whole blocks, their numbers are stored in one go. */
SSDEI_KERNEL void SSDEI_T(draw)(int normal, uint64_t seed, uint32_t stream, uint32_t step, const uint64_t *sample,
                                size_t rows, size_t dim, unsigned char *out) {
    static const uint32_t lane_number[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const size_t blocks = dim / 4 + (dim % 4 != 0), many = 2 * ssdei_width;
    uint32_t counter0[ssdei_width] = {0}, counter2[ssdei_width] = {0}, counter3[ssdei_width] = {0};
    uint32_t words[4 * ssdei_width];
    size_t row = dim == 2 && ssdei_width > 1 && ssdei_low_word_first()
                     ? SSDEI_T(draw_pairs)(normal, seed, stream, step, sample, rows, out)
                     : 0,
           block = 0;
    while (row < rows) {
        size_t first_row = row, first_block = block, lane, j, v;
        ssdei_u word[2][4];
        if (dim / 4 >= many && block <= dim / 4 - many) {
            unsigned char *to = out + (row * dim + 4 * block) * 4;
            SSDEI_UNROLL for (v = 0; v < 2; v++) {
                uint32_t first = (uint32_t)(block + v * ssdei_width);
                word[v][0] = ssdei_uadd(ssdei_uset(first), ssdei_uload(lane_number));
                word[v][1] = ssdei_uset(step);
                word[v][2] = ssdei_uset((uint32_t)sample[row]);
                word[v][3] = ssdei_uset((uint32_t)(sample[row] >> 32) | stream << 16);
            }
            SSDEI_T(draw_vectors)(normal, seed, dim, word, 2);
            SSDEI_UNROLL for (v = 0; v < 2; v++)
                ssdei_interleave(to + v * ssdei_width * 16, word[v][0], word[v][1], word[v][2], word[v][3]);
            block += many;
            if (block == blocks) block = 0, row++;
            continue;
        }
        for (lane = 0; lane < ssdei_width && row < rows; lane++) {
            counter0[lane] = (uint32_t)block;
            counter2[lane] = (uint32_t)sample[row];
            counter3[lane] = (uint32_t)(sample[row] >> 32) | stream << 16;
            if (++block == blocks) block = 0, row++;
        }
        word[0][0] = ssdei_uload(counter0);
        word[0][1] = ssdei_uset(step);
        word[0][2] = ssdei_uload(counter2);
        word[0][3] = ssdei_uload(counter3);
        SSDEI_T(draw_vectors)(normal, seed, dim, word, 1);
        if (dim % 4 == 0 && lane == ssdei_width) { /* rows of whole blocks lie one behind the other */
            ssdei_interleave(out + (first_row * dim + 4 * first_block) * 4, word[0][0], word[0][1], word[0][2],
                             word[0][3]);
            continue;
        }
        ssdei_interleave((unsigned char *)words, word[0][0], word[0][1], word[0][2], word[0][3]);
        for (lane = 0; lane < ssdei_width && first_row < rows; lane++) {
            unsigned char *to = out + (first_row * dim + 4 * first_block) * 4;
            for (j = 0; j < 4 && 4 * first_block + j < dim; j++) memcpy(to + 4 * j, &words[4 * lane + j], 4);
            if (++first_block == blocks) first_block = 0, first_row++;
        }
    }
}

/* ---- scores of Gaussian mixtures in the plane; see ssdei_plane ---- */

/* 0, and NaN in the lanes of rows that are not finite. */
SSDEI_HELPER ssdei_v SSDEI_T(plane_zero)(ssdei_v x, ssdei_v y) { return ssdei_add(ssdei_sub(x, x), ssdei_sub(y, y)); }

/* Of a vector of rows with coordinates x and y: the scores, by way of pointers, and sum_k r_k in units of
   1 / SSDEI_PLANE_PEAK. r_k is cut at 2^-160: what is left is too little to matter, and no product is so small that
   processors take their time over it. (e_k as x center precision + y ... + a constant is three instructions of 22 less,
   but loses |x| |center| precision roundings.) */
SSDEI_HELPER ssdei_v SSDEI_T(plane_single)(const ssdei_plane *work, ssdei_v x, ssdei_v y, ssdei_v *x_score,
                                           ssdei_v *y_score) {
    ssdei_v total = SSDEI_T(plane_zero)(x, y), x_sum = ssdei_set(0.0f), y_sum = x_sum, scale;
    const float *c = work->single;
    size_t k;
    for (k = 0; k < work->components; k++, c += SSDEI_PLANE_SINGLES) {
        ssdei_v x_away = ssdei_sub(ssdei_sub(x, ssdei_set(c[0])), ssdei_set(c[2]));
        ssdei_v y_away = ssdei_sub(ssdei_sub(y, ssdei_set(c[1])), ssdei_set(c[3]));
        ssdei_v x_slope = ssdei_mul(x_away, ssdei_set(c[4])), y_slope = ssdei_mul(y_away, ssdei_set(c[5]));
        ssdei_v exponent = ssdei_fma(x_away, x_slope, ssdei_fma(y_away, y_slope, ssdei_set(c[6])));
        ssdei_v share = SSDEI_T(exp2)(ssdei_vmax(ssdei_set(-160.0f), exponent), SSDEI_PLANE_PEAK);
        total = ssdei_add(total, share);
        x_sum = ssdei_fma(share, x_slope, x_sum);
        y_sum = ssdei_fma(share, y_slope, y_sum);
    }
    scale = ssdei_div(ssdei_set(1.38629436f), total); /* 2 ln 2: from half to -precision */
    *x_score = ssdei_mul(x_sum, scale);
    *y_score = ssdei_mul(y_sum, scale);
    return total;
}

/* The same in double. Three loops, since short chains of one kind keep the machine busier than one long loop. */
SSDEI_HELPER void SSDEI_T(plane_double)(const ssdei_plane *work, ssdei_v x, ssdei_v y, ssdei_v *x_score,
                                        ssdei_v *y_score) {
    ssdei_d *exponent = (ssdei_d *)(void *)work->exponent, zero = ssdei_dset(0.0), largest = ssdei_dset(-HUGE_VAL);
    ssdei_d x_wide = ssdei_widen(x), y_wide = ssdei_widen(y), x_sum = zero, y_sum = zero, inverse;
    const double *center = work->center, *precision = work->precision;
    ssdei_v total = SSDEI_T(plane_zero)(x, y);
    size_t k, components = work->components;
    for (k = 0; k < components; k++) {
        ssdei_d x_away = ssdei_dsub(ssdei_dset(center[2 * k]), x_wide);
        ssdei_d y_away = ssdei_dsub(ssdei_dset(center[2 * k + 1]), y_wide);
        ssdei_d sum = ssdei_dset(work->log_scale[k]);
        sum = ssdei_dfma(ssdei_dmul(x_away, ssdei_dset(-0.5 * precision[2 * k])), x_away, sum);
        sum = ssdei_dfma(ssdei_dmul(y_away, ssdei_dset(-0.5 * precision[2 * k + 1])), y_away, sum);
        exponent[k] = sum;
        largest = ssdei_dmax(sum, largest);
    }
    for (k = 0; k < components; k++) {
        ssdei_v below = ssdei_narrow(ssdei_dmul(ssdei_dsub(exponent[k], largest), ssdei_dset(SSDEI_LOG2_E)));
        ssdei_v share = SSDEI_T(exp2)(ssdei_vmax(ssdei_set(-127.0f), below), 1.0f);
        total = ssdei_add(total, share);
        exponent[k] = ssdei_widen(share);
    }
    for (k = 0; k < components; k++) {
        ssdei_d x_slope = ssdei_dmul(ssdei_dsub(ssdei_dset(center[2 * k]), x_wide), ssdei_dset(precision[2 * k]));
        ssdei_d y_slope =
            ssdei_dmul(ssdei_dsub(ssdei_dset(center[2 * k + 1]), y_wide), ssdei_dset(precision[2 * k + 1]));
        x_sum = ssdei_dfma(exponent[k], x_slope, x_sum);
        y_sum = ssdei_dfma(exponent[k], y_slope, y_sum);
    }
    inverse = ssdei_ddiv(ssdei_dset(1.0), ssdei_widen(total));
    *x_score = ssdei_narrow(ssdei_dmul(x_sum, inverse));
    *y_score = ssdei_narrow(ssdei_dmul(y_sum, inverse));
}

SSDEI_KERNEL void SSDEI_T(plane_scores)(const ssdei_plane *work) {
    const ssdei_v least = ssdei_set(SSDEI_PLANE_LEAST), none = ssdei_set(0.0f);
    float padded[2 * ssdei_width];
    size_t r, i, count;
    for (r = 0; r < work->rows; r += ssdei_width) {
        const float *from = work->x + 2 * r;
        float *to = work->out + 2 * r;
        ssdei_v x, y, x_score = none, y_score = none, total = none;
        count = 2 * (work->rows - r);
        if (count < 2 * ssdei_width) { /* filled up with a row of these */
            for (i = 0; i < 2 * ssdei_width; i++) padded[i] = from[i < count ? i : i % 2];
            from = to = padded;
        }
        ssdei_split(ssdei_load(from), ssdei_load(from + ssdei_width), &x, &y);
        if (work->single) total = SSDEI_T(plane_single)(work, x, y, &x_score, &y_score);
        if (!ssdei_all_less(least, total)) {
            ssdei_v x_exact, y_exact;
            SSDEI_T(plane_double)(work, x, y, &x_exact, &y_exact);
            x_score = ssdei_select_less(least, total, x_score, x_exact);
            y_score = ssdei_select_less(least, total, y_score, y_exact);
        }
        ssdei_store(to, ssdei_join_first(x_score, y_score));
        ssdei_store(to + ssdei_width, ssdei_join_second(x_score, y_score));
        if (to == padded) memcpy(work->out + 2 * r, padded, count * sizeof *padded);
    }
}

/* ---- derivatives of those scores; see ssdei_hessian ---- */

/* The sum of a vector's doubles, by halves. */
SSDEI_HELPER double SSDEI_T(dsum)(ssdei_d a) {
    double part[ssdei_width];
    size_t half, i;
    memcpy(part, &a, sizeof part);
    for (half = ssdei_width / 2; half; half /= 2) {
        for (i = 0; i < half; i++) part[i] += part[half + i];
    }
    return part[0];
}

/* along[k] = e_k^T v for `count` components from k; count is a constant up to 4, each a chain of its own. */
SSDEI_HELPER void SSDEI_T(hessian_along)(const ssdei_hessian *work, size_t k, const size_t count) {
    const ssdei_d *e = (const ssdei_d *)(const void *)(work->e + k * work->stride);
    size_t dim = work->dim, vectors = work->stride / ssdei_width, i, j;
    const float *v = work->v;
    ssdei_d sum[4];
    SSDEI_UNROLL for (j = 0; j < count; j++) sum[j] = ssdei_dset(0.0);
    for (i = 0; i < dim; i += ssdei_width, e++) {
        ssdei_d wide = ssdei_widen(SSDEI_T(load_some)(v + i, dim - i));
        SSDEI_UNROLL for (j = 0; j < count; j++) sum[j] = ssdei_dfma(e[j * vectors], wide, sum[j]);
    }
    SSDEI_UNROLL for (j = 0; j < count; j++) work->along[k + j] = SSDEI_T(dsum)(sum[j]);
}

SSDEI_KERNEL void SSDEI_T(hessian_product)(const ssdei_hessian *work) {
    const ssdei_d *e = (const ssdei_d *)(const void *)work->e, *b = (const ssdei_d *)(const void *)work->b;
    double mean = 0.0;
    size_t dim = work->dim, vectors = work->stride / ssdei_width, components = work->components, i, k;
    for (k = 0; k + 4 <= components; k += 4) SSDEI_T(hessian_along)(work, k, 4);
    if (components - k == 3) SSDEI_T(hessian_along)(work, k, 3);
    if (components - k == 2) SSDEI_T(hessian_along)(work, k, 2);
    if (components - k == 1) SSDEI_T(hessian_along)(work, k, 1);
    for (k = 0; k < components; k++) mean += work->r[k] * work->along[k];
    for (k = 0; k < components; k++) work->along[k] = work->r[k] * (work->along[k] - mean);
    for (i = 0; i < dim; i += ssdei_width, e++, b++) {
        ssdei_d wide = ssdei_widen(SSDEI_T(load_some)(work->v + i, dim - i));
        ssdei_d sum = ssdei_dsub(ssdei_dset(0.0), ssdei_dmul(*b, wide));
        for (k = 0; k < components; k++) sum = ssdei_dfma(ssdei_dset(work->along[k]), e[k * vectors], sum);
        SSDEI_T(store_some)(work->out + i, ssdei_narrow(sum), dim - i);
    }
}

/* ---- the update of ssdei_kernels ---- */

SSDEI_KERNEL int SSDEI_T(update)(const float *x, const float *score, const float *noise, size_t count, const float u[3],
                                 float *x_next, float *mean) {
    ssdei_v of_x = ssdei_set(u[0]), of_score = ssdei_set(u[1]), of_noise = ssdei_set(u[2]);
    ssdei_v zero = ssdei_set(0.0f), trace = zero; /* NaN where anything was not finite */
    float sum;
    size_t i;
    for (i = 0; i < count; i += ssdei_width) {
        size_t n = count - i;
        ssdei_v at = SSDEI_T(load_some)(x + i, n);
        ssdei_v change = ssdei_add(ssdei_mul(of_x, at), ssdei_mul(of_score, SSDEI_T(load_some)(score + i, n)));
        ssdei_v middle = ssdei_add(at, change);
        ssdei_v next = ssdei_add(middle, ssdei_mul(of_noise, SSDEI_T(load_some)(noise + i, n)));
        trace = ssdei_add(trace, ssdei_mul(next, zero));
        if (mean) SSDEI_T(store_some)(mean + i, middle, n);
        SSDEI_T(store_some)(x_next + i, next, n);
    }
    sum = ssdei_sum(trace);
    return sum == 0.0f;
}

static const ssdei_kernels SSDEI_T(kernels) = {
    (ssde_tier)SSDEI_T(tier), ssdei_width,          ssdei_tile_rows, ssdei_tile_columns,
    SSDEI_T(tiles),           SSDEI_T(strip),       SSDEI_T(outer),  SSDEI_T(interleave_rows),
    SSDEI_T(transpose),       SSDEI_T(exponential), SSDEI_T(draw),   SSDEI_T(plane_scores),
    SSDEI_T(hessian_product), SSDEI_T(update)};

#undef ssdei_tile_columns
#undef SSDEI_AHEAD

#endif /* SSDEI_CORE_KERNELS */

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
