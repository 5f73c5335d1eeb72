// SPDX-License-Identifier: Apache-2.0
//
// Processor time of programs that are started often: the CNI plugin, for its version and for
// an ADD that an agent answers at once, and ripstopctl. Beside them what nothing costs, and
// what nothing costs with gRPC's shared libraries loaded, which is what each of them spent
// on being linked before it was linked from archives.
//   start_bench [--json] [--quick]
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "agent/cni/cni_server.h"
#include "e2e/bench/report.h"
#include "policy/status_macros.h"

namespace ripstop::bench {
namespace {

constexpr char kGrpc[] = "libgrpc++.so.1.51";  // Debian 12's

bool json = false;
int runs = 41;

struct Program {
  std::vector<std::string> argv;
  std::vector<std::string> environment;
  std::string input = "/dev/null";
};

// User and system time of one run, in milliseconds. Output is thrown away.
absl::StatusOr<double> RunOnce(const Program& program) {
  std::vector<char*> argv, environment;
  for (const std::string& word : program.argv) argv.push_back(const_cast<char*>(word.c_str()));
  for (const std::string& word : program.environment) {
    environment.push_back(const_cast<char*>(word.c_str()));
  }
  argv.push_back(nullptr);
  environment.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, program.input.c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;
  const int error = posix_spawn(&child, argv[0], &files, nullptr, argv.data(), environment.data());
  posix_spawn_file_actions_destroy(&files);
  if (error != 0) return absl::ErrnoToStatus(error, program.argv[0]);
  int status = 0;
  rusage usage{};
  if (wait4(child, &status, 0, &usage) != child) return absl::ErrnoToStatus(errno, "wait4");
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    return absl::InternalError(absl::StrCat(program.argv[0], " failed: ", status));
  }
  const auto ms = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1000 + static_cast<double>(time.tv_usec) / 1000;
  };
  return ms(usage.ru_utime) + ms(usage.ru_stime);
}

// The median; other work on the processors makes some runs longer, none shorter.
absl::StatusOr<double> Cost(const Program& program) {
  std::vector<double> all;
  for (int i = 0; i < runs; ++i) {
    ASSIGN_OR_RETURN(const double one, RunOnce(program));
    all.push_back(one);
  }
  std::sort(all.begin(), all.end());
  return all[all.size() / 2];
}

absl::Status Report(const std::string& what, const Program& program, double bar, double nothing) {
  ASSIGN_OR_RETURN(const double cost, Cost(program));
  Print({what, cost, "ms", bar, false,
         nothing == 0
             ? ""
             : absl::StrCat(static_cast<int>(cost / nothing * 10) / 10.0, " times /bin/true")},
        json);
  return absl::OkStatus();
}

// What an agent says to an ADD.
agent::v1::CniAnswer Canned(const agent::v1::CniCall&) {
  agent::v1::CniAnswer answer;
  agent::v1::CniAddReply* add = answer.mutable_add();
  add->set_host_interface("cali0123456789a");
  add->set_host_mac("ee:ee:ee:ee:ee:ee");
  add->set_container_mac("02:00:5e:00:00:01");
  add->set_mtu(1450);
  auto* ip = add->add_ips();
  ip->set_address("192.0.2.5/32");
  ip->set_gateway("169.254.1.1");
  return answer;
}

absl::Status Run(const std::string& folder) {
  const std::string bin = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  const std::string socket = folder + "/cni.sock";
  ASSIGN_OR_RETURN(auto loop, agent::EventLoop::Create());
  ASSIGN_OR_RETURN(auto server, agent::CniServer::Start({.path = socket}, loop.get(), Canned));
  std::ofstream(folder + "/config")
      << R"({"cniVersion":"1.0.0","name":"k8s-pod-network","type":"ripstop-cni","socket":")"
      << socket << R"(","runtimeConfig":{"io.kubernetes.cri.pod-annotations":{"a":"b"}}})";
  const Program nothing = {{"/bin/true"}, {}};
  const Program with_grpc = {{"/bin/true"}, {absl::StrCat("LD_PRELOAD=", kGrpc)}};
  const Program version = {{bin + "/ripstop-cni"}, {"CNI_COMMAND=VERSION"}};
  const Program add = {
      {bin + "/ripstop-cni"},
      {"CNI_COMMAND=ADD", "CNI_CONTAINERID=c1", "CNI_NETNS=/run/netns/none", "CNI_IFNAME=eth0",
       "CNI_PATH=/opt/cni/bin", "CNI_ARGS=K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart-1"},
      folder + "/config"};
  const Program ctl = {{bin + "/ripstopctl", "version"}, {}};
  std::thread thread([&loop] { loop->RunUntilStopped().IgnoreError(); });
  const auto all = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const double least, Cost(nothing));
    Print({"/bin/true, processor time", least, "ms", 0, false, ""}, json);
    RETURN_IF_ERROR(
        Report("/bin/true with gRPC's shared libraries, processor time", with_grpc, 0, least));
    RETURN_IF_ERROR(Report("CNI plugin: start (VERSION), processor time", version, 5, least));
    RETURN_IF_ERROR(Report("CNI plugin: ADD, its own processor time", add, 10, least));
    return Report("ripstopctl version, processor time", ctl, 5, least);
  };
  const absl::Status status = all();
  loop->Stop();
  thread.join();
  return status;
}

}  // namespace
}  // namespace ripstop::bench

int main(int argc, char** argv) {
  using namespace ripstop::bench;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--json") {
      json = true;
    } else if (argument == "--quick") {
      runs = 3;
    } else {
      fprintf(stderr, "usage: start_bench [--json] [--quick]\n");
      return 2;
    }
  }
  char folder[] = "/tmp/ripstop-start-bench-XXXXXX";
  if (mkdtemp(folder) == nullptr) {
    perror("start_bench: /tmp");
    return 1;
  }
  const absl::Status status = Run(folder);
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  if (!status.ok()) fprintf(stderr, "start_bench: %s\n", std::string(status.message()).c_str());
  return status.ok() ? 0 : 1;
}
