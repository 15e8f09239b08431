/* Any bytes as the index of a model in several files, beside two files that are good: it is refused with a status, or
   has the tensors of both, and nothing leaks. No file but those beside it is opened.

       clang -g -O1 -fsanitize=fuzzer,address,undefined tests/fuzz/fuzz_shards.c -o fuzz -lm
       mkdir -p corpus && echo '{"weight_map": {"a": "fuzz_a.tmp", "b": "fuzz_a.tmp", "c": "fuzz_c.tmp"}}' >corpus/index
       ./fuzz -max_total_time=60 corpus */
#define SCORESDE_IMPLEMENTATION
#include "../../scoresde.h"

#define FUZZ_INDEX "fuzz_shards.tmp"

static int fuzz_write(const char *path, const char *names) {
    static const size_t shape[1] = {2};
    const float values[2] = {1.0f, 2.0f};
    ssdei_tensor_writer writer;
    char name[2] = "";
    const char *letter;
    ssde_status status;
    ssdei_tensor_writer_begin(&writer, NULL);
    for (letter = names; *letter; letter++) {
        name[0] = *letter;
        ssdei_tensor_writer_declare(&writer, "", name, 1, shape);
    }
    status = ssdei_tensor_writer_open(&writer, path);
    for (letter = names; *letter && status == SSDE_OK; letter++) ssdei_tensor_writer_put(&writer, values, 2);
    return ssdei_tensor_writer_end(&writer, status) == SSDE_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static int written;
    ssde_context context = ssde_context_defaults();
    ssde_tensor_file *file;
    float values[2];
    size_t i;
    FILE *stream;
    if (!written) written = fuzz_write("fuzz_a.tmp", "ab") && fuzz_write("fuzz_c.tmp", "c");
    stream = fopen(FUZZ_INDEX, "wb");
    if (!written || !stream) return 0;
    fwrite(bytes, 1, size, stream);
    fclose(stream);
    if (ssde_tensor_file_open(&context, &file, FUZZ_INDEX) != SSDE_OK) {
        if (!context.error[0]) abort();
        return 0;
    }
    for (i = 0; i < ssde_tensor_file_count(file); i++)
        if (ssde_tensor_file_get(file, i)->count == 2 &&
            (ssde_tensor_file_read(file, ssde_tensor_file_get(file, i), values) != SSDE_OK || !(values[1] > 1.0f)))
            abort();
    ssde_tensor_file_close(file);
    return 0;
}
