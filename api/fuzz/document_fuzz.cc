// SPDX-License-Identifier: Apache-2.0
//
// Any text as a document of each kind. The first byte picks the kind, or none: then the
// text is the whole input. What decodes is written as YAML and as JSON that decode to the
// same message, and converts to the policy model or is refused with a reason; an invalid
// selector or CIDR never gets through as a model object. A refusal says where, what stands
// there and what would be right, and what nobody refuses converts.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "api/codec/reader.h"
#include "api/codec/writer.h"
#include "api/convert/convert.h"
#include "api/validate/damaged.h"
#include "api/validate/validate.h"
#include "google/protobuf/util/message_differencer.h"
#include "policy/selector.h"

namespace ripstop::api {
namespace {

[[noreturn]] void Fail(const std::string& what, const std::string& text) {
  std::fprintf(stderr, "%s\n---\n%s\n---\n", what.c_str(), text.c_str());
  std::abort();
}

void CheckRoundTrip(const Resource& resource) {
  // JSON and YAML are Unicode: bytes that are not cannot be written back as they were.
  for (const std::string& text : {ToYaml(resource), ToJson(resource)}) {
    const Decoded back = DecodeText(text, "again");
    if (!back.problems.empty() || back.resources.size() != 1) {
      Fail("what was written does not read back: " + ToString(back.problems), text);
    }
    if (!google::protobuf::util::MessageDifferencer::Equals(resource.message(),
                                                            back.resources[0].message())) {
      Fail("what was written reads back as something else: " + resource.message().DebugString(),
           text);
    }
  }
}

void CheckSelector(const std::optional<std::string>& selector) {
  if (selector && !policy::Selector::Parse(*selector).ok())
    Fail("a selector that does not parse", *selector);
}

void CheckModel(const Resource& resource) {
  const auto objects = ToModel(resource);
  if (!objects.ok()) {
    if (objects.status().message().empty()) Fail("refused without a reason", ToYaml(resource));
    return;
  }
  for (const ModelObject& object : *objects) {
    const auto* p = std::get_if<policy::Policy>(&object);
    if (p == nullptr) continue;
    CheckSelector(p->selector);
    for (const auto* rules : {&p->ingress_rules, &p->egress_rules}) {
      for (const policy::Rule& rule : *rules) {
        for (const policy::EntityMatch* m : {&rule.source, &rule.destination}) {
          CheckSelector(m->selector);
          CheckSelector(m->not_selector);
        }
      }
    }
  }
}

void CheckRefusals(const Resource& resource) {
  const std::vector<Problem> problems = Validate(resource);
  for (const Problem& problem : problems) {
    const bool missing = problem.what.find("is missing") != std::string::npos;
    if (problem.path.empty() || problem.what.empty() || problem.remedy.empty() ||
        (problem.value.empty() && !missing)) {
      Fail("a refusal that is not whole: " + problem.ToString(), ToYaml(resource));
    }
  }
  if (problems.empty() && !ToModel(resource).ok()) {
    Fail("valid and not convertible: " + ToModel(resource).status().ToString(), ToYaml(resource));
  }
}

void One(const uint8_t* data, size_t size) {
  if (size == 0) return;
  const auto& kinds = AllKinds();
  std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
  if (data[0] < kinds.size()) {
    text = absl::StrCat("apiVersion: ", kinds[data[0]].api_version, "\nkind: ", kinds[data[0]].kind,
                        "\n", text);
  }
  const Decoded decoded = DecodeText(text, "f.yaml");
  for (const Problem& problem : decoded.problems) {
    if (problem.what.empty() || problem.remedy.empty() || problem.line < 1)
      Fail("a problem that does not say what, where and what to write: " + problem.ToString(),
           text);
  }
  for (const DamagedResource& damaged : decoded.damaged) {
    if (ValidateDamaged(damaged).size() < damaged.problems.size())
      Fail("a problem of form was lost", text);
  }
  for (const Resource& resource : decoded.resources) {
    CheckRoundTrip(resource);
    CheckModel(resource);
    CheckRefusals(resource);
  }
}

}  // namespace
}  // namespace ripstop::api

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ripstop::api::One(data, size);
  return 0;
}
