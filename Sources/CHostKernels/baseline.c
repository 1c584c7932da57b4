/* What every CPU of the architecture has. */
#define TABLE host_kernels_baseline
#include "kernels.h"
