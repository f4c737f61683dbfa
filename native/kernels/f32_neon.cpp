// float32 kernels for NEON.
#include "../kernels.h"

namespace mobilenets {

const KernelList kF32Neon = {nullptr, 0};

}  // namespace mobilenets
