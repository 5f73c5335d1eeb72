// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_POLICY_STAGED_PLANE_H_
#define RIPSTOP_AGENT_POLICY_STAGED_PLANE_H_

#include <memory>
#include <optional>
#include <vector>

#include "agent/policy/policy_feed.h"
#include "policy/engine/engine.h"
#include "policy/tables/table_image.h"

namespace ripstop::agent {

// The tables of the staged world, in this process's memory, while anything is staged.
//
//   PolicyFeed ──▶ policy::Engine ──Flush──▶ policy::TableImage ──▶ Verdict
//
// No packet is judged by it. A verdict costs what the datapath's does: a few reads, whatever
// the policy. The first Flush after something is staged compiles the whole policy once more.
// For the agent's loop.
class StagedPlane {
 public:
  // The feed outlives this.
  explicit StagedPlane(PolicyFeed* feed) : feed_(feed) {}
  ~StagedPlane();

  // Brings the tables to what was fed; makes or drops them as staged policies come and go.
  void Flush();
  bool active() const { return engine_ != nullptr; }

  struct StagedVerdict {
    bool allow = false;
    policy::RuleIdentity by;  // with the staged kind where a staged policy decides
    bool staged = false;      // one does
  };
  // Of the endpoint of this node at that end of the packet. nullopt: nothing is staged, there
  // is no such endpoint, or its policy did not fit.
  std::optional<StagedVerdict> Verdict(policy::Direction direction,
                                       const policy::Packet& packet) const;
  // The rules of staged policies that concern an endpoint of this node.
  std::vector<policy::RuleIdentity> Rules() const;

 private:
  bool IsStaged(const policy::RuleIdentity& rule) const;

  PolicyFeed* const feed_;
  std::unique_ptr<policy::Engine> engine_;
  std::unique_ptr<policy::TableImage> image_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_POLICY_STAGED_PLANE_H_
