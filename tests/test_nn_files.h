/* Files and training: JSON, safetensors, models and checkpoints, hostile files, failing memory and disks; Adam,
   clipping, EMA, resuming, and what bad data does. */
#ifndef TEST_NN_FILES_H
#define TEST_NN_FILES_H

#include <locale.h>

#include "golden.h"

#define FILES_PATH "scoresde_test.safetensors" /* made and removed in the working directory */
#define FILES_OTHER "scoresde_test_2.safetensors"

/* ---- helpers ---- */

/* An allocator that counts, and fails from the allocation numbered fail_at on (-1: never). */
typedef struct files_memory {
    long live, made, fail_at;
} files_memory;

static void *files_allocate(void *user, size_t size) {
    files_memory *memory = (files_memory *)user;
    void *pointer;
    if (memory->fail_at >= 0 && memory->made >= memory->fail_at) return NULL;
    pointer = malloc(size);
    memory->made++;
    memory->live += pointer != NULL;
    return pointer;
}

static void files_release(void *user, void *pointer) {
    ((files_memory *)user)->live -= pointer != NULL;
    free(pointer);
}

static ssde_context files_context(files_memory *memory) {
    ssde_context context;
    memset(&context, 0, sizeof context);
    memset(memory, 0, sizeof *memory);
    memory->fail_at = -1;
    context.allocate = files_allocate;
    context.release = files_release;
    context.user = memory;
    return context;
}

static void files_write(const char *path, const void *bytes, size_t size) {
    FILE *stream = fopen(path, "wb");
    CHECK(stream && fwrite(bytes, 1, size, stream) == size);
    if (stream) fclose(stream);
}

/* A file of this header, its length before it, and `data` zero bytes. */
static void files_write_header(const char *path, const char *header, size_t data) {
    unsigned char bytes[4096];
    size_t length = strlen(header), i;
    memset(bytes, 0, sizeof bytes);
    CHECK(8 + length + data <= sizeof bytes);
    for (i = 0; i < 8; i++) bytes[i] = (unsigned char)((uint64_t)length >> 8 * i);
    memcpy(bytes + 8, header, length);
    files_write(path, bytes, 8 + length + data);
}

static size_t files_read(const char *path, unsigned char *bytes, size_t capacity) {
    FILE *stream = fopen(path, "rb");
    size_t size = stream ? fread(bytes, 1, capacity, stream) : 0;
    if (stream) fclose(stream);
    CHECK(size > 0 && size < capacity);
    return size;
}

/* A MLP with every weight drawn anew, so that zero-initialised layers show too. */
static ssde_net *files_mlp(ssde_context *context, size_t dim, size_t hidden, int layers, uint64_t seed) {
    ssde_mlp_desc desc = ssde_mlp(dim);
    ssde_net *net = NULL;
    uint64_t sample = 7;
    size_t i;
    desc.hidden = hidden;
    desc.layers = layers;
    desc.seed = seed;
    desc.context = context;
    if (ssde_mlp_create(&net, &desc) != SSDE_OK) return NULL;
    ssde_random_normal(context, seed, SSDE_STREAM_USER, 0, &sample, 1, net->weight_count, net->weights);
    for (i = 0; i < net->weight_count; i++) net->weights[i] *= 0.3f;
    net->version++;
    return net;
}

static ssde_unet_desc files_unet_desc(ssde_context *context) {
    ssde_unet_desc desc = ssde_ddpmpp(8, 16, 2);
    desc.nf = 4;
    desc.num_levels = 2;
    desc.num_res_blocks = 1;
    desc.num_attn_resolutions = 1;
    desc.attn_resolutions[0] = 8;
    desc.dropout = 0.15;
    desc.seed = 5;
    desc.context = context;
    return desc;
}

/* The same topology as far as a file tells, and the same weights. */
static void files_check_same_net(const ssde_net *a, const ssde_net *b) {
    CHECK(a && b && a->node_count == b->node_count && a->weight_count == b->weight_count);
    if (!a || !b || a->node_count != b->node_count || a->weight_count != b->weight_count) return;
    CHECK_SAME(a->nodes, b->nodes, (size_t)a->node_count * sizeof *a->nodes);
    CHECK_SAME(a->weights, b->weights, a->weight_count * sizeof *a->weights);
}

/* ---- JSON ---- */

static double files_number(const char *text, int *ok) {
    ssdei_json json = ssdei_json_over(text, strlen(text));
    double value = ssdei_json_number(&json);
    *ok = ssdei_json_end(&json);
    return value;
}

static void files_check_numbers(void) {
    static const char *const texts[] = {"0",        "-0",
                                        "1",        "-12.5",
                                        "1e3",      "1E+3",
                                        "2.5e-3",   "0.1",
                                        "1e-400",   "12345678901234567890",
                                        "4.9e-324", "1.7976931348623157e308"};
    static const double values[] = {
        0.0, 0.0, 1.0, -12.5, 1e3, 1e3, 2.5e-3, 0.1, 0.0, 12345678901234567890.0, 4.9e-324, 1.7976931348623157e308};
    static const char *const bad[] = {"",    "-",   "01",    "1.",  ".5",       "+1", "1e",
                                      "1e+", "0x1", "1e400", "nan", "Infinity", "1 2"};
    uint32_t words[2];
    uint64_t sample;
    size_t i;
    int ok;
    for (i = 0; i < sizeof texts / sizeof *texts; i++) {
        double value = files_number(texts[i], &ok);
        CHECK(ok);
        CHECK_NEAR(value, values[i], 0.0);
    }
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        files_number(bad[i], &ok);
        CHECK(!ok);
    }
    for (sample = 0; sample < (check_quick ? 100u : 2000u); sample++) {
        ssdei_text text;
        double value;
        uint64_t bits;
        ssde_random_words(NULL, 1, SSDE_STREAM_USER, 0, &sample, 1, 2, words);
        bits = (uint64_t)words[0] << 32 | words[1];
        memcpy(&value, &bits, sizeof value);
        if (!(fabs(value) <= DBL_MAX)) continue;
        memset(&text, 0, sizeof text);
        ssdei_text_add_double(&text, value);
        CHECK(text.status == SSDE_OK && files_number(text.data, &ok) == value && ok);
        ssdei_text_release(&text);
    }
}

/* Numbers are written and read with a point whatever the locale, here where the machine has one with a comma. */
static void test_nn_files_json_numbers(void) {
    static const char *const locales[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE", "German"};
    size_t i;
    files_check_numbers();
    for (i = 0; i < sizeof locales / sizeof *locales; i++) {
        if (!setlocale(LC_NUMERIC, locales[i])) continue;
        files_check_numbers();
        break;
    }
    setlocale(LC_NUMERIC, "C");
}

static void test_nn_files_json_strings(void) {
    static const char *const bad[] = {"\"",
                                      "\"a",
                                      "\"\\",
                                      "\"\\x\"",
                                      "\"\\u12\"",
                                      "\"\\u12g4\"",
                                      "\"\\ud800\"",
                                      "\"\\udc00\"",
                                      "\"\\ud800\\u0041\"",
                                      "\"\\ud800\\n\"",
                                      "\"a\nb\"",
                                      "a"};
    static const char text[] = "\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20AC\\ud83d\\ude00\\u0000\\u001f\"";
    static const char meaning[] =
        "a\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xc0\x80\x1f"; /* U+0000: c0 80 */
    char out[200];
    ssdei_json json = ssdei_json_over(text, sizeof text - 1);
    ssdei_text again;
    size_t i;
    CHECK(ssdei_json_string(&json, out, sizeof out) == sizeof meaning && ssdei_json_end(&json));
    CHECK(!strcmp(out, meaning));
    json = ssdei_json_over("\"ab\\u20acd\"", 11); /* whole characters, a NUL, and nothing behind it */
    memset(out, 'x', sizeof out);
    CHECK(ssdei_json_string(&json, out, 5) == 7 && ssdei_json_end(&json) && !memcmp(out, "ab\0xx", 5));
    memset(&again, 0, sizeof again);
    ssdei_text_add_string(&again, meaning);
    json = ssdei_json_over(again.data, again.size);
    ssdei_json_string(&json, out, sizeof out);
    CHECK(ssdei_json_end(&json) && !strcmp(out, meaning));
    ssdei_text_release(&again);
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        json = ssdei_json_over(bad[i], strlen(bad[i]));
        ssdei_json_string(&json, out, sizeof out);
        CHECK(!ssdei_json_end(&json));
    }
}

static int files_skips(const char *text, size_t size) {
    ssdei_json json = ssdei_json_over(text, size);
    ssdei_json_skip(&json);
    return ssdei_json_end(&json);
}

static void test_nn_files_json_values(void) {
    static const char *const good[] = {
        "[]",    "{}",     " [ ] ", "[1,[2,{\"a\":[]}],\"x\"]", "{\"a\":{},\"b\":null,\"c\":[true,false]}",
        "\"s\"", "-1.5e3", "null"};
    static const char *const bad[] = {
        "",      "[",  "]",  "[1,]", "[,1]",      "{\"a\"}", "{\"a\":}",          "{\"a\":1,}", "{1:2}",
        "[1 2]", "[}", "{]", "nul",  "truefalse", "[1]]",    "{\"a\":1 \"b\":2}", "\x01"};
    static char deep[100000];
    size_t i;
    for (i = 0; i < sizeof good / sizeof *good; i++) CHECK(files_skips(good[i], strlen(good[i])));
    for (i = 0; i < sizeof bad / sizeof *bad; i++) CHECK(!files_skips(bad[i], strlen(bad[i])));
    memset(deep, '[', 64);
    memset(deep + 64, ']', 64);
    CHECK(files_skips(deep, 128));
    memset(deep, '[', 65);
    memset(deep + 65, ']', 65);
    CHECK(!files_skips(deep, 130));
    memset(deep, '[', sizeof deep);
    CHECK(!files_skips(deep, sizeof deep));
    for (i = 0; i < sizeof deep - 6; i += 6) memcpy(deep + i, "{\"a\":[", 6);
    CHECK(!files_skips(deep, sizeof deep));
}

/* ---- safetensors ---- */

static void test_nn_files_dtypes(void) {
    static const char header[] =
        "{\"f16\":{\"dtype\":\"F16\",\"shape\":[5],\"data_offsets\":[0,10]},"
        "\"bf16\":{\"shape\":[2],\"data_offsets\":[10,14],\"dtype\":\"BF16\"},"
        "\"f32\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[14,22]},"
        "\"f64\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[22,38]},"
        "\"i8\":{\"dtype\":\"I8\",\"shape\":[2],\"data_offsets\":[38,40]},\"i16\":{\"dtype\":\"I16\",\"shape\":[1],"
        "\"data_offsets\":[40,42]},\"i32\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[42,46]},"
        "\"i64\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[46,62]},\"u8\":{\"dtype\":\"U8\",\"shape\":[1],"
        "\"data_offsets\":[62,63]},\"u64\":{\"dtype\":\"U64\",\"shape\":[],\"data_offsets\":[63,71]},"
        "\"bool\":{\"dtype\":\"BOOL\",\"shape\":[2],\"data_offsets\":[71,73]},"
        "\"none\":{\"dtype\":\"F32\",\"shape\":[0,3],\"data_offsets\":[73,73]},"
        "\"f8\":{\"dtype\":\"F8_E4M3\",\"shape\":[1],\"data_offsets\":[73,74]},"
        "\"__metadata__\":{\"a\":\"1\",\"b\\n\":\"\\u00e9\"}}   ";
    /* 1, -2, 65504, 2^-24, infinity | 1.5, -0.5 | 1, -0.25 | 1/3, 1e300 | -1, 127 | -300 | -70000 | -2^63, 2^40 | 200 |
       2^64 - 1 | 0, 1 | an 8-bit float */
    static const unsigned char data[74] = {0x00, 0x3c, 0x00, 0xc0, 0xff, 0x7b, 0x01, 0x00, 0x00, 0x7c, 0xc0, 0x3f, 0x00,
                                           0xbf, 0x00, 0x00, 0x80, 0x3f, 0x00, 0x00, 0x80, 0xbe, 0x55, 0x55, 0x55, 0x55,
                                           0x55, 0x55, 0xd5, 0x3f, 0x9c, 0x75, 0x00, 0x88, 0x3c, 0xe4, 0x37, 0x7e, 0xff,
                                           0x7f, 0xd4, 0xfe, 0x90, 0xee, 0xfe, 0xff, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                                           0x00, 0x80, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 200,  0xff, 0xff,
                                           0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0,    1,    0x38};
    static const struct {
        const char *name;
        size_t count;
        double values[5];
    } wanted[] = {{"f16", 5, {1.0, -2.0, 65504.0, 1.0 / 16777216.0, HUGE_VAL}},
                  {"bf16", 2, {1.5, -0.5, 0, 0, 0}},
                  {"f32", 2, {1.0, -0.25, 0, 0, 0}},
                  {"f64", 2, {1.0 / 3.0, 1e300, 0, 0, 0}},
                  {"i8", 2, {-1.0, 127.0, 0, 0, 0}},
                  {"i16", 1, {-300.0, 0, 0, 0, 0}},
                  {"i32", 1, {-70000.0, 0, 0, 0, 0}},
                  {"i64", 2, {-9223372036854775808.0, 1099511627776.0, 0, 0, 0}},
                  {"u8", 1, {200.0, 0, 0, 0, 0}},
                  {"u64", 1, {18446744073709551615.0, 0, 0, 0, 0}},
                  {"bool", 2, {0.0, 1.0, 0, 0, 0}},
                  {"none", 0, {0, 0, 0, 0, 0}},
                  {"f8", 1, {1.0, 0, 0, 0, 0}}};
    unsigned char bytes[8 + sizeof header - 1 + sizeof data];
    ssde_context context;
    ssde_tensor_file *file;
    const ssde_file_tensor *tensor;
    ssde_file_tensor copy;
    double values[5];
    float floats[5];
    size_t i, j;
    memset(&context, 0, sizeof context);
    files_write_header(FILES_PATH, header, sizeof data);
    files_read(FILES_PATH, bytes, sizeof bytes + 1);
    memcpy(bytes + 8 + sizeof header - 1, data, sizeof data);
    files_write(FILES_PATH, bytes, sizeof bytes);
    CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PATH));
    if (!file) return;
    CHECK(ssde_tensor_file_count(file) == 13 && !strcmp(ssde_tensor_file_get(file, 1)->name, "bf16"));
    CHECK(!ssde_tensor_file_get(file, 13) && !ssde_tensor_file_find(file, "f1") && !ssde_tensor_file_find(file, NULL));
    CHECK(!strcmp(ssde_tensor_file_metadata(file, "b\n"), "\xc3\xa9") && !ssde_tensor_file_metadata(file, "c"));
    for (i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        tensor = ssde_tensor_file_find(file, wanted[i].name);
        CHECK(tensor && tensor->count == wanted[i].count);
        if (!tensor || tensor->count != wanted[i].count) continue;
        CHECK_OK(ssde_tensor_file_read_double(file, tensor, values));
        if (strcmp(wanted[i].name, "f64")) CHECK_OK(ssde_tensor_file_read(file, tensor, floats));
        for (j = 0; j < tensor->count; j++) {
            CHECK(values[j] <= wanted[i].values[j] && values[j] >= wanted[i].values[j]);
            if (strcmp(wanted[i].name, "f64") && fabs(values[j]) <= (double)FLT_MAX)
                CHECK_RELATIVE(floats[j], values[j], 6e-8);
        }
    }
    CHECK(floats[0] >= 0.0f);
    tensor = ssde_tensor_file_find(file, "f64");
    CHECK_FAILS(&context, ssde_tensor_file_read(file, tensor, floats), SSDE_ERROR_NUMERIC,
                "'f64' has 1e+300 at 1, which no float can hold: read it as double");
    copy = *tensor;
    copy.name = "other";
    CHECK_FAILS(&context, ssde_tensor_file_read(file, &copy, floats), SSDE_ERROR_ARGUMENT, "other");
    CHECK_FAILS(&context, ssde_tensor_file_read(file, NULL, floats), SSDE_ERROR_ARGUMENT, "tensor is NULL");
    CHECK_FAILS(&context, ssde_tensor_file_read(file, tensor, NULL), SSDE_ERROR_ARGUMENT, "values is NULL");
    ssde_tensor_file_close(file);
    ssde_tensor_file_close(NULL);
    remove(FILES_PATH);
}

static void test_nn_files_bad_headers(void) {
#define FILES_A(dtype, shape, offsets) \
    "\"a\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
    static const struct {
        const char *header;
        size_t data;
        const char *words;
    } bad[] = {
        {"[]", 0, "an object is expected"},
        {"{} x", 0, "nothing more"},
        {"{" FILES_A("F32", "[1]", "[0,4]") "", 4, "closing bracket"},
        {"{" FILES_A("F99", "[1]", "[0,8]") "}", 4, "tensor 'a': data_offsets lie outside"},
        {"{" FILES_A("F99", "[1]", "[0,2]") "}", 4, "4 bytes of data, its tensors 2"},
        {"{" FILES_A("C64", "[1]", "[0,4]") "}", 4, "tensor 'a': data_offsets do not fit"},
        {"{" FILES_A("F4", "[3]", "[0,1]") "}", 1, "tensor 'a': data_offsets do not fit"},
        {"{" FILES_A("F4", "[3]", "[0,2]") "}", 2, "tensor 'a': data_offsets do not fit"},
        {"{" FILES_A("F6_E2M3", "[2]", "[0,2]") "}", 2, "tensor 'a': data_offsets do not fit"},
        {"{\"a\":{\"dtype\":null,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "a string is expected"},
        {"{\"a\":null}", 0, "tensor 'a': an object is expected"},
        {"null", 0, "an object is expected"},
        {"", 0, "an object is expected"},
        {"{\"__metadata__\":[]}", 0, "an object is expected"},
        {"{\"__metadata__\":{\"a\":null}}", 0, "a string is expected"},
        {"{\"__metadata__\":null,\"__metadata__\":{}}", 0, "a second __metadata__"},
        {"{\"__metadata__\":{\"a\":\"\x80\"}}", 0, "not in UTF-8"},
        {"{\"__metadata__\":{\"a\":\"\xc3\"}}", 0, "not in UTF-8"},
        {"{\"__metadata__\":{\"a\":\"\xc0\x80\"}}", 0, "not in UTF-8"},
        {"{\"__metadata__\":{\"a\":\"\xe0\x9f\xbf\"}}", 0, "not in UTF-8"},
        {"{\"__metadata__\":{\"a\":\"\xed\xa0\x80\"}}", 0, "not in UTF-8"},
        {"{\"__metadata__\":{\"a\":\"\xf4\x90\x80\x80\"}}", 0, "not in UTF-8"},
        {"{\"__metadata__\":{\"a\":\"\xf8\x88\x80\x80\x80\"}}", 0, "not in UTF-8"},
        {"{" FILES_A("F32", "[1]", "[0,8]") "}", 8, "tensor 'a': data_offsets do not fit"},
        {"{" FILES_A("F32", "[1]", "[0,4]") "}", 3, "tensor 'a': data_offsets lie outside"},
        {"{" FILES_A("F32", "[1]", "[4,0]") "}", 4, "tensor 'a': data_offsets lie outside"},
        {"{" FILES_A("F32", "[1]", "[0,18446744073709551616]") "}", 4, "tensor 'a': a whole number"},
        {"{" FILES_A("F32", "[-1]", "[0,4]") "}", 4, "tensor 'a': a whole number"},
        {"{" FILES_A("F32", "[1.0]", "[0,4]") "}", 4, "tensor 'a': a whole number"},
        {"{" FILES_A("F32", "[4294967296,4294967296,2]", "[0,4]") "}", 4, "more elements than memory"},
        {"{" FILES_A("F64", "[4611686018427387904]", "[0,0]") "}", 0, "tensor 'a'"},
        {"{" FILES_A("F32", "[1,1,1,1,1,1,1,1,2]", "[0,4]") "}", 4, "data_offsets do not fit"},
        {"{" FILES_A("F32", "[1]", "[0]") "}", 4, "data_offsets are two numbers"},
        {"{" FILES_A("F32", "[1]", "[0,4,4]") "}", 4, "data_offsets are two numbers"},
        {"{" FILES_A("F32", "[1]", "[4,8]") "}", 8, "begins at 4"},
        {"{" FILES_A("F32", "[1]", "[0,4]") "}", 8, "8 bytes of data, its tensors 4"},
        {"{" FILES_A("F32", "[1]", "[0,4]") "," FILES_A("F32", "[1]", "[4,8]") "}", 8, "'a' twice"},
        {"{" FILES_A("F32", "[1]", "[0,4]") ",\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[2,6]}}", 6,
         "tensor 'b' begins at 2"},
        {"{" FILES_A("F32", "[1]", "[0,4]") ",\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
         "begins at 0"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "tensor 'a': dtype, shape and data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "each once"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":01}}", 4, "a number is expected"},
        {"{\"a\":[]}", 0, "tensor 'a': an object is expected"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "a string is expected"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "a second __metadata__"},
        {"{\"a\\u0000b\":{}}", 0, "dtype, shape and data_offsets"},
    };
#undef FILES_A
    static const unsigned char giant[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, '{', '}', 0, 0, 0, 0, 0, 0};
    files_memory memory;
    ssde_context context = files_context(&memory);
    ssde_tensor_file *file;
    size_t i;
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        files_write_header(FILES_PATH, bad[i].header, bad[i].data);
        CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PATH), SSDE_ERROR_FORMAT, bad[i].words);
        CHECK(!file);
    }
    for (i = 1; i <= sizeof giant; i++) {
        files_write(FILES_PATH, giant, i);
        CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PATH), SSDE_ERROR_FORMAT,
                    "no safetensors file");
    }
    files_write_header(FILES_PATH, "{}", 0);
    CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PATH));
    CHECK(file && ssde_tensor_file_count(file) == 0);
    ssde_tensor_file_close(file);
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, "no such folder/file"), SSDE_ERROR_FILE,
                "no such folder");
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, "."), ssde_tensor_file_open(NULL, &file, "."), "'.'");
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, NULL, FILES_PATH), SSDE_ERROR_ARGUMENT, "file is NULL");
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, NULL), SSDE_ERROR_ARGUMENT, "path is NULL");
    CHECK(!ssde_tensor_file_count(NULL) && !ssde_tensor_file_get(NULL, 0) && !ssde_tensor_file_metadata(NULL, "a"));
    CHECK(memory.live == 0);
    remove(FILES_PATH);
}

/* What the format's own reader accepts (huggingface/safetensors 24b0b28, 0.8.0-dev, tensor.rs: read_metadata, validate
   and serde's rules for its structs): w is read. And what it does not: dtypes that it does not know yet. */
static void test_nn_files_foreign_headers(void) {
#define FILES_W "\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}"
#define FILES_Q(dtype, shape, end) \
    "{" FILES_W ",\"q\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[4," end "]}}"
    static const struct {
        const char *header;
        size_t data;
        const char *words; /* of the error when q is read; "": it is read; NULL: there is no q */
    } good[] = {
        {"{\"__metadata__\":null," FILES_W "}", 4, NULL},
        {"{" FILES_W ",\"__metadata__\":{}}", 4, NULL},
        {"{" FILES_W "}       \n\t\r ", 4, NULL},
        {"  {" FILES_W "}", 4, NULL},
        {"{\"w\":{\"x\":{\"y\":[1,null]},\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":2.5}}", 4, NULL},
        {"{\"__metadata__\":{\"a\":\"\xf4\x8f\xbf\xbf\xed\x9f\xbf\\u0000\"}," FILES_W "}", 4, NULL},
        {FILES_Q("C64", "[1]", "12"), 12, "C64"},
        {FILES_Q("F4", "[2,3]", "7"), 7, "F4"},
        {FILES_Q("F6_E2M3", "[4]", "7"), 7, "F6_E2M3"},
        {FILES_Q("F6_E3M2", "[8]", "10"), 10, "F6_E3M2"},
        {FILES_Q("U4", "[3]", "6"), 6, "U4"},
        {FILES_Q("C128", "[2]", "36"), 36, "C128"},
        {FILES_Q("a new one", "[7,7]", "4"), 4, "a new one"},
        {FILES_Q("", "[]", "5"), 5, "dtype"},
        {FILES_Q("F32", "[1,1,1,1,1,1,1,1,2]", "12"), 12, "more than 8 axes"},
        {FILES_Q("F32", "[0,2147483647,4]", "4"), 4, ""},
        {FILES_Q("F4", "[0]", "4"), 4, "F4"},
        {FILES_Q("F8_E4M3FNUZ", "[2]", "6"), 6, ""},
        {"{\"q\":{\"dtype\":\"I8\",\"shape\":[0],\"data_offsets\":[0,0]}," FILES_W "}", 4, ""},
    };
    ssde_context context;
    ssde_tensor_file *file;
    size_t i;
    memset(&context, 0, sizeof context);
    for (i = 0; i < sizeof good / sizeof *good; i++) {
        const ssde_file_tensor *w, *q;
        float value = -1.0f, values[2];
        files_write_header(FILES_PATH, good[i].header, good[i].data);
        CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PATH));
        if (!file) continue;
        w = ssde_tensor_file_find(file, "w");
        q = ssde_tensor_file_find(file, "q");
        CHECK(w && !strcmp(w->dtype, "F32") && w->rank == 1);
        if (w) CHECK_OK(ssde_tensor_file_read(file, w, &value));
        CHECK(value >= 0.0f && value <= 0.0f && (q != NULL) == (good[i].words != NULL));
        CHECK(!q || (q->problem != NULL) == (*good[i].words != 0));
        if (q && *good[i].words)
            CHECK_FAILS(&context, ssde_tensor_file_read(file, q, values), SSDE_ERROR_UNSUPPORTED, good[i].words);
        else if (q)
            CHECK_OK(ssde_tensor_file_read(file, q, values));
        ssde_tensor_file_close(file);
    }
    /* of a key of the metadata that comes twice, the last value counts */
    files_write_header(FILES_PATH, "{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0);
    CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PATH));
    CHECK(file && !strcmp(ssde_tensor_file_metadata(file, "a"), "2"));
    ssde_tensor_file_close(file);
    if (!check_quick) { /* a header of more than 100 MB, in a file with a hole */
        static const unsigned char length[9] = {0x01, 0xe1, 0xf5, 0x05, 0, 0, 0, 0, '{'};
        FILE *stream = fopen(FILES_PATH, "wb");
        CHECK(stream && fwrite(length, 1, sizeof length, stream) == sizeof length);
        CHECK(stream && !fseek(stream, 100000010, SEEK_SET) && fputc('}', stream) == '}');
        if (stream) fclose(stream);
        CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PATH), SSDE_ERROR_FORMAT, "100000001 bytes");
    }
    remove(FILES_PATH);
#undef FILES_W
#undef FILES_Q
}

/* One number of a dtype, from a file. */
static ssde_status files_number_of(ssde_context *context, const char *dtype, size_t size, uint64_t bits, float *value,
                                   double *wide) {
    unsigned char bytes[256];
    char header[160];
    ssde_tensor_file *file;
    ssde_status status;
    size_t length, i;
    snprintf(header, sizeof header, "{\"a\":{\"dtype\":\"%s\",\"shape\":[],\"data_offsets\":[0,%d]}}", dtype,
             (int)size);
    files_write_header(FILES_PATH, header, size);
    length = files_read(FILES_PATH, bytes, sizeof bytes);
    for (i = 0; i < size; i++) bytes[length - size + i] = (unsigned char)(bits >> 8 * i);
    files_write(FILES_PATH, bytes, length);
    CHECK_OK(ssde_tensor_file_open(context, &file, FILES_PATH));
    *wide = *value = -77.0f;
    CHECK_OK(ssde_tensor_file_read_double(file, ssde_tensor_file_get(file, 0), wide));
    status = ssde_tensor_file_read(file, ssde_tensor_file_get(file, 0), value);
    ssde_tensor_file_close(file);
    return status;
}

/* A number becomes the nearest float and the nearest double, ties to even, in one rounding each. */
static void test_nn_files_rounding(void) {
    static const struct {
        const char *dtype;
        size_t size;
        uint64_t bits;
        double wide, value;
    } cases[] = {
        {"F64", 8, 0x47efffffe54daff8u, 3.4028235e38, (double)FLT_MAX},
        {"F64", 8, 0xc7efffffefffffffu, -3.4028235677973362e38, -(double)FLT_MAX}, /* below the middle to 2^128 */
        {"F64", 8, 0x7ff0000000000000u, HUGE_VAL, HUGE_VAL},
        {"F64", 8, 0x3ff0000010000001u, 1.0 + 5.9604644775390625e-8 + DBL_EPSILON, 1.0 + 1.1920928955078125e-7},
        {"I64", 8, 0x1000001000000001u, 1152921573326323712.0, 1152921642045800448.0}, /* 2^60 + 2^36 + 1 */
        {"I64", 8, 0xefffffefffffffffu, -1152921573326323712.0, -1152921642045800448.0},
        {"I64", 8, 0x0020000000000001u, 9007199254740992.0, 9007199254740992.0}, /* 2^53 + 1: a tie */
        {"I64", 8, 0x0020000000000003u, 9007199254740996.0, 9007199254740992.0},
        {"I64", 8, 0x7fffffffffffffffu, 9223372036854775808.0, 9223372036854775808.0},
        {"I64", 8, 0x8000000000000000u, -9223372036854775808.0, -9223372036854775808.0},
        {"U64", 8, 0x8000008000000001u, 9223372586610589696.0, 9223373136366403584.0}, /* 2^63 + 2^39 + 1 */
        {"U64", 8, 0x8000000000000401u, 9223372036854777856.0, 9223372036854775808.0}, /* 2^63 + 2^10 + 1 */
        {"U64", 8, 0x8000000000000400u, 9223372036854775808.0, 9223372036854775808.0},
        {"U64", 8, 0xffffffffffffffffu, 18446744073709551616.0, 18446744073709551616.0},
        {"U32", 4, 0xffffffffu, 4294967295.0, 4294967296.0},
        {"I32", 4, 0xfeffffffu, -16777217.0, -16777216.0},
        {"F16", 2, 0x0001, 5.9604644775390625e-8, 5.9604644775390625e-8},
        {"F16", 2, 0x83ff, -6.097555160522461e-05, -6.097555160522461e-05},
        {"BF16", 2, 0x0001, 9.183549615799121e-41, 9.183549615799121e-41}, /* 2^-133 */
        {"BF16", 2, 0xff80, -HUGE_VAL, -HUGE_VAL},
        {"BOOL", 1, 2, 1.0, 1.0},
        {"F8_E8M0", 1, 0, 5.877471754111438e-39, 5.877471754111438e-39}, /* 2^-127 */
    };
    ssde_context context;
    double wide;
    float value;
    size_t i;
    memset(&context, 0, sizeof context);
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_OK(files_number_of(&context, cases[i].dtype, cases[i].size, cases[i].bits, &value, &wide));
        if (!(wide >= cases[i].wide && wide <= cases[i].wide) ||
            !((double)value >= cases[i].value && (double)value <= cases[i].value))
            check_report(__FILE__, __LINE__, "%s %d: %.17g, %.9g", cases[i].dtype, (int)i, wide, (double)value);
    }
    /* the middle of FLT_MAX and 2^128 would become infinite */
    CHECK_FAILS(&context, files_number_of(&context, "F64", 8, 0x47effffff0000000u, &value, &wide), SSDE_ERROR_NUMERIC,
                "no float");
    CHECK_FAILS(&context, files_number_of(&context, "F64", 8, 0xffefffffffffffffu, &value, &wide), SSDE_ERROR_NUMERIC,
                "-1.79769313e+308");
    remove(FILES_PATH);
}

/* Every 8-bit float against its definition: exponent bits, bias, the largest number, and whether there is infinity. */
static void test_nn_files_small_floats(void) {
    static const struct {
        const char *dtype;
        int exponent, bias;
        double smallest, largest;
        int infinite, nans;
    } types[] = {{"F8_E4M3", 4, 7, 1.0 / 512, 448.0, 0, 2},
                 {"F8_E5M2", 5, 15, 1.0 / 65536, 57344.0, 2, 6},
                 {"F8_E4M3FNUZ", 4, 8, 1.0 / 1024, 240.0, 0, 1},
                 {"F8_E5M2FNUZ", 5, 16, 1.0 / 131072, 57344.0, 0, 1}};
    char header[160];
    unsigned char bytes[512];
    double values[256];
    float floats[256];
    size_t which, size, i;
    for (which = 0; which < 5; which++) {
        const char *dtype = which < 4 ? types[which].dtype : "F8_E8M0";
        ssde_tensor_file *file;
        double smallest = HUGE_VAL, largest = 0.0;
        int nans = 0, infinite = 0, fraction_bits;
        snprintf(header, sizeof header, "{\"a\":{\"dtype\":\"%s\",\"shape\":[256],\"data_offsets\":[0,256]}}", dtype);
        files_write_header(FILES_PATH, header, 256);
        size = files_read(FILES_PATH, bytes, sizeof bytes);
        for (i = 0; i < 256; i++) bytes[size - 256 + i] = (unsigned char)i;
        files_write(FILES_PATH, bytes, size);
        CHECK_OK(ssde_tensor_file_open(NULL, &file, FILES_PATH));
        CHECK_OK(ssde_tensor_file_read(file, ssde_tensor_file_get(file, 0), floats));
        CHECK_OK(ssde_tensor_file_read_double(file, ssde_tensor_file_get(file, 0), values));
        ssde_tensor_file_close(file);
        if (which == 4) { /* 2^(i - 127) */
            for (i = 0; i < 255; i++) CHECK(values[i] == ldexp(1.0, (int)i - 127) && (double)floats[i] == values[i]);
            CHECK(isnan(values[255]) && isnan(floats[255]));
            continue;
        }
        fraction_bits = 7 - types[which].exponent;
        for (i = 0; i < 256; i++) {
            int exponent = (int)(i >> fraction_bits & ((1u << types[which].exponent) - 1));
            double fraction = (double)(i & ((1u << fraction_bits) - 1)) / (1 << fraction_bits);
            double number =
                exponent ? ldexp(1.0 + fraction, exponent - types[which].bias) : ldexp(fraction, 1 - types[which].bias);
            CHECK(isnan(floats[i]) || (double)floats[i] == values[i]);
            nans += isnan(values[i]) != 0;
            infinite += isinf(values[i]) != 0;
            if (isnan(values[i]) || isinf(values[i])) continue;
            CHECK(values[i] == (i >> 7 ? -number : number));
            if (values[i] > 0.0 && values[i] < smallest) smallest = values[i];
            if (values[i] > largest) largest = values[i];
        }
        CHECK(nans == types[which].nans && infinite == types[which].infinite);
        CHECK(smallest == types[which].smallest && largest == types[which].largest);
        CHECK((1.0 / values[0] > 0.0) && (which > 1 ? isnan(values[128]) : 1.0 / values[128] < 0.0));
    }
    remove(FILES_PATH);
}

/* ---- checksums ---- */

/* Makes the keys of the checksums mean nothing. */
static void files_strip_checksums(unsigned char *bytes, size_t size) {
    size_t i;
    for (i = 0; i + 14 <= size; i++)
        if (!memcmp(bytes + i, "scoresde.crc32", 14)) bytes[i + 8] = '_';
}

static void files_flip(const char *path, size_t bit) {
    FILE *stream = fopen(path, "r+b");
    int byte = stream && !fseek(stream, (long)(bit / 8), SEEK_SET) ? fgetc(stream) : EOF;
    CHECK(byte != EOF && !fseek(stream, (long)(bit / 8), SEEK_SET) && fputc(byte ^ 1 << bit % 8, stream) != EOF);
    if (stream) fclose(stream);
}

/* A table-free CRC-32. */
static uint32_t files_plain_crc(const unsigned char *bytes, size_t size) {
    uint32_t crc = 0xffffffffu;
    int bit;
    for (; size; size--, bytes++)
        for (crc ^= *bytes, bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0u);
    return ~crc;
}

static void test_nn_files_crc(void) {
    static unsigned char bytes[9000];
    static const size_t sizes[] = {0, 1, 7, 8, 9, 2047, 2048, 2049, 2055, 4096, 9000};
    size_t i;
    CHECK(ssdei_crc32(0, (const unsigned char *)"123456789", 9) == 0xcbf43926u);
    for (i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(i * i >> 3 ^ i);
    for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint32_t first = ssdei_crc32(0, bytes, sizes[i] / 3);
        CHECK(ssdei_crc32(0, bytes, sizes[i]) == files_plain_crc(bytes, sizes[i]));
        CHECK(ssdei_crc32(first, bytes + sizes[i] / 3, sizes[i] - sizes[i] / 3) == files_plain_crc(bytes, sizes[i]));
    }
}

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
static void test_nn_files_checksums(void) {
    static unsigned char bytes[65536], edited[65536];
    files_memory memory;
    ssde_context context = files_context(&memory);
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
    files_write(FILES_PATH, edited, size);
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PATH), SSDE_ERROR_FORMAT, "was edited");
    files_strip_checksums(edited, header);
    files_write(FILES_PATH, edited, size);
    CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PATH));
    CHECK(file && ssde_tensor_file_metadata(file, "Config") != NULL);
    ssde_tensor_file_close(file);
    /* capital digits, keys that are gone or of no tensor */
    for (i = 0; i + 14 < header; i++) {
        if (memcmp(bytes + i, "scoresde.crc32", 14)) continue;
        memcpy(edited, bytes, size);
        edited[i] = 'S';
        files_write(FILES_PATH, edited, size);
        CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PATH), SSDE_ERROR_FORMAT, "scoresde.crc32");
        CHECK(bytes[i + 14] == '"' || bytes[i + 14] == ':');
        if (bytes[i + 14] == '"') continue;
        edited[i] = 's', edited[i + 15] = 'X';
        files_write(FILES_PATH, edited, size);
        CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PATH), SSDE_ERROR_FORMAT, "no tensor");
    }
    /* another order of the same */
    files_write(FILES_PATH, bytes, size);
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

static void test_nn_files_round_trip(void) {
    files_memory memory;
    ssde_context context = files_context(&memory);
    ssde_unet_desc unet = files_unet_desc(&context);
    ssde_sde sdes[3], read;
    ssde_net *net, *again;
    int i;
    sdes[0] = ssde_ve(0.0123456789, 37.5);
    sdes[1] = ssde_vp(0.1, 20.0);
    sdes[2] = ssde_subvp(0.2, 19.0);
    sdes[0].num_scales = 500;
    sdes[2].prior_std = 1.25;
    CHECK_OK(ssde_unet_create(&net, &unet));
    for (i = 0; i < 3; i++) {
        CHECK_OK(ssde_net_save(net, &sdes[i], FILES_PATH));
        CHECK_OK(ssde_net_load(&context, &again, &read, FILES_PATH));
        CHECK(read.kind == sdes[i].kind && read.num_scales == sdes[i].num_scales);
        if (i == 0)
            CHECK(read.sigma_min == sdes[i].sigma_min && read.sigma_max == sdes[i].sigma_max);
        else
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

static void test_nn_files_layout(void) {
    size_t dim; /* and with it the length of the header */
    for (dim = 1; dim < 30; dim += 4) files_check_layout(dim);
}

/* The reference's own weights: every tensor where it belongs, whatever its order in memory. */
static void test_nn_files_golden(void) {
    static const char *const names[] = {"ddpmpp_vp", "ddpmpp_subvp_1ch", "ncsnpp_ve", "ncsnpp_ve_skip", "ddpm_vp"};
    static const ssde_sde_kind kinds[] = {SSDE_VP, SSDE_SUBVP, SSDE_VE, SSDE_VE, SSDE_VP};
    static double wanted[65536];
    static float values[65536];
    files_memory memory;
    ssde_context context = files_context(&memory);
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
        ssdei_parameter_to_file(&net->parameters[i], net->weights + net->parameters[i].offset, scratch);
        ssdei_tensor_writer_put(&writer, scratch, net->parameters[i].info.count);
    }
    if (extra) ssdei_tensor_writer_put(&writer, &zero, 1);
    CHECK_OK(ssdei_tensor_writer_end(&writer, SSDE_OK));
    ssdei_release(NULL, scratch);
}

static void test_nn_files_descriptions(void) {
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
        {"{\"model.name\": \"ncsn\"}", SSDE_ERROR_UNSUPPORTED, "'ncsn'"},
        {"{\"model.name\": \"ncsnv2_64\"}", SSDE_ERROR_UNSUPPORTED, "'ncsnv2_64'"},
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
    files_memory memory;
    ssde_context context = files_context(&memory);
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

static double files_no_drift(void *user, double t) {
    (void)user;
    (void)t;
    return 0.0;
}
static double files_diffusion(void *user, double t) {
    (void)user;
    return 1.0 + t;
}

static void test_nn_files_bad_saves(void) {
    static unsigned char before[65536], after[65536];
    files_memory memory;
    ssde_context context = files_context(&memory);
    ssde_net *net = files_mlp(&context, 2, 4, 1, 3), *other, *hand;
    ssde_sde affine = ssde_affine(files_no_drift, files_diffusion, NULL), vp = ssde_vp(0.1, 20.0);
    float kept, *weights = NULL;
    uint64_t version;
    size_t size;
    FILE *full;
    if (!net) return;
    CHECK_OK(ssde_net_save(net, &vp, FILES_PATH));
    size = files_read(FILES_PATH, before, sizeof before);
    CHECK_FAILS(&context, ssde_net_save(net, &affine, FILES_PATH), SSDE_ERROR_UNSUPPORTED, "affine");
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
        fclose(full);
        ssdei_tensor_writer_begin(&writer, &context);
        ssdei_tensor_writer_declare(&writer, "", net->parameters[0].info.name, net->parameters[0].info.rank,
                                    net->parameters[0].info.shape);
        CHECK_OK(ssdei_tensor_writer_open(&writer, FILES_OTHER));
        fclose(writer.file.file);
        writer.file.file = fopen("/dev/full", "wb");
        ssdei_tensor_writer_put(&writer, net->weights, net->parameters[0].info.count);
        CHECK_STATUS(ssdei_tensor_writer_end(&writer, SSDE_OK), SSDE_ERROR_FILE);
        CHECK(strstr(context.error, "is the disk full?") != NULL);
        CHECK(!fopen(FILES_OTHER, "rb") && !fopen(writer.file.aside, "rb"));
    }
    /* a file with errors leaves the network as it is */
    other = files_mlp(&context, 2, 4, 1, 4);
    weights = (float *)malloc(other->weight_count * sizeof *weights);
    memcpy(weights, other->weights, other->weight_count * sizeof *weights);
    version = other->version;
    before[size - 1] = 0x7f; /* the last value becomes NaN */
    before[size - 2] = 0xff;
    files_write(FILES_PATH, before, size);
    CHECK_FAILS(&context, ssde_net_load_weights(other, FILES_PATH), SSDE_ERROR_FORMAT, "damaged");
    files_strip_checksums(before, size);
    files_write(FILES_PATH, before, size);
    CHECK_FAILS(&context, ssde_net_load_weights(other, FILES_PATH), SSDE_ERROR_NUMERIC, "not finite");
    CHECK(strstr(context.error, other->parameters[other->parameter_count - 1].info.name) != NULL);
    CHECK_SAME(weights, other->weights, other->weight_count * sizeof *weights);
    CHECK(other->version == version);
    files_write(FILES_PATH, after, size);
    CHECK_OK(ssde_net_load_weights(other, FILES_PATH));
    CHECK_SAME(net->weights, other->weights, other->weight_count * sizeof *weights);
    CHECK(other->version > version);
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

static void test_nn_files_hostile(void) {
    static unsigned char bytes[65536];
    files_memory memory;
    ssde_context context = files_context(&memory);
    ssde_net *net = files_mlp(NULL, 2, 4, 1, 3);
    ssde_sde sde = ssde_ve(0.01, 50.0);
    size_t size, header, i, opened = 0;
    if (!net) return;
    CHECK_OK(ssde_net_save(net, &sde, FILES_PATH));
    ssde_net_destroy(net);
    size = files_read(FILES_PATH, bytes, sizeof bytes);
    header = 8 + ((size_t)bytes[0] | (size_t)bytes[1] << 8);
    files_strip_checksums(bytes, header);
    files_write(FILES_PATH, bytes, size);
    CHECK_OK(files_try(&context, FILES_PATH));
    for (i = 0; i < size; i += check_quick ? 37 : i < header ? 1 : 5) {
        files_write(FILES_PATH, bytes, i);
        CHECK(files_try(&context, FILES_PATH) != SSDE_OK && memory.live == 0);
    }
    for (i = 0; i < header * 8; i += check_quick ? 137 : 7) { /* every bit of a byte in its turn */
        bytes[i / 8] = (unsigned char)(bytes[i / 8] ^ 1u << i % 8);
        files_write(FILES_PATH, bytes, size);
        opened += files_try(&context, FILES_PATH) == SSDE_OK;
        CHECK(memory.live == 0);
        bytes[i / 8] = (unsigned char)(bytes[i / 8] ^ 1u << i % 8);
    }
    CHECK(opened < header / 3); /* a digit of a sigma, or a key that nobody asks for; most flips are noticed */
    remove(FILES_PATH);
}

/* ---- PyTorch's files ---- */

#define FILES_PTH "scoresde_test.pth"

/* Bytes that are put one behind the other. */
typedef struct files_buffer {
    unsigned char bytes[1 << 21];
    size_t size;
} files_buffer;

static void files_put(files_buffer *buffer, const void *bytes, size_t size) {
    CHECK(buffer->size + size <= sizeof buffer->bytes);
    if (buffer->size + size > sizeof buffer->bytes) return;
    memcpy(buffer->bytes + buffer->size, bytes, size);
    buffer->size += size;
}

static void files_put_number(files_buffer *buffer, uint64_t number, int size) {
    int i;
    for (i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)(i < 8 ? number >> 8 * i : 0);
        files_put(buffer, &byte, 1);
    }
}

static void files_put_text(files_buffer *buffer, const char *text) { files_put(buffer, text, strlen(text)); }

/* A zip archive of stored records, and its directory; large: in the form for more than 4 GB. */
typedef struct files_archive {
    files_buffer records, directory;
    unsigned count;
    int large;
} files_archive;

static uint32_t files_crc(const unsigned char *bytes, size_t size) {
    uint32_t crc = 0xffffffffu;
    size_t i;
    for (i = 0; i < 8 * size; i++) crc = crc >> 1 ^ (((crc ^ (unsigned)bytes[i / 8] >> i % 8) & 1) ? 0xedb88320u : 0u);
    return ~crc;
}

static void files_archive_add(files_archive *archive, const char *name, const void *bytes, size_t size) {
    int part;
    size_t offset = archive->records.size;
    for (part = 0; part < 2; part++) {
        files_buffer *to = part ? &archive->directory : &archive->records;
        files_put_text(to, part ? "PK\1\2" : "PK\3\4");
        if (part) files_put_number(to, 20, 2);
        files_put_number(to, 20, 2);
        files_put_number(to, 0, 8); /* flags, method, time, date */
        files_put_number(to, files_crc((const unsigned char *)bytes, size), 4);
        files_put_number(to, archive->large ? 0xffffffffu : size, 4);
        files_put_number(to, archive->large ? 0xffffffffu : size, 4);
        files_put_number(to, strlen(name), 2);
        files_put_number(to, archive->large && part ? 5 + 28 : 0, 2);
        if (part) files_put_number(to, 0, 10);
        if (part) files_put_number(to, archive->large ? 0xffffffffu : offset, 4);
        files_put_text(to, name);
        if (!archive->large || !part) continue;
        files_put(to, "\x99\0\1\0?", 5); /* another extra field */
        files_put_number(to, 1, 2);
        files_put_number(to, 24, 2);
        files_put_number(to, size, 8);
        files_put_number(to, size, 8);
        files_put_number(to, offset, 8);
    }
    files_put(&archive->records, bytes, size);
    archive->count++;
}

static void files_archive_write(files_archive *archive, const char *path) {
    size_t begin = archive->records.size, size = archive->directory.size;
    files_put(&archive->records, archive->directory.bytes, size);
    if (archive->large) {
        files_put_text(&archive->records, "PK\6\6");
        files_put_number(&archive->records, 44, 8);
        files_put_number(&archive->records, 0, 12);
        files_put_number(&archive->records, archive->count, 8);
        files_put_number(&archive->records, archive->count, 8);
        files_put_number(&archive->records, size, 8);
        files_put_number(&archive->records, begin, 8);
        files_put_text(&archive->records, "PK\6\7");
        files_put_number(&archive->records, 0, 4);
        files_put_number(&archive->records, begin + size, 8);
        files_put_number(&archive->records, 1, 4);
    }
    files_put_text(&archive->records, "PK\5\6");
    files_put_number(&archive->records, 0, 4);
    files_put_number(&archive->records, archive->large ? 0xffffu : archive->count, 2);
    files_put_number(&archive->records, archive->large ? 0xffffu : archive->count, 2);
    files_put_number(&archive->records, archive->large ? 0xffffffffu : size, 4);
    files_put_number(&archive->records, archive->large ? 0xffffffffu : begin, 4);
    files_put_number(&archive->records, 0, 2);
    files_write(path, archive->records.bytes, archive->records.size);
}

/* An archive of one pickle and one storage of eight floats 0 ... 7, "x/data/0". */
static void files_write_pickle(const char *path, const void *pickle, size_t size, const char *order) {
    static files_archive archive;
    unsigned char floats[32];
    int i, b;
    for (i = 0; i < 8; i++) {
        float value = (float)i;
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        for (b = 0; b < 4; b++) floats[4 * i + b] = (unsigned char)(bits >> 8 * (!strcmp(order, "big") ? 3 - b : b));
    }
    memset(&archive, 0, sizeof archive);
    files_archive_add(&archive, "x/data.pkl", pickle, size);
    files_archive_add(&archive, "x/byteorder", order, strlen(order));
    files_archive_add(&archive, "x/data/0", floats, sizeof floats);
    files_archive_write(&archive, path);
}

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

/* tests/golden/torch_save.pth was written by PyTorch 1.13: every kind of storage, views of one storage, strides. */
static void test_nn_files_pth_values(void) {
    static const struct {
        const char *name, *dtype;
        int rank;
        size_t shape[2];
        double values[6];
    } wanted[] = {{"transposed", "F32", 2, {3, 2}, {0, 3, 1, 4, 2, 5}},
                  {"part", "F32", 2, {1, 2}, {4, 5, 0, 0, 0, 0}},
                  {"stepped", "F32", 2, {2, 2}, {0, 2, 3, 5, 0, 0}},
                  {"half", "F16", 2, {2, 3}, {-2.5, -1.5, -0.5, 0.5, 1.5, 2.5}},
                  {"bfloat", "BF16", 2, {2, 3}, {-2.5, -1.5, -0.5, 0.5, 1.5, 2.5}},
                  {"double", "F64", 2, {2, 3}, {0, 1.0 / 3.0, 2.0 / 3.0, 1, 4.0 / 3.0, 5.0 / 3.0}},
                  {"scalar", "I64", 0, {0, 0}, {3, 0, 0, 0, 0, 0}},
                  {"list.0", "F32", 1, {3, 0}, {0, 1, 2, 0, 0, 0}},
                  {"list.1.0", "F32", 1, {3, 0}, {3, 4, 5, 0, 0, 0}},
                  {"list.1.1", "BOOL", 0, {0, 0}, {1, 0, 0, 0, 0, 0}},
                  {"list.1.3", "I64", 0, {0, 0}, {1099511627776.0, 0, 0, 0, 0, 0}},
                  {"list.1.4", "I64", 0, {0, 0}, {-5, 0, 0, 0, 0, 0}},
                  {"list.1.6", "F64", 0, {0, 0}, {2.5, 0, 0, 0, 0, 0}},
                  {"parameter", "F32", 2, {2, 3}, {0, 1, 2, 3, 4, 5}},
                  {"int", "I32", 2, {2, 3}, {0, -1, -2, -3, -4, -5}},
                  {"bool", "BOOL", 2, {2, 3}, {0, 0, 0, 0, 1, 1}},
                  {"byte", "U8", 2, {2, 3}, {200, 201, 202, 203, 204, 205}},
                  {"short", "I16", 2, {2, 3}, {0, -1000, -2000, -3000, -4000, -5000}},
                  {"char", "I8", 2, {2, 3}, {0, -1, -2, -3, -4, -5}},
                  {"empty", "F32", 2, {0, 3}, {0, 0, 0, 0, 0, 0}},
                  {"7", "F32", 2, {2, 3}, {0, 1, 2, 0, 1, 2}},
                  {"state.w", "F32", 2, {2, 3}, {0, 1, 2, 3, 4, 5}}};
    const size_t count = sizeof wanted / sizeof *wanted;
    ssde_context context;
    ssde_tensor_file *file;
    double values[6];
    size_t i, j;
    memset(&context, 0, sizeof context);
    CHECK_OK(ssde_tensor_file_open(&context, &file, "tests/golden/torch_save.pth"));
    if (!file) return;
    CHECK(ssde_tensor_file_count(file) == count);
    CHECK(ssde_tensor_file_metadata(file, "list.1.5") && !strcmp(ssde_tensor_file_metadata(file, "list.1.5"), "text"));
    CHECK(!ssde_tensor_file_metadata(file, "list.1.2") && !ssde_tensor_file_find(file, "list.1.2")); /* None */
    for (i = 0; i < count; i++) {
        const ssde_file_tensor *tensor = ssde_tensor_file_find(file, wanted[i].name);
        CHECK(tensor && tensor == ssde_tensor_file_get(file, i) && !strcmp(tensor->dtype, wanted[i].dtype));
        CHECK(tensor && tensor->rank == wanted[i].rank && tensor->count <= 6 && !tensor->problem);
        CHECK(tensor && tensor->number == (!wanted[i].rank && strcmp(wanted[i].name, "scalar")));
        if (!tensor || tensor->count > 6) continue;
        for (j = 0; j < (size_t)tensor->rank; j++) CHECK(tensor->shape[j] == wanted[i].shape[j]);
        CHECK_OK(ssde_tensor_file_read_double(file, tensor, values));
        for (j = 0; j < tensor->count; j++) CHECK_NEAR(values[j], wanted[i].values[j], 0.0);
    }
    ssde_tensor_file_close(file);
}

/* The reference's own checkpoint: network output with the averaged parameters, and the model's parameters. */
static void test_nn_files_pth_golden(void) {
    enum { ROWS = 2, DIM = 192 };
    static double raw[16384];
    static float x[ROWS * DIM], wanted[ROWS * DIM], out[ROWS * DIM], values[16384];
    ssde_context context;
    ssde_net *net;
    ssde_run_desc desc;
    ssde_run *run;
    ssde_tensor_file *file;
    golden_file *golden;
    float labels[ROWS];
    size_t i, j;
    memset(&context, 0, sizeof context);
    memset(&desc, 0, sizeof desc);
    CHECK_OK(ssde_net_load(&context, &net, NULL, "tests/golden/ddpmpp_vp.weights.safetensors"));
    if (!net) return;
    CHECK_OK(ssde_net_load_pth(net, "tests/golden/ddpmpp_vp.checkpoint.pth", SSDE_PTH_EMA));
    golden = golden_open("tests/golden/ddpmpp_vp.checkpoint_io.safetensors");
    golden_images(golden, "x", x, ROWS, 8, 8, 3);
    golden_images(golden, "out_ema", wanted, ROWS, 8, 8, 3);
    golden_floats(golden, "labels", labels, ROWS);
    golden_close(golden);
    desc.max_rows = ROWS;
    desc.convolution = SSDE_CONVOLUTION_DIRECT;
    CHECK_OK(ssde_run_create(&run, net, &desc));
    CHECK_OK(ssde_run_forward(run, x, labels, NULL, ROWS, 0, 0, NULL, out));
    CHECK_ARRAY(out, wanted, ROWS * DIM, 2e-5);
    CHECK_OK(ssde_net_load_pth(net, "tests/golden/ddpmpp_vp.checkpoint.pth", SSDE_PTH_MODEL));
    CHECK_OK(ssde_run_forward(run, x, labels, NULL, ROWS, 0, 0, NULL, out));
    CHECK(check_distance(out, wanted, ROWS * DIM) > 1e-3); /* another network */
    CHECK_OK(ssde_tensor_file_open(&context, &file, "tests/golden/ddpmpp_vp.checkpoint.pth"));
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
    ssde_run_destroy(run);
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

static void test_nn_files_pth_networks(void) {
    files_memory memory;
    ssde_context context = files_context(&memory);
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
    uint64_t version;
    memcpy(&other, &seven, sizeof other);
    CHECK(from && net);
    if (!from || !net) return;
    CHECK(from->parameter_count == net->parameter_count && !from->parameters[0].info.trainable);
    for (i = 0; i < from->weight_count; i++) from->weights[i] = (float)i * 0.25f;
    for (i = 0; i < 4; i++) { /* the average's parameters are the model's plus 1, but for the frozen ones */
        ssde_pth_weights weights = i % 2 ? SSDE_PTH_MODEL : SSDE_PTH_EMA;
        files_write_checkpoint(FILES_PTH, from, i < 2 ? FILES_NO_FLAW : FILES_NO_DATA_PARALLEL, 0);
        version = net->version;
        CHECK_OK(ssde_net_load_pth(net, FILES_PTH, weights));
        CHECK(net->version > version);
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
    version = net->version;
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
    CHECK(net->version == version);
    ssde_net_destroy(from);
    ssde_net_destroy(net);
    CHECK(memory.live == 0);
    remove(FILES_PTH);
}

#define FILES_TENSOR_2(global, storage, numel, rest)                                                            \
    "ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagec" global "\nX\1\0\0\0" storage "X\3\0\0\0cpuK" numel \
    "tQ" rest                                                                                                   \
    "\x89"                                                                                                      \
    "ccollections\nOrderedDict\n)RtR"
#define FILES_TENSOR(rest) FILES_TENSOR_2("torch\nFloatStorage", "0", "\10", rest)

/* A list of a number, a long string and a tensor, and a few bytes again and again that use them: remembered are the
   number as 0, the string as 1, a tensor's function as 2 and its arguments as 3. */
static void files_write_repetition(const char *again, size_t times) {
    static const char tensor[] = FILES_TENSOR("K\1K\2K\2\x86K\2K\1\x86");
    static files_buffer pickle;
    size_t i, size = strchr(again, 'R') ? 5 : 2;
    pickle.size = 0;
    files_put(&pickle, "\x80\2](K\5q\0X", 9);
    files_put_number(&pickle, 100000, 4);
    for (i = 0; i < 100000; i++) files_put_text(&pickle, "s");
    files_put(&pickle, "q\1ctorch._utils\n_rebuild_tensor_v2\nq\2", 37);
    files_put(&pickle, tensor + 33, sizeof tensor - 1 - 33 - 1);
    files_put(&pickle, "q\3R", 3);
    for (i = 0; i < times; i++) files_put(&pickle, again, size);
    files_put_text(&pickle, "e.");
    files_write_pickle(FILES_PTH, pickle.bytes, pickle.size, "little");
}

/* A list that has the one before twice, so many times, around a number. */
static void files_write_nesting(int times) {
    static files_buffer pickle;
    pickle.size = 0;
    files_put(&pickle, "\x80\2K\1q\0000", 7);
    while (times--) files_put(&pickle, "h\0h\0\x86q\0000", 8);
    files_put(&pickle, "h\0.", 3);
    files_write_pickle(FILES_PTH, pickle.bytes, pickle.size, "little");
}

/* As many lists, each in the next, around a number. */
static void files_write_depth(int times) {
    static files_buffer pickle;
    int i;
    pickle.size = 0;
    files_put(&pickle, "\x80\2", 2);
    for (i = 0; i < times; i++) files_put_text(&pickle, "(");
    files_put_text(&pickle, "K\1");
    for (i = 0; i < times; i++) files_put_text(&pickle, "l");
    files_put_text(&pickle, ".");
    files_write_pickle(FILES_PTH, pickle.bytes, pickle.size, "little");
}

/* Pickles that are written by hand: what the interpreter reads, and what it refuses by name. */
static void test_nn_files_pth_pickles(void) {
    static const struct {
        const char *bytes;
        size_t size;
        const char *words; /* NULL: it is fine, and tensor "a" begins with the numbers 1, 3 */
    } pickles[] = {
#define FILES_PICKLE(text, words) \
    { text, sizeof text - 1, words }
#define FILES_A(value) "\x80\2}X\1\0\0\0a" value "s."
#define FILES_UNREAD_MARK "\1"
#define FILES_UNREAD(value, words) FILES_PICKLE(FILES_A(value), FILES_UNREAD_MARK words)
#define FILES_BESIDE(value) \
    FILES_PICKLE("\x80\2}(X\1\0\0\0b" value "X\1\0\0\0a" FILES_TENSOR("K\1K\2\x85K\2\x85") "u.", NULL)
#define FILES_METADATA(metadata)                                                           \
    "ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0" \
    "0X\3\0\0\0cpuK\10tQK\1K\2\x85K\2\x85\x89}" metadata "tR"
/* _rebuild_tensor_v3(untyped storage of 32 bytes, ..., dtype[, metadata]) of PyTorch 2.1 and later */
#define FILES_TYPED(dtype, rest)                                                                     \
    "ctorch._utils\n_rebuild_tensor_v3\n((X\7\0\0\0storagectorch.storage\nUntypedStorage\nX\1\0\0\0" \
    "0X\3\0\0\0cpuK tQ" rest "\x89}" dtype "tR"
        FILES_PICKLE(FILES_A(FILES_TENSOR("K\1K\2K\2\x86K\2K\1\x86")), NULL),
        FILES_PICKLE(FILES_A("ctorch._utils\n_rebuild_parameter\n" FILES_TENSOR("K\1K\2\x85K\2\x85") "\x88}\x87R"),
                     NULL),
        FILES_PICKLE(
            "\x80\4\x95\0\0\0\0\0\0\0\0}\x94(\x8c\1a\x94\x8c\14torch._utils\x94\x8c\22_rebuild_tensor_v2\x94\x93"
            "\x94((\x8c\7storage\x8c\5torch\x8c\14FloatStorage\x93\x8c\1"
            "0\x8c\3cpuK\10t\x94QK\1K\4\x85K\2\x85\x89}t"
            "\x94R\x94u.",
            NULL),
        /* PyTorch 2.0's metadata, and functions of other versions that come to the same */
        FILES_PICKLE(FILES_A(FILES_METADATA("}")), NULL), FILES_PICKLE(FILES_A(FILES_METADATA("N")), NULL),
        FILES_PICKLE(FILES_A(FILES_METADATA("}(X\3\0\0\0neg\x89X\4\0\0\0conj\x89u")), NULL),
        FILES_PICKLE(FILES_A("ctorch._utils\n_rebuild_tensor\n((X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"
                             "0X\3\0\0\0cpuK\10tQK\1K\2\x85K\2\x85tR"),
                     NULL),
        FILES_PICKLE(
            FILES_A("ctorch._utils\n_rebuild_parameter_with_state\n(" FILES_TENSOR("K\1K\2\x85K\2\x85") "\x88}}tR"),
            NULL),
        FILES_PICKLE(FILES_A("ctorch._utils\n_rebuild_device_tensor_from_cpu_tensor\n(" FILES_TENSOR(
                         "K\1K\2\x85K\2\x85") "ctorch\nfloat32\nX\3\0\0\0xla\x89tR"),
                     NULL),
        FILES_PICKLE(FILES_A("ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\ncm\nT\n(("
                             "X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"
                             "0X\3\0\0\0cpuK\10tQK\1K\2\x85K\2\x85\x89}t}tR}b"),
                     NULL),
        FILES_PICKLE("", "it ends too early"), FILES_PICKLE("\x80\1}.", "protocol 2 to 5"),
        FILES_PICKLE("\x80\2", "it ends too early"), FILES_PICKLE("\x80\2.", "an object is missing"),
        FILES_PICKLE("\x80\2NN.", "more than one object"), FILES_PICKLE("\x80\2(.", "an object is missing"),
        FILES_PICKLE("\x80\2(N.", "more than one object"), FILES_PICKLE("\x80\2t.", "a mark is missing"),
        FILES_PICKLE("\x80\2}(Nu.", "has no value"), FILES_PICKLE("\x80\2(Nd.", "has no value"),
        FILES_PICKLE("\x80\2}Na.", "an object of another kind"),
        FILES_PICKLE("\x80\2](NNu.", "an object of another kind"), FILES_PICKLE("\x80\2Na.", "an object is missing"),
        FILES_PICKLE("\x80\2NNa.", "an object of another kind"),
        FILES_PICKLE("\x80\2ccollections", "it ends too early"),
        FILES_PICKLE("\x80\2N)R.", "calls what is no function"), FILES_PICKLE("\x80\2NN\x93.", "is no string"),
        FILES_PICKLE("\x80\2\x7f.", "an instruction 0x7f"), FILES_PICKLE("\x80\2\x81.", "an object is missing"),
        FILES_PICKLE("\x80\2)\x81.", "an object is missing"), FILES_PICKLE("\x80\2))\x92.", "an object is missing"),
        FILES_PICKLE("\x80\2i.", "it ends too early"), FILES_PICKLE("\x80\2ia\nb\n.", "a mark is missing"),
        FILES_PICKLE("\x80\2No.", "a mark is missing"),
        FILES_PICKLE("\x80\2"
                     "0.",
                     "an object is missing"),
        FILES_PICKLE("\x80\2N1.", "a mark is missing"),
        FILES_PICKLE("\x80\2"
                     "2.",
                     "an object is missing"),
        FILES_PICKLE("\x80\4\x8f\x90.", "a mark is missing"), FILES_PICKLE("\x80\2I17", "it ends too early"),
        FILES_PICKLE("\x80\2h\5.", "never remembered"), FILES_PICKLE("\x80\2g5\n.", "never remembered"),
        FILES_PICKLE("\x80\2Nr\xff\xff\xff\xff.", "are remembered"),
        FILES_PICKLE("\x80\2Np99999999999999999999999\n.", "are remembered"),
        FILES_PICKLE("\x80\2X\xff\xff\xff\xff"
                     "abc.",
                     "beyond its end"),
        FILES_PICKLE("\x80\4\x8e\xff\xff\xff\xff\xff\xff\xff\xff"
                     "abc.",
                     "beyond its end"),
        FILES_PICKLE("\x80\2\x8b\xff\xff\xff\xff"
                     "abc.",
                     "beyond its end"),
        FILES_PICKLE("\x80\4\x84\1\0.", "beyond its end"),
        /* in these "a" is there, and tells why it cannot be read */
        FILES_UNREAD(FILES_TENSOR_2("torch\nFloatStorage", "1", "\10", "K\0))"), "does not have"),
        FILES_UNREAD(FILES_TENSOR_2("torch\nFloatStorage", "0", "\7", "K\0))"), "of another size"),
        FILES_UNREAD(FILES_TENSOR_2("torch\nDoubleStorage", "0", "\10", "K\0))"), "of another size"),
        FILES_UNREAD(FILES_TENSOR_2("torch\nComplexFloatStorage", "0", "\4", "K\0))"), "C64"),
        FILES_UNREAD(FILES_TENSOR_2("torch\nQInt8Storage", "0", "\10", "K\0))"), "of a class that is not known"),
        FILES_UNREAD(FILES_TENSOR("K\1K\5\x85K\2\x85"), "beyond its storage"),
        FILES_UNREAD(FILES_TENSOR("K\10))"), "beyond its storage"),
        FILES_UNREAD(FILES_TENSOR("K\0K\2K\2\x86K\4K\5\x86"), "beyond its storage"),
        FILES_UNREAD(FILES_TENSOR("K\0K\2\x85)"), "size and a stride"),
        FILES_UNREAD(FILES_TENSOR("K\0J\xff\xff\xff\xff\x85K\1\x85"), "size and a stride"),
        FILES_UNREAD(FILES_TENSOR("K\0(KKKKKKKKK\1t(K\1t"), "size and a stride"),
        FILES_UNREAD(FILES_TENSOR("K\0\x8a\10\xff\xff\xff\xff\xff\xff\xff\x7f\x8a\10\xff\xff\xff\xff\xff\xff\xff"
                                  "\x7f\x86K\0K\0\x86"),
                     "beyond its storage"),
        FILES_UNREAD(FILES_TENSOR("\x8a\10\xff\xff\xff\xff\xff\xff\xff\x7fK\2\x85\x8a\10\xff\xff\xff\xff\xff\xff\xff"
                                  "\x7f\x85"),
                     "beyond its storage"),
        FILES_UNREAD(FILES_METADATA("}X\4\0\0\0conj\x88s"), "metadata"),
        FILES_UNREAD(FILES_METADATA("K\1"), "metadata"), FILES_UNREAD(FILES_METADATA("}X\3\0\0\0negK\1s"), "metadata"),
        FILES_UNREAD(FILES_METADATA("}K\1\x88s"), "metadata"),
        FILES_UNREAD("ctorch._utils\n_rebuild_tensor_v2\n)R", "not made of a storage"),
        FILES_UNREAD("ctorch._utils\n_rebuild_tensor_v2\nNR", "not made of a storage"),
        FILES_UNREAD("ctorch._utils\n_rebuild_sparse_tensor\n)R", "is sparse"),
        FILES_UNREAD("ctorch._utils\n_rebuild_qtensor\n)R", "is quantized"),
        FILES_UNREAD("ctorch._utils\n_rebuild_meta_tensor_no_storage\n)R", "no values"),
        FILES_UNREAD("cnumpy._core.multiarray\n_reconstruct\n)R)b", "array of NumPy"),
        FILES_PICKLE("\x80\2}(X\1\0\0\0aK\1X\1\0\0\0aK\2u.", FILES_UNREAD_MARK "is there twice"),
        FILES_PICKLE(
            "\x80\2}(X\3\0\0\0b.aK\1X\1\0\0\0b}X\1\0\0\0aK\2sX\1\0\0\0a" FILES_TENSOR("K\1K\2\x85K\2\x85") "u.", NULL),
        /* nothing of this is needed, and nothing is executed */
        FILES_BESIDE("cos\nsystem\nX\4\0\0\0true\x85R"), FILES_BESIDE("\x8c\2os\x8c\6system\x93\x8c\4true\x85R"),
        FILES_BESIDE("cbuiltins\neval\n"), FILES_BESIDE("ccollections\nOrderedDict\nN\x85R"),
        FILES_BESIDE("ccollections.OrderedDict\n\n"), FILES_BESIDE("ctorch\nFloatStorage\n"),
        FILES_BESIDE("ctorch\nFloatStorage\nK\1\x85R"), FILES_BESIDE("]}b"), FILES_BESIDE("NNb"),
        FILES_BESIDE("cm\nC\n)\x81}X\1\0\0\0xK\1sb"), FILES_BESIDE("cm\nC\n)}\x92"), FILES_BESIDE("(K\1im\nC\n"),
        FILES_BESIDE("(cm\nC\nK\1o"), FILES_BESIDE("X\2\0\0\0a\0"), FILES_BESIDE("}X\2\0\0\0a\0K\1s"),
        FILES_BESIDE("\x8a\11"
                     "123456789"),
        FILES_BESIDE("\x8b\11\0\0\0"
                     "123456789"),
        FILES_BESIDE("}NNs"), FILES_BESIDE("})K\1s"), FILES_BESIDE("}G\0\0\0\0\0\0\0\0K\1s"), FILES_BESIDE("]q\0h\0a"),
        FILES_BESIDE("}q\0X\1\0\0\0ah\0s"), FILES_BESIDE("cm\nC\n)\x81q\0}X\4\0\0\0selfh\0sb"),
        FILES_BESIDE("cm\nC\n)\x81N}X\1\0\0\0xK\1s\x86"
                     "b"),
        FILES_BESIDE("cm\nC\n)\x81K\3N\x86"
                     "b"),
        FILES_BESIDE("K\1Q"), FILES_BESIDE("(K\1K\2K\3K\4K\5tQ"), FILES_BESIDE("Pid\n"),
        FILES_BESIDE("\x8f(K\1K\2\x90"), FILES_BESIDE("(K\1\x91"), FILES_BESIDE("\x97\x98"), FILES_BESIDE("\x82\1"),
        FILES_BESIDE("\x84\1\0\0\0"), FILES_BESIDE("C\2ab"), FILES_BESIDE("B\2\0\0\0ab"),
        FILES_BESIDE("\x8e\2\0\0\0\0\0\0\0ab"), FILES_BESIDE("\x96\2\0\0\0\0\0\0\0ab"),
        FILES_BESIDE("\x8d\2\0\0\0\0\0\0\0ab"), FILES_BESIDE("I01\n"), FILES_BESIDE("L5L\n"), FILES_BESIDE("F1.5\n"),
        FILES_BESIDE("S'a'\n"), FILES_BESIDE("Va\n"), FILES_BESIDE("T\1\0\0\0a"), FILES_BESIDE("U\1a"),
        FILES_BESIDE("N2"
                     "0"),
        FILES_BESIDE("N(NN1"), FILES_BESIDE("(NNl"), FILES_BESIDE("(K\1Nd"), FILES_BESIDE("Np7\n0g7\n"),
        FILES_BESIDE("N\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85"
                     "\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85\x85")};
    files_memory memory;
    ssde_context context = files_context(&memory);
    ssde_tensor_file *file;
    size_t i;
    int big;
    for (i = 0; i < sizeof pickles / sizeof *pickles; i++) {
        for (big = 0; big < 2; big++) {
            files_write_pickle(FILES_PTH, pickles[i].bytes, pickles[i].size, big ? "big" : "little");
            const char *words = pickles[i].words;
            float values[4] = {0, 0, 0, 0};
            if (words && *words != *FILES_UNREAD_MARK) {
                CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PTH), SSDE_ERROR_FORMAT, words);
                CHECK(!file);
                continue;
            }
            CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PTH));
            if (!file) {
                check_report(__FILE__, __LINE__, "pickle %d: %s", (int)i, context.error);
                continue;
            }
            if (words) {
                CHECK_FAILS(&context, ssde_tensor_file_read(file, ssde_tensor_file_find(file, "a"), values),
                            SSDE_ERROR_UNSUPPORTED, words + 1);
                CHECK(strstr(context.error, "tensor 'a'") != NULL);
            } else {
                CHECK_OK(ssde_tensor_file_read(file, ssde_tensor_file_find(file, "a"), values));
                CHECK(values[0] <= 1.0f && values[0] >= 1.0f);
            }
            ssde_tensor_file_close(file);
            CHECK(memory.live == 0);
        }
    }
    files_write_repetition("h\0", 262145); /* of many numbers the first are listed, and of strings */
    CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PTH));
    CHECK(ssde_tensor_file_count(file) == 65536 - 1 + 1); /* the string, and the tensor */
    ssde_tensor_file_close(file);
    files_write_repetition("h\1", 700);
    CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PTH));
    CHECK(ssde_tensor_file_count(file) == 2);
    ssde_tensor_file_close(file);
    for (i = 128; i <= 129; i++) { /* named "0.0.0...", 255 characters and 257 */
        files_write_depth((int)i);
        CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PTH));
        CHECK(ssde_tensor_file_count(file) == (i == 128));
        ssde_tensor_file_close(file);
    }
    files_write_nesting(30);
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PTH), SSDE_ERROR_FORMAT, "shared too often");
    files_write_repetition("h\2h\3R", 262145);
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PTH), SSDE_ERROR_FORMAT, "262144 tensors");
    files_write_repetition("h\2h\3R", 3);
    CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PTH));
    CHECK(ssde_tensor_file_count(file) == 5);
    ssde_tensor_file_close(file);
    CHECK(memory.live == 0);
    files_write_pickle(FILES_PTH, "\x80\2}.", 4, "middle");
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PTH), SSDE_ERROR_FORMAT,
                "neither little nor big");
    remove(FILES_PTH);
}

static void files_open_and_read(ssde_context *context, int *opened, int *read) {
    ssde_tensor_file *file;
    double values[64];
    size_t i;
    *opened = ssde_tensor_file_open(context, &file, FILES_PTH) == SSDE_OK;
    *read = *opened;
    for (i = 0; i < ssde_tensor_file_count(file); i++) {
        const ssde_file_tensor *tensor = ssde_tensor_file_get(file, i);
        if (tensor->count > 64 || ssde_tensor_file_read_double(file, tensor, values) != SSDE_OK) *read = 0;
    }
    ssde_tensor_file_close(file);
}

/* PyTorch's own file cut short anywhere, and with any bit turned. */
static void test_nn_files_pth_hostile(void) {
    static unsigned char bytes[8192];
    static const unsigned char old[16] = {0x80, 2,    0x8a, 10,   0x6c, 0xfc, 0x9c, 0x46,
                                          0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.'};
    static files_archive archive;
    files_memory memory;
    ssde_context context = files_context(&memory);
    size_t size = files_read("tests/golden/torch_save.pth", bytes, sizeof bytes), i, storage = 0, end, at;
    ssde_tensor_file *file;
    int opened, read;
    for (i = 0; i < size; i += check_quick ? 37 : 1) {
        files_write(FILES_PTH, bytes, i);
        files_open_and_read(&context, &opened, &read);
        CHECK(!opened && memory.live == 0);
    }
    for (i = 0; i < 8 * size; i += check_quick ? 371 : 5) {
        bytes[i / 8] = (unsigned char)(bytes[i / 8] ^ 1u << i % 8);
        files_write(FILES_PTH, bytes, size);
        files_open_and_read(&context, &opened, &read);
        CHECK(memory.live == 0);
        bytes[i / 8] = (unsigned char)(bytes[i / 8] ^ 1u << i % 8);
    }
    /* a storage's first byte: found when it is read */
    for (i = 0; i + 60 < size && !storage; i++)
        if (!memcmp(bytes + i, "torch_save/data/0", 17) && bytes[i - 28] == 3) /* behind "PK\3\4" */
            storage = i + 17 + ((size_t)bytes[i - 2] | (size_t)bytes[i - 1] << 8);
    CHECK(storage > 0);
    bytes[storage + 1] ^= 1;
    files_write(FILES_PTH, bytes, size);
    CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PTH));
    {
        float values[6];
        CHECK_FAILS(&context, ssde_tensor_file_read(file, ssde_tensor_file_find(file, "part"), values),
                    SSDE_ERROR_FORMAT, "'torch_save/data/0' is damaged: its CRC is");
        CHECK_OK(ssde_tensor_file_read(file, ssde_tensor_file_find(file, "half"), values));
    }
    ssde_tensor_file_close(file);
    bytes[storage + 1] ^= 1;
    /* the directory: method, flags, sizes and offset of records, the last of which is not needed */
    for (end = size; memcmp(bytes + end - 4, "PK\1\2", 4);) end--;
    bytes[end - 4 + 10] = 8;
    files_write(FILES_PTH, bytes, size);
    files_open_and_read(&context, &opened, &read);
    CHECK(opened && read);
    bytes[end - 4 + 10] = 0;
    for (at = end - 4; memcmp(bytes + at, "PK\1\2", 4) || memcmp(bytes + at + 46, "torch_save/data/0", 17);) at--;
    bytes[at + 10] = 8;
    bytes[at + 20]--; /* compressed to one byte less */
    files_write(FILES_PTH, bytes, size);
    CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PTH));
    {
        float values[6];
        CHECK_FAILS(&context, ssde_tensor_file_read(file, ssde_tensor_file_find(file, "part"), values),
                    SSDE_ERROR_UNSUPPORTED, "compressed");
    }
    ssde_tensor_file_close(file);
    bytes[at + 10] = 0;
    bytes[at + 20]++;
    for (at = end - 4; memcmp(bytes + at, "PK\1\2", 4) || memcmp(bytes + at + 46, "torch_save/data.pkl", 19);) at--;
    bytes[at + 10] = 8;
    files_write(FILES_PTH, bytes, size);
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PTH), SSDE_ERROR_UNSUPPORTED, "is compressed");
    bytes[at + 10] = 0;
    bytes[at + 8] |= 1;
    files_write(FILES_PTH, bytes, size);
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PTH), SSDE_ERROR_UNSUPPORTED, "is encrypted");
    bytes[at + 8] = (unsigned char)(bytes[at + 8] & ~1u);
    bytes[at + 42] ^= 1;
    files_write(FILES_PTH, bytes, size);
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PTH), SSDE_ERROR_FORMAT,
                "not where the directory says");
    files_write(FILES_PTH, old, sizeof old);
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PTH), SSDE_ERROR_FORMAT, "PyTorch before 1.6");
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, "tests"), SSDE_ERROR_FILE, "'tests'");
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, NULL, FILES_PTH), SSDE_ERROR_ARGUMENT,
                "ssde_tensor_file_open: file is NULL");
    memset(&archive, 0, sizeof archive);
    files_archive_add(&archive, "x/other", "1", 1);
    files_archive_write(&archive, FILES_PTH);
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PTH), SSDE_ERROR_FORMAT, "it has no data.pkl");
    memset(&archive, 0, sizeof archive);
    for (i = 0; i < 2; i++) files_archive_add(&archive, "x/data.pkl", "\x80\2}.", 4);
    files_archive_write(&archive, FILES_PTH);
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PTH), SSDE_ERROR_FORMAT,
                "'x/data.pkl' comes twice");
    memset(&archive, 0, sizeof archive);
    archive.large = 1;
    files_archive_add(&archive, "x/other", "12345", 5);
    files_archive_add(&archive, "x/data.pkl", "\x80\2K\7.", 5);
    files_archive_write(&archive, FILES_PTH);
    CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PTH));
    CHECK(ssde_tensor_file_count(file) == 1);
    ssde_tensor_file_close(file);
    CHECK(memory.live == 0);
    remove(FILES_PTH);
}

enum { FILES_ROWS = 2, FILES_IMAGE = 3 * 16 * 16 };

/* The output for images of a golden file, rows [channels, height, width], with direct sums, against that there. */
static void files_check_output(ssde_net *net, const char *path, const char *labels_name, const char *out_name) {
    static float x[FILES_ROWS * FILES_IMAGE], expected[FILES_ROWS * FILES_IMAGE], out[FILES_ROWS * FILES_IMAGE];
    size_t height, width, channels, dim = ssde_net_dim(net);
    golden_file *file = golden_open(path);
    float labels[FILES_ROWS];
    ssde_run_desc desc;
    ssde_run *run;
    memset(&desc, 0, sizeof desc);
    desc.max_rows = FILES_ROWS;
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

/* ---- what people save ---- */

/* tests/golden/torch_objects*.pth were written by PyTorch 1.13 with NumPy 1.24 in protocols 2 and 4: tensors among all
   kinds of objects that need no reading. */
static void test_nn_files_pth_objects(void) {
    static const struct {
        const char *name;
        size_t count;
        double values[6];
    } wanted[] = {{"optimizer.state.0.step", 1, {1, 0, 0, 0, 0, 0}},
                  {"optimizer.param_groups.0.betas.1", 1, {0.999, 0, 0, 0, 0, 0}},
                  {"optimizer.param_groups.0.params.1", 1, {1, 0, 0, 0, 0, 0}},
                  {"args.lr", 1, {0.5, 0, 0, 0, 0, 0}},    /* argparse.Namespace */
                  {"args.inner.n", 1, {3, 0, 0, 0, 0, 0}}, /* in another */
                  {"deque.0", 1, {1, 0, 0, 0, 0, 0}},
                  {"default.a.0", 1, {3, 0, 0, 0, 0, 0}}, /* defaultdict(list) */
                  {"named.w", 2, {1, 2, 0, 0, 0, 0}},     /* a subclass of OrderedDict with attributes */
                  {"mine.weight", 2, {1, 3, 0, 0, 0, 0}}, /* an object that has itself */
                  {"slots.a", 2, {5, 6, 0, 0, 0, 0}},     /* of a class with __slots__ */
                  {"point.0", 1, {1, 0, 0, 0, 0, 0}},     /* a named tuple */
                  {"listsub.0", 1, {2, 0, 0, 0, 0, 0}},
                  {"loop.1", 1, {9, 0, 0, 0, 0, 0}},   /* a list that has itself */
                  {"view", 2, {2, 4, 0, 0, 0, 0}},     /* offset 2, stride 2 */
                  {"expanded", 6, {1, 1, 1, 2, 2, 2}}, /* stride 0 */
                  {"empty", 0, {0, 0, 0, 0, 0, 0}},
                  {"frozen_parameter", 2, {4, 5, 0, 0, 0, 0}},
                  {"bool", 2, {1, 0, 0, 0, 0, 0}},
                  {"module.weight", 4, {0, 1, 2, 3, 0, 0}}, /* nn.Linear, saved whole */
                  {"module.bias", 2, {7, 8, 0, 0, 0, 0}},
                  {"state_dict.bias", 2, {7, 8, 0, 0, 0, 0}},
                  {"epoch", 1, {7, 0, 0, 0, 0, 0}}};
    static const char *const unreadable[][2] = {
        {"array", "is an array of NumPy"}, {"complex_tensor", "C64"}, {"conj", "C64"},
        {"sparse", "is sparse"},           {"csr", "is sparse"},      {"quantized", "is quantized"},
        {"meta", "on the device 'meta'"}};
    static const char *const paths[] = {"tests/golden/torch_objects.pth", "tests/golden/torch_objects_4.pth"};
    files_memory memory;
    ssde_context context = files_context(&memory);
    ssde_tensor_file *file;
    double values[6];
    size_t i, j, part;
    for (part = 0; part < 2; part++) {
        CHECK_OK(ssde_tensor_file_open(&context, &file, paths[part]));
        if (!file) continue;
        CHECK(ssde_tensor_file_count(file) == 71);
        CHECK(ssde_tensor_file_metadata(file, "args.name") &&
              !strcmp(ssde_tensor_file_metadata(file, "args.name"), "run"));
        for (i = 0; i < sizeof wanted / sizeof *wanted; i++) {
            const ssde_file_tensor *tensor = ssde_tensor_file_find(file, wanted[i].name);
            if (!tensor || tensor->count != wanted[i].count) check_report(__FILE__, __LINE__, "%s", wanted[i].name);
            if (!tensor || tensor->count > 6) continue;
            CHECK_OK(ssde_tensor_file_read_double(file, tensor, values));
            for (j = 0; j < tensor->count; j++) CHECK_NEAR(values[j], wanted[i].values[j], 0.0);
        }
        for (i = 0; i < sizeof unreadable / sizeof *unreadable; i++) {
            const ssde_file_tensor *tensor = ssde_tensor_file_find(file, unreadable[i][0]);
            CHECK(tensor != NULL);
            if (!tensor) continue;
            CHECK_FAILS(&context, ssde_tensor_file_read_double(file, tensor, values), SSDE_ERROR_UNSUPPORTED,
                        unreadable[i][1]);
        }
        ssde_tensor_file_close(file);
        CHECK(memory.live == 0);
    }
    /* torch.save(module), and a TorchScript archive, whose code is compressed */
    for (part = 0; part < 2; part++) {
        CHECK_OK(ssde_tensor_file_open(&context, &file,
                                       part ? "tests/golden/torch_script.pt" : "tests/golden/torch_module.pth"));
        CHECK_OK(ssde_tensor_file_read_double(file, ssde_tensor_file_find(file, part ? "0.bias" : "bias"), values));
        CHECK_NEAR(values[0], 7.0, 0.0);
        CHECK_NEAR(values[1], 8.0, 0.0);
        ssde_tensor_file_close(file);
    }
    CHECK(memory.live == 0);
}

/* PyTorch 2.0's negative bit, in every way that values are read, and the dtypes of _rebuild_tensor_v3 (2.1). */
static void test_nn_files_pth_newer(void) {
    static const char negative[] = "\x80\2}X\1\0\0\0a" FILES_METADATA("}(X\4\0\0\0conj\x89X\3\0\0\0neg\x88u") "s.";
    /* shape 2, stride 4: the halves of the floats 0 and 2 */
    static const char halves[] = "\x80\2}X\1\0\0\0a" FILES_TYPED("ctorch\nuint16\n", "K\1K\2\x85K\4\x85") "s.";
    static const char eighths[] =
        "\x80\2}X\1\0\0\0a" FILES_TYPED("ctorch\nfloat8_e4m3fn\n", "K\0K\2K\3\x86K\3K\1\x86") "s.";
    static const char unknown[] =
        "\x80\2}X\1\0\0\0a" FILES_TYPED("ctorch\nfloat4_e2m1fn_x2\n", "K\0K\2\x85K\1\x85") "s.";
    files_memory memory;
    ssde_context context = files_context(&memory);
    const ssde_file_tensor *tensor;
    ssde_tensor_file *file;
    double doubles[2] = {0, 0};
    float floats[2] = {0, 0};
    int big;
    for (big = 0; big < 2; big++) {
        files_write_pickle(FILES_PTH, negative, sizeof negative - 1, big ? "big" : "little");
        CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PTH));
        tensor = ssde_tensor_file_find(file, "a");
        CHECK_OK(ssde_tensor_file_read(file, tensor, floats));
        CHECK_OK(ssde_tensor_file_read_double(file, tensor, doubles));
        CHECK_NEAR(floats[0], -1.0, 0.0);
        CHECK_NEAR(floats[1], -3.0, 0.0);
        CHECK_NEAR(doubles[0], -1.0, 0.0);
        CHECK_NEAR(doubles[1], -3.0, 0.0);
        ssde_tensor_file_close(file);
        files_write_pickle(FILES_PTH, halves, sizeof halves - 1, big ? "big" : "little");
        CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PTH));
        tensor = ssde_tensor_file_find(file, "a");
        CHECK(tensor && !strcmp(tensor->dtype, "U16") && tensor->rank == 1 && tensor->shape[0] == 2);
        CHECK_OK(ssde_tensor_file_read_double(file, tensor, doubles));
        CHECK_NEAR(doubles[0], 0.0, 0.0);
        CHECK_NEAR(doubles[1], big ? 0.0 : 16384.0, 0.0); /* 2.0f is 0x40000000 */
        ssde_tensor_file_close(file);
    }
    files_write_pickle(FILES_PTH, eighths, sizeof eighths - 1, "little");
    CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PTH));
    tensor = ssde_tensor_file_find(file, "a");
    CHECK(tensor && !strcmp(tensor->dtype, "F8_E4M3") && tensor->count == 6);
    ssde_tensor_file_close(file);
    files_write_pickle(FILES_PTH, unknown, sizeof unknown - 1, "little");
    CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PTH));
    CHECK_FAILS(&context, ssde_tensor_file_read(file, ssde_tensor_file_find(file, "a"), floats), SSDE_ERROR_UNSUPPORTED,
                "a dtype that is not known");
    ssde_tensor_file_close(file);
    CHECK(memory.live == 0);
    remove(FILES_PTH);
}

/* torch.serialization.set_crc32_options(False) leaves every CRC 0 (PyTorch 2.6): nothing to compare; one that is wrong
   among others is still an error, 0 or not. */
static void test_nn_files_pth_without_crc(void) {
    static unsigned char bytes[8192];
    files_memory memory;
    ssde_context context = files_context(&memory);
    size_t size = files_read("tests/golden/torch_save.pth", bytes, sizeof bytes), i, kept = 0;
    int opened, read;
    for (i = 0; i + 46 < size; i++) {
        if (memcmp(bytes + i, "PK\1\2", 4)) continue;
        if (bytes[i + 28] == 17 && !memcmp(bytes + i + 46, "torch_save/data/0", 17)) kept = i;
        memset(bytes + i + 16, 0, 4);
    }
    CHECK(kept > 0);
    files_write(FILES_PTH, bytes, size);
    files_open_and_read(&context, &opened, &read);
    CHECK(opened && read);
    bytes[kept + 16] = 1;
    files_write(FILES_PTH, bytes, size);
    files_open_and_read(&context, &opened, &read);
    CHECK(!opened && strstr(context.error, "is damaged: its CRC is"));
    size = files_read("tests/golden/torch_save.pth", bytes, sizeof bytes);
    memset(bytes + kept + 16, 0, 4);
    files_write(FILES_PTH, bytes, size);
    files_open_and_read(&context, &opened, &read);
    CHECK(opened && !read && strstr(context.error, "is damaged: its CRC is"));
    CHECK(memory.live == 0);
    remove(FILES_PTH);
}

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
static void test_nn_files_state_dicts(void) {
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
    files_memory memory;
    ssde_context context = files_context(&memory);
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
static void test_nn_files_pth_trained(void) {
    static const char checkpoint[] = "tests/golden/ddpmpp_vp.trained.pth";
    static const char io[] = "tests/golden/ddpmpp_vp.trained.io.safetensors";
    static const files_set set = {"state_dict", "", 0.0f};
    files_memory memory;
    ssde_context context = files_context(&memory);
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
        memory.fail_at = fail;
        CHECK_STATUS(ssde_net_load_pth(net, checkpoint, SSDE_PTH_EMA), SSDE_ERROR_MEMORY);
        CHECK(memory.live == live);
    }
    memory.fail_at = -1;
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

/* What is met where a file of tensors is expected is named, whatever its extension. */
static void test_nn_files_containers(void) {
    static const struct {
        const char *bytes;
        size_t size;
        const char *words;
    } foreign[] = {
#define FILES_FOREIGN(text, words) {text, sizeof text - 1, words}
        {"", 0, "an empty file"},
        FILES_FOREIGN("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "git lfs pull"),
        FILES_FOREIGN("<!DOCTYPE html>\n<html></html>", "HTML"),
        FILES_FOREIGN("\n  <html>", "HTML"),
        FILES_FOREIGN("\xef\xbb\xbf<?xml version='1.0'?><Error/>", "XML"),
        FILES_FOREIGN("{\"error\": \"Repository not found\"}", "JSON"),
        FILES_FOREIGN("[1, 2]\n", "JSON"),
        FILES_FOREIGN("{\"metadata\": {}, \"weight_map\": {}}", "several files"),
        FILES_FOREIGN("Entry not found", "a text"),
        FILES_FOREIGN("\x1f\x8b\x08\0\0\0\0\0\0\3", "gunzip"),
        FILES_FOREIGN("BZh91AY&SY", "bunzip2"),
        FILES_FOREIGN("\xfd"
                      "7zXZ\0\0\4",
                      "unxz"),
        FILES_FOREIGN("\x28\xb5\x2f\xfd\4\0", "unzstd"),
        FILES_FOREIGN("7z\xbc\xaf\x27\x1c\0\4", "7z archive"),
        FILES_FOREIGN("Rar!\x1a\7\1\0", "rar archive"),
        FILES_FOREIGN("\x89HDF\r\n\x1a\n\0\0", "HDF5"),
        FILES_FOREIGN("\x93NUMPY\1\0v\0{'descr'", "ssde_npy_load"),
        FILES_FOREIGN("GGUF\3\0\0\0", "GGUF"),
        FILES_FOREIGN("\x08\7\x12\7pytorch\x1a\6"
                      "1.13.0",
                      "ONNX"),
        FILES_FOREIGN("\x80\4\x95\5\0\0\0\0\0\0\0K\1.", "pickle"),
        FILES_FOREIGN("\x80\2\x8a\nl\xfc\x9c"
                      "F\xf9 j\xa8P\x19.\x80\2M\xe9\3.",
                      "PyTorch before 1.6"),
        FILES_FOREIGN("\x80\4\x95\r\0\0\0\0\0\0\0\x8a\nl\xfc\x9c"
                      "F\xf9 j\xa8P\x19.",
                      "PyTorch before 1.6"),
        FILES_FOREIGN("PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "empty zip"),
        FILES_FOREIGN("PK\3\4\x14\0\0\0", "cut short"),
        FILES_FOREIGN("\xff\xfe\0\0\1\2\3\4\5", "safetensors")};
    static files_archive archive;
    static unsigned char tar[1024];
    static const char *const names[][2] = {{"w.npy", "an .npz archive of numpy.savez: run unzip"},
                                           {"model/pytorch_model.bin", "no data.pkl, but is a zip"}};
    files_memory memory;
    ssde_context context = files_context(&memory);
    ssde_tensor_file *file;
    ssde_net *net;
    size_t i;
    for (i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        ssde_status status;
        files_write(FILES_PTH, foreign[i].bytes, foreign[i].size);
        status = ssde_tensor_file_open(&context, &file, FILES_PTH);
        if (status == SSDE_OK || !strstr(context.error, foreign[i].words))
            check_report(__FILE__, __LINE__, "'%s' does not mention '%s'", context.error, foreign[i].words);
        CHECK(!file && memory.live == 0);
        CHECK_STATUS(ssde_net_load(&context, &net, NULL, FILES_PTH), status);
        CHECK_STATUS(ssde_net_load_diffusers(&context, &net, "tests/golden/diffusers_ddpm.json", FILES_PTH), status);
    }
    memcpy(tar + 257, "ustar", 5);
    memcpy(tar, "data.pkl", 8);
    files_write(FILES_PTH, tar, sizeof tar);
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PTH), SSDE_ERROR_FORMAT, "a tar archive");
    for (i = 0; i < 2; i++) {
        memset(&archive, 0, sizeof archive);
        files_archive_add(&archive, names[i][0], "1", 1);
        files_archive_write(&archive, FILES_PTH);
        CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, FILES_PTH), SSDE_ERROR_FORMAT, names[i][1]);
    }
    CHECK_FAILS(&context, ssde_tensor_file_open(&context, &file, "tests"), SSDE_ERROR_FILE, "a folder");
    /* safetensors whose header has the length that begins gzip */
    {
        static char header[0x8b1f + 1];
        static unsigned char bytes[8 + 0x8b1f];
        memset(header, ' ', 0x8b1f);
        memcpy(header, "{}", 2);
        memcpy(bytes + 8, header, 0x8b1f);
        bytes[0] = 0x1f;
        bytes[1] = 0x8b;
        files_write(FILES_PTH, bytes, sizeof bytes);
        CHECK_OK(ssde_tensor_file_open(&context, &file, FILES_PTH));
        ssde_tensor_file_close(file);
    }
    CHECK(memory.live == 0);
    remove(FILES_PTH);
}

/* ---- diffusers ---- */

#define FILES_CONFIG "scoresde_test.json"

/* Networks and outputs that diffusers' own modules made, in half precision, under the older and the newer names. */
static void test_nn_files_diffusers_golden(void) {
    static const char *const names[] = {"ddpm", "ncsnpp"};
    files_memory memory;
    ssde_context context = files_context(&memory);
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
            memory.fail_at = fail;
            CHECK_STATUS(ssde_net_load_diffusers(&context, &net, config, weights), SSDE_ERROR_MEMORY);
            CHECK(!net && memory.live == 0);
        }
        memory.fail_at = -1;
    }
    CHECK(memory.live == 0);
    remove(FILES_PATH);
}

/* A file in diffusers' layout that grows, and the golden network that its values come from. */
typedef struct files_layout {
    const ssde_net *net;
    int module; /* of the reference, the next one */
    int ddpm, older, writing;
    const char *without, *extra; /* a tensor that is left out, and one too many */
    ssdei_tensor_writer writer;
} files_layout;

/* Declares or writes tensor `name` with the values of parameter "all_modules.MODULE.OURS", its first two axes exchanged
   where `turned`; of zeros where ours is NULL. */
static void files_layout_tensor(files_layout *layout, const char *name, const char *ours, int turned, size_t channels) {
    static float values[65536], exchanged[65536];
    ssde_parameter info;
    char ours_full[120];
    size_t i, j, rows, columns;
    if (layout->without && !strcmp(layout->without, name)) return;
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
    if (shortcut && layout->ddpm) files_layout_nin(layout, prefix, "conv_shortcut", "NIN_0", 4, 0);
    if (shortcut && !layout->ddpm) files_layout_pair(layout, prefix, ".conv_shortcut.", "Conv_2.");
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
        files_layout_nin(layout, prefix, names[layout->older][i], channels ? NULL : ours[i], 2, channels);
    if (!channels) layout->module++;
}

/* The golden NCSN++ with skips: levels of 8, 16, 16 channels, one block each, attention in the second. */
static void files_layout_ncsnpp(files_layout *layout) {
    static const int down_shortcut[3] = {0, 1, 0};
    char name[60];
    int i, j;
    files_layout_tensor(layout, layout->older ? "time_proj.W" : "time_proj.weight", "W", 0, 0);
    layout->module++;
    for (i = 1; i <= 2; i++, layout->module++) {
        sprintf(name, "time_embedding.linear_%d.", i);
        files_layout_pair(layout, name, "", "");
    }
    files_layout_pair(layout, "conv_in.", "", "");
    layout->module++;
    for (i = 0; i < 3; i++) {
        sprintf(name, "down_blocks.%d.resnets.0", i);
        files_layout_block(layout, name, down_shortcut[i]);
        if (i == 1) files_layout_attention(layout, "down_blocks.1.attentions.0", 0);
        if (i == 2) break;
        sprintf(name, "down_blocks.%d.resnet_down", i);
        files_layout_block(layout, name, 1);
        sprintf(name, "down_blocks.%d.skip_conv.", i);
        files_layout_pair(layout, name, "", "Conv_0.");
        layout->module++;
    }
    files_layout_block(layout, "mid_block.resnets.0", 0);
    files_layout_attention(layout, "mid_block.attentions.0", 0);
    files_layout_block(layout, "mid_block.resnets.1", 0);
    for (i = 0; i < 3; i++) {
        for (j = 0; j < 2; j++) {
            sprintf(name, "up_blocks.%d.resnets.%d", i, j);
            files_layout_block(layout, name, 1);
        }
        if (i == 1) files_layout_attention(layout, "up_blocks.1.attentions.0", 0);
        sprintf(name, i < 2 ? "up_blocks.%d.skip_norm." : "conv_norm_out.", i);
        files_layout_pair(layout, name, "", "");
        layout->module++;
        sprintf(name, i < 2 ? "up_blocks.%d.skip_conv." : "conv_out.", i);
        files_layout_pair(layout, name, "", "");
        layout->module++;
        sprintf(name, "up_blocks.%d.resnet_up", i);
        if (i < 2) files_layout_block(layout, name, 1);
    }
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

static void files_write_layout(const ssde_net *net, int ddpm, int older, const char *without, const char *extra) {
    files_layout layout;
    ssde_parameter info;
    float zero[16] = {0};
    memset(&layout, 0, sizeof layout);
    memset(&info, 0, sizeof info);
    layout.net = net;
    layout.ddpm = ddpm;
    layout.older = older;
    layout.without = without;
    info.rank = 1;
    info.shape[0] = info.count = 16;
    if (extra) strcpy(info.name, extra);
    ssdei_tensor_writer_begin(&layout.writer, NULL);
    ssdei_tensor_writer_metadata(&layout.writer, "format", "pt");
    for (layout.writing = 0; layout.writing < 2; layout.writing++) {
        layout.module = 0;
        if (layout.writing) CHECK_OK(ssdei_tensor_writer_open(&layout.writer, FILES_PATH));
        if (ddpm)
            files_layout_ddpm(&layout);
        else
            files_layout_ncsnpp(&layout);
        if (extra && layout.writing) ssdei_tensor_writer_put(&layout.writer, zero, 16);
        if (extra && !layout.writing) ssdei_tensor_writer_declare(&layout.writer, "", info.name, info.rank, info.shape);
    }
    CHECK_OK(ssdei_tensor_writer_end(&layout.writer, SSDE_OK));
}

#define FILES_CONFIG_REST                                                                                           \
    "\"in_channels\": 3, \"layers_per_block\": 1, \"norm_eps\": 1e-06, \"out_channels\": 3, \"act_fn\": \"silu\", " \
    "\"attention_head_dim\": null}"
#define FILES_CONFIG_DDPM                                                                                         \
    "{\"block_out_channels\": [32, 32], \"center_input_sample\": false, \"down_block_types\": [\"DownBlock2D\", " \
    "\"AttnDownBlock2D\"], \"up_block_types\": [\"AttnUpBlock2D\", \"UpBlock2D\"], \"downsample_padding\": 0, "   \
    "\"flip_sin_to_cos\": false, \"freq_shift\": 1, \"mid_block_scale_factor\": 1, \"norm_num_groups\": 32, "     \
    "\"sample_size\": 8, \"time_embedding_type\": \"positional\", " FILES_CONFIG_REST
#define FILES_CONFIG_NCSNPP                                                                                   \
    "{\"_class_name\": \"UNet2DModel\", \"block_out_channels\": [8, 16, 16], \"center_input_sample\": true, " \
    "\"down_block_types\": [\"SkipDownBlock2D\", \"AttnSkipDownBlock2D\", \"SkipDownBlock2D\"], "             \
    "\"up_block_types\": [\"SkipUpBlock2D\", \"AttnSkipUpBlock2D\", \"SkipUpBlock2D\"], "                     \
    "\"mid_block_scale_factor\": 1.41421356237, \"norm_num_groups\": null, \"sample_size\": [16, 16], "       \
    "\"time_embedding_type\": \"fourier\", \"decay\": 0.999, \"class_embed_type\": null, \"unheard_of\": "    \
    "null, " FILES_CONFIG_REST

/* The golden networks, written as diffusers would have them. */
static void test_nn_files_diffusers_layout(void) {
    static const char *const names[] = {"ncsnpp_ve_skip", "ddpm_vp"};
    static const char *const configs[] = {FILES_CONFIG_NCSNPP, FILES_CONFIG_DDPM};
    files_memory memory;
    ssde_context context = files_context(&memory);
    int ddpm, older;
    for (ddpm = 0; ddpm < 2; ddpm++) {
        char path[100], io[100];
        ssde_net *golden, *net;
        sprintf(path, "tests/golden/%s.weights.safetensors", names[ddpm]);
        sprintf(io, "tests/golden/%s.io.safetensors", names[ddpm]);
        CHECK_OK(ssde_net_load(&context, &golden, NULL, path));
        if (!golden) continue;
        files_write(FILES_CONFIG, configs[ddpm], strlen(configs[ddpm]));
        for (older = 0; older < 2; older++) {
            files_write_layout(golden, ddpm, older, NULL, NULL);
            CHECK_OK(ssde_net_load_diffusers(&context, &net, FILES_CONFIG, FILES_PATH));
            if (!net) {
                check_report(__FILE__, __LINE__, "%s", context.error);
                continue;
            }
            files_check_output(net, io, "labels", "out");
            ssde_net_destroy(net);
        }
        files_write_layout(golden, ddpm, 0, "mid_block.attentions.0.to_q.weight", NULL);
        CHECK_FAILS(&context, ssde_net_load_diffusers(&context, &net, FILES_CONFIG, FILES_PATH), SSDE_ERROR_FORMAT,
                    "has no tensor 'mid_block.attentions.0.to_q.weight'");
        CHECK(!net);
        files_write_layout(golden, ddpm, 0, NULL, "up_blocks.0.resnets.2.norm1.weight");
        CHECK_FAILS(&context, ssde_net_load_diffusers(&context, &net, FILES_CONFIG, FILES_PATH), SSDE_ERROR_FORMAT,
                    "has a tensor 'up_blocks.0.resnets.2.norm1.weight' that the network lacks");
        files_write_layout(golden, ddpm, 0, NULL,
                           "time_proj.W"); /* frequencies that are not those of time_proj.weight */
        CHECK_FAILS(&context, ssde_net_load_diffusers(&context, &net, FILES_CONFIG, FILES_PATH), SSDE_ERROR_FORMAT,
                    "has a tensor 'time_proj.W' that the network lacks");
        ssde_net_destroy(golden);
        CHECK(memory.live == 0);
    }
    remove(FILES_PATH);
    remove(FILES_CONFIG);
}

/* A configuration with one piece of its text replaced. */
static void files_write_config(const char *config, const char *piece, const char *by) {
    files_buffer *buffer = (files_buffer *)calloc(1, sizeof *buffer);
    const char *at = strstr(config, piece);
    CHECK(buffer && at && !strstr(at + 1, piece));
    if (!buffer || !at) return;
    files_put(buffer, config, (size_t)(at - config));
    files_put_text(buffer, by);
    files_put_text(buffer, at + strlen(piece));
    files_write(FILES_CONFIG, buffer->bytes, buffer->size);
    free(buffer);
}

static void test_nn_files_diffusers_configs(void) {
    static const struct {
        int ddpm;
        const char *piece, *by;
        ssde_status status;
        const char *words;
    } bad[] = {
        {1, "\"silu\"", "\"gelu\"", SSDE_ERROR_UNSUPPORTED, "'act_fn' in its description is 'gelu'"},
        {1, "1e-06", "1e-05", SSDE_ERROR_UNSUPPORTED, "'norm_eps' in its description is 1e-05; only 1e-06"},
        {1, "\"norm_eps\": 1e-06,", "", SSDE_ERROR_UNSUPPORTED, "'norm_eps'"},
        {1, "\"flip_sin_to_cos\": false", "\"flip_sin_to_cos\": true", SSDE_ERROR_UNSUPPORTED, "'flip_sin_to_cos'"},
        {1, "\"freq_shift\": 1", "\"freq_shift\": 0", SSDE_ERROR_UNSUPPORTED, "'freq_shift'"},
        {1, "\"downsample_padding\": 0", "\"downsample_padding\": 1", SSDE_ERROR_UNSUPPORTED, "'downsample_padding'"},
        {1, "\"norm_num_groups\": 32", "\"norm_num_groups\": 8", SSDE_ERROR_UNSUPPORTED, "'norm_num_groups'"},
        {1, "\"norm_num_groups\": 32", "\"norm_num_groups\": null", SSDE_ERROR_UNSUPPORTED, "'norm_num_groups'"},
        {1, "\"norm_num_groups\": 32", "\"attn_norm_num_groups\": 16", SSDE_ERROR_UNSUPPORTED,
         "'attn_norm_num_groups'"},
        {1, "\"attention_head_dim\": null", "\"attention_head_dim\": 8", SSDE_ERROR_UNSUPPORTED, "several heads"},
        {1, ", \"attention_head_dim\": null", "", SSDE_ERROR_UNSUPPORTED, "several heads"},
        {1, "\"positional\"", "\"fourier\"", SSDE_ERROR_UNSUPPORTED, "'time_embedding_type'"},
        {1, "\"positional\"", "\"learned\"", SSDE_ERROR_UNSUPPORTED, "'learned'"},
        {1, "\"sample_size\": 8", "\"sample_size\": null", SSDE_ERROR_UNSUPPORTED, "'sample_size'"},
        {1, "\"sample_size\": 8", "\"sample_size\": [8]", SSDE_ERROR_FORMAT, "is not height and width"},
        {1, "\"sample_size\": 8", "\"sample_size\": 9", SSDE_ERROR_SHAPE, "multiples of 2"},
        {1, "\"mid_block_scale_factor\": 1", "\"mid_block_scale_factor\": 2", SSDE_ERROR_UNSUPPORTED,
         "'mid_block_scale_"},
        {1, "\"out_channels\": 3", "\"out_channels\": 6", SSDE_ERROR_UNSUPPORTED, "'out_channels'"},
        {1, "\"in_channels\": 3", "\"in_channels\": -1e300", SSDE_ERROR_FORMAT, "'in_channels'"},
        {1, "\"layers_per_block\": 1", "\"layers_per_block\": 2", SSDE_ERROR_FORMAT,
         "has no tensor 'down_blocks.0.resnets.1"},
        {1, "\"layers_per_block\": 1", "\"layers_per_block\": 2147483647", SSDE_ERROR_UNSUPPORTED, "is more than 256"},
        {0, "\"layers_per_block\": 1", "\"layers_per_block\": 2147483647", SSDE_ERROR_UNSUPPORTED, "is more than 256"},
        {1, "{", "{\"mid_block_type\": null, ", SSDE_ERROR_FORMAT, "'mid_block_type'"},
        {1, "\"layers_per_block\": 1", "\"layers_per_block\": 0.5", SSDE_ERROR_FORMAT, "'layers_per_block'"},
        {1, "[32, 32]", "[32, 48]", SSDE_ERROR_UNSUPPORTED, "'block_out_channels'"},
        {1, "[32, 32]", "[32]", SSDE_ERROR_FORMAT, "'down_block_types'"},
        {1, "[32, 32]", "[]", SSDE_ERROR_FORMAT, "'down_block_types'"},
        {1, "[32, 32]", "[64, 64]", SSDE_ERROR_SHAPE, "'time_embedding.linear_1.weight' has rank 2, shape [128, 32"},
        {1, "[32, 32]", "[4096, 4096]", SSDE_ERROR_SHAPE, "or more parameters"},
        {1, "\"AttnUpBlock2D\", \"UpBlock2D\"", "\"UpBlock2D\", \"UpBlock2D\"", SSDE_ERROR_UNSUPPORTED,
         "does not mirror"},
        {1, "[\"AttnUpBlock2D\"", "[\"CrossAttnUpBlock2D\"", SSDE_ERROR_UNSUPPORTED, "'CrossAttnUpBlock2D'"},
        {1, "[\"DownBlock2D\"", "[\"SkipDownBlock2D\"", SSDE_ERROR_UNSUPPORTED, "kinds are mixed"},
        {1, "{", "{\"num_class_embeds\": 10, ", SSDE_ERROR_UNSUPPORTED, "'num_class_embeds'"},
        {1, "{", "{\"unheard_of\": 1, ", SSDE_ERROR_UNSUPPORTED, "'unheard_of'"},
        {1, "{", "{\"_class_name\": \"UNet2DConditionModel\", ", SSDE_ERROR_UNSUPPORTED, "'UNet2DConditionModel'"},
        {1, "{", "{\"add_attention\": false, ", SSDE_ERROR_UNSUPPORTED, "'add_attention'"},
        {1, "{", "{\"downsample_type\": \"resnet\", ", SSDE_ERROR_UNSUPPORTED, "'downsample_type'"},
        {1, "{", "{\"resnet_time_scale_shift\": \"scale_shift\", ", SSDE_ERROR_UNSUPPORTED,
         "'resnet_time_scale_shift'"},
        {1, "{", "{\"time_embedding_dim\": 64, ", SSDE_ERROR_UNSUPPORTED, "'time_embedding_dim'"},
        {1, "{", "{\"freq_shift\": 1, ", SSDE_ERROR_FORMAT, "comes twice"},
        {1, "{", "[{", SSDE_ERROR_FORMAT, "an object is expected"},
        {1, "null}", "null", SSDE_ERROR_FORMAT, "cannot be read"},
        {0, "\"mid_block_scale_factor\": 1.41421356237", "\"mid_block_scale_factor\": 1", SSDE_ERROR_UNSUPPORTED,
         "'mid_block_scale_factor'"},
        {0, "\"norm_num_groups\": null", "\"norm_num_groups\": 8", SSDE_ERROR_UNSUPPORTED, "'norm_num_groups'"},
        {0, "\"fourier\"", "\"positional\"", SSDE_ERROR_UNSUPPORTED, "'flip_sin_to_cos'"},
        /* of 64 channels diffusers' attention has 32 groups, the paper's 16 */
        {0, "[8, 16, 16]", "[8, 64, 64]", SSDE_ERROR_UNSUPPORTED, "other groups than NCSN++'s"},
        {0, "[8, 16, 16]", "[8, 32, 32]", SSDE_ERROR_UNSUPPORTED, "other groups than NCSN++'s"}};
    files_memory memory;
    ssde_context context = files_context(&memory);
    ssde_net *golden[2], *net;
    size_t i;
    CHECK_OK(ssde_net_load(&context, &golden[0], NULL, "tests/golden/ncsnpp_ve_skip.weights.safetensors"));
    CHECK_OK(ssde_net_load(&context, &golden[1], NULL, "tests/golden/ddpm_vp.weights.safetensors"));
    for (i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (!i || bad[i].ddpm != bad[i - 1].ddpm) files_write_layout(golden[bad[i].ddpm], bad[i].ddpm, 0, NULL, NULL);
        files_write_config(bad[i].ddpm ? FILES_CONFIG_DDPM : FILES_CONFIG_NCSNPP, bad[i].piece, bad[i].by);
        CHECK_FAILS(&context, ssde_net_load_diffusers(&context, &net, FILES_CONFIG, FILES_PATH), bad[i].status,
                    bad[i].words);
        CHECK(!net);
    }
    CHECK_FAILS(&context, ssde_net_load_diffusers(&context, &net, "nowhere.json", FILES_PATH), SSDE_ERROR_FILE,
                "nowhere.json");
    CHECK_FAILS(&context, ssde_net_load_diffusers(&context, &net, FILES_CONFIG, "nowhere.safetensors"), SSDE_ERROR_FILE,
                "nowhere.safetensors");
    CHECK_FAILS(&context, ssde_net_load_diffusers(&context, NULL, FILES_CONFIG, FILES_PATH), SSDE_ERROR_ARGUMENT,
                "net is NULL");
    CHECK_FAILS(&context, ssde_net_load_diffusers(&context, &net, NULL, FILES_PATH), SSDE_ERROR_ARGUMENT,
                "config_path is NULL");
    CHECK_FAILS(&context, ssde_net_load_diffusers(&context, &net, FILES_CONFIG, NULL), SSDE_ERROR_ARGUMENT,
                "weights_path is NULL");
    ssde_net_destroy(golden[0]);
    ssde_net_destroy(golden[1]);
    CHECK(memory.live == 0);
    remove(FILES_PATH);
    remove(FILES_CONFIG);
}

/* ---- training ---- */

static ssde_train_desc files_train_desc(ssde_context *context, const ssde_sde *sde) {
    ssde_train_desc desc = ssde_train_defaults(sde, 0);
    desc.batch = 8;
    desc.lr = 1e-2;
    desc.warmup = 3;
    desc.ema_rate = 0.9;
    desc.seed = 11;
    desc.context = context;
    return desc;
}

/* Eight points of the plane. */
static const float files_points[16] = {1.0f,  0.0f, 0.7f,  0.7f,  0.0f, 1.0f,  -0.7f, 0.7f,
                                       -1.0f, 0.0f, -0.7f, -0.7f, 0.0f, -1.0f, 0.7f,  -0.7f};

static ssde_batch files_batch(void) { return ssde_batch_of(files_points, 8); }

/* Adam, clipping and EMA in double, from the gradients that the step computed. */
static void test_nn_train_adam(void) {
    enum { STEPS = 12, MOST = 400 };
    static double weight[MOST], first[MOST], second[MOST], average[MOST];
    double clips[3] = {0.05, 0.0, -1.0}; /* clips always, never, never */
    ssde_sde sde = ssde_vp(0.1, 20.0);
    int c, step;
    for (c = 0; c < 3; c++) {
        ssde_net *net = files_mlp(NULL, 2, 8, 1, 3);
        ssde_train_desc desc = files_train_desc(NULL, &sde);
        ssde_batch batch = files_batch();
        ssde_trainer *trainer;
        size_t i;
        desc.grad_clip = clips[c];
        desc.weight_decay = 0.01;
        desc.warmup = c ? 0 : 5;
        CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
        CHECK(trainer && net->weight_count <= MOST);
        if (!trainer || net->weight_count > MOST) return;
        for (i = 0; i < net->weight_count; i++) {
            weight[i] = average[i] = (double)net->weights[i];
            first[i] = second[i] = 0.0;
        }
        for (step = 0; step < STEPS; step++) {
            double norm = 0.0, clip, lr = desc.lr, n = step + 1.0, decay = (1.0 + n) / (10.0 + n), loss = -1.0;
            CHECK_OK(ssde_train_step(trainer, &batch, &loss));
            CHECK(loss > 0.0 && ssde_trainer_step_count(trainer) == (uint64_t)step + 1);
            if (desc.warmup && step < desc.warmup) lr *= (double)step / desc.warmup;
            if (decay > desc.ema_rate) decay = desc.ema_rate;
            for (i = 0; i < net->weight_count; i++)
                norm += (double)trainer->gradients[i] * (double)trainer->gradients[i];
            norm = sqrt(norm);
            clip = desc.grad_clip / (norm + 1e-6);
            CHECK(norm > 0.1);
            if (clip <= 0.0 || clip > 1.0) clip = 1.0;
            for (i = 0; i < net->weight_count; i++) {
                double g = (double)trainer->gradients[i] * clip + desc.weight_decay * weight[i];
                first[i] = 0.9 * first[i] + 0.1 * g;
                second[i] = 0.999 * second[i] + 0.001 * g * g;
                weight[i] -= lr * (first[i] / (1.0 - pow(0.9, n))) / (sqrt(second[i] / (1.0 - pow(0.999, n))) + 1e-8);
                average[i] = decay * average[i] + (1.0 - decay) * weight[i];
                /* float's rounding in each step, amplified where the gradient nearly cancels */
                CHECK_NEAR(net->weights[i], weight[i], 2e-5);
                CHECK_NEAR(ssde_trainer_ema(trainer)->weights[i], average[i], 2e-5);
            }
        }
        ssde_trainer_destroy(trainer);
        ssde_net_destroy(net);
    }
}

/* Adam on gradients of one sign: the first update is lr exactly, whatever their size. */
static void test_nn_train_first_steps(void) {
    ssde_sde sde = ssde_subvp(0.1, 20.0);
    ssde_net *net = files_mlp(NULL, 2, 8, 1, 3);
    ssde_train_desc desc = files_train_desc(NULL, &sde);
    ssde_batch batch = files_batch();
    ssde_trainer *trainer;
    float *before = (float *)malloc(net->weight_count * sizeof *before);
    size_t i;
    memcpy(before, net->weights, net->weight_count * sizeof *before);
    CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
    CHECK_OK(ssde_train_step(trainer, &batch, NULL)); /* warm-up begins at learning rate 0 */
    CHECK_SAME(before, net->weights, net->weight_count * sizeof *before);
    CHECK_SAME(before, ssde_trainer_ema(trainer)->weights, net->weight_count * sizeof *before);
    ssde_trainer_destroy(trainer);
    desc.warmup = 0;
    CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
    CHECK_OK(ssde_train_step(trainer, &batch, NULL));
    for (i = 0; i < net->weight_count; i++) {
        double g = (double)trainer->gradients[i], moved = (double)before[i] - (double)net->weights[i];
        if (fabs(g) > 1e-3) CHECK_NEAR(moved, g > 0.0 ? desc.lr : -desc.lr, 1e-6);
        /* n = 1: decay 2 / 11 */
        CHECK_NEAR(ssde_trainer_ema(trainer)->weights[i], (double)before[i] - 9.0 / 11.0 * moved, 1e-6);
    }
    /* a learning rate set to 0 stops the weights, one that is none is refused */
    memcpy(before, net->weights, net->weight_count * sizeof *before);
    CHECK_OK(ssde_trainer_set_lr(trainer, 0.0));
    CHECK_OK(ssde_train_step(trainer, &batch, NULL));
    CHECK_SAME(before, net->weights, net->weight_count * sizeof *before);
    CHECK_STATUS(ssde_trainer_set_lr(trainer, (double)NAN), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_trainer_set_lr(trainer, -1.0), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_trainer_set_lr(NULL, 1.0), SSDE_ERROR_ARGUMENT);
    CHECK_OK(ssde_trainer_set_lr(trainer, 1e-2));
    CHECK_OK(ssde_train_step(trainer, &batch, NULL));
    CHECK(memcmp(before, net->weights, net->weight_count * sizeof *before) != 0);
    ssde_trainer_destroy(trainer);
    ssde_net_destroy(net);
    free(before);
}

/* The gradient is that of the loss reported, for every kind of loss: differences at fixed draws (step set back). */
static void test_nn_train_gradient(void) {
    int kind;
    for (kind = 0; kind < 7; kind++) {
        ssde_sde sde = kind % 3 == 0 ? ssde_ve(0.1, 3.0) : kind % 3 == 1 ? ssde_vp(0.1, 20.0) : ssde_subvp(0.1, 20.0);
        ssde_train_desc desc = files_train_desc(NULL, &sde);
        ssde_net *net = files_mlp(NULL, 2, 8, 1, 3);
        ssde_batch batch = files_batch();
        ssde_trainer *trainer;
        double loss, up, down;
        size_t i;
        batch.rows = 7;
        desc.lr = 0.0;
        desc.loss.discrete = kind >= 3 && kind < 6;
        desc.loss.weighting = kind == 6 ? SSDE_WEIGHT_LIKELIHOOD : SSDE_WEIGHT_STD2;
        desc.loss.importance_times = kind == 6;
        sde.num_scales = 50;
        if (kind == 6) sde = ssde_vp(0.1, 20.0);
        CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
        if (!trainer) return;
        CHECK_OK(ssde_train_step(trainer, &batch, &loss));
        for (i = 0; i < net->weight_count; i += 17) {
            float kept = net->weights[i], h = 1e-2f;
            double gradient = (double)trainer->gradients[i], difference;
            trainer->step = 0;
            net->weights[i] = kept + h;
            net->version++;
            CHECK_OK(ssde_train_step(trainer, &batch, &up));
            trainer->step = 0;
            net->weights[i] = kept - h;
            net->version++;
            CHECK_OK(ssde_train_step(trainer, &batch, &down));
            net->weights[i] = kept;
            net->version++;
            trainer->step = 0;
            difference = (up - down) / (2.0 * (double)h);
            /* curvature over 1e-2 and float's rounding of the loss over 2e-2 */
            CHECK_NEAR(gradient, difference, 5e-3 * (fabs(gradient) + loss));
            CHECK_OK(ssde_train_step(trainer, &batch, &up));
            CHECK_NEAR(up, loss, 0.0);
        }
        ssde_trainer_destroy(trainer);
        ssde_net_destroy(net);
    }
}

/* What the network is told: discrete labels are indices, for SMLD from the highest noise; data, flips and noise belong
   to slots. */
static void test_nn_train_inputs(void) {
    ssde_sde ve = ssde_ve(0.01, 50.0), vp = ssde_vp(0.1, 20.0);
    ssde_train_desc desc = files_train_desc(NULL, &ve);
    ssde_net *net = files_mlp(NULL, 2, 8, 1, 3), *unet;
    ssde_unet_desc shape = files_unet_desc(NULL);
    ssde_trainer *trainer;
    float label, sigma, image[12], mirrored[12] = {4, 5, 2, 3, 0, 1, 10, 11, 8, 9, 6, 7};
    static float data[8 * 256], whole[8 * 256];
    double std;
    size_t i, plain = 0, turned = 0;
    ve.num_scales = 10;
    vp.num_scales = 40;
    desc.loss.discrete = 1;
    CHECK_OK(ssde_trainer_create(&trainer, net, &ve, &desc));
    CHECK_OK(ssdei_train_label(trainer, 1.0, &label, &sigma));
    CHECK(label == 0.0f && sigma == 50.0f);
    CHECK_OK(ssdei_train_label(trainer, 0.0, &label, &sigma));
    CHECK(label == 9.0f);
    CHECK_NEAR(sigma, 0.01, 1e-8);
    ssde_trainer_destroy(trainer);
    CHECK_OK(ssde_trainer_create(&trainer, net, &vp, &desc));
    CHECK_OK(ssdei_train_label(trainer, 3.0 / 39.0, &label, &sigma));
    CHECK_OK(ssde_discrete_marginal(NULL, &vp, 3, NULL, &std, NULL));
    CHECK(label == 3.0f);
    CHECK_RELATIVE(sigma, std, 1e-7);
    ssde_trainer_destroy(trainer);
    desc.random_flip = 1;
    CHECK_STATUS(ssde_trainer_create(&trainer, net, &vp, &desc), SSDE_ERROR_ARGUMENT);
    ssde_net_destroy(net);

    CHECK_OK(ssde_unet_create(&unet, &shape));
    desc = files_train_desc(NULL, &vp);
    desc.random_flip = 1;
    desc.levels = 4.0;
    CHECK_OK(ssde_trainer_create(&trainer, unet, &vp, &desc));
    for (i = 0; i < 8 * 256; i++) data[i] = (float)(i * 7 % 4);
    for (i = 0; i < 8; i++) trainer->slot[i] = 100 + i;
    CHECK_OK(ssdei_train_perturb(trainer, data, 8, 1, 5, 1));
    memcpy(whole, trainer->x, sizeof whole);
    for (i = 0; i < 3; i++) trainer->slot[i] = 105 + i;
    CHECK_OK(ssdei_train_perturb(trainer, data + 5 * 256, 3, 1, 5, 1));
    CHECK_SAME(trainer->x, whole + 5 * 256, 3 * 256 * sizeof *whole);
    for (i = 0; i < 1000; i++)
        if (ssde_random_double(1, SSDE_STREAM_FLIP, 5, i, 0) < 0.5)
            turned++;
        else
            plain++;
    CHECK(turned > 440 && plain > 440); /* 3.8 standard deviations of 15.8 */
    ssde_trainer_destroy(trainer);
    ssde_net_destroy(unet);
    /* 2 x 3 x 2 */
    CHECK_OK(ssde_net_create(NULL, &net, 1));
    ssde_input(net, 2, 3, 2);
    for (i = 0; i < 12; i++) image[i] = (float)i;
    ssdei_flip(net, image);
    CHECK_SAME(image, mirrored, sizeof image);
    ssde_net_destroy(net);
}

static void files_train(ssde_trainer *trainer, int steps) {
    ssde_batch batch = files_batch();
    for (; steps > 0; steps--) CHECK_OK(ssde_train_step(trainer, &batch, NULL));
}

static void files_check_same_trainer(const ssde_trainer *a, const ssde_trainer *b) {
    size_t size = a->net->weight_count * sizeof(float);
    CHECK(a->step == b->step);
    CHECK_SAME(a->net->weights, b->net->weights, size);
    CHECK_SAME(a->ema->weights, b->ema->weights, size);
    CHECK_SAME(a->first_moment, b->first_moment, size);
    CHECK_SAME(a->second_moment, b->second_moment, size);
}

static void test_nn_train_resume(void) {
    files_memory memory;
    ssde_context context = files_context(&memory);
    ssde_sde sdes[2], other = ssde_vp(0.2, 20.0);
    int i;
    sdes[0] = ssde_vp(0.1, 20.0);
    sdes[1] = ssde_affine(files_no_drift, files_diffusion, NULL);
    for (i = 0; i < 2; i++) {
        ssde_train_desc desc = files_train_desc(&context, &sdes[i]);
        ssde_net *net = files_mlp(&context, 2, 8, 1, 3), *second = files_mlp(&context, 2, 8, 1, 99);
        ssde_net *wider = files_mlp(&context, 2, 12, 1, 3), *loaded;
        ssde_trainer *straight, *resumed, *refusing;
        ssde_batch points = files_batch();
        double a, b;
        CHECK_OK(ssde_trainer_create(&straight, net, &sdes[i], &desc));
        files_train(straight, 3);
        CHECK_OK(ssde_trainer_save(straight, FILES_PATH));
        files_train(straight, 3);
        desc.batch = 16; /* may differ */
        CHECK_OK(ssde_trainer_create(&resumed, second, &sdes[i], &desc));
        files_train(resumed, 1);
        CHECK_OK(ssde_trainer_load(resumed, FILES_PATH));
        CHECK(ssde_trainer_step_count(resumed) == 3);
        files_train(resumed, 3);
        files_check_same_trainer(straight, resumed);
        /* in slices of another size the loss is the same */
        CHECK_OK(ssde_trainer_evaluate(straight, &points, 5, &a, NULL));
        CHECK_OK(ssde_trainer_evaluate(resumed, &points, 5, &b, NULL));
        CHECK(a == b && a > 0.0);

        CHECK_OK(ssde_trainer_create(&refusing, wider, &sdes[i], &desc));
        CHECK_FAILS(&context, ssde_trainer_load(refusing, FILES_PATH), SSDE_ERROR_FORMAT, "another network");
        ssde_trainer_destroy(refusing);
        desc.seed++;
        CHECK_OK(ssde_trainer_create(&refusing, second, &sdes[i], &desc));
        CHECK_FAILS(&context, ssde_trainer_load(refusing, FILES_PATH), SSDE_ERROR_FORMAT, "training.seed");
        ssde_trainer_destroy(refusing);
        desc.seed--;
        desc.beta2 = 0.99;
        CHECK_OK(ssde_trainer_create(&refusing, second, &sdes[i], &desc));
        CHECK_FAILS(&context, ssde_trainer_load(refusing, FILES_PATH), SSDE_ERROR_FORMAT, "optim.beta2");
        ssde_trainer_destroy(refusing);
        desc.beta2 = 0.999;
        CHECK_OK(ssde_trainer_create(&refusing, second, &other, &desc));
        CHECK_FAILS(&context, ssde_trainer_load(refusing, FILES_PATH), SSDE_ERROR_FORMAT, i ? "sde.kind" : "beta_min");
        ssde_trainer_destroy(refusing);

        CHECK_OK(ssde_trainer_save_model(straight, FILES_OTHER));
        CHECK_FAILS(&context, ssde_trainer_load(resumed, FILES_OTHER), SSDE_ERROR_FORMAT, "no checkpoint");
        files_check_same_trainer(straight, resumed);
        CHECK_OK(ssde_net_load(&context, &loaded, i ? NULL : &other, FILES_OTHER));
        if (!i) CHECK(other.kind == SSDE_VP && other.beta_min == 0.1);
        CHECK_SAME(loaded->weights, ssde_trainer_ema(straight)->weights, loaded->weight_count * sizeof(float));
        ssde_net_destroy(loaded);
        ssde_trainer_destroy(straight);
        ssde_trainer_destroy(resumed);
        ssde_net_destroy(net);
        ssde_net_destroy(second);
        ssde_net_destroy(wider);
        CHECK(memory.live == 0);
    }
    remove(FILES_PATH);
    remove(FILES_OTHER);
}

/* Truncated and changed checkpoints change nothing. */
static void test_nn_train_bad_checkpoints(void) {
    static unsigned char bytes[65536];
    files_memory memory;
    ssde_context context = files_context(&memory);
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_train_desc desc = files_train_desc(&context, &sde);
    ssde_net *net = files_mlp(&context, 2, 4, 1, 3), *same = files_mlp(&context, 2, 4, 1, 3);
    ssde_trainer *trainer, *untouched;
    long live;
    size_t size, i;
    CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
    CHECK_OK(ssde_trainer_create(&untouched, same, &sde, &desc));
    files_train(trainer, 2);
    CHECK_OK(ssde_trainer_save(trainer, FILES_PATH));
    size = files_read(FILES_PATH, bytes, sizeof bytes);
    files_train(trainer, 1);
    files_train(untouched, 3);
    live = memory.live;
    for (i = 0; i < size; i += check_quick ? 301 : 13) {
        files_write(FILES_PATH, bytes, i);
        CHECK(ssde_trainer_load(trainer, FILES_PATH) != SSDE_OK && memory.live == live);
    }
    files_write(FILES_PATH, bytes, size);
    for (i = 3; i < 8 * size;
         i += check_quick ? 8 * 37 + 1 : 101) { /* bits flipped, each place of a byte in its turn */
        files_flip(FILES_PATH, i);
        CHECK_STATUS(ssde_trainer_load(trainer, FILES_PATH), SSDE_ERROR_FORMAT);
        CHECK(memory.live == live);
        files_flip(FILES_PATH, i);
    }
    files_strip_checksums(bytes, size);
    bytes[size - 1] = bytes[size - 2] = 0xff; /* the last second moment becomes NaN, then negative */
    files_write(FILES_PATH, bytes, size);
    CHECK_FAILS(&context, ssde_trainer_load(trainer, FILES_PATH), SSDE_ERROR_NUMERIC, "adam_v/");
    bytes[size - 1] = 0xbf;
    files_write(FILES_PATH, bytes, size);
    CHECK_FAILS(&context, ssde_trainer_load(trainer, FILES_PATH), SSDE_ERROR_NUMERIC, "second moment");
    CHECK_STATUS(ssde_trainer_load(NULL, FILES_PATH), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_trainer_load(trainer, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_trainer_save(trainer, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_trainer_save(trainer, "no such folder/file"), SSDE_ERROR_FILE);
    files_check_same_trainer(trainer, untouched);
    ssde_trainer_destroy(trainer);
    ssde_trainer_destroy(untouched);
    ssde_net_destroy(net);
    ssde_net_destroy(same);
    CHECK(memory.live == 0);
    remove(FILES_PATH);
}

/* Runs tasks last to first. */
static void files_backwards(void *user, size_t count, void (*function)(void *argument, size_t index), void *argument) {
    (void)user;
    while (count-- > 0) function(argument, count);
}

static void test_nn_train_threads(void) {
    ssde_context contexts[3];
    ssde_net *nets[3];
    ssde_trainer *trainers[3];
    ssde_sde sde = ssde_ve(0.01, 50.0);
    int i;
    for (i = 0; i < 3; i++) {
        ssde_train_desc desc;
        memset(&contexts[i], 0, sizeof contexts[i]);
        contexts[i].parallel_for = files_backwards;
        contexts[i].threads = i + 1;
        desc = files_train_desc(&contexts[i], &sde);
        nets[i] = files_mlp(&contexts[i], 2, 96, 3, 3); /* several stretches */
        CHECK_OK(ssde_trainer_create(&trainers[i], nets[i], &sde, &desc));
        CHECK(trainers[i]->stretch_count > 3);
        files_train(trainers[i], 4);
        files_check_same_trainer(trainers[i], trainers[0]);
    }
    for (i = 0; i < 3; i++) {
        ssde_trainer_destroy(trainers[i]);
        ssde_net_destroy(nets[i]);
    }
}

/* Nothing is allocated within a step or an evaluation. */
static void test_nn_train_memory(void) {
    files_memory memory;
    ssde_context context = files_context(&memory);
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_train_desc desc = files_train_desc(&context, &sde);
    ssde_net *net = files_mlp(&context, 2, 8, 1, 3);
    ssde_trainer *trainer;
    ssde_batch points = files_batch();
    double loss;
    long made;
    CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
    made = memory.made;
    files_train(trainer, 2);
    CHECK(memory.made == made);
    CHECK_OK(ssde_trainer_evaluate(trainer, &points, 1, &loss, NULL));
    CHECK(memory.made == made);
    ssde_trainer_destroy(trainer);
    ssde_net_destroy(net);
    CHECK(memory.live == 0);
}

/* An evaluation, which uses the trainer's run, has the bits of a run for inference with the averaged weights, and
   leaves training as it was. */
static void test_nn_train_evaluate_run(void) {
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_train_desc desc = files_train_desc(NULL, &sde);
    ssde_trainer *trainers[2];
    ssde_net *nets[2];
    ssde_run_desc inference = ssde_run_defaults(SSDE_RUN_INFERENCE, 8);
    ssde_batch points = ssde_batch_of(files_points, 8);
    ssde_run *run = NULL;
    ssde_node h;
    float out[16];
    double losses[8], loss = 0.0, mean = 0.0;
    int i;
    for (i = 0; i < 2; i++) {
        CHECK_OK(ssde_net_create(NULL, &nets[i], 5));
        h = ssde_linear(nets[i], ssde_input(nets[i], 1, 1, 2), 16, 1.0, "first");
        h = ssde_dropout(nets[i], ssde_activate(nets[i], h, SSDE_SILU), 0.5);
        CHECK_OK(ssde_net_finish(nets[i], ssde_linear(nets[i], h, 2, 1.0, "second")));
        CHECK_OK(ssde_trainer_create(&trainers[i], nets[i], &sde, &desc));
        files_train(trainers[i], 3);
    }
    CHECK_OK(ssde_trainer_evaluate(trainers[0], &points, 7, &loss, NULL));
    CHECK_OK(ssde_run_create(&run, ssde_trainer_ema(trainers[0]), &inference));
    CHECK_OK(ssde_run_forward(run, trainers[0]->x, NULL, NULL, 8, 0, 0, NULL, out));
    CHECK_OK(ssde_loss(&sde, &trainers[0]->desc.loss, out, trainers[0]->x, trainers[0]->z, trainers[0]->t,
                       trainers[0]->weight, 8, 2, 1.0, losses, NULL));
    CHECK_SAME(losses, trainers[0]->losses, sizeof losses);
    for (i = 0; i < 8; i++) mean += (losses[i] - mean) / (i + 1);
    CHECK(loss == mean);
    for (i = 0; i < 2; i++) files_train(trainers[i], 2);
    files_check_same_trainer(trainers[0], trainers[1]);
    ssde_run_destroy(run);
    for (i = 0; i < 2; i++) {
        ssde_trainer_destroy(trainers[i]);
        ssde_net_destroy(nets[i]);
    }
}

/* Frozen parameters stay, however their gradients look. */
static void test_nn_train_frozen(void) {
    ssde_sde sde = ssde_ve(0.01, 50.0);
    ssde_train_desc desc = files_train_desc(NULL, &sde);
    ssde_mlp_desc shape = ssde_mlp(2);
    ssde_net *net;
    ssde_trainer *trainer;
    size_t i, k, frozen = 0, moved = 0;
    float *before;
    shape.hidden = 8;
    shape.embedding_type = SSDE_EMBEDDING_FOURIER;
    CHECK_OK(ssde_mlp_create(&net, &shape));
    before = (float *)malloc(net->weight_count * sizeof *before);
    memcpy(before, net->weights, net->weight_count * sizeof *before);
    desc.warmup = 0;
    desc.weight_decay = 0.1;
    CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
    files_train(trainer, 2);
    for (i = 0; i < net->parameter_count; i++) {
        const ssdei_parameter *parameter = &net->parameters[i];
        for (k = parameter->offset; k < parameter->offset + parameter->info.count; k++) {
            frozen += !parameter->info.trainable;
            if (!parameter->info.trainable)
                CHECK(before[k] == net->weights[k] && before[k] == trainer->ema->weights[k]);
            else
                moved += before[k] != net->weights[k];
        }
    }
    CHECK(frozen == 4 && moved > 20);
    CHECK_OK(ssde_trainer_save(trainer, FILES_PATH));
    CHECK_OK(ssde_trainer_load(trainer, FILES_PATH));
    remove(FILES_PATH);
    ssde_trainer_destroy(trainer);
    ssde_net_destroy(net);
    free(before);
}

static void test_nn_train_ring(void) {
    enum { ROWS = 64 };
    static float x[ROWS * 2];
    int steps = check_quick ? 150 : 600, step;
    ssde_sde sdes[3];
    size_t i;
    sdes[0] = ssde_vp(0.1, 20.0);
    sdes[1] = ssde_subvp(0.1, 20.0);
    sdes[2] = ssde_ve(0.01, 5.0);
    for (i = 0; i < 3; i++) {
        ssde_mixture *ring;
        ssde_rng rng = ssde_rng_seed(1);
        ssde_mlp_desc shape = ssde_mlp(2);
        ssde_train_desc desc = ssde_train_defaults(&sdes[i], (uint64_t)steps);
        ssde_net *net;
        ssde_trainer *trainer;
        ssde_batch batch = ssde_batch_of(x, ROWS);
        double before, after, error, loss, first_error;
        shape.hidden = 32;
        shape.seed = 2;
        if (i == 2) {
            shape.embedding_type = SSDE_EMBEDDING_FOURIER;
            shape.fourier_scale = 1.0;
            shape.scale_by_sigma = 1;
        }
        desc.batch = ROWS;
        CHECK_OK(ssde_ring_create(NULL, &ring, 8, 1.0, 0.1));
        CHECK_OK(ssde_mlp_create(&net, &shape));
        CHECK_OK(ssde_trainer_create(&trainer, net, &sdes[i], &desc));
        CHECK_OK(ssde_mixture_sample(ring, &rng, ROWS, x, NULL));
        CHECK_OK(ssde_trainer_evaluate(trainer, &batch, 3, &before, &first_error));
        for (step = 0; step < steps; step++) {
            CHECK_OK(ssde_mixture_sample(ring, &rng, ROWS, x, NULL));
            CHECK_OK(ssde_train_step(trainer, &batch, &loss));
        }
        rng.next_sample = 0;
        CHECK_OK(ssde_mixture_sample(ring, &rng, ROWS, x, NULL));
        CHECK_OK(ssde_trainer_evaluate(trainer, &batch, 3, &after, &error));
        /* A network that returns nothing costs 1 (half the sum over two dimensions: 1 too). The exact score of the ring
           costs about 0.3 under VP and sub-VP, as much of the noise cannot be told from the data. */
        CHECK_NEAR(before, 1.0, 4.0 * first_error);
        CHECK(after < 0.8 * before);
        CHECK(error > 0.0 && error < 0.2);
        ssde_trainer_destroy(trainer);
        ssde_net_destroy(net);
        ssde_mixture_destroy(ring);
    }
}

/* Long trainings have the reference's numbers to the bit (configs/default_cifar10_configs.py), short ones what they
   need. */
static void test_nn_train_defaults(void) {
    static const uint64_t whole[4] = {0, 200000, 950001, 1300001}, shorter[4] = {1, 1000, 10000, 100000};
    static const int warmup[4] = {0, 50, 500, 5000};
    static const double lr[4] = {2e-3, 2e-3, 8.944271909999159e-4, 2.8284271247461903e-4};
    ssde_sde sdes[2];
    ssde_train_desc desc;
    int i, k;
    sdes[0] = ssde_subvp(0.1, 20.0);
    sdes[1] = ssde_ve(0.01, 50.0);
    for (k = 0; k < 2; k++)
        for (i = 0; i < 4; i++) {
            desc = ssde_train_defaults(&sdes[k], whole[i]);
            CHECK(desc.batch == 128 && desc.lr == 2e-4 && desc.warmup == 5000 && desc.grad_clip == 1.0);
            CHECK(desc.beta1 == 0.9 && desc.beta2 == 0.999 && desc.adam_eps == 1e-8 && desc.weight_decay == 0.0);
            CHECK(desc.ema_rate == (k ? 0.999 : 0.9999) && desc.loss.half_sum == k);
            desc = ssde_train_defaults(&sdes[k], shorter[i]);
            CHECK_RELATIVE(desc.lr, lr[i], 1e-15);
            CHECK(desc.warmup == warmup[i] && desc.ema_rate == (k ? 0.999 : 0.9999));
        }
    CHECK_OK(ssde_configuration(NULL, "vp/cifar10_ddpmpp_continuous", NULL, NULL, &desc));
    CHECK(desc.lr == 2e-4 && desc.warmup == 5000 && desc.ema_rate == 0.9999 && desc.batch == 128);
}

/* One score net of the averaged weights serves between the steps: each score is that of the last step's average. */
static void test_nn_train_sampled(void) {
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_train_desc desc = files_train_desc(NULL, &sde);
    ssde_net *net = files_mlp(NULL, 2, 8, 1, 3);
    ssde_trainer *trainer;
    ssde_score_net *kept, *fresh;
    ssde_score_model model;
    float old[16], seen[16], wanted[16];
    double t[8];
    int step, i;
    for (i = 0; i < 8; i++) t[i] = 0.1 + 0.1 * i;
    CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
    CHECK_OK(ssde_score_net_create(&kept, ssde_trainer_ema(trainer), &sde, NULL));
    for (step = 0; step < 4; step++) {
        model = ssde_score_net_model(kept);
        CHECK_OK(model.score(model.user, files_points, t, NULL, 8, 0, seen));
        CHECK_OK(ssde_score_net_create(&fresh, ssde_trainer_ema(trainer), &sde, NULL));
        model = ssde_score_net_model(fresh);
        CHECK_OK(model.score(model.user, files_points, t, NULL, 8, 0, wanted));
        ssde_score_net_destroy(fresh);
        CHECK_SAME(seen, wanted, sizeof seen);
        CHECK(!step || memcmp(seen, old, sizeof seen));
        memcpy(old, seen, sizeof old);
        files_train(trainer, 2); /* the first one of all has learning rate 0 */
    }
    ssde_score_net_destroy(kept);
    ssde_trainer_destroy(trainer);
    ssde_net_destroy(net);
}

/* The mean and standard error that evaluate reports are those of the losses it makes; slices do not matter. */
static void test_nn_train_evaluate(void) {
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_train_desc desc = files_train_desc(NULL, &sde);
    ssde_net *net = files_mlp(NULL, 2, 8, 1, 3);
    ssde_trainer *trainer;
    ssde_batch points = files_batch();
    double losses[8], loss, error, other, mean = 0.0, squares = 0.0;
    size_t batch, i;
    CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
    CHECK_OK(ssde_trainer_evaluate(trainer, &points, 5, &loss, &error));
    memcpy(losses, trainer->losses, sizeof losses);
    for (i = 0; i < 8; i++) mean += losses[i] / 8.0;
    for (i = 0; i < 8; i++) squares += (losses[i] - mean) * (losses[i] - mean);
    CHECK_RELATIVE(loss, mean, 1e-14);
    CHECK_RELATIVE(error, sqrt(squares / 7.0 / 8.0), 1e-12);
    CHECK_OK(ssde_trainer_evaluate(trainer, &points, 6, &other, NULL));
    CHECK(other < loss || other > loss);
    points.rows = 1;
    CHECK_OK(ssde_trainer_evaluate(trainer, &points, 5, &other, &error));
    CHECK(other == losses[0] && error > DBL_MAX);
    points.x = files_points + 2 * 5;
    points.first_slot = 5; /* a row's draws are its slot's */
    CHECK_OK(ssde_trainer_evaluate(trainer, &points, 5, &other, NULL));
    CHECK(other == losses[5]);
    points = files_batch();
    ssde_trainer_destroy(trainer);
    for (batch = 1; batch < 8; batch += 2) {
        desc.batch = batch;
        CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
        CHECK_OK(ssde_trainer_evaluate(trainer, &points, 5, &other, &error));
        CHECK(other == loss);
        ssde_trainer_destroy(trainer);
    }
    ssde_net_destroy(net);
}

static void test_nn_train_bad_data(void) {
    ssde_context context;
    ssde_sde sde = ssde_vp(0.1, 20.0), broken = ssde_vp(-1.0, 20.0);
    ssde_train_desc desc, bad;
    ssde_net *net, *same;
    ssde_trainer *trainer, *untouched, *none;
    ssde_batch batch = files_batch();
    float x[16];
    double loss, error;
    size_t i;
    memset(&context, 0, sizeof context);
    desc = files_train_desc(&context, &sde);
    net = files_mlp(NULL, 2, 8, 1, 3);
    same = files_mlp(NULL, 2, 8, 1, 3);
    CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
    CHECK_OK(ssde_trainer_create(&untouched, same, &sde, &desc));
    files_train(trainer, 2);
    files_train(untouched, 2);
    memcpy(x, files_points, sizeof x);
    batch.x = x;
    x[11] = NAN;
    CHECK_FAILS(&context, ssde_train_step(trainer, &batch, &loss), SSDE_ERROR_NUMERIC, "x: row 5, element 1");
    CHECK_FAILS(&context, ssde_trainer_evaluate(trainer, &batch, 1, &loss, &error), SSDE_ERROR_NUMERIC,
                "row 5, element 1");
    x[11] = 1e38f; /* finite, but its loss is not */
    x[10] = -1e38f;
    for (i = 0; i < 10; i++) x[i] = 3e38f;
    CHECK_FAILS(&context, ssde_train_step(trainer, &batch, &loss), SSDE_ERROR_NUMERIC, "training step 2");
    batch.rows = 9;
    CHECK_FAILS(&context, ssde_train_step(trainer, &batch, &loss), SSDE_ERROR_ARGUMENT,
                "batch.rows is 9, wanted 1 to desc.batch = 8");
    batch.rows = 0;
    CHECK_STATUS(ssde_train_step(trainer, &batch, &loss), SSDE_ERROR_ARGUMENT);
    batch = files_batch();
    batch.first_slot = (uint64_t)1 << 48;
    CHECK_FAILS(&context, ssde_train_step(trainer, &batch, &loss), SSDE_ERROR_ARGUMENT, "first_slot");
    CHECK_STATUS(ssde_train_step(trainer, NULL, &loss), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_train_step(NULL, &batch, &loss), SSDE_ERROR_ARGUMENT);
    CHECK_FAILS(&context, ssde_trainer_evaluate(trainer, &batch, 1, &loss, &error), SSDE_ERROR_ARGUMENT, "first_slot");
    CHECK_STATUS(ssde_trainer_evaluate(trainer, NULL, 1, &loss, &error), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_trainer_evaluate(NULL, &batch, 1, &loss, &error), SSDE_ERROR_ARGUMENT);
    batch.x = NULL;
    CHECK_FAILS(&context, ssde_train_step(trainer, &batch, &loss), SSDE_ERROR_ARGUMENT, "batch.x is NULL");
    CHECK_FAILS(&context, ssde_trainer_evaluate(trainer, &batch, 1, &loss, &error), SSDE_ERROR_ARGUMENT,
                "ssde_trainer_evaluate: batch.x is NULL");
    batch = ssde_batch_of(files_points, 0);
    CHECK_FAILS(&context, ssde_trainer_evaluate(trainer, &batch, 1, &loss, &error), SSDE_ERROR_ARGUMENT,
                "batch.rows is 0");
    batch.rows = SIZE_MAX;
    CHECK_STATUS(ssde_trainer_evaluate(trainer, &batch, 1, &loss, &error), SSDE_ERROR_ARGUMENT);
    files_check_same_trainer(trainer, untouched);
    files_train(trainer, 1); /* and training goes on as if nothing had been */
    files_train(untouched, 1);
    files_check_same_trainer(trainer, untouched);
    /* weights that overflow in the forward pass; gradients that overflow behind a finite loss */
    for (i = 0; i < 2; i++) {
        size_t k, at = net->parameters[net->parameter_count - 2].offset;
        for (k = 0; k < net->weight_count; k++) same->weights[k] = net->weights[k] *= i ? 1e-2f : 1.0f;
        if (!i) same->weights[at] = net->weights[at] = 3e38f;
        if (i) net->weights[0] = same->weights[0] = 1e38f;
        net->version++;
        batch = files_batch();
        CHECK_FAILS(&context, ssde_train_step(trainer, &batch, &loss), SSDE_ERROR_NUMERIC, "training step 3");
        files_check_same_trainer(trainer, untouched);
        net->weights[at] = same->weights[at] = 0.1f;
    }
    ssde_trainer_destroy(trainer);
    ssde_trainer_destroy(untouched);
    desc.levels = 4.0;
    CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
    for (i = 0; i < 16; i++) x[i] = 3.0f;
    batch = files_batch();
    batch.x = x;
    x[2] = 4.0f;
    CHECK_FAILS(&context, ssde_train_step(trainer, &batch, &loss), SSDE_ERROR_ARGUMENT,
                "row 1, element 0 is 4, wanted a whole number from 0 to 3");
    x[2] = 0.5f;
    CHECK_FAILS(&context, ssde_train_step(trainer, &batch, &loss), SSDE_ERROR_ARGUMENT, "row 1, element 0 is 0.5");
    x[2] = NAN;
    CHECK_FAILS(&context, ssde_train_step(trainer, &batch, &loss), SSDE_ERROR_ARGUMENT, "row 1, element 0 is");
    CHECK(ssde_trainer_step_count(trainer) == 0);
    ssde_trainer_destroy(trainer);
    desc.levels = 0.0;
#define FILES_BAD_DESC(field, value, words)                                                             \
    do {                                                                                                \
        bad = desc;                                                                                     \
        bad.field = value;                                                                              \
        none = (ssde_trainer *)1;                                                                       \
        CHECK_FAILS(&context, ssde_trainer_create(&none, net, &sde, &bad), SSDE_ERROR_ARGUMENT, words); \
        CHECK(!none);                                                                                   \
    } while (0)
    FILES_BAD_DESC(batch, 0, "desc.batch");
    FILES_BAD_DESC(batch, SIZE_MAX, "desc.batch");
    FILES_BAD_DESC(lr, -1.0, "desc.lr");
    FILES_BAD_DESC(lr, (double)NAN, "desc.lr");
    FILES_BAD_DESC(lr, 1e30, "desc.lr is 1e+30, wanted 0 to 1e6");
    FILES_BAD_DESC(beta1, 1.0, "desc.beta1");
    FILES_BAD_DESC(beta2, -0.1, "desc.beta2");
    FILES_BAD_DESC(adam_eps, 0.0, "desc.adam_eps");
    FILES_BAD_DESC(adam_eps, 1e7, "1e-30 to 1e6");
    FILES_BAD_DESC(weight_decay, -1.0, "desc.weight_decay");
    FILES_BAD_DESC(weight_decay, 1e7, "0 to 1e6");
    FILES_BAD_DESC(warmup, -1, "desc.warmup");
    FILES_BAD_DESC(grad_clip, (double)NAN, "desc.grad_clip");
    FILES_BAD_DESC(ema_rate, 1.5, "desc.ema_rate");
    FILES_BAD_DESC(levels, 2.5, "desc.levels");
    FILES_BAD_DESC(loss.eps, 2.0, "ssde_trainer_create: desc.loss.eps is 2, wanted");
    FILES_BAD_DESC(loss.eps, (double)NAN, "desc.loss.eps is nan");
    bad = desc;
    bad.levels = 8.0;
    bad.low = bad.high;
    CHECK_FAILS(&context, ssde_trainer_create(&none, net, &sde, &bad), SSDE_ERROR_ARGUMENT, "desc.low");
#undef FILES_BAD_DESC
    CHECK_FAILS(&context, ssde_trainer_create(&none, NULL, &sde, &desc), SSDE_ERROR_ARGUMENT, "net is NULL");
    CHECK_STATUS(ssde_trainer_create(&none, net, &sde, NULL), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_trainer_create(&none, net, NULL, &desc), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_trainer_create(NULL, net, &sde, &desc), SSDE_ERROR_ARGUMENT);
    CHECK_STATUS(ssde_trainer_create(&none, net, &broken, &desc), SSDE_ERROR_ARGUMENT);
    CHECK(!ssde_trainer_step_count(NULL) && !ssde_trainer_ema(NULL));
    ssde_trainer_destroy(NULL);
    ssde_net_destroy(net);
    ssde_net_destroy(same);
}

/* ---- failing memory ---- */

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

static void test_nn_files_memory(void) {
    files_memory memory;
    ssde_context context = files_context(&memory);
    long all, i;
    CHECK_OK(files_everything(&context));
    CHECK(memory.live == 0);
    all = memory.made;
    CHECK(all > 50);
    for (i = 0; i < all; i += check_quick ? 7 : 1) {
        memory.made = 0;
        memory.fail_at = i;
        context.error[0] = 0;
        CHECK_STATUS(files_everything(&context), SSDE_ERROR_MEMORY);
        CHECK(memory.live == 0 && strstr(context.error, "cannot allocate") != NULL);
    }
    remove(FILES_PATH);
    remove(FILES_PTH);
}

/* ---- the order of the data ---- */

static void test_nn_train_shuffle(void) {
    static const uint64_t counts[] = {1, 2, 3, 4, 5, 10, 64, 100, 1000, 1025};
    static unsigned char seen[2000];
    static unsigned table[5][5];
    uint64_t c, pass, i, same = 0;
    double chi = 0.0;
    for (c = 0; c < sizeof counts / sizeof *counts; c++) {
        uint64_t count = counts[c];
        for (pass = 0; pass < 3; pass++) {
            uint64_t at = pass ? (pass == 2 ? (uint64_t)1 << 40 : 1) : 0;
            memset(seen, 0, sizeof seen);
            for (i = 0; i < count; i++) {
                uint64_t index = ssde_shuffled_index(7, count, at * count + i);
                CHECK(index < count && !seen[index]);
                if (index < count) seen[index] = 1;
            }
        }
    }
    for (i = 0; i < 1000; i++) same += ssde_shuffled_index(7, 1000, i) == ssde_shuffled_index(7, 1000, 1000 + i);
    CHECK(same < 10); /* 1 is expected */
    for (i = same = 0; i < 1000; i++) same += ssde_shuffled_index(7, 1000, i) == ssde_shuffled_index(8, 1000, i);
    CHECK(same < 10);
    for (i = same = 0; i < 1000; i++) same += ssde_shuffled_index(7, 1000, i) == i;
    CHECK(same < 10);
    /* where each of five lands over 2,000 passes: 16 degrees of freedom, 39.3 is passed once in a thousand */
    for (pass = 0; pass < 2000; pass++)
        for (i = 0; i < 5; i++) table[i][ssde_shuffled_index(3, 5, pass * 5 + i)]++;
    for (i = 0; i < 25; i++) {
        double away = (double)table[i / 5][i % 5] - 400.0;
        chi += away * away / 400.0;
    }
    CHECK(chi < 39.3);
    CHECK(ssde_shuffled_index(1, 0, 5) == 0);
    CHECK(ssde_shuffled_index(1, UINT64_MAX, 5) < UINT64_MAX);
}

/* The first step says once that its data are not the SDE's scale; data of ordinary scales pass in silence. */
static void test_nn_train_scale(void) {
    /* VP's, sub-VP's, VE's to 50; scale of data 0 ... 1, with a shift; warned of or not */
    static const double cases[][5] = {{1, 255, 0, 0, 1},   {2, 255, 0, 0, 1},      {0, 255, 0, 0, 1},
                                      {1, 2, -1, 0, 0},    {1, 2, -1, 1, 0},       {0, 1, 0, 0, 0},
                                      {2, 1, 0, 0, 0},     {1, 3.46, -1.73, 0, 0}, {0, 3.46, -1.73, 0, 0},
                                      {1, 255, 0, 256, 0}, {1, 1e-3, 40, 0, 1}};
    float x[64 * 2];
    ssde_context context;
    check_log kept;
    size_t c, i;
    memset(&context, 0, sizeof context);
    context.log = check_keep_log, context.user = &kept;
    for (c = 0; c < sizeof cases / sizeof *cases; c++) {
        ssde_sde sde = cases[c][0] == 0.0   ? ssde_ve(0.01, 50.0)
                       : cases[c][0] == 1.0 ? ssde_vp(0.1, 20.0)
                                            : ssde_subvp(0.1, 20.0);
        ssde_net *net = files_mlp(NULL, 2, 8, 1, 3);
        ssde_train_desc desc = files_train_desc(&context, &sde);
        ssde_trainer *trainer = NULL;
        ssde_batch batch = files_batch();
        int step;
        memset(&kept, 0, sizeof kept);
        desc.batch = 64;
        if (cases[c][3] > 1.0) desc.levels = cases[c][3];
        CHECK_OK(ssde_trainer_create(&trainer, net, &sde, &desc));
        for (i = 0; i < 128; i++) {
            double u = ssde_random_double(5, SSDE_STREAM_USER, 0, i, 0);
            x[i] = (float)(cases[c][1] * u + cases[c][2]);
            if (desc.levels > 0.0) x[i] = floorf(x[i]);
        }
        batch.x = x, batch.rows = 64;
        for (step = 0; step < 3; step++) CHECK_OK(ssde_train_step(trainer, &batch, NULL));
        CHECK(kept.count == (int)cases[c][4]);
        CHECK(!kept.count || (!strncmp(kept.text, "ssde_train_step: x has mean", 27) && strstr(kept.text, "scale it")));
        CHECK(!context.error[0]);
        ssde_trainer_destroy(trainer);
        ssde_net_destroy(net);
    }
}

#define TEST_NN_FILES_LIST(X)     \
    X(nn_files_json_numbers)      \
    X(nn_files_json_strings)      \
    X(nn_files_json_values)       \
    X(nn_files_dtypes)            \
    X(nn_files_bad_headers)       \
    X(nn_files_foreign_headers)   \
    X(nn_files_rounding)          \
    X(nn_files_small_floats)      \
    X(nn_files_crc)               \
    X(nn_files_checksums)         \
    X(nn_files_round_trip)        \
    X(nn_files_layout)            \
    X(nn_files_golden)            \
    X(nn_files_descriptions)      \
    X(nn_files_bad_saves)         \
    X(nn_files_hostile)           \
    X(nn_files_pth_values)        \
    X(nn_files_pth_golden)        \
    X(nn_files_pth_networks)      \
    X(nn_files_pth_pickles)       \
    X(nn_files_pth_hostile)       \
    X(nn_files_pth_objects)       \
    X(nn_files_pth_newer)         \
    X(nn_files_pth_without_crc)   \
    X(nn_files_pth_trained)       \
    X(nn_files_state_dicts)       \
    X(nn_files_containers)        \
    X(nn_files_diffusers_golden)  \
    X(nn_files_diffusers_layout)  \
    X(nn_files_diffusers_configs) \
    X(nn_files_memory)            \
    X(nn_train_adam)              \
    X(nn_train_first_steps)       \
    X(nn_train_gradient)          \
    X(nn_train_inputs)            \
    X(nn_train_resume)            \
    X(nn_train_bad_checkpoints)   \
    X(nn_train_threads)           \
    X(nn_train_memory)            \
    X(nn_train_evaluate_run)      \
    X(nn_train_frozen)            \
    X(nn_train_ring)              \
    X(nn_train_defaults)          \
    X(nn_train_sampled)           \
    X(nn_train_evaluate)          \
    X(nn_train_bad_data)          \
    X(nn_train_scale)             \
    X(nn_train_shuffle)

#endif
