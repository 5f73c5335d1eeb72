// SPDX-License-Identifier: Apache-2.0
#include "bpf/loader/datapath_object.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "bpf/abi/flows.h"
#include "bpf/datapath.skel.h"
#include "bpf/loader/map_access.h"
#include "policy/status_macros.h"

namespace ripstop::loader {
namespace {

absl::Status NotOnBpffs(const std::string& dir) {
  return absl::FailedPreconditionError(
      absl::StrCat(dir, " is not on a bpffs; mount one: mount -t bpf bpf /sys/fs/bpf"));
}

absl::Status EnsurePinDir(const std::string& dir) {
  for (size_t at = 1; at != std::string::npos;) {
    at = dir.find('/', at + 1);
    const std::string part = dir.substr(0, at);
    if (mkdir(part.c_str(), 0700) == 0 || errno == EEXIST) continue;
    // Only the kernel makes folders in sysfs: nothing is mounted on /sys/fs/bpf.
    if (errno == ENOENT || errno == EPERM) return NotOnBpffs(dir);
    return absl::ErrnoToStatus(errno, absl::StrCat("create ", part));
  }
  struct statfs fs;
  if (statfs(dir.c_str(), &fs) != 0)
    return absl::ErrnoToStatus(errno, absl::StrCat("statfs ", dir));
  if (static_cast<uint32_t>(fs.f_type) != BPF_FS_MAGIC) {
    return NotOnBpffs(dir);
  }
  return absl::OkStatus();
}

absl::Status SetSizes(datapath* skeleton, const DatapathSizes& sizes) {
  const struct {
    bpf_map* map;
    uint32_t entries;
  } wanted[] = {
      {skeleton->maps.rs_flows_v3, sizes.flows},
      {skeleton->maps.rs_masquerade_v1, sizes.flows},
      {skeleton->maps.rs_frags_v1, sizes.fragments},
      {skeleton->maps.rs_events_v2, sizes.event_bytes},
  };
  for (const auto& [map, entries] : wanted) {
    if (int error = bpf_map__set_max_entries(map, entries); error != 0) {
      return absl::ErrnoToStatus(-error, absl::StrCat("size of ", bpf_map__name(map)));
    }
  }
  return absl::OkStatus();
}

absl::Status SetPinPaths(datapath* skeleton, const std::string& dir) {
  bpf_map* map;
  bpf_object__for_each_map(map, skeleton->obj) {
    if (!absl::StartsWith(bpf_map__name(map), "rs_")) continue;
    const std::string path = absl::StrCat(dir, "/", bpf_map__name(map));
    if (int error = bpf_map__set_pin_path(map, path.c_str()); error != 0) {
      return absl::ErrnoToStatus(-error, absl::StrCat("pin path ", path));
    }
    // The pinned map may have been made with another size. It is full of live state:
    // keep it as it is.
    UniqueFd pinned(bpf_obj_get(path.c_str()));
    const bpf_map_info info = InfoOf(pinned.get());
    if (info.id == 0) continue;
    // Another layout's by this name, such as the notes that a program makes of a packet, or
    // counters from before there were so many.
    const bool array = info.type == BPF_MAP_TYPE_ARRAY || info.type == BPF_MAP_TYPE_PERCPU_ARRAY;
    if (info.key_size != bpf_map__key_size(map) || info.value_size != bpf_map__value_size(map) ||
        (array && info.max_entries < bpf_map__max_entries(map))) {
      if (unlink(path.c_str()) != 0)
        return absl::ErrnoToStatus(errno, absl::StrCat("unpin ", path, " of another layout"));
      continue;
    }
    bpf_map__set_max_entries(map, info.max_entries);
  }
  return absl::OkStatus();
}

// Maps that an agent of another layout left: nothing of ours reads them, but for the flows. Their
// programs, if any still run, keep them until they are replaced.
void UnpinOtherLayouts(const datapath* skeleton, const std::string& dir, const char* flows) {
  DIR* list = opendir(dir.c_str());
  if (list == nullptr) return;
  while (const dirent* entry = readdir(list)) {
    if (!absl::StartsWith(entry->d_name, "rs_")) continue;
    if (bpf_object__find_map_by_name(skeleton->obj, entry->d_name) != nullptr) continue;
    if (absl::StartsWith(entry->d_name, flows)) continue;  // until they are adopted
    unlinkat(dirfd(list), entry->d_name, 0);
  }
  closedir(list);
}

absl::StatusOr<MappedPages> MapPages(int fd, size_t bytes, const char* name) {
  void* base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) return absl::ErrnoToStatus(errno, absl::StrCat("map ", name));
  return MappedPages(base, bytes);
}

}  // namespace

absl::StatusOr<std::unique_ptr<DatapathObject>> DatapathObject::Load(
    const DatapathSizes& sizes, const std::string& pin_dir,
    absl::Span<const char* const> unwanted) {
  const LibbpfMessages messages;
  auto object = std::unique_ptr<DatapathObject>(new DatapathObject());
  object->skeleton_ = datapath__open();
  if (object->skeleton_ == nullptr) {
    return absl::ErrnoToStatus(errno, absl::StrCat("open the datapath object: ", messages.text()));
  }
  RETURN_IF_ERROR(SetSizes(object->skeleton_, sizes));
  object->pin_dir_ = pin_dir;
  if (!pin_dir.empty()) {
    RETURN_IF_ERROR(EnsurePinDir(pin_dir));
    RETURN_IF_ERROR(object->FindOldFlows(sizes.flows));
    RETURN_IF_ERROR(SetPinPaths(object->skeleton_, pin_dir));
  }
  bpf_program* program;
  bpf_object__for_each_program(program, object->skeleton_->obj) {
    bpf_program__set_autoload(program, false);
  }
  if (int error = datapath__load(object->skeleton_); error != 0)
    return LoadFailed(error, messages.text());
  ASSIGN_OR_RETURN(object->programs_, LoadPrograms(*object->skeleton_, unwanted));
  if (!pin_dir.empty()) UnpinOtherLayouts(object->skeleton_, pin_dir, kFlowTables);
  const auto& maps = object->skeleton_->maps;
  ASSIGN_OR_RETURN(object->state_,
                   MapPages(bpf_map__fd(maps.rs_state_v4), sizeof(datapath_state), "rs_state_v4"));
  ASSIGN_OR_RETURN(object->epochs_,
                   MapPages(bpf_map__fd(maps.rs_epochs_v1),
                            EPOCHS_MAX * kEpochStrideWords * sizeof(uint32_t), "rs_epochs_v1"));
  ASSIGN_OR_RETURN(object->accounts_,
                   MapPages(bpf_map__fd(maps.rs_accounts_v2), FLOW_ACCOUNTS * sizeof(flow_account),
                            "rs_accounts_v2"));
  object->LimitAccounts(sizes);
  constexpr size_t kSenderStride = (sizeof(sender_value) + 7) / 8 * 8;
  ASSIGN_OR_RETURN(object->senders_,
                   MapPages(bpf_map__fd(maps.rs_senders_v1), (MARK_NUMBER_MAX + 1) * kSenderStride,
                            "rs_senders_v1"));
  ASSIGN_OR_RETURN(object->timeouts_, MapPages(bpf_map__fd(maps.rs_timeouts_v1),
                                               sizeof(flow_timeouts), "rs_timeouts_v1"));
  return object;
}

void DatapathObject::LimitAccounts(const DatapathSizes& sizes) const {
  constexpr uint32_t kShare = 4, kFlowsMin = 1024, kHalfOpen = 4096;
  state()->account_flows =
      sizes.account_flows != 0 ? sizes.account_flows : std::max(sizes.flows / kShare, kFlowsMin);
  // The unanswered never fill it: a flood from elsewhere must leave its victim room for clients.
  state()->account_half_open = sizes.account_half_open != 0
                                   ? sizes.account_half_open
                                   : std::min(kHalfOpen, state()->account_flows / 2);
}

absl::StatusOr<uint32_t> DatapathObject::ForgetFlows(
    const std::vector<ip_address>& addresses) const {
  const int listed = bpf_map__fd(skeleton_->maps.forgotten);
  sweep_request request = {.forget = 1};
  uint32_t removed = 0;
  for (size_t at = 0; at < addresses.size(); at += FORGOTTEN_MAX) {
    const size_t end = std::min<size_t>(addresses.size(), at + FORGOTTEN_MAX);
    const uint8_t present = 1;
    absl::Status status;
    for (size_t i = at; i < end && status.ok(); ++i) {
      if (bpf_map_update_elem(listed, &addresses[i], &present, BPF_ANY) != 0)
        status = absl::ErrnoToStatus(errno, "forgotten: list an address");
    }
    LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &request, .ctx_size_in = sizeof(request));
    if (status.ok() && bpf_prog_test_run_opts(flow_sweep(), &options) != 0)
      status = absl::ErrnoToStatus(errno, "run flow_sweep");
    // Also after a failure: the next run is of others.
    for (size_t i = at; i < end; ++i) bpf_map_delete_elem(listed, &addresses[i]);
    RETURN_IF_ERROR(status);
    removed += request.removed;
  }
  return removed;
}

DatapathObject::~DatapathObject() { datapath__destroy(skeleton_); }

int DatapathObject::Program(std::string_view name) const {
  const auto found = programs_.find(name);
  return found == programs_.end() ? -1 : found->second.get();
}
int DatapathObject::Map(const char* name) const {
  const bpf_map* map = bpf_object__find_map_by_name(skeleton_->obj, name);
  return map == nullptr ? -1 : bpf_map__fd(map);
}
int DatapathObject::from_workload() const { return Program("from_workload"); }
int DatapathObject::to_workload() const { return Program("to_workload"); }
int DatapathObject::from_host() const { return Program("from_host"); }
int DatapathObject::from_tunnel() const { return Program("from_tunnel"); }
int DatapathObject::from_elsewhere() const { return Program("from_elsewhere"); }
int DatapathObject::to_host() const { return Program("to_host"); }
int DatapathObject::to_socket() const { return Program("to_socket"); }
int DatapathObject::flow_reshape() const { return Program("flow_reshape"); }
int DatapathObject::flow_end() const { return Program("flow_end"); }
int DatapathObject::flow_sweep() const { return Program("flow_sweep"); }
int DatapathObject::arena_used() const { return Program("arena_used"); }
int DatapathObject::addresses() const { return bpf_map__fd(skeleton_->maps.rs_addresses_v2); }
int DatapathObject::arena() const { return bpf_map__fd(skeleton_->maps.rs_arena_v2); }
int DatapathObject::hits() const { return bpf_map__fd(skeleton_->maps.rs_hits_v1); }
int DatapathObject::flows() const { return bpf_map__fd(skeleton_->maps.rs_flows_v3); }
int DatapathObject::accounts() const { return bpf_map__fd(skeleton_->maps.rs_accounts_v2); }
int DatapathObject::fragments() const { return bpf_map__fd(skeleton_->maps.rs_frags_v1); }
absl::StatusOr<uint32_t> DatapathObject::RestorePins() const {
  uint32_t restored = 0;
  if (pin_dir_.empty()) return restored;
  bpf_map* map;
  bpf_object__for_each_map(map, skeleton_->obj) {
    if (!absl::StartsWith(bpf_map__name(map), "rs_")) continue;
    const std::string path = absl::StrCat(pin_dir_, "/", bpf_map__name(map));
    if (access(path.c_str(), F_OK) == 0) continue;
    RETURN_IF_ERROR(EnsurePinDir(pin_dir_));
    if (bpf_obj_pin(bpf_map__fd(map), path.c_str()) != 0) {
      return absl::ErrnoToStatus(errno, absl::StrCat("pin ", path));
    }
    ++restored;
  }
  return restored;
}

uint32_t DatapathObject::flow_capacity() const { return InfoOf(flows()).max_entries; }
int DatapathObject::vteps() const { return bpf_map__fd(skeleton_->maps.rs_vteps_v1); }
int DatapathObject::owners() const { return bpf_map__fd(skeleton_->maps.rs_owners_v1); }
int DatapathObject::externals() const { return bpf_map__fd(skeleton_->maps.rs_external_v1); }
int DatapathObject::interfaces() const { return bpf_map__fd(skeleton_->maps.rs_interfaces_v1); }
int DatapathObject::drops() const { return bpf_map__fd(skeleton_->maps.rs_drops_v1); }
int DatapathObject::interface_drops() const {
  return bpf_map__fd(skeleton_->maps.rs_interface_drops_v1);
}
int DatapathObject::state_map() const { return bpf_map__fd(skeleton_->maps.rs_state_v4); }
int DatapathObject::epochs_map() const { return bpf_map__fd(skeleton_->maps.rs_epochs_v1); }
int DatapathObject::events() const { return bpf_map__fd(skeleton_->maps.rs_events_v2); }
int DatapathObject::lost() const { return bpf_map__fd(skeleton_->maps.rs_lost_v2); }
int DatapathObject::epochs() const { return bpf_map__fd(skeleton_->maps.rs_epochs_v1); }

void DatapathObject::SetTimeouts(const flow_timeouts& timeouts) {
  constexpr size_t kWords = sizeof(timeouts) / sizeof(uint64_t);
  uint64_t words[kWords];
  std::memcpy(words, &timeouts, sizeof(timeouts));
  auto* const shared = static_cast<uint64_t*>(timeouts_.base());
  for (size_t i = 0; i < kWords; ++i) __atomic_store_n(&shared[i], words[i], __ATOMIC_RELAXED);
}

flow_timeouts DatapathObject::timeouts() const {
  return *static_cast<const flow_timeouts*>(timeouts_.base());
}

active_generation DatapathObject::active() const {
  const uint64_t word = __atomic_load_n(reinterpret_cast<uint64_t*>(state()), __ATOMIC_ACQUIRE);
  active_generation active;
  std::memcpy(&active, &word, sizeof(active));
  return active;
}

void DatapathObject::SetActive(active_generation active) {
  uint64_t word;
  std::memcpy(&word, &active, sizeof(word));
  __atomic_store_n(reinterpret_cast<uint64_t*>(state()), word, __ATOMIC_RELEASE);
}

std::vector<ProgramStats> DatapathObject::Stats() const {
  std::vector<ProgramStats> stats;
  for (const auto& [name, program] : programs_) {
    bpf_prog_info info = {};
    uint32_t bytes = sizeof(info);
    if (bpf_obj_get_info_by_fd(program.get(), &info, &bytes) != 0) continue;
    stats.push_back({name, info.verified_insns, static_cast<uint32_t>(info.xlated_prog_len / 8),
                     info.jited_prog_len});
  }
  return stats;
}

}  // namespace ripstop::loader
