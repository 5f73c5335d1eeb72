// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/flow_writer.h"

#include <optional>
#include <utility>

namespace ripstop::agent {

FlowWriter* FlowWriter::Begin(std::shared_ptr<FlowStream> stream) {
  auto* writer = new FlowWriter(std::move(stream));
  writer->writing_ = true;
  writer->StartWrite(&writer->reply_);
  writer->stream_->OnNews([writer] { writer->Next(); });
  return writer;
}

FlowWriter* FlowWriter::Refuse(const grpc::Status& status) {
  auto* writer = new FlowWriter(nullptr);
  writer->ended_ = true;
  writer->Finish(status);
  return writer;
}

void FlowWriter::Next() {
  {
    const std::lock_guard lock(mutex_);
    if (writing_ || ended_) return;
    std::optional<v1::WatchFlowsReply> next = stream_->Pop();
    if (!next.has_value()) return;
    reply_ = *std::move(next);
    writing_ = true;
  }
  // Without the lock: gRPC may call back from here. `writing_` keeps others out.
  StartWrite(&reply_);
}

void FlowWriter::OnWriteDone(bool ok) {
  {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    ended_ |= !ok;
    ok = !ended_;
  }
  if (ok) {
    Next();
  } else {
    Finish(grpc::Status::CANCELLED);
  }
}

// Whoever is writing finishes.
void FlowWriter::OnCancel() {
  {
    const std::lock_guard lock(mutex_);
    if (ended_) return;
    ended_ = true;
    if (writing_) return;
  }
  Finish(grpc::Status::CANCELLED);
}

void FlowWriter::OnDone() {
  // After Close the loop calls no more.
  if (stream_ != nullptr) stream_->Close();
  delete this;
}

}  // namespace ripstop::agent
