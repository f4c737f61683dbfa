// float32 kernels for AVX-512.
#include "../kernels.h"

namespace mobilenets {

const KernelList kF32Avx512 = {nullptr, 0};

}  // namespace mobilenets
