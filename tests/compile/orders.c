/* All headers implemented in one file, whatever their order and however often they are repeated. ORDER is 1 to 7. */
#if ORDER == 7 /* the declarations first, as when another header has included them already */
#include "../../scoresde_solvers.h"
#include "../../scoresde_nn.h"
#endif

#define SCORESDE_IMPLEMENTATION
#if ORDER == 1
#include "../../scoresde.h"
#include "../../scoresde_nn.h"
#include "../../scoresde_solvers.h"
#elif ORDER == 2
#include "../../scoresde.h"
#include "../../scoresde_solvers.h"
#include "../../scoresde_nn.h"
#elif ORDER == 3
#include "../../scoresde_nn.h"
#include "../../scoresde.h"
#include "../../scoresde_solvers.h"
#elif ORDER == 4
#include "../../scoresde_nn.h"
#include "../../scoresde_solvers.h"
#include "../../scoresde.h"
#elif ORDER == 5
#include "../../scoresde_solvers.h"
#include "../../scoresde.h"
#include "../../scoresde_nn.h"
#else
#include "../../scoresde_solvers.h"
#include "../../scoresde_nn.h"
#include "../../scoresde.h"
#endif

/* once more without, with, and with the other macros */
#undef SCORESDE_IMPLEMENTATION
#include "../../scoresde.h"
#include "../../scoresde_nn.h"
#include "../../scoresde_solvers.h"
#define SCORESDE_IMPLEMENTATION
#include "../../scoresde_nn.h"
#include "../../scoresde_solvers.h"
#define SCORESDE_CORE_IMPLEMENTATION
#define SCORESDE_NN_IMPLEMENTATION
#define SCORESDE_SOLVERS_IMPLEMENTATION
#include "../../scoresde_solvers.h"
#include "../../scoresde_nn.h"
#include "../../scoresde.h"
