// SPDX-License-Identifier: Apache-2.0
//
// apply, create, replace, delete, validate.
#include <CLI/CLI.hpp>
#include <functional>

#include "absl/strings/str_cat.h"
#include "api/ctl/context.h"
#include "api/ctl/documents.h"
#include "api/ctl/field_warnings.h"
#include "api/ctl/kind_words.h"
#include "api/ctl/resource_spool.h"
#include "api/ctl/store_deleter.h"
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

// Reads the documents of the -f options into `take`, saying what is wrong with them and what
// is left aside; an error when anything was. `effect`: what follows from it.
absl::Status ReadOrReport(Context& context, const ResourceOptions& options, bool validate,
                          const char* effect,
                          const std::function<absl::Status(const api::Resource&)>& take) {
  size_t problems = 0, taken = 0, aside = 0;
  const auto report = [&](const api::Problem& problem) {
    ++problems;
    context.io.err << problem.ToString() << "\n";
  };
  RETURN_IF_ERROR(ReadDocuments(options.files, context.io.in,
                                {.default_namespace = options.ns,
                                 .recursive = options.recursive,
                                 .validate = validate,
                                 .strict = options.strict},
                                {.resource =
                                     [&](const api::Resource& resource) {
                                       ++taken;
                                       if (validate)
                                         JudgeFields(resource, options.strict, report,
                                                     context.io.err);
                                       return problems == 0 ? take(resource) : absl::OkStatus();
                                     },
                                 .problem = report,
                                 .left_aside =
                                     [&](const api::Problem& problem) {
                                       ++aside;
                                       context.io.err << "Warning: " << problem.ToString() << "\n";
                                     }}));
  if (problems > 0)
    return absl::InvalidArgumentError(
        absl::StrCat(problems, problems == 1 ? " problem" : " problems", effect));
  if (taken > 0) return absl::OkStatus();
  return absl::InvalidArgumentError(aside > 0 ? "no document of a kind that Ripstop reads"
                                              : "no document found");
}

constexpr char kNothingChanged[] = "; nothing was changed";

void RunWrite(Context& context, const ResourceOptions& options) {
  ResourceSpool spool;
  const absl::Status read =
      ReadOrReport(context, options, true, kNothingChanged,
                   [&](const api::Resource& resource) { return spool.Add(resource); });
  if (!read.ok()) return context.Fail(read);
  const auto store = context.OpenStore(!options.write.dry_run);
  if (!store.ok()) return context.Fail(store.status());
  const auto report = [&](const WriteOutcome& outcome) {
    context.io.out << Label(outcome.key) << " " << outcome.what
                   << (options.write.dry_run ? " (dry run)" : "") << "\n";
  };
  for (const absl::Status& error : WriteResources(**store, spool, options.write, report))
    context.Fail(error);
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
    RETURN_IF_ERROR(
        ReadOrReport(context, options, false, kNothingChanged, [&](const api::Resource& resource) {
          keys.push_back(resource.key());
          return absl::OkStatus();
        }));
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
  if (const auto targets = ParseTargets(options.words); !targets.ok())
    return context.Fail(kExitUsage, std::string(targets.status().message()));
  const auto store = context.OpenStore(false);
  if (!store.ok()) return context.Fail(store.status());
  const auto keys = KeysToDelete(context, **store, options);
  if (!keys.ok()) return context.Fail(keys.status());
  const DeleteResult result = DeleteResources(**store, *keys);
  for (const WriteOutcome& outcome : result.outcomes)
    context.io.out << Label(outcome.key) << " " << outcome.what << "\n";
  for (const std::string& note : result.notes) context.io.err << "Note: " << note << "\n";
  for (const absl::Status& error : result.errors)
    if (!options.skip_missing || !absl::IsNotFound(error)) context.Fail(error);
}

void RunValidate(Context& context, const ResourceOptions& options) {
  size_t valid = 0;
  const absl::Status read = ReadOrReport(context, options, true, "", [&](const api::Resource&) {
    ++valid;
    return absl::OkStatus();
  });
  if (!read.ok()) return context.Fail(read);
  context.io.out << valid << (valid == 1 ? " document is" : " documents are") << " valid\n";
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
  command.add_flag(
      "--strict", options->strict,
      "Refuse, instead of a warning, what nothing acts on and what is left aside: fields\n"
      "without effect, documents of kinds that Ripstop does not read");
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
  AddWriter(app, context, "apply", "Create or update, when all documents are valid", Verb::kApply);
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
