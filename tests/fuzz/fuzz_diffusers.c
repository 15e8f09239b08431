/* Any bytes as diffusers' config.json, beside a file of weights that have another network's names: it is refused with a
   status, perhaps after its network was built, and nothing leaks.

       clang -g -O1 -fsanitize=fuzzer,address,undefined tests/fuzz/fuzz_diffusers.c -o fuzz -lm
       mkdir -p corpus && cp tests/golden/diffusers_*.json corpus && ./fuzz -max_total_time=60 corpus */
#define SCORESDE_IMPLEMENTATION
#include "../../scoresde.h"
#include "../../scoresde_nn.h"

#define FUZZ_CONFIG "fuzz_diffusers.tmp"
#define FUZZ_WEIGHTS "fuzz_diffusers.safetensors"

/* 65,536 numbers, which bound the size of the networks that are built. */
static int fuzz_write_weights(void) {
    static const char header[] = "{\"a\":{\"dtype\":\"F32\",\"shape\":[65536],\"data_offsets\":[0,262144]}}";
    static const unsigned char length[8] = {sizeof header - 1}, zeros[4096] = {0};
    FILE *stream = fopen(FUZZ_WEIGHTS, "wb");
    int i;
    if (!stream) return 0;
    fwrite(length, 1, sizeof length, stream);
    fwrite(header, 1, sizeof header - 1, stream);
    for (i = 0; i < 64; i++) fwrite(zeros, 1, sizeof zeros, stream);
    return fclose(stream) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static int written;
    ssde_context context = ssde_context_defaults();
    ssde_net *net;
    FILE *stream;
    if (!written) written = fuzz_write_weights();
    stream = fopen(FUZZ_CONFIG, "wb");
    if (!written || !stream) return 0;
    fwrite(bytes, 1, size, stream);
    fclose(stream);
    if (ssde_net_load_diffusers(&context, &net, FUZZ_CONFIG, FUZZ_WEIGHTS) == SSDE_OK) abort();
    return 0;
}
