// SPDX-License-Identifier: Apache-2.0
//
// Collects problems of one resource; the checks that many kinds share. Each returns whether
// the value is good, so that a caller can leave out what depends on it.
#ifndef RIPSTOP_API_VALIDATE_CHECKER_H_
#define RIPSTOP_API_VALIDATE_CHECKER_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "api/codec/problem.h"
#include "api/resource.h"
#include "policy/address.h"

namespace ripstop::api {

class Checker {
 public:
  Checker(const Resource& resource, std::vector<Problem>* problems)
      : resource_(resource), problems_(problems) {}

  // `value` as text; empty: shown as "".
  bool Bad(const std::string& path, const std::string& value, const std::string& what,
           const std::string& remedy);
  // A problem of what the field is beside, or of its absence; shows what is there, if anything.
  bool Wrong(const std::string& path, const std::string& what, const std::string& remedy);

  bool Enum(const std::string& path, const std::string& value,
            const std::vector<std::string>& allowed);
  bool EnumOrEmpty(const std::string& path, const std::string& value,
                   const std::vector<std::string>& allowed);
  bool Range(const std::string& path, int64_t value, int64_t min, int64_t max);

  // RFC 1123 as Kubernetes takes it: a subdomain, or one label of 63 characters.
  bool Subdomain(const std::string& path, const std::string& name);
  bool DnsLabel(const std::string& path, const std::string& name);
  // A profile that an endpoint names: kns.<namespace>, ksa.<namespace>.<service account>, or
  // another's name.
  bool ProfileName(const std::string& path, const std::string& name);
  // Kubernetes' syntax of label keys and values.
  bool LabelKey(const std::string& path, const std::string& key);
  bool LabelValue(const std::string& path, const std::string& value);
  template <typename Map>
  void Labels(const std::string& path, const Map& labels) {
    for (const auto& [key, value] :
         std::map<std::string, std::string>(labels.begin(), labels.end())) {
      const std::string at = path + "[" + key + "]";
      if (LabelKey(at, key)) LabelValue(at, value);
    }
  }

  // Kubernetes' limits: qualified names as keys, 256 KiB altogether.
  template <typename Map>
  void Annotations(const std::string& path, const Map& annotations) {
    size_t bytes = 0;
    for (const auto& [key, value] :
         std::map<std::string, std::string>(annotations.begin(), annotations.end())) {
      AnnotationKey(path + "[" + key + "]", key);
      bytes += key.size() + value.size();
    }
    AnnotationBytes(path, bytes);
  }
  bool AnnotationKey(const std::string& path, const std::string& key);
  bool AnnotationBytes(const std::string& path, size_t bytes);

  bool Selector(const std::string& path, const std::string& text);
  // A prefix; host bits may be set. `bare`: an address alone will do.
  std::optional<policy::Cidr> Cidr(const std::string& path, const std::string& text, bool bare);
  // A prefix without host bits.
  std::optional<policy::Cidr> Network(const std::string& path, const std::string& text);
  std::optional<policy::Address> Address(const std::string& path, const std::string& text);
  bool Mac(const std::string& path, const std::string& text);
  bool Duration(const std::string& path, const std::string& text);
  // Linux: 1-15 characters without / or space.
  bool InterfaceName(const std::string& path, const std::string& text);

  void LabelSelector(const std::string& path, const v1::LabelSelector& selector);

 private:
  const Resource& resource_;
  std::vector<Problem>* const problems_;
};

std::string Index(const std::string& path, int index);  // "path[3]"
std::string Field(const std::string& path, const char* name);

}  // namespace ripstop::api

#endif  // RIPSTOP_API_VALIDATE_CHECKER_H_
