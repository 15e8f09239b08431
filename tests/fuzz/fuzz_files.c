/* Feeds bytes to the loaders of .npy, IDX and CIFAR-10 through a temporary file in the current folder.

       clang -g -O1 -fsanitize=fuzzer,address,undefined -o fuzz_files tests/fuzz/fuzz_files.c -lm
       ./fuzz_files -max_len=4096 -max_total_time=60 */
#define SCORESDE_CORE_IMPLEMENTATION
#include "../../scoresde.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static const char path[] = "fuzz_files.tmp";
    ssde_context context = ssde_context_defaults();
    ssde_tensor tensor, labels;
    FILE *file = fopen(path, "wb");
    if (!file) return 0;
    fwrite(bytes, 1, size, file);
    fclose(file);
    if (ssde_npy_load(&context, path, &tensor) == SSDE_OK && ssde_npy_save(&context, path, &tensor) != SSDE_OK) abort();
    ssde_tensor_release(&context, &tensor);
    ssde_idx_load(&context, path, &tensor);
    ssde_tensor_release(&context, &tensor);
    ssde_cifar10_load(&context, path, &tensor, &labels);
    ssde_tensor_release(&context, &tensor);
    ssde_tensor_release(&context, &labels);
    return 0;
}
