// Attention forward. Tiled, with an online softmax (M. Milakov, N. Gimelshein: Online normalizer calculation
// for softmax, 2018; T. Dao et al.: FlashAttention, NeurIPS 2022): each block of queries goes over the blocks
// of keys with a running maximum and sum, so nothing of size Tq x Tk exists. A few queries against many keys
// (decoding) go another way: keys are split among threads by chunks, and the parts merged.
#include "cpu/attention.h"

#include "cpu/softmax.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

// Query block `i` of n, so that a run of consecutive i costs about the same wherever it begins, causal or
// not.
DLCORE_INLINE int64_t alternate(int64_t i, int64_t n) { return i % 2 ? n - 1 - i / 2 : i / 2; }

// Turns the scores of a strip into e^(s - max), with the running statistics m, l (kStrip each) brought up to
// date; alpha is what earlier sums have to be scaled with.
template <class T>
inline void online_softmax(T* s, int64_t n, int64_t lanes, T* m, T* l, T* alpha) {
  constexpr int L = kLanes<T>, W = kStrip<T>;
  for (int64_t i = 0; i < lanes; i += L) {
    const Vec<T> before = load(m + i), low = splat(-kInfinity<T>);
    Vec<T> m0 = before, m1 = low;  // a NaN is passed over here and comes back with the exponential
    int64_t j = 0;
    for (; j + 2 <= n; j += 2) {
      m0 = max(m0, load(s + j * W + i));
      m1 = max(m1, load(s + (j + 1) * W + i));
    }
    if (j < n) m0 = max(m0, load(s + j * W + i));
    const Vec<T> now = max(m0, m1);
    const Vec<T> base = now == low ? Vec<T>{} : now;
    Vec<T> sum = {};
    for (j = 0; j < n; ++j) {
      const Vec<T> e = exp_below<T>(load(s + j * W + i) - base);
      store(s + j * W + i, e);
      sum += e;
    }
    const Vec<T> scale = exp_below<T>(before - base);
    store(alpha + i, scale);
    store(l + i, fma(load(l + i), scale, sum));
    store(m + i, now);
  }
}

// Queries q0 ... q0 + nq of one head.
template <class T>
void query_block(const AttentionArgs& p, const Dropout<T>& drop, int64_t b, int64_t h, int64_t q0,
                 int64_t nq) {
  constexpr int L = kLanes<T>, W = kStrip<T>;
  const Head<T> a(p, b, h);
  const int64_t strips = ceil_div(nq, W), width = round_up(p.Dv, kTileRows);
  const int64_t rows = round_up(p.Dv, L > kTileRows ? L : kTileRows);
  T* qt = scratch<T>(2, strips * W * p.D);       // [strip][d][W]
  T* ot = scratch<T>(3, strips * W * rows);      // [strip][d][W], at least a square of vectors high
  T* kv = scratch<T>(4, kKeys * (p.D + width));  // copies of blocks that do not lie well
  T* s = scratch<T>(5, kKeys * W + kTransposing<T>);
  T* state = scratch<T>(6, (2 * strips + 1) * W);
  T* tmp = s + kKeys * W;
  T *m = state, *l = state + strips * W, *alpha = l + strips * W;
  pack_lines<T, W>(qt, a.q + q0 * p.q_s[2], nq, p.D, p.q_s[2], 1);
  const Vec<T> scale = splat(static_cast<T>(p.scale));
  for (int64_t i = 0; i < strips * W * p.D; i += L) store(qt + i, load(qt + i) * scale);
  fill_zero(ot, strips * W * rows);
  for (int64_t i = 0; i < strips * W; i += L) store(m + i, splat(-kInfinity<T>)), store(l + i, Vec<T>{});

  const int64_t end = a.limit(p, q0 + nq);
  for (int64_t k0 = 0; k0 < end; k0 += kKeys) {
    const int64_t kc = min64(kKeys, end - k0);
    const Rows<T> k(a.k, p.k_s[2], p.D, p.D, k0, kc, p.Tk, kv);
    const Rows<T> v(a.v, p.v_s[2], p.Dv, width, k0, kc, p.Tk, kv + kKeys * p.D);
    for (int64_t t = 0; t < strips; ++t) {
      const int64_t at = q0 + t * W, n = min64(W, nq - t * W), lanes = round_up(n, L);
      const int64_t seen = min64(kc, a.limit(p, at + n) - k0);
      if (seen <= 0) continue;
      scores(p, a, qt + t * W * p.D, W, k, at, n, k0, seen, s, W, tmp);
      online_softmax(s, seen, lanes, m + t * W, l + t * W, alpha);
      if (drop.on) {
        const T* factor = keep_factors(p, a, drop, at, n, k0, seen, tmp);
        for (int64_t i = 0; i < seen * W; i += L) store(s + i, load(s + i) * load(factor + i));
      }
      T* o = ot + t * W * rows;
      product<T>(width, lanes, seen, v.p, 1, v.ld, s, W,
                 [&](const auto& acc, int64_t i, int64_t j) __attribute__((always_inline)) {
                   constexpr int NV = sizeof(acc[0]) / kVecBytes;
#pragma GCC unroll 8
                   for (int r = 0; r < kTileRows; ++r)
#pragma GCC unroll 2
                     for (int x = 0; x < NV; ++x) {
                       T* c = o + (i + r) * W + j + x * L;
                       store(c, fma(load(c), load(alpha + j + x * L), acc[r][x]));
                     }
                 });
    }
  }

  T* out = static_cast<T*>(p.o) + b * p.o_s[0] + h * p.o_s[1];
  T* top = static_cast<T*>(p.stats) + a.row;
  T* logsum = top + p.B * p.Hq * p.Tq;
  for (int64_t t = 0; t < strips; ++t) {
    const int64_t at = q0 + t * W, n = min64(W, nq - t * W);
    T* o = ot + t * W * rows;
    for (int64_t i = 0; i < n; i += L) {
      const Vec<T> sum = load(l + t * W + i);
      const Vec<T> inverse = sum == Vec<T>{} ? sum : splat(T(1)) / sum;
      for (int64_t d = 0; d < p.Dv; ++d) store(o + d * W + i, load(o + d * W + i) * inverse);
      const int here = static_cast<int>(min64(L, n - i));
      store_upto(top + at + i, load(m + t * W + i), here);
      store_upto(logsum + at + i, log<T>(sum), here);
    }
    store_transposed(out + at * p.o_s[2], p.o_s[2], o, W, n, p.Dv);
  }
}

// ---- a few queries: all those of one key-value head against a chunk of keys
// --------------------------------

constexpr int64_t kFewQueries = 4;
constexpr int64_t kChunk = 256;  // keys

// s[0 ... kLanes) = q . the keys of `line`. The square of partial sums is transposed, so that no vector is
// summed across. `ahead` (elements) is where the keys are that come next.
template <class T>
DLCORE_INLINE void dot_square(const T* q, const T* const (&line)[kLanes<T>], int64_t D, int64_t ahead, T* s) {
  constexpr int L = kLanes<T>;
  Vec<T> acc[L];
#pragma GCC unroll 16
  for (int i = 0; i < L; ++i) acc[i] = Vec<T>{};
  int64_t d = 0;
  for (; d + L <= D; d += L) {
    const Vec<T> x = load(q + d);
#pragma GCC unroll 16
    for (int i = 0; i < L; ++i) {
      if (ahead) __builtin_prefetch(line[i] + d + ahead);
      acc[i] = fma(x, load(line[i] + d), acc[i]);
    }
  }
  if (const int left = static_cast<int>(D - d)) {
    const Vec<T> x = load_n(q + d, left);
#pragma GCC unroll 16
    for (int i = 0; i < L; ++i) acc[i] = fma(x, load_n(line[i] + d, left), acc[i]);
  }
  transpose_square<T>(acc);
#pragma GCC unroll 4
  for (int w = L / 2; w > 0; w /= 2)
#pragma GCC unroll 8
    for (int i = 0; i < w; ++i) acc[i] += acc[i + w];
  store(s, acc[0]);
}

// o[0 ... NV vectors) += the sum of s[j] times value j.
template <class T, int NV>
DLCORE_INLINE void weigh(const T* s, const T* v, int64_t ld, int64_t n, int lanes, int64_t ahead, T* o) {
  constexpr int L = kLanes<T>;
  Vec<T> acc[NV];
#pragma GCC unroll 8
  for (int x = 0; x < NV; ++x) acc[x] = Vec<T>{};
  for (int64_t j = 0; j < n; ++j) {
    const Vec<T> w = splat(s[j]);
#pragma GCC unroll 8
    for (int x = 0; x < NV; ++x) {
      const T* from = v + j * ld + x * L;
      if (ahead) __builtin_prefetch(from + ahead);
      acc[x] = fma(w, NV == 1 ? load_upto(from, lanes) : load(from), acc[x]);
    }
  }
#pragma GCC unroll 8
  for (int x = 0; x < NV; ++x) {
    const int here = NV == 1 ? lanes : L;
    store_upto(o + x * L, load_upto(o + x * L, here) + acc[x], here);
  }
}
template <class T>
inline void weigh_values(const T* s, const T* v, int64_t ld, int64_t n, int64_t Dv, int64_t ahead, T* o) {
  constexpr int L = kLanes<T>;
  int64_t d = 0;
  for (; d + 8 * L <= Dv; d += 8 * L) weigh<T, 8>(s, v + d, ld, n, L, ahead, o + d);
  for (; d + 4 * L <= Dv; d += 4 * L) weigh<T, 4>(s, v + d, ld, n, L, ahead, o + d);
  for (; d < Dv; d += L) weigh<T, 1>(s, v + d, ld, n, static_cast<int>(min64(L, Dv - d)), ahead, o + d);
}

// Asks for n rows of `width` elements.
template <class T>
DLCORE_INLINE void fetch_rows(const T* rows, int64_t ld, int64_t n, int64_t width) {
  constexpr int64_t line = 64 / sizeof(T);
  for (int64_t j = 0; j < n; ++j)
    for (int64_t d = 0; d < width; d += line) __builtin_prefetch(rows + j * ld + d, 0, 2);
}

// part[row] = {Dv unnormalised outputs, maximum, sum} of the rows (head of the group, query). Each phase asks
// for what the next begins with: the keys' for the values, the values' for the keys that follow, at `next`.
template <class T>
void chunk_of_keys(const AttentionArgs& p, const Dropout<T>& drop, int64_t b, int64_t hkv, int64_t k0,
                   T* part, const T* next) {
  constexpr int L = kLanes<T>;
  const int64_t group = p.Hq / p.Hkv, rows = group * p.Tq, size = p.Dv + 2;
  const Head<T> first(p, b, hkv * group);
  const int64_t n = max64(0, min64(kChunk, first.limit(p, p.Tq) - k0));
  T* s = scratch<T>(2, (rows + 1) * kChunk);
  T* other = s + rows * kChunk;
  T* qs = scratch<T>(3, rows * p.D);
  auto head = [&](int64_t r) { return Head<T>(p, b, hkv * group + r / p.Tq); };
  auto seen = [&](int64_t r) {
    return min64(n, first.limit(p, r % p.Tq + 1) - k0);
  };  // keys of row r, or < 0
  for (int64_t r = 0; r < rows; ++r)
    copy_rows(qs + r * p.D, p.D, head(r).q + r % p.Tq * p.q_s[2], p.D, 1, 1, p.D, static_cast<T>(p.scale));
  // Keys, and then values, come from memory once: all rows take their turn at what is in L1.
  for (int64_t j = 0; j < n; j += L) {
    const T* line[L];
    for (int i = 0; i < L; ++i) line[i] = first.k + (k0 + min64(j + i, n - 1)) * p.k_s[2];
    fetch_rows(first.v + (k0 + j) * p.v_s[2], p.v_s[2], min64(L, n - j), p.Dv);
    for (int64_t r = 0; r < rows; ++r)
      dot_square<T>(qs + r * p.D, line, p.D, r == 0 ? L * p.k_s[2] : 0, s + r * kChunk + j);
  }
  for (int64_t r = 0; r < rows; ++r) {
    T *to = part + r * size, *row = s + r * kChunk;
    const int64_t m = seen(r);
    fill_zero(to, size);
    to[p.Dv] = -kInfinity<T>;
    if (m <= 0) continue;
    const Head<T> a = head(r);
    const int64_t i = r % p.Tq;
    if (a.mask) {
      mask_row(p, a, i, k0, m, other);
      for (int64_t j = 0; j < m; j += L) store(row + j, load(row + j) + load(other + j));
    }
    const T top = row_max(row, m);
    to[p.Dv] = top;
    to[p.Dv + 1] = row_exp_sum<T, true>(row, row, m, top == -kInfinity<T> ? T(0) : top);
    if (drop.on) {
      const uint64_t element = (a.row + static_cast<uint64_t>(i)) * static_cast<uint64_t>(p.Tk);
      drop.row(element + static_cast<uint64_t>(k0), m, other);
      for (int64_t j = 0; j < m; j += L) store(row + j, load(row + j) * load(other + j));
    }
  }
  if (next) fetch_rows(next, p.k_s[2], L, p.D);
  constexpr int64_t kStep = 32;
  for (int64_t j = 0; j < n; j += kStep)
    for (int64_t r = 0; r < rows; ++r)
      weigh_values(s + r * kChunk + j, first.v + (k0 + j) * p.v_s[2], p.v_s[2], min64(kStep, seen(r) - j),
                   p.Dv, r == 0 ? 8 * p.v_s[2] : 0, part + r * size);
}

template <class T>
void few_queries(const AttentionArgs& p) {
  const Dropout<T> drop(p);
  const int64_t chunks = max64(1, ceil_div(p.Tk, kChunk)), group = p.Hq / p.Hkv, rows = group * p.Tq;
  const int64_t size = rows * (p.Dv + 2);
  T* parts = scratch<T>(7, p.B * p.Hkv * chunks * size);  // [b][hkv][chunk][row][Dv + 2]
  const int64_t work = max64(1, rows * min64(kChunk, p.Tk) * (p.D + p.Dv));
  parallel_for(p.B * p.Hkv * chunks, max64(1, kGrain / work), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t bh = t / chunks, after = (t + 1) / chunks;
      const T* next = t + 1 < end ? Head<T>(p, after / p.Hkv, after % p.Hkv * group).k +
                                        (t + 1) % chunks * kChunk * p.k_s[2]
                                  : nullptr;
      chunk_of_keys<T>(p, drop, bh / p.Hkv, bh % p.Hkv, t % chunks * kChunk, parts + t * size, next);
    }
  });
  parallel_for(p.B * p.Hq * p.Tq, max64(1, kGrain / (chunks * (p.Dv + 8))), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t i = t % p.Tq, h = t / p.Tq % p.Hq, b = t / p.Tq / p.Hq;
      const T* part = parts + ((b * p.Hkv + h / group) * chunks * rows + h % group * p.Tq + i) * (p.Dv + 2);
      T m = -kInfinity<T>, l = 0;
      for (int64_t c = 0; c < chunks; ++c) m = part[c * size + p.Dv] > m ? part[c * size + p.Dv] : m;
      T* o = static_cast<T*>(p.o) + b * p.o_s[0] + h * p.o_s[1] + i * p.o_s[2];
      fill_zero(o, p.Dv);
      for (int64_t c = 0; c < chunks; ++c) {
        const T* from = part + c * size;
        const T w =
            from[p.Dv] == -kInfinity<T> && from[p.Dv + 1] == 0 ? T(0) : exp<T>(splat(from[p.Dv] - m))[0];
        l += from[p.Dv + 1] * w;
        each_vector<T>(0, p.Dv, [&](int64_t d, int lanes) {
          store_upto(o + d, fma(splat(w), load_upto(from + d, lanes), load_upto(o + d, lanes)), lanes);
        });
      }
      const Vec<T> inverse = splat(l == 0 ? T(0) : 1 / l);
      each_vector<T>(0, p.Dv, [&](int64_t d, int lanes) {
        store_upto(o + d, load_upto(o + d, lanes) * inverse, lanes);
      });
      T* stats = static_cast<T*>(p.stats) + t;
      stats[0] = m, stats[p.B * p.Hq * p.Tq] = log<T>(splat(l))[0];
    }
  });
}

}  // namespace

template <class T>
void attention_forward(const AttentionArgs& p) {
  if (p.Tq <= kFewQueries) return few_queries<T>(p);
  const Dropout<T> drop(p);
  // Long blocks of queries share the copies of keys and values; short ones occupy more threads.
  const int64_t heads = p.B * p.Hq, size = heads * p.Tq >= 32 * 128 ? 128 : 64;
  const int64_t blocks = ceil_div(p.Tq, size);
  parallel_for(heads * blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t bh = t / blocks, q0 = alternate(t % blocks, blocks) * size;
      query_block<T>(p, drop, bh / p.Hq, bh % p.Hq, q0, min64(size, p.Tq - q0));
    }
  });
}

DLCORE_INSTANTIATE_FLOATS(attention_forward, AttentionArgs)

}  // namespace DLCORE_ISA
}  // namespace dlcore
