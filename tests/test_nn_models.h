/* Networks in files: the library's, the reference's, diffusers'. */
#ifndef TEST_NN_MODELS_H
#define TEST_NN_MODELS_H

#include <locale.h>

#include "check.h"
#include "fixtures_core.h"
#include "fixtures_nn.h"
#include "golden.h"

/* ---- models: training with classes ---- */

/* Files of every way come back as they were. */
static void test_models_conditioning(void) {
    ssde_context context = ssde_context_defaults();
    int noise;
    for (noise = SSDE_NOISE_EMBEDDING; noise <= SSDE_NOISE_SCALE_SHIFT; noise++) {
        ssde_net *net = conditioning_net((ssde_noise_conditioning)noise, 5, 9), *read = NULL;
        CHECK_OK(ssde_net_save(net, NULL, CONDITIONING_PATH));
        CHECK_OK(ssde_net_load(&context, &read, NULL, CONDITIONING_PATH));
        if (read) {
            CHECK(!strcmp(net->description, read->description) && ssde_net_classes(read) == 5);
            CHECK(net->node_count == read->node_count);
            CHECK_SAME(net->weights, read->weights, ssde_net_weight_count(net) * sizeof(float));
        }
        ssde_net_destroy(read);
        ssde_net_destroy(net);
    }
    remove(CONDITIONING_PATH);
}

/* ---- models ---- */

/* The same topology as far as a file tells, and the same weights. */
static void files_check_same_net(const ssde_net *a, const ssde_net *b) {
    CHECK(a && b && a->node_count == b->node_count && a->weight_count == b->weight_count);
    if (!a || !b || a->node_count != b->node_count || a->weight_count != b->weight_count) return;
    CHECK_SAME(a->nodes, b->nodes, (size_t)a->node_count * sizeof *a->nodes);
    CHECK_SAME(a->weights, b->weights, a->weight_count * sizeof *a->weights);
}

/* ---- models: checksums ---- */

/* Writes what a file holds in another order of tensors and keys, as another program may. */
static void files_rewrite_backwards(const char *from, const char *to) {
    static unsigned char bytes[65536], data[65536];
    ssdei_text header;
    ssde_tensor_file *file;
    size_t size = files_read(from, bytes, sizeof bytes), used = 0, i;
    unsigned char length[8];
    FILE *stream = fopen(to, "wb");
    memset(&header, 0, sizeof header);
    CHECK_OK(ssde_tensor_file_open(NULL, &file, from));
    ssdei_text_add(&header, "{ ");
    for (i = file->count; i-- > 0;) {
        const ssdei_entry *entry = &file->entries[i];
        int axis;
        memcpy(data + used, bytes + file->data_start + entry->begin, (size_t)(entry->end - entry->begin));
        ssdei_text_add_string(&header, entry->info.name);
        ssdei_text_add(&header, " : {\"data_offsets\": [");
        ssdei_text_add_unsigned(&header, used);
        used += (size_t)(entry->end - entry->begin);
        ssdei_text_add(&header, ", ");
        ssdei_text_add_unsigned(&header, used);
        ssdei_text_add(&header, "], \"shape\": [");
        for (axis = 0; axis < entry->info.rank; axis++) {
            if (axis) ssdei_text_add(&header, ", ");
            ssdei_text_add_unsigned(&header, entry->info.shape[axis]);
        }
        ssdei_text_add(&header, "], \"dtype\": \"F32\"},\n");
    }
    ssdei_text_add(&header, "\"__metadata__\": {");
    for (i = file->metadata_count; i-- > 0;) {
        ssdei_text_add_string(&header, file->metadata[i].key);
        ssdei_text_add(&header, ": ");
        ssdei_text_add_string(&header, file->metadata[i].value);
        if (i) ssdei_text_add(&header, ", ");
    }
    ssdei_text_add(&header, "}}");
    for (i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)header.size >> 8 * i);
    CHECK(size && stream && fwrite(length, 1, 8, stream) && fwrite(header.data, 1, header.size, stream) == header.size);
    CHECK(stream && fwrite(data, 1, used, stream) == used);
    if (stream) fclose(stream);
    ssdei_text_release(&header);
    ssde_tensor_file_close(file);
}

/* Any flipped bit of a model is noticed, wherever it is; so is an edited key. */
static void test_models_checksums(void) {
    static unsigned char bytes[65536], edited[65536];
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    ssde_net *net = files_mlp(&context, 2, 4, 1, 3), *other;
    ssde_sde sde = ssde_vp(0.1, 20.0), read;
    ssde_tensor_file *file;
    const char *value;
    char key[128], digits[9];
    size_t size, header, i, last, missed = 0;
    long live;
    if (!net) return;
    CHECK_OK(ssde_net_save(net, &sde, FILES_PATH));
    size = files_read(FILES_PATH, bytes, sizeof bytes);
    header = 8 + ((size_t)bytes[0] | (size_t)bytes[1] << 8);
    last = net->parameter_count - 1;
    CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PATH));
    snprintf(key, sizeof key, "scoresde.crc32:%s", net->parameters[last].info.name);
    snprintf(digits, sizeof digits, "%08lx",
             (unsigned long)files_plain_crc(bytes + size - 4 * net->parameters[last].info.count,
                                            4 * net->parameters[last].info.count));
    value = ssde_tensor_file_metadata(file, key);
    CHECK(value && !strcmp(value, digits));
    ssde_tensor_file_close(file);
    live = memory.live;
    for (i = 0; i < 8 * size; i += check_quick ? 9 : 1) { /* every bit of a byte in its turn */
        files_flip(FILES_PATH, i);
        missed += ssde_net_load(&context, &other, &read, FILES_PATH) == SSDE_OK;
        if (i % 5 == 0) missed += ssde_net_load_weights(net, FILES_PATH) == SSDE_OK;
        CHECK(memory.live == live);
        files_flip(FILES_PATH, i);
    }
    CHECK(missed == 0);
    CHECK_OK(ssde_net_load(&context, &other, &read, FILES_PATH));
    ssde_net_destroy(other);
    files_flip(FILES_PATH, 8 * size - 9);
    CHECK_FAILS(&context, ssde_net_load_weights(net, FILES_PATH), SSDE_ERROR_FORMAT, net->parameters[last].info.name);
    CHECK(strstr(context.error, "is damaged") != NULL);
    /* an edited description is noticed on opening; without checksums nothing is */
    for (i = 0; memcmp(bytes + i, "config", 6);) i++;
    memcpy(edited, bytes, size);
    edited[i] = 'C';
    write_file(FILES_PATH, edited, size);
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PATH), SSDE_ERROR_FORMAT, "was edited");
    files_strip_checksums(edited, header);
    write_file(FILES_PATH, edited, size);
    CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PATH));
    CHECK(file && ssde_tensor_file_metadata(file, "Config") != NULL);
    ssde_tensor_file_close(file);
    /* capital digits, keys that are gone or of no tensor */
    for (i = 0; i + 14 < header; i++) {
        if (memcmp(bytes + i, "scoresde.crc32", 14)) continue;
        memcpy(edited, bytes, size);
        edited[i] = 'S';
        write_file(FILES_PATH, edited, size);
        CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PATH), SSDE_ERROR_FORMAT, "scoresde.crc32");
        CHECK(bytes[i + 14] == '"' || bytes[i + 14] == ':');
        if (bytes[i + 14] == '"') continue;
        edited[i] = 's', edited[i + 15] = 'X';
        write_file(FILES_PATH, edited, size);
        CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PATH), SSDE_ERROR_FORMAT, "no tensor");
    }
    /* another order of the same */
    write_file(FILES_PATH, bytes, size);
    files_rewrite_backwards(FILES_PATH, FILES_OTHER);
    CHECK_OK(ssde_net_load(&context, &other, &read, FILES_OTHER));
    files_check_same_net(net, other);
    ssde_net_destroy(other);
    ssde_net_destroy(net);
    CHECK(memory.live == 0);
    remove(FILES_PATH);
    remove(FILES_OTHER);
}

/* ---- models ---- */

static void test_models_round_trip(void) {
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    ssde_unet_desc unet = files_unet_desc(&context);
    ssde_sde sdes[4], read;
    ssde_net *net, *again;
    int i;
    sdes[0] = ssde_ve(0.0123456789, 37.5);
    sdes[1] = ssde_vp(0.1, 20.0);
    sdes[2] = ssde_subvp(0.2, 19.0);
    sdes[0].num_scales = 500;
    sdes[2].prior_std = 1.25;
    sdes[3] = ssde_rectified_flow();
    CHECK_OK(ssde_unet_create(&net, &unet));
    for (i = 0; i < 4; i++) {
        CHECK_OK(ssde_net_save(net, &sdes[i], FILES_PATH));
        CHECK_OK(ssde_net_load(&context, &again, &read, FILES_PATH));
        CHECK(read.kind == sdes[i].kind && read.num_scales == sdes[i].num_scales);
        if (i == 0)
            CHECK(read.sigma_min == sdes[i].sigma_min && read.sigma_max == sdes[i].sigma_max);
        else if (i < 3)
            CHECK(read.beta_min == sdes[i].beta_min && read.beta_max == sdes[i].beta_max);
        CHECK(read.prior_std == sdes[i].prior_std);
        CHECK(again && again->description && net->description && !strcmp(again->description, net->description));
        files_check_same_net(net, again);
        ssde_net_destroy(again);
    }
    CHECK_OK(ssde_net_save(net, NULL, FILES_PATH));
    CHECK_OK(ssde_net_load(&context, &again, NULL, FILES_PATH));
    files_check_same_net(net, again);
    ssde_net_destroy(again);
    CHECK_FAILS(&context, ssde_net_load(&context, &again, &read, FILES_PATH), SSDE_ERROR_FORMAT, "training.sde");
    CHECK(!again);
    ssde_net_destroy(net);
    unet = ssde_ncsnpp(16, 16, 3); /* everything that the first network has not */
    unet.nf = 8;
    unet.num_levels = 3;
    unet.num_res_blocks = 1;
    unet.progressive = SSDE_OUTPUT_SKIP;
    unet.progressive_input = SSDE_INPUT_SKIP;
    unet.progressive_combine = SSDE_COMBINE_CAT;
    unet.fourier_scale = 3.7;
    unet.context = &context;
    CHECK_OK(ssde_unet_create(&net, &unet));
    CHECK_OK(ssde_net_save(net, &sdes[0], FILES_PATH));
    CHECK_OK(ssde_net_load(&context, &again, &read, FILES_PATH));
    files_check_same_net(net, again);
    ssde_net_destroy(again);
    ssde_net_destroy(net);
    net = files_mlp(&context, 3, 8, 2, 9);
    CHECK_OK(ssde_net_save(net, &sdes[1], FILES_PATH));
    CHECK_OK(ssde_net_load(&context, &again, &read, FILES_PATH));
    files_check_same_net(net, again);
    ssde_net_destroy(again);
    ssde_net_destroy(net);
    CHECK(memory.live == 0);
    remove(FILES_PATH);
}

/* What any other reader needs: little-endian length, JSON, data at a multiple of 8, and every tensor under its name. */
static void files_check_layout(size_t dim) {
    static unsigned char bytes[65536];
    ssde_net *net = files_mlp(NULL, dim, 4, 1, 3);
    golden_file *file;
    size_t header, i, data = 0;
    float *values = (float *)calloc(net ? net->weight_count : 1, sizeof *values);
    CHECK(net && values);
    if (!net || !values) return;
    CHECK_OK(ssde_net_save(net, NULL, FILES_PATH));
    files_read(FILES_PATH, bytes, sizeof bytes);
    header = (size_t)bytes[0] | (size_t)bytes[1] << 8;
    CHECK(header % 8 == 0 && bytes[8] == '{' && bytes[7 + header] != 0 && !bytes[2] && !bytes[7]);
    file = golden_open(FILES_PATH); /* a reader that shares nothing with ours */
    for (i = 0; i < ssde_net_parameter_count(net); i++) {
        const ssde_parameter *info = ssde_net_parameter(net, i);
        const golden_tensor *tensor = golden_find(file, info->name);
        size_t k;
        CHECK_OK(ssde_net_get(net, i, values));
        CHECK(tensor && tensor->count == info->count && !strcmp(tensor->dtype, "F32"));
        for (k = 0; k < info->count; k++) CHECK_NEAR(golden_value(tensor, k), values[k], 0.0);
        data += 4 * info->count;
    }
    CHECK(file && file->count == ssde_net_parameter_count(net));
    CHECK(files_read(FILES_PATH, bytes, sizeof bytes) == 8 + header + data);
    golden_close(file);
    free(values);
    ssde_net_destroy(net);
    remove(FILES_PATH);
}

static void test_models_layout(void) {
    size_t dim; /* and with it the length of the header */
    for (dim = 1; dim < 30; dim += 4) files_check_layout(dim);
}

/* The reference's own weights: every tensor where it belongs, whatever its order in memory. */
static void test_models_golden(void) {
    static const char *const names[] = {"ddpmpp_vp", "ddpmpp_subvp_1ch", "ncsnpp_ve", "ncsnpp_ve_skip", "ddpm_vp"};
    static const ssde_sde_kind kinds[] = {SSDE_VP, SSDE_SUBVP, SSDE_VE, SSDE_VE, SSDE_VP};
    static double wanted[65536];
    static float values[65536];
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    size_t i, j, k;
    for (i = 0; i < sizeof names / sizeof *names; i++) {
        char path[100];
        ssde_net *net;
        ssde_sde sde;
        golden_file *file;
        sprintf(path, "tests/golden/%s.weights.safetensors", names[i]);
        CHECK_OK(ssde_net_load(&context, &net, &sde, path));
        if (!net) {
            check_report(__FILE__, __LINE__, "%s", context.error);
            continue;
        }
        CHECK(sde.kind == kinds[i] && sde.num_scales == 1000);
        file = golden_open(path);
        for (j = 0; j < ssde_net_parameter_count(net); j++) {
            const ssde_parameter *info = ssde_net_parameter(net, j);
            double worst = 0.0;
            CHECK(info->count <= 65536);
            golden_doubles(file, info->name, wanted, info->count);
            CHECK_OK(ssde_net_get(net, j, values));
            for (k = 0; k < info->count; k++) worst = fmax(worst, fabs(wanted[k] - (double)values[k]));
            CHECK_NEAR(worst, 0.0, 0.0);
        }
        golden_close(file);
        ssde_net_destroy(net);
    }
    CHECK(memory.live == 0);
}

/* Writes net under a description of the caller's, leaving out tensor `without`, adding `extra`. */
static void files_save_as(const ssde_net *net, const char *config, size_t without, const char *extra) {
    ssdei_tensor_writer writer;
    ssde_parameter info;
    size_t i;
    float *scratch = ssdei_parameter_scratch(NULL, net), zero = 0.0f;
    memset(&info, 0, sizeof info);
    info.rank = 1;
    info.shape[0] = info.count = 1;
    if (extra) strcpy(info.name, extra);
    ssdei_tensor_writer_begin(&writer, NULL);
    ssdei_tensor_writer_metadata(&writer, "config", config);
    for (i = 0; i < net->parameter_count; i++)
        if (i != without)
            ssdei_tensor_writer_declare(&writer, "", net->parameters[i].info.name, net->parameters[i].info.rank,
                                        net->parameters[i].info.shape);
    if (extra) ssdei_tensor_writer_declare(&writer, "", info.name, info.rank, info.shape);
    CHECK_OK(ssdei_tensor_writer_open(&writer, FILES_PATH));
    for (i = 0; i < net->parameter_count; i++) {
        if (i == without) continue;
        ssdei_parameter_to_file(ssdei_kernels_for(NULL), &net->parameters[i], net->weights + net->parameters[i].offset,
                                scratch);
        ssdei_tensor_writer_put(&writer, scratch, net->parameters[i].info.count);
    }
    if (extra) ssdei_tensor_writer_put(&writer, &zero, 1);
    CHECK_OK(ssdei_tensor_writer_end(&writer, SSDE_OK));
    ssdei_release(NULL, scratch);
}

static void test_models_descriptions(void) {
    static const struct {
        const char *config;
        ssde_status status;
        const char *words;
    } bad[] = {
#define FILES_MLP "\"model.name\": \"mlp\", \"data.dim\": 2, "
#define FILES_REST "\"model.layers\": 1, \"model.embedding_type\": \"positional\", \"model.fourier_scale\": 16"
#define FILES_END ", \"model.scale_by_sigma\": false"
        {"", SSDE_ERROR_FORMAT, "model.name"},
        {"[]", SSDE_ERROR_FORMAT, "an object is expected"},
        {"{}", SSDE_ERROR_FORMAT, "'model.name' in its description is missing"},
        {"{\"model.name\": \"ncsnv3\"}", SSDE_ERROR_UNSUPPORTED, "'ncsnv3'"},
        {"{\"model.name\": \"ncsnv2_64\"}", SSDE_ERROR_FORMAT, "'data.image_size' in its description is missing"},
        {"{\"model.name\": 3}", SSDE_ERROR_FORMAT, "'model.name' in its description cannot be read"},
        {"{\"model.name\": \"ncsnpp\"}", SSDE_ERROR_FORMAT, "'data.image_size' in its description is missing"},
        {"{\"model.name\": \"mlp\", \"model.name\": \"mlp\"}", SSDE_ERROR_FORMAT, "the key comes twice"},
        {"{" FILES_MLP FILES_REST FILES_END "}", SSDE_ERROR_FORMAT, "'model.hidden' in its description is missing"},
        {"{" FILES_MLP "\"model.hidden\": 4.5, " FILES_REST FILES_END "}", SSDE_ERROR_FORMAT, "'model.hidden'"},
        {"{" FILES_MLP "\"model.hidden\": -4, " FILES_REST FILES_END "}", SSDE_ERROR_FORMAT, "'model.hidden'"},
        {"{" FILES_MLP "\"model.hidden\": \"4\", " FILES_REST FILES_END "}", SSDE_ERROR_FORMAT, "a number is expected"},
        {"{" FILES_MLP "\"model.hidden\": 1e99, " FILES_REST FILES_END "}", SSDE_ERROR_FORMAT, "'model.hidden'"},
        {"{" FILES_MLP "\"model.hidden\": 60000, " FILES_REST FILES_END "}", SSDE_ERROR_SHAPE,
         "describes a network of"},
        {"{" FILES_MLP "\"model.hidden\": 4, " FILES_REST ", \"model.scale_by_sigma\": 0}", SSDE_ERROR_FORMAT,
         "true or false"},
        {"{" FILES_MLP "\"model.hidden\": 5, " FILES_REST FILES_END "}", SSDE_ERROR_SHAPE, "tensor '"},
        {"{" FILES_MLP "\"model.hidden\": 4, " FILES_REST FILES_END "", SSDE_ERROR_FORMAT, "closing bracket"},
    };
    static const char good[] = "{" FILES_MLP "\"x\": [{}, 1], \"model.hidden\": 4, " FILES_REST FILES_END "}";
    static const char sde_key[] = "{" FILES_MLP "\"model.hidden\": 4, " FILES_REST FILES_END ", \"training.sde\": ";
#undef FILES_MLP
#undef FILES_REST
#undef FILES_END
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    ssde_net *net = files_mlp(NULL, 2, 4, 1, 3), *read;
    ssde_sde sde;
    char config[1000];
    size_t i, none = (size_t)-1;
    if (!net) return;
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        files_save_as(net, bad[i].config, none, NULL);
        CHECK_FAILS(&context, ssde_net_load(&context, &read, NULL, FILES_PATH), bad[i].status, bad[i].words);
        CHECK(!read && memory.live == 0);
    }
    files_save_as(net, good, none, NULL);
    CHECK_OK(ssde_net_load(&context, &read, NULL, FILES_PATH));
    files_check_same_net(net, read);
    ssde_net_destroy(read);
    for (i = 0; i < net->parameter_count; i++) {
        files_save_as(net, good, i, NULL);
        CHECK_FAILS(&context, ssde_net_load(&context, &read, NULL, FILES_PATH), SSDE_ERROR_FORMAT,
                    net->parameters[i].info.name);
    }
    files_save_as(net, good, none, "something else");
    CHECK_FAILS(&context, ssde_net_load(&context, &read, NULL, FILES_PATH), SSDE_ERROR_FORMAT, "'something else'");
    files_save_as(net, good, none, "sigmas");
    CHECK_OK(ssde_net_load(&context, &read, NULL, FILES_PATH));
    ssde_net_destroy(read);
    sprintf(config, "%s\"vesde\", \"model.sigma_min\": 0.01, \"model.sigma_max\": 50, \"model.num_scales\": 9}",
            sde_key);
    files_save_as(net, config, none, NULL);
    CHECK_OK(ssde_net_load(&context, &read, &sde, FILES_PATH));
    CHECK(sde.kind == SSDE_VE && sde.num_scales == 9 && sde.sigma_max == 50.0);
    ssde_net_destroy(read);
    sprintf(config, "%s\"vesde\", \"model.sigma_min\": 5, \"model.sigma_max\": 1, \"model.num_scales\": 9}", sde_key);
    files_save_as(net, config, none, NULL);
    CHECK_FAILS(&context, ssde_net_load(&context, &read, &sde, FILES_PATH), SSDE_ERROR_ARGUMENT, "sigma");
    sprintf(config, "%s\"vesde\", \"model.sigma_min\": 0.01, \"model.num_scales\": 9}", sde_key);
    files_save_as(net, config, none, NULL);
    CHECK_FAILS(&context, ssde_net_load(&context, &read, &sde, FILES_PATH), SSDE_ERROR_FORMAT, "model.sigma_max");
    sprintf(config, "%s\"flow\"}", sde_key);
    files_save_as(net, config, none, NULL);
    CHECK_FAILS(&context, ssde_net_load(&context, &read, &sde, FILES_PATH), SSDE_ERROR_UNSUPPORTED, "'flow'");
    sprintf(config,
            "%s\"vesde\", \"model.sigma_min\": 0.01, \"model.sigma_max\": 50, \"model.num_scales\": 9, "
            "\"training.continuous\": false}",
            sde_key);
    files_save_as(net, config, none, NULL);
    CHECK_OK(ssde_net_load(&context, &read, &sde, FILES_PATH));
    CHECK(sde.kind == SSDE_VE && sde.num_scales == 9 && ssde_net_discrete(read));
    ssde_net_destroy(read);
    files_write_header(FILES_PATH, "{}", 0);
    CHECK_FAILS(&context, ssde_net_load(&context, &read, NULL, FILES_PATH), SSDE_ERROR_FORMAT, "no description");
    CHECK_FAILS(&context, ssde_net_load(&context, NULL, NULL, FILES_PATH), SSDE_ERROR_ARGUMENT, "net is NULL");
    CHECK(memory.live == 0);
    ssde_net_destroy(net);
    remove(FILES_PATH);
}

/* What a network's output means goes with the file: a score net of what is read needs no telling. */
static void test_models_outputs(void) {
    static const char config[] =
        "{\"model.name\": \"mlp\", \"data.dim\": 2, \"model.hidden\": 4, "
        "\"model.layers\": 1, \"model.embedding_type\": \"positional\", "
        "\"model.fourier_scale\": 16, \"model.scale_by_sigma\": false%s}";
    static const struct {
        const char *more;
        ssde_status status;
        const char *words;
    } bad[] = {{", \"training.output\": \"sample\"", SSDE_ERROR_UNSUPPORTED, "'sample'"},
               {", \"training.output\": 1", SSDE_ERROR_FORMAT, "training.output"},
               {", \"training.output\": \"edm\"", SSDE_ERROR_FORMAT, "'training.sigma_data' in its description is "},
               {", \"training.output\": \"edm\", \"training.sigma_data\": 0", SSDE_ERROR_FORMAT, "1e-6 to 1e6"}};
    ssde_context context = ssde_context_defaults();
    const ssde_sde sdes[2] = {ssde_ve(0.01, 20.0), ssde_vp(0.1, 20.0)};
    ssde_net *net, *read;
    char text[1000];
    double sigma_data;
    int kind, output, way;
    size_t i;
    for (kind = 0; kind < 2; kind++)
        for (output = SSDE_PREDICT_SCORE; output < SSDE_PREDICT_COUNT; output++) {
            ssde_train_desc desc = files_train_desc(&context, &sdes[kind]);
            ssde_batch batch = files_batch();
            ssde_trainer *trainer = NULL;
            ssde_score_net *score_net = NULL;
            ssde_score_model model;
            ssde_sde sde;
            float wanted[16], found[16];
            const double t[8] = {1e-3, 0.1, 0.3, 0.3, 0.5, 0.7, 0.9, 1.0};
            net = files_mlp(NULL, 2, 8, 1, 3);
            read = NULL;
            desc.loss.output = (ssde_parameterisation)output;
            desc.loss.sigma_data = 0.1 + 0.2;
            CHECK_OK(ssde_trainer_create(&trainer, net, &sdes[kind], &desc));
            for (i = 0; i < 5; i++) CHECK_OK(ssde_train_step(trainer, &batch, NULL));
            CHECK_OK(ssde_trainer_save_model(trainer, FILES_PATH));
            CHECK_OK(ssde_score_net_create(&score_net, ssde_trainer_ema(trainer), &sdes[kind], NULL));
            model = ssde_score_net_model(score_net);
            CHECK_OK(model.score(model.user, files_points, t, NULL, 8, 0, wanted));
            ssde_score_net_destroy(score_net);
            ssde_trainer_destroy(trainer);
            for (way = 0; way < 2; way++) {
                CHECK_OK(ssde_net_load(&context, &read, &sde, FILES_PATH));
                CHECK(ssde_net_output(read, &sigma_data) == (ssde_parameterisation)output);
                CHECK(sigma_data == (output == SSDE_PREDICT_EDM ? 0.1 + 0.2 : 0.0));
                CHECK_OK(ssde_score_net_create(&score_net, read, &sde, NULL));
                model = ssde_score_net_model(score_net);
                CHECK_OK(model.score(model.user, files_points, t, NULL, 8, 0, found));
                CHECK_SAME(found, wanted, sizeof found);
                ssde_score_net_destroy(score_net);
                CHECK_OK(ssde_net_save(read, &sde, FILES_PATH));
                ssde_net_destroy(read);
            }
            ssde_net_destroy(net);
        }
    /* what nobody has told stays open; what is no meaning is refused */
    net = files_mlp(NULL, 2, 4, 1, 3);
    CHECK_OK(ssde_net_save(net, NULL, FILES_PATH));
    CHECK_OK(ssde_net_load(&context, &read, NULL, FILES_PATH));
    CHECK(ssde_net_output(read, NULL) == SSDE_PREDICT_DEFAULT);
    ssde_net_destroy(read);
    snprintf(text, sizeof text, config, "");
    files_save_as(net, text, (size_t)-1, NULL);
    CHECK_OK(ssde_net_load(&context, &read, NULL, FILES_PATH));
    CHECK(ssde_net_output(read, NULL) == SSDE_PREDICT_DEFAULT);
    ssde_net_destroy(read);
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, config, bad[i].more);
        files_save_as(net, text, (size_t)-1, NULL);
        CHECK_FAILS(&context, ssde_net_load(&context, &read, NULL, FILES_PATH), bad[i].status, bad[i].words);
    }
    ssde_net_destroy(net);
    remove(FILES_PATH);
}

static void test_models_bad_saves(void) {
    static unsigned char before[65536], after[65536];
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    ssde_net *net = files_mlp(&context, 2, 4, 1, 3), *other, *hand;
    ssde_sde affine = ssde_affine(files_no_drift, files_diffusion, NULL), vp = ssde_vp(0.1, 20.0);
    float kept, *weights = NULL;
    size_t size;
    FILE *full;
    if (!net) return;
    CHECK_OK(ssde_net_save(net, &vp, FILES_PATH));
    size = files_read(FILES_PATH, before, sizeof before);
    CHECK_FAILS(&context, ssde_net_save(net, &affine, FILES_PATH), SSDE_ERROR_UNSUPPORTED, "custom SDE");
    vp.beta_max = -1.0;
    CHECK_FAILS(&context, ssde_net_save(net, &vp, FILES_PATH), SSDE_ERROR_ARGUMENT, "beta");
    CHECK_FAILS(&context, ssde_net_save(net, NULL, NULL), SSDE_ERROR_ARGUMENT, "path is NULL");
    CHECK_FAILS(&context, ssde_net_save(net, NULL, "no such folder/file"), SSDE_ERROR_FILE, "no such folder");
    kept = net->weights[3];
    net->weights[3] = NAN;
    CHECK_FAILS(&context, ssde_net_save(net, NULL, FILES_PATH), SSDE_ERROR_NUMERIC, net->parameters[0].info.name);
    net->weights[3] = kept;
    CHECK_OK(ssde_net_create(&context, &hand, 1));
    CHECK_STATUS(ssde_net_save(hand, NULL, FILES_PATH), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_net_load_weights(hand, FILES_PATH), SSDE_ERROR_ARGUMENT);
    CHECK_OK(ssde_net_finish(hand, ssde_linear(hand, ssde_input(hand, 1, 1, 2), 2, 1.0, "dense")));
    CHECK_FAILS(&context, ssde_net_save(hand, NULL, FILES_PATH), SSDE_ERROR_UNSUPPORTED, "ssde_unet_create");
    ssde_net_destroy(hand);
    /* what was there is whole */
    CHECK(files_read(FILES_PATH, after, sizeof after) == size);
    CHECK_SAME(before, after, size);
    /* a full disk: the device that is always full, under the name the writer gives the file aside */
    full = fopen("/dev/full", "wb");
    if (full && fputc(0, full) != EOF && fflush(full)) { /* not a file that somebody put there */
        ssdei_tensor_writer writer;
        char aside[128];
        fclose(full);
        ssdei_tensor_writer_begin(&writer, &context);
        ssdei_tensor_writer_declare(&writer, "", net->parameters[0].info.name, net->parameters[0].info.rank,
                                    net->parameters[0].info.shape);
        CHECK_OK(ssdei_tensor_writer_open(&writer, FILES_OTHER));
        snprintf(aside, sizeof aside, "%s", writer.file.aside);
        fclose(writer.file.file);
        writer.file.file = fopen("/dev/full", "wb");
        ssdei_tensor_writer_put(&writer, net->weights, net->parameters[0].info.count);
        CHECK_STATUS(ssdei_tensor_writer_end(&writer, SSDE_OK), SSDE_ERROR_FILE);
        CHECK(strstr(context.error, "is the disk full?") != NULL);
        CHECK(!fopen(FILES_OTHER, "rb") && !fopen(aside, "rb"));
    }
    /* a file with errors leaves the network as it is */
    other = files_mlp(&context, 2, 4, 1, 4);
    weights = (float *)malloc(other->weight_count * sizeof *weights);
    memcpy(weights, other->weights, other->weight_count * sizeof *weights);
    before[size - 1] = 0x7f; /* the last value becomes NaN */
    before[size - 2] = 0xff;
    write_file(FILES_PATH, before, size);
    CHECK_FAILS(&context, ssde_net_load_weights(other, FILES_PATH), SSDE_ERROR_FORMAT, "damaged");
    files_strip_checksums(before, size);
    write_file(FILES_PATH, before, size);
    CHECK_FAILS(&context, ssde_net_load_weights(other, FILES_PATH), SSDE_ERROR_NUMERIC, "not finite");
    CHECK(strstr(context.error, other->parameters[other->parameter_count - 1].info.name) != NULL);
    CHECK_SAME(weights, other->weights, other->weight_count * sizeof *weights);
    write_file(FILES_PATH, after, size);
    CHECK_OK(ssde_net_load_weights(other, FILES_PATH));
    CHECK_SAME(net->weights, other->weights, other->weight_count * sizeof *weights);
    free(weights);
    ssde_net_destroy(other);
    ssde_net_destroy(net);
    CHECK(memory.live == 0);
    remove(FILES_PATH);
}

/* Opens, reads and builds whatever is there; must end with a status, freeing everything. */
static ssde_status files_try(ssde_context *context, const char *path) {
    static float values[65536];
    ssde_tensor_file *file;
    ssde_net *net;
    ssde_sde sde;
    ssde_status status = ssde_tensor_file_open(context, &file, path);
    size_t i;
    for (i = 0; i < ssde_tensor_file_count(file); i++) {
        const ssde_file_tensor *tensor = ssde_tensor_file_get(file, i);
        if (tensor->count <= sizeof values / sizeof *values) ssde_tensor_file_read(file, tensor, values);
    }
    ssde_tensor_file_close(file);
    if (ssde_net_load(context, &net, &sde, path) == SSDE_OK)
        ssde_net_destroy(net);
    else if (status == SSDE_OK)
        status = SSDE_ERROR_FORMAT;
    return status;
}

static void test_models_hostile(void) {
    static unsigned char bytes[65536];
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    ssde_net *net = files_mlp(NULL, 2, 4, 1, 3);
    ssde_sde sde = ssde_ve(0.01, 50.0);
    size_t size, header, i, opened = 0;
    if (!net) return;
    CHECK_OK(ssde_net_save(net, &sde, FILES_PATH));
    ssde_net_destroy(net);
    size = files_read(FILES_PATH, bytes, sizeof bytes);
    header = 8 + ((size_t)bytes[0] | (size_t)bytes[1] << 8);
    files_strip_checksums(bytes, header);
    write_file(FILES_PATH, bytes, size);
    CHECK_OK(files_try(&context, FILES_PATH));
    for (i = 0; i < size; i += check_quick ? 37 : i < header ? 1 : 5) {
        write_file(FILES_PATH, bytes, i);
        CHECK(files_try(&context, FILES_PATH) != SSDE_OK && memory.live == 0);
    }
    for (i = 0; i < header * 8; i += check_quick ? 137 : 7) { /* every bit of a byte in its turn */
        bytes[i / 8] = (unsigned char)(bytes[i / 8] ^ 1u << i % 8);
        write_file(FILES_PATH, bytes, size);
        opened += files_try(&context, FILES_PATH) == SSDE_OK;
        CHECK(memory.live == 0);
        bytes[i / 8] = (unsigned char)(bytes[i / 8] ^ 1u << i % 8);
    }
    CHECK(opened < header / 3); /* a digit of a sigma, or a key that nobody asks for; most flips are noticed */
    remove(FILES_PATH);
}

/* ---- models: PyTorch's files ---- */

static void files_put_string(files_buffer *pickle, const char *string) {
    files_put_text(pickle, "X");
    files_put_number(pickle, strlen(string), 4);
    files_put_text(pickle, string);
}

/* A contiguous tensor in a storage of its own, named by its number. */
static void files_put_tensor(files_buffer *pickle, int storage, const ssde_parameter *info) {
    size_t stride = info->count;
    char key[16];
    int axis;
    snprintf(key, sizeof key, "%d", storage);
    files_put_text(pickle, "ctorch._utils\n_rebuild_tensor_v2\n((");
    files_put_string(pickle, "storage");
    files_put_text(pickle, "ctorch\nFloatStorage\n");
    files_put_string(pickle, key);
    files_put_string(pickle, "cpu");
    files_put_text(pickle, "J");
    files_put_number(pickle, info->count, 4);
    files_put_text(pickle, "tQJ");
    files_put_number(pickle, 0, 4);
    files_put_text(pickle, "(");
    for (axis = 0; axis < info->rank; axis++) {
        files_put_text(pickle, "J");
        files_put_number(pickle, info->shape[axis], 4);
    }
    files_put_text(pickle, "t(");
    for (axis = 0; axis < info->rank; axis++) {
        files_put_text(pickle, "J");
        stride /= info->shape[axis];
        files_put_number(pickle, stride, 4);
    }
    files_put_text(pickle,
                   "t\x89"
                   "ccollections\nOrderedDict\n)RtR");
}

/* How a checkpoint differs from the one that the reference would write. */
typedef enum files_flaw {
    FILES_NO_FLAW,
    FILES_NO_DATA_PARALLEL, /* no "module." in its names, which is fine */
    FILES_MISSING,          /* the parameter numbered `at` */
    FILES_SHAPE,            /* of the parameter numbered `at`: one value more */
    FILES_EXTRA,
    FILES_EXTRA_SHADOW,
    FILES_MISSING_SHADOW, /* the last one */
    FILES_NO_SHADOW,      /* none, but their number */
    FILES_NOT_FINITE
} files_flaw;

/* A checkpoint as the reference would save it: the model has net's parameters, the average those plus 1. */
static void files_write_checkpoint(const char *path, const ssde_net *net, files_flaw flaw, size_t at) {
    static files_archive archive;
    static files_buffer pickle;
    static float values[4096];
    size_t i, j, k, trained = 0;
    int storages = 0, part;
    memset(&archive, 0, sizeof archive);
    pickle.size = 0;
    files_put(&pickle, "\x80\x02}(", 4);
    for (part = 0; part < 2; part++) {
        files_put_string(&pickle, part ? "ema" : "model");
        files_put_text(&pickle, part ? "}(" : "ccollections\nOrderedDict\n)R(");
        if (part) {
            files_put_string(&pickle, "shadow_params");
            files_put_text(&pickle, "](");
        }
        for (i = 0; i < net->parameter_count + 1; i++) {
            int extra = i == net->parameter_count;
            ssde_parameter info = net->parameters[extra ? 0 : i].info;
            char name[160];
            unsigned char bytes[4 * 4096];
            if (extra && flaw != (part ? FILES_EXTRA_SHADOW : FILES_EXTRA)) continue;
            if (!extra && part && !info.trainable) continue;
            if (part && flaw == FILES_MISSING_SHADOW && i == net->parameter_count - 1) continue;
            if (part && flaw == FILES_NO_SHADOW) continue;
            if (!part && flaw == FILES_MISSING && i == at) continue;
            trained += (size_t)(part != 0);
            if (!extra) CHECK_OK(ssde_net_get(net, i, values));
            for (j = 0; j < info.count && part; j++) values[j] += 1.0f;
            if (flaw == FILES_SHAPE && i == at) {
                values[info.count++] = 0.0f;
                info.shape[0] = info.count;
                info.rank = 1;
            }
            if (flaw == FILES_NOT_FINITE && i == at) values[info.count - 1] = HUGE_VALF;
            snprintf(name, sizeof name, "%s%s", flaw == FILES_NO_DATA_PARALLEL ? "" : "module.",
                     extra ? "extra" : info.name);
            if (!part) files_put_string(&pickle, name);
            files_put_tensor(&pickle, storages, &info);
            for (j = 0; j < info.count; j++) {
                uint32_t bits;
                memcpy(&bits, &values[j], sizeof bits);
                for (k = 0; k < 4; k++) bytes[4 * j + k] = (unsigned char)(bits >> 8 * k);
            }
            snprintf(name, sizeof name, "checkpoint_7/data/%d", storages++);
            files_archive_add(&archive, name, bytes, 4 * info.count);
        }
        if (part) {
            files_put_text(&pickle, "e");
            files_put_string(&pickle, "num_updates");
            files_put_text(&pickle, "K\7");
        }
        files_put_text(&pickle, "u");
    }
    CHECK(trained > 0 || flaw == FILES_NO_SHADOW);
    files_put_string(&pickle, "step");
    files_put_text(&pickle, "K\x07u.");
    files_archive_add(&archive, "checkpoint_7/data.pkl", pickle.bytes, pickle.size);
    files_archive_write(&archive, path);
}

enum { FILES_ROWS = 2, FILES_IMAGE = 3 * 16 * 16 };

/* The output for images of a golden file, rows [channels, height, width], with direct sums, against that there. */
static void files_check_output(ssde_net *net, const char *path, const char *labels_name, const char *out_name) {
    static float x[FILES_ROWS * FILES_IMAGE], expected[FILES_ROWS * FILES_IMAGE], out[FILES_ROWS * FILES_IMAGE];
    size_t height, width, channels, dim = ssde_net_dim(net);
    golden_file *file = golden_open(path);
    float labels[FILES_ROWS];
    ssde_run_desc desc = ssde_run_defaults(SSDE_RUN_INFERENCE, FILES_ROWS);
    ssde_run *run;
    desc.convolution = SSDE_CONVOLUTION_DIRECT;
    ssde_net_shape(net, &height, &width, &channels);
    CHECK(dim <= FILES_IMAGE);
    golden_images(file, "x", x, FILES_ROWS, height, width, channels);
    golden_images(file, out_name, expected, FILES_ROWS, height, width, channels);
    golden_floats(file, labels_name, labels, FILES_ROWS);
    CHECK_OK(ssde_run_create(&run, net, &desc));
    CHECK_OK(ssde_run_forward(run, x, labels, labels, FILES_ROWS, 0, 0, NULL, out));
    CHECK_ARRAY(out, expected, FILES_ROWS * dim, 2e-5);
    ssde_run_destroy(run);
    golden_close(file);
}

/* The reference's own checkpoint: network output with the averaged parameters, and the model's parameters. */
static void test_models_pth_golden(void) {
    static const char checkpoint[] = "tests/golden/ddpmpp_vp.checkpoint.pth";
    static double raw[16384];
    static float values[16384];
    ssde_context context = ssde_context_defaults();
    ssde_net *net;
    ssde_tensor_file *file;
    float *averaged;
    size_t i, j;
    CHECK_OK(ssde_net_load(&context, &net, NULL, "tests/golden/ddpmpp_vp.weights.safetensors"));
    if (!net) return;
    CHECK_OK(ssde_net_load_pth(net, checkpoint, SSDE_PTH_EMA));
    files_check_output(net, "tests/golden/ddpmpp_vp.checkpoint_io.safetensors", "labels", "out_ema");
    averaged = (float *)malloc(net->weight_count * sizeof *averaged);
    memcpy(averaged, net->weights, net->weight_count * sizeof *averaged);
    CHECK_OK(ssde_net_load_pth(net, checkpoint, SSDE_PTH_MODEL));
    CHECK(check_distance(net->weights, averaged, net->weight_count) > 1e-3); /* another network */
    CHECK_OK(ssde_tensor_file_open(&context, &file, checkpoint));
    for (i = 0; i < ssde_net_parameter_count(net); i++) {
        const ssde_parameter *info = ssde_net_parameter(net, i);
        const ssde_file_tensor *tensor;
        char name[160];
        snprintf(name, sizeof name, "model.module.%s", info->name);
        tensor = ssde_tensor_file_find(file, name);
        CHECK(tensor && tensor->count == info->count && info->count <= 16384);
        if (!tensor || tensor->count != info->count) continue;
        CHECK_OK(ssde_net_get(net, i, values));
        CHECK_OK(ssde_tensor_file_read_double(file, tensor, raw));
        for (j = 0; j < info->count; j++) CHECK_NEAR(values[j], raw[j], 0.0);
    }
    ssde_tensor_file_close(file);
    free(averaged);
    ssde_net_destroy(net);
}

/* A network with frozen frequencies, whose average therefore skips a parameter. */
static ssde_net *files_fourier_mlp(ssde_context *context) {
    ssde_mlp_desc desc = ssde_mlp(2);
    ssde_net *net = NULL;
    desc.hidden = 4;
    desc.layers = 1;
    desc.embedding_type = SSDE_EMBEDDING_FOURIER;
    desc.seed = 11;
    desc.context = context;
    ssde_mlp_create(&net, &desc);
    return net;
}

static void test_models_pth_networks(void) {
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    ssde_net *from = files_fourier_mlp(NULL), *net = files_fourier_mlp(&context);
    static float before[4096], a[4096], b[4096];
    static const struct {
        files_flaw flaw;
        size_t at;
        ssde_pth_weights weights;
        ssde_status status;
        const char *words;
    } bad[] = {{FILES_MISSING, 2, SSDE_PTH_MODEL, SSDE_ERROR_FORMAT, "has no tensor 'model.module."},
               {FILES_MISSING, 0, SSDE_PTH_MODEL, SSDE_ERROR_FORMAT, "has no tensor 'model.module.embedding.W'"},
               {FILES_SHAPE, 2, SSDE_PTH_MODEL, SSDE_ERROR_SHAPE, "has rank 1"},
               {FILES_SHAPE, 2, SSDE_PTH_EMA, SSDE_ERROR_SHAPE, "'ema.shadow_params.1' has rank 1"},
               {FILES_EXTRA, 0, SSDE_PTH_EMA, SSDE_ERROR_FORMAT, "'model.module.extra' that the network lacks"},
               {FILES_EXTRA_SHADOW, 0, SSDE_PTH_EMA, SSDE_ERROR_FORMAT, "has a tensor 'ema.shadow_params."},
               {FILES_MISSING_SHADOW, 0, SSDE_PTH_EMA, SSDE_ERROR_FORMAT, "has no tensor 'ema.shadow_params."},
               {FILES_NOT_FINITE, 2, SSDE_PTH_EMA, SSDE_ERROR_NUMERIC, "not finite"}};
    const int seven = 7;
    ssde_pth_weights other;
    size_t i, j;
    memcpy(&other, &seven, sizeof other);
    CHECK(from && net);
    if (!from || !net) return;
    CHECK(from->parameter_count == net->parameter_count && !from->parameters[0].info.trainable);
    for (i = 0; i < from->weight_count; i++) from->weights[i] = (float)i * 0.25f;
    for (i = 0; i < 4; i++) { /* the average's parameters are the model's plus 1, but for the frozen ones */
        ssde_pth_weights weights = i % 2 ? SSDE_PTH_MODEL : SSDE_PTH_EMA;
        files_write_checkpoint(FILES_PTH, from, i < 2 ? FILES_NO_FLAW : FILES_NO_DATA_PARALLEL, 0);
        CHECK_OK(ssde_net_load_pth(net, FILES_PTH, weights));
        for (j = 0; j < net->parameter_count; j++) {
            const ssde_parameter *info = &net->parameters[j].info;
            size_t k;
            CHECK_OK(ssde_net_get(net, j, a));
            CHECK_OK(ssde_net_get(from, j, b));
            for (k = 0; k < info->count; k++)
                CHECK_NEAR(a[k], b[k] + (weights == SSDE_PTH_EMA && info->trainable ? 1.0f : 0.0f), 0.0);
        }
    }
    memcpy(before, net->weights, net->weight_count * sizeof *before);
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        files_write_checkpoint(FILES_PTH, from, bad[i].flaw, bad[i].at);
        CHECK_FAILS(&context, ssde_net_load_pth(net, FILES_PTH, bad[i].weights), bad[i].status, bad[i].words);
    }
    CHECK_FAILS(&context, ssde_net_load_pth(net, FILES_PTH, other), SSDE_ERROR_ARGUMENT, "weights is 7");
    CHECK_FAILS(&context, ssde_net_load_pth(net, NULL, SSDE_PTH_EMA), SSDE_ERROR_ARGUMENT, "path is NULL");
    CHECK_FAILS(&context, ssde_net_load_pth(net, "nowhere.pth", SSDE_PTH_EMA), SSDE_ERROR_FILE, "nowhere.pth");
    CHECK_STATUS(ssde_net_load_pth(NULL, FILES_PTH, SSDE_PTH_EMA), SSDE_ERROR_ARGUMENT);
    CHECK_FAILS(&context, ssde_net_load_pth(net, "tests/golden/torch_save.pth", SSDE_PTH_EMA), SSDE_ERROR_FORMAT,
                "has no tensor 'embedding.W', under no prefix");
    CHECK_SAME(before, net->weights, net->weight_count * sizeof *before);
    ssde_net_destroy(from);
    ssde_net_destroy(net);
    CHECK(memory.live == 0);
    remove(FILES_PTH);
}

/* What torch.save writes in either format, a dictionary as the reference's and a list as NCSNv2's: the average is half
   the model. */
static void test_models_pth_formats(void) {
    static const char *const paths[] = {"tests/golden/torch_model.pth", "tests/golden/torch_model.old.pth",
                                        "tests/golden/torch_model_list.pth", "tests/golden/torch_model_list.old.pth"};
    ssde_context context = ssde_context_defaults();
    ssde_net *net = NULL;
    float bias[2];
    size_t i;
    int average;
    CHECK_OK(ssde_net_create(&context, &net, 1));
    CHECK_OK(ssde_net_finish(net, ssde_linear(net, ssde_input(net, 1, 1, 2), 2, 1.0, "w")));
    for (i = 0; i < 4; i++)
        for (average = 0; average < 2; average++) {
            CHECK_OK(ssde_net_load_pth(net, paths[i], average ? SSDE_PTH_EMA : SSDE_PTH_MODEL));
            CHECK_OK(ssde_net_get(net, ssdei_net_find_parameter(net, "w.bias"), bias));
            CHECK_NEAR(bias[0], average ? 3.5 : 7.0, 0.0);
            CHECK_NEAR(bias[1], average ? 4.0 : 8.0, 0.0);
        }
    ssde_net_destroy(net);
}

/* ---- models: what people save ---- */

/* A set of weights in a file: keys on the way to it, "a/b", what comes before its names, and what its values have more
   than the network's. */
typedef struct files_set {
    const char *keys, *wrapper;
    float more;
} files_set;

static void files_put_keys(files_buffer *pickle, const char *keys) {
    while (*keys) {
        char key[100] = "";
        size_t length = strcspn(keys, "/");
        memcpy(key, keys, length);
        files_put_string(pickle, key);
        files_put_text(pickle, "ccollections\nOrderedDict\n)R(");
        keys += length + (keys[length] == '/');
    }
}

/* What torch.save writes of a dictionary of such sets, of the tensors of a safetensors file, and of what a training
   loop adds. */
static void files_write_sets(const char *path, const char *source, const files_set *sets, size_t count, int more) {
    static files_archive archive;
    static files_buffer pickle;
    static float values[1 << 16];
    static unsigned char bytes[4 << 16];
    ssde_tensor_file *file;
    int storages = 0;
    size_t i, j, k;
    memset(&archive, 0, sizeof archive);
    pickle.size = 0;
    CHECK_OK(ssde_tensor_file_open(NULL, &file, source));
    files_put(&pickle, "\x80\2}(", 4);
    for (i = 0; i < count; i++) {
        files_put_keys(&pickle, sets[i].keys);
        for (j = 0; j < ssde_tensor_file_count(file); j++) {
            const ssde_file_tensor *tensor = ssde_tensor_file_get(file, j);
            ssde_parameter info;
            char name[200];
            memset(&info, 0, sizeof info);
            /* an average by name leaves out what is frozen */
            if (strstr(sets[i].keys, "shadow") && !strcmp(tensor->name, "embedding.W")) continue;
            CHECK(tensor->count <= sizeof values / sizeof *values && tensor->rank <= 4);
            if (tensor->count > sizeof values / sizeof *values) continue;
            CHECK_OK(ssde_tensor_file_read(file, tensor, values));
            info.rank = tensor->rank;
            info.count = tensor->count;
            memcpy(info.shape, tensor->shape, sizeof info.shape);
            for (k = 0; k < 4 * info.count; k++) {
                float value = values[k / 4] + sets[i].more;
                uint32_t bits;
                memcpy(&bits, &value, sizeof bits);
                bytes[k] = (unsigned char)(bits >> 8 * (k % 4));
            }
            snprintf(name, sizeof name, "%s%s", sets[i].wrapper, tensor->name);
            files_put_string(&pickle, name);
            files_put_tensor(&pickle, storages, &info);
            snprintf(name, sizeof name, "best.of 2/data/%d", storages++);
            files_archive_add(&archive, name, bytes, 4 * info.count);
        }
        for (j = 0; sets[i].keys[j]; j++)
            if (!j || sets[i].keys[j] == '/') files_put_text(&pickle, "u");
    }
    if (more && ssde_tensor_file_metadata(file, "config")) {
        files_put_string(&pickle, "config");
        files_put_string(&pickle, ssde_tensor_file_metadata(file, "config"));
    }
    if (more) {
        files_put_string(&pickle, "optimizer");
        files_put_text(&pickle, "}(");
        files_put_string(&pickle, "lr");
        files_put_text(&pickle, "cnumpy.core.multiarray\nscalar\n)Ru");
        files_put_string(&pickle, "epoch");
        files_put_text(&pickle, "K\7");
    }
    files_put_text(&pickle, "u.");
    files_archive_add(&archive, "best.of 2/data.pkl", pickle.bytes, pickle.size);
    files_archive_write(&archive, path);
    ssde_tensor_file_close(file);
}

/* The network has the weights of FILES_OTHER, and more. */
static void files_check_more(const ssde_net *net, const ssde_net *from, float more) {
    size_t i;
    for (i = 0; i < net->weight_count; i++) CHECK_NEAR(net->weights[i], from->weights[i] + more, 0.0);
}

/* state_dicts as they are saved: alone, under any keys, behind wrappers, with an average beside them. */
static void test_models_state_dicts(void) {
    static const char *const keys[] = {"",
                                       "state_dict",
                                       "model_state_dict",
                                       "model",
                                       "net",
                                       "params",
                                       "generator",
                                       "state_dict/model",
                                       "ema",
                                       "params_ema",
                                       "ema_model",
                                       "model_ema",
                                       "ema/state_dict",
                                       "EMA",
                                       "ema_0.9999",
                                       "averaged_model",
                                       "ema/shadow"};
    static const char *const wrappers[] = {"", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."};
    static const files_set frozen[2] = {{"model", "module.", 1}, {"ema/shadow", "", 2}};
    static const struct {
        files_set sets[3];
        size_t count;
        int averaged, model; /* which is which; -1: an error */
        const char *words;
    } several[] = {
        {{{"model", "", 1}, {"ema", "", 2}, {"", "", 0}}, 2, 1, 0, ""},
        {{{"params", "", 1}, {"params_ema", "module.", 2}, {"", "", 0}}, 2, 1, 0, ""},
        {{{"schema", "", 1}, {"ema/module", "", 2}, {"", "", 0}}, 2, 1, 0, ""},
        {{{"ema/online_model", "", 1}, {"ema/ema_model", "", 2}, {"", "", 0}}, 2, 1, 0, ""},
        {{{"model", "", 1}, {"best_model", "", 2}, {"", "", 0}}, 2, -1, -1, "'model.', 'best_model.'"},
        {{{"model", "", 1}, {"ema", "", 2}, {"ema2/ema", "", 3}}, 3, -1, 0, "'model.', 'ema.', 'ema2.ema.'"}};
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    ssde_net *from = files_mlp(NULL, 2, 4, 1, 3), *net = files_mlp(&context, 2, 4, 1, 4);
    size_t i, j;
    CHECK(from && net);
    if (!from || !net) return;
    for (i = 0; i < from->weight_count; i++) from->weights[i] = (float)i * 0.25f;
    CHECK_OK(ssde_net_save(from, NULL, FILES_OTHER));
    for (i = 0; i < sizeof keys / sizeof *keys; i++) {
        const int averaged = i >= 8;
        for (j = 0; j < sizeof wrappers / sizeof *wrappers; j++) {
            files_set set;
            set.keys = keys[i];
            set.wrapper = wrappers[j];
            set.more = (float)(i + 100 * j);
            files_write_sets(FILES_PTH, FILES_OTHER, &set, 1, *keys[i] != 0);
            CHECK_OK(ssde_net_load_weights(net, FILES_PTH));
            files_check_more(net, from, set.more);
            memset(net->weights, 0, net->weight_count * sizeof *net->weights);
            CHECK_OK(ssde_net_load_pth(net, FILES_PTH, SSDE_PTH_EMA));
            files_check_more(net, from, set.more);
            memset(net->weights, 0, net->weight_count * sizeof *net->weights);
            if (averaged)
                CHECK_FAILS(&context, ssde_net_load_pth(net, FILES_PTH, SSDE_PTH_MODEL), SSDE_ERROR_FORMAT,
                            "does not tell the model's weights");
            else {
                CHECK_OK(ssde_net_load_pth(net, FILES_PTH, SSDE_PTH_MODEL));
                files_check_more(net, from, set.more);
            }
        }
    }
    { /* parts alone: the larger is meant */
        char header[512], name[100];
        snprintf(header, sizeof header,
                 "{\"a.%s\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},"
                 "\"b.%s\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},"
                 "\"b.%s\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}",
                 ssde_net_parameter(net, 1)->name, ssde_net_parameter(net, 1)->name, ssde_net_parameter(net, 2)->name);
        snprintf(name, sizeof name, "'b.%s'", ssde_net_parameter(net, 0)->name);
        files_write_header(FILES_PATH, header, 0);
        CHECK_FAILS(&context, ssde_net_load_weights(net, FILES_PATH), SSDE_ERROR_FORMAT, name);
        remove(FILES_PATH);
    }
    for (i = 0; i < sizeof several / sizeof *several; i++) {
        files_write_sets(FILES_PTH, FILES_OTHER, several[i].sets, several[i].count, 1);
        CHECK_FAILS(&context, ssde_net_load_weights(net, FILES_PTH), SSDE_ERROR_FORMAT, several[i].words);
        for (j = 0; j < 2; j++) {
            const int which = j ? several[i].averaged : several[i].model;
            memset(net->weights, 0, net->weight_count * sizeof *net->weights);
            if (which < 0) {
                CHECK_FAILS(&context, ssde_net_load_pth(net, FILES_PTH, j ? SSDE_PTH_EMA : SSDE_PTH_MODEL),
                            SSDE_ERROR_FORMAT, several[i].words);
                continue;
            }
            CHECK_OK(ssde_net_load_pth(net, FILES_PTH, j ? SSDE_PTH_EMA : SSDE_PTH_MODEL));
            files_check_more(net, from, several[i].sets[which].more);
        }
    }
    /* a file that speaks of an average and has none */
    files_write_checkpoint(FILES_PTH, from, FILES_NO_SHADOW, 0);
    CHECK_FAILS(&context, ssde_net_load_pth(net, FILES_PTH, SSDE_PTH_EMA), SSDE_ERROR_FORMAT, "'model.module.'");
    CHECK_OK(ssde_net_load_pth(net, FILES_PTH, SSDE_PTH_MODEL));
    files_write_checkpoint(FILES_PTH, from, FILES_NO_FLAW, 0);
    CHECK_FAILS(&context, ssde_net_load_weights(net, FILES_PTH), SSDE_ERROR_FORMAT, "ssde_net_load_pth");
    CHECK_OK(ssde_net_load_pth(net, FILES_OTHER, SSDE_PTH_EMA)); /* safetensors */
    files_check_more(net, from, 0.0f);
    ssde_net_destroy(from);
    ssde_net_destroy(net);
    from = files_fourier_mlp(NULL);
    net = files_fourier_mlp(&context);
    for (i = 0; i < from->weight_count; i++) from->weights[i] = (float)i * 0.25f;
    CHECK_OK(ssde_net_save(from, NULL, FILES_OTHER));
    files_write_sets(FILES_PTH, FILES_OTHER, frozen, 2, 1);
    CHECK_OK(ssde_net_load_pth(net, FILES_PTH, SSDE_PTH_EMA));
    for (i = 0; i < net->parameter_count; i++) {
        const ssdei_parameter *parameter = &net->parameters[i];
        for (j = parameter->offset; j < parameter->offset + parameter->info.count; j++)
            CHECK_NEAR(net->weights[j], from->weights[j] + (parameter->info.trainable ? 2.0f : 1.0f), 0.0);
    }
    files_write_sets(FILES_PTH, FILES_OTHER, frozen + 1, 1, 1);
    CHECK_FAILS(&context, ssde_net_load_pth(net, FILES_PTH, SSDE_PTH_EMA), SSDE_ERROR_FORMAT,
                "has no tensor 'ema.shadow.embedding.W'");
    ssde_net_destroy(from);
    ssde_net_destroy(net);
    CHECK(memory.live == 0);
    remove(FILES_PTH);
    remove(FILES_OTHER);
}

/* What the reference's own training loop saved, whose learning rate is a number of NumPy's: both sets of weights. */
static void test_models_pth_trained(void) {
    static const char checkpoint[] = "tests/golden/ddpmpp_vp.trained.pth";
    static const char io[] = "tests/golden/ddpmpp_vp.trained.io.safetensors";
    static const files_set set = {"state_dict", "", 0.0f};
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    ssde_net *net, *again;
    long all, fail;
    int i;
    CHECK_OK(ssde_net_load(&context, &net, NULL, "tests/golden/ddpmpp_vp.weights.safetensors"));
    if (!net) return;
    for (i = 0; i < 2; i++) {
        CHECK_OK(ssde_net_load_pth(net, checkpoint, i ? SSDE_PTH_EMA : SSDE_PTH_MODEL));
        files_check_output(net, io, "labels", i ? "out_ema" : "out_model");
    }
    memory.made = 0;
    CHECK_OK(ssde_net_load_pth(net, checkpoint, SSDE_PTH_EMA));
    for (all = memory.made, fail = 0; fail < all; fail += check_quick ? 7 : 1) {
        const long live = memory.live;
        memory.made = 0;
        memory.refuse = fail;
        CHECK_STATUS(ssde_net_load_pth(net, checkpoint, SSDE_PTH_EMA), SSDE_ERROR_MEMORY);
        CHECK(memory.live == live);
    }
    memory.refuse = -1;
    /* a model of ours in PyTorch's container */
    CHECK_OK(ssde_net_save(net, NULL, FILES_OTHER));
    files_write_sets(FILES_PTH, FILES_OTHER, &set, 1, 1);
    CHECK_OK(ssde_net_load(&context, &again, NULL, FILES_PTH));
    files_check_same_net(net, again);
    ssde_net_destroy(again);
    remove(FILES_PTH);
    remove(FILES_OTHER);
    ssde_net_destroy(net);
    CHECK(memory.live == 0);
}

/* ---- models: diffusers ---- */

#define FILES_CONFIG "scoresde_test.json"

/* Networks and outputs that diffusers' own modules made, in half precision, under the older and the newer names. */
static void test_models_diffusers_golden(void) {
    static const char *const names[] = {"ddpm", "ncsnpp"};
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    long all, fail;
    int i;
    for (i = 0; i < 2; i++) {
        char config[100], weights[100], io[100];
        ssde_net *net, *again;
        sprintf(config, "tests/golden/diffusers_%s.json", names[i]);
        sprintf(weights, "tests/golden/diffusers_%s.safetensors", names[i]);
        sprintf(io, "tests/golden/diffusers_%s.io.safetensors", names[i]);
        CHECK_OK(ssde_net_load_diffusers(&context, &net, config, weights));
        if (!net) {
            check_report(__FILE__, __LINE__, "%s", context.error);
            continue;
        }
        files_check_output(net, io, "t", "out");
        CHECK(ssde_net_discrete(net) == !i);
        CHECK_OK(ssde_net_save(net, NULL, FILES_PATH)); /* what only diffusers has is in the description, too */
        CHECK_OK(ssde_net_load(&context, &again, NULL, FILES_PATH));
        files_check_same_net(net, again);
        ssde_net_destroy(again);
        if (i) { /* diffusion_pytorch_model.bin, and as a training script might wrap it */
            static const files_set sets[2] = {{"", "", 0.0f}, {"unet", "module.", 0.0f}};
            for (fail = 0; fail < 2; fail++) {
                files_write_sets(FILES_PTH, weights, &sets[fail], 1, fail == 1);
                CHECK_OK(ssde_net_load_diffusers(&context, &again, config, FILES_PTH));
                files_check_same_net(net, again);
                ssde_net_destroy(again);
            }
            remove(FILES_PTH);
        }
        ssde_net_destroy(net);
        CHECK(memory.live == 0);
        memory.made = 0;
        CHECK_OK(ssde_net_load_diffusers(&context, &net, config, weights));
        ssde_net_destroy(net);
        for (all = memory.made, fail = 0; fail < all; fail += check_quick ? 37 : 3) {
            memory.made = 0;
            memory.refuse = fail;
            CHECK_STATUS(ssde_net_load_diffusers(&context, &net, config, weights), SSDE_ERROR_MEMORY);
            CHECK(!net && memory.live == 0);
        }
        memory.refuse = -1;
    }
    CHECK(memory.live == 0);
    remove(FILES_PATH);
}

/* A file in diffusers' layout that grows, and the golden network that its values come from. */
typedef struct files_layout {
    const ssde_net *net;
    int module; /* of the reference, the next one */
    int writing;
    int older; /* names of before */
    ssdei_tensor_writer writer;
} files_layout;

/* Declares or writes tensor `name` with the values of parameter "all_modules.MODULE.OURS", its first two axes exchanged
   where `turned`; of zeros where ours is NULL. */
static void files_layout_tensor(files_layout *layout, const char *name, const char *ours, int turned, size_t channels) {
    static float values[65536], exchanged[65536];
    ssde_parameter info;
    char ours_full[120];
    size_t i, j, rows, columns;
    memset(&info, 0, sizeof info);
    memset(values, 0, sizeof values);
    if (ours) {
        size_t index = 0;
        sprintf(ours_full, "all_modules.%d.%s", layout->module, ours);
        while (index < layout->net->parameter_count && strcmp(layout->net->parameters[index].info.name, ours_full))
            index++;
        CHECK(index < layout->net->parameter_count);
        if (index == layout->net->parameter_count) {
            check_report(__FILE__, __LINE__, "no parameter %s for %s", ours_full, name);
            return;
        }
        info = layout->net->parameters[index].info;
        CHECK_OK(ssde_net_get(layout->net, index, values));
    } else {
        info.rank = strstr(name, "bias") || strstr(name, "norm") ? 1 : 2;
        info.shape[0] = info.shape[1] = channels;
        info.count = info.rank == 1 ? channels : channels * channels;
    }
    rows = info.shape[0];
    columns = info.count / rows;
    for (i = 0; i < rows && turned; i++)
        for (j = 0; j < columns; j++) exchanged[j * rows + i] = values[i * columns + j];
    if (turned) {
        info.shape[0] = columns;
        info.shape[1] = rows;
        if (turned == 4) info.rank = 4, info.shape[2] = info.shape[3] = 1;
    }
    strcpy(info.name, name);
    if (layout->writing)
        ssdei_tensor_writer_put(&layout->writer, turned ? exchanged : values, info.count);
    else
        ssdei_tensor_writer_declare(&layout->writer, "", info.name, info.rank, info.shape);
}

static void files_layout_pair(files_layout *layout, const char *prefix, const char *theirs, const char *ours) {
    char name[120], part[60];
    sprintf(name, "%s%sweight", prefix, theirs);
    sprintf(part, "%sweight", ours);
    files_layout_tensor(layout, name, part, 0, 0);
    sprintf(name, "%s%sbias", prefix, theirs);
    sprintf(part, "%sbias", ours);
    files_layout_tensor(layout, name, part, 0, 0);
}

static void files_layout_nin(files_layout *layout, const char *prefix, const char *theirs, const char *ours, int turned,
                             size_t channels) {
    char name[120], part[60];
    sprintf(name, "%s.%s.weight", prefix, theirs);
    sprintf(part, "%s.W", ours ? ours : "");
    files_layout_tensor(layout, name, ours ? part : NULL, turned, channels);
    sprintf(name, "%s.%s.bias", prefix, theirs);
    sprintf(part, "%s.b", ours ? ours : "");
    files_layout_tensor(layout, name, ours ? part : NULL, 0, channels);
}

static void files_layout_block(files_layout *layout, const char *prefix, int shortcut) {
    files_layout_pair(layout, prefix, ".norm1.", "GroupNorm_0.");
    files_layout_pair(layout, prefix, ".conv1.", "Conv_0.");
    files_layout_pair(layout, prefix, ".time_emb_proj.", "Dense_0.");
    files_layout_pair(layout, prefix, ".norm2.", "GroupNorm_1.");
    files_layout_pair(layout, prefix, ".conv2.", "Conv_1.");
    if (shortcut) files_layout_nin(layout, prefix, "conv_shortcut", "NIN_0", 4, 0);
    layout->module++;
}

/* channels: an attention of zeros, which adds nothing, in place of one of the reference's */
static void files_layout_attention(files_layout *layout, const char *prefix, size_t channels) {
    static const char *const names[2][4] = {{"to_q", "to_k", "to_v", "to_out.0"},
                                            {"query", "key", "value", "proj_attn"}};
    static const char *const ours[4] = {"NIN_0", "NIN_1", "NIN_2", "NIN_3"};
    char name[120];
    int i;
    if (channels)
        for (i = 0; i < 2; i++) {
            sprintf(name, "%s.group_norm.%s", prefix, i ? "bias" : "weight");
            files_layout_tensor(layout, name, NULL, 0, channels);
        }
    else
        files_layout_pair(layout, prefix, ".group_norm.", "GroupNorm_0.");
    for (i = 0; i < 4; i++)
        files_layout_nin(layout, prefix, names[layout->older > 0][i], channels ? NULL : ours[i], 2, channels);
    if (!channels) layout->module++;
}

/* The golden DDPM: two levels of 32 channels, one block each, attention in the second, where the way up has one
   attention and diffusers' has two. */
static void files_layout_ddpm(files_layout *layout) {
    char name[60];
    int i, j;
    for (i = 1; i <= 2; i++, layout->module++) {
        sprintf(name, "time_embedding.linear_%d.", i);
        files_layout_pair(layout, name, "", "");
    }
    files_layout_pair(layout, "conv_in.", "", "");
    layout->module++;
    files_layout_block(layout, "down_blocks.0.resnets.0", 0);
    files_layout_pair(layout, "down_blocks.0.downsamplers.0.conv.", "", "Conv_0.");
    layout->module++;
    files_layout_block(layout, "down_blocks.1.resnets.0", 0);
    files_layout_attention(layout, "down_blocks.1.attentions.0", 0);
    files_layout_block(layout, "mid_block.resnets.0", 0);
    files_layout_attention(layout, "mid_block.attentions.0", 0);
    files_layout_block(layout, "mid_block.resnets.1", 0);
    for (i = 0; i < 2; i++) {
        for (j = 0; j < 2; j++) {
            sprintf(name, "up_blocks.%d.resnets.%d", i, j);
            files_layout_block(layout, name, 1);
            if (i == 0 && j == 0) files_layout_attention(layout, "up_blocks.0.attentions.0", 32);
        }
        if (i == 0) {
            files_layout_attention(layout, "up_blocks.0.attentions.1", 0);
            files_layout_pair(layout, "up_blocks.0.upsamplers.0.conv.", "", "Conv_0.");
            layout->module++;
        }
    }
    files_layout_pair(layout, "conv_norm_out.", "", "");
    layout->module++;
    files_layout_pair(layout, "conv_out.", "", "");
    layout->module++;
}

static void files_write_layout(const ssde_net *net, int older) {
    files_layout layout;
    memset(&layout, 0, sizeof layout);
    layout.net = net;
    layout.older = older;
    ssdei_tensor_writer_begin(&layout.writer, NULL);
    ssdei_tensor_writer_metadata(&layout.writer, "format", "pt");
    for (layout.writing = 0; layout.writing < 2; layout.writing++) {
        layout.module = 0;
        if (layout.writing) CHECK_OK(ssdei_tensor_writer_open(&layout.writer, FILES_PATH));
        files_layout_ddpm(&layout);
    }
    CHECK_OK(ssdei_tensor_writer_end(&layout.writer, SSDE_OK));
}

/* The reference's DDPM, written as diffusers would have it. */
static void test_models_diffusers_layout(void) {
    static const char config[] =
        "{\"block_out_channels\": [32, 32], \"down_block_types\": [\"DownBlock2D\", \"AttnDownBlock2D\"], "
        "\"up_block_types\": [\"AttnUpBlock2D\", \"UpBlock2D\"], \"downsample_padding\": 0, \"flip_sin_to_cos\": "
        "false, \"freq_shift\": 1, \"layers_per_block\": 1, \"sample_size\": 8, \"norm_eps\": 1e-06, "
        "\"attention_head_dim\": null, \"decay\": 0.999}";
    ssde_context context = ssde_context_defaults();
    ssde_net *golden, *net;
    int older;
    CHECK_OK(ssde_net_load(&context, &golden, NULL, "tests/golden/ddpm_vp.weights.safetensors"));
    if (!golden) return;
    write_file(FILES_CONFIG, config, strlen(config));
    for (older = 0; older < 2; older++) {
        files_write_layout(golden, older);
        CHECK_OK(ssde_net_load_diffusers(&context, &net, FILES_CONFIG, FILES_PATH));
        if (!net) {
            check_report(__FILE__, __LINE__, "%s", context.error);
            continue;
        }
        files_check_output(net, "tests/golden/ddpm_vp.io.safetensors", "labels", "out");
        ssde_net_destroy(net);
    }
    ssde_net_destroy(golden);
    remove(FILES_PATH);
    remove(FILES_CONFIG);
}

/* ---- models: failing memory ---- */

/* Everything above once; stops at the first failure. */
static ssde_status files_everything(ssde_context *context) {
    ssde_sde sde = ssde_vp(0.1, 20.0), read;
    ssde_train_desc desc = files_train_desc(context, &sde);
    ssde_net *net = files_mlp(context, 2, 4, 1, 3), *loaded = NULL;
    ssde_trainer *trainer = NULL;
    ssde_batch batch = files_batch();
    double loss;
    ssde_status status = net ? SSDE_OK : SSDE_ERROR_MEMORY;
    if (status == SSDE_OK) status = ssde_net_save(net, &sde, FILES_PATH);
    if (status == SSDE_OK) status = ssde_net_load(context, &loaded, &read, FILES_PATH);
    CHECK((status == SSDE_OK) == (loaded != NULL));
    if (status == SSDE_OK) status = ssde_net_load_weights(net, FILES_PATH);
    if (status == SSDE_OK) files_write_checkpoint(FILES_PTH, net, FILES_NO_FLAW, 0);
    if (status == SSDE_OK) status = ssde_net_load_pth(net, FILES_PTH, SSDE_PTH_EMA);
    if (status == SSDE_OK) status = ssde_trainer_create(&trainer, net, &sde, &desc);
    if (status == SSDE_OK) status = ssde_train_step(trainer, &batch, NULL);
    if (status == SSDE_OK) status = ssde_trainer_evaluate(trainer, &batch, 1, &loss, NULL);
    if (status == SSDE_OK) status = ssde_trainer_save(trainer, FILES_PATH);
    if (status == SSDE_OK) status = ssde_trainer_load(trainer, FILES_PATH);
    if (status == SSDE_OK) status = ssde_trainer_save_model(trainer, FILES_PATH);
    ssde_trainer_destroy(trainer);
    ssde_net_destroy(loaded);
    ssde_net_destroy(net);
    return status;
}

static void test_models_memory(void) {
    counted_memory memory;
    ssde_context context = counted_context(&memory);
    long all, i;
    CHECK_OK(files_everything(&context));
    CHECK(memory.live == 0);
    all = memory.made;
    CHECK(all > 50);
    for (i = 0; i < all; i += check_quick ? 7 : 1) {
        memory.made = 0;
        memory.refuse = i;
        context.error[0] = 0;
        CHECK_STATUS(files_everything(&context), SSDE_ERROR_MEMORY);
        CHECK(memory.live == 0 && strstr(context.error, "cannot allocate") != NULL);
    }
    remove(FILES_PATH);
    remove(FILES_PTH);
}

#define TEST_NN_MODELS_LIST(X) \
    X(models_conditioning)     \
    X(models_checksums)        \
    X(models_round_trip)       \
    X(models_layout)           \
    X(models_golden)           \
    X(models_descriptions)     \
    X(models_outputs)          \
    X(models_bad_saves)        \
    X(models_hostile)          \
    X(models_pth_formats)      \
    X(models_pth_golden)       \
    X(models_pth_networks)     \
    X(models_state_dicts)      \
    X(models_pth_trained)      \
    X(models_diffusers_golden) \
    X(models_diffusers_layout) \
    X(models_memory)

#endif
