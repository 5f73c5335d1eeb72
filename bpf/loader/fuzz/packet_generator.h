// SPDX-License-Identifier: Apache-2.0
//
// Packets that are nearly right: of a few conversations at a time, which go on in both
// directions, dressed with options, extension headers, fragments and offload sizes, at the program
// that they would meet; and of some of them something is then broken.
#ifndef RIPSTOP_BPF_LOADER_FUZZ_PACKET_GENERATOR_H_
#define RIPSTOP_BPF_LOADER_FUZZ_PACKET_GENERATOR_H_

#include <map>
#include <random>
#include <string>
#include <vector>

#include "bpf/loader/fuzz/node_model.h"

namespace ripstop::loader::fuzz {

class PacketGenerator {
 public:
  // `scene` and `vteps` outlive this.
  PacketGenerator(uint64_t seed, const Scene* scene,
                  const std::map<policy::Address, uint32_t>* vteps)
      : random_(seed), scene_(*scene), vteps_(*vteps) {}

  PacketEvent Next();
  // What became of it: if it has passed to the host's stack, that may translate it, and it comes
  // out of there.
  void Passed(const PacketEvent& event, const Outcome& outcome);
  // How many packets had what, by name: that nothing is left out by chance.
  const std::map<std::string, uint64_t>& kinds() const { return kinds_; }

  uint32_t Below(uint32_t n) { return static_cast<uint32_t>(random_() % n); }
  bool Chance(uint32_t percent) { return Below(100) < percent; }

 private:
  // Two ends that talk, and what numbers each is at.
  struct Conversation {
    policy::Packet packet;  // of the first end
    uint32_t number[2] = {};
    uint16_t icmp_id = 1;
    uint32_t stage = 0;  // of a handshake
    bool echo = false;
  };

  struct Tuple {
    policy::Address source, destination;
    uint16_t source_port = 0, destination_port = 0;
    uint8_t protocol = 0;
    auto operator<=>(const Tuple&) const = default;
  };

  PacketEvent NextSent();
  bool OutOfStack(PacketEvent& event);
  void Translate(PacketEvent& event, const ParsedPacket& p);
  Tuple ChooseTranslation(const Tuple& from, const ParsedPacket& p);
  uint32_t AnyMark();
  Conversation NewConversation();
  policy::Address AnyAddress(bool v4);
  FrameSpec SpecOf(Conversation& c, int from);
  void Segment(Conversation& c, int from, FrameSpec& spec);
  void Chunk(Conversation& c, int from, FrameSpec& spec);
  void Message(const Conversation& c, int from, FrameSpec& spec);
  FrameSpec Error(Conversation& c, int from);
  FrameSpec Odd();
  void Dress(FrameSpec& spec);
  void AddExtensions(FrameSpec& spec);
  void AddOptions(FrameSpec& spec);
  void Divide(FrameSpec& spec);
  void Place(const FrameSpec& spec, PacketEvent& event);
  void Offload(PacketEvent& event);
  void Break(PacketEvent& event);
  void BreakLength(PacketEvent& event);
  uint32_t AnySender();
  template <typename T>
  const T& One(const std::vector<T>& all) {
    return all[Below(static_cast<uint32_t>(all.size()))];
  }
  void Count(const char* kind) { ++kinds_[kind]; }

  std::mt19937_64 random_;
  const Scene& scene_;
  const std::map<policy::Address, uint32_t>& vteps_;
  std::vector<Conversation> conversations_;
  std::vector<PacketEvent> in_stack_;
  std::map<Tuple, Tuple> translations_;  // both ways
  std::map<std::string, uint64_t> kinds_;
};

}  // namespace ripstop::loader::fuzz

#endif  // RIPSTOP_BPF_LOADER_FUZZ_PACKET_GENERATOR_H_
