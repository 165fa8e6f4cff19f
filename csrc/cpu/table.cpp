// The table of this ISA. A kernel without a CPU form is a link error: the CPU is complete.
#include "kernels.h"

#define DLCORE_STRING2(x) #x
#define DLCORE_STRING(x) DLCORE_STRING2(x)

namespace dlcore {
namespace DLCORE_ISA {

#define DLCORE_DECLARE(name, Args, dtypes) \
  template <class T>                       \
  void name(const Args&);
DLCORE_KERNELS(DLCORE_DECLARE)
#undef DLCORE_DECLARE

#define DLCORE_FLOATS(name)                                                  \
  {                                                                          \
    {                                                                        \
      name<float>, name<double>, nullptr, nullptr, nullptr, nullptr, nullptr \
    }                                                                        \
  }
#define DLCORE_ALL(name)                                                                          \
  {                                                                                               \
    {                                                                                             \
      name<float>, name<double>, name<int32_t>, name<int64_t>, name<uint8_t>, name<bool>, nullptr \
    }                                                                                             \
  }
#define DLCORE_ENTRY(name, Args, dtypes) DLCORE_##dtypes(name),

extern const Table table;
constinit const Table table = {DLCORE_STRING(DLCORE_ISA), DLCORE_KERNELS(DLCORE_ENTRY)};

}  // namespace DLCORE_ISA
}  // namespace dlcore
