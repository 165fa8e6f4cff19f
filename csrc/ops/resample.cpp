#include "ops/ops.h"

namespace dlcore {

void bind_resample(py::module_&) {}

}  // namespace dlcore
