// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/run.h"

#include <CLI/CLI.hpp>

#include "api/ctl/arguments.h"
#include "api/ctl/context.h"
#include "api/store/open.h"

namespace ripstop::ctl {
namespace {

constexpr char kVersion[] = "ripstopctl " RIPSTOP_VERSION;

int Parse(CLI::App& app, Context& context, const std::vector<std::string>& arguments) {
  const std::vector<std::string> words = Normalized(arguments);
  std::vector<std::string> reversed(words.rbegin(), words.rend());  // as CLI11 wants it
  try {
    app.parse(reversed);
  } catch (const CLI::ParseError& e) {
    const bool success = e.get_exit_code() == 0;  // --help, --version
    const bool help = dynamic_cast<const CLI::CallForHelp*>(&e) != nullptr;
    std::string wrong = success && !help ? "" : UnknownWord(app);
    if (success && wrong.empty()) return app.exit(e, context.io.out, context.io.err);
    if (wrong.empty() && dynamic_cast<const CLI::RequiredError*>(&e) != nullptr) {
      wrong = MissingWord(app);
    }
    if (wrong.empty()) wrong = e.what();
    context.io.err << "Error: " << wrong << "\n" << HelpFor(app) << "\n";
    return kExitUsage;
  }
  return context.exit_code;
}

}  // namespace

int Run(const std::vector<std::string>& arguments, const Io& io) {
  Context context{io, api::kDefaultStoreUrl, kDefaultSocket};
  CLI::App app(
      "ripstopctl: resources, policy and the agent of Ripstop.\n"
      "Exit codes: 0 ok, 1 error, 2 usage, 3 not found, 4 conflict, 5 store or agent unreachable.",
      "ripstopctl");
  // Global options may stand after the command too.
  app.fallthrough();
  app.require_subcommand(1);
  app.set_version_flag("--version", kVersion);
  app.add_option("--store", context.store_url, "Store URL")
      ->envname("RIPSTOP_STORE")
      ->capture_default_str();
  app.add_option("--socket", context.socket, "Unix socket of this node's agent")
      ->envname("RIPSTOP_SOCKET")
      ->capture_default_str();
  AddResourceCommands(app, context);
  AddGetCommand(app, context);
  AddAgentCommands(app, context);
  AddDropsCommand(app, context);
  AddFlowsCommand(app, context);
  AddConntrackCommands(app, context);
  AddTraceCommand(app, context);
  AddEvaluateCommand(app, context);
  AddIpamCommands(app, context);
  app.add_subcommand("version", "The version of this program")->callback([&context] {
    context.io.out << kVersion << "\n";
  });
  app.footer("ripstopctl help COMMAND says more of one.");

  const int code = Parse(app, context, arguments);
  if (io.out.flush()) return code;
  // A reader must not take half an answer for the whole.
  io.err << "Error: the output could not be written\n";
  return code == kExitOk ? kExitError : code;
}

}  // namespace ripstop::ctl
