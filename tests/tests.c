/* The tests, one program:

       cc -O2 -o tests/tests tests/tests.c -lm -pthread && tests/tests

   tests/tests [--quick] [--list] [NAME ...]: all tests, or those whose names are or begin with a NAME; --quick runs
   every test on small shapes. Run from the repository's root: the golden data is read from tests/golden.

   A test's name begins with its room, an anchor of the headers: `tests/tests files` runs what stands behind >>files.
   Rooms: context tensor random files sde simulation loss mixture kernels operations net run networks score_net
   classifier configurations train models grid path sampler scheduler condition guidance clip ode flow likelihood
   distance; across all headers: math memory errors.
*/
#define SCORESDE_KEEP_MACROS /* the tests look inside */
#define SCORESDE_IMPLEMENTATION
#include "../scoresde.h"
#include "../scoresde_nn.h"
#include "../scoresde_solvers.h"

#include <time.h>

#include "check.h"
#include "test_across.h"
#include "test_core_files.h"
#include "test_core_math.h"
#include "test_core_schedule.h"
#include "test_core_sde.h"
#include "test_core_tensor.h"
#include "test_kernels.h"
#include "test_nn_export.h"
#include "test_nn_models.h"
#include "test_nn_networks.h"
#include "test_nn_openai.h"
#include "test_nn_operations.h"
#include "test_nn_refinenet.h"
#include "test_nn_run.h"
#include "test_nn_train.h"
#include "test_nn_unet2d.h"
#include "test_nonlinear.h"
#include "test_schedulers.h"
#include "test_solvers_clip.h"
#include "test_solvers_condition.h"
#include "test_solvers_distance.h"
#include "test_solvers_flow.h"
#include "test_solvers_multistep.h"

#include "test_solvers_sampler.h"
#include "test_solvers_steps.h"

typedef struct test {
    const char *name;
    void (*run)(void);
} test;

#define TEST_ENTRY(name) {#name, test_##name},
static const test all_tests[] = {
    TEST_CORE_TENSOR_LIST(TEST_ENTRY) TEST_CORE_MATH_LIST(TEST_ENTRY) TEST_CORE_FILES_LIST(TEST_ENTRY)
        TEST_CORE_SDE_LIST(TEST_ENTRY) TEST_CORE_SCHEDULE_LIST(TEST_ENTRY) TEST_KERNELS_LIST(TEST_ENTRY)
            TEST_NN_OPERATIONS_LIST(TEST_ENTRY) TEST_NN_RUN_LIST(TEST_ENTRY) TEST_NN_NETWORKS_LIST(TEST_ENTRY)
                TEST_NN_TRAIN_LIST(TEST_ENTRY) TEST_NN_MODELS_LIST(TEST_ENTRY) TEST_NN_EXPORT_LIST(TEST_ENTRY)
                    TEST_NN_REFINENET_LIST(TEST_ENTRY) TEST_NN_UNET2D_LIST(TEST_ENTRY) TEST_NN_OPENAI_LIST(TEST_ENTRY)
                        TEST_SOLVERS_SAMPLER_LIST(TEST_ENTRY) TEST_SOLVERS_STEPS_LIST(TEST_ENTRY)
                            TEST_SCHEDULERS_LIST(TEST_ENTRY) TEST_SOLVERS_CONDITION_LIST(TEST_ENTRY)
                                TEST_SOLVERS_CLIP_LIST(TEST_ENTRY) TEST_SOLVERS_FLOW_LIST(TEST_ENTRY)
                                    TEST_SOLVERS_MULTISTEP_LIST(TEST_ENTRY) TEST_SOLVERS_DISTANCE_LIST(TEST_ENTRY)
                                        TEST_NONLINEAR_LIST(TEST_ENTRY) TEST_ACROSS_LIST(TEST_ENTRY)};
enum { TEST_COUNT = sizeof all_tests / sizeof all_tests[0] };

/* A NAME selects the test of that name and all whose name continues it with '_': a room, or part of one. */
static int wanted(const char *name, int argc, char **argv) {
    int i, named = 0;
    for (i = 1; i < argc; i++) {
        size_t length = strlen(argv[i]);
        if (argv[i][0] == '-') continue;
        named = 1;
        if (!strncmp(name, argv[i], length) && (!name[length] || name[length] == '_')) return 1;
    }
    return !named;
}

int main(int argc, char **argv) {
    int i, list = 0, passed = 0, failed = 0;
    for (i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--quick")) check_quick = 1;
        if (!strcmp(argv[i], "--list")) list = 1;
    }
    for (i = 0; i < TEST_COUNT; i++) {
        clock_t start = clock();
        if (!wanted(all_tests[i].name, argc, argv)) continue;
        if (list) {
            printf("%s\n", all_tests[i].name);
            continue;
        }
        check_fails = check_count = 0;
        all_tests[i].run();
        if (!check_count) check_report(__FILE__, __LINE__, "the test checked nothing");
        printf("%-6s %-44s %7lu checks %6.2f s\n", check_fails ? "FAILED" : "ok", all_tests[i].name, check_count,
               (double)(clock() - start) / CLOCKS_PER_SEC);
        fflush(stdout);
        if (check_fails)
            failed++;
        else
            passed++;
    }
    if (list) return 0;
    printf("%d passed, %d failed\n", passed, failed);
    return failed || !passed;
}
