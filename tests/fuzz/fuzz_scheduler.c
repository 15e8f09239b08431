/* Any bytes as scheduler_config.json, the first of them as what is asked of it: refused with a text, or a run whose SDE
   is valid and which goes to its end, and nothing leaks.

       clang -g -O1 -fsanitize=fuzzer,address,undefined tests/fuzz/fuzz_scheduler.c -o fuzz -lm
       mkdir -p corpus && ./fuzz -max_total_time=60 corpus

   A dictionary of the keys, and configurations as diffusers writes them, are in tests/golden/schedulers.json. */
#define SCORESDE_IMPLEMENTATION
#include "../../scoresde.h"
#include "../../scoresde_solvers.h"

static ssde_status fuzz_score(void *user, const float *x, const double *t, const uint64_t *sample, size_t rows,
                              int differentiate, float *out) {
    size_t i;
    (void)user, (void)t, (void)sample, (void)differentiate;
    for (i = 0; i < rows; i++) out[i] = -x[i];
    return SSDE_OK;
}

static ssde_status fuzz_told(void *user, size_t rows, float *out) {
    size_t i;
    (void)user;
    for (i = 0; i < rows; i++) out[i] = 0.5f;
    return SSDE_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static const double timesteps[3] = {900.0, 500.0, 20.0}, sigmas[4] = {0.9, 0.5, 0.02, 0.0};
    ssde_context context = ssde_context_defaults();
    ssde_scheduler_desc desc = ssde_scheduler_defaults();
    ssde_scheduler *scheduler;
    ssde_score_model model;
    ssde_rng rng = ssde_rng_seed(1);
    float x;
    if (!size) return 0;
    desc.steps = bytes[0] % 64 + 1u;
    desc.follow = bytes[0] >> 7;
    if (bytes[0] == 64) desc.steps = 3, desc.timesteps = timesteps;
    if (bytes[0] == 65) desc.steps = 3, desc.sigmas = sigmas;
    if (bytes[0] == 66) desc.mu = 0.5;
    if (bytes[0] == 67) desc.s_churn = 5.0;
    if (bytes[0] == 68) desc.eta = 0.5;
    if (ssde_scheduler_create(&context, &scheduler, (const char *)bytes + 1, size - 1, &desc) != SSDE_OK) {
        if (!context.error[0]) abort();
        return 0;
    }
    if (ssde_sde_check(&context, &scheduler->sde) != SSDE_OK) abort();
    if (scheduler->how.corrector_steps > 2) scheduler->how.corrector_steps = 2; /* up to a million */
    memset(&model, 0, sizeof model);
    model.dim = 1, model.score = fuzz_score, model.denoised = model.variance = fuzz_told;
    ssde_sample(&scheduler->sde, &model, &scheduler->how, &rng, 1, &x);
    ssde_scheduler_destroy(scheduler);
    return 0;
}
