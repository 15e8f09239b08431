/* Speed of the convolutions beside the machine's own peak and, on request, beside oneDNN, as CSV:

       cc -O2 bench/conv.c -o conv -lm && ./conv
       cc -O2 -DBENCH_ONEDNN bench/conv.c -o conv -lm -ldnnl && ./conv

   pass,n,c,h,w,k,r,stride,tier,threads,ms,gflops,peak_gflops,onednn_ms,ratio
   Each pass is timed as a run does it, from plain weights that it transforms or packs itself to plain tensors:
   forward with bias; backward_data the gradient by the input; backward_weights those by weights and bias. 3x3 pads 1 on
   each side, with stride 2 it pads 0 before and 1 after; 1x1 pads nothing. gflops counts two operations per
   multiply-add of the direct convolution; ms is the median of the repetitions; peak_gflops is measured in the same run,
   on one thread, and multiplied by the threads.

   onednn_ms is the better median of oneDNN's direct and Winograd algorithms, timed in turn with ours, on as many
   threads and the same instruction set (AVX2 or AVX-512), with every tensor in the layout that oneDNN likes best before
   the clock starts and its gradients left there. ratio = onednn_ms / ms: above 1 where ours is faster. Both are empty
   without BENCH_ONEDNN, on other tiers and where oneDNN has no implementation. Standard error ends with each pass's
   ratios.

   Options: --tier scalar|neon|avx2|avx512     the best one that the machine has
            --threads N                        1; more need -fopenmp
            --shape n,c,h,w,k,r,stride         images, channels, height, width, output channels, kernel, stride
            --pass forward|backward_data|backward_weights
            --convolution auto|direct|winograd
            --check                            compares oneDNN's results with ours and names its implementations */
#define SCORESDE_KEEP_MACROS
#define SCORESDE_IMPLEMENTATION
#include "../scoresde_nn.h"

#include "measure.h"

/* ---- one pass of one shape ---- */

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

enum { FORWARD, BACKWARD_DATA, BACKWARD_WEIGHTS, PASSES };
static const char *const pass_names[PASSES] = {"forward", "backward_data", "backward_weights"};

enum { INPUT, WEIGHTS, BIAS, OUTPUT, TENSORS };

typedef struct problem {
    shape s;
    int pass;
    size_t out_h, out_w;
    int pad_before, pad_after;
    ssde_run *run;
    int node;
    float *tensors[TENSORS]; /* NHWC, HWIO, [k], NHWC: values or gradients, as the pass reads and writes them */
} problem;

/* ---- oneDNN ---- */

enum { DIRECT, WINOGRAD, ALGORITHMS };

#ifdef BENCH_ONEDNN
enum { HAS_ONEDNN = 1 };
#include <dlfcn.h>
#include <dnnl.h>
#include <dnnl_debug.h>

typedef struct candidate {
    dnnl_primitive_t primitive; /* NULL: oneDNN has none */
    dnnl_exec_arg_t arguments[TENSORS];
    char name[64];
    double difference; /* from ours */
} candidate;

static const dnnl_alg_kind_t algorithms[ALGORITHMS] = {dnnl_convolution_direct, dnnl_convolution_winograd};
static const int roles[PASSES][TENSORS] = {
    {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST},
    {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, 0, DNNL_ARG_DIFF_DST},
    {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_BIAS, DNNL_ARG_DIFF_DST}};
static dnnl_engine_t engine; /* NULL: no counterpart of the tier */
static dnnl_stream_t stream;
static candidate candidates[ALGORITHMS];

static void onednn_must(dnnl_status_t status) {
    if (status != dnnl_success) fail("oneDNN", dnnl_status2str(status));
}

static void onednn_start(ssde_tier tier, int threads) {
    void *symbol = dlsym(NULL, "omp_set_num_threads"); /* of the OpenMP that oneDNN brings along */
    void (*set_threads)(int);
    if (tier != SSDE_TIER_AVX2 && tier != SSDE_TIER_AVX512) return;
    if (!symbol) fail("oneDNN", "its threads cannot be limited, it is not built on OpenMP");
    memcpy(&set_threads, &symbol, sizeof symbol);
    set_threads(threads);
    onednn_must(dnnl_set_max_cpu_isa(tier == SSDE_TIER_AVX2 ? dnnl_cpu_isa_avx2 : dnnl_cpu_isa_avx512_core));
    onednn_must(dnnl_engine_create(&engine, dnnl_cpu, 0));
    onednn_must(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags));
}

static void onednn_run(dnnl_primitive_t primitive, int count, const dnnl_exec_arg_t *arguments) {
    onednn_must(dnnl_primitive_execute(primitive, stream, count, arguments));
    onednn_must(dnnl_stream_wait(stream));
}

/* Our layouts, or any for oneDNN to choose. */
static void onednn_layouts(const problem *p, int plain, dnnl_memory_desc_t layouts[TENSORS]) {
    const shape *s = &p->s;
    dnnl_format_tag_t image = plain ? dnnl_nhwc : dnnl_format_tag_any;
    dnnl_format_tag_t kernel = plain ? dnnl_hwio : dnnl_format_tag_any;
    dnnl_dims_t input = {0}, weights = {0}, bias = {0}, output = {0};
    input[0] = output[0] = (dnnl_dim_t)s->n;
    input[1] = weights[1] = (dnnl_dim_t)s->c;
    input[2] = (dnnl_dim_t)s->h, input[3] = (dnnl_dim_t)s->w;
    weights[2] = weights[3] = s->r;
    weights[0] = bias[0] = output[1] = (dnnl_dim_t)s->k;
    output[2] = (dnnl_dim_t)p->out_h, output[3] = (dnnl_dim_t)p->out_w;
    onednn_must(dnnl_memory_desc_init_by_tag(&layouts[INPUT], 4, input, dnnl_f32, image));
    onednn_must(dnnl_memory_desc_init_by_tag(&layouts[WEIGHTS], 4, weights, dnnl_f32, kernel));
    onednn_must(dnnl_memory_desc_init_by_tag(&layouts[BIAS], 1, bias, dnnl_f32, dnnl_x));
    onednn_must(dnnl_memory_desc_init_by_tag(&layouts[OUTPUT], 4, output, dnnl_f32, image));
}

/* NULL where there is none. A backward pass wants the forward one as its hint. */
static dnnl_primitive_desc_t onednn_describe(const problem *p, int pass, dnnl_alg_kind_t algorithm,
                                             dnnl_prop_kind_t kind) {
    dnnl_memory_desc_t l[TENSORS];
    dnnl_convolution_desc_t conv;
    dnnl_primitive_desc_t desc = NULL, hint = NULL;
    dnnl_dims_t strides = {0}, before = {0}, after = {0};
    dnnl_status_t status;
    strides[0] = strides[1] = p->s.stride;
    before[0] = before[1] = p->pad_before;
    after[0] = after[1] = p->pad_after;
    onednn_layouts(p, 0, l);
    if (pass != FORWARD) {
        hint = onednn_describe(p, FORWARD, algorithm, dnnl_forward_training);
        if (!hint) return NULL;
    }
    if (pass == FORWARD)
        status = dnnl_convolution_forward_desc_init(&conv, kind, algorithm, &l[INPUT], &l[WEIGHTS], &l[BIAS],
                                                    &l[OUTPUT], strides, before, after);
    else if (pass == BACKWARD_DATA)
        status = dnnl_convolution_backward_data_desc_init(&conv, algorithm, &l[INPUT], &l[WEIGHTS], &l[OUTPUT], strides,
                                                          before, after);
    else
        status = dnnl_convolution_backward_weights_desc_init(&conv, algorithm, &l[INPUT], &l[WEIGHTS], &l[BIAS],
                                                             &l[OUTPUT], strides, before, after);
    if (status == dnnl_success && dnnl_primitive_desc_create(&desc, &conv, NULL, engine, hint) != dnnl_success)
        desc = NULL;
    if (hint) onednn_must(dnnl_primitive_desc_destroy(hint));
    return desc;
}

static void onednn_copy(dnnl_memory_t from, dnnl_memory_t to) {
    const dnnl_memory_desc_t *from_layout, *to_layout;
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t arguments[2];
    onednn_must(dnnl_memory_get_memory_desc(from, &from_layout));
    onednn_must(dnnl_memory_get_memory_desc(to, &to_layout));
    onednn_must(dnnl_reorder_primitive_desc_create(&desc, from_layout, engine, to_layout, engine, NULL));
    onednn_must(dnnl_primitive_create(&primitive, desc));
    arguments[0].arg = DNNL_ARG_FROM, arguments[0].memory = from;
    arguments[1].arg = DNNL_ARG_TO, arguments[1].memory = to;
    onednn_run(primitive, 2, arguments);
    onednn_must(dnnl_primitive_destroy(primitive));
    onednn_must(dnnl_primitive_desc_destroy(desc));
}

/* Our tensors, copied into the layouts of the primitive. */
static void onednn_arguments(const problem *p, const_dnnl_primitive_desc_t desc, candidate *c) {
    dnnl_memory_desc_t plain[TENSORS];
    dnnl_memory_t ours;
    int i;
    onednn_layouts(p, 1, plain);
    for (i = 0; i < TENSORS; i++) {
        int role = roles[p->pass][i];
        c->arguments[i].arg = role;
        c->arguments[i].memory = NULL; /* the gradient by the input takes no bias */
        if (!role) continue;
        onednn_must(dnnl_memory_create(&c->arguments[i].memory,
                                       dnnl_primitive_desc_query_md(desc, dnnl_query_exec_arg_md, role), engine,
                                       DNNL_MEMORY_ALLOCATE));
        onednn_must(dnnl_memory_create(&ours, &plain[i], engine, p->tensors[i]));
        onednn_copy(ours, c->arguments[i].memory);
        onednn_must(dnnl_memory_destroy(ours));
    }
}

static void onednn_create(const problem *p) {
    int i;
    memset(candidates, 0, sizeof candidates);
    for (i = 0; i < ALGORITHMS && engine; i++) {
        candidate *c = &candidates[i];
        const char *name = NULL;
        dnnl_primitive_desc_t desc = onednn_describe(p, p->pass, algorithms[i], dnnl_forward_inference);
        if (!desc) continue;
        if (dnnl_primitive_create(&c->primitive, desc) == dnnl_success) {
            onednn_must(dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, (void *)&name));
            snprintf(c->name, sizeof c->name, "%s", name);
            onednn_arguments(p, desc, c);
        } else
            c->primitive = NULL;
        onednn_must(dnnl_primitive_desc_destroy(desc));
    }
}

static void onednn_destroy(void) {
    int i, j;
    for (i = 0; i < ALGORITHMS; i++) {
        if (!candidates[i].primitive) continue;
        for (j = 0; j < TENSORS; j++)
            if (candidates[i].arguments[j].memory) onednn_must(dnnl_memory_destroy(candidates[i].arguments[j].memory));
        onednn_must(dnnl_primitive_destroy(candidates[i].primitive));
    }
}

static int onednn_has(int algorithm) { return candidates[algorithm].primitive != NULL; }
static void onednn_execute(int algorithm) {
    onednn_run(candidates[algorithm].primitive, TENSORS, candidates[algorithm].arguments);
}

/* The largest difference of oneDNN's result from ours, beside the largest number. F(4x4) loses two or three digits of
   float's seven; another convolution would differ by about 1. */
static void onednn_check(const problem *p) {
    static const int results[PASSES] = {OUTPUT, INPUT, WEIGHTS};
    dnnl_memory_desc_t plain[TENSORS];
    int a, result = results[p->pass];
    size_t bytes, i;
    float *theirs;
    onednn_layouts(p, 1, plain);
    bytes = dnnl_memory_desc_get_size(&plain[result]);
    theirs = (float *)malloc(bytes);
    if (!theirs) fail("--check", "out of memory");
    for (a = 0; a < ALGORITHMS; a++) {
        dnnl_memory_t memory;
        double most = 0.0, difference = 0.0;
        if (!onednn_has(a)) continue;
        onednn_must(dnnl_memory_create(&memory, &plain[result], engine, theirs));
        onednn_copy(candidates[a].arguments[result].memory, memory);
        onednn_must(dnnl_memory_destroy(memory));
        for (i = 0; i < bytes / sizeof *theirs; i++) {
            double x = fabs((double)p->tensors[result][i]), d = fabs((double)theirs[i] - (double)p->tensors[result][i]);
            if (x > most) most = x;
            if (d > difference || d != d) difference = d; /* NaN stays */
        }
        candidates[a].difference = difference / most;
        if (!(difference <= 1e-4 * most)) fail(candidates[a].name, "its result is not ours");
    }
    free(theirs);
}

static void onednn_report(const problem *p, int algorithm, double ms) {
    static const char *const names[ALGORITHMS] = {"direct", "winograd"};
    const candidate *c = &candidates[algorithm];
    fprintf(stderr, "# %s %lux%lux%lux%lu->%lu %dx%d stride %d: %s (%s) %.4f ms, difference %.1e\n",
            pass_names[p->pass], (unsigned long)p->s.n, (unsigned long)p->s.c, (unsigned long)p->s.h,
            (unsigned long)p->s.w, (unsigned long)p->s.k, p->s.r, p->s.r, p->s.stride, names[algorithm], c->name, ms,
            c->difference);
}
#else
enum { HAS_ONEDNN = 0 };
static void onednn_start(ssde_tier tier, int threads) { (void)tier, (void)threads; }
static void onednn_create(const problem *p) { (void)p; }
static void onednn_destroy(void) {}
static int onednn_has(int algorithm) { return (void)algorithm, 0; }
static void onednn_execute(int algorithm) { (void)algorithm; }
static void onednn_check(const problem *p) { (void)p; }
static void onednn_report(const problem *p, int algorithm, double ms) { (void)p, (void)algorithm, (void)ms; }
#endif

/* ---- measuring ---- */

enum { OURS = ALGORITHMS, CONTENDERS, LEAST_REPETITIONS = 7, MOST_REPETITIONS = 51 };

/* The ratios of one pass. */
typedef struct summary {
    double logarithms, lowest, lowest_of_all;
    int count, count_of_all;
} summary;

typedef struct options {
    ssde_context context;
    shape only; /* n = 0: all */
    int pass;   /* -1: all */
    ssde_convolution convolution;
    int check;
    double peak;
    summary ratios[PASSES];
} options;

static double run_ours(const problem *p) {
    ssde_run *run = p->run;
    double start;
    ssdei_run_begin_backward(run);
    start = seconds();
    if (p->pass == FORWARD) ssdei_conv_forward(run, p->node);
    if (p->pass == BACKWARD_DATA) ssdei_conv_backward_input(run, p->node);
    if (p->pass == BACKWARD_WEIGHTS) ssdei_conv_backward_weights(run, p->node);
    return seconds() - start;
}

static double run_onednn(int algorithm) {
    double start = seconds();
    onednn_execute(algorithm);
    return seconds() - start;
}

/* Medians in ms, HUGE_VAL for what is missing, of repetitions in turn: half a second for each, after one to warm up. */
static void measure(const problem *p, int check, double medians[CONTENDERS]) {
    double times[CONTENDERS][MOST_REPETITIONS], totals[CONTENDERS] = {0}, least = 0.0;
    int count = -1, i;
    while (count < MOST_REPETITIONS && (count < LEAST_REPETITIONS || least < 0.5)) {
        least = HUGE_VAL;
        for (i = CONTENDERS - 1; i >= 0; i--) {
            double took = HUGE_VAL;
            if (i == OURS)
                took = run_ours(p);
            else if (onednn_has(i))
                took = run_onednn(i);
            if (count >= 0) totals[i] += times[i][count] = took;
            if (totals[i] < least) least = totals[i];
        }
        if (++count == 0 && check) onednn_check(p); /* later ones add to the gradients by the weights */
    }
    for (i = 0; i < CONTENDERS; i++) {
        qsort(times[i], (size_t)count, sizeof times[i][0], by_size);
        medians[i] = 1e3 * times[i][count / 2];
    }
}

static void add_ratio(summary *sum, const shape *s, double ratio) {
    int counts = s->r == 3 && s->stride == 1 && s->c >= 32 && s->k >= 32;
    if (!sum->count_of_all++ || ratio < sum->lowest_of_all) sum->lowest_of_all = ratio;
    if (!counts) return;
    if (!sum->count++ || ratio < sum->lowest) sum->lowest = ratio;
    sum->logarithms += log(ratio);
}

static void print_summary(const options *o) {
    int pass;
    for (pass = 0; pass < PASSES; pass++) {
        const summary *sum = &o->ratios[pass];
        if (sum->count)
            fprintf(stderr, "%s: ratio of %d shapes (3x3, stride 1, c and k >= 32): geometric mean %.3f, lowest %.3f\n",
                    pass_names[pass], sum->count, exp(sum->logarithms / sum->count), sum->lowest);
        if (sum->count_of_all)
            fprintf(stderr, "%s: lowest ratio of all %d shapes %.3f\n", pass_names[pass], sum->count_of_all,
                    sum->lowest_of_all);
    }
}

static void bench_pass(options *o, const problem *p) {
    const shape *s = &p->s;
    double medians[CONTENDERS], ms, theirs;
    double work = 2.0 * (double)(s->n * p->out_h * p->out_w * s->k * s->c) * s->r * s->r;
    int i;
    onednn_create(p);
    measure(p, o->check, medians);
    for (i = 0; i < ALGORITHMS; i++)
        if (o->check && onednn_has(i)) onednn_report(p, i, medians[i]);
    onednn_destroy();
    ms = medians[OURS];
    theirs = medians[DIRECT] < medians[WINOGRAD] ? medians[DIRECT] : medians[WINOGRAD];
    printf("%s,%lu,%lu,%lu,%lu,%lu,%d,%d,%s,%lu,%.4f,%.1f,%.1f,", pass_names[p->pass], (unsigned long)s->n,
           (unsigned long)s->c, (unsigned long)s->h, (unsigned long)s->w, (unsigned long)s->k, s->r, s->stride,
           ssde_tier_name(p->run->kernels->tier), (unsigned long)p->run->tasks, ms, work / ms * 1e-6,
           o->peak * (double)p->run->tasks);
    if (theirs < HUGE_VAL) {
        printf("%.4f,%.3f\n", theirs, theirs / ms);
        add_ratio(&o->ratios[p->pass], s, theirs / ms);
    } else
        printf(",\n");
    fflush(stdout);
}

/* The pass alone, without the run's copies in and out. */
static void bench_net(options *o, problem *p, ssde_net *net, int x, float *gradients) {
    ssde_context *context = &o->context;
    const ssdei_node *node = &net->nodes[p->node];
    float *weights = p->pass == BACKWARD_WEIGHTS ? gradients : net->weights;
    ssde_run_desc desc = ssde_run_defaults(p->pass == BACKWARD_WEIGHTS ? SSDE_RUN_TRAIN : SSDE_RUN_VJP, p->s.n);
    ssde_run *run;
    desc.convolution = o->convolution;
    desc.context = context;
    must(context, ssde_run_create(&run, net, &desc));
    run->rows = p->s.n;
    run->weight_gradients = gradients;
    p->run = run;
    p->tensors[INPUT] = p->pass == BACKWARD_DATA ? ssdei_gradient(run, x) : ssdei_value(run, x);
    p->tensors[WEIGHTS] = weights + net->parameters[node->parameter].offset;
    p->tensors[BIAS] = weights + net->parameters[node->parameter + 1].offset;
    p->tensors[OUTPUT] = p->pass == FORWARD ? ssdei_value(run, p->node) : ssdei_gradient(run, p->node);
    must(context,
         ssde_random_normal(context, 1, SSDE_STREAM_USER, 0, NULL, p->s.n, net->nodes[x].count, ssdei_value(run, x)));
    if (p->pass != FORWARD)
        must(context, ssde_random_normal(context, 2, SSDE_STREAM_USER, 0, NULL, p->s.n, node->count,
                                         ssdei_gradient(run, p->node)));
    bench_pass(o, p);
    ssde_run_destroy(run);
}

/* A network of one convolution. */
static void bench_shape(options *o, const shape *s) {
    ssde_net *net;
    ssde_conv_desc conv = ssde_conv(s->k, s->r);
    problem p;
    float *gradients;
    int x;
    memset(&p, 0, sizeof p);
    must(&o->context, ssde_net_create(&o->context, &net, 1));
    x = ssde_input(net, s->h, s->w, s->c);
    conv.stride = s->stride;
    if (s->stride == 2) conv.pad_before = 0;
    p.node = ssde_conv2d(net, x, &conv, "conv");
    must(&o->context, ssde_net_finish(net, p.node));
    p.s = *s;
    p.out_h = net->nodes[p.node].shape[0];
    p.out_w = net->nodes[p.node].shape[1];
    p.pad_before = conv.pad_before;
    p.pad_after = conv.pad_after;
    gradients = (float *)calloc(net->weight_count, sizeof *gradients);
    if (!gradients) fail("gradients", "out of memory");
    for (p.pass = 0; p.pass < PASSES; p.pass++)
        if (o->pass < 0 || o->pass == p.pass) bench_net(o, &p, net, x, gradients);
    free(gradients);
    ssde_net_destroy(net);
}

/* ---- options ---- */

static int read_shape(const char *text, shape *s) {
    int numbers[7];
    if (!read_numbers(text, 7, numbers) || (numbers[5] != 1 && numbers[5] != 3) || numbers[6] > 2) return 0;
    s->n = (size_t)numbers[0], s->c = (size_t)numbers[1], s->h = (size_t)numbers[2], s->w = (size_t)numbers[3];
    s->k = (size_t)numbers[4], s->r = numbers[5], s->stride = numbers[6];
    return 1;
}

static void read_option(const char *name, const char *value, options *o) {
    static const char *const convolutions[] = {"auto", "direct", "winograd"};
    if (!strcmp(name, "--threads")) {
        if (!read_numbers(value, 1, &o->context.threads)) fail(name, "a number of at least 1");
    } else if (!strcmp(name, "--tier")) {
        if (!read_tier(value, &o->context)) fail(name, "scalar, neon, avx2 or avx512, one that this machine has");
    } else if (!strcmp(name, "--shape")) {
        if (!read_shape(value, &o->only)) fail(name, "n,c,h,w,k,r,stride, with r 1 or 3 and stride 1 or 2");
    } else if (!strcmp(name, "--pass")) {
        o->pass = read_name(value, pass_names, PASSES);
        if (o->pass == PASSES) fail(name, "forward, backward_data or backward_weights");
    } else if (!strcmp(name, "--convolution")) {
        o->convolution = (ssde_convolution)read_name(value, convolutions, 3);
        if ((int)o->convolution == 3) fail(name, "auto, direct or winograd");
    } else
        fail(name, "no such option; see the top of bench/conv.c");
}

int main(int argc, char **argv) {
    options o;
    size_t i;
    int argument;
    memset(&o, 0, sizeof o);
    o.context.threads = 1;
    o.pass = -1;
    for (argument = 1; argument < argc; argument++) {
        if (!strcmp(argv[argument], "--check"))
            o.check = 1;
        else {
            read_option(argv[argument], argument + 1 < argc ? argv[argument + 1] : "", &o);
            argument++;
        }
    }
    if (o.check && !HAS_ONEDNN) fail("--check", "needs -DBENCH_ONEDNN");
    use_threads(&o.context);
    onednn_start(ssde_tier_used(&o.context), o.context.threads);
    o.peak = measure_peak(ssdei_kernels_for(&o.context));
    printf("pass,n,c,h,w,k,r,stride,tier,threads,ms,gflops,peak_gflops,onednn_ms,ratio\n");
    if (o.only.n) bench_shape(&o, &o.only);
    for (i = 0; !o.only.n && i < sizeof shapes / sizeof *shapes; i++) bench_shape(&o, &shapes[i]);
    print_summary(&o);
    return 0;
}
