#include "ops/ops.h"

namespace dlcore {

void bind_sort(py::module_&) {}

}  // namespace dlcore
