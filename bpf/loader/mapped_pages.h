// SPDX-License-Identifier: Apache-2.0
#ifndef RIPSTOP_BPF_LOADER_MAPPED_PAGES_H_
#define RIPSTOP_BPF_LOADER_MAPPED_PAGES_H_

#include <sys/mman.h>

#include <cstddef>
#include <utility>

namespace ripstop::loader {

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

#endif  // RIPSTOP_BPF_LOADER_MAPPED_PAGES_H_
