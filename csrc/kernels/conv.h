// The conv kernels' arguments and list; conventions in kernels/common.h.
#pragma once

#include "kernels/common.h"

namespace dlcore {

// y[n,o,z,p,q] = act(sum_{c,d,r,s} x[n, c, z * stride[0] + d * dil[0] - pad[0], p * stride[1] + ..., q * ...]
//                    w[o,c,d,r,s] + bias[o]), zeros outside x; the padding behind follows from `result`.
// groups divides C and O. 1-d and 2-d convolutions are those of depth (and height) 1.
//   conv_forward          reads x, w, bias (optional, O); writes y
//   conv_backward_input   reads y (the gradient), w, bias (optional, C); writes x (the input's gradient +
//   bias).
//                         It is the transposed convolution's forward, which is what its bias is for.
//   conv_backward_weight  reads x, y (the gradient); accumulates into w and bias (optional, O)
// The backward kernels take the gradient behind the activation: `out` is the forward's result (needed for act
// only). Any strides; unit stride along channels in x and y (channels-last) is the fastest.
struct ConvArgs {
  void* x;
  void* w;
  void* y;
  void* bias;
  const void* out;
  int64_t N, C, O, groups;
  int64_t size[3], result[3], kernel[3];  // depth, height, width: of x, of y, of w
  int64_t stride[3], pad[3], dil[3];      // pad: in front of each axis
  int64_t xs[5], ws[5], ys[5], os[5];     // (N,C,size), (O,C/groups,kernel), (N,O,result), (N,O,result)
  Act act;
  bool winograd;  // may Winograd's algorithm be taken, with its larger rounding errors?
  Keeper* keep;   // of w (optional, forward): the weights are expected to come again
  // The forward's y = act(sum * scale + bias + add): scale (optional, O), add (optional) of y's strides.
  const void* scale;
  const void* add;
};

// clang-format off
#define DLCORE_KERNELS_CONV(X)                 \
  X(conv_forward, ConvArgs, FLOATS)            \
  X(conv_backward_input, ConvArgs, FLOATS)     \
  X(conv_backward_weight, ConvArgs, FLOATS)
// clang-format on

}  // namespace dlcore
