// SPDX-License-Identifier: Apache-2.0
//
// `ripstopctl apply` of many documents: documents per second and memory, by the program
// itself on a store in a file. The documents are policies as people write them, of two rules
// with selectors, nets and ports, 500 bytes each.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include "e2e/bench/report.h"
#include "policy/status_macros.h"

namespace ripstop::bench {
namespace {

bool json = false;
int documents = 100'000;

constexpr char kPolicy[] = R"(---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: default.policy-$0
  namespace: ns-$1
  labels:
    team: t$2
spec:
  order: $3
  selector: app == 'app-$2' && role in {'a', 'b'}
  types: [Ingress, Egress]
  ingress:
  - action: Allow
    protocol: TCP
    source:
      selector: app == 'client-$2'
      nets: [10.$2.0.0/16, 192.168.$2.0/24]
    destination:
      ports: [80, 443, "8000:8100"]
  egress:
  - action: Allow
    protocol: UDP
    destination:
      ports: [53]
)";

struct Cost {
  double seconds = 0;
  double mib = 0;  // the most it had at once
};

class Folder {
 public:
  Folder() {
    char name[] = "/tmp/ripstop-apply-bench-XXXXXX";
    if (mkdtemp(name) != nullptr) path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

absl::Status WriteDocuments(const std::string& path, int count) {
  std::ofstream file(path);
  for (int i = 0; i < count; ++i) file << absl::Substitute(kPolicy, i, i % 500, i % 200, i % 1000);
  file.close();
  return file ? absl::OkStatus() : absl::UnavailableError("cannot write " + path);
}

// Runs ripstopctl from beside this program, its output thrown away.
absl::StatusOr<Cost> Ctl(const std::vector<std::string>& arguments) {
  const std::string program =
      std::filesystem::read_symlink("/proc/self/exe").parent_path() / "ripstopctl";
  std::vector<char*> argv = {const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const auto start = std::chrono::steady_clock::now();
  const pid_t child = fork();
  if (child == 0) {
    dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
    execv(program.c_str(), argv.data());
    _exit(127);
  }
  int status = 0;
  rusage usage{};
  if (child < 0 || wait4(child, &status, 0, &usage) != child)
    return absl::ErrnoToStatus(errno, "run ripstopctl");
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    return absl::InternalError(absl::StrCat(program, " ", arguments[0], " failed: ", status));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  return Cost{took.count(), usage.ru_maxrss / 1024.0};
}

void PrintCost(const std::string& what, const Cost& cost, double rate_bar) {
  Print({absl::StrCat(what, ": documents a second"), documents / cost.seconds, "1/s", rate_bar,
         true, ""},
        json);
  Print({absl::StrCat(what, ": memory"), cost.mib, "MiB", 200, false, ""}, json);
}

absl::Status Run() {
  const Folder folder;
  const std::string file = folder.path() + "/policies.yaml", few = folder.path() + "/few.yaml";
  RETURN_IF_ERROR(WriteDocuments(file, documents));
  RETURN_IF_ERROR(WriteDocuments(few, documents / 10));
  const std::string store = absl::StrCat("sqlite://", folder.path(), "/store.db");
  const std::string other = absl::StrCat("sqlite://", folder.path(), "/other.db");
  const std::string of = absl::StrCat(documents, " documents");
  ASSIGN_OR_RETURN(const Cost checked, Ctl({"validate", "-f", file}));
  PrintCost(absl::StrCat("validate, ", of), checked, 0);
  ASSIGN_OR_RETURN(const Cost fresh, Ctl({"apply", "-f", file, "--store", store}));
  PrintCost(absl::StrCat("apply, ", of, ", all new"), fresh, 10'000);
  ASSIGN_OR_RETURN(const Cost same, Ctl({"apply", "-f", file, "--store", store}));
  PrintCost(absl::StrCat("apply, ", of, ", none changed"), same, 10'000);
  ASSIGN_OR_RETURN(const Cost tenth, Ctl({"apply", "-f", few, "--store", other}));
  Print({absl::StrCat("apply, memory: ", of, " to a tenth of them"), fresh.mib / tenth.mib, "x", 0,
         false, ""},
        json);
  Print({absl::StrCat("apply, ", of, ": time to that of validate"), fresh.seconds / checked.seconds,
         "x", 0, false, "what writing adds"},
        json);
  return absl::OkStatus();
}

}  // namespace
}  // namespace ripstop::bench

int main(int argc, char** argv) {
  using namespace ripstop::bench;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    if (option == "--json") {
      json = true;
    } else if (option == "--quick") {
      documents = 200;
    } else if (option == "--documents" && i + 1 < argc) {
      documents = std::atoi(argv[++i]);
    } else {
      std::fprintf(stderr, "apply_bench [--json] [--quick] [--documents N]\n");
      return 2;
    }
  }
  const absl::Status status = Run();
  if (!status.ok()) std::fprintf(stderr, "apply_bench: %s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
