// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_CNI_CNI_SERVER_H_
#define RIPSTOP_AGENT_CNI_CNI_SERVER_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/base/event_loop.h"
#include "api/proto/cni.pb.h"
#include "policy/base/unique_fd.h"

namespace ripstop::agent {

struct CniServerOptions {
  std::string path;
  // Beyond it the oldest of those that have not said all gives way; where there is none,
  // the newest does.
  size_t connections_max = 256;
  // How long a call may take to come, its answer to go, and a call that is not served now
  // (CniOutcome) to be asked again.
  absl::Duration patience = absl::Seconds(10);
};

struct CniOutcome {
  CniOutcome() = default;
  // Implicit: most are no more than that. NOLINTNEXTLINE(google-explicit-constructor)
  CniOutcome(v1::CniAnswer a) : answer(std::move(a)) {}

  v1::CniAnswer answer;
  // What it needs is held by somebody for a moment: it is asked again, and gets this answer
  // if that lasts.
  bool not_now = false;
};

// The plugin's socket (wire.h), on the agent's loop:
//
//   accept ─▶ read ─▶ whole: queue ─▶ handler, one per turn of the loop ─▶ write ─▶ close
//
// Nobody waits for a client: sockets do not block, what comes in parts is put together
// beside the others' calls, and who does not go on is dropped. Half-open connections never
// keep a whole call out. Calls run in the order in which they came whole, with all else
// that the loop does between them; one whose client has gone is not run. For one thread,
// the loop's.
class CniServer {
 public:
  using Handler = std::function<CniOutcome(const v1::CniCall& call)>;

  // Makes the socket, mode 0600: whoever may open it may change the network.
  //   kAlreadyExists  somebody listens there
  //   kUnavailable    it cannot be made; names its path
  static absl::StatusOr<std::unique_ptr<CniServer>> Start(const CniServerOptions& options,
                                                          EventLoop* loop, Handler handler);
  ~CniServer();

  size_t connections() const { return clients_.size(); }

 private:
  struct Client {
    enum class State { kReading, kQueued, kWriting };
    State state = State::kReading;
    UniqueFd fd;
    EventLoop::TimerId timer = 0;  // not while queued
    std::string bytes;             // of the call so far, or what is left of the answer
    absl::Time queued;             // for the first time
  };
  using Clients = std::list<Client>;

  CniServer(CniServerOptions options, EventLoop* loop, Handler handler)
      : options_(std::move(options)), loop_(loop), handler_(std::move(handler)) {}
  absl::Status Listen();
  void Accept();
  bool MakeRoom();
  void OnEvent(Clients::iterator client);
  void OnTimeout(Clients::iterator client);
  // Each: whether the client is still there, in the state it was in.
  bool Read(Clients::iterator client);
  bool Write(Clients::iterator client);
  void Queue(Clients::iterator client);
  void RunNext();
  void ScheduleNext(absl::Duration delay);
  CniOutcome Answer(const std::string& message);
  void StartTimer(Clients::iterator client);
  void Drop(Clients::iterator client);

  const CniServerOptions options_;
  EventLoop* const loop_;
  const Handler handler_;
  UniqueFd listener_;
  bool bound_ = false;
  Clients clients_;  // the oldest first
  std::deque<Clients::iterator> queue_;
  std::optional<EventLoop::TimerId> next_;  // RunNext is due
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_CNI_CNI_SERVER_H_
