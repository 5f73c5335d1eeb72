// SPDX-License-Identifier: Apache-2.0
//
// The words in which ripstopctl asks for flows and packets, and names their ends.
#ifndef RIPSTOP_API_CTL_FLOW_WORDS_H_
#define RIPSTOP_API_CTL_FLOW_WORDS_H_

#include <functional>
#include <string>

#include "api/proto/agent.pb.h"

namespace CLI {
class App;
}

namespace ripstop::ctl {

// "192.0.2.1:80", "[2001:db8::1]:80"; port 0: the address
std::string WithPort(const std::string& address, uint32_t port);
// "shop/cart-1 (192.0.2.1:80)"; empty name: the address
std::string Named(const std::string& name, const std::string& address);

// --pod, --from, --to, --protocol and --port, into what `filter` gives when they are read.
void AddFlowFilter(CLI::App& verb, const std::function<agent::v1::FlowFilter*()>& filter);

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_FLOW_WORDS_H_
