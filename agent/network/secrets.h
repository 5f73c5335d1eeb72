// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_AGENT_NETWORK_SECRETS_H_
#define RIPSTOP_AGENT_NETWORK_SECRETS_H_

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "policy/base/unique_fd.h"

namespace ripstop::agent {

// What a secretKeyRef names. Errors never hold the secret.
//   kNotFound            there is no such secret
//   kFailedPrecondition  it is there and others could have read or written it
using SecretReader =
    std::function<absl::StatusOr<std::string>(const std::string& name, const std::string& key)>;

// Secrets as files FOLDER/name/key: regular, the owner's (root's) alone, one line. What
// Kubernetes mounts as a volume has this form too, behind links inside the folder; links
// that lead out of it are not followed.
//
// A secret that was read once keeps its value when its file cannot be read any more, and
// problems() says so: sessions do not break while a file is replaced. Changes under the
// folder wake fd(). For the agent's loop.
class SecretFiles {
 public:
  // The folder need not be there yet. Works without inotify: then fd() is -1, and changes are
  // seen by whoever reads again.
  explicit SecretFiles(std::string folder);

  absl::StatusOr<std::string> Read(const std::string& name, const std::string& key);
  // Whether a secret read since the last call of Begin would now be read differently.
  bool HaveChanged() const;

  int fd() const { return inotify_.get(); }  // readable when something changed
  void TakeEvents();

  // Of the secrets read since the last call of Begin: those whose last value is used.
  void Begin() {
    problems_.clear();
    answers_.clear();
  }
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  void Watch(const std::string& path);
  void WatchFolder();
  void WatchSecret(const std::string& name);

  const std::string folder_;
  UniqueFd inotify_;
  using Id = std::pair<std::string, std::string>;  // name, key
  std::map<Id, std::string> last_;                 // as last readable
  std::map<Id, absl::StatusOr<std::string>> answers_;
  std::vector<std::string> problems_;
};

}  // namespace ripstop::agent

#endif  // RIPSTOP_AGENT_NETWORK_SECRETS_H_
