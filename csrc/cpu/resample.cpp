// Resampling along up to three axes by sparse matrices (see ResampleAxis): interpolation, its gradient, and
// padding. A row is W elements of a plane, or W x channels of a channels-last one.
//
// Separable: rows combine with scalar weights (contiguous, memory's speed); along a row, a vector of outputs
// takes its sources with a permutation of one or two loaded vectors where they lie that close, else with a
// gather, or is a run of channels. Enlarging treats each input row first and keeps the rows that the next
// outputs need; reducing combines rows first. Which one depends on the shape alone.
#include "kernels/resample.h"

#include "cpu/gather.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

// What the matrix of an axis looks like.
struct Taps {
  int64_t most = 0;                  // taps of an output, at most
  int64_t window = 1;                // distance of the first and last source of an output, at most, plus 1
  bool even = true;                  // every output has `most` taps
  bool unit = true;                  // every weight is 1
  bool identity = true;              // y = x
  int64_t run_from = 0, run_to = 0;  // the longest run of outputs that are a run of sources,
  int64_t run_source = 0;            // from this one on
};

template <class T>
Taps look(const ResampleAxis& a) {
  Taps t;
  const T* weight = static_cast<const T*>(a.weight);
  t.identity = a.in == a.out;
  for (int64_t o = 0; o < a.out; ++o) t.most = max64(t.most, a.first[o + 1] - a.first[o]);
  for (int64_t o = 0; o < a.out; ++o) {
    int64_t lo = a.in, hi = -1;
    for (int64_t i = a.first[o]; i < a.first[o + 1]; ++i) {
      lo = min64(lo, a.index[i]), hi = max64(hi, a.index[i]);
      t.unit &= weight[i] == T(1);
    }
    const int64_t count = a.first[o + 1] - a.first[o];
    t.window = max64(t.window, hi - lo + 1);
    t.even &= count == t.most;
    t.identity &= count == 1 && lo == o;
  }
  t.identity &= t.unit;
  int64_t from = 0;
  for (int64_t o = 0; o < a.out; ++o) {
    const int64_t i = a.first[o];
    const bool one = a.first[o + 1] - i == 1;
    if (!one || (o > from && a.index[i] != a.index[i - 1] + 1)) from = one ? o : o + 1;
    if (o + 1 - from > t.run_to - t.run_from) t.run_from = from, t.run_to = o + 1;
  }
  if (t.run_to > t.run_from) t.run_source = a.index[a.first[t.run_from]];
  return t;
}

// How one vector of outputs takes its k-th sources.
enum class Take : int { run, permute, permute2, gather };
struct Source {
  int64_t base;
  Take how;
  int lanes;  // that the (last) load at base may read
};

// The matrix of the columns, by vectors of outputs: sources, lanes' indices from base, weights, and which of
// them count, each [block][tap][lane].
template <class T>
struct Columns {
  int64_t outputs, blocks, taps;
  Source* source;
  Int<T>* at;
  T* weight;
  Int<T>* live;
};

template <class T>
Columns<T> make_columns(const ResampleAxis& a, int64_t inner, int64_t taps) {
  constexpr int L = kLanes<T>;
  Columns<T> c;
  c.outputs = a.out * inner, c.blocks = ceil_div(c.outputs, L), c.taps = taps;
  const int64_t n = c.blocks * taps, length = a.in * inner;
  char* memory = scratch<char>(
      2, n * static_cast<int64_t>(sizeof(Source)) + n * L * static_cast<int64_t>(3 * sizeof(T)) + 64);
  c.at = reinterpret_cast<Int<T>*>(memory);
  c.weight = reinterpret_cast<T*>(c.at + n * L);
  c.live = reinterpret_cast<Int<T>*>(c.weight + n * L);
  c.source = reinterpret_cast<Source*>(c.live + n * L);
  for (int64_t b = 0; b < c.blocks; ++b)
    for (int64_t k = 0; k < taps; ++k) {
      const int64_t e = (b * taps + k) * L;
      int64_t from[L], lo = length, hi = 0;
      for (int l = 0; l < L; ++l) {
        const int64_t q = b * L + l, o = q / inner;
        const bool live = q < c.outputs && k < a.first[o + 1] - a.first[o];
        from[l] = live ? a.index[a.first[o] + k] * inner + q % inner : -1;
        c.weight[e + l] = live ? static_cast<const T*>(a.weight)[a.first[o] + k] : T(0);
        c.live[e + l] = live ? -1 : 0;
        if (live) lo = min64(lo, from[l]), hi = max64(hi, from[l]);
      }
      Source& s = c.source[b * taps + k];
      if (lo > hi) lo = hi = 0;
      bool run = length - lo >= L || hi - lo + 1 == length - lo;
      for (int l = 0; l < L; ++l) run &= from[l] == lo + l || from[l] < 0;
      s.how = run                              ? Take::run
              : hi - lo < L                    ? Take::permute
              : kPermuteTwo && hi - lo < 2 * L ? Take::permute2
                                               : Take::gather;
      // Loads start early rather than run over the end of the row.
      const int64_t wide = s.how == Take::permute2 ? 2 * L : L;
      s.base = s.how == Take::gather || s.how == Take::run ? lo : max64(0, min64(lo, length - wide));
      if (s.how == Take::permute2 && length < 2 * L) s.how = Take::gather;
      s.lanes = static_cast<int>(min64(L, length - s.base));
      for (int l = 0; l < L; ++l) c.at[e + l] = static_cast<Int<T>>(from[l] < 0 ? 0 : from[l] - s.base);
    }
  return c;
}

template <class T>
DLCORE_INLINE Vec<T> take(const Source& s, const Int<T>* at, const T* row) {
  constexpr int L = kLanes<T>;
  const T* p = row + s.base;
  switch (s.how) {
    case Take::run:
      return load_upto(p, s.lanes);
    case Take::permute:
      return permute<T>(load_upto(p, s.lanes), load(at));
    case Take::permute2:
      return permute2<T>(load(p), load(p + L), load(at));
    default:
      return gather<T>(p, load(at));
  }
}

// y[q] = sum of the sources of q. Even: each output has all taps, so that none needs to be left out.
template <class T, bool Even, bool Unit>
void along_columns(const Columns<T>& c, const T* x, T* y) {
  constexpr int L = kLanes<T>;
  for (int64_t b = 0; b < c.blocks; ++b) {
    Vec<T> sum = {};
    for (int64_t k = 0; k < c.taps; ++k) {
      const int64_t i = b * c.taps + k;
      Vec<T> v = take(c.source[i], c.at + i * L, x);
      if constexpr (!Even) v = load(c.live + i * L) ? v : Vec<T>{};
      if constexpr (Unit)
        sum = k ? sum + v : v;
      else
        sum += v * load(c.weight + i * L);
    }
    store_upto(y + b * L, sum, static_cast<int>(min64(L, c.outputs - b * L)));
  }
}

// The same where each pixel is a run of channels.
template <class T, int U>
DLCORE_INLINE void channels(const ResampleAxis& a, int64_t o, int64_t inner, const T* x, T* y, int lanes) {
  constexpr int L = kLanes<T>;
  const T* weight = static_cast<const T*>(a.weight);
  Vec<T> sum[U] = {};
  for (int64_t t = a.first[o]; t < a.first[o + 1]; ++t) {
    const T* p = x + a.index[t] * inner;
    const Vec<T> w = splat(weight[t]);
    for (int u = 0; u < U; ++u) sum[u] += (U > 1 ? load(p + u * L) : load_upto(p, lanes)) * w;
  }
  for (int u = 0; u < U; ++u) store_upto(y + u * L, sum[u], U > 1 ? L : lanes);
}
template <class T>
void along_pixels(const ResampleAxis& a, int64_t inner, const T* x, T* y) {
  constexpr int L = kLanes<T>;
  for (int64_t o = 0; o < a.out; ++o) {
    int64_t c = 0;
    for (; c + 4 * L <= inner; c += 4 * L) channels<T, 4>(a, o, inner, x + c, y + o * inner + c, L);
    for (; c < inner; c += L)
      channels<T, 1>(a, o, inner, x + c, y + o * inner + c, static_cast<int>(min64(L, inner - c)));
  }
}

// n elements, short as rows of planes are: no call, and the last vector may overlap the one before.
template <class T>
DLCORE_INLINE void copy_row(const T* x, int64_t n, T* y) {
  constexpr int L = kLanes<T>;
  if (n < L) {
    for (int64_t i = 0; i < n; ++i) y[i] = x[i];
    return;
  }
  for (int64_t i = 0; i + L <= n; i += L) store(y + i, load(x + i));
  store(y + n - L, load(x + n - L));
}

// Padding: a run, and a few pixels at its ends.
template <class T>
DLCORE_INLINE void along_run(const ResampleAxis& a, const Taps& t, int64_t inner, const T* x, T* y) {
  auto edge = [&](int64_t from, int64_t to) __attribute__((always_inline)) {
    if (t.even && inner == 1) {  // output o has tap o
      for (int64_t o = from; o < to; ++o) y[o] = x[a.index[o]];
      return;
    }
    for (int64_t o = from; o < to; ++o) {
      const bool any = a.first[o] < a.first[o + 1];
      const T* source = any ? x + a.index[a.first[o]] * inner : nullptr;
      for (int64_t c = 0; c < inner; ++c) y[o * inner + c] = any ? source[c] : T(0);
    }
  };
  edge(0, t.run_from);
  copy_row(x + t.run_source * inner, (t.run_to - t.run_from) * inner, y + t.run_from * inner);
  edge(t.run_to, a.out);
}

template <class T>
struct Tap {
  const T* row;
  T weight;
};

// y = the weighted sum of rows of n elements.
template <class T, int N>
DLCORE_INLINE void sum_rows(const Tap<T>* taps, int64_t n, T* y) {
  Vec<T> w[N];
  for (int t = 0; t < N; ++t) w[t] = splat(taps[t].weight);
  each_vector<T>(0, n, [&](int64_t i, int lanes) __attribute__((always_inline)) {
    Vec<T> sum = load_upto(taps[0].row + i, lanes) * w[0];
    for (int t = 1; t < N; ++t) sum += load_upto(taps[t].row + i, lanes) * w[t];
    store_upto(y + i, sum, lanes);
  });
}
template <class T>
void combine(const Tap<T>* taps, int64_t count, int64_t n, T* y) {
  switch (count) {
    case 0:
      return each_vector<T>(0, n, [&](int64_t i, int lanes) { store_upto(y + i, Vec<T>{}, lanes); });
    case 1:
      return sum_rows<T, 1>(taps, n, y);
    case 2:
      return sum_rows<T, 2>(taps, n, y);
    case 3:
      return sum_rows<T, 3>(taps, n, y);
    case 4:
      return sum_rows<T, 4>(taps, n, y);
    default:
      return each_vector<T>(0, n, [&](int64_t i, int lanes) {
        Vec<T> sum = {};
        for (int64_t t = 0; t < count; ++t) sum += load_upto(taps[t].row + i, lanes) * splat(taps[t].weight);
        store_upto(y + i, sum, lanes);
      });
  }
}

// Both at once, where hardly a pixel of the combined row would be read twice.
template <class T, int U>
DLCORE_INLINE void combined_channels(const ResampleAxis& a, int64_t o, int64_t inner, const Tap<T>* taps,
                                     int64_t count, int64_t c, T* y, int lanes) {
  constexpr int L = kLanes<T>;
  const T* weight = static_cast<const T*>(a.weight);
  Vec<T> sum[U] = {};
  for (int64_t t = a.first[o]; t < a.first[o + 1]; ++t) {
    const int64_t at = a.index[t] * inner + c;
    const Vec<T> w = splat(weight[t]);
    Vec<T> part[U] = {};
    for (int64_t r = 0; r < count; ++r) {
      const Vec<T> v = splat(taps[r].weight);
      for (int u = 0; u < U; ++u) {
        const T* p = taps[r].row + at + u * L;
        part[u] += (U > 1 ? load(p) : load_upto(p, lanes)) * v;
      }
    }
    for (int u = 0; u < U; ++u) sum[u] += part[u] * w;
  }
  for (int u = 0; u < U; ++u) store_upto(y + u * L, sum[u], U > 1 ? L : lanes);
}
template <class T>
void combine_pixels(const ResampleAxis& a, int64_t inner, const Tap<T>* taps, int64_t count, T* y) {
  constexpr int L = kLanes<T>;
  for (int64_t o = 0; o < a.out; ++o, y += inner) {
    int64_t c = 0;
    for (; c + 4 * L <= inner; c += 4 * L) combined_channels<T, 4>(a, o, inner, taps, count, c, y + c, L);
    for (; c < inner; c += L)
      combined_channels<T, 1>(a, o, inner, taps, count, c, y + c, static_cast<int>(min64(L, inner - c)));
  }
}

// Input rows already treated along the columns, each in the slot of its place modulo the slots.
template <class T>
struct Kept {
  int64_t slots_d, slots_h, length;
  int64_t* tag;
  T* rows;
  DLCORE_INLINE int64_t slot(int64_t d, int64_t h) const { return d % slots_d * slots_h + h % slots_h; }
};

}  // namespace

template <class T>
void resample(const ResampleArgs& p) {
  const Taps td = look<T>(p.d), th = look<T>(p.h), tw = look<T>(p.w);
  const int64_t in_row = p.w.in * p.inner, out_row = p.w.out * p.inner, rows = p.d.out * p.h.out;
  const int64_t in_rows = p.d.in * p.h.in, row_taps = max64(1, td.most * th.most);
  const bool copied = tw.most == 1 && tw.unit && 2 * (tw.run_to - tw.run_from) > p.w.out;
  const bool by_columns = p.inner < kLanes<T> && !copied;
  const Columns<T> columns = by_columns ? make_columns<T>(p.w, p.inner, tw.most) : Columns<T>{};
  // A tap along a row of columns costs about twice one between rows.
  const int64_t cost = by_columns ? 2 * tw.most : tw.most;
  const int64_t columns_first = in_rows * out_row * cost + rows * out_row * row_taps;
  const int64_t rows_first = rows * in_row * row_taps + rows * out_row * cost;
  const bool whole_rows = td.most <= 1 && th.most <= 1 && td.unit && th.unit;
  const bool keep = !tw.identity && columns_first < rows_first;
  const bool at_once = !by_columns && !copied && p.w.first[p.w.out] <= p.w.in;
  Kept<T> kept{min64(td.window, p.d.in), min64(th.window, p.h.in), out_row, nullptr, nullptr};
  if (p.d.out > 1 && kept.slots_d * p.h.in * out_row <= (int64_t(1) << 17)) kept.slots_h = p.h.in;

  auto along = [&](const T* x, T* y) {
    if (tw.identity) return void(__builtin_memcpy(y, x, static_cast<size_t>(out_row) * sizeof(T)));
    if (copied) return along_run(p.w, tw, p.inner, x, y);
    if (!by_columns) return along_pixels<T>(p.w, p.inner, x, y);
    if (tw.even)
      return tw.unit ? along_columns<T, true, true>(columns, x, y)
                     : along_columns<T, true, false>(columns, x, y);
    return tw.unit ? along_columns<T, false, true>(columns, x, y)
                   : along_columns<T, false, false>(columns, x, y);
  };

  const int64_t work = max64(1, out_row * (2 * tw.most + row_taps));
  parallel_for(p.outer * rows, max64(1, kGrain / work), [&](int64_t b, int64_t e) {
    Tap<T>* taps = scratch<Tap<T>>(3, row_taps);
    Kept<T> mine = kept;
    T* middle = nullptr;
    if (!whole_rows && keep) {
      const int64_t slots = mine.slots_d * mine.slots_h;
      mine.tag = scratch<int64_t>(4, slots);
      mine.rows = scratch<T>(5, slots * out_row);
      for (int64_t s = 0; s < slots; ++s) mine.tag[s] = -1;
    } else if (!whole_rows) {
      middle = scratch<T>(5, in_row);
    }
    int64_t o = b / rows, od = b % rows / p.h.out, oh = b % p.h.out;
    for (int64_t t = b; t < e; ++t, ++oh) {  // counting: a short row costs less than divisions
      if (oh == p.h.out) oh = 0, ++od;
      if (od == p.d.out) od = 0, ++o;
      const T* x = static_cast<const T*>(p.x) + o * in_rows * in_row;
      T* y = static_cast<T*>(p.y) + t * out_row;
      if (whole_rows) {
        const int64_t d = p.d.first[od], h = p.h.first[oh];
        if (d < p.d.first[od + 1] && h < p.h.first[oh + 1])
          along(x + (p.d.index[d] * p.h.in + p.h.index[h]) * in_row, y);
        else
          __builtin_memset(static_cast<void*>(y), 0, static_cast<size_t>(out_row) * sizeof(T));
        continue;
      }
      int64_t count = 0;
      for (int64_t i = p.d.first[od]; i < p.d.first[od + 1]; ++i)
        for (int64_t j = p.h.first[oh]; j < p.h.first[oh + 1]; ++j) {
          const int64_t d = p.d.index[i], h = p.h.index[j], row = d * p.h.in + h;
          const T* from = x + row * in_row;
          if (keep) {
            const int64_t s = mine.slot(d, h);
            T* treated = mine.rows + s * out_row;
            if (mine.tag[s] != o * in_rows + row) {
              along(from, treated);
              mine.tag[s] = o * in_rows + row;
            }
            from = treated;
          }
          taps[count++] = {from, static_cast<const T*>(p.d.weight)[i] * static_cast<const T*>(p.h.weight)[j]};
        }
      if (keep || tw.identity) {
        combine(taps, count, out_row, y);
      } else if (at_once) {
        combine_pixels<T>(p.w, p.inner, taps, count, y);
      } else {
        combine(taps, count, in_row, middle);
        along(middle, y);
      }
    }
  });
}

DLCORE_INSTANTIATE_FLOATS(resample, ResampleArgs)

}  // namespace DLCORE_ISA
}  // namespace dlcore
