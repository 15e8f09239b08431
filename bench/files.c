/* Loading a network of google/ddpm-cifar10-32's size, 35.7 million weights, against reading its file, as CSV:

       cc -O2 bench/files.c -o files -lm && ./files FOLDER

   file,mb,read_ms,load_ms,ratio,beside_mb
   FOLDER, which must be there, gets 290 MB, which are removed again. file: as diffusers has it
   (ssde_net_load_diffusers) or with checksums (ssde_net_load). read_ms: fread of the whole file into new memory;
   load_ms: the same file loaded; medians, in turn, of a file that the system has in memory. beside_mb: the most memory
   that loading held beside the network, by a counting allocator. */
#define SCORESDE_KEEP_MACROS
#define SCORESDE_IMPLEMENTATION
#include "../scoresde_nn.h"

#include "measure.h"

enum { REPETITIONS = 9 };

typedef struct counter {
    size_t bytes, most;
} counter;

static void *counted(void *user, size_t size) {
    counter *c = (counter *)user;
    size_t *block = (size_t *)malloc(size + 16);
    if (!block) return NULL;
    *block = size;
    c->bytes += size;
    if (c->most < c->bytes) c->most = c->bytes;
    return (char *)block + 16;
}

static void released(void *user, void *pointer) {
    size_t *block = (size_t *)(void *)((char *)pointer - 16);
    ((counter *)user)->bytes -= *block;
    free(block);
}

static ssde_unet2d_desc describe(ssde_context *context) {
    ssde_unet2d_desc desc = ssde_unet2d(32, 32, 3);
    int i;
    desc.context = context;
    desc.num_levels = 4;
    for (i = 0; i < 4; i++) {
        desc.block_out_channels[i] = i ? 256 : 128;
        desc.down[i].attention = desc.up[i].attention = i == 1;
    }
    desc.downsample_padding = 0;
    desc.norm_eps = 1e-6;
    desc.attention_head_dim = 0;
    desc.freq_shift = 1.0;
    desc.flip_sin_to_cos = 0;
    return desc;
}

static ssde_net *load(ssde_context *context, const char *config, const char *path) {
    ssde_net *net;
    must(context,
         config ? ssde_net_load_diffusers(context, &net, config, path) : ssde_net_load(context, &net, NULL, path));
    return net;
}

static double read_whole(const char *path, size_t *size) {
    double start = seconds();
    FILE *file = fopen(path, "rb");
    char *bytes;
    if (!file || fseek(file, 0, SEEK_END)) fail(path, "cannot be read");
    *size = (size_t)ftell(file);
    rewind(file);
    bytes = (char *)malloc(*size);
    if (!bytes || fread(bytes, 1, *size, file) != *size) fail(path, "cannot be read");
    fclose(file);
    start = seconds() - start;
    free(bytes);
    return start;
}

/* config NULL: the library's own file. */
static void bench_file(ssde_context *context, const char *name, const char *config, const char *path) {
    double reads[REPETITIONS], loads[REPETITIONS];
    ssde_context counting = *context;
    counter c = {0, 0};
    ssde_net *net;
    size_t size = 0;
    int i;
    for (i = 0; i < REPETITIONS; i++) {
        reads[i] = read_whole(path, &size);
        loads[i] = seconds();
        net = load(context, config, path);
        loads[i] = seconds() - loads[i];
        ssde_net_destroy(net);
    }
    counting.allocate = counted;
    counting.release = released;
    counting.user = &c;
    net = load(&counting, config, path);
    c.most -= c.bytes;
    ssde_net_destroy(net);
    qsort(reads, REPETITIONS, sizeof *reads, by_size);
    qsort(loads, REPETITIONS, sizeof *loads, by_size);
    printf("%s,%.1f,%.1f,%.1f,%.2f,%.2f\n", name, (double)size * 1e-6, 1e3 * reads[REPETITIONS / 2],
           1e3 * loads[REPETITIONS / 2], loads[REPETITIONS / 2] / reads[REPETITIONS / 2], (double)c.most * 1e-6);
    fflush(stdout);
}

int main(int argc, char **argv) {
    ssde_context context = ssde_context_defaults();
    ssde_unet2d_desc desc = describe(&context);
    char config[1024], weights[1024], own[1024];
    ssde_net *net;
    if (argc != 2 || strlen(argv[1]) > 900) fail("usage", "files FOLDER");
    snprintf(config, sizeof config, "%s/config.json", argv[1]);
    snprintf(weights, sizeof weights, "%s/diffusion_pytorch_model.safetensors", argv[1]);
    snprintf(own, sizeof own, "%s/model.safetensors", argv[1]);
    must(&context, ssde_unet2d_create(&net, &desc));
    must(&context, ssde_net_save_diffusers(net, NULL, argv[1]));
    must(&context, ssde_net_save(net, NULL, own));
    ssde_net_destroy(net);
    printf("file,mb,read_ms,load_ms,ratio,beside_mb\n");
    bench_file(&context, "diffusers", config, weights);
    bench_file(&context, "own", NULL, own);
    remove(config);
    remove(weights);
    remove(own);
    return 0;
}
