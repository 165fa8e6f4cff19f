// Sorting, the first k, one rank, binary search: rows on their own, so that threads share rows.
// A row becomes items, unsigned integers whose high part is the element's key (bits that order as the numbers
// do) and whose low 32 bits are its index: no two items are equal, so that any way of ordering them is stable
// and gives the same result. Long rows are sorted by radix, least digit first; a digit that all keys share
// costs nothing. The first k of a long row are selected while it is read, against the k-th best so far.
#include "kernels/sort.h"

#include "cpu/simd.h"

namespace dlcore {
namespace DLCORE_ISA {
namespace {

template <class T>
struct KeyOf {
  using type = uint32_t;
};
template <>
struct KeyOf<double> {
  using type = uint64_t;
};
template <>
struct KeyOf<int64_t> {
  using type = uint64_t;
};
template <class T>
using Key = typename KeyOf<T>::type;
template <class T>
struct ItemOf {
  using type = uint64_t;
};
template <>
struct ItemOf<uint64_t> {
  using type = unsigned __int128;
};
template <class T>
using Item = typename ItemOf<Key<T>>::type;

// Ascending in x; `flip` (0 or all ones) reverses the order.
template <class T>
DLCORE_INLINE Key<T> key_of(T x, Key<T> flip) {
  using K = Key<T>;
  constexpr K high = K(1) << (8 * sizeof(K) - 1);
  if constexpr (T(0.5) != T(0) && !__is_same(T, bool)) {
    const K bits = bitcast<K>(x + T(0));  // -0 + 0 is 0
    const K ordered = bits & high ? ~bits : bits | high;
    return (x != x ? ~K(0) : ordered) ^ flip;
  } else if constexpr (sizeof(T) == 1) {
    return static_cast<K>(x) ^ flip;
  } else {
    return (static_cast<K>(x) ^ high) ^ flip;
  }
}

template <class T>
DLCORE_INLINE Item<T> item_of(T x, int64_t i, Key<T> flip) {
  return static_cast<Item<T>>(key_of(x, flip)) << 32 | static_cast<uint32_t>(i);
}

template <class T>
inline void pack(const T* x, int64_t n, Key<T> flip, Item<T>* a) {
  for (int64_t i = 0; i < n; ++i) a[i] = item_of(x[i], i, flip);
}

template <class T>
inline void unpack(const T* x, const Item<T>* a, int64_t n, T* values, int64_t* indices) {
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t k = static_cast<uint32_t>(a[i]);
    values[i] = x[k], indices[i] = k;
  }
}

template <class I>
inline void insertion_sort(I* a, int64_t n) {
  for (int64_t i = 1; i < n; ++i) {
    const I v = a[i];
    int64_t j = i;
    for (; j > 0 && v < a[j - 1]; --j) a[j] = a[j - 1];
    a[j] = v;
  }
}

// By the key's digits of BITS bits, from the least. The indices below the key ascend already. The sorted
// items end in `a`; `b` is as long.
template <int BITS, class I>
void radix_sort(I* a, I* b, int64_t n, int key_bits) {
  constexpr int kDigits = 64 / BITS + 1, kSize = 1 << BITS;
  const int digits = static_cast<int>(ceil_div(key_bits, BITS));
  uint32_t count[kDigits][kSize];
  __builtin_memset(count, 0, static_cast<size_t>(digits) * sizeof count[0]);
  for (int64_t i = 0; i < n; ++i)
    for (int d = 0; d < digits; ++d) ++count[d][static_cast<uint32_t>(a[i] >> (32 + d * BITS)) & (kSize - 1)];
  I* from = a;
  I* to = b;
  for (int d = 0; d < digits; ++d) {
    const int shift = 32 + d * BITS;
    uint32_t* c = count[d];
    if (c[static_cast<uint32_t>(from[0] >> shift) & (kSize - 1)] == n) continue;
    uint32_t at = 0;
    for (int k = 0; k < kSize; ++k) {
      const uint32_t m = c[k];
      c[k] = at;
      at += m;
    }
    for (int64_t i = 0; i < n; ++i) to[c[static_cast<uint32_t>(from[i] >> shift) & (kSize - 1)]++] = from[i];
    I* const t = from;
    from = to, to = t;
  }
  if (from != a) __builtin_memcpy(static_cast<void*>(a), from, static_cast<size_t>(n) * sizeof(I));
}

// Items whose indices ascend; `b` is as long.
template <class I>
inline void sort_items(I* a, I* b, int64_t n, int key_bits) {
  if (n <= 32)
    insertion_sort(a, n);
  else if (n < 8192)
    radix_sort<8>(a, b, n, key_bits);
  else
    radix_sort<11>(a, b, n, key_bits);
}

template <class I>
DLCORE_INLINE void swap_items(I* a, I* b) {
  const I t = *a;
  *a = *b, *b = t;
}

// Sorts items in any order: small pieces by insertion, pieces that split badly by heaps.
template <class I>
void sift(I* a, int64_t i, int64_t n) {
  for (int64_t c; (c = 2 * i + 1) < n; i = c) {
    if (c + 1 < n && a[c] < a[c + 1]) ++c;
    if (!(a[i] < a[c])) return;
    swap_items(a + i, a + c);
  }
}
template <class I>
void heap_sort(I* a, int64_t n) {
  for (int64_t i = n / 2; i-- > 0;) sift(a, i, n);
  for (int64_t m = n - 1; m > 0; --m) {
    swap_items(a, a + m);
    sift(a, int64_t(0), m);
  }
}

// Puts a pivot in place: what stands before it is smaller, what stands behind it is larger. n >= 3.
template <class I>
int64_t split(I* a, int64_t n) {
  const int64_t mid = n / 2;
  if (a[mid] < a[0]) swap_items(a + mid, a);
  if (a[n - 1] < a[0]) swap_items(a + n - 1, a);
  if (a[n - 1] < a[mid]) swap_items(a + n - 1, a + mid);
  swap_items(a + mid, a + n - 2);
  const I pivot = a[n - 2];
  int64_t i = 0, j = n - 2;
  for (;;) {
    while (a[++i] < pivot) {
    }
    while (pivot < a[--j]) {
    }
    if (i >= j) break;
    swap_items(a + i, a + j);
  }
  swap_items(a + i, a + n - 2);
  return i;
}

DLCORE_INLINE int split_budget(int64_t n) { return 2 * (64 - __builtin_clzll(static_cast<uint64_t>(n) | 1)); }

template <class I>
void sort_any(I* a, int64_t n, int budget) {
  while (n > 24) {
    if (budget-- == 0) return heap_sort(a, n);
    const int64_t p = split(a, n);
    if (p < n - 1 - p) {  // the shorter part by recursion
      sort_any(a, p, budget);
      a += p + 1, n -= p + 1;
    } else {
      sort_any(a + p + 1, n - 1 - p, budget);
      n = p;
    }
  }
  insertion_sort(a, n);
}

// Afterwards the k + 1 smallest stand in front, the largest of them at a[k].
template <class I>
void select(I* a, int64_t n, int64_t k) {
  for (int budget = split_budget(n); n > 24;) {
    if (budget-- == 0) return heap_sort(a, n);
    const int64_t p = split(a, n);
    if (k == p) return;
    if (k < p)
      n = p;
    else
      a += p + 1, n -= p + 1, k -= p + 1;
  }
  insertion_sort(a, n);
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

template <class V>
DLCORE_INLINE bool any_lane(V mask) {
#if defined(__AVX512F__)
  return _mm512_test_epi64_mask((__m512i)mask, (__m512i)mask) != 0;
#elif defined(__AVX2__)
  return !_mm256_testz_si256((__m256i)mask, (__m256i)mask);
#else
  uint64_t w[sizeof(V) / 8];
  __builtin_memcpy(w, &mask, sizeof w);
  return (w[0] | w[1]) != 0;
#endif
}

// The k first of a row while it is read: `buffer` holds candidates, at most `room`; when it is full, all but
// the best k go, and the k-th becomes the bar that later elements must pass. A vector is looked at only where
// one of its lanes may pass.
template <class T>
inline void select_first(const T* x, int64_t n, int64_t k, bool largest, Item<T>* buffer, int64_t room) {
  constexpr int L = kLanes<T>;
  const Key<T> flip = largest ? ~Key<T>(0) : Key<T>(0);
  int64_t held = 0, i = 0;
  for (; i < min64(n, room); ++i) buffer[held++] = item_of(x[i], i, flip);
  if (held > k) select(buffer, held, k - 1), held = k;
  Item<T> bar = buffer[k - 1];
  auto offer = [&](int64_t j) {
    const Item<T> item = item_of(x[j], j, flip);
    if (!(item < bar)) return;
    buffer[held++] = item;
    if (held < room) return;
    select(buffer, held, k - 1);
    held = k, bar = buffer[k - 1];
  };
  while (i + 4 * L <= n) {
    const Vec<T> limit = splat(x[static_cast<uint32_t>(bar)]);
    const Item<T> old = bar;
    if (largest) {
      for (; i + 4 * L <= n && bar == old; i += 4 * L) {
        const auto pass = ~((load(x + i) <= limit) & (load(x + i + L) <= limit) &
                            (load(x + i + 2 * L) <= limit) & (load(x + i + 3 * L) <= limit));
        if (any_lane(pass))
          for (int64_t j = i; j < i + 4 * L; ++j) offer(j);
      }
    } else {
      for (; i + 4 * L <= n && bar == old; i += 4 * L) {
        const auto pass = ~((load(x + i) >= limit) & (load(x + i + L) >= limit) &
                            (load(x + i + 2 * L) >= limit) & (load(x + i + 3 * L) >= limit));
        if (any_lane(pass))
          for (int64_t j = i; j < i + 4 * L; ++j) offer(j);
      }
    }
  }
  for (; i < n; ++i) offer(i);
  if (held > k) select(buffer, held, k - 1);
}

// Rows that make a part worth a thread, at about ten operations an element.
DLCORE_INLINE int64_t row_grain(int64_t n) { return max64(1, kGrain / 8 / max64(1, n)); }

template <class T>
constexpr int kKeyBits = sizeof(T) == 1 ? 8 : 8 * static_cast<int>(sizeof(Key<T>));

}  // namespace

template <class T>
void sort(const SortArgs& p) {
  const T* x = static_cast<const T*>(p.x);
  T* values = static_cast<T*>(p.values);
  const Key<T> flip = p.descending ? ~Key<T>(0) : Key<T>(0);
  parallel_for(p.rows, row_grain(p.n), [&](int64_t b, int64_t e) {
    Item<T>* a = scratch<Item<T>>(2, 2 * p.n);
    for (int64_t r = b; r < e; ++r) {
      const T* row = x + r * p.n;
      pack(row, p.n, flip, a);
      sort_items(a, a + p.n, p.n, kKeyBits<T>);
      unpack(row, a, p.n, values + r * p.n, p.indices + r * p.n);
    }
  });
}

template <class T>
void topk(const TopkArgs& p) {
  using B = Bytes<T>;
  const B* x = static_cast<const B*>(p.x);
  B* values = static_cast<B*>(p.values);
  const Key<B> flip = p.largest ? ~Key<B>(0) : Key<B>(0);
  const int64_t room = min64(p.n, p.k + max64(p.k, 256));
  parallel_for(p.rows, row_grain(p.n), [&](int64_t b, int64_t e) {
    Item<B>* a = scratch<Item<B>>(2, p.k > p.n / 4 ? 2 * p.n : room);
    for (int64_t r = b; r < e; ++r) {
      const B* row = x + r * p.n;
      if (p.k > p.n / 4) {
        pack(row, p.n, flip, a);
        sort_items(a, a + p.n, p.n, kKeyBits<B>);
      } else {
        select_first(row, p.n, p.k, p.largest, a, room);
        sort_any(a, p.k, split_budget(p.k));
      }
      unpack(row, a, p.k, values + r * p.k, p.indices + r * p.k);
    }
  });
}

template <class T>
void kth(const RankArgs& p) {
  const T* x = static_cast<const T*>(p.x);
  T* values = static_cast<T*>(p.values);
  parallel_for(p.rows, row_grain(p.n), [&](int64_t b, int64_t e) {
    Item<T>* a = scratch<Item<T>>(2, p.n);
    for (int64_t r = b; r < e; ++r) {
      const T* row = x + r * p.n;
      int64_t k = p.k, at = -1;
      if (p.rank != Rank::number) {
        int64_t nans = 0, first = -1;
        for (int64_t i = 0; i < p.n; ++i)
          if (row[i] != row[i]) {
            if (first < 0) first = i;
            ++nans;
          }
        if (nans > 0 && (p.rank == Rank::median || nans == p.n)) at = first;
        k = (p.n - nans - 1) / 2;  // NaN are the last
      }
      if (at < 0) {
        pack(row, p.n, Key<T>(0), a);
        select(a, p.n, k);
        at = static_cast<uint32_t>(a[k]);
      }
      values[r] = row[at], p.indices[r] = at;
    }
  });
}

template <class T>
void searchsorted(const SearchArgs& p) {
  const T* sorted = static_cast<const T*>(p.sorted);
  const T* x = static_cast<const T*>(p.x);
  const int steps = 64 - __builtin_clzll(static_cast<uint64_t>(p.n) | 1);
  parallel_for(p.rows * p.m, max64(1, kGrain / 4 / steps), [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; ++t) {
      const T* row = p.shared ? sorted : sorted + t / p.m * p.n;
      const Key<T> key = key_of(x[t], Key<T>(0));
      int64_t lo = 0, hi = p.n;
      while (lo < hi) {
        const int64_t mid = lo + (hi - lo) / 2;
        const Key<T> k = key_of(row[mid], Key<T>(0));
        if (p.right ? k <= key : k < key)
          lo = mid + 1;
        else
          hi = mid;
      }
      p.y[t] = lo;
    }
  });
}

DLCORE_INSTANTIATE_ALL(sort, SortArgs)
DLCORE_INSTANTIATE_ALL(topk, TopkArgs)
DLCORE_INSTANTIATE_ALL(kth, RankArgs)
DLCORE_INSTANTIATE_ALL(searchsorted, SearchArgs)

}  // namespace DLCORE_ISA
}  // namespace dlcore
