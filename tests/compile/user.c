/* A program that only declares: the implementation is linked from module_*.c or another file of this folder, compiled
   by any C or C++ compiler. USE_NN and USE_SOLVERS say what is linked besides the core. */
#include "../../scoresde.h"
#ifdef USE_NN
#include "../../scoresde_nn.h"
#endif
#ifdef USE_SOLVERS
#include "../../scoresde_solvers.h"
#endif

#include <math.h>
#include <stdio.h>

static float x[64 * 2];

/* Whether a tensor's values, at most six, add up to this. */
static int adds_up(const char *path, const char *name, float wanted) {
    ssde_tensor_file *file;
    const ssde_file_tensor *tensor;
    float values[6], sum = 0.0f;
    size_t i;
    if (ssde_tensor_file_open(NULL, &file, path)) return 0;
    tensor = ssde_tensor_file_find(file, name);
    if (!tensor || tensor->count > 6 || ssde_tensor_file_read(file, tensor, values)) return 0;
    for (i = 0; i < tensor->count; i++) sum += values[i];
    ssde_tensor_file_close(file);
    return fabs((double)(sum - wanted)) < 1e-6;
}

static int use(void) {
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_rng rng = ssde_rng_seed(1);
    ssde_mixture *mixture;
    ssde_score_model model;
    if (!adds_up("tests/golden/torch_save.pth", "half", 0.0f)) return 9;
    if (!adds_up("tests/golden/torch_save.pth", "byte", 1215.0f)) return 9;
    if (!adds_up("tests/golden/solvers.safetensors", "gmm/weight", 1.0f)) return 10;
    if (ssde_ring_create(NULL, &mixture, 8, 1.0, 0.1)) return 1;
    model = ssde_mixture_model(mixture, &sde);
    if (ssde_mixture_sample(mixture, &rng, 64, x, NULL)) return 2;
#ifdef USE_NN
    {
        ssde_mlp_desc shape = ssde_mlp(2);
        ssde_net *net;
        ssde_score_net *score_net;
        double t[64];
        size_t i;
        for (i = 0; i < 64; i++) t[i] = 0.5;
        if (ssde_mlp_create(&net, &shape)) return 3;
        if (ssde_score_net_create(&score_net, net, &sde, NULL)) return 4;
        model = ssde_score_net_model(score_net);
        if (model.score(model.user, x, t, NULL, 64, 0, x)) return 5;
        ssde_score_net_destroy(score_net);
        ssde_net_destroy(net);
        model = ssde_mixture_model(mixture, &sde);
    }
#endif
#ifdef USE_SOLVERS
    {
        ssde_flow_desc how = ssde_flow_defaults();
        size_t i;
        if (ssde_sample_ode(&sde, &model, &how, &rng, 64, x, NULL)) return 6;
        for (i = 0; i < 64; i++)
            if (fabs(hypot((double)x[2 * i], (double)x[2 * i + 1]) - 1.0) > 1.0) return 7; /* ten standard deviations */
    }
#endif
    ssde_mixture_destroy(mixture);
    return model.dim == 2 ? 0 : 8;
}

int main(void) {
    int failure = use();
    printf("%s\n", failure ? "failed" : "ok");
    return failure;
}
