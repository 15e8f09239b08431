/* One header with all it needs, implemented here. */
#define SCORESDE_IMPLEMENTATION
#include "../../scoresde_nn.h"
