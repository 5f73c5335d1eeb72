// SPDX-License-Identifier: Apache-2.0
#include "agent/dataplane/dataplane.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "agent/dataplane/program_places.h"
#include "bpf/loader/grace.h"
#include "bpf/loader/tables_reader.h"
#include "policy/base/unique_fd.h"
#include "policy/status_macros.h"

namespace ripstop::agent {
namespace {

// What a mark has room for; kInvalidArgument for a mask that cannot be.
absl::StatusOr<uint32_t> NumbersOf(uint32_t mask) {
  const uint32_t low = mask & -mask;
  const uint32_t field = mask == 0 ? 0 : mask / low;
  if ((field & (field + 1)) != 0 || (field >> (MARK_BITS_MIN - 1)) == 0) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "mark mask 0x%x: want at least %u adjacent bits, such as 0xffff0000", mask, MARK_BITS_MIN));
  }
  return std::min<uint32_t>(field / MARK_KINDS, MARK_NUMBER_MAX);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Dataplane>> Dataplane::Open(const DataplaneOptions& options) {
  auto dataplane = std::unique_ptr<Dataplane>(new Dataplane(options.pin_dir));
  loader::DatapathSizes sizes = options.sizes;
  ASSIGN_OR_RETURN(sizes.mark_numbers, NumbersOf(options.mark_mask));
  ASSIGN_OR_RETURN(dataplane->object_,
                   loader::DatapathObject::Load(sizes, options.pin_dir + "/maps"));
  __atomic_store_n(&dataplane->object_->state()->mark_mask, options.mark_mask, __ATOMIC_RELEASE);
  // A flow of the older table that is not here yet is not unknown.
  __atomic_fetch_and(&dataplane->object_->state()->flags, ~STATE_RESET_UNKNOWN, __ATOMIC_RELEASE);
  const std::string links = options.pin_dir + "/links";
  if (mkdir(links.c_str(), 0700) != 0 && errno != EEXIST) {
    return absl::ErrnoToStatus(errno, absl::StrCat("create ", links));
  }
  dataplane->links_ = std::make_unique<ProgramLinks>(links, options.force_clsact);
  // Programs of another layout go on by their own tables until ours are whole.
  dataplane->waiting_ = dataplane->judge_anew_ = !dataplane->InForce();
  if (!dataplane->waiting_) {
    RETURN_IF_ERROR(dataplane->ExchangePrograms());
    RETURN_IF_ERROR(dataplane->TakeOver());
  }
  dataplane->tables_ = std::make_unique<loader::TableStore>(dataplane->object_.get(), sizes);
  RETURN_IF_ERROR(dataplane->RecallShaped());
  RETURN_IF_ERROR(loader::ForgetDropsOfGoneInterfaces(*dataplane->object_));
  dataplane->owners_ = std::make_unique<loader::OwnerStore>(dataplane->object_.get());
  dataplane->masquerade_ = std::make_unique<loader::MasqueradeStore>(dataplane->object_.get());
  dataplane->ring_ =
      ring_buffer__new(dataplane->object_->events(), OnEvent, dataplane.get(), nullptr);
  if (dataplane->ring_ == nullptr) return absl::ErrnoToStatus(errno, "open rs_events_v2");
  // A node serves without; who asks is told why.
  dataplane->host_drops_ = loader::HostDrops::Begin(*dataplane->object_);
  return dataplane;
}

Dataplane::~Dataplane() {
  if (traced_ != nullptr) SetTraced(nullptr).IgnoreError();
  ring_buffer__free(ring_);
}

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
  RETURN_IF_ERROR(SetInterfaceFlags(ifindex, INTERFACE_WORKLOAD, true));
  if (LeftFor(kFromWorkload, ifindex, [this, ifindex] { return AttachWorkload(ifindex); }))
    return absl::OkStatus();
  // Egress first: from the moment the pod may send, what comes back is judged too.
  RETURN_IF_ERROR(links_->Attach(kToWorkload, Program(kToWorkload), ifindex, AttachPoint::kEgress));
  return links_->Attach(kFromWorkload, Program(kFromWorkload), ifindex, AttachPoint::kIngress);
}

absl::Status Dataplane::DetachWorkload(uint32_t ifindex) {
  left_.erase(ifindex);
  RETURN_IF_ERROR(links_->Detach(kFromWorkload, ifindex, AttachPoint::kIngress));
  RETURN_IF_ERROR(links_->Detach(kToWorkload, ifindex, AttachPoint::kEgress));
  NoteShaped(ifindex, false);
  RETURN_IF_ERROR(loader::ForgetInterfaceDrops(*object_, ifindex));
  return SetInterfaceFlags(ifindex, INTERFACE_WORKLOAD | INTERFACE_SHAPED, false);
}

absl::Status Dataplane::CheckWorkload(uint32_t ifindex) const {
  if (waiting_ && left_.contains(ifindex)) return absl::OkStatus();
  RETURN_IF_ERROR(links_->Check(kToWorkload, Program(kToWorkload), ifindex, AttachPoint::kEgress));
  return links_->Check(kFromWorkload, Program(kFromWorkload), ifindex, AttachPoint::kIngress);
}

absl::Status Dataplane::AttachHost(const char* name, uint32_t ifindex, bool headless) {
  const auto again = [this, name, ifindex, headless] {
    return AttachHost(name, ifindex, headless);
  };
  if (LeftFor(name, ifindex, again)) return absl::OkStatus();
  // What it had before goes only then: on tcx both stand for an instant, and neither lets
  // anything pass that the other would not.
  RETURN_IF_ERROR(links_->Attach(name, Program(name), ifindex, AttachPoint::kIngress));
  for (const char* other : {kFromHost, kFromTunnel, kFromElsewhere}) {
    if (other == name || !links_->uses_tcx()) continue;  // clsact: one filter, replaced
    RETURN_IF_ERROR(links_->Detach(other, ifindex, AttachPoint::kIngress));
  }
  exits_.insert_or_assign(ifindex, headless);
  return AttachExit(ifindex, headless);
}

// Nothing is attached where nothing is marked or masqueraded: whoever needs no NAT does not pay
// for it.
absl::Status Dataplane::AttachExit(uint32_t ifindex, bool headless) {
  if ((object_->state()->flags & (STATE_MARKS | STATE_MASQUERADE)) == 0) return absl::OkStatus();
  RETURN_IF_ERROR(SetInterfaceFlags(ifindex, INTERFACE_HEADLESS, headless));
  return links_->Attach(kToHost, Program(kToHost), ifindex, AttachPoint::kEgress);
}

absl::Status Dataplane::AttachUplink(uint32_t ifindex) {
  return AttachHost(kFromHost, ifindex, false);
}
absl::Status Dataplane::AttachTunnel(uint32_t ifindex) {
  return AttachHost(kFromTunnel, ifindex, false);
}
absl::Status Dataplane::AttachElsewhere(uint32_t ifindex, bool headless) {
  return AttachHost(kFromElsewhere, ifindex, headless);
}

absl::Status Dataplane::DetachHost(uint32_t ifindex) {
  left_.erase(ifindex);
  for (const char* name : {kFromHost, kFromTunnel, kFromElsewhere}) {
    RETURN_IF_ERROR(links_->Detach(name, ifindex, AttachPoint::kIngress));
  }
  exits_.erase(ifindex);
  RETURN_IF_ERROR(loader::ForgetInterfaceDrops(*object_, ifindex));
  RETURN_IF_ERROR(SetInterfaceFlags(ifindex, INTERFACE_HEADLESS, false));
  return links_->Detach(kToHost, ifindex, AttachPoint::kEgress);
}

absl::StatusOr<uint32_t> Dataplane::InterfaceFlags(uint32_t ifindex) const {
  interface_value value = {};
  if (bpf_map_lookup_elem(object_->interfaces(), &ifindex, &value) != 0 && errno != ENOENT) {
    return absl::ErrnoToStatus(errno, absl::StrCat("rs_interfaces_v1: read interface ", ifindex));
  }
  return value.flags;
}

absl::Status Dataplane::SetInterfaceFlags(uint32_t ifindex, uint32_t flags, bool set) {
  ASSIGN_OR_RETURN(const uint32_t before, InterfaceFlags(ifindex));
  const interface_value value = {.flags = set ? before | flags : before & ~flags};
  if (value.flags == before) return absl::OkStatus();
  const int done = value.flags == 0
                       ? bpf_map_delete_elem(object_->interfaces(), &ifindex)
                       : bpf_map_update_elem(object_->interfaces(), &ifindex, &value, BPF_ANY);
  if (done == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, absl::StrCat("rs_interfaces_v1: write interface ", ifindex));
}

// Those that an earlier agent knew of, so that none is forgotten with another.
absl::Status Dataplane::RecallShaped() {
  uint32_t ifindex = 0;
  const uint32_t* before = nullptr;
  while (bpf_map_get_next_key(object_->interfaces(), before, &ifindex) == 0) {
    ASSIGN_OR_RETURN(const uint32_t flags, InterfaceFlags(ifindex));
    if (flags & INTERFACE_SHAPED) shaped_.insert(ifindex);
    before = &ifindex;
  }
  return absl::OkStatus();
}

// New flows look for shaped interfaces only while there are any.
void Dataplane::NoteShaped(uint32_t ifindex, bool shaped) {
  if (shaped) {
    shaped_.insert(ifindex);
    __atomic_fetch_or(&object_->state()->flags, STATE_SHAPED, __ATOMIC_RELEASE);
    return;
  }
  shaped_.erase(ifindex);
  if (shaped_.empty()) {
    __atomic_fetch_and(&object_->state()->flags, ~STATE_SHAPED, __ATOMIC_RELEASE);
  }
}

absl::Status Dataplane::SetShaped(uint32_t ifindex, bool shaped) {
  ASSIGN_OR_RETURN(const uint32_t before, InterfaceFlags(ifindex));
  if ((before & INTERFACE_WORKLOAD) == 0) {
    return absl::NotFoundError(absl::StrCat("interface ", ifindex, " is no workload's"));
  }
  NoteShaped(ifindex, shaped);
  if (((before & INTERFACE_SHAPED) != 0) == shaped) return absl::OkStatus();
  RETURN_IF_ERROR(SetInterfaceFlags(ifindex, INTERFACE_SHAPED, shaped));
  const absl::Status status = ReshapeFlows(ifindex, shaped);
  // Whoever asks again is not told that it is done.
  if (!status.ok()) SetInterfaceFlags(ifindex, INTERFACE_SHAPED, !shaped).IgnoreError();
  return status;
}

absl::Status Dataplane::ReshapeFlows(uint32_t ifindex, bool shaped) {
  // A program that has not seen it may still write a flow.
  RETURN_IF_ERROR(loader::RcuGrace());
  reshape_request request = {.ifindex = ifindex, .shaped = shaped};
  LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &request, .ctx_size_in = sizeof(request));
  if (bpf_prog_test_run_opts(object_->flow_reshape(), &options) != 0) {
    return absl::ErrnoToStatus(errno, "run flow_reshape");
  }
  return absl::OkStatus();
}

// From here on what pods send to the stack is marked, for good: what is under way then must
// find to_host and to_socket.
absl::Status Dataplane::BeginMarks() {
  if ((object_->state()->flags & kMarkFlags) == kMarkFlags) return absl::OkStatus();
  RETURN_IF_ERROR(socket_link_.Attach(object_->to_socket()));
  __atomic_fetch_or(&object_->state()->flags, STATE_MARKS, __ATOMIC_RELEASE);
  RETURN_IF_ERROR(AttachExits());
  // No packet without a mark is on its way any more.
  RETURN_IF_ERROR(loader::RcuGrace());
  __atomic_fetch_or(&object_->state()->flags, STATE_MARKS_TRUSTED, __ATOMIC_RELEASE);
  return absl::OkStatus();
}

absl::Status Dataplane::AttachExits() {
  for (const auto& [ifindex, headless] : exits_) {
    absl::Status status = AttachExit(ifindex, headless);
    if (!status.ok() && !absl::IsNotFound(status)) return status;
  }
  return absl::OkStatus();
}

absl::Status Dataplane::SetMasquerade(const loader::Masquerade& masquerade) {
  RETURN_IF_ERROR(masquerade_->Set(masquerade));
  if (!masquerade.any() || exits_masquerade_) return absl::OkStatus();
  __atomic_fetch_or(&object_->state()->flags, STATE_MASQUERADE, __ATOMIC_RELEASE);
  if (waiting_) return absl::OkStatus();  // TakeOver does
  RETURN_IF_ERROR(AttachExits());
  exits_masquerade_ = true;
  return absl::OkStatus();
}

bool Dataplane::masquerades() const { return (object_->state()->flags & STATE_MASQUERADE) != 0; }

int Dataplane::Program(const char* name) const {
  return traced_ != nullptr ? traced_->Program(name) : object_->Program(name);
}

absl::Status Dataplane::SetTraced(std::shared_ptr<loader::TracedPrograms> traced) {
  // Held until no interface has them any more.
  const auto before = std::exchange(traced_, std::move(traced));
  absl::Status status;
  for (const char* name :
       {kFromWorkload, kToWorkload, kFromHost, kFromTunnel, kFromElsewhere, kToHost}) {
    status.Update(links_->Replace(name, Program(name)));
  }
  if (status.ok() || traced_ == nullptr) return status;
  // Some tell and some do not: nobody would know what is missing.
  SetTraced(nullptr).IgnoreError();
  return status;
}

std::vector<ProgramFinding> Dataplane::Repair() {
  // Maps first: that makes the folders, where another bpffs is mounted.
  const absl::StatusOr<uint32_t> pinned = object_->RestorePins();
  std::vector<ProgramFinding> findings = links_->Repair();
  if ((object_->state()->flags & STATE_MARKS) != 0) {
    auto finding = socket_link_.Repair(object_->to_socket());
    if (finding.has_value()) findings.push_back(*std::move(finding));
  }
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
  marks_wanted_ = settings.host_nat;
  if (marks_wanted_ && !waiting_) RETURN_IF_ERROR(BeginMarks());
  const uint32_t kept = state.flags & (kMarkFlags | STATE_SHAPED | STATE_MASQUERADE);
  const uint32_t flags = kept | (settings.host_nat ? STATE_HOST_NAT : 0) |
                         (settings.host_obeys_policy ? STATE_HOST_OBEYS_POLICY : 0) |
                         (settings.watch_flows ? STATE_WATCH_FLOWS : 0) |
                         (settings.watch_closed ? STATE_WATCH_CLOSED : 0) |
                         (settings.reset_unknown ? STATE_RESET_UNKNOWN : 0) |
                         (settings.reject_denied ? STATE_REJECT : 0);
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

absl::StatusOr<FlowTableUse> Dataplane::SweepFlows(bool pressed) {
  timespec clock{};
  clock_gettime(CLOCK_MONOTONIC, &clock);
  const uint64_t now =
      static_cast<uint64_t>(clock.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(clock.tv_nsec);
  ASSIGN_OR_RETURN(const sweep_request done,
                   RunSweep({.now_ns = now, .last_ns = swept_ns_, .pressed = pressed ? 1u : 0u}));
  swept_ns_ = now;
  ASSIGN_OR_RETURN(const uint64_t no_room, loader::ReadLost(*object_, LOST_FLOW_ROOM));
  return FlowTableUse{.entries = done.visited - done.removed,
                      .removed = done.removed,
                      .capacity = object_->flow_capacity(),
                      .no_room = no_room};
}

absl::StatusOr<uint32_t> Dataplane::ForgetFlows(const std::vector<policy::Address>& addresses) {
  std::vector<ip_address> keys;
  for (const policy::Address& address : addresses) keys.push_back(loader::ToKey(address));
  return object_->ForgetFlows(keys);
}

absl::StatusOr<loader::FlowPart> Dataplane::Flows(uint32_t from) const {
  return loader::ReadFlows(*object_, from);
}
absl::StatusOr<bool> Dataplane::EndFlow(const loader::FlowRecord& flow) {
  return loader::EndFlow(*object_, flow);
}

absl::StatusOr<std::vector<loader::DropCount>> Dataplane::Drops() const {
  return loader::ReadDrops(*object_);
}
absl::StatusOr<std::vector<loader::InterfaceDropCount>> Dataplane::InterfaceDrops() const {
  return loader::ReadInterfaceDrops(*object_);
}
absl::StatusOr<std::vector<loader::HostDrop>> Dataplane::HostDrops() const {
  if (!host_drops_.ok()) return host_drops_.status();
  return (*host_drops_)->Read();
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
