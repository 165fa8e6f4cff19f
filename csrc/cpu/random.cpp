// Random numbers and dropout on Philox: the mask is a function of (seed, offset, element), so backward
// computes it again instead of storing it.
#include "kernels/random.h"

#include "cpu/philox.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

constexpr int64_t kRandomChunk = 8192;  // a multiple of kGroup

}  // namespace

template <class T>
void dropout(const DropoutArgs& p) {
  const T* x = static_cast<const T*>(p.x);
  T* y = static_cast<T*>(p.y);
  const T scale = static_cast<T>(1 / (1 - p.p));
  // p 2^32, rounded; 2^32 itself (p = 1, or next to it) drops all, and then scale may be infinite.
  const uint64_t threshold = static_cast<uint64_t>(p.p * 4294967296.0 + 0.5);
  if (threshold >> 32) {
    parallel_for(p.n, kGrain, [&](int64_t b, int64_t e) {
      for (int64_t i = b; i < e; ++i) y[i] = x[i] * T(0);  // NaN stays
    });
    return;
  }
  const uint32_t least = static_cast<uint32_t>(threshold);
  if (p.inner == 1) {
    parallel_for(ceil_div(p.n, kRandomChunk), 1, [&](int64_t b, int64_t e) {
      uint32_t word[kGroup];
      for (int64_t i = b * kRandomChunk; i < min64(p.n, e * kRandomChunk); i += kGroup) {
        philox_group(static_cast<uint64_t>(i / kGroup), 0, p.seed, p.offset, word);
        each_vector<T>(0, min64(kGroup, p.n - i), [&](int64_t j, int lanes) {
          const Vec<T> factor = keep_lanes<T>(word + j, least) ? splat(scale) : Vec<T>{};
          store_upto(y + i + j, load_upto(x + i + j, lanes) * factor, lanes);
        });
      }
    });
    return;
  }
  const int64_t channels = p.n / p.inner;  // whole channels live or die
  parallel_for(channels, max64(1, kGrain / p.inner), [&](int64_t b, int64_t e) {
    uint32_t word[kGroup];
    for (int64_t c = b; c < e; ++c) {
      if (c == b || c % kGroup == 0)
        philox_group(static_cast<uint64_t>(c / kGroup), 0, p.seed, p.offset, word);
      const Vec<T> keep = splat(word[c % kGroup] >= least ? scale : T(0));
      each_vector<T>(c * p.inner, (c + 1) * p.inner,
                     [&](int64_t i, int lanes) { store_upto(y + i, load_upto(x + i, lanes) * keep, lanes); });
    }
  });
}

template <class T>
void random_fill(const RandomArgs& p) {
  const int per = p.kind == Random::uniform && sizeof(T) == 8 ? kGroup / 2 : kGroup;  // elements of one group
  parallel_for(ceil_div(p.n, per), kRandomChunk / kGroup, [&](int64_t b, int64_t e) {
    uint32_t word[kGroup];
    for (int64_t g = b; g < e; ++g) {
      philox_group(static_cast<uint64_t>(g), p.first, p.seed, p.offset, word);
      const int64_t at = g * per;
      const int n = static_cast<int>(min64(per, p.n - at));
      if (p.kind == Random::bits) {
        __builtin_memcpy(static_cast<uint32_t*>(p.y) + at, word, static_cast<size_t>(n) * 4);
      } else if constexpr (sizeof(T) == 4) {
        for (int i = 0; i < n; ++i) static_cast<T*>(p.y)[at + i] = static_cast<T>(word[i] >> 8) * T(0x1p-24);
      } else {
        for (int i = 0; i < n; ++i) {
          const uint64_t both = static_cast<uint64_t>(word[i]) << 21 ^ word[i + kGroup / 2] >> 11;
          static_cast<T*>(p.y)[at + i] = static_cast<T>(both) * T(0x1p-53);
        }
      }
    }
  });
}

DLCORE_INSTANTIATE_FLOATS(dropout, DropoutArgs)
DLCORE_INSTANTIATE_FLOATS(random_fill, RandomArgs)

}  // namespace DLCORE_ISA
}  // namespace dlcore
