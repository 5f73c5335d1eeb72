// SPDX-License-Identifier: Apache-2.0
//
// The datapath of this node: programs loaded once, maps and links pinned.
//
//   DIR/maps/rs_*         maps, with their layout version
//   DIR/links/HOOK-IFINDEX  tcx links
//
// Opening again reuses the maps (flows, counters, tables in force) and gives each
// existing link the new program in one step: no packet passes unjudged, none is lost.
#ifndef RIPSTOP_AGENT_DATAPLANE_DATAPLANE_H_
#define RIPSTOP_AGENT_DATAPLANE_DATAPLANE_H_

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/dataplane/dataplane_interface.h"
#include "agent/dataplane/program_links.h"
#include "agent/dataplane/socket_link.h"
#include "bpf/loader/datapath_object.h"
#include "bpf/loader/owner_store.h"
#include "bpf/loader/table_store.h"

struct ring_buffer;

namespace ripstop::agent {

struct DataplaneOptions {
  std::string pin_dir = "/sys/fs/bpf/ripstop";  // made when absent; must be on a bpffs
  loader::DatapathSizes sizes;
  bool force_clsact = false;  // for tests of kernels without tcx
  // Bits of skb->mark that are ours, adjacent ones, at least MARK_BITS_MIN. Only what pods
  // send to the host's stack bears them, and only once `host_nat` was asked for.
  uint32_t mark_mask = 0xffff0000;
};

class Dataplane : public DataplaneInterface {
 public:
  // Errors: those of loader::DatapathObject::Load; kInvalidArgument for a bad mask.
  static absl::StatusOr<std::unique_ptr<Dataplane>> Open(const DataplaneOptions& options);
  // Leaves everything in the kernel as it is, but for traced programs.
  ~Dataplane() override;

  // Unpins everything under `pin_dir`: programs detach, maps go. For a node that stops
  // being one, and for tests. Fine when nothing is there.
  static absl::Status Remove(const std::string& pin_dir);

  absl::Status AttachWorkload(uint32_t ifindex) override;
  absl::Status DetachWorkload(uint32_t ifindex) override;
  absl::Status CheckWorkload(uint32_t ifindex) const override;
  absl::Status AttachUplink(uint32_t ifindex) override;
  absl::Status AttachTunnel(uint32_t ifindex) override;
  absl::Status AttachElsewhere(uint32_t ifindex, bool headless) override;
  absl::Status DetachHost(uint32_t ifindex) override;
  std::vector<ProgramFinding> Repair() override;
  absl::Status SetMasquerade(const loader::Masquerade& masquerade) override;
  bool masquerades() const override;
  bool marks() const override { return (object_->state()->flags & STATE_MARKS) != 0; }
  absl::Status SetShaped(uint32_t ifindex, bool shaped) override;
  size_t addresses_without_number() const override { return tables_->addresses_without_number(); }
  absl::Status Configure(const DatapathSettings& settings) override;
  absl::Status ConfigureTunnel(uint16_t port, uint32_t ifindex) override;
  absl::Status SetOwners(const loader::Owners& owners) override { return owners_->Set(owners); }
  absl::Status SetExternalNodes(const std::set<policy::Cidr>& prefixes) override {
    return owners_->SetExternals(prefixes);
  }
  absl::StatusOr<policy::EngineOptions> BeginGeneration() override;
  absl::Status Apply(const policy::TableWrites& writes) override;
  absl::Status CommitGeneration(uint32_t l4_table) override;
  bool InForce() const override;
  absl::Status TakeOver() override;
  void RoutesChanged() override {
    __atomic_add_fetch(&object_->state()->routes_epoch, 1, __ATOMIC_RELEASE);
  }
  void SetTimeouts(const flow_timeouts& timeouts) override { object_->SetTimeouts(timeouts); }
  absl::StatusOr<FlowTableUse> SweepFlows(bool pressed) override;
  absl::StatusOr<loader::FlowPart> Flows(uint32_t from) const override;
  absl::StatusOr<bool> EndFlow(const loader::FlowRecord& flow) override;
  absl::StatusOr<uint64_t> FinishAdoption() override;  // on tcx it is done when programs are
  absl::StatusOr<uint32_t> ForgetFlows(const std::vector<policy::Address>& addresses) override;
  absl::StatusOr<std::vector<loader::DropCount>> Drops() const override;
  absl::StatusOr<std::vector<loader::InterfaceDropCount>> InterfaceDrops() const override;
  absl::StatusOr<std::vector<loader::HostDrop>> HostDrops() const override;
  absl::StatusOr<std::map<uint32_t, rule_hits>> RuleHits() const override;
  absl::StatusOr<loader::PacketLookup> Lookup(const policy::Packet& packet) const override;
  int events_fd() const override;
  std::vector<flow_event> TakeEvents() override;
  absl::StatusOr<uint64_t> EventsLost() const override;
  uint32_t slot() const override { return object_->active().slot; }
  absl::StatusOr<std::vector<loader::ProbeStage>> Probe(
      const policy::Packet& packet) const override {
    return loader::ProbePacket(*object_, packet);
  }
  absl::StatusOr<std::shared_ptr<loader::TracedPrograms>> LoadTraced() const override {
    return loader::TracedPrograms::Load(*object_);
  }
  absl::Status SetTraced(std::shared_ptr<loader::TracedPrograms> traced) override;
  uint64_t programs_loaded() const override;
  uint64_t table_writes() const override { return tables_->writes(); }

  std::vector<loader::ProgramStats> Stats() const { return object_->Stats(); }
  bool uses_tcx() const { return links_->uses_tcx(); }

 private:
  explicit Dataplane(const std::string& pin_dir) : socket_link_(pin_dir + "/links") {}
  // The one to attach as that: traced, or ours.
  int Program(const char* name) const;
  using Again = std::function<absl::Status()>;
  static constexpr uint32_t kMarkFlags = STATE_MARKS | STATE_MARKS_TRUSTED;
  absl::Status ExchangePrograms();
  // True: while we wait, `name` of the agent before goes on there, and `again` is for later.
  bool LeftFor(const char* name, uint32_t ifindex, Again again);
  absl::StatusOr<sweep_request> RunSweep(sweep_request request);
  absl::Status BeginMarks();
  absl::Status AttachExit(uint32_t ifindex, bool headless);
  absl::Status AttachExits();
  absl::StatusOr<uint32_t> InterfaceFlags(uint32_t ifindex) const;
  absl::Status SetInterfaceFlags(uint32_t ifindex, uint32_t flags, bool set);
  absl::Status RecallShaped();
  void NoteShaped(uint32_t ifindex, bool shaped);
  absl::Status ReshapeFlows(uint32_t ifindex, bool shaped);
  absl::Status AttachHost(const char* name, uint32_t ifindex, bool headless);
  static int OnEvent(void* context, void* data, size_t bytes);

  SocketLink socket_link_;
  std::unique_ptr<loader::DatapathObject> object_;
  std::shared_ptr<loader::TracedPrograms> traced_;
  absl::StatusOr<std::unique_ptr<loader::HostDrops>> host_drops_;
  std::unique_ptr<ProgramLinks> links_;
  std::unique_ptr<loader::TableStore> tables_;
  std::unique_ptr<loader::OwnerStore> owners_;
  std::unique_ptr<loader::MasqueradeStore> masquerade_;
  bool exits_masquerade_ = false;   // all there were then have their program
  std::map<uint32_t, bool> exits_;  // the host's interfaces, to whether they are headless
  std::set<uint32_t> shaped_;
  // Programs of the agent before may be attached, and ours have not all that they need.
  bool waiting_ = false;
  bool judge_anew_ = false;  // they have judged flows by tables that are not in force
  bool marks_wanted_ = false;
  std::map<uint32_t, Again> left_;  // by interface
  ring_buffer* ring_ = nullptr;
  uint64_t flows_lost_ = 0;
  uint64_t swept_ns_ = 0;  // CLOCK_MONOTONIC of the last sweep
  std::vector<flow_event> events_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_DATAPLANE_DATAPLANE_H_
