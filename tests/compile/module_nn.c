/* The networks' implementation and nothing else. */
#define SCORESDE_NN_IMPLEMENTATION
#include "../../scoresde_nn.h"
