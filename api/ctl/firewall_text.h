// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_API_CTL_FIREWALL_TEXT_H_
#define RIPSTOP_API_CTL_FIREWALL_TEXT_H_

#include <ostream>

#include "api/proto/agent.pb.h"

namespace ripstop::ctl {

// What other firewalls do to packets of ours; nothing where they do nothing. What is certainly lost
// is among the reasons of the status besides.
void PrintHostFirewall(const agent::v1::HostFirewall& firewall, std::ostream& out);

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_FIREWALL_TEXT_H_
