// The GEMM's tile sizes per ISA, with the register budget that they spend. MR x NR elements of C live in
// registers; NR is a multiple of the vector; KC x NR of B is meant to stay in L1, MC x KC of A in L2, KC x NC
// of B in L3.
//
//   vectors  registers  float tile   accumulators + B + broadcast A
//   64 B     32         14 x 32      28 + 2 + (memory operand)
//   32 B     16          6 x 16      12 + 2 + 1
//   16 B     16 or 32    6 x 8       12 + 2 + 1
// double: the same count of vectors, half the columns.
// KC was chosen by measurement (docs/kernels.md): a longer KC saves passes over C, whose rows, a power of two
// apart, fall into few sets of L1; a sliver of B that outgrows L1 still streams from L2 in time.
#pragma once

#include "cpu/simd.h"

namespace dlcore {
namespace DLCORE_ISA {

template <class T>
struct Tile {
#if defined(__AVX512F__)
  static constexpr int MR = 14, MC = 14 * 19, KC = 2048 / sizeof(T);
#elif defined(__AVX2__)
  static constexpr int MR = 6, MC = 6 * 24, KC = 1536 / sizeof(T);
#else
  static constexpr int MR = 6, MC = 6 * 24, KC = 1024 / sizeof(T);
#endif
  static constexpr int NV = 2;  // vectors a row of the tile
  static constexpr int NR = NV * kLanes<T>;
  static constexpr int NC = 2048;
};

}  // namespace DLCORE_ISA
}  // namespace dlcore
