// uint8 kernels for AVX-512 VNNI.
#include "../kernels.h"

namespace mobilenets {

const KernelList kU8Avx512Vnni = {nullptr, 0};

}  // namespace mobilenets
