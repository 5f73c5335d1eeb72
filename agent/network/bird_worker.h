// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_NETWORK_BIRD_WORKER_H_
#define RIPSTOP_AGENT_NETWORK_BIRD_WORKER_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/base/event_loop.h"
#include "agent/base/wake_fd.h"
#include "bgp-bridge/supervisor.h"
#include "policy/base/unique_fd.h"

namespace ripstop::agent {

// What is known of BIRD.
struct BirdKnowledge {
  std::optional<bgp::BirdReport> report;  // the last that it gave
  absl::Time at;                          // when
  // Why there is none since. OK: it answered when it was last asked.
  absl::Status silence;
};

// BIRD's supervisor on a thread of its own, for BIRD may be stopped, hung or starting, and the
// agent's loop waits for nobody.
//
//   loop ──Apply(text)─────▶ ┐                ┌─▶ on_applied(status), on the loop
//   any thread ──Refresh───▶ [Supervisor's thread] ─▶ Last(): the last answer, and its age
//   BIRD's death, back-off ▶ ┘
//
// A text that BIRD could not be given, other than one that it refused, is given again.
class BirdWorker {
 public:
  // `on_applied` is told what came of a text, of a death, of a start. In the caller's network
  // namespace. The loop outlives this; errors as of Supervisor::Create.
  static absl::StatusOr<std::unique_ptr<BirdWorker>> Create(
      bgp::Supervisor::Options options, EventLoop* loop,
      std::function<void(const absl::Status&)> on_applied);
  // Leaves BIRD running. Waits for no answer of it.
  ~BirdWorker();

  // Makes `config` what BIRD is to run with; a text that still waits is forgotten.
  void Apply(std::string config);
  // Asks BIRD how it is, and waits for that at most so long. From any thread, best not the loop's.
  void Refresh(absl::Duration patience);
  BirdKnowledge Last() const;

  const std::string& log_path() const { return log_path_; }

 private:
  BirdWorker(EventLoop* loop, std::function<void(const absl::Status&)> on_applied);
  absl::Status Init(bgp::Supervisor::Options options);
  void Run();
  void Wake() const;
  void Ask();
  void Give(const std::string& config);
  void Tell(const absl::Status& status);

  EventLoop* const loop_;
  // Shared with what was posted to the loop, which may run when this is gone.
  const std::shared_ptr<std::function<void(const absl::Status&)>> on_applied_;
  std::string log_path_;
  WakeFd wake_;                                  // there is something to do
  WakeFd stop_;                                  // also ends what the supervisor waits for
  std::unique_ptr<bgp::Supervisor> supervisor_;  // of the thread, once that runs

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable answered_;
  bool stopping_ = false;
  std::optional<std::string> wanted_;  // not given yet
  absl::Time give_at_ = absl::InfinitePast();
  bool ask_ = false;
  uint64_t asked_ = 0;  // times that an answer was waited for to its end
  absl::Time silent_since_ = absl::InfiniteFuture();  // since when an answer is outstanding
  BirdKnowledge known_;

  std::thread thread_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETWORK_BIRD_WORKER_H_
