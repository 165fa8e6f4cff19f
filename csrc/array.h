// Array: a strided view of a reference-counted buffer on one device. Shapes and strides count elements, not
// bytes. It knows nothing of gradients (dlcore.Tensor does) and nothing of Python (bind.cpp does).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <memory>
#include <string>

#include "kernels/common.h"

namespace dlcore {

// A shape, or strides: at most kMaxDims numbers, kept inline so that an Array costs one allocation.
struct Dims {
  int n = 0;
  int64_t v[kMaxDims] = {};

  Dims() = default;
  Dims(std::initializer_list<int64_t> values);
  static Dims filled(int n, int64_t value);
  int64_t& operator[](int i) { return v[i]; }
  int64_t operator[](int i) const { return v[i]; }
  bool operator==(const Dims& o) const;
  void push(int64_t value);  // ValueError beyond kMaxDims
  int64_t product() const;   // ValueError on overflow or a negative size
  const int64_t* begin() const { return v; }
  const int64_t* end() const { return v + n; }
  std::string str() const;  // "(2, 3)" as Python prints it
};

struct Device {
  enum Kind : uint8_t { cpu = 0, cuda = 1 };
  Kind kind = cpu;
  int index = 0;
  bool operator==(const Device& o) const { return kind == o.kind && index == o.index; }
  std::string str() const;
};
Device parse_device(const std::string& text);  // "cpu", "cuda", "cuda:1"; ValueError otherwise

size_t item_size(DType t);
const char* dtype_name(DType t);  // NumPy's names
inline bool is_floating(DType t) { return t == DType::f32 || t == DType::f64 || t == DType::bf16; }

// When memory was changed in place, for the tape. A write to an existing array stamps its storage with the
// next tick of one clock; a backward sets the thread's guard to the tick at which its forward was recorded,
// and an op that is given an array stamped later refuses it. What the tape's walk itself writes is not
// stamped.
constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
int64_t write_clock();
struct TapeState {
  int64_t guard = kNever;
  bool walking = false;
};
TapeState& tape_state();  // this thread's

// The buffer. `owner` keeps foreign memory (a NumPy array, a DLPack capsule) alive.
class Storage {
 public:
  Storage(size_t bytes, Device device);  // ours, uninitialised
  Storage(void* data, size_t bytes, Device device, bool writable, std::shared_ptr<void> owner);  // theirs
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  Device device() const { return device_; }
  bool writable() const { return writable_; }
  bool ours() const { return ours_; }
  int64_t written() const { return written_.load(std::memory_order_relaxed); }
  void set_written(int64_t tick) { written_.store(tick, std::memory_order_relaxed); }

  // What may be kept of this memory (kept.h): nothing while others can write to it unseen, and not for longer
  // than `changes` stays the same. Every write in place counts, the untracked ones as well.
  int64_t changes() const { return changes_.load(std::memory_order_relaxed); }
  void note_change() { changes_.fetch_add(1, std::memory_order_relaxed); }
  void lend() { lent_.fetch_add(1, std::memory_order_relaxed); }  // to NumPy, or through DLPack
  void give_back() { note_change(), lent_.fetch_sub(1, std::memory_order_relaxed); }
  bool private_memory() const { return ours_ && lent_.load(std::memory_order_relaxed) == 0; }
  void set_kept() { kept_.store(true, std::memory_order_relaxed); }

 private:
  void* data_;
  size_t bytes_;
  Device device_;
  std::atomic<int64_t> written_{0}, changes_{0};
  std::atomic<int> lent_{0};
  std::atomic<bool> kept_{false};  // is anything kept of it?
  bool writable_ = true;
  bool ours_;
  std::shared_ptr<void> owner_;
};

class Array {
 public:
  Array() = default;
  static Array empty(const Dims& shape, DType dtype, Device device = {});  // row-major, uninitialised
  static Array empty_like(const Array& a) { return empty(a.shape(), a.dtype(), a.device()); }
  static Array foreign(void* data, const Dims& shape, const Dims& strides, DType dtype, Device device,
                       bool writable, std::shared_ptr<void> owner);

  DType dtype() const { return dtype_; }
  Device device() const { return storage_ ? storage_->device() : Device{}; }
  int ndim() const { return shape_.n; }
  const Dims& shape() const { return shape_; }
  const Dims& strides() const { return strides_; }
  int64_t dim(int i) const { return shape_[i < 0 ? i + shape_.n : i]; }
  int64_t stride(int i) const { return strides_[i < 0 ? i + strides_.n : i]; }
  int64_t numel() const { return numel_; }
  bool writable() const { return !storage_ || storage_->writable(); }
  void* data() const { return data_; }
  template <class T>
  T* ptr() const {
    return static_cast<T*>(data_);
  }
  bool defined() const { return storage_ != nullptr; }
  bool exclusive() const {
    return storage_.use_count() == 1 && storage_->ours();
  }  // nothing else sees this memory
  bool shares_storage(const Array& o) const { return storage_ == o.storage_; }
  Storage* storage() const { return storage_.get(); }
  int64_t written() const { return storage_ && !untracked_ ? storage_->written() : 0; }
  void touch() const;             // its memory is about to be changed in place
  void supersede() const;         // nobody may read this memory any more
  Array tracked(bool on) const;   // the same memory, outside of all this where `on` is false
  void check_unwritten() const {  // std::runtime_error in a backward whose forward saw other values
    if (storage_ && storage_->written() >= tape_state().guard && !untracked_) refuse();
  }

  bool contiguous() const;  // row-major without gaps (axes of size 1 do not matter)
  // The same buffer seen otherwise; `offset` in elements. Bounds are the caller's to have checked.
  Array view(const Dims& shape, const Dims& strides, int64_t offset = 0) const;
  Array transpose(int a, int b) const;
  Array permute(const Dims& axes) const;
  Array broadcast_to(const char* op, const Dims& shape) const;  // stride 0 on the axes that grow; ValueError
  std::string str() const;  // "(2, 3) float32 cpu", the end of every error message

 private:
  [[noreturn]] void refuse() const;
  std::shared_ptr<Storage> storage_;
  void* data_ = nullptr;
  DType dtype_ = DType::f32;
  bool untracked_ = false;
  Dims shape_, strides_;
  int64_t numel_ = 1;
};

Dims row_major(const Dims& shape);
Dims broadcast_shapes(const char* op, const Dims& a, const Dims& b);  // NumPy's rule; ValueError
int normalize_axis(const char* op, int64_t axis, int ndim);  // negative axes; IndexError (AxisError's base)

// Copies between strides, dtypes and devices (csrc/ops/copy.cpp).
Array contiguous(const Array& a);         // itself where it already is
Array cast(const Array& a, DType dtype);  // itself where it already is
Array to_device(const Array& a, Device device);
void copy_into(const Array& dst, const Array& src);  // broadcasts src, converts its dtype

}  // namespace dlcore
