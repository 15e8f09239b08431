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

static int use(void) {
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_rng rng = ssde_rng_seed(1);
    ssde_mixture *mixture;
    ssde_score_model model;
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
