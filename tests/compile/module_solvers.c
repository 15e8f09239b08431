/* The solvers' implementation and nothing else. */
#define SCORESDE_SOLVERS_IMPLEMENTATION
#include "../../scoresde_solvers.h"
