// SPDX-License-Identifier: Apache-2.0
//
// The calculation core driven by bytes (byte_world.h): puts, removals, flushes, restarts.
// After each flush the tables say what the reference says; after each write every packet
// has its old or its new verdict; a flush without a change writes nothing.
#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "absl/strings/str_cat.h"
#include "policy/fuzz/byte_world.h"
#include "policy/reference.h"
#include "policy/tables/table_image.h"
#include "policy/testing/random_world.h"

namespace ripstop::policy {
namespace {

using fuzz::ByteWorld;

[[noreturn]] void Fail(const World& world, const Packet& packet, const std::string& what) {
  std::fprintf(stderr, "%s\n%s\n%s", what.c_str(), testing::Describe(packet).c_str(),
               testing::Describe(world).c_str());
  std::abort();
}

class Run {
 public:
  Run() { Restart(); }

  void Steps(const uint8_t* data, size_t size) {
    ByteWorld bytes(data, size);
    for (int steps = 0; steps < 200; ++steps) {
      switch (bytes.Next(world_, *engine_)) {
        case ByteWorld::Step::kChanged: break;
        case ByteWorld::Step::kFlush: Flush(); break;
        case ByteWorld::Step::kRestart: Restart(); break;
        case ByteWorld::Step::kEnd: steps = 200; break;
      }
    }
    Flush();
    if (!engine_->Flush().empty()) Fail(world_, {}, "a flush without a change writes");
    Compare();
  }

 private:
  void Restart() {
    EngineOptions options;
    options.capacity_min = 2;
    options.grow_ahead_words = 1;
    engine_ = std::make_unique<Engine>(options);
    image_ = std::make_unique<TableImage>();
    for (const auto& call : testing::Difference(World{}, world_)) call(*engine_);
    image_->Apply(engine_->Flush());
    image_->set_l4_table(engine_->l4_table());
    Compare();
  }

  uint32_t Word(const ByteWorld::Probe& probe) const {
    if (!probe.at)
      return image_->Verdict(probe.direction, probe.packet).value_or(TableImage::Result{}).word;
    const auto got =
        image_->HostVerdict(probe.at->first, probe.at->second, probe.direction, probe.packet);
    return got ? got->word : ~0u;  // nobody is asked, which is not "denied"
  }

  // Every eighth packet, others each time: reading after each write is what costs here.
  void Flush() {
    const auto& probes = ByteWorld::Probes();
    std::vector<size_t> watched;
    for (size_t i = ++flushes_ % 8; i < probes.size(); i += 8) watched.push_back(i);
    std::vector<std::vector<uint32_t>> seen(watched.size());
    for (size_t i = 0; i < watched.size(); ++i) seen[i].push_back(Word(probes[watched[i]]));
    for (const TableWrite& write : engine_->Flush()) {
      image_->Apply(write);
      for (size_t i = 0; i < watched.size(); ++i) {
        const uint32_t word = Word(probes[watched[i]]);
        if (seen[i].back() != word) seen[i].push_back(word);
      }
    }
    for (size_t i = 0; i < watched.size(); ++i) {
      if (seen[i].size() <= 2) continue;
      for (const uint32_t word : seen[i]) {
        if (word != seen[i].front() && word != seen[i].back()) {
          Fail(world_, probes[watched[i]].packet,
               absl::StrCat("neither old nor new between writes: ", absl::Hex(seen[i].front()), " ",
                            absl::Hex(word), " ", absl::Hex(seen[i].back())));
        }
      }
    }
    Compare();
  }

  void Compare() {
    for (const ByteWorld::Probe& probe : ByteWorld::Probes()) {
      if (probe.at) {
        CompareHost(probe);
        continue;
      }
      const auto e = world_.endpoints.find(absl::StrCat("pod", probe.local));
      if (e == world_.endpoints.end()) continue;
      const Address& near =
          probe.direction == Direction::kIngress ? probe.packet.destination : probe.packet.source;
      const auto& own = e->second.addresses;
      if (std::find(own.begin(), own.end(), near) == own.end()) continue;
      const Endpoint* owner = world_.OwnershipOf(near).workload;
      if (owner != nullptr && owner->id != e->first) continue;
      const auto want = reference_.Evaluate(world_, e->second, probe.direction, probe.packet);
      const auto got = image_->Verdict(probe.direction, probe.packet);
      if (!want) {
        if (got && got->allow()) Fail(world_, probe.packet, "an inactive endpoint is allowed");
        continue;
      }
      const auto rule = got ? engine_->Rule(got->rule_id()) : std::nullopt;
      if (!got || !rule || got->allow() != want->allow || got->log() != want->log ||
          *rule != want->by) {
        Fail(world_, probe.packet,
             absl::StrCat(ToString(probe.direction), " of pod", probe.local, ": reference ",
                          want->allow ? "allows by " : "denies by ", want->by.ToString(),
                          ", tables ", got && got->allow() ? "allow by " : "deny by ",
                          rule ? rule->ToString() : "nobody"));
      }
    }
  }

  void CompareHost(const ByteWorld::Probe& probe) {
    const auto& [interface, group] = *probe.at;
    const HostEndpoint* host = world_.HostEndpointAt(interface);
    const auto got = image_->HostVerdict(interface, group, probe.direction, probe.packet);
    if (host == nullptr || !got) {
      if (host != nullptr || got)
        Fail(world_, probe.packet, "reference and tables differ about an interface");
      return;
    }
    const Verdict want =
        reference_.EvaluateHost(world_, *host, group, probe.direction, probe.packet);
    const auto rule = engine_->Rule(got->rule_id());
    if (!rule || got->allow() != want.allow || got->log() != want.log || got->next() != want.next ||
        *rule != want.by) {
      Fail(world_, probe.packet,
           absl::StrCat(ToString(probe.direction), " ", ToString(group), " of ", host->id,
                        ": reference ", want.by.ToString(), ", tables ",
                        rule ? rule->ToString() : "nobody"));
    }
  }

  World world_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<TableImage> image_;
  Reference reference_;
  size_t flushes_ = 0;
};

}  // namespace
}  // namespace ripstop::policy

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ripstop::policy::Run().Steps(data, size);
  return 0;
}
