// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/context.h"
namespace ripstop::ctl {
void AddEvaluateCommand(CLI::App&, Context&) {}
}  // namespace ripstop::ctl
