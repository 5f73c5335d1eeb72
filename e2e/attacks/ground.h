// SPDX-License-Identifier: Apache-2.0
//
// Where attacks take place: the same fabric twice, once with plain routing and once guarded
// by agents. Both believe whatever a kernel can be told to believe: no reverse-path filter,
// router advertisements, gratuitous ARP and loopback addresses of others are accepted, so
// that nothing but Ripstop stands in the way.
//
//        rack1                                           rack2
//   x ─────┬──────────┬─────────────── r1 ─────────────────┬
//        node1      node2                                node3
//        mallory    bob2 "native"                        bob3 "vxlan"
//        alice
//        bob1 "same"
//
// bob's policy admits ports 7000 to 7099 of TCP and UDP, and ICMP, from everybody, and nothing
// else; what an attack sends there can only be stopped by what it is.
//
// Not thread-safe.
#ifndef RIPSTOP_E2E_ATTACKS_GROUND_H_
#define RIPSTOP_E2E_ATTACKS_GROUND_H_

#include <array>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "e2e/lab/lab.h"
#include "policy/model.h"

namespace ripstop::attacks {

// Where the victim is, seen from the attacker.
enum class Path { kSame, kNative, kVxlan };

struct Variant {
  int family = 4;
  Path path = Path::kSame;
  std::string ToString() const;  // "v4 same"
};
std::vector<Variant> Everywhere();  // both families, all three paths
std::vector<Variant> OnNode();      // both families, the attacker's own node
std::vector<Variant> OnNode(int family);
std::vector<Variant> Across();  // both families, other nodes

using Mac = std::array<uint8_t, 6>;

inline constexpr char kMallory[] = "attack/mallory";
inline constexpr char kAlice[] = "attack/alice";
inline constexpr char kOutside[] = "x";
inline constexpr uint16_t kOpenPort = 7000, kClosedPort = 7666;

class Ground {
 public:
  // `name` of its lab.
  static absl::StatusOr<std::unique_ptr<Ground>> Raise(const std::string& name, bool guarded);
  ~Ground();  // takes the lab down

  bool guarded() const { return guarded_; }
  lab::Lab& lab() { return lab_; }

  std::string Victim(Path path) const;  // "attack/bob1"
  std::string NodeOf(Path path) const;  // "node1"
  // Of a pod, node or x.
  policy::Address Address(const std::string& target, int family) const;
  std::string AddressText(const std::string& target, int family) const;
  std::string NetnsPath(const std::string& target) const;

  // The MAC of a link in the namespace of `target`.
  absl::StatusOr<Mac> MacOf(const std::string& target, const std::string& link);
  // The node's end of a pod's veth: its name, and the MAC that a pod's frames go to.
  absl::StatusOr<std::string> HostLink(const std::string& pod);
  absl::StatusOr<Mac> HostMac(const std::string& pod);

  // Commands in the namespace of `target`, by a shell; all must succeed.
  absl::Status Shell(const std::string& target, const std::vector<std::string>& lines);
  absl::StatusOr<std::string> Read(const std::string& target, const std::string& line);

  // Dropped packets by node and reason. What a healthy node drops too is not in it.
  using Drops = std::map<std::pair<std::string, std::string>, uint64_t>;
  absl::StatusOr<Drops> DropsNow();

 private:
  Ground(lab::Lab lab, bool guarded) : lab_(std::move(lab)), guarded_(guarded) {}
  absl::Status BelieveAll();
  absl::Status AddTunnels();

  lab::Lab lab_;
  const bool guarded_;
  std::map<std::string, std::string> outside_;  // addresses of x by family
};

// Both, raised when a row first asks for one.
class Grounds {
 public:
  explicit Grounds(std::string name) : name_(std::move(name)) {}
  absl::StatusOr<Ground*> Plain() { return Get(false); }
  absl::StatusOr<Ground*> Guarded() { return Get(true); }

 private:
  absl::StatusOr<Ground*> Get(bool guarded);
  std::string name_;
  std::unique_ptr<Ground> grounds_[2];
  absl::Status failed_[2];
};

// The VXLAN network that nodes of both grounds speak.
inline constexpr uint32_t kVni = 4096;
inline constexpr uint16_t kTunnelPort = 4789;
// Its devices' names on a ground; the MAC that inner frames to a node go to is theirs.
std::string TunnelDevice(bool guarded);

}  // namespace ripstop::attacks

#endif  // RIPSTOP_E2E_ATTACKS_GROUND_H_
