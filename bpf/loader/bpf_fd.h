// SPDX-License-Identifier: Apache-2.0
//
// File descriptors and mapped pages that belong to somebody.
#ifndef RIPSTOP_BPF_LOADER_BPF_FD_H_
#define RIPSTOP_BPF_LOADER_BPF_FD_H_

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <utility>

namespace ripstop::loader {

class BpfFd {
 public:
  BpfFd() = default;
  explicit BpfFd(int fd) : fd_(fd) {}
  BpfFd(BpfFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  BpfFd& operator=(BpfFd&& other) noexcept {
    if (this != &other) {
      Close();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~BpfFd() { Close(); }

  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
};

// A shared mapping of a BPF_F_MMAPABLE array.
class MappedPages {
 public:
  MappedPages() = default;
  MappedPages(void* base, size_t bytes) : base_(base), bytes_(bytes) {}
  MappedPages(MappedPages&& other) noexcept
      : base_(std::exchange(other.base_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  MappedPages& operator=(MappedPages&& other) noexcept {
    if (this != &other) {
      Unmap();
      base_ = std::exchange(other.base_, nullptr);
      bytes_ = std::exchange(other.bytes_, 0);
    }
    return *this;
  }
  ~MappedPages() { Unmap(); }

  void* base() const { return base_; }

 private:
  void Unmap() {
    if (base_ != nullptr) munmap(base_, bytes_);
    base_ = nullptr;
  }
  void* base_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace ripstop::loader

#endif  // RIPSTOP_BPF_LOADER_BPF_FD_H_
