// SPDX-License-Identifier: Apache-2.0
#include "policy/tables/table_image.h"

#include <algorithm>
#include <cstring>

#include "policy/classes/l4_set.h"
#include "policy/tables/cidr_lookup.h"

namespace ripstop::policy {
namespace {

constexpr size_t kChunkWords = size_t{ARENA_CHUNK_LINES} * ARENA_LINE_WORDS;

template <typename... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <typename... F>
Overloaded(F...) -> Overloaded<F...>;

}  // namespace

void TableImage::Apply(const TableWrites& writes) {
  for (const TableWrite& write : writes) Apply(write);
}

void TableImage::Apply(const TableWrite& write) {
  std::visit(
      Overloaded{
          [&](const SetAddress& w) { addresses_[w.address] = w.value; },
          [&](const RemoveAddress& w) { addresses_.erase(w.address); },
          [&](const WriteWords& w) {
            Chunk& chunk = chunks_[ARENA_HANDLE_CHUNK(w.handle)];
            if (!chunk)
              chunk.reset(static_cast<uint32_t*>(std::calloc(kChunkWords, sizeof(uint32_t))));
            const size_t first =
                size_t{ARENA_HANDLE_LINE(w.handle)} * ARENA_LINE_WORDS + w.first_word;
            const size_t room = first < kChunkWords ? kChunkWords - first : 0;
            std::copy_n(w.words.begin(), std::min(room, w.words.size()), chunk.get() + first);
          },
          [&](const ReleaseChunk& w) { chunks_.erase(w.chunk); },
          [&](const Grace&) {},
          [&](const BumpEpoch& w) { ++epochs_[w.set_index]; },
          [&](const EnsureRules& w) { rule_count_ = std::max(rule_count_, w.count); },
          [](const ForgetRules&) {},
          [&](const SetHostSets& w) { host_sets_[w.interface] = w.sets; },
          [&](const RemoveHostSets& w) { host_sets_.erase(w.interface); },
      },
      write);
}

std::optional<address_value> TableImage::Find(const Address& address) const {
  const auto it = addresses_.find(address);
  return it == addresses_.end() ? std::nullopt : std::optional(it->second);
}

uint32_t TableImage::epoch(uint32_t set_index) const {
  const auto it = epochs_.find(set_index);
  return it == epochs_.end() ? 0 : it->second;
}

uint32_t TableImage::ClassOf(const Address& address) const {
  if (const auto it = addresses_.find(address); it != addresses_.end())
    return it->second.address_class;
  const auto read = [&](uint32_t handle, arena_line& line) {
    const uint32_t* words = Line(ARENA_HANDLE_CHUNK(handle), ARENA_HANDLE_LINE(handle));
    if (words != nullptr) std::memcpy(&line, words, sizeof(line));
    return words != nullptr;
  };
  return LookUpCidrClass(address, l4_table_, read);
}

const uint32_t* TableImage::Line(uint32_t chunk, uint32_t line) const {
  const auto it = chunks_.find(chunk);
  if (it == chunks_.end() || line >= ARENA_CHUNK_LINES) return nullptr;
  return it->second.get() + size_t{line} * ARENA_LINE_WORDS;
}

std::optional<arena_line> TableImage::LineAt(uint32_t handle) const {
  const uint32_t* words = Line(ARENA_HANDLE_CHUNK(handle), ARENA_HANDLE_LINE(handle));
  if (words == nullptr) return std::nullopt;
  arena_line line;
  std::memcpy(&line, words, sizeof(line));
  return line;
}

std::optional<uint32_t> TableImage::Half(uint32_t chunk, uint32_t line, uint32_t half) const {
  const uint32_t* words = Line(chunk, line + half / ARENA_LINE_HALVES);
  if (words == nullptr) return std::nullopt;
  const uint32_t in_line = half % ARENA_LINE_HALVES;
  return words[in_line / 2] >> (in_line % 2 * 16) & 0xffff;
}

std::optional<TableImage::Result> TableImage::Verdict(Direction direction,
                                                      const Packet& packet) const {
  const auto question = Classify(direction, packet);
  return question ? std::optional(Answer(*question)) : std::nullopt;
}

std::optional<TableImage::Result> TableImage::HostVerdict(uint32_t interface, HostGroup group,
                                                          Direction direction,
                                                          const Packet& packet) const {
  const auto question = ClassifyHost(interface, group, direction, packet);
  return question ? std::optional(Answer(*question)) : std::nullopt;
}

std::optional<TableImage::Question> TableImage::Classify(Direction direction,
                                                         const Packet& packet) const {
  const bool ingress = direction == Direction::kIngress;
  const auto near = addresses_.find(ingress ? packet.destination : packet.source);
  if (near == addresses_.end() || (near->second.flags & ADDRESS_LOCAL_ENDPOINT) == 0)
    return std::nullopt;
  return Classes(ingress ? near->second.ingress_set : near->second.egress_set, direction, packet);
}

std::optional<TableImage::Question> TableImage::ClassifyHost(uint32_t interface, HostGroup group,
                                                             Direction direction,
                                                             const Packet& packet) const {
  auto it = host_sets_.find(interface);
  if (it == host_sets_.end()) it = host_sets_.find(kAnyInterface);
  if (it == host_sets_.end()) return std::nullopt;
  const auto& handles = direction == Direction::kIngress ? it->second.ingress : it->second.egress;
  return Classes(handles[static_cast<int>(group)], direction, packet);
}

TableImage::Question TableImage::Classes(uint32_t handle, Direction direction,
                                         const Packet& packet) const {
  Question question;
  question.set = handle;
  if (l4_table_ == 0 || handle == 0) return question;
  const bool ingress = direction == Direction::kIngress;
  question.classes.far = ClassOf(ingress ? packet.source : packet.destination);
  question.classes.near = ClassOf(ingress ? packet.destination : packet.source);
  const uint32_t chunk = ARENA_HANDLE_CHUNK(l4_table_), line = ARENA_HANDLE_LINE(l4_table_);
  const auto l4 =
      Half(chunk, line,
           L4Index(packet.protocol, packet.destination_port, packet.icmp_type, packet.icmp_code));
  const auto source_l4 = HasPorts(packet.protocol)
                             ? Half(chunk, line, L4Index(packet.protocol, packet.source_port, 0, 0))
                             : std::optional<uint32_t>(0);
  question.readable = l4.has_value() && source_l4.has_value();
  question.classes.l4 = l4.value_or(0);
  question.classes.source_l4 = source_l4.value_or(0);
  return question;
}

TableImage::Result TableImage::Answer(const Question& question) const {
  Result result;
  result.handle = question.set;
  result.address_class = question.classes.far;
  result.l4_class = question.classes.l4;
  if (!question.readable) return result;
  const VerdictLookup found =
      LookUpVerdict([this](uint32_t h) { return LineAt(h); }, question.set, question.classes);
  result.set_index = found.set_index;
  result.epoch = epoch(found.set_index);
  result.row = found.row;
  result.column = found.column;
  result.word = found.word;
  return result;
}

}  // namespace ripstop::policy
