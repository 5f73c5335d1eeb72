// SPDX-License-Identifier: Apache-2.0
#include "e2e/bench/straight_line.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "bpf/loader/frame.h"
#include "policy/status_macros.h"

namespace ripstop::bench {
namespace {

constexpr int kProgramsMax = 33;    // the kernel's limit on a chain of tail calls
constexpr int kBranchesMax = 7000;  // of one program; the verifier stops at 8,192
constexpr int16_t kSource = offsetof(__sk_buff, cb[0]);     // host order
constexpr int16_t kProtoPort = offsetof(__sk_buff, cb[1]);  // protocol << 16 | port
constexpr int16_t kSourceRaw = offsetof(__sk_buff, cb[2]);  // network order
constexpr int kDeny = 2;                                    // TC_ACT_SHOT

struct SetKey {
  uint32_t prefix_bits;
  uint32_t set;
  uint8_t address[4];
};

class Code {
 public:
  void Emit(uint8_t code, uint8_t dst, uint8_t src, int16_t off, int32_t imm) {
    bpf_insn insn = {};
    insn.code = code;
    insn.dst_reg = dst;
    insn.src_reg = src;
    insn.off = off;
    insn.imm = imm;
    code_.push_back(insn);
  }
  void LoadMap(uint8_t dst, int fd) {
    Emit(BPF_LD | BPF_DW | BPF_IMM, dst, BPF_PSEUDO_MAP_FD, 0, fd);
    Emit(0, 0, 0, 0, 0);
  }
  void Load(uint8_t dst, uint8_t size, uint8_t src, int16_t off) {
    Emit(BPF_LDX | BPF_MEM | size, dst, src, off, 0);
  }
  void Exit(int32_t value) {
    Emit(BPF_ALU | BPF_MOV | BPF_K, 0, 0, 0, value);
    Emit(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
  }
  // A jump to the next Label().
  void Unless(uint8_t op, uint8_t reg, uint32_t value, uint8_t width = BPF_JMP32) {
    open_.push_back(code_.size());
    Emit(width | op | BPF_K, reg, 0, 0, static_cast<int32_t>(value));
    ++branches_;
  }
  void Label() {
    for (size_t at : open_) code_[at].off = static_cast<int16_t>(code_.size() - at - 1);
    open_.clear();
  }
  int branches() const { return branches_; }
  const std::vector<bpf_insn>& code() const { return code_; }

 private:
  std::vector<bpf_insn> code_;
  std::vector<size_t> open_;
  int branches_ = 0;
};

void Parse(Code& code) {
  code.Load(2, BPF_W, 6, offsetof(__sk_buff, data));
  code.Load(3, BPF_W, 6, offsetof(__sk_buff, data_end));
  code.Emit(BPF_ALU64 | BPF_MOV | BPF_X, 4, 2, 0, 0);
  code.Emit(BPF_ALU64 | BPF_ADD | BPF_K, 4, 0, 0, 38);
  code.Emit(BPF_JMP | BPF_JLE | BPF_X, 4, 3, 2, 0);
  code.Exit(kDeny);
  code.Load(1, BPF_W, 2, 26);  // source address
  code.Emit(BPF_STX | BPF_MEM | BPF_W, 6, 1, kSourceRaw, 0);
  code.Emit(BPF_ALU | BPF_END | BPF_TO_BE, 1, 0, 0, 32);
  code.Emit(BPF_STX | BPF_MEM | BPF_W, 6, 1, kSource, 0);
  code.Load(1, BPF_B, 2, 23);  // protocol
  code.Emit(BPF_ALU | BPF_LSH | BPF_K, 1, 0, 0, 16);
  code.Load(3, BPF_H, 2, 36);  // destination port
  code.Emit(BPF_ALU | BPF_END | BPF_TO_BE, 3, 0, 0, 16);
  code.Emit(BPF_ALU | BPF_OR | BPF_X, 1, 3, 0, 0);
  code.Emit(BPF_STX | BPF_MEM | BPF_W, 6, 1, kProtoPort, 0);
}

// The rest of a rule once its source has matched.
void PortsAndVerdict(Code& code, const policy::Rule& rule, policy::PortRange range, bool any_port,
                     int index) {
  if (rule.protocol) {
    const uint32_t base = uint32_t{*rule.protocol} << 16;
    const uint32_t first = base | (any_port ? 0 : range.first);
    const uint32_t width = any_port ? 0xffff : range.last - range.first;
    code.Load(1, BPF_W, 6, kProtoPort);
    code.Emit(BPF_ALU | BPF_SUB | BPF_K, 1, 0, 0, static_cast<int32_t>(first));
    code.Unless(BPF_JGT, 1, width);
  }
  code.Exit((index + 1) << 8 | (rule.action == policy::Action::kAllow ? 0 : kDeny));
}

void EmitRule(Code& code, const policy::Rule& rule, int index, int sets_fd,
              const std::map<std::string, uint32_t>& set_ids) {
  std::vector<policy::PortRange> ranges = {{}};
  const bool any_port = !rule.destination.ports.has_value();
  if (!any_port) ranges = rule.destination.ports->ranges;
  std::vector<const policy::Cidr*> nets = {nullptr};
  if (rule.source.nets) {
    nets.clear();
    for (const policy::Cidr& net : *rule.source.nets) nets.push_back(&net);
  }
  for (const policy::Cidr* net : nets) {
    for (const policy::PortRange range : ranges) {
      if (net != nullptr) {
        const int bits = static_cast<int>(net->bits) - 96;
        uint32_t address = 0;
        for (int i = 12; i < 16; ++i) address = address << 8 | net->address.bytes[i];
        code.Load(1, BPF_W, 6, kSource);
        if (bits < 32) {
          code.Emit(BPF_ALU | BPF_AND | BPF_K, 1, 0, 0,
                    static_cast<int32_t>(bits == 0 ? 0 : ~0u << (32 - bits)));
        }
        code.Unless(BPF_JNE, 1, address);
      }
      if (rule.source.selector) {
        code.Emit(BPF_ST | BPF_MEM | BPF_W, 10, 0, -16, 64);
        code.Emit(BPF_ST | BPF_MEM | BPF_W, 10, 0, -12,
                  static_cast<int32_t>(set_ids.at(*rule.source.selector)));
        code.Load(1, BPF_W, 6, kSourceRaw);
        code.Emit(BPF_STX | BPF_MEM | BPF_W, 10, 1, -8, 0);
        code.LoadMap(1, sets_fd);
        code.Emit(BPF_ALU64 | BPF_MOV | BPF_X, 2, 10, 0, 0);
        code.Emit(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, -16);
        code.Emit(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem);
        code.Unless(BPF_JEQ, 0, 0, BPF_JMP);  // a pointer is compared whole
      }
      PortsAndVerdict(code, rule, range, any_port, index);
      code.Label();
    }
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<StraightLine>> StraightLine::Load(
    const std::vector<policy::Rule>& rules,
    const std::map<std::string, std::vector<policy::Address>>& members) {
  auto line = std::unique_ptr<StraightLine>(new StraightLine());
  line->next_ =
      UniqueFd(bpf_map_create(BPF_MAP_TYPE_PROG_ARRAY, "line_next", 4, 4, kProgramsMax, nullptr));
  size_t entries = 1;
  for (const auto& [selector, addresses] : members) entries += addresses.size();
  LIBBPF_OPTS(bpf_map_create_opts, trie, .map_flags = BPF_F_NO_PREALLOC);
  line->sets_ = UniqueFd(bpf_map_create(BPF_MAP_TYPE_LPM_TRIE, "line_sets", sizeof(SetKey), 4,
                                        static_cast<uint32_t>(entries), &trie));
  if (!line->next_.ok() || !line->sets_.ok()) return absl::ErrnoToStatus(errno, "create maps");
  std::map<std::string, uint32_t> set_ids;
  for (const auto& [selector, addresses] : members) {
    const uint32_t id = static_cast<uint32_t>(set_ids.size() + 1);
    set_ids[selector] = id;
    for (const policy::Address& address : addresses) {
      SetKey key = {64, id, {}};
      std::memcpy(key.address, &address.bytes[12], 4);
      if (bpf_map_update_elem(line->sets_.get(), &key, &id, BPF_ANY) != 0) {
        return absl::ErrnoToStatus(errno, "fill IP sets");
      }
    }
  }

  // Rules to programs, first to last.
  std::vector<Code> codes;
  for (size_t i = 0; i < rules.size(); ++i) {
    if (codes.empty() || codes.back().branches() > kBranchesMax) {
      codes.emplace_back();
      codes.back().Emit(BPF_ALU64 | BPF_MOV | BPF_X, 6, 1, 0, 0);
      if (codes.size() == 1) Parse(codes.back());
    }
    EmitRule(codes.back(), rules[i], static_cast<int>(i), line->sets_.get(), set_ids);
    const policy::Rule& rule = rules[i];
    if (!rule.source.nets && !rule.source.selector && !rule.protocol) break;  // takes all
  }
  if (codes.size() > kProgramsMax) {
    return absl::ResourceExhaustedError(
        absl::StrCat(codes.size(), " programs; the kernel joins ", kProgramsMax));
  }
  for (size_t i = 0; i < codes.size(); ++i) {
    Code& code = codes[i];
    if (i + 1 < codes.size()) {
      code.Emit(BPF_ALU64 | BPF_MOV | BPF_X, 1, 6, 0, 0);
      code.LoadMap(2, line->next_.get());
      code.Emit(BPF_ALU | BPF_MOV | BPF_K, 3, 0, 0, static_cast<int32_t>(i + 1));
      code.Emit(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_tail_call);
    }
    code.Exit(kDeny);
    UniqueFd program(bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "straight_line", "GPL",
                                   code.code().data(), code.code().size(), nullptr));
    if (!program.ok()) {
      return absl::InternalError(absl::StrCat("the verifier refuses ", code.code().size(),
                                              " instructions: ", std::strerror(errno)));
    }
    const uint32_t index = static_cast<uint32_t>(i);
    const int fd = program.get();
    if (bpf_map_update_elem(line->next_.get(), &index, &fd, BPF_ANY) != 0) {
      return absl::ErrnoToStatus(errno, "join programs");
    }
    line->instructions_ += code.code().size();
    line->programs_.push_back(std::move(program));
  }
  return line;
}

absl::StatusOr<int> StraightLine::Decide(const policy::Packet& packet) const {
  loader::FrameSpec spec;
  spec.packet = packet;
  const loader::Frame frame = MakeFrame(spec);
  loader::Frame out(frame.size() + 64);
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(), .data_out = out.data(),
              .data_size_in = static_cast<uint32_t>(frame.size()),
              .data_size_out = static_cast<uint32_t>(out.size()), .repeat = 1);
  if (bpf_prog_test_run_opts(program(), &options) != 0) {
    return absl::ErrnoToStatus(errno, "run the straight-line program");
  }
  return static_cast<int>(options.retval >> 8) - 1;
}

}  // namespace ripstop::bench
