// SPDX-License-Identifier: Apache-2.0
#include "agent/dataplane/dataplane.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bpf/loader/tables_reader.h"
#include "policy/base/unique_fd.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

constexpr char kFromWorkload[] = "from_workload";
constexpr char kToWorkload[] = "to_workload";
constexpr char kFromHost[] = "from_host";
constexpr char kFromTunnel[] = "from_tunnel";
constexpr char kFromElsewhere[] = "from_elsewhere";

}  // namespace

absl::StatusOr<std::unique_ptr<Dataplane>> Dataplane::Open(const DataplaneOptions& options) {
  auto dataplane = std::unique_ptr<Dataplane>(new Dataplane());
  ASSIGN_OR_RETURN(dataplane->object_,
                   loader::DatapathObject::Load(options.sizes, options.pin_dir + "/maps"));
  const std::string links = options.pin_dir + "/links";
  if (mkdir(links.c_str(), 0700) != 0 && errno != EEXIST) {
    return absl::ErrnoToStatus(errno, absl::StrCat("create ", links));
  }
  dataplane->links_ = std::make_unique<ProgramLinks>(links, options.force_clsact);
  RETURN_IF_ERROR(dataplane->object_->AdoptFlows().status());
  RETURN_IF_ERROR(dataplane->links_->Refresh(kFromWorkload, dataplane->object_->from_workload()));
  RETURN_IF_ERROR(dataplane->links_->Refresh(kToWorkload, dataplane->object_->to_workload()));
  RETURN_IF_ERROR(dataplane->links_->Refresh(kFromHost, dataplane->object_->from_host()));
  RETURN_IF_ERROR(dataplane->links_->Refresh(kFromTunnel, dataplane->object_->from_tunnel()));
  RETURN_IF_ERROR(dataplane->links_->Refresh(kFromElsewhere, dataplane->object_->from_elsewhere()));
  // On clsact each program goes on with the old table until it is attached anew.
  if (dataplane->links_->uses_tcx()) RETURN_IF_ERROR(dataplane->FinishAdoption());
  dataplane->tables_ =
      std::make_unique<loader::TableStore>(dataplane->object_.get(), options.sizes);
  dataplane->owners_ = std::make_unique<loader::OwnerStore>(dataplane->object_.get());
  dataplane->ring_ =
      ring_buffer__new(dataplane->object_->events(), OnEvent, dataplane.get(), nullptr);
  if (dataplane->ring_ == nullptr) return absl::ErrnoToStatus(errno, "open rs_events_v1");
  return dataplane;
}

Dataplane::~Dataplane() { ring_buffer__free(ring_); }

absl::Status Dataplane::Remove(const std::string& pin_dir) {
  // Links first: while programs are attached, their maps must stay whole.
  for (const char* part : {"/links", "/maps"}) {
    const std::string dir = pin_dir + part;
    DIR* list = opendir(dir.c_str());
    if (list == nullptr) continue;
    while (const dirent* entry = readdir(list)) {
      if (entry->d_name[0] == '.') continue;
      const std::string path = absl::StrCat(dir, "/", entry->d_name);
      // At once, not when the kernel gets round to freeing it; a map refuses and is only unpinned.
      if (const UniqueFd pinned(bpf_obj_get(path.c_str())); pinned.ok())
        bpf_link_detach(pinned.get());
      unlink(path.c_str());
    }
    closedir(list);
    if (rmdir(dir.c_str()) != 0) return absl::ErrnoToStatus(errno, absl::StrCat("remove ", dir));
  }
  if (rmdir(pin_dir.c_str()) != 0 && errno != ENOENT) {
    return absl::ErrnoToStatus(errno, absl::StrCat("remove ", pin_dir));
  }
  return absl::OkStatus();
}

absl::Status Dataplane::AttachWorkload(uint32_t ifindex) {
  // Egress first: from the moment the pod may send, what comes back is judged too.
  RETURN_IF_ERROR(
      links_->Attach(kToWorkload, object_->to_workload(), ifindex, AttachPoint::kEgress));
  return links_->Attach(kFromWorkload, object_->from_workload(), ifindex, AttachPoint::kIngress);
}

absl::Status Dataplane::DetachWorkload(uint32_t ifindex) {
  RETURN_IF_ERROR(links_->Detach(kFromWorkload, ifindex, AttachPoint::kIngress));
  return links_->Detach(kToWorkload, ifindex, AttachPoint::kEgress);
}

absl::Status Dataplane::CheckWorkload(uint32_t ifindex) const {
  RETURN_IF_ERROR(
      links_->Check(kToWorkload, object_->to_workload(), ifindex, AttachPoint::kEgress));
  return links_->Check(kFromWorkload, object_->from_workload(), ifindex, AttachPoint::kIngress);
}

absl::Status Dataplane::AttachHost(const char* name, int program, uint32_t ifindex) {
  // What it had before goes only then: on tcx both stand for an instant, and neither lets
  // anything pass that the other would not.
  RETURN_IF_ERROR(links_->Attach(name, program, ifindex, AttachPoint::kIngress));
  if (!links_->uses_tcx()) return absl::OkStatus();  // one filter, replaced
  for (const char* other : {kFromHost, kFromTunnel, kFromElsewhere}) {
    if (other == name) continue;
    RETURN_IF_ERROR(links_->Detach(other, ifindex, AttachPoint::kIngress));
  }
  return absl::OkStatus();
}

absl::Status Dataplane::AttachUplink(uint32_t ifindex) {
  return AttachHost(kFromHost, object_->from_host(), ifindex);
}
absl::Status Dataplane::AttachTunnel(uint32_t ifindex) {
  return AttachHost(kFromTunnel, object_->from_tunnel(), ifindex);
}
absl::Status Dataplane::AttachElsewhere(uint32_t ifindex) {
  return AttachHost(kFromElsewhere, object_->from_elsewhere(), ifindex);
}

absl::Status Dataplane::DetachHost(uint32_t ifindex) {
  for (const char* name : {kFromHost, kFromTunnel, kFromElsewhere}) {
    RETURN_IF_ERROR(links_->Detach(name, ifindex, AttachPoint::kIngress));
  }
  return absl::OkStatus();
}

std::vector<ProgramFinding> Dataplane::Repair() {
  // Maps first: that makes the folders, where another bpffs is mounted.
  const absl::StatusOr<uint32_t> pinned = object_->RestorePins();
  std::vector<ProgramFinding> findings = links_->Repair();
  if (!pinned.ok()) {
    findings.push_back(
        {ProgramFinding::What::kUnpinned, 0, std::string(pinned.status().message())});
  } else if (*pinned > 0) {
    findings.push_back({ProgramFinding::What::kPinned, 0,
                        absl::StrCat("pins of ", *pinned,
                                     " maps were removed by somebody; "
                                     "pinned again")});
  }
  return findings;
}

absl::Status Dataplane::Configure(const DatapathSettings& settings) {
  datapath_state& state = *object_->state();
  state.events_per_second = settings.events_per_second;
  std::memcpy(state.host_mac, settings.host_mac.data(), sizeof(state.host_mac));
  const uint32_t flags = (settings.host_obeys_policy ? STATE_HOST_OBEYS_POLICY : 0) |
                         (settings.watch_flows ? STATE_WATCH_FLOWS : 0) |
                         (settings.watch_closed ? STATE_WATCH_CLOSED : 0);
  __atomic_store_n(&state.flags, flags, __ATOMIC_RELEASE);
  return absl::OkStatus();
}

absl::Status Dataplane::ConfigureTunnel(uint16_t port, uint32_t ifindex) {
  datapath_state& state = *object_->state();
  __atomic_store_n(&state.tunnel_ifindex, ifindex, __ATOMIC_RELEASE);
  __atomic_store_n(&state.vxlan_port, htons(port), __ATOMIC_RELEASE);
  return absl::OkStatus();
}

absl::StatusOr<policy::EngineOptions> Dataplane::BeginGeneration() { return tables_->Begin(); }
absl::Status Dataplane::Apply(const policy::TableWrites& writes) { return tables_->Apply(writes); }
absl::Status Dataplane::CommitGeneration(uint32_t l4_table) { return tables_->Commit(l4_table); }
bool Dataplane::InForce() const { return object_->active().l4_table != 0; }

absl::StatusOr<sweep_request> Dataplane::RunSweep(sweep_request request) {
  LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &request, .ctx_size_in = sizeof(request));
  if (bpf_prog_test_run_opts(object_->flow_sweep(), &options) != 0) {
    return absl::ErrnoToStatus(errno, "run flow_sweep");
  }
  return request;
}

absl::Status Dataplane::FinishAdoption() {
  ASSIGN_OR_RETURN(const uint64_t lost, object_->AdoptFlows());
  flows_lost_ += lost;
  object_->ForgetOldFlows();
  return absl::OkStatus();
}

absl::StatusOr<FlowTableUse> Dataplane::SweepFlows(bool pressed) {
  ASSIGN_OR_RETURN(const sweep_request done, RunSweep({.pressed = pressed ? 1u : 0u}));
  ASSIGN_OR_RETURN(const uint64_t no_room, loader::ReadLost(*object_, LOST_FLOW_ROOM));
  return FlowTableUse{.entries = done.visited - done.removed,
                      .removed = done.removed,
                      .capacity = object_->flow_capacity(),
                      .no_room = no_room};
}

absl::StatusOr<uint32_t> Dataplane::ForgetFlows(const policy::Address& address) {
  ASSIGN_OR_RETURN(const sweep_request done, RunSweep({.forget = loader::ToKey(address)}));
  return done.removed;
}

absl::StatusOr<std::vector<loader::DropCount>> Dataplane::Drops() const {
  return loader::ReadDrops(*object_);
}
absl::StatusOr<std::map<uint32_t, rule_hits>> Dataplane::RuleHits() const {
  return loader::HitsInForce(*object_);
}
absl::StatusOr<loader::PacketLookup> Dataplane::Lookup(const policy::Packet& packet) const {
  return loader::LookupInForce(*object_, packet);
}

int Dataplane::events_fd() const { return ring_buffer__epoll_fd(ring_); }

int Dataplane::OnEvent(void* context, void* data, size_t bytes) {
  flow_event event;
  if (bytes < sizeof(event)) return 0;
  std::memcpy(&event, data, sizeof(event));
  static_cast<Dataplane*>(context)->events_.push_back(event);
  return 0;
}

std::vector<flow_event> Dataplane::TakeEvents() {
  ring_buffer__consume(ring_);
  return std::exchange(events_, {});
}

absl::StatusOr<uint64_t> Dataplane::EventsLost() const {
  return loader::ReadLost(*object_, LOST_EVENTS);
}

uint64_t Dataplane::programs_loaded() const { return object_->Stats().size(); }

}  // namespace ripstop::agent
