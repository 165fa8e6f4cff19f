// The launch geometry of the CUDA kernels, for tests: plain host code that every build has, with or without
// CUDA.
#include <map>
#include <string>

#include "cuda/launch.h"
#include "ops/ops.h"

namespace dlcore {

static std::map<std::string, int64_t> items_plan(int64_t n) {
  const cuda::LaunchPlan p = cuda::plan_items(n);
  return {{"blocks", p.blocks}, {"threads", p.threads}};
}

static std::map<std::string, int64_t> rows_plan(int64_t rows, int64_t n) {
  const cuda::LaunchPlan p = cuda::plan_rows(rows, n);
  return {{"blocks", p.blocks}, {"threads", p.threads}};
}

static std::map<std::string, int64_t> matmul_plan(int64_t m, int64_t n, int64_t batch, int item_size) {
  const cuda::MatmulPlan p = cuda::plan_matmul(m, n, batch, item_size);
  return {{"tile", p.tile}, {"depth", p.depth}, {"tiles", p.tiles}, {"blocks", p.blocks}};
}

void bind_cuda(py::module_& m) {
  using namespace py::literals;
  m.def("cuda_plan_items", &items_plan, "n"_a);
  m.def("cuda_plan_rows", &rows_plan, "rows"_a, "n"_a);
  m.def("cuda_plan_matmul", &matmul_plan, "m"_a, "n"_a, "batch"_a, "item_size"_a);
}

}  // namespace dlcore
