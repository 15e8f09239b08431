/* Any bytes as a file of torch.save: they are refused with a status, or read, and nothing leaks.

       clang -g -O1 -fsanitize=fuzzer,address,undefined tests/fuzz/fuzz_pth.c -o fuzz -lm
       mkdir -p corpus && cp tests/golden/torch_{save,model_list}*.pth corpus && ./fuzz -max_total_time=60 corpus

   What begins like a pickle, but not as the format of five of them, is that of an archive that has a storage of 8
   floats besides, since hardly any change of an archive keeps its checksums right. */
#define SCORESDE_IMPLEMENTATION
#include "../../scoresde.h"
#include "../../scoresde_nn.h"

#define FUZZ_PATH "fuzz_pth.tmp"

static void fuzz_number(unsigned char **at, uint64_t number, int size) {
    for (; size--; number >>= 8) *(*at)++ = (unsigned char)number;
}

/* A record and its entry in the directory. */
static void fuzz_record(unsigned char **at, unsigned char **directory, const unsigned char *start, const char *name,
                        const unsigned char *bytes, size_t size) {
    static ssdei_crc_tables tables;
    uint64_t offset = (uint64_t)(*at - start);
    int part;
    ssdei_crc32_tables(&tables);
    for (part = 0; part < 2; part++) {
        unsigned char **to = part ? directory : at;
        memcpy(*to, part ? "PK\1\2" : "PK\3\4", 4);
        *to += 4;
        fuzz_number(to, 0, part ? 12 : 10);
        fuzz_number(to, ssdei_crc32(&tables, 0, bytes, size), 4);
        fuzz_number(to, size, 4);
        fuzz_number(to, size, 4);
        fuzz_number(to, strlen(name), 2);
        fuzz_number(to, 0, part ? 12 : 2);
        if (part) fuzz_number(to, offset, 4);
        memcpy(*to, name, strlen(name));
        *to += strlen(name);
    }
    memcpy(*at, bytes, size);
    *at += size;
}

static size_t fuzz_archive(unsigned char *archive, const unsigned char *pickle, size_t size) {
    static const unsigned char storage[32] = {0};
    unsigned char directory[256], *at = archive, *entry = directory, *begin;
    fuzz_record(&at, &entry, archive, "x/data.pkl", pickle, size);
    fuzz_record(&at, &entry, archive, "x/data/0", storage, sizeof storage);
    begin = at;
    memcpy(at, directory, (size_t)(entry - directory));
    at += entry - directory;
    memcpy(at, "PK\5\6\0\0\0\0\2\0\2\0", 12);
    at += 12;
    fuzz_number(&at, (uint64_t)(entry - directory), 4);
    fuzz_number(&at, (uint64_t)(begin - archive), 4);
    fuzz_number(&at, 0, 2);
    return (size_t)(at - archive);
}

/* Its parameters, "w.weight" and "w.bias", have names short enough to be found by chance. */
static ssde_net *fuzz_net(void) {
    ssde_net *net;
    ssde_node x;
    if (ssde_net_create(NULL, &net, 1) != SSDE_OK) abort();
    x = ssde_input(net, 1, 1, 2);
    if (ssde_net_finish(net, ssde_linear(net, x, 2, 1.0, "w")) != SSDE_OK) abort();
    return net;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static double values[4096];
    static unsigned char archive[1 << 20];
    static ssde_net *net;
    ssde_context context = ssde_context_defaults();
    ssde_tensor_file *file;
    size_t i;
    FILE *stream;
    if (!size || size > sizeof archive - 1024 || !(stream = fopen(FUZZ_PATH, "wb"))) return 0;
    if (bytes[0] == 0x80 && !ssdei_pth_is_stream(bytes, size))
        fwrite(archive, 1, fuzz_archive(archive, bytes, size), stream);
    else
        fwrite(bytes, 1, size, stream);
    fclose(stream);
    if (!net) net = fuzz_net();
    ssde_net_load_pth(net, FUZZ_PATH, SSDE_PTH_EMA);
    ssde_net_load_weights(net, FUZZ_PATH);
    if (ssde_tensor_file_open(&context, &file, FUZZ_PATH) != SSDE_OK) return 0;
    for (i = 0; i < ssde_tensor_file_count(file); i++) {
        const ssde_file_tensor *tensor = ssde_tensor_file_get(file, i);
        const ssde_file_tensor *found = ssde_tensor_file_find(file, tensor->name);
        if (!found || strcmp(found->name, tensor->name)) abort(); /* a name may be there twice, which reading refuses */
        if (tensor->count <= sizeof values / sizeof *values) ssde_tensor_file_read_double(file, tensor, values);
    }
    ssde_tensor_file_close(file);
    return 0;
}
