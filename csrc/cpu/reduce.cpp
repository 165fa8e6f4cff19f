// Reductions over any set of axes. Two loops, chosen by the layout alone:
//   rows     x is contiguous along a reduced axis: vector accumulators along it
//   columns  x is contiguous along a kept axis: one accumulator an output, vectorised across outputs
// Sums run over blocks of a fixed length in the kernel's dtype; the blocks are added in double, so the error
// of a float32 sum stays that of a block. The order depends on the shape alone, never on threads.
#include "kernels/reduce.h"

#include "cpu/softmax.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

template <class T>
constexpr bool kIsFloat = __is_same(T, float) || __is_same(T, double);
// What blocks are added in.
template <class T>
struct WideOf {
  using type = T;
};
template <>
struct WideOf<float> {
  using type = double;
};
template <class T>
using Wide = typename WideOf<T>::type;

constexpr int64_t kBlock = 1024;    // elements of a row that are summed in T
constexpr int64_t kRowBlock = 128;  // rows that columns are summed over in T
constexpr int64_t kPanel = 2048;    // columns that are summed together at most
constexpr int64_t kChunk = 65536;   // elements a partial result covers where outputs are few

template <class T>
DLCORE_INLINE T lowest() {
  if constexpr (__is_same(T, float))
    return -__builtin_inff();
  else if constexpr (__is_same(T, double))
    return -__builtin_inf();
  else if constexpr (__is_same(T, int32_t))
    return INT32_MIN;
  else if constexpr (__is_same(T, int64_t))
    return INT64_MIN;
  else
    return T(0);
}
template <class T>
DLCORE_INLINE T highest() {
  if constexpr (__is_same(T, float))
    return __builtin_inff();
  else if constexpr (__is_same(T, double))
    return __builtin_inf();
  else if constexpr (__is_same(T, int32_t))
    return INT32_MAX;
  else if constexpr (__is_same(T, int64_t))
    return INT64_MAX;
  else
    return T(255);
}

template <Reduce OP, class T>
DLCORE_INLINE T neutral() {
  if constexpr (OP == Reduce::prod)
    return T(1);
  else if constexpr (OP == Reduce::max)
    return lowest<T>();
  else if constexpr (OP == Reduce::min)
    return highest<T>();
  else
    return T(0);
}

// acc <- acc op x, for vectors and scalars alike.
template <Reduce OP, class V>
DLCORE_INLINE V join(V acc, V x) {
  if constexpr (OP == Reduce::prod)
    return acc * x;
  else if constexpr (OP == Reduce::max)
    return (acc < x) | (x != x) ? x : acc;
  else if constexpr (OP == Reduce::min)
    return (x < acc) | (x != x) ? x : acc;
  else
    return acc + x;
}

template <Reduce OP, class V>
DLCORE_INLINE V prepare(V x, V shift) {
  if constexpr (OP == Reduce::sumsq) {
    x -= shift;
    return x * x;
  } else {
    return x;
  }
}

template <class T>
DLCORE_INLINE T finish(const ReduceArgs& p, Wide<T> total) {
  if constexpr (kIsFloat<T>)
    return static_cast<T>(p.divisor != 0 ? total / p.divisor : total);
  else
    return static_cast<T>(total);
}

template <Reduce OP, class T>
DLCORE_INLINE T across(Vec<T> v) {
  if constexpr (OP == Reduce::sum || OP == Reduce::sumsq) return hsum<T>(v);
  T a[kLanes<T>];
  __builtin_memcpy(a, &v, kVecBytes);
  for (int w = kLanes<T> / 2; w > 0; w /= 2)
    for (int i = 0; i < w; ++i) a[i] = join<OP>(a[i], a[i + w]);
  return a[0];
}

// One contiguous run; its value in the wide type.
template <Reduce OP, class T>
Wide<T> reduce_run(const T* x, int64_t n, T shift) {
  using W = Wide<T>;
  W total = neutral<OP, W>();
  if constexpr (kIsFloat<T>) {
    constexpr int L = kLanes<T>;
    const Vec<T> s = splat(shift), id = splat(neutral<OP, T>());
    for (int64_t b = 0; b < n; b += kBlock) {
      const int64_t e = min64(n, b + kBlock);
      Vec<T> acc[4] = {id, id, id, id};
      int64_t i = b;
      for (; i + 4 * L <= e; i += 4 * L)
        for (int k = 0; k < 4; ++k) acc[k] = join<OP>(acc[k], prepare<OP>(load(x + i + k * L), s));
      for (; i + L <= e; i += L) acc[0] = join<OP>(acc[0], prepare<OP>(load(x + i), s));
      if constexpr (OP == Reduce::sum) {  // lanes beyond the end add zeros
        if (i < e) acc[1] += load_n(x + i, static_cast<int>(e - i)), i = e;
      }
      const Vec<T> v = join<OP>(join<OP>(acc[0], acc[1]), join<OP>(acc[2], acc[3]));
      T block = across<OP, T>(v);
      for (; i < e; ++i) block = join<OP>(block, prepare<OP>(x[i], shift));  // the last lanes, in order
      total = join<OP>(total, static_cast<W>(block));
    }
  } else {
    for (int64_t i = 0; i < n; ++i)
      total = static_cast<W>(join<OP>(total, static_cast<W>(prepare<OP>(x[i], shift))));
  }
  return total;
}

template <Reduce OP, class T>
Wide<T> reduce_strided(const T* x, int64_t n, int64_t stride, T shift) {
  Wide<T> total = neutral<OP, Wide<T>>();
  for (int64_t i = 0; i < n; ++i)
    total = static_cast<Wide<T>>(join<OP>(total, static_cast<Wide<T>>(prepare<OP>(x[i * stride], shift))));
  return total;
}

DLCORE_INLINE int64_t offset_of(int64_t index, int ndim, const int64_t* shape, const int64_t* strides) {
  int64_t o = 0;
  for (int d = ndim - 1; d > 0; --d) {
    o += index % shape[d] * strides[d];
    index /= shape[d];
  }
  return ndim ? o + index * strides[0] : 0;  // most have one axis, and need no division
}

DLCORE_INLINE int64_t product(const int64_t* shape, int n) {
  int64_t p = 1;
  for (int d = 0; d < n; ++d) p *= shape[d];
  return p;
}

// Rows: the last reduced axis is the inner run; the reduced axes before it are walked by index. A row is cut
// into pieces of kChunk, so that a single output uses all threads.
template <Reduce OP, class T>
void reduce_rows(const ReduceArgs& p) {
  using W = Wide<T>;
  const T* x = static_cast<const T*>(p.x);
  const T* shift = static_cast<const T*>(p.shift);
  T* y = static_cast<T*>(p.y);
  const int rd = p.reduced_ndim - 1;
  const int64_t outputs = product(p.kept, p.kept_ndim), runs = product(p.reduced, rd);
  const int64_t n = p.reduced[rd], stride = p.reduced_strides[rd];
  // Units of one output: groups of whole runs, or pieces of one long run.
  const int64_t cut = ceil_div(n, kChunk), group = cut > 1 ? 1 : max64(1, kChunk / max64(1, n));
  const int64_t units = cut > 1 ? runs * cut : ceil_div(runs, group);
  auto unit = [&](const T* base, int64_t u, T s) {
    W total = neutral<OP, W>();
    if (cut > 1) {
      const int64_t at = u % cut * kChunk, m = min64(kChunk, n - at);
      const T* row = base + offset_of(u / cut, rd, p.reduced, p.reduced_strides) + at * stride;
      return stride == 1 ? reduce_run<OP, T>(row, m, s) : reduce_strided<OP, T>(row, m, stride, s);
    }
    for (int64_t r = u * group; r < min64(runs, (u + 1) * group); ++r) {
      const T* row = base + offset_of(r, rd, p.reduced, p.reduced_strides);
      const W part = stride == 1 ? reduce_run<OP, T>(row, n, s) : reduce_strided<OP, T>(row, n, stride, s);
      total = static_cast<W>(join<OP>(total, part));
    }
    return total;
  };
  auto shift_of = [&](int64_t o) { return shift ? shift[o] : T(0); };
  if (units <= 1) {
    parallel_for(outputs, max64(1, kGrain / max64(1, runs * n)), [&](int64_t b, int64_t e) {
      for (int64_t o = b; o < e; ++o)
        y[o] = finish<T>(p, unit(x + offset_of(o, p.kept_ndim, p.kept, p.kept_strides), 0, shift_of(o)));
    });
    return;
  }
  W* partial = scratch<W>(0, outputs * units);
  parallel_for(outputs * units, 1, [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; ++t) {
      const int64_t o = t / units;
      partial[t] = unit(x + offset_of(o, p.kept_ndim, p.kept, p.kept_strides), t % units, shift_of(o));
    }
  });
  for (int64_t o = 0; o < outputs; ++o) {
    W total = neutral<OP, W>();
    for (int64_t u = 0; u < units; ++u) total = static_cast<W>(join<OP>(total, partial[o * units + u]));
    y[o] = finish<T>(p, total);
  }
}

// Columns [c0, c1) of rows [r0, r1): acc[c - c0] in the wide type.
template <Reduce OP, class T>
void reduce_panel(const ReduceArgs& p, const T* x, int64_t r0, int64_t r1, int64_t c0, int64_t c1,
                  const T* shift, Wide<T>* acc) {
  using W = Wide<T>;
  const int64_t m = c1 - c0;
  for (int64_t c = 0; c < m; ++c) acc[c] = neutral<OP, W>();
  T block[kPanel];
  for (int64_t rb = r0; rb < r1; rb += kRowBlock) {
    const int64_t re = min64(r1, rb + kRowBlock);
    for (int64_t c = 0; c < m; ++c) block[c] = neutral<OP, T>();
    for (int64_t r = rb; r < re; ++r) {
      const int64_t at = p.reduced_ndim == 1 ? r * p.reduced_strides[0]
                                             : offset_of(r, p.reduced_ndim, p.reduced, p.reduced_strides);
      const T* row = x + at + c0;
      if (shift)
        for (int64_t c = 0; c < m; ++c)
          block[c] = static_cast<T>(join<OP>(block[c], prepare<OP>(row[c], shift[c])));
      else
        for (int64_t c = 0; c < m; ++c)
          block[c] = static_cast<T>(join<OP>(block[c], prepare<OP>(row[c], T(0))));
    }
    for (int64_t c = 0; c < m; ++c) acc[c] = static_cast<W>(join<OP>(acc[c], static_cast<W>(block[c])));
  }
}

template <Reduce OP, class T>
void reduce_columns(const ReduceArgs& p) {
  using W = Wide<T>;
  const T* x = static_cast<const T*>(p.x);
  const T* shift = static_cast<const T*>(p.shift);
  T* y = static_cast<T*>(p.y);
  const int kd = p.kept_ndim - 1;
  const int64_t columns = p.kept[kd], outer = product(p.kept, kd), rows = product(p.reduced, p.reduced_ndim);
  // Whole rows where there are many, which reads memory in order; else enough panels for the threads.
  const int64_t width = columns <= kPanel && rows > 2 * kRowBlock ? columns : min64(columns, 512);
  const int64_t panels = ceil_div(columns, width);
  const int64_t height = max64(kRowBlock, kChunk / width), cuts = max64(1, ceil_div(rows, height));
  const int64_t tasks = outer * panels * cuts;
  W* partial = cuts > 1 ? scratch<W>(0, tasks * width) : nullptr;
  parallel_for(tasks, max64(1, kGrain / max64(1, width * min64(rows, height))), [&](int64_t b, int64_t e) {
    W local[kPanel];
    for (int64_t t = b; t < e; ++t) {
      const int64_t cut = t % cuts, panel = t / cuts % panels, o = t / cuts / panels;
      const int64_t c0 = panel * width, c1 = min64(columns, c0 + width);
      W* acc = partial ? partial + t * width : local;
      reduce_panel<OP, T>(p, x + offset_of(o, kd, p.kept, p.kept_strides), cut * height,
                          min64(rows, (cut + 1) * height), c0, c1, shift ? shift + o * columns + c0 : nullptr,
                          acc);
      if (!partial)
        for (int64_t c = c0; c < c1; ++c) y[o * columns + c] = finish<T>(p, acc[c - c0]);
    }
  });
  if (!partial) return;
  for (int64_t g = 0; g < outer * panels; ++g) {
    const int64_t o = g / panels, c0 = g % panels * width, c1 = min64(columns, c0 + width);
    W* const total = partial + g * cuts * width;
    for (int64_t cut = 1; cut < cuts; ++cut)
      for (int64_t c = 0; c < c1 - c0; ++c)
        total[c] = static_cast<W>(join<OP>(total[c], total[cut * width + c]));
    for (int64_t c = c0; c < c1; ++c) y[o * columns + c] = finish<T>(p, total[c - c0]);
  }
}

template <Reduce OP, class T>
void reduce_op(const ReduceArgs& p) {
  const bool columns = p.kept_ndim > 0 && p.kept_strides[p.kept_ndim - 1] == 1 &&
                       (p.reduced_ndim == 0 || p.reduced_strides[p.reduced_ndim - 1] != 1);
  if (columns) {
    reduce_columns<OP, T>(p);
  } else if (p.reduced_ndim == 0) {
    ReduceArgs q = p;
    q.reduced_ndim = 1, q.reduced[0] = 1, q.reduced_strides[0] = 1;
    reduce_rows<OP, T>(q);
  } else {
    reduce_rows<OP, T>(p);
  }
}

template <class T>
struct BytesOf {
  using type = T;
};
template <>
struct BytesOf<bool> {
  using type = uint8_t;
};
template <class T>
using Bytes = typename BytesOf<T>::type;

// Does x replace the best so far? Ties keep the first, and so does NaN.
template <Reduce OP, class T>
DLCORE_INLINE bool better(T x, T best) {
  if (best != best) return false;
  return (OP == Reduce::max ? best < x : x < best) | (x != x);
}

// The first place of the extreme of a run, or of its first NaN. Each lane keeps its own best and the number
// of the vector that it came from; four of them, so that no comparison waits for another.
template <Reduce OP, class T>
int64_t arg_run(const T* x, int64_t n) {
  using I = typename IntOf<T>::type;
  constexpr int L = kLanes<T>;
  constexpr int64_t kPart = int64_t(1) << 30;  // places fit the lanes' integers
  int64_t where = 0;
  for (int64_t p0 = 0; p0 < n; p0 += kPart) {
    const int64_t m = min64(n - p0, kPart);
    const T* part = x + p0;
    Vec<T> best[4];
    Vec<I> place[4], nan = {};
    for (int k = 0; k < 4; ++k) best[k] = splat(part[0]), place[k] = Vec<I>{};
    int64_t i = 0;
    Vec<I> number = {};
    auto offer = [&](int k, Vec<T> v) __attribute__((always_inline)) {
      const Vec<I> wins = OP == Reduce::max ? best[k] < v : v < best[k];
      nan |= v != v;
      best[k] = wins ? v : best[k];
      place[k] = wins ? number : place[k];
    };
    for (; i + 4 * L <= m; i += 4 * L, number += 1)
      for (int k = 0; k < 4; ++k) offer(k, load(part + i + k * L));
    for (int k = 0; i < m; ++k, i += L) {
      const int lanes = static_cast<int>(min64(L, m - i));
      offer(k, lanes == L ? load(part + i) : lanes_below<T>(lanes) ? load_n(part + i, lanes) : best[k]);
    }
    // The best of each lane's four, the earlier of equals; lanes that nothing has beaten stand for element 0.
    Vec<I> lane;
    for (int l = 0; l < L; ++l) lane[l] = l;
    for (int k = 0; k < 4; ++k)
      place[k] = best[k] == splat(part[0]) ? Vec<I>{} : place[k] * 4 * L + k * L + lane;
    for (int k = 1; k < 4; ++k) {
      const Vec<I> wins = (OP == Reduce::max ? best[0] < best[k] : best[k] < best[0]) |
                          ((best[k] == best[0]) & (place[k] < place[0]));
      best[0] = wins ? best[k] : best[0];
      place[0] = wins ? place[k] : place[0];
    }
    T top = best[0][0];
    int64_t at = place[0][0];
    bool has_nan = nan[0] != 0;
    for (int l = 1; l < L; ++l) {
      has_nan |= nan[l] != 0;
      const T v = best[0][l];
      const int64_t j = place[0][l];
      if ((OP == Reduce::max ? top < v : v < top) || (v == top && j < at)) top = v, at = j;
    }
    if (has_nan) {
      for (at = 0; part[at] == part[at];) ++at;
      top = part[at];
    }
    if (p0 == 0 || better<OP>(top, x[where])) where = p0 + at;
  }
  return where;
}

template <Reduce OP, class T>
void arg_op(const ArgReduceArgs& p) {
  const T* x = static_cast<const T*>(p.x);
  T* values = static_cast<T*>(p.values);
  const int64_t width = min64(p.inner, 256), panels = ceil_div(p.inner, max64(1, width));
  parallel_for(p.outer * panels, max64(1, kGrain / max64(1, p.n * width)), [&](int64_t b, int64_t e) {
    T best[256];
    int64_t index[256];
    for (int64_t t = b; t < e; ++t) {
      const int64_t o = t / panels, c0 = t % panels * width, m = min64(p.inner, c0 + width) - c0;
      const T* column = x + o * p.n * p.inner + c0;
      if (p.inner == 1 && p.n >= 64) {
        if constexpr (kIsFloat<T>) {
          index[0] = arg_run<OP, T>(column, p.n);
          best[0] = column[index[0]];
        } else {  // the extreme first, then where it first stands
          best[0] = static_cast<T>(reduce_run<OP, T>(column, p.n, T(0)));
          for (index[0] = 0; column[index[0]] != best[0];) ++index[0];
        }
      } else {
        for (int64_t c = 0; c < m; ++c) best[c] = column[c], index[c] = 0;
        for (int64_t r = 1; r < p.n; ++r)
          for (int64_t c = 0; c < m; ++c) {
            const T v = column[r * p.inner + c];
            if (better<OP>(v, best[c])) best[c] = v, index[c] = r;
          }
      }
      for (int64_t c = 0; c < m; ++c) {
        p.indices[o * p.inner + c0 + c] = index[c];
        if (values) values[o * p.inner + c0 + c] = best[c];
      }
    }
  });
}

}  // namespace

// Sums and products of integers are of int64 (the op converts), as in torch; bool has max (any) and min
// (all), which are those of its bytes.
template <class T>
void reduce(const ReduceArgs& p) {
  using B = Bytes<T>;
  if (p.op == Reduce::max) return reduce_op<Reduce::max, B>(p);
  if (p.op == Reduce::min) return reduce_op<Reduce::min, B>(p);
  if constexpr (kIsFloat<T> || sizeof(T) == 8) {
    if (p.op == Reduce::prod) return reduce_op<Reduce::prod, T>(p);
    if (p.op == Reduce::sum) return reduce_op<Reduce::sum, T>(p);
  }
  if constexpr (kIsFloat<T>) return reduce_op<Reduce::sumsq, T>(p);
}

template <class T>
void arg_reduce(const ArgReduceArgs& p) {
  if (p.largest)
    arg_op<Reduce::max, Bytes<T>>(p);
  else
    arg_op<Reduce::min, Bytes<T>>(p);
}

namespace {

template <int ROWS, class T>
inline void scan_rows(const ScanArgs& p, const T* x, T* y, bool prod) {
  using W = Wide<T>;
  W acc[ROWS];
  for (int j = 0; j < ROWS; ++j) acc[j] = prod ? W(1) : W(0);
  for (int64_t r = 0; r < p.n; ++r) {
    const int64_t at = p.reverse ? p.n - 1 - r : r;
    for (int j = 0; j < ROWS; ++j) {
      const W v = static_cast<W>(x[j * p.n + at]), before = acc[j];
      acc[j] = prod ? before * v : before + v;
      y[j * p.n + at] = static_cast<T>(p.exclusive ? before : acc[j]);
    }
  }
}

}  // namespace

// One column after another where they are rows, else panels of columns; each column is a chain, so threads
// share columns.
template <class T>
void scan(const ScanArgs& p) {
  if constexpr (kIsFloat<T> || sizeof(T) == 8) {
    using W = Wide<T>;
    const T* x = static_cast<const T*>(p.x);
    T* y = static_cast<T*>(p.y);
    const bool prod = p.op == Reduce::prod;
    if (p.inner == 1) {  // eight rows side by side: eight chains of additions, not one
      parallel_for(p.outer, max64(8, kGrain / 4 / max64(1, p.n)), [&](int64_t b, int64_t e) {
        for (; b + 8 <= e; b += 8) scan_rows<8>(p, x + b * p.n, y + b * p.n, prod);
        for (; b < e; ++b) scan_rows<1>(p, x + b * p.n, y + b * p.n, prod);
      });
      return;
    }
    const int64_t width = min64(p.inner, 256), panels = ceil_div(p.inner, max64(1, width));
    parallel_for(p.outer * panels, max64(1, kGrain / max64(1, p.n * width)), [&](int64_t b, int64_t e) {
      W acc[256];
      for (int64_t t = b; t < e; ++t) {
        const int64_t o = t / panels, c0 = t % panels * width, m = min64(p.inner, c0 + width) - c0;
        for (int64_t c = 0; c < m; ++c) acc[c] = prod ? W(1) : W(0);
        for (int64_t r = 0; r < p.n; ++r) {
          const int64_t at = (o * p.n + (p.reverse ? p.n - 1 - r : r)) * p.inner + c0;
          for (int64_t c = 0; c < m; ++c) {
            const W v = static_cast<W>(x[at + c]), before = acc[c];
            acc[c] = prod ? before * v : before + v;
            y[at + c] = static_cast<T>(p.exclusive ? before : acc[c]);
          }
        }
      }
    });
  }
}

namespace {

template <Reduce OP, class T>
void cum_op(const CumExtremeArgs& p) {
  const T* x = static_cast<const T*>(p.x);
  T* values = static_cast<T*>(p.values);
  const int64_t width = min64(p.inner, 256), panels = ceil_div(p.inner, max64(1, width));
  parallel_for(p.outer * panels, max64(1, kGrain / max64(1, p.n * width)), [&](int64_t b, int64_t e) {
    T best[256];
    int64_t index[256];
    for (int64_t t = b; t < e; ++t) {
      if (p.inner == 1) {
        int64_t where = 0, at = t * p.n;
        T top = x[at];
        for (int64_t r = 0; r < p.n; ++r, ++at) {
          const T v = x[at];
          if (v != v || (OP == Reduce::max ? top <= v : v <= top)) top = v, where = r;
          values[at] = top, p.indices[at] = where;
        }
        continue;
      }
      const int64_t o = t / panels, c0 = t % panels * width, m = min64(p.inner, c0 + width) - c0;
      for (int64_t r = 0; r < p.n; ++r) {
        const int64_t at = (o * p.n + r) * p.inner + c0;
        for (int64_t c = 0; c < m; ++c) {
          const T v = x[at + c];
          const bool wins = r == 0 || v != v || (OP == Reduce::max ? best[c] <= v : v <= best[c]);
          if (wins) best[c] = v, index[c] = r;
          values[at + c] = best[c], p.indices[at + c] = index[c];
        }
      }
    }
  });
}

// log(e^a + e^b); equal infinities stay what they are.
DLCORE_INLINE double log_add(double a, double b) {
  const double high = a < b || b != b ? b : a, low = a < b || b != b ? a : b;
  if (high == low && high - high != 0) return high;
  return high + __builtin_log1p(__builtin_exp(low - high));
}

}  // namespace

template <class T>
void cum_extreme(const CumExtremeArgs& p) {
  if (p.largest)
    cum_op<Reduce::max, Bytes<T>>(p);
  else
    cum_op<Reduce::min, Bytes<T>>(p);
}

template <class T>
void logcumsumexp(const LogCumsumArgs& p) {
  const T* x = static_cast<const T*>(p.x);
  T* y = static_cast<T*>(p.y);
  const int64_t columns = p.outer * p.inner;
  parallel_for(columns, max64(1, kGrain / 32 / max64(1, p.n)), [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; ++t) {
      const int64_t first = t / p.inner * p.n * p.inner + t % p.inner;
      double total = -__builtin_inf();
      for (int64_t r = 0; r < p.n; ++r) {
        const int64_t at = first + (p.reverse ? p.n - 1 - r : r) * p.inner;
        total = log_add(total, static_cast<double>(x[at]));
        y[at] = static_cast<T>(total);
      }
    }
  });
}

DLCORE_INSTANTIATE_ALL(reduce, ReduceArgs)
DLCORE_INSTANTIATE_ALL(arg_reduce, ArgReduceArgs)
DLCORE_INSTANTIATE_ALL(scan, ScanArgs)
DLCORE_INSTANTIATE_ALL(cum_extreme, CumExtremeArgs)
DLCORE_INSTANTIATE_FLOATS(logcumsumexp, LogCumsumArgs)

}  // namespace DLCORE_ISA
}  // namespace dlcore
