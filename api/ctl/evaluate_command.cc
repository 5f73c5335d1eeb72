// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <cerrno>
#include <fstream>
#include <optional>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "api/convert/staged.h"
#include "api/ctl/context.h"
#include "api/ctl/documents.h"
#include "api/ctl/evaluation.h"
#include "api/ctl/field_warnings.h"
#include "nlohmann/json.hpp"
#include "policy/status_macros.h"

namespace ripstop::ctl {
namespace {

struct EvaluateOptions {
  std::vector<std::string> files;
  std::string queries = "-";
  std::string engine;
  std::string ns = "default";
  bool recursive = false;
};

// Who answers: for what is enforced, and, while the documents hold staged policies, for what
// would be.
struct Evaluators {
  const policy::World& world;
  std::unique_ptr<Evaluator> enforced;
  std::optional<policy::World> staged_world;
  std::unique_ptr<Evaluator> staged;  // null: nothing is staged
};

absl::Status MakeEvaluators(const std::string& engine, Evaluators* ret) {
  ASSIGN_OR_RETURN(ret->enforced, MakeEvaluator(engine, ret->world));
  if (!api::HasStaged(ret->world)) return absl::OkStatus();
  ret->staged_world = api::StagedWorld(ret->world);
  ASSIGN_OR_RETURN(ret->staged, MakeEvaluator(engine, *ret->staged_world));
  return absl::OkStatus();
}

absl::StatusOr<std::string> AnswerLine(const QueryReader& reader, const std::string& text,
                                       const Evaluators& evaluators) {
  ASSIGN_OR_RETURN(const Flow flow, reader.Read(text));
  ASSIGN_OR_RETURN(const Judgement judgement, evaluators.enforced->Evaluate(flow));
  if (evaluators.staged == nullptr) return ToLine(judgement);
  ASSIGN_OR_RETURN(const Judgement staged, evaluators.staged->Evaluate(flow));
  return ToLine(judgement, staged, evaluators.world);
}

// A bad query is an {"error": …} in its place, so that answers stay beside their queries,
// and a line on standard error; the others are answered.
void Answer(Context& context, std::istream& queries, const std::string& name,
            const QueryReader& reader, const Evaluators& evaluators) {
  std::string text;
  for (int64_t line = 1; std::getline(queries, text); ++line) {
    if (text.find_first_not_of(" \t\r") == std::string::npos) continue;
    const absl::StatusOr<std::string> answer = AnswerLine(reader, text, evaluators);
    if (answer.ok()) {
      context.io.out << *answer << "\n";
      continue;
    }
    const std::string message(answer.status().message());
    context.Fail(kExitError, absl::StrCat(name, ":", line, ": ", message));
    context.io.out << nlohmann::ordered_json{{"error", absl::StrCat("line ", line, ": ", message)}}
                          .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)
                   << "\n";
  }
}

void RunEvaluate(Context& context, const EvaluateOptions& options) {
  const bool from_stdin = options.queries == "-";
  for (const std::string& file : options.files)
    if (file == "-" && from_stdin)
      return context.Fail(kExitUsage, "documents and queries cannot both be standard input");
  std::vector<api::Resource> resources;
  size_t problems = 0;
  const absl::Status read =
      ReadDocuments(options.files, context.io.in,
                    {.default_namespace = options.ns, .recursive = options.recursive},
                    {.resource =
                         [&](api::Resource resource) {
                           resources.push_back(std::move(resource));
                           return absl::OkStatus();
                         },
                     .problem =
                         [&](const api::Problem& problem) {
                           ++problems;
                           context.io.err << problem.ToString() << "\n";
                         },
                     .left_aside =
                         [&](const api::Problem& problem) {
                           context.io.err << "Warning: " << problem.ToString() << "\n";
                         }});
  if (!read.ok()) return context.Fail(read);
  if (problems > 0) return context.Fail(kExitError, absl::StrCat(problems, " problems"));
  for (const api::Resource& resource : resources) NoteOffline(resource, context.io.err);
  const auto world = MakeWorld(resources);
  if (!world.ok()) return context.Fail(world.status());
  Evaluators evaluators{.world = *world};
  if (const absl::Status made = MakeEvaluators(options.engine, &evaluators); !made.ok())
    return context.Fail(kExitError, std::string(made.message()));
  const QueryReader reader(*world);
  if (from_stdin) return Answer(context, context.io.in, "<stdin>", reader, evaluators);
  errno = 0;
  std::ifstream queries(options.queries);
  if (!queries)
    return context.Fail(kExitError, absl::StrCat("cannot read ", options.queries, ": ",
                                                 std::generic_category().message(errno)));
  Answer(context, queries, options.queries, reader, evaluators);
}

}  // namespace

void AddEvaluateCommand(CLI::App& app, Context& context) {
  const auto options = std::make_shared<EvaluateOptions>();
  options->engine = EvaluatorNames().front();
  CLI::App* evaluate = app.add_subcommand(
      "evaluate",
      "What policies would say: documents and one JSON query per line in, one JSON verdict per\n"
      "line out; no agent, no store. {\"from\": \"ns/pod\"|\"ip\", \"to\": \"ns/pod\"|\"ip\",\n"
      "\"protocol\": \"TCP\", \"port\": 80}; also sourcePort, icmpType, icmpCode, ipVersion.\n"
      "Pods come from Pod and WorkloadEndpoint documents. Where some are staged, \"staged\" says\n"
      "what they would make of the packet.");
  AddFileOption(*evaluate, options->files, true)->required();
  evaluate->add_option("--queries", options->queries, "One query per line; - is standard input")
      ->type_name("FILE|-");
  evaluate->add_option("--engine", options->engine, "Who answers")
      ->check(CLI::IsMember(EvaluatorNames()))
      ->capture_default_str();
  evaluate->add_option("-n,--namespace", options->ns, "Namespace of what does not name one");
  evaluate->add_flag("-R,--recursive", options->recursive, "Also the folders in a folder");
  evaluate->callback([&context, options] { RunEvaluate(context, *options); });
}

}  // namespace ripstop::ctl
