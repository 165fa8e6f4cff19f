// The sort kernels' arguments and list; conventions in kernels/common.h.
#pragma once

#include "kernels/common.h"

namespace dlcore {

// Order: NaN is the largest of all, -0 equals 0, and of equals the one with the smaller index comes first,
// also where `descending`. Rows have fewer than 2^32 elements.

// Each row of x in order, and where its elements stood.
struct SortArgs {
  const void* x;  // (rows, n), contiguous
  void* values;   // likewise
  int64_t* indices;
  int64_t rows, n;
  bool descending;
};

// The first k of each row in that order (descending: the k largest). 0 < k <= n.
struct TopkArgs {
  const void* x;  // (rows, n), contiguous
  void* values;   // (rows, k)
  int64_t* indices;
  int64_t rows, n, k;
  bool largest;
};

// One element of each row. number: the k-th smallest, from 0. median: the (n - 1) / 2-th, but the first NaN
// where there is one. nanmedian: the middle one of those that are not NaN, or NaN. n > 0.
enum class Rank : int { number = 0, median = 1, nanmedian = 2 };
struct RankArgs {
  const void* x;     // (rows, n), contiguous
  void* values;      // (rows,)
  int64_t* indices;  // (rows,)
  int64_t rows, n, k;
  Rank rank;
};

// y[r, i] = how many of sorted[r] are < x[r, i] (<= with `right`); NaN is the largest.
struct SearchArgs {
  const void* sorted;  // (rows, n), or (1, n) for all rows, ascending
  const void* x;       // (rows, m)
  int64_t* y;          // (rows, m)
  int64_t rows, n, m;
  bool shared, right;
};

// clang-format off
#define DLCORE_KERNELS_SORT(X)        \
  X(sort, SortArgs, ALL)              \
  X(topk, TopkArgs, ALL)              \
  X(kth, RankArgs, ALL)               \
  X(searchsorted, SearchArgs, ALL)
// clang-format on

}  // namespace dlcore
