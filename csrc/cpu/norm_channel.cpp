// Batch norm, group norm and instance norm: y = (x - mean) rstd w[c] + b[c], mean and rstd of a set of
// planes. S. Ioffe, C. Szegedy: Batch normalization (2015); Y. Wu, K. He: Group normalization (2018); D.
// Ulyanov et al.: Instance normalization (2016).
//
// Channels-first: a plane is the S contiguous elements of a sample's channel. A set, its planes one after
// another, is summed and then normalised by one thread while it is in L2; sets too large for that, or too few
// for the threads, go in two passes. Channels-last: rows of C contiguous elements, summed down in panels of
// vectors, a chunk of rows at a time, then normalised row by row. A batch norm is then one sample of N S
// rows.
#include "cpu/norm.h"
#include "kernels/norm.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

constexpr int64_t kFused = int64_t{1} << 20;  // bytes of a set that one thread reads twice
constexpr int64_t kFewSets = 8;
constexpr int64_t kRowsOfSums = 32;  // rows that are summed in the kernel's dtype alone
constexpr int kPanel = 4;            // vectors

// Where the sets, planes and weights of a channels-first array are. Plane t = n C + c begins at t S.
struct Planes {
  int64_t N, C, S, groups, sets, count;  // count: planes of a set
  bool batch;
  template <class Args>
  explicit Planes(const Args& p)
      : N(p.N),
        C(p.C),
        S(p.S),
        groups(p.groups),
        sets(p.groups ? p.N * p.groups : p.C),
        count(p.groups ? p.C / p.groups : p.N),
        batch(p.groups == 0) {}
  int64_t plane(int64_t set, int64_t i) const { return batch ? i * C + set : set * count + i; }
  int64_t set_of(int64_t plane) const { return batch ? plane % C : plane / count; }
  int64_t elements() const { return count * S; }
  bool fused(int64_t item) const { return sets >= kFewSets && elements() * item <= kFused; }
};

// Sets in parallel, each whole; or the three steps one after another, each in parallel.
template <class Sum, class Finish, class Apply>
inline void run_sets(const Planes& q, bool fused, int64_t units, const Sum& sum, const Finish& finish,
                     const Apply& apply) {
  if (fused) {
    parallel_for(q.sets, max64(1, kGrain / 2 / q.elements()), [&](int64_t b, int64_t e) {
      for (int64_t s = b; s < e; ++s) {
        for (int64_t u = 0; u < units; ++u) sum(s, u);
        finish(s);
        for (int64_t i = 0; i < q.count; ++i) apply(q.plane(s, i));
      }
      fence();
    });
    return;
  }
  parallel_for(q.sets * units, max64(1, kGrain * units / q.elements()), [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; ++t) sum(t / units, t % units);
  });
  for (int64_t s = 0; s < q.sets; ++s) finish(s);
  parallel_for(q.N * q.C, max64(1, kGrain / q.S), [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; ++t) apply(t);
    fence();
  });
}

template <class T>
T weight_at(const void* w, int64_t c) {
  return w ? static_cast<const T*>(w)[c] : T(1);
}
template <class T>
T bias_at(const void* b, int64_t c) {
  return b ? static_cast<const T*>(b)[c] : T(0);
}

template <class T>
T inverse_std(double variance, double eps) {
  return static_cast<T>(1 / __builtin_sqrt(variance + eps));
}

template <class T>
void finish_set(const ChannelNormArgs& p, int64_t set, const Moments& m) {
  static_cast<T*>(p.mean)[set] = static_cast<T>(m.mean);
  static_cast<T*>(p.rstd)[set] = inverse_std<T>(m.m2 / m.n, p.eps);
}

// r <- (1 - momentum) r + momentum (statistic, averaged over the samples that have one of their own).
template <class T>
void update_running(const ChannelNormArgs& p, const Moments* sets) {
  if (!p.running_mean) return;
  const int64_t samples = p.groups ? p.N : 1;
  T* mean = static_cast<T*>(p.running_mean);
  T* var = static_cast<T*>(p.running_var);
  for (int64_t c = 0; c < p.C; ++c) {
    double m = 0, v = 0;
    for (int64_t n = 0; n < samples; ++n) {
      const Moments& s = sets[n * p.C + c];
      m += s.mean;
      v += s.m2 / (p.unbiased ? s.n - 1 : s.n);
    }
    const double scale = p.momentum / static_cast<double>(samples);
    mean[c] = static_cast<T>((1 - p.momentum) * static_cast<double>(mean[c]) + scale * m);
    var[c] = static_cast<T>((1 - p.momentum) * static_cast<double>(var[c]) + scale * v);
  }
}

template <class T>
void take_running(const ChannelNormArgs& p) {
  for (int64_t c = 0; c < p.C; ++c) {
    static_cast<T*>(p.mean)[c] = static_cast<const T*>(p.running_mean)[c];
    const double v = static_cast<double>(static_cast<const T*>(p.running_var)[c]);
    static_cast<T*>(p.rstd)[c] = inverse_std<T>(v, p.eps);
  }
}

template <bool Stream, class T>
void normalise_plane(const T* x, T* y, int64_t n, T mean, T scale, T shift) {
  const Vec<T> m = splat(mean), a = splat(scale), b = splat(shift);
  each_vector<T>(0, n, [&](int64_t i, int lanes) __attribute__((always_inline)) {
    store_result<Stream, T>(y + i, fma(load_upto(x + i, lanes) - m, a, b), lanes);
  });
}

template <class T>
void forward_planes(const ChannelNormArgs& p) {
  const Planes q(p);
  const T* x = static_cast<const T*>(p.x);
  T* y = static_cast<T*>(p.y);
  const T* mean = static_cast<const T*>(p.mean);
  const T* rstd = static_cast<const T*>(p.rstd);
  const auto run = streams(y, q.S, q.N * q.C * q.S) ? normalise_plane<true, T> : normalise_plane<false, T>;
  auto apply = [&](int64_t t) {
    const int64_t set = q.set_of(t), c = t % q.C, at = t * q.S;
    run(x + at, y + at, q.S, mean[set], rstd[set] * weight_at<T>(p.weight, c), bias_at<T>(p.bias, c));
  };
  if (!p.statistics) {
    take_running<T>(p);
    parallel_for(q.N * q.C, max64(1, kGrain / q.S), [&](int64_t b, int64_t e) {
      for (int64_t t = b; t < e; ++t) apply(t);
      fence();
    });
    return;
  }
  // Chunks of a set: pieces of a plane, or several planes; those of a group are one run.
  const int64_t cut = ceil_div(q.S, kChunk), some = cut > 1 ? 1 : max64(1, min64(q.count, kChunk / q.S));
  const int64_t units = cut > 1 ? q.count * cut : ceil_div(q.count, some);
  auto chunk = [&](int64_t s, int64_t u) {
    if (cut > 1) {
      const int64_t at = u % cut * kChunk;
      return chunk_moments(x + q.plane(s, u / cut) * q.S + at, 1, min64(kChunk, q.S - at), 0);
    }
    const int64_t m = min64(some, q.count - u * some);
    const T* first = x + q.plane(s, u * some) * q.S;
    return q.batch ? chunk_moments(first, m, q.S, q.C * q.S) : chunk_moments(first, 1, m * q.S, 0);
  };
  Moments* sets = scratch<Moments>(2, q.sets);
  Moments* parts = scratch<Moments>(3, q.sets * units);
  run_sets(
      q, q.fused(sizeof(T)), units, [&](int64_t s, int64_t u) { parts[s * units + u] = chunk(s, u); },
      [&](int64_t s) {
        sets[s] = parts[s * units];
        for (int64_t u = 1; u < units; ++u) merge(sets[s], parts[s * units + u]);
        finish_set<T>(p, s, sets[s]);
      },
      apply);
  update_running<T>(p, sets);
}

// The coefficients of dx = p ((u dy - m) - (x - mean) k): the differences first, while they are exact. A
// batch norm's weight is in p and u is 1, a group's weights differ and are u; m and k are the set's.
struct Slopes {
  double m, k;
};
DLCORE_INLINE Slopes slopes(double rstd, double n, double sum_g, double sum_gd) {
  return {sum_g / n, rstd * rstd * sum_gd / n};
}
template <class T>
struct Factors {
  T p, u;
};
template <class T>
DLCORE_INLINE Factors<T> factors(bool batch, T rstd, T weight) {
  return batch ? Factors<T>{rstd * weight, T(1)} : Factors<T>{rstd, weight};
}

// dweight[c] += sum of rstd s2, dbias[c] += sum of s1 over the samples; sums of plane (n, c) at 2 (n C + c).
template <class T>
void parameter_gradients(const ChannelNormBackwardArgs& p, int64_t samples, const double* sums) {
  const T* rstd = static_cast<const T*>(p.rstd);
  T* dw = static_cast<T*>(p.dweight);
  T* db = static_cast<T*>(p.dbias);
  if (!dw && !db) return;
  for (int64_t c = 0; c < p.C; ++c) {
    double s1 = 0, s2 = 0;
    for (int64_t n = 0; n < samples; ++n) {
      const int64_t set = p.groups ? n * p.groups + c / (p.C / p.groups) : c;
      s1 += sums[2 * (n * p.C + c)];
      s2 += sums[2 * (n * p.C + c) + 1] * static_cast<double>(rstd[set]);
    }
    if (dw) dw[c] += static_cast<T>(s2);
    if (db) db[c] += static_cast<T>(s1);
  }
}

template <bool Stream, class T>
void slope_plane(const T* dy, const T* x, T* dx, int64_t n, T mean, Factors<T> f, T m, T k) {
  const Vec<T> centre = splat(mean), p = splat(f.p), u = splat(f.u), vm = splat(m), vk = splat(k);
  each_vector<T>(0, n, [&](int64_t i, int lanes) __attribute__((always_inline)) {
    const Vec<T> d = load_upto(x + i, lanes) - centre, g = load_upto(dy + i, lanes);
    store_result<Stream, T>(dx + i, p * ((u * g - vm) - d * vk), lanes);
  });
}
template <bool Stream, class T>
void scale_plane(const T* dy, T* dx, int64_t n, T a) {
  const Vec<T> va = splat(a);
  each_vector<T>(0, n, [&](int64_t i, int lanes) __attribute__((always_inline)) {
    store_result<Stream, T>(dx + i, va * load_upto(dy + i, lanes), lanes);
  });
}

template <class T>
void backward_planes(const ChannelNormBackwardArgs& p) {
  const Planes q(p);
  const T* x = static_cast<const T*>(p.x);
  const T* dy = static_cast<const T*>(p.dy);
  T* dx = static_cast<T*>(p.dx);
  const T* mean = static_cast<const T*>(p.mean);
  const T* rstd = static_cast<const T*>(p.rstd);
  const bool stream = dx && streams(dx, q.S, q.N * q.C * q.S);
  // Sums of a plane; of several where the planes of a set have one weight, a batch norm's.
  const int64_t some = q.batch ? max64(1, min64(q.count, kChunk / q.S)) : 1, units = ceil_div(q.count, some);
  double* sums = scratch<double>(2, 2 * q.sets * units);
  Slopes* slope = scratch<Slopes>(3, q.sets);
  const bool need_sums = p.statistics || p.dweight || p.dbias;
  auto sum = [&](int64_t s, int64_t u) {
    if (!need_sums) return;
    const Vec<T> m = splat(mean[s]);
    Vec<T> total[2] = {};
    for (int64_t i = u * some; i < min64(q.count, (u + 1) * some); ++i) {
      const int64_t at = q.plane(s, i) * q.S;
      add_run<2, T>(q.S, total, [&](int64_t j, int lanes, Vec<T>* acc) __attribute__((always_inline)) {
        const Vec<T> g = load_upto(dy + at + j, lanes);
        acc[0] += g;
        acc[1] += g * (load_upto(x + at + j, lanes) - m);  // lanes beyond: 0 * -mean
      });
    }
    const int64_t t = q.plane(s, u);
    sums[2 * t] = static_cast<double>(hsum<T>(total[0]));
    sums[2 * t + 1] = static_cast<double>(hsum<T>(total[1]));
  };
  auto finish = [&](int64_t s) {
    double s1 = 0, s2 = 0;
    for (int64_t i = 0; i < units && p.statistics; ++i) {
      const int64_t t = q.plane(s, i);
      const double u = static_cast<double>(factors<T>(q.batch, rstd[s], weight_at<T>(p.weight, t % q.C)).u);
      s1 += u * sums[2 * t], s2 += u * sums[2 * t + 1];
    }
    slope[s] = slopes(static_cast<double>(rstd[s]), static_cast<double>(q.elements()), s1, s2);
  };
  auto apply = [&](int64_t t) {
    if (!dx) return;
    const int64_t s = q.set_of(t), at = t * q.S;
    const Factors<T> f = factors<T>(q.batch, rstd[s], weight_at<T>(p.weight, t % q.C));
    if (!p.statistics)
      return (stream ? scale_plane<true, T> : scale_plane<false, T>)(dy + at, dx + at, q.S, f.p);
    (stream ? slope_plane<true, T> : slope_plane<false, T>)(dy + at, x + at, dx + at, q.S, mean[s], f,
                                                            static_cast<T>(slope[s].m),
                                                            static_cast<T>(slope[s].k));
  };
  run_sets(q, q.fused(sizeof(T)), units, sum, finish, apply);
  parameter_gradients<T>(p, q.batch ? units : q.N, sums);
}

// ---- channels-last
// -----------------------------------------------------------------------------------------

// total[k] += what f(r, acc) adds to acc[k] over rows [0, n), in blocks of rows.
template <int K, class T, class F>
DLCORE_INLINE void add_rows(int64_t n, Vec<T>* total, const F& f) {
  for (int64_t b = 0; b < n; b += kRowsOfSums) {
    Vec<T> acc[K] = {};
    for (int64_t r = b; r < min64(n, b + kRowsOfSums); ++r) f(r, acc);
    for (int k = 0; k < K; ++k) total[k] += acc[k];
  }
}

// Samples of R rows of C elements, in chunks of rows and panels of columns.
struct Rows {
  int64_t samples, R, C, height, cuts, panels, sets, width;  // sets a sample, of `width` channels
  template <class T, class Args>
  Rows(const Args& p, T)
      : samples(p.groups ? p.N : 1),
        R(p.groups ? p.S : p.N * p.S),
        C(p.C),
        height(max64(2 * kRowsOfSums, min64(kChunk / p.C, 1024))),
        cuts(ceil_div(R, height)),
        panels(ceil_div(C, kPanel * kLanes<T>)),
        sets(p.groups ? p.groups : p.C),
        width(C / sets) {}
  // f(chunk, rows of it, first element, first column): each vector of columns of a panel, or all of them.
  template <class T, class Wide, class Narrow>
  void each_panel(const Wide& wide, const Narrow& narrow) const {
    constexpr int L = kLanes<T>;
    const int64_t grain = max64(1, kGrain / (min64(R, height) * min64(C, kPanel * L)));
    parallel_for(samples * cuts * panels, grain, [&](int64_t b, int64_t e) {
      for (int64_t t = b; t < e; ++t) {
        const int64_t chunk = t / panels, cut = chunk % cuts, r = cut * height;
        const int64_t rows = min64(height, R - r), c = t % panels * kPanel * L;
        const int64_t at = (chunk / cuts * R + r) * C + c;
        if (c + kPanel * L <= C)
          wide(chunk, rows, at, c);
        else
          each_vector<T>(0, C - c, [&](int64_t j, int lanes) { narrow(chunk, rows, at + j, c + j, lanes); });
      }
    });
  }
  // f(sample, row's first element) for every row.
  template <class F>
  void each_row(const F& f) const {
    parallel_for(samples * R, max64(1, kGrain / C), [&](int64_t b, int64_t e) {
      for (int64_t r = b; r < e; ++r) f(r / R, r * C);
      fence();
    });
  }
};

template <class T>
DLCORE_INLINE void store_wide(double* to, Vec<T> v, int lanes) {
  T a[kLanes<T>];
  store(a, v);
  for (int i = 0; i < lanes; ++i) to[i] = static_cast<double>(a[i]);
}

// Means and squared distances of P vectors of columns, to mean[c] and m2[c].
template <int P, class T>
inline void panel_moments(const T* x, int64_t rows, int64_t stride, int lanes, double* mean, double* m2) {
  constexpr int L = kLanes<T>;
  Vec<T> sum[P] = {}, s[2 * P] = {}, centre[P];
  add_rows<P, T>(rows, sum, [&](int64_t r, Vec<T>* acc) __attribute__((always_inline)) {
    for (int k = 0; k < P; ++k) acc[k] += load_upto(x + r * stride + k * L, lanes);
  });
  for (int k = 0; k < P; ++k) centre[k] = sum[k] / splat(static_cast<T>(rows));
  add_rows<2 * P, T>(rows, s, [&](int64_t r, Vec<T>* acc) __attribute__((always_inline)) {
    for (int k = 0; k < P; ++k) {
      const Vec<T> d = load_upto(x + r * stride + k * L, lanes) - centre[k];
      acc[k] += d;
      acc[P + k] += d * d;
    }
  });
  T c[L], d[L], d2[L];
  for (int k = 0; k < P; ++k) {
    store(c, centre[k]), store(d, s[k]), store(d2, s[P + k]);
    for (int i = 0; i < lanes; ++i) {
      const Moments m = moments_from(static_cast<double>(rows), c[i], d[i], d2[i]);
      mean[k * L + i] = m.mean, m2[k * L + i] = m.m2;
    }
  }
}

template <bool Stream, class T>
void normalise_row(const T* x, T* y, int64_t n, const T* mean, const T* scale, const T* shift) {
  each_vector<T>(0, n, [&](int64_t i, int lanes) __attribute__((always_inline)) {
    const Vec<T> d = load_upto(x + i, lanes) - load_upto(mean + i, lanes);
    const Vec<T> b = shift ? load_upto(shift + i, lanes) : Vec<T>{};
    store_result<Stream, T>(y + i, fma(d, load_upto(scale + i, lanes), b), lanes);
  });
}

template <class T>
void forward_rows(const ChannelNormArgs& p) {
  const Rows q(p, T());
  const T* x = static_cast<const T*>(p.x);
  T* y = static_cast<T*>(p.y);
  const T* mean = static_cast<const T*>(p.mean);
  const T* rstd = static_cast<const T*>(p.rstd);
  const int64_t C = q.C;
  if (p.statistics) {
    double* parts = scratch<double>(2, q.samples * q.cuts * 2 * C);
    q.template each_panel<T>(
        [&](int64_t chunk, int64_t rows, int64_t at, int64_t c) {
          double* to = parts + chunk * 2 * C + c;
          panel_moments<kPanel, T>(x + at, rows, C, kLanes<T>, to, to + C);
        },
        [&](int64_t chunk, int64_t rows, int64_t at, int64_t c, int lanes) {
          double* to = parts + chunk * 2 * C + c;
          panel_moments<1, T>(x + at, rows, C, lanes, to, to + C);
        });
    Moments* sets = scratch<Moments>(3, q.samples * q.sets);
    for (int64_t s = 0; s < q.samples * q.sets; ++s) {
      const int64_t n = s / q.sets, c0 = s % q.sets * q.width;
      Moments total = {0, 0, 0};
      for (int64_t u = 0; u < q.cuts; ++u) {
        const double rows = static_cast<double>(min64(q.height, q.R - u * q.height));
        const double* from = parts + (n * q.cuts + u) * 2 * C;
        for (int64_t c = c0; c < c0 + q.width; ++c) merge(total, Moments{rows, from[c], from[C + c]});
      }
      sets[s] = total;
      finish_set<T>(p, s, total);
    }
    update_running<T>(p, sets);
  } else {
    take_running<T>(p);
  }
  T* centre = scratch<T>(2, 2 * q.samples * C);
  T* scale = centre + q.samples * C;
  for (int64_t t = 0; t < q.samples * C; ++t) {
    const int64_t set = t / C * q.sets + t % C / q.width;
    centre[t] = mean[set], scale[t] = rstd[set] * weight_at<T>(p.weight, t % C);
  }
  const T* shift = static_cast<const T*>(p.bias);
  const auto run = streams(y, C, p.N * p.S * C) ? normalise_row<true, T> : normalise_row<false, T>;
  q.each_row([&](int64_t n, int64_t at) { run(x + at, y + at, C, centre + n * C, scale + n * C, shift); });
}

template <int P, class T>
inline void panel_sums(const T* dy, const T* x, int64_t rows, int64_t stride, int lanes, const T* mean,
                       double* s1, double* s2) {
  constexpr int L = kLanes<T>;
  Vec<T> m[P], total[2 * P] = {};
  for (int k = 0; k < P; ++k) m[k] = load_upto(mean + k * L, lanes);
  add_rows<2 * P, T>(rows, total, [&](int64_t r, Vec<T>* acc) __attribute__((always_inline)) {
    for (int k = 0; k < P; ++k) {
      const Vec<T> g = load_upto(dy + r * stride + k * L, lanes);
      acc[k] += g;
      acc[P + k] += g * (load_upto(x + r * stride + k * L, lanes) - m[k]);
    }
  });
  for (int k = 0; k < P; ++k)
    store_wide<T>(s1 + k * L, total[k], lanes), store_wide<T>(s2 + k * L, total[P + k], lanes);
}

template <bool Stream, class T>
void slope_row(const T* dy, const T* x, T* dx, int64_t n, const T* mean, const T* p, const T* u, const T* m,
               const T* k) {
  each_vector<T>(0, n, [&](int64_t i, int lanes) __attribute__((always_inline)) {
    const Vec<T> d = load_upto(x + i, lanes) - load_upto(mean + i, lanes);
    const Vec<T> g = load_upto(u + i, lanes) * load_upto(dy + i, lanes) - load_upto(m + i, lanes);
    store_result<Stream, T>(dx + i, load_upto(p + i, lanes) * (g - d * load_upto(k + i, lanes)), lanes);
  });
}
template <bool Stream, class T>
void scale_row(const T* dy, T* dx, int64_t n, const T* a) {
  each_vector<T>(0, n, [&](int64_t i, int lanes) __attribute__((always_inline)) {
    store_result<Stream, T>(dx + i, load_upto(a + i, lanes) * load_upto(dy + i, lanes), lanes);
  });
}

template <class T>
void backward_rows(const ChannelNormBackwardArgs& p) {
  const Rows q(p, T());
  const T* x = static_cast<const T*>(p.x);
  const T* dy = static_cast<const T*>(p.dy);
  T* dx = static_cast<T*>(p.dx);
  const T* mean = static_cast<const T*>(p.mean);
  const T* rstd = static_cast<const T*>(p.rstd);
  const int64_t C = q.C, SC = q.samples * C;
  T* centre = scratch<T>(2, 5 * SC);  // then the coefficients of dx, each (samples, C)
  T *scale = centre + SC, *u = scale + SC, *m = u + SC, *k = m + SC;
  auto set_of = [&](int64_t t) { return t / C * q.sets + t % C / q.width; };
  for (int64_t t = 0; t < SC; ++t) {
    centre[t] = mean[set_of(t)];
    const Factors<T> f = factors<T>(p.groups == 0, rstd[set_of(t)], weight_at<T>(p.weight, t % C));
    scale[t] = f.p, u[t] = f.u;
  }
  if (p.statistics || p.dweight || p.dbias) {
    double* sums = scratch<double>(3, 2 * SC);  // of (sample, channel)
    double* parts = scratch<double>(4, q.samples * q.cuts * 2 * C);
    q.template each_panel<T>(
        [&](int64_t chunk, int64_t rows, int64_t at, int64_t c) {
          double* to = parts + chunk * 2 * C + c;
          panel_sums<kPanel, T>(dy + at, x + at, rows, C, kLanes<T>, centre + chunk / q.cuts * C + c, to,
                                to + C);
        },
        [&](int64_t chunk, int64_t rows, int64_t at, int64_t c, int lanes) {
          double* to = parts + chunk * 2 * C + c;
          panel_sums<1, T>(dy + at, x + at, rows, C, lanes, centre + chunk / q.cuts * C + c, to, to + C);
        });
    for (int64_t t = 0; t < SC; ++t) {
      double s1 = 0, s2 = 0;
      for (int64_t u = 0; u < q.cuts; ++u) {
        const double* from = parts + (t / C * q.cuts + u) * 2 * C + t % C;
        s1 += from[0], s2 += from[C];
      }
      sums[2 * t] = s1, sums[2 * t + 1] = s2;
    }
    parameter_gradients<T>(p, q.samples, sums);
    for (int64_t s = 0; s < q.samples * q.sets; ++s) {
      const int64_t first = s / q.sets * C + s % q.sets * q.width;
      double s1 = 0, s2 = 0;
      for (int64_t t = first; t < first + q.width; ++t) {
        s1 += static_cast<double>(u[t]) * sums[2 * t];
        s2 += static_cast<double>(u[t]) * sums[2 * t + 1];
      }
      const Slopes slope = slopes(static_cast<double>(rstd[s]), static_cast<double>(q.R * q.width), s1, s2);
      for (int64_t t = first; t < first + q.width; ++t)
        m[t] = static_cast<T>(slope.m), k[t] = static_cast<T>(slope.k);
    }
  }
  if (!dx) return;
  const bool stream = streams(dx, C, p.N * p.S * C);
  const auto full = stream ? slope_row<true, T> : slope_row<false, T>;
  const auto scaled = stream ? scale_row<true, T> : scale_row<false, T>;
  q.each_row([&](int64_t n, int64_t at) {
    const int64_t j = n * C;
    if (p.statistics)
      full(dy + at, x + at, dx + at, C, centre + j, scale + j, u + j, m + j, k + j);
    else
      scaled(dy + at, dx + at, C, scale + j);
  });
}

}  // namespace

template <class T>
void channel_norm_forward(const ChannelNormArgs& p) {
  p.channels_last ? forward_rows<T>(p) : forward_planes<T>(p);
}

template <class T>
void channel_norm_backward(const ChannelNormBackwardArgs& p) {
  p.channels_last ? backward_rows<T>(p) : backward_planes<T>(p);
}

DLCORE_INSTANTIATE_FLOATS(channel_norm_forward, ChannelNormArgs)
DLCORE_INSTANTIATE_FLOATS(channel_norm_backward, ChannelNormBackwardArgs)

}  // namespace DLCORE_ISA
}  // namespace dlcore
