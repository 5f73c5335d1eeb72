// SPDX-License-Identifier: Apache-2.0
//
// A datapath that only remembers, for tests of the agent.
#ifndef RIPSTOP_AGENT_DATAPLANE_FAKE_DATAPLANE_H_
#define RIPSTOP_AGENT_DATAPLANE_FAKE_DATAPLANE_H_

#include <sys/eventfd.h>

#include <set>
#include <utility>

#include "agent/dataplane/dataplane_interface.h"
#include "policy/base/unique_fd.h"
#include "policy/tables/table_image.h"

namespace ripstop::agent {

class FakeDataplane : public DataplaneInterface {
 public:
  // What happened, in order, for tests of ordering: "attach 5", "apply 12", "commit".
  std::vector<std::string> calls;
  std::set<uint32_t> workloads;
  std::map<uint32_t, std::string> host;  // "uplink", "tunnel" or "elsewhere", by interface
  loader::Owners owners;
  std::set<policy::Cidr> external_nodes;
  uint16_t tunnel_port = 0;
  uint32_t tunnel_ifindex = 0;
  std::set<uint32_t> headless;
  std::set<uint32_t> shaped;
  bool marked = false;
  loader::Masquerade masquerade;
  bool masqueraded = false;
  policy::TableWrites written;  // everything applied in the current generation
  DatapathSettings settings;
  std::vector<ProgramFinding> findings;  // what Repair answers
  std::vector<policy::Address> forgotten;
  int forgets = 0;                      // walks of the flow table
  FlowTableUse flow_use;                // what SweepFlows answers
  std::vector<bool> sweeps;             // whether pressed
  std::vector<flow_timeouts> timeouts;  // as they were set, one after the other
  std::vector<loader::FlowRecord> flows;
  std::vector<flow_key> ended;
  std::vector<flow_event> events;
  uint64_t events_lost = 0;
  std::vector<loader::DropCount> drops;
  std::vector<loader::InterfaceDropCount> interface_drops;
  std::vector<loader::ProbeStage> probe_stages;  // of whatever packet is asked for
  absl::StatusOr<std::vector<loader::HostDrop>> host_drops = std::vector<loader::HostDrop>();
  std::map<uint32_t, rule_hits> hits;
  bool in_force = false;
  uint32_t l4_table = 0;
  absl::Status tunnel_error, owners_error;  // of AttachTunnel and SetOwners, as long as set
  absl::Status refuse_commit;               // of CommitGeneration, as long as set
  absl::Status refuse_handover;             // of TakeOver, as long as set
  absl::Status next_error;                  // returned once by the next call that can fail

  absl::Status AttachWorkload(uint32_t ifindex) override {
    if (absl::Status error = Fail(); !error.ok()) return error;
    calls.push_back("attach " + std::to_string(ifindex));
    workloads.insert(ifindex);
    return absl::OkStatus();
  }
  absl::Status DetachWorkload(uint32_t ifindex) override {
    calls.push_back("detach " + std::to_string(ifindex));
    workloads.erase(ifindex);
    return Fail();
  }
  absl::Status CheckWorkload(uint32_t ifindex) const override {
    if (workloads.contains(ifindex)) return absl::OkStatus();
    return absl::FailedPreconditionError("program is not attached to interface " +
                                         std::to_string(ifindex));
  }
  absl::Status AttachUplink(uint32_t ifindex) override { return AttachHost("uplink", ifindex); }
  absl::Status AttachTunnel(uint32_t ifindex) override {
    return tunnel_error.ok() ? AttachHost("tunnel", ifindex) : tunnel_error;
  }
  absl::Status AttachElsewhere(uint32_t ifindex, bool without_header) override {
    if (without_header) headless.insert(ifindex);
    return AttachHost("elsewhere", ifindex);
  }
  absl::Status DetachHost(uint32_t ifindex) override {
    host.erase(ifindex);
    return Fail();
  }
  absl::Status ConfigureTunnel(uint16_t port, uint32_t ifindex) override {
    calls.push_back("tunnel " + std::to_string(port));
    tunnel_port = port;
    tunnel_ifindex = ifindex;
    return Fail();
  }
  absl::Status SetOwners(const loader::Owners& value) override {
    if (!owners_error.ok()) return owners_error;
    owners = value;
    return absl::OkStatus();
  }
  absl::StatusOr<uint64_t> FinishAdoption() override { return 0; }
  std::vector<ProgramFinding> Repair() override { return findings; }
  bool marks() const override { return marked; }
  absl::Status SetMasquerade(const loader::Masquerade& value) override {
    masquerade = value;
    masqueraded |= value.any();
    return Fail();
  }
  bool masquerades() const override { return masqueraded; }
  absl::Status SetShaped(uint32_t ifindex, bool value) override {
    if (!workloads.contains(ifindex)) return absl::NotFoundError("no workload's");
    if (value) {
      shaped.insert(ifindex);
    } else {
      shaped.erase(ifindex);
    }
    return Fail();
  }
  absl::StatusOr<std::vector<loader::HostDrop>> HostDrops() const override { return host_drops; }
  absl::StatusOr<std::vector<loader::ProbeStage>> Probe(
      const policy::Packet& packet) const override {
    std::vector<loader::ProbeStage> stages = probe_stages;
    for (loader::ProbeStage& stage : stages) stage.packet = packet;
    return stages;
  }
  absl::StatusOr<std::shared_ptr<loader::TracedPrograms>> LoadTraced() const override {
    return absl::UnimplementedError("this datapath has no programs");
  }
  absl::Status SetTraced(std::shared_ptr<loader::TracedPrograms>) override { return Fail(); }
  size_t addresses_without_number() const override { return 0; }
  absl::Status Configure(const DatapathSettings& value) override {
    marked |= value.host_nat;
    settings = value;
    return Fail();
  }
  absl::Status SetExternalNodes(const std::set<policy::Cidr>& prefixes) override {
    external_nodes = prefixes;
    return Fail();
  }
  absl::StatusOr<policy::EngineOptions> BeginGeneration() override {
    if (absl::Status error = Fail(); !error.ok()) return error;
    calls.push_back("begin");
    written.clear();
    return policy::EngineOptions{};
  }
  absl::Status Apply(const policy::TableWrites& writes) override {
    if (absl::Status error = Fail(); !error.ok()) return error;
    calls.push_back("apply " + std::to_string(writes.size()));
    written.insert(written.end(), writes.begin(), writes.end());
    table_writes_ += writes.size();
    return absl::OkStatus();
  }
  absl::Status CommitGeneration(uint32_t table) override {
    if (!refuse_commit.ok()) return refuse_commit;
    if (absl::Status error = Fail(); !error.ok()) return error;
    calls.push_back("commit");
    l4_table = table;
    in_force = true;
    return absl::OkStatus();
  }
  bool InForce() const override { return in_force; }
  absl::Status TakeOver() override {
    calls.push_back("take over");
    return refuse_handover;
  }
  void RoutesChanged() override { ++routes_changed; }
  int routes_changed = 0;
  void SetTimeouts(const flow_timeouts& value) override { timeouts.push_back(value); }
  absl::StatusOr<FlowTableUse> SweepFlows(bool pressed) override {
    if (absl::Status error = Fail(); !error.ok()) return error;
    sweeps.push_back(pressed);
    return flow_use;
  }
  absl::StatusOr<uint32_t> ForgetFlows(const std::vector<policy::Address>& addresses) override {
    if (absl::Status error = Fail(); !error.ok()) return error;
    forgotten.insert(forgotten.end(), addresses.begin(), addresses.end());
    ++forgets;
    return 0u;
  }
  // Parts of two, numbered from 1.
  absl::StatusOr<loader::FlowPart> Flows(uint32_t from) const override {
    loader::FlowPart part;
    for (size_t i = 2 * from; i < flows.size() && i < 2 * from + 2; ++i) {
      part.flows.push_back(flows[i]);
    }
    part.next = 2 * from + 2 < flows.size() ? from + 1 : 0;
    return part;
  }
  absl::StatusOr<bool> EndFlow(const loader::FlowRecord& flow) override {
    ended.push_back(flow.key);
    return true;
  }
  absl::StatusOr<std::vector<loader::DropCount>> Drops() const override { return drops; }
  absl::StatusOr<std::vector<loader::InterfaceDropCount>> InterfaceDrops() const override {
    return interface_drops;
  }
  absl::StatusOr<std::map<uint32_t, rule_hits>> RuleHits() const override { return hits; }
  // As the programs would decide by what was written.
  absl::StatusOr<loader::PacketLookup> Lookup(const policy::Packet& packet) const override {
    if (l4_table == 0) return absl::FailedPreconditionError("no policy tables are in force");
    policy::TableImage image;
    image.Apply(written);
    image.set_l4_table(l4_table);
    loader::PacketLookup found;
    found.source = image.Find(packet.source).value_or(address_value{});
    found.destination = image.Find(packet.destination).value_or(address_value{});
    found.egress = Side(image, policy::Direction::kEgress, packet);
    found.ingress = Side(image, policy::Direction::kIngress, packet);
    return found;
  }
  int events_fd() const override { return events_fd_.get(); }  // never readable
  std::vector<flow_event> TakeEvents() override { return std::exchange(events, {}); }
  absl::StatusOr<uint64_t> EventsLost() const override { return events_lost; }
  uint32_t slot() const override { return 0; }
  uint64_t programs_loaded() const override { return 4; }
  uint64_t table_writes() const override { return table_writes_; }

 private:
  static std::optional<loader::SideLookup> Side(const policy::TableImage& image,
                                                policy::Direction direction,
                                                const policy::Packet& packet) {
    const auto verdict = image.Verdict(direction, packet);
    if (!verdict.has_value()) return std::nullopt;
    loader::SideLookup side;
    side.set = verdict->handle;
    side.address_class = verdict->address_class;
    side.l4_class = verdict->l4_class;
    side.verdict = verdict->word;
    const bool egress = direction == policy::Direction::kEgress;
    side.reason = verdict->handle == 0 ? DROP_NO_POLICY_SET
                  : verdict->allow()   ? DROP_NONE
                  : egress             ? DROP_POLICY_EGRESS
                                       : DROP_POLICY_INGRESS;
    return side;
  }
  absl::Status AttachHost(const char* role, uint32_t ifindex) {
    if (absl::Status error = Fail(); !error.ok()) return error;
    host[ifindex] = role;
    return absl::OkStatus();
  }
  absl::Status Fail() { return std::exchange(next_error, absl::OkStatus()); }
  uint64_t table_writes_ = 0;
  UniqueFd events_fd_{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_DATAPLANE_FAKE_DATAPLANE_H_
