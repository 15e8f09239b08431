/* One header with all it needs, implemented here. Also compiled as C++, as all files in this folder. */
#define SCORESDE_IMPLEMENTATION
#include "../../scoresde.h"
