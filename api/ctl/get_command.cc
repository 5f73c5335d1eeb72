// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "api/codec/writer.h"
#include "api/ctl/columns.h"
#include "api/ctl/context.h"
#include "api/ctl/kind_words.h"
#include "api/ctl/table.h"
#include "policy/status_macros.h"
#include "policy/world.h"

namespace ripstop::ctl {
namespace {

using api::KindInfo;
using api::Resource;

struct GetOptions {
  std::vector<std::string> words;
  std::string ns = "default";
  bool all_namespaces = false;
  std::string output = "table";
};

// The tiers that are there without being written, as documents.
Resource BuiltInTier(const policy::Tier& tier) {
  Resource resource = Resource::Make<api::v1::Tier>();
  auto* message = resource.MutableAs<api::v1::Tier>();
  message->mutable_metadata()->set_name(tier.name);
  if (tier.order) message->mutable_spec()->set_order(*tier.order);
  message->mutable_spec()->set_default_action(
      tier.default_action == policy::Action::kPass ? "Pass" : "Deny");
  return resource;
}

// Every resource of one kind that the options ask for, by namespace and name.
absl::StatusOr<std::vector<Resource>> ReadKind(Context& context, api::Store& store,
                                               const KindInfo& kind, const GetOptions& options) {
  const bool one_namespace = kind.namespaced && !options.all_namespaces;
  ASSIGN_OR_RETURN(const api::Listing listing,
                   store.List({kind.store_kind, one_namespace ? options.ns : ""}));
  std::vector<Resource> resources;
  for (const api::StoredResource& item : listing.items) {
    absl::StatusOr<Resource> resource = api::Deserialize(item);
    if (resource.ok()) {
      resources.push_back(*std::move(resource));
    } else {
      context.Fail(resource.status());  // the others are still shown
    }
  }
  if (kind.store_kind != api::kKindTier) return resources;
  for (const auto& [name, tier] : policy::BuiltInTiers()) {
    const auto same = [&name = name](const Resource& r) { return r.name() == name; };
    if (std::none_of(resources.begin(), resources.end(), same))
      resources.push_back(BuiltInTier(tier));
  }
  // As they are evaluated, which is what one wants to know of tiers.
  std::stable_sort(resources.begin(), resources.end(), [](const Resource& a, const Resource& b) {
    const auto tier = [](const Resource& r) {
      const auto& spec = r.As<api::v1::Tier>()->spec();
      return policy::Tier{r.name(),
                          spec.has_order() ? std::optional<double>(spec.order()) : std::nullopt};
    };
    return policy::TierBefore(tier(a), tier(b));
  });
  return resources;
}

// Keeps the named ones, in the order of the names; complains of those that are not there.
std::vector<Resource> Named(Context& context, const Target& target,
                            const std::vector<Resource>& all, const std::string& ns) {
  std::vector<Resource> named;
  for (const std::string& name : target.names) {
    bool found = false;
    for (const Resource& resource : all) {
      if (resource.name() != name) continue;
      named.push_back(resource);
      found = true;
    }
    if (!found)
      context.Fail(absl::NotFoundError(
          absl::StrCat(Label({target.kinds[0]->kind, target.kinds[0]->namespaced ? ns : "", name}),
                       " not found")));
  }
  return named;
}

void PrintTable(const std::vector<Resource>& resources, const KindInfo& kind,
                const GetOptions& options, bool qualify, std::ostream& out) {
  const bool with_namespace = kind.namespaced && options.all_namespaces;
  std::vector<std::string> header;
  if (with_namespace) header.push_back("NAMESPACE");
  header.push_back("NAME");
  std::vector<Column> columns;
  for (const Column& column : ColumnsOf(kind)) {
    if (column.wide && options.output != "wide") continue;
    columns.push_back(column);
    header.push_back(column.header);
  }
  Table table(std::move(header));
  for (const Resource& resource : resources) {
    const auto document = api::ToJsonValue(resource);
    std::vector<std::string> row;
    if (with_namespace) row.push_back(resource.ns());
    row.push_back(qualify ? QualifiedName(kind, resource.name()) : resource.name());
    for (const Column& column : columns) row.push_back(Cell(document, column));
    table.Add(std::move(row));
  }
  table.Print(out);
}

void Print(Context& context, const GetOptions& options, bool one_asked,
           const std::vector<Resource>& resources) {
  std::ostream& out = context.io.out;
  if (options.output == "json") {
    out << (one_asked && resources.size() == 1 ? api::ToJson(resources[0])
                                               : api::ToJson(resources));
  } else if (options.output == "yaml") {
    if (!resources.empty()) out << api::ToYaml(resources);
  } else if (options.output == "name") {
    for (const Resource& resource : resources)
      out << QualifiedName(resource.kind(), resource.name()) << "\n";
  } else if (resources.empty()) {
    if (context.exit_code == kExitOk) context.io.err << "No resources found.\n";
  } else {
    // One table per kind, in order of first appearance.
    std::vector<std::pair<const KindInfo*, std::vector<Resource>>> by_kind;
    for (const Resource& resource : resources) {
      if (by_kind.empty() || by_kind.back().first != &resource.kind())
        by_kind.push_back({&resource.kind(), {}});
      by_kind.back().second.push_back(resource);
    }
    for (size_t i = 0; i < by_kind.size(); ++i) {
      if (i > 0) out << "\n";
      PrintTable(by_kind[i].second, *by_kind[i].first, options, by_kind.size() > 1, out);
    }
  }
}

void RunGet(Context& context, const GetOptions& options) {
  const auto targets = ParseTargets(options.words);
  if (!targets.ok()) return context.Fail(kExitUsage, std::string(targets.status().message()));
  const auto store = context.OpenStore(false);
  if (!store.ok()) return context.Fail(store.status());
  std::vector<Resource> resources;
  size_t names = 0;
  for (const Target& target : *targets) {
    std::vector<Resource> all;
    for (const KindInfo* kind : target.kinds) {
      const auto part = ReadKind(context, **store, *kind, options);
      if (!part.ok()) return context.Fail(part.status());
      all.insert(all.end(), part->begin(), part->end());
    }
    if (!target.names.empty()) all = Named(context, target, all, options.ns);
    resources.insert(resources.end(), all.begin(), all.end());
    names += target.names.size();
  }
  std::stable_sort(resources.begin(), resources.end(), [](const Resource& a, const Resource& b) {
    return &a.kind() < &b.kind();  // AllKinds is one array
  });
  Print(context, options, names == 1, resources);
}

}  // namespace

void AddGetCommand(CLI::App& app, Context& context) {
  const auto options = std::make_shared<GetOptions>();
  CLI::App* get = app.add_subcommand("get", "Show resources: get KIND[,KIND…] [NAME…]");
  get->add_option("what", options->words, "KIND [NAME…], or KIND/NAME…; \"all\" is every kind")
      ->required();
  get->add_option("-n,--namespace", options->ns, "Namespace (default)");
  get->add_flag("-A,-a,--all-namespaces", options->all_namespaces, "Every namespace");
  get->add_option("-o,--output", options->output, "table, wide, yaml, json or name")
      ->check(CLI::IsMember({"table", "ps", "wide", "yaml", "json", "name"}));
  std::vector<std::string> kinds;
  for (const KindInfo& kind : api::AllKinds()) {
    if (std::find(kinds.begin(), kinds.end(), kind.plural) == kinds.end())
      kinds.push_back(kind.plural);
  }
  get->footer(absl::StrCat("Kinds: ", absl::StrJoin(kinds, ", ")));
  get->callback([&context, options] { RunGet(context, *options); });
}

}  // namespace ripstop::ctl
