/* Speed and memory of whole networks beside the machine's own peak, as CSV:

       cc -O2 bench/network.c -o network -lm && ./network

   network,pass,batch,tier,threads,ms,images_per_s,gflops,peak_gflops,peak_rss_mb
   forward: the network in inference; vjp: forward and backward to the input; train: perturb, forward, backward, clip,
   Adam, EMA. ms is the median of the repetitions, one more before them to warm up. gflops counts every convolution,
   linear layer and attention product as direct, two operations per multiply-add: F forward, 2 F for vjp, 3 F for
   train. peak_gflops is the median over bursts between the repetitions, on one thread, times the threads. peak_rss_mb
   is the most memory that the process had, weights included.

   Without --pass the program starts itself once for each pass (and network), so that every line has a process of its
   own.

   Options: --network ddpmpp_cifar10|ncsnpp_cifar10|ddpm_cifar10|ddpmpp_small|ncsnv2_cifar10
                      ncsnpp_1024    1024 x 1024; by name only, best with --batch 1
            --pass forward|vjp|train
            --batch N              8
            --tier scalar|neon|avx2|avx512     the best one that the machine has
            --threads N            1; more need -fopenmp
            --operations 1         the time of each kind of operation, to standard error, instead of CSV */
#define SCORESDE_KEEP_MACROS
#define SCORESDE_IMPLEMENTATION
#include "../scoresde_nn.h"

#include "measure.h"
#ifndef _WIN32
#include <sys/resource.h>
#endif

enum { FORWARD, VJP, TRAIN, PASSES };
static const char *const pass_names[PASSES] = {"forward", "vjp", "train"};

enum { DDPMPP_CIFAR10, NCSNPP_CIFAR10, DDPM_CIFAR10, DDPMPP_SMALL, NCSNV2_CIFAR10, NCSNPP_1024, NETWORKS };
static const char *const network_names[NETWORKS] = {"ddpmpp_cifar10", "ncsnpp_cifar10", "ddpm_cifar10",
                                                    "ddpmpp_small",   "ncsnv2_cifar10", "ncsnpp_1024"};

enum { LEAST_REPETITIONS = 5, MOST_REPETITIONS = 51 };

typedef struct options {
    ssde_context context;
    int network, pass; /* as many as there are: all */
    int batch;
    int operations;
} options;

/* In MB of 10^6 bytes; 0 where unknown. */
static double peak_memory(void) {
#if defined(_WIN32)
    return 0.0;
#else
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage)) return 0.0;
#ifdef __APPLE__
    return (double)usage.ru_maxrss * 1e-6;
#else
    return (double)usage.ru_maxrss * 1024e-6;
#endif
#endif
}

/* Operations of one sample's forward pass, with every product taken directly. */
static double forward_work(const ssde_net *net) {
    double work = 0.0;
    int i;
    for (i = 0; i < net->node_count; i++) {
        const ssdei_node *node = &net->nodes[i];
        double pixels = (double)(node->shape[0] * node->shape[1]), channels = (double)node->shape[2];
        if (node->operation == SSDEI_OPERATION_conv)
            work += 2.0 * pixels * channels * (double)net->nodes[node->input[0]].shape[2] * node->kernel * node->kernel;
        if (node->operation == SSDEI_OPERATION_attention)
            work += 4.0 * pixels * channels * (double)net->nodes[node->input[1]].count / channels;
    }
    return work;
}

/* 28 x 28 x 1, 1.3M parameters. */
static ssde_unet_desc describe_small(void) {
    ssde_unet_desc desc = ssde_ddpmpp(28, 28, 1);
    desc.nf = 32;
    desc.num_levels = 3;
    desc.num_res_blocks = 1;
    desc.attn_resolutions[0] = 7;
    return desc;
}

/* The reference's configs/ve/ffhq_ncsnpp_continuous.py. */
static ssde_unet_desc describe_1024(void) {
    static const int ch_mult[8] = {1, 2, 4, 8, 16, 32, 32, 32};
    ssde_unet_desc desc = ssde_ncsnpp(1024, 1024, 3);
    int i;
    desc.nf = 16;
    desc.num_levels = 8;
    for (i = 0; i < 8; i++) desc.ch_mult[i] = ch_mult[i];
    desc.num_res_blocks = 1;
    desc.progressive = SSDE_OUTPUT_SKIP;
    desc.progressive_input = SSDE_INPUT_SKIP;
    desc.dropout = 0.0;
    return desc;
}

static ssde_unet_desc describe(int network) {
    switch (network) {
        case NCSNPP_CIFAR10: return ssde_ncsnpp(32, 32, 3);
        case DDPM_CIFAR10: return ssde_ddpm(32, 32, 3);
        case DDPMPP_SMALL: return describe_small();
        case NCSNPP_1024: return describe_1024();
        default: return ssde_ddpmpp(32, 32, 3);
    }
}

/* ---- one pass ---- */

typedef struct problem {
    ssde_net *net;
    ssde_run *run;         /* of forward and vjp */
    ssde_trainer *trainer; /* of train */
    size_t rows;
    float *x, *label, *sigma, *out;
    const float *gradient;
} problem;

static void run_pass(options *o, const problem *p) {
    if (o->pass == TRAIN) {
        ssde_batch batch = ssde_batch_of(p->x, p->rows);
        must(&o->context, ssde_train_step(p->trainer, &batch, NULL));
        return;
    }
    must(&o->context, ssde_run_forward(p->run, p->x, p->label, p->sigma, p->rows, 0, 0, NULL, p->out));
    if (o->pass == VJP) must(&o->context, ssde_run_backward(p->run, p->gradient, p->out, NULL));
}

/* Creates the network, and says what trains it. */
static ssde_net *create(options *o, ssde_sde *sde, ssde_train_desc *train) {
    ssde_context *context = &o->context;
    ssde_net *net;
    if (o->network == NCSNV2_CIFAR10) {
        ssde_refinenet_desc shape;
        must(context, ssde_refinenet_configuration(context, "ve/ncsnv2/cifar10", &shape, sde, train));
        must(context, ssde_refinenet_create(&net, &shape));
    } else {
        ssde_unet_desc shape = describe(o->network);
        shape.context = context;
        must(context, ssde_unet_create(&net, &shape));
        *sde = shape.scale_by_sigma ? ssde_ve(0.01, 50.0) : ssde_vp(0.1, 20.0);
        *train = ssde_train_defaults(sde, 0);
    }
    train->batch = (size_t)o->batch;
    train->context = context;
    return net;
}

static void prepare(options *o, problem *p) {
    ssde_context *context = &o->context;
    ssde_train_desc train;
    ssde_sde sde;
    size_t count, i;
    p->net = create(o, &sde, &train);
    p->rows = (size_t)o->batch;
    count = p->rows * ssde_net_dim(p->net);
    p->x = (float *)malloc(count * sizeof(float));
    p->out = (float *)malloc(count * sizeof(float));
    p->label = (float *)malloc(p->rows * sizeof(float));
    p->sigma = (float *)malloc(p->rows * sizeof(float));
    if (!p->x || !p->out || !p->label || !p->sigma) fail("images", "out of memory");
    must(context, ssde_random_normal(context, 1, SSDE_STREAM_USER, 0, NULL, p->rows, ssde_net_dim(p->net), p->x));
    for (i = 0; i < p->rows; i++) p->label[i] = p->sigma[i] = 0.5f;
    p->gradient = p->x;
    if (o->pass == TRAIN) {
        must(context, ssde_trainer_create(&p->trainer, p->net, &sde, &train));
    } else {
        ssde_run_desc desc = ssde_run_defaults(o->pass == VJP ? SSDE_RUN_VJP : SSDE_RUN_INFERENCE, p->rows);
        desc.context = context;
        must(context, ssde_run_create(&p->run, p->net, &desc));
    }
}

static void release(problem *p) {
    ssde_run_destroy(p->run);
    ssde_trainer_destroy(p->trainer);
    ssde_net_destroy(p->net);
    free(p->x);
    free(p->out);
    free(p->label);
    free(p->sigma);
}

static double median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, by_size);
    return values[count / 2];
}

static void bench_pass(options *o) {
    const ssdei_kernels *kernels = ssdei_kernels_for(&o->context);
    double times[MOST_REPETITIONS], peaks[MOST_REPETITIONS], total = 0.0, s, work;
    int count;
    problem p;
    memset(&p, 0, sizeof p);
    prepare(o, &p);
    run_pass(o, &p);
    for (count = 0; count < MOST_REPETITIONS && (count < LEAST_REPETITIONS || total < 3.0); count++) {
        double start = seconds();
        run_pass(o, &p);
        total += times[count] = seconds() - start;
        peaks[count] = measure_peak(kernels);
    }
    s = median(times, count);
    work = forward_work(p.net) * (o->pass + 1) * o->batch;
    printf("%s,%s,%d,%s,%d,%.2f,%.3f,%.1f,%.1f,%.0f\n", network_names[o->network], pass_names[o->pass], o->batch,
           ssde_tier_name(kernels->tier), o->context.threads, 1e3 * s, o->batch / s, work / s * 1e-9,
           median(peaks, count) * o->context.threads, peak_memory());
    release(&p);
}

/* ---- operation by operation ---- */

#define OPERATION_NAME(name, plan, forward, backward, tangent) #name,
static const char *const operation_names[] = {SSDEI_OPERATIONS(OPERATION_NAME)};
#undef OPERATION_NAME

/* Convolutions by kernel, as Winograd's or direct; everything else by its name. */
static const char *kind_name(const ssde_run *run, int index) {
    const ssdei_node *node = &run->net->nodes[index];
    if (node->operation != SSDEI_OPERATION_conv) return operation_names[node->operation];
    if (node->kernel == 1) return node->count == node->shape[2] ? "linear" : "conv 1x1";
    return run->steps[index].gathers[SSDEI_FORWARD]->winograd ? "conv 3x3 winograd" : "conv 3x3 direct";
}

typedef struct kind {
    const char *name;
    double seconds[2], work; /* forward and backward; of one forward pass */
} kind;

enum { MOST_KINDS = SSDEI_OPERATION_COUNT + 4 };

static void add_time(kind *kinds, const char *name, int direction, double took, double work) {
    int i = 0;
    while (i < MOST_KINDS - 1 && kinds[i].name && strcmp(kinds[i].name, name)) i++;
    kinds[i].name = name;
    kinds[i].seconds[direction] += took;
    kinds[i].work += work;
}

/* The loops of ssde_run_forward and ssde_run_backward, with a clock around each node. */
static void time_nodes(ssde_run *run, kind *kinds, int backward, double rows) {
    const ssde_net *net = run->net;
    int i;
    for (i = 0; i < net->node_count; i++) {
        const ssdei_node *node = &net->nodes[i];
        double work = 0.0, start = seconds();
        if (run->steps[i].idle) continue;
        ssdei_operations[node->operation].forward(run, i);
        if (node->operation == SSDEI_OPERATION_conv)
            work = 2.0 * rows * (double)node->count * (double)net->nodes[node->input[0]].shape[2] * node->kernel *
                   node->kernel;
        add_time(kinds, kind_name(run, i), 0, seconds() - start, work);
    }
    ssdei_run_begin_backward(run);
    run->steps[net->output].written = run->steps[net->output].needs;
    for (i = net->node_count - 1; backward && i >= 0; i--) {
        double start = seconds();
        if (run->steps[i].written) ssdei_operations[net->nodes[i].operation].backward(run, i);
        add_time(kinds, kind_name(run, i), 1, seconds() - start, 0.0);
    }
}

static void bench_operations(options *o) {
    kind kinds[MOST_KINDS];
    problem p;
    ssde_run *run;
    double start, whole;
    int i;
    memset(&p, 0, sizeof p);
    memset(kinds, 0, sizeof kinds);
    prepare(o, &p);
    run_pass(o, &p);
    start = seconds();
    run_pass(o, &p);
    whole = seconds() - start;
    run = o->pass == TRAIN ? p.trainer->run : p.run;
    run->rows = p.rows;
    if (o->pass != FORWARD) memset(ssdei_gradient(run, p.net->output), 0, p.rows * ssde_net_dim(p.net) * sizeof(float));
    time_nodes(run, kinds, o->pass != FORWARD, (double)p.rows);
    fprintf(stderr, "# %s %s, batch %d: %.1f ms\n", network_names[o->network], pass_names[o->pass], o->batch,
            1e3 * whole);
    for (i = 0; i < MOST_KINDS && kinds[i].name; i++)
        fprintf(stderr, "#   %-18s forward %8.1f ms (%6.1f gflops), backward %8.1f ms\n", kinds[i].name,
                1e3 * kinds[i].seconds[0], kinds[i].work / kinds[i].seconds[0] * 1e-9, 1e3 * kinds[i].seconds[1]);
    release(&p);
}

/* ---- options ---- */

static int read_number(const char *name, const char *text) {
    int number;
    if (!read_numbers(text, 1, &number)) fail(name, "a number of at least 1");
    return number;
}

static int read_flag(const char *name, const char *text) {
    if (strcmp(text, "0") && strcmp(text, "1")) fail(name, "0 or 1");
    return text[0] == '1';
}

static void read_option(const char *name, const char *value, options *o) {
    if (!strcmp(name, "--network")) {
        o->network = read_name(value, network_names, NETWORKS);
        if (o->network == NETWORKS) fail(name, "no such network; see the top of bench/network.c");
    } else if (!strcmp(name, "--pass")) {
        o->pass = read_name(value, pass_names, PASSES);
        if (o->pass == PASSES) fail(name, "forward, vjp or train");
    } else if (!strcmp(name, "--batch")) {
        o->batch = read_number(name, value);
    } else if (!strcmp(name, "--threads")) {
        o->context.threads = read_number(name, value);
    } else if (!strcmp(name, "--tier")) {
        if (!read_tier(value, &o->context)) fail(name, "scalar, neon, avx2 or avx512, one that this machine has");
    } else if (!strcmp(name, "--operations")) {
        o->operations = read_flag(name, value);
    } else
        fail(name, "no such option; see the top of bench/network.c");
}

/* A process for one pass of one network, with the other options as they are. */
static void start_process(const char *program, const options *o, int network, int pass) {
    char command[1024];
    int length = snprintf(command, sizeof command,
                          "\"%s\" --header 0 --network %s --pass %s --batch %d --threads %d --tier %s "
                          "--operations %d",
                          program, network_names[network], pass_names[pass], o->batch, o->context.threads,
                          ssde_tier_name(ssde_tier_used(&o->context)), o->operations);
    if (length < 0 || (size_t)length >= sizeof command) fail(program, "its path is too long");
    if (system(command)) fail(command, "ended badly");
}

int main(int argc, char **argv) {
    options o;
    int argument, network, pass, header = 1;
    memset(&o, 0, sizeof o);
    o.context.threads = 1;
    o.batch = 8;
    o.network = NETWORKS;
    o.pass = PASSES;
    for (argument = 1; argument < argc; argument += 2) {
        const char *value = argument + 1 < argc ? argv[argument + 1] : "";
        if (!strcmp(argv[argument], "--header"))
            header = read_flag("--header", value); /* 0: in the processes that the program starts */
        else
            read_option(argv[argument], value, &o);
    }
    use_threads(&o.context);
    if (header) {
        printf("network,pass,batch,tier,threads,ms,images_per_s,gflops,peak_gflops,peak_rss_mb\n");
        fflush(stdout);
    }
    if (o.network < NETWORKS && o.pass < PASSES) {
        if (o.operations)
            bench_operations(&o);
        else
            bench_pass(&o);
        return 0;
    }
    for (network = 0; network < NETWORKS; network++)
        for (pass = 0; pass < PASSES; pass++)
            if ((o.network == NETWORKS ? network != NCSNPP_1024 : o.network == network) &&
                (o.pass == PASSES || o.pass == pass))
                start_process(argv[0], &o, network, pass);
    return 0;
}
