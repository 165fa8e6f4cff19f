// Attention backward, in one pass over the blocks (T. Dao: FlashAttention-2, 2023): the weights come again
// from the saved statistics, P = e^(S - top - logsum), and
//
//   dV = (P M)^T dO,   dS = P (dO V^T M - delta),   dQ = scale dS K,   dK = scale dS^T Q,   dmask = dS
//
// with delta the row sums of dO O and M dropout's factors. A task is a run of query blocks of one key-value
// head: it owns dq there and a sum of dk, dv of its own, and the sums of a head's tasks are added in order.
// The tasks depend on the shapes alone. The gradient of an added mask has its own kernel, whose tasks own
// pieces of dmask and go over everything that is summed into them.
#include "cpu/attention.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

constexpr int kQueries = 64;  // of a block

// A block of queries, made ready: scaled q and dO by rows and by columns, and the rows' statistics.
template <class T>
struct Block {
  int64_t q0, nq, lanes, qw, vw;  // lanes: nq, qw: D, vw: Dv rounded up to vectors
  T *q, *qt, *dout, *doutt, *top, *logsum, *delta;
  static constexpr int64_t size(int64_t qw, int64_t vw) { return 2 * kQueries * (qw + vw) + 3 * kQueries; }

  Block(const AttentionArgs& p, const T* dout_head, int64_t dout_stride, const Head<T>& a, const T* o_head,
        int64_t begin, int64_t count, T* room)
      : q0(begin), nq(count) {
    constexpr int L = kLanes<T>;
    lanes = round_up(nq, L), qw = round_up(p.D, L), vw = round_up(p.Dv, L);
    q = room, qt = q + kQueries * qw, dout = qt + kQueries * qw, doutt = dout + kQueries * vw;
    top = doutt + kQueries * vw, logsum = top + kQueries, delta = logsum + kQueries;
    copy_rows(q, qw, a.q + q0 * p.q_s[2], p.q_s[2], nq, nq, p.D, static_cast<T>(p.scale));
    pack_lines<T, kQueries>(qt, q, nq, p.D, qw, 1);
    copy_rows(dout, vw, dout_head + q0 * dout_stride, dout_stride, nq, nq, p.Dv, T(1));
    pack_lines<T, kQueries>(doutt, dout, nq, p.Dv, vw, 1);
    const T* stats = static_cast<const T*>(p.stats) + a.row + q0;
    for (int64_t i = 0; i < kQueries; ++i) {
      // The weights of a wholly masked row are 0; so are those of the lanes beyond the block.
      const bool live = i < nq && stats[i] != -kInfinity<T>;
      top[i] = live ? stats[i] : i < nq ? T(0) : kInfinity<T>;
      logsum[i] = live ? stats[p.B * p.Hq * p.Tq + i] : T(0);
      Vec<T> sum = {};
      if (i < nq)
        each_vector<T>(0, p.Dv, [&](int64_t d, int n) {
          sum += load(dout + i * vw + d) * load_upto(o_head + (q0 + i) * p.o_s[2] + d, n);
        });
      delta[i] = hsum<T>(sum);
    }
  }
};

// weights[j][kQueries] = P M and ds[j][kQueries] of a block of queries and n keys from k0; tmp as scores().
// Either product may be left out: no ds without `v`, no M in the weights without a use for them.
template <class T>
inline void weights_and_ds(const AttentionArgs& p, const Head<T>& a, const Dropout<T>& drop,
                           const Block<T>& x, const Rows<T>& k, const Rows<T>* v, int64_t k0, int64_t n,
                           T* weights, T* ds, T* tmp) {
  constexpr int L = kLanes<T>, W = kStrip<T>;
  for (int64_t at = 0; at < x.nq; at += W) {
    const int64_t nq = min64(W, x.nq - at), lanes = round_up(nq, L);
    T* s = weights + at;
    scores(p, a, x.qt + at, kQueries, k, x.q0 + at, nq, k0, n, s, kQueries, tmp);
    for (int64_t i = 0; i < lanes; i += L) {
      const Vec<T> top = load(x.top + at + i), logsum = load(x.logsum + at + i);
      for (int64_t j = 0; j < n; ++j)
        store(s + j * kQueries + i, exp_below<T>(load(s + j * kQueries + i) - top - logsum));
    }
    const T* factor = drop.on ? keep_factors(p, a, drop, x.q0 + at, nq, k0, n, tmp) : nullptr;
    if (v)
      product<T>(n, lanes, p.Dv, v->p, v->ld, 1, x.doutt + at, kQueries,
                 [&](const auto& acc, int64_t i, int64_t j) __attribute__((always_inline)) {
                   constexpr int NV = sizeof(acc[0]) / kVecBytes;
#pragma GCC unroll 8
                   for (int r = 0; r < kTileRows; ++r)
#pragma GCC unroll 2
                     for (int y = 0; y < NV; ++y) {
                       const int64_t c = j + y * L, place = (i + r) * kQueries + c;
                       Vec<T> dp = acc[r][y];
                       if (factor) dp *= load(factor + (i + r) * W + c);
                       store(ds + at + place, load(s + place) * (dp - load(x.delta + at + c)));
                     }
                 });
    if (factor)
      for (int64_t j = 0; j < n; ++j)
        for (int64_t i = 0; i < lanes; i += L)
          store(s + j * kQueries + i, load(s + j * kQueries + i) * load(factor + j * W + i));
  }
}

// sum[j][0 ... n) += a tile, of rows j < rows.
template <class T, class Tile>
DLCORE_INLINE void add_tile(const Tile& acc, T* sum, int64_t ld, int64_t rows, int64_t j, int64_t n) {
  constexpr int L = kLanes<T>, NV = sizeof(acc[0]) / kVecBytes;
  if (rows >= kTileRows && j + NV * L <= n) {
#pragma GCC unroll 8
    for (int r = 0; r < kTileRows; ++r)
#pragma GCC unroll 2
      for (int y = 0; y < NV; ++y)
        store(sum + r * ld + j + y * L, load(sum + r * ld + j + y * L) + acc[r][y]);
    return;
  }
  Vec<T> tile[kTileRows][NV];
  __builtin_memcpy(&tile, &acc, sizeof tile);
  for (int64_t r = 0; r < min64(kTileRows, rows); ++r)
    for (int y = 0; y < NV; ++y) {
      const int64_t c = j + y * L;
      if (c >= n) break;
      const int m = static_cast<int>(min64(L, n - c));
      store_upto(sum + r * ld + c, load_upto(sum + r * ld + c, m) + tile[r][y], m);
    }
}

// Where the sums of one key-value head go.
template <class T>
struct Sums {
  T *dk, *dv;  // (optional)
  int64_t dk_s, dv_s;
};

// Query blocks [block0, block1) of all the query heads of one key-value head.
template <class T>
void query_blocks(const AttentionBackwardArgs& g, const Dropout<T>& drop, int64_t b, int64_t hkv,
                  int64_t block0, int64_t block1, const Sums<T>& to) {
  constexpr int L = kLanes<T>;
  const AttentionArgs& p = g.forward;
  const int64_t group = p.Hq / p.Hkv, qw = round_up(p.D, L), vw = round_up(p.Dv, L);
  T* room = scratch<T>(2, Block<T>::size(qw, vw));
  T* kv = scratch<T>(3, kKeys * (qw + vw));
  T* weights = scratch<T>(4, 2 * kKeys * kQueries + kTransposing<T>);
  T* ds = weights + kKeys * kQueries;
  T* tmp = ds + kKeys * kQueries;
  T* dq = scratch<T>(5, kQueries * qw);
  const bool need_ds = g.dq || to.dk;
  for (int64_t j = 0; j < p.Tk; ++j) {
    if (to.dk) fill_zero(to.dk + j * to.dk_s, p.D);
    if (to.dv) fill_zero(to.dv + j * to.dv_s, p.Dv);
  }
  for (int64_t h = hkv * group; h < (hkv + 1) * group; ++h) {
    const Head<T> a(p, b, h);
    const T* o = static_cast<const T*>(p.o) + b * p.o_s[0] + h * p.o_s[1];
    const T* dout = static_cast<const T*>(g.dout) + b * g.dout_s[0] + h * g.dout_s[1];
    for (int64_t block = block0; block < block1; ++block) {
      const int64_t q0 = block * kQueries;
      const Block<T> x(p, dout, g.dout_s[2], a, o, q0, min64(kQueries, p.Tq - q0), room);
      fill_zero(dq, kQueries * qw);
      const int64_t end = a.limit(p, q0 + x.nq);
      for (int64_t k0 = 0; k0 < end; k0 += kKeys) {
        const int64_t n = min64(kKeys, end - k0);
        const Rows<T> k(a.k, p.k_s[2], p.D, qw, k0, n, p.Tk, kv);
        const Rows<T> v(a.v, p.v_s[2], p.Dv, p.Dv, k0, n, p.Tk, kv + kKeys * qw);
        weights_and_ds(p, a, drop, x, k, need_ds ? &v : nullptr, k0, n, weights, ds, tmp);
        if (to.dv)
          product<T>(n, vw, x.nq, weights, kQueries, 1, x.dout, vw,
                     [&](const auto& acc, int64_t i, int64_t j) __attribute__((always_inline)) {
                       add_tile<T>(acc, to.dv + (k0 + i) * to.dv_s, to.dv_s, n - i, j, p.Dv);
                     });
        if (to.dk)
          product<T>(n, qw, x.nq, ds, kQueries, 1, x.q, qw,
                     [&](const auto& acc, int64_t i, int64_t j) __attribute__((always_inline)) {
                       add_tile<T>(acc, to.dk + (k0 + i) * to.dk_s, to.dk_s, n - i, j, p.D);
                     });
        if (g.dq)
          product<T>(x.nq, qw, n, ds, 1, kQueries, k.p, k.ld,
                     [&](const auto& acc, int64_t i, int64_t j) __attribute__((always_inline)) {
                       add_tile<T>(acc, dq + i * qw, qw, kTileRows, j, qw);
                     });
      }
      if (g.dq) {
        T* out = static_cast<T*>(g.dq) + b * g.dq_s[0] + h * g.dq_s[1] + q0 * g.dq_s[2];
        for (int64_t i = 0; i < x.nq; ++i)
          copy_rows(out + i * g.dq_s[2], p.D, dq + i * qw, qw, 1, 1, p.D, static_cast<T>(p.scale));
      }
    }
  }
}

}  // namespace

template <class T>
void attention_backward(const AttentionBackwardArgs& g) {
  const AttentionArgs& p = g.forward;
  const Dropout<T> drop(p);
  const int64_t heads = p.B * p.Hkv, blocks = ceil_div(p.Tq, kQueries), sum = p.Tk * (p.D + p.Dv);
  if (heads == 0) return;
  // Few heads: each is cut in runs of blocks, as long as the sums stay small (8 M elements).
  const int64_t cuts = max64(
      1, min64(min64(ceil_div(16, heads), ceil_div(blocks, 4)), (int64_t{1} << 23) / max64(1, heads * sum)));
  const int64_t run = ceil_div(blocks, cuts);
  T* parts = cuts > 1 ? scratch<T>(6, heads * (cuts - 1) * sum) : nullptr;  // [head][cut - 1]{dk, dv}
  auto sums = [&](int64_t head, int64_t cut) {
    if (cut > 0) {
      T* part = parts + (head * (cuts - 1) + cut - 1) * sum;
      return Sums<T>{g.dk ? part : nullptr, g.dv ? part + p.Tk * p.D : nullptr, p.D, p.Dv};
    }
    const int64_t b = head / p.Hkv, h = head % p.Hkv;
    T* dk = g.dk ? static_cast<T*>(g.dk) + b * g.dk_s[0] + h * g.dk_s[1] : nullptr;
    T* dv = g.dv ? static_cast<T*>(g.dv) + b * g.dv_s[0] + h * g.dv_s[1] : nullptr;
    return Sums<T>{dk, dv, g.dk_s[2], g.dv_s[2]};
  };
  parallel_for(heads * cuts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t head = t / cuts, cut = t % cuts;
      query_blocks<T>(g, drop, head / p.Hkv, head % p.Hkv, cut * run, min64(blocks, (cut + 1) * run),
                      sums(head, cut));
    }
  });
  if (cuts == 1) return;
  parallel_for(
      heads * p.Tk, max64(1, kGrain / max64(1, cuts * (p.D + p.Dv))), [&](int64_t begin, int64_t end) {
        for (int64_t t = begin; t < end; ++t) {
          const int64_t head = t / p.Tk, j = t % p.Tk;
          const Sums<T> to = sums(head, 0);
          for (int64_t cut = 1; cut < cuts; ++cut) {
            const Sums<T> from = sums(head, cut);
            auto add = [j](T* y, int64_t ys, const T* x, int64_t n) {
              each_vector<T>(0, n, [&](int64_t i, int lanes) {
                store_upto(y + j * ys + i, load_upto(y + j * ys + i, lanes) + load_upto(x + j * n + i, lanes),
                           lanes);
              });
            };
            if (g.dk) add(to.dk, to.dk_s, from.dk, p.D);
            if (g.dv) add(to.dv, to.dv_s, from.dv, p.Dv);
          }
        }
      });
}

// A task owns the piece of dmask of one block of queries and kSpan keys (all of them, where the axis is
// summed over), of one batch entry and head (or all), and goes over what is summed in index order.
template <class T>
void attention_mask_backward(const AttentionMaskBackwardArgs& g) {
  constexpr int L = kLanes<T>;
  constexpr int64_t kSpan = 4 * kKeys;
  const AttentionArgs& p = g.forward;
  const Dropout<T> drop(p);
  const int64_t all_b = g.dmask_s[0] == 0, all_h = g.dmask_s[1] == 0, all_q = g.dmask_s[2] == 0,
                all_k = g.dmask_s[3] == 0;
  const int64_t blocks = ceil_div(p.Tq, kQueries), spans = ceil_div(p.Tk, kSpan);
  const int64_t nb = all_b ? 1 : p.B, nh = all_h ? 1 : p.Hq, nq = all_q ? 1 : blocks, nk = all_k ? 1 : spans;
  if (p.B * p.Hq * blocks * spans == 0) return;
  const int64_t qw = round_up(p.D, L), vw = round_up(p.Dv, L);

  parallel_for(nb * nh * nq * nk, 1, [&](int64_t begin, int64_t end) {
    T* room = scratch<T>(2, Block<T>::size(qw, vw));
    T* kv = scratch<T>(3, kKeys * (p.D + p.Dv));
    T* weights = scratch<T>(4, 2 * kKeys * kQueries + kTransposing<T>);
    T* ds = weights + kKeys * kQueries;
    T* tmp = ds + kKeys * kQueries;
    T* sum = scratch<T>(5, kSpan * kQueries);  // [key][query]
    for (int64_t t = begin; t < end; ++t) {
      const int64_t span = t % nk, block = t / nk % nq, head = t / nk / nq % nh, batch = t / nk / nq / nh;
      fill_zero(sum, kSpan * kQueries);
      for (int64_t b = batch; b < (all_b ? p.B : batch + 1); ++b)
        for (int64_t h = head; h < (all_h ? p.Hq : head + 1); ++h) {
          const Head<T> a(p, b, h);
          const T* o = static_cast<const T*>(p.o) + b * p.o_s[0] + h * p.o_s[1];
          const T* dout = static_cast<const T*>(g.dout) + b * g.dout_s[0] + h * g.dout_s[1];
          for (int64_t i = block; i < (all_q ? blocks : block + 1); ++i) {
            const int64_t q0 = i * kQueries, rows = min64(kQueries, p.Tq - q0);
            const int64_t first = all_k ? 0 : span * kSpan;
            const int64_t last = min64(a.limit(p, q0 + rows), all_k ? p.Tk : first + kSpan);
            if (first >= last) continue;
            const Block<T> x(p, dout, g.dout_s[2], a, o, q0, rows, room);
            for (int64_t k0 = first; k0 < last; k0 += kKeys) {
              const int64_t n = min64(kKeys, last - k0);
              const Rows<T> k(a.k, p.k_s[2], p.D, p.D, k0, n, p.Tk, kv);
              const Rows<T> v(a.v, p.v_s[2], p.Dv, p.Dv, k0, n, p.Tk, kv + kKeys * p.D);
              weights_and_ds(p, a, drop, x, k, &v, k0, n, weights, ds, tmp);
              T* into = sum + (all_k ? 0 : k0 - first) * kQueries;
              for (int64_t j = 0; j < n; ++j)
                for (int64_t c = 0; c < x.lanes; c += L) {
                  T* y = into + j * kQueries + c;
                  store(y, load(y) + load(ds + j * kQueries + c));
                }
            }
          }
        }
      T* to = static_cast<T*>(g.dmask) + batch * g.dmask_s[0] + head * g.dmask_s[1];
      const int64_t k0 = all_k ? 0 : span * kSpan, keys = all_k ? kKeys : min64(kSpan, p.Tk - k0);
      const int64_t q0 = all_q ? 0 : block * kQueries, rows = all_q ? kQueries : min64(kQueries, p.Tq - q0);
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < keys; ++j)
          to[(q0 + i) * g.dmask_s[2] + (k0 + j) * g.dmask_s[3]] += sum[j * kQueries + i];
    }
  });
}

DLCORE_INSTANTIATE_FLOATS(attention_backward, AttentionBackwardArgs)
DLCORE_INSTANTIATE_FLOATS(attention_mask_backward, AttentionMaskBackwardArgs)

}  // namespace DLCORE_ISA
}  // namespace dlcore
