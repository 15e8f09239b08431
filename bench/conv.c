/* Speed of the convolutions beside the machine's own peak, as CSV:

       cc -O2 bench/conv.c -o conv -lm && ./conv

   pass,n,c,h,w,k,r,stride,tier,threads,ms,gflops,peak_gflops
   forward: inference with packed weights; backward_data: packs its weights each time; backward_weights: plain
   gradients. gflops counts two operations per multiply-add of the direct convolution; ms is the median of the
   repetitions; peak_gflops is measured in the same run, on one thread, and multiplied by the threads. Options: --tier
   scalar|neon|avx2|avx512, --threads N (compile with -fopenmp), --shape n,c,h,w,k,r,stride. */
#define SCORESDE_IMPLEMENTATION
#include "../scoresde_nn.h"

#include <time.h>
#if !defined(_WIN32) && !defined(CLOCK_MONOTONIC)
#include <sys/time.h>
#endif

static double seconds(void) {
#if defined(CLOCK_MONOTONIC)
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
#elif !defined(_WIN32)
    struct timeval now;
    gettimeofday(&now, NULL);
    return (double)now.tv_sec + 1e-6 * (double)now.tv_usec;
#else
    return (double)clock() / CLOCKS_PER_SEC;
#endif
}

/* ---- the machine's peak: independent chains of FMAs in registers ---- */

enum { CHAINS = 12, PEAK_STEPS = 4000000 };

#define DEFINE_PEAK                                                                              \
    SSDEI_KERNEL float SSDEI_T(chains)(float start) {                                            \
        ssdei_v sum[CHAINS], factor = ssdei_set(0.999f), shift = ssdei_set(start);               \
        size_t step, i;                                                                          \
        SSDEI_UNROLL for (i = 0; i < CHAINS; i++) sum[i] = ssdei_set((float)i);                  \
        for (step = 0; step < PEAK_STEPS; step++) {                                              \
            SSDEI_UNROLL for (i = 0; i < CHAINS; i++) sum[i] = ssdei_fma(sum[i], factor, shift); \
        }                                                                                        \
        SSDEI_UNROLL for (i = 1; i < CHAINS; i++) sum[0] = ssdei_add(sum[0], sum[i]);            \
        return ssdei_sum(sum[0]);                                                                \
    }
#define SSDEI_TIER scalar
DEFINE_PEAK
#undef SSDEI_TIER
#ifdef SSDEI_X86
#define SSDEI_TIER avx2
DEFINE_PEAK
#undef SSDEI_TIER
#define SSDEI_TIER avx512
DEFINE_PEAK
#undef SSDEI_TIER
#endif
#ifdef SSDEI_NEON
#define SSDEI_TIER neon
DEFINE_PEAK
#undef SSDEI_TIER
#endif

static volatile float sink; /* keeps the chains from being optimised away */

static double measure_peak(const ssdei_kernels *kernels) {
    double best = HUGE_VAL;
    int i;
    for (i = 0; i < 5; i++) {
        double start = seconds(), took;
        switch (kernels->tier) {
#ifdef SSDEI_X86
            case SSDE_TIER_AVX2: sink = ssdei_chains_avx2(0.001f); break;
            case SSDE_TIER_AVX512: sink = ssdei_chains_avx512(0.001f); break;
#endif
#ifdef SSDEI_NEON
            case SSDE_TIER_NEON: sink = ssdei_chains_neon(0.001f); break;
#endif
            default: sink = ssdei_chains_scalar(0.001f);
        }
        took = seconds() - start;
        if (took < best) best = took;
    }
    return 2.0 * (double)CHAINS * (double)PEAK_STEPS * (double)kernels->width / best * 1e-9;
}

/* ---- one shape ---- */

typedef struct shape {
    size_t n, c, h, w, k;
    int r, stride;
} shape;

static const shape shapes[] = {{16, 128, 32, 32, 128, 3, 1}, {16, 256, 16, 16, 256, 3, 1}, {16, 256, 8, 8, 256, 3, 1},
                               {16, 256, 4, 4, 256, 3, 1},   {1, 128, 32, 32, 128, 3, 1},  {1, 256, 16, 16, 256, 3, 1},
                               {16, 512, 16, 16, 256, 3, 1}, {64, 32, 8, 8, 32, 3, 1},     {32, 32, 28, 28, 32, 3, 1},
                               {32, 64, 14, 14, 64, 3, 1},   {1, 64, 256, 256, 64, 3, 1},  {1, 32, 512, 512, 32, 3, 1},
                               {16, 3, 32, 32, 128, 3, 1},   {16, 128, 32, 32, 3, 3, 1},   {16, 256, 16, 16, 256, 1, 1},
                               {16, 128, 32, 32, 128, 3, 2}};

enum { FORWARD, BACKWARD_DATA, BACKWARD_WEIGHTS, PASSES, MOST_REPETITIONS = 51 };
static const char *const pass_names[PASSES] = {"forward", "backward_data", "backward_weights"};

static int by_size(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

static void must(ssde_context *context, ssde_status status) {
    if (status == SSDE_OK) return;
    fprintf(stderr, "%s: %s\n", ssde_status_text(status), context->error);
    exit(1);
}

/* The median of enough repetitions for half a second, after one to warm up. */
static double measure(ssde_run *run, int node, int pass) {
    double times[MOST_REPETITIONS], total = 0.0;
    int count = -1;
    while (count < MOST_REPETITIONS && (count < 5 || total < 0.5)) {
        double start;
        memset(run->written, 0, (size_t)run->net->node_count);
        run->packed_version[SSDEI_BACKWARD][node] = 0;
        start = seconds();
        if (pass == FORWARD) ssdei_conv_forward(run, node);
        if (pass == BACKWARD_DATA) ssdei_conv_backward_input(run, node);
        if (pass == BACKWARD_WEIGHTS) ssdei_conv_backward_weights(run, node);
        if (count >= 0) total += times[count] = seconds() - start;
        count++;
    }
    qsort(times, (size_t)count, sizeof *times, by_size);
    return times[count / 2];
}

/* A network of one convolution; the pass is timed without the run's copies in and out. */
static void bench(ssde_context *context, const shape *s, double peak) {
    ssde_net *net;
    ssde_conv_desc conv = ssde_conv(s->k, s->r);
    ssde_node x, y;
    float *gradients;
    int pass;
    must(context, ssde_net_create(context, &net, 1));
    x = ssde_input(net, s->h, s->w, s->c);
    conv.stride = s->stride;
    if (s->stride == 2) conv.pad_before = 0;
    y = ssde_conv2d(net, x, &conv, "conv");
    must(context, net->status);
    net->output = y;
    net->finished = 1; /* not the shape of a score network: ssde_net_finish would refuse it */
    gradients = (float *)calloc(net->weight_count, sizeof *gradients);
    for (pass = 0; pass < PASSES && gradients; pass++) {
        ssde_run_desc desc;
        ssde_run *run;
        double ms, work = 2.0 * (double)(s->n * net->nodes[y].count * s->c) * s->r * s->r;
        memset(&desc, 0, sizeof desc);
        desc.mode = pass == BACKWARD_WEIGHTS ? SSDE_RUN_TRAIN : SSDE_RUN_VJP;
        desc.max_rows = s->n;
        desc.context = context;
        must(context, ssde_run_create(&run, net, &desc));
        run->rows = s->n;
        run->weight_gradients = gradients;
        must(context,
             ssde_random_normal(context, 1, SSDE_STREAM_USER, 0, NULL, s->n, net->nodes[x].count, ssdei_value(run, x)));
        if (pass != FORWARD)
            must(context, ssde_random_normal(context, 2, SSDE_STREAM_USER, 0, NULL, s->n, net->nodes[y].count,
                                             ssdei_gradient(run, y)));
        ms = 1e3 * measure(run, y, pass);
        printf("%s,%lu,%lu,%lu,%lu,%lu,%d,%d,%s,%lu,%.4f,%.1f,%.1f\n", pass_names[pass], (unsigned long)s->n,
               (unsigned long)s->c, (unsigned long)s->h, (unsigned long)s->w, (unsigned long)s->k, s->r, s->stride,
               ssde_tier_name(run->kernels->tier), (unsigned long)run->tasks, ms, work / ms * 1e-6,
               peak * (double)run->tasks);
        fflush(stdout);
        ssde_run_destroy(run);
    }
    free(gradients);
    ssde_net_destroy(net);
}

int main(int argc, char **argv) {
    ssde_context context;
    shape only;
    unsigned long n, c, h, w, k;
    double peak;
    size_t i;
    int one = 0, argument;
    memset(&context, 0, sizeof context);
    memset(&only, 0, sizeof only);
    context.threads = 1;
    for (argument = 1; argument + 1 < argc; argument += 2) {
        const char *name = argv[argument], *value = argv[argument + 1];
        int tier;
        if (!strcmp(name, "--threads")) context.threads = (int)strtol(value, NULL, 10);
        for (tier = SSDE_TIER_SCALAR; !strcmp(name, "--tier") && tier <= SSDE_TIER_AVX512; tier++)
            if (!strcmp(value, ssde_tier_name((ssde_tier)tier))) context.tier = (ssde_tier)tier;
        if (!strcmp(name, "--shape")) {
            one = sscanf(value, "%lu,%lu,%lu,%lu,%lu,%d,%d", &n, &c, &h, &w, &k, &only.r, &only.stride) == 7;
            if (!one) return fprintf(stderr, "--shape n,c,h,w,k,r,stride\n"), 1;
            only.n = n, only.c = c, only.h = h, only.w = w, only.k = k;
        }
    }
    peak = measure_peak(ssdei_kernels_for(&context));
    printf("pass,n,c,h,w,k,r,stride,tier,threads,ms,gflops,peak_gflops\n");
    if (one) bench(&context, &only, peak);
    for (i = 0; !one && i < sizeof shapes / sizeof *shapes; i++) bench(&context, &shapes[i], peak);
    return 0;
}
