// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "policy/selector.h"
#include "policy/selector_node.h"
#include "policy/status_macros.h"

namespace ripstop::policy {
namespace {

using Op = SelectorNode::Op;

bool IsLabelChar(char c) { return IsLabelKey(std::string_view(&c, 1)); }

SelectorNodePtr Make(Op op, LabelKey key = {}, std::vector<std::string> values = {}) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return std::make_shared<SelectorNode>(SelectorNode{op, std::move(key), std::move(values), {}});
}

SelectorNodePtr Negate(SelectorNodePtr node) {
  if (node->op == Op::kNot) return node->operands[0];
  if (node->op == Op::kIn) return Make(Op::kNotIn, node->key, node->values);
  if (node->op == Op::kNotIn) return Make(Op::kIn, node->key, node->values);
  return std::make_shared<SelectorNode>(SelectorNode{Op::kNot, {}, {}, {std::move(node)}});
}

// Flat, sorted, unique: the order of writing must not make two predicates of one.
SelectorNodePtr Combine(Op op, std::vector<SelectorNodePtr> parts) {
  std::vector<std::pair<std::string, SelectorNodePtr>> flat;
  for (const SelectorNodePtr& part : parts) {
    if (part->op == op) {
      for (const SelectorNodePtr& inner : part->operands) {
        flat.emplace_back(SelectorText(*inner), inner);
      }
    } else if (op == Op::kAnd && part->op == Op::kAll) {
      continue;
    } else if (op == Op::kOr && part->op == Op::kAll) {
      return part;
    } else {
      flat.emplace_back(SelectorText(*part), part);
    }
  }
  std::sort(flat.begin(), flat.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  flat.erase(std::unique(flat.begin(), flat.end(),
                         [](const auto& a, const auto& b) { return a.first == b.first; }),
             flat.end());
  if (flat.empty()) return Make(Op::kAll);
  if (flat.size() == 1) return flat[0].second;
  auto node = std::make_shared<SelectorNode>();
  node->op = op;
  for (auto& [text, operand] : flat) node->operands.push_back(std::move(operand));
  return node;
}

class Parser {
 public:
  Parser(std::string_view text, const SelectorLimits& limits) : text_(text), limits_(limits) {}

  absl::StatusOr<SelectorNodePtr> Run() {
    if (text_.size() > limits_.length) {
      return absl::InvalidArgumentError(
          absl::StrCat("selector has ", text_.size(), " bytes; at most ", limits_.length));
    }
    // Checked first, so that no later message is about half a line.
    if (const size_t at = text_.find_first_of("\r\n"); at != std::string_view::npos) {
      pos_ = at;
      return Error("a newline", "write the selector on one line");
    }
    Skip();
    if (AtEnd()) return Make(Op::kAll);
    ASSIGN_OR_RETURN(SelectorNodePtr node, Or());
    if (!AtEnd()) return Error(Here(), "expected &&, || or the end of the selector");
    return node;
  }

 private:
  absl::StatusOr<SelectorNodePtr> Or() {
    std::vector<SelectorNodePtr> parts;
    do {
      ASSIGN_OR_RETURN(parts.emplace_back(), And());
    } while (Take("||"));
    return Combine(Op::kOr, std::move(parts));
  }

  absl::StatusOr<SelectorNodePtr> And() {
    std::vector<SelectorNodePtr> parts;
    do {
      ASSIGN_OR_RETURN(parts.emplace_back(), Not());
    } while (Take("&&"));
    return Combine(Op::kAnd, std::move(parts));
  }

  absl::StatusOr<SelectorNodePtr> Not() {
    bool negated = false;
    while (Take("!")) negated = !negated;
    ASSIGN_OR_RETURN(SelectorNodePtr node, Term());
    return negated ? Negate(std::move(node)) : node;
  }

  absl::StatusOr<SelectorNodePtr> Term() {
    if (Take("(")) {
      if (++depth_ > limits_.depth) {
        return Error("a parenthesis", absl::StrCat("at most ", limits_.depth, " may be nested"));
      }
      ASSIGN_OR_RETURN(SelectorNodePtr node, Or());
      if (!Take(")")) return Error(Here(), "expected &&, || or )");
      --depth_;
      return node;
    }
    const std::string label = Label();
    if (label.empty()) {
      return Error(Here(), "expected a label name, !, (, has(label), all() or global()");
    }
    const char* function_hint = "expected ) ";
    if (label == "all" && Take("(")) {
      if (!Take(")")) return Error(Here(), absl::StrCat(function_hint, "after all("));
      return Make(Op::kAll);
    }
    if (label == "global" && Take("(")) {
      if (!Take(")")) return Error(Here(), absl::StrCat(function_hint, "after global("));
      return Negate(Make(Op::kHas, LabelKey(kNamespaceLabel)));
    }
    if (label == "has" && Take("(")) {
      const std::string key = Label();
      if (key.empty()) return Error(Here(), "expected a label name after has(");
      if (!Take(")")) return Error(Here(), absl::StrCat(function_hint, "after has(", key));
      return Make(Op::kHas, LabelKey(key));
    }
    return Comparison(LabelKey(label));
  }

  absl::StatusOr<SelectorNodePtr> Comparison(const LabelKey& key) {
    if (Take("==")) return WithValue(Op::kIn, key);
    if (Take("!=")) return WithValue(Op::kNotIn, key);
    const size_t before = pos_;
    const std::string word = Word();
    if (word == "in") return WithSet(Op::kIn, key);
    if (word == "contains") return WithValue(Op::kContains, key);
    // Calico's own parser takes the two words as one, too.
    if (word == "notin") return WithSet(Op::kNotIn, key);
    if (word == "startswith") return WithValue(Op::kStartsWith, key);
    if (word == "endswith") return WithValue(Op::kEndsWith, key);
    const size_t second = pos_;
    const std::string next = Word();
    if (word == "not" && next == "in") return WithSet(Op::kNotIn, key);
    if (word == "starts" && next == "with") return WithValue(Op::kStartsWith, key);
    if (word == "ends" && next == "with") return WithValue(Op::kEndsWith, key);
    const bool half = word == "not" || word == "starts" || word == "ends";
    pos_ = half ? second : before;
    if (half)
      return Error(Here(),
                   absl::StrCat("expected \"", word, word == "not" ? " in" : " with", "\""));
    if (!AtEnd() && text_[pos_] == '=') return Error(Here(), "write == to compare");
    return Error(Here(), absl::StrCat("expected an operator after label \"", key.text(),
                                      "\": ==, !=, in, not in, contains, starts with, ends with; "
                                      "or has(",
                                      key.text(), ") to ask whether it is there"));
  }

  absl::StatusOr<SelectorNodePtr> WithValue(Op op, const LabelKey& key) {
    ASSIGN_OR_RETURN(std::string value, Value());
    // Every string contains the empty one, so what remains of the question is presence.
    if (value.empty() && op != Op::kIn && op != Op::kNotIn) return Make(Op::kHas, key);
    return Make(op, key, {std::move(value)});
  }

  absl::StatusOr<SelectorNodePtr> WithSet(Op op, const LabelKey& key) {
    if (!Take("{")) return Error(Here(), "expected { and a list of quoted values");
    std::vector<std::string> values;
    if (Take("}")) return Make(op, key);
    do {
      ASSIGN_OR_RETURN(values.emplace_back(), Value());
    } while (Take(","));
    if (!Take("}")) return Error(Here(), "expected , or }");
    return Make(op, key, std::move(values));
  }

  absl::StatusOr<std::string> Value() {
    const char quote = AtEnd() ? '\0' : text_[pos_];
    if (quote != '\'' && quote != '"') {
      return Error(Here(), "expected a value in quotes, such as 'web'");
    }
    const size_t end = text_.find(quote, pos_ + 1);
    if (end == std::string_view::npos) {
      return Error("a value that does not end",
                   absl::StrCat("close it with ", std::string(1, quote)));
    }
    std::string value(text_.substr(pos_ + 1, end - pos_ - 1));
    pos_ = end + 1;
    Skip();
    return value;
  }

  // A label, perhaps with a view before it.
  std::string Label() {
    if (limits_.views) {
      for (const std::string_view view : {kPodView, kNamespaceView}) {
        if (text_.substr(pos_, view.size()) != view) continue;
        const size_t start = pos_;
        pos_ += view.size();
        const std::string word = Word();
        if (word.empty()) pos_ = start;
        return word.empty() ? word : std::string(view) + word;
      }
    }
    return Word();
  }

  std::string Word() {
    const size_t start = pos_;
    while (!AtEnd() && IsLabelChar(text_[pos_])) ++pos_;
    std::string word(text_.substr(start, pos_ - start));
    Skip();
    return word;
  }

  bool Take(std::string_view token) {
    if (text_.substr(pos_, token.size()) != token) return false;
    pos_ += token.size();
    Skip();
    return true;
  }

  void Skip() {
    while (!AtEnd() && (text_[pos_] == ' ' || text_[pos_] == '\t')) ++pos_;
  }
  bool AtEnd() const { return pos_ >= text_.size(); }
  std::string Here() const {
    if (AtEnd()) return "the end";
    size_t length = 0;
    while (pos_ + length < text_.size() && IsLabelChar(text_[pos_ + length])) ++length;
    return absl::StrCat(
        "\"", absl::CHexEscape(std::string(text_.substr(pos_, std::clamp<size_t>(length, 1, 40)))),
        "\"");
  }
  absl::Status Error(const std::string& found, const std::string& remedy) const {
    return absl::InvalidArgumentError(
        absl::StrCat("selector, position ", pos_ + 1, ": found ", found, "; ", remedy));
  }

  const std::string_view text_;
  const SelectorLimits limits_;
  size_t pos_ = 0;
  int depth_ = 0;
};

std::string Quoted(const std::string& value) {
  const char* quote = value.find('"') == std::string::npos ? "\"" : "'";
  return absl::StrCat(quote, value, quote);
}

// Binding: || loosest, then &&, then !.
int Binding(Op op) { return op == Op::kOr ? 0 : op == Op::kAnd ? 1 : 2; }

std::string Operand(const SelectorNode& node, Op parent) {
  const bool bare = Binding(node.op) > Binding(parent) || Binding(node.op) == 2;
  return bare ? SelectorText(node) : absl::StrCat("(", SelectorText(node), ")");
}

}  // namespace

absl::StatusOr<SelectorNodePtr> ParseSelector(std::string_view text, const SelectorLimits& limits) {
  return Parser(text, limits).Run();
}

std::string SelectorText(const SelectorNode& node) {
  switch (node.op) {
    case Op::kAll: return "all()";
    case Op::kHas: return absl::StrCat("has(", node.key.text(), ")");
    case Op::kContains: return absl::StrCat(node.key.text(), " contains ", Quoted(node.values[0]));
    case Op::kStartsWith:
      return absl::StrCat(node.key.text(), " starts with ", Quoted(node.values[0]));
    case Op::kEndsWith: return absl::StrCat(node.key.text(), " ends with ", Quoted(node.values[0]));
    case Op::kNot: return absl::StrCat("!", Operand(*node.operands[0], Op::kNot));
    case Op::kIn:
    case Op::kNotIn: {
      const bool in = node.op == Op::kIn;
      if (node.values.size() == 1) {
        return absl::StrCat(node.key.text(), in ? " == " : " != ", Quoted(node.values[0]));
      }
      std::string text = absl::StrCat(node.key.text(), in ? " in {" : " not in {");
      for (size_t i = 0; i < node.values.size(); ++i) {
        absl::StrAppend(&text, i == 0 ? "" : ", ", Quoted(node.values[i]));
      }
      return text + "}";
    }
    case Op::kAnd:
    case Op::kOr: {
      std::string text;
      for (size_t i = 0; i < node.operands.size(); ++i) {
        absl::StrAppend(&text,
                        i == 0                ? ""
                        : node.op == Op::kAnd ? " && "
                                              : " || ",
                        Operand(*node.operands[i], node.op));
      }
      return text;
    }
  }
  return "";
}

}  // namespace ripstop::policy
