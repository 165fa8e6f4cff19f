#include "array.h"

#include <cstdio>

#include "check.h"
#include "kept.h"
#include "memory.h"

namespace dlcore {

Dims::Dims(std::initializer_list<int64_t> values) {
  for (int64_t x : values) push(x);
}

Dims Dims::filled(int n, int64_t value) {
  Dims d;
  for (int i = 0; i < n; ++i) d.push(value);
  return d;
}

bool Dims::operator==(const Dims& o) const {
  if (n != o.n) return false;
  for (int i = 0; i < n; ++i)
    if (v[i] != o.v[i]) return false;
  return true;
}

void Dims::push(int64_t value) {
  if (n == kMaxDims) throw ValueError("array: at most 8 dimensions are supported");
  v[n++] = value;
}

int64_t Dims::product() const {
  int64_t p = 1;
  bool overflow = false;
  for (int i = 0; i < n; ++i) {
    if (v[i] < 0) value_error("array", "sizes must not be negative", {{"shape", *this}});
    if (v[i] == 0) return 0;
  }
  for (int i = 0; i < n; ++i) overflow |= __builtin_mul_overflow(p, v[i], &p);
  if (overflow) value_error("array", "the number of elements must fit in 63 bits", {{"shape", *this}});
  return p;
}

std::string Dims::str() const {
  std::string s = "(";
  for (int i = 0; i < n; ++i) s += (i ? ", " : "") + std::to_string(v[i]);
  return s + (n == 1 ? ",)" : ")");
}

std::string Device::str() const { return kind == cpu ? "cpu" : "cuda:" + std::to_string(index); }

Device parse_device(const std::string& text) {
  if (text == "cpu") return {};
  if (text == "cuda") return {Device::cuda, 0};
  if (text.rfind("cuda:", 0) == 0 && text.size() > 5 && text.size() < 9 &&
      text.find_first_not_of("0123456789", 5) == std::string::npos)
    return {Device::cuda, std::stoi(text.substr(5))};
  throw ValueError("device must be 'cpu', 'cuda' or 'cuda:N', got '" + text + "'");
}

size_t item_size(DType t) {
  static constexpr size_t sizes[kNumDTypes] = {4, 8, 4, 8, 1, 1, 2};
  return sizes[static_cast<int>(t)];
}

const char* dtype_name(DType t) {
  static constexpr const char* names[kNumDTypes] = {"float32", "float64", "int32",   "int64",
                                                    "uint8",   "bool",    "bfloat16"};
  return names[static_cast<int>(t)];
}

Storage::Storage(size_t bytes, Device device)
    : data_(allocate(bytes, device)), bytes_(bytes), device_(device), ours_(true) {}

Storage::Storage(void* data, size_t bytes, Device device, bool writable, std::shared_ptr<void> owner)
    : data_(data),
      bytes_(bytes),
      device_(device),
      writable_(writable),
      ours_(false),
      owner_(std::move(owner)) {}

Storage::~Storage() {
  if (kept_) forget_kept(this);
  if (ours_) deallocate(data_, bytes_, device_);
}

static std::atomic<int64_t> g_clock{0};
int64_t write_clock() { return g_clock.load(std::memory_order_relaxed); }
TapeState& tape_state() {
  thread_local TapeState state;
  return state;
}

void Array::touch() const {
  if (storage_) storage_->note_change();
  if (!storage_ || untracked_ || tape_state().walking || storage_->written() == kNever) return;
  storage_->set_written(g_clock.fetch_add(1, std::memory_order_relaxed) + 1);
}
void Array::supersede() const {
  g_clock.fetch_add(1, std::memory_order_relaxed);  // so that a backward looks
  if (storage_) storage_->set_written(kNever);
}
Array Array::tracked(bool on) const {
  Array a = *this;
  a.untracked_ = !on;
  return a;
}
void Array::refuse() const {
  if (tape_state().guard != kNever)
    throw std::runtime_error(
        "one of the variables needed for gradient computation has been modified by an inplace operation, "
        "got " +
        str() + " changed after the forward; use a copy (clone()) or an operation that is not in place");
  throw std::runtime_error(
      "in place: this memory was changed through another tensor that shares it, while gradients were "
      "recorded, "
      "got " +
      str() + "; change a clone() instead, or assign to the whole tensor");
}

Dims row_major(const Dims& shape) {
  Dims s = Dims::filled(shape.n, 1);
  for (int i = shape.n - 2; i >= 0; --i) s[i] = s[i + 1] * (shape[i + 1] > 0 ? shape[i + 1] : 1);
  return s;
}

Array Array::empty(const Dims& shape, DType dtype, Device device) {
  Array a;
  a.numel_ = shape.product();
  int64_t bytes = 0;
  if (__builtin_mul_overflow(a.numel_, static_cast<int64_t>(item_size(dtype)), &bytes))
    throw std::bad_alloc();
  a.storage_ = std::make_shared<Storage>(static_cast<size_t>(bytes), device);
  a.data_ = a.storage_->data();
  a.dtype_ = dtype;
  a.shape_ = shape;
  a.strides_ = row_major(shape);
  return a;
}

Array Array::foreign(void* data, const Dims& shape, const Dims& strides, DType dtype, Device device,
                     bool writable, std::shared_ptr<void> owner) {
  Array a;
  a.numel_ = shape.product();
  a.storage_ =
      std::make_shared<Storage>(data, a.numel_ * item_size(dtype), device, writable, std::move(owner));
  a.data_ = data;
  a.dtype_ = dtype;
  a.shape_ = shape;
  a.strides_ = strides;
  return a;
}

bool Array::contiguous() const {
  int64_t expected = 1;
  if (numel_ == 0) return true;
  for (int i = shape_.n - 1; i >= 0; --i) {
    if (shape_[i] != 1 && strides_[i] != expected) return false;
    expected *= shape_[i];
  }
  return true;
}

Array Array::view(const Dims& shape, const Dims& strides, int64_t offset) const {
  Array a = *this;
  a.shape_ = shape;
  a.strides_ = strides;
  a.numel_ = shape.product();
  a.data_ = static_cast<char*>(data_) + offset * static_cast<int64_t>(item_size(dtype_));
  return a;
}

Array Array::transpose(int i, int j) const {
  Array a = *this;
  std::swap(a.shape_[i], a.shape_[j]);
  std::swap(a.strides_[i], a.strides_[j]);
  return a;
}

Array Array::permute(const Dims& axes) const {
  Array a = *this;
  for (int i = 0; i < axes.n; ++i) {
    a.shape_[i] = shape_[static_cast<int>(axes[i])];
    a.strides_[i] = strides_[static_cast<int>(axes[i])];
  }
  return a;
}

Array Array::broadcast_to(const char* op, const Dims& shape) const {
  const int lead = shape.n - shape_.n;
  if (lead < 0)
    value_error(op, "shape " + shape_.str() + " must broadcast to " + shape.str(), {{"x", *this}});
  Dims s = Dims::filled(shape.n, 0);
  for (int i = 0; i < shape_.n; ++i) {
    if (shape_[i] == shape[lead + i])
      s[lead + i] = strides_[i];
    else if (shape_[i] != 1)
      value_error(op, "shape must broadcast to " + shape.str(), {{"x", *this}});
  }
  return view(shape, s);
}

std::string Array::str() const { return shape_.str() + " " + dtype_name(dtype_) + " " + device().str(); }

Dims broadcast_shapes(const char* op, const Dims& a, const Dims& b) {
  Dims out = Dims::filled(std::max(a.n, b.n), 1);
  for (int i = 1; i <= out.n; ++i) {
    const int64_t x = i <= a.n ? a[a.n - i] : 1, y = i <= b.n ? b[b.n - i] : 1;
    if (x != y && x != 1 && y != 1) value_error(op, "shapes must broadcast together", {{"a", a}, {"b", b}});
    out[out.n - i] = x == 1 ? y : x;
  }
  return out;
}

int normalize_axis(const char* op, int64_t axis, int ndim) {
  const int n = ndim == 0 ? 1 : ndim;  // a scalar takes axis 0 and -1, as in torch
  if (axis < -n || axis >= n)
    index_error(op, "axis must lie in [" + std::to_string(-n) + ", " + std::to_string(n - 1) + "]",
                {{"axis", axis}});
  return static_cast<int>(axis < 0 ? axis + n : axis);
}

// ---- check.h
// -----------------------------------------------------------------------------------------------------------

Got::Got(const char* name, double v) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%s=%g", name, v);
  text = buffer;
}

std::string message(const char* op, const std::string& must, std::initializer_list<Got> got) {
  std::string s = std::string(op) + ": " + must;
  const char* separator = ", got ";
  for (const Got& g : got) {
    s += separator + g.text;
    separator = ", ";
  }
  return s;
}

void check_ndim(const char* op, const char* name, const Array& a, int ndim) {
  if (a.ndim() != ndim)
    value_error(op, std::string(name) + " must have " + std::to_string(ndim) + " dimensions", {{name, a}});
}

void check_floating(const char* op, const char* name, const Array& a) {
  if (a.dtype() != DType::f32 && a.dtype() != DType::f64)
    type_error(op, std::string(name) + " must be float32 or float64", {{name, a}});
}

void check_same_dtype(const char* op, const char* an, const Array& a, const char* bn, const Array& b) {
  if (a.dtype() != b.dtype())
    type_error(op, std::string(bn) + " must have the dtype of " + an, {{an, a}, {bn, b}});
}

void check_same_device(const char* op, const char* an, const Array& a, const char* bn, const Array& b) {
  if (!(a.device() == b.device()))
    device_error(op, std::string(bn) + " must be on the device of " + an, {{an, a}, {bn, b}});
}

void check_same(const char* op, const char* an, const Array& a, const char* bn, const Array& b) {
  check_same_dtype(op, an, a, bn, b);
  check_same_device(op, an, a, bn, b);
}

void check_shape(const char* op, const char* name, const Array& a, const Dims& shape) {
  if (!(a.shape() == shape))
    value_error(op, std::string(name) + " must have shape " + shape.str(), {{name, a}});
}

void check_writable(const char* op, const char* name, const Array& a) {
  if (!a.writable()) value_error(op, std::string(name) + " must be writable", {{name, a}});
  a.touch();
}

}  // namespace dlcore
