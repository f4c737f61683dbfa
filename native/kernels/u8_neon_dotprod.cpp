// uint8 kernels for NEON with dotprod.
#include "../kernels.h"

namespace mobilenets {

const KernelList kU8NeonDotprod = {nullptr, 0};

}  // namespace mobilenets
