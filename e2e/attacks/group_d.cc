// SPDX-License-Identifier: Apache-2.0
#include "e2e/attacks/attack.h"

namespace ripstop::attacks {

std::vector<Attack> GroupD() { return {}; }

}  // namespace ripstop::attacks
