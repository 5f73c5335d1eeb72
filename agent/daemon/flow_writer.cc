// SPDX-License-Identifier: Apache-2.0
#include "agent/daemon/flow_writer.h"

#include <optional>
#include <utility>

namespace ripstop::agent {

// ---- all of them ----

FlowWriters::FlowWriters(grpc::ServerBuilder& builder, Service* service, Watch watch)
    : queue_(builder.AddCompletionQueue(/*is_frequently_polled=*/false)),
      service_(service),
      watch_(std::move(watch)) {}

FlowWriters::~FlowWriters() {
  {
    // Nothing may be begun on a queue that is shut down: first all writers end.
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return writers_ == 0; });
  }
  queue_->Shutdown();
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  thread_.join();
}

void FlowWriters::Start() {
  Await();
  thread_ = std::thread([this] { Run(); });
}

void FlowWriters::Await() {
  {
    const std::lock_guard lock(mutex_);
    ++writers_;
  }
  new FlowWriter(this);
}

void FlowWriters::Ended() {
  const std::lock_guard lock(mutex_);
  --writers_;
  changed_.notify_all();
}

void FlowWriters::Run() {
  void* tag = nullptr;
  for (bool ok = false; queue_->Next(&tag, &ok);) {
    const auto* step = static_cast<const FlowWriter::Step*>(tag);
    (step->writer->*step->done)(ok);
  }
}

// ---- one ----

FlowWriter::FlowWriter(FlowWriters* writers) : writers_(writers), writer_(&context_) {
  context_.AsyncNotifyWhenDone(&gone_);
  writers_->service_->RequestWatchFlows(&context_, &request_, &writer_, writers_->queue_.get(),
                                        writers_->queue_.get(), &asked_);
}

// After Close the loop calls no more.
FlowWriter::~FlowWriter() {
  if (stream_ != nullptr) stream_->Close();
  writers_->Ended();
}

// Writes an empty message first, so that the client knows that it watches.
void FlowWriter::OnAsked(bool ok) {
  if (!ok) {  // the server is shut down; of a call that never was, nothing else comes
    delete this;
    return;
  }
  writers_->Await();
  const grpc::Status status = writers_->watch_(request_, &stream_);
  if (!status.ok()) {
    ended_ = true;
    writer_.Finish(status, &finished_);
    return;
  }
  writing_ = true;
  writer_.Write(reply_, &written_);
  stream_->OnNews([this] { Next(); });
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
  // `writing_` keeps others out.
  writer_.Write(reply_, &written_);
}

void FlowWriter::OnWritten(bool ok) {
  {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    ended_ |= !ok;
    ok = !ended_;
  }
  if (ok) {
    Next();
  } else {
    writer_.Finish(grpc::Status::CANCELLED, &finished_);
  }
}

// Whoever is writing finishes.
void FlowWriter::OnGone(bool /*ok*/) {
  is_gone_ = true;
  bool finish = false;
  {
    const std::lock_guard lock(mutex_);
    finish = !ended_ && !writing_;
    ended_ = true;
  }
  if (finish) writer_.Finish(grpc::Status::CANCELLED, &finished_);
  EndIfOver();
}

void FlowWriter::OnFinished(bool /*ok*/) {
  is_finished_ = true;
  EndIfOver();
}

void FlowWriter::EndIfOver() {
  if (is_gone_ && is_finished_) delete this;
}

}  // namespace ripstop::agent
