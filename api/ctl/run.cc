// SPDX-License-Identifier: Apache-2.0
#include "api/ctl/run.h"

#include <CLI/CLI.hpp>

#include "api/ctl/context.h"
#include "api/store/open.h"

namespace ripstop::ctl {

int Run(const std::vector<std::string>& arguments, const Io& io) {
  Context context{io, api::kDefaultStoreUrl, kDefaultSocket};
  CLI::App app(
      "ripstopctl: resources, policy and the agent of Ripstop.\n"
      "Exit codes: 0 ok, 1 error, 2 usage, 3 not found, 4 conflict, 5 store or agent unreachable.",
      "ripstopctl");
  // Global options may stand after the command too.
  app.fallthrough();
  app.require_subcommand(1);
  app.add_option("--store", context.store_url, "Store URL")
      ->envname("RIPSTOP_STORE")
      ->capture_default_str();
  app.add_option("--socket", context.socket, "Unix socket of this node's agent")
      ->envname("RIPSTOP_SOCKET")
      ->capture_default_str();
  AddResourceCommands(app, context);
  AddGetCommand(app, context);
  AddAgentCommands(app, context);
  AddEvaluateCommand(app, context);
  AddIpamCommands(app, context);
  app.add_subcommand("version", "The version of this program")->callback([&context] {
    context.io.out << "ripstopctl " << RIPSTOP_VERSION << "\n";
  });

  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());  // as CLI11 wants it
  try {
    app.parse(reversed);
  } catch (const CLI::ParseError& e) {
    return app.exit(e, io.out, io.err) == 0 ? kExitOk : kExitUsage;
  }
  io.out.flush();
  return context.exit_code;
}

}  // namespace ripstop::ctl
