/* The core's implementation and nothing else, to be linked with module_nn.c and module_solvers.c, though all three
   headers are included. */
#define SCORESDE_CORE_IMPLEMENTATION
#include "../../scoresde_solvers.h"
#include "../../scoresde_nn.h"
