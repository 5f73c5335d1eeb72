// SPDX-License-Identifier: Apache-2.0
#include "bpf/loader/program_loader.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bpf/datapath.skel.h"
#include "policy/status_macros.h"

namespace ripstop::loader {
namespace {

constexpr unsigned kThreadsMax = 4;

thread_local std::string* libbpf_messages = nullptr;

int KeepMessage(libbpf_print_level level, const char* format, va_list arguments) {
  if (level > LIBBPF_WARN || libbpf_messages == nullptr) return 0;
  // The verifier's log is one message, of which the end matters.
  va_list measured;
  va_copy(measured, arguments);
  const int length = vsnprintf(nullptr, 0, format, measured);
  va_end(measured);
  if (length <= 0) return 0;
  const size_t before = libbpf_messages->size();
  libbpf_messages->resize(before + static_cast<size_t>(length) + 1);
  vsnprintf(libbpf_messages->data() + before, static_cast<size_t>(length) + 1, format, arguments);
  libbpf_messages->pop_back();
  return 0;
}

absl::Status ReuseMaps(const bpf_object* made, bpf_object* object) {
  bpf_map* map;
  bpf_object__for_each_map(map, object) {
    const bpf_map* same = bpf_object__find_map_by_name(made, bpf_map__name(map));
    const int fd = same == nullptr ? -EBADF : bpf_map__fd(same);
    const int error = fd < 0 ? fd : bpf_map__reuse_fd(map, fd);
    if (error != 0)
      return absl::ErrnoToStatus(-error, absl::StrCat("use map ", bpf_map__name(map)));
  }
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> LoadOne(const datapath& maps, const std::string& name) {
  const LibbpfMessages messages;
  const std::unique_ptr<datapath, void (*)(datapath*)> own(datapath__open(), datapath__destroy);
  if (own == nullptr)
    return absl::ErrnoToStatus(errno, absl::StrCat("open the datapath object: ", messages.text()));
  RETURN_IF_ERROR(ReuseMaps(maps.obj, own->obj));
  const bpf_program* wanted = nullptr;
  bpf_program* program;
  bpf_object__for_each_program(program, own->obj) {
    const bool is_wanted = bpf_program__name(program) == name;
    bpf_program__set_autoload(program, is_wanted);
    if (is_wanted) wanted = program;
  }
  if (int error = datapath__load(own.get()); error != 0) return LoadFailed(error, messages.text());
  UniqueFd fd(fcntl(bpf_program__fd(wanted), F_DUPFD_CLOEXEC, 0));
  if (!fd.ok()) return absl::ErrnoToStatus(errno, absl::StrCat("program ", name));
  return fd;
}

}  // namespace

LibbpfMessages::LibbpfMessages() {
  libbpf_messages = &text_;
  libbpf_set_print(KeepMessage);
}

LibbpfMessages::~LibbpfMessages() { libbpf_messages = nullptr; }

absl::Status LoadFailed(int error, const std::string& messages) {
  if (error == -EPERM) {
    return absl::PermissionDeniedError(
        absl::StrCat("load the datapath: needs CAP_BPF and CAP_NET_ADMIN: ", messages));
  }
  // The end of the log says what was refused.
  constexpr size_t kEnd = 4000;
  return absl::InternalError(
      absl::StrCat("load the datapath: ", std::strerror(-error), ": ",
                   messages.size() > kEnd ? messages.substr(messages.size() - kEnd) : messages));
}

absl::StatusOr<Programs> LoadPrograms(const datapath& maps,
                                      absl::Span<const char* const> unwanted) {
  std::vector<std::string> names;
  bpf_program* program;
  bpf_object__for_each_program(program, maps.obj) {
    names.emplace_back(bpf_program__name(program));
  }
  for (const char* name : unwanted) {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end())
      return absl::InvalidArgumentError(absl::StrCat("the datapath has no program ", name));
    names.erase(found);
  }
  std::mutex mutex;  // guards the three below
  size_t next = 0;
  Programs programs;
  absl::Status failed;
  const auto work = [&] {
    while (true) {
      std::string name;
      {
        const std::lock_guard lock(mutex);
        if (next == names.size() || !failed.ok()) return;
        name = names[next++];
      }
      absl::StatusOr<UniqueFd> loaded = LoadOne(maps, name);
      const std::lock_guard lock(mutex);
      if (loaded.ok()) {
        programs.emplace(name, *std::move(loaded));
      } else {
        failed.Update(loaded.status());
      }
    }
  };
  const unsigned count = std::clamp(std::thread::hardware_concurrency(), 1u, kThreadsMax);
  std::vector<std::thread> others;
  for (unsigned i = 1; i < count; ++i) others.emplace_back(work);
  work();
  for (std::thread& other : others) other.join();
  RETURN_IF_ERROR(failed);
  return programs;
}

}  // namespace ripstop::loader
