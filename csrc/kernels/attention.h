// The attention kernels' arguments and list; conventions in kernels/common.h.
#pragma once

#include "kernels/common.h"

namespace dlcore {

// o = dropout(softmax(scale q k^T + mask)) v for each batch b and query head h, whose keys and values are
// those of head h / (Hq / Hkv). Axes of strides: batch, head, time; the last axis (D, Dv) has stride 1. A row
// whose scores are all -inf gives 0. Key j takes part in query i where j < lengths[b] and, if causal, j <= i.
// Attention weight (b, h, i, j) is dropped by the random word (kernels/random.h) of its place in the
// contiguous array (B, Hq, Tq, Tk), which exists nowhere. The statistics are a row's largest score and the
// logarithm of its sum of e^(score - largest), -inf both for a row of 0: apart, because a mask of -1e38 would
// swallow the second, and with it the gradients.
struct AttentionArgs {
  const void* q;           // (B, Hq, Tq, D)
  const void* k;           // (B, Hkv, Tk, D)
  const void* v;           // (B, Hkv, Tk, Dv)
  const void* mask;        // (optional) (B, Hq, Tq, Tk): T, added; or uint8_t, -inf where 0
  const int64_t* lengths;  // (optional) (B), each in [0, Tk]
  void* o;                 // (B, Hq, Tq, Dv)
  void* stats;             // (2, B, Hq, Tq) contiguous: see above
  int64_t B, Hq, Hkv, Tq, Tk, D, Dv;
  int64_t q_s[3], k_s[3], v_s[3], o_s[3];
  int64_t mask_s[4];  // 0 where the mask is broadcast
  double scale;
  double dropout;  // in [0, 1]
  uint64_t seed, offset;
  bool causal, mask_bool;
};

// From what forward was given and gave (o, stats, read here). Each of dq, dk, dv is optional.
struct AttentionBackwardArgs {
  AttentionArgs forward;
  const void* dout;  // (B, Hq, Tq, Dv), last stride 1
  int64_t dout_s[3];
  void *dq, *dk, *dv;  // as q, k, v
  int64_t dq_s[3], dk_s[3], dv_s[3];
};

// dmask += the gradient of an added mask, summed over the axes whose stride in dmask_s is 0.
struct AttentionMaskBackwardArgs {
  AttentionArgs forward;
  const void* dout;
  int64_t dout_s[3];
  void* dmask;
  int64_t dmask_s[4];
};

// clang-format off
#define DLCORE_KERNELS_ATTENTION(X)                                    \
  X(attention_forward, AttentionArgs, FLOATS)                          \
  X(attention_backward, AttentionBackwardArgs, FLOATS)                 \
  X(attention_mask_backward, AttentionMaskBackwardArgs, FLOATS)
// clang-format on

}  // namespace dlcore
