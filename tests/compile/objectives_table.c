/* What the README's table of objectives says, done: objectives_rows.h, which .ci/run makes of it, has a line ROW(what
   makes sde, what changes train, what changes how) for each of its rows. */
#define SCORESDE_IMPLEMENTATION
#include "../../scoresde.h"
#include "../../scoresde_nn.h"
#include "../../scoresde_solvers.h"

#include <stdlib.h>

static ssde_context context;

static void check(ssde_status status) {
    if (status == SSDE_OK) return;
    printf("%s: %s\n", ssde_status_text(status), context.error);
    exit(1);
}

static ssde_status f(void *user, const float *x, const double *t, size_t rows, size_t dim, float *out) {
    (void)user, (void)t;
    for (size_t i = 0; i < rows * dim; i++) out[i] = -x[i];
    return SSDE_OK;
}

static double g(void *user, double t) {
    (void)user, (void)t;
    return 1.0;
}

enum { ROWS = 8, DIM = 2 };

static void run(ssde_sde sde, ssde_train_desc train, ssde_sampler_desc how) {
    float x[ROWS * DIM] = {0.5f, -1.0f};
    ssde_mlp_desc shape = ssde_mlp(DIM);
    ssde_batch batch = ssde_batch_of(x, ROWS);
    ssde_rng rng = ssde_rng_seed(1);
    ssde_net *net;
    ssde_trainer *trainer;
    ssde_score_net *score_net;
    ssde_score_model model;
    shape.context = train.context = how.context = &context;
    check(ssde_mlp_create(&net, &shape));
    check(ssde_trainer_create(&trainer, net, &sde, &train));
    check(ssde_train_step(trainer, &batch, NULL));
    check(ssde_score_net_create(&score_net, net, &sde, NULL));
    model = ssde_score_net_model(score_net);
    check(ssde_sample(&sde, &model, &how, &rng, ROWS, x));
    ssde_score_net_destroy(score_net);
    ssde_trainer_destroy(trainer);
    ssde_net_destroy(net);
    printf("ok\n");
}

#define ROW(choose_sde, choose_training, choose_sampler)     \
    {                                                        \
        ssde_sde sde;                                        \
        ssde_train_desc train;                               \
        ssde_sampler_desc how = ssde_sampler_defaults();     \
        choose_sde train = ssde_train_defaults(&sde, 100);   \
        choose_training choose_sampler run(sde, train, how); \
    }

int main(void) {
#include "objectives_rows.h"
    return 0;
}
