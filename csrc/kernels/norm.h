// The norm kernels' arguments and list; conventions in kernels/common.h.
#pragma once

#include "kernels/common.h"

namespace dlcore {

// y = (x - mean) rstd w + b over each contiguous row of n; rms: mean is 0 and rstd = (mean(x^2) + eps)^-1/2.
// Row r takes the weights (r % groups) * n and on: groups is 1 for layer norm, and G for a group norm of
// (N, C) seen as (N G, C / G).
struct RowNormArgs {
  const void* x;
  const void* weight;  // (groups, n) (optional)
  const void* bias;    // (groups, n) (optional)
  void* y;
  void* mean;  // (rows) (optional where rms)
  void* rstd;  // (rows)
  int64_t rows, n, groups;
  double eps;
  bool rms;
};
struct RowNormBackwardArgs {
  const void* dy;
  const void* x;
  const void* mean;  // (rows) (null where rms)
  const void* rstd;
  const void* weight;  // (groups, n) (optional)
  void* dx;            // (optional)
  void* dweight;       // (groups, n) (optional)
  void* dbias;         // (groups, n) (optional)
  int64_t rows, n, groups;
};

// x as (N, C, S), channels-first, or (N, S, C), channels-last, dense. Statistics are taken over sets: with
// groups == 0 (batch norm) a set is a channel, mean and rstd are (C); else the C / groups channels of a group
// of a sample, mean and rstd are (N, groups).
struct ChannelNormArgs {
  const void* x;
  const void* weight;  // (C) (optional)
  const void* bias;    // (C) (optional)
  void* y;
  void* mean;  // written: what x was normalised with
  void* rstd;  // likewise
  void*
      running_mean;   // (C) (optional): moved towards the statistics where they are taken, else their source;
  void* running_var;  // only where each set lies in one channel
  int64_t N, C, S, groups;
  double eps, momentum;
  bool channels_last;
  bool statistics;  // of x itself; else groups == 0 and the running ones serve
  bool unbiased;    // the variance that running_var moves to
};
struct ChannelNormBackwardArgs {
  const void* dy;
  const void* x;
  const void* mean;
  const void* rstd;
  const void* weight;  // (C) (optional)
  void* dx;            // (optional)
  void* dweight;       // (C) (optional)
  void* dbias;         // (C) (optional)
  int64_t N, C, S, groups;
  bool channels_last, statistics;
};

// y[c] = x[c] s[c]^-beta, s[c] = k + alpha (x[c - before]^2 + ... + x[c + after]^2), over the channels that
// exist; layouts as above. before and after are at most C.
struct LocalNormArgs {
  const void* x;
  const void* dy;  // backward only
  void* y;         // backward: dx
  int64_t N, C, S, before, after;
  double alpha, beta, k;
  bool channels_last;
};

// clang-format off
#define DLCORE_KERNELS_NORM(X)                              \
  X(row_norm_forward, RowNormArgs, FLOATS)                  \
  X(row_norm_backward, RowNormBackwardArgs, FLOATS)         \
  X(channel_norm_forward, ChannelNormArgs, FLOATS)          \
  X(channel_norm_backward, ChannelNormBackwardArgs, FLOATS) \
  X(local_norm_forward, LocalNormArgs, FLOATS)              \
  X(local_norm_backward, LocalNormArgs, FLOATS)
// clang-format on

}  // namespace dlcore
