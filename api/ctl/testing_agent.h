// SPDX-License-Identifier: Apache-2.0
//
// ripstopctl against a server that answers in an agent's place.
#ifndef RIPSTOP_API_CTL_TESTING_AGENT_H_
#define RIPSTOP_API_CTL_TESTING_AGENT_H_

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "api/ctl/run.h"

namespace ripstop::ctl {

// `Agent`: an agent::v1::Agent::Service.
template <typename Agent>
class WithAgent : public testing::Test {
 protected:
  WithAgent() {
    char name[] = "/tmp/ripstop-ctl-XXXXXX";
    folder_ = mkdtemp(name);
    socket_ = folder_ + "/agent.sock";
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix:" + socket_, grpc::InsecureServerCredentials());
    builder.RegisterService(&agent_);
    server_ = builder.BuildAndStart();
  }
  ~WithAgent() override {
    server_->Shutdown();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  int Ctl(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--socket", socket_});
    std::istringstream in;
    std::ostringstream out, err;
    const int code = ctl::Run(arguments, {in, out, err});
    out_ = out.str();
    err_ = err.str();
    return code;
  }
  Agent agent_;
  std::string folder_, socket_, out_, err_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace ripstop::ctl

#endif  // RIPSTOP_API_CTL_TESTING_AGENT_H_
