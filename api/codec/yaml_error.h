// SPDX-License-Identifier: Apache-2.0
//
// Why a text is no YAML, for the person who wrote it.
#ifndef RIPSTOP_API_CODEC_YAML_ERROR_H_
#define RIPSTOP_API_CODEC_YAML_ERROR_H_

#include <yaml.h>

#include <optional>
#include <string>

#include "api/codec/problem.h"
#include "api/codec/yaml_tree.h"

namespace ripstop::api {

Problem ProblemAt(const YamlSource& source, const yaml_mark_t& mark, const std::string& what,
                  const std::string& remedy);

// What stopped `parser`, with a remedy that fits the character where it stopped.
Problem SyntaxProblem(const YamlSource& source, const yaml_parser_t& parser);

// A carriage return alone, U+0085, U+2028 or U+2029: line ends to YAML 1.1 and not to the
// editors that hide them, so that a comment or a value would end where nobody sees it.
std::optional<Problem> LineEndProblem(const YamlSource& source);

}  // namespace ripstop::api

#endif  // RIPSTOP_API_CODEC_YAML_ERROR_H_
