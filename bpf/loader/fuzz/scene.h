// SPDX-License-Identifier: Apache-2.0
//
// Who is where around one node: four pods behind interfaces of their own, an uplink, a tunnel,
// two other nodes with pods, and strangers; and a random policy that changes.
//
//        pods ─ 11 12 13 14 ─┐            ┌─ 21 uplink ─ nodes B (near) and C (across), strangers
//                            [this node] ─┤
//                                         └─ 22 tunnel ─ pods of B and C
//
// What is asked of policy is answered by the reference evaluator; of the engine's tables only the
// number and the epoch of a set are read, by which it says which flows are to be judged anew.
#ifndef RIPSTOP_BPF_LOADER_FUZZ_SCENE_H_
#define RIPSTOP_BPF_LOADER_FUZZ_SCENE_H_

#include <array>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "bpf/loader/owner_store.h"
#include "policy/engine/engine.h"
#include "policy/reference.h"
#include "policy/tables/table_image.h"
#include "policy/world.h"

namespace ripstop::loader::fuzz {

using Mac = std::array<uint8_t, 6>;

inline constexpr uint32_t kFirstPod = 11, kPods = 4, kUplink = 21, kTunnel = 22;
inline constexpr uint16_t kVxlanPort = 4789;
inline constexpr Mac kHostMac = {2, 0, 0, 0, 0, 0xee};  // of all interfaces of this node
inline constexpr size_t kMtu = 1500;                    // of the uplink

// Of a family of addresses; the first of `pods` is the first pod's.
struct Places {
  std::vector<policy::Address> pods, remote_pods, nodes, strangers, odd;
  policy::Address host;
};
const Places& PlacesOf(bool v4);

// What is known of an address, as the agent would say it.
struct Holder {
  uint32_t ifindex = 0;  // of a pod of this node
  Mac mac{};
  uint16_t number = 0;  // of its address, in marks; filled by the model
  bool remote_pod = false, this_host = false, other_node = false;
  bool is_pod() const { return (ifindex != 0 || remote_pod) && !this_host && !other_node; }
};

class Scene {
 public:
  explicit Scene(const policy::EngineOptions& options) : engine_(options) {}

  // Another policy, and everybody where he was at first. The writes that bring it about.
  policy::TableWrites Begin(uint64_t seed);
  // Some policy changes, or pods change places.
  policy::TableWrites Change();
  // Whose addresses changed places by it.
  const std::vector<policy::Address>& moved() const { return moved_; }
  uint32_t l4_table() const { return engine_.l4_table(); }

  Holder HolderOf(const policy::Address& address) const;
  // What the policy of the pod that sends (egress) or receives the packet says; nullopt: it has
  // none. `ret_set`: the set, and its epoch now.
  struct Stamp {
    uint32_t set_index = 0, epoch = 0;
  };
  std::optional<bool> Allows(policy::Direction direction, const policy::Packet& packet,
                             Stamp* ret_set);
  uint32_t epoch(uint32_t set_index) const { return image_.epoch(set_index); }

  // Longest prefix first, as bpf/abi/owners.h; and where the kernel's routes lead: the MTU, or
  // nullopt where the stack has to see to it.
  static const Owners& AllOwners();
  static const Owner* OwnerOf(const policy::Address& address);
  static std::optional<size_t> RouteTo(const policy::Address& address);
  static std::string SetUpCommands();  // of the interfaces and routes, for `ip -batch -`

 private:
  policy::TableWrites Move(const policy::World& next);
  policy::Policy RandomPolicy(uint32_t number);
  policy::Rule RandomRule(bool ingress);
  uint32_t Below(uint32_t n) { return static_cast<uint32_t>(random_() % n); }
  bool Chance(uint32_t percent) { return Below(100) < percent; }

  std::mt19937_64 random_;
  policy::World world_;
  std::vector<policy::Address> moved_;
  policy::Engine engine_;
  policy::TableImage image_;
  policy::Reference reference_;
};

}  // namespace ripstop::loader::fuzz

#endif  // RIPSTOP_BPF_LOADER_FUZZ_SCENE_H_
