// Dropout and random numbers from a counter: (seed, offset) name a stream, the element its place in it.
#include "ops/ops.h"

namespace dlcore {

// inner: trailing elements that share one draw (a channel's); 1 for plain dropout. Its backward is itself, on
// dy.
static Array dropout(const Array& x, double p, uint64_t seed, uint64_t offset, int64_t inner) {
  check_floating("dropout", "x", x);
  if (!(p >= 0 && p <= 1)) value_error("dropout", "p must lie in [0, 1]", {{"p", p}});
  if (inner < 1 || x.numel() % inner)
    value_error("dropout", "inner must divide the number of elements", {{"x", x}, {"inner", inner}});
  const Array from = contiguous(x);
  Array y = Array::empty(x.shape(), x.dtype(), x.device());
  if (y.numel() == 0) return y;
  DropoutArgs args{from.data(), y.data(), y.numel(), inner, p, seed, offset};
  DLCORE_LAUNCH(dropout, x.dtype(), x.device(), args);
  return y;
}

static Array uniform(const Dims& shape, DType dtype, uint64_t seed, uint64_t offset,
                     const std::string& device) {
  if (dtype != DType::f32 && dtype != DType::f64)
    type_error("philox_uniform", "dtype must be float32 or float64",
               {{"dtype", std::string(dtype_name(dtype))}});
  Array y = Array::empty(shape, dtype, parse_device(device));
  if (y.numel() == 0) return y;
  RandomArgs args{y.data(), y.numel(), Random::uniform, seed, offset, 0};
  DLCORE_LAUNCH(random_fill, dtype, y.device(), args);
  return y;
}

// n words as they come; the first of them from the counter (first_block, offset).
static Array bits(int64_t n, uint64_t seed, uint64_t offset, uint64_t first_block,
                  const std::string& device) {
  if (n < 0) value_error("philox_bits", "n must not be negative", {{"n", n}});
  Array y = Array::empty({n}, DType::i32, parse_device(device));
  if (n == 0) return y;
  RandomArgs args{y.data(), n, Random::bits, seed, offset, first_block};
  DLCORE_LAUNCH(random_fill, DType::f32, y.device(), args);
  return y;
}

void bind_random(py::module_& m) {
  using namespace py::literals;
  def_op(m, "dropout", &dropout, "x"_a, "p"_a, "seed"_a, "offset"_a, "inner"_a = 1);
  def_op(m, "philox_uniform", &uniform, "shape"_a, "dtype"_a, "seed"_a, "offset"_a, "device"_a = "cpu");
  def_op(m, "philox_bits", &bits, "n"_a, "seed"_a, "offset"_a, "first_block"_a = 0, "device"_a = "cpu");
}

}  // namespace dlcore
