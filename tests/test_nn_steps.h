/* Tests of what every step of a run says it needs: networks of each operation alone, step by step, where a step may
   read and write what its plan wrote down and finds NaN everywhere else. */
#ifndef TEST_NN_STEPS_H
#define TEST_NN_STEPS_H

#include "check.h"
#include "test_nn.h"

enum { STEP_ROWS = 3, STEP_TASKS = 2, STEP_GUARD = 64 };

typedef struct step_data {
    float *x, *v, *out, *gradient; /* [rows, dim], [rows, output_dim] twice, whatever the mode derives */
    float label[STEP_ROWS], sigma[STEP_ROWS];
} step_data;

/* A run whose every piece has a place of its own, and floats behind it that nobody owns. */
typedef struct guarded {
    ssde_run *run;
    float *kept, *before; /* the arena before a step, whole and with what the step may not read as NaN */
    unsigned char *may;   /* it may write here */
    size_t next;
} guarded;

static size_t guarded_place(guarded *g, size_t floats) {
    size_t at = g->next;
    g->next = (at + floats + STEP_GUARD + 15) / 16 * 16;
    return at;
}

/* Without a change of the plan but for the places. */
static void guarded_open(guarded *g, ssde_run *run) {
    size_t nodes = (size_t)run->net->node_count, workspace = 0, sums = 0, shared = 0, zeros, i;
    int d;
    memset(g, 0, sizeof *g);
    for (i = 0; i < nodes; i++) {
        ssdei_step *step = &run->steps[i];
        size_t floats = run->max_rows * run->net->nodes[i].count;
        step->value = guarded_place(g, floats);
        if (step->gradient != SSDEI_NOWHERE) step->gradient = guarded_place(g, floats);
        if (step->saved != SSDEI_NOWHERE) step->saved = guarded_place(g, run->max_rows * step->saved_floats);
        if (step->value_again != SSDEI_NOWHERE) step->value_again = guarded_place(g, floats);
        for (d = SSDEI_FORWARD; d <= SSDEI_BACKWARD; d++) {
            size_t packed = ssdei_plan_packed_floats(step, d);
            if (step->packed[d] == SSDEI_SHARED) shared = ssdei_max(shared, packed);
            if (step->packed[d] < SSDEI_SHARED) step->packed[d] = guarded_place(g, packed);
        }
        workspace = ssdei_max(workspace, step->workspace);
        sums = ssdei_max(sums, step->sums);
        shared = ssdei_max(shared, step->shared_floats);
    }
    zeros = run->workspace - run->zeros;
    run->zeros = guarded_place(g, zeros);
    run->sums = guarded_place(g, sums * sizeof(double) / sizeof(float));
    run->packed_shared = guarded_place(g, shared);
    run->workspace = guarded_place(g, 0);
    run->task_floats = (workspace + STEP_GUARD + 15) / 16 * 16;
    g->next += run->tasks * run->task_floats;
    /* a step that writes too much is to be reported, not to crash */
    g->run = run = nn_with_arena(run, ssdei_max(run->arena_floats, g->next + g->next / 4));
    g->kept = (float *)malloc(2 * run->arena_floats * sizeof *g->kept);
    g->before = g->kept + run->arena_floats;
    g->may = (unsigned char *)malloc(run->arena_floats);
    for (i = 0; i < run->arena_floats; i++) run->arena[i] = NAN;
    memset(run->arena + run->zeros, 0, zeros * sizeof *run->arena);
}

/* Gives the inputs, and no step has run. */
static void guarded_give(guarded *g, const step_data *data) {
    ssde_run *run = g->run;
    const ssde_net *net = run->net;
    CHECK_OK(ssde_run_set_classes(run, NULL, 0));
    run->rows = STEP_ROWS;
    run->seed = 3;
    run->step = 4;
    memcpy(ssdei_value(run, net->input), data->x, STEP_ROWS * ssde_net_dim(net) * sizeof *data->x);
    if (net->label >= 0) memcpy(ssdei_value(run, net->label), data->label, sizeof data->label);
    if (net->sigma >= 0) memcpy(ssdei_value(run, net->sigma), data->sigma, sizeof data->sigma);
}

static void guarded_close(guarded *g) {
    free(g->kept);
    free(g->may);
    ssde_run_destroy(g->run);
}

/* The step may write there; what it finds is NaN, or what is there. */
static void guarded_allow(guarded *g, size_t at, size_t floats, int keep) {
    size_t i;
    if (at >= SSDEI_SHARED) return;
    memset(g->may + at, 1, floats);
    for (i = 0; i < floats && !keep; i++) g->run->arena[at + i] = NAN;
}

/* Whether a step reads a node's value, and what is saved with it. */
static int guarded_reads(const ssde_run *run, int index, int backward, int of) {
    const ssdei_node *node = &run->net->nodes[index];
    int i;
    for (i = 0; i < 3; i++) {
        int input = node->input[i];
        if (input < 0) continue;
        if (!backward && input == of) return 1;
        if (!backward || run->steps[index].reads[i] == SSDEI_UNREAD) continue;
        if (run->steps[input].value_again == SSDEI_NOWHERE || run->steps[index].reads[i] == SSDEI_READ) {
            if (input == of) return 1;
        } else if (run->net->nodes[input].input[0] == of)
            return 1;
    }
    return 0;
}

/* NaN in all values that the step does not read. */
static void guarded_hide(guarded *g, int index, int backward) {
    ssde_run *run = g->run;
    size_t floats, k;
    int i;
    for (i = 0; i < run->net->node_count; i++) {
        floats = guarded_reads(run, index, backward, i) ? 0 : run->max_rows * run->net->nodes[i].count;
        for (k = 0; k < floats; k++) run->arena[run->steps[i].value + k] = NAN;
    }
}

static void guarded_allow_step(guarded *g, int index, int backward) {
    ssde_run *run = g->run;
    const ssdei_step *step = &run->steps[index];
    const ssdei_node *node = &run->net->nodes[index];
    size_t task, packed = ssdei_plan_packed_floats(step, backward);
    int i;
    memset(g->may, 0, run->arena_floats);
    for (task = 0; task < run->tasks; task++)
        guarded_allow(g, run->workspace + task * run->task_floats, step->workspace, 0);
    guarded_allow(g, step->packed[backward] == SSDEI_SHARED ? run->packed_shared : step->packed[backward],
                  step->packed[backward] == SSDEI_NOWHERE ? 0 : packed, 0);
    if (!backward) {
        if (node->input[0] >= 0) guarded_allow(g, step->value, run->rows * node->count, 0); /* else it is given */
        if (step->saved_floats) guarded_allow(g, step->saved, run->rows * step->saved_floats, 0);
        return;
    }
    guarded_allow(g, run->sums, step->sums * sizeof(double) / sizeof(float), 0);
    guarded_allow(g, run->packed_shared, step->shared_floats, 0);
    guarded_allow(g, step->gradient, run->rows * node->count, 1);
    for (i = 0; i < 3; i++) {
        const ssdei_step *input = node->input[i] >= 0 ? &run->steps[node->input[i]] : NULL;
        size_t floats = input ? run->rows * run->net->nodes[node->input[i]].count : 0;
        if (input && input->needs) guarded_allow(g, input->gradient, floats, 1);
        if (input && step->reads[i] == SSDEI_READ_AGAIN) guarded_allow(g, input->value_again, floats, input->restored);
    }
}

/* One step, after which only what it may write has changed. */
static void guarded_step(guarded *g, int index, int backward, const char *what) {
    ssde_run *run = g->run;
    const ssdei_node *node = &run->net->nodes[index];
    size_t bytes = run->arena_floats * sizeof(float), i, wrong = 0, first = 0;
    uint32_t bits[2];
    run->steps[index].packed_version[backward] = 0;
    memcpy(g->kept, run->arena, bytes);
    guarded_hide(g, index, backward);
    guarded_allow_step(g, index, backward);
    memcpy(g->before, run->arena, bytes);
    if (backward)
        ssdei_operations[node->operation].backward(run, index);
    else
        ssdei_operations[node->operation].forward(run, index);
    for (i = 0; i < run->arena_floats; i++) {
        if (g->may[i]) continue;
        memcpy(bits, &run->arena[i], sizeof(float));
        memcpy(bits + 1, &g->before[i], sizeof(float));
        if (bits[0] != bits[1] && !wrong++) first = i;
        run->arena[i] = g->kept[i];
    }
    check_count++;
    if (wrong)
        check_report(__FILE__, __LINE__, "%s: step %d, %s: wrote %lu floats that are not its own, the first at %lu",
                     what, index, backward ? "backward" : "forward", (unsigned long)wrong, (unsigned long)first);
}

/* Forward, and backward as far as the mode goes. */
static void step_pass(ssde_run *run, const step_data *data, float *out, float *gradient) {
    CHECK_OK(ssde_run_forward(run, data->x, data->label, data->sigma, STEP_ROWS, 3, 4, NULL, out));
    if (run->mode == SSDE_RUN_VJP) CHECK_OK(ssde_run_backward(run, data->v, gradient, NULL));
    if (run->mode == SSDE_RUN_TRAIN) CHECK_OK(ssde_run_backward(run, data->v, NULL, gradient));
}

/* The same step by step. */
static void guarded_pass(guarded *g, const step_data *data, const char *what, float *out, float *gradient) {
    ssde_run *run = g->run;
    const ssde_net *net = run->net;
    int i;
    guarded_give(g, data);
    for (i = 0; i < net->node_count; i++) guarded_step(g, i, 0, what);
    memcpy(out, ssdei_value(run, net->output), STEP_ROWS * ssde_net_output_dim(net) * sizeof *out);
    if (run->mode == SSDE_RUN_INFERENCE || !run->steps[net->output].needs) return;
    ssdei_run_begin_backward(run);
    run->weight_gradients = run->mode == SSDE_RUN_TRAIN ? gradient : NULL;
    memcpy(ssdei_gradient(run, net->output), data->v, STEP_ROWS * ssde_net_output_dim(net) * sizeof *out);
    run->steps[net->output].written = 1;
    for (i = net->node_count - 1; i >= 0; i--)
        if (run->steps[i].written) guarded_step(g, i, 1, what);
    if (run->mode == SSDE_RUN_VJP)
        memcpy(gradient, ssdei_gradient(run, net->input), STEP_ROWS * ssde_net_dim(net) * sizeof *gradient);
}

/* Every mode, packed weights kept and not: the guarded run and an ordinary one agree bit for bit. */
static void steps_check(const ssde_net *net, ssde_context *context, ssde_convolution convolution, const char *what) {
    size_t dim = STEP_ROWS * ssde_net_dim(net), output = STEP_ROWS * ssde_net_output_dim(net), i;
    size_t derived = ssdei_max(dim, ssde_net_weight_count(net));
    float *buffer = (float *)malloc((dim + 3 * output + 2 * derived) * sizeof *buffer), *again, *gradient_again;
    step_data data;
    unsigned long fails;
    int mode, skip;
    data.x = buffer;
    data.v = data.x + dim;
    data.out = data.v + output;
    again = data.out + output;
    data.gradient = again + output;
    gradient_again = data.gradient + derived;
    oracle_normals(1, 1.0, dim, data.x);
    oracle_normals(2, 1.0, output, data.v);
    for (i = 0; i < STEP_ROWS; i++) data.label[i] = data.sigma[i] = 0.5f + (float)i;
    for (mode = SSDE_RUN_INFERENCE; mode <= SSDE_RUN_TRAIN; mode++) {
        for (skip = 0; skip < (mode == SSDE_RUN_TRAIN ? 1 : 2); skip++) {
            ssde_run_desc desc;
            ssde_run *run = NULL, *other = NULL;
            guarded g;
            memset(&desc, 0, sizeof desc);
            desc.context = context;
            desc.mode = (ssde_run_mode)mode;
            desc.max_rows = STEP_ROWS;
            desc.skip_weight_cache = skip;
            desc.convolution = convolution;
            CHECK_OK(ssde_run_create(&run, net, &desc));
            CHECK_OK(ssde_run_create(&other, net, &desc));
            if (!run || !other) continue;
            memset(data.gradient, 0, 2 * derived * sizeof *data.gradient);
            fails = check_fails;
            guarded_open(&g, other);
            guarded_pass(&g, &data, what, again, gradient_again);
            guarded_close(&g);
            if (check_fails == fails) step_pass(run, &data, data.out, data.gradient);
            for (i = 0; i < output && check_fails == fails; i++)
                if (!(fabsf(data.out[i]) <= FLT_MAX)) break;
            CHECK(i == output || check_fails > fails);
            CHECK_SAME(again, data.out, output * sizeof *again);
            CHECK_SAME(gradient_again, data.gradient, derived * sizeof *again);
            ssde_run_destroy(run);
        }
    }
    free(buffer);
}

/* ---- networks of one operation ---- */

static ssde_node steps_conv(ssde_net *net, ssde_node x, size_t channels, int kernel, int stride, ssde_node residual) {
    ssde_conv_desc desc = ssde_conv(channels, kernel);
    desc.stride = stride;
    desc.residual = residual;
    desc.scale = 0.75;
    return ssde_conv2d(net, x, &desc, "conv");
}

/* One value per channel, with a derivative or without. */
static ssde_node steps_vector(ssde_net *net, ssde_node x, size_t channels, int behind) {
    return behind ? ssde_linear(net, ssde_mean_pixels(net, x), channels, 1.0, "vector")
                  : ssde_positional_embedding(net, ssde_input_label(net), channels);
}

/* The operation in form 0, 1, ...; -1 where there is no such form. `behind` another that has weights, so that training
   differentiates it. */
static ssde_node steps_operation(ssde_net *net, int operation, int form, int behind) {
    static const size_t convs[][6] = {/* height, width, channels in and out, kernel, stride */
                                      {9, 8, 40, 40, 1, 1},   {19, 21, 40, 40, 3, 1}, {19, 21, 3, 5, 3, 1},
                                      {19, 21, 40, 24, 3, 2}, {10, 9, 250, 70, 1, 1}, {9, 8, 40, 40, 3, 1}};
    static const double fir[4] = {1.0, 3.0, 3.0, 1.0};
    static const int forms[SSDEI_OPERATION_COUNT] = {1, 6, 3, 2, 1, 2, 2, 1, 1, 3, 1, 1, 1, 1, 1, 1};
    int conv = operation == SSDEI_OPERATION_conv;
    size_t channels = conv && form < 6 ? convs[form][2] : 40;
    ssde_node x;
    if (form >= forms[operation]) return -1;
    x = conv ? ssde_input(net, convs[form][0], convs[form][1], channels) : ssde_input(net, 8, 10, channels);
    if (behind) {
        ssde_conv_desc front = ssde_conv(channels, 1);
        x = ssde_conv2d(net, x, &front, "front");
    }
    switch (operation) {
        case SSDEI_OPERATION_input: return x;
        case SSDEI_OPERATION_conv:
            return steps_conv(net, x, convs[form][3], (int)convs[form][4], (int)convs[form][5],
                              form == 0   ? x
                              : form == 5 ? steps_vector(net, x, convs[form][3], behind)
                                          : -1);
        case SSDEI_OPERATION_activate:
            return ssde_activate(net, x, form == 0 ? SSDE_SILU : form == 1 ? SSDE_IDENTITY : SSDE_SOFTPLUS);
        case SSDEI_OPERATION_group_norm: return ssde_group_norm(net, x, 8, form ? SSDE_SILU : SSDE_IDENTITY, "norm");
        case SSDEI_OPERATION_attention: return ssde_attention(net, x, x, x);
        case SSDEI_OPERATION_add:
            return ssde_add_scaled(net, x, form ? steps_vector(net, x, channels, behind) : x, 0.5);
        case SSDEI_OPERATION_concat: return ssde_concat(net, x, form ? steps_vector(net, x, 48, behind) : x);
        case SSDEI_OPERATION_affine: return ssde_affine_map(net, x, 2.0, 0.5);
        case SSDEI_OPERATION_dropout: return ssde_dropout(net, x, 0.25);
        case SSDEI_OPERATION_resample:
            return form == 0   ? ssde_upsample_nearest(net, x)
                   : form == 1 ? ssde_average_pool(net, x)
                               : ssde_fir(net, x, 1, 2, 1, 1, fir, 4);
        case SSDEI_OPERATION_positional: return ssde_positional_embedding(net, ssde_input_label(net), 40);
        case SSDEI_OPERATION_fourier: return ssde_fourier_embedding(net, ssde_input_label(net), 40, 1.0, "fourier");
        case SSDEI_OPERATION_scale_rows: return ssde_scale_rows(net, x, ssde_input_sigma(net), SSDE_OVER_SIGMA);
        case SSDEI_OPERATION_modulate: return ssde_modulate(net, x, steps_vector(net, x, 2 * channels, behind));
        case SSDEI_OPERATION_mean_pixels: return ssde_mean_pixels(net, x);
        case SSDEI_OPERATION_class_embedding:
            return ssde_class_embedding(net, ssde_input_class(net), 6, channels, "class");
        default: return -1;
    }
}

static int steps_has(const ssde_net *net, int operation) {
    int i;
    for (i = 0; i < net->node_count; i++)
        if (net->nodes[i].operation == operation) return 1;
    return 0;
}

/* Every tier; with --quick the best alone. */
static int steps_tier(int index, ssde_context *context) {
    int tier = index;
    while (check_quick && nn_tier(tier + 1, context)) tier++;
    if (!nn_tier(tier, context) || (check_quick && index)) return 0;
    context->threads = STEP_TASKS;
    return 1;
}

/* Every operation of the list. */
static void test_nn_steps_alone(void) {
    char what[96];
    int operation, form, behind, tier, convolution, found;
    for (operation = 0; operation < SSDEI_OPERATION_COUNT; operation++) {
        for (form = 0; form == 0 || found; form++) {
            for (behind = found = 0; behind < 2; behind++) {
                ssde_context context;
                ssde_net *net = NULL;
                ssde_node output;
                CHECK_OK(ssde_net_create(NULL, &net, 1));
                output = steps_operation(net, operation, form, behind);
                found = output >= 0;
                if (found || form == 0) CHECK_OK(ssde_net_finish(net, output));
                if (found || form == 0) CHECK(steps_has(net, operation));
                for (tier = 0; found && steps_tier(tier, &context); tier++) {
                    for (convolution = SSDE_CONVOLUTION_DIRECT; convolution <= nn_most_convolution(net);
                         convolution++) {
                        snprintf(what, sizeof what, "operation %d, form %d, tier %d, convolution %d%s", operation, form,
                                 tier, convolution, behind ? ", behind another" : "");
                        steps_check(net, &context, (ssde_convolution)convolution, what);
                    }
                }
                ssde_net_destroy(net);
            }
        }
    }
}

/* Whole networks, where values are computed again and gradients added up. */
static void test_nn_steps_networks(void) {
    ssde_unet_desc shapes[2];
    int i, tier;
    shapes[0] = nn_small_unet();
    shapes[1] = ssde_ncsnpp(8, 8, 2);
    shapes[1].nf = 8;
    shapes[1].num_levels = 2;
    shapes[1].num_res_blocks = 1;
    shapes[1].classes = 3;
    for (i = check_quick; i < 2; i++) {
        ssde_context context;
        ssde_net *net = NULL;
        oracle o;
        CHECK_OK(ssde_unet_create(&net, &shapes[i]));
        if (!net) continue;
        oracle_from_net(&o, net);
        oracle_random_weights(&o, 5); /* a fresh network's last weights are zero, and so would its derivatives be */
        for (tier = 0; steps_tier(tier, &context); tier++) {
            steps_check(net, &context, SSDE_CONVOLUTION_AUTO, i ? "ncsnpp" : "ddpmpp");
        }
        oracle_close(&o);
    }
}

#define TEST_NN_STEPS_LIST(X) \
    X(nn_steps_alone)         \
    X(nn_steps_networks)

#endif
