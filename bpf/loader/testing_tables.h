// SPDX-License-Identifier: Apache-2.0
//
// Handmade tables for packet tests: a few addresses, classes and one small set per
// policy, without the engine.
#ifndef RIPSTOP_BPF_LOADER_TESTING_TABLES_H_
#define RIPSTOP_BPF_LOADER_TESTING_TABLES_H_

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "policy/engine/engine.h"
#include "policy/tables/cidr_table.h"
#include "policy/tables/table_write.h"

namespace ripstop::loader::testing {

inline policy::Address Addr(std::string_view text) { return policy::Address::Parse(text).value(); }

// L4 classes of every handmade world: 0 everything, 1 TCP 80, 2 UDP 53, 3 ICMP echo
// request, 4 ICMPv6 echo request, 5 TCP with source port 999.
class HandmadeTables {
 public:
  static constexpr uint32_t kClasses = 4;  // address classes 0..3
  static constexpr uint32_t kL4Classes = 6;

  explicit HandmadeTables(const policy::EngineOptions& options)
      : chunk_(options.first_chunk),
        arena_(std::make_unique<policy::Arena>(options.first_chunk + 1, 1)),
        cidrs_(arena_.get()) {
    std::vector<uint16_t> l4(L4_TABLE_LINES * ARENA_LINE_HALVES, 0);
    l4[L4_INDEX(L4_TCP, 80)] = 1;
    l4[L4_INDEX(L4_UDP, 53)] = 2;
    l4[L4_INDEX(L4_ICMP, 8 << 8)] = 3;
    l4[L4_INDEX(L4_ICMPV6, 128 << 8)] = 4;
    l4[L4_INDEX(L4_TCP, 999)] = 5;
    l4_table_ = ARENA_HANDLE(chunk_, next_line_);
    writes.push_back(Halves(next_line_, l4));
    cidrs_.PlaceRoots(l4_table_);
    next_line_ += GENERATION_LINES;
  }

  uint32_t l4_table() const { return l4_table_; }

  // A set whose verdict for (address class, L4 class) is `cell`, and which also looks at
  // source ports when `by_source_port`: column 1 there is source class 5.
  template <typename Cell>
  uint32_t AddSet(uint32_t set_index, Cell cell, bool by_source_port = false) {
    policy_set_header header = {};
    const uint32_t line = next_line_;
    const uint32_t sources = by_source_port ? 2 : 1;
    header.set_index = set_index;
    header.representation = POLICY_SET_DENSE;
    header.rows = line + 1;
    header.row_capacity = kClasses;
    header.columns = line + 2;
    header.column_capacity = kL4Classes;
    header.source_columns = by_source_port ? line + 3 : 0;
    header.column_count = kL4Classes;
    header.source_column_count = sources;
    header.verdicts = line + 4;
    header.verdict_count = kClasses * sources * kL4Classes;
    std::vector<uint16_t> identity(ARENA_LINE_HALVES, 0), source(ARENA_LINE_HALVES, 0);
    for (uint16_t i = 0; i < kL4Classes; ++i) identity[i] = i;
    source[5] = 1;
    std::vector<uint32_t> words;
    for (uint32_t row = 0; row < kClasses; ++row) {
      for (uint32_t from = 0; from < sources; ++from) {
        for (uint32_t column = 0; column < kL4Classes; ++column) {
          words.push_back(from == 1 ? (VERDICT_ALLOW | 999) : cell(row, column));
        }
      }
    }
    std::vector<uint32_t> head(ARENA_LINE_WORDS);
    std::memcpy(head.data(), &header, sizeof(header));
    writes.push_back(policy::WriteWords{ARENA_HANDLE(chunk_, line), 0, head});
    writes.push_back(Halves(header.rows, identity));
    writes.push_back(Halves(header.columns, identity));
    writes.push_back(Halves(line + 3, source));
    writes.push_back(policy::WriteWords{ARENA_HANDLE(chunk_, header.verdicts), 0, words});
    next_line_ += 4 + (words.size() + ARENA_LINE_WORDS - 1) / ARENA_LINE_WORDS;
    return ARENA_HANDLE(chunk_, line);
  }
  uint32_t AllowAll(uint32_t set_index, uint32_t rule) {
    return AddSet(set_index, [rule](uint32_t, uint32_t) { return VERDICT_ALLOW | rule; });
  }
  uint32_t DenyAll(uint32_t set_index, uint32_t rule) {
    return AddSet(set_index, [rule](uint32_t, uint32_t) { return rule; });
  }

  void AddPod(std::string_view address, uint32_t address_class, uint32_t egress, uint32_t ingress,
              uint32_t ifindex = 1, std::array<uint8_t, 6> mac = {2, 0, 0, 0, 0, 9}) {
    address_value value = {};
    value.address_class = address_class;
    value.ifindex = ifindex;
    value.egress_set = egress;
    value.ingress_set = ingress;
    value.flags = ADDRESS_LOCAL_ENDPOINT;
    std::memcpy(value.mac, mac.data(), mac.size());
    writes.push_back(policy::SetAddress{Addr(address), value});
  }
  void AddOther(std::string_view address, uint32_t flags, uint32_t address_class = 0) {
    address_value value = {};
    value.address_class = address_class;
    value.flags = flags;
    writes.push_back(policy::SetAddress{Addr(address), value});
  }

  void AddCidr(const policy::Cidr& cidr, uint32_t address_class) {
    cidrs_.Set(cidr, address_class, writes);
  }

  // Keeps clear of the lines that an earlier instance wrote.
  void SkipLines(uint32_t lines) { next_line_ += lines; }

  policy::TableWrites Take() { return std::exchange(writes, {}); }

  policy::TableWrites writes;

 private:
  policy::WriteWords Halves(uint32_t line, const std::vector<uint16_t>& halves) const {
    policy::WriteWords write{ARENA_HANDLE(chunk_, line), 0, {}};
    write.words.resize(halves.size() / 2);
    std::memcpy(write.words.data(), halves.data(), write.words.size() * 4);
    return write;
  }

  uint32_t chunk_;
  std::unique_ptr<policy::Arena> arena_;  // of the nodes of `cidrs_`
  policy::CidrTable cidrs_;
  uint32_t l4_table_ = 0;
  uint32_t next_line_ = 1;
};

}  // namespace ripstop::loader::testing

#endif  // RIPSTOP_BPF_LOADER_TESTING_TABLES_H_
