// SPDX-License-Identifier: Apache-2.0
//
// Keeps one BIRD running in the caller's network namespace with the configuration wanted.
//
//   text ─▶ [check: bird -p] ─▶ run_dir/bird.conf ─▶ `configure` on run_dir/bird.ctl
//   pidfd readable ─▶ back-off ─▶ start with -R
//   some seconds after a change ─▶ nudges (see kNudges in supervisor.cc)
//
// BIRD is started in its own session and outlives this object and its process; a later
// Supervisor with the same run_dir adopts it by its socket. It is never sent SIGTERM, which
// would withdraw routes: a planned stop is StopForRestart.
//
// One thread. Each call is bounded by the timeouts in Options. Poll fd() for reading and
// call HandleEvents; there is no thread and, while nothing changes, no
// periodic work.
#ifndef RIPSTOP_BGP_BRIDGE_SUPERVISOR_H_
#define RIPSTOP_BGP_BRIDGE_SUPERVISOR_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "bgp-bridge/control.h"
#include "bgp-bridge/process.h"
#include "bgp-bridge/protocols.h"

namespace ripstop::bgp {

// What BIRD says of itself at one moment.
struct BirdReport {
  BirdGeneral general;
  std::vector<Protocol> protocols;
  uint32_t routes = 0;
};

class Supervisor {
 public:
  struct Options {
    std::string run_dir;  // exists; mode 0700, for who reaches the socket commands BIRD
    std::string bird_path = "/usr/sbin/bird";
    absl::Duration timeout = absl::Seconds(5);  // for each of check, start, command
    absl::Duration back_off_min = absl::Seconds(1);
    absl::Duration back_off_max = absl::Seconds(30);
    absl::Duration stable_after = absl::Seconds(60);  // of running; then failures count anew
    // Once readable, calls that wait for BIRD's answer end with kCancelled. -1: none.
    int interrupt_fd = -1;
  };

  // Starts nothing yet. kNotFound: run_dir or BIRD is missing.
  static absl::StatusOr<std::unique_ptr<Supervisor>> Create(Options options);
  // Leaves BIRD running.
  ~Supervisor() = default;

  // Makes `config` the configuration in force: adopts or starts BIRD if need be, or has a
  // running one reconfigure itself; sessions whose part is unchanged do not notice.
  // Errors, with BIRD's own words:
  //   kInvalidArgument    BIRD does not accept the text; the former stays in force
  //   kUnavailable        BIRD is down and waits for its back-off; it will start with the
  //                       new text, nothing need be repeated
  //   kFailedPrecondition the BIRD on our socket is in another network namespace
  absl::Status Apply(const std::string& config);

  // Readable when HandleEvents has something to do. The same for the whole life.
  int fd() const { return epoll_.get(); }
  // Notices a death, restarts after the back-off. An error says why BIRD is down; the next
  // attempt is scheduled already.
  absl::Status HandleEvents();

  // kUnavailable with the reason while BIRD is down.
  absl::StatusOr<BirdReport> Query() const;
  absl::StatusOr<Reply> Command(absl::string_view command) const;

  // Ends BIRD so that peers and the kernel keep all routes until the next Apply.
  absl::Status StopForRestart();

  pid_t pid() const { return pid_; }  // 0: not running
  uint64_t restarts() const { return restarts_; }
  std::string socket_path() const { return options_.run_dir + "/bird.ctl"; }
  std::string config_path() const { return options_.run_dir + "/bird.conf"; }
  std::string log_path() const { return options_.run_dir + "/bird.log"; }

 private:
  explicit Supervisor(Options options) : options_(std::move(options)) {}
  absl::Status Init();
  absl::StatusOr<Control> Connect(absl::Duration timeout) const;
  absl::Status Check(const std::string& path) const;
  absl::Status Adopt(const Control& control);
  absl::Status Start();
  absl::Status WaitForGreeting();
  absl::Status Watch(pid_t pid, UniqueFd pidfd);
  absl::Status ScheduleStart();
  absl::Status ScheduleNudges();
  void Nudge();
  // `why`: what is known beyond the exit status; may be empty.
  void OnDeath(absl::string_view why);
  std::string MarkerPath() const { return options_.run_dir + "/bird.started"; }

  const Options options_;
  UniqueFd epoll_, timer_, pidfd_;
  pid_t pid_ = 0;
  bool wanted_ = false;  // Apply was called and no stop since
  std::string applied_;  // what BIRD has loaded
  std::string desired_;  // the last text that passed the check
  std::string down_reason_ = "it has not been started";
  uint32_t failures_ = 0;  // in a row
  uint64_t restarts_ = 0;
  int nudges_left_ = 0;
  absl::Time started_;
};

}  // namespace ripstop::bgp

#endif  // RIPSTOP_BGP_BRIDGE_SUPERVISOR_H_
