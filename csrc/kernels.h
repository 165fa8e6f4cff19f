// The device-neutral interface: one Args struct a kernel, one list of kernels, struct Table.
// Plain data, compiled for every ISA and by nvcc; no Array, no Python, no exceptions, no std::.
//
// Conventions, stated once:
//   sizes and strides are int64_t and count elements; `T` is the kernel's dtype; pointers are void* to T
//   unless said; a pointer marked (optional) may be null; forward kernels overwrite their outputs; backward
//   kernels overwrite activation gradients (dx) and ACCUMULATE parameter gradients (dweight, dbias), which
//   the op has zeroed or the caller owns; no two of a kernel's buffers overlap unless its comment says so;
//   every size may be 0.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dlcore {

constexpr int kMaxDims = 8;

enum class DType : uint8_t { f32, f64, i32, i64, u8, b8, bf16 };
constexpr int kNumDTypes = 7;

// Activations that epilogues fuse. Their gradients follow from the OUTPUT alone, so nothing else is saved.
enum class Act : int { none = 0, relu = 1, sigmoid = 2, tanh = 3 };

template <class Args>
using KernelFn = void (*)(const Args&);

// One kernel's forms by dtype; null where there is none.
template <class Args>
struct Entry {
  KernelFn<Args> f[kNumDTypes];
  constexpr bool any() const {
    for (int i = 0; i < kNumDTypes; ++i)
      if (f[i]) return true;
    return false;
  }
};

// ---- copy
// ---------------------------------------------------------------------------------------------------------
// y[i...] = (T)x[i...]: strided copy with conversion from `x_dtype`. The op has collapsed the axes; the last
// is the fastest for y. xs may hold zeros (broadcast) and negative strides.
struct CopyArgs {
  const void* x;
  void* y;
  DType x_dtype;
  int ndim;
  int64_t shape[kMaxDims], xs[kMaxDims], ys[kMaxDims];
};

// ---- index
// ----------------------------------------------------------------------------------------------------------
// Indices are int64, contiguous, and within bounds: the op has checked them and made negative ones positive.
// y[o, i, :] = x[o, index[i], :] for x (outer, n, inner), index (m,), y (outer, m, inner).
struct TakeArgs {
  const void* x;
  const int64_t* index;
  void* y;
  int64_t outer, n, m, inner;
  int64_t x_os, x_rs;  // strides of x's two first axes; the inner elements are a run
};
// y[o, index[i], :] += x[o, i, :] (or = without accumulate), in the order of i: for equal indices the last
// one stays. y is contiguous.
struct PutArgs {
  const void* x;
  const int64_t* index;
  void* y;
  int64_t outer, n, m, inner;
  bool accumulate;
};
// y[..., i, ...] = x[..., index[..., i, ...], ...] along `axis`, everything but the index's own shape by
// strides; y and index are contiguous.
struct GatherArgs {
  const void* x;
  const int64_t* index;
  void* y;
  int ndim, axis;
  int64_t shape[kMaxDims], xs[kMaxDims];  // of index and y
};
// y[..., index[..., i, ...], ...] += x[..., i, ...] (or =), in the order of i along `axis`.
struct ScatterArgs {
  const void* x;
  const int64_t* index;
  void* y;
  int ndim, axis;
  int64_t shape[kMaxDims], xs[kMaxDims], is[kMaxDims], ys[kMaxDims];  // shape of index
  bool accumulate;
};
// y[b, i, j] = x[b, i, j] where j - i <= diagonal (lower) or >= diagonal (upper), else 0; both contiguous.
struct TriangleArgs {
  const void* x;
  void* y;
  int64_t batch, rows, cols, diagonal;
  bool lower;
};

// ---- elementwise
// ----------------------------------------------------------------------------------------------------
// Operands broadcast by strides of 0. The op has sorted the axes by y's strides and collapsed them: ndim >=
// 1, y's last stride is 1, the inputs' last strides are 0 or 1. y may be one of the inputs if their strides
// agree.

// y[0..n) = d, or i for integer types.
struct FillArgs {
  void* y;
  int64_t n;
  double d;
  int64_t i;
};

// floor_divide, remainder: Python's, the sign of the divisor; an integer divided by 0 gives 0 (the op has
// refused it).
// clang-format off
#define DLCORE_BINARY(X)                                                                                      \
  X(add) X(sub) X(mul) X(div) X(maximum) X(minimum) X(floor_divide) X(remainder) X(fmod) X(pow) X(atan2)      \
  X(logical_and) X(logical_or) X(logical_xor)
// clang-format on
enum class Binary : int {
#define DLCORE_ENUM(name) name,
  DLCORE_BINARY(DLCORE_ENUM)
#undef DLCORE_ENUM
};

// y = a op b
struct BinaryArgs {
  Binary op;
  const void* a;
  const void* b;
  void* y;
  int ndim;
  int64_t shape[kMaxDims], as[kMaxDims], bs[kMaxDims], ys[kMaxDims];
};

// y (bool) = a op b
enum class Compare : int { eq, ne, lt, le, gt, ge };
struct CompareArgs {
  Compare op;
  const void* a;
  const void* b;
  bool* y;
  int ndim;
  int64_t shape[kMaxDims], as[kMaxDims], bs[kMaxDims], ys[kMaxDims];
};

// y = condition ? a : b
struct WhereArgs {
  const bool* condition;
  const void* a;
  const void* b;
  void* y;
  int ndim;
  int64_t shape[kMaxDims], cs[kMaxDims], as[kMaxDims], bs[kMaxDims], ys[kMaxDims];
};

// y = op(x); p and q are the parameters of those that have some (slopes, bounds, thresholds). Integer types
// have neg, abs, square, sign, relu, clamp alone; `sigmoid` and `tanh` in the backward read the output, see
// UnaryBackwardArgs.
// clang-format off
#define DLCORE_UNARY(X)                                                                                        \
  X(neg) X(abs) X(square) X(sign) X(relu) X(clamp)                                                             \
  X(exp) X(expm1) X(log) X(log1p) X(log2) X(log10) X(sqrt) X(rsqrt) X(reciprocal) X(sin) X(cos) X(tan)         \
  X(tanh) X(sigmoid) X(erf) X(floor) X(ceil) X(round) X(trunc)                                                 \
  X(gelu) X(gelu_tanh) X(silu) X(softplus) X(leaky_relu) X(elu) X(hardtanh) X(hardswish) X(hardsigmoid)        \
  X(mish) X(softsign) X(logsigmoid) X(threshold)
// clang-format on
enum class Unary : int {
#define DLCORE_ENUM(name) name,
  DLCORE_UNARY(DLCORE_ENUM)
#undef DLCORE_ENUM
};

struct UnaryArgs {
  Unary op;
  const void* x;
  void* y;
  int ndim;
  int64_t shape[kMaxDims], xs[kMaxDims], ys[kMaxDims];
  double p, q;
};

// dx = dy op'(x) in one pass. `saved` is the output y for relu, exp, expm1, sqrt, rsqrt, reciprocal, tan,
// tanh, sigmoid and the input x for the others.
struct UnaryBackwardArgs {
  Unary op;
  const void* dy;
  const void* saved;
  void* dx;
  int ndim;
  int64_t shape[kMaxDims], gs[kMaxDims], ss[kMaxDims], ys[kMaxDims];
  double p, q;
};

// ---- reduce
// ---------------------------------------------------------------------------------------------------------
// sumsq: the sum of (x - shift)^2, shift one value an output (optional, 0). max and min let NaN through.
enum class Reduce : int { sum, prod, max, min, sumsq };

// y[kept...] = op over the reduced axes of x[kept..., reduced...]. y is contiguous in the order of the kept
// axes. The axis of x with stride 1, if any, is the last of its group. bool has max (any) and min (all)
// alone.
struct ReduceArgs {
  Reduce op;
  const void* x;
  void* y;
  const void* shift;  // like y (optional)
  double divisor;     // of the result, for means (0: none)
  int kept_ndim, reduced_ndim;
  int64_t kept[kMaxDims], kept_strides[kMaxDims], reduced[kMaxDims], reduced_strides[kMaxDims];
};

// indices[o, i] = the first k with the largest (smallest) x[o, k, i]; NaN is the largest and the smallest. x
// contiguous, n > 0.
struct ArgReduceArgs {
  bool largest;
  const void* x;     // (outer, n, inner)
  void* values;      // (outer, inner) (optional)
  int64_t* indices;  // (outer, inner)
  int64_t outer, n, inner;
};

// y[o, k, i] = op of x[o, 0..k, i]; of x[o, k.., i] with reverse; without x[o, k, i] itself with exclusive. y
// may be x.
struct ScanArgs {
  Reduce op;  // sum or prod
  bool reverse, exclusive;
  const void* x;  // (outer, n, inner), contiguous
  void* y;        // likewise
  int64_t outer, n, inner;
};

// ---- matmul
// -------------------------------------------------------------------------------------------------------
// C[b] (M,N) = act(A[b] (M,K) @ B[b] (K,N) + bias), b a batch index of up to kMaxDims-2 axes.
// A and B take any strides (0 and negative included); C has unit column stride unless c_cs says otherwise.
// accumulate: C += A @ B (no bias, no act). Without it C is never read.
struct MatmulArgs {
  const void* a;
  const void* b;
  void* c;
  int64_t M, N, K;
  int64_t a_rs, a_cs, b_rs, b_cs, c_rs, c_cs;
  int batch_ndim;
  int64_t batch_shape[kMaxDims], a_bs[kMaxDims], b_bs[kMaxDims], c_bs[kMaxDims];
  const void* bias;  // (N,) contiguous (optional)
  Act act;
  bool accumulate;
};

// ---- conv
// -----------------------------------------------------------------------------------------------------------
// y[n,o,p,q] = act(sum_{c,r,s} x[n, c, p * stride_h + r * dil_h - pad_h, q * stride_w + s * dil_w - pad_w]
// w[o,c,r,s]
//              + bias[o]), zeros outside x; the padding behind follows from P and Q. groups divides C and O.
//   conv_forward          reads x, w, bias (optional); writes y
//   conv_backward_input   reads y (the gradient), w; writes x (the input's gradient)
//   conv_backward_weight  reads x, y (the gradient); accumulates into w and bias (optional)
// The backward kernels take the gradient behind the activation: `out` is the forward's result (needed for act
// only). Any strides; unit stride along channels in x and y (channels-last) is the fastest.
struct ConvArgs {
  void* x;
  void* w;
  void* y;
  void* bias;
  const void* out;
  int64_t N, C, H, W, O, P, Q, R, S, groups;
  int64_t stride_h, stride_w, pad_h, pad_w, dil_h, dil_w;
  int64_t xs[4], ws[4], ys[4], os[4];  // (N,C,H,W), (O,C/groups,R,S), (N,O,P,Q), (N,O,P,Q)
  Act act;
};

// ---- pool
// -----------------------------------------------------------------------------------------------------------
// Windows along one axis: output o sees start + i * dilation for 0 <= i < kernel, start = o * stride -
// before, as far as that lies in [0, in). kernel == 0 means adaptive windows: [floor(o in / out), ceil((o +
// 1) in / out)).
struct PoolAxis {
  int64_t in, out, kernel, stride, before, after, dilation;
};
// What a max pooling keeps for its backward, laid out as y: the position inside the window (uint8_t, i_h *
// kernel_w + i_w, at most 256 of them; not adaptive), or in the plane (int64_t, h * W + w).
enum class PoolSave : int { none = 0, offsets = 1, indices = 2 };

// 1-d pooling has a height of 1. Either the columns or, where channels_last, the channels have unit stride in
// x, y (and dx, dy); x holds the input's side (x or dx) and y the output's (y or dy).
struct PoolShape {
  int64_t N, C;
  PoolAxis h, w;
  int64_t x_ns, x_cs, x_hs, x_ws, y_ns, y_cs, y_hs, y_ws;
  bool channels_last;
  PoolSave save;           // max pooling: the form of `saved`
  bool count_include_pad;  // average pooling: the divisor counts padding (not what ceil_mode adds beyond it)
  int64_t divisor;         // average pooling: replaces the count where it is not 0
};
// max_pool_forward, avg_pool_forward. The first maximum in row-major order wins; NaN wins over all.
struct PoolArgs : PoolShape {
  const void* x;
  void* y;
  void* saved;  // (optional) see PoolSave
};
// max_pool_backward, avg_pool_backward: overwrite dx. Positions outside the plane are ignored.
struct PoolBackwardArgs : PoolShape {
  const void* dy;
  const void* saved;  // max pooling only
  void* dx;
};

// ---- softmax
// -------------------------------------------------------------------------------------------------------- y
// = softmax(x), or log_softmax(x), over the middle axis of (outer, n, inner), all contiguous.
struct SoftmaxArgs {
  const void* x;
  void* y;
  int64_t outer, n, inner;
  bool log;
};
// From the output alone.
struct SoftmaxBackwardArgs {
  const void* y;
  const void* dy;
  void* dx;
  int64_t outer, n, inner;
  bool log;
};

// ---- loss
// -----------------------------------------------------------------------------------------------------------
enum class Reduction : int { none = 0, mean = 1, sum = 2 };

// Softmax and cross-entropy in one: logits x (outer, n, inner), the class in the middle, all contiguous.
// Targets are class indices (outer, inner), or probabilities of x's shape; exactly one of the two is given.
// A label that is ignore_index (or, should memory have changed since the op looked, out of range) costs
// nothing. log_probs: x already holds log-probabilities (nll_loss): no softmax, indices only, no smoothing;
// stats unused.
struct CrossEntropyArgs {
  const void* x;
  const int64_t* target;  // (optional)
  const void* prob;       // (optional)
  const void* weight;     // (n,) (optional)
  void* loss;             // (outer, inner): each sample's
  void* stats;            // (outer, inner, 2): max of the logits, sum of e^(x - max); all that backward needs
  void* total;            // the reduced loss; not written for Reduction::none
  void* divisor;          // what the mean divides by: the weights of the labels that count, or outer * inner
  int64_t outer, n, inner, ignore_index;
  double smoothing;
  Reduction reduction;
  bool log_probs;
};
// dx from the gradient of the loss: (outer, inner) for Reduction::none, one number otherwise.
struct CrossEntropyBackwardArgs {
  const void* x;
  const int64_t* target;  // (optional)
  const void* prob;       // (optional)
  const void* weight;     // (n,) (optional)
  const void* stats;
  const void* divisor;
  const void* dloss;
  void* dx;
  int64_t outer, n, inner, ignore_index;
  double smoothing;
  Reduction reduction;
  bool log_probs;
};

// ---- random
// ---------------------------------------------------------------------------------------------------------
// Element i's random word is Philox4x32-10 of the key `seed` (two 32-bit words, low first) at the counter (b,
// offset), b = first + 16 (i / 64) + i % 16 in its low two words, word (i % 64) / 16 of the four: sixteen
// neighbours are one word of sixteen counters, which every vector width can make without a shuffle. dropout:
// y = x * keep / (1 - p), keep = word >= p 2^32, the word of channel i / inner; x may be y.
struct DropoutArgs {
  const void* x;
  void* y;
  int64_t n, inner;
  double p;
  uint64_t seed, offset;
};
enum class Random : int { bits = 0, uniform = 1 };
// bits: int32 words as they come. uniform: in [0, 1), 24 bits for float32 (the word's high ones); 53 for
// float64 (of the words i and i + 32 of the 64 that serve 32 elements).
struct RandomArgs {
  void* y;
  int64_t n;
  Random kind;
  uint64_t seed, offset, first;
};

// ---- optim
// ----------------------------------------------------------------------------------------------------------
// Arrays of pointers, one an array; all contiguous and of one dtype. first[t] is the number of chunks of
// kOptimChunk elements in the arrays before t, first[count] in all of them.
constexpr int64_t kOptimChunk = 16384;
enum class Optim : int { sgd, adam, nadam, radam, adamax, rmsprop, adagrad, adadelta };
struct OptimArgs {
  Optim kind;
  int count;
  void* const* param;
  const void* const* grad;
  void* const* state[3];  // which, see csrc/cpu/optim.cpp (optional)
  const int64_t* size;
  const int64_t* first;
  const double* coef;  // (count, 4): what follows from each parameter's own step
  double h[4];         // the rule's constants
  double lr, weight_decay;
  bool decoupled;  // weight decay shrinks the parameter instead of joining the gradient
  bool maximize;
  bool flag;  // sgd: nesterov; adam: amsgrad; rmsprop: centered
};
// norm = (sum |x|^order)^(1 / order) over all elements of all arrays; order 0: the largest |x|.
struct MultiNormArgs {
  const void* const* x;
  const int64_t* size;
  const int64_t* first;
  int count;
  double order;
  double* norm;
};
// x *= factor, or x = min(max(x, low), high), in place.
struct MultiScaleArgs {
  void* const* x;
  const int64_t* size;
  const int64_t* first;
  int count;
  bool clamp;
  double factor, low, high;
};

// ---- peak
// -----------------------------------------------------------------------------------------------------------
// What the machine can do at most, measured: the limits that `dlcore bench` compares every kernel with.
// y[i] = the mean of kFmaChains independent recurrences v <- 0.75 v + 0.25, `steps` long, that start at
// x[i] + c / 16 (c the chain) and live in registers: 2 * steps * kFmaChains * lanes operations an element.
constexpr int kFmaChains = 12;
struct FmaPeakArgs {
  const void* x;
  void* y;
  int64_t n, steps;
};
// z[i] = x[i] + scale * y[i], with stores that bypass the caches where z is aligned to a vector.
struct StreamTriadArgs {
  const void* x;
  const void* y;
  void* z;
  int64_t n;
  double scale;
};

// ---- the list
// -------------------------------------------------------------------------------------------------------
// X(name, Args, dtypes): FLOATS is float32 and float64, ALL adds int32, int64, uint8 and bool.
// Makes the fields of Table, the declarations of the kernels, the names in errors, and what Python's
// `dlcore._C.kernel_names()` returns. tests/test_cases.py compares it with the OpCases.
// clang-format off
#define DLCORE_KERNELS_COPY(X)        \
  X(copy, CopyArgs, ALL)
#define DLCORE_KERNELS_INDEX(X)       \
  X(take, TakeArgs, ALL)              \
  X(put, PutArgs, ALL)                \
  X(gather, GatherArgs, ALL)          \
  X(scatter, ScatterArgs, ALL)        \
  X(triangle, TriangleArgs, ALL)
#define DLCORE_KERNELS_ELEMENTWISE(X) \
  X(fill, FillArgs, ALL)              \
  X(binary, BinaryArgs, ALL)          \
  X(compare, CompareArgs, ALL)        \
  X(where, WhereArgs, ALL)            \
  X(unary, UnaryArgs, ALL)            \
  X(unary_backward, UnaryBackwardArgs, FLOATS)
#define DLCORE_KERNELS_REDUCE(X)      \
  X(reduce, ReduceArgs, ALL)          \
  X(arg_reduce, ArgReduceArgs, ALL)   \
  X(scan, ScanArgs, ALL)
#define DLCORE_KERNELS_MATMUL(X)      \
  X(matmul, MatmulArgs, FLOATS)
#define DLCORE_KERNELS_CONV(X)                 \
  X(conv_forward, ConvArgs, FLOATS)            \
  X(conv_backward_input, ConvArgs, FLOATS)     \
  X(conv_backward_weight, ConvArgs, FLOATS)
#define DLCORE_KERNELS_POOL(X)                  \
  X(max_pool_forward, PoolArgs, FLOATS)         \
  X(max_pool_backward, PoolBackwardArgs, FLOATS) \
  X(avg_pool_forward, PoolArgs, FLOATS)         \
  X(avg_pool_backward, PoolBackwardArgs, FLOATS)
#define DLCORE_KERNELS_SOFTMAX(X)     \
  X(softmax_forward, SoftmaxArgs, FLOATS) \
  X(softmax_backward, SoftmaxBackwardArgs, FLOATS)
#define DLCORE_KERNELS_LOSS(X)        \
  X(cross_entropy_forward, CrossEntropyArgs, FLOATS) \
  X(cross_entropy_backward, CrossEntropyBackwardArgs, FLOATS)
#define DLCORE_KERNELS_RANDOM(X)      \
  X(dropout, DropoutArgs, FLOATS)     \
  X(random_fill, RandomArgs, FLOATS)
#define DLCORE_KERNELS_OPTIM(X)       \
  X(optim_step, OptimArgs, FLOATS)    \
  X(multi_norm, MultiNormArgs, FLOATS) \
  X(multi_scale, MultiScaleArgs, FLOATS)

#define DLCORE_KERNELS_PEAK(X)        \
  X(fma_peak, FmaPeakArgs, FLOATS)    \
  X(stream_triad, StreamTriadArgs, FLOATS)

#define DLCORE_KERNELS(X)             \
  DLCORE_KERNELS_COPY(X)              \
  DLCORE_KERNELS_INDEX(X)             \
  DLCORE_KERNELS_ELEMENTWISE(X)       \
  DLCORE_KERNELS_REDUCE(X)            \
  DLCORE_KERNELS_MATMUL(X)            \
  DLCORE_KERNELS_CONV(X)              \
  DLCORE_KERNELS_POOL(X)              \
  DLCORE_KERNELS_SOFTMAX(X)           \
  DLCORE_KERNELS_LOSS(X)              \
  DLCORE_KERNELS_RANDOM(X)            \
  DLCORE_KERNELS_OPTIM(X)             \
  DLCORE_KERNELS_PEAK(X)
// clang-format on

struct Table {
  const char* name;  // the ISA ("x86_64_v3") or "cuda"
#define DLCORE_FIELD(name, Args, dtypes) Entry<Args> name;
  DLCORE_KERNELS(DLCORE_FIELD)
#undef DLCORE_FIELD
};

// Memory and streams of a device that is not the host; filled by csrc/cuda/table.cu.
// Functions that can fail return null on success or a message that lives forever.
struct DeviceApi {
  int (*device_count)(const char** error);
  const char* (*allocate)(void** p, size_t bytes, int device);
  const char* (*release)(void* p, int device);
  const char* (*to_device)(void* dst, const void* src, size_t bytes,
                           int device);  // ordered after earlier kernels
  const char* (*to_host)(void* dst, const void* src, size_t bytes,
                         int device);  // returns when the bytes are here
  const char* (*synchronize)(int device);
  const char* (*last_error)();          // of launches since the last call
  const char* (*describe)(int device);  // name, memory, compute capability
};

}  // namespace dlcore
