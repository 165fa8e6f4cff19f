#include "ops/ops.h"

namespace dlcore {

void bind_rnn(py::module_&) {}

}  // namespace dlcore
