/* Whether a build keeps a * b + c, sums and quotients as they are written: prints nothing and returns 0, or prints the
   error that every calculation then ends with and returns 1. .ci/run builds it with flags that no macro announces.

       cc -O2 FLAGS -o arithmetic tests/compile/arithmetic.c -lm && ./arithmetic */
#define SCORESDE_IMPLEMENTATION
#include "../../scoresde.h"
#include "../../scoresde_nn.h"
#include "../../scoresde_solvers.h"

static ssde_context context;
static int refused, accepted;

static void count(ssde_status status) {
    if (status == SSDE_ERROR_UNSUPPORTED)
        refused++;
    else
        accepted++;
}

static void count_calls(ssde_context *given) {
    ssde_sde sde = ssde_vp(0.1, 20.0);
    ssde_coefficients c;
    ssde_mixture *mixture = NULL;
    ssde_net *net = NULL;
    float x[2];
    ssde_tensor tensor = ssde_tensor_1d(x, 2);
    ssde_mlp_desc mlp = ssde_mlp(2);
    mlp.context = given;
    count(ssde_random_normal(given, 1, SSDE_STREAM_USER, 0, NULL, 1, 2, x));
    count(ssde_coefficients_at(given, &sde, 0.5, &c));
    count(ssde_tensor_unary(given, SSDE_SQUARE, &tensor, &tensor));
    count(ssde_ring_create(given, &mixture, 8, 1.0, 0.1));
    count(ssde_mlp_create(&net, &mlp));
    ssde_mixture_destroy(mixture);
    ssde_net_destroy(net);
}

int main(void) {
    int twice;
    for (twice = 0; twice < 2; twice++) count_calls(&context), count_calls(NULL);
    if (refused) printf("%s\n", context.error);
    if (refused && accepted) printf("%d calls were refused, %d not\n", refused, accepted);
    return refused > 0;
}
