// uint8 kernels for NEON with i8mm.
#include "../kernels.h"

namespace mobilenets {

const KernelList kU8NeonI8mm = {nullptr, 0};

}  // namespace mobilenets
