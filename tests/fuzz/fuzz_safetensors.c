/* Any bytes as a safetensors file: they are refused with a status, or read and perhaps built, and nothing leaks.

       clang -g -O1 -fsanitize=fuzzer,address,undefined tests/fuzz/fuzz_safetensors.c -o fuzz -lm
       mkdir -p corpus && cp tests/golden/ddpmpp_vp.weights.safetensors corpus && ./fuzz -max_total_time=60 corpus */
#define SCORESDE_IMPLEMENTATION
#include "../../scoresde.h"
#include "../../scoresde_nn.h"

#define FUZZ_PATH "fuzz_safetensors.tmp"

/* Builds take long under sanitizers and are bounded by the file's size: this bounds them further. */
enum { FUZZ_MOST_NUMBERS = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static double values[4096];
    ssde_context context = ssde_context_defaults();
    ssde_tensor_file *file;
    ssde_net *net;
    ssde_sde sde;
    size_t i;
    FILE *stream = fopen(FUZZ_PATH, "wb");
    if (!stream) return 0;
    fwrite(bytes, 1, size, stream);
    fclose(stream);
    if (ssde_tensor_file_open(&context, &file, FUZZ_PATH) != SSDE_OK) return 0;
    for (i = 0; i < ssde_tensor_file_count(file); i++) {
        const ssde_file_tensor *tensor = ssde_tensor_file_get(file, i);
        const ssde_file_tensor *found = ssde_tensor_file_find(file, tensor->name);
        if (!found || strcmp(found->name, tensor->name)) abort(); /* a name may be there twice, which reading refuses */
        if (tensor->count <= sizeof values / sizeof *values) ssde_tensor_file_read_double(file, tensor, values);
    }
    ssde_tensor_file_close(file);
    if (size > 4 * FUZZ_MOST_NUMBERS) return 0;
    if (ssde_net_load(&context, &net, &sde, FUZZ_PATH) == SSDE_OK) ssde_net_destroy(net);
    if (ssde_net_load(&context, &net, NULL, FUZZ_PATH) == SSDE_OK) ssde_net_destroy(net);
    return 0;
}
