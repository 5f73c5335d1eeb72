// SPDX-License-Identifier: Apache-2.0
#include "e2e/attacks/attack.h"

namespace ripstop::attacks {

std::vector<Attack> GroupE() { return {}; }

}  // namespace ripstop::attacks
