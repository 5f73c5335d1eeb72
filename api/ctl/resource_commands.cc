// SPDX-License-Identifier: Apache-2.0
//
// apply, create, replace, delete, validate.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "api/ctl/context.h"
#include "api/ctl/documents.h"
#include "api/ctl/field_warnings.h"
#include "api/ctl/kind_words.h"
#include "api/ctl/store_writer.h"
#include "policy/status_macros.h"

namespace ripstop::ctl {
namespace {

struct ResourceOptions {
  std::vector<std::string> files;
  std::vector<std::string> words;
  std::string ns = "default";
  bool recursive = false;
  bool skip_missing = false;
  bool strict = false;
  WriteOptions write;
};
using Options = std::shared_ptr<ResourceOptions>;

void AddProblems(std::vector<api::Problem> problems, api::Decoded* decoded) {
  std::move(problems.begin(), problems.end(), std::back_inserter(decoded->problems));
}

// The resources of the -f options, or nothing after having said what is wrong with them.
absl::StatusOr<std::vector<api::Resource>> ReadOrReport(Context& context,
                                                        const ResourceOptions& options,
                                                        bool validate) {
  ASSIGN_OR_RETURN(api::Decoded decoded, ReadDocuments(options.files, context.io.in,
                                                       {.default_namespace = options.ns,
                                                        .recursive = options.recursive,
                                                        .validate = validate,
                                                        .refuse_repeated = validate}));
  if (validate) {
    AddProblems(OfflineProblems(decoded.resources), &decoded);
    if (options.strict) AddProblems(KeptProblems(decoded.resources), &decoded);
  }
  if (!decoded.problems.empty()) {
    for (const api::Problem& problem : decoded.problems)
      context.io.err << problem.ToString() << "\n";
    return absl::InvalidArgumentError(absl::StrCat(
        decoded.problems.size(), decoded.problems.size() == 1 ? " problem" : " problems",
        "; nothing was changed"));
  }
  if (decoded.resources.empty()) return absl::InvalidArgumentError("no document found");
  if (validate) WarnOfKept(decoded.resources, context.io.err);
  return std::move(decoded.resources);
}

void Report(Context& context, const WriteResult& result, bool dry_run, bool deletion) {
  // With errors, an outcome is only a plan that was given up; deletions are the exception
  // and carry on.
  for (const WriteOutcome& outcome : result.outcomes)
    if (result.errors.empty() || deletion)
      context.io.out << Label(outcome.key) << " " << outcome.what << (dry_run ? " (dry run)" : "")
                     << "\n";
  for (const std::string& note : result.notes) context.io.err << "Note: " << note << "\n";
  for (const absl::Status& error : result.errors) context.Fail(error);
}

void RunWrite(Context& context, const ResourceOptions& options) {
  const auto resources = ReadOrReport(context, options, true);
  if (!resources.ok()) return context.Fail(resources.status());
  const auto store = context.OpenStore(!options.write.dry_run);
  if (!store.ok()) return context.Fail(store.status());
  Report(context, WriteResources(**store, *resources, options.write), options.write.dry_run,
         /*deletion=*/false);
}

// Of the kinds that a word can mean, the one that has this name.
absl::StatusOr<api::ResourceKey> FindOne(api::Store& store, const Target& target,
                                         const std::string& ns, const std::string& name) {
  std::vector<const api::KindInfo*> found;
  const auto key = [&](const api::KindInfo* kind) {
    return api::ResourceKey{kind->store_kind, kind->namespaced ? ns : "", name};
  };
  if (target.kinds.size() == 1) return key(target.kinds[0]);
  for (const api::KindInfo* kind : target.kinds) {
    const absl::Status status = store.Get(key(kind)).status();
    if (status.ok()) found.push_back(kind);
    if (!status.ok() && !absl::IsNotFound(status)) return status;
  }
  if (found.size() > 1)
    return absl::InvalidArgumentError(absl::StrCat("\"", name, "\" is both a ",
                                                   QualifiedKind(*found[0]), " and a ",
                                                   QualifiedKind(*found[1]), "; say which"));
  return key(found.empty() ? target.kinds[0] : found[0]);
}

absl::StatusOr<std::vector<api::ResourceKey>> KeysToDelete(Context& context, api::Store& store,
                                                           const ResourceOptions& options) {
  std::vector<api::ResourceKey> keys;
  if (!options.files.empty()) {
    ASSIGN_OR_RETURN(const auto resources, ReadOrReport(context, options, false));
    for (const api::Resource& resource : resources) keys.push_back(resource.key());
    return keys;
  }
  ASSIGN_OR_RETURN(const std::vector<Target> targets, ParseTargets(options.words));
  for (const Target& target : targets) {
    if (target.names.empty()) return absl::InvalidArgumentError("delete what? Write KIND NAME…");
    for (const std::string& name : target.names) {
      ASSIGN_OR_RETURN(auto key, FindOne(store, target, options.ns, name));
      keys.push_back(std::move(key));
    }
  }
  return keys;
}

void RunDelete(Context& context, const ResourceOptions& options) {
  if (options.files.empty() == options.words.empty())
    return context.Fail(kExitUsage, "delete wants either -f FILE or KIND NAME…");
  const auto store = context.OpenStore(false);
  if (!store.ok()) return context.Fail(store.status());
  const auto keys = KeysToDelete(context, **store, options);
  if (!keys.ok()) return context.Fail(keys.status());
  WriteResult result = DeleteResources(**store, *keys);
  if (options.skip_missing)
    result.errors.erase(std::remove_if(result.errors.begin(), result.errors.end(),
                                       [](const absl::Status& s) { return absl::IsNotFound(s); }),
                        result.errors.end());
  Report(context, result, false, /*deletion=*/true);
}

void RunValidate(Context& context, const ResourceOptions& options) {
  const auto resources = ReadOrReport(context, options, true);
  if (!resources.ok()) return context.Fail(resources.status());
  context.io.out << resources->size()
                 << (resources->size() == 1 ? " document is" : " documents are") << " valid\n";
}

CLI::App* AddCommand(CLI::App& app, const char* name, const char* description,
                     const Options& options, bool many) {
  CLI::App* command = app.add_subcommand(name, description);
  AddFileOption(*command, options->files, many);
  command->add_option("-n,--namespace", options->ns,
                      "Namespace of what does not name one (default)");
  command->add_flag("-R,--recursive", options->recursive, "Also the folders in a folder");
  return command;
}

void AddStrictFlag(CLI::App& command, const Options& options) {
  command.add_flag("--strict", options->strict,
                   "Refuse what would be kept without effect, instead of a warning");
}

void AddWriter(CLI::App& app, Context& context, const char* name, const char* description,
               WriteOptions::Verb verb) {
  const auto options = std::make_shared<ResourceOptions>();
  options->write.verb = verb;
  CLI::App* command = AddCommand(app, name, description, options, true);
  command->get_option("--filename")->required();
  AddStrictFlag(*command, options);
  command->add_flag("--dry-run", options->write.dry_run, "Say what would happen, write nothing");
  if (verb == WriteOptions::Verb::kCreate)
    command->add_flag("--skip-exists", options->write.skip_existing, "Leave what exists as it is");
  command->callback([&context, options] { RunWrite(context, *options); });
}

}  // namespace

void AddResourceCommands(CLI::App& app, Context& context) {
  using Verb = WriteOptions::Verb;
  AddWriter(app, context, "apply", "Create or update, all documents or none", Verb::kApply);
  AddWriter(app, context, "create", "Create; refuse what exists", Verb::kCreate);
  AddWriter(app, context, "replace", "Replace; refuse what does not exist", Verb::kReplace);

  const auto removal = std::make_shared<ResourceOptions>();
  CLI::App* remove = AddCommand(app, "delete", "Delete -f FILE, or KIND NAME…", removal, false);
  remove->add_option("what", removal->words, "KIND NAME…, or KIND/NAME…");
  remove->add_flag("--ignore-not-found,--skip-not-exists", removal->skip_missing,
                   "What is not there is no error");
  remove->callback([&context, removal] { RunDelete(context, *removal); });

  const auto check = std::make_shared<ResourceOptions>();
  CLI::App* validate = AddCommand(app, "validate", "Check documents, without a store", check, true);
  validate->get_option("--filename")->required();
  AddStrictFlag(*validate, check);
  validate->callback([&context, check] { RunValidate(context, *check); });
}

}  // namespace ripstop::ctl
