// SPDX-License-Identifier: Apache-2.0
//
// What every command of ripstopctl shares: where it reads and writes, the global options,
// and how a failure ends.
#ifndef RIPSTOP_API_CTL_CONTEXT_H_
#define RIPSTOP_API_CTL_CONTEXT_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "api/ctl/run.h"
#include "api/store/store.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace ripstop::ctl {

ExitCode ExitCodeOf(const absl::Status& status);

inline constexpr char kDefaultSocket[] = "/run/ripstop/agent.sock";

struct Context {
  Io io;
  std::string store_url;
  std::string socket;
  int exit_code = kExitOk;

  // Prints "Error: …" and notes the exit code; the first failure's code stays.
  void Fail(const absl::Status& status);
  void Fail(ExitCode code, const std::string& message);
  // The store of --store. `create`: commands that write may make it.
  absl::StatusOr<std::unique_ptr<api::Store>> OpenStore(bool create);
};

// Each adds its subcommands, which run from CLI11's callbacks and report into `context`.
void AddResourceCommands(CLI::App& app, Context& context);  // apply create replace delete validate
void AddGetCommand(CLI::App& app, Context& context);
void AddAgentCommands(CLI::App& app, Context& context);  // why node policy
void AddDropsCommand(CLI::App& app, Context& context);
void AddFlowsCommand(CLI::App& app, Context& context);
void AddConntrackCommands(CLI::App& app, Context& context);  // conntrack list, show, flush
void AddTraceCommand(CLI::App& app, Context& context);       // trace
void AddEvaluateCommand(CLI::App& app, Context& context);
void AddIpamCommands(CLI::App& app, Context& context);  // ipam show, check, release

// -f FILE|DIR|-, repeatable; `many`: one -f takes all words that follow, as a shell's
// globs want, where the command has no words of its own.
CLI::Option* AddFileOption(CLI::App& command, std::vector<std::string>& files, bool many);

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_CONTEXT_H_
