// Launch geometry of the CUDA kernels: plain host code, so that a machine without a GPU can test it.
#pragma once

#include <cstdint>
#include <initializer_list>

namespace dlcore {
namespace cuda {

constexpr int kThreads = 256;
constexpr int64_t kMaxBlocks =
    1 << 16;  // grid-stride loops cover the rest: far more than any device runs at once

struct LaunchPlan {
  int64_t blocks;  // 0: nothing to launch (a grid of 0 blocks is an error)
  int threads;
};

// One thread an item, in grid-stride loops.
inline LaunchPlan plan_items(int64_t n, int threads = kThreads) {
  if (n <= 0) return {0, threads};
  const int64_t blocks = (n - 1) / threads + 1;
  return {blocks < kMaxBlocks ? blocks : kMaxBlocks, threads};
}

// One block a row of n elements: as many whole warps as the row can use.
inline LaunchPlan plan_rows(int64_t rows, int64_t n) {
  int threads = 32;
  while (threads < 512 && threads * 4 <= n) threads *= 2;
  if (rows <= 0 || n <= 0) return {0, threads};
  return {rows < kMaxBlocks ? rows : kMaxBlocks, threads};
}

// C in tiles of tile x tile, one block of 256 threads each, (tile / 16)^2 elements a thread.
struct MatmulPlan {
  int tile, depth;
  int64_t rows, cols, tiles, blocks;
};

// Large tiles read A and B less often, small ones fill the device: 128 only where there are enough of them
// for every multiprocessor (132 on H100) to have one, and only for float32, whose 64 accumulators fit the
// registers.
inline MatmulPlan plan_matmul(int64_t M, int64_t N, int64_t batch, int item_size) {
  MatmulPlan p{};
  for (int tile : {128, 64}) {
    if (tile == 128 && item_size != 4) continue;
    p.tile = tile;
    p.depth = tile == 128 ? 8 : 16;
    p.rows = M > 0 ? (M - 1) / tile + 1 : 0;
    p.cols = N > 0 ? (N - 1) / tile + 1 : 0;
    p.tiles = batch > 0 ? p.rows * p.cols * batch : 0;
    if (p.tiles >= 132) break;
  }
  p.blocks = p.tiles < kMaxBlocks ? p.tiles : kMaxBlocks;
  return p;
}

}  // namespace cuda
}  // namespace dlcore
