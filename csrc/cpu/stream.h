// Reading a large operand once.
#pragma once

#include <stdint.h>

namespace dlcore {
namespace DLCORE_ISA {

// Bytes that a kernel which reads rows side by side asks for into L2 ahead of their turn: the hardware sees
// no stream in a few short rows, and stops at the ends of pages.
constexpr int64_t kStreamAhead = 16384;

}  // namespace DLCORE_ISA
}  // namespace dlcore
