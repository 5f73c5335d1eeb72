// SPDX-License-Identifier: Apache-2.0
//
// What the agent asks of the kernel's datapath: programs on interfaces, policy tables,
// counters. Implemented by Dataplane; FakeDataplane stands in for it in tests.
//
// All calls come from the agent's one loop; none blocks for longer than a few RCU grace
// periods. Errors name the object (map, link, interface).
#ifndef RIPSTOP_AGENT_DATAPLANE_DATAPLANE_INTERFACE_H_
#define RIPSTOP_AGENT_DATAPLANE_DATAPLANE_INTERFACE_H_

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/dataplane/program_links.h"
#include "bpf/abi/events.h"
#include "bpf/abi/flows.h"
#include "bpf/abi/tables.h"
#include "bpf/abi/timeouts.h"
#include "bpf/loader/drop_reader.h"
#include "bpf/loader/flow_reader.h"
#include "bpf/loader/host_drops.h"
#include "bpf/loader/masquerade_store.h"
#include "bpf/loader/owner_store.h"
#include "bpf/loader/packet_probe.h"
#include "bpf/loader/packet_trace.h"
#include "bpf/loader/tables_reader.h"
#include "policy/engine/engine.h"
#include "policy/model.h"
#include "policy/tables/table_write.h"

namespace ripstop::agent {

struct DatapathSettings {
  bool host_obeys_policy = false;     // else this host reaches its pods before policy
  uint32_t events_per_second = 1000;  // per CPU
  // Flow events beyond those of flows that a Log rule marked, which always come: of every
  // flow that begins, is denied or judged otherwise; of every one that ends, with heartbeats.
  bool watch_flows = false;
  bool watch_closed = false;
  // New flows of pods to what is neither a pod nor a node go through this host's stack, so
  // that its NAT applies, and are judged as what they become. May come and go.
  bool host_nat = false;
  // Segments of no known flow are answered by a reset, not by silence. Not before all flows
  // of an older table have been taken over (FinishAdoption).
  bool reset_unknown = false;
  // What policy denies is answered: a reset, or "prohibited".
  bool reject_denied = false;
  std::array<uint8_t, 6> host_mac = {0xee, 0xee, 0xee, 0xee, 0xee, 0xee};  // of veth host sides
};

// The table of answered flows, after a sweep.
struct FlowTableUse {
  uint64_t entries = 0;
  uint64_t removed = 0;  // by this sweep
  uint64_t capacity = 0;
  uint64_t no_room = 0;  // flows that found it full, since the maps were made
};

class DataplaneInterface {
 public:
  virtual ~DataplaneInterface() = default;

  // Programs. All are idempotent; a second attach brings the current program.
  //   kNotFound  no such interface
  virtual absl::Status AttachWorkload(uint32_t ifindex) = 0;  // both directions
  virtual absl::Status DetachWorkload(uint32_t ifindex) = 0;  // fine when it is gone
  // Whether our programs are what the kernel runs there, in both directions.
  //   kFailedPrecondition  they are not; names the program and the interface
  virtual absl::Status CheckWorkload(uint32_t ifindex) const = 0;
  // Of the host's own interfaces each has one program at most; another replaces it. All of
  // them have one before Configure says `host_nat`.
  virtual absl::Status AttachUplink(uint32_t ifindex) = 0;
  virtual absl::Status AttachTunnel(uint32_t ifindex) = 0;  // the VXLAN device
  // Where no node is. `headless`: its frames have no Ethernet header.
  virtual absl::Status AttachElsewhere(uint32_t ifindex, bool headless) = 0;
  virtual absl::Status DetachHost(uint32_t ifindex) = 0;
  // Pools, and under which addresses and ports their pods leave. Once some pool is masqueraded,
  // each of the host's own interfaces has a program for what leaves by it, for good, as flows that
  // began so go on.
  //   those of loader::MasqueradeStore::Set
  virtual absl::Status SetMasquerade(const loader::Masquerade& masquerade) = 0;
  // Whether that is so.
  virtual bool masquerades() const = 0;
  // Whether pods' packets have ever been marked on this node (`host_nat`), by this agent or an
  // earlier one: flows that began so go on, so their programs stay, for good.
  virtual bool marks() const = 0;
  // Whether somebody limits this workload's traffic with queueing disciplines of the host's
  // side. Its packets then pass them, also those of live flows.
  //   kNotFound  no workload's interface
  virtual absl::Status SetShaped(uint32_t ifindex, bool shaped) = 0;

  // Puts back what somebody else has detached or unpinned; empty when all is well. Call it
  // often: the kernel tells nobody.
  virtual std::vector<ProgramFinding> Repair() = 0;

  // When all programs have been attached (after TakeOver): what flows of an older table of
  // another size began meanwhile are taken over too, and that table is let go. How many had no
  // room in this one so far.
  virtual absl::StatusOr<uint64_t> FinishAdoption() = 0;

  virtual absl::Status Configure(const DatapathSettings& settings) = 0;

  // The tunnel: its UDP port (0: no VXLAN in this network; then nothing is asked of a packet
  // that looks like it) and its device (0: none here yet).
  virtual absl::Status ConfigureTunnel(uint16_t port, uint32_t ifindex) = 0;
  // Who may speak by VXLAN for which address, and which addresses come by it.
  //   those of loader::OwnerStore::Set
  virtual absl::Status SetOwners(const loader::Owners& owners) = 0;
  // Who may speak by VXLAN besides nodes, by the outer source, for what nobody owns.
  //   kResourceExhausted  they are too many
  virtual absl::Status SetExternalNodes(const std::set<policy::Cidr>& prefixes) = 0;

  // Tables: BeginGeneration, an engine made with its options, Apply its first Flush,
  // CommitGeneration with its l4_table(), then Apply each later Flush.
  virtual absl::StatusOr<policy::EngineOptions> BeginGeneration() = 0;
  virtual absl::Status Apply(const policy::TableWrites& writes) = 0;
  virtual absl::Status CommitGeneration(uint32_t l4_table) = 0;
  // Whether tables are in force, of this process or of an earlier one.
  virtual bool InForce() const = 0;
  // Where an agent of another layout was before, its programs go on by its tables until this puts
  // ours in their place: once the first tables are in force, and tunnel, owners and settings are
  // told. Known flows are judged anew then. Nothing where ours are there already; after an error
  // call it again.
  virtual absl::Status TakeOver() = 0;

  // By which way packets leave this host has changed: flows ask for theirs anew.
  virtual void RoutesChanged() = 0;

  // How long flows may be quiet, in nanoseconds; zero: as bpf/abi/flows.h has it.
  virtual void SetTimeouts(const flow_timeouts& timeouts) = 0;

  // Flows. SweepFlows removes idle ones (call it every few seconds), and those that are
  // over sooner when `pressed`, that is when the table is nearly full; ForgetFlows those of
  // addresses that have lost their endpoints, and returns how many. Each walks all flows.
  virtual absl::StatusOr<FlowTableUse> SweepFlows(bool pressed) = 0;
  virtual absl::StatusOr<uint32_t> ForgetFlows(const std::vector<policy::Address>& addresses) = 0;

  // Flows from part `from` on (0: the first); loader::FlowPart::next says where to go on.
  virtual absl::StatusOr<loader::FlowPart> Flows(uint32_t from) const = 0;
  // Whether there was such a flow.
  virtual absl::StatusOr<bool> EndFlow(const loader::FlowRecord& flow) = 0;

  // Readers.
  virtual absl::StatusOr<std::vector<loader::DropCount>> Drops()
      const = 0;  // all reasons, in order
  // The same by interface (bpf/abi/drops.h), of interfaces that are attached.
  virtual absl::StatusOr<std::vector<loader::InterfaceDropCount>> InterfaceDrops() const = 0;
  // What the host's stack itself drops of pods' packets, since this began.
  //   those of loader::HostDrops::Begin, where this kernel cannot tell
  virtual absl::StatusOr<std::vector<loader::HostDrop>> HostDrops() const = 0;
  // Of the generation in force, by rule id; rules never hit are absent.
  virtual absl::StatusOr<std::map<uint32_t, rule_hits>> RuleHits() const = 0;
  // The verdict for the first packet of a flow, read from the maps in force.
  virtual absl::StatusOr<loader::PacketLookup> Lookup(const policy::Packet& packet) const = 0;

  // Flow events: readable when TakeEvents would return some.
  virtual int events_fd() const = 0;
  virtual std::vector<flow_event> TakeEvents() = 0;
  // Events that were wanted and not sent: over events_per_second, or the buffer was full. Samples
  // are not wanted.
  virtual absl::StatusOr<uint64_t> EventsLost() const = 0;
  // Slot of the generation in force, as flow_event.slot has it.
  virtual uint32_t slot() const = 0;

  // Sends a packet through the programs, aside from all traffic and leaving nothing behind. Takes a
  // part of a second; any thread may call it.
  virtual absl::StatusOr<std::vector<loader::ProbeStage>> Probe(
      const policy::Packet& packet) const = 0;

  // Traces of packets. LoadTraced takes seconds, and any thread may call it; what it gives must be
  // gone before this is. SetTraced, on the loop, puts these programs in the place of ours at every
  // interface, also those to come, or ours again (nullptr); no packet passes unjudged.
  virtual absl::StatusOr<std::shared_ptr<loader::TracedPrograms>> LoadTraced() const = 0;
  virtual absl::Status SetTraced(std::shared_ptr<loader::TracedPrograms> traced) = 0;

  // Local addresses whose flows pass beside the host's NAT, since marks cannot name them.
  virtual size_t addresses_without_number() const = 0;

  virtual uint64_t programs_loaded() const = 0;  // since the start; rule 2: does not move
  virtual uint64_t table_writes() const = 0;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_DATAPLANE_DATAPLANE_INTERFACE_H_
