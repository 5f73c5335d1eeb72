// SPDX-License-Identifier: Apache-2.0
#include "api/validate/checker.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "api/codec/writer.h"
#include "policy/selector.h"

namespace ripstop::api {
namespace {

// Of a-z, 0-9 and -, with a letter or digit at both ends.
bool IsNamePart(absl::string_view part) {
  if (part.empty() || part.front() == '-' || part.back() == '-') return false;
  return std::all_of(part.begin(), part.end(), [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
  });
}

bool IsDnsLabel(const std::string& name) { return name.size() <= 63 && IsNamePart(name); }

// As Kubernetes: 253 in all, in one label too, though the DNS has 63 for each.
bool IsSubdomain(absl::string_view name) {
  if (name.size() > 253) return false;
  for (const absl::string_view part : absl::StrSplit(name, '.')) {
    if (!IsNamePart(part)) return false;
  }
  return true;
}

// The longest label name that a selector asks for: a word outside of quotes.
size_t LongestWord(const std::string& selector) {
  size_t longest = 0, word = 0;
  char quote = 0;
  for (const char c : selector) {
    if (quote != 0 || c == '\'' || c == '"') {
      quote = quote == 0 ? c : quote == c ? 0 : quote;
      word = 0;
    } else {
      word = absl::ascii_isalnum(c) || absl::StrContains("_./-", absl::string_view(&c, 1))
                 ? word + 1
                 : 0;
    }
    longest = std::max(longest, word);
  }
  return longest;
}

// 1-63 of A-Za-z0-9_.- with a letter or digit at both ends.
bool IsQualifiedPart(const std::string& text) {
  if (text.empty() || text.size() > 63) return false;
  if (!absl::ascii_isalnum(text.front()) || !absl::ascii_isalnum(text.back())) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
  });
}

constexpr char kDnsLabelRemedy[] =
    "write at most 63 of a-z, 0-9 and -, with a letter or digit at both ends";

}  // namespace

std::string Index(const std::string& path, int index) {
  return absl::StrCat(path, "[", index, "]");
}

std::string Field(const std::string& path, const char* name) {
  return absl::StrCat(path, ".", name);
}

bool Checker::Bad(const std::string& path, const std::string& value, const std::string& what,
                  const std::string& remedy) {
  Wrong(path, what, remedy);
  problems_->back().value = ShownValue(value, true);
  return false;
}

bool Checker::Wrong(const std::string& path, const std::string& what, const std::string& remedy) {
  std::string there = FieldText(resource_.message(), path);
  if (there.empty() && path == "spec") there = "{}";  // left out, which says as little
  problems_->push_back(
      {.file = resource_.file,
       .line = resource_.LineOf(path),
       .resource = absl::StrCat(resource_.kind().kind, " ", resource_.ns(),
                                resource_.ns().empty() ? "" : "/", resource_.name()),
       .path = path,
       .value = ShownValue(there, false),
       .what = what,
       .remedy = remedy});
  return false;
}

bool Checker::Enum(const std::string& path, const std::string& value,
                   const std::vector<std::string>& allowed) {
  if (std::find(allowed.begin(), allowed.end(), value) != allowed.end()) return true;
  const std::string list = absl::StrJoin(allowed, ", ");
  if (value.empty()) return Wrong(path, "is missing", absl::StrCat("write one of ", list));
  const std::string nearest = Nearest(value, allowed);
  return Bad(path, value, "is not a value known here",
             nearest.empty() ? absl::StrCat("write one of ", list)
                             : absl::StrCat("did you mean ", nearest, "? Known: ", list));
}

bool Checker::EnumOrEmpty(const std::string& path, const std::string& value,
                          const std::vector<std::string>& allowed) {
  return value.empty() || Enum(path, value, allowed);
}

bool Checker::Range(const std::string& path, int64_t value, int64_t min, int64_t max) {
  if (value >= min && value <= max) return true;
  return Bad(path, absl::StrCat(value), "is out of range",
             absl::StrCat("write ", min, " to ", max));
}

bool Checker::Subdomain(const std::string& path, const std::string& name) {
  if (IsSubdomain(name)) return true;
  if (name.empty()) return Wrong(path, "is missing", "write a name");
  return Bad(path, name, "is not a name (RFC 1123)",
             "write at most 253 of a-z, 0-9, - and ., with a letter or digit at both ends of each "
             "part between dots");
}

bool Checker::DnsLabel(const std::string& path, const std::string& name) {
  if (IsDnsLabel(name)) return true;
  if (name.empty()) return Wrong(path, "is missing", "write a name");
  return Bad(path, name, "is not a name (RFC 1123 label)", kDnsLabelRemedy);
}

bool Checker::LabelKey(const std::string& path, const std::string& key) {
  const size_t slash = key.find('/');
  const bool good = slash == std::string::npos ? IsQualifiedPart(key)
                                               : IsSubdomain(key.substr(0, slash)) &&
                                                     IsQualifiedPart(key.substr(slash + 1));
  return good || Bad(path, key, "is not a label key",
                     "write at most 63 of A-Z, a-z, 0-9, -, _ and ., if need be after a domain and "
                     "a slash");
}

bool Checker::AnnotationKey(const std::string& path, const std::string& key) {
  // As Kubernetes: the case of the domain does not matter here.
  const size_t slash = key.find('/');
  const std::string lower = absl::AsciiStrToLower(key);
  const bool good = slash == std::string::npos ? IsQualifiedPart(key)
                                               : IsSubdomain(lower.substr(0, slash)) &&
                                                     IsQualifiedPart(key.substr(slash + 1));
  return good || Bad(path, key, "is not an annotation key",
                     "write at most 63 of A-Z, a-z, 0-9, -, _ and ., if need be after a domain and "
                     "a slash");
}

bool Checker::AnnotationBytes(const std::string& path, size_t bytes) {
  constexpr size_t kBytesMax = 256 << 10;
  return bytes <= kBytesMax ||
         Bad(path, absl::StrCat(bytes, " bytes"), absl::StrCat("is larger than ", kBytesMax),
             "keep what is large in a ConfigMap");
}

bool Checker::LabelValue(const std::string& path, const std::string& value) {
  return value.empty() || IsQualifiedPart(value) ||
         Bad(path, value, "is not a label value",
             "write at most 63 of A-Z, a-z, 0-9, -, _ and ., with a letter or digit at both ends");
}

bool Checker::Selector(const std::string& path, const std::string& text) {
  if (!text.empty() && text.back() == '\n') {
    return Bad(path, text, "has a line break at its end",
               "write it on the line of its name, or begin the block with >- or |-");
  }
  const auto parsed = policy::Selector::Parse(text, policy::kWrittenSelector);
  if (!parsed.ok()) {
    return Bad(path, text, "is not a selector", std::string(parsed.status().message()));
  }
  constexpr size_t kLabelMax = 512;
  const size_t longest = LongestWord(text);
  return longest <= kLabelMax || Bad(path, text, absl::StrCat("has a label of ", longest, " bytes"),
                                     absl::StrCat("write at most ", kLabelMax));
}

bool Checker::ProfileName(const std::string& path, const std::string& name) {
  // That of a service account has its namespace's name and its own in it.
  constexpr absl::string_view kPrefix = "ksa.";
  const size_t dot = name.find('.', kPrefix.size());
  if (absl::StartsWith(name, kPrefix) && dot != std::string::npos) {
    return DnsLabel(path, name.substr(kPrefix.size(), dot - kPrefix.size())) &&
           Subdomain(path, name.substr(dot + 1));
  }
  return Subdomain(path, name);
}

std::optional<policy::Cidr> Checker::Cidr(const std::string& path, const std::string& text,
                                          bool bare) {
  const auto cidr = policy::Cidr::Parse(text);
  if (cidr.ok() && (bare || absl::StrContains(text, "/"))) return *cidr;
  Bad(path, text, "is not a CIDR",
      cidr.ok() ? absl::StrCat("write ", cidr->ToString())
                : "write an address and a prefix length, such as 192.0.2.0/24 or 2001:db8::/32");
  return std::nullopt;
}

std::optional<policy::Cidr> Checker::Network(const std::string& path, const std::string& text) {
  const std::optional<policy::Cidr> cidr = Cidr(path, text, false);
  if (!cidr) return std::nullopt;
  const auto address = policy::Address::Parse(text.substr(0, text.find('/')));
  if (address.ok() && *address == cidr->address) return cidr;
  Bad(path, text, "has bits set after its prefix", absl::StrCat("write ", cidr->ToString()));
  return std::nullopt;
}

std::optional<policy::Address> Checker::Address(const std::string& path, const std::string& text) {
  const auto address = policy::Address::Parse(text);
  if (address.ok()) return *address;
  Bad(path, text, "is not an IP address", "write one such as 192.0.2.1 or 2001:db8::1");
  return std::nullopt;
}

bool Checker::Mac(const std::string& path, const std::string& text) {
  bool good = text.size() == 17;
  for (size_t i = 0; good && i < text.size(); ++i) {
    good = i % 3 == 2 ? text[i] == ':' : absl::ascii_isxdigit(text[i]);
  }
  return good || Bad(path, text, "is not a MAC address", "write one such as 02:00:5e:10:00:01");
}

bool Checker::Duration(const std::string& path, const std::string& text) {
  absl::Duration duration;
  return (absl::ParseDuration(text, &duration) && duration >= absl::ZeroDuration() &&
          duration < absl::InfiniteDuration()) ||
         Bad(path, text, "is not a duration", "write one such as 120s or 2m");
}

bool Checker::InterfaceName(const std::string& path, const std::string& text) {
  const bool good = !text.empty() && text.size() <= 15 && text != "." && text != ".." &&
                    text.find_first_of("/: \t\n") == std::string::npos;
  return good || Bad(path, text, "is not an interface name",
                     "write 1 to 15 characters without /, : and spaces");
}

void Checker::LabelSelector(const std::string& path, const v1::LabelSelector& selector) {
  Labels(Field(path, "matchLabels"), selector.match_labels());
  for (int i = 0; i < selector.match_expressions_size(); ++i) {
    const v1::LabelSelectorRequirement& requirement = selector.match_expressions(i);
    const std::string at = Index(Field(path, "matchExpressions"), i);
    LabelKey(Field(at, "key"), requirement.key());
    const std::string& op = requirement.operator_();
    if (!Enum(Field(at, "operator"), op, {"In", "NotIn", "Exists", "DoesNotExist"})) continue;
    const bool list = op == "In" || op == "NotIn";
    if (list && requirement.values_size() == 0) {
      Wrong(Field(at, "values"), absl::StrCat("is missing or empty, and ", op, " needs values"),
            "list at least one");
    } else if (!list && requirement.values_size() > 0) {
      Wrong(Field(at, "values"), absl::StrCat("is given, and ", op, " takes none"), "remove it");
    }
    for (int j = 0; j < requirement.values_size(); ++j) {
      LabelValue(Index(Field(at, "values"), j), requirement.values(j));
    }
  }
}

}  // namespace ripstop::api
