/* What holds of all three headers: memory, what failures say. */
#ifndef TEST_ACROSS_H
#define TEST_ACROSS_H

#include "check.h"
#include "fixtures_core.h"
#include "fixtures_solvers.h"

/* ---- memory: what every sampler and likelihood takes ---- */

/* dy/dt = -y */
static ssde_status control_decay(void *user, const double *y, const double *t, const uint64_t *system, size_t rows,
                                 double *dy) {
    size_t i;
    (void)user, (void)t, (void)system;
    for (i = 0; i < 3 * rows; i++) dy[i] = -y[i];
    return SSDE_OK;
}

/* An object is made and destroyed, or a call made, by number; with `bytes` it is asked instead what that will take. */
enum { CONTROL_TAKERS = 15 };
static ssde_status control_take(const ssde_sde *sde, ssde_score_model model, ssde_context *context,
                                const ssde_condition *condition, int taker, size_t *bytes) {
    ssde_guided *guided = NULL;
    ssde_cfg *cfg = NULL;
    ssde_converted *converted = NULL;
    ssde_cfg_desc mix;
    ssde_ode_desc ode;
    ssde_flow_desc flow;
    ssde_sampler_desc how = ssde_sampler_defaults();
    ssde_likelihood_desc price = ssde_likelihood_defaults();
    ssde_likelihood_result results[CONTROL_N];
    ssde_ode_report reports[CONTROL_N];
    ssde_rng rng = ssde_rng_seed(9);
    double times[2], y[3 * CONTROL_N];
    float x[CONTROL_N * 6], states[2 * CONTROL_N * 6];
    ssde_status status = SSDE_OK;
    size_t i, n = CONTROL_N;
    int batch = taker == 3 || taker == 7 || taker == 13;
    for (i = 0; i < 6 * n; i++) x[i] = 0.1f * (float)i - 1.0f;
    for (i = 0; i < 3 * n; i++) y[i] = 1.0;
    memset(&mix, 0, sizeof mix), memset(&ode, 0, sizeof ode), memset(&flow, 0, sizeof flow);
    how.condition = *condition, how.context = context, how.steps = 3;
    mix.conditional = mix.unconditional = model, mix.context = ode.context = flow.context = price.context = context;
    flow.condition = *condition, flow.rtol = flow.atol = price.rtol = price.atol = 1e-3;
    flow.denoise = taker == 6, flow.times = times, flow.time_count = taker == 5 || taker == 8 ? 2 : 0;
    flow.states = states, times[0] = times[1] = 0.5;
    price.trace = taker == 11 ? SSDE_TRACE_EXACT : SSDE_TRACE_RADEMACHER, price.probes = 2;
    if (taker == 12) model.vjp = NULL;
    if (taker == 0) {
        if (bytes)
            *bytes = ssde_guided_memory(context, sde, &model, condition, n);
        else
            status = ssde_guided_create(context, &guided, sde, &model, condition, 0, n);
        ssde_guided_destroy(guided);
    } else if (taker == 1) {
        if (bytes)
            *bytes = ssde_cfg_memory(sde, &mix);
        else
            status = ssde_cfg_create(&cfg, sde, &mix);
        ssde_cfg_destroy(cfg);
    } else if (taker < 4) {
        if (bytes)
            *bytes = ssde_ode_memory(&ode, n, 3, batch);
        else
            status = (batch ? ssde_ode_integrate_batch : ssde_ode_integrate)(&ode, control_decay, NULL, n, 3, 0.0, 1.0,
                                                                             y, NULL);
    } else if (taker == 4) {
        if (bytes)
            *bytes = ssde_sample_memory(sde, &model, &how, n);
        else
            status = ssde_sample(sde, &model, &how, &rng, n, x);
    } else if (taker < 10) {
        if (bytes)
            *bytes = ssde_flow_memory(sde, &model, &flow, n, batch);
        else if (taker < 8)
            status = (batch ? ssde_sample_ode_batch : ssde_sample_ode)(sde, &model, &flow, &rng, n, x, NULL);
        else
            status = (taker == 8 ? ssde_encode : ssde_decode)(sde, &model, &flow, 0, n, x, x, reports);
    } else if (taker == 14) {
        if (bytes)
            *bytes = ssde_converted_memory(context, sde, &model, sde);
        else
            status = ssde_converted_create(context, &converted, sde, &model, sde);
        ssde_converted_destroy(converted);
    } else {
        if (bytes)
            *bytes = ssde_likelihood_memory(sde, &model, &price, n, batch);
        else
            status = (batch ? ssde_likelihood_batch : ssde_likelihood)(sde, &model, &price, &rng, n, x, results);
    }
    return status;
}

/* What is asked of the allocator is what was told, in one piece; told for nothing; and its refusal is an error. */
static void test_memory_told(void) {
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_mixture *mixture = NULL;
    control_data data = control_data_make();
    ssde_condition pull = ssde_guide(control_pull, NULL, 1.0);
    int kind, taker, rows;
    CHECK_OK(ssde_gaussian_create(NULL, &mixture, 6, 0.0, 0.5));
    for (kind = -1; kind < CONTROL_KINDS; kind++) {
        ssde_condition condition = kind < 0 ? pull : control_condition(&data, kind, 0, &pull);
        for (taker = kind == 0; taker < (kind < 0 ? CONTROL_TAKERS : 10); taker++) {
            for (rows = 0; rows < 8; rows += 4) { /* in one block, and in two of unlike size */
                ssde_score_model model = ssde_mixture_model(mixture, &sde);
                counted_memory memory;
                ssde_context context = counted_context(&memory);
                size_t bytes = 0;
                model.max_rows = (size_t)rows;
                CHECK_OK(control_take(&sde, model, &context, &condition, taker, &bytes));
                CHECK(bytes > 0 && memory.made == 0);
                CHECK_OK(control_take(&sde, model, &context, &condition, taker, NULL));
                CHECK(memory.most == bytes && memory.made == 1 && memory.live == 0);
                memory.made = memory.refuse = 0;
                CHECK_FAILS(&context, control_take(&sde, model, &context, &condition, taker, NULL), SSDE_ERROR_MEMORY,
                            "allocate");
                CHECK(memory.made == 1 && memory.live == 0);
            }
        }
    }
    ssde_mixture_destroy(mixture);
}

/* 0 for what would be refused. */
static void test_memory_refused(void) {
    ssde_sde sde = ssde_vp(0.1, 20.0), bad = ssde_vp(-1.0, 20.0);
    ssde_mixture *mixture = NULL;
    ssde_score_model model, none;
    ssde_flow_desc flow;
    ssde_likelihood_desc price = ssde_likelihood_defaults();
    ssde_ode_desc ode;
    ssde_cfg_desc mix;
    ssde_condition pull = ssde_guide(control_pull, NULL, 1.0);
    const size_t most = SIZE_MAX / 64;
    memset(&flow, 0, sizeof flow), memset(&ode, 0, sizeof ode), memset(&mix, 0, sizeof mix);
    memset(&none, 0, sizeof none);
    CHECK_OK(ssde_gaussian_create(NULL, &mixture, 6, 0.0, 0.5));
    model = ssde_mixture_model(mixture, &sde);
    CHECK(ssde_flow_memory(&sde, &model, NULL, 3, 0) > 0 && ssde_flow_memory(&sde, &model, &flow, 3, 0) > 0);
    CHECK(!ssde_flow_memory(&bad, &model, NULL, 3, 0) && !ssde_flow_memory(NULL, &model, NULL, 3, 0));
    CHECK(!ssde_flow_memory(&sde, NULL, NULL, 3, 0) && !ssde_flow_memory(&sde, &none, NULL, 3, 0));
    CHECK(!ssde_flow_memory(&sde, &model, NULL, 0, 0) && !ssde_flow_memory(&sde, &model, NULL, most, 1));
    flow.time_count = most;
    CHECK(!ssde_flow_memory(&sde, &model, &flow, 3, 0));
    flow.time_count = 0, flow.eps = 2.0;
    CHECK(!ssde_flow_memory(&sde, &model, &flow, 3, 0));
    flow.eps = 0.0, flow.condition = ssde_inpaint(NULL, NULL);
    CHECK(!ssde_flow_memory(&sde, &model, &flow, 3, 0));
    CHECK(!ssde_guided_memory(NULL, &sde, &model, &flow.condition, 3));
    flow.condition = pull, model.max_rows = most; /* rows that no memory holds */
    CHECK(!ssde_flow_memory(&sde, &model, &flow, 3, 0) && !ssde_guided_memory(NULL, &sde, &model, &pull, 3));
    model.max_rows = 0;
    CHECK(ssde_guided_memory(NULL, &sde, &model, &pull, 3) > 0 && !ssde_guided_memory(NULL, &sde, &model, NULL, 3));
    CHECK(!ssde_guided_memory(NULL, &sde, &model, &pull, 0) && !ssde_guided_memory(NULL, &sde, &none, &pull, 3));
    CHECK(ssde_likelihood_memory(&sde, &model, NULL, 3, 0) > 0);
    CHECK(!ssde_likelihood_memory(&sde, &model, NULL, 0, 0) && !ssde_likelihood_memory(&sde, NULL, NULL, 3, 0));
    price.probes = SIZE_MAX;
    CHECK(!ssde_likelihood_memory(&sde, &model, &price, 3, 0));
    price.probes = 1, price.levels = 1.0;
    CHECK(!ssde_likelihood_memory(&sde, &model, &price, 3, 0));
    CHECK(ssde_ode_memory(NULL, 3, 2, 0) > 0 && ssde_ode_memory(NULL, 3, 2, 1) > 0);
    CHECK(!ssde_ode_memory(NULL, 0, 2, 1) && !ssde_ode_memory(NULL, 3, 0, 0) && !ssde_ode_memory(NULL, most, 64, 0));
    ode.rtol = (double)NAN;
    CHECK(!ssde_ode_memory(&ode, 3, 2, 0));
    mix.conditional = mix.unconditional = model;
    CHECK(ssde_cfg_memory(&sde, &mix) > 0 && !ssde_cfg_memory(&sde, NULL) && !ssde_cfg_memory(&bad, &mix));
    mix.conditional.dim = 5;
    CHECK(!ssde_cfg_memory(&sde, &mix));
    CHECK(ssde_converted_memory(NULL, &sde, &model, &sde) > 0 && !ssde_converted_memory(NULL, &sde, &model, &bad));
    CHECK(!ssde_converted_memory(NULL, &sde, &none, &sde) && !ssde_converted_memory(NULL, NULL, &model, &sde));
    ssde_mixture_destroy(mixture);
}

/* ---- memory: objects ---- */

typedef struct core_object {
    size_t count;
    double *numbers;
    char *text;
    float *more;
} core_object;
static void core_object_arrays(void *object, ssdei_memory *memory) {
    core_object *o = (core_object *)object;
    o->numbers = ssdei_place(memory, double, o->count);
    o->text = ssdei_place(memory, char, 5);
    o->more = ssdei_place(memory, float, o->count);
}

/* Zeroed, each array on its own cache lines, in the order of their names; between them nothing may be touched, which
   AddressSanitizer sees to. */
static void core_object_check(const core_object *o, const char *begin, const char *end) {
    const char *pieces[4];
    size_t bytes[3], i, k;
    bytes[0] = o->count * sizeof *o->numbers, bytes[1] = 5, bytes[2] = o->count * sizeof *o->more;
    pieces[0] = (const char *)o->numbers, pieces[1] = o->text, pieces[2] = (const char *)o->more, pieces[3] = end;
    CHECK(pieces[0] >= begin);
    for (i = 0; i < 3; i++) {
        CHECK((uintptr_t)pieces[i] % SSDEI_ALIGNMENT == 0 && pieces[i] + bytes[i] <= pieces[i + 1]);
        for (k = 0; k < bytes[i]; k++) CHECK(pieces[i][k] == 0);
#ifdef SSDEI_ADDRESS_SANITIZER
        CHECK(!bytes[i] || !__asan_address_is_poisoned(pieces[i] + bytes[i] - 1));
        CHECK(__asan_address_is_poisoned(pieces[i] + bytes[i]) && __asan_address_is_poisoned(pieces[i + 1] - 1));
#endif
    }
}

/* One block for an object or for its arrays alone, of as many bytes as was said; what no memory holds is refused. */
static void test_memory_objects(void) {
    static const size_t counts[] = {0, 1, 8, 100};
    size_t i, bytes;
    for (i = 0; i < sizeof counts / sizeof *counts; i++) {
        core_object made = {0, NULL, NULL, NULL}, *object;
        char *block;
        made.count = counts[i];
        bytes = ssdei_object_bytes(&made, sizeof made, core_object_arrays) - ssdei_padded(0);
        object = (core_object *)ssdei_object_create(NULL, &made, sizeof made, core_object_arrays);
        CHECK(object->count == counts[i] && !made.numbers && bytes % SSDEI_ALIGNMENT == 0);
        core_object_check(object, (char *)(object + 1), (char *)object + bytes);
        memset(object->text, 1, 5);
        ssdei_release(NULL, object);
        bytes = ssdei_object_bytes(&made, 0, core_object_arrays) - ssdei_padded(0);
        block = (char *)ssdei_object_create(NULL, &made, 0, core_object_arrays);
        core_object_check(&made, block, block + bytes);
        ssdei_release(NULL, block);
    }
    for (i = 0; i < 3; i++) {
        static const size_t large[] = {SIZE_MAX, SIZE_MAX / 8, SIZE_MAX / 8 - 8};
        core_object made = {0, NULL, NULL, NULL};
        ssde_context context = ssde_context_defaults();
        made.count = large[i];
        CHECK(ssdei_object_bytes(&made, sizeof made, core_object_arrays) == SIZE_MAX);
        CHECK(!ssdei_object_create(&context, &made, sizeof made, core_object_arrays));
        CHECK(strstr(context.error, "cannot allocate") != NULL);
    }
}

/* ---- errors ---- */

/* Every public function that can fail, with what it must refuse: each pointer NULL, counts of 0, values that are no
   numbers and enumerations out of range. The status is an error, and where a context exists its text is this call's and
   names the argument. .ci/run finds the functions that this file leaves out. */

/* The same about a value that is none of its enumeration, which C++ cannot make. */
#ifdef __cplusplus
#define ERRORS_ENUM(type) ((type)0)
#define ERRORS_OF_ENUM(words, call) ((void)sizeof(call))
#else
#define ERRORS_ENUM(type) ((type)77)
#define ERRORS_OF_ENUM(words, call) ERRORS_SAYS(words, call)
#endif

/* No context exists: its owner is NULL. */
#define ERRORS_ALONE(call) CHECK_STATUS(call, SSDE_ERROR_ARGUMENT)

static ssde_status errors_score(void *user, const float *x, const double *t, const uint64_t *sample, size_t rows,
                                int differentiate, float *out) {
    size_t i;
    (void)t, (void)sample, (void)differentiate;
    for (i = 0; i < rows * 2; i++) out[i] = -x[i];
    return user ? SSDE_ERROR_LIMIT : SSDE_OK; /* with a user: fails, and says nothing */
}

static ssde_status errors_ode(void *user, const double *y, const double *t, const uint64_t *system, size_t rows,
                              double *dy) {
    size_t i;
    (void)t, (void)system;
    for (i = 0; i < rows * 2; i++) dy[i] = -y[i];
    return user ? SSDE_ERROR_LIMIT : SSDE_OK;
}

static ssde_context *errors_begin(void) {
    memset(&errors_context, 0, sizeof errors_context);
    return &errors_context;
}

static void test_errors_tensors(void) {
    ssde_context *c = errors_begin();
    float numbers[8] = {0};
    double doubles[8];
    unsigned char pixels[64];
    int width, height;
    const size_t shape[2] = {2, 2}, nothing[2] = {2, 0};
    ssde_tensor a = ssde_tensor_2d(numbers, 2, 2), b = ssde_tensor_2d(numbers, 2, 2), image = a, empty, loaded, labels;
    ssde_tensor_file *file = NULL;
    memset(&empty, 0, sizeof empty);
    memset(&loaded, 0, sizeof loaded);
    ERRORS_SAYS("tensor is NULL", ssde_tensor_create(c, NULL, 2, shape));
    ERRORS_SAYS("shape is NULL", ssde_tensor_create(c, &loaded, 2, NULL));
    ERRORS_SAYS("rank 5", ssde_tensor_create(c, &loaded, 5, shape));
    ERRORS_SAYS("[2, 0]", ssde_tensor_create(c, &loaded, 2, nothing));
    ERRORS_SAYS("a is NULL", ssde_tensor_binary(c, SSDE_ADD, NULL, &b, &a));
    ERRORS_SAYS("b is NULL", ssde_tensor_binary(c, SSDE_ADD, &a, NULL, &a));
    ERRORS_SAYS("out is NULL", ssde_tensor_binary(c, SSDE_ADD, &a, &b, NULL));
    ERRORS_OF_ENUM("op is 77", ssde_tensor_binary(c, ERRORS_ENUM(ssde_binary_op), &a, &b, &a));
    ERRORS_SAYS("data is NULL", ssde_tensor_binary(c, SSDE_ADD, &empty, &b, &a));
    ERRORS_SAYS("a is NULL", ssde_tensor_unary(c, SSDE_SQUARE, NULL, &a));
    ERRORS_SAYS("out is NULL", ssde_tensor_unary(c, SSDE_SQUARE, &a, NULL));
    ERRORS_OF_ENUM("op is 77", ssde_tensor_unary(c, ERRORS_ENUM(ssde_unary_op), &a, &a));
    ERRORS_SAYS("a is NULL", ssde_tensor_reduce(c, SSDE_SUM, NULL, 1, &b));
    ERRORS_SAYS("out is NULL", ssde_tensor_reduce(c, SSDE_SUM, &a, 1, NULL));
    ERRORS_OF_ENUM("op is 77", ssde_tensor_reduce(c, ERRORS_ENUM(ssde_reduce_op), &a, 1, &b));
    ERRORS_SAYS("axes", ssde_tensor_reduce(c, SSDE_SUM, &a, 8, &b));
    ERRORS_SAYS("a is NULL", ssde_tensor_matmul(c, NULL, 0, &b, 0, &a));
    ERRORS_SAYS("b is NULL", ssde_tensor_matmul(c, &a, 0, NULL, 0, &a));
    ERRORS_SAYS("out is NULL", ssde_tensor_matmul(c, &a, 0, &b, 0, NULL));
    image = ssde_tensor_4d(numbers, 1, 2, 2, 1);
    ERRORS_SAYS("images is NULL", ssde_image_grid(c, NULL, 1, 0, 0.0, 1.0, pixels, &width, &height));
    ERRORS_SAYS("columns is 0", ssde_image_grid(c, &image, 0, 0, 0.0, 1.0, pixels, &width, &height));
    ERRORS_SAYS("low is 1", ssde_image_grid(c, &image, 1, 0, 1.0, 1.0, pixels, &width, &height));
    ERRORS_SAYS("low is nan", ssde_image_grid(c, &image, 1, 0, (double)NAN, 1.0, pixels, &width, &height));
    ERRORS_SAYS("path is NULL", ssde_npy_load(c, NULL, &loaded));
    ERRORS_SAYS("tensor is NULL", ssde_npy_load(c, "tests/golden/none.npy", NULL));
    ERRORS_SAYS("none.npy", ssde_npy_load(c, "tests/golden/none.npy", &loaded));
    ERRORS_SAYS("path is NULL", ssde_npy_save(c, NULL, &a));
    ERRORS_SAYS("tensor is NULL", ssde_npy_save(c, "tests/none.npy", NULL));
    ERRORS_SAYS("path is NULL", ssde_idx_load(c, NULL, &loaded));
    ERRORS_SAYS("tensor is NULL", ssde_idx_load(c, "tests/golden/none", NULL));
    ERRORS_SAYS("path is NULL", ssde_cifar10_load(c, NULL, &loaded, &labels));
    ERRORS_SAYS("images is NULL", ssde_cifar10_load(c, "tests/golden/none", NULL, &labels));
    ERRORS_SAYS("file is NULL", ssde_tensor_file_open(c, NULL, "none"));
    ERRORS_SAYS("path is NULL", ssde_tensor_file_open(c, &file, NULL));
    CHECK_OK(ssde_tensor_file_open(c, &file, "tests/golden/ddpm_vp.io.safetensors"));
    ERRORS_ALONE(ssde_tensor_file_read(NULL, NULL, numbers));
    ERRORS_SAYS("tensor is NULL", ssde_tensor_file_read(file, NULL, numbers));
    ERRORS_SAYS("values is NULL", ssde_tensor_file_read(file, ssde_tensor_file_get(file, 0), NULL));
    ERRORS_ALONE(ssde_tensor_file_read_double(NULL, NULL, doubles));
    ERRORS_SAYS("tensor is NULL", ssde_tensor_file_read_double(file, NULL, doubles));
    ERRORS_SAYS("values is NULL", ssde_tensor_file_read_double(file, ssde_tensor_file_get(file, 0), NULL));
    ssde_tensor_file_close(file);
}

static void test_errors_random(void) {
    ssde_context *c = errors_begin();
    const uint64_t far_away[1] = {(uint64_t)1 << 48};
    uint32_t words[8];
    float x[8] = {0.5f};
    ERRORS_SAYS("out is NULL", ssde_random_words(c, 1, 0, 0, NULL, 1, 2, NULL));
    ERRORS_SAYS("rows is 0", ssde_random_words(c, 1, 0, 0, NULL, 0, 2, words));
    ERRORS_SAYS("dim 0", ssde_random_words(c, 1, 0, 0, NULL, 1, 0, words));
    ERRORS_SAYS("stream is -1", ssde_random_words(c, 1, -1, 0, NULL, 1, 2, words));
    ERRORS_SAYS("sample[0] is", ssde_random_words(c, 1, 0, 0, far_away, 1, 2, words));
    ERRORS_SAYS("out is NULL", ssde_random_uniform(c, 1, 0, 0, NULL, 1, 2, NULL));
    ERRORS_SAYS("out is NULL", ssde_random_normal(c, 1, 0, 0, NULL, 1, 2, NULL));
    ERRORS_SAYS("stream is 65536", ssde_random_normal(c, 1, 65536, 0, NULL, 1, 2, x));
    ERRORS_SAYS("out is NULL", ssde_random_sign(c, 1, 0, 0, NULL, 1, 2, NULL));
    ERRORS_SAYS("values is NULL", ssde_dequantise(c, 1, 0, NULL, NULL, 1, 2, 4.0, -1.0, 1.0, x));
    ERRORS_SAYS("out is NULL", ssde_dequantise(c, 1, 0, NULL, x, 1, 2, 4.0, -1.0, 1.0, NULL));
    ERRORS_SAYS("levels is 2.5", ssde_dequantise(c, 1, 0, NULL, x, 1, 2, 2.5, -1.0, 1.0, x));
    ERRORS_SAYS("low is 1", ssde_dequantise(c, 1, 0, NULL, x, 1, 2, 4.0, 1.0, 1.0, x));
    ERRORS_SAYS("element 0 is 0.5", ssde_dequantise(c, 1, 0, NULL, x, 1, 2, 4.0, -1.0, 1.0, x));
}

static void test_errors_sde(void) {
    ssde_context *c = errors_begin();
    ssde_sde vp = ssde_vp(0.1, 20.0), wrong = ssde_ve(1.0, 0.5), unknown = vp;
    ssde_coefficients at;
    ssde_step step;
    float x[2] = {0.0f, 0.0f}, y[2];
    double t[1] = {0.5}, late[1] = {1.5}, mean, std, beta, number;
    ssde_schedule_desc schedule = ssde_schedule_defaults(SSDE_SCHEDULE_LINEAR);
    schedule.context = c;
    unknown.kind = ERRORS_ENUM(ssde_sde_kind);
    ERRORS_SAYS("sde is NULL", ssde_sde_check(c, NULL));
    ERRORS_SAYS("sigma_min is 1", ssde_sde_check(c, &wrong));
    ERRORS_OF_ENUM("kind is 77", ssde_sde_check(c, &unknown));
    ERRORS_SAYS("sde is NULL", ssde_sde_label(c, NULL, 0.5, &mean));
    ERRORS_SAYS("label is NULL", ssde_sde_label(c, &vp, 0.5, NULL));
    ERRORS_SAYS("mean is NULL", ssde_schedule_levels(&schedule, NULL, &std));
    ERRORS_SAYS("name is NULL", ssde_schedule_find(c, NULL, &schedule.kind));
    ERRORS_SAYS("schedule is NULL", ssde_schedule_find(c, "linear", NULL));
    ERRORS_SAYS("x is NULL", ssde_largest_distance(c, NULL, 2, 1, &mean));
    ERRORS_SAYS("distance is NULL", ssde_largest_distance(c, x, 2, 1, NULL));
    ERRORS_SAYS("n is 1", ssde_largest_distance(c, x, 1, 1, &mean));
    ERRORS_SAYS("num_scales is NULL", ssde_noise_levels(c, 64, 0.01, 50.0, 0.5, NULL));
    ERRORS_SAYS("sde is NULL", ssde_langevin_step_size(c, NULL, 5, &mean, NULL));
    ERRORS_SAYS("step_size is NULL", ssde_langevin_step_size(c, &vp, 5, NULL, NULL));
    ERRORS_SAYS("'vp'", ssde_langevin_step_size(c, &vp, 5, &mean, NULL));
    ERRORS_SAYS("sde is NULL", ssde_coefficients_at(c, NULL, 0.5, &at));
    ERRORS_SAYS("out is NULL", ssde_coefficients_at(c, &vp, 0.5, NULL));
    ERRORS_SAYS("t is nan", ssde_coefficients_at(c, &vp, (double)NAN, &at));
    ERRORS_SAYS("sde is NULL", ssde_perturb(c, NULL, x, x, t, 1, 2, y));
    ERRORS_SAYS("x0 is NULL", ssde_perturb(c, &vp, NULL, x, t, 1, 2, y));
    ERRORS_SAYS("z is NULL", ssde_perturb(c, &vp, x, NULL, t, 1, 2, y));
    ERRORS_SAYS("t is NULL", ssde_perturb(c, &vp, x, x, NULL, 1, 2, y));
    ERRORS_SAYS("out is NULL", ssde_perturb(c, &vp, x, x, t, 1, 2, NULL));
    ERRORS_SAYS("rows is 0", ssde_perturb(c, &vp, x, x, t, 0, 2, y));
    ERRORS_SAYS("t[0] is 1.5", ssde_perturb(c, &vp, x, x, late, 1, 2, y));
    ERRORS_SAYS("sde is NULL", ssde_reverse_drift(c, NULL, x, x, t, 1, 2, 0, y));
    ERRORS_SAYS("x is NULL", ssde_reverse_drift(c, &vp, NULL, x, t, 1, 2, 0, y));
    ERRORS_SAYS("score is NULL", ssde_reverse_drift(c, &vp, x, NULL, t, 1, 2, 0, y));
    ERRORS_SAYS("t is NULL", ssde_reverse_drift(c, &vp, x, x, NULL, 1, 2, 0, y));
    ERRORS_SAYS("out is NULL", ssde_reverse_drift(c, &vp, x, x, t, 1, 2, 0, NULL));
    ERRORS_SAYS("sde is NULL", ssde_discretise(c, NULL, SSDE_DISCRETISE_OWN, 0.5, &step));
    ERRORS_OF_ENUM("rule is 77", ssde_discretise(c, &vp, ERRORS_ENUM(ssde_discretisation), 0.5, &step));
    ERRORS_SAYS("t is -1", ssde_discretise(c, &vp, SSDE_DISCRETISE_OWN, -1.0, &step));
    ERRORS_SAYS("out is NULL", ssde_discretise(c, &vp, SSDE_DISCRETISE_OWN, 0.5, NULL));
    ERRORS_SAYS("sde is NULL", ssde_discrete_marginal(c, NULL, 0, &mean, &std, &beta));
    ERRORS_SAYS("i is 1000", ssde_discrete_marginal(c, &vp, 1000, &mean, &std, &beta));
    ERRORS_SAYS("sde is NULL", ssde_prior_std(c, NULL, &std));
    ERRORS_SAYS("std is NULL", ssde_prior_std(c, &vp, NULL));
    ERRORS_SAYS("sde is NULL", ssde_prior_sample(c, NULL, 1, NULL, 1, 2, y));
    ERRORS_SAYS("out is NULL", ssde_prior_sample(c, &vp, 1, NULL, 1, 2, NULL));
    ERRORS_SAYS("sde is NULL", ssde_prior_log_density(c, NULL, x, 1, 2, &number));
    ERRORS_SAYS("x is NULL", ssde_prior_log_density(c, &vp, NULL, 1, 2, &number));
    ERRORS_SAYS("out is NULL", ssde_prior_log_density(c, &vp, x, 1, 2, NULL));
    ERRORS_SAYS("sde is NULL", ssde_prior_time(c, NULL, &number, &number));
}

static void test_errors_simulation(void) {
    ssde_context *c = errors_begin();
    ssde_sde vp = ssde_vp(0.1, 20.0);
    ssde_simulation_desc how = ssde_simulation_defaults();
    float x[2] = {0.0f, 0.0f};
    double early[1] = {0.1};
    how.context = c;
    ERRORS_SAYS("sde is NULL", ssde_simulate(NULL, &how, 1, NULL, NULL, 1, 2, x));
    ERRORS_SAYS("x is NULL", ssde_simulate(&vp, &how, 1, NULL, NULL, 1, 2, NULL));
    ERRORS_SAYS("rows is 0", ssde_simulate(&vp, &how, 1, NULL, NULL, 0, 2, x));
    how.t0 = 0.2;
    ERRORS_SAYS("t[0] is 0.1", ssde_simulate(&vp, &how, 1, NULL, early, 1, 2, x));
    how.t0 = 2.0;
    ERRORS_SAYS("t0 is 2", ssde_simulate(&vp, &how, 1, NULL, NULL, 1, 2, x));
    how.t0 = 0.0, how.first_draw = 0xffffffffu;
    ERRORS_SAYS("first_draw", ssde_simulate(&vp, &how, 1, NULL, NULL, 1, 2, x));
    how.scheme = ERRORS_ENUM(ssde_scheme);
    ERRORS_OF_ENUM("scheme is 77", ssde_simulate(&vp, &how, 1, NULL, NULL, 1, 2, x));
}

static void test_errors_loss(void) {
    ssde_context *c = errors_begin();
    ssde_sde vp = ssde_vp(0.1, 20.0);
    ssde_loss_desc how, wrong;
    ssde_mixture *mixture = NULL;
    ssde_rng rng = ssde_rng_seed(1);
    float x[2] = {0.0f, 0.0f}, y[2];
    double t[1] = {0.5}, weight[1] = {1.0}, losses[1], mean, std;
    ssde_output_map map;
    const double means[2] = {0.0, 0.0}, stds[2] = {1.0, 1.0}, minus[2] = {-1.0, -1.0};
    memset(&how, 0, sizeof how);
    how.context = c;
    wrong = how;
    wrong.weighting = ERRORS_ENUM(ssde_weighting);
    ERRORS_ALONE(ssde_loss_times(&vp, NULL, 1, 0, NULL, 1, t, weight));
    ERRORS_SAYS("sde is NULL", ssde_loss_times(NULL, &how, 1, 0, NULL, 1, t, weight));
    ERRORS_OF_ENUM("weighting is 77", ssde_loss_times(&vp, &wrong, 1, 0, NULL, 1, t, weight));
    ERRORS_SAYS("t is NULL", ssde_loss_times(&vp, &how, 1, 0, NULL, 1, NULL, weight));
    ERRORS_ALONE(ssde_loss_marginal(&vp, NULL, 0.5, &mean, &std));
    ERRORS_SAYS("sde is NULL", ssde_loss_marginal(NULL, &how, 0.5, &mean, &std));
    ERRORS_ALONE(ssde_loss_perturb(&vp, NULL, x, x, t, 1, 2, y));
    ERRORS_SAYS("x0 is NULL", ssde_loss_perturb(&vp, &how, NULL, x, t, 1, 2, y));
    ERRORS_SAYS("z is NULL", ssde_loss_perturb(&vp, &how, x, NULL, t, 1, 2, y));
    ERRORS_SAYS("t is NULL", ssde_loss_perturb(&vp, &how, x, x, NULL, 1, 2, y));
    ERRORS_SAYS("out is NULL", ssde_loss_perturb(&vp, &how, x, x, t, 1, 2, NULL));
    ERRORS_ALONE(ssde_loss(&vp, NULL, x, x, x, t, weight, 1, 2, 1.0, losses, y));
    ERRORS_SAYS("output is NULL", ssde_loss(&vp, &how, NULL, x, x, t, weight, 1, 2, 1.0, losses, y));
    ERRORS_SAYS("z is NULL", ssde_loss(&vp, &how, x, x, NULL, t, weight, 1, 2, 1.0, losses, y));
    ERRORS_SAYS("t is NULL", ssde_loss(&vp, &how, x, x, x, NULL, weight, 1, 2, 1.0, losses, y));
    ERRORS_SAYS("scale is nan", ssde_loss(&vp, &how, x, x, x, t, weight, 1, 2, (double)NAN, losses, y));
    ERRORS_SAYS("weight[0] is -1", ssde_loss(&vp, &how, x, x, x, t, minus, 1, 2, 1.0, losses, y));
    ERRORS_SAYS("tangent is NULL",
                ssde_loss_implicit(&vp, &how, x, NULL, x, x, t, weight, 1, 2, 1.0, losses, NULL, NULL));
    ERRORS_SAYS("tangent_gradient is NULL",
                ssde_loss_implicit(&vp, &how, x, x, x, x, t, weight, 1, 2, 1.0, losses, y, NULL));
    ERRORS_SAYS("sde is NULL",
                ssde_convert_output(c, NULL, SSDE_PREDICT_SCORE, SSDE_PREDICT_DATA, 0.5, x, t, x, 1, 2, y));
    ERRORS_OF_ENUM("from is 77", ssde_convert_output(c, &vp, ERRORS_ENUM(ssde_parameterisation), SSDE_PREDICT_DATA, 0.5,
                                                     x, t, x, 1, 2, y));
    ERRORS_OF_ENUM("output is 77", ssde_output_map_at(c, &vp, ERRORS_ENUM(ssde_parameterisation), 0.5, 0.5, &map));
    ERRORS_SAYS("name is NULL", ssde_parameterisation_find(c, NULL, &wrong.output));
    ERRORS_SAYS("parameterisation is NULL", ssde_parameterisation_find(c, "noise", NULL));
    ERRORS_SAYS("name is NULL", ssde_weighting_find(c, NULL, &wrong.weighting));
    ERRORS_SAYS("weighting is NULL", ssde_weighting_find(c, "std2", NULL));
    ERRORS_SAYS("name is NULL", ssde_times_find(c, NULL, &wrong.times));
    ERRORS_SAYS("times is NULL", ssde_times_find(c, "uniform", NULL));
    ERRORS_SAYS("sde is NULL", ssde_output_map_at(c, NULL, SSDE_PREDICT_DATA, 0.5, 0.5, &map));
    ERRORS_SAYS("map is NULL", ssde_output_map_at(c, &vp, SSDE_PREDICT_DATA, 0.5, 0.5, NULL));
    ERRORS_SAYS("x is NULL",
                ssde_convert_output(c, &vp, SSDE_PREDICT_SCORE, SSDE_PREDICT_DATA, 0.5, NULL, t, x, 1, 2, y));
    ERRORS_SAYS("out is NULL",
                ssde_convert_output(c, &vp, SSDE_PREDICT_SCORE, SSDE_PREDICT_DATA, 0.5, x, t, x, 1, 2, NULL));
    ERRORS_SAYS("mixture is NULL", ssde_mixture_create(c, NULL, 1, 2, NULL, means, stds));
    ERRORS_SAYS("weights is NULL", ssde_mixture_create(c, &mixture, 1, 2, NULL, means, stds));
    ERRORS_SAYS("means is NULL", ssde_mixture_create(c, &mixture, 1, 2, stds, NULL, stds));
    ERRORS_SAYS("stds is NULL", ssde_mixture_create(c, &mixture, 1, 2, stds, means, NULL));
    ERRORS_SAYS("stds[0] is -1", ssde_mixture_create(c, &mixture, 1, 2, stds, means, minus));
    ERRORS_SAYS("components is 0", ssde_mixture_create(c, &mixture, 0, 2, NULL, means, stds));
    ERRORS_SAYS("mixture is NULL", ssde_gaussian_create(c, NULL, 2, 0.0, 1.0));
    ERRORS_SAYS("dim 0", ssde_gaussian_create(c, &mixture, 0, 0.0, 1.0));
    ERRORS_SAYS("std nan", ssde_gaussian_create(c, &mixture, 2, 0.0, (double)NAN));
    ERRORS_SAYS("mixture is NULL", ssde_ring_create(c, NULL, 8, 1.0, 0.1));
    ERRORS_SAYS("components is 0", ssde_ring_create(c, &mixture, 0, 1.0, 0.1));
    ERRORS_SAYS("std -1", ssde_ring_create(c, &mixture, 8, 1.0, -1.0));
    CHECK(mixture == NULL);
    CHECK_OK(ssde_ring_create(c, &mixture, 8, 1.0, 0.1));
    ERRORS_ALONE(ssde_mixture_evaluate(NULL, &vp, means, t, 1, losses, NULL));
    ERRORS_SAYS("x is NULL", ssde_mixture_evaluate(mixture, &vp, NULL, t, 1, losses, NULL));
    ERRORS_SAYS("t is NULL", ssde_mixture_evaluate(mixture, &vp, means, NULL, 1, losses, NULL));
    ERRORS_SAYS("sde is NULL", ssde_mixture_evaluate(mixture, NULL, means, t, 1, losses, NULL));
    ERRORS_ALONE(ssde_mixture_sample(NULL, &rng, 1, x, NULL));
    ERRORS_SAYS("rng is NULL", ssde_mixture_sample(mixture, NULL, 1, x, NULL));
    ERRORS_SAYS("out is NULL", ssde_mixture_sample(mixture, &rng, 1, NULL, NULL));
    ERRORS_SAYS("rows is 0", ssde_mixture_sample(mixture, &rng, 0, x, NULL));
    ssde_mixture_destroy(mixture);
}

static void test_errors_nets(void) {
    ssde_context *c = errors_begin();
    ssde_unet_desc unet = ssde_ddpmpp(8, 8, 1), wide = unet;
    ssde_unet2d_desc general = ssde_unet2d(8, 8, 1);
    ssde_mlp_desc mlp = ssde_mlp(2);
    ssde_refinenet_desc refined = ssde_ncsn(8, 8, 1);
    ssde_classifier_desc classifier;
    ssde_run_desc how, wrong;
    ssde_net *net = NULL, *unfinished = NULL, *twice = NULL;
    ssde_node linear;
    ssde_run *run = NULL;
    float x[4] = {0}, label[1] = {0.5f}, out[2], *weights;
    int32_t classes[1] = {0};
    unet.context = wide.context = mlp.context = refined.context = c;
    refined.nf = 0;
    wide.nf = 3;
    classifier = ssde_classifier_of(&unet, 1);
    ERRORS_SAYS("net is NULL", ssde_net_create(c, NULL, 1));
    ERRORS_SAYS("net is NULL", ssde_unet_create(NULL, &unet));
    ERRORS_ALONE(ssde_unet_create(&net, NULL));
    ERRORS_SAYS("nf is 3", ssde_unet_create(&net, &wide));
    general.context = c;
    general.height = 0;
    ERRORS_SAYS("net is NULL", ssde_unet2d_create(NULL, &general));
    ERRORS_ALONE(ssde_unet2d_create(&net, NULL));
    ERRORS_SAYS("height is 0", ssde_unet2d_create(&net, &general));
    ERRORS_SAYS("net is NULL", ssde_classifier_net_create(NULL, &classifier));
    ERRORS_ALONE(ssde_classifier_net_create(&net, NULL));
    ERRORS_SAYS("classes is 1", ssde_classifier_net_create(&net, &classifier));
    ERRORS_SAYS("net is NULL", ssde_mlp_create(NULL, &mlp));
    ERRORS_ALONE(ssde_mlp_create(&net, NULL));
    ERRORS_SAYS("net is NULL", ssde_refinenet_create(NULL, &refined));
    ERRORS_ALONE(ssde_refinenet_create(&net, NULL));
    ERRORS_SAYS("nf is 0", ssde_refinenet_create(&net, &refined));
    mlp.dim = 0;
    ERRORS_SAYS("dim is 0", ssde_mlp_create(&net, &mlp));
    mlp.dim = 2;
    CHECK(net == NULL);
    CHECK_OK(ssde_net_create(c, &unfinished, 1));
    ERRORS_ALONE(ssde_net_finish(NULL, 0));
    ERRORS_SAYS("no input", ssde_net_finish(unfinished, 0));
    ERRORS_SAYS("no input", ssde_net_finish(unfinished, 0)); /* again, and as freshly */
    CHECK_OK(ssde_net_create(c, &twice, 1));
    linear = ssde_linear(twice, ssde_input(twice, 1, 1, 2), 2, 1.0, "same");
    ssde_linear(twice, linear, 2, 1.0, "same");
    strcpy(c->error, "of another call");
    ERRORS_SAYS("'same.weight' already", ssde_net_finish(twice, linear)); /* the builder's text */
    CHECK_OK(ssde_mlp_create(&net, &mlp));
    ERRORS_SAYS("finished already", ssde_net_finish(net, 0));
    weights = (float *)calloc(ssde_net_weight_count(net), sizeof *weights);
    ERRORS_ALONE(ssde_net_get(NULL, 0, weights));
    ERRORS_SAYS("values is NULL", ssde_net_get(net, 0, NULL));
    ERRORS_SAYS("index is 999", ssde_net_get(net, 999, weights));
    ERRORS_ALONE(ssde_net_set(NULL, 0, weights));
    ERRORS_SAYS("values is NULL", ssde_net_set(net, 0, NULL));
    ERRORS_SAYS("not finished", ssde_net_set(unfinished, 0, weights));
    ERRORS_ALONE(ssde_net_get_gradient(NULL, 0, weights, weights));
    ERRORS_SAYS("weight_gradients is NULL", ssde_net_get_gradient(net, 0, NULL, weights));
    ERRORS_SAYS("values is NULL", ssde_net_get_gradient(net, 0, weights, NULL));
    memset(&how, 0, sizeof how);
    how.context = c;
    how.max_rows = 1;
    wrong = how;
    wrong.mode = ERRORS_ENUM(ssde_run_mode);
    ERRORS_SAYS("run is NULL", ssde_run_create(NULL, net, &how));
    ERRORS_SAYS("net is NULL", ssde_run_create(&run, NULL, &how));
    ERRORS_OF_ENUM("mode is 77", ssde_run_create(&run, net, &wrong));
    ERRORS_SAYS("not finished", ssde_run_create(&run, unfinished, &how));
    CHECK_OK(ssde_run_create(&run, net, &how));
    ERRORS_ALONE(ssde_run_set_classes(NULL, classes, 1));
    ERRORS_SAYS("classes", ssde_run_set_classes(run, classes, 1));
    ERRORS_ALONE(ssde_run_set_vectors(NULL, x, 1));
    ERRORS_SAYS("vectors", ssde_run_set_vectors(run, x, 1));
    ERRORS_ALONE(ssde_run_forward(NULL, x, label, NULL, 1, 0, 0, NULL, out));
    ERRORS_SAYS("x is NULL", ssde_run_forward(run, NULL, label, NULL, 1, 0, 0, NULL, out));
    ERRORS_SAYS("label is NULL", ssde_run_forward(run, x, NULL, NULL, 1, 0, 0, NULL, out));
    ERRORS_SAYS("rows is 2", ssde_run_forward(run, x, label, NULL, 2, 0, 0, NULL, out));
    ERRORS_ALONE(ssde_run_backward(NULL, out, NULL, NULL));
    ERRORS_SAYS("gradient is NULL", ssde_run_backward(run, NULL, out, NULL));
    ERRORS_SAYS("mode is", ssde_run_backward(run, out, out, NULL));
    ERRORS_ALONE(ssde_run_forward_tangent(NULL, x, x, label, NULL, 1, 0, 0, NULL, out, out));
    ERRORS_SAYS("v is NULL", ssde_run_forward_tangent(run, x, NULL, label, NULL, 1, 0, 0, NULL, out, out));
    ERRORS_SAYS("mode is", ssde_run_forward_tangent(run, x, x, label, NULL, 1, 0, 0, NULL, out, out));
    ERRORS_ALONE(ssde_run_backward_tangent(NULL, NULL, out, NULL));
    ERRORS_SAYS("mode is", ssde_run_backward_tangent(run, NULL, out, NULL));
    free(weights);
    ssde_run_destroy(run);
    ssde_net_destroy(twice);
    ssde_net_destroy(unfinished);
    ssde_net_destroy(net);
}

static void test_errors_trained(void) {
    ssde_context *c = errors_begin();
    ssde_sde vp = ssde_vp(0.1, 20.0), read;
    ssde_mlp_desc mlp = ssde_mlp(2);
    ssde_unet_desc unet = ssde_ddpmpp(8, 8, 1);
    ssde_unet2d_desc general = ssde_unet2d(8, 8, 1);
    ssde_refinenet_desc refined;
    ssde_openai_desc published;
    ssde_unet2d_desc shape;
    double levels[2];
    int level_count;
    ssde_classifier_desc classifies;
    ssde_train_desc train = ssde_train_defaults(&vp, 0), wrong;
    ssde_score_net_desc how = ssde_score_net_defaults();
    ssde_net *net = NULL, *other = NULL, *class_net = NULL;
    ssde_score_net *score_net = NULL;
    ssde_classifier *classifier = NULL;
    ssde_output_map map;
    ssde_trainer *trainer = NULL;
    const char *paths[1] = {NULL};
    ssde_batch batch;
    float x[64] = {0}, out[64], label, sigma;
    double t[1] = {0.5}, loss, error;
    int32_t classes[1] = {0}, beyond[1] = {9};
    how.context = train.context = mlp.context = unet.context = c;
    train.batch = 1;
    unet.nf = 8;
    unet.num_levels = 2;
    unet.num_res_blocks = 1;
    classifies = ssde_classifier_of(&unet, 3);
    CHECK_OK(ssde_mlp_create(&net, &mlp));
    CHECK_OK(ssde_classifier_net_create(&class_net, &classifies));
    ERRORS_SAYS("score_net is NULL", ssde_score_net_create(NULL, net, &vp, &how));
    ERRORS_SAYS("net is NULL", ssde_score_net_create(&score_net, NULL, &vp, &how));
    ERRORS_SAYS("sde is NULL", ssde_score_net_create(&score_net, net, NULL, &how));
    CHECK_OK(ssde_score_net_create(&score_net, net, &vp, &how));
    ERRORS_ALONE(ssde_score_net_set_classes(NULL, classes, 1, 0));
    ERRORS_SAYS("classes", ssde_score_net_set_classes(score_net, classes, 1, 0));
    ERRORS_ALONE(ssde_score_net_set_vectors(NULL, x, 1, 0));
    ERRORS_SAYS("vectors", ssde_score_net_set_vectors(score_net, x, 1, 0));
    ERRORS_SAYS("sde is NULL", ssde_score_net_label(c, net, NULL, 0.5, &label, &sigma, &map));
    ERRORS_SAYS("t is 2", ssde_score_net_label(c, net, &vp, 2.0, &label, &sigma, &map));
    ERRORS_SAYS("label is NULL", ssde_score_net_label(c, net, &vp, 0.5, NULL, &sigma, &map));
    ERRORS_SAYS("sigma is NULL", ssde_score_net_label(c, net, &vp, 0.5, &label, NULL, &map));
    ERRORS_SAYS("classifier is NULL", ssde_classifier_create(NULL, class_net, &vp, &how));
    ERRORS_SAYS("net is NULL", ssde_classifier_create(&classifier, NULL, &vp, &how));
    ERRORS_SAYS("sde is NULL", ssde_classifier_create(&classifier, class_net, NULL, &how));
    CHECK_OK(ssde_classifier_create(&classifier, class_net, &vp, &how));
    ERRORS_ALONE(ssde_classifier_log_probability(NULL, x, t, 1, out));
    ERRORS_SAYS("x is NULL", ssde_classifier_log_probability(classifier, NULL, t, 1, out));
    ERRORS_SAYS("t is NULL", ssde_classifier_log_probability(classifier, x, NULL, 1, out));
    ERRORS_SAYS("log_probability is NULL", ssde_classifier_log_probability(classifier, x, t, 1, NULL));
    ERRORS_ALONE(ssde_classifier_gradient(NULL, x, t, NULL, 1, out));
    ERRORS_SAYS("no classes", ssde_classifier_gradient(classifier, x, t, NULL, 1, out));
    ERRORS_SAYS("gradient is NULL", ssde_classifier_gradient(classifier, x, t, NULL, 1, NULL));
    ERRORS_ALONE(ssde_classifier_set_classes(NULL, classes, 1, 0));
    ERRORS_SAYS("classes[0] is 9", ssde_classifier_set_classes(classifier, beyond, 1, 0));
    ERRORS_SAYS("logits is NULL", ssde_cross_entropy(c, NULL, classes, 1, 3, 1.0, &loss, out));
    ERRORS_SAYS("class_of is NULL", ssde_cross_entropy(c, x, NULL, 1, 3, 1.0, &loss, out));
    ERRORS_SAYS("class_of[0] is 9", ssde_cross_entropy(c, x, beyond, 1, 3, 1.0, &loss, out));
    ERRORS_SAYS("trainer is NULL", ssde_trainer_create(NULL, net, &vp, &train));
    ERRORS_SAYS("net is NULL", ssde_trainer_create(&trainer, NULL, &vp, &train));
    ERRORS_SAYS("sde is NULL", ssde_trainer_create(&trainer, net, NULL, &train));
    ERRORS_ALONE(ssde_trainer_create(&trainer, net, &vp, NULL));
    wrong = train;
    wrong.lr = (double)NAN;
    ERRORS_SAYS("lr is nan", ssde_trainer_create(&trainer, net, &vp, &wrong));
    CHECK(trainer == NULL);
    CHECK_OK(ssde_trainer_create(&trainer, net, &vp, &train));
    memset(&batch, 0, sizeof batch);
    ERRORS_ALONE(ssde_train_step(NULL, &batch, &loss));
    ERRORS_SAYS("batch is NULL", ssde_train_step(trainer, NULL, &loss));
    batch.rows = 1;
    ERRORS_SAYS("batch.x is NULL", ssde_train_step(trainer, &batch, &loss));
    batch.x = x;
    batch.rows = 2;
    ERRORS_SAYS("batch.rows is 2", ssde_train_step(trainer, &batch, &loss));
    ERRORS_ALONE(ssde_trainer_evaluate(NULL, &batch, 1, &loss, &error));
    ERRORS_SAYS("batch is NULL", ssde_trainer_evaluate(trainer, NULL, 1, &loss, &error));
    batch.rows = 0;
    ERRORS_SAYS("batch.rows is 0", ssde_trainer_evaluate(trainer, &batch, 1, &loss, &error));
    ERRORS_ALONE(ssde_trainer_set_lr(NULL, 1e-3));
    ERRORS_SAYS("lr is -1", ssde_trainer_set_lr(trainer, -1.0));
    ERRORS_ALONE(ssde_trainer_save(NULL, "none"));
    ERRORS_SAYS("path is NULL", ssde_trainer_save(trainer, NULL));
    ERRORS_ALONE(ssde_trainer_load(NULL, "none"));
    ERRORS_SAYS("path is NULL", ssde_trainer_load(trainer, NULL));
    ERRORS_ALONE(ssde_trainer_save_model(NULL, "none"));
    ERRORS_SAYS("path is NULL", ssde_trainer_save_model(trainer, NULL));
    ERRORS_ALONE(ssde_trainer_save_averages(NULL, "none"));
    ERRORS_SAYS("path is NULL", ssde_trainer_save_averages(trainer, NULL));
    ERRORS_SAYS("keep_averages was 0", ssde_trainer_save_averages(trainer, "none"));
    ERRORS_ALONE(ssde_net_reconstruct_average(NULL, paths, 1, 0.07, NULL));
    ERRORS_SAYS("paths is NULL", ssde_net_reconstruct_average(net, NULL, 1, 0.07, NULL));
    ERRORS_SAYS("paths[0] is NULL", ssde_net_reconstruct_average(net, paths, 1, 0.07, NULL));
    ERRORS_SAYS("count is 0", ssde_net_reconstruct_average(net, paths, 0, 0.07, NULL));
    paths[0] = "no such file";
    ERRORS_SAYS("sigma_rel is nan", ssde_net_reconstruct_average(net, paths, 1, (double)NAN, NULL));
    ERRORS_SAYS("no such file", ssde_net_reconstruct_average(net, paths, 1, 0.07, NULL));
    ERRORS_SAYS("name is NULL", ssde_configuration(c, NULL, &unet, &vp, &train));
    ERRORS_SAYS("'none'", ssde_configuration(c, "none", &unet, &vp, &train));
    ERRORS_SAYS("name is NULL", ssde_refinenet_configuration(c, NULL, &refined, &vp, &train));
    ERRORS_SAYS("'none'", ssde_refinenet_configuration(c, "none", &refined, &vp, &train));
    ERRORS_ALONE(ssde_net_save(NULL, &vp, "none"));
    ERRORS_SAYS("path is NULL", ssde_net_save(net, &vp, NULL));
    ERRORS_ALONE(ssde_net_save_diffusers(NULL, &vp, "none"));
    ERRORS_SAYS("folder is NULL or empty", ssde_net_save_diffusers(net, &vp, NULL));
    ERRORS_SAYS("net is NULL", ssde_net_load(c, NULL, &read, "none"));
    ERRORS_SAYS("path is NULL", ssde_net_load(c, &other, &read, NULL));
    ERRORS_ALONE(ssde_net_load_weights(NULL, "none"));
    ERRORS_SAYS("path is NULL", ssde_net_load_weights(net, NULL));
    ERRORS_ALONE(ssde_net_load_pth(NULL, "none", SSDE_PTH_EMA));
    ERRORS_SAYS("path is NULL", ssde_net_load_pth(net, NULL, SSDE_PTH_EMA));
    ERRORS_OF_ENUM("weights is 77", ssde_net_load_pth(net, "none", ERRORS_ENUM(ssde_pth_weights)));
    ERRORS_SAYS("name is NULL", ssde_openai_find(c, NULL, &published));
    ERRORS_SAYS("desc is NULL", ssde_openai_find(c, "lsun_cat", NULL));
    ERRORS_SAYS("'none'", ssde_openai_find(c, "none", &published));
    published = ssde_openai_defaults(64);
    published.context = c;
    ERRORS_ALONE(ssde_openai_unet2d(NULL, &shape));
    ERRORS_SAYS("shape is NULL", ssde_openai_unet2d(&published, NULL));
    ERRORS_SAYS("net is NULL", ssde_openai_create(NULL, &published));
    ERRORS_ALONE(ssde_openai_create(&other, NULL));
    ERRORS_ALONE(ssde_openai_levels(NULL, NULL, levels, levels, levels, &level_count));
    ERRORS_SAYS("mean is NULL", ssde_openai_levels(&published, NULL, NULL, levels, levels, &level_count));
    ERRORS_SAYS("std is NULL", ssde_openai_levels(&published, NULL, levels, NULL, levels, &level_count));
    ERRORS_SAYS("label is NULL", ssde_openai_levels(&published, NULL, levels, levels, NULL, &level_count));
    ERRORS_SAYS("levels is NULL", ssde_openai_levels(&published, NULL, levels, levels, levels, NULL));
    ERRORS_SAYS("net is NULL", ssde_net_load_openai(NULL, &published, "none"));
    ERRORS_ALONE(ssde_net_load_openai(&other, NULL, "none"));
    ERRORS_SAYS("path is NULL", ssde_net_load_openai(&other, &published, NULL));
    ERRORS_SAYS("net is NULL", ssde_net_load_diffusers(c, NULL, "none", "none"));
    ERRORS_SAYS("config_path is NULL", ssde_net_load_diffusers(c, &other, NULL, "none"));
    ERRORS_SAYS("weights_path is NULL", ssde_net_load_diffusers(c, &other, "none", NULL));
    ERRORS_SAYS("none", ssde_net_load_diffusers(c, &other, "none", "none"));
    ERRORS_SAYS("desc is NULL", ssde_unet2d_config(c, NULL, "none"));
    ERRORS_SAYS("config_path is NULL", ssde_unet2d_config(c, &general, NULL));
    ERRORS_SAYS("none", ssde_unet2d_config(c, &general, "none"));
    general.context = c;
    ERRORS_SAYS("net is NULL", ssde_unet2d_load(NULL, &general, "none"));
    ERRORS_SAYS("weights_path is NULL", ssde_unet2d_load(&other, &general, NULL));
    ERRORS_SAYS("none", ssde_unet2d_load(&other, &general, "none"));
    CHECK(other == NULL);
    ssde_trainer_destroy(trainer);
    ssde_classifier_destroy(classifier);
    ssde_score_net_destroy(score_net);
    ssde_net_destroy(class_net);
    ssde_net_destroy(net);
}

static void test_errors_steps(void) {
    ssde_context *c = errors_begin();
    ssde_sde vp = ssde_vp(0.1, 20.0);
    ssde_sampler_desc how = ssde_sampler_defaults();
    ssde_predictor predictor;
    ssde_corrector corrector;
    const uint64_t sample[1] = {0};
    float x[2] = {0.0f, 0.0f}, work[8], out[2];
    double t[1] = {0.5}, next[1] = {0.25}, later[1] = {0.75}, times[5];
    how.context = c;
    ERRORS_SAYS("times is NULL", ssde_time_grid(c, SSDE_GRID_UNIFORM, 1e-3, 4, NULL));
    ERRORS_SAYS("steps is 0", ssde_time_grid(c, SSDE_GRID_UNIFORM, 1e-3, 0, times));
    ERRORS_OF_ENUM("grid is 77", ssde_time_grid(c, ERRORS_ENUM(ssde_grid), 1e-3, 4, times));
    ERRORS_SAYS("eps is nan", ssde_time_grid(c, SSDE_GRID_UNIFORM, (double)NAN, 4, times));
    ERRORS_SAYS("sde is NULL", ssde_sde_time_grid(c, NULL, SSDE_GRID_UNIFORM, 7.0, 1e-3, 4, times));
    ERRORS_SAYS("times is NULL", ssde_sde_time_grid(c, &vp, SSDE_GRID_UNIFORM, 7.0, 1e-3, 4, NULL));
    ERRORS_OF_ENUM("grid is 77", ssde_sde_time_grid(c, &vp, ERRORS_ENUM(ssde_grid), 7.0, 1e-3, 4, times));
    ERRORS_SAYS("sde is NULL", ssde_noise_time(c, NULL, 1.0, t + 0));
    ERRORS_SAYS("t is NULL", ssde_noise_time(c, &vp, 1.0, NULL));
    ERRORS_SAYS("noise is -1", ssde_noise_time(c, &vp, -1.0, times));
    ERRORS_SAYS("t is NULL", ssde_brownian(c, NULL, 1, NULL, sample, 1, 2, work, out));
    ERRORS_SAYS("sample is NULL", ssde_brownian(c, NULL, 1, t, NULL, 1, 2, work, out));
    ERRORS_SAYS("work is NULL", ssde_brownian(c, NULL, 1, t, sample, 1, 2, NULL, out));
    ERRORS_SAYS("out is NULL", ssde_brownian(c, NULL, 1, t, sample, 1, 2, work, NULL));
    ERRORS_SAYS("sde is NULL", ssde_predictor_step(NULL, &how, x, x, x, t, next, 1, 2, out, NULL));
    ERRORS_SAYS("x is NULL", ssde_predictor_step(&vp, &how, NULL, x, x, t, next, 1, 2, out, NULL));
    ERRORS_SAYS("score is NULL", ssde_predictor_step(&vp, &how, x, NULL, x, t, next, 1, 2, out, NULL));
    ERRORS_SAYS("t is NULL", ssde_predictor_step(&vp, &how, x, x, x, NULL, next, 1, 2, out, NULL));
    ERRORS_SAYS("t_next is NULL", ssde_predictor_step(&vp, &how, x, x, x, t, NULL, 1, 2, out, NULL));
    ERRORS_SAYS("t_next[0] is 0.75", ssde_predictor_step(&vp, &how, x, x, x, t, later, 1, 2, out, NULL));
    ERRORS_SAYS("x_next is NULL", ssde_predictor_step(&vp, &how, x, x, x, t, next, 1, 2, NULL, NULL));
    ERRORS_SAYS("rows is 0", ssde_predictor_step(&vp, &how, x, x, x, t, next, 0, 2, out, NULL));
    how.predictor = ERRORS_ENUM(ssde_predictor);
    ERRORS_OF_ENUM("predictor is 77", ssde_predictor_step(&vp, &how, x, x, x, t, next, 1, 2, out, NULL));
    how.predictor = SSDE_PREDICTOR_DEFAULT;
    ERRORS_SAYS("sde is NULL", ssde_clip_score(NULL, &how, x, t, 1, 2, out));
    ERRORS_SAYS("x is NULL", ssde_clip_score(&vp, &how, NULL, t, 1, 2, out));
    ERRORS_SAYS("t is NULL", ssde_clip_score(&vp, &how, x, NULL, 1, 2, out));
    ERRORS_SAYS("score is NULL", ssde_clip_score(&vp, &how, x, t, 1, 2, NULL));
    how.clip.kind = ERRORS_ENUM(ssde_clip_kind);
    ERRORS_OF_ENUM("clip.kind is 77", ssde_clip_score(&vp, &how, x, t, 1, 2, out));
    how.clip.kind = SSDE_CLIP_NONE;
    ERRORS_SAYS("sde is NULL", ssde_corrector_step(NULL, &how, x, x, x, t, 1, 2, out, NULL));
    ERRORS_SAYS("z is NULL", ssde_corrector_step(&vp, &how, x, x, NULL, t, 1, 2, out, NULL));
    ERRORS_SAYS("x_next is NULL", ssde_corrector_step(&vp, &how, x, x, x, t, 1, 2, NULL, NULL));
    ERRORS_SAYS("name is NULL", ssde_predictor_find(c, NULL, &predictor));
    ERRORS_SAYS("'none_such'", ssde_predictor_find(c, "none_such", &predictor));
    ERRORS_SAYS("predictor is NULL", ssde_predictor_find(c, "ddim", NULL));
    ERRORS_SAYS("name is NULL", ssde_corrector_find(c, NULL, &corrector));
    ERRORS_SAYS("'none_such'", ssde_corrector_find(c, "none_such", &corrector));
    ERRORS_SAYS("corrector is NULL", ssde_corrector_find(c, "none", NULL));
}

static void test_errors_solvers(void) {
    ssde_context *c = errors_begin();
    ssde_sde vp = ssde_vp(0.1, 20.0);
    ssde_score_model model, failing;
    ssde_sampler_desc how = ssde_sampler_defaults();
    ssde_flow_desc flow = ssde_flow_defaults();
    ssde_ode_desc ode = ssde_ode_defaults();
    ssde_likelihood_desc price = ssde_likelihood_defaults();
    ssde_likelihood_result result;
    ssde_condition condition;
    ssde_guided *guided = NULL;
    ssde_cfg_desc free_desc = ssde_cfg_defaults();
    ssde_cfg *free_model = NULL;
    ssde_converted *converted = NULL;
    ssde_scheduler *scheduler = NULL;
    ssde_rng rng = ssde_rng_seed(1);
    ssde_stein_desc stein = ssde_stein_defaults();
    ssde_stein_result discrepancy;
    ssde_fisher_desc fisher = ssde_fisher_defaults();
    ssde_fisher_result divergence;
    const float pair[4] = {0.1f, 0.2f, -0.3f, 0.4f};
    float x[2] = {0.1f, 0.2f}, out[2];
    double y[2] = {1.0, 2.0};
    memset(&model, 0, sizeof model);
    how.context = flow.context = ode.context = price.context = free_desc.context = c;
    stein.context = fisher.context = c;
    how.steps = 4;
    model.dim = 2;
    model.score = errors_score;
    failing = model;
    failing.user = &failing;
    condition = ssde_guide(ssde_classifier_gradient, NULL, 1.0);
    ERRORS_SAYS("scheduler is NULL", ssde_scheduler_create(c, NULL, "{}", 2, NULL));
    ERRORS_SAYS("json is NULL", ssde_scheduler_create(c, &scheduler, NULL, 2, NULL));
    ERRORS_SAYS("'_class_name'", ssde_scheduler_create(c, &scheduler, "{}", 2, NULL));
    ERRORS_SAYS("scheduler is NULL", ssde_scheduler_load(c, NULL, "none", NULL));
    ERRORS_SAYS("path is NULL", ssde_scheduler_load(c, &scheduler, NULL, NULL));
    ERRORS_SAYS("sde is NULL", ssde_sample(NULL, &model, &how, &rng, 1, x));
    ERRORS_SAYS("model is NULL", ssde_sample(&vp, NULL, &how, &rng, 1, x));
    ERRORS_SAYS("rng is NULL", ssde_sample(&vp, &model, &how, NULL, 1, x));
    ERRORS_SAYS("n is 0", ssde_sample(&vp, &model, &how, &rng, 0, x));
    ERRORS_SAYS("x is NULL", ssde_sample(&vp, &model, &how, &rng, 1, NULL));
    ERRORS_SAYS("model->score", ssde_sample(&vp, &failing, &how, &rng, 1, x));
    ERRORS_SAYS("guided is NULL", ssde_guided_create(c, NULL, &vp, &model, &condition, 0, 1));
    ERRORS_SAYS("sde is NULL", ssde_guided_create(c, &guided, NULL, &model, &condition, 0, 1));
    ERRORS_SAYS("model is NULL", ssde_guided_create(c, &guided, &vp, NULL, &condition, 0, 1));
    ERRORS_SAYS("condition", ssde_guided_create(c, &guided, &vp, &model, NULL, 0, 1));
    ERRORS_SAYS("n is 0", ssde_guided_create(c, &guided, &vp, &model, &condition, 0, 0));
    free_desc.conditional = free_desc.unconditional = model;
    ERRORS_SAYS("guided is NULL", ssde_cfg_create(NULL, &vp, &free_desc));
    ERRORS_SAYS("sde is NULL", ssde_cfg_create(&free_model, NULL, &free_desc));
    ERRORS_ALONE(ssde_cfg_create(&free_model, &vp, NULL));
    free_desc.weight = (double)NAN;
    ERRORS_SAYS("weight is nan", ssde_cfg_create(&free_model, &vp, &free_desc));
    ERRORS_SAYS("converted is NULL", ssde_converted_create(c, NULL, &vp, &model, &vp));
    ERRORS_SAYS("from is NULL", ssde_converted_create(c, &converted, NULL, &model, &vp));
    ERRORS_SAYS("model is NULL", ssde_converted_create(c, &converted, &vp, NULL, &vp));
    ERRORS_SAYS("to is NULL", ssde_converted_create(c, &converted, &vp, &model, NULL));
    ERRORS_SAYS("function is NULL", ssde_ode_integrate(&ode, NULL, NULL, 1, 2, 0.0, 1.0, y, NULL));
    ERRORS_SAYS("y is NULL", ssde_ode_integrate(&ode, errors_ode, NULL, 1, 2, 0.0, 1.0, NULL, NULL));
    ERRORS_SAYS("systems is 0", ssde_ode_integrate(&ode, errors_ode, NULL, 0, 2, 0.0, 1.0, y, NULL));
    ERRORS_SAYS("t0 is nan", ssde_ode_integrate(&ode, errors_ode, NULL, 1, 2, (double)NAN, 1.0, y, NULL));
    ERRORS_SAYS("function", ssde_ode_integrate(&ode, errors_ode, &ode, 1, 2, 0.0, 1.0, y, NULL));
    ERRORS_SAYS("function is NULL", ssde_ode_integrate_batch(&ode, NULL, NULL, 1, 2, 0.0, 1.0, y, NULL));
    ERRORS_SAYS("sde is NULL", ssde_sample_ode(NULL, &model, &flow, &rng, 1, x, NULL));
    ERRORS_SAYS("rng is NULL", ssde_sample_ode(&vp, &model, &flow, NULL, 1, x, NULL));
    ERRORS_SAYS("x is NULL", ssde_sample_ode(&vp, &model, &flow, &rng, 1, NULL, NULL));
    ERRORS_SAYS("score", ssde_sample_ode(&vp, &failing, &flow, &rng, 1, x, NULL));
    ERRORS_SAYS("model is NULL", ssde_sample_ode_batch(&vp, NULL, &flow, &rng, 1, x, NULL));
    ERRORS_SAYS("x is NULL", ssde_encode(&vp, &model, &flow, 0, 1, NULL, out, NULL));
    ERRORS_SAYS("latent is NULL", ssde_encode(&vp, &model, &flow, 0, 1, x, NULL, NULL));
    ERRORS_SAYS("latent is NULL", ssde_decode(&vp, &model, &flow, 0, 1, NULL, out, NULL));
    ERRORS_SAYS("x is NULL", ssde_decode(&vp, &model, &flow, 0, 1, x, NULL, NULL));
    ERRORS_SAYS("a is NULL", ssde_interpolate(c, NULL, x, 0.5, 1, 2, out));
    ERRORS_SAYS("b is NULL", ssde_interpolate(c, x, NULL, 0.5, 1, 2, out));
    ERRORS_SAYS("out is NULL", ssde_interpolate(c, x, x, 0.5, 1, 2, NULL));
    ERRORS_SAYS("weight is 2", ssde_interpolate(c, x, x, 2.0, 1, 2, out));
    ERRORS_SAYS("results is NULL", ssde_likelihood(&vp, &model, &price, &rng, 1, x, NULL));
    ERRORS_SAYS("rng is NULL", ssde_likelihood(&vp, &model, &price, NULL, 1, x, &result));
    ERRORS_SAYS("x is NULL", ssde_likelihood(&vp, &model, &price, &rng, 1, NULL, &result));
    ERRORS_SAYS("score", ssde_likelihood(&vp, &failing, &price, &rng, 1, x, &result));
    ERRORS_SAYS("results is NULL", ssde_likelihood_batch(&vp, &model, &price, &rng, 1, x, NULL));
    ERRORS_SAYS("model is NULL", ssde_stein_discrepancy(NULL, &stein, &rng, 2, pair, &discrepancy));
    ERRORS_SAYS("rng is NULL", ssde_stein_discrepancy(&model, &stein, NULL, 2, pair, &discrepancy));
    ERRORS_SAYS("n is 0", ssde_stein_discrepancy(&model, &stein, &rng, 0, pair, &discrepancy));
    ERRORS_SAYS("x is NULL", ssde_stein_discrepancy(&model, &stein, &rng, 2, NULL, &discrepancy));
    ERRORS_SAYS("result is NULL", ssde_stein_discrepancy(&model, &stein, &rng, 2, pair, NULL));
    ERRORS_SAYS("score", ssde_stein_discrepancy(&failing, &stein, &rng, 2, pair, &discrepancy));
    ERRORS_SAYS("sde is NULL", ssde_fisher_divergence(NULL, &model, &model, &fisher, &rng, 1, x, &divergence));
    ERRORS_SAYS("model is NULL", ssde_fisher_divergence(&vp, NULL, &model, &fisher, &rng, 1, x, &divergence));
    ERRORS_SAYS("b is NULL", ssde_fisher_divergence(&vp, &model, NULL, &fisher, &rng, 1, x, &divergence));
    ERRORS_SAYS("rng is NULL", ssde_fisher_divergence(&vp, &model, &model, &fisher, NULL, 1, x, &divergence));
    ERRORS_SAYS("n is 0", ssde_fisher_divergence(&vp, &model, &model, &fisher, &rng, 0, x, &divergence));
    ERRORS_SAYS("x is NULL", ssde_fisher_divergence(&vp, &model, &model, &fisher, &rng, 1, NULL, &divergence));
    ERRORS_SAYS("result is NULL", ssde_fisher_divergence(&vp, &model, &model, &fisher, &rng, 1, x, NULL));
    ERRORS_SAYS("score", ssde_fisher_divergence(&vp, &model, &failing, &fisher, &rng, 1, x, &divergence));
    price.trace = ERRORS_ENUM(ssde_trace);
    ERRORS_OF_ENUM("trace is 77", ssde_likelihood(&vp, &model, &price, &rng, 1, x, &result));
}

#define TEST_ACROSS_LIST(X) \
    X(memory_told)          \
    X(memory_refused)       \
    X(memory_objects)       \
    X(errors_tensors)       \
    X(errors_random)        \
    X(errors_sde)           \
    X(errors_simulation)    \
    X(errors_loss)          \
    X(errors_nets)          \
    X(errors_trained)       \
    X(errors_steps)         \
    X(errors_solvers)

#endif
