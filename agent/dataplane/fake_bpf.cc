// SPDX-License-Identifier: Apache-2.0
#include "agent/dataplane/fake_bpf.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "agent/dataplane/program_places.h"

namespace ripstop::agent::testing {
namespace {

FakeBpf* g_now = nullptr;

ino_t InodeOf(int fd) {
  struct stat about = {};
  return fstat(fd, &about) == 0 ? about.st_ino : 0;
}

ino_t InodeOf(const std::string& path) {
  struct stat about = {};
  return stat(path.c_str(), &about) == 0 ? about.st_ino : 0;
}

bool IsHeld(const FakeBpf::Link& link) {
  pollfd ask{.fd = link.reading.get(), .events = POLLIN, .revents = 0};
  poll(&ask, 1, 0);
  return (ask.revents & POLLHUP) == 0;
}

}  // namespace

FakeBpf::FakeBpf() { g_now = this; }
FakeBpf::~FakeBpf() { g_now = nullptr; }
FakeBpf& FakeBpf::Now() { return *g_now; }

void FakeBpf::Collect() {
  std::erase_if(pins, [](const auto& pin) { return InodeOf(pin.second.first) != pin.first; });
  std::erase_if(links_, [](const Link& link) { return !IsHeld(link); });
}

FakeBpf::Link* FakeBpf::FindLink(int fd) {
  Collect();
  const auto it = std::find_if(links_.begin(), links_.end(),
                               [&](const Link& link) { return link.pipe == InodeOf(fd); });
  return it == links_.end() ? nullptr : &*it;
}

int FakeBpf::AddLink(int program, Place place) {
  Collect();
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return -1;
  links_.insert(links_.begin(), Link{InodeOf(ends[1]), UniqueFd(ends[0]), place, program});
  return ends[1];
}

void FakeBpf::DetachAll(uint32_t ifindex) {
  for (Link& link : links_) {
    if (link.place.first == ifindex) link.place.first = 0;
  }
  std::erase_if(filters, [&](const auto& filter) { return filter.first.first == ifindex; });
}

void FakeBpf::DeleteQdisc(uint32_t ifindex) {
  std::erase_if(filters, [&](const auto& filter) { return filter.first.first == ifindex; });
  qdiscs_.erase(ifindex);
}

void FakeBpf::DeleteInterface(uint32_t ifindex) {
  interfaces_.erase(ifindex);
  DetachAll(ifindex);
  qdiscs_.erase(ifindex);
}

std::vector<int> FakeBpf::At(uint32_t ifindex, AttachPoint point) {
  Collect();
  std::vector<int> programs;
  for (const Link& link : links_) {
    if (link.place == Place{ifindex, point}) programs.push_back(link.program);
  }
  // After tcx's, as in the kernel.
  if (const auto it = filters.find({ifindex, point}); it != filters.end()) {
    programs.push_back(it->second);
  }
  return programs;
}

size_t FakeBpf::links() {
  Collect();
  return links_.size();
}

}  // namespace ripstop::agent::testing

// ---- libbpf's ----

using ripstop::agent::AttachPoint;
using ripstop::agent::testing::FakeBpf;

namespace {

int Fail(int error) {
  errno = error;
  return -1;
}

FakeBpf::Place PlaceOf(const bpf_tc_hook* hook) {
  return {static_cast<uint32_t>(hook->ifindex),
          hook->attach_point == BPF_TC_INGRESS ? AttachPoint::kIngress : AttachPoint::kEgress};
}

AttachPoint PointOf(bpf_attach_type type) {
  return type == ripstop::agent::TcxPoint(AttachPoint::kIngress) ? AttachPoint::kIngress
                                                                 : AttachPoint::kEgress;
}

}  // namespace

extern "C" {

int bpf_prog_load(bpf_prog_type, const char*, const char*, const bpf_insn*, size_t,
                  const bpf_prog_load_opts*) {
  return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

int bpf_link_create(int program, int target, bpf_attach_type type,
                    const bpf_link_create_opts* options) {
  FakeBpf& world = FakeBpf::Now();
  const uint32_t ifindex = static_cast<uint32_t>(target);
  if (!world.tcx) return Fail(EINVAL);
  if (!world.HasInterface(ifindex)) return Fail(ENODEV);
  if (const auto it = world.refuse_attach.find(ifindex); it != world.refuse_attach.end()) {
    return Fail(it->second);
  }
  // Else a program of somebody else could judge first.
  if (options == nullptr || options->flags != ripstop::agent::kBeforeAll) return Fail(EOPNOTSUPP);
  return world.AddLink(program, {ifindex, PointOf(type)});
}

int bpf_link_update(int fd, int program, const bpf_link_update_opts*) {
  FakeBpf& world = FakeBpf::Now();
  FakeBpf::Link* link = world.FindLink(fd);
  if (link == nullptr) return Fail(EBADF);
  if (link->place.first == 0) return Fail(ENOLINK);
  if (world.refuse_update != 0) return Fail(world.refuse_update);
  link->program = program;
  return 0;
}

int bpf_link_detach(int fd) {
  FakeBpf::Link* link = FakeBpf::Now().FindLink(fd);
  if (link == nullptr) return Fail(EBADF);
  link->place.first = 0;
  return 0;
}

int bpf_obj_pin(int fd, const char* path) {
  FakeBpf& world = FakeBpf::Now();
  if (world.refuse_pin != 0) return Fail(world.refuse_pin);
  ripstop::UniqueFd file(open(path, O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file.ok()) return -1;
  struct stat about = {};
  if (fstat(file.get(), &about) != 0) return -1;
  world.pins[about.st_ino] = {path, ripstop::UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, 0))};
  return 0;
}

int bpf_obj_get(const char* path) {
  struct stat about = {};
  if (stat(path, &about) != 0) return -1;
  const auto& pins = FakeBpf::Now().pins;
  const auto it = pins.find(about.st_ino);
  if (it == pins.end()) return Fail(EINVAL);
  return fcntl(it->second.second.get(), F_DUPFD_CLOEXEC, 0);
}

int bpf_obj_get_info_by_fd(int fd, void* info, __u32*) {
  if (fd >= FakeBpf::kFirstProgram) {
    static_cast<bpf_prog_info*>(info)->id = static_cast<uint32_t>(fd);
    return 0;
  }
  const FakeBpf::Link* link = FakeBpf::Now().FindLink(fd);
  if (link == nullptr) return Fail(EBADF);
  // tcx.ifindex: after type, id, prog_id and padding.
  std::memcpy(static_cast<char*>(info) + 16, &link->place.first, sizeof(uint32_t));
  return 0;
}

int bpf_prog_query_opts(int target, bpf_attach_type type, struct bpf_prog_query_opts* options) {
  FakeBpf& world = FakeBpf::Now();
  if (!world.HasInterface(static_cast<uint32_t>(target))) return Fail(ENODEV);
  const std::vector<int> programs = world.At(static_cast<uint32_t>(target), PointOf(type));
  options->prog_cnt = std::min<uint32_t>(options->prog_cnt, programs.size());
  std::copy_n(programs.begin(), options->prog_cnt, options->prog_ids);
  return 0;
}

int bpf_tc_hook_create(bpf_tc_hook* hook) {
  FakeBpf& world = FakeBpf::Now();
  const uint32_t ifindex = PlaceOf(hook).first;
  if (!world.HasInterface(ifindex)) return -ENODEV;
  return world.qdiscs().insert(ifindex).second ? 0 : -EEXIST;
}

int bpf_tc_attach(const bpf_tc_hook* hook, bpf_tc_opts* options) {
  FakeBpf& world = FakeBpf::Now();
  const FakeBpf::Place place = PlaceOf(hook);
  if (!world.HasInterface(place.first)) return -ENODEV;
  if (!world.HasQdisc(place.first)) return -EINVAL;
  if (const auto it = world.refuse_attach.find(place.first); it != world.refuse_attach.end()) {
    return -it->second;
  }
  if (world.filters.contains(place) && (options->flags & BPF_TC_F_REPLACE) == 0) return -EEXIST;
  world.filters[place] = options->prog_fd;
  return 0;
}

int bpf_tc_detach(const bpf_tc_hook* hook, const bpf_tc_opts*) {
  FakeBpf& world = FakeBpf::Now();
  const FakeBpf::Place place = PlaceOf(hook);
  if (!world.HasInterface(place.first)) return -ENODEV;
  if (!world.HasQdisc(place.first)) return -EINVAL;
  return world.filters.erase(place) == 1 ? 0 : -ENOENT;
}

int bpf_tc_query(const bpf_tc_hook* hook, bpf_tc_opts* options) {
  FakeBpf& world = FakeBpf::Now();
  const FakeBpf::Place place = PlaceOf(hook);
  if (!world.HasInterface(place.first)) return -ENODEV;
  if (!world.HasQdisc(place.first)) return -EINVAL;
  const auto it = world.filters.find(place);
  if (it == world.filters.end()) return -ENOENT;
  options->prog_id = static_cast<uint32_t>(it->second);
  return 0;
}

}  // extern "C"
