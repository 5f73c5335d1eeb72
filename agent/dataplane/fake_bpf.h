// SPDX-License-Identifier: Apache-2.0
//
// What a kernel keeps of programs at interfaces: tcx links with their pins, and clsact filters.
// fake_bpf.cc defines those of libbpf's functions that ProgramLinks calls, on one such world;
// linked instead of libbpf, so nothing but the kernel is another one. Pins are files of a folder.
//
// As in a kernel a link ends with the last descriptor and pin of it; its descriptors are the
// writing ends of a pipe.
#ifndef RIPSTOP_AGENT_DATAPLANE_FAKE_BPF_H_
#define RIPSTOP_AGENT_DATAPLANE_FAKE_BPF_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/dataplane/program_links.h"
#include "policy/base/unique_fd.h"

namespace ripstop::agent::testing {

class FakeBpf {
 public:
  // The one that the functions act on, while it lives.
  FakeBpf();
  ~FakeBpf();
  static FakeBpf& Now();

  // Programs are numbers from 1000 on, which are no descriptors.
  static constexpr int kFirstProgram = 1000;

  bool tcx = true;
  // By interface: what the kernel says instead of attaching; to a new pin; to a new program.
  std::map<uint32_t, int> refuse_attach;
  int refuse_pin = 0, refuse_update = 0;

  void AddInterface(uint32_t ifindex) { interfaces_.insert(ifindex); }
  void DeleteInterface(uint32_t ifindex);
  // As somebody with `bpftool link detach` or `tc filter del`.
  void DetachAll(uint32_t ifindex);
  void DeleteQdisc(uint32_t ifindex);
  // In the order in which they run; without who has no holder any more.
  std::vector<int> At(uint32_t ifindex, AttachPoint point);
  size_t links();
  bool HasQdisc(uint32_t ifindex) const { return qdiscs_.contains(ifindex); }

  // Below, for fake_bpf.cc.
  using Place = std::pair<uint32_t, AttachPoint>;
  struct Link {
    ino_t pipe = 0;
    UniqueFd reading;  // ends when nobody holds a writing end
    Place place;       // interface 0: detached
    int program = 0;
  };
  Link* FindLink(int fd);
  int AddLink(int program, Place place);  // its first descriptor
  bool HasInterface(uint32_t ifindex) const { return interfaces_.contains(ifindex); }
  std::map<ino_t, std::pair<std::string, UniqueFd>> pins;  // by file: where, and the link
  std::map<Place, int> filters;
  std::set<uint32_t>& qdiscs() { return qdiscs_; }

 private:
  void Collect();

  std::set<uint32_t> interfaces_;
  std::set<uint32_t> qdiscs_;
  std::vector<Link> links_;  // the first runs first
};

}  // namespace ripstop::agent::testing

#endif  // RIPSTOP_AGENT_DATAPLANE_FAKE_BPF_H_
