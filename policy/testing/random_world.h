// SPDX-License-Identifier: Apache-2.0
//
// Random worlds and packets for property tests, here and of the real programs in bpf/.
// Seeded; the same seed gives the same world everywhere. Worlds are small and crowded, so
// that policies select, tiers pass, CIDRs nest and addresses have several owners.
#ifndef RIPSTOP_POLICY_TESTING_RANDOM_WORLD_H_
#define RIPSTOP_POLICY_TESTING_RANDOM_WORLD_H_

#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "policy/engine/engine.h"
#include "policy/world.h"

namespace ripstop::policy::testing {

class RandomWorld {
 public:
  // Host endpoints have interfaces of these indexes; 0 is kAnyInterface.
  static constexpr uint32_t kInterfaces = 4;

  explicit RandomWorld(uint64_t seed) : random_(seed) {}

  World Generate();
  // One random change: something is put, altered or removed.
  void Change(World& world);
  // A packet of `local` in that direction, biased to what the world's rules ask for.
  Packet RandomPacket(const World& world, const Endpoint& local, Direction direction);
  // A packet that an interface of the host may see: any two addresses of one family.
  Packet RandomForwarded(const World& world);
  // Uniform in [0, n).
  uint32_t Below(uint32_t n) { return static_cast<uint32_t>(random_() % n); }
  bool Chance(uint32_t percent) { return Below(100) < percent; }
  std::mt19937_64& random() { return random_; }

 private:
  Address RandomAddress(bool v4);
  Address RandomFar(bool v4);
  void RandomTransport(const World& world, Packet& packet);
  Cidr RandomCidr();
  Labels RandomLabels();
  std::string RandomSelector(int depth = 2);
  PortMatch RandomPorts();
  EntityMatch RandomEntity(bool ports);
  Rule RandomRule();
  Policy RandomPolicy(int i);
  Endpoint RandomEndpoint(int i);
  NetworkSet RandomNetworkSet(int i);
  Profile RandomProfile(int i);
  ServiceBackends RandomBackends(int i);
  Tier RandomTier(int i);
  Host RandomHost(int i);
  HostEndpoint RandomHostEndpoint(int i);
  FailsafePorts RandomFailsafePorts();
  std::mt19937_64 random_;
};

// Calls that bring an engine from one world to another, each once, in a fixed order;
// shuffle as you like.
std::vector<std::function<void(Engine&)>> Difference(const World& from, const World& to);

// Smaller worlds of which `fails` is still true: things are removed one by one.
World Shrink(World world, const std::function<bool(const World&)>& fails);

// A failing case as manifests and a query, to be read and to be given to `ripstopctl
// evaluate` (describe.cc says what a manifest cannot say).
std::string Describe(const World& world);
std::string Describe(const Packet& packet);

}  // namespace ripstop::policy::testing

#endif  // RIPSTOP_POLICY_TESTING_RANDOM_WORLD_H_
