// The rnn kernels' arguments and list; conventions in kernels/common.h.
#pragma once

#include "kernels/common.h"

namespace dlcore {

// clang-format off
#define DLCORE_KERNELS_RNN(X)
// clang-format on

}  // namespace dlcore
