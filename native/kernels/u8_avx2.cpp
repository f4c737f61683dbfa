// uint8 kernels for AVX2.
#include "../kernels.h"

namespace mobilenets {

const KernelList kU8Avx2 = {nullptr, 0};

}  // namespace mobilenets
