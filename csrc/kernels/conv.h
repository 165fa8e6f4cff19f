// The conv kernels' arguments and list; conventions in kernels/common.h.
#pragma once

#include "kernels/common.h"

namespace dlcore {

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

// clang-format off
#define DLCORE_KERNELS_CONV(X)                 \
  X(conv_forward, ConvArgs, FLOATS)            \
  X(conv_backward_input, ConvArgs, FLOATS)     \
  X(conv_backward_weight, ConvArgs, FLOATS)
// clang-format on

}  // namespace dlcore
