// uint8 kernels for NEON.
#include "../kernels.h"

namespace mobilenets {

const KernelList kU8Neon = {nullptr, 0};

}  // namespace mobilenets
