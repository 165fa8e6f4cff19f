#include "ops/ops.h"

namespace dlcore {

void bind_attention(py::module_&) {}

}  // namespace dlcore
