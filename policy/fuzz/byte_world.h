// SPDX-License-Identifier: Apache-2.0
//
// Bytes as changes of a small, crowded world: the engine's fuzzer reads its input so. Each
// byte picks from a short list, so that mutations of an input stay meaningful and inputs
// that end early mean zeros from there on.
#ifndef RIPSTOP_POLICY_FUZZ_BYTE_WORLD_H_
#define RIPSTOP_POLICY_FUZZ_BYTE_WORLD_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "policy/engine/engine.h"
#include "policy/world.h"

namespace ripstop::policy::fuzz {

class ByteWorld {
 public:
  ByteWorld(const uint8_t* data, size_t size) : at_(data), end_(data + size) {}

  enum class Step { kChanged, kFlush, kRestart, kEnd };
  // Reads one step; a change is made to `world` and, by the same call, to `engine`.
  Step Next(World& world, Engine& engine);

  // Local endpoints that may exist: pod0 … pod3 have 192.0.2.<i> and 2001:db8::<i>.
  static constexpr int kLocals = 4;
  struct Probe {
    Direction direction;
    int local;
    Packet packet;
    // Asked of a host endpoint instead: interface, group.
    std::optional<std::pair<uint32_t, HostGroup>> at = {};
  };
  static const std::vector<Probe>& Probes();

 private:
  uint8_t Byte() { return at_ < end_ ? *at_++ : 0; }
  uint8_t Below(uint8_t n) { return Byte() % n; }
  Cidr Net();
  Labels SomeLabels();
  EntityMatch Entity();
  Rule SomeRule();
  Policy SomePolicy();
  Endpoint SomeEndpoint();
  HostEndpoint SomeHostEndpoint(uint8_t what);

  const uint8_t* at_;
  const uint8_t* end_;
};

}  // namespace ripstop::policy::fuzz

#endif  // RIPSTOP_POLICY_FUZZ_BYTE_WORLD_H_
