// float32 kernels for AVX2 with FMA.
#include "../kernels.h"

namespace mobilenets {

const KernelList kF32Avx2 = {nullptr, 0};

}  // namespace mobilenets
