// SPDX-License-Identifier: Apache-2.0
//
// What ripstopctl asks.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "agent/daemon/agent.h"

namespace ripstop::agent {
namespace {

void DescribeHostNat(const HostNat& nat, const DataplaneInterface& dataplane,
                     v1::StatusReply& reply) {
  v1::HostNat& description = *reply.mutable_host_nat();
  description.set_mode(NameOf(nat.mode()));
  description.set_on(nat.on());
  for (const std::string& rules : nat.found()) description.add_found(rules);
  description.set_mark_mask(nat.mark_mask());
  for (const std::string& user : nat.mark_users()) description.add_mark_users(user);
  if (nat.on()) description.set_addresses_without_number(dataplane.addresses_without_number());
  for (const std::string& problem : nat.problems()) reply.add_not_ready_reasons(problem);
}

}  // namespace

void Agent::ReportGuard(v1::StatusReply& reply) const {
  const auto add = [&reply](const std::string& kind, uint64_t count, const std::string& last) {
    if (count == 0) return;
    v1::Repair* repair = reply.add_repairs();
    repair->set_kind(kind);
    repair->set_count(count);
    repair->set_last(last);
  };
  for (const auto& [kind, repairs] : guard_->repairs()) add(kind, repairs.count, repairs.last);
  add("route", network_->routes()->stats().repairs, "");
  add("endpoint file", file_repairs_.count, file_repairs_.last);
  std::vector<std::string> problems(guard_->problems().begin(), guard_->problems().end());
  if (endpoints_ != nullptr) {
    for (const auto& [path, why] : endpoints_->unreadable()) {
      problems.push_back(
          absl::StrCat("endpoint file ", path, ": ", why, "; its pod is denied, delete the pod"));
    }
  }
  if (!problems.empty()) reply.set_ready(false);
  for (const std::string& problem : problems) reply.add_not_ready_reasons(problem);
}

// What the FelixConfigurations say, and an option of this agent comes before.
std::vector<std::string> Agent::Overridden() const {
  std::vector<std::string> lines;
  const auto add = [&lines](const char* field, const char* option, const std::string& value) {
    lines.push_back(absl::StrCat("FelixConfiguration: spec.", field,
                                 " does not act on this node, whose agent has ", option, " ",
                                 value));
  };
  if (!felix_.log_level.empty() && !options_.log_level.empty()) {
    add("logSeverityScreen", "--log-level", options_.log_level);
  }
  if (felix_.log_rate.has_value() && options_.flow_log.lines_per_second.has_value()) {
    add("logActionRateLimit", "--flow-log-rate", absl::StrCat(*options_.flow_log.lines_per_second));
  }
  return lines;
}

absl::StatusOr<v1::StatusReply> Agent::Status() {
  v1::StatusReply reply;
  reply.set_node(options_.node);
  reply.set_version(RIPSTOP_VERSION);
  const bgp::BirdStatus bgp = network_->BgpStatus();
  reply.set_ready(in_sync_ && store_plane_->in_sync() && policy_problem_.empty() &&
                  !policy_->broken() && bgp.ready && network_->has_its_addresses() &&
                  host_nat_problem_.empty() && handover_problem_.empty() && !flow_keeper_->full());
  for (const std::string& problem : store_plane_->problems()) reply.add_not_ready_reasons(problem);
  if (policy_->broken() && policy_problem_.empty()) {
    reply.add_not_ready_reasons("policy: the last change could not be written; trying again");
  }
  for (const std::string* problem : {&policy_problem_, &host_nat_problem_, &handover_problem_}) {
    if (!problem->empty()) reply.add_not_ready_reasons(*problem);
  }
  for (const std::string& reason : bgp.reasons) reply.add_not_ready_reasons(reason);
  for (const std::string& problem : shaping_->problems()) reply.add_not_ready_reasons(problem);
  for (const std::string& problem : network_->problems()) reply.add_not_ready_reasons(problem);
  for (const auto* problems : {&address_problems_, &address_conflicts_}) {
    for (const std::string& problem : *problems) reply.add_not_ready_reasons(problem);
  }
  // Endpoints that are denied because a table is full: the node serves, those do not.
  for (const std::string& alarm : policy_->Alarms()) reply.add_not_ready_reasons(alarm);
  ReportGuard(reply);
  if (const std::string alarm = flow_keeper_->alarm(); !alarm.empty()) {
    reply.add_not_ready_reasons(alarm);
  }
  v1::FlowTable* flows = reply.mutable_flows();
  flows->set_entries(flow_keeper_->use().entries);
  flows->set_capacity(flow_keeper_->use().capacity);
  flows->set_no_room(flow_keeper_->use().no_room);
  reply.set_store_revision(store_plane_->revision());
  for (const bgp::SessionStatus& status : bgp.sessions) {
    v1::BgpSession* session = reply.add_bgp();
    session->set_name(status.name);
    session->set_peer_address(status.peer_address);
    session->set_peer_type(status.peer_type);
    session->set_peer_as(status.peer_as);
    session->set_state(status.state);
    session->set_since(status.since);
    session->set_info(status.info);
    session->set_routes_imported(status.routes_imported);
    session->set_routes_exported(status.routes_exported);
  }
  reply.set_local_endpoints(policy_->feed().local_endpoints());
  reply.set_policies(policy_->feed().policies());
  for (const std::string& line : policy_->feed().set_aside()) reply.add_set_aside(line);
  for (const std::string& line : fields_.refused()) reply.add_set_aside(line);
  for (const std::string& line : fields_.unheeded()) reply.add_unheeded(line);
  for (const std::string& line : Overridden()) reply.add_unheeded(line);
  reply.set_programs_loaded(dataplane_->programs_loaded());
  reply.set_table_writes(dataplane_->table_writes());
  DescribeHostNat(*host_nat_, *dataplane_, reply);
  ReportFirewall(bgp, reply);
  return reply;
}

absl::Status Agent::WithReasons(const absl::Status& status) const {
  if (!absl::IsUnavailable(status) || policy_->committed()) return status;
  std::vector<std::string> reasons = store_plane_->problems();
  if (!policy_problem_.empty()) reasons.push_back(policy_problem_);
  reasons.insert(reasons.begin(), std::string(status.message()));
  return absl::UnavailableError(absl::StrJoin(reasons, "; "));
}

absl::StatusOr<v1::WhyReply> Agent::Why(const v1::WhyRequest& request) {
  absl::StatusOr<v1::WhyReply> reply = queries_->Why(request);
  if (!reply.ok()) return WithReasons(reply.status());
  return reply;
}

absl::StatusOr<v1::RuleHitsReply> Agent::RuleHits() {
  absl::StatusOr<v1::RuleHitsReply> reply = queries_->RuleHits();
  if (!reply.ok()) return WithReasons(reply.status());
  return reply;
}

absl::StatusOr<std::shared_ptr<FlowStream>> Agent::WatchFlows(
    const v1::WatchFlowsRequest& request) {
  // What was told and lost before is not this watcher's.
  ReadFlows();
  flows_->Tick(absl::Now());
  absl::StatusOr<std::shared_ptr<FlowStream>> stream = flows_->watchers().Add(request);
  SetWatching();
  return stream;
}

absl::StatusOr<v1::StagedPoliciesReply> Agent::StagedPolicies() {
  ReadFlows();
  return flows_->Report(absl::Now());
}

absl::StatusOr<v1::AcceptStoreReply> Agent::AcceptStore() {
  v1::AcceptStoreReply reply;
  reply.set_store(options_.store);
  const std::optional<Doubt> accepted = store_plane_->Accept();
  if (!accepted.has_value()) {
    reply.set_identity(store_plane_->identity());
    return reply;
  }
  reply.set_identity(accepted->identity);
  reply.set_accepted(accepted->why);
  return reply;
}

}  // namespace ripstop::agent
