// SPDX-License-Identifier: Apache-2.0
//
// How flows are asked for and named, by every command that shows some.
#ifndef RIPSTOP_API_CTL_FLOW_WORDS_H_
#define RIPSTOP_API_CTL_FLOW_WORDS_H_

#include <cstdint>
#include <functional>
#include <string>

#include "api/ctl/context.h"
#include "api/proto/agent.pb.h"

namespace ripstop::ctl {

// --pod, --from, --to, --protocol, --port and --state, into what `filter` returns when they are
// read.
void AddFlowFilter(CLI::App& verb, const std::function<agent::v1::FlowFilter*()>& filter);
// --state, of flows that stand.
CLI::Option* AddFlowState(CLI::App& verb, const std::function<agent::v1::FlowFilter*()>& filter);

// "shop/web (192.0.2.1:80)", "[2001:db8::1]:80"; `port` 0: none.
std::string WithPort(const std::string& address, uint32_t port);
std::string Named(const std::string& name, const std::string& address);
// The rules that decided, of both directions; "-": none was asked.
std::string Rules(const std::string& egress, const std::string& ingress);
// "TCP shop/web (192.0.2.1:40000) -> 192.0.2.9:80" without the protocol; "-": no addresses.
std::string FlowName(const agent::v1::FlowEvent& event);

// What `conntrack list` prints.
void ListFlows(Context& context, const agent::v1::FlowFilter& filter, const std::string& output);

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_FLOW_WORDS_H_
